//! The embedded engine: a file, one connection that writes, several that read.
//!
//! Statements run on the caller's thread, without a hop to another: a thread's wake-up costs as much as several statements,
//! and a batch that hands each row across costs more than the work on the row (measured: four times the rate). What keeps a
//! thread busy for longer belongs into [`Db::spawn`](crate::Db::spawn); the flush of a commit gives the thread free for others.

mod bind;
mod checkpoint;
mod error;
mod row;

use std::collections::HashSet;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{CachedStatement, Connection, OpenFlags, Statement};
use serde::{Serialize, de::DeserializeOwned};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::connect::{ACQUIRE_TIMEOUT, PoolSize};
use crate::usage::{Connections, Usage};
use crate::values::Binds;
use bind::RowBinder;
use checkpoint::Checkpoints;
pub(crate) use error::failure;
use row::Columns;

/// How long SQLite waits for `verify` or `admin`, which may write beside a server.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// 64 MiB of page cache for the writer at most (negative: KiB), and 16 MiB for each reader.
const WRITER_CACHE: i64 = -65_536;
const READER_CACHE: i64 = -16_384;
/// Every statement of the program stays prepared; there are fewer.
const STATEMENTS_MAX: usize = 256;
/// The log file is cut back to this after a checkpoint.
const JOURNAL_SIZE_LIMIT_BYTES: i64 = 134_217_728;

/// An open file. Clones are the same one.
#[derive(Debug, Clone)]
pub struct SqliteFile {
    /// Gone when the file is closed.
    writer: Arc<tokio::sync::Mutex<Option<Connection>>>,
    readers: Arc<Readers>,
    checkpoints: Arc<Checkpoints>,
    pub(crate) usage: Arc<Usage>,
}

/// Connections that read, and as many permits.
#[derive(Debug)]
struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    count: u32,
}

impl SqliteFile {
    /// Opens or creates `file`.
    pub(crate) fn open(file: &Path, readers: PoolSize) -> sqlx::Result<SqliteFile> {
        // The writer comes first: it makes the file and its log.
        let writer = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE, WRITER_CACHE)?;
        let checkpointer = connect(file, OpenFlags::SQLITE_OPEN_READ_WRITE, READER_CACHE)?;
        let idle: sqlx::Result<Vec<_>> =
            (0..readers.0).map(|_| connect(file, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_CACHE)).collect();
        let permits = Arc::new(Semaphore::new(usize::try_from(readers.0).unwrap_or(1)));
        let writer = Arc::new(tokio::sync::Mutex::new(Some(writer)));
        let checkpoints = Checkpoints::start(checkpointer, Arc::downgrade(&writer));
        Ok(SqliteFile {
            writer,
            readers: Arc::new(Readers { idle: Mutex::new(idle?), permits, count: readers.0 }),
            checkpoints: Arc::new(checkpoints),
            usage: Arc::default(),
        })
    }

    pub(crate) fn connections(&self) -> Vec<Connections> {
        let writes = self.writer.try_lock().is_err();
        let idle = u32::try_from(self.readers.permits.available_permits()).unwrap_or(u32::MAX);
        let in_use = self.readers.count.saturating_sub(idle);
        vec![
            Connections { pool: "writer", in_use: u32::from(writes), idle: u32::from(!writes) },
            Connections { pool: "readers", in_use, idle },
        ]
    }

    /// Waits for the writing connection and begins.
    pub(crate) async fn begin(&self) -> sqlx::Result<SqliteTx> {
        let waiting = Arc::clone(&self.writer).lock_owned();
        let writer = tokio::time::timeout(ACQUIRE_TIMEOUT, waiting).await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let checkpoints = Arc::clone(&self.checkpoints);
        SqliteTx::begin(Held::Writer(writer, checkpoints), "BEGIN IMMEDIATE")
    }

    /// Waits for a reading connection and begins.
    pub(crate) async fn begin_read(&self) -> sqlx::Result<SqliteTx> {
        let waiting = Arc::clone(&self.readers.permits).acquire_owned();
        let permit = tokio::time::timeout(ACQUIRE_TIMEOUT, waiting).await.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
        let connection = self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        SqliteTx::begin(Held::Reader { connection, readers: Arc::clone(&self.readers), _permit: permit }, "BEGIN")
    }

    /// Closes every connection after its transaction; the last one folds the log into the file.
    pub(crate) async fn close(&self) {
        aside(|| self.checkpoints.finish());
        let all = self.readers.permits.acquire_many(self.readers.count).await;
        self.readers.permits.close();
        self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        drop(all);
        *self.writer.lock().await = None;
    }
}

fn connect(file: &Path, access: OpenFlags, cache: i64) -> sqlx::Result<Connection> {
    let path = PathBuf::from(file);
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failure)?;
    let configure = || {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cache_size", cache)?;
        if access.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            // Done beside the writer, see `checkpoint`.
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            connection.pragma_update(None, "journal_size_limit", JOURNAL_SIZE_LIMIT_BYTES)?;
        }
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(())
    };
    configure().map_err(failure)?;
    Ok(connection)
}

/// A connection that one transaction has to itself.
enum Held {
    Writer(OwnedMutexGuard<Option<Connection>>, Arc<Checkpoints>),
    Reader { connection: Option<Connection>, readers: Arc<Readers>, _permit: OwnedSemaphorePermit },
}

impl Held {
    fn connection(&self) -> sqlx::Result<&Connection> {
        let connection = match self {
            Held::Writer(guard, _) => guard.as_ref(),
            Held::Reader { connection, .. } => connection.as_ref(),
        };
        connection.ok_or(sqlx::Error::PoolClosed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Held::Reader { connection, readers, .. } = self {
            readers.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(connection.take());
        }
    }
}

/// An open transaction; dropped without `commit` it is rolled back.
pub(crate) struct SqliteTx {
    held: Held,
    is_open: bool,
}

impl SqliteTx {
    fn begin(held: Held, begin: &'static str) -> sqlx::Result<SqliteTx> {
        held.connection()?.prepare_cached(begin).and_then(|mut begin| begin.execute(())).map_err(failure)?;
        Ok(SqliteTx { held, is_open: true })
    }

    pub(crate) fn commit(mut self) -> sqlx::Result<()> {
        let connection = self.held.connection()?;
        let commit = || connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute(()));
        aside(commit).map_err(failure)?;
        self.is_open = false;
        if let Held::Writer(_, checkpoints) = &self.held {
            checkpoints.committed();
        }
        Ok(())
    }

    /// Runs a statement and says how many rows it changed.
    pub(crate) fn execute(&mut self, sql: &str, binds: &impl Binds) -> sqlx::Result<u64> {
        self.statement(sql, binds, 0, |statement| {
            let mut changed = 0;
            run(statement, &mut changed)?;
            Ok(changed)
        })
    }

    /// Runs the statements of a migration.
    pub(crate) fn execute_script(&mut self, sql: &str) -> sqlx::Result<()> {
        self.held.connection()?.execute_batch(sql).map_err(failure)
    }

    /// Runs a statement and reads at most `limit` of its rows.
    pub(crate) fn fetch<R: DeserializeOwned>(
        &mut self,
        sql: &str,
        binds: &impl Binds,
        limit: usize,
    ) -> sqlx::Result<Vec<R>> {
        self.statement(sql, binds, 0, |statement| {
            let mut found = Vec::new();
            row::read(statement, &mut Columns::default(), limit, &mut found)?;
            Ok(found)
        })
    }

    /// Runs a statement once for each of `rows` and says how many rows all of that changed.
    pub(crate) fn execute_each<T: Serialize>(
        &mut self,
        sql: &str,
        rows: &[T],
        binds: &impl Binds,
    ) -> sqlx::Result<u64> {
        self.statement(sql, binds, 1, |statement| {
            let (mut binder, mut changed) = (RowBinder::default(), 0);
            for row in rows {
                binder.bind(statement, row)?;
                run(statement, &mut changed)?;
            }
            Ok(changed)
        })
    }

    /// Runs a statement once for each of `rows` and reads the rows of all of that.
    pub(crate) fn fetch_each<T: Serialize, R: DeserializeOwned>(
        &mut self,
        sql: &str,
        rows: &[T],
        binds: &impl Binds,
    ) -> sqlx::Result<Vec<R>> {
        self.statement(sql, binds, 1, |statement| {
            let (mut binder, mut columns) = (RowBinder::default(), Columns::default());
            let mut found = Vec::with_capacity(rows.len());
            for row in rows {
                binder.bind(statement, row)?;
                row::read(statement, &mut columns, usize::MAX, &mut found)?;
            }
            Ok(found)
        })
    }

    /// Runs an insertion once for each of `rows` and gives the keys of those that it added.
    pub(crate) fn insert_new<T: Serialize, K: Eq + Hash>(
        &mut self,
        sql: &str,
        rows: &[T],
        key: impl Fn(&T) -> K,
    ) -> sqlx::Result<HashSet<K>> {
        self.statement(sql, &(), 0, |statement| {
            let (mut binder, mut added) = (RowBinder::default(), HashSet::with_capacity(rows.len()));
            for row in rows {
                binder.bind(statement, row)?;
                let mut changed = 0;
                run(statement, &mut changed)?;
                added.extend((0 < changed).then(|| key(row)));
            }
            Ok(added)
        })
    }

    fn statement<T>(
        &mut self,
        sql: &str,
        binds: &impl Binds,
        first: usize,
        work: impl FnOnce(&mut Statement<'_>) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let mut statement: CachedStatement<'_> = self.held.connection()?.prepare_cached(sql).map_err(failure)?;
        bind::values(&mut statement, binds, first)?;
        work(&mut statement)
    }
}

/// Runs a statement to its end, whether it brings rows or not.
fn run(statement: &mut Statement<'_>, changed: &mut u64) -> sqlx::Result<()> {
    if 0 < statement.column_count() {
        let mut rows = statement.raw_query();
        while rows.next().map_err(failure)?.is_some() {
            *changed += 1;
        }
    } else {
        *changed += u64::try_from(statement.raw_execute().map_err(failure)?).unwrap_or(0);
    }
    Ok(())
}

/// Runs what waits for the disk and lets the runtime use another thread meanwhile, where it has others.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl Drop for SqliteTx {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        if let Ok(connection) = self.held.connection() {
            // SQLite may have rolled back by itself; what cannot be rolled back is gone with the connection.
            let _done = connection.prepare_cached("ROLLBACK").and_then(|mut rollback| rollback.execute(()));
        }
    }
}
