//! What was and is on its way to a webhook.

use std::collections::BTreeMap;

use directpay_domain::id::{DeliveryId, WebhookId};
use directpay_domain::time::Instant;
use directpay_domain::webhook::{DeliveryStatus, Outcome};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use super::lanes::{self, Lane};
use super::time;
use crate::db::Tx;
use crate::error::{Page, StoreError};
use crate::sql::{Sql, sql};

/// A delivery as the webhook's owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which; the receiver knows it by this.
    pub id: DeliveryId,
    /// Where the event stands in the feed; none for a test.
    pub position: Option<i64>,
    /// What is told in order.
    pub stream_id: Uuid,
    /// The type of the event.
    pub event_type: String,
    /// The bytes that are sent.
    pub body: String,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was put on its way for the first time.
    pub created_at: Instant,
    /// When it was delivered or given up.
    pub ended_at: Option<Instant>,
    /// When it is tried next, unless another one goes before it; none while somebody is at it.
    pub due_at: Option<Instant>,
}

#[derive(Deserialize, FromRow)]
struct DeliveryRow {
    id: Uuid,
    position: Option<i64>,
    stream_id: Uuid,
    event_type: String,
    body: String,
    status: String,
    attempts: i64,
    created_at: i64,
    ended_at: Option<i64>,
    due_at: Option<i64>,
}

impl DeliveryRow {
    fn into_delivery(self) -> Result<Delivery, StoreError> {
        Ok(Delivery {
            id: DeliveryId(self.id),
            position: self.position,
            stream_id: self.stream_id,
            event_type: self.event_type,
            body: self.body,
            status: DeliveryStatus::parse(&self.status).map_err(StoreError::damaged("status"))?,
            attempts: self.attempts,
            created_at: time(self.created_at)?,
            ended_at: self.ended_at.map(time).transpose()?,
            due_at: self.due_at.map(time).transpose()?,
        })
    }
}

macro_rules! delivery {
    ($engine:ident) => {
        "SELECT d.id, d.position, d.stream_id, d.event_type, d.body, d.status, d.attempts, d.created_at, d.ended_at,
                (SELECT l.due_at FROM webhook_lanes l
                 WHERE d.status = 'WAITING' AND l.webhook_id = d.webhook_id AND l.stream_id = d.stream_id
                   AND l.taking IS NULL) AS due_at
         FROM webhook_deliveries d "
    };
}

/// The deliveries of a webhook, newest first.
pub async fn list(tx: &mut Tx, webhook: WebhookId, page: Page) -> Result<Vec<Delivery>, StoreError> {
    const LIST: Sql = sql!(text(delivery), "WHERE d.webhook_id = $1 AND d.id < $2 ORDER BY d.id DESC LIMIT $3");
    let rows: Vec<DeliveryRow> = tx.fetch_all(LIST, (webhook.0, page.before, page.limit)).await?;
    rows.into_iter().map(DeliveryRow::into_delivery).collect()
}

/// One delivery of a webhook.
pub async fn find(tx: &mut Tx, webhook: WebhookId, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
    const FIND: Sql = sql!(text(delivery), "WHERE d.id = $2 AND d.webhook_id = $1");
    let row: Option<DeliveryRow> = tx.fetch_optional(FIND, (webhook.0, id.0)).await?;
    row.map(DeliveryRow::into_delivery).transpose()
}

/// An attempt as the webhook's owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempted {
    /// How it ended.
    pub outcome: Outcome,
    /// What the receiver answered, where it did.
    pub status_code: Option<i64>,
    /// The beginning of its answer, or why there was none.
    pub detail: String,
    /// When it began.
    pub started_at: Instant,
    /// How long it took.
    pub duration_us: i64,
}

#[derive(Deserialize, FromRow)]
struct AttemptRow {
    outcome: String,
    status_code: Option<i64>,
    detail: String,
    started_at: i64,
    duration_us: i64,
}

/// The last `limit` attempts of a delivery, newest first.
pub async fn attempts(tx: &mut Tx, id: DeliveryId, limit: i64) -> Result<Vec<Attempted>, StoreError> {
    let rows: Vec<AttemptRow> = tx
        .fetch_all(
            "SELECT outcome, status_code, detail, started_at, duration_us FROM webhook_attempts
             WHERE delivery_id = $1 ORDER BY id DESC LIMIT $2",
            (id.0, limit),
        )
        .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Attempted {
                outcome: Outcome::parse(&row.outcome).map_err(StoreError::damaged("outcome"))?,
                status_code: row.status_code,
                detail: row.detail,
                started_at: time(row.started_at)?,
                duration_us: row.duration_us,
            })
        })
        .collect()
}

/// A delivery that is not on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub id: DeliveryId,
    /// Its lane.
    pub lane: Lane,
    /// Where its event stands in the feed.
    pub position: i64,
}

/// Deliveries that are not on their way, by the position of their events: those behind `after` up to `through`.
pub async fn ended_between(
    tx: &mut Tx,
    webhook: WebhookId,
    after: i64,
    through: i64,
    limit: i64,
) -> Result<Vec<Ended>, StoreError> {
    let rows: Vec<(Uuid, Uuid, i64)> = tx
        .fetch_all(
            "SELECT id, stream_id, position FROM webhook_deliveries
             WHERE webhook_id = $1 AND $2 < position AND position <= $3 AND status <> 'WAITING'
             ORDER BY position LIMIT $4",
            (webhook.0, after, through, limit),
        )
        .await?;
    let ended = rows.into_iter().map(|(id, stream_id, position)| Ended {
        id: DeliveryId(id),
        lane: Lane { webhook_id: webhook, stream_id },
        position,
    });
    Ok(ended.collect())
}

/// Puts deliveries on their way again, with all attempts before them; what is on its way already goes at once, if nobody is at it.
/// Says how many were put on their way.
pub async fn resend(tx: &mut Tx, again: &[(DeliveryId, Lane)], now_us: i64) -> Result<usize, StoreError> {
    const RESEND: Sql = Sql {
        sqlite: "UPDATE webhook_deliveries SET status = 'WAITING', step = 0, ended_at = NULL
                 WHERE id = $id AND status <> 'WAITING' RETURNING id",
        postgres: sql!(
            "UPDATE webhook_deliveries d SET status = 'WAITING', step = 0, ended_at = NULL FROM",
            rows(id uuid),
            "WHERE d.id = r.id AND d.status <> 'WAITING' RETURNING d.id"
        )
        .postgres,
    };
    #[derive(Serialize)]
    struct Again {
        id: DeliveryId,
    }
    // Lanes are held before their deliveries, by everybody.
    let mut lanes: BTreeMap<Lane, i64> = again.iter().map(|(_, lane)| (*lane, 0)).collect();
    lanes::lengthen_by(tx, &lanes, now_us).await?;
    let ids: Vec<_> = again.iter().map(|(id, _)| Again { id: *id }).collect();
    let put: Vec<(Uuid,)> = tx.fetch_each(RESEND, &ids, ()).await?;
    let lane_of: BTreeMap<Uuid, Lane> = again.iter().map(|(id, lane)| (id.0, *lane)).collect();
    for (id,) in &put {
        if let Some(waiting) = lane_of.get(id).and_then(|lane| lanes.get_mut(lane)) {
            *waiting += 1;
        }
    }
    lanes::lengthen_by(tx, &lanes, now_us).await?;
    let touched: Vec<Lane> = lanes.into_keys().collect();
    lanes::hurry_some(tx, &touched, now_us).await?;
    lanes::close_empty(tx, &touched).await?;
    Ok(put.len())
}

/// Removes deliveries that ended before `before_us`, with their attempts, `limit` at most. Says how many.
pub async fn remove_ended(tx: &mut Tx, before_us: i64, limit: i64) -> Result<u64, StoreError> {
    let old: Vec<(Uuid,)> = tx
        .fetch_all(
            "SELECT id FROM webhook_deliveries WHERE ended_at < $1 ORDER BY ended_at LIMIT $2",
            (before_us, limit),
        )
        .await?;
    remove(tx, old, ENDED).await
}

/// Removes what hangs on webhooks that were deleted before `before_us`, and at last themselves, `limit` deliveries at most. Says how
/// many rows.
pub async fn remove_deleted(tx: &mut Tx, before_us: i64, limit: i64) -> Result<u64, StoreError> {
    const WEBHOOK: &str =
        "SELECT id FROM webhooks WHERE deleted_at IS NOT NULL AND deleted_at < $1 ORDER BY id LIMIT 1";
    let Some((webhook,)) = tx.fetch_optional::<(Uuid,)>(WEBHOOK, (before_us,)).await? else { return Ok(0) };
    let some: Vec<(Uuid,)> = tx
        .fetch_all("SELECT id FROM webhook_deliveries WHERE webhook_id = $1 ORDER BY id LIMIT $2", (webhook, limit))
        .await?;
    if !some.is_empty() {
        tx.execute("DELETE FROM webhook_lanes WHERE webhook_id = $1", (webhook,)).await?;
        return remove(tx, some, WHATEVER).await;
    }
    tx.execute("DELETE FROM webhook_lanes WHERE webhook_id = $1", (webhook,)).await?;
    Ok(tx.execute("DELETE FROM webhooks WHERE id = $1", (webhook,)).await?)
}

/// One that was put on its way again meanwhile stays.
const ENDED: Sql = Sql {
    sqlite: "DELETE FROM webhook_deliveries WHERE id = $id AND status <> 'WAITING' RETURNING id",
    postgres: sql!(
        "DELETE FROM webhook_deliveries d USING",
        rows(id uuid),
        "WHERE d.id = r.id AND d.status <> 'WAITING' RETURNING d.id"
    )
    .postgres,
};

const WHATEVER: Sql = Sql {
    sqlite: "DELETE FROM webhook_deliveries WHERE id = $id RETURNING id",
    postgres: sql!("DELETE FROM webhook_deliveries d USING", rows(id uuid), "WHERE d.id = r.id RETURNING d.id")
        .postgres,
};

async fn remove(tx: &mut Tx, ids: Vec<(Uuid,)>, deliveries: Sql) -> Result<u64, StoreError> {
    const ATTEMPTS: Sql = Sql {
        sqlite: "DELETE FROM webhook_attempts WHERE delivery_id = $id",
        postgres: sql!("DELETE FROM webhook_attempts a USING", rows(id uuid), "WHERE a.delivery_id = r.id").postgres,
    };
    #[derive(Serialize)]
    struct Key {
        id: Uuid,
    }
    let keys = |ids: Vec<(Uuid,)>| ids.into_iter().map(|(id,)| Key { id }).collect::<Vec<_>>();
    let gone: Vec<(Uuid,)> = tx.fetch_each(deliveries, &keys(ids), ()).await?;
    let gone = keys(gone);
    tx.execute_each(ATTEMPTS, &gone, ()).await?;
    Ok(u64::try_from(gone.len()).unwrap_or(0))
}
