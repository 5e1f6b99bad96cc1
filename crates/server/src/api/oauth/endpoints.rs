//! What programs talk to by the protocol itself: tokens (RFC 6749), their end (RFC 7009), what they are (RFC 7662), and where all
//! this is (RFC 8414).

use axum::extract::{Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use directpay_domain::api_key::Scope;
use directpay_domain::oauth::Grant;
use directpay_domain::time::SECOND_US;
use directpay_store::Tx;
use directpay_store::oauth::clients::Client;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::auth::form;
use crate::api::error::{ApiError, TokenError};
use crate::api::extract::Json;
use crate::api::problem::{Always, OAuthProblem, Problem};
use crate::app::App;
use crate::oauth::client::Claim;
use crate::oauth::tokens::{self, Issued, Known};
use crate::oauth::{ACCESS_SECONDS, OAuthError};
use crate::origin::Origin;

/// The form of the token endpoint.
#[derive(Deserialize, ToSchema)]
pub struct OAuthTokenRequest {
    /// `authorization_code`, `refresh_token` or `client_credentials`.
    #[schema(example = "authorization_code")]
    grant_type: Option<String>,
    /// With `authorization_code`: what came back with the browser.
    code: Option<String>,
    /// With `authorization_code`: the same as in the request to which the code is the answer.
    #[schema(example = "https://ledger.example.com/callback")]
    redirect_uri: Option<String>,
    /// With `authorization_code`: what the challenge was made from.
    code_verifier: Option<String>,
    /// With `refresh_token`.
    refresh_token: Option<String>,
    /// With `refresh_token` or `client_credentials`: no more than these scopes, with a space between; all that may be had if omitted.
    #[schema(example = "leases:read payments:read")]
    scope: Option<String>,
    /// The program, where it does not prove itself by `Authorization: Basic …`.
    client_id: Option<String>,
    /// Its secret, if it has one and does not send it so.
    #[schema(format = Password)]
    client_secret: Option<String>,
}

/// Tokens for a program.
#[derive(Serialize, ToSchema)]
pub struct OAuthTokenView {
    /// Send it as `Authorization: Bearer …`.
    #[schema(example = "dp_at_…")]
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds for which the access token is good.
    #[schema(example = 900)]
    expires_in: i64,
    /// Good once, for 30 days; only for programs that are registered for it, and not with client credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "dp_rt_…", nullable = false)]
    refresh_token: Option<String>,
    /// What it may do.
    #[schema(example = "leases:read payments:read")]
    scope: String,
}

/// Get an access token for a program.
///
/// OAuth 2.0 token endpoint for programs of others. A CONFIDENTIAL program proves who it is by `Authorization: Basic …` or in the form, a
/// PUBLIC one sends its `client_id`. A code or a refresh token that comes a second time ends all that came of it.
#[utoipa::path(
    post,
    path = "/oauth/token",
    tag = "OAuth",
    operation_id = "create_oauth_token",
    request_body(content = OAuthTokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = OAuthTokenView, description = "Issued"),
        (status = 400, body = OAuthProblem, description = "Refused as RFC 6749 says"),
        (status = 401, body = OAuthProblem, description = "The program did not prove who it is: `invalid_client`"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "The body is longer than 1 MiB"),
        (status = 415, body = Problem, content_type = "application/problem+json", description = "The body is not a form"),
        Always,
    ),
    security(()),
)]
pub async fn create_oauth_token(
    State(app): State<App>,
    origin: Origin,
    request: Request,
) -> Result<Response, TokenError> {
    let headers = request.headers().clone();
    let form: OAuthTokenRequest = form(request).await?;
    let claim = Claim::read(&headers, form.client_id.as_deref(), form.client_secret.as_deref())?;
    let (tx, client) = begin(&app, &claim, origin).await?;
    let Issued { access_token, refresh_token, scopes } = issue(&app, tx, &client, &form).await?;
    let view = OAuthTokenView {
        access_token,
        token_type: "Bearer",
        expires_in: ACCESS_SECONDS,
        refresh_token,
        scope: scopes.to_text(),
    };
    Ok(([(CACHE_CONTROL, "no-store")], axum::Json(view)).into_response())
}

/// A transaction that only reads, in which the program is known to be the one that it says; the request is counted.
async fn begin_read(app: &App, claim: &Claim, origin: Origin) -> Result<(Tx, Client), TokenError> {
    let mut tx = app.db.begin_read().await.map_err(ApiError::from)?;
    let client = claim.verify(app, &mut tx).await?;
    app.limits.count_client(&client, origin).map_err(|standing| ApiError::over_limit(&standing))?;
    Ok((tx, client))
}

/// The same in a transaction that writes. Whoever is not the one that it says, or asks too often, holds up nobody who writes.
async fn begin(app: &App, claim: &Claim, origin: Origin) -> Result<(Tx, Client), TokenError> {
    drop(begin_read(app, claim, origin).await?);
    let mut tx = app.db.begin().await.map_err(ApiError::from)?;
    let client = claim.hold(app, &mut tx).await?;
    Ok((tx, client))
}

async fn issue(app: &App, tx: Tx, client: &Client, form: &OAuthTokenRequest) -> Result<Issued, OAuthError> {
    let scope = form.scope.as_deref();
    match form.grant_type.as_deref() {
        Some("authorization_code") => {
            let missing = OAuthError::InvalidRequest("code, redirect_uri and code_verifier are needed");
            let fields = (form.code.as_deref(), form.redirect_uri.as_deref(), form.code_verifier.as_deref());
            let (Some(code), Some(redirect_uri), Some(verifier)) = fields else { return Err(missing) };
            tokens::by_code(app, tx, client, code, redirect_uri, verifier).await
        }
        Some("refresh_token") => {
            let missing = OAuthError::InvalidRequest("refresh_token is needed");
            let token = form.refresh_token.as_deref().ok_or(missing)?;
            tokens::by_refresh_token(app, tx, client, token, scope).await
        }
        Some("client_credentials") => tokens::by_credentials(app, tx, client, scope).await,
        Some(_) => Err(OAuthError::UnsupportedGrantType),
        None => Err(OAuthError::InvalidRequest("grant_type is needed")),
    }
}

/// The form of the endpoints that take one token.
#[derive(Deserialize, ToSchema)]
pub struct OneTokenRequest {
    /// An access or refresh token.
    token: Option<String>,
    /// Accepted and not needed.
    #[expect(dead_code, reason = "part of the protocol; both kinds are told apart without it")]
    token_type_hint: Option<String>,
    /// The program, where it does not prove itself by `Authorization: Basic …`.
    client_id: Option<String>,
    /// Its secret, if it has one and does not send it so.
    #[schema(format = Password)]
    client_secret: Option<String>,
}

/// End a token of a program.
///
/// RFC 7009: an access token alone, a refresh token with the whole authorization that it belongs to. A token that is worthless already, or
/// another program's, is no error and stays as it is.
#[utoipa::path(
    post,
    path = "/oauth/revoke",
    tag = "OAuth",
    operation_id = "revoke_oauth_token",
    request_body(content = OneTokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is over"),
        (status = 400, body = OAuthProblem, description = "Refused as RFC 6749 says"),
        (status = 401, body = OAuthProblem, description = "The program did not prove who it is: `invalid_client`"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "The body is longer than 1 MiB"),
        (status = 415, body = Problem, content_type = "application/problem+json", description = "The body is not a form"),
        Always,
    ),
    security(()),
)]
pub async fn revoke_oauth_token(State(app): State<App>, origin: Origin, request: Request) -> Result<(), TokenError> {
    let (claim, token) = take_token(request).await?;
    let (tx, client) = begin(&app, &claim, origin).await?;
    Ok(tokens::revoke(&app, tx, &client, &token).await?)
}

/// Look at a token of a program.
///
/// RFC 7662, for CONFIDENTIAL programs: of tokens of the own program, and of others of the same owner. Of all others, and of those that are
/// worthless, the answer says no more than that they are not active.
#[utoipa::path(
    post,
    path = "/oauth/introspect",
    tag = "OAuth",
    operation_id = "introspect_oauth_token",
    request_body(content = OneTokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = IntrospectionView, description = "What there is to say"),
        (status = 400, body = OAuthProblem, description = "Refused as RFC 6749 says"),
        (status = 401, body = OAuthProblem, description = "The program did not prove who it is: `invalid_client`"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "The body is longer than 1 MiB"),
        (status = 415, body = Problem, content_type = "application/problem+json", description = "The body is not a form"),
        Always,
    ),
    security(()),
)]
pub async fn introspect_oauth_token(
    State(app): State<App>,
    origin: Origin,
    request: Request,
) -> Result<Json<IntrospectionView>, TokenError> {
    let (claim, token) = take_token(request).await?;
    let (mut tx, client) = begin_read(&app, &claim, origin).await?;
    let known = tokens::introspect(&app, &mut tx, &client, &token).await?;
    Ok(Json(known.map_or_else(IntrospectionView::default, |known| IntrospectionView::of(&app, &known))))
}

/// The token of a form, and what the program that sends it says of itself.
async fn take_token(request: Request) -> Result<(Claim, String), TokenError> {
    let headers = request.headers().clone();
    let form: OneTokenRequest = form(request).await?;
    let claim = Claim::read(&headers, form.client_id.as_deref(), form.client_secret.as_deref())?;
    let token = form.token.ok_or(OAuthError::InvalidRequest("token is needed"))?;
    Ok((claim, token))
}

/// What there is to say of a token.
#[derive(Default, Serialize, ToSchema)]
pub struct IntrospectionView {
    /// Whether it is good. If not, nothing else is said.
    active: bool,
    /// Which program acts by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    client_id: Option<Uuid>,
    /// For whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sub: Option<Uuid>,
    /// What it may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "leases:read payments:read", nullable = false)]
    scope: Option<String>,
    /// `Bearer` for an access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Bearer", nullable = false)]
    token_type: Option<&'static str>,
    /// When it was issued, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    iat: Option<i64>,
    /// When it is over, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    exp: Option<i64>,
    /// Who issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    iss: Option<String>,
}

impl IntrospectionView {
    fn of(app: &App, known: &Known) -> IntrospectionView {
        IntrospectionView {
            active: true,
            client_id: Some(known.client_id.0),
            sub: Some(known.user_id.0),
            scope: Some(known.scopes.to_text()),
            token_type: known.is_access.then_some("Bearer"),
            iat: Some(known.issued_us / SECOND_US),
            exp: Some(known.expires_us / SECOND_US),
            iss: Some(app.mail.public_url().to_owned()),
        }
    }
}

/// Where everything is, and what is understood (RFC 8414).
#[derive(Serialize, ToSchema)]
pub struct AuthorizationServerView {
    /// Who issues tokens: the public address of this server.
    #[schema(example = "https://rent.example.com")]
    issuer: String,
    /// Where a person's browser is sent.
    authorization_endpoint: String,
    /// Where codes and refresh tokens are exchanged.
    token_endpoint: String,
    /// Where tokens are ended.
    revocation_endpoint: String,
    /// Where tokens are looked at.
    introspection_endpoint: String,
    /// The keys by which what this server signs is verified. Access tokens are not signed.
    jwks_uri: String,
    /// All scopes.
    scopes_supported: Vec<&'static str>,
    /// `code`.
    response_types_supported: Vec<&'static str>,
    /// `query`.
    response_modes_supported: Vec<&'static str>,
    /// The ways to a token.
    grant_types_supported: Vec<&'static str>,
    /// How a program proves who it is; `none` for PUBLIC ones.
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    /// The same where tokens are ended.
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    /// The same where they are looked at, which is for CONFIDENTIAL programs.
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    /// `S256`.
    code_challenge_methods_supported: Vec<&'static str>,
    /// Answers say who gives them (RFC 9207).
    authorization_response_iss_parameter_supported: bool,
}

/// Read where the endpoints of OAuth are.
///
/// And what they understand, by RFC 8414.
#[utoipa::path(
    get,
    path = "/.well-known/oauth-authorization-server",
    tag = "OAuth",
    operation_id = "read_authorization_server",
    responses((status = 200, body = AuthorizationServerView, description = "Where everything is"), Always),
    security(()),
)]
pub async fn read_authorization_server(State(app): State<App>) -> Json<AuthorizationServerView> {
    const PROOFS: [&str; 3] = ["client_secret_basic", "client_secret_post", "none"];
    let issuer = app.mail.public_url();
    let at = |path: &str| format!("{issuer}{path}");
    Json(AuthorizationServerView {
        issuer: issuer.to_owned(),
        authorization_endpoint: at("/oauth/authorize"),
        token_endpoint: at("/oauth/token"),
        revocation_endpoint: at("/oauth/revoke"),
        introspection_endpoint: at("/oauth/introspect"),
        jwks_uri: at("/.well-known/jwks.json"),
        scopes_supported: Scope::for_programs().map(Scope::name).collect(),
        response_types_supported: vec!["code"],
        response_modes_supported: vec!["query"],
        grant_types_supported: Grant::ALL.map(Grant::name).to_vec(),
        token_endpoint_auth_methods_supported: PROOFS.to_vec(),
        revocation_endpoint_auth_methods_supported: PROOFS.to_vec(),
        introspection_endpoint_auth_methods_supported: PROOFS[..2].to_vec(),
        code_challenge_methods_supported: vec!["S256"],
        authorization_response_iss_parameter_supported: true,
    })
}
