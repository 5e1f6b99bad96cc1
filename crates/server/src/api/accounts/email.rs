//! Name, phone number and e-mail address; proving that an address is the person's.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directpay_domain::id::UserId;
use directpay_domain::invalid::Invalid;
use directpay_domain::text::Line;
use directpay_domain::time::{DAY_US, SECOND_US};
use directpay_domain::trail::Action;
use directpay_domain::user::{Email, Phone};
use directpay_store::mail_links::{self, NewLink, Purpose};
use directpay_store::users::{self, User};
use directpay_store::{StoreError, Tx};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::password::not_good;
use super::{Done, must_be_signed_in, prove};
use crate::access::links;
use crate::api::auth::Caller;
use crate::api::error::{ApiError, FieldErrors};
use crate::api::extract::Json;
use crate::api::problem::{Always, OfState, SignedIn, WithBody};
use crate::api::users::UserView;
use crate::app::App;
use crate::mail::{self, letters};
use crate::origin::Origin;
use crate::trail;

/// How long a link that proves an address is good.
const CONFIRM_US: i64 = DAY_US;
/// So many of them are sent to the addresses that a person names, within this time.
const CONFIRMS_MAX: i64 = 3;
const CONFIRMS_WITHIN_US: i64 = 10 * 60 * SECOND_US;

/// What of a profile is to change; what is omitted stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileChange {
    /// As it should be shown.
    #[serde(default, deserialize_with = "given")]
    #[schema(example = "Alice Archer", min_length = 1, max_length = 200, value_type = Option<String>, nullable = false)]
    full_name: Option<String>,
    /// With country code; null removes it.
    #[serde(default, deserialize_with = "given")]
    #[schema(example = "+1 555 010 2030", value_type = Option<String>)]
    phone: Option<Option<String>>,
}

/// Tells null from what is omitted.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Change name or phone number.
///
/// What was written under the former name (leases' histories, statements) shows the new one from then on.
#[utoipa::path(
    patch,
    path = "/users/me",
    tag = "account",
    request_body = ProfileChange,
    responses((status = 200, body = UserView, description = "The profile as it is now"), WithBody, SignedIn, Always),
)]
pub async fn update_me(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<ProfileChange>,
) -> Result<Json<UserView>, ApiError> {
    let mut errors = FieldErrors::default();
    let full_name = errors.take_optional("full_name", request.full_name.as_deref(), Line::parse);
    let phone = errors.take_optional("phone", request.phone, |phone| phone.as_deref().map(Phone::parse).transpose());
    let (Some(full_name), Some(phone)) = (full_name, phone) else { return Err(errors.into_error()) };
    let mut tx = app.db.begin().await?;
    users::lock(&mut tx, caller.user_id).await?;
    let mut user = users::find(&mut tx, caller.user_id).await?.ok_or_else(ApiError::unauthorized)?;
    let before = (user.full_name.clone(), user.phone.clone());
    if let Some(full_name) = full_name {
        user.full_name = full_name.into_string();
    }
    if let Some(phone) = phone {
        user.phone = phone.map(|phone| phone.as_str().to_owned());
    }
    if (&user.full_name, &user.phone) != (&before.0, &before.1) {
        users::set_profile(&mut tx, user.id, &user.full_name, user.phone.as_deref()).await?;
        trail::done(Action::ProfileChanged).to(user.id).record(&mut tx).await?;
        tx.commit().await?;
    }
    Ok(Json(user.into()))
}

/// Another e-mail address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailChange {
    /// The new one.
    #[schema(example = "alice@example.org", max_length = 254)]
    email: String,
    /// To make sure that it is the person.
    #[schema(format = Password)]
    password: String,
}

/// Change the e-mail address.
///
/// A link is sent to the new address; the old one stays until it is opened. Then the old one is told. A further change takes the
/// place of one that waits.
#[utoipa::path(
    post,
    path = "/users/me/email",
    tag = "account",
    request_body = EmailChange,
    responses(
        (status = 202, body = UserView, description = "The new address is asked; the profile as it is until then"),
        WithBody, OfState, SignedIn, Always,
    ),
)]
pub async fn change_email(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Json(request): Json<EmailChange>,
) -> Result<Response, ApiError> {
    let email = Email::parse(&request.email).map_err(|invalid| ApiError::invalid("email", invalid))?;
    let (user, proven) = prove(&app, caller, "password", &request.password, origin).await?;
    let mut tx = app.db.begin().await?;
    let owner = users::find_by_address(&mut tx, &email.key()).await?;
    if owner.is_some_and(|owner| owner.id != user.id) {
        return Err(email_taken());
    }
    proven.accept(&mut tx).await?;
    ask(&app, &mut tx, user.id, &email).await?;
    trail::done(Action::EmailChangeAsked).to(user.id).record(&mut tx).await?;
    tx.commit().await?;
    app.mail.bell.ring();
    Ok((StatusCode::ACCEPTED, Json(UserView::from(user))).into_response())
}

/// Send the link again that confirms the address.
///
/// Where the server sends mail, people are found by their address (`GET /api/v1/users/role/{role}?email=`) only when they have
/// confirmed it.
#[utoipa::path(
    post,
    path = "/users/me/email/verification",
    tag = "account",
    responses((status = 202, body = UserView, description = "A mail is on its way"), OfState, SignedIn, Always),
)]
pub async fn send_email_verification(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    must_be_signed_in(&app, caller).await?;
    let mut tx = app.db.begin().await?;
    let user = users::find(&mut tx, caller.user_id).await?.ok_or_else(ApiError::unauthorized)?;
    if counts_as_verified(&app, &mut tx, user.id).await? {
        return Err(ApiError::conflict("email_verified", "this address needs no confirmation"));
    }
    ask(&app, &mut tx, user.id, &email_of(&user)?).await?;
    trail::done(Action::EmailConfirmationAsked).to(user.id).record(&mut tx).await?;
    tx.commit().await?;
    app.mail.bell.ring();
    Ok((StatusCode::ACCEPTED, Json(UserView::from(user))).into_response())
}

fn email_of(user: &User) -> Result<Email, ApiError> {
    let stored = |source| ApiError::from(StoreError::Damaged { what: "e-mail address", source });
    Email::parse(&user.email).map_err(stored)
}

/// Whether an address is the person's, or nobody could be asked.
pub async fn counts_as_verified(app: &App, tx: &mut Tx, user_id: UserId) -> Result<bool, StoreError> {
    Ok(!app.mail.reaches_people() || users::is_email_verified(tx, user_id).await?)
}

/// Asks whoever reads the mail of `email` whether it is the person's; links from before are good no more. The caller rings.
pub async fn ask(app: &App, tx: &mut Tx, user_id: UserId, email: &Email) -> Result<(), ApiError> {
    let now_us = app.clock.process_us();
    // Of two at once one waits, and counts the other's link.
    users::lock(tx, user_id).await?;
    if CONFIRMS_MAX <= mail_links::count_since(tx, user_id, Purpose::Email, now_us - CONFIRMS_WITHIN_US).await? {
        return Err(ApiError::too_many_failures(CONFIRMS_WITHIN_US / SECOND_US));
    }
    mail_links::void(tx, user_id, Purpose::Email).await?;
    let drawn = links::draw().map_err(|error| ApiError::internal(&error))?;
    let new = NewLink {
        token_hash: &drawn.token_hash,
        purpose: Purpose::Email,
        user_id: Some(user_id),
        email: Some(email.as_str()),
        now_us,
        expires_us: now_us + CONFIRM_US,
    };
    mail_links::insert(tx, new).await?;
    let letter = letters::confirm_email(app.mail.public_url(), email, &drawn.token);
    mail::queue(app, tx, &letter, CONFIRM_US).await?;
    Ok(())
}

/// A link that proves an address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailConfirmation {
    /// What follows `token=` in the link.
    token: String,
}

/// Confirm an e-mail address by a link.
///
/// The address is from then on the one that the person signs in with; a former one is told, and links to a new password that were
/// sent there are good no more.
#[utoipa::path(
    post,
    path = "/auth/email/confirm",
    tag = "account",
    request_body = EmailConfirmation,
    responses((status = 200, body = Done, description = "The address is confirmed"), WithBody, OfState, Always),
    security(()),
)]
pub async fn confirm_email(
    State(app): State<App>,
    Json(request): Json<EmailConfirmation>,
) -> Result<Json<Done>, ApiError> {
    let token_hash = links::hash(&request.token);
    let now_us = app.clock.process_us();
    let not_good = || ApiError::invalid("token", not_good());
    let mut tx = app.db.begin().await?;
    let link = mail_links::find(&mut tx, &token_hash, Purpose::Email, now_us).await?.ok_or_else(not_good)?;
    // People before their links, as everywhere.
    users::lock(&mut tx, link.user_id).await?;
    if !mail_links::spend(&mut tx, &token_hash, now_us).await? {
        return Err(not_good());
    }
    let user = users::find(&mut tx, link.user_id).await?.ok_or_else(not_good)?;
    let proven: Result<Email, Invalid> = Email::parse(&link.email.unwrap_or_default());
    let email = proven.map_err(|source| StoreError::Damaged { what: "e-mail address", source })?;
    let is_new = email.key() != email_of(&user)?.key();
    users::set_email(&mut tx, user.id, email.as_str(), &email.key(), now_us)
        .await
        .map_err(|error| if error.breaks("users_email") { email_taken() } else { error.into() })?;
    trail::done(Action::EmailConfirmed).to(user.id).about(user.id).record(&mut tx).await?;
    if is_new {
        mail_links::void(&mut tx, user.id, Purpose::PasswordReset).await?;
        let letter = letters::email_changed(app.mail.public_url(), &user.email);
        mail::queue(&app, &mut tx, &letter, mail::NOTICE_US).await?;
    }
    tx.commit().await?;
    app.mail.bell.ring();
    tracing::info!(user_id = %user.id, is_new, "an e-mail address was confirmed");
    Ok(Json(Done { detail: "the address is confirmed" }))
}

/// Somebody else has the address.
pub fn email_taken() -> ApiError {
    ApiError::conflict("email_taken", "somebody has signed up with this e-mail address already")
}
