//! The floor: the same rows in the same batches, written by the store alone, without HTTP, sign-in or waiting callers.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::guard::{self, Guarded};
use crate::process::describe;

/// Payments of one transaction, as in the server.
const BATCH: u64 = 256;

/// The last line that the program prints.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Floor {
    pub(super) payments: u64,
    /// Accepting and settling all of them.
    pub(super) elapsed_us: u64,
    /// Accepting alone.
    pub(super) accepted_us: u64,
}

/// Lets the program `bulk` write so many payments into the empty database at `url`.
pub(super) fn measure(bulk: &Path, url: &str, payments: u64) -> Result<Floor> {
    let mut command = guard::command(&[])?;
    command.arg(bulk).args(["--database", url, "--payments", &payments.to_string(), "--batch", &BATCH.to_string()]);
    command.stdout(Stdio::piped());
    let mut program = Guarded::spawn(command)?;
    let mut stdout = String::new();
    program.stdout().context("bulk has no output")?.read_to_string(&mut stdout)?;
    let status = program.wait()?;
    ensure!(status.success(), "bulk failed: {}", describe(status));
    parse(&stdout)
}

fn parse(stdout: &str) -> Result<Floor> {
    let line = stdout.lines().last().context("bulk printed nothing")?;
    let floor: Floor = serde_json::from_str(line).context("bulk printed no figures")?;
    ensure!(0 < floor.payments, "bulk wrote no payment");
    Ok(floor)
}

#[cfg(test)]
mod tests {
    use super::{Floor, parse};

    #[test]
    fn the_figures_are_in_the_last_line() {
        let stdout = "seeding\n{\"payments\":10,\"elapsed_us\":200,\"accepted_us\":100}\n";
        assert_eq!(parse(stdout).unwrap(), Floor { payments: 10, elapsed_us: 200, accepted_us: 100 });
        assert!(parse("").is_err());
        assert!(parse("seeding\n").is_err());
    }
}
