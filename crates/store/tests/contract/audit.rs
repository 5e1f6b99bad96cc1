//! The audit finds nothing after an honest history, however busy, and names every kind of tampering.

use directpay_domain::charge::ChargeKind;
use directpay_domain::id::PaymentId;
use directpay_domain::payment::initiate::Initiation;
use directpay_domain::payment::{Command, Reason, Status};
use directpay_domain::time::SECOND_US;
use directpay_store::bank_book::{self, Plan};
use directpay_store::{Audit, Db};
use jiff::civil::date;
use rstest::rstest;

use crate::harness::on_both_engines;
use crate::world::{House, World, instruction, reason, refund, rent, usd};

async fn audit(world: &World) -> Audit {
    directpay_store::audit(&world.db, |_, _| {}).await.unwrap()
}

async fn assert_clean(world: &World) {
    let audit = audit(world).await;
    assert!(audit.is_clean(), "{:#?}", audit.checks);
}

/// Takes away what keeps a person with `psql` from changing history.
pub(crate) async fn unlock(world: &World) {
    let statements: &[&'static str] = match world.db {
        Db::Sqlite { .. } => &[
            "DROP TRIGGER events_no_update",
            "DROP TRIGGER events_no_delete",
            "DROP TRIGGER postings_no_update",
            "DROP TRIGGER postings_no_delete",
            "DROP TRIGGER allocations_no_update",
            "DROP TRIGGER leases_overlap_update",
        ],
        Db::Postgres(_) => &[
            "DROP TRIGGER events_append_only ON events",
            "DROP TRIGGER postings_append_only ON postings",
            "DROP TRIGGER allocations_append_only ON allocations",
            "ALTER TABLE allocations DROP CONSTRAINT allocations_event",
            "ALTER TABLE leases DROP CONSTRAINT leases_overlap",
        ],
    };
    for statement in statements {
        world.execute(statement).await;
    }
}

/// A number below `below`; the same ones in every run.
pub(crate) fn next(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

fn plan(world: &World, dice: &mut u64) -> Plan {
    let at = world.now();
    let codes = ["R01", "R09", "R02", "R10", "AM04"];
    let code = codes[usize::try_from(next(dice, 5)).unwrap()];
    match next(dice, 8) {
        0 => Plan::Hold,
        1 => Plan::Refuse { at, reason: reason(code) },
        2 => Plan::SettleThenReturn { at, return_after_us: SECOND_US, reason: reason(code) },
        _ => Plan::Settle { at },
    }
}

/// Whatever may happen next to a payment: handed over, put off, cancelled, retried; refusals are fine.
async fn stir(world: &World, id: PaymentId, dice: &mut u64) {
    match world.find(id).await.status {
        Status::Pending if next(dice, 8) == 0 => {
            world.does(id, Command::Cancel(None)).await;
        }
        Status::Pending if next(dice, 3) == 0 => {
            let attempt = world.does(id, Command::Submit).await.attempt;
            let reason = reason(Reason::BANK_UNAVAILABLE);
            world.does(id, Command::NotNow { attempt, reason }).await;
        }
        Status::Pending => {
            let plan = plan(world, dice);
            world.hands_over(id, plan).await;
        }
        Status::Failed | Status::Returned => {
            world.tries(vec![(id, Command::Retry)]).await;
        }
        Status::Processing | Status::Completed | Status::Cancelled => {}
    }
}

#[test]
fn a_busy_honest_history_is_clean() {
    on_both_engines(async |world| {
        let houses = [world.house().await, world.house().await];
        let mut dice = 42;
        let mut ids = Vec::new();
        for number in 0..30_usize {
            let (house, key) = (&houses[number % 2], format!("k{number}"));
            let request = if number % 7 == 0 { refund(house, &key) } else { rent(house, &key) };
            // The money of a renter whose account was closed meanwhile is refused: an honest history too.
            world.initiates(std::slice::from_ref(&request)).await;
            ids.extend(
                world
                    .keep(async |tx| {
                        directpay_store::payments::find_by_key(tx, request.initiated_by, &request.idempotency_key).await
                    })
                    .await
                    .map(|payment| payment.terms.id),
            );
            for _ in 0..8 {
                let id = ids[usize::try_from(next(&mut dice, ids.len() as u64)).unwrap()];
                stir(world, id, &mut dice).await;
            }
            if number % 3 == 0 {
                world.the_bank_works().await;
                world.wait_us(SECOND_US);
            }
        }
        assert_clean(world).await;
        // What the bank did and has not told yet is no breach.
        world.wait_us(SECOND_US);
        bank_book::advance(&world.db, world.now(), 1_000).await.unwrap();
        assert_clean(world).await;
        world.the_bank_works().await;
        assert_clean(world).await;
        assert!(15 < ids.len());
    });
}

#[test]
fn an_empty_database_is_clean() {
    on_both_engines(async |world| {
        assert_clean(world).await;
    });
}

#[test]
fn the_audit_goes_page_by_page_through_more_than_one_page() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let requests: Vec<_> = (0..1_234).map(|number| rent(&house, &format!("k{number}"))).collect();
        let ids: Vec<_> =
            world.initiates(&requests).await.iter().map(|o| crate::world::initiated(o).payment.terms.id).collect();
        world.tries(ids.iter().map(|id| (*id, Command::Submit)).collect()).await;
        let mut instructions = Vec::new();
        for id in &ids {
            instructions.push(instruction(&world.find(*id).await, Plan::Settle { at: world.now() }));
        }
        assert_eq!(bank_book::accept(&world.db, &instructions).await.unwrap().len(), 1_234);
        let mut seen = Vec::new();

        let audit = directpay_store::audit(&world.db, |done, total| seen.push((done, total))).await.unwrap();

        assert!(audit.is_clean(), "{:#?}", audit.checks);
        assert_eq!(seen, [500, 1_000, 1_234, 1_734, 2_234, 2_468].map(|done| (done, 2_468)));
        let examined = |name: &str| audit.checks.iter().find(|check| check.name == name).unwrap().examined;
        assert_eq!(examined("every payment is the fold of its events"), 1_234);
        assert_eq!(examined("the bank moved no payment twice"), 1_234);

        // What is wrong behind the first page is found too, counted in full and described in part.
        world.execute("UPDATE payments SET attempt = 2").await;
        let audit = directpay_store::audit(&world.db, |_, _| {}).await.unwrap();
        let fold = audit.checks.iter().find(|check| check.name == "every payment is the fold of its events").unwrap();
        assert_eq!((fold.breaches, fold.described.len()), (1_234, 20));
    });
}

#[test]
fn what_the_bank_carried_out_and_somebody_will_ask_about_is_no_breach() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let payment = world.pays(rent(&house, "receipt-lost")).await;
        world.hands_over(payment, Plan::SettleAtOnce).await;
        assert_clean(world).await;
    });
}

/// One payment settled with a refund that waits, one cancelled, one waiting, one that a person asked to retry.
async fn some_history(world: &World) -> House {
    let house = world.house().await;
    for month in 1..=3 {
        world.makes(house.lease, ChargeKind::Rent, date(2026, month, 1), 200_000).await;
    }
    let settled = world.pays(rent(&house, "settled")).await;
    world.hands_over(settled, Plan::Settle { at: world.now() }).await;
    world.the_bank_works().await;
    let back = Initiation { refund_of: Some(settled), amount: usd(50_000), ..refund(&house, "back") };
    world.pays(back).await;
    let cancelled = world.pays(rent(&house, "cancelled")).await;
    world.does(cancelled, Command::Cancel(None)).await;
    world.pays(rent(&house, "waiting")).await;
    let retried = world.pays(rent(&house, "retried")).await;
    for attempt in 1..=6 {
        world.does(retried, Command::Submit).await;
        let reason = reason(Reason::BANK_UNAVAILABLE);
        world.does(retried, Command::NotNow { attempt, reason }).await;
    }
    world.does(retried, Command::Retry).await;
    let processing = world.does(retried, Command::Submit).await;
    bank_book::accept(&world.db, &[instruction(&processing, Plan::Hold)]).await.unwrap();
    house
}

const FOLD: &str = "every payment is the fold of its events";
const SEQUENCE: &str = "event numbers have no gap and say what their bodies say";
const POSTINGS: &str = "postings are those of the events";
const WORK: &str = "what is pending is due, what is final is not";
const ORPHANS: &str = "no event, posting, work or outcome without what it belongs to";
const CLEARING: &str = "clearing equals what is in processing, rail by rail";
const SOURCES: &str = "each payment is applied or credit, exactly once";
const OPEN: &str = "receivables equal open charges less credit, lease by lease";
const APPLIED: &str = "what is applied to a charge is the sum of its allocations";
const CHARGES: &str = "charges are owed, and taken back, by events";
const LEASE_SEQUENCE: &str = "lease events have no gap and say what their bodies say";
const LEASE_POSTINGS: &str = "postings of leases are those of their events";
const REFUNDS: &str = "refunds fit the payments that they name, and together never exceed them";
const PRIMARY: &str = "one primary account for everybody who has an active one";
const APART: &str = "no two leases of one property at the same time";
const KNOWN: &str = "the bank moved nothing that we do not know of";
const ONCE: &str = "the bank moved no payment twice";
const OURS: &str = "the bank carried out all that we say it did";

#[rstest]
#[case::status("UPDATE payments SET status = 'PROCESSING' WHERE idempotency_key = 'waiting'", &[FOLD, CLEARING, SOURCES])]
#[case::settled_for_us_only("UPDATE payments SET status = 'COMPLETED' WHERE idempotency_key = 'waiting'", &[FOLD, OURS, WORK])]
#[case::amount("UPDATE payments SET amount = 1 WHERE idempotency_key = 'waiting'", &[FOLD])]
#[case::notes("UPDATE payments SET metadata = '{\"a\":1}' WHERE idempotency_key = 'waiting'", &[FOLD])]
#[case::version("UPDATE payments SET version = 7 WHERE idempotency_key = 'waiting'", &[FOLD])]
#[case::last_event("DELETE FROM events WHERE event_type = 'payment_cancelled'", &[FOLD])]
#[case::event_between("DELETE FROM events WHERE event_type = 'payment_retry_requested'", &[FOLD, SEQUENCE])]
#[case::only_event("DELETE FROM events WHERE sequence = 1 AND stream_id = (
                        SELECT id FROM payments WHERE idempotency_key = 'waiting')", &[FOLD])]
#[case::event_of_nobody("INSERT INTO events (stream_id, sequence, stream, event_type, occurred_at, body, hash)
                         SELECT id, 1, 'PAYMENT', 'payment_failed', 0, '{}', (SELECT head FROM lease_accounts LIMIT 1) FROM users WHERE role = 'RENTER'", &[ORPHANS])]
#[case::work_of_nobody("INSERT INTO due_work (payment_id, what, attempt, due_at, claimed_until)
                        SELECT id, 'SUBMIT', 1, 0, 0 FROM users WHERE role = 'RENTER'", &[ORPHANS])]
#[case::awaited_for_nothing("INSERT INTO awaited_payments (payment_id, since)
                             SELECT id, 0 FROM payments WHERE status = 'CANCELLED'", &[ORPHANS])]
#[case::outcome_of_nothing("INSERT INTO bank_outcomes (position, reference, state, occurred_at)
                            VALUES (9999, 'nobody-1', 'SETTLED', 0)", &[ORPHANS])]
#[case::event_type("UPDATE events SET event_type = 'payment_failed' WHERE event_type = 'payment_cancelled'", &[SEQUENCE])]
#[case::event_time("UPDATE events SET occurred_at = 0 WHERE event_type = 'payment_cancelled'", &[SEQUENCE])]
#[case::body("UPDATE events SET body = replace(body, 'CANCELLED', 'COMPLETED') WHERE event_type = 'payment_cancelled'", &[FOLD])]
#[case::unreadable_body("UPDATE events SET body = '{}' WHERE event_type = 'payment_cancelled'", &[SEQUENCE])]
#[case::posted_amount("UPDATE postings SET amount = 149999 WHERE sequence = 3 AND debit LIKE 'cash:%'", &[POSTINGS])]
#[case::posted_account("UPDATE postings SET debit = 'cash:me' WHERE debit LIKE 'cash:%'", &[POSTINGS])]
#[case::missing_posting("DELETE FROM postings WHERE debit LIKE 'cash:%'", &[POSTINGS, CLEARING])]
#[case::doubled_posting("INSERT INTO postings (stream_id, sequence, line, landlord_id, currency, debit, credit, amount)
                         SELECT stream_id, sequence, 2, landlord_id, currency, debit, credit, amount FROM postings
                         WHERE debit LIKE 'cash:%'", &[POSTINGS, CLEARING])]
#[case::lost_work("DELETE FROM due_work WHERE what = 'SUBMIT'", &[WORK])]
#[case::work_of_another_attempt("UPDATE due_work SET attempt = 2 WHERE what = 'SUBMIT'", &[WORK])]
#[case::wrong_work("UPDATE due_work SET what = 'INQUIRE' WHERE what = 'SUBMIT'", &[WORK])]
#[case::work_on_what_is_over("INSERT INTO due_work (payment_id, what, attempt, due_at, claimed_until)
                              SELECT id, 'SUBMIT', 1, 0, 0 FROM payments WHERE status = 'CANCELLED'", &[WORK])]
#[case::no_primary("UPDATE bank_accounts SET is_primary = FALSE", &[PRIMARY])]
#[case::moved_twice("INSERT INTO bank_instructions (reference, rail, amount, currency, payer, payee, state, accepted_at)
                     SELECT replace(reference, '-1', '-2'), rail, amount, currency, payer, payee, state, accepted_at
                     FROM bank_instructions WHERE state = 'SETTLED'", &[KNOWN, ONCE])]
#[case::moved_for_nobody("INSERT INTO bank_instructions (reference, rail, amount, currency, payer, payee, state, accepted_at)
                          VALUES ('ffffffffffffffffffffffffffffffff-1', 'WIRE', 1, 'USD', 'a', 'b', 'SETTLED', 0)", &[KNOWN])]
#[case::another_amount("UPDATE bank_instructions SET amount = 1", &[KNOWN])]
#[case::another_rail("UPDATE bank_instructions SET rail = 'WIRE'", &[KNOWN])]
#[case::taken_back_by_nobody("UPDATE bank_instructions SET state = 'REFUSED' WHERE state = 'SETTLED'", &[KNOWN, OURS])]
#[case::carried_out_and_nobody_asks("UPDATE bank_instructions SET state = 'SETTLED' WHERE state = 'ACCEPTED';
                                     DELETE FROM due_work WHERE what = 'INQUIRE'", &[KNOWN])]
#[case::lost_by_the_bank("UPDATE bank_outcomes SET reference = (SELECT reference FROM bank_instructions WHERE state = 'ACCEPTED');
                          DELETE FROM bank_instructions WHERE state = 'SETTLED'", &[OURS])]
#[case::applied("UPDATE charges SET applied = applied - 1 WHERE 0 < applied", &[APPLIED, OPEN])]
#[case::allocation("UPDATE allocations SET amount = amount - 1", &[APPLIED, SOURCES])]
#[case::posted_charge("UPDATE charges SET due_date = 20260102 WHERE kind = 'RENT'", &[CHARGES])]
#[case::voided_by_nobody("UPDATE charges SET voided_at = 1 WHERE applied = 0", &[CHARGES, OPEN])]
#[case::lease_event("UPDATE events SET event_type = 'charge_voided' WHERE event_type = 'charge_posted'", &[LEASE_SEQUENCE])]
#[case::posting_of_a_lease("DELETE FROM postings WHERE credit LIKE 'income:%' AND sequence = 2", &[LEASE_POSTINGS, OPEN])]
#[case::lost_credit("INSERT INTO credits (lease_id, source_id, amount) SELECT lease_id, id, 1 FROM payments
                     WHERE idempotency_key = 'settled'", &[SOURCES, OPEN, ORPHANS])]
#[case::promised("UPDATE refunded_payments SET promised = 1", &[REFUNDS])]
#[case::nothing_promised("DELETE FROM refunded_payments", &[REFUNDS])]
#[case::another_sum_settled("UPDATE refunded_payments SET settled = 149999", &[REFUNDS])]
#[case::refund_of_nothing("UPDATE payments SET refund_of = NULL WHERE idempotency_key = 'back'", &[FOLD, REFUNDS])]
#[case::refund_of_another("UPDATE payments SET refund_of = (SELECT p.id FROM payments p WHERE p.idempotency_key = 'cancelled')
                           WHERE idempotency_key = 'back'", &[FOLD, REFUNDS])]
fn tampering_is_named(#[case] sql: &'static str, #[case] expected: &[&str]) {
    on_both_engines(async |world| {
        some_history(world).await;
        assert_clean(world).await;
        unlock(world).await;

        for statement in sql.split(';') {
            assert!(0 < world.execute(statement).await, "{statement} changed nothing");
        }

        let audit = audit(world).await;
        let broken: Vec<_> = audit.checks.iter().filter(|check| 0 < check.breaches).collect();
        for name in expected {
            let check = broken.iter().find(|check| check.name == *name);
            let check = check.unwrap_or_else(|| panic!("{name} is not broken: {broken:#?}"));
            assert!(!check.described.is_empty());
        }
        assert_eq!(audit.is_clean(), expected.is_empty());
    });
}

#[test]
fn what_is_wrong_is_named_by_the_payment() {
    on_both_engines(async |world| {
        some_history(world).await;
        let waiting = world.count("SELECT COUNT(*) FROM payments WHERE idempotency_key = 'waiting'").await;
        world.execute("UPDATE payments SET version = 7 WHERE idempotency_key = 'waiting'").await;
        let audit = audit(world).await;
        let described: Vec<_> = audit.checks.iter().flat_map(|check| check.described.clone()).collect();
        assert_eq!((waiting, described.len()), (1, 2), "{described:?}");
        for what in ["version 7, its events make PENDING version 1", "event 7, its last one, is missing"] {
            assert!(described.iter().any(|described| described.contains(what)), "{what}: {described:?}");
        }
    });
}

#[test]
fn leases_on_top_of_each_other_are_named() {
    on_both_engines(async |world| {
        let (one, _other) = (world.house().await, world.house().await);
        unlock(world).await;
        let moved = world
            .keep(async |tx| {
                tx.execute("UPDATE leases SET property_id = $1 WHERE id <> $2", (one.property.0, one.lease.0)).await
            })
            .await;
        assert_eq!(moved, 1);
        let audit = audit(world).await;
        let broken: Vec<_> = audit.checks.iter().filter(|check| 0 < check.breaches).map(|check| check.name).collect();
        assert_eq!(broken, [APART]);
    });
}
