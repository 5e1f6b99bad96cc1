//! A real, throw-away PostgreSQL, made of whatever PostgreSQL is installed.

mod install;
mod user;

use std::ffi::OsString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::guard::{self, Guarded};
use install::Installation;
use user::Account;

/// How long a new server may take until it answers.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Another process may take a port between our choosing it and PostgreSQL's listening on it.
const START_ATTEMPTS: u32 = 3;

/// What `cargo xtask postgres` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Do not wait for the disk: quicker, and no measure of a production server.
    #[arg(long)]
    fast: bool,
}

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As in production: a commit is on disk before it is answered.
    Full,
    /// A commit survives the end of the server process but not of the machine. For tests.
    Off,
}

/// A running cluster of our own; dropping it stops the server and removes its files.
#[derive(Debug)]
pub struct Cluster {
    installation: Installation,
    port: u16,
    /// Keeps the server alive and removes its directory after it.
    server: Guarded,
}

impl Cluster {
    /// Starts a cluster on a free port of the loopback address, installing PostgreSQL first where it may.
    pub fn start(durability: Durability) -> Result<Cluster> {
        Cluster::start_in(&std::env::temp_dir(), durability)
    }

    /// The same with its files under `parent`, for measuring the disk behind it.
    pub fn start_in(parent: &Path, durability: Durability) -> Result<Cluster> {
        let installation = install::find_or_install()?;
        let account = Account::for_server()?;
        for _ in 1..START_ATTEMPTS {
            match Cluster::attempt(&installation, account, parent, durability) {
                Ok(cluster) => return Ok(cluster),
                Err(error) => eprintln!("PostgreSQL did not start, trying again: {error:#}"),
            }
        }
        Cluster::attempt(&installation, account, parent, durability)
    }

    /// The address of `database`, as the superuser. Every cluster has a database `postgres`.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database and says its address.
    pub fn create_database(&self, name: &str) -> Result<String> {
        self.client("createdb", &["--maintenance-db", &self.url("postgres"), name])?;
        Ok(self.url(name))
    }

    /// Removes a database that nobody is connected to.
    pub fn drop_database(&self, name: &str) -> Result<()> {
        self.client("dropdb", &["--maintenance-db", &self.url("postgres"), name]).map(drop)
    }

    /// What `database` takes on the disk, in bytes: tables and indexes, and not the write-ahead log.
    pub fn size_of(&self, database: &str) -> Result<u64> {
        let query = format!("SELECT pg_database_size('{database}')");
        let size = self.client("psql", &["-XAtq", "--dbname", &self.url("postgres"), "--command", &query])?;
        size.trim().parse().context("PostgreSQL gave no size")
    }

    /// The process id of the guard, whose only child is the postmaster.
    pub fn guard_id(&self) -> u32 {
        self.server.id()
    }

    /// Runs a program of the installation and answers what it printed.
    fn client(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.installation.program(program));
        let output = command.args(arguments).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot run {program}"))?;
        ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8(output.stdout)?)
    }

    fn attempt(
        installation: &Installation,
        account: Account,
        parent: &Path,
        durability: Durability,
    ) -> Result<Cluster> {
        let home = make_home(parent, account)?;
        let started = initialize(installation, account, &home).and_then(|()| {
            let port = free_port()?;
            let mut server = serve(installation, account, &home, port, durability)?;
            wait_until_ready(installation, &mut server, &home, port)?;
            Ok(Cluster { installation: installation.clone(), port, server })
        });
        if started.is_err() {
            // The guard removes the directory too; where there was none yet, this does.
            let _ = fs::remove_dir_all(&home);
        }
        started
    }
}

/// `cargo xtask postgres`: a cluster for by-hand use, until Ctrl-C.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let durability = if arguments.fast { Durability::Off } else { Durability::Full };
    let cluster = Cluster::start(durability)?;
    let url = cluster.url("postgres");
    println!("{url}");
    println!("export DIRECTPAY_TEST_POSTGRES={url}");
    println!("Ctrl-C stops it and removes its files.");
    loop {
        thread::park();
    }
}

fn make_home(parent: &Path, account: Account) -> Result<PathBuf> {
    let home = tempfile::Builder::new().prefix("directpay-postgres-").tempdir_in(parent)?.keep();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
    account.give(&home)?;
    Ok(home)
}

fn initialize(installation: &Installation, account: Account, home: &Path) -> Result<()> {
    let mut command = Command::new(installation.program("initdb"));
    command.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"]);
    command.arg(data(home)).current_dir(home).stdin(Stdio::null());
    if let Account::Other { uid, gid } = account {
        command.uid(uid).gid(gid);
    }
    let output = command.output().context("cannot run initdb")?;
    ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn serve(
    installation: &Installation,
    account: Account,
    home: &Path,
    port: u16,
    durability: Durability,
) -> Result<Guarded> {
    let mut options: Vec<OsString> = vec!["--farewell=quit".into(), "--remove".into(), home.into()];
    if let Account::Other { uid, gid } = account {
        options.extend([format!("--uid={uid}").into(), format!("--gid={gid}").into()]);
    }
    let log = fs::File::create(log_file(home))?;
    let mut command = guard::command(&options)?;
    command.arg(installation.program("postgres")).arg("-D").arg(data(home)).current_dir(home);
    command.args(["-c", &format!("port={port}"), "-c", "listen_addresses=127.0.0.1"]);
    // No socket file: its path may be too long for the system, and nobody needs it.
    command.args(["-c", "unix_socket_directories=", "-c", "max_connections=200"]);
    if durability == Durability::Off {
        command.args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]);
    }
    command.stdout(log.try_clone()?).stderr(log);
    Guarded::spawn(command)
}

fn wait_until_ready(installation: &Installation, server: &mut Guarded, home: &Path, port: u16) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < START_PATIENCE {
        let ready = Command::new(installation.program("pg_isready"))
            .args(["--quiet", "--host=127.0.0.1", &format!("--port={port}")])
            .status()
            .context("cannot run pg_isready")?;
        if ready.success() {
            return Ok(());
        }
        // Read first: the guard removes the log with everything else.
        let log = fs::read_to_string(log_file(home)).unwrap_or_default();
        if server.ended()?.is_some() {
            bail!("the server ended at once: {}", log.trim());
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("the server did not answer within {} s", START_PATIENCE.as_secs())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("no free port")?.local_addr()?.port())
}

fn data(home: &Path) -> PathBuf {
    home.join("data")
}

fn log_file(home: &Path) -> PathBuf {
    home.join("log")
}
