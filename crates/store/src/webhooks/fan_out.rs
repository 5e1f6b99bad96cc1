//! Telling the feed to webhooks: each event becomes a delivery for every webhook whose owner may see it.
//!
//! All webhooks that are abreast are told together, behind one cursor. What they are told is worked out before the transaction
//! that writes it: the feed never changes, and whoever joins them meanwhile changes the cursor's version, so that the work is
//! thrown away and done again. A webhook that begins earlier, or was paused, catches up by itself.

use directpay_domain::id::{DeliveryId, UserId, WebhookId};
use directpay_domain::user::Role;
use directpay_domain::webhook::{DeliveryStatus, EventTypes};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::feed;
use crate::sql::{Sql, sql};

/// How far the feed is told to all webhooks that are abreast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, FromRow)]
pub struct Cursor {
    /// Up to here.
    pub position: i64,
    /// Changes with those who are abreast.
    version: i64,
}

/// The cursor as it is.
pub async fn cursor(tx: &mut Tx) -> Result<Cursor, StoreError> {
    Ok(tx.fetch_one("SELECT position, version FROM webhook_cursor WHERE id = 1", ()).await?)
}

/// Whether anybody is abreast.
pub async fn anybody_abreast(tx: &mut Tx) -> Result<bool, StoreError> {
    let (any,): (bool,) = tx
        .fetch_one(
            "SELECT EXISTS (SELECT 1 FROM webhooks WHERE behind_at IS NULL AND status = 'ENABLED' AND deleted_at IS NULL)",
            (),
        )
        .await?;
    Ok(any)
}

/// Takes hold of the cursor because somebody is about to join those who are abreast, and says where they are.
///
/// While there is nobody the cursor stands still. It goes to the end of the feed then: nobody misses what lies between.
pub(super) async fn join(tx: &mut Tx) -> Result<i64, StoreError> {
    tx.execute("UPDATE webhook_cursor SET version = version + 1 WHERE id = 1", ()).await?;
    // By statements of their own: they see what whoever held the cursor before has committed.
    if !anybody_abreast(tx).await? {
        let head = feed::head(tx).await?;
        tx.execute("UPDATE webhook_cursor SET position = $1 WHERE id = 1 AND position < $1", (head,)).await?;
    }
    Ok(cursor(tx).await?.position)
}

/// Moves the cursor, unless another process did or somebody has joined. Says whether it did.
pub async fn advance(tx: &mut Tx, from: Cursor, to: i64) -> Result<bool, StoreError> {
    let moved = tx
        .execute(
            "UPDATE webhook_cursor SET position = $3 WHERE id = 1 AND position = $1 AND version = $2",
            (from.position, from.version, to),
        )
        .await?;
    Ok(moved == 1)
}

/// A webhook to tell of events.
#[derive(Debug, Clone)]
pub struct Told {
    /// Which.
    pub id: WebhookId,
    /// Whose.
    pub user_id: UserId,
    /// What that person may see.
    pub role: Role,
    /// What it wants to know.
    pub event_types: EventTypes,
    /// Positions up to here are none of its business.
    pub begins_after: i64,
}

#[derive(Deserialize, FromRow)]
struct ToldRow {
    id: Uuid,
    user_id: Uuid,
    role: String,
    event_types: String,
    begins_after: i64,
    behind_at: Option<i64>,
}

impl ToldRow {
    fn into_told(self) -> Result<Told, StoreError> {
        Ok(Told {
            id: WebhookId(self.id),
            user_id: UserId(self.user_id),
            role: Role::parse(&self.role).map_err(StoreError::damaged("role"))?,
            event_types: EventTypes::from_text(&self.event_types).map_err(StoreError::damaged("event type"))?,
            begins_after: self.begins_after,
        })
    }
}

/// The webhooks of `people` that are abreast, and those of all administrators.
pub async fn abreast(tx: &mut Tx, people: &[UserId]) -> Result<Vec<Told>, StoreError> {
    const OF_PEOPLE: Sql = sql!(
        "SELECT w.id, w.user_id, u.role, w.event_types, w.begins_after, w.behind_at FROM",
        each(user_id uuid),
        "webhooks w JOIN users u ON u.id = w.user_id WHERE w.user_id =",
        field(user_id),
        "AND u.role <> 'ADMIN' AND w.behind_at IS NULL AND w.status = 'ENABLED' AND w.deleted_at IS NULL"
    );
    const OF_ADMINISTRATORS: &str = "
        SELECT w.id, w.user_id, u.role, w.event_types, w.begins_after, w.behind_at
        FROM users u JOIN webhooks w ON w.user_id = u.id
        WHERE u.role = 'ADMIN' AND w.behind_at IS NULL AND w.status = 'ENABLED' AND w.deleted_at IS NULL";
    #[derive(Serialize)]
    struct Person {
        user_id: UserId,
    }
    let people: Vec<_> = people.iter().map(|user_id| Person { user_id: *user_id }).collect();
    let mut rows: Vec<ToldRow> = tx.fetch_all(OF_ADMINISTRATORS, ()).await?;
    rows.extend(tx.fetch_each::<_, ToldRow>(OF_PEOPLE, &people, ()).await?);
    rows.into_iter().map(ToldRow::into_told).collect()
}

/// A webhook that has to catch up, and how far it is.
#[derive(Debug, Clone)]
pub struct Behind {
    /// The webhook.
    pub told: Told,
    /// It has everything up to here.
    pub position: i64,
}

/// One that has to catch up, the next after `after`.
pub async fn next_behind(tx: &mut Tx, after: Uuid) -> Result<Option<Behind>, StoreError> {
    let row: Option<ToldRow> = tx
        .fetch_optional(
            "SELECT w.id, w.user_id, u.role, w.event_types, w.begins_after, w.behind_at
             FROM webhooks w JOIN users u ON u.id = w.user_id
             WHERE $1 < w.id AND w.behind_at IS NOT NULL AND w.status = 'ENABLED' AND w.deleted_at IS NULL
             ORDER BY w.id LIMIT 1",
            (after,),
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let position = row.behind_at.unwrap_or_default();
    Ok(Some(Behind { told: row.into_told()?, position }))
}

/// Notes that a webhook has everything up to `to`. Says whether it did: another process may have been there, or its owner.
pub async fn catch_up(tx: &mut Tx, behind: &Behind, to: i64) -> Result<bool, StoreError> {
    let moved = tx
        .execute(
            "UPDATE webhooks SET behind_at = $3
             WHERE id = $1 AND behind_at = $2 AND status = 'ENABLED' AND deleted_at IS NULL",
            (behind.told.id.0, behind.position, to),
        )
        .await?;
    Ok(moved == 1)
}

/// Lets a webhook that has everything join those who are abreast, if they are no further. Says whether it did.
pub async fn draw_level(tx: &mut Tx, behind: &Behind) -> Result<bool, StoreError> {
    let joined = join(tx).await?;
    let moved = tx
        .execute(
            "UPDATE webhooks SET behind_at = NULL
             WHERE id = $1 AND behind_at = $2 AND $3 <= behind_at AND status = 'ENABLED' AND deleted_at IS NULL",
            (behind.told.id.0, behind.position, joined),
        )
        .await?;
    Ok(moved == 1)
}

/// Something to deliver.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Which; the receiver knows it by this.
    pub id: DeliveryId,
    /// To whom.
    pub webhook_id: WebhookId,
    /// Where the event stands in the feed; none for a test.
    pub position: Option<i64>,
    /// What is told in order.
    pub stream_id: Uuid,
    /// The type of the event.
    pub event_type: &'static str,
    /// The bytes that are sent.
    pub body: String,
}

#[derive(Serialize)]
struct DeliveryRow<'a> {
    id: DeliveryId,
    webhook_id: WebhookId,
    position: Option<i64>,
    stream_id: Uuid,
    event_type: &'static str,
    body: &'a str,
    status: &'static str,
    attempts: i64,
    step: i64,
    created_at: i64,
}

/// Puts deliveries on their way. One that a webhook has already is left out.
pub async fn insert(tx: &mut Tx, new: &[NewDelivery], now_us: i64) -> Result<usize, StoreError> {
    const INSERT: Sql = sql!(
        insert(webhook_deliveries: id uuid, webhook_id uuid, position bigint, stream_id uuid, event_type text,
               body text, status text, attempts bigint, step bigint, created_at bigint),
        " ON CONFLICT (webhook_id, position) DO NOTHING",
        returning(id)
    );
    let rows: Vec<_> = new
        .iter()
        .map(|new| DeliveryRow {
            id: new.id,
            webhook_id: new.webhook_id,
            position: new.position,
            stream_id: new.stream_id,
            event_type: new.event_type,
            body: &new.body,
            status: DeliveryStatus::Waiting.name(),
            attempts: 0,
            step: 0,
            created_at: now_us,
        })
        .collect();
    let inserted = tx.insert_new(INSERT, &rows, |row| row.id.0).await?;
    let waiting = new.iter().filter(|new| inserted.contains(&new.id.0)).map(|new| (new.webhook_id, new.stream_id));
    super::lanes::lengthen(tx, waiting, now_us).await?;
    Ok(inserted.len())
}
