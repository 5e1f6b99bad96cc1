//! The feed over HTTP: pulled page by page, and listened to.

use std::time::Duration;

use directpay_domain::id::UserId;
use directpay_domain::time::SECOND_US;
use directpay_domain::user::Role;
use directpay_server::access::tokens::{ACCESS_SECONDS, Identity};
use directpay_server::clock::new_id;
use directpay_server::feed::LISTENERS_OF_ONE_MAX;
use reqwest::Response;
use serde_json::{Value, json};

use crate::harness::{Call, GET, Home, Visitor, keys, on_both, on_sqlite, until};

const PATH: &str = "/api/v1/events";
const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that somebody sees, page by page.
async fn pulled(who: &Visitor<'_>, limit: usize) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let page = who.get(&format!("{PATH}?after={after}&limit={limit}")).await.must(200);
        assert_eq!(keys(&page.body), "data has_more next");
        assert!(page.rows().len() <= limit);
        events.extend(page.rows().iter().cloned());
        let next = page["next"].as_i64().unwrap();
        assert!(after <= next && events.last().is_none_or(|last| last["position"].as_i64().unwrap() <= next));
        after = next;
        if page["has_more"] == false {
            return events;
        }
    }
}

/// Waits until somebody sees so many events of payments, and gives back all.
async fn pulled_when_there_are(who: &Visitor<'_>, count: usize) -> Vec<Value> {
    let of_payments = |events: &[Value]| events.iter().filter(|event| !event["payment_id"].is_null()).count();
    until("the events are in the feed", async || of_payments(&pulled(who, 1_000).await) == count).await;
    pulled(who, 7).await
}

fn positions(events: &[Value]) -> Vec<i64> {
    events.iter().map(|event| event["position"].as_i64().unwrap()).collect()
}

/// What a listener hears.
#[derive(Debug, Clone, PartialEq)]
struct Heard {
    id: i64,
    event: String,
    data: Value,
}

/// An open connection to the feed.
struct Listener {
    response: Response,
    buffer: String,
}

impl Listener {
    async fn open(call: Call<'_>) -> Listener {
        let response = call.open().await;
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "text/event-stream");
        assert_eq!((header("x-accel-buffering"), header("cache-control")), ("no".into(), "no-cache".into()));
        Listener { response, buffer: String::new() }
    }

    /// The next block of lines; None at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                return Some(block);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("nothing was said");
            self.buffer.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    async fn next(&mut self) -> Heard {
        loop {
            let block = self.block().await.expect("it ended");
            let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            if let Some(data) = line("data") {
                return Heard {
                    id: line("id").unwrap().parse().unwrap(),
                    event: line("event").unwrap().to_owned(),
                    data: serde_json::from_str(data).unwrap(),
                };
            }
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::with_capacity(count);
        for _ in 0..count {
            let heard = self.next().await;
            assert_eq!(heard.data["position"], heard.id);
            assert_eq!(heard.data["event"]["event_type"], heard.event);
            events.push(heard.data);
        }
        events
    }
}

fn listening<'a>(who: &Visitor<'a>, query: &str) -> Call<'a> {
    who.call(GET, &format!("{PATH}/stream{query}"))
}

#[test]
fn the_feed_shows_what_the_histories_show_to_those_whose_it_is() {
    on_both(async |app| {
        let (home, other) = (app.home().await, app.home().await);
        let payment = home.paid("one").await.id();
        other.paid("another").await;
        home.paid("two").await;
        let events = pulled_when_there_are(&home.landlord, 6).await;
        assert_eq!(pulled(&home.renter, 1_000).await, events);
        let mut sorted = positions(&events);
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted, positions(&events));
        assert_eq!(keys(&events[0]), "event lease_id payment_id position");
        assert!(events.iter().all(|event| event["lease_id"] == home.lease));
        let of = |id: &str| -> Vec<Value> {
            let mine = events.iter().filter(|event| event["payment_id"] == id);
            mine.map(|event| event["event"].clone()).collect()
        };
        assert_eq!(json!(of(&payment)), home.landlord.history(&payment).await["events"]);
        let of_lease: Vec<_> = events.iter().filter(|event| event["payment_id"].is_null()).collect();
        let history = home.landlord.get(&format!("/api/v1/leases/{}/history", home.lease)).await.must(200);
        assert_eq!(json!(of_lease.iter().map(|event| &event["event"]).collect::<Vec<_>>()), history["events"]);

        let everything = pulled(&app.admin().await, 10).await;
        assert_eq!(positions(&everything), (1..=i64::try_from(everything.len()).unwrap()).collect::<Vec<_>>());
        for role in ["LANDLORD", "RENTER"] {
            assert!(pulled(&app.sign_up(role).await, 10).await.is_empty());
        }
    });
}

#[test]
fn what_cannot_be_a_place_in_the_feed_is_refused() {
    on_sqlite(async |app| {
        let renter = app.sign_up("RENTER").await;
        for bad in ["-1", "x", "1.5", "9223372036854775808", ""] {
            for path in [PATH.to_owned(), format!("{PATH}/stream")] {
                let refusal = renter.get(&format!("{path}?after={bad}")).await.refuses(400, "invalid_query");
                assert_eq!(refusal.fields(), [("after", "malformed")]);
            }
        }
        for bad in ["0", "1001", "x"] {
            let refusal = renter.get(&format!("{PATH}?limit={bad}")).await.refuses(400, "invalid_query");
            assert_eq!(refusal.fields(), [("limit", "out_of_range")]);
        }
        let call = listening(&renter, "?after=0").header("Last-Event-ID", "x");
        assert_eq!(call.send().await.refuses(400, "invalid_query").fields(), [("Last-Event-ID", "malformed")]);
        let beyond = renter.get(&format!("{PATH}?after=9223372036854775807")).await.must(200);
        assert_eq!((beyond.rows().len(), &beyond["next"]), (0, &json!(i64::MAX)));
    });
}

#[test]
fn a_listener_hears_what_was_and_what_comes_and_misses_nothing_in_between() {
    on_both(async |app| {
        let (home, other) = (app.home().await, app.home().await);
        home.paid("before").await;
        let before = pulled_when_there_are(&home.landlord, 3).await;
        let mut listener = Listener::open(listening(&home.landlord, "")).await;
        assert_eq!(listener.block().await.unwrap(), "retry: 2000\n: the feed");
        assert_eq!(listener.take(before.len()).await, before);

        home.paid("meanwhile").await;
        other.paid("of-another").await;
        let meanwhile = listener.take(3).await;
        drop(listener);
        home.paid("while-nobody-listened").await;
        let last = meanwhile[2]["position"].to_string();
        // What the browser sends wins over what stands in the address.
        let again = listening(&home.landlord, "?after=0").header("Last-Event-ID", &last);
        let mut listener = Listener::open(again).await;
        let missed = listener.take(3).await;
        home.paid("at-last").await;
        let at_last = listener.take(3).await;
        let heard: Vec<_> = [before, meanwhile, missed, at_last].concat();
        assert_eq!(heard, pulled_when_there_are(&home.landlord, 12).await);
    });
}

#[test]
fn several_listeners_each_hear_their_own() {
    on_both(async |app| {
        let (home, other) = (app.home().await, app.home().await);
        let admin = app.admin().await;
        let everything = async || pulled(&admin, 1_000).await;
        until("both leases are in the feed", async || {
            let seen = everything().await;
            [&home.lease, &other.lease].iter().all(|lease| seen.iter().any(|event| event["lease_id"] == **lease))
        })
        .await;
        let head = everything().await.last().unwrap()["position"].to_string();
        let mut listeners = Vec::new();
        for who in [&home.landlord, &home.renter, &other.landlord, &other.renter, &admin] {
            listeners.push(Listener::open(listening(who, &format!("?after={head}"))).await);
        }
        home.paid("one").await;
        other.paid("another").await;
        let mut heard = Vec::new();
        for (listener, count) in listeners.iter_mut().zip([3, 3, 3, 3, 6]) {
            heard.push(listener.take(count).await);
        }
        let of = |home: &Home<'_>| -> Vec<Value> {
            heard[4].iter().filter(|event| event["lease_id"] == home.lease).cloned().collect()
        };
        assert_eq!([&heard[0], &heard[1]], [&of(&home), &of(&home)]);
        assert_eq!([&heard[2], &heard[3]], [&of(&other), &of(&other)]);
    });
}

#[test]
fn renters_of_one_lease_see_nothing_of_each_others_accounts() {
    on_both(async |app| {
        let landlord = app.sign_up("LANDLORD").await;
        landlord.link_account("900000004321").await;
        let renters = [app.sign_up("RENTER").await, app.sign_up("RENTER").await];
        for renter in &renters {
            renter.link_account("600000000001").await;
        }
        let property = landlord.add_property().await.id();
        let begins = app.today();
        let terms = json!({
            "property_id": property, "renter_ids": [renters[0].id, renters[1].id], "rent_amount": "1500.00",
            "payment_due_day": begins.day(), "start_date": begins.to_string(),
        });
        let lease = landlord.post("/api/v1/leases/", &terms).await.must(201).id();
        let rent = json!({"lease_id": lease, "amount": "750.00", "rail": "INSTANT"});
        let payment = renters[0].pay("mine", &rent).await.must(201).id();
        let nothing = json!({"account_id": null, "last4": null, "bank_name": null});
        for (who, is_hidden) in [(&landlord, false), (&renters[0], false), (&renters[1], true)] {
            let mut listener = Listener::open(listening(who, "")).await;
            let mut live = Vec::new();
            while live.len() < 3 {
                let heard = listener.next().await.data;
                live.extend((heard["payment_id"] == payment).then_some(heard));
            }
            let pulled = pulled_when_there_are(who, 3).await;
            let of_payment: Vec<_> = pulled.into_iter().filter(|event| event["payment_id"] == payment).collect();
            assert_eq!(live, of_payment);
            for event in live {
                assert_eq!(event["event"]["metadata"]["payer"] == nothing, is_hidden, "{event}");
                assert_eq!(event["event"]["metadata"]["payee"]["last4"], "4321");
            }
        }
    });
}

#[test]
fn a_listener_is_sent_away_when_the_token_ends() {
    on_sqlite(async |app| {
        let renter = app.sign_up("RENTER").await;
        let user_id = UserId(renter.id.parse().unwrap());
        let identity = Identity { user_id, role: Role::Renter, session: new_id() };
        let issued = app.clock.process_us() - (ACCESS_SECONDS - 3) * SECOND_US;
        let token = app.running.app.tokens.sign(identity, issued).unwrap();
        let mut listener = Listener::open(app.call(GET, &format!("{PATH}/stream")).bearer(&token)).await;
        while listener.block().await.is_some() {}
        app.call(GET, PATH).bearer(&token).send().await.refuses(401, "unauthorized");
    });
}

#[test]
fn a_program_listens_by_its_key_until_that_is_revoked() {
    on_both(async |app| {
        let home = app.home().await;
        let key = home.renter.make_key(&["events:read"]).await;
        let mut listener = Listener::open(listening(&home.renter.with_key(&key), "")).await;
        home.paid("heard").await;
        let pulled = pulled_when_there_are(&home.renter, 3).await;
        assert_eq!(listener.take(pulled.len()).await, pulled);
        let path = format!("/api/v1/api-keys/{}/revoke", key.id());
        home.renter.post(&path, &Value::Null).await.must(200);
        home.paid("not-heard").await;
        while let Some(block) = listener.block().await {
            assert!(!block.contains("data:"), "{block}");
        }
        let blind = home.renter.program(&["payments:read"]).await;
        blind.get(PATH).await.refuses(403, "insufficient_scope");
    });
}

#[test]
fn nobody_listens_without_end_or_too_often() {
    on_sqlite(async |app| {
        let (renter, other) = (app.sign_up("RENTER").await, app.sign_up("RENTER").await);
        let mut listeners = Vec::new();
        for _ in 0..LISTENERS_OF_ONE_MAX {
            listeners.push(Listener::open(listening(&renter, "")).await);
        }
        let refusal = listening(&renter, "").send().await.refuses(429, "too_many_listeners");
        assert_eq!(refusal.header("retry-after"), Some("5"));
        Listener::open(listening(&other, "")).await;
        // Who hangs up makes room.
        listeners.pop();
        until("there is room again", async || listening(&renter, "").open().await.status() == 200).await;
    });
}
