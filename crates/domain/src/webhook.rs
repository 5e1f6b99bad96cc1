//! Webhooks: what is told to whom, and how often it is tried.

use crate::invalid::Invalid;
use crate::lease_event::LeaseEventType;
use crate::names::names;
use crate::payment::EventType;
use crate::time::SECOND_US;

/// Whether a webhook is told anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is.
    Enabled,
    /// Its owner does not want it for now.
    Paused,
    /// It was given up, with a reason.
    Disabled,
}

names!(Status { Enabled = "ENABLED", Paused = "PAUSED", Disabled = "DISABLED" });

/// Why a webhook is not tried any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledBecause {
    /// The receiver said that it is gone: status 410.
    Gone,
    /// For days nothing but failures.
    Failing,
}

names!(DisabledBecause { Gone = "GONE", Failing = "FAILING" });

/// Where an event on its way to a webhook stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It will be tried, or tried again.
    Waiting,
    /// The receiver took it.
    Delivered,
    /// It was tried often enough.
    GivenUp,
}

names!(DeliveryStatus { Waiting = "WAITING", Delivered = "DELIVERED", GivenUp = "GIVEN_UP" });

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver answered with a status from 200 to 299.
    Delivered,
    /// It answered with another one.
    Refused,
    /// It did not answer in time.
    TimedOut,
    /// There was no connection, or it broke.
    Unreachable,
    /// It was not tried: the address is none to send to.
    Forbidden,
}

names!(Outcome {
    Delivered = "DELIVERED",
    Refused = "REFUSED",
    TimedOut = "TIMED_OUT",
    Unreachable = "UNREACHABLE",
    Forbidden = "FORBIDDEN",
});

/// Seconds from one attempt to the next; the first is made at once.
const PAUSES: [i64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// The longest pause that a receiver may ask for.
const ASKED_MAX_US: i64 = 86_400 * SECOND_US;

/// How long to wait after `made` attempts in vain; none if that is enough.
///
/// `spread` is random, from 0 to 1000: a pause gets up to a tenth longer by it, so that what failed together is not tried
/// together. A receiver that asked for a longer pause gets it, up to a day.
pub fn pause_us(made: i64, spread: i64, asked_us: Option<i64>) -> Option<i64> {
    let pause = usize::try_from(made).ok()?.checked_sub(1).and_then(|at| PAUSES.get(at))? * SECOND_US;
    let spread = pause / 10 / 1_000 * spread.clamp(0, 1_000);
    Some((pause + spread).max(asked_us.unwrap_or(0).min(ASKED_MAX_US)))
}

/// The types of events that a webhook is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTypes {
    // Invariant: each once, in the order of the events' own lists; empty for all.
    names: Vec<&'static str>,
}

impl EventTypes {
    /// All types, by name.
    pub fn every() -> impl Iterator<Item = &'static str> {
        EventType::ALL.into_iter().map(EventType::name).chain(LeaseEventType::ALL.into_iter().map(LeaseEventType::name))
    }

    /// Reads their names; none are all. Otherwise `unknown` or `duplicate`.
    pub fn parse<T: AsRef<str>>(names: &[T]) -> Result<EventTypes, Invalid> {
        let given: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        if given.iter().any(|name| !EventTypes::every().any(|known| known == *name)) {
            return Err(Invalid::new("unknown", "must name types of events, as the feed does"));
        }
        let names: Vec<_> = EventTypes::every().filter(|known| given.contains(known)).collect();
        if names.len() < given.len() {
            return Err(Invalid::new("duplicate", "must name each type once"));
        }
        Ok(EventTypes { names })
    }

    /// Reads them as they are stored.
    pub fn from_text(text: &str) -> Result<EventTypes, Invalid> {
        EventTypes::parse(&text.split_terminator(' ').collect::<Vec<_>>())
    }

    /// As they are stored: their names with a space between.
    pub fn to_text(&self) -> String {
        self.names.join(" ")
    }

    /// Their names; none for all.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// Whether events of the type `name` are told.
    pub fn contains(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn it_is_tried_ten_times_within_three_and_a_half_days() {
        let pauses: Vec<i64> = (1..).map_while(|made| pause_us(made, 0, None)).collect();

        assert_eq!(pauses.iter().map(|pause| pause / SECOND_US).collect::<Vec<_>>(), PAUSES);
        assert_eq!(pause_us(10, 0, Some(SECOND_US)), None);
        assert_eq!(pause_us(0, 0, None), None);
    }

    #[rstest]
    #[case(2, 0, None, 300)]
    #[case(2, 1_000, None, 330)]
    #[case(2, 500, None, 315)]
    #[case(2, 0, Some(10), 300)]
    #[case(2, 0, Some(3_600), 3_600)]
    #[case(2, 0, Some(i64::MAX / SECOND_US), 86_400)]
    fn a_pause_is_spread_and_a_longer_one_that_was_asked_for_is_made(
        #[case] made: i64,
        #[case] spread: i64,
        #[case] asked: Option<i64>,
        #[case] expected: i64,
    ) {
        let asked_us = asked.map(|seconds| seconds * SECOND_US);

        assert_eq!(pause_us(made, spread, asked_us), Some(expected * SECOND_US));
    }

    #[test]
    fn types_are_kept_in_one_order_and_none_are_all() {
        let some = EventTypes::parse(&["rent_changed", "payment_completed"]).unwrap();

        assert_eq!(some.to_text(), "payment_completed rent_changed");
        assert_eq!(EventTypes::from_text(&some.to_text()), Ok(some.clone()));
        assert!(some.contains("rent_changed") && !some.contains("payment_failed"));
        let all = EventTypes::from_text("").unwrap();
        assert!(EventTypes::every().all(|name| all.contains(name)));
        assert_eq!(EventTypes::parse::<&str>(&[]).unwrap(), all);
    }

    #[rstest]
    #[case(&["payment_completed", "payment_completed"], "duplicate")]
    #[case(&["payment.completed"], "unknown")]
    #[case(&[""], "unknown")]
    fn what_is_no_type_is_refused(#[case] names: &[&str], #[case] code: &str) {
        assert_eq!(EventTypes::parse(names).unwrap_err().code, code);
    }
}
