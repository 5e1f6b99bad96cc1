//! The feed: every event once, in one order, whoever writes when; and nobody sees what is others'.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use directpay_domain::id::UserId;
use directpay_domain::payment::Command;
use directpay_domain::payment::initiate::Initiation;
use directpay_domain::user::Role;
use directpay_store::feed::{self, Entry, Fact, LOOKED_THROUGH_MAX, Numbered, Reader};
use directpay_store::{Db, payments};
use rstest::rstest;
use uuid::Uuid;

use crate::audit::unlock;
use crate::harness::{on_both_engines, on_postgres, on_sqlite};
use crate::world::{House, World, initiated, refund, rent};

/// Gives positions to all that wait.
async fn number(world: &World) {
    while feed::number(&world.db).await.unwrap() == Numbered::ABatch {}
}

async fn read(world: &World, reader: Reader, after: i64, limit: i64) -> feed::Page {
    let mut tx = world.db.begin_read().await.unwrap();
    feed::page(&mut tx, reader, after, limit).await.unwrap()
}

/// All that `reader` sees, by pages of `limit`.
async fn all(world: &World, reader: Reader, limit: i64) -> Vec<Entry> {
    let (mut entries, mut after) = (Vec::new(), 0);
    loop {
        let page = read(world, reader, after, limit).await;
        entries.extend(page.entries);
        after = page.through;
        if !page.has_more {
            return entries;
        }
    }
}

fn place(entry: &Entry) -> (Uuid, i64) {
    match &entry.fact {
        Fact::Payment(event, _) => (event.payment_id.0, event.sequence),
        Fact::Lease(event) => (event.lease_id.0, event.sequence),
    }
}

/// Positions ascend, and so do the numbers within each history, from 1 and without a gap.
fn assert_in_order(entries: &[Entry]) {
    let mut last: HashMap<Uuid, i64> = HashMap::new();
    let mut before = 0;
    for entry in entries {
        assert!(before < entry.position, "{} after {before}", entry.position);
        before = entry.position;
        let (stream, sequence) = place(entry);
        assert_eq!(last.insert(stream, sequence).unwrap_or(0) + 1, sequence, "of {stream}");
    }
}

async fn assert_complete(world: &World) {
    let entries = all(world, Reader::Everybody, 1_000).await;
    assert_in_order(&entries);
    let positions: Vec<_> = entries.iter().map(|entry| entry.position).collect();
    let events = world.count("SELECT COUNT(*) FROM events").await;
    assert_eq!(positions, (1..=events).collect::<Vec<_>>());
    assert_sound(world).await;
}

async fn assert_sound(world: &World) {
    assert_eq!(broken(world).await, Vec::<&str>::new());
}

/// The checks of the audit that concern the feed and find something.
async fn broken(world: &World) -> Vec<&'static str> {
    let audit = directpay_store::audit(&world.db, |_, _| {}).await.unwrap();
    let of_feed = audit.checks.iter().filter(|check| check.name.contains("the feed"));
    of_feed.filter(|check| 0 < check.breaches).map(|check| check.name).collect()
}

async fn pay_and_cancel(world: &World, house: &House, name: &str, count: usize) {
    let batch: Vec<_> = (0..count).map(|number| rent(house, &format!("{name}-{number}"))).collect();
    let outcomes = world.initiates(&batch).await;
    let ids = outcomes.iter().map(|outcome| initiated(outcome).payment.terms.id);
    world.tries(ids.map(|id| (id, Command::Cancel(None))).collect()).await;
}

#[test]
fn every_event_has_one_position_in_the_order_of_its_history() {
    on_both_engines(async |world| {
        let (one, other) = (world.house().await, world.house().await);
        assert_eq!(read(world, Reader::Everybody, 0, 10).await.through, 0);
        for round in 0..3 {
            pay_and_cancel(world, &one, &format!("one{round}"), 3).await;
            pay_and_cancel(world, &other, &format!("other{round}"), 2).await;
            number(world).await;
        }
        assert_complete(world).await;
        // Again, and nothing happens.
        number(world).await;
        assert_complete(world).await;
    });
}

#[test]
fn each_sees_the_events_of_the_own_leases() {
    on_both_engines(async |world| {
        let (one, other) = (world.house().await, world.house().await);
        let third = world.joins(Role::Renter).await;
        pay_and_cancel(world, &one, "one", 3).await;
        pay_and_cancel(world, &other, "other", 2).await;
        world.pays(Initiation { payee_id: None, ..refund(&one, "back") }).await;
        number(world).await;
        let everything = all(world, Reader::Everybody, 1_000).await;
        for (house, count) in [(one, 7), (other, 4)] {
            let of_lease = everything.iter().filter(|entry| entry.lease_id == Some(house.lease));
            let own: Vec<_> = of_lease.map(place).collect();
            assert_eq!(own.len(), count);
            for reader in [Reader::Landlord(house.landlord), Reader::Renter(house.renter)] {
                for limit in [1, 3, 1_000] {
                    assert_eq!(all(world, reader, limit).await.iter().map(place).collect::<Vec<_>>(), own);
                }
            }
        }
        for nobody in [Reader::Renter(third), Reader::Renter(one.landlord), Reader::Landlord(one.renter)] {
            assert!(all(world, nobody, 10).await.is_empty());
        }
        // What is read for everybody is shared out by the same rule.
        let renters = HashMap::from([(one.lease, vec![one.renter]), (other.lease, vec![other.renter])]);
        for reader in [one.landlord, other.landlord].map(Reader::Landlord).into_iter().chain([
            Reader::Renter(one.renter),
            Reader::Renter(third),
            Reader::Everybody,
        ]) {
            let shared: Vec<_> = everything.iter().filter(|entry| reader.sees(entry, &renters)).map(place).collect();
            assert_eq!(shared, all(world, reader, 5).await.iter().map(place).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_page_looks_through_so_many_positions_and_says_how_far_it_came() {
    on_both_engines(async |world| {
        let one = world.house().await;
        // The newest lease has the highest id.
        world.house().await;
        pay_and_cancel(world, &one, "first", 1).await;
        world
            .execute(
                "INSERT INTO events (stream_id, sequence, stream, event_type, occurred_at, body, hash)
                 WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
                 SELECT l.id, i, 'LEASE', 'rent_changed', 0, '{}', (SELECT head FROM lease_accounts LIMIT 1)
                 FROM n CROSS JOIN (SELECT id FROM leases ORDER BY id DESC LIMIT 1) l",
            )
            .await;
        pay_and_cancel(world, &one, "last", 1).await;
        number(world).await;
        let reader = Reader::Landlord(one.landlord);
        let first = read(world, reader, 0, 10).await;
        assert_eq!((first.entries.len(), first.through, first.has_more), (2, LOOKED_THROUGH_MAX, true));
        let second = read(world, reader, first.through, 10).await;
        assert_eq!((second.entries.len(), second.through, second.has_more), (2, 6_004, false));
        let full = read(world, reader, 0, 1).await;
        assert_eq!((full.entries.len(), full.through, full.has_more), (1, 1, true));
        // Further on than there is anything, nobody goes back.
        for beyond in [6_004, 7_000, i64::MAX] {
            let nothing = read(world, reader, beyond, 10).await;
            assert_eq!((nothing.entries.len(), nothing.through, nothing.has_more), (0, beyond, false));
        }
    });
}

#[test]
fn an_event_that_is_committed_late_is_not_passed_over() {
    on_postgres(async |world| {
        let (one, other) = (world.house().await, world.house().await);
        let mut late = world.db.begin().await.unwrap();
        let fresh = world.fresh(rent(&one, "late"));
        payments::initiate(&mut late, std::slice::from_ref(&fresh)).await.unwrap();
        pay_and_cancel(world, &other, "soon", 40).await;
        number(world).await;
        let seen = read(world, Reader::Everybody, 0, 1_000).await;
        assert_eq!((seen.entries.len(), seen.through), (80, 80));
        assert_sound(world).await;

        late.commit().await.unwrap();
        assert_eq!(read(world, Reader::Everybody, seen.through, 10).await.entries.len(), 0);
        number(world).await;

        let then = read(world, Reader::Everybody, seen.through, 10).await;
        assert_eq!(then.entries.iter().map(place).collect::<Vec<_>>(), [(fresh.payment_id.0, 1)]);
        assert_eq!(then.through, 81);
        assert_complete(world).await;
    });
}

#[test]
fn what_is_rolled_back_leaves_no_gap() {
    on_both_engines(async |world| {
        let house = world.house().await;
        pay_and_cancel(world, &house, "before", 2).await;
        let mut tx = world.db.begin().await.unwrap();
        payments::initiate(&mut tx, &[world.fresh(rent(&house, "given-up"))]).await.unwrap();
        drop(tx);
        pay_and_cancel(world, &house, "after", 2).await;
        number(world).await;
        assert_complete(world).await;
    });
}

#[test]
fn only_one_numbers_at_a_time() {
    on_postgres(async |world| {
        let house = world.house().await;
        pay_and_cancel(world, &house, "waiting", 2).await;
        let [one, other] = [(), ()].map(|()| feed::number(&world.db));
        let (one, other) = tokio::join!(one, other);
        assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
        number(world).await;
        assert_complete(world).await;
    });
}

#[test]
fn whatever_dies_while_it_numbers_leaves_all_or_nothing() {
    on_postgres(async |world| {
        let house = world.house().await;
        for round in 0..30 {
            pay_and_cancel(world, &house, &format!("r{round}"), 2).await;
            // Dropped at another place each time.
            let patience = Duration::from_micros(200 * round);
            let _died = tokio::time::timeout(patience, feed::number(&world.db)).await;
            assert_sound(world).await;
        }
        number(world).await;
        assert_complete(world).await;
    });
}

/// Four write `each` payments of two events while others number them and readers follow.
async fn written_and_followed(world: &World, each: usize, batch: usize) {
    let houses = [world.house().await, world.house().await, world.house().await, world.house().await];
    let of_one = i64::try_from(each * 2).unwrap();
    let total = of_one * 4;
    let is_over = AtomicBool::new(false);
    let write = async |house: &House| {
        for part in 0..each / batch {
            let fresh: Vec<_> =
                (0..batch).map(|at| world.fresh(rent(house, &format!("{}-{part}-{at}", house.lease)))).collect();
            let mut tx = world.db.begin().await.unwrap();
            payments::initiate(&mut tx, &fresh).await.unwrap();
            let commands: Vec<_> =
                fresh.iter().map(|one| world.instructed(one.payment_id, Command::Cancel(None))).collect();
            if part % 2 == 0 {
                // In the same transaction; some stay open for a while, and commit late.
                payments::record(&mut tx, &commands).await.unwrap();
                if world.db.is_shared() {
                    tokio::time::sleep(Duration::from_millis(3) * u32::try_from(part % 7).unwrap()).await;
                }
                tx.commit().await.unwrap();
            } else {
                tx.commit().await.unwrap();
                world.keep(async |tx| payments::record(tx, &commands).await).await;
            }
        }
    };
    let number_all = async || {
        while !is_over.load(Ordering::Relaxed) {
            if feed::number(&world.db).await.unwrap() == Numbered::All {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    };
    let follow = async |reader: Reader, expected: i64| {
        let (mut after, mut entries) = (0, Vec::new());
        while i64::try_from(entries.len()).unwrap() < expected {
            let page = read(world, reader, after, 500).await;
            after = page.through;
            entries.extend(page.entries);
            if !page.has_more {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        }
        assert_in_order(&entries);
        let ids: HashSet<_> = entries.iter().map(place).collect();
        assert_eq!(ids.len(), entries.len());
        assert_eq!(i64::try_from(entries.len()).unwrap(), expected);
    };
    // On the heap: they are large.
    let work = Box::pin(async {
        tokio::join!(
            Box::pin(write(&houses[0])),
            Box::pin(write(&houses[1])),
            Box::pin(write(&houses[2])),
            Box::pin(write(&houses[3])),
            Box::pin(follow(Reader::Everybody, total)),
            Box::pin(follow(Reader::Everybody, total)),
            Box::pin(follow(Reader::Landlord(houses[0].landlord), of_one)),
            Box::pin(follow(Reader::Renter(houses[1].renter), of_one)),
        );
        is_over.store(true, Ordering::Relaxed);
    });
    tokio::join!(work, Box::pin(number_all()), Box::pin(number_all()));
    assert_complete(world).await;
}

#[test]
fn readers_follow_four_writers_and_see_every_event_once() {
    on_both_engines(async |world| written_and_followed(world, 60, 10).await);
}

#[test]
#[ignore = "takes minutes"]
fn readers_follow_a_hundred_thousand_events_of_four_writers() {
    on_postgres(async |world| written_and_followed(world, 12_500, 50).await);
}

/// The database as it was before there was a feed.
async fn forget_the_feed(world: &World) {
    let statements: &[&'static str] = match world.db {
        Db::Sqlite { .. } => &["DROP VIEW feed"],
        Db::Postgres(_) => &["DROP TABLE feed, feed_waiting, feed_before", "DROP FUNCTION note_for_feed CASCADE"],
    };
    for statement in statements {
        world.execute(statement).await;
    }
    world.execute("DELETE FROM _sqlx_migrations WHERE description = 'feed'").await;
}

#[test]
fn events_from_before_the_feed_get_positions_bit_by_bit_and_before_those_that_follow_on_them() {
    on_both_engines(async |world| {
        let house = world.house().await;
        forget_the_feed(world).await;
        for part in 0..7 {
            pay_and_cancel(world, &house, &format!("old{part}"), 100).await;
        }
        let open = world.pays(rent(&house, "open")).await;
        world.db.migrate().await.unwrap();
        assert_sound(world).await;
        world.does(open, Command::Cancel(None)).await;
        pay_and_cancel(world, &house, "new", 20).await;
        let mut rounds = 0;
        while feed::number(&world.db).await.unwrap() == Numbered::ABatch {
            rounds += 1;
            // Meanwhile life goes on, and whoever numbers may die.
            pay_and_cancel(world, &house, &format!("meanwhile{rounds}"), 5).await;
            assert_sound(world).await;
        }
        if world.db.is_shared() {
            assert_eq!(rounds, 2, "a thousand events at a time");
            assert_eq!(world.count("SELECT COUNT(*) FROM feed_before").await, 0);
        }
        number(world).await;
        assert_complete(world).await;
    });
}

#[test]
fn a_new_database_has_nothing_to_catch_up_with() {
    on_postgres(async |world| {
        assert_eq!(world.count("SELECT COUNT(*) FROM feed_before").await, 0);
        assert_eq!(feed::number(&world.db).await.unwrap(), Numbered::All);
    });
}

const DENSE: &str = "positions in the feed have no gap";
const ONCE: &str = "every event has one position in the feed, or waits for it";
const ORDER: &str = "the feed has every history in its order";
const WHOSE: &str = "the feed shows each event to those whose it is";

#[rstest]
#[case::missing("DELETE FROM feed WHERE position = 3", &[DENSE, ONCE])]
#[case::first("DELETE FROM feed WHERE position = 1", &[DENSE, ONCE])]
#[case::last("DELETE FROM feed WHERE position = 8", &[ONCE])]
#[case::not_waiting("DELETE FROM feed_waiting", &[ONCE])]
#[case::twice("INSERT INTO feed SELECT 9, stream_id, sequence, lease_id, landlord_id FROM feed WHERE position = 8", &[ONCE])]
#[case::of_nothing("INSERT INTO feed SELECT 9, stream_id, 7, lease_id, landlord_id FROM feed WHERE position = 2", &[ONCE])]
#[case::swapped("UPDATE feed SET sequence = 3 - sequence WHERE stream_id = (SELECT stream_id FROM feed WHERE position = 1)",
                &[ORDER])]
#[case::anothers("UPDATE feed SET landlord_id = lease_id WHERE position = 4", &[WHOSE])]
#[case::nobodys("UPDATE feed SET lease_id = NULL WHERE position = 4", &[WHOSE])]
fn tampering_with_positions_is_named(#[case] sql: &'static str, #[case] expected: &[&str]) {
    on_postgres(async |world| {
        let house = world.house().await;
        pay_and_cancel(world, &house, "numbered", 4).await;
        number(world).await;
        pay_and_cancel(world, &house, "waiting", 1).await;
        world.fail(async |tx| tx.execute("UPDATE feed SET position = position + 100", ()).await).await;
        world.fail(async |tx| tx.execute("DELETE FROM feed", ()).await).await;
        assert_sound(world).await;
        world.execute("DROP TRIGGER feed_append_only ON feed").await;
        assert!(0 < world.execute(sql).await);
        let found: BTreeSet<_> = broken(world).await.into_iter().collect();
        assert_eq!(found, expected.iter().copied().collect());
    });
}

#[rstest]
#[case::missing("DELETE FROM events WHERE position = 3", &[DENSE])]
#[case::swapped("UPDATE events SET position = 100 - position", &[DENSE, ORDER])]
fn tampering_with_rows_is_named(#[case] sql: &'static str, #[case] expected: &[&str]) {
    on_sqlite(async |world| {
        let house = world.house().await;
        pay_and_cancel(world, &house, "numbered", 4).await;
        assert_sound(world).await;
        unlock(world).await;
        assert!(0 < world.execute(sql).await);
        let found: BTreeSet<_> = broken(world).await.into_iter().collect();
        assert_eq!(found, expected.iter().copied().collect());
    });
}

/// An event of nobody is damage. It is shown to administrators only, and stops nobody else's.
#[test]
fn an_event_of_nobody_does_not_stop_the_feed() {
    on_both_engines(async |world| {
        let house = world.house().await;
        world
            .execute(
                "INSERT INTO events (stream_id, sequence, stream, event_type, occurred_at, body, hash)
                 SELECT id, 1, 'PAYMENT', 'payment_failed', 0, '{}', (SELECT head FROM lease_accounts LIMIT 1) FROM users WHERE role = 'RENTER'",
            )
            .await;
        pay_and_cancel(world, &house, "after", 1).await;
        number(world).await;
        assert_eq!(all(world, Reader::Landlord(house.landlord), 10).await.len(), 2);
        assert_eq!(broken(world).await, [WHOSE]);
        assert!(all(world, Reader::Renter(UserId(house.lease.0)), 10).await.is_empty());
    });
}
