//! A closed loop: each connection sends its next request when it has the answer to the last one, until it is late
//! or enough was accepted.

use std::rc::Rc;
use std::time::Instant;

use anyhow::Result;
use tokio::task::JoinSet;

use super::till::{Counter, Till};

pub(super) async fn run(tills: Vec<Till>, counter: &Rc<Counter>, deadline: Instant, enough: u64) -> Result<Vec<Till>> {
    let mut tasks = JoinSet::new();
    for till in tills {
        tasks.spawn_local(pay_until(deadline, enough, till, Rc::clone(counter)));
    }
    let mut done = Vec::with_capacity(tasks.len());
    while let Some(till) = tasks.join_next().await {
        done.push(till??);
    }
    Ok(done)
}

async fn pay_until(deadline: Instant, enough: u64, mut till: Till, counter: Rc<Counter>) -> Result<Till> {
    loop {
        let now = Instant::now();
        if deadline <= now || enough <= counter.accepted() {
            return Ok(till);
        }
        till.pay(&counter, now).await?;
    }
}
