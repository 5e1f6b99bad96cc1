//! The tables, and the lines around them.

use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::report::{Report, Row, Spread};
use super::run::Run;
use super::site::Stored;
use super::targets::{Bound, Target};
use crate::table;

const HEADER: [&str; 15] = [
    "scenario",
    "accepted/s",
    "settled/s",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "server µs",
    "database µs",
    "load µs",
    "bytes",
    "server MiB",
    "database MiB",
    "× ceiling",
    "refused",
    "start ms",
];

/// What a figure is shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Unit {
    Number,
    /// Microseconds, shown as milliseconds.
    Millis,
    /// Nanoseconds, shown as microseconds.
    Micros,
    /// Microseconds each second.
    Percent,
    /// Kibibytes, shown as mebibytes.
    Mebibytes,
    /// Thousandths of something.
    Times,
}

/// Everything about one engine.
pub(super) fn report(report: &Report) -> String {
    let mut text = format!(
        "{} on {} processors, {} s a run, {} renters, {}. Rates are medians [least–most] of all runs, other figures medians.\n\
         µs are processor time for each new payment; bytes are what the database grew by for each, without PostgreSQL's\n\
         write-ahead log; server MiB are its peak, database MiB all its processes after the load; start is until it listens.\n{}\n",
        report.setting.engine,
        report.processors,
        report.setting.seconds,
        report.setting.renters,
        stored(&report.setting.stored),
        rows(&report.rows)
    );
    for line in report.rows.iter().flat_map(remarks) {
        text.push_str(&line);
        text.push('\n');
    }
    if !report.targets.is_empty() {
        text.push_str(&format!("{}\n", targets(&report.targets)));
    }
    text
}

/// One run in one line.
pub(super) fn run(run: &Run) -> String {
    let mut text = format!("accepted {}/s", run.accepted_per_s);
    if let Some(settled) = run.settled_per_s {
        text.push_str(&format!(", settled {settled}/s"));
    }
    if let Some(load) = &run.load {
        text.push_str(&format!(", p99 {} ms", Unit::Millis.show(load.latency.p99_us)));
    }
    text
}

fn rows(rows: &[Row]) -> Table {
    let mut table = table::new(HEADER);
    for row in rows {
        let median =
            |spread: Option<Spread>, unit: Unit| spread.map_or(String::new(), |spread| unit.show(spread.median));
        table.add_row([
            row.scenario.name().to_owned(),
            row.accepted_per_s.map_or(String::new(), spread),
            row.settled_per_s.map_or(String::new(), spread),
            median(row.p50_us, Unit::Millis),
            median(row.p99_us, Unit::Millis),
            median(row.p999_us, Unit::Millis),
            median(row.server_ns, Unit::Micros),
            median(row.database_ns, Unit::Micros),
            median(row.load_ns, Unit::Micros),
            median(row.bytes_per_payment, Unit::Number),
            median(row.server_peak_kib, Unit::Mebibytes),
            median(row.database_kib, Unit::Mebibytes),
            row.of_ceiling.map_or(String::new(), |share| Unit::Times.show(share)),
            median(row.refused, Unit::Number),
            median(row.start_us, Unit::Millis),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What has no column.
fn remarks(row: &Row) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(flush) = row.flush_us {
        lines.push(format!("the disk keeps 4 KiB in {} ms", Unit::Millis.show(flush.median)));
    }
    if let (Some(offered), Some(refused), Some(unsent)) = (row.offered_per_s, row.refused, row.unsent) {
        lines.push(format!(
            "{} requests a second were due, {} refused with 503 and Retry-After, {} never sent",
            offered.median, refused.median, unsent.median
        ));
    }
    if let Some(recovery) = row.recovery_us {
        lines.push(format!("{} ms later a payment was accepted within 100 ms", Unit::Millis.show(recovery.median)));
    }
    if let (Some(p50), Some(p99)) = (row.read_p50_us, row.read_p99_us) {
        let [p50, p99] = [p50, p99].map(|spread| Unit::Millis.show(spread.median));
        lines.push(format!("a history was read in {p50} ms, p99 {p99} ms"));
    }
    if let (Some(near), Some(far)) = (row.near_page_us, row.far_page_us) {
        let [near, far] = [near, far].map(|spread| Unit::Millis.show(spread.median));
        lines.push(format!("page 1 of a list was read in {near} ms, page 100 in {far} ms"));
    }
    if let (Some(waiting), Some(late)) = (row.waiting, row.late_us) {
        let late = Unit::Millis.show(late.median);
        lines.push(format!("{} payments waited; the latest settled {late} ms after it was due", waiting.median));
    }
    if let (Some(processor), Some(threads), Some(memory)) = (row.idle_us, row.idle_threads, row.idle_kib) {
        let (processor, memory) = (Unit::Percent.show(processor.median), Unit::Mebibytes.show(memory.median));
        lines.push(format!(
            "meanwhile the server took {processor} % of a processor, {} threads, {memory} MiB",
            threads.median
        ));
    }
    lines.into_iter().map(|line| format!("{}: {line}", row.scenario.name())).collect()
}

fn stored(stored: &Stored) -> String {
    match stored {
        Stored::Nothing => "nothing stored before".to_owned(),
        Stored::Payments(count) => format!("{count} payments stored before"),
        Stored::File(_) => "on a file with payments stored before".to_owned(),
    }
}

fn targets(targets: &[Target]) -> Table {
    let mut table = table::new(["what", "figure", "target", "met"]);
    for target in targets {
        let bound = match target.bound {
            Bound::AtLeast(bound) => format!("≥ {}", target.unit.show(bound)),
            Bound::AtMost(bound) => format!("≤ {}", target.unit.show(bound)),
        };
        let met = if target.met { "yes" } else { "no" };
        table.add_row([target.what.to_owned(), target.unit.show(target.figure), bound, met.to_owned()]);
    }
    table
}

fn spread(spread: Spread) -> String {
    if spread.min == spread.max {
        return spread.median.to_string();
    }
    format!("{} [{}–{}]", spread.median, spread.min, spread.max)
}

impl Unit {
    pub(super) fn show(self, figure: u64) -> String {
        match self {
            Unit::Number => figure.to_string(),
            Unit::Millis => format!("{}.{:02}", figure / 1000, figure % 1000 / 10),
            Unit::Micros => format!("{}.{}", figure / 1000, figure % 1000 / 100),
            Unit::Percent => format!("{}.{:02}", figure / 10_000, figure % 10_000 / 100),
            Unit::Mebibytes => format!("{}", figure.div_ceil(1024)),
            Unit::Times => format!("{}.{:03}", figure / 1000, figure % 1000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Run, Spread, Unit, report, spread};
    use crate::bench::load::pages::Pages;
    use crate::bench::report::{Report, Setting};
    use crate::bench::scenario::Scenario;
    use crate::bench::waiting::Waited;

    #[test]
    fn figures_have_the_decimals_that_matter() {
        assert_eq!(Unit::Millis.show(12_345), "12.34");
        assert_eq!(Unit::Micros.show(90), "0.0");
        assert_eq!(Unit::Times.show(183), "0.183");
        assert_eq!(Unit::Percent.show(5000), "0.50");
        assert_eq!(Unit::Mebibytes.show(1025), "2");
    }

    #[test]
    fn a_spread_of_one_run_is_its_figure() {
        assert_eq!(spread(Spread { median: 8, min: 7, max: 9 }), "8 [7–9]");
        assert_eq!(spread(Spread { median: 5, min: 5, max: 5 }), "5");
    }

    #[test]
    fn a_report_has_a_row_for_each_scenario_and_leaves_out_what_was_not_measured() {
        let floor = Run { accepted_per_s: 20, settled_per_s: Some(10), ..Run::default() };
        let alone = Run { accepted_per_s: 7, flush_us: Some(1500), ..Run::default() };
        let runs = vec![(Scenario::Floor, vec![floor]), (Scenario::Closed1, vec![alone])];
        let text = report(&Report::new(Setting { engine: "sqlite", ..Setting::default() }, runs));
        let line = |name: &str| text.lines().find(|line| line.contains(name)).unwrap().to_owned();
        assert!(line("floor").contains("20 ┆        10 ┆        ┆"), "{text}");
        assert!(line("closed-1 ").contains("7 ┆           ┆"), "{text}");
        assert!(text.contains("closed-1: the disk keeps 4 KiB in 1.50 ms"), "{text}");
        assert!(!text.contains("target"), "{text}");
    }

    #[test]
    fn a_crowd_that_settled_too_soon_was_not_seen_idle() {
        let waited = Waited { payments: 9, idle: None, late_us: 580_000 };
        let pages = Pages { near_us: 900, far_us: 1100 };
        let run = Run { waited: Some(waited), pages: Some(pages), ..Run::default() };
        let text = report(&Report::new(Setting::default(), vec![(Scenario::Waiting, vec![run])]));
        assert!(text.contains("waiting: 9 payments waited; the latest settled 580.00 ms after it was due"), "{text}");
        assert!(text.contains("page 1 of a list was read in 0.90 ms, page 100 in 1.10 ms"), "{text}");
        assert!(!text.contains("meanwhile"), "{text}");
    }
}
