//! Invariants over whole tables, by sums that the database makes.

use serde::Deserialize;
use sqlx::FromRow;

use super::{Check, PAGE};
use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::Sql;

#[derive(Deserialize, FromRow)]
struct Balance {
    account: String,
    currency: String,
    amount: i64,
}

macro_rules! receivables {
    ($lease:literal) => {
        concat!(
            "SELECT account, currency, CAST(SUM(amount) AS BIGINT) AS amount FROM (
                 SELECT debit AS account, currency, amount FROM postings WHERE debit LIKE 'receivable:%'
                 UNION ALL
                 SELECT credit, currency, -amount FROM postings WHERE credit LIKE 'receivable:%'
                 UNION ALL
                 SELECT 'receivable:' || ",
            $lease,
            ", currency, applied - amount FROM charges WHERE posted_at IS NOT NULL AND voided_at IS NULL
                 UNION ALL
                 SELECT 'receivable:' || ",
            $lease,
            ", (SELECT l.currency FROM leases l WHERE l.id = lease_id), amount FROM credits) AS lines
             GROUP BY account, currency HAVING SUM(amount) <> 0 LIMIT $1"
        )
    };
}

pub(super) async fn check(tx: &mut Tx) -> Result<Vec<Check>, StoreError> {
    Ok(vec![
        orphans(tx).await?,
        ledger_sums_to_zero(tx).await?,
        clearing(tx).await?,
        receivables(tx).await?,
        one_payment_a_key(tx).await?,
        one_primary(tx).await?,
        leases_apart(tx).await?,
    ])
}

/// Nothing stands in a history, in the ledger, in the queue or among the bank's outcomes that nothing else answers for.
async fn orphans(tx: &mut Tx) -> Result<Check, StoreError> {
    let mut check = Check::new("no event, posting, work or outcome without what it belongs to");
    let (events,): (i64,) = tx.fetch_one("SELECT COUNT(*) FROM events", ()).await?;
    check.examined = u64::try_from(events).unwrap_or(0);
    let found: Vec<(String, i64)> = tx
        .fetch_all(
            "SELECT 'events without a payment', COUNT(*) FROM events e
             WHERE e.stream = 'PAYMENT' AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.id = e.stream_id)
             UNION ALL
             SELECT 'events without a lease', COUNT(*) FROM events e
             WHERE e.stream = 'LEASE' AND NOT EXISTS (SELECT 1 FROM lease_accounts a WHERE a.lease_id = e.stream_id)
             UNION ALL
             SELECT 'leases without an account', COUNT(*) FROM leases l
             WHERE NOT EXISTS (SELECT 1 FROM lease_accounts a WHERE a.lease_id = l.id)
             UNION ALL
             SELECT 'leases with credit beside open rent', COUNT(*) FROM leases l
             WHERE EXISTS (SELECT 1 FROM credits c WHERE c.lease_id = l.id) AND EXISTS (
                 SELECT 1 FROM charges c WHERE c.lease_id = l.id AND c.posted_at IS NOT NULL AND c.voided_at IS NULL
                 AND c.applied < c.amount AND c.kind IN ('RENT', 'PAYOUT'))
             UNION ALL
             SELECT 'deposit returns without their event', COUNT(*) FROM deposit_returns d
             WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.stream_id = d.lease_id AND e.sequence = d.sequence
                               AND e.event_type = 'deposit_released')
             UNION ALL
             SELECT 'work without a payment', COUNT(*) FROM due_work w
             WHERE NOT EXISTS (SELECT 1 FROM payments p WHERE p.id = w.payment_id)
             UNION ALL
             SELECT 'payments that the bank is to tell of and that are not PROCESSING', COUNT(*) FROM awaited_payments a
             WHERE NOT EXISTS (SELECT 1 FROM payments p WHERE p.id = a.payment_id AND p.status = 'PROCESSING')
             UNION ALL
             SELECT 'outcomes without an instruction', COUNT(*) FROM bank_outcomes o
             WHERE NOT EXISTS (SELECT 1 FROM bank_instructions i WHERE i.reference = o.reference)
             UNION ALL
             SELECT 'postings without an event', COUNT(*) FROM postings l
             WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.stream_id = l.stream_id AND e.sequence = l.sequence)",
            (),
        )
        .await?;
    for (what, count) in found {
        check.breach((0 < count).then(|| format!("{count} {what}")));
    }
    Ok(check)
}

/// Debits and credits, added up account by account, cancel out for each landlord and currency.
async fn ledger_sums_to_zero(tx: &mut Tx) -> Result<Check, StoreError> {
    let mut check = Check::new("every entry balances and the ledger sums to zero");
    let sums: Vec<(String, i64)> = tx
        .fetch_all(
            "SELECT currency, CAST(SUM(amount) AS BIGINT) FROM (
                 SELECT currency, amount FROM postings UNION ALL SELECT currency, -amount FROM postings) AS lines
             GROUP BY currency",
            (),
        )
        .await?;
    for (currency, sum) in sums {
        check.note((sum != 0).then(|| format!("the ledger in {currency} is out of balance by {sum} minor units")));
    }
    let (unposted,): (i64,) =
        tx.fetch_one("SELECT COUNT(*) FROM postings WHERE amount <= 0 OR debit = credit", ()).await?;
    check.note((0 < unposted).then(|| format!("{unposted} postings move nothing")));
    Ok(check)
}

/// The clearing account of a rail is its RENT less its REFUND now PROCESSING.
async fn clearing(tx: &mut Tx) -> Result<Check, StoreError> {
    let mut check = Check::new("clearing equals what is in processing, rail by rail");
    let rows: Vec<Balance> = tx
        .fetch_all(
            "SELECT account, currency, CAST(SUM(amount) AS BIGINT) AS amount FROM (
                 SELECT debit AS account, currency, amount FROM postings WHERE debit LIKE 'clearing:%'
                 UNION ALL
                 SELECT credit, currency, -amount FROM postings WHERE credit LIKE 'clearing:%'
                 UNION ALL
                 SELECT 'clearing:' || rail, currency, CASE kind WHEN 'RENT' THEN -amount ELSE amount END
                 FROM payments WHERE status = 'PROCESSING') AS lines
             GROUP BY account, currency",
            (),
        )
        .await?;
    for Balance { account, currency, amount } in rows {
        let breach = format!("{account} differs from what is in processing by {amount} minor units of {currency}");
        check.note((amount != 0).then_some(breach));
    }
    Ok(check)
}

/// A lease's receivable is what is open of its charges less its credit: what was charged less what was received, is on its way
/// or was let off.
async fn receivables(tx: &mut Tx) -> Result<Check, StoreError> {
    /// The account's name in the ledger, from the lease's id: a UUID is a blob on SQLite.
    const DIFFERENCES: Sql = Sql {
        sqlite: receivables!(
            "lower(substr(hex(lease_id), 1, 8) || '-' || substr(hex(lease_id), 9, 4) || '-' || substr(hex(lease_id), 13, 4)
             || '-' || substr(hex(lease_id), 17, 4) || '-' || substr(hex(lease_id), 21))"
        ),
        postgres: receivables!("CAST(lease_id AS TEXT)"),
    };
    let mut check = Check::new("receivables equal open charges less credit, lease by lease");
    let (leases,): (i64,) = tx.fetch_one("SELECT COUNT(*) FROM leases", ()).await?;
    check.examined = u64::try_from(leases).unwrap_or(0);
    let rows: Vec<Balance> = tx.fetch_all(DIFFERENCES, (PAGE,)).await?;
    for Balance { account, currency, amount } in rows {
        check.breach(Some(format!(
            "{account} differs from its open charges less its credit by {amount} minor units of {currency}"
        )));
    }
    Ok(check)
}

async fn one_payment_a_key(tx: &mut Tx) -> Result<Check, StoreError> {
    let mut check = Check::new("one payment a key");
    let (keys,): (i64,) = tx.fetch_one("SELECT COUNT(*) FROM payments", ()).await?;
    check.examined = u64::try_from(keys).unwrap_or(0);
    let doubled: Vec<(String, i64)> = tx
        .fetch_all(
            "SELECT idempotency_key, COUNT(*) FROM payments GROUP BY initiated_by, idempotency_key
             HAVING 1 < COUNT(*) LIMIT $1",
            (PAGE,),
        )
        .await?;
    for (_, count) in doubled {
        check.breach(Some(format!("{count} payments stand under one key of one person")));
    }
    Ok(check)
}

async fn one_primary(tx: &mut Tx) -> Result<Check, StoreError> {
    let mut check = Check::new("one primary account for everybody who has an active one");
    let (people,): (i64,) =
        tx.fetch_one("SELECT COUNT(DISTINCT user_id) FROM bank_accounts WHERE is_active", ()).await?;
    check.examined = u64::try_from(people).unwrap_or(0);
    let (without,): (i64,) = tx
        .fetch_one(
            "SELECT COUNT(*) FROM (
                 SELECT user_id FROM bank_accounts WHERE is_active GROUP BY user_id
                 HAVING SUM(CASE WHEN is_primary THEN 1 ELSE 0 END) <> 1) AS odd",
            (),
        )
        .await?;
    check.breach((0 < without).then(|| format!("{without} people have active accounts but not one primary")));
    Ok(check)
}

async fn leases_apart(tx: &mut Tx) -> Result<Check, StoreError> {
    let mut check = Check::new("no two leases of one property at the same time");
    let (leases,): (i64,) = tx.fetch_one("SELECT COUNT(*) FROM leases", ()).await?;
    check.examined = u64::try_from(leases).unwrap_or(0);
    let (overlaps,): (i64,) = tx
        .fetch_one(
            "SELECT COUNT(*) FROM leases a JOIN leases b ON b.property_id = a.property_id AND a.id < b.id
             WHERE a.starts_on <= COALESCE(b.ends_on, 99999999) AND b.starts_on <= COALESCE(a.ends_on, 99999999)",
            (),
        )
        .await?;
    check.breach((0 < overlaps).then(|| format!("{overlaps} pairs of leases overlap")));
    Ok(check)
}
