//! The feed: everything that happens to the caller's leases and their payments, in one order.

pub mod listen;

use axum::extract::State;
use directpay_domain::id::UserId;
use directpay_domain::invalid::Invalid;
use directpay_domain::user::Role;
use directpay_store::feed::{Entry, Fact, Reader};
use directpay_store::users::Named;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::auth::Caller;
use super::error::ApiError;
use super::extract::{Json, Query, parse_limit};
use super::leases::history::LeaseEventView;
use super::payments::history::EventView;
use super::problem::{Always, OfList, SignedIn};
use crate::app::App;
use crate::feed::Part;

/// Events in one answer, unless the caller says otherwise.
const LIMIT_DEFAULT: i64 = 100;
const LIMIT_MAX: i64 = 1_000;

/// A part of the feed.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedView {
    /// In the order of their positions, which is that of every history.
    data: Vec<FeedEventView>,
    /// The position to ask on with as `after`, whether or not there was anything.
    #[schema(example = 1041)]
    next: i64,
    /// There is more by now: ask on at once. It may be others' events only, so that `data` may be empty.
    has_more: bool,
}

/// An event with its position.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeedEventView {
    /// 1, 2, 3 … over all events of this DirectPay; those in between are others'.
    #[schema(example = 1041)]
    position: i64,
    /// The lease to which it belongs.
    lease_id: Uuid,
    /// The payment whose history it is part of; null where it is the lease's own.
    payment_id: Option<Uuid>,
    /// What happened, as the history of the payment or of the lease shows it.
    event: FactView,
}

/// What happened.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum FactView {
    /// To a payment.
    Payment(Box<EventView>),
    /// To a lease.
    Lease(Box<LeaseEventView>),
}

impl FeedEventView {
    /// What `caller` sees of an event.
    fn new(entry: &Entry, names: &[Named], caller: Caller) -> Result<FeedEventView, ApiError> {
        let (lease_id, payment_id, event) = match &entry.fact {
            Fact::Payment(event, parties) => {
                let view = EventView::of(event, *parties, names, caller);
                (event.metadata.lease_id, Some(event.payment_id.0), FactView::Payment(Box::new(view)))
            }
            Fact::Lease(event) => {
                (event.lease_id, None, FactView::Lease(Box::new(LeaseEventView::new(event.as_ref().clone())?)))
            }
        };
        Ok(FeedEventView { position: entry.position, lease_id: lease_id.0, payment_id, event })
    }

    /// What a person sees of an event who does not ask for it.
    pub fn seen_by(user_id: UserId, role: Role, entry: &Entry, names: &[Named]) -> Result<FeedEventView, ApiError> {
        FeedEventView::new(entry, names, Caller::person(user_id, role))
    }

    /// The type of the event.
    fn event_type(&self) -> &'static str {
        match &self.event {
            FactView::Payment(event) => event.event_type,
            FactView::Lease(event) => event.event_type,
        }
    }
}

/// Whose events `caller` sees.
fn reader(caller: Caller) -> Reader {
    reader_of(caller.user_id, caller.role)
}

/// Whose events a person sees.
pub fn reader_of(user_id: UserId, role: Role) -> Reader {
    match role {
        Role::Admin => Reader::Everybody,
        Role::Landlord => Reader::Landlord(user_id),
        Role::Renter => Reader::Renter(user_id),
    }
}

/// Where to read on.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FeedQuery {
    /// `next` of the answer before; from the beginning if omitted.
    #[param(value_type = Option<i64>, minimum = 0, example = 1041)]
    after: Option<String>,
    /// Events in one answer, 1 to 1000; 100 if omitted.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 1000, example = 100)]
    limit: Option<String>,
}

/// A position in the feed.
pub fn parse_position(text: &str) -> Result<i64, Invalid> {
    let position = text.parse().ok().filter(|position| 0 <= *position);
    position.ok_or_else(|| Invalid::new("malformed", "must be a position of the feed: a whole number from 0"))
}

/// Read the feed.
///
/// Everything that happened to the leases that concern the caller and to their payments, oldest first: a landlord's own leases,
/// those that a renter is on, all for administrators. Whoever asks on with `next` misses nothing and gets nothing twice: no
/// event ever appears below a position that was answered. An answer looks through 5000 positions at most, whosever events
/// they hold.
#[utoipa::path(
    get,
    path = "/events",
    tag = "events",
    params(FeedQuery),
    responses((status = 200, body = FeedView, description = "Events behind `after`"), OfList, SignedIn, Always),
)]
pub async fn read_events(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<FeedQuery>,
) -> Result<Json<FeedView>, ApiError> {
    let after = query.after.as_deref().map(parse_position).transpose();
    let after = after.map_err(|invalid| ApiError::bad_query("after", invalid))?.unwrap_or(0);
    let limit = parse_limit(query.limit.as_deref(), LIMIT_DEFAULT, LIMIT_MAX)?;
    let mut tx = app.db.begin_stale_read().await?;
    let Part { page, names, .. } = Part::read(&mut tx, reader(caller), after, limit).await?;
    drop(tx);
    let data = page.entries.iter().map(|entry| FeedEventView::new(entry, &names, caller));
    Ok(Json(FeedView { data: data.collect::<Result<_, _>>()?, next: page.through, has_more: page.has_more }))
}
