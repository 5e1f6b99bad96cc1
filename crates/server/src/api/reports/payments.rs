//! The payments and refunds of some days.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use directpay_domain::id::UserId;
use directpay_domain::invalid::Invalid;
use directpay_domain::money::format_minor;
use directpay_domain::time::Instant;
use directpay_store::reports::Days;
use directpay_store::reports::payments::{self, Row, Span, Totals};
use directpay_store::{Db, Page, StoreError, Tx};
use futures_util::stream;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::sheet::{Cell, Column, Sheet, for_files, rows_as_csv, shown};
use super::{CHUNK, ForWhom, Format, PropertyOfReport, Report};
use crate::api::auth::Caller;
use crate::api::csv_file;
use crate::api::error::ApiError;
use crate::api::extract::{Json, ListQuery, Query, check_order, query_date};
use crate::api::problem::{Always, OfList, OfOne, OfRole, SignedIn};
use crate::app::App;

/// A payment or a refund.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentRow {
    /// Which payment.
    payment_id: Uuid,
    /// On which lease.
    lease_id: Uuid,
    /// What is let.
    #[serde(flatten)]
    property: PropertyOfReport,
    /// Who paid, or was paid back.
    #[schema(example = "Bob Baker")]
    renter: String,
    /// RENT or REFUND.
    #[schema(example = "RENT")]
    kind: &'static str,
    /// How much.
    #[schema(example = "1500.00")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// The way that the money takes.
    #[schema(example = "STANDARD_ACH")]
    rail: &'static str,
    /// Where it stands.
    #[schema(example = "COMPLETED")]
    status: &'static str,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    initiated_at: Instant,
    /// The day of that where the property lies.
    #[schema(value_type = String, format = Date)]
    initiated_on: Date,
    /// The day on which it settled, where the property lies; null unless it is COMPLETED or RETURNED.
    #[schema(value_type = Option<String>, format = Date)]
    settled_on: Option<Date>,
    /// The day on which it came back, where the property lies; null unless it is RETURNED.
    #[schema(value_type = Option<String>, format = Date)]
    returned_on: Option<Date>,
    /// Why it failed or came back; null unless it is FAILED or RETURNED.
    #[schema(example = "R01")]
    failure_code: Option<String>,
}

/// What the payments come to.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentTotals {
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// How many payments and refunds there are, wherever they stand.
    #[schema(example = 12)]
    payments: i64,
    /// Rent that is COMPLETED.
    #[schema(example = "1500.00")]
    received: String,
    /// Rent that is PENDING or PROCESSING.
    #[schema(example = "0.00")]
    on_the_way: String,
    /// Refunds that are COMPLETED.
    #[schema(example = "0.00")]
    refunded: String,
}

impl From<Row> for PaymentRow {
    fn from(row: Row) -> PaymentRow {
        PaymentRow {
            payment_id: row.id.0,
            lease_id: row.lease_id.0,
            property: row.property.into(),
            renter: row.renter,
            kind: row.kind.name(),
            amount: format_minor(row.minor, row.currency),
            currency: row.currency.code(),
            rail: row.rail.name(),
            status: row.status.name(),
            initiated_at: row.initiated_at,
            initiated_on: row.initiated_on,
            settled_on: row.settled_on,
            returned_on: row.returned_on,
            failure_code: row.failure_code,
        }
    }
}

impl From<Totals> for PaymentTotals {
    fn from(Totals { currency, payments, received, on_the_way, refunded }: Totals) -> PaymentTotals {
        let money = |minor| format_minor(minor, currency);
        PaymentTotals {
            currency: currency.code(),
            payments,
            received: money(received),
            on_the_way: money(on_the_way),
            refunded: money(refunded),
        }
    }
}

impl PaymentRow {
    const COLUMNS: [Column; 13] = [
        shown("initiated_on"),
        shown("settled_on"),
        shown("returned_on"),
        shown("renter"),
        shown("kind"),
        shown("amount"),
        shown("currency"),
        shown("rail"),
        shown("status"),
        shown("failure_code"),
        for_files("initiated_at"),
        for_files("payment_id"),
        for_files("lease_id"),
    ];

    fn columns() -> Vec<Column> {
        [&PropertyOfReport::COLUMNS[..], &PaymentRow::COLUMNS].concat()
    }

    fn cells(&self) -> Vec<Cell> {
        let own = [
            Cell::word(self.initiated_on),
            Cell::word_if(self.settled_on),
            Cell::word_if(self.returned_on),
            Cell::text(Some(&self.renter)),
            Cell::word(self.kind),
            Cell::number(&self.amount),
            Cell::word(self.currency),
            Cell::word(self.rail),
            Cell::word(self.status),
            // A bank's own word.
            Cell::text(self.failure_code.as_deref()),
            Cell::word(self.initiated_at),
            Cell::word(self.payment_id),
            Cell::word(self.lease_id),
        ];
        self.property.cells().into_iter().chain(own).collect()
    }
}

/// What all payments of a landlord come to, as rows below those of payments.
pub async fn total_rows(tx: &mut Tx, landlord: UserId, days: &Days, span: Span) -> Result<Vec<Vec<Cell>>, StoreError> {
    let totals = payments::totals(tx, landlord, days, span).await?.into_iter().map(PaymentTotals::from);
    let row = |what: &str, amount: &str, currency: &'static str| {
        let row = PaymentRow::columns().into_iter().map(|column| match column.name {
            "address" => Cell::word(what),
            "amount" => Cell::number(amount),
            "currency" => Cell::word(currency),
            _ => Cell::Empty,
        });
        row.collect::<Vec<_>>()
    };
    let rows = |total: PaymentTotals| {
        let PaymentTotals { currency, received, on_the_way, refunded, .. } = total;
        [("Received", received), ("On the way", on_the_way), ("Refunded", refunded)]
            .map(|(what, amount)| row(what, &amount, currency))
    };
    Ok(totals.flat_map(rows).collect())
}

/// Payments that are read a part at a time, each part in a transaction of its own: whoever takes them slowly holds up nobody.
#[derive(Debug)]
pub struct Parts {
    db: Db,
    landlord: UserId,
    days: Days,
    span: Span,
    /// None when all are read.
    before: Option<Uuid>,
}

impl Parts {
    /// All payments of a landlord that were initiated on these days, newest first.
    pub fn new(db: Db, landlord: UserId, days: Days, span: Span) -> Parts {
        Parts { db, landlord, days, span, before: Some(Uuid::max()) }
    }

    /// The next part; none when all are read.
    pub async fn next(&mut self) -> Result<Option<Vec<Vec<Cell>>>, ApiError> {
        let Some(before) = self.before else { return Ok(None) };
        let (db, landlord, days, span) = (self.db.clone(), self.landlord, self.days.clone(), self.span);
        let reading = self.db.spawn(async move {
            let mut tx = db.begin_stale_read().await?;
            payments::page(&mut tx, landlord, &days, span, Page { before, limit: CHUNK }).await
        });
        let rows = reading.await.map_err(|error| ApiError::internal(&error))??;
        let is_full = i64::try_from(rows.len()).is_ok_and(|read| read == CHUNK);
        self.before = rows.last().map(|last| last.id.0).filter(|_| is_full);
        Ok(Some(rows.into_iter().map(|row| PaymentRow::from(row).cells()).collect()))
    }

    /// The names of the columns, as a table without rows.
    pub fn head(&self) -> Sheet {
        Sheet { columns: PaymentRow::columns(), ..Sheet::default() }
    }

    /// The next piece of a file; none at its end.
    pub async fn next_of_file(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        let rows = self.next().await?;
        rows.map(|rows| rows_as_csv(&rows)).transpose().map_err(|error| ApiError::internal(&error))
    }
}

/// A file that is made while it is sent.
fn streamed(parts: Parts) -> Result<Response, ApiError> {
    let head = parts.head().to_csv().map_err(|error| ApiError::internal(&error))?;
    let pieces = stream::try_unfold((Some(head), parts), async |(head, mut parts)| {
        let piece = match head {
            Some(head) => Some(head),
            // The connection ends early, so that nobody takes a part for the whole.
            None => parts.next_of_file().await.map_err(|_| std::io::Error::other("the rest cannot be read"))?,
        };
        Ok::<_, std::io::Error>(piece.map(|piece| (piece, (None, parts))))
    });
    Ok(csv_file::named("payments", Body::from_stream(pieces)))
}

/// Which days.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfDays {
    /// The first day on which they were initiated, where the property lies; from the beginning if omitted.
    #[param(value_type = Option<String>, format = Date, example = "2026-01-01")]
    from: Option<String>,
    /// The last day; to the end if omitted.
    #[param(value_type = Option<String>, format = Date, example = "2026-03-31")]
    to: Option<String>,
}

impl OfDays {
    fn parse(&self) -> Result<Span, ApiError> {
        let (from, to) = (self.from.as_deref(), self.to.as_deref());
        span(query_date("from", from)?, query_date("to", to)?).map_err(|invalid| ApiError::bad_query("to", invalid))
    }
}

/// The days from one to another, which must not lie before it.
pub fn span(from: Option<Date>, to: Option<Date>) -> Result<Span, Invalid> {
    check_order(from, to)?;
    Ok(Span { from, to })
}

/// Read the payments of some days.
///
/// For landlords their own, for administrators any: payments and refunds that were initiated on these days, with the day on which
/// each settled. Newest first. A file has no sums, and each of its rows is as it was when its part of the file was made.
#[utoipa::path(
    get,
    path = "/reports/payments",
    tag = "reports",
    operation_id = "read_payments_report",
    params(ForWhom, OfDays, ListQuery),
    responses(
        (
            status = 200,
            description = "A page of the payments, or all of them as a file",
            content((Report<PaymentRow, PaymentTotals> = "application/json"), (String = "text/csv"))
        ),
        OfList, OfOne, OfRole, SignedIn, Always,
    ),
)]
pub async fn read_payments(
    State(app): State<App>,
    caller: Caller,
    Query(whom): Query<ForWhom>,
    Query(of): Query<OfDays>,
    Query(list): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let (landlord, format, wanted) = (whom.landlord(caller)?, whom.format()?, list.parse()?);
    let span = of.parse()?;
    let (db, now) = (app.db.clone(), app.clock.business());
    super::aside(&app, async move {
        let (mut tx, days) = super::open(&db, landlord, None, now).await?;
        if format == Format::Csv {
            drop(tx);
            return streamed(Parts::new(db, landlord, days, span));
        }
        let rows = payments::page(&mut tx, landlord, &days, span, wanted.page()).await?;
        let totals = match wanted.is_first() {
            true => Some(payments::totals(&mut tx, landlord, &days, span).await?),
            false => None,
        };
        let totals = totals.map(|totals| totals.into_iter().map(PaymentTotals::from).collect());
        let report: Report<PaymentRow, _> = Report::new(wanted, rows, |row| row.id.0, totals);
        Ok(Json(report).into_response())
    })
    .await
}
