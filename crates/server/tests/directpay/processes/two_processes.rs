//! Several processes on one database, where that is allowed and where it is not.

use std::time::Duration;

use directpay_server::clock::Stopwatch;

use serde_json::{Value, json};

use super::lease::{Renter, arrive, client, make, read};
use super::place::Place;
use super::process::Process;

/// What a payment may need on an idle system whose bank settles at once, on a machine that is busy with other tests.
const QUICKLY: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_worker_takes_up_what_another_process_accepted() {
    let place = Place::on_postgres();
    let server = place.serve(&["--no-workers"]);
    let worker = place.work();
    let renter = Renter::settle_in(&server.url, "000123456789").await;
    let mut latencies = Vec::new();
    for number in 0..10 {
        // Long enough for the worker to have nothing to do.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let id = renter.pay(&server.url, &number.to_string()).await.unwrap().id().to_owned();
        let accepted = Stopwatch::start();
        while renter.payment(&server.url, &id).await["status"] != "COMPLETED" {
            assert!(accepted.elapsed() < QUICKLY, "nobody takes it up");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        latencies.push(accepted.elapsed());
    }
    latencies.sort();
    println!("from acceptance to COMPLETED: {latencies:?}");
    worker.stop();
}

#[tokio::test]
async fn a_key_that_is_revoked_in_one_process_is_refused_by_the_other_at_once() {
    let place = Place::on_postgres();
    let servers = [place.serve(&["--no-workers"]), place.serve(&["--no-workers"])];
    let client = client();
    let (_, token, _) = arrive(&client, &servers[0].url, "LANDLORD").await;
    let asks = async |server: &Process, key: &str| {
        let call = client.get(format!("{}/api/v1/users/me", server.url)).bearer_auth(key);
        let answer = call.send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()["code"].clone())
    };
    for (makes, ends) in [(0, 0), (0, 1), (1, 0)] {
        let body = json!({"name": "A program", "scopes": ["users:read"]});
        let made = make(&client, &servers[makes].url, &token, "api-keys", &body).await;
        let key = made["key"].as_str().unwrap();
        // Long enough for anything that a process would remember of it.
        for _ in 0..20 {
            for server in &servers {
                assert_eq!(asks(server, key).await, (200, Value::Null));
            }
        }
        let path = format!("{}/api/v1/api-keys/{}/revoke", servers[ends].url, made["id"].as_str().unwrap());
        read(client.post(path).bearer_auth(&token).send().await.unwrap()).await;
        for server in &servers {
            assert_eq!(asks(server, key).await, (401, json!("api_key_revoked")));
        }
    }
    for server in servers {
        server.stop();
    }
}

#[test]
fn a_second_process_on_one_sqlite_file_is_refused() {
    let place = Place::on_sqlite();
    let server = place.serve(&[]);
    for command in ["serve", "worker"] {
        let refused = Process::start(place.command(&[command])).end();
        assert!(!refused.status.success());
        assert!(refused.log.contains("another `directpay serve` or `directpay worker` works on"), "{}", refused.log);
    }
    server.stop();
    // The lock goes with its owner, also when that is killed.
    place.serve(&[]).kill();
    place.work().stop();
}

#[test]
fn verify_migrate_and_admin_run_beside_a_server() {
    for place in [Place::on_sqlite(), Place::on_postgres()] {
        let server = place.serve(&[]);
        place.verify();
        assert!(place.run(&["migrate"]).status.success());
        let admin = super::commands::create_admin(&place, "root@example.com", "a long enough passphrase");
        assert!(admin.status.success(), "{}", String::from_utf8_lossy(&admin.stderr));
        server.stop();
        place.verify();
    }
}
