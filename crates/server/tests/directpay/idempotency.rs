//! The idempotency rules 1 to 7.

use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{
    Answer, Home, POST, TestApp, Visitor, WITHOUT_WORKERS, on_both, on_both_with, on_sqlite, with, without,
};

/// Sends a payment with the key in the header, in the body, both or neither.
async fn send(home: &Home<'_>, header: &[&[u8]], body_key: Option<&str>, amount: &str) -> Answer {
    let mut body = home.rent(amount);
    if let Some(key) = body_key {
        body["idempotency_key"] = json!(key);
    }
    let mut call = home.renter.call(POST, "/api/v1/payments/");
    for value in header {
        call = call.header("Idempotency-Key", value);
    }
    call.json(&body).send().await
}

async fn count(who: &Visitor<'_>) -> usize {
    who.get("/api/v1/payments/?limit=100").await.must(200).rows().len()
}

#[test]
fn rule_1_a_key_comes_from_the_header_or_the_body_quoted_or_bare() {
    on_both(async |app| {
        let home = app.home().await;
        let first = send(&home, &[b"key-1"], None, "1.00").await.must(201);
        for (header, body) in [
            (&[&b"\"key-1\""[..]][..], None),
            (&[], Some("key-1")),
            (&[b"key-1"], Some("key-1")),
            (&[b"\"key-1\""], Some("key-1")),
            (&[b"  key-1  "], None),
        ] {
            let again = send(&home, header, body, "1.00").await.must(200);
            assert_eq!(again.header("idempotent-replayed"), Some("true"));
            assert_eq!(again.id(), first.id());
        }
        // The body's key is taken as it is, quotes and all, and case matters.
        for other in ["KEY-1", "\"key-1\"", "key-1!", &"k".repeat(255)] {
            let answer = send(&home, &[], Some(other), "1.00").await.must(201);
            assert_eq!(answer["idempotency_key"], other);
        }
        assert_eq!(count(&home.renter).await, 5);
    });
}

#[test]
fn rule_1_a_missing_ambiguous_or_malformed_key_is_a_400() {
    on_sqlite(async |app| {
        let home = app.home().await;
        let long = "k".repeat(256);
        for (header, body, code) in [
            (&[][..], None, "idempotency_key_missing"),
            (&[&b"a"[..]][..], Some("b"), "idempotency_key_ambiguous"),
            (&[b"a"], Some("A"), "idempotency_key_ambiguous"),
            (&[b"a", b"b"], None, "idempotency_key_ambiguous"),
            (&[b""], None, "idempotency_key_invalid"),
            (&[b"\"\""], None, "idempotency_key_invalid"),
            (&[b"\"open"], None, "idempotency_key_invalid"),
            (&[b"a b"], None, "idempotency_key_invalid"),
            (&[b"\xc3\xa4"], None, "idempotency_key_invalid"),
            (&[long.as_bytes()], None, "idempotency_key_invalid"),
            (&[], Some(""), "idempotency_key_invalid"),
            (&[], Some("ä"), "idempotency_key_invalid"),
            (&[], Some("a\u{0}b"), "idempotency_key_invalid"),
            (&[], Some(&long), "idempotency_key_invalid"),
        ] {
            send(&home, header, body, "1.00").await.refuses(400, code);
        }
        assert_eq!(count(&home.renter).await, 0);
    });
}

#[test]
fn rule_1_a_key_names_one_payment_of_each_initiator() {
    on_both(async |app| {
        let (one, other) = (app.home().await, app.home().await);
        let first = one.renter.pay("k", &one.rent("1.00")).await.must(201);
        let second = other.renter.pay("k", &other.rent("1.00")).await.must(201);
        assert_ne!(first.id(), second.id());
        // Somebody else's key says nothing about somebody else's payment.
        let refusal = other.renter.pay("new", &one.rent("1.00")).await;
        refusal.refuses_fields(&[("lease_id", "not_found")]);
    });
}

#[test]
fn rule_2_a_repeated_request_gets_the_stored_payment_as_it_is_now() {
    on_both(async |app| {
        let home = app.home().await;
        let done = home.paid("rent").await;
        let again = home.renter.pay("rent", &home.rent("1500.00")).await.must(200);
        assert_eq!(again.body, done.body);
        assert_eq!(count(&home.renter).await, 1);
    });
}

#[test]
fn rule_3_a_request_is_the_same_after_parsing() {
    on_both(async |app| {
        let home = app.home().await;
        let base = json!({"lease_id": home.lease, "amount": "1500.00"});
        let first = home.renter.pay("k", &base).await.must(201);
        for same in [
            with(&base, "amount", json!("1500")),
            with(&base, "amount", json!("1500.0")),
            with(&base, "amount", json!(1500)),
            with(&base, "rail", json!("standard_ach")),
            with(&base, "payment_rail_type", json!("STANDARD_ACH")),
            with(&base, "lease_id", json!(home.lease.to_uppercase())),
            with(&base, "metadata", Value::Null),
        ] {
            let again = home.renter.pay("k", &same).await.must(200);
            assert_eq!(again.id(), first.id());
        }
        let full = full(&home);
        let first = home.renter.pay("full", &full).await.must(201);
        let reordered = with(&full, "metadata", json!({"b": [1, 2], "a": {"y": 1, "x": 0.5}}));
        assert_eq!(home.renter.pay("full", &reordered).await.must(200).id(), first.id());
    });
}

/// A request that leaves nothing out.
fn full(home: &Home<'_>) -> Value {
    json!({
        "lease_id": home.lease, "amount": "1500.00", "rail": "WIRE", "payer_account_id": home.renter_account,
        "payee_account_id": home.landlord_account, "currency": "USD", "metadata": {"a": {"x": 0.5, "y": 1}, "b": [1, 2]},
    })
}

#[test]
fn rule_3_any_field_that_differs_is_a_422_that_names_the_payment() {
    on_both(async |app| {
        let home = app.home().await;
        let property = home.landlord.add_property().await.id();
        let other_lease = home.landlord.sign_lease(&property, &home.renter.id).await.id();
        let other_payer = home.renter.link_account("5551").await.id();
        let other_payee = home.landlord.link_account("5552").await.id();
        let full = full(&home);
        let bare = json!({"lease_id": home.lease, "amount": "1500.00"});
        let of_full = home.renter.pay("full", &full).await.must(201).id();
        let of_bare = home.renter.pay("bare", &bare).await.must(201).id();
        let changes = [
            ("lease_id", json!(other_lease)),
            ("amount", json!("1500.01")),
            ("rail", json!("INSTANT")),
            ("payer_account_id", json!(other_payer)),
            ("payee_account_id", json!(other_payee)),
            ("metadata", json!({"a": {"x": 0.5, "y": 1}, "b": [2, 1]})),
            ("metadata", json!({})),
        ];
        for (field, value) in changes {
            for (key, body, payment) in [("full", &full, &of_full), ("bare", &bare, &of_bare)] {
                let refusal = home.renter.pay(key, &with(body, field, value.clone())).await;
                let refusal = refusal.refuses(422, "idempotency_key_reused");
                assert_eq!(refusal["payment_id"], payment.as_str(), "{field}");
            }
        }
        // An omitted field equals itself omitted and nothing else, be it the same in effect.
        for field in ["payer_account_id", "payee_account_id", "currency", "metadata", "rail"] {
            home.renter.pay("full", &without(&full, field)).await.refuses(422, "idempotency_key_reused");
        }
        for field in ["payer_account_id", "payee_account_id", "currency"] {
            home.renter
                .pay("bare", &with(&bare, field, full[field].clone()))
                .await
                .refuses(422, "idempotency_key_reused");
        }
        assert_eq!(count(&home.renter).await, 2);
    });
}

#[test]
fn rule_3_metadata_equals_itself_however_the_database_writes_its_numbers() {
    on_both(async |app| {
        let home = app.home().await;
        let numbers = [
            "0",
            "-0.0",
            "1.0",
            "1e3",
            "1e15",
            "1e16",
            "1E+19",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "-9223372036854775809",
            "9007199254740993",
            "9007199254740993.0",
            "1e100",
            "1e-7",
            "0.1",
            "0.30000000000000004",
            "123456.78901234567",
            "2.2250738585072014e-308",
            "5e-324",
            "1.7976931348623157e308",
            "0.10000000000000000000000000001",
        ];
        let mut numbers: Vec<String> = numbers.iter().map(|number| (*number).to_owned()).collect();
        let mut seed = 1_u64;
        for _ in 0..100 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            numbers.push(format!("{}.{:017}", seed % 1000, seed >> 8));
        }
        let metadata =
            format!(r#"{{"numbers": [{}], "text": "ä\u2028\ud83c\udfe0 \"'\\", "": {{"": []}}}}"#, numbers.join(", "));
        let body =
            format!(r#"{{"lease_id": "{}", "amount": "1.00", "rail": "INSTANT", "metadata": {metadata}}}"#, home.lease);
        let send = async || {
            let call = home.renter.call(POST, "/api/v1/payments/").header("Idempotency-Key", "k");
            call.body("application/json", body.clone()).send().await
        };
        let first = send().await.must(201);
        assert_eq!(first["metadata"]["text"], "ä\u{2028}🏠 \"'\\");
        home.renter.wait_until(&first.id(), "COMPLETED").await;
        let again = send().await.must(200);
        assert_eq!(again["metadata"], first["metadata"]);
        assert_eq!(home.renter.history(&first.id()).await["payment"]["metadata"], first["metadata"]);
    });
}

#[test]
fn rule_4_sixteen_at_the_same_instant_make_one_payment_that_all_get() {
    on_both(async |app| {
        let home = app.home().await;
        for round in 0..5 {
            let answers = at_once(app, &home, 16, &format!("round-{round}")).await;
            let created = answers.iter().filter(|(status, ..)| *status == 201).count();
            assert_eq!(created, 1, "{answers:?}");
            for (status, replayed, id) in &answers {
                assert_eq!((*status == 200, id), (*replayed, &answers[0].2), "{answers:?}");
            }
        }
        assert_eq!(count(&home.renter).await, 5);
        until_all_completed(&home, 5).await;
    });
}

async fn until_all_completed(home: &Home<'_>, count: usize) {
    let list = format!("/api/v1/payments/lease/{}?status=COMPLETED", home.lease);
    crate::harness::until("all are completed", async || home.renter.get(&list).await.rows().len() == count).await;
}

/// Status, whether marked as a replay, and id.
type Seen = (u16, bool, String);

async fn at_once(app: &TestApp, home: &Home<'_>, count: usize, key: &str) -> Vec<Seen> {
    let mut clicks = JoinSet::new();
    for _ in 0..count {
        // A connection for each.
        let client = Client::builder().no_proxy().build().unwrap();
        let request = client.post(app.address("/api/v1/payments/")).bearer_auth(&home.renter.token);
        let request = request.header("Idempotency-Key", key).json(&home.rent("12.34"));
        clicks.spawn(async move {
            let response = request.send().await.unwrap();
            let (status, replayed) =
                (response.status().as_u16(), response.headers().get("idempotent-replayed").is_some());
            let body: Value = response.json().await.unwrap();
            (status, replayed, body["id"].as_str().unwrap().to_owned())
        });
    }
    clicks.join_all().await
}

#[test]
fn rule_5_a_refusal_consumes_no_key() {
    on_both(async |app| {
        let home = app.home().await;
        let stranger = app.sign_up("RENTER").await;
        let rent = home.rent("1.00");
        let path = "/api/v1/payments/";
        home.renter.pay("k", &with(&rent, "amount", json!("0"))).await.refuses_fields(&[("amount", "not_positive")]);
        home.renter
            .pay("k", &with(&rent, "amount", json!("10000000.01")))
            .await
            .refuses_fields(&[("amount", "over_rail_limit")]);
        home.renter.pay("k", &with(&rent, "extra", json!(1))).await.refuses_fields(&[("extra", "unknown_field")]);
        stranger.pay("k", &rent).await.refuses_fields(&[("lease_id", "not_found")]);
        app.call(POST, path).header("Idempotency-Key", "k").json(&rent).send().await.refuses(401, "unauthorized");
        home.renter
            .call(POST, path)
            .header("Idempotency-Key", "k")
            .body("application/json", "{")
            .send()
            .await
            .refuses(400, "malformed_json");
        home.renter.pay("k", &rent).await.must(201);
        until_all_completed(&home, 1).await;
    });
}

#[test]
fn rule_6_a_replay_answers_although_the_account_is_gone_and_the_lease_has_ended() {
    on_both(async |app| {
        let home = app.home().await;
        let property = home.landlord.add_property().await.id();
        let terms = without(&crate::harness::terms(&property, &home.renter.id), "end_date");
        let lease = home.landlord.post("/api/v1/leases/", &terms).await.must(201).id();
        let rent = json!({"lease_id": lease, "amount": "1.00", "rail": "INSTANT"});
        let first = home.renter.pay("k", &rent).await.must(201).id();
        home.renter.wait_until(&first, "COMPLETED").await;
        home.landlord
            .post(&format!("/api/v1/leases/{lease}/terminate"), &json!({"end_date": "2026-02-01"}))
            .await
            .must(200);
        // A lease that has ended still takes payments.
        let arrears = home.renter.pay("arrears", &rent).await.must(201).id();
        home.renter.wait_until(&arrears, "COMPLETED").await;
        for (who, account) in [(&home.renter, &home.renter_account), (&home.landlord, &home.landlord_account)] {
            who.patch(&format!("/api/v1/bank-accounts/{account}/deactivate")).await.must(200);
        }

        assert_eq!(home.renter.pay("k", &rent).await.must(200).id(), first);
        home.renter.pay("k", &with(&rent, "amount", json!("2.00"))).await.refuses(422, "idempotency_key_reused");
        home.renter
            .pay("new", &rent)
            .await
            .refuses_fields(&[("payer_account_id", "required"), ("payee_account_id", "required")]);
        let named = with(
            &with(&rent, "payer_account_id", json!(home.renter_account)),
            "payee_account_id",
            json!(home.landlord_account),
        );
        home.renter
            .pay("new", &named)
            .await
            .refuses_fields(&[("payer_account_id", "inactive"), ("payee_account_id", "inactive")]);
    });
}

#[test]
fn rule_7_payment_first_event_and_work_are_there_together() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        let home = app.home().await;
        let id = home.renter.pay("k", &home.rent("1.00")).await.must(201).id();
        let contents = app.contents().await;
        for table in ["payments", "events", "due_work"] {
            // PostgreSQL writes the id with hyphens, SQLite as a blob in upper-case hexadecimal.
            let hex = id.replace('-', "").to_uppercase();
            let rows = contents[table].lines().filter(|row| row.contains(&id) || row.contains(&hex)).count();
            assert_eq!(rows, 1, "{table}");
        }
    });
}
