//! One run of one scenario: start, load, wait until all is final, stop, and see what it took.

use std::num::NonZeroU64;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::crew::Crew;
use super::generator::{self, Sent};
use super::load::pages::Pages;
use super::load::{self, Order, Pace, Tally};
use super::scenario::{Load, Scenario, Staff, Work};
use super::site::Site;
use super::waiting::{self, Crowd, Waited};
use super::world::World;
use super::{ceiling, disk, floor, pages, settling, usage};
use crate::api::Api;
use crate::server::Serving;

/// Two in a hundred requests repeat the one before them.
const REPLAY_EVERY: Option<NonZeroU64> = NonZeroU64::new(50);

/// Payments that the floor is measured with, for each second that the other scenarios take.
const FLOOR_PAYMENTS_PER_SECOND: u64 = 10_000;

/// Connections over which a crowd comes to wait.
const CROWD_CONNECTIONS: usize = 256;

/// What all runs on one engine have in common.
pub(super) struct Bench<'b> {
    pub(super) site: &'b Site,
    pub(super) runtime: &'b Runtime,
    /// Ourselves: what sends the load, and the server that does nothing.
    pub(super) xtask: &'b Path,
    /// What writes payments without HTTP.
    pub(super) bulk: Option<&'b Path>,
    pub(super) seconds: u64,
    /// Those who wait at a slow bank.
    pub(super) crowd: Crowd,
}

/// What one run showed.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Run {
    pub(super) accepted_per_s: u64,
    /// Payments over the time from the first request to the moment when the last one was final.
    pub(super) settled_per_s: Option<u64>,
    /// Processor time for each new payment; histories that are read beside them are in it.
    pub(super) server_ns: Option<u64>,
    pub(super) database_ns: Option<u64>,
    pub(super) load_ns: Option<u64>,
    /// What the database grew by for each new payment.
    pub(super) bytes_per_payment: Option<u64>,
    pub(super) server_peak_kib: Option<u64>,
    /// All processes of the database together, at the end of the load.
    pub(super) database_kib: Option<u64>,
    /// In an open loop: the requests that were due each second.
    pub(super) offered_per_s: Option<u64>,
    /// The median time that the disk took to keep 4 KiB, between what it was before and after the run.
    pub(super) flush_us: Option<u64>,
    /// From the end of an overload until a payment was accepted promptly.
    pub(super) recovery_us: Option<u64>,
    /// From the start of the server until it listened.
    pub(super) start_us: Option<u64>,
    /// A list's first page and its hundredth.
    pub(super) pages: Option<Pages>,
    /// Of a crowd of payments at a slow bank.
    pub(super) waited: Option<Waited>,
    pub(super) load: Option<Tally>,
}

/// The processor time that both sides took so far.
struct Processor {
    server_us: u64,
    database_us: Option<u64>,
}

impl Bench<'_> {
    /// Runs `scenario`; `capacity_per_s` is what closed-256 settles, for those that need to know.
    pub(super) fn run(&self, scenario: Scenario, world: &World, capacity_per_s: u64) -> Result<Run> {
        match scenario.work() {
            Work::Ceiling { connections } => self.ceiling(world, connections),
            Work::Floor => self.floor(),
            Work::Payments(load) => {
                let flush_us = || (load.connections == 1).then(|| disk::flush_us(self.site.home())).transpose();
                let pace = load.rate.pace(capacity_per_s);
                let before_us = flush_us()?;
                let run = self.payments(scenario, world, load, pace);
                let run = run.with_context(|| self.site.deployment.log_tail())?;
                let flush_us = before_us.zip(flush_us()?).map(|(before, after)| before.midpoint(after));
                let offered_per_s = match pace {
                    Pace::Closed | Pace::Until { .. } => None,
                    Pace::Open { per_second } => Some(per_second),
                };
                Ok(Run { flush_us, offered_per_s, ..run })
            }
            Work::Waiting => self.waiting(world).with_context(|| self.site.deployment.log_tail()),
        }
    }

    fn ceiling(&self, world: &World, connections: usize) -> Result<Run> {
        let server = ceiling::start(self.xtask)?;
        let hosts = vec![server.url.trim_start_matches("http://").to_owned()];
        let order = Order { replay_every: None, ..self.order(hosts, world, connections, Pace::Closed) };
        let id = usage::child_of(server.guard_id())?;
        let before_us = usage::processor_us(id)?;
        let tally = generator::send(self.xtask, self.site.home(), &order)?.finish.tally;
        let server_us = usage::processor_us(id)? - before_us;
        Ok(Run {
            accepted_per_s: per_second(tally.accepted, tally.elapsed_us),
            server_ns: each(server_us, tally.accepted),
            load_ns: each(tally.processor_us, tally.accepted),
            server_peak_kib: Some(usage::peak_kib(id)?),
            load: Some(tally),
            ..Run::default()
        })
    }

    fn floor(&self) -> Result<Run> {
        let bulk = self.bulk.context("no program to write payments without HTTP")?;
        let (before_us, database_before_us) = (usage::reaped_us()?, self.site.database_processor_us()?);
        let payments = self.seconds * FLOOR_PAYMENTS_PER_SECOND;
        let floor = self.site.with_spare(|url| floor::measure(bulk, url, payments))?;
        let server_us = usage::reaped_us()? - before_us;
        let database_us = since(database_before_us, self.site.database_processor_us()?);
        Ok(Run {
            accepted_per_s: per_second(floor.payments, floor.accepted_us),
            settled_per_s: Some(per_second(floor.payments, floor.elapsed_us)),
            server_ns: each(server_us, floor.payments),
            database_ns: database_us.and_then(|us| each(us, floor.payments)),
            ..Run::default()
        })
    }

    fn payments(&self, scenario: Scenario, world: &World, load: Load, pace: Pace) -> Result<Run> {
        if scenario == Scenario::Reads {
            self.lengthen(world)?;
        }
        let bytes_before = self.site.database_bytes()?;
        let crew = Crew::start(&self.site.deployment, load.staff)?;
        let order = self.order(crew.hosts(), world, load.connections, pace);
        let order = Order { reads_per_s: load.reads_per_s, ..order };
        let before = self.processor(&crew)?;
        let sent = generator::send(self.xtask, self.site.home(), &order)?;
        let database_kib = self.site.database_kib()?;
        let recovery_us = (scenario == Scenario::Overload).then(|| self.recover(&order)).transpose()?;
        let settled_at = load.staff.settles().then(|| self.settle(&crew, world, &sent)).transpose()?;
        let after = self.processor(&crew)?;
        let (server_peak_kib, start_us) = (crew.peak_kib()?, crew.start_us()?);
        let pages = (scenario == Scenario::Reads).then(|| self.pages(&crew, &order, world)).transpose()?;
        crew.stop()?;
        let grown = self.site.database_bytes()?.saturating_sub(bytes_before);
        if !load.staff.settles() {
            self.settle_later(world, &sent)?;
        }
        let tally = sent.finish.tally;
        let settled_us = settled_at.map(|at| u64::try_from((at - sent.started).as_micros())).transpose()?;
        Ok(Run {
            accepted_per_s: per_second(tally.accepted, tally.elapsed_us),
            settled_per_s: settled_us.map(|us| per_second(tally.accepted, us)),
            server_ns: each(after.server_us - before.server_us, tally.accepted),
            database_ns: since(before.database_us, after.database_us).and_then(|us| each(us, tally.accepted)),
            load_ns: each(tally.processor_us, tally.accepted),
            // Payments that are not settled yet are not all there.
            bytes_per_payment: settled_us.and_then(|_| grown.checked_div(tally.accepted)),
            server_peak_kib: Some(server_peak_kib),
            database_kib,
            recovery_us,
            start_us: Some(start_us),
            pages,
            load: Some(tally),
            ..Run::default()
        })
    }

    fn waiting(&self, world: &World) -> Result<Run> {
        let (crowd, since) = (self.crowd, Uuid::now_v7());
        let crew = Crew::start(&self.site.deployment, Staff::One(Serving::Slowly { scale: crowd.scale }))?;
        let pace = Pace::Until { accepted: crowd.payments };
        let order = self.order(crew.hosts(), world, CROWD_CONNECTIONS, pace);
        let order = Order { seconds: crowd.shortest.as_secs(), ..order };
        let sent = generator::send(self.xtask, self.site.home(), &order)?;
        let waited = self.runtime.block_on(waiting::wait(&crew, world, crowd, &sent, since))?;
        let (server_peak_kib, start_us) = (crew.peak_kib()?, crew.start_us()?);
        crew.stop()?;
        let tally = sent.finish.tally;
        Ok(Run {
            accepted_per_s: per_second(tally.accepted, tally.elapsed_us),
            load_ns: each(tally.processor_us, tally.accepted),
            server_peak_kib: Some(server_peak_kib),
            start_us: Some(start_us),
            waited: Some(waited),
            load: Some(tally),
            ..Run::default()
        })
    }

    fn order(&self, hosts: Vec<String>, world: &World, connections: usize, pace: Pace) -> Order {
        let payers = world.payers().collect();
        Order { hosts, connections, seconds: self.seconds, pace, reads_per_s: 0, replay_every: REPLAY_EVERY, payers }
    }

    fn recover(&self, order: &Order) -> Result<u64> {
        let host = order.hosts.first().context("nobody to pay to")?;
        let payer = order.payers.first().context("nobody pays")?;
        let took = self.runtime.block_on(load::recovery::wait(host, payer))?;
        Ok(u64::try_from(took.as_micros())?)
    }

    /// When all payments were final.
    fn settle(&self, crew: &Crew, world: &World, sent: &Sent) -> Result<Instant> {
        let api = Api::new(crew.url()?)?;
        self.runtime.block_on(settling::wait(&api, world, &sent.finish.last))
    }

    /// Leaves nothing open for the next run.
    fn settle_later(&self, world: &World, sent: &Sent) -> Result<()> {
        let crew = Crew::start(&self.site.deployment, Staff::One(Serving::Everything))?;
        self.settle(&crew, world, sent)?;
        crew.stop()
    }

    /// Before anything is measured.
    fn lengthen(&self, world: &World) -> Result<()> {
        let crew = Crew::start(&self.site.deployment, Staff::One(Serving::Everything))?;
        let api = Api::new(crew.url()?)?;
        self.runtime.block_on(pages::lengthen(&api, world))?;
        crew.stop()
    }

    fn pages(&self, crew: &Crew, order: &Order, world: &World) -> Result<Pages> {
        let api = Api::new(crew.url()?)?;
        let host = order.hosts.first().context("nobody to read from")?;
        self.runtime.block_on(pages::compare(&api, host, world))
    }

    fn processor(&self, crew: &Crew) -> Result<Processor> {
        Ok(Processor { server_us: crew.processor_us()?, database_us: self.site.database_processor_us()? })
    }
}

fn per_second(count: u64, micros: u64) -> u64 {
    count.saturating_mul(1_000_000) / micros.max(1)
}

/// Nanoseconds for each of `count`, of these microseconds.
fn each(micros: u64, count: u64) -> Option<u64> {
    micros.saturating_mul(1000).checked_div(count)
}

fn since(before_us: Option<u64>, after_us: Option<u64>) -> Option<u64> {
    Some(after_us?.saturating_sub(before_us?))
}
