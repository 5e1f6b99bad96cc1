//! The rows of a lease's schedule.

use directpay_domain::calendar;
use directpay_domain::id::{ChargeId, LeaseId};
use directpay_domain::money::{Amount, Currency};
use directpay_domain::schedule::{ChargeKind, ScheduledCharge};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::{Sql, sql};
use crate::values::Json;

/// A row of a schedule.
#[derive(Debug, Clone)]
pub struct Charge {
    /// Which row.
    pub id: ChargeId,
    /// What is charged, for when, due when, how much.
    pub scheduled: ScheduledCharge,
}

#[derive(Serialize, Deserialize, FromRow)]
struct ChargeRow {
    id: Uuid,
    kind: String,
    period_start: i64,
    period_end: i64,
    due_date: i64,
    amount: i64,
    currency: String,
}

impl ChargeRow {
    fn new(id: ChargeId, charge: &ScheduledCharge) -> ChargeRow {
        ChargeRow {
            id: id.0,
            kind: charge.kind.name().to_owned(),
            period_start: calendar::date_to_number(charge.period_start),
            period_end: calendar::date_to_number(charge.period_end),
            due_date: calendar::date_to_number(charge.due_date),
            amount: charge.amount.minor(),
            currency: charge.amount.currency().code().to_owned(),
        }
    }

    fn into_charge(self) -> Result<Charge, StoreError> {
        let date = |number| calendar::date_from_number(number).map_err(StoreError::damaged("date"));
        let currency = Currency::parse(&self.currency).map_err(StoreError::damaged("currency"))?;
        Ok(Charge {
            id: ChargeId(self.id),
            scheduled: ScheduledCharge {
                kind: ChargeKind::parse(&self.kind).map_err(StoreError::damaged("charge kind"))?,
                period_start: date(self.period_start)?,
                period_end: date(self.period_end)?,
                due_date: date(self.due_date)?,
                amount: Amount::from_minor(self.amount, currency).map_err(StoreError::damaged("amount"))?,
            },
        })
    }
}

/// The whole schedule of a lease, oldest first.
///
/// Its length is bounded by the lease: one row a month for the years that a date may span.
pub async fn list(tx: &mut Tx, lease: LeaseId) -> Result<Vec<Charge>, StoreError> {
    let rows: Vec<ChargeRow> = tx
        .fetch_all(
            "SELECT id, kind, period_start, period_end, due_date, amount, currency FROM charges
             WHERE lease_id = $1 ORDER BY due_date, period_start, kind",
            (lease.0,),
        )
        .await?;
    rows.into_iter().map(ChargeRow::into_charge).collect()
}

/// Makes the stored schedule of a lease equal to `charges`.
///
/// A row is known by lease, kind and period start: it keeps its id, a missing one comes back, a changed one is changed,
/// what is no longer charged goes. Doing it again changes nothing. `new_id` brings an id for each row that is new.
pub async fn reconcile(
    tx: &mut Tx,
    lease: LeaseId,
    charges: &[ScheduledCharge],
    mut new_id: impl FnMut() -> ChargeId,
) -> Result<(), StoreError> {
    const REMOVE: Sql = sql!(
        "DELETE FROM charges WHERE lease_id = $2 AND NOT EXISTS (SELECT 1 FROM",
        rows(kind text, period_start bigint),
        "WHERE r.kind = charges.kind AND r.period_start = charges.period_start)"
    );
    const UPSERT: Sql = sql!(
        "INSERT INTO charges (id, lease_id, kind, period_start, period_end, due_date, amount, currency)
         SELECT r.id, $2, r.kind, r.period_start, r.period_end, r.due_date, r.amount, r.currency FROM",
        rows(id uuid, kind text, period_start bigint, period_end bigint, due_date bigint, amount bigint, currency text),
        "WHERE true ON CONFLICT (lease_id, kind, period_start) DO UPDATE
         SET period_end = excluded.period_end, due_date = excluded.due_date, amount = excluded.amount,
             currency = excluded.currency
         WHERE charges.period_end <> excluded.period_end OR charges.due_date <> excluded.due_date
            OR charges.amount <> excluded.amount OR charges.currency <> excluded.currency"
    );
    let rows: Vec<_> = charges.iter().map(|charge| ChargeRow::new(new_id(), charge)).collect();
    tx.execute(REMOVE, (Json(&rows), lease.0)).await?;
    tx.execute(UPSERT, (Json(&rows), lease.0)).await?;
    Ok(())
}
