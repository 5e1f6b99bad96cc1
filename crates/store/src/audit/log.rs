//! Nothing of the log was changed, removed, added or moved: each event follows on the one before it in its history, and the
//! tree over all of them is the one that was signed.

use std::collections::VecDeque;

use directpay_domain::chain::Link;
use directpay_domain::digest::Digest;
use directpay_domain::merkle::{self, Edge};
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::{Check, PAGE};
use crate::db::Tx;
use crate::error::StoreError;
use crate::hashes::Hash;
use crate::log_tree::{self, Checkpoint, Log};
use crate::sql::Sql;

/// Holes that are counted through; what claims to stand further on is not believed.
const HOLE_MAX: i64 = 100_000;

/// Statements whose events are looked at together while they wait for positions.
const STATEMENTS: i64 = 32;

/// A root that somebody kept elsewhere.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Of which log.
    pub log: Log,
    /// What it is called.
    pub name: String,
    /// How many events or entries there were.
    pub size: i64,
    /// The root of the tree over them.
    pub root: Digest,
}

#[derive(Deserialize, FromRow)]
struct Walked {
    position: i64,
    stream_id: Uuid,
    sequence: i64,
    stream: Option<String>,
    event_type: Option<String>,
    occurred_at: Option<i64>,
    body: Option<String>,
    hash: Option<Hash>,
    before: Option<Hash>,
    is_owned: bool,
}

impl Walked {
    /// What is wrong with it by itself; `place` says where it stands.
    fn breach(&self, place: &str) -> Option<String> {
        let Walked { stream_id, sequence, stream, event_type, occurred_at, body, hash, before, is_owned, .. } = self;
        let (Some(stream), Some(event_type), Some(occurred_at), Some(body), Some(hash)) =
            (stream, event_type, occurred_at, body, hash)
        else {
            return Some(format!("event {sequence} of {stream_id}, {place}, is gone"));
        };
        let name = format!("{} {stream_id}, event {sequence}, {place}", stream.to_lowercase());
        let before = match (before, sequence) {
            (None, 1) => Digest::ZERO,
            (None, _) => return Some(format!("{name}: event {} before it is missing", sequence - 1)),
            (Some(before), _) => before.digest(),
        };
        let (stream_id, sequence, occurred_at) = (*stream_id, *sequence, *occurred_at);
        let link = Link { stream_id, sequence, stream, event_type, occurred_at, body };
        if hash.0 != Some(link.hash(before)) {
            return Some(format!("{name}: it was changed, or does not follow on the event before it"));
        }
        (!is_owned).then(|| format!("{name}: there is nothing whose event it is"))
    }
}

/// Goes through the whole log and compares it with itself, with the stored checkpoints, of which `objection` may say what is
/// wrong with one, and with those that were `kept` elsewhere. `progress` is told how far it is.
pub(super) async fn check(
    tx: &mut Tx,
    is_shared: bool,
    kept: &[Kept],
    objection: impl Fn(&Checkpoint) -> Option<String>,
    mut progress: impl FnMut(u64),
) -> Result<Vec<Check>, StoreError> {
    let mut chain = Check::new("every event follows on the one before it in its history");
    let mut tree = Tree::new(Log::Events, kept);
    let (mut after, mut from) = (0, 0);
    loop {
        let rows = page(tx, after).await?;
        let Some(last) = rows.last() else { break };
        after = last.position;
        for row in &rows {
            chain.note(row.breach(&format!("position {}", row.position)));
            if tree.reach(tx, row.position, &objection).await? {
                let hash = row.hash.map_or(Digest::ZERO, Hash::digest);
                tree.add(tx, hash, &objection).await?;
            }
        }
        from += rows.len();
        progress(u64::try_from(from).unwrap_or(0));
    }
    tree.end(tx, &objection).await?;
    if is_shared {
        waiting(tx, &mut chain).await?;
    }
    Ok(vec![chain, heads(tx).await?, tree.check])
}

async fn page(tx: &mut Tx, after: i64) -> Result<Vec<Walked>, StoreError> {
    const PAGE_OF: Sql = Sql {
        sqlite: "SELECT e.position, e.stream_id, e.sequence, e.stream, e.event_type, e.occurred_at, e.body, e.hash,
                     b.hash AS before, EXISTS (SELECT 1 FROM payments p WHERE p.id = e.stream_id)
                         OR EXISTS (SELECT 1 FROM lease_accounts a WHERE a.lease_id = e.stream_id) AS is_owned
                 FROM events e LEFT JOIN events b ON b.stream_id = e.stream_id AND b.sequence = e.sequence - 1
                 WHERE $1 < e.position ORDER BY e.position LIMIT $2",
        postgres: "SELECT f.position, f.stream_id, f.sequence, e.stream, e.event_type, e.occurred_at, e.body, e.hash,
                       b.hash AS before, EXISTS (SELECT 1 FROM payments p WHERE p.id = f.stream_id)
                           OR EXISTS (SELECT 1 FROM lease_accounts a WHERE a.lease_id = f.stream_id) AS is_owned
                   FROM (SELECT position, stream_id, sequence FROM feed WHERE $1 < position ORDER BY position LIMIT $2) f
                   LEFT JOIN events e ON e.stream_id = f.stream_id AND e.sequence = f.sequence
                   LEFT JOIN events b ON b.stream_id = f.stream_id AND b.sequence = f.sequence - 1
                   ORDER BY f.position",
    };
    Ok(tx.fetch_all(PAGE_OF, (after, PAGE)).await?)
}

/// What waits for its position, which only PostgreSQL knows, is in no tree yet; the chains hold it already.
async fn waiting(tx: &mut Tx, chain: &mut Check) -> Result<(), StoreError> {
    const WAITING: &str = "
        SELECT w.id AS position, w.stream_id, w.sequence, e.stream, e.event_type, e.occurred_at, e.body, e.hash,
            b.hash AS before, EXISTS (SELECT 1 FROM payments p WHERE p.id = w.stream_id)
                OR EXISTS (SELECT 1 FROM lease_accounts a WHERE a.lease_id = w.stream_id) AS is_owned
        FROM (SELECT n.id, q.stream_id, q.sequence
              FROM (SELECT id, stream_ids, sequences FROM feed_waiting WHERE $1 < id ORDER BY id LIMIT $2) n
              CROSS JOIN LATERAL unnest(n.stream_ids, n.sequences) AS q(stream_id, sequence)) w
        LEFT JOIN events e ON e.stream_id = w.stream_id AND e.sequence = w.sequence
        LEFT JOIN events b ON b.stream_id = w.stream_id AND b.sequence = w.sequence - 1
        ORDER BY w.id";
    let mut after = 0;
    loop {
        let rows: Vec<Walked> = tx.fetch_all(WAITING, (after, STATEMENTS)).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.position;
        rows.iter().for_each(|row| chain.note(row.breach("without a position yet")));
    }
}

/// The tree as it grows from what is stored, beside what was signed of it.
pub(super) struct Tree<'k> {
    pub(super) check: Check,
    log: Log,
    edge: Edge,
    /// By size, the next one first.
    kept: VecDeque<&'k Kept>,
    stored: VecDeque<Checkpoint>,
    read_through: i64,
    /// Up to here it was the one that was signed.
    good: u64,
    /// It is another one since then.
    differs: bool,
}

impl<'k> Tree<'k> {
    /// Over a log, beside those of the `kept` roots that are of it.
    pub(super) fn new(log: Log, kept: &'k [Kept]) -> Tree<'k> {
        let mut kept: Vec<_> = kept.iter().filter(|kept| kept.log == log).collect();
        kept.sort_by_key(|kept| kept.size);
        Tree {
            check: Check::new(match log {
                Log::Events => "the log is the one that was signed",
                Log::Trail => "the trail is the one that was signed",
            }),
            log,
            edge: Edge::default(),
            kept: kept.into(),
            stored: VecDeque::new(),
            read_through: 0,
            good: 0,
            differs: false,
        }
    }

    fn size(&self) -> i64 {
        i64::try_from(self.edge.size()).unwrap_or(i64::MAX)
    }

    /// Goes on to a position; false if nothing can stand there.
    pub(super) async fn reach(
        &mut self,
        tx: &mut Tx,
        position: i64,
        objection: &impl Fn(&Checkpoint) -> Option<String>,
    ) -> Result<bool, StoreError> {
        let next = self.size() + 1;
        if position == next {
            return Ok(true);
        }
        if position < next || HOLE_MAX < position - next {
            self.check.breach(Some(format!("position {position} stands where {next} should")));
            return Ok(false);
        }
        self.check.breach(Some(format!("positions {next} to {} are missing", position - 1)));
        // Something stood there, so that what stands behind it is compared in its place.
        for _ in next..position {
            self.add(tx, Digest::ZERO, objection).await?;
        }
        Ok(true)
    }

    /// Goes on by one leaf.
    pub(super) async fn add(
        &mut self,
        tx: &mut Tx,
        hash: Digest,
        objection: &impl Fn(&Checkpoint) -> Option<String>,
    ) -> Result<(), StoreError> {
        for tile in self.edge.add(merkle::leaf(&hash.0)) {
            let breach = match log_tree::tile(tx, self.log, tile).await? {
                Some(stored) if stored == tile.root => None,
                // They are made with checkpoints.
                None if self.peek(tx).await?.is_none_or(|size| size < self.size()) => None,
                Some(_) | None => {
                    let range = tile.range();
                    let (first, last) = (range.start + 1, range.start + range.size);
                    Some(format!(
                        "positions {first} to {last} are not those over which tile {}/{} was made",
                        tile.level, tile.number
                    ))
                }
            };
            self.check.note(breach);
        }
        while self.peek(tx).await?.is_some_and(|size| size <= self.size()) {
            self.compare(objection);
        }
        Ok(())
    }

    /// The size of the next checkpoint.
    async fn peek(&mut self, tx: &mut Tx) -> Result<Option<i64>, StoreError> {
        if self.stored.is_empty() {
            self.stored = log_tree::checkpoints_after(tx, self.log, self.read_through, PAGE).await?.into();
            self.read_through = self.stored.back().map_or(self.read_through, |last| last.size);
        }
        let sizes = [self.stored.front().map(|stored| stored.size), self.kept.front().map(|kept| kept.size)];
        Ok(sizes.into_iter().flatten().min())
    }

    /// Takes the next checkpoint: what is wrong with it, and its name, size and root.
    fn next(
        &mut self,
        objection: &impl Fn(&Checkpoint) -> Option<String>,
    ) -> Option<(Option<String>, String, i64, Digest)> {
        let is_kept = match (self.stored.front(), self.kept.front()) {
            (Some(stored), Some(kept)) => kept.size <= stored.size,
            (stored, _) => stored.is_none(),
        };
        if is_kept {
            let kept = self.kept.pop_front()?;
            return Some((None, kept.name.clone(), kept.size, kept.root));
        }
        let stored = self.stored.pop_front()?;
        let name = format!("the checkpoint of {} events", stored.size);
        Some((objection(&stored).map(|what| format!("{name}: {what}")), name, stored.size, stored.root))
    }

    /// Compares the tree as it is with the next checkpoint, which is of its size.
    fn compare(&mut self, objection: &impl Fn(&Checkpoint) -> Option<String>) {
        let Some((objection, name, size, root)) = self.next(objection) else { return };
        if objection.is_some() {
            // Nothing is known of what it says.
            self.check.note(objection);
            return;
        }
        let is_same = root == self.edge.root();
        let (from, through) = (self.good + 1, size);
        // Every later one differs as well: the first says where.
        let breach = (!is_same && !self.differs)
            .then(|| format!("positions {from} to {through} are not those of {name}, which knows all before them"));
        self.check.note(breach);
        self.differs |= !is_same;
        if is_same {
            self.good = self.edge.size();
        }
    }

    /// Whatever was signed of more events than there are.
    pub(super) async fn end(
        &mut self,
        tx: &mut Tx,
        objection: &impl Fn(&Checkpoint) -> Option<String>,
    ) -> Result<(), StoreError> {
        let size = self.size();
        while self.peek(tx).await?.is_some() {
            let Some((objection, name, of, _)) = self.next(objection) else { break };
            let cut = (size < of)
                .then(|| format!("positions {} to {of} are missing at the end: {name} knows them", size + 1));
            self.check.note(objection.or(cut));
        }
        Ok(())
    }
}

/// A payment or lease beside its last event.
#[derive(Deserialize, FromRow)]
struct HeadRow {
    id: Uuid,
    version: i64,
    head: Hash,
    last: Option<Hash>,
    further: Option<i64>,
}

impl HeadRow {
    fn breach(&self, what: &str) -> Option<String> {
        let HeadRow { id, version, head, last, further } = self;
        if let Some(further) = further {
            return Some(format!("{what} {id}: event {further} stands behind its last one"));
        }
        let last = if *version == 0 { Some(Hash::of(Digest::ZERO)) } else { *last };
        match last {
            None => Some(format!("{what} {id}: event {version}, its last one, is missing")),
            Some(last) if last != *head => Some(format!("{what} {id}: event {version} is not its last one")),
            Some(_) => None,
        }
    }
}

/// Nothing is missing at the end of any history, and nothing was added there.
async fn heads(tx: &mut Tx) -> Result<Check, StoreError> {
    const PAYMENTS: &str = "
        SELECT p.id, p.version, p.head, e.hash AS last, n.sequence AS further FROM payments p
        LEFT JOIN events e ON e.stream_id = p.id AND e.sequence = p.version
        LEFT JOIN events n ON n.stream_id = p.id AND n.sequence = p.version + 1
        WHERE $1 < p.id ORDER BY p.id LIMIT $2";
    const LEASES: &str = "
        SELECT a.lease_id AS id, a.version, a.head, e.hash AS last, n.sequence AS further FROM lease_accounts a
        LEFT JOIN events e ON e.stream_id = a.lease_id AND e.sequence = a.version
        LEFT JOIN events n ON n.stream_id = a.lease_id AND n.sequence = a.version + 1
        WHERE $1 < a.lease_id ORDER BY a.lease_id LIMIT $2";
    let mut check = Check::new("every history ends with the event that its payment or lease knows");
    for (what, sql) in [("payment", PAYMENTS), ("lease", LEASES)] {
        let mut after = Uuid::nil();
        loop {
            let rows: Vec<HeadRow> = tx.fetch_all(sql, (after, PAGE)).await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            rows.iter().for_each(|row| check.note(row.breach(what)));
        }
    }
    Ok(check)
}
