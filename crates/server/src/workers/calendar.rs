//! Noticing that a day has begun, and looking after the mandates of its leases.

use anyhow::Context;
use directpay_store::{autopay as store_autopay, lease_ledger};

use super::{Round, Shift};
use crate::autopay;
use crate::bank::BankConnection;
use crate::daily_pass::{self, Tally};

/// Goes through the leases for which a day has begun, and then through the mandates on them.
pub(super) async fn round<B: BankConnection>(shift: Shift<B>) -> anyhow::Result<Round> {
    let app = &shift.app;
    let mut tx = app.db.begin_read().await?;
    let now = app.clock.business();
    let is_pass_due = lease_ledger::is_pass_due(&mut tx, now).await.context("looking for a new day")?;
    let is_look_due = store_autopay::is_look_due(&mut tx, now).await.context("looking for mandates")?;
    drop(tx);
    let passed = if is_pass_due { daily_pass::run(app).await.context("the daily pass")? } else { Tally::default() };
    if passed != Tally::default() {
        tracing::info!(?passed, "a day has begun for leases");
    }
    let nothing = autopay::Tally::default();
    let looked = if is_look_due { autopay::run(app).await.context("looking after mandates")? } else { nothing };
    // Due and not done: another process has it.
    Ok(if passed == Tally::default() && looked == nothing { Round::Idle } else { Round::Worked })
}
