//! PostgreSQL on one server or on several: the primary, the standbys that may become it, and a replica to read from.

mod hosts;
mod primary;
mod replica;

use std::future::Future;
use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgListener, Postgres};
use sqlx::{PgConnection, Transaction};

use self::primary::{Connections, Primary};
use self::replica::Replica;
use crate::connect::{ConnectError, PoolSize};
use crate::usage::{self, Usage};

/// The servers of one database. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Servers {
    primary: Arc<Primary>,
    replica: Option<Arc<Replica>>,
    pub(crate) usage: Arc<Usage>,
}

/// An open transaction on one of the servers.
pub(crate) struct PostgresTx {
    pub(crate) tx: Transaction<'static, Postgres>,
    pub(crate) source: Source,
}

/// Where a connection came from; told when it fails.
pub(crate) enum Source {
    /// From the primary, while these are the connections to it.
    Primary(Arc<Primary>, Connections),
    /// From the replica.
    Replica(Arc<Replica>),
}

/// A transaction that only reads and sees one moment of the database.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl Servers {
    pub(crate) async fn connect(url: &str, size: PoolSize) -> Result<Servers, ConnectError> {
        let primary = Primary::connect(hosts::parse(url)?, size).await?;
        Ok(Servers { primary: Arc::new(primary), replica: None, usage: Arc::default() })
    }

    /// The same servers with a replica.
    pub(crate) fn with_replica(self, url: &str, size: PoolSize) -> Result<Servers, ConnectError> {
        let [replica] = <[_; 1]>::try_from(hosts::parse(url)?).map_err(|_| ConnectError::Malformed)?;
        Ok(Servers { replica: Some(Arc::new(Replica::at(replica, size))), ..self })
    }

    pub(crate) async fn begin(&self) -> sqlx::Result<PostgresTx> {
        self.begin_with("BEGIN").await
    }

    pub(crate) async fn begin_read(&self) -> sqlx::Result<PostgresTx> {
        self.begin_with(SNAPSHOT).await
    }

    async fn begin_with(&self, statement: &'static str) -> sqlx::Result<PostgresTx> {
        let primary = Arc::clone(&self.primary);
        let begun = unbroken(async move {
            let begun = primary.begin(|pool| async move { pool.begin_with(statement).await }).await;
            begun.map(|(tx, connections)| PostgresTx { tx, source: Source::Primary(primary, connections) })
        });
        begun.await
    }

    /// Begins on the replica if there is one and it works, else on the primary.
    pub(crate) async fn begin_stale_read(&self) -> sqlx::Result<PostgresTx> {
        if let Some(replica) = self.replica.as_ref().filter(|replica| !replica.rests()) {
            let (pool, replica) = (replica.pool.clone(), Arc::clone(replica));
            let begun = unbroken(async move {
                let tx = replica.attend(pool.begin_with(SNAPSHOT)).await?;
                Ok(PostgresTx { tx, source: Source::Replica(replica) })
            });
            if let Ok(begun) = begun.await {
                return Ok(begun);
            }
        }
        self.begin_read().await
    }

    /// A connection to the primary, outside of a transaction.
    pub(crate) async fn acquire(&self) -> sqlx::Result<PoolConnection<Postgres>> {
        let acquired = self.primary.begin(|pool| async move { pool.acquire().await }).await;
        acquired.map(|(connection, _)| connection)
    }

    /// Listens on the primary. It ends with an error when the primary is another one.
    pub(crate) async fn listen(&self, channel: &str) -> sqlx::Result<PgListener> {
        let listen = |pool| async move {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(channel).await?;
            Ok(listener)
        };
        let (listener, _) = self.primary.begin(listen).await?;
        Ok(listener)
    }

    pub(crate) fn connections(&self) -> Vec<usage::Connections> {
        let primary = usage::Connections::of_pool("primary", &self.primary.current().pool);
        let replica = self.replica.iter().map(|replica| usage::Connections::of_pool("replica", &replica.pool));
        [primary].into_iter().chain(replica).collect()
    }

    pub(crate) async fn close(&self) {
        self.primary.close().await;
        if let Some(replica) = &self.replica {
            replica.pool.close().await;
        }
    }
}

impl PostgresTx {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    pub(crate) async fn commit(self) -> sqlx::Result<()> {
        self.source.attend(self.tx.commit()).await
    }
}

impl Source {
    /// Waits for a statement as long as there is hope for it.
    pub(crate) async fn attend<T>(&self, statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        match self {
            Source::Primary(primary, connections) => primary.attend(connections, statement).await,
            Source::Replica(replica) => replica.attend(statement).await,
        }
    }
}

/// Finishes `begin` even when its caller is dropped; what nobody takes is rolled back.
///
/// In sqlx 0.9.0 a `begin` that is dropped half-way on PostgreSQL puts a connection with an open transaction back into the
/// pool, where the next statement is lost. What is dropped in here is on a pool that is closed, or fails its test there.
async fn unbroken(begin: impl Future<Output = sqlx::Result<PostgresTx>> + Send + 'static) -> sqlx::Result<PostgresTx> {
    tokio::spawn(begin).await.map_err(|_| sqlx::Error::WorkerCrashed)?
}
