//! What a request counts for, and what its answer says about limits.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::auth::Caller;
use super::error::ApiError;
use crate::app::App;
use crate::limits::Standing;
use crate::origin::Origin;

/// Where the caller of a request stands, for its answer.
#[derive(Clone, Default)]
struct Standings(Arc<Mutex<Vec<Standing>>>);

impl Standings {
    fn note(&self, counted: Result<Option<Standing>, Standing>) -> Result<(), ApiError> {
        let standing = match counted {
            Ok(standing) => standing,
            Err(standing) => Some(standing),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(standing);
        counted.map(drop).map_err(|standing| ApiError::over_limit(&standing))
    }
}

/// Lets a request in if there is room and its address has not asked too much, and tells how much is left.
pub async fn limit(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let is_probe = matches!(request.uri().path(), "/health" | "/ready");
    if is_probe {
        return next.run(request).await;
    }
    let Some(_place) = app.limits.take_place() else {
        return ApiError::unavailable("too many requests are under way").into_response();
    };
    let origin = Origin::of(&app.trusted_proxies, request.extensions(), request.headers());
    let standings = Standings::default();
    let mut counted = standings.note(app.limits.count_address(origin));
    if counted.is_ok() && makes_hashes(request.method(), request.extensions()) {
        counted = standings.note(app.limits.count_sign_in(origin));
    }
    let mut response = match counted {
        Ok(()) => {
            request.extensions_mut().insert(standings.clone());
            next.run(request).await
        }
        Err(refused) => refused.into_response(),
    };
    tell(&standings.0.lock().unwrap_or_else(PoisonError::into_inner), response.headers_mut());
    response
}

/// Counts a request of `caller`.
pub fn count(parts: &Parts, app: &App, caller: Caller) -> Result<(), ApiError> {
    let Some(standings) = parts.extensions.get::<Standings>() else { return Ok(()) };
    standings.note(app.limits.count_caller(caller.user_id, caller.program()))?;
    if is_report(route(&parts.extensions)) {
        standings.note(app.limits.count_report(caller.user_id))?;
    }
    Ok(())
}

fn route(extensions: &Extensions) -> &str {
    extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str)
}

/// Whether a password is hashed for it, which is made to be dear, or a token drawn.
fn makes_hashes(method: &Method, extensions: &Extensions) -> bool {
    const ROUTES: [&str; 6] = [
        "/api/v1/auth/token",
        "/api/v1/auth/password-reset",
        "/api/v1/auth/password-reset/confirm",
        "/api/v1/users/",
        "/oauth/token",
        "/sign-in",
    ];
    let route = route(extensions);
    // Whatever people do about their own accounts asks for the password.
    method == Method::POST && (ROUTES.contains(&route) || route.starts_with("/api/v1/users/me/"))
}

/// Whether it goes through all that a landlord or a lease has.
pub fn is_report(route: &str) -> bool {
    route.starts_with("/api/v1/reports/") || route.ends_with("/statement")
}

/// The two headers of the Internet draft "RateLimit header fields for HTTP", as structured fields: what is allowed (`q` requests
/// in `w` seconds), and what is left (`r` requests; all of them again in `t` seconds).
fn tell(standings: &[Standing], headers: &mut HeaderMap) {
    if standings.is_empty() {
        return;
    }
    let (mut policy, mut left) = (String::new(), String::new());
    for (place, Standing { name, quota, remaining, reset_seconds }) in standings.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        // Writing into a string does not fail.
        let _never = write!(policy, "{comma}\"{name}\";q={quota};w=60");
        let _never = write!(left, "{comma}\"{name}\";r={remaining};t={reset_seconds}");
    }
    for (name, text) in [("ratelimit-policy", policy), ("ratelimit", left)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
}
