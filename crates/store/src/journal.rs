//! The whole ledger, page by page, for whoever takes it elsewhere.

use directpay_domain::id::UserId;
use directpay_domain::money::Currency;
use directpay_domain::time::Instant;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::{Db, Tx};
use crate::error::StoreError;

/// A posting and the event that caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalLine {
    /// Whose history: LEASE or PAYMENT.
    pub stream: String,
    /// Which lease or payment.
    pub stream_id: Uuid,
    /// Which of its events.
    pub sequence: i64,
    /// Which line of that event's entry.
    pub line: i64,
    /// What happened.
    pub event_type: String,
    /// When, in business time.
    pub occurred_at: Instant,
    /// Of the amount.
    pub currency: Currency,
    /// The account that is debited, by its stored name.
    pub debit: String,
    /// The account that is credited, by its stored name.
    pub credit: String,
    /// How much, in minor units, more than zero.
    pub minor: i64,
}

impl JournalLine {
    /// Its place in the journal, behind which the next page begins.
    pub fn place(&self) -> Place {
        Place { stream_id: self.stream_id, sequence: self.sequence, line: self.line }
    }
}

/// A place in the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    stream_id: Uuid,
    sequence: i64,
    line: i64,
}

#[derive(Deserialize, FromRow)]
struct JournalRow {
    stream: String,
    stream_id: Uuid,
    sequence: i64,
    line: i64,
    event_type: String,
    occurred_at: i64,
    currency: String,
    debit: String,
    credit: String,
    amount: i64,
}

impl JournalRow {
    fn into_line(self) -> Result<JournalLine, StoreError> {
        Ok(JournalLine {
            stream: self.stream,
            stream_id: self.stream_id,
            sequence: self.sequence,
            line: self.line,
            event_type: self.event_type,
            occurred_at: Instant::from_micros(self.occurred_at).map_err(StoreError::damaged("time"))?,
            currency: Currency::parse(&self.currency).map_err(StoreError::damaged("currency"))?,
            debit: self.debit,
            credit: self.credit,
            minor: self.amount,
        })
    }
}

/// Opens the journal as it is at one moment, for as long as reading all of it takes.
pub async fn open(db: &Db) -> Result<Tx, StoreError> {
    let mut tx = db.begin_read().await?;
    tx.for_the_audit().await?;
    Ok(tx)
}

/// Up to `limit` lines behind a place, of all landlords or of one, in the order of their places: history by history, the lines
/// of one entry side by side.
///
/// No index knows the order of time, and none is kept for this alone: every payment would pay for it.
pub async fn page(
    tx: &mut Tx,
    landlord: Option<UserId>,
    after: Place,
    limit: i64,
) -> Result<Vec<JournalLine>, StoreError> {
    let rows: Vec<JournalRow> = tx
        .fetch_all(
            "SELECT e.stream, o.stream_id, o.sequence, o.line, e.event_type, e.occurred_at, o.currency, o.debit, o.credit,
                    o.amount
             FROM postings o JOIN events e ON e.stream_id = o.stream_id AND e.sequence = o.sequence
             WHERE (o.stream_id, o.sequence, o.line) > ($1, $2, $3) AND (CAST($4 AS UUID) IS NULL OR o.landlord_id = $4)
             ORDER BY o.stream_id, o.sequence, o.line LIMIT $5",
            (after.stream_id, after.sequence, after.line, landlord.map(|id| id.0), limit),
        )
        .await?;
    rows.into_iter().map(JournalRow::into_line).collect()
}
