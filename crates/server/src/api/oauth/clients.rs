//! Programs that ask people to let them act (decision 23), registered by whoever wrote them.
//!
//! A secret is in one answer only, as with API keys: who lost it has another made.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use directpay_domain::api_key::Scopes;
use directpay_domain::id::OAuthClientId;
use directpay_domain::invalid::Invalid;
use directpay_domain::oauth::{ClientKind, Grant, Grants, OAuthSecret, RedirectUris, SecretKind};
use directpay_domain::text::Line;
use directpay_domain::time::Instant;
use directpay_domain::trail::Action;
use directpay_store::oauth::clients::{self, Client};
use directpay_store::{Tx, users};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::accounts::must_be_signed_in;
use crate::api::auth::Caller;
use crate::api::created;
use crate::api::error::{ApiError, FieldErrors};
use crate::api::extract::{Id, Json, List, ListQuery, Query};
use crate::api::problem::{Always, OfList, OfOne, OfState, SignedIn, WithBody};
use crate::app::App;
use crate::clock;
use crate::mail::{self, letters};
use crate::oauth::{draw, hash};
use crate::trail;

/// The most programs of one person.
const CLIENTS_MAX: i64 = 20;

/// A program to register.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOAuthClient {
    /// What people are told it is called when it asks them.
    #[schema(example = "Rent Ledger", min_length = 1, max_length = 200)]
    name: String,
    /// CONFIDENTIAL for one that runs on a server and can keep a secret; PUBLIC for one that runs with its users.
    #[schema(example = "CONFIDENTIAL")]
    kind: String,
    /// The most that it may ask for: scopes, as of API keys.
    #[schema(example = json!(["leases:read", "payments:read"]), min_items = 1)]
    scopes: Vec<String>,
    /// authorization_code, refresh_token, client_credentials; the first two if omitted.
    #[schema(example = json!(["authorization_code", "refresh_token"]))]
    grants: Option<Vec<String>>,
    /// Where browsers may be sent back to, compared letter by letter: `https`, or `http` on `127.0.0.1`, `[::1]` or `localhost`, where any
    /// port will do. Needed for authorization codes.
    #[schema(example = json!(["https://ledger.example.com/callback"]), max_items = 10)]
    redirect_uris: Option<Vec<String>>,
}

/// What changes; what is omitted stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateOAuthClient {
    /// What people are told it is called.
    #[schema(example = "Rent Ledger", min_length = 1, max_length = 200)]
    name: Option<String>,
    /// The most that it may ask for. What it lost it cannot do from the answer on, whatever people agreed to.
    #[schema(example = json!(["leases:read"]), min_items = 1)]
    scopes: Option<Vec<String>>,
    /// The ways to a token.
    #[schema(example = json!(["authorization_code", "refresh_token"]))]
    grants: Option<Vec<String>>,
    /// Where browsers may be sent back to.
    #[schema(example = json!(["https://ledger.example.com/callback"]), max_items = 10)]
    redirect_uris: Option<Vec<String>>,
}

/// A registered program. All its times are real ones, also in a sandbox.
#[derive(Debug, Serialize, ToSchema)]
pub struct OAuthClientView {
    /// Which; the protocol calls it `client_id`, and histories name it so.
    id: Uuid,
    /// Who registered it; by client credentials it acts for this person.
    user_id: Uuid,
    /// What people are told it is called.
    #[schema(example = "Rent Ledger")]
    name: String,
    /// CONFIDENTIAL or PUBLIC.
    #[schema(example = "CONFIDENTIAL")]
    kind: &'static str,
    /// The last four characters of its secret; null for a PUBLIC one.
    #[schema(example = "PIH9")]
    secret_last4: Option<String>,
    /// The most that it may ask for.
    #[schema(example = json!(["leases:read", "payments:read"]))]
    scopes: Vec<&'static str>,
    /// The ways to a token that it may go.
    #[schema(example = json!(["authorization_code", "refresh_token"]))]
    grants: Vec<&'static str>,
    /// Where browsers may be sent back to.
    #[schema(example = json!(["https://ledger.example.com/callback"]))]
    redirect_uris: Vec<String>,
    /// When it was registered.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
}

impl From<Client> for OAuthClientView {
    fn from(client: Client) -> OAuthClientView {
        OAuthClientView {
            id: client.id.0,
            user_id: client.user_id.0,
            scopes: client.scopes.names(),
            grants: client.grants.names(),
            redirect_uris: client.redirect_uris.texts().into_iter().map(str::to_owned).collect(),
            kind: client.kind.name(),
            secret_last4: client.secret_last4,
            name: client.name,
            created_at: client.created_at,
        }
    }
}

/// A program with its secret.
#[derive(Serialize, ToSchema)]
pub struct OAuthClientSecretView {
    /// The secret by which it proves who it is. It is shown this once; null for a PUBLIC one, which has none.
    #[schema(example = "dp_cs_…")]
    client_secret: Option<String>,
    #[serde(flatten)]
    view: OAuthClientView,
}

impl OAuthClientSecretView {
    fn new(client: Client, secret: Option<&OAuthSecret>) -> OAuthClientSecretView {
        OAuthClientSecretView { client_secret: secret.map(|secret| secret.expose().to_owned()), view: client.into() }
    }
}

/// Notes what does not go together.
fn check(errors: &mut FieldErrors, caller: Caller, kind: ClientKind, grants: &Grants, redirect_uris: &RedirectUris) {
    if grants.contains(Grant::ClientCredentials) {
        if kind == ClientKind::Public {
            errors.add("grants", Invalid::new("unfit", "client_credentials is for CONFIDENTIAL programs only"));
        } else if caller.is_admin() {
            errors.add("grants", Invalid::new("unfit", "no program acts for administrators"));
        }
    }
    if grants.contains(Grant::AuthorizationCode) && redirect_uris.is_empty() {
        errors.add("redirect_uris", Invalid::new("required", "must name at least one for authorization_code"));
    }
}

fn draw_secret() -> Result<OAuthSecret, ApiError> {
    draw(SecretKind::Client).map_err(|error| ApiError::internal(&error))
}

/// Register a program.
///
/// One that asks people to let it act for them, or acts for its owner by client credentials. For anybody who is signed in. The
/// answer shows the secret of a CONFIDENTIAL one, and nothing shows it again; therefore no idempotency key is taken. A person has up
/// to 20.
#[utoipa::path(
    post,
    path = "/oauth/clients/",
    tag = "OAuth",
    request_body = NewOAuthClient,
    responses(
        (status = 201, body = OAuthClientSecretView, description = "Registered", headers(("Location" = String))),
        WithBody, OfState, SignedIn, Always,
    ),
)]
pub async fn create_oauth_client(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<NewOAuthClient>,
) -> Result<Response, ApiError> {
    must_be_signed_in(&app, caller).await?;
    let client = parse(&app, caller, &request)?;
    let secret = (client.kind == ClientKind::Confidential).then(draw_secret).transpose()?;
    let secret_last4 = secret.as_ref().map(|secret| secret.last4().to_owned());
    let client = Client { secret_last4, ..client };
    let mut tx = app.db.begin().await?;
    users::lock(&mut tx, caller.user_id).await?;
    if CLIENTS_MAX <= clients::count(&mut tx, caller.user_id).await? {
        let detail = format!("nobody has more than {CLIENTS_MAX} programs; delete one");
        return Err(ApiError::conflict("too_many_oauth_clients", detail));
    }
    let secret_hash = secret.as_ref().map(|secret| hash(&app.vault, secret));
    clients::insert(&mut tx, &client, secret_hash.as_deref()).await?;
    trail::done(Action::OAuthClientCreated).to(client.id).with(told(&client)).record(&mut tx).await?;
    if acts_for_owner(&client) {
        tell_owner(&app, &mut tx, &client).await?;
    }
    tx.commit().await?;
    app.mail.bell.ring();
    tracing::info!(user_id = %caller.user_id, oauth_client_id = %client.id, "a program was registered");
    let location = format!("/api/v1/oauth/clients/{}", client.id);
    Ok(created(&location, OAuthClientSecretView::new(client, secret.as_ref())))
}

fn parse(app: &App, caller: Caller, request: &NewOAuthClient) -> Result<Client, ApiError> {
    const USUAL: [Grant; 2] = [Grant::AuthorizationCode, Grant::RefreshToken];
    let mut errors = FieldErrors::default();
    let name = errors.take("name", Line::parse(&request.name));
    let kind = errors.take("kind", ClientKind::parse(&request.kind));
    let scopes = errors.take("scopes", Scopes::parse(&request.scopes).and_then(Scopes::for_programs));
    let grants = match &request.grants {
        Some(names) => Grants::parse(names),
        None => Grants::parse(&USUAL.map(Grant::name)),
    };
    let grants = errors.take("grants", grants);
    let redirect_uris = RedirectUris::parse(request.redirect_uris.as_deref().unwrap_or_default());
    let redirect_uris = errors.take("redirect_uris", redirect_uris);
    if let (Some(kind), Some(grants), Some(redirect_uris)) = (kind, &grants, &redirect_uris) {
        check(&mut errors, caller, kind, grants, redirect_uris);
    }
    match (name, kind, scopes, grants, redirect_uris) {
        (Some(name), Some(kind), Some(scopes), Some(grants), Some(redirect_uris)) if errors.is_empty() => Ok(Client {
            id: OAuthClientId(clock::new_id()),
            user_id: caller.user_id,
            name: name.into_string(),
            kind,
            secret_last4: None,
            scopes,
            grants,
            redirect_uris,
            created_at: Instant::from_micros(app.clock.process_us()).map_err(|invalid| ApiError::internal(&invalid))?,
        }),
        _ => Err(errors.into_error()),
    }
}

/// List the own programs.
///
/// Newest first, without those that were deleted.
#[utoipa::path(
    get,
    path = "/oauth/clients/",
    tag = "OAuth",
    params(ListQuery),
    responses((status = 200, body = List<OAuthClientView>, description = "A page of the list"), OfList, SignedIn, Always),
)]
pub async fn list_oauth_clients(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<OAuthClientView>>, ApiError> {
    let wanted = query.parse()?;
    let mut tx = app.db.begin_read().await?;
    let found = clients::list(&mut tx, caller.user_id, wanted.page()).await?;
    Ok(Json(wanted.list(found, |client| client.id.0, OAuthClientView::from)))
}

/// Read a program.
///
/// For its owner and administrators; without its secret.
#[utoipa::path(
    get,
    path = "/oauth/clients/{id}",
    tag = "OAuth",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = OAuthClientView, description = "The program"), OfOne, SignedIn, Always),
)]
pub async fn read_oauth_client(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<OAuthClientId>,
) -> Result<Json<OAuthClientView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    let client = clients::find(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    caller.must_be(client.user_id)?;
    Ok(Json(client.into()))
}

/// What the trail tells of a program.
fn told(client: &Client) -> serde_json::Value {
    json!({"scopes": client.scopes.to_text(), "grants": client.grants.to_text()})
}

fn acts_for_owner(client: &Client) -> bool {
    client.grants.contains(Grant::ClientCredentials)
}

/// Tells the owner of a program that acts by its secret alone: whoever has come by a session could make one, and it outlives the
/// session, as an API key does.
async fn tell_owner(app: &App, tx: &mut Tx, client: &Client) -> Result<(), ApiError> {
    let owner = users::find(tx, client.user_id).await?.ok_or_else(ApiError::unauthorized)?;
    let letter =
        letters::own_program(app.mail.public_url(), &owner.email, &client.id.to_string(), &client.scopes.to_text());
    mail::queue(app, tx, &letter, mail::NOTICE_US).await?;
    Ok(())
}

/// Change a program.
///
/// What it is called, what it may ask for, and where browsers are sent back to. What it loses it has lost at once; what is new people
/// have to agree to.
#[utoipa::path(
    patch,
    path = "/oauth/clients/{id}",
    tag = "OAuth",
    params(("id" = Uuid, Path)),
    request_body = UpdateOAuthClient,
    responses(
        (status = 200, body = OAuthClientView, description = "The program as it is now"),
        WithBody, OfOne, SignedIn, Always,
    ),
)]
pub async fn update_oauth_client(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<OAuthClientId>,
    Json(request): Json<UpdateOAuthClient>,
) -> Result<Json<OAuthClientView>, ApiError> {
    must_be_signed_in(&app, caller).await?;
    let mut errors = FieldErrors::default();
    let name = errors.take_optional("name", request.name.as_deref(), Line::parse);
    let scopes =
        errors.take_optional("scopes", request.scopes, |names| Scopes::parse(&names).and_then(Scopes::for_programs));
    let grants = errors.take_optional("grants", request.grants, |names| Grants::parse(&names));
    let uris = errors.take_optional("redirect_uris", request.redirect_uris, |texts| RedirectUris::parse(&texts));
    let (Some(name), Some(scopes), Some(grants), Some(uris)) = (name, scopes, grants, uris) else {
        return Err(errors.into_error());
    };
    let mut tx = app.db.begin().await?;
    let client = hold_own(&mut tx, caller, id).await?;
    let changed = Client {
        name: name.map_or_else(|| client.name.clone(), Line::into_string),
        scopes: scopes.unwrap_or_else(|| client.scopes.clone()),
        grants: grants.unwrap_or_else(|| client.grants.clone()),
        redirect_uris: uris.unwrap_or_else(|| client.redirect_uris.clone()),
        ..client.clone()
    };
    check(&mut errors, caller, changed.kind, &changed.grants, &changed.redirect_uris);
    if !errors.is_empty() {
        return Err(errors.into_error());
    }
    if changed != client {
        clients::update(&mut tx, &changed).await?;
        trail::done(Action::OAuthClientChanged).to(id).with(told(&changed)).record(&mut tx).await?;
        let did_as_much = acts_for_owner(&client) && changed.scopes.are_within(&client.scopes);
        if acts_for_owner(&changed) && !did_as_much {
            tell_owner(&app, &mut tx, &changed).await?;
        }
        tx.commit().await?;
        app.mail.bell.ring();
    }
    tracing::info!(user_id = %caller.user_id, oauth_client_id = %id, "a program was changed");
    Ok(Json(changed.into()))
}

/// Delete a program.
///
/// From the answer on it can do nothing any more, for nobody. For its owner and administrators. Histories go on naming it.
#[utoipa::path(
    delete,
    path = "/oauth/clients/{id}",
    tag = "OAuth",
    params(("id" = Uuid, Path)),
    responses((status = 204, description = "Deleted"), OfOne, SignedIn, Always),
)]
pub async fn delete_oauth_client(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<OAuthClientId>,
) -> Result<StatusCode, ApiError> {
    must_be_signed_in(&app, caller).await?;
    let mut tx = app.db.begin().await?;
    let client = clients::hold(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    caller.must_be(client.user_id)?;
    clients::delete(&mut tx, id, app.clock.process_us()).await?;
    trail::done(Action::OAuthClientDeleted).to(id).about(client.user_id).record(&mut tx).await?;
    tx.commit().await?;
    tracing::info!(oauth_client_id = %id, by = %caller.user_id, "a program was deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Change the secret of a program.
///
/// The answer shows the new one. From then on the one before is worthless, and so are the tokens that the program got by client
/// credentials; people's authorizations stay.
#[utoipa::path(
    post,
    path = "/oauth/clients/{id}/rotate-secret",
    tag = "OAuth",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = OAuthClientSecretView, description = "The program as it is now"),
        OfOne, OfState, SignedIn, Always,
    ),
)]
pub async fn rotate_oauth_client_secret(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<OAuthClientId>,
) -> Result<Json<OAuthClientSecretView>, ApiError> {
    must_be_signed_in(&app, caller).await?;
    let secret = draw_secret()?;
    let mut tx = app.db.begin().await?;
    let client = hold_own(&mut tx, caller, id).await?;
    if client.kind == ClientKind::Public {
        return Err(ApiError::conflict("oauth_client_has_no_secret", "a PUBLIC program has no secret"));
    }
    clients::rotate(&mut tx, id, &hash(&app.vault, &secret), secret.last4()).await?;
    trail::done(Action::OAuthClientSecretRotated).to(id).record(&mut tx).await?;
    if acts_for_owner(&client) {
        tell_owner(&app, &mut tx, &client).await?;
    }
    tx.commit().await?;
    app.mail.bell.ring();
    tracing::info!(user_id = %caller.user_id, oauth_client_id = %id, "the secret of a program was changed");
    let client = Client { secret_last4: Some(secret.last4().to_owned()), ..client };
    Ok(Json(OAuthClientSecretView::new(client, Some(&secret))))
}

/// A program of the caller's own: nobody else says what it may ask, or sees its secret.
async fn hold_own(tx: &mut Tx, caller: Caller, id: OAuthClientId) -> Result<Client, ApiError> {
    let own = clients::hold(tx, id).await?.filter(|client| client.user_id == caller.user_id);
    own.ok_or_else(ApiError::not_found)
}
