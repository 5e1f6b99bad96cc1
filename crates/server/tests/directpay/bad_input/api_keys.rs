//! Bad ways of making an API key, and keys where none belong.

use serde_json::{Value, json};

use super::{Cases, FORM, Json, Landlord, NOTHING_ELSE, Nobody, Nothing, Raw, Renter};
use crate::harness::{GET, POST, with, without};

pub(super) fn add(cases: &mut Cases) {
    let path = "/api/v1/api-keys/";
    let good = json!({"name": "Accounting", "scopes": ["payments:read"], "expires_at": "2099-01-01T00:00:00Z"});
    for (field, value, code) in [
        ("name", json!(""), "required"),
        ("name", json!("n".repeat(201)), "too_long"),
        ("name", json!("a\u{202e}b"), "control_character"),
        ("name", Value::Null, "wrong_type"),
        ("scopes", json!([]), "required"),
        ("scopes", json!(["payments:read", "payments:all"]), "unknown"),
        ("scopes", json!(["*"]), "unknown"),
        ("scopes", json!(["payments:read payments:write"]), "unknown"),
        ("scopes", json!(["payments:read", "payments:read"]), "duplicate"),
        ("scopes", json!("payments:read"), "wrong_type"),
        ("expires_at", json!("2020-01-01T00:00:00Z"), "past"),
        ("expires_at", json!("2099-01-01"), "malformed"),
        ("expires_at", json!(4_070_908_800_i64), "wrong_type"),
        ("key", json!("dp_test_0000000000000000000000000002wfEOd"), "unknown_field"),
        ("idempotency_key", json!("once"), "unknown_field"),
    ] {
        cases.invalid(Landlord, path, with(&good, field, value), &[(field, code)]);
    }
    cases.invalid(Landlord, path, with(&good, "scopes", json!([7])), &[("scopes[0]", "wrong_type")]);
    for field in ["name", "scopes"] {
        cases.invalid(Renter, path, without(&good, field), &[(field, "required")]);
    }
    let all_at_once = json!({"name": " ", "scopes": [], "expires_at": "soon"});
    let codes = [("name", "required"), ("scopes", "required"), ("expires_at", "malformed")];
    cases.invalid(Landlord, path, all_at_once, &codes);
    cases.add(Nobody, POST, path, Json(good), 401, "unauthorized");
    for id in [NOTHING_ELSE, "7"] {
        cases.add(Renter, GET, &format!("{path}{id}"), Nothing, 404, "not_found");
        cases.add(Renter, POST, &format!("{path}{id}/revoke"), Nothing, 404, "not_found");
    }
    let form = b"token=dp_test_0000000000000000000000000002wfEOd".to_vec();
    cases.add(Nobody, POST, "/api/v1/auth/revoke", Raw(FORM, form), 400, "oauth:unsupported_token_type");
}
