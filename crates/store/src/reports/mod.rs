//! What a landlord's reports say: sums that the database makes, and the facts that each of them is made of.
//!
//! A report costs a fixed number of statements, however many leases there are. The sums and the lists of what they are made of
//! share their SQL: a number and its explanation cannot drift apart.
//!
//! A day ends where the property lies, so that every statement is given the days of the landlord's time zones as rows. What was
//! so on a past day follows from what is so now and from the facts since then: whatever an event changed after that day is taken
//! out again.

pub mod arrears;
mod fragments;
pub mod income;
pub mod month;
pub mod payments;
pub mod rent_roll;

use directpay_domain::calendar;
use directpay_domain::charge::ChargeKind;
use directpay_domain::id::{ChargeId, LeaseId, PaymentId, PropertyId, UserId};
use directpay_domain::money::Currency;
use directpay_domain::property::{ZoneName, day_begins, local_date};
use directpay_domain::report::{Age, IncomePart, Month};
use directpay_domain::time::Instant;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::{Sql, sql};
use crate::users::{self, RenterOfLease};
use crate::values::Json;

/// All that was recorded counts: an instant and a day after all others.
const NO_INSTANT: i64 = i64::MAX;
const NO_DAY: i64 = 99_999_999;

/// The days of a report: one for each time zone in which the landlord has a property.
#[derive(Debug, Clone)]
pub struct Days {
    zones: Vec<Zone>,
    as_of: Option<Date>,
}

#[derive(Debug, Clone)]
struct Zone {
    name: ZoneName,
    today: Date,
}

impl Days {
    /// The days that begin or began at `as_of` where the landlord's properties lie; without it, it is today everywhere.
    pub async fn of(tx: &mut Tx, landlord: UserId, as_of: Option<Date>, now: Instant) -> Result<Days, StoreError> {
        let names: Vec<(String,)> =
            tx.fetch_all("SELECT DISTINCT time_zone FROM properties WHERE landlord_id = $1", (landlord.0,)).await?;
        let zone = |(name,): (String,)| {
            let name = ZoneName::parse(&name).map_err(StoreError::damaged("time zone"))?;
            Ok(Zone { today: local_date(&name, now.timestamp()), name })
        };
        Ok(Days { zones: names.into_iter().map(zone).collect::<Result<_, StoreError>>()?, as_of })
    }

    /// Whether it has not begun in any of the zones.
    pub fn are_future(&self) -> bool {
        self.as_of.is_some_and(|as_of| !self.zones.is_empty() && self.zones.iter().all(|zone| zone.today < as_of))
    }

    fn rows(&self) -> Vec<DayRow> {
        self.zones.iter().map(|zone| DayRow::new(zone, self.as_of)).collect()
    }
}

/// A day in one time zone, as the statements are given it.
#[derive(Debug, Serialize)]
struct DayRow {
    time_zone: String,
    day: i64,
    /// Charges that fell due by then count. All of them where it is today: the clock of another machine may be ahead.
    through: i64,
    /// What happened before then counts.
    until: i64,
    /// The first due dates of what is not old yet.
    first_30: i64,
    first_60: i64,
    first_90: i64,
}

impl DayRow {
    fn new(zone: &Zone, as_of: Option<Date>) -> DayRow {
        let past = as_of.filter(|as_of| *as_of < zone.today);
        let day = past.unwrap_or(zone.today);
        let first = |age: Age| age.begins(day).map_or(0, calendar::date_to_number);
        DayRow {
            time_zone: zone.name.as_str().to_owned(),
            day: calendar::date_to_number(day),
            through: past.map_or(NO_DAY, calendar::date_to_number),
            until: past.map_or(NO_INSTANT, |day| day_begins(&zone.name, calendar::day_after(day)).micros()),
            first_30: first(Age::UpTo30),
            first_60: first(Age::UpTo60),
            first_90: first(Age::UpTo90),
        }
    }
}

/// A month in one time zone.
#[derive(Debug, Serialize)]
struct MonthRow {
    time_zone: String,
    month: i64,
    since: i64,
    until: i64,
}

impl Days {
    /// These months in each of the zones.
    fn months(&self, months: &[Month]) -> Vec<MonthRow> {
        let of_zone = |zone: &Zone| {
            let begins = |day| day_begins(&zone.name, day).micros();
            let row = |month: &Month| MonthRow {
                time_zone: zone.name.as_str().to_owned(),
                month: month.number(),
                since: begins(month.first()),
                until: begins(calendar::day_after(month.last())),
            };
            months.iter().map(row).collect::<Vec<_>>()
        };
        self.zones.iter().flat_map(of_zone).collect()
    }

    /// From the beginning of one day to the end of another in each of the zones; open where there is none.
    fn spans(&self, from: Option<Date>, to: Option<Date>) -> Vec<MonthRow> {
        let of_zone = |zone: &Zone| MonthRow {
            time_zone: zone.name.as_str().to_owned(),
            month: 0,
            since: from.map_or(i64::MIN, |day| day_begins(&zone.name, day).micros()),
            until: to.map_or(NO_INSTANT, |day| day_begins(&zone.name, calendar::day_after(day)).micros()),
        };
        self.zones.iter().map(of_zone).collect()
    }
}

/// What is known of a lease beside its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseHead {
    /// Which lease.
    pub id: LeaseId,
    /// What is let.
    pub property: PropertyHead,
    /// The names of its renters.
    pub renters: Vec<String>,
    /// The first day.
    pub starts_on: Date,
    /// The last day, if there is one.
    pub ends_on: Option<Date>,
    /// The day of the month on which rent is due.
    pub due_day: i64,
    /// Of its amounts.
    pub currency: Currency,
}

/// What is known of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyHead {
    /// Which one.
    pub id: PropertyId,
    /// What its landlord calls it.
    pub name: Option<String>,
    /// Street and number.
    pub address: String,
    /// The flat, where the house has several.
    pub unit: Option<String>,
}

#[derive(Deserialize, FromRow)]
struct HeadRow {
    id: Uuid,
    property_id: Uuid,
    name: Option<String>,
    address: String,
    unit: Option<String>,
    starts_on: i64,
    ends_on: Option<i64>,
    payment_due_day: i64,
    currency: String,
}

impl HeadRow {
    fn into_head(self, renters: &[RenterOfLease]) -> Result<LeaseHead, StoreError> {
        let names = renters.iter().filter(|renter| renter.lease_id == self.id).map(|renter| renter.full_name.clone());
        Ok(LeaseHead {
            id: LeaseId(self.id),
            renters: names.collect(),
            starts_on: date(self.starts_on)?,
            ends_on: self.ends_on.map(date).transpose()?,
            due_day: self.payment_due_day,
            currency: currency(&self.currency)?,
            property: PropertyHead {
                id: PropertyId(self.property_id),
                name: self.name,
                address: self.address,
                unit: self.unit,
            },
        })
    }
}

/// What is known of leases, in the order of `ids`: two statements, however many there are.
async fn heads(tx: &mut Tx, ids: &[Uuid]) -> Result<Vec<LeaseHead>, StoreError> {
    const HEADS: Sql = sql!(
        "SELECT l.id, l.property_id, pr.name, pr.address, pr.unit, l.starts_on, l.ends_on, l.payment_due_day, l.currency FROM",
        rows(id uuid),
        "JOIN leases l ON l.id = r.id JOIN properties pr ON pr.id = l.property_id ORDER BY l.id DESC"
    );
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<_> = ids.iter().map(|id| serde_json::json!({ "id": id })).collect();
    let mut renters = users::renters_of(tx, &ids.iter().copied().map(LeaseId).collect::<Vec<_>>()).await?;
    renters.sort_by_key(|renter| renter.lease_id);
    let rows: Vec<HeadRow> = tx.fetch_all(HEADS, (Json(keys),)).await?;
    let of_lease = |id: Uuid| {
        let first = renters.partition_point(|renter| renter.lease_id < id);
        let behind = renters.partition_point(|renter| renter.lease_id <= id);
        &renters[first..behind]
    };
    rows.into_iter()
        .map(|row| {
            let of_this = of_lease(row.id);
            row.into_head(of_this)
        })
        .collect()
}

/// One of the facts that a number of a report is the sum of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// The day that it counts for where the property lies: when a charge was due, or when something happened.
    pub date: Option<Date>,
    /// Which part of the income it is, in that report.
    pub part: Option<IncomePart>,
    /// The charge that it is about.
    pub charge: Option<(ChargeId, ChargeKind)>,
    /// The payment that it is about.
    pub payment_id: Option<PaymentId>,
    /// The credit of the landlord's that it is about.
    pub credit_id: Option<Uuid>,
    /// The event that made it so.
    pub event: Option<EventPlace>,
    /// What it adds to the number, in minor units.
    pub minor: i64,
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPlace {
    /// Which lease or payment.
    pub stream_id: Uuid,
    /// Which of its events.
    pub sequence: i64,
}

impl Detail {
    fn new(minor: i64) -> Detail {
        Detail { date: None, part: None, charge: None, payment_id: None, credit_id: None, event: None, minor }
    }
}

fn date(number: i64) -> Result<Date, StoreError> {
    calendar::date_from_number(number).map_err(StoreError::damaged("date"))
}

fn instant(micros: i64) -> Result<Instant, StoreError> {
    Instant::from_micros(micros).map_err(StoreError::damaged("time"))
}

fn currency(code: &str) -> Result<Currency, StoreError> {
    Currency::parse(code).map_err(StoreError::damaged("currency"))
}

fn charge(id: Uuid, kind: &str) -> Result<(ChargeId, ChargeKind), StoreError> {
    Ok((ChargeId(id), ChargeKind::parse(kind).map_err(StoreError::damaged("charge kind"))?))
}
