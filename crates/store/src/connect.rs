//! Opening a database.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::db::Db;
use crate::sqlite::SqliteFile;

/// How many connections a process may hold.
#[derive(Debug, Clone, Copy)]
pub struct PoolSize(pub u32);

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address itself is wrong. Its text may hold a password and is not repeated.
    #[error("the database address is malformed; it must be sqlite://<file> or postgres://<user>@<host>/<database>")]
    Malformed,
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
const SESSION: [(&str, &str); 7] = [
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

    /// Connects to the PostgreSQL database at `url`.
    pub async fn open_postgres(url: &str, connections: PoolSize) -> Result<Db, ConnectError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| ConnectError::Malformed)?
            .application_name("directpay")
            .options(SESSION);
        let pool = PgPoolOptions::new()
            .max_connections(connections.0)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await?;
        Ok(Db::Postgres(pool))
    }
}
