//! The primary dies under load and its standby takes over: nothing acknowledged is lost, nothing is doubled, and no process of
//! ours is started again. And what a replica may answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use directpay_server::clock::Stopwatch;
use directpay_store::Db;
use reqwest::StatusCode;
use tokio::task::JoinSet;

use super::crash::no_money_moved_twice;
use super::lease::Renter;
use super::place::Place;
use super::postgres::{Installation, Server};
use super::process::Process;

/// Clients that pay at the same time.
const CLIENTS: usize = 6;
/// Payments acknowledged before the primary dies, and again after it.
const PAYMENTS: usize = 150;
/// How long a request may go unanswered, repeated as it is.
const PATIENCE: Duration = Duration::from_secs(30);

/// A primary with a synchronous standby, and a database with our schema on them.
struct Pair {
    primary: Server,
    standby: Server,
    place: Place,
}

impl Pair {
    async fn start() -> Pair {
        let primary = Installation::find().await.primary().await;
        primary.sql("CREATE DATABASE directpay").await;
        let standby = primary.synchronous_standby().await;
        let both = format!("postgres://postgres@{},{}/directpay", primary.place(), standby.place());
        let place = Place::at(both);
        let migrated = place.run(&["migrate"]);
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        Pair { primary, standby, place }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_over_and_nothing_is_lost_or_doubled() {
    let Pair { mut primary, standby, place } = Pair::start().await;
    let servers = [place.serve(&["--no-workers"]), place.serve(&["--no-workers"])];
    let worker = place.work();
    let renter = Renter::settle_in(&servers[0].url, "000123456789").await;

    let load = Load::start(&renter, servers.each_ref().map(|server| server.url.clone()));
    load.until_acknowledged(PAYMENTS).await;
    primary.kill().await;
    assert_eq!(readiness(&servers[0]).await, StatusCode::SERVICE_UNAVAILABLE);
    let before = load.acknowledged.load(Ordering::SeqCst);
    let promoting = Stopwatch::start();
    standby.promote().await;
    let promoted = promoting.elapsed();
    load.until_acknowledged(before + CLIENTS).await;
    let back = promoting.elapsed();
    load.until_acknowledged(before + PAYMENTS).await;
    let (paid, repeated) = load.stop().await;
    assert_eq!(readiness(&servers[0]).await, StatusCode::OK);
    // It comes back without being told of its successor, and is named first.
    let _stale = primary.start().await;

    let db = place.db().await;
    place.settle(&db).await;
    compare(&db, &paid).await;
    db.close().await;
    place.verify();
    // None of them ended in between; each still stops in order.
    servers.into_iter().chain([worker]).for_each(|process| drop(process.stop()));
    println!(
        "{} payments, {repeated} requests repeated; promoted in {promoted:.1?}, back after {back:.1?}",
        paid.len()
    );
}

/// What a load balancer is told.
async fn readiness(server: &Process) -> StatusCode {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(format!("{}/ready", server.url)).send().await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_may_come_from_the_replica_and_nothing_else_does() {
    let Pair { standby, place, primary: _primary } = Pair::start().await;
    let mut command = place.command(&["serve"]);
    command.env("DIRECTPAY_REPLICA_URL", standby.url("directpay"));
    let server = Process::start(command).listening();
    let renter = Renter::settle_in(&server.url, "000123456789").await;
    let old = renter.pay(&server.url, "old").await.unwrap().id().to_owned();
    renter.until_listed(&server.url, &[&old]).await;

    // From here on the replica has everything on its disk, and shows nothing of it.
    standby.sql("SELECT pg_wal_replay_pause()").await;
    standby.until("SELECT pg_get_wal_replay_pause_state()", "paused").await;
    let new = renter.pay(&server.url, "new").await.unwrap();
    assert_eq!(new.status, StatusCode::CREATED);
    assert_eq!(renter.listed(&server.url, "").await, [old.as_str()]);

    assert_eq!(renter.payment(&server.url, new.id()).await["id"], new.id());
    assert_eq!(renter.listed(&server.url, "?idempotency_key=new").await, [new.id()]);
    let again = renter.pay(&server.url, "new").await.unwrap();
    assert_eq!((again.replayed, again.id()), (true, new.id()));

    standby.sql("SELECT pg_wal_replay_resume()").await;
    renter.until_listed(&server.url, &[new.id(), &old]).await;
    server.stop();
}

/// Clients that pay without a pause, and repeat what was not answered with the same key, at another server.
struct Load {
    acknowledged: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    clients: JoinSet<Vec<Paid>>,
}

/// A payment that was acknowledged.
struct Paid {
    key: String,
    id: String,
    /// How often it was asked for.
    requests: usize,
}

impl Load {
    fn start(renter: &Renter, urls: [String; 2]) -> Load {
        let mut load = Load { acknowledged: Arc::default(), is_over: Arc::default(), clients: JoinSet::new() };
        for client in 0..CLIENTS {
            let (renter, urls) = (renter.clone(), urls.clone());
            let (acknowledged, is_over) = (Arc::clone(&load.acknowledged), Arc::clone(&load.is_over));
            load.clients.spawn(async move {
                let mut paid = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    paid.push(pay_for_certain(&renter, &urls, format!("{client}-{}", paid.len())).await);
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
                paid
            });
        }
        load
    }

    async fn until_acknowledged(&self, wanted: usize) {
        let waiting = Stopwatch::start();
        while self.acknowledged.load(Ordering::SeqCst) < wanted {
            assert!(waiting.elapsed() < PATIENCE, "too few payments are acknowledged");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What was paid, and how many requests were repeated.
    async fn stop(self) -> (Vec<Paid>, usize) {
        self.is_over.store(true, Ordering::SeqCst);
        let paid: Vec<Paid> = self.clients.join_all().await.into_iter().flatten().collect();
        let repeated = paid.iter().map(|paid| paid.requests - 1).sum();
        (paid, repeated)
    }
}

async fn pay_for_certain(renter: &Renter, urls: &[String; 2], key: String) -> Paid {
    let asking = Stopwatch::start();
    for requests in 1.. {
        assert!(asking.elapsed() < PATIENCE, "payment {key} is never acknowledged");
        let answer = renter.pay(&urls[requests % 2], &key).await.unwrap();
        match answer.status {
            StatusCode::CREATED | StatusCode::OK => return Paid { id: answer.id().to_owned(), key, requests },
            StatusCode::SERVICE_UNAVAILABLE => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => panic!("payment {key}: {answer:?}"),
        }
    }
    unreachable!("there are always more numbers")
}

/// Every payment that was acknowledged is the one under its key and is completed, and no other exists.
async fn compare(db: &Db, paid: &[Paid]) {
    let mut tx = db.begin_read().await.unwrap();
    let rows: Vec<(String, uuid::Uuid, String)> =
        tx.fetch_all("SELECT idempotency_key, id, status FROM payments", ()).await.unwrap();
    assert_eq!(rows.len(), paid.len());
    let stored: HashMap<_, _> = rows.into_iter().map(|(key, id, status)| (key, (id.to_string(), status))).collect();
    for Paid { key, id, .. } in paid {
        assert_eq!(stored.get(key), Some(&(id.clone(), "COMPLETED".to_owned())), "payment {key}");
    }
    drop(tx);
    no_money_moved_twice(db).await;
}
