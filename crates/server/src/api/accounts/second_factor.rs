//! Turning a second factor on and off.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use directpay_domain::id::UserId;
use directpay_domain::trail::Action;
use directpay_store::{second_factors, users};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{must_be_signed_in, prove, wrong};
use crate::access::sign_in::{Proven, SignInError};
use crate::access::{second_factor, totp};
use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::extract::{Id, Json};
use crate::api::problem::{Always, OfOne, OfRole, OfState, SignedIn, WithBody};
use crate::app::App;
use crate::mail::{self, letters};
use crate::origin::Origin;
use crate::trail;

/// A second factor, without what makes its codes.
#[derive(Debug, Serialize, ToSchema)]
pub struct SecondFactorView {
    /// Whose.
    user_id: Uuid,
    /// Whether signing in with a password takes a code.
    is_on: bool,
    /// Recovery codes that were not used.
    recovery_codes_left: i64,
}

/// What an authenticator needs. It is shown this once.
#[derive(Serialize, ToSchema)]
pub struct EnrollmentView {
    /// Whose.
    user_id: Uuid,
    /// For typing it in, in base 32.
    // It is that of the RFC's examples.
    #[schema(example = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")]
    secret: String,
    /// For a picture that authenticators read: SHA-1, six digits, 30 seconds.
    #[schema(
        example = "otpauth://totp/DirectPay:a%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=DirectPay"
    )]
    otpauth_uri: String,
}

/// Recovery codes. They are shown this once.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodesView {
    /// Whose.
    user_id: Uuid,
    /// Each takes the place of a one-time code, once.
    #[schema(example = json!(["aaaa-bbbb-cccc-dddd"]))]
    recovery_codes: Vec<String>,
}

/// To make sure that it is the person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Password {
    /// The person's own.
    #[schema(format = Password)]
    password: String,
}

/// That the authenticator works.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// What the authenticator shows.
    #[schema(example = "123456")]
    code: String,
}

/// To make sure that it is the person, with both factors.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BothFactors {
    /// The person's own.
    #[schema(format = Password)]
    password: String,
    /// What the authenticator shows, or a recovery code.
    #[schema(example = "123456")]
    code: String,
}

/// Read whether a second factor is on.
///
/// And how many recovery codes are left.
#[utoipa::path(
    get,
    path = "/users/me/second-factor",
    tag = "account",
    responses((status = 200, body = SecondFactorView, description = "How it stands"), SignedIn, Always),
)]
pub async fn read_second_factor(State(app): State<App>, caller: Caller) -> Result<Json<SecondFactorView>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    let is_on = second_factors::is_on(&mut tx, caller.user_id).await?;
    let recovery_codes_left = second_factors::count_codes(&mut tx, caller.user_id).await?;
    Ok(Json(SecondFactorView { user_id: caller.user_id.0, is_on, recovery_codes_left }))
}

/// Begin to set up a second factor.
///
/// The answer shows a secret for an authenticator. Nothing changes until a code of it is confirmed; beginning again makes
/// another secret.
#[utoipa::path(
    post,
    path = "/users/me/second-factor",
    tag = "account",
    request_body = Password,
    responses(
        (status = 201, body = EnrollmentView, description = "Begun"),
        WithBody, OfState, SignedIn, Always,
    ),
)]
pub async fn begin_second_factor(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Json(request): Json<Password>,
) -> Result<Response, ApiError> {
    let (user, proven) = prove(&app, caller, "password", &request.password, origin).await?;
    let mut tx = app.db.begin().await?;
    proven.accept(&mut tx).await?;
    let begun = second_factor::begin(&app, &mut tx, user.id).await?;
    let secret = begun.ok_or_else(|| ApiError::conflict("second_factor_on", "a second factor is on already"))?;
    trail::done(Action::SecondFactorBegun).to(user.id).record(&mut tx).await?;
    tx.commit().await?;
    let otpauth_uri = totp::uri(&user.email, &secret);
    let view = EnrollmentView { user_id: user.id.0, secret: totp::base32(&secret), otpauth_uri };
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// Turn the second factor on.
///
/// With a code of the authenticator. From then on `POST /api/v1/auth/token` wants a code as `otp` besides the password. The answer
/// shows ten recovery codes, each good once where the authenticator is lost; a mail says that it is on.
#[utoipa::path(
    post,
    path = "/users/me/second-factor/confirm",
    tag = "account",
    request_body = Code,
    responses(
        (status = 200, body = RecoveryCodesView, description = "It is on"),
        WithBody, OfState, SignedIn, Always,
    ),
)]
pub async fn confirm_second_factor(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<Code>,
) -> Result<Json<RecoveryCodesView>, ApiError> {
    must_be_signed_in(&app, caller).await?;
    second_factor::count_try(&app, caller.user_id).await?;
    let mut tx = app.db.begin().await?;
    let user = users::find(&mut tx, caller.user_id).await?.ok_or_else(ApiError::unauthorized)?;
    let begun = second_factors::hold(&mut tx, user.id).await?.filter(|factor| !factor.is_on);
    let factor =
        begun.ok_or_else(|| ApiError::conflict("second_factor_not_begun", "no second factor is being set up"))?;
    if !second_factor::accept_totp(&app, &mut tx, user.id, &factor, &request.code).await? {
        return Err(wrong_code());
    }
    second_factor::forget_tries(&app, &mut tx, user.id).await?;
    second_factors::confirm(&mut tx, user.id, app.clock.process_us()).await?;
    trail::done(Action::SecondFactorTurnedOn).to(user.id).record(&mut tx).await?;
    let recovery_codes = second_factor::renew_recovery_codes(&app, &mut tx, user.id).await?;
    let letter = letters::second_factor_on(app.mail.public_url(), &user.email);
    mail::queue(&app, &mut tx, &letter, mail::NOTICE_US).await?;
    tx.commit().await?;
    app.mail.bell.ring();
    tracing::info!("a second factor was turned on");
    Ok(Json(RecoveryCodesView { user_id: user.id.0, recovery_codes }))
}

fn wrong_code() -> ApiError {
    ApiError::invalid("code", wrong("is not a code of now, or was used before"))
}

/// The caller's both factors. Refused where there is no second one.
async fn prove_both(
    app: &App,
    caller: Caller,
    request: &BothFactors,
    origin: Origin,
) -> Result<(users::User, Proven), ApiError> {
    let mut tx = app.db.begin_read().await?;
    if !second_factors::is_on(&mut tx, caller.user_id).await? {
        return Err(is_off());
    }
    drop(tx);
    let (user, proven) = prove(app, caller, "password", &request.password, origin).await?;
    match second_factor::judge(app, user.id, &request.code).await {
        Ok(()) => Ok((user, proven)),
        Err(SignInError::WrongCode) => Err(wrong_code()),
        Err(error) => Err(error.into()),
    }
}

fn is_off() -> ApiError {
    ApiError::conflict("second_factor_off", "no second factor is on")
}

/// Turn the second factor off.
///
/// With the password and a code. A mail says so.
#[utoipa::path(
    post,
    path = "/users/me/second-factor/disable",
    tag = "account",
    request_body = BothFactors,
    responses(
        (status = 200, body = SecondFactorView, description = "It is off"),
        WithBody, OfState, SignedIn, Always,
    ),
)]
pub async fn disable_second_factor(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Json(request): Json<BothFactors>,
) -> Result<Json<SecondFactorView>, ApiError> {
    let (user, proven) = prove_both(&app, caller, &request, origin).await?;
    take_away(&app, caller, user.id, Some(proven)).await
}

/// Make recovery codes anew.
///
/// With the password and a code. Those from before are worthless; a mail says so.
#[utoipa::path(
    post,
    path = "/users/me/second-factor/recovery-codes",
    tag = "account",
    request_body = BothFactors,
    responses(
        (status = 200, body = RecoveryCodesView, description = "The new ones"),
        WithBody, OfState, SignedIn, Always,
    ),
)]
pub async fn renew_recovery_codes(
    State(app): State<App>,
    caller: Caller,
    origin: Origin,
    Json(request): Json<BothFactors>,
) -> Result<Json<RecoveryCodesView>, ApiError> {
    let (user, proven) = prove_both(&app, caller, &request, origin).await?;
    let mut tx = app.db.begin().await?;
    proven.accept(&mut tx).await?;
    // An administrator may have taken it away meanwhile.
    second_factors::hold(&mut tx, user.id).await?.ok_or_else(is_off)?;
    let recovery_codes = second_factor::renew_recovery_codes(&app, &mut tx, user.id).await?;
    trail::done(Action::RecoveryCodesRenewed).to(user.id).record(&mut tx).await?;
    let letter = letters::recovery_codes_renewed(app.mail.public_url(), &user.email);
    mail::queue(&app, &mut tx, &letter, mail::NOTICE_US).await?;
    tx.commit().await?;
    app.mail.bell.ring();
    Ok(Json(RecoveryCodesView { user_id: user.id.0, recovery_codes }))
}

/// Take somebody's second factor away.
///
/// For administrators, when somebody has lost authenticator and recovery codes. The person is told by mail, and the log says who did it.
#[utoipa::path(
    post,
    path = "/users/{id}/second-factor/remove",
    tag = "account",
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, body = SecondFactorView, description = "It is off"),
        OfOne, OfRole, OfState, SignedIn, Always,
    ),
)]
pub async fn remove_second_factor(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<UserId>,
) -> Result<Json<SecondFactorView>, ApiError> {
    caller.must_be_admin()?;
    must_be_signed_in(&app, caller).await?;
    if id == caller.user_id {
        return Err(ApiError::forbidden("turn off your own with your password and a code"));
    }
    take_away(&app, caller, id, None).await
}

async fn take_away(
    app: &App,
    caller: Caller,
    id: UserId,
    proven: Option<Proven>,
) -> Result<Json<SecondFactorView>, ApiError> {
    let action = if proven.is_some() { Action::SecondFactorTurnedOff } else { Action::SecondFactorRemoved };
    let mut tx = app.db.begin().await?;
    if let Some(proven) = proven {
        proven.accept(&mut tx).await?;
    }
    let user = users::find(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    if !second_factors::remove(&mut tx, id).await? {
        return Err(is_off());
    }
    trail::done(action).to(id).about(id).record(&mut tx).await?;
    let letter = letters::second_factor_off(app.mail.public_url(), &user.email);
    mail::queue(app, &mut tx, &letter, mail::NOTICE_US).await?;
    tx.commit().await?;
    app.mail.bell.ring();
    tracing::warn!(of = %id, by = %caller.user_id, "a second factor was removed");
    Ok(Json(SecondFactorView { user_id: id.0, is_on: false, recovery_codes_left: 0 }))
}
