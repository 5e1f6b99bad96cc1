//! `cargo xtask test-clients`: what DirectPay sends, verified by libraries that others have written.
//!
//! Not part of `cargo xtask test`: it needs Python, Node, and packages from PyPI and npm.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Result, ensure};

use crate::server::{Deployment, Serving};
use crate::{process, workspace};

const PYTHON_PACKAGES: [&str; 2] = ["standardwebhooks==1.1.0", "cryptography==50.0.2"];
const NODE_PACKAGE: &str = "standardwebhooks@1.1.1";

/// What `cargo xtask test-clients` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Take this `directpay` instead of building one.
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Has webhooks sent by a server of its own, and fails if anybody does not believe them, or believes what is not genuine.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let folder = workspace::target_dir().join("clients");
    std::fs::create_dir_all(&folder)?;
    let python = install_python(&folder)?;
    install_node(&folder)?;
    let binary = workspace::release_binaries(arguments.binary.as_deref())?.directpay;
    let home = tempfile::Builder::new().prefix("directpay-clients-").tempdir()?;
    let deployment = Deployment::on_sqlite(binary, home.path(), &home.path().join("directpay.db"))?;
    let server = deployment.serve(Serving::WebhooksHere)?;
    let scripts = workspace::root().join("xtask/src/clients");
    let taken = home.path().join("taken.json");
    let verified = process::run(Command::new(python).arg(scripts.join("webhooks.py")).arg(&server.url).arg(&taken))?;
    ensure!(verified.success(), "Python does not verify our webhooks: {}", deployment.log_tail());
    let mut node = Command::new("node");
    let verified = process::run(node.arg(scripts.join("webhooks.mjs")).arg(&taken).current_dir(&folder))?;
    ensure!(verified.success(), "Node does not verify our webhooks");
    server.stop()?;
    deployment.verify()?;
    Ok(ExitCode::SUCCESS)
}

/// A virtual environment with the packages.
fn install_python(folder: &Path) -> Result<PathBuf> {
    let environment = folder.join("python");
    let python = environment.join("bin/python");
    if !python.exists() {
        let made = process::run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        ensure!(made.success(), "python3 cannot make a virtual environment; on Debian, install python3-venv");
    }
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let installed = process::run(Command::new(&python).args(pip).args(PYTHON_PACKAGES))?;
    ensure!(installed.success(), "pip cannot install {PYTHON_PACKAGES:?}");
    Ok(python)
}

fn install_node(folder: &Path) -> Result<()> {
    std::fs::write(folder.join("package.json"), "{\"private\": true}\n")?;
    let mut npm = Command::new("npm");
    let npm = npm.args(["install", "--no-audit", "--no-fund", "--silent", "--no-save", NODE_PACKAGE]);
    ensure!(process::run(npm.current_dir(folder))?.success(), "npm cannot install {NODE_PACKAGE}");
    Ok(())
}
