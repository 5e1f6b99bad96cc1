//! Sends what waits for webhooks.
//!
//! One round records what has ended and takes what is due, in one transaction; sending goes on beside it. Every webhook has
//! few places, one that fails has a single one, and those that fail have half of all together: who never answers holds up
//! nobody else.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use directpay_domain::id::WebhookId;
use directpay_domain::time::{DAY_US, SECOND_US};
use directpay_domain::webhook::{Outcome, pause_us};
use directpay_store::webhooks::attempts::{self, Attempt, Verdict};
use directpay_store::webhooks::lanes::{self, Candidate, Held, Take, Taken};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Round, Shift};
use crate::app::{App, Bell};
use crate::bank::BankConnection;
use crate::clock::{self, Stopwatch};
use crate::webhooks::courier::{Courier, Letter, Sent};
use crate::webhooks::signing::{Secret, signatures};

/// Deliveries under way in this process.
const UNDER_WAY_MAX: usize = 128;
/// Of webhooks that fail, all together.
const FAILING_MAX: usize = UNDER_WAY_MAX / 2;
/// Of one webhook.
const OF_ONE_MAX: usize = 4;
/// Of one that fails.
const OF_ONE_FAILING_MAX: usize = 1;
/// Lanes that are looked at for that in one round.
const CANDIDATES_MAX: i64 = 256;
/// Longer than any attempt takes: whoever has not recorded it by then is dead.
const CLAIM_US: i64 = 60 * SECOND_US;
/// A webhook that has only failed for so long is disabled.
const FAILING_FOR_US: i64 = 5 * DAY_US;

/// What this process has under way. Clones are the same one.
#[derive(Clone)]
pub(super) struct Desk(Arc<Parts>);

struct Parts {
    courier: Courier,
    bell: Bell,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    under_way: HashMap<Held, Flight>,
    /// Attempts that are over and not recorded.
    ended: Vec<Attempt>,
    tasks: JoinSet<()>,
    /// Which webhook was the last to catch up.
    last_behind: Uuid,
}

/// A delivery under way.
struct Flight {
    is_failing: bool,
}

/// How many places are taken, and by whom.
#[derive(Default)]
struct Places {
    all: usize,
    failing: usize,
    of: HashMap<WebhookId, Of>,
}

/// How many places a webhook has.
#[derive(Default)]
struct Of {
    all: usize,
    is_failing: bool,
}

impl Places {
    /// As they are when `ended` is recorded.
    fn without(state: &State, ended: &[Attempt]) -> Places {
        let ended: HashSet<Held> = ended.iter().map(|attempt| attempt.held).collect();
        let mut places = Places::default();
        for (held, flight) in state.under_way.iter().filter(|(held, _)| !ended.contains(*held)) {
            places.take(held.webhook_id, flight.is_failing);
        }
        places
    }

    fn take(&mut self, webhook: WebhookId, is_failing: bool) {
        let of = self.of.entry(webhook).or_default();
        of.all += 1;
        of.is_failing |= is_failing;
        self.all += 1;
        self.failing += usize::from(is_failing);
    }

    /// Webhooks that have all the places there are for them.
    fn full(&self) -> Vec<WebhookId> {
        let is_full = |(_, of): &(&WebhookId, &Of)| of.is_failing || OF_ONE_MAX <= of.all;
        self.of.iter().filter(is_full).map(|(webhook, _)| *webhook).collect()
    }

    /// Gives a place to a delivery, if there is one.
    fn admit(&mut self, candidate: Candidate) -> bool {
        let of_one = self.of.get(&candidate.webhook_id).map_or(0, |of| of.all);
        let has_place = if candidate.is_failing {
            of_one < OF_ONE_FAILING_MAX && self.failing < FAILING_MAX
        } else {
            of_one < OF_ONE_MAX
        };
        if !has_place || UNDER_WAY_MAX <= self.all {
            return false;
        }
        self.take(candidate.webhook_id, candidate.is_failing);
        true
    }
}

impl Desk {
    pub(super) fn new(courier: Courier) -> Desk {
        Desk(Arc::new(Parts { courier, bell: Bell::default(), state: Mutex::default() }))
    }

    /// Rings when there may be something to send, or a place for it.
    pub(super) fn bell(&self) -> &Bell {
        &self.0.bell
    }

    pub(super) fn last_behind(&self) -> Uuid {
        self.state().last_behind
    }

    pub(super) fn note_behind(&self, webhook: Uuid) {
        self.state().last_behind = webhook;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what is under way: what is over is recorded, and everything else falls free, to be sent again.
    pub(super) async fn finish(&self, app: &App) -> anyhow::Result<()> {
        let mut tasks = std::mem::take(&mut self.state().tasks);
        tasks.shutdown().await;
        let (ended, held) = {
            let state = self.state();
            let held: Vec<Held> = state.under_way.keys().copied().collect();
            (state.ended.clone(), held)
        };
        if held.is_empty() && ended.is_empty() {
            return Ok(());
        }
        let now_us = app.clock.process_us();
        let mut tx = app.db.begin().await?;
        attempts::record(&mut tx, &ended, now_us, now_us - FAILING_FOR_US).await?;
        lanes::release(&mut tx, &held, now_us).await?;
        tx.commit().await?;
        Ok(())
    }
}

pub(super) async fn round<B: BankConnection>(shift: Shift<B>, desk: Desk) -> anyhow::Result<Round> {
    let app = &shift.app;
    let ended = desk.state().ended.clone();
    let now_us = app.clock.process_us();
    if ended.is_empty() {
        let mut tx = app.db.begin_read().await?;
        let is_full = UNDER_WAY_MAX <= desk.state().under_way.len();
        if is_full || !lanes::is_any_due(&mut tx, now_us).await? {
            return Ok(Round::Idle);
        }
    }
    let (disabled, taken) = record_and_take(app, &desk, &ended, now_us).await.context("webhooks")?;
    for webhook_id in disabled {
        tracing::warn!(%webhook_id, "a webhook was disabled: it is gone, or has failed for days");
        app.metrics.webhooks.disabled.increment(1);
    }
    let is_idle = ended.is_empty() && taken.is_empty();
    for delivery in taken {
        send(app, &desk, delivery);
    }
    Ok(if is_idle { Round::Idle } else { Round::Worked })
}

/// One transaction for both. What ended is forgotten, and what was taken noted, once it is committed.
async fn record_and_take(
    app: &App,
    desk: &Desk,
    ended: &[Attempt],
    now_us: i64,
) -> anyhow::Result<(Vec<WebhookId>, Vec<Taken>)> {
    let mut tx = app.db.begin().await?;
    let disabled = attempts::record(&mut tx, ended, now_us, now_us - FAILING_FOR_US).await?;
    // Nobody else gives places away: they are noted when it is certain that the lanes are ours.
    let mut places = Places::without(&desk.state(), ended);
    let (full, taking) = (places.full(), clock::new_id());
    let mut taken = Vec::new();
    // Who fails comes last, or many of them would hide everybody else.
    for failing in [false, true] {
        let take = Take {
            taking,
            now_us,
            until_us: now_us + CLAIM_US,
            candidates: CANDIDATES_MAX,
            of_one: i64::try_from(OF_ONE_MAX)?,
            failing,
        };
        taken.extend(lanes::take(&mut tx, &full, take, |candidate| places.admit(candidate)).await?);
    }
    tx.commit().await?;
    let mut state = desk.state();
    // Attempts are recorded in the order in which they ended: what came since stands behind.
    for attempt in state.ended.drain(..ended.len()).collect::<Vec<_>>() {
        state.under_way.remove(&attempt.held);
    }
    for delivery in &taken {
        state.under_way.insert(delivery.held, Flight { is_failing: delivery.is_failing });
    }
    Ok((disabled, taken))
}

/// Sends a delivery beside the rounds.
fn send(app: &App, desk: &Desk, delivery: Taken) {
    let (working, waiting, app) = (desk.clone(), desk.clone(), app.clone());
    let mut state = desk.state();
    while state.tasks.try_join_next().is_some() {}
    state.tasks.spawn(async move {
        let Taken { held, delivery_id, step, is_failing: was_failing, .. } = delivery;
        let url = delivery.url.clone();
        let (started_us, started) = (app.clock.process_us(), Stopwatch::start());
        let sent = attempt(&app, &working.0.courier, delivery).await;
        let elapsed = started.elapsed();
        app.metrics.webhooks.attempted(sent.outcome, elapsed);
        let verdict = verdict(&app, &sent, step);
        if verdict == Verdict::GivenUp {
            app.metrics.webhooks.given_up.increment(1);
        }
        tracing::debug!(webhook_id = %held.webhook_id, %delivery_id, outcome = sent.outcome.name(), "a webhook was tried");
        waiting.state().ended.push(Attempt {
            id: clock::new_id(),
            held,
            delivery_id,
            url,
            outcome: sent.outcome,
            status_code: sent.status_code.map(i64::from),
            detail: sent.detail,
            started_us,
            duration_us: i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX),
            verdict,
            was_failing,
        });
        waiting.bell().ring();
    });
}

/// Signs and sends it.
async fn attempt(app: &App, courier: &Courier, delivery: Taken) -> Sent {
    let Taken { held, delivery_id, url, secret, previous, body, .. } = delivery;
    let open = |sealed| Secret::open(&app.vault, held.webhook_id, sealed);
    let secrets = match std::iter::once(&secret).chain(&previous).map(open).collect::<Result<Vec<_>, _>>() {
        Ok(secrets) => secrets,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, webhook_id = %held.webhook_id, "the secrets of a webhook cannot be opened");
            return Sent::failed(Outcome::Unreachable, "its secret cannot be opened here");
        }
    };
    let (id, timestamp) = (delivery_id.to_string(), app.clock.process_us() / SECOND_US);
    let signatures = signatures(&secrets, &id, timestamp, &body);
    courier.send(Letter { url: &url, id, timestamp, signatures, body }).await
}

/// What follows from an attempt that was made after `step` others.
fn verdict(app: &App, sent: &Sent, step: i64) -> Verdict {
    if sent.outcome == Outcome::Delivered {
        return Verdict::Delivered;
    }
    if sent.is_gone() {
        return Verdict::Gone;
    }
    match pause_us(step + 1, clock::spread(), sent.asked_us) {
        Some(pause_us) => Verdict::Again { due_us: app.clock.process_us() + pause_us },
        None => Verdict::GivenUp,
    }
}

/// How often it is looked whether something has fallen due.
pub(super) const PAUSE: Duration = Duration::from_millis(250);
