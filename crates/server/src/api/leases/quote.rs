//! What an amount would pay, before anybody pays it.

use std::collections::HashMap;

use axum::extract::State;
use directpay_domain::allocation::{Books, Open};
use directpay_domain::arrival;
use directpay_domain::id::{ChargeId, LeaseId};
use directpay_domain::invalid::Invalid;
use directpay_domain::money::{Amount, format_minor};
use directpay_domain::payment::initiate::Acceptance;
use directpay_domain::rail::Rail;
use directpay_domain::time::Instant;
use directpay_store::charges::{self, Charge};
use directpay_store::{payments, policies};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::find_visible;
use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::extract::{Id, Json, Query};
use crate::api::problem::{Always, OfList, OfOne, SignedIn};
use crate::app::App;
use crate::clock;

/// What somebody thinks of paying.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct QuoteQuery {
    /// How much, in the lease's currency.
    #[param(example = "1500.00")]
    amount: String,
    /// By which rail; STANDARD_ACH if omitted.
    #[param(example = "INSTANT")]
    rail: Option<String>,
}

/// What an amount would pay.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuoteView {
    /// On which lease.
    lease_id: Uuid,
    /// How much.
    #[schema(example = "1500.00")]
    amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: &'static str,
    /// How it would move.
    #[schema(example = "INSTANT")]
    rail: &'static str,
    /// Which charges it would pay for, in that order. What is on its way already is taken into account.
    covers: Vec<CoverView>,
    /// What would still be owed and not be on its way.
    #[schema(example = "0.00")]
    remaining: String,
    /// What would be left as credit, for rent to come.
    #[schema(example = "0.00")]
    credit: String,
    /// The rent to come that credit would go to first, if any.
    next_charge: Option<CoverView>,
    /// When it arrives if it is paid now: as long as the bank is a simulator, when that settles it.
    #[schema(value_type = String, format = DateTime)]
    arrives_at: Instant,
    /// When it arrives by the calendar of the real rail.
    #[schema(value_type = String, format = DateTime)]
    arrives_by_calendar_at: Instant,
    /// Why then, link by link, in Eastern Time.
    #[schema(example = json!(["goes out Tuesday 2026-09-08 by the 10:30 ET cut-off"]))]
    calendar_reasons: Vec<String>,
    /// Why the landlord would not take it; null if it would be taken.
    refusal: Option<RefusalView>,
}

/// A charge, and how much of it would be paid.
#[derive(Debug, Serialize, ToSchema)]
pub struct CoverView {
    /// Which charge.
    charge_id: Uuid,
    /// What it is for.
    #[schema(example = "RENT")]
    kind: &'static str,
    /// In the landlord's words; null for rent.
    description: Option<String>,
    /// When it is due.
    #[schema(value_type = String, format = Date)]
    due_date: Date,
    /// How much of it.
    #[schema(example = "1500.00")]
    amount: String,
}

/// Why a payment would be refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusalView {
    /// Stable, as the refusal itself would have it.
    #[schema(example = "not_full_balance")]
    code: &'static str,
    /// For people.
    detail: String,
}

impl CoverView {
    /// So many minor units of a charge.
    pub(super) fn new(charge: &Charge, minor: i64) -> CoverView {
        CoverView {
            charge_id: charge.id.0,
            kind: charge.kind.name(),
            description: charge.description.clone(),
            due_date: charge.due_date,
            amount: format_minor(minor, charge.amount.currency()),
        }
    }
}

/// Ask what an amount would pay.
///
/// For the parties of the lease and administrators: what it covers, what stays open, when it arrives and why, and whether the
/// landlord would take it. Nothing is promised: other payments may come first.
#[utoipa::path(
    get,
    path = "/leases/{id}/quote",
    tag = "leases",
    params(("id" = Uuid, Path), QuoteQuery),
    responses((status = 200, body = QuoteView, description = "What it would pay"), OfList, OfOne, SignedIn, Always),
)]
pub async fn read_quote(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    Query(query): Query<QuoteQuery>,
) -> Result<Json<QuoteView>, ApiError> {
    let rail = query.rail.as_deref().map_or(Ok(Rail::DEFAULT), Rail::parse);
    let rail = rail.map_err(|invalid| ApiError::bad_query("rail", invalid))?;
    let mut tx = app.db.begin_read().await?;
    let lease = find_visible(&mut tx, caller, id).await?;
    let currency = lease.terms.rent.currency();
    let amount = Amount::parse(&query.amount, currency).map_err(|invalid| ApiError::bad_query("amount", invalid))?;
    let known: HashMap<ChargeId, Charge> =
        charges::list(&mut tx, id).await?.into_iter().map(|charge| (charge.id, charge)).collect();
    let open = known.values().filter(|charge| 0 < charge.open_minor());
    // No credit: it pays for rent alone, and while there is any no rent is open.
    let mut books = Books::new(open.map(|charge| Open { place: charge.place(), minor: charge.open_minor() }), []);
    // What was accepted before pays before.
    for pending in payments::pending_rent(&mut tx, id).await? {
        books.receive(clock::new_id(), pending.minor, None);
    }
    let before = books.credit_minor();
    let paid = books.receive(clock::new_id(), amount.minor(), None);
    let now = app.clock.business();
    let restricted = policies::restricted(&mut tx, [id].into_iter(), now).await?;
    let accepts = restricted.get(&id).copied().unwrap_or(Acceptance::Any);
    let refusal = accepts
        .objection(amount)
        .map(|(_, Invalid { code, detail })| RefusalView { code, detail: detail.into_owned() });
    let next = known.values().filter(|charge| charge.posted_at.is_none() && charge.voided_at.is_none());
    let next = next.filter(|charge| charge.place().draws_on_credit());
    let next = next.min_by_key(|charge| (charge.due_date, charge.place()));
    let left = books.credit_minor() - before;
    let by_calendar = arrival::arrival(rail, now);
    Ok(Json(QuoteView {
        lease_id: id.0,
        amount: amount.to_string(),
        currency: currency.code(),
        rail: rail.name(),
        covers: paid.iter().filter_map(|one| Some(CoverView::new(known.get(&one.place.id())?, one.minor))).collect(),
        remaining: format_minor(books.open_minor(), currency),
        credit: format_minor(left, currency),
        next_charge: next.filter(|_| 0 < left).map(|charge| CoverView::new(charge, left.min(charge.amount.minor()))),
        arrives_at: now.plus_micros(rail.simulated_delay_us(clock::new_id().into(), 1, app.scale)),
        arrives_by_calendar_at: by_calendar.at,
        calendar_reasons: by_calendar.reasons.iter().map(ToString::to_string).collect(),
        refusal,
    }))
}
