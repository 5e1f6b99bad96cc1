//! Sealing, opening, and recognizing without knowing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chacha20poly1305::XChaCha20Poly1305;
use directpay_domain::bank_account::{AccountNumber, RoutingNumber};
use directpay_domain::id::BankAccountId;
use directpay_store::SealedText;
use directpay_store::bank_accounts::SealedNumber;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroize;

use super::{KeyFile, Secrets, hex, sealing};
use crate::clock::{self, Stopwatch};
use crate::replaceable::Replaceable;

/// The file is not asked for an unknown key again before this has passed.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Seals account numbers and other secrets, opens them for whom they are meant, and recognizes things without knowing them.
pub struct Vault {
    /// The first seals, all open.
    ciphers: Replaceable<Vec<(String, XChaCha20Poly1305)>>,
    fingerprint_key: [u8; 32],
    file: Option<KeyFile>,
    /// Held while the file is read and taken up, so that nobody puts what was read earlier over what was read later. Since the file
    /// was asked for a key that was not known.
    looked: Mutex<Option<Stopwatch>>,
}

/// A secret could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The key that the record names is not in the secrets file.
    #[error("the key {key_id} is not in the secrets file")]
    UnknownKey {
        /// Its name.
        key_id: String,
    },
    /// The record was changed, moved to another row, or sealed with another key of the same name.
    #[error("a sealed record cannot be opened")]
    Unopenable,
    /// No nonce.
    #[error(transparent)]
    NoRandomness(#[from] clock::NoRandomness),
}

impl Vault {
    pub(super) fn new(
        ciphers: Vec<(String, XChaCha20Poly1305)>,
        fingerprint_key: [u8; 32],
        file: Option<KeyFile>,
    ) -> Vault {
        Vault { ciphers: Replaceable::new(ciphers), fingerprint_key, file, looked: Mutex::new(None) }
    }

    /// To be held from before the file is read until its keys are adopted.
    pub(crate) fn taking_up(&self) -> MutexGuard<'_, Option<Stopwatch>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the keys of another vault over, [in its turn](Self::taking_up). Not that of fingerprints: it never changes, and where it does, these are the
    /// secrets of somebody else.
    pub(crate) fn adopt(&self, other: &Vault) -> anyhow::Result<()> {
        anyhow::ensure!(self.fingerprint_key == other.fingerprint_key, "these are the secrets of another database");
        let ciphers = other.ciphers.get().iter().map(|(id, cipher)| (id.clone(), cipher.clone())).collect();
        self.ciphers.set(ciphers);
        Ok(())
    }

    /// The name of the key that seals.
    pub fn sealing_key(&self) -> Option<String> {
        self.ciphers.get().first().map(|(id, _)| id.clone())
    }

    /// Seals a number so that it can be opened only in the row of account `id`.
    pub fn seal(&self, id: BankAccountId, number: &AccountNumber) -> Result<SealedNumber, VaultError> {
        let SealedText { sealed, key_id } = self.seal_bytes(id.0.as_bytes(), number.expose().as_bytes())?;
        Ok(SealedNumber { sealed_number: sealed, key_id })
    }

    /// Opens the number of account `id`: for the bank connection and nobody else.
    pub fn open(&self, id: BankAccountId, sealed: &SealedNumber) -> Result<AccountNumber, VaultError> {
        let mut opened = self.open_bytes(id.0.as_bytes(), &sealed.sealed_number, &sealed.key_id)?;
        let number = std::str::from_utf8(&opened).ok().and_then(|text| AccountNumber::parse(text).ok());
        opened.zeroize();
        number.ok_or(VaultError::Unopenable)
    }

    /// Seals what `purpose` needs in the row `id` so that it can be opened for that purpose in that row only.
    pub fn seal_for(&self, purpose: &str, id: Uuid, plain: &[u8]) -> Result<SealedText, VaultError> {
        self.seal_bytes(&bound_to(purpose, id), plain)
    }

    /// Opens what was sealed for `purpose` in the row `id`.
    pub fn open_for(&self, purpose: &str, id: Uuid, text: &SealedText) -> Result<Vec<u8>, VaultError> {
        self.open_bytes(&bound_to(purpose, id), &text.sealed, &text.key_id)
    }

    /// The same under the key that seals now, bound to what it was bound to. Account numbers have no purpose.
    pub(crate) fn renew(&self, purpose: &str, id: Uuid, text: &SealedText) -> Result<SealedText, VaultError> {
        let bound_to = bound_to(purpose, id);
        let mut plain = self.open_bytes(&bound_to, &text.sealed, &text.key_id)?;
        let renewed = self.seal_bytes(&bound_to, &plain);
        plain.zeroize();
        renewed
    }

    fn seal_bytes(&self, bound_to: &[u8], plain: &[u8]) -> Result<SealedText, VaultError> {
        let ciphers = self.ciphers.get();
        let Some((key_id, cipher)) = ciphers.first() else { return Err(VaultError::Unopenable) };
        Ok(SealedText { sealed: sealing::seal(cipher, bound_to, plain)?, key_id: key_id.clone() })
    }

    fn open_bytes(&self, bound_to: &[u8], sealed: &str, key_id: &str) -> Result<Vec<u8>, VaultError> {
        let is_named = |(id, _): &&(String, XChaCha20Poly1305)| id == key_id;
        let mut ciphers = self.ciphers.get();
        if !ciphers.iter().any(|cipher| is_named(&cipher)) {
            // Another process may have begun to use a key before this one has seen the changed file.
            self.look_again();
            ciphers = self.ciphers.get();
        }
        let found = ciphers.iter().find(is_named);
        let (_, cipher) = found.ok_or_else(|| VaultError::UnknownKey { key_id: key_id.to_owned() })?;
        sealing::open(cipher, bound_to, sealed).ok_or(VaultError::Unopenable)
    }

    /// Reads the file once more; a small file, and seldom.
    fn look_again(&self) {
        let Some(file) = &self.file else { return };
        let mut looked = self.taking_up();
        if looked.is_some_and(|at| at.elapsed() < BETWEEN_LOOKS) {
            return;
        }
        if let Err(error) = self.adopt_file(file) {
            tracing::error!(error = format!("{error:#}"), "a key is not known, and the secrets file cannot be read");
        }
        *looked = Some(Stopwatch::start());
    }

    fn adopt_file(&self, file: &KeyFile) -> anyhow::Result<()> {
        self.adopt(&Secrets::from_file(&file.read()?, None)?.vault)
    }

    /// The name of the key that seals, by the file as it is now.
    pub(crate) fn sealing_key_of_now(&self) -> anyhow::Result<Option<String>> {
        if let Some(file) = &self.file {
            let _turn = self.taking_up();
            self.adopt_file(file)?;
        }
        Ok(self.sealing_key())
    }

    /// By what the same account is recognized without being readable.
    pub fn fingerprint(&self, routing: &RoutingNumber, number: &AccountNumber) -> String {
        self.keyed_hash("bank account", &[routing.as_str(), number.expose()])
    }

    /// A keyed hash of `parts` for one `purpose`, in hexadecimal.
    pub fn keyed_hash(&self, purpose: &str, parts: &[&str]) -> String {
        // A key of any length is accepted.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.fingerprint_key) else { return String::new() };
        for part in [purpose].iter().chain(parts) {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        hex(&mac.finalize().into_bytes())
    }
}

fn bound_to(purpose: &str, id: Uuid) -> Vec<u8> {
    [purpose.as_bytes(), id.as_bytes()].concat()
}

impl Drop for Vault {
    fn drop(&mut self) {
        self.fingerprint_key.zeroize();
    }
}
