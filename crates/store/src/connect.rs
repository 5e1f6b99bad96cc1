//! Opening a database.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::db::Db;

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
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long SQLite waits for `verify` or `admin`, which may write beside a server.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// 16,000 pages of 4 KiB: measured, the default of 1,000 costs a third of the write rate.
const WAL_AUTOCHECKPOINT_PAGES: &str = "16000";
/// 64 MiB of page cache for each connection at most (negative: KiB).
const CACHE_SIZE: &str = "-65536";
/// The log file is cut back to this after a checkpoint.
const JOURNAL_SIZE_LIMIT_BYTES: &str = "134217728";

impl Db {
    /// Opens or creates the SQLite database in `file`.
    pub async fn open_sqlite(file: &Path, readers: PoolSize) -> Result<Db, ConnectError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("cache_size", CACHE_SIZE)
            .pragma("temp_store", "MEMORY");
        let writing = options
            .clone()
            .create_if_missing(true)
            .pragma("wal_autocheckpoint", WAL_AUTOCHECKPOINT_PAGES)
            .pragma("journal_size_limit", JOURNAL_SIZE_LIMIT_BYTES);
        // The writer comes first: it makes the file and its log.
        let writer =
            SqlitePoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT).connect_with(writing).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(readers.0)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.read_only(true))
            .await?;
        Ok(Db::Sqlite { writer, readers })
    }

    /// Connects to the PostgreSQL database at `url`.
    pub async fn open_postgres(url: &str, connections: PoolSize) -> Result<Db, ConnectError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| ConnectError::Malformed)?
            .application_name("directpay")
            .options([("idle_in_transaction_session_timeout", "15s"), ("statement_timeout", "60s")]);
        let pool = PgPoolOptions::new()
            .max_connections(connections.0)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await?;
        Ok(Db::Postgres(pool))
    }
}
