//! Removing what has expired.

use std::time::Duration;

use directpay_domain::time::DAY_US;
use directpay_store::{access, mail_links};

use super::{Round, Shift};
use crate::access::throttle::FORGOTTEN_AFTER_US;
use crate::bank::BankConnection;

/// Between two rounds; every round does only what is due.
pub(super) const PAUSE: Duration = Duration::from_secs(15 * 60);
/// Links are good for a day at most.
const LINKS_KEPT_US: i64 = DAY_US;
/// Rows in one transaction.
const BATCH_MAX: i64 = 1000;

pub(super) async fn round<B: BankConnection>(shift: Shift<B>) -> anyhow::Result<Round> {
    let app = &shift.app;
    let now_us = app.clock.process_us();
    loop {
        let mut tx = app.db.begin().await?;
        let removed = access::remove_expired(&mut tx, now_us, now_us - FORGOTTEN_AFTER_US, BATCH_MAX).await?;
        let links = mail_links::remove_old(&mut tx, now_us - LINKS_KEPT_US, BATCH_MAX).await?;
        tx.commit().await?;
        if removed + links == 0 {
            break;
        }
    }
    Ok(Round::Idle)
}
