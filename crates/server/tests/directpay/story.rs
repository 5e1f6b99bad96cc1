//! The whole story by the book: every endpoint, what it answers and what its views show.

use serde_json::{Value, json};

use crate::harness::{
    GET, PASSWORD, POST, ROUTING, TestApp, Visitor, assert_id, assert_time, event_types, keys, on_both,
};

const USER: &str = "created_at email full_name id phone role";
const ACCOUNT: &str = "account_holder_name account_type bank_name closed_by created_at id is_active is_primary last4 \
                       routing_number token user_id";
const PROPERTY: &str = "address city created_at id landlord_id name state time_zone unit zip_code";
const LEASE: &str = "charge_notice_days created_at currency end_date first_period id landlord_id last_period payee_account_id \
                     payment_due_day payment_policy property_id proration rent_amount rent_changes renter_id renter_ids \
                     renters share_changes shares start_date terminated_at";
const CHARGE: &str = "amount currency description due_date id kind on_the_way open paid period_end period_start posted_at status \
                      voided_at";
const PAYMENT: &str = "amount cancelled_at completed_at created_at currency estimated_settlement_at failed_at \
                       failure_code failure_reason id idempotency_key initiated_at initiated_by kind lease_id metadata \
                       payee_account_id payer_account_id processing_at rail refund_of refunded retry_count returnable_until \
                       returned_at status version";
const EVENT: &str = "actor event_type id metadata occurred_at previous_status reason request_id sequence status";
const SNAPSHOT: &str = "amount attempt bank_reference currency lease_id payee payer rail";

#[test]
fn the_fifteen_endpoints_of_the_original_system_and_all_others_tell_one_story() {
    on_both(async |app| {
        let (alice, bob) = (sign_up_alice(app).await, sign_up_bob(app).await);
        read_people(app, &alice, &bob).await;
        let (alices_account, bobs_account) = link_accounts(&alice, &bob).await;
        let property = enter_property(&alice).await;
        let lease = sign_lease(&alice, &bob, &property, &alices_account).await;
        let payment = pay(&alice, &bob, &lease, &alices_account, &bobs_account).await;
        read_history(&alice, &bob, &payment).await;
        list_payments(&alice, &bob, &lease, &payment).await;
        cancel_and_retry_are_refused(&bob, &payment).await;
        change_accounts(&bob, &bobs_account).await;
        terminate(&alice, &lease).await;
        read_as_administrator(app, &alice, &bob, &lease, &payment).await;
        end_session(app, &bob).await;
        health(app).await;
    });
}

async fn sign_up_alice(app: &TestApp) -> Visitor<'_> {
    let body = json!({
        "email": "Alice@Example.com", "password": PASSWORD, "full_name": "  Alice Archer ", "role": "landlord",
        "phone": "+1 (555) 010-2030",
    });
    let user = app.call(POST, "/api/v1/users/").json(&body).send().await.must(201);
    assert_eq!(keys(&user.body), USER);
    assert_eq!(user.header("location"), Some(format!("/api/v1/users/{}", user.id()).as_str()));
    assert_eq!(user.header("content-type"), Some("application/json"));
    assert_id(&user["id"]);
    assert_time(&user["created_at"]);
    assert_eq!(
        json!([user["email"], user["full_name"], user["role"], user["phone"]]),
        json!(["Alice@Example.com", "Alice Archer", "LANDLORD", "+15550102030"])
    );
    let session = app.token_by_password("alice@EXAMPLE.com", PASSWORD).await.must(200);
    assert_eq!(keys(&session.body), "access_token expires_in refresh_token token_type");
    assert_eq!(json!([session["token_type"], session["expires_in"]]), json!(["Bearer", 900]));
    assert_eq!(session.header("cache-control"), Some("no-store"));
    app.sign_in("Alice@Example.com", PASSWORD, user.id()).await
}

async fn sign_up_bob(app: &TestApp) -> Visitor<'_> {
    let body = json!({"email": "bob@example.com", "password": PASSWORD, "full_name": "Bob Baker", "role": "Renter"});
    let user = app.call(POST, "/api/v1/users/").json(&body).send().await.must(201);
    assert_eq!(json!([user["role"], user["phone"]]), json!(["RENTER", null]));
    app.sign_in("bob@example.com", PASSWORD, user.id()).await
}

async fn read_people(app: &TestApp, alice: &Visitor<'_>, bob: &Visitor<'_>) {
    let me = alice.get("/api/v1/users/me").await.must(200);
    assert_eq!(me.body, alice.get(&format!("/api/v1/users/{}", alice.id)).await.must(200).body);
    app.call(GET, "/api/v1/users/me").send().await.refuses(401, "unauthorized");
    // Before they share a lease, Alice finds Bob by his exact address only, and Bob does not find Alice.
    alice.get(&format!("/api/v1/users/{}", bob.id)).await.refuses(404, "not_found");
    assert!(alice.get("/api/v1/users/role/RENTER").await.must(200).rows().is_empty());
    let found = alice.get("/api/v1/users/role/renter?email=BOB@example.com").await.must(200);
    assert_eq!(found.column("id"), [bob.id.as_str()]);
    assert_eq!(found["next_cursor"], Value::Null);
    assert!(alice.get("/api/v1/users/role/RENTER?email=bo@example.com").await.must(200).rows().is_empty());
    assert!(bob.get("/api/v1/users/role/LANDLORD?email=alice@example.com").await.must(200).rows().is_empty());
}

async fn link_accounts(alice: &Visitor<'_>, bob: &Visitor<'_>) -> (String, String) {
    let body = json!({
        "bank_name": "First Landlord Bank", "account_type": "checking", "routing_number": ROUTING,
        "account_number": "900000004321", "account_holder_name": "Alice Archer", "is_primary": false,
    });
    let account = alice.post("/api/v1/bank-accounts/", &body).await.must(201);
    assert_eq!(keys(&account.body), ACCOUNT);
    assert_eq!(account.header("location"), Some(format!("/api/v1/bank-accounts/user/{}", alice.id).as_str()));
    assert_id(&account["id"]);
    assert_time(&account["created_at"]);
    assert!(account.text_of("token").starts_with("ba_"));
    for (field, value) in [
        ("user_id", json!(alice.id)),
        ("bank_name", json!("First Landlord Bank")),
        ("account_type", json!("CHECKING")),
        ("routing_number", json!(ROUTING)),
        ("last4", json!("4321")),
        ("account_holder_name", json!("Alice Archer")),
        // The first one is, whatever was asked for.
        ("is_primary", json!(true)),
        ("is_active", json!(true)),
        ("closed_by", Value::Null),
    ] {
        assert_eq!(account[field], value, "{field}");
    }
    alice.post("/api/v1/bank-accounts/", &body).await.refuses(409, "already_linked");
    let bobs = bob.link_account("900000001234").await;
    let list = bob.get(&format!("/api/v1/bank-accounts/user/{}", bob.id)).await.must(200);
    assert_eq!(list.body, json!({"data": [bobs.body], "next_cursor": null}));
    alice.get(&format!("/api/v1/bank-accounts/user/{}", bob.id)).await.refuses(404, "not_found");
    (account.id(), bobs.id())
}

async fn enter_property(alice: &Visitor<'_>) -> String {
    let body = json!({
        "name": "Maple", "address": "12 Maple Street", "unit": "2B", "city": "Portland", "state": "or",
        "zip_code": "97205-1234", "time_zone": "america/boise",
    });
    let property = alice.post("/api/v1/properties/", &body).await.must(201);
    assert_eq!(keys(&property.body), PROPERTY);
    let path = format!("/api/v1/properties/{}", property.id());
    assert_eq!(property.header("location"), Some(path.as_str()));
    assert_id(&property["id"]);
    assert_time(&property["created_at"]);
    for (field, value) in [("state", "OR"), ("zip_code", "97205-1234"), ("unit", "2B"), ("time_zone", "America/Boise")]
    {
        assert_eq!(property[field], value);
    }
    assert_eq!(alice.get(&path).await.must(200).body, property.body);
    let list = alice.get(&format!("/api/v1/properties/landlord/{}", alice.id)).await.must(200);
    assert_eq!(list.body, json!({"data": [property.body], "next_cursor": null}));
    property.id()
}

async fn sign_lease(alice: &Visitor<'_>, bob: &Visitor<'_>, property: &str, account: &str) -> String {
    let body = json!({
        "property_id": property, "renter_ids": [bob.id], "rent_amount": 1500, "payment_due_day": 1, "currency": "usd",
        "start_date": "2026-01-17", "end_date": "2026-04-30", "payee_account_id": account, "first_period": "prorate",
        "last_period": "Full", "proration": "Actual",
    });
    let lease = alice.post("/api/v1/leases/", &body).await.must(201);
    let path = format!("/api/v1/leases/{}", lease.id());
    assert_eq!(lease.header("location"), Some(path.as_str()));
    let mut view = lease.body.clone();
    let schedule = view.as_object_mut().unwrap().remove("schedule").unwrap();
    assert_eq!(keys(&view), LEASE);
    assert_id(&lease["id"]);
    assert_time(&lease["created_at"]);
    for (field, value) in [
        ("rent_amount", json!("1500.00")),
        ("currency", json!("USD")),
        ("payment_due_day", json!(1)),
        ("renters", json!([{"id": bob.id, "full_name": "Bob Baker"}])),
        ("renter_id", json!(bob.id)),
        ("renter_ids", json!([bob.id])),
        ("landlord_id", json!(alice.id)),
        ("first_period", json!("PRORATE")),
        ("last_period", json!("FULL")),
        ("proration", json!("ACTUAL")),
        ("payee_account_id", json!(account)),
        ("terminated_at", Value::Null),
    ] {
        assert_eq!(lease[field], value, "{field}");
    }
    let rows: Vec<_> = schedule.as_array().unwrap().iter().map(charge).collect();
    assert_eq!(
        rows,
        [
            "2026-01-17 2026-01-17..2026-01-31 725.81",
            "2026-02-01 2026-02-01..2026-02-28 1500.00",
            "2026-03-01 2026-03-01..2026-03-31 1500.00",
            "2026-04-01 2026-04-01..2026-04-30 1500.00",
        ]
    );
    for who in [alice, bob] {
        assert_eq!(who.get(&path).await.must(200).body, view);
        let listed = who.get(&format!("{path}/schedule")).await.must(200);
        assert_eq!(listed.body, json!({"data": schedule, "next_cursor": null}));
        for list in [
            "/api/v1/leases/".into(),
            format!("/api/v1/leases/renter/{}", bob.id),
            format!("/api/v1/leases/property/{property}"),
        ] {
            assert_eq!(who.get(&list).await.must(200).body, json!({"data": [view], "next_cursor": null}), "{list}");
        }
    }
    // Now they know each other.
    assert_eq!(alice.get("/api/v1/users/role/RENTER").await.must(200).column("id"), [bob.id.as_str()]);
    assert_eq!(bob.get("/api/v1/users/role/LANDLORD").await.must(200).column("id"), [alice.id.as_str()]);
    bob.get(&format!("/api/v1/users/{}", alice.id)).await.must(200);
    lease.id()
}

fn charge(row: &Value) -> String {
    assert_eq!(keys(row), CHARGE);
    assert_eq!(json!([row["kind"], row["currency"]]), json!(["RENT", "USD"]));
    let text = |field: &str| row[field].as_str().unwrap();
    format!("{} {}..{} {}", text("due_date"), text("period_start"), text("period_end"), text("amount"))
}

async fn pay(alice: &Visitor<'_>, bob: &Visitor<'_>, lease: &str, alices_account: &str, bobs_account: &str) -> String {
    let body = json!({
        "lease_id": lease, "amount": "725.8", "payment_rail_type": "instant", "payer_account_id": bobs_account,
        "payee_account_id": alices_account, "currency": "usd", "metadata": {"month": "2026-01", "n": [1, {"a": null}]},
    });
    let first =
        bob.call(POST, "/api/v1/payments/").header("Idempotency-Key", "\"january\"").header("X-Request-Id", "click-1");
    let first = first.json(&body).send().await.must(201);
    assert_eq!(keys(&first.body), PAYMENT);
    assert_eq!(first.header("location"), Some(format!("/api/v1/payments/{}", first.id()).as_str()));
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_id(&first["id"]);
    for (field, value) in [
        ("lease_id", json!(lease)),
        ("kind", json!("RENT")),
        ("payer_account_id", json!(bobs_account)),
        ("payee_account_id", json!(alices_account)),
        ("amount", json!("725.80")),
        ("currency", json!("USD")),
        ("rail", json!("INSTANT")),
        ("status", json!("PENDING")),
        ("failure_code", Value::Null),
        ("failure_reason", Value::Null),
        ("retry_count", json!(0)),
        ("idempotency_key", json!("january")),
        ("metadata", json!({"month": "2026-01", "n": [1, {"a": null}]})),
        ("initiated_by", json!(bob.id)),
        ("processing_at", Value::Null),
        ("completed_at", Value::Null),
        ("failed_at", Value::Null),
        ("returned_at", Value::Null),
        ("cancelled_at", Value::Null),
        // This rail is final.
        ("returnable_until", Value::Null),
        ("version", json!(1)),
        ("created_at", first["initiated_at"].clone()),
    ] {
        assert_eq!(first[field], value, "{field}");
    }
    assert_time(&first["initiated_at"]);
    assert_time(&first["estimated_settlement_at"]);
    let second = bob.pay("january", &body).await.must(200);
    assert_eq!((second.header("idempotent-replayed"), second.header("location")), (Some("true"), None));
    assert_eq!(second.id(), first.id());
    let done = bob.wait_until(&first.id(), "COMPLETED").await;
    assert_eq!(alice.payment(&first.id()).await.body, done.body);
    assert_time(&done["processing_at"]);
    assert_time(&done["completed_at"]);
    assert_eq!(done["version"], 3);
    first.id()
}

async fn read_history(alice: &Visitor<'_>, bob: &Visitor<'_>, payment: &str) {
    let history = alice.history(payment).await;
    assert_eq!(keys(&history.body), "event_count events payment payment_id");
    assert_eq!(json!([history["payment_id"], history["event_count"]]), json!([payment, 3]));
    assert_eq!(history["payment"], alice.payment(payment).await.body);
    assert_eq!(event_types(&history), ["initiated", "processing", "completed"]);
    let events = history["events"].as_array().unwrap();
    for (at, event) in events.iter().enumerate() {
        assert_eq!(keys(event), EVENT);
        assert_eq!(keys(&event["metadata"]), SNAPSHOT);
        assert_eq!(event["sequence"], at + 1);
        assert_id(&event["id"]);
        assert_time(&event["occurred_at"]);
        assert_eq!(event["metadata"]["payer"]["last4"], "1234");
        assert_eq!(keys(&event["metadata"]["payee"]), "account_id bank_name last4");
    }
    let statuses: Vec<_> = events.iter().map(|event| json!([event["previous_status"], event["status"]])).collect();
    let expected = [json!([null, "PENDING"]), json!(["PENDING", "PROCESSING"]), json!(["PROCESSING", "COMPLETED"])];
    assert_eq!(statuses, expected);
    assert_eq!(events[0]["actor"], json!({"type": "USER", "id": bob.id, "name": "Bob Baker"}));
    assert_eq!(events[0]["request_id"], "click-1");
    assert_eq!(events[0]["metadata"]["bank_reference"], Value::Null);
    assert_eq!(events[1]["actor"], json!({"type": "SYSTEM", "id": "submit-worker", "name": null}));
    assert!(events[1]["metadata"]["bank_reference"].is_string());
    assert_eq!(events[2]["reason"], Value::Null);
}

async fn list_payments(alice: &Visitor<'_>, bob: &Visitor<'_>, lease: &str, payment: &str) {
    for who in [alice, bob] {
        for list in
            ["/api/v1/payments/".to_owned(), format!("/api/v1/payments/lease/{lease}?status=completed&rail=instant")]
        {
            assert_eq!(who.get(&list).await.must(200).column("id"), [payment], "{list}");
        }
        let others = who.get(&format!("/api/v1/payments/lease/{lease}?status=FAILED")).await.must(200);
        assert!(others.rows().is_empty());
    }
}

async fn cancel_and_retry_are_refused(bob: &Visitor<'_>, payment: &str) {
    for action in ["cancel", "retry"] {
        let refusal = bob.call(POST, &format!("/api/v1/payments/{payment}/{action}")).send().await;
        assert_eq!(refusal.refuses(409, "wrong_status")["current_status"], "COMPLETED");
    }
}

async fn change_accounts(bob: &Visitor<'_>, first: &str) {
    let second = bob.link_account("900000005678").await;
    assert_eq!(second["is_primary"], false);
    let second = second.id();
    let standing = async |id: &str| {
        let list = bob.get(&format!("/api/v1/bank-accounts/user/{}", bob.id)).await.must(200);
        let row = list.rows().iter().find(|row| row["id"] == id).unwrap().clone();
        (row["is_primary"] == true, row["is_active"] == true)
    };
    let change = async |id: &str, action: &str| bob.patch(&format!("/api/v1/bank-accounts/{id}/{action}")).await;
    assert_eq!(change(&second, "set-primary").await.must(200)["is_primary"], true);
    assert_eq!((standing(first).await, standing(&second).await), ((false, true), (true, true)));
    let gone = change(&second, "deactivate").await.must(200);
    assert_eq!((&gone["is_primary"], &gone["is_active"]), (&json!(false), &json!(false)));
    assert_eq!(standing(first).await, (true, true), "the oldest other one takes its place");
    let refusal = change(&second, "set-primary").await.refuses(409, "inactive");
    assert_eq!(refusal["current_status"], "INACTIVE");
    assert_eq!(change(&second, "activate").await.must(200)["is_active"], true);
    assert_eq!(standing(&second).await, (false, true));
    for (action, times) in [("activate", 2), ("deactivate", 2)] {
        for _ in 0..times {
            change(&second, action).await.must(200);
        }
    }
}

async fn terminate(alice: &Visitor<'_>, lease: &str) {
    // Its last day has passed.
    let path = format!("/api/v1/leases/{lease}/terminate");
    let refusal = alice.post(&path, &json!({"end_date": "2026-03-15"})).await.refuses(409, "already_ended");
    assert_eq!(refusal["current_status"], "ENDED");
}

async fn read_as_administrator(app: &TestApp, alice: &Visitor<'_>, bob: &Visitor<'_>, lease: &str, payment: &str) {
    let admin = app.admin().await;
    for path in [
        format!("/api/v1/users/{}", bob.id),
        format!("/api/v1/bank-accounts/user/{}", bob.id),
        format!("/api/v1/properties/landlord/{}", alice.id),
        format!("/api/v1/leases/{lease}"),
        format!("/api/v1/leases/{lease}/schedule"),
        format!("/api/v1/leases/renter/{}", bob.id),
        format!("/api/v1/payments/{payment}"),
        format!("/api/v1/payments/{payment}/history"),
        format!("/api/v1/payments/lease/{lease}"),
    ] {
        admin.get(&path).await.must(200);
    }
    let landlords = admin.get("/api/v1/users/role/LANDLORD").await.must(200);
    assert_eq!(landlords.column("id"), [alice.id.as_str()]);
    assert_eq!(admin.get("/api/v1/users/role/admin").await.must(200).column("role"), ["ADMIN"]);
}

async fn end_session(app: &TestApp, bob: &Visitor<'_>) {
    let renewed = app.token_by_refresh(&bob.refresh_token).await.must(200);
    assert_eq!(keys(&renewed.body), "access_token expires_in refresh_token token_type");
    let token = renewed.text_of("refresh_token");
    app.call(POST, "/api/v1/auth/revoke").form(&[("token", &token)]).send().await.must(200);
    app.token_by_refresh(&token).await.must(400);
}

async fn health(app: &TestApp) {
    for path in ["/health", "/ready", "/health/", "/ready/"] {
        assert_eq!(app.call(GET, path).send().await.must(200).body, json!({"status": "ok"}));
    }
}
