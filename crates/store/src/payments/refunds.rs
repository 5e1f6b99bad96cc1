//! What is promised back of payments by the refunds that name them.
//!
//! The row of `refunded_payments` is the lock and its constraint the referee: whoever promises more holds it until the
//! transaction ends, after the payments and before the leases' accounts. Only refunds that name a payment come here.

use std::collections::{BTreeMap, HashMap, HashSet};

use directpay_domain::id::{BankAccountId, LeaseId, PaymentId, UserId};
use directpay_domain::money::{Amount, Currency};
use directpay_domain::payment::{Kind, Refundable, Status};
use directpay_domain::rail::Rail;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use super::distinct;
use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::{Sql, sql};

/// The payments that refunds name.
#[derive(Debug, Default)]
pub(super) struct Refunded {
    /// Each with what is promised of it.
    pub(super) payments: HashMap<PaymentId, Refundable>,
    /// Those of which nothing was ever promised: their rows are this transaction's own.
    opened: HashSet<Uuid>,
}

#[derive(Deserialize, FromRow)]
struct RefundedRow {
    id: Uuid,
    lease_id: Uuid,
    kind: String,
    status: String,
    rail: String,
    initiated_by: Uuid,
    payer_account_id: Uuid,
    amount: i64,
    currency: String,
}

impl RefundedRow {
    fn into_refundable(self) -> Result<Refundable, StoreError> {
        let currency = Currency::parse(&self.currency).map_err(StoreError::damaged("currency"))?;
        Ok(Refundable {
            id: PaymentId(self.id),
            lease_id: LeaseId(self.lease_id),
            kind: Kind::parse(&self.kind).map_err(StoreError::damaged("kind"))?,
            status: Status::parse(&self.status).map_err(StoreError::damaged("status"))?,
            rail: Rail::parse(&self.rail).map_err(StoreError::damaged("rail"))?,
            payer_id: UserId(self.initiated_by),
            payer_account_id: BankAccountId(self.payer_account_id),
            settled: Amount::from_minor(self.amount, currency).map_err(StoreError::damaged("amount"))?,
            promised_minor: 0,
            for_deposits_minor: 0,
        })
    }
}

/// The payments that refunds name: those that `may_be_refunded` with what is promised of them, which is held until the
/// transaction ends, the others as they are.
pub(super) async fn hold(
    tx: &mut Tx,
    ids: impl Iterator<Item = PaymentId>,
    may_be_refunded: impl Fn(&Refundable) -> bool,
) -> Result<Refunded, StoreError> {
    const FIND: Sql = sql!(
        "SELECT p.id, p.lease_id, p.kind, p.status, p.rail, p.initiated_by, p.payer_account_id, p.amount, p.currency FROM",
        each(id uuid),
        "payments p WHERE p.id =",
        field(id)
    );
    const OPEN: Sql = sql!(
        insert(refunded_payments: payment_id uuid, settled bigint, promised bigint),
        "ON CONFLICT (payment_id) DO NOTHING",
        returning(payment_id)
    );
    #[derive(Serialize)]
    struct Opened {
        payment_id: Uuid,
        settled: i64,
        promised: i64,
    }
    let ids = distinct(ids.map(|id| id.0));
    if ids.is_empty() {
        return Ok(Refunded::default());
    }
    let rows: Vec<RefundedRow> = tx.fetch_each(FIND, &ids, ()).await?;
    let found = rows.into_iter().map(|row| row.into_refundable().map(|payment| (payment.id, payment)));
    let mut payments = found.collect::<Result<HashMap<_, _>, StoreError>>()?;
    let mut rows: Vec<_> = payments
        .values()
        .filter(|payment| may_be_refunded(payment))
        .map(|payment| Opened { payment_id: payment.id.0, settled: payment.settled.minor(), promised: 0 })
        .collect();
    // One order for all writers, or two of them could wait for each other.
    rows.sort_by_key(|row| row.payment_id);
    if rows.is_empty() {
        return Ok(Refunded { payments, ..Refunded::default() });
    }
    let opened = tx.insert_new(OPEN, &rows, |row| row.payment_id).await?;
    for (id, promised) in hold_rows(tx, rows.iter().map(|row| row.payment_id)).await? {
        if let Some(payment) = payments.get_mut(&PaymentId(id)) {
            payment.promised_minor = promised;
        }
    }
    for (id, minor) in for_deposits(tx, rows.iter().map(|row| row.payment_id)).await? {
        if let Some(payment) = payments.get_mut(&PaymentId(id)) {
            payment.for_deposits_minor = minor;
        }
    }
    Ok(Refunded { payments, opened })
}

/// What of payments paid for deposits, in minor units.
async fn for_deposits(tx: &mut Tx, ids: impl Iterator<Item = Uuid>) -> Result<Vec<(Uuid, i64)>, StoreError> {
    const FIND: Sql = sql!(
        "SELECT a.source_id, CAST(SUM(a.amount) AS BIGINT) FROM",
        each(id uuid),
        "allocations a JOIN charges c ON c.id = a.charge_id WHERE c.kind = 'DEPOSIT' AND a.source_id =",
        field(id),
        "GROUP BY a.source_id"
    );
    Ok(tx.fetch_each(FIND, &distinct(ids), ()).await?)
}

/// Holds rows in the order of their ids, and says what is promised by each.
async fn hold_rows(tx: &mut Tx, ids: impl Iterator<Item = Uuid>) -> Result<Vec<(Uuid, i64)>, StoreError> {
    const HOLD: Sql = sql!(
        "SELECT f.payment_id, f.promised FROM",
        each(id uuid),
        "refunded_payments f WHERE f.payment_id =",
        field(id),
        "ORDER BY f.payment_id",
        for_update_of(f)
    );
    Ok(tx.fetch_each(HOLD, &distinct(ids), ()).await?)
}

/// Changes by so many minor units what is promised of payments. The database refuses what is more than they settled.
pub(super) async fn promise(tx: &mut Tx, changes: BTreeMap<PaymentId, i64>) -> Result<(), StoreError> {
    const PROMISE: Sql = Sql {
        sqlite: "UPDATE refunded_payments SET promised = promised + $minor WHERE payment_id = $id",
        postgres: "UPDATE refunded_payments SET promised = promised + r.minor
                   FROM jsonb_to_recordset($1) AS r(id uuid, minor bigint) WHERE refunded_payments.payment_id = r.id",
    };
    #[derive(Serialize)]
    struct Change {
        id: Uuid,
        minor: i64,
    }
    let changes = changes.into_iter().filter(|(_, minor)| *minor != 0);
    let changes: Vec<_> = changes.map(|(id, minor)| Change { id: id.0, minor }).collect();
    if !changes.is_empty() {
        let held = hold_rows(tx, changes.iter().map(|change| change.id)).await?;
        if held.len() < changes.len() {
            // Whoever accepted the refund has written the row.
            return Err(sqlx::Error::RowNotFound.into());
        }
        tx.execute_each(PROMISE, &changes, ()).await?;
    }
    Ok(())
}

/// Takes the rows away again that were opened for refunds of which none was accepted. Nobody else has seen them.
pub(super) async fn close_unused(
    tx: &mut Tx,
    refunded: &Refunded,
    promised: &BTreeMap<PaymentId, i64>,
) -> Result<(), StoreError> {
    const CLOSE: Sql = Sql {
        sqlite: "DELETE FROM refunded_payments WHERE payment_id = $id",
        postgres: "DELETE FROM refunded_payments USING jsonb_to_recordset($1) AS r(id uuid)
                   WHERE refunded_payments.payment_id = r.id",
    };
    let unused = distinct(refunded.opened.iter().copied().filter(|id| !promised.contains_key(&PaymentId(*id))));
    if !unused.is_empty() {
        tx.execute_each(CLOSE, &unused, ()).await?;
    }
    Ok(())
}

/// What refunds of these payments come to, on their way or settled, in minor units. Those without any are left out.
pub async fn refunded(
    tx: &mut Tx,
    ids: impl Iterator<Item = PaymentId>,
) -> Result<HashMap<PaymentId, i64>, StoreError> {
    const FIND: Sql = sql!(
        "SELECT f.payment_id, f.promised FROM",
        each(id uuid),
        "refunded_payments f WHERE f.payment_id =",
        field(id)
    );
    let ids = distinct(ids.map(|id| id.0));
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Uuid, i64)> = tx.fetch_each(FIND, &ids, ()).await?;
    Ok(rows.into_iter().map(|(id, minor)| (PaymentId(id), minor)).collect())
}

/// Which of these payments are not settled, or not any more: what refunds them is not handed over.
pub async fn not_settled(tx: &mut Tx, ids: impl Iterator<Item = PaymentId>) -> Result<HashSet<PaymentId>, StoreError> {
    const FIND: Sql = sql!(
        "SELECT p.id FROM",
        each(id uuid),
        "payments p WHERE p.status <> 'COMPLETED' AND p.id =",
        field(id)
    );
    let ids = distinct(ids.map(|id| id.0));
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<(Uuid,)> = tx.fetch_each(FIND, &ids, ()).await?;
    Ok(rows.into_iter().map(|(id,)| PaymentId(id)).collect())
}
