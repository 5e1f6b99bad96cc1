//! The second door: what happens to payments after their first event, a batch in one transaction.

use std::collections::{BTreeMap, HashMap};

use directpay_domain::id::PaymentId;
use directpay_domain::invalid::Invalid;
use directpay_domain::payment::{
    Change, Circumstances, Command, Decision, Event, NewEvent, Payment, Reason, Rejection, WorkKind,
};
use uuid::Uuid;

use super::effects::Effects;
use super::refunds::{self, Refunded};
use super::{HeldPayment, PaymentRow, Stored, distinct};
use crate::bank_accounts::{self, Closed};
use crate::db::Tx;
use crate::error::StoreError;
use crate::events::{self, EventRow};
use crate::ledger::{self, Line};
use crate::sql::{Sql, sql};
use crate::work;

/// A command to one payment with what the server adds to it.
#[derive(Debug, Clone)]
pub struct Instructed {
    /// To which payment.
    pub payment_id: PaymentId,
    /// What is to happen.
    pub command: Command,
    /// Ids, time and origin of the events: a command leads to two at most.
    pub events: [NewEvent; 2],
    /// Time, scale and jitter.
    pub at: Circumstances,
}

/// What became of a command.
#[derive(Debug, Clone)]
pub enum Recorded {
    /// The payment as the batch leaves it, whether the command changed it or it was so already.
    Now(Box<Payment>),
    /// The domain said no; nothing was written for this command.
    Rejected(Rejection),
    /// There is no such payment.
    Unknown,
}

/// The same, where whoever gave the command holds the payment.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// What the command asks for is so now, whether the command changed it or it was so already.
    Holds,
    /// See [`Recorded::Rejected`].
    Rejected(Rejection),
    /// See [`Recorded::Unknown`].
    Unknown,
}

/// Payments as the database has them. Their rows are held until the transaction ends: nobody else moves them meanwhile.
pub type Held = HashMap<PaymentId, HeldPayment>;

/// Decides a batch of commands and writes all that follows from them: events, projection, postings, work, closed accounts.
///
/// The payments' rows are held until the transaction ends, in the order of their ids, so that two writers cannot wait for
/// each other. The outcomes stand in the order of the commands; several commands to one payment build on each other.
pub async fn record(tx: &mut Tx, batch: &[Instructed]) -> Result<Vec<Recorded>, StoreError> {
    let ids: Vec<_> = batch.iter().map(|instructed| instructed.payment_id).collect();
    let mut held = hold(tx, &ids).await?;
    let verdicts = record_held(tx, &mut held, batch.to_vec(), None).await?;
    let recorded = ids.iter().zip(verdicts).map(|(id, verdict)| match (verdict, held.get(id)) {
        (Verdict::Holds, Some(payment)) => Recorded::Now(Box::new(payment.payment.clone())),
        (Verdict::Rejected(rejection), _) => Recorded::Rejected(rejection),
        (Verdict::Unknown, _) | (Verdict::Holds, None) => Recorded::Unknown,
    });
    Ok(recorded.collect())
}

/// Does the same to payments that are held already, and folds them forward. Work that an intent to submit leaves behind stays
/// with `claim`.
pub async fn record_held(
    tx: &mut Tx,
    held: &mut Held,
    batch: Vec<Instructed>,
    claim: Option<work::Claim>,
) -> Result<Vec<Verdict>, StoreError> {
    let mut written = Written::default();
    let mut refunded = retried(tx, held, &batch).await?;
    let verdicts = batch
        .into_iter()
        .map(|instructed| {
            let Some(held) = held.get_mut(&instructed.payment_id) else { return Verdict::Unknown };
            let payment = &mut held.payment;
            match payment.decide(&instructed.command, instructed.at) {
                Err(rejection) => return Verdict::Rejected(rejection),
                Ok(Decision::AlreadyRecorded) => {}
                Ok(Decision::Record(facts)) => {
                    if let Some(rejection) = not_refundable(payment, &instructed.command, &mut refunded) {
                        return Verdict::Rejected(rejection);
                    }
                    for ((change, reason), new) in facts.into_iter().zip(instructed.events) {
                        tx.note(&change, payment.terms.rail);
                        written.add(payment, change, reason, new);
                    }
                }
            }
            Verdict::Holds
        })
        .collect();
    written.write(tx, held, claim).await?;
    Ok(verdicts)
}

/// The payments whose refunds somebody tries again, with what is promised of them, which is held.
async fn retried(tx: &mut Tx, held: &Held, batch: &[Instructed]) -> Result<Refunded, StoreError> {
    let retried = batch.iter().filter(|instructed| instructed.command == Command::Retry);
    let named = retried.filter_map(|instructed| held.get(&instructed.payment_id)?.terms.refund_of);
    refunds::hold(tx, named, |_| true).await
}

/// Promises again what a refund gives back that somebody tries again, or says why not.
fn not_refundable(payment: &Payment, command: &Command, refunded: &mut Refunded) -> Option<Rejection> {
    if *command != Command::Retry {
        return None;
    }
    let original = refunded.payments.get_mut(&payment.terms.refund_of?)?;
    let Invalid { detail, .. } = original.promise(payment.terms.amount).err()?;
    let detail = match original.objection() {
        Some(_) => format!("the payment that it refunds {detail}"),
        None => format!("it {detail}"),
    };
    Some(Rejection::NotRefundable { status: payment.status, detail })
}

/// What a batch of decisions writes, gathered so that each table is written once.
#[derive(Default)]
struct Written {
    events: Vec<Event>,
    lines: Vec<Line>,
    effects: Effects,
    /// The accounts to close with the first code for each. Like the next one in one order for all writers.
    closed: BTreeMap<Uuid, String>,
    /// The place of each payment's last event, which decides about its work.
    last: BTreeMap<PaymentId, usize>,
    /// By how much more or less is promised back of payments.
    promised: BTreeMap<PaymentId, i64>,
}

impl Written {
    fn add(&mut self, payment: &mut Payment, change: Change, reason: Option<Reason>, new: NewEvent) {
        let terms = &payment.terms;
        let entry = payment.postings(&change);
        self.lines.extend(Line::entry(terms.id.0, payment.version + 1, terms.landlord_id, &entry));
        self.effects.add(payment, &change, new.occurred_at);
        if let Some(reason) = reason.as_ref().filter(|reason| reason.closes_account()) {
            self.closed.entry(terms.payer.account_id.0).or_insert_with(|| reason.code.clone());
        }
        if let Some(of) = terms.refund_of {
            *self.promised.entry(of).or_default() += payment.promises(&change);
        }
        self.last.insert(terms.id, self.events.len());
        self.events.push(Event::next(payment, change, reason, new));
    }

    async fn write(self, tx: &mut Tx, held: &mut Held, claim: Option<work::Claim>) -> Result<(), StoreError> {
        if self.events.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::with_capacity(self.events.len());
        for event in &self.events {
            let Some(payment) = held.get_mut(&event.payment_id) else { continue };
            rows.push(EventRow::of_payment(event, &mut payment.head)?);
        }
        let mut changed = Vec::with_capacity(self.last.len());
        let (mut due, mut done) = (Vec::new(), Vec::new());
        for (id, last) in &self.last {
            let (Some(payment), Some(event)) = (held.get(id), self.events.get(*last)) else { continue };
            changed.push(PaymentRow::from(payment));
            match payment.next_work(&event.change, event.occurred_at) {
                Some(work) => {
                    let claim = claim.filter(|_| work.what == WorkKind::Inquire);
                    due.push(work::Due::new(payment, work, claim));
                }
                None => done.push((*id, payment.attempt)),
            }
        }
        events::append(tx, &rows).await?;
        update(tx, &changed).await?;
        ledger::post(tx, &self.lines).await?;
        work::schedule(tx, &due).await?;
        let finished = work::finish(tx, &done).await?;
        // Whatever had work to be finished was not awaited, as all that an instant rail settles while one waits.
        let mut told: Vec<_> = due.iter().filter(|due| due.is_submission()).map(work::Due::key).collect();
        if finished < u64::try_from(done.len()).unwrap_or(u64::MAX) {
            told.extend(done);
        }
        work::no_longer_awaited(tx, &told).await?;
        refunds::promise(tx, self.promised).await?;
        self.effects.write(tx).await?;
        if due.iter().any(work::Due::is_submission) {
            tx.announce_work().await?;
        }
        let closed: Vec<_> = self.closed.into_iter().map(|(id, code)| Closed { id, code }).collect();
        bank_accounts::close(tx, &closed).await
    }
}

/// Loads payments and holds their rows.
pub async fn hold(tx: &mut Tx, ids: &[PaymentId]) -> Result<Held, StoreError> {
    const HOLD: Sql = sql!(
        "SELECT",
        payment_columns,
        "FROM",
        each(id uuid),
        "payments p",
        payment_accounts,
        "WHERE p.id =",
        field(id),
        "ORDER BY p.id",
        for_update_of(p)
    );
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids = distinct(ids.iter().map(|id| id.0));
    let stored: Vec<Stored> = tx.fetch_each(HOLD, &ids, ()).await?;
    let payments = stored.into_iter().map(Stored::into_held);
    payments.map(|payment| payment.map(|payment| (payment.terms.id, payment))).collect()
}

/// Does the same, but loads only what has changed since the caller `remembered` it, or was not remembered.
///
/// A payment's version is the number of its last event, so that the same version is the same payment: there is no need to
/// read and put together again what was written a moment ago.
pub async fn hold_remembered(tx: &mut Tx, ids: &[PaymentId], mut remembered: Held) -> Result<Held, StoreError> {
    const HOLD: Sql = sql!(
        "SELECT p.id, p.version FROM",
        each(id uuid),
        "payments p WHERE p.id =",
        field(id),
        "ORDER BY p.id",
        for_update_of(p)
    );
    if ids.is_empty() || remembered.is_empty() {
        return hold(tx, ids).await;
    }
    let rows = distinct(ids.iter().map(|id| id.0));
    let versions: Vec<(Uuid, i64)> = tx.fetch_each(HOLD, &rows, ()).await?;
    let current = versions.into_iter().filter_map(|(id, version)| {
        let payment = remembered.remove(&PaymentId(id))?;
        (payment.version == version).then_some((PaymentId(id), payment))
    });
    let mut held: Held = current.collect();
    let others: Vec<_> = ids.iter().copied().filter(|id| !held.contains_key(id)).collect();
    held.extend(hold(tx, &others).await?);
    Ok(held)
}

/// Writes what events change of the projection.
async fn update(tx: &mut Tx, rows: &[PaymentRow<'_>]) -> Result<(), StoreError> {
    const UPDATE: Sql = sql!(update(payments by id uuid:
        status text, version bigint, attempt bigint, transient_retries bigint, representments bigint, failure_code text,
        failure_text text, estimated_settlement_at bigint, first_processing_at bigint, processing_at bigint,
        completed_at bigint, failed_at bigint, returned_at bigint, cancelled_at bigint, head bytea));
    tx.execute_each(UPDATE, rows, ()).await?;
    Ok(())
}
