//! Deposits are released once, are used up as their events say, and never come to more than was charged.

use directpay_domain::charge::ChargeKind;
use directpay_domain::deposit::DepositRelease;
use directpay_domain::id::LeaseId;
use directpay_domain::lease_event::{LeaseChange, LeaseEvent};

use super::Check;
use crate::db::Tx;
use crate::error::StoreError;

/// Goes through the history of a lease and looks at each release.
pub(super) async fn check(
    tx: &mut Tx,
    check: &mut Check,
    lease: LeaseId,
    events: &[LeaseEvent],
) -> Result<(), StoreError> {
    let mut owed: i64 = 0;
    for event in events {
        if let LeaseChange::ChargePosted(posted) = &event.change
            && posted.kind == ChargeKind::Deposit
        {
            owed += posted.amount.minor();
        } else if let LeaseChange::ChargeVoided { was_posted: true, kind: ChargeKind::Deposit, amount, .. } =
            &event.change
        {
            owed -= amount.minor();
        } else if let LeaseChange::DepositReleased(release) = &event.change {
            owed -= release.amount.minor();
            let id = release.return_id;
            let too_much = (owed < 0).then(|| format!("deposit return {id} releases more than was charged"));
            let wrong = wrong_release(tx, lease, event.sequence, release).await?;
            check.note(too_much.or(wrong));
        }
    }
    Ok(())
}

async fn wrong_release(
    tx: &mut Tx,
    lease: LeaseId,
    sequence: i64,
    release: &DepositRelease,
) -> Result<Option<String>, StoreError> {
    let id = release.return_id;
    let (used, noted): (i64, i64) = tx
        .fetch_one(
            "SELECT CAST(COALESCE((SELECT SUM(a.amount) FROM allocations a WHERE a.source_id = $1), 0)
                    + COALESCE((SELECT SUM(c.amount) FROM credits c WHERE c.lease_id = $2 AND c.source_id = $1), 0)
                    AS BIGINT),
                    (SELECT COUNT(*) FROM deposit_returns d WHERE d.id = $1 AND d.lease_id = $2 AND d.sequence = $3)",
            (id, lease.0, sequence),
        )
        .await?;
    if noted != 1 {
        return Ok(Some(format!("deposit return {id} has an event and no row")));
    }
    let differing = used - release.amount.minor();
    if differing != 0 {
        return Ok(Some(format!("deposit return {id} is applied or credit by {differing} minor units too much")));
    }
    let Some(refund) = release.refund else { return Ok(None) };
    let (payments,): (i64,) = tx
        .fetch_one(
            "SELECT COUNT(*) FROM payments WHERE id = $1 AND lease_id = $2 AND kind = 'REFUND' AND amount = $3",
            (refund.payment_id.0, lease.0, refund.amount.minor()),
        )
        .await?;
    Ok((payments != 1).then(|| format!("what is left of deposit return {id} has no payment")))
}
