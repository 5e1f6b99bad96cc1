//! What is kept so that only the secrets file opens it: which rows stand under which key, and how they get under another.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::{Sql, sql};
use crate::values::Json;

/// A text under a key of the secrets file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedText {
    /// Nonce and text, in base64.
    pub sealed: String,
    /// Under which key.
    pub key_id: String,
}

/// Where sealed texts stand. An empty one holds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Numbers of bank accounts.
    BankAccounts,
    /// What signs for webhooks.
    Webhooks,
    /// What signed before, and does so for a while.
    WebhooksBefore,
    /// What codes of second factors are made from.
    SecondFactors,
    /// Mail on its way.
    Mail,
}

/// The statements of one column.
struct Statements {
    name: &'static str,
    key_column: (&'static str, &'static str),
    key_ids: &'static str,
    count: &'static str,
    any: &'static str,
    hold: Sql,
    replace: Sql,
}

macro_rules! statements {
    ($table:literal, $id:literal, $sealed:literal, $key_id:literal) => {
        Statements {
            name: concat!($table, ".", $sealed),
            key_column: ($table, $key_id),
            // From key to key along the index, however many rows stand under each.
            key_ids: concat!(
                "WITH RECURSIVE used (key_id) AS (SELECT MIN(", $key_id, ") FROM ", $table, " WHERE ", $sealed, " <> ''",
                " UNION ALL SELECT (SELECT MIN(t.", $key_id, ") FROM ", $table, " t WHERE used.key_id < t.", $key_id,
                " AND t.", $sealed, " <> '') FROM used WHERE used.key_id IS NOT NULL)",
                " SELECT key_id FROM used WHERE key_id IS NOT NULL LIMIT 1000"
            ),
            count: concat!("SELECT COUNT(*) FROM ", $table, " WHERE ", $key_id, " = $1 AND ", $sealed, " <> ''"),
            any: concat!(
                "SELECT EXISTS (SELECT 1 FROM ", $table, " WHERE ", $key_id, " = $1 AND ", $sealed, " <> '')"
            ),
            hold: sql!(
                "SELECT ", $id, " AS id, ", $sealed, " AS sealed FROM ", $table, " WHERE ", $key_id, " = $1 AND ", $sealed,
                " <> '' AND $2 < ", $id, " ORDER BY ", $id, " LIMIT $3", skip_held
            ),
            replace: sql!(
                "UPDATE ", $table, " SET ", $sealed, " = r.sealed, ", $key_id, " = r.key_id FROM",
                rows(id uuid, before text, sealed text, key_id text), " WHERE ", $table, ".", $id, " = r.id AND ", $table,
                ".", $sealed, " = r.before"
            ),
        }
    };
}

const BANK_ACCOUNTS: Statements = statements!("bank_accounts", "id", "sealed_number", "key_id");
const WEBHOOKS: Statements = statements!("webhooks", "id", "sealed_secret", "key_id");
const WEBHOOKS_BEFORE: Statements = statements!("webhooks", "id", "previous_sealed_secret", "previous_key_id");
const SECOND_FACTORS: Statements = statements!("second_factors", "user_id", "sealed_secret", "key_id");
const MAIL: Statements = statements!("outgoing_mail", "id", "sealed_letter", "key_id");

impl Column {
    /// All of them. What signs for a webhook may become what signed before while others are looked at, and not the other way round.
    pub const ALL: [Column; 5] =
        [Column::BankAccounts, Column::Webhooks, Column::WebhooksBefore, Column::SecondFactors, Column::Mail];

    fn statements(self) -> &'static Statements {
        match self {
            Column::BankAccounts => &BANK_ACCOUNTS,
            Column::Webhooks => &WEBHOOKS,
            Column::WebhooksBefore => &WEBHOOKS_BEFORE,
            Column::SecondFactors => &SECOND_FACTORS,
            Column::Mail => &MAIL,
        }
    }

    /// Table and column.
    pub fn name(self) -> &'static str {
        self.statements().name
    }

    /// Table and column that say under which key a text stands.
    pub fn key_column(self) -> (&'static str, &'static str) {
        self.statements().key_column
    }
}

/// A sealed text in its row.
#[derive(Debug, Clone, Deserialize, FromRow)]
pub struct SealedRow {
    /// To what it is bound.
    pub id: Uuid,
    /// Nonce and text, in base64.
    pub sealed: String,
}

/// What takes the place of a sealed text.
#[derive(Debug, Serialize)]
pub struct Replacement {
    /// In this row.
    pub id: Uuid,
    /// What has to stand there still.
    pub before: String,
    /// What shall stand there.
    pub sealed: String,
    /// Under this key.
    pub key_id: String,
}

/// The keys under which something stands in a column.
pub async fn key_ids(tx: &mut Tx, column: Column) -> Result<Vec<String>, StoreError> {
    let rows: Vec<(String,)> = tx.fetch_all(column.statements().key_ids, ()).await?;
    Ok(rows.into_iter().map(|(key_id,)| key_id).collect())
}

/// The keys under which something stands anywhere, each once.
pub async fn all_key_ids(tx: &mut Tx) -> Result<Vec<String>, StoreError> {
    let mut all = Vec::new();
    for column in Column::ALL {
        all.extend(key_ids(tx, column).await?);
    }
    all.sort();
    all.dedup();
    Ok(all)
}

/// How many texts stand under a key, in all columns. Goes through them.
pub async fn count(tx: &mut Tx, key_id: &str) -> Result<i64, StoreError> {
    let mut all = 0;
    for column in Column::ALL {
        let (count,): (i64,) = tx.fetch_one(column.statements().count, (key_id,)).await?;
        all += count;
    }
    Ok(all)
}

/// The next texts behind `after` that stand under a key, held until the transaction ends. Those that somebody else holds are left
/// out: whoever holds a row and wants another never waits for this.
pub async fn hold(
    tx: &mut Tx,
    column: Column,
    key_id: &str,
    after: Uuid,
    limit: i64,
) -> Result<Vec<SealedRow>, StoreError> {
    Ok(tx.fetch_all(column.statements().hold, (key_id, after, limit)).await?)
}

/// Puts others in their places, where nothing else has come meanwhile. Says how many.
pub async fn replace(tx: &mut Tx, column: Column, rows: &[Replacement]) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    Ok(tx.execute(column.statements().replace, (Json(rows),)).await?)
}

/// Ends a key: from the commit on nothing can be written under it, by whatever process. Says whether nothing stands under it; if
/// something does, the transaction is to be dropped.
///
/// Whoever is writing is waited for, and whoever wants to write waits for a moment; if that takes too long it fails with
/// [`StoreError::is_passing`].
pub async fn retire(tx: &mut Tx, key_id: &str, now_us: i64) -> Result<bool, StoreError> {
    tx.hold_sealed_tables().await?;
    for column in Column::ALL {
        let (any,): (bool,) = tx.fetch_one(column.statements().any, (key_id,)).await?;
        if any {
            return Ok(false);
        }
    }
    end(tx, key_id, now_us).await?;
    Ok(true)
}

/// Ends a key under which nothing is sealed: one that signs.
pub async fn end(tx: &mut Tx, key_id: &str, now_us: i64) -> Result<(), StoreError> {
    const END: &str = "INSERT INTO retired_keys (id, retired_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
    tx.execute(END, (key_id, now_us)).await?;
    Ok(())
}

/// Whether a key was ended.
pub async fn is_retired(tx: &mut Tx, key_id: &str) -> Result<bool, StoreError> {
    const FIND: &str = "SELECT EXISTS (SELECT 1 FROM retired_keys WHERE id = $1)";
    let (is_retired,): (bool,) = tx.fetch_one(FIND, (key_id,)).await?;
    Ok(is_retired)
}
