//! What fell due in a month, and what became of it.

use directpay_domain::calendar::date_to_number;
use directpay_domain::id::{LeaseId, PaymentId, UserId};
use directpay_domain::money::Currency;
use directpay_domain::report::{Month, MonthColumn};
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::fragments::leases_and_days;
use super::{Days, Detail, LeaseHead};
use crate::db::Tx;
use crate::error::{Page, StoreError};
use crate::sql::{Sql, part, sql};
use crate::values::Json;

/// What became of each charge of the landlord's that fell due in the month; more conditions may follow. What was paid out was
/// not charged by anybody.
macro_rules! charges_of_month {
    ($engine:ident) => {
        concat!(
            " SELECT l.id AS lease_id, l.currency, c.id AS charge_id, c.kind, c.due_date, c.amount AS charged, c.applied,
                     COALESCE((SELECT SUM(a.amount) FROM allocations a JOIN payments p ON p.id = a.source_id
                               WHERE a.charge_id = c.id AND p.status = 'COMPLETED'), 0) AS collected,
                     COALESCE((SELECT SUM(a.amount) FROM allocations a JOIN payments p ON p.id = a.source_id
                               WHERE a.charge_id = c.id AND p.status <> 'COMPLETED'), 0) AS on_the_way,
                     CASE WHEN c.due_date < d.day THEN c.amount - c.applied ELSE 0 END AS late ",
            leases_and_days!($engine),
            part!($engine lookup(charges c: "c.lease_id = l.id")),
            " WHERE l.landlord_id = $2 AND c.posted_at IS NOT NULL AND c.voided_at IS NULL AND c.kind <> 'PAYOUT'
              AND $3 <= c.due_date AND c.due_date <= $4 "
        )
    };
}

macro_rules! sums {
    ($engine:ident) => {
        " CAST(SUM(x.charged) AS BIGINT) AS charged, CAST(SUM(x.collected) AS BIGINT) AS collected,
          CAST(SUM(x.on_the_way) AS BIGINT) AS on_the_way,
          CAST(SUM(x.applied - x.collected - x.on_the_way) AS BIGINT) AS credited,
          CAST(SUM(x.charged - x.applied) AS BIGINT) AS open, CAST(SUM(x.late) AS BIGINT) AS late "
    };
}

/// What became of what fell due, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, FromRow)]
pub struct Collection {
    /// What fell due: all that follows but `late`.
    pub charged: i64,
    /// What was paid by money that has arrived.
    pub collected: i64,
    /// What a bank is moving.
    pub on_the_way: i64,
    /// What was not paid by a payment but by a credit of the landlord's.
    pub credited: i64,
    /// What is left.
    pub open: i64,
    /// What of that was due before today.
    pub late: i64,
}

impl Collection {
    /// One of the numbers.
    pub fn get(&self, column: MonthColumn) -> i64 {
        match column {
            MonthColumn::Charged => self.charged,
            MonthColumn::Collected => self.collected,
            MonthColumn::OnTheWay => self.on_the_way,
            MonthColumn::Credited => self.credited,
            MonthColumn::Open => self.open,
            MonthColumn::Late => self.late,
        }
    }
}

/// A lease of which something fell due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which lease.
    pub lease: LeaseHead,
    /// What became of it.
    pub collection: Collection,
}

/// All leases of one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Of the amounts.
    pub currency: Currency,
    /// How many leases there are of which something fell due.
    pub leases: i64,
    /// What became of it.
    pub collection: Collection,
}

#[derive(Deserialize, FromRow)]
struct SumRow {
    lease_id: Uuid,
    charged: i64,
    collected: i64,
    on_the_way: i64,
    credited: i64,
    open: i64,
    late: i64,
}

#[derive(Deserialize, FromRow)]
struct TotalRow {
    currency: String,
    leases: i64,
    charged: i64,
    collected: i64,
    on_the_way: i64,
    credited: i64,
    open: i64,
    late: i64,
}

/// A page of the leases of a landlord of which something fell due in the month, newest first. `days` are today.
pub async fn page(
    tx: &mut Tx,
    landlord: UserId,
    days: &Days,
    month: Month,
    page: Page,
) -> Result<Vec<Row>, StoreError> {
    const PAGE: Sql = sql!(
        with_days,
        "SELECT x.lease_id,",
        text(sums),
        "FROM (",
        text(charges_of_month),
        "AND l.id < $5 ORDER BY l.id DESC",
        once,
        ") AS x GROUP BY x.lease_id ORDER BY x.lease_id DESC LIMIT $6"
    );
    let (first, last) = (date_to_number(month.first()), date_to_number(month.last()));
    let binds = (Json(days.rows()), landlord.0, first, last, page.before, page.limit);
    let rows: Vec<SumRow> = tx.fetch_all(PAGE, binds).await?;
    let heads = super::heads(tx, &rows.iter().map(|row| row.lease_id).collect::<Vec<_>>()).await?;
    let with_head = |(row, lease): (SumRow, LeaseHead)| {
        let SumRow { charged, collected, on_the_way, credited, open, late, .. } = row;
        Row { lease, collection: Collection { charged, collected, on_the_way, credited, open, late } }
    };
    Ok(rows.into_iter().zip(heads).map(with_head).collect())
}

/// What became of all that fell due in the month.
pub async fn totals(tx: &mut Tx, landlord: UserId, days: &Days, month: Month) -> Result<Vec<Totals>, StoreError> {
    const TOTALS: Sql = sql!(
        with_days,
        "SELECT x.currency, COUNT(DISTINCT x.lease_id) AS leases,",
        text(sums),
        "FROM (",
        text(charges_of_month),
        once,
        ") AS x GROUP BY x.currency ORDER BY x.currency"
    );
    let (first, last) = (date_to_number(month.first()), date_to_number(month.last()));
    let rows: Vec<TotalRow> = tx.fetch_all(TOTALS, (Json(days.rows()), landlord.0, first, last)).await?;
    rows.into_iter()
        .map(|row| {
            let TotalRow { leases, charged, collected, on_the_way, credited, open, late, .. } = row;
            let collection = Collection { charged, collected, on_the_way, credited, open, late };
            Ok(Totals { currency: super::currency(&row.currency)?, leases, collection })
        })
        .collect()
}

/// What one of the numbers of a lease consists of: charges, or what pays for them.
///
/// Their number is bounded by the month.
pub async fn details(
    tx: &mut Tx,
    landlord: UserId,
    days: &Days,
    month: Month,
    of: (LeaseId, MonthColumn),
) -> Result<Vec<Detail>, StoreError> {
    match of.1 {
        MonthColumn::Charged | MonthColumn::Open | MonthColumn::Late => charges(tx, landlord, days, month, of).await,
        MonthColumn::Collected | MonthColumn::OnTheWay | MonthColumn::Credited => {
            sources(tx, landlord, days, month, of).await
        }
    }
}

async fn charges(
    tx: &mut Tx,
    landlord: UserId,
    days: &Days,
    month: Month,
    (lease, column): (LeaseId, MonthColumn),
) -> Result<Vec<Detail>, StoreError> {
    const CHARGES: Sql = sql!(
        with_days,
        "SELECT y.charge_id, y.kind, y.due_date, y.minor FROM (
             SELECT x.charge_id, x.kind, x.due_date,
                    CASE CAST($6 AS TEXT) WHEN 'CHARGED' THEN x.charged WHEN 'OPEN' THEN x.charged - x.applied
                                          ELSE x.late END AS minor FROM (",
        text(charges_of_month),
        "AND l.id = $5) AS x) AS y WHERE y.minor <> 0 ORDER BY y.due_date, y.charge_id"
    );
    let (first, last) = (date_to_number(month.first()), date_to_number(month.last()));
    let binds = (Json(days.rows()), landlord.0, first, last, lease.0, column.name());
    let rows: Vec<(Uuid, String, i64, i64)> = tx.fetch_all(CHARGES, binds).await?;
    rows.into_iter()
        .map(|(id, kind, due_date, minor)| {
            let charge = Some(super::charge(id, &kind)?);
            Ok(Detail { date: Some(super::date(due_date)?), charge, ..Detail::new(minor) })
        })
        .collect()
}

#[derive(Deserialize, FromRow)]
struct SourceRow {
    charge_id: Uuid,
    kind: String,
    due_date: i64,
    source_id: Uuid,
    payment_id: Option<Uuid>,
    minor: i64,
}

async fn sources(
    tx: &mut Tx,
    landlord: UserId,
    days: &Days,
    month: Month,
    (lease, column): (LeaseId, MonthColumn),
) -> Result<Vec<Detail>, StoreError> {
    const SOURCES: Sql = sql!(
        with_days,
        "SELECT y.charge_id, y.kind, y.due_date, y.source_id, y.payment_id, y.minor FROM (
             SELECT x.charge_id, x.kind, x.due_date, a.source_id, p.id AS payment_id, CAST(SUM(a.amount) AS BIGINT) AS minor
             FROM (",
        text(charges_of_month),
        "AND l.id = $5) AS x",
        lookup(allocations a: "a.charge_id = x.charge_id"),
        "LEFT JOIN payments p ON p.id = a.source_id
             WHERE CAST($6 AS TEXT) = CASE WHEN p.id IS NULL THEN 'CREDITED' WHEN p.status = 'COMPLETED' THEN 'COLLECTED'
                                           ELSE 'ON_THE_WAY' END
             GROUP BY x.charge_id, x.kind, x.due_date, a.source_id, p.id) AS y
         WHERE y.minor <> 0 ORDER BY y.due_date, y.charge_id, y.source_id"
    );
    let (first, last) = (date_to_number(month.first()), date_to_number(month.last()));
    let binds = (Json(days.rows()), landlord.0, first, last, lease.0, column.name());
    let rows: Vec<SourceRow> = tx.fetch_all(SOURCES, binds).await?;
    rows.into_iter()
        .map(|row| {
            let credit_id = row.payment_id.is_none().then_some(row.source_id);
            let charge = Some(super::charge(row.charge_id, &row.kind)?);
            let (date, payment_id) = (Some(super::date(row.due_date)?), row.payment_id.map(PaymentId));
            Ok(Detail { date, charge, payment_id, credit_id, ..Detail::new(row.minor) })
        })
        .collect()
}
