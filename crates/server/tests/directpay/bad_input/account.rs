//! Bad ways of changing the own account, and links that are none.

use serde_json::{Value, json};

use super::{Cases, Json, NOTHING_ELSE, Nobody, Nothing, Renter};
use crate::harness::{Home, PASSWORD, PATCH, POST, with, without};

const ME: &str = "/api/v1/users/me";

pub(super) fn add(cases: &mut Cases, home: &Home<'_>) {
    passwords(cases);
    profile(cases, home);
    second_factor(cases);
    for path in ["password", "email", "email/verification", "second-factor", "second-factor/confirm"] {
        cases.add(Nobody, POST, &format!("{ME}/{path}"), Json(json!({})), 401, "unauthorized");
    }
}

fn passwords(cases: &mut Cases) {
    let path = &format!("{ME}/password");
    let good = json!({"current_password": PASSWORD, "new_password": "seven purple bicycles"});
    for (field, value, code) in [
        ("current_password", json!("not the right password"), "wrong"),
        ("current_password", json!(""), "wrong"),
        ("current_password", json!("\u{0}"), "wrong"),
        ("current_password", json!(7), "wrong_type"),
        ("new_password", json!("fourteen chars"), "too_short"),
        ("new_password", json!("x".repeat(129)), "too_long"),
        ("new_password", json!("passwordpassword"), "too_common"),
        ("new_password", json!("with a \u{7} bell in it"), "control_character"),
        ("new_password", Value::Null, "wrong_type"),
        ("email", json!("a@example.com"), "unknown_field"),
    ] {
        cases.invalid(Renter, path, with(&good, field, value), &[(field, code)]);
    }
    for field in ["current_password", "new_password"] {
        cases.invalid(Renter, path, without(&good, field), &[(field, "required")]);
    }
    let path = "/api/v1/auth/password-reset";
    for (value, code) in [(json!("nobody"), "malformed"), (json!(""), "required"), (json!(7), "wrong_type")] {
        cases.invalid(Nobody, path, json!({"email": value}), &[("email", code)]);
    }
    cases.invalid(Nobody, path, json!({"email": "a@b.example\r\nBcc: c@d.example"}), &[("email", "malformed")]);
    let path = "/api/v1/auth/password-reset/confirm";
    let good = json!({"token": "made up", "new_password": "seven purple bicycles"});
    for token in ["made up", "", "\u{0}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        cases.invalid(Nobody, path, with(&good, "token", json!(token)), &[("token", "not_good")]);
    }
    let both = [("token", "not_good"), ("new_password", "too_short")];
    cases.invalid(Nobody, path, with(&good, "new_password", json!("short")), &both);
    cases.invalid(Nobody, path, without(&good, "token"), &[("token", "required")]);
}

fn profile(cases: &mut Cases, home: &Home<'_>) {
    for (field, value, code) in [
        ("full_name", json!(""), "required"),
        ("full_name", json!("n".repeat(201)), "too_long"),
        ("full_name", json!("a\nb"), "control_character"),
        ("full_name", Value::Null, "wrong_type"),
        ("phone", json!("call me"), "malformed"),
        ("phone", json!(5), "wrong_type"),
        ("role", json!("ADMIN"), "unknown_field"),
        ("email", json!("a@example.com"), "unknown_field"),
        ("email_verified_at", json!(1), "unknown_field"),
    ] {
        let case = cases.add(Renter, PATCH, ME, Json(json!({field: value})), 422, "invalid");
        case.fields = vec![(field, code)];
    }
    let both = json!({"full_name": "", "phone": "1"});
    let case = cases.add(Renter, PATCH, ME, Json(both), 422, "invalid");
    case.fields = vec![("full_name", "required"), ("phone", "too_short")];
    let path = &format!("{ME}/email");
    let good = json!({"email": "other@example.com", "password": PASSWORD});
    for (field, value, code) in [
        ("email", json!("nobody"), "malformed"),
        ("email", json!("a@b.example\r\nBcc: c@d.example"), "malformed"),
        ("email", json!("\"a\r\n b\"@example.com"), "malformed"),
        ("password", json!("not the right password"), "wrong"),
    ] {
        cases.invalid(Renter, path, with(&good, field, value), &[(field, code)]);
    }
    let taken = with(&good, "email", json!(home.landlord.email.to_uppercase()));
    cases.add(Renter, POST, path, Json(taken), 409, "email_taken");
    cases.add(Renter, POST, &format!("{path}/verification"), Nothing, 409, "email_verified");
    for token in ["made up", "", "\u{0}"] {
        cases.invalid(Nobody, "/api/v1/auth/email/confirm", json!({"token": token}), &[("token", "not_good")]);
    }
}

fn second_factor(cases: &mut Cases) {
    let path = &format!("{ME}/second-factor");
    cases.invalid(Renter, path, json!({"password": "not the right password"}), &[("password", "wrong")]);
    cases.invalid(Renter, path, json!({}), &[("password", "required")]);
    cases.add(Renter, POST, &format!("{path}/confirm"), Json(json!({"code": "1"})), 409, "second_factor_not_begun");
    cases.invalid(Renter, &format!("{path}/confirm"), json!({"code": 123_456}), &[("code", "wrong_type")]);
    for action in ["disable", "recovery-codes"] {
        let body = json!({"password": PASSWORD, "code": "123456"});
        cases.add(Renter, POST, &format!("{path}/{action}"), Json(body), 409, "second_factor_off");
    }
    let remove = format!("/api/v1/users/{NOTHING_ELSE}/second-factor/remove");
    cases.add(Renter, POST, &remove, Nothing, 403, "forbidden");
}
