//! What a landlord charges once, takes back and lets off.

use std::cmp::Reverse;

use axum::extract::State;
use axum::response::Response;
use directpay_domain::calendar::{date_to_number, parse_date};
use directpay_domain::charge::{ChargeKind, CreditKind};
use directpay_domain::id::{ChargeId, LeaseId};
use directpay_domain::invalid::Invalid;
use directpay_domain::lease::check_rent;
use directpay_domain::money::Amount;
use directpay_domain::payment::Reason;
use directpay_domain::text::Line;
use directpay_domain::trail::Action;
use directpay_store::Tx;
use directpay_store::charges::{self, Charge};
use directpay_store::deposits;
use directpay_store::lease_ledger::{LeaseLedger, NewCredit};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::once::{Made, once};
use super::view::ChargeView;
use super::{find_visible, hold, local_day};
use crate::api::amount::AmountInput;
use crate::api::auth::Caller;
use crate::api::error::{ApiError, FieldErrors};
use crate::api::extract::{Id, Ids, Json, KeyHeader, List, ListQuery, Query, parse_id};
use crate::api::problem::{Always, OfList, OfOne, OfRole, OfState, SignedIn, WithBody};
use crate::api::{changed_once, created_once};
use crate::app::App;
use crate::daily_pass::{self, asked_by};
use crate::trail;

/// What is charged once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCharge {
    /// ONE_OFF (default), or DEPOSIT: security that is owed back, no income.
    #[schema(example = "ONE_OFF")]
    kind: Option<String>,
    /// What for, as the renters will read it.
    #[schema(example = "Lost key")]
    description: String,
    /// How much, at most 99,999,999.99.
    amount: AmountInput,
    /// When it is due; today if omitted.
    #[schema(example = "2026-03-15", format = Date)]
    due_date: Option<String>,
    /// The caller's name for this request, unless it is in the header `Idempotency-Key`.
    #[schema(example = "lost-key-2026-03", min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// Charge something once.
///
/// For the landlord. It is owed from its due date on; one that lies in the past is owed at once. Repeating the request with the
/// same idempotency key returns the same charge.
#[utoipa::path(
    post,
    path = "/leases/{id}/charges",
    tag = "leases",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header, description = "The caller's name for this request, unless it is in the body")),
    request_body = NewCharge,
    responses(
        (status = 201, body = ChargeView, description = "Charged", headers(("Location" = String))),
        (status = 200, body = ChargeView, description = "Charged before under this key", headers(("Idempotent-Replayed" = String))),
        WithBody, OfOne, OfRole, SignedIn, Always,
    ),
)]
pub async fn create_charge(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    header: KeyHeader,
    Json(request): Json<NewCharge>,
) -> Result<Response, ApiError> {
    let key = header.with_body(request.idempotency_key.as_deref())?;
    let now = app.clock.business();
    let mut tx = app.db.begin().await?;
    let lease = hold(&mut tx, caller, id).await?;
    let mut errors = FieldErrors::default();
    let kind = errors.take("kind", request.kind.as_deref().map_or(Ok(ChargeKind::OneOff), parse_once));
    let description = errors.take("description", Line::parse(&request.description));
    let amount = errors.take("amount", parse_limited(&request.amount, lease.terms.rent));
    let due_date = errors.take_optional("due_date", request.due_date.as_deref(), parse_date);
    let (Some(kind), Some(description), Some(amount), Some(due_date)) = (kind, description, amount, due_date) else {
        return Err(errors.into_error());
    };
    let what = ("charge", id, kind, description.as_str(), amount.minor(), due_date);
    let (charge_id, is_new) = match once(&mut tx, caller, &key, now, &what).await? {
        Made::Before(made) => (ChargeId(made), false),
        Made::New(made) => {
            let today = local_day(&mut tx, &lease, now).await?.date;
            let due_date = due_date.unwrap_or(today);
            let charge = Charge {
                description: Some(description.into_string()),
                ..Charge::standing_alone(ChargeId(made), id, kind, due_date, amount)
            };
            let new = asked_by(&app, caller);
            let mut ledger = LeaseLedger::open(&mut tx, [id]).await?;
            if due_date <= today {
                ledger.make(charge, new())?;
            } else {
                ledger.add(charge, new())?;
            }
            ledger.write(&mut tx).await?;
            trail::done(Action::LeaseChargeCreated).to(id).with(json!({"charge_id": made})).record(&mut tx).await?;
            (ChargeId(made), true)
        }
    };
    let view = read_charge(&mut tx, id, charge_id).await?;
    tx.commit().await?;
    Ok(created_once(is_new, &format!("/api/v1/leases/{id}/schedule"), view))
}

fn parse_once(text: &str) -> Result<ChargeKind, Invalid> {
    match ChargeKind::parse(text) {
        Ok(kind @ (ChargeKind::OneOff | ChargeKind::Deposit)) => Ok(kind),
        Ok(ChargeKind::Payout | ChargeKind::Rent | ChargeKind::Extra | ChargeKind::LateFee) | Err(_) => {
            Err(Invalid::new("unknown", "must be ONE_OFF or DEPOSIT"))
        }
    }
}

pub(super) fn parse_limited(amount: &AmountInput, rent: Amount) -> Result<Amount, Invalid> {
    let amount = amount.parse(rent.currency())?;
    check_rent(amount)?;
    Ok(amount)
}

async fn read_charge(tx: &mut Tx, lease: LeaseId, id: ChargeId) -> Result<ChargeView, ApiError> {
    let charge = charges::find(tx, lease, id).await?.ok_or_else(ApiError::not_found)?;
    let settled = charges::settled(tx, lease).await?;
    Ok(ChargeView::settled_by(charge, &settled))
}

/// List what is to be paid, and what was.
///
/// For the parties of the lease and administrators: what was charged so far, and what falls due within the lease's notice
/// (`charge_notice_days`). Newest first, by due date. What comes later stands in the schedule.
#[utoipa::path(
    get,
    path = "/leases/{id}/charges",
    tag = "leases",
    params(("id" = Uuid, Path), ListQuery),
    responses((status = 200, body = List<ChargeView>, description = "A page of the list"), OfList, OfOne, SignedIn, Always),
)]
pub async fn list_charges(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<ChargeView>>, ApiError> {
    let wanted = query.parse()?;
    let mut tx = app.db.begin_read().await?;
    let lease = find_visible(&mut tx, caller, id).await?;
    let today = local_day(&mut tx, &lease, app.clock.business()).await?;
    let through = lease.charge_notice.through(today.date);
    let mut shown = charges::list(&mut tx, id).await?;
    shown.retain(|charge| is_shown(charge, through) && place_in_list(charge) < wanted.page().before);
    shown.sort_by_key(|charge| Reverse(place_in_list(charge)));
    let settled = charges::settled(&mut tx, id).await?;
    Ok(Json(wanted.list(shown, place_in_list, |charge| ChargeView::settled_by(charge, &settled))))
}

/// Whether a charge is among those to be paid, or was, when the notice reaches to `through`.
fn is_shown(charge: &Charge, through: Date) -> bool {
    charge.posted_at.is_some() || charge.voided_at.is_none() && charge.due_date <= through
}

/// Where a charge stands in a list by due date: the date, and then its id as far as there is room. Pages begin behind such a
/// place, also when the charge that had it is gone.
fn place_in_list(charge: &Charge) -> Uuid {
    let mut place = charge.id.0.into_bytes();
    let due_date = u32::try_from(date_to_number(charge.due_date)).unwrap_or_default();
    for (byte, of_date) in place.iter_mut().zip(due_date.to_be_bytes()) {
        *byte = of_date;
    }
    Uuid::from_bytes(place)
}

/// Why a charge is not owed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoidCharge {
    /// For people.
    #[schema(example = "Charged twice by mistake")]
    reason: String,
    /// The caller's name for this request, unless it is in the header `Idempotency-Key`.
    #[schema(example = "void-lost-key", min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// Void a charge.
///
/// For the landlord. It is not owed after all; money that paid for it pays for others, or is credit. Rent that has not fallen due
/// yet follows the lease's terms and cannot be voided. Repeating the request with the same idempotency key changes nothing.
#[utoipa::path(
    post,
    path = "/leases/{id}/charges/{charge_id}/void",
    tag = "leases",
    params(
        ("id" = Uuid, Path),
        ("charge_id" = Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "The caller's name for this request, unless it is in the body"),
    ),
    request_body = VoidCharge,
    responses(
        (status = 200, body = ChargeView, description = "Voided", headers(("Idempotent-Replayed" = Option<String>))),
        WithBody, OfOne, OfRole, OfState, SignedIn, Always,
    ),
)]
pub async fn void_charge(
    State(app): State<App>,
    caller: Caller,
    Ids(id, charge_id): Ids<LeaseId, ChargeId>,
    header: KeyHeader,
    Json(request): Json<VoidCharge>,
) -> Result<Response, ApiError> {
    let key = header.with_body(request.idempotency_key.as_deref())?;
    let reason = Line::parse(&request.reason).map_err(|invalid| ApiError::invalid("reason", invalid))?;
    let mut tx = app.db.begin().await?;
    hold(&mut tx, caller, id).await?;
    let mut ledger = LeaseLedger::open(&mut tx, [id]).await?;
    let charge = charges::find(&mut tx, id, charge_id).await?.ok_or_else(ApiError::not_found)?;
    let what = ("void", charge_id, reason.as_str());
    if let Made::Before(_) = once(&mut tx, caller, &key, app.clock.business(), &what).await? {
        return Ok(changed_once(false, read_charge(&mut tx, id, charge_id).await?));
    }
    match (charge.kind, charge.posted_at, charge.voided_at) {
        (_, _, Some(_)) => {
            return Err(ApiError::wrong_status("already_voided", "VOIDED", "the charge was voided before"));
        }
        (ChargeKind::Payout, ..) => {
            return Err(ApiError::wrong_status("follows_a_refund", "OPEN", "it stands as long as the refund stands"));
        }
        (ChargeKind::Rent | ChargeKind::Extra, None, None) => {
            let detail = "it is not owed yet and follows the lease's terms; change those";
            return Err(ApiError::wrong_status("not_posted", "SCHEDULED", detail));
        }
        (ChargeKind::Rent | ChargeKind::Extra, Some(_), None)
        | (ChargeKind::OneOff | ChargeKind::Deposit | ChargeKind::LateFee, _, None) => {}
    }
    if charge.kind == ChargeKind::Deposit && is_released(&mut tx, &charge).await? {
        let detail = "the deposit was returned or kept; charge or credit what is missing";
        return Err(ApiError::wrong_status("deposit_returned", "RELEASED", detail));
    }
    if 0 < charges::let_off(&mut tx, charge_id).await?.max(charge.corrected_minor) {
        let detail = "a part of it was let off, which would become credit; let off the rest as well";
        return Err(ApiError::wrong_status("partly_let_off", "OPEN", detail));
    }
    let new = asked_by(&app, caller);
    let reason = Reason::new("VOIDED_BY_LANDLORD", reason.into_string());
    daily_pass::void_fees(&mut tx, &mut ledger, &charge, &new).await?;
    ledger.void(&mut tx, &charge, reason, new()).await?;
    ledger.write(&mut tx).await?;
    trail::done(Action::LeaseChargeVoided).to(id).with(json!({"charge_id": charge_id})).record(&mut tx).await?;
    let view = read_charge(&mut tx, id, charge_id).await?;
    tx.commit().await?;
    Ok(changed_once(true, view))
}

/// Whether a deposit was given up since it was posted.
async fn is_released(tx: &mut Tx, deposit: &Charge) -> Result<bool, ApiError> {
    let Some(posted_at) = deposit.posted_at else { return Ok(false) };
    let releases = deposits::find(tx, deposit.lease_id).await?.releases;
    Ok(releases.iter().any(|released| posted_at <= released.event.occurred_at))
}

/// What a landlord lets renters off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantCredit {
    /// CONCESSION (a discount, also in advance), WAIVER (of one charge, such as a late fee) or WRITE_OFF (will not be paid).
    #[schema(example = "WAIVER")]
    kind: String,
    /// How much; all that is open of `charge_id`, or for a write-off of the lease, if omitted.
    amount: Option<AmountInput>,
    /// The charge that it goes to before all others; a waiver names one.
    #[schema(format = Uuid)]
    charge_id: Option<String>,
    /// Why, as the renters will read it.
    #[schema(example = "First late payment in three years")]
    reason: String,
    /// The caller's name for this request, unless it is in the header `Idempotency-Key`.
    #[schema(example = "waiver-2026-03", min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// Money that a landlord let renters off.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreditView {
    /// Which credit: the source that pays for charges.
    id: Uuid,
    /// On which lease.
    lease_id: Uuid,
}

/// Let renters off some money.
///
/// For the landlord. It pays for charges as money does: for the one that it names first, then for others in their order, but for no
/// deposit; what is left is credit.
#[utoipa::path(
    post,
    path = "/leases/{id}/credits",
    tag = "leases",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header, description = "The caller's name for this request, unless it is in the body")),
    request_body = GrantCredit,
    responses(
        (status = 201, body = CreditView, description = "Granted", headers(("Location" = String))),
        (status = 200, body = CreditView, description = "Granted before under this key", headers(("Idempotent-Replayed" = String))),
        WithBody, OfOne, OfRole, SignedIn, Always,
    ),
)]
pub async fn grant_credit(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    header: KeyHeader,
    Json(request): Json<GrantCredit>,
) -> Result<Response, ApiError> {
    let key = header.with_body(request.idempotency_key.as_deref())?;
    let now = app.clock.business();
    let mut tx = app.db.begin().await?;
    let lease = hold(&mut tx, caller, id).await?;
    let mut errors = FieldErrors::default();
    let kind = errors.take("kind", parse_grant(&request.kind));
    let given = errors.take_optional("amount", request.amount.as_ref(), |given| parse_limited(given, lease.terms.rent));
    let charge_id = errors.take_optional("charge_id", request.charge_id.as_deref(), parse_id::<ChargeId>);
    let reason = errors.take("reason", Line::parse(&request.reason));
    let (Some(kind), Some(given), Some(charge_id), Some(reason)) = (kind, given, charge_id, reason) else {
        return Err(errors.into_error());
    };
    let what = ("credit", id, kind, given.map(Amount::minor), charge_id, reason.as_str());
    let (made, is_new) = match once(&mut tx, caller, &key, now, &what).await? {
        Made::Before(made) => (made, false),
        Made::New(made) => {
            let mut ledger = LeaseLedger::open(&mut tx, [id]).await?;
            let charge = match charge_id {
                Some(charge_id) => charges::find(&mut tx, id, charge_id).await?,
                None => None,
            };
            let open = match (&charge, charge_id, kind) {
                (Some(charge), ..) if charge.kind == ChargeKind::Deposit => {
                    let deposit = Invalid::new("deposit", "is a deposit, which is not income; void it instead");
                    return Err(ApiError::invalid("charge_id", deposit));
                }
                (Some(charge), ..) => Some(charge.open_minor()),
                (None, Some(_), _) => {
                    return Err(ApiError::invalid(
                        "charge_id",
                        Invalid::new("not_found", "is no charge of this lease"),
                    ));
                }
                (None, None, CreditKind::Waiver) => {
                    let required = Invalid::new("required", "must name the charge that is waived");
                    return Err(ApiError::invalid("charge_id", required));
                }
                (None, None, CreditKind::WriteOff) => Some(ledger.forgivable_minor(id)?),
                (None, None, CreditKind::Concession | CreditKind::Correction) => None,
            };
            let amount =
                judge(given, open, kind, lease.terms.rent).map_err(|invalid| ApiError::invalid("amount", invalid))?;
            let reason = Reason::new(kind.name(), reason.into_string());
            let credit = NewCredit { id: made, kind, amount, charge_id };
            ledger.grant(id, credit, reason, asked_by(&app, caller)())?;
            ledger.write(&mut tx).await?;
            trail::done(Action::LeaseCreditGranted).to(id).with(json!({"credit_id": made})).record(&mut tx).await?;
            (made, true)
        }
    };
    tx.commit().await?;
    Ok(created_once(is_new, &format!("/api/v1/leases/{id}/history"), CreditView { id: made, lease_id: id.0 }))
}

fn parse_grant(text: &str) -> Result<CreditKind, Invalid> {
    match CreditKind::parse(text) {
        Ok(kind @ (CreditKind::Concession | CreditKind::Waiver | CreditKind::WriteOff)) => Ok(kind),
        Ok(CreditKind::Correction) | Err(_) => Err(Invalid::new("unknown", "must be CONCESSION, WAIVER or WRITE_OFF")),
    }
}

/// How much is let off: what was said, or all that is `open`. Only what is owed can be waived or written off.
fn judge(given: Option<Amount>, open: Option<i64>, kind: CreditKind, rent: Amount) -> Result<Amount, Invalid> {
    match (given, open) {
        (Some(_), Some(0)) => Err(Invalid::new("nothing_open", "nothing is open")),
        (Some(given), Some(open)) if kind != CreditKind::Concession && open < given.minor() => {
            Err(Invalid::new("more_than_open", "is more than what is open"))
        }
        (Some(given), _) => Ok(given),
        (None, Some(open)) => {
            Amount::from_minor(open, rent.currency()).map_err(|_| Invalid::new("nothing_open", "nothing is open"))
        }
        (None, None) => Err(Invalid::new("required", "must be given where no charge is named")),
    }
}
