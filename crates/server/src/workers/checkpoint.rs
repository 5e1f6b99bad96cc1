//! Signing the root of the log's tree, so that nobody can change the past unseen.

use std::time::Duration;

use anyhow::bail;
use directpay_domain::time::{Instant, SECOND_US};
use directpay_store::Db;
use directpay_store::log_tree::{self, Due, Grown};

use super::{Round, Shift};
use crate::bank::BankConnection;
use crate::checkpoints::{Signer, Statement};

/// Between two rounds.
pub(super) const PAUSE: Duration = Duration::from_secs(5);
/// A new checkpoint this long after the last one, if anything has happened.
const EVERY_US: i64 = 60 * SECOND_US;
/// Or after so many events.
const EVERY_EVENTS: i64 = 10_000;

pub(super) async fn round<B: BankConnection>(shift: Shift<B>) -> anyhow::Result<Round> {
    let due = Due { now_us: shift.app.clock.process_us(), every_us: EVERY_US, every_events: EVERY_EVENTS };
    match checkpoint(&shift.app.db, &shift.app.signer.get(), due).await? {
        Grown::Not | Grown::To(_) => Ok(Round::Idle),
        Grown::Partly => Ok(Round::Worked),
        Grown::Changed(what) => bail!("the log was changed, and nothing more is signed: {what}"),
    }
}

/// Makes a checkpoint if one is due.
pub async fn checkpoint(db: &Db, signer: &Signer, due: Due) -> anyhow::Result<Grown> {
    let sign = |size, root| Ok(signer.sign(Statement { size, root, made_at: Instant::from_micros(due.now_us)? }));
    log_tree::grow(db, due, sign).await?
}
