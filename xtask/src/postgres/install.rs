//! Finds the programs of a PostgreSQL installation, and installs one where that is allowed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::packages::{is_on_path, is_root};
use crate::process;

/// The oldest PostgreSQL that DirectPay supports.
const OLDEST_MAJOR: u32 = 15;

const NEEDED: [&str; 4] = ["initdb", "postgres", "pg_isready", "createdb"];

/// Folders whose subfolders are installations, one a version, and where in those the programs are.
const VERSIONED: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/usr/libexec", ""),
    ("/usr/lib/postgresql", ""),
    ("/Library/PostgreSQL", "bin"),
];

/// One installed PostgreSQL.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    folder: PathBuf,
    major: u32,
}

impl Installation {
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The installation whose programs are in `folder`, if it is complete and says its version.
    fn in_folder(folder: &Path) -> Option<Installation> {
        if !NEEDED.iter().all(|name| folder.join(name).is_file()) {
            return None;
        }
        let output = Command::new(folder.join("postgres")).arg("--version").stdin(Stdio::null()).output().ok()?;
        let major = major_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(Installation { folder: folder.to_owned(), major })
    }
}

pub(super) fn find_or_install() -> Result<Installation> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let Some(commands) = package_manager() else {
        bail!(
            "the tests need PostgreSQL {OLDEST_MAJOR} or newer and there is none here. Install it and run this again:\n  \
             Debian, Ubuntu: sudo apt-get install postgresql\n  \
             Fedora, RHEL:   sudo dnf install postgresql-server\n  \
             Alpine:         sudo apk add postgresql postgresql-client\n  \
             macOS:          brew install postgresql@17\n\
             Any installation will do whose folder of programs is on the PATH; no server needs to run."
        );
    };
    for command in commands {
        eprintln!("no PostgreSQL {OLDEST_MAJOR} or newer here; installing it: {}", command.join(" "));
        if let [program, arguments @ ..] = command {
            process::run(Command::new(program).args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))?;
        }
    }
    match find() {
        Some(found) => Ok(found),
        None => {
            bail!("the package manager gave us no PostgreSQL {OLDEST_MAJOR} or newer; install one and run this again")
        }
    }
}

/// What is first on the PATH, if it is new enough, else the newest one installed elsewhere.
fn find() -> Option<Installation> {
    let new_enough = |installation: &Installation| OLDEST_MAJOR <= installation.major;
    let on_path = env::var_os("PATH")
        .iter()
        .flat_map(env::split_paths)
        .filter_map(|folder| folder.join("initdb").canonicalize().ok())
        .filter_map(|initdb| Installation::in_folder(initdb.parent()?))
        .find(new_enough);
    on_path.or_else(|| {
        elsewhere()
            .iter()
            .filter_map(|folder| Installation::in_folder(folder))
            .filter(new_enough)
            .max_by_key(|installation| installation.major)
    })
}

fn elsewhere() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = VERSIONED
        .iter()
        .filter_map(|(parent, bin)| Some((fs::read_dir(parent).ok()?, bin)))
        .flat_map(|(entries, bin)| entries.flatten().map(move |entry| entry.path().join(bin)))
        .collect();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    folders.push(PathBuf::from("/usr/bin"));
    folders
}

/// The commands that install PostgreSQL here without asking anybody, if we may run them.
fn package_manager() -> Option<&'static [&'static [&'static str]]> {
    let (root, has) = (is_root(), is_on_path);
    if root && has("apt-get") {
        Some(&[&["apt-get", "update"], &["apt-get", "install", "--yes", "--no-install-recommends", "postgresql"]])
    } else if root && has("dnf") {
        Some(&[&["dnf", "install", "--assumeyes", "postgresql-server"]])
    } else if root && has("apk") {
        Some(&[&["apk", "add", "postgresql", "postgresql-client"]])
    } else if !root && has("brew") {
        Some(&[&["brew", "install", "postgresql@17"]])
    } else {
        None
    }
}

/// 16 from `postgres (PostgreSQL) 16.4 (Debian …)`.
fn major_version(text: &str) -> Option<u32> {
    let version = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major_version;

    #[test]
    fn the_major_version_is_read_from_what_the_server_says() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)\n"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_version("no such file"), None);
    }
}
