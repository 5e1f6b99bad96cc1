//! The secrets file and what is done with the keys in it.
//!
//! Keys are named: each sealed number says which key opens it and each token which key signed it, so that keys can be
//! exchanged. The first key of a list is the one that is used for new things. A master key, which stands elsewhere, may wrap them all.

mod file;
mod key_file;
mod master;
mod sealing;
#[cfg(test)]
mod tests;
mod vault;

use anyhow::{Context, bail, ensure};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use self::file::NamedKey;
pub use self::file::{KeyEntry, KeyState, KeyUse, SecretsFile};
pub use self::key_file::{HeldKeyFile, KeyFile, Stamp, fresh_text};
pub use self::vault::{Vault, VaultError};
use crate::config::{SecretsPlace, SecretsSource};

/// Reads the secrets, or makes them where that is allowed. For a database that holds sealed records none are made: they
/// could open none of them.
pub fn load(source: &SecretsSource, has_sealed_records: bool) -> anyhow::Result<Secrets> {
    let file = KeyFile::at(source)?;
    if let SecretsPlace::MadeIfMissing(path) = &source.place
        && !file.exists()
    {
        if has_sealed_records {
            bail!("the secrets file {} of this database is missing; restore it", path.display());
        }
        file.make()?;
    }
    Secrets::from_file(&file.read()?, Some(file)).context("the secrets file is malformed")
}

/// The keys, ready for use.
pub struct Secrets {
    vault: Vault,
    signing: Vec<SigningKey>,
    checkpoints: Vec<SigningKey>,
    entries: Vec<KeyEntry>,
}

/// The keys, each for whoever uses it.
pub struct Parts {
    /// Seals, opens and recognizes.
    pub vault: Vault,
    /// Sign access tokens.
    pub tokens: Vec<SigningKey>,
    /// Sign checkpoints of the log.
    pub checkpoints: Vec<SigningKey>,
    /// What they are called, and which are in use.
    pub entries: Vec<KeyEntry>,
}

/// A key that signs access tokens, or checkpoints.
#[derive(Clone)]
pub struct SigningKey {
    /// Its name; `kid` in a token's header.
    pub id: String,
    /// PKCS#8; empty where only the public half is left.
    pub pkcs8: Vec<u8>,
    /// The public half, 32 bytes.
    pub public: Vec<u8>,
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        self.pkcs8.zeroize();
    }
}

impl Secrets {
    /// Makes the keys of a file usable. With `from` a key that is not known is looked for there.
    pub(crate) fn from_file(file: &SecretsFile, from: Option<KeyFile>) -> anyhow::Result<Secrets> {
        let ciphers = file
            .encryption_keys
            .iter()
            .map(|named| {
                let mut key = key_bytes(named.key.as_deref().context("an encryption key is missing")?)?;
                let cipher = XChaCha20Poly1305::new(&key.into());
                key.zeroize();
                Ok((named.id.clone(), cipher))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let signing = file.signing_keys.iter().map(signing_key).collect::<anyhow::Result<Vec<_>>>()?;
        let checkpoints = file.checkpoint_keys.iter().map(signing_key).collect::<anyhow::Result<Vec<_>>>()?;
        let can_sign = |keys: &[SigningKey]| keys.first().is_some_and(|key| !key.pkcs8.is_empty());
        if ciphers.is_empty() || !can_sign(&signing) || !can_sign(&checkpoints) {
            bail!("it lacks an encryption key, a signing key or a checkpoint key");
        }
        let entries = file.entries();
        let is_twice = |(place, entry): (usize, &KeyEntry)| entries[..place].iter().any(|other| other.id == entry.id);
        ensure!(!entries.iter().enumerate().any(is_twice), "two of its keys have the same name");
        let vault = Vault::new(ciphers, key_bytes(&file.fingerprint_key)?, from);
        Ok(Secrets { vault, signing, checkpoints, entries })
    }

    /// The keys, each for whoever uses it.
    pub fn into_parts(self) -> Parts {
        Parts { vault: self.vault, tokens: self.signing, checkpoints: self.checkpoints, entries: self.entries }
    }
}

fn key_bytes(text: &str) -> anyhow::Result<[u8; 32]> {
    let bytes = Zeroizing::new(BASE64.decode(text).map_err(|_| anyhow::anyhow!("a key is not base64"))?);
    bytes.as_slice().try_into().map_err(|_| anyhow::anyhow!("a key has not 32 bytes"))
}

fn signing_key(named: &NamedKey) -> anyhow::Result<SigningKey> {
    let decode = |text: &str| BASE64.decode(text).map_err(|_| anyhow::anyhow!("a key is not base64"));
    let id = named.id.clone();
    match (&named.key, &named.public) {
        (Some(key), None) => {
            let pkcs8 = decode(key)?;
            let pair =
                Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| anyhow::anyhow!("a signing key is not Ed25519"))?;
            Ok(SigningKey { id, public: pair.public_key().as_ref().to_vec(), pkcs8 })
        }
        (None, Some(public)) => Ok(SigningKey { id, public: decode(public)?, pkcs8: Vec::new() }),
        (Some(_), Some(_)) | (None, None) => bail!("of a key there is nothing, or too much"),
    }
}

/// The SHA-256 of a text, in hexadecimal.
pub fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
