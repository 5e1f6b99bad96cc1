//! A payment's history, as it is shown.

use axum::extract::State;
use directpay_domain::id::PaymentId;
use directpay_domain::payment::{AccountSnapshot, Actor, Event, Payment, Reason, Status};
use directpay_domain::time::Instant;
use directpay_store::feed::Parties;
use directpay_store::{events, users};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::view::{Hidden, PaymentView};
use super::{find, view};
use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::extract::{Id, Json, Query};
use crate::api::problem::{Always, OfList, OfOne, SignedIn};
use crate::app::App;

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
    pub event_type: &'static str,
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
    /// The person's API key, where a program acted by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    api_key_id: Option<Uuid>,
    /// The program of somebody else's, where one acted because the person let it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    oauth_client_id: Option<Uuid>,
}

/// Why.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReasonView {
    /// The field's own code, or ours.
    #[schema(example = "R01")]
    pub code: String,
    /// For people.
    #[schema(example = "Insufficient funds")]
    pub text: String,
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
    /// Which account; null where it is another renter's, and so are the others.
    account_id: Option<Uuid>,
    /// The last four digits of its number.
    #[schema(example = "6789")]
    last4: Option<String>,
    /// The name of its bank.
    #[schema(example = "First Rental Bank")]
    bank_name: Option<String>,
}

impl AccountSnapshotView {
    fn new(account: AccountSnapshot, is_hidden: bool) -> AccountSnapshotView {
        let seen = (!is_hidden).then_some(account);
        AccountSnapshotView {
            account_id: seen.as_ref().map(|account| account.account_id.0),
            last4: seen.as_ref().map(|account| account.last4.clone()),
            bank_name: seen.map(|account| account.bank_name),
        }
    }
}

impl EventView {
    /// What `caller` sees of an event of a payment between `parties`.
    pub fn of(event: &Event, parties: Option<Parties>, names: &[users::Named], caller: Caller) -> EventView {
        // An event of no payment is damage, which nobody but administrators is shown.
        let everything = Hidden { payer: true, payee: true, notes: true };
        EventView::new(event.clone(), names, parties.map_or(everything, |parties| Hidden::between(parties, caller)))
    }

    fn new(event: Event, names: &[users::Named], hidden: Hidden) -> EventView {
        let (kind, name) = match &event.actor {
            Actor::User { id, .. } => {
                ("USER", names.iter().find(|named| named.id == id.0).map(|named| named.full_name.clone()))
            }
            Actor::System { .. } => ("SYSTEM", None),
        };
        EventView {
            id: event.id.0,
            sequence: event.sequence,
            event_type: event.change.event_type().name(),
            previous_status: event.previous_status.map(Status::name),
            status: event.status.name(),
            occurred_at: event.occurred_at,
            actor: ActorView {
                kind,
                id: event.actor_id(),
                name,
                api_key_id: event.actor.api_key_id().map(|id| id.0),
                oauth_client_id: event.actor.oauth_client_id().map(|id| id.0),
            },
            request_id: event.request_id,
            reason: event.reason.map(|Reason { code, text }| ReasonView { code, text }),
            metadata: SnapshotView {
                amount: event.metadata.amount,
                currency: event.metadata.currency.code(),
                rail: event.metadata.rail.name(),
                attempt: event.metadata.attempt,
                lease_id: event.metadata.lease_id.0,
                payer: AccountSnapshotView::new(event.metadata.payer, hidden.payer),
                payee: AccountSnapshotView::new(event.metadata.payee, hidden.payee),
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
    responses((status = 200, body = HistoryView, description = "The history"), OfList, OfOne, SignedIn, Always),
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
    // A prefix: clocks of several machines may disagree, the order of the events does not.
    let later = events.iter().position(|event| at.is_some_and(|at| at < event.occurred_at));
    events.truncate(later.unwrap_or(events.len()));
    if events.is_empty() {
        return Err(ApiError::not_found());
    }
    let people: Vec<_> = events.iter().filter_map(Event::acting_user).collect();
    let names = users::names(&mut tx, &people).await?;
    let payment = Payment::fold(&events).map_err(|invalid| ApiError::internal(&invalid))?;
    let hidden = Hidden::of(&payment, caller);
    let is_past = at.is_some_and(|at| at < app.clock.business());
    let view = if is_past { PaymentView::new(&payment, caller) } else { view(&mut tx, &payment, caller).await? };
    Ok(Json(HistoryView {
        payment_id: id.0,
        event_count: events.len(),
        events: events.into_iter().map(|event| EventView::new(event, &names, hidden)).collect(),
        payment: view,
    }))
}
