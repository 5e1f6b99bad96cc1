//! The id of a request: the caller's, if it is sound, else a new one. It is on the answer, on events and on log lines.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use crate::clock;

tokio::task_local! {
    static CURRENT: String;
}

static HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request that this task works on; empty outside of one.
pub fn current() -> String {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

/// Gives each request its id.
pub async fn assign(request: Request, next: Next) -> Response {
    let given = request.headers().get(&HEADER).and_then(|value| value.to_str().ok()).filter(|id| is_sound(id));
    let id = given.map_or_else(|| clock::new_id().to_string(), str::to_owned);
    let span = tracing::info_span!(
        "request", request_id = %id, method = %request.method(), path = request.uri().path(),
        api_key_id = tracing::field::Empty
    );
    let mut response = CURRENT.scope(id.clone(), next.run(request)).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER.clone(), value);
    }
    response
}

fn is_sound(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}
