//! The secrets file on its disk: read whole, replaced whole, by one at a time.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use directpay_domain::time::Instant;
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

    /// Whether there is a master key to wrap it by.
    pub fn has_master(&self) -> bool {
        !matches!(self.master, MasterKeyPlace::Nowhere)
    }

    /// Adds a key that is not used yet, and says its name.
    pub fn introduce(&self, of: KeyUse, now: Instant) -> anyhow::Result<String> {
        self.change(|file| file.introduce(of, now))
    }

    /// Uses a key for everything new, and says which was used before.
    pub fn begin_using(&self, id: &str, now: Instant) -> anyhow::Result<String> {
        self.hold()?.begin_using(id, now)
    }

    /// Destroys a key that is not in use.
    pub fn remove(&self, id: &str) -> anyhow::Result<()> {
        self.hold()?.remove(id)
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
        self.hold()?.change(change)
    }

    /// Keeps others from changing the file until the result is dropped. Whoever only reads does not wait.
    pub fn hold(&self) -> anyhow::Result<HeldKeyFile<'_>> {
        let context = || format!("cannot change the secrets file {}", self.path.display());
        // What a link points to is replaced, and not the link.
        let path = fs::canonicalize(&self.path).with_context(context)?;
        let folder = path.parent().context("the secrets file is in no folder")?;
        // The folder stands still while the file is exchanged. The lock goes with the process, however that ends.
        let folder = File::open(folder).with_context(context)?;
        folder.lock().with_context(context)?;
        Ok(HeldKeyFile { file: self, path, folder })
    }

    /// Makes the file, wrapped where there is a master key.
    pub(super) fn make(&self) -> anyhow::Result<()> {
        let context = || format!("cannot make the secrets file {}", self.path.display());
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let text = Zeroizing::new(fresh_text(&self.master)?);
        let (_made, new) = written(&self.path, &text).with_context(context)?;
        let linked = fs::hard_link(&new, &self.path);
        fs::remove_file(&new).with_context(context)?;
        linked.with_context(context)?;
        // The name must survive a crash as well: numbers sealed with these keys will.
        File::open(folder)?.sync_all()?;
        Ok(())
    }

    pub(super) fn exists(&self) -> bool {
        self.path.exists()
    }
}

/// A secrets file that nobody else can change.
pub struct HeldKeyFile<'a> {
    file: &'a KeyFile,
    path: PathBuf,
    folder: File,
}

impl HeldKeyFile<'_> {
    /// Uses a key for everything new, and says which was used before.
    pub fn begin_using(&self, id: &str, now: Instant) -> anyhow::Result<String> {
        self.change(|file| file.begin_using(id, now))
    }

    /// Destroys a key that is not in use.
    pub fn remove(&self, id: &str) -> anyhow::Result<()> {
        self.change(|file| file.remove(id))
    }

    fn change<T>(&self, change: impl FnOnce(&mut SecretsFile) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let context = || format!("cannot change the secrets file {}", self.path.display());
        let mut file = self.file.read()?;
        let done = change(&mut file)?;
        let text = Zeroizing::new(file.into_text(&MasterKeys::read(&self.file.master)?)?);
        let (made, new) = written(&self.path, &text).with_context(context)?;
        let before = fs::metadata(&self.path).with_context(context)?;
        if made.metadata()?.uid() != before.uid() {
            // Root rotates for a server that is somebody else.
            fchown(&made, Some(before.uid()), Some(before.gid())).with_context(context)?;
        }
        made.set_permissions(Permissions::from_mode(before.mode() & 0o700))?;
        fs::rename(&new, &self.path).with_context(context)?;
        self.folder.sync_all()?;
        Ok(done)
    }
}

/// A file beside `path` that is whole on the disk; for its owner only from the beginning. It has always the same name, so that of
/// commands that are killed no more than one is left, until the next one.
fn written(path: &Path, text: &str) -> anyhow::Result<(File, PathBuf)> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let mut made = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
    made.write_all(text.as_bytes())?;
    made.sync_all()?;
    Ok((made, new))
}

/// The text of a fresh secrets file, wrapped where there is a master key.
pub fn fresh_text(master: &MasterKeyPlace) -> anyhow::Result<String> {
    let masters = MasterKeys::read(master)?;
    let mut file = SecretsFile::generate()?;
    file.wrapped_by = masters.first().ok().map(|key| key.id.clone());
    file.into_text(&masters)
}
