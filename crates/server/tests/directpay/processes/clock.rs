//! The sandbox's clock is kept in the database: it outlives a process, and every process goes by it.

use std::time::Duration;

use directpay_server::clock::Stopwatch;
use reqwest::Client;
use serde_json::{Value, json};

use super::commands::create_admin;
use super::lease::{PASSWORD, Renter, client, read, sign_in};
use super::place::Place;
use super::process::Process;

/// How soon other processes go by the new time, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(2);
/// The bank takes its time, whatever the place says.
const IN_TIME: [&str; 2] = ["--rail-delay-scale", "1"];
const HOUR: i64 = 3600;

/// Somebody who may move the clock.
struct Admin {
    client: Client,
    token: String,
}

impl Admin {
    async fn create(place: &Place, base: &str) -> Admin {
        assert!(create_admin(place, "root@example.com", PASSWORD).status.success());
        let client = client();
        let token = sign_in(&client, base, "root@example.com").await;
        Admin { client, token }
    }

    async fn advance(&self, base: &str, body: &Value) {
        let request = self.client.post(format!("{base}/api/v1/sandbox/clock/advance")).bearer_auth(&self.token);
        read(request.json(body).send().await.unwrap()).await;
    }

    async fn ahead(&self, base: &str) -> i64 {
        let request = self.client.get(format!("{base}/api/v1/sandbox/clock")).bearer_auth(&self.token);
        read(request.send().await.unwrap()).await["ahead_seconds"].as_i64().unwrap()
    }
}

#[tokio::test]
async fn a_restart_keeps_the_clock() {
    for place in [Place::on_sqlite(), Place::on_postgres()] {
        let server = place.serve(&[]);
        let admin = Admin::create(&place, &server.url).await;
        admin.advance(&server.url, &json!({"days": 1})).await;
        server.stop();

        let mut server = place.serve(&[]);
        assert_eq!(admin.ahead(&server.url).await, 24 * HOUR, "also for the token of before");
        admin.advance(&server.url, &json!({"seconds": HOUR})).await;
        server.kill();

        let server = place.serve(&[]);
        assert_eq!(admin.ahead(&server.url).await, 25 * HOUR);
        server.stop();
        place.verify();
    }
}

#[tokio::test]
async fn all_processes_on_one_database_go_by_one_clock() {
    let place = Place::on_postgres();
    let worker = Process::start(place.command(&[&["worker"], &IN_TIME[..]].concat())).saying("working on ");
    let servers = [(); 2].map(|()| place.serve(&["--no-workers"]));
    let [one, other] = [&servers[0].url, &servers[1].url];
    let admin = Admin::create(&place, one).await;
    let renter = Renter::settle_in(one, "000123456789").await;
    let id = renter.pay(one, "rent").await.unwrap().id().to_owned();
    let waiting = Stopwatch::start();
    while renter.payment(one, &id).await["status"] != "PROCESSING" {
        assert!(waiting.elapsed() < SOON * 5, "nobody hands it over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    admin.advance(one, &json!({"seconds": HOUR})).await;

    let moved = Stopwatch::start();
    while admin.ahead(other).await != HOUR {
        assert!(moved.elapsed() < SOON, "the other server goes by the old time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while renter.payment(one, &id).await["status"] != "COMPLETED" {
        assert!(moved.elapsed() < SOON * 2, "the worker goes by the old time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for server in servers {
        server.stop();
    }
    worker.stop();
    place.verify();
}
