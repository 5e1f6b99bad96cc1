//! The payments and refunds of some days, with the names that a landlord knows them by.

use directpay_domain::id::{LeaseId, PaymentId, PropertyId, UserId};
use directpay_domain::money::Currency;
use directpay_domain::payment::{Kind, Status};
use directpay_domain::property::{ZoneName, local_date};
use directpay_domain::rail::Rail;
use directpay_domain::time::Instant;
use jiff::civil::Date;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::{Days, PropertyHead};
use crate::db::Tx;
use crate::error::{Page, StoreError};
use crate::sql::{Sql, part, sql};
use crate::values::Json;

/// The payments of a landlord that were initiated on these days, where the property lies; more conditions may follow.
macro_rules! payments_of_days {
    ($engine:ident) => {
        concat!(
            " FROM payments p ",
            part!($engine lookup(leases l: "l.id = p.lease_id")),
            part!($engine lookup(properties pr: "pr.id = l.property_id")),
            part!($engine lookup(months m: "m.time_zone = pr.time_zone")),
            part!($engine lookup(users renter: "renter.id = CASE WHEN p.kind = 'RENT' THEN p.initiated_by ELSE p.payee_id END")),
            " WHERE p.landlord_id = $2 AND m.since <= p.initiated_at AND p.initiated_at < m.until "
        )
    };
}

/// From the beginning of a day to the end of another; open where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The first day.
    pub from: Option<Date>,
    /// The last day.
    pub to: Option<Date>,
}

/// A payment as a landlord looks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which payment.
    pub id: PaymentId,
    /// On which lease.
    pub lease_id: LeaseId,
    /// What is let.
    pub property: PropertyHead,
    /// Who paid, or was paid back.
    pub renter: String,
    /// Rent or refund.
    pub kind: Kind,
    /// In minor units.
    pub minor: i64,
    /// Of the amount.
    pub currency: Currency,
    /// The way that the money takes.
    pub rail: Rail,
    /// Where it stands.
    pub status: Status,
    /// When it was accepted.
    pub initiated_at: Instant,
    /// The day of that where the property lies.
    pub initiated_on: Date,
    /// The day on which it settled where the property lies, if it has, and is neither tried again nor failed since.
    pub settled_on: Option<Date>,
    /// The day on which it came back there, if it has.
    pub returned_on: Option<Date>,
    /// Why it failed or came back.
    pub failure_code: Option<String>,
}

#[derive(Deserialize, FromRow)]
struct PaymentRow {
    id: Uuid,
    lease_id: Uuid,
    property_id: Uuid,
    name: Option<String>,
    address: String,
    unit: Option<String>,
    time_zone: String,
    full_name: String,
    kind: String,
    amount: i64,
    currency: String,
    rail: String,
    status: String,
    initiated_at: i64,
    completed_at: Option<i64>,
    returned_at: Option<i64>,
    failure_code: Option<String>,
}

impl PaymentRow {
    fn into_row(self) -> Result<Row, StoreError> {
        let zone = ZoneName::parse(&self.time_zone).map_err(StoreError::damaged("time zone"))?;
        let day = |micros: i64| Ok::<_, StoreError>(local_date(&zone, super::instant(micros)?.timestamp()));
        let status = Status::parse(&self.status).map_err(StoreError::damaged("status"))?;
        let (has_settled, is_returned) = match status {
            Status::Completed => (true, false),
            Status::Returned => (true, true),
            Status::Pending | Status::Processing | Status::Failed | Status::Cancelled => (false, false),
        };
        Ok(Row {
            id: PaymentId(self.id),
            lease_id: LeaseId(self.lease_id),
            renter: self.full_name,
            kind: Kind::parse(&self.kind).map_err(StoreError::damaged("payment kind"))?,
            minor: self.amount,
            currency: super::currency(&self.currency)?,
            rail: Rail::parse(&self.rail).map_err(StoreError::damaged("rail"))?,
            status,
            initiated_at: super::instant(self.initiated_at)?,
            initiated_on: day(self.initiated_at)?,
            settled_on: self.completed_at.filter(|_| has_settled).map(day).transpose()?,
            returned_on: self.returned_at.filter(|_| is_returned).map(day).transpose()?,
            failure_code: self.failure_code,
            property: PropertyHead {
                id: PropertyId(self.property_id),
                name: self.name,
                address: self.address,
                unit: self.unit,
            },
        })
    }
}

/// What the payments of one currency come to, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Of the amounts.
    pub currency: Currency,
    /// How many there are.
    pub payments: i64,
    /// What renters paid and has arrived.
    pub received: i64,
    /// What renters paid and has not arrived yet.
    pub on_the_way: i64,
    /// What was paid back to renters and has arrived.
    pub refunded: i64,
}

#[derive(Deserialize, FromRow)]
struct TotalRow {
    currency: String,
    payments: i64,
    received: i64,
    on_the_way: i64,
    refunded: i64,
}

/// A page of the payments of a landlord that were initiated on these days, newest first.
///
/// The list of the landlord's payments is gone through from the newest on: no index of the days is kept for this alone, because
/// every payment would pay for it.
pub async fn page(tx: &mut Tx, landlord: UserId, days: &Days, span: Span, page: Page) -> Result<Vec<Row>, StoreError> {
    const PAGE: Sql = sql!(
        with_months,
        "SELECT p.id, p.lease_id, l.property_id, pr.name, pr.address, pr.unit, pr.time_zone, renter.full_name, p.kind,
                p.amount, p.currency, p.rail, p.status, p.initiated_at, p.completed_at, p.returned_at, p.failure_code",
        text(payments_of_days),
        "AND p.id < $3 ORDER BY p.id DESC LIMIT $4"
    );
    let binds = (Json(days.spans(span.from, span.to)), landlord.0, page.before, page.limit);
    let rows: Vec<PaymentRow> = tx.fetch_all(PAGE, binds).await?;
    rows.into_iter().map(PaymentRow::into_row).collect()
}

/// What all payments of a landlord come to that were initiated on these days.
pub async fn totals(tx: &mut Tx, landlord: UserId, days: &Days, span: Span) -> Result<Vec<Totals>, StoreError> {
    const TOTALS: Sql = sql!(
        with_months,
        "SELECT p.currency, COUNT(*) AS payments,
                CAST(SUM(CASE WHEN p.kind = 'RENT' AND p.status = 'COMPLETED' THEN p.amount ELSE 0 END) AS BIGINT) AS received,
                CAST(SUM(CASE WHEN p.kind = 'RENT' AND (p.status = 'PENDING' OR p.status = 'PROCESSING') THEN p.amount
                              ELSE 0 END) AS BIGINT) AS on_the_way,
                CAST(SUM(CASE WHEN p.kind = 'REFUND' AND p.status = 'COMPLETED' THEN p.amount ELSE 0 END) AS BIGINT) AS refunded",
        text(payments_of_days),
        "GROUP BY p.currency ORDER BY p.currency"
    );
    let rows: Vec<TotalRow> = tx.fetch_all(TOTALS, (Json(days.spans(span.from, span.to)), landlord.0)).await?;
    rows.into_iter()
        .map(|row| {
            let TotalRow { payments, received, on_the_way, refunded, .. } = row;
            Ok(Totals { currency: super::currency(&row.currency)?, payments, received, on_the_way, refunded })
        })
        .collect()
}
