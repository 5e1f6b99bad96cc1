//! Whatever waits for a webhook has its place in the queue.

use uuid::Uuid;

use super::Check;
use crate::db::Tx;
use crate::error::StoreError;

pub(super) async fn check(tx: &mut Tx) -> Result<Check, StoreError> {
    const LANES: &str = "
        SELECT webhook_id, stream_id, CAST(SUM(said) AS BIGINT), CAST(SUM(found) AS BIGINT) FROM (
            SELECT webhook_id, stream_id, waiting AS said, 0 AS found FROM webhook_lanes
            UNION ALL
            SELECT webhook_id, stream_id, 0, 1 FROM webhook_deliveries WHERE status = 'WAITING') AS both_of
        WHERE NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.id = both_of.webhook_id AND w.deleted_at IS NOT NULL)
        GROUP BY webhook_id, stream_id HAVING SUM(said) <> SUM(found) OR SUM(found) = 0 LIMIT 100";
    let mut check = Check::new("what waits for a webhook stands in its queue");
    let (waiting,): (i64,) =
        tx.fetch_one("SELECT COUNT(*) FROM webhook_deliveries WHERE status = 'WAITING'", ()).await?;
    check.examined = u64::try_from(waiting).unwrap_or(0);
    let wrong: Vec<(Uuid, Uuid, i64, i64)> = tx.fetch_all(LANES, ()).await?;
    for (webhook, stream, said, found) in wrong {
        check.breach(Some(format!(
            "of {stream} {found} deliveries wait for webhook {webhook} and the queue says {said}"
        )));
    }
    Ok(check)
}
