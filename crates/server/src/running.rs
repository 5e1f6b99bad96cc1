//! A running DirectPay: from settings to something that answers and works, and back to nothing.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::serve::ListenerExt;
use directpay_domain::rail::DelayScale;
use directpay_store::{Db, PoolSize, Schema, bank_accounts, sandbox_clock, second_factors, webhooks, work};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::access::api_keys::KeyUses;
use crate::access::passwords::Passwords;
use crate::access::tokens::Tokens;
use crate::app::{App, Bell, Parts, Pulse};
use crate::bank::BankConnection;
use crate::bank::simulator::Simulator;
use crate::checkpoints::Signer;
use crate::clock::Clock;
use crate::config::{Database, DatabaseUrl, LimitArgs, MailPlace};
use crate::feed::Listeners;
use crate::intake::{Intake, Writing};
use crate::limits::Limits;
use crate::mail::Mail;
use crate::metrics::{Metrics, sampled};
use crate::origin::TrustedProxies;
use crate::remembered::Remembered;
use crate::sandbox_clock::Follower;
use crate::trail::Folds;
use crate::webhooks::addresses::Allowed;
use crate::workers::Workers;
use crate::{api, secrets};

/// Connections of one process to PostgreSQL: two for the intake, the others for requests and workers.
const POSTGRES_CONNECTIONS: PoolSize = PoolSize(16);
/// Connections of one process to a replica, for lists.
const REPLICA_CONNECTIONS: PoolSize = PoolSize(8);
/// Readers of a SQLite file.
const SQLITE_READERS: PoolSize = PoolSize(4);
/// Open requests get this long to finish after the signal to stop.
const DRAIN: Duration = Duration::from_secs(6);
/// Workers and intake get this long afterwards; what they had taken up falls free in any case.
const WIND_UP: Duration = Duration::from_secs(3);

/// Whether a process may have the SQLite file to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// `serve` and `worker`: nobody else may work on the file.
    Alone,
    /// `verify`, `admin`, `migrate`, `run-day`: beside a server.
    Beside,
}

/// What to do about a schema that is not up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaPolicy {
    /// Bring it up to date.
    Migrate,
    /// On SQLite bring it up to date, on PostgreSQL refuse.
    MigrateEmbedded,
    /// Refuse: whoever only looks changes nothing, and makes no database where none is.
    Refuse,
}

/// An open database, and the lock that keeps others away from it.
pub struct Opened {
    /// The database.
    pub db: Db,
    _lock: Option<File>,
}

/// Opens the database and sees to its schema.
pub async fn open(url: &DatabaseUrl, company: Company, policy: SchemaPolicy) -> anyhow::Result<Opened> {
    let (db, lock) = match url {
        DatabaseUrl::Sqlite(file) if policy == SchemaPolicy::Refuse && !file.exists() => {
            bail!("there is no database {}", file.display())
        }
        DatabaseUrl::Sqlite(file) => {
            let lock = match company {
                Company::Alone => Some(lock(file)?),
                Company::Beside => None,
            };
            let db = Db::open_sqlite(file, SQLITE_READERS).await;
            (db.with_context(|| format!("cannot open {}", file.display()))?, lock)
        }
        DatabaseUrl::Postgres(text) => {
            let db = Db::open_postgres(text, POSTGRES_CONNECTIONS).await;
            (db.with_context(|| format!("cannot connect to {url}"))?, None)
        }
    };
    match (db.schema().await.context("cannot read the schema's version")?, policy) {
        (Schema::Current, _) => {}
        (Schema::Newer, _) => bail!("the database was made by a newer DirectPay; use that one"),
        (Schema::Old, SchemaPolicy::MigrateEmbedded) if db.is_shared() => {
            bail!("the database has an old schema or none: run `directpay migrate`, or start with --migrate")
        }
        (Schema::Old, SchemaPolicy::Refuse) => bail!("the database has an old schema or none: run `directpay migrate`"),
        (Schema::Old, SchemaPolicy::Migrate | SchemaPolicy::MigrateEmbedded) => {
            db.migrate().await.context("cannot bring the schema up to date")?;
        }
    }
    if company == Company::Alone && !db.is_shared() {
        // Nobody else works on this file: claims of a process that died are void.
        let mut tx = db.begin().await?;
        work::release_all(&mut tx).await?;
        webhooks::lanes::release_all(&mut tx).await?;
        tx.commit().await?;
    }
    Ok(Opened { db, _lock: lock })
}

impl Opened {
    /// The same database with a replica for lists.
    pub fn with_replica(self, url: &str) -> anyhow::Result<Opened> {
        let db = self.db.with_replica(url, REPLICA_CONNECTIONS).context("DIRECTPAY_REPLICA_URL")?;
        Ok(Opened { db, ..self })
    }
}

/// Keeps a second process away from a SQLite file. The operating system lets go of the lock when the process ends, however
/// it ends.
fn lock(file: &Path) -> anyhow::Result<File> {
    let mut name = file.as_os_str().to_owned();
    name.push("-lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&name);
    let lock = lock.with_context(|| format!("cannot open {}", Path::new(&name).display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(_) => bail!(
            "another `directpay serve` or `directpay worker` works on {}; for several processes use PostgreSQL",
            file.display()
        ),
    }
}

/// The parts of a running DirectPay that have to be ended in order.
pub struct Running {
    /// What handlers and workers share.
    pub app: App,
    writing: Writing,
    workers: Option<Workers>,
    follower: Follower,
    metrics: Option<Server>,
    opened: Opened,
}

/// How to run.
#[derive(Debug, Clone)]
pub struct Manner {
    /// How the simulator's delays are scaled.
    pub scale: DelayScale,
    /// Most payments in one transaction.
    pub batch_max: usize,
    /// How much each may ask for.
    pub limits: LimitArgs,
    /// Whose word is taken on where requests come from.
    pub trusted_proxies: TrustedProxies,
    /// Whether workers run in this process.
    pub workers: bool,
    /// Where metrics are served, if they are.
    pub metrics_listen: Option<SocketAddr>,
    /// Networks besides the public internet to which webhooks may be sent.
    pub webhook_allow: Allowed,
    /// How mail is sent.
    pub mail: MailPlace,
}

impl Running {
    /// Starts intake and workers on an open database.
    pub async fn start(opened: Opened, database: &Database, clock: Clock, manner: Manner) -> anyhow::Result<Running> {
        let (metrics, metrics_listener) = match manner.metrics_listen {
            None => (Metrics::off(), None),
            Some(listen) => (Metrics::on()?, Some(Server::bind(listen).await.context("DIRECTPAY_METRICS_LISTEN")?)),
        };
        let mut tx = opened.db.begin_read().await?;
        let has_sealed =
            bank_accounts::any(&mut tx).await? || webhooks::any(&mut tx).await? || second_factors::any(&mut tx).await?;
        clock.move_ahead(sandbox_clock::ahead_us(&mut tx).await?);
        drop(tx);
        let keys = secrets::load(&database.secrets, has_sealed)?.into_parts();
        let (bell, remembered) = (Bell::default(), Remembered::default());
        let for_workers = manner.workers.then(|| remembered.clone());
        let (intake, writing) = Intake::start(&opened.db, &bell, for_workers, manner.batch_max, &metrics);
        let bank = Simulator::new(opened.db.clone(), clock.clone(), manner.scale)?;
        let app = App::new(Parts {
            db: opened.db.clone(),
            clock,
            vault: keys.vault,
            tokens: Tokens::new(&keys.tokens)?,
            signer: Signer::new(&keys.checkpoints)?,
            passwords: Passwords::new()?,
            mail: Mail::new(manner.mail)?,
            intake,
            scale: manner.scale,
            batch_max: manner.batch_max,
            rate_limit: manner.limits.rate_limit,
            limits: Limits::new(&manner.limits, metrics.registry()),
            trusted_proxies: manner.trusted_proxies,
            remembered,
            bell,
            bank_bell: Bell::default(),
            calendar_bell: Bell::default(),
            listeners: Listeners::default(),
            bank_time: bank.time(),
            mode: bank.mode(),
            key_uses: KeyUses::default(),
            folds: Folds::default(),
            pulse: Pulse::default(),
            metrics,
            webhook_allow: manner.webhook_allow,
        });
        let workers = manner.workers.then(|| Workers::start(&app, bank));
        let follower = Follower::start(&app);
        let metrics = metrics_listener.map(|listener| Server::serve(listener, sampled::router(&app))).transpose()?;
        if let Some(metrics) = &metrics {
            tracing::info!(address = %metrics.address, "metrics are served");
        }
        Ok(Running { app, writing, workers, follower, metrics, opened })
    }

    /// Where metrics are served, if they are.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|metrics| metrics.address)
    }

    /// Ends everything in the order in which nothing accepted is lost: the workers finish their rounds and let go of their claims,
    /// the intake answers what it took, the database closes.
    pub async fn finish(self) {
        let db = self.opened.db.clone();
        let ending = async move {
            if let Some(workers) = self.workers {
                workers.finish().await;
            }
            self.follower.finish().await;
            if let Some(metrics) = self.metrics {
                metrics.finish().await;
            }
            // The intake ends when its last handle is gone.
            drop(self.app);
            self.writing.finish().await;
            db.close().await;
        };
        if tokio::time::timeout(WIND_UP, ending).await.is_err() {
            tracing::warn!("workers or intake did not end in time");
        }
    }
}

/// A server that listens.
pub struct Server {
    /// Where.
    pub address: SocketAddr,
    stop: Arc<Notify>,
    handle: JoinHandle<std::io::Result<()>>,
    /// Who listens to the feed, and who reads it for them.
    feed: Option<(Listeners, JoinHandle<()>)>,
    /// What is counted for the trail, and who writes it.
    trail: Option<(Folds, JoinHandle<()>)>,
}

impl Server {
    /// Listens and answers until it is stopped.
    pub async fn start(app: &App, listen: SocketAddr) -> anyhow::Result<Server> {
        let server = Server::serve(Server::bind(listen).await?, api::router(app.clone()))?;
        let feed = Some((app.listeners.clone(), app.listeners.serve(&app.db)));
        Ok(Server { feed, trail: Some((app.folds.clone(), app.folds.keep(&app.db, &app.metrics))), ..server })
    }

    async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))
    }

    fn serve(listener: TcpListener, router: Router) -> anyhow::Result<Server> {
        let address = listener.local_addr()?;
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        // Small answers go out at once.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection keeps its delay");
            }
        });
        let serve = axum::serve(listener, service).with_graceful_shutdown(async move { stopped.notified().await });
        let handle = tokio::spawn(serve.into_future());
        Ok(Server { address, stop, handle, feed: None, trail: None })
    }

    /// Stops accepting and lets open requests finish; what takes too long is cut off. Who listens to the feed would never
    /// finish, and is sent away.
    pub async fn finish(self) {
        if let Some((listeners, feed)) = self.feed {
            listeners.stop();
            if let Err(error) = feed.await {
                tracing::error!(%error, "reading for listeners ended badly");
            }
        }
        self.stop.notify_one();
        let abort = self.handle.abort_handle();
        if tokio::time::timeout(DRAIN, self.handle).await.is_err() {
            tracing::warn!("some connections did not end in time and were cut off");
            abort.abort();
        }
        if let Some((folds, keeping)) = self.trail {
            folds.stop();
            if let Err(error) = keeping.await {
                tracing::error!(%error, "writing the trail ended badly");
            }
        }
    }
}

/// Hears when the process is told to stop.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From here on neither SIGTERM nor Ctrl-C ends the process by itself: what was begun has to be ended in order.
    pub fn watch() -> anyhow::Result<StopSignals> {
        Ok(StopSignals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for either.
    pub async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
