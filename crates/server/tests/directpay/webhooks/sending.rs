use std::collections::HashMap;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::{deliveries, feed, head, hook, hook_for, log_of, path, time_passes, until_there_are};
use crate::harness::{Doubt, Received, Receiver, Reply, Verifier, keys, on_both, until};

fn sorted_by_position(received: &[Received]) -> Vec<Value> {
    let mut data: Vec<Value> = received.iter().map(Received::data).collect();
    data.sort_by_key(|data| data["position"].as_i64());
    data
}

#[test]
fn what_the_feed_shows_is_sent_to_those_who_may_see_it_and_can_be_verified() {
    on_both(async |app| {
        let (home, other) = (app.home().await, app.home().await);
        let admin = app.admin().await;
        head(app).await;
        let receivers = [Receiver::willing().await, Receiver::willing().await, Receiver::willing().await];
        let people = [&home.landlord, &home.renter, &admin];
        let mut hooks = Vec::new();
        for (who, receiver) in people.iter().zip(&receivers) {
            hooks.push(hook(who, receiver).await);
        }
        let payment = home.paid("one").await.id();
        other.paid("another").await;
        let now_s = app.clock.process_us() / 1_000_000;
        for (at, count) in [3, 3, 6].into_iter().enumerate() {
            let received = receivers[at].has(count).await;
            let mut verifier = Verifier::new(&hooks[at]);
            for delivery in &received {
                assert_eq!(delivery.header("content-type"), "application/json");
                assert_eq!(keys(&delivery.json()), "data timestamp type");
                assert_eq!(delivery.json()["type"], delivery.data()["event"]["event_type"]);
                assert_eq!(delivery.json()["timestamp"], delivery.data()["event"]["occurred_at"]);
                assert_eq!(verifier.verify(delivery, now_s), Ok(()));
                verified_by_the_public_key(delivery, &hooks[at].text_of("public_key"));
            }
            let shown: Vec<Value> =
                feed(people[at]).await.into_iter().filter(|event| !event["payment_id"].is_null()).collect();
            assert_eq!(sorted_by_position(&received), shown);
        }
        let mine: Vec<i64> =
            receivers[0].received().iter().map(|of| of.data()["event"]["sequence"].as_i64().unwrap()).collect();
        assert_eq!(mine, [1, 2, 3]);
        assert!(receivers[0].received().iter().all(|delivery| delivery.data()["payment_id"] == payment));
    });
}

fn verified_by_the_public_key(delivery: &Received, public_key: &str) {
    let public = BASE64.decode(public_key.strip_prefix("whpk_").unwrap()).unwrap();
    let message = format!("{}.{}.{}", delivery.id(), delivery.header("webhook-timestamp"), delivery.body);
    let signature = delivery.header("webhook-signature").split(' ').find_map(|text| text.strip_prefix("v1a,")).unwrap();
    let key = UnparsedPublicKey::new(&ED25519, public);
    key.verify(message.as_bytes(), &BASE64.decode(signature).unwrap()).unwrap();
    assert!(key.verify(format!("{message} ").as_bytes(), &BASE64.decode(signature).unwrap()).is_err());
}

#[test]
fn what_was_tampered_with_comes_late_or_twice_is_not_believed() {
    on_both(async |app| {
        let home = app.home().await;
        head(app).await;
        let receiver = Receiver::willing().await;
        let made = hook_for(&home.landlord, &receiver, &["payment_completed"]).await;
        home.paid("one").await;
        let delivery = receiver.has(1).await.remove(0);
        assert_eq!(delivery.json()["type"], "payment_completed");
        let now_s = app.clock.process_us() / 1_000_000;
        let mut verifier = Verifier::new(&made);
        let tampered = Received { body: delivery.body.replace("1500.00", "1500.01"), ..delivery.clone() };
        assert_eq!(verifier.verify(&tampered, now_s), Err(Doubt::Unsigned));
        for (header, value) in [("webhook-id", "another"), ("webhook-timestamp", "1000")] {
            let mut changed = delivery.clone();
            changed.headers.insert(header, value.parse().unwrap());
            assert_eq!(verifier.verify(&changed, now_s), Err(Doubt::Unsigned));
        }
        assert_eq!(verifier.verify(&delivery, now_s + 400), Err(Doubt::Late));
        assert_eq!(verifier.verify(&delivery, now_s), Ok(()));
        assert_eq!(verifier.verify(&delivery, now_s), Err(Doubt::Replayed));
    });
}

#[test]
fn the_events_of_a_payment_wait_for_each_other_and_those_of_others_do_not() {
    on_both(async |app| {
        let home = app.home().await;
        head(app).await;
        // The first event of the first payment is refused at first.
        let receiver = Receiver::start(|delivery, before| {
            let is_first = before.first().is_none_or(|first| first.id() == delivery.id());
            Reply::Status(if is_first && before.iter().filter(|other| other.id() == delivery.id()).count() < 2 {
                500
            } else {
                200
            })
        })
        .await;
        let made = hook(&home.landlord, &receiver).await;
        let first = home.paid("first").await.id();
        until("it was refused", async || receiver.received().len() == 1).await;
        let second = home.paid("second").await.id();
        until_there_are(3, "DELIVERED", &home.landlord, &made).await;
        let told: Vec<Value> = receiver.received().iter().map(|of| of.data()["payment_id"].clone()).collect();
        assert_eq!(told, [&first, &second, &second, &second].map(|id| json!(id)));
        let waiting = deliveries(&home.landlord, &made).await;
        assert_eq!(waiting.iter().filter(|delivery| delivery["status"] == "WAITING").count(), 3);

        time_passes(app).await;
        until("it was refused again", async || receiver.received().len() == 5).await;
        until("that is recorded", async || {
            deliveries(&home.landlord, &made).await.iter().any(|delivery| delivery["attempts"] == 2)
        })
        .await;
        time_passes(app).await;
        until_there_are(6, "DELIVERED", &home.landlord, &made).await;
        let received = receiver.received();
        let of_first: Vec<&Received> = received.iter().filter(|of| of.data()["payment_id"] == first).collect();
        let sequences: Vec<i64> = of_first.iter().map(|of| of.data()["event"]["sequence"].as_i64().unwrap()).collect();
        assert_eq!(sequences, [1, 1, 1, 2, 3]);
        // Every attempt is the same, but for its time and what follows from that.
        for again in &of_first[1..3] {
            assert_eq!((again.id(), &again.body), (of_first[0].id(), &of_first[0].body));
        }
        let log = log_of(&home.landlord, &made, of_first[0].id()).await;
        let attempts: Vec<(&Value, &Value)> = log["log"]
            .as_array()
            .unwrap()
            .iter()
            .map(|attempt| (&attempt["outcome"], &attempt["status_code"]))
            .collect();
        let (delivered, refused) = (json!("DELIVERED"), json!("REFUSED"));
        assert_eq!(attempts, [(&delivered, &json!(200)), (&refused, &json!(500)), (&refused, &json!(500))]);
        assert_eq!((&log["body"], &log["log"][0]["detail"]), (&json!(of_first[0].body), &json!("so be it")));
    });
}

#[test]
fn who_never_answers_slows_nobody_else() {
    const PAYMENTS: usize = 8;
    on_both(async |app| {
        let home = app.home().await;
        head(app).await;
        let (silent, willing) = (Receiver::start(|_, _| Reply::Never).await, Receiver::willing().await);
        hook(&home.landlord, &silent).await;
        let made = hook(&home.landlord, &willing).await;
        for number in 0..PAYMENTS {
            home.paid(&format!("payment-{number}")).await;
        }
        until_there_are(3 * PAYMENTS, "DELIVERED", &home.landlord, &made).await;
        // All of the one's were delivered while the other held on to its first few, of which it takes no more.
        assert_eq!((silent.answered(), silent.received().len()), (0, 4));
        let mut sequences: HashMap<String, Vec<i64>> = HashMap::new();
        for delivery in willing.received() {
            let data = delivery.data();
            let of = sequences.entry(data["payment_id"].to_string()).or_default();
            of.push(data["event"]["sequence"].as_i64().unwrap());
        }
        assert!(sequences.len() == PAYMENTS && sequences.values().all(|of| *of == [1, 2, 3]), "{sequences:?}");
    });
}

#[test]
fn a_receiver_that_is_gone_is_left_alone_until_it_is_resumed_and_misses_nothing() {
    on_both(async |app| {
        let home = app.home().await;
        head(app).await;
        let receiver =
            Receiver::start(|_, before| Reply::Status(if before.len() < 2 { [200, 410][before.len()] } else { 200 }))
                .await;
        let made = hook(&home.landlord, &receiver).await;
        home.paid("one").await;
        let read = async || home.landlord.get(&path(&made)).await.must(200);
        until("it is disabled", async || read().await["status"] == "DISABLED").await;
        assert_eq!(read().await["disabled_because"], "GONE");
        home.paid("two").await;
        time_passes(app).await;
        let resumed = home.landlord.post(&format!("{}/resume", path(&made)), &Value::Null).await.must(200);
        assert_eq!((&resumed["status"], &resumed["disabled_because"]), (&json!("ENABLED"), &Value::Null));
        until_there_are(6, "DELIVERED", &home.landlord, &made).await;
        assert_eq!(receiver.received().len(), 7);
        let shown: Vec<Value> =
            feed(&home.landlord).await.into_iter().filter(|event| !event["payment_id"].is_null()).collect();
        assert_eq!(sorted_by_position(&receiver.different()), shown);
    });
}

#[test]
fn a_receiver_that_asks_for_time_gets_it() {
    on_both(async |app| {
        let home = app.home().await;
        head(app).await;
        for (status, when, is_heeded) in [(429, "7200", true), (503, "7200", true), (500, "7200", false)] {
            let receiver = Receiver::start(move |_, _| Reply::Later(status, when)).await;
            let made = hook_for(&home.landlord, &receiver, &["payment_completed"]).await;
            home.paid(&format!("payment-{status}")).await;
            until("it was tried", async || {
                deliveries(&home.landlord, &made).await.iter().any(|delivery| delivery["attempts"] == 1)
            })
            .await;
            let waiting = deliveries(&home.landlord, &made).await.remove(0);
            let next: directpay_domain::time::Instant = waiting["next_attempt_at"].as_str().unwrap().parse().unwrap();
            let pause_s = (next.micros() - app.clock.process_us()) / 1_000_000;
            assert_eq!(7_000 < pause_s, is_heeded, "{pause_s}");
        }
    });
}

#[test]
fn what_was_tried_often_enough_is_given_up_and_what_waits_behind_it_goes_on() {
    on_both(async |app| {
        let home = app.home().await;
        head(app).await;
        let receiver = Receiver::start(|delivery, _| {
            Reply::Status(if delivery.json()["type"] == "payment_initiated" { 404 } else { 200 })
        })
        .await;
        let made = hook(&home.landlord, &receiver).await;
        home.paid("one").await;
        for attempts in 1..10 {
            until("it was tried", async || {
                deliveries(&home.landlord, &made).await.iter().any(|delivery| delivery["attempts"] == attempts)
            })
            .await;
            time_passes(app).await;
        }
        until_there_are(1, "GIVEN_UP", &home.landlord, &made).await;
        until_there_are(2, "DELIVERED", &home.landlord, &made).await;
        assert_eq!(receiver.received().len(), 12);
        assert!(home.landlord.get(&path(&made)).await["failing_since"].is_null());
    });
}

#[test]
fn a_webhook_that_fails_for_days_is_disabled() {
    on_both(async |app| {
        let home = app.home().await;
        head(app).await;
        let receiver = Receiver::start(|_, _| Reply::Status(302)).await;
        let made = hook(&home.landlord, &receiver).await;
        home.paid("one").await;
        let read = async || home.landlord.get(&path(&made)).await.must(200);
        until("it fails", async || !read().await["failing_since"].is_null()).await;
        assert_eq!(read().await["status"], "ENABLED");
        let mut tx = app.db().begin().await.unwrap();
        tx.execute("UPDATE webhooks SET failing_since = failing_since - 432000000000", ()).await.unwrap();
        tx.commit().await.unwrap();
        time_passes(app).await;
        until("it is disabled", async || read().await["status"] == "DISABLED").await;
        assert_eq!(read().await["disabled_because"], "FAILING");
    });
}

#[test]
fn what_was_sent_and_not_recorded_is_sent_again_alike() {
    on_both(async |app| {
        let home = app.home().await;
        head(app).await;
        let receiver =
            Receiver::start(|_, before| if before.is_empty() { Reply::Never } else { Reply::Status(200) }).await;
        let made = hook_for(&home.landlord, &receiver, &["payment_completed"]).await;
        home.paid("one").await;
        receiver.has(1).await;
        // As if its sender had died a minute ago.
        let mut tx = app.db().begin().await.unwrap();
        tx.execute("UPDATE webhook_lanes SET due_at = 0", ()).await.unwrap();
        tx.commit().await.unwrap();
        until_there_are(1, "DELIVERED", &home.landlord, &made).await;
        let received = receiver.has(2).await;
        assert_eq!((received[0].id(), &received[0].body), (received[1].id(), &received[1].body));
    });
}
