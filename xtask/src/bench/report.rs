//! What the runs of one engine come to: the median of each figure, and how far the runs were apart.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::run::Run;
use super::scenario::Scenario;
use super::site::Stored;
use super::targets::{self, Target};
use crate::workspace;

/// A figure over several runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Spread {
    pub(super) median: u64,
    pub(super) min: u64,
    pub(super) max: u64,
}

/// What was measured, and how.
#[derive(Debug, Default, Serialize)]
pub(super) struct Setting {
    pub(super) engine: &'static str,
    pub(super) seconds: u64,
    pub(super) renters: usize,
    pub(super) stored: Stored,
}

/// All figures of one engine.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) setting: Setting,
    pub(super) processors: usize,
    pub(super) rows: Vec<Row>,
    pub(super) targets: Vec<Target>,
}

/// All figures of one scenario.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    #[serde(serialize_with = "name")]
    pub(super) scenario: Scenario,
    pub(super) accepted_per_s: Option<Spread>,
    pub(super) settled_per_s: Option<Spread>,
    pub(super) p50_us: Option<Spread>,
    pub(super) p99_us: Option<Spread>,
    pub(super) p999_us: Option<Spread>,
    pub(super) server_ns: Option<Spread>,
    pub(super) database_ns: Option<Spread>,
    pub(super) load_ns: Option<Spread>,
    pub(super) bytes_per_payment: Option<Spread>,
    pub(super) server_peak_kib: Option<Spread>,
    pub(super) database_kib: Option<Spread>,
    pub(super) refused: Option<Spread>,
    pub(super) unsent: Option<Spread>,
    pub(super) offered_per_s: Option<Spread>,
    pub(super) flush_us: Option<Spread>,
    pub(super) recovery_us: Option<Spread>,
    pub(super) start_us: Option<Spread>,
    pub(super) read_p50_us: Option<Spread>,
    pub(super) read_p99_us: Option<Spread>,
    pub(super) near_page_us: Option<Spread>,
    pub(super) far_page_us: Option<Spread>,
    pub(super) waiting: Option<Spread>,
    /// Processor time each second.
    pub(super) idle_us: Option<Spread>,
    pub(super) idle_threads: Option<Spread>,
    pub(super) idle_kib: Option<Spread>,
    pub(super) late_us: Option<Spread>,
    /// Thousandths of what its ceiling carries.
    pub(super) of_ceiling: Option<u64>,
    runs: Vec<Run>,
}

impl Report {
    pub(super) fn new(setting: Setting, runs: Vec<(Scenario, Vec<Run>)>) -> Report {
        let mut rows: Vec<Row> = runs.into_iter().map(|(scenario, runs)| Row::new(scenario, runs)).collect();
        let ceilings: Vec<Option<u64>> = rows.iter().map(|row| of_ceiling(row, &rows)).collect();
        for (row, of_ceiling) in rows.iter_mut().zip(ceilings) {
            row.of_ceiling = of_ceiling;
        }
        let targets = targets::of(&setting, &rows);
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        Report { setting, processors, rows, targets }
    }

    /// Leaves the figures as JSON where the build leaves its files.
    pub(super) fn write(&self) -> Result<PathBuf> {
        let folder = workspace::target_dir().join("bench");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.json", self.setting.engine));
        fs::write(&path, serde_json::to_vec_pretty(self)?)?;
        Ok(path)
    }
}

impl Row {
    fn new(scenario: Scenario, runs: Vec<Run>) -> Row {
        let of = |figure: fn(&Run) -> Option<u64>| Spread::of(runs.iter().filter_map(figure).collect());
        Row {
            scenario,
            accepted_per_s: of(|run| Some(run.accepted_per_s)),
            settled_per_s: of(|run| run.settled_per_s),
            p50_us: of(|run| Some(run.load.as_ref()?.latency.p50_us)),
            p99_us: of(|run| Some(run.load.as_ref()?.latency.p99_us)),
            p999_us: of(|run| Some(run.load.as_ref()?.latency.p999_us)),
            server_ns: of(|run| run.server_ns),
            database_ns: of(|run| run.database_ns),
            load_ns: of(|run| run.load_ns),
            bytes_per_payment: of(|run| run.bytes_per_payment),
            server_peak_kib: of(|run| run.server_peak_kib),
            database_kib: of(|run| run.database_kib),
            refused: of(|run| Some(run.load.as_ref()?.refused)),
            unsent: of(|run| Some(run.load.as_ref()?.unsent)),
            offered_per_s: of(|run| run.offered_per_s),
            flush_us: of(|run| run.flush_us),
            recovery_us: of(|run| run.recovery_us),
            start_us: of(|run| run.start_us),
            read_p50_us: of(|run| Some(run.load.as_ref()?.reading?.p50_us)),
            read_p99_us: of(|run| Some(run.load.as_ref()?.reading?.p99_us)),
            near_page_us: of(|run| Some(run.pages.as_ref()?.near_us)),
            far_page_us: of(|run| Some(run.pages.as_ref()?.far_us)),
            waiting: of(|run| Some(run.waited.as_ref()?.payments)),
            idle_us: of(|run| Some(run.waited.as_ref()?.idle.as_ref()?.processor_us)),
            idle_threads: of(|run| Some(run.waited.as_ref()?.idle.as_ref()?.threads)),
            idle_kib: of(|run| Some(run.waited.as_ref()?.idle.as_ref()?.memory_kib)),
            late_us: of(|run| Some(run.waited.as_ref()?.late_us)),
            of_ceiling: None,
            runs,
        }
    }

    /// Payments a second: settled ones, or accepted ones where none are settled.
    fn rate(&self) -> Option<u64> {
        self.settled_per_s.or(self.accepted_per_s).map(|rate| rate.median)
    }
}

pub(super) fn find(rows: &[Row], scenario: Scenario) -> Option<&Row> {
    rows.iter().find(|row| row.scenario == scenario)
}

fn of_ceiling(row: &Row, rows: &[Row]) -> Option<u64> {
    let ceiling = find(rows, row.scenario.ceiling())?.accepted_per_s?.median;
    row.rate()?.saturating_mul(1000).checked_div(ceiling)
}

impl Spread {
    /// Nothing, if there is no figure.
    pub(super) fn of(mut figures: Vec<u64>) -> Option<Spread> {
        figures.sort_unstable();
        let (lower, upper) = (*figures.get(figures.len().checked_sub(1)? / 2)?, *figures.get(figures.len() / 2)?);
        Some(Spread { median: lower.midpoint(upper), min: *figures.first()?, max: *figures.last()? })
    }
}

fn name<S: serde::Serializer>(scenario: &Scenario, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(scenario.name())
}

#[cfg(test)]
mod tests {
    use super::{Report, Run, Scenario, Setting, Spread, find};

    #[test]
    fn a_spread_has_the_middle_and_both_ends() {
        assert_eq!(Spread::of(vec![9, 7, 8]), Some(Spread { median: 8, min: 7, max: 9 }));
        assert_eq!(Spread::of(vec![5]), Some(Spread { median: 5, min: 5, max: 5 }));
        assert_eq!(Spread::of(vec![9, 6]), Some(Spread { median: 7, min: 6, max: 9 }));
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn a_rate_is_held_against_the_ceiling_with_as_many_connections() {
        let run = |accepted_per_s, settled_per_s| vec![Run { accepted_per_s, settled_per_s, ..Run::default() }];
        let runs = vec![
            (Scenario::Ceiling64, run(50_000, None)),
            (Scenario::Ceiling256, run(40_000, None)),
            (Scenario::Closed64, run(13_000, Some(12_000))),
            (Scenario::Closed256, run(13_000, Some(12_000))),
            (Scenario::Accept, run(15_000, None)),
        ];
        let report = Report::new(Setting { engine: "sqlite", ..Setting::default() }, runs);
        let of_ceiling = |scenario| find(&report.rows, scenario).unwrap().of_ceiling;
        assert_eq!(of_ceiling(Scenario::Ceiling256), Some(1000));
        assert_eq!(of_ceiling(Scenario::Closed64), Some(240));
        assert_eq!(of_ceiling(Scenario::Closed256), Some(300));
        assert_eq!(of_ceiling(Scenario::Accept), Some(300));
    }
}
