//! Giving positions in the feed to events that are committed.

use std::time::Duration;

use anyhow::Context;
use directpay_store::feed::{self, Numbered};

use super::{Round, Shift};
use crate::bank::BankConnection;

/// Between two rounds. Whatever comes meanwhile is numbered together: the busier it is, the fewer commits for each event.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn round<B: BankConnection>(shift: Shift<B>) -> anyhow::Result<Round> {
    Ok(match feed::number(&shift.app.db).await.context("numbering events")? {
        Numbered::ABatch => Round::Worked,
        Numbered::All => Round::Idle,
    })
}
