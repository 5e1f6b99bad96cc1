//! Postings, written with the event that caused them and never again.

use directpay_domain::id::UserId;
use directpay_domain::ledger::Posting;
use serde::Serialize;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::{Sql, sql};

/// One line of the journal entry that an event caused.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) stream_id: Uuid,
    pub(crate) sequence: i64,
    pub(crate) line: i64,
    pub(crate) landlord_id: Uuid,
    pub(crate) currency: &'static str,
    pub(crate) debit: String,
    pub(crate) credit: String,
    pub(crate) amount: i64,
}

impl Line {
    /// The lines of one entry: `postings` as caused by event `sequence` of the stream.
    pub(crate) fn entry(stream_id: Uuid, sequence: i64, landlord: UserId, postings: &[Posting]) -> Vec<Line> {
        (1..)
            .zip(postings)
            .map(|(line, posting)| Line {
                stream_id,
                sequence,
                line,
                landlord_id: landlord.0,
                currency: posting.amount.currency().code(),
                debit: posting.debit.to_string(),
                credit: posting.credit.to_string(),
                amount: posting.amount.minor(),
            })
            .collect()
    }
}

/// Writes the lines of a batch of entries.
pub(crate) async fn post(tx: &mut Tx, lines: &[Line]) -> Result<(), StoreError> {
    const POST: Sql = sql!(
        insert(postings: stream_id uuid, sequence bigint, line bigint, landlord_id uuid, currency text, debit text,
               credit text, amount bigint)
    );
    if !lines.is_empty() {
        tx.execute_each(POST, lines, ()).await?;
    }
    Ok(())
}
