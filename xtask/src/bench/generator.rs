//! The load generator, seen from outside.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{ChildStdout, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::load::{Finish, Message, Order};
use crate::guard::{self, Guarded};

/// What was sent, and since when.
pub(super) struct Sent {
    pub(super) started: Instant,
    pub(super) finish: Finish,
}

/// Lets the generator, which is the program `xtask`, carry out `order`. Its file is in `home` meanwhile.
pub(super) fn send(xtask: &Path, home: &Path, order: &Order) -> Result<Sent> {
    let path = home.join("order.json");
    fs::write(&path, serde_json::to_vec(order)?)?;
    let mut command = guard::command(&[])?;
    command.arg(xtask).arg("bench-load").arg(&path).stdout(Stdio::piped());
    let mut generator = Guarded::spawn(command)?;
    let mut lines = BufReader::new(generator.stdout().context("the load generator has no output")?).lines();
    let Some(Message::Started) = next(&mut lines)? else { bail!("the load generator did not start") };
    let started = Instant::now();
    let Some(Message::Finished(finish)) = next(&mut lines)? else { bail!("the load generator broke off") };
    ensure!(0 < finish.tally.accepted, "no payment was accepted");
    Ok(Sent { started, finish })
}

fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<Option<Message>> {
    lines.next().map(|line| Ok(serde_json::from_str(&line?)?)).transpose()
}
