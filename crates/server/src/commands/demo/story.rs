//! Bob pays Alice.

use std::time::Duration;

use anyhow::{Context, ensure};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use super::visitor::{Visitor, read, text};
use crate::clock::Stopwatch;

/// A payment that takes longer than this is not as it should be.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tells the story against the server at `base` and brings back the people in it.
pub(super) async fn tell(base: &str) -> anyhow::Result<[Visitor; 2]> {
    println!("DirectPay, listening on {base}, on a database that was empty a moment ago.");

    step(1, "Two people sign up and sign in.");
    let alice = Visitor::arrive(base, "Alice Archer", "alice@example.com", "LANDLORD").await?;
    let bob = Visitor::arrive(base, "Bob Baker", "bob@example.com", "RENTER").await?;
    println!("   Alice is a landlord, Bob is a renter.");

    step(2, "Each links a bank account; the numbers are kept under lock.");
    link(&alice, "First Landlord Bank", "CHECKING", "021000021", "900000004321").await?;
    link(&bob, "Renters Credit Union", "SAVINGS", "011401533", "900000001234").await?;

    step(3, "Alice enters a flat and signs a lease with Bob. Its schedule appears.");
    let lease = sign_lease(&alice, &bob).await?;

    step(4, "Bob pays the first rent by instant transfer, and clicks twice.");
    let payment = pay_twice(&bob, &lease).await?;

    step(5, "Workers hand it to the (simulated) bank; the money moves.");
    watch(&bob, &payment).await?;

    step(6, "Its history, for ever:");
    history(&alice, &payment).await?;
    Ok([alice, bob])
}

fn step(number: u32, title: &str) {
    println!("\n{number}. {title}");
}

async fn link(who: &Visitor, bank: &str, kind: &str, routing: &str, number: &str) -> anyhow::Result<()> {
    let body = json!({
        "bank_name": bank, "account_type": kind, "routing_number": routing, "account_number": number,
        "account_holder_name": who.email,
    });
    let account = who.post("/api/v1/bank-accounts/", body).await?;
    let (token, last4) = (text(&account, "token")?, text(&account, "last4")?);
    ensure!(number.ends_with(&last4) && !account.to_string().contains(number), "the account number shows");
    println!("   {:<18} {bank}, …{last4}, known as {token}", who.email);
    Ok(())
}

async fn sign_lease(alice: &Visitor, bob: &Visitor) -> anyhow::Result<Value> {
    let address =
        json!({"address": "12 Maple Street", "unit": "2B", "city": "Portland", "state": "OR", "zip_code": "97205"});
    let property = alice.post("/api/v1/properties/", address).await?;
    let terms = json!({
        "property_id": text(&property, "id")?, "renter_id": bob.id, "rent_amount": "1500.00", "payment_due_day": 1,
        "start_date": "2026-01-17", "end_date": "2026-06-30",
    });
    let lease = alice.post("/api/v1/leases/", terms).await?;
    let schedule = lease["schedule"].as_array().context("the lease has no schedule")?;
    ensure!(schedule.len() == 6, "the schedule has {} rows instead of 6", schedule.len());
    ensure!(schedule[0]["amount"] == "725.81", "15 of 31 days of 1500.00 are 725.81");
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["Due", "From", "To", "Amount"]);
    for row in schedule {
        table.add_row(["due_date", "period_start", "period_end", "amount"].map(|field| plain(&row[field])));
    }
    if let Some(column) = table.column_mut(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    Ok(lease)
}

async fn pay_twice(bob: &Visitor, lease: &Value) -> anyhow::Result<String> {
    let request = json!({"lease_id": text(lease, "id")?, "amount": "725.81", "rail": "INSTANT"});
    let key = "rent-january-2026";
    let first = bob.post_with_key("/api/v1/payments/", key, &request).await?;
    ensure!(first.status() == reqwest::StatusCode::CREATED, "the first click answered {}", first.status());
    let first = read(first).await?;
    println!("   first click:  201, payment {} is {}", plain(&first["id"]), plain(&first["status"]));

    let second = bob.post_with_key("/api/v1/payments/", key, &request).await?;
    ensure!(second.status() == reqwest::StatusCode::OK, "the second click answered {}", second.status());
    ensure!(second.headers().get("Idempotent-Replayed").is_some(), "the second click is not marked as a replay");
    let second = read(second).await?;
    ensure!(first["id"] == second["id"], "two clicks made two payments");
    println!("   second click: 200, Idempotency key already exists. Returning existing payment.");

    let all = bob.get("/api/v1/payments/").await?;
    ensure!(all["data"].as_array().map(Vec::len) == Some(1), "there is more than one payment");
    text(&first, "id")
}

async fn watch(bob: &Visitor, payment: &str) -> anyhow::Result<()> {
    let started = Stopwatch::start();
    let mut last = String::new();
    while last != "COMPLETED" {
        ensure!(started.elapsed() < PATIENCE, "the payment is still {last}");
        let now = bob.get(&format!("/api/v1/payments/{payment}")).await?;
        let status = text(&now, "status")?;
        ensure!(!matches!(status.as_str(), "FAILED" | "RETURNED" | "CANCELLED"), "the payment is {status}");
        if status != last {
            println!("   after {:>4} ms: {status}", started.elapsed().as_millis());
            last = status;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn history(alice: &Visitor, payment: &str) -> anyhow::Result<()> {
    let history = alice.get(&format!("/api/v1/payments/{payment}/history")).await?;
    let events = history["events"].as_array().context("there is no history")?;
    let types: Vec<_> = events.iter().map(|event| plain(&event["event_type"])).collect();
    ensure!(
        types == ["payment_initiated", "payment_processing", "payment_completed"],
        "the history is not as it should be: {types:?}"
    );
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["#", "When", "What", "From", "To", "Who"]);
    for event in events {
        let actor = &event["actor"];
        let who = if actor["name"].is_null() { &actor["id"] } else { &actor["name"] };
        table.add_row([
            plain(&event["sequence"]),
            plain(&event["occurred_at"]),
            plain(&event["event_type"]),
            plain(&event["previous_status"]),
            plain(&event["status"]),
            plain(who),
        ]);
    }
    println!("{table}");
    Ok(())
}

/// A value without its quotes; nothing for null.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
