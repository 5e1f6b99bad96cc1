//! OAuth 2.0 for programs of others: what they may ask of people, and what they get for an answer (decision 23).
//!
//! Every secret of the protocol is drawn here, shown once, and known again by a keyed hash. Access tokens are looked up for each
//! request, as API keys are, so that whatever ends one ends it at once on every process.

pub mod authorize;
pub mod client;
pub mod tokens;

use directpay_domain::id::{AuthorizationId, UserId};
use directpay_domain::oauth::{OAuthSecret, SecretKind};
use directpay_domain::time::SECOND_US;
use directpay_domain::trail::Action;
use directpay_store::oauth::authorizations;
use directpay_store::{StoreError, Tx};

use crate::clock::{self, NoRandomness};
use crate::mail::Unwritten;
use crate::secrets::Vault;
use crate::trail;

/// How long an access token is good.
pub const ACCESS_SECONDS: i64 = 15 * 60;
/// How long a refresh token is good; each use gives another for as long.
const REFRESH_US: i64 = 30 * 86_400 * SECOND_US;
/// How long a code is good (RFC 6749, section 4.1.2, has ten minutes at most).
const CODE_US: i64 = 60 * SECOND_US;

/// Why a program gets nothing, by the words of RFC 6749, section 5.2.
#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    /// Something is missing, stands twice or does not go together.
    #[error("invalid_request: {0}")]
    InvalidRequest(&'static str),
    /// The program did not prove who it is.
    #[error("invalid_client")]
    InvalidClient,
    /// Code or refresh token is worthless, or another's.
    #[error("invalid_grant: {0}")]
    InvalidGrant(&'static str),
    /// This program may not go this way.
    #[error("unauthorized_client: {0}")]
    UnauthorizedClient(&'static str),
    /// Nobody may.
    #[error("unsupported_grant_type")]
    UnsupportedGrantType,
    /// More than was agreed to, or than the program may ask for.
    #[error("invalid_scope: {0}")]
    InvalidScope(&'static str),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whom it concerns could not be told.
    #[error(transparent)]
    Unwritten(#[from] Unwritten),
    /// No secret could be drawn.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// A fresh secret.
pub fn draw(kind: SecretKind) -> Result<OAuthSecret, NoRandomness> {
    Ok(OAuthSecret::from_random(kind, clock::random_bytes::<{ OAuthSecret::RANDOM_BYTES }>()?))
}

/// By what a secret is recognized without being kept.
pub fn hash(vault: &Vault, secret: &OAuthSecret) -> String {
    vault.keyed_hash("OAuth", &[secret.expose()])
}

/// The same for what somebody sent, if it is a secret of the kind at all.
fn hash_of(vault: &Vault, kind: SecretKind, text: &str) -> Option<String> {
    OAuthSecret::parse(kind, text).map(|secret| hash(vault, &secret))
}

/// Ends what a person has let a program do, and says so in the trail unless it was over. Says whether it was not.
pub async fn end(tx: &mut Tx, id: AuthorizationId, of: UserId, how: Action, now_us: i64) -> Result<bool, StoreError> {
    let is_ended = authorizations::revoke(tx, id, now_us).await?;
    if is_ended {
        trail::done(how).to(id).about(of).record(tx).await?;
    }
    Ok(is_ended)
}
