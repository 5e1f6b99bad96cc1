//! A program asks a person: may it act, and what may it do? (RFC 6749, section 4.1.1)

use askama::Template;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use directpay_domain::oauth::{RedirectUri, SecretKind};
use directpay_domain::user::Role;
use directpay_store::browser_sessions::BrowserSession;
use serde::Deserialize;

use super::session::Browser;
use super::{Frame, PageError, error_page, form, in_words, page, see_other, sign_in};
use crate::access::browser;
use crate::api::error::ApiError;
use crate::app::App;
use crate::oauth::authorize::{self, Asked, Wrong};
use crate::oauth::draw;

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage {
    frame: Frame,
    program: String,
    owner: String,
    /// For whom it would act.
    person: String,
    powers: Vec<&'static str>,
    /// Where the answer goes.
    leads_to: String,
    /// This very request, which the form repeats.
    request: String,
}

/// Where a form may lead, as a Content-Security-Policy says it, which has no words for addresses in brackets. Chromium holds each further
/// redirect to it as well, and a program may send the browser on to another of its hosts: `https` is open as a whole.
fn source(uri: &RedirectUri) -> String {
    match uri.origin() {
        _ if uri.is_bracketed() => "https: http:".to_owned(),
        origin if origin.starts_with("http://") => format!("https: {origin}"),
        _ => "https:".to_owned(),
    }
}

fn path(query: &str) -> String {
    format!("/oauth/authorize?{query}")
}

pub(super) async fn show(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    browser: Browser,
) -> Result<Response, PageError> {
    let query = query.unwrap_or_default();
    let mut tx = app.db.begin_read().await?;
    let read = authorize::read(&app, &mut tx, &query).await?;
    drop(tx);
    let asked = match read {
        Ok(asked) => asked,
        Err(wrong) => return Ok(refuse(wrong, &browser)),
    };
    let Some(session) = &browser.session else { return sign_in::form_page(&path(&query)) };
    must_be_acted_for(session)?;
    let powers = asked.scopes.iter().map(in_words).collect();
    let leads_to = asked.back.redirect_uri.origin().to_owned();
    let template = ConsentPage {
        frame: Frame::of("Let a program act for you?", &browser),
        program: asked.client.name,
        owner: asked.owner_name,
        person: session.full_name.clone(),
        powers,
        leads_to,
        request: path(&query),
    };
    page(StatusCode::OK, &template, Some(&source(&asked.back.redirect_uri)))
}

/// Tells the person, with a link by which the program is told where that is safe. Nobody is sent anywhere without a click, signed in
/// or not, or anybody could make an address of ours that leads to theirs (RFC 9700, section 4.11.2).
fn refuse(wrong: Wrong, browser: &Browser) -> Response {
    let (detail, back) = match wrong {
        Wrong::Untold(detail) => (detail, None),
        Wrong::Told { detail, address } => (detail, Some(address)),
    };
    error_page(ApiError::bad_request(detail), browser, back)
}

fn must_be_acted_for(session: &BrowserSession) -> Result<(), ApiError> {
    match session.role {
        Role::Landlord | Role::Renter => Ok(()),
        Role::Admin => Err(ApiError::forbidden("no program acts for administrators")),
    }
}

#[derive(Deserialize)]
struct ConsentForm {
    form_token: String,
    decision: String,
}

pub(super) async fn decide(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    browser: Browser,
    request: Request,
) -> Result<Response, PageError> {
    let query = query.unwrap_or_default();
    let headers = request.headers().clone();
    let ConsentForm { form_token, decision } = form(request).await?;
    if browser.session.is_none() {
        return sign_in::form_page(&path(&query));
    }
    browser.must_have_sent(&app, &headers, &form_token)?;
    let mut tx = app.db.begin().await?;
    let asked: Asked = match authorize::read(&app, &mut tx, &query).await? {
        Ok(asked) => asked,
        Err(wrong) => return Ok(refuse(wrong, &browser)),
    };
    // Once more, together with what is written.
    let session = browser::find(&app, &mut tx, browser.cookie()).await?.ok_or_else(ApiError::unauthorized)?;
    must_be_acted_for(&session)?;
    let address = match decision.as_str() {
        "allow" => {
            let code = draw(SecretKind::Code).map_err(|error| ApiError::internal(&error))?;
            authorize::agree(&app, &mut tx, &asked, &session, &code).await?
        }
        _ => asked.back.refused(&app),
    };
    tx.commit().await?;
    let client_id = asked.client.id;
    tracing::info!(oauth_client_id = %client_id, agreed = decision == "allow", "a person decided about a program");
    see_other(&address)
}
