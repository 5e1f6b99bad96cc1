//! Autopay: a renter's standing order to pay what is owed on the days on which rent falls due.
//!
//! A mandate is signed once and stays as it is: account, rail, cap, lead and notice are those that the renter agreed to. For
//! each charge date there is one draw, and no second attempt at it. A draw follows what is owed, never above the cap, and is
//! announced: what differs from what the renter expects is told at least [`NOTICE_DAYS`] days before, or is not drawn
//! (Regulation E, 12 CFR 1005.10(d)). A draw of less than was announced needs no notice: then the renter has paid or was let
//! off in the meantime.

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::invalid::Invalid;
use crate::money::Amount;
use crate::names::names;
use crate::rail::Rail;

/// How many days before a draw a renter is told of an amount that was not to be expected: 12 CFR 1005.10(d)(1).
pub const NOTICE_DAYS: i64 = 10;
/// When a draw is announced first, in days before it: some more, so that days of downtime cost no notice.
pub const ANNOUNCED_DAYS: i64 = 14;
/// The most days before a charge date on which a draw may be made.
pub const LEAD_DAYS_MAX: i64 = 10;
/// How long the payment of a draw is watched, in days after the charge date: a debit can come back for 60 days after it
/// settled, and the bank may have taken its time before.
pub const WATCHED_DAYS: i64 = 90;
/// So many failures of draws in a row suspend a mandate: it survives one.
pub const FAILURES_MAX: usize = 2;

/// Which draws a renter wants to be told of in time: 12 CFR 1005.10(d)(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Those outside the range of what is usual.
    OutsideRange {
        /// The least that is usual, in minor units; may be zero.
        min: i64,
        /// The most that is usual.
        max: Amount,
    },
    /// All that differ from the one before.
    AnyChange,
}

/// The kinds of [`Notice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// See [`Notice::OutsideRange`].
    OutsideRange,
    /// See [`Notice::AnyChange`].
    AnyChange,
}

names!(NoticeKind { OutsideRange = "OUTSIDE_RANGE", AnyChange = "ANY_CHANGE" });

impl Notice {
    /// Its kind.
    pub fn kind(self) -> NoticeKind {
        match self {
            Notice::OutsideRange { .. } => NoticeKind::OutsideRange,
            Notice::AnyChange => NoticeKind::AnyChange,
        }
    }
}

/// What a renter agrees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MandateTerms {
    /// By which rail.
    pub rail: Rail,
    /// The most that one draw takes.
    pub cap: Amount,
    /// How many days before the charge date it is drawn, 0 to [`LEAD_DAYS_MAX`]. Money counts when it is initiated: with 0 it is in time.
    pub lead_days: i64,
    /// Which draws are told of in time.
    pub notice: Notice,
}

/// What a renter was told of a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// How much, in minor units.
    pub minor: i64,
    /// On which day, where the property lies.
    pub on: Date,
}

impl MandateTerms {
    /// Every rule that the terms break, with the field to blame; empty if they are sound.
    pub fn check(&self) -> Vec<(&'static str, Invalid)> {
        let mut broken = Vec::new();
        if !(0..=LEAD_DAYS_MAX).contains(&self.lead_days) {
            broken.push(("lead_days", Invalid::new("out_of_range", format!("must be from 0 to {LEAD_DAYS_MAX}"))));
        }
        if !self.rail.allows(self.cap) {
            let detail = format!("is more than one payment by {} may carry", self.rail);
            broken.push(("cap", Invalid::new("over_rail_limit", detail)));
        }
        if let Notice::OutsideRange { min, max } = self.notice {
            if max.minor() < min {
                broken.push(("usual_max", Invalid::new("below_min", "must not be less than usual_min")));
            }
            if self.cap.minor() < max.minor() {
                broken.push(("usual_max", Invalid::new("over_cap", "must not be more than the cap")));
            }
        }
        broken
    }

    /// The day on which what is due on `due` is drawn.
    pub fn draw_day(&self, due: Date) -> Date {
        due.saturating_sub(self.lead_days.days())
    }

    /// The last date whose draw is announced by `today`.
    pub fn announced_through(&self, today: Date) -> Date {
        today.saturating_add((self.lead_days + ANNOUNCED_DAYS).days())
    }

    /// Whether it is early enough on `day` to tell of another amount for `due`.
    pub fn is_in_time(&self, due: Date, day: Date) -> bool {
        day <= self.draw_day(due).saturating_sub(NOTICE_DAYS.days())
    }

    /// How much is drawn for `due` of what is `owed`, in minor units; zero if nothing may be.
    ///
    /// `announced` is what the renter was told last, which counts if it was in time or when the mandate was signed on `signed_on`;
    /// `before` is what the draw before took.
    pub fn draw(
        &self,
        owed: i64,
        due: Date,
        signed_on: Date,
        announced: Option<Announced>,
        before: Option<i64>,
    ) -> i64 {
        let in_time = announced.filter(|announced| announced.on == signed_on || self.is_in_time(due, announced.on));
        let told = in_time.map(|announced| announced.minor);
        let expected = match self.notice {
            Notice::OutsideRange { max, .. } => told.unwrap_or(0).max(max.minor()),
            Notice::AnyChange => told.or(before).unwrap_or(0),
        };
        owed.min(self.cap.minor()).min(expected).max(0)
    }
}

/// How a mandate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MandateStatus {
    /// It draws.
    Active,
    /// The renter wants it to wait.
    Paused,
    /// It failed too often; the renter may resume it.
    Suspended,
    /// It is over.
    Revoked,
}

names!(MandateStatus { Active = "ACTIVE", Paused = "PAUSED", Suspended = "SUSPENDED", Revoked = "REVOKED" });

/// What became of a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrawStatus {
    /// The renter was told of it.
    Announced,
    /// There is a payment.
    Drawn,
    /// The renter did not want it.
    Skipped,
    /// Nothing was drawn, for a reason.
    Missed,
    /// The payment failed, came back or was cancelled.
    Failed,
}

names!(DrawStatus {
    Announced = "ANNOUNCED",
    Drawn = "DRAWN",
    Skipped = "SKIPPED",
    Missed = "MISSED",
    Failed = "FAILED",
});

/// Why nothing was drawn, as the reason's code says it; a refusal of the payment has the code of the refusal.
pub mod missed {
    /// Nothing was owed.
    pub const NOTHING_OWED: &str = "NOTHING_OWED";
    /// The renter had paused the mandate, or it was suspended.
    pub const NOT_ACTIVE: &str = "NOT_ACTIVE";
    /// The landlord takes no payments.
    pub const BLOCKED: &str = "PAYMENTS_BLOCKED";
    /// The renter could not be told in time.
    pub const NOT_ANNOUNCED: &str = "NOT_ANNOUNCED";

    /// The payment was cancelled before a bank saw it: by the renter, or by a block.
    pub const CANCELLED: &str = "CANCELLED";
    /// The landlord takes no part payments, and the renter's share is one.
    pub const NOT_FULL_BALANCE: &str = "not_full_balance";

    /// Whether this is nobody's failure, and does not count as one.
    pub fn is_harmless(code: &str) -> bool {
        [NOTHING_OWED, NOT_ACTIVE, BLOCKED, NOT_ANNOUNCED, CANCELLED, NOT_FULL_BALANCE].contains(&code)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::money::Currency;

    const DUE: Date = date(2026, 3, 1);
    const SIGNED: Date = date(2026, 2, 20);

    fn usd(minor: i64) -> Amount {
        Amount::from_minor(minor, Currency::USD).unwrap()
    }

    fn usual(min: i64, max: i64) -> MandateTerms {
        let notice = Notice::OutsideRange { min, max: usd(max) };
        MandateTerms { rail: Rail::StandardAch, cap: usd(200_000), lead_days: 2, notice }
    }

    fn any_change() -> MandateTerms {
        MandateTerms { notice: Notice::AnyChange, ..usual(0, 1) }
    }

    fn told(minor: i64, on: Date) -> Option<Announced> {
        Some(Announced { minor, on })
    }

    #[test]
    fn a_draw_is_made_the_lead_before_and_announced_the_notice_before_that() {
        let terms = usual(0, 150_000);
        assert_eq!(terms.draw_day(DUE), date(2026, 2, 27));
        assert_eq!(terms.announced_through(date(2026, 2, 13)), DUE);
        assert!(terms.is_in_time(DUE, date(2026, 2, 17)));
        assert!(!terms.is_in_time(DUE, date(2026, 2, 18)));
    }

    #[rstest]
    #[case::usual(150_000, None, 150_000)]
    #[case::less(1_000, None, 1_000)]
    #[case::more_and_not_told(160_000, None, 150_000)]
    #[case::more_and_told(160_000, told(160_000, date(2026, 2, 17)), 160_000)]
    #[case::more_and_told_too_late(160_000, told(160_000, date(2026, 2, 18)), 150_000)]
    #[case::more_and_told_at_the_signature(160_000, told(160_000, SIGNED), 160_000)]
    #[case::more_than_told(170_000, told(160_000, date(2026, 2, 13)), 160_000)]
    #[case::above_the_cap(250_000, told(250_000, date(2026, 2, 13)), 200_000)]
    #[case::nothing(0, told(160_000, date(2026, 2, 13)), 0)]
    fn what_is_outside_the_range_is_told_in_time(
        #[case] owed: i64,
        #[case] announced: Option<Announced>,
        #[case] expected: i64,
    ) {
        assert_eq!(usual(100_000, 150_000).draw(owed, DUE, SIGNED, announced, None), expected);
    }

    #[rstest]
    #[case::as_before(150_000, None, Some(150_000), 150_000)]
    #[case::more_than_before(160_000, None, Some(150_000), 150_000)]
    #[case::told(160_000, told(160_000, date(2026, 2, 17)), Some(150_000), 160_000)]
    #[case::told_of_less(150_000, told(90_000, date(2026, 2, 17)), Some(150_000), 90_000)]
    #[case::the_first(150_000, None, None, 0)]
    #[case::the_first_and_told(150_000, told(150_000, date(2026, 2, 17)), None, 150_000)]
    fn a_renter_may_want_to_know_of_any_change(
        #[case] owed: i64,
        #[case] announced: Option<Announced>,
        #[case] before: Option<i64>,
        #[case] expected: i64,
    ) {
        assert_eq!(any_change().draw(owed, DUE, SIGNED, announced, before), expected);
    }

    #[rstest]
    #[case(usual(0, 200_000), &[])]
    #[case(usual(0, 200_001), &["usual_max"])]
    #[case(usual(2, 1), &["usual_max"])]
    #[case(MandateTerms { lead_days: 11, ..usual(0, 1) }, &["lead_days"])]
    #[case(MandateTerms { lead_days: -1, ..any_change() }, &["lead_days"])]
    #[case(MandateTerms { rail: Rail::SameDayAch, cap: usd(100_000_001), ..any_change() }, &["cap"])]
    fn terms_are_checked(#[case] terms: MandateTerms, #[case] expected: &[&str]) {
        assert_eq!(terms.check().into_iter().map(|(field, _)| field).collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn no_draw_is_above_the_cap_or_above_what_is_owed(
            owed in 0_i64..400_000,
            announced in prop::option::of((0_i64..400_000, 0_i64..60)),
            before in prop::option::of(0_i64..400_000),
            any in any::<bool>(),
        ) {
            let terms = if any { any_change() } else { usual(100_000, 150_000) };
            let announced = announced.map(|(minor, days)| Announced { minor, on: DUE.saturating_sub(days.days()) });
            let drawn = terms.draw(owed, DUE, SIGNED, announced, before);
            prop_assert!(0 <= drawn && drawn <= owed && drawn <= terms.cap.minor());
            // What the renter knew of: by a notice in time, by the mandate, or by the draw before.
            let told = announced.filter(|told| terms.is_in_time(DUE, told.on) || told.on == SIGNED);
            let told = told.map(|told| told.minor);
            let known = if any { told.or(before).unwrap_or(0) } else { told.unwrap_or(0).max(150_000) };
            prop_assert!(drawn <= known);
        }
    }
}
