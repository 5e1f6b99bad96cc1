//! Keys by which programs act for a person.
//!
//! A key is in one answer only, and nowhere else. Therefore making one takes no idempotency key: to answer a repetition alike,
//! the secret would have to be kept, or be computable from what is. A key whose answer was lost is revoked, and another made.

use axum::extract::State;
use axum::response::Response;
use directpay_domain::api_key::{Mode, Scopes};
use directpay_domain::id::ApiKeyId;
use directpay_domain::invalid::Invalid;
use directpay_domain::text::Line;
use directpay_domain::time::Instant;
use directpay_domain::trail::Action;
use directpay_store::api_keys::{self, ApiKey};
use directpay_store::{Tx, users};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::accounts::must_be_signed_in;
use super::auth::Caller;
use super::created;
use super::error::{ApiError, FieldErrors};
use super::extract::{Id, Json, List, ListQuery, Query};
use super::problem::{Always, OfList, OfOne, OfRole, OfState, SignedIn, WithBody};
use crate::access::api_keys::{draw, hash};
use crate::app::App;
use crate::clock;
use crate::mail::{self, letters};
use crate::trail;

/// The most keys of one person that are neither revoked nor expired.
const USABLE_MAX: i64 = 20;

/// A key to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// What it is for, for its owner.
    #[schema(example = "Accounting, nightly", min_length = 1, max_length = 200)]
    name: String,
    /// What it may do; at least one, and none implies another.
    #[schema(example = json!(["leases:read", "payments:read"]), min_items = 1)]
    scopes: Vec<String>,
    /// From when on it is refused, in real time; never if omitted.
    #[schema(example = "2027-03-01T00:00:00Z", format = DateTime)]
    expires_at: Option<String>,
}

/// A key to make, parsed.
struct Wanted {
    name: Line,
    scopes: Scopes,
    expires_at: Option<Instant>,
}

impl NewApiKey {
    fn parse(&self, now: Instant) -> Result<Wanted, ApiError> {
        let mut errors = FieldErrors::default();
        let name = errors.take("name", Line::parse(&self.name));
        let scopes = errors.take("scopes", Scopes::parse(&self.scopes));
        let expires_at = errors.take_optional("expires_at", self.expires_at.as_deref(), |text| after(now, text));
        match (name, scopes, expires_at) {
            (Some(name), Some(scopes), Some(expires_at)) => Ok(Wanted { name, scopes, expires_at }),
            _ => Err(errors.into_error()),
        }
    }
}

fn after(now: Instant, text: &str) -> Result<Instant, Invalid> {
    let expires_at = Instant::parse(text)?;
    if expires_at <= now {
        return Err(Invalid::new("past", "must lie ahead, in real time"));
    }
    Ok(expires_at)
}

/// A key, without what makes it one. All its times are real ones, also in a sandbox.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKeyView {
    /// Which key; histories and logs name it so.
    id: Uuid,
    /// For whom it acts.
    user_id: Uuid,
    /// What its owner calls it.
    #[schema(example = "Accounting, nightly")]
    name: String,
    /// What it begins with: `dp_test_` where the bank is simulated, `dp_live_` where it moves money.
    #[schema(example = "dp_test_")]
    prefix: &'static str,
    /// Its last four characters.
    #[schema(example = "PIH9")]
    last4: String,
    /// What it may do.
    #[schema(example = json!(["leases:read", "payments:read"]))]
    scopes: Vec<&'static str>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
    /// From when on it is refused; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Instant>,
    /// When it was used last, to the minute or so; null for never.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Instant>,
    /// Since when it is refused because it was revoked; null otherwise.
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Instant>,
}

impl ApiKeyView {
    fn new(key: ApiKey, mode: Mode) -> ApiKeyView {
        ApiKeyView {
            id: key.id.0,
            user_id: key.user_id.0,
            name: key.name,
            prefix: mode.prefix(),
            last4: key.last4,
            scopes: key.scopes.names(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// A new key, with what makes it one.
#[derive(Serialize, ToSchema)]
pub struct NewApiKeyView {
    /// The key itself, to be sent as `Authorization: Bearer …`. It is shown this once.
    // Its check characters are wrong, so that no scanner takes it for one.
    #[schema(example = "dp_test_0029sS3yqsuDyR1vGFhTuuRAq1b000000")]
    key: String,
    #[serde(flatten)]
    view: ApiKeyView,
}

/// Make an API key.
///
/// For landlords and renters. It acts for them, within its scopes, until it expires or is revoked. The answer shows the key, and
/// nothing shows it again; therefore no idempotency key is taken. A person has up to 20 that can be used. The owner is told by mail.
#[utoipa::path(
    post,
    path = "/api-keys/",
    tag = "API keys",
    request_body = NewApiKey,
    responses(
        (status = 201, body = NewApiKeyView, description = "Made", headers(("Location" = String))),
        WithBody, OfRole, OfState, SignedIn, Always,
    ),
)]
pub async fn create_api_key(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<NewApiKey>,
) -> Result<Response, ApiError> {
    if caller.is_admin() {
        return Err(ApiError::forbidden("administrators have no API keys"));
    }
    must_be_signed_in(&app, caller).await?;
    let now_us = app.clock.process_us();
    let now = Instant::from_micros(now_us).map_err(|invalid| ApiError::internal(&invalid))?;
    let Wanted { name, scopes, expires_at } = request.parse(now)?;
    let secret = draw(app.mode).map_err(|error| ApiError::internal(&error))?;
    let key = ApiKey {
        id: ApiKeyId(clock::new_id()),
        user_id: caller.user_id,
        name: name.into_string(),
        last4: secret.last4().to_owned(),
        scopes,
        created_at: now,
        expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    let mut tx = app.db.begin().await?;
    users::lock(&mut tx, caller.user_id).await?;
    if USABLE_MAX <= api_keys::count_usable(&mut tx, caller.user_id, now_us).await? {
        let detail = format!("nobody has more than {USABLE_MAX} API keys that can be used; revoke one");
        return Err(ApiError::conflict("too_many_api_keys", detail));
    }
    api_keys::insert(&mut tx, &key, &hash(&app.vault, &secret)).await?;
    let details = json!({"scopes": key.scopes.to_text()});
    trail::done(Action::ApiKeyCreated).to(key.id).with(details).record(&mut tx).await?;
    let owner = users::find(&mut tx, caller.user_id).await?.ok_or_else(ApiError::unauthorized)?;
    let letter = letters::api_key_made(app.mail.public_url(), &owner.email, &key.last4, &key.scopes.to_text());
    mail::queue(&app, &mut tx, &letter, mail::NOTICE_US).await?;
    tx.commit().await?;
    app.mail.bell.ring();
    tracing::info!(user_id = %key.user_id, api_key_id = %key.id, "an API key was made");
    let location = format!("/api/v1/api-keys/{}", key.id);
    let view = NewApiKeyView { key: secret.expose().to_owned(), view: ApiKeyView::new(key, app.mode) };
    Ok(created(&location, view))
}

/// List the own API keys.
///
/// Newest first, revoked and expired ones too.
#[utoipa::path(
    get,
    path = "/api-keys/",
    tag = "API keys",
    params(ListQuery),
    responses((status = 200, body = List<ApiKeyView>, description = "A page of the list"), OfList, SignedIn, Always),
)]
pub async fn list_api_keys(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<ApiKeyView>>, ApiError> {
    let wanted = query.parse()?;
    // Who revokes a key looks here whether it is done.
    let mut tx = app.db.begin_read().await?;
    let found = api_keys::list(&mut tx, caller.user_id, wanted.page()).await?;
    Ok(Json(wanted.list(found, |key| key.id.0, |key| ApiKeyView::new(key, app.mode))))
}

/// Read an API key.
///
/// For its owner and administrators; without the key itself.
#[utoipa::path(
    get,
    path = "/api-keys/{id}",
    tag = "API keys",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = ApiKeyView, description = "The key"), OfOne, SignedIn, Always),
)]
pub async fn read_api_key(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ApiKeyId>,
) -> Result<Json<ApiKeyView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    let key = find(&mut tx, caller, id).await?;
    Ok(Json(ApiKeyView::new(key, app.mode)))
}

/// Revoke an API key.
///
/// For its owner and administrators. From the answer on every process refuses it. Doing it again changes nothing.
#[utoipa::path(
    post,
    path = "/api-keys/{id}/revoke",
    tag = "API keys",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = ApiKeyView, description = "The key as it is now"), OfOne, SignedIn, Always),
)]
pub async fn revoke_api_key(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ApiKeyId>,
) -> Result<Json<ApiKeyView>, ApiError> {
    let mut tx = app.db.begin().await?;
    let before = find(&mut tx, caller, id).await?;
    api_keys::revoke(&mut tx, id, app.clock.process_us()).await?;
    if before.revoked_at.is_none() {
        trail::done(Action::ApiKeyRevoked).to(id).about(before.user_id).record(&mut tx).await?;
    }
    let key = find(&mut tx, caller, id).await?;
    tx.commit().await?;
    tracing::info!(user_id = %key.user_id, api_key_id = %id, by = %caller.user_id, "an API key was revoked");
    Ok(Json(ApiKeyView::new(key, app.mode)))
}

/// A key of the caller's; to administrators anybody's, so that they can end one that the logs name.
async fn find(tx: &mut Tx, caller: Caller, id: ApiKeyId) -> Result<ApiKey, ApiError> {
    let key = api_keys::find(tx, id).await?.ok_or_else(ApiError::not_found)?;
    caller.must_be(key.user_id)?;
    Ok(key)
}
