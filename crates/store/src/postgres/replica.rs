//! A copy of the database for reads that may be stale.
//!
//! A replica that fails is left alone for a while, and the primary answers in its place.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::time::{Instant, timeout};

use crate::connect::PoolSize;

/// How long a read may wait for a connection, before the primary is asked instead.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one statement of a page may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a replica that failed is left alone. It is logged as often.
const REST: Duration = Duration::from_secs(60);

/// The connections to the replica.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(super) pool: PgPool,
    rests_until: Mutex<Option<Instant>>,
}

impl Replica {
    /// Connects when it is first read from: a service starts without its replica.
    pub(super) fn at(options: PgConnectOptions, size: PoolSize) -> Replica {
        let pool = PgPoolOptions::new().max_connections(size.0).acquire_timeout(ACQUIRE_TIMEOUT);
        Replica { pool: pool.connect_lazy_with(options), rests_until: Mutex::default() }
    }

    pub(super) fn rests(&self) -> bool {
        let rests_until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        rests_until.is_some_and(|end| Instant::now() < end)
    }

    /// Waits for `work`, and lets the replica rest if it fails.
    pub(super) async fn attend<T>(&self, work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
        let late = || Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the replica does not answer")));
        let done = timeout(ANSWER_TIMEOUT, work).await.unwrap_or_else(|_| late());
        if let Err(error) = &done {
            self.rest(error);
        }
        done
    }

    fn rest(&self, error: &sqlx::Error) {
        let mut rests_until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        if rests_until.is_none_or(|end| end <= Instant::now()) {
            tracing::warn!(%error, seconds = REST.as_secs(), "the replica fails; the primary answers in its place");
            *rests_until = Some(Instant::now() + REST);
        }
    }
}
