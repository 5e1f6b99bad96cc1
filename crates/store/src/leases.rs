//! Leases and who is on them.

use directpay_domain::calendar;
use directpay_domain::charge::ChargeNotice;
use directpay_domain::co_tenants::{self, ShareTerms};
use directpay_domain::id::{BankAccountId, LeaseId, PropertyId, UserId};
use directpay_domain::late_fee::LateFeeRule;
use directpay_domain::lease::{self, DueDay, Extra, FirstPeriod, LastPeriod, LeaseTerms, Proration, RentChange};
use directpay_domain::money::{Amount, Currency};
use directpay_domain::policy::{Policy, PolicySpan};
use directpay_domain::share::Share;
use directpay_domain::time::Instant;
use jiff::civil::Date;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::{Page, StoreError};
use crate::lease_ledger::{self, Passed};
use crate::payments::distinct;
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
    /// What each of them has agreed to pay, oldest first; equal shares if nothing.
    pub shares: Vec<ShareTerms>,
    /// Dates, rent and how it is charged.
    pub terms: LeaseTerms,
    /// Where the landlord wants the money, if not on the primary account.
    pub payee_account_id: Option<BankAccountId>,
    /// Which payments are taken, and when.
    pub policy: PolicySpan,
    /// How early charges are shown.
    pub charge_notice: ChargeNotice,
    /// When it was terminated, if it was.
    pub terminated_at: Option<Instant>,
    /// When it was entered.
    pub created_at: Instant,
}

impl Lease {
    /// Who rents it, in the order of their shares.
    pub fn renter_ids(&self) -> Vec<UserId> {
        self.renters.iter().map(|renter| UserId(renter.id)).collect()
    }

    /// The share of each renter in charges that are due on `due`, in the order of [`Lease::renters`].
    pub fn shares_on(&self, due: Date) -> Vec<Share> {
        co_tenants::shares_on(&self.shares, &self.renter_ids(), due)
    }
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
    policy: String,
    policy_from: Option<i64>,
    policy_until: Option<i64>,
    charge_notice_days: i64,
    terminated_at: Option<i64>,
    created_at: i64,
}

impl LeaseRow {
    fn into_lease(
        self,
        renters: Vec<RenterOfLease>,
        shares: Vec<ShareTerms>,
        changes: &[RentChangeRow],
    ) -> Result<Lease, StoreError> {
        let date = |number| calendar::date_from_number(number).map_err(StoreError::damaged("date"));
        let instant = |micros| Instant::from_micros(micros).map_err(StoreError::damaged("time"));
        let currency = Currency::parse(&self.currency).map_err(StoreError::damaged("currency"))?;
        let rent = |minor| Amount::from_minor(minor, currency).map_err(StoreError::damaged("rent"));
        let rent_changes = changes
            .iter()
            .filter(|change| change.lease_id == self.id)
            .map(|change| Ok(RentChange { effective_on: date(change.effective_on)?, rent: rent(change.rent_amount)? }));
        let rent_changes = rent_changes.collect::<Result<Vec<_>, StoreError>>()?;
        Ok(Lease {
            id: LeaseId(self.id),
            property_id: PropertyId(self.property_id),
            landlord_id: UserId(self.landlord_id),
            renters,
            shares,
            terms: LeaseTerms {
                starts_on: date(self.starts_on)?,
                ends_on: self.ends_on.map(date).transpose()?,
                rent: rent(self.rent_amount)?,
                rent_changes,
                due_day: DueDay::parse(self.payment_due_day).map_err(StoreError::damaged("due day"))?,
                first_period: FirstPeriod::parse(&self.first_period).map_err(StoreError::damaged("first period"))?,
                last_period: LastPeriod::parse(&self.last_period).map_err(StoreError::damaged("last period"))?,
                proration: Proration::parse(&self.proration).map_err(StoreError::damaged("proration"))?,
            },
            payee_account_id: self.payee_account_id.map(BankAccountId),
            policy: PolicySpan {
                policy: Policy::parse(&self.policy).map_err(StoreError::damaged("policy"))?,
                from: self.policy_from.map(date).transpose()?,
                until: self.policy_until.map(date).transpose()?,
            },
            charge_notice: ChargeNotice::parse(self.charge_notice_days)
                .map_err(StoreError::damaged("charge notice"))?,
            terminated_at: self.terminated_at.map(instant).transpose()?,
            created_at: instant(self.created_at)?,
        })
    }
}

/// Adds a lease, its renters with their shares, and its account. Breaks `leases_overlap` if another lease of the property runs at the same time.
///
/// `passed` says through which of the property's local days its daily pass has gone.
pub async fn insert(tx: &mut Tx, lease: &Lease, passed: Passed) -> Result<(), StoreError> {
    let terms = &lease.terms;
    tx.execute(
        "INSERT INTO leases (id, property_id, landlord_id, starts_on, ends_on, rent_amount, currency, payment_due_day,
                             first_period, last_period, proration, payee_account_id, policy, charge_notice_days,
                             created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
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
            lease.policy.policy.name(),
            lease.charge_notice.days(),
            lease.created_at.micros(),
        ),
    )
    .await?;
    for renter in &lease.renters {
        tx.execute("INSERT INTO lease_renters (lease_id, renter_id) VALUES ($1, $2)", (lease.id.0, renter.id)).await?;
    }
    for terms in &lease.shares {
        set_shares(tx, lease.id, terms).await?;
    }
    lease_ledger::insert_account(tx, lease.id, passed).await
}

/// Writes what each renter has agreed to pay; what was to take effect on the same day gives way.
pub async fn set_shares(tx: &mut Tx, id: LeaseId, terms: &ShareTerms) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO lease_shares (lease_id, effective_on, shares) VALUES ($1, $2, $3)
         ON CONFLICT (lease_id, effective_on) DO UPDATE SET shares = excluded.shares",
        (id.0, calendar::date_to_number(terms.effective_on), serde_json::to_string(&terms.shares)?),
    )
    .await?;
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

#[derive(Deserialize, FromRow)]
struct RentChangeRow {
    lease_id: Uuid,
    effective_on: i64,
    rent_amount: i64,
}

#[derive(Deserialize, FromRow)]
struct SharesRow {
    lease_id: Uuid,
    effective_on: i64,
    shares: String,
}

impl SharesRow {
    fn terms(&self) -> Result<ShareTerms, StoreError> {
        Ok(ShareTerms {
            effective_on: calendar::date_from_number(self.effective_on).map_err(StoreError::damaged("date"))?,
            shares: serde_json::from_str(&self.shares)?,
        })
    }
}

/// Puts in the renters, their shares and the changes of rent with three more statements, however many leases there are.
async fn complete(tx: &mut Tx, rows: Vec<LeaseRow>) -> Result<Vec<Lease>, StoreError> {
    const CHANGES: Sql = sql!(
        "SELECT c.lease_id, c.effective_on, c.rent_amount FROM",
        each(id uuid),
        "rent_changes c WHERE c.lease_id =",
        field(id),
        "ORDER BY c.effective_on"
    );
    const SHARES: Sql = sql!(
        "SELECT s.lease_id, s.effective_on, s.shares FROM",
        each(id uuid),
        "lease_shares s WHERE s.lease_id =",
        field(id),
        "ORDER BY s.effective_on"
    );
    let ids: Vec<_> = rows.iter().map(|row| LeaseId(row.id)).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let renters = users::renters_of(tx, &ids).await?;
    let ids = distinct(ids.iter().map(|id| id.0));
    let changes: Vec<RentChangeRow> = tx.fetch_each(CHANGES, &ids, ()).await?;
    let shares: Vec<SharesRow> = tx.fetch_each(SHARES, &ids, ()).await?;
    rows.into_iter()
        .map(|row| {
            let of_this = renters.iter().filter(|renter| renter.lease_id == row.id).cloned().collect();
            let shares = shares.iter().filter(|shares| shares.lease_id == row.id).map(SharesRow::terms);
            let shares = shares.collect::<Result<_, _>>()?;
            row.into_lease(of_this, shares, &changes)
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
    Ok(complete(tx, rows).await?.pop())
}

/// A lease, whoever's it is: for administrators and workers.
pub async fn find(tx: &mut Tx, id: LeaseId) -> Result<Option<Lease>, StoreError> {
    let rows = tx.fetch_all("SELECT * FROM leases WHERE id = $1", (id.0,)).await?;
    Ok(complete(tx, rows).await?.pop())
}

/// Finds a lease of this landlord's and holds its row until the transaction ends.
pub async fn find_for_update(tx: &mut Tx, landlord: UserId, id: LeaseId) -> Result<Option<Lease>, StoreError> {
    const FIND: Sql = sql!("SELECT * FROM leases WHERE id = $1 AND landlord_id = $2", for_update);
    let rows = tx.fetch_all(FIND, (id.0, landlord.0)).await?;
    Ok(complete(tx, rows).await?.pop())
}

/// A landlord's leases, newest first.
pub async fn list_by_landlord(tx: &mut Tx, landlord: UserId, page: Page) -> Result<Vec<Lease>, StoreError> {
    let rows = tx
        .fetch_all(
            "SELECT * FROM leases WHERE landlord_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
            (landlord.0, page.before, page.limit),
        )
        .await?;
    complete(tx, rows).await
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
    complete(tx, rows).await
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
    complete(tx, rows).await
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

/// Writes a change of rent; one that takes effect on the same day gives way.
pub async fn change_rent(tx: &mut Tx, id: LeaseId, change: RentChange) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO rent_changes (lease_id, effective_on, rent_amount) VALUES ($1, $2, $3)
         ON CONFLICT (lease_id, effective_on) DO UPDATE SET rent_amount = excluded.rent_amount",
        (id.0, calendar::date_to_number(change.effective_on), change.rent.minor()),
    )
    .await?;
    Ok(())
}

/// Writes which payments are taken.
pub async fn set_policy(tx: &mut Tx, id: LeaseId, span: PolicySpan) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE leases SET policy = $2, policy_from = $3, policy_until = $4 WHERE id = $1",
        (id.0, span.policy.name(), span.from.map(calendar::date_to_number), span.until.map(calendar::date_to_number)),
    )
    .await?;
    Ok(())
}

/// Writes how early charges are shown.
pub async fn set_charge_notice(tx: &mut Tx, id: LeaseId, notice: ChargeNotice) -> Result<(), StoreError> {
    tx.execute("UPDATE leases SET charge_notice_days = $2 WHERE id = $1", (id.0, notice.days())).await?;
    Ok(())
}

/// A rule for late fees, or the end of one, and the day from which it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct LateFeeTerms {
    /// For rent that falls due on this day or later.
    pub effective_on: Date,
    /// What late rent costs; `None`: nothing.
    pub rule: Option<LateFeeRule>,
}

/// Writes what late rent costs; what was to take effect on the same day gives way.
pub async fn set_late_fees(tx: &mut Tx, id: LeaseId, terms: &LateFeeTerms) -> Result<(), StoreError> {
    let rule = terms.rule.as_ref().map(serde_json::to_string).transpose()?;
    tx.execute(
        "INSERT INTO late_fee_rules (lease_id, effective_on, rule) VALUES ($1, $2, $3)
         ON CONFLICT (lease_id, effective_on) DO UPDATE SET rule = excluded.rule",
        (id.0, calendar::date_to_number(terms.effective_on), rule),
    )
    .await?;
    Ok(())
}

/// What late rent of a lease costs and cost, oldest first.
pub async fn late_fees(tx: &mut Tx, id: LeaseId) -> Result<Vec<LateFeeTerms>, StoreError> {
    let rows: Vec<(i64, Option<String>)> = tx
        .fetch_all("SELECT effective_on, rule FROM late_fee_rules WHERE lease_id = $1 ORDER BY effective_on", (id.0,))
        .await?;
    rows.into_iter()
        .map(|(day, rule)| {
            let effective_on = calendar::date_from_number(day).map_err(StoreError::damaged("date"))?;
            Ok(LateFeeTerms { effective_on, rule: rule.map(|rule| serde_json::from_str(&rule)).transpose()? })
        })
        .collect()
}

/// Adds what is charged with the rent.
pub async fn insert_extra(tx: &mut Tx, lease: LeaseId, extra: &Extra) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO extras (id, lease_id, description, amount, starts_on, ends_on) VALUES ($1, $2, $3, $4, $5, $6)",
        (
            extra.id,
            lease.0,
            extra.description.as_str(),
            extra.amount.minor(),
            calendar::date_to_number(extra.starts_on),
            extra.ends_on.map(calendar::date_to_number),
        ),
    )
    .await?;
    Ok(())
}

/// Writes the last day of an extra.
pub async fn end_extra(tx: &mut Tx, lease: LeaseId, extra: Uuid, ends_on: Date) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE extras SET ends_on = $3 WHERE id = $1 AND lease_id = $2",
        (extra, lease.0, calendar::date_to_number(ends_on)),
    )
    .await?;
    Ok(())
}

/// What is charged with the rent of a lease, oldest first.
pub async fn extras(tx: &mut Tx, lease: &Lease) -> Result<Vec<Extra>, StoreError> {
    let rows: Vec<(Uuid, String, i64, i64, Option<i64>)> = tx
        .fetch_all(
            "SELECT id, description, amount, starts_on, ends_on FROM extras WHERE lease_id = $1 ORDER BY id",
            (lease.id.0,),
        )
        .await?;
    let date = |number| calendar::date_from_number(number).map_err(StoreError::damaged("date"));
    rows.into_iter()
        .map(|(id, description, amount, starts_on, ends_on)| {
            let amount = Amount::from_minor(amount, lease.terms.rent.currency());
            Ok(Extra {
                id,
                description,
                amount: amount.map_err(StoreError::damaged("amount"))?,
                starts_on: date(starts_on)?,
                ends_on: ends_on.map(date).transpose()?,
            })
        })
        .collect()
}
