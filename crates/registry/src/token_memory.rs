//! What is remembered between runs of where registries have their tokens given out.

use std::fmt::Debug;

/// Where a registry wants its clients to get tokens, as its challenge said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenServer {
    /// The URL to ask (`realm`).
    pub realm: String,
    /// What the registry is called there (`service`).
    pub service: Option<String>,
}

/// Keeps token servers between runs. What is remembered wrongly costs a request: the registry's own
/// answer counts for more.
pub trait TokenMemory: Debug + Send + Sync {
    /// The token server of the registry at a URL, which is scheme, host and port.
    fn recall(&self, registry: &str) -> Option<TokenServer>;

    /// Remembers it.
    fn remember(&self, registry: &str, server: &TokenServer);
}

/// Remembers nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoTokenMemory;

impl TokenMemory for NoTokenMemory {
    fn recall(&self, _registry: &str) -> Option<TokenServer> {
        None
    }

    fn remember(&self, _registry: &str, _server: &TokenServer) {}
}
