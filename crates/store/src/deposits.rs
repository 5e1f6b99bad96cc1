//! What is held of the deposits of a lease, and what became of them.

use directpay_domain::allocation::{Books, Open};
use directpay_domain::charge::ChargeKind;
use directpay_domain::deposit::DepositRelease;
use directpay_domain::id::{ChargeId, LeaseId};
use directpay_domain::lease_event::{LeaseChange, LeaseEvent};
use serde::Serialize;
use uuid::Uuid;

use crate::charges::{self, Charge};
use crate::db::Tx;
use crate::error::StoreError;
use crate::payments;
use crate::sql::{Sql, sql};

/// The deposits of a lease, in minor units.
#[derive(Debug, Clone)]
pub struct Deposits {
    /// What was paid and has arrived, less what was released.
    pub held_minor: i64,
    /// What is on its way: a bank moves it, or it was accepted and will pay for a deposit.
    pub on_the_way_minor: i64,
    /// What was accepted as rent, of which no bank has seen anything yet: what it will pay for is not decided.
    pub pending_minor: i64,
    /// Whether a refund was accepted of which no bank has seen anything yet: what it gives back must not be released as well.
    pub has_pending_refund: bool,
    /// The charges of which something is owed.
    pub open: Vec<Charge>,
    /// What was released before, oldest first.
    pub releases: Vec<Released>,
}

/// A release of deposits and its event's place in the lease's history.
#[derive(Debug, Clone)]
pub struct Released {
    /// The event.
    pub event: LeaseEvent,
    /// What it says.
    pub release: DepositRelease,
}

impl Deposits {
    /// What is owed of deposits and is not on its way to a bank, in minor units.
    pub fn open_minor(&self) -> i64 {
        self.open.iter().map(Charge::open_minor).sum()
    }
}

/// The deposits of a lease as they are. Whoever decides by it holds the lease's account.
pub async fn find(tx: &mut Tx, lease: LeaseId) -> Result<Deposits, StoreError> {
    let releases = releases(tx, lease).await?;
    let charges = charges::list(tx, lease).await?;
    let (paid, moving) = paid(tx, lease, &releases).await?;
    let released: i64 = releases.iter().map(|released| released.release.held.minor()).sum();
    let pending_minor = payments::pending_rent(tx, lease).await?.iter().map(|pending| pending.minor).sum();
    let on_the_way_minor = moving + paid_by_pending(pending_minor, &charges);
    let (has_pending_refund,): (bool,) = tx
        .fetch_one(
            "SELECT EXISTS (SELECT 1 FROM payments WHERE lease_id = $1 AND status = 'PENDING' AND kind = 'REFUND')",
            (lease.0,),
        )
        .await?;
    let open = charges.into_iter().filter(|charge| charge.kind == ChargeKind::Deposit && 0 < charge.open_minor());
    Ok(Deposits {
        // Less than nothing where a payment came back whose deposit was released before: then it is owed again.
        held_minor: (paid - released).max(0),
        on_the_way_minor,
        pending_minor,
        has_pending_refund,
        open: open.collect(),
        releases,
    })
}

/// What was paid for deposits and has arrived, and what a bank moves.
///
/// A release pays for nothing that could be released again. No letting off pays for deposits; what was charged by mistake and
/// credited does, for that is the renters' own money.
async fn paid(tx: &mut Tx, lease: LeaseId, releases: &[Released]) -> Result<(i64, i64), StoreError> {
    let sources: Vec<(Uuid, Option<String>, i64)> = tx
        .fetch_all(
            "SELECT a.source_id, p.status, CAST(SUM(a.amount) AS BIGINT)
             FROM charges c JOIN allocations a ON a.charge_id = c.id LEFT JOIN payments p ON p.id = a.source_id
             WHERE c.lease_id = $1 AND c.kind = 'DEPOSIT' GROUP BY a.source_id, p.status",
            (lease.0,),
        )
        .await?;
    let is_release = |source: Uuid| releases.iter().any(|released| released.release.return_id == source);
    let (mut arrived, mut moving) = (0, 0);
    for (source, status, minor) in sources {
        match status.as_deref() {
            Some("COMPLETED") => arrived += minor,
            Some(_) => moving += minor,
            None if is_release(source) => {}
            None => arrived += minor,
        }
    }
    Ok((arrived, moving))
}

/// What of payments that no bank has seen will pay for deposits.
fn paid_by_pending(pending_minor: i64, charges: &[Charge]) -> i64 {
    let open = charges.iter().filter(|charge| 0 < charge.open_minor());
    let mut books = Books::new(open.map(|charge| Open { place: charge.place(), minor: charge.open_minor() }), []);
    let is_deposit = |id| charges.iter().any(|charge| charge.id == id && charge.kind == ChargeKind::Deposit);
    let paid = books.receive(Uuid::nil(), pending_minor, None);
    paid.iter().filter(|one| is_deposit(one.place.id())).map(|one| one.minor).sum()
}

/// The releases of a lease's deposits, oldest first.
async fn releases(tx: &mut Tx, lease: LeaseId) -> Result<Vec<Released>, StoreError> {
    let bodies: Vec<(String,)> = tx
        .fetch_all(
            "SELECT e.body FROM deposit_returns d JOIN events e ON e.stream_id = d.lease_id AND e.sequence = d.sequence
             WHERE d.lease_id = $1 ORDER BY d.sequence",
            (lease.0,),
        )
        .await?;
    let mut releases = Vec::with_capacity(bodies.len());
    for (body,) in bodies {
        let event: LeaseEvent = serde_json::from_str(&body)?;
        if let LeaseChange::DepositReleased(release) = &event.change {
            releases.push(Released { release: release.clone(), event });
        }
    }
    Ok(releases)
}

/// What a release paid for when it was made, in minor units.
pub async fn paid_by(tx: &mut Tx, released: &Released) -> Result<Vec<(ChargeId, i64)>, StoreError> {
    let rows: Vec<(Uuid, i64)> = tx
        .fetch_all(
            "SELECT charge_id, amount FROM allocations WHERE source_id = $1 AND stream_id = $2 AND sequence = $3",
            (released.release.return_id, released.event.lease_id.0, released.event.sequence),
        )
        .await?;
    Ok(rows.into_iter().map(|(charge, minor)| (ChargeId(charge), minor)).collect())
}

#[derive(Debug, Serialize)]
pub(crate) struct ReturnRow {
    pub(crate) id: Uuid,
    pub(crate) lease_id: Uuid,
    pub(crate) sequence: i64,
}

/// Notes which events are releases.
pub(crate) async fn insert(tx: &mut Tx, rows: &[ReturnRow]) -> Result<(), StoreError> {
    const INSERT: Sql = sql!(insert(deposit_returns: id uuid, lease_id uuid, sequence bigint));
    if !rows.is_empty() {
        tx.execute_each(INSERT, rows, ()).await?;
    }
    Ok(())
}
