//! A registry in memory that takes every manifest unchecked, as some do, and that a test may
//! empty, or make answer otherwise.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::answering::answer;
use super::peer::{Access, Peer, block_on, sha256};

/// What a request says.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    /// The path, and the query behind a question mark.
    pub(crate) target: &'a str,
    pub(crate) body: &'a [u8],
}

/// What the registry holds.
#[derive(Default)]
pub(crate) struct Held {
    blobs: HashMap<(String, String), Bytes>,
    manifests: HashMap<(String, String), (String, Bytes)>,
    uploads: HashMap<String, Vec<u8>>,
    opened: usize,
}

type Meddle = dyn Fn(&Asked<'_>, &mut Held) -> Option<Response> + Send + Sync;

/// A running registry.
pub(crate) struct TrustingRegistry {
    address: SocketAddr,
    held: Arc<Mutex<Held>>,
    seen: Arc<Mutex<Vec<(String, String)>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TrustingRegistry {
    pub(crate) fn start() -> Self {
        Self::meddled(|_, _| None)
    }

    /// `meddle` is asked first, and may change what is held.
    pub(crate) fn meddled(
        meddle: impl Fn(&Asked<'_>, &mut Held) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let held: Arc<Mutex<Held>> = Arc::default();
        let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let meddle: Arc<Meddle> = Arc::new(meddle);
        let (stop, stopped) = oneshot::channel::<()>();
        let (state, log) = (Arc::clone(&held), Arc::clone(&seen));
        let router = Router::new()
            .fallback(
                move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                    let target = uri.path_and_query().unwrap().to_string();
                    log.lock()
                        .unwrap()
                        .push((method.to_string(), target.clone()));
                    let asked = Asked {
                        method: &method,
                        target: &target,
                        body: &body,
                    };
                    let mut held = state.lock().unwrap();
                    let told = meddle(&asked, &mut held);
                    let told = told.unwrap_or_else(|| held.answer(&asked, &headers));
                    async move { told }
                },
            )
            .layer(DefaultBodyLimit::disable());
        let thread = thread::spawn(move || {
            block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let serving = axum::serve(listener, router).into_future();
                tokio::select! { result = serving => result.unwrap(), _ = stopped => {} }
            });
        });
        Self {
            address,
            held,
            seen,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer::new(
            &format!("http://{}", self.address),
            Access::Anonymous,
            None,
            None,
        )
    }

    /// Loses everything.
    pub(crate) fn empty(&self) {
        *self.held.lock().unwrap() = Held::default();
    }

    /// Loses one blob of a repository.
    pub(crate) fn lose(&self, repository: &str, digest: &str) {
        let key = (repository.to_owned(), digest.to_owned());
        assert!(self.held.lock().unwrap().blobs.remove(&key).is_some());
    }

    /// The requests since the start or the last call.
    pub(crate) fn take_requests(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl Drop for TrustingRegistry {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok() || thread::panicking());
        }
    }
}

impl Held {
    /// Whether a repository has a blob.
    pub(crate) fn has(&self, repository: &str, digest: &str) -> bool {
        let key = (repository.to_owned(), digest.to_owned());
        self.blobs.contains_key(&key)
    }

    /// Answers as a well-behaved registry does.
    pub(crate) fn answer(&mut self, asked: &Asked<'_>, headers: &HeaderMap) -> Response {
        let (path, query) = asked.target.split_once('?').unwrap_or((asked.target, ""));
        let query = query.replace("%3A", ":").replace("%2F", "/");
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
                .next()
        };
        let path = path.strip_prefix("/v2/").unwrap_or_default();
        if let Some((repository, reference)) = path.split_once("/manifests/") {
            return self.manifest(asked, headers, repository, reference);
        }
        if let Some((repository, id)) = path.split_once("/blobs/uploads/") {
            if asked.method == Method::POST {
                if let (Some(digest), Some(from)) = (parameter("mount"), parameter("from"))
                    && let Some(blob) = self.blobs.get(&(from, digest.clone())).cloned()
                {
                    self.blobs
                        .insert((repository.to_owned(), digest.clone()), blob);
                    return answer(201, &[("docker-content-digest", &digest)], "");
                }
                self.opened += 1;
                let id = format!("u{}", self.opened);
                self.uploads.insert(id.clone(), Vec::new());
                let location = format!("/v2/{repository}/blobs/uploads/{id}");
                return answer(202, &[("location", &location)], "");
            }
            let Some(upload) = self.uploads.get_mut(id) else {
                return answer(404, &[], r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#);
            };
            let location = format!("/v2/{path}");
            if asked.method == Method::DELETE {
                self.uploads.remove(id);
                return answer(204, &[], "");
            }
            upload.extend_from_slice(asked.body);
            let range = format!("0-{}", upload.len().saturating_sub(1));
            let told = [("location", location.as_str()), ("range", range.as_str())];
            return match (asked.method, parameter("digest")) {
                (&Method::PUT, Some(digest)) if sha256(upload) == digest => {
                    let bytes = self.uploads.remove(id).unwrap().into();
                    self.blobs.insert((repository.to_owned(), digest), bytes);
                    answer(201, &[], "")
                }
                (&Method::PUT, _) => answer(400, &[], r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#),
                (&Method::PATCH, _) => answer(202, &told, ""),
                _ => answer(204, &told, ""),
            };
        }
        if let Some((repository, digest)) = path.split_once("/blobs/") {
            let key = (repository.to_owned(), digest.to_owned());
            return match self.blobs.get(&key) {
                Some(blob) => content(asked, &[], blob),
                None => answer(404, &[], r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#),
            };
        }
        answer(404, &[], "")
    }

    fn manifest(
        &mut self,
        asked: &Asked<'_>,
        headers: &HeaderMap,
        repository: &str,
        reference: &str,
    ) -> Response {
        if asked.method == Method::PUT {
            let kind = headers["content-type"].to_str().unwrap().to_owned();
            let digest = sha256(asked.body);
            let document = (kind, Bytes::copy_from_slice(asked.body));
            for name in [reference, &digest] {
                self.manifests
                    .insert((repository.to_owned(), name.to_owned()), document.clone());
            }
            return answer(201, &[("docker-content-digest", &digest)], "");
        }
        match self
            .manifests
            .get(&(repository.to_owned(), reference.to_owned()))
        {
            Some((kind, bytes)) => {
                let digest = sha256(bytes);
                let told = [
                    ("content-type", kind.as_str()),
                    ("docker-content-digest", digest.as_str()),
                ];
                content(asked, &told, bytes)
            }
            None => answer(404, &[], r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#),
        }
    }
}

fn content(asked: &Asked<'_>, headers: &[(&str, &str)], bytes: &Bytes) -> Response {
    if asked.method != Method::HEAD {
        return answer(200, headers, bytes.clone());
    }
    let length = bytes.len().to_string();
    let mut headers = headers.to_vec();
    headers.push(("content-length", &length));
    answer(200, &headers, Body::empty())
}
