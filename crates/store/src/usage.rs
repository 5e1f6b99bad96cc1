//! What this process does with its database, counted as it happens: numbers to add to, nothing that waits or is looked up.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use directpay_domain::payment::{Change, EventType};
use directpay_domain::rail::Rail;
use metrics::Histogram;
use tokio::time::Instant;

/// Something for each type of a payment's events and each rail.
type Facts<T> = [[T; Rail::ALL.len()]; EventType::ALL.len()];

/// What was counted since the database was opened.
#[derive(Debug, Default)]
pub struct Usage {
    /// Transactions that may write. On SQLite these wait for each other.
    pub writes: Access,
    /// Transactions that only read.
    pub reads: Access,
    facts: Facts<AtomicU64>,
}

/// How callers wait for a connection and for their transaction to begin.
#[derive(Debug, Default)]
pub struct Access {
    waiting: AtomicU64,
    waits: OnceLock<Histogram>,
}

impl Access {
    /// Those that wait now.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// From now on `waits` is told of each how long it was. The first one stays.
    pub fn time(&self, waits: Histogram) {
        let _told_already = self.waits.set(waits);
    }

    /// Begins to wait; dropping the answer ends it, also where the caller has gone away.
    pub(crate) fn wait(&self) -> Wait<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Wait { access: self, timed: self.waits.get().map(|waits| (waits, Instant::now())) }
    }
}

pub(crate) struct Wait<'a> {
    access: &'a Access,
    timed: Option<(&'a Histogram, Instant)>,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.access.waiting.fetch_sub(1, Ordering::Relaxed);
        if let Some((waits, since)) = self.timed {
            waits.record(since.elapsed());
        }
    }
}

impl Usage {
    /// How many events of each type were committed, by rail.
    pub fn payment_events(&self) -> impl Iterator<Item = (EventType, Rail, u64)> {
        let by_type = EventType::ALL.into_iter().zip(&self.facts);
        by_type.flat_map(|(event, by_rail)| {
            let counts = Rail::ALL.into_iter().zip(by_rail);
            counts.map(move |(rail, count)| (event, rail, count.load(Ordering::Relaxed)))
        })
    }

    pub(crate) fn add(&self, noted: &Noted) {
        for (counts, new) in self.facts.as_flattened().iter().zip(noted.facts.as_flattened()) {
            if 0 < *new {
                counts.fetch_add(u64::from(*new), Ordering::Relaxed);
            }
        }
    }
}

/// What a transaction is going to add when it is committed.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    facts: Facts<u32>,
}

impl Noted {
    pub(crate) fn payment(&mut self, change: &Change, rail: Rail) {
        let by_rail = self.facts.get_mut(change.event_type() as usize);
        if let Some(count) = by_rail.and_then(|by_rail| by_rail.get_mut(rail as usize)) {
            *count += 1;
        }
    }
}

/// The connections of one kind that are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// For whom they are: `writer`, `readers`, `primary` or `replica`.
    pub pool: &'static str,
    /// At work.
    pub in_use: u32,
    /// Open and waiting for work.
    pub idle: u32,
}

impl Connections {
    pub(crate) fn of_pool(pool: &'static str, connections: &sqlx::PgPool) -> Connections {
        let idle = u32::try_from(connections.num_idle()).unwrap_or(u32::MAX);
        // Both are read one after the other, and may be of different moments.
        Connections { pool, in_use: connections.size().saturating_sub(idle), idle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_counted_under_its_type_and_rail() {
        let (mut noted, usage) = (Noted::default(), Usage::default());
        noted.payment(&Change::Failed, Rail::Wire);
        noted.payment(&Change::Cancelled, Rail::Wire);
        noted.payment(&Change::Cancelled, Rail::Instant);
        usage.add(&noted);
        usage.add(&noted);
        let counted: Vec<_> = usage.payment_events().filter(|(_, _, count)| 0 < *count).collect();
        let of = [
            (EventType::Failed, Rail::Wire, 2),
            (EventType::Cancelled, Rail::Instant, 2),
            (EventType::Cancelled, Rail::Wire, 2),
        ];
        assert_eq!(counted, of);
    }

    #[test]
    fn who_goes_away_does_not_wait_any_more() {
        let access = Access::default();
        let wait = access.wait();
        assert_eq!(access.waiting(), 1);
        drop(wait);
        assert_eq!(access.waiting(), 0);
    }
}
