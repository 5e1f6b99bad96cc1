//! What came of attempts: deliveries end or are tried again, lanes fall free, webhooks are disabled.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use directpay_domain::id::{DeliveryId, WebhookId};
use directpay_domain::webhook::{DeliveryStatus, DisabledBecause, Outcome};
use serde::Serialize;
use uuid::Uuid;

use super::lanes::{Held, close_empty};
use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::{Sql, sql};

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Delivered,
    /// It is tried again.
    Again {
        /// When.
        due_us: i64,
    },
    /// It was tried often enough.
    GivenUp,
    /// The webhook is disabled; it waits until that is resumed.
    Gone,
}

/// An attempt that was made.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Which; later ones are larger.
    pub id: Uuid,
    /// Of which lane, as it was taken for this.
    pub held: Held,
    /// Of which delivery.
    pub delivery_id: DeliveryId,
    /// Where to.
    pub url: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What the receiver answered, where it did.
    pub status_code: Option<i64>,
    /// The beginning of its answer, or why there was none.
    pub detail: String,
    /// When it began.
    pub started_us: i64,
    /// How long it took.
    pub duration_us: i64,
    /// What follows.
    pub verdict: Verdict,
    /// Whether the webhook was failing before.
    pub was_failing: bool,
}

/// Records attempts, lets go of their lanes, and disables webhooks that are gone or failed since `failing_since_us`.
///
/// Nothing is recorded twice, whatever became of the commit of the first time. A lane that was taken anew meanwhile is left to
/// whoever did: the same is sent again, and the attempt that came late is noted and decides nothing. Says what was disabled.
pub async fn record(
    tx: &mut Tx,
    attempts: &[Attempt],
    now_us: i64,
    failing_since_us: i64,
) -> Result<Vec<WebhookId>, StoreError> {
    if attempts.is_empty() {
        return Ok(Vec::new());
    }
    let noted = note(tx, attempts).await?;
    let attempts: Vec<&Attempt> = attempts.iter().filter(|attempt| noted.contains(&attempt.id)).collect();
    let disabled = judge_webhooks(tx, &attempts, now_us, failing_since_us).await?;
    let held = hold(tx, &attempts).await?;
    let deciding: Vec<&Attempt> = attempts.into_iter().filter(|attempt| held.contains(&attempt.held)).collect();
    let ended = |attempt: &Attempt| match attempt.verdict {
        Verdict::Delivered => Some(DeliveryStatus::Delivered),
        Verdict::GivenUp => Some(DeliveryStatus::GivenUp),
        Verdict::Again { .. } | Verdict::Gone => None,
    };
    let tried = deciding.iter().map(|attempt| {
        let status = ended(attempt);
        Tried {
            id: attempt.delivery_id,
            status: status.unwrap_or(DeliveryStatus::Waiting).name(),
            ended_at: status.map(|_| now_us),
        }
    });
    tx.execute_each(TRIED, &tried.collect::<Vec<_>>(), ()).await?;
    let freed = deciding.iter().map(|attempt| Freed {
        webhook_id: attempt.held.webhook_id,
        stream_id: attempt.held.stream_id,
        ended: i64::from(ended(attempt).is_some()),
        due_at: match attempt.verdict {
            Verdict::Again { due_us } => due_us,
            Verdict::Delivered | Verdict::GivenUp | Verdict::Gone => now_us,
        },
    });
    let freed: Vec<Freed> = freed.collect();
    tx.execute_each(FREE, &freed, ()).await?;
    close_empty(tx, &freed).await?;
    Ok(disabled)
}

#[derive(Serialize)]
struct Tried {
    id: DeliveryId,
    status: &'static str,
    ended_at: Option<i64>,
}

const TRIED: Sql = Sql {
    sqlite: "UPDATE webhook_deliveries
             SET attempts = attempts + 1, step = step + 1, status = $status, ended_at = $ended_at
             WHERE id = $id AND status = 'WAITING'",
    postgres: sql!(
        "UPDATE webhook_deliveries d
         SET attempts = d.attempts + 1, step = d.step + 1, status = r.status, ended_at = r.ended_at FROM",
        rows(id uuid, status text, ended_at bigint),
        "WHERE d.id = r.id AND d.status = 'WAITING'"
    )
    .postgres,
};

#[derive(Serialize)]
struct Freed {
    webhook_id: WebhookId,
    stream_id: Uuid,
    ended: i64,
    due_at: i64,
}

const FREE: Sql = Sql {
    sqlite: "UPDATE webhook_lanes SET waiting = waiting - $ended, due_at = $due_at, taking = NULL
             WHERE webhook_id = $webhook_id AND stream_id = $stream_id",
    postgres: sql!(
        "UPDATE webhook_lanes l SET waiting = l.waiting - r.ended, due_at = r.due_at, taking = NULL FROM",
        rows(webhook_id uuid, stream_id uuid, ended bigint, due_at bigint),
        "WHERE l.webhook_id = r.webhook_id AND l.stream_id = r.stream_id"
    )
    .postgres,
};

/// Takes hold of the lanes that nobody has taken anew, in the one order.
async fn hold(tx: &mut Tx, attempts: &[&Attempt]) -> Result<BTreeSet<Held>, StoreError> {
    const HOLD: Sql = sql!(
        "SELECT l.webhook_id, l.stream_id, l.taking FROM",
        each(webhook_id uuid, stream_id uuid, taking uuid),
        "webhook_lanes l WHERE l.webhook_id =",
        field(webhook_id),
        "AND l.stream_id =",
        field(stream_id),
        "AND l.taking =",
        field(taking),
        "ORDER BY l.webhook_id, l.stream_id",
        for_update_of(l)
    );
    let wanted: Vec<Held> = attempts.iter().map(|attempt| attempt.held).collect();
    let held: Vec<(Uuid, Uuid, Uuid)> = tx.fetch_each(HOLD, &wanted, ()).await?;
    let named = |(webhook, stream_id, taking)| Held { webhook_id: WebhookId(webhook), stream_id, taking };
    Ok(held.into_iter().map(named).collect())
}

#[derive(Serialize)]
struct AttemptRow<'a> {
    id: Uuid,
    delivery_id: DeliveryId,
    outcome: &'static str,
    status_code: Option<i64>,
    detail: &'a str,
    started_at: i64,
    duration_us: i64,
}

/// Says which were not noted before.
async fn note(tx: &mut Tx, attempts: &[Attempt]) -> Result<HashSet<Uuid>, StoreError> {
    const NOTE: Sql = sql!(
        insert(webhook_attempts: id uuid, delivery_id uuid, outcome text, status_code bigint, detail text,
               started_at bigint, duration_us bigint),
        " ON CONFLICT (id) DO NOTHING",
        returning(id)
    );
    let rows = attempts.iter().map(|attempt| AttemptRow {
        id: attempt.id,
        delivery_id: attempt.delivery_id,
        outcome: attempt.outcome.name(),
        status_code: attempt.status_code,
        detail: &attempt.detail,
        started_at: attempt.started_us,
        duration_us: attempt.duration_us,
    });
    let rows: Vec<_> = rows.collect();
    Ok(tx.insert_new(NOTE, &rows, |row| row.id).await?)
}

#[derive(Serialize)]
struct Judged<'a> {
    id: WebhookId,
    /// Where it was tried: that says nothing of where a webhook has moved since.
    url: &'a str,
    /// Why it ends, if this attempt alone decides so.
    because: Option<&'static str>,
    failed: i64,
}

/// Notes which webhooks fail and which do no longer, and disables those that are gone or have failed for too long.
async fn judge_webhooks(
    tx: &mut Tx,
    attempts: &[&Attempt],
    now_us: i64,
    failing_since_us: i64,
) -> Result<Vec<WebhookId>, StoreError> {
    const HOLD: Sql = sql!(
        "SELECT w.id FROM",
        each(id uuid),
        "webhooks w WHERE w.id =",
        field(id),
        "ORDER BY w.id",
        for_update_of(w)
    );
    const JUDGE: Sql = Sql {
        sqlite: "UPDATE webhooks SET failing_since = CASE WHEN $failed = 1 THEN COALESCE(failing_since, $2) END
                 WHERE id = $id AND url = $url",
        postgres: sql!(
            "UPDATE webhooks w SET failing_since = CASE WHEN r.failed = 1 THEN COALESCE(w.failing_since, $2) END FROM",
            rows(id uuid, url text, failed bigint),
            "WHERE w.id = r.id AND w.url = r.url"
        )
        .postgres,
    };
    const DISABLE: Sql = Sql {
        sqlite: "UPDATE webhooks
                 SET status = 'DISABLED', disabled_because = COALESCE($because, $3),
                     behind_at = COALESCE(behind_at, (SELECT c.position FROM webhook_cursor c WHERE c.id = 1))
                 WHERE id = $id AND url = $url AND status = 'ENABLED' AND ($because IS NOT NULL OR failing_since <= $2)
                 RETURNING id",
        postgres: sql!(
            "UPDATE webhooks w
             SET status = 'DISABLED', disabled_because = COALESCE(r.because, $3),
                 behind_at = COALESCE(w.behind_at, (SELECT c.position FROM webhook_cursor c WHERE c.id = 1)) FROM",
            rows(id uuid, url text, because text),
            "WHERE w.id = r.id AND w.url = r.url AND w.status = 'ENABLED' AND (r.because IS NOT NULL OR w.failing_since <= $2)
             RETURNING w.id"
        )
        .postgres,
    };
    let mut webhooks: BTreeMap<(WebhookId, &str), Judged> = BTreeMap::new();
    for attempt in attempts.iter().filter(|attempt| attempt.was_failing || attempt.outcome != Outcome::Delivered) {
        let (id, url) = (attempt.held.webhook_id, attempt.url.as_str());
        let judged = webhooks.entry((id, url)).or_insert(Judged { id, url, because: None, failed: 1 });
        if attempt.verdict == Verdict::Gone {
            judged.because = Some(DisabledBecause::Gone.name());
        }
    }
    for attempt in attempts.iter().filter(|attempt| attempt.outcome == Outcome::Delivered) {
        if let Some(judged) = webhooks.get_mut(&(attempt.held.webhook_id, attempt.url.as_str())) {
            judged.failed = 0;
        }
    }
    let judged: Vec<Judged> = webhooks.into_values().collect();
    let _held: Vec<(Uuid,)> = tx.fetch_each(HOLD, &judged, ()).await?;
    tx.execute_each(JUDGE, &judged, (now_us,)).await?;
    let because = DisabledBecause::Failing.name();
    let disabled: Vec<(Uuid,)> = tx.fetch_each(DISABLE, &judged, (failing_since_us, because)).await?;
    Ok(disabled.into_iter().map(|(id,)| WebhookId(id)).collect())
}
