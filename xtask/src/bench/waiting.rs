//! A crowd of payments that wait at a slow bank: what waiting costs, and how late they settle.
//!
//! Standard ACH takes 120 to 180 seconds in simulation, times a scale. In that time all are accepted and handed over, and
//! then it is looked for a while at a server that has nothing to do.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::crew::Crew;
use super::generator::Sent;
use super::world::{Tenancy, World};
use super::{settling, usage};
use crate::api::Api;

/// How long the idle server is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// The longest page of a list.
const LIMIT: usize = 100;

const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;

/// How many wait, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowd {
    pub(super) payments: u64,
    /// As DirectPay reads it.
    pub(super) scale: &'static str,
    /// Before this much time nothing settles: 120 seconds at that scale.
    pub(super) shortest: Duration,
    /// All have settled soon after this much time: 180 seconds at that scale.
    pub(super) longest: Duration,
}

impl Crowd {
    pub(super) const LARGE: Crowd =
        Crowd { payments: 100_000, scale: "1", shortest: Duration::from_secs(120), longest: Duration::from_secs(180) };

    pub(super) const SMALL: Crowd =
        Crowd { payments: 5000, scale: "0.2", shortest: Duration::from_secs(24), longest: Duration::from_secs(36) };
}

/// What waiting came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Waited {
    pub(super) payments: u64,
    /// Nothing, if the first payments settled before they could be looked at.
    pub(super) idle: Option<Idle>,
    /// The longest time from when a payment should have settled until it did.
    pub(super) late_us: u64,
}

/// What the server took while all were waiting.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Idle {
    /// Processor time each second.
    pub(super) processor_us: u64,
    pub(super) threads: u64,
    pub(super) memory_kib: u64,
}

/// Waits with the crowd that was `sent` until all have settled. They have ids after `since`: ids are in the order of time.
pub(super) async fn wait(crew: &Crew, world: &World, crowd: Crowd, sent: &Sent, since: Uuid) -> Result<Waited> {
    let api = Api::new(crew.url()?)?;
    settling::handed_over(&api, world).await?;
    let last_settles = Instant::now() + crowd.longest;
    let idle = look(crew).await?;
    let in_time = Instant::now() < sent.started + crowd.shortest;
    // Nobody asks meanwhile: asking is work.
    tokio::time::sleep_until(last_settles.into()).await;
    settling::check(&api, world).await?;
    let late_us = latest_us(&api, world, since).await?;
    Ok(Waited { payments: sent.finish.tally.accepted, idle: in_time.then_some(idle), late_us })
}

async fn look(crew: &Crew) -> Result<Idle> {
    let before_us = crew.processor_us()?;
    tokio::time::sleep(LOOK).await;
    let processor_us = (crew.processor_us()? - before_us) / LOOK.as_secs();
    let id = crew.first_id()?;
    Ok(Idle { processor_us, threads: usage::threads(id)?, memory_kib: usage::resident_kib(id)? })
}

async fn latest_us(api: &Api, world: &World, since: Uuid) -> Result<u64> {
    let mut latest = 0;
    for tenancy in &world.tenancies {
        latest = latest.max(latest_of_lease_us(api, tenancy, &since.to_string()).await?);
    }
    Ok(latest)
}

async fn latest_of_lease_us(api: &Api, tenancy: &Tenancy, since: &str) -> Result<u64> {
    let first = format!("/payments/lease/{}?limit={LIMIT}", tenancy.lease_id);
    let (mut path, mut latest) = (first.clone(), 0);
    loop {
        let list = api.get(&tenancy.renter, &path).await?;
        for payment in list.get("data").and_then(Value::as_array).context("a list without `data`")? {
            if text(payment, "id")? <= since {
                return Ok(latest);
            }
            let late_us = late_us(text(payment, "estimated_settlement_at")?, text(payment, "completed_at")?);
            latest = latest.max(late_us.context("a time that is none")?);
        }
        let Some(cursor) = list.get("next_cursor").and_then(Value::as_str) else { return Ok(latest) };
        path = format!("{first}&cursor={cursor}");
    }
}

fn text<'v>(payment: &'v Value, field: &str) -> Result<&'v str> {
    payment.get(field).and_then(Value::as_str).with_context(|| format!("a payment without `{field}`"))
}

/// By how much the second time is after the first; zero, if it is not. They are less than half a day apart.
fn late_us(due: &str, done: &str) -> Option<u64> {
    let difference = (time_of_day_us(done)? - time_of_day_us(due)?).rem_euclid(DAY_US);
    let late = if DAY_US / 2 < difference { 0 } else { difference };
    u64::try_from(late).ok()
}

/// Of a time such as `2026-03-01T12:00:00.25Z`.
fn time_of_day_us(text: &str) -> Option<i64> {
    let (_, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut seconds = 0;
    for part in whole.split(':') {
        seconds = seconds * 60 + part.parse::<i64>().ok()?;
    }
    Some(seconds * 1_000_000 + format!("{fraction:0<6}").parse::<i64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::late_us;

    #[test]
    fn late_is_what_is_done_after_it_was_due() {
        assert_eq!(late_us("2026-03-01T12:00:59.9Z", "2026-03-01T12:01:00.25Z"), Some(350_000));
        assert_eq!(late_us("2026-03-01T23:59:59Z", "2026-03-02T00:00:00.000001Z"), Some(1_000_001));
        assert_eq!(late_us("2026-03-01T12:00:01Z", "2026-03-01T12:00:00Z"), Some(0));
        assert_eq!(late_us("2026-03-01", "2026-03-01T12:00:00Z"), None);
    }
}
