//! Why a request got no answer. `reqwest` tells only some of it apart; the rest shows in the errors behind
//! its own, which are looked into here and nowhere else.

use std::error::Error as StdError;
use std::io;

use super::address::RefusedAddress;
use super::client::SendError;
use super::shown::chain;

/// Why a request to a server, or the reading of its answer, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFailure {
    /// A server has sent us to an address that it may not send us to.
    RefusedAddress,
    /// There is no host of that name.
    NoHost,
    /// Nothing listens there.
    Refused,
    /// It speaks no TLS.
    NoTls,
    /// It wants a client certificate.
    CertificateWanted,
    /// Its certificate is not trusted.
    Untrusted,
    /// Connecting took too long.
    ConnectTimeout,
    /// It was let go of while connecting.
    ConnectReset,
    /// Connecting failed in another way.
    NotConnected,
    /// What it answers is not HTTP.
    NoHttp,
    /// The connection broke.
    Broken,
}

/// Why a proxy did not connect us, where it was the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyFailure {
    /// It wants a name and a password, or refuses those given.
    PasswordWanted,
    /// There is no host of its name.
    NoHost,
    /// Nothing listens there.
    Refused,
    /// It does not connect to the server.
    NoTunnel,
    /// Connecting took too long.
    ConnectTimeout,
}

impl RequestFailure {
    /// Tells it by the error.
    #[must_use]
    pub fn of(error: &SendError) -> Self {
        let words = chain(error);
        if find::<RefusedAddress>(error).is_some() {
            Self::RefusedAddress
        } else if is_dns(error, &words) {
            Self::NoHost
        } else if is_io(error, io::ErrorKind::ConnectionRefused) {
            Self::Refused
        } else if error.is_connect() && words.contains("InvalidContentType") {
            Self::NoTls
        } else if words.contains("CertificateRequired") {
            Self::CertificateWanted
        } else if error.is_connect() && words.contains("certificate") {
            Self::Untrusted
        } else if error.is_connect() && is_timeout(error) {
            Self::ConnectTimeout
        } else if error.is_connect() && is_io(error, io::ErrorKind::ConnectionReset) {
            Self::ConnectReset
        } else if error.is_connect() {
            Self::NotConnected
        } else if words.contains("parsed") || words.contains("message head is too large") {
            Self::NoHttp
        } else {
            Self::Broken
        }
    }

    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::ConnectTimeout | Self::ConnectReset | Self::Broken
        )
    }
}

impl ProxyFailure {
    /// Tells it by the error of a request that went through a proxy; `None` where that did its part.
    #[must_use]
    pub fn of(error: &SendError) -> Option<Self> {
        let words = chain(error);
        if words.contains("proxy authorization required") {
            Some(Self::PasswordWanted)
        } else if is_dns(error, &words) {
            Some(Self::NoHost)
        } else if is_io(error, io::ErrorKind::ConnectionRefused) {
            Some(Self::Refused)
        } else if words.contains("tunnel error") {
            Some(Self::NoTunnel)
        } else if error.is_connect() && is_timeout(error) {
            Some(Self::ConnectTimeout)
        } else {
            None
        }
    }

    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_transient(self) -> bool {
        self == Self::ConnectTimeout
    }
}

fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // An I/O error shows what it wraps only through its own accessor.
        if let Some(found) = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<T>())
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Whether a name was not found. The client that reads little ahead tells by words only.
fn is_dns(error: &SendError, words: &str) -> bool {
    match error {
        SendError::Usual(error) => error.is_dns(),
        SendError::Sparing(_) => words.contains("dns error"),
    }
}

fn is_timeout(error: &SendError) -> bool {
    match error {
        SendError::Usual(error) => error.is_timeout(),
        SendError::Sparing(_) => is_io(error, io::ErrorKind::TimedOut),
    }
}

fn is_io(error: &(dyn StdError + 'static), kind: io::ErrorKind) -> bool {
    find::<io::Error>(error).is_some_and(|io| io.kind() == kind)
}
