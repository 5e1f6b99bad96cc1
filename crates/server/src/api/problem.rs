//! What a refusal looks like, and which refusals the API document promises.

use utoipa::{IntoResponses, ToSchema};

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

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

/// The error answer of the token endpoint (RFC 6749, section 5.2).
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct OAuthProblem {
    /// Stable, for programs.
    #[schema(example = "invalid_grant")]
    pub error: &'static str,
    /// For people.
    pub error_description: &'static str,
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
    /// What an operation may answer that only so many may use at the same time.
    OfMany {
        TooMany = 429 "This is open often enough; `Retry-After` says when to try again",
    }
    /// What an operation may answer that counts tries.
    Throttled {
        TooMany = 429 "Too many tries; `Retry-After` says when to try again",
    }
    /// What an operation on one thing may answer.
    OfOne {
        NotFound = 404 "Not there, or none of the caller's business",
    }
    /// What an operation for some roles may answer.
    OfRole {
        Forbidden = 403 "Signed in, but may not do it; or the API key lacks the scope",
    }
    /// What an operation may answer that a state can forbid.
    OfState {
        Conflict = 409 "The state forbids it",
    }
}
