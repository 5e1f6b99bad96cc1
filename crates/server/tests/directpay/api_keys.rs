//! API keys: made, shown once, used, refused.

use std::time::Duration;

use directpay_domain::api_key::{ApiKeySecret, Mode};
use directpay_domain::time::{DAY_US, Instant, SECOND_US};
use directpay_server::access;
use directpay_server::secrets::sha256_hex;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answer, GET, Home, POST, Visitor, WITHOUT_WORKERS, assert_id, assert_time, keys, on_both, on_both_with, on_sqlite,
    until, without,
};

const KEYS: &str = "/api/v1/api-keys/";

fn path(key: &Answer) -> String {
    format!("{KEYS}{}", key.id())
}

async fn revoke(who: &Visitor<'_>, key: &Answer) -> Answer {
    who.post(&format!("{}/revoke", path(key)), &Value::Null).await
}

/// Makes a key that expires so many seconds from now, in real time.
async fn expiring(who: &Visitor<'_>, seconds: i64) -> Answer {
    let now = Instant::from_micros(who.app.clock.process_us()).unwrap();
    let expires_at = now.plus_micros(seconds * SECOND_US).to_string();
    let body = json!({"name": "Brief", "scopes": ["users:read"], "expires_at": expires_at});
    let made = who.post(KEYS, &body).await.must(201);
    assert_eq!(made["expires_at"], expires_at);
    made
}

#[test]
fn a_key_is_shown_once_works_and_is_over_when_it_is_revoked() {
    on_both(async |app| {
        let landlord = app.sign_up("LANDLORD").await;
        let made = landlord.make_key(&["users:read", "leases:read"]).await;
        assert_eq!(made.header("location"), Some(path(&made).as_str()));
        assert_id(&made["id"]);
        assert_time(&made["created_at"]);
        let secret = made.text_of("key");
        assert!(secret.starts_with("dp_test_") && secret.ends_with(&made.text_of("last4")) && secret.len() == 41);

        let seen = landlord.get(&path(&made)).await.must(200);
        assert_eq!(
            keys(&seen.body),
            "created_at expires_at id last4 last_used_at name prefix revoked_at scopes user_id"
        );
        assert_eq!(keys(&made.body), keys(&seen.body).replace("id last4", "id key last4"));
        let expected =
            (json!("A program"), json!("dp_test_"), json!(["users:read", "leases:read"]), json!(landlord.id));
        assert_eq!((&seen["name"], &seen["prefix"]), (&expected.0, &expected.1));
        assert_eq!((&seen["scopes"], &seen["user_id"]), (&expected.2, &expected.3));
        assert_eq!(landlord.get(KEYS).await.must(200).rows(), std::slice::from_ref(&seen.body));

        let program = landlord.with_key(&made);
        assert_eq!(program.get("/api/v1/users/me").await.must(200).id(), landlord.id);
        app.call(Method::HEAD, "/api/v1/users/me").bearer(&program.token).send().await.must(200);
        app.call(Method::HEAD, "/api/v1/payments/").bearer(&program.token).send().await.must(403);

        let revoked = revoke(&landlord, &made).await.must(200);
        assert_time(&revoked["revoked_at"]);
        assert_eq!(revoke(&landlord, &made).await.must(200)["revoked_at"], revoked["revoked_at"]);
        program.get("/api/v1/users/me").await.refuses(401, "api_key_revoked");
        assert_eq!(landlord.get(KEYS).await.must(200).rows()[0]["revoked_at"], revoked["revoked_at"]);
    });
}

#[test]
fn what_is_no_key_of_this_deployment_is_refused_with_its_reason() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let secret = renter.make_key(&["users:read"]).await.text_of("key");
        let fresh = |mode| ApiKeySecret::from_random(mode, [7; 20]).expose().to_owned();
        let mut mistyped = secret.clone().into_bytes();
        mistyped[20] = if mistyped[20] == b'a' { b'b' } else { b'a' };
        for (key, code) in [
            (String::from_utf8(mistyped).unwrap(), "api_key_malformed"),
            (secret.replace("dp_test_", "dp_live_"), "api_key_malformed"),
            (secret.replace("dp_test_", "dp_prod_"), "api_key_malformed"),
            (secret[..40].to_owned(), "api_key_malformed"),
            (format!("{secret}0"), "api_key_malformed"),
            ("dp_".to_owned(), "api_key_malformed"),
            (fresh(Mode::Live), "api_key_of_other_mode"),
            (fresh(Mode::Test), "api_key_unknown"),
            (secret.to_uppercase(), "unauthorized"),
            (secret.replace("dp_test_", ""), "unauthorized"),
        ] {
            let refusal = app.call(GET, "/api/v1/users/me").bearer(&key).send().await.refuses(401, code);
            assert!(!refusal.text.contains(&key[3..]) || key.len() < 4, "{}", refusal.text);
        }
        for header in [secret.clone(), format!("Basic {secret}"), format!("Token {secret}")] {
            let call = app.call(GET, "/api/v1/users/me").header("Authorization", header);
            call.send().await.refuses(401, "unauthorized");
        }
        app.call(GET, "/api/v1/users/me").header("Authorization", format!("bearer  {secret}")).send().await.must(200);
        // A key is no refresh token and ends no session.
        app.token_by_refresh(&secret).await.must(400);
        let form = [("token", secret.as_str())];
        let refusal = app.call(POST, "/api/v1/auth/revoke").form(&form).send().await.must(400);
        assert_eq!(refusal["error"], "unsupported_token_type");
    });
}

#[test]
fn a_key_expires_in_real_time_whatever_the_sandbox_clock_says() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let (brief, long) = (expiring(&renter, 2).await, expiring(&renter, 3600).await);
        app.clock.advance(400 * DAY_US);
        let me = async |key: &Answer| renter.with_key(key).get("/api/v1/users/me").await;
        me(&long).await.must(200);
        until("the key expires", async || me(&brief).await.status == 401).await;
        me(&brief).await.refuses(401, "api_key_expired");
        me(&long).await.must(200);
    });
}

#[test]
fn the_last_use_is_noted_once_a_minute_and_by_nobody_who_was_refused() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let made = renter.make_key(&["users:read"]).await;
        let program = renter.with_key(&made);
        let last_used = async || renter.get(&path(&made)).await.must(200)["last_used_at"].clone();
        assert_eq!(last_used().await, Value::Null);
        for _ in 0..5 {
            program.get("/api/v1/users/me").await.must(200);
        }
        until("the use is noted", async || last_used().await != Value::Null).await;
        let noted = last_used().await;
        assert_time(&noted);
        for _ in 0..5 {
            program.get("/api/v1/users/me").await.must(200);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(last_used().await, noted);
        let revoked = renter.make_key(&["users:read"]).await;
        revoke(&renter, &revoked).await.must(200);
        renter.with_key(&revoked).get("/api/v1/users/me").await.must(401);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(renter.get(&path(&revoked)).await.must(200)["last_used_at"], Value::Null);
    });
}

#[test]
fn several_keys_work_side_by_side_and_there_is_a_bound() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let (one, other) = (renter.make_key(&["users:read"]).await, renter.make_key(&["users:read"]).await);
        let me = async |key: &Answer| renter.with_key(key).get("/api/v1/users/me").await;
        me(&one).await.must(200);
        me(&other).await.must(200);
        revoke(&renter, &one).await.must(200);
        me(&one).await.must(401);
        me(&other).await.must(200);
        // One that has expired leaves its place, as the revoked one did.
        let brief = expiring(&renter, 1).await;
        until("the brief key is over", async || me(&brief).await.status == 401).await;
        for _ in 0..19 {
            renter.make_key(&["payments:read"]).await;
        }
        let body = json!({"name": "One more", "scopes": ["users:read"]});
        renter.post(KEYS, &body).await.refuses(409, "too_many_api_keys");
        revoke(&renter, &other).await.must(200);
        renter.make_key(&["users:read"]).await;
        app.sign_up("RENTER").await.make_key(&["users:read"]).await;
    });
}

#[test]
fn many_who_ask_at_once_get_no_more_than_the_bound() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let body = json!({"name": "One of many", "scopes": ["users:read"]});
        let answers = futures_util::future::join_all((0..30).map(|_| renter.post(KEYS, &body))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 20);
        assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), 10);
    });
}

/// What a history says of who acted.
fn actors(history: &Answer) -> Vec<Value> {
    history["events"].as_array().unwrap().iter().map(|event| event["actor"].clone()).collect()
}

#[test]
fn histories_name_the_person_and_the_key() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        let home = app.home().await;
        let Home { landlord, renter, .. } = &home;
        let key = renter.make_key(&["payments:write"]).await;
        let program = renter.with_key(&key);
        let payment = program.pay("rent", &home.rent("1.00")).await.must(201);
        assert_eq!(payment["initiated_by"], renter.id);
        // The person and the programs that act for the person share the idempotency keys.
        assert_eq!(renter.pay("rent", &home.rent("1.00")).await.must(200).id(), payment.id());
        renter.pay("rent", &home.rent("2.00")).await.refuses(422, "idempotency_key_reused");
        program.get(&format!("/api/v1/payments/{}", payment.id())).await.refuses(403, "insufficient_scope");
        renter.post(&format!("/api/v1/payments/{}/cancel", payment.id()), &Value::Null).await.must(200);
        let by_key = json!({"type": "USER", "id": renter.id, "name": "Person 1", "api_key_id": key.id()});
        let history = landlord.history(&payment.id()).await;
        assert_eq!(actors(&history), [by_key.clone(), without(&by_key, "api_key_id")]);

        let key = landlord.make_key(&["leases:write"]).await;
        let charge = json!({"description": "Key", "amount": "1", "idempotency_key": "charge"});
        let of_lease = |rest: &str| format!("/api/v1/leases/{}/{rest}", home.lease);
        landlord.with_key(&key).post(&of_lease("charges"), &charge).await.must(201);
        let history = renter.get(&of_lease("history")).await.must(200);
        let events = history["events"].as_array().unwrap();
        let by_key = events.iter().find(|event| event["actor_api_key_id"] == key.id()).unwrap();
        assert_eq!((&by_key["actor_type"], &by_key["actor_id"]), (&json!("USER"), &json!(landlord.id)));
        assert_eq!(events[0]["actor_api_key_id"], Value::Null);
    });
}

#[test]
fn administrators_have_no_keys_and_can_end_those_of_others() {
    on_both(async |app| {
        let (renter, admin) = (app.sign_up("RENTER").await, app.admin().await);
        let body = json!({"name": "Everything", "scopes": ["payments:read"]});
        admin.post(KEYS, &body).await.refuses(403, "forbidden");
        let key = renter.make_key(&["users:read"]).await;
        assert!(admin.get(KEYS).await.must(200).rows().is_empty());
        assert_eq!(admin.get(&path(&key)).await.must(200)["user_id"], renter.id);
        revoke(&admin, &key).await.must(200);
        renter.with_key(&key).get("/api/v1/users/me").await.refuses(401, "api_key_revoked");
    });
}

#[test]
fn what_is_stored_of_a_key_is_a_hash_that_needs_the_secrets_file() {
    on_sqlite(async |app| {
        let made = app.sign_up("RENTER").await.make_key(&["users:read"]).await;
        let stored = app.contents().await.remove("api_keys").unwrap();
        let secret = ApiKeySecret::parse(&made.text_of("key")).unwrap();
        assert!(stored.contains(&access::api_keys::hash(&app.running.app.vault, &secret)), "{stored}");
        assert!(!stored.contains(&sha256_hex(secret.expose())), "{stored}");
    });
}
