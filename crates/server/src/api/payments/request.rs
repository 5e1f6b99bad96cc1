//! What a caller asks for, and its parsing.

use directpay_domain::id::{BankAccountId, LeaseId, PaymentId, UserId};
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::metadata::Metadata;
use directpay_domain::money::Currency;
use directpay_domain::payment::initiate::Initiation;
use directpay_domain::rail::Rail;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::api::amount::AmountInput;
use crate::api::auth::Caller;
use crate::api::error::{ApiError, FieldErrors};
use crate::api::extract::parse_id;
use crate::api::json_object::JsonObject;

/// A new payment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InitiatePayment {
    /// The lease on which is paid.
    #[schema(format = Uuid)]
    lease_id: String,
    /// How much, in the currency's own number of decimals.
    amount: AmountInput,
    /// INSTANT, SAME_DAY_ACH, STANDARD_ACH or WIRE; if omitted STANDARD_ACH, or the rail of the payment that is refunded.
    /// `payment_rail_type` is its other name.
    #[schema(example = "INSTANT")]
    #[serde(alias = "payment_rail_type")]
    rail: Option<String>,
    /// From which of the caller's accounts; the primary one if omitted.
    #[schema(format = Uuid)]
    payer_account_id: Option<String>,
    /// To which account of the other party; if omitted the account that the refunded payment came from, else the lease's
    /// receiving account or the primary one.
    #[schema(format = Uuid)]
    payee_account_id: Option<String>,
    /// For landlords: to which renter a refund goes. Required where the lease has several and neither `refund_of` nor
    /// `payee_account_id` tells.
    #[schema(format = Uuid)]
    payee_id: Option<String>,
    /// For landlords: the COMPLETED rent payment of this lease whose money is given back, all of it or a part. Its refunds
    /// together never exceed it.
    #[schema(format = Uuid)]
    refund_of: Option<String>,
    /// The lease's if omitted.
    #[schema(example = "USD")]
    currency: Option<String>,
    /// The caller's name for this request, unless it is in the header `Idempotency-Key`.
    #[schema(example = "rent-2026-03", min_length = 1, max_length = 255)]
    pub(super) idempotency_key: Option<String>,
    /// The caller's notes: at most 50 keys and 4 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<JsonObject>,
}

impl InitiatePayment {
    /// The request with `key`, as the domain knows it, or everything that is wrong with it.
    pub(super) fn parse(self, caller: Caller, key: IdempotencyKey) -> Result<Initiation, ApiError> {
        let mut errors = FieldErrors::default();
        let currency = errors.take_optional("currency", self.currency.as_deref(), Currency::parse);
        let stated = currency.flatten().unwrap_or(Currency::USD);
        let lease_id = errors.take("lease_id", parse_id::<LeaseId>(&self.lease_id));
        let amount = errors.take("amount", self.amount.parse(stated));
        let rail = errors.take_optional("rail", self.rail.as_deref(), Rail::parse);
        let mut account =
            |field, id: Option<String>| errors.take_optional(field, id.as_deref(), parse_id::<BankAccountId>);
        let payer_account_id = account("payer_account_id", self.payer_account_id);
        let payee_account_id = account("payee_account_id", self.payee_account_id);
        let payee_id = errors.take_optional("payee_id", self.payee_id.as_deref(), parse_id::<UserId>);
        let refund_of = errors.take_optional("refund_of", self.refund_of.as_deref(), parse_id::<PaymentId>);
        let metadata = errors.take_optional("metadata", self.metadata, |object: JsonObject| Metadata::parse(object.0));
        let (Some(lease_id), Some(amount), Some(rail)) = (lease_id, amount, rail) else {
            return Err(errors.into_error());
        };
        let (Some(payer_account_id), Some(payee_account_id), Some(payee_id), Some(refund_of)) =
            (payer_account_id, payee_account_id, payee_id, refund_of)
        else {
            return Err(errors.into_error());
        };
        let (Some(currency), Some(metadata)) = (currency, metadata) else {
            return Err(errors.into_error());
        };
        Ok(Initiation {
            initiated_by: caller.user_id,
            idempotency_key: key,
            lease_id,
            amount,
            rail,
            payer_account_id,
            payee_account_id,
            payee_id,
            refund_of,
            currency,
            metadata,
        })
    }
}
