//! What is measured, by name.

use super::load::Pace;
use super::site::Engine;
use crate::server::Serving;

/// Connections of an open loop: enough that a request which is due finds an idle one.
const OPEN_CONNECTIONS: usize = 512;

/// Histories that are read each second beside payments.
const READS_PER_S: u64 = 500;

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
    /// Histories are read beside a quiet open loop of payments; afterwards the first page of a list against the hundredth.
    Reads,
    /// One server and one worker on one PostgreSQL, closed loop, 256 connections.
    OneAndOne,
    /// Two servers and two workers on one PostgreSQL, closed loop, 256 connections.
    TwoAndTwo,
    /// A crowd of payments waits at a slow bank.
    Waiting,
}

/// What is started for a scenario, and what is sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// A server that does nothing.
    Ceiling { connections: usize },
    /// No server at all.
    Floor,
    /// Real ones.
    Payments(Load),
    /// A real one, at a slow bank.
    Waiting,
}

/// Who is there to be paid at, and how quick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) staff: Staff,
    pub(super) connections: usize,
    pub(super) rate: Rate,
    pub(super) reads_per_s: u64,
}

/// The processes on one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Staff {
    /// One server.
    One(Serving),
    /// So many servers that take payments in, and as many workers that settle them.
    Pairs(usize),
}

/// How quick requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rate {
    /// As quick as they are answered.
    Answers,
    /// At so many hundredths of what closed-256 settles.
    Hundredths(u64),
    /// So many a second, or seven tenths of what closed-256 settles if that is less.
    AtMost(u64),
}

impl Scenario {
    pub(super) const ALL: [Scenario; 14] = [
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
        Scenario::Reads,
        Scenario::OneAndOne,
        Scenario::TwoAndTwo,
        Scenario::Waiting,
    ];

    const QUICK: [Scenario; 5] =
        [Scenario::Ceiling64, Scenario::Ceiling256, Scenario::Floor, Scenario::Closed64, Scenario::Closed256];

    /// Those that were asked for, with what they need, in order; all, or the quick ones, if none was. None that `engine`
    /// cannot have.
    pub(super) fn select(wanted: &[Scenario], quick: bool, engine: Engine) -> Vec<Scenario> {
        let wanted = match (wanted, quick) {
            ([], true) => &Scenario::QUICK[..],
            ([], false) => &Scenario::ALL[..],
            _ => wanted,
        };
        let needed = |scenario: Scenario| {
            wanted.contains(&scenario) || wanted.iter().any(|other| other.needs() == Some(scenario))
        };
        Scenario::ALL.into_iter().filter(|scenario| needed(*scenario) && scenario.runs_on(engine)).collect()
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
            Scenario::Reads => "reads",
            Scenario::OneAndOne => "one-and-one",
            Scenario::TwoAndTwo => "two-and-two",
            Scenario::Waiting => "waiting",
        }
    }

    pub(super) fn work(self) -> Work {
        let load = |staff, connections, rate| Load { staff, connections, rate, reads_per_s: 0 };
        let payments = |serving, connections, rate| Work::Payments(load(Staff::One(serving), connections, rate));
        let pairs = |count| Work::Payments(load(Staff::Pairs(count), 256, Rate::Answers));
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
            Scenario::Reads => Work::Payments(Load {
                reads_per_s: READS_PER_S,
                ..load(Staff::One(Serving::Everything), OPEN_CONNECTIONS, Rate::AtMost(2000))
            }),
            Scenario::OneAndOne => pairs(1),
            Scenario::TwoAndTwo => pairs(2),
            Scenario::Waiting => Work::Waiting,
        }
    }

    /// The ceiling to hold it against: the one with as many connections, or with the most.
    pub(super) fn ceiling(self) -> Scenario {
        match self.work() {
            Work::Ceiling { .. } => self,
            Work::Payments(Load { connections: 0..=64, .. }) => Scenario::Ceiling64,
            Work::Payments(_) | Work::Floor | Work::Waiting => Scenario::Ceiling256,
        }
    }

    /// What it takes its rate from or is held against.
    fn needs(self) -> Option<Scenario> {
        match self.work() {
            Work::Payments(Load { rate: Rate::Hundredths(_) | Rate::AtMost(_), .. }) => Some(Scenario::Closed256),
            Work::Payments(Load { staff: Staff::Pairs(2..), .. }) => Some(Scenario::OneAndOne),
            Work::Ceiling { .. } | Work::Floor | Work::Payments(_) | Work::Waiting => None,
        }
    }

    /// Several processes on one SQLite file are refused.
    fn runs_on(self, engine: Engine) -> bool {
        let apart = matches!(self.work(), Work::Payments(Load { staff: Staff::Pairs(_), .. }));
        !apart || engine == Engine::Postgres
    }
}

impl Staff {
    /// Whether somebody settles what is taken in.
    pub(super) fn settles(self) -> bool {
        self != Staff::One(Serving::Intake)
    }
}

impl Rate {
    /// The pace, when closed-256 settles so many a second.
    pub(super) fn pace(self, capacity_per_s: u64) -> Pace {
        match self {
            Rate::Answers => Pace::Closed,
            Rate::Hundredths(share) => Pace::Open { per_second: (capacity_per_s * share / 100).max(1) },
            Rate::AtMost(most) => Pace::Open { per_second: (capacity_per_s * 70 / 100).clamp(1, most) },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::{Engine, Pace, Rate, Scenario};

    #[test]
    fn the_name_in_the_table_is_the_name_on_the_command_line() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::from_str(scenario.name(), false), Ok(scenario));
        }
        assert_eq!(Scenario::ALL, Scenario::value_variants());
    }

    #[test]
    fn a_scenario_brings_along_what_it_takes_its_rate_from() {
        let chosen = |wanted: &[Scenario]| Scenario::select(wanted, true, Engine::Postgres);
        let overload = chosen(&[Scenario::Overload, Scenario::Closed1]);
        assert_eq!(overload, [Scenario::Closed1, Scenario::Closed256, Scenario::Overload]);
        assert_eq!(chosen(&[Scenario::Reads]), [Scenario::Closed256, Scenario::Reads]);
        assert_eq!(chosen(&[Scenario::TwoAndTwo]), [Scenario::OneAndOne, Scenario::TwoAndTwo]);
        assert_eq!(chosen(&[Scenario::Accept]), [Scenario::Accept]);
        assert_eq!(chosen(&[]), Scenario::QUICK);
        assert_eq!(Scenario::select(&[], false, Engine::Postgres), Scenario::ALL);
    }

    #[test]
    fn a_sqlite_file_is_for_one_process() {
        assert_eq!(Scenario::select(&[Scenario::TwoAndTwo], false, Engine::Sqlite), []);
        assert_eq!(Scenario::select(&[], false, Engine::Sqlite).len(), Scenario::ALL.len() - 2);
    }

    #[test]
    fn a_steady_rate_is_a_share_of_the_capacity() {
        assert_eq!(Rate::Hundredths(70).pace(12_000), Pace::Open { per_second: 8400 });
        assert_eq!(Rate::AtMost(2000).pace(12_000), Pace::Open { per_second: 2000 });
        assert_eq!(Rate::AtMost(2000).pace(1000), Pace::Open { per_second: 700 });
        assert_eq!(Rate::Answers.pace(12_000), Pace::Closed);
    }
}
