//! `audit export`: the trail, line by line, for auditors and for other systems that watch over accounts.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use directpay_domain::time::Instant;
use directpay_domain::trail::Action;
use directpay_store::Db;
use directpay_store::trail::{self as store_trail, Placed};
use serde::Serialize;

use crate::api::trail::EntryView;
use crate::commands::replace;
use crate::config::Database;
use crate::running::{self, Company, SchemaPolicy};
use crate::trail;

/// Entries that are read together.
const PAGE: i64 = 1_000;

/// What is exported, and where to.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Only entries behind this position, to go on where the last export ended
    #[arg(long, default_value_t = 0)]
    after: i64,
    /// Only what was done at this time or later, such as 2026-11-01T00:00:00Z
    #[arg(long)]
    from: Option<Instant>,
    /// Only what was done before this time
    #[arg(long)]
    until: Option<Instant>,
    /// Write to this file instead of standard output; it is replaced when all is written
    #[arg(long)]
    output: Option<PathBuf>,
}

/// An entry with its place and its hash.
#[derive(Serialize)]
struct Line {
    position: i64,
    #[serde(flatten)]
    entry: EntryView,
    hash: Option<String>,
}

/// Writes the trail; that it was taken out stands in it from then on.
pub(super) async fn export(database: &Database, args: &ExportArgs) -> anyhow::Result<()> {
    let opened = running::open(&database.url, Company::Beside, SchemaPolicy::Refuse).await?;
    trail::command(&opened.db, Action::TrailExported, None).await?;
    trail::file_all(&opened.db).await?;
    match &args.output {
        None => write(&opened.db, args, io::stdout()).await?,
        Some(file) => replace(file, async |out| write(&opened.db, args, out).await).await?,
    }
    opened.db.close().await;
    Ok(())
}

async fn write(db: &Db, args: &ExportArgs, out: impl Write) -> anyhow::Result<()> {
    let mut out = BufWriter::new(out);
    let mut after = args.after;
    loop {
        // A moment for each page: nothing is ever written before what was read.
        let page = store_trail::page(&mut db.begin_read().await?, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.position;
        for Placed { position, entry, hash } in page {
            let is_wanted = args.from.is_none_or(|from| from.micros() <= entry.occurred_at)
                && args.until.is_none_or(|until| entry.occurred_at < until.micros());
            if is_wanted {
                let entry = EntryView::whole(entry)?;
                let line = Line { position, entry, hash: hash.map(|hash| hash.to_string()) };
                serde_json::to_writer(&mut out, &line)?;
                out.write_all(b"\n")?;
            }
        }
    }
    out.flush()?;
    Ok(())
}
