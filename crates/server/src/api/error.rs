//! Refusals: the only place where a caller is told no, and by which number.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use directpay_domain::api_key::Scope;
use directpay_domain::id::PaymentId;
use directpay_domain::invalid::Invalid;
use directpay_domain::payment::Rejection;
use directpay_store::StoreError;

use super::problem::{FieldProblem, OAuthProblem, PROBLEM_JSON, PaymentIdText, Problem};
use super::request_id;
use crate::access::api_keys::KeyError;
use crate::access::passwords::PasswordError;
use crate::access::sign_in::SignInError;
use crate::feed::{LISTENERS_OF_ONE_MAX, NoSeat};
use crate::intake::IntakeError;
use crate::limits::Standing;
use crate::mail::Unwritten;
use crate::oauth::OAuthError;
use crate::secrets::VaultError;

/// Collects what is wrong with a request, so that it is told all at once.
#[derive(Debug, Default)]
pub struct FieldErrors(Vec<FieldProblem>);

impl FieldErrors {
    /// The value, or None with its broken rule noted under `field`.
    pub fn take<T>(&mut self, field: &str, parsed: Result<T, Invalid>) -> Option<T> {
        parsed.map_err(|invalid| self.add(field, invalid)).ok()
    }

    /// Reads an optional field; outer None if it breaks a rule.
    pub fn take_optional<I, T>(
        &mut self,
        field: &str,
        given: Option<I>,
        parse: impl FnOnce(I) -> Result<T, Invalid>,
    ) -> Option<Option<T>> {
        match given {
            None => Some(None),
            Some(text) => self.take(field, parse(text)).map(Some),
        }
    }

    /// Notes a broken rule.
    pub fn add(&mut self, field: &str, invalid: Invalid) {
        let Invalid { code, detail } = invalid;
        self.0.push(FieldProblem { field: field.to_owned(), code: code.to_owned(), detail: detail.into_owned() });
    }

    /// The refusal with everything noted.
    pub fn into_error(self) -> ApiError {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "some fields are invalid")
            .with(|refusal| refusal.errors = self.0)
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a request is refused.
#[derive(Debug)]
pub struct ApiError(Box<Refusal>);

#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldProblem>,
    current_status: Option<String>,
    payment_id: Option<PaymentId>,
    retry_after_seconds: Option<i64>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> ApiError {
        ApiError(Box::new(Refusal {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            current_status: None,
            payment_id: None,
            retry_after_seconds: None,
        }))
    }

    /// The same refusal with more to say.
    fn with(mut self, add: impl FnOnce(&mut Refusal)) -> ApiError {
        add(&mut self.0);
        self
    }

    /// Not there, or none of the caller's business.
    pub fn not_found() -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here for you")
    }

    /// No, expired or forged credentials.
    pub fn unauthorized() -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", "send an access token or an API key as a bearer token")
    }

    /// A key or token that lacks the scope of the operation.
    pub fn insufficient_scope(scope: Scope) -> ApiError {
        let detail = format!("this program lacks the scope {scope}");
        ApiError::new(StatusCode::FORBIDDEN, "insufficient_scope", detail)
    }

    /// An operation that no scope opens.
    pub fn closed_to_api_keys() -> ApiError {
        let detail = "no API key can do this; sign in with a password";
        ApiError::new(StatusCode::FORBIDDEN, "closed_to_api_keys", detail)
    }

    /// The same for programs of others.
    pub fn closed_to_oauth() -> ApiError {
        let detail = "no program of somebody else's can do this; sign in with a password";
        ApiError::new(StatusCode::FORBIDDEN, "closed_to_oauth", detail)
    }

    /// A program's access token that is expired, revoked or made up.
    pub fn invalid_token() -> ApiError {
        let detail = "this access token is expired, revoked or none";
        ApiError::new(StatusCode::UNAUTHORIZED, "invalid_token", detail)
    }

    /// A form that did not come from a page of ours.
    pub fn foreign_form() -> ApiError {
        let detail =
            "this form did not come from a page of this server, or is too old; go back, load the page again, and retry";
        ApiError::new(StatusCode::FORBIDDEN, "foreign_form", detail)
    }

    /// What a browser brought with it cannot be answered, or must not be.
    pub fn bad_request(detail: &'static str) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// For a page: status and sentence.
    pub fn into_words(self) -> (StatusCode, String, Option<i64>) {
        (self.0.status, self.0.detail, self.0.retry_after_seconds)
    }

    /// May know that it exists, but may not do it.
    pub fn forbidden(detail: &'static str) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// The body is not JSON.
    pub fn malformed_json() -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "malformed_json", "the body is not a JSON object")
    }

    /// The body is of another type.
    pub fn unsupported_media_type(wanted: &'static str) -> ApiError {
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", format!("send {wanted}"))
    }

    /// The body is too long.
    pub fn too_large() -> ApiError {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is longer than 1 MiB")
    }

    /// The body broke off.
    pub fn incomplete_body() -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "incomplete_body", "the body could not be read to its end")
    }

    /// A bad limit, cursor or filter.
    pub fn bad_query(field: &'static str, invalid: Invalid) -> ApiError {
        let mut errors = FieldErrors::default();
        errors.add(field, invalid);
        let detail = format!("the query parameter {field} is invalid");
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", detail).with(|refusal| refusal.errors = errors.0)
    }

    /// The idempotency key is missing, ambiguous or malformed.
    pub fn idempotency_key(code: &'static str, detail: &'static str) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// The key belongs to another request, and to its payment if it made one.
    pub fn idempotency_key_reused(payment_id: Option<PaymentId>) -> ApiError {
        let detail = "this idempotency key was used for another request; nothing was created";
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
            .with(|refusal| refusal.payment_id = payment_id)
    }

    /// One broken rule.
    pub fn invalid(field: &str, invalid: Invalid) -> ApiError {
        let mut errors = FieldErrors::default();
        errors.add(field, invalid);
        errors.into_error()
    }

    /// The state forbids it.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::CONFLICT, code, detail)
    }

    /// The state `current_status` forbids it.
    pub fn wrong_status(code: &'static str, current_status: impl Into<String>, detail: impl Into<String>) -> ApiError {
        ApiError::conflict(code, detail).with(|refusal| refusal.current_status = Some(current_status.into()))
    }

    /// Not now.
    pub fn unavailable(detail: &'static str) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            .with(|refusal| refusal.retry_after_seconds = Some(1))
    }

    /// A limit is exceeded.
    pub fn over_limit(standing: &Standing) -> ApiError {
        let Standing { name, quota, reset_seconds, .. } = standing;
        let detail = format!("more than {quota} requests a minute (limit \"{name}\"); try again in {reset_seconds} s");
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
            .with(|refusal| refusal.retry_after_seconds = i64::try_from(*reset_seconds).ok())
    }

    /// Too many tries of something that is secret.
    pub fn too_many_failures(wait_seconds: i64) -> ApiError {
        let detail = format!("too many tries; try again in {wait_seconds} s");
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
            .with(|refusal| refusal.retry_after_seconds = Some(wait_seconds))
    }

    /// The caller listens to the feed often enough.
    pub fn too_many_listeners() -> ApiError {
        let detail = format!("you listen {LISTENERS_OF_ONE_MAX} times already; hang up somewhere first");
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_listeners", detail)
            .with(|refusal| refusal.retry_after_seconds = Some(5))
    }

    /// Our fault; nothing was done. The cause goes to the log and nowhere else.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> ApiError {
        tracing::error!(error, "a request failed");
        ApiError::internal_unlogged()
    }

    /// A handler panicked; the panic itself stands in the log.
    pub fn panicked() -> ApiError {
        ApiError::internal_unlogged()
    }

    fn internal_unlogged() -> ApiError {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something went wrong here; nothing was done")
    }

    /// Whether this status keeps a caller away from something.
    pub fn keeps_away(status: StatusCode) -> bool {
        ApiError::is_unauthorized(status) || matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
    }

    /// Whether this status says that nobody is let in with what was shown.
    pub fn is_unauthorized(status: StatusCode) -> bool {
        status == StatusCode::UNAUTHORIZED
    }

    /// What axum or a layer refused with a bare status, as a problem.
    pub fn from_status(status: StatusCode) -> ApiError {
        match status {
            StatusCode::NOT_FOUND => ApiError::not_found(),
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(),
            StatusCode::METHOD_NOT_ALLOWED => {
                ApiError::new(status, "method_not_allowed", "this path knows other methods; see the header Allow")
            }
            status if status.is_server_error() => ApiError::internal_unlogged(),
            status => ApiError::new(status, "bad_request", "the request could not be read"),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        if error.is_passing() {
            tracing::warn!(error = &error as &dyn std::error::Error, "the database does not answer");
            return ApiError::unavailable("the database does not answer");
        }
        ApiError::internal(&error)
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> ApiError {
        let code = match error {
            KeyError::Malformed => "api_key_malformed",
            KeyError::OtherMode { .. } => "api_key_of_other_mode",
            KeyError::Unknown => "api_key_unknown",
            KeyError::Revoked => "api_key_revoked",
            KeyError::Expired => "api_key_expired",
            KeyError::Store(error) => return error.into(),
        };
        ApiError::new(StatusCode::UNAUTHORIZED, code, error.to_string())
    }
}

impl From<VaultError> for ApiError {
    fn from(error: VaultError) -> ApiError {
        ApiError::internal(&error)
    }
}

impl From<IntakeError> for ApiError {
    fn from(error: IntakeError) -> ApiError {
        match error {
            IntakeError::Full => {
                ApiError::unavailable("too many payments are waiting; send it again with the same key")
            }
            IntakeError::Failed => {
                ApiError::unavailable("the payment could not be stored; send it again with the same key")
            }
        }
    }
}

impl From<NoSeat> for ApiError {
    fn from(no_seat: NoSeat) -> ApiError {
        match no_seat {
            NoSeat::ForThisOne => ApiError::too_many_listeners(),
            NoSeat::ForAnybody => ApiError::unavailable("too many listen to the feed"),
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> ApiError {
        match error {
            PasswordError::Overloaded => ApiError::unavailable("too many people are signing in"),
            PasswordError::Weak(invalid) => ApiError::invalid("password", invalid),
            PasswordError::Failed(_) => ApiError::internal(&error),
        }
    }
}

/// Outside of the token endpoint, where wrong credentials have words of their own and whoever is wrong elsewhere is not signed in.
impl From<SignInError> for ApiError {
    fn from(error: SignInError) -> ApiError {
        match error {
            SignInError::Denied | SignInError::CodeNeeded | SignInError::WrongCode => ApiError::unauthorized(),
            SignInError::Throttled { wait_seconds } => ApiError::too_many_failures(wait_seconds),
            SignInError::Password(error) => error.into(),
            SignInError::Store(error) => error.into(),
            SignInError::Unwritten(error) => error.into(),
            SignInError::Unsigned(_) | SignInError::NoRandomness(_) => ApiError::internal(&error),
        }
    }
}

impl From<Unwritten> for ApiError {
    fn from(error: Unwritten) -> ApiError {
        match error {
            Unwritten::Store(error) => error.into(),
            Unwritten::Vault(_) | Unwritten::Words(_) => ApiError::internal(&error),
        }
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> ApiError {
        let code = match &rejection {
            Rejection::WrongStatus { .. } => "wrong_status",
            Rejection::NotRetryable { .. } => "not_retryable",
            Rejection::NotRefundable { .. } => "not_refundable",
        };
        ApiError::wrong_status(code, rejection.status().name(), rejection.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let refusal = *self.0;
        let problem = Problem {
            kind: format!("urn:directpay:problem:{}", refusal.code),
            title: refusal.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: refusal.status.as_u16(),
            detail: refusal.detail,
            code: refusal.code.to_owned(),
            request_id: request_id::current(),
            errors: refusal.errors,
            current_status: refusal.current_status,
            payment_id: refusal.payment_id.map(|id| PaymentIdText(id.0)),
        };
        let mut response = (refusal.status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if refusal.status == StatusCode::UNAUTHORIZED {
            // RFC 6750, section 3.1, has a word where a token was sent.
            let challenge = match refusal.code {
                "invalid_token" => "Bearer realm=\"directpay\", error=\"invalid_token\"",
                _ => "Bearer realm=\"directpay\"",
            };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(seconds) = refusal.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

/// A refusal of the token endpoint.
#[derive(Debug)]
pub enum TokenError {
    /// In the form of RFC 6749.
    OAuth(OAuthProblem),
    /// Everything that the RFC has no word for.
    Problem(ApiError),
}

impl TokenError {
    /// A refusal in the form of RFC 6749.
    pub fn oauth(error: &'static str, error_description: &'static str) -> TokenError {
        TokenError::OAuth(OAuthProblem { error, error_description })
    }
}

impl From<ApiError> for TokenError {
    fn from(error: ApiError) -> TokenError {
        TokenError::Problem(error)
    }
}

impl From<SignInError> for TokenError {
    fn from(error: SignInError) -> TokenError {
        match error {
            SignInError::Denied => TokenError::oauth("invalid_grant", "the credentials are not right"),
            SignInError::WrongCode => TokenError::oauth("invalid_grant", "the one-time code is not right"),
            SignInError::CodeNeeded => TokenError::oauth(
                "mfa_required",
                "a second factor is on: send a one-time code or a recovery code as otp",
            ),
            SignInError::Throttled { .. }
            | SignInError::Password(_)
            | SignInError::Store(_)
            | SignInError::Unsigned(_)
            | SignInError::Unwritten(_)
            | SignInError::NoRandomness(_) => TokenError::Problem(error.into()),
        }
    }
}

impl From<OAuthError> for TokenError {
    fn from(error: OAuthError) -> TokenError {
        match error {
            OAuthError::InvalidRequest(detail) => TokenError::oauth("invalid_request", detail),
            OAuthError::InvalidClient => TokenError::OAuth(OAuthProblem {
                error: INVALID_CLIENT,
                error_description: "unknown program or wrong secret",
            }),
            OAuthError::InvalidGrant(detail) => TokenError::oauth("invalid_grant", detail),
            OAuthError::UnauthorizedClient(detail) => TokenError::oauth("unauthorized_client", detail),
            OAuthError::UnsupportedGrantType => TokenError::oauth(
                "unsupported_grant_type",
                "take authorization_code, refresh_token or client_credentials",
            ),
            OAuthError::InvalidScope(detail) => TokenError::oauth("invalid_scope", detail),
            OAuthError::Store(error) => TokenError::Problem(error.into()),
            OAuthError::Unwritten(error) => TokenError::Problem(error.into()),
            OAuthError::NoRandomness(_) => TokenError::Problem(ApiError::internal(&error)),
        }
    }
}

/// The one refusal of a program that has a status of its own.
const INVALID_CLIENT: &str = "invalid_client";

impl IntoResponse for TokenError {
    fn into_response(self) -> Response {
        match self {
            TokenError::OAuth(problem) if problem.error == INVALID_CLIENT => {
                let headers = [
                    (header::CACHE_CONTROL, "no-store"),
                    (header::WWW_AUTHENTICATE, "Basic realm=\"directpay\", charset=\"UTF-8\""),
                ];
                (StatusCode::UNAUTHORIZED, headers, Json(problem)).into_response()
            }
            TokenError::OAuth(problem) => {
                (StatusCode::BAD_REQUEST, [(header::CACHE_CONTROL, "no-store")], Json(problem)).into_response()
            }
            TokenError::Problem(error) => error.into_response(),
        }
    }
}
