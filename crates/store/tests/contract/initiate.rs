//! The first door: batches of requests, replays, reuse, refusals, races.

use std::sync::Arc;

use directpay_domain::id::PaymentId;
use directpay_domain::metadata::Metadata;
use directpay_domain::payment::initiate::Initiation;
use directpay_domain::payment::{Actor, Command, EventType, Status};
use directpay_domain::rail::Rail;
use directpay_store::payments::{Fresh, Outcome};
use directpay_store::{leases, payments};
use jiff::civil::date;
use serde_json::json;

use crate::harness::{on_both_engines, on_postgres};
use crate::world::{World, initiated, key, refund, rent, usd};

fn refusal(outcome: &Outcome) -> Vec<(&'static str, &'static str)> {
    match outcome {
        Outcome::Refused(errors) => errors.iter().map(|(field, invalid)| (*field, invalid.code)).collect(),
        Outcome::Initiated(_) | Outcome::KeyReused(_) => panic!("{outcome:?}"),
    }
}

fn reused(outcome: &Outcome) -> PaymentId {
    match outcome {
        Outcome::KeyReused(id) => *id,
        Outcome::Initiated(_) | Outcome::Refused(_) => panic!("{outcome:?}"),
    }
}

#[test]
fn a_payment_comes_with_its_first_event_and_its_work() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let notes =
            json!({"unit": "3b", "list": [1, 2.50, -1e-7, 12345678901234567890_u64, null], "text": "ü\"\\ \u{1F600}"});
        let metadata = Some(Metadata::parse(notes.as_object().cloned().unwrap()).unwrap());
        let request = Initiation { metadata, currency: Some(usd(1).currency()), ..rent(&house, "k1") };

        let outcomes = world.initiates(std::slice::from_ref(&request)).await;

        let payment = &initiated(&outcomes[0]).payment;
        assert!(!initiated(&outcomes[0]).replayed);
        assert_eq!(world.find(payment.terms.id).await, payment.payment);
        let history = world.history(payment.terms.id).await;
        assert_eq!(history.len(), 1);
        assert_eq!(history[0].actor, Actor::system("contract"), "who was said to have acted");
        world.assert_is_fold(payment.terms.id, Status::Pending).await;
        assert_eq!(world.count("SELECT COUNT(*) FROM due_work WHERE what = 'SUBMIT' AND attempt = 1").await, 1);
        assert_eq!(world.count("SELECT COUNT(*) FROM postings").await, 0);
        assert!(initiated(&world.initiates(&[request]).await[0]).replayed, "the notes come back as they went in");
    });
}

#[test]
fn one_batch_may_hold_all_kinds_of_requests_and_none_spoils_another() {
    on_both_engines(async |world| {
        let (house, other) = (world.house().await, world.house().await);
        let old = world.pays(rent(&house, "old")).await;
        let too_much = Initiation { amount: usd(i64::MAX), ..rent(&house, "too-much") };
        let not_mine = Initiation { lease_id: other.lease, ..rent(&house, "not-mine") };
        let reuse = Initiation { amount: usd(1), ..rent(&house, "old") };

        let outcomes = world
            .initiates(&[
                rent(&house, "new"),
                rent(&house, "old"),
                reuse,
                too_much,
                rent(&house, "new"),
                Initiation { rail: Some(Rail::Wire), ..rent(&house, "new") },
                not_mine,
                rent(&other, "new"),
                refund(&house, "new"),
            ])
            .await;

        let new = initiated(&outcomes[0]).payment.terms.id;
        assert!(!initiated(&outcomes[0]).replayed);
        assert_eq!((initiated(&outcomes[1]).payment.terms.id, initiated(&outcomes[1]).replayed), (old, true));
        assert_eq!(reused(&outcomes[2]), old);
        assert_eq!(refusal(&outcomes[3]), [("amount", "over_rail_limit")]);
        assert_eq!((initiated(&outcomes[4]).payment.terms.id, initiated(&outcomes[4]).replayed), (new, true));
        assert_eq!(reused(&outcomes[5]), new);
        assert_eq!(refusal(&outcomes[6]), [("lease_id", "not_found")]);
        // A key is one initiator's own.
        assert!(!initiated(&outcomes[7]).replayed);
        assert!(!initiated(&outcomes[8]).replayed);
        assert_eq!(world.count("SELECT COUNT(*) FROM payments").await, 4);
        assert_eq!(world.count("SELECT COUNT(*) FROM events").await, 4);
        assert_eq!(world.count("SELECT COUNT(*) FROM due_work").await, 4);
    });
}

#[test]
fn an_empty_batch_is_no_work() {
    on_both_engines(async |world| {
        assert!(world.initiates(&[]).await.is_empty());
    });
}

#[test]
fn a_refusal_consumes_no_key_not_even_within_its_batch() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let refused = Initiation { amount: usd(i64::MAX), ..rent(&house, "k1") };

        let outcomes = world.initiates(&[refused, rent(&house, "k1")]).await;

        assert_eq!(refusal(&outcomes[0]), [("amount", "over_rail_limit")]);
        assert!(!initiated(&outcomes[1]).replayed);
    });
}

#[test]
fn a_key_is_case_sensitive() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let outcomes = world.initiates(&[rent(&house, "key"), rent(&house, "KEY")]).await;
        assert!(outcomes.iter().all(|outcome| !initiated(outcome).replayed));
    });
}

#[test]
fn a_replay_is_answered_whatever_happened_to_payment_account_and_lease() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let id = world.pays(rent(&house, "k1")).await;
        world.does(id, Command::Submit).await;
        world.execute("UPDATE bank_accounts SET is_active = FALSE, is_primary = FALSE").await;
        world.keep(async |tx| leases::terminate(tx, house.lease, date(2026, 1, 2), world.now()).await).await;

        let outcomes = world.initiates(&[rent(&house, "k1"), rent(&house, "k2")]).await;

        assert_eq!(initiated(&outcomes[0]).payment.payment, world.find(id).await);
        assert_eq!(initiated(&outcomes[0]).payment.status, Status::Processing);
        assert!(matches!(outcomes[1], Outcome::Refused(_)));
    });
}

#[test]
fn a_lease_that_has_ended_still_takes_payments() {
    on_both_engines(async |world| {
        let house = world.house().await;
        world.keep(async |tx| leases::terminate(tx, house.lease, date(2026, 1, 2), world.now()).await).await;
        world.pays(rent(&house, "arrears")).await;
    });
}

#[test]
fn an_account_of_anybody_else_is_not_found_and_an_own_one_is_judged() {
    on_both_engines(async |world| {
        let (house, other) = (world.house().await, world.house().await);
        let second = world.links(house.renter).await;
        let with = |payer| Initiation { payer_account_id: Some(payer), ..rent(&house, "k") };
        assert_eq!(
            refusal(&world.initiates(&[with(other.renters_account)]).await[0]),
            [("payer_account_id", "not_found")]
        );
        world.execute("UPDATE bank_accounts SET closed_by = 'R02' WHERE NOT is_primary").await;
        assert_eq!(refusal(&world.initiates(&[with(second)]).await[0]), [("payer_account_id", "account_unusable")]);
        world.execute("UPDATE bank_accounts SET is_active = FALSE WHERE NOT is_primary").await;
        assert_eq!(refusal(&world.initiates(&[with(second)]).await[0]), [("payer_account_id", "inactive")]);
        world.pays(with(house.renters_account)).await;
    });
}

#[test]
fn a_payment_is_found_by_its_initiators_key() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let id = world.pays(rent(&house, "k1")).await;
        let find = async |initiator, text| {
            let found = world.keep(async |tx| payments::find_by_key(tx, initiator, &key(text)).await).await;
            found.map(|payment| payment.terms.id)
        };
        assert_eq!(find(house.renter, "k1").await, Some(id));
        assert_eq!(find(house.renter, "K1").await, None);
        assert_eq!(find(house.landlord, "k1").await, None);
    });
}

/// Writers on tasks of their own hand in the same keys, each in an order of its own.
async fn race(world: &World, keys: usize, writers: usize) -> Vec<Vec<Outcome>> {
    let house = world.house().await;
    let start = Arc::new(tokio::sync::Barrier::new(writers));
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let mut batch: Vec<Fresh> = (0..keys).map(|n| world.fresh(rent(&house, &format!("k{n:03}")))).collect();
            batch.rotate_left(writer * keys / writers);
            if writer % 2 == 1 {
                batch.reverse();
            }
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
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    all
}

#[test]
fn writers_with_the_same_keys_at_the_same_time_make_one_payment_a_key() {
    on_both_engines(async |world| {
        let all = race(world, 50, 4).await;

        let outcomes: Vec<_> = all.iter().flatten().map(initiated).collect();
        assert_eq!(outcomes.iter().filter(|initiated| !initiated.replayed).count(), 50);
        let mut ids: Vec<_> = outcomes.iter().map(|initiated| initiated.payment.terms.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 50, "every caller of a key got the one payment");
        for table in ["SELECT COUNT(*) FROM payments", "SELECT COUNT(*) FROM events", "SELECT COUNT(*) FROM due_work"] {
            assert_eq!(world.count(table).await, 50);
        }
    });
}

#[test]
fn who_loses_the_race_for_a_key_with_another_request_is_told_whose_it_is() {
    on_postgres(async |world| {
        let house = world.house().await;
        let winner = world.fresh(rent(&house, "k1"));
        let loser = world.fresh(Initiation { amount: usd(1), ..rent(&house, "k1") });
        let mut first = world.db.begin().await.unwrap();
        payments::initiate(&mut first, std::slice::from_ref(&winner)).await.unwrap();
        let db = world.db.clone();
        let waiting = tokio::spawn(async move {
            let mut second = db.begin().await.unwrap();
            let outcomes = payments::initiate(&mut second, &[loser]).await.unwrap();
            second.commit().await.unwrap();
            outcomes
        });
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        first.commit().await.unwrap();

        assert_eq!(reused(&waiting.await.unwrap()[0]), winner.payment_id);

        assert_eq!(world.history(winner.payment_id).await[0].change.event_type(), EventType::Initiated);
    });
}
