//! What is so at a moment, read when somebody asks for it.
//!
//! What the process knows is read each time. What the database knows is asked for at most once a second, however many ask, and
//! not waited for long: a database that is down takes nobody's metrics away, and the age of the last look is among them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use directpay_domain::payment::{Status, WorkKind};
use directpay_domain::time::Instant;
use directpay_store::webhooks::lanes;
use directpay_store::work::Backlog;
use directpay_store::{StoreError, lease_ledger, mail, work};
use metrics::{Counter, Gauge};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Mutex;

use super::{Registry, count};
use crate::app::App;
use crate::clock::Stopwatch;

/// How old what the database said may be.
const FRESH: Duration = Duration::from_secs(1);
/// How long the database may take to say it.
const PATIENCE: Duration = Duration::from_secs(2);
/// So much of the work that is due is counted; more is said to be as much.
const BACKLOG_MAX: i64 = 10_000;
/// How often what was recorded is put in order, whether somebody asks or not: until then every single value is kept.
const UPKEEP: Duration = Duration::from_secs(5);

/// Everything that answers whoever asks for metrics: one path.
pub fn router(app: &App) -> Router {
    let registry = app.metrics.registry();
    let Some(handle) = registry.handle() else { return Router::new() };
    let (process, database) = (Process::new(registry, app), Database::new(registry));
    let scrape = Arc::new(Scrape { handle, app: app.clone(), process, database, looked: Mutex::new(None) });
    tokio::spawn(keep_up(Arc::downgrade(&scrape)));
    Router::new().route("/metrics", get(answer)).with_state(scrape)
}

struct Scrape {
    handle: PrometheusHandle,
    app: App,
    process: Process,
    database: Database,
    /// Since the database was asked last.
    looked: Mutex<Option<Stopwatch>>,
}

async fn answer(State(scrape): State<Arc<Scrape>>) -> Response {
    scrape.process.read(&scrape.app);
    scrape.look().await;
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], scrape.handle.render()).into_response()
}

async fn keep_up(scrape: Weak<Scrape>) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        let Some(scrape) = scrape.upgrade() else { return };
        scrape.handle.run_upkeep();
    }
}

impl Scrape {
    /// Asks the database, unless somebody did a moment ago. Who comes meanwhile waits, and is told the same.
    async fn look(&self) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        *looked = Some(Stopwatch::start());
        let now = self.app.clock.business();
        match tokio::time::timeout(PATIENCE, due(&self.app, now)).await {
            Ok(Ok(due)) => self.database.set(now, &due, self.app.clock.process_us()),
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the database cannot be asked for metrics");
                self.database.failures.increment(1);
            }
            Err(_) => {
                tracing::warn!("the database takes too long to tell metrics");
                self.database.failures.increment(1);
            }
        }
    }
}

/// What is due, and since when.
struct Due {
    work: Vec<Backlog>,
    awaited_since: Option<Instant>,
    pass_since: Option<Instant>,
    /// In process time, and so is the next.
    webhooks: lanes::Backlog,
    mail_since: Option<i64>,
}

impl Due {
    fn since(&self, what: WorkKind) -> Option<Instant> {
        self.work.iter().find(|backlog| backlog.what == what).map(|backlog| backlog.since)
    }

    fn count(&self, what: WorkKind) -> u32 {
        self.work.iter().find(|backlog| backlog.what == what).map_or(0, |backlog| count(backlog.count))
    }
}

async fn due(app: &App, now: Instant) -> Result<Due, StoreError> {
    let mut tx = app.db.begin_read().await?;
    Ok(Due {
        work: work::backlog(&mut tx, now, BACKLOG_MAX).await?,
        awaited_since: work::awaited_since(&mut tx, now).await?,
        pass_since: lease_ledger::pass_due_since(&mut tx, now).await?,
        webhooks: lanes::backlog(&mut tx, app.clock.process_us(), BACKLOG_MAX).await?,
        mail_since: mail::waiting_since(&mut tx).await?,
    })
}

/// How long ago it was, in seconds; what is not there is of no age.
fn age(now: Instant, since: Option<Instant>) -> f64 {
    let since = since.unwrap_or(now);
    Duration::from_micros(u64::try_from(now.micros() - since.micros()).unwrap_or(0)).as_secs_f64()
}

/// What the database knows.
struct Database {
    due: [(WorkKind, Gauge); 2],
    pending_age: Gauge,
    processing_age: Gauge,
    unconfirmed_age: Gauge,
    pass_age: Gauge,
    webhook_lanes: Gauge,
    webhook_age: Gauge,
    mail_age: Gauge,
    looked_at: Gauge,
    failures: Counter,
}

impl Database {
    fn new(registry: &Registry) -> Database {
        let due = |what: WorkKind| {
            let help = "Payments for which something is due, SUBMIT or INQUIRE, whether a worker is at it or not; at most 10000 in all.";
            (what, registry.gauge("directpay_work_due", help, &[("what", what.name())]))
        };
        let age = |status: Status| {
            let help = "For how long the oldest payment has been due for hand-over (PENDING) or in the hands of the bank (PROCESSING).";
            registry.gauge("directpay_oldest_payment_age_seconds", help, &[("status", status.name())])
        };
        Database {
            due: [due(WorkKind::Submit), due(WorkKind::Inquire)],
            pending_age: age(Status::Pending),
            processing_age: age(Status::Processing),
            unconfirmed_age: registry.gauge(
                "directpay_oldest_unconfirmed_payment_age_seconds",
                "For how long it has not been known of a payment that was handed over whether the bank has it.",
                &[],
            ),
            pass_age: registry.gauge(
                "directpay_daily_pass_oldest_due_age_seconds",
                "For how long the day of a lease has begun without its charges.",
                &[],
            ),
            webhook_lanes: registry.gauge(
                "directpay_webhook_queue_depth",
                "Payments and leases of which something waits for a webhook, one for each of both; at most 10000.",
                &[],
            ),
            webhook_age: registry.gauge(
                "directpay_webhook_oldest_due_age_seconds",
                "For how long a delivery to a webhook has been due that no worker has taken up.",
                &[],
            ),
            mail_age: registry.gauge(
                "directpay_mail_oldest_age_seconds",
                "How old the oldest mail is that was not sent yet.",
                &[],
            ),
            looked_at: registry.gauge(
                "directpay_database_last_look_timestamp_seconds",
                "When the database was last asked for metrics with success, in seconds since 1970.",
                &[],
            ),
            failures: registry.counter(
                "directpay_database_failed_looks_total",
                "How often the database was asked for metrics in vain.",
                &[],
            ),
        }
    }

    fn set(&self, now: Instant, due: &Due, process_us: i64) {
        for (what, gauge) in &self.due {
            gauge.set(due.count(*what));
        }
        let unconfirmed = due.since(WorkKind::Inquire);
        self.pending_age.set(age(now, due.since(WorkKind::Submit)));
        self.processing_age.set(age(now, unconfirmed.into_iter().chain(due.awaited_since).min()));
        self.unconfirmed_age.set(age(now, unconfirmed));
        self.pass_age.set(age(now, due.pass_since));
        self.webhook_lanes.set(count(due.webhooks.lanes));
        let waited = |since: Option<i64>| {
            let waited_us = since.map_or(0, |since| process_us - since);
            Duration::from_micros(u64::try_from(waited_us).unwrap_or(0))
        };
        self.webhook_age.set(waited(due.webhooks.due_since));
        self.mail_age.set(waited(due.mail_since));
        self.looked_at.set(Duration::from_micros(u64::try_from(process_us).unwrap_or(0)));
    }
}

/// What the process knows of itself.
struct Process {
    queue: Gauge,
    silent: Gauge,
    secrets_unread: Gauge,
    keys_missing: Gauge,
    waiting: [Gauge; 2],
    connections: Vec<[Gauge; 2]>,
    payment_events: Vec<Counter>,
}

impl Process {
    fn new(registry: &Registry, app: &App) -> Process {
        tell_once(registry, app);
        let [reads, writes] = ["read", "write"].map(|access| {
            let labels = [("access", access)];
            let waits = registry.histogram(
                "directpay_database_wait_seconds",
                "How long callers waited for a connection and for their transaction to begin.",
                &labels,
            );
            let help = "Callers that wait for a connection now. On SQLite those that write wait for each other.";
            (waits, registry.gauge("directpay_database_waiting", help, &labels))
        });
        let usage = app.db.usage();
        usage.reads.time(reads.0);
        usage.writes.time(writes.0);
        let connections = app.db.connections().into_iter().map(|of| {
            ["in_use", "idle"].map(|state| {
                let help = "Open connections to the database, by pool and by whether they are in use.";
                registry.gauge("directpay_database_connections", help, &[("pool", of.pool), ("state", state)])
            })
        });
        let payment_events = usage.payment_events().map(|(event, rail, _)| {
            let help = "Events of payments that this process has committed, by type and rail.";
            let labels = [("event", event.name()), ("rail", rail.name())];
            registry.counter("directpay_payment_events_total", help, &labels)
        });
        Process {
            queue: registry.gauge(
                "directpay_intake_queue_depth",
                "Requests for payments that wait for their turn.",
                &[],
            ),
            silent: registry.gauge(
                "directpay_workers_silent",
                "Workers of this process that have not gone round for too long.",
                &[],
            ),
            secrets_unread: registry.gauge(
                "directpay_key_file_unreadable",
                "1 while the file with the keys is gone, malformed or cannot be unwrapped; the keys that were read before are used.",
                &[],
            ),
            keys_missing: registry.gauge(
                "directpay_keys_missing",
                "Encryption keys under which records stand and which this process does not have.",
                &[],
            ),
            waiting: [reads.1, writes.1],
            connections: connections.collect(),
            payment_events: payment_events.collect(),
        }
    }

    fn read(&self, app: &App) {
        self.queue.set(count(app.intake.waiting()));
        self.silent.set(count(app.pulse.silent_at(app.clock.process_us()).len()));
        self.secrets_unread.set(f64::from(u8::from(app.key_health.is_unreadable())));
        self.keys_missing.set(count(app.key_health.missing().len()));
        let usage = app.db.usage();
        for (gauge, access) in self.waiting.iter().zip([&usage.reads, &usage.writes]) {
            gauge.set(count(access.waiting()));
        }
        for ([in_use, idle], now) in self.connections.iter().zip(app.db.connections()) {
            in_use.set(now.in_use);
            idle.set(now.idle);
        }
        for (counter, (_, _, total)) in self.payment_events.iter().zip(usage.payment_events()) {
            counter.absolute(total);
        }
    }
}

/// What stays as it is.
fn tell_once(registry: &Registry, app: &App) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    registry.gauge("directpay_build_info", "The version of this process; always 1.", &version).set(1);
    let started = Duration::from_micros(u64::try_from(app.clock.process_us()).unwrap_or(0));
    let help = "When this process started, in seconds since 1970.";
    registry.gauge("process_start_time_seconds", help, &[]).set(started);
    let help = "Requests for payments that may wait before others are sent away.";
    registry.gauge("directpay_intake_queue_capacity", help, &[]).set(count(app.intake.capacity()));
}
