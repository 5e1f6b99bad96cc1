//! Refunds of payments, and returns of deposits.

use serde_json::json;

use super::{Cases, Json, Landlord, NOTHING_ELSE, Nothing, Renter};
use crate::harness::{GET, Home, POST, with};

pub(super) fn refunds(cases: &mut Cases, home: &Home<'_>, paid: &str) {
    let path = "/api/v1/payments/";
    let refund = with(&home.rent("1500.00"), "refund_of", json!(paid));
    for (field, value, code) in [
        ("refund_of", json!("x"), "malformed"),
        ("refund_of", json!(NOTHING_ELSE), "not_found"),
        ("payee_id", json!("x"), "malformed"),
        ("payee_id", json!(home.landlord.id), "differs_from_payment"),
        ("payee_account_id", json!(home.landlord_account), "not_found"),
        ("amount", json!("1500.01"), "more_than_refundable"),
    ] {
        cases.invalid(Landlord, path, with(&refund, field, value), &[(field, code)]);
    }
    cases.invalid(Renter, path, refund, &[("refund_of", "only_for_refunds")]);
    let free = with(&home.rent("1.00"), "payee_id", json!(home.landlord.id));
    cases.invalid(Landlord, path, free.clone(), &[("payee_id", "not_found")]);
    cases.invalid(Renter, path, free, &[("payee_id", "only_for_refunds")]);
}

pub(super) fn deposits(cases: &mut Cases, home: &Home<'_>) {
    let path = |rest: &str| format!("/api/v1/leases/{}/{rest}", home.lease);
    let item = json!({"description": "Broken window", "amount": "180.00"});
    let body = json!({"deductions": [item]});
    for (field, value, code) in [
        ("rail", json!("PIGEON"), "unknown"),
        ("payer_account_id", json!("x"), "malformed"),
        ("payee_id", json!("x"), "malformed"),
        ("payee_account_id", json!("x"), "malformed"),
        ("move_out_date", json!("soon"), "malformed"),
        ("move_out_date", json!("2026-01-16"), "before_start"),
        ("deadline_days", json!(0), "out_of_range"),
        ("deadline_days", json!(366), "out_of_range"),
        ("deadline_days", json!("14"), "wrong_type"),
        ("deductions", json!({}), "wrong_type"),
        ("deductions", json!(vec![item.clone(); 51]), "too_many"),
        ("amount", json!("1.00"), "unknown_field"),
    ] {
        cases.invalid(Landlord, &path("deposit-return"), with(&body, field, value), &[(field, code)]);
    }
    let items = json!({"deductions": [item, {"description": " ", "amount": "0"}]});
    cases.invalid(
        Landlord,
        &path("deposit-return"),
        items,
        &[("deductions[1].description", "required"), ("deductions[1].amount", "not_positive")],
    );
    cases.add(Renter, POST, &path("deposit-return"), Json(body.clone()), 403, "forbidden");
    cases.query(Renter, &path("deposit?deadline_days=0"), "deadline_days", "out_of_range");
    cases.query(Renter, &path("deposit?deadline_days=x"), "query", "malformed");
    cases.query(Renter, &path("deposit?move_out_date=2026-01-16"), "move_out_date", "before_start");
    let elsewhere = format!("/api/v1/leases/{NOTHING_ELSE}");
    cases.add(Landlord, GET, &format!("{elsewhere}/deposit"), Nothing, 404, "not_found");
    cases.add(Landlord, POST, &format!("{elsewhere}/deposit-return"), Json(body), 404, "not_found");
}
