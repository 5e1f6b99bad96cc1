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
    #[command(flatten)]
    town: Town,
    /// sqlite://FILE or postgres://…; made if it is not there. No worker may run on it meanwhile.
    #[arg(long)]
    database: String,
}

/// Who has paid whom how often.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Town {
    /// How many payments.
    #[arg(long)]
    pub(crate) payments: u64,
    /// How many renters pay, each on a lease of its own.
    #[arg(long, default_value_t = 2000)]
    pub(crate) tenancies: u64,
    /// How many of them have one landlord.
    #[arg(long, default_value_t = Town::TENANCIES_EACH)]
    pub(crate) tenancies_each: u64,
    /// Over how many months, the last ones, the payments are spread; without it, all are made now.
    #[arg(long)]
    pub(crate) months: Option<u16>,
}

impl Town {
    /// A landlord with ten flats.
    pub(crate) const TENANCIES_EACH: u64 = 10;
}

/// Fills the database that was named.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    fill(&workspace::bulk_example(None)?, &arguments.database, arguments.town)?;
    Ok(ExitCode::SUCCESS)
}

/// Lets the program `bulk` write payments through the store, in large transactions; `directpay verify` accepts what comes of
/// it. It shows its progress on our terminal.
pub(crate) fn fill(bulk: &Path, database: &str, town: Town) -> Result<()> {
    let Town { payments, tenancies, tenancies_each, months } = town;
    let mut command = guard::command(&[])?;
    command.arg(bulk).args(["--database", database, "--batch", "1000"]);
    for (name, number) in [("payments", payments), ("tenancies", tenancies), ("tenancies-each", tenancies_each)] {
        command.arg(format!("--{name}={number}"));
    }
    command.args(months.map(|months| format!("--months={months}")));
    let status = Guarded::spawn(command)?.wait()?;
    ensure!(status.success(), "bulk failed: {}", describe(status));
    Ok(())
}
