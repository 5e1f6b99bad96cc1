//! Arrears by age.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use directpay_domain::id::{LeaseId, UserId};
use directpay_domain::money::{Currency, format_minor};
use directpay_domain::report::Age;
use directpay_store::reports::Days;
use directpay_store::reports::arrears::{self, Arrears, Open, Totals};
use directpay_store::{Page, StoreError, Tx};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::rent_roll::AsOf;
use super::sheet::{Cell, Column, Sheet, for_files, shown};
use super::{CHUNK, DetailsView, ForWhom, Format, LeaseOfReport, Report};
use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::extract::{Json, ListQuery, Query, parse_id, query_date};
use crate::api::problem::{Always, OfList, OfOne, OfRole, SignedIn};
use crate::app::App;

/// A lease of which something was open at the end of a day.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArrearsRow {
    /// The lease.
    #[serde(flatten)]
    lease: LeaseOfReport,
    /// At the end of which day, where the property lies.
    #[schema(value_type = String, format = Date)]
    as_of: Date,
    /// Whether the lease had ended before that day.
    former: bool,
    /// The numbers.
    #[serde(flatten)]
    open: OpenView,
}

/// What was charged and neither paid nor on its way, by the days since it was due.
#[derive(Debug, Serialize, ToSchema)]
pub struct OpenView {
    /// Due that day or at most 30 days before.
    #[schema(example = "1500.00")]
    days_0_30: String,
    /// Due 31 to 60 days before.
    #[schema(example = "0.00")]
    days_31_60: String,
    /// Due 61 to 90 days before.
    #[schema(example = "0.00")]
    days_61_90: String,
    /// Due more than 90 days before.
    #[schema(example = "0.00")]
    days_over_90: String,
    /// All of it.
    #[schema(example = "1500.00")]
    open: String,
}

/// The sums of the arrears.
#[derive(Debug, Serialize, ToSchema)]
pub struct ArrearsTotals {
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// How many leases there are of which something was open.
    #[schema(example = 3)]
    leases: i64,
    /// The numbers.
    #[serde(flatten)]
    open: OpenView,
}

impl OpenView {
    const COLUMNS: [Column; 5] =
        [shown("days_0_30"), shown("days_31_60"), shown("days_61_90"), shown("days_over_90"), shown("open")];

    fn new(open: Open, currency: Currency) -> OpenView {
        let [days_0_30, days_31_60, days_61_90, days_over_90] = open.by_age.map(|minor| format_minor(minor, currency));
        OpenView { days_0_30, days_31_60, days_61_90, days_over_90, open: format_minor(open.total(), currency) }
    }

    fn cells(&self) -> [Cell; 5] {
        [&self.days_0_30, &self.days_31_60, &self.days_61_90, &self.days_over_90, &self.open].map(Cell::number)
    }
}

impl From<Arrears> for ArrearsRow {
    fn from(arrears: Arrears) -> ArrearsRow {
        let former = arrears.is_former();
        let Arrears { lease, as_of, open } = arrears;
        let open = OpenView::new(open, lease.currency);
        ArrearsRow { lease: lease.into(), as_of, former, open }
    }
}

impl From<Totals> for ArrearsTotals {
    fn from(Totals { currency, leases, open }: Totals) -> ArrearsTotals {
        ArrearsTotals { currency: currency.code(), leases, open: OpenView::new(open, currency) }
    }
}

impl ArrearsRow {
    fn cells(&self) -> Vec<Cell> {
        let own = [Cell::word(self.as_of), Cell::word(if self.former { "yes" } else { "no" })];
        self.lease.cells(own.into_iter().chain(self.open.cells()).chain([Cell::word(self.lease.currency)]))
    }
}

impl ArrearsTotals {
    fn cells(&self) -> Vec<Cell> {
        let own = [Cell::Empty, Cell::Empty];
        LeaseOfReport::total_cells(own.into_iter().chain(self.open.cells()).chain([Cell::word(self.currency)]))
    }
}

/// All arrears of a landlord as a table.
pub async fn sheet(tx: &mut Tx, landlord: UserId, days: &Days) -> Result<Sheet, StoreError> {
    let before = [for_files("as_of"), shown("former")];
    let columns = LeaseOfReport::columns(&[&before[..], &OpenView::COLUMNS, &[shown("currency")]].concat());
    let (mut rows, mut page) = (Vec::new(), Page::first(CHUNK));
    loop {
        let read = arrears::page(tx, landlord, days, page).await?;
        let Some(last) = read.last() else { break };
        page.before = last.lease.id.0;
        rows.extend(read);
    }
    let totals = Totals::of(&rows).into_iter().map(|total| ArrearsTotals::from(total).cells()).collect();
    Ok(Sheet { columns, rows: rows.into_iter().map(|row| ArrearsRow::from(row).cells()).collect(), totals })
}

/// Read the arrears.
///
/// For landlords their own, for administrators any. Every lease of which something is open at the end of the day, by the days
/// since it was due; what is due on the day itself is due since no days. Renters whose lease has ended are there, and marked.
/// Newest first.
#[utoipa::path(
    get,
    path = "/reports/arrears",
    tag = "reports",
    params(ForWhom, AsOf, ListQuery),
    responses(
        (
            status = 200,
            description = "A page of the arrears, or all of them as a file",
            content((Report<ArrearsRow, ArrearsTotals> = "application/json"), (String = "text/csv"))
        ),
        OfList, OfOne, OfRole, SignedIn, Always,
    ),
)]
pub async fn read_arrears(
    State(app): State<App>,
    caller: Caller,
    Query(whom): Query<ForWhom>,
    Query(at): Query<AsOf>,
    Query(list): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let (landlord, format, wanted) = (whom.landlord(caller)?, whom.format()?, list.parse()?);
    let as_of = query_date("as_of", at.as_of.as_deref())?;
    let (db, now) = (app.db.clone(), app.clock.business());
    super::aside(&app, async move {
        let (mut tx, days) = super::open(&db, landlord, as_of, now).await?;
        if format == Format::Csv {
            return super::file("arrears", &sheet(&mut tx, landlord, &days).await?);
        }
        let rows = arrears::page(&mut tx, landlord, &days, wanted.page()).await?;
        let totals = match wanted.is_first() {
            true => Some(arrears::totals(&mut tx, landlord, &days).await?),
            false => None,
        };
        let totals = totals.map(|totals| totals.into_iter().map(ArrearsTotals::from).collect());
        let report: Report<ArrearsRow, _> = Report::new(wanted, rows, |row| row.lease.id.0, totals);
        Ok(Json(report).into_response())
    })
    .await
}

/// A number of the arrears.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ArrearsCell {
    /// Of which lease.
    #[param(value_type = String, format = Uuid)]
    lease_id: Option<String>,
    /// Which number: DAYS_0_30, DAYS_31_60, DAYS_61_90 or DAYS_OVER_90; all of them if omitted.
    #[param(example = "DAYS_0_30")]
    age: Option<String>,
    /// JSON or CSV; JSON if omitted.
    #[param(example = "JSON")]
    format: Option<String>,
}

/// Explain a number of the arrears.
///
/// The charges that were open, each with what was open of it.
#[utoipa::path(
    get,
    path = "/reports/arrears/details",
    tag = "reports",
    params(ArrearsCell, AsOf),
    responses(
        (
            status = 200,
            description = "What the number is made of",
            content((DetailsView = "application/json"), (String = "text/csv"))
        ),
        OfList, OfOne, OfRole, SignedIn, Always,
    ),
)]
pub async fn explain_arrears(
    State(app): State<App>,
    caller: Caller,
    Query(cell): Query<ArrearsCell>,
    Query(at): Query<AsOf>,
) -> Result<Response, ApiError> {
    super::may_have_reports(caller)?;
    let lease = super::needed("lease_id", cell.lease_id.as_deref(), parse_id::<LeaseId>)?;
    let age = super::query("age", cell.age.as_deref().map(Age::parse).transpose())?;
    let (format, as_of) = (super::format(cell.format.as_deref())?, query_date("as_of", at.as_of.as_deref())?);
    let mut tx = app.db.begin_stale_read().await?;
    let (landlord, currency) = super::landlord_of(&mut tx, caller, lease).await?;
    let days = super::days(&mut tx, landlord, as_of, app.clock.business()).await?;
    let details = arrears::details(&mut tx, landlord, &days, lease, age).await?;
    DetailsView::new(details, currency).answer(format, "arrears-details")
}
