//! Telling failures of connections apart, and refusals by status.

use std::error::Error as StdError;
use std::time::Duration;

use reqwest::{StatusCode, Url};

use super::cloud;
use super::error::{Error, ErrorKind};
use super::error_body::ErrorBody;
use ohoci_http::pace::{self, TooSlow};
use ohoci_http::{ProxyFailure, RequestFailure, SendError};

/// A request that got no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What to tell if it stays so.
    pub(crate) error: Error,
    /// Whether the same request may succeed later.
    pub(crate) transient: bool,
}

impl Failure {
    /// A failure that another attempt would repeat.
    pub(crate) fn lasting(error: Error) -> Self {
        Self {
            error,
            transient: false,
        }
    }

    /// Nothing happened for too long.
    pub(crate) fn stalled(host: &str, seconds: u64) -> Self {
        Self {
            error: Error::new(
                ErrorKind::Unreachable,
                format!("{host} did not answer for {seconds} s"),
            ),
            transient: true,
        }
    }

    /// A body came too slowly.
    pub(crate) fn too_slow(host: &str, why: TooSlow) -> Self {
        Self {
            error: Error::new(ErrorKind::Unreachable, format!("{host} is too slow: {why}"))
                .hinted(pace::HINT),
            transient: true,
        }
    }

    /// A document took too long as a whole. Another attempt would, too.
    pub(crate) fn overdue(host: &str, limit: Duration) -> Self {
        let why = format!(
            "{host} is too slow: the answer did not end within {} s",
            limit.as_secs()
        );
        Self::lasting(Error::new(ErrorKind::Unreachable, why).hinted(pace::HINT))
    }

    /// A proxy that asks who we are.
    pub(crate) fn proxy_wants_password(proxy: &str) -> Error {
        Error::new(
            ErrorKind::Denied,
            format!("the proxy {proxy} wants a name and a password, or refuses those given"),
        )
        .hinted("they stand in the variable: HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT")
    }

    /// Why sending a request to `url`, through a proxy if there is one, failed.
    pub(crate) fn through(proxy: Option<&str>, error: SendError, url: &Url) -> Self {
        let Some((proxy, failure)) = proxy.zip(ProxyFailure::of(&error)) else {
            return Self::of(error, url);
        };
        let host = authority(url);
        let why = match failure {
            ProxyFailure::PasswordWanted => {
                return Self::lasting(Self::proxy_wants_password(proxy));
            }
            ProxyFailure::NoHost => format!("there is no proxy {proxy} ({})", innermost(&error)),
            ProxyFailure::Refused => format!("the proxy {proxy} refuses connections"),
            ProxyFailure::NoTunnel => format!(
                "the proxy {proxy} does not connect to {host}: {}",
                innermost(&error)
            ),
            ProxyFailure::ConnectTimeout => {
                format!("connecting to {host} through the proxy {proxy} took too long")
            }
        };
        let hint = "the proxy is named by HTTPS_PROXY, HTTP_PROXY or ALL_PROXY; NO_PROXY lists the \
                    hosts that are reached without it";
        Self {
            error: Error::new(ErrorKind::Unreachable, why)
                .caused_by(error.without_url())
                .hinted(hint),
            transient: failure.is_transient(),
        }
    }

    /// Why sending a request to `url`, or reading its answer, failed.
    pub(crate) fn of(error: SendError, url: &Url) -> Self {
        let host = authority(url);
        let error = error.without_url();
        let failure = RequestFailure::of(&error);
        let cause = innermost(&error);
        let (kind, why) = match failure {
            RequestFailure::RefusedAddress => (
                ErrorKind::Server,
                format!("the registry sends its clients to {host}, which has a private address"),
            ),
            RequestFailure::NoHost => (
                ErrorKind::Unreachable,
                format!("there is no host {host} ({cause})"),
            ),
            RequestFailure::Refused => (
                ErrorKind::Unreachable,
                format!("{host} refuses connections"),
            ),
            RequestFailure::NoTls => (ErrorKind::Unreachable, format!("{host} does not speak TLS")),
            RequestFailure::CertificateWanted => (
                ErrorKind::Denied,
                format!("{host} wants a client certificate"),
            ),
            RequestFailure::Untrusted => (
                ErrorKind::Unreachable,
                format!("the certificate of {host} is not trusted: {cause}"),
            ),
            RequestFailure::ConnectTimeout => (
                ErrorKind::Unreachable,
                format!("connecting to {host} took too long"),
            ),
            RequestFailure::ConnectReset | RequestFailure::NotConnected => (
                ErrorKind::Unreachable,
                format!("cannot connect to {host}: {cause}"),
            ),
            RequestFailure::NoHttp => (
                ErrorKind::Server,
                format!("{host} does not answer in HTTP: {cause}"),
            ),
            RequestFailure::Broken => (
                ErrorKind::Unreachable,
                format!("the connection to {host} broke: {cause}"),
            ),
        };
        let hint = match failure {
            RequestFailure::NoHost => Some("check the name for a typo, and the network".to_owned()),
            RequestFailure::Refused => {
                Some("check the port, and that the registry is running".to_owned())
            }
            RequestFailure::NoTls => {
                Some(format!("if it is meant to be plain HTTP, say --plain-http {host}"))
            }
            RequestFailure::CertificateWanted => {
                Some("name one in the configuration of that registry".to_owned())
            }
            RequestFailure::Untrusted => Some(
                "if you trust its authority, name the authority's certificate, or the registry's own, with --ca-file"
                    .to_owned(),
            ),
            RequestFailure::NoHttp => (url.scheme() == "http").then(|| speaks_tls(&host)),
            _ => None,
        };
        let error = Error::new(kind, why).caused_by(error);
        Self {
            error: match hint {
                Some(hint) => error.hinted(hint),
                None => error,
            },
            transient: failure.is_transient(),
        }
    }
}

/// What to do where plain HTTP met a server that wants TLS. Loopback hosts are talked to in plain
/// HTTP unless something about TLS is set for them.
fn speaks_tls(host: &str) -> String {
    format!(
        "if {host} speaks TLS, leave out --plain-http; if it is on this machine, name its certificate authority with --ca-file"
    )
}

/// The host and port of a URL, as a person would write them.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The words of the innermost cause.
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    super::error_body::printable(&last.to_string())
}

/// Who asked, for the hint of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// A client without credentials.
    Nothing,
    /// A client with credentials.
    Credentials,
    /// A client whose configured credentials cannot be had; why not.
    Unavailable(String),
}

/// The failure that an answer with an error status means.
pub(crate) fn refusal(host: &str, status: StatusCode, body: &ErrorBody, shown: Shown) -> Error {
    let status_text = match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    };
    let plain = match status.as_u16() {
        401 | 403 => "access is denied",
        404 if body.has(&["NAME_UNKNOWN"]) => "the repository does not exist",
        404 if body.has(&["MANIFEST_UNKNOWN"]) => "the repository has no manifest of that name",
        404 if body.has(&["BLOB_UNKNOWN"]) => "the repository has no such blob",
        404 if body.has(&["BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID"]) => {
            "the registry has forgotten the upload"
        }
        404 => "there is no such thing in the registry",
        _ if body.has(&["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"]) => {
            "the registry does not have something that it lists"
        }
        429 => "too many requests",
        408 | 500..=599 => "the registry failed",
        _ => "the registry refuses the request",
    };
    let kind = match status.as_u16() {
        401 | 403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        405 | 413 | 415 => ErrorKind::Unsupported,
        429 => ErrorKind::RateLimited,
        _ if body.has(&["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"]) => ErrorKind::Incomplete,
        _ if body.has(&["UNSUPPORTED", "MANIFEST_INVALID"]) => ErrorKind::Unsupported,
        _ => ErrorKind::Server,
    };
    let why = if body.words.is_empty() {
        format!("{plain} ({status_text})")
    } else {
        format!("{plain}: {} ({status_text})", body.words)
    };
    let error = Error::new(kind, why)
        .with_status(status.as_u16())
        .with_code(body.codes.first().cloned());
    match (status.as_u16(), shown) {
        (401 | 403, Shown::Unavailable(why)) => error.hinted(format!(
            "no credentials were sent, since {why}; to log in: {}",
            cloud::login(host)
        )),
        (401 | 403, Shown::Nothing) => error.hinted(format!(
            "no credentials were sent, and it may not exist; to log in: {}",
            cloud::login(host)
        )),
        (404, _) if body.has(&["NAME_UNKNOWN"]) => error.hinted("check the name for a typo"),
        (401, Shown::Credentials) => error.hinted(format!(
            "the credentials for {host} were refused, or do not permit this; to renew them: {}",
            cloud::login(host)
        )),
        (403, Shown::Credentials) => error.hinted(format!(
            "the credentials for {host} do not permit this; ask for the right, or log in as another user: ohoci login {host}"
        )),
        (400, _) if body.words.contains("HTTP request to an HTTPS server") => {
            error.hinted(speaks_tls(host))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, json: &str, shown: Shown) -> Error {
        refusal(
            "registry.example",
            StatusCode::from_u16(status).unwrap(),
            &ErrorBody::parse(json.as_bytes(), &crate::sent::Sent::default()),
            shown,
        )
    }

    #[test]
    fn what_is_missing_is_said_in_words() {
        let unknown = |code: &str| {
            refused(
                404,
                &format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#),
                Shown::Nothing,
            )
            .why()
            .to_owned()
        };
        assert_eq!(
            unknown("NAME_UNKNOWN"),
            "the repository does not exist: NAME_UNKNOWN (404 Not Found)"
        );
        assert!(unknown("MANIFEST_UNKNOWN").starts_with("the repository has no manifest"));
    }

    #[test]
    fn the_hint_of_a_refusal_depends_on_what_was_shown() {
        let hint = |status, shown| refused(status, "", shown).hint().unwrap().to_owned();
        assert!(hint(401, Shown::Nothing).contains("ohoci login registry.example"));
        assert!(hint(401, Shown::Credentials).contains("refused"));
        assert!(hint(403, Shown::Credentials).contains("do not permit"));
    }

    #[test]
    fn kinds() {
        assert_eq!(
            refused(429, "", Shown::Nothing).kind(),
            ErrorKind::RateLimited
        );
        assert_eq!(refused(502, "", Shown::Nothing).kind(), ErrorKind::Server);
        assert_eq!(
            refused(413, "", Shown::Nothing).kind(),
            ErrorKind::Unsupported
        );
        assert_eq!(
            refused(
                400,
                r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}"#,
                Shown::Nothing
            )
            .kind(),
            ErrorKind::Incomplete
        );
    }
}
