//! Reports for landlords, and what each of their numbers is made of (`docs/reports.md`).
//!
//! They are read beside everything else and may be a little old. The sums over all rows stand on the first page only, so that
//! another page costs what its rows cost.

pub mod arrears;
pub mod income;
pub mod month;
pub mod payments;
pub mod rent_roll;
pub mod sheet;

use axum::response::{IntoResponse, Response};
use directpay_domain::id::{LeaseId, UserId};
use directpay_domain::invalid::Invalid;
use directpay_domain::money::{Currency, format_minor};
use directpay_domain::time::Instant;
use directpay_domain::user::Role;
use directpay_store::reports::{Days, Detail, LeaseHead, PropertyHead};
use directpay_store::{Db, Tx, leases, users};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use self::sheet::{Cell, Column, Sheet, for_files, shown};
use super::auth::Caller;
use super::csv_file;
use super::error::ApiError;
use super::extract::{Json, Wanted, parse_id};
use super::request_id;
use crate::app::App;

/// Rows that are read together for a file.
const CHUNK: i64 = 500;

/// A page of a report.
#[derive(Debug, Serialize, ToSchema)]
pub struct Report<R, T> {
    /// The rows.
    data: Vec<R>,
    /// The sums over all rows of all pages, for each currency; null on every page but the first.
    totals: Option<Vec<T>>,
    /// Where the next page begins; null on the last one.
    next_cursor: Option<String>,
}

impl<R, T> Report<R, T> {
    /// The page that was wanted, out of what the store gave for it.
    fn new<S>(wanted: Wanted, rows: Vec<S>, id: impl Fn(&S) -> Uuid, totals: Option<Vec<T>>) -> Report<R, T>
    where
        R: From<S>,
    {
        let list = wanted.list(rows, id, R::from);
        Report { data: list.data, totals, next_cursor: list.next_cursor }
    }
}

/// Whose report, and in which form.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ForWhom {
    /// Whose books; needed by administrators, others have only their own.
    landlord_id: Option<String>,
    /// JSON or CSV; JSON if omitted. A file has all rows at once.
    #[param(example = "JSON")]
    format: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

fn format(text: Option<&str>) -> Result<Format, ApiError> {
    match text {
        None => Ok(Format::Json),
        Some(name) if name.eq_ignore_ascii_case("JSON") => Ok(Format::Json),
        Some(name) if name.eq_ignore_ascii_case("CSV") => Ok(Format::Csv),
        Some(_) => Err(ApiError::bad_query("format", Invalid::new("unknown", "must be one of JSON CSV"))),
    }
}

impl ForWhom {
    fn format(&self) -> Result<Format, ApiError> {
        format(self.format.as_deref())
    }

    /// The landlord whose books are asked for, if they are the caller's to read.
    fn landlord(&self, caller: Caller) -> Result<UserId, ApiError> {
        may_have_reports(caller)?;
        let named =
            self.landlord_id.as_deref().map(|text| query("landlord_id", parse_id::<UserId>(text))).transpose()?;
        let landlord = match (named, caller.role) {
            (Some(landlord), _) => landlord,
            (None, Role::Admin) => return Err(missing("landlord_id")),
            (None, Role::Landlord | Role::Renter) => caller.user_id,
        };
        caller.must_be(landlord)?;
        request_id::looks_at(landlord);
        Ok(landlord)
    }
}

fn may_have_reports(caller: Caller) -> Result<(), ApiError> {
    match caller.role {
        Role::Landlord | Role::Admin => Ok(()),
        Role::Renter => Err(ApiError::forbidden("only landlords and administrators may do this")),
    }
}

fn query<T>(field: &'static str, parsed: Result<T, Invalid>) -> Result<T, ApiError> {
    parsed.map_err(|invalid| ApiError::bad_query(field, invalid))
}

fn missing(field: &'static str) -> ApiError {
    ApiError::bad_query(field, Invalid::new("required", "is missing"))
}

/// What must be there, read.
fn needed<T>(
    field: &'static str,
    text: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, Invalid>,
) -> Result<T, ApiError> {
    query(field, parse(text.ok_or_else(|| missing(field))?))
}

/// Goes on for landlords that exist: an administrator may name anybody.
async fn find_landlord(tx: &mut Tx, landlord: UserId) -> Result<(), ApiError> {
    let found = users::find(tx, landlord).await?.filter(|user| user.role == Role::Landlord);
    found.map(|_| ()).ok_or_else(ApiError::not_found)
}

/// Whose lease it is, if the caller may read that landlord's books.
async fn landlord_of(tx: &mut Tx, caller: Caller, lease: LeaseId) -> Result<(UserId, Currency), ApiError> {
    may_have_reports(caller)?;
    let lease = leases::find(tx, lease).await?.ok_or_else(ApiError::not_found)?;
    caller.must_be(lease.landlord_id)?;
    request_id::looks_at(lease.landlord_id);
    Ok((lease.landlord_id, lease.terms.rent.currency()))
}

/// The day of a report in each zone of the landlord's, if it has begun in one of them.
async fn days(tx: &mut Tx, landlord: UserId, as_of: Option<Date>, now: Instant) -> Result<Days, ApiError> {
    let days = Days::of(tx, landlord, as_of, now).await?;
    if days.are_future() {
        let invalid = Invalid::new("in_the_future", "lies in the future where the properties are");
        return Err(ApiError::bad_query("as_of", invalid));
    }
    Ok(days)
}

/// Begins to read a landlord's books, which may lag behind a little.
async fn open(db: &Db, landlord: UserId, as_of: Option<Date>, now: Instant) -> Result<(Tx, Days), ApiError> {
    let mut tx = db.begin_stale_read().await?;
    find_landlord(&mut tx, landlord).await?;
    let days = days(&mut tx, landlord, as_of, now).await?;
    Ok((tx, days))
}

/// Reads on a thread of its own where the database works on the caller's: a report takes its time.
async fn aside<T: Send + 'static>(
    app: &App,
    reading: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    app.db.spawn(reading).await.map_err(|error| ApiError::internal(&error))?
}

/// A report as a file.
fn file(name: &str, sheet: &Sheet) -> Result<Response, ApiError> {
    Ok(csv_file::named(name, sheet.to_csv().map_err(|error| ApiError::internal(&error))?))
}

/// A lease of a report.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeaseOfReport {
    /// Which lease.
    lease_id: Uuid,
    /// What is let.
    #[serde(flatten)]
    property: PropertyOfReport,
    /// The names of the renters.
    renters: Vec<String>,
    /// The first day.
    #[schema(value_type = String, format = Date)]
    start_date: Date,
    /// The last day; null while the lease goes on from month to month.
    #[schema(value_type = Option<String>, format = Date)]
    end_date: Option<Date>,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
}

/// A property of a report.
#[derive(Debug, Serialize, ToSchema)]
pub struct PropertyOfReport {
    /// Which property.
    property_id: Uuid,
    /// What its landlord calls it.
    property_name: Option<String>,
    /// Street and number.
    #[schema(example = "12 Maple Street")]
    address: String,
    /// The flat, where the house has several.
    #[schema(example = "2B")]
    unit: Option<String>,
}

impl From<LeaseHead> for LeaseOfReport {
    fn from(lease: LeaseHead) -> LeaseOfReport {
        LeaseOfReport {
            lease_id: lease.id.0,
            property: lease.property.into(),
            renters: lease.renters,
            start_date: lease.starts_on,
            end_date: lease.ends_on,
            currency: lease.currency.code(),
        }
    }
}

impl From<PropertyHead> for PropertyOfReport {
    fn from(PropertyHead { id, name, address, unit }: PropertyHead) -> PropertyOfReport {
        PropertyOfReport { property_id: id.0, property_name: name, address, unit }
    }
}

impl PropertyOfReport {
    const COLUMNS: [Column; 4] =
        [shown("address"), shown("unit"), for_files("property_name"), for_files("property_id")];

    fn cells(&self) -> [Cell; 4] {
        let PropertyOfReport { property_id, property_name, address, unit } = self;
        [
            Cell::text(Some(address)),
            Cell::text(unit.as_deref()),
            Cell::text(property_name.as_deref()),
            Cell::word(property_id),
        ]
    }
}

impl LeaseOfReport {
    const COLUMNS: [Column; 4] = [shown("renters"), shown("start_date"), shown("end_date"), for_files("lease_id")];

    /// The columns of a report of leases: the property's, the lease's, and its own.
    fn columns(own: &[Column]) -> Vec<Column> {
        [&PropertyOfReport::COLUMNS[..], &LeaseOfReport::COLUMNS, own].concat()
    }

    fn cells(&self, own: impl IntoIterator<Item = Cell>) -> Vec<Cell> {
        let of_lease = [
            Cell::Text(self.renters.join("; ")),
            Cell::word(self.start_date),
            Cell::word_if(self.end_date),
            Cell::word(self.lease_id),
        ];
        self.property.cells().into_iter().chain(of_lease).chain(own).collect()
    }

    /// A row below those of leases.
    fn total_cells(own: impl IntoIterator<Item = Cell>) -> Vec<Cell> {
        let empty =
            std::iter::repeat_n(Cell::Empty, PropertyOfReport::COLUMNS.len() + LeaseOfReport::COLUMNS.len() - 1);
        std::iter::once(Cell::word("Total")).chain(empty).chain(own).collect()
    }
}

/// What a number of a report is made of.
#[derive(Debug, Serialize, ToSchema)]
pub struct DetailsView {
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// The number: the sum of all amounts.
    #[schema(example = "1500.00")]
    total: String,
    /// All of it, oldest first.
    data: Vec<DetailView>,
}

/// A charge, a payment, a credit or an event that adds to a number.
#[derive(Debug, Serialize, ToSchema)]
pub struct DetailView {
    /// The day that it counts for where the property lies: when the charge was due, or when it happened; null where no day
    /// matters.
    #[schema(value_type = Option<String>, format = Date)]
    date: Option<Date>,
    /// The part of the income that it is; null in other reports.
    #[schema(example = "RECEIVED")]
    part: Option<&'static str>,
    /// The charge that it is about, if it is about one.
    charge_id: Option<Uuid>,
    /// What that is for.
    #[schema(example = "RENT")]
    charge_kind: Option<&'static str>,
    /// The payment that it is about, if it is about one.
    payment_id: Option<Uuid>,
    /// The credit of the landlord's that it is about, if it is about one.
    credit_id: Option<Uuid>,
    /// Whose event made it so: a lease or a payment; null where the charge or the payment says it all.
    stream_id: Option<Uuid>,
    /// Which event of that history.
    sequence: Option<i64>,
    /// What it adds; less than zero where it takes away.
    #[schema(example = "1500.00")]
    amount: String,
}

impl DetailsView {
    fn new(details: Vec<Detail>, currency: Currency) -> DetailsView {
        let total = details.iter().fold(0_i64, |sum, detail| sum.saturating_add(detail.minor));
        let view = |detail: Detail| DetailView {
            date: detail.date,
            part: detail.part.map(|part| part.name()),
            charge_id: detail.charge.map(|(id, _)| id.0),
            charge_kind: detail.charge.map(|(_, kind)| kind.name()),
            payment_id: detail.payment_id.map(|id| id.0),
            credit_id: detail.credit_id,
            stream_id: detail.event.map(|event| event.stream_id),
            sequence: detail.event.map(|event| event.sequence),
            amount: format_minor(detail.minor, currency),
        };
        DetailsView {
            currency: currency.code(),
            total: format_minor(total, currency),
            data: details.into_iter().map(view).collect(),
        }
    }

    fn sheet(&self) -> Sheet {
        let columns = ["date", "part", "charge_id", "charge_kind", "payment_id", "credit_id", "stream_id", "sequence"];
        let columns = columns.into_iter().chain(["amount", "currency"]).map(shown).collect();
        let row = |detail: &DetailView| {
            vec![
                Cell::word_if(detail.date),
                Cell::word_if(detail.part),
                Cell::word_if(detail.charge_id),
                Cell::word_if(detail.charge_kind),
                Cell::word_if(detail.payment_id),
                Cell::word_if(detail.credit_id),
                Cell::word_if(detail.stream_id),
                Cell::word_if(detail.sequence),
                Cell::number(&detail.amount),
                Cell::word(self.currency),
            ]
        };
        let empty = std::iter::repeat_n(Cell::Empty, 7);
        let total = std::iter::once(Cell::word("Total")).chain(empty);
        let total = total.chain([Cell::number(&self.total), Cell::word(self.currency)]).collect();
        Sheet { columns, rows: self.data.iter().map(row).collect(), totals: vec![total] }
    }

    fn answer(self, format: Format, name: &str) -> Result<Response, ApiError> {
        match format {
            Format::Json => Ok(Json(self).into_response()),
            Format::Csv => file(name, &self.sheet()),
        }
    }
}
