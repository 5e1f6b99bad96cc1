//! The simulated bank's own book, in transactions of its own.
//!
//! It speaks the bank's words and knows nothing of payments but references: an independent witness of what moved. It never
//! holds an account number.

use directpay_domain::money::Amount;
use directpay_domain::payment::{Reason, Reference};
use directpay_domain::rail::Rail;
use directpay_domain::time::Instant;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::db::{Db, Tx};
use crate::error::StoreError;
use crate::sql::{Sql, sql};

/// The name under which this bank's outcomes are collected.
pub const CONNECTION: &str = "simulator";

/// What the bank has made of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Taken, not carried out yet.
    Accepted,
    /// Carried out.
    Settled,
    /// Finally refused.
    Refused,
    /// Carried out and taken back.
    Returned,
}

impl State {
    const ALL: [State; 4] = [State::Accepted, State::Settled, State::Refused, State::Returned];

    fn name(self) -> &'static str {
        match self {
            State::Accepted => "ACCEPTED",
            State::Settled => "SETTLED",
            State::Refused => "REFUSED",
            State::Returned => "RETURNED",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<State, StoreError> {
        State::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| unreadable("bank state"))
    }
}

fn unreadable(what: &'static str) -> StoreError {
    StoreError::damaged(what)(directpay_domain::invalid::Invalid::new("unknown", "is not one of the known names"))
}

/// What the bank will do with an instruction.
#[derive(Debug, Clone)]
pub enum Plan {
    /// Nothing, ever.
    Hold,
    /// Carry it out while the sender waits.
    SettleAtOnce,
    /// Carry it out.
    Settle {
        /// When.
        at: Instant,
    },
    /// Refuse it.
    Refuse {
        /// When.
        at: Instant,
        /// Why.
        reason: Reason,
    },
    /// Carry it out and take it back.
    SettleThenReturn {
        /// When it is carried out.
        at: Instant,
        /// Microseconds from then to the return.
        return_after_us: i64,
        /// Why it is returned.
        reason: Reason,
    },
}

/// An instruction that reaches the bank.
#[derive(Debug, Clone)]
pub struct Instruction {
    /// Its name.
    pub reference: Reference,
    /// How the money moves.
    pub rail: Rail,
    /// How much.
    pub amount: Amount,
    /// Token of the account that pays.
    pub payer: String,
    /// Token of the account that is paid.
    pub payee: String,
    /// Now, in business time.
    pub accepted_at: Instant,
    /// What will become of it.
    pub plan: Plan,
}

#[derive(Serialize)]
struct InstructionRow<'a> {
    reference: String,
    rail: &'static str,
    amount: i64,
    currency: &'static str,
    payer: &'a str,
    payee: &'a str,
    state: &'static str,
    accepted_at: i64,
    next_state: Option<&'static str>,
    next_at: Option<i64>,
    reason_code: Option<&'a str>,
    reason_text: Option<&'a str>,
    return_after: Option<i64>,
}

impl<'a> InstructionRow<'a> {
    fn new(instruction: &'a Instruction) -> InstructionRow<'a> {
        let state = match instruction.plan {
            Plan::SettleAtOnce => State::Settled,
            Plan::Hold | Plan::Settle { .. } | Plan::Refuse { .. } | Plan::SettleThenReturn { .. } => State::Accepted,
        };
        let (next, reason, return_after) = match &instruction.plan {
            Plan::Hold | Plan::SettleAtOnce => (None, None, None),
            Plan::Settle { at } => (Some((State::Settled, at)), None, None),
            Plan::Refuse { at, reason } => (Some((State::Refused, at)), Some(reason), None),
            Plan::SettleThenReturn { at, return_after_us, reason } => {
                (Some((State::Settled, at)), Some(reason), Some(*return_after_us))
            }
        };
        InstructionRow {
            reference: instruction.reference.to_string(),
            rail: instruction.rail.name(),
            amount: instruction.amount.minor(),
            currency: instruction.amount.currency().code(),
            payer: &instruction.payer,
            payee: &instruction.payee,
            state: state.name(),
            accepted_at: instruction.accepted_at.micros(),
            next_state: next.map(|(state, _)| state.name()),
            next_at: next.map(|(_, at)| at.micros()),
            reason_code: reason.map(|reason| reason.code.as_str()),
            reason_text: reason.map(|reason| reason.text.as_str()),
            return_after,
        }
    }
}

/// Takes instructions into the book, and carries out at once what is to be settled at once. A reference that the bank has seen
/// is not taken a second time.
///
/// Says which references are new. Of what is carried out here nothing is told later: whoever handed it over hears it now, or by
/// asking.
pub async fn accept(db: &Db, instructions: &[Instruction]) -> Result<Vec<Reference>, StoreError> {
    const ACCEPT: Sql = sql!(
        insert(bank_instructions: reference text, rail text, amount bigint, currency text, payer text, payee text,
               state text, accepted_at bigint, next_state text, next_at bigint, reason_code text, reason_text text,
               return_after bigint),
        "ON CONFLICT (reference) DO NOTHING",
        returning(reference)
    );
    let mut rows: Vec<_> = instructions.iter().map(InstructionRow::new).collect();
    // One order for all who submit.
    rows.sort_by(|one, other| one.reference.cmp(&other.reference));
    let mut tx = db.begin().await?;
    let taken: HashSet<String> = tx.insert_new(ACCEPT, &rows, |row| row.reference.clone()).await?;
    tx.commit().await?;
    taken.iter().map(|reference| parse_reference(reference)).collect()
}

pub(crate) fn parse_reference(text: &str) -> Result<Reference, StoreError> {
    text.parse().map_err(StoreError::damaged("bank reference"))
}

#[derive(Serialize)]
struct ReferenceRow {
    reference: String,
}

/// Which of these references the bank has seen, and what has become of them.
pub async fn seen(db: &Db, references: &[Reference]) -> Result<Vec<(Reference, State)>, StoreError> {
    const SEEN: Sql = sql!(
        "SELECT i.reference, i.state FROM",
        each(reference text),
        "bank_instructions i WHERE i.reference =",
        field(reference)
    );
    let rows: Vec<_> = references.iter().map(|reference| ReferenceRow { reference: reference.to_string() }).collect();
    let mut tx = db.begin_read().await?;
    let found: Vec<(String, String)> = tx.fetch_each(SEEN, &rows, ()).await?;
    found.iter().map(|(reference, state)| Ok((parse_reference(reference)?, State::parse(state)?))).collect()
}

/// Something that the bank tells.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its place in what the bank tells.
    pub position: i64,
    /// Of which instruction.
    pub reference: Reference,
    /// What became of it.
    pub state: State,
    /// Why, unless it was carried out.
    pub reason: Option<Reason>,
}

#[derive(Deserialize, FromRow)]
struct ToldRow {
    position: i64,
    reference: String,
    state: String,
    reason_code: Option<String>,
    reason_text: Option<String>,
}

impl ToldRow {
    fn into_told(self) -> Result<Told, StoreError> {
        Ok(Told {
            position: self.position,
            reference: parse_reference(&self.reference)?,
            state: State::parse(&self.state)?,
            reason: self.reason_code.zip(self.reason_text).map(|(code, text)| Reason { code, text }),
        })
    }
}

/// What the bank tells after `position`, in its order, at most `limit` at a time.
pub async fn told_since(db: &Db, position: i64, limit: i64) -> Result<Vec<Told>, StoreError> {
    let mut tx = db.begin_read().await?;
    let rows: Vec<ToldRow> = tx
        .fetch_all(
            "SELECT position, reference, state, reason_code, reason_text FROM bank_outcomes
             WHERE $1 < position ORDER BY position LIMIT $2",
            (position, limit),
        )
        .await?;
    rows.into_iter().map(ToldRow::into_told).collect()
}

/// When the bank will next do something, if ever.
pub async fn next_at(db: &Db) -> Result<Option<Instant>, StoreError> {
    let mut tx = db.begin_read().await?;
    let next: Option<(i64,)> = tx
        .fetch_optional("SELECT next_at FROM bank_instructions WHERE next_at IS NOT NULL ORDER BY next_at LIMIT 1", ())
        .await?;
    next.map(|(micros,)| Instant::from_micros(micros).map_err(StoreError::damaged("time"))).transpose()
}

/// An instruction on which something is due.
#[derive(Deserialize, FromRow)]
struct DueRow {
    reference: String,
    next_state: String,
    next_at: i64,
    reason_code: Option<String>,
    reason_text: Option<String>,
    return_after: Option<i64>,
}

/// Something that the bank tells, as it is written.
#[derive(Serialize)]
struct OutcomeRow {
    position: i64,
    reference: String,
    state: String,
    reason_code: Option<String>,
    reason_text: Option<String>,
    occurred_at: i64,
}

/// What becomes of an instruction, as it is written.
#[derive(Serialize)]
struct StepRow {
    reference: String,
    state: String,
    next_state: Option<&'static str>,
    next_at: Option<i64>,
}

/// Does what is due by `now`, at most `limit` instructions at a time, and says how many steps were taken.
pub async fn advance(db: &Db, now: Instant, limit: i64) -> Result<usize, StoreError> {
    const MOVE: Sql = sql!(
        update(bank_instructions by reference text: state text, next_state text, next_at bigint)
    );
    let mut tx = db.begin().await?;
    let first = take_counter(&mut tx).await?;
    let due: Vec<DueRow> = tx
        .fetch_all(
            "SELECT reference, next_state, next_at, reason_code, reason_text, return_after FROM bank_instructions
             WHERE next_at IS NOT NULL AND next_at <= $1 ORDER BY next_at, reference LIMIT $2",
            (now.micros(), limit),
        )
        .await?;
    if due.is_empty() {
        return Ok(0);
    }
    let (steps, told): (Vec<_>, Vec<_>) =
        (first + 1..).zip(due).map(|(position, due)| step(position, due, now)).unzip();
    tx.execute_each(MOVE, &steps, ()).await?;
    tell(&mut tx, &told).await?;
    tx.commit().await?;
    Ok(steps.len())
}

/// Holds the counter until the transaction ends, so that positions become visible in their order.
async fn take_counter(tx: &mut Tx) -> Result<i64, StoreError> {
    const TAKE: Sql = sql!("SELECT position FROM bank_counter WHERE id = 1", for_update);
    let (position,): (i64,) = tx.fetch_one(TAKE, ()).await?;
    Ok(position)
}

fn step(position: i64, due: DueRow, now: Instant) -> (StepRow, OutcomeRow) {
    let settles = due.next_state == State::Settled.name();
    let return_at = due.return_after.filter(|_| settles).map(|after| due.next_at.saturating_add(after));
    let step = StepRow {
        reference: due.reference.clone(),
        state: due.next_state.clone(),
        next_state: return_at.map(|_| State::Returned.name()),
        next_at: return_at,
    };
    let told = OutcomeRow {
        position,
        reference: due.reference,
        state: due.next_state,
        reason_code: due.reason_code.filter(|_| !settles),
        reason_text: due.reason_text.filter(|_| !settles),
        occurred_at: now.micros(),
    };
    (step, told)
}

/// Adds to what the bank tells; the caller holds the counter.
async fn tell(tx: &mut Tx, outcomes: &[OutcomeRow]) -> Result<(), StoreError> {
    const TELL: Sql = sql!(
        insert(bank_outcomes: position bigint, reference text, state text, reason_code text, reason_text text,
               occurred_at bigint)
    );
    let Some(last) = outcomes.last() else { return Ok(()) };
    tx.execute_each(TELL, outcomes, ()).await?;
    tx.execute("UPDATE bank_counter SET position = $1 WHERE id = 1", (last.position,)).await?;
    Ok(())
}

/// How far the outcomes of a connection have been recorded on our side.
pub async fn cursor(tx: &mut Tx, connection: &str) -> Result<i64, StoreError> {
    let found: Option<(i64,)> =
        tx.fetch_optional("SELECT position FROM bank_cursors WHERE connection = $1", (connection,)).await?;
    Ok(found.map_or(0, |(position,)| position))
}

/// Moves our cursor from `from` to `to`; false if another process has moved it, and then nothing may be kept.
pub async fn move_cursor(tx: &mut Tx, connection: &str, from: i64, to: i64) -> Result<bool, StoreError> {
    tx.execute(
        "INSERT INTO bank_cursors (connection, position) VALUES ($1, 0) ON CONFLICT (connection) DO NOTHING",
        (connection,),
    )
    .await?;
    let moved = tx
        .execute(
            "UPDATE bank_cursors SET position = $3 WHERE connection = $1 AND position = $2",
            (connection, from, to),
        )
        .await?;
    Ok(moved == 1)
}
