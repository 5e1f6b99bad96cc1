//! `keys`: which keys there are, and how one takes the place of another.
//!
//! A key is introduced, used, and in the end destroyed, each in a step of its own: nobody seals or signs by a key that another
//! running process does not know, and no key goes that is still needed.
#![expect(clippy::print_stdout, reason = "what these commands are for")]

mod list;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use directpay_domain::time::{Instant, SECOND_US};
use directpay_domain::trail::{Action, Actor};
use directpay_store::key_holders::{self, KeyHolder};
use directpay_store::{Db, sealed};
use serde_json::json;

use super::verify;
use crate::access::tokens::ACCESS_SECONDS;
use crate::clock::{Clock, Stopwatch};
use crate::config::Database;
use crate::key_watch::ALIVE_US;
use crate::reseal::{self, Resealed};
use crate::running::{self, Company, Opened, SchemaPolicy};
use crate::secrets::{KeyEntry, KeyFile, KeyState, KeyUse, load};
use crate::trail;

/// How often running processes are looked at while they are waited for.
const PAUSE: Duration = Duration::from_millis(250);
/// In this time every process has seen what has changed, or is not taken for alive any more.
const SEEN: Duration = Duration::from_secs(40);
/// The last token of a key is signed this long after another took its place, at the latest.
const LAST_TOKEN_SECONDS: i64 = 60;

/// The keys of the secrets file.
#[derive(Debug, Clone, Subcommand)]
pub enum KeysCommand {
    /// Show which keys there are, which are in use, and how many records stand under each
    List,
    /// Put a fresh key in the place of the one in use: introduce it, wait until every running process knows it, use it
    Rotate(RotateArgs),
    /// The first step of `rotate` alone: add a key that opens and verifies, and is not used yet
    Introduce {
        /// What it is for
        of: KeyUse,
    },
    /// The second step alone: use a key that every running process knows
    Use {
        /// Its name
        id: String,
    },
    /// Seal everything that stands under old encryption keys under the one in use; may be killed and run again
    Reseal,
    /// Destroy a key that nothing needs any more
    Retire(RetireArgs),
    /// Wrap the keys by the master key, or by a new one: the first in DIRECTPAY_MASTER_KEY_FILE
    #[command(visible_alias = "rewrap")]
    Wrap,
    /// Let the keys stand in clear again
    Unwrap,
}

/// Which key gives way.
#[derive(Debug, Clone, Args)]
pub struct RotateArgs {
    /// What it is for
    of: KeyUse,
    /// For how many seconds running processes are waited for
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    wait: u64,
}

/// Which key goes.
#[derive(Debug, Clone, Args)]
pub struct RetireArgs {
    /// Its name
    id: String,
    /// Of a signing key: do not wait until its tokens have expired. Who has one must refresh it
    #[arg(long)]
    at_once: bool,
}

/// Runs one of the commands.
pub async fn keys(database: &Database, command: KeysCommand) -> anyhow::Result<ExitCode> {
    let file = KeyFile::at(&database.secrets)?;
    match command {
        KeysCommand::List => list::list(database, &file).await?,
        KeysCommand::Rotate(RotateArgs { of, wait }) => rotate(database, &file, of, Duration::from_secs(wait)).await?,
        KeysCommand::Introduce { of } => {
            let id = file.introduce(of, now()?)?;
            println!("{id} is introduced; when every machine has this file: `directpay keys use {id}`");
        }
        KeysCommand::Use { id } => {
            let opened = open(database).await?;
            use_key(&opened.db, &file, &id, Duration::ZERO).await?;
            opened.db.close().await;
        }
        KeysCommand::Reseal => return reseal(database).await,
        KeysCommand::Retire(args) => retire(database, &file, &args).await?,
        KeysCommand::Wrap => {
            let id = file.wrap()?;
            println!("the keys are wrapped by the master key {id}; copies of the file from before are not");
        }
        KeysCommand::Unwrap => {
            file.unwrap_keys()?;
            println!("the keys stand in clear: whoever reads this file has them");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn open(database: &Database) -> anyhow::Result<Opened> {
    running::open(&database.url, Company::Beside, SchemaPolicy::Refuse).await
}

fn now() -> anyhow::Result<Instant> {
    Ok(Instant::from_micros(Clock::default().process_us())?)
}

/// The running processes.
async fn holders(db: &Db) -> anyhow::Result<Vec<KeyHolder>> {
    let mut tx = db.begin_read().await?;
    let holders = key_holders::seen_since(&mut tx, Clock::default().process_us() - ALIVE_US).await?;
    ensure!(holders.len() < key_holders::SEEN_MAX, "there are too many processes to look at all of them");
    Ok(holders)
}

/// Waits until all running processes are `ready`. Says which are not.
async fn wait_for(db: &Db, wait: Duration, ready: impl Fn(&KeyHolder) -> bool) -> anyhow::Result<Vec<String>> {
    let waiting = Stopwatch::start();
    loop {
        let others = holders(db).await?.into_iter().filter(|holder| !ready(holder));
        let others: Vec<_> = others.map(|holder| holder.place).collect();
        if others.is_empty() || wait <= waiting.elapsed() {
            return Ok(others);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn rotate(database: &Database, file: &KeyFile, of: KeyUse, wait: Duration) -> anyhow::Result<()> {
    let opened = open(database).await?;
    let id = file.introduce(of, now()?)?;
    println!("{id} is introduced");
    use_key(&opened.db, file, &id, wait).await?;
    opened.db.close().await;
    Ok(())
}

async fn must_live(db: &Db, id: &str) -> anyhow::Result<()> {
    let is_retired = sealed::is_retired(&mut db.begin_read().await?, id).await?;
    ensure!(!is_retired, "{id} is retired: nothing can be written under it");
    Ok(())
}

async fn use_key(db: &Db, file: &KeyFile, id: &str, wait: Duration) -> anyhow::Result<()> {
    let entry = file.read()?.entry(id)?;
    must_live(db, id).await?;
    let ignorant = wait_for(db, wait, |holder| holder.known.contains(&entry.id)).await?;
    ensure!(
        ignorant.is_empty(),
        "these processes do not know {id} yet: {}. Give them the secrets file, then run `directpay keys use {id}`",
        ignorant.join("; ")
    );
    // Who retires a key holds the file meanwhile.
    let held = file.hold()?;
    must_live(db, id).await?;
    let former = held.begin_using(id, now()?)?;
    drop(held);
    tell(db, Action::KeyTakenIntoUse, id).await?;
    println!("{id} is in use");
    if former == id {
        return Ok(());
    }
    let late = wait_for(db, wait, |holder| !holder.used.contains(&former)).await?;
    if !late.is_empty() {
        println!("these processes still use {former}, until they are given the file: {}", late.join("; "));
    }
    match entry.of {
        KeyUse::Encryption => println!("next: `directpay keys reseal`, then `directpay keys retire {former}`"),
        KeyUse::Signing => println!("next, when its tokens have expired: `directpay keys retire {former}`"),
        KeyUse::Checkpoint => {
            println!(
                "next: `directpay keys retire {former}`; its public half stays. Tell auditors: `directpay audit key`"
            );
        }
    }
    Ok(())
}

/// Says in the trail what was done with a key.
async fn tell(db: &Db, action: Action, id: &str) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    trail::done(action).by(Actor::Command).with(json!({"key": id})).record(&mut tx).await?;
    Ok(tx.commit().await?)
}

async fn reseal(database: &Database) -> anyhow::Result<ExitCode> {
    let vault = load(&database.secrets, true)?.into_parts().vault;
    let opened = open(database).await?;
    let target = vault.sealing_key().context("there is no key to seal under")?;
    let others = wait_for(&opened.db, SEEN, |holder| holder.used.contains(&target)).await?;
    ensure!(
        others.is_empty(),
        "these processes do not use {target}, and write under other keys: {}. Give them the secrets file, or look whether \
         this one is the newest",
        others.join("; ")
    );
    let bar = verify::bar("records")?;
    bar.set_length(reseal::left(&opened.db, &vault).await?);
    let Resealed { records, unopenable, described, left } =
        reseal::reseal(&opened.db, &vault, |done| bar.set_position(done)).await?;
    bar.finish_and_clear();
    if 0 < records {
        tell(&opened.db, Action::RecordsResealed, &target).await?;
    }
    opened.db.close().await;
    println!("{records} records were sealed anew");
    for record in described {
        println!("cannot be opened: {record}");
    }
    if unopenable == 0 && left == 0 {
        println!("nothing is left under other keys");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{unopenable} cannot be opened, {left} are held by others: run it again");
    Ok(ExitCode::FAILURE)
}

async fn retire(database: &Database, file: &KeyFile, RetireArgs { id, at_once }: &RetireArgs) -> anyhow::Result<()> {
    // Until it is gone nobody begins to use it.
    let held = file.hold()?;
    let entry = file.read()?.entry(id)?;
    ensure!(entry.state != KeyState::InUse, "{id} is in use: `directpay keys rotate {}` first", entry.of);
    ensure!(!at_once || entry.of == KeyUse::Signing, "only signing keys can go at once");
    let opened = open(database).await?;
    let db = &opened.db;
    if !at_once {
        let users = wait_for(db, Duration::ZERO, |holder| !holder.used.contains(id)).await?;
        ensure!(users.is_empty(), "these processes still use {id}: {}. Give them the secrets file", users.join("; "));
    }
    match entry.of {
        KeyUse::Encryption => {
            let is_free = reseal::retire(db, id, now()?.micros()).await?;
            ensure!(is_free, "records stand under {id}: `directpay keys reseal` first");
        }
        KeyUse::Signing => {
            if !at_once
                && let Some(until) = last_token(db, &entry).await?.filter(|until| now().is_ok_and(|now| now < *until))
            {
                bail!("tokens signed by {id} are good until {until}: wait, or end them with --at-once");
            }
            end_everywhere(db, id).await?;
        }
        KeyUse::Checkpoint => {}
    }
    // Last: killed before, the command is run again.
    held.remove(id)?;
    tell(db, Action::KeyRetired, id).await?;
    opened.db.close().await;
    println!("{id} is retired");
    if entry.of == KeyUse::Encryption {
        println!("nothing in this database can be read with it; in backups from before everything still can");
    }
    Ok(())
}

/// Until when tokens of a signing key are good. What this file says counts, and that any process was seen using it: each machine has
/// been given its file at another time.
async fn last_token(db: &Db, entry: &KeyEntry) -> anyhow::Result<Option<Instant>> {
    let seen = key_holders::last_use(&mut db.begin_read().await?, &entry.id).await?;
    let seen = seen.map(Instant::from_micros).transpose()?;
    let by_file = entry.since.filter(|_| entry.state == KeyState::OutOfUse);
    let last = seen.max(by_file);
    Ok(last.map(|last| last.plus_micros((ACCESS_SECONDS + LAST_TOKEN_SECONDS) * SECOND_US)))
}

/// Ends a signing key in all processes, also where the file still has it.
async fn end_everywhere(db: &Db, id: &str) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    sealed::end(&mut tx, id, now()?.micros()).await?;
    tx.commit().await?;
    let has_it =
        |holder: &KeyHolder| [&holder.known, &holder.used].iter().any(|names| names.iter().any(|name| name == id));
    let left = wait_for(db, SEEN, |holder| !has_it(holder)).await?;
    ensure!(
        left.is_empty(),
        "{id} is retired, and these processes may still accept its tokens: {}. End them or give them the secrets file, then \
         run this again",
        left.join("; ")
    );
    Ok(())
}
