//! Slowing down those who guess passwords.
//!
//! Failures are counted per network address, per e-mail, and per pair of both. After some free tries each further one has to
//! wait, twice as long as the one before and never longer than a minute. Nobody can lock another out for long: one address
//! soon has to wait by itself, so that it takes many of them to hold up an e-mail, and whoever has signed in from an address
//! before is held up there only by what that address does.

use directpay_domain::time::SECOND_US;
use directpay_store::access::Failures;

/// Counts older than this begin anew.
pub const FORGOTTEN_AFTER_US: i64 = 15 * 60 * SECOND_US;
/// The longest wait.
const WAIT_MAX_US: i64 = 60 * SECOND_US;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Tries to sign in as one person from one address.
    Pair,
    /// Tries to sign in as one person from anywhere (NIST SP 800-63B-4, section 3.2.2: at most 100 in a row).
    Email,
    /// Tries from one network address; there may be many people behind it.
    Address,
    /// One-time codes of one person, from whoever knows the password.
    SecondFactor,
}

impl Subject {
    /// How many tries in a row wait for nothing.
    pub fn free_tries(self) -> i64 {
        match self {
            Subject::Pair | Subject::SecondFactor => 5,
            Subject::Email => 100,
            Subject::Address => 30,
        }
    }

    /// How many microseconds a caller has to wait at `now_us` after these failures; 0 if not at all.
    pub fn wait_us(self, failures: Option<Failures>, now_us: i64) -> i64 {
        let Some(Failures { failures, last_failed_at }) = failures else { return 0 };
        let beyond = failures - self.free_tries();
        if beyond < 0 {
            return 0;
        }
        let wait = if 6 <= beyond { WAIT_MAX_US } else { SECOND_US << beyond };
        (last_failed_at + wait.min(WAIT_MAX_US) - now_us).clamp(0, WAIT_MAX_US)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_after_the_free_tries_and_never_exceeds_a_minute() {
        let wait = |failures| Subject::Pair.wait_us(Some(Failures { failures, last_failed_at: 0 }), 0) / SECOND_US;
        let waits: Vec<_> = (3..14).map(wait).collect();
        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(wait(i64::MAX), 60);
    }

    #[test]
    fn the_wait_runs_out() {
        let failures = Some(Failures { failures: 6, last_failed_at: 0 });
        assert_eq!(Subject::Pair.wait_us(failures, SECOND_US), SECOND_US);
        assert_eq!(Subject::Pair.wait_us(failures, 2 * SECOND_US), 0);
        assert_eq!(Subject::Email.wait_us(failures, 0), 0);
        assert_eq!(Subject::Address.wait_us(failures, 0), 0);
        assert_eq!(Subject::Email.wait_us(None, 0), 0);
    }
}
