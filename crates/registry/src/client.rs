//! The client: one per process, shared by everything that talks to registries.

use std::sync::Arc;

use super::error::Error;
use super::scope::Scope;
use super::settings::Settings;
use super::statistics::Statistics;
use super::transport::Transport;

/// Talks to registries.
///
/// Clones are cheap and share connections, tokens, pace and what has been learned about each
/// registry.
#[derive(Clone, Debug)]
pub struct Client(pub(crate) Arc<Transport>);

impl Client {
    /// A client without connections. Connections are made, and certificates read, when
    /// they are first needed.
    ///
    /// # Errors
    /// When the settings contradict themselves.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        // A header that cannot be sent would otherwise show as a failure of the first request.
        if reqwest::header::HeaderValue::from_str(&settings.user_agent).is_err() {
            return Err(Error::new(
                super::error::ErrorKind::Unsupported,
                format!("{:?} is no user agent", settings.user_agent),
            ));
        }
        Ok(Self(Arc::new(Transport::new(settings))))
    }

    /// A client of the same settings for a process that reads for others as long as it runs: it does not
    /// remember what every repository has shown to hold, nor which scopes were announced. Those who
    /// push gain by that. It shares neither connections nor statistics with this one.
    #[must_use]
    pub fn reading_only(&self) -> Self {
        Self(Arc::new(Transport::reading_only(self.0.settings.clone())))
    }

    /// Says which scopes will be needed on a host, so that one token can carry all of them.
    pub fn announce(&self, host: &str, scopes: impl IntoIterator<Item = Scope>) {
        // A host name that cannot be used fails with the first request to it.
        if let Ok(host) = self.0.host(host) {
            host.announce(scopes);
        }
    }

    /// What went over the wire so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.counters.snapshot()
    }

    /// Warnings that registries sent along, each once.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.0.warnings.all()
    }
}
