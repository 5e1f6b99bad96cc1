//! What each property earned in each month, for the tax return.
//!
//! **Cash**: all money of renters counts on the day on which it settles, and is taken out on the day on which it comes back or is
//! refunded. What of it is for a deposit does not count: it is taken out when it settles (or when it is put to the deposit, if
//! that is later) and put in again when the deposit's charge is voided or the deposit is released. Money that is ahead counts when
//! it arrives: it can pay for nothing but rent, and rent in advance is income of the year in which it is received (IRS
//! Publication 527). So it moves no income when credit is applied, or goes from a voided charge to another.
//!
//! **Accrual**: a charge counts on its due date, a void, a concession, a correction and a write-off on the day on which it happens.
//!
//! Both go by the day where the property lies.

use directpay_domain::charge::ChargeKind;
use directpay_domain::id::{PaymentId, PropertyId, UserId};
use directpay_domain::money::Currency;
use directpay_domain::property::{ZoneName, local_date};
use directpay_domain::report::{Basis, IncomePart, Month};
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::fragments::released;
use super::{Days, Detail, EventPlace, PropertyHead};
use crate::db::Tx;
use crate::error::{Page, StoreError};
use crate::sql::{Sql, part, sql};
use crate::values::Json;

/// The first and the last moment of the months, in each time zone.
macro_rules! span {
    ($engine:ident) => {
        ", span AS MATERIALIZED (
             SELECT time_zone, MIN(since) AS since, MAX(until) AS until, MIN(month) AS first_month, MAX(month) AS last_month
             FROM months GROUP BY time_zone) "
    };
}

/// The leases of the landlord's properties from `$3` through `$4`; more tables may follow, and then `of_landlord`.
macro_rules! leases_of_properties {
    ($engine:ident) => {
        concat!(
            " FROM properties pr ",
            part!($engine lookup(span y: "y.time_zone = pr.time_zone")),
            part!($engine lookup(leases l: "l.property_id = pr.id"))
        )
    };
}

macro_rules! of_landlord {
    () => {
        " WHERE pr.landlord_id = $2 AND $3 <= pr.id AND pr.id <= $4 "
    };
}

/// The months `m` where the property lies.
macro_rules! months {
    ($engine:ident) => {
        part!($engine lookup(months m: "m.time_zone = pr.time_zone"))
    };
}

/// Only the month that a moment lies in.
macro_rules! in_month {
    ($moment:literal) => {
        concat!(
            " AND y.since <= ",
            $moment,
            " AND ",
            $moment,
            " < y.until AND m.since <= ",
            $moment,
            " AND ",
            $moment,
            " < m.until "
        )
    };
}

/// What was put to deposits, `a`, by the event `e`.
macro_rules! deposits {
    ($engine:ident) => {
        concat!(
            part!($engine lookup(charges c: "c.lease_id = l.id AND c.kind = 'DEPOSIT'")),
            part!($engine lookup(allocations a: "a.charge_id = c.id")),
            part!($engine lookup(events e: "e.stream_id = a.stream_id AND e.sequence = a.sequence"))
        )
    };
}

/// Income as money arrives. A payment is looked at only if something may have happened to it in these months.
macro_rules! cash {
    ($engine:ident) => {
        concat!(
            " SELECT pr.id AS property_id, pr.time_zone, p.currency, m.month,
                     CASE WHEN p.kind = 'REFUND' THEN 'REFUNDED' WHEN e.event_type = 'payment_completed' THEN 'RECEIVED'
                          ELSE 'RETURNED' END AS part,
                     CASE WHEN (p.kind = 'RENT') = (e.event_type = 'payment_completed') THEN p.amount ELSE -p.amount END AS minor,
                     CAST(NULL AS UUID) AS charge_id, CAST(NULL AS TEXT) AS kind, p.id AS payment_id, e.stream_id, e.sequence,
                     e.occurred_at, CAST(NULL AS BIGINT) AS due_date ",
            leases_of_properties!($engine),
            part!($engine lookup(payments p: "p.lease_id = l.id AND p.initiated_at < y.until
                                              AND (y.since <= p.completed_at OR y.since <= p.returned_at)")),
            part!($engine lookup(events e: "e.stream_id = p.id AND e.event_type IN ('payment_completed', 'payment_returned')")),
            months!($engine),
            of_landlord!(),
            in_month!("e.occurred_at"),
            // What was put to a deposit before the money settled, or came back.
            " UNION ALL
              SELECT pr.id, pr.time_zone, c.currency, m.month, 'DEPOSIT_TAKEN',
                     CASE WHEN s.event_type = 'payment_completed' THEN -a.amount ELSE a.amount END,
                     c.id, c.kind, a.source_id, s.stream_id, s.sequence, s.occurred_at, NULL ",
            leases_of_properties!($engine),
            deposits!($engine),
            part!($engine lookup(events s: "s.stream_id = a.source_id
                                            AND s.event_type IN ('payment_completed', 'payment_returned')")),
            months!($engine),
            of_landlord!(),
            " AND CASE WHEN a.stream_id = a.source_id THEN a.sequence < s.sequence ELSE e.occurred_at < s.occurred_at END ",
            in_month!("s.occurred_at"),
            // What was put to a deposit, or taken from it, while the money had settled.
            " UNION ALL
              SELECT pr.id, pr.time_zone, c.currency, m.month, 'DEPOSIT_TAKEN', -a.amount,
                     c.id, c.kind, a.source_id, e.stream_id, e.sequence, e.occurred_at, NULL ",
            leases_of_properties!($engine),
            deposits!($engine),
            months!($engine),
            of_landlord!(),
            " AND 1 = (SELECT SUM(CASE WHEN s.event_type = 'payment_completed' THEN 1 ELSE -1 END) FROM events s
                       WHERE s.stream_id = a.source_id AND s.event_type IN ('payment_completed', 'payment_returned')
                         AND CASE WHEN a.stream_id = a.source_id THEN s.sequence <= a.sequence
                                  ELSE s.occurred_at <= e.occurred_at END) ",
            in_month!("e.occurred_at"),
            " UNION ALL
              SELECT pr.id, pr.time_zone, l.currency, m.month, 'DEPOSIT_RELEASED', ",
            released!(),
            ", NULL, NULL, NULL, e.stream_id, e.sequence, e.occurred_at, NULL ",
            leases_of_properties!($engine),
            part!($engine lookup(postings o: "o.stream_id = l.id AND o.debit LIKE 'deposit:%'")),
            part!($engine lookup(events e: "e.stream_id = o.stream_id AND e.sequence = o.sequence")),
            months!($engine),
            of_landlord!(),
            " AND e.event_type <> 'charge_voided' ",
            in_month!("e.occurred_at")
        )
    };
}

/// Charges that are income when they are owed.
macro_rules! earned {
    ($engine:ident) => {
        part!($engine lookup(charges c: "c.lease_id = l.id AND c.kind IN ('RENT', 'EXTRA', 'ONE_OFF', 'LATE_FEE')
                                         AND c.posted_at IS NOT NULL"))
    };
}

/// Income as it is owed.
macro_rules! accrual {
    ($engine:ident) => {
        concat!(
            " SELECT pr.id AS property_id, pr.time_zone, c.currency, c.due_date / 100 AS month, c.kind AS part, c.amount AS minor,
                     c.id AS charge_id, c.kind, CAST(NULL AS UUID) AS payment_id, CAST(NULL AS UUID) AS stream_id,
                     CAST(NULL AS BIGINT) AS sequence, CAST(NULL AS BIGINT) AS occurred_at, c.due_date ",
            leases_of_properties!($engine),
            earned!($engine),
            of_landlord!(),
            " AND y.first_month * 100 < c.due_date AND c.due_date < y.last_month * 100 + 99
              UNION ALL
              SELECT pr.id, pr.time_zone, c.currency, m.month, 'VOIDED', -c.amount,
                     c.id, c.kind, NULL, NULL, NULL, c.voided_at, NULL ",
            leases_of_properties!($engine),
            earned!($engine),
            months!($engine),
            of_landlord!(),
            in_month!("c.voided_at"),
            " UNION ALL
              SELECT pr.id, pr.time_zone, l.currency, m.month,
                     CASE WHEN o.debit LIKE 'concession:%' THEN 'CONCESSION' WHEN o.debit LIKE 'bad_debt:%' THEN 'WRITE_OFF'
                          ELSE 'CORRECTION' END, -o.amount,
                     NULL, NULL, NULL, e.stream_id, e.sequence, e.occurred_at, NULL ",
            leases_of_properties!($engine),
            part!($engine lookup(postings o: "o.stream_id = l.id AND (o.debit LIKE 'concession:%' OR o.debit LIKE 'bad_debt:%'
                                              OR o.debit LIKE 'income:%')")),
            part!($engine lookup(events e: "e.stream_id = o.stream_id AND e.sequence = o.sequence")),
            months!($engine),
            of_landlord!(),
            " AND e.event_type = 'credit_granted' ",
            in_month!("e.occurred_at")
        )
    };
}

macro_rules! sums {
    ($lines:ident) => {
        sql!(
            with_months,
            text(span),
            "SELECT x.property_id, x.currency, x.month, x.part, CAST(SUM(x.minor) AS BIGINT) FROM (",
            text($lines),
            ") AS x GROUP BY x.property_id, x.currency, x.month, x.part"
        )
    };
}

macro_rules! totals {
    ($lines:ident) => {
        sql!(
            with_months,
            text(span),
            "SELECT x.currency, x.month, x.part, CAST(SUM(x.minor) AS BIGINT) FROM (",
            text($lines),
            ") AS x GROUP BY x.currency, x.month, x.part"
        )
    };
}

macro_rules! details {
    ($lines:ident) => {
        sql!(
            with_months,
            text(span),
            "SELECT x.time_zone, x.part, x.minor, x.charge_id, x.kind, x.payment_id, x.stream_id, x.sequence, x.occurred_at,
                    x.due_date FROM (",
            text($lines),
            ") AS x WHERE x.currency = $5 AND (CAST($6 AS TEXT) IS NULL OR x.part = $6)
             ORDER BY x.due_date, x.occurred_at, x.part, x.charge_id, x.stream_id, x.sequence"
        )
    };
}

/// A part of the income of a month, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Of the amount.
    pub currency: Currency,
    /// In which month.
    pub month: Month,
    /// Which part.
    pub part: IncomePart,
    /// How much; less than zero where it is taken out.
    pub minor: i64,
}

/// A property and what it earned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which property.
    pub property: PropertyHead,
    /// By currency, month and part, in this order.
    pub cells: Vec<Cell>,
}

#[derive(Deserialize, FromRow)]
struct PropertyRow {
    id: Uuid,
    name: Option<String>,
    address: String,
    unit: Option<String>,
}

fn cell(currency: &str, month: i64, part: &str, minor: i64) -> Result<Cell, StoreError> {
    Ok(Cell {
        currency: super::currency(currency)?,
        month: Month::from_number(month).map_err(StoreError::damaged("month"))?,
        part: IncomePart::parse(part).map_err(StoreError::damaged("part of income"))?,
        minor,
    })
}

/// A page of the properties of a landlord, newest first, with what each earned in the months.
pub async fn page(
    tx: &mut Tx,
    landlord: UserId,
    days: &Days,
    (basis, months): (Basis, &[Month]),
    page: Page,
) -> Result<Vec<Row>, StoreError> {
    const CASH: Sql = sums!(cash);
    const ACCRUAL: Sql = sums!(accrual);
    let properties: Vec<PropertyRow> = tx
        .fetch_all(
            "SELECT id, name, address, unit FROM properties WHERE landlord_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
            (landlord.0, page.before, page.limit),
        )
        .await?;
    let (Some(first), Some(last)) = (properties.first(), properties.last()) else { return Ok(Vec::new()) };
    let binds = (Json(days.months(months)), landlord.0, last.id, first.id);
    let sums: Vec<(Uuid, String, i64, String, i64)> = tx.fetch_all(either(basis, CASH, ACCRUAL), binds).await?;
    let mut cells = sums
        .into_iter()
        .map(|(id, currency, month, part, minor)| Ok((id, cell(&currency, month, &part, minor)?)))
        .collect::<Result<Vec<_>, StoreError>>()?;
    cells.sort_unstable();
    let of_property = |id: Uuid| {
        let first = cells.partition_point(|(of, _)| *of < id);
        cells[first..].iter().take_while(|(of, _)| *of == id).map(|(_, cell)| *cell).collect()
    };
    let row = |PropertyRow { id, name, address, unit }| Row {
        cells: of_property(id),
        property: PropertyHead { id: PropertyId(id), name, address, unit },
    };
    Ok(properties.into_iter().map(row).collect())
}

fn either(basis: Basis, cash: Sql, accrual: Sql) -> Sql {
    match basis {
        Basis::Cash => cash,
        Basis::Accrual => accrual,
    }
}

/// What all properties of a landlord earned in the months, by currency, month and part.
pub async fn totals(
    tx: &mut Tx,
    landlord: UserId,
    days: &Days,
    (basis, months): (Basis, &[Month]),
) -> Result<Vec<Cell>, StoreError> {
    const CASH: Sql = totals!(cash);
    const ACCRUAL: Sql = totals!(accrual);
    let binds = (Json(days.months(months)), landlord.0, Uuid::nil(), Uuid::max());
    let sums: Vec<(String, i64, String, i64)> = tx.fetch_all(either(basis, CASH, ACCRUAL), binds).await?;
    let cells = sums.into_iter().map(|(currency, month, part, minor)| cell(&currency, month, &part, minor));
    let mut cells = cells.collect::<Result<Vec<_>, _>>()?;
    cells.sort_unstable();
    Ok(cells)
}

/// A cell of the report, or all parts of it.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Of which property.
    pub property: PropertyId,
    /// In which month.
    pub month: Month,
    /// Counted how.
    pub basis: Basis,
    /// In which currency.
    pub currency: Currency,
    /// Which part; all of them without it.
    pub part: Option<IncomePart>,
}

#[derive(Deserialize, FromRow)]
struct LineRow {
    time_zone: String,
    part: String,
    minor: i64,
    charge_id: Option<Uuid>,
    kind: Option<String>,
    payment_id: Option<Uuid>,
    stream_id: Option<Uuid>,
    sequence: Option<i64>,
    occurred_at: Option<i64>,
    due_date: Option<i64>,
}

impl LineRow {
    fn into_detail(self) -> Result<Detail, StoreError> {
        let zone = ZoneName::parse(&self.time_zone).map_err(StoreError::damaged("time zone"))?;
        let day = |micros| Ok::<_, StoreError>(local_date(&zone, super::instant(micros)?.timestamp()));
        let happened_on = self.occurred_at.map(day).transpose()?;
        let charge: Option<(_, ChargeKind)> =
            self.charge_id.zip(self.kind).map(|(id, kind)| super::charge(id, &kind)).transpose()?;
        let place = self.stream_id.zip(self.sequence);
        Ok(Detail {
            date: self.due_date.map(super::date).transpose()?.or(happened_on),
            part: Some(IncomePart::parse(&self.part).map_err(StoreError::damaged("part of income"))?),
            charge,
            payment_id: self.payment_id.map(PaymentId),
            event: place.map(|(stream_id, sequence)| EventPlace { stream_id, sequence }),
            ..Detail::new(self.minor)
        })
    }
}

/// What a cell consists of.
///
/// The number of lines is bounded by what can happen on a property in a month.
pub async fn details(tx: &mut Tx, landlord: UserId, days: &Days, wanted: Wanted) -> Result<Vec<Detail>, StoreError> {
    const CASH: Sql = details!(cash);
    const ACCRUAL: Sql = details!(accrual);
    let Wanted { property, month, basis, currency, part } = wanted;
    let months = Json(days.months(&[month]));
    let binds = (months, landlord.0, property.0, property.0, currency.code(), part.map(IncomePart::name));
    let rows: Vec<LineRow> = tx.fetch_all(either(basis, CASH, ACCRUAL), binds).await?;
    rows.into_iter().map(LineRow::into_detail).collect()
}
