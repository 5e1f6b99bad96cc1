//! `export journal`: the whole ledger as a plain-text journal that `hledger` reads, so that others can do the sums again.
//!
//! The ledger is read once, history by history, as the database keeps it, and put in the order of time beside it: runs that
//! fit in memory are sorted, those that are full wait in temporary files, and in the end all are merged.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use directpay_domain::id::UserId;
use directpay_domain::money::{Currency, format_minor};
use directpay_domain::time::Instant;
use directpay_domain::trail::{Action, Subject};
use directpay_domain::user::{Email, Role};
use directpay_store::journal::{self, JournalLine, Place};
use directpay_store::{Db, users};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::replace;
use crate::config::Database;
use crate::running::{self, Company, SchemaPolicy};
use crate::trail;

/// Lines that are read together.
const PAGE: i64 = 1_000;
/// Entries that are sorted in memory: some 50 MB.
const RUN_MAX: usize = 100_000;

/// What is exported, and where to.
#[derive(Debug, Clone, Args)]
pub struct JournalArgs {
    /// Only the books of this landlord: an e-mail address or an id
    #[arg(long)]
    landlord: Option<String>,
    /// Write to this file instead of standard output; it is replaced when all is written
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Writes the journal.
pub async fn journal(database: &Database, args: &JournalArgs) -> anyhow::Result<()> {
    let opened = running::open(&database.url, Company::Beside, SchemaPolicy::Refuse).await?;
    let landlord = match &args.landlord {
        None => None,
        Some(text) => Some(find_landlord(&opened.db, text).await?),
    };
    trail::command(&opened.db, Action::JournalExported, landlord.map(Subject::from)).await?;
    match &args.output {
        None => write_journal(&opened.db, landlord, io::stdout()).await?,
        Some(file) => replace(file, async |out| write_journal(&opened.db, landlord, out).await).await?,
    }
    opened.db.close().await;
    Ok(())
}

/// The landlord of an e-mail address or an id.
pub(super) async fn find_landlord(db: &Db, text: &str) -> anyhow::Result<UserId> {
    let mut tx = db.begin_read().await?;
    let found = match Uuid::parse_str(text) {
        Ok(id) => users::find(&mut tx, UserId(id)).await?.filter(|user| user.role == Role::Landlord),
        Err(_) => {
            let email = Email::parse(text).context("--landlord is neither an id nor an e-mail address")?;
            users::find_by_email(&mut tx, Role::Landlord, &email.key()).await?
        }
    };
    Ok(found.context("there is no such landlord")?.id)
}

/// Writes the journal of all landlords or of one, in the order of time.
pub async fn write_journal(db: &Db, landlord: Option<UserId>, out: impl Write) -> anyhow::Result<()> {
    let sorter = read(db, landlord).await?;
    let mut out = BufWriter::new(out);
    writeln!(out, "; DirectPay: every posting of the ledger, in the order of time\ndecimal-mark .")?;
    sorter.merge(|entry| entry.write(&mut out))?;
    out.flush()?;
    Ok(())
}

async fn read(db: &Db, landlord: Option<UserId>) -> anyhow::Result<Sorter> {
    let mut sorter = Sorter::new(RUN_MAX);
    let mut tx = journal::open(db).await?;
    let (mut after, mut unfinished) = (Place::default(), None::<Entry>);
    loop {
        let page = journal::page(&mut tx, landlord, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.place();
        for line in &page {
            let entry = match unfinished.take() {
                Some(entry) if entry.has(line) => entry.with(line)?,
                done => {
                    done.map(|entry| sorter.push(entry)).transpose()?;
                    Entry::new(line).with(line)?
                }
            };
            unfinished = Some(entry);
        }
    }
    unfinished.map(|entry| sorter.push(entry)).transpose()?;
    Ok(sorter)
}

/// The order of time; between entries of one moment, that of their histories.
type Key = (i64, Uuid, i64);

/// A journal entry: what one event moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    occurred_at: Instant,
    stream: String,
    stream_id: Uuid,
    sequence: i64,
    event_type: String,
    postings: Vec<Posting>,
}

/// An account and what it gets; less than nothing where it is credited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Posting {
    account: String,
    minor: i64,
    currency: Currency,
}

impl Entry {
    /// The entry that `line` belongs to, before any line.
    fn new(line: &JournalLine) -> Entry {
        Entry {
            occurred_at: line.occurred_at,
            stream: line.stream.clone(),
            stream_id: line.stream_id,
            sequence: line.sequence,
            event_type: line.event_type.clone(),
            postings: Vec::with_capacity(2),
        }
    }

    fn has(&self, line: &JournalLine) -> bool {
        (self.stream_id, self.sequence) == (line.stream_id, line.sequence)
    }

    fn with(mut self, line: &JournalLine) -> anyhow::Result<Entry> {
        let currency = line.currency;
        self.postings.push(Posting { account: account(&line.debit)?, minor: line.minor, currency });
        self.postings.push(Posting { account: account(&line.credit)?, minor: -line.minor, currency });
        Ok(self)
    }

    fn key(&self) -> Key {
        (self.occurred_at.micros(), self.stream_id, self.sequence)
    }

    fn write(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let Entry { stream, stream_id, sequence, event_type, .. } = self;
        let date = self.occurred_at.timestamp().to_zoned(TimeZone::UTC).date();
        writeln!(out, "\n{date} {event_type}  ; stream:{stream}, stream_id:{stream_id}, sequence:{sequence}")?;
        for Posting { account, minor, currency } in &self.postings {
            writeln!(out, "    {account}  {currency} {}", format_minor(*minor, *currency))?;
        }
        Ok(())
    }
}

/// The account's name in a journal, where the first part says what kind of account it is.
fn account(stored: &str) -> anyhow::Result<String> {
    let (kind, whose) = stored.split_once(':').context("a stored account has no kind")?;
    let group = match kind {
        "cash" => "assets:cash",
        "receivable" => "assets:receivable",
        "clearing" => "assets:clearing",
        "income" => "income:rent",
        "deposit" => "liabilities:deposit",
        "concession" => "expenses:concession",
        "bad_debt" => "expenses:bad-debt",
        _ => bail!("a stored account is of a kind that no journal knows"),
    };
    Ok(format!("{group}:{whose}"))
}

/// Sorts more entries than fit in memory.
struct Sorter {
    run_max: usize,
    /// In no order yet.
    run: Vec<Entry>,
    /// Full runs, each sorted, an entry a line, in files that have no name and are gone with the process.
    full: Vec<File>,
}

impl Sorter {
    fn new(run_max: usize) -> Sorter {
        Sorter { run_max, run: Vec::new(), full: Vec::new() }
    }

    fn push(&mut self, entry: Entry) -> anyhow::Result<()> {
        if self.run_max <= self.run.len() {
            let file = spill(&mut self.run).context("cannot write a temporary file")?;
            self.full.push(file);
        }
        self.run.push(entry);
        Ok(())
    }

    /// Gives every entry to `each`, in order.
    fn merge(mut self, mut each: impl FnMut(Entry) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.run.sort_unstable_by_key(Entry::key);
        let mut runs: Vec<Box<dyn Iterator<Item = anyhow::Result<Entry>>>> =
            vec![Box::new(self.run.into_iter().map(Ok))];
        for file in self.full {
            let lines = BufReader::new(file).lines();
            runs.push(Box::new(lines.map(|line| Ok(serde_json::from_str(&line?)?))));
        }
        // The next entry of each run. No two entries have one key.
        let mut heads = BTreeMap::new();
        for mut run in runs {
            if let Some(entry) = run.next().transpose()? {
                heads.insert(entry.key(), (entry, run));
            }
        }
        while let Some((_, (entry, mut run))) = heads.pop_first() {
            each(entry)?;
            if let Some(next) = run.next().transpose()? {
                heads.insert(next.key(), (next, run));
            }
        }
        Ok(())
    }
}

fn spill(run: &mut Vec<Entry>) -> anyhow::Result<File> {
    run.sort_unstable_by_key(Entry::key);
    let mut file = BufWriter::new(tempfile::tempfile()?);
    for entry in run.drain(..) {
        serde_json::to_writer(&mut file, &entry)?;
        file.write_all(b"\n")?;
    }
    let mut file = file.into_inner()?;
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn line(second: i64, stream: u128, sequence: i64) -> JournalLine {
        JournalLine {
            stream: "LEASE".into(),
            stream_id: Uuid::from_u128(stream),
            sequence,
            line: 1,
            event_type: "charge_posted".into(),
            occurred_at: Instant::from_micros(second * 1_000_000).unwrap(),
            currency: Currency::USD,
            debit: "receivable:x".into(),
            credit: "income:x".into(),
            minor: 150_005,
        }
    }

    #[rstest]
    #[case("cash:1", "assets:cash:1")]
    #[case("receivable:1", "assets:receivable:1")]
    #[case("clearing:STANDARD_ACH", "assets:clearing:STANDARD_ACH")]
    #[case("income:1", "income:rent:1")]
    #[case("deposit:1", "liabilities:deposit:1")]
    #[case("concession:1", "expenses:concession:1")]
    #[case("bad_debt:1", "expenses:bad-debt:1")]
    fn an_account_has_its_place_in_the_tree(#[case] stored: &str, #[case] expected: &str) {
        assert_eq!(account(stored).unwrap(), expected);
    }

    #[test]
    fn an_unknown_account_is_an_error_and_no_guess() {
        assert!(account("suspense:1").is_err() && account("cash").is_err());
    }

    #[rstest]
    #[case(1)]
    #[case(2)]
    #[case(7)]
    #[case(1_000)]
    fn runs_that_are_full_are_merged_in_the_order_of_time(#[case] run_max: usize) {
        let mut sorter = Sorter::new(run_max);
        let mut expected = Vec::new();
        for number in 0..50_u128 {
            let line = line(i64::try_from(number * 37 % 23).unwrap(), number % 5, i64::try_from(number).unwrap());
            let entry = Entry::new(&line).with(&line).unwrap();
            sorter.push(entry.clone()).unwrap();
            expected.push(entry);
        }
        expected.sort_unstable_by_key(Entry::key);

        let mut merged = Vec::new();
        let gather = |entry| {
            merged.push(entry);
            Ok(())
        };
        sorter.merge(gather).unwrap();

        assert_eq!(merged, expected);
    }

    #[test]
    fn an_entry_is_a_transaction() {
        let line = line(0, 7, 3);
        let mut text = Vec::new();

        Entry::new(&line).with(&line).unwrap().write(&mut text).unwrap();

        let expected = "\n1970-01-01 charge_posted  ; stream:LEASE, \
                        stream_id:00000000-0000-0000-0000-000000000007, sequence:3\n    \
                        assets:receivable:x  USD 1500.05\n    income:rent:x  USD -1500.05\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
