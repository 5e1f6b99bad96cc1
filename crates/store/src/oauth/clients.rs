//! Registered programs.

use directpay_domain::api_key::Scopes;
use directpay_domain::id::{OAuthClientId, UserId};
use directpay_domain::oauth::{ClientKind, Grant, Grants, RedirectUris};
use directpay_domain::time::Instant;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::{Page, StoreError};
use crate::sql::{Sql, sql};

/// A program as its owner registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Which.
    pub id: OAuthClientId,
    /// Who registered it.
    pub user_id: UserId,
    /// What people are told it is called.
    pub name: String,
    /// Whether it can keep a secret.
    pub kind: ClientKind,
    /// The last four characters of its secret, if it has one.
    pub secret_last4: Option<String>,
    /// The most that it may ask for.
    pub scopes: Scopes,
    /// The ways to a token that it may go.
    pub grants: Grants,
    /// Where browsers may be sent back to.
    pub redirect_uris: RedirectUris,
    /// When it was registered.
    pub created_at: Instant,
}

#[derive(Deserialize, FromRow)]
struct ClientRow {
    id: Uuid,
    user_id: Uuid,
    name: String,
    kind: String,
    secret_last4: Option<String>,
    scopes: String,
    grants: String,
    redirect_uris: String,
    created_at: i64,
}

impl ClientRow {
    fn into_client(self) -> Result<Client, StoreError> {
        Ok(Client {
            id: OAuthClientId(self.id),
            user_id: UserId(self.user_id),
            name: self.name,
            kind: ClientKind::parse(&self.kind).map_err(StoreError::damaged("kind of client"))?,
            secret_last4: self.secret_last4,
            scopes: Scopes::from_text(&self.scopes).map_err(StoreError::damaged("scope"))?,
            grants: Grants::from_text(&self.grants).map_err(StoreError::damaged("grant"))?,
            redirect_uris: RedirectUris::from_text(&self.redirect_uris).map_err(StoreError::damaged("redirect URI"))?,
            created_at: Instant::from_micros(self.created_at).map_err(StoreError::damaged("time"))?,
        })
    }
}

/// Adds a program; a confidential one comes with the hash of its secret.
pub async fn insert(tx: &mut Tx, client: &Client, secret_hash: Option<&str>) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO oauth_clients (id, user_id, name, kind, secret_hash, secret_last4, scopes, grants, redirect_uris,
                                    created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        (
            client.id.0,
            client.user_id.0,
            &client.name,
            client.kind.name(),
            secret_hash,
            client.secret_last4.as_deref(),
            client.scopes.to_text(),
            client.grants.to_text(),
            client.redirect_uris.to_text(),
            client.created_at.micros(),
        ),
    )
    .await?;
    Ok(())
}

/// How many programs a person has registered and not deleted.
pub async fn count(tx: &mut Tx, owner: UserId) -> Result<i64, StoreError> {
    const COUNT: &str = "SELECT COUNT(*) FROM oauth_clients WHERE user_id = $1 AND deleted_at IS NULL";
    let (count,): (i64,) = tx.fetch_one(COUNT, (owner.0,)).await?;
    Ok(count)
}

/// How many of a person's programs act for that person by client credentials.
pub async fn count_own(tx: &mut Tx, owner: UserId) -> Result<i64, StoreError> {
    let (count,): (i64,) = tx
        .fetch_one(
            "SELECT COUNT(*) FROM oauth_clients
             WHERE user_id = $1 AND deleted_at IS NULL AND grants LIKE '%client_credentials%'",
            (owner.0,),
        )
        .await?;
    Ok(count)
}

/// One program that was not deleted, whosever it is: the caller looks.
pub async fn find(tx: &mut Tx, id: OAuthClientId) -> Result<Option<Client>, StoreError> {
    let row: Option<ClientRow> = tx
        .fetch_optional(
            "SELECT id, user_id, name, kind, secret_last4, scopes, grants, redirect_uris, created_at
             FROM oauth_clients WHERE id = $1 AND deleted_at IS NULL",
            (id.0,),
        )
        .await?;
    row.map(ClientRow::into_client).transpose()
}

/// The same; its row is held until the transaction ends, so that nobody gets a token while it is deleted.
pub async fn hold(tx: &mut Tx, id: OAuthClientId) -> Result<Option<Client>, StoreError> {
    const HOLD: Sql = sql!("SELECT id FROM oauth_clients WHERE id = $1", for_update);
    tx.fetch_optional::<(Uuid,)>(HOLD, (id.0,)).await?;
    find(tx, id).await
}

/// Whether the program has this secret.
pub async fn has_secret(tx: &mut Tx, id: OAuthClientId, secret_hash: &str) -> Result<bool, StoreError> {
    const HAS: &str = "SELECT EXISTS (SELECT 1 FROM oauth_clients WHERE id = $1 AND secret_hash = $2)";
    let (has,): (bool,) = tx.fetch_one(HAS, (id.0, secret_hash)).await?;
    Ok(has)
}

/// A person's programs that were not deleted, newest first.
pub async fn list(tx: &mut Tx, owner: UserId, page: Page) -> Result<Vec<Client>, StoreError> {
    let rows: Vec<ClientRow> = tx
        .fetch_all(
            "SELECT id, user_id, name, kind, secret_last4, scopes, grants, redirect_uris, created_at
             FROM oauth_clients WHERE user_id = $1 AND id < $2 AND deleted_at IS NULL ORDER BY id DESC LIMIT $3",
            (owner.0, page.before, page.limit),
        )
        .await?;
    rows.into_iter().map(ClientRow::into_client).collect()
}

/// Writes what its owner can change, and ends the tokens that the client got by its own credentials if it may not have them any more.
pub async fn update(tx: &mut Tx, client: &Client) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE oauth_clients SET name = $2, scopes = $3, grants = $4, redirect_uris = $5 WHERE id = $1",
        (client.id.0, &client.name, client.scopes.to_text(), client.grants.to_text(), client.redirect_uris.to_text()),
    )
    .await?;
    if !client.grants.contains(Grant::ClientCredentials) {
        remove_own_tokens(tx, client.id).await?;
    }
    Ok(())
}

async fn remove_own_tokens(tx: &mut Tx, id: OAuthClientId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM oauth_access_tokens WHERE client_id = $1 AND authorization_id IS NULL", (id.0,)).await?;
    Ok(())
}

/// Puts a secret in the place of the one before, and ends the tokens that the client got by its own credentials.
pub async fn rotate(tx: &mut Tx, id: OAuthClientId, secret_hash: &str, last4: &str) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE oauth_clients SET secret_hash = $2, secret_last4 = $3 WHERE id = $1",
        (id.0, secret_hash, last4),
    )
    .await?;
    remove_own_tokens(tx, id).await
}

/// Ends a program with all that it may.
pub async fn delete(tx: &mut Tx, id: OAuthClientId, now_us: i64) -> Result<(), StoreError> {
    tx.execute("UPDATE oauth_clients SET deleted_at = $2 WHERE id = $1", (id.0, now_us)).await?;
    // First authorizations, then tokens, as where one is revoked: the other way the two could wait for each other.
    tx.execute(
        "UPDATE oauth_authorizations SET revoked_at = $2 WHERE client_id = $1 AND revoked_at IS NULL",
        (id.0, now_us),
    )
    .await?;
    tx.execute("DELETE FROM oauth_access_tokens WHERE client_id = $1", (id.0,)).await?;
    Ok(())
}
