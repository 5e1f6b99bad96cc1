//! Sixteen clicks at once make one payment, whichever process they reach.

use std::collections::HashSet;

use reqwest::StatusCode;
use tokio::task::JoinSet;

use super::lease::{Answer, Renter};
use super::place::{Place, count};

const KEYS: usize = 200;
const CLICKS: usize = 16;
/// Keys that are clicked at the same time.
const KEYS_AT_ONCE: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_keys_of_sixteen_clicks_each_make_two_hundred_payments_on_sqlite() {
    let place = Place::on_sqlite();
    let server = place.serve(&[]);
    clicked(&place, &[&server.url]).await;
    server.stop();
    place.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_keys_of_sixteen_clicks_each_make_two_hundred_payments_over_two_processes_on_postgresql() {
    let place = Place::on_postgres();
    let servers = [place.serve(&["--no-workers"]), place.serve(&["--no-workers"])];
    let worker = place.work();
    clicked(&place, &[&servers[0].url, &servers[1].url]).await;
    servers.into_iter().chain([worker]).for_each(|process| drop(process.stop()));
    place.verify();
}

async fn clicked(place: &Place, urls: &[&str]) {
    let renter = Renter::settle_in(urls[0], "000123456789").await;
    let keys: Vec<String> = (0..KEYS).map(|number| format!("click-{number}")).collect();
    let mut ids = HashSet::new();
    for keys in keys.chunks(KEYS_AT_ONCE) {
        let mut clicks = JoinSet::new();
        for (which, key) in keys.iter().enumerate() {
            for click in 0..CLICKS {
                let (renter, key, url) = (renter.clone(), key.clone(), urls[click % urls.len()].to_owned());
                clicks.spawn(async move { (which, renter.pay(&url, &key).await.unwrap()) });
            }
        }
        let mut answers = vec![Vec::new(); keys.len()];
        while let Some(click) = clicks.join_next().await {
            let (which, answer) = click.unwrap();
            answers[which].push(answer);
        }
        ids.extend(answers.iter().map(|answers| one_payment(answers)));
    }
    assert_eq!(ids.len(), KEYS);
    let db = place.db().await;
    place.settle(&db).await;
    assert_eq!(count(&db, "SELECT COUNT(*) FROM payments").await, 200);
    assert_eq!(count(&db, "SELECT COUNT(*) FROM payments WHERE status = 'COMPLETED'").await, 200);
    assert_eq!(count(&db, "SELECT COUNT(*) FROM bank_instructions WHERE state = 'SETTLED'").await, 200);
    db.close().await;
}

/// One click made the payment, all others got it.
fn one_payment(answers: &[Answer]) -> String {
    let (made, replayed): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == StatusCode::CREATED);
    assert_eq!((made.len(), replayed.len()), (1, CLICKS - 1), "{answers:?}");
    assert!(!made[0].replayed);
    for answer in replayed {
        assert!(answer.status == StatusCode::OK && answer.replayed, "{answer:?}");
        assert_eq!(answer.id(), made[0].id());
    }
    made[0].id().to_owned()
}
