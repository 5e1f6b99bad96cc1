//! Refunds give back what was paid, to who paid it, and never more than that.

use uuid::Uuid;

use super::{Check, PAGE};
use crate::db::Tx;
use crate::error::StoreError;

pub(super) async fn check(tx: &mut Tx) -> Result<Check, StoreError> {
    let mut check = Check::new("refunds fit the payments that they name, and together never exceed them");
    let (refunded,): (i64,) = tx.fetch_one("SELECT COUNT(*) FROM refunded_payments", ()).await?;
    check.examined = u64::try_from(refunded).unwrap_or(0);
    let differing: Vec<(Uuid, i64)> = tx
        .fetch_all(
            "SELECT payment_id, CAST(SUM(amount) AS BIGINT) FROM (
                 SELECT payment_id, promised AS amount FROM refunded_payments
                 UNION ALL
                 SELECT refund_of, -amount FROM payments
                 WHERE refund_of IS NOT NULL AND status IN ('PENDING', 'PROCESSING', 'COMPLETED')) AS lines
             GROUP BY payment_id HAVING SUM(amount) <> 0 LIMIT $1",
            (PAGE,),
        )
        .await?;
    for (payment, minor) in differing {
        check.breach(Some(format!(
            "what is promised back of payment {payment} differs from its refunds by {minor} minor units"
        )));
    }
    let exceeded: Vec<(Uuid,)> = tx
        .fetch_all(
            "SELECT f.payment_id FROM refunded_payments f JOIN payments p ON p.id = f.payment_id
             GROUP BY f.payment_id HAVING MIN(p.amount) <> MIN(f.settled) OR MIN(f.settled) < MIN(f.promised) LIMIT $1",
            (PAGE,),
        )
        .await?;
    for (payment,) in exceeded {
        check.breach(Some(format!(
            "payment {payment} settled another amount than its refunds go by, or less than that"
        )));
    }
    let unfit: Vec<(Uuid,)> = tx
        .fetch_all(
            "SELECT r.id FROM payments r JOIN payments p ON p.id = r.refund_of
             WHERE p.kind <> 'RENT' OR p.completed_at IS NULL OR p.lease_id <> r.lease_id OR p.currency <> r.currency
                OR p.initiated_by <> r.payee_id
             GROUP BY r.id HAVING 0 < COUNT(*) LIMIT $1",
            (PAGE,),
        )
        .await?;
    for (refund,) in unfit {
        check.breach(Some(format!("refund {refund} names a payment that it cannot give back")));
    }
    Ok(check)
}
