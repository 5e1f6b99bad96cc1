//! Bad ways of making a webhook.

use serde_json::{Value, json};

use super::{Cases, Json, Landlord, NOTHING_ELSE, Nobody, Nothing, Renter};
use crate::harness::{GET, PATCH, POST, with, without};

pub(super) fn add(cases: &mut Cases) {
    let path = "/api/v1/webhooks/";
    let good = json!({"url": "https://example.com/hook", "event_types": ["payment_completed"], "description": "x"});
    for (field, value, code) in [
        ("url", json!(""), "malformed"),
        ("url", json!("example.com"), "malformed"),
        ("url", json!(format!("https://example.com/{}", "x".repeat(2_048))), "too_long"),
        ("url", json!("ftp://example.com/"), "not_https"),
        // In the clear only to networks that the operator has named, which these tests do for the first.
        ("url", json!("http://93.184.216.34/"), "forbidden_address"),
        ("url", json!("https://user:word@example.com/"), "has_credentials"),
        ("url", json!("https://example.com/#part"), "has_fragment"),
        ("url", json!("https://10.0.0.1/"), "forbidden_address"),
        ("url", json!("https://0xA9FEA9FE/latest/meta-data"), "forbidden_address"),
        ("url", json!("https://[::ffff:169.254.169.254]/"), "forbidden_address"),
        ("url", json!("https://[64:ff9b::a00:1]/"), "forbidden_address"),
        ("url", json!(7), "wrong_type"),
        ("event_types", json!(["payment.completed"]), "unknown"),
        ("event_types", json!(["payment_completed", "payment_completed"]), "duplicate"),
        ("event_types", json!("payment_completed"), "wrong_type"),
        ("description", json!(""), "required"),
        ("description", json!("d".repeat(201)), "too_long"),
        ("description", json!("a\u{202e}b"), "control_character"),
        ("after", json!(-1), "out_of_range"),
        ("after", json!("0"), "wrong_type"),
        ("secret", json!("whsec_mine"), "unknown_field"),
    ] {
        cases.invalid(Landlord, path, with(&good, field, value), &[(field, code)]);
    }
    cases.invalid(Renter, path, without(&good, "url"), &[("url", "required")]);
    let all_at_once = json!({"url": "http", "event_types": ["x"], "description": " ", "after": -7});
    let codes =
        [("url", "malformed"), ("event_types", "unknown"), ("description", "required"), ("after", "out_of_range")];
    cases.invalid(Landlord, path, all_at_once, &codes);
    cases.add(Nobody, POST, path, Json(good.clone()), 401, "unauthorized");
    for id in [NOTHING_ELSE, "7"] {
        cases.add(Renter, GET, &format!("{path}{id}"), Nothing, 404, "not_found");
        cases.add(Renter, PATCH, &format!("{path}{id}"), Json(json!({})), 404, "not_found");
        cases.add(Renter, GET, &format!("{path}{id}/deliveries/{id}"), Nothing, 404, "not_found");
        for what in ["pause", "resume", "rotate-secret", "test"] {
            cases.add(Renter, POST, &format!("{path}{id}/{what}"), Nothing, 404, "not_found");
        }
    }
    let range = format!("{path}{NOTHING_ELSE}/resend");
    let codes = [("after", "out_of_range"), ("through", "before_after")];
    cases.invalid(Renter, &range, json!({"after": -1, "through": -2}), &codes);
    cases.invalid(Renter, &range, json!({"after": Value::Null, "through": 1}), &[("after", "wrong_type")]);
    cases.add(Renter, POST, &range, Json(json!({"after": 0, "through": 2})), 404, "not_found");
}
