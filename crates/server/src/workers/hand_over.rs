//! The bank is asked, and what it said is recorded.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::time::Duration;

use anyhow::Context;
use directpay_domain::id::PaymentId;
use directpay_domain::payment::{Actor, Command};
use directpay_domain::time::SECOND_US;
use directpay_store::payments::{self, Held};
use directpay_store::{StoreError, work};

use tracing::{Instrument, Span};

use super::submit::{COMPONENT, OUR_FAULT_PAUSE_US, Prepared, Unsure, put_off};
use super::{Shift, complain};
use crate::bank::{BankConnection, Instruction, Receipt, Sighting};
use crate::instruct;
use crate::telemetry::TRACES;

/// How often a claim is prolonged while the bank is being asked.
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// After an answer was lost the bank is asked again after this, at scale 1.
const INQUIRE_AFTER_US: i64 = 15 * SECOND_US;
/// However small the scale: a silent bank is not asked in a tight loop.
const INQUIRE_AFTER_MIN_US: i64 = SECOND_US;

/// What the bank said to each attempt.
type Asked = Vec<((PaymentId, i64), Receipt)>;

/// Asks the bank for what it may have, hands over what it does not, and records its receipts.
pub(super) async fn hand_over<B: BankConnection>(shift: &Shift<B>, prepared: Prepared) -> anyhow::Result<()> {
    let Prepared { fresh, unsure, payments, .. } = prepared;
    let asked = while_renewing(shift, ask(shift, fresh, unsure)).await;
    if asked.iter().any(|(_, receipt)| *receipt == Receipt::Accepted) {
        // It may have something to tell about them already.
        shift.app.bank_bell.ring();
    }
    let Err(error) = record(shift, &asked, payments).await else { return Ok(()) };
    if error.is_passing() {
        return Err(error).context("recording what the bank said");
    }
    tracing::warn!(
        error = &error as &dyn std::error::Error,
        "a batch of receipts failed; they are recorded one by one"
    );
    for one in &asked {
        if let Err(error) = record(shift, std::slice::from_ref(one), HashMap::new()).await {
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

async fn ask<B: BankConnection>(shift: &Shift<B>, fresh: Vec<Instruction>, unsure: Vec<Unsure>) -> Asked {
    let bank = &shift.app.metrics.bank;
    let mut asked = Asked::new();
    let mut to_submit = fresh;
    let mut in_flight = HashSet::new();
    if !unsure.is_empty() {
        let references: Vec<_> = unsure.iter().map(|one| one.instruction.reference).collect();
        match bank.inquire.time(shift.bank.inquire(&references)).instrument(call("inquire", references.len())).await {
            Ok(sightings) => {
                for (Unsure { instruction, may_be_in_flight }, sighting) in unsure.into_iter().zip(sightings) {
                    bank.sighting(instruction.rail, sighting);
                    match sighting {
                        Sighting::Seen => asked.push((name(&instruction), Receipt::Accepted)),
                        Sighting::Settled => asked.push((name(&instruction), Receipt::Settled)),
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
        match bank.submit.time(shift.bank.submit(&to_submit)).instrument(call("submit", to_submit.len())).await {
            Ok(receipts) => {
                for (instruction, receipt) in to_submit.iter().zip(&receipts) {
                    bank.receipt(instruction.rail, receipt);
                }
                asked.extend(names.zip(receipts).map(|(name, receipt)| match &receipt {
                    Receipt::NotNow(_) if in_flight.contains(&name) => (name, Receipt::Unknown),
                    Receipt::Accepted
                    | Receipt::Settled
                    | Receipt::AlreadySeen
                    | Receipt::NotNow(_)
                    | Receipt::Unknown => (name, receipt),
                }));
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the bank did not answer");
                asked.extend(names.map(|name| (name, Receipt::Unknown)));
            }
        }
    }
    asked
}

/// The span of a question to the bank.
fn call(name: &'static str, instructions: usize) -> Span {
    tracing::debug_span!(target: TRACES, "bank", otel.name = name, otel.kind = "client", instructions)
}

pub(super) fn name(instruction: &Instruction) -> (PaymentId, i64) {
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
async fn record<B>(
    shift: &Shift<B>,
    asked: &[((PaymentId, i64), Receipt)],
    remembered: Held,
) -> Result<(), StoreError> {
    let app = &shift.app;
    let (mut done, mut unknown, mut refused, mut commands) = (Vec::new(), Vec::new(), HashMap::new(), Vec::new());
    let instructed = |payment_id, command| instruct::payment(app, payment_id, command, Actor::system(COMPONENT), None);
    for (name, receipt) in asked {
        let (payment_id, attempt) = *name;
        tracing::debug!(%payment_id, attempt, ?receipt, "the bank was asked");
        match receipt {
            Receipt::Accepted => done.push(*name),
            Receipt::Settled => commands.push(instructed(payment_id, Command::Settle { attempt })),
            Receipt::AlreadySeen | Receipt::Unknown => unknown.push(*name),
            Receipt::NotNow(reason) => {
                refused.insert(*name, reason.clone());
            }
        }
    }
    let mut tx = app.db.begin().await?;
    let names: Vec<_> = refused.keys().copied().collect();
    let moved =
        commands.iter().map(|settled| settled.payment_id).chain(names.iter().map(|(payment_id, _)| *payment_id));
    let mut held = payments::hold_remembered(&mut tx, &moved.collect::<Vec<_>>(), remembered).await?;
    // Payments before work, as everybody does it: two that go the other way could wait for each other.
    let ours = work::still_held(&mut tx, &names, shift.claimant, app.clock.process_us()).await?;
    commands.extend(ours.into_iter().filter_map(|(payment_id, attempt)| {
        let reason = refused.remove(&(payment_id, attempt))?;
        Some(instructed(payment_id, Command::NotNow { attempt, reason }))
    }));
    let of: Vec<_> = commands.iter().map(|instructed| instructed.payment_id).collect();
    let verdicts = payments::record_held(&mut tx, &mut held, commands, None).await?;
    work::await_word(&mut tx, &done, app.clock.business()).await?;
    let pause_us = app.scale.apply(INQUIRE_AFTER_US).max(INQUIRE_AFTER_MIN_US);
    let inquire_at = app.clock.business().plus_micros(pause_us);
    work::put_off(&mut tx, &unknown, inquire_at).await?;
    tx.commit().await?;
    of.iter().zip(&verdicts).for_each(|(payment_id, verdict)| complain(*payment_id, verdict));
    Ok(())
}
