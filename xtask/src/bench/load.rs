//! The load generator: a process of its own, so that it takes no time from the server's threads unseen.
//!
//! A closed loop: each connection sends its next request when it has the answer to the last one.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::task::{JoinSet, LocalSet};
use uuid::Uuid;

use super::http::{Connection, Post};

/// One request in so many repeats the one before it: two in a hundred.
const REPLAY_EVERY: u64 = 50;

const PAYMENTS: &str = "/api/v1/payments/";

/// What the hidden subcommand is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The file with the order.
    order: PathBuf,
}

/// What is to be sent, and for how long.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// Host and port.
    pub(super) host: String,
    pub(super) connections: usize,
    pub(super) seconds: u64,
    pub(super) payers: Vec<Payer>,
}

/// Somebody who pays, and on which lease.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Payer {
    pub(super) token: String,
    pub(super) lease_id: String,
}

/// A line that the generator prints.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// All connections are open; the first request goes out now.
    Started,
    Finished(Tally),
}

/// What came back.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(super) struct Tally {
    /// New payments.
    pub(super) accepted: u64,
    pub(super) replayed: u64,
    /// Every other status, and how often.
    pub(super) refused: BTreeMap<u16, u64>,
    /// From the first request to the last answer.
    pub(super) elapsed_us: u64,
    pub(super) latency_p50_us: u64,
    pub(super) latency_p99_us: u64,
}

/// What one connection saw.
struct Seen {
    tally: Tally,
    latencies_us: Histogram<u64>,
}

/// The hidden subcommand: the generator itself.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let order: Order = serde_json::from_slice(&fs::read(&arguments.order)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tally = LocalSet::new().block_on(&runtime, send(order))?;
    print(&Message::Finished(tally))?;
    Ok(ExitCode::SUCCESS)
}

async fn send(order: Order) -> Result<Tally> {
    let mut connections = Vec::new();
    for _ in 0..order.connections {
        connections.push(Connection::open(&order.host).await?);
    }
    print(&Message::Started)?;
    let started = Instant::now();
    let deadline = started + Duration::from_secs(order.seconds);
    let order = Rc::new(order);
    let mut tasks = JoinSet::new();
    for (index, connection) in connections.into_iter().enumerate() {
        tasks.spawn_local(pay_until(deadline, connection, Rc::clone(&order), index));
    }
    let mut all = new_seen()?;
    while let Some(seen) = tasks.join_next().await {
        add(&mut all, &seen??)?;
    }
    all.tally.elapsed_us = micros(started.elapsed());
    all.tally.latency_p50_us = all.latencies_us.value_at_quantile(0.5);
    all.tally.latency_p99_us = all.latencies_us.value_at_quantile(0.99);
    Ok(all.tally)
}

async fn pay_until(deadline: Instant, mut connection: Connection, order: Rc<Order>, index: usize) -> Result<Seen> {
    let payer = order.payers.get(index % order.payers.len().max(1)).context("nobody pays")?;
    let body = format!(r#"{{"lease_id":"{}","amount":"1500.00"}}"#, payer.lease_id);
    let mut seen = new_seen()?;
    let mut key = String::new();
    for number in 0u64.. {
        // The first is never a replay: there is nothing to repeat.
        if number % REPLAY_EVERY != REPLAY_EVERY - 1 {
            key = Uuid::new_v4().simple().to_string();
        }
        let sent = Instant::now();
        if deadline <= sent {
            break;
        }
        let post = Post { path: PAYMENTS, host: &order.host, token: &payer.token, idempotency_key: &key, body: &body };
        match connection.post(&post).await? {
            201 => seen.tally.accepted += 1,
            200 => seen.tally.replayed += 1,
            other => *seen.tally.refused.entry(other).or_default() += 1,
        }
        seen.latencies_us.record(micros(sent.elapsed()))?;
    }
    Ok(seen)
}

fn new_seen() -> Result<Seen> {
    Ok(Seen { tally: Tally::default(), latencies_us: Histogram::new(3)? })
}

fn add(all: &mut Seen, seen: &Seen) -> Result<()> {
    all.tally.accepted += seen.tally.accepted;
    all.tally.replayed += seen.tally.replayed;
    for (status, count) in &seen.tally.refused {
        *all.tally.refused.entry(*status).or_default() += count;
    }
    Ok(all.latencies_us.add(&seen.latencies_us)?)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn print(message: &Message) -> Result<()> {
    println!("{}", serde_json::to_string(message)?);
    Ok(())
}
