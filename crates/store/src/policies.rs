//! Which rent landlords take now.

use std::collections::HashMap;

use directpay_domain::calendar;
use directpay_domain::id::LeaseId;
use directpay_domain::payment::initiate::Acceptance;
use directpay_domain::policy::{Policy, PolicySpan};
use directpay_domain::property::{self, ZoneName};
use directpay_domain::time::Instant;
use jiff::civil::Date;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::payments::{self, distinct};
use crate::sql::{Sql, sql};

#[derive(Deserialize, FromRow)]
struct PolicyRow {
    id: Uuid,
    policy: String,
    policy_from: Option<i64>,
    policy_until: Option<i64>,
    time_zone: String,
}

/// The leases among these whose landlords do not take any payment now, and what they take.
pub async fn restricted(
    tx: &mut Tx,
    leases: impl Iterator<Item = LeaseId>,
    now: Instant,
) -> Result<HashMap<LeaseId, Acceptance>, StoreError> {
    const FIND: Sql = sql!(
        "SELECT l.id, l.policy, l.policy_from, l.policy_until, p.time_zone FROM",
        each(id uuid),
        "leases l JOIN properties p ON p.id = l.property_id WHERE l.policy <> 'ANY' AND l.id =",
        field(id)
    );
    let rows: Vec<PolicyRow> = tx.fetch_each(FIND, &distinct(leases.map(|id| id.0)), ()).await?;
    let date = |number| calendar::date_from_number(number).map_err(StoreError::damaged("date"));
    let mut restricted = HashMap::new();
    for row in rows {
        let zone = ZoneName::parse(&row.time_zone).map_err(StoreError::damaged("time zone"))?;
        let today = property::local_date(&zone, now.timestamp());
        let span = PolicySpan {
            policy: Policy::parse(&row.policy).map_err(StoreError::damaged("policy"))?,
            from: row.policy_from.map(date).transpose()?,
            until: row.policy_until.map(date).transpose()?,
        };
        let id = LeaseId(row.id);
        let acceptance = match span.on(today) {
            Policy::Any => continue,
            Policy::FullBalance => Acceptance::FullBalance { owed_minor: owed(tx, id, today).await? },
            Policy::BlockAll => Acceptance::Nothing,
        };
        restricted.insert(id, acceptance);
    }
    Ok(restricted)
}

/// What is owed of a lease by the end of `through` and neither paid nor on its way, in minor units.
pub async fn owed(tx: &mut Tx, lease: LeaseId, through: Date) -> Result<i64, StoreError> {
    let (open,): (i64,) = tx
        .fetch_one(
            "SELECT CAST(COALESCE(SUM(amount - applied), 0) AS BIGINT) FROM charges WHERE lease_id = $1
             AND posted_at IS NOT NULL AND voided_at IS NULL AND applied < amount AND due_date <= $2",
            (lease.0, calendar::date_to_number(through)),
        )
        .await?;
    let pending: i64 = payments::pending_rent(tx, lease).await?.iter().map(|pending| pending.minor).sum();
    Ok((open - pending).max(0))
}
