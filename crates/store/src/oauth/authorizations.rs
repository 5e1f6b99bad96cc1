//! Who let which program act, and the codes by which it is told.

use directpay_domain::api_key::Scopes;
use directpay_domain::id::{AuthorizationId, OAuthClientId, UserId};
use directpay_domain::time::Instant;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::{Page, StoreError};
use crate::sql::{Sql, sql};

/// A code that waits to be exchanged.
#[derive(Debug)]
pub struct NewCode<'a> {
    /// Keyed hash.
    pub code_hash: &'a str,
    /// The authorization that comes of it.
    pub authorization_id: AuthorizationId,
    /// For which program.
    pub client_id: OAuthClientId,
    /// Who agreed.
    pub user_id: UserId,
    /// In which session.
    pub session_id: Uuid,
    /// Where it is sent.
    pub redirect_uri: &'a str,
    /// SHA-256 of the verifier.
    pub challenge: &'a str,
    /// What was agreed to.
    pub scopes: &'a Scopes,
    /// When it is over.
    pub expires_us: i64,
}

/// Keeps a code until it comes back.
pub async fn insert_code(tx: &mut Tx, new: NewCode<'_>) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO oauth_codes (code_hash, authorization_id, client_id, user_id, session_id, redirect_uri, challenge,
                                  scopes, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        (
            new.code_hash,
            new.authorization_id.0,
            new.client_id.0,
            new.user_id.0,
            new.session_id,
            new.redirect_uri,
            new.challenge,
            new.scopes.to_text(),
            new.expires_us,
        ),
    )
    .await?;
    Ok(())
}

/// A code that came back.
#[derive(Debug)]
pub struct Code {
    /// The authorization that comes of it, or came.
    pub authorization_id: AuthorizationId,
    /// For which program.
    pub client_id: OAuthClientId,
    /// Who agreed.
    pub user_id: UserId,
    /// In which session.
    pub session_id: Uuid,
    /// Where it was sent.
    pub redirect_uri: String,
    /// SHA-256 of the verifier.
    pub challenge: String,
    /// What was agreed to.
    pub scopes: Scopes,
    /// When it is over.
    pub expires_us: i64,
    /// It was exchanged before: somebody else holds a copy.
    pub is_used: bool,
}

#[derive(Deserialize, FromRow)]
struct CodeRow {
    authorization_id: Uuid,
    client_id: Uuid,
    user_id: Uuid,
    session_id: Uuid,
    redirect_uri: String,
    challenge: String,
    scopes: String,
    expires_at: i64,
    used_at: Option<i64>,
}

/// Finds a code and holds its row, so that of two uses at once one comes second.
pub async fn hold_code(tx: &mut Tx, code_hash: &str) -> Result<Option<Code>, StoreError> {
    const HOLD: Sql = sql!(
        "SELECT authorization_id, client_id, user_id, session_id, redirect_uri, challenge, scopes, expires_at, used_at
         FROM oauth_codes WHERE code_hash = $1",
        for_update
    );
    let row: Option<CodeRow> = tx.fetch_optional(HOLD, (code_hash,)).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Code {
        authorization_id: AuthorizationId(row.authorization_id),
        client_id: OAuthClientId(row.client_id),
        user_id: UserId(row.user_id),
        session_id: row.session_id,
        redirect_uri: row.redirect_uri,
        challenge: row.challenge,
        scopes: Scopes::from_text(&row.scopes).map_err(StoreError::damaged("scope"))?,
        expires_us: row.expires_at,
        is_used: row.used_at.is_some(),
    }))
}

/// Marks a code as used.
pub async fn use_code(tx: &mut Tx, code_hash: &str, now_us: i64) -> Result<(), StoreError> {
    tx.execute("UPDATE oauth_codes SET used_at = $2 WHERE code_hash = $1", (code_hash, now_us)).await?;
    Ok(())
}

/// A person's word that a program may act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Which.
    pub id: AuthorizationId,
    /// Which program.
    pub client_id: OAuthClientId,
    /// What it is called.
    pub client_name: String,
    /// What its owner is called.
    pub owner_name: String,
    /// For whom it acts.
    pub user_id: UserId,
    /// What it may do.
    pub scopes: Scopes,
    /// Since when.
    pub created_at: Instant,
    /// Until when, unless it is used again before.
    pub expires_at: Instant,
}

#[derive(Deserialize, FromRow)]
struct AuthorizationRow {
    id: Uuid,
    client_id: Uuid,
    client_name: String,
    owner_name: String,
    user_id: Uuid,
    scopes: String,
    created_at: i64,
    expires_at: i64,
}

impl AuthorizationRow {
    fn into_authorization(self) -> Result<Authorization, StoreError> {
        let time = |micros: i64| Instant::from_micros(micros).map_err(StoreError::damaged("time"));
        Ok(Authorization {
            id: AuthorizationId(self.id),
            client_id: OAuthClientId(self.client_id),
            client_name: self.client_name,
            owner_name: self.owner_name,
            user_id: UserId(self.user_id),
            scopes: Scopes::from_text(&self.scopes).map_err(StoreError::damaged("scope"))?,
            created_at: time(self.created_at)?,
            expires_at: time(self.expires_at)?,
        })
    }
}

/// A new authorization.
#[derive(Debug)]
pub struct NewAuthorization<'a> {
    /// A fresh id.
    pub id: AuthorizationId,
    /// Which program.
    pub client_id: OAuthClientId,
    /// For whom it acts.
    pub user_id: UserId,
    /// What it may do.
    pub scopes: &'a Scopes,
    /// Now.
    pub now_us: i64,
    /// When the last token that can follow from it is over.
    pub expires_us: i64,
}

/// Keeps a person's word.
pub async fn insert(tx: &mut Tx, new: NewAuthorization<'_>) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO oauth_authorizations (id, client_id, user_id, scopes, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        (new.id.0, new.client_id.0, new.user_id.0, new.scopes.to_text(), new.now_us, new.expires_us),
    )
    .await?;
    Ok(())
}

/// One that is neither revoked nor over, whosever it is: the caller looks.
pub async fn find(tx: &mut Tx, id: AuthorizationId, now_us: i64) -> Result<Option<Authorization>, StoreError> {
    let row: Option<AuthorizationRow> = tx
        .fetch_optional(
            "SELECT a.id, a.client_id, c.name AS client_name, o.full_name AS owner_name, a.user_id, a.scopes, a.created_at,
                    a.expires_at
             FROM oauth_authorizations a JOIN oauth_clients c ON c.id = a.client_id JOIN users o ON o.id = c.user_id
             WHERE a.id = $1 AND a.revoked_at IS NULL AND $2 < a.expires_at",
            (id.0, now_us),
        )
        .await?;
    row.map(AuthorizationRow::into_authorization).transpose()
}

/// Those of a person that are neither revoked nor over, newest first.
pub async fn list(tx: &mut Tx, user_id: UserId, now_us: i64, page: Page) -> Result<Vec<Authorization>, StoreError> {
    let rows: Vec<AuthorizationRow> = tx
        .fetch_all(
            "SELECT a.id, a.client_id, c.name AS client_name, o.full_name AS owner_name, a.user_id, a.scopes, a.created_at,
                    a.expires_at
             FROM oauth_authorizations a JOIN oauth_clients c ON c.id = a.client_id JOIN users o ON o.id = c.user_id
             WHERE a.user_id = $1 AND a.id < $2 AND a.revoked_at IS NULL AND $3 < a.expires_at
             ORDER BY a.id DESC LIMIT $4",
            (user_id.0, page.before, now_us, page.limit),
        )
        .await?;
    rows.into_iter().map(AuthorizationRow::into_authorization).collect()
}

/// How many of a person are neither revoked nor over.
pub async fn count(tx: &mut Tx, user_id: UserId, now_us: i64) -> Result<i64, StoreError> {
    let (count,): (i64,) = tx
        .fetch_one(
            "SELECT COUNT(*) FROM oauth_authorizations WHERE user_id = $1 AND revoked_at IS NULL AND $2 < expires_at",
            (user_id.0, now_us),
        )
        .await?;
    Ok(count)
}

/// Ends one: from the commit on none of its tokens is accepted anywhere.
pub async fn revoke(tx: &mut Tx, id: AuthorizationId, now_us: i64) -> Result<bool, StoreError> {
    const REVOKE: &str = "UPDATE oauth_authorizations SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    let is_ended = 0 < tx.execute(REVOKE, (id.0, now_us)).await?;
    tx.execute("DELETE FROM oauth_access_tokens WHERE authorization_id = $1", (id.0,)).await?;
    Ok(is_ended)
}
