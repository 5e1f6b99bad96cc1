//! Webhooks: what is sent to whom, signed and in order, and what happens when a receiver does not want it.

mod asking;
mod sending;

use directpay_server::webhooks::addresses::Allowed;
use serde_json::{Value, json};

use crate::harness::{Answer, Receiver, TestApp, Visitor, until};

const HOOKS: &str = "/api/v1/webhooks/";

fn path(webhook: &Answer) -> String {
    format!("{HOOKS}{}", webhook.id())
}

/// Makes a webhook that is told everything from now on.
async fn hook(who: &Visitor<'_>, receiver: &Receiver) -> Answer {
    who.post(HOOKS, &json!({"url": receiver.url()})).await.must(201)
}

/// The same of some types only.
async fn hook_for(who: &Visitor<'_>, receiver: &Receiver, types: &[&str]) -> Answer {
    who.post(HOOKS, &json!({"url": receiver.url(), "event_types": types})).await.must(201)
}

async fn deliveries(who: &Visitor<'_>, webhook: &Answer) -> Vec<Value> {
    who.get(&format!("{}/deliveries?limit=100", path(webhook))).await.must(200).rows().to_vec()
}

async fn log_of(who: &Visitor<'_>, webhook: &Answer, delivery: &str) -> Answer {
    who.get(&format!("{}/deliveries/{delivery}", path(webhook))).await.must(200)
}

/// Waits until so many deliveries of a webhook stand at `status`.
async fn until_there_are(count: usize, status: &str, who: &Visitor<'_>, webhook: &Answer) {
    until(&format!("{count} deliveries are {status}"), async || {
        deliveries(who, webhook).await.iter().filter(|delivery| delivery["status"] == status).count() == count
    })
    .await;
}

/// All pauses are over.
async fn time_passes(app: &TestApp) {
    let mut tx = app.db().begin().await.unwrap();
    tx.execute("UPDATE webhook_lanes SET due_at = 0 WHERE taking IS NULL", ()).await.unwrap();
    tx.commit().await.unwrap();
}

/// What the feed shows somebody.
async fn feed(who: &Visitor<'_>) -> Vec<Value> {
    who.get("/api/v1/events?limit=1000").await.must(200).rows().to_vec()
}

async fn head(app: &TestApp) -> i64 {
    app.come_to_rest().await;
    let mut tx = app.db().begin_read().await.unwrap();
    directpay_store::feed::head(&mut tx).await.unwrap()
}

#[test]
fn without_a_word_of_the_operator_nothing_is_allowed() {
    assert_eq!("".parse(), Ok(Allowed::default()));
}
