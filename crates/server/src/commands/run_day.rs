//! `run-day`: the daily pass by hand, for tests and demonstrations.
#![expect(clippy::print_stdout, reason = "says what was done")]

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Table};
use directpay_domain::calendar::parse_date;
use directpay_domain::rail::DelayScale;
use directpay_domain::time::{DAY_US, Instant};
use directpay_domain::trail::{Action, Actor};
use directpay_store::{Db, lease_ledger, sandbox_clock};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::autopay;
use crate::bank::simulator::Simulator;
use crate::bank::{BankConnection, BankTime};
use crate::clock::{Clock, Stopwatch};
use crate::config::Database;
use crate::daily_pass::{self, Tally};
use crate::running::{self, Company, SchemaPolicy};
use crate::sandbox_clock::Step;
use crate::trail;

/// How long other processes may take for the leases that they have taken up.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// Which day.
#[derive(Debug, Clone, Copy, Args)]
pub struct RunDayArgs {
    /// The day to go to, YYYY-MM-DD; omitted, the clock stays where it is
    #[arg(long, value_parser = parse_day)]
    date: Option<Date>,
}

fn parse_day(text: &str) -> Result<Date, String> {
    parse_date(text).map_err(|invalid| invalid.to_string())
}

/// Brings the sandbox's clock to a day, goes through the leases for which a day has begun, and says what that did.
pub async fn run_day(database: &Database, args: RunDayArgs) -> anyhow::Result<()> {
    let opened = running::open(&database.url, Company::Beside, SchemaPolicy::Refuse).await?;
    let db = &opened.db;
    let clock = Clock::default();
    if let Some(date) = args.date {
        let bank = Simulator::new(db.clone(), clock.clone(), DelayScale::AS_IT_IS)?;
        must_be_ours(bank.time())?;
        bring_to(db, &clock, date).await?;
    }
    let mut tx = db.begin_read().await?;
    clock.move_ahead(sandbox_clock::ahead_us(&mut tx).await?);
    drop(tx);
    let passed = pass(db, &clock).await?;
    // When the draws settle, the server says that hands them to the bank.
    let autopay = autopay::run_in(db, &clock, DelayScale::AS_IT_IS).await?;
    println!("business time is {}", clock.business());
    println!("{}", table(passed, autopay));
    db.close().await;
    Ok(())
}

/// Goes on only where the bank goes by our time.
fn must_be_ours(time: BankTime) -> anyhow::Result<()> {
    match time {
        BankTime::Ours => Ok(()),
        BankTime::Real => bail!("a real bank's time cannot be moved"),
    }
}

/// Moves business time to `date` unless it is there already. Nobody else moves it meanwhile.
async fn bring_to(db: &Db, clock: &Clock, date: Date) -> anyhow::Result<()> {
    let begun = begun_everywhere(date)?;
    let mut tx = db.begin().await?;
    let ahead_us = sandbox_clock::hold(&mut tx).await?;
    let now = clock.business_ahead(ahead_us);
    if begun.plus_micros(DAY_US) <= now {
        bail!("business time is {now} already, where {date} is over, and it never goes back");
    }
    if now < begun {
        let by_us =
            Step::To(begun).micros(now, ahead_us).map_err(|invalid| anyhow::anyhow!("{date} {}", invalid.detail))?;
        sandbox_clock::advance(&mut tx, by_us).await?;
        trail::done(Action::ClockAdvanced).by(Actor::Command).with(json!({"by_us": by_us})).record(&mut tx).await?;
        tx.commit().await?;
        tracing::info!(%date, by_us, "business time was moved");
    }
    Ok(())
}

/// The moment by which `date` has begun wherever a calendar hangs, and is over nowhere in the United States: noon in Greenwich,
/// which is one in the morning in Samoa and ten at night on Guam.
fn begun_everywhere(date: Date) -> anyhow::Result<Instant> {
    let noon = date.at(12, 0, 0, 0).to_zoned(TimeZone::UTC).context("the date lies too far away")?;
    Ok(noon.timestamp().into())
}

/// Goes through all leases for which a day has begun. Those that another process has taken up are waited for.
async fn pass(db: &Db, clock: &Clock) -> anyhow::Result<Tally> {
    let mut passed = daily_pass::run_in(db, clock).await?;
    let waiting = Stopwatch::start();
    loop {
        let mut tx = db.begin_read().await?;
        if !lease_ledger::is_pass_due(&mut tx, clock.business()).await? {
            return Ok(passed);
        }
        drop(tx);
        if PATIENCE < waiting.elapsed() {
            bail!("other processes are still at work on some leases; what is done here is done: {passed:?}");
        }
        tokio::time::sleep(PAUSE).await;
        passed.add(daily_pass::run_in(db, clock).await?);
    }
}

fn table(passed: Tally, autopay: autopay::Tally) -> Table {
    let Tally { leases, charges, fees, put_off } = passed;
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["What was done", "How often"]);
    for (what, count) in [
        ("leases went into a new day", leases),
        ("charges were posted", charges),
        ("late fees were made", fees),
        ("mandates were looked after", autopay.mandates),
        ("payments were drawn", autopay.drawn),
        ("leases could not be read and were put off", put_off),
    ] {
        table.add_row([Cell::new(what), Cell::new(count).set_alignment(CellAlignment::Right)]);
    }
    table
}

#[cfg(test)]
mod tests {
    use directpay_domain::property::{ZoneName, local_date};
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_day_has_begun_everywhere_and_is_over_nowhere_in_the_states() {
        let day = date(2026, 3, 6);
        let begun = begun_everywhere(day).unwrap();
        for zone in ["Pacific/Guam", "America/New_York", "America/Anchorage", "Pacific/Honolulu", "Pacific/Pago_Pago"] {
            assert_eq!(local_date(&ZoneName::parse(zone).unwrap(), begun.timestamp()), day, "{zone}");
        }
    }

    #[test]
    fn a_real_banks_time_is_not_moved() {
        assert!(must_be_ours(BankTime::Ours).is_ok());
        assert!(must_be_ours(BankTime::Real).unwrap_err().to_string().contains("cannot be moved"));
    }
}
