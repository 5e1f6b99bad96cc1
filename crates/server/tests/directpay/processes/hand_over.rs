//! A worker dies between the intent and the hand-over: another one hands over, once, under the same reference.

use std::time::Duration;

use directpay_domain::id::PaymentId;
use directpay_domain::payment::{Actor, Command, NewEvent};
use directpay_domain::rail::DelayScale;
use directpay_server::clock::{self, Clock, Stopwatch};
use directpay_store::payments::{self, Instructed};
use directpay_store::work::Claim;
use directpay_store::{Db, Tx, work};
use rustix::process::Signal;
use serde_json::Value;

use super::lease::Renter;
use super::place::{Place, count};
use super::process::Process;

/// How long a claim lasts, and some time to act on its end.
const CLAIM: Duration = Duration::from_secs(10);
const LEEWAY: Duration = Duration::from_secs(3);

const COMPLETED: &str = "SELECT COUNT(*) FROM payments WHERE status = 'COMPLETED'";
const PROCESSING: &str = "SELECT COUNT(*) FROM payments WHERE status = 'PROCESSING'";
/// Workers that wait for a bank that hesitates.
const HANDING_OVER: &str = "SELECT COUNT(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
      AND query LIKE 'INSERT INTO bank%'";
const INSTRUCTIONS: &str = "SELECT COUNT(*) FROM bank_instructions";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_intent_without_instruction_is_handed_over_when_the_server_starts_again_on_sqlite() {
    let place = Place::on_sqlite();
    let server = place.serve(&["--no-workers"]);
    let (renter, id) = pays(&server).await;
    server.stop();
    let db = place.db().await;
    // Far longer than the test: whoever has the file to itself does not wait for it.
    intends_and_dies(&db, &id, Duration::from_secs(600)).await;

    let server = place.serve(&[]);
    until(&db, 1, COMPLETED, CLAIM).await;

    handed_over_once(&place, &server, &renter, &id, &db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_intent_without_instruction_is_handed_over_when_its_claim_runs_out_on_postgresql() {
    let place = Place::on_postgres();
    let server = place.serve(&["--no-workers"]);
    let (renter, id) = pays(&server).await;
    let db = place.db().await;
    let claim = Duration::from_secs(3);
    intends_and_dies(&db, &id, claim).await;

    let claimed = Stopwatch::start();
    let worker = place.work();
    tokio::time::sleep(claim / 2).await;
    assert_eq!(count(&db, INSTRUCTIONS).await, 0, "a claim that has not run out is respected");
    until(&db, 1, COMPLETED, claim + LEEWAY).await;
    println!("taken over {:?} after a claim of {claim:?} began", claimed.elapsed());

    handed_over_once(&place, &server, &renter, &id, &db).await;
    worker.stop();
}

/// The bank is made to hesitate, so that the worker is killed with the claim in its hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_worker_takes_over_from_a_killed_one_within_ten_seconds() {
    let place = Place::on_postgres();
    let server = place.serve(&["--no-workers"]);
    let db = place.db().await;
    let hesitation = bank_hesitates(&db).await;
    let mut first = place.work();
    let (renter, id) = pays(&server).await;
    until(&db, 1, HANDING_OVER, LEEWAY).await;

    first.kill();
    let killed = Stopwatch::start();
    drop(hesitation);
    let second = place.work();
    until(&db, 1, COMPLETED, CLAIM + LEEWAY).await;
    println!("taken over {:?} after the kill", killed.elapsed());

    handed_over_once(&place, &server, &renter, &id, &db).await;
    second.stop();
}

/// A bank that takes longer than a claim lasts: whoever lives keeps its claim, and nobody else hands over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_is_renewed_while_its_owner_lives() {
    let place = Place::on_postgres();
    let server = place.serve(&["--no-workers"]);
    let db = place.db().await;
    let hesitation = bank_hesitates(&db).await;
    let workers = [place.work(), place.work()];
    let (renter, id) = pays(&server).await;
    until(&db, 1, HANDING_OVER, LEEWAY).await;
    tokio::time::sleep(CLAIM + Duration::from_secs(2)).await;

    assert_eq!(count(&db, HANDING_OVER).await, 1, "two workers hand over the same payment");
    drop(hesitation);
    until(&db, 1, COMPLETED, LEEWAY).await;

    handed_over_once(&place, &server, &renter, &id, &db).await;
    workers.into_iter().for_each(|worker| drop(worker.stop()));
}

/// A worker that sleeps past its claim, wakes up and goes on where it was: the reference keeps the bank from taking it twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_sleeps_past_its_claim_moves_nothing_twice() {
    let place = Place::on_postgres();
    let server = place.serve(&["--no-workers"]);
    let db = place.db().await;
    let hesitation = bank_hesitates(&db).await;
    let sleeper = place.work();
    let (renter, id) = pays(&server).await;
    until(&db, 1, HANDING_OVER, LEEWAY).await;

    sleeper.signal(Signal::STOP);
    let other = place.work();
    until(&db, 2, HANDING_OVER, CLAIM + LEEWAY).await;
    drop(hesitation);
    sleeper.signal(Signal::CONT);
    until(&db, 1, COMPLETED, CLAIM + LEEWAY).await;

    handed_over_once(&place, &server, &renter, &id, &db).await;
    sleeper.stop();
    other.stop();
}

async fn pays(server: &Process) -> (Renter, String) {
    let renter = Renter::settle_in(&server.url, "000123456789").await;
    let answer = renter.pay(&server.url, "rent").await.unwrap();
    let id = answer.id().to_owned();
    (renter, id)
}

/// Until this ends, the bank takes nothing and says nothing.
async fn bank_hesitates(db: &Db) -> Tx {
    let mut hesitation = db.begin().await.unwrap();
    // The store's connections are cut off when they dawdle in a transaction; this one is meant to.
    hesitation.execute("SET LOCAL idle_in_transaction_session_timeout = 0", ()).await.unwrap();
    hesitation.execute("LOCK TABLE bank_instructions IN EXCLUSIVE MODE", ()).await.unwrap();
    hesitation
}

/// What a worker does before it asks the bank, and no more.
async fn intends_and_dies(db: &Db, id: &str, claim: Duration) {
    let clock = Clock::default();
    let event = || NewEvent {
        id: clock::new_id().into(),
        occurred_at: clock.business(),
        actor: Actor::system("submit-worker"),
        request_id: None,
    };
    let submit = Instructed {
        payment_id: PaymentId(id.parse().unwrap()),
        command: Command::Submit,
        events: [event(), event()],
        at: clock.circumstances(DelayScale::parse("0").unwrap()),
    };
    let now_us = clock.process_us();
    let until_us = now_us + i64::try_from(claim.as_micros()).unwrap();
    let mut tx = db.begin().await.unwrap();
    let claim = Claim { by: clock::new_id(), until_us };
    let taken = work::take(&mut tx, clock.business(), now_us, 1).await.unwrap();
    assert_eq!(taken.len(), 1);
    let mut held = payments::hold(&mut tx, &[submit.payment_id]).await.unwrap();
    payments::record_held(&mut tx, &mut held, vec![submit], Some(claim)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((count(db, PROCESSING).await, count(db, INSTRUCTIONS).await), (1, 0));
}

async fn until(db: &Db, expected: i64, sql: &'static str, patience: Duration) {
    let started = Stopwatch::start();
    while count(db, sql).await != expected {
        assert!(started.elapsed() < patience, "not after {patience:?}: {sql}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn handed_over_once(place: &Place, server: &Process, renter: &Renter, id: &str, db: &Db) {
    let mut tx = db.begin_read().await.unwrap();
    let book: Vec<(String, String)> = tx.fetch_all("SELECT reference, state FROM bank_instructions", ()).await.unwrap();
    assert_eq!(book, [(format!("{}-1", id.replace('-', "")), "SETTLED".to_owned())]);
    drop(tx);
    let payment = renter.payment(&server.url, id).await;
    assert_eq!((&payment["status"], &payment["version"]), (&Value::from("COMPLETED"), &Value::from(3)));
    place.verify();
}
