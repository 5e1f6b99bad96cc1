//! Requests that make a fact about a lease's money: one key of one person, one fact, for ever.

use directpay_domain::id::UserId;
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::time::Instant;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;

/// A request as it is remembered.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// Who asks.
    pub by: UserId,
    /// Under which key.
    pub key: &'a IdempotencyKey,
    /// A hash of what is asked, and where.
    pub hash: &'a str,
    /// What it is going to make.
    pub makes: Uuid,
    /// Now.
    pub at: Instant,
}

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It was never made: it is now, if the transaction is kept.
    New,
    /// It was made before, and made this.
    Before(Uuid),
    /// The key belongs to another request.
    Other,
}

/// Notes a request, or says what is known of it. The primary key decides between two that come at the same time.
pub async fn ask(tx: &mut Tx, asked: Asked<'_>) -> Result<Known, StoreError> {
    let inserted = tx
        .execute(
            "INSERT INTO lease_requests (initiated_by, idempotency_key, request_hash, made_id, created_at)
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (initiated_by, idempotency_key) DO NOTHING",
            (asked.by.0, asked.key.as_str(), asked.hash, asked.makes, asked.at.micros()),
        )
        .await?;
    if inserted == 1 {
        return Ok(Known::New);
    }
    let (hash, made): (String, Uuid) = tx
        .fetch_one(
            "SELECT request_hash, made_id FROM lease_requests WHERE initiated_by = $1 AND idempotency_key = $2",
            (asked.by.0, asked.key.as_str()),
        )
        .await?;
    Ok(if hash == asked.hash { Known::Before(made) } else { Known::Other })
}
