//! Connections and transactions on either engine.
//!
//! A store function takes the open [`Tx`] and plain values: it has no generics and does not know which engine it talks to.

use std::collections::HashSet;
use std::future::Future;
use std::hash::Hash;
use std::mem;
use std::sync::Arc;

use directpay_domain::payment::Change;
use directpay_domain::rail::Rail;
use serde::Serialize;
use sqlx::postgres::{PgArguments, PgListener};
use sqlx::{query_as_with, query_with};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::error::StoreError;
use crate::postgres::{PostgresTx, Servers};
use crate::sql::Sql;
use crate::sqlite::{SqliteFile, SqliteTx};
use crate::usage::{Connections, Noted, Usage};
use crate::values::{Binds, Row, after_rows};

/// A database and the connections to it.
#[derive(Debug, Clone)]
pub enum Db {
    /// The embedded engine.
    Sqlite(SqliteFile),
    /// Servers, shared with other processes.
    Postgres(Servers),
}

/// An open transaction. What is not committed when it is dropped is rolled back.
pub struct Tx {
    engine: Engine,
    /// A statement failed or was cut off: PostgreSQL would answer `commit` with Ok and keep nothing.
    failed: bool,
    usage: Arc<Usage>,
    noted: Noted,
}

enum Engine {
    Sqlite(SqliteTx),
    Postgres(PostgresTx),
}

impl Engine {
    fn into_tx(self, usage: &Arc<Usage>) -> Tx {
        Tx { engine: self, failed: false, usage: Arc::clone(usage), noted: Noted::default() }
    }
}

impl Db {
    /// Opens a transaction that may write. On SQLite only one is open at a time; others wait for it.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let _waits = self.usage().writes.wait();
        let engine = match self {
            Db::Sqlite(file) => Engine::Sqlite(file.begin().await?),
            Db::Postgres(servers) => Engine::Postgres(servers.begin().await?),
        };
        Ok(engine.into_tx(self.usage()))
    }

    /// Opens a transaction that only reads and sees one moment of the database, however many statements it runs.
    pub async fn begin_read(&self) -> Result<Tx, StoreError> {
        let _waits = self.usage().reads.wait();
        let engine = match self {
            Db::Sqlite(file) => Engine::Sqlite(file.begin_read().await?),
            Db::Postgres(servers) => Engine::Postgres(servers.begin_read().await?),
        };
        Ok(engine.into_tx(self.usage()))
    }

    /// The same for what may be a little old: on the replica if there is one that works.
    ///
    /// For pages that people look at. Whatever leads to a decision, and whatever was just written, is read with
    /// [`Db::begin_read`].
    pub async fn begin_stale_read(&self) -> Result<Tx, StoreError> {
        match self {
            Db::Sqlite(_) => self.begin_read().await,
            Db::Postgres(servers) => {
                let _waits = self.usage().reads.wait();
                Ok(Engine::Postgres(servers.begin_stale_read().await?).into_tx(self.usage()))
            }
        }
    }

    /// What this process has done with the database so far.
    pub fn usage(&self) -> &Arc<Usage> {
        match self {
            Db::Sqlite(file) => &file.usage,
            Db::Postgres(servers) => &servers.usage,
        }
    }

    /// The connections that are open now.
    pub fn connections(&self) -> Vec<Connections> {
        match self {
            Db::Sqlite(file) => file.connections(),
            Db::Postgres(servers) => servers.connections(),
        }
    }

    /// Starts work that may keep its thread busy: a batch on SQLite runs where it is called.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match self {
            Db::Sqlite(_) => {
                let runtime = Handle::current();
                tokio::task::spawn_blocking(move || runtime.block_on(work))
            }
            Db::Postgres(_) => tokio::spawn(work),
        }
    }

    /// Whether other processes can write to this database.
    pub fn is_shared(&self) -> bool {
        matches!(self, Db::Postgres(_))
    }

    /// Closes all connections after their statements have finished.
    pub async fn close(&self) {
        match self {
            Db::Sqlite(file) => file.close().await,
            Db::Postgres(servers) => servers.close().await,
        }
    }
}

/// The channel on which PostgreSQL carries [`Tx::announce_work`].
const WORK_CHANNEL: &str = "directpay_work";

/// Hears of work that other processes announce.
pub struct WorkListener(Option<PgListener>);

impl Db {
    /// Begins to listen for work that other processes announce.
    pub async fn listen_for_work(&self) -> Result<WorkListener, StoreError> {
        match self {
            Db::Sqlite(_) => Ok(WorkListener(None)),
            Db::Postgres(servers) => Ok(WorkListener(Some(servers.listen(WORK_CHANNEL).await?))),
        }
    }
}

impl WorkListener {
    /// Waits for the next announcement; for ever where there are no other processes.
    pub async fn heard(&mut self) -> Result<(), StoreError> {
        match &mut self.0 {
            None => std::future::pending().await,
            Some(listener) => {
                listener.recv().await?;
                Ok(())
            }
        }
    }
}

/// Every statement's text is logged under this name at level TRACE; values never are.
const STATEMENTS: &str = "directpay_store::statements";

/// Runs one expression against whichever engine the transaction belongs to, and remembers a failure.
macro_rules! on_engine {
    ($self:ident, $sql:ident, |$file:ident| $sqlite:expr, |$server:ident| $postgres:expr) => {{
        let text: Sql = $sql.into();
        // True while it runs: a future dropped half-way counts as failed.
        let failed = mem::replace(&mut $self.failed, true);
        let result = match &mut $self.engine {
            Engine::Sqlite($file) => {
                let $sql = text.sqlite;
                tracing::trace!(target: STATEMENTS, sql = $sql);
                $sqlite
            }
            Engine::Postgres(PostgresTx { tx, source }) => {
                let ($sql, $server) = (text.postgres, &mut **tx);
                tracing::trace!(target: STATEMENTS, sql = $sql);
                source.attend(async { $postgres }).await
            }
        };
        $self.failed = failed || result.is_err();
        result
    }};
}

impl Tx {
    /// Runs a statement and says how many rows it changed.
    pub async fn execute(&mut self, sql: impl Into<Sql>, binds: impl Binds) -> sqlx::Result<u64> {
        on_engine!(self, sql, |file| file.execute(sql, &binds), |server| {
            let done = query_with(sql, binds.postgres(PgArguments::default())?).execute(server).await;
            done.map(|done| done.rows_affected())
        })
    }

    /// All rows of a statement; the statement itself must limit them.
    pub async fn fetch_all<R: Row>(&mut self, sql: impl Into<Sql>, binds: impl Binds) -> sqlx::Result<Vec<R>> {
        on_engine!(self, sql, |file| file.fetch(sql, &binds, usize::MAX), |server| query_as_with(
            sql,
            binds.postgres(PgArguments::default())?
        )
        .fetch_all(server)
        .await)
    }

    /// The first row of a statement, if there is one.
    pub async fn fetch_optional<R: Row>(&mut self, sql: impl Into<Sql>, binds: impl Binds) -> sqlx::Result<Option<R>> {
        on_engine!(self, sql, |file| file.fetch(sql, &binds, 1).map(|mut rows| rows.pop()), |server| {
            query_as_with(sql, binds.postgres(PgArguments::default())?).fetch_optional(server).await
        })
    }

    /// The only row of a statement that has one for certain.
    pub async fn fetch_one<R: Row>(&mut self, sql: impl Into<Sql>, binds: impl Binds) -> sqlx::Result<R> {
        let row = self.fetch_optional(sql, binds).await?;
        self.failed |= row.is_none();
        row.ok_or(sqlx::Error::RowNotFound)
    }

    /// Runs a statement written with `each(…)` for all of `rows` and says how many rows it changed.
    ///
    /// SQLite runs it once for each of them, PostgreSQL once for all, and neither where there is none; the values of `binds`
    /// begin at `$2`.
    pub(crate) async fn execute_each<T: Serialize + Sync>(
        &mut self,
        sql: impl Into<Sql>,
        rows: &[T],
        binds: impl Binds,
    ) -> sqlx::Result<u64> {
        if rows.is_empty() {
            return Ok(0);
        }
        on_engine!(self, sql, |file| file.execute_each(sql, rows, &binds), |server| {
            let done = query_with(sql, after_rows(rows, binds)?).execute(server).await;
            done.map(|done| done.rows_affected())
        })
    }

    /// Runs a statement written with `each(…)` for all of `rows` and reads what it brings, in no particular order.
    pub(crate) async fn fetch_each<T: Serialize + Sync, R: Row>(
        &mut self,
        sql: impl Into<Sql>,
        rows: &[T],
        binds: impl Binds,
    ) -> sqlx::Result<Vec<R>> {
        on_engine!(self, sql, |file| file.fetch_each(sql, rows, &binds), |server| query_as_with(
            sql,
            after_rows(rows, binds)?
        )
        .fetch_all(server)
        .await)
    }

    /// Runs an insertion written with `insert(…)` and `returning(…)`, and says which rows it did not find there already.
    pub(crate) async fn insert_new<T: Serialize + Sync, K: Eq + Hash>(
        &mut self,
        sql: impl Into<Sql>,
        rows: &[T],
        key: impl Fn(&T) -> K,
    ) -> sqlx::Result<HashSet<K>>
    where
        (K,): Row,
    {
        on_engine!(self, sql, |file| file.insert_new(sql, rows, key), |server| {
            let found = query_as_with(sql, after_rows(rows, ())?).fetch_all(server).await;
            found.map(|keys| keys.into_iter().map(|(key,)| key).collect())
        })
    }

    /// Whether other processes can write to this database at the same time.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.engine, Engine::Postgres(_))
    }

    /// Tells the workers of other processes that there is work, when this transaction is committed.
    ///
    /// Processes that share a SQLite file do not exist; theirs are woken by the caller.
    pub(crate) async fn announce_work(&mut self) -> sqlx::Result<()> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(_) => {
                self.execute("SELECT pg_notify($1, '')", (WORK_CHANNEL,)).await?;
                Ok(())
            }
        }
    }

    /// Lets this transaction read whole tables, and take as long as that needs: for the audit and the journal.
    pub(crate) async fn for_the_audit(&mut self) -> sqlx::Result<()> {
        const LOCAL: [&str; 4] = [
            "SET LOCAL statement_timeout = 0",
            "SET LOCAL enable_seqscan = on",
            "SET LOCAL enable_hashjoin = on",
            "SET LOCAL enable_mergejoin = on",
        ];
        if let Engine::Postgres(postgres) = &mut self.engine {
            for setting in LOCAL {
                sqlx::query(setting).execute(postgres.connection()).await?;
            }
        }
        Ok(())
    }

    /// Lets nobody else write where sealed texts stand until this transaction ends; on SQLite nobody can in any case. Waits for
    /// whoever is writing, but no longer than others can be let wait; long enough that PostgreSQL ends a vacuum for it, which takes
    /// `deadlock_timeout`, a second.
    pub(crate) async fn hold_sealed_tables(&mut self) -> sqlx::Result<()> {
        const HOLD: [&str; 2] = [
            "SET LOCAL lock_timeout = '2s'",
            "LOCK TABLE bank_accounts, webhooks, second_factors, outgoing_mail IN SHARE MODE",
        ];
        if let Engine::Postgres(postgres) = &mut self.engine {
            for statement in HOLD {
                sqlx::query(statement).execute(postgres.connection()).await?;
            }
        }
        Ok(())
    }

    /// Counts an event of a payment, once it is committed.
    pub(crate) fn note(&mut self, change: &Change, rail: Rail) {
        self.noted.payment(change, rail);
    }

    /// Keeps what was written; refuses if any statement failed, because then not all of it is there.
    pub async fn commit(self) -> Result<(), StoreError> {
        if self.failed {
            let cause = "a statement of this transaction failed; it cannot be kept";
            return Err(sqlx::Error::Protocol(cause.into()).into());
        }
        match self.engine {
            Engine::Sqlite(tx) => tx.commit()?,
            Engine::Postgres(tx) => tx.commit().await?,
        }
        self.usage.add(&self.noted);
        Ok(())
    }
}
