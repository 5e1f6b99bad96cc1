//! hledger, which adds up the exported ledger on its own. The tests compare its sums with ours where it is installed.

use std::process::Command;

use crate::packages::{is_on_path, is_root};
use crate::process;

const INSTALL: [&[&str]; 2] = [&["update"], &["install", "--yes", "--no-install-recommends", "hledger"]];

/// Installs it where there is none and we may. Without it the tests pass, too.
pub(super) fn install_if_missing() {
    if is_on_path("hledger") || !is_root() || !is_on_path("apt-get") {
        return;
    }
    for arguments in INSTALL {
        eprintln!("no hledger here; installing it: apt-get {}", arguments.join(" "));
        let ran = process::run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"));
        if !ran.is_ok_and(|status| status.success()) {
            eprintln!("hledger was not installed: its sums will not be compared");
            return;
        }
    }
}
