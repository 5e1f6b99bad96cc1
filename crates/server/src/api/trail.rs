//! The trail, for administrators and for people about themselves; and what each request leaves in it.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use directpay_domain::id::UserId;
use directpay_domain::time::Instant;
use directpay_domain::trail::Action;
use directpay_store::StoreError;
use directpay_store::trail::{self as store_trail, Entry, Filter};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::auth::Caller;
use super::error::ApiError;
use super::extract::{Json, List, ListQuery, Query, parse_id};
use super::problem::{Always, OfList, SignedIn};
use super::{limits, request_id};
use crate::app::App;
use crate::trail::{Fold, Route};

/// Notes what a session or key was used for, and what it was refused.
pub async fn watch(State(app): State<App>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let actor = request_id::actor();
    if actor.user_id().is_none() {
        return response;
    }
    let (path, status) = (path.as_ref().map_or("", MatchedPath::as_str), response.status());
    let noted = if ApiError::keeps_away(status) {
        Some(Action::AccessRefused)
    } else {
        reading(path).filter(|_| status.is_success())
    };
    if let Some(action) = noted {
        let mut fold = Fold::new(action, actor);
        fold.route = Some(Route { method, path: path.to_owned(), status: status.as_u16() });
        fold.subject = request_id::looked_at().filter(|_| action != Action::AccessRefused);
        app.folds.fold(fold);
    }
    if !ApiError::is_unauthorized(status) {
        app.folds.fold(Fold::new(Action::AccessUsed, actor));
    }
    response
}

/// What reading this is called, where it takes out a great deal.
fn reading(path: &str) -> Option<Action> {
    match path {
        "/api/v1/audit" => Some(Action::TrailRead),
        "/api/v1/events" | "/api/v1/events/stream" => Some(Action::EventsRead),
        path => limits::is_report(path).then_some(Action::ReportRead),
    }
}

/// Something that was done or tried, and by whom and from where.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryView {
    /// Which entry.
    id: Uuid,
    /// When it was done; of several times the last, in real time.
    #[schema(value_type = String, format = DateTime)]
    occurred_at: Instant,
    /// Of several times the first.
    #[schema(value_type = String, format = DateTime)]
    since: Instant,
    /// How often.
    #[schema(example = 1)]
    times: i64,
    /// Who did it.
    actor: TrailActorView,
    /// Whom it concerns; null where that is not known, or nobody.
    person_id: Option<Uuid>,
    /// What was done.
    #[schema(example = "api_key.created")]
    action: String,
    /// DONE or REFUSED.
    #[schema(example = "DONE")]
    outcome: &'static str,
    /// To what; null where the action says it all.
    subject: Option<SubjectView>,
    /// The network address from which, of IPv6 the network; null to others where it is another person's.
    #[schema(example = "203.0.113.9")]
    address: Option<String>,
    /// What the program there says of itself; null as the address is.
    #[schema(example = "curl/8.17.0")]
    user_agent: Option<String>,
    /// By which request; of several the first.
    request_id: Option<String>,
    /// What else there is to say.
    #[schema(value_type = Option<Object>, example = json!({"scopes": "payments:read"}))]
    details: Option<serde_json::Value>,
}

/// Who did something.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrailActorView {
    /// USER, ADMIN, NOBODY for somebody who is not signed in, or COMMAND for whoever runs commands on the server.
    #[serde(rename = "type")]
    #[schema(example = "USER")]
    kind: String,
    /// The person.
    id: Option<Uuid>,
    /// What was shown to prove it; null where nothing was, and to others.
    credential: Option<SubjectView>,
}

/// What something was done to, or with.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubjectView {
    /// USER, SESSION, API_KEY, BANK_ACCOUNT, PROPERTY, LEASE, MANDATE, PAYMENT or WEBHOOK.
    #[serde(rename = "type")]
    #[schema(example = "API_KEY")]
    kind: String,
    /// Which one.
    id: Uuid,
}

impl EntryView {
    /// All that it says.
    pub fn whole(entry: Entry) -> Result<EntryView, StoreError> {
        let time = |micros| Instant::from_micros(micros).map_err(|source| StoreError::Damaged { what: "time", source });
        let named = |kind: Option<String>, id: Option<Uuid>| kind.zip(id).map(|(kind, id)| SubjectView { kind, id });
        Ok(EntryView {
            id: entry.id,
            occurred_at: time(entry.occurred_at)?,
            since: time(entry.since)?,
            times: entry.times,
            actor: TrailActorView {
                kind: entry.actor,
                id: entry.actor_id,
                credential: named(entry.credential, entry.credential_id),
            },
            person_id: entry.person_id,
            // A newer process may know more actions.
            outcome: Action::parse(&entry.action).map_or("DONE", Action::outcome),
            action: entry.action,
            subject: named(entry.subject, entry.subject_id),
            address: entry.address,
            user_agent: entry.user_agent,
            request_id: entry.request_id,
            details: entry.details.map(|details| serde_json::from_str(&details)).transpose()?,
        })
    }

    /// What a reader may know: of another person not where that person was.
    fn read_by(self, caller: Caller) -> EntryView {
        if caller.is_admin() || self.actor.id.is_none_or(|id| id == caller.user_id.0) {
            return self;
        }
        let actor = TrailActorView { credential: None, ..self.actor };
        EntryView { actor, address: None, user_agent: None, ..self }
    }
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TrailQuery {
    /// Whom they concern; other than oneself only for administrators.
    #[param(format = Uuid)]
    person_id: Option<String>,
    /// Who did it.
    #[param(format = Uuid)]
    actor_id: Option<String>,
    /// By which session or API key.
    #[param(format = Uuid)]
    credential_id: Option<String>,
    /// To what it was done: an account, a lease, a key.
    #[param(format = Uuid)]
    subject_id: Option<String>,
    /// What was done.
    #[param(example = "sign_in.refused")]
    action: Option<String>,
    /// Not before this time.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Before this time.
    #[param(format = DateTime)]
    until: Option<String>,
}

impl TrailQuery {
    fn parse(&self) -> Result<Filter, ApiError> {
        let id = |field, text: &Option<String>| {
            let parsed = text.as_deref().map(parse_id::<Uuid>).transpose();
            parsed.map_err(|invalid| ApiError::bad_query(field, invalid))
        };
        let time = |field, text: &Option<String>| {
            let parsed = text.as_deref().map(Instant::parse).transpose();
            parsed.map(|time| time.map(Instant::micros)).map_err(|invalid| ApiError::bad_query(field, invalid))
        };
        let action = self.action.as_deref().map(Action::parse).transpose();
        Ok(Filter {
            person: id("person_id", &self.person_id)?.map(UserId),
            actor: id("actor_id", &self.actor_id)?.map(UserId),
            credential: id("credential_id", &self.credential_id)?,
            subject: id("subject_id", &self.subject_id)?,
            action: action.map_err(|invalid| ApiError::bad_query("action", invalid))?,
            from_us: time("from", &self.from)?,
            until_us: time("until", &self.until)?,
        })
    }
}

/// Read the trail.
///
/// Who did what from where, newest first. Administrators see all; everybody else what concerns them: their sign-ins, sessions, keys and
/// accounts, what they did, and what administrators did to them. What is used, read or refused often is one entry when it begins, and one that counts
/// the rest of the hour.
#[utoipa::path(
    get,
    path = "/audit",
    tag = "audit",
    params(ListQuery, TrailQuery),
    responses((status = 200, body = List<EntryView>, description = "A page of the list"), OfList, SignedIn, Always),
)]
pub async fn list_audit_entries(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
    Query(by): Query<TrailQuery>,
) -> Result<Json<List<EntryView>>, ApiError> {
    let (wanted, filter) = (query.parse()?, by.parse()?);
    if let Some(person) = filter.person {
        request_id::looks_at(person);
    }
    let is_of_others = filter.person.is_some_and(|person| person != caller.user_id);
    let found = if caller.is_admin() {
        store_trail::list(&mut app.db.begin_stale_read().await?, filter, wanted.page()).await?
    } else if is_of_others {
        Vec::new()
    } else {
        let filter = Filter { person: Some(caller.user_id), ..filter };
        store_trail::list(&mut app.db.begin_stale_read().await?, filter, wanted.page()).await?
    };
    let views = found.into_iter().map(EntryView::whole).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(wanted.list(views, |view| view.id, |view| view.read_by(caller))))
}
