//! Noticing that a day has begun.

use anyhow::Context;
use directpay_store::lease_ledger;

use super::{Round, Shift};
use crate::bank::BankConnection;
use crate::daily_pass::{self, Tally};

/// Goes through the leases for which a day has begun.
pub(super) async fn round<B: BankConnection>(shift: Shift<B>) -> anyhow::Result<Round> {
    let app = &shift.app;
    let mut tx = app.db.begin_read().await?;
    let is_due = lease_ledger::is_pass_due(&mut tx, app.clock.business()).await.context("looking for a new day")?;
    drop(tx);
    if !is_due {
        return Ok(Round::Idle);
    }
    let passed = daily_pass::run(app).await.context("the daily pass")?;
    if passed == Tally::default() {
        // Another process has them.
        return Ok(Round::Idle);
    }
    tracing::info!(?passed, "a day has begun for leases");
    Ok(Round::Worked)
}
