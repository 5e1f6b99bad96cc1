//! The feed as it happens: server-sent events.
//!
//! A listener first reads what it has missed, as anybody would who asks again and again, and then is handed what is new. It
//! holds no connection to the database in between, and keeps one part of the feed at most: while its reader does not read,
//! it does nothing, and what it misses meanwhile it reads later.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, State};
use axum::http::{HeaderMap, HeaderName, Method};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use directpay_store::StoreError;
use directpay_store::feed::Entry;
use directpay_store::users::Named;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use utoipa::IntoParams;

use super::{FeedEventView, parse_position, reader};
use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::api::extract::Query;
use crate::api::problem::{Always, OfList, SignedIn};
use crate::api::scopes;
use crate::app::App;
use crate::feed::{AFTER_FAILURE, News, Part, Seat};

/// Events that a listener reads at once of what it has missed.
const PART_MAX: i64 = 100;
/// How often a listener's credentials are looked at.
const CHECK: Duration = Duration::from_secs(5);
/// After so many of those without a word a listener is told that there is nothing, so that nobody on the way hangs up.
const QUIET_CHECKS_MAX: u32 = 3;
/// A reader comes back this long after the connection broke.
const RETRY: Duration = Duration::from_secs(2);
/// Where a copy of the database is read that is a little behind.
const BEHIND: Duration = Duration::from_millis(100);

/// Where to begin.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListenQuery {
    /// The position of the last event that the caller has, where there is no `Last-Event-ID`; from the beginning if omitted.
    #[param(value_type = Option<i64>, minimum = 0, example = 1041)]
    after: Option<String>,
}

/// Listen to the feed.
///
/// The same as reading it, as it happens: `id` is the position, `event` the type, `data` the same JSON. Whoever comes back with
/// `Last-Event-ID` misses nothing. It ends when the access token or the API key does, and when the server stops: come back with a new one.
#[utoipa::path(
    get,
    path = "/events/stream",
    tag = "events",
    params(
        ListenQuery,
        ("Last-Event-ID" = Option<i64>, Header, description = "The `id` of the last event that arrived; wins over `after`"),
    ),
    responses(
        (status = 200, body = String, content_type = "text/event-stream", description = "Events until somebody hangs up"),
        OfList, SignedIn, Always,
    ),
)]
pub async fn listen_to_events(
    State(app): State<App>,
    caller: Caller,
    route: MatchedPath,
    headers: HeaderMap,
    Query(query): Query<ListenQuery>,
) -> Result<Response, ApiError> {
    let header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or_default());
    let (field, text) = match header.filter(|text| !text.is_empty()) {
        Some(text) => ("Last-Event-ID", Some(text)),
        None => ("after", query.after.as_deref()),
    };
    let after = text.map(parse_position).transpose().map_err(|invalid| ApiError::bad_query(field, invalid))?;
    let seat = app.listeners.join(caller.user_id)?;
    let mut checks = interval(CHECK);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    checks.reset();
    let listener = Listener {
        app,
        headers,
        route,
        caller,
        seat,
        after: after.unwrap_or(0),
        told: after.unwrap_or(0),
        // Said at once, so that nobody on the way waits for a first word.
        ready: VecDeque::from([Event::default().retry(RETRY).comment("the feed")]),
        pace: Pace::Behind { at_least: 0 },
        checks,
        quiet: 0,
    };
    let events = stream::unfold(listener, async |mut listener| {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    // A proxy that gathers the answer before it passes it on would keep it for ever.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((unbuffered, Sse::new(events)).into_response())
}

/// How far a listener is.
enum Pace {
    /// It reads what it has missed, at least up to a position.
    Behind { at_least: i64 },
    /// It has everything and is handed what is new.
    Abreast,
}

struct Listener {
    app: App,
    /// With the credentials, which end.
    headers: HeaderMap,
    /// Which names the scope that a key must have.
    route: MatchedPath,
    caller: Caller,
    seat: Seat,
    /// Everything of the caller's up to here was sent, or is ready.
    after: i64,
    /// The position that the caller knows of.
    told: i64,
    ready: VecDeque<Event>,
    pace: Pace,
    checks: Interval,
    quiet: u32,
}

impl Listener {
    /// The next thing to say; None when it is over.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.quiet = 0;
                return Some(event);
            }
            if *self.seat.stop.borrow() {
                return None;
            }
            let step = tokio::select! {
                step = go_on(&self.app, &mut self.seat, &self.pace, self.caller, self.after) => Some(step),
                _ = self.checks.tick() => None,
            };
            // Asked after the wait: what happened meanwhile is nothing to whom it does not concern any more.
            if !self.is_still_allowed().await {
                return None;
            }
            match step {
                Some(Step::Read(part)) => self.catch_up(&part)?,
                Some(Step::News(news)) => self.take(&news)?,
                Some(Step::Nothing) => {}
                Some(Step::Over) => return None,
                None => self.quiet += 1,
            }
            if self.ready.is_empty() && QUIET_CHECKS_MAX <= self.quiet {
                let sign = self.sign_of_life();
                self.ready.push_back(sign);
            }
        }
    }

    /// Whether whoever listens would be let in again.
    async fn is_still_allowed(&self) -> bool {
        let needed = || scopes::needed(&Method::GET, self.route.as_str());
        let now = Caller::of(&self.headers, &self.app, needed).await;
        now.is_ok_and(|now| now.user_id == self.caller.user_id && now.role == self.caller.role)
    }

    fn catch_up(&mut self, part: &Part) -> Option<()> {
        for entry in &part.page.entries {
            self.add(entry, &part.names)?;
        }
        self.after = part.page.through;
        if let Pace::Behind { at_least } = self.pace {
            let is_abreast = !part.page.has_more && at_least <= self.after;
            self.pace = if is_abreast { Pace::Abreast } else { Pace::Behind { at_least } };
        }
        Some(())
    }

    /// Takes what is new, unless something before it is missing.
    fn take(&mut self, news: &News) -> Option<()> {
        let Part { after, page, names } = &news.part;
        if page.through <= self.after {
            return Some(());
        }
        if self.after < *after {
            self.pace = Pace::Behind { at_least: page.through };
            return Some(());
        }
        let reader = reader(self.caller);
        let before = self.after;
        let fresh = page.entries.iter().filter(|entry| before < entry.position);
        for entry in fresh.filter(|entry| reader.sees(entry, &news.renters)) {
            self.add(entry, names)?;
        }
        self.after = page.through;
        Some(())
    }

    /// Makes an event ready. One that cannot be shown ends it: it must not be passed over.
    fn add(&mut self, entry: &Entry, names: &[Named]) -> Option<()> {
        let view = FeedEventView::new(entry, names, self.caller).ok()?;
        let event = Event::default().id(view.position.to_string()).event(view.event_type());
        self.told = view.position;
        self.ready.push_back(event.json_data(view).ok()?);
        Some(())
    }

    /// Says that there is nothing, and up to where: an event without data is none, but its id is kept.
    fn sign_of_life(&mut self) -> Event {
        if self.told < self.after {
            self.told = self.after;
            return Event::default().id(self.after.to_string());
        }
        Event::default().comment("")
    }
}

/// What a listener gets next.
enum Step {
    Read(Part),
    News(Arc<News>),
    Nothing,
    Over,
}

/// Reads what was missed, or waits for what is new. Nothing is lost when it is dropped half-way.
async fn go_on(app: &App, seat: &mut Seat, pace: &Pace, caller: Caller, after: i64) -> Step {
    let Seat { news, stop, .. } = seat;
    let going_on = async {
        match pace {
            Pace::Behind { .. } => match read(app, caller, after).await {
                Ok(part) => {
                    if part.page.through == after {
                        sleep(BEHIND).await;
                    }
                    Step::Read(part)
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the feed cannot be read");
                    sleep(AFTER_FAILURE).await;
                    Step::Nothing
                }
            },
            Pace::Abreast => match news.recv().await {
                Ok(news) => Step::News(news),
                // The next one shows what is missing.
                Err(RecvError::Lagged(_)) => Step::Nothing,
                Err(RecvError::Closed) => Step::Over,
            },
        }
    };
    tokio::select! {
        step = going_on => step,
        _ = stop.wait_for(|stop| *stop) => Step::Over,
    }
}

async fn read(app: &App, caller: Caller, after: i64) -> Result<Part, StoreError> {
    let mut tx = app.db.begin_stale_read().await?;
    Part::read(&mut tx, reader(caller), after, PART_MAX).await
}
