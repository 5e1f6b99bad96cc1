//! The master key, which wraps the keys of the secrets file and stands elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::{hex, sealing};
use crate::config::MasterKeyPlace;

/// A master key.
pub(super) struct MasterKey {
    /// By what a wrapped file says which one it wants. It tells nothing of the key.
    pub(super) id: String,
    cipher: XChaCha20Poly1305,
}

/// The master keys that were given: the first wraps, all unwrap.
pub(super) struct MasterKeys(Vec<MasterKey>);

impl MasterKeys {
    /// Reads them; none where none is named.
    pub(super) fn read(place: &MasterKeyPlace) -> anyhow::Result<MasterKeys> {
        let text = match place {
            MasterKeyPlace::Nowhere => return Ok(MasterKeys(Vec::new())),
            MasterKeyPlace::Text(text) => Zeroizing::new(text.expose().to_owned()),
            MasterKeyPlace::File(file) => {
                let named = || format!("cannot read the master key in {}", file.display());
                let mode = fs::metadata(file).with_context(named)?.permissions().mode();
                let shown = file.display();
                ensure!(mode & 0o077 == 0, "the master key in {shown} can be read by others (mode {:o})", mode & 0o777);
                let read = fs::read_to_string(file);
                Zeroizing::new(read.with_context(named)?)
            }
        };
        let keys = text.split_whitespace().map(MasterKey::parse).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(!keys.is_empty(), "the master key is empty");
        Ok(MasterKeys(keys))
    }

    /// The one that wraps.
    pub(super) fn first(&self) -> anyhow::Result<&MasterKey> {
        self.0.first().context("there is no master key: set DIRECTPAY_MASTER_KEY_FILE or DIRECTPAY_MASTER_KEY")
    }

    /// The one of this name.
    pub(super) fn find(&self, id: &str) -> anyhow::Result<&MasterKey> {
        match self.0.iter().find(|key| key.id == id) {
            Some(key) => Ok(key),
            None if self.0.is_empty() => {
                bail!("it is wrapped by the master key {id}: set DIRECTPAY_MASTER_KEY_FILE or DIRECTPAY_MASTER_KEY")
            }
            None => bail!("it is wrapped by the master key {id}, and that is not the one that was given"),
        }
    }
}

impl MasterKey {
    fn parse(text: &str) -> anyhow::Result<MasterKey> {
        // What is wrong with it could repeat a part of it.
        let bytes = Zeroizing::new(BASE64.decode(text).map_err(|_| anyhow::anyhow!("the master key is not base64"))?);
        let mut key = <[u8; 32]>::try_from(bytes.as_slice())
            .map_err(|_| anyhow::anyhow!("the master key has not 32 bytes: `openssl rand -base64 32` makes one"))?;
        let hash = Sha256::new().chain_update("directpay master key").chain_update(key).finalize();
        let cipher = XChaCha20Poly1305::new(&key.into());
        key.zeroize();
        Ok(MasterKey { id: hex(&hash[..4]), cipher })
    }

    /// Wraps a secret under its name and use.
    pub(super) fn wrap(&self, bound_to: &str, secret: &str) -> anyhow::Result<String> {
        Ok(sealing::seal(&self.cipher, bound_to.as_bytes(), secret.as_bytes())?)
    }

    /// Unwraps it for that name and use only.
    pub(super) fn unwrap(&self, bound_to: &str, wrapped: &str) -> anyhow::Result<String> {
        let opened = sealing::open(&self.cipher, bound_to.as_bytes(), wrapped);
        let opened = opened.context("a wrapped key was changed, or stands under another name")?;
        String::from_utf8(opened).map_err(|_| anyhow::anyhow!("a wrapped key is no text"))
    }
}
