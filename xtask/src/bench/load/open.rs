//! An open loop: requests are due at a constant rate, whatever the server does.
//!
//! A request that is due is sent on any idle connection; while there is none it waits, and the time that it waits is part
//! of its latency: a server that stands still for a second does not hide this second. What would wait too long is
//! never sent, and counted as that.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use super::micros;
use super::till::{Counter, Till};

/// How often requests that have fallen due are sent. The runtime's own timer ticks only each millisecond.
const BEAT: Duration = Duration::from_micros(500);

/// Requests that wait for a connection: at most those of so many seconds.
const BACKLOG_SECONDS: u64 = 2;

/// When each request is due.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    started: Instant,
    per_second: u64,
    total: u64,
}

/// Requests that are due and not yet sent.
struct Turns {
    schedule: Schedule,
    /// A permit for each.
    due: Semaphore,
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
    let turns = Rc::new(Turns { schedule, due: Semaphore::new(0), taken: Cell::new(0) });
    let mut tasks = JoinSet::new();
    for till in tills {
        tasks.spawn_local(pay_in_turn(till, Rc::clone(&turns), Rc::clone(counter)));
    }
    release(&turns, counter).await?;
    let mut done = Vec::with_capacity(tasks.len());
    while let Some(till) = tasks.join_next().await {
        done.push(till??);
    }
    Ok(done)
}

async fn pay_in_turn(mut till: Till, turns: Rc<Turns>, counter: Rc<Counter>) -> Result<Till> {
    // An error means that there will be no more turns.
    while let Ok(turn) = turns.due.acquire().await {
        turn.forget();
        let number = turns.taken.get();
        turns.taken.set(number + 1);
        till.pay(&counter, turns.schedule.due_at(number)).await?;
    }
    Ok(till)
}

/// Gives out the turns as they fall due, and closes the gate when the last one is taken or given up.
async fn release(turns: &Turns, counter: &Counter) -> Result<()> {
    let schedule = turns.schedule;
    let drained = schedule.due_at(schedule.total) + Duration::from_secs(BACKLOG_SECONDS);
    let beat = beat_until(drained + Duration::from_secs(1));
    let mut released = 0;
    loop {
        let due = schedule.due_after(schedule.started.elapsed());
        turns.due.add_permits(usize::try_from(due - released)?);
        released = due;
        counter.unsent(give_up(turns, usize::try_from(schedule.per_second * BACKLOG_SECONDS)?));
        let over = released == schedule.total && turns.due.available_permits() == 0;
        if over || drained <= Instant::now() {
            break;
        }
        beat.notified().await;
    }
    counter.unsent(give_up(turns, 0));
    turns.due.close();
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

/// A beat from a thread of its own, which can sleep for less than a millisecond.
fn beat_until(end: Instant) -> Arc<Notify> {
    let beat = Arc::new(Notify::new());
    let bell = Arc::clone(&beat);
    thread::spawn(move || {
        while Instant::now() < end {
            thread::sleep(BEAT);
            bell.notify_one();
        }
    });
    beat
}

impl Schedule {
    /// When the request with this number is due; they are counted from zero.
    fn due_at(&self, number: u64) -> Instant {
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
        let turns = Turns { schedule: schedule(), due: Semaphore::new(7), taken: Cell::new(2) };
        assert_eq!(give_up(&turns, 4), 3);
        assert_eq!((turns.due.available_permits(), turns.taken.get()), (4, 5));
        assert_eq!(give_up(&turns, 4), 0);
    }
}
