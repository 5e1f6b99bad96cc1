//! Who is calling, and the two endpoints that deal in tokens.

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use directpay_domain::api_key::{ApiKeySecret, Scope};
use directpay_domain::id::{ApiKeyId, OAuthClientId, UserId};
use directpay_domain::oauth::SecretKind;
use directpay_domain::payment::Actor;
use directpay_domain::trail::Credential;
use directpay_domain::user::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::{ApiError, TokenError};
use super::extract::body;
use super::problem::{Always, OAuthProblem, Problem};
use super::{limits, request_id, scopes};
use crate::access::api_keys;
use crate::access::sign_in::{self, Session};
use crate::app::App;
use crate::limits::Program;
use crate::oauth::tokens;
use crate::origin::Origin;

/// A signed-in person, or one for whom a program acts, by an API key or because the person let it.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// Who.
    pub user_id: UserId,
    /// What the person may do.
    pub role: Role,
    /// The key, if one was used; it has the scope of what is asked for.
    api_key_id: Option<ApiKeyId>,
    /// The program of somebody else's, if one acts for the person; its token has the scope of what is asked for.
    oauth_client_id: Option<OAuthClientId>,
    /// The sign-in that the access token came from; a program has none.
    pub session: Option<Uuid>,
}

impl Caller {
    /// Who sends these headers, by what is true now; `needed` is the scope that a program must have.
    pub async fn of(
        headers: &HeaderMap,
        app: &App,
        needed: impl FnOnce() -> Option<Scope>,
    ) -> Result<Caller, ApiError> {
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (scheme, token) = header.and_then(|text| text.split_once(' ')).ok_or_else(ApiError::unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(ApiError::unauthorized());
        }
        let token = token.trim();
        if token.starts_with(SecretKind::AccessToken.prefix()) {
            return by_access_token(app, token, needed()).await;
        }
        if ApiKeySecret::is_meant_by(token) {
            return by_key(app, token, needed()).await;
        }
        let identity = app.tokens.verify(token, app.clock.process_us()).ok_or_else(ApiError::unauthorized)?;
        request_id::is_of(identity.user_id, identity.role, Some(Credential::Session(identity.session)));
        let session = Some(identity.session);
        Ok(Caller { session, ..Caller::person(identity.user_id, identity.role) })
    }

    /// A person for whom something is shown that was not asked for.
    pub fn person(user_id: UserId, role: Role) -> Caller {
        Caller { user_id, role, api_key_id: None, oauth_client_id: None, session: None }
    }

    /// Who acts, for histories.
    pub fn actor(self) -> Actor {
        Actor::User { id: self.user_id, api_key_id: self.api_key_id, oauth_client_id: self.oauth_client_id }
    }

    /// What acts for the person, if it is not the person.
    pub fn program(self) -> Option<Program> {
        let client = self.oauth_client_id.map(|client| Program::Client(client, self.user_id));
        self.api_key_id.map(Program::Key).or(client)
    }

    /// Whether the caller is an administrator.
    pub fn is_admin(self) -> bool {
        self.role == Role::Admin
    }

    /// Goes on for the person itself and for administrators; for others it does not exist.
    pub fn must_be(self, owner: UserId) -> Result<(), ApiError> {
        if self.user_id == owner || self.is_admin() { Ok(()) } else { Err(ApiError::not_found()) }
    }

    /// Goes on for landlords only.
    pub fn must_be_landlord(self) -> Result<(), ApiError> {
        match self.role {
            Role::Landlord => Ok(()),
            Role::Renter | Role::Admin => Err(ApiError::forbidden("only landlords may do this")),
        }
    }

    /// Goes on for administrators only.
    pub fn must_be_admin(self) -> Result<(), ApiError> {
        if self.is_admin() { Ok(()) } else { Err(ApiError::forbidden("only administrators may do this")) }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Caller, ApiError> {
        let needed = || {
            let route = parts.extensions.get::<MatchedPath>()?;
            scopes::needed(&parts.method, route.as_str())
        };
        let caller = Caller::of(&parts.headers, app, needed).await?;
        limits::count(parts, app, caller)?;
        Ok(caller)
    }
}

/// The owner of a key that may do what this request asks for.
async fn by_key(app: &App, key: &str, needed: Option<Scope>) -> Result<Caller, ApiError> {
    let key = api_keys::present(app, key).await?;
    let scope = needed.ok_or_else(ApiError::closed_to_api_keys)?;
    if !key.scopes.contains(scope) {
        return Err(ApiError::insufficient_scope(scope));
    }
    Ok(Caller { api_key_id: Some(key.id), ..Caller::person(key.user_id, key.role) })
}

/// The person who let the program of a token do what this request asks for.
async fn by_access_token(app: &App, token: &str, needed: Option<Scope>) -> Result<Caller, ApiError> {
    let token = tokens::present(app, token).await?.ok_or_else(ApiError::invalid_token)?;
    request_id::is_of(token.user_id, token.role, Some(Credential::OAuthClient(token.client_id)));
    let scope = needed.filter(|scope| !scope.is_for_keys_only()).ok_or_else(ApiError::closed_to_oauth)?;
    if !token.scopes.contains(scope) {
        return Err(ApiError::insufficient_scope(scope));
    }
    Ok(Caller { oauth_client_id: Some(token.client_id), ..Caller::person(token.user_id, token.role) })
}

/// The form of the token endpoint.
#[derive(Deserialize, ToSchema)]
pub struct TokenRequest {
    /// `password` or `refresh_token`.
    #[schema(example = "password")]
    grant_type: Option<String>,
    /// The e-mail address; with `password`.
    #[schema(example = "alice@example.com")]
    username: Option<String>,
    /// With `password`.
    #[schema(format = Password)]
    password: Option<String>,
    /// With `password`, where a second factor is on: a one-time code or a recovery code. Without it the answer is `mfa_required`.
    #[schema(example = "123456")]
    otp: Option<String>,
    /// With `refresh_token`.
    refresh_token: Option<String>,
}

/// The form of the revocation endpoint (RFC 7009).
#[derive(Deserialize, ToSchema)]
pub struct RevokeRequest {
    /// An access or refresh token.
    token: Option<String>,
    /// Accepted and not needed.
    #[expect(dead_code, reason = "part of the protocol; both kinds are told apart without it")]
    token_type_hint: Option<String>,
}

/// A signed-in session.
#[derive(Serialize, ToSchema)]
pub struct TokenView {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds for which the access token is good.
    #[schema(example = 900)]
    expires_in: i64,
    /// Good once, for 30 days.
    refresh_token: String,
}

/// Get an access token.
///
/// OAuth 2.0 token endpoint for DirectPay's own sign-in: with e-mail and password, or with a refresh token, which is good for
/// one use. A refresh token that comes a second time ends the whole session. Where a second factor is on, the right e-mail and password
/// alone are answered by `mfa_required`; send them again with `otp`.
#[utoipa::path(
    post,
    path = "/auth/token",
    tag = "sign-in",
    operation_id = "create_token",
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, body = TokenView, description = "Signed in"),
        (status = 400, body = OAuthProblem, description = "Refused as RFC 6749 says"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "The body is longer than 1 MiB"),
        (status = 415, body = Problem, content_type = "application/problem+json", description = "The body is not a form"),
        Always,
    ),
    security(()),
)]
pub async fn create_token(State(app): State<App>, origin: Origin, request: Request) -> Result<Response, TokenError> {
    let form: TokenRequest = form(request).await?;
    let session = match form.grant_type.as_deref() {
        Some("password") => {
            let (Some(username), Some(password)) = (form.username, form.password) else {
                return Err(TokenError::oauth("invalid_request", "username and password are needed"));
            };
            sign_in::with_password(&app, &username, &password, form.otp.as_deref(), origin).await?
        }
        Some("refresh_token") => {
            let Some(token) = form.refresh_token else {
                return Err(TokenError::oauth("invalid_request", "refresh_token is needed"));
            };
            sign_in::with_refresh_token(&app, &token).await?
        }
        Some(_) => return Err(TokenError::oauth("unsupported_grant_type", "take password or refresh_token")),
        None => return Err(TokenError::oauth("invalid_request", "grant_type is needed")),
    };
    let Session { access_token, expires_in, refresh_token } = session;
    let view = TokenView { access_token, token_type: "Bearer", expires_in, refresh_token };
    Ok(([(CACHE_CONTROL, "no-store")], axum::Json(view)).into_response())
}

/// End a session.
///
/// RFC 7009: takes an access or refresh token and ends the whole session that it belongs to. Access tokens that are out live
/// for their 15 minutes at most. A token that is worthless already is no error.
#[utoipa::path(
    post,
    path = "/auth/revoke",
    tag = "sign-in",
    operation_id = "revoke_token",
    request_body(content = RevokeRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The session is over"),
        (status = 400, body = OAuthProblem, description = "Refused as RFC 6749 says"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "The body is longer than 1 MiB"),
        (status = 415, body = Problem, content_type = "application/problem+json", description = "The body is not a form"),
        Always,
    ),
    security(()),
)]
pub async fn revoke_token(State(app): State<App>, request: Request) -> Result<(), TokenError> {
    let form: RevokeRequest = form(request).await?;
    let Some(token) = form.token else {
        return Err(TokenError::oauth("invalid_request", "token is needed"));
    };
    if ApiKeySecret::is_meant_by(&token) {
        let detail = "an API key is revoked by its owner (POST /api/v1/api-keys/{id}/revoke), a program's token at /oauth/revoke";
        return Err(TokenError::oauth("unsupported_token_type", detail));
    }
    sign_in::revoke(&app, &token).await?;
    Ok(())
}

/// A body that is a form, each field once.
pub async fn form<T: serde::de::DeserializeOwned>(request: Request) -> Result<T, TokenError> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(ApiError::unsupported_media_type("application/x-www-form-urlencoded").into());
    }
    let body = body(request, &()).await?;
    serde_urlencoded::from_bytes(&body)
        .map_err(|_| TokenError::oauth("invalid_request", "the form cannot be read, or a field stands twice"))
}
