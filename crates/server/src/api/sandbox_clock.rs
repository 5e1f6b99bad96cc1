//! The sandbox's clock: business time that an administrator moves forward.

use axum::extract::State;
use directpay_domain::invalid::Invalid;
use directpay_domain::time::{Instant, SECOND_US};
use directpay_domain::trail::Action;
use directpay_store::sandbox_clock;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::auth::Caller;
use super::error::{ApiError, FieldErrors};
use super::extract::Json;
use super::problem::{Always, OfRole, OfState, SignedIn, WithBody};
use crate::app::App;
use crate::bank::BankTime;
use crate::clock::Clock;
use crate::sandbox_clock::Step;
use crate::trail;

/// How far to move business time: exactly one of the three.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdvanceClock {
    /// By so many seconds; ten years at most.
    #[schema(example = 3600, minimum = 1, maximum = 315_619_200)]
    seconds: Option<i64>,
    /// By so many days of 24 hours; ten years at most.
    #[schema(example = 30, minimum = 1, maximum = 3653)]
    days: Option<i64>,
    /// Up to this moment, which lies ahead, by ten years at most.
    #[schema(example = "2026-03-01T00:00:00Z", format = DateTime)]
    to: Option<String>,
}

impl AdvanceClock {
    fn parse(&self) -> Result<Step, ApiError> {
        let mut errors = FieldErrors::default();
        let steps = [
            errors.take_optional("seconds", self.seconds, |seconds| Ok(Step::Seconds(seconds))),
            errors.take_optional("days", self.days, |days| Ok(Step::Days(days))),
            errors.take_optional("to", self.to.as_deref(), |text| Instant::parse(text).map(Step::To)),
        ];
        let steps: Vec<_> = steps.into_iter().flatten().flatten().collect();
        match steps.as_slice() {
            _ if !errors.is_empty() => {}
            [only] => return Ok(*only),
            [] => errors.add("seconds", Invalid::new("required", "give one of seconds, days and to")),
            [first, others @ ..] => {
                for other in others {
                    let detail = format!("must not come with {}", first.field());
                    errors.add(other.field(), Invalid::new("ambiguous", detail));
                }
            }
        }
        Err(errors.into_error())
    }
}

/// The sandbox's clock.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClockView {
    /// The present business time.
    #[schema(value_type = String, format = DateTime)]
    now: Instant,
    /// By how many whole seconds that is ahead of real time; 0 where the clock was never moved.
    #[schema(example = 3600)]
    ahead_seconds: i64,
}

impl From<&Clock> for ClockView {
    fn from(clock: &Clock) -> ClockView {
        let ahead_us = clock.ahead_us();
        ClockView { now: clock.business_ahead(ahead_us), ahead_seconds: ahead_us / SECOND_US }
    }
}

/// Read the clock.
///
/// Business time: what due dates, rails, retries and histories go by.
#[utoipa::path(
    get,
    path = "/sandbox/clock",
    tag = "sandbox",
    responses((status = 200, body = ClockView, description = "The clock"), SignedIn, Always),
)]
pub async fn read_clock(State(app): State<App>, _caller: Caller) -> Json<ClockView> {
    Json(ClockView::from(&app.clock))
}

/// Move the clock forward.
///
/// For administrators, and only where the bank is simulated; otherwise `not_simulated`. Whatever falls due by then is done at
/// once, by the processes that work. Tokens, sign-in limits and logs keep real time. It cannot be undone.
#[utoipa::path(
    post,
    path = "/sandbox/clock/advance",
    tag = "sandbox",
    request_body = AdvanceClock,
    responses((status = 200, body = ClockView, description = "Moved"), WithBody, OfRole, OfState, SignedIn, Always),
)]
pub async fn advance_clock(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<AdvanceClock>,
) -> Result<Json<ClockView>, ApiError> {
    caller.must_be_admin()?;
    must_be_ours(app.bank_time)?;
    let step = request.parse()?;
    let mut tx = app.db.begin().await?;
    let ahead_us = sandbox_clock::hold(&mut tx).await?;
    let by_us = step.micros(app.clock.business_ahead(ahead_us), ahead_us);
    let by_us = by_us.map_err(|invalid| ApiError::invalid(step.field(), invalid))?;
    let ahead_us = sandbox_clock::advance(&mut tx, by_us).await?;
    trail::done(Action::ClockAdvanced).with(json!({"by_us": by_us})).record(&mut tx).await?;
    tx.commit().await?;
    app.clock.move_ahead(ahead_us);
    app.wake_all();
    tracing::info!(by_us, ahead_us, by = %caller.user_id, "business time was moved");
    Ok(Json(ClockView::from(&app.clock)))
}

/// Goes on only where the bank goes by our time.
fn must_be_ours(time: BankTime) -> Result<(), ApiError> {
    match time {
        BankTime::Ours => Ok(()),
        BankTime::Real => Err(ApiError::conflict("not_simulated", "a real bank's time cannot be moved")),
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn a_real_banks_time_cannot_be_moved() {
        assert!(must_be_ours(BankTime::Ours).is_ok());
        assert_eq!(must_be_ours(BankTime::Real).unwrap_err().into_response().status().as_u16(), 409);
    }
}
