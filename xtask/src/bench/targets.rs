//! What the figures should be on two processors. They are compared and never asserted: a slow machine is no defect.

use serde::Serialize;

use super::report::{Row, Setting, Spread, find};
use super::scenario::Scenario;
use super::show::Unit;
use super::site::Stored;

/// A figure and what it should be.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Target {
    pub(super) what: &'static str,
    pub(super) figure: u64,
    pub(super) bound: Bound,
    pub(super) unit: Unit,
    pub(super) met: bool,
}

/// On which side a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Bound {
    AtLeast(u64),
    AtMost(u64),
}

/// What differs from engine to engine. The shares are in thousandths.
struct Goals {
    settled_per_s: u64,
    accepted_per_s: u64,
    of_ceiling: u64,
    of_one_by_one: u64,
}

const SQLITE: Goals = Goals { settled_per_s: 12_000, accepted_per_s: 14_000, of_ceiling: 180, of_one_by_one: 4000 };
const POSTGRES: Goals = Goals { settled_per_s: 9000, accepted_per_s: 11_000, of_ceiling: 130, of_one_by_one: 2500 };

/// Those targets of an engine whose figures were measured.
pub(super) fn of(setting: &Setting, rows: &[Row]) -> Vec<Target> {
    let goals = if setting.engine == "sqlite" { SQLITE } else { POSTGRES };
    let row = |scenario| find(rows, scenario);
    let (alone, some, many) = (row(Scenario::Closed1), row(Scenario::Closed64), row(Scenario::Closed256));
    let settled = |row: Option<&Row>| median(row?.settled_per_s);
    let p99 = |row: Option<&Row>| median(row?.p99_us);
    let flushes = alone.and_then(|row| ratio(median(row.p50_us), median(row.flush_us)));
    let of_one_by_one = ratio(settled(some), settled(row(Scenario::OneByOne)));
    let peak_kib = rows.iter().filter_map(|row| Some(row.server_peak_kib?.max)).max();
    let start_us = rows.iter().filter_map(|row| Some(row.start_us?.max)).max();
    let start_us = start_us.filter(|_| setting.stored != Stored::Nothing);
    let reads = row(Scenario::Reads);
    let far_of_near = reads.and_then(|row| ratio(median(row.far_page_us), median(row.near_page_us)));
    let two_of_one = ratio(settled(row(Scenario::TwoAndTwo)), settled(row(Scenario::OneAndOne)));
    let late_us = row(Scenario::Waiting).and_then(|row| median(row.late_us));
    let targets = [
        at_least("settled/s, 64 connections", settled(some), goals.settled_per_s, Unit::Number),
        at_least("settled/s, 256 connections", settled(many), goals.settled_per_s, Unit::Number),
        at_least("of the ceiling, 64 connections", some.and_then(|row| row.of_ceiling), goals.of_ceiling, Unit::Times),
        at_least("of the ceiling, 256 connections", many.and_then(|row| row.of_ceiling), goals.of_ceiling, Unit::Times),
        at_least(
            "accepted/s alone",
            row(Scenario::Accept).and_then(|row| median(row.accepted_per_s)),
            goals.accepted_per_s,
            Unit::Number,
        ),
        at_most("p99 ms, 64 connections", p99(some), 25_000, Unit::Millis),
        at_most("p99 ms, 256 connections", p99(many), 75_000, Unit::Millis),
        at_most("p50 of one connection, of a flush to the disk", flushes, 3000, Unit::Times),
        at_least("of one transaction per payment", of_one_by_one, goals.of_one_by_one, Unit::Times),
        at_most(
            "p99 ms of a history, beside payments",
            reads.and_then(|row| median(row.read_p99_us)),
            5000,
            Unit::Millis,
        ),
        at_most("page 100 of a list, of page 1", far_of_near, 1500, Unit::Times),
        at_least("two servers and two workers, of one and one", two_of_one, 900, Unit::Times),
        at_most("greatest lateness after waiting, ms", late_us, 1_000_000, Unit::Millis),
        at_most("start of the server with payments stored, ms", start_us, 2_000_000, Unit::Millis),
        at_most("peak memory of the server, MiB", peak_kib, 512 * 1024, Unit::Mebibytes),
    ];
    targets.into_iter().flatten().collect()
}

fn at_least(what: &'static str, figure: Option<u64>, bound: u64, unit: Unit) -> Option<Target> {
    let figure = figure?;
    Some(Target { what, figure, bound: Bound::AtLeast(bound), unit, met: bound <= figure })
}

fn at_most(what: &'static str, figure: Option<u64>, bound: u64, unit: Unit) -> Option<Target> {
    let figure = figure?;
    Some(Target { what, figure, bound: Bound::AtMost(bound), unit, met: figure <= bound })
}

fn median(spread: Option<Spread>) -> Option<u64> {
    Some(spread?.median)
}

/// In thousandths.
fn ratio(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one?.saturating_mul(1000).checked_div(other?)
}

#[cfg(test)]
mod tests {
    use super::{Bound, Scenario, Setting, Stored, Target, Unit};
    use crate::bench::report::Report;
    use crate::bench::run::Run;

    #[test]
    fn only_what_was_measured_is_compared() {
        let run = |settled| vec![Run { settled_per_s: Some(settled), ..Run::default() }];
        let runs = vec![(Scenario::Closed64, run(10_000)), (Scenario::OneByOne, run(4000))];
        let expected = [
            Target {
                what: "settled/s, 64 connections",
                figure: 10_000,
                bound: Bound::AtLeast(9000),
                unit: Unit::Number,
                met: true,
            },
            Target {
                what: "of one transaction per payment",
                figure: 2500,
                bound: Bound::AtLeast(2500),
                unit: Unit::Times,
                met: true,
            },
        ];
        let setting = Setting { engine: "postgres", ..Setting::default() };
        assert_eq!(Report::new(setting, runs).targets, expected);
    }

    #[test]
    fn the_start_counts_when_something_is_stored() {
        let targets = |stored| {
            let run = Run { start_us: Some(2_000_001), ..Run::default() };
            let setting = Setting { engine: "sqlite", stored, ..Setting::default() };
            let targets = Report::new(setting, vec![(Scenario::Closed256, vec![run])]).targets;
            targets.iter().map(|target| (target.figure, target.met)).collect::<Vec<_>>()
        };
        assert_eq!(targets(Stored::Nothing), []);
        assert_eq!(targets(Stored::Payments(5_000_000)), [(2_000_001, false)]);
    }

    #[test]
    fn two_and_two_is_held_against_one_and_one() {
        let run = |settled| vec![Run { settled_per_s: Some(settled), ..Run::default() }];
        let runs = vec![(Scenario::OneAndOne, run(10_000)), (Scenario::TwoAndTwo, run(9500))];
        let targets = Report::new(Setting { engine: "postgres", ..Setting::default() }, runs).targets;
        assert_eq!(targets.iter().map(|target| (target.figure, target.met)).collect::<Vec<_>>(), [(950, true)]);
    }
}
