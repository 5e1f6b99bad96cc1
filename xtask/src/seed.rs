//! `cargo xtask seed-data`: a database full of settled payments, to see what growth does to it.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::workspace;

/// What `cargo xtask seed-data` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many payments.
    #[arg(long)]
    payments: u64,
    /// sqlite://FILE or postgres://…; made if it is not there. No worker may run on it meanwhile.
    #[arg(long)]
    database: String,
    /// How many renters pay, each on a lease of its own.
    #[arg(long, default_value_t = 2000)]
    tenancies: u64,
}

/// Writes them through the store, in large transactions; `directpay verify` accepts what comes of it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let bulk = workspace::bulk_example(None)?;
    let (payments, tenancies) = (arguments.payments.to_string(), arguments.tenancies.to_string());
    let numbers = ["--payments", &payments, "--tenancies", &tenancies, "--batch", "1000"];
    // In our own process group and with our terminal: it shows a progress bar, and Ctrl-C ends it.
    let status = Command::new(bulk).args(["--database", &arguments.database]).args(numbers).status();
    let status = status.context("cannot run bulk")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
