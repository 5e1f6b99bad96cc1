//! A payment as it is shown.

use std::collections::HashMap;

use directpay_domain::id::PaymentId;
use directpay_domain::money::format_minor;
use directpay_domain::payment::{Kind, Payment, Reason, Terms};
use directpay_domain::time::Instant;
use directpay_domain::user::Role;
use directpay_store::feed::Parties;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::auth::Caller;

/// A payment as it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct PaymentView {
    /// Which payment.
    id: Uuid,
    /// The lease on which is paid.
    lease_id: Uuid,
    /// RENT from a renter, REFUND from the landlord.
    #[schema(example = "RENT")]
    kind: &'static str,
    /// The payment whose money a refund gives back; null on rent, and on a refund that names none.
    refund_of: Option<Uuid>,
    /// What refunds of this payment come to that are on their way or settled; null on refunds and in a look at the past.
    #[schema(example = "0.00")]
    refunded: Option<String>,
    /// Where the money comes from; null where that is another renter's account.
    payer_account_id: Option<Uuid>,
    /// Where it goes; null where that is another renter's account.
    payee_account_id: Option<Uuid>,
    /// With all decimals of the currency.
    #[schema(example = "1500.00")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// How it moves.
    #[schema(example = "INSTANT")]
    rail: &'static str,
    /// PENDING, PROCESSING, COMPLETED, FAILED, RETURNED or CANCELLED.
    #[schema(example = "PENDING")]
    status: &'static str,
    /// Why, while FAILED or RETURNED.
    #[schema(example = "R01")]
    failure_code: Option<String>,
    /// Why, for people.
    failure_reason: Option<String>,
    /// Attempts after the first.
    retry_count: i64,
    /// The initiator's name for the request; null for another renter.
    idempotency_key: Option<String>,
    /// The initiator's notes; null for another renter.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
    /// Who asked for it.
    initiated_by: Uuid,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    initiated_at: Instant,
    /// When it was last handed to the bank.
    #[schema(value_type = Option<String>, format = DateTime)]
    processing_at: Option<Instant>,
    /// When the bank last settled it.
    #[schema(value_type = Option<String>, format = DateTime)]
    completed_at: Option<Instant>,
    /// When it last failed.
    #[schema(value_type = Option<String>, format = DateTime)]
    failed_at: Option<Instant>,
    /// When it was last returned.
    #[schema(value_type = Option<String>, format = DateTime)]
    returned_at: Option<Instant>,
    /// When it was withdrawn.
    #[schema(value_type = Option<String>, format = DateTime)]
    cancelled_at: Option<Instant>,
    /// When the money arrives or arrived, as far as is known.
    #[schema(value_type = String, format = DateTime)]
    estimated_settlement_at: Instant,
    /// Until when the payer's bank may take it back; null where it cannot.
    #[schema(value_type = Option<String>, format = DateTime)]
    returnable_until: Option<Instant>,
    /// The number of its events.
    #[schema(example = 1)]
    version: i64,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
}

/// What of a payment the caller does not see: renters of one lease see that another of them paid or was paid, and nothing of
/// that one's accounts and notes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hidden {
    /// Where the money comes from.
    pub(super) payer: bool,
    /// Where it goes.
    pub(super) payee: bool,
    /// What the initiator calls it and wrote down with it.
    pub(super) notes: bool,
}

impl Hidden {
    /// What `caller` does not see of `payment`.
    pub(super) fn of(payment: &Payment, caller: Caller) -> Hidden {
        let Terms { kind, initiated_by, payee_id, .. } = payment.terms;
        Hidden::between(Parties { kind, initiated_by, payee_id }, caller)
    }

    /// What `caller` does not see of a payment between `parties`.
    pub(super) fn between(parties: Parties, caller: Caller) -> Hidden {
        let is_party = caller.user_id == parties.initiated_by || caller.user_id == parties.payee_id;
        let is_anothers = caller.role == Role::Renter && !is_party;
        Hidden {
            payer: is_anothers && parties.kind == Kind::Rent,
            payee: is_anothers && parties.kind == Kind::Refund,
            notes: is_anothers,
        }
    }
}

impl PaymentView {
    /// What the caller sees of a payment.
    pub(super) fn new(payment: &Payment, caller: Caller) -> PaymentView {
        let hidden = Hidden::of(payment, caller);
        let retry_count = payment.retry_count();
        let returnable_until = payment.returnable_until();
        let terms = &payment.terms;
        let failure = payment.failure.clone();
        let (failure_code, failure_reason) = failure.map(|Reason { code, text }| (code, text)).unzip();
        PaymentView {
            id: terms.id.0,
            lease_id: terms.lease_id.0,
            kind: terms.kind.name(),
            refund_of: terms.refund_of.map(|id| id.0),
            refunded: None,
            payer_account_id: (!hidden.payer).then_some(terms.payer.account_id.0),
            payee_account_id: (!hidden.payee).then_some(terms.payee.account_id.0),
            amount: terms.amount.to_string(),
            currency: terms.amount.currency().code(),
            rail: terms.rail.name(),
            status: payment.status.name(),
            failure_code,
            failure_reason,
            retry_count,
            idempotency_key: (!hidden.notes).then(|| terms.idempotency_key.as_str().to_owned()),
            metadata: (!hidden.notes).then(|| terms.metadata.as_object().clone()),
            initiated_by: terms.initiated_by.0,
            initiated_at: terms.initiated_at,
            processing_at: payment.processing_at,
            completed_at: payment.completed_at,
            failed_at: payment.failed_at,
            returned_at: payment.returned_at,
            cancelled_at: payment.cancelled_at,
            estimated_settlement_at: payment.estimated_settlement_at,
            returnable_until,
            version: payment.version,
            created_at: terms.initiated_at,
        }
    }
}

impl PaymentView {
    /// The same with what is refunded of it, by the sums of those payments of which something is.
    pub(super) fn with_refunded(self, payment: &Payment, refunded: &HashMap<PaymentId, i64>) -> PaymentView {
        let minor = refunded.get(&payment.terms.id).copied().unwrap_or(0);
        let refunded = match payment.terms.kind {
            Kind::Rent => Some(format_minor(minor, payment.terms.amount.currency())),
            Kind::Refund => None,
        };
        PaymentView { refunded, ..self }
    }
}
