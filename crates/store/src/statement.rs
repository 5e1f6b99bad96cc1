//! What a lease's receivable went through, and how the lease stands now.

use directpay_domain::id::LeaseId;
use directpay_domain::ledger::Account;
use directpay_domain::payment::Kind;
use directpay_domain::statement::{Entry, Fact};

use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::Sql;

/// Every journal entry that touches the receivable of a lease: caused by its own events and by those of its payments.
///
/// Two statements, however many payments there are. What they bring is bounded by the life of one lease: a few entries for
/// each month, and a few for each payment.
pub async fn entries(tx: &mut Tx, lease: LeaseId) -> Result<Vec<Entry>, StoreError> {
    // PostgreSQL takes a lease for one that may have thousands of payments, and would rather read all postings in their order
    // than look up those of each payment: it is given no choice.
    const OF_PAYMENTS: Sql = Sql {
        sqlite: "SELECT p.kind, e.body, CAST(SUM(CASE WHEN o.debit = $2 THEN o.amount ELSE -o.amount END) AS BIGINT)
                 FROM payments p JOIN postings o ON o.stream_id = p.id
                 JOIN events e ON e.stream_id = o.stream_id AND e.sequence = o.sequence
                 WHERE p.lease_id = $1 AND (o.debit = $2 OR o.credit = $2) GROUP BY p.id, e.stream_id, e.sequence",
        postgres: "SELECT p.kind, entry.body, entry.minor FROM payments p JOIN LATERAL (
                       SELECT e.body, CAST(SUM(CASE WHEN o.debit = $2 THEN o.amount ELSE -o.amount END) AS BIGINT) AS minor
                       FROM postings o JOIN events e ON e.stream_id = o.stream_id AND e.sequence = o.sequence
                       WHERE o.stream_id = p.id AND (o.debit = $2 OR o.credit = $2)
                       GROUP BY e.stream_id, e.sequence) entry ON true
                   WHERE p.lease_id = $1",
    };
    let receivable = Account::Receivable(lease).to_string();
    let own: Vec<(String, i64)> = tx
        .fetch_all(
            "SELECT e.body, CAST(SUM(CASE WHEN o.debit = $2 THEN o.amount ELSE -o.amount END) AS BIGINT)
             FROM postings o JOIN events e ON e.stream_id = o.stream_id AND e.sequence = o.sequence
             WHERE o.stream_id = $1 AND (o.debit = $2 OR o.credit = $2) GROUP BY e.stream_id, e.sequence",
            (lease.0, receivable.as_str()),
        )
        .await?;
    let of_payments: Vec<(String, String, i64)> = tx.fetch_all(OF_PAYMENTS, (lease.0, receivable.as_str())).await?;
    let mut entries = Vec::with_capacity(own.len() + of_payments.len());
    for (body, amount_minor) in own {
        entries.push(Entry { fact: Fact::Lease(serde_json::from_str(&body)?), amount_minor });
    }
    for (kind, body, amount_minor) in of_payments {
        let kind = Kind::parse(&kind).map_err(StoreError::damaged("payment kind"))?;
        entries.push(Entry { fact: Fact::Payment(kind, serde_json::from_str(&body)?), amount_minor });
    }
    Ok(entries)
}

/// The number of the last event in the history of a lease.
pub async fn last_event(tx: &mut Tx, lease: LeaseId) -> Result<i64, StoreError> {
    let (version,) = tx.fetch_one("SELECT version FROM lease_accounts WHERE lease_id = $1", (lease.0,)).await?;
    Ok(version)
}

/// How a lease stands now, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What is posted and neither paid nor on its way.
    pub open_minor: i64,
    /// What was paid or let off and pays for nothing yet.
    pub credit_minor: i64,
    /// Rent that was accepted and has not arrived.
    pub on_the_way_minor: i64,
}

/// How a lease stands now.
pub async fn standing(tx: &mut Tx, lease: LeaseId) -> Result<Standing, StoreError> {
    let (open_minor, credit_minor, on_the_way_minor): (i64, i64, i64) = tx
        .fetch_one(
            "SELECT CAST(COALESCE((SELECT SUM(amount - applied) FROM charges WHERE lease_id = $1
                         AND posted_at IS NOT NULL AND voided_at IS NULL), 0) AS BIGINT),
                    CAST(COALESCE((SELECT SUM(amount) FROM credits WHERE lease_id = $1), 0) AS BIGINT),
                    CAST(COALESCE((SELECT SUM(amount) FROM payments WHERE lease_id = $1 AND kind = 'RENT'
                         AND (status = 'PENDING' OR status = 'PROCESSING')), 0) AS BIGINT)",
            (lease.0,),
        )
        .await?;
    Ok(Standing { open_minor, credit_minor, on_the_way_minor })
}
