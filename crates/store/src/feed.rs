//! The feed: all events of payments and leases in one order, numbered 1, 2, 3 …
//!
//! Whoever has seen a position never sees an event below it appear later, although several processes write at the same time.
//! On SQLite there is one writer: an event's position is the place of its row, and nothing is written for it. On PostgreSQL
//! transactions commit in another order than they began: positions are given afterwards, by one process at a time, to events
//! that are committed. See decision 17.

use std::collections::HashMap;

use directpay_domain::id::{LeaseId, UserId};
use directpay_domain::lease_event::LeaseEvent;
use directpay_domain::payment::{Event, Kind};
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::{Db, Tx};
use crate::error::StoreError;
use crate::sql::{Sql, sql};

/// So many positions are looked through for one page at most, whosever events they hold: nothing is written for any reader,
/// so that a reader of few events looks at those of others.
pub const LOOKED_THROUGH_MAX: i64 = 5_000;
/// Statements whose events are numbered in one transaction.
const STATEMENTS_MAX: i64 = 32;
/// Events from before the feed that are numbered in one transaction.
const BEFORE_MAX: i64 = 1_000;
/// Any number that nobody else uses in this database.
const LOCK: i64 = 0x0066_6565_6400;

/// For whom the feed is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// An administrator, or a part of DirectPay itself: all events.
    Everybody,
    /// Those of the landlord's leases and their payments.
    Landlord(UserId),
    /// Those of the leases that the renter is on, and their payments.
    Renter(UserId),
}

impl Reader {
    /// Whether the reader sees an event that was read for everybody; the same as the `WHERE` of [`page`] says.
    pub fn sees(self, entry: &Entry, renters: &HashMap<LeaseId, Vec<UserId>>) -> bool {
        match self {
            Reader::Everybody => true,
            Reader::Landlord(landlord) => entry.landlord_id == Some(landlord),
            Reader::Renter(renter) => {
                let of_lease = entry.lease_id.and_then(|lease| renters.get(&lease));
                of_lease.is_some_and(|renters| renters.contains(&renter))
            }
        }
    }
}

/// An event with its position.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where it stands.
    pub position: i64,
    /// What happened.
    pub fact: Fact,
    /// On which lease; none only for an event of nobody, which is damage.
    pub lease_id: Option<LeaseId>,
    /// Whose lease that is.
    pub landlord_id: Option<UserId>,
}

/// An event of either kind.
#[derive(Debug, Clone)]
pub enum Fact {
    /// Of a payment, with what decides who may see what of it.
    Payment(Box<Event>, Option<Parties>),
    /// Of a lease.
    Lease(Box<LeaseEvent>),
}

/// Between whom a payment is.
#[derive(Debug, Clone, Copy)]
pub struct Parties {
    /// Rent, or a refund.
    pub kind: Kind,
    /// Who pays.
    pub initiated_by: UserId,
    /// Who is paid.
    pub payee_id: UserId,
}

/// A part of the feed.
#[derive(Debug, Clone)]
pub struct Page {
    /// In the order of their positions.
    pub entries: Vec<Entry>,
    /// Nothing up to here is missing; at least where the reader began.
    pub through: i64,
    /// There are positions behind that by now.
    pub has_more: bool,
}

#[derive(Deserialize, FromRow)]
struct EntryRow {
    position: i64,
    lease_id: Option<Uuid>,
    landlord_id: Option<Uuid>,
    stream: String,
    body: String,
    kind: Option<String>,
    initiated_by: Option<Uuid>,
    payee_id: Option<Uuid>,
}

impl EntryRow {
    fn into_entry(self) -> Result<Entry, StoreError> {
        let fact = if self.stream == "PAYMENT" {
            let kind = self.kind.as_deref().map(Kind::parse).transpose().map_err(StoreError::damaged("kind"))?;
            let people = self.initiated_by.zip(self.payee_id);
            let parties = kind.zip(people).map(|(kind, (initiated_by, payee_id))| Parties {
                kind,
                initiated_by: UserId(initiated_by),
                payee_id: UserId(payee_id),
            });
            Fact::Payment(serde_json::from_str(&self.body)?, parties)
        } else {
            Fact::Lease(serde_json::from_str(&self.body)?)
        };
        let (lease_id, landlord_id) = (self.lease_id.map(LeaseId), self.landlord_id.map(UserId));
        Ok(Entry { position: self.position, fact, lease_id, landlord_id })
    }
}

macro_rules! entries {
    ($($who:tt $(($($shape:tt)*))?),* $(,)?) => {
        sql!(
            "SELECT f.position, f.lease_id, f.landlord_id, e.stream, e.body, p.kind, p.initiated_by, p.payee_id
             FROM feed f JOIN events e ON e.stream_id = f.stream_id AND e.sequence = f.sequence
             LEFT JOIN payments p ON p.id = f.stream_id
             WHERE $1 < f.position AND f.position <= $2",
            $($who $(($($shape)*))?,)*
            " ORDER BY f.position LIMIT $3"
        )
    };
}

/// Up to `limit` events behind position `after` that `reader` may see.
///
/// It looks through [`LOOKED_THROUGH_MAX`] positions at most: a page may have few events, or none, and more behind it.
pub async fn page(tx: &mut Tx, reader: Reader, after: i64, limit: i64) -> Result<Page, StoreError> {
    const ALL: Sql = entries!();
    const OF_LANDLORD: Sql = entries!(" AND f.landlord_id = $4");
    // The renter's leases are looked up once, and not for each event.
    const OF_RENTER: Sql = Sql {
        sqlite: entries!(" AND f.lease_id IN (SELECT lr.lease_id FROM lease_renters lr WHERE lr.renter_id = $4)")
            .sqlite,
        postgres: entries!(
            " AND f.lease_id = ANY (ARRAY(SELECT lr.lease_id FROM lease_renters lr WHERE lr.renter_id = $4))"
        )
        .postgres,
    };
    let head = head(tx).await?;
    let until = head.min(after.saturating_add(LOOKED_THROUGH_MAX));
    let rows: Vec<EntryRow> = match reader {
        Reader::Everybody => tx.fetch_all(ALL, (after, until, limit)).await?,
        Reader::Landlord(landlord) => tx.fetch_all(OF_LANDLORD, (after, until, limit, landlord.0)).await?,
        Reader::Renter(renter) => tx.fetch_all(OF_RENTER, (after, until, limit, renter.0)).await?,
    };
    let is_full = i64::try_from(rows.len()).is_ok_and(|count| count == limit);
    let last = rows.last().filter(|_| is_full).map(|row| row.position);
    let through = last.unwrap_or(until).max(after);
    let entries = rows.into_iter().map(EntryRow::into_entry).collect::<Result<_, _>>()?;
    Ok(Page { entries, through, has_more: through < head })
}

/// The last position that was given; 0 before the first.
pub async fn head(tx: &mut Tx) -> Result<i64, StoreError> {
    // The view would look at every row.
    const HEAD: Sql = Sql {
        sqlite: "SELECT COALESCE(MAX(position), 0) FROM events",
        postgres: "SELECT COALESCE(MAX(position), 0) FROM feed",
    };
    let (head,): (i64,) = tx.fetch_one(HEAD, ()).await?;
    Ok(head)
}

/// How numbering the events went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbered {
    /// There is nothing left, or another process is at it.
    All,
    /// There may be more.
    ABatch,
}

/// Gives positions to events that are committed and have none, a batch in one transaction.
///
/// One process does it at a time; what it does is there as a whole or not at all. On SQLite there is nothing to do.
pub async fn number(db: &Db) -> Result<Numbered, StoreError> {
    if !db.is_shared() || !anything_waits(db).await? {
        return Ok(Numbered::All);
    }
    let mut tx = db.begin().await?;
    if !is_alone(&mut tx, LOCK).await? {
        return Ok(Numbered::All);
    }
    // By a statement of its own: it sees what whoever was at it before has committed.
    let head = head(&mut tx).await?;
    let numbered = match number_before(&mut tx, head).await? {
        Some(numbered) => numbered,
        None => number_waiting(&mut tx, head).await?,
    };
    tx.commit().await?;
    Ok(numbered)
}

/// Most rounds of an idle system end here, with a read.
async fn anything_waits(db: &Db) -> Result<bool, StoreError> {
    let mut tx = db.begin_read().await?;
    let (waits,): (bool,) =
        tx.fetch_one("SELECT EXISTS (SELECT 1 FROM feed_waiting) OR EXISTS (SELECT 1 FROM feed_before)", ()).await?;
    Ok(waits)
}

/// Makes sure, on PostgreSQL, that no other process does what `lock` stands for until the transaction ends; it falls free with
/// the connection.
pub(crate) async fn is_alone(tx: &mut Tx, lock: i64) -> Result<bool, StoreError> {
    let (is_alone,): (bool,) = tx.fetch_one("SELECT pg_try_advisory_xact_lock($1)", (lock,)).await?;
    Ok(is_alone)
}

/// Numbers events that wait, in the order of the statements that wrote them.
///
/// An event is decided on those before it in its history, so that their transaction had ended by then and its statement has
/// a lower number: whatever of the waiting is seen and taken, from the front, holds the order of every history.
async fn number_waiting(tx: &mut Tx, head: i64) -> Result<Numbered, StoreError> {
    const NUMBER: &str = "
        WITH taken AS MATERIALIZED (
            DELETE FROM feed_waiting WHERE id IN (SELECT id FROM feed_waiting ORDER BY id LIMIT $2)
            RETURNING id, stream_ids, sequences),
        event AS MATERIALIZED (
            SELECT e.stream_id, e.sequence, row_number() OVER (ORDER BY t.id, e.sequence, e.stream_id) AS number
            FROM taken t CROSS JOIN LATERAL unnest(t.stream_ids, t.sequences) AS e(stream_id, sequence)),
        given AS (
            INSERT INTO feed (position, stream_id, sequence, lease_id, landlord_id)
            SELECT $1 + e.number, e.stream_id, e.sequence, COALESCE(p.lease_id, l.id),
                   COALESCE(p.landlord_id, l.landlord_id)
            FROM event e LEFT JOIN payments p ON p.id = e.stream_id LEFT JOIN leases l ON l.id = e.stream_id
            ORDER BY e.number)
        SELECT COUNT(*) FROM taken";
    let (taken,): (i64,) = tx.fetch_one(NUMBER, (head, STATEMENTS_MAX)).await?;
    Ok(if taken == STATEMENTS_MAX { Numbered::ABatch } else { Numbered::All })
}

/// Numbers events from before the feed, history by history; None where there are none any more.
///
/// An event that was written since then waits, and whether it does is seen at the same moment as the event itself.
async fn number_before(tx: &mut Tx, head: i64) -> Result<Option<Numbered>, StoreError> {
    const NUMBER: &str = "
        WITH page AS MATERIALIZED (
            SELECT e.stream_id, e.sequence FROM feed_before b CROSS JOIN LATERAL (
                SELECT o.stream_id, o.sequence FROM events o
                WHERE (b.stream_id, b.sequence) < (o.stream_id, o.sequence)
                ORDER BY o.stream_id, o.sequence LIMIT $2) e),
        last AS MATERIALIZED (
            SELECT stream_id, sequence FROM page ORDER BY stream_id DESC, sequence DESC LIMIT 1),
        waiting AS MATERIALIZED (
            SELECT e.stream_id, e.sequence
            FROM feed_waiting w CROSS JOIN LATERAL unnest(w.stream_ids, w.sequences) AS e(stream_id, sequence)
            WHERE e.stream_id BETWEEN (SELECT b.stream_id FROM feed_before b) AND (SELECT l.stream_id FROM last l)),
        event AS MATERIALIZED (
            SELECT e.stream_id, e.sequence, row_number() OVER (ORDER BY e.stream_id, e.sequence) AS number FROM page e
            WHERE NOT EXISTS (SELECT 1 FROM waiting w WHERE w.stream_id = e.stream_id AND w.sequence = e.sequence)),
        given AS (
            INSERT INTO feed (position, stream_id, sequence, lease_id, landlord_id)
            SELECT $1 + e.number, e.stream_id, e.sequence, COALESCE(p.lease_id, l.id),
                   COALESCE(p.landlord_id, l.landlord_id)
            FROM event e LEFT JOIN payments p ON p.id = e.stream_id LEFT JOIN leases l ON l.id = e.stream_id
            ORDER BY e.number),
        moved AS (UPDATE feed_before b SET stream_id = l.stream_id, sequence = l.sequence FROM last l)
        SELECT COUNT(*) FROM page";
    let (are_left,): (bool,) = tx.fetch_one("SELECT EXISTS (SELECT 1 FROM feed_before)", ()).await?;
    if !are_left {
        return Ok(None);
    }
    let (found,): (i64,) = tx.fetch_one(NUMBER, (head, BEFORE_MAX)).await?;
    if found < BEFORE_MAX {
        // The end was in sight, and nothing is ever added before it.
        tx.execute("DELETE FROM feed_before", ()).await?;
    }
    Ok(Some(Numbered::ABatch))
}
