//! Hashing and judging passwords, off the async threads and a bounded number at a time.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use directpay_domain::invalid::Invalid;
use directpay_domain::user::Password;
use tokio::sync::Semaphore;

use crate::clock;

/// Hashes at work at the same time: each takes 19 MiB and a core for some tens of milliseconds.
const AT_WORK_MAX: usize = 2;
/// Hashes waiting for their turn before callers are sent away.
const WAITING_MAX: usize = 256;
/// A password that can be guessed in fewer tries than this is among the commonest, or made from them.
const GUESSES_MIN: u64 = 10_000_000;

/// Hashes and verifies passwords.
#[derive(Clone)]
pub struct Passwords {
    at_work: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Verified against when an e-mail is unknown, so that it takes as long as a known one.
    nobody: Arc<str>,
}

/// Why a password was not hashed or verified.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many are waiting.
    #[error("too many passwords are waiting to be hashed")]
    Overloaded,
    /// Among the commonest, or made of the person's own data.
    #[error(transparent)]
    Weak(Invalid),
    /// The hash function failed; the text is for the log.
    #[error("a password could not be hashed: {0}")]
    Failed(String),
}

impl Passwords {
    /// Ready to work. Costs one hash.
    pub fn new() -> Result<Passwords, PasswordError> {
        Ok(Passwords {
            at_work: Arc::new(Semaphore::new(AT_WORK_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            nobody: hash("a password that nobody has")?.into(),
        })
    }

    /// Refuses a password that is too common (NIST SP 800-63B-4, section 3.1.1.2) or made from `about`, what is known of the
    /// person; else hashes it with argon2id.
    pub async fn hash(&self, password: Password, about: Vec<String>) -> Result<String, PasswordError> {
        self.work(move || {
            judge(password.expose(), &about).map_err(PasswordError::Weak)?;
            hash(password.expose())
        })
        .await
    }

    /// Whether `password` is the one of `stored`; takes as long when there is none.
    pub async fn verify(&self, password: String, stored: Option<String>) -> Result<bool, PasswordError> {
        let nobody = Arc::clone(&self.nobody);
        self.work(move || {
            let matches = verify(&password, stored.as_deref().unwrap_or(&nobody))?;
            Ok(matches && stored.is_some())
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _waiting = self.waiting.try_acquire().map_err(|_| PasswordError::Overloaded)?;
        let at_work = Arc::clone(&self.at_work).acquire_owned().await.map_err(|_| PasswordError::Overloaded)?;
        let done = tokio::task::spawn_blocking(move || {
            let _at_work = at_work;
            job()
        });
        done.await.map_err(|error| PasswordError::Failed(error.to_string()))?
    }
}

fn hash(password: &str) -> Result<String, PasswordError> {
    let failed = |error: &dyn std::fmt::Display| PasswordError::Failed(error.to_string());
    let salt = clock::random_bytes::<16>().map_err(|error| failed(&error))?;
    let hash: PasswordHash =
        Argon2::default().hash_password_with_salt(password.as_bytes(), &salt).map_err(|error| failed(&error))?;
    Ok(hash.to_string())
}

fn verify(password: &str, stored: &str) -> Result<bool, PasswordError> {
    let stored = PasswordHash::new(stored).map_err(|error| PasswordError::Failed(error.to_string()))?;
    Ok(Argon2::default().verify_password(password.as_bytes(), &stored).is_ok())
}

/// Refuses what is on the lists of common passwords, simple keyboard walks, repetitions and sequences.
fn judge(password: &str, about: &[String]) -> Result<(), Invalid> {
    let about: Vec<&str> = about.iter().map(String::as_str).chain(["directpay"]).collect();
    // The estimator's time grows faster than the length; what is common shows in the beginning.
    let beginning: String = password.chars().take(40).collect();
    if GUESSES_MIN <= zxcvbn::zxcvbn(&beginning, &about).guesses() {
        return Ok(());
    }
    Err(Invalid::new("too_common", "is among the first that anybody would guess; take several unrelated words"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_passwords_are_refused_and_ordinary_phrases_are_not() {
        let about = vec!["alice@example.com".to_owned(), "Alice Archer".to_owned()];
        for common in [
            "passwordpassword",
            "123456789012345",
            "aaaaaaaaaaaaaaaa",
            "qwertyuiopasdfg",
            "abcdefghijklmnop",
            "iloveyouiloveyou",
            "password123456789",
            "directpaydirectpay",
            "alicealicealice",
            "alice@example.com",
        ] {
            assert_eq!(judge(common, &about).unwrap_err().code, "too_common", "{common}");
        }
        for good in
            ["correct horse battery staple", "a-long-enough-password", "Rent-is-due-monthly-1", "miete am ersten märz"]
        {
            assert_eq!(judge(good, &about), Ok(()), "{good}");
        }
    }

    #[tokio::test]
    async fn a_hash_verifies_its_own_password_only_and_nobody_has_none() {
        let passwords = Passwords::new().unwrap();
        let password = Password::parse("correct horse battery staple").unwrap();
        let stored = passwords.hash(password, Vec::new()).await.unwrap();
        assert!(stored.starts_with("$argon2id$"));
        let verify = |text: &str, stored| passwords.verify(text.to_owned(), stored);
        assert!(verify("correct horse battery staple", Some(stored.clone())).await.unwrap());
        assert!(!verify("correct horse battery stapler", Some(stored)).await.unwrap());
        assert!(!verify("a password that nobody has", None).await.unwrap());
    }
}
