//! A DirectPay of its own for each story: a real server in this process, on a fresh database, talked to over real HTTP.
//!
//! [`on_both`] tells the same story on SQLite and on PostgreSQL. When a story ends, nothing may have been answered with a
//! 5xx, no due work may be left half done, and the audit must be clean.

mod answer;
mod database;
mod exposition;
mod mail;
mod receiver;
mod visitor;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use directpay_domain::id::UserId;
use directpay_domain::property::{ZoneName, day_begins};
use directpay_domain::rail::DelayScale;
use directpay_domain::time::DAY_US;
use directpay_domain::user::{Email, Password, Role};
use directpay_server::autopay;
use directpay_server::clock::{self, Clock, Stopwatch};
use directpay_server::config::{
    BATCH_MAX, Database, DatabaseUrl, LimitArgs, MailCarrier, MailPlace, RateLimit, SecretsPlace,
};
use directpay_server::daily_pass::{self, LocalDay};
use directpay_server::origin::TrustedProxies;
use directpay_server::running::{self, Company, Manner, Running, SchemaPolicy, Server};
use directpay_store::users::{self, NewUser, User};
use directpay_store::{Db, audit, lease_ledger};
use jiff::civil::Date;
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

pub(crate) use self::answer::{Answer, Call, assert_id, assert_time, event_types, keys};
use self::database::PostgresDatabase;
pub(crate) use self::exposition::Exposition;
pub(crate) use self::mail::{MailServer, from_base32, token_in};
pub(crate) use self::receiver::{Doubt, Received, Receiver, Reply, Verifier};
pub(crate) use self::visitor::{Home, ROUTING, Visitor, account, address, terms, with, without};

/// Whatever takes longer than this will not happen any more.
const PATIENCE: Duration = Duration::from_secs(20);

/// An address that is free.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What links in mails begin with.
pub(crate) const PUBLIC_URL: &str = "https://rent.example.com";

/// What everybody's password is.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// A payer's account with which all goes well.
pub(crate) const GOOD_ACCOUNT: &str = "000123456789";

pub(crate) const GET: Method = Method::GET;
pub(crate) const POST: Method = Method::POST;
pub(crate) const PUT: Method = Method::PUT;
pub(crate) const PATCH: Method = Method::PATCH;

/// How a story's DirectPay runs. By default everything settles at once and nobody is throttled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) scale: DelayScale,
    pub(crate) limits: LimitArgs,
    pub(crate) trusted_proxies: &'static [&'static str],
    pub(crate) workers: bool,
    /// Where mail goes by SMTP; into a folder if omitted.
    pub(crate) mail_server: Option<SocketAddr>,
}

pub(crate) const AT_ONCE: Setting = Setting {
    scale: DelayScale::AT_ONCE,
    limits: LimitArgs { rate_limit: RateLimit::Off, ..LimitArgs::DEFAULT },
    trusted_proxies: &[],
    workers: true,
    mail_server: None,
};
/// The simulated bank takes its time.
pub(crate) const IN_TIME: Setting = Setting { scale: DelayScale::AS_IT_IS, ..AT_ONCE };
/// Nobody hands payments to the bank: they stay PENDING.
pub(crate) const WITHOUT_WORKERS: Setting = Setting { workers: false, ..AT_ONCE };
pub(crate) const THROTTLED: Setting = Setting { limits: LimitArgs::DEFAULT, ..AT_ONCE };

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

/// For what is too large to be told twice.
pub(crate) fn on_postgres(story: impl AsyncFn(&TestApp)) {
    on_postgres_with(AT_ONCE, &story);
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
        let secrets = SecretsPlace::MadeIfMissing(folder.path().join("test.secrets")).into();
        let database = Database { url, secrets };
        let opened = running::open(&database.url, Company::Alone, SchemaPolicy::Migrate).await.unwrap();
        let Setting { scale, limits, trusted_proxies, workers, mail_server } = setting;
        let trusted_proxies: Vec<_> = trusted_proxies.iter().map(|network| network.parse().unwrap()).collect();
        let trusted_proxies = TrustedProxies::new(&trusted_proxies);
        let mail = MailPlace {
            carrier: match mail_server {
                Some(address) => MailCarrier::Smtp(format!("smtp://{address}").parse().unwrap()),
                None => MailCarrier::Folder(folder.path().join(mail::FOLDER)),
            },
            from: "Rent <rent@example.com>".parse().unwrap(),
            public_url: PUBLIC_URL.parse().unwrap(),
        };
        let clock = Clock::default();
        let running = Running::start(
            opened,
            &database,
            clock.clone(),
            Manner {
                scale,
                batch_max: BATCH_MAX,
                limits,
                trusted_proxies,
                workers,
                metrics_listen: Some(ANY),
                webhook_allow: "127.0.0.0/8".parse().unwrap(),
                mail,
            },
        )
        .await
        .unwrap();
        let server = Server::start(&running.app, ANY).await.unwrap();
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

    /// What is told to Prometheus.
    pub(crate) async fn metrics(&self) -> Exposition {
        let answer = self.client.get(self.metrics_address("/metrics")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        Exposition::parse(&answer.text().await.unwrap())
    }

    /// A path on the address of the metrics.
    pub(crate) fn metrics_address(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.metrics_address().unwrap())
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

    /// How much the workers have to do now.
    pub(crate) async fn due_work(&self) -> i64 {
        due_work(self.db(), &self.clock).await
    }

    /// Waits until nothing happens any more by itself: all due work is done, all mail is sent, and every event has its position in
    /// the feed.
    pub(crate) async fn come_to_rest(&self) {
        const UNDONE: &str =
            "SELECT (SELECT COUNT(*) FROM events) - (SELECT COUNT(*) FROM feed) + (SELECT COUNT(*) FROM outgoing_mail)";
        until("all is quiet", async || {
            let mut tx = self.db().begin_read().await.unwrap();
            let (undone,): (i64,) = tx.fetch_one(UNDONE, ()).await.unwrap();
            drop(tx);
            undone == 0 && self.due_work().await == 0
        })
        .await;
    }

    /// The day where the properties of the tests lie.
    pub(crate) fn today(&self) -> Date {
        LocalDay::at("America/New_York", self.clock.business()).unwrap().date
    }

    /// It is the noon of `day`.
    pub(crate) fn turn_clock_to(&self, day: Date) {
        let zone = ZoneName::parse("America/New_York").unwrap();
        let noon = day_begins(&zone, day).plus_micros(DAY_US / 2);
        self.clock.advance(noon.micros() - self.clock.business().micros());
        assert_eq!(self.today(), day);
    }

    /// Goes on to the noon of `day`, through its pass and the draws after it. Not by whole days: some have 23 or 25 hours.
    pub(crate) async fn go_on_to(&self, day: Date) {
        self.turn_clock_to(day);
        daily_pass::run(&self.running.app).await.unwrap();
        // The worker may have been quicker with some, and not be done with them.
        until("the day has begun everywhere", async || {
            let mut tx = self.db().begin_read().await.unwrap();
            !lease_ledger::is_pass_due(&mut tx, self.clock.business()).await.unwrap()
        })
        .await;
        autopay::run(&self.running.app).await.unwrap();
        until("all mandates are looked after", async || {
            let mut tx = self.db().begin_read().await.unwrap();
            !directpay_store::autopay::is_look_due(&mut tx, self.clock.business()).await.unwrap()
        })
        .await;
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
