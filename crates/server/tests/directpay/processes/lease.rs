//! A renter with a lease, and what comes of paying the rent.

use std::sync::Arc;
use std::time::Duration;

use directpay_server::clock::{self, Stopwatch};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

/// How long something that was written may take until it is listed.
const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const PASSWORD: &str = "a throw-away passphrase for machines";

/// Somebody who pays rent, as any client would.
#[derive(Clone)]
pub(super) struct Renter(Arc<Parts>);

struct Parts {
    client: Client,
    email: String,
    token: String,
    lease_id: String,
}

/// An answer to a request to pay.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) replayed: bool,
    pub(super) payment: Value,
}

impl Answer {
    pub(super) fn id(&self) -> &str {
        self.payment["id"].as_str().unwrap_or_else(|| panic!("{}: {}", self.status, self.payment))
    }
}

impl Renter {
    /// A renter of a landlord of its own, who pays from `account_number`.
    pub(super) async fn settle_in(base: &str, account_number: &str) -> Renter {
        let client = client();
        let (landlord_id, landlord, _) = arrive(&client, base, "LANDLORD").await;
        let (renter_id, renter, email) = arrive(&client, base, "RENTER").await;
        link(&client, base, &landlord, "900000004321").await;
        link(&client, base, &renter, account_number).await;
        let home = json!({"address": "12 Maple Street", "city": "Portland", "state": "OR", "zip_code": "97205"});
        let property = make(&client, base, &landlord, "properties", &home).await;
        assert_eq!(property["landlord_id"], landlord_id);
        let terms = json!({
            "property_id": property["id"], "renter_id": renter_id, "rent_amount": "1500.00", "payment_due_day": 1,
            "start_date": "2026-01-01", "end_date": "2026-12-31",
        });
        let lease = make(&client, base, &landlord, "leases", &terms).await;
        let lease_id = lease["id"].as_str().unwrap().to_owned();
        Renter(Arc::new(Parts { client, email, token: renter, lease_id }))
    }

    /// The same renter with new connections and a new token.
    pub(super) async fn back(&self, base: &str) -> Renter {
        let client = client();
        let token = sign_in(&client, base, &self.0.email).await;
        let Parts { email, lease_id, .. } = &*self.0;
        Renter(Arc::new(Parts { client, token, email: email.clone(), lease_id: lease_id.clone() }))
    }

    /// Pays under a key; an error when no whole answer came.
    pub(super) async fn pay(&self, base: &str, key: &str) -> reqwest::Result<Answer> {
        let body = json!({"lease_id": self.0.lease_id, "amount": "15.00", "rail": "STANDARD_ACH"});
        let request = self.0.client.post(format!("{base}/api/v1/payments/")).bearer_auth(&self.0.token);
        let answer = request.header("Idempotency-Key", key).json(&body).send().await?;
        let (status, replayed) = (answer.status(), is_replay(&answer));
        Ok(Answer { status, replayed, payment: answer.json().await? })
    }

    /// Wants to be told what happens, at an address where nobody is.
    pub(super) async fn hook(&self, base: &str) {
        let body = json!({"url": "http://127.0.0.1:9/hook"});
        make(&self.0.client, base, &self.0.token, "webhooks", &body).await;
    }

    /// Reads one of the payments.
    pub(super) async fn payment(&self, base: &str, id: &str) -> Value {
        let request = self.0.client.get(format!("{base}/api/v1/payments/{id}")).bearer_auth(&self.0.token);
        read(request.send().await.unwrap()).await
    }

    /// Listens to what happens, until the server stops.
    pub(super) async fn listen(&self, base: &str) -> Response {
        let request = self.0.client.get(format!("{base}/api/v1/events/stream")).bearer_auth(&self.0.token);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer
    }

    /// The payments on the first page of the own list, newest first.
    pub(super) async fn listed(&self, base: &str, query: &str) -> Vec<String> {
        let request = self.0.client.get(format!("{base}/api/v1/payments/{query}")).bearer_auth(&self.0.token);
        let list = read(request.send().await.unwrap()).await;
        let payments = list["data"].as_array().unwrap().iter();
        payments.map(|payment| payment["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the list is this.
    pub(super) async fn until_listed(&self, base: &str, wanted: &[&str]) {
        let waiting = Stopwatch::start();
        while self.listed(base, "").await != wanted {
            assert!(waiting.elapsed() < PATIENCE, "{wanted:?} are not listed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn is_replay(answer: &Response) -> bool {
    answer.headers().get("Idempotent-Replayed").is_some_and(|value| value == "true")
}

pub(super) fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

pub(super) async fn arrive(client: &Client, base: &str, role: &str) -> (String, String, String) {
    let email = format!("{}@example.com", clock::new_id().simple());
    let person = json!({"email": email, "password": PASSWORD, "full_name": "Somebody", "role": role});
    let user = read(client.post(format!("{base}/api/v1/users/")).json(&person).send().await.unwrap()).await;
    let token = sign_in(client, base, &email).await;
    (user["id"].as_str().unwrap().to_owned(), token, email)
}

pub(super) async fn sign_in(client: &Client, base: &str, email: &str) -> String {
    let form = [("grant_type", "password"), ("username", email), ("password", PASSWORD)];
    let answer = client.post(format!("{base}/api/v1/auth/token")).form(&form).send().await.unwrap();
    read(answer).await["access_token"].as_str().unwrap().to_owned()
}

async fn link(client: &Client, base: &str, token: &str, number: &str) {
    let account = json!({
        "bank_name": "Some Bank", "account_type": "CHECKING", "routing_number": "021000021", "account_number": number,
        "account_holder_name": "Somebody",
    });
    make(client, base, token, "bank-accounts", &account).await;
}

pub(super) async fn make(client: &Client, base: &str, token: &str, what: &str, body: &Value) -> Value {
    let request = client.post(format!("{base}/api/v1/{what}/")).bearer_auth(token).json(body);
    read(request.send().await.unwrap()).await
}

pub(super) async fn read(answer: Response) -> Value {
    let (status, path) = (answer.status(), answer.url().path().to_owned());
    let body: Value = answer.json().await.unwrap();
    assert!(status.is_success(), "{path} answered {status}: {body}");
    body
}
