//! Following the feed: one task of the process reads what is new, once, and hands it to all who listen.
//!
//! Whoever is too slow for that loses nothing: the listener notices that something is missing and reads it by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use directpay_domain::id::{LeaseId, UserId};
use directpay_store::feed::{self, Entry, Fact, Page, Reader};
use directpay_store::users::{self, Named};
use directpay_store::{Db, StoreError, Tx};
use tokio::sync::{Notify, broadcast, watch};
use tokio::task::JoinHandle;

/// How often the feed is looked at while somebody listens.
const POLL: Duration = Duration::from_millis(100);
/// After a failure of the database.
pub const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Events that are read at once.
const PART_MAX: i64 = 256;
/// Parts that are kept for slow listeners.
const KEPT_MAX: usize = 16;
/// Listeners of one person in this process.
pub const LISTENERS_OF_ONE_MAX: usize = 8;
/// Listeners in this process.
pub const LISTENERS_MAX: usize = 512;

/// A part of the feed, with the names that stand in it.
pub struct Part {
    /// Nothing is missing behind this.
    pub after: i64,
    /// The events.
    pub page: Page,
    /// Who acted.
    pub names: Vec<Named>,
}

impl Part {
    /// Reads what `reader` may see behind `after`.
    pub async fn read(tx: &mut Tx, reader: Reader, after: i64, limit: i64) -> Result<Part, StoreError> {
        let page = feed::page(tx, reader, after, limit).await?;
        let acted = |entry: &Entry| match &entry.fact {
            Fact::Payment(event, _) => event.acting_user(),
            Fact::Lease(_) => None,
        };
        let mut people: Vec<_> = page.entries.iter().filter_map(acted).collect();
        people.sort_unstable();
        people.dedup();
        let names = if people.is_empty() { Vec::new() } else { users::names(tx, &people).await? };
        Ok(Part { after, page, names })
    }
}

/// A part that is handed to all listeners.
pub struct News {
    /// What is new.
    pub part: Part,
    /// Who is on its leases.
    pub renters: HashMap<LeaseId, Vec<UserId>>,
}

/// The listeners of this process. Clones are the same ones.
#[derive(Clone)]
pub struct Listeners(Arc<Inner>);

struct Inner {
    news: broadcast::Sender<Arc<News>>,
    stop: watch::Sender<bool>,
    /// Rings when there is somebody.
    arrival: Notify,
    seats: Mutex<HashMap<UserId, usize>>,
}

/// Why nobody more may listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSeat {
    /// This person listens often enough.
    ForThisOne,
    /// There are enough listeners in this process.
    ForAnybody,
}

/// A listener's place; it is free again when this is dropped.
pub struct Seat {
    listeners: Listeners,
    user: UserId,
    /// What is new from now on.
    pub news: broadcast::Receiver<Arc<News>>,
    /// True when the server stops.
    pub stop: watch::Receiver<bool>,
}

impl Default for Listeners {
    fn default() -> Listeners {
        Listeners(Arc::new(Inner {
            news: broadcast::channel(KEPT_MAX).0,
            stop: watch::channel(false).0,
            arrival: Notify::new(),
            seats: Mutex::default(),
        }))
    }
}

impl Listeners {
    /// A place for `user`, if there is one.
    pub fn join(&self, user: UserId) -> Result<Seat, NoSeat> {
        let mut seats = self.0.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if LISTENERS_MAX <= seats.values().sum() {
            return Err(NoSeat::ForAnybody);
        }
        let taken = seats.entry(user).or_default();
        if LISTENERS_OF_ONE_MAX <= *taken {
            return Err(NoSeat::ForThisOne);
        }
        *taken += 1;
        drop(seats);
        let seat = Seat { listeners: self.clone(), user, news: self.0.news.subscribe(), stop: self.0.stop.subscribe() };
        self.0.arrival.notify_one();
        Ok(seat)
    }

    /// Begins to read for them.
    pub fn serve(&self, db: &Db) -> JoinHandle<()> {
        let (listeners, db, mut stop) = (self.clone(), db.clone(), self.0.stop.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                () = listeners.read_for_all(&db) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        })
    }

    /// Sends them all away, now and later.
    pub fn stop(&self) {
        self.0.stop.send_replace(true);
    }

    async fn read_for_all(&self, db: &Db) {
        let mut after = None;
        loop {
            if self.0.news.receiver_count() == 0 {
                after = None;
                self.0.arrival.notified().await;
            }
            match read_news(db, after).await {
                Ok(Read { through, news, has_more }) => {
                    after = Some(through);
                    if let Some(news) = news {
                        let _nobody_left = self.0.news.send(Arc::new(news));
                    }
                    if !has_more {
                        tokio::time::sleep(POLL).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the feed cannot be read");
                    tokio::time::sleep(AFTER_FAILURE).await;
                    // From the end on: a damaged event must stop nobody but those who may see it, and each reads what is missing.
                    after = None;
                }
            }
        }
    }
}

struct Read {
    through: i64,
    news: Option<News>,
    has_more: bool,
}

/// Reads what is new behind `after`.
///
/// For the first time it says only where the feed ends: who has read up to an earlier end by then knows that something is
/// missing.
async fn read_news(db: &Db, after: Option<i64>) -> Result<Read, StoreError> {
    let mut tx = db.begin_stale_read().await?;
    let head = feed::head(&mut tx).await?;
    let after = match after {
        Some(after) if after < head => after,
        Some(after) => return Ok(Read { through: after, news: None, has_more: false }),
        None => {
            let page = Page { entries: Vec::new(), through: head, has_more: false };
            let part = Part { after: head, page, names: Vec::new() };
            return Ok(Read { through: head, news: Some(News { part, renters: HashMap::new() }), has_more: false });
        }
    };
    let part = Part::read(&mut tx, Reader::Everybody, after, PART_MAX).await?;
    let renters = renters_of(&mut tx, &part.page.entries).await?;
    Ok(Read { through: part.page.through, has_more: part.page.has_more, news: Some(News { part, renters }) })
}

/// Who is on the leases of these events.
pub async fn renters_of(tx: &mut Tx, entries: &[Entry]) -> Result<HashMap<LeaseId, Vec<UserId>>, StoreError> {
    let mut leases: Vec<_> = entries.iter().filter_map(|entry| entry.lease_id).collect();
    leases.sort_unstable();
    leases.dedup();
    let mut renters: HashMap<LeaseId, Vec<UserId>> = HashMap::new();
    for renter in users::renters_of(tx, &leases).await? {
        renters.entry(LeaseId(renter.lease_id)).or_default().push(UserId(renter.id));
    }
    Ok(renters)
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.listeners.0.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = seats.get_mut(&self.user) {
            *taken -= 1;
            if *taken == 0 {
                seats.remove(&self.user);
            }
        }
    }
}
