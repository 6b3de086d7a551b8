//! What a registry can be told when it starts.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::access_log::RequestRecord;

/// Called once for every request, when its answer is known and before the client sees it.
pub type RequestLog = Arc<dyn Fn(&RequestRecord) + Send + Sync>;

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
    /// How often such uploads are looked for.
    pub upload_sweep: Duration,
    /// How long a client may send nothing in the middle of a request body.
    pub body_idle: Duration,
    /// How long requests in flight may take to finish after the server was told to stop.
    pub drain: Duration,
    /// Whether content is flushed to the disk before its name appears, so that a power cut leaves
    /// no name with wrong content. A killed process leaves none either way.
    pub sync: bool,
    /// The one user who may do anything; without it everybody may.
    pub basic_auth: Option<BasicAuth>,
    /// Sees every request; tests assert sequences with it.
    pub log: Option<RequestLog>,
}

/// A user name and a password.
#[derive(Clone)]
pub struct BasicAuth {
    /// User name; no colon in it.
    pub user: String,
    /// Password.
    pub password: String,
}

impl Options {
    /// The defaults: 64 GiB per blob, an hour for idle uploads, a minute for idle bodies, half a
    /// minute to drain, flushed writes, no authentication.
    #[must_use]
    pub fn new(listen: SocketAddr, storage: impl Into<PathBuf>) -> Self {
        Self {
            listen,
            storage: storage.into(),
            max_blob: 64 << 30,
            upload_idle: Duration::from_secs(3600),
            upload_sweep: Duration::from_secs(60),
            body_idle: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            sync: true,
            basic_auth: None,
            log: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("storage", &self.storage)
            .field("max_blob", &self.max_blob)
            .field("upload_idle", &self.upload_idle)
            .field("upload_sweep", &self.upload_sweep)
            .field("body_idle", &self.body_idle)
            .field("drain", &self.drain)
            .field("sync", &self.sync)
            .field("basic_auth", &self.basic_auth)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
