//! A lease's history, as it is shown.

use axum::extract::State;
use directpay_domain::id::LeaseId;
use directpay_domain::lease_event::LeaseEvent;
use directpay_domain::payment::{Actor, Reason};
use directpay_domain::time::Instant;
use directpay_store::events;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::find_visible;
use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::extract::{Id, Json, Query};
use crate::api::payments::history::ReasonView;
use crate::api::problem::{Always, OfList, OfOne, SignedIn};
use crate::app::App;

/// Events in one answer.
const PAGE: usize = 100;

/// A part of a lease's history.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeaseHistoryView {
    /// Which lease.
    lease_id: Uuid,
    /// Oldest first.
    events: Vec<LeaseEventView>,
    /// The number to ask on with as `after`; null where there is nothing more.
    next_after: Option<i64>,
}

/// One immutable fact.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeaseEventView {
    /// Which fact.
    id: Uuid,
    /// 1, 2, 3 … without gaps.
    sequence: i64,
    /// What happened.
    #[schema(example = "charge_posted")]
    pub event_type: &'static str,
    /// What only this kind of fact knows.
    #[schema(value_type = Object)]
    change: Value,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Instant,
    /// USER or SYSTEM.
    #[schema(example = "SYSTEM")]
    actor_type: &'static str,
    /// The person's id, or the component's name.
    actor_id: String,
    /// The person's API key, where a program acted by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    actor_api_key_id: Option<Uuid>,
    /// The program of somebody else's, where one acted because the person let it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    actor_oauth_client_id: Option<Uuid>,
    /// The request that led to it, if one did.
    request_id: Option<String>,
    /// Why, where there is a why.
    reason: Option<ReasonView>,
}

impl LeaseEventView {
    /// What everybody on the lease sees of it.
    pub fn new(event: LeaseEvent) -> Result<LeaseEventView, ApiError> {
        let mut written = serde_json::to_value(&event.change).map_err(|error| ApiError::internal(&error))?;
        let (actor_type, actor_id) = match &event.actor {
            Actor::User { id, .. } => ("USER", id.to_string()),
            Actor::System { id } => ("SYSTEM", id.clone()),
        };
        Ok(LeaseEventView {
            id: event.id.0,
            sequence: event.sequence,
            event_type: event.change.event_type().name(),
            change: written.get_mut("change").map(Value::take).unwrap_or_default(),
            occurred_at: event.occurred_at,
            actor_type,
            actor_id,
            actor_api_key_id: event.actor.api_key_id().map(|id| id.0),
            actor_oauth_client_id: event.actor.oauth_client_id().map(|id| id.0),
            request_id: event.request_id,
            reason: event.reason.map(|Reason { code, text }| ReasonView { code, text }),
        })
    }
}

/// Where to read on.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AfterQuery {
    /// The number of the last event that the caller has; from the beginning if omitted.
    #[param(example = 100)]
    after: Option<i64>,
}

/// Read a lease's history.
///
/// For the parties of the lease and administrators: what was agreed, charged, taken back and let off, by whom and why. Payments
/// have histories of their own.
#[utoipa::path(
    get,
    path = "/leases/{id}/history",
    tag = "leases",
    params(("id" = Uuid, Path), AfterQuery),
    responses((status = 200, body = LeaseHistoryView, description = "Up to a hundred events"), OfList, OfOne, SignedIn, Always),
)]
pub async fn read_lease_history(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    Query(query): Query<AfterQuery>,
) -> Result<Json<LeaseHistoryView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    find_visible(&mut tx, caller, id).await?;
    let limit = i64::try_from(PAGE).unwrap_or(1);
    let events = events::lease_history(&mut tx, id, query.after.unwrap_or(0).max(0), limit).await?;
    let next_after = events.last().filter(|_| events.len() == PAGE).map(|event| event.sequence);
    let events = events.into_iter().map(LeaseEventView::new).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(LeaseHistoryView { lease_id: id.0, events, next_after }))
}
