//! Sessions of browsers: what a cookie stands for. All times are process time, in microseconds.

use directpay_domain::id::UserId;
use directpay_domain::user::Role;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;

/// Keeps a cookie by its hash, for a sign-in that is remembered already.
pub async fn insert(tx: &mut Tx, token_hash: &str, family: Uuid, expires_us: i64) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO browser_sessions (token_hash, family_id, expires_at) VALUES ($1, $2, $3)",
        (token_hash, family, expires_us),
    )
    .await?;
    Ok(())
}

/// Who a cookie stands for.
#[derive(Debug, Clone)]
pub struct BrowserSession {
    /// The sign-in that it came from.
    pub family: Uuid,
    /// Who.
    pub user_id: UserId,
    /// What the person is called.
    pub full_name: String,
    /// What the person may do today.
    pub role: Role,
}

#[derive(Deserialize, FromRow)]
struct SessionRow {
    family_id: Uuid,
    user_id: Uuid,
    full_name: String,
    role: String,
}

/// The session of a cookie, by one read; none if it is over or was ended.
pub async fn find(tx: &mut Tx, token_hash: &str, now_us: i64) -> Result<Option<BrowserSession>, StoreError> {
    let row: Option<SessionRow> = tx
        .fetch_optional(
            "SELECT s.family_id, f.user_id, u.full_name, u.role
             FROM browser_sessions s JOIN refresh_families f ON f.id = s.family_id JOIN users u ON u.id = f.user_id
             WHERE s.token_hash = $1 AND $2 < s.expires_at AND f.revoked_at IS NULL",
            (token_hash, now_us),
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(BrowserSession {
        family: row.family_id,
        user_id: UserId(row.user_id),
        full_name: row.full_name,
        role: Role::parse(&row.role).map_err(StoreError::damaged("role"))?,
    }))
}

/// Removes what expired, at most `limit` rows. Says how many went.
pub async fn remove_expired(tx: &mut Tx, now_us: i64, limit: i64) -> Result<u64, StoreError> {
    let removed = tx
        .execute(
            "DELETE FROM browser_sessions WHERE token_hash IN (
                 SELECT token_hash FROM browser_sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
            (now_us, limit),
        )
        .await?;
    Ok(removed)
}
