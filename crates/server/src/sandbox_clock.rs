//! Moving the sandbox's clock, and following it: another process may have moved it.

use std::time::Duration;

use directpay_domain::invalid::Invalid;
use directpay_domain::time::{DAY_US, Instant, SECOND_US};
use directpay_store::{StoreError, sandbox_clock};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::App;

/// The longest step: ten years, with three leap days.
const STEP_MAX_US: i64 = 3_653 * DAY_US;
/// How far business time can be ahead in all: a hundred years. Dates and times further on were never meant.
const AHEAD_MAX_US: i64 = 36_525 * DAY_US;

/// How often the clock is looked at.
const POLL: Duration = Duration::from_millis(500);

/// A move of business time that has the right form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// By so many seconds.
    Seconds(i64),
    /// By so many days of 24 hours.
    Days(i64),
    /// Up to a moment.
    To(Instant),
}

impl Step {
    /// The field of a request that says it.
    pub fn field(self) -> &'static str {
        match self {
            Step::Seconds(_) => "seconds",
            Step::Days(_) => "days",
            Step::To(_) => "to",
        }
    }

    fn is_backward(self) -> Invalid {
        match self {
            Step::Seconds(_) | Step::Days(_) => Invalid::new("not_positive", "must be more than zero"),
            Step::To(_) => {
                Invalid::new("not_later", "must be later than the present business time, which never goes back")
            }
        }
    }

    /// How many microseconds that is when it is `now` in business time, which is ahead by `ahead_us`. Only forward, and not
    /// without end.
    pub fn micros(self, now: Instant, ahead_us: i64) -> Result<i64, Invalid> {
        let micros = match self {
            Step::Seconds(seconds) => seconds.saturating_mul(SECOND_US),
            Step::Days(days) => days.saturating_mul(DAY_US),
            Step::To(moment) => moment.micros().saturating_sub(now.micros()),
        };
        if micros <= 0 {
            return Err(self.is_backward());
        }
        if STEP_MAX_US < micros {
            return Err(Invalid::new("too_large", "must not lead more than ten years ahead at once"));
        }
        if AHEAD_MAX_US < ahead_us.saturating_add(micros) {
            return Err(Invalid::new("out_of_range", "must not lead more than a hundred years ahead in all"));
        }
        Ok(micros)
    }
}

/// Keeps the business time of this process at what the database says: a command, or on PostgreSQL any other process, may move it.
pub struct Follower {
    stop: watch::Sender<bool>,
    handle: JoinHandle<()>,
}

impl Follower {
    /// Begins to follow.
    pub fn start(app: &App) -> Follower {
        let (stop, mut stopping) = watch::channel(false);
        let following = follow(app.clone());
        let handle = tokio::spawn(async move {
            tokio::select! {
                () = following => {}
                _ = stopping.wait_for(|stop| *stop) => {}
            }
        });
        Follower { stop, handle }
    }

    /// Stops following.
    pub async fn finish(self) {
        let _nobody_left = self.stop.send(true);
        if let Err(error) = self.handle.await {
            tracing::error!(%error, "following the clock ended badly");
        }
    }
}

async fn follow(app: App) {
    loop {
        tokio::time::sleep(POLL).await;
        match look(&app).await {
            Ok(ahead_us) if app.clock.move_ahead(ahead_us) => {
                tracing::info!(ahead_us, "another process has moved business time");
                app.wake_all();
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the sandbox's clock cannot be read");
            }
        }
    }
}

async fn look(app: &App) -> Result<i64, StoreError> {
    let mut tx = app.db.begin_read().await?;
    sandbox_clock::ahead_us(&mut tx).await
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn now() -> Instant {
        Instant::parse("2026-01-31T12:00:00Z").unwrap()
    }

    #[rstest]
    #[case(Step::Seconds(1), SECOND_US)]
    #[case(Step::Seconds(315_619_200), STEP_MAX_US)]
    #[case(Step::Days(2), 2 * DAY_US)]
    #[case(Step::Days(3653), STEP_MAX_US)]
    #[case(Step::To(now().plus_micros(1)), 1)]
    fn a_step_forward_is_taken(#[case] step: Step, #[case] micros: i64) {
        assert_eq!(step.micros(now(), 0), Ok(micros));
    }

    #[rstest]
    #[case(Step::Seconds(0), "not_positive")]
    #[case(Step::Seconds(i64::MIN), "not_positive")]
    #[case(Step::Seconds(i64::MAX), "too_large")]
    #[case(Step::Days(-1), "not_positive")]
    #[case(Step::Days(3654), "too_large")]
    #[case(Step::To(now()), "not_later")]
    #[case(Step::To(now().plus_micros(-1)), "not_later")]
    #[case(Step::To(now().plus_micros(STEP_MAX_US + 1)), "too_large")]
    fn a_step_back_or_too_far_is_refused(#[case] step: Step, #[case] code: &str) {
        assert_eq!(step.micros(now(), 0).unwrap_err().code, code);
    }

    #[test]
    fn a_hundred_years_ahead_are_the_end() {
        assert_eq!(Step::Days(1).micros(now(), AHEAD_MAX_US - DAY_US), Ok(DAY_US));
        assert_eq!(Step::Days(1).micros(now(), AHEAD_MAX_US - DAY_US + 1).unwrap_err().code, "out_of_range");
    }
}
