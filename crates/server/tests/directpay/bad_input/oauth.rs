//! Bad ways of registering programs, and forms of the protocol that are none.

use serde_json::{Value, json};

use super::{Cases, FORM, JSON, Json, Landlord, NOTHING_ELSE, Nobody, Nothing, Raw, Renter};
use crate::harness::{GET, PATCH, POST, with, without};

pub(super) fn add(cases: &mut Cases) {
    let path = "/api/v1/oauth/clients/";
    let good = json!({
        "name": "Rent Ledger", "kind": "CONFIDENTIAL", "scopes": ["leases:read"],
        "redirect_uris": ["https://ledger.example.com/callback"], "grants": ["authorization_code"],
    });
    let uris: Vec<_> = (0..11).map(|number| format!("https://{number}.example/")).collect();
    for (field, value, code) in [
        ("name", json!(" "), "required"),
        ("name", json!("n".repeat(201)), "too_long"),
        ("name", json!("a\u{202e}b"), "control_character"),
        ("name", Value::Null, "wrong_type"),
        ("kind", json!("TRUSTED"), "unknown"),
        ("scopes", json!([]), "required"),
        ("scopes", json!(["openid"]), "unknown"),
        ("scopes", json!(["leases:read", "leases:read"]), "duplicate"),
        ("scopes", json!(["leases:read", "webhooks:write"]), "unfit"),
        ("grants", json!([]), "required"),
        ("grants", json!(["implicit"]), "unknown"),
        ("grants", json!(["password"]), "unknown"),
        ("grants", json!(["refresh_token"]), "unfit"),
        ("redirect_uris", json!([]), "required"),
        ("redirect_uris", json!(["https://*.example.com/"]), "malformed"),
        ("redirect_uris", json!(["https://a.example/#x"]), "malformed"),
        ("redirect_uris", json!(["http://a.example/"]), "insecure"),
        ("redirect_uris", json!(["https://a.example/", "https://a.example/"]), "duplicate"),
        ("redirect_uris", json!(uris), "too_many"),
        ("redirect_uris", json!([format!("https://a.example/{}", "x".repeat(1024))]), "too_long"),
        ("redirect_uris", json!("https://a.example/"), "wrong_type"),
        ("client_secret", json!("mine"), "unknown_field"),
    ] {
        cases.invalid(Landlord, path, with(&good, field, value), &[(field, code)]);
    }
    for field in ["name", "kind", "scopes"] {
        cases.invalid(Renter, path, without(&good, field), &[(field, "required")]);
    }
    cases.invalid(Renter, path, without(&good, "redirect_uris"), &[("redirect_uris", "required")]);
    let machine = with(&with(&good, "kind", json!("PUBLIC")), "grants", json!(["client_credentials"]));
    cases.invalid(Renter, path, machine, &[("grants", "unfit")]);
    let all_at_once = json!({"name": "", "kind": "x", "scopes": [], "grants": [], "redirect_uris": ["x"]});
    let codes = [
        ("name", "required"),
        ("kind", "unknown"),
        ("scopes", "required"),
        ("grants", "required"),
        ("redirect_uris", "malformed"),
    ];
    cases.invalid(Landlord, path, all_at_once, &codes);
    cases.add(Nobody, POST, path, Json(good), 401, "unauthorized");
    for id in [NOTHING_ELSE, "7"] {
        cases.add(Renter, GET, &format!("{path}{id}"), Nothing, 404, "not_found");
        cases.add(Renter, PATCH, &format!("{path}{id}"), Json(json!({"name": "x"})), 404, "not_found");
        cases.add(Renter, POST, &format!("{path}{id}/rotate-secret"), Nothing, 404, "not_found");
        let authorization = format!("/api/v1/me/authorizations/{id}");
        cases.add(Renter, reqwest::Method::DELETE, &authorization, Nothing, 404, "not_found");
    }
    for endpoint in ["/oauth/token", "/oauth/revoke", "/oauth/introspect"] {
        cases.add(Nobody, POST, endpoint, Raw(JSON, b"{}".to_vec()), 415, "unsupported_media_type");
        cases.add(Nobody, POST, endpoint, Raw(FORM, b"client_id=%ff".to_vec()), 401, "oauth:invalid_client");
        cases.add(Nobody, POST, endpoint, Raw(FORM, b"client_id=a&client_id=b".to_vec()), 400, "oauth:invalid_request");
        cases.add(Nobody, POST, endpoint, Raw(FORM, Vec::new()), 401, "oauth:invalid_client");
    }
}
