//! What has to be known to tell whether rent is late: since when which money counts.

use directpay_domain::calendar;
use directpay_domain::id::{ChargeId, LeaseId};
use directpay_domain::time::Instant;
use jiff::civil::Date;
use uuid::Uuid;

use crate::charges::{Charge, ChargeRow};
use crate::db::Tx;
use crate::error::StoreError;
use crate::payments::{self, PendingRent};

/// Money and the moment since which it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counting {
    /// When the payment was initiated, or the credit was given.
    pub since: Instant,
    /// In minor units, more than zero.
    pub minor: i64,
}

/// The posted rent of a lease that may have a late fee to come: what is open, and what was due on `since` or later.
pub async fn instalments(tx: &mut Tx, lease: LeaseId, since: Date) -> Result<Vec<Charge>, StoreError> {
    let rows: Vec<ChargeRow> = tx
        .fetch_all(
            "SELECT * FROM charges WHERE lease_id = $1 AND kind = 'RENT' AND posted_at IS NOT NULL AND voided_at IS NULL
             AND (applied < amount OR $2 <= due_date) ORDER BY due_date, id",
            (lease.0, calendar::date_to_number(since)),
        )
        .await?;
    rows.into_iter().map(ChargeRow::into_charge).collect()
}

/// The late fees that a charge has, also those that were voided: each by the day that it is for.
pub async fn fees_of(tx: &mut Tx, lease: LeaseId, charge: ChargeId) -> Result<Vec<Charge>, StoreError> {
    let rows: Vec<ChargeRow> = tx
        .fetch_all(
            "SELECT * FROM charges WHERE lease_id = $1 AND kind = 'LATE_FEE' AND origin_id = $2 ORDER BY period_start",
            (lease.0, charge.0),
        )
        .await?;
    rows.into_iter().map(ChargeRow::into_charge).collect()
}

/// The money that stands against a charge: payments on their way or settled, and credits.
pub async fn counting(tx: &mut Tx, charge: ChargeId) -> Result<Vec<Counting>, StoreError> {
    let rows: Vec<(Uuid, i64, i64)> = tx
        .fetch_all(
            "SELECT a.source_id, CAST(SUM(a.amount) AS BIGINT), MIN(COALESCE(p.initiated_at, e.occurred_at))
             FROM allocations a JOIN events e ON e.stream_id = a.stream_id AND e.sequence = a.sequence
             LEFT JOIN payments p ON p.id = a.source_id WHERE a.charge_id = $1
             GROUP BY a.source_id HAVING SUM(a.amount) <> 0",
            (charge.0,),
        )
        .await?;
    rows.into_iter().map(|(_, minor, since)| counted(since, minor)).collect()
}

/// Rent of a lease that was accepted and that no bank has seen yet: it is on its way as well. Oldest first.
pub async fn pending(tx: &mut Tx, lease: LeaseId) -> Result<Vec<Counting>, StoreError> {
    let pending = payments::pending_rent(tx, lease).await?.into_iter();
    Ok(pending.map(|PendingRent { initiated_at, minor, .. }| Counting { since: initiated_at, minor }).collect())
}

fn counted(since: i64, minor: i64) -> Result<Counting, StoreError> {
    Ok(Counting { since: Instant::from_micros(since).map_err(StoreError::damaged("time"))?, minor })
}
