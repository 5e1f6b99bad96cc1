//! A mandate as it is asked for, shown, and given to its renter as a copy.

use directpay_domain::autopay::{MandateTerms, Notice, NoticeKind};
use directpay_domain::id::BankAccountId;
use directpay_domain::invalid::Invalid;
use directpay_domain::money::{Currency, format_minor};
use directpay_domain::payment::Reason;
use directpay_domain::rail::Rail;
use directpay_domain::time::Instant;
use directpay_store::autopay::{self as mandates, Draw, Mandate};
use directpay_store::bank_accounts::BankAccount;
use directpay_store::leases::Lease;
use directpay_store::{StoreError, Tx};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::amount::AmountInput;
use crate::api::auth::Caller;
use crate::api::error::{ApiError, FieldErrors};
use crate::api::extract::parse_id;

/// How many draws a view shows, the newest.
pub(super) const DRAWS_SHOWN: i64 = 24;

/// What a renter signs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMandate {
    /// The most that one draw takes.
    cap: AmountInput,
    /// From which of the caller's accounts; the one that is primary now if omitted. A later change of the primary changes nothing.
    #[schema(format = Uuid)]
    payer_account_id: Option<String>,
    /// INSTANT, SAME_DAY_ACH, STANDARD_ACH or WIRE; STANDARD_ACH if omitted.
    #[schema(example = "STANDARD_ACH")]
    rail: Option<String>,
    /// How many days before the due date it is drawn, 0 (default) to 10. Money counts from the day on which it is drawn.
    #[schema(example = 0, minimum = 0, maximum = 10)]
    lead_days: Option<i64>,
    /// Which draws are announced at least ten days before, or drawn only as far as they were: OUTSIDE_RANGE (default), those that
    /// are not between `usual_min` and `usual_max`, or ANY_CHANGE, all that differ from the one before.
    #[schema(example = "OUTSIDE_RANGE")]
    notice: Option<String>,
    /// The least that is usual; nothing if omitted.
    usual_min: Option<AmountInput>,
    /// The most that is usual; the cap if omitted.
    usual_max: Option<AmountInput>,
    /// The caller's name for this request, unless it is in the header `Idempotency-Key`.
    #[schema(example = "autopay-2026", min_length = 1, max_length = 255)]
    pub(super) idempotency_key: Option<String>,
}

impl NewMandate {
    pub(super) fn parse(&self, currency: Currency) -> Result<(MandateTerms, Option<BankAccountId>), ApiError> {
        let mut errors = FieldErrors::default();
        let cap = errors.take("cap", self.cap.parse(currency));
        let rail = errors.take_optional("rail", self.rail.as_deref(), Rail::parse);
        let account = errors.take_optional("payer_account_id", self.payer_account_id.as_deref(), parse_id);
        let kind = errors.take_optional("notice", self.notice.as_deref(), NoticeKind::parse);
        let min = errors.take_optional("usual_min", self.usual_min.as_ref(), |min| min.parse(currency));
        let max = errors.take_optional("usual_max", self.usual_max.as_ref(), |max| max.parse(currency));
        let (Some(cap), Some(rail), Some(account), Some(kind), Some(min), Some(max)) =
            (cap, rail, account, kind, min, max)
        else {
            return Err(errors.into_error());
        };
        let notice = match kind.unwrap_or(NoticeKind::OutsideRange) {
            NoticeKind::OutsideRange => {
                Notice::OutsideRange { min: min.map_or(0, |min| min.minor()), max: max.unwrap_or(cap) }
            }
            NoticeKind::AnyChange => {
                let given = [("usual_min", min.is_some()), ("usual_max", max.is_some())];
                for (field, _) in given.iter().filter(|(_, is_given)| *is_given) {
                    errors.add(field, Invalid::new("superfluous", "there is no range where any change is announced"));
                }
                Notice::AnyChange
            }
        };
        let lead_days = self.lead_days.unwrap_or(0);
        let terms = MandateTerms { rail: rail.unwrap_or(Rail::DEFAULT), cap, lead_days, notice };
        terms.check().into_iter().for_each(|(field, invalid)| errors.add(field, invalid));
        if errors.is_empty() { Ok((terms, account)) } else { Err(errors.into_error()) }
    }
}

/// A mandate. What only its renter has to know is null for everybody else.
#[derive(Debug, Serialize, ToSchema)]
pub struct MandateView {
    /// Which mandate.
    id: Uuid,
    /// On which lease.
    lease_id: Uuid,
    /// Who pays.
    renter_id: Uuid,
    /// ACTIVE, PAUSED (by the renter), SUSPENDED (two draws in a row came to nothing) or REVOKED.
    #[schema(example = "ACTIVE")]
    status: &'static str,
    /// Whether the landlord takes no payments now: then nothing is drawn.
    is_blocked: bool,
    /// By which rail.
    #[schema(example = "STANDARD_ACH")]
    rail: &'static str,
    /// How many days before the due date it is drawn.
    #[schema(example = 0)]
    lead_days: i64,
    /// From which account; the renter's own.
    payer_account_id: Option<Uuid>,
    /// The most that one draw takes.
    #[schema(example = "1600.00")]
    cap: Option<String>,
    /// OUTSIDE_RANGE or ANY_CHANGE.
    #[schema(example = "OUTSIDE_RANGE")]
    notice: Option<&'static str>,
    /// The least that is usual; null also where any change is announced.
    #[schema(example = "0.00")]
    usual_min: Option<String>,
    /// The most that is usual.
    #[schema(example = "1600.00")]
    usual_max: Option<String>,
    /// The copy of what was signed.
    document: Option<String>,
    /// When it was signed.
    #[schema(value_type = String, format = DateTime)]
    created_at: Instant,
    /// The last draws and the next, the newest first.
    draws: Vec<DrawView>,
}

/// A draw: one for each day on which rent falls due.
#[derive(Debug, Serialize, ToSchema)]
pub struct DrawView {
    /// The day on which the rent falls due.
    #[schema(value_type = String, format = Date)]
    due_date: Date,
    /// The day on which it is drawn.
    #[schema(value_type = String, format = Date)]
    draw_date: Date,
    /// ANNOUNCED, DRAWN, SKIPPED, MISSED or FAILED.
    #[schema(example = "ANNOUNCED")]
    status: &'static str,
    /// What was announced last; null for everybody but the renter, and so are the reasons.
    #[schema(example = "1500.00")]
    announced_amount: Option<String>,
    /// On which day.
    #[schema(value_type = Option<String>, format = Date)]
    announced_on: Option<Date>,
    /// The payment; null where there is none.
    payment_id: Option<Uuid>,
    /// What was drawn; null where nothing was.
    #[schema(example = "1500.00")]
    amount: Option<String>,
    /// Why nothing was drawn, or what became of the payment.
    #[schema(example = "R01")]
    reason_code: Option<String>,
    /// Why, for people.
    reason: Option<String>,
}

impl DrawView {
    fn new(draw: Draw, terms: &MandateTerms, is_own: bool) -> DrawView {
        let money = |minor| format_minor(minor, terms.cap.currency());
        let reason = draw.reason.filter(|_| is_own);
        let (reason_code, reason) = reason.map(|Reason { code, text }| (code, text)).unzip();
        DrawView {
            due_date: draw.due_date,
            draw_date: terms.draw_day(draw.due_date),
            status: draw.status.name(),
            announced_amount: draw.announced.filter(|_| is_own).map(|announced| money(announced.minor)),
            announced_on: draw.announced.map(|announced| announced.on),
            payment_id: draw.payment_id.map(|id| id.0),
            amount: draw.drawn_minor.map(money),
            reason_code,
            reason,
        }
    }
}

impl MandateView {
    pub(super) async fn read(
        tx: &mut Tx,
        mandate: Mandate,
        caller: Caller,
        is_blocked: bool,
    ) -> Result<MandateView, StoreError> {
        let draws = mandates::draws(tx, mandate.id, DRAWS_SHOWN).await?;
        let terms = mandate.terms;
        let (min, max) = match terms.notice {
            Notice::OutsideRange { min, max } => (Some(min), Some(max)),
            Notice::AnyChange => (None, None),
        };
        let is_own = caller.user_id == mandate.renter_id;
        Ok(MandateView {
            id: mandate.id,
            lease_id: mandate.lease_id.0,
            renter_id: mandate.renter_id.0,
            status: mandate.status.name(),
            is_blocked,
            rail: terms.rail.name(),
            lead_days: terms.lead_days,
            payer_account_id: is_own.then_some(mandate.account_id.0),
            cap: is_own.then(|| terms.cap.to_string()),
            notice: is_own.then(|| terms.notice.kind().name()),
            usual_min: min.filter(|_| is_own).map(|min| format_minor(min, terms.cap.currency())),
            usual_max: max.filter(|_| is_own).map(|max| max.to_string()),
            document: is_own.then_some(mandate.document),
            created_at: mandate.signed_at,
            draws: draws.into_iter().map(|draw| DrawView::new(draw, &terms, is_own)).collect(),
        })
    }
}

/// The copy of a mandate: what was agreed, in words and numbers, as it was at that moment.
pub(super) fn document(id: Uuid, lease: &Lease, account: &BankAccount, terms: &MandateTerms, at: Instant) -> String {
    let usual = match terms.notice {
        Notice::OutsideRange { min, max } => {
            let min = format_minor(min, terms.cap.currency());
            format!("I am told at least 10 days before a draw of less than {min} or more than {max}")
        }
        Notice::AnyChange => "I am told at least 10 days before a draw that differs from the one before".to_owned(),
    };
    let words = format!(
        "I authorize drafts from my account ending in {} at {} to pay what I owe on this lease on each day on which rent falls due, \
         drawn {} days before by {}, never more than {} {} at once. {usual}. I may skip a draw, and pause or revoke this \
         mandate, until a draw is handed to the bank. It ends with the lease.",
        account.last4,
        account.bank_name,
        terms.lead_days,
        terms.rail,
        terms.cap,
        terms.cap.currency(),
    );
    json!({"mandate_id": id, "lease_id": lease.id, "renter_id": account.user_id, "signed_at": at, "text": words})
        .to_string()
}
