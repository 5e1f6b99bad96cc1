//! When everything that was accepted is final.
//!
//! The moment is found without loading the server: the payments that were accepted last are asked for one by one, by
//! their ids. Then some leases are asked whether they have anything open, which takes the server a look at all of a
//! lease's payments; in the end, when nothing is measured any more, all leases are.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::load::Accepted;
use super::world::{Tenancy, World};
use crate::api::Api;

/// How long payments may take to become final after the last request.
const PATIENCE: Duration = Duration::from_secs(600);

/// Between two questions about the same payment.
const PAUSE: Duration = Duration::from_millis(10);

/// Leases that are asked after each run.
const SAMPLE: usize = 16;

const OPEN: [&str; 2] = ["PENDING", "PROCESSING"];

/// Waits until all payments are final; answers when the last of them was, as closely as could be seen.
pub(super) async fn wait(api: &Api, world: &World, last: &[Accepted]) -> Result<Instant> {
    let deadline = Instant::now() + PATIENCE;
    for accepted in last {
        let tenancy = world.tenancies.get(accepted.payer).context("a payment of nobody's")?;
        while is_open(api, tenancy, accepted).await? {
            pause(deadline).await?;
        }
    }
    let seen_at = Instant::now();
    let step = (world.tenancies.len() / SAMPLE).max(1);
    let waited = wait_for(api, world.tenancies.iter().step_by(step), &OPEN, deadline).await?;
    Ok(waited.unwrap_or(seen_at))
}

/// Fails unless every payment of every lease is final, or becomes it in time.
pub(super) async fn check(api: &Api, world: &World) -> Result<()> {
    wait_for(api, world.tenancies.iter(), &OPEN, Instant::now() + PATIENCE).await.map(drop)
}

/// Waits until the bank has every payment of every lease.
pub(super) async fn handed_over(api: &Api, world: &World) -> Result<()> {
    wait_for(api, world.tenancies.iter(), &["PENDING"], Instant::now() + PATIENCE).await.map(drop)
}

/// Nothing more comes in, so a lease without a payment that is `open` stays without one. Answers when the last was seen to
/// be over, if any was open at all.
async fn wait_for(
    api: &Api,
    leases: impl Iterator<Item = &Tenancy>,
    open: &[&str],
    deadline: Instant,
) -> Result<Option<Instant>> {
    let mut waited = None;
    for tenancy in leases {
        // In this order: an open payment can move from the first to the second between the two questions.
        for status in open {
            while has_payment(api, tenancy, status).await? {
                pause(deadline).await?;
                waited = Some(Instant::now());
            }
        }
    }
    Ok(waited)
}

async fn pause(deadline: Instant) -> Result<()> {
    ensure!(Instant::now() < deadline, "payments are still open long after the load");
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

async fn is_open(api: &Api, tenancy: &Tenancy, accepted: &Accepted) -> Result<bool> {
    let path = accepted.location.strip_prefix("/api/v1").unwrap_or(&accepted.location);
    let payment = api.get(&tenancy.renter, path).await?;
    let status = payment.get("status").and_then(|status| status.as_str()).context("a payment without `status`")?;
    Ok(OPEN.contains(&status))
}

async fn has_payment(api: &Api, tenancy: &Tenancy, status: &str) -> Result<bool> {
    let path = format!("/payments/lease/{}?status={status}&limit=1", tenancy.lease_id);
    let page = api.get(&tenancy.renter, &path).await?;
    let data = page.get("data").and_then(|data| data.as_array()).context("a list without `data`")?;
    Ok(!data.is_empty())
}
