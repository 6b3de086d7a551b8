//! Accepting connections, up to a limit, and serving each.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Request;
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::answer::handle;
use super::app::{App, Content};
use super::connections::{Busy, Connections, Listed};
use super::reloaded::Reloaded;
use super::socket::Socket;

/// How long to wait before accepting again when the machine has no room for another connection.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a connection that makes room may take to close before another one is chosen.
const CLOSING: Duration = Duration::from_secs(1);

/// How many connections are told at once that there is no room; further ones are just closed.
const TURNED_AWAY: usize = 16;

/// How long a connection that is turned away may take to go.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a connection gets when every other one has a request in it.
const NO_ROOM: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\n\
    content-length: 111\r\n\
    retry-after: 2\r\n\
    connection: close\r\n\r\n\
    {\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"the registry has no room for more connections\",\"detail\":null}]}";

/// Most bytes of a request's head, and about as many of an answer that wait for a client to take them,
/// where images are composed and their layers only pass through: several hundred slow clients at once take
/// little memory then. What is pushed comes in larger pieces.
const RELAYED: usize = 32 << 10;

/// What accepts and serves connections.
pub(super) struct Acceptor {
    pub(super) app: Arc<App>,
    pub(super) connections: Arc<Connections>,
    /// Speaks plain HTTP without it.
    pub(super) tls: Option<Arc<Reloaded<ServerConfig>>>,
    /// Most connections at once.
    pub(super) limit: usize,
}

impl Acceptor {
    /// Serves until `shutdown` completes and what was begun is done, or the time for that is over.
    pub(super) async fn run(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let drain = self.app.options.drain;
        let connections = Arc::clone(&self.connections);
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tokio::select! {
            () = self.accept(listener, stopping, &mut tasks) => {}
            () = shutdown => {}
        }
        // The listener is closed; the receiver may be gone.
        let _ = stop.send(true);
        connections.close_waiting();
        let finished = async { while tasks.join_next().await.is_some() {} };
        // What is left is ended together with the set.
        let _ = tokio::time::timeout(drain, finished).await;
    }

    async fn accept(
        self,
        listener: TcpListener,
        stopping: watch::Receiver<bool>,
        tasks: &mut JoinSet<()>,
    ) {
        let slots = Arc::new(Semaphore::new(self.limit));
        let farewells = Arc::new(Semaphore::new(TURNED_AWAY));
        loop {
            while tasks.try_join_next().is_some() {}
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                // The client has gone again.
                Err(error) if is_the_clients(&error) => continue,
                Err(error) => {
                    tracing::error!(%error, "cannot accept a connection");
                    self.connections.make_room();
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let slot = match Arc::clone(&slots).try_acquire_owned() {
                Ok(slot) => Some(slot),
                Err(_) if self.connections.make_room() => {
                    let freed = Arc::clone(&slots).acquire_owned();
                    tokio::time::timeout(CLOSING, freed)
                        .await
                        .ok()
                        .and_then(Result::ok)
                }
                Err(_) => None,
            };
            let Some(slot) = slot else {
                if let Ok(turn) = Arc::clone(&farewells).try_acquire_owned() {
                    let plain = self.tls.is_none();
                    tasks.spawn(async move {
                        // Whether the client hears it is its own business.
                        let _ = tokio::time::timeout(FAREWELL, turn_away(stream, plain)).await;
                        drop(turn);
                    });
                }
                continue;
            };
            let tls = self
                .tls
                .as_ref()
                .map(|files| TlsAcceptor::from(files.current()));
            let serving = Serving {
                app: Arc::clone(&self.app),
                listed: self.connections.list(),
                stopping: stopping.clone(),
            };
            tasks.spawn(async move {
                serving.run(stream, tls).await;
                drop(slot);
            });
        }
    }
}

/// One connection's share.
struct Serving {
    app: Arc<App>,
    listed: Listed,
    stopping: watch::Receiver<bool>,
}

impl Serving {
    async fn run(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        // Small answers are not to wait for acknowledgements; without it they are only slower.
        let _ = stream.set_nodelay(true);
        let connection = Arc::clone(self.listed.connection());
        let socket = Socket::new(stream, Arc::clone(&connection));
        let serving = async {
            match tls {
                None => self.serve(socket).await,
                Some(acceptor) => match acceptor.accept(socket).await {
                    Ok(socket) => self.serve(socket).await,
                    Err(error) => tracing::debug!(%error, "no TLS handshake"),
                },
            }
        };
        tokio::select! {
            () = serving => {}
            () = connection.closing() => {}
        }
    }

    async fn serve(&self, socket: impl AsyncRead + AsyncWrite + Unpin) {
        let connection = self.listed.connection();
        let service = service_fn(|request: Request<Incoming>| {
            let busy = connection.begin();
            let app = Arc::clone(&self.app);
            async move {
                let response: Response = handle(app, request.map(Body::new)).await;
                Ok::<_, Infallible>(response.map(|body| Answer { body, _busy: busy }))
            }
        });
        let mut http = http1::Builder::new();
        if let Content::Images(_) = self.app.content {
            http.max_buf_size(RELAYED);
        }
        let mut serving = pin!(http.serve_connection(TokioIo::new(socket), service));
        let mut stopping = self.stopping.clone();
        let stopped = async {
            // A server that is gone has stopped as well.
            let _ = stopping.wait_for(|stop| *stop).await;
        };
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            () = stopped => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

/// An answer's body; its connection is busy for as long as there is something left of it.
struct Answer {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Tells a client that there is no room, where it can be told without a handshake.
async fn turn_away(mut stream: TcpStream, plain: bool) -> io::Result<()> {
    let mut bytes = [0; 4096];
    if plain {
        // Clients do not expect an answer before they have asked.
        if stream.read(&mut bytes).await? == 0 {
            return Ok(());
        }
        stream.write_all(NO_ROOM.as_bytes()).await?;
    }
    stream.shutdown().await?;
    // Closing a socket with unread bytes in it would take the answer back.
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}

/// Whether a failure to accept concerns that one connection only.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_without_room_has_the_length_that_it_says() {
        let (head, body) = NO_ROOM.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["errors"][0]["code"], "TOOMANYREQUESTS");
    }

    #[test]
    fn only_the_clients_own_failures_are_passed_over_at_once() {
        let no_room = rustix::io::Errno::MFILE;
        assert!(!is_the_clients(&no_room.into()));
        assert!(is_the_clients(&rustix::io::Errno::CONNABORTED.into()));
    }
}
