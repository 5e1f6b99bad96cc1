//! The door through which leases change: facts, the charges and postings that follow from them, and what is paid for by that.
//!
//! Whoever opens it holds the accounts of those leases until the transaction ends.

use directpay_domain::calendar;
use directpay_domain::charge::CreditKind;
use directpay_domain::deposit::{DepositRefund, DepositRelease};
use directpay_domain::digest::Digest;
use directpay_domain::id::{ChargeId, LeaseId, PaymentId};
use directpay_domain::lease_event::{LeaseChange, LeaseEvent, PostedCharge};
use directpay_domain::money::Amount;
use directpay_domain::payment::{NewEvent, Reason};
use directpay_domain::time::Instant;
use jiff::civil::Date;
use serde::Serialize;
use uuid::Uuid;

use crate::charges::{self, Charge, Gain, Moment};
use crate::db::Tx;
use crate::deposits::{self, ReturnRow};
use crate::error::StoreError;
use crate::events::{self, EventRow};
use crate::hashes::Hash;
use crate::lease_books::{Cause, LeaseBooks};
use crate::ledger::{self, Line};
use crate::sql::{Sql, sql};

/// What a landlord lets renters off.
#[derive(Debug, Clone, Copy)]
pub struct NewCredit {
    /// A fresh id.
    pub id: Uuid,
    /// Why.
    pub kind: CreditKind,
    /// How much.
    pub amount: Amount,
    /// For which charge before all others.
    pub charge_id: Option<ChargeId>,
}

/// Deposits that are given up.
#[derive(Debug)]
pub struct NewRelease<'a> {
    /// A fresh id.
    pub id: Uuid,
    /// What is held.
    pub held: Amount,
    /// The deposits of which something was never paid: it is owed no more.
    pub unpaid: &'a [Charge],
    /// The charges that the landlord deducts.
    pub deductions: Vec<ChargeId>,
    /// The payment that brings back what is left.
    pub payment_id: PaymentId,
    /// The last day on which it is in time.
    pub return_by: Date,
}

/// What some leases owe, as it is and as it is going to be.
#[derive(Debug, Default)]
pub struct LeaseLedger {
    books: LeaseBooks,
    events: Vec<LeaseEvent>,
    lines: Vec<Line>,
    made: Vec<Charge>,
    posted: Vec<Moment>,
    voided: Vec<Moment>,
    corrected: Vec<Gain>,
    released: Vec<ReturnRow>,
}

impl LeaseLedger {
    /// Opens the ledger of leases, in the order of their ids.
    pub async fn open(tx: &mut Tx, leases: impl IntoIterator<Item = LeaseId>) -> Result<LeaseLedger, StoreError> {
        let books = LeaseBooks::hold(tx, leases.into_iter(), true).await?;
        Ok(LeaseLedger { books, ..LeaseLedger::default() })
    }

    /// Posts a charge that stands in the schedule.
    pub fn post(&mut self, charge: &Charge, new: NewEvent) -> Result<(), StoreError> {
        self.posted.push(Moment { id: charge.id.0, at: new.occurred_at.micros() });
        self.note_posted(charge, new)
    }

    /// Posts a charge that stands in no schedule.
    pub fn make(&mut self, charge: Charge, new: NewEvent) -> Result<(), StoreError> {
        let charge = Charge { posted_at: Some(new.occurred_at), ..charge };
        self.note_posted(&charge, new)?;
        self.made.push(charge);
        Ok(())
    }

    /// Adds a charge that a landlord makes by hand. It is posted when it falls due.
    pub fn add(&mut self, charge: Charge, new: NewEvent) -> Result<(), StoreError> {
        self.note(charge.lease_id, LeaseChange::ChargeAdded(as_posted(&charge)), None, new)?;
        self.made.push(charge);
        Ok(())
    }

    fn note_posted(&mut self, charge: &Charge, new: NewEvent) -> Result<(), StoreError> {
        let cause = self.note(charge.lease_id, LeaseChange::ChargePosted(as_posted(charge)), None, new)?;
        self.books.change(charge.lease_id, cause, |books| books.charge(charge.place(), charge.amount.minor()))
    }

    /// Takes back a charge; what paid for it pays for others.
    pub async fn void(
        &mut self,
        tx: &mut Tx,
        charge: &Charge,
        reason: Reason,
        new: NewEvent,
    ) -> Result<(), StoreError> {
        self.voided.push(Moment { id: charge.id.0, at: new.occurred_at.micros() });
        let (charge_id, kind, amount) = (charge.id, charge.kind, charge.amount);
        let was_posted = charge.posted_at.is_some();
        let change = LeaseChange::ChargeVoided { was_posted, charge_id, kind, amount };
        let cause = self.note(charge.lease_id, change, Some(reason), new)?;
        let paid = self.books.paid_for(tx, charge.id).await?;
        self.books.change(charge.lease_id, cause, |books| books.void(charge.place(), &paid))
    }

    /// Lets the renters of a lease off some money.
    pub fn grant(
        &mut self,
        lease: LeaseId,
        credit: NewCredit,
        reason: Reason,
        new: NewEvent,
    ) -> Result<(), StoreError> {
        let NewCredit { id, kind, amount, charge_id } = credit;
        if let (CreditKind::Correction, Some(charge_id)) = (kind, charge_id) {
            self.corrected.push(Gain { id: charge_id.0, minor: amount.minor() });
        }
        let change = LeaseChange::CreditGranted { credit_id: id, kind, amount, charge_id };
        let cause = self.note(lease, change, Some(reason), new)?;
        self.books.change(lease, cause, |books| match kind {
            // It was never owed: the renters' own money.
            CreditKind::Correction => books.receive(id, amount.minor(), charge_id),
            CreditKind::Concession | CreditKind::Waiver | CreditKind::WriteOff => {
                books.forgo(id, amount.minor(), charge_id)
            }
        })
    }

    /// Gives deposits up: what was never paid of them is not owed any more, what is held pays for the deductions first and then
    /// for whatever else is open. Says what is left to be sent back; until that is on its way it is credit.
    pub fn release(
        &mut self,
        lease: LeaseId,
        release: NewRelease<'_>,
        new: NewEvent,
    ) -> Result<Option<DepositRefund>, StoreError> {
        let NewRelease { id, held, unpaid, deductions, payment_id, return_by } = release;
        let minor = held.minor() + unpaid.iter().map(Charge::open_minor).sum::<i64>();
        let amount = Amount::from_minor(minor, held.currency()).map_err(StoreError::damaged("deposit"))?;
        let first: Vec<_> = unpaid.iter().map(|charge| charge.id).chain(deductions.iter().copied()).collect();
        let mut after = self.books.shelf(lease)?.books.clone();
        after.receive(id, minor, first.iter().copied());
        let left = Amount::from_minor(after.credit_of(id), held.currency()).ok();
        let refund = left.map(|amount| DepositRefund { payment_id, amount });
        let release = DepositRelease { return_id: id, amount, held, deductions, refund, return_by };
        let cause = self.note(lease, LeaseChange::DepositReleased(release), None, new)?;
        self.released.push(ReturnRow { id, lease_id: lease.0, sequence: cause.sequence });
        self.books.change(lease, cause, |books| books.receive(id, minor, first))?;
        Ok(refund)
    }

    /// What is open of a lease and can be let off, in minor units: all but deposits.
    pub fn forgivable_minor(&mut self, lease: LeaseId) -> Result<i64, StoreError> {
        let open = self.books.shelf(lease)?.books.open();
        Ok(open.filter(|open| !open.place.is_deposit()).map(|open| open.minor).sum())
    }

    /// Adds a fact to a lease's history.
    pub fn record(
        &mut self,
        lease: LeaseId,
        change: LeaseChange,
        reason: Option<Reason>,
        new: NewEvent,
    ) -> Result<(), StoreError> {
        self.note(lease, change, reason, new).map(|_| ())
    }

    fn note(
        &mut self,
        lease: LeaseId,
        change: LeaseChange,
        reason: Option<Reason>,
        new: NewEvent,
    ) -> Result<Cause, StoreError> {
        let sequence = self.books.next_version(lease)?;
        let landlord = self.books.shelf(lease)?.landlord_id;
        let entry: Vec<_> = change.posting(lease).into_iter().collect();
        self.lines.extend(Line::entry(lease.0, sequence, landlord, &entry));
        self.events.push(LeaseEvent::new(lease, sequence, change, reason, new));
        Ok(Cause { stream_id: lease.0, sequence })
    }

    /// Writes it all.
    pub async fn write(mut self, tx: &mut Tx) -> Result<(), StoreError> {
        if !self.made.is_empty() {
            charges::insert(tx, &self.made).await?;
        }
        if self.events.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::with_capacity(self.events.len());
        for event in &self.events {
            rows.push(EventRow::of_lease(event, &mut self.books.shelf(event.lease_id)?.head)?);
        }
        events::append(tx, &rows).await?;
        deposits::insert(tx, &self.released).await?;
        ledger::post(tx, &self.lines).await?;
        charges::mark_posted(tx, &self.posted).await?;
        self.books.write(tx).await?;
        charges::correct(tx, &self.corrected).await?;
        charges::mark_voided(tx, &self.voided).await?;
        self.books.write_versions(tx).await
    }
}

fn as_posted(charge: &Charge) -> PostedCharge {
    PostedCharge {
        charge_id: charge.id,
        kind: charge.kind,
        period_start: charge.period_start,
        period_end: charge.period_end,
        due_date: charge.due_date,
        amount: charge.amount,
        description: charge.description.clone(),
    }
}

/// How far the daily pass of a lease has gone.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    /// The last day, where the property lies.
    pub on: Date,
    /// When the day after it begins there.
    pub next_at: Instant,
}

/// Opens the account of a new lease.
pub(crate) async fn insert_account(tx: &mut Tx, lease: LeaseId, passed: Passed) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO lease_accounts (lease_id, version, head, passed_on, next_pass_at) VALUES ($1, 0, $2, $3, $4)",
        (lease.0, Hash::of(Digest::ZERO), calendar::date_to_number(passed.on), passed.next_at.micros()),
    )
    .await?;
    Ok(())
}

/// A lease whose daily pass is due.
#[derive(Debug, Clone)]
pub struct DuePass {
    /// Which lease.
    pub lease_id: LeaseId,
    /// The zone of its dates.
    pub time_zone: String,
    /// The last day through which the pass has gone.
    pub passed_on: Date,
}

/// Whether the daily pass of any lease is due.
pub async fn is_pass_due(tx: &mut Tx, now: Instant) -> Result<bool, StoreError> {
    Ok(pass_due_since(tx, now).await?.is_some())
}

/// Since when the longest due daily pass of a lease is due, if any is.
pub async fn pass_due_since(tx: &mut Tx, now: Instant) -> Result<Option<Instant>, StoreError> {
    const LONGEST: &str =
        "SELECT next_pass_at FROM lease_accounts WHERE next_pass_at <= $1 ORDER BY next_pass_at LIMIT 1";
    let due: Option<(i64,)> = tx.fetch_optional(LONGEST, (now.micros(),)).await?;
    due.map(|(at,)| Instant::from_micros(at)).transpose().map_err(StoreError::damaged("daily pass"))
}

/// Up to `limit` leases whose daily pass is due, or `only` this one if it is, held until the transaction ends so that no other
/// process works on them.
pub async fn claim_due_passes(
    tx: &mut Tx,
    now: Instant,
    only: Option<LeaseId>,
    limit: i64,
) -> Result<Vec<DuePass>, StoreError> {
    const CLAIM: Sql = sql!(
        "SELECT a.lease_id, a.passed_on, (SELECT p.time_zone FROM leases l JOIN properties p ON p.id = l.property_id
                                          WHERE l.id = a.lease_id)
         FROM lease_accounts a WHERE a.next_pass_at <= $1 AND (CAST($3 AS UUID) IS NULL OR a.lease_id = $3)
         ORDER BY a.next_pass_at, a.lease_id LIMIT $2",
        skip_locked_of(a)
    );
    let rows: Vec<(Uuid, i64, String)> = tx.fetch_all(CLAIM, (now.micros(), limit, only.map(|id| id.0))).await?;
    rows.into_iter()
        .map(|(lease, passed_on, time_zone)| {
            let passed_on = calendar::date_from_number(passed_on).map_err(StoreError::damaged("date"))?;
            Ok(DuePass { lease_id: LeaseId(lease), time_zone, passed_on })
        })
        .collect()
}

/// Leaves a lease alone until `until`.
pub async fn put_off_pass(tx: &mut Tx, lease: LeaseId, until: Instant) -> Result<(), StoreError> {
    tx.execute("UPDATE lease_accounts SET next_pass_at = $2 WHERE lease_id = $1", (lease.0, until.micros())).await?;
    Ok(())
}

/// Notes how far the daily pass of leases has gone.
pub async fn mark_passed(tx: &mut Tx, passed: &[(LeaseId, Passed)]) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row {
        lease_id: Uuid,
        passed_on: i64,
        next_pass_at: i64,
    }
    const UPDATE: Sql = sql!(update(lease_accounts by lease_id uuid: passed_on bigint, next_pass_at bigint));
    let rows = passed.iter().map(|(lease, passed)| Row {
        lease_id: lease.0,
        passed_on: calendar::date_to_number(passed.on),
        next_pass_at: passed.next_at.micros(),
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        tx.execute_each(UPDATE, &rows, ()).await?;
    }
    Ok(())
}
