//! `cargo xtask seed-data`: a database full of settled payments, to see what growth does to it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, ensure};

use crate::guard::{self, Guarded};
use crate::process::describe;
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

/// Fills the database that was named.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    fill(&workspace::bulk_example(None)?, &arguments.database, arguments.payments, arguments.tenancies)?;
    Ok(ExitCode::SUCCESS)
}

/// Lets the program `bulk` write payments through the store, in large transactions; `directpay verify` accepts what comes of
/// it. It shows its progress on our terminal.
pub(crate) fn fill(bulk: &Path, database: &str, payments: u64, tenancies: u64) -> Result<()> {
    let (payments, tenancies) = (payments.to_string(), tenancies.to_string());
    let mut command = guard::command(&[])?;
    command.arg(bulk).args(["--database", database, "--payments", &payments, "--tenancies", &tenancies]);
    command.args(["--batch", "1000"]);
    let status = Guarded::spawn(command)?.wait()?;
    ensure!(status.success(), "bulk failed: {}", describe(status));
    Ok(())
}
