//! Telling failures of connections apart, and refusals by status.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use reqwest::{StatusCode, Url};

use super::error::{Error, ErrorKind};
use super::error_body::ErrorBody;
use ohoci_http::address::RefusedAddress;
use ohoci_http::chain;
use ohoci_http::pace::{self, TooSlow};

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
    pub(crate) fn through(proxy: Option<&str>, error: reqwest::Error, url: &Url) -> Self {
        let Some(proxy) = proxy else {
            return Self::of(error, url);
        };
        let words = chain(&error);
        let tunnel = words.contains("tunnel error");
        let hint = "the proxy is named by HTTPS_PROXY, HTTP_PROXY or ALL_PROXY; NO_PROXY lists the \
                    hosts that are reached without it";
        let (kind, why, transient) = if words.contains("proxy authorization required") {
            return Self::lasting(Self::proxy_wants_password(proxy));
        } else if error.is_dns() {
            let why = format!("there is no proxy {proxy} ({})", tail(&error));
            (ErrorKind::Unreachable, why, false)
        } else if is_io(&error, io::ErrorKind::ConnectionRefused) {
            let why = format!("the proxy {proxy} refuses connections");
            (ErrorKind::Unreachable, why, false)
        } else if tunnel {
            let why = format!(
                "the proxy {proxy} does not connect to {}: {}",
                authority(url),
                tail(&error)
            );
            (ErrorKind::Unreachable, why, false)
        } else if error.is_connect() && error.is_timeout() {
            let why = format!(
                "connecting to {} through the proxy {proxy} took too long",
                authority(url)
            );
            (ErrorKind::Unreachable, why, true)
        } else {
            return Self::of(error, url);
        };
        Self {
            error: Error::new(kind, why)
                .caused_by(error.without_url())
                .hinted(hint),
            transient,
        }
    }

    /// Why sending a request to `url`, or reading its answer, failed.
    pub(crate) fn of(error: reqwest::Error, url: &Url) -> Self {
        let host = authority(url);
        let error = error.without_url();
        let words = chain(&error);
        let (kind, why, hint, transient) = if find::<RefusedAddress>(&error).is_some() {
            (
                ErrorKind::Server,
                format!("the registry sends its clients to {host}, which has a private address"),
                None,
                false,
            )
        } else if error.is_dns() {
            (
                ErrorKind::Unreachable,
                format!("there is no host {host} ({})", tail(&error)),
                Some("check the name for a typo, and the network".to_owned()),
                false,
            )
        } else if is_io(&error, io::ErrorKind::ConnectionRefused) {
            (
                ErrorKind::Unreachable,
                format!("{host} refuses connections"),
                Some("check the port, and that the registry is running".to_owned()),
                false,
            )
        } else if error.is_connect() && words.contains("InvalidContentType") {
            (
                ErrorKind::Unreachable,
                format!("{host} does not speak TLS"),
                Some(format!(
                    "if it is meant to be plain HTTP, say --plain-http {host}"
                )),
                false,
            )
        } else if words.contains("CertificateRequired") {
            (
                ErrorKind::Denied,
                format!("{host} wants a client certificate"),
                Some("name one in the configuration of that registry".to_owned()),
                false,
            )
        } else if error.is_connect() && words.contains("certificate") {
            (
                ErrorKind::Unreachable,
                format!("the certificate of {host} is not trusted: {}", tail(&error)),
                Some(
                    "if you trust its authority, name the authority's certificate, or the registry's own, with --ca-file"
                        .to_owned(),
                ),
                false,
            )
        } else if error.is_connect() {
            let timed_out = error.is_timeout();
            (
                ErrorKind::Unreachable,
                if timed_out {
                    format!("connecting to {host} took too long")
                } else {
                    format!("cannot connect to {host}: {}", tail(&error))
                },
                None,
                timed_out || is_io(&error, io::ErrorKind::ConnectionReset),
            )
        } else if words.contains("parsed") || words.contains("message head is too large") {
            (
                ErrorKind::Server,
                format!("{host} does not answer in HTTP: {}", tail(&error)),
                (url.scheme() == "http").then(|| speaks_tls(&host)),
                false,
            )
        } else {
            (
                ErrorKind::Unreachable,
                format!("the connection to {host} broke: {}", tail(&error)),
                None,
                true,
            )
        };
        let mut failure = Error::new(kind, why).caused_by(error);
        if let Some(hint) = hint {
            failure = failure.hinted(hint);
        }
        Self {
            error: failure,
            transient,
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

fn is_io(error: &(dyn StdError + 'static), kind: io::ErrorKind) -> bool {
    find::<io::Error>(error).is_some_and(|io| io.kind() == kind)
}

/// The words of the innermost cause.
fn tail(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    super::error_body::printable(&last.to_string())
}

/// Who asked, for the hint of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nobody in particular.
    Nothing,
    /// Somebody with credentials.
    Credentials,
    /// Nobody, because credentials that are configured cannot be had; why not.
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
            "no credentials were sent, since {why}; to log in: ohoci login {host}"
        )),
        (401 | 403, Shown::Nothing) => error.hinted(format!(
            "no credentials were sent, and it may not exist; to log in: ohoci login {host}"
        )),
        (404, _) if body.has(&["NAME_UNKNOWN"]) => error.hinted("check the name for a typo"),
        (401, Shown::Credentials) => error.hinted(format!(
            "the credentials for {host} were refused, or do not permit this; to renew them: ohoci login {host}"
        )),
        (403, Shown::Credentials) => error.hinted(format!(
            "the credentials for {host} do not permit this; ask for the right, or log in as somebody else: ohoci login {host}"
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
