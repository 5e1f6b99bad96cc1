//! `report`: what a landlord's books say, in the terminal or as a file.

use std::io::{self, Write};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, Table};
use directpay_domain::calendar::parse_date;
use directpay_domain::id::UserId;
use directpay_domain::invalid::Invalid;
use directpay_domain::report::{Basis, Month};
use directpay_domain::trail::Action;
use directpay_store::reports::Days;
use directpay_store::reports::payments::Span;
use directpay_store::{Db, Tx, sandbox_clock};
use jiff::civil::Date;

use super::export::find_landlord;
use crate::api::reports::payments::Parts;
use crate::api::reports::sheet::{self, Sheet};
use crate::api::reports::{arrears, income, month, payments, rent_roll};
use crate::clock::Clock;
use crate::config::Database;
use crate::running::{self, Company, SchemaPolicy};
use crate::trail;

/// Payments that a terminal is shown: whoever wants more wants a file.
const SHOWN_MAX: usize = 1_000;

/// Which report.
#[derive(Debug, Clone, Subcommand)]
pub enum ReportCommand {
    /// Every lease that runs, or of which something is left
    RentRoll(AsOfArgs),
    /// What is owed, by the days since it was due
    Arrears(AsOfArgs),
    /// What fell due in a month, and what came of it
    Month(MonthArgs),
    /// Payments and refunds, with the days on which they settled
    Payments(SpanArgs),
    /// Income by property and month, for the tax return
    Income(YearArgs),
}

/// Whose report, and in which form.
#[derive(Debug, Clone, Args)]
pub struct ForWhom {
    /// Whose books: an e-mail address or an id
    #[arg(long)]
    landlord: String,
    /// Write CSV instead of a table
    #[arg(long)]
    csv: bool,
}

/// A report of a day.
#[derive(Debug, Clone, Args)]
pub struct AsOfArgs {
    #[command(flatten)]
    whom: ForWhom,
    /// The day, YYYY-MM-DD; today if omitted
    #[arg(long, value_parser = |text: &str| or_why(parse_date(text)))]
    as_of: Option<Date>,
}

/// A report of a month.
#[derive(Debug, Clone, Args)]
pub struct MonthArgs {
    #[command(flatten)]
    whom: ForWhom,
    /// The month, YYYY-MM
    #[arg(long, value_parser = |text: &str| or_why(Month::parse(text)))]
    month: Month,
}

/// A report of some days.
#[derive(Debug, Clone, Args)]
pub struct SpanArgs {
    #[command(flatten)]
    whom: ForWhom,
    /// The first day on which payments were initiated, YYYY-MM-DD
    #[arg(long, value_parser = |text: &str| or_why(parse_date(text)))]
    from: Option<Date>,
    /// The last day, YYYY-MM-DD
    #[arg(long, value_parser = |text: &str| or_why(parse_date(text)))]
    to: Option<Date>,
}

/// A report of a year.
#[derive(Debug, Clone, Args)]
pub struct YearArgs {
    #[command(flatten)]
    whom: ForWhom,
    /// The year, YYYY
    #[arg(long)]
    year: String,
    /// CASH: when money has arrived; ACCRUAL: when it is owed
    #[arg(long, default_value = "CASH", value_parser = |text: &str| or_why(Basis::parse(text)))]
    basis: Basis,
}

fn or_why<T>(parsed: Result<T, Invalid>) -> Result<T, String> {
    parsed.map_err(|invalid| invalid.detail.into_owned())
}

/// Writes a report.
pub async fn report(database: &Database, command: &ReportCommand) -> anyhow::Result<()> {
    let opened = running::open(&database.url, Company::Beside, SchemaPolicy::Refuse).await?;
    match command {
        ReportCommand::RentRoll(AsOfArgs { whom, as_of }) => {
            let (mut tx, landlord, days) = begin(&opened.db, whom, *as_of).await?;
            write(&rent_roll::sheet(&mut tx, landlord, &days).await?, whom.csv)?;
        }
        ReportCommand::Arrears(AsOfArgs { whom, as_of }) => {
            let (mut tx, landlord, days) = begin(&opened.db, whom, *as_of).await?;
            write(&arrears::sheet(&mut tx, landlord, &days).await?, whom.csv)?;
        }
        ReportCommand::Month(MonthArgs { whom, month }) => {
            let (mut tx, landlord, days) = begin(&opened.db, whom, None).await?;
            write(&month::sheet(&mut tx, landlord, &days, *month).await?, whom.csv)?;
        }
        ReportCommand::Income(YearArgs { whom, year, basis }) => {
            let months = or_why(Month::of_year(year)).map_err(|why| anyhow!("--year {why}"))?;
            let (mut tx, landlord, days) = begin(&opened.db, whom, None).await?;
            write(&income::sheet(&mut tx, landlord, &days, *basis, &months).await?, whom.csv)?;
        }
        ReportCommand::Payments(SpanArgs { whom, from, to }) => {
            let span = payments::span(*from, *to).map_err(|_| anyhow!("--to lies before --from"))?;
            write_payments(&opened.db, whom, span).await?;
        }
    }
    opened.db.close().await;
    Ok(())
}

/// One moment of the books of a landlord, and the day of the report where the properties lie.
async fn begin(db: &Db, whom: &ForWhom, as_of: Option<Date>) -> anyhow::Result<(Tx, UserId, Days)> {
    let landlord = find_landlord(db, &whom.landlord).await?;
    trail::command(db, Action::ReportRead, Some(landlord.into())).await?;
    let mut tx = db.begin_read().await?;
    let now = Clock::default().business_ahead(sandbox_clock::ahead_us(&mut tx).await?);
    let days = Days::of(&mut tx, landlord, as_of, now).await?;
    anyhow::ensure!(!days.are_future(), "--as-of lies in the future where the properties are");
    Ok((tx, landlord, days))
}

/// Writes all payments, or as many as a terminal is shown.
async fn write_payments(db: &Db, whom: &ForWhom, span: Span) -> anyhow::Result<()> {
    let (mut tx, landlord, days) = begin(db, whom, None).await?;
    let totals = payments::total_rows(&mut tx, landlord, &days, span).await?;
    drop(tx);
    let mut parts = Parts::new(db.clone(), landlord, days, span);
    let mut sheet = parts.head();
    let cannot = |_| anyhow!("the payments cannot be read; the log says why");
    if whom.csv {
        io::stdout().write_all(&sheet.to_csv()?)?;
        while let Some(piece) = parts.next_of_file().await.map_err(cannot)? {
            io::stdout().write_all(&piece)?;
        }
        return Ok(());
    }
    while let Some(rows) = parts.next().await.map_err(cannot)? {
        sheet.rows.extend(rows);
        if SHOWN_MAX < sheet.rows.len() {
            break;
        }
    }
    let is_cut = SHOWN_MAX < sheet.rows.len();
    sheet.rows.truncate(SHOWN_MAX);
    sheet.totals = totals;
    write(&sheet, false)?;
    if is_cut {
        writeln!(io::stdout(), "Only the newest {SHOWN_MAX} are shown; --csv writes all of them.")?;
    }
    Ok(())
}

fn write(sheet: &Sheet, as_csv: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if as_csv {
        out.write_all(&sheet.to_csv()?).context("cannot write")?;
    } else {
        writeln!(out, "{}", table(sheet)).context("cannot write")?;
    }
    Ok(())
}

/// The columns that a terminal has room for, amounts on the right, the sums in bold.
fn table(sheet: &Sheet) -> Table {
    let mut table = Table::new();
    let shown = |cells: &[sheet::Cell]| {
        let pairs = sheet.columns.iter().zip(cells).filter(|(column, _)| column.is_shown);
        pairs.map(|(_, cell)| in_terminal(cell)).collect::<Vec<_>>()
    };
    let names = sheet.columns.iter().filter(|column| column.is_shown).map(|column| column.name);
    table.load_style(UTF8_FULL_CONDENSED).set_header(names);
    table.add_rows(sheet.rows.iter().map(|row| shown(row)));
    let bold = |cell: Cell| cell.add_attribute(Attribute::Bold);
    table.add_rows(sheet.totals.iter().map(|row| shown(row).into_iter().map(bold).collect::<Vec<_>>()));
    table
}

fn in_terminal(cell: &sheet::Cell) -> Cell {
    let shown = Cell::new(cell.as_str());
    match cell {
        sheet::Cell::Number(_) => shown.set_alignment(CellAlignment::Right),
        sheet::Cell::Text(_) | sheet::Cell::Word(_) | sheet::Cell::Empty => shown,
    }
}
