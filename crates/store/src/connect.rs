//! Opening a database.

use std::path::Path;
use std::time::Duration;

use crate::db::Db;
use crate::postgres::Servers;
use crate::sqlite::SqliteFile;

/// How many connections a process may hold.
#[derive(Debug, Clone, Copy)]
pub struct PoolSize(pub u32);

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address itself is wrong. Its text may hold a password and is not repeated.
    #[error(
        "the database address is malformed; it must be sqlite://<file> or postgres://<user>@<host>[,<host>…]/<database>"
    )]
    Malformed,
    /// Only PostgreSQL has replicas.
    #[error("a SQLite database has no replica")]
    NoReplica,
    /// The database did not answer.
    #[error("the database cannot be reached")]
    Unreachable(#[from] sqlx::Error),
}

/// How long a caller waits for a free connection before the service answers 503.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// What every connection to PostgreSQL is told.
///
/// All statements but those of the audit find a few rows by key, in tables that grow for ever. The planner knows neither
/// how many rows a batch has nor, in a young database, how large the tables are: left alone it reads whole tables into hash
/// joins and keeps that plan (measured: a seventh of the rate). It is told to go by the indexes.
pub(crate) const SESSION: [(&str, &str); 7] = [
    ("idle_in_transaction_session_timeout", "15s"),
    ("statement_timeout", "60s"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
];

impl Db {
    /// Opens or creates the SQLite database in `file`.
    pub async fn open_sqlite(file: &Path, readers: PoolSize) -> Result<Db, ConnectError> {
        Ok(Db::Sqlite(SqliteFile::open(file, readers)?))
    }

    /// Connects to the PostgreSQL database at `url`; where that names several hosts, to the one that takes writes.
    pub async fn open_postgres(url: &str, connections: PoolSize) -> Result<Db, ConnectError> {
        Ok(Db::Postgres(Servers::connect(url, connections).await?))
    }

    /// The same database with a replica at `url` for [`Db::begin_stale_read`]; it need not be in reach. SQLite has none.
    pub fn with_replica(self, url: &str, connections: PoolSize) -> Result<Db, ConnectError> {
        match self {
            Db::Sqlite(_) => Err(ConnectError::NoReplica),
            Db::Postgres(servers) => Ok(Db::Postgres(servers.with_replica(url, connections)?)),
        }
    }
}
