//! The secrets file on its disk: read whole, replaced whole, by one at a time.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use directpay_domain::time::Instant;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::master::MasterKeys;
use super::{KeyUse, SecretsFile};
use crate::config::{MasterKeyPlace, SecretsPlace, SecretsSource};

/// Where the keys are kept.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
    master: MasterKeyPlace,
}

/// By what a changed file is told from the one that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl KeyFile {
    /// The file that is named.
    pub fn at(source: &SecretsSource) -> anyhow::Result<KeyFile> {
        match &source.place {
            SecretsPlace::Unnamed => bail!(
                "with PostgreSQL the secrets file must be named: set DIRECTPAY_SECRETS_FILE to a file made by `directpay secrets`"
            ),
            SecretsPlace::MustExist(path) | SecretsPlace::MadeIfMissing(path) => {
                Ok(KeyFile { path: path.clone(), master: source.master.clone() })
            }
        }
    }

    /// How it looks from outside.
    pub fn stamp(&self) -> std::io::Result<Stamp> {
        let seen = fs::metadata(&self.path)?;
        Ok(Stamp {
            inode: seen.ino(),
            length: seen.len(),
            modified: (seen.mtime(), seen.mtime_nsec()),
            changed: (seen.ctime(), seen.ctime_nsec()),
        })
    }

    /// What stands in it.
    pub fn read(&self) -> anyhow::Result<SecretsFile> {
        let named = || format!("the secrets file {}", self.path.display());
        let mode = fs::metadata(&self.path).with_context(|| format!("cannot read {}", named()))?.permissions().mode();
        if mode & 0o077 != 0 {
            bail!("{} can be read by others (mode {:o}); make it 0600", named(), mode & 0o777);
        }
        let text = fs::read_to_string(&self.path).with_context(|| format!("cannot read {}", named()))?;
        let masters = MasterKeys::read(&self.master)?;
        SecretsFile::parse(&Zeroizing::new(text), &masters).with_context(|| format!("cannot use {}", named()))
    }

    /// Adds a key that is not used yet, and says its name.
    pub fn introduce(&self, of: KeyUse, now: Instant) -> anyhow::Result<String> {
        self.change(|file| file.introduce(of, now))
    }

    /// Uses a key for everything new, and says which was used before.
    pub fn begin_using(&self, id: &str, now: Instant) -> anyhow::Result<String> {
        self.change(|file| file.begin_using(id, now))
    }

    /// Destroys a key that is not in use.
    pub fn remove(&self, id: &str) -> anyhow::Result<()> {
        self.change(|file| file.remove(id))
    }

    /// Wraps all keys by the first master key, whatever wrapped them before, and says its name.
    pub fn wrap(&self) -> anyhow::Result<String> {
        let id = MasterKeys::read(&self.master)?.first()?.id.clone();
        self.change(|file| {
            file.wrapped_by = Some(id.clone());
            Ok(())
        })?;
        Ok(id)
    }

    /// Lets all keys stand in clear.
    pub fn unwrap_keys(&self) -> anyhow::Result<()> {
        self.change(|file| {
            file.wrapped_by = None;
            Ok(())
        })
    }

    /// Changes the file. Two who do so at once do it one after the other; whoever reads sees the file before or after.
    fn change<T>(&self, change: impl FnOnce(&mut SecretsFile) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let context = || format!("cannot change the secrets file {}", self.path.display());
        // What a link points to is replaced, and not the link.
        let path = fs::canonicalize(&self.path).with_context(context)?;
        let folder = path.parent().context("the secrets file is in no folder")?;
        // The folder stands still while the file is exchanged. The lock goes with the process, however that ends.
        let lock = File::open(folder).with_context(context)?;
        lock.lock().with_context(context)?;
        let mut file = self.read()?;
        let done = change(&mut file)?;
        let text = Zeroizing::new(file.into_text(&MasterKeys::read(&self.master)?)?);
        let made = written(folder, &text).with_context(context)?;
        let before = fs::metadata(&path).with_context(context)?;
        if made.as_file().metadata()?.uid() != before.uid() {
            // Root rotates for a server that is somebody else.
            fchown(made.as_file(), Some(before.uid()), Some(before.gid())).with_context(context)?;
        }
        made.as_file().set_permissions(Permissions::from_mode(before.mode() & 0o700))?;
        made.persist(&path).with_context(context)?;
        lock.sync_all()?;
        Ok(done)
    }

    /// Makes the file, wrapped where there is a master key.
    pub(super) fn make(&self) -> anyhow::Result<()> {
        let context = || format!("cannot make the secrets file {}", self.path.display());
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let text = Zeroizing::new(fresh_text(&self.master)?);
        written(folder, &text).with_context(context)?.persist_noclobber(&self.path).with_context(context)?;
        // The name must survive a crash as well: numbers sealed with these keys will.
        File::open(folder)?.sync_all()?;
        Ok(())
    }

    pub(super) fn exists(&self) -> bool {
        self.path.exists()
    }
}

/// A file that is whole on the disk and has no name yet; for its owner only from the beginning.
fn written(folder: &Path, text: &str) -> anyhow::Result<NamedTempFile> {
    let mut made = NamedTempFile::new_in(folder)?;
    made.write_all(text.as_bytes())?;
    made.as_file().sync_all()?;
    Ok(made)
}

/// The text of a fresh secrets file, wrapped where there is a master key.
pub fn fresh_text(master: &MasterKeyPlace) -> anyhow::Result<String> {
    let masters = MasterKeys::read(master)?;
    let mut file = SecretsFile::generate()?;
    file.wrapped_by = masters.first().ok().map(|key| key.id.clone());
    file.into_text(&masters)
}
