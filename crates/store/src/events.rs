//! Histories: append-only, in one table for all streams.

use directpay_domain::id::PaymentId;
use directpay_domain::payment::Event;
use serde::Serialize;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::{Sql, sql};

/// The stream to which the events of payments belong.
pub(crate) const PAYMENT_STREAM: &str = "PAYMENT";

#[derive(Serialize)]
struct EventRow {
    stream_id: Uuid,
    sequence: i64,
    stream: &'static str,
    event_type: &'static str,
    occurred_at: i64,
    body: String,
}

/// Appends `events`, each as the next of its payment's history, in one statement.
///
/// The primary key (stream, sequence) is the lock: if another writer took a sequence number first, the statement fails.
pub(crate) async fn append<'e>(tx: &mut Tx, events: impl IntoIterator<Item = &'e Event>) -> Result<(), StoreError> {
    const APPEND: Sql = sql!(
        insert(events: stream_id uuid, sequence bigint, stream text, event_type text, occurred_at bigint, body text)
    );
    let rows = events.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
    tx.execute_each(APPEND, &rows, ()).await?;
    Ok(())
}

fn row(event: &Event) -> Result<EventRow, StoreError> {
    Ok(EventRow {
        stream_id: event.payment_id.0,
        sequence: event.sequence,
        stream: PAYMENT_STREAM,
        event_type: event.change.event_type().name(),
        occurred_at: event.occurred_at.micros(),
        body: serde_json::to_string(event)?,
    })
}

/// The whole history of a payment, oldest first. Its length is bounded by the retries that the rules allow.
pub async fn history(tx: &mut Tx, payment: PaymentId) -> Result<Vec<Event>, StoreError> {
    let bodies: Vec<(String,)> =
        tx.fetch_all("SELECT body FROM events WHERE stream_id = $1 ORDER BY sequence", (payment.0,)).await?;
    bodies.iter().map(|(body,)| Ok(serde_json::from_str(body)?)).collect()
}
