//! Puts whatever is sealed under old keys under the one that seals now.
//!
//! Row by row, some hundred in a transaction, beside running servers. What somebody else holds or changes meanwhile is met again in the
//! next pass. It may be killed at any moment: what is done is done, and the next run goes on with what is left.

use std::time::Duration;

use anyhow::{Context, ensure};
use directpay_store::sealed::{self, Column, Replacement, SealedRow};
use directpay_store::{Db, SealedText, StoreError};
use uuid::Uuid;

use crate::access::second_factor;
use crate::clock::Stopwatch;
use crate::mail;
use crate::secrets::Vault;
use crate::webhooks::signing;

/// Rows in one transaction: few enough that on SQLite nobody waits for long.
const BATCH_MAX: i64 = 200;
/// Between two passes that find only what others hold.
const PAUSE: Duration = Duration::from_millis(200);
/// So many of those in a row are enough.
const IDLE_PASSES_MAX: u32 = 50;
/// And so many in all: something is sealed under an old key again and again.
const PASSES_MAX: u32 = 500;
/// A transaction that failed for a passing reason is tried again as often.
const TRIES_MAX: u32 = 20;

/// So many records that cannot be opened are named.
const DESCRIBED_MAX: usize = 20;

/// What came of it.
#[derive(Debug, Default)]
pub struct Resealed {
    /// Records that stand under the new key now.
    pub records: u64,
    /// How many no key opens.
    pub unopenable: u64,
    /// The first of those.
    pub described: Vec<String>,
    /// How many others held all the time.
    pub left: u64,
}

/// For what the texts of a column are sealed.
fn purpose(column: Column) -> &'static str {
    match column {
        // Bound to their row alone.
        Column::BankAccounts => "",
        Column::Webhooks | Column::WebhooksBefore => signing::PURPOSE,
        Column::SecondFactors => second_factor::PURPOSE,
        Column::Mail => mail::LETTER,
    }
}

/// How many records stand under other keys than the one that seals.
pub async fn left(db: &Db, vault: &Vault) -> Result<u64, StoreError> {
    let current = vault.sealing_key();
    let mut tx = db.begin_read().await?;
    let mut left = 0;
    for key_id in sealed::all_key_ids(&mut tx).await? {
        if Some(&key_id) != current.as_ref() {
            left += u64::try_from(sealed::count(&mut tx, &key_id).await?).unwrap_or(0);
        }
    }
    Ok(left)
}

/// Seals everything under the key that seals now; tells how many records it has done.
pub async fn reseal(db: &Db, vault: &Vault, progress: impl Fn(u64)) -> anyhow::Result<Resealed> {
    let target = vault.sealing_key().context("there is no key to seal under")?;
    let mut pass = Pass { db, vault, target, all: Resealed::default(), progress };
    let mut idle = 0;
    for _ in 0..PASSES_MAX {
        let before = pass.all.records;
        pass.go().await?;
        pass.all.left = left(db, vault).await?.saturating_sub(pass.all.unopenable);
        idle = if before < pass.all.records { 0 } else { idle + 1 };
        if pass.all.left == 0 || IDLE_PASSES_MAX < idle {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(pass.all)
}

struct Pass<'a, P> {
    db: &'a Db,
    vault: &'a Vault,
    /// The key under which everything is put.
    target: String,
    all: Resealed,
    progress: P,
}

impl<P: Fn(u64)> Pass<'_, P> {
    /// Once through all columns.
    async fn go(&mut self) -> anyhow::Result<()> {
        self.all.unopenable = 0;
        self.all.described.clear();
        for column in Column::ALL {
            let mut tx = self.db.begin_read().await?;
            let key_ids = sealed::key_ids(&mut tx, column).await?;
            drop(tx);
            for key_id in key_ids.into_iter().filter(|key_id| *key_id != self.target).collect::<Vec<_>>() {
                let mut after = Some(Uuid::nil());
                while let Some(from) = after {
                    let now = self.vault.sealing_key_of_now()?;
                    ensure!(now.as_ref() == Some(&self.target), "another key is in use by now: run it again");
                    let took = Stopwatch::start();
                    after = self.batch_for_certain(column, &key_id, from).await?;
                    if !self.db.is_shared() {
                        // Who writes to a file beside others gets its turn by chance: half of the time is theirs.
                        tokio::time::sleep(took.elapsed()).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// The same batch again where the database was busy or away for a moment.
    async fn batch_for_certain(&mut self, column: Column, key_id: &str, after: Uuid) -> anyhow::Result<Option<Uuid>> {
        let mut tries = 0;
        loop {
            match self.batch(column, key_id, after).await {
                Err(error) if error.is_passing() && tries < TRIES_MAX => tries += 1,
                done => return Ok(done?),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The next rows behind `after`, in one transaction. Says where to go on, if there may be more.
    async fn batch(&mut self, column: Column, key_id: &str, after: Uuid) -> Result<Option<Uuid>, StoreError> {
        let mut tx = self.db.begin().await?;
        let rows = sealed::hold(&mut tx, column, key_id, after, BATCH_MAX).await?;
        let Some(last) = rows.last().map(|row| row.id) else { return Ok(None) };
        let (mut renewed, mut unopenable) = (Vec::new(), 0);
        for row in rows {
            match self.renewed(column, key_id, row) {
                Ok(replacement) => renewed.push(replacement),
                Err(described) => {
                    unopenable += 1;
                    if self.all.described.len() < DESCRIBED_MAX {
                        self.all.described.push(described);
                    }
                }
            }
        }
        let replaced = sealed::replace(&mut tx, column, &renewed).await?;
        tx.commit().await?;
        self.all.records += replaced;
        self.all.unopenable += unopenable;
        (self.progress)(self.all.records);
        Ok(Some(last))
    }

    fn renewed(&self, column: Column, key_id: &str, row: SealedRow) -> Result<Replacement, String> {
        let SealedRow { id, sealed } = row;
        let text = SealedText { sealed, key_id: key_id.to_owned() };
        match self.vault.renew(purpose(column), id, &text) {
            Ok(SealedText { sealed, key_id }) => Ok(Replacement { id, before: text.sealed, sealed, key_id }),
            Err(error) => Err(format!("{} of {id}: {error}", column.name())),
        }
    }
}

/// Ends an encryption key in the database, unless something stands under it: nothing ever will. Waits for whoever is writing.
pub async fn retire(db: &Db, key_id: &str, now_us: i64) -> Result<bool, StoreError> {
    let mut tries = 0;
    loop {
        let mut tx = db.begin().await?;
        match sealed::retire(&mut tx, key_id, now_us).await {
            Ok(true) => {
                tx.commit().await?;
                return Ok(true);
            }
            Err(error) if error.is_passing() && tries < TRIES_MAX => tries += 1,
            refused => return refused,
        }
        drop(tx);
        // Others are let go on, for longer each time.
        tokio::time::sleep(PAUSE * tries).await;
    }
}
