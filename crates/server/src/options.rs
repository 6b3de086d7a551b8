//! What a registry can be told when it starts.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::access_log::RequestRecord;
use super::tls::TlsFiles;

/// Called once for every request, when its answer is known and before the client sees it.
pub type RequestLog = Arc<dyn Fn(&RequestRecord) + Send + Sync>;

/// Called with one sentence.
pub type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// Tokens that clients get for a password (distribution, `docs/spec/auth/token.md`).
#[derive(Clone, Debug)]
pub struct TokenOptions {
    /// File of the key that they are signed with; it is made if it is not there.
    pub key: PathBuf,
    /// How long one holds.
    pub lifetime: Duration,
    /// The URL where clients get them; without it, `/token` below the address that a client uses.
    pub realm: Option<String>,
}

/// Settings of a [`Server`](super::Server).
#[derive(Clone)]
pub struct Options {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Directory of the repositories; made when it is not there.
    pub storage: PathBuf,
    /// Largest blob that is taken, in bytes.
    pub max_blob: u64,
    /// How long an unfinished upload may lie still before it is thrown away.
    pub upload_idle: Duration,
    /// The same for an upload of which nothing has come yet.
    pub empty_upload_idle: Duration,
    /// How often such uploads are looked for.
    pub upload_sweep: Duration,
    /// How long a request's head may take to come, and the TLS handshake before the first one.
    pub head_timeout: Duration,
    /// How long a connection is kept for the next request.
    pub keep_alive: Duration,
    /// How long a client may send next to nothing in the middle of a request body.
    pub body_idle: Duration,
    /// How long a client may take nothing of an answer.
    pub write_idle: Duration,
    /// Most connections at once; as many as fit into the process's descriptors if that is less.
    pub max_connections: Option<usize>,
    /// Most unfinished uploads at once; with the same bound.
    pub max_uploads: Option<usize>,
    /// How long requests in flight may take to finish after the server was told to stop.
    pub drain: Duration,
    /// Whether content is flushed to the disk before its name appears, so that a power cut leaves
    /// no name with wrong content. A killed process leaves none either way.
    pub sync: bool,
    /// Certificate and key; without them it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// File of users, who may do anything, and their hashed passwords; without it any client may.
    pub htpasswd: Option<PathBuf>,
    /// Tokens for the users of [`Options::htpasswd`]; without them clients show passwords.
    pub tokens: Option<TokenOptions>,
    /// How often the files of [`Options::tls`], [`Options::htpasswd`] and [`Options::tokens`] are looked at
    /// for changes.
    pub refresh: Duration,
    /// Sees every request; tests assert sequences with it.
    pub log: Option<RequestLog>,
    /// Is told what whoever runs the server should know.
    pub notice: Option<Notice>,
}

impl Options {
    /// The defaults: 64 GiB per blob, an hour for idle uploads and five minutes for empty ones, half
    /// a minute for a request's head, a minute for idle bodies and answers, a minute and a half
    /// between requests, half a minute to drain, flushed writes, no TLS and no authentication.
    #[must_use]
    pub fn new(listen: SocketAddr, storage: impl Into<PathBuf>) -> Self {
        Self {
            listen,
            storage: storage.into(),
            max_blob: 64 << 30,
            upload_idle: Duration::from_secs(3600),
            empty_upload_idle: Duration::from_secs(300),
            upload_sweep: Duration::from_secs(10),
            head_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(90),
            body_idle: Duration::from_secs(60),
            write_idle: Duration::from_secs(60),
            max_connections: None,
            max_uploads: None,
            drain: Duration::from_secs(30),
            sync: true,
            tls: None,
            htpasswd: None,
            tokens: None,
            refresh: Duration::from_secs(1),
            log: None,
            notice: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("storage", &self.storage)
            .field("tls", &self.tls)
            .field("htpasswd", &self.htpasswd)
            .finish_non_exhaustive()
    }
}
