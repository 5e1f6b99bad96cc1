//! `cargo xtask bench`: how many payments a second are accepted, and how many are settled.
//!
//! Each engine gets a server and a world of its own. A run sends payments over many connections for a while, then waits
//! until every one of them is final, then stops the server and lets `directpay verify` have its say: a rate at which
//! the books do not balance is not a rate.

mod http;
pub mod load;
mod report;
mod run;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::postgres::{Cluster, Durability};
use crate::server::Deployment;
use crate::workspace::{self, Binaries};
use report::Report;
use run::Run;
use world::Size;

/// What `cargo xtask bench` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// One short run on a small world instead of three long ones.
    #[arg(long)]
    quick: bool,
    /// Measure one engine only.
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Connections that send payments at the same time.
    #[arg(long, default_value_t = 256)]
    connections: usize,
    /// Seconds of load in each run [default: 15, or 5 with --quick].
    #[arg(long)]
    seconds: Option<u64>,
    /// A directory on the disk to measure; the system's temporary one may be memory.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    directory: PathBuf,
    /// Take this `directpay` instead of building one.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// A database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        }
    }
}

/// What all runs on one engine have in common.
struct Bench<'b> {
    label: &'static str,
    /// For files that a run leaves behind.
    home: &'b Path,
    /// The binary that sends the load.
    generator: &'b Path,
    plan: Plan,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Plan {
    runs: usize,
    seconds: u64,
    connections: usize,
    size: Size,
}

/// Measures every engine, prints one table, and leaves the figures in `target/bench`.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let plan = plan(arguments);
    let binaries = workspace::release_binaries(arguments.binary.as_deref())?;
    let mut reports = Vec::new();
    for engine in [Engine::Sqlite, Engine::Postgres] {
        if arguments.engine.is_none_or(|only| only == engine) {
            let runs = measure(engine, &binaries, &arguments.directory, plan)
                .with_context(|| format!("measuring {}", engine.name()))?;
            reports.push(Report::new(engine.name(), plan.connections, plan.seconds, runs));
        }
    }
    println!("\n{}", report::compare(&reports));
    for report in &reports {
        println!("written to {}", report.write()?.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn plan(arguments: &Arguments) -> Plan {
    let (runs, seconds, size) = if arguments.quick {
        (1, 5, Size { landlords: 5, renters_each: 8 })
    } else {
        (3, 15, Size { landlords: 20, renters_each: 10 })
    };
    let seconds = arguments.seconds.unwrap_or(seconds);
    Plan { runs, seconds, connections: arguments.connections, size }
}

fn measure(engine: Engine, binaries: &Binaries, directory: &Path, plan: Plan) -> Result<Vec<Run>> {
    let home = tempfile::Builder::new().prefix("directpay-bench-").tempdir_in(directory)?;
    let binary = binaries.directpay.clone();
    let bench = Bench { label: engine.name(), home: home.path(), generator: &binaries.xtask, plan };
    match engine {
        Engine::Sqlite => bench.runs(&Deployment::on_sqlite(binary, home.path())),
        Engine::Postgres => {
            let cluster = Cluster::start_in(directory, Durability::Full)?;
            let url = cluster.create_database("bench")?;
            bench.runs(&Deployment::on_postgres(binary, home.path(), url)?)
        }
    }
}

impl Bench<'_> {
    /// One world for all runs: signing up is slow on purpose, and is not what is measured.
    fn runs(&self, deployment: &Deployment) -> Result<Vec<Run>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut world = Vec::new();
        let mut runs = Vec::new();
        for number in 1..=self.plan.runs {
            let server = deployment.serve()?;
            if world.is_empty() {
                world = runtime.block_on(world::make(&server.url, self.plan.size, self.label))?;
            }
            let run = runtime.block_on(run::measure(self, &server.url, &world, number));
            let run = run.with_context(|| deployment.log_tail())?;
            server.stop()?;
            deployment.verify()?;
            runs.push(run);
        }
        Ok(runs)
    }
}
