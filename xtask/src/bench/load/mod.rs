//! The load generator: a process of its own, so that it takes no time from the server's threads unseen.
//!
//! It shares the processor with the server that it measures, so it is one thread with no allocation for a request, and
//! says itself how much processor time it took. A closed loop is as quick as the server; an open loop keeps to a rate.

mod book;
mod closed;
mod http;
mod open;
pub(super) mod pages;
mod reading;
pub(super) mod recovery;
mod template;
mod till;

use std::fs;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

pub(super) use book::Tally;
use till::{Counter, Till};

/// How long answers may take to arrive after the last request was due.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the hidden subcommand is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file with the order.
    order: PathBuf,
}

/// What is to be sent, and for how long.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// Hosts and ports: the connections are shared out among them. Each is called by the name of the first.
    pub(super) hosts: Vec<String>,
    pub(super) connections: usize,
    pub(super) seconds: u64,
    pub(super) pace: Pace,
    /// Histories that are read beside the payments, in an open loop of their own.
    pub(super) reads_per_s: u64,
    /// One request in so many repeats the one before it on the same connection; nothing: each is new.
    pub(super) replay_every: Option<NonZeroU64>,
    /// They take turns.
    pub(super) payers: Vec<Payer>,
}

/// When the next request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Pace {
    /// When the connection has the answer to its last one.
    Closed,
    /// The same, and the last one is sent when so many payments were accepted.
    Until { accepted: u64 },
    /// At a constant rate, whatever the server does.
    Open { per_second: u64 },
}

/// Somebody who pays, on which lease, and to whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Payer {
    pub(super) token: String,
    pub(super) landlord_token: String,
    pub(super) lease_id: String,
}

/// A line that the generator prints.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// All connections are open; the first request goes out now.
    Started,
    Finished(Finish),
}

/// How it went.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Finish {
    pub(super) tally: Tally,
    /// The last payments that were accepted, the very last first.
    pub(super) last: Vec<Accepted>,
}

/// One of the payments that were accepted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Accepted {
    /// The place among the payers of who paid it.
    pub(super) payer: usize,
    /// Where it is found on the server.
    pub(super) location: String,
}

/// The hidden subcommand: the generator itself.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let order: Order = serde_json::from_slice(&fs::read(&arguments.order)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let finish = LocalSet::new().block_on(&runtime, send(order))?;
    print(&Message::Finished(finish))?;
    Ok(ExitCode::SUCCESS)
}

async fn send(order: Order) -> Result<Finish> {
    ensure!(!order.payers.is_empty(), "nobody pays");
    let mut tills = Vec::with_capacity(order.connections);
    for (index, host) in order.hosts.iter().cycle().take(order.connections).enumerate() {
        tills.push(Till::open(host, index).await?);
    }
    let order = Rc::new(order);
    let counter = Rc::new(Counter::new(&order)?);
    let readers = reading::open(&order, &counter).await?;
    print(&Message::Started)?;
    let (started, processor) = (Instant::now(), processor_us());
    let length = Duration::from_secs(order.seconds);
    let paying = async {
        match order.pace {
            Pace::Closed => closed::run(tills, &counter, started + length, u64::MAX).await,
            Pace::Until { accepted } => closed::run(tills, &counter, started + length, accepted).await,
            Pace::Open { per_second } => open::run(tills, &counter, started, per_second, order.seconds).await,
        }
    };
    let both = async { tokio::try_join!(paying, reading::run(readers, started)) };
    let (tills, ()) = tokio::time::timeout(length + PATIENCE, both).await.context("answers are missing")??;
    let mut tally = counter.finish();
    tally.elapsed_us = micros(started.elapsed());
    tally.processor_us = processor_us().saturating_sub(processor);
    Ok(Finish { tally, last: till::last_accepted(tills) })
}

/// The processor time that this process took so far.
fn processor_us() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let whole = |number: i64| u64::try_from(number).unwrap_or(0);
    whole(time.tv_sec) * 1_000_000 + whole(time.tv_nsec) / 1000
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn print(message: &Message) -> Result<()> {
    println!("{}", serde_json::to_string(message)?);
    Ok(())
}
