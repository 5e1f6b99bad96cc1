//! Signing in and out by a browser: the same rules, limits and throttle as for programs of our own.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use directpay_domain::invalid::Invalid;
use serde::Deserialize;

use super::session::{Browser, must_be_of_our_page, set_cookie};
use super::{Frame, PageError, form, local, page, see_other};
use crate::access::browser;
use crate::access::sign_in::SignInError;
use crate::api::error::ApiError;
use crate::api::extract::Query;
use crate::app::App;
use crate::origin::Origin;

/// Where somebody goes who did not say.
const HOME: &str = "/programs";

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    /// Where to go then.
    next: String,
    email: String,
    /// What went wrong with the last try.
    problem: Option<String>,
}

/// The form, for going on to `next`.
pub(super) fn form_page(next: &str) -> Result<Response, PageError> {
    let frame = Frame::of("Sign in", &Browser::default());
    page(StatusCode::OK, &SignInPage { frame, next: next.to_owned(), email: String::new(), problem: None }, None)
}

#[derive(Deserialize)]
pub(super) struct NextQuery {
    next: Option<String>,
}

pub(super) async fn show(browser: Browser, Query(query): Query<NextQuery>) -> Result<Response, PageError> {
    let next = query.next.as_deref().and_then(local).unwrap_or(HOME);
    if browser.session.is_some() { see_other(next) } else { form_page(next) }
}

#[derive(Deserialize)]
struct SignInForm {
    email: String,
    password: String,
    #[serde(default)]
    otp: String,
    #[serde(default)]
    next: String,
}

pub(super) async fn sign_in(State(app): State<App>, origin: Origin, request: Request) -> Result<Response, PageError> {
    must_be_of_our_page(&app, request.headers())?;
    let SignInForm { email, password, otp, next } = form(request).await?;
    let next = local(&next).unwrap_or(HOME);
    let code = Some(otp.trim()).filter(|code| !code.is_empty());
    match browser::sign_in(&app, &email, &password, code, origin).await {
        Ok(cookie) => {
            let mut response = see_other(next)?;
            response.headers_mut().insert(SET_COOKIE, set_cookie(&app, Some(&cookie))?);
            tracing::info!("a browser signed in");
            Ok(response)
        }
        Err(error) => again(error, email, next),
    }
}

/// The form again, with what went wrong; the password has to be typed once more.
fn again(error: SignInError, email: String, next: &str) -> Result<Response, PageError> {
    let problem = match &error {
        SignInError::Denied => "E-mail address or password is wrong.",
        SignInError::CodeNeeded => "Your account has a second factor: enter its one-time code as well.",
        SignInError::WrongCode => "The one-time code is wrong.",
        SignInError::Throttled { .. } => "Too many tries.",
        SignInError::Password(_)
        | SignInError::Store(_)
        | SignInError::Unsigned(_)
        | SignInError::NoRandomness(_)
        | SignInError::Unwritten(_) => return Err(error.into()),
    };
    let refusal = if let SignInError::Throttled { wait_seconds } = error {
        ApiError::too_many_failures(wait_seconds)
    } else {
        ApiError::invalid("password", Invalid::new("wrong", problem))
    };
    let (status, _, wait) = refusal.into_words();
    let problem = Some(match wait {
        Some(seconds) => format!("{problem} Try again in {seconds} seconds."),
        None => problem.to_owned(),
    });
    let frame = Frame::of("Sign in", &Browser::default());
    let mut response = page(status, &SignInPage { frame, next: next.to_owned(), email, problem }, None)?;
    if let Some(seconds) = wait {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(response)
}

#[derive(Deserialize)]
struct SignOutForm {
    form_token: String,
}

pub(super) async fn sign_out(
    State(app): State<App>,
    browser: Browser,
    request: Request,
) -> Result<Response, PageError> {
    let headers = request.headers().clone();
    // Also where nobody is signed in: a form of another site comes without the cookie, and must not take it away.
    must_be_of_our_page(&app, &headers)?;
    let SignOutForm { form_token } = form(request).await?;
    if let Some(session) = &browser.session {
        browser.must_have_sent(&app, &headers, &form_token)?;
        browser::sign_out(&app, session).await?;
    }
    let mut response = see_other("/sign-in")?;
    response.headers_mut().insert(SET_COOKIE, set_cookie(&app, None)?);
    Ok(response)
}
