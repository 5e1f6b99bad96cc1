//! The facts of a payment's history, in the form in which they are stored.

use uuid::Uuid;

use super::{AccountSnapshot, Kind, Omitted, Payment, Reason, Reference, Status};
use crate::id::{ApiKeyId, EventId, LeaseId, OAuthClientId, PaymentId, UserId};
use crate::idempotency::IdempotencyKey;
use crate::metadata::Metadata;
use crate::money::Currency;
use crate::names::names;
use crate::rail::Rail;
use crate::time::Instant;

/// One immutable fact: who, what, when, why.
///
/// Its JSON text is stored byte for byte as first written; the names here are therefore for ever.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Event {
    /// Which fact.
    pub id: EventId,
    /// Whose history.
    pub payment_id: PaymentId,
    /// 1, 2, 3 … without gaps.
    pub sequence: i64,
    /// What happened, with what only this kind of fact knows.
    #[serde(flatten)]
    pub change: Change,
    /// Where the payment stood before.
    pub previous_status: Option<Status>,
    /// Where it stands since.
    pub status: Status,
    /// When, in business time.
    pub occurred_at: Instant,
    /// Who.
    pub actor: Actor,
    /// The request that led to it, if one did.
    pub request_id: Option<String>,
    /// Why, where there is a why.
    pub reason: Option<Reason>,
    /// What the payment was at that moment.
    pub metadata: Snapshot,
}

/// What a caller brings to a new event beside the change itself.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// A fresh id.
    pub id: EventId,
    /// Now, in business time.
    pub occurred_at: Instant,
    /// Who.
    pub actor: Actor,
    /// The request, if one led here.
    pub request_id: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "event_type", content = "change")]
pub enum Change {
    /// Accepted and stored; together with the snapshot all that the payment is rebuilt from.
    #[serde(rename = "payment_initiated")]
    Initiated(Box<Initiated>),
    /// A worker recorded the intent to hand it to the bank.
    #[serde(rename = "payment_processing")]
    Processing {
        /// When the bank should have settled it.
        estimated_settlement_at: Instant,
    },
    /// It will be tried again by itself.
    #[serde(rename = "payment_retry_scheduled")]
    RetryScheduled {
        /// For which reason, and so on which budget.
        retry: Retry,
        /// When.
        due_at: Instant,
        /// When the money should arrive then.
        estimated_settlement_at: Instant,
    },
    /// A person asked for another attempt.
    #[serde(rename = "payment_retry_requested")]
    RetryRequested {
        /// For which reason, and so on which budget.
        retry: Retry,
        /// When the money should arrive then.
        estimated_settlement_at: Instant,
    },
    /// The bank settled it.
    #[serde(rename = "payment_completed")]
    Completed,
    /// The bank refused it, or retries ran out.
    #[serde(rename = "payment_failed")]
    Failed,
    /// Taken back after settlement.
    #[serde(rename = "payment_returned")]
    Returned,
    /// Withdrawn before hand-over.
    #[serde(rename = "payment_cancelled")]
    Cancelled,
}

/// What only the first event knows.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Initiated {
    /// Which way the money goes.
    pub kind: Kind,
    /// The payment whose money a refund gives back, if it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund_of: Option<PaymentId>,
    /// The lease's landlord.
    pub landlord_id: UserId,
    /// Who gets the money.
    pub payee_id: UserId,
    /// Who asked for it.
    pub initiated_by: UserId,
    /// The initiator's name for the request.
    pub idempotency_key: IdempotencyKey,
    /// The initiator's notes.
    pub notes: Metadata,
    /// What the request left to defaults.
    pub omitted: Omitted,
    /// When the money should arrive.
    pub estimated_settlement_at: Instant,
}

/// Which budget an attempt is counted against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Retry {
    /// The bank had surely no instruction.
    Transient,
    /// The same debit once more after an R01 or R09 (entry description `RETRY PYMT`).
    Representment,
}

/// The names of the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// See [`Change::Initiated`].
    Initiated,
    /// See [`Change::Processing`].
    Processing,
    /// See [`Change::RetryScheduled`].
    RetryScheduled,
    /// See [`Change::RetryRequested`].
    RetryRequested,
    /// See [`Change::Completed`].
    Completed,
    /// See [`Change::Failed`].
    Failed,
    /// See [`Change::Returned`].
    Returned,
    /// See [`Change::Cancelled`].
    Cancelled,
}

names!(EventType {
    Initiated = "payment_initiated",
    Processing = "payment_processing",
    RetryScheduled = "payment_retry_scheduled",
    RetryRequested = "payment_retry_requested",
    Completed = "payment_completed",
    Failed = "payment_failed",
    Returned = "payment_returned",
    Cancelled = "payment_cancelled",
});

impl Change {
    /// Its name.
    pub fn event_type(&self) -> EventType {
        match self {
            Change::Initiated(_) => EventType::Initiated,
            Change::Processing { .. } => EventType::Processing,
            Change::RetryScheduled { .. } => EventType::RetryScheduled,
            Change::RetryRequested { .. } => EventType::RetryRequested,
            Change::Completed => EventType::Completed,
            Change::Failed => EventType::Failed,
            Change::Returned => EventType::Returned,
            Change::Cancelled => EventType::Cancelled,
        }
    }

    /// Where the payment stands after it.
    pub fn status(&self) -> Status {
        match self {
            Change::Initiated(_) | Change::RetryScheduled { .. } | Change::RetryRequested { .. } => Status::Pending,
            Change::Processing { .. } => Status::Processing,
            Change::Completed => Status::Completed,
            Change::Failed => Status::Failed,
            Change::Returned => Status::Returned,
            Change::Cancelled => Status::Cancelled,
        }
    }
}

/// Who did it. People are named by id only; names are joined when read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", rename_all = "UPPERCASE")]
pub enum Actor {
    /// A person.
    User {
        /// Who.
        id: UserId,
        /// The person's key, where a program acted by it for the person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        api_key_id: Option<ApiKeyId>,
        /// The program of somebody else's that the person let act.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        oauth_client_id: Option<OAuthClientId>,
    },
    /// A component of DirectPay, such as `submit-worker`.
    System {
        /// Its name.
        id: String,
    },
}

impl Actor {
    /// A signed-in person.
    pub fn user(id: UserId) -> Actor {
        Actor::User { id, api_key_id: None, oauth_client_id: None }
    }

    /// A component of DirectPay.
    pub fn system(component: &str) -> Actor {
        Actor::System { id: component.to_owned() }
    }

    /// The key by which the person acted, if one was used.
    pub fn api_key_id(&self) -> Option<ApiKeyId> {
        match self {
            Actor::User { api_key_id, .. } => *api_key_id,
            Actor::System { .. } => None,
        }
    }

    /// The program that acted for the person, if one did.
    pub fn oauth_client_id(&self) -> Option<OAuthClientId> {
        match self {
            Actor::User { oauth_client_id, .. } => *oauth_client_id,
            Actor::System { .. } => None,
        }
    }
}

/// What a payment was at the moment of an event.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Snapshot {
    /// A decimal string in the currency's own number of decimals.
    pub amount: String,
    /// ISO 4217.
    pub currency: Currency,
    /// How it moves.
    pub rail: Rail,
    /// Which attempt is next, under way or was the last.
    pub attempt: i64,
    /// The lease.
    pub lease_id: LeaseId,
    /// Where the money comes from.
    pub payer: AccountSnapshot,
    /// Where it goes.
    pub payee: AccountSnapshot,
    /// The attempt's name at the bank; none before any hand-over.
    pub bank_reference: Option<Reference>,
}

impl Snapshot {
    /// What `payment` is now.
    pub(super) fn of(payment: &Payment) -> Snapshot {
        let terms = &payment.terms;
        let bank_reference = match payment.status {
            Status::Pending | Status::Cancelled => None,
            Status::Processing | Status::Completed | Status::Failed | Status::Returned => Some(payment.reference()),
        };
        Snapshot {
            amount: terms.amount.to_string(),
            currency: terms.amount.currency(),
            rail: terms.rail,
            attempt: payment.attempt,
            lease_id: terms.lease_id,
            payer: terms.payer.clone(),
            payee: terms.payee.clone(),
            bank_reference,
        }
    }
}

impl Event {
    /// The next event of `payment`: `change` as of `new`, with the snapshot of what the payment becomes by it.
    ///
    /// `payment` is folded forward, so that the caller goes on from there.
    pub fn next(payment: &mut Payment, change: Change, reason: Option<Reason>, new: NewEvent) -> Event {
        let previous_status = Some(payment.status);
        payment.apply(&change, reason.as_ref(), new.occurred_at);
        Event {
            id: new.id,
            payment_id: payment.terms.id,
            sequence: payment.version,
            previous_status,
            status: payment.status,
            occurred_at: new.occurred_at,
            actor: new.actor,
            request_id: new.request_id,
            reason,
            metadata: Snapshot::of(payment),
            change,
        }
    }

    /// Whose id stands in for a name, if a person acted.
    pub fn acting_user(&self) -> Option<UserId> {
        match &self.actor {
            Actor::User { id, .. } => Some(*id),
            Actor::System { .. } => None,
        }
    }

    /// The id of whatever acted, as text.
    pub fn actor_id(&self) -> String {
        match &self.actor {
            Actor::User { id: UserId(id), .. } => Uuid::to_string(id),
            Actor::System { id } => id.clone(),
        }
    }
}
