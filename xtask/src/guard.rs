//! A program that cannot outlive us.
//!
//! The guard is this binary again, as a small process between us and the program. It holds the reading end of a pipe;
//! when the pipe closes, because we let go or because we died however hard, it ends the program and removes its
//! directory. This needs no signal handler, no unsafe code, and nothing that only one kind of Unix has.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// How long the program may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the program is asked to end.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Farewell {
    /// SIGTERM: finish what was begun.
    Terminate,
    /// SIGQUIT: drop everything. PostgreSQL's "immediate shutdown".
    Quit,
}

/// What the guard is told on its command line.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The signal that ends the program.
    #[arg(long, value_enum, default_value = "terminate")]
    pub farewell: Farewell,
    /// A directory to remove in the end.
    #[arg(long)]
    pub remove: Option<PathBuf>,
    /// The user to run the program as.
    #[arg(long, requires = "gid")]
    pub uid: Option<u32>,
    /// The group to run the program as.
    #[arg(long)]
    pub gid: Option<u32>,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub program: Vec<OsString>,
}

/// A running program under guard; dropping this ends it.
#[derive(Debug)]
pub struct Guarded {
    guard: Child,
    /// Held open for as long as the program is wanted.
    leash: Option<ChildStdin>,
}

impl Guarded {
    /// Starts the guard, whose command line `command` came from [`command`].
    pub fn spawn(mut command: Command) -> Result<Guarded> {
        let mut guard = command.stdin(Stdio::piped()).process_group(0).spawn().context("cannot start the guard")?;
        let leash = guard.stdin.take();
        Ok(Guarded { guard, leash })
    }

    /// The program's standard output, if it was asked to be piped.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.guard.stdout.take()
    }

    /// The guard's process id; the program is its only child.
    pub fn id(&self) -> u32 {
        self.guard.id()
    }

    /// How the program ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.guard.try_wait().context("lost the guard")
    }

    /// Waits for the program to end by itself.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.guard.wait().context("lost the guard")
    }

    /// Asks the program to end and waits for it.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.leash = None;
        self.guard.wait().context("lost the guard")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.stop();
    }
}

/// The command that runs a guard with these `options`, to be followed by the program and its arguments.
pub fn command(options: &[OsString]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find our own binary")?);
    command.arg("guard").args(options).arg("--");
    Ok(command)
}

/// The hidden subcommand: the guard itself.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let result = supervise(arguments);
    if let Some(directory) = &arguments.remove {
        remove(directory);
    }
    Ok(result?.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn supervise(arguments: &Arguments) -> Result<ExitStatus> {
    let (name, rest) = arguments.program.split_first().context("no program given")?;
    let mut command = Command::new(name);
    command.args(rest).stdin(Stdio::null()).process_group(0);
    if let (Some(uid), Some(gid)) = (arguments.uid, arguments.gid) {
        command.uid(uid).gid(gid);
    }
    let mut child = command.spawn().with_context(|| format!("cannot run {}", name.display()))?;
    let pid = Pid::from_child(&child);
    let farewell = match arguments.farewell {
        Farewell::Terminate => Signal::TERM,
        Farewell::Quit => Signal::QUIT,
    };
    thread::spawn(move || {
        // An unreadable leash is a cut leash.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = kill_process(pid, farewell);
        thread::sleep(PATIENCE);
        let _ = kill_process(pid, Signal::KILL);
    });
    child.wait().context("lost the program")
}

/// Tries a few times: a program's own children may still be writing their last files.
fn remove(directory: &Path) {
    for _ in 0..20 {
        if fs::remove_dir_all(directory).is_ok() || !directory.exists() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
}
