//! Histories: append-only, in one table for all streams.

use directpay_domain::id::{LeaseId, PaymentId};
use directpay_domain::lease_event::LeaseEvent;
use directpay_domain::payment::Event;
use serde::Serialize;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::{Sql, sql};

#[derive(Serialize)]
pub(crate) struct EventRow {
    stream_id: Uuid,
    sequence: i64,
    stream: &'static str,
    event_type: &'static str,
    occurred_at: i64,
    body: String,
}

impl EventRow {
    pub(crate) fn of_payment(event: &Event) -> Result<EventRow, StoreError> {
        Ok(EventRow {
            stream_id: event.payment_id.0,
            sequence: event.sequence,
            stream: "PAYMENT",
            event_type: event.change.event_type().name(),
            occurred_at: event.occurred_at.micros(),
            body: serde_json::to_string(event)?,
        })
    }

    pub(crate) fn of_lease(event: &LeaseEvent) -> Result<EventRow, StoreError> {
        Ok(EventRow {
            stream_id: event.lease_id.0,
            sequence: event.sequence,
            stream: "LEASE",
            event_type: event.change.event_type().name(),
            occurred_at: event.occurred_at.micros(),
            body: serde_json::to_string(event)?,
        })
    }
}

/// Appends events, each as the next of its history, in one statement.
///
/// The primary key (stream, sequence) is the lock: if another writer took a sequence number first, the statement fails.
pub(crate) async fn append(
    tx: &mut Tx,
    rows: impl IntoIterator<Item = Result<EventRow, StoreError>>,
) -> Result<(), StoreError> {
    const APPEND: Sql = sql!(
        insert(events: stream_id uuid, sequence bigint, stream text, event_type text, occurred_at bigint, body text)
    );
    let rows = rows.into_iter().collect::<Result<Vec<_>, _>>()?;
    if !rows.is_empty() {
        tx.execute_each(APPEND, &rows, ()).await?;
    }
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
