//! Metrics: what was counted is what happened, what is told of a moment is so, and whoever asks finds nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use directpay_domain::time::{DAY_US, SECOND_US};
use serde_json::{Value, json};

use crate::harness::{GET, Home, POST, TestApp, WITHOUT_WORKERS, on_both, on_both_with, on_sqlite, until, with};

const PAYMENTS: &str = "/api/v1/payments/";

/// Two payments that arrive at once, one that is refused and one that comes back, and one that is none.
async fn some_payments(app: &TestApp) -> Home<'_> {
    let home = app.home().await;
    home.paid("first").await;
    home.paid("second").await;
    for (number, key, ends) in [("000111111113", "refused", "FAILED"), ("000555555559", "returned", "RETURNED")] {
        let account = home.renter.link_account(number).await.id();
        let body =
            json!({"lease_id": home.lease, "amount": "10.00", "rail": "STANDARD_ACH", "payer_account_id": account});
        let payment = home.renter.pay(key, &body).await.must(201);
        home.renter.wait_until(&payment.id(), ends).await;
    }
    home.renter.pay("none", &with(&home.rent("1.00"), "amount", json!("-1.00"))).await.must(422);
    home
}

#[test]
fn what_happened_to_payments_is_counted_by_rail() {
    on_both(async |app| {
        let home = some_payments(app).await;
        home.renter.pay("first", &home.rent("1500.00")).await.must(200);

        let told = app.metrics().await;
        let events = |event, rail| told.of("directpay_payment_events_total", &[("event", event), ("rail", rail)]);
        for (event, instant, standard) in [
            ("payment_initiated", 2.0, 2.0),
            ("payment_processing", 2.0, 2.0),
            ("payment_completed", 2.0, 1.0),
            ("payment_failed", 0.0, 1.0),
            ("payment_returned", 0.0, 1.0),
            ("payment_cancelled", 0.0, 0.0),
        ] {
            assert_eq!(events(event, "INSTANT"), instant, "{event}");
            assert_eq!(events(event, "STANDARD_ACH"), standard, "{event}");
            assert_eq!(events(event, "WIRE"), 0.0, "{event}");
        }
        let bank = |what: &str, rail, outcome| {
            told.of(&format!("directpay_bank_{what}_total"), &[("rail", rail), ("outcome", outcome)])
        };
        assert_eq!(bank("receipts", "INSTANT", "settled"), 2.0);
        assert_eq!(bank("receipts", "STANDARD_ACH", "accepted"), 2.0);
        assert_eq!(bank("notices", "STANDARD_ACH", "refused"), 1.0);
        assert_eq!(bank("notices", "STANDARD_ACH", "settled"), 1.0);
        assert_eq!(bank("notices", "STANDARD_ACH", "returned"), 1.0);
        // What was asked again went through the intake as well.
        assert_eq!(told.of("directpay_intake_batch_payments_sum", &[]), 5.0);
        assert_eq!(told.of("directpay_worker_batch_payments_sum", &[("worker", "submit")]), 4.0);
        assert_eq!(told.of("directpay_worker_batch_payments_sum", &[("worker", "settle")]), 3.0);
        assert_eq!(told.of("directpay_intake_shed_total", &[]), 0.0);
        assert_eq!(told.of("directpay_workers_silent", &[]), 0.0);
    });
}

#[test]
fn requests_are_counted_by_their_route_and_nobody_makes_labels() {
    on_sqlite(async |app| {
        let home = some_payments(app).await;
        let payment = home.paid("third").await.id();
        for path in ["/nowhere/at/all", "/metrics", "/api/v1/users/me/more"] {
            app.call(GET, &format!("{path}?secret=plum")).send().await.must(404);
        }
        app.call(reqwest::Method::from_bytes(b"BREW").unwrap(), "/health").send().await.must(405);
        app.call(GET, "/docs/").send().await.must(200);

        let told = app.metrics().await;
        let count = |method, route, status| {
            told.of("directpay_http_requests_total", &[("method", method), ("route", route), ("status", status)])
        };
        assert_eq!(count("POST", PAYMENTS, "201"), 5.0);
        assert_eq!(count("POST", PAYMENTS, "422"), 1.0);
        assert_eq!(
            told.of("directpay_http_request_duration_seconds_count", &[("method", "POST"), ("route", PAYMENTS)]),
            6.0
        );
        assert_eq!(count("GET", "unknown", "404"), 3.0);
        assert_eq!(count("OTHER", "/health", "405"), 1.0);
        assert_eq!(count("GET", "/docs", "200"), 1.0);
        assert!(1.0 <= count("GET", "/api/v1/payments/{payment_id}", "200"));
        for foreign in [payment.as_str(), home.lease.as_str(), "nowhere", "secret", "plum", "BREW"] {
            assert!(!told.text.contains(foreign), "{foreign} is told");
        }
        assert!(told.values_of("route").iter().all(|route| *route == "unknown" || route.starts_with('/')));
    });
}

#[test]
fn the_longest_due_payment_grows_old_while_nobody_works() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        const AGE: &str = "directpay_oldest_payment_age_seconds";
        let home = app.home().await;
        assert_eq!(app.metrics().await.of(AGE, &[("status", "PENDING")]), 0.0);
        home.renter.pay("first", &home.rent("10.00")).await.must(201);
        app.clock.advance(3600 * SECOND_US);
        home.renter.pay("second", &home.rent("10.00")).await.must(201);
        until("the first one is an hour old", async || {
            (3600.0..3660.0).contains(&app.metrics().await.of(AGE, &[("status", "PENDING")]))
        })
        .await;
        app.clock.advance(3 * DAY_US);
        until("it is older, and a day has begun", async || {
            let told = app.metrics().await;
            let pass = told.of("directpay_daily_pass_oldest_due_age_seconds", &[]);
            259_200.0 < told.of(AGE, &[("status", "PENDING")]) && 86_400.0 < pass
        })
        .await;
        let told = app.metrics().await;
        assert_eq!(told.of("directpay_work_due", &[("what", "SUBMIT")]), 2.0);
        assert_eq!(told.of("directpay_work_due", &[("what", "INQUIRE")]), 0.0);
        assert_eq!(told.of(AGE, &[("status", "PROCESSING")]), 0.0);
    });
}

#[test]
fn what_the_bank_keeps_grows_old() {
    on_both(async |app| {
        const AGE: &str = "directpay_oldest_payment_age_seconds";
        let home = app.home().await;
        let account = home.renter.link_account("000000000009").await.id();
        let body =
            json!({"lease_id": home.lease, "amount": "10.00", "rail": "STANDARD_ACH", "payer_account_id": account});
        let kept = home.renter.pay("kept", &body).await.must(201).id();
        home.paid("other").await;
        home.renter.wait_until(&kept, "PROCESSING").await;
        until("the bank has it", async || app.due_work().await == 0).await;
        app.clock.advance(6 * DAY_US);
        until("it is six days old", async || 518_400.0 <= app.metrics().await.of(AGE, &[("status", "PROCESSING")]))
            .await;
        let told = app.metrics().await;
        assert_eq!(told.of("directpay_oldest_unconfirmed_payment_age_seconds", &[]), 0.0);
        assert_eq!(told.of(AGE, &[("status", "PENDING")]), 0.0);
    });
}

#[test]
fn the_database_is_seen_from_here() {
    on_both(async |app| {
        app.home().await;
        let told = app.metrics().await;
        let pools = if app.db().is_shared() { &["primary"][..] } else { &["writer", "readers"] };
        assert_eq!(told.values_of("pool"), BTreeSet::from_iter(pools.iter().copied()));
        for access in ["read", "write"] {
            assert!(0.0 < told.of("directpay_database_wait_seconds_count", &[("access", access)]), "{access}");
        }
        let open = |pool, state| told.of("directpay_database_connections", &[("pool", pool), ("state", state)]);
        assert!(pools.iter().all(|pool| 1.0 <= open(*pool, "in_use").max(open(*pool, "idle"))), "{}", told.text);
        let tx = app.db().begin().await.unwrap();
        let busy = app.metrics().await;
        let pool = if app.db().is_shared() { "primary" } else { "writer" };
        assert!(1.0 <= busy.of("directpay_database_connections", &[("pool", pool), ("state", "in_use")]));
        drop(tx);
    });
}

#[test]
fn metrics_have_an_address_of_their_own_with_nothing_else_on_it() {
    on_sqlite(async |app| {
        app.call(GET, "/metrics").send().await.refuses(404, "not_found");
        app.call(GET, "/api/v1/metrics").send().await.refuses(404, "not_found");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for path in ["/", "/metrics/", "/health", "/ready", "/docs/", "/openapi.json", "/api/v1/users/me", PAYMENTS] {
            let answer = client.get(app.metrics_address(path)).send().await.unwrap();
            assert_eq!(answer.status(), 404, "{path}");
        }
        let answer = client.post(app.metrics_address("/metrics")).send().await.unwrap();
        assert_eq!(answer.status(), 405);
    });
}

/// What an example for Prometheus or Grafana asks for.
fn named_in(file: &str) -> BTreeSet<String> {
    let text = example(file);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    let names = words.filter(|word| word.starts_with("directpay_") || word.starts_with("process_"));
    names.map(str::to_owned).collect()
}

fn example(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/observability");
    fs::read_to_string(folder.join(file)).unwrap()
}

#[test]
fn dashboard_and_alerts_ask_for_nothing_that_is_not_told() {
    on_both(async |app| {
        some_payments(app).await;
        let told = app.metrics().await;
        for file in ["dashboard.json", "alerts.yaml"] {
            let named = named_in(file);
            assert!(5 < named.len(), "{file}: {named:?}");
            let missing: Vec<_> = named.iter().filter(|name| !told.has(name)).collect();
            assert!(missing.is_empty(), "{file} asks for {missing:?}");
        }
    });
}

#[test]
fn the_dashboard_is_one() {
    let dashboard: Value = serde_json::from_str(&example("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(10 < panels.len());
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "{panel}");
        assert!(!panel["title"].as_str().unwrap().is_empty());
        let is_row = panel["type"] == "row";
        assert_eq!(is_row, panel["targets"].as_array().is_none_or(Vec::is_empty), "{panel}");
    }
}

#[test]
fn days_and_draws_are_counted() {
    on_both(async |app| {
        app.home().await;
        let leases = async || app.metrics().await.of("directpay_daily_pass_leases_total", &[]);
        let before = leases().await;
        app.go_on_to(app.today().tomorrow().unwrap()).await;
        assert!(before < leases().await);
        let told = app.metrics().await;
        assert!(1.0 <= told.of("directpay_daily_pass_duration_seconds_count", &[]));
        assert!(1.0 <= told.of("directpay_autopay_duration_seconds_count", &[]));
    });
}

#[test]
fn a_failing_request_is_counted_with_its_status() {
    on_sqlite(async |app| {
        app.call(POST, PAYMENTS).send().await.must(401);
        let labels = [("method", "POST"), ("route", PAYMENTS), ("status", "401")];
        assert_eq!(app.metrics().await.of("directpay_http_requests_total", &labels), 1.0);
    });
}
