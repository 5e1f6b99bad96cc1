//! Which payments of rent a landlord takes.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::names::names;

/// Which payments of rent are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Policy {
    /// Any.
    #[default]
    Any,
    /// Those that bring what is owed down to nothing, together with what is on its way.
    FullBalance,
    /// None, as while an eviction is pending: money taken may end the landlord's case.
    BlockAll,
}

names!(Policy { Any = "ANY", FullBalance = "FULL_BALANCE", BlockAll = "BLOCK_ALL" });

/// A policy and the days on which it holds; before and after it any payment is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PolicySpan {
    /// What is taken meanwhile.
    pub policy: Policy,
    /// From this day on; `None`: from the moment on at which it was set.
    pub from: Option<Date>,
    /// The last day; `None`: until it is changed.
    pub until: Option<Date>,
}

impl PolicySpan {
    /// What is taken on `day`, a civil date where the property lies.
    pub fn on(&self, day: Date) -> Policy {
        let has_begun = self.from.is_none_or(|from| from <= day);
        let has_ended = self.until.is_some_and(|until| until < day);
        if has_begun && !has_ended { self.policy } else { Policy::Any }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, None, Policy::BlockAll)]
    #[case(Some(date(2026, 3, 1)), None, Policy::BlockAll)]
    #[case(Some(date(2026, 3, 2)), None, Policy::Any)]
    #[case(None, Some(date(2026, 3, 1)), Policy::BlockAll)]
    #[case(None, Some(date(2026, 2, 28)), Policy::Any)]
    fn a_policy_holds_on_its_days(#[case] from: Option<Date>, #[case] until: Option<Date>, #[case] expected: Policy) {
        let span = PolicySpan { policy: Policy::BlockAll, from, until };

        assert_eq!(span.on(date(2026, 3, 1)), expected);
    }

    #[test]
    fn any_payment_is_taken_unless_something_else_was_said() {
        assert_eq!(PolicySpan::default().on(date(2026, 3, 1)), Policy::Any);
    }
}
