//! Whoever sends webhooks is killed in the middle of it: everything comes, at least once, and in order.

use std::collections::HashMap;
use std::time::Duration;

use directpay_store::Db;
use serde_json::Value;

use super::lease::Renter;
use super::place::{Place, count};
use super::process::Process;
use crate::harness::{Receiver, Reply, until};

const PAYMENTS: usize = 40;
/// How many deliveries have come when a sender is killed.
const KILLS: [usize; 2] = [20, 60];
const UNNUMBERED: &str = "SELECT (SELECT COUNT(*) FROM events) - (SELECT COUNT(*) FROM feed)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_senders_of_which_one_is_killed_tell_everything_in_order_on_postgresql() {
    let place = Place::on_postgres();
    let server = place.serve_with(WEBHOOKS, &["--no-workers"]);
    let mut senders = [place.work_with(WEBHOOKS), place.work_with(WEBHOOKS)];
    let told = Told::begin(&place, &server).await;
    for (kill, sender) in KILLS.into_iter().zip(&mut senders) {
        told.has(kill).await;
        sender.kill();
        *sender = place.work_with(WEBHOOKS);
        told.claims_run_out().await;
    }
    told.everything_in_order(&place, &server).await;
    senders.into_iter().for_each(|sender| drop(sender.stop()));
    server.stop();
    place.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_while_it_sends_goes_on_where_it_was_on_sqlite() {
    let place = Place::on_sqlite();
    let mut server = place.serve_with(WEBHOOKS, &[]);
    let told = Told::begin(&place, &server).await;
    for kill in KILLS {
        told.has(kill).await;
        server.kill();
        server = place.serve_with(WEBHOOKS, &[]);
    }
    told.everything_in_order(&place, &server).await;
    server.stop();
    place.verify();
}

const WEBHOOKS: (&str, &str) = ("DIRECTPAY_WEBHOOK_ALLOW", "127.0.0.1/32");

/// Somebody who is told of the own payments.
struct Told {
    renter: Renter,
    receiver: Receiver,
    webhook: Value,
    db: Db,
}

impl Told {
    async fn begin(place: &Place, server: &Process) -> Told {
        let renter = Renter::settle_in(&server.url, "000123456789").await;
        let db = place.db().await;
        until("all is numbered", async || count(&db, UNNUMBERED).await == 0).await;
        // Slow enough for something to be on its way whenever a sender dies.
        let receiver = Receiver::start(|_, _| Reply::After(Duration::from_millis(30))).await;
        let webhook = renter.hook(&server.url, &receiver.url()).await;
        for number in 0..PAYMENTS {
            renter.pay(&server.url, &number.to_string()).await.unwrap();
        }
        Told { renter, receiver, webhook, db }
    }

    async fn has(&self, deliveries: usize) {
        until("some have come", async || deliveries <= self.receiver.received().len()).await;
    }

    /// As if a minute had gone by: also what the others have on their way may be taken up.
    async fn claims_run_out(&self) {
        let mut tx = self.db.begin().await.unwrap();
        tx.execute("UPDATE webhook_lanes SET due_at = 0", ()).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn everything_in_order(self, place: &Place, server: &Process) {
        place.settle(&self.db).await;
        until("all is numbered", async || count(&self.db, UNNUMBERED).await == 0).await;
        let renter = self.renter.back(&server.url).await;
        let shown = renter.events(&server.url, &self.webhook["after"]).await;
        assert_eq!(shown.len(), PAYMENTS * 3);
        until("everything has come", async || self.receiver.different().len() == shown.len()).await;
        until("nothing waits", async || count(&self.db, "SELECT COUNT(*) FROM webhook_lanes").await == 0).await;

        let mut last: HashMap<String, i64> = HashMap::new();
        let different = self.receiver.different();
        for told in &different {
            let (data, last) = (told.data(), last.entry(told.data()["payment_id"].to_string()).or_default());
            assert_eq!(data["event"]["sequence"], *last + 1, "{data}");
            *last += 1;
            assert!(shown.contains(&data), "{data}");
        }
        let again = self.receiver.received().len() - different.len();
        println!("{} events, {again} came once more", different.len());
        assert_eq!(count(&self.db, "SELECT COUNT(*) FROM webhook_deliveries WHERE status <> 'DELIVERED'").await, 0);
        self.db.close().await;
    }
}
