//! Months of many leases in minutes: tenants and landlords who do what they like, banks that send money back, callers who hang
//! up before the answer, passes that die anywhere, and days that are begun two and three times at once. After every day all
//! invariants hold.
//!
//! Everything that is drawn by lot comes from one seed, which is printed. `cargo xtask simulate` runs it as large as one likes.

use std::env;
use std::time::Duration;

use directpay_server::clock::Stopwatch;
use directpay_server::{autopay, daily_pass};
use directpay_store::audit;
use jiff::ToSpan;
use jiff::civil::{Date, date};
use serde_json::{Value, json};

use crate::harness::{
    GET, PASSWORD, POST, PUT, TestApp, Visitor, address, on_both, on_postgres, on_sqlite, until, with,
};

/// How large, and by which lots.
#[derive(Debug, Clone, Copy)]
struct Size {
    leases: usize,
    days: i64,
    seed: u64,
}

/// A first day that stays ahead of the clock of whoever runs this.
const BEGINS: Date = date(2060, 1, 1);

#[test]
fn a_few_leases_for_two_months() {
    on_both(async |app| simulate(app, Size { leases: 4, days: 60, seed: 20_261_123 }).await);
}

#[test]
#[ignore = "as large as `cargo xtask simulate` says"]
#[expect(clippy::disallowed_methods, reason = "settings of a test, not of the server")]
fn as_large_as_one_likes() {
    let number = |name: &str| env::var(name).unwrap().parse::<u64>().unwrap();
    let size = Size {
        leases: usize::try_from(number("DIRECTPAY_TEST_SIMULATION_LEASES")).unwrap(),
        days: i64::try_from(number("DIRECTPAY_TEST_SIMULATION_DAYS")).unwrap(),
        seed: number("DIRECTPAY_TEST_SIMULATION_SEED"),
    };
    match env::var("DIRECTPAY_TEST_SIMULATION_ENGINE").as_deref() {
        Ok("sqlite") => on_sqlite(async |app| simulate(app, size).await),
        Ok("postgres") => on_postgres(async |app| simulate(app, size).await),
        _ => on_both(async |app| simulate(app, size).await),
    }
}

/// Lots. The same seed draws the same ones (SplitMix64).
struct Lots(u64);

impl Lots {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    /// True once in `times`.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(u64::try_from(of.len()).unwrap())).unwrap()]
    }

    /// An amount of dollars with cents.
    fn amount(&mut self, dollars: u64) -> String {
        format!("{}.{:02}", 1 + self.below(dollars), self.below(100))
    }
}

/// A lease and the people on it.
struct Home<'a> {
    landlord: usize,
    renters: Vec<Visitor<'a>>,
    /// Of each renter one with which all goes well, and one with which it does not.
    accounts: Vec<[String; 2]>,
    lease: String,
}

impl Home<'_> {
    fn path(&self, rest: &str) -> String {
        format!("/api/v1/leases/{}/{rest}", self.lease)
    }
}

/// Tokens keep real time.
const TOKENS_LAST: Duration = Duration::from_secs(10 * 60);
/// What banks do with money: most carry it.
const TROUBLE: [&str; 6] =
    ["000222222227", "000333333335", "000555555559", "000222222235", "000666666661", "000888888885"];
const RAILS: [&str; 4] = ["INSTANT", "STANDARD_ACH", "SAME_DAY_ACH", "WIRE"];

async fn simulate(app: &TestApp, size: Size) {
    println!("simulating {size:?}");
    let mut lots = Lots(size.seed);
    app.go_on_to(BEGINS).await;
    let mut landlords = Vec::new();
    for number in 0..=size.leases / 20 {
        let landlord = app.sign_up("LANDLORD").await;
        landlord.link_account(&format!("9000000{number:05}")).await;
        landlords.push(landlord);
    }
    let mut homes = Vec::new();
    for _ in 0..size.leases {
        homes.push(home(app, &landlords, &mut lots).await);
    }
    let mut signed_in = Stopwatch::start();
    for day in 1..=size.days {
        if TOKENS_LAST < signed_in.elapsed() {
            signed_in = Stopwatch::start();
            for visitor in landlords.iter_mut().chain(homes.iter_mut().flat_map(|home| &mut home.renters)) {
                *visitor = app.sign_in(&visitor.email, PASSWORD, visitor.id.clone()).await;
            }
        }
        for home in &homes {
            if lots.once_in(6) {
                something_happens(&landlords[home.landlord], home, &mut lots).await;
            }
        }
        let today = BEGINS.checked_add(day.days()).unwrap();
        app.turn_clock_to(today);
        let inner = &app.running.app;
        if lots.once_in(3) {
            // What was begun is dropped where it stands, between any two steps.
            let patience = Duration::from_micros(lots.below(20_000));
            let _died = tokio::time::timeout(patience, daily_pass::run(inner)).await;
            let _died = tokio::time::timeout(patience, autopay::run(inner)).await;
        }
        app.go_on_to(today).await;
        // Once more, and by several at once, beside the worker.
        tokio::try_join!(daily_pass::run(inner), daily_pass::run(inner), autopay::run(inner), autopay::run(inner))
            .unwrap();
        until("the bank has done its part", async || app.due_work().await == 0).await;
        let audit = audit(app.db(), |_, _| {}).await.unwrap();
        let broken: Vec<_> = audit.checks.iter().filter(|check| 0 < check.breaches).collect();
        assert!(broken.is_empty(), "seed {}, {today}: {broken:#?}", size.seed);
        if day % 30 == 0 {
            let payments = audit.checks.first().map_or(0, |check| check.examined);
            println!("{today}: {payments} payments, all sound");
        }
    }
}

async fn home<'a>(app: &'a TestApp, landlords: &[Visitor<'a>], lots: &mut Lots) -> Home<'a> {
    let landlord = usize::try_from(lots.below(u64::try_from(landlords.len()).unwrap())).unwrap();
    let (mut renters, mut accounts) = (Vec::new(), Vec::new());
    for _ in 0..lots.one_of(&[1, 1, 1, 2, 3]) {
        let renter = app.sign_up("RENTER").await;
        let good = renter.link_account("000123456789").await.id();
        let bad = renter.link_account(lots.one_of(&TROUBLE)).await.id();
        accounts.push([good, bad]);
        renters.push(renter);
    }
    let by = &landlords[landlord];
    let zone = lots.one_of(&[
        "America/New_York",
        "America/New_York",
        "America/Los_Angeles",
        "Pacific/Honolulu",
        "Pacific/Guam",
    ]);
    let property = by.post("/api/v1/properties/", &with(&address(), "time_zone", json!(zone))).await.must(201).id();
    let starts = BEGINS.checked_add(i64::try_from(lots.below(40)).unwrap().days()).unwrap();
    let mut terms = json!({
        "property_id": property, "renter_ids": renters.iter().map(|renter| &renter.id).collect::<Vec<_>>(),
        "rent_amount": lots.amount(3000), "payment_due_day": 1 + lots.below(31), "start_date": starts.to_string(),
        "first_period": lots.one_of(&["PRORATE", "FULL", "NONE"]), "proration": lots.one_of(&["ACTUAL", "THIRTY_DAY", "ANNUAL"]),
    });
    if lots.once_in(2) {
        let months = i64::try_from(1 + lots.below(24)).unwrap();
        terms = with(&terms, "end_date", json!(starts.checked_add(months.months()).unwrap().to_string()));
    }
    let lease = by.post("/api/v1/leases/", &terms).await.must(201).id();
    let home = Home { landlord, renters, accounts, lease };
    if lots.once_in(2) {
        let fees = match lots.below(3) {
            0 => json!({"kind": "FLAT", "amount": "35.00", "fee_from_offset": 5}),
            1 => json!({"kind": "PERCENT", "basis_points": 500, "fee_from_offset": 3, "due_roll": "NEXT_BUSINESS_DAY"}),
            _ => json!({"kind": "FLAT", "amount": "5.00", "frequency": "DAILY", "cap": "40.00", "fee_from_offset": 2}),
        };
        by.call(PUT, &home.path("late-fees")).json(&fees).send().await.must(200);
    }
    if lots.once_in(3) {
        let parking = json!({"description": "Parking", "amount": lots.amount(80), "start_date": starts.to_string(), "idempotency_key": format!("p{}", home.lease)});
        let parking = with(&parking, "start_date", json!(starts.max(app.today()).to_string()));
        by.post(&home.path("extras"), &parking).await.must(201);
    }
    if lots.once_in(3) {
        let deposit = json!({"kind": "DEPOSIT", "description": "Security", "amount": lots.amount(3000), "idempotency_key": format!("d{}", home.lease)});
        by.post(&home.path("charges"), &deposit).await.must(201);
    }
    for (renter, accounts) in home.renters.iter().zip(&home.accounts) {
        if lots.once_in(2) {
            let mandate = mandate(&format!("a{}", home.lease), accounts, lots);
            renter.post(&home.path("autopay"), &mandate).await.must(201);
        }
    }
    home
}

fn mandate(key: &str, accounts: &[String; 2], lots: &mut Lots) -> Value {
    json!({
        "cap": lots.amount(4000), "rail": lots.one_of(&RAILS), "payer_account_id": accounts[usize::from(lots.once_in(5))],
        "lead_days": lots.one_of(&[0, 0, 3]), "notice": lots.one_of(&["OUTSIDE_RANGE", "ANY_CHANGE"]),
        "idempotency_key": key,
    })
}

/// One of the parties does something, which may be refused.
async fn something_happens(landlord: &Visitor<'_>, home: &Home<'_>, lots: &mut Lots) {
    let key = format!("k{:x}", lots.draw());
    let asks = async |path: &str, body: Value| {
        landlord.call(POST, &home.path(path)).header("Idempotency-Key", &key).json(&body).send().await;
    };
    match lots.below(21) {
        0..=9 => pays(home, &key, lots).await,
        10 => asks("charges", json!({"description": "Key", "amount": lots.amount(200)})).await,
        11 => {
            let kind = lots.one_of(&["CONCESSION", "WRITE_OFF"]);
            asks("credits", json!({"kind": kind, "amount": lots.amount(100), "reason": "By lot"})).await;
        }
        12 => {
            // A refund that no payment brought, or of one of the last payments.
            let payments = landlord.get(&format!("/api/v1/payments/lease/{}?limit=5", home.lease)).await.must(200);
            let payments = payments["data"].as_array().unwrap();
            let payment = payments.iter().find(|payment| payment["kind"] == "RENT" && payment["status"] == "COMPLETED");
            let Some(payment) = payment else { return };
            let mut body = json!({
                "lease_id": home.lease, "amount": lots.amount(50), "rail": "INSTANT",
                "payee_account_id": payment["payer_account_id"],
            });
            if lots.once_in(2) {
                body["refund_of"] = payment["id"].clone();
            }
            landlord.pay(&key, &body).await;
        }
        13 => {
            let charges = landlord.get(&home.path("schedule")).await.must(200);
            let charges = charges["data"].as_array().unwrap();
            let posted: Vec<_> = charges.iter().filter(|charge| charge["status"] == "OPEN").collect();
            if let Some(charge) = posted.last() {
                let path = format!("charges/{}/void", charge["id"].as_str().unwrap());
                asks(&path, json!({"reason": "By lot"})).await;
            }
        }
        14 => {
            let policy = lots.one_of(&["ANY", "ANY", "FULL_BALANCE", "BLOCK_ALL"]);
            let body = json!({"policy": policy, "reason": "By lot"});
            landlord.call(PUT, &home.path("payment-policy")).json(&body).send().await.must(200);
        }
        15 => {
            let from = landlord.app.today().tomorrow().unwrap().to_string();
            asks("rent-changes", json!({"rent_amount": lots.amount(3000), "effective_date": from})).await;
        }
        16 if lots.once_in(4) => {
            asks("terminate", json!({"end_date": landlord.app.today().to_string()})).await;
        }
        17 => {
            let mandates = home.renters[0].get(&home.path("autopay")).await.must(200);
            let Some(mandate) = mandates["data"].as_array().unwrap().last() else { return };
            let signer = home.renters.iter().position(|renter| mandate["renter_id"] == renter.id).unwrap();
            let (signer, accounts) = (&home.renters[signer], &home.accounts[signer]);
            if mandate["status"] == "REVOKED" {
                signer.post(&home.path("autopay"), &self::mandate(&key, accounts, lots)).await;
                return;
            }
            let action = lots.one_of(&["pause", "resume", "resume", "skip", "skip", "revoke"]);
            let path = home.path(&format!("autopay/{}/{action}", mandate["id"].as_str().unwrap()));
            let next = mandate["draws"].as_array().unwrap().first().map(|draw| draw["due_date"].clone());
            let body = if action == "skip" { json!({"due_date": next}) } else { Value::Null };
            signer.post(&path, &body).await;
        }
        18 => {
            let payments =
                landlord.get(&format!("/api/v1/payments/lease/{}?status=FAILED", home.lease)).await.must(200);
            let Some(payment) = payments["data"].as_array().unwrap().first() else { return };
            let path = format!("/api/v1/payments/{}/retry", payment["id"].as_str().unwrap());
            home.renters[0].call(POST, &path).send().await;
        }
        19 => {
            let item = json!({"description": "Cleaning", "amount": lots.amount(300)});
            asks("deposit-return", json!({"deductions": [item], "rail": "INSTANT", "payee_id": home.renters[0].id}))
                .await;
        }
        _ => {
            landlord.call(GET, &home.path("quote?amount=100")).send().await.must(200);
        }
    }
}

/// A renter pays: what is left, or any amount; and sometimes hangs up before the answer and asks again.
async fn pays(home: &Home<'_>, key: &str, lots: &mut Lots) {
    let at = usize::try_from(lots.below(u64::try_from(home.renters.len()).unwrap())).unwrap();
    let renter = &home.renters[at];
    let balance = renter.get(&home.path("balance")).await["balance"].as_str().unwrap().to_owned();
    let is_owed = !balance.starts_with('-') && balance != "0.00";
    let amount = if is_owed && !lots.once_in(3) { balance } else { lots.amount(1500) };
    let body = json!({
        "lease_id": home.lease, "amount": amount, "rail": lots.one_of(&RAILS),
        "payer_account_id": home.accounts[at][usize::from(lots.once_in(4))],
    });
    if !lots.once_in(3) {
        renter.pay(key, &body).await;
        return;
    }
    let patience = Duration::from_micros(500 * lots.below(20));
    let _hung_up = tokio::time::timeout(patience, renter.pay(key, &body)).await;
    let (one, other) = tokio::join!(renter.pay(key, &body), renter.pay(key, &body));
    assert_eq!((one.status < 300, one["id"].clone()), (other.status < 300, other["id"].clone()), "{}", other.text);
}
