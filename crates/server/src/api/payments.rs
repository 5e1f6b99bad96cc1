//! Payments: initiated here, carried out by the workers.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directpay_domain::id::{BankAccountId, LeaseId, PaymentId};
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::invalid::Invalid;
use directpay_domain::metadata::Metadata;
use directpay_domain::money::Currency;
use directpay_domain::payment::initiate::Initiation;
use directpay_domain::payment::{Actor, Command, Event, NewEvent, Payment, Reason, Status};
use directpay_domain::rail::Rail;
use directpay_domain::time::Instant;
use directpay_domain::user::Role;
use directpay_store::payments::{self, Filter, Fresh, Initiated, Instructed, Outcome, Recorded};
use directpay_store::{Tx, events, leases, users};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::amount::AmountInput;
use super::auth::Caller;
use super::error::{Always, ApiError, FieldErrors, OfList, OfOne, OfRole, OfState, SignedIn, WithBody};
use super::extract::{Id, Json, KeyHeader, List, ListQuery, Query};
use super::json_object::JsonObject;
use super::{created, request_id};
use crate::app::App;
use crate::clock;
use crate::instruct;

/// A new payment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InitiatePayment {
    /// The lease on which is paid.
    lease_id: String,
    /// How much, in the currency's own number of decimals.
    amount: AmountInput,
    /// INSTANT, SAME_DAY_ACH, STANDARD_ACH or WIRE; STANDARD_ACH if omitted.
    #[schema(example = "INSTANT")]
    #[serde(alias = "payment_rail_type")]
    rail: Option<String>,
    /// From which of the caller's accounts; the primary one if omitted.
    payer_account_id: Option<String>,
    /// To which account of the other party; the lease's receiving account or the primary one if omitted.
    payee_account_id: Option<String>,
    /// The lease's if omitted.
    #[schema(example = "USD")]
    currency: Option<String>,
    /// The caller's name for this request, unless it is in the header `Idempotency-Key`.
    #[schema(example = "rent-2026-03", min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
    /// The caller's notes: at most 50 keys and 4 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<JsonObject>,
}

impl InitiatePayment {
    fn parse(self, caller: Caller, key: IdempotencyKey) -> Result<Initiation, ApiError> {
        let mut errors = FieldErrors::default();
        let not_found = |_| Invalid::new("not_found", "is nothing that this payment can use");
        let currency = errors.take_optional("currency", self.currency.as_deref(), Currency::parse);
        let stated = currency.flatten().unwrap_or(Currency::USD);
        let lease_id = errors.take("lease_id", self.lease_id.parse::<LeaseId>().map_err(not_found));
        let amount = errors.take("amount", self.amount.parse(stated));
        let rail = errors.take_optional("rail", self.rail.as_deref(), Rail::parse);
        let mut account = |field, text: Option<String>| {
            errors.take_optional(field, text, |text: String| text.parse::<BankAccountId>().map_err(not_found))
        };
        let payer_account_id = account("payer_account_id", self.payer_account_id);
        let payee_account_id = account("payee_account_id", self.payee_account_id);
        let metadata =
            errors.take_optional("metadata", self.metadata, |object: JsonObject| Metadata::parse(object.0));
        let (Some(lease_id), Some(amount), Some(rail)) = (lease_id, amount, rail) else {
            return Err(errors.into_error());
        };
        match (currency, payer_account_id, payee_account_id, metadata) {
            (Some(currency), Some(payer_account_id), Some(payee_account_id), Some(metadata)) => Ok(Initiation {
                initiated_by: caller.user_id,
                idempotency_key: key,
                lease_id,
                amount,
                rail: rail.unwrap_or(Rail::DEFAULT),
                payer_account_id,
                payee_account_id,
                currency,
                metadata,
            }),
            _ => Err(errors.into_error()),
        }
    }
}

/// A payment as it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentView {
    /// Which payment.
    id: Uuid,
    /// The lease on which is paid.
    lease_id: Uuid,
    /// RENT from a renter, REFUND from the landlord.
    #[schema(example = "RENT")]
    kind: &'static str,
    /// Where the money comes from.
    payer_account_id: Uuid,
    /// Where it goes.
    payee_account_id: Uuid,
    /// With all decimals of the currency.
    #[schema(example = "1500.00")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// How it moves.
    #[schema(example = "INSTANT")]
    rail: &'static str,
    /// PENDING, PROCESSING, COMPLETED, FAILED, RETURNED or CANCELLED.
    #[schema(example = "PENDING")]
    status: &'static str,
    /// Why, while FAILED or RETURNED.
    #[schema(example = "R01")]
    failure_code: Option<String>,
    /// Why, for people.
    failure_reason: Option<String>,
    /// Attempts after the first.
    retry_count: i64,
    /// The initiator's name for the request.
    idempotency_key: String,
    /// The initiator's notes.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// Who asked for it.
    initiated_by: Uuid,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    initiated_at: Instant,
    /// When it was last handed to the bank.
    #[schema(value_type = Option<String>, format = DateTime)]
    processing_at: Option<Instant>,
    /// When the bank last settled it.
    #[schema(value_type = Option<String>, format = DateTime)]
    completed_at: Option<Instant>,
    /// When it last failed.
    #[schema(value_type = Option<String>, format = DateTime)]
    failed_at: Option<Instant>,
    /// When it was last returned.
    #[schema(value_type = Option<String>, format = DateTime)]
    returned_at: Option<Instant>,
    /// When it was withdrawn.
    #[schema(value_type = Option<String>, format = DateTime)]
    cancelled_at: Option<Instant>,
    /// When the money arrives or arrived, as far as is known.
    #[schema(value_type = String, format = DateTime)]
    estimated_settlement_at: Instant,
    /// Until when the payer's bank may take it back; null where it cannot.
    #[schema(value_type = Option<String>, format = DateTime)]
    returnable_until: Option<Instant>,
    /// The number of its events.
    #[schema(example = 1)]
    version: i64,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
}

impl From<Payment> for PaymentView {
    fn from(payment: Payment) -> PaymentView {
        let retry_count = payment.retry_count();
        let returnable_until = payment.returnable_until();
        let terms = payment.terms;
        let (failure_code, failure_reason) = payment.failure.map(|Reason { code, text }| (code, text)).unzip();
        PaymentView {
            id: terms.id.0,
            lease_id: terms.lease_id.0,
            kind: terms.kind.name(),
            payer_account_id: terms.payer.account_id.0,
            payee_account_id: terms.payee.account_id.0,
            amount: terms.amount.to_string(),
            currency: terms.amount.currency().code(),
            rail: terms.rail.name(),
            status: payment.status.name(),
            failure_code,
            failure_reason,
            retry_count,
            idempotency_key: terms.idempotency_key.as_str().to_owned(),
            metadata: terms.metadata.as_object().clone(),
            initiated_by: terms.initiated_by.0,
            initiated_at: terms.initiated_at,
            processing_at: payment.processing_at,
            completed_at: payment.completed_at,
            failed_at: payment.failed_at,
            returned_at: payment.returned_at,
            cancelled_at: payment.cancelled_at,
            estimated_settlement_at: payment.estimated_settlement_at,
            returnable_until,
            version: payment.version,
            created_at: terms.initiated_at,
        }
    }
}

/// Initiate a payment.
///
/// Stores the payment as PENDING and answers at once; workers hand it to the bank. Repeating the request with the same
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
    let fresh = Fresh {
        payment_id: PaymentId(clock::new_id()),
        event: NewEvent {
            id: clock::new_id().into(),
            occurred_at: app.clock.business(),
            actor: Actor::User(caller.user_id),
            request_id: Some(request_id::current()),
        },
        at: app.clock.circumstances(app.scale),
        initiation,
    };
    match app.intake.submit(fresh).await? {
        Outcome::Initiated(initiated) => Ok(answer(*initiated)),
        Outcome::KeyReused(payment_id) => Err(ApiError::idempotency_key_reused(payment_id)),
        Outcome::Refused(broken) => {
            let mut errors = FieldErrors::default();
            broken.into_iter().for_each(|(field, invalid)| errors.add(field, invalid));
            Err(errors.into_error())
        }
    }
}

fn answer(Initiated { payment, replayed }: Initiated) -> Response {
    let location = format!("/api/v1/payments/{}", payment.terms.id);
    let view = PaymentView::from(payment);
    if replayed {
        (StatusCode::OK, [("Idempotent-Replayed", "true")], Json(view)).into_response()
    } else {
        created(&location, view)
    }
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
#[utoipa::path(
    get,
    path = "/payments/{payment_id}",
    tag = "payments",
    params(("payment_id" = Uuid, Path)),
    responses((status = 200, body = PaymentView), OfOne, SignedIn, Always),
)]
pub async fn read_payment(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<PaymentId>,
) -> Result<Json<PaymentView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    Ok(Json(find(&mut tx, caller, id).await?.into()))
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
    responses((status = 200, body = List<PaymentView>), OfList, SignedIn, Always),
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
    let mut tx = app.db.begin_read().await?;
    let found = match (key, caller.role) {
        (Some(key), _) => payments::find_by_key(&mut tx, caller.user_id, &key).await?.into_iter().collect(),
        (None, Role::Landlord) => payments::list_by_landlord(&mut tx, caller.user_id, wanted.page()).await?,
        (None, Role::Renter) => payments::list_by_renter(&mut tx, caller.user_id, wanted.page()).await?,
        (None, Role::Admin) => Vec::new(),
    };
    Ok(Json(wanted.list(found, |payment| payment.terms.id.0, PaymentView::from)))
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
    responses((status = 200, body = List<PaymentView>), OfList, OfOne, SignedIn, Always),
)]
pub async fn list_payments_of_lease(
    State(app): State<App>,
    caller: Caller,
    Id(lease_id): Id<LeaseId>,
    Query(query): Query<ListQuery>,
    Query(filter): Query<FilterQuery>,
) -> Result<Json<List<PaymentView>>, ApiError> {
    let (wanted, filter) = (query.parse()?, filter.parse()?);
    let mut tx = app.db.begin_read().await?;
    let lease = match caller.role {
        Role::Admin => leases::find(&mut tx, lease_id).await?,
        Role::Landlord | Role::Renter => leases::find_for_party(&mut tx, caller.user_id, lease_id).await?,
    };
    lease.ok_or_else(ApiError::not_found)?;
    let found = payments::list_for_lease(&mut tx, lease_id, filter, wanted.page()).await?;
    Ok(Json(wanted.list(found, |payment| payment.terms.id.0, PaymentView::from)))
}

/// A payment's history.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryView {
    /// Which payment.
    payment_id: Uuid,
    /// How many events there are.
    event_count: usize,
    /// Oldest first.
    events: Vec<EventView>,
    /// What the events add up to.
    payment: PaymentView,
}

/// One immutable fact.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    /// Which fact.
    id: Uuid,
    /// 1, 2, 3 … without gaps.
    sequence: i64,
    /// What happened.
    #[schema(example = "payment_initiated")]
    event_type: &'static str,
    /// Where the payment stood before; null at its beginning.
    previous_status: Option<&'static str>,
    /// Where it stands since.
    #[schema(example = "PENDING")]
    status: &'static str,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Instant,
    /// Who.
    actor: ActorView,
    /// The request that led to it, if one did.
    request_id: Option<String>,
    /// Why, where there is a why.
    reason: Option<ReasonView>,
    /// What the payment was at that moment.
    metadata: SnapshotView,
}

/// Who did it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActorView {
    /// USER or SYSTEM.
    #[serde(rename = "type")]
    #[schema(example = "USER")]
    kind: &'static str,
    /// The person's id, or the component's name.
    id: String,
    /// The person's name as it is today; null for a component.
    name: Option<String>,
}

/// Why.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReasonView {
    /// The field's own code, or ours.
    #[schema(example = "R01")]
    code: String,
    /// For people.
    #[schema(example = "Insufficient funds")]
    text: String,
}

/// What a payment was at the moment of an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct SnapshotView {
    /// With all decimals of the currency.
    #[schema(example = "1500.00")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// How it moves.
    #[schema(example = "INSTANT")]
    rail: &'static str,
    /// Which attempt is next, under way or was the last.
    #[schema(example = 1)]
    attempt: i64,
    /// The lease.
    lease_id: Uuid,
    /// Where the money comes from.
    payer: AccountSnapshotView,
    /// Where it goes.
    payee: AccountSnapshotView,
    /// The attempt's name at the bank; null before any hand-over.
    bank_reference: Option<String>,
}

/// What a history shows of a bank account.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountSnapshotView {
    /// Which account.
    account_id: Uuid,
    /// The last four digits of its number.
    #[schema(example = "6789")]
    last4: String,
    /// The name of its bank.
    #[schema(example = "First Rental Bank")]
    bank_name: String,
}

impl EventView {
    fn new(event: Event, names: &[users::Named]) -> EventView {
        let (kind, name) = match &event.actor {
            Actor::User(user) => {
                ("USER", names.iter().find(|named| named.id == user.0).map(|named| named.full_name.clone()))
            }
            Actor::System(_) => ("SYSTEM", None),
        };
        let account = |of: directpay_domain::payment::AccountSnapshot| AccountSnapshotView {
            account_id: of.account_id.0,
            last4: of.last4,
            bank_name: of.bank_name,
        };
        EventView {
            id: event.id.0,
            sequence: event.sequence,
            event_type: event.change.event_type().name(),
            previous_status: event.previous_status.map(Status::name),
            status: event.status.name(),
            occurred_at: event.occurred_at,
            actor: ActorView { kind, id: event.actor_id(), name },
            request_id: event.request_id,
            reason: event.reason.map(|Reason { code, text }| ReasonView { code, text }),
            metadata: SnapshotView {
                amount: event.metadata.amount,
                currency: event.metadata.currency.code(),
                rail: event.metadata.rail.name(),
                attempt: event.metadata.attempt,
                lease_id: event.metadata.lease_id.0,
                payer: account(event.metadata.payer),
                payee: account(event.metadata.payee),
                bank_reference: event.metadata.bank_reference.map(|reference| reference.to_string()),
            },
        }
    }
}

/// Looking back.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AtQuery {
    /// Gives the events up to this time and the payment as it was then.
    #[param(example = "2026-03-01T12:00:00Z")]
    at: Option<String>,
}

/// Read a payment's history.
///
/// Every change of its state, and what they add up to; with `at` as of that time.
#[utoipa::path(
    get,
    path = "/payments/{payment_id}/history",
    tag = "payments",
    params(("payment_id" = Uuid, Path), AtQuery),
    responses((status = 200, body = HistoryView), OfList, OfOne, SignedIn, Always),
)]
pub async fn read_history(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<PaymentId>,
    Query(query): Query<AtQuery>,
) -> Result<Json<HistoryView>, ApiError> {
    let at = query.at.as_deref().map(Instant::parse).transpose();
    let at = at.map_err(|invalid| ApiError::bad_query("at", invalid))?;
    let mut tx = app.db.begin_read().await?;
    find(&mut tx, caller, id).await?;
    let mut events = events::history(&mut tx, id).await?;
    events.retain(|event| at.is_none_or(|at| event.occurred_at <= at));
    if events.is_empty() {
        return Err(ApiError::not_found());
    }
    let people: Vec<_> = events.iter().filter_map(Event::acting_user).collect();
    let names = users::names(&mut tx, &people).await?;
    let payment = Payment::fold(&events).map_err(|invalid| ApiError::internal(&invalid))?;
    Ok(Json(HistoryView {
        payment_id: id.0,
        event_count: events.len(),
        events: events.into_iter().map(|event| EventView::new(event, &names)).collect(),
        payment: payment.into(),
    }))
}

/// Cancel a payment.
///
/// Possible for its initiator while it is PENDING.
#[utoipa::path(
    post,
    path = "/payments/{payment_id}/cancel",
    tag = "payments",
    params(("payment_id" = Uuid, Path)),
    responses((status = 200, body = PaymentView), OfState, OfRole, OfOne, SignedIn, Always),
)]
pub async fn cancel_payment(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<PaymentId>,
) -> Result<Json<PaymentView>, ApiError> {
    let reason = Reason::new("CANCELLED_BY_INITIATOR", "Cancelled by its initiator");
    act(&app, caller, id, Command::Cancel(Some(reason))).await
}

/// Retry a payment.
///
/// Possible for its initiator when it failed for the bank's sake, or was returned for want of money and has re-presentments
/// left.
#[utoipa::path(
    post,
    path = "/payments/{payment_id}/retry",
    tag = "payments",
    params(("payment_id" = Uuid, Path)),
    responses((status = 200, body = PaymentView), OfState, OfRole, OfOne, SignedIn, Always),
)]
pub async fn retry_payment(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<PaymentId>,
) -> Result<Json<PaymentView>, ApiError> {
    act(&app, caller, id, Command::Retry).await
}

/// A command that only the initiator may give.
async fn act(app: &App, caller: Caller, id: PaymentId, command: Command) -> Result<Json<PaymentView>, ApiError> {
    let mut tx = app.db.begin().await?;
    let payment = find(&mut tx, caller, id).await?;
    if payment.terms.initiated_by != caller.user_id {
        return Err(ApiError::forbidden("only who initiated the payment may do this"));
    }
    let instructed: Instructed =
        instruct::payment(app, id, command, Actor::User(caller.user_id), Some(request_id::current()));
    let recorded = payments::record(&mut tx, &[instructed]).await?.pop();
    match recorded {
        Some(Recorded::Now(payment)) => {
            tx.commit().await?;
            app.bell.ring();
            Ok(Json((*payment).into()))
        }
        Some(Recorded::Rejected(rejection)) => Err(rejection.into()),
        Some(Recorded::Unknown) | None => Err(ApiError::not_found()),
    }
}
