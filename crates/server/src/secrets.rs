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
use directpay_domain::id::{BankAccountId, WebhookId};
use directpay_store::bank_accounts::SealedNumber;
use directpay_store::webhooks::SealedSecret;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::clock;
use crate::config::SecretsPlace;
use crate::webhooks::signing::Secret;

/// The secrets file as it stands on disk.
#[derive(serde::Serialize, serde::Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct SecretsFile {
    /// For account numbers; the first seals, all open.
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

/// Reads the secrets, or makes them where that is allowed. For a database that holds account numbers none are made: they
/// could open none of them.
pub fn load(place: &SecretsPlace, has_sealed_numbers: bool) -> anyhow::Result<Secrets> {
    match place {
        SecretsPlace::Unnamed => bail!(
            "with PostgreSQL the secrets file must be named: set DIRECTPAY_SECRETS_FILE to a file made by `directpay secrets`"
        ),
        SecretsPlace::MustExist(file) => read(file),
        SecretsPlace::MadeIfMissing(file) => {
            if !file.exists() {
                if has_sealed_numbers {
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

/// Seals account numbers, opens them for the bank connection, and recognizes things without knowing them.
pub struct Vault {
    ciphers: Vec<(String, XChaCha20Poly1305)>,
    fingerprint_key: [u8; 32],
}

/// A number could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The key that the record names is not in the secrets file.
    #[error("the key {key_id} is not in the secrets file")]
    UnknownKey {
        /// Its name.
        key_id: String,
    },
    /// The record was changed, moved to another row, or sealed with another key of the same name.
    #[error("what is sealed cannot be opened")]
    Unopenable,
    /// No nonce.
    #[error(transparent)]
    NoRandomness(#[from] clock::NoRandomness),
}

const NONCE_BYTES: usize = 24;

impl Vault {
    /// Seals a number so that it can be opened only in the row of account `id`.
    pub fn seal(&self, id: BankAccountId, number: &AccountNumber) -> Result<SealedNumber, VaultError> {
        let (sealed_number, key_id) = self.encrypt(id.0, number.expose().as_bytes())?;
        Ok(SealedNumber { sealed_number, key_id })
    }

    /// Opens the number of account `id`: for the bank connection and nobody else.
    pub fn open(&self, id: BankAccountId, sealed: &SealedNumber) -> Result<AccountNumber, VaultError> {
        let mut opened = self.decrypt(id.0, &sealed.sealed_number, &sealed.key_id)?;
        let number = std::str::from_utf8(&opened).ok().and_then(|text| AccountNumber::parse(text).ok());
        opened.zeroize();
        number.ok_or(VaultError::Unopenable)
    }

    /// Seals what signs so that it can be opened only in the row of webhook `id`.
    pub fn seal_secret(&self, id: WebhookId, secret: &Secret) -> Result<SealedSecret, VaultError> {
        let mut bytes = secret.to_bytes();
        let sealed = self.encrypt(id.0, &bytes);
        bytes.zeroize();
        sealed.map(|(sealed, key_id)| SealedSecret { sealed, key_id })
    }

    /// Opens what signs for webhook `id`.
    pub fn open_secret(&self, id: WebhookId, sealed: &SealedSecret) -> Result<Secret, VaultError> {
        let mut opened = self.decrypt(id.0, &sealed.sealed, &sealed.key_id)?;
        let secret = Secret::from_bytes(&opened);
        opened.zeroize();
        secret.ok_or(VaultError::Unopenable)
    }

    /// What it is and the name of its key; `row` is where it belongs. Ids are never the same in two tables.
    fn encrypt(&self, row: Uuid, plain: &[u8]) -> Result<(String, String), VaultError> {
        let Some((key_id, cipher)) = self.ciphers.first() else { return Err(VaultError::Unopenable) };
        let nonce = clock::random_bytes::<NONCE_BYTES>()?;
        let payload = Payload { msg: plain, aad: row.as_bytes() };
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::Unopenable)?;
        Ok((BASE64.encode([nonce.as_slice(), &sealed].concat()), key_id.clone()))
    }

    fn decrypt(&self, row: Uuid, sealed: &str, key_id: &str) -> Result<Vec<u8>, VaultError> {
        let found = self.ciphers.iter().find(|(id, _)| id == key_id);
        let (_, cipher) = found.ok_or_else(|| VaultError::UnknownKey { key_id: key_id.to_owned() })?;
        let record = BASE64.decode(sealed).map_err(|_| VaultError::Unopenable)?;
        let (nonce, sealed) = record.split_at_checked(NONCE_BYTES).ok_or(VaultError::Unopenable)?;
        let nonce = <[u8; NONCE_BYTES]>::try_from(nonce).map_err(|_| VaultError::Unopenable)?;
        let payload = Payload { msg: sealed, aad: row.as_bytes() };
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
