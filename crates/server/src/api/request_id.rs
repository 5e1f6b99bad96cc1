//! The id of a request: the caller's, if it is sound, else a new one. It is on the answer, on events, on log lines and traces.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use directpay_domain::id::{ApiKeyId, OAuthClientId, UserId};
use tracing::field::{Empty, display};
use tracing::{Instrument, Span};

use crate::{clock, telemetry};

tokio::task_local! {
    static CURRENT: Current;
}

struct Current {
    id: String,
    /// What all log lines of the request stand in.
    lines: Span,
}

static HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request that this task works on; empty outside of one.
pub fn current() -> String {
    CURRENT.try_with(|current| current.id.clone()).unwrap_or_default()
}

/// Notes who is calling, and by which key if by one: all further log lines of the request say it.
pub fn is_of(user_id: UserId, api_key_id: Option<ApiKeyId>) {
    // Outside of a request there is nothing to note it on.
    let _outside = CURRENT.try_with(|current| {
        current.lines.record("user_id", display(user_id));
        if let Some(api_key_id) = api_key_id {
            current.lines.record("api_key_id", display(api_key_id));
        }
    });
}

/// Notes which program acts for whoever is calling.
pub fn is_by(oauth_client_id: OAuthClientId) {
    // As above.
    let _outside = CURRENT.try_with(|current| {
        current.lines.record("oauth_client_id", display(oauth_client_id));
    });
}

/// Gives each request its id.
pub async fn assign(request: Request, next: Next) -> Response {
    let given = request.headers().get(&HEADER).and_then(|value| value.to_str().ok()).filter(|id| is_sound(id));
    let id = given.map_or_else(|| clock::new_id().to_string(), str::to_owned);
    // Of the highest level, so that it is there for every line, whatever is filtered.
    let lines = tracing::error_span!(
        "request", request_id = %id, method = %request.method(), path = request.uri().path(), user_id = Empty,
        api_key_id = Empty, oauth_client_id = Empty
    );
    let trace = lines.in_scope(|| telemetry::trace_of(&request, &id));
    let current = Current { id: id.clone(), lines: lines.clone() };
    let answering = CURRENT.scope(current, next.run(request)).instrument(trace.clone());
    let mut response = answering.instrument(lines).await;
    telemetry::answered(&trace, response.status());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER.clone(), value);
    }
    response
}

fn is_sound(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}
