//! A bank that does what the sandbox table says, with the rails' delays times a scale.
//!
//! It keeps its own durable book in its own transactions, as a bank would, and never a full account number in it.

use std::collections::{HashMap, HashSet};

use directpay_domain::api_key::Mode;
use directpay_domain::payment::{Reason, Reference};
use directpay_domain::rail::DelayScale;
use directpay_domain::time::SECOND_US;
use directpay_store::bank_book::{self, Plan, State, Told};
use directpay_store::{Db, StoreError};

use super::sandbox::{Sandbox, Script};
use super::{BankConnection, BankOutcome, BankSilent, BankTime, Instruction, Notice, Receipt, Sighting};
use crate::clock::Clock;

/// From settlement to return at scale 1; real banks take days.
const RETURN_AFTER_US: i64 = 60 * SECOND_US;
/// Instructions that one pass carries out.
const ADVANCE_MAX: i64 = 500;

/// The simulated bank.
pub struct Simulator {
    db: Db,
    clock: Clock,
    scale: DelayScale,
    sandbox: Sandbox,
}

impl Simulator {
    /// A bank whose book is kept in `db`.
    pub fn new(db: Db, clock: Clock, scale: DelayScale) -> anyhow::Result<Simulator> {
        Ok(Simulator { db, clock, scale, sandbox: Sandbox::load()? })
    }

    /// What will be done with an instruction, or the receipt that says that it was not taken.
    fn plan(&self, instruction: &Instruction) -> Result<Planned, Receipt> {
        let Reference { payment_id, attempt } = instruction.reference;
        let rail = instruction.rail;
        let script = self.sandbox.script(instruction.payer.number.expose(), !rail.is_returnable());
        let now = self.clock.business();
        let at = now.plus_micros(rail.simulated_delay_us(payment_id, attempt, self.scale));
        let (settle, settled) =
            if now < at { (Plan::Settle { at }, Receipt::Accepted) } else { (Plan::SettleAtOnce, Receipt::Settled) };
        let settle_then_return =
            |reason| Plan::SettleThenReturn { at, return_after_us: self.scale.apply(RETURN_AFTER_US), reason };
        let not_now = || Receipt::NotNow(Reason::new(Reason::BANK_UNAVAILABLE, "Bank unavailable"));
        let (plan, receipt) = match script {
            Script::Completes => (settle, settled),
            // A credit transfer is refused while the sender waits; a debit comes back when it would have settled.
            Script::Fails(reason) => {
                let at = if rail.is_returnable() { at } else { now };
                (Plan::Refuse { at, reason }, Receipt::Accepted)
            }
            Script::CompletesThenReturns(reason) => (settle_then_return(reason), Receipt::Accepted),
            Script::CompletesThenReturnsThenCompletes(reason) if attempt == 1 => {
                (settle_then_return(reason), Receipt::Accepted)
            }
            Script::CompletesThenReturnsThenCompletes(_) => (settle, settled),
            Script::TransientTwice if attempt <= 2 => return Err(not_now()),
            Script::TransientTwice => (settle, settled),
            Script::TransientAlways(reason) => return Err(Receipt::NotNow(reason)),
            Script::AnswerLostOnce if attempt == 1 => (settle, Receipt::Unknown),
            Script::AnswerLostOnce => (settle, settled),
            Script::StaysInProcessing => (Plan::Hold, Receipt::Accepted),
        };
        let entry = bank_book::Instruction {
            reference: instruction.reference,
            rail,
            amount: instruction.amount,
            payer: instruction.payer.token.clone(),
            payee: instruction.payee.token.clone(),
            accepted_at: now,
            plan,
        };
        Ok(Planned { entry, receipt })
    }
}

/// An instruction that goes into the book, and what the caller gets to hear.
struct Planned {
    entry: bank_book::Instruction,
    receipt: Receipt,
}

fn silent(error: StoreError) -> BankSilent {
    BankSilent(Box::new(error))
}

impl BankConnection for Simulator {
    fn name(&self) -> &'static str {
        bank_book::CONNECTION
    }

    fn time(&self) -> BankTime {
        BankTime::Ours
    }

    fn mode(&self) -> Mode {
        Mode::Test
    }

    async fn submit(&self, batch: &[Instruction]) -> Result<Vec<Receipt>, BankSilent> {
        let plans: Vec<_> = batch.iter().map(|instruction| self.plan(instruction)).collect();
        let entries: Vec<_> = plans.iter().filter_map(|plan| plan.as_ref().ok().map(|p| p.entry.clone())).collect();
        let taken: HashSet<_> = if entries.is_empty() {
            Default::default()
        } else {
            bank_book::accept(&self.db, &entries).await.map_err(silent)?.into_iter().collect()
        };
        Ok(plans
            .into_iter()
            .map(|plan| match plan {
                Err(receipt) => receipt,
                Ok(planned) if taken.contains(&planned.entry.reference) => planned.receipt,
                Ok(_) => Receipt::AlreadySeen,
            })
            .collect())
    }

    async fn inquire(&self, references: &[Reference]) -> Result<Vec<Sighting>, BankSilent> {
        let seen: HashMap<_, _> = bank_book::seen(&self.db, references).await.map_err(silent)?.into_iter().collect();
        let sighting = |reference| match seen.get(reference) {
            Some(State::Settled) => Sighting::Settled,
            Some(State::Accepted | State::Refused | State::Returned) => Sighting::Seen,
            None => Sighting::NeverSeen,
        };
        Ok(references.iter().map(sighting).collect())
    }

    async fn collect(&self, position: i64, limit: usize) -> Result<Vec<Notice>, BankSilent> {
        let now = self.clock.business();
        // Asking costs a read; only when something is due the book is opened for writing.
        if bank_book::next_at(&self.db).await.map_err(silent)?.is_some_and(|next| next <= now) {
            bank_book::advance(&self.db, now, ADVANCE_MAX).await.map_err(silent)?;
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let told = bank_book::told_since(&self.db, position, limit).await.map_err(silent)?;
        Ok(told.into_iter().filter_map(notice).collect())
    }
}

fn notice(told: Told) -> Option<Notice> {
    let reason = || told.reason.clone().unwrap_or_else(|| Reason::new("UNKNOWN", "the bank gave no reason"));
    let outcome = match told.state {
        State::Settled => BankOutcome::Settled,
        State::Refused => BankOutcome::Refused(reason()),
        State::Returned => BankOutcome::Returned(reason()),
        // Acceptance is told by the receipt.
        State::Accepted => return None,
    };
    Some(Notice { position: told.position, reference: told.reference, outcome })
}
