//! Where the workspace is, and the cargo that runs it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The cargo that started us, in the workspace's root.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// What is measured and what measures it, both optimized.
#[derive(Debug)]
pub struct Binaries {
    /// The server.
    pub directpay: PathBuf,
    /// Ourselves.
    pub xtask: PathBuf,
}

/// Builds the release binaries; a `given` server is taken as it is, with ourselves as we are.
pub fn release_binaries(given: Option<&Path>) -> Result<Binaries> {
    if let Some(directpay) = given {
        return Ok(Binaries { directpay: existing(directpay)?, xtask: env::current_exe()? });
    }
    let status = process::run(&mut cargo(&["build", "--release", "-p", "directpay-server", "-p", "xtask", "--bins"]))?;
    ensure!(status.success(), "the release build failed");
    let folder = target_dir().join("release");
    Ok(Binaries { directpay: existing(&folder.join("directpay"))?, xtask: existing(&folder.join("xtask"))? })
}

/// Builds the program that writes payments without HTTP; a `given` one is taken as it is.
pub fn bulk_example(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(bulk) = given {
        return existing(bulk);
    }
    let arguments = ["build", "--release", "-p", "directpay-store", "--example", "bulk"];
    let status = process::run(&mut cargo(&arguments))?;
    ensure!(status.success(), "the release build of the example `bulk` failed");
    existing(&target_dir().join("release/examples/bulk"))
}

fn existing(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("there is no {}", path.display()))
}
