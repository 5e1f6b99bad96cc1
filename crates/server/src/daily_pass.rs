//! What happens to a lease when a day begins where the property lies: its schedule reaches further, charges fall due, rent
//! that was late yesterday costs a fee.
//!
//! A pass goes from the last day that a pass went through to the present one, in one transaction, and notes that. It may
//! run any number of times, in any number of processes and after days of silence: every charge has a name, by lease, kind,
//! origin and day, and is made once.

use std::collections::HashSet;

use directpay_domain::calendar::{add_months, day_before};
use directpay_domain::charge::{ChargeKind, CreditKind};
use directpay_domain::id::{ChargeId, LeaseId};
use directpay_domain::late_fee::{AssessedFee, Cover, Frequency, Instalment, LateFeeRule};
use directpay_domain::lease::Extra;
use directpay_domain::lease_event::LeaseChange;
use directpay_domain::money::Amount;
use directpay_domain::payment::{NewEvent, Reason};
use directpay_domain::property::{self, ZoneName};
use directpay_domain::schedule::{self, ScheduledCharge};
use directpay_domain::time::{Instant, SECOND_US};
use directpay_store::charges::{self, Charge};
use directpay_store::lateness::{self, Counting};
use directpay_store::lease_ledger::{self, DuePass, LeaseLedger, NewCredit, Passed};
use directpay_store::leases::{self, LateFeeTerms, Lease};
use directpay_store::payments::{self, PendingRent};
use directpay_store::{Db, StoreError, Tx};
use jiff::civil::Date;
use tracing::Instrument;

use crate::api::auth::Caller;
use crate::api::request_id;
use crate::app::App;
use crate::clock::{self, Clock, Stopwatch};
use crate::instruct;
use crate::telemetry::TRACES;

/// Leases in one transaction: on SQLite nobody else writes meanwhile.
const BATCH_MAX: i64 = 100;
const COMPONENT: &str = "daily-pass";
/// A lease that cannot be read is looked at again after this.
const OUR_FAULT_PAUSE_US: i64 = 60 * 60 * SECOND_US;
/// What was initiated before midnight is stored by then, and counts for the day that is over.
const AFTER_MIDNIGHT_US: i64 = 60 * SECOND_US;

/// A day where a property lies.
#[derive(Debug, Clone)]
pub struct LocalDay {
    zone: ZoneName,
    /// The date that its calendar shows.
    pub date: Date,
}

impl LocalDay {
    /// The day that the calendar shows at `now` in the stored zone of a property.
    pub fn at(time_zone: &str, now: Instant) -> Result<LocalDay, StoreError> {
        let zone = ZoneName::parse(time_zone).map_err(|source| StoreError::Damaged { what: "time zone", source })?;
        let date = property::local_date(&zone, now.timestamp());
        Ok(LocalDay { zone, date })
    }

    /// The zone of the calendar.
    pub fn zone(&self) -> &ZoneName {
        &self.zone
    }

    /// The date that the same calendar shows at `moment`.
    pub fn date_of(&self, moment: Instant) -> Date {
        property::local_date(&self.zone, moment.timestamp())
    }

    /// A daily pass has gone through this day.
    pub fn passed(&self) -> Passed {
        let midnight = property::day_begins(&self.zone, self.date.tomorrow().unwrap_or(self.date));
        Passed { on: self.date, next_at: midnight.plus_micros(AFTER_MIDNIGHT_US) }
    }
}

/// What the terms of a lease charge as of `today`, and its extras.
async fn scheduled(tx: &mut Tx, lease: &Lease, today: Date) -> Result<(Vec<ScheduledCharge>, Vec<Extra>), StoreError> {
    let horizon = schedule::horizon(lease.terms.starts_on, today);
    let extras = leases::extras(tx, lease).await?;
    let mut scheduled = schedule::schedule(&lease.terms, horizon);
    scheduled.extend(extras.iter().flat_map(|extra| schedule::schedule_of_extra(&lease.terms, extra, horizon)));
    Ok((scheduled, extras))
}

/// Makes what is not posted of a lease's schedule what its terms say as of `today`.
///
/// Doing it again changes nothing, and a row that is missing comes back.
pub async fn write_schedule(tx: &mut Tx, lease: &Lease, today: Date) -> Result<(), StoreError> {
    let (scheduled, extras) = scheduled(tx, lease, today).await?;
    let describe = |id| extras.iter().find(|extra| extra.id == id).map(|extra| extra.description.clone());
    charges::reconcile(tx, lease.id, &scheduled, describe, || ChargeId(clock::new_id())).await
}

/// Posts what is due of a lease by the end of `through`, oldest first, and says how much that is.
pub async fn post_due(
    tx: &mut Tx,
    ledger: &mut LeaseLedger,
    lease: LeaseId,
    through: Date,
    new: impl Fn() -> NewEvent,
) -> Result<usize, StoreError> {
    let mut due = charges::list_due(tx, lease, through).await?;
    due.sort_by_key(|charge| (charge.due_date, charge.place()));
    for charge in &due {
        ledger.post(charge, new())?;
    }
    Ok(due.len())
}

/// Takes back what was posted of a lease's schedule and is not owed by its present terms, because it ended earlier: a charge
/// that is gone is voided, of one that is smaller the difference is credited.
pub async fn correct_posted(
    tx: &mut Tx,
    ledger: &mut LeaseLedger,
    lease: &Lease,
    today: Date,
    new: impl Fn() -> NewEvent,
) -> Result<(), StoreError> {
    let (scheduled, _) = scheduled(tx, lease, today).await?;
    let reason = || Reason::new("LEASE_ENDED_EARLIER", "The lease ends before the end of what was charged");
    for charge in charges::list(tx, lease.id).await? {
        let is_recurring = matches!(charge.kind, ChargeKind::Rent | ChargeKind::Extra);
        let reaches_beyond = lease.terms.ends_on.is_some_and(|end| end < charge.period_end);
        if !is_recurring || !reaches_beyond || charge.posted_at.is_none() || charge.voided_at.is_some() {
            continue;
        }
        let same = scheduled.iter().find(|scheduled| {
            scheduled.kind == charge.kind
                && scheduled.extra.unwrap_or(lease.id.0) == charge.origin_id
                && scheduled.period_start == charge.period_start
        });
        // What was let off already is not let off again: then a voided charge would leave it as credit.
        let let_off = charges::let_off(tx, charge.id).await?.max(charge.corrected_minor);
        if same.is_none() {
            void_fees(tx, ledger, &charge, &new).await?;
            if let_off == 0 {
                ledger.void(tx, &charge, reason(), new()).await?;
                continue;
            }
        }
        let owed = same.map_or(0, |same| same.amount.minor());
        let too_much = charge.amount.minor() - let_off - owed;
        if let Ok(amount) = Amount::from_minor(too_much, charge.amount.currency()) {
            let credit =
                NewCredit { id: clock::new_id(), kind: CreditKind::Correction, amount, charge_id: Some(charge.id) };
            ledger.grant(lease.id, credit, reason(), new())?;
        }
    }
    Ok(())
}

/// Takes back the late fees of rent that is not owed any more, but for those that were let off.
pub async fn void_fees(
    tx: &mut Tx,
    ledger: &mut LeaseLedger,
    charge: &Charge,
    new: impl Fn() -> NewEvent,
) -> Result<(), StoreError> {
    for fee in lateness::fees_of(tx, charge.lease_id, charge.id).await? {
        if fee.voided_at.is_none() && charges::let_off(tx, fee.id).await? == 0 {
            let reason = Reason::new("RENT_NOT_OWED", "The rent that it is for is not owed");
            ledger.void(tx, &fee, reason, new()).await?;
        }
    }
    Ok(())
}

/// Writes a new lease, its schedule, and what of it is due by `today`.
pub async fn enter(tx: &mut Tx, lease: &Lease, today: &LocalDay, new: impl Fn() -> NewEvent) -> Result<(), StoreError> {
    leases::insert(tx, lease, today.passed()).await?;
    let mut ledger = LeaseLedger::open(tx, [lease.id]).await?;
    write_schedule(tx, lease, today.date).await?;
    let terms = &lease.terms;
    let entered = LeaseChange::Entered { starts_on: terms.starts_on, ends_on: terms.ends_on, rent: terms.rent };
    ledger.record(lease.id, entered, None, new())?;
    for shares in &lease.shares {
        ledger.record(lease.id, LeaseChange::SharesChanged(shares.clone()), None, new())?;
    }
    post_due(tx, &mut ledger, lease.id, today.date, new).await?;
    ledger.write(tx).await
}

/// Writes down that the terms of `lease` have changed, as they are now, and makes its schedule follow.
///
/// The lease's account is held before its charges are touched, as everybody does it.
pub async fn change_terms(
    tx: &mut Tx,
    lease: &Lease,
    today: Date,
    change: LeaseChange,
    new: impl Fn() -> NewEvent,
) -> Result<(), StoreError> {
    let mut ledger = LeaseLedger::open(tx, [lease.id]).await?;
    write_schedule(tx, lease, today).await?;
    ledger.record(lease.id, change, None, new())?;
    post_due(tx, &mut ledger, lease.id, today, new).await?;
    ledger.write(tx).await
}

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Leases for which a day has begun.
    pub leases: usize,
    /// Charges that fell due.
    pub charges: usize,
    /// Late fees.
    pub fees: usize,
    /// Leases that could not be read and are looked at later; the log says why.
    pub put_off: usize,
}

impl Tally {
    /// Counts what another pass did as well.
    pub fn add(&mut self, other: Tally) {
        self.leases += other.leases;
        self.charges += other.charges;
        self.fees += other.fees;
        self.put_off += other.put_off;
    }

    /// Whether there may be more leases where these were.
    fn is_full(self) -> bool {
        i64::try_from(self.leases + self.put_off).is_ok_and(|gone| BATCH_MAX <= gone)
    }
}

/// Goes through all leases for which a day has begun.
pub async fn run(app: &App) -> Result<Tally, StoreError> {
    let began = Stopwatch::start();
    let span = tracing::debug_span!(target: TRACES, "daily pass");
    let passed = run_in(&app.db, &app.clock).instrument(span).await?;
    app.metrics.daily_pass.passed(began, passed);
    Ok(passed)
}

/// The same for a process that has nothing but a database and the time.
pub async fn run_in(db: &Db, clock: &Clock) -> Result<Tally, StoreError> {
    let now = clock.business();
    let mut passed = Tally::default();
    loop {
        let batch = match run_batch(db, clock, now, None).await {
            Err(error) if !error.is_passing() => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a batch of leases failed; they are tried one by one"
                );
                run_each(db, clock, now).await?
            }
            batch => batch?,
        };
        passed.add(batch);
        if !batch.is_full() {
            return Ok(passed);
        }
    }
}

/// Goes through up to [`BATCH_MAX`] leases in one transaction, or through `only` one.
async fn run_batch(db: &Db, clock: &Clock, now: Instant, only: Option<LeaseId>) -> Result<Tally, StoreError> {
    let mut tx = db.begin().await?;
    let claimed = lease_ledger::claim_due_passes(&mut tx, now, only, BATCH_MAX).await?;
    if claimed.is_empty() {
        return Ok(Tally::default());
    }
    let new = || instruct::by_itself(clock, COMPONENT);
    let mut tally = Tally { leases: claimed.len(), ..Tally::default() };
    let ids: Vec<_> = claimed.iter().map(|due| due.lease_id).collect();
    let mut today = Vec::with_capacity(claimed.len());
    for due in &claimed {
        today.push(LocalDay::at(&due.time_zone, now)?);
    }
    let mut ledger = LeaseLedger::open(&mut tx, ids.iter().copied()).await?;
    for (due, today) in claimed.iter().zip(&today) {
        tally.charges += begin(&mut tx, &mut ledger, due, today, new).await?;
    }
    ledger.write(&mut tx).await?;
    // Fees see what was posted and paid a moment ago.
    let mut ledger = LeaseLedger::open(&mut tx, ids).await?;
    for (due, today) in claimed.iter().zip(&today) {
        tally.fees += look_back(&mut tx, &mut ledger, due, today, new).await?;
    }
    ledger.write(&mut tx).await?;
    let passed: Vec<_> = claimed.iter().zip(&today).map(|(due, today)| (due.lease_id, today.passed())).collect();
    lease_ledger::mark_passed(&mut tx, &passed).await?;
    tx.commit().await?;
    Ok(tally)
}

/// Goes through leases in a transaction each: one that is damaged is put off, loudly, and holds up no other.
async fn run_each(db: &Db, clock: &Clock, now: Instant) -> Result<Tally, StoreError> {
    let mut tx = db.begin().await?;
    let due = lease_ledger::claim_due_passes(&mut tx, now, None, BATCH_MAX).await?;
    drop(tx);
    let mut tally = Tally::default();
    for one in &due {
        let lease_id = one.lease_id;
        match run_batch(db, clock, now, Some(lease_id)).await {
            Err(error) if !error.is_passing() => {
                tracing::error!(%lease_id, error = &error as &dyn std::error::Error, "the day of a lease cannot begin");
                let mut tx = db.begin().await?;
                lease_ledger::put_off_pass(&mut tx, lease_id, now.plus_micros(OUR_FAULT_PAUSE_US)).await?;
                tx.commit().await?;
                tally.put_off += 1;
            }
            gone => tally.add(gone?),
        }
    }
    Ok(tally)
}

/// The schedule reaches further, and what is due is posted.
async fn begin(
    tx: &mut Tx,
    ledger: &mut LeaseLedger,
    due: &DuePass,
    today: &LocalDay,
    new: impl Fn() -> NewEvent,
) -> Result<usize, StoreError> {
    let Some(lease) = leases::find(tx, due.lease_id).await? else { return Ok(0) };
    if lease.terms.ends_on.is_none_or(|end| due.passed_on <= end) {
        write_schedule(tx, &lease, today.date).await?;
    }
    post_due(tx, ledger, lease.id, today.date, new).await
}

/// Whoever pays in the course of a day is not late on it: a day's fee is known when the day is over.
async fn look_back(
    tx: &mut Tx,
    ledger: &mut LeaseLedger,
    due: &DuePass,
    today: &LocalDay,
    new: impl Fn() -> NewEvent,
) -> Result<usize, StoreError> {
    let missing = missing_fees(tx, due.lease_id, due.passed_on, today, day_before(today.date)).await?;
    let count = missing.len();
    for fee in missing {
        ledger.make(fee.into_charge(due.lease_id), new())?;
    }
    Ok(count)
}

/// A late fee that should exist and does not.
#[derive(Debug, Clone)]
pub struct MissingFee {
    /// The rent that is late.
    pub charge: Charge,
    /// The fee and its day.
    pub fee: AssessedFee,
}

impl MissingFee {
    fn into_charge(self, lease: LeaseId) -> Charge {
        let AssessedFee { day, amount } = self.fee;
        Charge {
            origin_id: self.charge.id.0,
            description: Some(format!("Late fee for the rent due {}", self.charge.due_date)),
            ..Charge::standing_alone(ChargeId(clock::new_id()), lease, ChargeKind::LateFee, day, amount)
        }
    }
}

/// The late fees of a lease that should exist by the end of `through` and do not, as its money stands now.
///
/// `passed_on` is the last day through which this was asked before.
pub async fn missing_fees(
    tx: &mut Tx,
    lease: LeaseId,
    passed_on: Date,
    today: &LocalDay,
    through: Date,
) -> Result<Vec<MissingFee>, StoreError> {
    let terms = leases::late_fees(tx, lease).await?;
    if terms.iter().all(|terms| terms.rule.is_none()) {
        return Ok(Vec::new());
    }
    // Further back everything that was paid in the meantime had its fees at the last pass.
    let since = add_months(passed_on, -3);
    let pending = payments::pending_rent(tx, lease).await?.into_iter();
    let mut pending: Vec<_> = pending.map(|PendingRent { since, minor, .. }| Counting { since, minor }).collect();
    let mut missing = Vec::new();
    for charge in lateness::instalments(tx, lease, since).await? {
        let mut counting = cover_from(&mut pending, charge.open_minor());
        let Some(rule) = rule_for(&terms, charge.due_date) else { continue };
        counting.extend(lateness::counting(tx, charge.id).await?);
        let covered = counting.iter().map(|one| Cover { on: today.date_of(one.since), minor: one.minor });
        let instalment = Instalment { due_date: charge.due_date, amount: charge.amount, covered: covered.collect() };
        let made = lateness::fees_of(tx, lease, charge.id).await?;
        let fees = not_made(rule, rule.fees(&instalment, through), &made);
        missing.extend(fees.into_iter().map(|fee| MissingFee { charge: charge.clone(), fee }));
    }
    Ok(missing)
}

/// The rule that holds for rent due on `due`.
fn rule_for(terms: &[LateFeeTerms], due: Date) -> Option<&LateFeeRule> {
    terms.iter().rev().find(|terms| terms.effective_on <= due)?.rule.as_ref()
}

/// Takes up to `open` units out of what is pending, the oldest first.
fn cover_from(pending: &mut [Counting], mut open: i64) -> Vec<Counting> {
    let mut taken = Vec::new();
    for one in pending.iter_mut().filter(|one| 0 < one.minor) {
        let minor = one.minor.min(open);
        if 0 < minor {
            one.minor -= minor;
            open -= minor;
            taken.push(Counting { minor, ..*one });
        }
    }
    taken
}

/// What of `fees` was not made before, and fits under the cap beside what was. A fee that was voided or waived was made.
fn not_made(rule: &LateFeeRule, fees: Vec<AssessedFee>, made: &[Charge]) -> Vec<AssessedFee> {
    if rule.frequency == Frequency::Once && !made.is_empty() {
        return Vec::new();
    }
    let days: HashSet<Date> = made.iter().map(|fee| fee.period_start).collect();
    let made_minor: i64 = made.iter().map(|fee| fee.amount.minor()).sum();
    let mut left = rule.cap.map_or(i64::MAX, |cap| cap.minor() - made_minor);
    let mut missing = Vec::new();
    for fee in fees.into_iter().filter(|fee| !days.contains(&fee.day)) {
        let Ok(amount) = Amount::from_minor(fee.amount.minor().min(left), fee.amount.currency()) else { break };
        left -= amount.minor();
        missing.push(AssessedFee { amount, ..fee });
    }
    missing
}

/// What new events of a lease are made with when the caller asks for them.
pub fn asked_by(app: &App, caller: Caller) -> impl Fn() -> NewEvent {
    move || instruct::new_event(app, caller.actor(), Some(request_id::current())).0
}
