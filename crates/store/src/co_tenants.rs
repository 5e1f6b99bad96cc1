//! Who of the renters of a lease has given what for its charges.

use directpay_domain::calendar;
use directpay_domain::co_tenants::Given;
use directpay_domain::id::{ChargeId, LeaseId, UserId};
use jiff::civil::Date;
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

/// What is left of a source of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// The payment, or the credit that the landlord gave.
    pub source: Uuid,
    /// Whose payment; nobody's if the landlord let it off.
    pub renter_id: Option<UserId>,
    /// How much, in minor units.
    pub minor: i64,
    /// It was drawn for all that is due by this day.
    pub drawn_for: Option<Date>,
}

/// The credit of a lease, and whose it is.
pub async fn credit(tx: &mut Tx, lease: LeaseId) -> Result<Vec<Left>, StoreError> {
    let rows: Vec<(Uuid, i64, Option<Uuid>, Option<i64>)> = tx
        .fetch_all(
            "SELECT c.source_id, c.amount, p.initiated_by, d.due_date FROM credits c
             LEFT JOIN payments p ON p.id = c.source_id LEFT JOIN draws d ON d.payment_id = c.source_id
             WHERE c.lease_id = $1",
            (lease.0,),
        )
        .await?;
    rows.into_iter()
        .map(|(source, minor, renter, due)| {
            let due = due.map(calendar::date_from_number).transpose().map_err(StoreError::damaged("date"))?;
            Ok(Left { source, renter_id: renter.map(UserId), minor, drawn_for: due })
        })
        .collect()
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
