//! Looking after mandates for autopay, once a day and after the daily pass: what is coming is announced, what is due is drawn,
//! what failed is told.
//!
//! All that one look does is one transaction, under the mandate's row: one attempt for each charge date, whatever crashes or
//! runs twice.

use directpay_domain::autopay::{Announced, DrawStatus, FAILURES_MAX, MandateStatus, WATCHED_DAYS, missed};
use directpay_domain::id::PaymentId;
use directpay_domain::idempotency::IdempotencyKey;
use directpay_domain::invalid::Invalid;
use directpay_domain::lease_event::{DrawName, LeaseChange};
use directpay_domain::metadata::Metadata;
use directpay_domain::money::Amount;
use directpay_domain::payment::Reason;
use directpay_domain::payment::initiate::{Acceptance, Initiation};
use directpay_domain::rail::DelayScale;
use directpay_domain::time::SECOND_US;
use directpay_store::autopay::{self, Draw, Mandate};
use directpay_store::lease_ledger::LeaseLedger;
use directpay_store::leases::{self, Lease};
use directpay_store::payments::{self, Fresh, Outcome};
use directpay_store::{Db, StoreError, Tx, policies, properties};
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::json;
use tracing::Instrument;
use uuid::Uuid;

use crate::app::App;
use crate::clock::{self, Clock, Stopwatch};
use crate::co_tenants::{left_for_each, shared_charges};
use crate::daily_pass::LocalDay;
use crate::instruct;
use crate::telemetry::TRACES;

const COMPONENT: &str = "autopay";
/// How far back draws are looked at: more than two years of them.
const DRAWS_MAX: i64 = 30;
/// A mandate that cannot be read is looked at again after this.
const OUR_FAULT_PAUSE_US: i64 = 60 * 60 * SECOND_US;

/// What was done for mandates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Mandates that were looked after.
    pub mandates: usize,
    /// Payments that were drawn.
    pub drawn: usize,
}

/// Looks after all mandates whose time has come.
pub async fn run(app: &App) -> Result<Tally, StoreError> {
    let began = Stopwatch::start();
    let span = tracing::debug_span!(target: TRACES, "autopay");
    let done = run_in(&app.db, &app.clock, app.scale).instrument(span).await?;
    app.metrics.autopay.looked(began, done);
    if 0 < done.drawn {
        app.bell.ring();
    }
    Ok(done)
}

/// The same for a process that has nothing but a database and the time.
pub async fn run_in(db: &Db, clock: &Clock, scale: DelayScale) -> Result<Tally, StoreError> {
    let now = clock.business();
    let mut done = Tally::default();
    loop {
        let mut tx = db.begin().await?;
        let Some(mandate_id) = autopay::claim_look(&mut tx, now).await? else { return Ok(done) };
        match look_after(&mut tx, mandate_id, clock, scale).await {
            Ok(drawn) => {
                tx.commit().await?;
                done.drawn += drawn;
            }
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => {
                drop(tx);
                tracing::error!(%mandate_id, error = &error as &dyn std::error::Error, "a mandate cannot be looked after");
                let mut tx = db.begin().await?;
                autopay::look_again_at(&mut tx, mandate_id, Some(now.plus_micros(OUR_FAULT_PAUSE_US))).await?;
                tx.commit().await?;
            }
        }
        done.mandates += 1;
    }
}

async fn look_after(tx: &mut Tx, id: Uuid, clock: &Clock, scale: DelayScale) -> Result<usize, StoreError> {
    let mandate = autopay::find(tx, id).await?;
    look(tx, &mandate, clock, scale).await
}

/// Looks after one mandate, which is held, and says how many payments were drawn.
pub async fn look(tx: &mut Tx, mandate: &Mandate, clock: &Clock, scale: DelayScale) -> Result<usize, StoreError> {
    let missing = || damaged(Invalid::new("not_found", "its lease is not there"));
    let lease = leases::find(tx, mandate.lease_id).await?.ok_or_else(missing)?;
    let property = properties::find(tx, lease.property_id).await?.ok_or_else(missing)?;
    let today = LocalDay::at(&property.time_zone, clock.business())?;
    let mut look = Look { clock, scale, mandate, lease: &lease, today: today.date, facts: Vec::new() };
    look.tell_of_failures(tx).await?;
    let draws = autopay::draws(tx, mandate.id, DRAWS_MAX).await?;
    // From here on nobody else changes what is owed: it is read by several statements.
    let mut ledger = LeaseLedger::open(tx, [lease.id]).await?;
    let is_over = lease.terms.has_ended(today.date) || mandate.status == MandateStatus::Revoked;
    let dates = if is_over { Vec::new() } else { look.charge_dates(tx, &draws).await? };
    for due in &dates {
        let draw = draws.iter().find(|draw| draw.due_date == *due);
        match draw.map(|draw| draw.status) {
            None | Some(DrawStatus::Announced) => look.attend(tx, *due, draw, &draws).await?,
            Some(DrawStatus::Drawn | DrawStatus::Skipped | DrawStatus::Missed | DrawStatus::Failed) => {}
        }
    }
    // Announced, and then the lease ended earlier.
    for draw in draws.iter().filter(|draw| draw.status == DrawStatus::Announced && !dates.contains(&draw.due_date)) {
        look.miss(tx, draw.clone(), missed::NOTHING_OWED, "no rent falls due").await?;
    }
    look.stand(tx).await?;
    let facts = look.facts;
    let drawn = facts.iter().filter(|(change, _)| matches!(change, LeaseChange::DrawMade { .. })).count();
    for (change, reason) in facts {
        ledger.record(lease.id, change, reason, instruct::by_itself(clock, COMPONENT))?;
    }
    ledger.write(tx).await?;
    // What was drawn may still fail or come back, and is told then.
    let may_fail = |draw: &Draw| today.date <= draw.due_date.saturating_add(WATCHED_DAYS.days());
    let is_done = is_over && !draws.iter().any(may_fail);
    autopay::look_again_at(tx, mandate.id, (!is_done).then_some(today.passed().next_at)).await?;
    Ok(drawn)
}

type Fact = (LeaseChange, Option<Reason>);

/// A look at one mandate.
struct Look<'a> {
    clock: &'a Clock,
    scale: DelayScale,
    mandate: &'a Mandate,
    lease: &'a Lease,
    today: Date,
    facts: Vec<Fact>,
}

impl Look<'_> {
    fn name(&self, due_date: Date) -> DrawName {
        DrawName { mandate_id: self.mandate.id, renter_id: self.mandate.renter_id, due_date }
    }

    /// The charge dates that a draw is or was due for, as far as they are looked at.
    async fn charge_dates(&self, tx: &mut Tx, draws: &[Draw]) -> Result<Vec<Date>, StoreError> {
        let is_all = i64::try_from(draws.len()).is_ok_and(|count| count < DRAWS_MAX);
        // What was due on the day of the signature is drawn with it, or not at all.
        let signed_on = self.mandate.signed_on;
        let first = if self.today == signed_on { signed_on } else { signed_on.saturating_add(1.day()) };
        let since = draws.last().filter(|_| !is_all).map_or(first, |oldest| oldest.due_date);
        let until = self.mandate.terms.announced_through(self.today);
        autopay::charge_dates(tx, self.lease.id, since, until).await
    }

    /// What of the lease's charges through `due` is left for this renter, in minor units.
    async fn owed(&self, tx: &mut Tx, due: Date) -> Result<i64, StoreError> {
        let Some(at) = self.lease.renters.iter().position(|renter| renter.id == self.mandate.renter_id.0) else {
            return Ok(0);
        };
        let shared = shared_charges(tx, self.lease, Some(due.max(self.today))).await?;
        Ok(left_for_each(&shared).get(at).copied().unwrap_or(0))
    }

    /// Announces a draw, or makes it.
    async fn attend(&mut self, tx: &mut Tx, due: Date, draw: Option<&Draw>, draws: &[Draw]) -> Result<(), StoreError> {
        let draw = draw.cloned().unwrap_or_else(|| Draw::announced(due));
        if self.today < self.mandate.terms.draw_day(due) {
            return self.announce(tx, draw).await;
        }
        if self.mandate.status != MandateStatus::Active {
            return self.miss(tx, draw, missed::NOT_ACTIVE, "the mandate was not active").await;
        }
        let restricted = policies::restricted(tx, [self.lease.id].into_iter(), self.clock.business()).await?;
        if restricted.get(&self.lease.id) == Some(&Acceptance::Nothing) {
            return self.miss(tx, draw, missed::BLOCKED, "the landlord takes no payments now").await;
        }
        let owed = self.owed(tx, due).await?;
        if owed == 0 && self.today == self.mandate.signed_on {
            return Ok(());
        }
        if owed == 0 {
            return self.miss(tx, draw, missed::NOTHING_OWED, "nothing was owed").await;
        }
        let was_drawn = |before: &&Draw| before.due_date < due && before.status == DrawStatus::Drawn;
        let before = draws.iter().find(was_drawn).and_then(|before| before.drawn_minor);
        let minor = self.mandate.terms.draw(owed, due, self.mandate.signed_on, draw.announced, before);
        match Amount::from_minor(minor, self.mandate.terms.cap.currency()) {
            Ok(amount) => self.draw(tx, draw, amount).await,
            Err(_) => self.miss(tx, draw, missed::NOT_ANNOUNCED, "the renter was not told of it in time").await,
        }
    }

    /// Tells the renter of a draw to come, and again while there is time if it is going to be another amount.
    async fn announce(&mut self, tx: &mut Tx, draw: Draw) -> Result<(), StoreError> {
        let terms = self.mandate.terms;
        let may_change = terms.is_in_time(draw.due_date, self.today);
        if self.mandate.status != MandateStatus::Active || (draw.announced.is_some() && !may_change) {
            return Ok(());
        }
        let minor = self.owed(tx, draw.due_date).await?.min(terms.cap.minor());
        let Ok(amount) = Amount::from_minor(minor, terms.cap.currency()) else { return Ok(()) };
        if draw.announced.is_some_and(|announced| announced.minor == minor) {
            return Ok(());
        }
        let (draw_on, name) = (terms.draw_day(draw.due_date), self.name(draw.due_date));
        autopay::write_draw(
            tx,
            self.mandate.id,
            &Draw { announced: Some(Announced { minor, on: self.today }), ..draw },
        )
        .await?;
        self.facts.push((LeaseChange::DrawAnnounced { draw: name, draw_on, amount }, None));
        Ok(())
    }

    /// Makes the payment of a draw, or notes why it is refused.
    async fn draw(&mut self, tx: &mut Tx, draw: Draw, amount: Amount) -> Result<(), StoreError> {
        let (event, at) = (instruct::by_itself(self.clock, COMPONENT), self.clock.circumstances(self.scale));
        let payment_id = PaymentId(clock::new_id());
        let initiation = self.initiation(draw.due_date, amount).map_err(damaged)?;
        let outcome = payments::initiate(tx, &[Fresh { initiation, payment_id, event, at }]).await?.pop();
        match outcome {
            Some(Outcome::Initiated(initiated)) => {
                let payment_id = initiated.payment.terms.id;
                let made = LeaseChange::DrawMade { draw: self.name(draw.due_date), payment_id, amount };
                let drawn = Draw { status: DrawStatus::Drawn, payment_id: Some(payment_id), ..draw };
                autopay::write_draw(tx, self.mandate.id, &drawn).await?;
                self.facts.push((made, None));
                Ok(())
            }
            Some(Outcome::Refused(errors)) => {
                let code = errors.first().map_or("refused", |(_, invalid)| invalid.code);
                let texts: Vec<_> =
                    errors.iter().map(|(field, invalid)| format!("{field} {}", invalid.detail)).collect();
                self.miss(tx, draw, code, &texts.join("; ")).await
            }
            Some(Outcome::KeyReused(_)) | None => {
                self.miss(tx, draw, "idempotency_key_reused", "another payment has the key of this draw").await
            }
        }
    }

    fn initiation(&self, due: Date, amount: Amount) -> Result<Initiation, Invalid> {
        let notes = json!({"autopay_mandate_id": self.mandate.id, "due_date": due});
        let notes = notes.as_object().cloned().unwrap_or_default();
        Ok(Initiation {
            initiated_by: self.mandate.renter_id,
            idempotency_key: IdempotencyKey::parse(&format!("autopay:{}:{due}", self.mandate.id))?,
            lease_id: self.lease.id,
            amount,
            rail: Some(self.mandate.terms.rail),
            payer_account_id: Some(self.mandate.account_id),
            payee_account_id: None,
            payee_id: None,
            refund_of: None,
            currency: None,
            metadata: Some(Metadata::parse(notes)?),
        })
    }

    /// Notes that nothing is drawn for a charge date.
    async fn miss(&mut self, tx: &mut Tx, draw: Draw, code: &str, text: &str) -> Result<(), StoreError> {
        let (name, reason) = (self.name(draw.due_date), Reason::new(code, text));
        let missed = Draw { status: DrawStatus::Missed, reason: Some(reason.clone()), ..draw };
        autopay::write_draw(tx, self.mandate.id, &missed).await?;
        // Both sides read it: what is wrong with an account is its renter's business.
        let told = if missed::is_harmless(code) { reason } else { Reason::new("REFUSED", "the payment was refused") };
        self.facts.push((LeaseChange::DrawMissed(name), Some(told)));
        Ok(())
    }

    /// Tells both sides of draws whose payments did not stand.
    async fn tell_of_failures(&mut self, tx: &mut Tx) -> Result<(), StoreError> {
        autopay::mend(tx, self.mandate.id).await?;
        for draw in autopay::newly_failed(tx, self.mandate.id).await? {
            let failed = Draw { status: DrawStatus::Failed, ..draw };
            autopay::write_draw(tx, self.mandate.id, &failed).await?;
            if let Some(payment_id) = failed.payment_id {
                let change = LeaseChange::DrawFailed { draw: self.name(failed.due_date), payment_id };
                self.facts.push((change, failed.reason));
            }
        }
        Ok(())
    }

    /// A mandate that has failed too often is suspended, one whose lease has ended is over.
    async fn stand(&mut self, tx: &mut Tx) -> Result<(), StoreError> {
        let Mandate { id, renter_id, status, .. } = *self.mandate;
        let (becomes, reason) = if status == MandateStatus::Revoked {
            return Ok(());
        } else if self.lease.terms.has_ended(self.today) {
            (MandateStatus::Revoked, Reason::new("LEASE_ENDED", "The lease has ended"))
        } else if status == MandateStatus::Active && self.has_failed_too_often(tx).await? {
            (MandateStatus::Suspended, Reason::new("FAILED_TOO_OFTEN", "Two draws in a row came to nothing"))
        } else {
            return Ok(());
        };
        autopay::set_status(tx, id, becomes).await?;
        self.facts.push((LeaseChange::MandateChanged { mandate_id: id, renter_id, status: becomes }, Some(reason)));
        Ok(())
    }

    /// Whether a failure of this look is the last straw. What nobody is to blame for does not count.
    async fn has_failed_too_often(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        let is_failure =
            |change: &LeaseChange| matches!(change, LeaseChange::DrawFailed { .. } | LeaseChange::DrawMissed(_));
        if !self.facts.iter().any(|(change, _)| is_failure(change)) {
            return Ok(false);
        }
        let draws = autopay::draws(tx, self.mandate.id, DRAWS_MAX).await?;
        let counts = |draw: &&Draw| match draw.status {
            DrawStatus::Announced | DrawStatus::Skipped => false,
            DrawStatus::Drawn => true,
            DrawStatus::Missed | DrawStatus::Failed => {
                draw.reason.as_ref().is_none_or(|reason| !missed::is_harmless(&reason.code))
            }
        };
        let in_a_row = draws.iter().filter(counts).take_while(|draw| draw.status != DrawStatus::Drawn);
        Ok(FAILURES_MAX <= in_a_row.count())
    }
}

fn damaged(source: Invalid) -> StoreError {
    StoreError::Damaged { what: "mandate", source }
}
