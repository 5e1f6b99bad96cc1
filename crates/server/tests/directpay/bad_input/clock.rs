//! Bad ways of moving the sandbox's clock.

use serde_json::json;

use super::{Cases, Json, Landlord, Nobody, Renter};
use crate::harness::POST;

/// What an administrator is told stands in the story of the clock.
pub(super) fn add(cases: &mut Cases) {
    let path = "/api/v1/sandbox/clock/advance";
    for (body, field, code) in [
        (json!({"hours": 1}), "hours", "unknown_field"),
        (json!({"seconds": "60"}), "seconds", "wrong_type"),
        (json!({"seconds": 1.5}), "seconds", "wrong_type"),
        (json!({"days": true}), "days", "wrong_type"),
        (json!({"to": 7}), "to", "wrong_type"),
    ] {
        cases.invalid(Landlord, path, body, &[(field, code)]);
    }
    cases.raw(Landlord, path, "{\"days\": 99999999999999999999}", 422, "invalid", &[("days", "wrong_type")]);
    cases.raw(Landlord, path, "{\"days\": 1, \"days\": 2}", 422, "invalid", &[("days", "duplicate")]);
    cases.raw(Landlord, path, "[60]", 400, "malformed_json", &[]);
    for who in [Landlord, Renter] {
        cases.add(who, POST, path, Json(json!({"seconds": 60})), 403, "forbidden");
    }
    cases.add(Nobody, POST, path, Json(json!({"seconds": 60})), 401, "unauthorized");
}
