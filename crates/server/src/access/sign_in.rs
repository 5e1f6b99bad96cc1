//! Signing in, staying signed in, signing out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use directpay_domain::id::UserId;
use directpay_domain::time::SECOND_US;
use directpay_domain::trail::{self as of_trail, Action, Actor, Credential};
use directpay_domain::user::{Email, Password, Role};
use directpay_store::access::{self, NewFamily};
use directpay_store::{StoreError, Tx, users};
use uuid::Uuid;

use super::passwords::PasswordError;
use super::second_factor;
use super::throttle::{FORGOTTEN_AFTER_US, Subject};
use super::tokens::{ACCESS_SECONDS, Identity, Unsigned};
use crate::api::request_id;
use crate::app::App;
use crate::clock::{self, NoRandomness};
use crate::config::RateLimit;
use crate::mail::Unwritten;
use crate::origin::Origin;
use crate::secrets::sha256_hex;
use crate::trail;

/// How long a refresh token is good.
const REFRESH_US: i64 = 30 * 86_400 * SECOND_US;

/// What a sign-in gives.
pub struct Session {
    /// For each request.
    pub access_token: String,
    /// Seconds until it is worthless.
    pub expires_in: i64,
    /// For the next access token; good once.
    pub refresh_token: String,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// E-mail or password is wrong, or the refresh token is not good any more. No more is said.
    #[error("the credentials are not right")]
    Denied,
    /// The password is right, and a one-time code is needed besides.
    #[error("a one-time code is needed")]
    CodeNeeded,
    /// The password is right, the one-time code is not.
    #[error("the one-time code is not right")]
    WrongCode,
    /// Too many failures.
    #[error("too many failed sign-ins; wait {wait_seconds} s")]
    Throttled {
        /// Seconds.
        wait_seconds: i64,
    },
    /// The password was not verified.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No token could be made.
    #[error(transparent)]
    Unsigned(#[from] Unsigned),
    /// No token could be drawn.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// Whom it concerns could not be told.
    #[error(transparent)]
    Unwritten(#[from] Unwritten),
}

impl SignInError {
    /// Too many failures; wait so many microseconds.
    pub fn throttled(wait_us: i64) -> SignInError {
        SignInError::Throttled { wait_seconds: (wait_us + SECOND_US - 1) / SECOND_US }
    }
}

/// Signs in with e-mail, password and, where a second factor is on, a one-time code from a network address.
pub async fn with_password(
    app: &App,
    email: &str,
    password: &str,
    code: Option<&str>,
    origin: Origin,
) -> Result<Session, SignInError> {
    let proven = prove(app, email, password, origin).await?;
    second_factor::pass(app, &proven, code).await?;
    open(app, proven).await
}

/// Whose e-mail and password these are; the try is counted.
pub async fn prove(app: &App, email: &str, password: &str, origin: Origin) -> Result<Proven, SignInError> {
    let subjects = Subjects::of(app, "sign-in", email, origin);
    count_attempt(app, &subjects).await?;
    let mut tx = app.db.begin_read().await?;
    let found = match &subjects.email {
        Some(email) => users::credentials(&mut tx, email).await?,
        None => None,
    };
    drop(tx);
    // What could never have been a password is compared as it is: it takes as long and matches nothing.
    let normalized = Password::parse(password).map_or_else(|_| password.to_owned(), |p| p.expose().to_owned());
    let stored = found.as_ref().map(|credentials| credentials.password_hash.clone());
    let is_right = app.passwords.verify(normalized, stored).await?;
    if !is_right {
        let person = found.as_ref().map(|credentials| UserId(credentials.id));
        app.folds.note(Action::SignInRefused, person, Some("wrong_password"));
    }
    let credentials = found.filter(|_| is_right).ok_or(SignInError::Denied)?;
    Ok(Proven { user_id: UserId(credentials.id), password_hash: credentials.password_hash, subjects })
}

/// Counts a try to have a password reset: apart from sign-ins, so that neither slows the other down.
pub async fn count_reset(app: &App, email: &str, origin: Origin) -> Result<(), SignInError> {
    count_attempt(app, &Subjects::of(app, "password reset", email, origin)).await
}

/// Somebody who knows a password.
pub struct Proven {
    /// Whose.
    pub user_id: UserId,
    /// By what the password was known when it was compared.
    password_hash: String,
    subjects: Subjects,
}

impl Proven {
    /// The try was a success, if the password is still the same: comparing takes a while, and whoever set another one meanwhile
    /// has ended what the old one opens. The person's row is held; failures before are forgotten.
    pub async fn accept(&self, tx: &mut Tx) -> Result<(), SignInError> {
        if users::hold_password(tx, self.user_id).await?.as_ref() != Some(&self.password_hash) {
            return Err(SignInError::Denied);
        }
        Ok(self.forget_failures(tx).await?)
    }

    async fn forget_failures(&self, tx: &mut Tx) -> Result<(), StoreError> {
        access::clear_failures(tx, &self.subjects.pair_key).await?;
        access::clear_failures(tx, &self.subjects.email_key).await?;
        // Others behind the same address may have failed: only this try is taken back.
        access::forgive_failure(tx, &self.subjects.address_key).await
    }

    /// The try was neither a success nor a failure.
    pub(super) async fn take_back(&self, app: &App) -> Result<(), StoreError> {
        if app.rate_limit == RateLimit::Off {
            return Ok(());
        }
        let mut tx = app.db.begin().await?;
        for (_, key) in self.subjects.all() {
            access::forgive_failure(&mut tx, key).await?;
        }
        tx.commit().await
    }
}

/// Exchanges a refresh token for a new one. A token that comes a second time ends its whole family: one of the two who
/// presented it was a thief.
pub async fn with_refresh_token(app: &App, token: &str) -> Result<Session, SignInError> {
    let now_us = app.clock.process_us();
    let token_hash = sha256_hex(token);
    let mut tx = app.db.begin().await?;
    let found = access::find_token(&mut tx, &token_hash, now_us).await?.ok_or(SignInError::Denied)?;
    request_id::is_of(found.user_id, found.role, None);
    let session_id = found.family;
    if found.is_reused {
        if access::revoke_family(&mut tx, session_id, now_us).await? {
            let reused = trail::done(Action::SessionReused).to(of_trail::Subject::session(session_id));
            reused.about(found.user_id).record(&mut tx).await?;
        }
        tx.commit().await?;
        tracing::warn!(user_id = %found.user_id, "a refresh token was used twice; its family is revoked");
        return Err(SignInError::Denied);
    }
    if !found.is_valid {
        app.folds.note(Action::SignInRefused, Some(found.user_id), Some("session_over"));
        return Err(SignInError::Denied);
    }
    request_id::is_of(found.user_id, found.role, Some(Credential::Session(session_id)));
    access::use_token(&mut tx, &token_hash, now_us).await?;
    let identity = Identity { user_id: found.user_id, role: found.role, session: session_id };
    let session = session(app, &mut tx, identity, now_us).await?;
    tx.commit().await?;
    Ok(session)
}

/// Ends the family that an access or refresh token belongs to; a token that is worthless already is no error (RFC 7009).
pub async fn revoke(app: &App, token: &str) -> Result<(), SignInError> {
    let now_us = app.clock.process_us();
    let mut tx = app.db.begin().await?;
    let found = match app.tokens.verify(token, now_us) {
        Some(identity) => Some((identity.user_id, identity.role, identity.session)),
        None => {
            let found = access::find_token(&mut tx, &sha256_hex(token), now_us).await?;
            found.map(|found| (found.user_id, found.role, found.family))
        }
    };
    if let Some((user_id, role, family)) = found {
        if !access::revoke_family(&mut tx, family, now_us).await? {
            return Ok(());
        }
        let by = of_session(user_id, role, family);
        trail::done(Action::SessionEnded).by(by).to(of_trail::Subject::session(family)).record(&mut tx).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Under which names failures are counted; none of them can be read back.
struct Subjects {
    /// The e-mail in its unique form, if it is one at all.
    email: Option<String>,
    pair_key: String,
    email_key: String,
    address_key: String,
    /// As sign-ins remember the address.
    origin_key: String,
}

impl Subjects {
    fn of(app: &App, what: &str, email: &str, origin: Origin) -> Subjects {
        let address = origin.household().to_string();
        let key = Email::parse(email).ok().map(|email| email.key());
        let named = key.clone().unwrap_or_else(|| email.trim().to_lowercase());
        Subjects {
            email: key,
            pair_key: app.vault.keyed_hash(&format!("{what} pair"), &[&named, &address]),
            email_key: app.vault.keyed_hash(&format!("{what} e-mail"), &[&named]),
            address_key: app.vault.keyed_hash(&format!("{what} address"), &[&address]),
            origin_key: app.vault.keyed_hash("sign-in address", &[&address]),
        }
    }

    /// In the order in which their counts are held.
    fn all(&self) -> [(Subject, &str); 3] {
        [(Subject::Pair, &self.pair_key), (Subject::Email, &self.email_key), (Subject::Address, &self.address_key)]
    }
}

/// Counts the try before it is made, so that many at once do not slip through; success takes it back.
async fn count_attempt(app: &App, subjects: &Subjects) -> Result<(), SignInError> {
    if app.rate_limit == RateLimit::Off {
        return Ok(());
    }
    let now_us = app.clock.process_us();
    let since_us = now_us - FORGOTTEN_AFTER_US;
    let mut tx = app.db.begin().await?;
    let (mut wait_us, mut person_wait_us) = (0, 0);
    for (subject, key) in subjects.all() {
        access::hold_failures(&mut tx, key).await?;
        let wait = subject.wait_us(access::failures(&mut tx, key, since_us).await?, now_us);
        match subject {
            Subject::Address => wait_us = wait,
            Subject::Pair | Subject::Email | Subject::SecondFactor => person_wait_us = wait.max(person_wait_us),
        }
    }
    if wait_us < person_wait_us && !is_known(&mut tx, subjects, now_us).await? {
        wait_us = person_wait_us;
    }
    if 0 < wait_us {
        let found = match &subjects.email {
            Some(email) => users::credentials(&mut tx, email).await?,
            None => None,
        };
        app.folds.note(Action::SignInRefused, found.map(|found| UserId(found.id)), Some("throttled"));
        return Err(SignInError::throttled(wait_us));
    }
    for (_, key) in subjects.all() {
        access::count_failure(&mut tx, key, now_us, since_us).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn is_known(tx: &mut Tx, subjects: &Subjects, now_us: i64) -> Result<bool, StoreError> {
    match &subjects.email {
        Some(email) => access::is_known_address(tx, email, &subjects.origin_key, now_us).await,
        None => Ok(false),
    }
}

/// Whoever signed in there, for the trail.
fn of_session(id: UserId, role: Role, family: Uuid) -> Actor {
    Actor::User { id, is_admin: role == Role::Admin, credential: Some(Credential::Session(family)) }
}

async fn open(app: &App, proven: Proven) -> Result<Session, SignInError> {
    let now_us = app.clock.process_us();
    let mut tx = app.db.begin().await?;
    let identity = begin_family(&mut tx, &proven, now_us, REFRESH_US).await?;
    let session = session(app, &mut tx, identity, now_us).await?;
    tx.commit().await?;
    Ok(session)
}

/// The try was a success: it is the beginning of a session, which lasts as long unless something prolongs it.
pub(super) async fn begin_family(
    tx: &mut Tx,
    proven: &Proven,
    now_us: i64,
    lasts_us: i64,
) -> Result<Identity, SignInError> {
    let user_id = proven.user_id;
    proven.accept(tx).await?;
    let role = users::find(tx, user_id).await?.map(|user| user.role).ok_or(SignInError::Denied)?;
    request_id::is_of(user_id, role, None);
    let family = clock::new_id();
    let address_key = &proven.subjects.origin_key;
    let new = NewFamily { id: family, user_id, address_key, now_us, expires_us: now_us + lasts_us };
    access::insert_family(tx, new).await?;
    let by = of_session(user_id, role, family);
    trail::done(Action::SignInSucceeded).by(by).to(of_trail::Subject::session(family)).record(tx).await?;
    Ok(Identity { user_id, role, session: family })
}

async fn session(app: &App, tx: &mut Tx, identity: Identity, now_us: i64) -> Result<Session, SignInError> {
    let refresh_token = BASE64URL.encode(clock::random_bytes::<32>()?);
    access::insert_token(tx, &sha256_hex(&refresh_token), identity.session, now_us, now_us + REFRESH_US).await?;
    Ok(Session { access_token: app.tokens.sign(identity, now_us)?, expires_in: ACCESS_SECONDS, refresh_token })
}
