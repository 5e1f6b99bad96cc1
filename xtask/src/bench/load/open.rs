//! An open loop: requests are due at a constant rate, whatever the server does.
//!
//! A request that is due is sent on any idle connection; while there is none it waits, and the time that it waits is part
//! of its latency: a server that stands still for a second does not hide this second. What would wait too long is
//! never sent, and counted as that.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::micros;
use super::till::{Counter, Till};

/// How often it is looked for requests that have fallen due, at least; each connection looks when it has an answer, too.
const BEAT: Duration = Duration::from_millis(1);

/// Requests that wait for a connection: at most those of so many seconds.
const BACKLOG_SECONDS: u64 = 2;

/// When each request is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    pub(super) started: Instant,
    pub(super) per_second: u64,
    pub(super) total: u64,
}

/// Requests that are due and not yet sent.
struct Turns {
    schedule: Schedule,
    /// A permit for each.
    due: Semaphore,
    released: Cell<u64>,
    /// Requests that were sent or given up: the number of the next one.
    taken: Cell<u64>,
}

pub(super) async fn run(
    tills: Vec<Till>,
    counter: &Rc<Counter>,
    started: Instant,
    per_second: u64,
    seconds: u64,
) -> Result<Vec<Till>> {
    ensure!(0 < per_second, "a rate of nothing");
    let schedule = Schedule { started, per_second, total: per_second * seconds };
    let turns = Rc::new(Turns { schedule, due: Semaphore::new(0), released: Cell::new(0), taken: Cell::new(0) });
    let mut tasks = JoinSet::new();
    for till in tills {
        tasks.spawn_local(pay_in_turn(till, Rc::clone(&turns), Rc::clone(counter)));
    }
    keep_time(&turns, counter, tasks.len()).await?;
    let mut done = Vec::with_capacity(tasks.len());
    while let Some(till) = tasks.join_next().await {
        done.push(till??);
    }
    Ok(done)
}

async fn pay_in_turn(mut till: Till, turns: Rc<Turns>, counter: Rc<Counter>) -> Result<Till> {
    loop {
        turns.due.acquire().await?.forget();
        let number = turns.taken.get();
        if turns.schedule.total <= number {
            return Ok(till);
        }
        turns.taken.set(number + 1);
        till.pay(&counter, turns.schedule.due_at(number)).await?;
        release(&turns)?;
    }
}

/// Gives out the turns as they fall due. When the last one is taken or given up, each till gets one more, to end with.
async fn keep_time(turns: &Turns, counter: &Counter, tills: usize) -> Result<()> {
    let schedule = turns.schedule;
    let patient_until = schedule.due_at(schedule.total) + Duration::from_secs(BACKLOG_SECONDS);
    let backlog_max = usize::try_from(schedule.per_second * BACKLOG_SECONDS)?;
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while Instant::now() < patient_until {
        release(turns)?;
        counter.unsent(give_up(turns, backlog_max));
        if turns.taken.get() == schedule.total {
            break;
        }
        beat.tick().await;
    }
    release(turns)?;
    counter.unsent(give_up(turns, 0));
    turns.due.add_permits(tills);
    Ok(())
}

/// Gives out the turns that have fallen due since the last time.
fn release(turns: &Turns) -> Result<()> {
    let due = turns.schedule.due_after(turns.schedule.started.elapsed());
    turns.due.add_permits(usize::try_from(due - turns.released.replace(due))?);
    Ok(())
}

/// Drops the oldest turns until at most `keep` wait; answers how many.
fn give_up(turns: &Turns, keep: usize) -> u64 {
    let surplus = turns.due.available_permits().saturating_sub(keep);
    let count = u32::try_from(surplus).unwrap_or(u32::MAX);
    if count == 0 {
        return 0;
    }
    match turns.due.try_acquire_many(count) {
        Ok(given_up) => {
            given_up.forget();
            turns.taken.set(turns.taken.get() + u64::from(count));
            u64::from(count)
        }
        Err(_) => 0,
    }
}

impl Schedule {
    /// When the request with this number is due; they are counted from zero.
    pub(super) fn due_at(&self, number: u64) -> Instant {
        let nanos = u128::from(number) * 1_000_000_000 / u128::from(self.per_second.max(1));
        self.started + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many requests are due so long after the start.
    fn due_after(&self, elapsed: Duration) -> u64 {
        let due = u128::from(micros(elapsed)) * u128::from(self.per_second) / 1_000_000 + 1;
        u64::try_from(due).unwrap_or(u64::MAX).min(self.total)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    use tokio::sync::Semaphore;

    use super::{Schedule, Turns, give_up};

    fn schedule() -> Schedule {
        Schedule { started: Instant::now(), per_second: 8, total: 20 }
    }

    #[test]
    fn requests_are_due_at_fixed_intervals() {
        let schedule = schedule();
        assert_eq!(schedule.due_at(0), schedule.started);
        assert_eq!(schedule.due_at(3), schedule.started + Duration::from_millis(375));
        for number in 0..20 {
            let due_after = schedule.due_at(number) - schedule.started;
            assert_eq!(schedule.due_after(due_after), number + 1);
            assert_eq!(schedule.due_after(due_after + Duration::from_millis(124)), number + 1);
        }
    }

    #[test]
    fn no_more_are_due_than_were_ordered() {
        assert_eq!(schedule().due_after(Duration::from_secs(60)), 20);
    }

    #[test]
    fn what_waits_too_long_is_given_up_oldest_first() {
        let turns = Turns { schedule: schedule(), due: Semaphore::new(7), released: Cell::new(9), taken: Cell::new(2) };
        assert_eq!(give_up(&turns, 4), 3);
        assert_eq!((turns.due.available_permits(), turns.taken.get()), (4, 5));
        assert_eq!(give_up(&turns, 4), 0);
    }
}
