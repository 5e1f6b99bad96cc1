//! Every payment is the fold of its events, and every posting follows from one of them.

use std::collections::HashMap;

use directpay_domain::id::PaymentId;
use directpay_domain::payment::{Event, Payment, Status};
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::{Check, PAGE};
use crate::db::Tx;
use crate::error::StoreError;
use crate::ledger::Line;
use crate::payments::{Stored, distinct};
use crate::sql::{Sql, sql};
use crate::values::Json;

#[derive(Deserialize, FromRow)]
struct EventRow {
    stream_id: Uuid,
    sequence: i64,
    event_type: String,
    occurred_at: i64,
    body: String,
}

#[derive(Deserialize, FromRow)]
pub(super) struct LineRow {
    stream_id: Uuid,
    sequence: i64,
    line: i64,
    landlord_id: Uuid,
    currency: String,
    debit: String,
    credit: String,
    amount: i64,
}

#[derive(Deserialize, FromRow)]
struct WorkRow {
    payment_id: Uuid,
    what: String,
    attempt: i64,
}

/// The checks that go payment by payment.
struct Checks {
    fold: Check,
    sequence: Check,
    postings: Check,
    work: Check,
}

/// What belongs to one page of payments.
struct PageOf {
    events: HashMap<Uuid, Vec<EventRow>>,
    lines: HashMap<Uuid, Vec<LineRow>>,
    work: HashMap<Uuid, WorkRow>,
}

pub(super) async fn check(tx: &mut Tx, mut progress: impl FnMut(u64)) -> Result<Vec<Check>, StoreError> {
    let mut checks = Checks {
        fold: Check::new("every payment is the fold of its events"),
        sequence: Check::new("event numbers have no gap and say what their bodies say"),
        postings: Check::new("postings are those of the events"),
        work: Check::new("what is pending is due, what is final is not"),
    };
    let mut after = Uuid::nil();
    loop {
        let payments = page(tx, after).await?;
        let Some(last) = payments.last() else { break };
        after = last.terms.id.0;
        let of = page_of(tx, &payments).await?;
        for payment in &payments {
            checks.one(payment, &of);
        }
        progress(checks.fold.examined);
    }
    Ok(vec![checks.fold, checks.sequence, checks.postings, checks.work])
}

async fn page(tx: &mut Tx, after: Uuid) -> Result<Vec<Payment>, StoreError> {
    const PAYMENTS: Sql =
        sql!("SELECT", payment_columns, "FROM payments p", payment_accounts, "WHERE $1 < p.id ORDER BY p.id LIMIT $2");
    let stored: Vec<Stored> = tx.fetch_all(PAYMENTS, (after, PAGE)).await?;
    stored.into_iter().map(Stored::into_payment).collect()
}

async fn page_of(tx: &mut Tx, payments: &[Payment]) -> Result<PageOf, StoreError> {
    const EVENTS: Sql = sql!(
        "SELECT e.stream_id, e.sequence, e.event_type, e.occurred_at, e.body FROM",
        rows(id uuid),
        "JOIN events e ON e.stream_id = r.id ORDER BY e.stream_id, e.sequence"
    );
    const LINES: Sql = sql!(
        "SELECT l.stream_id, l.sequence, l.line, l.landlord_id, l.currency, l.debit, l.credit, l.amount FROM",
        rows(id uuid),
        "JOIN postings l ON l.stream_id = r.id ORDER BY l.stream_id, l.sequence, l.line"
    );
    const WORK: Sql = sql!(
        "SELECT w.payment_id, w.what, w.attempt FROM",
        rows(id uuid),
        "JOIN due_work w ON w.payment_id = r.id"
    );
    let ids = Json(distinct(payments.iter().map(|payment| payment.terms.id.0)));
    let mut of = PageOf { events: HashMap::new(), lines: HashMap::new(), work: HashMap::new() };
    for row in tx.fetch_all::<EventRow>(EVENTS, (&ids,)).await? {
        of.events.entry(row.stream_id).or_default().push(row);
    }
    for row in tx.fetch_all::<LineRow>(LINES, (&ids,)).await? {
        of.lines.entry(row.stream_id).or_default().push(row);
    }
    for row in tx.fetch_all::<WorkRow>(WORK, (&ids,)).await? {
        of.work.insert(row.payment_id, row);
    }
    Ok(of)
}

impl Checks {
    fn one(&mut self, payment: &Payment, of: &PageOf) {
        let id = payment.terms.id;
        let rows = of.events.get(&id.0).map_or(&[][..], Vec::as_slice);
        let events: Result<Vec<Event>, _> = rows.iter().map(|row| serde_json::from_str(&row.body)).collect();
        let events = match events {
            Ok(events) => events,
            Err(error) => {
                self.sequence.note(Some(format!("payment {id}: an event cannot be read: {error}")));
                self.fold.note(None);
                return;
            }
        };
        for (row, (event, expected)) in rows.iter().zip(events.iter().zip(1..)) {
            self.sequence.note(wrong_row(id, row, event, expected));
        }
        self.fold.note(wrong_fold(payment, &events));
        let lines = of.lines.get(&id.0).map_or(&[][..], Vec::as_slice);
        self.postings.note(wrong_postings(id, &events, lines));
        self.work.note(wrong_work(payment, of.work.get(&id.0)));
    }
}

fn wrong_row(id: PaymentId, row: &EventRow, event: &Event, expected: i64) -> Option<String> {
    let agrees = row.sequence == expected
        && event.sequence == expected
        && event.payment_id == id
        && event.change.event_type().name() == row.event_type
        && event.occurred_at.micros() == row.occurred_at;
    (!agrees).then(|| {
        format!("payment {id}: event {} stands where {expected} should, or differs from its body", row.sequence)
    })
}

fn wrong_fold(payment: &Payment, events: &[Event]) -> Option<String> {
    let id = payment.terms.id;
    match Payment::fold(events) {
        Ok(folded) if folded == *payment => None,
        Ok(folded) => Some(format!(
            "payment {id}: stored as {} version {}, its events make {} version {}",
            payment.status, payment.version, folded.status, folded.version
        )),
        Err(invalid) => Some(format!("payment {id}: {invalid}")),
    }
}

/// Goes through the history once more and compares what each event should have posted.
fn wrong_postings(id: PaymentId, events: &[Event], lines: &[LineRow]) -> Option<String> {
    let (first, others) = events.split_first()?;
    let mut payment = Payment::fold(std::slice::from_ref(first)).ok()?;
    let mut expected = Vec::new();
    for event in others {
        let postings = payment.postings(&event.change);
        expected.extend(Line::entry(id.0, event.sequence, payment.terms.landlord_id, &postings));
        payment.evolve(event);
    }
    let same = expected.len() == lines.len() && expected.iter().zip(lines).all(|(line, row)| agrees(line, row));
    (!same).then(|| format!("payment {id}: its postings are not those of its events"))
}

pub(super) fn agrees(line: &Line, row: &LineRow) -> bool {
    line.stream_id == row.stream_id
        && line.sequence == row.sequence
        && line.line == row.line
        && line.landlord_id == row.landlord_id
        && line.currency == row.currency
        && line.debit == row.debit
        && line.credit == row.credit
        && line.amount == row.amount
}

fn wrong_work(payment: &Payment, work: Option<&WorkRow>) -> Option<String> {
    let id = payment.terms.id;
    let wanted = match payment.status {
        Status::Pending => Some("SUBMIT"),
        // The work of a payment in processing goes when the bank has it.
        Status::Processing => work.map(|_| "INQUIRE"),
        Status::Completed | Status::Failed | Status::Returned | Status::Cancelled => None,
    };
    let found = work.map(|work| work.what.as_str());
    if wanted != found {
        return Some(format!("payment {id} is {} and its work is {}", payment.status, found.unwrap_or("none")));
    }
    let attempt = work.map_or(payment.attempt, |work| work.attempt);
    (attempt != payment.attempt).then(|| format!("payment {id}: its work is for attempt {attempt}"))
}
