//! Giving positions to what is committed: in the feed to events, in the trail to its entries.

use std::time::Duration;

use anyhow::Context;
use directpay_store::feed::{self, Numbered};
use directpay_store::trail;

use super::{Round, Shift};
use crate::bank::BankConnection;

/// Between two rounds. Whatever comes meanwhile is numbered together: the busier it is, the fewer commits for each event.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn round<B: BankConnection>(shift: Shift<B>) -> anyhow::Result<Round> {
    let events = feed::number(&shift.app.db).await.context("numbering events");
    // Whatever became of one, the other goes on.
    let entries = trail::number(&shift.app.db).await.context("numbering entries of the trail");
    if let (Err(_), Err(error)) = (&events, &entries) {
        tracing::error!(error = format!("{error:#}"), "the trail cannot be filed, either");
    }
    Ok(match (events?, entries?) {
        (Numbered::ABatch, _) | (_, Numbered::ABatch) => Round::Worked,
        (Numbered::All, Numbered::All) => Round::Idle,
    })
}
