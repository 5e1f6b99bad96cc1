//! Reports for landlords: every number is explained, they agree with each other, with the balances and the ledger.

use std::collections::BTreeMap;

use directpay_domain::calendar::days_between_inclusive;
use directpay_server::daily_pass::LocalDay;
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::harness::{Answer, GOOD_ACCOUNT, POST, TestApp, Visitor, address, on_both, terms, with, without};

/// A landlord with two houses: one is let since four months ago, the other was until two months ago.
struct Estate<'a> {
    landlord: Visitor<'a>,
    renter: Visitor<'a>,
    renter_account: String,
    /// The first of the present month, where the properties lie.
    first: Date,
    lease: String,
    former: String,
    property: String,
}

impl<'a> Estate<'a> {
    async fn of(app: &'a TestApp) -> Estate<'a> {
        let (landlord, renter) = (app.sign_up("LANDLORD").await, app.sign_up("RENTER").await);
        landlord.link_account("900000004321").await;
        let renter_account = renter.link_account(GOOD_ACCOUNT).await.id();
        let first = today(app).first_of_month();
        let day = |months: i64| json!(first.saturating_sub(months.months()).to_string());
        let let_since = async |months: i64, until: Option<Date>| {
            let property = landlord.add_property().await.id();
            let body = without(&with(&terms(&property, &renter.id), "start_date", day(months)), "end_date");
            let body = until.map_or(body.clone(), |until| with(&body, "end_date", json!(until.to_string())));
            (property, landlord.post("/api/v1/leases/", &body).await.must(201).id())
        };
        let (_, former) = let_since(5, Some(first.saturating_sub(2.months()).yesterday().unwrap())).await;
        let (property, lease) = let_since(4, None).await;
        Estate { landlord, renter, renter_account, first, lease, former, property }
    }

    /// The first of the month so many months ago.
    fn month(&self, ago: i64) -> Date {
        self.first.saturating_sub(ago.months())
    }

    async fn pays(&self, lease: &str, key: &str, amount: &str) -> Answer {
        let body = json!({"lease_id": lease, "amount": amount, "rail": "INSTANT"});
        let payment = self.renter.pay(key, &body).await.must(201);
        self.renter.wait_until(&payment.id(), "COMPLETED").await
    }

    async fn landlord_asks(&self, lease: &str, what: &str, key: &str, body: &Value) -> Answer {
        let path = format!("/api/v1/leases/{lease}/{what}");
        self.landlord.call(POST, &path).header("Idempotency-Key", key).json(body).send().await.must(201)
    }

    /// Some months of both houses: two rents, the other three with a deposit, a part of the former one's, something let off.
    async fn lived_in(&self) {
        let (lease, former) = (self.lease.as_str(), self.former.as_str());
        self.pays(lease, "two", "3000.00").await;
        let deposit = json!({"kind": "DEPOSIT", "description": "Security", "amount": "1000.00"});
        self.landlord_asks(lease, "charges", "deposit", &deposit).await;
        self.pays(lease, "three", "5500.00").await;
        let key = json!({"description": "Lost key", "amount": "50.00"});
        self.landlord_asks(lease, "charges", "key", &key).await;
        let goodwill = json!({"kind": "CONCESSION", "amount": "20.00", "reason": "The heating"});
        self.landlord_asks(lease, "credits", "goodwill", &goodwill).await;
        self.pays(former, "former", "1600.00").await;
    }
}

fn today(app: &TestApp) -> Date {
    LocalDay::at("America/New_York", app.clock.business()).unwrap().date
}

async fn report(who: &Visitor<'_>, rest: &str) -> Answer {
    who.get(&format!("/api/v1/reports/{rest}")).await.must(200)
}

fn row<'r>(report: &'r Answer, lease: &str) -> &'r Value {
    report.rows().iter().find(|row| row["lease_id"] == lease).unwrap_or_else(|| panic!("no {lease} in {}", report.text))
}

/// Some fields of a row, as texts.
fn fields<const N: usize>(row: &Value, names: [&str; N]) -> [String; N] {
    names.map(|name| row[name].as_str().unwrap_or_else(|| panic!("no {name} in {row}")).to_owned())
}

fn cents(amount: &Value) -> i64 {
    amount.as_str().unwrap().replace('.', "").parse().unwrap()
}

/// What a number is made of has that number as its sum, and says what each part is.
async fn assert_explained(who: &Visitor<'_>, number: &Value, rest: &str) {
    let details = report(who, rest).await;
    let sum: i64 = details.rows().iter().map(|detail| cents(&detail["amount"])).sum();
    assert_eq!((&details["total"], sum), (number, cents(number)), "{rest}: {}", details.text);
    for detail in details.rows() {
        let says = ["charge_id", "payment_id", "credit_id", "stream_id"].iter().any(|field| !detail[*field].is_null());
        assert!(says, "{rest}: {detail}");
    }
    let file = csv_rows(who, rest).await;
    assert_eq!(file.len(), details.rows().len() + 1);
    assert_eq!(file.last().unwrap()["amount"], number.as_str().unwrap(), "{rest}");
}

/// The rows of the same report as a file, by the names of their columns.
async fn csv_rows(who: &Visitor<'_>, rest: &str) -> Vec<BTreeMap<String, String>> {
    let mark = if rest.contains('?') { '&' } else { '?' };
    let file = report(who, &format!("{rest}{mark}format=csv")).await;
    assert_eq!(file.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(file.header("content-disposition").unwrap().starts_with("attachment; filename=\""));
    csv::Reader::from_reader(file.text.as_bytes()).deserialize().collect::<Result<_, _>>().unwrap()
}

/// A file says of each row, and of the sums, what the pages say.
async fn assert_file_says_the_same(who: &Visitor<'_>, rest: &str, pages: &Answer) {
    let file = csv_rows(who, rest).await;
    let rows: Vec<&Value> = pages.rows().iter().chain(pages["totals"].as_array().unwrap()).collect();
    assert_eq!(file.len(), rows.len(), "{rest}");
    for (line, row) in file.iter().zip(rows) {
        for (field, value) in row.as_object().unwrap().iter().filter(|(field, _)| line.contains_key(*field)) {
            match value {
                Value::String(text) => assert_eq!(&line[field], text, "{rest}: {field}"),
                Value::Null => assert_eq!(line[field], "", "{rest}: {field}"),
                Value::Array(names) => assert_eq!(line[field], names[0].as_str().unwrap(), "{rest}: {field}"),
                Value::Bool(is) => assert_eq!(line[field], if *is { "yes" } else { "no" }, "{rest}: {field}"),
                Value::Number(number) => assert_eq!(line[field], number.to_string(), "{rest}: {field}"),
                Value::Object(_) => panic!("{rest}: {field}"),
            }
        }
    }
}

#[test]
fn the_rent_roll_and_the_arrears_agree_with_balances_and_ledger() {
    on_both(async |app| {
        let estate = Estate::of(app).await;
        estate.lived_in().await;
        app.home().await;
        let landlord = &estate.landlord;

        let roll = report(landlord, "rent-roll").await;
        let names = ["rent_amount", "balance", "open", "credit", "deposit_held"];
        assert_eq!(fields(row(&roll, &estate.lease), names), ["1500.00", "30.00", "30.00", "0.00", "1000.00"]);
        let former = row(&roll, &estate.former);
        assert!(former["rent_amount"].is_null());
        assert_eq!(fields(former, ["balance", "open", "credit"]), ["2900.00", "2900.00", "0.00"]);
        assert_eq!(former["renters"], json!(["Person 1"]));
        for lease in roll.rows() {
            let id = lease["lease_id"].as_str().unwrap();
            let balance = landlord.get(&format!("/api/v1/leases/{id}/balance")).await.must(200);
            for field in ["balance", "open", "credit", "as_of"] {
                assert_eq!(lease[field], balance[field], "{field} of {lease}");
            }
            for (column, field) in
                [("OPEN", "open"), ("CREDIT", "credit"), ("BALANCE", "balance"), ("DEPOSIT_HELD", "deposit_held")]
            {
                let rest = format!("rent-roll/details?lease_id={id}&column={column}");
                assert_explained(landlord, &lease[field], &rest).await;
            }
        }
        assert_file_says_the_same(landlord, "rent-roll", &roll).await;

        let arrears = report(landlord, "arrears").await;
        let total = &arrears["totals"][0];
        assert_eq!(cents(&total["open"]), cents(&roll["totals"][0]["open"]));
        assert_eq!(cents(&total["open"]) - cents(&roll["totals"][0]["credit"]), receivable(app, landlord).await);
        let now = today(app);
        let mut expected =
            BTreeMap::from([("days_0_30", 3_000), ("days_31_60", 0), ("days_61_90", 0), ("days_over_90", 0)]);
        for (ago, minor) in [(4, 140_000), (3, 150_000)] {
            *expected.get_mut(age(estate.month(ago), now)).unwrap() += minor;
        }
        for (field, minor) in expected {
            assert_eq!(cents(&total[field]), minor, "{field} in {}", arrears.text);
        }
        for lease in arrears.rows() {
            let id = lease["lease_id"].as_str().unwrap();
            assert_eq!(lease["former"], json!(id == estate.former));
            for age in ["days_0_30", "days_31_60", "days_61_90", "days_over_90"] {
                let rest = format!("arrears/details?lease_id={id}&age={age}");
                assert_explained(landlord, &lease[age], &rest).await;
            }
            assert_explained(landlord, &lease["open"], &format!("arrears/details?lease_id={id}")).await;
        }
        assert_file_says_the_same(landlord, "arrears", &arrears).await;
    });
}

fn age(due: Date, as_of: Date) -> &'static str {
    match days_between_inclusive(due, as_of) - 1 {
        0..=30 => "days_0_30",
        31..=60 => "days_31_60",
        61..=90 => "days_61_90",
        _ => "days_over_90",
    }
}

/// What the ledger says that all leases of a landlord owe.
async fn receivable(app: &TestApp, landlord: &Visitor<'_>) -> i64 {
    let mut tx = app.db().begin_read().await.unwrap();
    let id: uuid::Uuid = landlord.id.parse().unwrap();
    let (minor,): (i64,) = tx
        .fetch_one(
            "SELECT CAST(SUM(CASE WHEN debit LIKE 'receivable:%' THEN amount WHEN credit LIKE 'receivable:%' THEN -amount
                                  ELSE 0 END) AS BIGINT) FROM postings WHERE landlord_id = $1",
            (id,),
        )
        .await
        .unwrap();
    minor
}

#[test]
fn a_past_day_is_as_it_was() {
    on_both(async |app| {
        let estate = Estate::of(app).await;
        let landlord = &estate.landlord;
        let then = estate.month(1);
        let before = report(landlord, &format!("rent-roll?as_of={then}")).await;
        assert_eq!(row(&before, &estate.lease)["balance"], "6000.00");

        // What happens today does not touch it.
        estate.lived_in().await;

        let after = report(landlord, &format!("rent-roll?as_of={then}")).await;
        assert_eq!(after.body, before.body);
        let arrears = report(landlord, &format!("arrears?as_of={then}")).await;
        assert_eq!(arrears["totals"][0]["open"], before["totals"][0]["open"]);
        for column in ["OPEN", "BALANCE"] {
            let rest = format!("rent-roll/details?lease_id={}&column={column}&as_of={then}", estate.lease);
            assert_explained(landlord, &json!("6000.00"), &rest).await;
        }
        // Before anything there is nothing.
        let nothing = report(landlord, &format!("rent-roll?as_of={}", estate.month(60))).await;
        assert_eq!((nothing.rows().len(), &nothing["totals"]), (0, &json!([])));
    });
}

#[test]
fn a_month_tells_what_came_of_its_charges() {
    on_both(async |app| {
        let estate = Estate::of(app).await;
        estate.lived_in().await;
        let landlord = &estate.landlord;
        let now = estate.first.strftime("%Y-%m").to_string();

        let month = report(landlord, &format!("month?month={now}")).await;
        let names = ["charged", "collected", "on_the_way", "credited", "open", "collection_rate"];
        // The rent, the deposit and the key, of which twenty were let off.
        let expected = ["2550.00", "2500.00", "0.00", "20.00", "30.00", "98.03"];
        assert_eq!(fields(row(&month, &estate.lease), names), expected);
        assert_eq!(fields(&month["totals"][0], names), expected);
        assert_eq!(month.rows().len(), 1, "the former lease has no charge any more: {}", month.text);
        let then = estate.month(4).strftime("%Y-%m").to_string();
        let past = report(landlord, &format!("month?month={then}")).await;
        let expected = ["1500.00", "100.00", "0.00", "0.00", "1400.00", "6.66"];
        assert_eq!(fields(row(&past, &estate.former), names), expected);
        assert_eq!(row(&past, &estate.former)["late"], "1400.00");
        assert_eq!(past["totals"][0]["collection_rate"], "53.33");
        for (month, of) in [(&month, &now), (&past, &then)] {
            for lease in month.rows() {
                for column in ["charged", "collected", "on_the_way", "credited", "open", "late"] {
                    let id = lease["lease_id"].as_str().unwrap();
                    let rest = format!("month/details?month={of}&lease_id={id}&column={column}");
                    assert_explained(landlord, &lease[column], &rest).await;
                }
            }
            assert_file_says_the_same(landlord, &format!("month?month={of}"), month).await;
        }
        let empty = report(landlord, "month?month=1999-01").await;
        assert_eq!((empty.rows().len(), &empty["totals"]), (0, &json!([])));
    });
}

#[test]
fn payments_are_listed_with_their_days_and_names() {
    on_both(async |app| {
        let estate = Estate::of(app).await;
        estate.lived_in().await;
        let landlord = &estate.landlord;
        let refund = json!({"lease_id": estate.former, "amount": "100.00", "rail": "INSTANT"});
        let refund = landlord.pay("back", &refund).await.must(201).id();
        landlord.wait_until(&refund, "COMPLETED").await;
        let returning = estate.renter.link_account("000555555559").await.id();
        let rent =
            json!({"lease_id": estate.lease, "amount": "7.00", "rail": "STANDARD_ACH", "payer_account_id": returning});
        let returned = estate.renter.pay("returns", &rent).await.must(201).id();
        estate.renter.wait_until(&returned, "RETURNED").await;

        let all = report(landlord, "payments").await;
        let amounts = all.column("amount");
        assert_eq!(amounts, ["7.00", "100.00", "1600.00", "5500.00", "3000.00"]);
        let today = json!(today(app).to_string());
        assert!(all.rows().iter().all(|row| row["settled_on"] == today && row["renter"] == "Person 1"), "{}", all.text);
        let first = &all.rows()[0];
        assert_eq!(
            (&first["status"], &first["failure_code"], &first["returned_on"]),
            (&json!("RETURNED"), &json!("R10"), &today)
        );
        assert_eq!(fields(&all["totals"][0], ["received", "on_the_way", "refunded"]), ["10100.00", "0.00", "100.00"]);
        assert_eq!(all["totals"][0]["payments"], 5);
        for secret in [estate.renter_account.as_str(), "First Rental Bank", "\"k\""] {
            assert!(!all.text.contains(secret), "{secret} in {}", all.text);
        }

        let (mut pages, mut rest) = (Vec::new(), "payments?limit=2".to_owned());
        loop {
            let page = report(landlord, &rest).await;
            assert_eq!(page["totals"].is_null(), !pages.is_empty(), "the sums stand on the first page");
            pages.extend(page.rows().to_vec());
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            rest = format!("payments?limit=2&cursor={cursor}");
        }
        assert_eq!(pages, all.rows());
        let file = csv_rows(landlord, "payments").await;
        assert_eq!(file.iter().map(|row| row["amount"].as_str()).collect::<Vec<_>>(), amounts);
        let tomorrow = LocalDay::at("America/New_York", app.clock.business()).unwrap().date.tomorrow().unwrap();
        assert_eq!(report(landlord, &format!("payments?from={tomorrow}")).await.rows().len(), 0);
        assert_eq!(report(landlord, &format!("payments?from={}&to={tomorrow}", estate.first)).await.rows().len(), 5);
    });
}

#[test]
fn income_is_what_a_tax_adviser_would_say() {
    on_both(async |app| {
        let estate = Estate::of(app).await;
        estate.lived_in().await;
        let landlord = &estate.landlord;
        // Paid ahead: it is income now, and not when it is applied.
        estate.pays(&estate.lease, "ahead", "1530.00").await;
        let returning = estate.renter.link_account("000555555559").await.id();
        let rent =
            json!({"lease_id": estate.lease, "amount": "7.00", "rail": "STANDARD_ACH", "payer_account_id": returning});
        let returned = estate.renter.pay("returns", &rent).await.must(201).id();
        estate.renter.wait_until(&returned, "RETURNED").await;
        let now = estate.first.strftime("%Y-%m").to_string();
        let year = estate.first.year();

        let cash = report(landlord, &format!("income?year={year}")).await;
        let of_house = cash.rows().iter().find(|row| row["property_id"] == estate.property.as_str()).unwrap();
        let sums = &of_house["sums"][0];
        assert_eq!(fields(&sums["months"][0], ["month", "income"]), [now.as_str(), "9030.00"]);
        let parts = json!([
            {"part": "RECEIVED", "amount": "10037.00"}, {"part": "RETURNED", "amount": "-7.00"},
            {"part": "DEPOSIT_TAKEN", "amount": "-1000.00"},
        ]);
        assert_eq!(sums["months"][0]["parts"], parts);
        assert_eq!(cash["totals"][0]["income"], "10630.00");

        // A deposit that is voided after it was paid is rent then, if the money is not given back.
        let charges = landlord.get(&format!("/api/v1/leases/{}/schedule", estate.lease)).await;
        let deposit = charges.rows().iter().find(|charge| charge["kind"] == "DEPOSIT").unwrap();
        let void = format!("/api/v1/leases/{}/charges/{}/void", estate.lease, deposit["id"].as_str().unwrap());
        landlord.post(&void, &json!({"reason": "None was agreed", "idempotency_key": "void"})).await.must(200);
        let cash = report(landlord, &format!("income?year={year}")).await;
        assert_eq!(cash["totals"][0]["income"], "11630.00");

        let accrual = report(landlord, &format!("income?year={year}&basis=accrual")).await;
        let months: i64 = (0..=4).filter(|ago| estate.month(*ago).year() == year).count().try_into().unwrap();
        let former: i64 = (3..=5).filter(|ago| estate.month(*ago).year() == year).count().try_into().unwrap();
        assert_eq!(cents(&accrual["totals"][0]["income"]), (months + former) * 150_000 + 5_000 - 2_000);
        for (report, basis) in [(&cash, "CASH"), (&accrual, "ACCRUAL")] {
            let mut explained = 0;
            for property in report.rows() {
                for month in property["sums"][0]["months"].as_array().into_iter().flatten() {
                    let id = property["property_id"].as_str().unwrap();
                    let of = month["month"].as_str().unwrap();
                    let rest = format!("income/details?property_id={id}&month={of}&basis={basis}");
                    assert_explained(landlord, &month["income"], &rest).await;
                    for part in month["parts"].as_array().unwrap() {
                        let name = part["part"].as_str().unwrap();
                        assert_explained(landlord, &part["amount"], &format!("{rest}&part={name}")).await;
                    }
                    explained += cents(&month["income"]);
                }
            }
            assert_eq!(explained, cents(&report["totals"][0]["income"]));
            let file = csv_rows(landlord, &format!("income?year={year}&basis={basis}")).await;
            let total = file.last().unwrap();
            assert_eq!(
                (total["address"].as_str(), total["income"].as_str()),
                ("Total", report["totals"][0]["income"].as_str().unwrap())
            );
        }
    });
}

#[test]
fn an_administrator_names_the_landlord_and_a_renter_has_no_reports() {
    on_both(async |app| {
        let estate = Estate::of(app).await;
        let (landlord, admin) = (&estate.landlord, app.admin().await);
        for rest in ["rent-roll", "arrears", "month?month=2026-01", "payments", "income?year=2026"] {
            let path = format!("/api/v1/reports/{rest}");
            let mark = if rest.contains('?') { '&' } else { '?' };
            let named = |id: &str| format!("{path}{mark}landlord_id={id}");
            let own = landlord.get(&path).await.must(200);
            assert_eq!(admin.get(&named(&landlord.id)).await.must(200).body, own.body, "{rest}");
            assert_eq!(admin.get(&path).await.refuses(400, "invalid_query").fields(), [("landlord_id", "required")]);
            admin.get(&named(&estate.renter.id)).await.refuses(404, "not_found");
            landlord.get(&named(&admin.id)).await.refuses(404, "not_found");
            estate.renter.get(&path).await.refuses(403, "forbidden");
        }
        let details = format!("/api/v1/reports/arrears/details?lease_id={}", estate.lease);
        assert_eq!(admin.get(&details).await.must(200)["total"], "7500.00");
        estate.renter.get(&details).await.refuses(403, "forbidden");
    });
}

#[test]
fn what_others_wrote_is_no_formula_in_a_file() {
    on_both(async |app| {
        let home = app.home().await;
        let property = with(&address(), "address", json!("=HYPERLINK(\"http://evil.example\")"));
        let property =
            home.landlord.post("/api/v1/properties/", &with(&property, "unit", json!("@1"))).await.must(201).id();
        home.landlord.sign_lease(&property, &home.renter.id).await;

        for rest in ["rent-roll", "arrears", "month?month=2026-02", "income?year=2026&basis=ACCRUAL"] {
            let rows = csv_rows(&home.landlord, rest).await;
            let found = rows.iter().filter(|row| row["address"] == "'=HYPERLINK(\"http://evil.example\")").count();
            assert!(0 < found && rows.iter().any(|row| row["unit"] == "'@1"), "{rest}: {rows:?}");
        }
    });
}
