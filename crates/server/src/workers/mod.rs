//! What happens without a caller: payments are handed to the bank, its answers recorded, the house kept.
//!
//! Each worker goes round: take what is due, do it, wait for the bell or for the next due time. A worker that dies loses
//! nothing: what it had taken falls free and another takes it.

mod calendar;
mod checkpoint;
mod deliver;
mod feed;
mod hand_over;
mod housekeeping;
mod mail;
mod settle;
mod submit;
pub(crate) mod tell;

pub use checkpoint::{checkpoint, log_word};

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use directpay_domain::id::PaymentId;
use directpay_store::StoreError;
use directpay_store::payments::Verdict;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument;
use uuid::Uuid;

use self::deliver::Desk;
use crate::app::{App, Bell};
use crate::bank::BankConnection;
use crate::clock;
use crate::metrics::recorded::Rounds;
use crate::webhooks::courier::{Courier, system_lookup};

/// How long an idle worker sleeps at most before it looks by itself, for work that falls due.
const POLL: Duration = Duration::from_millis(500);
/// The same for the submit worker that joins another one when it is called.
const BESIDE_POLL: Duration = Duration::from_secs(15);
/// How long a round may take.
const SLOW_ROUND: Duration = Duration::from_secs(30);
/// How long a worker waits after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The running workers.
pub struct Workers {
    stop: watch::Sender<bool>,
    handles: Vec<JoinHandle<()>>,
    app: App,
    claimants: Vec<Uuid>,
    desk: Option<Desk>,
}

/// What a worker finds when it has gone round once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// There was work; there may be more.
    Worked,
    /// There was none.
    Idle,
}

/// What each worker is given.
struct Shift<B> {
    app: App,
    bank: Arc<B>,
    /// This worker's name on its claims.
    claimant: Uuid,
    /// Rings when there is as much work as one takes at a time, and probably more.
    crowd_bell: Bell,
}

impl<B> Clone for Shift<B> {
    fn clone(&self) -> Shift<B> {
        Shift {
            app: self.app.clone(),
            bank: Arc::clone(&self.bank),
            claimant: self.claimant,
            crowd_bell: self.crowd_bell.clone(),
        }
    }
}

impl Workers {
    /// Starts them all.
    pub fn start<B: BankConnection>(app: &App, bank: B) -> Workers {
        let (stop, stopping) = watch::channel(false);
        let shift =
            Shift { app: app.clone(), bank: Arc::new(bank), claimant: clock::new_id(), crowd_bell: Bell::default() };
        let (work, bank) = (Pause::bell(&app.bell), Pause::bell(&app.bank_bell));
        let day = Pause::bell(&app.calendar_bell);
        let signing = Pause { bell: Bell::default(), longest: checkpoint::PAUSE };
        let house = Pause { bell: Bell::default(), longest: housekeeping::PAUSE };
        let post = Pause { bell: app.mail.bell.clone(), longest: mail::PAUSE };
        let mut claimants = vec![shift.claimant];
        let mut handles = vec![
            go_round("submit", &shift, &stopping, work, submit::round),
            go_round("settle", &shift, &stopping, bank, settle::round),
            go_round("calendar", &shift, &stopping, day, calendar::round),
            go_round("checkpoint", &shift, &stopping, signing, checkpoint::round),
            go_round("housekeeping", &shift, &stopping, house, housekeeping::round),
            go_round("mail", &shift, &stopping, post, mail::round),
            tokio::spawn(ring_for_others(app.clone(), stopping.clone())),
        ];
        if app.db.is_shared() {
            // While the first waits for the bank or the disk. Under a name of its own: neither may speak for the other's claims.
            let beside = Shift { claimant: clock::new_id(), ..shift.clone() };
            let crowd = Pause { bell: shift.crowd_bell.clone(), longest: BESIDE_POLL };
            handles.push(go_round("submit beside", &beside, &stopping, crowd, submit::round_beside));
            claimants.push(beside.claimant);
            // On SQLite events have their positions from the beginning.
            let pause = Pause { bell: Bell::default(), longest: feed::PAUSE };
            handles.push(go_round("feed", &shift, &stopping, pause, feed::round));
        }
        let desk = desk(app);
        if let Some(desk) = &desk {
            let (telling, sending) = (desk.clone(), desk.clone());
            let pause = Pause { bell: Bell::default(), longest: tell::PAUSE };
            let tell = move |shift| tell::round(shift, telling.clone());
            handles.push(go_round("webhooks tell", &shift, &stopping, pause, tell));
            let pause = Pause { bell: desk.bell().clone(), longest: deliver::PAUSE };
            let deliver = move |shift| deliver::round(shift, sending.clone());
            handles.push(go_round("webhooks deliver", &shift, &stopping, pause, deliver));
        }
        Workers { stop, handles, app: app.clone(), claimants, desk }
    }

    /// Lets every worker finish its round, and lets go of what was claimed and not done.
    pub async fn finish(self) {
        let _nobody_left = self.stop.send(true);
        for handle in self.handles {
            if let Err(error) = handle.await {
                tracing::error!(%error, "a worker ended badly");
            }
        }
        if let Some(desk) = self.desk
            && let Err(error) = desk.finish(&self.app).await
        {
            tracing::warn!(error = format!("{error:#}"), "what was on its way to webhooks is sent again in a minute");
        }
        for claimant in self.claimants {
            if let Err(error) = submit::release(&self.app, claimant).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "claims were not released; they expire by themselves"
                );
            }
        }
    }
}

/// From where webhooks are sent. A machine that knows no certificate authorities can send none, and does all other work.
fn desk(app: &App) -> Option<Desk> {
    match Courier::new(app.webhook_allow.clone(), &system_lookup()) {
        Ok(courier) => Some(Desk::new(courier)),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "no webhook is sent by this process");
            None
        }
    }
}

/// Rings the bell when another process announces work. Without it work is found by polling, only later.
async fn ring_for_others(app: App, mut stopping: watch::Receiver<bool>) {
    while !*stopping.borrow() {
        let ringing = async {
            let mut listener = app.db.listen_for_work().await?;
            loop {
                listener.heard().await?;
                app.bell.ring();
            }
        };
        let ended: Result<(), StoreError> = tokio::select! {
            ended = ringing => ended,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        if let Err(error) = ended {
            tracing::warn!(error = &error as &dyn std::error::Error, "announcements of work are not heard");
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }
}

/// How a worker waits when there is nothing to do.
struct Pause {
    bell: Bell,
    longest: Duration,
}

impl Pause {
    fn bell(bell: &Bell) -> Pause {
        Pause { bell: bell.clone(), longest: POLL }
    }

    async fn wait(&self) {
        let _rang = tokio::time::timeout(self.longest, self.bell.wait()).await;
    }

    /// A worker that is silent for longer than this is stuck, even in a slow round.
    fn silence_max_us(&self) -> i64 {
        let silence = self.longest + SLOW_ROUND;
        i64::try_from(silence.as_micros()).unwrap_or(i64::MAX)
    }
}

/// Starts a worker that goes round until it is stopped. A round that fails or panics is logged, and the worker goes on.
fn go_round<B: BankConnection, R: Future<Output = anyhow::Result<Round>> + Send + 'static>(
    name: &'static str,
    shift: &Shift<B>,
    stopping: &watch::Receiver<bool>,
    pause: Pause,
    round: impl Fn(Shift<B>) -> R + Send + 'static,
) -> JoinHandle<()> {
    let (shift, mut stopping) = (shift.clone(), stopping.clone());
    let beat = shift.app.pulse.begin(name, shift.app.clock.process_us(), pause.silence_max_us());
    let rounds = Rounds::of(shift.app.metrics.registry(), name);
    let work = async move {
        while !*stopping.borrow() {
            beat.at(shift.app.clock.process_us());
            // A task of its own, so that a panic ends the round and not the worker.
            match shift.app.db.spawn(round(shift.clone()).in_current_span()).await {
                Ok(Ok(Round::Worked)) => rounds.worked.increment(1),
                Ok(Ok(Round::Idle)) => {
                    rounds.idle.increment(1);
                    tokio::select! {
                        () = pause.wait() => {}
                        _ = stopping.wait_for(|stop| *stop) => {}
                    }
                }
                Ok(Err(error)) => {
                    rounds.failed.increment(1);
                    tracing::error!(error = format!("{error:#}"), "a round failed");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
                Err(error) => {
                    rounds.panicked.increment(1);
                    tracing::error!(%error, "a round panicked");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    };
    // Of the highest level, so that it is there for every line, whatever is filtered.
    tokio::spawn(work.instrument(tracing::error_span!("worker", worker = name)))
}

/// Says loudly what the bank tells of a payment and cannot be.
fn complain(payment_id: PaymentId, verdict: &Verdict) {
    match verdict {
        Verdict::Holds => {}
        Verdict::Rejected(rejection) => tracing::error!(%payment_id, %rejection, "the bank tells what cannot be"),
        Verdict::Unknown => tracing::error!(%payment_id, "the bank tells of no payment of ours"),
    }
}
