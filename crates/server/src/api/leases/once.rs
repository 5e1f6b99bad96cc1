//! Requests that make a fact about a lease's money take an idempotency key, as payments do.

use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::time::Instant;
use directpay_store::Tx;
use directpay_store::lease_requests::{self, Asked, Known};
use serde::Serialize;
use uuid::Uuid;

use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::clock;
use crate::secrets::sha256_hex;

/// What a request makes.
pub(super) enum Made {
    /// Something under this fresh id.
    New(Uuid),
    /// It did so before, and this is it.
    Before(Uuid),
}

/// Notes what is asked under a key, as it was parsed; or finds what the same request made before.
pub(super) async fn once(
    tx: &mut Tx,
    caller: Caller,
    key: &IdempotencyKey,
    now: Instant,
    what: &impl Serialize,
) -> Result<Made, ApiError> {
    let text = serde_json::to_string(what).map_err(|error| ApiError::internal(&error))?;
    let hash = sha256_hex(&text);
    let makes = clock::new_id();
    let asked = Asked { by: caller.user_id, key, hash: &hash, makes, at: now };
    match lease_requests::ask(tx, asked).await? {
        Known::New => Ok(Made::New(makes)),
        Known::Before(made) => Ok(Made::Before(made)),
        Known::Other => Err(ApiError::idempotency_key_reused(None)),
    }
}

/// The same for a request that is harmless to repeat and may go without a key: then it is always new.
pub(super) async fn once_if_named(
    tx: &mut Tx,
    caller: Caller,
    key: Option<&IdempotencyKey>,
    now: Instant,
    what: &impl Serialize,
) -> Result<Made, ApiError> {
    match key {
        Some(key) => once(tx, caller, key, now, what).await,
        None => Ok(Made::New(clock::new_id())),
    }
}
