//! Mandates: renters let what they owe be drawn on the days on which rent falls due.

use axum::extract::State;
use axum::response::Response;
use directpay_domain::autopay::{DrawStatus, MandateStatus, MandateTerms, Notice};
use directpay_domain::bank_account::check_usable;
use directpay_domain::calendar::parse_date;
use directpay_domain::id::{BankAccountId, LeaseId, PaymentId};
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::invalid::Invalid;
use directpay_domain::lease_event::{DrawName, LeaseChange};
use directpay_domain::payment::initiate::Acceptance;
use directpay_domain::payment::{Command, Reason};
use directpay_domain::trail::{Action, Subject};
use directpay_store::autopay::{self as mandates, Draw, Mandate};
use directpay_store::bank_accounts::{self, BankAccount};
use directpay_store::lease_ledger::LeaseLedger;
use directpay_store::leases::Lease;
use directpay_store::payments::{self, Recorded};
use directpay_store::{StoreError, Tx, policies};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::mandate::{DRAWS_SHOWN, MandateView, NewMandate, document};
use super::once::{Made, once};
use super::{find_visible, local_day};
use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::extract::{Id, Ids, Json, KeyHeader, List};
use crate::api::problem::{Always, OfOne, OfRole, OfState, SignedIn, WithBody};
use crate::api::{created_once, request_id};
use crate::app::App;
use crate::daily_pass::asked_by;
use crate::trail;
use crate::{autopay, instruct};

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
    if is_new {
        let entry = trail::done(Action::MandateSigned).to(Subject::mandate(mandate_id));
        entry.with(json!({"lease_id": id})).record(&mut tx).await?;
    }
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
    if lease.terms.has_ended(today.date) {
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
    check_usable(account.is_active, account.closed_by.as_deref())
        .map_err(|invalid| ApiError::invalid("payer_account_id", invalid))?;
    Ok(account)
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
    change_status(&app, caller, (id, mandate_id), MandateStatus::Paused, Action::MandatePaused).await
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
    change_status(&app, caller, (id, mandate_id), MandateStatus::Active, Action::MandateResumed).await
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
    change_status(&app, caller, (id, mandate_id), MandateStatus::Revoked, Action::MandateRevoked).await
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
    (lease, id): (LeaseId, Uuid),
    status: MandateStatus,
    action: Action,
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
        if status == MandateStatus::Active {
            resume(app, &mut tx, caller, &mandate).await?;
        } else {
            withdraw_pending(app, &mut tx, caller, &mandate).await?;
            mandates::set_status(&mut tx, id, status).await?;
            note_status(app, &mut tx, caller, &mandate, status).await?;
        }
        if status == MandateStatus::Revoked {
            give_up_announced(&mut tx, &mandate).await?;
        }
        let entry = trail::done(action).to(Subject::mandate(id));
        entry.with(json!({"lease_id": lease})).record(&mut tx).await?;
        mandates::find(&mut tx, id).await?
    };
    let is_blocked = is_blocked(app, &mut tx, lease).await?;
    let view = MandateView::read(&mut tx, mandate, caller, is_blocked).await?;
    tx.commit().await?;
    Ok(Json(view))
}

/// Makes a mandate draw again from now on.
async fn resume(app: &App, tx: &mut Tx, caller: Caller, mandate: &Mandate) -> Result<(), ApiError> {
    // What fell due while it was not active is missed, also if nobody has looked since.
    autopay::look(tx, mandate, &app.clock, app.scale).await?;
    if mandates::find(tx, mandate.id).await?.status == MandateStatus::Revoked {
        // Its lease has ended meanwhile.
        return Ok(());
    }
    mandates::set_status(tx, mandate.id, MandateStatus::Active).await?;
    note_status(app, tx, caller, mandate, MandateStatus::Active).await?;
    let resumed = Mandate { status: MandateStatus::Active, ..mandate.clone() };
    autopay::look(tx, &resumed, &app.clock, app.scale).await?;
    Ok(())
}

/// Cancels what was drawn by a mandate and no bank has seen. What a bank has seen goes its way.
async fn withdraw_pending(app: &App, tx: &mut Tx, caller: Caller, mandate: &Mandate) -> Result<(), ApiError> {
    let pending = payments::pending_rent(tx, mandate.lease_id).await?;
    let is_pending = |id: PaymentId| pending.iter().any(|pending| pending.payment_id == id);
    let mut draws = mandates::draws(tx, mandate.id, DRAWS_SHOWN).await?;
    draws.sort_by_key(|draw| draw.payment_id);
    for draw in draws {
        if let Some(payment_id) = draw.payment_id.filter(|id| is_pending(*id))
            && cancel(app, tx, caller, payment_id).await?
        {
            skip(tx, mandate, draw).await?;
        }
    }
    Ok(())
}

/// What was announced is not drawn any more.
async fn give_up_announced(tx: &mut Tx, mandate: &Mandate) -> Result<(), ApiError> {
    let draws = mandates::draws(tx, mandate.id, DRAWS_SHOWN).await?;
    for draw in draws.into_iter().filter(|draw| draw.status == DrawStatus::Announced) {
        skip(tx, mandate, draw).await?;
    }
    Ok(())
}

/// Cancels a payment, and says whether that was possible.
async fn cancel(app: &App, tx: &mut Tx, caller: Caller, payment_id: PaymentId) -> Result<bool, ApiError> {
    let reason = Reason::new("CANCELLED_BY_INITIATOR", "The renter did not want this draw");
    let (actor, request_id) = (caller.actor(), Some(request_id::current()));
    let instructed = instruct::payment(app, payment_id, Command::Cancel(Some(reason)), actor, request_id);
    let recorded = payments::record(tx, &[instructed]).await?.pop();
    Ok(matches!(recorded, Some(Recorded::Now(_))))
}

fn unwanted() -> Reason {
    Reason::new("SKIPPED", "The renter did not want it")
}

/// Notes that the renter does not want a draw.
async fn skip(tx: &mut Tx, mandate: &Mandate, draw: Draw) -> Result<(), ApiError> {
    let skipped = Draw { status: DrawStatus::Skipped, reason: Some(unwanted()), ..draw };
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
    if draw.status != DrawStatus::Skipped {
        let entry = trail::done(Action::MandateDrawSkipped).to(Subject::mandate(mandate_id));
        entry.with(json!({"lease_id": id, "due_date": due_date})).record(&mut tx).await?;
    }
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
    ledger.record(mandate.lease_id, LeaseChange::DrawMissed(name), Some(unwanted()), asked_by(app, caller)())?;
    Ok(ledger.write(tx).await?)
}
