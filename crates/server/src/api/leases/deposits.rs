//! What is held of a lease's deposits, and what became of it.

use std::collections::HashMap;

use axum::extract::State;
use directpay_domain::calendar::parse_date;
use directpay_domain::charge::ChargeKind;
use directpay_domain::deposit::ReturnPeriod;
use directpay_domain::id::{ChargeId, LeaseId};
use directpay_domain::invalid::Invalid;
use directpay_domain::lease::LeaseTerms;
use directpay_domain::money::format_minor;
use directpay_domain::payment::Status;
use directpay_domain::property::UsState;
use directpay_domain::time::Instant;
use directpay_store::charges::{self, Charge};
use directpay_store::deposits::{self, Released};
use directpay_store::leases::Lease;
use directpay_store::{Tx, payments, properties};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::find_visible;
use super::quote::CoverView;
use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::extract::{Id, Json, Query};
use crate::api::problem::{Always, OfList, OfOne, SignedIn};
use crate::app::App;
use crate::daily_pass::LocalDay;

/// From when a deadline is counted, and how many days.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeadlineQuery {
    /// The day on which the renters moved out; the lease's last day if omitted.
    #[param(example = "2026-06-30")]
    move_out_date: Option<String>,
    /// Calendar days that the landlord goes by; those of the state's law if omitted.
    #[param(example = 14, minimum = 1, maximum = 365)]
    deadline_days: Option<i64>,
}

/// By when a deposit must be back.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadlineView {
    /// The last day that is in time.
    #[schema(value_type = String, format = Date)]
    pub(super) return_by: Date,
    /// The day from which is counted.
    #[schema(value_type = String, format = Date)]
    counted_from: Date,
    /// Calendar days.
    #[schema(example = 14)]
    days: i64,
    /// The law, or why another number is taken.
    #[schema(example = "N.Y. Gen. Oblig. Law § 7-108, as of 2026; check with counsel")]
    rule: String,
}

/// What is held of a lease's deposits.
#[derive(Debug, Serialize, ToSchema)]
pub struct DepositView {
    /// Which lease.
    lease_id: Uuid,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// What was paid and has arrived, less what was returned or kept. What the landlord let off is not held.
    #[schema(example = "1500.00")]
    held: String,
    /// What is owed of deposits.
    #[schema(example = "0.00")]
    open: String,
    /// What was paid for deposits and has not arrived.
    #[schema(example = "0.00")]
    on_the_way: String,
    /// By when it must be back; null while the lease has no end.
    deadline: Option<DeadlineView>,
    /// What was returned and kept, oldest first.
    returns: Vec<DepositReturnView>,
}

/// A deposit that was returned, or kept, item by item.
#[derive(Debug, Serialize, ToSchema)]
pub struct DepositReturnView {
    /// Which return: the source that pays for charges; null in a preview.
    id: Option<Uuid>,
    /// On which lease.
    lease_id: Uuid,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// What was held.
    #[schema(example = "1500.00")]
    held: String,
    /// What had been charged as a deposit and never paid: it is owed no more.
    #[schema(example = "0.00")]
    unpaid: String,
    /// What the landlord deducts.
    deductions: Vec<DeductionView>,
    /// What else was open on the lease and is paid out of the deposit.
    applied: Vec<CoverView>,
    /// What goes back to a renter.
    #[schema(example = "1200.00")]
    returned: String,
    /// The payment that brings it back; null where nothing is left, and in a preview.
    payment_id: Option<Uuid>,
    /// Where that payment stands. Should it fail or come back, the money is the renters' credit, and another refund pays it.
    #[schema(example = "PENDING")]
    payment_status: Option<&'static str>,
    /// What of the deductions the deposit did not pay for: it stays owed.
    #[schema(example = "0.00")]
    owed: String,
    /// The last day that was in time.
    #[schema(value_type = String, format = Date)]
    return_by: Date,
    /// Whether it was in time.
    is_in_time: bool,
    /// When it was returned.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
}

impl DepositReturnView {
    /// Without what exists only once it is done.
    pub(super) fn into_preview(self) -> DepositReturnView {
        DepositReturnView { id: None, payment_id: None, payment_status: None, ..self }
    }
}

/// Something that a landlord deducts from a deposit.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeductionView {
    /// The charge that it is.
    charge_id: Uuid,
    /// What for.
    #[schema(example = "Broken window")]
    description: Option<String>,
    /// How much.
    #[schema(example = "180.00")]
    amount: String,
    /// What of it the deposit paid.
    #[schema(example = "180.00")]
    paid: String,
}

/// Read what is held of a lease's deposits.
///
/// For the parties of the lease and administrators: what is held, open and on its way, by when it must be back, and what was
/// returned and kept before. The days are those of the state's law as of 2026, the shortest where it knows several: check
/// with counsel.
#[utoipa::path(
    get,
    path = "/leases/{id}/deposit",
    tag = "leases",
    params(("id" = Uuid, Path), DeadlineQuery),
    responses((status = 200, body = DepositView, description = "What is held"), OfList, OfOne, SignedIn, Always),
)]
pub async fn read_deposit(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    Query(query): Query<DeadlineQuery>,
) -> Result<Json<DepositView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    let lease = find_visible(&mut tx, caller, id).await?;
    let moved_out = query.move_out_date.as_deref().map(|text| parse_move_out(text, &lease.terms)).transpose();
    let moved_out = moved_out.map_err(|invalid| ApiError::bad_query("move_out_date", invalid))?;
    let days = query.deadline_days.map(parse_days).transpose();
    let days = days.map_err(|invalid| ApiError::bad_query("deadline_days", invalid))?;
    let place = Place::of(&mut tx, &lease, app.clock.business()).await?;
    let found = deposits::find(&mut tx, id).await?;
    let known = known_charges(&mut tx, id).await?;
    let mut returns = Vec::with_capacity(found.releases.len());
    for released in &found.releases {
        returns.push(read_return(&mut tx, released, &place.today, &known).await?);
    }
    let currency = lease.terms.rent.currency();
    let money = |minor| format_minor(minor, currency);
    Ok(Json(DepositView {
        lease_id: id.0,
        currency: currency.code(),
        held: money(found.held_minor),
        open: money(found.open_minor()),
        on_the_way: money(found.on_the_way_minor),
        deadline: lease.terms.ends_on.map(|end| place.deadline(moved_out.unwrap_or(end), days)),
        returns,
    }))
}

/// What follows from where the property lies.
pub(super) struct Place {
    state: UsState,
    /// The day there.
    pub(super) today: LocalDay,
}

impl Place {
    pub(super) async fn of(tx: &mut Tx, lease: &Lease, now: Instant) -> Result<Place, ApiError> {
        let property = properties::find(tx, lease.property_id).await?.ok_or_else(ApiError::not_found)?;
        let state = UsState::parse(&property.state).map_err(|invalid| ApiError::internal(&invalid))?;
        Ok(Place { state, today: LocalDay::at(&property.time_zone, now)? })
    }

    /// By when a deposit must be back, by the state's law or as the landlord states it.
    pub(super) fn deadline(&self, counted_from: Date, stated: Option<i64>) -> DeadlineView {
        let of_state = ReturnPeriod::of(self.state);
        let period = stated.map_or(of_state, |days| ReturnPeriod { days, ..of_state });
        let rule = match (stated, of_state.source) {
            (Some(_), _) => "stated by the landlord".to_owned(),
            (None, Some(source)) => format!("{source}, as of 2026; check with counsel"),
            (None, None) => "no number of days is known for this state: a cautious one; check with counsel".to_owned(),
        };
        DeadlineView { return_by: period.last_day(counted_from), counted_from, days: period.days, rule }
    }
}

pub(super) fn parse_days(days: i64) -> Result<i64, Invalid> {
    if (1..=ReturnPeriod::DAYS_MAX).contains(&days) {
        return Ok(days);
    }
    Err(Invalid::new("out_of_range", format!("must be 1 to {} days", ReturnPeriod::DAYS_MAX)))
}

pub(super) fn parse_move_out(text: &str, terms: &LeaseTerms) -> Result<Date, Invalid> {
    let date = parse_date(text)?;
    if date < terms.starts_on {
        return Err(Invalid::new("before_start", "must not be before the lease's start"));
    }
    Ok(date)
}

pub(super) async fn known_charges(tx: &mut Tx, lease: LeaseId) -> Result<HashMap<ChargeId, Charge>, ApiError> {
    Ok(charges::list(tx, lease).await?.into_iter().map(|charge| (charge.id, charge)).collect())
}

pub(super) async fn read_return(
    tx: &mut Tx,
    released: &Released,
    today: &LocalDay,
    known: &HashMap<ChargeId, Charge>,
) -> Result<DepositReturnView, ApiError> {
    let release = &released.release;
    let currency = release.amount.currency();
    let money = |minor| format_minor(minor, currency);
    let paid: HashMap<ChargeId, i64> = deposits::paid_by(tx, released).await?.into_iter().collect();
    let mut owed = 0;
    let deductions = release.deductions.iter().filter_map(|id| {
        let (charge, paid) = (known.get(id)?, paid.get(id).copied().unwrap_or(0));
        owed += charge.amount.minor() - paid;
        Some(DeductionView {
            charge_id: id.0,
            description: charge.description.clone(),
            amount: charge.amount.to_string(),
            paid: money(paid),
        })
    });
    let deductions: Vec<_> = deductions.collect();
    let mut applied: Vec<_> = known
        .values()
        .filter(|charge| charge.kind != ChargeKind::Deposit && !release.deductions.contains(&charge.id))
        .filter_map(|charge| Some((charge, *paid.get(&charge.id)?)))
        .collect();
    applied.sort_by_key(|(charge, _)| charge.place());
    let payment = match release.refund {
        Some(refund) => payments::find(tx, refund.payment_id).await?,
        None => None,
    };
    Ok(DepositReturnView {
        id: Some(release.return_id),
        lease_id: released.event.lease_id.0,
        currency: currency.code(),
        held: release.held.to_string(),
        unpaid: money(release.amount.minor() - release.held.minor()),
        deductions,
        applied: applied.into_iter().map(|(charge, minor)| CoverView::new(charge, minor)).collect(),
        returned: money(release.refund.map_or(0, |refund| refund.amount.minor())),
        payment_id: release.refund.map(|refund| refund.payment_id.0),
        payment_status: payment.map(|payment| Status::name(payment.status)),
        owed: money(owed),
        return_by: release.return_by,
        is_in_time: today.date_of(released.event.occurred_at) <= release.return_by,
        created_at: released.event.occurred_at,
    })
}
