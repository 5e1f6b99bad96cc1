//! A lease and its schedule as they are shown.

use directpay_domain::id::LeaseId;
use directpay_domain::time::Instant;
use directpay_store::charges::{self, Charge};
use directpay_store::leases::Lease;
use directpay_store::users::RenterOfLease;
use directpay_store::{StoreError, Tx};
use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A renter of a lease.
#[derive(Debug, Serialize, ToSchema)]
pub struct RenterView {
    /// Who.
    id: Uuid,
    /// As it is shown.
    #[schema(example = "Bob Baker")]
    full_name: String,
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
    /// When the landlord ended it, if so.
    #[schema(value_type = Option<String>, format = DateTime)]
    terminated_at: Option<Instant>,
    /// When it was entered.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
}

impl From<Lease> for LeaseView {
    fn from(lease: Lease) -> LeaseView {
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
            rent_amount: terms.rent.to_string(),
            currency: terms.rent.currency().code(),
            payment_due_day: terms.due_day.number(),
            start_date: terms.starts_on,
            end_date: terms.ends_on,
            payee_account_id: lease.payee_account_id.map(|id| id.0),
            first_period: terms.first_period.name(),
            last_period: terms.last_period.name(),
            proration: terms.proration.name(),
            terminated_at: lease.terminated_at,
            created_at: lease.created_at,
        }
    }
}

/// A row of a schedule.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChargeView {
    /// Which row.
    id: Uuid,
    /// What it is for: RENT.
    #[schema(example = "RENT")]
    kind: &'static str,
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
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
}

impl From<Charge> for ChargeView {
    fn from(Charge { id, scheduled }: Charge) -> ChargeView {
        ChargeView {
            id: id.0,
            kind: scheduled.kind.name(),
            due_date: scheduled.due_date,
            period_start: scheduled.period_start,
            period_end: scheduled.period_end,
            amount: scheduled.amount.to_string(),
            currency: scheduled.amount.currency().code(),
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
    Ok(charges::list(tx, lease).await?.into_iter().map(ChargeView::from).collect())
}
