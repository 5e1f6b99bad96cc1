//! Links in mails: each good once, until it expires. All times are process time, in microseconds.

use directpay_domain::id::UserId;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Setting a password without the old one.
    PasswordReset,
    /// Proving that an address is the person's.
    Email,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Purpose::PasswordReset => "PASSWORD_RESET",
            Purpose::Email => "EMAIL",
        }
    }
}

/// A link to remember.
#[derive(Debug)]
pub struct NewLink<'a> {
    /// Of its token, which is kept nowhere.
    pub token_hash: &'a str,
    /// What it is for.
    pub purpose: Purpose,
    /// Whose it is; nobody's where the address was nobody's.
    pub user_id: Option<UserId>,
    /// The address that it proves, if that is what it is for.
    pub email: Option<&'a str>,
    /// Now.
    pub now_us: i64,
    /// When it is good no more.
    pub expires_us: i64,
}

/// Remembers a link.
pub async fn insert(tx: &mut Tx, new: NewLink<'_>) -> Result<(), StoreError> {
    let NewLink { token_hash, purpose, user_id, email, now_us, expires_us } = new;
    tx.execute(
        "INSERT INTO mail_links (token_hash, purpose, user_id, email, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        (token_hash, purpose.name(), user_id.map(|id| id.0), email, now_us, expires_us),
    )
    .await?;
    Ok(())
}

/// How many links a person was sent since `since_us`, used ones too.
pub async fn count_since(tx: &mut Tx, user_id: UserId, purpose: Purpose, since_us: i64) -> Result<i64, StoreError> {
    const COUNT: &str = "SELECT COUNT(*) FROM mail_links WHERE user_id = $1 AND purpose = $2 AND $3 < created_at";
    let (count,): (i64,) = tx.fetch_one(COUNT, (user_id.0, purpose.name(), since_us)).await?;
    Ok(count)
}

/// What a link says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Whose it is.
    pub user_id: UserId,
    /// The address that it proves, if that is what it is for.
    pub email: Option<String>,
}

#[derive(Deserialize, FromRow)]
struct LinkRow {
    user_id: Uuid,
    email: Option<String>,
}

/// The link of a token that is still good; looking does not use it.
pub async fn find(tx: &mut Tx, token_hash: &str, purpose: Purpose, now_us: i64) -> Result<Option<Link>, StoreError> {
    const FIND: &str = "SELECT user_id, email FROM mail_links
                        WHERE token_hash = $1 AND purpose = $2 AND $3 < expires_at AND user_id IS NOT NULL";
    let row: Option<LinkRow> = tx.fetch_optional(FIND, (token_hash, purpose.name(), now_us)).await?;
    Ok(row.map(|row| Link { user_id: UserId(row.user_id), email: row.email }))
}

/// Uses a link. Of two who use it at once one is told that it is not good any more.
pub async fn spend(tx: &mut Tx, token_hash: &str, now_us: i64) -> Result<bool, StoreError> {
    const SPEND: &str = "UPDATE mail_links SET expires_at = 0 WHERE token_hash = $1 AND $2 < expires_at";
    Ok(0 < tx.execute(SPEND, (token_hash, now_us)).await?)
}

/// Ends all links of a person that are for the same.
pub async fn void(tx: &mut Tx, user_id: UserId, purpose: Purpose) -> Result<(), StoreError> {
    const VOID: &str = "UPDATE mail_links SET expires_at = 0 WHERE user_id = $1 AND purpose = $2 AND 0 < expires_at";
    tx.execute(VOID, (user_id.0, purpose.name())).await?;
    Ok(())
}

/// Removes links that were made before `before_us`, at most `limit`. Says how many.
pub async fn remove_old(tx: &mut Tx, before_us: i64, limit: i64) -> Result<u64, StoreError> {
    let removed = tx
        .execute(
            "DELETE FROM mail_links WHERE token_hash IN (
                 SELECT token_hash FROM mail_links WHERE created_at <= $1 ORDER BY created_at LIMIT $2)",
            (before_us, limit),
        )
        .await?;
    Ok(removed)
}
