//! The HTTP interface: the table of routes and what surrounds every request.

pub mod accounts;
pub mod amount;
pub mod api_keys;
pub mod auth;
pub mod bank_accounts;
pub mod csv_file;
pub mod document;
pub mod error;
pub mod extract;
pub mod feed;
pub mod health;
pub mod json_object;
pub mod json_web_keys;
pub mod leases;
pub mod limits;
pub mod oauth;
pub mod payments;
pub mod problem;
pub mod properties;
pub mod reports;
pub mod request_id;
pub mod sandbox_clock;
pub mod scopes;
pub mod trail;
pub mod users;
pub mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use self::error::ApiError;
use self::extract::Json;
use self::problem::PROBLEM_JSON;
use crate::app::App;
use crate::clock::Stopwatch;
use crate::metrics::requests::Requests;
use crate::pages;

/// The longest body.
const BODY_MAX_BYTES: usize = 1024 * 1024;
/// After this a request is answered with "not now", whatever it waits for.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "DirectPay",
        description = "Rent moves straight from a renter's bank account to the landlord's, exactly once, with a history that an auditor can replay.",
        contact(name = "Whoever runs this server"),
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "users", description = "People: landlords and renters"),
        (name = "sign-in", description = "Access and refresh tokens"),
        (name = "account", description = "The own password, address, profile and second factor"),
        (name = "API keys", description = "For programs that act for a person"),
        (name = "OAuth", description = "For programs of others that act for people who let them"),
        (name = "bank accounts", description = "Where money comes from and goes to"),
        (name = "properties", description = "What is let"),
        (name = "leases", description = "Who rents what, and what is due when"),
        (name = "payments", description = "Money on its way, exactly once"),
        (name = "events", description = "What happens, in one order, for programs that follow it"),
        (name = "webhooks", description = "What happens, sent to programs, signed"),
        (name = "reports", description = "What a landlord's books say, and what each number is made of"),
        (name = "audit", description = "Who did what from where"),
        (name = "sandbox", description = "Trying out what takes months"),
        (name = "health", description = "For whoever runs the server"),
    ),
)]
struct Document;

fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(users::create_user))
        .routes(routes!(users::read_me, accounts::email::update_me))
        .routes(routes!(users::read_user))
        .routes(routes!(users::list_users))
        .routes(routes!(auth::create_token))
        .routes(routes!(auth::revoke_token))
        .routes(routes!(accounts::password::change_password))
        .routes(routes!(accounts::password::request_password_reset))
        .routes(routes!(accounts::password::confirm_password_reset))
        .routes(routes!(accounts::email::change_email))
        .routes(routes!(accounts::email::send_email_verification))
        .routes(routes!(accounts::email::confirm_email))
        .routes(routes!(accounts::second_factor::read_second_factor, accounts::second_factor::begin_second_factor))
        .routes(routes!(accounts::second_factor::confirm_second_factor))
        .routes(routes!(accounts::second_factor::disable_second_factor))
        .routes(routes!(accounts::second_factor::renew_recovery_codes))
        .routes(routes!(accounts::second_factor::remove_second_factor))
        .routes(routes!(api_keys::create_api_key, api_keys::list_api_keys))
        .routes(routes!(api_keys::read_api_key))
        .routes(routes!(api_keys::revoke_api_key))
        .routes(routes!(bank_accounts::create_bank_account))
        .routes(routes!(bank_accounts::list_bank_accounts))
        .routes(routes!(bank_accounts::set_primary_bank_account))
        .routes(routes!(bank_accounts::activate_bank_account))
        .routes(routes!(bank_accounts::deactivate_bank_account))
        .routes(routes!(properties::create_property))
        .routes(routes!(properties::read_property))
        .routes(routes!(properties::list_properties))
        .routes(routes!(leases::create_lease, leases::list_leases))
        .routes(routes!(leases::read_lease))
        .routes(routes!(leases::read_schedule))
        .routes(routes!(leases::statement::read_balance))
        .routes(routes!(leases::statement::read_statement))
        .routes(routes!(leases::list_leases_of_renter))
        .routes(routes!(leases::list_leases_of_property))
        .routes(routes!(leases::terminate_lease))
        .routes(routes!(leases::shares::read_shares, leases::shares::set_shares))
        .routes(routes!(leases::autopay::sign_mandate, leases::autopay::list_mandates))
        .routes(routes!(leases::autopay::pause_mandate))
        .routes(routes!(leases::autopay::resume_mandate))
        .routes(routes!(leases::autopay::revoke_mandate))
        .routes(routes!(leases::autopay::skip_draw))
        .routes(routes!(leases::history::read_lease_history))
        .routes(routes!(leases::quote::read_quote))
        .routes(routes!(leases::charges::create_charge, leases::charges::list_charges))
        .routes(routes!(leases::charges::void_charge))
        .routes(routes!(leases::charges::grant_credit))
        .routes(routes!(leases::deposits::read_deposit))
        .routes(routes!(leases::deposit_return::return_deposit))
        .routes(routes!(leases::extras::add_extra, leases::extras::list_extras))
        .routes(routes!(leases::extras::end_extra))
        .routes(routes!(leases::extras::change_rent))
        .routes(routes!(leases::rules::set_payment_policy))
        .routes(routes!(leases::rules::set_charge_notice))
        .routes(routes!(leases::rules::set_late_fees, leases::rules::read_late_fees))
        .routes(routes!(payments::initiate_payment, payments::list_payments))
        .routes(routes!(payments::read_payment))
        .routes(routes!(payments::history::read_history))
        .routes(routes!(payments::list_payments_of_lease))
        .routes(routes!(payments::cancel_payment))
        .routes(routes!(payments::retry_payment))
        .routes(routes!(reports::rent_roll::read_rent_roll))
        .routes(routes!(reports::rent_roll::explain_rent_roll))
        .routes(routes!(reports::arrears::read_arrears))
        .routes(routes!(reports::arrears::explain_arrears))
        .routes(routes!(reports::month::read_month))
        .routes(routes!(reports::month::explain_month))
        .routes(routes!(reports::payments::read_payments))
        .routes(routes!(reports::income::read_income))
        .routes(routes!(reports::income::explain_income))
        .routes(routes!(feed::read_events))
        .routes(routes!(feed::listen::listen_to_events))
        .routes(routes!(webhooks::create_webhook, webhooks::list_webhooks))
        .routes(routes!(webhooks::read_webhook, webhooks::update_webhook, webhooks::delete_webhook))
        .routes(routes!(webhooks::pause_webhook))
        .routes(routes!(webhooks::resume_webhook))
        .routes(routes!(webhooks::rotate_webhook_secret))
        .routes(routes!(webhooks::deliveries::test_webhook))
        .routes(routes!(webhooks::deliveries::resend_range))
        .routes(routes!(webhooks::deliveries::list_deliveries))
        .routes(routes!(webhooks::deliveries::read_delivery))
        .routes(routes!(webhooks::deliveries::resend_delivery))
        .routes(routes!(trail::list_audit_entries))
        .routes(routes!(sandbox_clock::read_clock))
        .routes(routes!(sandbox_clock::advance_clock))
        .routes(routes!(oauth::clients::create_oauth_client, oauth::clients::list_oauth_clients))
        .routes(routes!(
            oauth::clients::read_oauth_client,
            oauth::clients::update_oauth_client,
            oauth::clients::delete_oauth_client
        ))
        .routes(routes!(oauth::clients::rotate_oauth_client_secret))
        .routes(routes!(oauth::authorizations::list_authorizations))
        .routes(routes!(oauth::authorizations::revoke_authorization))
}

fn whole() -> (Router<App>, OpenApi) {
    let (routes, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .nest("/api/v1", routes())
        .routes(routes!(health::read_health))
        .routes(routes!(health::read_readiness))
        .routes(routes!(json_web_keys::read_json_web_keys))
        .routes(routes!(oauth::endpoints::create_oauth_token))
        .routes(routes!(oauth::endpoints::revoke_oauth_token))
        .routes(routes!(oauth::endpoints::introspect_oauth_token))
        .routes(routes!(oauth::endpoints::read_authorization_server))
        .split_for_parts();
    scopes::describe(&mut document);
    document::refer_to_components(&mut document);
    (routes, document)
}

/// The API document.
pub fn document() -> OpenApi {
    whole().1
}

/// Everything that answers requests.
pub fn router(app: App) -> Router {
    let (routes, document) = whole();
    let requests = Requests::new(
        app.metrics.registry(),
        document.paths.paths.keys().cloned().chain(pages::ROUTES.map(str::to_owned)),
    );
    let docs = SwaggerUi::new("/docs").url("/openapi.json", document);
    let inner = routes
        .merge(docs)
        .merge(pages::routes())
        .fallback(async || ApiError::not_found())
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(CatchPanicLayer::custom(|_| ApiError::panicked().into_response()))
        .layer(middleware::from_fn_with_state(app.clone(), limits::limit))
        .layer(middleware::from_fn_with_state(Arc::new(requests), surround))
        .layer(middleware::from_fn_with_state(app.clone(), trail::watch))
        .layer(middleware::from_fn_with_state(app.clone(), request_id::assign))
        .with_state(app);
    // Routes are chosen before inner layers run: the path must be in its written form by then.
    Router::new().fallback_service(tower::Layer::layer(&middleware::from_fn(in_written_form), inner))
}

/// The collections, whose written form ends with a slash; all other paths are written without.
const COLLECTIONS: [&str; 9] = [
    "/api/v1/users",
    "/api/v1/api-keys",
    "/api/v1/bank-accounts",
    "/api/v1/properties",
    "/api/v1/leases",
    "/api/v1/payments",
    "/api/v1/webhooks",
    "/api/v1/oauth/clients",
    "/api/v1/me/authorizations",
];

/// Every path works with and without its trailing slash.
async fn in_written_form(mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let bare = path.strip_suffix('/').unwrap_or(path);
    let ends_with_slash = COLLECTIONS.contains(&bare);
    if bare.is_empty() || ends_with_slash == path.ends_with('/') || path.starts_with("/docs") {
        return next.run(request).await;
    }
    let written = if ends_with_slash { format!("{bare}/") } else { bare.to_owned() };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(uri) = format!("{written}{query}").parse() {
        *request.uri_mut() = uri;
    }
    next.run(request).await
}

/// What every request gets: a limit on its time, a line in the log, its place in the metrics, headers that keep browsers careful, and a problem
/// document where a layer refused with a bare status.
async fn surround(State(requests): State<Arc<Requests>>, request: Request, next: Next) -> Response {
    let started = Stopwatch::start();
    let (method, route) = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let is_docs = request.uri().path().starts_with("/docs");
    let response = match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => dressed(response),
        Err(_) => ApiError::unavailable("the answer took too long").into_response(),
    };
    let (status, elapsed) = (response.status(), started.elapsed());
    requests.answered(&method, route.as_ref().map(MatchedPath::as_str), status, elapsed);
    let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(status = status.as_u16(), elapsed_us, "answered");
    with_security_headers(response, is_docs)
}

fn dressed(response: Response) -> Response {
    let status = response.status();
    let is_ours = |value: &HeaderValue| value == PROBLEM_JSON || value == "application/json" || value == pages::HTML;
    let is_bare = (status.is_client_error() || status.is_server_error())
        && !response.headers().get(header::CONTENT_TYPE).is_some_and(is_ours);
    if !is_bare {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut problem = ApiError::from_status(status).into_response();
    if let Some(allow) = allow {
        problem.headers_mut().insert(header::ALLOW, allow);
    }
    problem
}

fn with_security_headers(mut response: Response, is_docs: bool) -> Response {
    // The page under /docs brings its own scripts and styles inline.
    let policy = if is_docs {
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    } else {
        "default-src 'none'; frame-ancestors 'none'"
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Pages have their own.
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("no-referrer"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(policy));
    if !is_docs {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}

/// 201 with `Location` and the new thing.
fn created<T: serde::Serialize>(location: &str, view: T) -> Response {
    (StatusCode::CREATED, [(header::LOCATION, location)], Json(view)).into_response()
}

/// The answer under an idempotency key: 201 to whoever asks for the first time, 200 with its header to a replay.
fn created_once<T: serde::Serialize>(is_new: bool, location: &str, view: T) -> Response {
    if is_new { created(location, view) } else { changed_once(is_new, view) }
}

/// The same where nothing new is made: 200 to both, with its header to a replay.
fn changed_once<T: serde::Serialize>(is_new: bool, view: T) -> Response {
    if is_new {
        return Json(view).into_response();
    }
    (StatusCode::OK, [("Idempotent-Replayed", "true")], Json(view)).into_response()
}

/// The API document as it is committed: indented JSON with a line end.
pub fn document_text() -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(&document())? + "\n")
}
