//! Which keys of the secrets file each running process knows, and which it uses. Names only. All times are process time.
//!
//! A key is used only when every process knows it, and destroyed only when none uses it any more.

use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;

/// A process and its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// The process.
    pub process: Uuid,
    /// Where it runs, for people.
    pub place: String,
    /// The names of all keys that it has.
    pub known: Vec<String>,
    /// The names of those that it uses for new things.
    pub used: Vec<String>,
}

#[derive(Deserialize, FromRow)]
struct HolderRow {
    process: Uuid,
    place: String,
    known: String,
    used: String,
}

/// A process says that it is alive at `now_us`, and what it has.
pub async fn report(tx: &mut Tx, holder: &KeyHolder, now_us: i64) -> Result<(), StoreError> {
    let KeyHolder { process, place, known, used } = holder;
    tx.execute(
        "INSERT INTO key_holders (process, place, known, used, seen_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (process) DO UPDATE SET known = excluded.known, used = excluded.used, seen_at = excluded.seen_at",
        (*process, place, known.join(" "), used.join(" "), now_us),
    )
    .await?;
    // In the same order in every process: two that report at once do not wait for each other.
    let mut used = used.clone();
    used.sort();
    for key_id in used {
        tx.execute(
            "INSERT INTO key_uses (id, used_at) VALUES ($1, $2)
             ON CONFLICT (id) DO UPDATE SET used_at = excluded.used_at WHERE key_uses.used_at < excluded.used_at",
            (key_id, now_us),
        )
        .await?;
    }
    Ok(())
}

/// When a process was last seen using a key for new things. Processes that are gone count as well.
pub async fn last_use(tx: &mut Tx, key_id: &str) -> Result<Option<i64>, StoreError> {
    let row: Option<(i64,)> = tx.fetch_optional("SELECT used_at FROM key_uses WHERE id = $1", (key_id,)).await?;
    Ok(row.map(|(used_at,)| used_at))
}

/// So many processes are told apart; who gets as many does not know all of them.
pub const SEEN_MAX: usize = 1000;

/// The processes that were seen since `since_us`, at most [`SEEN_MAX`].
pub async fn seen_since(tx: &mut Tx, since_us: i64) -> Result<Vec<KeyHolder>, StoreError> {
    let rows: Vec<HolderRow> = tx
        .fetch_all(
            "SELECT process, place, known, used FROM key_holders WHERE $1 <= seen_at ORDER BY process LIMIT 1000",
            (since_us,),
        )
        .await?;
    let names = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    let holder = |row: HolderRow| KeyHolder {
        process: row.process,
        place: row.place,
        known: names(&row.known),
        used: names(&row.used),
    };
    Ok(rows.into_iter().map(holder).collect())
}

/// A process ends.
pub async fn leave(tx: &mut Tx, process: Uuid) -> Result<(), StoreError> {
    tx.execute("DELETE FROM key_holders WHERE process = $1", (process,)).await?;
    Ok(())
}

/// Forgets processes that have not been seen since `until_us`.
pub async fn forget(tx: &mut Tx, until_us: i64) -> Result<(), StoreError> {
    tx.execute("DELETE FROM key_holders WHERE seen_at < $1", (until_us,)).await?;
    Ok(())
}

/// Forgets all of them: whoever calls has the database to itself.
pub async fn forget_all(tx: &mut Tx) -> Result<(), StoreError> {
    forget(tx, i64::MAX).await
}
