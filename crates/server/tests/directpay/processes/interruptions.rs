//! The database is out of reach for a while: payments are late, and none is lost.

use std::time::Duration;

use directpay_server::clock::Stopwatch;
use directpay_store::Db;
use tokio::task::JoinSet;

use super::lease::Renter;
use super::place::{Place, count};

const CLIENTS: usize = 8;
const PAYMENTS: usize = 15;

/// Whoever writes to the file beside the server keeps it waiting for longer than it is willing to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_file_that_is_held_up_loses_nothing_on_sqlite() {
    let place = Place::on_sqlite();
    interrupted(&place, async |db| {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let held = db.begin().await.unwrap();
            tokio::time::sleep(Duration::from_millis(5500)).await;
            drop(held);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_off_lose_nothing_on_postgresql() {
    const CUT: &str = "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let place = Place::on_postgres();
    interrupted(&place, async |db| {
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            // The second connection of this very pool may be among them.
            let Ok(mut tx) = db.begin().await else { continue };
            let _cut: (i64,) = tx.fetch_one(CUT, ()).await.unwrap();
        }
    })
    .await;
}

async fn interrupted(place: &Place, interruption: impl AsyncFnOnce(&Db)) {
    let server = place.serve(&[]);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        // Accepted; its answer lost once; put off twice; presented three times.
        let number = ["000123456789", "000888888885", "000666666661", "000222222227"][client % 4];
        let (renter, url) = (Renter::settle_in(&server.url, number).await, server.url.clone());
        clients.spawn(async move { pays_until_it_is_told(&renter, &url).await });
    }
    let db = place.db().await;
    interruption(&db).await;
    clients.join_all().await;
    let accepted = Stopwatch::start();
    place.settle(&db).await;
    println!("the last payment ended {:.1?} after it was accepted", accepted.elapsed());
    let settled = count(&db, "SELECT COUNT(*) FROM bank_instructions WHERE state = 'SETTLED'").await;
    assert_eq!(settled, i64::try_from(CLIENTS / 4 * 3 * PAYMENTS).unwrap());
    db.close().await;
    server.stop();
    place.verify();
}

async fn pays_until_it_is_told(renter: &Renter, url: &str) {
    for number in 0..PAYMENTS {
        loop {
            let answer = renter.pay(url, &number.to_string()).await.unwrap();
            if answer.status.is_success() {
                break;
            }
            assert!(answer.status.is_server_error(), "{answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
