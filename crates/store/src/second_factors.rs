//! Second factors: a secret for one-time codes, and recovery codes. All times are process time, in microseconds.

use directpay_domain::id::UserId;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::db::Tx;
use crate::error::StoreError;
use crate::sealed::SealedText;
use crate::sql::{Sql, sql};

/// A person's second factor.
#[derive(Debug, Clone)]
pub struct SecondFactor {
    /// What codes are made from, sealed.
    pub secret: SealedText,
    /// Whether codes are asked for; before that it is being set up.
    pub is_on: bool,
    /// The time step of the last code that was accepted.
    pub last_step: i64,
}

#[derive(Deserialize, FromRow)]
struct FactorRow {
    sealed_secret: String,
    key_id: String,
    confirmed_at: Option<i64>,
    last_step: i64,
}

/// Whether there is any: then the secrets file must not be made anew.
pub async fn any(tx: &mut Tx) -> Result<bool, StoreError> {
    let (any,): (bool,) = tx.fetch_one("SELECT EXISTS (SELECT 1 FROM second_factors)", ()).await?;
    Ok(any)
}

/// Whether codes are asked for.
pub async fn is_on(tx: &mut Tx, user_id: UserId) -> Result<bool, StoreError> {
    const ON: &str = "SELECT EXISTS (SELECT 1 FROM second_factors WHERE user_id = $1 AND confirmed_at IS NOT NULL)";
    let (is_on,): (bool,) = tx.fetch_one(ON, (user_id.0,)).await?;
    Ok(is_on)
}

/// The second factor of a person; its row is held until the transaction ends.
pub async fn hold(tx: &mut Tx, user_id: UserId) -> Result<Option<SecondFactor>, StoreError> {
    const HOLD: Sql = sql!(
        "SELECT sealed_secret, key_id, confirmed_at, last_step FROM second_factors WHERE user_id = $1",
        for_update
    );
    let row: Option<FactorRow> = tx.fetch_optional(HOLD, (user_id.0,)).await?;
    Ok(row.map(|row| SecondFactor {
        secret: SealedText { sealed: row.sealed_secret, key_id: row.key_id },
        is_on: row.confirmed_at.is_some(),
        last_step: row.last_step,
    }))
}

/// Begins to set one up. One that was begun before gives way; says whether there was none that is on.
pub async fn begin(tx: &mut Tx, user_id: UserId, secret: &SealedText) -> Result<bool, StoreError> {
    let begun = tx
        .execute(
            "INSERT INTO second_factors (user_id, sealed_secret, key_id, last_step) VALUES ($1, $2, $3, 0)
             ON CONFLICT (user_id) DO UPDATE
             SET sealed_secret = excluded.sealed_secret, key_id = excluded.key_id, last_step = 0
             WHERE second_factors.confirmed_at IS NULL",
            (user_id.0, &secret.sealed, &secret.key_id),
        )
        .await?;
    Ok(0 < begun)
}

/// From now on codes are asked for.
pub async fn confirm(tx: &mut Tx, user_id: UserId, now_us: i64) -> Result<(), StoreError> {
    tx.execute("UPDATE second_factors SET confirmed_at = $2 WHERE user_id = $1", (user_id.0, now_us)).await?;
    Ok(())
}

/// The code of a time step was accepted. Says whether it is later than all before it.
pub async fn use_step(tx: &mut Tx, user_id: UserId, step: i64) -> Result<bool, StoreError> {
    const USE: &str = "UPDATE second_factors SET last_step = $2 WHERE user_id = $1 AND last_step < $2";
    Ok(0 < tx.execute(USE, (user_id.0, step)).await?)
}

/// Takes the second factor away, with its recovery codes. Says whether one was on.
pub async fn remove(tx: &mut Tx, user_id: UserId) -> Result<bool, StoreError> {
    let was_on = hold(tx, user_id).await?.is_some_and(|factor| factor.is_on);
    tx.execute("DELETE FROM second_factors WHERE user_id = $1", (user_id.0,)).await?;
    Ok(was_on)
}

#[derive(Serialize)]
struct NewCode<'a> {
    user_id: UserId,
    code_hash: &'a str,
}

/// Puts these recovery codes in the place of all before them.
pub async fn replace_codes(tx: &mut Tx, user_id: UserId, code_hashes: &[String]) -> Result<(), StoreError> {
    const INSERT: Sql = sql!(insert(recovery_codes: user_id uuid, code_hash text));
    tx.execute("DELETE FROM recovery_codes WHERE user_id = $1", (user_id.0,)).await?;
    let codes: Vec<_> = code_hashes.iter().map(|code_hash| NewCode { user_id, code_hash }).collect();
    tx.execute_each(INSERT, &codes, ()).await?;
    Ok(())
}

/// Uses a recovery code. Says whether it was one that had not been used.
pub async fn use_code(tx: &mut Tx, user_id: UserId, code_hash: &str) -> Result<bool, StoreError> {
    const USE: &str = "DELETE FROM recovery_codes WHERE user_id = $1 AND code_hash = $2";
    Ok(0 < tx.execute(USE, (user_id.0, code_hash)).await?)
}

/// How many recovery codes are left.
pub async fn count_codes(tx: &mut Tx, user_id: UserId) -> Result<i64, StoreError> {
    let (count,): (i64,) = tx.fetch_one("SELECT COUNT(*) FROM recovery_codes WHERE user_id = $1", (user_id.0,)).await?;
    Ok(count)
}
