//! The server that takes writes, when several are named.
//!
//! A pool of connections belongs to one server from one start of it to its next. When that server does not answer, or
//! answers that it is a standby, all servers are asked; the one that takes writes gets a new pool, and whatever still waits for
//! the old one is cut off. Of two that take writes the one on the newer timeline is it: the other is an old primary
//! that came back without being told of its successor.
//!
//! With one server there is nothing to choose: sqlx connects to it again by itself.

use std::cmp::Reverse;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, query_as};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::connect::{ACQUIRE_TIMEOUT, ConnectError, PoolSize};
use crate::error::Trouble;

/// How long a server may take to say who it is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Whatever waits for longer than this asks whether the primary is elsewhere by now.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// Between two attempts while no server takes writes.
const PAUSE: Duration = Duration::from_millis(100);

/// The servers, and the connections to the one that takes writes.
#[derive(Debug)]
pub(crate) struct Primary {
    servers: Vec<PgConnectOptions>,
    size: PoolSize,
    current: RwLock<Connections>,
    /// One asks the servers at a time; counts how often they were asked.
    asking: Mutex<()>,
    asked: AtomicU64,
}

/// The connections to one server. Clones are the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pub(super) pool: PgPool,
    /// Whose they are; None where only one server is named.
    server: Option<Server>,
    /// One of them failed.
    is_suspect: Arc<AtomicBool>,
}

/// A server that takes writes, from one start of it to its next.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    /// Its place in the list.
    position: usize,
    run: Run,
}

/// Each promotion begins a new timeline, which has a larger number; both in a form that compares as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    timeline: String,
    started: String,
}

impl Primary {
    /// Connects to the one of `servers` that takes writes.
    pub(super) async fn connect(servers: Vec<PgConnectOptions>, size: PoolSize) -> Result<Primary, ConnectError> {
        let current = match servers.as_slice() {
            [only] => Connections {
                pool: pool_options(size).connect_with(only.clone()).await?,
                server: None,
                is_suspect: Arc::default(),
            },
            several => {
                let server = first_found(several).await?;
                Connections::open(several, server, size)
            }
        };
        let (asking, asked) = (Mutex::default(), AtomicU64::default());
        Ok(Primary { servers, size, current: RwLock::new(current), asking, asked })
    }

    pub(super) fn current(&self) -> Connections {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs `begin` on the connections to the primary, and again where that has moved meanwhile.
    pub(super) async fn begin<T, B>(&self, begin: impl Fn(PgPool) -> B) -> sqlx::Result<(T, Connections)>
    where
        B: Future<Output = sqlx::Result<T>>,
    {
        let end = Instant::now() + ACQUIRE_TIMEOUT;
        loop {
            if self.current().is_suspect.load(Ordering::Relaxed) {
                self.look().await;
            }
            let connections = self.current();
            match self.attend(&connections, begin(connections.pool.clone())).await {
                Ok(begun) => return Ok((begun, connections)),
                Err(error) if self.has_choice() && is_lost(&error) && Instant::now() < end => sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for `work` on `connections`, but not for a server that is not the primary any more: a machine that is gone
    /// does not say so, and its connections would be waited for without end.
    pub(super) async fn attend<T>(
        &self,
        connections: &Connections,
        work: impl Future<Output = sqlx::Result<T>>,
    ) -> sqlx::Result<T> {
        if !self.has_choice() {
            return work.await;
        }
        let mut work = pin!(work);
        let done = loop {
            if let Ok(done) = timeout(LOOK_AFTER, &mut work).await {
                break done;
            }
            tokio::select! {
                biased;
                done = &mut work => break done,
                () = self.look() => {}
            }
            if self.current().server != connections.server {
                break Err(sqlx::Error::PoolClosed);
            }
        };
        if done.as_ref().is_err_and(is_lost) {
            connections.is_suspect.store(true, Ordering::Relaxed);
        }
        done
    }

    pub(super) async fn close(&self) {
        self.current().pool.close().await;
    }

    fn has_choice(&self) -> bool {
        1 < self.servers.len()
    }

    /// Asks who is the primary now, and moves there. Who waited while another asked, asks no more.
    async fn look(&self) {
        let asked = self.asked.load(Ordering::Acquire);
        let _alone = self.asking.lock().await;
        if self.asked.load(Ordering::Acquire) != asked {
            return;
        }
        let before = self.current();
        // Where nobody takes writes it stays as it is; whoever needs them asks again.
        if let Some(found) = find(&self.servers, before.server.as_ref()).await {
            before.is_suspect.store(false, Ordering::Relaxed);
            if before.server.as_ref() != Some(&found) {
                self.move_to(found);
                // In the background: it waits for what is cut off now.
                tokio::spawn(async move { before.pool.close().await });
            }
        }
        self.asked.fetch_add(1, Ordering::Release);
    }

    fn move_to(&self, server: Server) {
        if let Some(options) = self.servers.get(server.position) {
            tracing::warn!(host = options.get_host(), port = options.get_port(), "this is the primary now");
        }
        let connections = Connections::open(&self.servers, server, self.size);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = connections;
    }
}

impl Connections {
    /// A pool that has connected to nobody yet, and takes no connection to anybody but `server`.
    fn open(servers: &[PgConnectOptions], server: Server, size: PoolSize) -> Connections {
        let expected = Arc::new(server.run.clone());
        let pool = pool_options(size).after_connect(move |connection, _| {
            let expected = Arc::clone(&expected);
            Box::pin(async move {
                match run_of(connection).await? {
                    Some(run) if run == *expected => Ok(()),
                    Some(_) | None => Err(no_primary("this server is not the one that it was")),
                }
            })
        });
        let options = servers.get(server.position).cloned().unwrap_or_default();
        Connections { pool: pool.connect_lazy_with(options), server: Some(server), is_suspect: Arc::default() }
    }
}

fn pool_options(size: PoolSize) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(size.0).acquire_timeout(ACQUIRE_TIMEOUT)
}

/// Whether a failure may mean that the primary is elsewhere.
fn is_lost(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolClosed)
        || error.as_database_error().and_then(Trouble::of) == Some(Trouble::Gone)
}

fn no_primary(why: &'static str) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::NotConnected, why))
}

/// Waits for a server that takes writes, as long as sqlx waits for a single one.
async fn first_found(servers: &[PgConnectOptions]) -> sqlx::Result<Server> {
    let end = Instant::now() + ACQUIRE_TIMEOUT;
    loop {
        match find(servers, None).await {
            Some(found) => return Ok(found),
            None if Instant::now() < end => sleep(PAUSE).await,
            None => return Err(no_primary("none of the servers can be reached and takes writes")),
        }
    }
}

/// The server that takes writes. All are asked at the same time, and none has to answer.
///
/// A timeline older than that of the primary `before` is history; on the same one the same server is preferred.
async fn find(servers: &[PgConnectOptions], before: Option<&Server>) -> Option<Server> {
    let mut asking = JoinSet::new();
    for (position, options) in servers.iter().cloned().enumerate() {
        asking.spawn(async move {
            let run = timeout(ANSWER_TIMEOUT, ask(&options)).await.ok()?.ok()??;
            Some(Server { position, run })
        });
    }
    let mut found: Vec<Server> = Vec::new();
    while let Some(answer) = asking.join_next().await {
        found.extend(answer.ok().flatten());
    }
    found.retain(|server| before.is_none_or(|before| before.run.timeline <= server.run.timeline));
    found.into_iter().max_by_key(|server| {
        let is_same = before.is_some_and(|before| before.position == server.position);
        (server.run.timeline.clone(), is_same, Reverse(server.position))
    })
}

async fn ask(options: &PgConnectOptions) -> sqlx::Result<Option<Run>> {
    let mut connection: PgConnection = options.connect().await?;
    let run = run_of(&mut connection).await?;
    connection.close().await?;
    Ok(run)
}

/// Which run of which server this is; None if it does not take writes.
async fn run_of(connection: &mut PgConnection) -> sqlx::Result<Option<Run>> {
    // The name of a file of the write-ahead log begins with the timeline, in 8 hexadecimal digits.
    const WHO: &str = "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), pg_postmaster_start_time()::text
                       WHERE NOT pg_is_in_recovery() AND NOT current_setting('default_transaction_read_only')::boolean";
    let run: Option<(String, String)> = query_as(WHO).fetch_optional(connection).await?;
    Ok(run.map(|(timeline, started)| Run { timeline, started }))
}
