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
use crate::secrets::{KeyEntry, KeyFile, KeyState, Parts, Secrets, Stamp};

/// Between two looks at the file.
const POLL: Duration = Duration::from_secs(1);
/// A process says that often that it is alive.
const REPORT: Duration = Duration::from_secs(10);
/// Who has not said so for this long is not taken for alive any more.
pub const ALIVE_US: i64 = 35 * SECOND_US;
/// When it is forgotten.
const FORGOTTEN_US: i64 = DAY_US;

/// How the keys of this process are doing.
#[derive(Debug, Default)]
pub struct KeyHealth {
    unreadable: AtomicBool,
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
        unreadable.into_iter().chain(missing).collect()
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
        let mut watcher = Watcher { app: app.clone(), file, seen: None, holder: holder(&entries), reported: None };
        watcher.report().await?;
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
    holder: KeyHolder,
    /// Since the last report.
    reported: Option<Stopwatch>,
}

impl Watcher {
    async fn follow(&mut self) {
        loop {
            let has_changed = self.look();
            if (has_changed || self.reported.is_none_or(|at| REPORT <= at.elapsed()))
                && let Err(error) = self.report().await
            {
                tracing::warn!(error = &error as &dyn std::error::Error, "others cannot be told which keys are known");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Takes up what has changed. Says whether anything did.
    fn look(&mut self) -> bool {
        // Before it is read: if it changes meanwhile it is read again.
        let stamp = self.file.stamp();
        if stamp.as_ref().is_ok_and(|stamp| self.seen.as_ref() == Some(stamp)) {
            return false;
        }
        let read = self.file.read().and_then(|file| Secrets::from_file(&file, None));
        let taken_up = read.and_then(|secrets| self.take_up(secrets.into_parts()));
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
        let now =
            KeyHolder { process: self.holder.process, place: self.holder.place.clone(), ..holder(&fresh.entries) };
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

fn holder(entries: &[KeyEntry]) -> KeyHolder {
    let names = |entries: &mut dyn Iterator<Item = &KeyEntry>| entries.map(|entry| entry.id.clone()).collect();
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    KeyHolder {
        process: clock::new_id(),
        place: format!("{machine}, process {}", std::process::id()),
        known: names(&mut entries.iter()),
        used: names(&mut entries.iter().filter(|entry| entry.state == KeyState::InUse)),
    }
}
