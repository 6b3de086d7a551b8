//! A plain-HTTP server on loopback whose answers a test makes up: registries that stall, lie or
//! take their tokens back.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::oneshot;

use super::images::Image;
use super::peer::{block_on, sha256};

/// How long a test waits for a request on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request without its body.
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The path, and the query behind a question mark.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
}

impl Request {
    /// A header's value, empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// A running server.
pub(crate) struct Answering {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Answering {
    /// Answers each request with what `answer` returns, or never when that is `None`.
    pub(crate) fn start(
        answer: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let (answer, log) = (Arc::new(answer), Arc::clone(&seen));
        let router = Router::new().fallback(
            move |method: Method, uri: Uri, headers: HeaderMap, _body: Body| {
                let request = Request {
                    target: uri.path_and_query().unwrap().to_string(),
                    method,
                    headers,
                };
                log.lock()
                    .unwrap()
                    .push(format!("{} {}", request.method, request.target));
                let answer = answer(&request);
                async move {
                    match answer {
                        Some(response) => response,
                        None => std::future::pending().await,
                    }
                }
            },
        );
        let thread = thread::spawn(move || {
            block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let serving = axum::serve(listener, router).into_future();
                tokio::select! { result = serving => result.unwrap(), _ = stopped => {} }
            });
        });
        Self {
            address,
            seen,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The requests so far, `METHOD /path?query` each.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until a request has come that starts like this.
    pub(crate) fn wait_for(&self, start: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.requests().iter().any(|line| line.starts_with(start)) {
            assert!(
                Instant::now() < deadline,
                "no {start}: {:?}",
                self.requests()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || thread::panicking());
        }
    }
}

/// An answer with a status, headers and a body.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body.into()).unwrap()
}

/// An answer of `length` bytes of which nothing comes after `start`.
pub(crate) fn stalled(start: &[u8], length: usize) -> Response {
    let start = Ok::<_, std::io::Error>(Bytes::copy_from_slice(start));
    let body = futures_util::stream::iter([start]).chain(futures_util::stream::pending());
    answer(
        200,
        &[("content-length", &length.to_string())],
        Body::from_stream(body),
    )
}

/// What a registry that has the image under every name answers to a reading request.
pub(crate) fn image(image: &Image, request: &Request) -> Response {
    let (_, name) = request.target.rsplit_once('/').unwrap();
    if request.target.contains("/manifests/") {
        return answer(
            200,
            &[
                ("content-type", image.media_type),
                ("docker-content-digest", &image.digest),
            ],
            image.manifest.clone(),
        );
    }
    let blobs = image.layers.iter().map(|layer| layer.bytes.clone());
    match blobs
        .chain([image.config.clone()])
        .find(|blob| sha256(blob) == name)
    {
        Some(blob) => answer(200, &[], blob),
        None => answer(404, &[], ""),
    }
}
