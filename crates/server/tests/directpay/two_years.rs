//! Two years of one house with three flats, from the first rent to the last: every balance was worked out by hand.
//!
//! The years lie far ahead, because the clock of the sandbox only goes forward.

use jiff::civil::{Date, date};
use serde_json::{Value, json};

use crate::harness::{Answer, PUT, TestApp, Visitor, on_both, until, with};

/// One of the flats and who lives there.
struct Flat<'a> {
    landlord: &'a Visitor<'a>,
    renters: Vec<Visitor<'a>>,
    lease: String,
}

impl<'a> Flat<'a> {
    async fn let_by(app: &'a TestApp, landlord: &'a Visitor<'a>, unit: &str, renters: usize, terms: Value) -> Flat<'a> {
        let mut people = Vec::new();
        for number in 0..renters {
            let renter = app.sign_up("RENTER").await;
            renter.link_account(&format!("70000000{unit}{number}")).await;
            people.push(renter);
        }
        // It is the order of their shares.
        people.sort_by(|one, other| one.id.cmp(&other.id));
        let address =
            json!({"address": "7 Elm Street", "unit": unit, "city": "Albany", "state": "NY", "zip_code": "12207"});
        let property = landlord.post("/api/v1/properties/", &address).await.must(201).id();
        let ids: Vec<_> = people.iter().map(|renter| renter.id.clone()).collect();
        let body = with(&with(&terms, "property_id", json!(property)), "renter_ids", json!(ids));
        let lease = landlord.post("/api/v1/leases/", &body).await.must(201).id();
        Flat { landlord, renters: people, lease }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/v1/leases/{}/{rest}", self.lease)
    }

    async fn pays(&self, renter: usize, amount: &str, on: Date) {
        let body = json!({"lease_id": self.lease, "amount": amount, "rail": "INSTANT"});
        let renter = &self.renters[renter];
        let payment = renter.pay(&format!("{on}-{amount}"), &body).await.must(201).id();
        renter.wait_until(&payment, "COMPLETED").await;
    }

    /// What the landlord enters, under a key of its own.
    async fn enters(&self, what: &str, body: Value) -> Answer {
        let key = format!("{what}-{}", self.landlord.app.today());
        let call = self.landlord.call(crate::harness::POST, &self.path(what)).header("Idempotency-Key", key);
        call.json(&body).send().await
    }

    async fn signs_autopay(&self, renter: usize, cap: &str) {
        let body = json!({"cap": cap, "rail": "INSTANT", "idempotency_key": "autopay"});
        self.renters[renter].post(&self.path("autopay"), &body).await.must(201);
    }

    /// What is owed when everything has arrived.
    async fn owes(&self) -> String {
        until("nothing is on the way", async || self.landlord.get(&self.path("balance")).await["on_the_way"] == "0.00")
            .await;
        self.landlord.get(&self.path("balance")).await["balance"].as_str().unwrap().to_owned()
    }

    async fn charge_of(&self, kind: &str, due: Date) -> String {
        let schedule = self.landlord.get(&self.path("schedule")).await;
        let is_it = |row: &&Value| row["kind"] == kind && row["due_date"] == due.to_string();
        schedule["data"].as_array().unwrap().iter().find(is_it).unwrap()["id"].as_str().unwrap().to_owned()
    }
}

/// The house.
struct House<'a> {
    app: &'a TestApp,
    /// Rented from the middle of a month on.
    ground: Flat<'a>,
    /// Shared by two.
    first: Flat<'a>,
    /// From month to month, due on the last day.
    attic: Flat<'a>,
}

impl House<'_> {
    async fn owe(&self) -> [String; 3] {
        [self.ground.owes().await, self.first.owes().await, self.attic.owes().await]
    }

    /// The first of a month on which everybody pays what is due: on the first floor one by hand, one by autopay.
    async fn pays_as_usual(&self, day: Date, ground: &str, is_first_let: bool) {
        self.app.go_on_to(day).await;
        self.ground.pays(0, ground, day).await;
        if is_first_let {
            assert_eq!(self.first.owes().await, "800.00", "{day}");
            self.first.pays(1, "800.00", day).await;
        }
        assert_eq!(self.owe().await, ["0.00"; 3], "{day}");
    }

    /// The last of a month, when the attic's rent is drawn.
    async fn draws(&self, day: Date, next_draw: &str) {
        self.app.go_on_to(day).await;
        assert_eq!(self.attic.owes().await, "0.00", "{day}");
        let mandates = self.attic.landlord.get(&self.attic.path("autopay")).await;
        let draws = mandates["data"][0]["draws"].as_array().unwrap();
        let drawn = draws.iter().find(|draw| draw["due_date"] == day.to_string()).unwrap();
        assert_eq!((&drawn["status"], &drawn["amount"]), (&json!("DRAWN"), &json!(next_draw)), "{day}");
    }
}

fn last_of(year: i16, month: i8) -> Date {
    date(year, month, 1).last_of_month()
}

#[test]
fn two_years_of_a_house() {
    on_both(async |app| {
        app.go_on_to(date(2051, 1, 17)).await;
        let landlord = app.sign_up("LANDLORD").await;
        landlord.link_account("900000004321").await;
        let terms = |start: &str, end: Value, rent: &str, due_day: i8| json!({"start_date": start, "end_date": end, "rent_amount": rent, "payment_due_day": due_day});

        // 15 of the 31 days of January: 1500.00 x 15 / 31.
        let ground = terms("2051-01-17", json!("2052-12-31"), "1500.00", 1);
        let ground = Flat::let_by(app, &landlord, "1", 1, ground).await;
        let fees = json!({"kind": "FLAT", "amount": "50.00", "fee_from_offset": 5});
        landlord.call(PUT, &ground.path("late-fees")).json(&fees).send().await.must(200);
        assert_eq!(ground.owes().await, "725.81");
        ground.pays(0, "725.81", app.today()).await;

        app.go_on_to(date(2051, 2, 1)).await;
        let first = terms("2051-02-01", json!("2052-01-31"), "2000.00", 1);
        let first = Flat::let_by(app, &landlord, "2", 2, first).await;
        let share = json!({"shares": [{"renter_id": first.renters[0].id, "kind": "FIXED", "amount": "1200.00"}]});
        landlord.call(PUT, &first.path("shares")).json(&share).send().await.must(200);
        let fees = json!({"kind": "PERCENT", "basis_points": 500, "fee_from_offset": 3});
        landlord.call(PUT, &first.path("late-fees")).json(&fees).send().await.must(200);
        first
            .enters("charges", json!({"kind": "DEPOSIT", "description": "Security", "amount": "2000.00"}))
            .await
            .must(201);
        assert_eq!((ground.owes().await, first.owes().await), ("1500.00".to_owned(), "4000.00".to_owned()));
        ground.pays(0, "1500.00", app.today()).await;
        first.pays(0, "2200.00", app.today()).await;
        first.pays(1, "1800.00", app.today()).await;
        first.signs_autopay(0, "1300.00").await;

        app.go_on_to(date(2051, 3, 1)).await;
        ground.pays(0, "1500.00", app.today()).await;
        // Drawn already: the fixed share.
        assert_eq!(first.owes().await, "800.00");
        first.pays(1, "800.00", app.today()).await;

        app.go_on_to(date(2051, 3, 31)).await;
        let attic = Flat::let_by(app, &landlord, "3", 1, terms("2051-03-31", Value::Null, "900.00", 31)).await;
        assert_eq!(attic.owes().await, "900.00");
        attic.signs_autopay(0, "1000.00").await;
        let house = House { app, ground, first, attic };
        assert_eq!(house.owe().await, ["0.00"; 3]);
        let House { ground, first, attic, .. } = &house;

        house.pays_as_usual(date(2051, 4, 1), "1500.00", true).await;
        house.draws(last_of(2051, 4), "900.00").await;

        // May: the ground floor pays a week late, and the fee is let off.
        app.go_on_to(date(2051, 5, 1)).await;
        first.pays(1, "800.00", app.today()).await;
        app.go_on_to(date(2051, 5, 6)).await;
        assert_eq!(house.owe().await, ["1500.00", "0.00", "0.00"]);
        app.go_on_to(date(2051, 5, 8)).await;
        assert_eq!(ground.owes().await, "1550.00");
        ground.pays(0, "1500.00", app.today()).await;
        let fee = ground.charge_of("LATE_FEE", date(2051, 5, 6)).await;
        let waiver = json!({"kind": "WAIVER", "amount": "50.00", "charge_id": fee, "reason": "The bank was closed"});
        ground.enters("credits", waiver).await.must(201);
        assert_eq!(house.owe().await, ["0.00"; 3]);
        house.draws(last_of(2051, 5), "900.00").await;

        // June: the ground floor pays in two parts, in time. A parking lot for the attic from its next rent on.
        app.go_on_to(date(2051, 6, 1)).await;
        first.pays(1, "800.00", app.today()).await;
        ground.pays(0, "1000.00", app.today()).await;
        assert_eq!(ground.owes().await, "500.00");
        app.go_on_to(date(2051, 6, 3)).await;
        ground.pays(0, "500.00", app.today()).await;
        app.go_on_to(date(2051, 6, 15)).await;
        let parking = json!({"description": "Parking", "amount": "50.00", "start_date": "2051-06-30"});
        attic.enters("extras", parking).await.must(201);
        assert_eq!(house.owe().await, ["0.00"; 3]);
        house.draws(last_of(2051, 6), "950.00").await;

        house.pays_as_usual(date(2051, 7, 1), "1500.00", true).await;
        house.draws(last_of(2051, 7), "950.00").await;

        // August: what one of the two paid comes back, and is late as if it had never been paid: 5 per cent of 800.00.
        app.go_on_to(date(2051, 8, 1)).await;
        ground.pays(0, "1500.00", app.today()).await;
        let bad = first.renters[1].link_account("000555555559").await.id();
        let body = json!({
            "lease_id": first.lease, "amount": "800.00", "rail": "SAME_DAY_ACH", "payer_account_id": bad,
        });
        let returned = first.renters[1].pay("returned", &body).await.must(201).id();
        first.renters[1].wait_until(&returned, "RETURNED").await;
        assert_eq!(first.owes().await, "800.00");
        app.go_on_to(date(2051, 8, 5)).await;
        assert_eq!(first.owes().await, "840.00");
        first.pays(1, "840.00", app.today()).await;
        assert_eq!(house.owe().await, ["0.00"; 3]);
        house.draws(last_of(2051, 8), "950.00").await;

        house.pays_as_usual(date(2051, 9, 1), "1500.00", true).await;
        house.draws(last_of(2051, 9), "950.00").await;
        house.pays_as_usual(date(2051, 10, 1), "1500.00", true).await;
        app.go_on_to(date(2051, 10, 15)).await;
        let rent = json!({"rent_amount": "1600.00", "effective_date": "2052-01-01"});
        ground.enters("rent-changes", rent).await.must(200);
        house.draws(last_of(2051, 10), "950.00").await;
        house.pays_as_usual(date(2051, 11, 1), "1500.00", true).await;
        house.draws(last_of(2051, 11), "950.00").await;
        house.pays_as_usual(date(2051, 12, 1), "1500.00", true).await;

        // The two move out in the middle of December: 2000.00 x 15 / 31 = 967.74 were owed, 1032.26 too much.
        app.go_on_to(date(2051, 12, 5)).await;
        first.enters("terminate", json!({"end_date": "2051-12-15"})).await.must(200);
        assert_eq!(first.owes().await, "-1032.26");
        moves_out(app, first).await;
        house.draws(last_of(2051, 12), "950.00").await;

        for month in 1..=12 {
            house.pays_as_usual(date(2052, month, 1), "1600.00", false).await;
            house.draws(last_of(2052, month), "950.00").await;
        }
        // 725.81 + 11 x 1500.00; 10 x 2000.00 + 967.74 + 40.00 late and 300.00 for cleaning; 10 x 900.00 + 7 x 50.00.
        assert_eq!(income(&landlord).await, "47883.55");
        // January's part, 11 x 1500.00, 12 x 1600.00 and the fee that was let off.
        adds_up(ground, "36475.81").await;
        // 22 months, 19 of them with parking.
        adds_up(attic, "20750.00").await;
    });
}

/// All that was charged and let off or paid, by the statement.
async fn adds_up(flat: &Flat<'_>, charged: &str) {
    let statement = flat.landlord.get(&flat.path("statement")).await.must(200);
    let cents = |text: &Value| text.as_str().unwrap().replace('.', "").parse::<i64>().unwrap();
    let lines = statement["lines"].as_array().unwrap();
    let all: i64 = lines.iter().map(|line| cents(&line["amount"])).filter(|minor| 0 < *minor).sum();
    assert_eq!((all, &statement["closing_balance"]), (cents(&json!(charged)), &json!("0.00")));
}

/// What was paid too much goes back, and the deposit.
async fn moves_out(app: &TestApp, first: &Flat<'_>) {
    app.go_on_to(date(2051, 12, 16)).await;
    let deposit = first.renters[1].get(&first.path("deposit")).await.must(200);
    // 14 days by the law of New York.
    assert_eq!((&deposit["held"], &deposit["deadline"]["return_by"]), (&json!("2000.00"), &json!("2051-12-29")));
    let body = json!({
        "deductions": [{"description": "Cleaning", "amount": "300.00"}], "rail": "INSTANT",
        "payee_id": first.renters[0].id,
    });
    let returned = first.enters("deposit-return", body).await.must(201);
    assert_eq!(returned["returned"], "1700.00");
    first.landlord.wait_until(returned["payment_id"].as_str().unwrap(), "COMPLETED").await;
    assert_eq!(first.owes().await, "-1032.26");
    let body = json!({
        "lease_id": first.lease, "amount": "1032.26", "rail": "INSTANT", "payee_id": first.renters[1].id,
    });
    let refund = first.landlord.pay("december", &body).await.must(201).id();
    first.landlord.wait_until(&refund, "COMPLETED").await;
    assert_eq!(first.owes().await, "0.00");
    let deposit = first.renters[1].get(&first.path("deposit")).await.must(200);
    assert_eq!(deposit["held"], "0.00");
}

/// What the house brought in 2051, as it is told to the tax office: no deposit, but what was kept of it.
async fn income(landlord: &Visitor<'_>) -> Value {
    let report = landlord.get("/api/v1/reports/income?year=2051").await.must(200);
    report["totals"][0]["income"].clone()
}
