//! Recording what the bank tells.

use anyhow::Context;
use directpay_domain::payment::{Actor, Command, Status};
use directpay_store::payments::{self, Instructed};
use directpay_store::{StoreError, bank_book};
use tracing::Instrument;

use super::{Round, Shift, complain};
use crate::app::App;
use crate::bank::{BankConnection, BankOutcome, Notice};
use crate::instruct;
use crate::metrics::count;
use crate::telemetry::TRACES;

const COMPONENT: &str = "settle-worker";

/// Collects what the bank has told since the last time and records it.
pub(super) async fn round<B: BankConnection>(shift: Shift<B>) -> anyhow::Result<Round> {
    let app = &shift.app;
    let connection = shift.bank.name();
    let mut tx = app.db.begin_read().await?;
    let position = bank_book::cursor(&mut tx, connection).await?;
    drop(tx);
    let collecting = shift.bank.collect(position, app.batch_max);
    let notices = app.metrics.bank.collect.time(collecting).await.context("collecting from the bank")?;
    if notices.is_empty() {
        return Ok(Round::Idle);
    }
    app.metrics.settle_payments.record(count(notices.len()));
    let span = tracing::debug_span!(target: TRACES, "settle", notices = notices.len());
    if let Err(error) = record(app, connection, position, &notices).instrument(span).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a batch of notices failed; they are recorded one by one"
        );
        one_by_one(app, connection, position, &notices).await?;
    }
    Ok(Round::Worked)
}

/// Records notices and moves the cursor behind them, in one transaction. If another process has moved the cursor meanwhile,
/// it has recorded them, and nothing is kept.
async fn record(app: &App, connection: &str, from: i64, notices: &[Notice]) -> Result<(), StoreError> {
    let Some(last) = notices.last() else { return Ok(()) };
    let commands: Vec<_> = notices.iter().map(|notice| command(app, notice)).collect();
    let mut tx = app.db.begin().await?;
    if !bank_book::move_cursor(&mut tx, connection, from, last.position).await? {
        return Ok(());
    }
    let ids: Vec<_> = commands.iter().map(|instructed| instructed.payment_id).collect();
    let mut held = payments::hold(&mut tx, &ids).await?;
    let verdicts = payments::record_held(&mut tx, &mut held, commands, None).await?;
    tx.commit().await?;
    if held.values().any(|payment| payment.status == Status::Pending) {
        // It is tried again, perhaps at once.
        app.bell.ring();
    }
    for (notice, verdict) in notices.iter().zip(verdicts) {
        let payment_id = notice.reference.payment_id;
        tracing::debug!(%payment_id, attempt = notice.reference.attempt, outcome = ?notice.outcome, "the bank has told");
        complain(payment_id, &verdict);
        if let Some(payment) = held.get(&payment_id) {
            app.metrics.bank.notice(payment.terms.rail, &notice.outcome);
        }
    }
    Ok(())
}

/// A notice that cannot be recorded because a stored value is damaged must not hold up all others: it is passed over, loudly,
/// and `verify` finds it. While the database itself is in trouble nothing is passed over.
async fn one_by_one(app: &App, connection: &str, from: i64, notices: &[Notice]) -> Result<(), StoreError> {
    let mut position = from;
    for notice in notices {
        let only = std::slice::from_ref(notice);
        if let Err(error) = record(app, connection, position, only).await {
            if error.is_passing() {
                return Err(error);
            }
            tracing::error!(
                error = &error as &dyn std::error::Error,
                payment_id = %notice.reference.payment_id,
                attempt = notice.reference.attempt,
                "a notice of the bank cannot be recorded and is passed over"
            );
            let mut tx = app.db.begin().await?;
            bank_book::move_cursor(&mut tx, connection, position, notice.position).await?;
            tx.commit().await?;
        }
        position = notice.position;
    }
    Ok(())
}

fn command(app: &App, notice: &Notice) -> Instructed {
    let attempt = notice.reference.attempt;
    let command = match &notice.outcome {
        BankOutcome::Settled => Command::Settle { attempt },
        BankOutcome::Refused(reason) => Command::Refuse { attempt, reason: reason.clone() },
        BankOutcome::Returned(reason) => Command::Return { attempt, reason: reason.clone() },
    };
    instruct::payment(app, notice.reference.payment_id, command, Actor::system(COMPONENT), None)
}
