//! What was and is sent to a webhook, and sending it again.

use axum::extract::State;
use axum::response::Response;
use directpay_domain::id::{DeliveryId, WebhookId};
use directpay_domain::invalid::Invalid;
use directpay_domain::time::Instant;
use directpay_domain::trail::Action;
use directpay_domain::webhook::Status;
use directpay_store::Tx;
use directpay_store::webhooks::deliveries::{self, Attempted, Delivery};
use directpay_store::webhooks::lanes::Lane;
use directpay_store::webhooks::{Webhook, fan_out};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{find, find_own, parse_after};
use crate::api::auth::Caller;
use crate::api::created;
use crate::api::error::{ApiError, FieldErrors};
use crate::api::extract::{Id, Ids, Json, List, ListQuery, Query};
use crate::api::problem::{Always, OfList, OfOne, OfState, SignedIn, WithBody};
use crate::app::App;
use crate::trail;
use crate::workers::tell;

/// Attempts that are shown of one delivery.
const ATTEMPTS_MAX: i64 = 50;
/// Deliveries that are sent again by one request.
const RESEND_MAX: i64 = 1_000;

/// An event on its way to a webhook. All its times are real ones, also in a sandbox.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryView {
    /// Which; the receiver finds it in the header `webhook-id`, the same at each attempt.
    id: Uuid,
    /// The position of the event in the feed; null for a test.
    #[schema(example = 1041)]
    position: Option<i64>,
    /// What happened.
    #[schema(example = "payment_completed")]
    event_type: String,
    /// WAITING, DELIVERED, or GIVEN_UP.
    #[schema(example = "DELIVERED")]
    status: &'static str,
    /// How often it was tried.
    #[schema(example = 1)]
    attempts: i64,
    /// When it was put on its way for the first time.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
    /// When it was delivered or given up; null while it waits.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Instant>,
    /// When it is tried next, unless an earlier event of the same payment or lease has to go first; null when it is under way or has ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Instant>,
}

impl DeliveryView {
    fn new(delivery: Delivery) -> DeliveryView {
        DeliveryView {
            id: delivery.id.0,
            position: delivery.position,
            event_type: delivery.event_type,
            status: delivery.status.name(),
            attempts: delivery.attempts,
            created_at: delivery.created_at,
            ended_at: delivery.ended_at,
            next_attempt_at: delivery.due_at,
        }
    }
}

/// A delivery with its body and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryLogView {
    #[serde(flatten)]
    delivery: DeliveryView,
    /// The body, byte for byte as it is sent.
    body: String,
    /// The last 50 attempts, newest first.
    log: Vec<AttemptView>,
}

/// An attempt to deliver.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttemptView {
    /// DELIVERED, REFUSED, TIMED_OUT, UNREACHABLE, or FORBIDDEN where the address is none to send to.
    #[schema(example = "REFUSED")]
    outcome: &'static str,
    /// The status that the receiver answered with; null if it did not.
    #[schema(example = 500)]
    status_code: Option<i64>,
    /// The beginning of its answer, or why there was none.
    detail: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    started_at: Instant,
    /// How long it took, in milliseconds.
    #[schema(example = 118)]
    duration_ms: i64,
}

impl AttemptView {
    fn new(attempt: Attempted) -> AttemptView {
        AttemptView {
            outcome: attempt.outcome.name(),
            status_code: attempt.status_code,
            detail: attempt.detail,
            started_at: attempt.started_at,
            duration_ms: attempt.duration_us / 1_000,
        }
    }
}

/// List what was and is sent to a webhook.
///
/// Newest first. What has ended is kept for 30 days.
#[utoipa::path(
    get,
    path = "/webhooks/{id}/deliveries",
    tag = "webhooks",
    params(("id" = Uuid, Path), ListQuery),
    responses(
        (status = 200, body = List<DeliveryView>, description = "A page of the list"),
        OfList, OfOne, SignedIn, Always,
    ),
)]
pub async fn list_deliveries(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<WebhookId>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<DeliveryView>>, ApiError> {
    let wanted = query.parse()?;
    let mut tx = app.db.begin_read().await?;
    find(&mut tx, caller, id).await?;
    let found = deliveries::list(&mut tx, id, wanted.page()).await?;
    Ok(Json(wanted.list(found, |delivery| delivery.id.0, DeliveryView::new)))
}

/// Read what was sent to a webhook.
///
/// With its body and its attempts.
#[utoipa::path(
    get,
    path = "/webhooks/{id}/deliveries/{delivery_id}",
    tag = "webhooks",
    params(("id" = Uuid, Path), ("delivery_id" = Uuid, Path)),
    responses((status = 200, body = DeliveryLogView, description = "The delivery"), OfOne, SignedIn, Always),
)]
pub async fn read_delivery(
    State(app): State<App>,
    caller: Caller,
    Ids(id, delivery_id): Ids<WebhookId, DeliveryId>,
) -> Result<Json<DeliveryLogView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    find(&mut tx, caller, id).await?;
    let delivery = deliveries::find(&mut tx, id, delivery_id).await?.ok_or_else(ApiError::not_found)?;
    let log = deliveries::attempts(&mut tx, delivery_id, ATTEMPTS_MAX).await?;
    let body = delivery.body.clone();
    let log = log.into_iter().map(AttemptView::new).collect();
    Ok(Json(DeliveryLogView { delivery: DeliveryView::new(delivery), body, log }))
}

/// Send something to a webhook again.
///
/// The same bytes under the same `webhook-id`, with all attempts before it. What waits is tried at once.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/deliveries/{delivery_id}/resend",
    tag = "webhooks",
    params(("id" = Uuid, Path), ("delivery_id" = Uuid, Path)),
    responses((status = 200, body = DeliveryView, description = "The delivery as it is now"), OfOne, SignedIn, Always),
)]
pub async fn resend_delivery(
    State(app): State<App>,
    caller: Caller,
    Ids(id, delivery_id): Ids<WebhookId, DeliveryId>,
) -> Result<Json<DeliveryView>, ApiError> {
    let mut tx = app.db.begin().await?;
    find_own(&mut tx, caller, id).await?;
    let found = deliveries::find(&mut tx, id, delivery_id).await?.ok_or_else(ApiError::not_found)?;
    let lane = Lane { webhook_id: id, stream_id: found.stream_id };
    deliveries::resend(&mut tx, &[(delivery_id, lane)], app.clock.process_us()).await?;
    trail::done(Action::WebhookResent).to(id).with(json!({"delivery_id": delivery_id})).record(&mut tx).await?;
    let delivery = deliveries::find(&mut tx, id, delivery_id).await?.ok_or_else(ApiError::not_found)?;
    tx.commit().await?;
    Ok(Json(DeliveryView::new(delivery)))
}

/// A part of the feed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResendRange {
    /// The position behind which it begins.
    #[schema(minimum = 0, example = 1041)]
    after: i64,
    /// The last position.
    #[schema(minimum = 0, example = 1140)]
    through: i64,
}

/// What was put on its way again.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResentView {
    /// How many deliveries.
    #[schema(example = 12)]
    resent: usize,
    /// Go on behind this position if it is not the last one that was asked for.
    #[schema(example = 1140)]
    through: i64,
}

/// Send a part of the feed to a webhook again.
///
/// Everything that was delivered or given up between two positions and is still kept, 1000 deliveries at most. The same bytes
/// under the same ids, those of a payment in their order.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/resend",
    tag = "webhooks",
    params(("id" = Uuid, Path)),
    request_body = ResendRange,
    responses(
        (status = 200, body = ResentView, description = "How much that is"),
        WithBody, OfOne, SignedIn, Always,
    ),
)]
pub async fn resend_range(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<WebhookId>,
    Json(ResendRange { after, through }): Json<ResendRange>,
) -> Result<Json<ResentView>, ApiError> {
    let mut errors = FieldErrors::default();
    errors.take("after", parse_after(after));
    if through < after {
        errors.add("through", Invalid::new("before_after", "lies before `after`"));
    }
    if !errors.is_empty() {
        return Err(errors.into_error());
    }
    let mut tx = app.db.begin().await?;
    find_own(&mut tx, caller, id).await?;
    let found = deliveries::ended_between(&mut tx, id, after, through, RESEND_MAX).await?;
    let is_part = i64::try_from(found.len()).is_ok_and(|count| count == RESEND_MAX);
    let last = found.last().filter(|_| is_part).map_or(through, |found| found.position);
    let again: Vec<_> = found.iter().map(|found| (found.id, found.lane)).collect();
    let resent = deliveries::resend(&mut tx, &again, app.clock.process_us()).await?;
    let details = json!({"after": after, "through": last});
    if 0 < resent {
        trail::done(Action::WebhookResent).to(id).with(details).record(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(Json(ResentView { resent, through: last }))
}

/// Send a test to a webhook.
///
/// An event of type `webhook_test`, whatever types are wanted, signed and tried as any other. Reading the delivery tells what came of it.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/test",
    tag = "webhooks",
    params(("id" = Uuid, Path)),
    responses(
        (status = 201, body = DeliveryView, description = "On its way", headers(("Location" = String))),
        OfOne, OfState, SignedIn, Always,
    ),
)]
pub async fn test_webhook(State(app): State<App>, caller: Caller, Id(id): Id<WebhookId>) -> Result<Response, ApiError> {
    let mut tx = app.db.begin().await?;
    let webhook = find_own(&mut tx, caller, id).await?;
    must_be_enabled(&webhook)?;
    let delivery = put_test(&app, &mut tx, id).await?;
    trail::done(Action::WebhookTested).to(id).record(&mut tx).await?;
    tx.commit().await?;
    Ok(created(&format!("/api/v1/webhooks/{id}/deliveries/{}", delivery.id), DeliveryView::new(delivery)))
}

fn must_be_enabled(webhook: &Webhook) -> Result<(), ApiError> {
    if webhook.status == Status::Enabled {
        return Ok(());
    }
    let detail = "nothing is sent to this webhook; resume it first";
    Err(ApiError::wrong_status("wrong_status", webhook.status.name(), detail))
}

async fn put_test(app: &App, tx: &mut Tx, id: WebhookId) -> Result<Delivery, ApiError> {
    let test = tell::test_message(id, app.clock.business()).map_err(|error| ApiError::internal(&error))?;
    let delivery_id = test.id;
    fan_out::insert(tx, &[test], app.clock.process_us()).await?;
    deliveries::find(tx, id, delivery_id).await?.ok_or_else(ApiError::not_found)
}
