//! The few calls of DirectPay's API that measuring and fuzzing need to make a world of their own.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use uuid::Uuid;

/// Long enough for anybody; nobody signs in by hand here.
const PASSWORD: &str = "a throw-away passphrase for machines";

/// What a person is on DirectPay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Lets property and is paid.
    Landlord,
    /// Rents and pays.
    Renter,
}

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub struct Person {
    /// The user's id.
    pub id: String,
    /// What the person signs in with.
    pub email: String,
    /// The access token.
    pub token: String,
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
}

impl Api {
    /// A client of the server at `url`.
    pub fn new(url: &str) -> Result<Api> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        Ok(Api { http, base: format!("{url}/api/v1") })
    }

    /// Signs a new person up and in.
    pub async fn sign_up(&self, role: Role) -> Result<Person> {
        let email = format!("{}@example.com", Uuid::now_v7().simple());
        let (role, full_name) = match role {
            Role::Landlord => ("LANDLORD", "Alice Landlord"),
            Role::Renter => ("RENTER", "Bob Renter"),
        };
        let body = json!({"email": email, "password": PASSWORD, "full_name": full_name, "role": role});
        let user = answer(self.http.post(self.path("/users/")).json(&body)).await?;
        let token = self.sign_in(&email).await?;
        Ok(Person { id: text(&user, "id")?, email, token })
    }

    /// A new access token, which lives for 15 minutes, for somebody whom [`Api::sign_up`] signed up.
    pub async fn sign_in(&self, email: &str) -> Result<String> {
        let form = [("grant_type", "password"), ("username", email), ("password", PASSWORD)];
        let tokens = answer(self.http.post(self.path("/auth/token")).form(&form)).await?;
        text(&tokens, "access_token")
    }

    /// Makes whatever stands behind `path` and answers its id.
    pub async fn create(&self, who: &Person, path: &str, body: &Value) -> Result<String> {
        let made = answer(self.http.post(self.path(path)).bearer_auth(&who.token).json(body)).await?;
        text(&made, "id")
    }

    /// Reads what stands behind `path`.
    pub async fn get(&self, who: &Person, path: &str) -> Result<Value> {
        answer(self.http.get(self.path(path)).bearer_auth(&who.token)).await
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Value> {
    let response = request.send().await.context("no answer")?;
    let (url, status) = (response.url().path().to_owned(), response.status());
    let body = response.text().await?;
    if !status.is_success() {
        bail!("{url} answered {status}: {body}");
    }
    serde_json::from_str(&body).with_context(|| format!("{url} answered no JSON"))
}

fn text(value: &Value, field: &str) -> Result<String> {
    Ok(value.get(field).and_then(Value::as_str).with_context(|| format!("an answer without `{field}`"))?.to_owned())
}
