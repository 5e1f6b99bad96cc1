//! `cargo xtask bench`: how many payments a second are accepted, and how many are settled.
//!
//! Each engine gets a database and a world of its own, on which all scenarios are run in turn, round after round, so
//! that whatever else happens on the machine happens to all of them. A run starts a server, sends payments from another
//! process, waits until every one of them is final, and stops the server. In the end `directpay verify` has its say: a
//! rate at which the books do not balance is not a rate. Speed is measured here and never asserted.

pub mod ceiling;
mod crew;
mod disk;
mod floor;
mod generator;
pub mod load;
mod pages;
mod report;
mod run;
mod scenario;
mod settling;
mod show;
mod site;
mod targets;
mod usage;
mod waiting;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{self, Runtime};

use crate::api::Api;
use crate::server::Serving;
use crate::workspace::{self, Binaries};
use report::{Report, Setting, Spread};
use run::{Bench, Run};
use scenario::Scenario;
use site::{Engine, Site, Stored};
use waiting::Crowd;
use world::{Size, World};

/// What `cargo xtask bench` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A minute's look: one short run of the main scenarios on a small world.
    #[arg(long)]
    quick: bool,
    /// Measure one engine only.
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Run this scenario only; may be given several times.
    #[arg(long, value_enum)]
    scenario: Vec<Scenario>,
    /// Seconds of load in each run [default: 10, or 4 with --quick].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=120))]
    seconds: Option<u64>,
    /// Runs of each scenario [default: 3, or 1 with --quick].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100))]
    runs: Option<u64>,
    /// Settled payments to fill the database with before anything is measured.
    #[arg(long, value_name = "PAYMENTS", default_value_t = 0)]
    stored: u64,
    /// Measure on this SQLite file, which `seed-data` filled, instead of a new one; it grows by what is measured.
    #[arg(long, value_name = "FILE", conflicts_with = "stored")]
    stored_in: Option<PathBuf>,
    /// A directory on the disk to measure; the system's temporary one may be memory.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    directory: PathBuf,
    /// Take this `directpay` instead of building one.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Take this `bulk`, an example of the store, instead of building one.
    #[arg(long)]
    bulk: Option<PathBuf>,
}

/// How much is done.
#[derive(Debug)]
struct Plan {
    scenarios: Vec<Scenario>,
    runs: u64,
    seconds: u64,
    size: Size,
    crowd: Crowd,
    stored: Stored,
}

/// What is run.
#[derive(Debug)]
struct Programs {
    binaries: Binaries,
    bulk: Option<PathBuf>,
}

/// Measures every engine, prints its tables, and leaves the figures in `target/bench`.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let plans = plans(arguments)?;
    raise_file_limit()?;
    let binaries = workspace::release_binaries(arguments.binary.as_deref())?;
    let needs_bulk = plans.iter().any(|(_, plan)| plan.needs_bulk());
    let bulk = needs_bulk.then(|| workspace::bulk_example(arguments.bulk.as_deref())).transpose()?;
    let programs = Programs { binaries, bulk };
    for (engine, plan) in plans {
        let report = measure(engine, &programs, &arguments.directory, &plan)
            .with_context(|| format!("measuring {}", engine.name()))?;
        println!("\n{}written to {}\n", show::report(&report), report.write()?.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// What is done on each engine that has anything to do.
fn plans(arguments: &Arguments) -> Result<Vec<(Engine, Plan)>> {
    let only = match (arguments.engine, &arguments.stored_in) {
        (None, Some(_)) => Some(Engine::Sqlite),
        (engine, _) => engine,
    };
    let on_file = only == Some(Engine::Sqlite);
    ensure!(arguments.stored_in.is_none() || on_file, "--stored-in is for SQLite; for PostgreSQL there is --stored");
    let mut plans = Vec::new();
    for engine in Engine::ALL.into_iter().filter(|engine| only.is_none_or(|only| only == *engine)) {
        let plan = Plan::of(arguments, engine)?;
        if !plan.scenarios.is_empty() {
            plans.push((engine, plan));
        }
    }
    ensure!(!plans.is_empty(), "this engine has none of these scenarios");
    Ok(plans)
}

impl Plan {
    fn of(arguments: &Arguments, engine: Engine) -> Result<Plan> {
        let (runs, seconds, size, crowd) = if arguments.quick {
            (1, 4, Size { landlords: 8, renters_each: 8 }, Crowd::SMALL)
        } else {
            (3, 10, Size { landlords: 32, renters_each: 16 }, Crowd::LARGE)
        };
        let stored = match (&arguments.stored_in, arguments.stored) {
            (Some(file), _) => Stored::File(file.canonicalize().with_context(|| format!("no {}", file.display()))?),
            (None, 0) => Stored::Nothing,
            (None, payments) => Stored::Payments(payments),
        };
        Ok(Plan {
            scenarios: Scenario::select(&arguments.scenario, arguments.quick, engine),
            runs: arguments.runs.unwrap_or(runs),
            seconds: arguments.seconds.unwrap_or(seconds),
            size,
            crowd,
            stored,
        })
    }

    fn needs_bulk(&self) -> bool {
        self.scenarios.contains(&Scenario::Floor) || matches!(self.stored, Stored::Payments(_))
    }

    /// What is run, in order: one round after the other.
    fn rounds(&self) -> impl Iterator<Item = (u64, Scenario)> {
        (1..=self.runs).flat_map(|round| self.scenarios.iter().map(move |scenario| (round, *scenario)))
    }
}

/// One world for all runs: signing up is slow on purpose, and is not what is measured.
fn measure(engine: Engine, programs: &Programs, directory: &Path, plan: &Plan) -> Result<Report> {
    let site = Site::make(engine, &programs.binaries.directpay, directory, &plan.stored)?;
    if let Stored::Payments(payments) = plan.stored {
        site.fill(programs.bulk.as_deref().context("no program to fill the database with")?, payments)?;
    }
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let mut world = with_server(&site, |url| runtime.block_on(world::make(url, plan.size, engine.name())))?;
    let (xtask, bulk) = (programs.binaries.xtask.as_path(), programs.bulk.as_deref());
    let bench = Bench { site: &site, runtime: &runtime, xtask, bulk, seconds: plan.seconds, crowd: plan.crowd };
    let mut results: Vec<(Scenario, Vec<Run>)> = plan.scenarios.iter().map(|one| (*one, Vec::new())).collect();
    let progress = progress(engine, plan)?;
    for (round, scenario) in plan.rounds() {
        progress.set_message(format!("{} {round}/{}", scenario.name(), plan.runs));
        renew(&site, &runtime, &mut world)?;
        let run = bench.run(scenario, &world, capacity(&results)).with_context(|| scenario.name())?;
        progress.suspend(|| println!("{} {} {round}: {}", engine.name(), scenario.name(), show::run(&run)));
        if let Some((_, runs)) = results.iter_mut().find(|(other, _)| *other == scenario) {
            runs.push(run);
        }
        progress.inc(1);
    }
    progress.set_message("verify");
    renew(&site, &runtime, &mut world)?;
    with_server(&site, |url| runtime.block_on(settling::check(&Api::new(url)?, &world)))?;
    site.deployment.verify()?;
    progress.finish_and_clear();
    let (renters, stored) = (world.tenancies.len(), plan.stored.clone());
    Ok(Report::new(Setting { engine: engine.name(), seconds: plan.seconds, renters, stored }, results))
}

/// For what is not measured: a server of its own, so that it leaves no trace in a server that is.
fn with_server<T>(site: &Site, work: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    let server = site.deployment.serve(Serving::Everything)?;
    let done = work(&server.url).with_context(|| site.deployment.log_tail())?;
    server.stop()?;
    Ok(done)
}

/// Signs everybody in again before their tokens expire.
fn renew(site: &Site, runtime: &Runtime, world: &mut World) -> Result<()> {
    if !world.is_stale() {
        return Ok(());
    }
    with_server(site, |url| runtime.block_on(world.renew(url)))
}

/// What closed-256 settled a second so far.
fn capacity(results: &[(Scenario, Vec<Run>)]) -> u64 {
    let runs = results.iter().filter(|(scenario, _)| *scenario == Scenario::Closed256).flat_map(|(_, runs)| runs);
    Spread::of(runs.filter_map(|run| run.settled_per_s).collect()).map_or(0, |spread| spread.median)
}

fn progress(engine: Engine, plan: &Plan) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{prefix:9} {msg:18} {bar:30} {pos}/{len} {elapsed}, {eta} left")?;
    let bar = ProgressBar::new(u64::try_from(plan.rounds().count())?).with_style(style).with_prefix(engine.name());
    bar.enable_steady_tick(Duration::from_millis(250));
    Ok(bar)
}

/// Thousands of connections at a time: as many files as we may open, for us and what we start.
fn raise_file_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("cannot raise the limit of open files")
}

#[cfg(test)]
mod tests {
    use super::{Crowd, Plan, Scenario, Size, Stored};

    #[test]
    fn rounds_follow_each_other_so_that_scenarios_take_turns() {
        let scenarios = vec![Scenario::Ceiling64, Scenario::Closed64];
        let size = Size { landlords: 1, renters_each: 1 };
        let plan = Plan { scenarios, runs: 2, seconds: 1, size, crowd: Crowd::SMALL, stored: Stored::Nothing };
        let order: Vec<(u64, Scenario)> = plan.rounds().collect();
        let round = |number| [(number, Scenario::Ceiling64), (number, Scenario::Closed64)];
        assert_eq!(order, [round(1), round(2)].concat());
    }
}
