//! The work queue: what is due for a payment, in the database that holds the payment.
//!
//! A row is written with the fact that calls for it and gone with the fact that settles it. Whoever takes it holds a claim
//! that expires, so that a worker that dies loses nothing. Due times are business time, claims are process time.

use directpay_domain::bank_account::AccountType;
use directpay_domain::id::{BankAccountId, PaymentId};
use directpay_domain::payment::{Payment, Work, WorkKind};
use directpay_domain::time::Instant;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use crate::bank_accounts::SealedNumber;
use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::{Sql, sql};

/// Who holds work, and until when; process time.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// The worker.
    pub by: Uuid,
    /// Whoever dies is followed up after this.
    pub until_us: i64,
}

/// A row of the queue.
#[derive(Debug, Serialize)]
pub(crate) struct Due {
    payment_id: Uuid,
    what: &'static str,
    attempt: i64,
    due_at: i64,
    claimed_until: i64,
    claimed_by: Option<Uuid>,
}

impl Due {
    pub(crate) fn new(payment: &Payment, work: Work, claim: Option<Claim>) -> Due {
        Due {
            payment_id: payment.terms.id.0,
            what: work.what.name(),
            attempt: payment.attempt,
            due_at: work.due_at.micros(),
            claimed_until: claim.map_or(0, |claim| claim.until_us),
            claimed_by: claim.map(|claim| claim.by),
        }
    }

    pub(crate) fn key(&self) -> (PaymentId, i64) {
        (PaymentId(self.payment_id), self.attempt)
    }

    /// Whether somebody should wake up for it; an inquiry is held by whoever recorded the intent.
    pub(crate) fn is_submission(&self) -> bool {
        self.what == WorkKind::Submit.name()
    }
}

/// Puts work into the queue. Work that a payment already has gives way, but keeps its claim and its place in the queue while
/// the attempt is the same: whoever recorded the intent to submit goes on to submit, and no index has to be touched.
pub(crate) async fn schedule(tx: &mut Tx, due: &[Due]) -> Result<(), StoreError> {
    const SCHEDULE: Sql = sql!(
        insert(due_work: payment_id uuid, what text, attempt bigint, due_at bigint, claimed_until bigint, claimed_by uuid),
        "ON CONFLICT (payment_id) DO UPDATE
         SET what = excluded.what, attempt = excluded.attempt,
             due_at = CASE WHEN due_work.attempt = excluded.attempt THEN due_work.due_at ELSE excluded.due_at END,
             claimed_until = CASE WHEN due_work.attempt = excluded.attempt AND excluded.claimed_until = 0
                                  THEN due_work.claimed_until ELSE excluded.claimed_until END,
             claimed_by = COALESCE(excluded.claimed_by, due_work.claimed_by)"
    );
    if !due.is_empty() {
        tx.execute_each(SCHEDULE, due, ()).await?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Key {
    payment_id: PaymentId,
    attempt: i64,
}

fn keys(done: &[(PaymentId, i64)]) -> Vec<Key> {
    done.iter().map(|(payment_id, attempt)| Key { payment_id: *payment_id, attempt: *attempt }).collect()
}

/// Takes work out of the queue, unless a later attempt's stands there by now.
///
/// The rows are taken hold of in one order: who hands over and who settles may finish the same work at the same time. Says how
/// many there were.
pub async fn finish(tx: &mut Tx, done: &[(PaymentId, i64)]) -> Result<u64, StoreError> {
    const FINISH: Sql = Sql {
        sqlite: "DELETE FROM due_work WHERE payment_id = $payment_id AND attempt <= $attempt",
        postgres: sql!(
            "WITH held AS MATERIALIZED (
                 SELECT d.payment_id, d.attempt FROM",
            each(payment_id uuid, attempt bigint),
            "due_work d WHERE d.payment_id = r.payment_id AND d.attempt <= r.attempt ORDER BY d.payment_id",
            for_update_of(d),
            ")
             DELETE FROM due_work d USING held WHERE d.payment_id = held.payment_id AND d.attempt = held.attempt"
        )
        .postgres,
    };
    Ok(tx.execute_each(FINISH, &keys(done), ()).await?)
}

/// Takes work out of the queue because the bank has the payment, whose word is awaited from `now` on.
///
/// Who has recorded that word meanwhile has finished the work, and then nothing is awaited: a payment has a row in one of the two
/// places.
pub async fn await_word(tx: &mut Tx, done: &[(PaymentId, i64)], now: Instant) -> Result<(), StoreError> {
    const AWAIT: Sql = sql!(
        "INSERT INTO awaited_payments (payment_id, since) SELECT d.payment_id, $2 FROM",
        each(payment_id uuid, attempt bigint),
        "due_work d WHERE d.payment_id =",
        field(payment_id),
        "AND d.attempt <=",
        field(attempt),
        "ORDER BY d.payment_id",
        for_update_of(d),
        " ON CONFLICT (payment_id) DO UPDATE SET since = excluded.since"
    );
    tx.execute_each(AWAIT, &keys(done), (now.micros(),)).await?;
    finish(tx, done).await?;
    Ok(())
}

/// The bank's word of these payments is there.
pub(crate) async fn no_longer_awaited(tx: &mut Tx, told: &[(PaymentId, i64)]) -> Result<(), StoreError> {
    const TOLD: Sql = Sql {
        sqlite: "DELETE FROM awaited_payments WHERE payment_id = $payment_id",
        postgres: sql!(
            "DELETE FROM awaited_payments a USING",
            rows(payment_id uuid),
            "WHERE a.payment_id = r.payment_id"
        )
        .postgres,
    };
    tx.execute_each(TOLD, &keys(told), ()).await?;
    Ok(())
}

/// Since when, at `now`, the bank's word is awaited for the longest.
pub async fn awaited_since(tx: &mut Tx, now: Instant) -> Result<Option<Instant>, StoreError> {
    const LONGEST: &str = "SELECT since FROM awaited_payments WHERE since <= $1 ORDER BY since LIMIT 1";
    let longest: Option<(i64,)> = tx.fetch_optional(LONGEST, (now.micros(),)).await?;
    longest.map(|(since,)| Instant::from_micros(since)).transpose().map_err(StoreError::damaged("awaited payment"))
}

/// A bank account as the bank needs it; the number is still sealed.
#[derive(Debug, Clone)]
pub struct SealedAccount {
    /// Which account.
    pub id: BankAccountId,
    /// What the bank's book may know it by.
    pub token: String,
    /// ABA routing number.
    pub routing_number: String,
    /// Checking or savings.
    pub account_type: AccountType,
    /// In whose name.
    pub holder_name: String,
    /// The number, sealed.
    pub number: SealedNumber,
    /// Whether it still takes part in payments.
    pub is_usable: bool,
}

/// A piece of due work that was found.
#[derive(Debug, Clone)]
pub struct Taken {
    /// For which payment.
    pub payment_id: PaymentId,
    /// What.
    pub what: WorkKind,
    /// For which attempt.
    pub attempt: i64,
    /// The payment's version by now.
    pub version: i64,
}

#[derive(Deserialize, FromRow)]
struct TakenRow {
    payment_id: Uuid,
    what: String,
    attempt: i64,
    version: i64,
}

/// Takes up to `limit` pieces of due work, the longest due first, that nobody else gets to see until the transaction ends:
/// by then each must be claimed, put off or finished.
///
/// On PostgreSQL the payments are held with their work, and first, as everybody does it; who finds either held goes on.
pub async fn take(tx: &mut Tx, due_before: Instant, now_us: i64, limit: i64) -> Result<Vec<Taken>, StoreError> {
    const TAKE: Sql = sql!(
        "SELECT d.payment_id, d.what, d.attempt, p.version FROM due_work d JOIN payments p ON p.id = d.payment_id
         WHERE d.due_at <= $1 AND d.claimed_until <= $2 ORDER BY d.due_at, d.payment_id LIMIT $3",
        skip_locked_of(p, d)
    );
    let rows: Vec<TakenRow> = tx.fetch_all(TAKE, (due_before.micros(), now_us, limit)).await?;
    rows.into_iter()
        .map(|row| {
            Ok(Taken {
                payment_id: PaymentId(row.payment_id),
                what: WorkKind::parse(&row.what).map_err(StoreError::damaged("work"))?,
                attempt: row.attempt,
                version: row.version,
            })
        })
        .collect()
}

/// Claims work that `take` has found.
pub async fn keep(tx: &mut Tx, work: &[(PaymentId, i64)], claim: Claim) -> Result<(), StoreError> {
    const KEEP: Sql = Sql {
        sqlite: "UPDATE due_work SET claimed_until = $2, claimed_by = $3
                 WHERE payment_id = $payment_id AND attempt = $attempt",
        postgres: sql!(
            "UPDATE due_work d SET claimed_until = $2, claimed_by = $3 FROM",
            rows(payment_id uuid, attempt bigint),
            "WHERE d.payment_id = r.payment_id AND d.attempt = r.attempt"
        )
        .postgres,
    };
    if !work.is_empty() {
        tx.execute_each(KEEP, &keys(work), (claim.until_us, claim.by)).await?;
    }
    Ok(())
}

/// Prolongs all claims of the same holder.
///
/// Rows that another transaction is writing are left out, here and in [`release`] and [`put_off`]: who tends the queue never
/// waits for who records facts, or the two could wait for each other in a circle. A claim outlives more than one renewal.
pub async fn renew(tx: &mut Tx, claim: Claim, now_us: i64) -> Result<(), StoreError> {
    const RENEW: Sql = sql!(
        "UPDATE due_work SET claimed_until = $3 WHERE payment_id IN (
             SELECT payment_id FROM due_work WHERE claimed_by = $1 AND $2 < claimed_until",
        skip_locked,
        ")"
    );
    tx.execute(RENEW, (claim.by, now_us, claim.until_us)).await?;
    Ok(())
}

/// Lets go of the claims that `by` holds, so that others need not wait for them to expire.
pub async fn release(tx: &mut Tx, by: Uuid) -> Result<(), StoreError> {
    const RELEASE: Sql = sql!(
        "UPDATE due_work SET claimed_until = 0 WHERE payment_id IN (
             SELECT payment_id FROM due_work WHERE claimed_by = $1",
        skip_locked,
        ")"
    );
    tx.execute(RELEASE, (by,)).await?;
    Ok(())
}

/// Of `work`, what `by` still holds at `now_us`; the rows are held until the transaction ends.
///
/// Whoever took too long and lost a claim must not speak for the payment any more: another may have handed it over.
pub async fn still_held(
    tx: &mut Tx,
    work: &[(PaymentId, i64)],
    by: Uuid,
    now_us: i64,
) -> Result<Vec<(PaymentId, i64)>, StoreError> {
    const HELD: Sql = sql!(
        "SELECT d.payment_id, d.attempt FROM",
        each(payment_id uuid, attempt bigint),
        "due_work d WHERE d.payment_id =",
        field(payment_id),
        "AND d.attempt =",
        field(attempt),
        "AND d.claimed_by = $2 AND $3 < d.claimed_until ORDER BY d.payment_id",
        for_update_of(d)
    );
    if work.is_empty() {
        return Ok(Vec::new());
    }
    let held: Vec<(Uuid, i64)> = tx.fetch_each(HELD, &keys(work), (by, now_us)).await?;
    Ok(held.into_iter().map(|(payment, attempt)| (PaymentId(payment), attempt)).collect())
}

/// Lets go of all claims: for the one process that has a SQLite database to itself, when it starts.
pub async fn release_all(tx: &mut Tx) -> Result<(), StoreError> {
    tx.execute("UPDATE due_work SET claimed_until = 0 WHERE 0 < claimed_until", ()).await?;
    Ok(())
}

/// Puts claimed work off until `due_at`, and lets go of it.
pub async fn put_off(tx: &mut Tx, work: &[(PaymentId, i64)], due_at: Instant) -> Result<(), StoreError> {
    const PUT_OFF: Sql = Sql {
        sqlite: "UPDATE due_work SET due_at = $2, claimed_until = 0 WHERE payment_id = $payment_id AND attempt = $attempt",
        postgres: sql!(
            "WITH held AS MATERIALIZED (
                 SELECT d.payment_id FROM",
            each(payment_id uuid, attempt bigint),
            "due_work d WHERE d.payment_id = r.payment_id AND d.attempt = r.attempt",
            skip_locked_of(d),
            ")
             UPDATE due_work d SET due_at = $2, claimed_until = 0 FROM held WHERE d.payment_id = held.payment_id"
        )
        .postgres,
    };
    if !work.is_empty() {
        tx.execute_each(PUT_OFF, &keys(work), (due_at.micros(),)).await?;
    }
    Ok(())
}

/// When the next work is due that nobody holds, if there is any.
pub async fn next_due(tx: &mut Tx, now_us: i64) -> Result<Option<i64>, StoreError> {
    let next: Option<(i64,)> = tx
        .fetch_optional("SELECT due_at FROM due_work WHERE claimed_until <= $1 ORDER BY due_at LIMIT 1", (now_us,))
        .await?;
    Ok(next.map(|(due_at,)| due_at))
}

/// What is due of one kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Which kind.
    pub what: WorkKind,
    /// How many pieces.
    pub count: i64,
    /// Since when the longest due one is due.
    pub since: Instant,
}

/// What is due at `now`, whether somebody is at it or not, by kind; of all that is due the `limit` longest due pieces count.
pub async fn backlog(tx: &mut Tx, now: Instant, limit: i64) -> Result<Vec<Backlog>, StoreError> {
    let rows: Vec<(String, i64, i64)> = tx
        .fetch_all(
            "SELECT what, COUNT(*), MIN(due_at) FROM (
                 SELECT what, due_at FROM due_work WHERE due_at <= $1 ORDER BY due_at, payment_id LIMIT $2
             ) AS longest_due GROUP BY what",
            (now.micros(), limit),
        )
        .await?;
    let backlog = rows.into_iter().map(|(what, count, since)| {
        let what = WorkKind::parse(&what).map_err(StoreError::damaged("work"))?;
        let since = Instant::from_micros(since).map_err(StoreError::damaged("work"))?;
        Ok(Backlog { what, count, since })
    });
    backlog.collect()
}

#[derive(Deserialize, FromRow)]
struct SealedRow {
    id: Uuid,
    token: String,
    routing_number: String,
    account_type: String,
    account_holder_name: String,
    sealed_number: String,
    key_id: String,
    is_active: bool,
    closed_by: Option<String>,
}

/// The accounts of a batch as the bank needs them.
pub async fn sealed_accounts(tx: &mut Tx, ids: &[BankAccountId]) -> Result<Vec<SealedAccount>, StoreError> {
    const FIND: Sql = sql!(
        "SELECT b.id, b.token, b.routing_number, b.account_type, b.account_holder_name, b.sealed_number, b.key_id,
                b.is_active, b.closed_by FROM",
        each(id uuid),
        "bank_accounts b WHERE b.id =",
        field(id)
    );
    let ids = crate::payments::distinct(ids.iter().map(|id| id.0));
    let rows: Vec<SealedRow> = tx.fetch_each(FIND, &ids, ()).await?;
    rows.into_iter()
        .map(|row| {
            Ok(SealedAccount {
                id: BankAccountId(row.id),
                token: row.token,
                routing_number: row.routing_number,
                account_type: AccountType::parse(&row.account_type).map_err(StoreError::damaged("account type"))?,
                holder_name: row.account_holder_name,
                number: SealedNumber { sealed_number: row.sealed_number, key_id: row.key_id },
                is_usable: row.is_active && row.closed_by.is_none(),
            })
        })
        .collect()
}
