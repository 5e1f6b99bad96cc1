//! The second door: everything that happens to a payment, with all that follows from it in one transaction.

use std::sync::Arc;

use directpay_domain::id::PaymentId;
use directpay_domain::payment::{Command, EventType, Reason, Rejection, Status};
use directpay_store::payments::{self, Instructed, Recorded};
use uuid::Uuid;

use crate::harness::on_both_engines;
use crate::world::{House, World, now, reason, refund, rent};

fn settle(attempt: i64) -> Command {
    Command::Settle { attempt }
}

fn refuse(attempt: i64, code: &str) -> Command {
    Command::Refuse { attempt, reason: reason(code) }
}

fn return_for(attempt: i64, code: &str) -> Command {
    Command::Return { attempt, reason: reason(code) }
}

fn not_now(attempt: i64) -> Command {
    Command::NotNow { attempt, reason: reason(Reason::BANK_UNAVAILABLE) }
}

async fn types(world: &World, id: PaymentId) -> Vec<EventType> {
    world.history(id).await.iter().map(|event| event.change.event_type()).collect()
}

/// What and for which attempt.
async fn work_of(world: &World, id: PaymentId) -> Option<(String, i64)> {
    world
        .keep(async |tx| tx.fetch_optional("SELECT what, attempt FROM due_work WHERE payment_id = $1", (id.0,)).await)
        .await
}

/// Debits less credits of an account.
async fn balance(world: &World, account: String) -> i64 {
    let (sum,): (i64,) = world
        .keep(async |tx| {
            tx.fetch_one(
                "SELECT CAST(COALESCE(SUM(CASE WHEN debit = $1 THEN amount ELSE -amount END), 0) AS BIGINT)
                 FROM postings WHERE debit = $1 OR credit = $1",
                (&account,),
            )
            .await
        })
        .await;
    sum
}

async fn balances(world: &World, house: &House) -> [i64; 3] {
    [
        balance(world, "clearing:STANDARD_ACH".into()).await,
        balance(world, format!("cash:{}", house.landlords_account)).await,
        balance(world, format!("receivable:{}", house.lease)).await,
    ]
}

#[test]
fn rent_goes_from_receivable_over_clearing_to_cash() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let id = world.pays(rent(&house, "k1")).await;
        assert_eq!(balances(world, &house).await, [0, 0, 0]);
        assert_eq!(work_of(world, id).await, Some(("SUBMIT".into(), 1)));

        world.does(id, Command::Submit).await;
        assert_eq!(balances(world, &house).await, [150_000, 0, -150_000]);
        assert_eq!(work_of(world, id).await, Some(("INQUIRE".into(), 1)));

        world.does(id, settle(1)).await;
        assert_eq!(balances(world, &house).await, [0, 150_000, -150_000]);
        assert_eq!(work_of(world, id).await, None);
        world.assert_is_fold(id, Status::Completed).await;
    });
}

#[test]
fn a_refund_goes_the_other_way() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let id = world.pays(refund(&house, "k1")).await;
        world.does(id, Command::Submit).await;
        assert_eq!(balances(world, &house).await, [-150_000, 0, 150_000]);
        world.does(id, settle(1)).await;
        assert_eq!(balances(world, &house).await, [0, -150_000, 150_000]);
        world.does(id, return_for(1, "R10")).await;
        assert_eq!(balances(world, &house).await, [0, 0, 0]);
    });
}

#[test]
fn a_return_takes_the_money_back_and_presents_the_debit_again() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let id = world.pays(rent(&house, "k1")).await;
        world.does(id, Command::Submit).await;
        world.does(id, settle(1)).await;

        let payment = world.does(id, return_for(1, "R01")).await;

        assert_eq!((payment.status, payment.attempt, payment.representments), (Status::Pending, 2, 1));
        assert_eq!(work_of(world, id).await, Some(("SUBMIT".into(), 2)));
        assert_eq!(balances(world, &house).await, [0, 0, 0]);
        use EventType::{Completed, Initiated, Processing, RetryScheduled, Returned};
        assert_eq!(types(world, id).await, [Initiated, Processing, Completed, Returned, RetryScheduled]);
        world.assert_is_fold(id, Status::Pending).await;
        world.does(id, Command::Submit).await;
        world.does(id, settle(2)).await;
        assert_eq!(balances(world, &house).await, [0, 150_000, -150_000]);
        world.assert_is_fold(id, Status::Completed).await;
    });
}

#[test]
fn transient_errors_run_out_and_a_person_starts_anew() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let id = world.pays(rent(&house, "k1")).await;
        for attempt in 1..=6 {
            world.does(id, Command::Submit).await;
            world.does(id, not_now(attempt)).await;
        }
        world.assert_is_fold(id, Status::Failed).await;
        assert_eq!(work_of(world, id).await, None);
        assert_eq!(balances(world, &house).await, [0, 0, 0]);

        world.does(id, Command::Retry).await;

        assert_eq!(work_of(world, id).await, Some(("SUBMIT".into(), 7)));
        world.assert_is_fold(id, Status::Pending).await;
    });
}

#[test]
fn a_cancelled_payment_leaves_no_work() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let id = world.pays(rent(&house, "k1")).await;
        world.does(id, Command::Cancel(None)).await;
        assert_eq!(work_of(world, id).await, None);
        world.assert_is_fold(id, Status::Cancelled).await;
    });
}

#[test]
fn a_return_for_a_closed_account_closes_it_and_the_first_code_stands() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let ids = [world.pays(rent(&house, "k1")).await, world.pays(rent(&house, "k2")).await];
        for (id, code) in ids.into_iter().zip(["R02", "R16"]) {
            world.does(id, Command::Submit).await;
            world.does(id, refuse(1, code)).await;
        }
        assert_eq!(world.count("SELECT COUNT(*) FROM bank_accounts WHERE closed_by = 'R02'").await, 1);
        assert_eq!(world.count("SELECT COUNT(*) FROM bank_accounts WHERE closed_by IS NOT NULL").await, 1);
        assert!(matches!(world.initiates(&[rent(&house, "k3")]).await[0], payments::Outcome::Refused(_)));
    });
}

#[test]
fn within_one_batch_too_the_first_code_stands() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let ids = [world.pays(rent(&house, "k1")).await, world.pays(rent(&house, "k2")).await];
        world.tries(ids.map(|id| (id, Command::Submit)).to_vec()).await;
        world.tries(vec![(ids[1], refuse(1, "R16")), (ids[0], refuse(1, "R02"))]).await;
        assert_eq!(world.count("SELECT COUNT(*) FROM bank_accounts WHERE closed_by = 'R16'").await, 1);
    });
}

#[test]
fn other_reasons_leave_the_account_open() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let id = world.pays(rent(&house, "k1")).await;
        world.does(id, Command::Submit).await;
        world.does(id, refuse(1, "R10")).await;
        assert_eq!(world.count("SELECT COUNT(*) FROM bank_accounts WHERE closed_by IS NOT NULL").await, 0);
    });
}

#[test]
fn outcomes_stand_in_the_order_of_the_commands_and_none_spoils_another() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let (one, two) = (world.pays(rent(&house, "k1")).await, world.pays(rent(&house, "k2")).await);
        let unknown = PaymentId(Uuid::nil());

        let outcomes = world
            .tries(vec![
                (two, settle(1)),
                (one, Command::Submit),
                (unknown, Command::Submit),
                (one, settle(1)),
                (one, settle(1)),
                (two, Command::Cancel(None)),
            ])
            .await;

        assert!(matches!(outcomes[0], Recorded::Rejected(Rejection::WrongStatus { status: Status::Pending, .. })));
        assert!(matches!(outcomes[2], Recorded::Unknown));
        let statuses = [1, 3, 4, 5].map(|at: usize| now(outcomes[at].clone()).status);
        assert_eq!(statuses, [Status::Completed, Status::Completed, Status::Completed, Status::Cancelled]);
        world.assert_is_fold(one, Status::Completed).await;
        world.assert_is_fold(two, Status::Cancelled).await;
        assert_eq!(types(world, one).await.len(), 3);
        assert_eq!(balances(world, &house).await, [0, 150_000, -150_000]);
        assert_eq!(world.count("SELECT COUNT(*) FROM due_work").await, 0);
    });
}

#[test]
fn an_empty_batch_and_a_batch_of_repetitions_write_nothing() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let id = world.pays(rent(&house, "k1")).await;
        world.does(id, Command::Submit).await;
        world.does(id, settle(1)).await;
        assert!(world.tries(vec![]).await.is_empty());
        assert_eq!(world.does(id, settle(1)).await.version, 3);
        assert_eq!(world.count("SELECT COUNT(*) FROM events").await, 3);
    });
}

#[test]
fn a_retry_in_the_batch_of_its_failure_leaves_the_later_attempts_work() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let id = world.pays(rent(&house, "k1")).await;
        world.tries(vec![(id, Command::Submit), (id, refuse(1, "R01")), (id, Command::Submit), (id, settle(1))]).await;
        assert_eq!(work_of(world, id).await, Some(("INQUIRE".into(), 2)));
        world.assert_is_fold(id, Status::Processing).await;
    });
}

#[test]
fn a_sequence_number_is_taken_once() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let id = world.pays(rent(&house, "k1")).await;
        // Somebody wrote past the projection: the next event finds its number taken and nothing is kept.
        world
            .keep(async |tx| {
                tx.execute(
                    "INSERT INTO events (stream_id, sequence, stream, event_type, occurred_at, body, hash)
                     VALUES ($1, 2, 'PAYMENT', 'payment_cancelled', 0, '{}', $2)",
                    (id.0, vec![7_u8; 32]),
                )
                .await
            })
            .await;
        let submit = world.instructed(id, Command::Submit);

        let error = world.fail(async |tx| payments::record(tx, &[submit]).await).await;

        assert!(matches!(error, directpay_store::StoreError::Database(_)));
        assert_eq!(world.find(id).await.status, Status::Pending);
        assert_eq!(world.count("SELECT COUNT(*) FROM postings").await, 0);
    });
}

#[test]
fn of_two_who_decide_at_once_one_comes_second() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let mut ids = Vec::new();
        for number in 0..20 {
            ids.push(world.pays(rent(&house, &format!("k{number}"))).await);
        }
        let start = Arc::new(tokio::sync::Barrier::new(2));
        let writers: Vec<_> = [Command::Submit, Command::Cancel(None)]
            .into_iter()
            .map(|command| {
                let mut batch: Vec<Instructed> = ids.iter().map(|id| world.instructed(*id, command.clone())).collect();
                if command != Command::Submit {
                    batch.reverse();
                }
                let (db, start) = (world.db.clone(), Arc::clone(&start));
                tokio::spawn(async move {
                    start.wait().await;
                    let mut tx = db.begin().await.unwrap();
                    let outcomes = payments::record(&mut tx, &batch).await.unwrap();
                    tx.commit().await.unwrap();
                    outcomes.iter().filter(|outcome| matches!(outcome, Recorded::Now(_))).count()
                })
            })
            .collect();
        let mut done = 0;
        for writer in writers {
            done += writer.await.unwrap();
        }
        assert_eq!(done, 20, "each payment was either handed over or cancelled");
        assert_eq!(world.count("SELECT COUNT(*) FROM events").await, 40);
        assert_eq!(world.count("SELECT COUNT(*) FROM payments WHERE version = 2").await, 20);
    });
}

#[test]
fn what_is_remembered_is_used_as_long_as_it_is_true() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let mut ids = Vec::new();
        for key in ["same", "moved-on", "forgotten"] {
            ids.push(world.pays(rent(&house, key)).await);
        }
        let mut remembered = world.keep(async |tx| payments::hold(tx, &ids[..2]).await).await;
        // A mark that only memory has shows what was used.
        for payment in remembered.values_mut() {
            payment.payment.representments = 7;
        }
        let moved_on = world.does(ids[1], Command::Submit).await;
        let forgotten = world.find(ids[2]).await;

        let nobody = PaymentId(Uuid::from_u128(1));
        let asked = [ids[0], ids[1], ids[2], nobody];
        let held = world.keep(async |tx| payments::hold_remembered(tx, &asked, remembered.clone()).await).await;

        assert_eq!(held.len(), 3);
        assert_eq!((held[&ids[0]].representments, held[&ids[0]].version), (7, 1));
        assert_eq!((&held[&ids[1]].payment, &held[&ids[2]].payment), (&moved_on, &forgotten));
    });
}
