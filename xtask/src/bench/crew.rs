//! The processes of DirectPay that work on one database during a run.

use anyhow::{Context, Result};

use super::scenario::Staff;
use super::usage;
use crate::server::{Deployment, Server, Serving};

/// All of them; dropping it ends them.
#[derive(Debug)]
pub(super) struct Crew {
    servers: Vec<Server>,
    workers: Vec<Server>,
}

impl Crew {
    /// Starts the servers, and then the workers.
    pub(super) fn start(deployment: &Deployment, staff: Staff) -> Result<Crew> {
        let (servers, serving, workers) = match staff {
            Staff::One(serving) => (1, serving, 0),
            Staff::Pairs(count) => (count, Serving::Intake, count),
        };
        let servers = (0..servers).map(|_| deployment.serve(serving)).collect::<Result<_>>()?;
        let workers = (0..workers).map(|_| deployment.work()).collect::<Result<_>>()?;
        Ok(Crew { servers, workers })
    }

    /// The address of the first server.
    pub(super) fn url(&self) -> Result<&str> {
        Ok(&self.servers.first().context("a crew without a server")?.url)
    }

    /// The process id of the first server.
    pub(super) fn first_id(&self) -> Result<u32> {
        usage::child_of(self.servers.first().context("a crew without a server")?.guard_id())
    }

    /// Host and port of each server.
    pub(super) fn hosts(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.url.trim_start_matches("http://").to_owned()).collect()
    }

    /// How long the slowest server took until it listened.
    pub(super) fn start_us(&self) -> Result<u64> {
        let slowest = self.servers.iter().map(|server| server.start_time).max();
        Ok(u64::try_from(slowest.unwrap_or_default().as_micros())?)
    }

    /// The processor time that all took so far.
    pub(super) fn processor_us(&self) -> Result<u64> {
        self.ids()?.into_iter().map(usage::processor_us).sum()
    }

    /// The most memory that any one of them had at a time.
    pub(super) fn peak_kib(&self) -> Result<u64> {
        let peaks = self.ids()?.into_iter().map(usage::peak_kib).collect::<Result<Vec<_>>>()?;
        Ok(peaks.into_iter().max().unwrap_or(0))
    }

    /// Lets them finish, those that bring new work first.
    pub(super) fn stop(self) -> Result<()> {
        self.servers.into_iter().chain(self.workers).try_for_each(Server::stop)
    }

    fn ids(&self) -> Result<Vec<u32>> {
        self.servers.iter().chain(&self.workers).map(|process| usage::child_of(process.guard_id())).collect()
    }
}
