//! Handing payments to the bank.
//!
//! First the intent is recorded, then the bank is asked, then what it said is recorded. Whatever dies in between leaves a
//! payment in PROCESSING whose work falls free: the next worker asks the bank by reference and hands it over again, under
//! the same reference, only if the bank never saw it.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::Duration;

use anyhow::Context;
use directpay_domain::id::{BankAccountId, PaymentId};
use directpay_domain::payment::{Command, Payment, Reason, Status, WorkKind};
use directpay_domain::time::SECOND_US;
use directpay_store::payments::{self, Recorded};
use directpay_store::work::{self, Claim, Claimed, SealedAccount};
use directpay_store::{StoreError, Tx};
use uuid::Uuid;

use super::{Round, Shift};
use crate::app::App;
use crate::bank::{BankConnection, Endpoint, Instruction, Receipt, Sighting};
use crate::instruct;
use crate::secrets::VaultError;

/// How long a claim lasts. Whoever dies is followed up after this.
const CLAIM_US: i64 = 10 * SECOND_US;
/// How often a claim is prolonged while the bank is being asked.
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// After an answer was lost the bank is asked again after this, at scale 1.
const INQUIRE_AFTER_US: i64 = 15 * SECOND_US;
/// What cannot be handed over for our own sake (a key is missing, a row is damaged) is looked at again after this.
const OUR_FAULT_PAUSE_US: i64 = 60 * SECOND_US;

const COMPONENT: &str = "submit-worker";

/// A request of ours to the bank is over, one way or the other, this long after the intent was recorded. Until then a "not
/// now" to a repetition does not prove that the bank never had the first.
const IN_FLIGHT_MAX_US: i64 = 30 * SECOND_US;
/// However small the scale: a silent bank is not asked in a tight loop.
const INQUIRE_AFTER_MIN_US: i64 = SECOND_US;

/// Takes what is due and hands it over.
pub(super) async fn round<B: BankConnection>(shift: Shift<B>) -> anyhow::Result<Round> {
    if !is_due(&shift.app).await.context("looking for work")? {
        return Ok(Round::Idle);
    }
    let error = match take(&shift).await {
        Ok(prepared) if prepared.is_empty() => return Ok(Round::Idle),
        Ok(prepared) => return hand_over(&shift, prepared).await.map(|()| Round::Worked),
        Err(error) => error,
    };
    if is_passing(&error) {
        return Err(error);
    }
    tracing::warn!(error = format!("{error:#}"), "a batch failed; its payments are tried one by one");
    for one in claim(&shift).await.context("taking work")? {
        let app = &shift.app;
        let done = async {
            let mut tx = app.db.begin().await?;
            let prepared = prepare(&mut tx, &shift, std::slice::from_ref(&one)).await?;
            tx.commit().await?;
            hand_over(&shift, prepared).await
        };
        if let Err(error) = done.await {
            if is_passing(&error) {
                return Err(error);
            }
            tracing::error!(payment_id = %one.payment_id, error = format!("{error:#}"), "a payment cannot be handed over");
            put_off(app, &[key(&one)], OUR_FAULT_PAUSE_US).await?;
        }
    }
    Ok(Round::Worked)
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
async fn take<B>(shift: &Shift<B>) -> anyhow::Result<Prepared> {
    let mut tx = shift.app.db.begin().await?;
    let clock = &shift.app.clock;
    let taken =
        work::take(&mut tx, clock.business(), clock.process_us(), shift.batch()).await.context("taking work")?;
    let prepared = prepare(&mut tx, shift, &taken).await.context("recording the intent")?;
    tx.commit().await?;
    Ok(prepared)
}

/// Takes work, in a transaction of its own.
async fn claim<B>(shift: &Shift<B>) -> Result<Vec<Claimed>, StoreError> {
    let clock = &shift.app.clock;
    let mut tx = shift.app.db.begin().await?;
    let claimed = work::claim(&mut tx, clock.business(), clock.process_us(), shift.claim(), shift.batch()).await?;
    tx.commit().await?;
    Ok(claimed)
}

impl<B> Shift<B> {
    fn batch(&self) -> i64 {
        i64::try_from(self.app.batch_max).unwrap_or(1)
    }

    /// As of now.
    fn claim(&self) -> Claim {
        Claim { by: self.claimant, until_us: self.app.clock.process_us() + CLAIM_US }
    }
}

fn key(claimed: &Claimed) -> (PaymentId, i64) {
    (claimed.payment_id, claimed.attempt)
}

async fn hand_over<B: BankConnection>(shift: &Shift<B>, prepared: Prepared) -> anyhow::Result<()> {
    let asked = while_renewing(shift, ask(shift, prepared)).await;
    // The bank may have settled already what it was handed.
    shift.app.bank_bell.ring();
    let Err(error) = record(shift, &asked).await else { return Ok(()) };
    if error.is_passing() {
        return Err(error).context("recording what the bank said");
    }
    tracing::warn!(
        error = &error as &dyn std::error::Error,
        "a batch of receipts failed; they are recorded one by one"
    );
    for one in &asked {
        if let Err(error) = record(shift, std::slice::from_ref(one)).await {
            if error.is_passing() {
                return Err(error).context("recording what the bank said");
            }
            let (payment_id, _) = one.0;
            tracing::error!(%payment_id, error = &error as &dyn std::error::Error, "a receipt cannot be recorded");
            put_off(&shift.app, &[one.0], OUR_FAULT_PAUSE_US).await?;
        }
    }
    Ok(())
}

/// Instructions that may go to the bank.
#[derive(Default)]
struct Prepared {
    /// Those that it surely never saw.
    fresh: Vec<Instruction>,
    /// Those of which we do not know whether it has them.
    unsure: Vec<Unsure>,
    /// Whether there was work that leads to neither: it was cancelled, put off or over.
    has_other: bool,
}

impl Prepared {
    /// Whether there was no work.
    fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.unsure.is_empty() && !self.has_other
    }
}

/// An instruction that may have been handed over before.
struct Unsure {
    instruction: Instruction,
    /// An earlier request may still be under way.
    may_be_in_flight: bool,
}

/// Records the intent to hand over what is PENDING, and puts the instructions together.
async fn prepare<B>(tx: &mut Tx, shift: &Shift<B>, claimed: &[Claimed]) -> anyhow::Result<Prepared> {
    let app = &shift.app;
    let mut prepared = Prepared::default();
    if claimed.is_empty() {
        return Ok(prepared);
    }
    let loaded = Loaded::load(tx, claimed).await?;
    let (mut commands, mut ready, mut stuck, mut stale) = (Vec::new(), HashMap::new(), Vec::new(), Vec::new());
    let long_ago = app.clock.business().plus_micros(-IN_FLIGHT_MAX_US);
    for one in claimed {
        let Some(payment) = loaded.payments.get(&one.payment_id) else { continue };
        let wanted = match one.what {
            WorkKind::Submit => Status::Pending,
            WorkKind::Inquire => Status::Processing,
        };
        if payment.attempt != one.attempt || payment.status != wanted {
            // The bank's word came in between. What it left behind, if anything, is for another round.
            stale.extend((one.attempt < payment.attempt).then(|| key(one)));
            continue;
        }
        match (one.what, loaded.instruction(app, payment)) {
            (_, Err(error)) => {
                tracing::error!(payment_id = %one.payment_id, error = format!("{error:#}"), "a payment cannot be handed over");
                stuck.push(key(one));
            }
            (WorkKind::Inquire, Ok(instruction)) => {
                let may_be_in_flight = payment.processing_at.is_some_and(|at| long_ago < at);
                prepared.unsure.push(Unsure { instruction, may_be_in_flight });
            }
            (WorkKind::Submit, Ok(instruction)) => {
                let command = loaded.objection(payment).map_or(Command::Submit, |reason| Command::Cancel(Some(reason)));
                commands.push(instruct::payment(app, one.payment_id, command, instruct::system(COMPONENT), None));
                ready.insert(one.payment_id, instruction);
            }
        }
    }
    for outcome in payments::record_held(tx, loaded.payments, &commands, Some(shift.claim())).await? {
        let Recorded::Now(payment) = outcome else { continue };
        if payment.status == Status::Processing {
            prepared.fresh.extend(ready.remove(&payment.terms.id));
        }
    }
    let inquiries: Vec<_> = prepared.unsure.iter().map(|one| name(&one.instruction)).collect();
    work::keep(tx, &inquiries, shift.claim()).await?;
    work::finish(tx, &stale).await?;
    work::put_off(tx, &stuck, app.clock.business().plus_micros(OUR_FAULT_PAUSE_US)).await?;
    prepared.has_other = prepared.fresh.len() + prepared.unsure.len() < claimed.len();
    Ok(prepared)
}

/// The payments of a batch, held until the transaction ends, and their accounts.
struct Loaded {
    payments: HashMap<PaymentId, Payment>,
    accounts: HashMap<BankAccountId, SealedAccount>,
}

impl Loaded {
    async fn load(tx: &mut Tx, claimed: &[Claimed]) -> Result<Loaded, StoreError> {
        let ids: Vec<_> = claimed.iter().map(|one| one.payment_id).collect();
        let payments = payments::hold(tx, &ids).await?;
        let accounts: Vec<_> = payments
            .values()
            .flat_map(|payment| [payment.terms.payer.account_id, payment.terms.payee.account_id])
            .collect();
        let accounts = work::sealed_accounts(tx, &accounts).await?;
        Ok(Loaded { payments, accounts: accounts.into_iter().map(|account| (account.id, account)).collect() })
    }

    /// Why a payment may not be handed over, although it was accepted: an account was deactivated or closed since.
    fn objection(&self, payment: &Payment) -> Option<Reason> {
        let terms = &payment.terms;
        [terms.payer.account_id, terms.payee.account_id]
            .iter()
            .filter_map(|id| self.accounts.get(id))
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
            let account = self.accounts.get(&id).context("an account is missing")?;
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

/// What the bank said to each attempt.
type Asked = Vec<((PaymentId, i64), Receipt)>;

/// Asks the bank for what it may have, and hands over what it does not.
async fn ask<B: BankConnection>(shift: &Shift<B>, prepared: Prepared) -> Asked {
    let Prepared { fresh, unsure, .. } = prepared;
    let mut asked = Asked::new();
    let mut to_submit = fresh;
    let mut in_flight = HashSet::new();
    if !unsure.is_empty() {
        let references: Vec<_> = unsure.iter().map(|one| one.instruction.reference).collect();
        match shift.bank.inquire(&references).await {
            Ok(sightings) => {
                for (Unsure { instruction, may_be_in_flight }, sighting) in unsure.into_iter().zip(sightings) {
                    match sighting {
                        Sighting::Seen => asked.push((name(&instruction), Receipt::AlreadySeen)),
                        Sighting::NeverSeen => {
                            in_flight.extend(may_be_in_flight.then(|| name(&instruction)));
                            to_submit.push(instruction);
                        }
                    }
                }
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the bank could not be asked");
                asked.extend(unsure.iter().map(|one| (name(&one.instruction), Receipt::Unknown)));
            }
        }
    }
    if !to_submit.is_empty() {
        let names = to_submit.iter().map(name);
        match shift.bank.submit(&to_submit).await {
            Ok(receipts) => asked.extend(names.zip(receipts).map(|(name, receipt)| match &receipt {
                Receipt::NotNow(_) if in_flight.contains(&name) => (name, Receipt::Unknown),
                Receipt::Accepted | Receipt::AlreadySeen | Receipt::NotNow(_) | Receipt::Unknown => (name, receipt),
            })),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the bank did not answer");
                asked.extend(names.map(|name| (name, Receipt::Unknown)));
            }
        }
    }
    asked
}

fn name(instruction: &Instruction) -> (PaymentId, i64) {
    (instruction.reference.payment_id, instruction.reference.attempt)
}

/// Prolongs our claims while the bank takes its time.
///
/// Both go on at the same time: on SQLite they share one connection, and neither may keep it while the other waits.
async fn while_renewing<B, T>(shift: &Shift<B>, asking: impl Future<Output = T>) -> T {
    tokio::select! {
        answer = asking => answer,
        never = renew_for_ever(shift) => match never {},
    }
}

async fn renew_for_ever<B>(shift: &Shift<B>) -> Infallible {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        if let Err(error) = renew(shift).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "claims were not prolonged");
        }
    }
}

async fn renew<B>(shift: &Shift<B>) -> Result<(), StoreError> {
    let mut tx = shift.app.db.begin().await?;
    work::renew(&mut tx, shift.claim(), shift.app.clock.process_us()).await?;
    tx.commit().await
}

/// Records what the bank said. A "not now" counts only while the claim is ours: otherwise another may have handed the same
/// attempt over in the meantime, and it is asked about again.
async fn record<B>(shift: &Shift<B>, asked: &[((PaymentId, i64), Receipt)]) -> Result<(), StoreError> {
    let app = &shift.app;
    let (mut done, mut unknown, mut refused) = (Vec::new(), Vec::new(), HashMap::new());
    for (name, receipt) in asked {
        match receipt {
            Receipt::Accepted | Receipt::AlreadySeen => done.push(*name),
            Receipt::Unknown => unknown.push(*name),
            Receipt::NotNow(reason) => {
                refused.insert(*name, reason.clone());
            }
        }
    }
    let mut tx = app.db.begin().await?;
    let names: Vec<_> = refused.keys().copied().collect();
    let held = payments::hold(&mut tx, &names.iter().map(|(payment_id, _)| *payment_id).collect::<Vec<_>>()).await?;
    let ours = work::still_held(&mut tx, &names, shift.claimant, app.clock.process_us()).await?;
    let commands: Vec<_> = ours
        .into_iter()
        .filter_map(|(payment_id, attempt)| {
            let reason = refused.remove(&(payment_id, attempt))?;
            let command = Command::NotNow { attempt, reason };
            Some(instruct::payment(app, payment_id, command, instruct::system(COMPONENT), None))
        })
        .collect();
    // Payments before work, as everybody does it: two that go the other way could wait for each other.
    payments::record_held(&mut tx, held, &commands, None).await?;
    work::finish(&mut tx, &done).await?;
    let pause_us = app.scale.apply(INQUIRE_AFTER_US).max(INQUIRE_AFTER_MIN_US);
    let inquire_at = app.clock.business().plus_micros(pause_us);
    work::put_off(&mut tx, &unknown, inquire_at).await?;
    tx.commit().await
}

/// Lets go of what `claimant` holds.
pub(super) async fn release(app: &App, claimant: Uuid) -> Result<(), StoreError> {
    let mut tx = app.db.begin().await?;
    work::release(&mut tx, claimant).await?;
    tx.commit().await
}

async fn put_off(app: &App, work: &[(PaymentId, i64)], pause_us: i64) -> Result<(), StoreError> {
    let mut tx = app.db.begin().await?;
    work::put_off(&mut tx, work, app.clock.business().plus_micros(pause_us)).await?;
    tx.commit().await
}
