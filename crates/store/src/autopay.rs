//! Mandates for autopay and their draws.
//!
//! Whoever works on a mandate takes hold of its row first, then of payments, then of the lease's account.

use directpay_domain::autopay::{Announced, DrawStatus, MandateStatus, MandateTerms, Notice, NoticeKind};
use directpay_domain::calendar;
use directpay_domain::id::{BankAccountId, LeaseId, PaymentId, UserId};
use directpay_domain::money::{Amount, Currency};
use directpay_domain::payment::Reason;
use directpay_domain::rail::Rail;
use directpay_domain::time::Instant;
use jiff::civil::Date;
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::StoreError;
use crate::sql::{Sql, sql};

/// A renter's mandate to draw what is owed on a lease.
#[derive(Debug, Clone)]
pub struct Mandate {
    /// Which one.
    pub id: Uuid,
    /// On which lease.
    pub lease_id: LeaseId,
    /// Who pays.
    pub renter_id: UserId,
    /// From which account.
    pub account_id: BankAccountId,
    /// What was agreed.
    pub terms: MandateTerms,
    /// When it was signed.
    pub signed_at: Instant,
    /// On which day, where the property lies.
    pub signed_on: Date,
    /// The copy that the renter got.
    pub document: String,
    /// How it stands.
    pub status: MandateStatus,
}

#[derive(Deserialize, FromRow)]
struct MandateRow {
    id: Uuid,
    lease_id: Uuid,
    renter_id: Uuid,
    account_id: Uuid,
    rail: String,
    cap: i64,
    currency: String,
    lead_days: i64,
    notice: String,
    usual_min: Option<i64>,
    usual_max: Option<i64>,
    signed_on: i64,
    signed_at: i64,
    document: String,
    status: String,
}

impl MandateRow {
    fn into_mandate(self) -> Result<Mandate, StoreError> {
        let currency = Currency::parse(&self.currency).map_err(StoreError::damaged("currency"))?;
        let amount = |minor| Amount::from_minor(minor, currency).map_err(StoreError::damaged("amount"));
        let notice = match NoticeKind::parse(&self.notice).map_err(StoreError::damaged("notice"))? {
            NoticeKind::AnyChange => Notice::AnyChange,
            NoticeKind::OutsideRange => Notice::OutsideRange {
                min: self.usual_min.unwrap_or(0),
                max: amount(self.usual_max.unwrap_or(self.cap))?,
            },
        };
        Ok(Mandate {
            id: self.id,
            lease_id: LeaseId(self.lease_id),
            renter_id: UserId(self.renter_id),
            account_id: BankAccountId(self.account_id),
            terms: MandateTerms {
                rail: Rail::parse(&self.rail).map_err(StoreError::damaged("rail"))?,
                cap: amount(self.cap)?,
                lead_days: self.lead_days,
                notice,
            },
            signed_at: Instant::from_micros(self.signed_at).map_err(StoreError::damaged("time"))?,
            signed_on: calendar::date_from_number(self.signed_on).map_err(StoreError::damaged("date"))?,
            document: self.document,
            status: MandateStatus::parse(&self.status).map_err(StoreError::damaged("mandate status"))?,
        })
    }
}

/// Adds a mandate, whose draws are looked after at once. Breaks `mandates_one_each` if the renter has one on this lease.
pub async fn insert(tx: &mut Tx, mandate: &Mandate) -> Result<(), StoreError> {
    let terms = mandate.terms;
    let (usual_min, usual_max) = match terms.notice {
        Notice::OutsideRange { min, max } => (Some(min), Some(max.minor())),
        Notice::AnyChange => (None, None),
    };
    tx.execute(
        "INSERT INTO mandates (id, lease_id, renter_id, account_id, rail, cap, currency, lead_days, notice, usual_min,
                               usual_max, signed_on, signed_at, document, status, next_look_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $13)",
        (
            mandate.id,
            mandate.lease_id.0,
            mandate.renter_id.0,
            mandate.account_id.0,
            terms.rail.name(),
            terms.cap.minor(),
            terms.cap.currency().code(),
            terms.lead_days,
            terms.notice.kind().name(),
            usual_min,
            usual_max,
            calendar::date_to_number(mandate.signed_on),
            mandate.signed_at.micros(),
            mandate.document.as_str(),
            mandate.status.name(),
        ),
    )
    .await?;
    Ok(())
}

/// The mandates of a lease, newest first.
pub async fn list(tx: &mut Tx, lease: LeaseId) -> Result<Vec<Mandate>, StoreError> {
    let rows: Vec<MandateRow> =
        tx.fetch_all("SELECT * FROM mandates WHERE lease_id = $1 ORDER BY id DESC", (lease.0,)).await?;
    rows.into_iter().map(MandateRow::into_mandate).collect()
}

/// A mandate of this lease, held until the transaction ends.
pub async fn find_for_update(tx: &mut Tx, lease: LeaseId, id: Uuid) -> Result<Option<Mandate>, StoreError> {
    const FIND: Sql = sql!("SELECT * FROM mandates WHERE id = $1 AND lease_id = $2", for_update);
    let row: Option<MandateRow> = tx.fetch_optional(FIND, (id, lease.0)).await?;
    row.map(MandateRow::into_mandate).transpose()
}

/// Writes how a mandate stands.
pub async fn set_status(tx: &mut Tx, id: Uuid, status: MandateStatus) -> Result<(), StoreError> {
    tx.execute("UPDATE mandates SET status = $2 WHERE id = $1", (id, status.name())).await?;
    Ok(())
}

/// Whether the draws of any mandate are to be looked after.
pub async fn is_look_due(tx: &mut Tx, now: Instant) -> Result<bool, StoreError> {
    let due: Option<(i64,)> = tx
        .fetch_optional("SELECT next_look_at FROM mandates WHERE next_look_at <= $1 LIMIT 1", (now.micros(),))
        .await?;
    Ok(due.is_some())
}

/// A mandate whose draws are to be looked after, held until the transaction ends so that no other process does. Those whose
/// lease's day has not begun by the daily pass have to wait for it.
pub async fn claim_look(tx: &mut Tx, now: Instant) -> Result<Option<Uuid>, StoreError> {
    const CLAIM: Sql = sql!(
        "SELECT m.id FROM mandates m JOIN lease_accounts a ON a.lease_id = m.lease_id
         WHERE m.next_look_at <= $1 AND $1 < a.next_pass_at
         ORDER BY m.next_look_at, m.id LIMIT 1",
        skip_locked_of(m)
    );
    let row: Option<(Uuid,)> = tx.fetch_optional(CLAIM, (now.micros(),)).await?;
    Ok(row.map(|(id,)| id))
}

/// A mandate as it is.
pub async fn find(tx: &mut Tx, id: Uuid) -> Result<Mandate, StoreError> {
    let row: MandateRow = tx.fetch_one("SELECT * FROM mandates WHERE id = $1", (id,)).await?;
    row.into_mandate()
}

/// Leaves the draws of a mandate alone until `until`, or for good.
pub async fn look_again_at(tx: &mut Tx, id: Uuid, until: Option<Instant>) -> Result<(), StoreError> {
    let until = until.map(Instant::micros);
    tx.execute("UPDATE mandates SET next_look_at = $2 WHERE id = $1", (id, until)).await?;
    Ok(())
}

/// A draw.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// The charge date.
    pub due_date: Date,
    /// What became of it.
    pub status: DrawStatus,
    /// What the renter was told last.
    pub announced: Option<Announced>,
    /// The payment that was made.
    pub payment_id: Option<PaymentId>,
    /// How much that was, in minor units.
    pub drawn_minor: Option<i64>,
    /// Why there is none, or none that stands.
    pub reason: Option<Reason>,
}

impl Draw {
    /// The draw for `due_date`, of which nothing is known yet.
    pub fn announced(due_date: Date) -> Draw {
        Draw {
            due_date,
            status: DrawStatus::Announced,
            announced: None,
            payment_id: None,
            drawn_minor: None,
            reason: None,
        }
    }
}

#[derive(Deserialize, FromRow)]
struct DrawRow {
    due_date: i64,
    status: String,
    announced_amount: Option<i64>,
    announced_on: Option<i64>,
    payment_id: Option<Uuid>,
    drawn: Option<i64>,
    reason_code: Option<String>,
    reason_text: Option<String>,
}

impl DrawRow {
    fn into_draw(self) -> Result<Draw, StoreError> {
        let date = |number| calendar::date_from_number(number).map_err(StoreError::damaged("date"));
        let announced_on = self.announced_on.map(date).transpose()?;
        Ok(Draw {
            due_date: date(self.due_date)?,
            status: DrawStatus::parse(&self.status).map_err(StoreError::damaged("draw status"))?,
            announced: self.announced_amount.zip(announced_on).map(|(minor, on)| Announced { minor, on }),
            payment_id: self.payment_id.map(PaymentId),
            drawn_minor: self.drawn,
            reason: self.reason_code.zip(self.reason_text).map(|(code, text)| Reason::new(code, text)),
        })
    }
}

/// The last draws of a mandate, up to `limit` of them, newest first.
pub async fn draws(tx: &mut Tx, mandate: Uuid, limit: i64) -> Result<Vec<Draw>, StoreError> {
    let rows: Vec<DrawRow> = tx
        .fetch_all(
            "SELECT d.due_date, d.status, d.announced_amount, d.announced_on, d.payment_id, p.amount AS drawn,
                    d.reason_code, d.reason_text
             FROM draws d LEFT JOIN payments p ON p.id = d.payment_id
             WHERE d.mandate_id = $1 ORDER BY d.due_date DESC LIMIT $2",
            (mandate, limit),
        )
        .await?;
    rows.into_iter().map(DrawRow::into_draw).collect()
}

/// Writes a draw, over what was written of it before.
pub async fn write_draw(tx: &mut Tx, mandate: Uuid, draw: &Draw) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO draws (mandate_id, due_date, status, announced_amount, announced_on, payment_id, reason_code, reason_text)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (mandate_id, due_date) DO UPDATE SET status = excluded.status,
             announced_amount = excluded.announced_amount, announced_on = excluded.announced_on,
             payment_id = excluded.payment_id, reason_code = excluded.reason_code, reason_text = excluded.reason_text",
        (
            mandate,
            calendar::date_to_number(draw.due_date),
            draw.status.name(),
            draw.announced.map(|announced| announced.minor),
            draw.announced.map(|announced| calendar::date_to_number(announced.on)),
            draw.payment_id.map(|id| id.0),
            draw.reason.as_ref().map(|reason| reason.code.as_str()),
            draw.reason.as_ref().map(|reason| reason.text.as_str()),
        ),
    )
    .await?;
    Ok(())
}

/// The days on which rent of a lease falls due, from `since` through `until`, oldest first.
pub async fn charge_dates(tx: &mut Tx, lease: LeaseId, since: Date, until: Date) -> Result<Vec<Date>, StoreError> {
    let rows: Vec<(i64,)> = tx
        .fetch_all(
            "SELECT DISTINCT due_date FROM charges WHERE lease_id = $1 AND kind = 'RENT' AND voided_at IS NULL
             AND $2 <= due_date AND due_date <= $3 ORDER BY due_date",
            (lease.0, calendar::date_to_number(since), calendar::date_to_number(until)),
        )
        .await?;
    rows.into_iter().map(|(day,)| calendar::date_from_number(day).map_err(StoreError::damaged("date"))).collect()
}

/// Takes draws for made again whose payments had failed and were tried once more by hand.
pub async fn mend(tx: &mut Tx, mandate: Uuid) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE draws SET status = 'DRAWN', reason_code = NULL, reason_text = NULL
         WHERE mandate_id = $1 AND status = 'FAILED' AND EXISTS (
             SELECT 1 FROM payments p WHERE p.id = draws.payment_id
             AND p.status IN ('PENDING', 'PROCESSING', 'COMPLETED'))",
        (mandate,),
    )
    .await?;
    Ok(())
}

/// The draws of a mandate whose payments have failed, came back or were cancelled since they were looked at, with the reasons.
pub async fn newly_failed(tx: &mut Tx, mandate: Uuid) -> Result<Vec<Draw>, StoreError> {
    let rows: Vec<DrawRow> = tx
        .fetch_all(
            "SELECT d.due_date, d.status, d.announced_amount, d.announced_on, d.payment_id, p.amount AS drawn,
                    COALESCE(p.failure_code, p.status) AS reason_code,
                    COALESCE(p.failure_text, 'The payment was cancelled') AS reason_text
             FROM draws d JOIN payments p ON p.id = d.payment_id
             WHERE d.mandate_id = $1 AND d.status = 'DRAWN' AND p.status IN ('FAILED', 'RETURNED', 'CANCELLED')
             ORDER BY d.due_date",
            (mandate,),
        )
        .await?;
    rows.into_iter().map(DrawRow::into_draw).collect()
}
