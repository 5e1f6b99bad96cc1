//! Somebody who takes webhooks.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{ANY, Answer, until};

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn data(&self) -> Value {
        self.json()["data"].clone()
    }

    pub(crate) fn is_test(&self) -> bool {
        self.json()["type"] == "webhook_test"
    }
}

/// What it answers.
pub(crate) enum Reply {
    Status(u16),
    Later(u16, &'static str),
    After(Duration),
    Never,
}

type Judge = Box<dyn Fn(&Received, &[Received]) -> Reply + Send + Sync>;

struct Inner {
    judge: Judge,
    received: Mutex<Vec<Received>>,
    answered: Mutex<usize>,
}

/// Takes webhooks until it is dropped.
pub(crate) struct Receiver {
    address: SocketAddr,
    inner: Arc<Inner>,
    serving: JoinHandle<()>,
}

impl Receiver {
    /// One that takes everything.
    pub(crate) async fn willing() -> Receiver {
        Receiver::start(|_, _| Reply::Status(204)).await
    }

    /// One that answers by what comes and what came before.
    pub(crate) async fn start(judge: impl Fn(&Received, &[Received]) -> Reply + Send + Sync + 'static) -> Receiver {
        let inner = Arc::new(Inner { judge: Box::new(judge), received: Mutex::default(), answered: Mutex::default() });
        let listener = TcpListener::bind(ANY).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(take).with_state(Arc::clone(&inner));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Receiver { address, inner, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What came so far, in the order in which it came.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.inner.received.lock().unwrap().clone()
    }

    /// How many requests got their answer.
    pub(crate) fn answered(&self) -> usize {
        *self.inner.answered.lock().unwrap()
    }

    pub(crate) async fn has(&self, count: usize) -> Vec<Received> {
        until(&format!("{count} deliveries have come"), async || count <= self.received().len()).await;
        let received = self.received();
        assert_eq!(received.len(), count, "{received:#?}");
        received
    }

    /// The different ones, by their first attempts.
    pub(crate) fn different(&self) -> Vec<Received> {
        let mut seen = HashSet::new();
        self.received().into_iter().filter(|received| seen.insert(received.id().to_owned())).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: String) -> Response {
    let received = Received { headers, body };
    let reply = {
        let mut all = inner.received.lock().unwrap();
        let reply = (inner.judge)(&received, &all);
        all.push(received);
        reply
    };
    let response = match reply {
        Reply::Status(status) => (StatusCode::from_u16(status).unwrap(), "so be it").into_response(),
        Reply::Later(status, when) => {
            (StatusCode::from_u16(status).unwrap(), [("retry-after", when)], "later").into_response()
        }
        Reply::After(pause) => {
            tokio::time::sleep(pause).await;
            StatusCode::NO_CONTENT.into_response()
        }
        Reply::Never => std::future::pending().await,
    };
    *inner.answered.lock().unwrap() += 1;
    response
}

/// Why a delivery is not believed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    Unsigned,
    Late,
    Replayed,
}

/// A receiver's memory: verifies as Standard Webhooks says, by a secret, five minutes around `now_s`, and each id once.
pub(crate) struct Verifier {
    key: Vec<u8>,
    seen: HashSet<String>,
}

impl Verifier {
    pub(crate) fn new(made: &Answer) -> Verifier {
        let secret = made.text_of("secret");
        Verifier { key: BASE64.decode(secret.strip_prefix("whsec_").unwrap()).unwrap(), seen: HashSet::new() }
    }

    pub(crate) fn verify(&mut self, received: &Received, now_s: i64) -> Result<(), Doubt> {
        let (id, timestamp) = (received.id(), received.header("webhook-timestamp"));
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).unwrap();
        mac.update(format!("{id}.{timestamp}.{}", received.body).as_bytes());
        let expected = format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()));
        if !received.header("webhook-signature").split(' ').any(|signature| signature == expected) {
            return Err(Doubt::Unsigned);
        }
        if 300 < (timestamp.parse::<i64>().unwrap() - now_s).abs() {
            return Err(Doubt::Late);
        }
        if self.seen.insert(id.to_owned()) { Ok(()) } else { Err(Doubt::Replayed) }
    }
}
