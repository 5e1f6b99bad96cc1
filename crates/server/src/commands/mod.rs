//! One command for each role.

pub mod admin;
pub mod audit;
pub mod demo;
pub mod export;
pub mod health;
pub mod keys;
pub mod report;
pub mod run_day;
pub mod serve;
pub mod verify;

use std::fs::File;
use std::path::Path;

use anyhow::Context;

/// Writes a file that is there as a whole or not at all, for its owner only.
async fn replace(file: &Path, write: impl AsyncFnOnce(&File) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unfinished = tempfile::NamedTempFile::new_in(folder).context("cannot write beside the output file")?;
    write(unfinished.as_file()).await?;
    unfinished.as_file().sync_all()?;
    unfinished.persist(file).context("cannot write the output file")?;
    Ok(())
}
