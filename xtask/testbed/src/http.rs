//! Reads HTTP/1.1 requests and answers out of the two byte streams of one connection.

use std::collections::VecDeque;
use std::time::Duration;

/// One request and what came back for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// When the head of the request was complete, counted from the start of the relay.
    pub at: Duration,
    /// The connection it came on; the first is 1.
    pub connection: usize,
    /// The method, as sent.
    pub method: String,
    /// Path and query, as sent.
    pub path: String,
    /// Body bytes from client to server, without chunk framing.
    pub sent: u64,
    /// Status of the answer; 0 until it arrives.
    pub status: u16,
    /// Body bytes from server to client, without chunk framing.
    pub received: u64,
}

impl Exchange {
    /// Method and path without the query, the form in which tests list sequences.
    #[must_use]
    pub fn line(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }
}

/// What a message parser found in the bytes it was fed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The head of a message, line by line.
    Head(Vec<String>),
    /// So many bytes of its body.
    Body(u64),
}

/// How the body of the message being read ends.
#[derive(Debug)]
enum Body {
    None,
    Sized(u64),
    Chunk(u64),
    ChunkEnd,
    ChunkSize,
    Trailer,
    UntilClose,
}

/// An incremental parser of one direction of a connection.
#[derive(Debug)]
pub(crate) struct Messages {
    buffer: Vec<u8>,
    body: Body,
    /// For answers: the methods they answer, oldest first (an answer to HEAD has no body).
    methods: Option<VecDeque<String>>,
}

impl Messages {
    /// A parser of the client's direction.
    pub(crate) fn requests() -> Self {
        Self {
            buffer: Vec::new(),
            body: Body::None,
            methods: None,
        }
    }

    /// A parser of the server's direction; announce each request with [`Messages::expect`].
    pub(crate) fn answers() -> Self {
        Self {
            buffer: Vec::new(),
            body: Body::None,
            methods: Some(VecDeque::new()),
        }
    }

    /// Announces that an answer to `method` will follow the ones announced before.
    pub(crate) fn expect(&mut self, method: &str) {
        if let Some(methods) = &mut self.methods {
            methods.push_back(method.to_owned());
        }
    }

    /// Takes the next bytes of the stream and says what they completed, in order.
    pub(crate) fn feed(&mut self, data: &[u8]) -> Vec<Found> {
        self.buffer.extend_from_slice(data);
        let mut found = Vec::new();
        while self.step(&mut found) {}
        found
    }

    /// Reads one element; false when more bytes are needed.
    fn step(&mut self, found: &mut Vec<Found>) -> bool {
        match self.body {
            Body::None => {
                let Some(head) = self.take_until(b"\r\n\r\n") else {
                    return false;
                };
                let lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
                self.body = self.body_after(&lines);
                found.push(Found::Head(lines));
            }
            Body::Sized(left) => {
                let taken = self.discard(left);
                found.push(Found::Body(taken));
                self.body = if taken == left {
                    Body::None
                } else {
                    Body::Sized(left - taken)
                };
                return taken == left;
            }
            Body::UntilClose => {
                let taken = self.discard(u64::MAX);
                found.push(Found::Body(taken));
                return false;
            }
            Body::ChunkSize => {
                let Some(line) = self.take_until(b"\r\n") else {
                    return false;
                };
                let digits = line.split(';').next().unwrap_or_default().trim();
                self.body = match u64::from_str_radix(digits, 16) {
                    Ok(0) => Body::Trailer,
                    Ok(size) => Body::Chunk(size),
                    Err(_) => Body::UntilClose,
                };
            }
            Body::Chunk(left) => {
                let taken = self.discard(left);
                found.push(Found::Body(taken));
                self.body = if taken == left {
                    Body::ChunkEnd
                } else {
                    Body::Chunk(left - taken)
                };
                return taken == left;
            }
            Body::ChunkEnd => {
                if self.take_until(b"\r\n").is_none() {
                    return false;
                }
                self.body = Body::ChunkSize;
            }
            Body::Trailer => {
                let Some(line) = self.take_until(b"\r\n") else {
                    return false;
                };
                if line.is_empty() {
                    self.body = Body::None;
                }
            }
        }
        true
    }

    /// How the body after this head ends (RFC 9112, section 6.3).
    fn body_after(&mut self, head: &[String]) -> Body {
        let header = |name: &str| {
            head.iter()
                .skip(1)
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_ascii_lowercase())
        };
        if let Some(methods) = &mut self.methods {
            let status = status(head);
            if (100..200).contains(&status) {
                return Body::None;
            }
            let method = methods.pop_front().unwrap_or_default();
            if method == "HEAD" || status == 204 || status == 304 {
                return Body::None;
            }
        }
        if header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            return Body::ChunkSize;
        }
        match header("content-length").and_then(|value| value.parse().ok()) {
            Some(0) => Body::None,
            Some(length) => Body::Sized(length),
            None if self.methods.is_some() => Body::UntilClose,
            None => Body::None,
        }
    }

    fn take_until(&mut self, mark: &[u8]) -> Option<String> {
        let at = self
            .buffer
            .windows(mark.len())
            .position(|window| window == mark)?;
        let text = String::from_utf8_lossy(self.buffer.get(..at)?).into_owned();
        self.buffer.drain(..at + mark.len());
        Some(text)
    }

    fn discard(&mut self, most: u64) -> u64 {
        let taken = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(self.buffer.len());
        self.buffer.drain(..taken);
        taken as u64
    }
}

/// The status code in the head of an answer; 0 when there is none.
pub(crate) fn status(head: &[String]) -> u16 {
    let word = head.first().and_then(|line| line.split(' ').nth(1));
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(found: &[Found]) -> Vec<&str> {
        let mut heads = Vec::new();
        for found in found {
            if let Found::Head(lines) = found {
                heads.extend(lines.first().map(String::as_str));
            }
        }
        heads
    }

    fn body(found: &[Found]) -> u64 {
        found
            .iter()
            .map(|found| {
                if let Found::Body(size) = found {
                    *size
                } else {
                    0
                }
            })
            .sum()
    }

    #[test]
    fn requests_are_found_however_the_bytes_are_cut() {
        let stream = b"POST /a?x=1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\
            PATCH /b HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\nabcd\r\n0\r\n\r\n\
            GET /c HTTP/1.1\r\nHost: x\r\n\r\n";
        for size in [1, 2, 7, stream.len()] {
            let mut messages = Messages::requests();
            let found: Vec<Found> = stream
                .chunks(size)
                .flat_map(|part| messages.feed(part))
                .collect();
            assert_eq!(
                heads(&found),
                [
                    "POST /a?x=1 HTTP/1.1",
                    "PATCH /b HTTP/1.1",
                    "GET /c HTTP/1.1"
                ],
                "in parts of {size}"
            );
            assert_eq!(body(&found), 5 + 7, "in parts of {size}");
        }
    }

    #[test]
    fn an_answer_to_head_has_no_body_and_an_interim_answer_answers_nothing() {
        let mut messages = Messages::answers();
        messages.expect("HEAD");
        messages.expect("PUT");
        messages.expect("GET");
        let found = messages.feed(
            b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n\
              HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n\
              HTTP/1.1 200 OK\r\n\r\nuntil the end",
        );
        assert_eq!(heads(&found).len(), 4);
        assert_eq!(body(&found), 13);
    }
}
