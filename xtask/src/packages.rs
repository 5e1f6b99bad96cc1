//! What is installed on this machine, and what may be.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::process;

/// Whether a program of this name is on the PATH.
pub fn is_on_path(name: &str) -> bool {
    env::var_os("PATH").iter().flat_map(env::split_paths).any(|folder| folder.join(name).is_file())
}

/// Whether we may install packages for everybody.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes a virtual environment of Python with these requirements of pip, read in `folder`, unless it is there from the last time;
/// says where its programs are.
pub fn python_environment(environment: &Path, requirements: &[&str], folder: &Path) -> Result<PathBuf> {
    let bin = environment.join("bin");
    let mut wanted = requirements.join(" ");
    for file in requirements.iter().filter_map(|named| fs::read_to_string(folder.join(named)).ok()) {
        wanted.push_str(&file);
    }
    let marker = environment.join("installed");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(bin);
    }
    println!("installing {} into {}", requirements.join(" "), environment.display());
    let made = process::run(Command::new("python3").args(["-m", "venv"]).arg(environment))?;
    ensure!(made.success(), "python3 cannot make a virtual environment; on Debian, install python3-venv");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let installed = process::run(Command::new(bin.join("python")).args(pip).args(requirements).current_dir(folder))?;
    ensure!(installed.success(), "pip cannot install {}", requirements.join(" "));
    fs::write(&marker, wanted)?;
    Ok(bin)
}
