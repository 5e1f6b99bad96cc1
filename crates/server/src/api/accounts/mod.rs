//! What people do about their own accounts: password, e-mail address, profile, second factor.
//!
//! What decides who may sign in asks for the password once more, and for a session that has not been ended: an access token that
//! was stolen a moment ago must not become an account. No API key opens any of it.

pub mod email;
pub mod password;
pub mod second_factor;

use directpay_domain::invalid::Invalid;
use directpay_store::access;
use directpay_store::users::{self, User};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::error::ApiError;
use crate::access::sign_in::{self, Proven, SignInError};
use crate::app::App;
use crate::origin::Origin;

/// What was done, for people; the same whatever was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// In a sentence.
    detail: &'static str,
}

/// Goes on if the session that the caller's token came from was not ended.
pub async fn must_be_signed_in(app: &App, caller: Caller) -> Result<(), ApiError> {
    let session = caller.session.ok_or_else(ApiError::closed_to_api_keys)?;
    let mut tx = app.db.begin_read().await?;
    let is_live = access::is_live(&mut tx, session, app.clock.process_us()).await?;
    if is_live { Ok(()) } else { Err(ApiError::unauthorized()) }
}

/// The caller, who knows the password. `field` is where it stands.
async fn prove(
    app: &App,
    caller: Caller,
    field: &'static str,
    password: &str,
    origin: Origin,
) -> Result<(User, Proven), ApiError> {
    must_be_signed_in(app, caller).await?;
    let mut tx = app.db.begin_read().await?;
    let user = users::find(&mut tx, caller.user_id).await?.ok_or_else(ApiError::unauthorized)?;
    drop(tx);
    match sign_in::prove(app, &user.email, password, origin).await {
        Ok(proven) => Ok((user, proven)),
        Err(SignInError::Denied) => Err(ApiError::invalid(field, wrong("is not your password"))),
        Err(error) => Err(error.into()),
    }
}

fn wrong(detail: &'static str) -> Invalid {
    Invalid::new("wrong", detail)
}
