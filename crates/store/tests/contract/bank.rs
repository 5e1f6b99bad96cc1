//! The simulated bank's book: a reference once, steps in order, a cursor that moves once.

use directpay_domain::payment::{Command, Payment, Reference};
use directpay_domain::time::SECOND_US;
use directpay_store::bank_book::{self, CONNECTION, Plan, State, Told};

use crate::harness::on_both_engines;
use crate::world::{World, instruction, reason, rent};

async fn processing(world: &World, count: usize) -> Vec<Payment> {
    let house = world.house().await;
    let mut payments = Vec::new();
    for number in 0..count {
        let id = world.pays(rent(&house, &format!("k{number}"))).await;
        payments.push(world.does(id, Command::Submit).await);
    }
    payments
}

async fn accept(world: &World, payment: &Payment, plan: Plan) -> Vec<Reference> {
    bank_book::accept(&world.db, &[instruction(payment, plan)]).await.unwrap()
}

async fn told(world: &World, position: i64) -> Vec<Told> {
    bank_book::told_since(&world.db, position, 100).await.unwrap()
}

async fn advance(world: &World, limit: i64) -> usize {
    bank_book::advance(&world.db, world.now(), limit).await.unwrap()
}

#[test]
fn a_reference_is_taken_once_for_ever() {
    on_both_engines(async |world| {
        let payments = processing(world, 2).await;
        let plan = || Plan::Settle { at: world.now() };
        assert_eq!(accept(world, &payments[0], plan()).await, [payments[0].reference()]);
        let both: Vec<_> = payments.iter().map(|payment| instruction(payment, Plan::Hold)).collect();

        let taken = bank_book::accept(&world.db, &both).await.unwrap();

        assert_eq!(taken, [payments[1].reference()]);
        assert_eq!(advance(world, 9).await, 1, "the first plan stands, the second bank instruction is held");
        assert_eq!(accept(world, &payments[0], plan()).await, []);
        assert_eq!(bank_book::accept(&world.db, &[]).await.unwrap(), []);
    });
}

#[test]
fn the_bank_knows_what_it_has_seen() {
    on_both_engines(async |world| {
        let payments = processing(world, 2).await;
        accept(world, &payments[1], Plan::Hold).await;
        let asked: Vec<_> = payments.iter().map(Payment::reference).collect();
        assert_eq!(bank_book::seen(&world.db, &asked).await.unwrap(), [(payments[1].reference(), State::Accepted)]);
        assert_eq!(bank_book::seen(&world.db, &[]).await.unwrap(), []);
    });
}

#[test]
fn what_is_settled_at_once_is_not_told_but_can_be_asked() {
    on_both_engines(async |world| {
        let payments = processing(world, 1).await;
        let reference = payments[0].reference();
        assert_eq!(accept(world, &payments[0], Plan::SettleAtOnce).await, [reference]);
        assert_eq!(accept(world, &payments[0], Plan::Hold).await, []);

        assert_eq!(advance(world, 9).await, 0);

        assert!(told(world, 0).await.is_empty());
        assert_eq!(bank_book::seen(&world.db, &[reference]).await.unwrap(), [(reference, State::Settled)]);
    });
}

#[test]
fn the_bank_does_what_is_due_in_the_order_of_time() {
    on_both_engines(async |world| {
        let payments = processing(world, 4).await;
        let at = |seconds: i64| world.now().plus_micros(seconds * SECOND_US);
        accept(world, &payments[0], Plan::Settle { at: at(3) }).await;
        accept(world, &payments[1], Plan::Refuse { at: at(1), reason: reason("R03") }).await;
        accept(world, &payments[2], Plan::Settle { at: at(2) }).await;
        accept(world, &payments[3], Plan::Hold).await;
        assert_eq!(bank_book::next_at(&world.db).await.unwrap(), Some(at(1)));
        assert_eq!(advance(world, 9).await, 0);

        world.wait_us(3 * SECOND_US);
        assert_eq!(advance(world, 2).await, 2);
        assert_eq!(advance(world, 9).await, 1);
        assert_eq!(advance(world, 9).await, 0);

        let told = told(world, 0).await;
        let order: Vec<_> = told.iter().map(|told| (told.position, told.reference, told.state)).collect();
        assert_eq!(
            order,
            [
                (1, payments[1].reference(), State::Refused),
                (2, payments[2].reference(), State::Settled),
                (3, payments[0].reference(), State::Settled),
            ]
        );
        assert_eq!((told[0].reason.clone(), told[1].reason.clone()), (Some(reason("R03")), None));
        assert_eq!(bank_book::next_at(&world.db).await.unwrap(), None);
    });
}

#[test]
fn a_return_follows_its_settlement_after_the_planned_time() {
    on_both_engines(async |world| {
        let payments = processing(world, 1).await;
        let plan = Plan::SettleThenReturn { at: world.now(), return_after_us: SECOND_US, reason: reason("R01") };
        accept(world, &payments[0], plan).await;
        assert_eq!(advance(world, 9).await, 1);
        assert_eq!(advance(world, 9).await, 0);
        assert_eq!(bank_book::next_at(&world.db).await.unwrap(), Some(world.now().plus_micros(SECOND_US)));
        world.wait_us(SECOND_US);
        assert_eq!(advance(world, 9).await, 1);

        let told = told(world, 0).await;

        assert_eq!((told[0].state, told[0].reason.clone()), (State::Settled, None));
        assert_eq!((told[1].state, told[1].reason.clone()), (State::Returned, Some(reason("R01"))));
        assert_eq!(advance(world, 9).await, 0);
    });
}

#[test]
fn what_was_told_is_read_on_from_any_place() {
    on_both_engines(async |world| {
        for payment in processing(world, 5).await {
            accept(world, &payment, Plan::Settle { at: world.now() }).await;
        }
        advance(world, 9).await;
        let positions = async |since, limit| -> Vec<i64> {
            let told = bank_book::told_since(&world.db, since, limit).await.unwrap();
            told.iter().map(|told| told.position).collect()
        };
        assert_eq!(positions(0, 2).await, [1, 2]);
        assert_eq!(positions(2, 9).await, [3, 4, 5]);
        assert!(positions(5, 9).await.is_empty());
    });
}

#[test]
fn many_who_advance_at_once_take_every_step_once_and_leave_no_gap() {
    on_both_engines(async |world| {
        for payment in processing(world, 30).await {
            accept(world, &payment, Plan::Settle { at: world.now() }).await;
        }
        let now = world.now();
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let db = world.db.clone();
                tokio::spawn(async move {
                    let mut steps = 0;
                    loop {
                        match bank_book::advance(&db, now, 4).await.unwrap() {
                            0 => return steps,
                            taken => steps += taken,
                        }
                    }
                })
            })
            .collect();
        let mut steps = 0;
        for worker in workers {
            steps += worker.await.unwrap();
        }
        assert_eq!(steps, 30);
        let positions: Vec<_> = told(world, 0).await.iter().map(|told| told.position).collect();
        assert_eq!(positions, (1..=30).collect::<Vec<_>>());
    });
}

#[test]
fn the_cursor_moves_from_where_it_was_believed_to_be_or_not_at_all() {
    on_both_engines(async |world| {
        let cursor = async || world.keep(async |tx| bank_book::cursor(tx, CONNECTION).await).await;
        let moves =
            async |from, to| world.keep(async |tx| bank_book::move_cursor(tx, CONNECTION, from, to).await).await;
        assert_eq!(cursor().await, 0);
        assert!(moves(0, 3).await);
        assert!(!moves(0, 5).await);
        assert_eq!(cursor().await, 3);
        assert!(moves(3, 5).await);
        assert_eq!(cursor().await, 5);
        let other = world.keep(async |tx| bank_book::cursor(tx, "another bank").await).await;
        assert_eq!(other, 0);
    });
}
