//! What leases owe: charges, money, credit, and what pays for what.

use directpay_domain::charge::{ChargeKind, CreditKind};
use directpay_domain::id::{ChargeId, LeaseId, PaymentId};
use directpay_domain::payment::initiate::Initiation;
use directpay_domain::payment::{Command, Reason, Status};
use directpay_domain::schedule::schedule;
use directpay_domain::time::DAY_US;
use directpay_store::charges::{self, Charge};
use directpay_store::lease_ledger::{LeaseLedger, NewCredit};
use directpay_store::payments::{self, PendingRent};
use directpay_store::{audit, lateness};
use jiff::civil::{Date, date};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::on_both_engines;
use crate::world::{House, World, refund, rent, terms, usd};

fn reason() -> Reason {
    Reason::new("TEST", "as the test wants it")
}

impl World {
    pub(crate) async fn makes(&self, lease: LeaseId, kind: ChargeKind, due_date: Date, minor: i64) -> ChargeId {
        let id = self.id();
        let charge = Charge::standing_alone(ChargeId(id), lease, kind, due_date, usd(minor));
        self.keep(async |tx| {
            let mut ledger = LeaseLedger::open(tx, [lease]).await?;
            ledger.make(charge.clone(), self.new_event())?;
            ledger.write(tx).await
        })
        .await;
        ChargeId(id)
    }

    async fn voids(&self, lease: LeaseId, id: ChargeId) {
        self.keep(async |tx| {
            let mut ledger = LeaseLedger::open(tx, [lease]).await?;
            let charge = charges::find(tx, lease, id).await?.unwrap();
            ledger.void(tx, &charge, reason(), self.new_event()).await?;
            ledger.write(tx).await
        })
        .await;
    }

    pub(crate) async fn grants(&self, lease: LeaseId, kind: CreditKind, minor: i64, charge_id: Option<ChargeId>) {
        let credit = NewCredit { id: self.id(), kind, amount: usd(minor), charge_id };
        self.keep(async |tx| {
            let mut ledger = LeaseLedger::open(tx, [lease]).await?;
            ledger.grant(lease, credit, reason(), self.new_event())?;
            ledger.write(tx).await
        })
        .await;
    }

    /// What is applied to each charge that was not voided, the oldest first.
    async fn applied(&self, lease: LeaseId) -> Vec<i64> {
        let charges = self.keep(async |tx| charges::list(tx, lease).await).await;
        charges.iter().filter(|charge| charge.voided_at.is_none()).map(|charge| charge.applied_minor).collect()
    }

    async fn credit(&self) -> i64 {
        self.count("SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM credits").await
    }

    async fn is_clean(&self) {
        let audit = audit(&self.db, |_, _| {}).await.unwrap();
        assert!(audit.is_clean(), "{:#?}", audit.checks.iter().filter(|check| 0 < check.breaches).collect::<Vec<_>>());
    }
}

fn pays(house: &House, key: &str, minor: i64) -> Initiation {
    Initiation { amount: usd(minor), ..rent(house, key) }
}

#[test]
fn a_posted_charge_is_written_once_with_its_event_and_posting() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let scheduled = schedule(&terms(date(2026, 1, 1), None), date(2026, 3, 1));
        world
            .keep(async |tx| {
                charges::reconcile(tx, house.lease, &scheduled, |_| None, || ChargeId(world.id())).await?;
                let due = charges::list_due(tx, house.lease, date(2026, 2, 1)).await?;
                let mut ledger = LeaseLedger::open(tx, [house.lease]).await?;
                due.iter().try_for_each(|charge| ledger.post(charge, world.new_event()))?;
                ledger.write(tx).await
            })
            .await;

        let left = world.keep(async |tx| charges::list_due(tx, house.lease, date(2026, 12, 31)).await).await;
        assert_eq!(left.iter().map(|charge| charge.due_date).collect::<Vec<_>>(), [date(2026, 3, 1)]);
        assert_eq!(world.count("SELECT COUNT(*) FROM events WHERE event_type = 'charge_posted'").await, 2);
        assert_eq!(world.count("SELECT COUNT(*) FROM postings WHERE credit LIKE 'income:%'").await, 2);
        // What was posted does not follow the terms any more.
        world.keep(async |tx| charges::reconcile(tx, house.lease, &[], |_| None, || ChargeId(world.id())).await).await;
        assert_eq!(world.applied(house.lease).await, [0, 0]);
        world.is_clean().await;
    });
}

#[test]
fn several_payments_of_one_lease_in_one_batch_pay_one_after_the_other() {
    on_both_engines(async |world| {
        let house = world.house().await;
        for month in 1..=3 {
            world.makes(house.lease, ChargeKind::Rent, date(2026, month, 1), 150_000).await;
        }
        let mut ids = Vec::new();
        for key in ["one", "two", "three"] {
            ids.push(world.pays(pays(&house, key, 160_000)).await);
        }

        world.tries(ids.iter().map(|id| (*id, Command::Submit)).collect()).await;

        assert_eq!(world.applied(house.lease).await, [150_000; 3]);
        assert_eq!(world.credit().await, 30_000);
        world.is_clean().await;

        // The first falls away, and the credit of the others steps in.
        world.does(ids[0], Command::Refuse { attempt: 1, reason: reason() }).await;
        assert_eq!(world.applied(house.lease).await, [30_000, 140_000, 150_000]);
        world.is_clean().await;
    });
}

#[test]
fn money_counts_from_the_day_on_which_it_was_initiated() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let charge = world.makes(house.lease, ChargeKind::Rent, date(2026, 3, 1), 150_000).await;
        let payment = world.pays(pays(&house, "one", 100_000)).await;
        let since = world.now();
        let pending = world.keep(async |tx| payments::pending_rent(tx, house.lease).await).await;
        assert_eq!(pending, [PendingRent { payment_id: payment, renter_id: house.renter, since, minor: 100_000 }]);
        world.wait_us(1_000_000);
        world.does(payment, Command::Submit).await;

        assert_eq!(world.keep(async |tx| payments::pending_rent(tx, house.lease).await).await, []);
        let counting = world.keep(async |tx| lateness::counting(tx, charge).await).await;
        assert_eq!(counting, [lateness::Counting { since, minor: 100_000 }]);
    });
}

/// A step of a random life of a lease.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Charge(ChargeKind, i8, i64),
    Void(usize),
    Grant(CreditKind, i64),
    Pay(i64),
    Refund(i64),
    /// What may happen to one of the payments, if it may.
    Happens(usize, u8),
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let kinds = [ChargeKind::Rent, ChargeKind::Extra, ChargeKind::OneOff, ChargeKind::Deposit, ChargeKind::LateFee];
    prop_oneof![
        3 => (prop::sample::select(kinds.to_vec()), 1..=28_i8, 1..2_000_i64).prop_map(|(k, d, m)| Step::Charge(k, d, m)),
        1 => (0..40_usize).prop_map(Step::Void),
        1 => (prop::sample::select(CreditKind::ALL[..3].to_vec()), 1..500_i64).prop_map(|(k, m)| Step::Grant(k, m)),
        3 => (1..3_000_i64).prop_map(Step::Pay),
        1 => (1..500_i64).prop_map(Step::Refund),
        8 => (0..40_usize, 0..5_u8).prop_map(|(of, what)| Step::Happens(of, what)),
    ]
}

#[test]
fn whatever_happens_to_a_lease_its_books_balance() {
    let config = Config { cases: 6, failure_persistence: None, ..Config::default() };
    let lives = prop::collection::vec(step(), 10..40);
    TestRunner::new(config)
        .run(&lives, |steps| {
            on_both_engines(async |world| live(world, &steps).await);
            Ok(())
        })
        .unwrap();
}

async fn live(world: &World, steps: &[Step]) {
    go_through(world, &world.house().await, steps).await;
    // The bank's book is another story: it knows nothing of these payments.
    let audit = audit(&world.db, |_, _| {}).await.unwrap();
    let broken: Vec<_> =
        audit.checks.iter().filter(|check| 0 < check.breaches && !check.name.contains("bank")).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Lets all this happen to a lease, a step every 27 hours.
pub(crate) async fn go_through(world: &World, house: &House, steps: &[Step]) {
    let (mut open, mut payments): (Vec<ChargeId>, Vec<PaymentId>) = (Vec::new(), Vec::new());
    for (number, step) in steps.iter().enumerate() {
        let key = format!("k{number}-{}", house.lease);
        world.wait_us(DAY_US / 24 * 27);
        match step {
            Step::Charge(kind, day, minor) => {
                open.push(world.makes(house.lease, *kind, date(2026, 2, *day), *minor).await);
            }
            Step::Void(of) if !open.is_empty() => {
                let charge = open.remove(of % open.len());
                world.voids(house.lease, charge).await;
            }
            Step::Grant(kind, minor) => world.grants(house.lease, *kind, *minor, open.first().copied()).await,
            Step::Pay(minor) => payments.push(world.pays(pays(house, &key, *minor)).await),
            Step::Refund(minor) => {
                let initiation = Initiation { amount: usd(*minor), ..refund(house, &key) };
                payments.push(world.pays(initiation).await);
            }
            Step::Happens(of, what) if !payments.is_empty() => {
                happens(world, payments[of % payments.len()], *what).await;
            }
            Step::Void(_) | Step::Happens(..) => {}
        }
    }
}

async fn happens(world: &World, id: PaymentId, what: u8) {
    let payment = world.find(id).await;
    let attempt = payment.attempt;
    let command = match (payment.status, what) {
        (Status::Pending, 0) => Command::Cancel(None),
        (Status::Pending, _) => Command::Submit,
        (Status::Processing, 0) => Command::Refuse { attempt, reason: reason() },
        (Status::Processing, 1) => {
            Command::NotNow { attempt, reason: Reason::new(Reason::BANK_UNAVAILABLE, "not now") }
        }
        (Status::Processing, _) => Command::Settle { attempt },
        (Status::Completed, 0) => Command::Return { attempt, reason: Reason::new("R10", "not authorized") },
        (Status::Completed, 1) => Command::Return { attempt, reason: Reason::new("R01", "insufficient funds") },
        (Status::Completed | Status::Failed | Status::Returned | Status::Cancelled, _) => return,
    };
    world.does(id, command).await;
}
