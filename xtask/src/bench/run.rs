//! One run: load, then the wait until every payment is final.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::process::{ChildStdout, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Bench;
use super::load::{Message, Order, Payer, Tally};
use super::world::Tenancy;
use crate::api::Api;
use crate::guard::{self, Guarded};

/// How long payments may take to become final after the last request.
const SETTLE_PATIENCE: Duration = Duration::from_secs(300);

/// What one run showed.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Run {
    pub(super) accepted_per_s: u64,
    /// Payments over the time from the first request to the moment when the last one was final.
    pub(super) settled_per_s: u64,
    /// The time from the first request to that moment.
    settled_after_ms: u64,
    pub(super) load: Tally,
}

pub(super) async fn measure(bench: &Bench<'_>, url: &str, world: &[Tenancy], number: usize) -> Result<Run> {
    let progress = ProgressBar::new(bench.plan.seconds)
        .with_style(ProgressStyle::with_template("{prefix:14} {msg:10} {bar:30} {elapsed}")?)
        .with_prefix(format!("{} {number}/{}", bench.label, bench.plan.runs));
    let (load, started) = send_load(bench, url, world, &progress)?;
    progress.set_message("settling");
    wait_until_final(&Api::new(url)?, world).await?;
    let settled_after_us = u64::try_from(started.elapsed().as_micros())?;
    progress.finish_with_message("done");
    Ok(Run {
        accepted_per_s: per_second(load.accepted, load.elapsed_us),
        settled_per_s: per_second(load.accepted, settled_after_us),
        settled_after_ms: settled_after_us / 1000,
        load,
    })
}

fn send_load(bench: &Bench<'_>, url: &str, world: &[Tenancy], progress: &ProgressBar) -> Result<(Tally, Instant)> {
    let payer = |tenancy: &Tenancy| Payer { token: tenancy.renter.token.clone(), lease_id: tenancy.lease_id.clone() };
    let order = Order {
        host: url.trim_start_matches("http://").to_owned(),
        connections: bench.plan.connections,
        seconds: bench.plan.seconds,
        payers: world.iter().map(payer).collect(),
    };
    let path = bench.home.join("order.json");
    fs::write(&path, serde_json::to_vec(&order)?)?;
    let mut command = guard::command(&[])?;
    command.arg(bench.generator).arg("bench-load").arg(&path).stdout(Stdio::piped());
    let mut generator = Guarded::spawn(command)?;
    let mut lines = BufReader::new(generator.stdout().context("the load generator has no output")?).lines();
    let Some(Message::Started) = next_message(&mut lines)? else { bail!("the load generator did not start") };
    let started = Instant::now();
    progress.set_message("load");
    progress.enable_steady_tick(Duration::from_millis(200));
    let Some(Message::Finished(tally)) = next_message(&mut lines)? else { bail!("the load generator broke off") };
    progress.set_position(bench.plan.seconds);
    ensure!(0 < tally.accepted, "no payment was accepted: {:?}", tally.refused);
    Ok((tally, started))
}

fn next_message(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<Option<Message>> {
    lines.next().map(|line| Ok(serde_json::from_str(&line?)?)).transpose()
}

/// Asks lease by lease: nothing more comes in, so a lease without an open payment stays without one.
async fn wait_until_final(api: &Api, world: &[Tenancy]) -> Result<()> {
    let deadline = Instant::now() + SETTLE_PATIENCE;
    for tenancy in world {
        // In this order: an open payment can move from the first to the second between the two questions.
        for status in ["PENDING", "PROCESSING"] {
            while has_payment(api, tenancy, status).await? {
                ensure!(Instant::now() < deadline, "payments are still {status} long after the load");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    Ok(())
}

async fn has_payment(api: &Api, tenancy: &Tenancy, status: &str) -> Result<bool> {
    let path = format!("/payments/lease/{}?status={status}&limit=1", tenancy.lease_id);
    let page = api.get(&tenancy.renter, &path).await?;
    let data = page.get("data").and_then(|data| data.as_array()).context("a list without `data`")?;
    Ok(!data.is_empty())
}

fn per_second(count: u64, micros: u64) -> u64 {
    count.saturating_mul(1_000_000) / micros.max(1)
}
