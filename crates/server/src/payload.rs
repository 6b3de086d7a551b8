//! A request's body, read in bounded pieces.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::failure::{Code, Failure};

/// How much is gathered before it is hashed and written at once.
const BATCH: usize = 512 << 10;
/// How much of a refused body is read, so that the client gets to see the refusal and not a reset
/// connection.
const DRAIN: u64 = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// How many bytes a client has to send in the time that it may be idle: a byte now and then is no
/// progress.
const PROGRESS: u64 = 1 << 10;

/// A request's body.
pub(super) struct Payload {
    stream: BodyDataStream,
    declared: Option<u64>,
    received: u64,
    idle: Duration,
    /// When the client has to have got how far.
    due: Instant,
    goal: u64,
    ended: bool,
    /// Whether the client waits for a go-ahead before it sends anything.
    waits: bool,
}

impl Payload {
    pub(super) fn new(headers: &HeaderMap, body: Body, idle: Duration) -> Self {
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse().ok());
        Self {
            stream: body.into_data_stream(),
            declared,
            received: 0,
            idle,
            due: Instant::now() + idle,
            goal: PROGRESS,
            ended: false,
            waits: headers.contains_key(header::EXPECT),
        }
    }

    /// `Content-Length`, when the client gave it.
    pub(super) fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// Bytes read so far.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.ended {
            return Ok(None);
        }
        match tokio::time::timeout_at(self.due, self.stream.next()).await {
            Ok(Some(Ok(bytes))) => {
                self.received = self.received.saturating_add(bytes.len() as u64);
                if self.received >= self.goal {
                    self.goal = self.received.saturating_add(PROGRESS);
                    self.due = Instant::now() + self.idle;
                }
                Ok(Some(bytes))
            }
            Ok(None) => {
                self.ended = true;
                Ok(None)
            }
            Ok(Some(Err(error))) => {
                self.ended = true;
                Err(Failure::bad_request(
                    Code::SizeInvalid,
                    format!("the request's body broke off: {error}"),
                ))
            }
            Err(_) => {
                self.ended = true;
                Err(Failure::new(
                    StatusCode::REQUEST_TIMEOUT,
                    Code::SizeInvalid,
                    "the request's body stopped coming",
                ))
            }
        }
    }

    /// The next pieces, and what ended them early. Nothing and no failure is the end.
    pub(super) async fn batch(&mut self) -> (Vec<Bytes>, Option<Failure>) {
        let mut pieces = Vec::new();
        let mut size = 0;
        while size < BATCH {
            match self.next().await {
                Ok(Some(bytes)) => {
                    size += bytes.len();
                    pieces.push(bytes);
                }
                Ok(None) => break,
                Err(failure) => return (pieces, Some(failure)),
            }
        }
        (pieces, None)
    }

    /// The whole body, when it has at most `limit` bytes.
    pub(super) async fn whole(&mut self, limit: u64) -> Result<Bytes, Failure> {
        let too_large = || {
            Failure::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                Code::SizeInvalid,
                format!("the body is larger than the {limit} bytes that are taken here"),
            )
        };
        if self.declared.is_some_and(|declared| declared > limit) {
            return Err(too_large());
        }
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await? {
            if whole.len() as u64 + bytes.len() as u64 > limit {
                return Err(too_large());
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.into())
    }

    /// Reads on for a while and throws away what comes.
    pub(super) async fn drain(&mut self) {
        // Reading would give the go-ahead.
        if self.waits && self.received == 0 {
            return;
        }
        let until = self.received.saturating_add(DRAIN);
        let reading =
            async { while self.received < until && matches!(self.next().await, Ok(Some(_))) {} };
        // Running out of time is as good an end as any other.
        let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
    }
}
