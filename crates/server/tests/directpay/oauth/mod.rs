//! Programs of others: let in by people, held to what these agreed to, and put out again. Pages are read as a browser reads them.

mod browser;
mod library;
mod managed;
mod pages;
mod refused;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64URL};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::browser::{Browser, unescaped};
use crate::harness::{Answer, POST, TestApp, Visitor};

const CLIENTS: &str = "/api/v1/oauth/clients/";
const AUTHORIZATIONS: &str = "/api/v1/me/authorizations/";
const CALLBACK: &str = "https://ledger.example.com/callback?from=directpay";
const SCOPES: [&str; 3] = ["leases:read", "payments:read", "payments:write"];
/// Good for every story: what is told is not how it is drawn.
const VERIFIER: &str = "a-verifier-of-a-program-that-draws-nothing-0";

/// A program that a person has registered.
struct Program<'a> {
    app: &'a TestApp,
    id: String,
    secret: String,
}

fn confidential() -> Value {
    json!({"name": "Rent Ledger", "kind": "CONFIDENTIAL", "scopes": SCOPES, "redirect_uris": [CALLBACK],
           "grants": ["authorization_code", "refresh_token", "client_credentials"]})
}

async fn register<'a>(owner: &Visitor<'a>, body: &Value) -> Program<'a> {
    let made = owner.post(CLIENTS, body).await.must(201);
    let secret = made["client_secret"].as_str().unwrap_or_default().to_owned();
    Program { app: owner.app, id: made.id(), secret }
}

/// The challenge to [`VERIFIER`].
fn challenge() -> String {
    BASE64URL.encode(Sha256::digest(VERIFIER))
}

impl<'a> Program<'a> {
    /// The parameters of a good request for authorization.
    fn parameters(&self) -> Vec<(String, String)> {
        let challenge = challenge();
        let parameters = [
            ("client_id", self.id.as_str()),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "leases:read payments:write"),
            ("state", "of & the <program>"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// The path of a request with these parameters.
    fn path(parameters: &[(String, String)]) -> String {
        format!("/oauth/authorize?{}", serde_urlencoded::to_string(parameters).unwrap())
    }

    /// Where a person is sent who lets it act.
    fn asks(&self) -> String {
        Program::path(&self.parameters())
    }

    /// A person who is signed in lets it act: the code.
    async fn let_in(&self, browser: &Browser<'_>) -> String {
        let consent = browser.get(&self.asks()).await.must(200);
        let sent = browser.submit(&consent, 1, &[("decision", "allow")]).await.must(303);
        answer_of(&sent, CALLBACK)["code"].as_str().unwrap().to_owned()
    }

    async fn token(&self, fields: &[(&str, &str)]) -> Answer {
        let basic = BASE64.encode(format!("{}:{}", self.id, self.secret));
        let call = self.app.call(POST, "/oauth/token").header("Authorization", format!("Basic {basic}"));
        call.form(fields).send().await
    }

    async fn exchange(&self, code: &str) -> Answer {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.token(&fields).await
    }

    async fn refresh(&self, token: &str) -> Answer {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Acts for the person who let it in, by these tokens.
    fn acts(&self, tokens: &Answer) -> Visitor<'a> {
        let token = tokens.text_of("access_token");
        Visitor { app: self.app, id: String::new(), email: String::new(), token, refresh_token: String::new() }
    }
}

/// All that is secret on the way of a program: nothing of it may be found anywhere.
pub(crate) async fn drawn(app: &TestApp) -> Vec<String> {
    let renter = app.sign_up("RENTER").await;
    let program = register(&renter, &confidential()).await;
    let browser = Browser::of(&renter).await;
    let code = program.let_in(&browser).await;
    let tokens = program.exchange(&code).await.must(200);
    program.acts(&tokens).get("/api/v1/leases/").await.must(200);
    program.acts(&tokens).get("/api/v1/users/me").await.must(403);
    let unused = program.let_in(&browser).await;
    let cookie = browser.cookie().split_once('=').unwrap().1.to_owned();
    vec![code, unused, tokens.text_of("access_token"), tokens.text_of("refresh_token"), program.secret, cookie]
}

impl Answer {
    /// Refuses by the words of RFC 6749.
    #[track_caller]
    fn refuses_as_oauth(self, status: u16, error: &str) -> Answer {
        let answer = self.must(status);
        assert_eq!(answer["error"], error, "{}: {}", answer.line, answer.text);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "{}", answer.line);
        answer
    }
}

/// What a redirect brings to a program, by name.
#[track_caller]
fn answer_of(redirect: &Answer, callback: &str) -> Value {
    answer_in(redirect.header("location").unwrap(), callback)
}

/// What a page that refuses a request would bring to its program by the link on it; nobody is sent there.
#[track_caller]
fn answer_on(page: &Answer, callback: &str) -> Value {
    assert_eq!((page.status, page.header("location")), (400, None), "{}", page.text);
    assert!(page.text.contains("Go back to the program"), "{}", page.text);
    let (_, rest) = page.text.split_once("<p><a href=\"").unwrap();
    answer_in(&unescaped(rest.split('"').next().unwrap()), callback)
}

#[track_caller]
fn answer_in(location: &str, callback: &str) -> Value {
    let query = location.strip_prefix(callback).unwrap_or_else(|| panic!("{location} is not {callback}"));
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(&query[1..]).unwrap();
    Value::Object(pairs.into_iter().map(|(name, value)| (name, Value::String(value))).collect())
}
