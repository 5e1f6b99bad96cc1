//! What fell due in a month, and what came of it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use directpay_domain::id::{LeaseId, UserId};
use directpay_domain::money::{Currency, format_minor};
use directpay_domain::report::{Month, MonthColumn, percent};
use directpay_store::reports::Days;
use directpay_store::reports::month::{self, Collection, Row, Totals};
use directpay_store::{Page, StoreError, Tx};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sheet::{Cell, Column, Sheet, shown};
use super::{CHUNK, DetailsView, ForWhom, Format, LeaseOfReport, Report};
use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::extract::{Json, ListQuery, Query, parse_id};
use crate::api::problem::{Always, OfList, OfOne, OfRole, SignedIn};
use crate::app::App;

/// A lease of which something fell due in the month.
#[derive(Debug, Serialize, ToSchema)]
pub struct MonthRow {
    /// The lease.
    #[serde(flatten)]
    lease: LeaseOfReport,
    /// The numbers.
    #[serde(flatten)]
    collection: CollectionView,
}

/// What became of what fell due: `charged` is `collected`, `on_the_way`, `credited` and `open` together.
#[derive(Debug, Serialize, ToSchema)]
pub struct CollectionView {
    /// What fell due and was not voided.
    #[schema(example = "1500.00")]
    charged: String,
    /// What of it was paid by money that has arrived.
    #[schema(example = "1000.00")]
    collected: String,
    /// What of it a bank is moving.
    #[schema(example = "0.00")]
    on_the_way: String,
    /// What of it was not paid by a payment but by a credit of the landlord's: a concession, a waiver, a write-off, a correction.
    #[schema(example = "0.00")]
    credited: String,
    /// What of it is left.
    #[schema(example = "500.00")]
    open: String,
    /// What of that was due before today.
    #[schema(example = "500.00")]
    late: String,
    /// `collected` in percent of `charged`, cut off after two decimals; null where nothing fell due.
    #[schema(example = "66.66")]
    collection_rate: Option<String>,
}

/// The sums of a month.
#[derive(Debug, Serialize, ToSchema)]
pub struct MonthTotals {
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// How many leases there are of which something fell due.
    #[schema(example = 3)]
    leases: i64,
    /// The numbers.
    #[serde(flatten)]
    collection: CollectionView,
}

impl CollectionView {
    const COLUMNS: [Column; 7] = [
        shown("charged"),
        shown("collected"),
        shown("on_the_way"),
        shown("credited"),
        shown("open"),
        shown("late"),
        shown("collection_rate"),
    ];

    fn new(collection: Collection, currency: Currency) -> CollectionView {
        let money = |minor| format_minor(minor, currency);
        let Collection { charged, collected, on_the_way, credited, open, late } = collection;
        CollectionView {
            charged: money(charged),
            collected: money(collected),
            on_the_way: money(on_the_way),
            credited: money(credited),
            open: money(open),
            late: money(late),
            collection_rate: percent(collected, charged),
        }
    }

    fn cells(&self) -> impl Iterator<Item = Cell> {
        let CollectionView { charged, collected, on_the_way, credited, open, late, collection_rate } = self;
        let rate = collection_rate.as_ref().map_or(Cell::Empty, Cell::number);
        [charged, collected, on_the_way, credited, open, late].map(Cell::number).into_iter().chain([rate])
    }
}

impl From<Row> for MonthRow {
    fn from(Row { lease, collection }: Row) -> MonthRow {
        MonthRow { collection: CollectionView::new(collection, lease.currency), lease: lease.into() }
    }
}

impl From<Totals> for MonthTotals {
    fn from(Totals { currency, leases, collection }: Totals) -> MonthTotals {
        MonthTotals { currency: currency.code(), leases, collection: CollectionView::new(collection, currency) }
    }
}

/// All that fell due for a landlord in a month as a table.
pub async fn sheet(tx: &mut Tx, landlord: UserId, days: &Days, of: Month) -> Result<Sheet, StoreError> {
    let columns = LeaseOfReport::columns(&[&CollectionView::COLUMNS[..], &[shown("currency")]].concat());
    let (mut rows, mut page) = (Vec::new(), Page::first(CHUNK));
    loop {
        let read = month::page(tx, landlord, days, of, page).await?;
        let Some(last) = read.last() else { break };
        page.before = last.lease.id.0;
        let cells = |row: MonthRow| row.lease.cells(row.collection.cells().chain([Cell::word(row.lease.currency)]));
        rows.extend(read.into_iter().map(|row| cells(row.into())));
    }
    let cells =
        |total: MonthTotals| LeaseOfReport::total_cells(total.collection.cells().chain([Cell::word(total.currency)]));
    let totals = month::totals(tx, landlord, days, of).await?.into_iter();
    Ok(Sheet { columns, rows, totals: totals.map(|total| cells(total.into())).collect() })
}

/// Which month.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfMonth {
    /// The month in which the charges were due.
    #[param(value_type = String, example = "2026-03")]
    pub(super) month: Option<String>,
}

/// Read what fell due in a month.
///
/// For landlords their own, for administrators any. Every lease of which something fell due, and what became of it by now: what
/// was collected, is on the way, was let off, is open, and what of that is late. Newest first.
#[utoipa::path(
    get,
    path = "/reports/month",
    tag = "reports",
    params(ForWhom, OfMonth, ListQuery),
    responses(
        (
            status = 200,
            description = "A page of the month, or all of it as a file",
            content((Report<MonthRow, MonthTotals> = "application/json"), (String = "text/csv"))
        ),
        OfList, OfOne, OfRole, SignedIn, Always,
    ),
)]
pub async fn read_month(
    State(app): State<App>,
    caller: Caller,
    Query(whom): Query<ForWhom>,
    Query(of): Query<OfMonth>,
    Query(list): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let (landlord, format, wanted) = (whom.landlord(caller)?, whom.format()?, list.parse()?);
    let of = super::needed("month", of.month.as_deref(), Month::parse)?;
    let (db, now) = (app.db.clone(), app.clock.business());
    super::aside(&app, async move {
        let (mut tx, days) = super::open(&db, landlord, None, now).await?;
        if format == Format::Csv {
            return super::file(&format!("month-{of}"), &sheet(&mut tx, landlord, &days, of).await?);
        }
        let rows = month::page(&mut tx, landlord, &days, of, wanted.page()).await?;
        let totals = match wanted.is_first() {
            true => Some(month::totals(&mut tx, landlord, &days, of).await?),
            false => None,
        };
        let totals = totals.map(|totals| totals.into_iter().map(MonthTotals::from).collect());
        let report: Report<MonthRow, _> = Report::new(wanted, rows, |row| row.lease.id.0, totals);
        Ok(Json(report).into_response())
    })
    .await
}

/// A number of a month.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct MonthCell {
    /// Of which lease.
    #[param(value_type = String, format = Uuid)]
    lease_id: Option<String>,
    /// Which number: CHARGED, COLLECTED, ON_THE_WAY, CREDITED, OPEN or LATE.
    #[param(value_type = String, example = "COLLECTED")]
    column: Option<String>,
    /// JSON or CSV; JSON if omitted.
    #[param(example = "JSON")]
    format: Option<String>,
}

/// Explain a number of a month.
///
/// The charges whose sum it is, or the payments and credits that pay for them.
#[utoipa::path(
    get,
    path = "/reports/month/details",
    tag = "reports",
    params(MonthCell, OfMonth),
    responses(
        (
            status = 200,
            description = "What the number is made of",
            content((DetailsView = "application/json"), (String = "text/csv"))
        ),
        OfList, OfOne, OfRole, SignedIn, Always,
    ),
)]
pub async fn explain_month(
    State(app): State<App>,
    caller: Caller,
    Query(cell): Query<MonthCell>,
    Query(of): Query<OfMonth>,
) -> Result<Response, ApiError> {
    super::may_have_reports(caller)?;
    let of = super::needed("month", of.month.as_deref(), Month::parse)?;
    let lease = super::needed("lease_id", cell.lease_id.as_deref(), parse_id::<LeaseId>)?;
    let column = super::needed("column", cell.column.as_deref(), MonthColumn::parse)?;
    let format = super::format(cell.format.as_deref())?;
    let mut tx = app.db.begin_stale_read().await?;
    let (landlord, currency) = super::landlord_of(&mut tx, caller, lease).await?;
    let days = super::days(&mut tx, landlord, None, app.clock.business()).await?;
    let details = month::details(&mut tx, landlord, &days, of, (lease, column)).await?;
    DetailsView::new(details, currency).answer(format, "month-details")
}
