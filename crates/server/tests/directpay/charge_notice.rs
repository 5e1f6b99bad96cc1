//! What is to be paid shows before it is due.

use directpay_server::daily_pass::LocalDay;
use jiff::ToSpan;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Home, TestApp, Visitor, on_both};

/// A lease that begins today, whose rent is due on this day of each month: the next in 28 to 31 days.
async fn sign(app: &TestApp, home: &Home<'_>, notice: Value) -> Answer {
    let property = home.landlord.add_property().await.id();
    let today = LocalDay::at("America/New_York", app.clock.business()).unwrap().date;
    let body = json!({
        "property_id": property, "renter_id": home.renter.id, "rent_amount": "1500.00", "payment_due_day": today.day(),
        "start_date": today.to_string(), "charge_notice_days": notice,
    });
    home.landlord.post("/api/v1/leases/", &body).await.must(201)
}

async fn set_notice(home: &Home<'_>, lease: &str, days: i64) {
    let path = format!("/api/v1/leases/{lease}/charge-notice");
    let lease =
        home.landlord.call(Method::PUT, &path).json(&json!({"charge_notice_days": days})).send().await.must(200);
    assert_eq!(lease["charge_notice_days"], days);
}

/// What the list of charges says of each: kind and status.
async fn listed(who: &Visitor<'_>, lease: &str) -> Vec<String> {
    let list = who.get(&format!("/api/v1/leases/{lease}/charges")).await.must(200);
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    list.rows().iter().map(|row| format!("{} {}", text(row, "kind"), text(row, "status"))).collect()
}

async fn upcoming(home: &Home<'_>, lease: &str) -> Value {
    home.renter.get(&format!("/api/v1/leases/{lease}/balance")).await.must(200)["upcoming"].clone()
}

#[test]
fn rent_shows_from_its_notice_on_and_the_landlord_says_how_long_that_is() {
    on_both(async |app| {
        let home = app.home().await;
        let lease = sign(app, &home, Value::Null).await;
        assert_eq!(lease["charge_notice_days"], 14);
        let lease = lease.id();
        assert_eq!(listed(&home.renter, &lease).await, ["RENT OPEN"]);
        assert_eq!(upcoming(&home, &lease).await, "0.00");

        set_notice(&home, &lease, 31).await;

        assert_eq!(listed(&home.renter, &lease).await, ["RENT SCHEDULED", "RENT OPEN"]);
        assert_eq!(listed(&home.landlord, &lease).await.len(), 2);
        assert_eq!(upcoming(&home, &lease).await, "1500.00");
        let whole = home.renter.get(&format!("/api/v1/leases/{lease}/schedule")).await.must(200);
        assert!(12 <= whole.rows().len(), "the plan stays whole");
        set_notice(&home, &lease, 31).await;
        set_notice(&home, &lease, 27).await;
        assert_eq!(listed(&home.renter, &lease).await, ["RENT OPEN"]);
        let history = home.renter.get(&format!("/api/v1/leases/{lease}/history")).await.must(200);
        let events = history["events"].as_array().unwrap().iter();
        let changes = events.filter(|event| event["event_type"] == "charge_notice_changed");
        assert_eq!(
            changes.map(|event| &event["change"]).collect::<Vec<_>>(),
            [&json!({"days": 31}), &json!({"days": 27})]
        );

        let early = sign(app, &home, json!(31)).await.id();
        assert_eq!(listed(&home.renter, &early).await, ["RENT SCHEDULED", "RENT OPEN"]);
    });
}

#[test]
fn what_is_charged_once_shows_on_the_first_day_of_its_notice_until_it_is_voided() {
    on_both(async |app| {
        let home = app.home().await;
        let lease = sign(app, &home, json!(9)).await.id();
        let today = LocalDay::at("America/New_York", app.clock.business()).unwrap().date;
        let due = today.saturating_add(10.days()).to_string();
        let path = format!("/api/v1/leases/{lease}/charges");
        let key = json!({"description": "Key", "amount": "25.00", "due_date": due, "idempotency_key": "key"});
        let key = home.landlord.post(&path, &key).await.must(201).id();
        assert_eq!(listed(&home.renter, &lease).await, ["RENT OPEN"]);

        set_notice(&home, &lease, 10).await;
        assert_eq!(listed(&home.renter, &lease).await, ["ONE_OFF SCHEDULED", "RENT OPEN"]);
        assert_eq!(upcoming(&home, &lease).await, "25.00");

        home.landlord
            .post(&format!("{path}/{key}/void"), &json!({"reason": "x", "idempotency_key": "void-key"}))
            .await
            .must(200);
        assert_eq!(listed(&home.renter, &lease).await, ["RENT OPEN"]);
        assert_eq!(upcoming(&home, &lease).await, "0.00");
        let rent = home.renter.get(&path).await.rows()[0]["id"].as_str().unwrap().to_owned();
        home.landlord
            .post(&format!("{path}/{rent}/void"), &json!({"reason": "x", "idempotency_key": "void-rent"}))
            .await
            .must(200);
        assert_eq!(listed(&home.renter, &lease).await, ["RENT VOIDED"], "what was owed once stays in sight");
    });
}

#[test]
fn the_list_has_pages_newest_due_date_first() {
    on_both(async |app| {
        let home = app.home().await;
        let lease = sign(app, &home, json!(31)).await.id();
        let path = format!("/api/v1/leases/{lease}/charges");
        for number in 0..5 {
            let key = json!({"description": "Key", "amount": "1.00", "idempotency_key": format!("key-{number}")});
            home.landlord.post(&path, &key).await.must(201);
        }
        let whole = home.renter.get(&path).await.must(200);
        assert_eq!((whole.rows().len(), &whole["next_cursor"]), (7, &Value::Null));
        assert!(whole.column("due_date").is_sorted_by(|one, next| next <= one));

        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = home.renter.get(&format!("{path}?limit=3{cursor}")).await.must(200);
            ids.extend(page.column("id").into_iter().map(str::to_owned));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }

        assert_eq!(ids, whole.column("id"));
    });
}
