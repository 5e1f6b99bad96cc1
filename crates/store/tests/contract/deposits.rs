//! What is held of deposits, and giving them up.

use directpay_domain::charge::{ChargeKind, CreditKind};
use directpay_domain::deposit::DepositRefund;
use directpay_domain::id::{ChargeId, PaymentId};
use directpay_domain::payment::initiate::Initiation;
use directpay_domain::payment::{Command, Status};
use directpay_store::charges::{self, Charge};
use directpay_store::deposits::{self, Deposits};
use directpay_store::lease_ledger::{LeaseLedger, NewRelease};
use directpay_store::payments;
use jiff::civil::{Date, date};
use rstest::rstest;

use crate::harness::on_both_engines;
use crate::world::{House, World, reason, refund, rent, usd};

const DAY: Date = date(2026, 2, 1);

impl World {
    async fn deposits(&self, house: &House) -> Deposits {
        self.keep(async |tx| deposits::find(tx, house.lease).await).await
    }

    /// Held, open and on its way.
    async fn deposited(&self, house: &House) -> (i64, i64, i64) {
        let found = self.deposits(house).await;
        (found.held_minor, found.open_minor(), found.on_the_way_minor)
    }

    /// Deducts these and gives the deposit up; what is left is initiated as a refund.
    async fn releases(&self, house: &House, deductions: &[i64]) -> Option<DepositRefund> {
        let found = self.deposits(house).await;
        let payment_id = PaymentId(self.id());
        let left = self
            .keep(async |tx| {
                let mut ledger = LeaseLedger::open(tx, [house.lease]).await?;
                let mut ids = Vec::new();
                for minor in deductions {
                    let id = ChargeId(self.id());
                    ids.push(id);
                    let charge = Charge::standing_alone(id, house.lease, ChargeKind::OneOff, DAY, usd(*minor));
                    ledger.make(charge, self.new_event())?;
                }
                let release = NewRelease {
                    id: self.id(),
                    held: usd(found.held_minor),
                    unpaid: &found.open,
                    deductions: ids,
                    payment_id,
                    return_by: DAY,
                };
                let left = ledger.release(house.lease, release, self.new_event())?;
                ledger.write(tx).await?;
                if let Some(refund_of_deposit) = left {
                    let request = Initiation { amount: refund_of_deposit.amount, ..refund(house, "deposit") };
                    payments::initiate(tx, &[directpay_store::payments::Fresh { payment_id, ..self.fresh(request) }])
                        .await?;
                }
                Ok::<_, directpay_store::StoreError>(left)
            })
            .await;
        assert!(left.is_none_or(|left| left.payment_id == payment_id));
        left
    }

    async fn settles(&self, house: &House, key: &str, minor: i64) -> PaymentId {
        let id = self.pays(Initiation { amount: usd(minor), ..rent(house, key) }).await;
        self.does(id, Command::Submit).await;
        self.does(id, Command::Settle { attempt: 1 }).await;
        id
    }

    /// What is owed of a lease less its credit.
    async fn owed(&self) -> i64 {
        self.count(
            "SELECT CAST(COALESCE(SUM(amount - applied), 0) AS BIGINT)
                    - CAST(COALESCE((SELECT SUM(amount) FROM credits), 0) AS BIGINT)
             FROM charges WHERE posted_at IS NOT NULL AND voided_at IS NULL",
        )
        .await
    }
}

async fn assert_books_are_clean(world: &World) {
    let audit = directpay_store::audit(&world.db, |_, _| {}).await.unwrap();
    let broken: Vec<_> =
        audit.checks.iter().filter(|check| 0 < check.breaches && !check.name.contains("bank")).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_deposit_is_held_when_it_has_arrived() {
    on_both_engines(async |world| {
        let house = world.house().await;
        assert_eq!(world.deposited(&house).await, (0, 0, 0));
        world.makes(house.lease, ChargeKind::Rent, DAY, 30_000).await;
        world.makes(house.lease, ChargeKind::Deposit, DAY, 100_000).await;
        assert_eq!(world.deposited(&house).await, (0, 100_000, 0));

        // Rent comes first: 600.00 of 900.00 will be for the deposit.
        let id = world.pays(Initiation { amount: usd(90_000), ..rent(&house, "k1") }).await;
        assert_eq!(world.deposited(&house).await, (0, 100_000, 60_000));
        world.does(id, Command::Submit).await;
        assert_eq!(world.deposited(&house).await, (0, 40_000, 60_000));
        world.does(id, Command::Settle { attempt: 1 }).await;
        assert_eq!(world.deposited(&house).await, (60_000, 40_000, 0));
        world.does(id, Command::Return { attempt: 1, reason: reason("R10") }).await;
        assert_eq!(world.deposited(&house).await, (0, 100_000, 0));
        assert_books_are_clean(world).await;
    });
}

#[test]
fn what_is_let_off_pays_for_no_deposit_and_what_had_not_been_owed_does() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let deposit = world.makes(house.lease, ChargeKind::Deposit, DAY, 100_000).await;

        world.grants(house.lease, CreditKind::Waiver, 20_000, Some(deposit)).await;
        assert_eq!(world.deposited(&house).await, (0, 100_000, 0));
        world.grants(house.lease, CreditKind::Correction, 30_000, None).await;
        assert_eq!(world.deposited(&house).await, (30_000, 70_000, 0));
    });
}

#[test]
fn a_release_pays_for_deductions_then_for_all_else_and_the_rest_is_paid_out() {
    on_both_engines(async |world| {
        let house = world.house().await;
        world.makes(house.lease, ChargeKind::Deposit, DAY, 100_000).await;
        world.settles(&house, "deposit", 70_000).await;
        world.makes(house.lease, ChargeKind::LateFee, DAY, 5_000).await;

        let left = world.releases(&house, &[12_000, 3_000]).await.unwrap();

        assert_eq!(left.amount, usd(50_000));
        // What was never paid of it is owed no more, and nothing is held.
        assert_eq!(world.deposited(&house).await, (0, 0, 0));
        let found = world.deposits(&house).await;
        let released = &found.releases[0];
        assert_eq!((released.release.held, released.release.amount), (usd(70_000), usd(100_000)));
        let mut paid = world.keep(async |tx| deposits::paid_by(tx, released).await).await;
        paid.sort_by_key(|(_, minor)| *minor);
        assert_eq!(paid.iter().map(|(_, minor)| *minor).collect::<Vec<_>>(), [3_000, 5_000, 12_000, 30_000]);
        for deduction in &released.release.deductions {
            let let_off = world.keep(async |tx| charges::let_off(tx, *deduction).await).await;
            assert_eq!(let_off, 0, "the renters' money paid for it");
        }
        assert_eq!(world.owed().await, -50_000);
        assert_books_are_clean(world).await;

        world.does(left.payment_id, Command::Submit).await;
        assert_eq!(world.owed().await, 0);
        // It fails: the money is the renters' credit, until another refund takes it.
        world.does(left.payment_id, Command::Refuse { attempt: 1, reason: reason("AM04") }).await;
        assert_eq!(world.owed().await, -50_000);
        let again = world.pays(Initiation { amount: usd(50_000), ..refund(&house, "again") }).await;
        world.does(again, Command::Submit).await;
        world.does(again, Command::Settle { attempt: 1 }).await;
        assert_eq!(world.owed().await, 0);
        assert_books_are_clean(world).await;
    });
}

#[test]
fn rent_that_opens_before_the_rest_is_paid_out_is_no_one_elses() {
    on_both_engines(async |world| {
        let house = world.house().await;
        world.makes(house.lease, ChargeKind::Rent, DAY, 150_000).await;
        let paid = world.settles(&house, "rent", 150_000).await;
        world.makes(house.lease, ChargeKind::Deposit, DAY, 100_000).await;
        world.settles(&house, "deposit-paid", 100_000).await;
        let left = world.releases(&house, &[]).await.unwrap();

        // The rent comes back, and what waits to be paid out pays for it: all in all the renter owes the rent.
        world.does(paid, Command::Return { attempt: 1, reason: reason("R10") }).await;
        assert_eq!(world.owed().await, 50_000);
        world.does(left.payment_id, Command::Submit).await;

        assert_eq!(world.owed().await, 150_000);
        world.assert_is_fold(left.payment_id, Status::Processing).await;
        assert_books_are_clean(world).await;
    });
}

#[test]
fn a_deposit_that_comes_back_after_it_was_released_is_owed_and_not_held() {
    on_both_engines(async |world| {
        let house = world.house().await;
        world.makes(house.lease, ChargeKind::Deposit, DAY, 100_000).await;
        let paid = world.settles(&house, "deposit-paid", 100_000).await;
        world.releases(&house, &[100_000]).await;

        world.does(paid, Command::Return { attempt: 1, reason: reason("R10") }).await;

        assert_eq!(world.deposited(&house).await, (0, 100_000, 0));
        assert_eq!(world.owed().await, 100_000);
        assert_books_are_clean(world).await;
    });
}

#[rstest]
#[case::row("DELETE FROM deposit_returns")]
#[case::credit("UPDATE credits SET amount = amount - 1")]
#[case::payment("UPDATE payments SET amount = amount - 1 WHERE kind = 'REFUND'")]
#[case::charge(
    "UPDATE events SET body = replace(body, '\"amount\":\"1000.00 USD\"', '\"amount\":\"999.00 USD\"')
                WHERE event_type = 'charge_posted'"
)]
fn tampering_with_deposits_is_named(#[case] sql: &'static str) {
    on_both_engines(async |world| {
        let house = world.house().await;
        world.makes(house.lease, ChargeKind::Deposit, DAY, 100_000).await;
        world.settles(&house, "deposit-paid", 100_000).await;
        world.releases(&house, &[10_000]).await.unwrap();
        assert_books_are_clean(world).await;
        crate::audit::unlock(world).await;

        assert!(0 < world.execute(sql).await);

        let audit = directpay_store::audit(&world.db, |_, _| {}).await.unwrap();
        let check = audit.checks.iter().find(|check| check.name.starts_with("deposits are released once")).unwrap();
        assert_eq!((check.breaches, check.examined), (1, 1), "{audit:#?}");
    });
}
