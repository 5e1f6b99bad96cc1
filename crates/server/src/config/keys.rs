//! Where the secrets are, and the master key that wraps them.

use std::env::VarError;
use std::fmt;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

/// The master key; the same for every command.
#[derive(Debug, Clone, Default, Args)]
pub struct MasterKeyArgs {
    /// A file that holds the master key, which wraps the keys of the secrets file: 32 bytes in base64. Of several lines
    /// the first wraps, all unwrap
    #[arg(long, env = "DIRECTPAY_MASTER_KEY_FILE", value_name = "FILE", global = true)]
    pub master_key_file: Option<PathBuf>,
}

impl MasterKeyArgs {
    /// Where it is to be found. The key itself comes from the environment, where it cannot be handed over as a file; the file wins.
    /// It is no argument: others see those.
    #[expect(clippy::disallowed_methods, reason = "an argument, from which settings are read, is seen by others")]
    pub fn place(&self) -> anyhow::Result<MasterKeyPlace> {
        if let Some(file) = &self.master_key_file {
            return Ok(MasterKeyPlace::File(file.clone()));
        }
        match std::env::var("DIRECTPAY_MASTER_KEY") {
            Ok(text) if text.trim().is_empty() => {
                bail!("DIRECTPAY_MASTER_KEY is empty: unset it where there is no master key")
            }
            Ok(text) => Ok(MasterKeyPlace::Text(MasterKeyText(text.trim().to_owned()))),
            Err(VarError::NotPresent) => Ok(MasterKeyPlace::Nowhere),
            Err(VarError::NotUnicode(_)) => bail!("DIRECTPAY_MASTER_KEY is not base64"),
        }
    }
}

/// A master key as it was given. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct MasterKeyText(String);

impl MasterKeyText {
    /// All of it, for unwrapping and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MasterKeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKeyText(…)")
    }
}

/// Where the master key is.
#[derive(Debug, Clone, Default)]
pub enum MasterKeyPlace {
    /// There is none: the secrets file is all that is needed.
    #[default]
    Nowhere,
    /// In a file, which is read anew whenever it is needed.
    File(PathBuf),
    /// In the environment.
    Text(MasterKeyText),
}

/// Where the secrets are and whether they may be made.
#[derive(Debug, Clone)]
pub enum SecretsPlace {
    /// Made on first start if missing.
    MadeIfMissing(PathBuf),
    /// Must be there: several processes share them.
    MustExist(PathBuf),
    /// PostgreSQL without a secrets file.
    Unnamed,
}

/// The secrets file, and what opens it.
#[derive(Debug, Clone)]
pub struct SecretsSource {
    /// The file.
    pub place: SecretsPlace,
    /// The master key.
    pub master: MasterKeyPlace,
}

/// A file whose keys stand in clear.
impl From<SecretsPlace> for SecretsSource {
    fn from(place: SecretsPlace) -> SecretsSource {
        SecretsSource { place, master: MasterKeyPlace::Nowhere }
    }
}
