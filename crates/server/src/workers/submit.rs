//! Taking payments that are due to the bank.
//!
//! First the intent is recorded, then the bank is asked, then what it said is recorded. Whatever dies in between leaves a
//! payment in PROCESSING whose work falls free: the next worker asks the bank by reference and hands it over again, under
//! the same reference, only if the bank never saw it.

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use directpay_domain::id::{BankAccountId, LeaseId, PaymentId};
use directpay_domain::payment::initiate::Acceptance;
use directpay_domain::payment::{Actor, Command, Kind, Payment, Reason, Status, WorkKind};
use directpay_domain::time::SECOND_US;
use directpay_store::payments::{self, Held};
use directpay_store::work::{self, Claim, SealedAccount, Taken};
use directpay_store::{StoreError, Tx, policies};
use tracing::field::Empty;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::hand_over::{hand_over, name};
use super::{Round, Shift};
use crate::app::App;
use crate::bank::{BankConnection, Endpoint, Instruction};
use crate::instruct;
use crate::metrics::count;
use crate::secrets::VaultError;
use crate::telemetry::TRACES;

/// How long a claim lasts. Whoever dies is followed up after this.
const CLAIM_US: i64 = 10 * SECOND_US;
/// What cannot be handed over for our own sake (a key is missing, a row is damaged) is looked at again after this.
pub(super) const OUR_FAULT_PAUSE_US: i64 = 60 * SECOND_US;

pub(super) const COMPONENT: &str = "submit-worker";

/// A request of ours to the bank is over, one way or the other, this long after the intent was recorded. Until then a "not
/// now" to a repetition does not prove that the bank never had the first.
const IN_FLIGHT_MAX_US: i64 = 30 * SECOND_US;

/// How much was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    Few,
    /// As much as is taken at a time, and so probably more.
    ABatch,
}

/// Takes what is due and hands it over.
pub(super) async fn round<B: BankConnection>(shift: Shift<B>) -> anyhow::Result<Round> {
    Ok(match work_off(&shift).await? {
        Due::Nothing => Round::Idle,
        Due::Few | Due::ABatch => Round::Worked,
    })
}

/// Does the same beside another worker of this process, as long as there is enough for both: two that share a little take
/// twice the transactions.
pub(super) async fn round_beside<B: BankConnection>(shift: Shift<B>) -> anyhow::Result<Round> {
    Ok(match work_off(&shift).await? {
        Due::Nothing | Due::Few => Round::Idle,
        Due::ABatch => Round::Worked,
    })
}

async fn work_off<B: BankConnection>(shift: &Shift<B>) -> anyhow::Result<Due> {
    if !is_due(&shift.app).await.context("looking for work")? {
        return Ok(Due::Nothing);
    }
    work_off_due(shift).instrument(tracing::debug_span!(target: TRACES, "submit", payments = Empty)).await
}

async fn work_off_due<B: BankConnection>(shift: &Shift<B>) -> anyhow::Result<Due> {
    let error = match take(shift).await {
        Ok((Due::Nothing, _)) => return Ok(Due::Nothing),
        Ok((due, prepared)) => {
            if due == Due::ABatch {
                shift.crowd_bell.ring();
            }
            return hand_over(shift, prepared).await.map(|()| due);
        }
        Err(error) => error,
    };
    if is_passing(&error) {
        return Err(error);
    }
    tracing::warn!(error = format!("{error:#}"), "a batch failed; its payments are tried one by one");
    for one in claim(shift).await.context("taking work")? {
        if let Err(error) = alone(shift, &one).await {
            if is_passing(&error) {
                return Err(error);
            }
            tracing::error!(payment_id = %one.payment_id, error = format!("{error:#}"), "a payment cannot be handed over");
            put_off(&shift.app, &[key(&one)], OUR_FAULT_PAUSE_US).await?;
        }
    }
    Ok(Due::Few)
}

/// Whether the database is in trouble and the payments are not: their claims run out, and they are taken up again.
fn is_passing(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<StoreError>()).any(StoreError::is_passing)
}

/// Most rounds of an idle system end here, with a read.
async fn is_due(app: &App) -> Result<bool, StoreError> {
    let mut tx = app.db.begin_read().await?;
    let next = work::next_due(&mut tx, app.clock.process_us()).await?;
    Ok(next.is_some_and(|due_at| due_at <= app.clock.business().micros()))
}

/// Takes work and records the intent to hand it over, in one transaction.
async fn take<B>(shift: &Shift<B>) -> anyhow::Result<(Due, Prepared)> {
    let app = &shift.app;
    let mut tx = app.db.begin().await?;
    let taken = take_due(&mut tx, shift).await.context("taking work")?;
    let due = match taken.len() {
        0 => return Ok((Due::Nothing, Prepared::default())),
        count if count < app.batch_max => Due::Few,
        _ => Due::ABatch,
    };
    app.metrics.submit_payments.record(count(taken.len()));
    Span::current().record("payments", taken.len());
    // Most were accepted a moment ago, in this process.
    let remembered = taken.iter().filter_map(|one| app.remembered.take(one.payment_id, one.version));
    let mut held: Held = remembered.map(|payment| (payment.terms.id, payment)).collect();
    let others = taken.iter().map(|one| one.payment_id).filter(|id| !held.contains_key(id));
    held.extend(payments::hold(&mut tx, &others.collect::<Vec<_>>()).await?);
    let prepared = prepare(&mut tx, shift, &taken, held).await.context("recording the intent")?;
    tx.commit().await?;
    Ok((due, prepared))
}

async fn take_due<B>(tx: &mut Tx, shift: &Shift<B>) -> Result<Vec<Taken>, StoreError> {
    let (clock, limit) = (&shift.app.clock, i64::try_from(shift.app.batch_max).unwrap_or(1));
    work::take(tx, clock.business(), clock.process_us(), limit).await
}

/// Claims work, in a transaction of its own.
async fn claim<B>(shift: &Shift<B>) -> Result<Vec<Taken>, StoreError> {
    let mut tx = shift.app.db.begin().await?;
    let taken = take_due(&mut tx, shift).await?;
    work::keep(&mut tx, &taken.iter().map(key).collect::<Vec<_>>(), shift.claim()).await?;
    tx.commit().await?;
    Ok(taken)
}

/// Hands over a piece of claimed work by itself.
async fn alone<B: BankConnection>(shift: &Shift<B>, one: &Taken) -> anyhow::Result<()> {
    let mut tx = shift.app.db.begin().await?;
    let held = payments::hold(&mut tx, &[one.payment_id]).await?;
    let prepared = prepare(&mut tx, shift, std::slice::from_ref(one), held).await?;
    tx.commit().await?;
    hand_over(shift, prepared).await
}

impl<B> Shift<B> {
    /// As of now.
    pub(super) fn claim(&self) -> Claim {
        Claim { by: self.claimant, until_us: self.app.clock.process_us() + CLAIM_US }
    }
}

fn key(taken: &Taken) -> (PaymentId, i64) {
    (taken.payment_id, taken.attempt)
}

/// Instructions that may go to the bank.
#[derive(Default)]
pub(super) struct Prepared {
    /// Those that it surely never saw.
    pub(super) fresh: Vec<Instruction>,
    /// Those of which we do not know whether it has them.
    pub(super) unsure: Vec<Unsure>,
    /// Their payments, as they stand now.
    pub(super) payments: Held,
}

/// An instruction that may have been handed over before.
pub(super) struct Unsure {
    pub(super) instruction: Instruction,
    /// An earlier request may still be under way.
    pub(super) may_be_in_flight: bool,
}

/// Records the intent to hand over what is PENDING, and puts the instructions together.
async fn prepare<B>(tx: &mut Tx, shift: &Shift<B>, taken: &[Taken], mut held: Held) -> anyhow::Result<Prepared> {
    let app = &shift.app;
    let mut prepared = Prepared::default();
    let accounts = Accounts::load(tx, &held).await?;
    let leases: Vec<_> = held.values().map(|payment| payment.terms.lease_id).collect();
    let restricted = policies::restricted(tx, leases.into_iter(), app.clock.business()).await?;
    let refunded = held.values().filter_map(|payment| payment.terms.refund_of);
    let not_settled = payments::not_settled(tx, refunded).await?;
    let (mut commands, mut ready, mut stuck, mut stale) = (Vec::new(), HashMap::new(), Vec::new(), Vec::new());
    let long_ago = app.clock.long_ago(IN_FLIGHT_MAX_US);
    for one in taken {
        let Some(payment) = held.get(&one.payment_id) else { continue };
        let wanted = match one.what {
            WorkKind::Submit => Status::Pending,
            WorkKind::Inquire => Status::Processing,
        };
        if payment.attempt != one.attempt || payment.status != wanted {
            // The bank's word came in between. What it left behind, if anything, is for another round.
            stale.extend((one.attempt < payment.attempt).then(|| key(one)));
            continue;
        }
        match (one.what, accounts.instruction(app, payment)) {
            (_, Err(error)) => {
                tracing::error!(payment_id = %one.payment_id, error = format!("{error:#}"), "a payment cannot be handed over");
                stuck.push(key(one));
            }
            (WorkKind::Inquire, Ok(instruction)) => {
                let may_be_in_flight = payment.processing_at.is_some_and(|at| long_ago < at);
                prepared.unsure.push(Unsure { instruction, may_be_in_flight });
            }
            (WorkKind::Submit, Ok(instruction)) => {
                let objection = accounts.objection(payment).or_else(|| refusal(payment, &restricted));
                let objection = objection.or_else(|| nothing_to_refund(payment, &not_settled));
                let command = objection.map_or(Command::Submit, |reason| Command::Cancel(Some(reason)));
                commands.push(instruct::payment(app, one.payment_id, command, Actor::system(COMPONENT), None));
                ready.insert(one.payment_id, instruction);
            }
        }
    }
    payments::record_held(tx, &mut held, commands, Some(shift.claim())).await?;
    let is_under_way = |id: &PaymentId| held.get(id).is_some_and(|payment| payment.status == Status::Processing);
    prepared.fresh.extend(ready.into_iter().filter(|(id, _)| is_under_way(id)).map(|(_, instruction)| instruction));
    let inquiries: Vec<_> = prepared.unsure.iter().map(|one| name(&one.instruction)).collect();
    work::keep(tx, &inquiries, shift.claim()).await?;
    work::finish(tx, &stale).await?;
    work::put_off(tx, &stuck, app.clock.business().plus_micros(OUR_FAULT_PAUSE_US)).await?;
    prepared.payments = held;
    Ok(prepared)
}

/// Why rent may not be handed over, although it was accepted: the landlord takes none since, or not a part of what is owed
/// by now.
fn refusal(payment: &Payment, restricted: &HashMap<LeaseId, Acceptance>) -> Option<Reason> {
    if payment.terms.kind == Kind::Refund {
        return None;
    }
    match restricted.get(&payment.terms.lease_id)? {
        // What is pending is taken off, this payment too: something stays open.
        Acceptance::FullBalance { owed_minor } if 0 < *owed_minor => {
            Some(Reason::new("NOT_FULL_BALANCE", "The landlord takes no part payments, and more is owed by now"))
        }
        Acceptance::Any | Acceptance::FullBalance { .. } => None,
        Acceptance::Nothing => {
            Some(Reason::new("PAYMENTS_BLOCKED", "The landlord blocked payments before this one was handed over"))
        }
    }
}

/// Why a refund may not be handed over, although it was accepted: the payment that it gives back was returned since.
fn nothing_to_refund(payment: &Payment, not_settled: &HashSet<PaymentId>) -> Option<Reason> {
    let of = payment.terms.refund_of.filter(|of| not_settled.contains(of))?;
    Some(Reason::new(
        "REFUNDED_PAYMENT_RETURNED",
        format!("Payment {of} was returned before its refund was handed over"),
    ))
}

/// The accounts of a batch.
struct Accounts(HashMap<BankAccountId, SealedAccount>);

impl Accounts {
    async fn load(tx: &mut Tx, held: &Held) -> Result<Accounts, StoreError> {
        let ids: Vec<_> = held
            .values()
            .flat_map(|payment| [payment.terms.payer.account_id, payment.terms.payee.account_id])
            .collect();
        let accounts = work::sealed_accounts(tx, &ids).await?;
        Ok(Accounts(accounts.into_iter().map(|account| (account.id, account)).collect()))
    }

    /// Why a payment may not be handed over, although it was accepted: an account was deactivated or closed since.
    fn objection(&self, payment: &Payment) -> Option<Reason> {
        let terms = &payment.terms;
        [terms.payer.account_id, terms.payee.account_id]
            .iter()
            .filter_map(|id| self.0.get(id))
            .any(|account| !account.is_usable)
            .then(|| {
                Reason::new(
                    "ACCOUNT_UNUSABLE",
                    "An account was deactivated or closed before the payment was handed over",
                )
            })
    }

    /// The instruction for the present attempt.
    fn instruction(&self, app: &App, payment: &Payment) -> anyhow::Result<Instruction> {
        let terms = &payment.terms;
        let endpoint = |id| {
            let account = self.0.get(&id).context("an account is missing")?;
            endpoint(app, account).context("an account number cannot be opened")
        };
        Ok(Instruction {
            reference: payment.reference(),
            rail: terms.rail,
            amount: terms.amount,
            payer: endpoint(terms.payer.account_id)?,
            payee: endpoint(terms.payee.account_id)?,
        })
    }
}

fn endpoint(app: &App, account: &SealedAccount) -> Result<Endpoint, VaultError> {
    Ok(Endpoint {
        token: account.token.clone(),
        routing_number: account.routing_number.clone(),
        number: app.vault.open(account.id, &account.number)?,
        account_type: account.account_type,
        holder_name: account.holder_name.clone(),
    })
}

/// Lets go of what `claimant` holds.
pub(super) async fn release(app: &App, claimant: Uuid) -> Result<(), StoreError> {
    let mut tx = app.db.begin().await?;
    work::release(&mut tx, claimant).await?;
    tx.commit().await
}

pub(super) async fn put_off(app: &App, work: &[(PaymentId, i64)], pause_us: i64) -> Result<(), StoreError> {
    let mut tx = app.db.begin().await?;
    work::put_off(&mut tx, work, app.clock.business().plus_micros(pause_us)).await?;
    tx.commit().await
}
