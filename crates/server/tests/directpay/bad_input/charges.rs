//! What a landlord charges, lets off and decides.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Cases, Json, Landlord, NOTHING_ELSE, Renter};
use crate::harness::{Home, POST, with, without};

pub(super) fn charges(cases: &mut Cases, home: &Home<'_>) {
    let path = |rest: &str| format!("/api/v1/leases/{}/{rest}", home.lease);
    let charge = json!({"description": "Lost key", "amount": "25.00"});
    for (field, value, code) in [
        ("kind", json!("RENT"), "unknown"),
        ("kind", json!("PAYOUT"), "unknown"),
        ("description", json!(" "), "required"),
        ("description", json!("a\nb"), "control_character"),
        ("amount", json!("0"), "not_positive"),
        ("amount", json!("100000000"), "too_large"),
        ("due_date", json!("soon"), "malformed"),
        ("currency", json!("USD"), "unknown_field"),
    ] {
        cases.invalid(Landlord, &path("charges"), with(&charge, field, value), &[(field, code)]);
    }
    cases.add(Renter, POST, &path("charges"), Json(charge), 403, "forbidden");
    let credit = json!({"kind": "CONCESSION", "amount": "25.00", "reason": "A free week"});
    for (field, value, code) in [
        ("kind", json!("CORRECTION"), "unknown"),
        ("amount", json!("-1"), "not_positive"),
        ("charge_id", json!("x"), "malformed"),
        ("charge_id", json!(NOTHING_ELSE), "not_found"),
        ("reason", json!(""), "required"),
    ] {
        cases.invalid(Landlord, &path("credits"), with(&credit, field, value), &[(field, code)]);
    }
    cases.invalid(Landlord, &path("credits"), without(&credit, "amount"), &[("amount", "required")]);
    cases.invalid(Landlord, &path("credits"), with(&credit, "kind", json!("WAIVER")), &[("charge_id", "required")]);
    let extra = json!({"description": "Parking", "amount": "75.00", "start_date": "2090-01-01"});
    for (field, value, code) in [
        ("amount", json!("100000000"), "too_large"),
        ("start_date", json!("2020-01-01"), "past"),
        ("end_date", json!("2089-12-31"), "before_start"),
    ] {
        cases.invalid(Landlord, &path("extras"), with(&extra, field, value), &[(field, code)]);
    }
    let rent = json!({"rent_amount": "1600.00", "effective_date": "2090-01-01", "idempotency_key": "k"});
    for (field, value, code) in [
        ("rent_amount", json!("ten"), "malformed"),
        ("effective_date", json!("2020-01-01"), "not_in_future"),
        ("effective_date", json!("2090-02-30"), "malformed"),
    ] {
        cases.invalid(Landlord, &path("rent-changes"), with(&rent, field, value), &[(field, code)]);
    }
    for rest in [&format!("charges/{NOTHING_ELSE}/void"), "charges/x/void"] {
        cases.add(Landlord, POST, &path(rest), Json(json!({"reason": "x"})), 404, "not_found");
    }
    let end = json!({"end_date": "2090-01-01"});
    cases.add(Landlord, POST, &path(&format!("extras/{NOTHING_ELSE}/end")), Json(end), 404, "not_found");
}

pub(super) fn rules(cases: &mut Cases, home: &Home<'_>) {
    let path = |rest: &str| format!("/api/v1/leases/{}/{rest}", home.lease);
    let mut put = |rest: &str, body: Value, field: &'static str, code: &'static str| {
        let case = cases.add(Landlord, Method::PUT, &path(rest), Json(body), 422, "invalid");
        case.fields = vec![(field, code)];
    };
    let policy = json!({"policy": "BLOCK_ALL", "reason": "x", "from_date": "2090-01-02"});
    put("payment-policy", with(&policy, "policy", json!("SOME")), "policy", "unknown");
    put("payment-policy", with(&policy, "reason", json!("")), "reason", "required");
    put("payment-policy", with(&policy, "until_date", json!("2090-01-01")), "until_date", "before_start");
    let fees = json!({"kind": "FLAT", "amount": "50.00", "fee_from_offset": 5});
    put("late-fees", with(&fees, "kind", json!("SOME")), "kind", "unknown");
    put("late-fees", without(&fees, "amount"), "amount", "required");
    put("late-fees", with(&fees, "basis_points", json!(500)), "amount", "required");
    put("late-fees", with(&fees, "kind", json!("PERCENT")), "basis_points", "required");
    put("late-fees", with(&fees, "frequency", json!("DAILY")), "cap", "cap_required");
    put("late-fees", with(&fees, "cap", json!("49.99")), "amount", "over_cap");
    put("late-fees", with(&fees, "fee_from_offset", json!(0)), "fee_from_offset", "out_of_range");
    put("late-fees", without(&fees, "fee_from_offset"), "fee_from_offset", "required");
    put("late-fees", with(&fees, "effective_date", json!("2020-01-01")), "effective_date", "past");
    put("charge-notice", json!({"charge_notice_days": -1}), "charge_notice_days", "out_of_range");
    put("charge-notice", json!({"charge_notice_days": "14"}), "charge_notice_days", "wrong_type");
    put("charge-notice", json!({}), "charge_notice_days", "required");
    let notice = json!({"charge_notice_days": 14});
    cases.add(Renter, Method::PUT, &path("charge-notice"), Json(notice), 403, "forbidden");
    cases.query(Renter, &path("charges?limit=101"), "limit", "out_of_range");
    cases.query(Landlord, &path("charges?cursor=x"), "cursor", "malformed");
    cases.query(Renter, &path("quote?amount=0"), "amount", "not_positive");
    cases.query(Renter, &path("quote?amount=1&rail=PIGEON"), "rail", "unknown");
    cases.query(Renter, &path("quote"), "query", "malformed");
    cases.query(Renter, &path("late-fees?through=soon"), "through", "malformed");
    cases.query(Renter, &path("history?after=x"), "query", "malformed");
}
