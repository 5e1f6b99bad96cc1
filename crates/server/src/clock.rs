//! The only reader of time and randomness.
//!
//! Business time (due dates, rails, retries, what a history says) is kept apart from process time (tokens, claims, logs), so
//! that a sandbox can move the first without upsetting the second.
#![expect(clippy::disallowed_methods, reason = "this is the door through which time and randomness come in")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use directpay_domain::payment::Circumstances;
use directpay_domain::rail::DelayScale;
use directpay_domain::time::Instant;
use jiff::Timestamp;
use uuid::Uuid;

/// The clocks. Clones tell the same time.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// By how many microseconds business time is ahead of process time.
    ahead_us: Arc<AtomicI64>,
}

impl Clock {
    /// When it is for leases, rails and histories.
    pub fn business(&self) -> Instant {
        Instant::from(Timestamp::now()).plus_micros(self.ahead_us.load(Ordering::Relaxed))
    }

    /// Microseconds since the epoch, for tokens, claims and throttles.
    pub fn process_us(&self) -> i64 {
        Timestamp::now().as_microsecond()
    }

    /// Moves business time forward, for tests of what happens months from now.
    pub fn advance(&self, micros: i64) {
        self.ahead_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// What the domain has to be told to decide: business time, the scale of delays, and a random spread.
    pub fn circumstances(&self, scale: DelayScale) -> Circumstances {
        // The end of a fresh id is random.
        let [.., one, other] = new_id().into_bytes();
        let jitter = i64::from(u16::from_be_bytes([one, other])) % 1001;
        Circumstances { now: self.business(), scale, jitter }
    }
}

/// A fresh id, later than all before it in this process.
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// `N` random bytes for keys, nonces and tokens.
///
/// Errors where the operating system has no randomness to give: nothing secret may be made then.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

/// A stopwatch that is not moved by changes of the wall clock.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Stopwatch {
        Stopwatch(std::time::Instant::now())
    }

    /// Since the start.
    pub fn elapsed(self) -> std::time::Duration {
        self.0.elapsed()
    }
}
