//! Mail on its way. All times are process time, in microseconds.
//!
//! A mail is written in the transaction of what causes it. Taking it moves its due time on, which is the claim: who dies while
//! sending is followed up when that time comes. So a mail is sent at least once, and under one id.

use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::sealed::SealedText;
use crate::sql::{Sql, sql};

/// A mail to send.
#[derive(Debug)]
pub struct NewMail<'a> {
    /// A fresh id.
    pub id: Uuid,
    /// To whom and what, sealed.
    pub letter: &'a SealedText,
    /// Now.
    pub now_us: i64,
    /// When nobody tries any more.
    pub expires_us: i64,
}

/// Remembers a mail; it is due at once.
pub async fn insert(tx: &mut Tx, new: NewMail<'_>) -> Result<(), StoreError> {
    let NewMail { id, letter, now_us, expires_us } = new;
    tx.execute(
        "INSERT INTO outgoing_mail (id, sealed_letter, key_id, created_at, expires_at, due_at, tries)
         VALUES ($1, $2, $3, $4, $5, $4, 0)",
        (id, &letter.sealed, &letter.key_id, now_us, expires_us),
    )
    .await?;
    Ok(())
}

/// Whether a mail is due that nobody is sending.
pub async fn is_due(tx: &mut Tx, now_us: i64) -> Result<bool, StoreError> {
    const DUE: &str = "SELECT EXISTS (SELECT 1 FROM outgoing_mail WHERE due_at <= $1)";
    let (is_due,): (bool,) = tx.fetch_one(DUE, (now_us,)).await?;
    Ok(is_due)
}

/// Since when the oldest mail waits that is not sent yet, if any does.
pub async fn waiting_since(tx: &mut Tx) -> Result<Option<i64>, StoreError> {
    // Ids are in the order of time.
    const OLDEST: &str = "SELECT created_at FROM outgoing_mail ORDER BY id LIMIT 1";
    let oldest: Option<(i64,)> = tx.fetch_optional(OLDEST, ()).await?;
    Ok(oldest.map(|(since,)| since))
}

/// A mail that was taken.
#[derive(Debug)]
pub struct Taken {
    /// Its id.
    pub id: Uuid,
    /// To whom and what, sealed.
    pub letter: SealedText,
    /// When it was written.
    pub created_us: i64,
    /// When nobody tries any more.
    pub expires_us: i64,
    /// How often it was taken, this time included.
    pub tries: i64,
}

#[derive(Deserialize, FromRow)]
struct MailRow {
    id: Uuid,
    sealed_letter: String,
    key_id: String,
    created_at: i64,
    expires_at: i64,
    tries: i64,
}

/// Takes the mail that is due for the longest; nobody else gets to see it before `until_us`.
pub async fn take(tx: &mut Tx, now_us: i64, until_us: i64) -> Result<Option<Taken>, StoreError> {
    const TAKE: Sql = sql!(
        "SELECT id, sealed_letter, key_id, created_at, expires_at, tries FROM outgoing_mail
         WHERE due_at <= $1 ORDER BY due_at LIMIT 1",
        skip_locked
    );
    let row: Option<MailRow> = tx.fetch_optional(TAKE, (now_us,)).await?;
    let Some(row) = row else { return Ok(None) };
    let tries = row.tries + 1;
    tx.execute("UPDATE outgoing_mail SET due_at = $2, tries = $3 WHERE id = $1", (row.id, until_us, tries)).await?;
    Ok(Some(Taken {
        id: row.id,
        letter: SealedText { sealed: row.sealed_letter, key_id: row.key_id },
        created_us: row.created_at,
        expires_us: row.expires_at,
        tries,
    }))
}

/// A mail was sent or given up, unless somebody else has taken it meanwhile.
pub async fn finish(tx: &mut Tx, taken: &Taken) -> Result<(), StoreError> {
    tx.execute("DELETE FROM outgoing_mail WHERE id = $1 AND tries = $2", (taken.id, taken.tries)).await?;
    Ok(())
}

/// A mail is tried again at `due_us`, unless somebody else has taken it meanwhile.
pub async fn put_off(tx: &mut Tx, taken: &Taken, due_us: i64) -> Result<(), StoreError> {
    const PUT_OFF: &str = "UPDATE outgoing_mail SET due_at = $3 WHERE id = $1 AND tries = $2";
    tx.execute(PUT_OFF, (taken.id, taken.tries, due_us)).await?;
    Ok(())
}
