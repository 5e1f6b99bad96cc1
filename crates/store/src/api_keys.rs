//! Keys by which programs act for people. All times are process time; a key itself is kept nowhere.

use directpay_domain::api_key::Scopes;
use directpay_domain::id::{ApiKeyId, UserId};
use directpay_domain::time::Instant;
use directpay_domain::user::Role;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::{Page, StoreError};

/// A key as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Which key.
    pub id: ApiKeyId,
    /// For whom it acts.
    pub user_id: UserId,
    /// What its owner calls it.
    pub name: String,
    /// Its last four characters.
    pub last4: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Instant,
    /// From when on it is refused, if ever.
    pub expires_at: Option<Instant>,
    /// When it was used last, to the minute or so.
    pub last_used_at: Option<Instant>,
    /// Since when it is refused, if its owner ended it.
    pub revoked_at: Option<Instant>,
}

#[derive(Deserialize, FromRow)]
struct KeyRow {
    id: Uuid,
    user_id: Uuid,
    name: String,
    last4: String,
    scopes: String,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl KeyRow {
    fn into_key(self) -> Result<ApiKey, StoreError> {
        let time = |micros: i64| Instant::from_micros(micros).map_err(StoreError::damaged("time"));
        Ok(ApiKey {
            id: ApiKeyId(self.id),
            user_id: UserId(self.user_id),
            name: self.name,
            last4: self.last4,
            scopes: Scopes::from_text(&self.scopes).map_err(StoreError::damaged("scope"))?,
            created_at: time(self.created_at)?,
            expires_at: self.expires_at.map(time).transpose()?,
            last_used_at: self.last_used_at.map(time).transpose()?,
            revoked_at: self.revoked_at.map(time).transpose()?,
        })
    }
}

/// Adds a key, of which only `key_hash` is kept.
pub async fn insert(tx: &mut Tx, key: &ApiKey, key_hash: &str) -> Result<(), StoreError> {
    let ApiKey { id, user_id, name, last4, scopes, created_at, expires_at, .. } = key;
    tx.execute(
        "INSERT INTO api_keys (id, user_id, name, key_hash, last4, scopes, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        (
            id.0,
            user_id.0,
            name,
            key_hash,
            last4,
            scopes.to_text(),
            created_at.micros(),
            expires_at.map(Instant::micros),
        ),
    )
    .await?;
    Ok(())
}

/// How many keys of a person are neither revoked nor expired.
pub async fn count_usable(tx: &mut Tx, owner: UserId, now_us: i64) -> Result<i64, StoreError> {
    let (count,): (i64,) = tx
        .fetch_one(
            "SELECT COUNT(*) FROM api_keys
             WHERE user_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR $2 < expires_at)",
            (owner.0, now_us),
        )
        .await?;
    Ok(count)
}

/// One key, whosever it is: the caller looks.
pub async fn find(tx: &mut Tx, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    let row: Option<KeyRow> = tx
        .fetch_optional(
            "SELECT id, user_id, name, last4, scopes, created_at, expires_at, last_used_at, revoked_at
             FROM api_keys WHERE id = $1",
            (id.0,),
        )
        .await?;
    row.map(KeyRow::into_key).transpose()
}

/// A person's keys, newest first, revoked and expired ones too.
pub async fn list(tx: &mut Tx, owner: UserId, page: Page) -> Result<Vec<ApiKey>, StoreError> {
    let rows: Vec<KeyRow> = tx
        .fetch_all(
            "SELECT id, user_id, name, last4, scopes, created_at, expires_at, last_used_at, revoked_at
             FROM api_keys WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
            (owner.0, page.before, page.limit),
        )
        .await?;
    rows.into_iter().map(KeyRow::into_key).collect()
}

/// Ends a key: from the commit on it is refused everywhere. One that has ended stays as it is.
pub async fn revoke(tx: &mut Tx, id: ApiKeyId, now_us: i64) -> Result<(), StoreError> {
    tx.execute("UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL", (id.0, now_us)).await?;
    Ok(())
}

/// What a request by a key is judged by.
#[derive(Debug, Clone)]
pub struct Presented {
    /// Which key.
    pub id: ApiKeyId,
    /// For whom it acts.
    pub user_id: UserId,
    /// What that person may do today.
    pub role: Role,
    /// What the key may do.
    pub scopes: Scopes,
    /// From when on it is refused, if ever.
    pub expires_us: Option<i64>,
    /// When it was used last, as far as that is noted.
    pub last_used_us: Option<i64>,
    /// Whether it has been ended.
    pub is_revoked: bool,
}

#[derive(Deserialize, FromRow)]
struct PresentedRow {
    id: Uuid,
    user_id: Uuid,
    role: String,
    scopes: String,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    is_revoked: bool,
}

/// The key that was presented, with its owner's role, by one read.
pub async fn find_presented(tx: &mut Tx, key_hash: &str) -> Result<Option<Presented>, StoreError> {
    let row: Option<PresentedRow> = tx
        .fetch_optional(
            "SELECT k.id, k.user_id, u.role, k.scopes, k.expires_at, k.last_used_at,
                    k.revoked_at IS NOT NULL AS is_revoked
             FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.key_hash = $1",
            (key_hash,),
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Presented {
        id: ApiKeyId(row.id),
        user_id: UserId(row.user_id),
        role: Role::parse(&row.role).map_err(StoreError::damaged("role"))?,
        scopes: Scopes::from_text(&row.scopes).map_err(StoreError::damaged("scope"))?,
        expires_us: row.expires_at,
        last_used_us: row.last_used_at,
        is_revoked: row.is_revoked,
    }))
}

/// Notes that a key was used, unless that was noted after `noted_before_us`. Says whether it wrote.
pub async fn note_use(tx: &mut Tx, id: ApiKeyId, now_us: i64, noted_before_us: i64) -> Result<bool, StoreError> {
    let noted = tx
        .execute(
            "UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)",
            (id.0, now_us, noted_before_us),
        )
        .await?;
    Ok(0 < noted)
}
