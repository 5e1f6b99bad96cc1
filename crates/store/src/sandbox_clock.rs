//! By how much business time is ahead of process time: one number for all processes, which never gets smaller.

use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::{Sql, sql};

/// By how many microseconds business time is ahead.
pub async fn ahead_us(tx: &mut Tx) -> Result<i64, StoreError> {
    let (ahead_us,) = tx.fetch_one("SELECT ahead_us FROM sandbox_clock WHERE id = $1", (1_i64,)).await?;
    Ok(ahead_us)
}

/// The same, held until the transaction ends: nobody else moves the clock meanwhile.
pub async fn hold(tx: &mut Tx) -> Result<i64, StoreError> {
    const HOLD: Sql = sql!("SELECT ahead_us FROM sandbox_clock WHERE id = $1", for_update);
    let (ahead_us,) = tx.fetch_one(HOLD, (1_i64,)).await?;
    Ok(ahead_us)
}

/// Moves business time forward by `by_us`, and says by how much it is ahead now. Two that do so at once are added up.
///
/// A negative `by_us` finds no row and fails: whoever calls has refused it before.
pub async fn advance(tx: &mut Tx, by_us: i64) -> Result<i64, StoreError> {
    const ADVANCE: &str =
        "UPDATE sandbox_clock SET ahead_us = ahead_us + $1 WHERE id = 1 AND 0 <= $1 RETURNING ahead_us";
    let (ahead_us,) = tx.fetch_one(ADVANCE, (by_us,)).await?;
    Ok(ahead_us)
}
