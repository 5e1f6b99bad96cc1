//! The id of a request: the caller's, if it is sound, else a new one. It is on the answer, on events, on log lines and traces.
//! Beside it stands what the trail says of a request: who sends it, and from where.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::header::USER_AGENT;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use directpay_domain::id::UserId;
use directpay_domain::trail::{Actor, Credential, Subject, clean_user_agent};
use directpay_domain::user::Role;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span};

use crate::app::App;
use crate::origin::Origin;
use crate::{clock, telemetry};

tokio::task_local! {
    static CURRENT: Current;
}

struct Current {
    id: String,
    /// What all log lines of the request stand in.
    lines: Span,
    /// From where it comes; all of an IPv6 network counts as one.
    address: IpAddr,
    user_agent: Option<HeaderValue>,
    /// Who sends it, once that is known.
    actor: Mutex<Option<Actor>>,
    /// Whose books or past it reads, once that is known.
    looks_at: Mutex<Option<Subject>>,
}

static HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of the request that this task works on; empty outside of one.
pub fn current() -> String {
    CURRENT.try_with(|current| current.id.clone()).unwrap_or_default()
}

/// Notes who is calling, and what they have shown: all further log lines of the request say it, and the trail does.
pub fn is_of(user_id: UserId, role: Role, credential: Option<Credential>) {
    // Outside of a request there is nothing to note it on.
    let _outside = CURRENT.try_with(|current| {
        current.lines.record("user_id", display(user_id));
        match credential {
            Some(Credential::ApiKey(id)) => drop(current.lines.record("api_key_id", display(id))),
            Some(Credential::OAuthClient(id)) => drop(current.lines.record("oauth_client_id", display(id))),
            Some(Credential::Session(_)) | None => {}
        }
        if credential.is_some() {
            let actor = Actor::User { id: user_id, is_admin: role == Role::Admin, credential };
            *current.actor.lock().unwrap_or_else(PoisonError::into_inner) = Some(actor);
        }
    });
}

/// Who sends the request that this task works on; nobody in particular if that is not known.
pub fn actor() -> Actor {
    let actor = CURRENT.try_with(|current| *current.actor.lock().unwrap_or_else(PoisonError::into_inner));
    actor.ok().flatten().unwrap_or(Actor::Nobody)
}

/// Notes whose books or past the request reads, for the trail.
pub fn looks_at(subject: impl Into<Subject>) {
    let subject = subject.into();
    let _outside = CURRENT.try_with(|current| {
        *current.looks_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(subject);
    });
}

/// Whose books or past the request reads that this task works on, where that was noted.
pub fn looked_at() -> Option<Subject> {
    let noted = CURRENT.try_with(|current| *current.looks_at.lock().unwrap_or_else(PoisonError::into_inner));
    noted.ok().flatten()
}

/// From where the request comes that this task works on; none outside of one.
pub fn address() -> Option<IpAddr> {
    CURRENT.try_with(|current| current.address).ok()
}

/// What the program there says of itself.
pub fn user_agent() -> Option<String> {
    let stated =
        |current: &Current| Some(clean_user_agent(&String::from_utf8_lossy(current.user_agent.as_ref()?.as_bytes())));
    CURRENT.try_with(stated).ok().flatten()
}

/// Gives each request its id.
pub async fn assign(State(app): State<App>, request: Request, next: Next) -> Response {
    let given = request.headers().get(&HEADER).and_then(|value| value.to_str().ok()).filter(|id| is_sound(id));
    let id = given.map_or_else(|| clock::new_id().to_string(), str::to_owned);
    // Of the highest level, so that it is there for every line, whatever is filtered.
    let lines = tracing::error_span!(
        "request", request_id = %id, method = %request.method(), path = request.uri().path(), user_id = Empty,
        api_key_id = Empty, oauth_client_id = Empty
    );
    let trace = lines.in_scope(|| telemetry::trace_of(&request, &id));
    let current = Current {
        id: id.clone(),
        lines: lines.clone(),
        address: Origin::of(&app.trusted_proxies, request.extensions(), request.headers()).household(),
        user_agent: request.headers().get(USER_AGENT).cloned(),
        actor: Mutex::new(None),
        looks_at: Mutex::new(None),
    };
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
