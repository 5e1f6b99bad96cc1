//! Sign-ins: refresh tokens and the count of failed attempts. All times are process time, in microseconds.

use directpay_domain::id::UserId;
use directpay_domain::user::Role;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::{Sql, sql};

/// One sign-in, from which all further refresh tokens follow.
#[derive(Debug)]
pub struct NewFamily<'a> {
    /// A fresh id; access tokens name it as their session.
    pub id: Uuid,
    /// Who signed in.
    pub user_id: UserId,
    /// Keyed hash of the address from which.
    pub address_key: &'a str,
    /// Now.
    pub now_us: i64,
    /// When the last possible refresh is over.
    pub expires_us: i64,
}

/// Remembers a sign-in.
pub async fn insert_family(tx: &mut Tx, new: NewFamily<'_>) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO refresh_families (id, user_id, address_key, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        (new.id, new.user_id.0, new.address_key, new.now_us, new.expires_us),
    )
    .await?;
    Ok(())
}

/// Remembers a refresh token by its hash, and that its family lives at least as long.
pub async fn insert_token(
    tx: &mut Tx,
    token_hash: &str,
    family: Uuid,
    now_us: i64,
    expires_us: i64,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO refresh_tokens (token_hash, family_id, issued_at, expires_at) VALUES ($1, $2, $3, $4)",
        (token_hash, family, now_us, expires_us),
    )
    .await?;
    tx.execute("UPDATE refresh_families SET expires_at = $2 WHERE id = $1 AND expires_at < $2", (family, expires_us))
        .await?;
    Ok(())
}

/// A refresh token as it stands.
#[derive(Debug)]
pub struct RefreshToken {
    /// Its family.
    pub family: Uuid,
    /// Whose.
    pub user_id: UserId,
    /// What the person may do.
    pub role: Role,
    /// Neither expired nor used nor of a revoked family.
    pub is_valid: bool,
    /// Used before: somebody else holds a copy.
    pub is_reused: bool,
}

#[derive(Deserialize, FromRow)]
struct TokenRow {
    family_id: Uuid,
    user_id: Uuid,
    role: String,
    expires_at: i64,
    used_at: Option<i64>,
    revoked_at: Option<i64>,
}

/// Finds a refresh token and holds its family's row, so that of two uses at once one comes second.
pub async fn find_token(tx: &mut Tx, token_hash: &str, now_us: i64) -> Result<Option<RefreshToken>, StoreError> {
    const LOCK: Sql = sql!(
        "SELECT id FROM refresh_families
         WHERE id = (SELECT family_id FROM refresh_tokens WHERE token_hash = $1)",
        for_update
    );
    tx.fetch_optional::<(Uuid,)>(LOCK, (token_hash,)).await?;
    let row: Option<TokenRow> = tx
        .fetch_optional(
            "SELECT t.family_id, f.user_id, u.role, t.expires_at, t.used_at, f.revoked_at
             FROM refresh_tokens t JOIN refresh_families f ON f.id = t.family_id JOIN users u ON u.id = f.user_id
             WHERE t.token_hash = $1",
            (token_hash,),
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(RefreshToken {
        family: row.family_id,
        user_id: UserId(row.user_id),
        role: Role::parse(&row.role).map_err(StoreError::damaged("role"))?,
        is_valid: row.used_at.is_none() && row.revoked_at.is_none() && now_us < row.expires_at,
        is_reused: row.used_at.is_some() && row.revoked_at.is_none(),
    }))
}

/// Marks a refresh token as used.
pub async fn use_token(tx: &mut Tx, token_hash: &str, now_us: i64) -> Result<(), StoreError> {
    tx.execute("UPDATE refresh_tokens SET used_at = $2 WHERE token_hash = $1", (token_hash, now_us)).await?;
    Ok(())
}

/// Ends a family: none of its refresh tokens is accepted any more.
pub async fn revoke_family(tx: &mut Tx, family: Uuid, now_us: i64) -> Result<bool, StoreError> {
    const REVOKE: &str = "UPDATE refresh_families SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    Ok(0 < tx.execute(REVOKE, (family, now_us)).await?)
}

/// Ends all families of a person but one.
pub async fn revoke_others(tx: &mut Tx, user_id: UserId, kept: Option<Uuid>, now_us: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE refresh_families SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL AND id <> $3",
        (user_id.0, now_us, kept.unwrap_or_default()),
    )
    .await?;
    Ok(())
}

/// Whether a family has neither expired nor been ended.
pub async fn is_live(tx: &mut Tx, family: Uuid, now_us: i64) -> Result<bool, StoreError> {
    const LIVE: &str =
        "SELECT EXISTS (SELECT 1 FROM refresh_families WHERE id = $1 AND $2 < expires_at AND revoked_at IS NULL)";
    let (is_live,): (bool,) = tx.fetch_one(LIVE, (family, now_us)).await?;
    Ok(is_live)
}

/// Whether somebody signed in as the owner of `email_key` from this address, in a family that has not ended.
pub async fn is_known_address(
    tx: &mut Tx,
    email_key: &str,
    address_key: &str,
    now_us: i64,
) -> Result<bool, StoreError> {
    let (known,): (bool,) = tx
        .fetch_one(
            "SELECT EXISTS (SELECT 1 FROM refresh_families f JOIN users u ON u.id = f.user_id
                            WHERE u.email_key = $1 AND f.address_key = $2 AND $3 < f.expires_at
                              AND f.revoked_at IS NULL)",
            (email_key, address_key, now_us),
        )
        .await?;
    Ok(known)
}

/// How often a subject failed to sign in, and when last.
#[derive(Debug, Clone, Copy, Deserialize, FromRow)]
pub struct Failures {
    /// How often in a row.
    pub failures: i64,
    /// When last.
    pub last_failed_at: i64,
}

/// Makes others who ask about this subject wait until the transaction ends. A subject that has no row yet gets one that is
/// long forgotten.
pub async fn hold_failures(tx: &mut Tx, subject: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO sign_in_failures AS f (subject, failures, last_failed_at) VALUES ($1, 1, 0)
         ON CONFLICT (subject) DO UPDATE SET failures = f.failures",
        (subject,),
    )
    .await?;
    Ok(())
}

/// The failures of one subject since `since_us`.
pub async fn failures(tx: &mut Tx, subject: &str, since_us: i64) -> Result<Option<Failures>, StoreError> {
    let found = tx
        .fetch_optional(
            "SELECT failures, last_failed_at FROM sign_in_failures WHERE subject = $1 AND $2 < last_failed_at",
            (subject, since_us),
        )
        .await?;
    Ok(found)
}

/// Counts a failure; a count older than `since_us` begins anew.
pub async fn count_failure(tx: &mut Tx, subject: &str, now_us: i64, since_us: i64) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO sign_in_failures AS f (subject, failures, last_failed_at) VALUES ($1, 1, $2)
         ON CONFLICT (subject) DO UPDATE
         SET failures = CASE WHEN f.last_failed_at <= $3 THEN 1 ELSE f.failures + 1 END, last_failed_at = $2",
        (subject, now_us, since_us),
    )
    .await?;
    Ok(())
}

/// Forgets the failures of one subject after it succeeded.
pub async fn clear_failures(tx: &mut Tx, subject: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM sign_in_failures WHERE subject = $1", (subject,)).await?;
    Ok(())
}

/// Takes one failure back.
pub async fn forgive_failure(tx: &mut Tx, subject: &str) -> Result<(), StoreError> {
    // Others take theirs back at the same time: what is left is looked at under the row's lock.
    const HELD: Sql = sql!("SELECT failures FROM sign_in_failures WHERE subject = $1", for_update);
    let held: Option<(i64,)> = tx.fetch_optional(HELD, (subject,)).await?;
    match held {
        Some((failures,)) if 1 < failures => {
            tx.execute("UPDATE sign_in_failures SET failures = failures - 1 WHERE subject = $1", (subject,)).await?;
        }
        Some(_) => clear_failures(tx, subject).await?,
        None => {}
    }
    Ok(())
}

/// Removes expired refresh tokens, expired families, and failures older than `failures_before_us`; at most `limit` of each.
///
/// Says how many rows went.
pub async fn remove_expired(tx: &mut Tx, now_us: i64, failures_before_us: i64, limit: i64) -> Result<u64, StoreError> {
    let tokens = tx
        .execute(
            "DELETE FROM refresh_tokens WHERE token_hash IN (
                 SELECT token_hash FROM refresh_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
            (now_us, limit),
        )
        .await?;
    let families = tx
        .execute(
            "DELETE FROM refresh_families
             WHERE id IN (SELECT id FROM refresh_families WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
            (now_us, limit),
        )
        .await?;
    let failures = tx
        .execute(
            "DELETE FROM sign_in_failures WHERE subject IN (
                 SELECT subject FROM sign_in_failures WHERE last_failed_at <= $1 ORDER BY last_failed_at LIMIT $2)",
            (failures_before_us, limit),
        )
        .await?;
    Ok(tokens + families + failures)
}
