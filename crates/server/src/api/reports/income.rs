//! Income by property and month.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use directpay_domain::id::{PropertyId, UserId};
use directpay_domain::money::{Currency, format_minor};
use directpay_domain::report::{Basis, IncomePart, Month};
use directpay_store::reports::Days;
use directpay_store::reports::income::{self, Row};
use directpay_store::{Page, StoreError, Tx, properties};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::month::OfMonth;
use super::sheet::{Cell, Column, Sheet, shown};
use super::{CHUNK, DetailsView, ForWhom, Format, PropertyOfReport, Report};
use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::extract::{Json, ListQuery, Query, parse_id};
use crate::api::problem::{Always, OfList, OfOne, OfRole, SignedIn};
use crate::app::App;

/// A property and its income.
#[derive(Debug, Serialize, ToSchema)]
pub struct IncomeRow {
    /// The property.
    #[serde(flatten)]
    property: PropertyOfReport,
    /// The income of the year, for each currency; empty where there is none.
    sums: Vec<IncomeOfYear>,
}

/// The income of a year in one currency.
#[derive(Debug, Serialize, ToSchema)]
pub struct IncomeOfYear {
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// All of it.
    #[schema(example = "18000.00")]
    income: String,
    /// What it consists of.
    parts: Vec<PartView>,
    /// The months in which something happened, in their order.
    months: Vec<IncomeOfMonth>,
}

/// The income of a month.
#[derive(Debug, Serialize, ToSchema)]
pub struct IncomeOfMonth {
    /// Which month, where the property lies.
    #[schema(example = "2026-03")]
    month: String,
    /// All of it.
    #[schema(example = "1500.00")]
    income: String,
    /// What it consists of.
    parts: Vec<PartView>,
}

/// A part of an income.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartView {
    /// By cash: RECEIVED, RETURNED, REFUNDED, DEPOSIT_TAKEN or DEPOSIT_RELEASED. By accrual: RENT, EXTRA, ONE_OFF, LATE_FEE, VOIDED,
    /// CONCESSION, CORRECTION or WRITE_OFF.
    #[schema(example = "RECEIVED")]
    part: &'static str,
    /// How much; less than zero where it is taken out.
    #[schema(example = "1500.00")]
    amount: String,
}

/// A sum and its parts, in minor units.
struct Sums {
    currency: Currency,
    parts: Vec<(IncomePart, i64)>,
}

impl Sums {
    fn of<'c>(cells: impl Iterator<Item = &'c income::Cell> + Clone, currency: Currency) -> Sums {
        let of_part = |part: &IncomePart| {
            let minor = cells.clone().filter(|cell| cell.part == *part).map(|cell| cell.minor);
            (*part, minor.fold(0, i64::saturating_add))
        };
        Sums { currency, parts: IncomePart::ALL.iter().map(of_part).filter(|(_, minor)| *minor != 0).collect() }
    }

    fn income(&self) -> String {
        let minor = self.parts.iter().fold(0_i64, |sum, (_, minor)| sum.saturating_add(*minor));
        format_minor(minor, self.currency)
    }

    fn views(&self) -> Vec<PartView> {
        let view = |(part, minor): &(IncomePart, i64)| PartView {
            part: part.name(),
            amount: format_minor(*minor, self.currency),
        };
        self.parts.iter().map(view).collect()
    }
}

impl IncomeOfYear {
    /// One for each currency. The cells stand in the order of currency and month.
    fn of(cells: &[income::Cell]) -> Vec<IncomeOfYear> {
        let of_currency = |cells: &[income::Cell]| {
            let currency = cells.first().map_or(Currency::USD, |cell| cell.currency);
            let of_month = |cells: &[income::Cell]| {
                let sums = Sums::of(cells.iter(), currency);
                let month = cells.first().map_or(String::new(), |cell| cell.month.to_string());
                IncomeOfMonth { month, income: sums.income(), parts: sums.views() }
            };
            let sums = Sums::of(cells.iter(), currency);
            IncomeOfYear {
                currency: currency.code(),
                income: sums.income(),
                parts: sums.views(),
                months: cells.chunk_by(|one, next| one.month == next.month).map(of_month).collect(),
            }
        };
        cells.chunk_by(|one, next| one.currency == next.currency).map(of_currency).collect()
    }

    /// A row for each month, and one for the year if it is asked for.
    fn rows(&self, basis: Basis, of: &[Cell], with_year: bool) -> Vec<Vec<Cell>> {
        let row = |when: Cell, parts: &[PartView], income: &str| {
            let amount = |part: &IncomePart| {
                let found = parts.iter().find(|view| view.part == part.name());
                found.map_or(Cell::Empty, |view| Cell::number(&view.amount))
            };
            let amounts = basis.parts().iter().map(amount);
            let own = std::iter::once(when).chain(amounts).chain([Cell::number(income), Cell::word(self.currency)]);
            of.iter().cloned().chain(own).collect()
        };
        let months = self.months.iter().map(|month| row(Cell::word(&month.month), &month.parts, &month.income));
        let year = with_year.then(|| row(Cell::Empty, &self.parts, &self.income));
        months.chain(year).collect()
    }
}

impl From<Row> for IncomeRow {
    fn from(Row { property, cells }: Row) -> IncomeRow {
        IncomeRow { property: property.into(), sums: IncomeOfYear::of(&cells) }
    }
}

/// The whole income of a landlord as a table: a row for each property and month, then one for each month, and one for the year.
pub async fn sheet(
    tx: &mut Tx,
    landlord: UserId,
    days: &Days,
    basis: Basis,
    months: &[Month],
) -> Result<Sheet, StoreError> {
    let parts = basis.parts().iter().map(|part| shown(column_of(*part)));
    let own: Vec<Column> =
        std::iter::once(shown("month")).chain(parts).chain([shown("income"), shown("currency")]).collect();
    let (mut rows, mut page) = (Vec::new(), Page::first(CHUNK));
    loop {
        let read = income::page(tx, landlord, days, (basis, months), page).await?;
        let Some(last) = read.last() else { break };
        page.before = last.property.id.0;
        for row in read.into_iter().map(IncomeRow::from) {
            rows.extend(row.sums.iter().flat_map(|sum| sum.rows(basis, &row.property.cells(), false)));
        }
    }
    let mut of = vec![Cell::Empty; PropertyOfReport::COLUMNS.len()];
    of[0] = Cell::word("Total");
    let totals = IncomeOfYear::of(&income::totals(tx, landlord, days, (basis, months)).await?);
    Ok(Sheet {
        columns: [&PropertyOfReport::COLUMNS[..], &own].concat(),
        rows,
        totals: totals.iter().flat_map(|sum| sum.rows(basis, &of, true)).collect(),
    })
}

/// The name of a part's column.
fn column_of(part: IncomePart) -> &'static str {
    match part {
        IncomePart::Received => "received",
        IncomePart::Returned => "returned",
        IncomePart::Refunded => "refunded",
        IncomePart::DepositTaken => "deposit_taken",
        IncomePart::DepositReleased => "deposit_released",
        IncomePart::Rent => "rent",
        IncomePart::Extra => "extra",
        IncomePart::OneOff => "one_off",
        IncomePart::LateFee => "late_fee",
        IncomePart::Voided => "voided",
        IncomePart::Concession => "concession",
        IncomePart::Correction => "correction",
        IncomePart::WriteOff => "write_off",
    }
}

/// Which year, counted how.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OfYear {
    /// The year.
    #[param(value_type = String, example = "2026")]
    year: Option<String>,
}

/// Counted how.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OnBasis {
    /// CASH: when money has arrived; ACCRUAL: when it is owed. CASH if omitted.
    #[param(example = "CASH")]
    basis: Option<String>,
}

impl OnBasis {
    fn parse(&self) -> Result<Basis, ApiError> {
        super::query("basis", self.basis.as_deref().map_or(Ok(Basis::Cash), Basis::parse))
    }
}

/// Read the income of a year.
///
/// For landlords their own, for administrators any: by property and month, as a tax return wants it. Deposits count only when they
/// are kept. Newest property first.
#[utoipa::path(
    get,
    path = "/reports/income",
    tag = "reports",
    params(ForWhom, OfYear, OnBasis, ListQuery),
    responses(
        (
            status = 200,
            description = "A page of the properties, or all of them as a file",
            content((Report<IncomeRow, IncomeOfYear> = "application/json"), (String = "text/csv"))
        ),
        OfList, OfOne, OfRole, SignedIn, Always,
    ),
)]
pub async fn read_income(
    State(app): State<App>,
    caller: Caller,
    Query(whom): Query<ForWhom>,
    Query(of): Query<OfYear>,
    Query(on): Query<OnBasis>,
    Query(list): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let (landlord, format, wanted) = (whom.landlord(caller)?, whom.format()?, list.parse()?);
    let (months, basis) = (super::needed("year", of.year.as_deref(), Month::of_year)?, on.parse()?);
    let (db, now) = (app.db.clone(), app.clock.business());
    super::aside(&app, async move {
        let (mut tx, days) = super::open(&db, landlord, None, now).await?;
        if format == Format::Csv {
            return super::file("income", &sheet(&mut tx, landlord, &days, basis, &months).await?);
        }
        let rows = income::page(&mut tx, landlord, &days, (basis, &months), wanted.page()).await?;
        let totals = match wanted.is_first() {
            true => Some(income::totals(&mut tx, landlord, &days, (basis, &months)).await?),
            false => None,
        };
        let totals = totals.map(|cells| IncomeOfYear::of(&cells));
        let report: Report<IncomeRow, _> = Report::new(wanted, rows, |row| row.property.id.0, totals);
        Ok(Json(report).into_response())
    })
    .await
}

/// The income of a property in a month.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct IncomeCell {
    /// Of which property.
    #[param(value_type = String, format = Uuid)]
    property_id: Option<String>,
    /// Which part of it; all parts if omitted.
    #[param(example = "RECEIVED")]
    part: Option<String>,
    /// ISO 4217; USD if omitted.
    #[param(example = "USD")]
    currency: Option<String>,
    /// JSON or CSV; JSON if omitted.
    #[param(example = "JSON")]
    format: Option<String>,
}

/// Explain an income.
///
/// The payments, charges and events whose sum the income of a property in a month is, or a part of it.
#[utoipa::path(
    get,
    path = "/reports/income/details",
    tag = "reports",
    params(IncomeCell, OfMonth, OnBasis),
    responses(
        (
            status = 200,
            description = "What the number is made of",
            content((DetailsView = "application/json"), (String = "text/csv"))
        ),
        OfList, OfOne, OfRole, SignedIn, Always,
    ),
)]
pub async fn explain_income(
    State(app): State<App>,
    caller: Caller,
    Query(cell): Query<IncomeCell>,
    Query(of): Query<OfMonth>,
    Query(on): Query<OnBasis>,
) -> Result<Response, ApiError> {
    super::may_have_reports(caller)?;
    let wanted = income::Wanted {
        property: super::needed("property_id", cell.property_id.as_deref(), parse_id::<PropertyId>)?,
        month: super::needed("month", of.month.as_deref(), Month::parse)?,
        basis: on.parse()?,
        currency: super::query("currency", cell.currency.as_deref().map_or(Ok(Currency::USD), Currency::parse))?,
        part: super::query("part", cell.part.as_deref().map(IncomePart::parse).transpose())?,
    };
    let format = super::format(cell.format.as_deref())?;
    let mut tx = app.db.begin_stale_read().await?;
    let property = properties::find(&mut tx, wanted.property).await?.ok_or_else(ApiError::not_found)?;
    caller.must_be(property.landlord_id)?;
    let days = super::days(&mut tx, property.landlord_id, None, app.clock.business()).await?;
    let details = income::details(&mut tx, property.landlord_id, &days, wanted).await?;
    DetailsView::new(details, wanted.currency).answer(format, "income-details")
}
