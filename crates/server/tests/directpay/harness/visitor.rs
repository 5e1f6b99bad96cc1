//! Who talks to the API, and what they usually say.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, Call, GET, PATCH, POST, TestApp, until};

pub(crate) const ROUTING: &str = "021000021";

/// Two parties and what binds them.
pub(crate) struct Home<'a> {
    pub(crate) landlord: Visitor<'a>,
    pub(crate) renter: Visitor<'a>,
    pub(crate) landlord_account: String,
    pub(crate) renter_account: String,
    pub(crate) property: String,
    pub(crate) lease: String,
}

impl Home<'_> {
    /// The smallest body of a payment.
    pub(crate) fn rent(&self, amount: &str) -> Value {
        json!({"lease_id": self.lease, "amount": amount, "rail": "INSTANT"})
    }

    /// Pays rent and waits until it has arrived.
    pub(crate) async fn paid(&self, key: &str) -> Answer {
        let payment = self.renter.pay(key, &self.rent("1500.00")).await.must(201);
        self.renter.wait_until(&payment.id(), "COMPLETED").await
    }
}

/// Somebody who talks to the API as any client would.
pub(crate) struct Visitor<'a> {
    pub(crate) app: &'a TestApp,
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) token: String,
    pub(crate) refresh_token: String,
}

impl<'a> Visitor<'a> {
    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'a> {
        self.app.call(method, path).bearer(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(GET, path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(POST, path).json(body).send().await
    }

    pub(crate) async fn patch(&self, path: &str) -> Answer {
        self.call(PATCH, path).send().await
    }

    /// Makes an API key and shows it.
    pub(crate) async fn make_key(&self, scopes: &[&str]) -> Answer {
        self.post("/api/v1/api-keys/", &json!({"name": "A program", "scopes": scopes})).await.must(201)
    }

    /// A program that acts for this person by a key of its own.
    pub(crate) async fn program(&self, scopes: &[&str]) -> Visitor<'a> {
        self.with_key(&self.make_key(scopes).await)
    }

    pub(crate) fn with_key(&self, made: &Answer) -> Visitor<'a> {
        let (app, id, email) = (self.app, self.id.clone(), self.email.clone());
        Visitor { app, id, email, token: made.text_of("key"), refresh_token: String::new() }
    }

    pub(crate) async fn link_account(&self, number: &str) -> Answer {
        self.post("/api/v1/bank-accounts/", &account(number)).await.must(201)
    }

    pub(crate) async fn add_property(&self) -> Answer {
        self.post("/api/v1/properties/", &address()).await.must(201)
    }

    /// A lease from mid-January to the end of June 2026.
    pub(crate) async fn sign_lease(&self, property: &str, renter: &str) -> Answer {
        self.post("/api/v1/leases/", &terms(property, renter)).await.must(201)
    }

    pub(crate) async fn pay(&self, key: &str, body: &Value) -> Answer {
        self.call(POST, "/api/v1/payments/").header("Idempotency-Key", key).json(body).send().await
    }

    pub(crate) async fn payment(&self, id: &str) -> Answer {
        self.get(&format!("/api/v1/payments/{id}")).await.must(200)
    }

    pub(crate) async fn history(&self, id: &str) -> Answer {
        self.get(&format!("/api/v1/payments/{id}/history")).await.must(200)
    }

    /// Waits until a payment stands at `status`.
    pub(crate) async fn wait_until(&self, id: &str, status: &str) -> Answer {
        until(&format!("payment {id} is {status}"), async || self.payment(id).await["status"] == status).await;
        self.payment(id).await
    }
}

pub(crate) fn account(number: &str) -> Value {
    json!({
        "bank_name": "First Rental Bank", "account_type": "CHECKING", "routing_number": ROUTING,
        "account_number": number, "account_holder_name": "A. Holder",
    })
}

pub(crate) fn address() -> Value {
    json!({"address": "12 Maple Street", "city": "Albany", "state": "NY", "zip_code": "12207"})
}

pub(crate) fn terms(property: &str, renter: &str) -> Value {
    json!({
        "property_id": property, "renter_id": renter, "rent_amount": "1500.00", "payment_due_day": 1,
        "start_date": "2026-01-17", "end_date": "2026-06-30",
    })
}

/// The same object with another value in one field.
pub(crate) fn with(body: &Value, field: &str, value: Value) -> Value {
    let mut body = body.clone();
    body[field] = value;
    body
}

pub(crate) fn without(body: &Value, field: &str) -> Value {
    let mut body = body.clone();
    body.as_object_mut().unwrap().remove(field);
    body
}
