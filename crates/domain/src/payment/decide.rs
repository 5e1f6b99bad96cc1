//! Which facts a command adds to a payment.

use super::reason::REPRESENTMENTS_MAX;
use super::{Change, Payment, Reason, Retry, Status};
use crate::rail::DelayScale;
use crate::time::{DAY_US, Instant, SECOND_US};

/// Retries after transient errors before the payment fails; a person's retry starts a new budget.
pub const TRANSIENT_RETRIES_MAX: i64 = 5;

/// How long after the first hand-over a debit may be presented again (Nacha Operating Rules).
const REPRESENTMENT_WINDOW_US: i64 = 180 * DAY_US;

/// Delay of the first transient retry at scale 1; doubles with each further one.
const BACKOFF_BASE_US: i64 = 10 * SECOND_US;

/// Delay of a re-presentment at scale 1. Real banks want it on a later banking day.
const REPRESENTMENT_DELAY_US: i64 = 60 * SECOND_US;

/// What somebody wants to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Record the intent to hand the present attempt to the bank.
    Submit,
    /// Withdraw it, or forbid it before hand-over with the reason.
    Cancel(Option<Reason>),
    /// A person asks for another attempt.
    Retry,
    /// The bank surely holds no instruction for this attempt: no connection, or its explicit "not now".
    NotNow {
        /// Which attempt.
        attempt: i64,
        /// What the bank said.
        reason: Reason,
    },
    /// The bank settled this attempt.
    Settle {
        /// Which attempt.
        attempt: i64,
    },
    /// The bank finally refused this attempt.
    Refuse {
        /// Which attempt.
        attempt: i64,
        /// Why.
        reason: Reason,
    },
    /// The payer's bank took the money of this attempt back.
    Return {
        /// Which attempt.
        attempt: i64,
        /// Why.
        reason: Reason,
    },
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Command::Submit => "be handed to the bank",
            Command::Cancel(_) => "be cancelled",
            Command::Retry => "be retried",
            Command::NotNow { .. } => "be put off",
            Command::Settle { .. } => "be settled",
            Command::Refuse { .. } => "be refused",
            Command::Return { .. } => "be returned",
        }
    }

    /// The attempt that the bank speaks of.
    fn attempt(&self) -> Option<i64> {
        match self {
            Command::Submit | Command::Cancel(_) | Command::Retry => None,
            Command::NotNow { attempt, .. }
            | Command::Settle { attempt }
            | Command::Refuse { attempt, .. }
            | Command::Return { attempt, .. } => Some(*attempt),
        }
    }
}

/// What `decide` may not find out by itself.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// Business time.
    pub now: Instant,
    /// How the simulator's delays are scaled.
    pub scale: DelayScale,
    /// A random number from 0 to 1000 that spreads retries.
    pub jitter: i64,
}

/// What a command leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// These facts, in this order.
    Record(Vec<(Change, Option<Reason>)>),
    /// The history already says so; a repeated command is not an error.
    AlreadyRecorded,
}

/// Why a command changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The state table has no such transition.
    #[error("a payment that is {status} cannot {command}")]
    WrongStatus {
        /// Where the payment stands.
        status: Status,
        /// What was wanted, as a passive verb.
        command: &'static str,
    },
    /// The reason of the failure forbids another attempt.
    #[error("a payment that failed with {} ({}) cannot be retried: {advice}", reason.code, reason.text)]
    NotRetryable {
        /// Where the payment stands.
        status: Status,
        /// Why it failed.
        reason: Reason,
        /// What to do instead.
        advice: &'static str,
    },
    /// The payment that this one refunds does not cover it any more.
    #[error("a refund that is {status} cannot be retried: {detail}")]
    NotRefundable {
        /// Where the refund stands.
        status: Status,
        /// Why not, as a sentence.
        detail: String,
    },
}

impl Rejection {
    /// Where the payment stands.
    pub fn status(&self) -> Status {
        match self {
            Rejection::WrongStatus { status, .. }
            | Rejection::NotRetryable { status, .. }
            | Rejection::NotRefundable { status, .. } => *status,
        }
    }
}

impl Payment {
    /// Says what `command` would change, without changing it.
    ///
    /// The arms list every allowed move; the last one refuses all others.
    pub fn decide(&self, command: &Command, at: Circumstances) -> Result<Decision, Rejection> {
        if self.already_says(command) {
            return Ok(Decision::AlreadyRecorded);
        }
        if command.attempt().is_some_and(|attempt| attempt != self.attempt) {
            let command = "take part in an attempt that it never made";
            return Err(Rejection::WrongStatus { status: self.status, command });
        }
        let facts = match (self.status, command) {
            (Status::Pending, Command::Submit) => {
                vec![(Change::Processing { estimated_settlement_at: self.estimate(self.attempt, at.now, at) }, None)]
            }
            (Status::Pending, Command::Cancel(reason)) => vec![(Change::Cancelled, reason.clone())],
            (Status::Processing, Command::NotNow { reason, .. }) => vec![self.put_off(reason, at)],
            (Status::Processing, Command::Settle { .. }) => vec![(Change::Completed, None)],
            (Status::Processing, Command::Refuse { reason, .. }) => {
                vec![self.represent(reason, at).unwrap_or((Change::Failed, Some(reason.clone())))]
            }
            (Status::Completed, Command::Return { reason, .. }) => {
                let returned = (Change::Returned, Some(reason.clone()));
                [returned].into_iter().chain(self.represent(reason, at)).collect()
            }
            (Status::Failed | Status::Returned, Command::Retry) => vec![self.retry_requested(at)?],
            (status, command) => return Err(Rejection::WrongStatus { status, command: command.name() }),
        };
        Ok(Decision::Record(facts))
    }

    /// Whether the bank repeats itself, or speaks of an attempt that is over.
    fn already_says(&self, command: &Command) -> bool {
        let Some(attempt) = command.attempt() else { return false };
        if attempt != self.attempt {
            return attempt < self.attempt;
        }
        match command {
            Command::Settle { .. } => matches!(self.status, Status::Completed | Status::Returned),
            Command::Refuse { .. } => self.status == Status::Failed,
            Command::Return { .. } => self.status == Status::Returned,
            Command::NotNow { .. } => self.status == Status::Failed,
            Command::Submit | Command::Cancel(_) | Command::Retry => false,
        }
    }

    /// Back-off after a transient error, or failure when the budget is spent.
    fn put_off(&self, reason: &Reason, at: Circumstances) -> (Change, Option<Reason>) {
        if TRANSIENT_RETRIES_MAX <= self.transient_retries {
            // Under one code whatever the bank said last: it is what a person may retry.
            return (Change::Failed, Some(Reason::new(Reason::BANK_UNAVAILABLE, reason.text.clone())));
        }
        let full = BACKOFF_BASE_US << self.transient_retries;
        // Between half and the whole of it, so that payments put off together do not come back together.
        let spread = full / 2 + full / 2 * at.jitter.clamp(0, 1000) / 1000;
        (self.scheduled(Retry::Transient, at.scale.apply(spread), at), Some(reason.clone()))
    }

    /// The same debit once more, where the rules allow it.
    fn represent(&self, reason: &Reason, at: Circumstances) -> Option<(Change, Option<Reason>)> {
        self.may_represent(reason, at.now).then(|| {
            (self.scheduled(Retry::Representment, at.scale.apply(REPRESENTMENT_DELAY_US), at), Some(reason.clone()))
        })
    }

    fn may_represent(&self, reason: &Reason, now: Instant) -> bool {
        let first = self.first_processing_at.unwrap_or(now);
        reason.is_representable(self.terms.rail)
            && self.representments < REPRESENTMENTS_MAX
            && now <= first.plus_micros(REPRESENTMENT_WINDOW_US)
    }

    fn scheduled(&self, retry: Retry, delay_us: i64, at: Circumstances) -> Change {
        let due_at = at.now.plus_micros(delay_us);
        Change::RetryScheduled { retry, due_at, estimated_settlement_at: self.estimate(self.attempt + 1, due_at, at) }
    }

    fn retry_requested(&self, at: Circumstances) -> Result<(Change, Option<Reason>), Rejection> {
        let unknown = || Reason::new("UNKNOWN", "no reason was recorded");
        let reason = self.failure.clone().unwrap_or_else(unknown);
        let retry = if reason.code == Reason::BANK_UNAVAILABLE {
            Retry::Transient
        } else if self.may_represent(&reason, at.now) {
            Retry::Representment
        } else if reason.is_representable(self.terms.rail) {
            let advice = if self.representments < REPRESENTMENTS_MAX {
                "the 180 days for re-presentment are over; start a new payment"
            } else {
                "its re-presentments are used up; start a new payment"
            };
            return Err(Rejection::NotRetryable { status: self.status, reason, advice });
        } else {
            let advice = reason.advice();
            return Err(Rejection::NotRetryable { status: self.status, reason, advice });
        };
        let estimated_settlement_at = self.estimate(self.attempt + 1, at.now, at);
        Ok((Change::RetryRequested { retry, estimated_settlement_at }, None))
    }

    /// When `attempt`, handed over at `start`, should be settled.
    fn estimate(&self, attempt: i64, start: Instant, at: Circumstances) -> Instant {
        start.plus_micros(self.terms.rail.simulated_delay_us(self.terms.id, attempt, at.scale))
    }
}
