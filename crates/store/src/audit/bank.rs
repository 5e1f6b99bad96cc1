//! The bank's book against ours: nothing moved twice, nothing moved that we do not know of.
//!
//! Both books are read in one order, by payment and attempt.

use std::collections::{HashMap, HashSet};

use directpay_domain::id::PaymentId;
use directpay_domain::payment::{Payment, Reference, Status};
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::{Check, PAGE};
use crate::bank_book::{self, State, parse_reference};
use crate::db::Tx;
use crate::error::StoreError;
use crate::payments::{self, distinct};
use crate::sql::{Sql, sql};
use crate::values::Json;

#[derive(Deserialize, FromRow)]
struct BookRow {
    reference: String,
    rail: String,
    amount: i64,
    currency: String,
    state: String,
    told_at: Option<i64>,
}

/// A row of the bank's book, read.
struct Entry {
    reference: Reference,
    row: BookRow,
    state: State,
    /// Whether we have been told of its state.
    is_told: bool,
}

struct Checks {
    ours: Check,
    known: Check,
    once: Check,
}

pub(super) async fn check(tx: &mut Tx, mut progress: impl FnMut(u64)) -> Result<Vec<Check>, StoreError> {
    let mut checks = Checks {
        known: Check::new("the bank moved nothing that we do not know of"),
        once: Check::new("the bank moved no payment twice"),
        ours: Check::new("the bank carried out all that we say it did"),
    };
    let cursor = bank_book::cursor(tx, bank_book::CONNECTION).await?;
    let mut after = String::new();
    let mut moved: Option<(PaymentId, u32)> = None;
    loop {
        let entries = page(tx, &after, cursor).await?;
        let Some(last) = entries.last() else { break };
        after = last.row.reference.clone();
        let ours = Ours::of(tx, &entries).await?;
        for entry in &entries {
            checks.known.note(unknown(entry, &ours));
            checks.once.note(moved_twice(&mut moved, entry));
        }
        progress(checks.known.examined);
    }
    not_in_the_book(tx, &mut checks.ours).await?;
    Ok(vec![checks.known, checks.once, checks.ours])
}

async fn page(tx: &mut Tx, after: &str, cursor: i64) -> Result<Vec<Entry>, StoreError> {
    let rows: Vec<BookRow> = tx
        .fetch_all(
            "SELECT i.reference, i.rail, i.amount, i.currency, i.state,
                    (SELECT MAX(o.position) FROM bank_outcomes o WHERE o.reference = i.reference) AS told_at
             FROM bank_instructions i WHERE $1 < i.reference ORDER BY i.reference LIMIT $2",
            (after, PAGE),
        )
        .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Entry {
                reference: parse_reference(&row.reference)?,
                state: State::parse(&row.state)?,
                is_told: row.told_at.is_none_or(|position| position <= cursor),
                row,
            })
        })
        .collect()
}

/// Our side of a page of the book.
struct Ours {
    payments: HashMap<PaymentId, Payment>,
    /// The payments about which a worker is going to ask.
    in_question: HashSet<Uuid>,
}

impl Ours {
    async fn of(tx: &mut Tx, entries: &[Entry]) -> Result<Ours, StoreError> {
        const DUE: Sql = sql!("SELECT d.payment_id FROM", rows(id uuid), "JOIN due_work d ON d.payment_id = r.id");
        let ids: Vec<_> = entries.iter().map(|entry| entry.reference.payment_id).collect();
        let found = payments::find_all(tx, &ids).await?;
        let due: Vec<(Uuid,)> = tx.fetch_all(DUE, (Json(distinct(ids.iter().map(|id| id.0))),)).await?;
        Ok(Ours {
            payments: found.into_iter().map(|payment| (payment.terms.id, payment)).collect(),
            in_question: due.into_iter().map(|(id,)| id).collect(),
        })
    }
}

/// What is wrong with an instruction, seen from our side.
fn unknown(entry: &Entry, ours: &Ours) -> Option<String> {
    let reference = entry.reference;
    let Some(payment) = ours.payments.get(&reference.payment_id) else {
        return Some(format!("instruction {reference} belongs to no payment"));
    };
    let terms = &payment.terms;
    let same = terms.amount.minor() == entry.row.amount
        && terms.amount.currency().code() == entry.row.currency
        && terms.rail.name() == entry.row.rail;
    if !same {
        return Some(format!("instruction {reference} differs from its payment in amount or rail"));
    }
    let fits = match reference.attempt.cmp(&payment.attempt) {
        std::cmp::Ordering::Less => matches!(entry.state, State::Refused | State::Returned),
        std::cmp::Ordering::Greater => false,
        std::cmp::Ordering::Equal => {
            let in_question = ours.in_question.contains(&reference.payment_id.0);
            fits(payment.status, entry.state, entry.is_told && !in_question)
        }
    };
    (!fits).then(|| format!("instruction {reference} is {:?} at the bank, the payment {}", entry.state, payment.status))
}

/// Whether our status and the bank's state of the present attempt go together. We need not know yet what the bank has not told
/// us, or what we are about to ask.
fn fits(status: Status, state: State, must_know: bool) -> bool {
    match (status, state) {
        (Status::Processing, State::Accepted)
        | (Status::Completed, State::Settled)
        | (Status::Failed, State::Refused)
        | (Status::Returned, State::Returned) => true,
        (Status::Processing, State::Settled | State::Refused | State::Returned)
        | (Status::Completed, State::Returned) => !must_know,
        (Status::Pending | Status::Cancelled, _)
        | (Status::Completed, State::Accepted | State::Refused)
        | (Status::Failed, State::Accepted | State::Settled | State::Returned)
        | (Status::Returned, State::Accepted | State::Settled | State::Refused) => false,
    }
}

/// Counts the attempts of a payment that moved money and were not taken back; they stand beside each other in the book.
fn moved_twice(moved: &mut Option<(PaymentId, u32)>, entry: &Entry) -> Option<String> {
    let payment = entry.reference.payment_id;
    let before = moved.filter(|(of, _)| *of == payment).map_or(0, |(_, count)| count);
    let count = before + u32::from(entry.state == State::Settled);
    *moved = Some((payment, count));
    (1 < count && before < count).then(|| format!("payment {payment} was settled {count} times"))
}

/// What we call completed must stand as settled in the bank's book, and what we call processing must stand there at all unless
/// somebody is still to hand it over.
async fn not_in_the_book(tx: &mut Tx, check: &mut Check) -> Result<(), StoreError> {
    #[derive(Deserialize, FromRow)]
    struct Row {
        id: Uuid,
        attempt: i64,
        status: String,
    }
    #[derive(serde::Serialize)]
    struct ReferenceRow {
        reference: String,
    }
    const BOOK: Sql = sql!(
        "SELECT i.reference, i.state FROM",
        rows(reference text),
        "JOIN bank_instructions i ON i.reference = r.reference"
    );
    let mut after = Uuid::nil();
    loop {
        let page: Vec<Row> = tx
            .fetch_all(
                "SELECT id, attempt, status FROM payments
                 WHERE $1 < id AND (status IN ('COMPLETED', 'RETURNED') OR (status = 'PROCESSING'
                     AND NOT EXISTS (SELECT 1 FROM due_work w WHERE w.payment_id = payments.id)))
                 ORDER BY id LIMIT $2",
                (after, PAGE),
            )
            .await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        let references: Vec<_> = page
            .iter()
            .map(|row| Reference { payment_id: PaymentId(row.id), attempt: row.attempt }.to_string())
            .collect();
        let asked: Vec<_> = references.iter().map(|reference| ReferenceRow { reference: reference.clone() }).collect();
        let book: HashMap<String, String> =
            tx.fetch_all::<(String, String)>(BOOK, (Json(asked),)).await?.into_iter().collect();
        for (row, reference) in page.iter().zip(references) {
            let state = book.get(&reference).map(String::as_str);
            let agrees = match row.status.as_str() {
                "PROCESSING" => state.is_some(),
                _ => matches!(state, Some("SETTLED" | "RETURNED")),
            };
            let status = &row.status;
            let at_the_bank = state.unwrap_or("unknown");
            check.note(
                (!agrees).then(|| format!("attempt {reference} is {status} for us and {at_the_bank} to the bank")),
            );
        }
    }
}
