use serde_json::{Value, json};

use super::{HOOKS, deliveries, feed, head, hook, hook_for, path, time_passes, until_there_are};
use crate::harness::{
    Answer, PATCH, Received, Receiver, Reply, Verifier, Visitor, assert_id, assert_time, keys, on_both, until,
};

async fn told(who: &Visitor<'_>, webhook: &Answer, what: &str) -> Answer {
    who.post(&format!("{}/{what}", path(webhook)), &Value::Null).await
}

fn of_payments(feed: Vec<Value>) -> Vec<Value> {
    feed.into_iter().filter(|event| !event["payment_id"].is_null()).collect()
}

fn positions(received: &[Received]) -> Vec<i64> {
    let mut positions: Vec<i64> = received.iter().map(|of| of.data()["position"].as_i64().unwrap()).collect();
    positions.sort_unstable();
    positions
}

#[test]
fn a_webhook_is_made_shown_changed_and_deleted() {
    on_both(async |app| {
        let landlord = app.sign_up("LANDLORD").await;
        let body = json!({
            "url": "https://Example.com:443/a/../hook?x=1", "description": " Accounting ",
            "event_types": ["rent_changed", "payment_completed"],
        });
        let made = landlord.post(HOOKS, &body).await.must(201);
        assert_eq!(made.header("location"), Some(path(&made).as_str()));
        assert_id(&made["id"]);
        assert_time(&made["created_at"]);
        assert!(made.text_of("secret").starts_with("whsec_") && made.text_of("public_key").starts_with("whpk_"));
        let read = landlord.get(&path(&made)).await.must(200);
        assert_eq!(
            keys(&read.body),
            "after created_at description disabled_because event_types failing_since id previous_public_key \
             previous_until public_key status url user_id"
        );
        assert_eq!(keys(&made.body), keys(&read.body).replace("public_key status", "public_key secret status"));
        assert_eq!(read["url"], "https://example.com/hook?x=1");
        assert_eq!((&read["description"], &read["status"]), (&json!("Accounting"), &json!("ENABLED")));
        assert_eq!(read["event_types"], json!(["payment_completed", "rent_changed"]));
        assert_eq!(landlord.get(HOOKS).await.must(200).rows(), std::slice::from_ref(&read.body));

        let change = json!({"url": "https://example.com/other", "event_types": []});
        let changed = landlord.call(PATCH, &path(&made)).json(&change).send().await.must(200);
        assert_eq!((&changed["url"], &changed["event_types"]), (&change["url"], &json!([])));
        assert_eq!(changed["description"], "Accounting");
        for (what, status) in [("pause", "PAUSED"), ("pause", "PAUSED"), ("resume", "ENABLED"), ("resume", "ENABLED")] {
            assert_eq!(told(&landlord, &made, what).await.must(200)["status"], status);
        }
        // Administrators may look, and stop it; what is sent where is its owner's.
        let admin = app.admin().await;
        admin.get(&path(&made)).await.must(200);
        told(&admin, &made, "pause").await.must(200);
        for what in ["resume", "rotate-secret", "test"] {
            told(&admin, &made, what).await.refuses(404, "not_found");
        }
        told(&landlord, &made, "test").await.refuses(409, "wrong_status");
        landlord.call(reqwest::Method::DELETE, &path(&made)).send().await.must(204);
        landlord.call(reqwest::Method::DELETE, &path(&made)).send().await.refuses(404, "not_found");
        landlord.get(&path(&made)).await.refuses(404, "not_found");
        assert!(landlord.get(HOOKS).await.must(200).rows().is_empty());
    });
}

#[test]
fn nobody_has_more_than_ten() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let body = json!({"url": "https://example.com/"});
        for _ in 0..10 {
            renter.post(HOOKS, &body).await.must(201);
        }
        renter.post(HOOKS, &body).await.refuses(409, "too_many_webhooks");
    });
}

#[test]
fn what_happens_during_a_pause_is_told_afterwards() {
    on_both(async |app| {
        let home = app.home().await;
        let before = head(app).await;
        let (receiver, other) = (Receiver::willing().await, Receiver::willing().await);
        let made = hook(&home.landlord, &receiver).await;
        let running = hook(&home.renter, &other).await;
        home.paid("told").await;
        receiver.has(3).await;
        told(&home.landlord, &made, "pause").await.must(200);
        home.paid("paused").await;
        other.has(6).await;
        until_there_are(6, "DELIVERED", &home.renter, &running).await;
        assert_eq!(receiver.received().len(), 3);
        told(&home.landlord, &made, "resume").await.must(200);
        receiver.has(6).await;
        home.paid("resumed").await;
        let expected: Vec<i64> = (before + 1..=before + 9).collect();
        assert_eq!(positions(&receiver.has(9).await), expected);
        assert_eq!(positions(&other.has(9).await), expected);
        // All are paused, and go on where each was.
        for (who, hook) in [(&home.landlord, &made), (&home.renter, &running)] {
            told(who, hook, "pause").await.must(200);
        }
        home.paid("quiet").await;
        head(app).await;
        for (who, hook) in [(&home.landlord, &made), (&home.renter, &running)] {
            told(who, hook, "resume").await.must(200);
        }
        receiver.has(12).await;
        other.has(12).await;
    });
}

#[test]
fn a_webhook_begins_now_or_at_a_position_in_the_feed() {
    on_both(async |app| {
        let home = app.home().await;
        home.paid("one").await;
        let one = head(app).await;
        home.paid("two").await;
        head(app).await;
        let receivers = [Receiver::willing().await, Receiver::willing().await, Receiver::willing().await];
        let all = json!({"url": receivers[0].url(), "after": 0});
        let part =
            json!({"url": receivers[1].url(), "after": one, "event_types": ["payment_initiated", "payment_completed"]});
        home.renter.post(HOOKS, &all).await.must(201);
        home.renter.post(HOOKS, &part).await.must(201);
        hook(&home.renter, &receivers[2]).await;
        home.paid("three").await;
        head(app).await;
        let shown = feed(&home.renter).await;
        until("all has come", async || receivers[0].received().len() == shown.len()).await;
        let wanted: Vec<i64> = shown.iter().map(|event| event["position"].as_i64().unwrap()).collect();
        assert_eq!(positions(&receivers[0].received()), wanted);
        assert_eq!(receivers[1].has(4).await.len(), 4);
        assert!(positions(&receivers[1].received()).iter().all(|position| one < *position));
        let last: Vec<i64> = of_payments(shown)[6..].iter().map(|event| event["position"].as_i64().unwrap()).collect();
        assert_eq!(positions(&receivers[2].has(3).await), last);
    });
}

#[test]
fn for_a_day_two_secrets_hold() {
    on_both(async |app| {
        let home = app.home().await;
        head(app).await;
        let receiver = Receiver::willing().await;
        let made = hook_for(&home.landlord, &receiver, &["payment_completed"]).await;
        let rotated = told(&home.landlord, &made, "rotate-secret").await.must(200);
        assert_ne!(rotated["secret"], made["secret"]);
        assert_eq!(rotated["previous_public_key"], made["public_key"]);
        home.paid("both").await;
        let both = receiver.has(1).await.remove(0);
        let now_s = app.clock.process_us() / 1_000_000;
        for secret in [&made, &rotated] {
            assert_eq!(Verifier::new(secret).verify(&both, now_s), Ok(()));
        }
        let mut tx = app.db().begin().await.unwrap();
        tx.execute("UPDATE webhooks SET previous_until = 1", ()).await.unwrap();
        tx.commit().await.unwrap();
        assert!(home.landlord.get(&path(&made)).await["previous_public_key"].is_null());
        home.paid("new").await;
        let new = receiver.has(2).await.remove(1);
        assert!(Verifier::new(&made).verify(&new, now_s).is_err());
        assert_eq!(Verifier::new(&rotated).verify(&new, now_s), Ok(()));
    });
}

#[test]
fn something_is_sent_again_alone_or_with_its_neighbours() {
    on_both(async |app| {
        let home = app.home().await;
        let before = head(app).await;
        let receiver = Receiver::willing().await;
        let made = hook(&home.landlord, &receiver).await;
        home.paid("one").await;
        until_there_are(3, "DELIVERED", &home.landlord, &made).await;
        let first = receiver.received().remove(0);
        let resend = format!("{}/deliveries/{}/resend", path(&made), first.id());
        assert_eq!(home.landlord.post(&resend, &Value::Null).await.must(200)["status"], "WAITING");
        until_there_are(3, "DELIVERED", &home.landlord, &made).await;
        let again = receiver.has(4).await.remove(3);
        assert_eq!((again.id(), &again.body), (first.id(), &first.body));

        let range = format!("{}/resend", path(&made));
        let body = json!({"after": before + 1, "through": before + 1_000});
        let resent = home.landlord.post(&range, &body).await.must(200);
        assert_eq!((&resent["resent"], &resent["through"]), (&json!(2), &json!(before + 1_000)));
        let received = receiver.has(6).await;
        assert_eq!([received[4].id(), received[5].id()], [received[1].id(), received[2].id()]);
        let nothing = home.landlord.post(&range, &json!({"after": 0, "through": 0})).await.must(200);
        assert_eq!(nothing["resent"], 0);
        until_there_are(3, "DELIVERED", &home.landlord, &made).await;
    });
}

#[test]
fn what_waits_can_be_hurried() {
    on_both(async |app| {
        let home = app.home().await;
        head(app).await;
        let receiver = Receiver::start(|_, before| Reply::Status(if before.is_empty() { 500 } else { 200 })).await;
        let made = hook_for(&home.landlord, &receiver, &["payment_completed"]).await;
        home.paid("one").await;
        let waiting = async || deliveries(&home.landlord, &made).await;
        until("it was tried", async || waiting().await.iter().any(|of| of["attempts"] == 1)).await;
        let resend = format!("{}/deliveries/{}/resend", path(&made), waiting().await[0]["id"].as_str().unwrap());
        home.landlord.post(&resend, &Value::Null).await.must(200);
        until_there_are(1, "DELIVERED", &home.landlord, &made).await;
        assert_eq!(waiting().await[0]["attempts"], 2);
    });
}

#[test]
fn a_test_is_sent_whatever_is_wanted() {
    on_both(async |app| {
        let renter = app.sign_up("RENTER").await;
        let receiver = Receiver::willing().await;
        let made = hook_for(&renter, &receiver, &["payment_completed"]).await;
        let sent = told(&renter, &made, "test").await.must(201);
        assert_eq!((&sent["event_type"], &sent["position"]), (&json!("webhook_test"), &Value::Null));
        let received = receiver.has(1).await.remove(0);
        assert!(
            received.is_test() && received.data() == json!({"webhook_id": made.id()}) && received.id() == sent.id()
        );
        until_there_are(1, "DELIVERED", &renter, &made).await;
        renter.get(sent.header("location").unwrap()).await.must(200);
    });
}

#[test]
fn what_is_deleted_gets_nothing_more() {
    on_both(async |app| {
        let home = app.home().await;
        head(app).await;
        let receiver = Receiver::start(|_, _| Reply::Status(500)).await;
        let made = hook(&home.landlord, &receiver).await;
        home.paid("one").await;
        until("it was tried", async || !receiver.received().is_empty()).await;
        home.landlord.call(reqwest::Method::DELETE, &path(&made)).send().await.must(204);
        let tried = receiver.received().len();
        time_passes(app).await;
        home.paid("two").await;
        // Somebody else is told, and it is not.
        head(app).await;
        let (other, count) = (Receiver::willing().await, 3);
        hook(&home.landlord, &other).await;
        home.paid("three").await;
        other.has(count).await;
        assert!(receiver.received().len() <= tried);
    });
}
