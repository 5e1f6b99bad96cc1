//! Which payments a landlord takes, and what late rent costs.

use axum::extract::State;
use directpay_domain::calendar::{add_months, day_before, parse_date};
use directpay_domain::charge::ChargeNotice;
use directpay_domain::id::LeaseId;
use directpay_domain::invalid::Invalid;
use directpay_domain::late_fee::{DueRoll, Fee, FeeKind, Frequency, LateFeeRule};
use directpay_domain::lease_event::LeaseChange;
use directpay_domain::money::{Amount, Currency};
use directpay_domain::payment::{Command, Reason};
use directpay_domain::policy::{Policy, PolicySpan};
use directpay_domain::share::BasisPoints;
use directpay_domain::text::Line;
use directpay_domain::trail::Action;
use directpay_store::Tx;
use directpay_store::lease_ledger::LeaseLedger;
use directpay_store::leases::{self, LateFeeTerms, Lease};
use directpay_store::payments::{self, PendingRent};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::view::LeaseView;
use super::{find_visible, hold, local_day, parse_effective_date};
use crate::api::amount::AmountInput;
use crate::api::auth::Caller;
use crate::api::error::{ApiError, FieldErrors};
use crate::api::extract::{Id, Json, Query};
use crate::api::problem::{Always, OfList, OfOne, OfRole, SignedIn, WithBody};
use crate::api::request_id;
use crate::app::App;
use crate::daily_pass::{self, MissingFee, asked_by};
use crate::instruct;
use crate::trail;

/// How far a preview of late fees reaches.
const PREVIEW_MONTHS: i32 = 12;

/// Which payments of rent are taken from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPolicy {
    /// ANY, FULL_BALANCE (together with what is on its way, a payment brings what is owed down to nothing) or BLOCK_ALL.
    #[schema(example = "FULL_BALANCE")]
    policy: String,
    /// The first day; now if omitted. Before it any payment is taken.
    #[schema(example = "2026-03-01", format = Date)]
    from_date: Option<String>,
    /// The last day; omitted, it holds until it is changed.
    #[schema(example = "2026-06-30", format = Date)]
    until_date: Option<String>,
    /// Why, as the renters will read it.
    #[schema(example = "Eviction case 26-1177 is pending")]
    reason: String,
}

/// Choose which payments are taken.
///
/// For the landlord. It is checked when a payment is initiated and again before it is handed to a bank; switching to a block
/// cancels what no bank has seen.
#[utoipa::path(
    put,
    path = "/leases/{id}/payment-policy",
    tag = "leases",
    params(("id" = Uuid, Path)),
    request_body = NewPolicy,
    responses((status = 200, body = LeaseView, description = "The lease with its policy"), WithBody, OfOne, OfRole, SignedIn, Always),
)]
pub async fn set_payment_policy(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    Json(request): Json<NewPolicy>,
) -> Result<Json<LeaseView>, ApiError> {
    let mut errors = FieldErrors::default();
    let policy = errors.take("policy", Policy::parse(&request.policy));
    let from = errors.take_optional("from_date", request.from_date.as_deref(), parse_date);
    let until = errors.take_optional("until_date", request.until_date.as_deref(), parse_date);
    let reason = errors.take("reason", Line::parse(&request.reason));
    if let (Some(Some(from)), Some(Some(until))) = (from, until)
        && until < from
    {
        errors.add("until_date", Invalid::new("before_start", "must not be before the first day"));
    }
    let (Some(policy), Some(from), Some(until), Some(reason), true) = (policy, from, until, reason, errors.is_empty())
    else {
        return Err(errors.into_error());
    };
    let span = PolicySpan { policy, from, until };
    let mut tx = app.db.begin().await?;
    let lease = hold(&mut tx, caller, id).await?;
    let today = local_day(&mut tx, &lease, app.clock.business()).await?;
    leases::set_policy(&mut tx, id, span).await?;
    trail::done(Action::LeasePolicyChanged).to(id).record(&mut tx).await?;
    if span.on(today.date) == Policy::BlockAll {
        cancel_pending(&app, &mut tx, caller, id, reason.as_str()).await?;
    }
    let mut ledger = LeaseLedger::open(&mut tx, [id]).await?;
    let why = Reason::new(policy.name(), reason.into_string());
    ledger.record(id, LeaseChange::PolicyChanged(span), Some(why), asked_by(&app, caller)())?;
    ledger.write(&mut tx).await?;
    let view = LeaseView::from(find_visible(&mut tx, caller, id).await?);
    tx.commit().await?;
    Ok(Json(view))
}

/// Cancels rent that no bank has seen. Payments are taken hold of before the lease's account, as everybody does it.
async fn cancel_pending(app: &App, tx: &mut Tx, caller: Caller, id: LeaseId, reason: &str) -> Result<(), ApiError> {
    let pending = payments::pending_rent(tx, id).await?;
    let cancelled: Vec<_> = pending
        .into_iter()
        .map(|PendingRent { payment_id, .. }| {
            let reason = Reason::new("PAYMENTS_BLOCKED", format!("The landlord blocked payments: {reason}"));
            let (actor, request_id) = (caller.actor(), Some(request_id::current()));
            instruct::payment(app, payment_id, Command::Cancel(Some(reason)), actor, request_id)
        })
        .collect();
    payments::record(tx, &cancelled).await?;
    Ok(())
}

/// How early charges are shown from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChargeNotice {
    /// So many days before its due date.
    #[schema(example = 30, minimum = 0, maximum = 90)]
    charge_notice_days: i64,
}

/// Choose how early charges are shown.
///
/// For the landlord. Within the notice a charge stands in the list of charges and in the balance as `upcoming`; nothing else
/// depends on it.
#[utoipa::path(
    put,
    path = "/leases/{id}/charge-notice",
    tag = "leases",
    params(("id" = Uuid, Path)),
    request_body = NewChargeNotice,
    responses((status = 200, body = LeaseView, description = "The lease with its notice"), WithBody, OfOne, OfRole, SignedIn, Always),
)]
pub async fn set_charge_notice(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    Json(request): Json<NewChargeNotice>,
) -> Result<Json<LeaseView>, ApiError> {
    let notice = ChargeNotice::parse(request.charge_notice_days);
    let charge_notice = notice.map_err(|invalid| ApiError::invalid("charge_notice_days", invalid))?;
    let mut tx = app.db.begin().await?;
    let lease = hold(&mut tx, caller, id).await?;
    if charge_notice != lease.charge_notice {
        leases::set_charge_notice(&mut tx, id, charge_notice).await?;
        trail::done(Action::LeaseNoticeChanged).to(id).record(&mut tx).await?;
        let mut ledger = LeaseLedger::open(&mut tx, [id]).await?;
        ledger.record(id, LeaseChange::ChargeNoticeChanged(charge_notice), None, asked_by(&app, caller)())?;
        ledger.write(&mut tx).await?;
        tx.commit().await?;
    }
    Ok(Json(LeaseView::from(Lease { charge_notice, ..lease })))
}

/// What late rent costs from some day on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLateFees {
    /// What one fee is: FLAT, PERCENT of the open rent, or NONE.
    #[schema(example = "FLAT")]
    kind: String,
    /// A flat fee.
    amount: Option<AmountInput>,
    /// A percent, in hundredths of a percent: 500 is 5 per cent.
    #[schema(example = 500, minimum = 1, maximum = 10000)]
    basis_points: Option<i64>,
    /// ONCE for each rent (default), or DAILY until it is paid.
    #[schema(example = "ONCE")]
    frequency: Option<String>,
    /// The most that all fees of one rent come to; daily fees have one.
    cap: Option<AmountInput>,
    /// The first day after the due date on which there is a fee: 5 is the 6th for rent due on the 1st.
    #[schema(example = 5, minimum = 1, maximum = 60)]
    fee_from_offset: Option<i64>,
    /// Whether lateness counts from the next banking day where the due date is none: NONE (default) or NEXT_BUSINESS_DAY.
    #[schema(example = "NONE")]
    due_roll: Option<String>,
    /// For rent that falls due on this day or later; today if omitted, and never earlier.
    #[schema(example = "2026-03-01", format = Date)]
    effective_date: Option<String>,
}

/// What late rent costs, from the day on which it takes effect.
#[derive(Debug, Serialize, ToSchema)]
pub struct LateFeesView {
    /// For rent that falls due on this day or later, until other terms take effect.
    #[schema(value_type = String, format = Date)]
    effective_date: Date,
    /// FLAT, PERCENT or NONE.
    #[schema(example = "FLAT")]
    kind: &'static str,
    /// A flat fee; null otherwise.
    #[schema(example = "50.00")]
    amount: Option<String>,
    /// A percent, in hundredths of a percent; null otherwise.
    #[schema(example = 500)]
    basis_points: Option<i64>,
    /// ONCE or DAILY; null where there is no fee.
    #[schema(example = "ONCE")]
    frequency: Option<&'static str>,
    /// The most that all fees of one rent come to; null for no cap.
    #[schema(example = "100.00")]
    cap: Option<String>,
    /// The first day after the due date on which there is a fee; null where there is no fee.
    #[schema(example = 5)]
    fee_from_offset: Option<i64>,
    /// NONE or NEXT_BUSINESS_DAY; null where there is no fee.
    #[schema(example = "NONE")]
    due_roll: Option<&'static str>,
}

impl From<LateFeeTerms> for LateFeesView {
    fn from(terms: LateFeeTerms) -> LateFeesView {
        let rule = terms.rule;
        let (amount, basis_points) = match rule.map(|rule| rule.fee) {
            Some(Fee::Flat(amount)) => (Some(amount.to_string()), None),
            Some(Fee::Percent(percent)) => (None, Some(percent.number())),
            None => (None, None),
        };
        LateFeesView {
            effective_date: terms.effective_on,
            kind: rule.map_or("NONE", |rule| rule.fee.kind().name()),
            amount,
            basis_points,
            frequency: rule.map(|rule| rule.frequency.name()),
            cap: rule.and_then(|rule| rule.cap).map(|cap| cap.to_string()),
            fee_from_offset: rule.map(|rule| rule.fee_from_offset),
            due_roll: rule.map(|rule| rule.due_roll.name()),
        }
    }
}

/// Late fees of a lease: what they are, and what there would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct LateFeeTermsView {
    /// Oldest first; of those the last holds that took effect by the due date of a rent.
    terms: Vec<LateFeesView>,
    /// The fees that there will be by the end of `through` if no more money comes.
    preview: Vec<PreviewView>,
}

/// A late fee that does not exist yet.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewView {
    /// The rent that is late.
    charge_id: Uuid,
    /// When that was due.
    #[schema(value_type = String, format = Date)]
    due_date: Date,
    /// The day of the fee: it is charged when the day is over.
    #[schema(value_type = String, format = Date)]
    day: Date,
    /// How much.
    #[schema(example = "50.00")]
    amount: String,
}

/// Choose what late rent costs.
///
/// For the landlord. It holds for rent that falls due on its day or later, never for rent that was due before it was set.
#[utoipa::path(
    put,
    path = "/leases/{id}/late-fees",
    tag = "leases",
    params(("id" = Uuid, Path)),
    request_body = NewLateFees,
    responses((status = 200, body = LateFeesView, description = "The new terms"), WithBody, OfOne, OfRole, SignedIn, Always),
)]
pub async fn set_late_fees(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    Json(request): Json<NewLateFees>,
) -> Result<Json<LateFeesView>, ApiError> {
    let mut tx = app.db.begin().await?;
    let lease = hold(&mut tx, caller, id).await?;
    let today = local_day(&mut tx, &lease, app.clock.business()).await?.date;
    let mut errors = FieldErrors::default();
    let effective_on = errors.take("effective_date", parse_effective_date(request.effective_date.as_deref(), today));
    let rule = request.parse(lease.terms.rent.currency(), &mut errors);
    let (Some(rule), Some(effective_on), true) = (rule, effective_on, errors.is_empty()) else {
        return Err(errors.into_error());
    };
    let terms = LateFeeTerms { effective_on, rule };
    leases::set_late_fees(&mut tx, id, &terms).await?;
    trail::done(Action::LeaseLateFeesChanged).to(id).record(&mut tx).await?;
    let mut ledger = LeaseLedger::open(&mut tx, [id]).await?;
    let change = LeaseChange::LateFeeRuleChanged { effective_on: terms.effective_on, rule: terms.rule };
    ledger.record(id, change, None, asked_by(&app, caller)())?;
    ledger.write(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(terms.into()))
}

impl NewLateFees {
    /// The rule, inner None for no fees; outer None if something is wrong with it.
    fn parse(&self, currency: Currency, errors: &mut FieldErrors) -> Option<Option<LateFeeRule>> {
        if self.kind.eq_ignore_ascii_case("NONE") {
            return Some(None);
        }
        let kind = errors.take("kind", FeeKind::parse(&self.kind));
        let amount = errors.take_optional("amount", self.amount.as_ref(), |amount| amount.parse(currency))?;
        let percent = errors.take_optional("basis_points", self.basis_points, BasisPoints::parse)?;
        let fee = match (kind?, amount, percent) {
            (FeeKind::Flat, Some(amount), None) => Fee::Flat(amount),
            (FeeKind::Percent, None, Some(percent)) => Fee::Percent(percent),
            (FeeKind::Flat, ..) => {
                errors.add("amount", Invalid::new("required", "a flat fee has an amount and no basis points"));
                return None;
            }
            (FeeKind::Percent, ..) => {
                errors.add("basis_points", Invalid::new("required", "a percent has basis points and no amount"));
                return None;
            }
        };
        let frequency = errors.take_optional("frequency", self.frequency.as_deref(), Frequency::parse)?;
        let cap: Option<Amount> = errors.take_optional("cap", self.cap.as_ref(), |cap| cap.parse(currency))?;
        let due_roll = errors.take_optional("due_roll", self.due_roll.as_deref(), DueRoll::parse)?;
        let Some(fee_from_offset) = self.fee_from_offset else {
            errors.add("fee_from_offset", Invalid::new("required", "say on which day after the due date fees begin"));
            return None;
        };
        let rule = LateFeeRule {
            fee,
            frequency: frequency.unwrap_or_default(),
            cap,
            fee_from_offset,
            due_roll: due_roll.unwrap_or_default(),
        };
        for (field, invalid) in rule.check(currency) {
            errors.add(if field == "fee" { "amount" } else { field }, invalid);
        }
        Some(Some(rule))
    }
}

/// Until when late fees are looked ahead.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ThroughQuery {
    /// The last day to look at; today if omitted.
    #[param(example = "2026-03-31")]
    through: Option<String>,
}

/// Read what late rent costs, and look ahead.
///
/// For the parties of the lease and administrators. The preview holds the fees that there will be if no more money comes.
#[utoipa::path(
    get,
    path = "/leases/{id}/late-fees",
    tag = "leases",
    params(("id" = Uuid, Path), ThroughQuery),
    responses((status = 200, body = LateFeeTermsView, description = "Terms and preview"), OfList, OfOne, SignedIn, Always),
)]
pub async fn read_late_fees(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    Query(query): Query<ThroughQuery>,
) -> Result<Json<LateFeeTermsView>, ApiError> {
    let through = query.through.as_deref().map(parse_date).transpose();
    let through = through.map_err(|invalid| ApiError::bad_query("through", invalid))?;
    let mut tx = app.db.begin_read().await?;
    let lease = find_visible(&mut tx, caller, id).await?;
    let today = local_day(&mut tx, &lease, app.clock.business()).await?;
    let terms = leases::late_fees(&mut tx, id).await?;
    // As the pass of the present day asked.
    let asked_through = day_before(today.date);
    let through = through.unwrap_or(today.date);
    if add_months(today.date, PREVIEW_MONTHS) < through {
        let far = Invalid::new("out_of_range", "must be at most 12 months from today");
        return Err(ApiError::bad_query("through", far));
    }
    let missing = daily_pass::missing_fees(&mut tx, id, asked_through, &today, through).await?;
    let preview = missing.into_iter().map(|MissingFee { charge, fee }| PreviewView {
        charge_id: charge.id.0,
        due_date: charge.due_date,
        day: fee.day,
        amount: fee.amount.to_string(),
    });
    Ok(Json(LateFeeTermsView {
        terms: terms.into_iter().map(LateFeesView::from).collect(),
        preview: preview.collect(),
    }))
}
