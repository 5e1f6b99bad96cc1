//! Child processes that end when we are told to end.
//!
//! Every child leads a process group of its own, so that a signal reaches it and all that it started, and so that
//! Ctrl-C in a terminal reaches us first.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};

/// How long children may take to end after a signal, in tenths of a second.
const PATIENCE_DECISECONDS: u32 = 100;

/// The leaders of the groups that are running.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Runs `command` to its end, without an input.
pub fn run(command: &mut Command) -> Result<ExitStatus> {
    let (mut child, group) = spawn(command.stdin(Stdio::null()))?;
    let status = child.wait();
    forget(group);
    status.context("lost a child process")
}

/// Runs `command` to its end, shows what it says, and hands each line of it to `each_line` as well.
pub fn run_reading(command: &mut Command, each_line: impl FnMut(&str) + Send) -> Result<ExitStatus> {
    let (mut child, group) = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let each_line = Mutex::new(each_line);
    thread::scope(|scope| {
        if let Some(stderr) = child.stderr.take() {
            scope.spawn(|| copy_lines(stderr, io::stderr(), &each_line));
        }
        if let Some(stdout) = child.stdout.take() {
            copy_lines(stdout, io::stdout(), &each_line);
        }
    });
    let status = child.wait();
    forget(group);
    status.context("lost a child process")
}

fn copy_lines(from: impl Read, mut to: impl Write, each_line: &Mutex<impl FnMut(&str)>) {
    for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        // A closed terminal is no reason to stop the child.
        let _ = writeln!(to, "{line}");
        each_line.lock().unwrap_or_else(PoisonError::into_inner)(&line);
    }
}

/// Passes SIGINT, SIGTERM and SIGHUP on to all running children, waits for their end, and exits.
///
/// Throw-away servers need no signal: each has a guard that sees us go (see `guard`).
pub fn pass_signals_on() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        let number = runtime.block_on(next_signal()).unwrap_or(15);
        for group in running().iter() {
            // A group that is already gone needs no signal.
            let _ = kill_process_group(*group, Signal::TERM);
        }
        for _ in 0..PATIENCE_DECISECONDS {
            if running().is_empty() {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        std::process::exit(128 + number);
    });
    Ok(())
}

async fn next_signal() -> Result<i32> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let kind = tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
        _ = hang_up.recv() => SignalKind::hangup(),
    };
    Ok(kind.as_raw_value())
}

/// What a program that ended badly says about its end.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(number)) => format!("killed by signal {number}"),
        (None, None) => "ended".to_owned(),
    }
}

fn spawn(command: &mut Command) -> Result<(Child, Pid)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.process_group(0).spawn().with_context(|| format!("cannot run {name}"))?;
    let group = Pid::from_child(&child);
    running().push(group);
    Ok((child, group))
}

fn forget(group: Pid) {
    running().retain(|other| *other != group);
}

fn running() -> MutexGuard<'static, Vec<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}
