//! The queue: claims are disjoint, expire, and end with the work.

use std::time::Duration;

use directpay_domain::id::PaymentId;
use directpay_domain::payment::{Command, WorkKind};
use directpay_domain::time::SECOND_US;
use directpay_store::payments as doors;
use directpay_store::work::{self, Claim, Taken};
use directpay_store::{StoreError, Tx};
use uuid::Uuid;

use crate::harness::{on_both_engines, on_postgres};
use crate::world::{House, World, reason, rent};

const ANNE: Uuid = Uuid::from_u128(0xA);
const BERT: Uuid = Uuid::from_u128(0xB);
/// Claims are in process time, which has nothing to do with business time.
const NOW: i64 = 1_000;
const UNTIL: i64 = 2_000;

async fn claim(world: &World, by: Uuid, now_us: i64, limit: i64) -> Vec<PaymentId> {
    let claimed = claimed(world, by, now_us, limit).await;
    let mut ids: Vec<_> = claimed.iter().map(|work| work.payment_id).collect();
    ids.sort();
    ids
}

async fn claimed(world: &World, by: Uuid, now_us: i64, limit: i64) -> Vec<Taken> {
    let due = world.now();
    let claim = Claim { by, until_us: now_us + UNTIL - NOW };
    let take_and_keep = async |tx: &mut Tx| {
        let taken = work::take(tx, due, now_us, limit).await?;
        let keys: Vec<_> = taken.iter().map(|one| (one.payment_id, one.attempt)).collect();
        work::keep(tx, &keys, claim).await?;
        Ok::<_, StoreError>(taken)
    };
    world.keep(take_and_keep).await
}

async fn payments(world: &World, house: &House, count: usize) -> Vec<PaymentId> {
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(world.pays(rent(house, &format!("k{number}"))).await);
    }
    ids
}

#[test]
fn two_claimers_never_hold_the_same_work() {
    on_both_engines(async |world| {
        let ids = payments(world, &world.house().await, 3).await;

        let anne = claim(world, ANNE, NOW, 2).await;
        let bert = claim(world, BERT, NOW, 9).await;

        assert_eq!((anne.len(), bert.len()), (2, 1));
        let mut both = [anne, bert].concat();
        both.sort();
        assert_eq!(both, ids);
        assert_eq!(claim(world, ANNE, NOW, 9).await, []);
    });
}

#[test]
fn work_is_claimed_when_it_is_due_and_the_longest_due_first() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let first = world.pays(rent(&house, "first")).await;
        world.wait_us(SECOND_US);
        let second = world.pays(rent(&house, "second")).await;
        world.wait_us(-1);

        assert_eq!(claim(world, ANNE, NOW, 9).await, [first]);
        world.wait_us(1);
        world.keep(async |tx| work::release(tx, ANNE).await).await;
        assert_eq!(claim(world, ANNE, NOW, 1).await, [first]);
        assert_eq!(claim(world, ANNE, NOW, 1).await, [second]);
    });
}

#[test]
fn a_claim_expires_and_can_be_renewed_by_its_holder() {
    on_both_engines(async |world| {
        let ids = payments(world, &world.house().await, 1).await;
        claim(world, ANNE, NOW, 9).await;
        assert_eq!(claim(world, BERT, UNTIL - 1, 9).await, []);
        world.keep(async |tx| work::renew(tx, Claim { by: ANNE, until_us: UNTIL + 500 }, UNTIL - 1).await).await;
        world.keep(async |tx| work::renew(tx, Claim { by: BERT, until_us: UNTIL + 900 }, UNTIL - 1).await).await;
        assert_eq!(claim(world, BERT, UNTIL, 9).await, []);

        // What has expired is not renewed: somebody else may be at it.
        world.keep(async |tx| work::renew(tx, Claim { by: ANNE, until_us: UNTIL + 900 }, UNTIL + 500).await).await;

        assert_eq!(claim(world, BERT, UNTIL + 500, 9).await, ids);
    });
}

#[test]
fn who_goes_lets_go_of_the_own_claims_only() {
    on_both_engines(async |world| {
        payments(world, &world.house().await, 2).await;
        let annes = claim(world, ANNE, NOW, 1).await;
        claim(world, BERT, NOW, 1).await;
        world.keep(async |tx| work::release(tx, ANNE).await).await;
        assert_eq!(claim(world, BERT, NOW, 9).await, annes);
        world.keep(async |tx| work::release_all(tx).await).await;
        assert_eq!(claim(world, ANNE, NOW, 9).await.len(), 2);
    });
}

#[test]
fn work_that_is_put_off_comes_back_then_and_to_anybody() {
    on_both_engines(async |world| {
        let ids = payments(world, &world.house().await, 2).await;
        claim(world, ANNE, NOW, 9).await;
        let later = world.now().plus_micros(SECOND_US);
        // The second is for an attempt that is over: nothing happens to it.
        world.keep(async |tx| work::put_off(tx, &[(ids[0], 1), (ids[1], 0)], later).await).await;
        world.keep(async |tx| work::put_off(tx, &[], later).await).await;
        assert_eq!(claim(world, BERT, NOW, 9).await, []);
        let next = async |now_us| world.keep(async |tx| work::next_due(tx, now_us).await).await;
        assert_eq!(next(NOW).await, Some(later.micros()));
        assert_eq!(next(UNTIL).await, Some(world.now().micros()), "an expired claim no longer hides its work");
        world.wait_us(SECOND_US);
        assert_eq!(claim(world, BERT, NOW, 9).await, ids[..1]);
        assert_eq!(next(NOW).await, None);
    });
}

#[test]
fn whoever_recorded_the_intent_goes_on_to_submit() {
    on_both_engines(async |world| {
        let ids = payments(world, &world.house().await, 1).await;
        claim(world, ANNE, NOW, 9).await;
        world.does(ids[0], Command::Submit).await;

        assert_eq!(claim(world, BERT, NOW, 9).await, [], "the claim of the attempt is kept");

        let inquiry = claimed(world, BERT, UNTIL, 9).await;
        assert_eq!((inquiry[0].what, inquiry[0].attempt), (WorkKind::Inquire, 1));
    });
}

#[test]
fn a_new_attempt_is_nobodys_yet() {
    on_both_engines(async |world| {
        let ids = payments(world, &world.house().await, 1).await;
        claim(world, ANNE, NOW, 9).await;
        world.does(ids[0], Command::Submit).await;
        world.does(ids[0], Command::NotNow { attempt: 1, reason: reason("BANK_UNAVAILABLE") }).await;

        let submit = claimed(world, BERT, NOW, 9).await;

        assert_eq!((submit[0].what, submit[0].attempt), (WorkKind::Submit, 2));
        // Anne comes late with her first attempt: Bert's claim and the second attempt's work stay.
        world.keep(async |tx| work::finish(tx, &[(ids[0], 1)]).await).await;
        world.keep(async |tx| work::renew(tx, Claim { by: ANNE, until_us: UNTIL * 9 }, NOW).await).await;
        world.keep(async |tx| work::release(tx, ANNE).await).await;
        assert_eq!(claim(world, ANNE, NOW, 9).await, []);
        assert_eq!(claim(world, ANNE, UNTIL, 9).await, ids);
        world.keep(async |tx| work::finish(tx, &[(ids[0], 2)]).await).await;
        world.keep(async |tx| work::finish(tx, &[]).await).await;
        assert_eq!(world.count("SELECT COUNT(*) FROM due_work").await, 0);
    });
}

#[test]
fn new_work_is_announced_to_other_processes_when_it_is_committed() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let mut listener = world.db.listen_for_work().await.unwrap();
        let mut hears = async || tokio::time::timeout(Duration::from_millis(500), listener.heard()).await.is_ok();
        let fresh = world.fresh(rent(&house, "k1"));
        let mut tx = world.db.begin().await.unwrap();
        directpay_store::payments::initiate(&mut tx, &[fresh]).await.unwrap();
        drop(tx);
        assert!(!hears().await, "what was rolled back is no work");

        world.pays(rent(&house, "k1")).await;

        // Nobody else can be at a SQLite file: whoever writes wakes its own workers.
        assert_eq!(hears().await, world.db.is_shared());
    });
}

/// Renewing goes over many rows while others record facts about the same payments, in another order.
#[test]
fn tending_the_queue_and_recording_facts_never_wait_for_each_other_in_a_circle() {
    on_postgres(async |world| {
        let ids = payments(world, &world.house().await, 60).await;
        claim(world, ANNE, NOW, 99).await;
        let rounds = 40_i64;
        let tending = async {
            for round in 0..rounds * 3 {
                world.keep(async |tx| work::renew(tx, Claim { by: ANNE, until_us: UNTIL + round }, NOW).await).await;
                let late: Vec<_> = ids.iter().rev().map(|id| (*id, 0)).collect();
                world.keep(async |tx| work::put_off(tx, &late, world.now()).await).await;
            }
        };
        let recording = async {
            for round in 0..rounds {
                let attempt = round / 2 + 1;
                let command = match round % 2 {
                    0 => Command::Submit,
                    _ => Command::NotNow { attempt, reason: reason("BANK_UNAVAILABLE") },
                };
                world.tries(ids.iter().map(|id| (*id, command.clone())).collect()).await;
                world.execute("UPDATE due_work SET claimed_until = 2000, claimed_by = (SELECT claimed_by FROM due_work WHERE claimed_by IS NOT NULL LIMIT 1)").await;
            }
        };
        tokio::join!(tending, recording);
    });
}

#[test]
fn what_one_takes_another_passes_over_and_the_intent_keeps_it() {
    on_postgres(async |world| {
        let house = world.house().await;
        let ids = payments(world, &house, 3).await;
        let due = world.now();
        let mut anne = world.db.begin().await.unwrap();
        let mut bert = world.db.begin().await.unwrap();
        let annes = work::take(&mut anne, due, NOW, 2).await.unwrap();
        let berts = work::take(&mut bert, due, NOW, 9).await.unwrap();
        assert_eq!((annes.len(), berts.len(), ids.len()), (2, 1, 3));
    });
    on_both_engines(async |world| {
        let house = world.house().await;
        let ids = payments(world, &house, 2).await;
        let claim = Claim { by: ANNE, until_us: UNTIL };
        world
            .keep(async |tx| {
                let taken = work::take(tx, world.now(), NOW, 9).await?;
                let of: Vec<_> = taken.iter().map(|one| one.payment_id).collect();
                let mut held = doors::hold(tx, &of).await?;
                let submit = world.instructed(ids[0], Command::Submit);
                doors::record_held(tx, &mut held, vec![submit], Some(claim)).await?;
                work::keep(tx, &[(ids[1], 1)], claim).await
            })
            .await;

        assert_eq!(claim_of(world, BERT, NOW).await, 0, "both are Anne's");
        assert_eq!(claim_of(world, BERT, UNTIL).await, 2, "until her claims run out");
        assert_eq!(world.count("SELECT COUNT(*) FROM due_work WHERE what = 'INQUIRE'").await, 1);
    });
}

async fn claim_of(world: &World, by: Uuid, now_us: i64) -> usize {
    claimed(world, by, now_us, 9).await.len()
}

#[test]
fn what_the_bank_has_is_awaited_until_its_word_is_recorded() {
    on_both_engines(async |world| {
        let ids = payments(world, &world.house().await, 4).await;
        world.tries(ids.iter().map(|id| (*id, Command::Submit)).collect()).await;
        let since = async || world.keep(async |tx| work::awaited_since(tx, world.now()).await).await;
        assert_eq!(since().await, None);
        let first = world.now();
        world.keep(async |tx| work::await_word(tx, &[(ids[0], 1)], first).await).await;
        world.wait_us(SECOND_US);
        let second = world.now();
        world.keep(async |tx| work::await_word(tx, &[(ids[1], 1), (ids[2], 1), (ids[0], 1)], second).await).await;
        assert_eq!(since().await, Some(first), "it had no work any more that could go away");

        // Settled, refused and tried again, refused for good.
        let refused = |code| Command::Refuse { attempt: 1, reason: reason(code) };
        world.tries(vec![(ids[0], Command::Settle { attempt: 1 })]).await;
        assert_eq!(since().await, Some(second));
        world.tries(vec![(ids[1], refused("R01")), (ids[2], refused("R03"))]).await;
        assert_eq!(since().await, None);

        // The bank's word was quicker than the news that it has the payment.
        world.tries(vec![(ids[3], Command::Settle { attempt: 1 })]).await;
        world.keep(async |tx| work::await_word(tx, &[(ids[3], 1)], second).await).await;
        assert_eq!(since().await, None);
    });
}

#[test]
fn the_backlog_is_what_is_due_by_kind() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let first = world.now();
        let ids = payments(world, &house, 3).await;
        world.wait_us(SECOND_US);
        world.tries(vec![(ids[2], Command::Submit)]).await;
        let inquired = world.now();
        let backlog = async |now, limit| {
            let mut backlog = world.keep(async |tx| work::backlog(tx, now, limit).await).await;
            backlog.sort_by_key(|of| of.what.name());
            backlog
        };
        let submit = work::Backlog { what: WorkKind::Submit, count: 2, since: first };
        let both = [work::Backlog { what: WorkKind::Inquire, count: 1, since: inquired }, submit];

        let found = backlog(world.now(), 10).await;
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].what, found[0].count), (both[0].what, both[0].count));
        assert_eq!(found[1], both[1]);
        assert_eq!(backlog(world.now(), 1).await.iter().map(|of| of.count).sum::<i64>(), 1);
        assert_eq!(backlog(first.plus_micros(-1), 10).await, []);
    });
}
