//! A payment as a row.

use directpay_domain::id::{BankAccountId, LeaseId, PaymentId, UserId};
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::metadata::Metadata;
use directpay_domain::money::{Amount, Currency};
use directpay_domain::payment::{AccountSnapshot, Kind, Omitted, Payment, Reason, Status, Terms};
use directpay_domain::rail::Rail;
use directpay_domain::time::Instant;
use serde::Serialize;
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use crate::error::StoreError;

/// The columns of `payments`, named as they are.
#[derive(Debug, Serialize, FromRow)]
pub(crate) struct PaymentRow {
    id: Uuid,
    lease_id: Uuid,
    landlord_id: Uuid,
    kind: String,
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
}

/// A payment's row and what is joined to it: what its events may show of the two accounts, which never changes.
#[derive(Debug, FromRow)]
pub(crate) struct Stored {
    #[sqlx(flatten)]
    row: PaymentRow,
    payer_last4: String,
    payer_bank_name: String,
    payee_last4: String,
    payee_bank_name: String,
}

impl From<&Payment> for PaymentRow {
    fn from(payment: &Payment) -> PaymentRow {
        let terms = &payment.terms;
        let micros = |instant: Option<Instant>| instant.map(Instant::micros);
        PaymentRow {
            id: terms.id.0,
            lease_id: terms.lease_id.0,
            landlord_id: terms.landlord_id.0,
            kind: terms.kind.name().to_owned(),
            initiated_by: terms.initiated_by.0,
            payee_id: terms.payee_id.0,
            payer_account_id: terms.payer.account_id.0,
            payee_account_id: terms.payee.account_id.0,
            amount: terms.amount.minor(),
            currency: terms.amount.currency().code().to_owned(),
            rail: terms.rail.name().to_owned(),
            idempotency_key: terms.idempotency_key.as_str().to_owned(),
            metadata: Json(terms.metadata.clone()),
            omitted: terms.omitted.to_bits(),
            status: payment.status.name().to_owned(),
            version: payment.version,
            attempt: payment.attempt,
            transient_retries: payment.transient_retries,
            representments: payment.representments,
            failure_code: payment.failure.as_ref().map(|reason| reason.code.clone()),
            failure_text: payment.failure.as_ref().map(|reason| reason.text.clone()),
            initiated_at: terms.initiated_at.micros(),
            estimated_settlement_at: payment.estimated_settlement_at.micros(),
            first_processing_at: micros(payment.first_processing_at),
            processing_at: micros(payment.processing_at),
            completed_at: micros(payment.completed_at),
            failed_at: micros(payment.failed_at),
            returned_at: micros(payment.returned_at),
            cancelled_at: micros(payment.cancelled_at),
        }
    }
}

impl Stored {
    /// The payment that the row says.
    pub(crate) fn into_payment(self) -> Result<Payment, StoreError> {
        let row = self.row;
        let instant = |micros| Instant::from_micros(micros).map_err(StoreError::damaged("time"));
        let moment = |micros: Option<i64>| micros.map(instant).transpose();
        let snapshot = |id, last4, bank_name| AccountSnapshot { account_id: BankAccountId(id), last4, bank_name };
        let currency = Currency::parse(&row.currency).map_err(StoreError::damaged("currency"))?;
        let failure = row.failure_code.zip(row.failure_text).map(|(code, text)| Reason { code, text });
        Ok(Payment {
            terms: Terms {
                id: PaymentId(row.id),
                lease_id: LeaseId(row.lease_id),
                landlord_id: UserId(row.landlord_id),
                kind: Kind::parse(&row.kind).map_err(StoreError::damaged("kind"))?,
                initiated_by: UserId(row.initiated_by),
                payee_id: UserId(row.payee_id),
                payer: snapshot(row.payer_account_id, self.payer_last4, self.payer_bank_name),
                payee: snapshot(row.payee_account_id, self.payee_last4, self.payee_bank_name),
                amount: Amount::from_minor(row.amount, currency).map_err(StoreError::damaged("amount"))?,
                rail: Rail::parse(&row.rail).map_err(StoreError::damaged("rail"))?,
                idempotency_key: IdempotencyKey::parse(&row.idempotency_key)
                    .map_err(StoreError::damaged("idempotency key"))?,
                metadata: row.metadata.0,
                omitted: Omitted::from_bits(row.omitted),
                initiated_at: instant(row.initiated_at)?,
            },
            status: Status::parse(&row.status).map_err(StoreError::damaged("status"))?,
            version: row.version,
            attempt: row.attempt,
            transient_retries: row.transient_retries,
            representments: row.representments,
            failure,
            estimated_settlement_at: instant(row.estimated_settlement_at)?,
            first_processing_at: moment(row.first_processing_at)?,
            processing_at: moment(row.processing_at)?,
            completed_at: moment(row.completed_at)?,
            failed_at: moment(row.failed_at)?,
            returned_at: moment(row.returned_at)?,
            cancelled_at: moment(row.cancelled_at)?,
        })
    }
}
