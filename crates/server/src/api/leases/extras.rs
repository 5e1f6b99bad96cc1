//! What recurs with the rent, and new rents.

use axum::extract::State;
use axum::response::Response;
use directpay_domain::calendar::parse_date;
use directpay_domain::id::LeaseId;
use directpay_domain::invalid::Invalid;
use directpay_domain::lease::{Extra, RentChange};
use directpay_domain::lease_event::LeaseChange;
use directpay_domain::text::Line;
use directpay_domain::trail::Action;
use directpay_store::leases;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::charges::parse_limited;
use super::once::{Made, once, once_if_named};
use super::view::LeaseView;
use super::{find_visible, hold, local_day};
use crate::api::amount::AmountInput;
use crate::api::auth::Caller;
use crate::api::error::{ApiError, FieldErrors};
use crate::api::extract::{Id, Ids, Json, KeyHeader, List};
use crate::api::problem::{Always, OfOne, OfRole, OfState, SignedIn, WithBody};
use crate::api::{changed_once, created_once};
use crate::app::App;
use crate::daily_pass::{self, asked_by};
use crate::trail;

/// What is charged with the rent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewExtra {
    /// What for, as the renters will read it.
    #[schema(example = "Parking")]
    description: String,
    /// What a whole period costs, at most 99,999,999.99.
    amount: AmountInput,
    /// The first day, today or later; of a period that has begun it costs the share of its days.
    #[schema(example = "2026-03-01", format = Date)]
    start_date: String,
    /// The last day; omitted, it goes on as long as the lease does.
    #[schema(example = "2026-12-31", format = Date)]
    end_date: Option<String>,
    /// The caller's name for this request, unless it is in the header `Idempotency-Key`.
    #[schema(example = "parking", min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// What is charged with the rent.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExtraView {
    /// Which extra.
    id: Uuid,
    /// What for.
    #[schema(example = "Parking")]
    description: String,
    /// What a whole period costs.
    #[schema(example = "75.00")]
    amount: String,
    /// The first day.
    #[schema(value_type = String, format = Date)]
    start_date: Date,
    /// The last day; null as long as the lease goes on.
    #[schema(value_type = Option<String>, format = Date)]
    end_date: Option<Date>,
}

impl From<Extra> for ExtraView {
    fn from(extra: Extra) -> ExtraView {
        ExtraView {
            id: extra.id,
            description: extra.description,
            amount: extra.amount.to_string(),
            start_date: extra.starts_on,
            end_date: extra.ends_on,
        }
    }
}

/// Charge something with the rent.
///
/// For the landlord: parking, a pet. It is due with the rent, and prorated as the rent is.
#[utoipa::path(
    post,
    path = "/leases/{id}/extras",
    tag = "leases",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header, description = "The caller's name for this request, unless it is in the body")),
    request_body = NewExtra,
    responses(
        (status = 201, body = ExtraView, description = "Added", headers(("Location" = String))),
        (status = 200, body = ExtraView, description = "Added before under this key", headers(("Idempotent-Replayed" = String))),
        WithBody, OfOne, OfRole, SignedIn, Always,
    ),
)]
pub async fn add_extra(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    header: KeyHeader,
    Json(request): Json<NewExtra>,
) -> Result<Response, ApiError> {
    let key = header.with_body(request.idempotency_key.as_deref())?;
    let now = app.clock.business();
    let mut tx = app.db.begin().await?;
    let lease = hold(&mut tx, caller, id).await?;
    let mut errors = FieldErrors::default();
    let description = errors.take("description", Line::parse(&request.description));
    let amount = errors.take("amount", parse_limited(&request.amount, lease.terms.rent));
    let starts_on = errors.take("start_date", parse_date(&request.start_date));
    let ends_on = errors.take_optional("end_date", request.end_date.as_deref(), parse_date);
    if let (Some(starts_on), Some(Some(ends_on))) = (starts_on, ends_on)
        && ends_on < starts_on
    {
        errors.add("end_date", Invalid::new("before_start", "must not be before the start date"));
    }
    let (Some(description), Some(amount), Some(starts_on), Some(ends_on), true) =
        (description, amount, starts_on, ends_on, errors.is_empty())
    else {
        return Err(errors.into_error());
    };
    let what = ("extra", id, description.as_str(), amount.minor(), starts_on, ends_on);
    let (made, is_new) = match once(&mut tx, caller, &key, now, &what).await? {
        Made::Before(made) => (made, false),
        Made::New(made) => {
            let today = local_day(&mut tx, &lease, now).await?.date;
            if starts_on < today {
                return Err(ApiError::invalid("start_date", past()));
            }
            let extra = Extra { id: made, description: description.into_string(), amount, starts_on, ends_on };
            leases::insert_extra(&mut tx, id, &extra).await?;
            trail::done(Action::LeaseExtraAdded).to(id).with(json!({"extra_id": made})).record(&mut tx).await?;
            let new = asked_by(&app, caller);
            let Extra { id: extra_id, description, .. } = extra;
            let change = LeaseChange::ExtraAdded { extra_id, description, amount, starts_on, ends_on };
            daily_pass::change_terms(&mut tx, &lease, today, change, new).await?;
            (made, true)
        }
    };
    let extras = leases::extras(&mut tx, &lease).await?;
    let extra = extras.into_iter().find(|extra| extra.id == made).ok_or_else(ApiError::not_found)?;
    tx.commit().await?;
    Ok(created_once(is_new, &format!("/api/v1/leases/{id}/extras"), ExtraView::from(extra)))
}

fn past() -> Invalid {
    Invalid::new("past", "must not be past: what has fallen due stays as it is")
}

/// List what is charged with the rent.
///
/// For the parties of the lease and administrators, oldest first.
#[utoipa::path(
    get,
    path = "/leases/{id}/extras",
    tag = "leases",
    params(("id" = Uuid, Path)),
    responses((status = 200, body = List<ExtraView>, description = "All of them"), OfOne, SignedIn, Always),
)]
pub async fn list_extras(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
) -> Result<Json<List<ExtraView>>, ApiError> {
    let mut tx = app.db.begin_read().await?;
    let lease = find_visible(&mut tx, caller, id).await?;
    let extras = leases::extras(&mut tx, &lease).await?;
    Ok(Json(List { data: extras.into_iter().map(ExtraView::from).collect(), next_cursor: None }))
}

/// The end of an extra.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndOfExtra {
    /// The last day, today or later.
    #[schema(example = "2026-06-30", format = Date)]
    end_date: String,
    /// The caller's name for this request, unless it is in the header `Idempotency-Key`.
    #[schema(example = "no-more-parking", min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// End what is charged with the rent.
///
/// For the landlord. What has fallen due stays. It may go without an idempotency key: an end is only ever moved forward, so that
/// repeating it changes nothing.
#[utoipa::path(
    post,
    path = "/leases/{id}/extras/{extra_id}/end",
    tag = "leases",
    params(
        ("id" = Uuid, Path),
        ("extra_id" = Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "The caller's name for this request, unless it is in the body"),
    ),
    request_body = EndOfExtra,
    responses(
        (status = 200, body = ExtraView, description = "It ends", headers(("Idempotent-Replayed" = Option<String>))),
        WithBody, OfOne, OfRole, OfState, SignedIn, Always,
    ),
)]
pub async fn end_extra(
    State(app): State<App>,
    caller: Caller,
    Ids(id, extra_id): Ids<LeaseId, Uuid>,
    header: KeyHeader,
    Json(request): Json<EndOfExtra>,
) -> Result<Response, ApiError> {
    let key = header.with_body_if_any(request.idempotency_key.as_deref())?;
    let now = app.clock.business();
    let ends_on = parse_date(&request.end_date).map_err(|invalid| ApiError::invalid("end_date", invalid))?;
    let mut tx = app.db.begin().await?;
    let lease = hold(&mut tx, caller, id).await?;
    let extras = leases::extras(&mut tx, &lease).await?;
    let extra = extras.into_iter().find(|extra| extra.id == extra_id).ok_or_else(ApiError::not_found)?;
    if let Made::Before(_) =
        once_if_named(&mut tx, caller, key.as_ref(), now, &("extra-end", extra_id, ends_on)).await?
    {
        return Ok(changed_once(false, ExtraView::from(extra)));
    }
    let today = local_day(&mut tx, &lease, now).await?.date;
    if ends_on < today {
        return Err(ApiError::invalid("end_date", past()));
    }
    if extra.ends_on.is_some_and(|present_end| present_end < today) {
        return Err(ApiError::wrong_status("already_ended", "ENDED", "it has ended; add another one"));
    }
    if extra.ends_on.is_some_and(|present_end| present_end < ends_on) {
        return Err(ApiError::invalid("end_date", Invalid::new("after_end", "must not be after its present end")));
    }
    if ends_on < extra.starts_on {
        return Err(ApiError::invalid("end_date", Invalid::new("before_start", "must not be before its start")));
    }
    leases::end_extra(&mut tx, id, extra_id, ends_on).await?;
    trail::done(Action::LeaseExtraEnded).to(id).with(json!({"extra_id": extra_id})).record(&mut tx).await?;
    let change = LeaseChange::ExtraEnded { extra_id, ends_on };
    daily_pass::change_terms(&mut tx, &lease, today, change, asked_by(&app, caller)).await?;
    tx.commit().await?;
    Ok(changed_once(true, ExtraView::from(Extra { ends_on: Some(ends_on), ..extra })))
}

/// A new rent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRent {
    /// What a whole period costs then, at most 99,999,999.99.
    rent_amount: AmountInput,
    /// Periods that begin on this day or later cost it; after today.
    #[schema(example = "2027-01-01", format = Date)]
    effective_date: String,
    /// The caller's name for this request, unless it is in the header `Idempotency-Key`.
    #[schema(example = "rent-2027", min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// Change the rent.
///
/// For the landlord. It touches only what has not fallen due. A change that takes effect on the same day gives way. Repeating the
/// request with the same idempotency key changes nothing, also if the rent was changed again meanwhile.
#[utoipa::path(
    post,
    path = "/leases/{id}/rent-changes",
    tag = "leases",
    params(("id" = Uuid, Path), ("Idempotency-Key" = Option<String>, Header, description = "The caller's name for this request, unless it is in the body")),
    request_body = NewRent,
    responses(
        (status = 200, body = LeaseView, description = "The lease with its rents", headers(("Idempotent-Replayed" = Option<String>))),
        WithBody, OfOne, OfRole, SignedIn, Always,
    ),
)]
pub async fn change_rent(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<LeaseId>,
    header: KeyHeader,
    Json(request): Json<NewRent>,
) -> Result<Response, ApiError> {
    let key = header.with_body(request.idempotency_key.as_deref())?;
    let now = app.clock.business();
    let mut tx = app.db.begin().await?;
    let lease = hold(&mut tx, caller, id).await?;
    let mut errors = FieldErrors::default();
    let rent = errors.take("rent_amount", parse_limited(&request.rent_amount, lease.terms.rent));
    let effective_on = errors.take("effective_date", parse_date(&request.effective_date));
    let (Some(rent), Some(effective_on)) = (rent, effective_on) else {
        return Err(errors.into_error());
    };
    let what = ("rent-change", id, rent.minor(), effective_on);
    let is_new = matches!(once(&mut tx, caller, &key, now, &what).await?, Made::New(_));
    let change = RentChange { effective_on, rent };
    if is_new && !lease.terms.rent_changes.contains(&change) {
        let today = local_day(&mut tx, &lease, now).await?.date;
        if effective_on <= today {
            let stays = Invalid::new("not_in_future", "must be after today: what has fallen due stays");
            return Err(ApiError::invalid("effective_date", stays));
        }
        leases::change_rent(&mut tx, id, change).await?;
        trail::done(Action::LeaseRentChanged).to(id).record(&mut tx).await?;
        let changed = find_visible(&mut tx, caller, id).await?;
        let fact = LeaseChange::RentChanged { effective_on, rent };
        daily_pass::change_terms(&mut tx, &changed, today, fact, asked_by(&app, caller)).await?;
    }
    let view = LeaseView::from(find_visible(&mut tx, caller, id).await?);
    tx.commit().await?;
    Ok(changed_once(is_new, view))
}
