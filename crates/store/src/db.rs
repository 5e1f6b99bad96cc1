//! Connections and transactions on either engine.
//!
//! A store function takes the open [`Tx`] and plain values: it has no generics and does not know which engine it talks to.

use std::future::Future;
use std::mem;

use sqlx::encode::Encode;
use sqlx::postgres::{PgArguments, PgListener, PgPool, PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{Arguments, FromRow, Transaction, Type, query_as_with, query_with};

use crate::error::StoreError;
use crate::sql::Sql;

/// A database and the connections to it.
#[derive(Debug, Clone)]
pub enum Db {
    /// The embedded engine: one connection writes, several read.
    Sqlite {
        /// One connection.
        writer: SqlitePool,
        /// Read-only connections.
        readers: SqlitePool,
    },
    /// A server, shared with other processes.
    Postgres(PgPool),
}

/// An open transaction. What is not committed when it is dropped is rolled back.
pub struct Tx {
    engine: Engine,
    /// A statement failed or was cut off: PostgreSQL would answer `commit` with Ok and keep nothing.
    failed: bool,
}

enum Engine {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Db {
    /// Opens a transaction that may write. On SQLite only one is open at a time; others wait for it.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let db = self.clone();
        unbroken(async move {
            Ok(match db {
                Db::Sqlite { writer, .. } => Engine::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
                Db::Postgres(pool) => Engine::Postgres(pool.begin().await?),
            })
        })
        .await
    }

    /// Opens a transaction that only reads and sees one moment of the database, however many statements it runs.
    pub async fn begin_read(&self) -> Result<Tx, StoreError> {
        const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let db = self.clone();
        unbroken(async move {
            Ok(match db {
                Db::Sqlite { readers, .. } => Engine::Sqlite(readers.begin().await?),
                Db::Postgres(pool) => Engine::Postgres(pool.begin_with(SNAPSHOT).await?),
            })
        })
        .await
    }

    /// Whether other processes can write to this database.
    pub fn is_shared(&self) -> bool {
        matches!(self, Db::Postgres(_))
    }

    /// Closes all connections after their statements have finished.
    pub async fn close(&self) {
        match self {
            Db::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Db::Postgres(pool) => pool.close().await,
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
            Db::Sqlite { .. } => Ok(WorkListener(None)),
            Db::Postgres(pool) => {
                let mut listener = PgListener::connect_with(pool).await?;
                listener.listen(WORK_CHANNEL).await?;
                Ok(WorkListener(Some(listener)))
            }
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

/// Finishes `begin` even when its caller is dropped; what nobody takes is rolled back.
///
/// In sqlx 0.9.0 a `begin` that is dropped half-way on PostgreSQL puts a connection with an open transaction back into the
/// pool, where the next statement is lost.
async fn unbroken(begin: impl Future<Output = sqlx::Result<Engine>> + Send + 'static) -> Result<Tx, StoreError> {
    let engine = tokio::spawn(begin).await.map_err(|_| sqlx::Error::WorkerCrashed)??;
    Ok(Tx { engine, failed: false })
}

/// Runs one expression against whichever engine the transaction belongs to, and remembers a failure.
macro_rules! on_engine {
    ($tx:ident, $sql:ident, $binds:ident, |$connection:ident| $query:expr) => {{
        let text: Sql = $sql.into();
        // True while it runs: a future dropped half-way counts as failed.
        let failed = mem::replace(&mut $tx.failed, true);
        let result = match &mut $tx.engine {
            Engine::Sqlite(tx) => {
                let ($sql, $binds, $connection) = (text.sqlite, $binds.sqlite()?, &mut **tx);
                $query
            }
            Engine::Postgres(tx) => {
                let ($sql, $binds, $connection) = (text.postgres, $binds.postgres()?, &mut **tx);
                $query
            }
        };
        $tx.failed = failed || result.is_err();
        result
    }};
}

impl Tx {
    /// Runs a statement and says how many rows it changed.
    pub async fn execute(&mut self, sql: impl Into<Sql>, binds: impl Binds) -> sqlx::Result<u64> {
        on_engine!(self, sql, binds, |connection| query_with(sql, binds)
            .execute(connection)
            .await
            .map(|done| done.rows_affected()))
    }

    /// All rows of a statement; the statement itself must limit them.
    pub async fn fetch_all<R: Row>(&mut self, sql: impl Into<Sql>, binds: impl Binds) -> sqlx::Result<Vec<R>> {
        on_engine!(self, sql, binds, |connection| query_as_with(sql, binds).fetch_all(connection).await)
    }

    /// The only row of a statement that has one for certain.
    pub async fn fetch_one<R: Row>(&mut self, sql: impl Into<Sql>, binds: impl Binds) -> sqlx::Result<R> {
        on_engine!(self, sql, binds, |connection| query_as_with(sql, binds).fetch_one(connection).await)
    }

    /// The first row of a statement, if there is one.
    pub async fn fetch_optional<R: Row>(&mut self, sql: impl Into<Sql>, binds: impl Binds) -> sqlx::Result<Option<R>> {
        on_engine!(self, sql, binds, |connection| query_as_with(sql, binds).fetch_optional(connection).await)
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

    /// Lets this transaction take as long as it needs: for the audit, which reads everything.
    pub(crate) async fn without_time_limit(&mut self) -> sqlx::Result<()> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(_) => {
                self.execute("SET LOCAL statement_timeout = 0", ()).await?;
                Ok(())
            }
        }
    }

    /// Keeps what was written; refuses if any statement failed, because then not all of it is there.
    pub async fn commit(self) -> Result<(), StoreError> {
        if self.failed {
            let cause = "a statement of this transaction failed; it cannot be kept";
            return Err(sqlx::Error::Protocol(cause.into()).into());
        }
        match self.engine {
            Engine::Sqlite(tx) => tx.commit().await?,
            Engine::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

/// A row type that both engines can produce; `#[derive(FromRow)]` is enough.
pub trait Row: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}
impl<R: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for R {}

/// A value that both engines can store.
pub trait Bind<'q>: Encode<'q, Sqlite> + Type<Sqlite> + Encode<'q, Postgres> + Type<Postgres> {}
impl<'q, T: Encode<'q, Sqlite> + Type<Sqlite> + Encode<'q, Postgres> + Type<Postgres>> Bind<'q> for T {}

/// The values for `$1`, `$2`, … as a tuple. A single value needs its comma: `(id,)`.
pub trait Binds {
    /// As SQLite wants them.
    fn sqlite(self) -> sqlx::Result<SqliteArguments>;
    /// As PostgreSQL wants them.
    fn postgres(self) -> sqlx::Result<PgArguments>;
}

impl Binds for () {
    fn sqlite(self) -> sqlx::Result<SqliteArguments> {
        Ok(SqliteArguments::default())
    }
    fn postgres(self) -> sqlx::Result<PgArguments> {
        Ok(PgArguments::default())
    }
}

macro_rules! tuple_binds {
    ($($value:ident)+) => {
        impl<'q, $($value: Bind<'q>),+> Binds for ($($value,)+) {
            #[expect(non_snake_case, reason = "type and value share the macro's name")]
            fn sqlite(self) -> sqlx::Result<SqliteArguments> {
                let ($($value,)+) = self;
                let mut arguments = SqliteArguments::default();
                $(arguments.add($value).map_err(sqlx::Error::Encode)?;)+
                Ok(arguments)
            }
            #[expect(non_snake_case, reason = "type and value share the macro's name")]
            fn postgres(self) -> sqlx::Result<PgArguments> {
                let ($($value,)+) = self;
                let mut arguments = PgArguments::default();
                $(arguments.add($value).map_err(sqlx::Error::Encode)?;)+
                Ok(arguments)
            }
        }
    };
}

tuple_binds!(A);
tuple_binds!(A B);
tuple_binds!(A B C);
tuple_binds!(A B C D);
tuple_binds!(A B C D E);
tuple_binds!(A B C D E F);
tuple_binds!(A B C D E F G);
tuple_binds!(A B C D E F G H);
tuple_binds!(A B C D E F G H I);
tuple_binds!(A B C D E F G H I J);
tuple_binds!(A B C D E F G H I J K);
tuple_binds!(A B C D E F G H I J K L);
tuple_binds!(A B C D E F G H I J K L M);
tuple_binds!(A B C D E F G H I J K L M N);
tuple_binds!(A B C D E F G H I J K L M N O);
