//! `cargo xtask simulate`: months of many leases, by lot, with every invariant checked after every day.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::postgres::{Cluster, Durability};
use crate::process;
use crate::workspace::cargo;

/// What `cargo xtask simulate` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many leases
    #[arg(long, default_value_t = 200)]
    leases: u32,
    /// How many days
    #[arg(long, default_value_t = 730)]
    days: u32,
    /// What is drawn by lot; omitted, a new one each time, which is printed
    #[arg(long)]
    seed: Option<u32>,
    /// On which databases
    #[arg(long, value_enum, default_value = "both")]
    engine: Engine,
}

/// Where the leases are kept.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Engine {
    /// SQLite only.
    Sqlite,
    /// PostgreSQL only.
    Postgres,
    /// SQLite, then PostgreSQL.
    Both,
}

/// Runs the simulation of the server's tests, compiled as a release is.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos(),
    };
    let engine = match arguments.engine {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgres",
        Engine::Both => "both",
    };
    println!("seed {seed}");
    let cluster = match arguments.engine {
        Engine::Sqlite => None,
        Engine::Postgres | Engine::Both => Some(Cluster::start(Durability::Off)?),
    };
    let mut test = cargo(&["test", "--release", "-p", "directpay-server", "--test", "directpay", "--"]);
    test.args(["simulation::as_large_as_one_likes", "--exact", "--ignored", "--nocapture"])
        .env("DIRECTPAY_TEST_SIMULATION_LEASES", arguments.leases.to_string())
        .env("DIRECTPAY_TEST_SIMULATION_DAYS", arguments.days.to_string())
        .env("DIRECTPAY_TEST_SIMULATION_SEED", seed.to_string())
        .env("DIRECTPAY_TEST_SIMULATION_ENGINE", engine);
    if let Some(cluster) = &cluster {
        test.env("DIRECTPAY_TEST_POSTGRES", cluster.url("postgres"));
    }
    Ok(if process::run(&mut test)?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
