//! Histories that are read while others pay, in an open loop of their own.
//!
//! The readers share out the reads beforehand, so a reader whose answer is late is late with its next one too: that time
//! counts, as it does for payments.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::http::Connection;
use super::open::Schedule;
use super::till::Counter;
use super::{Order, micros};

/// Connections: enough that one is rarely still busy when its next read is due.
const READERS: u64 = 32;

/// From the first payment to the first read: there must be something to read.
const HEAD_START: Duration = Duration::from_millis(500);

/// A connection and which reads are its own.
pub(super) struct Reader {
    connection: Connection,
    order: Rc<Order>,
    counter: Rc<Counter>,
    first: u64,
}

/// As many as the order needs: none, where nothing is read.
pub(super) async fn open(order: &Rc<Order>, counter: &Rc<Counter>) -> Result<Vec<Reader>> {
    let mut readers = Vec::new();
    for (first, host) in (0..READERS.min(order.reads_per_s)).zip(order.hosts.iter().cycle()) {
        let connection = Connection::open(host).await?;
        readers.push(Reader { connection, order: Rc::clone(order), counter: Rc::clone(counter), first });
    }
    Ok(readers)
}

/// Reads until the payments end.
pub(super) async fn run(readers: Vec<Reader>, started: Instant) -> Result<()> {
    let (mut tasks, step) = (JoinSet::new(), readers.len());
    for reader in readers {
        tasks.spawn_local(reader.read_in_turn(started + HEAD_START, step));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

impl Reader {
    /// Every so many reads are its own, from its first on.
    async fn read_in_turn(mut self, started: Instant, step: usize) -> Result<()> {
        let length = Duration::from_secs(self.order.seconds).saturating_sub(HEAD_START);
        let per_second = self.order.reads_per_s;
        let schedule = Schedule { started, per_second, total: per_second * micros(length) / 1_000_000 };
        for (turn, number) in (self.first..schedule.total).step_by(step).enumerate() {
            let due = schedule.due_at(number);
            tokio::time::sleep_until(due.into()).await;
            self.read(turn).await?;
            self.counter.enter_read(micros(due.elapsed()));
        }
        Ok(())
    }

    /// Reads the history of any payment: every other time as who paid it, else as who was paid.
    async fn read(&mut self, turn: usize) -> Result<()> {
        let payment = self.counter.draw_accepted().context("there is no payment to read about")?;
        let payer = self.order.payers.get(payment.payer).context("a payment of nobody's")?;
        let token = if turn.is_multiple_of(2) { &payer.token } else { &payer.landlord_token };
        self.connection.get(&format!("{}/history", payment.location), token).await
    }
}
