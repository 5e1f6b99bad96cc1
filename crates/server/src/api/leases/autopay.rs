//! Mandates: renters let what they owe be drawn on the days on which rent falls due.

use axum::extract::State;
use axum::response::Response;
use directpay_domain::autopay::{DrawStatus, MandateStatus, MandateTerms, Notice, NoticeKind};
use directpay_domain::calendar::parse_date;
use directpay_domain::id::{BankAccountId, LeaseId, PaymentId};
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::invalid::Invalid;
use directpay_domain::lease_event::{DrawName, LeaseChange};
use directpay_domain::money::{Currency, format_minor};
use directpay_domain::payment::initiate::Acceptance;
use directpay_domain::payment::{Actor, Command, Reason};
use directpay_domain::rail::Rail;
use directpay_domain::time::Instant;
use directpay_store::autopay::{self as mandates, Draw, Mandate};
use directpay_store::bank_accounts::{self, BankAccount};
use directpay_store::lease_ledger::LeaseLedger;
use directpay_store::leases::Lease;
use directpay_store::payments::{self, Recorded};
use directpay_store::{StoreError, Tx, policies};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::once::{Made, once};
use super::{find_visible, local_day};
use crate::api::amount::AmountInput;
use crate::api::auth::Caller;
use crate::api::error::{ApiError, FieldErrors};
use crate::api::extract::{Id, Ids, Json, KeyHeader, List, parse_id};
use crate::api::problem::{Always, OfOne, OfRole, OfState, SignedIn, WithBody};
use crate::api::{created_once, request_id};
use crate::app::App;
use crate::daily_pass::asked_by;
use crate::{autopay, instruct};

/// How many draws a view shows, the newest.
const DRAWS_SHOWN: i64 = 24;

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
    idempotency_key: Option<String>,
}

impl NewMandate {
    fn parse(&self, currency: Currency) -> Result<(MandateTerms, Option<BankAccountId>), ApiError> {
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
    /// What was announced last.
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
    fn new(draw: Draw, terms: &MandateTerms) -> DrawView {
        let money = |minor| format_minor(minor, terms.cap.currency());
        let (reason_code, reason) = draw.reason.map(|Reason { code, text }| (code, text)).unzip();
        DrawView {
            due_date: draw.due_date,
            draw_date: terms.draw_day(draw.due_date),
            status: draw.status.name(),
            announced_amount: draw.announced.map(|announced| money(announced.minor)),
            announced_on: draw.announced.map(|announced| announced.on),
            payment_id: draw.payment_id.map(|id| id.0),
            amount: draw.drawn_minor.map(money),
            reason_code,
            reason,
        }
    }
}

impl MandateView {
    async fn read(tx: &mut Tx, mandate: Mandate, caller: Caller, is_blocked: bool) -> Result<MandateView, StoreError> {
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
            draws: draws.into_iter().map(|draw| DrawView::new(draw, &terms)).collect(),
        })
    }
}

/// Sign a mandate for autopay.
///
/// For a renter of the lease. On each day on which rent falls due, or some days before, what is left of the renter's own share of
/// everything owed is drawn, never above the cap. Each draw is announced fourteen days before. It can be skipped, and the
/// mandate paused or revoked, until the payment is handed to the bank. Repeating the request with the same idempotency key
/// returns the same mandate.
#[utoipa::path(
    post,
    path = "/leases/{id}/autopay",
    tag = "leases",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header, description = "The caller's name for this request, unless it is in the body")),
    request_body = NewMandate,
    responses(
        (status = 201, body = MandateView, description = "Signed, with a copy", headers(("Location" = String))),
        (status = 200, body = MandateView, description = "Signed before under this key", headers(("Idempotent-Replayed" = String))),
        WithBody, OfOne, OfRole, OfState, SignedIn, Always,
    ),
)]
pub async fn sign_mandate(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    header: KeyHeader,
    Json(request): Json<NewMandate>,
) -> Result<Response, ApiError> {
    let key = header.with_body(request.idempotency_key.as_deref())?;
    let mut tx = app.db.begin().await?;
    let lease = find_visible(&mut tx, caller, id).await?;
    if !lease.renter_ids().contains(&caller.user_id) {
        return Err(ApiError::forbidden("only a renter of the lease may do this"));
    }
    let (terms, account_id) = request.parse(lease.terms.rent.currency())?;
    let (mandate_id, is_new) = sign(&app, &mut tx, caller, &key, &lease, terms, account_id).await?;
    let is_blocked = is_blocked(&app, &mut tx, id).await?;
    let mandate = mandates::find_for_update(&mut tx, id, mandate_id).await?.ok_or_else(ApiError::not_found)?;
    let view = MandateView::read(&mut tx, mandate, caller, is_blocked).await?;
    tx.commit().await?;
    app.bell.ring();
    Ok(created_once(is_new, &format!("/api/v1/leases/{id}/autopay"), view))
}

async fn sign(
    app: &App,
    tx: &mut Tx,
    caller: Caller,
    key: &IdempotencyKey,
    lease: &Lease,
    terms: MandateTerms,
    account_id: Option<BankAccountId>,
) -> Result<(Uuid, bool), ApiError> {
    let now = app.clock.business();
    let MandateTerms { rail, cap, lead_days, notice } = terms;
    let (min, max) = match notice {
        Notice::OutsideRange { min, max } => (Some(min), Some(max.minor())),
        Notice::AnyChange => (None, None),
    };
    let what = ("autopay", lease.id, account_id, rail.name(), cap.minor(), lead_days, notice.kind().name(), min, max);
    let made = match once(tx, caller, key, now, &what).await? {
        Made::Before(made) => return Ok((made, false)),
        Made::New(made) => made,
    };
    let today = local_day(tx, lease, now).await?;
    if lease.terms.ends_on.is_some_and(|end| end < today.date) {
        return Err(ApiError::wrong_status("already_ended", "ENDED", "the lease has ended"));
    }
    let account = find_account(tx, caller, account_id).await?;
    let mandate = Mandate {
        id: made,
        lease_id: lease.id,
        renter_id: caller.user_id,
        account_id: account.id,
        terms,
        signed_at: now,
        signed_on: today.date,
        document: document(made, lease, &account, &terms, now),
        status: MandateStatus::Active,
    };
    mandates::insert(tx, &mandate).await.map_err(|error| {
        if error.breaks("mandates_one_each") {
            ApiError::conflict("mandate_exists", "there is a mandate of yours on this lease; revoke it first")
        } else {
            error.into()
        }
    })?;
    note_status(app, tx, caller, &mandate, MandateStatus::Active).await?;
    // What is going to be drawn first is told with the copy.
    autopay::look(tx, &mandate, &app.clock, app.scale).await?;
    Ok((made, true))
}

/// The account that is drawn from: the one that is named, or the primary.
async fn find_account(tx: &mut Tx, caller: Caller, id: Option<BankAccountId>) -> Result<BankAccount, ApiError> {
    let refused = |code, detail: String| ApiError::invalid("payer_account_id", Invalid::new(code, detail));
    let found = match id {
        Some(id) => bank_accounts::find(tx, caller.user_id, id).await?,
        None => bank_accounts::find_primary(tx, caller.user_id).await?,
    };
    let Some(account) = found else {
        return Err(match id {
            Some(_) => refused("not_found", "is none of your bank accounts".to_owned()),
            None => refused("required", "no account given and you have no primary account".to_owned()),
        });
    };
    if !account.is_active {
        return Err(refused("inactive", "is deactivated".to_owned()));
    }
    match &account.closed_by {
        Some(code) => Err(refused("account_unusable", format!("was closed by a return ({code}); link it anew"))),
        None => Ok(account),
    }
}

/// The copy of a mandate: what was agreed, in words and numbers, as it was at that moment.
fn document(id: Uuid, lease: &Lease, account: &BankAccount, terms: &MandateTerms, at: Instant) -> String {
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

/// Adds to the history of the lease how a mandate stands now.
async fn note_status(
    app: &App,
    tx: &mut Tx,
    caller: Caller,
    mandate: &Mandate,
    status: MandateStatus,
) -> Result<(), ApiError> {
    let change = LeaseChange::MandateChanged { mandate_id: mandate.id, renter_id: mandate.renter_id, status };
    let mut ledger = LeaseLedger::open(tx, [mandate.lease_id]).await?;
    ledger.record(mandate.lease_id, change, None, asked_by(app, caller)())?;
    Ok(ledger.write(tx).await?)
}

async fn is_blocked(app: &App, tx: &mut Tx, lease: LeaseId) -> Result<bool, StoreError> {
    let restricted = policies::restricted(tx, [lease].into_iter(), app.clock.business()).await?;
    Ok(restricted.get(&lease) == Some(&Acceptance::Nothing))
}

/// List the mandates of a lease.
///
/// For the parties of the lease and administrators, newest first. Others than their renter see that there is a mandate and what is
/// drawn by it.
#[utoipa::path(
    get,
    path = "/leases/{id}/autopay",
    tag = "leases",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = List<MandateView>, description = "All of them"), OfOne, SignedIn, Always),
)]
pub async fn list_mandates(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
) -> Result<Json<List<MandateView>>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    find_visible(&mut tx, caller, id).await?;
    let is_blocked = is_blocked(&app, &mut tx, id).await?;
    let mut data = Vec::new();
    for mandate in mandates::list(&mut tx, id).await? {
        data.push(MandateView::read(&mut tx, mandate, caller, is_blocked).await?);
    }
    Ok(Json(List { data, next_cursor: None }))
}

/// Pause a mandate.
///
/// For its renter. Until it is resumed nothing is drawn; a payment that was drawn and that no bank has seen is cancelled.
#[utoipa::path(
    post,
    path = "/leases/{id}/autopay/{mandate_id}/pause",
    tag = "leases",
    params(("id" = Uuid, Path), ("mandate_id" = Uuid, Path)),
    responses((status = 200, body = MandateView, description = "The mandate as it is now"), OfOne, OfRole, OfState, SignedIn, Always),
)]
pub async fn pause_mandate(
    State(app): State<App>,
    caller: Caller,
    Ids(id, mandate_id): Ids<LeaseId, Uuid>,
) -> Result<Json<MandateView>, ApiError> {
    change_status(&app, caller, id, mandate_id, MandateStatus::Paused).await
}

/// Resume a mandate.
///
/// For its renter, after a pause or a suspension. Charge dates that have passed meanwhile are not made up for.
#[utoipa::path(
    post,
    path = "/leases/{id}/autopay/{mandate_id}/resume",
    tag = "leases",
    params(("id" = Uuid, Path), ("mandate_id" = Uuid, Path)),
    responses((status = 200, body = MandateView, description = "The mandate as it is now"), OfOne, OfRole, OfState, SignedIn, Always),
)]
pub async fn resume_mandate(
    State(app): State<App>,
    caller: Caller,
    Ids(id, mandate_id): Ids<LeaseId, Uuid>,
) -> Result<Json<MandateView>, ApiError> {
    change_status(&app, caller, id, mandate_id, MandateStatus::Active).await
}

/// Revoke a mandate.
///
/// For its renter, and for good; a payment that was drawn and that no bank has seen is cancelled.
#[utoipa::path(
    post,
    path = "/leases/{id}/autopay/{mandate_id}/revoke",
    tag = "leases",
    params(("id" = Uuid, Path), ("mandate_id" = Uuid, Path)),
    responses((status = 200, body = MandateView, description = "The mandate as it is now"), OfOne, OfRole, OfState, SignedIn, Always),
)]
pub async fn revoke_mandate(
    State(app): State<App>,
    caller: Caller,
    Ids(id, mandate_id): Ids<LeaseId, Uuid>,
) -> Result<Json<MandateView>, ApiError> {
    change_status(&app, caller, id, mandate_id, MandateStatus::Revoked).await
}

/// The caller's own mandate, held.
async fn hold_own(tx: &mut Tx, caller: Caller, lease: LeaseId, id: Uuid) -> Result<Mandate, ApiError> {
    find_visible(tx, caller, lease).await?;
    let mandate = mandates::find_for_update(tx, lease, id).await?.ok_or_else(ApiError::not_found)?;
    if mandate.renter_id != caller.user_id {
        return Err(ApiError::forbidden("only the renter who signed it may do this"));
    }
    Ok(mandate)
}

async fn change_status(
    app: &App,
    caller: Caller,
    lease: LeaseId,
    id: Uuid,
    status: MandateStatus,
) -> Result<Json<MandateView>, ApiError> {
    let mut tx = app.db.begin().await?;
    let mandate = hold_own(&mut tx, caller, lease, id).await?;
    if mandate.status == MandateStatus::Revoked && status != MandateStatus::Revoked {
        let detail = "it was revoked; sign another one";
        return Err(ApiError::wrong_status("mandate_revoked", mandate.status.name(), detail));
    }
    let mandate = if mandate.status == status {
        mandate
    } else {
        if status != MandateStatus::Active {
            withdraw_pending(app, &mut tx, caller, &mandate).await?;
        }
        mandates::set_status(&mut tx, id, status).await?;
        note_status(app, &mut tx, caller, &mandate, status).await?;
        let changed = Mandate { status, ..mandate };
        if status == MandateStatus::Active {
            autopay::look(&mut tx, &changed, &app.clock, app.scale).await?;
        }
        changed
    };
    let is_blocked = is_blocked(app, &mut tx, lease).await?;
    let view = MandateView::read(&mut tx, mandate, caller, is_blocked).await?;
    tx.commit().await?;
    Ok(Json(view))
}

/// Cancels what was drawn by a mandate and no bank has seen. What a bank has seen goes its way.
async fn withdraw_pending(app: &App, tx: &mut Tx, caller: Caller, mandate: &Mandate) -> Result<(), ApiError> {
    for draw in mandates::draws(tx, mandate.id, DRAWS_SHOWN).await? {
        if let (DrawStatus::Drawn, Some(payment_id)) = (draw.status, draw.payment_id)
            && cancel(app, tx, caller, payment_id).await?
        {
            skip(tx, mandate, draw).await?;
        }
    }
    Ok(())
}

/// Cancels a payment, and says whether that was possible.
async fn cancel(app: &App, tx: &mut Tx, caller: Caller, payment_id: PaymentId) -> Result<bool, ApiError> {
    let reason = Reason::new("CANCELLED_BY_INITIATOR", "The renter did not want this draw");
    let (actor, request_id) = (Actor::User(caller.user_id), Some(request_id::current()));
    let instructed = instruct::payment(app, payment_id, Command::Cancel(Some(reason)), actor, request_id);
    let recorded = payments::record(tx, &[instructed]).await?.pop();
    Ok(matches!(recorded, Some(Recorded::Now(_))))
}

/// Notes that the renter does not want a draw.
async fn skip(tx: &mut Tx, mandate: &Mandate, draw: Draw) -> Result<(), ApiError> {
    let reason = Reason::new("SKIPPED", "The renter did not want it");
    let skipped = Draw { status: DrawStatus::Skipped, reason: Some(reason), ..draw };
    Ok(mandates::write_draw(tx, mandate.id, &skipped).await?)
}

/// A draw that the renter does not want.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Unwanted {
    /// The day on which the rent falls due that is not to be drawn for.
    #[schema(example = "2026-03-01", format = Date)]
    due_date: String,
}

/// Skip a draw.
///
/// For the mandate's renter, as long as no bank has seen it. What is owed stays owed, and the next draw takes it.
#[utoipa::path(
    post,
    path = "/leases/{id}/autopay/{mandate_id}/skip",
    tag = "leases",
    params(("id" = Uuid, Path), ("mandate_id" = Uuid, Path)),
    request_body = Unwanted,
    responses((status = 200, body = MandateView, description = "The mandate as it is now"), WithBody, OfOne, OfRole, OfState, SignedIn, Always),
)]
pub async fn skip_draw(
    State(app): State<App>,
    caller: Caller,
    Ids(id, mandate_id): Ids<LeaseId, Uuid>,
    Json(request): Json<Unwanted>,
) -> Result<Json<MandateView>, ApiError> {
    let due_date = parse_date(&request.due_date).map_err(|invalid| ApiError::invalid("due_date", invalid))?;
    let mut tx = app.db.begin().await?;
    let mandate = hold_own(&mut tx, caller, id, mandate_id).await?;
    let known = mandates::draws(&mut tx, mandate_id, DRAWS_SHOWN).await?;
    let draw = match known.into_iter().find(|draw| draw.due_date == due_date) {
        Some(draw) => draw,
        None => {
            let is_to_come = mandate.signed_on <= due_date
                && !mandates::charge_dates(&mut tx, id, due_date, due_date).await?.is_empty();
            if !is_to_come {
                let detail = "is no day on which rent falls due and is drawn";
                return Err(ApiError::invalid("due_date", Invalid::new("not_found", detail)));
            }
            Draw::announced(due_date)
        }
    };
    match draw.status {
        DrawStatus::Skipped => {}
        DrawStatus::Announced => skip_and_note(&app, &mut tx, caller, &mandate, draw).await?,
        DrawStatus::Drawn => match draw.payment_id {
            Some(payment_id) if cancel(&app, &mut tx, caller, payment_id).await? => {
                skip_and_note(&app, &mut tx, caller, &mandate, draw).await?;
            }
            Some(_) | None => return Err(too_late(&draw)),
        },
        DrawStatus::Missed | DrawStatus::Failed => return Err(too_late(&draw)),
    }
    let is_blocked = is_blocked(&app, &mut tx, id).await?;
    let view = MandateView::read(&mut tx, mandate, caller, is_blocked).await?;
    tx.commit().await?;
    Ok(Json(view))
}

fn too_late(draw: &Draw) -> ApiError {
    ApiError::wrong_status("too_late_to_skip", draw.status.name(), "this draw is over, or a bank has seen it")
}

async fn skip_and_note(app: &App, tx: &mut Tx, caller: Caller, mandate: &Mandate, draw: Draw) -> Result<(), ApiError> {
    let name = DrawName { mandate_id: mandate.id, renter_id: mandate.renter_id, due_date: draw.due_date };
    skip(tx, mandate, draw).await?;
    let mut ledger = LeaseLedger::open(tx, [mandate.lease_id]).await?;
    let reason = Reason::new("SKIPPED", "The renter did not want it");
    ledger.record(mandate.lease_id, LeaseChange::DrawMissed(name), Some(reason), asked_by(app, caller)())?;
    Ok(ledger.write(tx).await?)
}
