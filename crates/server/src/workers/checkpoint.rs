//! Signing the roots of the logs' trees, so that nobody can change the past unseen.

use std::time::Duration;

use anyhow::bail;
use directpay_domain::time::{Instant, SECOND_US};
use directpay_store::Db;
use directpay_store::log_tree::{self, Due, Grown, Log};

use super::{Round, Shift};
use crate::bank::BankConnection;
use crate::checkpoints::{Signer, Statement};

/// Between two rounds.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// A new checkpoint this long after the last one, if anything has happened.
const EVERY_US: i64 = 60 * SECOND_US;
/// Or after so many events or entries.
const EVERY_EVENTS: i64 = 10_000;

pub(super) async fn round<B: BankConnection>(shift: Shift<B>) -> anyhow::Result<Round> {
    let due = Due { now_us: shift.app.clock.process_us(), every_us: EVERY_US, every_events: EVERY_EVENTS };
    let events = grow(&shift, Log::Events, due).await;
    // Whatever became of one, the other is signed.
    let trail = grow(&shift, Log::Trail, due).await;
    if let (Err(_), Err(error)) = (&events, &trail) {
        tracing::error!(error = format!("{error:#}"), "nor is the trail signed");
    }
    let (events, trail) = (events?, trail?);
    Ok(if events == Round::Worked { Round::Worked } else { trail })
}

async fn grow<B: BankConnection>(shift: &Shift<B>, log: Log, due: Due) -> anyhow::Result<Round> {
    match checkpoint(&shift.app.db, &shift.app.signer.get(), log, due).await? {
        Grown::Not | Grown::To(_) => Ok(Round::Idle),
        Grown::Partly => Ok(Round::Worked),
        Grown::Changed(what) => bail!("the {} was changed, and nothing more is signed: {what}", log_word(log)),
    }
}

/// What people call it.
pub fn log_word(log: Log) -> &'static str {
    match log {
        Log::Events => "log",
        Log::Trail => "trail",
    }
}

/// Makes a checkpoint if one is due.
pub async fn checkpoint(db: &Db, signer: &Signer, log: Log, due: Due) -> anyhow::Result<Grown> {
    let sign = |size, root| Ok(signer.sign(Statement { log, size, root, made_at: Instant::from_micros(due.now_us)? }));
    log_tree::grow(db, log, due, sign).await?
}
