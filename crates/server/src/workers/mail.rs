//! Sending mail: taken, tried, and sent, put off or given up.

use std::time::Duration;

use anyhow::Context;
use directpay_domain::time::SECOND_US;
use directpay_store::mail::{self, Taken};

use super::{Round, Shift};
use crate::bank::BankConnection;
use crate::mail::NotSent;

/// How long an idle worker sleeps before it looks for what other processes wrote, and for what was put off.
pub(super) const PAUSE: Duration = Duration::from_secs(2);
/// Longer than it can take to send a mail: another takes it up after that.
const CLAIM_US: i64 = 120 * SECOND_US;
/// The first pause after a failure; each further one is twice as long.
const RETRY_MIN_US: i64 = 15 * SECOND_US;
const RETRY_MAX_US: i64 = 3600 * SECOND_US;

/// Takes one mail and sends it.
pub(super) async fn round<B: BankConnection>(shift: Shift<B>) -> anyhow::Result<Round> {
    let app = &shift.app;
    let now_us = app.clock.process_us();
    let mut tx = app.db.begin_read().await?;
    let is_due = mail::is_due(&mut tx, now_us).await.context("looking for mail")?;
    drop(tx);
    if !is_due {
        return Ok(Round::Idle);
    }
    let mut tx = app.db.begin().await?;
    let taken = mail::take(&mut tx, now_us, now_us + CLAIM_US).await.context("taking a mail")?;
    tx.commit().await?;
    let Some(taken) = taken else { return Ok(Round::Idle) };
    deliver(&shift, &taken, now_us).await.context("noting what became of a mail")?;
    Ok(Round::Worked)
}

async fn deliver<B: BankConnection>(shift: &Shift<B>, taken: &Taken, now_us: i64) -> anyhow::Result<()> {
    let (app, counts) = (&shift.app, &shift.app.metrics.mail);
    let outcome = if taken.expires_us <= now_us { None } else { Some(app.mail.send(app, taken).await) };
    let mail_id = taken.id;
    let retry_us = match outcome {
        Some(Ok(())) => {
            counts.sent.increment(1);
            tracing::debug!(%mail_id, tries = taken.tries, "a mail was sent");
            None
        }
        Some(Err(error @ NotSent::NotNow(_))) => {
            counts.put_off.increment(1);
            tracing::warn!(%mail_id, tries = taken.tries, error = &error as &dyn std::error::Error, "a mail waits");
            Some(app.clock.process_us() + pause_us(taken.tries))
        }
        Some(Err(error @ NotSent::Refused(_))) => {
            counts.given_up.increment(1);
            tracing::error!(%mail_id, error = &error as &dyn std::error::Error, "a mail was given up");
            None
        }
        None => {
            counts.given_up.increment(1);
            tracing::error!(%mail_id, tries = taken.tries, "a mail was given up: its time is over");
            None
        }
    };
    let mut tx = app.db.begin().await?;
    match retry_us {
        // At the end of its time it is given up, not some time after it.
        Some(due_us) => mail::put_off(&mut tx, taken, due_us.min(taken.expires_us)).await?,
        None => mail::finish(&mut tx, taken).await?,
    }
    tx.commit().await?;
    Ok(())
}

fn pause_us(tries: i64) -> i64 {
    let doublings = u32::try_from((tries - 1).clamp(0, 8)).unwrap_or(0);
    (RETRY_MIN_US << doublings).min(RETRY_MAX_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_quarter_of_a_minute_to_an_hour() {
        let pauses: Vec<_> = [1, 2, 3, 4, 8, 9, 10, i64::MAX].map(|tries| pause_us(tries) / SECOND_US).into();
        assert_eq!(pauses, [15, 30, 60, 120, 1920, 3600, 3600, 3600]);
    }
}
