//! The rent roll.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use directpay_domain::id::{LeaseId, UserId};
use directpay_domain::money::{Currency, format_minor};
use directpay_domain::report::RentRollColumn;
use directpay_store::reports::rent_roll::{self, Row, Standing, Totals};
use directpay_store::reports::{Days, Detail, arrears};
use directpay_store::{Page, StoreError, Tx};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::sheet::{Cell, Column, Sheet, for_files, shown};
use super::{CHUNK, DetailsView, ForWhom, Format, LeaseOfReport, Report};
use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::extract::{Json, ListQuery, Query, parse_id, query_date};
use crate::api::problem::{Always, OfList, OfOne, OfRole, SignedIn};
use crate::app::App;

/// A lease of the rent roll, at the end of a day.
#[derive(Debug, Serialize, ToSchema)]
pub struct RentRollRow {
    /// The lease.
    #[serde(flatten)]
    lease: LeaseOfReport,
    /// The day of the month on which rent is due.
    #[schema(example = 1)]
    payment_due_day: i64,
    /// At the end of which day, where the property lies.
    #[schema(value_type = String, format = Date)]
    as_of: Date,
    /// What a whole period cost then; null if the lease did not run.
    #[schema(example = "1500.00")]
    rent_amount: Option<String>,
    /// The numbers.
    #[serde(flatten)]
    standing: StandingView,
}

/// What was left at the end of a day.
#[derive(Debug, Serialize, ToSchema)]
pub struct StandingView {
    /// What was owed: `open` less `credit`; less than zero where the renters were ahead.
    #[schema(example = "500.00")]
    balance: String,
    /// What was charged and neither paid nor on its way.
    #[schema(example = "500.00")]
    open: String,
    /// What was paid or let off and paid for nothing yet.
    #[schema(example = "0.00")]
    credit: String,
    /// What was paid for deposits, had arrived and was not released.
    #[schema(example = "1500.00")]
    deposit_held: String,
}

/// The sums of a rent roll.
#[derive(Debug, Serialize, ToSchema)]
pub struct RentRollTotals {
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// How many leases there are.
    #[schema(example = 3)]
    leases: i64,
    /// The rent of a whole period of those that ran.
    #[schema(example = "4500.00")]
    rent_amount: String,
    /// The numbers.
    #[serde(flatten)]
    standing: StandingView,
}

impl StandingView {
    const COLUMNS: [Column; 4] = [shown("balance"), shown("open"), shown("credit"), shown("deposit_held")];

    fn new(standing: Standing, currency: Currency) -> StandingView {
        let money = |minor| format_minor(minor, currency);
        StandingView {
            balance: money(standing.balance()),
            open: money(standing.open),
            credit: money(standing.credit),
            deposit_held: money(standing.deposit_held),
        }
    }

    fn cells(&self) -> [Cell; 4] {
        [&self.balance, &self.open, &self.credit, &self.deposit_held].map(Cell::number)
    }
}

impl From<Row> for RentRollRow {
    fn from(Row { lease, as_of, rent, standing }: Row) -> RentRollRow {
        let currency = lease.currency;
        RentRollRow {
            payment_due_day: lease.due_day,
            lease: lease.into(),
            as_of,
            rent_amount: rent.map(|minor| format_minor(minor, currency)),
            standing: StandingView::new(standing, currency),
        }
    }
}

impl From<Totals> for RentRollTotals {
    fn from(Totals { currency, leases, rent, standing }: Totals) -> RentRollTotals {
        RentRollTotals {
            currency: currency.code(),
            leases,
            rent_amount: format_minor(rent, currency),
            standing: StandingView::new(standing, currency),
        }
    }
}

/// The whole rent roll of a landlord as a table.
pub async fn sheet(tx: &mut Tx, landlord: UserId, days: &Days) -> Result<Sheet, StoreError> {
    let before = [for_files("payment_due_day"), for_files("as_of"), shown("rent_amount")];
    let columns = LeaseOfReport::columns(&[&before[..], &StandingView::COLUMNS, &[shown("currency")]].concat());
    let (mut rows, mut page) = (Vec::new(), Page::first(CHUNK));
    loop {
        let read = rent_roll::page(tx, landlord, days, page).await?;
        let Some(last) = read.last() else { break };
        page.before = last.lease.id.0;
        rows.extend(read);
    }
    let totals = Totals::of(&rows).into_iter().map(|total| RentRollTotals::from(total).cells()).collect();
    Ok(Sheet { columns, rows: rows.into_iter().map(|row| RentRollRow::from(row).cells()).collect(), totals })
}

impl RentRollRow {
    fn cells(&self) -> Vec<Cell> {
        let rent = self.rent_amount.as_ref().map_or(Cell::Empty, Cell::number);
        let own = [Cell::number(self.payment_due_day), Cell::word(self.as_of), rent];
        let numbers = self.standing.cells();
        self.lease.cells(own.into_iter().chain(numbers).chain([Cell::word(self.lease.currency)]))
    }
}

impl RentRollTotals {
    fn cells(&self) -> Vec<Cell> {
        let own = [Cell::Empty, Cell::Empty, Cell::number(&self.rent_amount)];
        LeaseOfReport::total_cells(own.into_iter().chain(self.standing.cells()).chain([Cell::word(self.currency)]))
    }
}

/// Of which day.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AsOf {
    /// The day, up to today where the properties lie; today if omitted.
    #[param(value_type = Option<String>, format = Date, example = "2026-03-31")]
    pub(super) as_of: Option<String>,
}

/// Read the rent roll.
///
/// For landlords their own, for administrators any. Every lease that runs on the day, and every other of which something is left:
/// a balance, credit, a deposit. Newest first.
#[utoipa::path(
    get,
    path = "/reports/rent-roll",
    tag = "reports",
    params(ForWhom, AsOf, ListQuery),
    responses(
        (
            status = 200,
            description = "A page of the rent roll, or all of it as a file",
            content((Report<RentRollRow, RentRollTotals> = "application/json"), (String = "text/csv"))
        ),
        OfList, OfOne, OfRole, SignedIn, Always,
    ),
)]
pub async fn read_rent_roll(
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
            return super::file("rent-roll", &sheet(&mut tx, landlord, &days).await?);
        }
        let rows = rent_roll::page(&mut tx, landlord, &days, wanted.page()).await?;
        let totals = match wanted.is_first() {
            true => Some(rent_roll::totals(&mut tx, landlord, &days).await?),
            false => None,
        };
        let totals = totals.map(|totals| totals.into_iter().map(RentRollTotals::from).collect());
        let report: Report<RentRollRow, _> = Report::new(wanted, rows, |row| row.lease.id.0, totals);
        Ok(Json(report).into_response())
    })
    .await
}

/// A number of the rent roll.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RentRollCell {
    /// Of which lease.
    #[param(value_type = String, format = Uuid)]
    lease_id: Option<String>,
    /// Which number: OPEN, CREDIT, BALANCE or DEPOSIT_HELD.
    #[param(value_type = String, example = "BALANCE")]
    column: Option<String>,
    /// JSON or CSV; JSON if omitted.
    #[param(example = "JSON")]
    format: Option<String>,
}

/// Explain a number of the rent roll.
///
/// The charges, payments, credits and events whose sum it is.
#[utoipa::path(
    get,
    path = "/reports/rent-roll/details",
    tag = "reports",
    params(RentRollCell, AsOf),
    responses(
        (
            status = 200,
            description = "What the number is made of",
            content((DetailsView = "application/json"), (String = "text/csv"))
        ),
        OfList, OfOne, OfRole, SignedIn, Always,
    ),
)]
pub async fn explain_rent_roll(
    State(app): State<App>,
    caller: Caller,
    Query(cell): Query<RentRollCell>,
    Query(at): Query<AsOf>,
) -> Result<Response, ApiError> {
    super::may_have_reports(caller)?;
    let lease = super::needed("lease_id", cell.lease_id.as_deref(), parse_id::<LeaseId>)?;
    let column = super::needed("column", cell.column.as_deref(), RentRollColumn::parse)?;
    let (format, as_of) = (super::format(cell.format.as_deref())?, query_date("as_of", at.as_of.as_deref())?);
    let mut tx = app.db.begin_stale_read().await?;
    let (landlord, currency) = super::landlord_of(&mut tx, caller, lease).await?;
    let days = super::days(&mut tx, landlord, as_of, app.clock.business()).await?;
    let details = details(&mut tx, landlord, &days, lease, column).await?;
    DetailsView::new(details, currency).answer(format, "rent-roll-details")
}

async fn details(
    tx: &mut Tx,
    landlord: UserId,
    days: &Days,
    lease: LeaseId,
    column: RentRollColumn,
) -> Result<Vec<Detail>, StoreError> {
    match column {
        RentRollColumn::Open => arrears::details(tx, landlord, days, lease, None).await,
        RentRollColumn::Credit => rent_roll::credit_details(tx, days, lease).await,
        RentRollColumn::DepositHeld => rent_roll::deposit_details(tx, landlord, days, lease).await,
        RentRollColumn::Balance => {
            let mut details = arrears::details(tx, landlord, days, lease, None).await?;
            let credit = rent_roll::credit_details(tx, days, lease).await?;
            details.extend(credit.into_iter().map(|detail| Detail { minor: -detail.minor, ..detail }));
            Ok(details)
        }
    }
}
