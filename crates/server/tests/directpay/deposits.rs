//! Deposits: what is held of them, and giving them back.

use directpay_server::commands::export::write_journal;
use directpay_server::daily_pass::LocalDay;
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::harness::{Answer, Home, POST, TestApp, WITHOUT_WORKERS, on_both, on_both_with, with, without};

/// A lease of one day, which is today: rent of 1500.00 is due, and what the landlord wants as a deposit.
struct OneDay<'a> {
    home: Home<'a>,
    lease: String,
    day: Date,
    deposit_charge: String,
}

impl<'a> OneDay<'a> {
    async fn with_deposit(app: &'a TestApp, deposit: &str) -> OneDay<'a> {
        let home = app.home().await;
        let property = home.landlord.add_property().await.id();
        let day = LocalDay::at("America/New_York", app.clock.business()).unwrap().date;
        let body = json!({
            "property_id": property, "renter_id": home.renter.id, "rent_amount": "1500.00",
            "payment_due_day": day.day(), "start_date": day.to_string(), "end_date": day.to_string(),
            "last_period": "FULL",
        });
        let lease = home.landlord.post("/api/v1/leases/", &body).await.must(201).id();
        let mut of = OneDay { home, lease, day, deposit_charge: String::new() };
        of.deposit_charge = of.charges("deposit", "DEPOSIT", deposit).await;
        of
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/leases/{}/{rest}", self.lease)
    }

    async fn charges(&self, key: &str, kind: &str, amount: &str) -> String {
        let body = json!({"kind": kind, "description": "As agreed", "amount": amount, "idempotency_key": key});
        self.home.landlord.post(&self.path("charges"), &body).await.must(201).id()
    }

    async fn pays(&self, key: &str, amount: &str) -> String {
        let payment = json!({"lease_id": self.lease, "amount": amount, "rail": "INSTANT"});
        let payment = self.home.renter.pay(key, &payment).await.must(201);
        self.home.renter.wait_until(&payment.id(), "COMPLETED").await;
        payment.id()
    }

    async fn returns(&self, key: &str, body: &Value) -> Answer {
        let call = self.home.landlord.call(POST, &self.path("deposit-return"));
        call.header("Idempotency-Key", key).json(body).send().await
    }

    async fn deposit(&self) -> Answer {
        self.home.renter.get(&self.path("deposit")).await.must(200)
    }

    async fn balance(&self) -> String {
        self.home.renter.get(&self.path("balance")).await.must(200).text_of("balance")
    }

    /// Description and balance of each line of the statement.
    async fn statement(&self) -> Vec<String> {
        let statement = self.home.renter.get(&self.path("statement")).await.must(200);
        let line = |line: &Value| ["description", "balance"].map(|field| line[field].as_str().unwrap()).join(" | ");
        statement["lines"].as_array().unwrap().iter().map(line).collect()
    }
}

fn deducting(items: &[(&str, &str)]) -> Value {
    let items: Vec<_> =
        items.iter().map(|(description, amount)| json!({"description": description, "amount": amount})).collect();
    json!({"deductions": items, "rail": "INSTANT"})
}

#[test]
fn a_deposit_goes_back_less_what_is_deducted_and_what_is_open() {
    on_both(async |app| {
        let of = OneDay::with_deposit(app, "2000.00").await;
        of.pays("all", "3500.00").await;
        of.charges("key", "ONE_OFF", "50.00").await;
        let before = of.deposit().await;
        assert_eq!([&before["held"], &before["open"], &before["on_the_way"]], ["2000.00", "0.00", "0.00"]);
        let last_day = of.day.saturating_add(14.days());
        assert_eq!(
            before["deadline"],
            json!({
                "return_by": last_day.to_string(), "counted_from": of.day.to_string(), "days": 14,
                "rule": "N.Y. Gen. Oblig. Law § 7-108, as of 2026; check with counsel",
            })
        );
        let body = deducting(&[("Broken window", "180.00"), ("Cleaning", "120.00")]);

        // Trying it out changes nothing.
        let path = of.path("deposit-return?preview=true");
        let preview = of.home.landlord.post(&path, &body).await.must(200);
        assert_eq!((&preview["id"], &preview["payment_id"]), (&Value::Null, &Value::Null));
        assert_eq!(of.deposit().await.body, before.body);
        assert_eq!(of.balance().await, "50.00");

        let returned = of.returns("back", &body).await.must(201);
        let field = |answer: &Answer, name: &str| answer.text_of(name);
        for answer in [&preview, &returned] {
            assert_eq!(
                ["held", "unpaid", "returned", "owed"].map(|name| field(answer, name)),
                ["2000.00", "0.00", "1650.00", "0.00"]
            );
            let items = answer["deductions"].as_array().unwrap();
            let told = |item: &Value| ["description", "amount", "paid"].map(|f| item[f].as_str().unwrap().to_owned());
            assert_eq!(
                items.iter().map(told).collect::<Vec<_>>(),
                [["Broken window", "180.00", "180.00"], ["Cleaning", "120.00", "120.00"]]
            );
            assert_eq!(answer["applied"][0]["kind"], "ONE_OFF");
            assert_eq!(
                (&answer["applied"][0]["amount"], answer["applied"].as_array().unwrap().len()),
                (&json!("50.00"), 1)
            );
            assert_eq!((&answer["return_by"], &answer["is_in_time"]), (&json!(last_day.to_string()), &json!(true)));
        }
        let payment = of.home.renter.wait_until(&returned.text_of("payment_id"), "COMPLETED").await;
        assert_eq!(
            (&payment["kind"], &payment["amount"], &payment["refund_of"]),
            (&json!("REFUND"), &json!("1650.00"), &Value::Null)
        );
        assert_eq!(payment["payee_account_id"], json!(of.home.renter_account));

        let again = of.returns("back", &body).await.must(200);
        assert_eq!((again.header("idempotent-replayed"), again.id()), (Some("true"), returned.id()));
        assert_eq!(again["payment_status"], "COMPLETED");
        of.returns("back", &deducting(&[])).await.refuses(422, "idempotency_key_reused");
        of.returns("twice", &body).await.refuses(409, "no_deposit_held");
        let after = of.deposit().await;
        assert_eq!((&after["held"], &after["returns"][0]), (&json!("0.00"), &again.body));
        assert_eq!(of.balance().await, "0.00");
        let lines = of.statement().await;
        assert_eq!(
            lines[4..],
            ["Broken window | 230.00", "Cleaning | 350.00", "Deposit released | -1650.00", "Refund by INSTANT | 0.00"],
            "{lines:#?}"
        );
        // An independent book-keeper finds no deposit owed any more.
        let mut journal = Vec::new();
        write_journal(app.db(), None, &mut journal).await.unwrap();
        let journal = String::from_utf8(journal).unwrap();
        let account = format!("    liabilities:deposit:{}  USD ", of.lease);
        let lines: Vec<_> = journal.lines().filter_map(|line| line.strip_prefix(&account)).collect();
        assert_eq!(lines, ["-2000.00", "2000.00"]);
    });
}

#[test]
fn a_deposit_may_be_kept_wholly_and_what_it_does_not_cover_stays_owed() {
    on_both(async |app| {
        for (deduction, owed) in [("2000.00", "0.00"), ("2500.00", "500.00")] {
            let of = OneDay::with_deposit(app, "2000.00").await;
            of.pays("all", "3500.00").await;

            let kept = of.returns("kept", &deducting(&[("Fire", deduction)])).await.must(201);

            assert_eq!((&kept["returned"], &kept["payment_id"]), (&json!("0.00"), &Value::Null));
            assert_eq!((&kept["deductions"][0]["paid"], &kept["owed"]), (&json!("2000.00"), &json!(owed)));
            assert_eq!(of.balance().await, owed);
            let list = of.home.landlord.get(&format!("/api/v1/payments/lease/{}", of.lease)).await.must(200);
            assert_eq!(list.rows().len(), 1, "there is nothing to pay");
        }
    });
}

#[test]
fn what_was_never_paid_of_a_deposit_is_owed_no_more() {
    on_both(async |app| {
        let of = OneDay::with_deposit(app, "2000.00").await;
        of.pays("some", "2000.00").await;
        let before = of.deposit().await;
        assert_eq!((&before["held"], &before["open"]), (&json!("500.00"), &json!("1500.00")));

        let returned = of.returns("back", &deducting(&[("Cleaning", "100.00")])).await.must(201);

        let told = ["held", "unpaid", "returned", "owed"].map(|name| returned.text_of(name));
        assert_eq!(told, ["500.00", "1500.00", "400.00", "0.00"]);
        of.home.renter.wait_until(&returned.text_of("payment_id"), "COMPLETED").await;
        assert_eq!(of.balance().await, "0.00");
    });
}

#[test]
fn a_deposit_is_not_let_off_and_what_paid_for_it_is_not_refunded() {
    on_both(async |app| {
        let of = OneDay::with_deposit(app, "2000.00").await;
        let waiver =
            json!({"kind": "WAIVER", "charge_id": of.deposit_charge, "reason": "A friend", "idempotency_key": "off"});
        of.home.landlord.post(&of.path("credits"), &waiver).await.refuses_fields(&[("charge_id", "deposit")]);
        let all = json!({"kind": "WRITE_OFF", "reason": "Gone", "idempotency_key": "all"});
        of.home.landlord.post(&of.path("credits"), &all).await.must(201);
        assert_eq!(of.balance().await, "2000.00");
        let paid = of.pays("deposit", "2500.00").await;

        let refund = |amount: &str| json!({"lease_id": of.lease, "amount": amount, "refund_of": paid});
        of.home.landlord.pay("more", &refund("500.01")).await.refuses_fields(&[("amount", "more_than_refundable")]);
        of.home.landlord.pay("rest", &refund("500.00")).await.must(201);
    });
}

#[test]
fn a_deposit_is_kept_until_the_lease_has_ended_and_the_money_is_there() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        let of = OneDay::with_deposit(app, "2000.00").await;
        of.returns("k", &deducting(&[])).await.refuses(409, "no_deposit_held");
        let rent = json!({"lease_id": of.lease, "amount": "1500.01", "rail": "INSTANT"});
        let some = of.home.renter.pay("some", &rent).await.must(201).id();
        assert_eq!(of.deposit().await["on_the_way"], "0.01");
        of.returns("k", &deducting(&[])).await.refuses(409, "deposit_on_its_way");
        of.home.renter.post(&format!("/api/v1/payments/{some}/cancel"), &json!({})).await.must(200);
        of.home.renter.pay("rent", &with(&rent, "amount", json!("1500.00"))).await.must(201);
        of.returns("k", &deducting(&[])).await.refuses(409, "payment_pending");

        let property = of.home.landlord.add_property().await.id();
        let terms = crate::harness::terms(&property, &of.home.renter.id);
        let open_ended = of.home.landlord.post("/api/v1/leases/", &without(&terms, "end_date")).await.must(201).id();
        let path = format!("/api/v1/leases/{open_ended}");
        assert_eq!(of.home.landlord.get(&format!("{path}/deposit")).await.must(200)["deadline"], Value::Null);
        let body = with(&deducting(&[]), "idempotency_key", json!("k"));
        let refusal = of.home.landlord.post(&format!("{path}/deposit-return"), &body).await;
        assert_eq!(refusal.refuses(409, "lease_has_no_end")["current_status"], "OPEN_ENDED");
        let end = of.day.saturating_add(30.days()).to_string();
        of.home.landlord.post(&format!("{path}/terminate"), &json!({"end_date": end})).await.must(200);
        let refusal = of.home.landlord.post(&format!("{path}/deposit-return"), &body).await;
        assert_eq!(refusal.refuses(409, "lease_not_ended")["current_status"], "RUNNING");
        let stated = format!("{path}/deposit?deadline_days=30&move_out_date={}", of.day);
        let deadline = of.home.landlord.get(&stated).await.must(200)["deadline"].clone();
        assert_eq!((&deadline["return_by"], &deadline["rule"]), (&json!(end), &json!("stated by the landlord")));
        of.home
            .landlord
            .post(&format!("{path}/deposit-return"), &without(&body, "idempotency_key"))
            .await
            .refuses(400, "idempotency_key_missing");
    });
}

#[test]
fn a_refund_that_fails_leaves_credit_that_another_pays_out() {
    on_both(async |app| {
        let of = OneDay::with_deposit(app, "2000.00").await;
        of.pays("all", "3500.00").await;
        let closed = of.home.landlord.link_account("000111111113").await.id();
        let late = with(&deducting(&[]), "move_out_date", json!(of.day.to_string()));
        let body = with(&late, "payer_account_id", json!(closed));

        let returned = of.returns("fails", &body).await.must(201);

        of.home.renter.wait_until(&returned.text_of("payment_id"), "FAILED").await;
        assert_eq!(of.deposit().await["returns"][0]["payment_status"], "FAILED");
        assert_eq!(of.balance().await, "-2000.00");
        let refund =
            json!({"lease_id": of.lease, "amount": "2000.00", "rail": "INSTANT", "payee_id": of.home.renter.id});
        let refund = of.home.landlord.pay("again", &refund).await.must(201).id();
        of.home.renter.wait_until(&refund, "COMPLETED").await;
        assert_eq!(of.balance().await, "0.00");
    });
}

#[test]
fn nothing_is_done_where_the_money_cannot_be_sent_back() {
    on_both(async |app| {
        let of = OneDay::with_deposit(app, "2000.00").await;
        of.pays("all", "3500.00").await;
        let before = (of.deposit().await.body, of.statement().await);
        let body = deducting(&[("Cleaning", "100.00")]);

        let stranger = with(&body, "payee_id", json!(of.home.landlord.id));
        of.returns("k", &stranger).await.refuses_fields(&[("payee_id", "not_found")]);
        let account = with(&body, "payee_account_id", json!(of.home.landlord_account));
        of.returns("k", &account).await.refuses_fields(&[("payee_account_id", "not_found")]);
        of.home.renter.patch(&format!("/api/v1/bank-accounts/{}/deactivate", of.home.renter_account)).await.must(200);
        of.returns("k", &body).await.refuses_fields(&[("payee_account_id", "required")]);

        assert_eq!((of.deposit().await.body, of.statement().await), before);
    });
}

#[test]
fn what_became_of_a_deposit_can_be_corrected_item_by_item() {
    on_both(async |app| {
        let of = OneDay::with_deposit(app, "2000.00").await;
        of.pays("all", "3500.00").await;
        let returned = of.returns("back", &deducting(&[("By mistake", "300.00")])).await.must(201);
        of.home.renter.wait_until(&returned.text_of("payment_id"), "COMPLETED").await;
        let void = |charge: &str| of.path(&format!("charges/{charge}/void"));
        let why = json!({"reason": "It was another flat", "idempotency_key": "another-flat"});

        let deduction = returned["deductions"][0]["charge_id"].as_str().unwrap().to_owned();
        of.home.landlord.post(&void(&deduction), &why).await.must(200);
        assert_eq!(of.balance().await, "-300.00");
        of.home
            .landlord
            .post(&void(&of.deposit_charge), &with(&why, "idempotency_key", json!("void-deposit")))
            .await
            .refuses(409, "deposit_returned");
    });
}
