//! Schedules as of a day: written with the lease, extended while it goes on from month to month.

use directpay_domain::id::{ChargeId, LeaseId};
use directpay_domain::lease::LeaseTerms;
use directpay_domain::property::{self, ZoneName};
use directpay_domain::schedule;
use directpay_domain::time::Instant;
use directpay_store::leases::{self, OpenEnded};
use directpay_store::{StoreError, Tx, charges};
use jiff::civil::Date;
use jiff::tz::{self, TimeZone};

use crate::app::App;
use crate::clock;

/// Leases in one transaction: on SQLite nobody else writes meanwhile.
const BATCH_MAX: i64 = 100;

/// The zone furthest west (UTC-12): when a day has come there, it has come everywhere.
const FURTHEST_WEST: tz::Offset = tz::Offset::constant(-12);

/// The day that the calendar shows at `now` in the stored zone of a property.
pub fn today_in(time_zone: &str, now: Instant) -> Result<Date, StoreError> {
    let zone = ZoneName::parse(time_zone).map_err(|source| StoreError::Damaged { what: "time zone", source })?;
    Ok(property::local_date(&zone, now.timestamp()))
}

/// Makes the stored schedule of a lease what its terms say as of `today`, the property's local day.
///
/// Doing it again changes nothing, and a row that is missing comes back.
pub async fn write(tx: &mut Tx, lease: LeaseId, terms: &LeaseTerms, today: Date) -> Result<(), StoreError> {
    let scheduled = schedule::schedule(terms, schedule::horizon(terms.starts_on, today));
    charges::reconcile(tx, lease, &scheduled, || ChargeId(clock::new_id())).await
}

/// Brings the schedules of all open-ended leases up to the present day, and says how many.
///
/// A lease is due when its own calendar surely shows a later day than that of its last extension: judged by the day furthest
/// west, a few hours late and far ahead of the twelve months that a schedule reaches. It is marked with its own day, which is
/// never earlier, so it is worked on once a day at most and this ends. What a crash interrupts is done by the next run.
pub async fn extend_open_ended(app: &App) -> Result<u64, StoreError> {
    let now = app.clock.business();
    let mut extended = 0;
    loop {
        let claimed = extend_batch(app, now).await?;
        extended += u64::try_from(claimed).unwrap_or_default();
        if claimed < BATCH_MAX {
            return Ok(extended);
        }
    }
}

/// Extends up to [`BATCH_MAX`] leases in one transaction, and says how many there were.
async fn extend_batch(app: &App, now: Instant) -> Result<i64, StoreError> {
    let day = TimeZone::fixed(FURTHEST_WEST).to_datetime(now.timestamp()).date();
    let mut tx = app.db.begin().await?;
    let claimed = leases::claim_open_ended(&mut tx, day, BATCH_MAX).await?;
    for open_ended in &claimed {
        match extend(&mut tx, open_ended, now).await {
            // One that cannot be read must not hold up the others.
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::error!(lease_id = %open_ended.id, error = &error as &dyn std::error::Error, "a schedule is not extended");
                leases::mark_scheduled(&mut tx, LeaseId(open_ended.id), day).await?;
            }
            extended => extended?,
        }
    }
    tx.commit().await?;
    Ok(i64::try_from(claimed.len()).unwrap_or(BATCH_MAX))
}

async fn extend(tx: &mut Tx, open_ended: &OpenEnded, now: Instant) -> Result<(), StoreError> {
    let id = LeaseId(open_ended.id);
    let today = today_in(&open_ended.time_zone, now)?;
    if let Some(lease) = leases::find(tx, id).await? {
        write(tx, id, &lease.terms, today).await?;
    }
    leases::mark_scheduled(tx, id, today).await
}
