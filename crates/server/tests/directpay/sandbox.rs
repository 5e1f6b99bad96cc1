//! Every row of the sandbox's table on every rail, and what a person can do about it afterwards.

use std::sync::Arc;

use directpay_domain::rail::DelayScale;
use directpay_server::bank::simulator::Simulator;
use directpay_server::workers::Workers;
use serde_json::{Value, json};

use crate::harness::{
    GOOD_ACCOUNT, Home, POST, Visitor, WITHOUT_WORKERS, account, event_types, on_both, on_both_with, until, with,
};

const TABLE: &str = include_str!("../../src/bank/sandbox_accounts.csv");

/// What becomes of a payment.
#[derive(Clone, Copy)]
struct Fate {
    status: &'static str,
    code: Option<&'static str>,
    retries: i64,
    /// The types of its events after the first two.
    events: &'static [&'static str],
}

const fn fate(status: &'static str, code: Option<&'static str>, retries: i64, events: &'static [&'static str]) -> Fate {
    Fate { status, code, retries, events }
}

const COMPLETES: Fate = fate("COMPLETED", None, 0, &["completed"]);

const fn fails(code: &'static str) -> Fate {
    fate("FAILED", Some(code), 0, &["failed"])
}

/// What a row means, on rails that can be returned and on those that are final.
fn expected(number: &str) -> (Fate, Fate) {
    const AGAIN: &str = "retry_scheduled";
    const HANDED: &str = "processing";
    const RETRIES_RUN_OUT: Fate = fate(
        "FAILED",
        Some("BANK_UNAVAILABLE"),
        5,
        &[AGAIN, HANDED, AGAIN, HANDED, AGAIN, HANDED, AGAIN, HANDED, AGAIN, HANDED, "failed"],
    );
    const THIRD_TIME: Fate = fate("COMPLETED", None, 2, &[AGAIN, HANDED, AGAIN, HANDED, "completed"]);
    const STAYS: Fate = fate("PROCESSING", None, 0, &[]);
    match number {
        GOOD_ACCOUNT | "000888888885" => (COMPLETES, COMPLETES),
        "000222222227" => (fate("FAILED", Some("R01"), 2, &[AGAIN, HANDED, AGAIN, HANDED, "failed"]), fails("AM04")),
        "000111111113" => (fails("R02"), fails("AC04")),
        "000111111116" => (fails("R03"), fails("AC02")),
        "000333333335" => (fails("R10"), fails("AG01")),
        "000444444440" => (fails("R16"), fails("AC06")),
        "000555555559" => (fate("RETURNED", Some("R10"), 0, &["completed", "returned"]), COMPLETES),
        "000222222235" => {
            (fate("COMPLETED", None, 1, &["completed", "returned", AGAIN, HANDED, "completed"]), COMPLETES)
        }
        "000666666661" => (THIRD_TIME, THIRD_TIME),
        "000777777771" => (RETRIES_RUN_OUT, RETRIES_RUN_OUT),
        "000000000009" => (STAYS, STAYS),
        unknown => panic!("the table has a row that no test knows: {unknown}"),
    }
}

fn numbers() -> Vec<&'static str> {
    TABLE.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect()
}

fn reason(code: &str) -> &'static str {
    let text = TABLE.lines().find(|line| line.split(',').any(|cell| cell == code)).map(|line| line.split(',').nth(3));
    text.flatten().unwrap_or("Bank unavailable")
}

#[test]
fn every_row_of_the_sandbox_ends_as_the_table_says_on_every_rail() {
    on_both(async |app| {
        let home = app.home().await;
        assert_eq!(numbers().len(), 12);
        for number in numbers() {
            try_row(&home, number).await;
        }
    });
}

async fn try_row(home: &Home<'_>, number: &str) {
    let (returnable, last) = expected(number);
    let account =
        if number == GOOD_ACCOUNT { home.renter_account.clone() } else { home.renter.link_account(number).await.id() };
    let initiate = async |rail: &str, account: &str| {
        let body = with(&with(&home.rent("10.00"), "rail", json!(rail)), "payer_account_id", json!(account));
        home.renter.pay(&format!("{number}-{rail}"), &body).await.must(201).id()
    };
    // A closed account takes no new payment: these three are accepted before the bank has said anything of it.
    for (rail, fate) in [("INSTANT", last), ("WIRE", last), ("SAME_DAY_ACH", returnable)] {
        let payment = initiate(rail, &account).await;
        meets(home, number, rail, &payment, fate).await;
    }
    let closing = returnable.code.filter(|code| ["R02", "R03", "R16"].contains(code));
    let account = match closing {
        None => account,
        Some(code) => link_anew(home, number, &account, code).await,
    };
    let payment = initiate("STANDARD_ACH", &account).await;
    meets(home, number, "STANDARD_ACH", &payment, returnable).await;
}

async fn meets(home: &Home<'_>, number: &str, rail: &str, payment: &str, fate: Fate) {
    let version = i64::try_from(fate.events.len()).unwrap() + 2;
    until(&format!("{number} by {rail} is {}", fate.status), async || {
        let now = home.renter.payment(payment).await;
        now["status"] == fate.status && now["version"] == version
    })
    .await;
    let payment = home.landlord.payment(payment).await;
    let context = format!("{number} by {rail}: {}", payment.text);
    assert_eq!(payment["failure_code"], json!(fate.code), "{context}");
    assert_eq!(payment["failure_reason"], json!(fate.code.map(reason)), "{context}");
    assert_eq!(payment["retry_count"], fate.retries, "{context}");
    let is_done = |field: &str, event: &str| {
        assert_eq!(payment[field].is_string(), fate.events.contains(&event), "{field} of {context}");
    };
    is_done("completed_at", "completed");
    is_done("failed_at", "failed");
    is_done("returned_at", "returned");
    let is_final = matches!(rail, "INSTANT" | "WIRE") || matches!(fate.status, "FAILED" | "RETURNED");
    assert_eq!(payment["returnable_until"].is_null(), is_final, "{context}");
    let history = home.landlord.history(&payment.id()).await;
    assert_eq!(event_types(&history), [&["initiated", "processing"], fate.events].concat(), "{context}");
    assert_eq!(history["payment"], payment.body);
    let attempts = history["events"].as_array().unwrap().last().unwrap()["metadata"]["attempt"].as_i64();
    assert_eq!(attempts, Some(fate.retries + 1), "{context}");
}

/// The account is closed to new payments until it is linked anew.
async fn link_anew(home: &Home<'_>, number: &str, old: &str, code: &str) -> String {
    let renter = &home.renter;
    let list = renter.get(&format!("/api/v1/bank-accounts/user/{}", renter.id)).await.must(200);
    let row = list.rows().iter().find(|row| row["id"] == old).unwrap();
    assert_eq!(row["closed_by"], code);
    let body = with(&home.rent("10.00"), "payer_account_id", json!(old));
    let refused = async || renter.pay(&format!("{number}-closed"), &body).await;
    refused().await.refuses_fields(&[("payer_account_id", "account_unusable")]);
    let set = renter.patch(&format!("/api/v1/bank-accounts/{old}/set-primary")).await;
    set.refuses(409, "account_unusable");
    let new = renter.link_account(number).await.id();
    refused().await.refuses_fields(&[("payer_account_id", "account_unusable")]);
    renter.post("/api/v1/bank-accounts/", &account(number)).await.refuses(409, "already_linked");
    new
}

#[test]
fn an_account_that_is_linked_anew_pays_in_place_of_the_closed_primary_one() {
    on_both(async |app| {
        let home = app.home().await;
        let renter = app.sign_up("RENTER").await;
        let closed = renter.link_account("000111111113").await.id();
        let property = home.landlord.add_property().await.id();
        let lease = home.landlord.sign_lease(&property, &renter.id).await.id();
        let rent = json!({"lease_id": lease, "amount": "10.00"});
        let first = renter.pay("first", &rent).await.must(201);
        renter.wait_until(&first.id(), "FAILED").await;
        renter.pay("second", &rent).await.refuses_fields(&[("payer_account_id", "account_unusable")]);

        let anew = renter.link_account("000111111113").await;

        assert_eq!(anew["is_primary"], true, "the closed one is of no use");
        assert_eq!(renter.pay("second", &rent).await.must(201)["payer_account_id"], anew["id"]);
        let list = renter.get(&format!("/api/v1/bank-accounts/user/{}", renter.id)).await.must(200);
        let old = list.rows().iter().find(|row| row["id"] == closed.as_str()).unwrap();
        assert_eq!(old["is_primary"], false);
        until("the second payment is done", async || {
            renter.get("/api/v1/payments/?idempotency_key=second").await.column("status") == ["FAILED"]
        })
        .await;
    });
}

#[test]
fn a_landlord_refunds_a_renter() {
    on_both(async |app| {
        let home = app.home().await;
        home.paid("rent").await;
        let refund = home.landlord.pay("rent", &home.rent("200.00")).await.must(201);
        assert_eq!(refund["kind"], "REFUND");
        assert_eq!(refund["payer_account_id"], home.landlord_account.as_str());
        assert_eq!(refund["payee_account_id"], home.renter_account.as_str());
        assert_eq!(refund["initiated_by"], home.landlord.id.as_str());
        home.renter.wait_until(&refund.id(), "COMPLETED").await;
        // Both keys are the same, their owners are not.
        for who in [&home.landlord, &home.renter] {
            let found = who.get("/api/v1/payments/?idempotency_key=rent").await.must(200);
            assert_eq!(found.rows()[0]["initiated_by"], who.id.as_str());
            assert_eq!(who.get("/api/v1/payments/").await.must(200).rows().len(), 2);
        }
    });
}

#[test]
fn only_what_failed_for_the_banks_sake_can_be_retried_by_its_initiator() {
    on_both(async |app| {
        let home = app.home().await;
        let outcome = async |number: &str, status: &str| {
            let account = home.renter.link_account(number).await.id();
            let body =
                with(&with(&home.rent("1.00"), "rail", json!("SAME_DAY_ACH")), "payer_account_id", json!(account));
            let payment = home.renter.pay(number, &body).await.must(201).id();
            home.renter.wait_until(&payment, status).await;
            payment
        };
        let retry =
            async |who: &Visitor<'_>, id: &str| who.call(POST, &format!("/api/v1/payments/{id}/retry")).send().await;
        for (number, status) in [
            ("000222222227", "FAILED"),
            ("000111111113", "FAILED"),
            ("000333333335", "FAILED"),
            ("000555555559", "RETURNED"),
        ] {
            let payment = outcome(number, status).await;
            let before = home.renter.payment(&payment).await.body;
            assert_eq!(retry(&home.renter, &payment).await.refuses(409, "not_retryable")["current_status"], status);
            assert_eq!(home.renter.payment(&payment).await.body, before);
        }
        let unlucky = outcome("000777777771", "FAILED").await;
        retry(&home.landlord, &unlucky).await.refuses(403, "forbidden");
        let retried = retry(&home.renter, &unlucky).await.must(200);
        assert_eq!((retried["status"].as_str(), &retried["failure_code"]), (Some("PENDING"), &Value::Null));
        // A new budget of transient retries, while the count goes on.
        until("it fails again", async || home.renter.payment(&unlucky).await["retry_count"] == 11).await;
        let failed = home.renter.wait_until(&unlucky, "FAILED").await;
        assert_eq!(failed["failure_code"], "BANK_UNAVAILABLE");
        let history = home.renter.history(&unlucky).await;
        let requested =
            history["events"].as_array().unwrap().iter().find(|event| event["event_type"] == "payment_retry_requested");
        assert_eq!(requested.unwrap()["actor"]["id"], home.renter.id.as_str());
        let stuck = outcome("000000000009", "PROCESSING").await;
        for action in ["retry", "cancel"] {
            let refusal = home.renter.call(POST, &format!("/api/v1/payments/{stuck}/{action}")).send().await;
            assert_eq!(refusal.refuses(409, "wrong_status")["current_status"], "PROCESSING");
        }
    });
}

#[test]
fn a_pending_payment_is_cancelled_by_its_initiator_only_and_once() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        let home = app.home().await;
        let payment = home.renter.pay("rent", &home.rent("1500.00")).await.must(201).id();
        let cancel =
            async |who: &Visitor<'_>| who.call(POST, &format!("/api/v1/payments/{payment}/cancel")).send().await;
        cancel(&home.landlord).await.refuses(403, "forbidden");
        cancel(&app.sign_up("RENTER").await).await.refuses(404, "not_found");
        let cancelled = cancel(&home.renter).await.must(200);
        assert_eq!((cancelled["status"].as_str(), cancelled["version"].as_i64()), (Some("CANCELLED"), Some(2)));
        assert!(cancelled["cancelled_at"].is_string() && cancelled["failure_code"].is_null());
        assert_eq!(cancel(&home.renter).await.refuses(409, "wrong_status")["current_status"], "CANCELLED");
        let history = home.landlord.history(&payment).await;
        assert_eq!(event_types(&history), ["initiated", "cancelled"]);
        assert_eq!(history["events"][1]["actor"]["id"], home.renter.id.as_str());
        assert_eq!(history["events"][1]["reason"]["code"], "CANCELLED_BY_INITIATOR");
        // The key goes on naming it.
        let replay = home.renter.pay("rent", &home.rent("1500.00")).await.must(200);
        assert_eq!(replay["status"], "CANCELLED");
    });
}

#[test]
fn what_is_withdrawn_by_many_at_once_is_withdrawn_once() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        let home = app.home().await;
        let payment = home.renter.pay("rent", &home.rent("1500.00")).await.must(201).id();
        let path = format!("/api/v1/payments/{payment}/cancel");
        let mut tries = tokio::task::JoinSet::new();
        let client = Arc::new(reqwest::Client::builder().no_proxy().build().unwrap());
        for _ in 0..8 {
            let request = client.post(app.address(&path)).bearer_auth(&home.renter.token);
            tries.spawn(async move { request.send().await.unwrap().status().as_u16() });
        }
        let mut statuses = tries.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
        assert_eq!(home.renter.payment(&payment).await["version"], 2);
    });
}

#[test]
fn a_payment_whose_account_is_deactivated_before_hand_over_is_cancelled_with_the_reason() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        let home = app.home().await;
        let payment = home.renter.pay("rent", &home.rent("1500.00")).await.must(201).id();
        home.landlord.patch(&format!("/api/v1/bank-accounts/{}/deactivate", home.landlord_account)).await.must(200);
        let parts = &app.running.app;
        let bank = Simulator::new(parts.db.clone(), parts.clock.clone(), DelayScale::AT_ONCE).unwrap();

        let workers = Workers::start(parts, bank);

        home.renter.wait_until(&payment, "CANCELLED").await;
        workers.finish().await;
        let history = home.renter.history(&payment).await;
        assert_eq!(history["events"][1]["reason"]["code"], "ACCOUNT_UNUSABLE");
        assert_eq!(history["events"][1]["actor"]["type"], "SYSTEM");
    });
}
