//! A payment: a list of facts, and what they add up to.
//!
//! [`Initiation::decide`](initiate::Initiation::decide) makes the first fact, [`Payment::decide`] says which facts a command
//! adds, [`Payment::evolve`] folds a fact in, [`Payment::postings`] says what money it moves and [`Payment::next_work`]
//! what the workers have to do next. [`Refundable`] is a payment as the refunds see it that name it.

mod decide;
mod event;
mod evolve;
pub mod initiate;
mod postings;
mod reason;
mod reference;
mod refund;

pub use decide::{Circumstances, Command, Decision, Rejection, TRANSIENT_RETRIES_MAX};
pub use event::{Actor, Change, Event, EventType, NewEvent, Retry, Snapshot};
pub use postings::Effect;
pub use reason::{Reason, ReturnCode};
pub use reference::Reference;
pub use refund::Refundable;

use crate::id::{BankAccountId, LeaseId, PaymentId, UserId};
use crate::idempotency::IdempotencyKey;
use crate::metadata::Metadata;
use crate::money::Amount;
use crate::names::names;
use crate::rail::Rail;
use crate::time::{DAY_US, Instant};

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// Accepted and stored; no bank has seen this attempt.
    Pending,
    /// The intent to hand it to the bank is recorded; what the bank knows is asked by reference.
    Processing,
    /// The bank settled it.
    Completed,
    /// The bank refused it, or retries ran out.
    Failed,
    /// Taken back by the payer's bank after settlement.
    Returned,
    /// Withdrawn before any bank saw it.
    Cancelled,
}

names!(Status {
    Pending = "PENDING",
    Processing = "PROCESSING",
    Completed = "COMPLETED",
    Failed = "FAILED",
    Returned = "RETURNED",
    Cancelled = "CANCELLED",
});

/// Which way the money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// From a renter to the landlord.
    Rent,
    /// From the landlord to a renter.
    Refund,
}

names!(Kind { Rent = "RENT", Refund = "REFUND" });

/// What the history may show of a bank account.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AccountSnapshot {
    /// Which account.
    pub account_id: BankAccountId,
    /// The last four digits of its number.
    pub last4: String,
    /// The name of its bank.
    pub bank_name: String,
}

/// Which optional fields the request left out.
///
/// A replay must be the same request: a field that was omitted equals only itself omitted, whatever default took its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Omitted {
    /// No `payer_account_id`: the payer's primary account was taken.
    pub payer_account_id: bool,
    /// No `payee_account_id`: the lease's receiving account, the account that the refunded payment came from, or the other
    /// party's primary was taken.
    pub payee_account_id: bool,
    /// No `currency`: the lease's.
    pub currency: bool,
    /// No `metadata`.
    pub metadata: bool,
    /// No `payee_id`: whoever paid the refunded payment, or the only renter. Written where it was given.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub payee_id: bool,
    /// No `rail`, and not the default took its place but that of the refunded payment. Written where it is so.
    #[serde(default, skip_serializing_if = "is_false")]
    pub rail: bool,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_true(flag: &bool) -> bool {
    *flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Omitted {
    /// One bit a field, lowest first in the order of declaration; how the databases keep it.
    pub fn to_bits(self) -> i64 {
        let Omitted { payer_account_id, payee_account_id, currency, metadata, payee_id, rail } = self;
        i64::from(payer_account_id)
            | i64::from(payee_account_id) << 1
            | i64::from(currency) << 2
            | i64::from(metadata) << 3
            | i64::from(payee_id) << 4
            | i64::from(rail) << 5
    }

    /// The opposite of [`Omitted::to_bits`].
    pub fn from_bits(bits: i64) -> Omitted {
        let is_set = |place: u32| bits >> place & 1 == 1;
        Omitted {
            payer_account_id: is_set(0),
            payee_account_id: is_set(1),
            currency: is_set(2),
            metadata: is_set(3),
            payee_id: is_set(4),
            rail: is_set(5),
        }
    }
}

/// What was agreed when the payment was initiated; it never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Which payment.
    pub id: PaymentId,
    /// The lease it belongs to.
    pub lease_id: LeaseId,
    /// The lease's landlord: payee of rent, payer of a refund.
    pub landlord_id: UserId,
    /// Which way the money goes.
    pub kind: Kind,
    /// The payment whose money a refund gives back, if it names one.
    pub refund_of: Option<PaymentId>,
    /// Who asked for it: always the payer.
    pub initiated_by: UserId,
    /// Who gets the money.
    pub payee_id: UserId,
    /// Where the money comes from.
    pub payer: AccountSnapshot,
    /// Where it goes.
    pub payee: AccountSnapshot,
    /// How much.
    pub amount: Amount,
    /// How it moves.
    pub rail: Rail,
    /// The initiator's name for the request.
    pub idempotency_key: IdempotencyKey,
    /// The initiator's notes.
    pub metadata: Metadata,
    /// What the request left to defaults.
    pub omitted: Omitted,
    /// When it was accepted.
    pub initiated_at: Instant,
}

/// A payment as its events add up to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Payment {
    /// What was agreed.
    pub terms: Terms,
    /// Where it stands.
    pub status: Status,
    /// The sequence number of the last event folded in.
    pub version: i64,
    /// Which attempt is under way or was the last, from 1.
    pub attempt: i64,
    /// Retries after transient errors since the start or the last retry that a person asked for.
    pub transient_retries: i64,
    /// Attempts after an R01 or R09, over the whole life.
    pub representments: i64,
    /// Why, while FAILED or RETURNED.
    pub failure: Option<Reason>,
    /// When the money arrives or arrived, as far as is known.
    pub estimated_settlement_at: Instant,
    /// When the first attempt was handed over; re-presentment is allowed for 180 days from here.
    pub first_processing_at: Option<Instant>,
    /// The latest such moment.
    pub processing_at: Option<Instant>,
    /// The latest such moment.
    pub completed_at: Option<Instant>,
    /// The latest such moment.
    pub failed_at: Option<Instant>,
    /// The latest such moment.
    pub returned_at: Option<Instant>,
    /// The latest such moment.
    pub cancelled_at: Option<Instant>,
}

/// How long a consumer may dispute a debit after settlement (Nacha Operating Rules, 60 calendar days).
const RETURN_WINDOW_US: i64 = 60 * DAY_US;

impl Payment {
    /// Attempts after the first.
    pub fn retry_count(&self) -> i64 {
        self.attempt - 1
    }

    /// The name under which the bank knows the present attempt.
    pub fn reference(&self) -> Reference {
        Reference { payment_id: self.terms.id, attempt: self.attempt }
    }

    /// Until when the payer's bank may take the money back: 60 days from (expected) settlement.
    ///
    /// None where the rail is final and where no money is on its way or arrived.
    pub fn returnable_until(&self) -> Option<Instant> {
        if !self.terms.rail.is_returnable() {
            return None;
        }
        let settlement = match self.status {
            Status::Pending | Status::Processing => self.estimated_settlement_at,
            Status::Completed => self.completed_at?,
            Status::Failed | Status::Returned | Status::Cancelled => return None,
        };
        Some(settlement.plus_micros(RETURN_WINDOW_US))
    }
}

/// What the workers have to do for a payment, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// What.
    pub what: WorkKind,
    /// Not before.
    pub due_at: Instant,
}

/// The kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkKind {
    /// Hand the payment to the bank.
    Submit,
    /// Find out by reference what the bank knows of it.
    Inquire,
}

names!(WorkKind { Submit = "SUBMIT", Inquire = "INQUIRE" });

#[cfg(test)]
mod tests;
