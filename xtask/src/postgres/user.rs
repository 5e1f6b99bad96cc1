//! The account that PostgreSQL runs under: it refuses to run as root.

use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Under whose account the server runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Account {
    /// Under ours.
    Own,
    /// We are root: under an unprivileged one.
    Other { uid: u32, gid: u32 },
}

impl Account {
    pub(super) fn for_server() -> Result<Account> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Account::Own);
        }
        for name in ["postgres", "nobody"] {
            if let (Ok(uid), Ok(gid)) = (number_of("-u", name), number_of("-g", name)) {
                return Ok(Account::Other { uid, gid });
            }
        }
        bail!("PostgreSQL does not run as root, and there is neither a user postgres nor a user nobody")
    }

    pub(super) fn give(self, directory: &Path) -> Result<()> {
        match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid } => {
                chown(directory, Some(uid), Some(gid)).context("cannot give the directory away")
            }
        }
    }
}

fn number_of(which: &str, name: &str) -> Result<u32> {
    let output = Command::new("id").args([which, name]).output().context("cannot run id")?;
    ensure!(output.status.success(), "there is no user {name}");
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
