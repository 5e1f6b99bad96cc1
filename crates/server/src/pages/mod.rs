//! Pages for people: rendered here, whole without JavaScript, and careful about who sends their forms.
//!
//! What they show and do is what the API shows and does; they have a cookie where the API has a token. A form is believed only if
//! the browser says that it comes from a page of ours, and if it holds what only the page of this session knows.

mod consent;
mod programs;
mod session;
mod sign_in;

use askama::Template;
use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use directpay_domain::api_key::Scope;
use serde::de::DeserializeOwned;

use self::session::Browser;
use crate::api::error::ApiError;
use crate::api::extract;
use crate::api::request_id;
use crate::app::App;

/// What pages are.
pub const HTML: &str = "text/html; charset=utf-8";

/// The paths of all pages, for the metrics.
pub const ROUTES: [&str; 6] = ["/sign-in", "/sign-out", "/oauth/authorize", "/programs", "/programs/revoke", STYLE];

const STYLE: &str = "/style.css";

/// The pages.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/oauth/authorize", get(consent::show).post(consent::decide))
        .route("/programs", get(programs::show))
        .route("/programs/revoke", post(programs::revoke))
        .route(STYLE, get(style))
}

async fn style() -> Response {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "public, max-age=3600")];
    (headers, include_str!("../../assets/style.css")).into_response()
}

/// What surrounds every page.
struct Frame {
    title: String,
    /// Who is signed in, if somebody is.
    person: Option<String>,
    /// What each form of the session holds; empty where nobody is signed in.
    form_token: String,
}

impl Frame {
    fn of(title: impl Into<String>, browser: &Browser) -> Frame {
        let person = browser.session.as_ref().map(|session| session.full_name.clone());
        Frame { title: title.into(), person, form_token: browser.form_token.clone() }
    }
}

/// A page. Its forms may be sent to this server, and on from here to `leads_to`.
fn page(status: StatusCode, template: &impl Template, leads_to: Option<&str>) -> Result<Response, PageError> {
    let html = template.render().map_err(|error| ApiError::internal(&error))?;
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'{}{}; base-uri 'none'; frame-ancestors 'none'",
        if leads_to.is_some() { " " } else { "" },
        leads_to.unwrap_or_default(),
    );
    let policy = HeaderValue::try_from(policy).map_err(|error| ApiError::internal(&error))?;
    // With `no-referrer` a browser says `Origin: null` of our own forms.
    let headers = [(CONTENT_TYPE, HTML), (REFERRER_POLICY, "same-origin")];
    let mut response = (status, headers, html).into_response();
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

/// Sends the browser elsewhere; it goes there by GET.
fn see_other(address: &str) -> Result<Response, PageError> {
    let address = HeaderValue::try_from(address).map_err(|error| ApiError::internal(&error))?;
    Ok((StatusCode::SEE_OTHER, [(LOCATION, address)]).into_response())
}

/// The fields of a form, each once.
async fn form<T: DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    let body = extract::body(request, &()).await?;
    serde_urlencoded::from_bytes(&body).map_err(|_| ApiError::bad_request("the form cannot be read"))
}

/// Where somebody wanted to go, if that is a page of ours.
fn local(next: &str) -> Option<&str> {
    let is_path = next.starts_with('/') && !next.starts_with("//");
    (is_path && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')).then_some(next)
}

/// A refusal as a page.
#[derive(Debug)]
struct PageError(ApiError);

impl<E: Into<ApiError>> From<E> for PageError {
    fn from(error: E) -> PageError {
        PageError(error.into())
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    detail: String,
    request_id: String,
    /// Back to the program that asked, which is told what is wrong.
    back: Option<String>,
}

fn error_page(error: ApiError, browser: &Browser, back: Option<String>) -> Response {
    let (status, detail, retry_after_seconds) = error.into_words();
    let title = status.canonical_reason().unwrap_or("Error");
    let template = ErrorPage { frame: Frame::of(title, browser), detail, request_id: request_id::current(), back };
    match page(status, &template, None) {
        Ok(mut response) => {
            if let Some(seconds) = retry_after_seconds {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
            }
            response
        }
        Err(PageError(error)) => error.into_response(),
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        error_page(self.0, &Browser::default(), None)
    }
}

/// What a scope lets a program do, in the words of the person for whom it acts.
pub fn in_words(scope: Scope) -> &'static str {
    match scope {
        Scope::UsersRead => {
            "See your name, e-mail address and phone number, and those of people on your leases; as a landlord, look people up by e-mail address"
        }
        Scope::BankAccountsRead => "See your linked bank accounts, without their full numbers",
        Scope::BankAccountsWrite => "Link bank accounts, choose the primary one, and take accounts out of use",
        Scope::PropertiesRead => "See your properties",
        Scope::PropertiesWrite => "Add properties",
        Scope::LeasesRead => "See your leases, what they charge, and their statements",
        Scope::LeasesWrite => "Sign and change leases, charge renters, and let charges off",
        Scope::PaymentsRead => "See your payments and their histories",
        Scope::PaymentsWrite => "Move your money: pay, refund, return deposits, and set up automatic payments",
        Scope::EventsRead => "Follow everything that happens on your leases and payments",
        Scope::ReportsRead => "See your reports",
        Scope::WebhooksRead => "See where your events are sent",
        Scope::WebhooksWrite => "Have your events sent to addresses that it chooses",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/programs", true)]
    #[case("/oauth/authorize?client_id=x&state=%2F%2F", true)]
    #[case("", false)]
    #[case("programs", false)]
    #[case("//evil.example", false)]
    #[case("/\\evil.example", false)]
    #[case("https://evil.example", false)]
    #[case("/\t/evil.example", false)]
    #[case("/\r\nSet-Cookie: x", false)]
    fn only_paths_of_our_own_are_gone_on_to(#[case] next: &str, #[case] is_local: bool) {
        assert_eq!(local(next).is_some(), is_local);
    }
}
