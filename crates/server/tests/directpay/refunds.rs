//! Refunds that give back what was paid: a part or all of it, once, and never more.

use directpay_domain::time::SECOND_US;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Answer, Home, IN_TIME, TestApp, event_types, on_both, on_both_with, until, with, without};

fn refund(home: &Home<'_>, of: &str, amount: &str) -> Value {
    json!({"lease_id": home.lease, "amount": amount, "refund_of": of})
}

/// Refunds and waits until it has arrived.
async fn refunded(home: &Home<'_>, key: &str, body: &Value) -> Answer {
    let payment = home.landlord.pay(key, body).await.must(201);
    home.landlord.wait_until(&payment.id(), "COMPLETED").await
}

#[test]
fn what_was_paid_is_given_back_in_parts_until_nothing_is_left() {
    on_both(async |app| {
        let home = app.home().await;
        let paid = home.paid("rent").await;
        assert_eq!((&paid["refunded"], &paid["refund_of"]), (&json!("0.00"), &Value::Null));
        let (paid, initiated_at) = (paid.id(), paid.text_of("initiated_at"));
        // The renter has another primary account by now: the money goes back to where it came from.
        let other = home.renter.link_account("000123456780").await.id();
        home.renter.patch(&format!("/api/v1/bank-accounts/{other}/set-primary")).await.must(200);

        let part = refunded(&home, "part", &refund(&home, &paid, "500.00")).await;

        assert_eq!((&part["kind"], &part["refund_of"]), (&json!("REFUND"), &json!(paid)));
        // By the rail that it came by.
        assert_eq!((&part["rail"], &part["refunded"]), (&json!("INSTANT"), &Value::Null));
        assert_eq!(part["payee_account_id"], json!(home.renter_account));
        let too_much = refund(&home, &paid, "1000.01");
        let refusal =
            home.landlord.pay("too-much", &too_much).await.refuses_fields(&[("amount", "more_than_refundable")]);
        assert!(refusal.text.contains("1000.00 that can still be refunded"), "{}", refusal.text);
        let rest = with(&refund(&home, &paid, "1000.00"), "payee_id", json!(home.renter.id));
        refunded(&home, "rest", &with(&rest, "rail", json!("WIRE"))).await;
        let nothing_left = refund(&home, &paid, "0.01");
        home.landlord.pay("more", &nothing_left).await.refuses_fields(&[("amount", "more_than_refundable")]);

        assert_eq!(home.renter.payment(&paid).await["refunded"], "1500.00");
        let list = home.landlord.get(&format!("/api/v1/payments/lease/{}", home.lease)).await.must(200);
        assert_eq!(list.rows().last().unwrap()["refunded"], "1500.00");
        assert_eq!(home.renter.history(&paid).await["payment"]["refunded"], "1500.00");
        let past = format!("/api/v1/payments/{paid}/history?at={initiated_at}");
        assert_eq!(home.renter.get(&past).await.must(200)["payment"]["refunded"], Value::Null);
        // A landlord may still pay what no payment had brought.
        let free = refunded(&home, "free", &home.rent("10.00")).await;
        assert_eq!((&free["kind"], &free["refund_of"]), (&json!("REFUND"), &Value::Null));
        // A replay of the rent says what was refunded of it.
        let again = home.renter.pay("rent", &home.rent("1500.00")).await.must(200);
        assert_eq!(again["refunded"], "1500.00");
    });
}

#[test]
fn twenty_at_the_same_instant_never_give_back_more_than_was_paid() {
    on_both(async |app| {
        let home = app.home().await;
        let paid = home.paid("rent").await.id();
        let body = refund(&home, &paid, "100.00");

        let mut clicks = JoinSet::new();
        for number in 0..20 {
            // A connection for each.
            let client = Client::builder().no_proxy().build().unwrap();
            let request = client.post(app.address("/api/v1/payments/")).bearer_auth(&home.landlord.token);
            let request = request.header("Idempotency-Key", format!("click-{number}")).json(&body);
            clicks.spawn(async move { request.send().await.unwrap().status().as_u16() });
        }
        let mut statuses = clicks.join_all().await;
        statuses.sort_unstable();

        let expected: Vec<u16> = [vec![201; 15], vec![422; 5]].concat();
        assert_eq!(statuses, expected);
        assert_eq!(home.landlord.payment(&paid).await["refunded"], "1500.00");
        let list = format!("/api/v1/payments/lease/{}?status=COMPLETED", home.lease);
        until("all have arrived", async || home.landlord.get(&list).await.rows().len() == 16).await;
    });
}

#[test]
fn a_refund_is_repeated_under_its_key_and_names_its_payment_for_ever() {
    on_both(async |app| {
        let home = app.home().await;
        let paid = home.paid("rent").await.id();
        let other = home.paid("more-rent").await.id();
        let body = refund(&home, &paid, "1500.00");
        let first = refunded(&home, "back", &body).await.id();

        // Nothing is left to refund; a replay is answered all the same.
        let again = home.landlord.pay("back", &body).await.must(200);
        assert_eq!((again.header("idempotent-replayed"), again.id()), (Some("true"), first));
        for other in [
            with(&body, "refund_of", json!(other)),
            without(&body, "refund_of"),
            with(&body, "rail", json!("INSTANT")),
            with(&body, "payee_id", json!(home.renter.id)),
            with(&body, "amount", json!("1499.99")),
        ] {
            home.landlord.pay("back", &other).await.refuses(422, "idempotency_key_reused");
        }
        assert_eq!(home.landlord.payment(&other).await["refunded"], "0.00");
    });
}

#[test]
fn only_settled_rent_of_the_lease_is_refunded_and_only_by_its_landlord() {
    on_both(async |app| {
        let home = app.home().await;
        let elsewhere = app.home().await;
        let paid = home.paid("rent").await.id();
        let returning = home.renter.link_account("000555555559").await.id();
        let rent =
            with(&with(&home.rent("1500.00"), "rail", json!("STANDARD_ACH")), "payer_account_id", json!(returning));
        let returned = home.renter.pay("returned", &rent).await.must(201).id();
        home.renter.wait_until(&returned, "RETURNED").await;
        let back = refunded(&home, "back", &refund(&home, &paid, "1.00")).await.id();

        for (of, code) in [(&returned, "not_settled"), (&back, "not_rent"), (&home.lease, "not_found")] {
            let asked = home.landlord.pay("k", &refund(&home, of, "1.00")).await;
            asked.refuses_fields(&[("refund_of", code)]);
        }
        let foreign = refund(&elsewhere, &paid, "1.00");
        elsewhere.landlord.pay("k", &foreign).await.refuses_fields(&[("refund_of", "not_found")]);
        let theirs = refund(&home, &paid, "1.00");
        elsewhere.landlord.pay("k", &theirs).await.refuses_fields(&[("lease_id", "not_found")]);
        home.renter.pay("k", &theirs).await.refuses_fields(&[("refund_of", "only_for_refunds")]);

        home.renter.patch(&format!("/api/v1/bank-accounts/{}/deactivate", home.renter_account)).await.must(200);
        home.landlord.pay("k", &theirs).await.refuses_fields(&[("payee_account_id", "inactive")]);
        let other = home.renter.link_account("000123456780").await.id();
        let named = with(&theirs, "payee_account_id", json!(other));
        assert_eq!(refunded(&home, "k", &named).await["payee_account_id"], json!(other));
    });
}

#[test]
fn a_refund_that_failed_is_tried_again_only_while_the_payment_covers_it() {
    on_both(async |app| {
        let home = app.home().await;
        let paid = home.paid("rent").await.id();
        let silent = home.landlord.link_account("000777777771").await.id();
        let body = with(&refund(&home, &paid, "1000.00"), "payer_account_id", json!(silent));
        let failed = home.landlord.pay("fails", &body).await.must(201).id();
        home.landlord.wait_until(&failed, "FAILED").await;
        assert_eq!(home.landlord.payment(&paid).await["refunded"], "0.00");
        let retry = format!("/api/v1/payments/{failed}/retry");

        // As long as nothing else was promised it may be tried, and fails once more.
        home.landlord.post(&retry, &json!({})).await.must(200);
        home.landlord.wait_until(&failed, "FAILED").await;
        refunded(&home, "other", &refund(&home, &paid, "600.00")).await;

        let refusal = home.landlord.post(&retry, &json!({})).await.refuses(409, "not_refundable");
        assert_eq!(refusal["current_status"], "FAILED");
        assert!(refusal.text.contains("900.00 that can still be refunded"), "{}", refusal.text);
        assert_eq!(home.landlord.payment(&paid).await["refunded"], "600.00");
    });
}

/// Goes on by so many seconds.
fn wait(app: &TestApp, seconds: i64) {
    app.clock.advance(seconds * SECOND_US);
    app.running.app.wake_all();
}

#[test]
fn a_refund_that_no_bank_has_seen_goes_when_its_payment_comes_back() {
    on_both_with(IN_TIME, async |app| {
        let home = app.home().await;
        let returning = home.renter.link_account("000555555559").await.id();
        let rent =
            with(&with(&home.rent("1500.00"), "rail", json!("STANDARD_ACH")), "payer_account_id", json!(returning));
        let paid = home.renter.pay("rent", &rent).await.must(201).id();
        home.renter.wait_until(&paid, "PROCESSING").await;
        wait(app, 181);
        home.renter.wait_until(&paid, "COMPLETED").await;
        // The landlord's bank is away: the refund waits for its next attempt.
        let silent = home.landlord.link_account("000777777771").await.id();
        let body = with(&refund(&home, &paid, "1500.00"), "payer_account_id", json!(silent));
        let refund = home.landlord.pay("back", &body).await.must(201).id();
        until("it was put off", async || home.landlord.payment(&refund).await["retry_count"] == 1).await;

        wait(app, 61);
        home.renter.wait_until(&paid, "RETURNED").await;
        wait(app, 60);

        home.landlord.wait_until(&refund, "CANCELLED").await;
        let history = home.landlord.history(&refund).await;
        assert_eq!(event_types(&history).last(), Some(&"cancelled"));
        let events = history["events"].as_array().unwrap();
        assert_eq!(events.last().unwrap()["reason"]["code"], "REFUNDED_PAYMENT_RETURNED");
        assert_eq!(home.landlord.payment(&paid).await["refunded"], "0.00");
    });
}
