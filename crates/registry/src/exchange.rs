//! One request over the wire, and the redirects that it meets.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
};
use reqwest::{Method, Url};
use tokio::task::JoinHandle;

use super::body::{BodyError, ByteStream};
use super::call::{Call, Payload};
use super::error::{Error, ErrorKind};
use super::failure::{Failure, Shown, authority};
use super::host::Host;
use super::pacing::Lane;
use super::reply::Reply;
use super::sent::Sent;
use super::statistics::{Counters, RateLimit};
use super::transport::Transport;
use ohoci_http::{AddressScope, HttpClient, Pace, TransportError, TransportSettings, redacted};

/// Most redirects that one request follows.
const MAX_REDIRECTS: usize = 10;

/// Longest `Location` that is followed, in bytes; signed URLs reach a few thousand.
const MAX_LOCATION: usize = 32 << 10;

impl Transport {
    /// Begins a connection to a registry, by a request whose answer nothing depends on: a client has no
    /// other way to have one made. What is wrong with it shows in the first request that matters.
    pub(crate) async fn begin_connection(&self, host: &Host) -> Option<JoinHandle<()>> {
        let mut url = host.base().join("v2/").ok()?;
        let (client, _) = self.client_for(host, &mut url, Lane::Small).await.ok()?;
        let request = reqwest::Request::new(Method::HEAD, url.clone());
        self.counters.request(&Method::HEAD);
        Some(tokio::spawn(async move {
            if let Ok(response) = client.execute(request).await {
                tracing::debug!(
                    method = "HEAD",
                    url = redacted(&url),
                    status = response.status().as_u16(),
                    "registry connection"
                );
            }
        }))
    }

    /// Sends a request once and returns the answer. `authorization` goes only to the registry
    /// itself.
    pub(crate) async fn exchange(
        &self,
        host: &Host,
        call: &Call<'_>,
        authorization: Option<HeaderValue>,
    ) -> Result<Reply, Failure> {
        let permit = host.pacing.admit(call.lane).await;
        let mut url = call.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let (client, proxy) = self.client_for(host, &mut url, call.lane).await?;
            let mut headers = call.headers.clone();
            if !call.url.origin().eq(&url.origin()) {
                headers.remove(AUTHORIZATION);
            }
            if let Some(value) = authorization.clone().filter(|_| host.owns(&url)) {
                headers.insert(AUTHORIZATION, value);
            }
            let proof = headers.get(AUTHORIZATION).cloned();
            let sent = Sent::of(proof.as_ref(), &call.payload, [&call.url, &url]);
            let response = self
                .send_once(&client, proxy.as_deref(), call, &url, headers)
                .await?;
            if response.status().as_u16() == 407
                && let Some(proxy) = &proxy
            {
                return Err(Failure::lasting(Failure::proxy_wants_password(proxy)));
            }
            let status = response.status();
            tracing::debug!(
                method = %call.method,
                url = redacted(&url),
                status = status.as_u16(),
                "registry request"
            );
            let read = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
            if host.owns(&url) {
                self.warnings
                    .collect(host.name(), response.headers(), &sent);
                let limit = RateLimit::parse(read("ratelimit-limit"), read("ratelimit-remaining"));
                if let Some(limit) = limit {
                    self.counters.rate_limit(host.name(), limit);
                }
            }
            let follow = match call.method {
                Method::GET | Method::HEAD => {
                    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
                }
                _ => matches!(status.as_u16(), 307 | 308),
            };
            let next = read(LOCATION.as_str())
                .filter(|_| follow)
                .map(str::to_owned);
            let reply = Reply {
                host: host.name().to_owned(),
                url: url.clone(),
                shown: Shown::Nothing,
                response,
                counters: self.counters.clone(),
                pace: Pace::of(&self.policy),
                sent,
                document_timeout: self.policy.document_timeout,
                permit: None,
            };
            let Some(next) = next else {
                return Ok(Reply { permit, ..reply });
            };
            let mut led_to = resolve(&url, &next).map_err(Failure::lasting)?;
            if call.hand_on && !host.owns(&led_to) {
                // Clients are sent only where ohoci would go itself.
                self.client_for(host, &mut led_to, call.lane).await?;
                return Ok(Reply {
                    url: led_to,
                    permit,
                    ..reply
                });
            }
            reply.drain().await;
            url = led_to;
            if matches!(call.payload, Payload::Secret(_)) && url.origin() != call.url.origin() {
                return Err(Failure::lasting(Error::new(
                    ErrorKind::Denied,
                    format!(
                        "{} wants credentials to be sent on to {}",
                        authority(&call.url),
                        authority(&url)
                    ),
                )));
            }
        }
        Err(Failure::lasting(Error::new(
            ErrorKind::Server,
            format!("the registry redirects more than {MAX_REDIRECTS} times"),
        )))
    }

    /// The client for a URL, if the registry may send us there, and the proxy that it goes through.
    async fn client_for(
        &self,
        host: &Host,
        url: &mut Url,
        lane: Lane,
    ) -> Result<(HttpClient, Option<String>), Failure> {
        let found = |transport_settings: &TransportSettings, url: &Url| {
            let transport_settings = TransportSettings {
                slow: lane == Lane::Relay,
                ..transport_settings.clone()
            };
            self.pool.client_for(&transport_settings, url)
        };
        let unusable = |error: TransportError| Failure::lasting(error.into());
        if host.owns(url) {
            return found(&host.transport_settings, url).map_err(unusable);
        }
        let refused = |why: String| Failure::lasting(Error::new(ErrorKind::Server, why));
        // Names and passwords in a URL would become an Authorization header.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let from = if url.host() == host.base().host() {
            // Another port of the registry's own machine is no step further in.
            None
        } else {
            let from = host.address_scope().await;
            if let Some(target) = AddressScope::of_literal(url)
                && !from.may_send_to(target)
            {
                return Err(refused(format!(
                    "the registry sends its clients to the private address {}",
                    authority(url)
                )));
            }
            Some(from)
        };
        let settings = (self.settings.hosts)(&authority(url));
        let mut transport_settings = TransportSettings::foreign(
            url,
            &settings.tls(),
            &host.settings().tls(),
            from.unwrap_or(AddressScope::Public),
        );
        transport_settings.guard = from;
        if from.is_none() {
            transport_settings.unverified |=
                host.settings().skip_tls_verify && !transport_settings.plain;
        }
        found(&transport_settings, url).map_err(unusable)
    }

    async fn send_once(
        &self,
        client: &HttpClient,
        proxy: Option<&str>,
        call: &Call<'_>,
        url: &Url,
        mut headers: HeaderMap,
    ) -> Result<reqwest::Response, Failure> {
        let mut request = reqwest::Request::new(call.method.clone(), url.clone());
        let progress = Arc::new(Progress::default());
        let length = match &call.payload {
            Payload::Empty => {
                progress.sent_all.store(true, Ordering::Relaxed);
                0
            }
            Payload::Bytes(bytes) | Payload::Secret(bytes) => {
                progress.sent_all.store(true, Ordering::Relaxed);
                self.counters.up(bytes.len());
                *request.body_mut() = Some(bytes.clone().into());
                bytes.len() as u64
            }
            Payload::Stream {
                body,
                offset,
                length,
            } => {
                let stream = body
                    .open(*offset)
                    .await
                    .map_err(|error| Failure::lasting(error.into()))?;
                let watched = watch(
                    stream,
                    *length,
                    Arc::clone(&progress),
                    self.counters.clone(),
                );
                *request.body_mut() = Some(reqwest::Body::wrap_stream(watched));
                *length
            }
        };
        if matches!(call.method, Method::POST | Method::PUT | Method::PATCH) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            if !headers.contains_key(CONTENT_TYPE) {
                let kind = HeaderValue::from_static("application/octet-stream");
                headers.insert(CONTENT_TYPE, kind);
            }
        }
        *request.headers_mut() = headers;
        self.counters.request(&call.method);
        let streamed = matches!(call.payload, Payload::Stream { .. });
        let answer = client.execute(request);
        tokio::pin!(answer);
        let mut seen = 0;
        loop {
            let done = progress.sent_all.load(Ordering::Relaxed);
            let patience = if done && streamed {
                self.policy.commit_timeout
            } else {
                self.policy.idle_timeout
            };
            match tokio::time::timeout(patience, &mut answer).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => {
                    // What the body failed of is the cause; that the connection broke follows.
                    return Err(match progress.take_failure() {
                        Some(cause) => Failure::lasting(cause.into()),
                        None => Failure::through(proxy, error, url),
                    });
                }
                Err(_) => {
                    let moved = progress.bytes.load(Ordering::Relaxed);
                    if moved == seen && done == progress.sent_all.load(Ordering::Relaxed) {
                        return Err(Failure::stalled(&authority(url), patience.as_secs()));
                    }
                    seen = moved;
                }
            }
        }
    }
}

/// How far a streamed body has got.
#[derive(Debug, Default)]
struct Progress {
    bytes: AtomicU64,
    sent_all: AtomicBool,
    failure: Mutex<Option<BodyError>>,
}

impl Progress {
    fn fail(&self, error: BodyError) -> BodyError {
        *self.failure.lock() = Some(error.clone());
        error
    }

    fn take_failure(&self) -> Option<BodyError> {
        self.failure.lock().take()
    }
}

/// Largest piece that is handed over at once, in bytes, so that progress shows.
const PIECE: usize = 256 << 10;

/// Exactly `length` bytes of a stream, counted as they leave.
fn watch(
    stream: ByteStream,
    length: u64,
    progress: Arc<Progress>,
    counters: Counters,
) -> impl futures_util::Stream<Item = Result<Bytes, BodyError>> + Send + 'static {
    let state = (stream, Bytes::new(), length);
    futures_util::stream::try_unfold(state, move |(mut stream, mut ready, left)| {
        let (progress, counters) = (Arc::clone(&progress), counters.clone());
        async move {
            if left == 0 {
                progress.sent_all.store(true, Ordering::Relaxed);
                return Ok(None);
            }
            while ready.is_empty() {
                ready = match stream.next().await {
                    Some(Ok(piece)) => piece,
                    Some(Err(error)) => return Err(progress.fail(error)),
                    None => {
                        let short = io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            format!("the content ends {left} bytes too early"),
                        );
                        return Err(progress.fail(short.into()));
                    }
                };
            }
            let most = PIECE.min(usize::try_from(left).unwrap_or(usize::MAX));
            let piece = ready.split_to(most.min(ready.len()));
            let left = left - piece.len() as u64;
            // A stream that finds its content wrong says so behind the last piece. Held back until
            // then, that piece keeps the registry from taking the wrong content.
            if left == 0
                && ready.is_empty()
                && let Some(Err(error)) = stream.next().await
            {
                return Err(progress.fail(error));
            }
            counters.up(piece.len());
            progress
                .bytes
                .fetch_add(piece.len() as u64, Ordering::Relaxed);
            if left == 0 {
                progress.sent_all.store(true, Ordering::Relaxed);
            }
            Ok(Some((piece, (stream, ready, left))))
        }
    })
}

/// Where a `Location` leads from `base`: it may be absolute, relative, or lack the scheme.
pub(crate) fn resolve(base: &Url, location: &str) -> Result<Url, Error> {
    let refused = |why: &str| {
        Error::new(
            ErrorKind::Server,
            format!("the registry sends its clients to a place that {why}"),
        )
    };
    if location.is_empty() || location.len() > MAX_LOCATION {
        return Err(refused("is no URL"));
    }
    let url = base.join(location).map_err(|_| refused("is no URL"))?;
    match url.scheme() {
        "https" => {}
        "http" if base.scheme() == "http" => {}
        "http" => return Err(refused("is not protected by TLS")),
        _ => return Err(refused("is neither HTTP nor HTTPS")),
    }
    if !url.has_host() {
        return Err(refused("names no host"));
    }
    Ok(url)
}

#[cfg(test)]
mod combinations;

#[cfg(test)]
mod tests {
    use super::*;

    fn from(base: &str, location: &str) -> Option<String> {
        resolve(&base.parse().unwrap(), location)
            .ok()
            .map(|url| url.to_string())
    }

    #[test]
    fn locations_of_every_form() {
        let base = "https://registry.example:5000/v2/a/blobs/uploads/?mount=x";
        for (location, url) in [
            (
                "https://cdn.example/u?sig=a%2Fb%3D",
                Some("https://cdn.example/u?sig=a%2Fb%3D"),
            ),
            (
                "/v2/a/blobs/uploads/1?_state=x",
                Some("https://registry.example:5000/v2/a/blobs/uploads/1?_state=x"),
            ),
            (
                "1",
                Some("https://registry.example:5000/v2/a/blobs/uploads/1"),
            ),
            ("//other.example/u", Some("https://other.example/u")),
            (
                "?uuid=1",
                Some("https://registry.example:5000/v2/a/blobs/uploads/?uuid=1"),
            ),
            ("http://registry.example/u", None),
            ("ftp://registry.example/u", None),
            ("file:///etc/passwd", None),
            ("https://", None),
            ("https://[::", None),
            ("", None),
        ] {
            assert_eq!(from(base, location).as_deref(), url, "{location}");
        }
        assert_eq!(from(base, &"x".repeat(100_000)), None);
    }

    #[tokio::test]
    async fn nobody_on_the_internet_sends_us_to_our_own_network() {
        let transport = Transport::new(crate::Settings::default());
        let allowed = async |registry: &str, target: &str| {
            let host = transport.host(registry).unwrap();
            let mut url = target.parse().unwrap();
            transport
                .client_for(&host, &mut url, Lane::Small)
                .await
                .is_ok()
        };
        let public = "93.184.216.34";
        for (registry, target, fine) in [
            (public, "https://93.184.216.35/", true),
            (public, "https://cdn.example/", true),
            (public, "https://93.184.216.34:8443/", true),
            (public, "http://127.0.0.1:2375/", false),
            (public, "https://localhost/", false),
            (public, "https://10.0.0.1/", false),
            (public, "https://[::ffff:192.168.0.1]/", false),
            (public, "http://169.254.169.254/", false),
            ("10.0.0.1:5000", "https://10.0.0.2/", true),
            ("10.0.0.1:5000", "https://127.0.0.1/", false),
            ("10.0.0.1:5000", "https://169.254.169.254/", false),
            ("127.0.0.1:5000", "http://127.0.0.1:5001/", true),
        ] {
            assert_eq!(allowed(registry, target).await, fine, "{registry} {target}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_location_makes_it_panic_or_leave_http(location in ".{0,80}") {
            let base: Url = "https://registry.example/v2/a/b".parse().unwrap();
            if let Ok(url) = resolve(&base, &location) {
                assert_eq!(url.scheme(), "https");
                let _ = redacted(&url);
            }
        }
    }
}
