//! Leases and who is on them.

use directpay_domain::calendar;
use directpay_domain::id::{BankAccountId, LeaseId, PropertyId, UserId};
use directpay_domain::lease::{self, DueDay, FirstPeriod, LastPeriod, LeaseTerms, Proration};
use directpay_domain::money::{Amount, Currency};
use directpay_domain::time::Instant;
use jiff::civil::Date;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::{Page, StoreError};
use crate::sql::{Sql, sql};
use crate::users::{self, RenterOfLease};

/// A lease.
#[derive(Debug, Clone)]
pub struct Lease {
    /// Which one.
    pub id: LeaseId,
    /// What is let.
    pub property_id: PropertyId,
    /// Who lets it.
    pub landlord_id: UserId,
    /// Who rents it, with names.
    pub renters: Vec<RenterOfLease>,
    /// Dates, rent and how it is charged.
    pub terms: LeaseTerms,
    /// Where the landlord wants the money, if not on the primary account.
    pub payee_account_id: Option<BankAccountId>,
    /// When it was terminated, if it was.
    pub terminated_at: Option<Instant>,
    /// When it was entered.
    pub created_at: Instant,
}

#[derive(Deserialize, FromRow)]
struct LeaseRow {
    id: Uuid,
    property_id: Uuid,
    landlord_id: Uuid,
    starts_on: i64,
    ends_on: Option<i64>,
    rent_amount: i64,
    currency: String,
    payment_due_day: i64,
    first_period: String,
    last_period: String,
    proration: String,
    payee_account_id: Option<Uuid>,
    terminated_at: Option<i64>,
    created_at: i64,
}

impl LeaseRow {
    fn into_lease(self, renters: Vec<RenterOfLease>) -> Result<Lease, StoreError> {
        let date = |number| calendar::date_from_number(number).map_err(StoreError::damaged("date"));
        let instant = |micros| Instant::from_micros(micros).map_err(StoreError::damaged("time"));
        let currency = Currency::parse(&self.currency).map_err(StoreError::damaged("currency"))?;
        Ok(Lease {
            id: LeaseId(self.id),
            property_id: PropertyId(self.property_id),
            landlord_id: UserId(self.landlord_id),
            renters,
            terms: LeaseTerms {
                starts_on: date(self.starts_on)?,
                ends_on: self.ends_on.map(date).transpose()?,
                rent: Amount::from_minor(self.rent_amount, currency).map_err(StoreError::damaged("rent"))?,
                due_day: DueDay::parse(self.payment_due_day).map_err(StoreError::damaged("due day"))?,
                first_period: FirstPeriod::parse(&self.first_period).map_err(StoreError::damaged("first period"))?,
                last_period: LastPeriod::parse(&self.last_period).map_err(StoreError::damaged("last period"))?,
                proration: Proration::parse(&self.proration).map_err(StoreError::damaged("proration"))?,
            },
            payee_account_id: self.payee_account_id.map(BankAccountId),
            terminated_at: self.terminated_at.map(instant).transpose()?,
            created_at: instant(self.created_at)?,
        })
    }
}

/// Adds a lease and its renters. Breaks `leases_overlap` if another lease of the property runs at the same time.
///
/// `scheduled_on` is the property's local day up to which the schedule was made.
pub async fn insert(tx: &mut Tx, lease: &Lease, scheduled_on: Date) -> Result<(), StoreError> {
    let terms = &lease.terms;
    tx.execute(
        "INSERT INTO leases (id, property_id, landlord_id, starts_on, ends_on, rent_amount, currency, payment_due_day,
                             first_period, last_period, proration, payee_account_id, scheduled_on, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        (
            lease.id.0,
            lease.property_id.0,
            lease.landlord_id.0,
            calendar::date_to_number(terms.starts_on),
            terms.ends_on.map(calendar::date_to_number),
            terms.rent.minor(),
            terms.rent.currency().code(),
            i64::from(terms.due_day.number()),
            terms.first_period.name(),
            terms.last_period.name(),
            terms.proration.name(),
            lease.payee_account_id.map(|id| id.0),
            calendar::date_to_number(scheduled_on),
            lease.created_at.micros(),
        ),
    )
    .await?;
    for renter in &lease.renters {
        tx.execute("INSERT INTO lease_renters (lease_id, renter_id) VALUES ($1, $2)", (lease.id.0, renter.id)).await?;
    }
    Ok(())
}

#[derive(Deserialize, FromRow)]
struct PeriodRow {
    id: Uuid,
    starts_on: i64,
    ends_on: Option<i64>,
}

/// A lease of the property that shares a day with `terms`, if there is one.
///
/// Says it early; what two requests do at the same moment is decided by the constraint `leases_overlap`.
pub async fn overlapping(tx: &mut Tx, property: PropertyId, terms: &LeaseTerms) -> Result<Option<LeaseId>, StoreError> {
    let rows: Vec<PeriodRow> = tx
        .fetch_all(
            "SELECT id, starts_on, ends_on FROM leases WHERE property_id = $1 AND $2 <= COALESCE(ends_on, 99999999)",
            (property.0, calendar::date_to_number(terms.starts_on)),
        )
        .await?;
    let date = |number| calendar::date_from_number(number).map_err(StoreError::damaged("date"));
    for row in rows {
        let (starts_on, ends_on) = (date(row.starts_on)?, row.ends_on.map(date).transpose()?);
        if lease::overlaps(starts_on, ends_on, terms.starts_on, terms.ends_on) {
            return Ok(Some(LeaseId(row.id)));
        }
    }
    Ok(None)
}

/// Puts in the renters with one more statement, however many leases there are.
async fn with_renters(tx: &mut Tx, rows: Vec<LeaseRow>) -> Result<Vec<Lease>, StoreError> {
    let ids: Vec<_> = rows.iter().map(|row| LeaseId(row.id)).collect();
    let renters = if ids.is_empty() { Vec::new() } else { users::renters_of(tx, &ids).await? };
    rows.into_iter()
        .map(|row| {
            let of_this = renters.iter().filter(|renter| renter.lease_id == row.id).cloned().collect();
            row.into_lease(of_this)
        })
        .collect()
}

/// A lease to which `caller` is a party; no other is found.
pub async fn find_for_party(tx: &mut Tx, caller: UserId, id: LeaseId) -> Result<Option<Lease>, StoreError> {
    let rows = tx
        .fetch_all(
            "SELECT * FROM leases WHERE id = $1 AND (landlord_id = $2 OR EXISTS (
                 SELECT 1 FROM lease_renters WHERE lease_id = leases.id AND renter_id = $2))",
            (id.0, caller.0),
        )
        .await?;
    Ok(with_renters(tx, rows).await?.pop())
}

/// A lease, whoever's it is: for administrators and workers.
pub async fn find(tx: &mut Tx, id: LeaseId) -> Result<Option<Lease>, StoreError> {
    let rows = tx.fetch_all("SELECT * FROM leases WHERE id = $1", (id.0,)).await?;
    Ok(with_renters(tx, rows).await?.pop())
}

/// Finds a lease of this landlord's and holds its row until the transaction ends.
pub async fn find_for_update(tx: &mut Tx, landlord: UserId, id: LeaseId) -> Result<Option<Lease>, StoreError> {
    const FIND: Sql = sql!("SELECT * FROM leases WHERE id = $1 AND landlord_id = $2", for_update);
    let rows = tx.fetch_all(FIND, (id.0, landlord.0)).await?;
    Ok(with_renters(tx, rows).await?.pop())
}

/// A landlord's leases, newest first.
pub async fn list_by_landlord(tx: &mut Tx, landlord: UserId, page: Page) -> Result<Vec<Lease>, StoreError> {
    let rows = tx
        .fetch_all(
            "SELECT * FROM leases WHERE landlord_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
            (landlord.0, page.before, page.limit),
        )
        .await?;
    with_renters(tx, rows).await
}

/// A renter's leases, newest first; with `landlord` only those in common with that landlord.
pub async fn list_by_renter(
    tx: &mut Tx,
    renter: UserId,
    landlord: Option<UserId>,
    page: Page,
) -> Result<Vec<Lease>, StoreError> {
    let rows = tx
        .fetch_all(
            "SELECT l.* FROM lease_renters lr JOIN leases l ON l.id = lr.lease_id
             WHERE lr.renter_id = $1 AND lr.lease_id < $2 AND (CAST($3 AS UUID) IS NULL OR l.landlord_id = $3)
             ORDER BY lr.lease_id DESC LIMIT $4",
            (renter.0, page.before, landlord.map(|id| id.0), page.limit),
        )
        .await?;
    with_renters(tx, rows).await
}

/// A property's leases, newest first; with `renter` only that renter's own.
pub async fn list_by_property(
    tx: &mut Tx,
    property: PropertyId,
    renter: Option<UserId>,
    page: Page,
) -> Result<Vec<Lease>, StoreError> {
    let rows = tx
        .fetch_all(
            "SELECT * FROM leases WHERE property_id = $1 AND id < $2 AND (CAST($3 AS UUID) IS NULL OR EXISTS (
                 SELECT 1 FROM lease_renters WHERE lease_id = leases.id AND renter_id = $3))
             ORDER BY id DESC LIMIT $4",
            (property.0, page.before, renter.map(|id| id.0), page.limit),
        )
        .await?;
    with_renters(tx, rows).await
}

/// Writes a lease's new end. Breaks `leases_overlap` never: an end only comes nearer.
pub async fn terminate(tx: &mut Tx, id: LeaseId, ends_on: Date, at: Instant) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE leases SET ends_on = $2, terminated_at = $3 WHERE id = $1",
        (id.0, calendar::date_to_number(ends_on), at.micros()),
    )
    .await?;
    Ok(())
}

/// An open-ended lease whose schedule was last looked at before some day.
#[derive(Debug, Clone, Deserialize, FromRow)]
pub struct OpenEnded {
    /// Which lease.
    pub id: Uuid,
    /// The zone of its dates.
    pub time_zone: String,
}

/// Up to `limit` open-ended leases whose schedules were last brought up to date before `day`, held until the transaction
/// ends so that no other process works on them.
pub async fn claim_open_ended(tx: &mut Tx, day: Date, limit: i64) -> Result<Vec<OpenEnded>, StoreError> {
    const CLAIM: Sql = sql!(
        "SELECT id, (SELECT time_zone FROM properties p WHERE p.id = leases.property_id) AS time_zone FROM leases
         WHERE ends_on IS NULL AND scheduled_on < $1 ORDER BY scheduled_on, id LIMIT $2",
        skip_locked
    );
    Ok(tx.fetch_all(CLAIM, (calendar::date_to_number(day), limit)).await?)
}

/// Notes that a lease's schedule is up to date as of `day`.
pub async fn mark_scheduled(tx: &mut Tx, id: LeaseId, day: Date) -> Result<(), StoreError> {
    tx.execute("UPDATE leases SET scheduled_on = $2 WHERE id = $1", (id.0, calendar::date_to_number(day))).await?;
    Ok(())
}
