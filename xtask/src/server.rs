//! A `directpay serve` of our own, for measuring and for fuzzing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::guard::{self, Guarded};

/// How long a server may take until it listens.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// What a worker prints before the database on which it works.
const WORKING: &str = "working on ";

/// What a server prints before its address, whatever the log level.
pub const LISTENING: &str = "listening on ";

/// What a server does with payments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// Takes them in and settles them.
    Everything,
    /// Everything, and sends webhooks to this machine.
    WebhooksHere,
    /// Only takes them in: its workers are off.
    Intake,
    /// Everything, but with a database transaction for each payment instead of one for many.
    OneByOne,
    /// Everything, at a bank that takes its time: the rails' delays times this.
    Slowly {
        /// A decimal number, as DirectPay reads it.
        scale: &'static str,
    },
}

/// A database for a server, with the secrets that belong to it.
#[derive(Debug)]
pub struct Deployment {
    binary: PathBuf,
    url: String,
    /// Holds the secrets and the log; a SQLite file too.
    home: PathBuf,
}

impl Deployment {
    /// The SQLite file `file`, which is made if it is not there; its secrets, new ones, are in `home`.
    pub fn on_sqlite(binary: PathBuf, home: &Path, file: &Path) -> Result<Deployment> {
        Deployment::with_secrets(binary, home, format!("sqlite://{}", file.display()))
    }

    /// The empty database at `url`, brought up to date; its secrets are in `home`.
    pub fn on_postgres(binary: PathBuf, home: &Path, url: String) -> Result<Deployment> {
        let deployment = Deployment::with_secrets(binary, home, url)?;
        deployment.run("migrate")?;
        Ok(deployment)
    }

    /// A server makes no secrets for a database that already holds account numbers, so they are made here.
    fn with_secrets(binary: PathBuf, home: &Path, url: String) -> Result<Deployment> {
        let deployment = Deployment { binary, url, home: home.to_owned() };
        let output = Command::new(&deployment.binary).arg("secrets").stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "`directpay secrets` failed");
        fs::write(deployment.secrets(), output.stdout)?;
        fs::set_permissions(deployment.secrets(), fs::Permissions::from_mode(0o600))?;
        Ok(deployment)
    }

    /// The address of the database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Starts a server whose bank settles at once, unless it is to be slow, and which throttles nobody.
    pub fn serve(&self, serving: Serving) -> Result<Server> {
        let mut command = guard::command(&[])?;
        command.arg(&self.binary).args(["serve", "--listen", "127.0.0.1:0"]);
        self.set_environment(&mut command);
        match serving {
            Serving::Everything => {}
            Serving::WebhooksHere => {
                command.env("DIRECTPAY_WEBHOOK_ALLOW", "127.0.0.0/8");
            }
            Serving::Intake => {
                command.arg("--no-workers");
            }
            Serving::OneByOne => {
                command.env("DIRECTPAY_BATCH_MAX", "1");
            }
            Serving::Slowly { scale } => {
                command.env("DIRECTPAY_RAIL_DELAY_SCALE", scale);
            }
        }
        self.start(command, LISTENING)
    }

    /// Starts a worker, for servers that only take payments in.
    pub fn work(&self) -> Result<Server> {
        let mut command = guard::command(&[])?;
        command.arg(&self.binary).arg("worker");
        self.set_environment(&mut command);
        self.start(command, WORKING)
    }

    /// All processes write to the same log.
    fn start(&self, mut command: Command, sign: &str) -> Result<Server> {
        command.stderr(fs::OpenOptions::new().create(true).append(true).open(self.log())?);
        Server::start_with_sign(command, sign).with_context(|| self.log_tail())
    }

    /// Runs `directpay verify` on the database; fails when anything is not as it should be.
    pub fn verify(&self) -> Result<()> {
        self.run("verify")
    }

    fn run(&self, subcommand: &str) -> Result<()> {
        let mut command = Command::new(&self.binary);
        self.set_environment(command.arg(subcommand).stdin(Stdio::null()));
        let output = command.output().with_context(|| format!("cannot run directpay {subcommand}"))?;
        if !output.status.success() {
            let [said, complained] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
            bail!("`directpay {subcommand}` failed:\n{said}{complained}");
        }
        Ok(())
    }

    fn set_environment(&self, command: &mut Command) {
        command.env("DIRECTPAY_DATABASE_URL", &self.url).env("DIRECTPAY_SECRETS_FILE", self.secrets());
        command.env("DIRECTPAY_RAIL_DELAY_SCALE", "0");
        // Counted as they are in production, and out of reach.
        for limit in ["PER_KEY", "PER_USER", "PER_ADDRESS", "SIGN_INS", "REPORTS"] {
            command.env(format!("DIRECTPAY_LIMIT_{limit}"), u32::MAX.to_string());
        }
        command.env("DIRECTPAY_LOG", "warn").current_dir(&self.home);
    }

    fn secrets(&self) -> PathBuf {
        self.home.join("directpay.secrets")
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// The end of what the server had to say.
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// A running server or worker; dropping it ends it.
#[derive(Debug)]
pub struct Server {
    process: Guarded,
    /// Where it listens, without a slash at the end; of a worker, where its database is.
    pub url: String,
    /// From its start until it listened.
    pub start_time: Duration,
}

impl Server {
    /// Runs a guard's `command` whose program prints where it listens.
    pub fn start(command: Command) -> Result<Server> {
        Server::start_with_sign(command, LISTENING)
    }

    fn start_with_sign(mut command: Command, sign: &str) -> Result<Server> {
        command.stdout(Stdio::piped());
        let started = Instant::now();
        let mut process = Guarded::spawn(command)?;
        let stdout = process.stdout().context("the server has no output")?;
        let url = address(stdout, sign).context("the server did not start")?;
        Ok(Server { process, url, start_time: started.elapsed() })
    }

    /// The process id of the guard, whose only child is the server.
    pub fn guard_id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it is still there.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.ended()?.is_none())
    }

    /// Lets it finish what it accepted, and fails if that went wrong.
    pub fn stop(mut self) -> Result<()> {
        let status = self.process.stop()?;
        ensure!(status.success(), "the server did not stop cleanly: {}", crate::process::describe(status));
        Ok(())
    }
}

/// The address behind `sign`; nothing if the output ends before it or it takes too long.
fn address(stdout: ChildStdout, sign: &str) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    let sign = sign.to_owned();
    // Reads on to the end, so that the server never finds its output blocked.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some((_, url)) = line.split_once(&sign) {
                // Only the first address is waited for.
                let _ = sender.send(url.trim().trim_end_matches('/').to_owned());
            }
        }
    });
    receiver.recv_timeout(START_PATIENCE).ok()
}
