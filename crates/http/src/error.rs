//! Why no connection can be made, before one is tried.

use std::io;
use std::path::PathBuf;

use super::shown::chain;

/// Why no connection can be made: something on this machine.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// A certificate file cannot be read. The system's words name it.
    #[error(transparent)]
    Unreadable(io::Error),
    /// A certificate file holds something else.
    #[error("{}: {why}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The TLS settings do not go together.
    #[error("the TLS settings cannot be used: {}", chain(&**.0))]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A variable names a proxy that cannot be used.
    #[error("${variable} {why}")]
    Proxy {
        /// The variable.
        variable: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl TransportError {
    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable(_) | Self::Tls(_) => None,
            Self::Certificate { .. } => {
                Some("check the certificate files in ohoci's configuration".to_owned())
            }
            Self::Proxy { variable, .. } => Some(format!(
                "it is to be like http://proxy.example:3128; `unset {variable}` goes without a proxy"
            )),
        }
    }

    pub(super) fn tls(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Tls(error.into())
    }
}
