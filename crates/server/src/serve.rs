//! Starting, dispatching requests, stopping.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tokio_rustls::rustls::ServerConfig;

use super::accept::Acceptor;
use super::access_log::RequestRecord;
use super::authentication::Authentication;
use super::connections::{Connections, Deadlines};
use super::failure::Failure;
use super::htpasswd::Htpasswd;
use super::limits::{self, Limits};
use super::options::Options;
use super::payload::Payload;
use super::reloaded::{FileError, Reloaded};
use super::reply::{API_VERSION, Reply};
use super::route::{self, Route};
use super::storage::{IdleLimits, OpenError, Storage};
use super::{blobs, listing, manifests, tls, uploads};

/// A registry that listens, but does not answer until [`Server::run_until`].
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: std::net::TcpListener,
    address: SocketAddr,
    limits: Limits,
    tls: Option<Arc<Reloaded<ServerConfig>>>,
    users: Option<Arc<Reloaded<Htpasswd>>>,
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
    /// Certificate, key or passwords cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The process may have so few files open that nothing could be served.
    #[error("the process may have only {descriptors} files open; a registry needs 80 at least")]
    Descriptors {
        /// The limit.
        descriptors: u64,
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
    authentication: Option<Authentication>,
    pub(super) storage: Arc<Storage>,
}

impl Server {
    /// Opens the storage and listens. Unfinished uploads of an earlier server are thrown away.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn bind(options: Options) -> Result<Self, ServeError> {
        let descriptors = limits::descriptors();
        let limits = Limits::within(descriptors)
            .ok_or(ServeError::Descriptors { descriptors })?
            .at_most(options.max_connections, options.max_uploads);
        let tls = options.tls.as_ref().map(tls::open).transpose()?;
        let users = options.htpasswd.clone().map(|path| {
            let read = path.clone();
            Reloaded::open(vec![path], move || Htpasswd::read(&read))
        });
        let users = users.transpose()?.map(Arc::new);
        let authentication = users.clone().map(Authentication::new).transpose();
        let authentication = authentication
            .map_err(|error| FileError::new(format!("there is no randomness: {error}")))?;
        let path = || options.storage.clone();
        let idle_limits = IdleLimits {
            empty: options.empty_upload_idle,
            begun: options.upload_idle,
        };
        let storage = Storage::open(&options.storage, options.sync, idle_limits, limits.uploads)
            .map_err(|error| match error {
                OpenError::Io(source) => ServeError::Storage {
                    path: path(),
                    source,
                },
                OpenError::InUse => ServeError::InUse { path: path() },
            })?;
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
            app: Arc::new(App {
                options,
                authentication,
                storage,
            }),
            listener,
            address,
            limits,
            tls: tls.map(Arc::new),
            users,
        })
    }

    /// How many connections it serves at once.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.limits.connections
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
        let address = self.address;
        let listener = tokio::net::TcpListener::from_std(self.listener)
            .map_err(|source| ServeError::Listen { address, source })?;
        let options = &self.app.options;
        let connections = Connections::new(Deadlines {
            head: options.head_timeout,
            keep_alive: options.keep_alive,
            write_idle: options.write_idle,
        });
        let acceptor = Acceptor {
            app: Arc::clone(&self.app),
            connections: Arc::clone(&connections),
            tls: self.tls.clone(),
            limit: self.limits.connections,
        };
        tokio::select! {
            () = acceptor.run(listener, shutdown) => {}
            () = connections.watch() => {}
            () = sweep(&self.app) => {}
            () = refresh(&self.app, self.tls.as_deref(), self.users.as_deref()) => {}
        }
        Ok(())
    }
}

/// Throws away uploads that nobody goes on with, for as long as it is polled.
async fn sweep(app: &App) {
    let mut ticks = tokio::time::interval(app.options.upload_sweep.max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        app.storage.sessions().sweep();
    }
}

/// Reads certificates and passwords again when their files change, for as long as it is polled.
async fn refresh(
    app: &App,
    tls: Option<&Reloaded<ServerConfig>>,
    users: Option<&Reloaded<Htpasswd>>,
) {
    if tls.is_none() && users.is_none() {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(app.options.refresh.max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        // Small local files, and most of the time only their metadata.
        let outcomes = [
            tls.map_or(Ok(false), Reloaded::refresh),
            users.map_or(Ok(false), Reloaded::refresh),
        ];
        for error in outcomes.into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "what was read before stays in use");
            if let Some(notice) = &app.options.notice {
                notice(&format!("{error}; what was read before stays in use"));
            }
        }
    }
}

/// Answers one request.
pub(super) async fn handle(app: Arc<App>, request: Request) -> Response {
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
    if let Some(authentication) = &app.authentication {
        authentication.check(&parts.headers).await?;
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
