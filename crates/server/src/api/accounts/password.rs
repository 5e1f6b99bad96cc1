//! Another password: by whoever knows the old one, or by a link in a mail.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directpay_domain::invalid::Invalid;
use directpay_domain::time::{DAY_US, SECOND_US};
use directpay_domain::trail::Action;
use directpay_domain::user::{Email, Password};
use directpay_store::mail_links::{self, NewLink, Purpose};
use directpay_store::oauth::{authorizations, clients};
use directpay_store::users::{self, User};
use directpay_store::{Tx, access, api_keys};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Done, prove};
use crate::access::passwords::PasswordError;
use crate::access::{links, sign_in};
use crate::api::auth::Caller;
use crate::api::error::{ApiError, FieldErrors};
use crate::api::extract::Json;
use crate::api::problem::{Always, SignedIn, WithBody};
use crate::api::users::UserView;
use crate::app::App;
use crate::mail::{self, letters};
use crate::origin::Origin;
use crate::trail;

/// How long a link to a new password is good.
const RESET_US: i64 = 30 * 60 * SECOND_US;
/// So many links are on their way to a person at most: a mailbox is not to be filled by whoever knows its address.
const RESETS_MAX: i64 = 3;

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The one until now.
    #[schema(format = Password)]
    current_password: String,
    /// 15 to 128 characters of any script; the commonest are refused.
    #[schema(example = "correct horse battery staple", min_length = 15, max_length = 128, format = Password)]
    new_password: String,
}

/// Change the password.
///
/// All other sessions end, and links to a new password that are on their way. API keys stay as they are. A mail says so.
#[utoipa::path(
    post,
    path = "/users/me/password",
    tag = "account",
    request_body = PasswordChange,
    responses((status = 200, body = UserView, description = "Changed"), WithBody, SignedIn, Always),
)]
pub async fn change_password(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Json(request): Json<PasswordChange>,
) -> Result<Json<UserView>, ApiError> {
    let new = Password::parse(&request.new_password).map_err(|invalid| ApiError::invalid("new_password", invalid))?;
    let (user, proven) = prove(&app, caller, "current_password", &request.current_password, origin).await?;
    let password_hash = hash(&app, new, &user).await?;
    let mut tx = app.db.begin().await?;
    proven.accept(&mut tx).await?;
    set(&app, &mut tx, &user, &password_hash, caller.session).await?;
    trail::done(Action::PasswordChanged).to(user.id).record(&mut tx).await?;
    tx.commit().await?;
    app.mail.bell.ring();
    tracing::info!("a password was changed");
    Ok(Json(user.into()))
}

async fn hash(app: &App, password: Password, user: &User) -> Result<String, ApiError> {
    let about = vec![user.email.clone(), user.full_name.clone()];
    app.passwords.hash(password, about).await.map_err(|error| match error {
        PasswordError::Weak(invalid) => ApiError::invalid("new_password", invalid),
        PasswordError::Overloaded | PasswordError::Failed(_) => error.into(),
    })
}

/// Sets the password, ends all sessions but `kept` and all links that are on their way, also one that was to make another address the
/// person's, and tells the person.
async fn set(app: &App, tx: &mut Tx, user: &User, password_hash: &str, kept: Option<Uuid>) -> Result<(), ApiError> {
    let now_us = app.clock.process_us();
    users::set_password(tx, user.id, password_hash).await?;
    access::revoke_others(tx, user.id, kept, now_us).await?;
    for purpose in [Purpose::PasswordReset, Purpose::Email] {
        mail_links::void(tx, user.id, purpose).await?;
    }
    let keys = api_keys::count_usable(tx, user.id, now_us).await?;
    let programs = authorizations::count(tx, user.id, now_us).await?;
    let own = clients::count_own(tx, user.id).await?;
    let letter = letters::password_changed(app.mail.public_url(), &user.email, keys, programs, own);
    mail::queue(app, tx, &letter, mail::NOTICE_US).await?;
    Ok(())
}

/// Whose password is forgotten.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordResetRequest {
    /// The address with which the person signs in.
    #[schema(example = "alice@example.com", max_length = 254)]
    email: String,
}

/// Ask for a link to a new password.
///
/// The answer is the same and takes as long whether somebody has this address or not. If so, a link that is good once and for 30
/// minutes is sent to it; no more than three are on their way at a time.
#[utoipa::path(
    post,
    path = "/auth/password-reset",
    tag = "account",
    request_body = PasswordResetRequest,
    responses((status = 202, body = Done, description = "Taken note of"), WithBody, Always),
    security(()),
)]
pub async fn request_password_reset(
    State(app): State<App>,
    origin: Origin,
    Json(request): Json<PasswordResetRequest>,
) -> Result<Response, ApiError> {
    let email = Email::parse(&request.email).map_err(|invalid| ApiError::invalid("email", invalid))?;
    sign_in::count_reset(&app, email.as_str(), origin).await?;
    let now_us = app.clock.process_us();
    let drawn = links::draw().map_err(|error| ApiError::internal(&error))?;
    // From here on whoever is nobody costs the same statements and the same mail, which then goes to nobody.
    let mut tx = app.db.begin().await?;
    let found = users::find_by_address(&mut tx, &email.key()).await?;
    // Of several at once one waits and counts the others' links; who has got another address meanwhile has this one no more.
    users::lock(&mut tx, found.map_or(Uuid::nil().into(), |user| user.id)).await?;
    let found = users::find_by_address(&mut tx, &email.key()).await?;
    let user_id = found.as_ref().map(|user| user.id);
    // Counted in memory, which takes as long for whoever is nobody.
    app.folds.note(Action::PasswordResetAsked, user_id, None);
    let sent = mail_links::count_since(
        &mut tx,
        user_id.unwrap_or(Uuid::nil().into()),
        Purpose::PasswordReset,
        now_us - RESET_US,
    )
    .await?;
    let user_id = user_id.filter(|_| sent < RESETS_MAX);
    let new = NewLink {
        token_hash: &drawn.token_hash,
        purpose: Purpose::PasswordReset,
        user_id,
        email: None,
        now_us,
        expires_us: now_us + RESET_US,
    };
    mail_links::insert(&mut tx, new).await?;
    let to = found.as_ref().map_or(email.as_str(), |user| user.email.as_str());
    let letter = letters::password_reset(app.mail.public_url(), to, &drawn.token);
    let letter = if user_id.is_some() { letter } else { letter.to_nobody() };
    mail::queue(&app, &mut tx, &letter, RESET_US).await?;
    tx.commit().await?;
    app.mail.bell.ring();
    let done = Done { detail: "if somebody has this address, a mail is on its way to it" };
    Ok((StatusCode::ACCEPTED, Json(done)).into_response())
}

/// A new password, by a link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordReset {
    /// What follows `token=` in the link.
    token: String,
    /// 15 to 128 characters of any script; the commonest are refused.
    #[schema(example = "correct horse battery staple", min_length = 15, max_length = 128, format = Password)]
    new_password: String,
}

/// Set a new password by a link.
///
/// The link is used up, all sessions end, and a mail says so. A second factor stays on, and API keys stay as they are. The address
/// counts as confirmed: whoever has the link reads its mail.
#[utoipa::path(
    post,
    path = "/auth/password-reset/confirm",
    tag = "account",
    request_body = PasswordReset,
    responses((status = 200, body = Done, description = "The password is set"), WithBody, Always),
    security(()),
)]
pub async fn confirm_password_reset(
    State(app): State<App>,
    Json(request): Json<PasswordReset>,
) -> Result<Json<Done>, ApiError> {
    let mut errors = FieldErrors::default();
    let token_hash = links::hash(&request.token);
    let now_us = app.clock.process_us();
    let mut tx = app.db.begin_read().await?;
    let link = mail_links::find(&mut tx, &token_hash, Purpose::PasswordReset, now_us).await?;
    let user = match &link {
        Some(link) => users::find(&mut tx, link.user_id).await?,
        None => None,
    };
    drop(tx);
    let user = errors.take("token", user.ok_or_else(not_good));
    let new = errors.take("new_password", Password::parse(&request.new_password));
    let (Some(user), Some(new)) = (user, new) else { return Err(errors.into_error()) };
    let password_hash = hash(&app, new, &user).await?;
    let mut tx = app.db.begin().await?;
    // People before their links, as everywhere.
    users::lock(&mut tx, user.id).await?;
    if !mail_links::spend(&mut tx, &token_hash, now_us).await? {
        return Err(ApiError::invalid("token", not_good()));
    }
    users::verify_email(&mut tx, user.id, now_us).await?;
    set(&app, &mut tx, &user, &password_hash, None).await?;
    trail::done(Action::PasswordReset).to(user.id).about(user.id).record(&mut tx).await?;
    tx.commit().await?;
    app.mail.bell.ring();
    tracing::info!(user_id = %user.id, "a password was set by a link");
    Ok(Json(Done { detail: "the new password is set; sign in with it" }))
}

/// Used, expired, or never given: no more is said.
pub(super) fn not_good() -> Invalid {
    Invalid::new("not_good", "is not good, or not any more; ask for another link")
}

const _: () = assert!(RESET_US <= DAY_US, "links are kept for a day");
