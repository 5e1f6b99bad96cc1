//! The first page of a list against one far behind it.

use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;

use super::http::Connection;
use super::micros;

/// How often each page is read.
const READS: usize = 50;

/// The median times to read them.
#[derive(Debug, Clone, Serialize)]
pub(in crate::bench) struct Pages {
    pub(in crate::bench) near_us: u64,
    pub(in crate::bench) far_us: u64,
}

/// Reads the pages `near` and `far` in turn, many times.
pub(in crate::bench) async fn compare(host: &str, token: &str, near: &str, far: &str) -> Result<Pages> {
    let mut connection = Connection::open(host).await?;
    let (mut near_us, mut far_us) = (Vec::with_capacity(READS), Vec::with_capacity(READS));
    for _ in 0..READS {
        for (path, times_us) in [(near, &mut near_us), (far, &mut far_us)] {
            let sent = Instant::now();
            connection.get(path, token).await?;
            times_us.push(micros(sent.elapsed()));
        }
    }
    Ok(Pages { near_us: median(near_us)?, far_us: median(far_us)? })
}

fn median(mut times_us: Vec<u64>) -> Result<u64> {
    times_us.sort_unstable();
    times_us.get(times_us.len() / 2).copied().context("nothing was read")
}
