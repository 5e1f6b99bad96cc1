//! The sandbox's clock: an administrator moves business time, and what waits for it happens.

use std::time::Duration;

use directpay_domain::time::{Instant, SECOND_US};
use directpay_server::clock::Stopwatch;
use serde_json::{Value, json};

use crate::harness::{Answer, Home, IN_TIME, Visitor, assert_time, keys, on_both, on_both_with, until, with, without};

const CLOCK: &str = "/api/v1/sandbox/clock";
const ADVANCE: &str = "/api/v1/sandbox/clock/advance";
const HOUR_US: i64 = 3600 * SECOND_US;
/// From the move to what it brings about, on a machine that is busy with other tests.
const PROMPTLY: Duration = Duration::from_secs(5);

fn time(value: &Value) -> i64 {
    Instant::parse(value.as_str().unwrap()).unwrap().micros()
}

async fn ahead(who: &Visitor<'_>) -> Value {
    who.get(CLOCK).await.must(200)["ahead_seconds"].clone()
}

/// A payment that takes the bank its time.
async fn standard(home: &Home<'_>, key: &str) -> Answer {
    let body = with(&home.rent("1500.00"), "rail", json!("STANDARD_ACH"));
    let payment = home.renter.pay(key, &body).await.must(201);
    home.renter.wait_until(&payment.id(), "PROCESSING").await
}

#[test]
fn what_waits_for_the_bank_happens_when_the_clock_is_moved() {
    on_both_with(IN_TIME, async |app| {
        let home = app.home().await;
        let admin = app.admin().await;
        let before = home.landlord.get(CLOCK).await.must(200);
        assert_eq!((keys(&before.body).as_str(), &before["ahead_seconds"]), ("ahead_seconds now", &json!(0)));
        assert_time(&before["now"]);
        let payment = standard(&home, "rent").await;
        home.landlord.post(ADVANCE, &json!({"seconds": 3600})).await.refuses(403, "forbidden");
        assert_eq!(home.renter.payment(&payment.id()).await["status"], "PROCESSING");

        let advancing = Stopwatch::start();
        let moved = admin.post(ADVANCE, &json!({"seconds": 3600})).await.must(200);

        assert_eq!(moved["ahead_seconds"], 3600);
        let process_us = app.clock.process_us();
        assert!(process_us + HOUR_US - SECOND_US < time(&moved["now"]), "{}", moved.text);
        // Its access token would be long expired by the new time.
        let done = home.renter.wait_until(&payment.id(), "COMPLETED").await;
        assert!(advancing.elapsed() < PROMPTLY, "{:?}", advancing.elapsed());
        let completed_us = time(&done["completed_at"]);
        assert!(time(&moved["now"]) - SECOND_US < completed_us, "in business time: {}", done.text);
        assert!(completed_us <= app.clock.business().micros(), "{}", done.text);
        assert!(time(&payment["processing_at"]) < time(&before["now"]) + HOUR_US, "{}", payment.text);
        // The refresh token, whose 30 days are real ones, outlives the months.
        admin.post(ADVANCE, &json!({"days": 90})).await.must(200);
        app.token_by_refresh(&home.renter.refresh_token).await.must(200);
        assert_eq!(ahead(&home.renter).await, 3600 + 90 * 86400);
    });
}

#[test]
fn a_schedule_is_extended_as_soon_as_the_clock_is_moved() {
    on_both(async |app| {
        let home = app.home().await;
        let property = home.landlord.add_property().await.id();
        let terms = without(&crate::harness::terms(&property, &home.renter.id), "end_date");
        let lease = home.landlord.post("/api/v1/leases/", &terms).await.must(201).id();
        let charges = async || {
            let schedule = home.renter.get(&format!("/api/v1/leases/{lease}/schedule")).await.must(200);
            schedule.body["data"].as_array().unwrap_or_else(|| panic!("{}", schedule.text)).len()
        };
        let before = charges().await;

        app.admin().await.post(ADVANCE, &json!({"days": 100})).await.must(200);

        until("the schedule is extended", async || before + 3 <= charges().await).await;
    });
}

#[test]
fn the_clock_is_moved_to_a_moment() {
    on_both(async |app| {
        let admin = app.admin().await;
        let to = app.clock.business().plus_micros(HOUR_US);
        let moved = admin.post(ADVANCE, &json!({"to": to.to_string()})).await.must(200);
        let reached = time(&moved["now"]);
        assert!((to.micros()..to.micros() + 10 * SECOND_US).contains(&reached), "{}", moved.text);
        assert!((3590..=3600).contains(&moved["ahead_seconds"].as_i64().unwrap()), "{}", moved.text);
        // Once it is past it is refused: nothing is added a second time.
        admin.post(ADVANCE, &json!({"to": to.to_string()})).await.refuses_fields(&[("to", "not_later")]);
    });
}

#[test]
fn a_move_back_or_too_far_is_refused_and_changes_nothing() {
    on_both(async |app| {
        let admin = app.admin().await;
        admin.post(ADVANCE, &json!({"seconds": 60})).await.must(200);
        app.come_to_rest().await;
        let before = app.contents_but_the_trail().await;
        let past = app.clock.business().plus_micros(-1).to_string();
        for (body, fields) in [
            (json!({}), &[("seconds", "required")][..]),
            (json!({"seconds": null}), &[("seconds", "required")]),
            (json!({"seconds": 0}), &[("seconds", "not_positive")]),
            (json!({"seconds": -60}), &[("seconds", "not_positive")]),
            (json!({"seconds": 315_619_201}), &[("seconds", "too_large")]),
            (json!({"seconds": i64::MAX}), &[("seconds", "too_large")]),
            (json!({"days": 0}), &[("days", "not_positive")]),
            (json!({"days": 3654}), &[("days", "too_large")]),
            (json!({"to": past}), &[("to", "not_later")]),
            (json!({"to": "2026-03-01"}), &[("to", "malformed")]),
            (json!({"to": "9999-01-01T00:00:00Z"}), &[("to", "too_large")]),
            (json!({"seconds": 1, "days": 1}), &[("days", "ambiguous")]),
            (json!({"days": 1, "to": past}), &[("to", "ambiguous")]),
            (json!({"seconds": 1, "days": 1, "to": past}), &[("days", "ambiguous"), ("to", "ambiguous")]),
        ] {
            admin.post(ADVANCE, &body).await.refuses_fields(fields);
            assert_eq!(ahead(&admin).await, 60, "{body}");
        }
        assert_eq!(app.contents_but_the_trail().await, before);
    });
}

#[test]
fn many_moves_at_once_are_added_up() {
    on_both(async |app| {
        let admin = app.admin().await;
        let one = async || admin.post(ADVANCE, &json!({"seconds": 7})).await.must(200);
        tokio::join!(one(), one(), one(), one());
        assert_eq!(ahead(&admin).await, 28);
    });
}
