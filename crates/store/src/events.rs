//! Histories: append-only, in one table for all streams.

use directpay_domain::chain::Link;
use directpay_domain::digest::Digest;
use directpay_domain::id::{LeaseId, PaymentId};
use directpay_domain::lease_event::LeaseEvent;
use directpay_domain::payment::Event;
use directpay_domain::time::Instant;
use serde::Serialize;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::hashes::Hash;
use crate::sql::{Sql, sql};

#[derive(Serialize)]
pub(crate) struct EventRow {
    stream_id: Uuid,
    sequence: i64,
    stream: &'static str,
    event_type: &'static str,
    occurred_at: i64,
    body: String,
    hash: Hash,
}

impl EventRow {
    /// An event behind the one with the hash `head`, which its own takes the place of.
    pub(crate) fn of_payment(event: &Event, head: &mut Digest) -> Result<EventRow, StoreError> {
        let name = event.change.event_type().name();
        let body = serde_json::to_string(event)?;
        Ok(EventRow::new(event.payment_id.0, event.sequence, "PAYMENT", name, event.occurred_at, body, head))
    }

    /// The same for an event of a lease.
    pub(crate) fn of_lease(event: &LeaseEvent, head: &mut Digest) -> Result<EventRow, StoreError> {
        let name = event.change.event_type().name();
        let body = serde_json::to_string(event)?;
        Ok(EventRow::new(event.lease_id.0, event.sequence, "LEASE", name, event.occurred_at, body, head))
    }

    /// Whose history it is in.
    pub(crate) fn stream_id(&self) -> Uuid {
        self.stream_id
    }

    fn new(
        stream_id: Uuid,
        sequence: i64,
        stream: &'static str,
        event_type: &'static str,
        occurred_at: Instant,
        body: String,
        head: &mut Digest,
    ) -> EventRow {
        let occurred_at = occurred_at.micros();
        *head = Link { stream_id, sequence, stream, event_type, occurred_at, body: &body }.hash(*head);
        EventRow { stream_id, sequence, stream, event_type, occurred_at, body, hash: Hash::of(*head) }
    }
}

/// Appends events, each as the next of its history, in one statement.
///
/// The primary key (stream, sequence) is the lock: if another writer took a sequence number first, the statement fails.
pub(crate) async fn append(tx: &mut Tx, rows: &[EventRow]) -> Result<(), StoreError> {
    const APPEND: Sql = sql!(
        insert(events: stream_id uuid, sequence bigint, stream text, event_type text, occurred_at bigint, body text,
               hash bytea)
    );
    tx.execute_each(APPEND, rows, ()).await?;
    Ok(())
}

/// The whole history of a payment, oldest first. Its length is bounded by the retries that the rules allow.
pub async fn history(tx: &mut Tx, payment: PaymentId) -> Result<Vec<Event>, StoreError> {
    let bodies: Vec<(String,)> =
        tx.fetch_all("SELECT body FROM events WHERE stream_id = $1 ORDER BY sequence", (payment.0,)).await?;
    bodies.iter().map(|(body,)| Ok(serde_json::from_str(body)?)).collect()
}

/// Up to `limit` events of a lease after the one with number `after`, oldest first.
pub async fn lease_history(tx: &mut Tx, lease: LeaseId, after: i64, limit: i64) -> Result<Vec<LeaseEvent>, StoreError> {
    let bodies: Vec<(String,)> = tx
        .fetch_all(
            "SELECT body FROM events WHERE stream_id = $1 AND $2 < sequence ORDER BY sequence LIMIT $3",
            (lease.0, after, limit),
        )
        .await?;
    bodies.iter().map(|(body,)| Ok(serde_json::from_str(body)?)).collect()
}
