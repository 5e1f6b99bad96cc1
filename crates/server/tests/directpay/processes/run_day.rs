//! `directpay run-day`: the daily pass by hand, beside a server.

use std::time::Duration;

use directpay_server::clock::{Clock, Stopwatch};
use directpay_server::daily_pass::LocalDay;
use jiff::ToSpan;
use jiff::civil::Date;
use reqwest::Client;
use serde_json::{Value, json};

use super::lease::{arrive, client, make, read};
use super::place::Place;

/// How soon a server goes by the new time, on a machine that is busy with other tests.
const SOON: Duration = Duration::from_secs(5);

/// A lease in Portland that begins today, with rent due on this day of each month and a late fee five days later.
struct Flat {
    client: Client,
    landlord: String,
    lease: String,
    begins: Date,
}

impl Flat {
    async fn let_at(base: &str) -> Flat {
        let client = client();
        let (_, landlord, _) = arrive(&client, base, "LANDLORD").await;
        let (renter, ..) = arrive(&client, base, "RENTER").await;
        let home = json!({"address": "12 Maple Street", "city": "Portland", "state": "OR", "zip_code": "97205"});
        let property = make(&client, base, &landlord, "properties", &home).await;
        let begins = LocalDay::at("America/Los_Angeles", Clock::default().business()).unwrap().date;
        let terms = json!({
            "property_id": property["id"], "renter_id": renter, "rent_amount": "1500.00",
            "payment_due_day": begins.day(), "start_date": begins.to_string(),
        });
        let lease = make(&client, base, &landlord, "leases", &terms).await["id"].as_str().unwrap().to_owned();
        let fees = json!({"kind": "FLAT", "amount": "50.00", "fee_from_offset": 5});
        let request = client.put(format!("{base}/api/v1/leases/{lease}/late-fees")).bearer_auth(&landlord).json(&fees);
        read(request.send().await.unwrap()).await;
        Flat { client, landlord, lease, begins }
    }

    async fn ask(&self, base: &str, path: &str) -> Value {
        read(self.client.get(format!("{base}/api/v1/{path}")).bearer_auth(&self.landlord).send().await.unwrap()).await
    }

    async fn balance(&self, base: &str) -> String {
        let balance = self.ask(base, &format!("leases/{}/balance", self.lease)).await;
        balance["balance"].as_str().unwrap().to_owned()
    }
}

/// Runs it and says how many leases, charges and fees it tells of.
fn run_day(place: &Place, arguments: &[&str]) -> [u32; 3] {
    let output = place.run(&[&["run-day"], arguments].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("business time is "), "{said}");
    ["leases went into a new day", "charges were posted", "late fees were made"].map(|what| {
        let row = said.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{said}"));
        row.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap()
    })
}

fn refused(place: &Place, arguments: &[&str]) -> String {
    let output = place.run(&[&["run-day"], arguments].concat());
    assert!(!output.status.success(), "{arguments:?} was taken");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_day_is_run_by_hand_beside_a_server_and_once() {
    for place in [Place::on_sqlite(), Place::on_postgres()] {
        let server = place.serve(&["--no-workers"]);
        let flat = Flat::let_at(&server.url).await;
        assert_eq!(flat.balance(&server.url).await, "1500.00");
        let day = flat.begins.saturating_add(32.days()).to_string();

        assert_eq!(run_day(&place, &["--date", &day]), [1, 1, 1]);

        assert_eq!(flat.balance(&server.url).await, "3050.00");
        for arguments in [&["--date", day.as_str()][..], &[]] {
            assert_eq!(run_day(&place, arguments), [0, 0, 0]);
        }
        let moved = Stopwatch::start();
        while flat.ask(&server.url, "sandbox/clock").await["ahead_seconds"].as_i64().unwrap() < 30 * 86_400 {
            assert!(moved.elapsed() < SOON, "the server goes by the old time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let yesterday = flat.begins.saturating_add(31.days()).to_string();
        let refusal = refused(&place, &["--date", &yesterday]);
        assert!(refusal.contains("is over") && refusal.contains("never goes back"), "{refusal}");
        let far = refused(&place, &["--date", "2090-01-01"]);
        assert!(far.contains("ten years"), "{far}");
        assert_eq!(flat.balance(&server.url).await, "3050.00");
        server.stop();
        place.verify();
    }
}

#[tokio::test]
async fn workers_that_are_quicker_leave_nothing_to_do_twice() {
    for place in [Place::on_sqlite(), Place::on_postgres()] {
        let server = place.serve(&[]);
        let flat = Flat::let_at(&server.url).await;
        let day = flat.begins.saturating_add(32.days()).to_string();
        std::thread::scope(|both| {
            for _ in 0..2 {
                both.spawn(|| run_day(&place, &["--date", &day]));
            }
        });
        assert_eq!(flat.balance(&server.url).await, "3050.00");
        server.stop();
        place.verify();
    }
}

#[test]
fn a_bad_day_and_a_missing_database_are_refused() {
    let place = Place::on_sqlite();
    assert!(refused(&place, &["--date", "2026-02-30"]).contains("--date"));
    assert!(refused(&place, &[]).contains("there is no database"));
    assert!(!place.file().exists());
}
