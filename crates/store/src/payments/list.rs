//! Reading payments. Every list is newest first and starts behind a cursor, so that page 100 costs what page 1 costs.

use directpay_domain::id::{LeaseId, PaymentId, UserId};
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::payment::{Payment, Status};
use directpay_domain::rail::Rail;
use directpay_domain::time::Instant;
use uuid::Uuid;

use super::{Stored, distinct};
use crate::db::Tx;
use crate::error::{Page, StoreError};
use crate::sql::{Sql, sql};
use crate::values::Json;

/// What a lease's list is narrowed to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Only payments that stand here.
    pub status: Option<Status>,
    /// Only payments by this rail.
    pub rail: Option<Rail>,
}

fn into_payments(stored: Vec<Stored>) -> Result<Vec<Payment>, StoreError> {
    stored.into_iter().map(Stored::into_payment).collect()
}

/// A payment, whoever's it is: for administrators.
pub async fn find(tx: &mut Tx, id: PaymentId) -> Result<Option<Payment>, StoreError> {
    const FIND: Sql = sql!("SELECT", payment_columns, "FROM payments p", payment_accounts, "WHERE p.id = $1");
    let found: Option<Stored> = tx.fetch_optional(FIND, (id.0,)).await?;
    found.map(Stored::into_payment).transpose()
}

/// The payments of a batch of work, in no particular order; those that do not exist are left out.
pub async fn find_all(tx: &mut Tx, ids: &[PaymentId]) -> Result<Vec<Payment>, StoreError> {
    const FIND: Sql =
        sql!("SELECT", payment_columns, "FROM", rows(id uuid), "JOIN payments p ON p.id = r.id", payment_accounts);
    into_payments(tx.fetch_all(FIND, (Json(distinct(ids.iter().map(|id| id.0))),)).await?)
}

/// A payment on a lease to which `caller` is a party; no other is found.
pub async fn find_for_party(tx: &mut Tx, caller: UserId, id: PaymentId) -> Result<Option<Payment>, StoreError> {
    const FIND: Sql = sql!(
        "SELECT",
        payment_columns,
        "FROM payments p",
        payment_accounts,
        "WHERE p.id = $1 AND (p.landlord_id = $2 OR EXISTS (
             SELECT 1 FROM lease_renters lr WHERE lr.lease_id = p.lease_id AND lr.renter_id = $2))"
    );
    let found: Option<Stored> = tx.fetch_optional(FIND, (id.0, caller.0)).await?;
    found.map(Stored::into_payment).transpose()
}

/// The payment that `initiator` made under `key`.
pub async fn find_by_key(tx: &mut Tx, initiator: UserId, key: &IdempotencyKey) -> Result<Option<Payment>, StoreError> {
    const FIND: Sql = sql!(
        "SELECT",
        payment_columns,
        "FROM payments p",
        payment_accounts,
        "WHERE p.initiated_by = $1 AND p.idempotency_key = $2"
    );
    let found: Option<Stored> = tx.fetch_optional(FIND, (initiator.0, key.as_str())).await?;
    found.map(Stored::into_payment).transpose()
}

/// The payments of a lease.
pub async fn list_for_lease(
    tx: &mut Tx,
    lease: LeaseId,
    filter: Filter,
    page: Page,
) -> Result<Vec<Payment>, StoreError> {
    const LIST: Sql = sql!(
        "SELECT",
        payment_columns,
        "FROM payments p",
        payment_accounts,
        "WHERE p.lease_id = $1 AND p.id < $2
           AND (CAST($3 AS TEXT) IS NULL OR p.status = $3) AND (CAST($4 AS TEXT) IS NULL OR p.rail = $4)
         ORDER BY p.id DESC LIMIT $5"
    );
    let (status, rail) = (filter.status.map(Status::name), filter.rail.map(Rail::name));
    into_payments(tx.fetch_all(LIST, (lease.0, page.before, status, rail, page.limit)).await?)
}

/// All payments of a landlord's leases: what the landlord initiated or was paid.
pub async fn list_by_landlord(tx: &mut Tx, landlord: UserId, page: Page) -> Result<Vec<Payment>, StoreError> {
    const LIST: Sql = sql!(
        "SELECT",
        payment_columns,
        "FROM payments p",
        payment_accounts,
        "WHERE p.landlord_id = $1 AND p.id < $2 ORDER BY p.id DESC LIMIT $3"
    );
    into_payments(tx.fetch_all(LIST, (landlord.0, page.before, page.limit)).await?)
}

/// What a renter initiated or was paid: a page from each of the renter's leases, merged, so that the cost grows with the
/// number of leases and not with what was paid on them.
pub async fn list_by_renter(tx: &mut Tx, renter: UserId, page: Page) -> Result<Vec<Payment>, StoreError> {
    const LIST: Sql = Sql {
        sqlite: sql!(
            "SELECT",
            payment_columns,
            "FROM lease_renters lr
             JOIN payments p ON p.id IN (
                 SELECT q.id FROM payments q
                 WHERE q.lease_id = lr.lease_id AND q.id < $2 AND (q.initiated_by = $1 OR q.payee_id = $1)
                 ORDER BY q.id DESC LIMIT $3)",
            payment_accounts,
            "WHERE lr.renter_id = $1 ORDER BY p.id DESC LIMIT $3"
        )
        .sqlite,
        postgres: sql!(
            "SELECT",
            payment_columns,
            "FROM lease_renters lr
             JOIN LATERAL (
                 SELECT * FROM payments q
                 WHERE q.lease_id = lr.lease_id AND q.id < $2 AND (q.initiated_by = $1 OR q.payee_id = $1)
                 ORDER BY q.id DESC LIMIT $3) p ON true",
            payment_accounts,
            "WHERE lr.renter_id = $1 ORDER BY p.id DESC LIMIT $3"
        )
        .postgres,
    };
    into_payments(tx.fetch_all(LIST, (renter.0, page.before, page.limit)).await?)
}

/// Rent that was accepted and that no bank has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingRent {
    /// Which payment.
    pub id: PaymentId,
    /// When it was initiated.
    pub initiated_at: Instant,
    /// How much, in minor units.
    pub minor: i64,
}

/// Rent of a lease that was accepted and that no bank has seen, oldest first.
pub async fn pending_rent(tx: &mut Tx, lease: LeaseId) -> Result<Vec<PendingRent>, StoreError> {
    let rows: Vec<(Uuid, i64, i64)> = tx
        .fetch_all(
            "SELECT id, initiated_at, amount FROM payments WHERE lease_id = $1 AND status = 'PENDING' AND kind = 'RENT'
             ORDER BY id",
            (lease.0,),
        )
        .await?;
    let pending = |(id, micros, minor)| {
        let initiated_at = Instant::from_micros(micros).map_err(StoreError::damaged("time"))?;
        Ok(PendingRent { id: PaymentId(id), initiated_at, minor })
    };
    rows.into_iter().map(pending).collect()
}
