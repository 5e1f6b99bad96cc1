//! The secrets file and what is done with the keys in it.
//!
//! Keys are named: each sealed number says which key opens it and each token which key signed it, so that keys can be
//! exchanged later. The first key of a list is the one that is used for new things.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use directpay_domain::bank_account::{AccountNumber, RoutingNumber};
use directpay_domain::id::BankAccountId;
use directpay_store::SealedText;
use directpay_store::bank_accounts::SealedNumber;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::clock;
use crate::config::SecretsPlace;

/// The secrets file as it stands on disk.
#[derive(serde::Serialize, serde::Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct SecretsFile {
    /// For account numbers and other secrets that are needed again; the first seals, all open.
    encryption_keys: Vec<NamedKey>,
    /// For fingerprints and other keyed hashes, in base64; it can never be exchanged without linking accounts and making API keys
    /// anew.
    fingerprint_key: String,
    /// For access tokens; the first signs, all verify. PKCS#8 of Ed25519 keys.
    signing_keys: Vec<NamedKey>,
    /// For checkpoints of the log, in the same way. An old one stays in the list as long as anybody may ask about its time.
    checkpoint_keys: Vec<NamedKey>,
}

/// A key and its name.
#[derive(serde::Serialize, serde::Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct NamedKey {
    id: String,
    /// Base64.
    key: String,
}

impl SecretsFile {
    /// Fresh secrets.
    pub fn generate() -> anyhow::Result<SecretsFile> {
        let name =
            |prefix: &str| -> anyhow::Result<String> { Ok(format!("{prefix}-{}", hex(&clock::random_bytes::<4>()?))) };
        let pair = |prefix: &str| -> anyhow::Result<NamedKey> {
            let pair = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())?;
            Ok(NamedKey { id: name(prefix)?, key: BASE64.encode(pair.as_ref()) })
        };
        Ok(SecretsFile {
            encryption_keys: vec![NamedKey { id: name("enc")?, key: BASE64.encode(clock::random_bytes::<32>()?) }],
            fingerprint_key: BASE64.encode(clock::random_bytes::<32>()?),
            signing_keys: vec![pair("sig")?],
            checkpoint_keys: vec![pair("log")?],
        })
    }

    /// The text of the file.
    pub fn to_text(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// Reads the secrets, or makes them where that is allowed. For a database that holds sealed records none are made: they
/// could open none of them.
pub fn load(place: &SecretsPlace, has_sealed_records: bool) -> anyhow::Result<Secrets> {
    match place {
        SecretsPlace::Unnamed => bail!(
            "with PostgreSQL the secrets file must be named: set DIRECTPAY_SECRETS_FILE to a file made by `directpay secrets`"
        ),
        SecretsPlace::MustExist(file) => read(file),
        SecretsPlace::MadeIfMissing(file) => {
            if !file.exists() {
                if has_sealed_records {
                    bail!("the secrets file {} of this database is missing; restore it", file.display());
                }
                make(file)?;
            }
            read(file)
        }
    }
}

fn make(file: &Path) -> anyhow::Result<()> {
    let text = SecretsFile::generate()?.to_text()?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let context = || format!("cannot make the secrets file {}", file.display());
    // Whole or not at all, whatever crashes; for its owner only from the beginning.
    let mut made = tempfile::NamedTempFile::new_in(folder).with_context(context)?;
    made.write_all(text.as_bytes())?;
    made.as_file().sync_all()?;
    made.persist_noclobber(file).with_context(context)?;
    // The name must survive a crash as well: numbers sealed with these keys will.
    File::open(folder)?.sync_all()?;
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<Secrets> {
    let named = || format!("the secrets file {}", file.display());
    let mode = fs::metadata(file).with_context(|| format!("cannot read {}", named()))?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!("{} can be read by others (mode {:o}); make it 0600", named(), mode & 0o777);
    }
    let mut text = fs::read_to_string(file).with_context(|| format!("cannot read {}", named()))?;
    // The parser's message could repeat a key.
    let parsed = serde_json::from_str::<SecretsFile>(&text).map_err(|_| anyhow::anyhow!("{} is malformed", named()));
    text.zeroize();
    Secrets::from_file(&parsed?).with_context(|| format!("{} is malformed", named()))
}

/// The keys, ready for use.
pub struct Secrets {
    vault: Vault,
    signing: Vec<SigningKey>,
    checkpoints: Vec<SigningKey>,
}

/// The keys, each for whoever uses it.
pub struct Parts {
    /// Seals, opens and recognizes.
    pub vault: Vault,
    /// Sign access tokens.
    pub tokens: Vec<SigningKey>,
    /// Sign checkpoints of the log.
    pub checkpoints: Vec<SigningKey>,
}

/// A key that signs access tokens, or checkpoints.
#[derive(Clone)]
pub struct SigningKey {
    /// Its name; `kid` in a token's header.
    pub id: String,
    /// PKCS#8.
    pub pkcs8: Vec<u8>,
    /// The public half, 32 bytes.
    pub public: Vec<u8>,
}

impl Secrets {
    fn from_file(file: &SecretsFile) -> anyhow::Result<Secrets> {
        let key = |text: &str| -> anyhow::Result<[u8; 32]> {
            BASE64.decode(text)?.try_into().map_err(|_| anyhow::anyhow!("a key has not 32 bytes"))
        };
        let ciphers = file
            .encryption_keys
            .iter()
            .map(|named| Ok((named.id.clone(), XChaCha20Poly1305::new(&key(&named.key)?.into()))))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let signing = file.signing_keys.iter().map(signing_key).collect::<anyhow::Result<Vec<_>>>()?;
        let checkpoints = file.checkpoint_keys.iter().map(signing_key).collect::<anyhow::Result<Vec<_>>>()?;
        if ciphers.is_empty() || signing.is_empty() || checkpoints.is_empty() {
            bail!("it lacks an encryption key, a signing key or a checkpoint key");
        }
        let fingerprint_key = key(&file.fingerprint_key)?;
        Ok(Secrets { vault: Vault { ciphers, fingerprint_key }, signing, checkpoints })
    }

    /// The keys, each for whoever uses it.
    pub fn into_parts(self) -> Parts {
        Parts { vault: self.vault, tokens: self.signing, checkpoints: self.checkpoints }
    }
}

fn signing_key(named: &NamedKey) -> anyhow::Result<SigningKey> {
    let pkcs8 = BASE64.decode(&named.key)?;
    let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| anyhow::anyhow!("a signing key is not Ed25519"))?;
    Ok(SigningKey { id: named.id.clone(), public: pair.public_key().as_ref().to_vec(), pkcs8 })
}

/// Seals account numbers and other secrets, opens them for whom they are meant, and recognizes things without knowing them.
pub struct Vault {
    ciphers: Vec<(String, XChaCha20Poly1305)>,
    fingerprint_key: [u8; 32],
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

const NONCE_BYTES: usize = 24;

impl Vault {
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

    fn seal_bytes(&self, bound_to: &[u8], plain: &[u8]) -> Result<SealedText, VaultError> {
        let Some((key_id, cipher)) = self.ciphers.first() else { return Err(VaultError::Unopenable) };
        let nonce = clock::random_bytes::<NONCE_BYTES>()?;
        let payload = Payload { msg: plain, aad: bound_to };
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::Unopenable)?;
        let record = [nonce.as_slice(), &sealed].concat();
        Ok(SealedText { sealed: BASE64.encode(record), key_id: key_id.clone() })
    }

    fn open_bytes(&self, bound_to: &[u8], sealed: &str, key_id: &str) -> Result<Vec<u8>, VaultError> {
        let (_, cipher) = self
            .ciphers
            .iter()
            .find(|(id, _)| id == key_id)
            .ok_or_else(|| VaultError::UnknownKey { key_id: key_id.to_owned() })?;
        let record = BASE64.decode(sealed).map_err(|_| VaultError::Unopenable)?;
        let (nonce, sealed) = record.split_at_checked(NONCE_BYTES).ok_or(VaultError::Unopenable)?;
        let nonce = <[u8; NONCE_BYTES]>::try_from(nonce).map_err(|_| VaultError::Unopenable)?;
        let payload = Payload { msg: sealed, aad: bound_to };
        cipher.decrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::Unopenable)
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

/// The SHA-256 of a text, in hexadecimal.
pub fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Secrets::from_file(&SecretsFile::generate().unwrap()).unwrap().into_parts().vault
    }

    #[test]
    fn a_sealed_number_opens_in_its_own_row_only() {
        let vault = vault();
        let (mine, other) = (BankAccountId(clock::new_id()), BankAccountId(clock::new_id()));
        let number = AccountNumber::parse("000123456789").unwrap();
        let sealed = vault.seal(mine, &number).unwrap();
        assert!(!sealed.sealed_number.contains("123456789"));
        assert_eq!(vault.open(mine, &sealed).unwrap().expose(), "000123456789");
        assert!(matches!(vault.open(other, &sealed), Err(VaultError::Unopenable)));
        assert!(matches!(self::vault().open(mine, &sealed), Err(VaultError::UnknownKey { .. })));
    }

    #[test]
    fn what_is_sealed_for_one_purpose_opens_for_no_other() {
        let vault = vault();
        let (id, other) = (clock::new_id(), clock::new_id());
        let sealed = vault.seal_for("letter", id, b"text").unwrap();
        assert_eq!(vault.open_for("letter", id, &sealed).unwrap(), b"text");
        assert!(matches!(vault.open_for("letter", other, &sealed), Err(VaultError::Unopenable)));
        assert!(matches!(vault.open_for("second factor", id, &sealed), Err(VaultError::Unopenable)));
    }

    #[test]
    fn a_changed_record_does_not_open() {
        let vault = vault();
        let id = BankAccountId(clock::new_id());
        let sealed = vault.seal(id, &AccountNumber::parse("000123456789").unwrap()).unwrap();
        let record = BASE64.decode(&sealed.sealed_number).unwrap();
        for place in 0..record.len() {
            let mut changed = record.clone();
            changed[place] ^= 1;
            let sealed = SealedNumber { sealed_number: BASE64.encode(changed), ..sealed.clone() };
            assert!(vault.open(id, &sealed).is_err(), "byte {place}");
        }
    }

    #[test]
    fn a_secrets_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("directpay.secrets");
        let place = SecretsPlace::MadeIfMissing(file.clone());
        assert!(load(&place, true).is_err());
        load(&place, false).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let refusal = load(&place, true).err().unwrap().to_string();
        assert!(refusal.contains("can be read by others"), "{refusal}");
    }
}
