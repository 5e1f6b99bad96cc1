//! What is owed, by how long it has been due.

use std::collections::BTreeMap;

use directpay_domain::id::{LeaseId, UserId};
use directpay_domain::money::Currency;
use directpay_domain::report::Age;
use jiff::civil::Date;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::fragments::{counts, leases_and_days, open, owed};
use super::{Days, Detail, LeaseHead};
use crate::db::Tx;
use crate::error::{Page, StoreError};
use crate::sql::{Sql, part, sql};
use crate::values::Json;

/// What was open of each charge of the landlord's, with its age as a number; more conditions may follow.
macro_rules! open_charges {
    ($engine:ident) => {
        concat!(
            " SELECT l.id AS lease_id, l.currency, d.day, c.id AS charge_id, c.kind, c.due_date,
                     CASE WHEN d.first_30 <= c.due_date THEN 0 WHEN d.first_60 <= c.due_date THEN 1
                          WHEN d.first_90 <= c.due_date THEN 2 ELSE 3 END AS age, ",
            open!(),
            " AS minor ",
            leases_and_days!($engine),
            part!($engine lookup(charges c: "c.lease_id = l.id")),
            " WHERE l.landlord_id = $2 AND (c.applied < c.amount OR d.until < 9223372036854775807) AND ",
            counts!()
        )
    };
}

macro_rules! sums {
    ($engine:ident) => {
        " CAST(SUM(CASE WHEN x.age = 0 THEN x.minor ELSE 0 END) AS BIGINT) AS up_to_30,
          CAST(SUM(CASE WHEN x.age = 1 THEN x.minor ELSE 0 END) AS BIGINT) AS up_to_60,
          CAST(SUM(CASE WHEN x.age = 2 THEN x.minor ELSE 0 END) AS BIGINT) AS up_to_90,
          CAST(SUM(CASE WHEN x.age = 3 THEN x.minor ELSE 0 END) AS BIGINT) AS older "
    };
}

/// What was open, by age, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Open {
    /// By age, in the order of [`Age::ALL`].
    pub by_age: [i64; Age::ALL.len()],
}

impl Open {
    /// All of it.
    pub fn total(&self) -> i64 {
        self.by_age.iter().sum()
    }
}

/// A lease of which something was open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrears {
    /// Which lease.
    pub lease: LeaseHead,
    /// At the end of which day.
    pub as_of: Date,
    /// What was open.
    pub open: Open,
}

impl Arrears {
    /// Whether the lease had ended by then.
    pub fn is_former(&self) -> bool {
        self.lease.ends_on.is_some_and(|end| end < self.as_of)
    }
}

/// All leases of one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Of the amounts.
    pub currency: Currency,
    /// How many leases there are of which something was open.
    pub leases: i64,
    /// What was open.
    pub open: Open,
}

impl Totals {
    /// The sums of all rows, for whoever has them already: for a past day they are dear.
    pub fn of(rows: &[Arrears]) -> Vec<Totals> {
        let mut totals: BTreeMap<&str, Totals> = BTreeMap::new();
        for Arrears { lease, open, .. } in rows {
            let nothing = Totals { currency: lease.currency, leases: 0, open: Open::default() };
            let total = totals.entry(lease.currency.code()).or_insert(nothing);
            total.leases += 1;
            for (sum, minor) in total.open.by_age.iter_mut().zip(open.by_age) {
                *sum += minor;
            }
        }
        totals.into_values().collect()
    }
}

#[derive(Deserialize, FromRow)]
struct SumRow {
    lease_id: Uuid,
    day: i64,
    up_to_30: i64,
    up_to_60: i64,
    up_to_90: i64,
    older: i64,
}

#[derive(Deserialize, FromRow)]
struct TotalRow {
    currency: String,
    leases: i64,
    up_to_30: i64,
    up_to_60: i64,
    up_to_90: i64,
    older: i64,
}

/// A page of the leases of a landlord of which something was open, newest first.
pub async fn page(tx: &mut Tx, landlord: UserId, days: &Days, page: Page) -> Result<Vec<Arrears>, StoreError> {
    const PAGE: Sql = sql!(
        with_days,
        "SELECT x.lease_id, x.day,",
        text(sums),
        "FROM (",
        text(open_charges),
        "AND l.id < $3 ORDER BY l.id DESC",
        once,
        ") AS x WHERE x.minor <> 0 GROUP BY x.lease_id, x.day ORDER BY x.lease_id DESC LIMIT $4"
    );
    let rows: Vec<SumRow> = tx.fetch_all(PAGE, (Json(days.rows()), landlord.0, page.before, page.limit)).await?;
    let heads = super::heads(tx, &rows.iter().map(|row| row.lease_id).collect::<Vec<_>>()).await?;
    rows.into_iter()
        .zip(heads)
        .map(|(row, lease)| {
            let open = Open { by_age: [row.up_to_30, row.up_to_60, row.up_to_90, row.older] };
            Ok(Arrears { lease, as_of: super::date(row.day)?, open })
        })
        .collect()
}

/// What was open of all leases of a landlord.
pub async fn totals(tx: &mut Tx, landlord: UserId, days: &Days) -> Result<Vec<Totals>, StoreError> {
    const TOTALS: Sql = sql!(
        with_days,
        "SELECT x.currency, COUNT(DISTINCT x.lease_id) AS leases,",
        text(sums),
        "FROM (",
        text(open_charges),
        once,
        ") AS x WHERE x.minor <> 0 GROUP BY x.currency ORDER BY x.currency"
    );
    let rows: Vec<TotalRow> = tx.fetch_all(TOTALS, (Json(days.rows()), landlord.0)).await?;
    rows.into_iter()
        .map(|row| {
            let open = Open { by_age: [row.up_to_30, row.up_to_60, row.up_to_90, row.older] };
            Ok(Totals { currency: super::currency(&row.currency)?, leases: row.leases, open })
        })
        .collect()
}

/// The charges of a lease that were open, of one age or of any, oldest first.
///
/// Their number is bounded by the lease, as that of its charges is.
pub async fn details(
    tx: &mut Tx,
    landlord: UserId,
    days: &Days,
    lease: LeaseId,
    age: Option<Age>,
) -> Result<Vec<Detail>, StoreError> {
    const DETAILS: Sql = sql!(
        with_days,
        "SELECT x.charge_id, x.kind, x.due_date, x.minor FROM (",
        text(open_charges),
        "AND l.id = $3",
        once,
        ") AS x WHERE x.minor <> 0 AND (CAST($4 AS BIGINT) IS NULL OR x.age = $4)
         ORDER BY x.due_date, x.charge_id"
    );
    let age =
        age.and_then(|age| Age::ALL.iter().position(|one| *one == age)).and_then(|place| i64::try_from(place).ok());
    let rows: Vec<(Uuid, String, i64, i64)> =
        tx.fetch_all(DETAILS, (Json(days.rows()), landlord.0, lease.0, age)).await?;
    rows.into_iter()
        .map(|(id, kind, due_date, minor)| {
            let charge = Some(super::charge(id, &kind)?);
            Ok(Detail { date: Some(super::date(due_date)?), charge, ..Detail::new(minor) })
        })
        .collect()
}
