//! Tells the feed to webhooks: each event becomes a delivery for every webhook whose owner may see it.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, anyhow};
use directpay_domain::id::{DeliveryId, LeaseId, UserId, WebhookId};
use directpay_domain::time::Instant;
use directpay_store::feed::{Entry, Fact, Reader};
use directpay_store::users::Named;
use directpay_store::webhooks::fan_out::{self, Behind, NewDelivery, Told};
use directpay_store::webhooks::lanes;
use serde::Serialize;
use uuid::Uuid;

use super::deliver::Desk;
use super::{Round, Shift};
use crate::api::feed::{FeedEventView, reader_of};
use crate::app::App;
use crate::bank::BankConnection;
use crate::clock;
use crate::feed::{Part, renters_of};

/// Between two looks at the feed.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// Events that are told at once.
const PART_MAX: i64 = 256;
/// Webhooks that catch up in one round.
const BEHIND_MAX: usize = 16;
/// A webhook that catches up waits while so many histories wait for it.
const CROWD: i64 = 1_000;

/// What a receiver gets, as Standard Webhooks has it.
#[derive(Serialize)]
pub(crate) struct Message<'a, T> {
    /// What happened.
    #[serde(rename = "type")]
    pub(crate) event_type: &'a str,
    /// When.
    pub(crate) timestamp: Instant,
    /// The event.
    pub(crate) data: T,
}

pub(super) async fn round<B: BankConnection>(shift: Shift<B>, desk: Desk) -> anyhow::Result<Round> {
    let told = tell_those_abreast(&shift.app).await.context("telling the feed to webhooks")?;
    let caught_up = catch_up(&shift.app, &desk).await.context("telling the feed to webhooks that are behind")?;
    if told == Round::Worked || caught_up == Round::Worked {
        desk.bell().ring();
        return Ok(Round::Worked);
    }
    Ok(Round::Idle)
}

/// What happened next, for all who have everything before it.
async fn tell_those_abreast(app: &App) -> anyhow::Result<Round> {
    let mut tx = app.db.begin_read().await?;
    if !fan_out::anybody_abreast(&mut tx).await? {
        return Ok(Round::Idle);
    }
    let cursor = fan_out::cursor(&mut tx).await?;
    let part = Part::read(&mut tx, Reader::Everybody, cursor.position, PART_MAX).await?;
    if part.page.through == cursor.position {
        return Ok(Round::Idle);
    }
    let renters = renters_of(&mut tx, &part.page.entries).await?;
    let mut people: Vec<UserId> = renters.values().flatten().copied().collect();
    people.extend(part.page.entries.iter().filter_map(|entry| entry.landlord_id));
    people.sort_unstable();
    people.dedup();
    let webhooks = fan_out::abreast(&mut tx, &people).await?;
    drop(tx);
    let mut new = Vec::new();
    for entry in &part.page.entries {
        for webhook in &webhooks {
            if is_told(webhook, entry, &renters) {
                new.push(delivery(webhook, entry, &part.names)?);
            }
        }
    }
    let mut tx = app.db.begin().await?;
    if fan_out::advance(&mut tx, cursor, part.page.through).await? {
        fan_out::insert(&mut tx, &new, app.clock.process_us()).await?;
        tx.commit().await?;
    }
    Ok(Round::Worked)
}

fn is_told(webhook: &Told, entry: &Entry, renters: &HashMap<LeaseId, Vec<UserId>>) -> bool {
    webhook.begins_after < entry.position
        && reader_of(webhook.user_id, webhook.role).sees(entry, renters)
        && webhook.event_types.contains(event_type(entry))
}

fn event_type(entry: &Entry) -> &'static str {
    match &entry.fact {
        Fact::Payment(event, _) => event.change.event_type().name(),
        Fact::Lease(event) => event.change.event_type().name(),
    }
}

/// What `webhook` is told of an event: what the feed shows its owner.
fn delivery(webhook: &Told, entry: &Entry, names: &[Named]) -> anyhow::Result<NewDelivery> {
    let (stream_id, timestamp) = match &entry.fact {
        Fact::Payment(event, _) => (event.payment_id.0, event.occurred_at),
        Fact::Lease(event) => (event.lease_id.0, event.occurred_at),
    };
    let data = FeedEventView::seen_by(webhook.user_id, webhook.role, entry, names)
        .map_err(|_| anyhow!("the event at position {} cannot be shown", entry.position))?;
    let event_type = event_type(entry);
    Ok(NewDelivery {
        id: DeliveryId(clock::new_id()),
        webhook_id: webhook.id,
        position: Some(entry.position),
        stream_id,
        event_type,
        body: serde_json::to_string(&Message { event_type, timestamp, data })?,
    })
}

/// What happened long ago, for those who begin there or were paused.
async fn catch_up(app: &App, desk: &Desk) -> anyhow::Result<Round> {
    let mut worked = Round::Idle;
    for _ in 0..BEHIND_MAX {
        let mut tx = app.db.begin_read().await?;
        let behind = fan_out::next_behind(&mut tx, desk.last_behind()).await?;
        drop(tx);
        let Some(behind) = behind else {
            // Round again, from the first.
            desk.note_behind(Uuid::nil());
            break;
        };
        desk.note_behind(behind.told.id.0);
        if catch_one_up(app, &behind).await? == Round::Worked {
            worked = Round::Worked;
        }
    }
    Ok(worked)
}

async fn catch_one_up(app: &App, behind: &Behind) -> anyhow::Result<Round> {
    let Behind { told, position } = behind;
    let mut tx = app.db.begin_read().await?;
    if lanes::is_crowded(&mut tx, told.id, CROWD).await? {
        return Ok(Round::Idle);
    }
    let part = Part::read(&mut tx, reader_of(told.user_id, told.role), *position, PART_MAX).await?;
    drop(tx);
    let mut tx = app.db.begin().await?;
    if part.page.through == *position {
        let is_level = fan_out::draw_level(&mut tx, behind).await?;
        tx.commit().await?;
        return Ok(if is_level { Round::Worked } else { Round::Idle });
    }
    let wanted = part.page.entries.iter().filter(|entry| told.event_types.contains(event_type(entry)));
    let new = wanted.map(|entry| delivery(told, entry, &part.names)).collect::<anyhow::Result<Vec<_>>>()?;
    if fan_out::catch_up(&mut tx, behind, part.page.through).await? {
        fan_out::insert(&mut tx, &new, app.clock.process_us()).await?;
        tx.commit().await?;
    }
    Ok(Round::Worked)
}

/// The message that tries a webhook out.
pub(crate) fn test_message(webhook_id: WebhookId, now: Instant) -> serde_json::Result<NewDelivery> {
    #[derive(Serialize)]
    struct Test {
        webhook_id: WebhookId,
    }
    const TEST: &str = "webhook_test";
    let id = clock::new_id();
    let message = Message { event_type: TEST, timestamp: now, data: Test { webhook_id } };
    Ok(NewDelivery {
        id: DeliveryId(id),
        webhook_id,
        position: None,
        stream_id: id,
        event_type: TEST,
        body: serde_json::to_string(&message)?,
    })
}
