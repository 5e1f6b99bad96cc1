//! What a lease owes and what it went through, to read and to take along.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use directpay_domain::id::LeaseId;
use directpay_domain::invalid::Invalid;
use directpay_domain::money::{Currency, format_minor};
use directpay_domain::statement::{self, Line, Statement, Stream};
use directpay_domain::time::Instant;
use directpay_store::leases::Lease;
use directpay_store::properties::{self, Property};
use directpay_store::statement::{entries, last_event, standing};
use directpay_store::{Tx, charges, users};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{find_visible, local_day};
use crate::api::auth::Caller;
use crate::api::csv_file::{self, text_cell};
use crate::api::error::ApiError;
use crate::api::extract::{Id, Json, Query, check_order, query_date};
use crate::api::problem::{Always, OfList, OfOne, SignedIn};
use crate::api::request_id;
use crate::app::App;
use crate::daily_pass::LocalDay;
use crate::statement_pdf::{About, statement_pdf};

/// What is owed on a lease.
#[derive(Debug, Serialize, ToSchema)]
pub struct BalanceView {
    /// Which lease.
    lease_id: Uuid,
    /// At the end of which day, where the property lies.
    #[schema(value_type = String, format = Date)]
    as_of: Date,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// What is owed, less than zero where the renters are ahead. Money counts as soon as it is on its way.
    #[schema(example = "500.00")]
    balance: String,
    /// What is charged and neither paid nor on its way; null for a past day.
    #[schema(example = "500.00")]
    open: Option<String>,
    /// What was paid or let off and pays for nothing yet; null for a past day.
    #[schema(example = "0.00")]
    credit: Option<String>,
    /// Rent that was accepted and has not arrived; null for a past day.
    #[schema(example = "1000.00")]
    on_the_way: Option<String>,
    /// What is not charged yet and falls due within the lease's notice (`charge_notice_days`); null for a past day.
    #[schema(example = "1500.00")]
    upcoming: Option<String>,
}

/// Of which day.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BalanceQuery {
    /// The day, up to today where the property lies; today if omitted.
    #[param(value_type = Option<String>, format = Date, example = "2026-03-01")]
    as_of: Option<String>,
}

/// Read what is owed on a lease.
///
/// For its parties and administrators: what was charged, less what was paid, is on its way or was let off. Of today it says also
/// what that consists of: `balance` is `open` less `credit`.
#[utoipa::path(
    get,
    path = "/leases/{id}/balance",
    tag = "leases",
    params(("id" = Uuid, Path), BalanceQuery),
    responses((status = 200, body = BalanceView, description = "What is owed"), OfList, OfOne, SignedIn, Always),
)]
pub async fn read_balance(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    Query(query): Query<BalanceQuery>,
) -> Result<Json<BalanceView>, ApiError> {
    let as_of = query_date("as_of", query.as_of.as_deref())?;
    let now = app.clock.business();
    let mut tx = app.db.begin_read().await?;
    let lease = find_visible(&mut tx, caller, id).await?;
    let today = local_day(&mut tx, &lease, now).await?;
    let currency = lease.terms.rent.currency();
    let lines = read_lines(&mut tx, id, &today).await?;
    let money = |minor| format_minor(minor, currency);
    let view = BalanceView {
        lease_id: id.0,
        as_of: as_of.unwrap_or(today.date),
        currency: currency.code(),
        balance: money(lines.last().map_or(0, |line| line.balance_minor)),
        open: None,
        credit: None,
        on_the_way: None,
        upcoming: None,
    };
    match as_of {
        Some(day) if today.date < day => {
            Err(ApiError::bad_query("as_of", Invalid::new("in_the_future", "lies in the future where the property is")))
        }
        Some(day) if day < today.date => {
            Ok(Json(BalanceView { balance: money(statement::balance_on(&lines, day)), ..view }))
        }
        // All that was recorded counts, also what the clock of another machine says happens tomorrow.
        Some(_) | None => {
            let standing = standing(&mut tx, id).await?;
            let upcoming = charges::list_due(&mut tx, id, lease.charge_notice.through(today.date)).await?;
            Ok(Json(BalanceView {
                open: Some(money(standing.open_minor)),
                credit: Some(money(standing.credit_minor)),
                on_the_way: Some(money(standing.on_the_way_minor)),
                upcoming: Some(money(upcoming.iter().map(|charge| charge.amount.minor()).sum())),
                ..view
            }))
        }
    }
}

async fn read_lines(tx: &mut Tx, lease: LeaseId, today: &LocalDay) -> Result<Vec<Line>, ApiError> {
    let entries = entries(tx, lease).await?;
    Ok(statement::lines(&entries, |moment| today.date_of(moment)))
}

/// A line of a statement.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineView {
    /// The day from which it counts: a charge's due date, or the day on which it happened where the property lies.
    #[schema(value_type = String, format = Date)]
    date: Date,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Instant,
    /// In plain words.
    #[schema(example = "Rent 1 March to 31 March 2026")]
    description: String,
    /// The charge that it is about, if it is about one.
    charge_id: Option<Uuid>,
    /// The payment that it is about, if it is about one.
    payment_id: Option<Uuid>,
    /// How much more is owed; less than zero where less is.
    #[schema(example = "1500.00")]
    amount: String,
    /// What is owed after it; less than zero where the renters are ahead.
    #[schema(example = "1500.00")]
    balance: String,
    /// Whose event it comes from: LEASE or PAYMENT.
    #[schema(example = "LEASE")]
    stream: &'static str,
    /// Which lease or payment that is.
    stream_id: Uuid,
    /// Which of its events.
    sequence: i64,
}

impl LineView {
    fn new(line: Line, currency: Currency) -> LineView {
        LineView {
            date: line.date,
            occurred_at: line.occurred_at,
            description: line.description,
            charge_id: line.charge_id.map(|id| id.0),
            payment_id: line.payment_id.map(|id| id.0),
            amount: format_minor(line.amount_minor, currency),
            balance: format_minor(line.balance_minor, currency),
            stream: Stream::name(line.stream),
            stream_id: line.stream_id,
            sequence: line.sequence,
        }
    }
}

/// What a lease went through.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatementView {
    /// Which lease.
    lease_id: Uuid,
    /// The first day; null from the beginning.
    #[schema(value_type = Option<String>, format = Date)]
    from: Option<Date>,
    /// The last day; null to the end.
    #[schema(value_type = Option<String>, format = Date)]
    to: Option<Date>,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// What was owed before the first day.
    #[schema(example = "0.00")]
    opening_balance: String,
    /// In the order of their dates.
    lines: Vec<LineView>,
    /// What was owed after the last day.
    #[schema(example = "500.00")]
    closing_balance: String,
}

/// Which days, and in which form.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StatementQuery {
    /// The first day; from the beginning if omitted.
    #[param(value_type = Option<String>, format = Date, example = "2026-01-01")]
    from: Option<String>,
    /// The last day; to the end if omitted.
    #[param(value_type = Option<String>, format = Date, example = "2026-03-31")]
    to: Option<String>,
    /// JSON, CSV or PDF; JSON if omitted.
    #[param(example = "JSON")]
    format: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Json,
    Csv,
    Pdf,
}

/// A statement as the caller wants it.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    from: Option<Date>,
    to: Option<Date>,
    format: Format,
}

impl StatementQuery {
    fn parse(&self) -> Result<Wanted, ApiError> {
        let from = query_date("from", self.from.as_deref())?;
        let to = query_date("to", self.to.as_deref())?;
        check_order(from, to).map_err(|invalid| ApiError::bad_query("to", invalid))?;
        let format = match self.format.as_deref() {
            None => Format::Json,
            Some(name) if name.eq_ignore_ascii_case("JSON") => Format::Json,
            Some(name) if name.eq_ignore_ascii_case("CSV") => Format::Csv,
            Some(name) if name.eq_ignore_ascii_case("PDF") => Format::Pdf,
            Some(_) => {
                return Err(ApiError::bad_query("format", Invalid::new("unknown", "must be one of JSON CSV PDF")));
            }
        };
        Ok(Wanted { from, to, format })
    }
}

impl StatementView {
    fn new(lease: LeaseId, statement: Statement, currency: Currency) -> StatementView {
        StatementView {
            lease_id: lease.0,
            from: statement.from,
            to: statement.to,
            currency: currency.code(),
            opening_balance: format_minor(statement.opening_minor, currency),
            lines: statement.lines.into_iter().map(|line| LineView::new(line, currency)).collect(),
            closing_balance: format_minor(statement.closing_minor, currency),
        }
    }
}

/// Read the statement of a lease.
///
/// For its parties and administrators: every charge, payment, return and credit with the balance after it. Each line names the
/// event that it comes from. As CSV it begins with the opening balance, ends with the closing one and opens in a spreadsheet; as
/// PDF it is for paper, with names, address and totals.
#[utoipa::path(
    get,
    path = "/leases/{id}/statement",
    tag = "leases",
    params(("id" = Uuid, Path), StatementQuery),
    responses(
        (
            status = 200,
            description = "The statement",
            content((StatementView = "application/json"), (String = "text/csv"), (Vec<u8> = "application/pdf")),
            headers(("Content-Disposition" = Option<String>, description = "With CSV and PDF: a name for the file"))
        ),
        OfList, OfOne, SignedIn, Always,
    ),
)]
pub async fn read_statement(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    Query(query): Query<StatementQuery>,
) -> Result<Response, ApiError> {
    let wanted = query.parse()?;
    let now = app.clock.business();
    let mut tx = app.db.begin_read().await?;
    let lease = find_visible(&mut tx, caller, id).await?;
    request_id::looks_at(id);
    let property = properties::find(&mut tx, lease.property_id).await?.ok_or_else(ApiError::not_found)?;
    let today = LocalDay::at(&property.time_zone, now)?;
    let lines = read_lines(&mut tx, id, &today).await?;
    let statement = Statement::of(lines, wanted.from, wanted.to);
    let currency = lease.terms.rent.currency();
    match wanted.format {
        Format::Json => Ok(Json(StatementView::new(id, statement, currency)).into_response()),
        Format::Csv => {
            let csv =
                StatementView::new(id, statement, currency).to_csv().map_err(|error| ApiError::internal(&error))?;
            Ok(csv_file::named(&format!("statement-{id}"), csv))
        }
        Format::Pdf => {
            let about = about(&mut tx, &lease, property, &today, now).await?;
            drop(tx);
            let pdf = write_pdf(statement, about).await?;
            let name = format!("attachment; filename=\"statement-{id}.pdf\"");
            let headers = [(header::CONTENT_TYPE, "application/pdf".to_owned()), (header::CONTENT_DISPOSITION, name)];
            Ok((headers, pdf).into_response())
        }
    }
}

/// What a statement on paper says beside its lines.
async fn about(
    tx: &mut Tx,
    lease: &Lease,
    property: Property,
    today: &LocalDay,
    now: Instant,
) -> Result<About, ApiError> {
    let landlord = users::find(tx, lease.landlord_id).await?.ok_or_else(ApiError::not_found)?;
    let Property { address, unit, city, state, zip_code, .. } = property;
    let unit = unit.map(|unit| format!(", {unit}")).unwrap_or_default();
    Ok(About {
        lease_id: lease.id,
        landlord: landlord.full_name,
        renters: lease.renters.iter().map(|renter| renter.full_name.clone()).collect(),
        property: format!("{address}{unit}, {city}, {state} {zip_code}"),
        currency: lease.terms.rent.currency(),
        made_at: now,
        zone: today.zone().clone(),
        last_event: last_event(tx, lease.id).await?,
    })
}

/// Writing takes a processor for some milliseconds, or for more where there are many lines: others do not wait for it.
async fn write_pdf(statement: Statement, about: About) -> Result<Vec<u8>, ApiError> {
    let written = tokio::task::spawn_blocking(move || statement_pdf(&statement, &about)).await;
    written.map_err(|error| ApiError::internal(&error))?.map_err(|error| ApiError::internal(&error))
}

impl StatementView {
    fn to_csv(&self) -> csv::Result<Vec<u8>> {
        let mut file = csv::Writer::from_writer(Vec::new());
        file.write_record([
            "date",
            "description",
            "amount",
            "balance",
            "currency",
            "charge_id",
            "payment_id",
            "occurred_at",
            "stream",
            "stream_id",
            "sequence",
        ])?;
        file.write_record(self.balance_row(self.from, "Opening balance", &self.opening_balance))?;
        for line in &self.lines {
            let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
            file.write_record([
                line.date.to_string().as_str(),
                &text_cell(&line.description),
                &line.amount,
                &line.balance,
                self.currency,
                &id(line.charge_id),
                &id(line.payment_id),
                &line.occurred_at.to_string(),
                line.stream,
                &line.stream_id.to_string(),
                &line.sequence.to_string(),
            ])?;
        }
        file.write_record(self.balance_row(self.to, "Closing balance", &self.closing_balance))?;
        file.into_inner().map_err(|error| error.into_error().into())
    }

    /// A row that is no line: it has a balance and comes from no event.
    fn balance_row(&self, date: Option<Date>, what: &str, balance: &str) -> [String; 11] {
        let date = date.map(|date| date.to_string()).unwrap_or_default();
        let known = [date, what.to_owned(), String::new(), balance.to_owned(), self.currency.to_owned()];
        let mut row = <[String; 11]>::default();
        for (cell, value) in row.iter_mut().zip(known) {
            *cell = value;
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_stay_numbers_and_texts_are_guarded() {
        let line = Line {
            date: jiff::civil::date(2026, 3, 1),
            occurred_at: Instant::parse("2026-03-01T12:00:00Z").unwrap(),
            description: "=cmd|' /C calc'!A0, \"x\"".into(),
            stream: Stream::Lease,
            stream_id: Uuid::nil(),
            sequence: 7,
            charge_id: None,
            payment_id: None,
            amount_minor: -150_000,
            balance_minor: -150_000,
        };
        let statement = Statement::of(vec![line], None, None);
        let view = StatementView::new(LeaseId(Uuid::nil()), statement, Currency::USD);

        let text = String::from_utf8(view.to_csv().unwrap()).unwrap();

        let rows: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(rows[0], ",Opening balance,,0.00,USD,,,,,,");
        let expected = "2026-03-01,\"'=cmd|' /C calc'!A0, \"\"x\"\"\",-1500.00,-1500.00,USD,,,\
                        2026-03-01T12:00:00.000000Z,LEASE,00000000-0000-0000-0000-000000000000,7";
        assert_eq!(rows[1], expected);
        assert_eq!(rows[2], ",Closing balance,,-1500.00,USD,,,,,,");
    }
}
