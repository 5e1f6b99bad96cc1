//! A DirectPay of its own for each story: a real server in this process, on a fresh database, talked to over real HTTP.
//!
//! [`on_both`] tells the same story on SQLite and on PostgreSQL. When a story ends, nothing may have been answered with a
//! 5xx, no due work may be left half done, and the audit must be clean.

use std::collections::BTreeMap;
use std::ops::Index;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use directpay_domain::id::UserId;
use directpay_domain::rail::DelayScale;
use directpay_domain::time::Instant;
use directpay_domain::user::{Email, Password, Role};
use directpay_server::clock::{self, Clock, Stopwatch};
use directpay_server::config::{Database, DatabaseUrl, RateLimit, SecretsPlace};
use directpay_server::running::{self, Company, Manner, Running, SchemaPolicy, Server};
use directpay_store::users::{self, NewUser, User};
use directpay_store::{Db, audit};
use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

/// The admin URL of a PostgreSQL cluster for tests.
const VARIABLE: &str = "DIRECTPAY_TEST_POSTGRES";
/// Whatever takes longer than this will not happen any more.
const PATIENCE: Duration = Duration::from_secs(20);

/// What everybody's password is.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// A payer's account with which all goes well.
pub(crate) const GOOD_ACCOUNT: &str = "000123456789";
pub(crate) const ROUTING: &str = "021000021";

pub(crate) const GET: Method = Method::GET;
pub(crate) const POST: Method = Method::POST;
pub(crate) const PATCH: Method = Method::PATCH;

/// How a story's DirectPay runs. By default everything settles at once and nobody is throttled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) scale: DelayScale,
    pub(crate) rate_limit: RateLimit,
    pub(crate) workers: bool,
}

pub(crate) const AT_ONCE: Setting = Setting { scale: DelayScale::AT_ONCE, rate_limit: RateLimit::Off, workers: true };
/// Nobody hands payments to the bank: they stay PENDING.
pub(crate) const WITHOUT_WORKERS: Setting = Setting { workers: false, ..AT_ONCE };
pub(crate) const THROTTLED: Setting = Setting { rate_limit: RateLimit::On, ..AT_ONCE };

/// Tells `story` twice, each time to a DirectPay of its own.
pub(crate) fn on_both(story: impl AsyncFn(&TestApp)) {
    on_both_with(AT_ONCE, story);
}

pub(crate) fn on_both_with(setting: Setting, story: impl AsyncFn(&TestApp)) {
    on_sqlite_with(setting, &story);
    on_postgres_with(setting, &story);
}

/// For what has nothing to do with storage.
pub(crate) fn on_sqlite(story: impl AsyncFn(&TestApp)) {
    on_sqlite_with(AT_ONCE, story);
}

fn on_sqlite_with(setting: Setting, story: impl AsyncFn(&TestApp)) {
    println!("on SQLite");
    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("test.db"));
    runtime().block_on(tell(url, folder, setting, &story));
}

fn on_postgres_with(setting: Setting, story: impl AsyncFn(&TestApp)) {
    println!("on PostgreSQL");
    let database = PostgresDatabase::create();
    let told = catch_unwind(AssertUnwindSafe(|| {
        let url = DatabaseUrl::Postgres(database.url.clone());
        runtime().block_on(tell(url, tempfile::tempdir().unwrap(), setting, &story));
    }));
    database.remove();
    told.unwrap_or_else(|panic| resume_unwind(panic));
}

async fn tell(url: DatabaseUrl, folder: TempDir, setting: Setting, story: &impl AsyncFn(&TestApp)) {
    let app = TestApp::start(url, folder, setting).await;
    story(&app).await;
    app.finish().await;
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// An empty database on the cluster.
struct PostgresDatabase {
    admin_url: String,
    name: String,
    url: String,
}

impl PostgresDatabase {
    fn create() -> PostgresDatabase {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let admin_url = admin_url();
        let name = format!("http_{}_{number}", std::process::id());
        let (server, _) = admin_url.rsplit_once('/').unwrap();
        let database = PostgresDatabase { url: format!("{server}/{name}"), name, admin_url };
        // A process that was killed may have left one of the same name. `template0` is never in use by others.
        database.administer("DROP DATABASE IF EXISTS {} WITH (FORCE)");
        database.administer("CREATE DATABASE {} TEMPLATE template0");
        database
    }

    fn remove(&self) {
        self.administer("DROP DATABASE {} WITH (FORCE)");
    }

    fn administer(&self, statement: &str) {
        let statement = statement.replace("{}", &self.name);
        runtime().block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.admin_url, tokio_postgres::NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            client.batch_execute(&statement).await.unwrap();
            drop(client);
            connection.await.unwrap().unwrap();
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "the cluster of the tests is named by whoever runs them")]
fn admin_url() -> String {
    std::env::var(VARIABLE).unwrap_or_else(|_| {
        panic!("{VARIABLE} is not set: run `cargo xtask test`, or `cargo xtask postgres` and export what it prints")
    })
}

/// A running DirectPay and everything that it has answered.
pub(crate) struct TestApp {
    pub(crate) running: Running,
    pub(crate) clock: Clock,
    /// Holds the secrets, and on SQLite the database.
    pub(crate) folder: TempDir,
    setting: Setting,
    server: Server,
    base: String,
    client: Client,
    people: AtomicU32,
    transcript: Mutex<String>,
    failures: Mutex<Vec<String>>,
}

impl TestApp {
    async fn start(url: DatabaseUrl, folder: TempDir, setting: Setting) -> TestApp {
        let database = Database { url, secrets: SecretsPlace::MadeIfMissing(folder.path().join("test.secrets")) };
        let opened = running::open(&database.url, Company::Alone, SchemaPolicy::Migrate).await.unwrap();
        let Setting { scale, rate_limit, workers } = setting;
        let clock = Clock::default();
        let running =
            Running::start(opened, &database, clock.clone(), Manner { scale, rate_limit, workers }).unwrap();
        let server = Server::start(&running.app, "127.0.0.1:0".parse().unwrap()).await.unwrap();
        TestApp {
            base: format!("http://{}", server.address),
            client: Client::builder().no_proxy().redirect(Policy::none()).build().unwrap(),
            running,
            clock,
            folder,
            setting,
            server,
            people: AtomicU32::new(0),
            transcript: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    async fn finish(self) {
        let failures = self.failures.into_inner().unwrap();
        assert!(failures.is_empty(), "answered with a 5xx: {failures:#?}");
        let db = self.running.app.db.clone();
        if self.setting.workers {
            until("all due work is done", async || due_work(&db, &self.clock).await == 0).await;
        }
        let audit = audit(&db, |_, _| {}).await.unwrap();
        assert!(audit.is_clean(), "{audit:#?}");
        self.server.finish().await;
        drop(self.client);
        self.running.finish().await;
    }

    /// A request by nobody in particular.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'_> {
        let request = self.client.request(method.clone(), format!("{}{path}", self.base));
        Call { app: self, request, line: format!("{method} {path}") }
    }

    /// For clients of the story's own.
    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) fn db(&self) -> &Db {
        &self.running.app.db
    }

    /// Everything that was answered so far, with headers.
    pub(crate) fn transcript(&self) -> String {
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets 5xx pass that the story wants.
    pub(crate) fn forgive(&self) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn note(&self, answer: &Answer) {
        let Answer { line, status, headers, text, .. } = answer;
        let mut transcript = self.transcript.lock().unwrap_or_else(PoisonError::into_inner);
        transcript.push_str(&format!("{line} -> {status} {headers:?}\n{text}\n"));
        if 500 <= *status {
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{line} -> {status} {text}"));
        }
    }

    /// Signs up a new person who is signed in.
    pub(crate) async fn sign_up(&self, role: &str) -> Visitor<'_> {
        let number = self.people.fetch_add(1, Ordering::Relaxed);
        let email = format!("{}-{number}@example.com", role.to_lowercase());
        let body = json!({"email": email, "password": PASSWORD, "full_name": format!("Person {number}"), "role": role});
        let user = self.call(POST, "/api/v1/users/").json(&body).send().await.must(201);
        self.sign_in(&email, PASSWORD, user.id()).await
    }

    pub(crate) async fn sign_in(&self, email: &str, password: &str, id: String) -> Visitor<'_> {
        let session = self.token_by_password(email, password).await.must(200);
        Visitor {
            app: self,
            id,
            email: email.to_owned(),
            token: session.text_of("access_token"),
            refresh_token: session.text_of("refresh_token"),
        }
    }

    pub(crate) async fn token_by_password(&self, email: &str, password: &str) -> Answer {
        let form = [("grant_type", "password"), ("username", email), ("password", password)];
        self.call(POST, "/api/v1/auth/token").form(&form).send().await
    }

    pub(crate) async fn token_by_refresh(&self, refresh_token: &str) -> Answer {
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
        self.call(POST, "/api/v1/auth/token").form(&form).send().await
    }

    /// An administrator, as `directpay admin create` makes one.
    pub(crate) async fn admin(&self) -> Visitor<'_> {
        let email = Email::parse("admin@example.com").unwrap();
        let password = Password::parse(PASSWORD).unwrap();
        let password_hash = self.running.app.passwords.hash(password, Vec::new()).await.unwrap();
        let user = User {
            id: UserId(clock::new_id()),
            email: email.as_str().to_owned(),
            full_name: "Ada Administrator".to_owned(),
            phone: None,
            role: Role::Admin,
            created_at: self.clock.business(),
        };
        let mut tx = self.db().begin().await.unwrap();
        let new = NewUser { user: &user, email_key: &email.key(), password_hash: &password_hash };
        users::insert(&mut tx, new).await.unwrap();
        tx.commit().await.unwrap();
        self.sign_in(email.as_str(), PASSWORD, user.id.to_string()).await
    }

    /// A landlord and a renter with an account each, and a lease between them.
    pub(crate) async fn home(&self) -> Home<'_> {
        let landlord = self.sign_up("LANDLORD").await;
        let renter = self.sign_up("RENTER").await;
        let landlord_account = landlord.link_account("900000004321").await.id();
        let renter_account = renter.link_account(GOOD_ACCOUNT).await.id();
        let property = landlord.add_property().await.id();
        let lease = landlord.sign_lease(&property, &renter.id).await.id();
        Home { landlord, renter, landlord_account, renter_account, property, lease }
    }

    /// What stands in every table, row by row, as text.
    pub(crate) async fn contents(&self) -> BTreeMap<String, String> {
        let mut tx = self.db().begin_read().await.unwrap();
        let is_postgres = self.db().is_shared();
        let list = if is_postgres {
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'"
        } else {
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        };
        let tables: Vec<(String,)> = tx.fetch_all(list, ()).await.unwrap();
        assert!(15 <= tables.len(), "{tables:?}");
        let mut contents = BTreeMap::new();
        for (table,) in tables {
            let sql = if is_postgres {
                format!("SELECT COALESCE(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM {table} t")
            } else {
                let columns: Vec<(String,)> = tx
                    .fetch_all("SELECT name FROM pragma_table_info($1)", (table.as_str(),))
                    .await
                    .unwrap();
                let row: Vec<_> = columns.iter().map(|(name,)| format!("quote(\"{name}\")")).collect();
                format!("SELECT COALESCE(group_concat({}, char(10)), '') FROM {table}", row.join("||','||"))
            };
            let (text,): (String,) = tx.fetch_one(leaked(sql), ()).await.unwrap();
            contents.insert(table, text);
        }
        contents
    }
}

/// Statements are constants; in a test a few may leak.
fn leaked(sql: String) -> &'static str {
    Box::leak(sql.into_boxed_str())
}

async fn due_work(db: &Db, clock: &Clock) -> i64 {
    let mut tx = db.begin_read().await.unwrap();
    let now = clock.business().micros();
    let (count,): (i64,) = tx.fetch_one("SELECT COUNT(*) FROM due_work WHERE due_at <= $1", (now,)).await.unwrap();
    count
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = Stopwatch::start();
    while !is_so().await {
        assert!(waiting.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

/// Two parties and what binds them.
pub(crate) struct Home<'a> {
    pub(crate) landlord: Visitor<'a>,
    pub(crate) renter: Visitor<'a>,
    pub(crate) landlord_account: String,
    pub(crate) renter_account: String,
    pub(crate) property: String,
    pub(crate) lease: String,
}

impl Home<'_> {
    /// The smallest body of a payment.
    pub(crate) fn rent(&self, amount: &str) -> Value {
        json!({"lease_id": self.lease, "amount": amount, "rail": "INSTANT"})
    }

    /// Pays rent and waits until it has arrived.
    pub(crate) async fn paid(&self, key: &str) -> Answer {
        let payment = self.renter.pay(key, &self.rent("1500.00")).await.must(201);
        self.renter.wait_until(&payment.id(), "COMPLETED").await
    }
}

/// Somebody who talks to the API as any client would.
pub(crate) struct Visitor<'a> {
    pub(crate) app: &'a TestApp,
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) token: String,
    pub(crate) refresh_token: String,
}

impl<'a> Visitor<'a> {
    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'a> {
        self.app.call(method, path).bearer(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(GET, path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(POST, path).json(body).send().await
    }

    pub(crate) async fn patch(&self, path: &str) -> Answer {
        self.call(PATCH, path).send().await
    }

    pub(crate) async fn link_account(&self, number: &str) -> Answer {
        self.post("/api/v1/bank-accounts/", &account(number)).await.must(201)
    }

    pub(crate) async fn add_property(&self) -> Answer {
        self.post("/api/v1/properties/", &address()).await.must(201)
    }

    /// A lease from mid-January to the end of June 2026.
    pub(crate) async fn sign_lease(&self, property: &str, renter: &str) -> Answer {
        self.post("/api/v1/leases/", &terms(property, renter)).await.must(201)
    }

    pub(crate) async fn pay(&self, key: &str, body: &Value) -> Answer {
        self.call(POST, "/api/v1/payments/").header("Idempotency-Key", key).json(body).send().await
    }

    pub(crate) async fn payment(&self, id: &str) -> Answer {
        self.get(&format!("/api/v1/payments/{id}")).await.must(200)
    }

    pub(crate) async fn history(&self, id: &str) -> Answer {
        self.get(&format!("/api/v1/payments/{id}/history")).await.must(200)
    }

    /// Waits until a payment stands at `status`.
    pub(crate) async fn wait_until(&self, id: &str, status: &str) -> Answer {
        until(&format!("payment {id} is {status}"), async || self.payment(id).await["status"] == status).await;
        self.payment(id).await
    }
}

pub(crate) fn account(number: &str) -> Value {
    json!({
        "bank_name": "First Rental Bank", "account_type": "CHECKING", "routing_number": ROUTING,
        "account_number": number, "account_holder_name": "A. Holder",
    })
}

pub(crate) fn address() -> Value {
    json!({"address": "12 Maple Street", "city": "Albany", "state": "NY", "zip_code": "12207"})
}

pub(crate) fn terms(property: &str, renter: &str) -> Value {
    json!({
        "property_id": property, "renter_id": renter, "rent_amount": "1500.00", "payment_due_day": 1,
        "start_date": "2026-01-17", "end_date": "2026-06-30",
    })
}

/// The same object with another value in one field.
pub(crate) fn with(body: &Value, field: &str, value: Value) -> Value {
    let mut body = body.clone();
    body[field] = value;
    body
}

pub(crate) fn without(body: &Value, field: &str) -> Value {
    let mut body = body.clone();
    body.as_object_mut().unwrap().remove(field);
    body
}

/// A request that is being put together.
pub(crate) struct Call<'a> {
    app: &'a TestApp,
    request: RequestBuilder,
    line: String,
}

impl Call<'_> {
    fn change(self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        Call { request: change(self.request), ..self }
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.change(|request| request.bearer_auth(token))
    }

    pub(crate) fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.change(|request| request.header(name, value.as_ref()))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.change(|request| request.json(body))
    }

    /// A body as it is.
    pub(crate) fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.change(|request| request.header("Content-Type", content_type).body(body.into()))
    }

    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Self {
        self.change(|request| request.form(fields))
    }

    pub(crate) async fn send(self) -> Answer {
        let line = self.line;
        let response = self.request.send().await.unwrap_or_else(|error| panic!("{line}: {error:?}"));
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        let answer = Answer { line, status, headers, text, body };
        self.app.note(&answer);
        answer
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) line: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Index<&str> for Answer {
    type Output = Value;
    fn index(&self, field: &str) -> &Value {
        &self.body[field]
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn must(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}: {}", self.line, self.text);
        self
    }

    /// Is a problem document, whole and true, with this status and code.
    #[track_caller]
    pub(crate) fn refuses(self, status: u16, code: &str) -> Answer {
        let answer = self.must(status);
        let Answer { line, text, .. } = &answer;
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{line}");
        assert_eq!(answer["code"], code, "{line}: {text}");
        assert_eq!(answer["status"], status, "{line}: {text}");
        assert_eq!(answer["type"], format!("urn:directpay:problem:{code}"), "{line}: {text}");
        assert!(answer["title"].is_string() && answer["detail"].is_string(), "{line}: {text}");
        assert_eq!(answer["request_id"].as_str(), answer.header("x-request-id"), "{line}: {text}");
        assert!(answer["errors"].is_array(), "{line}: {text}");
        assert_eq!(status == 401, answer.header("www-authenticate").is_some(), "{line}");
        answer
    }

    /// Refuses these fields for these reasons and no others.
    #[track_caller]
    pub(crate) fn refuses_fields(self, expected: &[(&str, &str)]) -> Answer {
        let answer = self.refuses(422, "invalid");
        assert_eq!(answer.fields(), expected, "{}: {}", answer.line, answer.text);
        answer
    }

    pub(crate) fn fields(&self) -> Vec<(&str, &str)> {
        let errors = self.body["errors"].as_array().map_or(&[][..], Vec::as_slice);
        errors.iter().map(|error| (error["field"].as_str().unwrap(), error["code"].as_str().unwrap())).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn text_of(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", self.text)).to_owned()
    }

    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.text_of("id")
    }

    /// The rows of a list.
    #[track_caller]
    pub(crate) fn rows(&self) -> &[Value] {
        self.body["data"].as_array().unwrap_or_else(|| panic!("{} is no list: {}", self.line, self.text))
    }

    /// One field of every row of a list.
    #[track_caller]
    pub(crate) fn column(&self, field: &str) -> Vec<&str> {
        self.rows().iter().map(|row| row[field].as_str().unwrap()).collect()
    }
}

/// The names of an object's fields in alphabetical order.
pub(crate) fn keys(value: &Value) -> String {
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names.join(" ")
}

/// The event types of a history, shortened.
pub(crate) fn event_types(history: &Answer) -> Vec<&str> {
    let events = history["events"].as_array().unwrap();
    events.iter().map(|event| event["event_type"].as_str().unwrap().trim_start_matches("payment_")).collect()
}

/// RFC 3339 in UTC with six decimals.
#[track_caller]
pub(crate) fn assert_time(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no time"));
    assert_eq!(text.len(), "2026-03-01T12:00:00.000000Z".len(), "{text}");
    assert_eq!(Instant::parse(text).unwrap().to_string(), text);
}

#[track_caller]
pub(crate) fn assert_id(value: &Value) {
    let id = Uuid::parse_str(value.as_str().unwrap_or_else(|| panic!("{value} is no id"))).unwrap();
    assert_eq!(id.get_version_num(), 7, "{id}");
}
