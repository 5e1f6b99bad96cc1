//! As little HTTP/1.1 as a load generator needs.

use std::io::Write;
use std::ops::Range;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::template::{KEY_LENGTH, Template};

/// An answer's head must fit into this.
const HEAD_MAX: usize = 16 * 1024;

/// A connection that is kept open, with one request under way at a time.
pub(super) struct Connection {
    host: String,
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// What of an answer matters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Says when to come again.
    pub(super) retry_after: bool,
    /// Where among the bytes of the answer.
    pub(super) location: Option<Range<usize>>,
    /// The server closes the connection after it.
    pub(super) closes: bool,
    pub(super) body_at: usize,
    pub(super) body_length: usize,
}

impl Connection {
    pub(super) async fn open(host: &str) -> Result<Connection> {
        let stream = connect(host).await?;
        let (request, answer) = (Vec::with_capacity(2048), Vec::with_capacity(4096));
        Ok(Connection { host: host.to_owned(), stream, request, answer })
    }

    /// Sends one payment and reads its whole answer.
    pub(super) async fn post(&mut self, template: &Template, key: &[u8; KEY_LENGTH]) -> Result<Answer> {
        template.fill(key, &mut self.request);
        self.exchange().await
    }

    /// Reads what stands behind `path`, with the access token `token`; anything but status 200 is an error.
    pub(super) async fn get(&mut self, path: &str, token: &str) -> Result<()> {
        self.request.clear();
        let host = &self.host;
        write!(self.request, "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n")?;
        let answer = self.exchange().await?;
        ensure!(answer.status == 200, "status {} for {path}", answer.status);
        Ok(())
    }

    async fn exchange(&mut self) -> Result<Answer> {
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        let answer = loop {
            self.read_more().await?;
            if let Some(answer) = parse(&self.answer)? {
                break answer;
            }
            ensure!(self.answer.len() < HEAD_MAX, "an endless head");
        };
        while self.answer.len() < answer.body_at + answer.body_length {
            self.read_more().await?;
        }
        if answer.closes {
            self.stream = connect(&self.host).await?;
        }
        Ok(answer)
    }

    /// A part of the last answer.
    pub(super) fn part(&self, range: Range<usize>) -> &[u8] {
        self.answer.get(range).unwrap_or_default()
    }

    async fn read_more(&mut self) -> Result<()> {
        let count = self.stream.read_buf(&mut self.answer).await?;
        ensure!(0 < count, "the server closed the connection");
        Ok(())
    }
}

async fn connect(host: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(host).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The head of an answer, once all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<Answer>> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = bytes.get(..end).unwrap_or_default();
    let status = head.split(|byte| *byte == b' ').nth(1).context("no status line")?;
    let mut answer = Answer { status: number(status)?, body_at: end + 4, ..Answer::default() };
    let mut length = None;
    let mut at = 0;
    for line in head.split(|byte| *byte == b'\n') {
        let start = at;
        at += line.len() + 1;
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = Some(number(value)?);
        } else if name.eq_ignore_ascii_case(b"location") {
            let start = start + line.trim_ascii_end().len() - value.len();
            answer.location = Some(start..start + value.len());
        } else if name.eq_ignore_ascii_case(b"retry-after") {
            answer.retry_after = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            answer.closes = value.eq_ignore_ascii_case(b"close");
        }
    }
    answer.body_length = length.context("an answer without content-length")?;
    Ok(Some(answer))
}

fn number<N: std::str::FromStr>(digits: &[u8]) -> Result<N>
where
    N::Err: std::error::Error + Send + Sync + 'static,
{
    Ok(std::str::from_utf8(digits)?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::{Answer, parse};

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let bytes = b"HTTP/1.1 201 Created\r\nLocation: /x\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(parse(&bytes[..30]).unwrap(), None);
        let body_at = bytes.len() - 2;
        let expected = Answer { status: 201, location: Some(32..34), body_at, body_length: 2, ..Answer::default() };
        assert_eq!(parse(bytes).unwrap(), Some(expected));
        assert_eq!(&bytes[32..34], b"/x");
    }

    #[test]
    fn a_refusal_says_when_to_come_again() {
        let bytes = b"HTTP/1.1 503 Busy\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let answer = parse(bytes).unwrap().unwrap();
        assert!(answer.retry_after && answer.closes);
    }

    #[test]
    fn an_answer_of_unknown_length_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
