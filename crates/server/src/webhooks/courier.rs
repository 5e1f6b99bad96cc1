//! Sends one delivery, and says what became of it.
//!
//! The address is looked at before each attempt. A name is looked up here, inside the client: the addresses that were
//! looked at are those that are connected to, whatever the name means a moment later. Nothing is followed, no proxy of the
//! environment is used, and of the answer only the beginning is read.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use directpay_domain::time::SECOND_US;
use directpay_domain::webhook::Outcome;
use jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use super::addresses::{Allowed, Scheme, Target};

/// How long a receiver may take for everything.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection is kept for the next delivery.
const IDLE: Duration = Duration::from_secs(30);
/// So much of an answer is read.
const READ_BYTES_MAX: usize = 1_024;
/// So much of it is kept.
const KEPT_CHARACTERS_MAX: usize = 300;
/// The status of a receiver that is no more.
const GONE: u16 = 410;
/// Those with which a receiver may ask for time.
const NOT_NOW: [u16; 2] = [429, 503];
const USER_AGENT: &str = concat!("DirectPay/", env!("CARGO_PKG_VERSION"));

/// Looks up what a name means.
pub type Lookup = Arc<dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>> + Send + Sync>;

/// The lookup of the system.
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Looks names up, and gives addresses only where something may be sent to all of them.
struct Guarded {
    lookup: Lookup,
    allowed: Arc<Allowed>,
    scheme: Scheme,
}

/// A name leads to where nothing may be sent.
#[derive(Debug)]
struct LeadsElsewhere;

impl fmt::Display for LeadsElsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads to an address that is not public")
    }
}

impl Error for LeadsElsewhere {}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (looking, allowed, scheme) =
            ((self.lookup)(name.as_str().to_owned()), Arc::clone(&self.allowed), self.scheme);
        Box::pin(async move {
            let found = looking.await?;
            // One that is not allowed spoils them all: who answers so wants to try.
            if !found.iter().all(|address| allowed.allows(scheme, *address)) {
                return Err(LeadsElsewhere.into());
            }
            // The client puts the port in its place.
            let addresses: Addrs = Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// Something to send.
#[derive(Debug)]
pub struct Letter<'a> {
    /// Where to.
    pub url: &'a str,
    /// The same for each attempt.
    pub id: String,
    /// When this attempt is made, in seconds since 1970.
    pub timestamp: i64,
    /// Of the secrets that hold now.
    pub signatures: String,
    /// The bytes.
    pub body: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// How it ended.
    pub outcome: Outcome,
    /// What the receiver answered, where it did.
    pub status_code: Option<u16>,
    /// The beginning of its answer, or why there was none.
    pub detail: String,
    /// How long the receiver wants to be left alone.
    pub asked_us: Option<i64>,
}

impl Sent {
    /// An attempt that came to nothing.
    pub fn failed(outcome: Outcome, detail: &str) -> Sent {
        Sent { outcome, status_code: None, detail: readable(detail), asked_us: None }
    }

    /// Whether the receiver says that there is none any more.
    pub fn is_gone(&self) -> bool {
        self.status_code == Some(GONE)
    }
}

/// Sends deliveries.
#[derive(Debug)]
pub struct Courier {
    http: Client,
    https: Client,
    allowed: Arc<Allowed>,
}

impl Courier {
    /// One that may send to public addresses and to those that are `allowed` besides.
    pub fn new(allowed: Allowed, lookup: &Lookup) -> anyhow::Result<Courier> {
        let allowed = Arc::new(allowed);
        let client = |scheme| {
            let guarded = Guarded { lookup: Arc::clone(lookup), allowed: Arc::clone(&allowed), scheme };
            Client::builder()
                .redirect(Policy::none())
                .no_proxy()
                .referer(false)
                .https_only(scheme == Scheme::Https)
                .dns_resolver(Arc::new(guarded))
                .timeout(PATIENCE)
                .connect_timeout(CONNECT)
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(1)
                .user_agent(USER_AGENT)
                .build()
                .context("nothing can be sent to webhooks")
        };
        let (http, https) = (client(Scheme::Http)?, client(Scheme::Https)?);
        Ok(Courier { http, https, allowed })
    }

    /// Sends `letter` once.
    pub async fn send(&self, letter: Letter<'_>) -> Sent {
        let target = match Target::parse(letter.url, &self.allowed) {
            Ok(target) => target,
            // What the operator allowed may have changed since the webhook was made.
            Err(invalid) => return Sent::failed(Outcome::Forbidden, &format!("its address {invalid}")),
        };
        let client = match target.scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        let request = client
            .post(target.url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", letter.id)
            .header("webhook-timestamp", letter.timestamp)
            .header("webhook-signature", letter.signatures)
            .body(letter.body);
        match request.send().await {
            Ok(response) => answered(response, letter.timestamp).await,
            Err(error) => unanswered(&error),
        }
    }
}

async fn answered(response: Response, now_s: i64) -> Sent {
    let status = response.status();
    let asks = NOT_NOW.contains(&status.as_u16());
    let asked_us = asks.then(|| asked_us(response.headers(), now_s)).flatten();
    let outcome = if status.is_success() { Outcome::Delivered } else { Outcome::Refused };
    Sent { outcome, status_code: Some(status.as_u16()), detail: beginning(response).await, asked_us }
}

/// `Retry-After`, in seconds or as a time.
fn asked_us(headers: &HeaderMap, now_s: i64) -> Option<i64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse::<i64>().ok().or_else(|| {
        let at: Timestamp = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Some(at.as_second() - now_s)
    })?;
    Some(seconds.max(0).saturating_mul(SECOND_US))
}

async fn beginning(mut response: Response) -> String {
    let mut read = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        read.extend_from_slice(&chunk);
        if READ_BYTES_MAX <= read.len() {
            read.truncate(READ_BYTES_MAX);
            break;
        }
    }
    readable(&String::from_utf8_lossy(&read))
}

/// What may be kept and shown: a line without control characters.
fn readable(text: &str) -> String {
    let visible = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    visible.take(KEPT_CHARACTERS_MAX).collect::<String>().trim().to_owned()
}

fn unanswered(error: &reqwest::Error) -> Sent {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.is::<LeadsElsewhere>() {
            return Sent::failed(Outcome::Forbidden, &inner.to_string());
        }
        causes.push(inner.to_string());
        cause = inner.source();
    }
    if error.is_timeout() {
        return Sent::failed(Outcome::TimedOut, "there was no answer in time");
    }
    // The innermost says most, and none repeats the address.
    Sent::failed(Outcome::Unreachable, causes.last().map_or("there was no connection", String::as_str))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rstest::rstest;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers every request with `answer` and counts connections.
    async fn receiver(address: &str, answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind(address).await.unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = vec![0; 4_096];
                let _read = stream.read(&mut request).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (address, connections)
    }

    /// Means something else each time, the last for ever; counts how often it was asked.
    fn lookup(answers: &[&[&str]]) -> (Lookup, Arc<AtomicUsize>) {
        let answers: Vec<Vec<IpAddr>> =
            answers.iter().map(|of| of.iter().map(|text| text.parse().unwrap()).collect()).collect();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let lookup: Lookup = Arc::new(move |_| {
            let at = counted.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            let answer = answers[at].clone();
            Box::pin(async move { Ok(answer) })
        });
        (lookup, asked)
    }

    fn letter(url: &str) -> Letter<'_> {
        Letter { url, id: "id".into(), timestamp: 1_000, signatures: "v1,x".into(), body: "{}".into() }
    }

    const TAKEN: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn what_was_looked_at_is_what_is_connected_to_and_a_name_that_moves_is_followed_nowhere() {
        let (allowed, forbidden) = (receiver("127.0.0.1:0", TAKEN).await, "127.0.0.2");
        let port = allowed.0.port();
        let inner = receiver(&format!("{forbidden}:{port}"), TAKEN).await;
        let (moves, asked) = lookup(&[&["127.0.0.1"], &[forbidden]]);
        let courier = Courier::new("127.0.0.1/32".parse().unwrap(), &moves).unwrap();
        let url = format!("http://hook.example:{port}/");

        assert_eq!(courier.send(letter(&url)).await.outcome, Outcome::Delivered);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        for _ in 0..3 {
            let sent = courier.send(letter(&url)).await;
            assert_eq!(sent, Sent::failed(Outcome::Forbidden, &LeadsElsewhere.to_string()));
        }
        assert_eq!((allowed.1.load(Ordering::SeqCst), inner.1.load(Ordering::SeqCst)), (1, 0));
    }

    #[rstest]
    #[case(&["127.0.0.1", "127.0.0.2"])]
    #[case(&["::ffff:127.0.0.2"])]
    #[case(&["93.184.216.34"])]
    #[case(&["169.254.169.254"])]
    #[tokio::test]
    async fn one_address_that_is_not_allowed_spoils_a_name(#[case] addresses: &[&str]) {
        let (address, connections) = receiver("127.0.0.1:0", TAKEN).await;
        let courier = Courier::new("127.0.0.1/32".parse().unwrap(), &lookup(&[addresses]).0).unwrap();

        let sent = courier.send(letter(&format!("http://hook.example:{}/", address.port()))).await;

        assert_eq!((sent.outcome, connections.load(Ordering::SeqCst)), (Outcome::Forbidden, 0));
    }

    #[rstest]
    #[case("https://127.0.0.1/")]
    #[case("https://localhost/")]
    #[case("https://metadata.example/")]
    #[case("http://example.com/")]
    #[tokio::test]
    async fn without_the_operators_word_nothing_inside_is_reached(#[case] url: &str) {
        let courier = Courier::new(Allowed::default(), &lookup(&[&["169.254.169.254"]]).0).unwrap();

        assert_eq!(courier.send(letter(url)).await.outcome, Outcome::Forbidden);
    }

    #[rstest]
    #[case("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Outcome::Delivered, 200, None)]
    #[case(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
        Outcome::Refused,
        302,
        None
    )]
    #[case("HTTP/1.1 308 Permanent Redirect\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", Outcome::Refused, 308, None)]
    #[case("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", Outcome::Refused, 410, None)]
    #[case("HTTP/1.1 500 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", Outcome::Refused, 500, None)]
    #[case("HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", Outcome::Refused, 429, Some(7))]
    #[case(
        "HTTP/1.1 503 No\r\nRetry-After: Thu, 01 Jan 1970 00:17:00 GMT\r\nContent-Length: 0\r\n\r\n",
        Outcome::Refused,
        503,
        Some(20)
    )]
    #[case("HTTP/1.1 503 No\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n", Outcome::Refused, 503, None)]
    #[tokio::test]
    async fn an_answer_is_taken_for_what_it_says(
        #[case] answer: &'static str,
        #[case] outcome: Outcome,
        #[case] status: u16,
        #[case] asked: Option<i64>,
    ) {
        let (address, connections) = receiver("127.0.0.1:0", answer).await;
        let courier = Courier::new("127.0.0.1/32".parse().unwrap(), &system_lookup()).unwrap();

        let sent = courier.send(letter(&format!("http://{address}/"))).await;

        assert_eq!((sent.outcome, sent.status_code), (outcome, Some(status)));
        assert_eq!(sent.asked_us, asked.map(|seconds| seconds * SECOND_US));
        assert_eq!((sent.is_gone(), connections.load(Ordering::SeqCst)), (status == 410, 1));
    }

    #[tokio::test]
    async fn of_an_answer_only_a_clean_beginning_is_kept() {
        let long: &'static str =
            Box::leak(format!("HTTP/1.1 400 No\r\n\r\na\0b\u{1b}[31mc{}", "x".repeat(1 << 20)).into_boxed_str());
        let (address, _) = receiver("127.0.0.1:0", long).await;
        let courier = Courier::new("127.0.0.1/32".parse().unwrap(), &system_lookup()).unwrap();

        let sent = courier.send(letter(&format!("http://{address}/"))).await;

        assert!(sent.detail.starts_with("a b [31mcxxx") && sent.detail.len() == KEPT_CHARACTERS_MAX, "{}", sent.detail);
    }

    #[tokio::test]
    async fn where_nobody_listens_there_is_no_connection() {
        let courier = Courier::new("127.0.0.1/32".parse().unwrap(), &system_lookup()).unwrap();

        assert_eq!(courier.send(letter("http://127.0.0.1:1/")).await.outcome, Outcome::Unreachable);
    }
}
