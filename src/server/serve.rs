//! Listening, dispatching, stopping.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::serve::ListenerExt as _;
use base64::Engine as _;
use serde_json::json;

use crate::oci::Digest;

use super::access_log::RequestRecord;
use super::failure::{Code, Failure};
use super::options::{BasicAuth, Options};
use super::payload::Payload;
use super::reply::{API_VERSION, Reply};
use super::route::{self, Route};
use super::storage::{OpenError, Storage};
use super::{blobs, listing, manifests, uploads};

/// A registry that listens, but does not answer until [`Server::run_until`].
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: std::net::TcpListener,
    address: SocketAddr,
}

/// Why a registry does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, not this machine's, or not allowed.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The storage cannot be read or written.
    #[error("cannot keep a registry in {path}: {source}", path = .path.display())]
    Storage {
        /// The directory.
        path: PathBuf,
        /// Why not, with the file.
        source: io::Error,
    },
    /// Another server has the storage.
    #[error("cannot keep a registry in {path}: another server is using it", path = .path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
}

/// What every request can see.
#[derive(Debug)]
pub(super) struct App {
    pub(super) options: Options,
    pub(super) storage: Arc<Storage>,
}

impl Server {
    /// Opens the storage and listens. Unfinished uploads of an earlier server are thrown away.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn bind(options: Options) -> Result<Self, ServeError> {
        let path = || options.storage.clone();
        let storage = Storage::open(&options.storage, options.sync, options.upload_idle).map_err(
            |error| match error {
                OpenError::Io(source) => ServeError::Storage {
                    path: path(),
                    source,
                },
                OpenError::InUse => ServeError::InUse { path: path() },
            },
        )?;
        let bind = || {
            let listener = std::net::TcpListener::bind(options.listen)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = bind().map_err(|source| ServeError::Listen {
            address: options.listen,
            source,
        })?;
        let storage = Arc::new(storage);
        Ok(Self {
            app: Arc::new(App { options, storage }),
            listener,
            address,
        })
    }

    /// Where it listens, with the port that was taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `shutdown` completes, and then until those in flight are done or
    /// [`Options::drain`] has passed.
    ///
    /// # Errors
    /// When the socket cannot be used.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub async fn run_until(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        let failed = |source| ServeError::Listen {
            address: self.address,
            source,
        };
        let listener = tokio::net::TcpListener::from_std(self.listener).map_err(failed)?;
        let listener = listener.tap_io(|connection| {
            // Small answers are not to wait for acknowledgements; without it they are only slower.
            let _ = connection.set_nodelay(true);
        });
        let Options {
            drain,
            upload_sweep: sweep,
            ..
        } = self.app.options;
        let storage = Arc::clone(&self.app.storage);
        let router = Router::new().fallback(handle).with_state(self.app);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let shutdown = async move {
            shutdown.await;
            // Nobody listens when the server has ended already.
            let _ = stop.send(());
        };
        let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown);
        let deadline = async move {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(drain).await;
        };
        let sweeping = async {
            let mut ticks = tokio::time::interval(sweep.max(Duration::from_millis(1)));
            loop {
                ticks.tick().await;
                storage.sessions().sweep();
            }
        };
        tokio::select! {
            result = serving.into_future() => result.map_err(failed),
            () = deadline => Ok(()),
            () = sweeping => Ok(()),
        }
    }
}

async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    // A task of its own runs to its end when the client goes away, so that nothing stops halfway
    // and every request is logged.
    match tokio::spawn(answer(app, request)).await {
        Ok(response) => response,
        Err(error) => Failure::internal(&error).into_response(),
    }
}

async fn answer(app: Arc<App>, request: Request) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let mut payload = Payload::new(&parts.headers, body, app.options.body_idle);
    let mut response = match dispatch(&app, &parts, &mut payload).await {
        Ok(response) => response,
        Err(failure) => {
            payload.drain().await;
            failure.into_response()
        }
    };
    response
        .headers_mut()
        .insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    let record = RequestRecord {
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().map_or_else(
            || parts.uri.to_string(),
            |target| target.as_str().to_owned(),
        ),
        status: response.status().as_u16(),
        received: payload.received(),
        sent: if parts.method == Method::HEAD {
            0
        } else {
            length(&response)
        },
    };
    record.trace(started.elapsed());
    if let Some(log) = &app.options.log {
        log(&record);
    }
    response
}

/// How many bytes the answer's body has.
fn length(response: &Response) -> u64 {
    let announced = response.headers().get(header::CONTENT_LENGTH);
    announced
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .or_else(|| response.body().size_hint().exact())
        .unwrap_or_default()
}

async fn dispatch(app: &App, parts: &Parts, payload: &mut Payload) -> Result<Response, Failure> {
    if let Some(auth) = &app.options.basic_auth {
        authenticate(auth, parts)?;
    }
    match route::parse(parts.uri.path())? {
        Route::Base if matches!(parts.method, Method::GET | Method::HEAD) => {
            Ok(Reply::new(StatusCode::OK).json(&json!({})))
        }
        Route::Base => Err(Failure::method_not_allowed("GET, HEAD")),
        Route::Catalog => listing::catalog(app, parts).await,
        Route::Tags(name) => listing::tags(app, parts, name).await,
        Route::Referrers(name, digest) => listing::referrers(app, parts, name, digest).await,
        Route::Manifest(name, pointer) => {
            manifests::answer(app, parts, payload, name, pointer).await
        }
        Route::Blob(name, digest) => blobs::answer(app, parts, name, digest).await,
        Route::Uploads(name) => uploads::start(app, parts, payload, name).await,
        Route::Upload(name, id) => uploads::resume(app, parts, payload, name, &id).await,
    }
}

fn authenticate(auth: &BasicAuth, parts: &Parts) -> Result<(), Failure> {
    let expected = format!("{}:{}", auth.user, auth.password);
    let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        base64::engine::general_purpose::STANDARD
            .decode(credentials.trim())
            .ok()
    });
    // Digests are compared so that the time taken tells nothing of the password.
    if given.is_some_and(|given| Digest::of(&given) == Digest::of(expected.as_bytes())) {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::UNAUTHORIZED,
        Code::Unauthorized,
        "a user name and its password are needed",
    )
    .header(header::WWW_AUTHENTICATE, "Basic realm=\"ohoci\""))
}
