//! The second factor: one-time codes of an authenticator, and recovery codes where that is lost.
//!
//! It guards signing in with a password. Sessions that go on and API keys are not asked: they were opened by somebody who had it.

use directpay_domain::id::UserId;
use directpay_domain::time::SECOND_US;
use directpay_domain::trail::Action;
use directpay_store::second_factors::{self, SecondFactor};
use directpay_store::{StoreError, Tx, access, users};

use super::sign_in::{Proven, SignInError};
use super::throttle::{FORGOTTEN_AFTER_US, Subject};
use super::totp;
use crate::app::App;
use crate::clock::{self, NoRandomness};
use crate::config::RateLimit;
use crate::mail::{self, letters};
use crate::secrets::VaultError;

/// How many recovery codes there are.
const RECOVERY_CODES: usize = 10;
/// Bytes of a recovery code: nobody guesses 80 bits.
const RECOVERY_BYTES: usize = 10;
/// What secrets are sealed for.
pub(crate) const PURPOSE: &str = "second factor";

/// A fresh secret, sealed in the row of the person, and not asked for yet. None where a second factor is on.
pub async fn begin(app: &App, tx: &mut Tx, user_id: UserId) -> Result<Option<Vec<u8>>, SignInError> {
    let secret = clock::random_bytes::<{ totp::SECRET_BYTES }>()?;
    let sealed = app.vault.seal_for(PURPOSE, user_id.0, &secret)?;
    Ok(second_factors::begin(tx, user_id, &sealed).await?.then(|| secret.to_vec()))
}

/// Fresh recovery codes in the place of all before them; they are shown this once.
pub async fn renew_recovery_codes(app: &App, tx: &mut Tx, user_id: UserId) -> Result<Vec<String>, SignInError> {
    let codes = (0..RECOVERY_CODES).map(|_| draw_recovery_code()).collect::<Result<Vec<_>, _>>()?;
    let hashes: Vec<_> = codes.iter().filter_map(|code| recovery_hash(app, code)).collect();
    second_factors::replace_codes(tx, user_id, &hashes).await?;
    Ok(codes)
}

/// Four groups of four letters and digits.
fn draw_recovery_code() -> Result<String, NoRandomness> {
    let text = totp::base32(&clock::random_bytes::<RECOVERY_BYTES>()?).to_lowercase();
    let groups: Vec<_> = text.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
    Ok(groups.join("-"))
}

/// By what a recovery code is recognized, however it is written; none if it is none.
fn recovery_hash(app: &App, text: &str) -> Option<String> {
    let bare: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    let is_code = bare.len() == RECOVERY_BYTES * 8 / 5 && bare.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_code.then(|| app.vault.keyed_hash("recovery code", &[&bare.to_lowercase()]))
}

/// Whether `code` is a code of now that was not used before; from then on it is.
pub async fn accept_totp(
    app: &App,
    tx: &mut Tx,
    user_id: UserId,
    factor: &SecondFactor,
    code: &str,
) -> Result<bool, SignInError> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let secret = app.vault.open_for(PURPOSE, user_id.0, &factor.secret)?;
    let now_seconds = app.clock.process_us() / SECOND_US;
    match totp::matching_step(&secret, &code, now_seconds, factor.last_step) {
        Some(step) => Ok(second_factors::use_step(tx, user_id, step).await?),
        None => Ok(false),
    }
}

async fn accept(
    app: &App,
    tx: &mut Tx,
    user_id: UserId,
    factor: &SecondFactor,
    code: &str,
) -> Result<bool, SignInError> {
    match recovery_hash(app, code) {
        Some(hash) => Ok(second_factors::use_code(tx, user_id, &hash).await?),
        None => accept_totp(app, tx, user_id, factor, code).await,
    }
}

/// Goes on for whoever needs no code or sent a right one, which is used up by that.
pub async fn pass(app: &App, proven: &Proven, code: Option<&str>) -> Result<(), SignInError> {
    let mut tx = app.db.begin_read().await?;
    let is_on = second_factors::is_on(&mut tx, proven.user_id).await?;
    drop(tx);
    match (is_on, code) {
        (false, _) => Ok(()),
        (true, None) => {
            // The password was right: that was no failure, and no success either. Whoever has stolen it may have tried it.
            app.folds.note(Action::SignInRefused, Some(proven.user_id), Some("code_missing"));
            proven.take_back(app).await?;
            Err(SignInError::CodeNeeded)
        }
        (true, Some(code)) => judge(app, proven.user_id, code).await,
    }
}

/// Goes on for a right code. It is counted before it is judged, so that many at once do not slip through.
pub async fn judge(app: &App, user_id: UserId, code: &str) -> Result<(), SignInError> {
    let tries = count_try(app, user_id).await?;
    let mut tx = app.db.begin().await?;
    let factor = second_factors::hold(&mut tx, user_id).await?.filter(|factor| factor.is_on);
    let is_right = match &factor {
        Some(factor) => accept(app, &mut tx, user_id, factor, code).await?,
        // Taken away meanwhile.
        None => true,
    };
    if !is_right {
        app.folds.note(Action::SignInRefused, Some(user_id), Some("wrong_code"));
    }
    if is_right {
        forget_tries(app, &mut tx, user_id).await?;
    } else if tries == Subject::SecondFactor.free_tries() {
        let user = users::find(&mut tx, user_id).await?.ok_or(SignInError::Denied)?;
        let letter = letters::wrong_codes(app.mail.public_url(), &user.email);
        mail::queue(app, &mut tx, &letter, mail::NOTICE_US).await?;
    }
    tx.commit().await?;
    app.mail.bell.ring();
    if is_right { Ok(()) } else { Err(SignInError::WrongCode) }
}

/// Counts a code before it is judged. Says how many in a row were tried, this one included.
pub async fn count_try(app: &App, user_id: UserId) -> Result<i64, SignInError> {
    if app.rate_limit == RateLimit::Off {
        return Ok(0);
    }
    let (now_us, subject) = (app.clock.process_us(), subject(app, user_id));
    let since_us = now_us - FORGOTTEN_AFTER_US;
    let mut tx = app.db.begin().await?;
    access::hold_failures(&mut tx, &subject).await?;
    let failures = access::failures(&mut tx, &subject, since_us).await?;
    let wait_us = Subject::SecondFactor.wait_us(failures, now_us);
    if 0 < wait_us {
        return Err(SignInError::throttled(wait_us));
    }
    access::count_failure(&mut tx, &subject, now_us, since_us).await?;
    tx.commit().await?;
    Ok(failures.map_or(0, |failures| failures.failures) + 1)
}

/// A code was right: what was tried before it does not count.
pub async fn forget_tries(app: &App, tx: &mut Tx, user_id: UserId) -> Result<(), StoreError> {
    access::clear_failures(tx, &subject(app, user_id)).await
}

/// Under which name tries are counted.
fn subject(app: &App, user_id: UserId) -> String {
    app.vault.keyed_hash(PURPOSE, &[&user_id.to_string()])
}

impl From<VaultError> for SignInError {
    fn from(error: VaultError) -> SignInError {
        SignInError::Unwritten(error.into())
    }
}
