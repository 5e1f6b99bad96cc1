//! The second factor: what it guards, each code once, and how to be rid of it.

use directpay_domain::time::SECOND_US;
use directpay_server::access::totp;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::make_waits_long;
use crate::harness::{
    Answer, PASSWORD, POST, THROTTLED, TestApp, Visitor, from_base32, keys, on_both, on_both_with, token_in,
};

const PATH: &str = "/api/v1/users/me/second-factor";

/// A person with a second factor, and what an authenticator knows.
struct Guarded<'a> {
    person: Visitor<'a>,
    secret: Vec<u8>,
    recovery_codes: Vec<String>,
}

impl<'a> Guarded<'a> {
    async fn new(app: &'a TestApp) -> Guarded<'a> {
        let person = app.sign_up("RENTER").await;
        let begun = person.post(PATH, &json!({"password": PASSWORD})).await.must(201);
        let secret = from_base32(&begun.text_of("secret"));
        assert_eq!(secret.len(), 20);
        let uri = begun.text_of("otpauth_uri");
        assert!(uri.starts_with("otpauth://totp/DirectPay:renter-"), "{uri}");
        assert!(uri.contains(&begun.text_of("secret")), "{uri}");
        let code = code(app, &secret, 0);
        let on = person.post(&format!("{PATH}/confirm"), &json!({"code": code})).await.must(200);
        let codes = on["recovery_codes"].as_array().unwrap();
        let recovery_codes = codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect();
        Guarded { person, secret, recovery_codes }
    }

    /// The next code that was not used: clocks may differ by a step.
    fn next_code(&self) -> String {
        code(self.person.app, &self.secret, 30)
    }

    async fn signs_in(&self, otp: &str) -> Answer {
        sign_in(self.person.app, &self.person.email, PASSWORD, otp).await
    }
}

fn code(app: &TestApp, secret: &[u8], seconds: i64) -> String {
    totp::code_at(secret, app.clock.process_us() / SECOND_US + seconds)
}

async fn sign_in(app: &TestApp, email: &str, password: &str, otp: &str) -> Answer {
    let form = [("grant_type", "password"), ("username", email), ("password", password), ("otp", otp)];
    app.call(POST, "/api/v1/auth/token").form(&form).send().await
}

#[track_caller]
fn assert_oauth(answer: &Answer, error: &str) {
    assert_eq!((answer.status, &answer["error"]), (400, &json!(error)), "{}", answer.text);
    assert_eq!(keys(&answer.body), "error error_description");
}

#[test]
fn signing_in_takes_a_code_besides_the_password() {
    on_both(async |app| {
        let guarded = Guarded::new(app).await;
        let email = &guarded.person.email;
        assert_oauth(&app.token_by_password(email, PASSWORD).await, "mfa_required");
        // Whoever does not know the password learns nothing of it.
        assert_oauth(&app.token_by_password(email, "not the right password").await, "invalid_grant");
        let next = guarded.next_code();
        assert_oauth(&sign_in(app, email, "not the right password", &next).await, "invalid_grant");
        for wrong in ["", "000 000 0", "aaaa-bbbb-cccc-dddd", "\u{0}"] {
            assert_oauth(&guarded.signs_in(wrong).await, "invalid_grant");
        }
        let session = guarded.signs_in(&next).await.must(200);
        // Neither a session that goes on nor a key is asked.
        app.token_by_refresh(&session.text_of("refresh_token")).await.must(200);
        app.token_by_refresh(&guarded.person.refresh_token).await.must(200);
        guarded.person.program(&["users:read"]).await.get("/api/v1/users/me").await.must(200);
        // Who has none is not asked either.
        let other = app.sign_up("RENTER").await;
        sign_in(app, &other.email, PASSWORD, "anything").await.must(200);
        app.mails(email, "Second factor turned on", 1).await;
    });
}

#[test]
fn each_code_is_accepted_once() {
    on_both(async |app| {
        let guarded = Guarded::new(app).await;
        let next = guarded.next_code();
        let mut uses = JoinSet::new();
        for _ in 0..4 {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let email = guarded.person.email.clone();
            let form = [
                ("grant_type", "password".to_owned()),
                ("username", email),
                ("password", PASSWORD.to_owned()),
                ("otp", next.clone()),
            ];
            let request = client.post(app.address("/api/v1/auth/token")).form(&form);
            uses.spawn(async move { request.send().await.unwrap().status().as_u16() });
        }
        let mut statuses = uses.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400, 400, 400]);
        assert_oauth(&guarded.signs_in(&next).await, "invalid_grant");
        // The one that turned it on was used by that.
        assert_oauth(&guarded.signs_in(&code(app, &guarded.secret, 0)).await, "invalid_grant");

        let recovery = &guarded.recovery_codes;
        assert_eq!(recovery.len(), 10);
        guarded.signs_in(&recovery[0]).await.must(200);
        assert_oauth(&guarded.signs_in(&recovery[0]).await, "invalid_grant");
        guarded.signs_in(&recovery[1].to_uppercase().replace('-', " ")).await.must(200);
        let stands = guarded.person.get(PATH).await.must(200);
        assert_eq!((&stands["is_on"], &stands["recovery_codes_left"]), (&json!(true), &json!(8)));
    });
}

#[test]
fn nothing_is_asked_for_until_a_code_was_confirmed() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let begin = async || renter.post(PATH, &json!({"password": PASSWORD})).await;
        let first = from_base32(&begin().await.must(201).text_of("secret"));
        app.token_by_password(&renter.email, PASSWORD).await.must(200);
        assert_eq!(renter.get(PATH).await.must(200)["is_on"], false);
        let second = from_base32(&begin().await.must(201).text_of("secret"));
        let confirm = async |code: String| renter.post(&format!("{PATH}/confirm"), &json!({"code": code})).await;
        confirm(code(app, &first, 0)).await.refuses_fields(&[("code", "wrong")]);
        confirm(code(app, &second, 0)).await.must(200);
        confirm(code(app, &second, 30)).await.refuses(409, "second_factor_not_begun");
        begin().await.refuses(409, "second_factor_on");
    });
}

#[test]
fn a_second_factor_goes_by_both_factors_or_by_an_administrator() {
    on_both(async |app| {
        let guarded = Guarded::new(app).await;
        let Guarded { person, recovery_codes, .. } = &guarded;
        let disable = async |password: &str, code: &str| {
            person.post(&format!("{PATH}/disable"), &json!({"password": password, "code": code})).await
        };
        disable("not the right password", &recovery_codes[0]).await.refuses_fields(&[("password", "wrong")]);
        disable(PASSWORD, "no code").await.refuses_fields(&[("code", "wrong")]);
        disable(PASSWORD, &recovery_codes[0]).await.must(200);
        app.token_by_password(&person.email, PASSWORD).await.must(200);
        disable(PASSWORD, &recovery_codes[1]).await.refuses(409, "second_factor_off");
        app.mails(&person.email, "Second factor removed", 1).await;

        let (admin, other) = (app.admin().await, Guarded::new(app).await);
        let remove = format!("/api/v1/users/{}/second-factor/remove", other.person.id);
        for nobody in [person, &other.person] {
            nobody.post(&remove, &Value::Null).await.refuses(403, "forbidden");
        }
        assert_eq!(admin.post(&remove, &Value::Null).await.must(200)["is_on"], false);
        app.token_by_password(&other.person.email, PASSWORD).await.must(200);
        app.mails(&other.person.email, "Second factor removed", 1).await;
        admin.post(&remove, &Value::Null).await.refuses(409, "second_factor_off");
        admin.post(&remove.replace(&other.person.id, &person.id[..8]), &Value::Null).await.refuses(404, "not_found");
    });
}

#[test]
fn new_recovery_codes_make_the_old_ones_worthless() {
    on_both(async |app| {
        let guarded = Guarded::new(app).await;
        let body = json!({"password": PASSWORD, "code": guarded.recovery_codes[0]});
        let renewed = guarded.person.post(&format!("{PATH}/recovery-codes"), &body).await.must(200);
        assert_oauth(&guarded.signs_in(&guarded.recovery_codes[1]).await, "invalid_grant");
        guarded.signs_in(renewed["recovery_codes"][9].as_str().unwrap()).await.must(200);
        app.mails(&guarded.person.email, "New recovery codes", 1).await;
    });
}

#[test]
fn a_link_to_a_new_password_does_not_get_past_it() {
    on_both(async |app| {
        let guarded = Guarded::new(app).await;
        let email = &guarded.person.email;
        app.call(POST, "/api/v1/auth/password-reset").json(&json!({"email": email})).send().await.must(202);
        let token = token_in(&app.mails(email, "Set a new password", 1).await[0]);
        let new = "seven purple bicycles";
        let body = json!({"token": token, "new_password": new});
        app.call(POST, "/api/v1/auth/password-reset/confirm").json(&body).send().await.must(200);
        assert_oauth(&app.token_by_password(email, new).await, "mfa_required");
        sign_in(app, email, new, &guarded.next_code()).await.must(200);
    });
}

#[test]
fn guessing_codes_is_slowed_down_and_the_person_is_told() {
    on_both_with(THROTTLED, async |app| {
        let guarded = Guarded::new(app).await;
        let email = &guarded.person.email;
        // Asking what is needed is no failure, however often.
        for _ in 0..12 {
            assert_oauth(&app.token_by_password(email, PASSWORD).await, "mfa_required");
        }
        for _ in 0..5 {
            assert_oauth(&guarded.signs_in("000").await, "invalid_grant");
        }
        make_waits_long(app).await;
        guarded.signs_in("000").await.refuses(429, "too_many_requests");
        // The right one has to wait as well; a session cannot be used to guess on.
        guarded.signs_in(&guarded.next_code()).await.refuses(429, "too_many_requests");
        let body = json!({"password": PASSWORD, "code": "000"});
        guarded.person.post(&format!("{PATH}/disable"), &body).await.refuses(429, "too_many_requests");
        app.mails(email, "Wrong one-time codes", 1).await;
    });
}
