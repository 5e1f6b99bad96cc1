//! Files for spreadsheets.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};

/// A file that is kept under a name.
pub fn named(name: &str, file: impl Into<Body>) -> Response {
    let disposition = format!("attachment; filename=\"{name}.csv\"");
    let headers =
        [(header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, file.into()).into_response()
}

/// A text as a spreadsheet takes it for a text. What begins like a formula would be one: it might send away what stands in
/// other cells, or run a program (OWASP, "CSV injection").
pub fn text_cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("=1+1", "'=1+1")]
    #[case("+1", "'+1")]
    #[case("-1", "'-1")]
    #[case("@SUM(A1)", "'@SUM(A1)")]
    #[case("\t=1", "'\t=1")]
    #[case("\r=1", "'\r=1")]
    #[case("=HYPERLINK(\"http://evil.example\")", "'=HYPERLINK(\"http://evil.example\")")]
    #[case("", "")]
    #[case("Rent = 5", "Rent = 5")]
    #[case("'quoted", "'quoted")]
    #[case(" =1", " =1")]
    #[case("Rent 1 March to 31 March 2026", "Rent 1 March to 31 March 2026")]
    fn a_text_is_no_formula(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(text_cell(text), expected);
    }
}
