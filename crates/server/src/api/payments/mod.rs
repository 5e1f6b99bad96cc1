//! Payments: initiated here, carried out by the workers.

pub mod history;
pub mod request;
pub mod view;

use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use directpay_domain::id::{LeaseId, PaymentId};
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::payment::initiate::FieldError;
use directpay_domain::payment::{Command, Payment, Reason, Status};
use directpay_domain::rail::Rail;
use directpay_domain::trail::Action;
use directpay_domain::user::Role;
use directpay_store::payments::{self, Filter, Fresh, Initiated, Instructed, Outcome, Recorded};
use directpay_store::{Tx, leases};
use serde::Deserialize;
use utoipa::IntoParams;

use self::request::InitiatePayment;
use self::view::PaymentView;
use super::auth::Caller;
use super::error::{ApiError, FieldErrors};
use super::extract::{Id, Json, KeyHeader, List, ListQuery, Query};
use super::problem::{Always, OfList, OfOne, OfRole, OfState, SignedIn, WithBody};
use super::{created_once, request_id};
use crate::app::App;
use crate::clock;
use crate::instruct;
use crate::trail;

/// Initiate a payment.
///
/// Stores the payment as PENDING and answers at once; workers hand it to the bank. A renter pays rent; a landlord refunds, with
/// `refund_of` at most what that payment settled, however many requests come at once. Repeating the request with the same
/// idempotency key returns the same payment, with status 200 and the header `Idempotent-Replayed: true`.
#[utoipa::path(
    post,
    path = "/payments/",
    tag = "payments",
    params(("Idempotency-Key" = Option<String>, Header, description = "The caller's name for this request, unless it is in the body", example = "rent-2026-03")),
    request_body = InitiatePayment,
    responses(
        (status = 201, body = PaymentView, description = "Accepted", headers(("Location" = String))),
        (status = 200, body = PaymentView, description = "Accepted before under this key", headers(("Idempotent-Replayed" = String))),
        WithBody, SignedIn, Always,
    ),
)]
pub async fn initiate_payment(
    State(app): State<App>,
    caller: Caller,
    header: KeyHeader,
    Json(request): Json<InitiatePayment>,
) -> Result<Response, ApiError> {
    let key = header.with_body(request.idempotency_key.as_deref())?;
    let initiation = request.parse(caller, key)?;
    let (event, at) = instruct::new_event(&app, caller.actor(), Some(request_id::current()));
    let fresh = Fresh { payment_id: PaymentId(clock::new_id()), event, at, initiation };
    match app.intake.submit(fresh).await? {
        Outcome::Initiated(initiated) => answer(&app, &initiated, caller).await,
        Outcome::KeyReused(payment_id) => Err(ApiError::idempotency_key_reused(Some(payment_id))),
        Outcome::Refused(broken) => Err(refused(broken)),
    }
}

/// A request that breaks rules of the domain.
pub(super) fn refused(broken: impl IntoIterator<Item = FieldError>) -> ApiError {
    let mut errors = FieldErrors::default();
    broken.into_iter().for_each(|(field, invalid)| errors.add(field, invalid));
    errors.into_error()
}

async fn answer(app: &App, Initiated { payment, replayed }: &Initiated, caller: Caller) -> Result<Response, ApiError> {
    tracing::debug!(payment_id = %payment.terms.id, replayed, "a payment was accepted");
    let location = format!("/api/v1/payments/{}", payment.terms.id);
    let view = if *replayed {
        view(&mut app.db.begin_read().await?, payment, caller).await?
    } else {
        // Nothing of a new payment is refunded, and nothing has to be read for that.
        PaymentView::new(payment, caller).with_refunded(payment, &HashMap::new())
    };
    Ok(created_once(!replayed, &location, view))
}

/// A payment with what is refunded of it.
async fn view(tx: &mut Tx, payment: &Payment, caller: Caller) -> Result<PaymentView, ApiError> {
    let refunded = payments::refunded(tx, [payment.terms.id].into_iter()).await?;
    Ok(PaymentView::new(payment, caller).with_refunded(payment, &refunded))
}

/// What is refunded of the payments of a list.
async fn refunded(tx: &mut Tx, found: &[Payment]) -> Result<HashMap<PaymentId, i64>, ApiError> {
    Ok(payments::refunded(tx, found.iter().map(|payment| payment.terms.id)).await?)
}

/// A payment on a lease that the caller is a party to, or any for administrators.
async fn find(tx: &mut Tx, caller: Caller, id: PaymentId) -> Result<Payment, ApiError> {
    let found = match caller.role {
        Role::Admin => payments::find(tx, id).await?,
        Role::Landlord | Role::Renter => payments::find_for_party(tx, caller.user_id, id).await?,
    };
    found.ok_or_else(ApiError::not_found)
}

/// Read a payment.
///
/// For the parties of its lease and administrators. What is another renter's own business is null.
#[utoipa::path(
    get,
    path = "/payments/{payment_id}",
    tag = "payments",
    params(("payment_id" = Uuid, Path)),
    responses((status = 200, body = PaymentView, description = "The payment as it is now"), OfOne, SignedIn, Always),
)]
pub async fn read_payment(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<PaymentId>,
) -> Result<Json<PaymentView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    let payment = find(&mut tx, caller, id).await?;
    Ok(Json(view(&mut tx, &payment, caller).await?))
}

/// Finding a payment by its key.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct KeyQuery {
    /// Leaves the one payment that the caller initiated under this key, or none.
    idempotency_key: Option<String>,
}

/// List the caller's payments.
///
/// Those that the caller initiated or was paid, newest first.
#[utoipa::path(
    get,
    path = "/payments/",
    tag = "payments",
    params(ListQuery, KeyQuery),
    responses((status = 200, body = List<PaymentView>, description = "A page of the list"), OfList, SignedIn, Always),
)]
pub async fn list_payments(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
    Query(by): Query<KeyQuery>,
) -> Result<Json<List<PaymentView>>, ApiError> {
    let wanted = query.parse()?;
    let key = by.idempotency_key.as_deref().map(IdempotencyKey::parse).transpose();
    let key = key.map_err(|invalid| ApiError::bad_query("idempotency_key", invalid))?;
    // Whoever asks for a key decides by the answer whether to pay once more.
    let mut tx = if key.is_some() { app.db.begin_read().await? } else { app.db.begin_stale_read().await? };
    let found = match (key, caller.role) {
        (Some(key), _) => payments::find_by_key(&mut tx, caller.user_id, &key).await?.into_iter().collect(),
        (None, Role::Landlord) => payments::list_by_landlord(&mut tx, caller.user_id, wanted.page()).await?,
        (None, Role::Renter) => payments::list_by_renter(&mut tx, caller.user_id, wanted.page()).await?,
        (None, Role::Admin) => Vec::new(),
    };
    let refunded = refunded(&mut tx, &found).await?;
    Ok(Json(wanted.list(
        found,
        |payment| payment.terms.id.0,
        |payment| PaymentView::new(&payment, caller).with_refunded(&payment, &refunded),
    )))
}

/// What a lease's list is narrowed to.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FilterQuery {
    /// Only payments that stand here.
    #[param(example = "PENDING")]
    status: Option<String>,
    /// Only payments by this rail.
    #[param(example = "INSTANT")]
    rail: Option<String>,
}

impl FilterQuery {
    fn parse(&self) -> Result<Filter, ApiError> {
        let status = self.status.as_deref().map(Status::parse).transpose();
        let rail = self.rail.as_deref().map(Rail::parse).transpose();
        Ok(Filter {
            status: status.map_err(|invalid| ApiError::bad_query("status", invalid))?,
            rail: rail.map_err(|invalid| ApiError::bad_query("rail", invalid))?,
        })
    }
}

/// List the payments of a lease.
///
/// All of them, newest first, for its parties.
#[utoipa::path(
    get,
    path = "/payments/lease/{lease_id}",
    tag = "payments",
    params(("lease_id" = Uuid, Path), ListQuery, FilterQuery),
    responses((status = 200, body = List<PaymentView>, description = "A page of the list"), OfList, OfOne, SignedIn, Always),
)]
pub async fn list_payments_of_lease(
    State(app): State<App>,
    caller: Caller,
    Id(lease_id): Id<LeaseId>,
    Query(query): Query<ListQuery>,
    Query(filter): Query<FilterQuery>,
) -> Result<Json<List<PaymentView>>, ApiError> {
    let (wanted, filter) = (query.parse()?, filter.parse()?);
    let mut tx = app.db.begin_stale_read().await?;
    let lease = match caller.role {
        Role::Admin => leases::find(&mut tx, lease_id).await?,
        Role::Landlord | Role::Renter => leases::find_for_party(&mut tx, caller.user_id, lease_id).await?,
    };
    lease.ok_or_else(ApiError::not_found)?;
    let found = payments::list_for_lease(&mut tx, lease_id, filter, wanted.page()).await?;
    let refunded = refunded(&mut tx, &found).await?;
    Ok(Json(wanted.list(
        found,
        |payment| payment.terms.id.0,
        |payment| PaymentView::new(&payment, caller).with_refunded(&payment, &refunded),
    )))
}

/// Cancel a payment.
///
/// Possible for its initiator while it is PENDING.
#[utoipa::path(
    post,
    path = "/payments/{payment_id}/cancel",
    tag = "payments",
    params(("payment_id" = Uuid, Path)),
    responses((status = 200, body = PaymentView, description = "The payment as it is now"), OfState, OfRole, OfOne, SignedIn, Always),
)]
pub async fn cancel_payment(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<PaymentId>,
) -> Result<Json<PaymentView>, ApiError> {
    let reason = Reason::new("CANCELLED_BY_INITIATOR", "Cancelled by its initiator");
    act(&app, caller, id, Command::Cancel(Some(reason)), Action::PaymentCancelled).await
}

/// Retry a payment.
///
/// Possible for its initiator when it failed for the bank's sake, or was returned for want of money and has re-presentments
/// left. A refund that names a payment is not tried again when that payment does not cover it any more.
#[utoipa::path(
    post,
    path = "/payments/{payment_id}/retry",
    tag = "payments",
    params(("payment_id" = Uuid, Path)),
    responses((status = 200, body = PaymentView, description = "The payment as it is now"), OfState, OfRole, OfOne, SignedIn, Always),
)]
pub async fn retry_payment(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<PaymentId>,
) -> Result<Json<PaymentView>, ApiError> {
    act(&app, caller, id, Command::Retry, Action::PaymentRetried).await
}

/// A command that only the initiator may give.
async fn act(
    app: &App,
    caller: Caller,
    id: PaymentId,
    command: Command,
    action: Action,
) -> Result<Json<PaymentView>, ApiError> {
    let mut tx = app.db.begin().await?;
    let payment = find(&mut tx, caller, id).await?;
    if payment.terms.initiated_by != caller.user_id {
        return Err(ApiError::forbidden("only who initiated the payment may do this"));
    }
    let instructed: Instructed = instruct::payment(app, id, command, caller.actor(), Some(request_id::current()));
    let recorded = payments::record(&mut tx, &[instructed]).await?.pop();
    match recorded {
        Some(Recorded::Now(payment)) => {
            trail::done(action).to(id).record(&mut tx).await?;
            let view = view(&mut tx, &payment, caller).await?;
            tx.commit().await?;
            app.bell.ring();
            Ok(Json(view))
        }
        Some(Recorded::Rejected(rejection)) => Err(rejection.into()),
        Some(Recorded::Unknown) | None => Err(ApiError::not_found()),
    }
}
