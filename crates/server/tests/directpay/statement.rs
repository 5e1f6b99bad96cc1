//! What a lease owes, its statement, and the journal that others do the sums with.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use directpay_server::commands::export::write_journal;
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::harness::{Answer, Home, IN_TIME, TestApp, Visitor, keys, on_both, on_both_with, terms, with, without};

/// The day that the calendar shows in New York, where the properties stand.
/// A lease without an end that started three months ago, on the first.
async fn lease_of_three_months(app: &TestApp, home: &Home<'_>) -> (String, Date) {
    let property = home.landlord.add_property().await.id();
    let start = app.today().first_of_month().saturating_sub(3.months());
    let body = with(&terms(&property, &home.renter.id), "start_date", json!(start.to_string()));
    let lease = home.landlord.post("/api/v1/leases/", &without(&body, "end_date")).await.must(201);
    (lease.id(), start)
}

async fn balance(who: &Visitor<'_>, lease: &str, query: &str) -> Answer {
    who.get(&format!("/api/v1/leases/{lease}/balance{query}")).await.must(200)
}

async fn statement(who: &Visitor<'_>, lease: &str, query: &str) -> Answer {
    who.get(&format!("/api/v1/leases/{lease}/statement{query}")).await.must(200)
}

/// Date, description, amount and balance of each line.
fn told(statement: &Answer) -> Vec<String> {
    let line = |line: &Value| {
        ["date", "description", "amount", "balance"].map(|field| line[field].as_str().unwrap()).join(" | ")
    };
    statement["lines"].as_array().unwrap().iter().map(line).collect()
}

fn rent_line(due: Date, balance: &str) -> String {
    let (last, month) = (due.last_of_month(), due.strftime("%B"));
    format!("{due} | Rent 1 {month} to {} {month} {} | 1500.00 | {balance}", last.day(), due.year())
}

#[test]
fn a_lease_of_three_months_and_one_payment() {
    on_both(async |app| {
        let home = app.home().await;
        let (lease, start) = lease_of_three_months(app, &home).await;
        let rent = json!({"lease_id": lease, "amount": "2000.00", "rail": "INSTANT"});
        let payment = home.renter.pay("rent", &rent).await.must(201).id();
        home.renter.wait_until(&payment, "COMPLETED").await;
        let today = app.today();

        let now = balance(&home.renter, &lease, "").await;
        let next_is_near = start.saturating_add(4.months()) <= today.saturating_add(14.days());
        let upcoming = if next_is_near { "1500.00" } else { "0.00" };
        assert_eq!(
            now.body,
            json!({
                "lease_id": lease, "as_of": today.to_string(), "currency": "USD", "balance": "4000.00",
                "open": "4000.00", "credit": "0.00", "on_the_way": "0.00", "upcoming": upcoming,
            })
        );
        assert_eq!(balance(&home.landlord, &lease, &format!("?as_of={today}")).await.body, now.body);
        let second = start.saturating_add(1.month());
        for (as_of, expected) in [
            (start.yesterday().unwrap(), "0.00"),
            (start, "1500.00"),
            (second.yesterday().unwrap(), "1500.00"),
            (second, "3000.00"),
        ] {
            let then = balance(&home.renter, &lease, &format!("?as_of={as_of}")).await;
            assert_eq!((&then["balance"], &then["as_of"]), (&json!(expected), &json!(as_of.to_string())));
            assert!(
                ["open", "credit", "on_the_way", "upcoming"].iter().all(|field| then[*field].is_null()),
                "{}",
                then.text
            );
        }
        let tomorrow = format!("/api/v1/leases/{lease}/balance?as_of={}", today.tomorrow().unwrap());
        assert_eq!(
            home.renter.get(&tomorrow).await.refuses(400, "invalid_query").fields(),
            [("as_of", "in_the_future")]
        );

        let whole = statement(&home.renter, &lease, "").await;
        assert_eq!(statement(&home.landlord, &lease, "?format=json").await.body, whole.body);
        assert_eq!(
            app.admin().await.get(&format!("/api/v1/leases/{lease}/statement")).await.must(200).body,
            whole.body
        );
        let due = |months: i64| start.saturating_add(months.months());
        let expected = [
            rent_line(due(0), "1500.00"),
            rent_line(due(1), "3000.00"),
            rent_line(due(2), "4500.00"),
            rent_line(due(3), "6000.00"),
            format!("{today} | Payment by INSTANT | -2000.00 | 4000.00"),
        ];
        assert_eq!(told(&whole), expected);
        assert_eq!((&whole["opening_balance"], &whole["closing_balance"]), (&json!("0.00"), &json!("4000.00")));
        assert_traceable(&whole, &lease, &payment);
        assert_says_nothing_of_accounts(&whole, &home);

        let part = format!("?from={second}&to={}", due(2).yesterday().unwrap());
        let part = statement(&home.renter, &lease, &part).await;
        assert_eq!(told(&part), expected[1..2]);
        assert_eq!((&part["opening_balance"], &part["closing_balance"]), (&json!("1500.00"), &json!("3000.00")));
        let before = statement(&home.renter, &lease, "?to=2000-01-01").await;
        assert_eq!((told(&before).len(), &before["closing_balance"]), (0, &json!("0.00")));
        let after = statement(&home.renter, &lease, "?from=2199-01-01").await;
        assert_eq!((told(&after).len(), &after["opening_balance"]), (0, &json!("4000.00")));
        csv_says_the_same(&home, &lease, &whole).await;
    });
}

/// Each line names an event of the lease or of the payment.
fn assert_traceable(statement: &Answer, lease: &str, payment: &str) {
    let lines = statement["lines"].as_array().unwrap();
    for line in lines {
        assert_eq!(
            keys(line),
            "amount balance charge_id date description occurred_at payment_id sequence stream stream_id"
        );
        let id = if line["stream"] == "LEASE" { lease } else { payment };
        assert_eq!(line["stream_id"], id);
        assert!(1 <= line["sequence"].as_i64().unwrap());
        assert_eq!(line["payment_id"].is_null(), line["stream"] == "LEASE");
        assert_eq!(line["charge_id"].is_null(), line["stream"] == "PAYMENT");
    }
    assert!(lines.iter().any(|line| line["stream"] == "PAYMENT" && line["sequence"] == 2));
}

fn assert_says_nothing_of_accounts(statement: &Answer, home: &Home<'_>) {
    for secret in [home.landlord_account.as_str(), &home.renter_account, "6789", "4321", "First Rental Bank", "cash:"] {
        // Four digits may stand in an id by chance.
        let is_there = statement["lines"].as_array().unwrap().iter().any(|line| {
            line["description"].as_str().unwrap().contains(secret)
                || secret.len() != 4 && line.to_string().contains(secret)
        });
        assert!(!is_there, "{secret} stands in {}", statement.text);
    }
}

async fn csv_says_the_same(home: &Home<'_>, lease: &str, whole: &Answer) {
    let file = statement(&home.renter, lease, "?format=CSV").await;
    assert_eq!(file.header("content-type"), Some("text/csv; charset=utf-8"));
    let name = format!("attachment; filename=\"statement-{lease}.csv\"");
    assert_eq!(file.header("content-disposition"), Some(name.as_str()));
    let mut reader = csv::Reader::from_reader(file.text.as_bytes());
    let rows: Vec<BTreeMap<String, String>> = reader.deserialize().collect::<Result<_, _>>().unwrap();
    let lines = whole["lines"].as_array().unwrap();
    assert_eq!(rows.len(), lines.len() + 2);
    assert_eq!((rows[0]["description"].as_str(), rows[0]["balance"].as_str()), ("Opening balance", "0.00"));
    assert_eq!(rows.last().unwrap()["balance"], "4000.00");
    for (row, line) in rows[1..].iter().zip(lines) {
        for (field, value) in line.as_object().unwrap() {
            let text = value
                .as_str()
                .map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, Into::into);
            assert_eq!(row[field], text, "{field}");
        }
    }
}

#[test]
fn a_statement_on_paper_says_what_the_others_say() {
    on_both(async |app| {
        let home = app.home().await;
        let (lease, _) = lease_of_three_months(app, &home).await;
        let rent = json!({"lease_id": lease, "amount": "2000.00", "rail": "INSTANT"});
        let payment = home.renter.pay("rent", &rent).await.must(201).id();
        home.renter.wait_until(&payment, "COMPLETED").await;
        let whole = statement(&home.renter, &lease, "").await;
        let events = home.renter.get(&format!("/api/v1/leases/{lease}/history")).await.must(200);
        let last_event = &events["events"].as_array().unwrap().last().unwrap()["sequence"];

        for who in [&home.renter, &home.landlord] {
            let pages = pdf(app, who, &lease, "?format=pdf").await;

            assert_eq!(pages.len(), 1);
            for line in whole["lines"].as_array().unwrap() {
                for field in ["date", "description"] {
                    assert!(pages[0].contains(line[field].as_str().unwrap()), "{line} is not in {}", pages[0]);
                }
            }
            for said in ["Person 0", "Person 1", "4,000.00", "6,000.00", "Page 1 of 1", &lease] {
                assert!(pages[0].contains(said), "{said} is not in {}", pages[0]);
            }
            assert!(pages[0].contains(&format!("up to event {last_event} of the lease")), "{}", pages[0]);
            for secret in ["6789", "4321", "First Rental Bank"] {
                assert!(!pages[0].replace(&lease, "").contains(secret), "{secret} is in {}", pages[0]);
            }
        }
        let before = pdf(app, &home.renter, &lease, "?format=PDF&to=2000-01-01").await;
        assert!(before[0].contains("From the beginning to 1 January 2000"), "{}", before[0]);
    });
}

/// What stands on each page of the statement as PDF.
async fn pdf(app: &TestApp, who: &Visitor<'_>, lease: &str, query: &str) -> Vec<String> {
    let path = app.address(&format!("/api/v1/leases/{lease}/statement{query}"));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(path).bearer_auth(&who.token).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.headers()["content-type"], "application/pdf");
    let name = format!("attachment; filename=\"statement-{lease}.pdf\"");
    assert_eq!(answer.headers()["content-disposition"], name.as_str());
    let document = lopdf::Document::load_mem(&answer.bytes().await.unwrap()).unwrap();
    document.get_pages().keys().map(|page| document.extract_text(&[*page]).unwrap()).collect()
}

#[test]
fn money_on_its_way_counts_and_what_is_paid_ahead_is_credit() {
    on_both_with(IN_TIME, async |app| {
        let home = app.home().await;
        let (lease, _) = lease_of_three_months(app, &home).await;
        let rent = json!({"lease_id": lease, "amount": "7000.00", "rail": "STANDARD_ACH"});
        let payment = home.renter.pay("rent", &rent).await.must(201).id();
        home.renter.wait_until(&payment, "PROCESSING").await;

        let now = balance(&home.renter, &lease, "").await;

        let field = |name: &str| now[name].as_str().unwrap();
        assert_eq!([field("balance"), field("open"), field("credit")], ["-1000.00", "0.00", "1000.00"]);
        assert_eq!(field("on_the_way"), "7000.00");
        assert_eq!(statement(&home.renter, &lease, "").await["closing_balance"], "-1000.00");
    });
}

#[test]
fn an_exported_journal_has_the_sums_of_the_ledger() {
    on_both(async |app| {
        let home = app.home().await;
        let other = app.home().await;
        let (lease, _) = lease_of_three_months(app, &home).await;
        let bad = home.renter.link_account("000555555559").await.id();
        let closed = home.renter.link_account("000111111113").await.id();
        for (key, account, status) in
            [("good", &home.renter_account, "COMPLETED"), ("returns", &bad, "RETURNED"), ("fails", &closed, "FAILED")]
        {
            let rent =
                json!({"lease_id": lease, "amount": "1500.05", "rail": "STANDARD_ACH", "payer_account_id": account});
            let payment = home.renter.pay(key, &rent).await.must(201).id();
            home.renter.wait_until(&payment, status).await;
        }
        other.paid("rent").await;

        let (mut all, mut own) = (Vec::new(), Vec::new());
        write_journal(app.db(), None, &mut all).await.unwrap();
        write_journal(app.db(), Some(home.landlord.id.parse().unwrap()), &mut own).await.unwrap();

        let expected = sums_of_postings(app).await;
        let all = String::from_utf8(all).unwrap();
        assert_eq!(read_journal(&all), expected);
        let file = app.folder.path().join("books.journal");
        std::fs::write(&file, &all).unwrap();
        match sums_by_hledger(&file) {
            Some(sums) => assert_eq!(sums, expected.into_iter().filter(|(_, minor)| *minor != 0).collect()),
            None => println!("hledger is not installed: its sums are not compared"),
        }
        let own = read_journal(&String::from_utf8(own).unwrap());
        assert_eq!(own[&format!("assets:receivable:{lease}")], 450_000 - 5);
        assert!(!own.contains_key(&format!("assets:receivable:{}", other.lease)));
        assert!(!own.contains_key(&format!("assets:cash:{}", other.landlord_account)));
    });
}

/// What SQL makes of the postings: each account under its name in a journal.
async fn sums_of_postings(app: &TestApp) -> BTreeMap<String, i64> {
    let mut tx = app.db().begin_read().await.unwrap();
    let rows: Vec<(String, i64)> = tx
        .fetch_all(
            "SELECT account, CAST(SUM(amount) AS BIGINT) FROM (
                 SELECT debit AS account, amount FROM postings UNION ALL SELECT credit, -amount FROM postings) AS lines
             GROUP BY account",
            (),
        )
        .await
        .unwrap();
    let named = |account: &str| {
        let (kind, whose) = account.split_once(':').unwrap();
        let group = match kind {
            "income" => "income:rent".to_owned(),
            kind => format!("assets:{kind}"),
        };
        format!("{group}:{whose}")
    };
    rows.into_iter().map(|(account, minor)| (named(&account), minor)).collect()
}

/// Reads a journal as it is written here: the transactions are in order, and each sums to zero.
fn read_journal(text: &str) -> BTreeMap<String, i64> {
    let mut sums = BTreeMap::new();
    let mut dates = Vec::new();
    for transaction in text.split("\n\n").skip(1) {
        let mut lines = transaction.lines();
        let first = lines.next().unwrap();
        dates.push(first[..10].parse::<Date>().unwrap());
        let (_, tags) = first.split_once("  ; stream:").unwrap();
        assert!(tags.contains("stream_id:") && tags.contains("sequence:"), "{first}");
        let mut sum = 0;
        for line in lines {
            let (account, amount) = line.trim().split_once("  USD ").unwrap();
            *sums.entry(account.to_owned()).or_default() += cents(amount);
            sum += cents(amount);
        }
        assert_eq!(sum, 0, "{transaction}");
    }
    assert!(dates.is_sorted() && 10 <= dates.len(), "{dates:?}");
    sums
}

fn cents(amount: &str) -> i64 {
    let (whole, decimals) = amount.split_once('.').unwrap();
    assert_eq!(decimals.len(), 2, "{amount}");
    format!("{whole}{decimals}").parse().unwrap()
}

/// The balances that `hledger` computes; none where it is not installed.
fn sums_by_hledger(file: &Path) -> Option<BTreeMap<String, i64>> {
    let ran = Command::new("hledger").arg("-f").arg(file).args(["bal", "--no-total", "-O", "csv"]).output();
    let output = match ran {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{error}"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut reader = csv::Reader::from_reader(output.stdout.as_slice());
    let row = |row: csv::StringRecord| (row[0].to_owned(), cents(row[1].strip_prefix("USD ").unwrap()));
    Some(reader.records().map(|record| row(record.unwrap())).collect())
}
