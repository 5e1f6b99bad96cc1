//! One connection and what it sends: fresh payments of all payers in turn, and now and then the last one again.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, Result};
use uuid::Uuid;

use super::book::{Book, Kind, Tally, Verdict, judge};
use super::http::Connection;
use super::template::{KEY_LENGTH, Template, draw};
use super::{Accepted, Order, micros};

/// Payments that are named in the end.
const LAST_MAX: usize = 64;

/// What all tills share.
pub(super) struct Counter {
    templates: Vec<Template>,
    next_payer: Cell<usize>,
    replay_every: Option<NonZeroU64>,
    book: RefCell<Book>,
    /// What was accepted, if it is to be read.
    accepted: Option<RefCell<Vec<Rc<Accepted>>>>,
}

/// A connection and what it sent last.
pub(super) struct Till {
    connection: Connection,
    key: [u8; KEY_LENGTH],
    payer: usize,
    /// What a request with the same key would be.
    again: Kind,
    number: u64,
    last: Option<Last>,
}

/// The payment that was accepted last.
struct Last {
    accepted_at: Instant,
    payer: usize,
    location: Vec<u8>,
}

impl Counter {
    pub(super) fn new(order: &Order) -> Result<Counter> {
        let host = order.hosts.first().context("nobody to pay to")?;
        Ok(Counter {
            templates: order.payers.iter().map(|payer| Template::of(payer, host)).collect(),
            next_payer: Cell::new(0),
            replay_every: order.replay_every,
            book: RefCell::new(Book::new()?),
            accepted: (0 < order.reads_per_s).then(RefCell::default),
        })
    }

    /// New payments so far.
    pub(super) fn accepted(&self) -> u64 {
        self.book.borrow().accepted()
    }

    /// Any of the payments that were accepted so far.
    pub(super) fn draw_accepted(&self) -> Option<Rc<Accepted>> {
        let accepted = self.accepted.as_ref()?.borrow();
        let (random, _) = Uuid::new_v4().as_u64_pair();
        let place = random.checked_rem(u64::try_from(accepted.len()).ok()?)?;
        accepted.get(usize::try_from(place).ok()?).cloned()
    }

    pub(super) fn enter_read(&self, latency_us: u64) {
        self.book.borrow_mut().enter_read(latency_us);
    }

    pub(super) fn unsent(&self, count: u64) {
        self.book.borrow_mut().enter_unsent(count);
    }

    pub(super) fn finish(&self) -> Tally {
        self.book.borrow().tally()
    }

    fn take_turn(&self) -> usize {
        let payer = self.next_payer.get();
        self.next_payer.set((payer + 1) % self.templates.len().max(1));
        payer
    }
}

impl Till {
    /// The `index` spreads the replays: the tills do not all repeat themselves at the same moment.
    pub(super) async fn open(host: &str, index: usize) -> Result<Till> {
        let connection = Connection::open(host).await?;
        let number = u64::try_from(index)?;
        Ok(Till { connection, key: [0; KEY_LENGTH], payer: 0, again: Kind::Fresh, number, last: None })
    }

    /// Sends the next request, which is or was `due`, and notes what comes back.
    pub(super) async fn pay(&mut self, counter: &Counter, due: Instant) -> Result<()> {
        let kind = self.choose(counter);
        let template = counter.templates.get(self.payer).context("nobody pays")?;
        let answer = self.connection.post(template, &self.key).await?;
        let verdict = judge(kind, &answer)?;
        let now = Instant::now();
        self.again = match (verdict, kind) {
            (Verdict::Accepted | Verdict::Replayed, _) | (_, Kind::Replay) => Kind::Replay,
            (Verdict::Refused, Kind::Fresh | Kind::Retry) => Kind::Retry,
        };
        if let (Verdict::Accepted, Some(location)) = (verdict, answer.location) {
            let last = self.last.get_or_insert_with(|| Last { accepted_at: now, payer: 0, location: Vec::new() });
            (last.accepted_at, last.payer) = (now, self.payer);
            last.location.clear();
            last.location.extend_from_slice(self.connection.part(location));
            if let Some(all) = &counter.accepted {
                all.borrow_mut().push(Rc::new(last.name()));
            }
        }
        counter.book.borrow_mut().enter(verdict, micros(now.saturating_duration_since(due)));
        Ok(())
    }

    /// Repeats the last request when it is time to, else makes a new one of the next payer's.
    fn choose(&mut self, counter: &Counter) -> Kind {
        self.number += 1;
        let repeats = counter.replay_every.is_some_and(|every| self.number.is_multiple_of(every.get()));
        if repeats && self.again != Kind::Fresh {
            return self.again;
        }
        draw(&mut self.key);
        self.payer = counter.take_turn();
        Kind::Fresh
    }
}

impl Last {
    fn name(&self) -> Accepted {
        Accepted { payer: self.payer, location: String::from_utf8_lossy(&self.location).into_owned() }
    }
}

/// The last payment of each till, the very last of all first; not too many.
pub(super) fn last_accepted(tills: Vec<Till>) -> Vec<Accepted> {
    let mut all: Vec<Last> = tills.into_iter().filter_map(|till| till.last).collect();
    all.sort_by_key(|last| Reverse(last.accepted_at));
    all.iter().take(LAST_MAX).map(Last::name).collect()
}
