//! Requests that are put together, answers that are looked at.

use std::ops::Index;

use directpay_domain::time::Instant;
use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use uuid::Uuid;

use super::TestApp;

/// A request that is being put together.
pub(crate) struct Call<'a> {
    pub(super) app: &'a TestApp,
    pub(super) request: RequestBuilder,
    pub(super) line: String,
}

impl Call<'_> {
    fn change(self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        Call { request: change(self.request), ..self }
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.change(|request| request.bearer_auth(token))
    }

    pub(crate) fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.change(|request| request.header(name, value.as_ref()))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.change(|request| request.json(body))
    }

    /// A body as it is.
    pub(crate) fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.change(|request| request.header("Content-Type", content_type).body(body.into()))
    }

    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Self {
        self.change(|request| request.form(fields))
    }

    /// Sends it and leaves the answer open, for one that does not end.
    pub(crate) async fn open(self) -> Response {
        self.request.send().await.unwrap()
    }

    pub(crate) async fn send(self) -> Answer {
        let line = self.line;
        let response = self.request.send().await.unwrap_or_else(|error| panic!("{line}: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        let answer = Answer { line, status, headers, text, body };
        self.app.note(&answer);
        answer
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) line: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Index<&str> for Answer {
    type Output = Value;
    fn index(&self, field: &str) -> &Value {
        &self.body[field]
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn must(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}: {}", self.line, self.text);
        self
    }

    /// Is a problem document, whole and true, with this status and code.
    #[track_caller]
    pub(crate) fn refuses(self, status: u16, code: &str) -> Answer {
        let answer = self.must(status);
        let Answer { line, text, .. } = &answer;
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{line}");
        assert_eq!(answer["code"], code, "{line}: {text}");
        assert_eq!(answer["status"], status, "{line}: {text}");
        assert_eq!(answer["type"], format!("urn:directpay:problem:{code}"), "{line}: {text}");
        assert!(answer["title"].is_string() && answer["detail"].is_string(), "{line}: {text}");
        assert_eq!(answer["request_id"].as_str(), answer.header("x-request-id"), "{line}: {text}");
        assert!(answer["errors"].is_array(), "{line}: {text}");
        assert_eq!(status == 401, answer.header("www-authenticate").is_some(), "{line}");
        answer
    }

    /// Refuses these fields for these reasons and no others.
    #[track_caller]
    pub(crate) fn refuses_fields(self, expected: &[(&str, &str)]) -> Answer {
        let answer = self.refuses(422, "invalid");
        assert_eq!(answer.fields(), expected, "{}: {}", answer.line, answer.text);
        answer
    }

    pub(crate) fn fields(&self) -> Vec<(&str, &str)> {
        let errors = self.body["errors"].as_array().map_or(&[][..], Vec::as_slice);
        errors.iter().map(|error| (error["field"].as_str().unwrap(), error["code"].as_str().unwrap())).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn text_of(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.text)).to_owned()
    }

    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.text_of("id")
    }

    /// The rows of a list.
    #[track_caller]
    pub(crate) fn rows(&self) -> &[Value] {
        self.body["data"].as_array().unwrap_or_else(|| panic!("{} is no list: {}", self.line, self.text))
    }

    /// One field of every row of a list.
    #[track_caller]
    pub(crate) fn column(&self, field: &str) -> Vec<&str> {
        self.rows().iter().map(|row| row[field].as_str().unwrap()).collect()
    }
}

/// The names of an object's fields in alphabetical order.
pub(crate) fn keys(value: &Value) -> String {
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names.join(" ")
}

/// The event types of a history, shortened.
pub(crate) fn event_types(history: &Answer) -> Vec<&str> {
    let events = history["events"].as_array().unwrap();
    events.iter().map(|event| event["event_type"].as_str().unwrap().trim_start_matches("payment_")).collect()
}

/// RFC 3339 in UTC with six decimals.
#[track_caller]
pub(crate) fn assert_time(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no time"));
    assert_eq!(text.len(), "2026-03-01T12:00:00.000000Z".len(), "{text}");
    assert_eq!(Instant::parse(text).unwrap().to_string(), text);
}

#[track_caller]
pub(crate) fn assert_id(value: &Value) {
    let id = Uuid::parse_str(value.as_str().unwrap_or_else(|| panic!("{value} is no id"))).unwrap();
    assert_eq!(id.get_version_num(), 7, "{id}");
}
