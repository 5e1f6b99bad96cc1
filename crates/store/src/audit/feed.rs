//! The feed has every event once, in the order of its history, under positions without a gap.

use uuid::Uuid;

use super::Check;
use crate::db::Tx;
use crate::error::StoreError;
use crate::feed;
use crate::sql::Sql;

/// Whatever stands in no place of the log, or in another one than its history has it in.
pub(super) async fn places(tx: &mut Tx, is_shared: bool) -> Result<Vec<Check>, StoreError> {
    Ok(vec![once(tx, is_shared).await?, in_order(tx).await?])
}

pub(super) async fn check(tx: &mut Tx, is_shared: bool) -> Result<Vec<Check>, StoreError> {
    let head = u64::try_from(feed::head(tx).await?).unwrap_or(0);
    let mut checks = vec![dense(tx).await?, once(tx, is_shared).await?, in_order(tx).await?, whose(tx).await?];
    for check in &mut checks {
        check.examined = head;
    }
    Ok(checks)
}

/// Nothing was taken out of the feed, neither in the middle nor at the beginning.
async fn dense(tx: &mut Tx) -> Result<Check, StoreError> {
    const GAPS: Sql = Sql {
        sqlite: "SELECT position, before FROM (
                     SELECT position, LAG(position, 1, 0) OVER (ORDER BY position) AS before FROM events) AS g
                 WHERE position <> before + 1 LIMIT 100",
        postgres: "SELECT position, before FROM (
                       SELECT position, LAG(position, 1, 0::bigint) OVER (ORDER BY position) AS before FROM feed) AS g
                   WHERE position <> before + 1 LIMIT 100",
    };
    let mut check = Check::new("positions in the feed have no gap");
    let gaps: Vec<(i64, i64)> = tx.fetch_all(GAPS, ()).await?;
    for (position, before) in gaps {
        check.breach(Some(format!("position {position} of the feed follows on {before}")));
    }
    Ok(check)
}

/// On SQLite position and event are one row. On PostgreSQL each event has one row in the feed, or waits for it.
async fn once(tx: &mut Tx, is_shared: bool) -> Result<Check, StoreError> {
    const PLACES: &str = "
        SELECT stream_id, sequence, CAST(SUM(events) AS BIGINT), CAST(SUM(places) AS BIGINT) FROM (
            SELECT stream_id, sequence, 1 AS events, 0 AS places FROM events
            UNION ALL
            SELECT stream_id, sequence, 0, 1 FROM feed
            UNION ALL
            SELECT e.stream_id, e.sequence, 0, 1
            FROM feed_waiting w CROSS JOIN LATERAL unnest(w.stream_ids, w.sequences) AS e(stream_id, sequence)) AS all_of
        GROUP BY stream_id, sequence
        HAVING SUM(events) <> 1 OR 1 < SUM(places) OR (SUM(places) = 0 AND NOT EXISTS (
            -- Events from before the feed that have not had their turn.
            SELECT 1 FROM feed_before b WHERE (b.stream_id, b.sequence) < (all_of.stream_id, all_of.sequence)))
        LIMIT 100";
    let mut check = Check::new("every event has one position in the feed, or waits for it");
    if is_shared {
        let wrong: Vec<(Uuid, i64, i64, i64)> = tx.fetch_all(PLACES, ()).await?;
        for (stream, sequence, events, places) in wrong {
            let which = format!("event {sequence} of {stream}");
            let (is_missing, has_places) = (events == 0, format!("{places} places in the feed"));
            let missing = if is_missing { " does not exist and" } else { "" };
            check.breach(Some(format!("{which}{missing} has {has_places}")));
        }
    }
    Ok(check)
}

async fn in_order(tx: &mut Tx) -> Result<Check, StoreError> {
    const DISORDERED: Sql = Sql {
        sqlite: "SELECT e.stream_id, e.sequence, e.position FROM events e
                 JOIN events b ON b.stream_id = e.stream_id AND b.sequence = e.sequence - 1
                 WHERE e.position < b.position LIMIT 100",
        postgres: "SELECT stream_id, sequence, position FROM (
                       SELECT stream_id, sequence, position,
                              LAG(position) OVER (PARTITION BY stream_id ORDER BY sequence) AS before FROM feed) AS o
                   WHERE position < before LIMIT 100",
    };
    let mut check = Check::new("the feed has every history in its order");
    let wrong: Vec<(Uuid, i64, i64)> = tx.fetch_all(DISORDERED, ()).await?;
    for (stream, sequence, position) in wrong {
        check.breach(Some(format!(
            "event {sequence} of {stream} has position {position}, before the one that it follows on"
        )));
    }
    Ok(check)
}

/// Who sees an event follows from what stands beside its position.
async fn whose(tx: &mut Tx) -> Result<Check, StoreError> {
    let mut check = Check::new("the feed shows each event to those whose it is");
    let wrong: Vec<(i64,)> = tx
        .fetch_all(
            "SELECT f.position FROM feed f
             LEFT JOIN payments p ON p.id = f.stream_id LEFT JOIN leases l ON l.id = f.stream_id
             WHERE NOT COALESCE(p.lease_id = f.lease_id AND p.landlord_id = f.landlord_id,
                                l.id = f.lease_id AND l.landlord_id = f.landlord_id, FALSE) LIMIT 100",
            (),
        )
        .await?;
    for (position,) in wrong {
        check.breach(Some(format!("the event at position {position} is shown to others than those whose it is")));
    }
    Ok(check)
}
