//! Webhooks: addresses that are told of events. All times are process time; secrets come and go sealed.
//!
//! Who holds several rows of these tables takes hold of them in one order: the cursor, webhooks, lanes, each by its key.

pub mod attempts;
pub mod deliveries;
pub mod fan_out;
pub mod lanes;

use directpay_domain::id::{UserId, WebhookId};
use directpay_domain::time::Instant;
use directpay_domain::webhook::{DisabledBecause, EventTypes, Status};
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::{Page, StoreError};
use crate::feed;
use crate::sealed::SealedText;
use crate::sql::{Sql, sql};

/// What signs, and by what anybody can verify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The secrets.
    pub secret: SealedText,
    /// As it is told to receivers.
    pub public_key: String,
}

/// A webhook as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Which.
    pub id: WebhookId,
    /// Whose: it is told what that person may see.
    pub user_id: UserId,
    /// Where it is.
    pub url: String,
    /// What its owner says of it.
    pub description: String,
    /// What it is told.
    pub event_types: EventTypes,
    /// Whether it is told anything.
    pub status: Status,
    /// Why not, if that was not its owner's wish.
    pub disabled_because: Option<DisabledBecause>,
    /// It is told what stands behind this position.
    pub begins_after: i64,
    /// By what its deliveries are verified.
    pub public_key: String,
    /// The same from before the last rotation, and until when it holds.
    pub previous: Option<Previous>,
    /// Since when nothing was delivered although it was tried.
    pub failing_since: Option<Instant>,
    /// When it was made.
    pub created_at: Instant,
}

/// What signed before the last rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// By what it is verified.
    pub public_key: String,
    /// Until when it signs beside the new one.
    pub until: Instant,
}

#[derive(Deserialize, FromRow)]
struct WebhookRow {
    id: Uuid,
    user_id: Uuid,
    url: String,
    description: String,
    event_types: String,
    status: String,
    disabled_because: Option<String>,
    begins_after: i64,
    public_key: String,
    previous_public_key: Option<String>,
    previous_until: Option<i64>,
    failing_since: Option<i64>,
    created_at: i64,
}

pub(crate) fn time(micros: i64) -> Result<Instant, StoreError> {
    Instant::from_micros(micros).map_err(StoreError::damaged("time"))
}

impl WebhookRow {
    fn into_webhook(self) -> Result<Webhook, StoreError> {
        let because = self.disabled_because.as_deref().map(DisabledBecause::parse).transpose();
        let previous = self.previous_public_key.zip(self.previous_until);
        Ok(Webhook {
            id: WebhookId(self.id),
            user_id: UserId(self.user_id),
            url: self.url,
            description: self.description,
            event_types: EventTypes::from_text(&self.event_types).map_err(StoreError::damaged("event type"))?,
            status: Status::parse(&self.status).map_err(StoreError::damaged("status"))?,
            disabled_because: because.map_err(StoreError::damaged("reason"))?,
            begins_after: self.begins_after,
            public_key: self.public_key,
            previous: match previous {
                Some((public_key, until)) => Some(Previous { public_key, until: time(until)? }),
                None => None,
            },
            failing_since: self.failing_since.map(time).transpose()?,
            created_at: time(self.created_at)?,
        })
    }
}

/// A webhook to make.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Which.
    pub id: WebhookId,
    /// Whose.
    pub user_id: UserId,
    /// Where it is.
    pub url: String,
    /// What its owner says of it.
    pub description: String,
    /// What it is told.
    pub event_types: EventTypes,
    /// From which position on; from now on if none.
    pub begins_after: Option<i64>,
    /// What signs.
    pub signer: Signer,
    /// When.
    pub created_at: Instant,
}

/// Makes a webhook, and sees to it that nothing behind the position where it begins is told without it.
pub async fn insert(tx: &mut Tx, new: &NewWebhook) -> Result<(), StoreError> {
    let joined = fan_out::join(tx).await?;
    let begins_after = match new.begins_after {
        Some(position) => position,
        None => feed::head(tx).await?,
    };
    // What was told to others already it has to read by itself.
    let behind_at = (begins_after < joined).then_some(begins_after);
    let Signer { secret, public_key } = &new.signer;
    tx.execute(
        "INSERT INTO webhooks (id, user_id, url, description, event_types, status, begins_after, behind_at,
                               sealed_secret, key_id, public_key, created_at)
         VALUES ($1, $2, $3, $4, $5, 'ENABLED', $6, $7, $8, $9, $10, $11)",
        (
            new.id.0,
            new.user_id.0,
            &new.url,
            &new.description,
            new.event_types.to_text(),
            begins_after,
            behind_at,
            &secret.sealed,
            &secret.key_id,
            public_key,
            new.created_at.micros(),
        ),
    )
    .await?;
    Ok(())
}

/// Whether there is any, of anybody: its secrets are sealed.
pub async fn any(tx: &mut Tx) -> Result<bool, StoreError> {
    let (any,): (bool,) = tx.fetch_one("SELECT EXISTS (SELECT 1 FROM webhooks)", ()).await?;
    Ok(any)
}

/// How many a person has.
pub async fn count(tx: &mut Tx, owner: UserId) -> Result<i64, StoreError> {
    let (count,): (i64,) =
        tx.fetch_one("SELECT COUNT(*) FROM webhooks WHERE user_id = $1 AND deleted_at IS NULL", (owner.0,)).await?;
    Ok(count)
}

/// One webhook, whosever it is: the caller looks.
pub async fn find(tx: &mut Tx, id: WebhookId) -> Result<Option<Webhook>, StoreError> {
    let row: Option<WebhookRow> = tx
        .fetch_optional(
            "SELECT id, user_id, url, description, event_types, status, disabled_because, begins_after, public_key,
                    previous_public_key, previous_until, failing_since, created_at
             FROM webhooks WHERE id = $1 AND deleted_at IS NULL",
            (id.0,),
        )
        .await?;
    row.map(WebhookRow::into_webhook).transpose()
}

/// A person's webhooks, newest first.
pub async fn list(tx: &mut Tx, owner: UserId, page: Page) -> Result<Vec<Webhook>, StoreError> {
    let rows: Vec<WebhookRow> = tx
        .fetch_all(
            "SELECT id, user_id, url, description, event_types, status, disabled_because, begins_after, public_key,
                    previous_public_key, previous_until, failing_since, created_at
             FROM webhooks WHERE user_id = $1 AND id < $2 AND deleted_at IS NULL ORDER BY id DESC LIMIT $3",
            (owner.0, page.before, page.limit),
        )
        .await?;
    rows.into_iter().map(WebhookRow::into_webhook).collect()
}

/// Holds a webhook, so that what is changed by what was read of it stays true.
pub async fn lock(tx: &mut Tx, id: WebhookId) -> Result<(), StoreError> {
    const LOCK: Sql = sql!("SELECT id FROM webhooks WHERE id = $1", for_update);
    let _held: Option<(Uuid,)> = tx.fetch_optional(LOCK, (id.0,)).await?;
    Ok(())
}

/// Changes where it is and what it is told from now on. What was tried elsewhere does not count against a new place.
pub async fn update(tx: &mut Tx, webhook: &Webhook) -> Result<(), StoreError> {
    let Webhook { id, url, description, event_types, .. } = webhook;
    tx.execute(
        "UPDATE webhooks SET url = $2, description = $3, event_types = $4,
                failing_since = CASE WHEN url = $2 THEN failing_since END
         WHERE id = $1",
        (id.0, url, description, event_types.to_text()),
    )
    .await?;
    Ok(())
}

/// Stops telling it, and remembers how far it was told.
pub async fn pause(tx: &mut Tx, id: WebhookId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE webhooks
         SET status = 'PAUSED', behind_at = COALESCE(behind_at, (SELECT position FROM webhook_cursor WHERE id = 1))
         WHERE id = $1 AND status = 'ENABLED'",
        (id.0,),
    )
    .await?;
    Ok(())
}

/// Tells it again, from where it was told last; what waits is tried at once.
pub async fn resume(tx: &mut Tx, id: WebhookId, now_us: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE webhooks SET status = 'ENABLED', disabled_because = NULL, failing_since = NULL
         WHERE id = $1 AND status <> 'ENABLED'",
        (id.0,),
    )
    .await?;
    lanes::hurry(tx, id, now_us).await
}

/// Signs by `signer` from now on, and until `previous_until_us` by what signed before, too.
pub async fn rotate(tx: &mut Tx, id: WebhookId, signer: &Signer, previous_until_us: i64) -> Result<(), StoreError> {
    let Signer { secret, public_key } = signer;
    tx.execute(
        "UPDATE webhooks SET previous_sealed_secret = sealed_secret, previous_key_id = key_id,
                previous_public_key = public_key, previous_until = $5,
                sealed_secret = $2, key_id = $3, public_key = $4
         WHERE id = $1",
        (id.0, &secret.sealed, &secret.key_id, public_key, previous_until_us),
    )
    .await?;
    Ok(())
}

/// Ends a webhook for good. Its secrets go at once, its deliveries with [`deliveries::remove_deleted`].
pub async fn delete(tx: &mut Tx, id: WebhookId, now_us: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE webhooks
         SET status = 'PAUSED', disabled_because = NULL, behind_at = COALESCE(behind_at, 0), deleted_at = $2,
             url = '', sealed_secret = '', previous_sealed_secret = NULL, previous_key_id = NULL,
             previous_public_key = NULL, previous_until = NULL
         WHERE id = $1 AND deleted_at IS NULL",
        (id.0, now_us),
    )
    .await?;
    Ok(())
}
