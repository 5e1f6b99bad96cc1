//! What leases charge: the rows of their schedules, and what was posted.

use std::collections::HashMap;

use directpay_domain::calendar;
use directpay_domain::charge::{ChargeKind, Place};
use directpay_domain::id::{ChargeId, LeaseId};
use directpay_domain::money::{Amount, Currency};
use directpay_domain::schedule::ScheduledCharge;
use directpay_domain::time::Instant;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::{Sql, sql};
use crate::values::Json;

/// A charge: a row of a schedule until it is posted, owed from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// Which one.
    pub id: ChargeId,
    /// The lease that charges.
    pub lease_id: LeaseId,
    /// What for.
    pub kind: ChargeKind,
    /// What it follows from: the lease for its rent, the extra, the late charge, the refund; or it stands for itself.
    pub origin_id: Uuid,
    /// The first day that it pays for.
    pub period_start: Date,
    /// The last day that it pays for.
    pub period_end: Date,
    /// When it is due.
    pub due_date: Date,
    /// What is charged.
    pub amount: Amount,
    /// In the landlord's words, if there are any.
    pub description: Option<String>,
    /// Since when it is owed; none while it only stands in the schedule.
    pub posted_at: Option<Instant>,
    /// When it was voided, if it was.
    pub voided_at: Option<Instant>,
    /// How much of it is paid or on its way, in minor units.
    pub applied_minor: i64,
    /// How much of that is a correction: it had been charged and was not owed.
    pub corrected_minor: i64,
}

impl Charge {
    /// A charge that stands for itself, in no schedule, for one day on which it is due.
    pub fn standing_alone(id: ChargeId, lease_id: LeaseId, kind: ChargeKind, day: Date, amount: Amount) -> Charge {
        Charge {
            id,
            lease_id,
            kind,
            origin_id: id.0,
            period_start: day,
            period_end: day,
            due_date: day,
            amount,
            description: None,
            posted_at: None,
            voided_at: None,
            applied_minor: 0,
            corrected_minor: 0,
        }
    }

    /// Its place in the order in which money pays for charges.
    pub fn place(&self) -> Place {
        Place::new(self.kind, self.due_date, self.id)
    }

    /// Whether it is posted and not voided.
    pub fn is_owed(&self) -> bool {
        self.posted_at.is_some() && self.voided_at.is_none()
    }

    /// What is owed of it, in minor units: nothing before it is posted and after it was voided.
    pub fn open_minor(&self) -> i64 {
        match (self.posted_at, self.voided_at) {
            (Some(_), None) => self.amount.minor() - self.applied_minor,
            (None, _) | (_, Some(_)) => 0,
        }
    }
}

#[derive(Debug, Serialize, Deserialize, FromRow)]
pub(crate) struct ChargeRow {
    id: Uuid,
    lease_id: Uuid,
    kind: String,
    origin_id: Uuid,
    period_start: i64,
    period_end: i64,
    due_date: i64,
    amount: i64,
    currency: String,
    description: Option<String>,
    posted_at: Option<i64>,
    voided_at: Option<i64>,
    applied: i64,
    corrected: i64,
}

impl From<&Charge> for ChargeRow {
    fn from(charge: &Charge) -> ChargeRow {
        ChargeRow {
            id: charge.id.0,
            lease_id: charge.lease_id.0,
            kind: charge.kind.name().to_owned(),
            origin_id: charge.origin_id,
            period_start: calendar::date_to_number(charge.period_start),
            period_end: calendar::date_to_number(charge.period_end),
            due_date: calendar::date_to_number(charge.due_date),
            amount: charge.amount.minor(),
            currency: charge.amount.currency().code().to_owned(),
            description: charge.description.clone(),
            posted_at: charge.posted_at.map(Instant::micros),
            voided_at: charge.voided_at.map(Instant::micros),
            applied: charge.applied_minor,
            corrected: charge.corrected_minor,
        }
    }
}

impl ChargeRow {
    pub(crate) fn into_charge(self) -> Result<Charge, StoreError> {
        let date = |number| calendar::date_from_number(number).map_err(StoreError::damaged("date"));
        let moment = |micros: Option<i64>| {
            micros.map(|micros| Instant::from_micros(micros).map_err(StoreError::damaged("time"))).transpose()
        };
        let currency = Currency::parse(&self.currency).map_err(StoreError::damaged("currency"))?;
        Ok(Charge {
            id: ChargeId(self.id),
            lease_id: LeaseId(self.lease_id),
            kind: ChargeKind::parse(&self.kind).map_err(StoreError::damaged("charge kind"))?,
            origin_id: self.origin_id,
            period_start: date(self.period_start)?,
            period_end: date(self.period_end)?,
            due_date: date(self.due_date)?,
            amount: Amount::from_minor(self.amount, currency).map_err(StoreError::damaged("amount"))?,
            description: self.description,
            posted_at: moment(self.posted_at)?,
            voided_at: moment(self.voided_at)?,
            applied_minor: self.applied,
            corrected_minor: self.corrected,
        })
    }
}

/// All charges of a lease, oldest first, those of a day in the order in which money pays for them.
///
/// Their number is bounded by the lease: a few rows a month for the years that a date may span.
pub async fn list(tx: &mut Tx, lease: LeaseId) -> Result<Vec<Charge>, StoreError> {
    let rows: Vec<ChargeRow> = tx.fetch_all("SELECT * FROM charges WHERE lease_id = $1", (lease.0,)).await?;
    let mut charges = rows.into_iter().map(ChargeRow::into_charge).collect::<Result<Vec<_>, _>>()?;
    charges.sort_by_key(|charge| (charge.due_date, charge.place()));
    Ok(charges)
}

/// One charge of a lease.
pub async fn find(tx: &mut Tx, lease: LeaseId, id: ChargeId) -> Result<Option<Charge>, StoreError> {
    let row: Option<ChargeRow> =
        tx.fetch_optional("SELECT * FROM charges WHERE id = $1 AND lease_id = $2", (id.0, lease.0)).await?;
    row.map(ChargeRow::into_charge).transpose()
}

/// What stands in the schedule of a lease up to a day and is not posted.
pub async fn list_due(tx: &mut Tx, lease: LeaseId, through: Date) -> Result<Vec<Charge>, StoreError> {
    let rows: Vec<ChargeRow> = tx
        .fetch_all(
            "SELECT * FROM charges WHERE lease_id = $1 AND posted_at IS NULL AND voided_at IS NULL AND due_date <= $2",
            (lease.0, calendar::date_to_number(through)),
        )
        .await?;
    rows.into_iter().map(ChargeRow::into_charge).collect()
}

/// How much of the charges of a lease is settled: paid by money that has arrived, or let off. In minor units.
pub async fn settled(tx: &mut Tx, lease: LeaseId) -> Result<HashMap<ChargeId, i64>, StoreError> {
    let rows: Vec<(Uuid, i64)> = tx
        .fetch_all(
            "SELECT c.id, CAST(SUM(a.amount) AS BIGINT) FROM charges c JOIN allocations a ON a.charge_id = c.id
             LEFT JOIN payments p ON p.id = a.source_id
             WHERE c.lease_id = $1 AND (p.id IS NULL OR p.status = 'COMPLETED') GROUP BY c.id",
            (lease.0,),
        )
        .await?;
    Ok(rows.into_iter().map(|(id, minor)| (ChargeId(id), minor)).collect())
}

/// How much of a charge the landlord let off, in minor units: what pays for it and is neither a payment nor a deposit.
pub async fn let_off(tx: &mut Tx, id: ChargeId) -> Result<i64, StoreError> {
    let (minor,): (i64,) = tx
        .fetch_one(
            "SELECT CAST(COALESCE(SUM(a.amount), 0) AS BIGINT) FROM allocations a WHERE a.charge_id = $1
             AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.id = a.source_id)
             AND NOT EXISTS (SELECT 1 FROM deposit_returns d WHERE d.id = a.source_id)",
            (id.0,),
        )
        .await?;
    Ok(minor)
}

#[derive(Serialize)]
struct ScheduledRow {
    id: ChargeId,
    kind: &'static str,
    origin_id: Uuid,
    period_start: i64,
    period_end: i64,
    due_date: i64,
    amount: i64,
    currency: &'static str,
    description: Option<String>,
}

/// Makes what is not posted of a lease's schedule equal to `scheduled`, the rows of its rent and its extras.
///
/// A row is known by lease, kind, origin and period start: it keeps its id, a missing one comes back, a changed one is changed,
/// what is no longer charged goes. What was posted stays as it is. Doing it again changes nothing. `new_id` brings an id for
/// each row that is new; `describe` says what an extra is for.
pub async fn reconcile(
    tx: &mut Tx,
    lease: LeaseId,
    scheduled: &[ScheduledCharge],
    describe: impl Fn(Uuid) -> Option<String>,
    mut new_id: impl FnMut() -> ChargeId,
) -> Result<(), StoreError> {
    const REMOVE: Sql = sql!(
        "DELETE FROM charges WHERE lease_id = $2 AND posted_at IS NULL AND kind IN ('RENT', 'EXTRA')
         AND NOT EXISTS (SELECT 1 FROM",
        rows(kind text, origin_id uuid, period_start bigint),
        "WHERE r.kind = charges.kind AND r.origin_id = charges.origin_id AND r.period_start = charges.period_start)"
    );
    const UPSERT: Sql = sql!(
        "INSERT INTO charges (id, lease_id, kind, origin_id, period_start, period_end, due_date, amount, currency,
                              description, applied, corrected)
         SELECT r.id, $2, r.kind, r.origin_id, r.period_start, r.period_end, r.due_date, r.amount, r.currency,
                r.description, 0, 0 FROM",
        rows(id uuid, kind text, origin_id uuid, period_start bigint, period_end bigint, due_date bigint, amount bigint,
             currency text, description text),
        "WHERE true ON CONFLICT (lease_id, kind, origin_id, period_start) DO UPDATE
         SET period_end = excluded.period_end, due_date = excluded.due_date, amount = excluded.amount,
             currency = excluded.currency
         WHERE charges.posted_at IS NULL
           AND (charges.period_end <> excluded.period_end OR charges.due_date <> excluded.due_date
                OR charges.amount <> excluded.amount OR charges.currency <> excluded.currency)"
    );
    let rows: Vec<_> = scheduled
        .iter()
        .map(|charge| ScheduledRow {
            id: new_id(),
            kind: charge.kind.name(),
            origin_id: charge.extra.unwrap_or(lease.0),
            period_start: calendar::date_to_number(charge.period_start),
            period_end: calendar::date_to_number(charge.period_end),
            due_date: calendar::date_to_number(charge.due_date),
            amount: charge.amount.minor(),
            currency: charge.amount.currency().code(),
            description: charge.extra.and_then(&describe),
        })
        .collect();
    tx.execute(REMOVE, (Json(&rows), lease.0)).await?;
    tx.execute(UPSERT, (Json(&rows), lease.0)).await?;
    Ok(())
}

/// Writes charges that stand in no schedule: those that are made by hand, fees, payouts. One whose name is taken was made
/// before; it comes back as it was, and is posted again.
pub(crate) async fn insert(tx: &mut Tx, charges: &[Charge]) -> Result<(), StoreError> {
    const INSERT: Sql = sql!(
        insert(charges: id uuid, lease_id uuid, kind text, origin_id uuid, period_start bigint, period_end bigint,
               due_date bigint, amount bigint, currency text, description text, posted_at bigint, applied bigint,
               corrected bigint),
        "ON CONFLICT (lease_id, kind, origin_id, period_start) DO UPDATE SET voided_at = NULL"
    );
    let rows: Vec<_> = charges.iter().map(ChargeRow::from).collect();
    tx.execute_each(INSERT, &rows, ()).await?;
    Ok(())
}

/// A moment in the life of a charge.
#[derive(Debug, Serialize)]
pub(crate) struct Moment {
    pub(crate) id: Uuid,
    pub(crate) at: i64,
}

/// Notes when charges of schedules were posted.
pub(crate) async fn mark_posted(tx: &mut Tx, posted: &[Moment]) -> Result<(), StoreError> {
    const MARK: Sql = Sql {
        sqlite: "UPDATE charges SET posted_at = $at WHERE id = $id",
        postgres: "UPDATE charges SET posted_at = r.at FROM jsonb_to_recordset($1) AS r(id uuid, at bigint)
                   WHERE charges.id = r.id",
    };
    tx.execute_each(MARK, posted, ()).await?;
    Ok(())
}

/// Notes when charges were voided.
pub(crate) async fn mark_voided(tx: &mut Tx, voided: &[Moment]) -> Result<(), StoreError> {
    const MARK: Sql = Sql {
        sqlite: "UPDATE charges SET voided_at = $at WHERE id = $id",
        postgres: "UPDATE charges SET voided_at = r.at FROM jsonb_to_recordset($1) AS r(id uuid, at bigint)
                   WHERE charges.id = r.id",
    };
    tx.execute_each(MARK, voided, ()).await?;
    Ok(())
}

/// Minor units that a charge gains.
#[derive(Debug, Serialize)]
pub(crate) struct Gain {
    pub(crate) id: Uuid,
    pub(crate) minor: i64,
}

/// Adds to what is applied to charges.
pub(crate) async fn apply(tx: &mut Tx, gains: &[Gain]) -> Result<(), StoreError> {
    const APPLY: Sql = Sql {
        sqlite: "UPDATE charges SET applied = applied + $minor WHERE id = $id",
        postgres:
            "UPDATE charges SET applied = applied + r.minor FROM jsonb_to_recordset($1) AS r(id uuid, minor bigint)
                   WHERE charges.id = r.id",
    };
    tx.execute_each(APPLY, gains, ()).await?;
    Ok(())
}

/// Adds to what is corrected of charges.
pub(crate) async fn correct(tx: &mut Tx, gains: &[Gain]) -> Result<(), StoreError> {
    const CORRECT: Sql = Sql {
        sqlite: "UPDATE charges SET corrected = corrected + $minor WHERE id = $id",
        postgres: "UPDATE charges SET corrected = corrected + r.minor
                   FROM jsonb_to_recordset($1) AS r(id uuid, minor bigint) WHERE charges.id = r.id",
    };
    tx.execute_each(CORRECT, gains, ()).await?;
    Ok(())
}
