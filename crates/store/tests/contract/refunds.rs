//! Refunds that name a payment: together never more than it settled, whoever asks at the same time.

use std::sync::Arc;

use directpay_domain::charge::ChargeKind;
use directpay_domain::id::PaymentId;
use directpay_domain::payment::initiate::Initiation;
use directpay_domain::payment::{Command, Reason, Rejection, Status};
use directpay_store::payments::{self, Fresh, Outcome, Recorded};
use jiff::civil::date;
use rstest::rstest;

use crate::harness::on_both_engines;
use crate::world::{House, World, initiated, reason, refund, rent, usd};

/// Rent of 1500.00 that has arrived.
async fn settled(world: &World, house: &House, key: &str) -> PaymentId {
    let id = world.pays(rent(house, key)).await;
    let attempt = world.does(id, Command::Submit).await.attempt;
    world.does(id, Command::Settle { attempt }).await;
    id
}

fn back(house: &House, key: &str, of: PaymentId, minor: i64) -> Initiation {
    Initiation { refund_of: Some(of), amount: usd(minor), ..refund(house, key) }
}

async fn promised(world: &World, of: PaymentId) -> i64 {
    let refunded = world.keep(async |tx| payments::refunded(tx, [of].into_iter()).await).await;
    refunded.get(&of).copied().unwrap_or(0)
}

fn codes(outcome: &Outcome) -> Vec<(&'static str, &'static str)> {
    match outcome {
        Outcome::Refused(errors) => errors.iter().map(|(field, invalid)| (*field, invalid.code)).collect(),
        Outcome::Initiated(_) | Outcome::KeyReused(_) => panic!("{outcome:?}"),
    }
}

/// The bank's book is another story: it knows nothing of these payments.
async fn assert_books_are_clean(world: &World) {
    let audit = directpay_store::audit(&world.db, |_, _| {}).await.unwrap();
    let broken: Vec<_> =
        audit.checks.iter().filter(|check| 0 < check.breaches && !check.name.contains("bank")).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn one_batch_never_promises_more_than_was_settled_and_no_refusal_spoils_a_neighbour() {
    on_both_engines(async |world| {
        let (house, other) = (world.house().await, world.house().await);
        let paid = settled(world, &house, "paid").await;
        let before = world.pays(back(&house, "before", paid, 70_000)).await;

        let outcomes = world
            .initiates(&[
                back(&house, "before", paid, 70_000),
                back(&house, "half", paid, 50_000),
                back(&house, "too-much", paid, 30_001),
                rent(&house, "rent"),
                back(&other, "not-theirs", paid, 1),
                back(&house, "half", paid, 50_000),
                back(&house, "rest", paid, 30_000),
                back(&house, "nothing-left", paid, 1),
                back(&house, "of-a-refund", before, 1),
            ])
            .await;

        assert!(initiated(&outcomes[0]).replayed);
        assert!(!initiated(&outcomes[1]).replayed);
        assert_eq!(codes(&outcomes[2]), [("amount", "more_than_refundable")]);
        assert!(!initiated(&outcomes[3]).replayed);
        assert_eq!(codes(&outcomes[4]), [("refund_of", "not_found")]);
        assert!(initiated(&outcomes[5]).replayed);
        let rest = &initiated(&outcomes[6]).payment.terms;
        assert_eq!((rest.refund_of, rest.payee.account_id), (Some(paid), house.renters_account));
        assert_eq!(codes(&outcomes[7]), [("amount", "more_than_refundable")]);
        assert_eq!(codes(&outcomes[8]), [("refund_of", "not_rent")]);
        assert_eq!(promised(world, paid).await, 150_000);
        world.assert_is_fold(before, Status::Pending).await;
        assert_books_are_clean(world).await;
    });
}

#[test]
fn what_paid_for_a_deposit_goes_back_by_its_return_only() {
    on_both_engines(async |world| {
        let house = world.house().await;
        world.makes(house.lease, ChargeKind::Deposit, date(2026, 2, 1), 60_000).await;
        let paid = settled(world, &house, "both").await;

        let outcomes = world.initiates(&[back(&house, "more", paid, 90_001)]).await;
        assert_eq!(codes(&outcomes[0]), [("amount", "more_than_refundable")]);
        world.pays(back(&house, "rest", paid, 90_000)).await;

        assert_eq!(promised(world, paid).await, 90_000);
    });
}

#[test]
fn writers_at_the_same_time_never_promise_more_than_was_settled() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let paid = [settled(world, &house, "one").await, settled(world, &house, "two").await];
        let start = Arc::new(tokio::sync::Barrier::new(8));
        let tasks: Vec<_> = (0..8_usize)
            .map(|writer| {
                // Each names both payments, half of them the other way round.
                let order = if writer % 2 == 0 { [0, 1, 0] } else { [1, 0, 1] };
                let refunds = order
                    .iter()
                    .enumerate()
                    .map(|(number, of)| world.fresh(back(&house, &format!("k{writer}-{number}"), paid[*of], 20_000)));
                let mut batch: Vec<Fresh> = refunds.collect();
                batch.push(world.fresh(rent(&house, &format!("rent-{writer}"))));
                let (db, start) = (world.db.clone(), Arc::clone(&start));
                tokio::spawn(async move {
                    start.wait().await;
                    let mut tx = db.begin().await.unwrap();
                    let outcomes = payments::initiate(&mut tx, &batch).await.unwrap();
                    tx.commit().await.unwrap();
                    outcomes
                })
            })
            .collect();
        let (mut refunds, mut rents) = (0, 0);
        for task in tasks {
            for outcome in task.await.unwrap() {
                match outcome {
                    Outcome::Initiated(new) if new.payment.terms.refund_of.is_some() => refunds += 1,
                    Outcome::Initiated(_) => rents += 1,
                    Outcome::Refused(_) => assert_eq!(codes(&outcome), [("amount", "more_than_refundable")]),
                    Outcome::KeyReused(_) => panic!("{outcome:?}"),
                }
            }
        }
        // Seven times 200.00 fit into 1500.00; twelve writers came to each.
        assert_eq!((refunds, rents), (14, 8));
        for paid in paid {
            assert_eq!(promised(world, paid).await, 140_000);
        }
        assert_books_are_clean(world).await;
    });
}

/// A refund of 1000.00 that failed for the bank's sake.
async fn failed(world: &World, house: &House, of: PaymentId) -> PaymentId {
    let id = world.pays(back(house, "fails", of, 100_000)).await;
    for attempt in 1..=6 {
        world.does(id, Command::Submit).await;
        world.does(id, Command::NotNow { attempt, reason: reason(Reason::BANK_UNAVAILABLE) }).await;
    }
    world.assert_is_fold(id, Status::Failed).await;
    id
}

async fn retries(world: &World, id: PaymentId) -> Result<(), String> {
    match world.tries(vec![(id, Command::Retry)]).await.remove(0) {
        Recorded::Now(_) => Ok(()),
        Recorded::Rejected(Rejection::NotRefundable { detail, .. }) => Err(detail),
        Recorded::Rejected(_) | Recorded::Unknown => panic!("neither covered nor not"),
    }
}

#[test]
fn what_failed_is_promised_again_only_if_the_payment_still_covers_it() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let paid = settled(world, &house, "paid").await;
        let refund = failed(world, &house, paid).await;
        assert_eq!(promised(world, paid).await, 0);
        let other = world.pays(back(&house, "other", paid, 60_000)).await;

        let refused = retries(world, refund).await;

        assert_eq!(refused, Err("it is more than the 900.00 that can still be refunded".into()));
        assert_eq!(promised(world, paid).await, 60_000);
        world.does(other, Command::Cancel(None)).await;
        assert_eq!(retries(world, refund).await, Ok(()));
        assert_eq!(promised(world, paid).await, 100_000);
        let exceeding = world.initiates(&[back(&house, "exceeding", paid, 50_001)]).await;
        assert_eq!(codes(&exceeding[0]), [("amount", "more_than_refundable")]);
        assert_books_are_clean(world).await;
    });
}

#[test]
fn people_who_try_again_at_the_same_time_promise_it_once() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let paid = settled(world, &house, "paid").await;
        let refund = failed(world, &house, paid).await;
        let commands: Vec<_> = (0..4).map(|_| world.instructed(refund, Command::Retry)).collect();
        let tasks = commands.into_iter().map(|command| {
            let db = world.db.clone();
            tokio::spawn(async move {
                let mut tx = db.begin().await.unwrap();
                payments::record(&mut tx, &[command]).await.unwrap();
                tx.commit().await.unwrap();
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(promised(world, paid).await, 100_000);
        assert_books_are_clean(world).await;
    });
}

#[test]
fn what_was_returned_is_refunded_no_more() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let paid = settled(world, &house, "paid").await;
        let (refund, waiting) = (failed(world, &house, paid).await, world.pays(back(&house, "waiting", paid, 1)).await);
        world.does(paid, Command::Return { attempt: 1, reason: reason("R10") }).await;

        let late = world.initiates(&[back(&house, "late", paid, 1)]).await;

        assert_eq!(codes(&late[0]), [("refund_of", "not_settled")]);
        let why = retries(world, refund).await.unwrap_err();
        assert_eq!(why, "the payment that it refunds is RETURNED; only a COMPLETED payment is refunded");
        let of = world.find(waiting).await.terms.refund_of;
        let fallen = world.keep(async |tx| payments::not_settled(tx, of.into_iter()).await).await;
        assert!(fallen.contains(&paid), "who hands it over is told");
        assert_books_are_clean(world).await;
    });
}

#[test]
fn a_refund_that_is_returned_and_presented_again_stays_promised() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let paid = settled(world, &house, "paid").await;
        let refund = world.pays(back(&house, "back", paid, 150_000)).await;
        world.does(refund, Command::Submit).await;
        world.does(refund, Command::Settle { attempt: 1 }).await;

        let presented = world.does(refund, Command::Return { attempt: 1, reason: reason("R01") }).await;

        assert_eq!(presented.status, Status::Pending);
        assert_eq!(promised(world, paid).await, 150_000);
        world.does(refund, Command::Submit).await;
        world.does(refund, Command::Refuse { attempt: 2, reason: reason("R02") }).await;
        assert_eq!(promised(world, paid).await, 0);
        assert_books_are_clean(world).await;
    });
}

#[test]
fn credit_of_the_payment_itself_is_paid_out_first() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let older = settled(world, &house, "older").await;
        let paid = settled(world, &house, "paid").await;
        let refund = world.pays(back(&house, "back", paid, 100_000)).await;

        world.does(refund, Command::Submit).await;

        let left = world
            .keep(async |tx| tx.fetch_all::<(uuid::Uuid, i64)>("SELECT source_id, amount FROM credits", ()).await)
            .await;
        let mut left: Vec<_> = left.into_iter().map(|(id, minor)| (PaymentId(id), minor)).collect();
        left.sort();
        assert_eq!(left, [(older, 150_000), (paid, 50_000)]);
        assert_books_are_clean(world).await;
    });
}

#[rstest]
#[case("UPDATE refunded_payments SET promised = 150001")]
#[case("UPDATE refunded_payments SET promised = -1")]
#[case("UPDATE refunded_payments SET settled = 1")]
#[case("UPDATE payments SET refund_of = id WHERE kind = 'RENT'")]
#[case("UPDATE payments SET refund_of = landlord_id WHERE kind = 'REFUND'")]
fn the_database_is_the_referee(#[case] sql: &'static str) {
    on_both_engines(async |world| {
        let house = world.house().await;
        let paid = settled(world, &house, "paid").await;
        world.pays(back(&house, "back", paid, 100_000)).await;

        world.fail(async |tx| tx.execute(sql, ()).await).await;
    });
}
