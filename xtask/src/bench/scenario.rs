//! What is measured, by name.

use super::load::Pace;
use crate::server::Serving;

/// Connections of an open loop: enough that a request which is due finds an idle one.
const OPEN_CONNECTIONS: usize = 512;

/// Connections that come all at once: more than any queue of the server should hold.
const CROWD: usize = 4096;

/// One row of the table. They are run in this order, round after round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Scenario {
    /// HTTP with nothing behind it, 64 connections.
    #[value(name = "ceiling-64")]
    Ceiling64,
    /// The same with 256 connections.
    #[value(name = "ceiling-256")]
    Ceiling256,
    /// The database with nothing before it.
    Floor,
    /// Closed loop, one connection.
    #[value(name = "closed-1")]
    Closed1,
    /// Closed loop, 64 connections.
    #[value(name = "closed-64")]
    Closed64,
    /// Closed loop, 256 connections.
    #[value(name = "closed-256")]
    Closed256,
    /// A database transaction for each payment, closed loop, 64 connections.
    OneByOne,
    /// Payments are accepted and not settled, closed loop, 64 connections.
    Accept,
    /// Open loop at seven tenths of what closed-256 settles.
    Steady,
    /// Open loop at twice what closed-256 settles.
    Overload,
}

/// What is started for a scenario, and what is sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// A server that does nothing.
    Ceiling { connections: usize },
    /// No server at all.
    Floor,
    /// A real one.
    Payments { serving: Serving, connections: usize, rate: Rate },
}

/// How quick requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rate {
    /// As quick as they are answered.
    Answers,
    /// At so many hundredths of what closed-256 settles.
    Hundredths(u64),
}

impl Scenario {
    pub(super) const ALL: [Scenario; 10] = [
        Scenario::Ceiling64,
        Scenario::Ceiling256,
        Scenario::Floor,
        Scenario::Closed1,
        Scenario::Closed64,
        Scenario::Closed256,
        Scenario::OneByOne,
        Scenario::Accept,
        Scenario::Steady,
        Scenario::Overload,
    ];

    const QUICK: [Scenario; 5] =
        [Scenario::Ceiling64, Scenario::Ceiling256, Scenario::Floor, Scenario::Closed64, Scenario::Closed256];

    /// Those that were asked for, with what they need, in order; all, or the quick ones, if none was.
    pub(super) fn select(wanted: &[Scenario], quick: bool) -> Vec<Scenario> {
        let wanted = match (wanted, quick) {
            ([], true) => &Scenario::QUICK[..],
            ([], false) => &Scenario::ALL[..],
            _ => wanted,
        };
        let needed = |scenario: Scenario| {
            let takes_its_rate = |other: &Scenario| other.takes_its_rate_from(scenario);
            wanted.contains(&scenario) || wanted.iter().any(takes_its_rate)
        };
        Scenario::ALL.into_iter().filter(|scenario| needed(*scenario)).collect()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Scenario::Ceiling64 => "ceiling-64",
            Scenario::Ceiling256 => "ceiling-256",
            Scenario::Floor => "floor",
            Scenario::Closed1 => "closed-1",
            Scenario::Closed64 => "closed-64",
            Scenario::Closed256 => "closed-256",
            Scenario::OneByOne => "one-by-one",
            Scenario::Accept => "accept",
            Scenario::Steady => "steady",
            Scenario::Overload => "overload",
        }
    }

    pub(super) fn work(self) -> Work {
        let payments = |serving, connections, rate| Work::Payments { serving, connections, rate };
        match self {
            Scenario::Ceiling64 => Work::Ceiling { connections: 64 },
            Scenario::Ceiling256 => Work::Ceiling { connections: 256 },
            Scenario::Floor => Work::Floor,
            Scenario::Closed1 => payments(Serving::Everything, 1, Rate::Answers),
            Scenario::Closed64 => payments(Serving::Everything, 64, Rate::Answers),
            Scenario::Closed256 => payments(Serving::Everything, 256, Rate::Answers),
            Scenario::OneByOne => payments(Serving::OneByOne, 64, Rate::Answers),
            Scenario::Accept => payments(Serving::Intake, 64, Rate::Answers),
            Scenario::Steady => payments(Serving::Everything, OPEN_CONNECTIONS, Rate::Hundredths(70)),
            Scenario::Overload => payments(Serving::Everything, CROWD, Rate::Hundredths(200)),
        }
    }

    /// The ceiling to hold it against: the one with as many connections, or with the most.
    pub(super) fn ceiling(self) -> Scenario {
        match self.work() {
            Work::Ceiling { .. } => self,
            Work::Payments { connections: 0..=64, .. } => Scenario::Ceiling64,
            Work::Payments { .. } | Work::Floor => Scenario::Ceiling256,
        }
    }

    fn takes_its_rate_from(self, other: Scenario) -> bool {
        let fixed = matches!(self.work(), Work::Payments { rate: Rate::Hundredths(_), .. });
        fixed && other == Scenario::Closed256
    }
}

impl Rate {
    /// The pace, when closed-256 settles so many a second.
    pub(super) fn pace(self, capacity_per_s: u64) -> Pace {
        match self {
            Rate::Answers => Pace::Closed,
            Rate::Hundredths(share) => Pace::Open { per_second: (capacity_per_s * share / 100).max(1) },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::{Pace, Rate, Scenario};

    #[test]
    fn the_name_in_the_table_is_the_name_on_the_command_line() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::from_str(scenario.name(), false), Ok(scenario));
        }
        assert_eq!(Scenario::ALL, Scenario::value_variants());
    }

    #[test]
    fn a_scenario_brings_along_what_it_takes_its_rate_from() {
        let chosen = Scenario::select(&[Scenario::Overload, Scenario::Closed1], true);
        assert_eq!(chosen, [Scenario::Closed1, Scenario::Closed256, Scenario::Overload]);
        assert_eq!(Scenario::select(&[Scenario::Accept], false), [Scenario::Accept]);
        assert_eq!(Scenario::select(&[], false), Scenario::ALL);
    }

    #[test]
    fn a_steady_rate_is_a_share_of_the_capacity() {
        assert_eq!(Rate::Hundredths(70).pace(12_000), Pace::Open { per_second: 8400 });
        assert_eq!(Rate::Answers.pace(12_000), Pace::Closed);
    }
}
