//! The secrets file: what stands in it, and how keys come and go.

use std::fmt;

use anyhow::{Context, bail, ensure};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::ValueEnum;
use directpay_domain::time::Instant;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::master::MasterKeys;
use super::{hex, signing_key};
use crate::clock;

/// The secrets file as it stands on disk.
///
/// The first key of each list is in use. One that was never first is introduced: it opens and verifies, so that no process meets
/// what it cannot open when another begins to use it.
#[derive(serde::Serialize, serde::Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct SecretsFile {
    /// The name of the master key that wraps every key below; without one they stand in clear. In memory they are always in clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) wrapped_by: Option<String>,
    /// For account numbers and other secrets that are needed again; the first seals, all open.
    pub(super) encryption_keys: Vec<NamedKey>,
    /// For fingerprints and other keyed hashes, in base64; it can never be exchanged without linking accounts and making API keys
    /// anew.
    pub(super) fingerprint_key: String,
    /// For access tokens; the first signs, all verify. PKCS#8 of Ed25519 keys.
    pub(super) signing_keys: Vec<NamedKey>,
    /// For checkpoints of the log, in the same way. An old one stays in the list as long as anybody may ask about its time.
    pub(super) checkpoint_keys: Vec<NamedKey>,
}

/// A key and its name.
#[derive(serde::Serialize, serde::Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedKey {
    pub(super) id: String,
    /// Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// Base64 of the public half, where the key itself was destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) public: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[zeroize(skip)]
    introduced_at: Option<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[zeroize(skip)]
    used_since: Option<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[zeroize(skip)]
    used_until: Option<Instant>,
}

/// What keys are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyUse {
    /// Seals account numbers and other secrets in the database
    Encryption,
    /// Signs access tokens
    Signing,
    /// Signs checkpoints of the log
    Checkpoint,
}

impl KeyUse {
    /// All of them.
    pub const ALL: [KeyUse; 3] = [KeyUse::Encryption, KeyUse::Signing, KeyUse::Checkpoint];

    fn prefix(self) -> &'static str {
        match self {
            KeyUse::Encryption => "enc",
            KeyUse::Signing => "sig",
            KeyUse::Checkpoint => "log",
        }
    }
}

impl fmt::Display for KeyUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyUse::Encryption => "encryption",
            KeyUse::Signing => "signing",
            KeyUse::Checkpoint => "checkpoint",
        })
    }
}

/// Where a key stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// It opens and verifies, and is not used for anything new yet.
    Introduced,
    /// New things are sealed or signed by it.
    InUse,
    /// Another has taken its place.
    OutOfUse,
    /// Only its public half is left.
    PublicOnly,
}

/// A key, as far as it may be shown.
#[derive(Debug, Clone)]
pub struct KeyEntry {
    /// Its name.
    pub id: String,
    /// What it is for.
    pub of: KeyUse,
    /// Where it stands.
    pub state: KeyState,
    /// Since when it stands there, as far as the file says so.
    pub since: Option<Instant>,
}

impl NamedKey {
    fn draw(of: KeyUse, now: Option<Instant>) -> anyhow::Result<NamedKey> {
        let key = match of {
            KeyUse::Encryption => BASE64.encode(clock::random_bytes::<32>()?),
            KeyUse::Signing | KeyUse::Checkpoint => {
                BASE64.encode(Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())?.as_ref())
            }
        };
        Ok(NamedKey {
            id: format!("{}-{}", of.prefix(), hex(&clock::random_bytes::<4>()?)),
            key: Some(key),
            public: None,
            introduced_at: now,
            used_since: None,
            used_until: None,
        })
    }

    fn state(&self, is_first: bool) -> (KeyState, Option<Instant>) {
        match (is_first, &self.key, self.used_until) {
            (true, _, _) => (KeyState::InUse, self.used_since.or(self.introduced_at)),
            (false, None, until) => (KeyState::PublicOnly, until),
            (false, Some(_), Some(until)) => (KeyState::OutOfUse, Some(until)),
            (false, Some(_), None) => (KeyState::Introduced, self.introduced_at),
        }
    }
}

impl SecretsFile {
    /// Fresh secrets.
    pub fn generate() -> anyhow::Result<SecretsFile> {
        Ok(SecretsFile {
            wrapped_by: None,
            encryption_keys: vec![NamedKey::draw(KeyUse::Encryption, None)?],
            fingerprint_key: BASE64.encode(clock::random_bytes::<32>()?),
            signing_keys: vec![NamedKey::draw(KeyUse::Signing, None)?],
            checkpoint_keys: vec![NamedKey::draw(KeyUse::Checkpoint, None)?],
        })
    }

    /// Reads the text of a file, unwrapped.
    pub(super) fn parse(text: &str, masters: &MasterKeys) -> anyhow::Result<SecretsFile> {
        // The parser's message could repeat a key.
        let mut file: SecretsFile =
            serde_json::from_str(text).map_err(|_| anyhow::anyhow!("it is no secrets file, or not a whole one"))?;
        if let Some(id) = file.wrapped_by.clone() {
            let master = masters.find(&id)?;
            file.change_each(|bound_to, secret| master.unwrap(bound_to, secret))?;
        }
        Ok(file)
    }

    /// The text of the file, wrapped by the first master key if it is to be wrapped.
    pub(super) fn into_text(mut self, masters: &MasterKeys) -> anyhow::Result<String> {
        if self.wrapped_by.is_some() {
            let master = masters.first()?;
            self.wrapped_by = Some(master.id.clone());
            self.change_each(|bound_to, secret| master.wrap(bound_to, secret))?;
        }
        Ok(serde_json::to_string_pretty(&self)? + "\n")
    }

    /// Changes every secret of the file; each is told by its use and name.
    fn change_each(&mut self, change: impl Fn(&str, &str) -> anyhow::Result<String>) -> anyhow::Result<()> {
        let put = |bound_to: String, secret: &mut String| -> anyhow::Result<()> {
            let changed = change(&bound_to, secret)?;
            secret.zeroize();
            *secret = changed;
            Ok(())
        };
        put("directpay secrets: fingerprint".to_owned(), &mut self.fingerprint_key)?;
        for of in KeyUse::ALL {
            for NamedKey { id, key, public, .. } in self.keys_mut(of) {
                for (half, secret) in [("", key), (" public", public)] {
                    if let Some(secret) = secret {
                        put(format!("directpay secrets: {of}{half}: {id}"), secret)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn keys(&self, of: KeyUse) -> &[NamedKey] {
        match of {
            KeyUse::Encryption => &self.encryption_keys,
            KeyUse::Signing => &self.signing_keys,
            KeyUse::Checkpoint => &self.checkpoint_keys,
        }
    }

    fn keys_mut(&mut self, of: KeyUse) -> &mut Vec<NamedKey> {
        match of {
            KeyUse::Encryption => &mut self.encryption_keys,
            KeyUse::Signing => &mut self.signing_keys,
            KeyUse::Checkpoint => &mut self.checkpoint_keys,
        }
    }

    /// All keys but that of the fingerprints.
    pub fn entries(&self) -> Vec<KeyEntry> {
        let of_use = |of| {
            self.keys(of).iter().enumerate().map(move |(place, key)| {
                let (state, since) = key.state(place == 0);
                KeyEntry { id: key.id.clone(), of, state, since }
            })
        };
        KeyUse::ALL.into_iter().flat_map(of_use).collect()
    }

    /// The key of this name.
    pub fn entry(&self, id: &str) -> anyhow::Result<KeyEntry> {
        let found = self.entries().into_iter().find(|entry| entry.id == id);
        found.with_context(|| format!("there is no key {id} in the secrets file"))
    }

    /// The master key that wraps the file, by its name.
    pub fn wrapped_by(&self) -> Option<&str> {
        self.wrapped_by.as_deref()
    }

    /// Adds a key that is not used yet, and says its name.
    pub(super) fn introduce(&mut self, of: KeyUse, now: Instant) -> anyhow::Result<String> {
        let key = NamedKey::draw(of, Some(now))?;
        let id = key.id.clone();
        ensure!(self.entry(&id).is_err(), "a key of this name is there already; try again");
        self.keys_mut(of).push(key);
        Ok(id)
    }

    /// Uses a key for everything new, and says which was used before.
    pub(super) fn begin_using(&mut self, id: &str, now: Instant) -> anyhow::Result<String> {
        let entry = self.entry(id)?;
        match entry.state {
            KeyState::InUse => return Ok(entry.id),
            KeyState::PublicOnly => bail!("of {id} only the public half is left"),
            KeyState::Introduced | KeyState::OutOfUse => {}
        }
        let keys = self.keys_mut(entry.of);
        let former = keys.first_mut().context("there is no key in use")?;
        former.used_until = Some(now);
        let former = former.id.clone();
        let place = keys.iter().position(|key| key.id == id).context("the key is gone")?;
        let mut chosen = keys.remove(place);
        (chosen.used_since, chosen.used_until) = (Some(now), None);
        keys.insert(0, chosen);
        Ok(former)
    }

    /// Destroys a key that is not in use. Of one that has signed checkpoints the public half stays.
    pub(super) fn remove(&mut self, id: &str) -> anyhow::Result<()> {
        let entry = self.entry(id)?;
        ensure!(entry.state != KeyState::InUse, "{id} is in use: rotate first");
        let keys = self.keys_mut(entry.of);
        let place = keys.iter().position(|key| key.id == id).context("the key is gone")?;
        match entry.state {
            KeyState::OutOfUse if entry.of == KeyUse::Checkpoint => {
                let public = signing_key(&keys[place])?.public.clone();
                let key = &mut keys[place];
                key.key.zeroize();
                (key.key, key.public) = (None, Some(BASE64.encode(public)));
            }
            KeyState::PublicOnly => {}
            KeyState::Introduced | KeyState::InUse | KeyState::OutOfUse => drop(keys.remove(place)),
        }
        Ok(())
    }
}
