//! A planted account number and password, and drawn API keys, links, secrets of programs, secrets of second factors and recovery codes, are found
//! nowhere: not in logs at trace level, not in answers (what is shown once in one), not in the database.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use directpay_domain::time::SECOND_US;
use directpay_server::access::totp;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

use crate::harness::{GET, Home, PASSWORD, POST, TestApp, account, from_base32, on_both, terms, token_in, until, with};
use crate::oauth;

const NUMBER: &str = "48291736450918273";
const OTHER_NUMBER: &str = "59302847561029384";
const SECRET: &str = "quaint walrus ledger 77 plum";
const PLANTED: [&str; 3] = [NUMBER, OTHER_NUMBER, SECRET];

/// Everything that is logged in this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;
    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

#[test]
fn a_planted_account_number_and_password_are_found_nowhere() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(log.clone());
    tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    let (keys, links) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    on_both(async |app| {
        drive(app).await;
        let key = drive_with_a_key(app).await;
        keys.lock().unwrap().push(key.clone());
        let drawn = drive_an_account(app).await;
        let of_programs = oauth::drawn(app).await;
        let planted = [PLANTED.as_slice(), &[key.secret(), key.random()]].concat();
        let planted: Vec<_> = planted.into_iter().chain(drawn.all().chain(&of_programs).map(String::as_str)).collect();
        for secret in &drawn.shown {
            assert_eq!(app.transcript().matches(secret.as_str()).count(), drawn.times(secret), "{secret} in answers");
        }
        for link in &drawn.links {
            assert!(!app.transcript().contains(link), "a link is in an answer");
        }
        assert_absent("answers", &PLANTED, app.transcript().as_bytes());
        for form in [key.secret(), key.random()] {
            assert_eq!(app.transcript().matches(form).count(), 1, "the key is in one answer");
        }
        links.lock().unwrap().extend(drawn.all().chain(&of_programs).cloned());
        for (table, text) in app.contents().await {
            assert_absent(&table, &planted, text.as_bytes());
        }
        let mut files = 0;
        let folder = std::fs::read_dir(app.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        // Mail that became files stands in a folder of its own, and may say what mail says.
        for file in folder.filter(|path| path.is_file()) {
            assert_absent(&file.display().to_string(), &planted, &std::fs::read(&file).unwrap());
            files += 1;
        }
        // SQLite: the database, its log, its shared memory and the lock; both: the secrets.
        assert!(if app.db().is_shared() { files == 1 } else { 4 <= files }, "{files} files");
    });
    let log = log.0.lock().unwrap();
    assert!(100_000 < log.len(), "the log has {} bytes: nothing was captured", log.len());
    assert!(String::from_utf8_lossy(&log).contains("answered"));
    assert!(String::from_utf8_lossy(&log).contains("oauth_client_id="));
    assert_absent("the log", &PLANTED, &log);
    for secret in links.lock().unwrap().iter() {
        assert_absent("the log", &[secret], &log);
    }
    for key in keys.lock().unwrap().iter() {
        assert_absent("the log", &[key.secret(), key.random()], &log);
        // Requests by it are found by its id, and so are warnings about it.
        assert!(String::from_utf8_lossy(&log).contains(&format!("api_key_id={}", key.id)));
    }
}

/// A key that was drawn.
#[derive(Clone)]
struct Key {
    id: String,
    secret: String,
}

impl Key {
    fn secret(&self) -> &str {
        &self.secret
    }

    /// What nobody can guess, without what follows from it.
    fn random(&self) -> &str {
        &self.secret[8..35]
    }
}

fn assert_absent(place: &str, planted: &[&str], bytes: &[u8]) {
    for planted in planted.iter().copied() {
        for form in [planted.to_owned(), BASE64.encode(planted), planted.replace(' ', "+"), planted.replace(' ', "%20")]
        {
            let at = bytes.windows(form.len()).position(|window| window == form.as_bytes());
            let Some(at) = at else { continue };
            let around = &bytes[at.saturating_sub(200)..bytes.len().min(at + 200)];
            panic!("{planted} stands in {place}: {}", String::from_utf8_lossy(around));
        }
    }
}

/// Everything in which a number or a password goes in, well-formed and not.
async fn drive(app: &TestApp) {
    let body = json!({"email": "keeper@example.com", "password": SECRET, "full_name": "Keeper", "role": "RENTER"});
    let user = app.call(POST, "/api/v1/users/").json(&body).send().await.must(201);
    app.call(POST, "/api/v1/users/").json(&body).send().await.must(409);
    for (field, value) in
        [("role", json!(SECRET)), ("email", json!(SECRET)), ("phone", json!(SECRET)), ("full_name", json!(7))]
    {
        app.call(POST, "/api/v1/users/").json(&with(&body, field, value)).send().await.must(422);
    }
    let twice = format!("{{\"password\": \"{SECRET}\", \"password\": \"{SECRET}\"}}");
    app.call(POST, "/api/v1/users/").body("application/json", twice).send().await.must(422);
    app.call(POST, "/api/v1/users/")
        .body("application/json", format!("{{\"password\": \"{SECRET}\" oops"))
        .send()
        .await
        .must(400);
    app.token_by_password("keeper@example.com", &format!("{SECRET}!")).await.must(400);
    app.token_by_password(SECRET, SECRET).await.must(400);
    let keeper = app.sign_in("keeper@example.com", SECRET, user.id()).await;
    for (field, value) in [
        ("account_number", json!(format!("{NUMBER}0"))),
        ("account_number", json!(NUMBER.parse::<i64>().unwrap())),
        ("account_number", json!([NUMBER])),
        ("routing_number", json!(NUMBER)),
        ("account_type", json!(NUMBER)),
        ("is_primary", json!(NUMBER)),
    ] {
        keeper.post("/api/v1/bank-accounts/", &with(&account(NUMBER), field, value)).await.must(422);
    }
    let mine = keeper.link_account(NUMBER).await.id();
    keeper.post("/api/v1/bank-accounts/", &account(NUMBER)).await.must(409);
    keeper.patch(&format!("/api/v1/bank-accounts/{mine}/deactivate")).await.must(200);
    keeper.patch(&format!("/api/v1/bank-accounts/{mine}/activate")).await.must(200);
    let home = app.home().await;
    pay(&home, &keeper.id, &keeper.token, &mine).await;
    app.token_by_refresh(&keeper.refresh_token).await.must(200);
}

/// What was drawn for an account.
struct Drawn {
    /// Shown in one answer: the secret of a second factor, and recovery codes.
    shown: Vec<String>,
    /// Only ever in a mail.
    links: Vec<String>,
}

impl Drawn {
    fn all(&self) -> impl Iterator<Item = &String> {
        self.shown.iter().chain(&self.links)
    }

    /// The secret stands in its answer twice: alone, and in the URI.
    fn times(&self, secret: &str) -> usize {
        if self.shown.first().is_some_and(|first| first == secret) { 2 } else { 1 }
    }
}

/// Links and second factors, used and not, sent where they belong and where they do not.
async fn drive_an_account(app: &TestApp) -> Drawn {
    let renter = app.sign_up("RENTER").await;
    let me = |rest: &str| format!("/api/v1/users/me/{rest}");
    let reset = "/api/v1/auth/password-reset";
    for _ in 0..2 {
        app.call(POST, reset).json(&json!({"email": renter.email})).send().await.must(202);
    }
    renter.post(&me("email"), &json!({"email": "moves@example.com", "password": PASSWORD})).await.must(202);
    let resets = app.mails(&renter.email, "Set a new password", 2).await;
    let moves = app.mails("moves@example.com", "Confirm your e-mail address", 1).await;
    let mut links: Vec<_> = resets.iter().chain(&moves).map(|mail| token_in(mail)).collect();
    let confirm = format!("{reset}/confirm");
    app.call(POST, &confirm).json(&json!({"token": links[2], "new_password": SECRET})).send().await.must(422);
    app.call(POST, &confirm).json(&json!({"token": links[0], "new_password": links[0]})).send().await.must(200);
    app.call(POST, &confirm).json(&json!({"token": links[1], "new_password": SECRET})).send().await.must(422);
    app.call(POST, &confirm).json(&json!({"token": [links[1]], "new_password": SECRET})).send().await.must(422);
    // Whoever asked for another address with the old password does not get it.
    let prove =
        async |token: &String| app.call(POST, "/api/v1/auth/email/confirm").json(&json!({"token": token})).send().await;
    prove(&links[2]).await.must(422);
    let renter = app.sign_in(&renter.email, &links[0], renter.id).await;
    renter.post(&me("email"), &json!({"email": "moves@example.com", "password": links[0]})).await.must(202);
    let moves = app.mails("moves@example.com", "Confirm your e-mail address", 2).await;
    let again = moves.iter().map(|mail| token_in(mail)).find(|token| *token != links[2]).unwrap();
    prove(&again).await.must(200);
    links.push(again);
    let renter = app.sign_in("moves@example.com", &links[0], renter.id).await;
    let begun = renter.post(&me("second-factor"), &json!({"password": links[0]})).await.must(201);
    let secret = begun.text_of("secret");
    let code = totp::code_at(&from_base32(&secret), app.clock.process_us() / SECOND_US);
    renter.post(&me("second-factor/confirm"), &json!({"code": secret})).await.must(422);
    let on = renter.post(&me("second-factor/confirm"), &json!({"code": code})).await.must(200);
    let codes = on["recovery_codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned());
    let shown: Vec<_> = [secret].into_iter().chain(codes).collect();
    let form = |otp| {
        [("grant_type", "password"), ("username", "moves@example.com"), ("password", links[0].as_str()), ("otp", otp)]
    };
    app.call(POST, "/api/v1/auth/token").form(&form(shown[1].as_str())).send().await.must(200);
    app.call(POST, "/api/v1/auth/token").form(&form(shown[1].as_str())).send().await.must(400);
    Drawn { shown, links }
}

/// Everything in which a key goes in, where it belongs and where it does not.
async fn drive_with_a_key(app: &TestApp) -> Key {
    let renter = app.sign_up("RENTER").await;
    let made = renter.make_key(&["users:read"]).await;
    let (secret, program) = (made.text_of("key"), renter.with_key(&made));
    let keys = "/api/v1/api-keys/";
    program.get("/api/v1/users/me").await.must(200);
    program.get(keys).await.refuses(403, "closed_to_api_keys");
    program.get("/api/v1/payments/").await.refuses(403, "insufficient_scope");
    app.call(GET, "/api/v1/users/me").bearer(&format!("{secret}x")).send().await.must(401);
    app.call(GET, "/api/v1/users/me").header("Authorization", &secret).send().await.must(401);
    for field in ["scopes", "expires_at", "user_id"] {
        let body = json!({"name": "A program", "scopes": ["users:read"]});
        renter.post(keys, &with(&body, field, json!(secret))).await.must(422);
    }
    renter.post(keys, &json!({"name": "A program", "scopes": [secret]})).await.must(422);
    app.call(POST, "/api/v1/auth/revoke").form(&[("token", secret.as_str())]).send().await.must(400);
    app.token_by_refresh(&secret).await.must(400);
    app.token_by_password(&secret, &secret).await.must(400);
    renter.get(keys).await.must(200);
    let path = format!("{keys}{}", made.id());
    renter.post(&format!("{path}/revoke"), &json!(null)).await.must(200);
    program.get("/api/v1/users/me").await.refuses(401, "api_key_revoked");
    renter.get(&path).await.must(200);
    Key { id: made.id(), secret }
}

async fn pay(home: &Home<'_>, keeper: &str, token: &str, mine: &str) {
    let landlord = &home.landlord;
    let receiving = landlord.link_account(OTHER_NUMBER).await.id();
    let property = landlord.add_property().await.id();
    let lease =
        landlord.post("/api/v1/leases/", &with(&terms(&property, keeper), "payee_account_id", json!(receiving))).await;
    let lease = lease.must(201).id();
    let app = landlord.app;
    for rail in ["INSTANT", "WIRE", "SAME_DAY_ACH", "STANDARD_ACH"] {
        let body = json!({"lease_id": lease, "amount": "1.00", "rail": rail, "payer_account_id": mine});
        let call = app.call(POST, "/api/v1/payments/").bearer(token).header("Idempotency-Key", rail);
        let payment = call.json(&body).send().await.must(201).id();
        until("it is paid", async || landlord.payment(&payment).await["status"] == "COMPLETED").await;
        landlord.history(&payment).await;
    }
    // A number as an account's id.
    let body = json!({"lease_id": lease, "amount": "1.00", "payer_account_id": NUMBER});
    let call = app.call(POST, "/api/v1/payments/").bearer(token).header("Idempotency-Key", "wrong");
    call.json(&body).send().await.refuses_fields(&[("payer_account_id", "malformed")]);
}
