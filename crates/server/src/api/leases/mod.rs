//! Who rents what, and what is due when.

pub mod autopay;
pub mod charges;
pub mod deposit_return;
pub mod deposits;
pub mod extras;
pub mod history;
pub mod mandate;
mod once;
pub mod quote;
pub mod request;
pub mod rules;
pub mod shares;
pub mod statement;
pub mod view;

use axum::extract::State;
use axum::response::Response;
use directpay_domain::bank_account::check_usable;
use directpay_domain::calendar::parse_date;
use directpay_domain::co_tenants::ShareTerms;
use directpay_domain::id::{BankAccountId, LeaseId, PropertyId, UserId};
use directpay_domain::invalid::Invalid;
use directpay_domain::lease::TerminationRefused;
use directpay_domain::lease_event::LeaseChange;
use directpay_domain::payment::NewEvent;
use directpay_domain::policy::PolicySpan;
use directpay_domain::time::Instant;
use directpay_domain::trail::Action;
use directpay_domain::user::Role;
use directpay_store::lease_ledger::LeaseLedger;
use directpay_store::leases::{self, Lease};
use directpay_store::properties::{self, Property};
use directpay_store::users::{self, RenterOfLease};
use directpay_store::{Page, StoreError, Tx, bank_accounts};
use jiff::civil::Date;
use serde::Deserialize;
use utoipa::ToSchema;

use self::once::{Made, once_if_named};
use self::request::{Agreement, NewLease};
use self::view::{ChargeView, LeaseView, ScheduledLeaseView, read_charges};
use super::auth::Caller;
use super::error::{ApiError, FieldErrors};
use super::extract::{Id, Json, KeyHeader, List, ListQuery, Query};
use super::problem::{Always, OfList, OfOne, OfRole, OfState, SignedIn, WithBody};
use super::{changed_once, created};
use crate::app::App;
use crate::clock;
use crate::daily_pass::{self, LocalDay, asked_by};
use crate::trail;

/// Enter a lease.
///
/// For the landlord of the property. Its schedule is made with it: every charge of a lease with an end, those of the next twelve
/// months of one without. Two leases of one property never share a day.
#[utoipa::path(
    post,
    path = "/leases/",
    tag = "leases",
    request_body = NewLease,
    responses(
        (status = 201, body = ScheduledLeaseView, description = "Entered, with its schedule", headers(("Location" = String))),
        WithBody, OfRole, OfState, SignedIn, Always,
    ),
)]
pub async fn create_lease(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<NewLease>,
) -> Result<Response, ApiError> {
    caller.must_be_landlord()?;
    let agreement = request.parse()?;
    let now = app.clock.business();
    let mut tx = app.db.begin().await?;
    let (property, lease) = conclude(&mut tx, caller, agreement, now).await?;
    let today = LocalDay::at(&property.time_zone, now)?;
    enter(&mut tx, &lease, &today, asked_by(&app, caller)).await?;
    trail::done(Action::LeaseCreated).to(lease.id).record(&mut tx).await?;
    let view = ScheduledLeaseView::read(&mut tx, lease).await?;
    tx.commit().await?;
    Ok(created(&view.location(), view))
}

/// The lease that an agreement makes, if what it names is there for the caller; else everything that is not.
async fn conclude(
    tx: &mut Tx,
    caller: Caller,
    agreement: Agreement,
    now: Instant,
) -> Result<(Property, Lease), ApiError> {
    let Agreement { property_id, renters, renters_field, shares, payee_account_id, terms, charge_notice } = agreement;
    let mut errors = FieldErrors::default();
    let property = errors.take("property_id", find_property(tx, caller, property_id).await?);
    let mut tenants = Vec::with_capacity(renters.len());
    for renter in renters {
        tenants.extend(errors.take(renters_field, find_renter(tx, renter).await?));
    }
    if let Some(id) = payee_account_id {
        errors.take("payee_account_id", check_payee(tx, caller, id).await?);
    }
    let (Some(property), true) = (property, errors.is_empty()) else {
        return Err(errors.into_error());
    };
    let id = LeaseId(clock::new_id());
    let lease = Lease {
        id,
        property_id: property.id,
        landlord_id: property.landlord_id,
        renters: tenants
            .into_iter()
            .map(|tenant| RenterOfLease { lease_id: id.0, id: tenant.id.0, full_name: tenant.full_name })
            .collect(),
        shares: shares.into_iter().map(|shares| ShareTerms { effective_on: terms.starts_on, shares }).collect(),
        terms,
        payee_account_id,
        policy: PolicySpan::default(),
        charge_notice,
        terminated_at: None,
        created_at: now,
    };
    Ok((property, lease))
}

async fn find_property(tx: &mut Tx, caller: Caller, id: PropertyId) -> Result<Result<Property, Invalid>, StoreError> {
    let found = properties::find_for_update(tx, caller.user_id, id).await?;
    Ok(found.ok_or_else(|| Invalid::new("not_found", "is none of your properties")))
}

async fn find_renter(tx: &mut Tx, id: UserId) -> Result<Result<users::User, Invalid>, StoreError> {
    let found = users::find(tx, id).await?.filter(|user| user.role == Role::Renter);
    Ok(found.ok_or_else(|| Invalid::new("not_found", "is no renter")))
}

async fn check_payee(tx: &mut Tx, caller: Caller, id: BankAccountId) -> Result<Result<(), Invalid>, StoreError> {
    let Some(account) = bank_accounts::find(tx, caller.user_id, id).await? else {
        return Ok(Err(Invalid::new("not_found", "is none of your bank accounts")));
    };
    Ok(check_usable(account.is_active, account.closed_by.as_deref()))
}

/// The day from which on new terms are in force: `today` if omitted.
fn parse_effective_date(text: Option<&str>, today: Date) -> Result<Date, Invalid> {
    let day = text.map_or(Ok(today), parse_date)?;
    if day < today {
        return Err(Invalid::new("past", "must not be past: nobody knew of it then"));
    }
    Ok(day)
}

/// Writes a lease, its schedule and what is due of it by `today`.
async fn enter(tx: &mut Tx, lease: &Lease, today: &LocalDay, new: impl Fn() -> NewEvent) -> Result<(), ApiError> {
    if leases::overlapping(tx, lease.property_id, &lease.terms).await?.is_some() {
        return Err(overlap());
    }
    let entered = daily_pass::enter(tx, lease, today, new).await;
    entered.map_err(|error| if error.breaks("leases_overlap") { overlap() } else { error.into() })
}

fn overlap() -> ApiError {
    ApiError::conflict("leases_overlap", "another lease of this property runs on some of these days")
}

/// List the own leases.
///
/// Those that the caller lets or rents, newest first. An administrator has none.
#[utoipa::path(
    get,
    path = "/leases/",
    tag = "leases",
    params(ListQuery),
    responses((status = 200, body = List<LeaseView>, description = "A page of the list"), OfList, SignedIn, Always),
)]
pub async fn list_leases(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<LeaseView>>, ApiError> {
    let wanted = query.parse()?;
    let mut tx = app.db.begin_stale_read().await?;
    let found = match caller.role {
        Role::Landlord => leases::list_by_landlord(&mut tx, caller.user_id, wanted.page()).await?,
        Role::Renter => leases::list_by_renter(&mut tx, caller.user_id, None, wanted.page()).await?,
        Role::Admin => Vec::new(),
    };
    Ok(Json(wanted.list(found, |lease| lease.id.0, LeaseView::from)))
}

/// Read a lease.
///
/// For its parties and administrators.
#[utoipa::path(
    get,
    path = "/leases/{id}",
    tag = "leases",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = LeaseView, description = "The lease"), OfOne, SignedIn, Always),
)]
pub async fn read_lease(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
) -> Result<Json<LeaseView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    let lease = find_visible(&mut tx, caller, id).await?;
    Ok(Json(lease.into()))
}

/// A lease that the caller may see.
async fn find_visible(tx: &mut Tx, caller: Caller, id: LeaseId) -> Result<Lease, ApiError> {
    let found = match caller.role {
        Role::Admin => leases::find(tx, id).await?,
        Role::Landlord | Role::Renter => leases::find_for_party(tx, caller.user_id, id).await?,
    };
    found.ok_or_else(ApiError::not_found)
}

/// Read a lease's schedule.
///
/// For its parties and administrators: all rows at once, oldest first.
#[utoipa::path(
    get,
    path = "/leases/{id}/schedule",
    tag = "leases",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = List<ChargeView>, description = "The whole schedule"), OfOne, SignedIn, Always),
)]
pub async fn read_schedule(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
) -> Result<Json<List<ChargeView>>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    find_visible(&mut tx, caller, id).await?;
    Ok(Json(List { data: read_charges(&mut tx, id).await?, next_cursor: None }))
}

/// List a renter's leases.
///
/// For that renter and administrators; a landlord sees those in common with the renter. Newest first.
#[utoipa::path(
    get,
    path = "/leases/renter/{renter_id}",
    tag = "leases",
    params(("renter_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<LeaseView>, description = "A page of the list"), OfList, OfOne, SignedIn, Always),
)]
pub async fn list_leases_of_renter(
    State(app): State<App>,
    caller: Caller,
    Id(renter): Id<UserId>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<LeaseView>>, ApiError> {
    let wanted = query.parse()?;
    let mut tx = app.db.begin_stale_read().await?;
    find_renter(&mut tx, renter).await?.map_err(|_| ApiError::not_found())?;
    let in_common_with = match caller.role {
        Role::Landlord if users::share_a_lease(&mut tx, caller.user_id, renter).await? => Some(caller.user_id),
        Role::Landlord => return Err(ApiError::not_found()),
        Role::Renter | Role::Admin => {
            caller.must_be(renter)?;
            None
        }
    };
    let found = leases::list_by_renter(&mut tx, renter, in_common_with, wanted.page()).await?;
    Ok(Json(wanted.list(found, |lease| lease.id.0, LeaseView::from)))
}

/// List a property's leases.
///
/// For its landlord and administrators; a renter of the property sees the own ones. Newest first.
#[utoipa::path(
    get,
    path = "/leases/property/{property_id}",
    tag = "leases",
    params(("property_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<LeaseView>, description = "A page of the list"), OfList, OfOne, SignedIn, Always),
)]
pub async fn list_leases_of_property(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<PropertyId>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<LeaseView>>, ApiError> {
    let wanted = query.parse()?;
    let mut tx = app.db.begin_stale_read().await?;
    let property = properties::find(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    let only_of = match caller.must_be(property.landlord_id) {
        Ok(()) => None,
        Err(not_found) => {
            let own = leases::list_by_property(&mut tx, id, Some(caller.user_id), Page::first(1)).await?;
            own.first().ok_or(not_found)?;
            Some(caller.user_id)
        }
    };
    let found = leases::list_by_property(&mut tx, id, only_of, wanted.page()).await?;
    Ok(Json(wanted.list(found, |lease| lease.id.0, LeaseView::from)))
}

/// The new end of a lease.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Termination {
    /// The new last day, from the lease's start to its present end; it may be past.
    #[schema(example = "2026-06-30", format = Date)]
    end_date: String,
    /// The caller's name for this request, unless it is in the header `Idempotency-Key`.
    #[schema(example = "end-of-june", min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// Terminate a lease.
///
/// For its landlord. Charges that begin after the new end go, and the last one is shortened as the lease says. A lease whose last
/// day has passed is ended already. It may go without an idempotency key; with one, repeating the request changes nothing, also if
/// the lease was terminated again meanwhile.
#[utoipa::path(
    post,
    path = "/leases/{id}/terminate",
    tag = "leases",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header, description = "The caller's name for this request, unless it is in the body")),
    request_body = Termination,
    responses(
        (status = 200, body = ScheduledLeaseView, description = "Ended, with what is left of its schedule", headers(("Idempotent-Replayed" = Option<String>))),
        WithBody, OfOne, OfRole, OfState, SignedIn, Always,
    ),
)]
pub async fn terminate_lease(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    header: KeyHeader,
    Json(request): Json<Termination>,
) -> Result<Response, ApiError> {
    let key = header.with_body_if_any(request.idempotency_key.as_deref())?;
    let end = parse_date(&request.end_date).map_err(|invalid| ApiError::invalid("end_date", invalid))?;
    let now = app.clock.business();
    let mut tx = app.db.begin().await?;
    let lease = hold(&mut tx, caller, id).await?;
    let made = once_if_named(&mut tx, caller, key.as_ref(), now, &("termination", id, end)).await?;
    let is_new = matches!(made, Made::New(_));
    let lease = if is_new {
        trail::done(Action::LeaseTerminated).to(id).record(&mut tx).await?;
        end_on(&mut tx, lease, end, now, asked_by(&app, caller)).await?
    } else {
        lease
    };
    let view = ScheduledLeaseView::read(&mut tx, lease).await?;
    tx.commit().await?;
    Ok(changed_once(is_new, view))
}

/// A lease of the caller's as it is while nobody else changes it. A renter may know that it exists, but not change it.
async fn hold(tx: &mut Tx, caller: Caller, id: LeaseId) -> Result<Lease, ApiError> {
    if let Some(lease) = leases::find_for_update(tx, caller.user_id, id).await? {
        return Ok(lease);
    }
    find_visible(tx, caller, id).await?;
    Err(ApiError::forbidden("only the landlord may do this"))
}

/// Ends a lease, shortens its schedule, and takes back what was posted for days after the end.
async fn end_on(
    tx: &mut Tx,
    lease: Lease,
    end: Date,
    now: Instant,
    new: impl Fn() -> NewEvent,
) -> Result<Lease, ApiError> {
    let today = local_day(tx, &lease, now).await?;
    let terms = lease.terms.terminate(end, today.date).map_err(refused)?;
    let ended = Lease { terms, terminated_at: Some(now), ..lease };
    leases::terminate(tx, ended.id, end, now).await?;
    let mut ledger = LeaseLedger::open(tx, [ended.id]).await?;
    daily_pass::write_schedule(tx, &ended, today.date).await?;
    ledger.record(ended.id, LeaseChange::Terminated { ends_on: end }, None, new())?;
    daily_pass::correct_posted(tx, &mut ledger, &ended, today.date, new).await?;
    ledger.write(tx).await?;
    Ok(ended)
}

/// The day where the property of a lease lies.
async fn local_day(tx: &mut Tx, lease: &Lease, now: Instant) -> Result<LocalDay, ApiError> {
    let property = properties::find(tx, lease.property_id).await?.ok_or_else(ApiError::not_found)?;
    Ok(LocalDay::at(&property.time_zone, now)?)
}

fn refused(refusal: TerminationRefused) -> ApiError {
    let code = match refusal {
        TerminationRefused::AlreadyEnded => {
            return ApiError::wrong_status("already_ended", "ENDED", refusal.to_string());
        }
        TerminationRefused::BeforeStart => "before_start",
        TerminationRefused::AfterEnd => "after_end",
    };
    ApiError::invalid("end_date", Invalid::new(code, refusal.to_string()))
}
