//! Webhooks: addresses that are told of events as they happen.
//!
//! What signs is in one answer only: that of making a webhook, or of changing its secret. It is kept sealed, and nothing
//! shows it again: who lost it changes it, and for a day both hold.

pub mod deliveries;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use directpay_domain::id::WebhookId;
use directpay_domain::invalid::Invalid;
use directpay_domain::text::Line;
use directpay_domain::time::{DAY_US, Instant};
use directpay_domain::trail::Action;
use directpay_domain::webhook::{DisabledBecause, EventTypes, Status};
use directpay_store::webhooks::{self, NewWebhook, Signer, Webhook};
use directpay_store::{Tx, users};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::auth::Caller;
use super::created;
use super::error::{ApiError, FieldErrors};
use super::extract::{Id, Json, List, ListQuery, Query};
use super::problem::{Always, OfList, OfOne, OfState, SignedIn, WithBody};
use crate::app::App;
use crate::clock;
use crate::trail;
use crate::webhooks::addresses::{Allowed, Target};
use crate::webhooks::signing::Secret;

/// The most webhooks of one person.
const WEBHOOKS_MAX: i64 = 10;
/// For how long what signed before the last change signs as well.
const OVERLAP_US: i64 = DAY_US;

/// A webhook to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWebhook {
    /// Where events are sent: a public address that begins with `https://`.
    #[schema(example = "https://example.com/directpay", max_length = 2048)]
    url: String,
    /// The types of events that are sent, as the feed names them; all if omitted or empty.
    #[schema(example = json!(["payment_completed", "payment_failed", "payment_returned"]))]
    event_types: Option<Vec<String>>,
    /// What it is for, for its owner.
    #[schema(example = "Accounting", min_length = 1, max_length = 200)]
    description: Option<String>,
    /// The position in the feed behind which it begins, to be told what was, too; now if omitted.
    #[schema(minimum = 0, example = 1041)]
    after: Option<i64>,
}

/// What changes; what is omitted stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateWebhook {
    /// Where events are sent from now on.
    #[schema(example = "https://example.com/directpay", max_length = 2048)]
    url: Option<String>,
    /// The types of events that are sent from now on; all if empty.
    #[schema(example = json!(["payment_completed"]))]
    event_types: Option<Vec<String>>,
    /// What it is for.
    #[schema(example = "Accounting", min_length = 1, max_length = 200)]
    description: Option<String>,
}

fn parse_url(text: &str, allowed: &Allowed) -> Result<String, Invalid> {
    Target::parse(text, allowed).map(|target| target.url.into())
}

fn parse_description(text: &str) -> Result<String, Invalid> {
    Line::parse(text).map(Line::into_string)
}

fn parse_after(position: i64) -> Result<i64, Invalid> {
    if position < 0 {
        return Err(Invalid::new("out_of_range", "must be a position of the feed: a whole number from 0"));
    }
    Ok(position)
}

/// A webhook. All its times are real ones, also in a sandbox.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookView {
    /// Which.
    id: Uuid,
    /// Whose: it is told what that person may see.
    user_id: Uuid,
    /// Where events are sent.
    #[schema(example = "https://example.com/directpay")]
    url: String,
    /// The types of events that are sent; all if empty.
    #[schema(example = json!(["payment_completed"]))]
    event_types: Vec<&'static str>,
    /// What it is for; null if nobody said.
    description: Option<String>,
    /// ENABLED, PAUSED by its owner, or DISABLED.
    #[schema(example = "ENABLED")]
    status: &'static str,
    /// Why it is DISABLED: GONE if the receiver answered 410, FAILING after five days of nothing but failures; null otherwise.
    disabled_because: Option<&'static str>,
    /// The position in the feed behind which it began.
    after: i64,
    /// The public key by which signatures of version `v1a` are verified.
    #[schema(example = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=")]
    public_key: String,
    /// The one before; null unless it still signs as well.
    previous_public_key: Option<String>,
    /// Until when what signed before signs as well; null if nothing does.
    #[schema(value_type = Option<String>, format = DateTime)]
    previous_until: Option<Instant>,
    /// Since when nothing was delivered although it was tried; null if all is well.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Instant>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
}

impl WebhookView {
    fn new(webhook: Webhook, now: Instant) -> WebhookView {
        let previous = webhook.previous.filter(|previous| now < previous.until);
        let previous_until = previous.as_ref().map(|previous| previous.until);
        WebhookView {
            id: webhook.id.0,
            user_id: webhook.user_id.0,
            url: webhook.url,
            event_types: webhook.event_types.names().to_vec(),
            description: Some(webhook.description).filter(|text| !text.is_empty()),
            status: webhook.status.name(),
            disabled_because: webhook.disabled_because.map(DisabledBecause::name),
            after: webhook.begins_after,
            public_key: webhook.public_key,
            previous_public_key: previous.map(|previous| previous.public_key),
            previous_until,
            failing_since: webhook.failing_since,
            created_at: webhook.created_at,
        }
    }
}

/// A webhook with what signs.
#[derive(Serialize, ToSchema)]
pub struct WebhookSecretView {
    /// The secret by which signatures of version `v1` are verified. It is shown this once.
    #[schema(example = "whsec_…")]
    secret: String,
    #[serde(flatten)]
    view: WebhookView,
}

/// What signs for a webhook, as it is shown and as it is kept.
fn draw(app: &App, id: WebhookId) -> Result<(String, Signer), ApiError> {
    let secret = Secret::draw().map_err(|error| ApiError::internal(&error))?;
    let sealed = secret.seal(&app.vault, id)?;
    Ok((secret.shared_text(), Signer { secret: sealed, public_key: secret.public_text() }))
}

/// Now, for what no sandbox can hurry.
fn real_now(app: &App) -> Result<Instant, ApiError> {
    Instant::from_micros(app.clock.process_us()).map_err(|invalid| ApiError::internal(&invalid))
}

/// Make a webhook.
///
/// From now on, or from behind a position in the feed, events that the caller may see are sent to `url`, signed, at least once each,
/// those of a payment in their order. The answer shows the secret, and nothing shows it again; therefore no idempotency key
/// is taken. A person has up to 10.
#[utoipa::path(
    post,
    path = "/webhooks/",
    tag = "webhooks",
    request_body = CreateWebhook,
    responses(
        (status = 201, body = WebhookSecretView, description = "Made", headers(("Location" = String))),
        WithBody, OfState, SignedIn, Always,
    ),
)]
pub async fn create_webhook(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<CreateWebhook>,
) -> Result<Response, ApiError> {
    let mut errors = FieldErrors::default();
    let url = errors.take("url", parse_url(&request.url, &app.webhook_allow));
    let event_types = errors.take("event_types", EventTypes::parse(&request.event_types.unwrap_or_default()));
    let description = errors.take_optional("description", request.description.as_deref(), parse_description);
    let after = errors.take_optional("after", request.after, parse_after);
    let (Some(url), Some(event_types), Some(description), Some(begins_after)) = (url, event_types, description, after)
    else {
        return Err(errors.into_error());
    };
    let (now, id) = (real_now(&app)?, WebhookId(clock::new_id()));
    let (secret, signer) = draw(&app, id)?;
    let new = NewWebhook {
        id,
        user_id: caller.user_id,
        url,
        description: description.unwrap_or_default(),
        event_types,
        begins_after,
        signer,
        created_at: now,
    };
    let mut tx = app.db.begin().await?;
    users::lock(&mut tx, caller.user_id).await?;
    if WEBHOOKS_MAX <= webhooks::count(&mut tx, caller.user_id).await? {
        let detail = format!("nobody has more than {WEBHOOKS_MAX} webhooks; delete one");
        return Err(ApiError::conflict("too_many_webhooks", detail));
    }
    webhooks::insert(&mut tx, &new).await?;
    trail::done(Action::WebhookCreated).to(id).record(&mut tx).await?;
    let webhook = find(&mut tx, caller, id).await?;
    tx.commit().await?;
    tracing::info!(user_id = %caller.user_id, webhook_id = %id, "a webhook was made");
    let view = WebhookSecretView { secret, view: WebhookView::new(webhook, now) };
    Ok(created(&format!("/api/v1/webhooks/{id}"), view))
}

/// List the own webhooks.
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/webhooks/",
    tag = "webhooks",
    params(ListQuery),
    responses((status = 200, body = List<WebhookView>, description = "A page of the list"), OfList, SignedIn, Always),
)]
pub async fn list_webhooks(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<WebhookView>>, ApiError> {
    let (wanted, now) = (query.parse()?, real_now(&app)?);
    let mut tx = app.db.begin_read().await?;
    let found = webhooks::list(&mut tx, caller.user_id, wanted.page()).await?;
    Ok(Json(wanted.list(found, |webhook| webhook.id.0, |webhook| WebhookView::new(webhook, now))))
}

/// Read a webhook.
///
/// For its owner and administrators; without its secret.
#[utoipa::path(
    get,
    path = "/webhooks/{id}",
    tag = "webhooks",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = WebhookView, description = "The webhook"), OfOne, SignedIn, Always),
)]
pub async fn read_webhook(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<WebhookId>,
) -> Result<Json<WebhookView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    let webhook = find(&mut tx, caller, id).await?;
    Ok(Json(WebhookView::new(webhook, real_now(&app)?)))
}

/// Change a webhook.
///
/// Where it is, what it is told and what it is for. What waits for it goes to the new address.
#[utoipa::path(
    patch,
    path = "/webhooks/{id}",
    tag = "webhooks",
    params(("id" = Uuid, Path)),
    request_body = UpdateWebhook,
    responses(
        (status = 200, body = WebhookView, description = "The webhook as it is now"),
        WithBody, OfOne, SignedIn, Always,
    ),
)]
pub async fn update_webhook(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<WebhookId>,
    Json(request): Json<UpdateWebhook>,
) -> Result<Json<WebhookView>, ApiError> {
    let mut errors = FieldErrors::default();
    let url = errors.take_optional("url", request.url.as_deref(), |text| parse_url(text, &app.webhook_allow));
    let types = errors.take_optional("event_types", request.event_types, |names| EventTypes::parse(&names));
    let description = errors.take_optional("description", request.description.as_deref(), parse_description);
    let (Some(url), Some(event_types), Some(description)) = (url, types, description) else {
        return Err(errors.into_error());
    };
    change(&app, caller, id, Action::WebhookChanged, async |tx, webhook| {
        let changed = Webhook {
            url: url.unwrap_or(webhook.url),
            event_types: event_types.unwrap_or(webhook.event_types),
            description: description.unwrap_or(webhook.description),
            ..webhook
        };
        Ok(webhooks::update(tx, &changed).await?)
    })
    .await
}

/// Delete a webhook.
///
/// Nothing is sent to it any more, and what was sent to it is forgotten. For its owner and administrators.
#[utoipa::path(
    delete,
    path = "/webhooks/{id}",
    tag = "webhooks",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Deleted"), OfOne, SignedIn, Always),
)]
pub async fn delete_webhook(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<WebhookId>,
) -> Result<StatusCode, ApiError> {
    let mut tx = app.db.begin().await?;
    let webhook = find(&mut tx, caller, id).await?;
    webhooks::delete(&mut tx, id, app.clock.process_us()).await?;
    trail::done(Action::WebhookDeleted).to(id).about(webhook.user_id).record(&mut tx).await?;
    tx.commit().await?;
    tracing::info!(webhook_id = %id, by = %caller.user_id, "a webhook was deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Pause a webhook.
///
/// Nothing is sent until it is resumed; what happens meanwhile is not lost. For its owner and administrators. Doing it again changes nothing.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/pause",
    tag = "webhooks",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = WebhookView, description = "The webhook as it is now"), OfOne, SignedIn, Always),
)]
pub async fn pause_webhook(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<WebhookId>,
) -> Result<Json<WebhookView>, ApiError> {
    let mut tx = app.db.begin().await?;
    let before = find(&mut tx, caller, id).await?;
    webhooks::pause(&mut tx, id).await?;
    let webhook = find(&mut tx, caller, id).await?;
    if webhook != before {
        trail::done(Action::WebhookPaused).to(id).about(webhook.user_id).record(&mut tx).await?;
        tx.commit().await?;
    }
    Ok(Json(WebhookView::new(webhook, real_now(&app)?)))
}

/// Resume a webhook.
///
/// One that is PAUSED or DISABLED is ENABLED again: what waited and what happened meanwhile is sent. To skip that, delete it and
/// make another. Doing it again changes nothing.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/resume",
    tag = "webhooks",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = WebhookView, description = "The webhook as it is now"), OfOne, SignedIn, Always),
)]
pub async fn resume_webhook(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<WebhookId>,
) -> Result<Json<WebhookView>, ApiError> {
    let now_us = app.clock.process_us();
    change(&app, caller, id, Action::WebhookResumed, async |tx, webhook| {
        if webhook.status != Status::Enabled {
            webhooks::resume(tx, id, now_us).await?;
        }
        Ok(())
    })
    .await
}

/// Change the secret of a webhook.
///
/// The answer shows the new one. For 24 hours everything is signed by both, so that a receiver has time to change; the one
/// before those two holds no more.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/rotate-secret",
    tag = "webhooks",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = WebhookSecretView, description = "The webhook as it is now"), OfOne, SignedIn, Always),
)]
pub async fn rotate_webhook_secret(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<WebhookId>,
) -> Result<Json<WebhookSecretView>, ApiError> {
    let (secret, signer) = draw(&app, id)?;
    let until_us = app.clock.process_us() + OVERLAP_US;
    let rotate = async |tx: &mut Tx, _| Ok(webhooks::rotate(tx, id, &signer, until_us).await?);
    let rotated = change(&app, caller, id, Action::WebhookSecretRotated, rotate).await?;
    tracing::info!(user_id = %caller.user_id, webhook_id = %id, "the secret of a webhook was changed");
    let Json(view) = rotated;
    Ok(Json(WebhookSecretView { secret, view }))
}

/// A webhook of the caller's; to administrators anybody's, so that they can end one that does harm.
async fn find(tx: &mut Tx, caller: Caller, id: WebhookId) -> Result<Webhook, ApiError> {
    let webhook = webhooks::find(tx, id).await?.ok_or_else(ApiError::not_found)?;
    caller.must_be(webhook.user_id)?;
    Ok(webhook)
}

/// A webhook of the caller's own: nobody else says where it sends, or sees what signs.
async fn find_own(tx: &mut Tx, caller: Caller, id: WebhookId) -> Result<Webhook, ApiError> {
    let own = webhooks::find(tx, id).await?.filter(|webhook| webhook.user_id == caller.user_id);
    own.ok_or_else(ApiError::not_found)
}

/// Changes one of the caller's own, and shows it as it is then.
async fn change(
    app: &App,
    caller: Caller,
    id: WebhookId,
    action: Action,
    change: impl AsyncFnOnce(&mut Tx, Webhook) -> Result<(), ApiError>,
) -> Result<Json<WebhookView>, ApiError> {
    let mut tx = app.db.begin().await?;
    webhooks::lock(&mut tx, id).await?;
    let webhook = find_own(&mut tx, caller, id).await?;
    change(&mut tx, webhook.clone()).await?;
    let changed = find_own(&mut tx, caller, id).await?;
    if changed != webhook {
        trail::done(action).to(id).record(&mut tx).await?;
        tx.commit().await?;
    }
    Ok(Json(WebhookView::new(changed, real_now(app)?)))
}
