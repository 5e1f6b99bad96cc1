//! The ceiling: how many requests a second HTTP alone can carry here, with nothing behind it.
//!
//! The same framework, the same request and an answer of the same size as for a payment; nothing is checked or stored.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::serve::ListenerExt;
use axum::{Router, routing};
use tokio::net::TcpListener;

use crate::guard;
use crate::server::{LISTENING, Server};

/// As long as a payment usually is.
const ANSWER_LENGTH: usize = 600;

/// Starts the server that does nothing, as a process of its own.
pub(super) fn start(xtask: &Path) -> Result<Server> {
    let mut command = guard::command(&[])?;
    command.arg(xtask).arg("bench-ceiling");
    Server::start(command)
}

/// The hidden subcommand: the server itself, until somebody ends it.
pub fn run() -> Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve())?;
    Ok(ExitCode::SUCCESS)
}

async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{LISTENING}http://{}", listener.local_addr()?);
    // A connection that cannot be set up right is merely slow.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let body = format!(r#"{{"id":"{}"}}"#, "0".repeat(ANSWER_LENGTH - r#"{"id":""}"#.len()));
    let body = Bytes::from(body);
    let answer = move |_request: Bytes| {
        let body = body.clone();
        async move { (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], body).into_response() }
    };
    let router = Router::new().route("/api/v1/payments/", routing::post(answer));
    Ok(axum::serve(listener, router).await?)
}
