//! Who of the renters of a lease has given what for its charges.

use directpay_domain::co_tenants::Given;
use directpay_domain::id::{ChargeId, LeaseId, UserId};
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;

/// What one renter has given for one charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contribution {
    /// For which charge.
    pub charge_id: ChargeId,
    /// Who.
    pub renter_id: UserId,
    /// How much, as far as banks have seen it.
    pub given: Given,
}

/// What the renters of a lease have given for its charges: payments that banks are moving or have moved.
pub async fn contributions(tx: &mut Tx, lease: LeaseId) -> Result<Vec<Contribution>, StoreError> {
    let rows: Vec<(Uuid, Uuid, i64, i64)> = tx
        .fetch_all(
            "SELECT c.id, p.initiated_by,
                    CAST(SUM(CASE WHEN p.status = 'COMPLETED' THEN a.amount ELSE 0 END) AS BIGINT),
                    CAST(SUM(CASE WHEN p.status = 'COMPLETED' THEN 0 ELSE a.amount END) AS BIGINT)
             FROM charges c JOIN allocations a ON a.charge_id = c.id JOIN payments p ON p.id = a.source_id
             WHERE c.lease_id = $1 GROUP BY c.id, p.initiated_by HAVING SUM(a.amount) <> 0",
            (lease.0,),
        )
        .await?;
    let contribution = |(charge, renter, paid_minor, on_the_way_minor)| Contribution {
        charge_id: ChargeId(charge),
        renter_id: UserId(renter),
        given: Given { paid_minor, on_the_way_minor },
    };
    Ok(rows.into_iter().map(contribution).collect())
}
