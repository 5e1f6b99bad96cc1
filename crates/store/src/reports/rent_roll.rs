//! Every lease that runs on a day, or of which something was left then.

use std::collections::BTreeMap;

use directpay_domain::id::{LeaseId, PaymentId, UserId};
use directpay_domain::lease_event::LeaseChange;
use directpay_domain::money::Currency;
use directpay_domain::payment::Kind;
use directpay_domain::statement::{Entry, Fact};
use jiff::civil::Date;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::fragments::{counts, credit_less_open, is_deposit_held, is_release, leases_and_days, open, owed, released};
use super::{Days, Detail, EventPlace, LeaseHead, NO_INSTANT};
use crate::db::Tx;
use crate::error::{Page, StoreError};
use crate::sql::{Sql, part, sql};
use crate::statement;
use crate::values::Json;

/// The numbers of each lease of the landlord; more conditions may follow. Only a lease that runs has a rent.
macro_rules! numbers {
    ($engine:ident) => {
        concat!(
            " SELECT l.id AS lease_id, l.currency, d.day,
                     CASE WHEN l.starts_on <= d.day AND d.day <= COALESCE(l.ends_on, 99999999) THEN COALESCE((
                         SELECT rc.rent_amount FROM rent_changes rc WHERE rc.lease_id = l.id AND rc.effective_on <= d.day
                         ORDER BY rc.effective_on DESC LIMIT 1), l.rent_amount) END AS rent,
                     CAST(COALESCE((SELECT SUM(",
            open!(),
            ") FROM charges c WHERE c.lease_id = l.id AND (c.applied < c.amount OR d.until < 9223372036854775807) AND ",
            counts!(),
            "), 0) AS BIGINT) AS open, ",
            credit_less_open!(),
            " AS credit_less_open,
              CASE WHEN NOT EXISTS (SELECT 1 FROM charges c WHERE c.lease_id = l.id AND c.kind = 'DEPOSIT') THEN 0
                   ELSE CAST(COALESCE((
                            SELECT SUM((SELECT SUM(a.amount) FROM allocations a
                                        JOIN events e ON e.stream_id = a.stream_id AND e.sequence = a.sequence
                                        WHERE a.charge_id = c.id AND ",
            is_deposit_held!(),
            ")) FROM charges c WHERE c.lease_id = l.id AND c.kind = 'DEPOSIT'), 0) - COALESCE((
                            SELECT SUM(",
            released!(),
            ") FROM postings o
                            JOIN events e ON e.stream_id = o.stream_id AND e.sequence = o.sequence
                            WHERE o.stream_id = l.id AND ",
            is_release!(),
            "), 0) AS BIGINT) END AS deposit_held ",
            leases_and_days!($engine),
            " WHERE l.landlord_id = $2 "
        )
    };
}

/// What a lease must have to stand in the rent roll.
macro_rules! is_listed {
    ($engine:ident) => {
        " (x.rent IS NOT NULL OR x.open <> 0 OR x.open + x.credit_less_open <> 0 OR x.deposit_held <> 0) "
    };
}

/// What the deposit of a lease of the landlord's consisted of.
macro_rules! deposit_lines {
    ($engine:ident) => {
        concat!(
            " SELECT c.id AS charge_id, a.source_id AS payment_id, a.stream_id, a.sequence, a.amount AS minor, e.occurred_at ",
            leases_and_days!($engine),
            part!($engine lookup(charges c: "c.lease_id = l.id AND c.kind = 'DEPOSIT'")),
            part!($engine lookup(allocations a: "a.charge_id = c.id")),
            part!($engine lookup(events e: "e.stream_id = a.stream_id AND e.sequence = a.sequence")),
            " WHERE l.landlord_id = $2 AND l.id = $3 AND ",
            is_deposit_held!(),
            " UNION ALL SELECT NULL, NULL, o.stream_id, o.sequence, -",
            released!(),
            ", e.occurred_at ",
            leases_and_days!($engine),
            part!($engine lookup(postings o: "o.stream_id = l.id")),
            part!($engine lookup(events e: "e.stream_id = o.stream_id AND e.sequence = o.sequence")),
            " WHERE l.landlord_id = $2 AND l.id = $3 AND ",
            is_release!()
        )
    };
}

/// Minor units, at the end of a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// What was charged and neither paid nor on its way.
    pub open: i64,
    /// What was paid or let off and paid for nothing yet.
    pub credit: i64,
    /// What was paid for deposits, had arrived and was not released.
    pub deposit_held: i64,
}

impl Standing {
    /// What was owed, less than zero where the renters were ahead.
    pub fn balance(&self) -> i64 {
        self.open.saturating_sub(self.credit)
    }
}

/// A lease in the rent roll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which lease.
    pub lease: LeaseHead,
    /// At the end of which day.
    pub as_of: Date,
    /// The rent of a whole period, in minor units; none where the lease did not run.
    pub rent: Option<i64>,
    /// What was left.
    pub standing: Standing,
}

/// All leases of one currency in the rent roll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Of the amounts.
    pub currency: Currency,
    /// How many leases there are.
    pub leases: i64,
    /// The rent of a whole period of those that ran, in minor units.
    pub rent: i64,
    /// What was left.
    pub standing: Standing,
}

impl Totals {
    fn nothing(currency: Currency) -> Totals {
        Totals { currency, leases: 0, rent: 0, standing: Standing::default() }
    }

    /// The sums of all rows, for whoever has them already: for a past day they are dear.
    pub fn of(rows: &[Row]) -> Vec<Totals> {
        let mut totals: BTreeMap<&str, Totals> = BTreeMap::new();
        for Row { lease, rent, standing, .. } in rows {
            let total = totals.entry(lease.currency.code()).or_insert(Totals::nothing(lease.currency));
            total.leases += 1;
            total.rent += rent.unwrap_or(0);
            total.standing.open += standing.open;
            total.standing.credit += standing.credit;
            total.standing.deposit_held += standing.deposit_held;
        }
        totals.into_values().collect()
    }
}

#[derive(Deserialize, FromRow)]
struct NumbersRow {
    lease_id: Uuid,
    day: i64,
    rent: Option<i64>,
    open: i64,
    credit: i64,
    deposit_held: i64,
}

#[derive(Deserialize, FromRow)]
struct TotalRow {
    currency: String,
    leases: i64,
    rent: i64,
    open: i64,
    credit: i64,
    deposit_held: i64,
}

/// A page of the rent roll of a landlord, newest lease first.
pub async fn page(tx: &mut Tx, landlord: UserId, days: &Days, page: Page) -> Result<Vec<Row>, StoreError> {
    const PAGE: Sql = sql!(
        with_days,
        "SELECT x.lease_id, x.day, x.rent, x.open, x.open + x.credit_less_open AS credit, x.deposit_held FROM (",
        text(numbers),
        "AND l.id < $3 ORDER BY l.id DESC",
        once,
        ") AS x WHERE",
        text(is_listed),
        "ORDER BY x.lease_id DESC LIMIT $4"
    );
    let rows: Vec<NumbersRow> = tx.fetch_all(PAGE, (Json(days.rows()), landlord.0, page.before, page.limit)).await?;
    let heads = super::heads(tx, &rows.iter().map(|row| row.lease_id).collect::<Vec<_>>()).await?;
    rows.into_iter()
        .zip(heads)
        .map(|(row, lease)| {
            let NumbersRow { open, credit, deposit_held, .. } = row;
            let standing = Standing { open, credit, deposit_held };
            Ok(Row { lease, as_of: super::date(row.day)?, rent: row.rent, standing })
        })
        .collect()
}

/// The sums of the whole rent roll of a landlord.
pub async fn totals(tx: &mut Tx, landlord: UserId, days: &Days) -> Result<Vec<Totals>, StoreError> {
    const TOTALS: Sql = sql!(
        with_days,
        "SELECT x.currency, COUNT(*) AS leases, CAST(COALESCE(SUM(x.rent), 0) AS BIGINT) AS rent,
                CAST(SUM(x.open) AS BIGINT) AS open, CAST(SUM(x.open + x.credit_less_open) AS BIGINT) AS credit,
                CAST(SUM(x.deposit_held) AS BIGINT) AS deposit_held FROM (",
        text(numbers),
        once,
        ") AS x WHERE",
        text(is_listed),
        "GROUP BY x.currency ORDER BY x.currency"
    );
    let rows: Vec<TotalRow> = tx.fetch_all(TOTALS, (Json(days.rows()), landlord.0)).await?;
    rows.into_iter()
        .map(|row| {
            let TotalRow { leases, rent, open, credit, deposit_held, .. } = row;
            let standing = Standing { open, credit, deposit_held };
            Ok(Totals { currency: super::currency(&row.currency)?, leases, rent, standing })
        })
        .collect()
}

/// What the credit of a lease consisted of: what is left of each payment, and of each credit of the landlord's.
///
/// From the facts alone, as the statement is: every entry of the lease and everything that was applied.
pub async fn credit_details(tx: &mut Tx, days: &Days, lease: LeaseId) -> Result<Vec<Detail>, StoreError> {
    const APPLIED: Sql = sql!(
        "SELECT a.source_id, CAST(SUM(a.amount) AS BIGINT) FROM charges c",
        lookup(allocations a: "a.charge_id = c.id"),
        lookup(events e: "e.stream_id = a.stream_id AND e.sequence = a.sequence"),
        "WHERE c.lease_id = $1 AND e.occurred_at < $2 GROUP BY a.source_id"
    );
    let (zone,): (String,) = tx
        .fetch_one(
            "SELECT pr.time_zone FROM leases l JOIN properties pr ON pr.id = l.property_id WHERE l.id = $1",
            (lease.0,),
        )
        .await?;
    let until = days.rows().iter().find(|row| row.time_zone == zone).map_or(NO_INSTANT, |row| row.until);
    let mut left: BTreeMap<Uuid, Detail> = BTreeMap::new();
    for entry in statement::entries(tx, lease).await? {
        if let Some(detail) = received(&entry).filter(|(_, at)| *at < until) {
            let ((source, detail), _) = detail;
            left.entry(source).or_insert(Detail { minor: 0, ..detail }).minor -= entry.amount_minor;
        }
    }
    let applied: Vec<(Uuid, i64)> = tx.fetch_all(APPLIED, (lease.0, until)).await?;
    for (source, minor) in applied {
        let unknown = Detail { credit_id: Some(source), ..Detail::new(0) };
        left.entry(source).or_insert(unknown).minor -= minor;
    }
    Ok(left.into_values().filter(|detail| detail.minor != 0).collect())
}

/// The source that an entry of a lease brings or takes away, and when.
fn received(entry: &Entry) -> Option<((Uuid, Detail), i64)> {
    let unsummed = Detail::new(0);
    match &entry.fact {
        Fact::Payment(Kind::Rent, event) => {
            let detail = Detail { payment_id: Some(PaymentId(event.payment_id.0)), ..unsummed };
            Some(((event.payment_id.0, detail), event.occurred_at.micros()))
        }
        Fact::Payment(Kind::Refund, _) => None,
        Fact::Lease(event) => {
            // Whatever else comes to be a source has to be added here.
            let (source, credit_id) = if let LeaseChange::CreditGranted { credit_id, .. } = &event.change {
                (*credit_id, Some(*credit_id))
            } else if let LeaseChange::DepositReleased(release) = &event.change {
                (release.return_id, None)
            } else {
                return None;
            };
            let place = EventPlace { stream_id: event.lease_id.0, sequence: event.sequence };
            let detail = Detail { credit_id, event: Some(place), ..unsummed };
            Some(((source, detail), event.occurred_at.micros()))
        }
    }
}

#[derive(Deserialize, FromRow)]
struct DepositRow {
    charge_id: Option<Uuid>,
    payment_id: Option<Uuid>,
    stream_id: Uuid,
    sequence: i64,
    minor: i64,
}

/// What the deposit of a lease consisted of: what of each payment is for it, less what was released.
pub async fn deposit_details(
    tx: &mut Tx,
    landlord: UserId,
    days: &Days,
    lease: LeaseId,
) -> Result<Vec<Detail>, StoreError> {
    const DETAILS: Sql = sql!(
        with_days,
        "SELECT x.charge_id, x.payment_id, x.stream_id, x.sequence, x.minor FROM (",
        text(deposit_lines),
        ") AS x ORDER BY x.occurred_at, x.stream_id, x.sequence"
    );
    let rows: Vec<DepositRow> = tx.fetch_all(DETAILS, (Json(days.rows()), landlord.0, lease.0)).await?;
    rows.into_iter()
        .map(|row| {
            let event = Some(EventPlace { stream_id: row.stream_id, sequence: row.sequence });
            let charge = row.charge_id.map(|id| super::charge(id, "DEPOSIT")).transpose()?;
            let payment_id = row.payment_id.map(PaymentId);
            Ok(Detail { charge, payment_id, event, ..Detail::new(row.minor) })
        })
        .collect()
}
