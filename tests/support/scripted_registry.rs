//! A server on loopback that expects requests in a given order and answers as it was told, with
//! every misbehaviour that raw TCP permits.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, as far as it was read.
    pub(crate) body: Vec<u8>,
    /// Which connection it came over.
    pub(crate) connection: usize,
}

impl Seen {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// How the server answers one request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    head: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    delivery: Delivery,
    read_at_most: Option<usize>,
}

#[derive(Clone, Debug)]
enum Delivery {
    Whole,
    /// Announces the whole body, sends this much and closes.
    CutAfter(usize),
    /// Announces this length.
    Lying(usize),
    /// Sends body after body for ever, chunked.
    Endless,
    /// Sends exactly these bytes and closes.
    Raw(Vec<u8>),
    /// Closes without a word.
    Drop,
    /// Keeps the connection open and says nothing (more).
    Hang,
}

impl Answer {
    /// An empty answer.
    pub(crate) fn status(status: u16) -> Self {
        Self {
            head: format!("HTTP/1.1 {status} Scripted"),
            headers: Vec::new(),
            body: Vec::new(),
            delivery: Delivery::Whole,
            read_at_most: None,
        }
    }

    /// A success with a body.
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).body(body)
    }

    /// An error in the specified shape.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
        Self::status(status).body(body)
    }

    /// A demand for a token of `{host}/token`.
    pub(crate) fn challenge(scope: &str) -> Self {
        Self::status(401)
            .header(
                "www-authenticate",
                &format!(r#"Bearer realm="http://{{host}}/token",service="registry.example",scope="{scope}""#),
            )
            .body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
    }

    /// A token that lives for five minutes.
    pub(crate) fn token(token: &str) -> Self {
        Self::ok(format!(r#"{{"token":"{token}","expires_in":300}}"#))
    }

    /// Adds a header; `{host}` becomes the server's host and port.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Closes the connection after so many bytes of the body.
    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.delivery = Delivery::CutAfter(bytes);
        self
    }

    /// Announces another length than the body has.
    pub(crate) fn lying_length(mut self, length: usize) -> Self {
        self.delivery = Delivery::Lying(length);
        self
    }

    /// Repeats the body for ever.
    pub(crate) fn endless(mut self) -> Self {
        self.delivery = Delivery::Endless;
        self
    }

    /// Says nothing for ever.
    pub(crate) fn hang() -> Self {
        let mut answer = Self::status(200);
        answer.delivery = Delivery::Hang;
        answer
    }

    /// Closes the connection without an answer.
    pub(crate) fn drop_connection() -> Self {
        let mut answer = Self::status(200);
        answer.delivery = Delivery::Drop;
        answer
    }

    /// Sends these bytes and closes.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        let mut answer = Self::status(200);
        answer.delivery = Delivery::Raw(bytes.into());
        answer
    }

    /// Reads only so much of the request's body before answering.
    pub(crate) fn reading_at_most(mut self, bytes: usize) -> Self {
        self.read_at_most = Some(bytes);
        self
    }
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<(String, Answer)>,
    in_order: bool,
    seen: Vec<Seen>,
    surprises: Vec<String>,
}

/// The server.
#[derive(Debug)]
pub(crate) struct Scripted {
    host: String,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl Scripted {
    /// Expects exactly these requests (`METHOD /path?query`), in this order.
    pub(crate) async fn start<L: Into<String>>(
        script: impl IntoIterator<Item = (L, Answer)>,
    ) -> Self {
        Self::begin(script, true).await
    }

    /// Expects exactly these requests, in any order.
    pub(crate) async fn in_any_order<L: Into<String>>(
        script: impl IntoIterator<Item = (L, Answer)>,
    ) -> Self {
        Self::begin(script, false).await
    }

    async fn begin<L: Into<String>>(
        script: impl IntoIterator<Item = (L, Answer)>,
        in_order: bool,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State {
            script: script.into_iter().map(|(l, a)| (l.into(), a)).collect(),
            in_order,
            ..State::default()
        }));
        let task = tokio::spawn(accept(listener, host.clone(), Arc::clone(&state)));
        Self { host, state, task }
    }

    /// Host and port.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Everything that was asked, after checking that it was all that was expected.
    #[track_caller]
    pub(crate) fn finish(self) -> Vec<Seen> {
        self.task.abort();
        let state = self.state.lock().unwrap();
        assert!(state.surprises.is_empty(), "{:#?}", state.surprises);
        let left: Vec<&String> = state.script.iter().map(|(line, _)| line).collect();
        assert!(left.is_empty(), "never asked: {left:#?}");
        state.seen.clone()
    }
}

async fn accept(listener: TcpListener, host: String, state: Arc<Mutex<State>>) {
    let mut connection = 0;
    while let Ok((stream, _)) = listener.accept().await {
        connection += 1;
        let (host, state) = (host.clone(), Arc::clone(&state));
        tokio::spawn(async move { serve(stream, &host, &state, connection).await });
    }
}

async fn serve(
    mut stream: TcpStream,
    host: &str,
    state: &Mutex<State>,
    connection: usize,
) -> Option<()> {
    let mut buffer: Vec<u8> = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let mut lines = head.lines();
        let Some(line) = lines
            .next()
            .and_then(|first| first.strip_suffix(" HTTP/1.1"))
        else {
            let _ = stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                .await;
            return None;
        };
        let line = line.to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|l| l.split_once(':'))
            .map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_owned()))
            .collect();
        let find = |name: &str| {
            headers
                .iter()
                .find(|(k, _)| k == name)
                .map(|(_, v)| v.clone())
        };
        let length: usize = find("content-length").map_or(0, |n| n.parse().unwrap());
        assert_eq!(find("transfer-encoding"), None, "lengths are known: {line}");
        buffer.drain(..end);
        let answer = take(state, &line);
        let wanted = length.min(answer.read_at_most.unwrap_or(usize::MAX));
        while buffer.len() < wanted {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                break;
            }
        }
        let body: Vec<u8> = buffer.drain(..wanted.min(buffer.len())).collect();
        state.lock().unwrap().seen.push(Seen {
            headers: headers.clone(),
            body,
            connection,
        });
        reply(&mut stream, host, &line, answer).await?;
        if wanted < length {
            return None;
        }
    }
}

fn take(state: &Mutex<State>, line: &str) -> Answer {
    let mut state = state.lock().unwrap();
    let at = if state.in_order {
        0
    } else {
        let found = state
            .script
            .iter()
            .position(|(expected, _)| expected == line);
        found.unwrap_or(0)
    };
    match state.script.remove(at) {
        Some((expected, answer)) if expected == line => answer,
        other => {
            let expected = other.map(|(expected, _)| expected);
            state
                .surprises
                .push(format!("asked {line:?}, expected {expected:?}"));
            Answer::status(418).body("not in the script")
        }
    }
}

async fn reply(stream: &mut TcpStream, host: &str, line: &str, answer: Answer) -> Option<()> {
    let length = match answer.delivery {
        Delivery::Raw(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            return None;
        }
        Delivery::Drop => return None,
        Delivery::Hang => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return None;
        }
        Delivery::Lying(length) => Some(length),
        Delivery::Endless => None,
        Delivery::Whole | Delivery::CutAfter(_) => Some(answer.body.len()),
    };
    let mut head = answer.head;
    for (name, value) in &answer.headers {
        let _ = write!(head, "\r\n{name}: {}", value.replace("{host}", host));
    }
    let body_forbidden = line.starts_with("HEAD ")
        || head.starts_with("HTTP/1.1 204")
        || head.starts_with("HTTP/1.1 304");
    let says_length = answer
        .headers
        .iter()
        .any(|(name, _)| name == "content-length");
    match length {
        Some(length) if !says_length => {
            let _ = write!(head, "\r\ncontent-length: {length}");
        }
        None => head.push_str("\r\ntransfer-encoding: chunked"),
        Some(_) => {}
    }
    head.push_str("\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    if body_forbidden {
        return Some(());
    }
    let body = String::from_utf8(answer.body.clone()).map_or(answer.body, |text| {
        text.replace("{host}", host).into_bytes()
    });
    match answer.delivery {
        Delivery::CutAfter(bytes) => {
            stream.write_all(&body[..bytes]).await.ok()?;
            stream.flush().await.ok()?;
            None
        }
        Delivery::Endless => loop {
            let chunk = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n"].concat();
            stream.write_all(&chunk).await.ok()?;
        },
        Delivery::Lying(_) => {
            stream.write_all(&body).await.ok()?;
            let _ = stream.shutdown().await;
            None
        }
        _ => stream.write_all(&body).await.ok(),
    }
}
