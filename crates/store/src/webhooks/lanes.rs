//! The queue of deliveries: a lane for each webhook and history of which something waits.
//!
//! Only the first delivery of a lane is ever on its way, so that a receiver gets the events of a payment in their order. Who
//! sends takes the lane by putting its due time ahead; who dies is followed up by then. Each taking has a name of its own: who
//! comes back after that has no say about what another has taken up, even in the same process.

use std::collections::BTreeMap;

use directpay_domain::id::{DeliveryId, WebhookId};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::sealed::SealedText;
use crate::sql::{Sql, sql};
use crate::values::Json;

/// A lane's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lane {
    /// To whom.
    pub webhook_id: WebhookId,
    /// What is told in order.
    pub stream_id: Uuid,
}

/// A lane as it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Held {
    /// To whom.
    pub webhook_id: WebhookId,
    /// What is told in order.
    pub stream_id: Uuid,
    /// By which taking; one takes many.
    pub taking: Uuid,
}

#[derive(Serialize)]
struct Longer {
    webhook_id: WebhookId,
    stream_id: Uuid,
    waiting: i64,
    due_at: i64,
}

/// Says that more waits in some lanes, and holds them. A lane that is there keeps its turn.
pub(super) async fn lengthen(
    tx: &mut Tx,
    waiting: impl Iterator<Item = (WebhookId, Uuid)>,
    now_us: i64,
) -> Result<(), StoreError> {
    let mut lanes: BTreeMap<Lane, i64> = BTreeMap::new();
    for (webhook_id, stream_id) in waiting {
        *lanes.entry(Lane { webhook_id, stream_id }).or_default() += 1;
    }
    lengthen_by(tx, &lanes, now_us).await
}

pub(super) async fn lengthen_by(tx: &mut Tx, lanes: &BTreeMap<Lane, i64>, now_us: i64) -> Result<(), StoreError> {
    // In the order of the rows, which is that of the keys.
    const LENGTHEN: Sql = sql!(
        insert(webhook_lanes: webhook_id uuid, stream_id uuid, waiting bigint, due_at bigint),
        " ON CONFLICT (webhook_id, stream_id) DO UPDATE SET waiting = webhook_lanes.waiting + excluded.waiting"
    );
    let rows = lanes.iter().map(|(lane, waiting)| Longer {
        webhook_id: lane.webhook_id,
        stream_id: lane.stream_id,
        waiting: *waiting,
        due_at: now_us,
    });
    tx.execute_each(LENGTHEN, &rows.collect::<Vec<_>>(), ()).await?;
    Ok(())
}

/// Lets all lanes of a webhook be due that nobody has taken.
pub(super) async fn hurry(tx: &mut Tx, webhook: WebhookId, now_us: i64) -> Result<(), StoreError> {
    const HURRY: Sql = sql!(
        "UPDATE webhook_lanes SET due_at = $2 WHERE webhook_id = $1 AND stream_id IN (
             SELECT l.stream_id FROM webhook_lanes l
             WHERE l.webhook_id = $1 AND $2 < l.due_at AND l.taking IS NULL ORDER BY l.stream_id",
        for_update_of(l),
        ")"
    );
    tx.execute(HURRY, (webhook.0, now_us)).await?;
    Ok(())
}

/// The same for some lanes.
pub(super) async fn hurry_some(tx: &mut Tx, lanes: &[Lane], now_us: i64) -> Result<(), StoreError> {
    const HURRY: Sql = Sql {
        sqlite: "UPDATE webhook_lanes SET due_at = $2
                 WHERE webhook_id = $webhook_id AND stream_id = $stream_id AND $2 < due_at AND taking IS NULL",
        postgres: sql!(
            "UPDATE webhook_lanes l SET due_at = $2 FROM",
            rows(webhook_id uuid, stream_id uuid),
            "WHERE l.webhook_id = r.webhook_id AND l.stream_id = r.stream_id AND $2 < l.due_at AND l.taking IS NULL"
        )
        .postgres,
    };
    tx.execute_each(HURRY, lanes, (now_us,)).await?;
    Ok(())
}

/// Which lanes are taken, and how many.
#[derive(Debug, Clone, Copy)]
pub struct Take {
    /// A name that no other taking has.
    pub taking: Uuid,
    /// What is due by then.
    pub now_us: i64,
    /// Whoever dies is followed up after this.
    pub until_us: i64,
    /// Lanes that are looked at.
    pub candidates: i64,
    /// Lanes of one webhook.
    pub of_one: i64,
    /// Whether of webhooks that fail, or of all others: those who fail are not looked at first, however long they are due.
    pub failing: bool,
}

/// What decides whether there is a place for a delivery.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    /// To whom.
    pub webhook_id: WebhookId,
    /// Whether nothing was delivered there lately although it was tried.
    pub is_failing: bool,
}

/// A delivery that was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Its lane.
    pub held: Held,
    /// Which.
    pub delivery_id: DeliveryId,
    /// Where to.
    pub url: String,
    /// What signs.
    pub secret: SealedText,
    /// What signs as well.
    pub previous: Option<SealedText>,
    /// Whether nothing was delivered lately although it was tried.
    pub is_failing: bool,
    /// The bytes.
    pub body: String,
    /// Attempts since it was put on its way.
    pub step: i64,
}

#[derive(Deserialize, FromRow)]
struct LaneRow {
    webhook_id: Uuid,
    stream_id: Uuid,
    url: String,
    sealed_secret: String,
    key_id: String,
    previous_sealed_secret: Option<String>,
    previous_key_id: Option<String>,
    is_failing: bool,
}

impl LaneRow {
    fn lane(&self) -> Lane {
        Lane { webhook_id: WebhookId(self.webhook_id), stream_id: self.stream_id }
    }
}

#[derive(Deserialize, FromRow)]
struct HeadRow {
    id: Uuid,
    webhook_id: Uuid,
    stream_id: Uuid,
    body: String,
    step: i64,
}

/// Before all ids.
macro_rules! nil {
    (sqlite) => {
        "zeroblob(16)"
    };
    (postgres) => {
        "'00000000-0000-0000-0000-000000000000'::uuid"
    };
}

/// The webhooks for which something waits, one after the other by the index: as many steps as there are of them, however
/// much waits.
macro_rules! with_waiting {
    ($engine:ident) => {
        concat!(
            "WITH RECURSIVE waiting (webhook_id) AS (
                 SELECT ",
            nil!($engine),
            "    UNION ALL
                 SELECT (SELECT l.webhook_id FROM webhook_lanes l WHERE before.webhook_id < l.webhook_id
                         ORDER BY l.webhook_id LIMIT 1)
                 FROM waiting before WHERE before.webhook_id IS NOT NULL) "
        )
    };
}

/// Takes due deliveries, the longest due first, of no webhook in `full`, and of others as far as `admits` has places.
pub async fn take(
    tx: &mut Tx,
    full: &[WebhookId],
    take: Take,
    mut admits: impl FnMut(Candidate) -> bool,
) -> Result<Vec<Taken>, StoreError> {
    const DUE: Sql = Sql {
        sqlite: sql!(
            text(with_waiting),
            "SELECT l.webhook_id, l.stream_id, w.url, w.sealed_secret, w.key_id,
                    CASE WHEN $2 < w.previous_until THEN w.previous_sealed_secret END AS previous_sealed_secret,
                    w.previous_key_id, w.failing_since IS NOT NULL AS is_failing
             FROM waiting CROSS JOIN webhooks w ON w.id = waiting.webhook_id
             CROSS JOIN webhook_lanes l ON l.webhook_id = w.id AND l.stream_id IN (
                 SELECT d.stream_id FROM webhook_lanes d WHERE d.webhook_id = w.id AND d.due_at <= $2
                 ORDER BY d.due_at, d.stream_id LIMIT $4)
             WHERE w.status = 'ENABLED' AND w.deleted_at IS NULL AND (w.failing_since IS NOT NULL) = $5 AND NOT EXISTS (SELECT 1 FROM",
            rows(webhook_id uuid),
            "WHERE r.webhook_id = w.id)
             ORDER BY l.due_at, l.webhook_id, l.stream_id LIMIT $3"
        )
        .sqlite,
        postgres: sql!(
            text(with_waiting),
            "SELECT l.webhook_id, l.stream_id, w.url, w.sealed_secret, w.key_id,
                    CASE WHEN $2 < w.previous_until THEN w.previous_sealed_secret END AS previous_sealed_secret,
                    w.previous_key_id, w.failing_since IS NOT NULL AS is_failing
             FROM waiting JOIN webhooks w ON w.id = waiting.webhook_id
             CROSS JOIN LATERAL (
                 SELECT d.webhook_id, d.stream_id, d.due_at FROM webhook_lanes d
                 WHERE d.webhook_id = w.id AND d.due_at <= $2
                 ORDER BY d.due_at, d.stream_id LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED) l
             WHERE w.status = 'ENABLED' AND w.deleted_at IS NULL AND (w.failing_since IS NOT NULL) = $5 AND NOT EXISTS (SELECT 1 FROM",
            rows(webhook_id uuid),
            "WHERE r.webhook_id = w.id)
             ORDER BY l.due_at, l.webhook_id, l.stream_id LIMIT $3"
        )
        .postgres,
    };
    const CLAIM: Sql = Sql {
        sqlite: "UPDATE webhook_lanes SET due_at = $2, taking = $3
                 WHERE webhook_id = $webhook_id AND stream_id = $stream_id",
        postgres: sql!(
            "UPDATE webhook_lanes l SET due_at = $2, taking = $3 FROM",
            rows(webhook_id uuid, stream_id uuid),
            "WHERE l.webhook_id = r.webhook_id AND l.stream_id = r.stream_id"
        )
        .postgres,
    };
    #[derive(Serialize)]
    struct Full {
        webhook_id: WebhookId,
    }
    let full: Vec<_> = full.iter().map(|webhook_id| Full { webhook_id: *webhook_id }).collect();
    let due: Vec<LaneRow> =
        tx.fetch_all(DUE, (Json(full), take.now_us, take.candidates, take.of_one, take.failing)).await?;
    let has_place =
        |row: &LaneRow| admits(Candidate { webhook_id: WebhookId(row.webhook_id), is_failing: row.is_failing });
    let due: Vec<LaneRow> = due.into_iter().filter(has_place).collect();
    let lanes: Vec<Lane> = due.iter().map(LaneRow::lane).collect();
    tx.execute_each(CLAIM, &lanes, (take.until_us, take.taking)).await?;
    let mut heads = heads(tx, &lanes).await?;
    let taken = due.into_iter().filter_map(|row| {
        let lane = row.lane();
        let HeadRow { id, body, step, .. } = heads.remove(&lane)?;
        let previous = row.previous_sealed_secret.zip(row.previous_key_id);
        Some(Taken {
            held: Held { webhook_id: lane.webhook_id, stream_id: lane.stream_id, taking: take.taking },
            delivery_id: DeliveryId(id),
            url: row.url,
            secret: SealedText { sealed: row.sealed_secret, key_id: row.key_id },
            previous: previous.map(|(sealed, key_id)| SealedText { sealed, key_id }),
            is_failing: row.is_failing,
            body,
            step,
        })
    });
    Ok(taken.collect())
}

/// What is the next of each lane.
async fn heads(tx: &mut Tx, lanes: &[Lane]) -> Result<BTreeMap<Lane, HeadRow>, StoreError> {
    const HEADS: Sql = Sql {
        sqlite: "SELECT id, webhook_id, stream_id, body, step FROM webhook_deliveries
                 WHERE webhook_id = $webhook_id AND stream_id = $stream_id AND status = 'WAITING'
                 ORDER BY position LIMIT 1",
        postgres: sql!(
            "SELECT d.id, d.webhook_id, d.stream_id, d.body, d.step FROM",
            rows(webhook_id uuid, stream_id uuid),
            "CROSS JOIN LATERAL (
                 SELECT h.* FROM webhook_deliveries h
                 WHERE h.webhook_id = r.webhook_id AND h.stream_id = r.stream_id AND h.status = 'WAITING'
                 ORDER BY h.position LIMIT 1) d"
        )
        .postgres,
    };
    let heads: Vec<HeadRow> = tx.fetch_each(HEADS, lanes, ()).await?;
    let keyed = heads
        .into_iter()
        .map(|head| (Lane { webhook_id: WebhookId(head.webhook_id), stream_id: head.stream_id }, head));
    Ok(keyed.collect())
}

/// Removes those of some lanes of which nothing waits any more.
pub(super) async fn close_empty<T: Serialize + Sync>(tx: &mut Tx, lanes: &[T]) -> Result<(), StoreError> {
    const CLOSE: Sql = Sql {
        sqlite: "DELETE FROM webhook_lanes WHERE webhook_id = $webhook_id AND stream_id = $stream_id AND waiting = 0",
        postgres: sql!(
            "DELETE FROM webhook_lanes l USING",
            rows(webhook_id uuid, stream_id uuid),
            "WHERE l.webhook_id = r.webhook_id AND l.stream_id = r.stream_id AND l.waiting = 0"
        )
        .postgres,
    };
    tx.execute_each(CLOSE, lanes, ()).await?;
    Ok(())
}

/// Lets go of lanes that are held and were not recorded; they are due at once.
pub async fn release(tx: &mut Tx, held: &[Held], now_us: i64) -> Result<(), StoreError> {
    const RELEASE: Sql = Sql {
        sqlite: "UPDATE webhook_lanes SET due_at = $2, taking = NULL
                 WHERE webhook_id = $webhook_id AND stream_id = $stream_id AND taking = $taking",
        postgres: sql!(
            "UPDATE webhook_lanes l SET due_at = $2, taking = NULL FROM",
            rows(webhook_id uuid, stream_id uuid, taking uuid),
            "WHERE l.webhook_id = r.webhook_id AND l.stream_id = r.stream_id AND l.taking = r.taking"
        )
        .postgres,
    };
    tx.execute_each(RELEASE, held, (now_us,)).await?;
    Ok(())
}

/// Lets go of all lanes: for the one process that has a SQLite database to itself, when it starts.
pub async fn release_all(tx: &mut Tx) -> Result<(), StoreError> {
    tx.execute("UPDATE webhook_lanes SET due_at = 0, taking = NULL WHERE taking IS NOT NULL", ()).await?;
    Ok(())
}

/// Whether anything is due at `now_us` for a webhook that is told something.
pub async fn is_any_due(tx: &mut Tx, now_us: i64) -> Result<bool, StoreError> {
    const ANY: Sql = sql!(
        text(with_waiting),
        "SELECT EXISTS (
             SELECT 1 FROM waiting JOIN webhooks w ON w.id = waiting.webhook_id
             WHERE w.status = 'ENABLED' AND w.deleted_at IS NULL
               AND EXISTS (SELECT 1 FROM webhook_lanes l WHERE l.webhook_id = w.id AND l.due_at <= $1))"
    );
    let (any,): (bool,) = tx.fetch_one(ANY, (now_us,)).await?;
    Ok(any)
}

/// Whether `crowd` histories wait for a webhook, or more.
pub async fn is_crowded(tx: &mut Tx, webhook: WebhookId, crowd: i64) -> Result<bool, StoreError> {
    let (waiting,): (i64,) = tx
        .fetch_one(
            "SELECT COUNT(*) FROM (SELECT 1 AS lane FROM webhook_lanes WHERE webhook_id = $1 LIMIT $2) AS counted",
            (webhook.0, crowd),
        )
        .await?;
    Ok(crowd <= waiting)
}

/// What is on its way in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, FromRow)]
pub struct Backlog {
    /// Lanes of which something waits, however long.
    pub lanes: i64,
    /// Since when the longest due one is due.
    pub due_since: Option<i64>,
}

/// What waits for webhooks that are told something; of all lanes `limit` are counted at most.
pub async fn backlog(tx: &mut Tx, now_us: i64, limit: i64) -> Result<Backlog, StoreError> {
    const BACKLOG: Sql = sql!(
        text(with_waiting),
        "SELECT (SELECT COUNT(*) FROM (SELECT 1 AS lane FROM webhook_lanes LIMIT $2) AS counted) AS lanes,
                (SELECT MIN((SELECT l.due_at FROM webhook_lanes l WHERE l.webhook_id = w.id AND l.due_at <= $1
                             ORDER BY l.due_at LIMIT 1))
                 FROM waiting JOIN webhooks w ON w.id = waiting.webhook_id
                 WHERE w.status = 'ENABLED' AND w.deleted_at IS NULL) AS due_since"
    );
    Ok(tx.fetch_one(BACKLOG, (now_us, limit)).await?)
}
