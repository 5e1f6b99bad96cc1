//! A lease and its schedule as they are shown.

use std::collections::HashMap;

use directpay_domain::id::{ChargeId, LeaseId};
use directpay_domain::money::format_minor;
use directpay_domain::time::Instant;
use directpay_store::charges::{self, Charge};
use directpay_store::leases::Lease;
use directpay_store::users::RenterOfLease;
use directpay_store::{StoreError, Tx};
use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::shares::{ShareChangeView, ShareView};

/// A renter of a lease.
#[derive(Debug, Serialize, ToSchema)]
pub struct RenterView {
    /// Who.
    id: Uuid,
    /// As it is shown.
    #[schema(example = "Bob Baker")]
    full_name: String,
}

/// A rent that replaces the one before.
#[derive(Debug, Serialize, ToSchema)]
pub struct RentChangeView {
    /// Periods that begin on this day or later cost the new rent.
    #[schema(value_type = String, format = Date)]
    effective_date: Date,
    /// What a whole period costs then.
    #[schema(example = "1600.00")]
    rent_amount: String,
}

/// Which payments of rent are taken, and on which days that holds; before and after them any.
#[derive(Debug, Serialize, ToSchema)]
pub struct PolicyView {
    /// ANY, FULL_BALANCE or BLOCK_ALL.
    #[schema(example = "ANY")]
    policy: &'static str,
    /// The first day; null for the moment at which it was set.
    #[schema(value_type = Option<String>, format = Date)]
    from_date: Option<Date>,
    /// The last day; null until it is changed.
    #[schema(value_type = Option<String>, format = Date)]
    until_date: Option<Date>,
}

/// A lease.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeaseView {
    /// Which lease.
    id: Uuid,
    /// What is let.
    property_id: Uuid,
    /// Who lets it.
    landlord_id: Uuid,
    /// Who rents it.
    renters: Vec<RenterView>,
    /// The only renter; null where there are several.
    renter_id: Option<Uuid>,
    /// All renters.
    renter_ids: Vec<Uuid>,
    /// What each of them has agreed to pay of a charge.
    shares: Vec<ShareView>,
    /// What they have agreed on for later, in the order of time.
    share_changes: Vec<ShareChangeView>,
    /// What a whole period costs.
    #[schema(example = "1500.00")]
    rent_amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// The day of the month on which rent is due.
    #[schema(example = 1)]
    payment_due_day: i8,
    /// The first day.
    #[schema(value_type = String, format = Date)]
    start_date: Date,
    /// The last day; null while the lease goes on from month to month.
    #[schema(value_type = Option<String>, format = Date)]
    end_date: Option<Date>,
    /// Where the landlord wants the money; null for the primary account.
    payee_account_id: Option<Uuid>,
    /// PRORATE, FULL or NONE.
    #[schema(example = "PRORATE")]
    first_period: &'static str,
    /// PRORATE or FULL.
    #[schema(example = "PRORATE")]
    last_period: &'static str,
    /// ACTUAL, THIRTY_DAY or ANNUAL.
    #[schema(example = "ACTUAL")]
    proration: &'static str,
    /// What a whole period costs later, in the order of time.
    rent_changes: Vec<RentChangeView>,
    /// Which payments of rent are taken: ANY, FULL_BALANCE or BLOCK_ALL.
    payment_policy: PolicyView,
    /// So many days before its due date a charge is shown as one of those to be paid.
    #[schema(example = 14)]
    charge_notice_days: i64,
    /// When the landlord ended it, if so.
    #[schema(value_type = Option<String>, format = DateTime)]
    terminated_at: Option<Instant>,
    /// When it was entered.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
}

impl From<Lease> for LeaseView {
    fn from(lease: Lease) -> LeaseView {
        let shares = ShareView::all(&lease.renters, &lease.shares_on(lease.terms.starts_on));
        let share_changes = ShareChangeView::all(&lease);
        let Lease { terms, renters, .. } = lease;
        let renter_ids: Vec<_> = renters.iter().map(|renter| renter.id).collect();
        LeaseView {
            id: lease.id.0,
            property_id: lease.property_id.0,
            landlord_id: lease.landlord_id.0,
            renters: renters
                .into_iter()
                .map(|RenterOfLease { id, full_name, .. }| RenterView { id, full_name })
                .collect(),
            renter_id: if let [only] = renter_ids[..] { Some(only) } else { None },
            renter_ids,
            shares,
            share_changes,
            rent_amount: terms.rent.to_string(),
            currency: terms.rent.currency().code(),
            payment_due_day: terms.due_day.number(),
            start_date: terms.starts_on,
            end_date: terms.ends_on,
            payee_account_id: lease.payee_account_id.map(|id| id.0),
            first_period: terms.first_period.name(),
            last_period: terms.last_period.name(),
            proration: terms.proration.name(),
            rent_changes: terms
                .rent_changes
                .iter()
                .map(|change| RentChangeView {
                    effective_date: change.effective_on,
                    rent_amount: change.rent.to_string(),
                })
                .collect(),
            payment_policy: PolicyView {
                policy: lease.policy.policy.name(),
                from_date: lease.policy.from,
                until_date: lease.policy.until,
            },
            charge_notice_days: lease.charge_notice.days(),
            terminated_at: lease.terminated_at,
            created_at: lease.created_at,
        }
    }
}

/// A charge: a row of a schedule, owed from the day on which it is posted.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChargeView {
    /// Which charge.
    id: Uuid,
    /// What it is for: RENT, EXTRA, ONE_OFF, DEPOSIT, LATE_FEE or PAYOUT.
    #[schema(example = "RENT")]
    kind: &'static str,
    /// In the landlord's words; null for rent.
    description: Option<String>,
    /// SCHEDULED, OPEN, ON_THE_WAY, PAID or VOIDED.
    #[schema(example = "OPEN")]
    status: &'static str,
    /// When it is due.
    #[schema(value_type = String, format = Date)]
    due_date: Date,
    /// The first day that it pays for.
    #[schema(value_type = String, format = Date)]
    period_start: Date,
    /// The last day that it pays for.
    #[schema(value_type = String, format = Date)]
    period_end: Date,
    /// What is due.
    #[schema(example = "1500.00")]
    amount: String,
    /// What of it is owed and not on its way.
    #[schema(example = "500.00")]
    open: String,
    /// What of it a bank is moving.
    #[schema(example = "0.00")]
    on_the_way: String,
    /// What of it has arrived or was let off.
    #[schema(example = "1000.00")]
    paid: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// Since when it is owed; null while it only stands in the schedule.
    #[schema(value_type = Option<String>, format = DateTime)]
    posted_at: Option<Instant>,
    /// When it was voided; null unless it was.
    #[schema(value_type = Option<String>, format = DateTime)]
    voided_at: Option<Instant>,
}

impl ChargeView {
    /// A charge, and how many minor units of each charge of its lease are settled.
    pub(super) fn settled_by(charge: Charge, settled: &HashMap<ChargeId, i64>) -> ChargeView {
        let minor = settled.get(&charge.id).copied().unwrap_or(0);
        ChargeView::new(charge, minor)
    }

    /// A charge of which so many minor units are settled.
    fn new(charge: Charge, settled: i64) -> ChargeView {
        let (open, on_the_way) = (charge.open_minor(), charge.applied_minor - settled);
        let status = match (charge.posted_at, charge.voided_at) {
            (_, Some(_)) => "VOIDED",
            (None, None) => "SCHEDULED",
            (Some(_), None) if 0 < open => "OPEN",
            (Some(_), None) if 0 < on_the_way => "ON_THE_WAY",
            (Some(_), None) => "PAID",
        };
        let currency = charge.amount.currency();
        ChargeView {
            id: charge.id.0,
            kind: charge.kind.name(),
            description: charge.description,
            status,
            due_date: charge.due_date,
            period_start: charge.period_start,
            period_end: charge.period_end,
            amount: charge.amount.to_string(),
            open: format_minor(open, currency),
            on_the_way: format_minor(on_the_way, currency),
            paid: format_minor(settled, currency),
            currency: currency.code(),
            posted_at: charge.posted_at,
            voided_at: charge.voided_at,
        }
    }
}

/// A lease and everything that it charges.
#[derive(Debug, Serialize, ToSchema)]
pub struct ScheduledLeaseView {
    /// The lease.
    #[serde(flatten)]
    lease: LeaseView,
    /// What is due when, oldest first.
    schedule: Vec<ChargeView>,
}

impl ScheduledLeaseView {
    /// Where the lease is found.
    pub(super) fn location(&self) -> String {
        format!("/api/v1/leases/{}", self.lease.id)
    }

    /// With the charges as they are stored.
    pub(super) async fn read(tx: &mut Tx, lease: Lease) -> Result<ScheduledLeaseView, StoreError> {
        let schedule = read_charges(tx, lease.id).await?;
        Ok(ScheduledLeaseView { lease: lease.into(), schedule })
    }
}

/// What a lease charges, oldest first.
pub(super) async fn read_charges(tx: &mut Tx, lease: LeaseId) -> Result<Vec<ChargeView>, StoreError> {
    let settled = charges::settled(tx, lease).await?;
    let charges = charges::list(tx, lease).await?.into_iter();
    Ok(charges.map(|charge| ChargeView::settled_by(charge, &settled)).collect())
}
