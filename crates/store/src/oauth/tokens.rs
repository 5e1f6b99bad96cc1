//! Tokens by which programs act, and those for the next ones.

use directpay_domain::api_key::Scopes;
use directpay_domain::id::{AuthorizationId, OAuthClientId, UserId};
use directpay_domain::user::Role;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::{Sql, sql};

/// An access token that is about to be shown.
#[derive(Debug)]
pub struct NewAccessToken<'a> {
    /// Keyed hash.
    pub token_hash: &'a str,
    /// Whose.
    pub client_id: OAuthClientId,
    /// For whom the program acts by it.
    pub user_id: UserId,
    /// The person's word; none for one by the program's own credentials.
    pub authorization_id: Option<AuthorizationId>,
    /// What it may do.
    pub scopes: &'a Scopes,
    /// Now.
    pub now_us: i64,
    /// When it is over.
    pub expires_us: i64,
}

/// Keeps an access token.
pub async fn insert_access(tx: &mut Tx, new: NewAccessToken<'_>) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO oauth_access_tokens (token_hash, client_id, user_id, authorization_id, scopes, issued_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        (
            new.token_hash,
            new.client_id.0,
            new.user_id.0,
            new.authorization_id.map(|id| id.0),
            new.scopes.to_text(),
            new.now_us,
            new.expires_us,
        ),
    )
    .await?;
    Ok(())
}

/// What a request by an access token is judged by.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// Whose.
    pub client_id: OAuthClientId,
    /// Who registered the program.
    pub owner_id: UserId,
    /// For whom it acts.
    pub user_id: UserId,
    /// What that person may do today.
    pub role: Role,
    /// What the token may do, as far as the program may still ask for it.
    pub scopes: Scopes,
    /// When it was issued.
    pub issued_us: i64,
    /// When it is over.
    pub expires_us: i64,
}

#[derive(Deserialize, FromRow)]
struct AccessRow {
    client_id: Uuid,
    owner_id: Uuid,
    user_id: Uuid,
    role: String,
    scopes: String,
    client_scopes: String,
    issued_at: i64,
    expires_at: i64,
}

/// The access token that was presented, by one read; none if it, its authorization or its program has ended,
/// or the program may ask for none of its scopes any more.
pub async fn find_access(tx: &mut Tx, token_hash: &str, now_us: i64) -> Result<Option<AccessToken>, StoreError> {
    let row: Option<AccessRow> = tx
        .fetch_optional(
            "SELECT t.client_id, c.user_id AS owner_id, t.user_id, u.role, t.scopes, c.scopes AS client_scopes,
                    t.issued_at, t.expires_at
             FROM oauth_access_tokens t
             JOIN oauth_clients c ON c.id = t.client_id
             JOIN users u ON u.id = t.user_id
             LEFT JOIN oauth_authorizations a ON a.id = t.authorization_id
             WHERE t.token_hash = $1 AND $2 < t.expires_at AND c.deleted_at IS NULL AND a.revoked_at IS NULL",
            (token_hash, now_us),
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let read = |text: &str| Scopes::from_text(text).map_err(StoreError::damaged("scope"));
    let Some(scopes) = read(&row.scopes)?.common(&read(&row.client_scopes)?) else { return Ok(None) };
    Ok(Some(AccessToken {
        client_id: OAuthClientId(row.client_id),
        owner_id: UserId(row.owner_id),
        user_id: UserId(row.user_id),
        role: Role::parse(&row.role).map_err(StoreError::damaged("role"))?,
        scopes,
        issued_us: row.issued_at,
        expires_us: row.expires_at,
    }))
}

/// Ends an access token of a program. Another's stays.
pub async fn remove_access(tx: &mut Tx, token_hash: &str, client_id: OAuthClientId) -> Result<(), StoreError> {
    const REMOVE: &str = "DELETE FROM oauth_access_tokens WHERE token_hash = $1 AND client_id = $2";
    tx.execute(REMOVE, (token_hash, client_id.0)).await?;
    Ok(())
}

/// Keeps a refresh token, and its authorization at least as long.
pub async fn insert_refresh(
    tx: &mut Tx,
    token_hash: &str,
    authorization: AuthorizationId,
    now_us: i64,
    expires_us: i64,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO oauth_refresh_tokens (token_hash, authorization_id, issued_at, expires_at) VALUES ($1, $2, $3, $4)",
        (token_hash, authorization.0, now_us, expires_us),
    )
    .await?;
    tx.execute(
        "UPDATE oauth_authorizations SET expires_at = $2 WHERE id = $1 AND expires_at < $2",
        (authorization.0, expires_us),
    )
    .await?;
    Ok(())
}

/// A refresh token as it stands.
#[derive(Debug)]
pub struct RefreshToken {
    /// The person's word that it goes on.
    pub authorization_id: AuthorizationId,
    /// Whose.
    pub client_id: OAuthClientId,
    /// Who registered the program.
    pub owner_id: UserId,
    /// For whom it acts.
    pub user_id: UserId,
    /// What was agreed to.
    pub scopes: Scopes,
    /// When it was issued.
    pub issued_us: i64,
    /// When it is over.
    pub expires_us: i64,
    /// It was used before: somebody else holds a copy.
    pub is_used: bool,
    /// Its authorization was revoked.
    pub is_revoked: bool,
}

impl RefreshToken {
    /// Whether it can be used at `now_us`.
    pub fn is_good(&self, now_us: i64) -> bool {
        !self.is_used && !self.is_revoked && now_us < self.expires_us
    }
}

#[derive(Deserialize, FromRow)]
struct RefreshRow {
    authorization_id: Uuid,
    client_id: Uuid,
    owner_id: Uuid,
    user_id: Uuid,
    scopes: String,
    issued_at: i64,
    expires_at: i64,
    used_at: Option<i64>,
    revoked_at: Option<i64>,
}

/// Finds a refresh token.
pub async fn find_refresh(tx: &mut Tx, token_hash: &str) -> Result<Option<RefreshToken>, StoreError> {
    let row: Option<RefreshRow> = tx
        .fetch_optional(
            "SELECT t.authorization_id, a.client_id, c.user_id AS owner_id, a.user_id, a.scopes, t.issued_at, t.expires_at,
                    t.used_at, a.revoked_at
             FROM oauth_refresh_tokens t
             JOIN oauth_authorizations a ON a.id = t.authorization_id
             JOIN oauth_clients c ON c.id = a.client_id
             WHERE t.token_hash = $1",
            (token_hash,),
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(RefreshToken {
        authorization_id: AuthorizationId(row.authorization_id),
        client_id: OAuthClientId(row.client_id),
        owner_id: UserId(row.owner_id),
        user_id: UserId(row.user_id),
        scopes: Scopes::from_text(&row.scopes).map_err(StoreError::damaged("scope"))?,
        issued_us: row.issued_at,
        expires_us: row.expires_at,
        is_used: row.used_at.is_some(),
        is_revoked: row.revoked_at.is_some(),
    }))
}

/// The same; its authorization's row is held until the transaction ends, so that of two uses at once one comes second.
pub async fn hold_refresh(tx: &mut Tx, token_hash: &str) -> Result<Option<RefreshToken>, StoreError> {
    const HOLD: Sql = sql!(
        "SELECT id FROM oauth_authorizations
         WHERE id = (SELECT authorization_id FROM oauth_refresh_tokens WHERE token_hash = $1)",
        for_update
    );
    tx.fetch_optional::<(Uuid,)>(HOLD, (token_hash,)).await?;
    find_refresh(tx, token_hash).await
}

/// Marks a refresh token as used.
pub async fn use_refresh(tx: &mut Tx, token_hash: &str, now_us: i64) -> Result<(), StoreError> {
    tx.execute("UPDATE oauth_refresh_tokens SET used_at = $2 WHERE token_hash = $1", (token_hash, now_us)).await?;
    Ok(())
}

/// Removes tokens and codes that expired before `before_us`, and authorizations from which nothing can follow any more; at most
/// `limit` of each. Says how many rows went.
///
/// Used codes and refresh tokens are kept until then, because one that comes a second time ends what came of it.
pub async fn remove_expired(tx: &mut Tx, before_us: i64, limit: i64) -> Result<u64, StoreError> {
    let mut removed = 0;
    for remove in [
        "DELETE FROM oauth_access_tokens WHERE token_hash IN (
             SELECT token_hash FROM oauth_access_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        "DELETE FROM oauth_refresh_tokens WHERE token_hash IN (
             SELECT token_hash FROM oauth_refresh_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        "DELETE FROM oauth_codes WHERE code_hash IN (
             SELECT code_hash FROM oauth_codes WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        "DELETE FROM oauth_authorizations WHERE id IN (
             SELECT id FROM oauth_authorizations WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
    ] {
        removed += tx.execute(remove, (before_us, limit)).await?;
    }
    Ok(removed)
}
