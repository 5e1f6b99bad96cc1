//! How soon after an overload somebody is served as if nothing had been.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Payer;
use super::http::Connection;
use super::template::{KEY_LENGTH, Template, draw};

/// A payment is accepted promptly within this time.
const PROMPT: Duration = Duration::from_millis(100);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// How long it may take until anybody is.
const PATIENCE: Duration = Duration::from_secs(120);

/// Sends one payment after the other until one is accepted promptly; answers how long that took.
pub(in crate::bench) async fn wait(host: &str, payer: &Payer) -> Result<Duration> {
    let started = Instant::now();
    let (template, mut key) = (Template::of(payer, host), [0; KEY_LENGTH]);
    let mut connection = Connection::open(host).await?;
    loop {
        draw(&mut key);
        let sent = Instant::now();
        let answer = connection.post(&template, &key).await?;
        ensure!([201, 503].contains(&answer.status), "status {} after the overload", answer.status);
        if answer.status == 201 && sent.elapsed() < PROMPT {
            return Ok(started.elapsed());
        }
        ensure!(started.elapsed() < PATIENCE, "the server did not recover from the overload");
        tokio::time::sleep(PAUSE).await;
    }
}
