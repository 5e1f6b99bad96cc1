//! `cargo xtask <command>`: `--help` lists what there is.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::bench::{self, ceiling, load};
use xtask::{clients, fuzz, guard, migrations, postgres, process, seed, simulate, test};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Automation of the DirectPay workspace")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check everything: format, lints, documentation, tidiness, and all tests on both databases.
    Test(test::Arguments),
    /// Start a throw-away PostgreSQL, print its address, and keep it until Ctrl-C.
    Postgres(postgres::Arguments),
    /// Hold a running server against its own OpenAPI document, with schemathesis.
    FuzzApi(fuzz::Arguments),
    /// Lint the API document, make clients of it, and verify webhooks with libraries of others.
    TestClients(clients::Arguments),
    /// Measure how many payments a second are accepted and settled, on both databases.
    Bench(bench::Arguments),
    /// Fill a database with settled payments.
    SeedData(seed::Arguments),
    /// Let months of many leases pass, by lot, and check every invariant after every day.
    Simulate(simulate::Arguments),
    /// Append the migrations that are about to be released to the list of those that never change.
    FreezeMigrations,
    /// Send payments and print what came back.
    #[command(hide = true)]
    BenchLoad(load::Arguments),
    /// Answer every payment without making one.
    #[command(hide = true)]
    BenchCeiling,
    /// Run a program that ends when standard input closes.
    #[command(hide = true)]
    Guard(guard::Arguments),
}

fn main() -> anyhow::Result<ExitCode> {
    let command = Cli::parse().command;
    if let Command::Guard(arguments) = &command {
        return guard::run(arguments);
    }
    process::pass_signals_on()?;
    match command {
        Command::Test(arguments) => test::run(&arguments),
        Command::Postgres(arguments) => postgres::run(&arguments),
        Command::FuzzApi(arguments) => fuzz::run(&arguments),
        Command::TestClients(arguments) => clients::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::BenchLoad(arguments) => load::run(&arguments),
        Command::BenchCeiling => ceiling::run(),
        Command::SeedData(arguments) => seed::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::FreezeMigrations => migrations::freeze(),
        Command::Guard(arguments) => guard::run(&arguments),
    }
}
