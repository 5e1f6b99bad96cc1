//! `verify`: every invariant, in a table, with an exit status.
#![expect(clippy::print_stdout, reason = "the table is what the command is for")]

use std::process::ExitCode;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Color, Table};
use directpay_store::{Audit, Check, Db, audit};
use indicatif::{ProgressBar, ProgressStyle};

use crate::config::Database;
use crate::running::{self, Company, SchemaPolicy};

/// Checks everything and prints what was checked.
pub async fn verify(database: &Database) -> anyhow::Result<ExitCode> {
    let opened = running::open(&database.url, Company::Beside, SchemaPolicy::Refuse).await?;
    let audit = with_progress(&opened.db).await?;
    print(&audit);
    Ok(if audit.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the audit behind a progress bar; the bar is drawn only where somebody looks.
pub async fn with_progress(db: &Db) -> anyhow::Result<Audit> {
    let bar = bar("payments and instructions")?;
    let audit = audit(db, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .await?;
    bar.finish_and_clear();
    Ok(audit)
}

/// A progress bar that counts things of this name.
pub(super) fn bar(of: &'static str) -> anyhow::Result<ProgressBar> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}, {eta} left")?);
    bar.set_message(of);
    Ok(bar)
}

/// Prints the table, and the first breaches of each check.
pub fn print(audit: &Audit) {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["What must hold", "Looked at", "Breaches"]);
    for check in &audit.checks {
        let color = if check.breaches == 0 { Color::Green } else { Color::Red };
        table.add_row([
            Cell::new(check.name),
            Cell::new(check.examined).set_alignment(CellAlignment::Right),
            Cell::new(check.breaches).set_alignment(CellAlignment::Right).fg(color),
        ]);
    }
    println!("{table}");
    for Check { name, described, .. } in &audit.checks {
        for breach in described {
            println!("breach of \"{name}\": {breach}");
        }
    }
}
