//! The table of the keys.

use anyhow::Context;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Color, Table};
use directpay_domain::time::SECOND_US;
use directpay_store::{Db, sealed};

use super::{LAST_TOKEN_SECONDS, holders, now, open};
use crate::access::tokens::ACCESS_SECONDS;
use crate::config::Database;
use crate::secrets::{KeyEntry, KeyFile, KeyState, KeyUse};

/// Prints every key but never the key itself, and who has another file.
pub(super) async fn list(database: &Database, file: &KeyFile) -> anyhow::Result<()> {
    let read = file.read()?;
    let opened = open(database).await?;
    let entries = read.entries();
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["Key", "For", "State", "Since", "Records"]);
    for entry in &entries {
        let records = match entry.of {
            KeyUse::Encryption => Some(count(&opened.db, &entry.id).await?),
            KeyUse::Signing | KeyUse::Checkpoint => None,
        };
        let since = entry.since.map(|since| since.to_string()).unwrap_or_default();
        table.add_row([
            Cell::new(&entry.id),
            Cell::new(entry.of),
            Cell::new(state(entry, records)?),
            Cell::new(since),
            Cell::new(records.map(|records| records.to_string()).unwrap_or_default())
                .set_alignment(CellAlignment::Right),
        ]);
    }
    let stored = sealed::all_key_ids(&mut opened.db.begin_read().await?).await?;
    for id in stored.iter().filter(|id| !entries.iter().any(|entry| entry.id == **id)) {
        let records = count(&opened.db, id).await?;
        table.add_row([
            Cell::new(id),
            Cell::new(KeyUse::Encryption),
            Cell::new("MISSING: not in the secrets file").fg(Color::Red),
            Cell::new(""),
            Cell::new(records).set_alignment(CellAlignment::Right),
        ]);
    }
    println!("{table}");
    match read.wrapped_by() {
        Some(id) => println!("the keys are wrapped by the master key {id}"),
        None => println!("the keys stand in clear in the file"),
    }
    for holder in holders(&opened.db).await? {
        let names = |wanted: &dyn Fn(&KeyEntry) -> bool| {
            let names = entries.iter().filter(|entry| wanted(entry)).map(|entry| entry.id.as_str());
            names.collect::<Vec<_>>().join(" ")
        };
        let unknown = names(&|entry| !holder.known.contains(&entry.id));
        let unused = names(&|entry| entry.state == KeyState::InUse && !holder.used.contains(&entry.id));
        if !unknown.is_empty() || !unused.is_empty() {
            println!("{} has another file: it does not know [{unknown}], does not use [{unused}]", holder.place);
        }
    }
    opened.db.close().await;
    Ok(())
}

async fn count(db: &Db, id: &str) -> anyhow::Result<i64> {
    sealed::count(&mut db.begin_read().await?, id).await.context("cannot count the records")
}

fn state(entry: &KeyEntry, records: Option<i64>) -> anyhow::Result<String> {
    let last_token = (ACCESS_SECONDS + LAST_TOKEN_SECONDS) * SECOND_US;
    let now = now()?;
    let has_tokens = entry.since.is_some_and(|since| now < since.plus_micros(last_token));
    Ok(match (entry.state, entry.of) {
        (KeyState::Introduced, _) => "introduced, not used yet".into(),
        (KeyState::InUse, _) => "in use".into(),
        (KeyState::PublicOnly, _) => "retired; its public half checks".into(),
        (KeyState::OutOfUse, KeyUse::Encryption) if records != Some(0) => "out of use: reseal".into(),
        (KeyState::OutOfUse, KeyUse::Signing) if has_tokens => "out of use: its tokens live".into(),
        (KeyState::OutOfUse, _) => "out of use: may be retired".into(),
    })
}
