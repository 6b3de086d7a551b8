//! What sends a request: the client of its settings, or one that reads little ahead of whoever takes the
//! body.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Error as LegacyError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::header::{ACCEPT, HeaderValue, USER_AGENT};
use reqwest::{Request, Response};

/// About how many bytes are read ahead of a body's reader at once, and the most that an answer's head may have.
const READ_AHEAD: usize = 16 << 10;

/// How long a connection is kept for the next request: shorter than the 60 s or more that servers keep
/// one, so that a request does not run into its end.
pub(crate) const IDLE: Duration = Duration::from_secs(50);

/// Sends requests. Clones share connections.
#[derive(Clone, Debug)]
pub struct HttpClient(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Usual(reqwest::Client),
    Sparing(Arc<Sparing>),
}

/// Plain HTTP without a proxy, for bodies that move as slowly as whoever reads them. The usual client
/// reads up to 400 KiB ahead of each, and cannot be told otherwise; with TLS it is a record, as there is
/// no more at once.
#[derive(Debug)]
pub(crate) struct Sparing {
    client: legacy::Client<HttpConnector, reqwest::Body>,
    user_agent: HeaderValue,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// From the usual client, or from reading a body.
    #[error(transparent)]
    Usual(#[from] reqwest::Error),
    /// From the one that reads little ahead.
    #[error(transparent)]
    Sparing(LegacyError),
}

impl HttpClient {
    pub(crate) fn usual(client: reqwest::Client) -> Self {
        Self(Kind::Usual(client))
    }

    pub(crate) fn sparing(client: Arc<Sparing>) -> Self {
        Self(Kind::Sparing(client))
    }

    /// Sends a request and waits for the head of its answer. No redirect is followed.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn execute(&self, request: Request) -> Result<Response, SendError> {
        match &self.0 {
            Kind::Usual(client) => Ok(client.execute(request).await?),
            Kind::Sparing(client) => client.execute(request).await,
        }
    }
}

impl Sparing {
    pub(crate) fn new(user_agent: &str, connect_timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(connect_timeout));
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .http1_max_buf_size(READ_AHEAD)
            .build(connector);
        Self {
            client,
            // Checked when the client for registries was made.
            user_agent: HeaderValue::from_str(user_agent)
                .unwrap_or_else(|_| HeaderValue::from_static("ohoci")),
        }
    }

    async fn execute(&self, mut request: Request) -> Result<Response, SendError> {
        let headers = request.headers_mut();
        headers
            .entry(USER_AGENT)
            .or_insert_with(|| self.user_agent.clone());
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("*/*"));
        let answer = self.client.request(request.try_into()?).await;
        let answer = answer.map_err(SendError::Sparing)?;
        Ok(answer.map(reqwest::Body::wrap).into())
    }
}

impl SendError {
    /// The same without the URL, which may hold secrets.
    #[must_use]
    pub fn without_url(self) -> Self {
        match self {
            Self::Usual(error) => Self::Usual(error.without_url()),
            Self::Sparing(error) => Self::Sparing(error),
        }
    }

    pub(crate) fn is_connect(&self) -> bool {
        match self {
            Self::Usual(error) => error.is_connect(),
            Self::Sparing(error) => error.is_connect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use reqwest::{Method, Url};

    use super::*;

    const BODY: usize = 8 << 20;

    /// A server that answers one request with its head, and then with all that the client takes.
    fn server() -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/a", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<String> = lines
                .map(Result::unwrap)
                .take_while(|line| !line.is_empty())
                .collect();
            let agent = head.iter().filter(|line| *line == "user-agent: t/1");
            let host = head.iter().filter(|line| line.starts_with("host: 127"));
            assert_eq!((agent.count(), host.count()), (1, 1), "{head:?}");
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            stream.write_all(&vec![7; BODY]).unwrap();
        });
        url.parse().unwrap()
    }

    #[tokio::test]
    async fn little_is_read_ahead_of_a_slow_reader() {
        let client = Sparing::new("t/1", Duration::from_secs(10));
        let client = HttpClient::sparing(Arc::new(client));
        let request = Request::new(Method::GET, server());
        let mut answer = client.execute(request).await.unwrap();
        assert_eq!(answer.content_length(), Some(BODY as u64));
        let mut length = 0;
        while let Some(piece) = answer.chunk().await.unwrap() {
            // What a buffer has room for beyond that is read, too.
            assert!(piece.len() <= 2 * READ_AHEAD, "{}", piece.len());
            length += piece.len();
        }
        assert_eq!(length, BODY);
    }

    #[tokio::test]
    async fn what_keeps_it_from_connecting_is_told_apart() {
        use crate::RequestFailure;

        let client = Sparing::new("t/1", Duration::from_secs(10));
        let client = HttpClient::sparing(Arc::new(client));
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = free.local_addr().unwrap();
        drop(free);
        for (url, expected) in [
            (format!("http://{closed}/"), RequestFailure::Refused),
            ("http://none.invalid/".to_owned(), RequestFailure::NoHost),
        ] {
            let request = Request::new(Method::GET, url.parse().unwrap());
            let error = client.execute(request).await.unwrap_err();
            assert_eq!(RequestFailure::of(&error), expected, "{error:?}");
        }
    }
}
