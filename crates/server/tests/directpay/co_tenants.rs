//! Several renters on one lease: who owes and pays how much, and what they see of each other.

use jiff::civil::Date;
use serde_json::{Value, json};

use crate::harness::{Answer, PUT, TestApp, Visitor, on_both, without};

/// A lease of two renters that begins today, 1500.00 due today.
struct Shared<'a> {
    landlord: Visitor<'a>,
    /// In the order of their ids, which is that of their shares.
    renters: [Visitor<'a>; 2],
    lease: String,
}

impl<'a> Shared<'a> {
    async fn let_by(app: &'a TestApp, shares: impl Fn(&[Visitor<'a>; 2]) -> Value) -> Shared<'a> {
        let landlord = app.sign_up("LANDLORD").await;
        landlord.link_account("900000004321").await;
        let mut renters = [app.sign_up("RENTER").await, app.sign_up("RENTER").await];
        renters.sort_by(|one, other| one.id.cmp(&other.id));
        for (renter, number) in renters.iter().zip(["600000000001", "600000000002"]) {
            renter.link_account(number).await;
        }
        let property = landlord.add_property().await.id();
        let begins = app.today();
        let mut body = json!({
            "property_id": property, "renter_ids": [renters[1].id, renters[0].id], "rent_amount": "1500.00",
            "payment_due_day": begins.day(), "start_date": begins.to_string(), "shares": shares(&renters),
        });
        if body["shares"].is_null() {
            body = without(&body, "shares");
        }
        let lease = landlord.post("/api/v1/leases/", &body).await.must(201).id();
        Shared { landlord, renters, lease }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/leases/{}/{rest}", self.lease)
    }

    async fn pays(&self, renter: usize, key: &str, amount: &str) -> Answer {
        let body = json!({"lease_id": self.lease, "amount": amount, "rail": "INSTANT", "metadata": {"note": "mine"}});
        let payment = self.renters[renter].pay(key, &body).await.must(201);
        self.renters[renter].wait_until(&payment.id(), "COMPLETED").await
    }

    /// Of each renter: share, paid, left; as the other renter sees it.
    async fn standing(&self) -> [String; 2] {
        let view = self.renters[1].get(&self.path("shares")).await.must(200);
        let text = |renter: &Value, field: &str| renter[field].as_str().unwrap().to_owned();
        let renters = view["renters"].as_array().unwrap();
        [0, 1].map(|at| {
            assert_eq!(renters[at]["renter_id"], self.renters[at].id);
            ["share", "paid", "left"].map(|field| text(&renters[at], field)).join(" ")
        })
    }
}

fn fixed(renter: &Visitor<'_>, amount: &str) -> Value {
    json!({"renter_id": renter.id, "kind": "FIXED", "amount": amount})
}

#[test]
fn renters_share_a_rent_equally_and_anyone_may_pay_all_of_it() {
    on_both(async |app| {
        let flat = Shared::let_by(app, |_| Value::Null).await;
        assert_eq!(flat.standing().await, ["750.00 0.00 750.00", "750.00 0.00 750.00"]);
        flat.pays(0, "own", "750.00").await;
        assert_eq!(flat.standing().await, ["750.00 750.00 0.00", "750.00 0.00 750.00"]);
        flat.pays(0, "for-the-other", "500.00").await;
        assert_eq!(flat.standing().await, ["750.00 1250.00 0.00", "750.00 0.00 250.00"]);
        flat.pays(1, "rest", "250.00").await;
        assert_eq!(flat.standing().await, ["750.00 1250.00 0.00", "750.00 250.00 0.00"]);
        let charges = flat.landlord.get(&flat.path("shares")).await.must(200);
        assert_eq!(charges["charges"][0]["amount"], "1500.00");
        assert_eq!(charges["charges"][0]["renters"][1]["paid"], "250.00");
    });
}

#[test]
fn shares_are_as_agreed_and_change_for_what_is_due_later() {
    on_both(async |app| {
        let flat = Shared::let_by(app, |[one, _]| json!([fixed(one, "900.00")])).await;
        let lease = flat.renters[0].get(&flat.path("")).await.must(200);
        assert_eq!(lease["shares"][0]["amount"], "900.00");
        assert_eq!(lease["shares"][1]["kind"], "EQUAL");
        assert_eq!(lease["renter_id"], Value::Null);
        assert_eq!(flat.standing().await, ["900.00 0.00 900.00", "600.00 0.00 600.00"]);

        let later = app.today().tomorrow().unwrap();
        let percent = json!({"renter_id": flat.renters[1].id, "kind": "PERCENT", "basis_points": 2500});
        let body = json!({"shares": [percent], "effective_date": later.to_string()});
        let changed = flat.landlord.call(PUT, &flat.path("shares")).json(&body).send().await.must(200);
        assert_eq!(changed["share_changes"][0]["shares"][1]["basis_points"], 2500);
        let charge = json!({"description": "Window", "amount": "100.00", "idempotency_key": "window"});
        flat.landlord.post(&flat.path("charges"), &charge).await.must(201);
        // Due today: by the shares of today, in the proportion of which a small charge is divided.
        assert_eq!(flat.standing().await, ["1000.00 0.00 1000.00", "600.00 0.00 600.00"]);
        let history = flat.renters[0].get(&flat.path("history")).await.must(200);
        let types: Vec<_> = history["events"].as_array().unwrap().iter().map(|event| &event["event_type"]).collect();
        assert_eq!(types.iter().filter(|event_type| **event_type == "shares_changed").count(), 2);
    });
}

#[test]
fn what_was_let_off_is_nobodys_share() {
    on_both(async |app| {
        let flat = Shared::let_by(app, |_| Value::Null).await;
        let credit =
            json!({"kind": "CONCESSION", "amount": "300.00", "reason": "No heating", "idempotency_key": "cold"});
        flat.landlord.post(&flat.path("credits"), &credit).await.must(201);
        assert_eq!(flat.standing().await, ["600.00 0.00 600.00", "600.00 0.00 600.00"]);
    });
}

#[test]
fn a_renter_sees_that_another_paid_and_nothing_of_the_others_accounts() {
    on_both(async |app| {
        let flat = Shared::let_by(app, |_| Value::Null).await;
        let payment = flat.pays(0, "secret-key", "750.00").await.id();
        let hidden = ["payer_account_id", "metadata", "idempotency_key"];
        let listed = format!("/api/v1/payments/lease/{}", flat.lease);
        for visitor in [&flat.renters[0], &flat.landlord] {
            let seen = visitor.payment(&payment).await;
            assert!(hidden.iter().all(|field| !seen[*field].is_null()), "{}", seen.text);
            assert_eq!(visitor.history(&payment).await["events"][0]["metadata"]["payer"]["last4"], "0001");
        }
        let other = &flat.renters[1];
        let history = other.history(&payment).await;
        let read = other.payment(&payment).await;
        let list = other.get(&listed).await.must(200);
        for seen in [&read.body, &history["payment"], &list["data"][0]] {
            assert_eq!(seen["amount"], "750.00");
            assert!(!seen["payee_account_id"].is_null());
            assert!(hidden.iter().all(|field| seen[*field].is_null()), "{seen}");
        }
        for event in history["events"].as_array().unwrap() {
            let nothing = json!({"account_id": null, "last4": null, "bank_name": null});
            assert_eq!(event["metadata"]["payer"], nothing);
            assert_eq!(event["metadata"]["payee"]["last4"], "4321");
        }
        for path in [format!("/api/v1/payments/{payment}/cancel"), format!("/api/v1/payments/{payment}/retry")] {
            other.post(&path, &Value::Null).await.must(403);
        }
    });
}

#[test]
fn a_refund_to_one_renter_shows_the_others_no_account() {
    on_both(async |app| {
        let flat = Shared::let_by(app, |_| Value::Null).await;
        let accounts =
            flat.renters[0].get(&format!("/api/v1/bank-accounts/user/{}", flat.renters[0].id)).await.must(200);
        let mut body = json!({"lease_id": flat.lease, "amount": "10.00", "rail": "INSTANT"});
        let unnamed = flat.landlord.pay("nobody", &body).await.must(422);
        assert_eq!(unnamed["errors"][0]["code"], "required");
        body["payee_account_id"] = accounts["data"][0]["id"].clone();
        let refund = flat.landlord.pay("refund", &body).await.must(201).id();
        let (paid, other) = (flat.renters[0].payment(&refund).await, flat.renters[1].payment(&refund).await);
        assert_eq!(paid["payee_account_id"], body["payee_account_id"]);
        assert!(other["payee_account_id"].is_null() && other["idempotency_key"].is_null());
        assert_eq!(other["payer_account_id"], paid["payer_account_id"]);
    });
}

#[test]
fn the_policy_looks_at_all_that_is_owed() {
    on_both(async |app| {
        let flat = Shared::let_by(app, |_| Value::Null).await;
        let policy = json!({"policy": "FULL_BALANCE", "reason": "Part payments were late"});
        flat.landlord.call(PUT, &flat.path("payment-policy")).json(&policy).send().await.must(200);
        let body = json!({"lease_id": flat.lease, "amount": "750.00", "rail": "INSTANT"});
        let refused = flat.renters[0].pay("half", &body).await.must(422);
        assert_eq!(refused["errors"][0]["code"], "not_full_balance");
        flat.pays(1, "all", "1500.00").await;
        assert_eq!(flat.standing().await, ["750.00 0.00 0.00", "750.00 1500.00 0.00"]);
    });
}

#[test]
fn shares_that_do_not_fit_are_refused_with_everything_that_is_wrong() {
    on_both(async |app| {
        let flat = Shared::let_by(app, |_| Value::Null).await;
        let [one, other] = &flat.renters;
        let codes = async |shares: Value| {
            let body = json!({"shares": shares});
            let refused = flat.landlord.call(PUT, &flat.path("shares")).json(&body).send().await.must(422);
            let errors = refused["errors"].as_array().unwrap().clone();
            errors.iter().map(|error| error["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(codes(json!([fixed(one, "900.00"), fixed(other, "900.00")])).await, ["over_rent"]);
        assert_eq!(codes(json!([fixed(one, "100.00"), fixed(other, "100.00")])).await, ["not_whole"]);
        assert_eq!(codes(json!([fixed(one, "1.00"), fixed(one, "2.00")])).await, ["duplicate"]);
        assert_eq!(codes(json!([fixed(&flat.landlord, "1.00")])).await, ["not_found"]);
        let half_said = [json!({"renter_id": one.id, "kind": "FIXED"}), json!({"renter_id": "x", "kind": "EQUAL"})];
        assert_eq!(codes(json!(half_said)).await, ["required", "malformed"]);
        let past = json!({"shares": [], "effective_date": Date::constant(2020, 1, 1).to_string()});
        let refused = flat.landlord.call(PUT, &flat.path("shares")).json(&past).send().await.must(422);
        assert_eq!(refused["errors"][0]["code"], "past");
        one.call(PUT, &flat.path("shares")).json(&json!({"shares": []})).send().await.must(403);
    });
}

#[test]
fn people_on_a_lease_are_named_once_and_are_renters() {
    on_both(async |app| {
        let home = app.home().await;
        let property = home.landlord.add_property().await.id();
        let refused = async |renter_ids: Value| {
            let body = json!({
                "property_id": property, "renter_ids": renter_ids, "rent_amount": "1500.00", "payment_due_day": 1,
                "start_date": "2026-01-01",
            });
            let answer = home.landlord.post("/api/v1/leases/", &body).await.must(422);
            answer["errors"][0]["code"].as_str().unwrap().to_owned()
        };
        assert_eq!(refused(json!([home.renter.id, home.renter.id])).await, "duplicate");
        assert_eq!(refused(json!([home.renter.id, home.landlord.id])).await, "not_found");
        assert_eq!(refused(json!([])).await, "required");
        assert_eq!(refused(json!(vec![home.renter.id.clone(); 21])).await, "too_many");
    });
}
