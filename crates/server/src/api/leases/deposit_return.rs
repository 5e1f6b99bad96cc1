//! Giving a deposit back, or keeping it item by item.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use directpay_domain::charge::ChargeKind;
use directpay_domain::deposit::DepositRefund;
use directpay_domain::id::{BankAccountId, ChargeId, LeaseId, PaymentId, UserId};
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::invalid::Invalid;
use directpay_domain::lease::LeaseTerms;
use directpay_domain::money::{Amount, Currency, format_minor};
use directpay_domain::payment::initiate::Initiation;
use directpay_domain::rail::Rail;
use directpay_domain::text::Line;
use directpay_domain::trail::Action;
use directpay_store::Tx;
use directpay_store::charges::Charge;
use directpay_store::deposits::{self, Deposits};
use directpay_store::lease_ledger::{LeaseLedger, NewRelease};
use directpay_store::leases::Lease;
use directpay_store::payments::{self, Fresh, Outcome};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::charges::parse_limited;
use super::deposits::{DepositReturnView, Place, known_charges, parse_days, parse_move_out, read_return};
use super::hold;
use super::once::{Made, once_if_named};
use crate::api::amount::AmountInput;
use crate::api::auth::Caller;
use crate::api::error::{ApiError, FieldErrors};
use crate::api::extract::{Id, Json, KeyHeader, Query, parse_id};
use crate::api::payments::refused;
use crate::api::problem::{Always, OfOne, OfRole, OfState, SignedIn, WithBody};
use crate::api::{created_once, request_id};
use crate::app::App;
use crate::daily_pass::{self, asked_by};
use crate::trail;
use crate::{clock, instruct};

/// Items of one return.
const DEDUCTIONS_MAX: usize = 50;

/// What a landlord makes of a deposit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDepositReturn {
    /// What is kept, item by item, and charged; at most 50.
    #[serde(default)]
    deductions: Vec<NewDeduction>,
    /// By which rail the rest goes back: INSTANT, SAME_DAY_ACH, STANDARD_ACH or WIRE; STANDARD_ACH if omitted.
    #[schema(example = "INSTANT")]
    rail: Option<String>,
    /// From which of the landlord's accounts; the primary one if omitted.
    #[schema(format = Uuid)]
    payer_account_id: Option<String>,
    /// To which renter. Required where the lease has several and no account tells.
    #[schema(format = Uuid)]
    payee_id: Option<String>,
    /// To which account of that renter; the primary one if omitted.
    #[schema(format = Uuid)]
    payee_account_id: Option<String>,
    /// The day on which the renters moved out; the lease's last day if omitted.
    #[schema(example = "2026-06-30", format = Date)]
    move_out_date: Option<String>,
    /// Calendar days that the landlord goes by; those of the state's law if omitted.
    #[schema(example = 14, minimum = 1, maximum = 365)]
    deadline_days: Option<i64>,
    /// The caller's name for this request, unless it is in the header `Idempotency-Key`.
    #[schema(example = "deposit-2026", min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// Something to deduct.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDeduction {
    /// What for, as the renters will read it.
    #[schema(example = "Broken window")]
    description: String,
    /// How much, at most 99,999,999.99.
    amount: AmountInput,
}

/// What is asked, parsed: also what a repetition is compared by.
#[derive(Debug, Serialize)]
struct Asked {
    deductions: Vec<AskedDeduction>,
    rail: Option<Rail>,
    payer_account_id: Option<BankAccountId>,
    payee_id: Option<UserId>,
    payee_account_id: Option<BankAccountId>,
    moved_out: Option<Date>,
    days: Option<i64>,
}

#[derive(Debug, Serialize)]
struct AskedDeduction {
    description: String,
    minor: i64,
}

impl NewDepositReturn {
    fn parse(&self, terms: &LeaseTerms) -> Result<Asked, ApiError> {
        let mut errors = FieldErrors::default();
        let mut deductions = Vec::with_capacity(self.deductions.len());
        for (number, one) in self.deductions.iter().enumerate() {
            let description = errors.take(&format!("deductions[{number}].description"), Line::parse(&one.description));
            let amount = errors.take(&format!("deductions[{number}].amount"), parse_limited(&one.amount, terms.rent));
            deductions.extend(description.zip(amount).map(|(description, amount)| AskedDeduction {
                description: description.into_string(),
                minor: amount.minor(),
            }));
        }
        if DEDUCTIONS_MAX < self.deductions.len() {
            errors.add("deductions", Invalid::new("too_many", format!("must be at most {DEDUCTIONS_MAX}")));
        }
        let rail = errors.take_optional("rail", self.rail.as_deref(), Rail::parse).flatten();
        let payer = self.payer_account_id.as_deref();
        let payer_account_id = errors.take_optional("payer_account_id", payer, parse_id).flatten();
        let payee_id = errors.take_optional("payee_id", self.payee_id.as_deref(), parse_id).flatten();
        let payee = self.payee_account_id.as_deref();
        let payee_account_id = errors.take_optional("payee_account_id", payee, parse_id).flatten();
        let moved_out = self.move_out_date.as_deref();
        let moved_out = errors.take_optional("move_out_date", moved_out, |text| parse_move_out(text, terms)).flatten();
        let days = errors.take_optional("deadline_days", self.deadline_days, parse_days).flatten();
        if !errors.is_empty() {
            return Err(errors.into_error());
        }
        Ok(Asked { deductions, rail, payer_account_id, payee_id, payee_account_id, moved_out, days })
    }
}

/// Trying it out.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PreviewQuery {
    /// Answers what would become of the deposit, and changes nothing; no idempotency key is needed.
    preview: Option<bool>,
}

/// Give a deposit back.
///
/// For the landlord, once the lease has ended. Each deduction is charged; what is held pays for these, then for whatever else is
/// open on the lease, and the rest goes back to a renter: all in one transaction, and the answer itemises it. What the
/// deductions exceed the deposit by stays owed. With `preview=true` nothing is changed. Repeating the request with the same
/// idempotency key answers the same return.
#[utoipa::path(
    post,
    path = "/leases/{id}/deposit-return",
    tag = "leases",
    params(("id" = Uuid, Path), PreviewQuery, ("Idempotency-Key" = Option<String>, Header, description = "The caller's name for this request, unless it is in the body")),
    request_body = NewDepositReturn,
    responses(
        (status = 201, body = DepositReturnView, description = "Returned, or kept", headers(("Location" = String))),
        (status = 200, body = DepositReturnView, description = "Done before under this key, or a preview", headers(("Idempotent-Replayed" = String))),
        WithBody, OfOne, OfRole, OfState, SignedIn, Always,
    ),
)]
pub async fn return_deposit(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    header: KeyHeader,
    Query(query): Query<PreviewQuery>,
    Json(request): Json<NewDepositReturn>,
) -> Result<Response, ApiError> {
    let is_preview = query.preview.unwrap_or(false);
    let key = if is_preview { None } else { Some(header.with_body(request.idempotency_key.as_deref())?) };
    let now = app.clock.business();
    let mut tx = app.db.begin().await?;
    let lease = hold(&mut tx, caller, id).await?;
    let asked = request.parse(&lease.terms)?;
    let made = once_if_named(&mut tx, caller, key.as_ref(), now, &("deposit-return", id, &asked)).await?;
    let place = Place::of(&mut tx, &lease, now).await?;
    let (return_id, is_new) = match made {
        Made::Before(made) => (made, false),
        Made::New(made) => {
            release(&app, &mut tx, caller, &lease, &place, made, &asked).await?;
            trail::done(Action::DepositReturned).to(id).with(json!({"return_id": made})).record(&mut tx).await?;
            (made, true)
        }
    };
    let found = deposits::find(&mut tx, id).await?;
    let released = found.releases.iter().find(|released| released.release.return_id == return_id);
    let known = known_charges(&mut tx, id).await?;
    let view = read_return(&mut tx, released.ok_or_else(ApiError::not_found)?, &place.today, &known).await?;
    if is_preview {
        // The transaction goes as it came.
        return Ok(Json(view.into_preview()).into_response());
    }
    tx.commit().await?;
    app.bell.ring();
    Ok(created_once(is_new, &format!("/api/v1/leases/{id}/deposit"), view))
}

/// Charges what is deducted, lets the deposit pay for that and for what else is open, and sends the rest back.
async fn release(
    app: &App,
    tx: &mut Tx,
    caller: Caller,
    lease: &Lease,
    place: &Place,
    return_id: Uuid,
    asked: &Asked,
) -> Result<(), ApiError> {
    let today = place.today.date;
    let end = ended(lease, today)?;
    let new = asked_by(app, caller);
    // All that the lease will ever charge as rent is posted by now: nothing takes what is left before it goes back.
    let mut ledger = LeaseLedger::open(tx, [lease.id]).await?;
    daily_pass::post_due(tx, &mut ledger, lease.id, today, &new).await?;
    ledger.write(tx).await?;
    let found = deposits::find(tx, lease.id).await?;
    let currency = lease.terms.rent.currency();
    let held = held(&found, currency)?;
    let mut ledger = LeaseLedger::open(tx, [lease.id]).await?;
    let mut deductions = Vec::with_capacity(asked.deductions.len());
    for AskedDeduction { description, minor } in &asked.deductions {
        let amount = Amount::from_minor(*minor, currency).map_err(|invalid| ApiError::internal(&invalid))?;
        let id = ChargeId(clock::new_id());
        let charge = Charge {
            description: Some(description.clone()),
            ..Charge::standing_alone(id, lease.id, ChargeKind::OneOff, today, amount)
        };
        ledger.make(charge, new())?;
        deductions.push(id);
    }
    let release = NewRelease {
        id: return_id,
        held,
        unpaid: &found.open,
        deductions,
        payment_id: PaymentId(clock::new_id()),
        return_by: place.deadline(asked.moved_out.unwrap_or(end), asked.days).return_by,
    };
    let refund = ledger.release(lease.id, release, new())?;
    ledger.write(tx).await?;
    match refund {
        Some(refund) => send_back(app, tx, caller, lease, return_id, refund, asked).await,
        None => Ok(()),
    }
}

/// The lease's last day, if it has come.
fn ended(lease: &Lease, today: Date) -> Result<Date, ApiError> {
    match lease.terms.ends_on {
        Some(end) if end <= today => Ok(end),
        Some(end) => {
            let detail = format!("the lease runs until {end}; end it earlier, or wait for that day");
            Err(ApiError::wrong_status("lease_not_ended", "RUNNING", detail))
        }
        None => Err(ApiError::wrong_status("lease_has_no_end", "OPEN_ENDED", "the lease has no end; end it first")),
    }
}

/// What is held, if that can be told.
fn held(found: &Deposits, currency: Currency) -> Result<Amount, ApiError> {
    if 0 < found.on_the_way_minor {
        let on_the_way = format_minor(found.on_the_way_minor, currency);
        let detail = format!("{on_the_way} of the deposit are still on their way; wait until they have arrived");
        return Err(ApiError::conflict("deposit_on_its_way", detail));
    }
    if 0 < found.pending_minor || found.has_pending_refund {
        // It pays for what is open now: the deposit would pay for that a second time.
        let detail = "a payment was accepted that no bank has seen yet; wait until it has paid for what is open";
        return Err(ApiError::conflict("payment_pending", detail));
    }
    Amount::from_minor(found.held_minor, currency)
        .map_err(|_| ApiError::conflict("no_deposit_held", "no deposit is held on this lease"))
}

/// Initiates the payment that brings back what is left of a deposit.
async fn send_back(
    app: &App,
    tx: &mut Tx,
    caller: Caller,
    lease: &Lease,
    return_id: Uuid,
    refund: DepositRefund,
    asked: &Asked,
) -> Result<(), ApiError> {
    let key = IdempotencyKey::parse(&format!("deposit-return-{return_id}"));
    let initiation = Initiation {
        initiated_by: caller.user_id,
        idempotency_key: key.map_err(|invalid| ApiError::internal(&invalid))?,
        lease_id: lease.id,
        amount: refund.amount,
        rail: asked.rail,
        payer_account_id: asked.payer_account_id,
        payee_account_id: asked.payee_account_id,
        payee_id: asked.payee_id,
        refund_of: None,
        currency: None,
        metadata: None,
    };
    let (event, at) = instruct::new_event(app, caller.actor(), Some(request_id::current()));
    let fresh = Fresh { initiation, payment_id: refund.payment_id, event, at };
    match payments::initiate(tx, &[fresh]).await?.pop() {
        Some(Outcome::Initiated(_)) => Ok(()),
        // The amount follows from the deposit: where a rail does not carry it, the rail is to blame.
        Some(Outcome::Refused(broken)) => {
            let blame = |field| if field == "amount" { "rail" } else { field };
            Err(refused(broken.into_iter().map(|(field, invalid)| (blame(field), invalid))))
        }
        Some(Outcome::KeyReused(payment_id)) => Err(ApiError::idempotency_key_reused(Some(payment_id))),
        None => Err(ApiError::not_found()),
    }
}
