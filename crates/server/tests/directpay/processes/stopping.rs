//! SIGTERM: what was accepted is finished, claims are let go of, and the process is gone within ten seconds.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::StatusCode;
use tokio::task::JoinSet;

use super::lease::Renter;
use super::place::{Place, count};
use super::process::STOP_PATIENCE;

const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_stop_under_load_loses_nothing_on_sqlite() {
    stopped_under_load(&Place::on_sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_stop_under_load_loses_nothing_on_postgresql() {
    stopped_under_load(&Place::on_postgres()).await;
}

async fn stopped_under_load(place: &Place) {
    let server = place.serve(&[]);
    let renter = Renter::settle_in(&server.url, "000123456789").await;
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (renter, url) = (renter.clone(), server.url.clone());
        clients.spawn(async move { acknowledged(&renter, &url, client).await });
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    let ended = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
    let acknowledged: usize = clients.join_all().await.into_iter().sum();

    println!("{acknowledged} payments were acknowledged, and it took {:?} to stop", ended.took);
    assert!(!ended.log.contains("ERROR"), "{}", ended.log);
    let db = place.db().await;
    let stored = usize::try_from(count(&db, "SELECT COUNT(*) FROM payments").await).unwrap();
    assert!(0 < acknowledged && acknowledged <= stored && stored <= acknowledged + CLIENTS);
    assert_eq!(count(&db, "SELECT COUNT(*) FROM due_work WHERE 0 < claimed_until").await, 0, "claims are held");
    db.close().await;
    place.verify();
}

async fn acknowledged(renter: &Renter, url: &str, client: usize) -> usize {
    for number in 0.. {
        match renter.pay(url, &format!("{client}-{number}")).await {
            Ok(answer) if answer.status == StatusCode::CREATED => {}
            Ok(answer) => panic!("{answer:?}"),
            Err(_) => return number,
        }
    }
    0
}

#[tokio::test]
async fn a_worker_lets_go_of_its_claims() {
    let place = Place::on_postgres();
    let server = place.serve(&["--no-workers"]);
    let worker = place.work();
    // "Not now" twice: there is always something to come back to.
    let renter = Renter::settle_in(&server.url, "000666666661").await;
    for number in 0..50 {
        assert_eq!(renter.pay(&server.url, &number.to_string()).await.unwrap().status, StatusCode::CREATED);
    }
    worker.stop();
    let db = place.db().await;
    assert_eq!(count(&db, "SELECT COUNT(*) FROM due_work WHERE 0 < claimed_until").await, 0);
}

#[test]
fn a_server_can_be_stopped_as_soon_as_it_listens() {
    let place = Place::on_sqlite();
    for _ in 0..5 {
        place.serve(&[]).stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_to_the_feed_does_not_hold_up_the_end() {
    for place in [Place::on_sqlite(), Place::on_postgres()] {
        let server = place.serve(&[]);
        let renter = Renter::settle_in(&server.url, "000123456789").await;
        let listening = [renter.listen(&server.url).await, renter.listen(&server.url).await];
        tokio::time::sleep(Duration::from_millis(700)).await;
        let ended = tokio::task::spawn_blocking(|| server.stop()).await.unwrap();
        println!("it took {:?}", ended.took);
        assert!(ended.took < Duration::from_secs(4), "{:?}", ended.took);
        assert!(!ended.log.contains("cut off"), "{}", ended.log);
        for answer in listening {
            let text = answer.text().await.unwrap();
            assert!(text.contains("event: lease_entered"), "{text}");
        }
    }
}

/// Who sends half a request, or keeps a connection open, does not hold up the end.
#[test]
fn slow_callers_do_not_hold_up_the_end() {
    let place = Place::on_sqlite();
    let server = place.serve(&[]);
    let address = server.url.strip_prefix("http://").unwrap().to_owned();
    let says = |text: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let _silent = says("");
    let _half_a_header = says("GET /health HTTP/1.1\r\nHost: a\r\nX-");
    let _half_a_body = says(
        "POST /api/v1/users/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );
    let mut idle = says("GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_ne!(idle.read(&mut [0; 64]).unwrap(), 0);

    let ended = server.stop();

    println!("it took {:?}", ended.took);
    assert!(ended.took < STOP_PATIENCE);
}
