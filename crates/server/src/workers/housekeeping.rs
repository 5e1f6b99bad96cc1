//! Removing what has expired.

use std::time::Duration;

use directpay_domain::time::{DAY_US, SECOND_US};
use directpay_store::webhooks::deliveries;
use directpay_store::{access, browser_sessions, mail_links, oauth};

use super::{Round, Shift};
use crate::access::throttle::FORGOTTEN_AFTER_US;
use crate::bank::BankConnection;

/// Between two rounds; every round does only what is due.
pub(super) const PAUSE: Duration = Duration::from_secs(15 * 60);
/// How long what was sent to webhooks is kept.
const DELIVERIES_KEPT_US: i64 = 30 * DAY_US;
/// A deleted webhook keeps its row until nobody can be telling it something any more.
const DELETED_KEPT_US: i64 = 3_600 * SECOND_US;
/// Links are good for a day at most.
const LINKS_KEPT_US: i64 = DAY_US;
/// Used codes of programs are kept for so long: one that comes again ends what came of it.
const CODES_KEPT_US: i64 = DAY_US;
/// Rows in one transaction.
const BATCH_MAX: i64 = 1000;

pub(super) async fn round<B: BankConnection>(shift: Shift<B>) -> anyhow::Result<Round> {
    let app = &shift.app;
    let now_us = app.clock.process_us();
    loop {
        let mut tx = app.db.begin().await?;
        let removed = access::remove_expired(&mut tx, now_us, now_us - FORGOTTEN_AFTER_US, BATCH_MAX).await?;
        let links = mail_links::remove_old(&mut tx, now_us - LINKS_KEPT_US, BATCH_MAX).await?;
        let sessions = browser_sessions::remove_expired(&mut tx, now_us, BATCH_MAX).await?;
        let of_programs = oauth::tokens::remove_expired(&mut tx, now_us - CODES_KEPT_US, BATCH_MAX).await?;
        tx.commit().await?;
        if removed + links + sessions + of_programs == 0 {
            break;
        }
    }
    loop {
        let mut tx = app.db.begin().await?;
        let ended = deliveries::remove_ended(&mut tx, now_us - DELIVERIES_KEPT_US, BATCH_MAX).await?;
        let deleted = deliveries::remove_deleted(&mut tx, now_us - DELETED_KEPT_US, BATCH_MAX).await?;
        tx.commit().await?;
        if ended + deleted == 0 {
            break;
        }
    }
    Ok(Round::Idle)
}
