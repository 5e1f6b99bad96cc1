//! Signing up, signing in, staying signed in, signing out.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64URL};
use directpay_domain::id::UserId;
use directpay_domain::time::SECOND_US;
use directpay_domain::user::Role;
use directpay_server::access::tokens::Identity;
use directpay_server::clock::{self, Stopwatch};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::harness::{Answer, GET, PASSWORD, POST, THROTTLED, TestApp, on_both, on_both_with, on_sqlite, until, with};

const TOKEN: &str = "/api/v1/auth/token";
const REVOKE: &str = "/api/v1/auth/revoke";
const ME: &str = "/api/v1/users/me";

fn person(email: &str) -> Value {
    json!({"email": email, "password": PASSWORD, "full_name": "Some Body", "role": "RENTER"})
}

async fn sign_up(app: &TestApp, body: &Value) -> Answer {
    app.call(POST, "/api/v1/users/").json(body).send().await
}

async fn me(app: &TestApp, token: &str) -> Answer {
    app.call(GET, ME).bearer(token).send().await
}

#[track_caller]
fn assert_oauth(answer: &Answer, error: &str) {
    assert_eq!((answer.status, &answer["error"]), (400, &json!(error)), "{}", answer.text);
    assert_eq!(crate::harness::keys(&answer.body), "error error_description");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("content-type").unwrap().starts_with("application/json"));
}

#[test]
fn a_password_has_15_to_128_characters_of_any_script_and_is_never_cut() {
    on_sqlite(async |app| {
        let longest = "多様な文字列 ".repeat(19)[..].chars().take(128).collect::<String>();
        let composed = "Jos\u{e9} likes caf\u{e9}s in Orl\u{e9}ans";
        for (at, password) in ["fifteen letters", "  spaces count  too  ", &longest, composed].iter().enumerate() {
            let email = format!("p{at}@example.com");
            sign_up(app, &with(&person(&email), "password", json!(password))).await.must(201);
            app.token_by_password(&email, password).await.must(200);
            // Neither a character less nor one more.
            let cut: String = password.chars().take(password.chars().count() - 1).collect();
            for wrong in [cut, format!("{password}!"), format!(" {password}")] {
                assert_oauth(&app.token_by_password(&email, &wrong).await, "invalid_grant");
            }
        }
        // The same text in another composition is the same password (NFC).
        let decomposed = composed.replace('\u{e9}', "e\u{301}");
        app.token_by_password("p3@example.com", &decomposed).await.must(200);
    });
}

#[test]
fn a_common_password_or_one_made_of_the_persons_own_data_is_refused() {
    on_sqlite(async |app| {
        for common in
            ["passwordpassword", "123456789012345", "qwertyuiopasdfg", "directpaydirectpay", "somebodysomebody"]
        {
            let body = with(&person("somebody@example.com"), "password", json!(common));
            sign_up(app, &body).await.refuses_fields(&[("password", "too_common")]);
        }
    });
}

#[test]
fn an_email_is_one_person_without_regard_to_case() {
    on_both(async |app| {
        sign_up(app, &person("Zoë.Smith@Example.com")).await.must(201);
        for same in ["zoë.smith@example.com", "ZOË.SMITH@EXAMPLE.COM", " Zoe\u{308}.smith@example.com "] {
            sign_up(app, &person(same)).await.refuses(409, "email_taken");
            app.token_by_password(same, PASSWORD).await.must(200);
        }
        sign_up(app, &person("zoe.smith@example.com")).await.must(201);
    });
}

#[test]
fn of_many_who_sign_up_with_one_address_at_the_same_instant_one_succeeds() {
    on_both(async |app| {
        let mut tries = JoinSet::new();
        for at in 0..8 {
            let email = if at % 2 == 0 { "same@example.com" } else { "SAME@example.com" };
            let request = Client::builder().no_proxy().build().unwrap().post(app.address("/api/v1/users/"));
            let request = request.json(&person(email));
            tries.spawn(async move { request.send().await.unwrap().status().as_u16() });
        }
        let mut statuses = tries.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    });
}

#[test]
fn the_token_endpoint_refuses_as_rfc_6749_says() {
    on_sqlite(async |app| {
        let post = async |form: &[(&str, &str)]| app.call(POST, TOKEN).form(form).send().await;
        assert_oauth(&post(&[]).await, "invalid_request");
        assert_oauth(&post(&[("grant_type", "password")]).await, "invalid_request");
        assert_oauth(&post(&[("grant_type", "authorization_code")]).await, "unsupported_grant_type");
        assert_oauth(&post(&[("grant_type", "refresh_token")]).await, "invalid_request");
        assert_oauth(&post(&[("grant_type", "refresh_token"), ("refresh_token", "x")]).await, "invalid_grant");
        assert_oauth(&app.token_by_password("nobody@example.com", PASSWORD).await, "invalid_grant");
        app.call(POST, TOKEN).json(&json!({})).send().await.refuses(415, "unsupported_media_type");
        assert_oauth(&app.call(POST, REVOKE).form(&[]).send().await, "invalid_request");
        // Unknown parameters are ignored (RFC 6749, section 3.2).
        let renter = app.sign_up("RENTER").await;
        let form = [("grant_type", "password"), ("username", &renter.email), ("password", PASSWORD), ("scope", "all")];
        post(&form).await.must(200);
    });
}

#[test]
fn a_known_and_an_unknown_address_get_equal_answers_in_like_time() {
    on_sqlite(async |app| {
        let renter = app.sign_up("RENTER").await;
        let ask = async |email: &str| {
            let started = Stopwatch::start();
            let answer = app.token_by_password(email, "not the right password").await;
            assert_oauth(&answer, "invalid_grant");
            (answer.text, started.elapsed())
        };
        let mut took = [Duration::MAX; 2];
        for _ in 0..5 {
            let (known, unknown) = (ask(&renter.email).await, ask("nobody@example.com").await);
            assert_eq!(known.0, unknown.0);
            took = [took[0].min(known.1), took[1].min(unknown.1)];
        }
        // Both compare a hash, which takes tens of milliseconds; without one it would be a fraction of a millisecond.
        assert!(took[0] < took[1] * 4 && took[1] < took[0] * 4, "{took:?}");
    });
}

#[test]
fn a_refresh_token_is_good_once_and_its_reuse_ends_the_session() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let other_session = app.token_by_password(&renter.email, PASSWORD).await.must(200);
        let second = app.token_by_refresh(&renter.refresh_token).await.must(200);
        me(app, &second.text_of("access_token")).await.must(200);
        let third = app.token_by_refresh(&second.text_of("refresh_token")).await.must(200);
        // A thief, or the owner after a thief: one of the two must not go on.
        assert_oauth(&app.token_by_refresh(&renter.refresh_token).await, "invalid_grant");
        assert_oauth(&app.token_by_refresh(&third.text_of("refresh_token")).await, "invalid_grant");
        // The other session is another family.
        app.token_by_refresh(&other_session.text_of("refresh_token")).await.must(200);
        app.token_by_password(&renter.email, PASSWORD).await.must(200);
        let stored = &app.contents().await["refresh_tokens"];
        assert!(!stored.contains(&renter.refresh_token), "a refresh token is stored in clear");
    });
}

#[test]
fn of_two_uses_of_a_refresh_token_at_the_same_instant_one_succeeds() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let mut uses = JoinSet::new();
        for _ in 0..6 {
            let request = Client::builder().no_proxy().build().unwrap().post(app.address(TOKEN));
            let request = request.form(&[("grant_type", "refresh_token"), ("refresh_token", &renter.refresh_token)]);
            uses.spawn(async move { request.send().await.unwrap().status().as_u16() });
        }
        let mut statuses = uses.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400, 400, 400, 400, 400]);
    });
}

#[test]
fn either_token_revokes_the_whole_session_and_a_worthless_one_is_no_error() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let revoke =
            async |token: &str| app.call(POST, REVOKE).form(&[("token", token), ("token_type_hint", "x")]).send().await;
        for kind in ["access_token", "refresh_token"] {
            let session = app.token_by_password(&renter.email, PASSWORD).await.must(200);
            let revoked = revoke(&session.text_of(kind)).await.must(200);
            assert_eq!(revoked.text, "");
            assert_oauth(&app.token_by_refresh(&session.text_of("refresh_token")).await, "invalid_grant");
            // Access tokens live out their 15 minutes.
            me(app, &session.text_of("access_token")).await.must(200);
            revoke(&session.text_of(kind)).await.must(200);
        }
        revoke("made up").await.must(200);
        revoke("").await.must(200);
        app.token_by_refresh(&renter.refresh_token).await.must(200);
    });
}

/// The signing key of the server, as its secrets file has it.
struct Forge {
    kid: String,
    key: EncodingKey,
    claims: Value,
}

impl Forge {
    fn of(app: &TestApp, user: &str) -> Forge {
        let text = std::fs::read_to_string(app.folder.path().join("test.secrets")).unwrap();
        let secrets: Value = serde_json::from_str(&text).unwrap();
        let key = &secrets["signing_keys"][0];
        let now = app.clock.process_us() / SECOND_US;
        Forge {
            kid: key["id"].as_str().unwrap().to_owned(),
            key: EncodingKey::from_ed_der(&BASE64.decode(key["key"].as_str().unwrap()).unwrap()),
            claims: json!({
                "iss": "directpay", "aud": "directpay-api", "sub": user, "role": "RENTER", "sid": clock::new_id(),
                "iat": now, "exp": now + 60,
            }),
        }
    }

    fn sign(&self, claims: &Value) -> String {
        encode(&Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) }, claims, &self.key).unwrap()
    }
}

#[test]
fn an_expired_forged_or_foreign_access_token_is_worthless() {
    on_sqlite(async |app| {
        let renter = app.sign_up("RENTER").await;
        let forge = Forge::of(app, &renter.id);
        let claims = &forge.claims;
        let (now, good) = (claims["iat"].as_i64().unwrap(), forge.sign(claims));
        me(app, &good).await.must(200);
        let [header, body, signature] = <[&str; 3]>::try_from(good.split('.').collect::<Vec<_>>()).unwrap();
        let part = |value: &Value| BASE64URL.encode(value.to_string());
        let others = EncodingKey::from_ed_der(
            aws_lc_rs::signature::Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())
                .unwrap()
                .as_ref(),
        );
        let eddsa = |kid: Option<&str>| Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::EdDSA) };
        let hs256 = Header { kid: Some(forge.kid.clone()), ..Header::new(Algorithm::HS256) };
        let promoted = part(&with(claims, "role", json!("ADMIN")));
        let forged = [
            ("expired", forge.sign(&with(claims, "exp", json!(now)))),
            ("expired long ago", forge.sign(&with(claims, "exp", json!(0)))),
            ("other audience", forge.sign(&with(claims, "aud", json!("other-api")))),
            ("other issuer", forge.sign(&with(claims, "iss", json!("other")))),
            ("no audience", forge.sign(&crate::harness::without(claims, "aud"))),
            ("no expiry", forge.sign(&crate::harness::without(claims, "exp"))),
            ("no such role", forge.sign(&with(claims, "role", json!("ROOT")))),
            ("somebody else's key", encode(&eddsa(Some(&forge.kid)), claims, &others).unwrap()),
            ("unknown key id", encode(&eddsa(Some("sig-00000000")), claims, &forge.key).unwrap()),
            ("no key id", encode(&eddsa(None), claims, &forge.key).unwrap()),
            ("shared secret", encode(&hs256, claims, &EncodingKey::from_secret(forge.kid.as_bytes())).unwrap()),
            ("no algorithm", format!("{}.{body}.", part(&json!({"alg": "none", "typ": "JWT", "kid": forge.kid})))),
            ("no algorithm, signed", format!("{}.{body}.{signature}", part(&json!({"alg": "none", "kid": forge.kid})))),
            ("no signature", format!("{header}.{body}.")),
            ("other claims", format!("{header}.{promoted}.{signature}")),
            ("half", format!("{header}.{body}")),
            ("empty", String::new()),
            ("a refresh token", renter.refresh_token.clone()),
        ];
        for (what, token) in &forged {
            let refusal = me(app, token).await;
            assert_eq!(refusal.status, 401, "{what}");
            refusal.refuses(401, "unauthorized");
        }
        let mut damaged = good.clone().into_bytes();
        *damaged.last_mut().unwrap() = if good.ends_with('A') { b'B' } else { b'A' };
        damaged[good.len() / 2] ^= 1;
        me(app, &String::from_utf8_lossy(&damaged)).await.refuses(401, "unauthorized");
        for header in ["", "Bearer", "Basic abc", "Bearer  ", &good, &format!("Token {good}")] {
            app.call(GET, ME).header("Authorization", header).send().await.refuses(401, "unauthorized");
        }
        app.call(GET, ME).header("Authorization", format!("bearer {good}")).send().await.must(200);
        // A person who is not there any more, or never was.
        let ghost = forge.sign(&with(claims, "sub", json!(clock::new_id())));
        me(app, &ghost).await.refuses(401, "unauthorized");
    });
}

#[test]
fn an_access_token_that_was_good_a_moment_ago_expires_although_it_is_remembered() {
    on_sqlite(async |app| {
        let renter = app.sign_up("RENTER").await;
        let user_id = UserId(Uuid::parse_str(&renter.id).unwrap());
        let identity = Identity { user_id, role: Role::Renter, session: clock::new_id() };
        // Two seconds of its 15 minutes are left.
        let issued_us = app.clock.process_us() - (15 * 60 - 2) * SECOND_US;
        let token = app.running.app.tokens.sign(identity, issued_us).unwrap();
        me(app, &token).await.must(200);
        until("the token has expired", async || me(app, &token).await.status == 401).await;
    });
}

#[test]
fn a_refresh_token_expires_after_30_days() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let rows = app.contents().await["refresh_families"].clone();
        assert!(!rows.contains("127.0.0.1"), "addresses are kept as keyed hashes: {rows}");
        let mut tx = app.db().begin().await.unwrap();
        let thirty_days = 30 * 86_400 * SECOND_US;
        let (lifetime,): (i64,) = tx.fetch_one("SELECT expires_at - issued_at FROM refresh_tokens", ()).await.unwrap();
        assert_eq!(lifetime, thirty_days);
        tx.execute("UPDATE refresh_tokens SET expires_at = issued_at + 1", ()).await.unwrap();
        tx.commit().await.unwrap();
        assert_oauth(&app.token_by_refresh(&renter.refresh_token).await, "invalid_grant");
    });
}

#[test]
fn guessing_is_slowed_down_and_the_wait_runs_out() {
    on_both_with(THROTTLED, async |app| {
        sign_up(app, &person("victim@example.com")).await.must(201);
        let guess = async |email: &str| app.token_by_password(email, "not the right password").await;
        for _ in 0..5 {
            assert_oauth(&guess("Victim@example.com").await, "invalid_grant");
        }
        let refusal = guess("victim@example.com").await.refuses(429, "too_many_requests");
        assert_eq!(refusal.header("retry-after"), Some("1"));
        // The right password has to wait as well, in any spelling of the address.
        app.token_by_password("VICTIM@example.com", PASSWORD).await.refuses(429, "too_many_requests");
        // An address that nobody has is slowed down in the same way.
        for _ in 0..5 {
            assert_oauth(&guess("nobody@example.com").await, "invalid_grant");
        }
        guess("nobody@example.com").await.refuses(429, "too_many_requests");
        // Others are not held up, and the wait runs out.
        app.sign_up("RENTER").await;
        let session = async || app.token_by_password("victim@example.com", PASSWORD).await.status == 200;
        until("the wait is over", session).await;
        // Success begins anew.
        for _ in 0..5 {
            assert_oauth(&guess("victim@example.com").await, "invalid_grant");
        }
    });
}

#[test]
fn guesses_at_the_same_instant_do_not_slip_through() {
    on_both_with(THROTTLED, async |app| {
        sign_up(app, &person("victim@example.com")).await.must(201);
        let mut guesses = JoinSet::new();
        for _ in 0..24 {
            let request = Client::builder().no_proxy().build().unwrap().post(app.address(TOKEN));
            let form =
                [("grant_type", "password"), ("username", "victim@example.com"), ("password", "not the right one")];
            let request = request.form(&form);
            guesses.spawn(async move { request.send().await.unwrap().status().as_u16() });
        }
        let statuses = guesses.join_all().await;
        let judged = statuses.iter().filter(|status| **status == 400).count();
        assert!(statuses.iter().all(|status| matches!(status, 400 | 429)), "{statuses:?}");
        // Five are free; while they are judged a wait or two may run out.
        assert!((5..=8).contains(&judged), "{judged} guesses were judged");
    });
}

#[test]
fn an_address_from_which_the_person_is_signed_in_is_not_held_up_by_what_others_try() {
    on_both_with(THROTTLED, async |app| {
        let renter = app.sign_up("RENTER").await;
        for _ in 0..8 {
            assert_oauth(&app.token_by_password(&renter.email, "not the right password").await, "invalid_grant");
        }
        app.token_by_password(&renter.email, PASSWORD).await.must(200);
        // A session that has ended vouches for nobody.
        for token in [&renter.refresh_token, &renter.token] {
            app.call(POST, REVOKE).form(&[("token", token)]).send().await.must(200);
        }
    });
}

#[test]
fn an_address_from_which_many_people_are_tried_is_slowed_down() {
    on_both_with(THROTTLED, async |app| {
        for at in 0..30 {
            let email = format!("guess-{at}@example.com");
            assert_oauth(&app.token_by_password(&email, "not the right password").await, "invalid_grant");
        }
        let refusal = app.token_by_password("guess-30@example.com", "x").await.refuses(429, "too_many_requests");
        assert!(refusal.header("retry-after").unwrap().parse::<u32>().unwrap() <= 60);
        // Counts are kept under keyed hashes.
        let counted = &app.contents().await["sign_in_failures"];
        assert!(!counted.contains("guess") && !counted.contains("127.0.0.1"), "{counted}");
    });
}
