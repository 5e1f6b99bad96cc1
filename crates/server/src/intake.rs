//! The group commit of new payments.
//!
//! New payments do not each pay for a flush to the disk of their own. Whatever has queued up is judged and written in one
//! transaction, and everybody is answered after its commit. Nobody waits for a batch to fill: an idle system commits a
//! single payment at once. The queue is bounded: who does not fit is sent away at once rather than late.

use std::mem;
use std::sync::Arc;

use directpay_domain::id::PaymentId;
use directpay_store::payments::{self, Fresh, HeldPayment, Initiated, Outcome};
use directpay_store::{Db, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{Instrument, Span};

use crate::app::Bell;
use crate::clock::Stopwatch;
use crate::metrics::{Metrics, count};
use crate::remembered::Remembered;
use crate::telemetry::TRACES;

/// Requests waiting at most; at ten thousand a second they wait for a fifth of a second.
const QUEUE_MAX: usize = 2048;
/// Transactions at the same time on a database that lets more than one write.
const SHARED_WRITERS: usize = 2;
/// So many requests are worth a transaction beside another; fewer wait for its end, and share the next one.
const CROWD: usize = 128;

/// Where new payments go in. Clones lead to the same queue.
#[derive(Clone)]
pub struct Intake {
    queue: mpsc::Sender<Waiting>,
    metrics: Metrics,
}

struct Waiting {
    fresh: Fresh,
    asker: Asker,
}

/// Who waits for an outcome.
struct Asker {
    answer: oneshot::Sender<Result<Outcome, IntakeError>>,
    /// The request, for what is logged about it, and for its trace.
    span: Span,
}

/// Why a request was not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// The queue is full, or the service is stopping.
    #[error("more payments are waiting than can be taken now")]
    Full,
    /// The database failed; it is not known whether the payment was stored, and repeating the request is safe.
    #[error("the database failed")]
    Failed,
}

/// What is behind an intake; it ends when the last intake is gone and all that waited is answered.
pub struct Writing(JoinHandle<()>);

impl Writing {
    /// Waits until everything accepted is answered.
    pub async fn finish(self) {
        if let Err(error) = self.0.await {
            tracing::error!(%error, "the intake ended badly");
        }
    }
}

impl Intake {
    /// Starts to write; `bell` is rung whenever there is something new for the workers, who find it `remembered` if there are
    /// any in this process.
    pub fn start(
        db: &Db,
        bell: &Bell,
        remembered: Option<Remembered>,
        batch_max: usize,
        metrics: &Metrics,
    ) -> (Intake, Writing) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let writer = Writer { db: db.clone(), bell: bell.clone(), remembered, metrics: metrics.clone() };
        let at_once = if db.is_shared() { SHARED_WRITERS } else { 1 };
        let writing = Writing(tokio::spawn(write(writer, waiting, batch_max, at_once)));
        (Intake { queue, metrics: metrics.clone() }, writing)
    }

    /// Hands a request in and waits for its outcome.
    pub async fn submit(&self, fresh: Fresh) -> Result<Outcome, IntakeError> {
        let (answer, outcome) = oneshot::channel();
        let asker = Asker { answer, span: Span::current() };
        self.queue.try_send(Waiting { fresh, asker }).map_err(|_| {
            self.metrics.intake.shed.increment(1);
            IntakeError::Full
        })?;
        // Nobody answers a batch that panicked.
        let outcome = outcome.instrument(tracing::debug_span!(target: TRACES, "intake"));
        outcome.await.map_err(|_| IntakeError::Failed)?
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        self.capacity() - self.queue.capacity()
    }

    /// How many may wait.
    pub fn capacity(&self) -> usize {
        self.queue.max_capacity()
    }
}

/// Gathers what is waiting and has it written: at once when nothing is being written, beside it when there is a crowd.
async fn write(writer: Writer, mut waiting: mpsc::Receiver<Waiting>, batch_max: usize, at_once: usize) {
    let (mut batch, mut under_way, mut is_open) = (Vec::with_capacity(batch_max), JoinSet::new(), true);
    loop {
        let is_crowd = CROWD.min(batch_max) <= batch.len();
        if !batch.is_empty() && (under_way.is_empty() || is_crowd && under_way.len() < at_once) {
            let gathered = mem::replace(&mut batch, Vec::with_capacity(batch_max));
            under_way.spawn(writer.db.spawn(writer.clone().write(gathered)));
        }
        let room = batch_max - batch.len();
        tokio::select! {
            taken = waiting.recv_many(&mut batch, room), if is_open && 0 < room => is_open = 0 < taken,
            Some(written) = under_way.join_next() => {
                if let Err(error) = written.flatten() {
                    tracing::error!(%error, "a batch panicked");
                }
            }
            else => return,
        }
    }
}

/// Writes a batch and answers it.
#[derive(Clone)]
struct Writer {
    db: Db,
    bell: Bell,
    remembered: Option<Remembered>,
    metrics: Metrics,
}

impl Writer {
    async fn write(self, batch: Vec<Waiting>) {
        let (fresh, askers): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.fresh, one.asker)).unzip();
        let span = tracing::debug_span!(target: TRACES, parent: None, "batch", payments = fresh.len());
        if !span.is_disabled() {
            askers.iter().for_each(|asker| {
                span.follows_from(&asker.span);
            });
        }
        let outcomes = self.initiate_all(fresh, &askers).instrument(span).await;
        self.bell.ring();
        for (asker, outcome) in askers.into_iter().zip(outcomes) {
            // Who has gone away in the meantime will ask again with the same key.
            let _gone = asker.answer.send(outcome);
        }
    }

    /// One transaction for all; if the database refuses it, one for each, so that nobody suffers for a neighbour.
    async fn initiate_all(&self, fresh: Vec<Fresh>, askers: &[Asker]) -> Vec<Result<Outcome, IntakeError>> {
        match self.initiate(&fresh).await {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(error) if fresh.len() == 1 || error.is_unreachable() => {
                for (one, asker) in fresh.iter().zip(askers) {
                    asker.log(&error, one.payment_id);
                }
                vec![Err(IntakeError::Failed); fresh.len()]
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a batch failed; its payments are tried one by one"
                );
                let mut outcomes = Vec::with_capacity(fresh.len());
                for (one, asker) in fresh.iter().zip(askers) {
                    let outcome = self.initiate(std::slice::from_ref(one)).await;
                    outcomes.push(match outcome.map(|mut only| only.pop()) {
                        Ok(Some(outcome)) => Ok(outcome),
                        Ok(None) => Err(IntakeError::Failed),
                        Err(error) => {
                            asker.log(&error, one.payment_id);
                            // The others would each wait as long for nothing.
                            if error.is_unreachable() {
                                break;
                            }
                            Err(IntakeError::Failed)
                        }
                    });
                }
                outcomes.resize(fresh.len(), Err(IntakeError::Failed));
                outcomes
            }
        }
    }

    async fn initiate(&self, fresh: &[Fresh]) -> Result<Vec<Outcome>, StoreError> {
        let metrics = &self.metrics.intake;
        metrics.batch_payments.record(count(fresh.len()));
        let begun = Stopwatch::start();
        let written = self.write_down(fresh).await;
        metrics.batch_seconds.record(begun.elapsed());
        if written.is_err() {
            metrics.failed_batches.increment(1);
        }
        written
    }

    async fn write_down(&self, fresh: &[Fresh]) -> Result<Vec<Outcome>, StoreError> {
        let mut tx = self.db.begin().await?;
        let outcomes = payments::initiate(&mut tx, fresh).await?;
        if let Some(remembered) = &self.remembered {
            // Before the commit: after it a worker may be here first. It finds them only if they are stored.
            remembered.keep(outcomes.iter().filter_map(new_payment));
        }
        tx.commit().await?;
        Ok(outcomes)
    }
}

fn new_payment(outcome: &Outcome) -> Option<&Arc<HeldPayment>> {
    match outcome {
        Outcome::Initiated(Initiated { payment, replayed: false }) => Some(payment),
        Outcome::Initiated(_) | Outcome::KeyReused(_) | Outcome::Refused(_) => None,
    }
}

impl Asker {
    /// Says why it gets no outcome, among the other lines of its request.
    fn log(&self, error: &StoreError, payment_id: PaymentId) {
        let _of_request = self.span.enter();
        tracing::error!(error = error as &dyn std::error::Error, %payment_id, "a payment could not be stored");
    }
}
