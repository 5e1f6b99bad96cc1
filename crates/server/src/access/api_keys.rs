//! API keys: made once, known by a keyed hash, and looked up for every request, so that a revoked key is refused at once by
//! every process.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use directpay_domain::api_key::{ApiKeySecret, Mode};
use directpay_domain::id::ApiKeyId;
use directpay_domain::time::SECOND_US;
use directpay_domain::trail::Credential;
use directpay_store::api_keys::{self, Presented};
use directpay_store::{Db, StoreError};

use crate::api::request_id;
use crate::app::App;
use crate::clock::{self, NoRandomness};
use crate::secrets::Vault;

/// The last use of a key is written again after this.
const NOTED_EVERY_US: i64 = 60 * SECOND_US;

/// Why a key is not accepted. Whoever presents one that was made here holds it, and may know what became of it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Mistyped, cut off or made up: nobody was asked.
    #[error("this is no API key: a character is wrong or missing")]
    Malformed,
    /// Made for deployments of the other mode.
    #[error("this API key begins with {} and this deployment takes those that begin with {}", key.prefix(), here.prefix())]
    OtherMode {
        /// Of the key.
        key: Mode,
        /// Of this deployment.
        here: Mode,
    },
    /// Made elsewhere, or never.
    #[error("this API key was not made here")]
    Unknown,
    /// Its owner ended it.
    #[error("this API key was revoked")]
    Revoked,
    /// Its time is over.
    #[error("this API key has expired")]
    Expired,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A fresh key for this deployment.
pub fn draw(mode: Mode) -> Result<ApiKeySecret, NoRandomness> {
    Ok(ApiKeySecret::from_random(mode, clock::random_bytes::<{ ApiKeySecret::RANDOM_BYTES }>()?))
}

/// By what a key is recognized without being kept.
pub fn hash(vault: &Vault, secret: &ApiKeySecret) -> String {
    vault.keyed_hash("API key", &[secret.expose()])
}

/// Whose key `text` is and what it may do, as the database has it now.
pub async fn present(app: &App, text: &str) -> Result<Presented, KeyError> {
    let secret = ApiKeySecret::parse(text).ok_or(KeyError::Malformed)?;
    if secret.mode() != app.mode {
        return Err(KeyError::OtherMode { key: secret.mode(), here: app.mode });
    }
    let mut tx = app.db.begin_read().await?;
    let found = api_keys::find_presented(&mut tx, &hash(&app.vault, &secret)).await?;
    drop(tx);
    let key = found.ok_or(KeyError::Unknown)?;
    // Also one that has ended: who still uses it wants to be known.
    request_id::is_of(key.user_id, key.role, Some(Credential::ApiKey(key.id)));
    let now_us = app.clock.process_us();
    if key.is_revoked {
        return Err(KeyError::Revoked);
    }
    if key.expires_us.is_some_and(|expires_us| expires_us <= now_us) {
        return Err(KeyError::Expired);
    }
    note_use(app, &key, now_us);
    Ok(key)
}

/// The keys whose use is being written by this process.
#[derive(Debug, Default)]
pub struct KeyUses(Mutex<HashSet<ApiKeyId>>);

impl KeyUses {
    fn begin(&self, id: ApiKeyId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id)
    }

    fn end(&self, id: ApiKeyId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }
}

/// Sees to it that the last use is written, if that was not done a moment ago; the request does not wait for it.
fn note_use(app: &App, key: &Presented, now_us: i64) {
    let is_noted = key.last_used_us.is_some_and(|last_us| now_us - last_us < NOTED_EVERY_US);
    if is_noted || !app.key_uses.begin(key.id) {
        return;
    }
    let (noting, id) = (app.clone(), key.id);
    app.db.spawn(async move {
        if let Err(error) = write_use(&noting.db, id, now_us).await {
            tracing::warn!(error = &error as &dyn std::error::Error, api_key_id = %id, "a use was not noted");
        }
        noting.key_uses.end(id);
    });
}

async fn write_use(db: &Db, id: ApiKeyId, now_us: i64) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    api_keys::note_use(&mut tx, id, now_us, now_us - NOTED_EVERY_US).await?;
    tx.commit().await
}
