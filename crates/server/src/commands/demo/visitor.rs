//! Somebody who talks to the API as any client would.

use anyhow::{Context, bail};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::clock;
use crate::secrets::hex;

/// A person with an account and a token.
pub(super) struct Visitor {
    pub(super) email: String,
    pub(super) password: String,
    pub(super) id: String,
    base: String,
    client: Client,
    token: String,
}

impl Visitor {
    /// Signs up and signs in.
    pub(super) async fn arrive(base: &str, full_name: &str, email: &str, role: &str) -> anyhow::Result<Visitor> {
        let password = format!("{} {}", role.to_lowercase(), hex(&clock::random_bytes::<10>()?));
        let client = Client::builder().no_proxy().build()?;
        let mut visitor = Visitor {
            email: email.into(),
            id: String::new(),
            base: base.into(),
            client,
            token: String::new(),
            password,
        };
        let sign_up = json!({"email": email, "password": visitor.password, "full_name": full_name, "role": role});
        let user = visitor.post("/api/v1/users/", sign_up).await?;
        visitor.id = text(&user, "id")?;
        let form = [("grant_type", "password"), ("username", email), ("password", visitor.password.as_str())];
        let answer = visitor.client.post(format!("{base}/api/v1/auth/token")).form(&form).send().await?;
        visitor.token = text(&read(answer).await?, "access_token")?;
        Ok(visitor)
    }

    /// Sends a body and reads the answer, which must be a success.
    pub(super) async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        read(self.request(Method::POST, path).json(&body).send().await?).await
    }

    /// Sends a body under an idempotency key; the whole answer.
    pub(super) async fn post_with_key(&self, path: &str, key: &str, body: &Value) -> anyhow::Result<Response> {
        Ok(self.request(Method::POST, path).header("Idempotency-Key", key).json(body).send().await?)
    }

    /// Reads something that must be there.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        read(self.request(Method::GET, path).send().await?).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }
}

/// The body of a successful answer.
pub(super) async fn read(answer: Response) -> anyhow::Result<Value> {
    let (status, path) = (answer.status(), answer.url().path().to_owned());
    let body: Value = answer.json().await.context("the answer is not JSON")?;
    if !status.is_success() {
        bail!("{path} answered {status}: {body}");
    }
    Ok(body)
}

/// A field that must be a string.
pub(super) fn text(value: &Value, field: &str) -> anyhow::Result<String> {
    value[field].as_str().map(str::to_owned).with_context(|| format!("the answer has no {field}"))
}
