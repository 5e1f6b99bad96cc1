//! How long the disk takes to keep something for good: no commit can be quicker.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

const WRITES: usize = 200;

/// The median time to append 4 KiB to a file in `folder` and wait until the disk has them.
pub(super) fn flush_us(folder: &Path) -> Result<u64> {
    let mut file = tempfile::tempfile_in(folder).context("no file to write to")?;
    let block = [7u8; 4096];
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let started = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(u64::try_from(started.elapsed().as_micros())?);
    }
    times.sort_unstable();
    Ok(times.get(WRITES / 2).copied().unwrap_or(0))
}
