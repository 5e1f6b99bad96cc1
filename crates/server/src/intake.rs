//! The group commit of new payments.
//!
//! New payments do not each pay for a flush to the disk of their own. Whatever has queued up is judged and written in one
//! transaction, and everybody is answered after its commit. Nobody waits for a batch to fill: an idle system commits a
//! single payment at once. The queue is bounded: who does not fit is sent away at once rather than late.

use std::sync::Arc;

use directpay_domain::id::PaymentId;
use directpay_store::payments::{self, Fresh, Initiated, Outcome};
use directpay_store::{Db, StoreError};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::app::Bell;
use crate::remembered::Remembered;

/// Requests waiting at most; at ten thousand a second they wait for a fifth of a second.
const QUEUE_MAX: usize = 2048;
/// Transactions at the same time on a database that lets more than one write.
const SHARED_WRITERS: usize = 2;

/// Where new payments go in. Clones lead to the same queue.
#[derive(Clone)]
pub struct Intake {
    queue: mpsc::Sender<Waiting>,
}

struct Waiting {
    fresh: Fresh,
    answer: oneshot::Sender<Result<Outcome, IntakeError>>,
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

/// The writers behind an intake; they end when the last intake is gone and all that waited is answered.
pub struct Writers(Vec<JoinHandle<()>>);

impl Writers {
    /// Waits until everything accepted is answered.
    pub async fn finish(self) {
        for writer in self.0 {
            if let Err(error) = writer.await {
                tracing::error!(%error, "an intake writer ended badly");
            }
        }
    }
}

impl Intake {
    /// Starts the writers; they ring `bell` whenever there is something new for the workers, who find it `remembered`.
    pub fn start(db: &Db, bell: &Bell, remembered: &Remembered, batch_max: usize) -> (Intake, Writers) {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        let count = if db.is_shared() { SHARED_WRITERS } else { 1 };
        let writers = (0..count)
            .map(|_| Writer {
                db: db.clone(),
                waiting: Arc::clone(&waiting),
                bell: bell.clone(),
                remembered: remembered.clone(),
                batch_max,
            })
            .map(|writer| tokio::spawn(writer.write()))
            .collect();
        (Intake { queue }, Writers(writers))
    }

    /// Hands a request in and waits for its outcome.
    pub async fn submit(&self, fresh: Fresh) -> Result<Outcome, IntakeError> {
        let (answer, outcome) = oneshot::channel();
        self.queue.try_send(Waiting { fresh, answer }).map_err(|_| IntakeError::Full)?;
        outcome.await.map_err(|_| IntakeError::Failed)?
    }
}

/// Takes what is waiting and writes it, batch after batch.
struct Writer {
    db: Db,
    waiting: Arc<Mutex<mpsc::Receiver<Waiting>>>,
    bell: Bell,
    remembered: Remembered,
    batch_max: usize,
}

impl Writer {
    async fn write(self) {
        let mut batch = Vec::with_capacity(self.batch_max);
        loop {
            let taken = self.waiting.lock().await.recv_many(&mut batch, self.batch_max).await;
            if taken == 0 {
                return;
            }
            let (fresh, answers): (Vec<_>, Vec<_>) = batch.drain(..).map(|one| (one.fresh, one.answer)).unzip();
            // A task of its own, so that a panic costs one batch and not the writer.
            let count = fresh.len();
            let judged = self.db.spawn(initiate_all(self.db.clone(), fresh)).await;
            let outcomes = judged.unwrap_or_else(|error| {
                tracing::error!(%error, "a batch panicked");
                vec![Err(IntakeError::Failed); count]
            });
            for outcome in &outcomes {
                if let Ok(Outcome::Initiated(Initiated { payment, replayed: false })) = outcome {
                    self.remembered.keep(payment);
                }
            }
            self.bell.ring();
            for (answer, outcome) in answers.into_iter().zip(outcomes) {
                // Who has gone away in the meantime will ask again with the same key.
                let _gone = answer.send(outcome);
            }
        }
    }
}

/// One transaction for all; if the database refuses it, one for each, so that nobody suffers for a neighbour.
async fn initiate_all(db: Db, fresh: Vec<Fresh>) -> Vec<Result<Outcome, IntakeError>> {
    match initiate(&db, &fresh).await {
        Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
        Err(error) if fresh.len() == 1 || error.is_unreachable() => {
            log(&error, fresh[0].payment_id);
            vec![Err(IntakeError::Failed); fresh.len()]
        }
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a batch failed; its payments are tried one by one"
            );
            let mut outcomes = Vec::with_capacity(fresh.len());
            for one in &fresh {
                let outcome = initiate(&db, std::slice::from_ref(one)).await;
                outcomes.push(match outcome.map(|mut only| only.pop()) {
                    Ok(Some(outcome)) => Ok(outcome),
                    Ok(None) => Err(IntakeError::Failed),
                    Err(error) => {
                        log(&error, one.payment_id);
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

fn log(error: &StoreError, payment_id: PaymentId) {
    tracing::error!(error = error as &dyn std::error::Error, %payment_id, "a payment could not be stored");
}

async fn initiate(db: &Db, fresh: &[Fresh]) -> Result<Vec<Outcome>, StoreError> {
    let mut tx = db.begin().await?;
    let outcomes = payments::initiate(&mut tx, fresh).await?;
    tx.commit().await?;
    Ok(outcomes)
}
