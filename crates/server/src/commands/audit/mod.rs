//! `audit`: whether anybody changed what happened, and proofs of it for others.
#![expect(clippy::print_stdout, reason = "what these commands are for")]

mod export;
mod proof;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use directpay_domain::id::PaymentId;
use directpay_domain::trail::Action;
use directpay_store::log_tree::{self, Checkpoint, Due, Grown, Log};
use directpay_store::{Db, Kept, audit_log, trail as store_trail};

use self::export::ExportArgs;
use self::proof::{Proof, Shown};
use super::verify;
use crate::checkpoints::{self, Signer, Verifier};
use crate::clock::Clock;
use crate::config::Database;
use crate::running::{self, Company, SchemaPolicy};
use crate::{secrets, trail, workers};

/// Whether anybody changed what happened.
#[derive(Debug, Clone, Subcommand)]
pub enum AuditCommand {
    /// Prove a payment's history to somebody who has no database
    Prove(ProveArgs),
    /// Check a proof, or, without one, the whole log and the trail of the database
    Check(CheckArgs),
    /// Print the newest signed checkpoint, for an auditor to keep
    Checkpoint(CheckpointArgs),
    /// Print the public keys of checkpoints, the one that signs now first
    Key(KeyArgs),
    /// Write the trail (who did what from where) as lines of JSON
    Export(ExportArgs),
}

/// What is proven, and where to.
#[derive(Debug, Clone, Args)]
pub struct ProveArgs {
    /// The payment's id
    payment: PaymentId,
    /// Write to this file instead of standard output
    #[arg(long)]
    output: Option<PathBuf>,
}

/// What is checked.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// A proof, as `audit prove` writes it; no database is needed for it
    proof: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere; may be repeated. Only with one is a log found out that was cut off together
    /// with its own checkpoints
    #[arg(long, value_name = "FILE", conflicts_with = "proof")]
    checkpoint: Vec<PathBuf>,
    /// A public key of checkpoints, as `audit key` prints it; may be repeated. Without it the secrets file says, or the proof
    #[arg(long)]
    key: Vec<Verifier>,
}

/// Which checkpoint.
#[derive(Debug, Clone, Args)]
pub struct CheckpointArgs {
    /// Make one of all that there is now
    #[arg(long)]
    now: bool,
    /// Of which log
    #[arg(long, value_enum, default_value_t)]
    of: LogName,
}

/// Which keys.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// As they are written for the checkpoints of this log; `audit check` takes either for both
    #[arg(long, value_enum, default_value_t)]
    of: LogName,
}

/// A log on the command line.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum LogName {
    /// All events of payments and leases
    #[default]
    Events,
    /// Who did what from where
    Trail,
}

impl From<LogName> for Log {
    fn from(name: LogName) -> Log {
        match name {
            LogName::Events => Log::Events,
            LogName::Trail => Log::Trail,
        }
    }
}

/// Runs one of the commands.
pub async fn audit(database: &Database, command: &AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Prove(args) => prove(database, args).await?,
        AuditCommand::Check(args) => return check(database, args).await,
        AuditCommand::Checkpoint(args) => checkpoint(database, args).await?,
        AuditCommand::Key(args) => {
            signer(database)?.verifiers().iter().for_each(|key| println!("{}", key.text_for(args.of.into())));
        }
        AuditCommand::Export(args) => export::export(database, args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The keys of the secrets file, which is never made for this.
fn signer(database: &Database) -> anyhow::Result<Signer> {
    Signer::new(&secrets::load(&database.secrets, true)?.into_parts().checkpoints)
}

async fn prove(database: &Database, args: &ProveArgs) -> anyhow::Result<()> {
    let signer = signer(database)?;
    let opened = running::open(&database.url, Company::Beside, SchemaPolicy::Refuse).await?;
    let mut tx = opened.db.begin_read().await?;
    let newest = log_tree::newest(&mut tx, Log::Events)
        .await?
        .context("there is no checkpoint yet: `directpay audit checkpoint --now`")?;
    let events = log_tree::prove(&mut tx, args.payment, newest.size).await?;
    drop(tx);
    if events.is_empty() {
        bail!("there is no payment {}", args.payment);
    }
    let key = signer.verifiers().iter().find(|key| checkpoints::open(&newest.note, std::slice::from_ref(*key)).is_ok());
    let key = key.context("no key of the secrets file has signed the newest checkpoint")?;
    let proof = Proof::new(args.payment, events, newest.note, key);
    // Nobody is given what does not hold.
    let shown = proof.check(signer.verifiers())?;
    trail::command(&opened.db, Action::PaymentProven, Some(args.payment.into())).await?;
    match &args.output {
        None => print!("{}", proof.to_text()?),
        Some(file) => {
            fs::write(file, proof.to_text()?).with_context(|| format!("cannot write {}", file.display()))?;
            tell(&shown);
        }
    }
    opened.db.close().await;
    Ok(())
}

fn tell(shown: &Shown) {
    let Shown { payment_id, proven, newer, statement } = shown;
    println!(
        "payment {payment_id}: its first {proven} events are in the log of {} events that was signed at {}",
        statement.size, statement.made_at
    );
    if 0 < *newer {
        println!("{newer} more follow on them, and are under no signature yet");
    }
}

async fn check(database: &Database, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    match &args.proof {
        Some(file) => check_proof(file, &args.key),
        None => check_log(database, args).await,
    }
}

fn check_proof(file: &Path, trusted: &[Verifier]) -> anyhow::Result<ExitCode> {
    let proof = Proof::parse(&read(file)?)?;
    match proof.check(trusted) {
        Ok(shown) => {
            tell(&shown);
            if trusted.is_empty() {
                println!("by the key that came with it; see that it is the right one: {}", proof.key());
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            println!("this proves nothing: {error:#}");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

async fn check_log(database: &Database, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let keys = if args.key.is_empty() { signer(database)?.verifiers().to_vec() } else { args.key.clone() };
    let kept = args.checkpoint.iter().map(|file| kept(file, &keys)).collect::<anyhow::Result<Vec<_>>>()?;
    let opened = running::open(&database.url, Company::Beside, SchemaPolicy::Refuse).await?;
    let bar = verify::bar("events")?;
    let audit = audit_log(
        &opened.db,
        &kept,
        |log, stored| objection(log, stored, &keys),
        |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        },
    );
    let audit = audit.await?;
    bar.finish_and_clear();
    verify::print(&audit);
    say_how_far(&opened.db).await?;
    opened.db.close().await;
    Ok(if audit.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn kept(file: &Path, keys: &[Verifier]) -> anyhow::Result<Kept> {
    let statement = checkpoints::open(&read(file)?, keys).with_context(|| format!("{}", file.display()))?;
    Ok(Kept {
        log: statement.log,
        name: format!("the checkpoint in {}", file.display()),
        size: statement.size,
        root: statement.root,
    })
}

/// What is wrong with a stored checkpoint itself.
fn objection(log: Log, stored: &Checkpoint, keys: &[Verifier]) -> Option<String> {
    match checkpoints::open(&stored.note, keys) {
        Ok(signed) if signed.log == log && signed.size == stored.size && signed.root == stored.root => None,
        Ok(_) => Some("what was signed is not what stands beside it".into()),
        Err(error) => Some(error.to_string()),
    }
}

async fn say_how_far(db: &Db) -> anyhow::Result<()> {
    let mut tx = db.begin_read().await?;
    for log in Log::ALL {
        let word = workers::log_word(log);
        match log_tree::newest(&mut tx, log).await? {
            Some(newest) => println!(
                "{word}: signed up to position {}; what is newer is held by the chains of hashes alone",
                newest.size
            ),
            None => println!("{word}: nothing is signed yet"),
        }
    }
    let waiting = store_trail::waiting(&mut tx).await?;
    if 0 < waiting {
        println!("trail: entries wait for their positions, which a running server gives them; nothing holds them yet");
    }
    Ok(())
}

async fn checkpoint(database: &Database, args: &CheckpointArgs) -> anyhow::Result<()> {
    let signer = signer(database)?;
    let opened = running::open(&database.url, Company::Beside, SchemaPolicy::Refuse).await?;
    if args.now {
        trail::file_all(&opened.db).await?;
        for log in Log::ALL {
            sign_now(&opened.db, &signer, log).await?;
        }
    }
    let newest = log_tree::newest(&mut opened.db.begin_read().await?, args.of.into()).await?;
    print!("{}", newest.context("there is no checkpoint yet")?.note);
    opened.db.close().await;
    Ok(())
}

async fn sign_now(db: &Db, signer: &Signer, log: Log) -> anyhow::Result<()> {
    loop {
        let due = Due { now_us: Clock::default().process_us(), every_us: 0, every_events: 1 };
        match workers::checkpoint(db, signer, log, due).await? {
            Grown::Partly => {}
            Grown::Not | Grown::To(_) => return Ok(()),
            Grown::Changed(what) => {
                bail!("the {} was changed: {what}; `directpay audit check` says more", workers::log_word(log))
            }
        }
    }
}
