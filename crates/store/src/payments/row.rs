//! A payment as a row.

use std::ops::Deref;

use directpay_domain::digest::Digest;
use directpay_domain::id::{BankAccountId, LeaseId, PaymentId, UserId};
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::metadata::Metadata;
use directpay_domain::money::{Amount, Currency};
use directpay_domain::payment::{AccountSnapshot, Kind, Omitted, Payment, Reason, Status, Terms};
use directpay_domain::rail::Rail;
use directpay_domain::time::Instant;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;
use crate::hashes::Hash;

/// A payment with the hash of its last event, behind which the next one follows. Its row is held, or it was written a moment
/// ago and nobody has moved it since.
#[derive(Debug, Clone)]
pub struct HeldPayment {
    /// As it stands.
    pub payment: Payment,
    /// The hash of the event that its version counts.
    pub(crate) head: Digest,
}

impl Deref for HeldPayment {
    type Target = Payment;
    fn deref(&self) -> &Payment {
        &self.payment
    }
}

/// A payment as it is written: the columns of `payments`, named as they are.
#[derive(Debug, Serialize)]
pub(crate) struct PaymentRow<'p> {
    pub(super) id: Uuid,
    lease_id: Uuid,
    landlord_id: Uuid,
    kind: &'static str,
    refund_of: Option<Uuid>,
    initiated_by: Uuid,
    payee_id: Uuid,
    payer_account_id: Uuid,
    payee_account_id: Uuid,
    amount: i64,
    currency: &'static str,
    rail: &'static str,
    idempotency_key: &'p str,
    metadata: &'p Metadata,
    omitted: i64,
    status: &'static str,
    version: i64,
    attempt: i64,
    transient_retries: i64,
    representments: i64,
    failure_code: Option<&'p str>,
    failure_text: Option<&'p str>,
    initiated_at: i64,
    estimated_settlement_at: i64,
    first_processing_at: Option<i64>,
    processing_at: Option<i64>,
    completed_at: Option<i64>,
    failed_at: Option<i64>,
    returned_at: Option<i64>,
    cancelled_at: Option<i64>,
    head: Hash,
}

/// A payment as it is read: the same columns, and what its events may show of the two accounts, which never changes.
#[derive(Debug, Deserialize, FromRow)]
pub(crate) struct Stored {
    id: Uuid,
    lease_id: Uuid,
    landlord_id: Uuid,
    kind: String,
    refund_of: Option<Uuid>,
    initiated_by: Uuid,
    payee_id: Uuid,
    payer_account_id: Uuid,
    payee_account_id: Uuid,
    amount: i64,
    currency: String,
    rail: String,
    idempotency_key: String,
    metadata: Json<Metadata>,
    omitted: i64,
    status: String,
    version: i64,
    attempt: i64,
    transient_retries: i64,
    representments: i64,
    failure_code: Option<String>,
    failure_text: Option<String>,
    initiated_at: i64,
    estimated_settlement_at: i64,
    first_processing_at: Option<i64>,
    processing_at: Option<i64>,
    completed_at: Option<i64>,
    failed_at: Option<i64>,
    returned_at: Option<i64>,
    cancelled_at: Option<i64>,
    head: Hash,
    payer_last4: String,
    payer_bank_name: String,
    payee_last4: String,
    payee_bank_name: String,
}

impl<'p> From<&'p HeldPayment> for PaymentRow<'p> {
    fn from(held: &'p HeldPayment) -> PaymentRow<'p> {
        let payment = &held.payment;
        let terms = &payment.terms;
        let micros = |instant: Option<Instant>| instant.map(Instant::micros);
        PaymentRow {
            id: terms.id.0,
            lease_id: terms.lease_id.0,
            landlord_id: terms.landlord_id.0,
            kind: terms.kind.name(),
            refund_of: terms.refund_of.map(|id| id.0),
            initiated_by: terms.initiated_by.0,
            payee_id: terms.payee_id.0,
            payer_account_id: terms.payer.account_id.0,
            payee_account_id: terms.payee.account_id.0,
            amount: terms.amount.minor(),
            currency: terms.amount.currency().code(),
            rail: terms.rail.name(),
            idempotency_key: terms.idempotency_key.as_str(),
            metadata: &terms.metadata,
            omitted: terms.omitted.to_bits(),
            status: payment.status.name(),
            version: payment.version,
            attempt: payment.attempt,
            transient_retries: payment.transient_retries,
            representments: payment.representments,
            failure_code: payment.failure.as_ref().map(|reason| reason.code.as_str()),
            failure_text: payment.failure.as_ref().map(|reason| reason.text.as_str()),
            initiated_at: terms.initiated_at.micros(),
            estimated_settlement_at: payment.estimated_settlement_at.micros(),
            first_processing_at: micros(payment.first_processing_at),
            processing_at: micros(payment.processing_at),
            completed_at: micros(payment.completed_at),
            failed_at: micros(payment.failed_at),
            returned_at: micros(payment.returned_at),
            cancelled_at: micros(payment.cancelled_at),
            head: Hash::of(held.head),
        }
    }
}

impl Stored {
    /// The same, to be changed.
    pub(crate) fn into_held(self) -> Result<HeldPayment, StoreError> {
        let head = self.head.digest();
        Ok(HeldPayment { payment: self.into_payment()?, head })
    }

    /// The payment that the row says.
    pub(crate) fn into_payment(self) -> Result<Payment, StoreError> {
        let instant = |micros| Instant::from_micros(micros).map_err(StoreError::damaged("time"));
        let moment = |micros: Option<i64>| micros.map(instant).transpose();
        let snapshot = |id, last4, bank_name| AccountSnapshot { account_id: BankAccountId(id), last4, bank_name };
        let currency = Currency::parse(&self.currency).map_err(StoreError::damaged("currency"))?;
        let failure = self.failure_code.zip(self.failure_text).map(|(code, text)| Reason { code, text });
        Ok(Payment {
            terms: Terms {
                id: PaymentId(self.id),
                lease_id: LeaseId(self.lease_id),
                landlord_id: UserId(self.landlord_id),
                kind: Kind::parse(&self.kind).map_err(StoreError::damaged("kind"))?,
                refund_of: self.refund_of.map(PaymentId),
                initiated_by: UserId(self.initiated_by),
                payee_id: UserId(self.payee_id),
                payer: snapshot(self.payer_account_id, self.payer_last4, self.payer_bank_name),
                payee: snapshot(self.payee_account_id, self.payee_last4, self.payee_bank_name),
                amount: Amount::from_minor(self.amount, currency).map_err(StoreError::damaged("amount"))?,
                rail: Rail::parse(&self.rail).map_err(StoreError::damaged("rail"))?,
                idempotency_key: IdempotencyKey::parse(&self.idempotency_key)
                    .map_err(StoreError::damaged("idempotency key"))?,
                metadata: self.metadata.0,
                omitted: Omitted::from_bits(self.omitted),
                initiated_at: instant(self.initiated_at)?,
            },
            status: Status::parse(&self.status).map_err(StoreError::damaged("status"))?,
            version: self.version,
            attempt: self.attempt,
            transient_retries: self.transient_retries,
            representments: self.representments,
            failure,
            estimated_settlement_at: instant(self.estimated_settlement_at)?,
            first_processing_at: moment(self.first_processing_at)?,
            processing_at: moment(self.processing_at)?,
            completed_at: moment(self.completed_at)?,
            failed_at: moment(self.failed_at)?,
            returned_at: moment(self.returned_at)?,
            cancelled_at: moment(self.cancelled_at)?,
        })
    }
}
