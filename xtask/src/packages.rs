//! What is installed on this machine, and what may be.

use std::env;

/// Whether a program of this name is on the PATH.
pub fn is_on_path(name: &str) -> bool {
    env::var_os("PATH").iter().flat_map(env::split_paths).any(|folder| folder.join(name).is_file())
}

/// Whether we may install packages for everybody.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
