//! Follows the secrets file while the process runs, and tells others which keys it knows.
//!
//! A changed file is taken up within seconds. One that is gone or malformed changes nothing: the keys of before are used, and
//! log, readiness and metrics say so.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use directpay_domain::time::{DAY_US, SECOND_US};
use directpay_store::key_holders::{self, KeyHolder};
use directpay_store::{StoreError, sealed};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::checkpoints::Signer;
use crate::clock::{self, Stopwatch};
use crate::secrets::{KeyEntry, KeyFile, KeyState, KeyUse, Parts, Secrets, Stamp};

/// Between two looks at the file.
const POLL: Duration = Duration::from_secs(1);
/// A process says that often that it is alive.
const REPORT: Duration = Duration::from_secs(10);
/// So long the database may take; the file is not followed meanwhile.
const DATABASE_MAX: Duration = Duration::from_secs(5);
/// Who has not said so for this long is not taken for alive any more.
pub const ALIVE_US: i64 = 35 * SECOND_US;
/// When it is forgotten.
const FORGOTTEN_US: i64 = DAY_US;

/// How the keys of this process are doing.
#[derive(Debug, Default)]
pub struct KeyHealth {
    unreadable: AtomicBool,
    /// Although there is a master key.
    in_clear: AtomicBool,
    missing: Mutex<Vec<String>>,
}

impl KeyHealth {
    /// Whether the secrets file could not be read when it was last looked at.
    pub fn is_unreadable(&self) -> bool {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Keys under which records stand and which this process does not have.
    pub fn missing(&self) -> Vec<String> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What somebody should look at.
    pub fn warnings(&self) -> Vec<&'static str> {
        let unreadable = self.is_unreadable().then_some("the secrets file cannot be read");
        let missing = (!self.missing().is_empty()).then_some("the secrets file lacks keys of stored records");
        let in_clear = self.in_clear.load(Ordering::Relaxed);
        let in_clear = in_clear.then_some("there is a master key, and the secrets file stands in clear");
        unreadable.into_iter().chain(missing).chain(in_clear).collect()
    }
}

/// Follows the secrets file until it is told to stop.
pub struct KeyWatch {
    stop: watch::Sender<bool>,
    handle: JoinHandle<()>,
}

impl KeyWatch {
    /// Says which keys are known, and begins to follow the file.
    pub async fn start(app: &App, file: KeyFile, entries: Vec<KeyEntry>) -> anyhow::Result<KeyWatch> {
        let (stop, mut stopping) = watch::channel(false);
        // The file is read once more at first: it may have changed since it was loaded.
        let holder = holder(&entries, &[], &app.tokens.signing_key());
        let mut watcher = Watcher { app: app.clone(), file, seen: None, entries, holder, reported: None };
        watcher.report().await?;
        // Keys that are over are left at once, whatever the file says.
        if watcher.see_retired().await? {
            watcher.reported = None;
        }
        let handle = tokio::spawn(async move {
            tokio::select! {
                () = watcher.follow() => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
            watcher.leave().await;
        });
        Ok(KeyWatch { stop, handle })
    }

    /// Stops following.
    pub async fn finish(self) {
        let _nobody_left = self.stop.send(true);
        if let Err(error) = self.handle.await {
            tracing::error!(%error, "following the secrets file ended badly");
        }
    }
}

struct Watcher {
    app: App,
    file: KeyFile,
    /// The file as it was when it was last read.
    seen: Option<Stamp>,
    entries: Vec<KeyEntry>,
    holder: KeyHolder,
    /// Since the last report.
    reported: Option<Stopwatch>,
}

impl Watcher {
    async fn follow(&mut self) {
        loop {
            let mut has_changed = self.look();
            match tokio::time::timeout(DATABASE_MAX, self.see_retired()).await {
                Ok(Ok(any)) => has_changed |= any,
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "it cannot be seen which keys are retired"
                    );
                }
                Err(_) => tracing::warn!("the database does not say which keys are retired"),
            }
            if has_changed {
                self.reported = None;
            }
            if self.reported.is_none_or(|at| REPORT <= at.elapsed()) {
                match tokio::time::timeout(DATABASE_MAX, self.report()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "others cannot be told which keys are known");
                    }
                    Err(_) => tracing::warn!("the database does not answer: others are not told which keys are known"),
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Leaves signing keys that are over, whether the file still has them or not. Says whether there was one.
    async fn see_retired(&mut self) -> Result<bool, StoreError> {
        let mut retired = Vec::new();
        let mut tx = self.app.db.begin_read().await?;
        for entry in self.entries.iter().filter(|entry| entry.of == KeyUse::Signing) {
            if sealed::is_retired(&mut tx, &entry.id).await? {
                retired.push(entry.id.clone());
            }
        }
        drop(tx);
        if !self.app.tokens.end(&retired) {
            return Ok(false);
        }
        tracing::warn!(keys = retired.join(" "), "signing keys are retired: their tokens are worth nothing");
        // What signs now comes from the file.
        self.seen = None;
        self.look();
        Ok(true)
    }

    /// Takes up what has changed. Says whether anything did.
    fn look(&mut self) -> bool {
        // Before it is read: if it changes meanwhile it is read again.
        let stamp = self.file.stamp();
        if stamp.as_ref().is_ok_and(|stamp| self.seen.as_ref() == Some(stamp)) {
            return false;
        }
        let app = self.app.clone();
        let turn = app.vault.taking_up();
        let read = self.file.read();
        let in_clear = self.file.has_master() && read.as_ref().is_ok_and(|file| file.wrapped_by().is_none());
        let read = read.and_then(|file| Secrets::from_file(&file, None));
        let taken_up = read.and_then(|secrets| self.take_up(secrets.into_parts()));
        drop(turn);
        if !self.app.key_health.in_clear.swap(in_clear, Ordering::Relaxed) && in_clear {
            tracing::warn!("there is a master key, and the secrets file stands in clear: `directpay keys wrap`");
        }
        let was_unreadable = self.app.key_health.unreadable.swap(taken_up.is_err(), Ordering::Relaxed);
        match taken_up {
            Ok(has_changed) => {
                self.seen = stamp.ok();
                if was_unreadable {
                    tracing::info!("the secrets file can be read again");
                }
                has_changed
            }
            Err(error) => {
                // It is tried again at each look: what is missing may be the master key.
                self.seen = None;
                if !was_unreadable {
                    let error = format!("{error:#}");
                    tracing::error!(error, "the secrets file cannot be read; the keys of before are used");
                }
                false
            }
        }
    }

    fn take_up(&mut self, fresh: Parts) -> anyhow::Result<bool> {
        let signer = Signer::new(&fresh.checkpoints)?;
        // First: it refuses the secrets of another database.
        self.app.vault.adopt(&fresh.vault)?;
        self.app.tokens.adopt(&fresh.tokens)?;
        self.app.signer.set(signer);
        self.entries = fresh.entries;
        let accepted = self.app.tokens.public_keys();
        let is_over =
            |entry: &&KeyEntry| entry.of == KeyUse::Signing && !accepted.iter().any(|(id, _)| *id == entry.id);
        let retired: Vec<_> = self.entries.iter().filter(is_over).map(|entry| entry.id.clone()).collect();
        let holder = holder(&self.entries, &retired, &self.app.tokens.signing_key());
        let now = KeyHolder { process: self.holder.process, place: self.holder.place.clone(), ..holder };
        let has_changed = now != self.holder;
        if has_changed {
            tracing::info!(known = now.known.join(" "), used = now.used.join(" "), "the keys have changed");
            self.holder = now;
        }
        Ok(has_changed)
    }

    async fn report(&mut self) -> Result<(), StoreError> {
        let now_us = self.app.clock.process_us();
        let mut tx = self.app.db.begin().await?;
        key_holders::report(&mut tx, &self.holder, now_us).await?;
        key_holders::forget(&mut tx, now_us - FORGOTTEN_US).await?;
        let stored = sealed::all_key_ids(&mut tx).await?;
        tx.commit().await?;
        self.reported = Some(Stopwatch::start());
        let missing: Vec<_> = stored.into_iter().filter(|key_id| !self.holder.known.contains(key_id)).collect();
        let mut before = self.app.key_health.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if *before != missing {
            if !missing.is_empty() {
                tracing::error!(
                    keys = missing.join(" "),
                    "stored records cannot be opened: the secrets file lacks keys"
                );
            }
            *before = missing;
        }
        Ok(())
    }

    /// Nobody waits for this process any more.
    async fn leave(&self) {
        let left = async {
            let mut tx = self.app.db.begin().await?;
            key_holders::leave(&mut tx, self.holder.process).await?;
            tx.commit().await
        };
        if let Err(error) = left.await {
            tracing::debug!(error = &error as &dyn std::error::Error, "this process is taken for alive for a while");
        }
    }
}

/// This process with the keys of its file but the retired ones; `signing` is what signs tokens.
fn holder(entries: &[KeyEntry], retired: &[String], signing: &str) -> KeyHolder {
    let names = |wanted: &dyn Fn(&KeyEntry) -> bool| {
        entries.iter().filter(|entry| wanted(entry)).map(|entry| entry.id.clone()).collect()
    };
    let is_used = |entry: &KeyEntry| match entry.of {
        KeyUse::Signing => entry.id == signing,
        KeyUse::Encryption | KeyUse::Checkpoint => entry.state == KeyState::InUse,
    };
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    KeyHolder {
        process: clock::new_id(),
        place: format!("{machine}, process {}", std::process::id()),
        known: names(&|entry| !retired.contains(&entry.id)),
        used: names(&is_used),
    }
}
