//! `directpay verify`: every invariant, checked against what is stored.
//!
//! All of it reads one snapshot, page by page, so that it may run beside a server and needs the same memory for ten payments
//! as for ten million.

mod bank;
mod deposits;
mod feed;
mod histories;
mod leases;
mod log;
mod mandates;
mod refunds;
mod totals;
mod trail;
mod webhooks;

pub use log::Kept;

use crate::db::Db;
use crate::error::StoreError;
use crate::log_tree::{Checkpoint, Log};

/// How many payments or instructions are looked at together.
const PAGE: i64 = 500;
/// How many breaches of one check are described; the others are only counted.
const DESCRIBED_MAX: usize = 20;

/// One invariant and how it was found.
#[derive(Debug, Clone)]
pub struct Check {
    /// What must hold.
    pub name: &'static str,
    /// How many things were looked at.
    pub examined: u64,
    /// How many of them break it.
    pub breaches: u64,
    /// The first breaches, a sentence each.
    pub described: Vec<String>,
}

impl Check {
    fn new(name: &'static str) -> Check {
        Check { name, examined: 0, breaches: 0, described: Vec::new() }
    }

    /// Notes one thing looked at, and what is wrong with it.
    fn note(&mut self, breach: Option<String>) {
        self.examined += 1;
        self.breach(breach);
    }

    fn breach(&mut self, breach: Option<String>) {
        let Some(breach) = breach else { return };
        self.breaches += 1;
        if self.described.len() < DESCRIBED_MAX {
            self.described.push(breach);
        }
    }
}

/// What was checked.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Every invariant.
    pub checks: Vec<Check>,
}

impl Audit {
    /// Whether nothing is broken.
    pub fn is_clean(&self) -> bool {
        self.checks.iter().all(|check| check.breaches == 0)
    }
}

/// Checks everything. `progress` is told how many of how many payments and instructions have been looked at.
pub async fn audit(db: &Db, mut progress: impl FnMut(u64, u64) + Send) -> Result<Audit, StoreError> {
    let mut tx = db.begin_read().await?;
    tx.for_the_audit().await?;
    let (payments,): (i64,) = tx.fetch_one("SELECT COUNT(*) FROM payments", ()).await?;
    let (instructions,): (i64,) = tx.fetch_one("SELECT COUNT(*) FROM bank_instructions", ()).await?;
    let payments = u64::try_from(payments).unwrap_or(0);
    let total = payments + u64::try_from(instructions).unwrap_or(0);
    let mut checks = histories::check(&mut tx, |done| progress(done, total)).await?;
    checks.extend(leases::check(&mut tx).await?);
    checks.push(refunds::check(&mut tx).await?);
    checks.extend(totals::check(&mut tx).await?);
    checks.extend(feed::check(&mut tx, db.is_shared()).await?);
    checks.push(webhooks::check(&mut tx).await?);
    checks.extend(log::check(&mut tx, db.is_shared(), &[], |_| None, |_| {}).await?);
    checks.extend(trail::check(&mut tx, &[], |_| None).await?);
    checks.extend(bank::check(&mut tx, |done| progress(payments + done, total)).await?);
    Ok(Audit { checks })
}

/// Checks that nothing of the logs was changed: events against their histories, entries of the trail against those before them, and all
/// of them against the stored checkpoints, of which `objection` says what is wrong with one, and against those that were `kept`
/// elsewhere. `progress` is told how many of how many events have been looked at.
pub async fn audit_log(
    db: &Db,
    kept: &[Kept],
    objection: impl Fn(Log, &Checkpoint) -> Option<String>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Audit, StoreError> {
    let mut tx = db.begin_read().await?;
    tx.for_the_audit().await?;
    let total = u64::try_from(Log::Events.head(&mut tx).await?).unwrap_or(0);
    let of_events = |stored: &Checkpoint| objection(Log::Events, stored);
    let mut checks = log::check(&mut tx, db.is_shared(), kept, of_events, |done| progress(done, total)).await?;
    checks.extend(trail::check(&mut tx, kept, |stored| objection(Log::Trail, stored)).await?);
    let places = feed::places(&mut tx, db.is_shared()).await?;
    checks.extend(places.into_iter().map(|check| Check { examined: total, ..check }));
    Ok(Audit { checks })
}
