//! What a lease charges, what pays for it, and what happens when it is not paid.

use directpay_server::daily_pass;
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::harness::{Answer, Home, POST, PUT, TestApp, WITHOUT_WORKERS, on_both, on_both_with, until, with, without};

/// A lease that begins today, whose rent is due today and on this day of the months to come.
struct Flat<'a> {
    home: Home<'a>,
    lease: String,
    begins: Date,
}

impl<'a> Flat<'a> {
    async fn let_by(app: &'a TestApp) -> Flat<'a> {
        let home = app.home().await;
        let property = home.landlord.add_property().await.id();
        let begins = app.today();
        let body = json!({
            "property_id": property, "renter_id": home.renter.id, "rent_amount": "1500.00",
            "payment_due_day": begins.day(), "start_date": begins.to_string(),
        });
        let lease = home.landlord.post("/api/v1/leases/", &body).await.must(201).id();
        Flat { home, lease, begins }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/leases/{}/{rest}", self.lease)
    }

    async fn landlord_asks(&self, rest: &str, key: &str, body: &Value) -> Answer {
        self.home.landlord.call(POST, &self.path(rest)).header("Idempotency-Key", key).json(body).send().await
    }

    async fn landlord_sets(&self, rest: &str, body: &Value) -> Answer {
        self.home.landlord.call(PUT, &self.path(rest)).json(body).send().await
    }

    fn payment(&self, amount: &str, rail: &str) -> Value {
        json!({"lease_id": self.lease, "amount": amount, "rail": rail})
    }

    async fn pays(&self, key: &str, amount: &str) -> Answer {
        let payment = self.home.renter.pay(key, &self.payment(amount, "INSTANT")).await.must(201);
        self.home.renter.wait_until(&payment.id(), "COMPLETED").await
    }

    /// Each posted charge: kind, status, open, on the way, paid.
    async fn charges(&self) -> Vec<String> {
        let rows = self.home.renter.get(&self.path("schedule")).await.must(200);
        let posted = rows["data"].as_array().unwrap().iter().filter(|row| !row["posted_at"].is_null());
        let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
        posted
            .map(|row| ["kind", "status", "open", "on_the_way", "paid"].map(|field| text(row, field)).join(" "))
            .collect()
    }

    async fn charge_of(&self, kind: &str) -> Value {
        let rows = self.home.renter.get(&self.path("schedule")).await.must(200);
        rows["data"].as_array().unwrap().iter().find(|row| row["kind"] == kind).unwrap().clone()
    }
}

#[test]
fn rent_is_owed_from_its_day_on_and_what_is_left_over_pays_for_the_next() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        assert_eq!(flat.charges().await, ["RENT OPEN 1500.00 0.00 0.00"]);
        let quote = flat.home.renter.get(&flat.path("quote?amount=1000&rail=INSTANT")).await.must(200);
        assert_eq!(quote["covers"][0]["amount"], "1000.00");
        assert_eq!((&quote["remaining"], &quote["credit"]), (&json!("500.00"), &json!("0.00")));
        assert_eq!((&quote["refusal"], &quote["next_charge"]), (&Value::Null, &Value::Null));
        assert_eq!(quote["calendar_reasons"], json!(["moves at once at any time of any day"]));

        flat.pays("one", "1000.00").await;
        assert_eq!(flat.charges().await, ["RENT OPEN 500.00 0.00 1000.00"]);
        let quote = flat.home.renter.get(&flat.path("quote?amount=700")).await.must(200);
        assert_eq!((&quote["remaining"], &quote["credit"]), (&json!("0.00"), &json!("200.00")));
        assert_eq!((&quote["next_charge"]["amount"], &quote["rail"]), (&json!("200.00"), &json!("STANDARD_ACH")));
        flat.pays("two", "700.00").await;
        assert_eq!(flat.charges().await, ["RENT PAID 0.00 0.00 1500.00"]);

        let next: Date = flat.home.renter.get(&flat.path("schedule")).await["data"][1]["due_date"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        app.go_on_to(next.yesterday().unwrap()).await;
        assert_eq!(flat.charges().await.len(), 1);
        app.go_on_to(next).await;
        let both = ["RENT PAID 0.00 0.00 1500.00", "RENT OPEN 1300.00 0.00 200.00"];
        assert_eq!(flat.charges().await, both);
        // Once more, and by others at the same time.
        tokio::try_join!(daily_pass::run(&app.running.app), daily_pass::run(&app.running.app)).unwrap();
        assert_eq!(flat.charges().await, both);
    });
}

#[test]
fn a_lease_that_cannot_be_read_holds_up_no_other() {
    on_both(async |app| {
        let (damaged, sound) = (Flat::let_by(app).await, Flat::let_by(app).await);
        let property = damaged.home.landlord.get(&damaged.path("")).await["property_id"].as_str().unwrap().to_owned();
        let set_zone = async |zone: &str| {
            let mut tx = app.db().begin().await.unwrap();
            let id: uuid::Uuid = property.parse().unwrap();
            tx.execute("UPDATE properties SET time_zone = $2 WHERE id = $1", (id, zone)).await.unwrap();
            tx.commit().await.unwrap();
        };
        set_zone("Mars/Olympus").await;
        let next = sound.begins.saturating_add(1.month());

        app.go_on_to(next).await;
        assert_eq!(sound.charges().await.len(), 2);

        // It is looked at again, and then nothing is missing.
        set_zone("America/New_York").await;
        app.go_on_to(next.tomorrow().unwrap()).await;
        assert_eq!(damaged.charges().await.len(), 2);
    });
}

#[test]
fn what_is_returned_is_owed_again_and_only_that() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        flat.pays("stays", "300.00").await;
        let account = flat.home.renter.link_account("000555555559").await.id();
        let mut body = flat.payment("1200.00", "STANDARD_ACH");
        body["payer_account_id"] = json!(account);
        let payment = flat.home.renter.pay("comes-back", &body).await.must(201);

        flat.home.renter.wait_until(&payment.id(), "RETURNED").await;

        assert_eq!(flat.charges().await, ["RENT OPEN 1200.00 0.00 300.00"]);
    });
}

#[test]
fn credit_steps_in_where_a_payment_falls_away() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        let account = flat.home.renter.link_account("000555555559").await.id();
        let mut body = flat.payment("1500.00", "STANDARD_ACH");
        body["payer_account_id"] = json!(account);
        let payment = flat.home.renter.pay("comes-back", &body).await.must(201);
        flat.pays("too-much", "400.00").await;

        flat.home.renter.wait_until(&payment.id(), "RETURNED").await;

        until("credit has stepped in", async || flat.charges().await == ["RENT OPEN 1100.00 0.00 400.00"]).await;
    });
}

#[test]
fn late_rent_costs_a_fee_after_the_day_is_over_and_a_waiver_lets_it_off() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        let rule = json!({"kind": "FLAT", "amount": "50", "fee_from_offset": 5});
        let set = flat.landlord_sets("late-fees", &rule).await.must(200);
        assert_eq!((&set["frequency"], &set["due_roll"]), (&json!("ONCE"), &json!("NONE")));
        flat.pays("part", "1499.99").await;
        let late = flat.begins.saturating_add(5.days());
        let ahead = flat.home.renter.get(&flat.path(&format!("late-fees?through={late}"))).await.must(200);
        assert_eq!(ahead["preview"][0]["amount"], "50.00");
        assert_eq!(ahead["preview"][0]["day"], late.to_string());

        app.go_on_to(late).await;
        assert_eq!(flat.charges().await.len(), 1, "whoever pays today is not late");
        app.go_on_to(late.tomorrow().unwrap()).await;
        let owed = ["RENT OPEN 0.01 0.00 1499.99", "LATE_FEE OPEN 50.00 0.00 0.00"];
        assert_eq!(flat.charges().await, owed);
        app.go_on_to(late.saturating_add(20.days())).await;
        assert_eq!(flat.charges().await, owed, "once is once");

        let fee = flat.charge_of("LATE_FEE").await;
        let waiver = json!({"kind": "WAIVER", "charge_id": fee["id"], "reason": "The first in three years"});
        flat.landlord_asks("credits", "waiver", &waiver).await.must(201);
        assert_eq!(flat.charges().await[1], "LATE_FEE PAID 0.00 0.00 50.00");
        let again = flat.landlord_asks("credits", "waiver", &waiver).await.must(200);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
        flat.landlord_asks("credits", "another", &waiver).await.refuses_fields(&[("amount", "nothing_open")]);
    });
}

#[test]
fn fees_are_the_same_after_days_of_silence() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        let rule = json!({"kind": "PERCENT", "basis_points": 500, "fee_from_offset": 5});
        flat.landlord_sets("late-fees", &rule).await.must(200);

        // One leap over two rents and their fees.
        app.go_on_to(flat.begins.saturating_add(40.days())).await;

        let (rent, fee) = ("RENT OPEN 1500.00 0.00 0.00", "LATE_FEE OPEN 75.00 0.00 0.00");
        assert_eq!(flat.charges().await, [rent, fee, rent, fee]);
    });
}

#[test]
fn no_fee_is_due_while_a_payment_is_on_its_way_and_all_of_them_if_it_comes_back() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        let flat = Flat::let_by(app).await;
        let rule = json!({"kind": "FLAT", "amount": "10", "frequency": "DAILY", "cap": "35", "fee_from_offset": 1});
        flat.landlord_sets("late-fees", &rule).await.must(200);
        let payment = flat.home.renter.pay("pending", &flat.payment("1500.00", "INSTANT")).await.must(201);
        app.go_on_to(flat.begins.saturating_add(3.days())).await;
        assert_eq!(flat.charges().await, ["RENT OPEN 1500.00 0.00 0.00"]);

        flat.home.renter.post(&format!("/api/v1/payments/{}/cancel", payment.id()), &json!({})).await.must(200);
        app.go_on_to(flat.begins.saturating_add(4.days())).await;

        let fee = "LATE_FEE OPEN 10.00 0.00 0.00";
        assert_eq!(flat.charges().await, ["RENT OPEN 1500.00 0.00 0.00", fee, fee, fee]);
        app.go_on_to(flat.begins.saturating_add(9.days())).await;
        assert_eq!(flat.charges().await[4..], ["LATE_FEE OPEN 5.00 0.00 0.00"], "the cap holds");
    });
}

#[test]
fn a_landlord_charges_voids_and_changes_what_is_not_due_yet() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        let key = json!({"description": "Lost key", "amount": "25.00"});
        let made = flat.landlord_asks("charges", "key", &key).await.must(201);
        assert_eq!((&made["kind"], &made["status"]), (&json!("ONE_OFF"), &json!("OPEN")));
        assert_eq!(flat.landlord_asks("charges", "key", &key).await.must(200).body, made.body);
        let other = json!({"description": "Lost key", "amount": "26.00"});
        flat.landlord_asks("charges", "key", &other).await.refuses(422, "idempotency_key_reused");
        flat.home.landlord.post(&flat.path("charges"), &key).await.refuses(400, "idempotency_key_missing");
        let tomorrow = flat.begins.tomorrow().unwrap();
        let deposit = json!({
            "kind": "DEPOSIT", "description": "Security", "amount": "1500", "due_date": tomorrow.to_string(),
            "idempotency_key": "deposit",
        });
        let made = flat.home.landlord.post(&flat.path("charges"), &deposit).await.must(201);
        assert_eq!(made["status"], "SCHEDULED");
        app.go_on_to(tomorrow).await;
        let all = ["RENT OPEN 1500.00 0.00 0.00", "ONE_OFF OPEN 25.00 0.00 0.00", "DEPOSIT OPEN 1500.00 0.00 0.00"];
        assert_eq!(flat.charges().await, all);

        flat.pays("some", "1510.00").await;
        let key = flat.charge_of("ONE_OFF").await;
        let void = flat.path(&format!("charges/{}/void", key["id"].as_str().unwrap()));
        let found = json!({"reason": "It was found", "idempotency_key": "found"});
        flat.home
            .landlord
            .post(&void, &without(&found, "idempotency_key"))
            .await
            .refuses(400, "idempotency_key_missing");
        let voided = flat.home.landlord.post(&void, &found).await.must(200);
        assert_eq!(voided["status"], "VOIDED");
        assert_eq!(flat.home.landlord.post(&void, &found).await.must(200).body, voided.body);
        let other = with(&found, "reason", json!("It was sold"));
        flat.home.landlord.post(&void, &other).await.refuses(422, "idempotency_key_reused");
        let twice = json!({"reason": "Twice", "idempotency_key": "twice"});
        let again = flat.home.landlord.post(&void, &twice).await.refuses(409, "already_voided");
        assert_eq!(again["current_status"], "VOIDED");
        // The ten that had paid for the key wait for the next rent.
        assert_eq!(flat.charges().await[2], "DEPOSIT OPEN 1500.00 0.00 0.00");

        let rows = async || flat.home.renter.get(&flat.path("schedule")).await["data"].as_array().unwrap().clone();
        let next: Date = rows().await.iter().find(|row| row["status"] == "SCHEDULED").unwrap()["due_date"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let rent = json!({"rent_amount": "1600", "effective_date": next.to_string()});
        let lease =
            flat.landlord_asks("rent-changes", "first", &with(&rent, "rent_amount", json!("1700"))).await.must(200);
        assert_eq!(lease["rent_changes"][0]["rent_amount"], "1700.00");
        let lease = flat.landlord_asks("rent-changes", "second", &rent).await.must(200);
        assert_eq!(lease["rent_changes"][0]["rent_amount"], "1600.00");
        // The first request was lost on its way back and comes again.
        let again =
            flat.landlord_asks("rent-changes", "first", &with(&rent, "rent_amount", json!("1700"))).await.must(200);
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert_eq!(again["rent_changes"], lease["rent_changes"]);
        let parking = json!({"description": "Parking", "amount": "75", "start_date": next.to_string()});
        let extra = flat.landlord_asks("extras", "parking", &parking).await.must(201);
        flat.landlord_asks("extras", "parking", &parking).await.must(200);
        assert_eq!(flat.home.renter.get(&flat.path("extras")).await["data"], json!([extra.body]));
        let amounts = rows().await;
        let due = amounts.iter().filter(|row| row["due_date"] == next.to_string());
        let due: Vec<_> = due.map(|row| (row["kind"].clone(), row["amount"].clone())).collect();
        assert_eq!(due, [(json!("RENT"), json!("1600.00")), (json!("EXTRA"), json!("75.00"))]);
        let end = json!({"end_date": next.saturating_add(3.months()).yesterday().unwrap().to_string()});
        let path = flat.path(&format!("extras/{}/end", extra.id()));
        flat.home.landlord.post(&path, &end).await.must(200);
        let extras = rows().await.iter().filter(|row| row["kind"] == "EXTRA").count();
        assert!((3..=4).contains(&extras), "{extras}");

        let history = flat.home.renter.get(&flat.path("history")).await.must(200);
        let types: Vec<_> = history["events"].as_array().unwrap().iter().map(|e| e["event_type"].clone()).collect();
        assert_eq!(types[..4], ["lease_entered", "charge_posted", "charge_posted", "charge_added"]);
        assert!(types.contains(&json!("rent_changed")) && types.contains(&json!("extra_ended")));
    });
}

#[test]
fn a_landlord_may_refuse_part_payments_or_all_of_them() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        let flat = Flat::let_by(app).await;
        let renter = &flat.home.renter;
        let policy = |name: &str| json!({"policy": name, "reason": "As agreed"});
        flat.landlord_sets("payment-policy", &policy("full_balance")).await.must(200);
        let part = flat.payment("1499.99", "INSTANT");
        renter.pay("part", &part).await.refuses_fields(&[("amount", "not_full_balance")]);
        let quote = renter.get(&flat.path("quote?amount=1")).await.must(200);
        assert_eq!(quote["refusal"]["code"], "not_full_balance");
        let whole = renter.pay("whole", &flat.payment("1500.00", "INSTANT")).await.must(201);
        // What is on its way is owed no more.
        let more = renter.pay("more", &flat.payment("1.00", "INSTANT")).await.must(201);

        let lease = flat.landlord_sets("payment-policy", &policy("block_all")).await.must(200);
        assert_eq!(lease["payment_policy"]["policy"], "BLOCK_ALL");
        for payment in [&whole, &more] {
            let cancelled = renter.payment(&payment.id()).await;
            assert_eq!(cancelled["status"], "CANCELLED");
        }
        renter
            .pay("late", &flat.payment("1500.00", "INSTANT"))
            .await
            .refuses_fields(&[("lease_id", "payments_blocked")]);
        // A replay is answered as before.
        renter.pay("whole", &flat.payment("1500.00", "INSTANT")).await.must(200);
        flat.landlord_sets("payment-policy", &policy("any")).await.must(200);
        renter.pay("late", &flat.payment("1.00", "INSTANT")).await.must(201);
    });
}

#[test]
fn a_refund_uses_up_credit_or_is_owed_back() {
    on_both(async |app| {
        let flat = Flat::let_by(app).await;
        flat.pays("too-much", "1600.00").await;
        let refund = async |key: &str, amount: &str| {
            let payment = flat.home.landlord.pay(key, &flat.payment(amount, "INSTANT")).await.must(201);
            flat.home.landlord.wait_until(&payment.id(), "COMPLETED").await
        };
        refund("back", "100.00").await;
        assert_eq!(flat.charges().await, ["PAYOUT PAID 0.00 0.00 100.00", "RENT PAID 0.00 0.00 1500.00"]);
        refund("lent", "50.00").await;
        assert_eq!(flat.charges().await[1], "PAYOUT OPEN 50.00 0.00 0.00");
    });
}
