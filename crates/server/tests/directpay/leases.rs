//! Leases: overlap, termination, schedules that go on, receiving accounts.

use directpay_domain::time::DAY_US;
use directpay_server::daily_pass;
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Home, Visitor, WITHOUT_WORKERS, address, on_both, on_both_with, terms, with, without};

const PATH: &str = "/api/v1/leases/";

fn between(home: &Home<'_>, property: &str, start: &str, end: Option<&str>) -> Value {
    let body = with(&terms(property, &home.renter.id), "start_date", json!(start));
    match end {
        Some(end) => with(&body, "end_date", json!(end)),
        None => without(&body, "end_date"),
    }
}

/// Due date and amount of each row.
fn rows(schedule: &Value) -> Vec<String> {
    let row = |row: &Value| format!("{} {}", row["due_date"].as_str().unwrap(), row["amount"].as_str().unwrap());
    schedule.as_array().unwrap().iter().map(row).collect()
}

async fn schedule(who: &Visitor<'_>, lease: &str) -> Value {
    let listed = who.get(&format!("{PATH}{lease}/schedule")).await.must(200);
    assert_eq!(listed["next_cursor"], Value::Null);
    listed["data"].clone()
}

#[test]
fn two_leases_of_one_property_never_share_a_day() {
    on_both(async |app| {
        let home = app.home().await;
        let property = home.landlord.add_property().await.id();
        let sign = async |start: &str, end: Option<&str>| {
            home.landlord.post(PATH, &between(&home, &property, start, end)).await
        };
        sign("2030-01-01", Some("2030-12-31")).await.must(201);
        for (start, end) in [
            ("2030-12-31", Some("2031-06-30")),
            ("2029-06-01", Some("2030-01-01")),
            ("2030-05-01", Some("2030-05-01")),
            ("2029-01-01", Some("2031-01-01")),
            ("2029-01-01", None),
            ("2030-12-31", None),
        ] {
            sign(start, end).await.refuses(409, "leases_overlap");
        }
        sign("2029-01-01", Some("2029-12-31")).await.must(201);
        sign("2031-01-01", None).await.must(201);
        for (start, end) in [("2040-01-01", Some("2040-12-31")), ("2099-01-01", None)] {
            sign(start, end).await.refuses(409, "leases_overlap");
        }
        // Another flat of the same house is another property.
        let flat =
            home.landlord.post("/api/v1/properties/", &with(&address(), "unit", json!("2"))).await.must(201).id();
        home.landlord.post(PATH, &between(&home, &flat, "2030-01-01", None)).await.must(201);
        let list = home.landlord.get(&format!("/api/v1/leases/property/{property}")).await.must(200);
        assert_eq!(list.rows().len(), 3);
    });
}

#[test]
fn of_leases_that_overlap_and_are_entered_at_the_same_instant_one_is_made() {
    on_both(async |app| {
        let home = app.home().await;
        let property = home.landlord.add_property().await.id();
        let mut tries = JoinSet::new();
        for _ in 0..8 {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let request = client.post(app.address(PATH)).bearer_auth(&home.landlord.token);
            let request = request.json(&between(&home, &property, "2030-01-01", None));
            tries.spawn(async move { request.send().await.unwrap().status().as_u16() });
        }
        let mut statuses = tries.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    });
}

#[test]
fn a_schedule_follows_the_terms() {
    on_both(async |app| {
        let home = app.home().await;
        for (changes, expected) in [
            (
                json!({"start_date": "2028-01-31", "end_date": "2028-05-30", "payment_due_day": 31}),
                &["2028-01-31 1500.00", "2028-02-29 1500.00", "2028-03-31 1500.00", "2028-04-30 1500.00"][..],
            ),
            (
                json!({"start_date": "2026-02-17", "end_date": "2026-03-31", "proration": "thirty_day"}),
                &["2026-02-17 600.00", "2026-03-01 1500.00"],
            ),
            (
                json!({"start_date": "2028-02-17", "end_date": "2028-03-31", "proration": "annual"}),
                &["2028-02-17 641.10", "2028-03-01 1500.00"],
            ),
            (
                json!({"start_date": "2026-01-17", "end_date": "2026-02-28", "first_period": "full"}),
                &["2026-01-17 1500.00", "2026-02-01 1500.00"],
            ),
            (
                json!({"start_date": "2026-01-17", "end_date": "2026-02-14", "first_period": "none"}),
                &["2026-02-01 750.00"],
            ),
            (
                json!({"start_date": "2026-01-17", "end_date": "2026-02-14", "first_period": "none", "last_period": "full"}),
                &["2026-02-01 1500.00"],
            ),
            (json!({"start_date": "2026-01-10", "end_date": "2026-01-19"}), &["2026-01-10 483.87"]),
        ] {
            let property = home.landlord.add_property().await.id();
            let mut body = terms(&property, &home.renter.id);
            for (field, value) in changes.as_object().unwrap() {
                body[field] = value.clone();
            }
            let lease = home.landlord.post(PATH, &body).await.must(201);
            assert_eq!(rows(&lease["schedule"]), expected, "{changes}");
            assert_eq!(schedule(&home.renter, &lease.id()).await, lease["schedule"]);
        }
    });
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The day that the calendar shows in New York, where the properties stand.
#[test]
fn a_lease_is_terminated_between_its_start_and_its_end_past_dates_allowed() {
    on_both(async |app| {
        let home = app.home().await;
        let property = home.landlord.add_property().await.id();
        let today = app.today();
        let start = today.saturating_sub(400.days());
        let end = today.saturating_add(400.days());
        let body = between(&home, &property, &start.to_string(), Some(&end.to_string()));
        let lease = home.landlord.post(PATH, &body).await.must(201);
        let path = format!("{PATH}{}/terminate", lease.id());
        let terminate = async |end: Date| home.landlord.post(&path, &json!({"end_date": end.to_string()})).await;
        let day = |days: i64| today.saturating_add(days.days());
        terminate(day(401)).await.refuses_fields(&[("end_date", "after_end")]);
        terminate(day(-401)).await.refuses_fields(&[("end_date", "before_start")]);
        assert_eq!(schedule(&home.renter, &lease.id()).await, lease["schedule"]);
        // Nearer twice, then to a day that has passed.
        for days in [200, 100, -100] {
            let ended = terminate(day(days)).await.must(200);
            assert_eq!(ended["end_date"], day(days).to_string());
            crate::harness::assert_time(&ended["terminated_at"]);
            // What was posted stays, and is voided or corrected; what was not follows the terms.
            let rows = ended["schedule"].as_array().unwrap();
            let last = rows.iter().rfind(|row| row["status"] != "VOIDED").unwrap();
            let is_posted = !last["posted_at"].is_null();
            assert_eq!(is_posted, days < 0);
            assert!(is_posted || last["period_end"] == day(days).to_string());
            assert!(last["period_start"].as_str() <= Some(day(days).to_string().as_str()));
            assert_eq!(schedule(&home.renter, &lease.id()).await, ended["schedule"]);
        }
        assert_eq!(terminate(day(-200)).await.refuses(409, "already_ended")["current_status"], "ENDED");
        // Rows that stayed are the same rows.
        let ids = |rows: &Value| rows.as_array().unwrap().iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
        let left = ids(&schedule(&home.renter, &lease.id()).await);
        assert!(ids(&lease["schedule"]).starts_with(&left));
        // The days that it gave up are free.
        let next = between(&home, &property, &day(-99).to_string(), None);
        home.landlord.post(PATH, &next).await.must(201);
    });
}

#[test]
fn the_last_charge_of_a_terminated_lease_is_prorated() {
    on_both(async |app| {
        let home = app.home().await;
        let property = home.landlord.add_property().await.id();
        let body = between(&home, &property, "2026-01-01", None);
        let lease = home.landlord.post(PATH, &body).await.must(201).id();
        let terminate = format!("{PATH}{lease}/terminate");
        let later = json!({"end_date": app.today().saturating_add(1.year()).to_string(), "idempotency_key": "later"});
        home.landlord.post(&terminate, &later).await.must(200);
        let ended = home.landlord.post(&terminate, &json!({"end_date": "2026-03-10"})).await.must(200);
        // All of it was posted: what lies after the end is voided, of the last part the difference is let off.
        let open = |row: &Value| format!("{} {} {}", text(&row["due_date"]), text(&row["status"]), text(&row["open"]));
        let schedule: Vec<_> = ended["schedule"].as_array().unwrap().iter().map(open).collect();
        assert_eq!(schedule[..3], ["2026-01-01 OPEN 1500.00", "2026-02-01 OPEN 1500.00", "2026-03-01 OPEN 483.87"]);
        assert!(schedule[3..].iter().all(|row| row.ends_with("VOIDED 0.00")), "{schedule:?}");
        // What was asked before this end comes again, and does not undo it.
        let again = home.landlord.post(&terminate, &later).await.must(200);
        assert_eq!((&again["end_date"], &again["schedule"]), (&json!("2026-03-10"), &ended["schedule"]));
        home.renter.post(&terminate, &json!({"end_date": "2026-02-10"})).await.refuses(403, "forbidden");
    });
}

#[test]
fn an_open_ended_schedule_reaches_twelve_months_ahead_and_is_extended_as_time_passes() {
    // The pass is made here, and nowhere else.
    on_both_with(WITHOUT_WORKERS, async |app| {
        let home = app.home().await;
        let property = home.landlord.add_property().await.id();
        let start = app.today().saturating_sub(40.days());
        let lease = home.landlord.post(PATH, &between(&home, &property, &start.to_string(), None)).await.must(201);
        assert_eq!((&lease["end_date"], &lease["terminated_at"]), (&Value::Null, &Value::Null));
        let id = lease.id();
        let mut known = lease["schedule"].as_array().unwrap().clone();
        assert_reaches(&known, app.today());
        for days in [1, 31, 100, 365] {
            app.clock.advance(days * DAY_US);
            daily_pass::run(&app.running.app).await.unwrap();
            let extended = schedule(&home.renter, &id).await.as_array().unwrap().clone();
            let named = |rows: &[Value]| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
            assert_eq!(named(&extended[..known.len()]), named(&known), "what is written stays");
            assert_reaches(&extended, app.today().saturating_sub(1.day()));
            // Doing it again changes nothing.
            daily_pass::run(&app.running.app).await.unwrap();
            assert_eq!(schedule(&home.renter, &id).await.as_array(), Some(&extended));
            known = extended;
        }
        // What is missing comes back, on the next day.
        let before = rows(&json!(known));
        let mut tx = app.db().begin().await.unwrap();
        tx.execute("DELETE FROM charges WHERE due_date > 20270101 AND posted_at IS NULL", ()).await.unwrap();
        tx.commit().await.unwrap();
        app.clock.advance(2 * DAY_US);
        daily_pass::run(&app.running.app).await.unwrap();
        let after = rows(&schedule(&home.renter, &id).await);
        assert_eq!(&after[..before.len()], before);
        // Others, such as the lease of the home that has ended, stay as they are.
        assert_eq!(schedule(&home.renter, &home.lease).await.as_array().unwrap().len(), 6);
    });
}

/// The last due date is the last one within twelve months of `today`.
fn assert_reaches(schedule: &[Value], today: Date) {
    let last: Date = schedule.last().unwrap()["due_date"].as_str().unwrap().parse().unwrap();
    let horizon = today.saturating_add(12.months());
    assert!(last <= horizon.saturating_add(1.day()), "{last} is beyond {horizon}");
    assert!(horizon < last.saturating_add(1.month()).saturating_add(1.day()), "{last} falls short of {horizon}");
}

#[test]
fn an_open_ended_lease_that_starts_later_reaches_twelve_months_from_its_start() {
    on_both(async |app| {
        let home = app.home().await;
        let property = home.landlord.add_property().await.id();
        let body = between(&home, &property, "2040-03-01", None);
        let lease = home.landlord.post(PATH, &body).await.must(201);
        let schedule = lease["schedule"].as_array().unwrap();
        assert_eq!(schedule[0]["due_date"], "2040-03-01");
        assert_eq!(schedule.last().unwrap()["due_date"], "2041-03-01");
    });
}

#[test]
fn a_currency_that_no_rail_carries_is_refused() {
    on_both(async |app| {
        let home = app.home().await;
        let property = home.landlord.add_property().await.id();
        for (currency, amount) in [("EUR", "1500.00"), ("jpy", "150000"), ("BHD", "1.001")] {
            let body = with(
                &with(&terms(&property, &home.renter.id), "currency", json!(currency)),
                "rent_amount",
                json!(amount),
            );
            home.landlord.post(PATH, &body).await.refuses_fields(&[("currency", "currency_not_carried")]);
        }
        let body = with(&terms(&property, &home.renter.id), "currency", json!("EUR"));
        let body = with(&with(&body, "start_date", json!("x")), "payment_due_day", json!(40));
        let all =
            [("start_date", "malformed"), ("currency", "currency_not_carried"), ("payment_due_day", "out_of_range")];
        home.landlord.post(PATH, &body).await.refuses_fields(&all);
    });
}

#[test]
fn rent_goes_to_the_leases_receiving_account_or_else_to_the_primary_one() {
    on_both(async |app| {
        let home = app.home().await;
        let second = home.landlord.link_account("5555").await.id();
        let property = home.landlord.add_property().await.id();
        let body = with(&terms(&property, &home.renter.id), "payee_account_id", json!(second));
        let lease = home.landlord.post(PATH, &body).await.must(201);
        assert_eq!(lease["payee_account_id"], second.as_str());
        let rent = |lease: &str| json!({"lease_id": lease, "amount": "1.00", "rail": "INSTANT"});
        let paid = home.renter.pay("a", &rent(&lease.id())).await.must(201);
        assert_eq!(paid["payee_account_id"], second.as_str());
        let paid = home.renter.pay("b", &rent(&home.lease)).await.must(201);
        assert_eq!(paid["payee_account_id"], home.landlord_account.as_str());
        // The request's own choice goes before the lease's.
        let chosen = with(&rent(&lease.id()), "payee_account_id", json!(home.landlord_account));
        assert_eq!(home.renter.pay("c", &chosen).await.must(201)["payee_account_id"], home.landlord_account.as_str());
        crate::harness::until("all is paid", async || {
            home.renter.get("/api/v1/payments/").await.column("status") == ["COMPLETED"; 3]
        })
        .await;
        // Deactivated, it is a refusal and never a silent change to another.
        home.landlord.patch(&format!("/api/v1/bank-accounts/{second}/deactivate")).await.must(200);
        home.renter.pay("d", &rent(&lease.id())).await.refuses_fields(&[("payee_account_id", "inactive")]);
        let another = home.landlord.add_property().await.id();
        let body = with(&terms(&another, &home.renter.id), "payee_account_id", json!(second));
        home.landlord.post(PATH, &body).await.refuses_fields(&[("payee_account_id", "inactive")]);
    });
}
