//! The trees over the logs: over all events, which the feed numbers, and over the trail. Their tiles, their signed roots, and what they
//! prove.
//!
//! Leaf number `n`, from 0, is the hash of the event or entry at position `n + 1`. Tiles and checkpoints are written behind the events, by one
//! process at a time, and never change.

use std::collections::HashMap;

use directpay_domain::digest::Digest;
use directpay_domain::id::PaymentId;
use directpay_domain::merkle::{self, Edge, Range, Row, Tile};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::{Db, Tx};
use crate::error::StoreError;
use crate::feed;
use crate::hashes::Hash;
use crate::sql::{Sql, sql};
use crate::trail;

/// Leaves that are added in one transaction.
const LEAVES_MAX: i64 = 16_384;
/// Any number that nobody else uses in this database, nor the one behind it.
const LOCK: i64 = 0x006c_6f67_7472_6565;

/// Which log a tree stands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// All events of payments and leases.
    Events,
    /// Who did what from where.
    Trail,
}

impl Log {
    /// Both.
    pub const ALL: [Log; 2] = [Log::Events, Log::Trail];

    /// The name under which its tiles and checkpoints are stored.
    fn name(self) -> &'static str {
        match self {
            Log::Events => "EVENTS",
            Log::Trail => "TRAIL",
        }
    }

    /// Any number that nobody else uses in this database.
    fn lock(self) -> i64 {
        match self {
            Log::Events => LOCK,
            Log::Trail => LOCK + 1,
        }
    }

    /// The last position that was given; 0 before the first.
    pub async fn head(self, tx: &mut Tx) -> Result<i64, StoreError> {
        match self {
            Log::Events => feed::head(tx).await,
            Log::Trail => trail::head(tx).await,
        }
    }
}

/// A signed root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many events or entries there were.
    pub size: i64,
    /// The root of the tree over them.
    pub root: Digest,
    /// When it was made, in process time.
    pub made_at: i64,
    /// The signed text, which says the same.
    pub note: String,
}

#[derive(Deserialize, FromRow)]
struct CheckpointRow {
    size: i64,
    root: Hash,
    made_at: i64,
    note: String,
}

impl From<CheckpointRow> for Checkpoint {
    fn from(CheckpointRow { size, root, made_at, note }: CheckpointRow) -> Checkpoint {
        Checkpoint { size, root: root.digest(), made_at, note }
    }
}

/// The newest checkpoint, if there is any.
pub async fn newest(tx: &mut Tx, log: Log) -> Result<Option<Checkpoint>, StoreError> {
    const NEWEST: &str =
        "SELECT size, root, made_at, note FROM log_checkpoints WHERE log = $1 ORDER BY size DESC LIMIT 1";
    let found: Option<CheckpointRow> = tx.fetch_optional(NEWEST, (log.name(),)).await?;
    Ok(found.map(Checkpoint::from))
}

/// Up to `limit` checkpoints of more than `size` events, the smallest first.
pub(crate) async fn checkpoints_after(
    tx: &mut Tx,
    log: Log,
    size: i64,
    limit: i64,
) -> Result<Vec<Checkpoint>, StoreError> {
    const AFTER: &str =
        "SELECT size, root, made_at, note FROM log_checkpoints WHERE log = $1 AND $2 < size ORDER BY size LIMIT $3";
    let found: Vec<CheckpointRow> = tx.fetch_all(AFTER, (log.name(), size, limit)).await?;
    Ok(found.into_iter().map(Checkpoint::from).collect())
}

/// When the next checkpoint is due.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// What time it is, in process time.
    pub now_us: i64,
    /// So long after the last one, if anything has happened since.
    pub every_us: i64,
    /// Or so many events after it.
    pub every_events: i64,
}

impl Due {
    fn is_now(self, newest: Option<&Checkpoint>, head: i64) -> bool {
        let (size, made_at) = newest.map_or((0, i64::MIN), |newest| (newest.size, newest.made_at));
        size < head && (made_at.saturating_add(self.every_us) <= self.now_us || size + self.every_events <= head)
    }
}

/// What became of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grown {
    /// Nothing is due, or another process is at it.
    Not,
    /// Tiles were added; there are more events than fit into one transaction.
    Partly,
    /// There is a new checkpoint.
    To(Checkpoint),
    /// The log is not the one that was signed before: nothing more is signed. Says where it differs.
    Changed(String),
}

/// Adds what was numbered since the last time, if a checkpoint is `due`. `sign` makes the text of one from size and root.
pub async fn grow<E>(
    db: &Db,
    log: Log,
    due: Due,
    sign: impl FnOnce(i64, Digest) -> Result<String, E>,
) -> Result<Result<Grown, E>, StoreError> {
    let mut tx = db.begin_read().await?;
    let is_due = due.is_now(newest(&mut tx, log).await?.as_ref(), log.head(&mut tx).await?);
    drop(tx);
    if !is_due {
        return Ok(Ok(Grown::Not));
    }
    let mut tx = db.begin().await?;
    if db.is_shared() && !feed::is_alone(&mut tx, log.lock()).await? {
        return Ok(Ok(Grown::Not));
    }
    let (newest, head) = (newest(&mut tx, log).await?, log.head(&mut tx).await?);
    if !due.is_now(newest.as_ref(), head) {
        return Ok(Ok(Grown::Not));
    }
    if let Some(newest) = &newest
        && root_at(&mut tx, log, newest.size).await? != Some(newest.root)
    {
        let where_ = format!("the first {} are not those of the checkpoint that was made of them", newest.size);
        return Ok(Ok(Grown::Changed(where_)));
    }
    let Some(mut edge) = tiled(&mut tx, log).await? else {
        return Ok(Ok(Grown::Changed("tiles of the tree are missing".into())));
    };
    let from = number(edge.size());
    let until = head.min(from.saturating_add(LEAVES_MAX));
    let mut tiles = Vec::new();
    for (position, hash) in leaves(&mut tx, log, from, until).await? {
        if position != number(edge.size()) + 1 {
            break;
        }
        tiles.extend(edge.add(merkle::leaf(&hash.digest().0)));
    }
    if number(edge.size()) < until {
        return Ok(Ok(Grown::Changed(format!("nothing stands at position {}", edge.size() + 1))));
    }
    insert_tiles(&mut tx, log, &tiles).await?;
    if until < head {
        tx.commit().await?;
        return Ok(Ok(Grown::Partly));
    }
    let root = edge.root();
    let note = match sign(head, root) {
        Ok(note) => note,
        Err(error) => return Ok(Err(error)),
    };
    let checkpoint = Checkpoint { size: head, root, made_at: due.now_us, note };
    insert(&mut tx, log, &checkpoint).await?;
    tx.commit().await?;
    Ok(Ok(Grown::To(checkpoint)))
}

async fn insert(tx: &mut Tx, log: Log, checkpoint: &Checkpoint) -> Result<(), StoreError> {
    let Checkpoint { size, root, made_at, note } = checkpoint;
    tx.execute(
        "INSERT INTO log_checkpoints (log, size, root, made_at, note) VALUES ($1, $2, $3, $4, $5)",
        (log.name(), *size, Hash::of(*root), *made_at, note.as_str()),
    )
    .await?;
    Ok(())
}

async fn insert_tiles(tx: &mut Tx, log: Log, tiles: &[Tile]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct TileRow {
        log: &'static str,
        level: i64,
        number: i64,
        root: Hash,
    }
    const INSERT: Sql = sql!(insert(log_tiles: log text, level bigint, number bigint, root bytea));
    let rows = tiles.iter().map(|tile| TileRow {
        log: log.name(),
        level: i64::from(tile.level),
        number: number(tile.number),
        root: Hash::of(tile.root),
    });
    tx.execute_each(INSERT, &rows.collect::<Vec<_>>(), ()).await?;
    Ok(())
}

/// Positions and hashes behind `after` up to `until`.
async fn leaves(tx: &mut Tx, log: Log, after: i64, until: i64) -> Result<Vec<(i64, Hash)>, StoreError> {
    const EVENTS: Sql = Sql {
        sqlite: "SELECT position, hash FROM events WHERE $1 < position AND position <= $2 ORDER BY position",
        postgres: "SELECT f.position, e.hash FROM feed f
                   JOIN events e ON e.stream_id = f.stream_id AND e.sequence = f.sequence
                   WHERE $1 < f.position AND f.position <= $2 ORDER BY f.position",
    };
    const TRAIL: &str = "SELECT position, hash FROM trail WHERE $1 < position AND position <= $2 ORDER BY position";
    let leaves = match log {
        Log::Events => EVENTS,
        Log::Trail => TRAIL.into(),
    };
    Ok(tx.fetch_all(leaves, (after, until)).await?)
}

/// The edge of the tree where its tiles end; none if some are missing.
async fn tiled(tx: &mut Tx, log: Log) -> Result<Option<Edge>, StoreError> {
    const LAST: &str = "SELECT number FROM log_tiles WHERE log = $1 AND level = $2 ORDER BY number DESC LIMIT 1";
    let last: Option<(i64,)> = tx.fetch_optional(LAST, (log.name(), 1_i64)).await?;
    let tiles = last.and_then(|(last,)| u64::try_from(last).ok()).map_or(0, |last| last + 1);
    let size = tiles * merkle::TILE;
    let pieces = pieces(tx, log, &merkle::needed(None, size)).await?;
    Ok(Edge::of(size, &|range| pieces.get(&range).copied()))
}

/// The root of the tree over the first `size` leaves, from tiles and leaves; none if some are missing.
async fn root_at(tx: &mut Tx, log: Log, size: i64) -> Result<Option<Digest>, StoreError> {
    let size = u64::try_from(size).unwrap_or(0);
    let pieces = pieces(tx, log, &merkle::needed(None, size)).await?;
    Ok(merkle::root(Range { start: 0, size }, &|range| pieces.get(&range).copied()))
}

/// Leaves and tiles of the tree.
async fn pieces(tx: &mut Tx, log: Log, rows: &[Row]) -> Result<HashMap<Range, Digest>, StoreError> {
    const TILES: &str =
        "SELECT number, root FROM log_tiles WHERE log = $1 AND level = $2 AND $3 <= number AND number < $4
         ORDER BY number";
    let mut pieces = HashMap::new();
    for row in rows {
        let (from, until) = (number(row.from), number(row.until));
        let found: Vec<(i64, Hash)> = if row.level == 0 {
            let leaves = leaves(tx, log, from, until).await?;
            let hashed = |hash: Hash| Hash::of(merkle::leaf(&hash.digest().0));
            leaves.into_iter().map(|(position, hash)| (position - 1, hashed(hash))).collect()
        } else {
            tx.fetch_all(TILES, (log.name(), i64::from(row.level), from, until)).await?
        };
        let found = found.into_iter().filter_map(|(number, hash)| Some((u64::try_from(number).ok()?, hash.digest())));
        pieces.extend(found.map(|(number, hash)| (row.range(number), hash)));
    }
    Ok(pieces)
}

/// What is stored of a tile.
pub(crate) async fn tile(tx: &mut Tx, log: Log, tile: Tile) -> Result<Option<Digest>, StoreError> {
    let row = Row { level: tile.level, from: tile.number, until: tile.number + 1 };
    Ok(pieces(tx, log, &[row]).await?.get(&tile.range()).copied())
}

/// An event as it is stored, with its place in the log and what proves that it is there.
#[derive(Debug, Clone)]
pub struct ProvenEvent {
    /// Whose history it is in.
    pub stream_id: Uuid,
    /// Its number there.
    pub sequence: i64,
    /// Which kind of history that is.
    pub stream: String,
    /// What happened.
    pub event_type: String,
    /// When, in microseconds.
    pub occurred_at: i64,
    /// The event, byte for byte.
    pub body: String,
    /// The hash that stands beside it.
    pub hash: Digest,
    /// Its position; none while it waits for one.
    pub position: Option<i64>,
    /// From the leaf up; none if the checkpoint does not count it yet, or the tree has holes.
    pub inclusion: Option<Vec<Digest>>,
}

#[derive(Deserialize, FromRow)]
struct StoredEvent {
    stream_id: Uuid,
    sequence: i64,
    stream: String,
    event_type: String,
    occurred_at: i64,
    body: String,
    hash: Hash,
    position: Option<i64>,
}

/// The history of a payment with what proves it under the checkpoint of the first `size` events.
///
/// On PostgreSQL positions are looked for in the whole feed: for a command, and not for a request.
pub async fn prove(tx: &mut Tx, payment: PaymentId, size: i64) -> Result<Vec<ProvenEvent>, StoreError> {
    const EVENTS: Sql = Sql {
        sqlite: "SELECT stream_id, sequence, stream, event_type, occurred_at, body, hash, position FROM events
                 WHERE stream_id = $1 ORDER BY sequence",
        postgres: "SELECT e.stream_id, e.sequence, e.stream, e.event_type, e.occurred_at, e.body, e.hash, f.position
                   FROM events e LEFT JOIN feed f ON f.stream_id = $1 AND f.sequence = e.sequence
                   WHERE e.stream_id = $1 ORDER BY e.sequence",
    };
    tx.for_the_audit().await?;
    let events: Vec<StoredEvent> = tx.fetch_all(EVENTS, (payment.0,)).await?;
    let mut proven = Vec::with_capacity(events.len());
    for event in events {
        let StoredEvent { stream_id, sequence, stream, event_type, occurred_at, body, hash, position } = event;
        let covered =
            position.filter(|position| *position <= size).and_then(|position| u64::try_from(position - 1).ok());
        let inclusion = match covered {
            Some(index) => inclusion(tx, index, size).await?,
            None => None,
        };
        let hash = hash.digest();
        proven.push(ProvenEvent {
            stream_id,
            sequence,
            stream,
            event_type,
            occurred_at,
            body,
            hash,
            position,
            inclusion,
        });
    }
    Ok(proven)
}

async fn inclusion(tx: &mut Tx, index: u64, size: i64) -> Result<Option<Vec<Digest>>, StoreError> {
    let size = u64::try_from(size).unwrap_or(0);
    let pieces = pieces(tx, Log::Events, &merkle::needed(Some(index), size)).await?;
    Ok(merkle::inclusion(index, size, &|range| pieces.get(&range).copied()))
}

/// What is counted here fits into any column.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
