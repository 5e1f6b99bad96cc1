//! `cargo xtask test`: everything that must hold before a change is merged.

use std::env;
use std::io::{IsTerminal, stderr};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::postgres::{Cluster, Durability};
use crate::process;
use crate::table;
use crate::workspace::cargo;

mod bookkeeper;
mod tally;

use tally::Tally;

/// What `cargo xtask test` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run one step only.
    #[arg(long, value_enum)]
    only: Option<Step>,
    /// Passed to the test runner, such as a part of a test's name.
    #[arg(last = true)]
    runner: Vec<String>,
}

/// One thing that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Step {
    /// The code is formatted.
    Fmt,
    /// No lint has anything to say.
    Clippy,
    /// The documentation builds without a warning.
    Doc,
    /// All tests pass, the tidy checks among them.
    Tests,
}

/// How a step went.
struct Outcome {
    step: Step,
    passed: bool,
    took: Duration,
}

const STEPS: [Step; 4] = [Step::Fmt, Step::Clippy, Step::Doc, Step::Tests];

/// Runs the steps in order, stops at the first that fails, and prints a table of what was run.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut tally = Tally::default();
    let mut outcomes = Vec::new();
    for step in STEPS.into_iter().filter(|step| arguments.only.is_none_or(|only| only == *step)) {
        println!("\n== {} ==", step.heading());
        let started = Instant::now();
        let passed = match step.check(&arguments.runner, &mut tally) {
            Ok(passed) => passed,
            Err(error) => {
                eprintln!("{error:#}");
                false
            }
        };
        outcomes.push(Outcome { step, passed, took: started.elapsed() });
        if !passed {
            break;
        }
    }
    print_table(&outcomes);
    println!("{tally}");
    Ok(if outcomes.iter().all(|outcome| outcome.passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Step {
    fn heading(self) -> &'static str {
        match self {
            Step::Fmt => "format",
            Step::Clippy => "lints",
            Step::Doc => "documentation",
            Step::Tests => "tests, on SQLite and PostgreSQL",
        }
    }

    fn check(self, runner: &[String], tally: &mut Tally) -> Result<bool> {
        match self {
            Step::Fmt => succeeds(&mut cargo(&["fmt", "--all", "--check"])),
            Step::Clippy => succeeds(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny=warnings"])),
            Step::Doc => succeeds(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny=warnings")),
            Step::Tests => tests(runner, tally),
        }
    }
}

/// The binary first: tests that need a server of its own start it.
fn tests(runner: &[String], tally: &mut Tally) -> Result<bool> {
    if !succeeds(&mut cargo(&["build", "-p", "directpay-server", "--bin", "directpay"]))? {
        return Ok(false);
    }
    bookkeeper::install_if_missing();
    let cluster = Cluster::start(Durability::Off)?;
    let admin = cluster.url("postgres");
    let mut read = |command: &mut Command| -> Result<bool> {
        let command = command.args(runner).env("DIRECTPAY_TEST_POSTGRES", &admin).env("CARGO_TERM_COLOR", color());
        Ok(process::run_reading(command, |line| tally.read(line))?.success())
    };
    if has_nextest() {
        let mut all = cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
        Ok(read(&mut all)? && read(&mut cargo(&["test", "--doc", "--workspace"]))?)
    } else {
        read(&mut cargo(&["test", "--workspace", "--no-fail-fast"]))
    }
}

fn has_nextest() -> bool {
    cargo(&["nextest", "--version"]).output().is_ok_and(|output| output.status.success())
}

fn succeeds(command: &mut Command) -> Result<bool> {
    Ok(process::run(command)?.success())
}

/// The runner writes to a pipe, so it cannot see for itself whether there is a terminal behind it.
fn color() -> &'static str {
    if stderr().is_terminal() && env::var_os("NO_COLOR").is_none() { "always" } else { "never" }
}

fn print_table(outcomes: &[Outcome]) {
    let mut table = table::new(["step", "outcome", "time"]);
    for outcome in outcomes {
        let word = if outcome.passed { "passed" } else { "FAILED" };
        table.add_row([outcome.step.heading(), word, &format!("{} s", outcome.took.as_secs())]);
    }
    println!("\n{table}");
}
