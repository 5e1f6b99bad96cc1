//! What an API key needs for each operation, or a token of a program of somebody else's: the only place that says so.
//!
//! An operation that is not named here is closed to both; a test goes through the API document and finds it.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::Method;
use directpay_domain::api_key::Scope;
use utoipa::IntoResponses;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    AuthorizationCode, ClientCredentials, Flow, HttpAuthScheme, HttpBuilder, OAuth2, Scopes, SecurityScheme,
};
use utoipa::openapi::{OpenApi, SecurityRequirement};

use super::problem::OfRole;
use crate::pages;

/// Who may use an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, signed in or not.
    Open,
    /// Signed-in people, and keys that have the scope.
    Scoped(Scope),
    /// Signed-in people only: keys neither make keys, nor know passwords, nor administer.
    SignedIn,
}

/// Who may use the operation of this name; none if nobody has said so.
pub fn access(operation_id: &str) -> Option<Access> {
    let scope = match operation_id {
        "create_user" | "create_token" | "revoke_token" | "read_health" | "read_readiness" => return Some(Access::Open),
        // Public halves of keys.
        "read_json_web_keys" => return Some(Access::Open),
        // Whoever has the link reads the person's mail.
        "request_password_reset" | "confirm_password_reset" | "confirm_email" => return Some(Access::Open),
        "update_me"
        | "change_password"
        | "change_email"
        | "send_email_verification"
        | "read_second_factor"
        | "begin_second_factor"
        | "confirm_second_factor"
        | "disable_second_factor"
        | "renew_recovery_codes"
        | "remove_second_factor" => return Some(Access::SignedIn),
        "create_api_key" | "list_api_keys" | "read_api_key" | "revoke_api_key" | "advance_clock"
        // It says from where people come.
        | "list_audit_entries" => {
            return Some(Access::SignedIn);
        }
        // Programs talk to these by secrets of their own; people decide about programs themselves.
        "create_oauth_token" | "revoke_oauth_token" | "introspect_oauth_token" | "read_authorization_server" => {
            return Some(Access::Open);
        }
        "create_oauth_client"
        | "list_oauth_clients"
        | "read_oauth_client"
        | "update_oauth_client"
        | "delete_oauth_client"
        | "rotate_oauth_client_secret"
        | "list_authorizations"
        | "revoke_authorization" => return Some(Access::SignedIn),
        "read_me" | "read_user" | "list_users" => Scope::UsersRead,
        "list_bank_accounts" => Scope::BankAccountsRead,
        "create_bank_account"
        | "set_primary_bank_account"
        | "activate_bank_account"
        | "deactivate_bank_account" => Scope::BankAccountsWrite,
        "read_property" | "list_properties" => Scope::PropertiesRead,
        "create_property" => Scope::PropertiesWrite,
        "list_leases"
        | "read_lease"
        | "read_schedule"
        | "read_balance"
        | "read_statement"
        | "list_leases_of_renter"
        | "list_leases_of_property"
        | "read_shares"
        | "read_lease_history"
        | "list_charges"
        | "read_deposit"
        | "list_extras"
        | "read_late_fees"
        // The time by which leases fall due.
        | "read_clock" => Scope::LeasesRead,
        "create_lease"
        | "terminate_lease"
        | "set_shares"
        | "create_charge"
        | "void_charge"
        | "grant_credit"
        | "add_extra"
        | "end_extra"
        | "change_rent"
        | "set_payment_policy"
        | "set_charge_notice"
        | "set_late_fees" => Scope::LeasesWrite,
        "list_payments"
        | "read_payment"
        | "read_history"
        | "list_payments_of_lease"
        | "read_quote"
        | "list_mandates" => Scope::PaymentsRead,
        // Whatever moves money, or lets it be moved, is a payment, wherever its path lies.
        "initiate_payment"
        | "cancel_payment"
        | "retry_payment"
        | "return_deposit"
        | "sign_mandate"
        | "pause_mandate"
        | "resume_mandate"
        | "revoke_mandate"
        | "skip_draw" => Scope::PaymentsWrite,
        "read_events" | "listen_to_events" => Scope::EventsRead,
        "list_webhooks" | "read_webhook" | "list_deliveries" | "read_delivery" => Scope::WebhooksRead,
        "create_webhook"
        | "update_webhook"
        | "delete_webhook"
        | "pause_webhook"
        | "resume_webhook"
        | "rotate_webhook_secret"
        | "test_webhook"
        | "resend_range"
        | "resend_delivery" => Scope::WebhooksWrite,
        "read_rent_roll"
        | "explain_rent_roll"
        | "read_arrears"
        | "explain_arrears"
        | "read_month"
        | "explain_month"
        | "read_payments_report"
        | "read_income"
        | "explain_income" => Scope::ReportsRead,
        _ => return None,
    };
    Some(Access::Scoped(scope))
}

/// The scope that opens the operation behind a route; none if it is closed to keys.
pub fn needed(method: &Method, route: &str) -> Option<Scope> {
    static SCOPES: LazyLock<HashMap<(Method, String), Scope>> = LazyLock::new(|| {
        let mut scopes = HashMap::new();
        for (path, item) in super::document().paths.paths {
            for (method, operation) in operations(item) {
                if let Some(Access::Scoped(scope)) = access_of(&operation) {
                    scopes.insert((method, path.clone()), scope);
                }
            }
        }
        scopes
    });
    // Whoever may read something may ask whether it is there.
    let method = if method == Method::HEAD { Method::GET } else { method.clone() };
    SCOPES.get(&(method, route.to_owned())).copied()
}

fn access_of(operation: &Operation) -> Option<Access> {
    operation.operation_id.as_deref().and_then(access)
}

fn operations(item: PathItem) -> impl Iterator<Item = (Method, Operation)> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::OPTIONS, options),
        (Method::HEAD, head),
        (Method::PATCH, patch),
        (Method::TRACE, trace),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation?)))
}

/// The names of the three ways to say who calls, in the API document.
const BEARER: &str = "bearer";
const API_KEY: &str = "api_key";
const OAUTH: &str = "oauth";
/// Where an operation names the scope that a key must have: a security scheme of type `http` has none of its own.
const REQUIRED_SCOPE: &str = "x-required-scope";

/// Says in the document how callers prove who they are, and which scope of a key opens which operation.
pub fn describe(document: &mut OpenApi) {
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
    let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("dp_test_… or dp_live_…");
    let scopes = Scope::ALL.map(|scope| format!("`{scope}`")).join(", ");
    let components = document.components.get_or_insert_with(Default::default);
    for (name, scheme, description) in [
        (BEARER, token, "An access token, which `POST /api/v1/auth/token` gives".to_owned()),
        (
            API_KEY,
            key,
            format!(
                "An API key, which acts for its owner within its scopes: {scopes}. Operations that name none as {REQUIRED_SCOPE} are closed to keys"
            ),
        ),
    ] {
        components.add_security_scheme(name, SecurityScheme::Http(scheme.description(Some(description)).build()));
    }
    components.add_security_scheme(OAUTH, oauth());
    document.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
    for item in document.paths.paths.values_mut() {
        let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
        for operation in [get, put, post, delete, options, head, patch, trace].into_iter().flatten() {
            describe_operation(operation);
        }
    }
}

/// Programs of others get tokens in two ways, which do what API keys of the same scopes do.
fn oauth() -> SecurityScheme {
    let scopes = || Scopes::from_iter(Scope::for_programs().map(|scope| (scope.name(), pages::in_words(scope))));
    let flows = [
        Flow::AuthorizationCode(AuthorizationCode::with_refresh_url(
            "/oauth/authorize",
            "/oauth/token",
            scopes(),
            "/oauth/token",
        )),
        Flow::ClientCredentials(ClientCredentials::new("/oauth/token", scopes())),
    ];
    let description = "A program's access token, which a person let it have, with PKCE (S256)";
    SecurityScheme::OAuth2(OAuth2::with_description(flows, description))
}

fn describe_operation(operation: &mut Operation) {
    let Some(Access::Scoped(scope)) = access_of(operation) else { return };
    let mut security = vec![
        SecurityRequirement::new(BEARER, Vec::<String>::new()),
        SecurityRequirement::new(API_KEY, Vec::<String>::new()),
    ];
    if !scope.is_for_keys_only() {
        security.push(SecurityRequirement::new(OAUTH, [scope.name()]));
    }
    operation.security = Some(security);
    operation.extensions.get_or_insert_default().insert(REQUIRED_SCOPE.into(), scope.name().into());
    // A key without the scope is told so.
    for (status, refusal) in OfRole::responses() {
        operation.responses.responses.entry(status).or_insert(refusal);
    }
}
