//! What the runs of one engine come to: the median, and how far they were apart.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use comfy_table::Table;
use serde::Serialize;

use super::run::Run;
use crate::{table, workspace};

/// A figure over several runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Spread {
    median: u64,
    min: u64,
    max: u64,
}

/// All figures of one engine.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    engine: &'static str,
    connections: usize,
    seconds: u64,
    processors: usize,
    accepted_per_s: Spread,
    settled_per_s: Spread,
    latency_p50_us: Spread,
    latency_p99_us: Spread,
    refused: u64,
    runs: Vec<Run>,
}

impl Report {
    pub(super) fn new(engine: &'static str, connections: usize, seconds: u64, runs: Vec<Run>) -> Report {
        Report {
            engine,
            connections,
            seconds,
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            accepted_per_s: Spread::of(&runs, |run| run.accepted_per_s),
            settled_per_s: Spread::of(&runs, |run| run.settled_per_s),
            latency_p50_us: Spread::of(&runs, |run| run.load.latency_p50_us),
            latency_p99_us: Spread::of(&runs, |run| run.load.latency_p99_us),
            refused: runs.iter().flat_map(|run| run.load.refused.values()).sum(),
            runs,
        }
    }

    /// Leaves the figures as JSON where the build leaves its files.
    pub(super) fn write(&self) -> Result<PathBuf> {
        let folder = workspace::target_dir().join("bench");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.json", self.engine));
        fs::write(&path, serde_json::to_vec_pretty(self)?)?;
        Ok(path)
    }
}

impl Spread {
    fn of(runs: &[Run], figure: impl Fn(&Run) -> u64) -> Spread {
        Spread::of_figures(runs.iter().map(figure).collect())
    }

    fn of_figures(mut figures: Vec<u64>) -> Spread {
        figures.sort_unstable();
        let at = |index: usize| figures.get(index).copied().unwrap_or(0);
        Spread { median: at(figures.len() / 2), min: at(0), max: at(figures.len().saturating_sub(1)) }
    }

    fn show(self, unit: impl Fn(u64) -> String) -> String {
        if self.min == self.max {
            return unit(self.median);
        }
        format!("{} ({}–{})", unit(self.median), unit(self.min), unit(self.max))
    }
}

pub(super) fn compare(reports: &[Report]) -> Table {
    let mut table = table::new(["engine", "accepted/s", "settled/s", "p50 ms", "p99 ms", "refused", "runs", "verify"]);
    for report in reports {
        table.add_row([
            report.engine.to_owned(),
            report.accepted_per_s.show(|rate| rate.to_string()),
            report.settled_per_s.show(|rate| rate.to_string()),
            report.latency_p50_us.show(millis),
            report.latency_p99_us.show(millis),
            report.refused.to_string(),
            format!("{} × {} s", report.runs.len(), report.seconds),
            // Anything else ends the command.
            "clean".to_owned(),
        ]);
    }
    table
}

fn millis(micros: u64) -> String {
    format!("{}.{}", micros / 1000, micros % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::{Spread, millis};

    #[test]
    fn a_spread_has_the_middle_and_both_ends() {
        let spread = Spread::of_figures(vec![9, 7, 8]);
        assert_eq!(spread, Spread { median: 8, min: 7, max: 9 });
        assert_eq!(spread.show(|figure| figure.to_string()), "8 (7–9)");
        assert_eq!(Spread::of_figures(vec![5]).show(|figure| figure.to_string()), "5");
    }

    #[test]
    fn milliseconds_have_one_decimal() {
        assert_eq!(millis(12_345), "12.3");
        assert_eq!(millis(90), "0.0");
    }
}
