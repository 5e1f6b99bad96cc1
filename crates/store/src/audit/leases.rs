//! Every charge, credit and posting of a lease follows from its events, and all that pays for a charge adds up.

use std::collections::{BTreeMap, HashMap};

use directpay_domain::charge::ChargeKind;
use directpay_domain::id::LeaseId;
use directpay_domain::lease_event::{LeaseChange, LeaseEvent};
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::histories::{LineRow, agrees};
use super::{Check, PAGE, deposits, mandates};
use crate::charges::{Charge, ChargeRow};
use crate::db::Tx;
use crate::error::StoreError;
use crate::ledger::Line;

/// How many leases are looked at together: each may have hundreds of events.
const LEASES: i64 = 50;

#[derive(Deserialize, FromRow)]
struct AccountRow {
    lease_id: Uuid,
    version: i64,
    landlord_id: Uuid,
}

#[derive(Deserialize, FromRow)]
struct BodyRow {
    sequence: i64,
    event_type: String,
    occurred_at: i64,
    body: String,
}

/// The checks that go lease by lease.
struct Checks {
    sequence: Check,
    charges: Check,
    deposits: Check,
    postings: Check,
    mandates: Check,
}

pub(super) async fn check(tx: &mut Tx) -> Result<Vec<Check>, StoreError> {
    let mut checks = Checks {
        sequence: Check::new("lease events have no gap and say what their bodies say"),
        charges: Check::new("charges are owed, and taken back, by events"),
        deposits: Check::new("deposits are released once, and only what was charged"),
        postings: Check::new("postings of leases are those of their events"),
        mandates: Check::new("mandates and draws are those of their events"),
    };
    let mut after = Uuid::nil();
    loop {
        let leases: Vec<AccountRow> = tx
            .fetch_all(
                "SELECT a.lease_id, a.version, l.landlord_id FROM lease_accounts a JOIN leases l ON l.id = a.lease_id
                 WHERE $1 < a.lease_id ORDER BY a.lease_id LIMIT $2",
                (after, LEASES),
            )
            .await?;
        let Some(last) = leases.last() else { break };
        after = last.lease_id;
        for lease in &leases {
            checks.one(tx, lease).await?;
        }
    }
    let Checks { sequence, charges, deposits, postings, mandates } = checks;
    let of_leases = [sequence, charges, deposits, postings, mandates];
    Ok(of_leases.into_iter().chain([charges_applied(tx).await?, sources_used_once(tx).await?]).collect())
}

impl Checks {
    async fn one(&mut self, tx: &mut Tx, lease: &AccountRow) -> Result<(), StoreError> {
        let id = LeaseId(lease.lease_id);
        let rows: Vec<BodyRow> = tx
            .fetch_all(
                "SELECT sequence, event_type, occurred_at, body FROM events WHERE stream_id = $1 ORDER BY sequence",
                (id.0,),
            )
            .await?;
        let events: Result<Vec<LeaseEvent>, _> = rows.iter().map(|row| serde_json::from_str(&row.body)).collect();
        let events = match events {
            Ok(events) => events,
            Err(error) => {
                self.sequence.note(Some(format!("lease {id}: an event cannot be read: {error}")));
                return Ok(());
            }
        };
        self.sequence.note(wrong_sequence(lease, &rows, &events));
        let lines: Vec<LineRow> = tx
            .fetch_all(
                "SELECT stream_id, sequence, line, landlord_id, currency, debit, credit, amount FROM postings
                 WHERE stream_id = $1 ORDER BY sequence, line",
                (id.0,),
            )
            .await?;
        self.postings.note(wrong_postings(lease, &events, &lines));
        let charges: Vec<ChargeRow> = tx.fetch_all("SELECT * FROM charges WHERE lease_id = $1", (id.0,)).await?;
        let charges = charges.into_iter().map(ChargeRow::into_charge).collect::<Result<Vec<_>, _>>()?;
        for breach in wrong_charges(&events, &charges) {
            self.charges.breach(Some(format!("lease {id}: {breach}")));
        }
        self.charges.examined += u64::try_from(charges.len()).unwrap_or(0);
        let (count, breach) = mandates::check(tx, id, &events).await?;
        self.mandates.breach(breach.map(|breach| format!("lease {id}: {breach}")));
        self.mandates.examined += u64::try_from(count).unwrap_or(0);
        deposits::check(tx, &mut self.deposits, id, &events).await?;
        Ok(())
    }
}

fn wrong_sequence(lease: &AccountRow, rows: &[BodyRow], events: &[LeaseEvent]) -> Option<String> {
    let id = lease.lease_id;
    for ((row, event), expected) in rows.iter().zip(events).zip(1..) {
        let agrees = row.sequence == expected
            && event.sequence == expected
            && event.lease_id.0 == id
            && event.change.event_type().name() == row.event_type
            && event.occurred_at.micros() == row.occurred_at;
        if !agrees {
            return Some(format!(
                "lease {id}: event {} stands where {expected} should, or differs from its body",
                row.sequence
            ));
        }
    }
    let last = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    (last != lease.version).then(|| format!("lease {id}: has {last} events and counts {}", lease.version))
}

fn wrong_postings(lease: &AccountRow, events: &[LeaseEvent], lines: &[LineRow]) -> Option<String> {
    let id = LeaseId(lease.lease_id);
    let expected: Vec<Line> = events
        .iter()
        .flat_map(|event| {
            let entry: Vec<_> = event.change.posting(id).into_iter().collect();
            Line::entry(id.0, event.sequence, lease.landlord_id.into(), &entry)
        })
        .collect();
    let same = expected.len() == lines.len() && expected.iter().zip(lines).all(|(line, row)| agrees(line, row));
    (!same).then(|| format!("lease {id}: its postings are not those of its events"))
}

/// Goes through the history and compares what it says of each charge.
fn wrong_charges(events: &[LeaseEvent], charges: &[Charge]) -> Vec<String> {
    let (mut posted, mut voided, mut corrected) = (HashMap::new(), HashMap::new(), BTreeMap::<Uuid, i64>::new());
    for event in events {
        match &event.change {
            LeaseChange::ChargePosted(charge) => {
                posted.insert(charge.charge_id, (charge, event.occurred_at));
            }
            LeaseChange::ChargeVoided { charge_id, .. } => {
                voided.insert(*charge_id, event.occurred_at);
            }
            LeaseChange::CreditGranted { kind, amount, charge_id: Some(charge), .. }
                if *kind == directpay_domain::charge::CreditKind::Correction =>
            {
                *corrected.entry(charge.0).or_default() += amount.minor();
            }
            LeaseChange::CreditGranted { .. }
            | LeaseChange::DepositReleased(_)
            | LeaseChange::Entered { .. }
            | LeaseChange::Terminated { .. }
            | LeaseChange::RentChanged { .. }
            | LeaseChange::SharesChanged(_)
            | LeaseChange::MandateChanged { .. }
            | LeaseChange::DrawAnnounced { .. }
            | LeaseChange::DrawMade { .. }
            | LeaseChange::DrawMissed(_)
            | LeaseChange::DrawFailed { .. }
            | LeaseChange::ExtraAdded { .. }
            | LeaseChange::ExtraEnded { .. }
            | LeaseChange::PolicyChanged(_)
            | LeaseChange::LateFeeRuleChanged { .. }
            | LeaseChange::ChargeNoticeChanged(_)
            | LeaseChange::ChargeAdded(_) => {}
        }
    }
    let mut wrong = Vec::new();
    // What was paid out is charged by the refund's events.
    for charge in charges.iter().filter(|charge| charge.kind != ChargeKind::Payout) {
        let id = charge.id;
        match (posted.remove(&id), charge.posted_at) {
            (None, None) => {}
            (Some((event, at)), Some(posted_at)) => {
                let agrees = at == posted_at
                    && (event.kind, event.amount) == (charge.kind, charge.amount)
                    && (event.period_start, event.period_end) == (charge.period_start, charge.period_end)
                    && event.due_date == charge.due_date;
                wrong.extend((!agrees).then(|| format!("charge {id} differs from the event that posted it")));
            }
            (Some(_), None) => wrong.push(format!("charge {id} was posted and does not say so")),
            (None, Some(_)) => wrong.push(format!("charge {id} is posted without an event")),
        }
        if voided.remove(&id) != charge.voided_at {
            wrong.push(format!("charge {id} and its history disagree on whether it was voided"));
        }
        if corrected.remove(&id.0).unwrap_or(0) != charge.corrected_minor {
            wrong.push(format!("charge {id} is corrected by another amount than its history says"));
        }
    }
    wrong.extend(posted.keys().chain(voided.keys()).map(|id| format!("charge {id} is gone")));
    wrong
}

/// What is applied to a charge is the sum of its allocations.
async fn charges_applied(tx: &mut Tx) -> Result<Check, StoreError> {
    let mut check = Check::new("what is applied to a charge is the sum of its allocations");
    let (charges,): (i64,) = tx.fetch_one("SELECT COUNT(*) FROM charges", ()).await?;
    check.examined = u64::try_from(charges).unwrap_or(0);
    let differing: Vec<(Uuid, i64)> = tx
        .fetch_all(
            "SELECT charge_id, CAST(SUM(amount) AS BIGINT) FROM (
                 SELECT charge_id, amount FROM allocations UNION ALL SELECT id, -applied FROM charges) AS lines
             GROUP BY charge_id HAVING SUM(amount) <> 0 LIMIT $1",
            (PAGE,),
        )
        .await?;
    for (charge, minor) in differing {
        check.breach(Some(format!(
            "the allocations of charge {charge} differ from what is applied by {minor} minor units"
        )));
    }
    Ok(check)
}

/// Each payment on its way or settled pays for charges, or is credit, exactly once; any other pays for nothing.
async fn sources_used_once(tx: &mut Tx) -> Result<Check, StoreError> {
    let mut check = Check::new("each payment is applied or credit, exactly once");
    let (payments,): (i64,) = tx.fetch_one("SELECT COUNT(*) FROM payments WHERE kind = 'RENT'", ()).await?;
    check.examined = u64::try_from(payments).unwrap_or(0);
    // What a lease let off has no row of its own but its events, which `receivables` adds up.
    let differing: Vec<(Uuid, i64)> = tx
        .fetch_all(
            "SELECT p.id, CAST(p.used - p.amount AS BIGINT) FROM (
                 SELECT p.id, CASE WHEN p.status IN ('PROCESSING', 'COMPLETED') THEN p.amount ELSE 0 END AS amount,
                        COALESCE((SELECT SUM(a.amount) FROM allocations a WHERE a.source_id = p.id), 0)
                        + COALESCE((SELECT SUM(c.amount) FROM credits c
                                    WHERE c.lease_id = p.lease_id AND c.source_id = p.id), 0) AS used
                 FROM payments p WHERE p.kind = 'RENT') AS p
             WHERE p.used <> p.amount LIMIT $1",
            (PAGE,),
        )
        .await?;
    for (payment, minor) in differing {
        check.breach(Some(format!("payment {payment} is applied or credit by {minor} minor units too much")));
    }
    Ok(check)
}
