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
    /// By how many microseconds business time is ahead of process time; it only grows.
    ahead_us: Arc<AtomicI64>,
    /// When that grew last, in process time.
    moved_us: Arc<AtomicI64>,
}

impl Clock {
    /// When it is for leases, rails and histories.
    pub fn business(&self) -> Instant {
        self.business_ahead(self.ahead_us())
    }

    /// When it would be, were business time ahead by `ahead_us`.
    pub fn business_ahead(&self, ahead_us: i64) -> Instant {
        Instant::from(Timestamp::now()).plus_micros(ahead_us)
    }

    /// By how many microseconds business time is ahead of process time.
    pub fn ahead_us(&self) -> i64 {
        self.ahead_us.load(Ordering::Acquire)
    }

    /// Microseconds since the epoch, for tokens, claims and throttles.
    pub fn process_us(&self) -> i64 {
        Timestamp::now().as_microsecond()
    }

    /// Lets business time be ahead by `ahead_us`, unless it is that far already: it never goes back. Says whether it moved.
    pub fn move_ahead(&self, ahead_us: i64) -> bool {
        if ahead_us <= self.ahead_us() {
            return false;
        }
        // First: whoever sees the new time sees this as well.
        self.moved_us.store(self.process_us(), Ordering::Release);
        self.ahead_us.fetch_max(ahead_us, Ordering::AcqRel) < ahead_us
    }

    /// Moves business time forward in this process only, for tests of what happens months from now.
    pub fn advance(&self, micros: i64) {
        self.move_ahead(self.ahead_us() + micros);
    }

    /// A moment of business time: what was done before it was done at least `micros` of process time ago.
    ///
    /// For whatever goes on outside, which no sandbox can hurry. Shortly after business time was moved nothing is certain to
    /// be so old, and the moment lies before everything.
    pub fn long_ago(&self, micros: i64) -> Instant {
        let now = self.business();
        if self.process_us() - self.moved_us.load(Ordering::Acquire) < micros {
            return now.plus_micros(i64::MIN);
        }
        now.plus_micros(-micros)
    }

    /// What the domain has to be told to decide: business time, the scale of delays, and a random spread.
    pub fn circumstances(&self, scale: DelayScale) -> Circumstances {
        Circumstances { now: self.business(), scale, jitter: spread() }
    }
}

/// A random number from 0 to 1000, so that what failed together is not tried together.
pub fn spread() -> i64 {
    // The end of a fresh id is random.
    let [.., one, other] = new_id().into_bytes();
    i64::from(u16::from_be_bytes([one, other])) % 1001
}

/// A moment of process time as other libraries want it.
pub fn system_time(micros: i64) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_micros(u64::try_from(micros).unwrap_or(0))
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

#[cfg(test)]
mod tests {
    use directpay_domain::time::{DAY_US, SECOND_US};

    use super::*;

    #[test]
    fn business_time_never_goes_back_and_process_time_stays() {
        let clock = Clock::default();
        let same = clock.clone();
        assert!(clock.move_ahead(DAY_US));
        assert!(!clock.move_ahead(DAY_US) && !clock.move_ahead(5) && !clock.move_ahead(-DAY_US));
        assert_eq!(same.ahead_us(), DAY_US);
        let gap = same.business().micros() - same.process_us();
        assert!((DAY_US - SECOND_US..=DAY_US + SECOND_US).contains(&gap), "{gap}");
    }

    #[test]
    fn shortly_after_a_move_nothing_is_surely_long_ago() {
        let clock = Clock::default();
        let before = clock.business();
        assert!(before.plus_micros(-SECOND_US) < clock.long_ago(SECOND_US / 2));
        clock.move_ahead(DAY_US);
        assert!(clock.long_ago(SECOND_US * 60) < before.plus_micros(-DAY_US * 365));
        // A move that is none changes nothing.
        clock.move_ahead(DAY_US);
        assert!(before.plus_micros(DAY_US) <= clock.long_ago(0));
    }
}
