//! Autopay: what is owed is drawn on its day, once, announced, and never above the cap.

use directpay_server::autopay;
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::harness::{
    Answer, GOOD_ACCOUNT, Home, POST, PUT, TestApp, Visitor, WITHOUT_WORKERS, on_both, on_both_with, until, with,
};

/// A lease that begins today and is paid for its first month.
struct Flat<'a> {
    app: &'a TestApp,
    home: Home<'a>,
    lease: String,
    /// When the second rent is due.
    next: Date,
}

impl<'a> Flat<'a> {
    async fn let_by(app: &'a TestApp) -> Flat<'a> {
        let flat = Flat::unpaid(app).await;
        let payment = json!({"lease_id": flat.lease, "amount": "1500.00", "rail": "INSTANT"});
        let payment = flat.home.renter.pay("first", &payment).await.must(201).id();
        flat.home.renter.wait_until(&payment, "COMPLETED").await;
        flat
    }

    async fn unpaid(app: &'a TestApp) -> Flat<'a> {
        let home = app.home().await;
        let property = home.landlord.add_property().await.id();
        let begins = app.today();
        let body = json!({
            "property_id": property, "renter_id": home.renter.id, "rent_amount": "1500.00",
            "payment_due_day": begins.day(), "start_date": begins.to_string(),
        });
        let lease = home.landlord.post("/api/v1/leases/", &body).await.must(201);
        let next = lease["schedule"][1]["due_date"].as_str().unwrap().parse().unwrap();
        Flat { app, home, lease: lease.id(), next }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/leases/{}/{rest}", self.lease)
    }

    async fn signs(&self, renter: &Visitor<'_>, terms: Value) -> Answer {
        let body = with(&terms, "idempotency_key", json!(format!("autopay-{}", terms["cap"])));
        renter.post(&self.path("autopay"), &body).await.must(201)
    }

    async fn acts(&self, mandate: &str, action: &str) -> Answer {
        self.home.renter.post(&self.path(&format!("autopay/{mandate}/{action}")), &Value::Null).await
    }

    async fn skips(&self, mandate: &str, due: Date) -> Answer {
        let body = json!({"due_date": due.to_string()});
        self.home.renter.post(&self.path(&format!("autopay/{mandate}/skip")), &body).await
    }

    /// Of each draw, oldest first: due date, status, announced, drawn, why.
    async fn draws(&self) -> Vec<String> {
        let list = self.home.renter.get(&self.path("autopay")).await.must(200);
        let mut draws = list["data"][0]["draws"].as_array().unwrap().clone();
        draws.reverse();
        let text = |draw: &Value, field: &str| draw[field].as_str().unwrap_or("-").to_owned();
        let fields = ["due_date", "status", "announced_amount", "amount", "reason_code"];
        draws.iter().map(|draw| fields.map(|field| text(draw, field)).join(" ")).collect()
    }

    async fn status(&self) -> String {
        self.home.renter.get(&self.path("autopay")).await["data"][0]["status"].as_str().unwrap().to_owned()
    }

    async fn balance(&self) -> String {
        self.home.renter.get(&self.path("balance")).await["balance"].as_str().unwrap().to_owned()
    }

    async fn is_settled(&self) {
        until("nothing is on the way", async || {
            self.home.renter.get(&self.path("balance")).await["on_the_way"] == "0.00"
        })
        .await;
    }

    /// The number of the lease's payments.
    async fn payments(&self) -> usize {
        let path = format!("/api/v1/payments/lease/{}", self.lease);
        self.home.landlord.get(&path).await["data"].as_array().unwrap().len()
    }

    fn date(&self, days: i64) -> Date {
        self.next.checked_add(days.days()).unwrap()
    }
}

#[test]
fn rent_is_announced_and_drawn_on_its_day_once() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        let mandate = flat.signs(&flat.home.renter, json!({"cap": "2000.00", "rail": "INSTANT"})).await;
        assert_eq!((&mandate["status"], &mandate["usual_max"]), (&json!("ACTIVE"), &json!("2000.00")));
        assert!(mandate["document"].as_str().unwrap().contains("ending in 6789"));
        app.go_on_to(flat.date(-15)).await;
        assert_eq!(flat.draws().await, [""; 0]);
        app.go_on_to(flat.date(-14)).await;
        assert_eq!(flat.draws().await, [format!("{} ANNOUNCED 1500.00 - -", flat.next)]);
        app.go_on_to(flat.next).await;
        tokio::try_join!(autopay::run(&app.running.app), autopay::run(&app.running.app)).unwrap();
        flat.is_settled().await;
        assert_eq!(flat.draws().await[0], format!("{} DRAWN 1500.00 1500.00 -", flat.next));
        assert_eq!((flat.balance().await, flat.payments().await), ("0.00".to_owned(), 2));
        let list = flat.home.renter.get(&flat.path("autopay")).await;
        let payment =
            list["data"][0]["draws"].as_array().unwrap().iter().find(|draw| draw["status"] == "DRAWN").unwrap();
        let history = flat.home.landlord.history(payment["payment_id"].as_str().unwrap()).await;
        assert_eq!(history["events"][0]["actor"]["id"], "autopay");
        assert_eq!(history["payment"]["initiated_by"], flat.home.renter.id);
    });
}

#[test]
fn what_is_drawn_ahead_pays_for_all_that_falls_due_on_the_day() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        let parking = json!({"description": "Parking", "amount": "50.00", "start_date": flat.next.to_string(), "idempotency_key": "p"});
        flat.home.landlord.post(&flat.path("extras"), &parking).await.must(201);
        flat.signs(&flat.home.renter, json!({"cap": "2000.00", "rail": "INSTANT", "lead_days": 3})).await;
        app.go_on_to(flat.date(-4)).await;
        assert_eq!(flat.payments().await, 1);
        app.go_on_to(flat.date(-3)).await;
        flat.is_settled().await;
        assert_eq!(flat.draws().await, [format!("{} DRAWN 1550.00 1550.00 -", flat.next)]);
        app.go_on_to(flat.next).await;
        let schedule = flat.home.renter.get(&flat.path("schedule")).await;
        let due = schedule["data"].as_array().unwrap().iter().filter(|row| row["due_date"] == flat.next.to_string());
        let due: Vec<_> = due.map(|row| (row["kind"].clone(), row["status"].clone())).collect();
        assert_eq!(due, [(json!("RENT"), json!("PAID")), (json!("EXTRA"), json!("PAID"))]);
        assert_eq!(flat.balance().await, "0.00");
    });
}

#[test]
fn a_draw_is_never_above_the_cap_and_never_a_surprise() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        let usual = json!({"cap": "1900.00", "rail": "INSTANT", "usual_min": "1000.00", "usual_max": "1600.00"});
        flat.signs(&flat.home.renter, usual).await;
        app.go_on_to(flat.date(-14)).await;
        let charge =
            |amount: &str, key: &str| json!({"description": "Repair", "amount": amount, "idempotency_key": key});
        // Eleven days before: there is time to tell of it.
        app.go_on_to(flat.date(-11)).await;
        flat.home.landlord.post(&flat.path("charges"), &charge("200.00", "one")).await.must(201);
        app.go_on_to(flat.date(-10)).await;
        assert_eq!(flat.draws().await, [format!("{} ANNOUNCED 1700.00 - -", flat.next)]);
        // Nine days before: there is none.
        app.go_on_to(flat.date(-9)).await;
        flat.home.landlord.post(&flat.path("charges"), &charge("100.00", "two")).await.must(201);
        app.go_on_to(flat.next).await;
        flat.is_settled().await;
        assert_eq!(flat.draws().await[0], format!("{} DRAWN 1700.00 1700.00 -", flat.next));
        assert_eq!(flat.balance().await, "100.00");
        // What is left is drawn with the next rent, up to the cap.
        let after = flat.next.checked_add(1.month()).unwrap();
        app.go_on_to(after.checked_sub(13.days()).unwrap()).await;
        flat.home.landlord.post(&flat.path("charges"), &charge("900.00", "three")).await.must(201);
        app.go_on_to(after.checked_sub(12.days()).unwrap()).await;
        app.go_on_to(after).await;
        flat.is_settled().await;
        assert_eq!(flat.draws().await[1], format!("{after} DRAWN 1900.00 1900.00 -"));
        assert_eq!(flat.balance().await, "600.00");
    });
}

#[test]
fn who_wants_to_know_of_any_change_pays_no_more_than_was_announced() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        flat.signs(&flat.home.renter, json!({"cap": "2000.00", "rail": "INSTANT", "notice": "ANY_CHANGE"})).await;
        app.go_on_to(flat.date(-5)).await;
        // First told five days before, and nothing was drawn before.
        assert_eq!(flat.draws().await, [format!("{} ANNOUNCED 1500.00 - -", flat.next)]);
        app.go_on_to(flat.next).await;
        assert_eq!(flat.draws().await[0], format!("{} MISSED 1500.00 - NOT_ANNOUNCED", flat.next));
        let after = flat.next.checked_add(1.month()).unwrap();
        app.go_on_to(after.checked_sub(12.days()).unwrap()).await;
        app.go_on_to(after).await;
        flat.is_settled().await;
        assert_eq!(flat.draws().await[1], format!("{after} DRAWN 2000.00 2000.00 -"));
        assert_eq!(flat.status().await, "ACTIVE");
    });
}

#[test]
fn a_draw_follows_what_was_paid_by_hand() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        flat.signs(&flat.home.renter, json!({"cap": "2000.00", "rail": "INSTANT"})).await;
        app.go_on_to(flat.date(-14)).await;
        let part = json!({"lease_id": flat.lease, "amount": "600.00", "rail": "INSTANT"});
        flat.home.renter.pay("part", &part).await.must(201);
        flat.is_settled().await;
        app.go_on_to(flat.next).await;
        flat.is_settled().await;
        assert_eq!(flat.draws().await[0], format!("{} DRAWN 1500.00 900.00 -", flat.next));
        // The next is paid wholly by hand.
        let after = flat.next.checked_add(1.month()).unwrap();
        flat.home.renter.pay("all", &with(&part, "amount", json!("1500.00"))).await.must(201);
        flat.is_settled().await;
        app.go_on_to(after).await;
        assert_eq!(flat.draws().await[1], format!("{after} MISSED - - NOTHING_OWED"));
        assert_eq!(flat.balance().await, "0.00");
    });
}

#[test]
fn a_renter_skips_pauses_resumes_and_revokes() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        let mandate = flat.signs(&flat.home.renter, json!({"cap": "9000.00", "rail": "INSTANT"})).await.id();
        flat.skips(&mandate, flat.date(1)).await.must(422);
        flat.skips(&mandate, flat.next).await.must(200);
        app.go_on_to(flat.next).await;
        assert_eq!(flat.draws().await[0], format!("{} SKIPPED - - SKIPPED", flat.next));
        let month = |months: i64| flat.next.checked_add(months.months()).unwrap();
        flat.acts(&mandate, "pause").await.must(200);
        app.go_on_to(month(1)).await;
        assert_eq!(flat.draws().await[1], format!("{} MISSED - - NOT_ACTIVE", month(1)));
        flat.acts(&mandate, "resume").await.must(200);
        app.go_on_to(month(2)).await;
        flat.is_settled().await;
        assert_eq!(flat.draws().await[2], format!("{} DRAWN - 4500.00 -", month(2)));
        flat.skips(&mandate, month(2)).await.must(409);
        flat.acts(&mandate, "revoke").await.must(200);
        flat.acts(&mandate, "resume").await.must(409);
        app.go_on_to(month(3)).await;
        assert_eq!((flat.draws().await.len(), flat.balance().await), (3, "1500.00".to_owned()));
        flat.signs(&flat.home.renter, json!({"cap": "1500.00"})).await;
    });
}

#[test]
fn what_no_bank_has_seen_is_cancelled_with_the_mandate() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        let flat = Flat::unpaid(app).await;
        // Signed on the day on which rent is due: it is drawn at once.
        let mandate = flat.signs(&flat.home.renter, json!({"cap": "2000.00"})).await.id();
        let draws = flat.draws().await;
        assert!(draws[0].contains("DRAWN - 1500.00"), "{draws:?}");
        flat.acts(&mandate, "revoke").await.must(200);
        assert!(flat.draws().await[0].contains("SKIPPED - 1500.00 SKIPPED"));
        let path = format!("/api/v1/payments/lease/{}", flat.lease);
        assert_eq!(flat.home.renter.get(&path).await["data"][0]["status"], "CANCELLED");
    });
}

#[test]
fn a_block_pauses_autopay_and_what_is_owed_is_drawn_after_it() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        flat.signs(&flat.home.renter, json!({"cap": "3500.00", "rail": "INSTANT"})).await;
        let block = json!({"policy": "BLOCK_ALL", "reason": "An eviction is pending"});
        flat.home.landlord.call(PUT, &flat.path("payment-policy")).json(&block).send().await.must(200);
        assert_eq!(flat.home.renter.get(&flat.path("autopay")).await["data"][0]["is_blocked"], true);
        app.go_on_to(flat.next).await;
        assert!(flat.draws().await[0].ends_with("MISSED - - PAYMENTS_BLOCKED"));
        let any = json!({"policy": "ANY", "reason": "The case is closed"});
        flat.home.landlord.call(PUT, &flat.path("payment-policy")).json(&any).send().await.must(200);
        app.go_on_to(flat.next.checked_add(1.month()).unwrap()).await;
        flat.is_settled().await;
        assert_eq!((flat.status().await, flat.balance().await), ("ACTIVE".to_owned(), "0.00".to_owned()));
    });
}

#[test]
fn a_mandate_survives_one_failure_and_tells_both_sides() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        let poor = flat.home.renter.link_account("000444444440").await.id();
        let terms = json!({"cap": "9000.00", "rail": "INSTANT", "payer_account_id": poor});
        let mandate = flat.signs(&flat.home.renter, terms).await.id();
        let month = |months: i64| flat.next.checked_add(months.months()).unwrap();
        app.go_on_to(month(0)).await;
        flat.is_settled().await;
        app.go_on_to(month(0).tomorrow().unwrap()).await;
        assert_eq!(
            (flat.draws().await[0].contains("FAILED - 1500.00 AC06"), flat.status().await.as_str()),
            (true, "ACTIVE")
        );
        let history = flat.home.landlord.get(&flat.path("history")).await.must(200);
        let told =
            history["events"].as_array().unwrap().iter().find(|event| event["event_type"] == "draw_failed").unwrap();
        assert_eq!(told["reason"]["code"], "AC06");
        let seen = flat.home.landlord.get(&flat.path("autopay")).await.must(200);
        assert!(seen["data"][0]["draws"][0]["reason"].is_null());
        app.go_on_to(month(1)).await;
        flat.is_settled().await;
        app.go_on_to(month(1).tomorrow().unwrap()).await;
        assert_eq!(flat.status().await, "SUSPENDED", "{:?}", flat.draws().await);
        app.go_on_to(month(2)).await;
        assert!(flat.draws().await[2].ends_with("NOT_ACTIVE"));
        flat.acts(&mandate, "resume").await.must(200);
        assert_eq!(flat.status().await, "ACTIVE");
    });
}

#[test]
fn what_comes_back_of_a_revoked_mandate_is_told() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        let disputed = flat.home.renter.link_account("000555555559").await.id();
        let terms = json!({"cap": "1500.00", "rail": "STANDARD_ACH", "payer_account_id": disputed});
        let mandate = flat.signs(&flat.home.renter, terms).await.id();
        app.go_on_to(flat.next).await;
        let list = flat.home.renter.get(&flat.path("autopay")).await;
        flat.home.renter.wait_until(list["data"][0]["draws"][0]["payment_id"].as_str().unwrap(), "RETURNED").await;
        flat.acts(&mandate, "revoke").await.must(200);
        app.go_on_to(flat.next.tomorrow().unwrap()).await;
        assert_eq!(flat.draws().await, [format!("{} FAILED - 1500.00 R10", flat.next)]);
        assert_eq!(flat.status().await, "REVOKED");
    });
}

#[test]
fn what_fell_due_in_a_pause_is_not_made_up_for() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        let mandate = flat.signs(&flat.home.renter, json!({"cap": "1500.00", "rail": "INSTANT"})).await.id();
        flat.acts(&mandate, "pause").await.must(200);
        // Nobody has looked after it when it is resumed.
        app.turn_clock_to(flat.next);
        flat.acts(&mandate, "resume").await.must(200);
        assert_eq!(flat.draws().await, [format!("{} MISSED - - NOT_ACTIVE", flat.next)]);
    });
}

#[test]
fn a_new_primary_account_moves_no_mandate_and_others_see_no_terms() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        let mandate = flat.signs(&flat.home.renter, json!({"cap": "2000.00", "rail": "INSTANT"})).await;
        assert_eq!(mandate["payer_account_id"], flat.home.renter_account);
        let other = flat.home.renter.link_account("600000000009").await.id();
        flat.home.renter.patch(&format!("/api/v1/bank-accounts/{other}/set-primary")).await.must(200);
        app.go_on_to(flat.next).await;
        flat.is_settled().await;
        let path = format!("/api/v1/payments/lease/{}", flat.lease);
        let payments = flat.home.renter.get(&path).await;
        assert_eq!(payments["data"][0]["payer_account_id"], flat.home.renter_account);
        let seen = flat.home.landlord.get(&flat.path("autopay")).await;
        for field in ["payer_account_id", "cap", "notice", "usual_min", "usual_max", "document"] {
            assert!(seen["data"][0][field].is_null(), "{field}");
        }
        assert_eq!(seen["data"][0]["draws"][0]["amount"], "1500.00");
    });
}

#[test]
fn each_renter_draws_the_own_share() {
    on_both(async |app| {
        let home = app.home().await;
        let other = app.sign_up("RENTER").await;
        other.link_account(GOOD_ACCOUNT).await;
        let property = home.landlord.add_property().await.id();
        let begins = app.today();
        let share = json!({"renter_id": other.id, "kind": "FIXED", "amount": "400.00"});
        let body = json!({
            "property_id": property, "renter_ids": [home.renter.id, other.id], "rent_amount": "1500.00",
            "payment_due_day": begins.day(), "start_date": begins.to_string(), "shares": [share],
        });
        let lease = home.landlord.post("/api/v1/leases/", &body).await.must(201);
        let next = lease["schedule"][1]["due_date"].as_str().unwrap().parse().unwrap();
        let flat = Flat { app, home, lease: lease.id(), next };
        // Of a small charge the fixed share takes all. Money goes to rent first, whoever paid it for what.
        let parking = json!({"description": "Parking", "amount": "100.00", "start_date": flat.next.to_string(), "idempotency_key": "p"});
        flat.home.landlord.post(&flat.path("extras"), &parking).await.must(201);
        let terms = json!({"cap": "3000.00", "rail": "INSTANT", "lead_days": 1});
        flat.signs(&flat.home.renter, terms.clone()).await;
        flat.signs(&other, terms).await;
        // Drawn at once for today, and a day before the next rent.
        flat.is_settled().await;
        flat.app.go_on_to(flat.date(-1)).await;
        flat.is_settled().await;
        flat.app.go_on_to(flat.next).await;
        let view = other.get(&flat.path("shares")).await.must(200);
        let paid = |id: &str| {
            let renters = view["renters"].as_array().unwrap();
            renters.iter().find(|renter| renter["renter_id"] == id).unwrap()["paid"].clone()
        };
        assert_eq!((paid(&other.id), paid(&flat.home.renter.id)), (json!("900.00"), json!("2200.00")));
        assert_eq!(flat.balance().await, "0.00");
    });
}

#[test]
fn a_mandate_ends_with_its_lease() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        flat.signs(&flat.home.renter, json!({"cap": "2000.00", "rail": "INSTANT"})).await;
        app.go_on_to(flat.date(-14)).await;
        let end = json!({"end_date": flat.date(-1).to_string()});
        flat.home.landlord.post(&flat.path("terminate"), &end).await.must(200);
        app.go_on_to(flat.next).await;
        assert_eq!((flat.status().await.as_str(), flat.payments().await), ("REVOKED", 1));
        assert_eq!(flat.draws().await, [format!("{} MISSED 1500.00 - NOTHING_OWED", flat.next)]);
    });
}

#[test]
fn a_mandate_is_signed_once_and_only_with_sound_terms() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        let renter = &flat.home.renter;
        let asks = async |body: Value| {
            renter.call(POST, &flat.path("autopay")).header("Idempotency-Key", "one").json(&body).send().await
        };
        let refused = async |body: Value| {
            let answer = asks(body).await.must(422);
            let errors = answer["errors"].as_array().unwrap();
            errors.iter().map(|error| format!("{} {}", error["field"], error["code"])).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(refused(json!({"cap": "0"})).await, r#""cap" "not_positive""#);
        assert_eq!(refused(json!({"cap": "10", "lead_days": 11})).await, r#""lead_days" "out_of_range""#);
        assert_eq!(refused(json!({"cap": "10", "usual_max": "11"})).await, r#""usual_max" "over_cap""#);
        let range = json!({"cap": "10", "notice": "ANY_CHANGE", "usual_max": "1"});
        assert_eq!(refused(range).await, r#""usual_max" "superfluous""#);
        let foreign = json!({"cap": "10", "payer_account_id": flat.home.landlord_account});
        assert_eq!(refused(foreign).await, r#""payer_account_id" "not_found""#);
        flat.home.landlord.post(&flat.path("autopay"), &json!({"cap": "10", "idempotency_key": "x"})).await.must(403);

        let first = asks(json!({"cap": "1500.00"})).await.must(201);
        let again = asks(json!({"cap": "1500.00"})).await.must(200);
        assert_eq!(first.id(), again.id());
        assert_eq!(again.headers["idempotent-replayed"], "true");
        asks(json!({"cap": "1501.00"})).await.must(422);
        let second = json!({"cap": "1500.00", "idempotency_key": "two"});
        let conflict = renter.post(&flat.path("autopay"), &second).await.must(409);
        assert_eq!(conflict["code"], "mandate_exists");
    });
}
