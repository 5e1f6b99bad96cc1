//! What handlers are given, parsed; what cannot be parsed is refused here.

use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use directpay_domain::calendar::parse_date;
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::invalid::Invalid;
use directpay_store::Page;
use jiff::civil::Date;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::error::ApiError;

/// A JSON body, or a JSON answer.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, ApiError> {
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        if !is_json(content_type) {
            return Err(ApiError::unsupported_media_type("application/json"));
        }
        let body = body(request, state).await?;
        // A list of the fields' values in their order would be read as well.
        if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(ApiError::malformed_json());
        }
        let mut reader = serde_json::Deserializer::from_slice(&body);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| refusal(&error))?;
        reader.end().map_err(|_| ApiError::malformed_json())?;
        Ok(Json(value))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The whole body, or why it could not be had.
pub async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == ApiError::too_large().into_response().status() {
            ApiError::too_large()
        } else {
            ApiError::incomplete_body()
        }
    })
}

/// Tells a syntax error from a wrong field, and names the field. The reader's own message may repeat a value, which may be
/// a secret, and is not passed on.
fn refusal(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    if matches!(error.inner().classify(), Category::Syntax | Category::Eof | Category::Io) {
        return ApiError::malformed_json();
    }
    let message = error.inner().to_string();
    let path = match error.path().to_string().as_str() {
        "." => String::new(),
        path => path.to_owned(),
    };
    let named = message.split('`').nth(1).unwrap_or_default();
    let inside = |name: &str| match (path.as_str(), name) {
        ("", _) => name.to_owned(),
        // An object of the caller's own: its path is all that is known.
        (path, "") => path.to_owned(),
        (path, name) if path == name => name.to_owned(),
        (path, name) => format!("{path}.{name}"),
    };
    if message.starts_with("missing field") {
        ApiError::invalid(&inside(named), Invalid::new("required", "is missing"))
    } else if message.starts_with("unknown field") {
        ApiError::invalid(&inside(named), Invalid::new("unknown_field", "is no field of this request"))
    } else if message.starts_with("duplicate field") {
        ApiError::invalid(&inside(named), Invalid::new("duplicate", "stands twice"))
    } else if path.is_empty() {
        ApiError::malformed_json()
    } else {
        ApiError::invalid(&path, Invalid::new("wrong_type", "has the wrong type"))
    }
}

/// An id out of a body.
pub fn parse_id<T: From<Uuid>>(text: &str) -> Result<T, Invalid> {
    Uuid::parse_str(text).map(T::from).map_err(|_| Invalid::new("malformed", "must be a UUID"))
}

/// An id out of the path. One that is malformed names nothing.
#[derive(Debug)]
pub struct Id<T>(pub T);

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Id<T>, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| ApiError::not_found())?;
        text.parse().map(Id).map_err(|_| ApiError::not_found())
    }
}

/// Two ids out of the path: of a thing, and of a part of it.
#[derive(Debug)]
pub struct Ids<T, U>(pub T, pub U);

impl<T: FromStr, U: FromStr, S: Send + Sync> FromRequestParts<S> for Ids<T, U> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Ids<T, U>, ApiError> {
        let texts = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((one, other)) = texts.map_err(|_| ApiError::not_found())?;
        match (one.parse(), other.parse()) {
            (Ok(one), Ok(other)) => Ok(Ids(one, other)),
            (Err(_), _) | (_, Err(_)) => Err(ApiError::not_found()),
        }
    }
}

/// Query parameters as they were written; each is parsed where it is used.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Query<T>, ApiError> {
        let parsed = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        let malformed = || Invalid::new("malformed", "cannot be read, or stands twice");
        parsed.map(|query| Query(query.0)).map_err(|_| ApiError::bad_query("query", malformed()))
    }
}

/// A date of a query.
pub fn query_date(field: &'static str, text: Option<&str>) -> Result<Option<Date>, ApiError> {
    text.map(parse_date).transpose().map_err(|invalid| ApiError::bad_query(field, invalid))
}

/// `before_from` where days go backwards.
pub fn check_order(from: Option<Date>, to: Option<Date>) -> Result<(), Invalid> {
    match from.zip(to) {
        Some((from, to)) if to < from => Err(Invalid::new("before_from", "lies before `from`")),
        Some(_) | None => Ok(()),
    }
}

/// Which page of a list.
#[derive(Debug, serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Rows on a page, 1 to 100; 50 if omitted.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100, example = 50)]
    limit: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

const LIMIT_DEFAULT: i64 = 50;
const LIMIT_MAX: i64 = 100;

/// How many rows a list may have; `default` if the caller does not say.
pub fn parse_limit(text: Option<&str>, default: i64, max: i64) -> Result<i64, ApiError> {
    let limit = text.map_or(Some(default), |text| text.parse().ok().filter(|limit| (1..=max).contains(limit)));
    let out_of_range = || Invalid::new("out_of_range", format!("must be 1 to {max}"));
    limit.ok_or_else(|| ApiError::bad_query("limit", out_of_range()))
}

/// A page as the caller wants it.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    before: Uuid,
    limit: i64,
}

impl ListQuery {
    /// Reads limit and cursor.
    pub fn parse(&self) -> Result<Wanted, ApiError> {
        let limit = parse_limit(self.limit.as_deref(), LIMIT_DEFAULT, LIMIT_MAX)?;
        let before = match &self.cursor {
            None => Uuid::max(),
            Some(text) => {
                BASE64URL.decode(text).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok()).ok_or_else(|| {
                    ApiError::bad_query("cursor", Invalid::new("malformed", "is not the next_cursor of a page"))
                })?
            }
        };
        Ok(Wanted { before, limit })
    }
}

/// A page of a list, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The rows.
    pub data: Vec<T>,
    /// Where the next page begins; null on the last one.
    pub next_cursor: Option<String>,
}

impl Wanted {
    /// Whether it is the first page.
    pub fn is_first(self) -> bool {
        self.before == Uuid::max()
    }

    /// What to ask the store for: one row more than the page has, which tells whether there is another page.
    pub fn page(self) -> Page {
        Page { before: self.before, limit: self.limit + 1 }
    }

    /// The page, out of what the store gave for [`Wanted::page`].
    pub fn list<T, V>(self, mut rows: Vec<T>, id: impl Fn(&T) -> Uuid, view: impl FnMut(T) -> V) -> List<V> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let has_more = limit < rows.len();
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| has_more).map(|last| BASE64URL.encode(id(last).as_bytes()));
        List { data: rows.into_iter().map(view).collect(), next_cursor }
    }
}

/// The header `Idempotency-Key`, if it was sent; the body may hold the key as well.
#[derive(Debug)]
pub struct KeyHeader(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for KeyHeader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<KeyHeader, ApiError> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let first = values.next();
        if values.any(|other| Some(other) != first) {
            return Err(ambiguous());
        }
        // What is not ASCII is no key; the parser says so.
        Ok(KeyHeader(first.map(|value| value.to_str().unwrap_or("\0").to_owned())))
    }
}

fn ambiguous() -> ApiError {
    ApiError::idempotency_key("idempotency_key_ambiguous", "two different idempotency keys were sent")
}

impl KeyHeader {
    /// The one key that header and body name.
    pub fn with_body(self, body: Option<&str>) -> Result<IdempotencyKey, ApiError> {
        self.with_body_if_any(body)?.ok_or_else(|| {
            ApiError::idempotency_key(
                "idempotency_key_missing",
                "send the header Idempotency-Key or the field idempotency_key",
            )
        })
    }

    /// The same, where a request may go without.
    pub fn with_body_if_any(self, body: Option<&str>) -> Result<Option<IdempotencyKey>, ApiError> {
        let invalid = |_| {
            ApiError::idempotency_key(
                "idempotency_key_invalid",
                "an idempotency key has 1 to 255 visible ASCII characters",
            )
        };
        let header = self.0.as_deref().map(IdempotencyKey::from_header).transpose().map_err(invalid)?;
        let body = body.map(IdempotencyKey::parse).transpose().map_err(invalid)?;
        match (header, body) {
            (Some(header), Some(body)) if header != body => Err(ambiguous()),
            (key @ Some(_), _) | (None, key) => Ok(key),
        }
    }
}
