//! How the renters of a lease share what it charges, and who of them has paid.

use axum::extract::State;
use directpay_domain::co_tenants::{self, AgreedShare, Part, ShareTerms};
use directpay_domain::id::{LeaseId, UserId};
use directpay_domain::invalid::Invalid;
use directpay_domain::lease_event::LeaseChange;
use directpay_domain::money::{Amount, Currency, format_minor};
use directpay_domain::share::{BasisPoints, Share, ShareKind};
use directpay_domain::trail::Action;
use directpay_store::lease_ledger::LeaseLedger;
use directpay_store::leases::{self, Lease};
use directpay_store::users::RenterOfLease;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::LeaseView;
use super::{find_visible, hold, local_day, parse_effective_date};
use crate::api::amount::AmountInput;
use crate::api::auth::Caller;
use crate::api::error::{ApiError, FieldErrors};
use crate::api::extract::{Id, Json, parse_id};
use crate::api::problem::{Always, OfOne, OfRole, SignedIn, WithBody};
use crate::app::App;
use crate::co_tenants::{SharedCharge, left_for_each, shared_charges};
use crate::daily_pass::asked_by;
use crate::trail;

/// What a renter has agreed to pay of each charge.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareInput {
    /// One of the lease's renters.
    #[schema(format = Uuid)]
    renter_id: String,
    /// EQUAL (as much as the others who share equally), FIXED (an amount), or PERCENT (of the charge).
    #[schema(example = "FIXED")]
    kind: String,
    /// A fixed share. A charge that is smaller than all fixed shares is divided in their proportion.
    amount: Option<AmountInput>,
    /// A percent, in hundredths of a percent: 3333 is 33.33 per cent.
    #[schema(example = 3333, minimum = 1, maximum = 10000)]
    basis_points: Option<i64>,
}

impl ShareInput {
    fn parse(&self, currency: Currency) -> Result<AgreedShare, Invalid> {
        let renter_id = parse_id(&self.renter_id)?;
        let share = match (ShareKind::parse(&self.kind)?, &self.amount, self.basis_points) {
            (ShareKind::Equal, None, None) => Share::Equal,
            (ShareKind::Fixed, Some(amount), None) => Share::Fixed(amount.parse(currency)?),
            (ShareKind::Percent, None, Some(points)) => Share::Percent(BasisPoints::parse(points)?),
            (ShareKind::Equal, ..) => return Err(Invalid::new("superfluous", "an equal share has no number")),
            (ShareKind::Fixed, ..) => {
                return Err(Invalid::new("required", "a fixed share has an amount and no basis points"));
            }
            (ShareKind::Percent, ..) => {
                return Err(Invalid::new("required", "a percent has basis points and no amount"));
            }
        };
        Ok(AgreedShare { renter_id, share })
    }
}

/// The shares of `renters` in `rent`, if they are sound; else everything that is wrong with them is noted.
pub(super) fn parse_shares(
    named: &[ShareInput],
    renters: &[UserId],
    rent: Amount,
    errors: &mut FieldErrors,
) -> Option<Vec<AgreedShare>> {
    let parsed = named.iter().map(|share| errors.take("shares", share.parse(rent.currency())));
    let parsed = parsed.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()?;
    match co_tenants::agree(&parsed, renters, rent) {
        Ok(agreed) => Some(agreed),
        Err(broken) => {
            broken.into_iter().for_each(|invalid| errors.add("shares", invalid));
            None
        }
    }
}

/// What a renter has agreed to pay of each charge.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShareView {
    /// Who.
    renter_id: Uuid,
    /// EQUAL, FIXED or PERCENT.
    #[schema(example = "EQUAL")]
    kind: &'static str,
    /// A fixed share; null otherwise.
    #[schema(example = "600.00")]
    amount: Option<String>,
    /// A percent, in hundredths of a percent; null otherwise.
    #[schema(example = 3333)]
    basis_points: Option<i64>,
}

impl ShareView {
    pub(super) fn all(renters: &[RenterOfLease], shares: &[Share]) -> Vec<ShareView> {
        let each = renters.iter().zip(shares);
        each.map(|(renter, share)| {
            let (amount, basis_points) = match share {
                Share::Equal => (None, None),
                Share::Fixed(amount) => (Some(amount.to_string()), None),
                Share::Percent(points) => (None, Some(points.number())),
            };
            ShareView { renter_id: renter.id, kind: share.kind().name(), amount, basis_points }
        })
        .collect()
    }
}

/// Shares that replace those before.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShareChangeView {
    /// They hold for charges that are due on this day or later.
    #[schema(value_type = String, format = Date)]
    effective_date: Date,
    /// What each renter has agreed to pay then.
    shares: Vec<ShareView>,
}

impl ShareChangeView {
    pub(super) fn all(lease: &Lease) -> Vec<ShareChangeView> {
        let later = lease.shares.iter().filter(|terms| lease.terms.starts_on < terms.effective_on);
        later
            .map(|terms| ShareChangeView {
                effective_date: terms.effective_on,
                shares: ShareView::all(&lease.renters, &lease.shares_on(terms.effective_on)),
            })
            .collect()
    }
}

/// New shares.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewShares {
    /// Of each renter one; whoever is not named has an equal share.
    shares: Vec<ShareInput>,
    /// For charges that are due on this day or later; today if omitted, and never earlier.
    #[schema(example = "2026-03-01", format = Date)]
    effective_date: Option<String>,
}

/// Change how the renters share what is charged.
///
/// For the landlord. The shares say what the renters have agreed among themselves: each of them stays liable for all of it and may
/// pay anything that is open.
#[utoipa::path(
    put,
    path = "/leases/{id}/shares",
    tag = "leases",
    params(("id" = Uuid, Path)),
    request_body = NewShares,
    responses((status = 200, body = LeaseView, description = "The lease with its shares"), WithBody, OfOne, OfRole, SignedIn, Always),
)]
pub async fn set_shares(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    Json(request): Json<NewShares>,
) -> Result<Json<LeaseView>, ApiError> {
    let mut tx = app.db.begin().await?;
    let lease = hold(&mut tx, caller, id).await?;
    let today = local_day(&mut tx, &lease, app.clock.business()).await?.date;
    let mut errors = FieldErrors::default();
    let effective_on = errors.take("effective_date", parse_effective_date(request.effective_date.as_deref(), today));
    let rent = lease.terms.rent_on(effective_on.unwrap_or(today));
    let shares = parse_shares(&request.shares, &lease.renter_ids(), rent, &mut errors);
    let (Some(effective_on), Some(shares), true) = (effective_on, shares, errors.is_empty()) else {
        return Err(errors.into_error());
    };
    let terms = ShareTerms { effective_on, shares };
    if !lease.shares.contains(&terms) {
        leases::set_shares(&mut tx, id, &terms).await?;
        trail::done(Action::LeaseSharesChanged).to(id).record(&mut tx).await?;
        let mut ledger = LeaseLedger::open(&mut tx, [id]).await?;
        ledger.record(id, LeaseChange::SharesChanged(terms), None, asked_by(&app, caller)())?;
        ledger.write(&mut tx).await?;
    }
    let view = LeaseView::from(find_visible(&mut tx, caller, id).await?);
    tx.commit().await?;
    Ok(Json(view))
}

/// Who of the renters has paid what.
#[derive(Debug, Serialize, ToSchema)]
pub struct SharesView {
    /// Which lease.
    lease_id: Uuid,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// All that was charged so far and not let off, for each renter.
    renters: Vec<SharedView>,
    /// Charge by charge, oldest first.
    charges: Vec<SharedChargeView>,
}

/// How one renter stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct SharedView {
    /// Who.
    renter_id: Uuid,
    /// For people.
    #[schema(example = "Bob Baker")]
    full_name: String,
    /// This renter's share.
    #[schema(example = "500.00")]
    share: String,
    /// What this renter has paid, and has arrived.
    #[schema(example = "0.00")]
    paid: String,
    /// What this renter pays, and has not arrived.
    #[schema(example = "500.00")]
    on_the_way: String,
    /// What is left for this renter. All of these together are what is open: whoever paid more than the own share paid it for
    /// the others.
    #[schema(example = "0.00")]
    left: String,
}

/// A charge, and how each renter stands with it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SharedChargeView {
    /// Which charge.
    charge_id: Uuid,
    /// What it is for.
    #[schema(example = "RENT")]
    kind: &'static str,
    /// In the landlord's words; null for rent.
    description: Option<String>,
    /// When it was due.
    #[schema(value_type = String, format = Date)]
    due_date: Date,
    /// What was charged and not let off.
    #[schema(example = "1500.00")]
    amount: String,
    /// Each renter's part in it.
    renters: Vec<SharedView>,
}

/// Read who of the renters has paid what.
///
/// For the parties of the lease and administrators. It names nobody's accounts.
#[utoipa::path(
    get,
    path = "/leases/{id}/shares",
    tag = "leases",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = SharesView, description = "Who has paid what"), OfOne, SignedIn, Always),
)]
pub async fn read_shares(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
) -> Result<Json<SharesView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    let lease = find_visible(&mut tx, caller, id).await?;
    let shared = shared_charges(&mut tx, &lease, None).await?;
    let currency = lease.terms.rent.currency();
    let view = |renter: &RenterOfLease, part: Part| SharedView {
        renter_id: renter.id,
        full_name: renter.full_name.clone(),
        share: format_minor(part.share_minor, currency),
        paid: format_minor(part.given.paid_minor, currency),
        on_the_way: format_minor(part.given.on_the_way_minor, currency),
        left: format_minor(part.left_minor, currency),
    };
    let whole =
        |at: usize| shared.iter().filter_map(|one| one.parts.get(at).copied()).fold(Part::default(), Part::plus);
    let left = left_for_each(&shared);
    let left_of = |at: usize| left.get(at).copied().unwrap_or(0);
    let renters = lease.renters.iter().enumerate();
    let renters = renters.map(|(at, renter)| view(renter, Part { left_minor: left_of(at), ..whole(at) })).collect();
    let charges = shared.iter().map(|SharedCharge { charge, owed_minor, parts }| SharedChargeView {
        charge_id: charge.id.0,
        kind: charge.kind.name(),
        description: charge.description.clone(),
        due_date: charge.due_date,
        amount: format_minor(*owed_minor, currency),
        renters: lease.renters.iter().zip(parts).map(|(renter, part)| view(renter, *part)).collect(),
    });
    Ok(Json(SharesView { lease_id: id.0, currency: currency.code(), renters, charges: charges.collect() }))
}
