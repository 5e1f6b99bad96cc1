//! The programs that act for a person, and how to end that.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use directpay_domain::id::AuthorizationId;
use directpay_domain::oauth::Grant;
use directpay_domain::time::Instant;
use directpay_domain::trail::Action;
use directpay_store::Page;
use directpay_store::oauth::authorizations::{self, Authorization};
use directpay_store::oauth::clients::{self, Client};
use serde::Deserialize;

use super::session::Browser;
use super::{Frame, PageError, form, in_words, page, see_other, sign_in};
use crate::api::error::ApiError;
use crate::app::App;
use crate::oauth::end;

/// The most that are shown; hardly anybody has a handful.
const SHOWN_MAX: i64 = 100;

#[derive(Template)]
#[template(path = "programs.html")]
struct ProgramsPage {
    frame: Frame,
    programs: Vec<Program>,
    /// Registered by the person, for whom they act by a secret.
    own: Vec<Own>,
}

struct Own {
    id: String,
    name: String,
    since: String,
    powers: Vec<&'static str>,
}

impl Own {
    fn of(client: Client) -> Own {
        Own {
            id: client.id.to_string(),
            name: client.name,
            since: day(client.created_at),
            powers: client.scopes.iter().map(in_words).collect(),
        }
    }
}

struct Program {
    id: String,
    name: String,
    owner: String,
    /// The day, as RFC 3339 has it.
    since: String,
    powers: Vec<&'static str>,
}

impl Program {
    fn of(authorization: Authorization) -> Program {
        Program {
            id: authorization.id.to_string(),
            name: authorization.client_name,
            owner: authorization.owner_name,
            since: day(authorization.created_at),
            powers: authorization.scopes.iter().map(in_words).collect(),
        }
    }
}

fn day(at: Instant) -> String {
    at.to_string().chars().take("2026-03-01".len()).collect()
}

pub(super) async fn show(State(app): State<App>, browser: Browser) -> Result<Response, PageError> {
    let Some(session) = &browser.session else { return sign_in::form_page("/programs") };
    let mut tx = app.db.begin_read().await?;
    let now_us = app.clock.process_us();
    let found = authorizations::list(&mut tx, session.user_id, now_us, Page::first(SHOWN_MAX)).await?;
    let registered = clients::list(&mut tx, session.user_id, Page::first(SHOWN_MAX)).await?;
    drop(tx);
    let own = registered.into_iter().filter(|client| client.grants.contains(Grant::ClientCredentials));
    let own = own.map(Own::of).collect();
    let programs = found.into_iter().map(Program::of).collect();
    page(StatusCode::OK, &ProgramsPage { frame: Frame::of("Programs that act for you", &browser), programs, own }, None)
}

#[derive(Deserialize)]
struct RevokeForm {
    form_token: String,
    id: String,
}

pub(super) async fn revoke(State(app): State<App>, browser: Browser, request: Request) -> Result<Response, PageError> {
    let headers = request.headers().clone();
    let RevokeForm { form_token, id } = form(request).await?;
    let Some(session) = &browser.session else { return sign_in::form_page("/programs") };
    browser.must_have_sent(&app, &headers, &form_token)?;
    let id: AuthorizationId = id.parse().map_err(|_| ApiError::not_found())?;
    let now_us = app.clock.process_us();
    let mut tx = app.db.begin().await?;
    // One that was revoked a moment ago is as good as one that is revoked now.
    let own = authorizations::find(&mut tx, id, now_us).await?.filter(|found| found.user_id == session.user_id);
    if let Some(own) = own {
        end(&mut tx, id, own.user_id, Action::AuthorizationEnded, now_us).await?;
        tx.commit().await?;
        tracing::info!(oauth_client_id = %own.client_id, "an authorization was revoked on its page");
    }
    see_other("/programs")
}
