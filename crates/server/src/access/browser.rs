//! Sessions of browsers: a cookie that stands for a sign-in. It ends with the sign-in, by signing out or by a new password, at once
//! on every process, because it is looked up each time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use directpay_domain::time::SECOND_US;
use directpay_store::browser_sessions::{self, BrowserSession};
use directpay_store::{StoreError, Tx, access};

use super::second_factor;
use super::sign_in::{self, SignInError};
use crate::app::App;
use crate::clock;
use crate::origin::Origin;

/// How long a browser stays signed in, however much it is used (NIST SP 800-63B-4 has a day at most, and half of it for two factors).
const SESSION_US: i64 = 12 * 3_600 * SECOND_US;

/// Signs a browser in, by the same rules as a program of our own. Gives what its cookie holds.
pub async fn sign_in(
    app: &App,
    email: &str,
    password: &str,
    code: Option<&str>,
    origin: Origin,
) -> Result<String, SignInError> {
    let proven = sign_in::prove(app, email, password, origin).await?;
    second_factor::pass(app, &proven, code).await?;
    let cookie = BASE64URL.encode(clock::random_bytes::<32>()?);
    let now_us = app.clock.process_us();
    let mut tx = app.db.begin().await?;
    let identity = sign_in::begin_family(&mut tx, &proven, now_us, SESSION_US).await?;
    browser_sessions::insert(&mut tx, &hash(app, &cookie), identity.session, now_us + SESSION_US).await?;
    tx.commit().await?;
    Ok(cookie)
}

/// Whose cookie it is; nobody's if the session is over.
pub async fn find(app: &App, tx: &mut Tx, cookie: &str) -> Result<Option<BrowserSession>, StoreError> {
    browser_sessions::find(tx, &hash(app, cookie), app.clock.process_us()).await
}

/// Ends the session.
pub async fn sign_out(app: &App, session: &BrowserSession) -> Result<(), StoreError> {
    let mut tx = app.db.begin().await?;
    access::revoke_family(&mut tx, session.family, app.clock.process_us()).await?;
    tx.commit().await
}

/// What each form of the session holds: only our own pages know it.
pub fn form_token(app: &App, cookie: &str) -> String {
    app.vault.keyed_hash("form of a browser session", &[cookie])
}

fn hash(app: &App, cookie: &str) -> String {
    app.vault.keyed_hash("browser session", &[cookie])
}
