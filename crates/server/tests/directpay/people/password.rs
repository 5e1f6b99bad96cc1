//! Another password, by the old one or by a link.

use std::time::Duration;

use directpay_domain::time::SECOND_US;
use directpay_server::clock::Stopwatch;
use reqwest::Client;
use serde_json::json;
use tokio::task::JoinSet;

use super::make_waits_long;
use crate::harness::{
    Answer, GET, PASSWORD, POST, PUBLIC_URL, THROTTLED, TestApp, on_both, on_both_with, on_sqlite, token_in,
};

const CHANGE: &str = "/api/v1/users/me/password";
const RESET: &str = "/api/v1/auth/password-reset";
const CONFIRM: &str = "/api/v1/auth/password-reset/confirm";
const NEW: &str = "seven purple bicycles";
const LINK: &str = "Set a new password";
const CHANGED: &str = "Your password was changed";

async fn ask(app: &TestApp, email: &str) -> Answer {
    app.call(POST, RESET).json(&json!({"email": email})).send().await
}

async fn confirm(app: &TestApp, token: &str, password: &str) -> Answer {
    app.call(POST, CONFIRM).json(&json!({"token": token, "new_password": password})).send().await
}

#[test]
fn a_changed_password_ends_all_other_sessions_and_the_person_is_told() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let other = app.token_by_password(&renter.email, PASSWORD).await.must(200);
        let stranger = app.sign_up("RENTER").await;
        let key = renter.make_key(&["users:read"]).await;

        let body = json!({"current_password": PASSWORD, "new_password": NEW});
        assert_eq!(renter.post(CHANGE, &body).await.must(200).id(), renter.id);

        app.token_by_password(&renter.email, PASSWORD).await.must(400);
        app.token_by_password(&renter.email, NEW).await.must(200);
        app.token_by_refresh(&other.text_of("refresh_token")).await.must(400);
        app.token_by_refresh(&renter.refresh_token).await.must(200);
        app.token_by_refresh(&stranger.refresh_token).await.must(200);
        renter.with_key(&key).get("/api/v1/users/me").await.must(200);
        let mail = &app.mails(&renter.email, CHANGED, 1).await[0];
        assert!(mail.contains("you have 1 that can be used") && mail.contains(PUBLIC_URL), "{mail}");
        // The access token of a session that was ended reads for its 15 minutes, and decides nothing about the account.
        let ended = other.text_of("access_token");
        let call = async |path: &str, body| app.call(POST, path).bearer(&ended).json(&body).send().await;
        app.call(GET, "/api/v1/users/me").bearer(&ended).send().await.must(200);
        let again = json!({"current_password": NEW, "new_password": PASSWORD});
        call(CHANGE, again).await.refuses(401, "unauthorized");
        call("/api/v1/users/me/email", json!({"email": "x@example.com", "password": NEW})).await.must(401);
        call("/api/v1/users/me/second-factor", json!({"password": NEW})).await.must(401);
        call("/api/v1/api-keys/", json!({"name": "Stay", "scopes": ["users:read"]})).await.must(401);
    });
}

#[test]
fn a_forgotten_password_is_set_by_a_link_that_is_good_once() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let key = renter.make_key(&["users:read"]).await;
        let asked = app.call(POST, RESET).header("Host", "evil.example").header("X-Forwarded-Host", "evil.example");
        asked.json(&json!({"email": renter.email.to_uppercase()})).send().await.must(202);
        let mail = app.mails(&renter.email, LINK, 1).await.remove(0);
        let token = token_in(&mail);
        assert!(mail.contains(&format!("{PUBLIC_URL}/reset#token={token}\r\n")), "{mail}");
        assert!(!mail.contains("evil.example"), "{mail}");
        let stored = &app.contents().await["mail_links"];
        assert!(!stored.contains(&token) && stored.contains("PASSWORD_RESET"), "{stored}");

        // A password that is refused costs no link.
        confirm(app, &token, "passwordpassword").await.refuses_fields(&[("new_password", "too_common")]);
        confirm(app, &token, NEW).await.must(200);

        confirm(app, &token, NEW).await.refuses_fields(&[("token", "not_good")]);
        app.token_by_password(&renter.email, PASSWORD).await.must(400);
        app.token_by_password(&renter.email, NEW).await.must(200);
        app.token_by_refresh(&renter.refresh_token).await.must(400);
        renter.with_key(&key).get("/api/v1/users/me").await.must(200);
        app.mails(&renter.email, CHANGED, 1).await;
    });
}

#[test]
fn of_two_uses_of_a_link_at_the_same_instant_one_succeeds() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        ask(app, &renter.email).await.must(202);
        let token = token_in(&app.mails(&renter.email, LINK, 1).await[0]);
        let mut uses = JoinSet::new();
        for at in 0..4 {
            let request = Client::builder().no_proxy().build().unwrap().post(app.address(CONFIRM));
            let request = request.json(&json!({"token": token, "new_password": format!("{NEW} {at}")}));
            uses.spawn(async move { request.send().await.unwrap().status().as_u16() });
        }
        let mut statuses = uses.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 422, 422, 422]);
    });
}

#[test]
fn a_link_is_good_for_half_an_hour_and_until_the_password_changes_otherwise() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        for _ in 0..2 {
            ask(app, &renter.email).await.must(202);
        }
        let tokens: Vec<_> = app.mails(&renter.email, LINK, 2).await.iter().map(|mail| token_in(mail)).collect();
        let mut tx = app.db().begin().await.unwrap();
        let (lifetime,): (i64,) =
            tx.fetch_one("SELECT MAX(expires_at - created_at) FROM mail_links", ()).await.unwrap();
        assert_eq!(lifetime, 30 * 60 * SECOND_US);
        drop(tx);
        let body = json!({"current_password": PASSWORD, "new_password": NEW});
        renter.post(CHANGE, &body).await.must(200);
        for token in &tokens {
            confirm(app, token, PASSWORD).await.refuses_fields(&[("token", "not_good")]);
        }
        ask(app, &renter.email).await.must(202);
        let token = token_in(&app.mails(&renter.email, LINK, 3).await[2]);
        let mut tx = app.db().begin().await.unwrap();
        tx.execute("UPDATE mail_links SET expires_at = created_at + 1 WHERE 0 < expires_at", ()).await.unwrap();
        tx.commit().await.unwrap();
        confirm(app, &token, PASSWORD).await.refuses_fields(&[("token", "not_good")]);
    });
}

#[test]
fn a_known_and_an_unknown_address_get_equal_answers_in_like_time_and_the_unknown_one_gets_no_mail() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let timed = async |email: &str| {
            let started = Stopwatch::start();
            let answer = ask(app, email).await.must(202);
            (answer.text, started.elapsed())
        };
        let mut took = [Duration::MAX; 2];
        for _ in 0..8 {
            let (known, unknown) = (timed(&renter.email).await, timed("nobody@example.com").await);
            assert_eq!(known.0, unknown.0);
            took = [took[0].min(known.1), took[1].min(unknown.1)];
        }
        assert!(took[0] < took[1] * 3 && took[1] < took[0] * 3, "{took:?}");
        app.come_to_rest().await;
        // However often somebody asks, a mailbox is not filled.
        assert_eq!(app.mail_to(&renter.email).len(), 3);
        assert!(app.mail_to("nobody@example.com").is_empty());
        assert_eq!(app.contents().await["mail_links"].lines().count(), 16);
    });
}

#[test]
fn asking_for_links_is_slowed_down_and_leaves_signing_in_alone() {
    on_both_with(THROTTLED, async |app| {
        let renter = app.sign_up("RENTER").await;
        for email in [renter.email.as_str(), "nobody@example.com"] {
            // Whoever is signed in from here has to wait for what this address does only.
            let free = if email == renter.email { 6 } else { 5 };
            for _ in 0..free {
                ask(app, email).await.must(202);
            }
        }
        let refusal = ask(app, "nobody@example.com").await.refuses(429, "too_many_requests");
        assert!(refusal.header("retry-after").is_some());
        app.token_by_password(&renter.email, PASSWORD).await.must(200);
        for _ in 0..30 {
            ask(app, "somebody-else@example.com").await;
            ask(app, &format!("{}@example.com", app.clock.process_us())).await;
        }
        ask(app, "another@example.com").await.refuses(429, "too_many_requests");
    });
}

#[test]
fn guessing_the_old_password_with_a_stolen_token_is_slowed_down() {
    on_both_with(THROTTLED, async |app| {
        let renter = app.sign_up("RENTER").await;
        let body = json!({"current_password": "not the right password", "new_password": NEW});
        for _ in 0..5 {
            renter.post(CHANGE, &body).await.refuses_fields(&[("current_password", "wrong")]);
        }
        make_waits_long(app).await;
        renter.post(CHANGE, &body).await.refuses(429, "too_many_requests");
    });
}

#[test]
fn a_password_made_of_the_persons_own_data_is_refused() {
    on_sqlite(async |app| {
        let renter = app.sign_up("RENTER").await;
        let body = json!({"current_password": PASSWORD, "new_password": "renter-0@example.com"});
        renter.post(CHANGE, &body).await.refuses_fields(&[("new_password", "too_common")]);
    });
}
