//! Starting and stopping.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::ServerConfig;

use super::accept::Acceptor;
use super::app::{App, Content, Layouts};
use super::authentication::Authentication;
use super::connections::{Connections, Deadlines};
use super::htpasswd::Htpasswd;
use super::images::Images;
use super::limits::{self, Limits};
use super::metrics::Metrics;
use super::options::{Options, TokenOptions};
use super::reloaded::{FileError, Reloaded};
use super::storage::{IdleLimits, OpenError, Storage};
use super::tls;
use super::token_key::TokenKey;
use super::tokens::Tokens;

/// How many connections the kernel keeps that are not accepted yet, where `net.core.somaxconn` permits it:
/// as many as there may be. With the 128 of the standard library, a thousand clients at once wait for
/// seconds until they try again.
const QUEUE: i32 = 4096;

/// A registry that listens, but does not answer until [`Server::run_until`].
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: std::net::TcpListener,
    address: SocketAddr,
    limits: Limits,
    tls: Option<Arc<Reloaded<ServerConfig>>>,
    users: Option<Arc<Reloaded<Htpasswd>>>,
    token_key: Option<Arc<Reloaded<TokenKey>>>,
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

impl Server {
    /// Opens the storage and listens. Unfinished uploads of an earlier server are thrown away.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn bind(options: Options) -> Result<Self, ServeError> {
        Self::with(options, |options, limits| {
            let path = || options.storage.clone();
            let idle_limits = IdleLimits {
                empty: options.empty_upload_idle,
                begun: options.upload_idle,
            };
            let storage =
                Storage::open(&options.storage, options.sync, idle_limits, limits.uploads)
                    .map_err(|error| match error {
                        OpenError::Io(source) => ServeError::Storage {
                            path: path(),
                            source,
                        },
                        OpenError::InUse => ServeError::InUse { path: path() },
                    })?;
            Ok(Content::Layouts(Layouts {
                options: Arc::clone(options),
                storage: Arc::new(storage),
            }))
        })
    }

    /// Listens, and answers from images that lie nowhere here; the storage of the options is not
    /// touched.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub fn bind_to(options: Options, images: Arc<dyn Images>) -> Result<Self, ServeError> {
        Self::with(options, |_, _| Ok(Content::Images(images)))
    }

    fn with(
        options: Options,
        content: impl FnOnce(&Arc<Options>, &Limits) -> Result<Content, ServeError>,
    ) -> Result<Self, ServeError> {
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
        let tokens = options.tokens.as_ref().map(tokens).transpose()?;
        let token_key = tokens.as_ref().map(|tokens| Arc::clone(&tokens.key));
        let authentication = users
            .clone()
            .map(|users| Authentication::new(users, tokens, tls.is_some()));
        let authentication = authentication
            .transpose()
            .map_err(|error| FileError::new(format!("there is no randomness: {error}")))?;
        let options = Arc::new(options);
        let content = content(&options, &limits)?;
        let bind = || {
            let listener = std::net::TcpListener::bind(options.listen)?;
            socket2::SockRef::from(&listener).listen(QUEUE)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        let (listener, address) = bind().map_err(|source| ServeError::Listen {
            address: options.listen,
            source,
        })?;
        Ok(Self {
            app: Arc::new(App {
                options,
                authentication,
                content,
                metrics: Metrics::default(),
            }),
            listener,
            address,
            limits,
            tls: tls.map(Arc::new),
            users,
            token_key,
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
            () = refresh(
                &self.app,
                self.tls.as_deref(),
                self.users.as_deref(),
                self.token_key.as_deref(),
            ) => {}
        }
        Ok(())
    }
}

/// Drops abandoned uploads for as long as it is polled.
async fn sweep(app: &App) {
    let Content::Layouts(layouts) = &app.content else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(app.options.upload_sweep.max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        layouts.storage.sessions().sweep();
    }
}

/// Gets tokens ready.
fn tokens(options: &TokenOptions) -> Result<Tokens, FileError> {
    TokenKey::make_if_missing(&options.key)?;
    let path = options.key.clone();
    let read = path.clone();
    let key = Reloaded::open(vec![path], move || TokenKey::read(&read))?;
    Ok(Tokens {
        key: Arc::new(key),
        lifetime: options.lifetime,
        realm: options.realm.clone(),
    })
}

/// Reads certificates, passwords and the key of tokens again when their files change, for as long as it is polled.
async fn refresh(
    app: &App,
    tls: Option<&Reloaded<ServerConfig>>,
    users: Option<&Reloaded<Htpasswd>>,
    token_key: Option<&Reloaded<TokenKey>>,
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
            token_key.map_or(Ok(false), Reloaded::refresh),
        ];
        for error in outcomes.into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "what was read before stays in use");
            if let Some(notice) = &app.options.notice {
                notice(&format!("{error}; what was read before stays in use"));
            }
        }
    }
}
