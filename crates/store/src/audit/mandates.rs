//! Each mandate stands as its events say, and each draw is a payment of its renter, from its account, within its cap.

use std::collections::{BTreeMap, BTreeSet};

use directpay_domain::calendar;
use directpay_domain::id::LeaseId;
use directpay_domain::lease_event::{LeaseChange, LeaseEvent};
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;

#[derive(Deserialize, FromRow)]
struct DrawRow {
    mandate_id: Uuid,
    status: String,
    due_date: Option<i64>,
    payment_id: Option<Uuid>,
    is_sound: bool,
}

/// What is wrong with the mandates of a lease, and how many there are.
pub(super) async fn check(
    tx: &mut Tx,
    lease: LeaseId,
    events: &[LeaseEvent],
) -> Result<(usize, Option<String>), StoreError> {
    let rows: Vec<DrawRow> = tx
        .fetch_all(
            "SELECT m.id AS mandate_id, m.status, d.due_date, d.payment_id,
                    (d.payment_id IS NULL OR (p.lease_id = m.lease_id AND p.initiated_by = m.renter_id
                     AND p.payer_account_id = m.account_id AND p.kind = 'RENT' AND p.amount <= m.cap)) AS is_sound
             FROM mandates m LEFT JOIN draws d ON d.mandate_id = m.id LEFT JOIN payments p ON p.id = d.payment_id
             WHERE m.lease_id = $1 ORDER BY m.id, d.due_date",
            (lease.0,),
        )
        .await?;
    let stands: BTreeMap<Uuid, &str> = rows.iter().map(|row| (row.mandate_id, row.status.as_str())).collect();
    Ok((stands.len(), wrong(events, &rows, &stands)))
}

fn wrong(events: &[LeaseEvent], rows: &[DrawRow], stands: &BTreeMap<Uuid, &str>) -> Option<String> {
    if let Some(row) = rows.iter().find(|row| !row.is_sound) {
        return Some(format!("mandate {}: a draw is another's payment, or above its cap", row.mandate_id));
    }
    let (mut should_stand, mut should_be_drawn) = (BTreeMap::new(), BTreeSet::new());
    for event in events {
        if let LeaseChange::MandateChanged { mandate_id, status, .. } = &event.change {
            should_stand.insert(*mandate_id, status.name());
        }
        if let LeaseChange::DrawMade { draw, payment_id, .. } = &event.change {
            should_be_drawn.insert((draw.mandate_id, calendar::date_to_number(draw.due_date), payment_id.0));
        }
    }
    if should_stand != *stands {
        return Some("its mandates do not stand as its events say".to_owned());
    }
    let drawn: BTreeSet<_> =
        rows.iter().filter_map(|row| Some((row.mandate_id, row.due_date?, row.payment_id?))).collect();
    (drawn != should_be_drawn).then(|| "its draws are not those of its events".to_owned())
}
