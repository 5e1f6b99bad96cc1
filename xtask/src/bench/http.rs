//! As little HTTP/1.1 as a load generator needs: it shares the processor with the server that it measures.

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer's head must fit into this.
const HEAD_MAX: usize = 16 * 1024;

/// A connection that is kept open, with one request under way at a time.
pub(super) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// What is sent.
pub(super) struct Post<'r> {
    pub(super) path: &'r str,
    pub(super) host: &'r str,
    pub(super) token: &'r str,
    pub(super) idempotency_key: &'r str,
    pub(super) body: &'r str,
}

/// Where the body of an answer starts and ends.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    body_at: usize,
    body_length: usize,
}

impl Connection {
    pub(super) async fn open(host: &str) -> Result<Connection> {
        let stream = TcpStream::connect(host).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, request: Vec::with_capacity(1024), answer: Vec::with_capacity(4096) })
    }

    /// Sends one request and reads its whole answer, of which only the status matters.
    pub(super) async fn post(&mut self, post: &Post<'_>) -> Result<u16> {
        self.request.clear();
        for part in [
            "POST ",
            post.path,
            " HTTP/1.1\r\nhost: ",
            post.host,
            "\r\nauthorization: Bearer ",
            post.token,
            "\r\nidempotency-key: ",
            post.idempotency_key,
            "\r\ncontent-type: application/json\r\ncontent-length: ",
            &post.body.len().to_string(),
            "\r\n\r\n",
            post.body,
        ] {
            self.request.extend_from_slice(part.as_bytes());
        }
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        let head = loop {
            self.read_more().await?;
            if let Some(head) = parse_head(&self.answer)? {
                break head;
            }
            ensure!(self.answer.len() < HEAD_MAX, "an endless head");
        };
        while self.answer.len() < head.body_at + head.body_length {
            self.read_more().await?;
        }
        Ok(head.status)
    }

    async fn read_more(&mut self) -> Result<()> {
        let count = self.stream.read_buf(&mut self.answer).await?;
        ensure!(0 < count, "the server closed the connection");
        Ok(())
    }
}

/// The head of an answer, once all of it is there.
fn parse_head(answer: &[u8]) -> Result<Option<Head>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end])?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?;
    let lengths = lines.filter_map(|line| line.split_once(':'));
    let length = lengths.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = length.context("an answer without content-length")?;
    Ok(Some(Head { status: status.parse()?, body_at: end + 4, body_length: length.trim().parse()? }))
}

#[cfg(test)]
mod tests {
    use super::{Head, parse_head};

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let answer = b"HTTP/1.1 201 Created\r\nlocation: /x\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(parse_head(&answer[..30]).unwrap(), None);
        let body_at = answer.len() - 2;
        assert_eq!(parse_head(answer).unwrap(), Some(Head { status: 201, body_at, body_length: 2 }));
    }

    #[test]
    fn an_answer_of_unknown_length_is_an_error() {
        assert!(parse_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
