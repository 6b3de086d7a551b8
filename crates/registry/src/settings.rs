//! How a client is set up, for all registries and per host.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::credential::{CredentialSource, NoCredentials};
use super::token_memory::{NoTokenMemory, TokenMemory};
use ohoci_http::{RetryPolicy, TlsSettings};

/// How a client is set up.
#[derive(Clone)]
pub struct Settings {
    /// Settings for a host as it stands in references.
    pub hosts: Arc<dyn Fn(&str) -> HostSettings + Send + Sync>,
    /// Where credentials come from.
    pub credentials: Arc<dyn CredentialSource>,
    /// Where token servers are kept between runs.
    pub token_memory: Arc<dyn TokenMemory>,
    /// The `User-Agent`, such as `ohoci/1.2.3`.
    pub user_agent: String,
    /// How long to wait and how often to try again.
    pub retry: RetryPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts: Arc::new(|_| HostSettings::default()),
            credentials: Arc::new(NoCredentials),
            token_memory: Arc::new(NoTokenMemory),
            user_agent: concat!("ohoci/", env!("CARGO_PKG_VERSION")).to_owned(),
            retry: RetryPolicy::default(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("credentials", &self.credentials)
            .field("token_memory", &self.token_memory)
            .field("user_agent", &self.user_agent)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// How to talk to one registry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostSettings {
    /// Plain HTTP instead of HTTPS. Loopback hosts are talked to in plain HTTP anyway, unless
    /// something about TLS is set for them here.
    pub plain_http: bool,
    /// Where to pull from first, best first.
    pub mirrors: Vec<Mirror>,
    /// PEM files of certificate authorities to trust besides the system's.
    pub certificate_authorities: Vec<PathBuf>,
    /// PEM files of certificate authorities to trust for this registry and all others. They do not
    /// say that it speaks TLS: a loopback host is asked.
    pub shared_authorities: Vec<PathBuf>,
    /// PEM files of a client certificate and its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Do not verify the server's certificate: whoever is in between can read and change
    /// everything.
    pub skip_tls_verify: bool,
    /// Send no more requests than this per second.
    pub requests_per_second: Option<f64>,
    /// Small requests in flight at once, 16 unless given. Of uploads and of downloads there are
    /// up to three eighths of that each.
    pub concurrency: Option<usize>,
    /// Whether the registry takes a blob in one POST (distribution-spec, "Single POST");
    /// `None` means not known.
    pub single_post: Option<bool>,
    /// Send no more bytes of a blob than this with one request.
    pub chunk_size: Option<u64>,
}

impl HostSettings {
    /// What is set about TLS.
    pub(crate) fn tls(&self) -> TlsSettings {
        let own = self.certificate_authorities.iter();
        TlsSettings {
            authorities: own.chain(&self.shared_authorities).cloned().collect(),
            identity: self.client_certificate.clone(),
            unverified: self.skip_tls_verify,
        }
    }
}

/// Another registry that serves the same content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirror {
    /// Its host and port.
    pub host: String,
    /// What goes in front of a repository's name there; empty for nothing.
    pub prefix: String,
}

impl Mirror {
    /// The repository's name on the mirror.
    pub(crate) fn repository(&self, name: &str) -> String {
        match self.prefix.trim_matches('/') {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }
}
