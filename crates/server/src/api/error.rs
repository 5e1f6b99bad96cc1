//! Refusals: the only place where a caller is told no, and by which number.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use directpay_domain::id::PaymentId;
use directpay_domain::invalid::Invalid;
use directpay_domain::payment::Rejection;
use directpay_store::StoreError;
use utoipa::{IntoResponses, ToSchema};

use super::request_id;
use crate::access::passwords::PasswordError;
use crate::access::sign_in::SignInError;
use crate::intake::IntakeError;
use crate::secrets::VaultError;

/// A problem document (RFC 9457).
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem.
    #[serde(rename = "type")]
    #[schema(example = "urn:directpay:problem:invalid")]
    pub kind: String,
    /// The kind of problem in a few words.
    #[schema(example = "Unprocessable Content")]
    pub title: String,
    /// The status code.
    #[schema(example = 422)]
    pub status: u16,
    /// What is wrong, in a sentence.
    #[schema(example = "some fields are invalid")]
    pub detail: String,
    /// Stable, for programs.
    #[schema(example = "invalid")]
    pub code: String,
    /// The request's id, also in `X-Request-Id` and in the logs.
    pub request_id: String,
    /// Every broken rule.
    pub errors: Vec<FieldProblem>,
    /// Where the resource stands, if that forbids the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub current_status: Option<String>,
    /// The payment that a reused idempotency key belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub payment_id: Option<PaymentIdText>,
}

/// The id of a payment.
#[derive(Debug, Clone, Copy, serde::Serialize, ToSchema)]
#[serde(transparent)]
pub struct PaymentIdText(pub uuid::Uuid);

/// A broken rule and the field that breaks it.
#[derive(Debug, Clone, serde::Serialize, ToSchema)]
pub struct FieldProblem {
    /// The field's name in the request.
    #[schema(example = "amount")]
    pub field: String,
    /// Stable, for programs.
    #[schema(example = "too_precise")]
    pub code: String,
    /// For people.
    #[schema(example = "has more decimals than its currency")]
    pub detail: String,
}

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
        ApiError {
            errors: self.0,
            ..ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "some fields are invalid")
        }
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a request is refused.
#[derive(Debug)]
pub struct ApiError {
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
        ApiError {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            current_status: None,
            payment_id: None,
            retry_after_seconds: None,
        }
    }

    /// Not there, or none of the caller's business.
    pub fn not_found() -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here for you")
    }

    /// No, expired or forged credentials.
    pub fn unauthorized() -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", "sign in and send the access token as a bearer token")
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
        ApiError { errors: errors.0, ..ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", detail) }
    }

    /// The idempotency key is missing, ambiguous or malformed.
    pub fn idempotency_key(code: &'static str, detail: &'static str) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// The key names the payment of another request.
    pub fn idempotency_key_reused(payment_id: PaymentId) -> ApiError {
        let detail = "this idempotency key was used for another request; nothing was created";
        ApiError {
            payment_id: Some(payment_id),
            ..ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
        }
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
        ApiError { current_status: Some(current_status.into()), ..ApiError::conflict(code, detail) }
    }

    /// Not now.
    pub fn unavailable(detail: &'static str) -> ApiError {
        ApiError {
            retry_after_seconds: Some(1),
            ..ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
        }
    }

    /// Too many requests.
    pub fn too_many_requests(wait_seconds: i64) -> ApiError {
        let detail = format!("too many failed sign-ins; try again in {wait_seconds} s");
        ApiError {
            retry_after_seconds: Some(wait_seconds),
            ..ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
        }
    }

    /// Our fault; nothing was done. The cause goes to the log and nowhere else.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> ApiError {
        tracing::error!(error, "a request failed");
        ApiError::internal_unlogged()
    }

    fn internal_unlogged() -> ApiError {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something went wrong here; nothing was done")
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

    /// Whether this is the refusal of a sign-in for wrong credentials.
    pub fn is_client_error(&self) -> bool {
        self.status.is_client_error()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        ApiError::internal(&error)
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

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> ApiError {
        match error {
            PasswordError::Overloaded => ApiError::unavailable("too many people are signing in"),
            PasswordError::Weak(invalid) => ApiError::invalid("password", invalid),
            PasswordError::Failed(_) => ApiError::internal(&error),
        }
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> ApiError {
        let code = match &rejection {
            Rejection::WrongStatus { .. } => "wrong_status",
            Rejection::NotRetryable { .. } => "not_retryable",
        };
        ApiError::wrong_status(code, rejection.status().name(), rejection.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: format!("urn:directpay:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code.to_owned(),
            request_id: request_id::current(),
            errors: self.errors,
            current_status: self.current_status,
            payment_id: self.payment_id.map(|id| PaymentIdText(id.0)),
        };
        let mut response = (self.status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"directpay\""));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The error answer of the token endpoint (RFC 6749, section 5.2).
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct OAuthProblem {
    /// Stable, for programs.
    #[schema(example = "invalid_grant")]
    pub error: &'static str,
    /// For people.
    pub error_description: &'static str,
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
        TokenError::Problem(match error {
            SignInError::Denied => return TokenError::oauth("invalid_grant", "the credentials are not right"),
            SignInError::Throttled { wait_seconds } => ApiError::too_many_requests(wait_seconds),
            SignInError::Password(error) => error.into(),
            SignInError::Store(error) => error.into(),
            SignInError::Unsigned(_) | SignInError::NoRandomness(_) => ApiError::internal(&error),
        })
    }
}

impl IntoResponse for TokenError {
    fn into_response(self) -> Response {
        match self {
            TokenError::OAuth(problem) => {
                (StatusCode::BAD_REQUEST, [(header::CACHE_CONTROL, "no-store")], Json(problem)).into_response()
            }
            TokenError::Problem(error) => error.into_response(),
        }
    }
}

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident = $status:literal $text:literal),+ $(,)? })+) => { $(
        $(#[$doc])*
        #[derive(IntoResponses)]
        pub enum $name { $(
            #[doc = $text]
            #[response(status = $status, description = $text, content_type = "application/problem+json")]
            $variant(Problem),
        )+ }
    )+ };
}

problems! {
    /// What any operation may answer.
    Always {
        Internal = 500 "Our fault; nothing was done",
        Unavailable = 503 "Not now; `Retry-After` says when",
    }
    /// What any operation for signed-in people may answer.
    SignedIn {
        Unauthorized = 401 "No, expired or forged credentials",
    }
    /// What an operation with a body may answer.
    WithBody {
        BadRequest = 400 "Not JSON",
        TooLarge = 413 "The body is longer than 1 MiB",
        UnsupportedMediaType = 415 "The body is of another type",
        Invalid = 422 "Well-formed but invalid: fields with reasons",
    }
    /// What a list may answer.
    OfList {
        BadQuery = 400 "Bad limit, cursor or filter",
    }
    /// What an operation on one thing may answer.
    OfOne {
        NotFound = 404 "Not there, or none of the caller's business",
    }
    /// What an operation for some roles may answer.
    OfRole {
        Forbidden = 403 "Signed in, but may not do it",
    }
    /// What an operation may answer that a state can forbid.
    OfState {
        Conflict = 409 "The state forbids it",
    }
}
