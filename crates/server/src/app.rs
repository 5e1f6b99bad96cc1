//! What every handler and worker is given.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use directpay_domain::api_key::Mode;
use directpay_domain::rail::DelayScale;
use directpay_store::Db;
use tokio::sync::Notify;

use crate::access::api_keys::KeyUses;
use crate::access::passwords::Passwords;
use crate::access::tokens::Tokens;
use crate::bank::BankTime;
use crate::checkpoints::Signer;
use crate::clock::Clock;
use crate::config::RateLimit;
use crate::feed::Listeners;
use crate::intake::Intake;
use crate::key_watch::KeyHealth;
use crate::limits::Limits;
use crate::mail::Mail;
use crate::metrics::Metrics;
use crate::origin::TrustedProxies;
use crate::remembered::Remembered;
use crate::replaceable::Replaceable;
use crate::secrets::Vault;
use crate::trail::Folds;
use crate::webhooks::addresses::Allowed;

/// The parts of a running DirectPay. Clones are the same one.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// See [`App`].
pub struct Parts {
    /// The database.
    pub db: Db,
    /// The clocks.
    pub clock: Clock,
    /// Seals account numbers.
    pub vault: Vault,
    /// Signs and verifies access tokens.
    pub tokens: Tokens,
    /// Signs the roots of the log's tree.
    pub signer: Replaceable<Signer>,
    /// How the keys are doing.
    pub key_health: KeyHealth,
    /// Hashes passwords.
    pub passwords: Passwords,
    /// Sends mail.
    pub mail: Mail,
    /// Takes new payments.
    pub intake: Intake,
    /// How the simulator's delays are scaled.
    pub scale: DelayScale,
    /// Most payments in one transaction.
    pub batch_max: usize,
    /// Whether sign-ins are throttled.
    pub rate_limit: RateLimit,
    /// How much each may ask for.
    pub limits: Limits,
    /// Whose word is taken on where requests come from.
    pub trusted_proxies: TrustedProxies,
    /// What was accepted a moment ago.
    pub remembered: Remembered,
    /// Rings when there is new work for a payment.
    pub bell: Bell,
    /// Rings when the bank may have something to tell.
    pub bank_bell: Bell,
    /// Rings when a day may have begun.
    pub calendar_bell: Bell,
    /// Who listens to the feed.
    pub listeners: Listeners,
    /// Whose time the bank lives in.
    pub bank_time: BankTime,
    /// Whether the bank moves money; API keys of the other mode are refused.
    pub mode: Mode,
    /// When API keys were used, on its way to the database.
    pub key_uses: KeyUses,
    /// What the trail counts, on its way to the database.
    pub folds: Folds,
    /// Shows whether the workers of this process are alive.
    pub pulse: Pulse,
    /// What is counted for Prometheus.
    pub metrics: Metrics,
    /// Networks besides the public internet to which webhooks may be sent.
    pub webhook_allow: Allowed,
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> App {
        App(Arc::new(parts))
    }

    /// Wakes all workers of this process: business time has moved, and anything may be due.
    pub fn wake_all(&self) {
        for bell in [&self.bell, &self.bank_bell, &self.calendar_bell] {
            bell.ring();
        }
    }
}

impl std::ops::Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Wakes the workers of this process; whoever rings does not wait.
#[derive(Debug, Clone, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    /// There is work.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits until it rings, or does not wait if it rang since the last time.
    pub async fn wait(&self) {
        self.0.notified().await;
    }
}

/// When each worker of this process last went round.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    workers: Arc<Mutex<Vec<Beat>>>,
}

/// A worker's own pulse.
#[derive(Debug, Clone)]
pub struct Beat {
    name: &'static str,
    last_us: Arc<AtomicI64>,
    silence_max_us: i64,
}

impl Beat {
    /// The worker is alive at `now_us`.
    pub fn at(&self, now_us: i64) {
        self.last_us.store(now_us, Ordering::Relaxed);
    }
}

impl Pulse {
    /// A worker begins at `now_us`; when it is silent for longer than `silence_max_us` it is taken for dead.
    pub fn begin(&self, name: &'static str, now_us: i64, silence_max_us: i64) -> Beat {
        let beat = Beat { name, last_us: Arc::new(AtomicI64::new(now_us)), silence_max_us };
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(beat.clone());
        beat
    }

    /// The workers that have been silent for too long at `now_us`.
    pub fn silent_at(&self, now_us: i64) -> Vec<&'static str> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent = |beat: &&Beat| beat.last_us.load(Ordering::Relaxed) + beat.silence_max_us < now_us;
        workers.iter().filter(is_silent).map(|beat| beat.name).collect()
    }
}
