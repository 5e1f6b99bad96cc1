//! Which browser it is, and whether its form comes from a page of ours.

use axum::extract::FromRequestParts;
use axum::http::header::{COOKIE, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use directpay_domain::trail::Credential;
use directpay_store::browser_sessions::BrowserSession;

use super::PageError;
use crate::access::browser;
use crate::api::error::ApiError;
use crate::api::request_id;
use crate::app::App;

/// A browser, and who is signed in by it.
#[derive(Debug, Default)]
pub(super) struct Browser {
    cookie: String,
    /// The session, if somebody is signed in.
    pub(super) session: Option<BrowserSession>,
    /// What each form of the session holds; empty where nobody is signed in.
    pub(super) form_token: String,
}

impl FromRequestParts<App> for Browser {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Browser, PageError> {
        let Some(cookie) = cookie(app, &parts.headers) else { return Ok(Browser::default()) };
        let mut tx = app.db.begin_read().await?;
        let session = browser::find(app, &mut tx, &cookie).await?;
        drop(tx);
        let Some(found) = &session else { return Ok(Browser::default()) };
        request_id::is_of(found.user_id, found.role, Some(Credential::Session(found.family)));
        let standing = app.limits.count_caller(found.user_id, None);
        standing.map_err(|standing| ApiError::over_limit(&standing))?;
        let form_token = browser::form_token(app, &cookie);
        Ok(Browser { cookie, session, form_token })
    }
}

impl Browser {
    /// What its cookie holds.
    pub(super) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Goes on if the form was sent by a page of this session.
    pub(super) fn must_have_sent(&self, app: &App, headers: &HeaderMap, token: &str) -> Result<(), ApiError> {
        must_be_of_our_page(app, headers)?;
        // Who sees how long a comparison takes learns nothing of a keyed hash, which nobody can look for step by step.
        let is_known = !self.form_token.is_empty() && self.form_token == token;
        if is_known { Ok(()) } else { Err(ApiError::foreign_form()) }
    }
}

/// Goes on if the browser says that a page of this server sends the form, by `Sec-Fetch-Site`, or by `Origin` where the server has a
/// bare http name, to which browsers say no more; a form without any of both comes from no browser that people should use.
pub(super) fn must_be_of_our_page(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let said = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let origin = headers.get(ORIGIN).map(HeaderValue::as_bytes);
    let is_ours = match (said, origin) {
        (Some(site), _) => site == b"same-origin",
        (None, Some(origin)) => origin == origin_of(app.mail.public_url()).as_bytes(),
        (None, None) => false,
    };
    if is_ours { Ok(()) } else { Err(ApiError::foreign_form()) }
}

/// Scheme, host and port of an address, which is all that a browser says in `Origin`.
fn origin_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + "://".len());
    let end = url.get(host..).and_then(|rest| rest.find('/')).map_or(url.len(), |length| host + length);
    url.get(..end).unwrap_or(url)
}

/// A browser lets nobody else set a cookie with this beginning, and sends it over TLS only.
const SAFE_NAME: &str = "__Host-directpay";
/// Where there is no TLS, which is for trying out on one's own machine.
const BARE_NAME: &str = "directpay";

fn is_safe(app: &App) -> bool {
    app.mail.public_url().starts_with("https://")
}

fn cookie(app: &App, headers: &HeaderMap) -> Option<String> {
    let name = if is_safe(app) { SAFE_NAME } else { BARE_NAME };
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    let mut values = pairs.filter_map(|pair| pair.trim().split_once('=')).filter(|(key, _)| *key == name);
    let (_, value) = values.next()?;
    // Of two somebody else has set one.
    values.next().is_none().then(|| value.to_owned())
}

/// The header that gives the browser its cookie, or takes it away.
pub(super) fn set_cookie(app: &App, value: Option<&str>) -> Result<HeaderValue, ApiError> {
    let (name, secure) = if is_safe(app) { (SAFE_NAME, "; Secure") } else { (BARE_NAME, "") };
    let end = if value.is_some() { "" } else { "; Max-Age=0" };
    let text = format!("{name}={}; Path=/; HttpOnly; SameSite=Lax{secure}{end}", value.unwrap_or_default());
    HeaderValue::try_from(text).map_err(|error| ApiError::internal(&error))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://rent.example.com", "https://rent.example.com")]
    #[case("https://rent.example.com:8443/portal/rent", "https://rent.example.com:8443")]
    #[case("http://rent.lan/portal", "http://rent.lan")]
    fn an_origin_has_no_path(#[case] url: &str, #[case] origin: &str) {
        assert_eq!(origin_of(url), origin);
    }
}
