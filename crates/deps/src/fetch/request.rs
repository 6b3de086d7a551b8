//! One GET from a mirror, redirects included.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, LOCATION, RANGE};
use reqwest::{Response, StatusCode};
use url::Url;

use super::error::FetchErrorKind;
use crate::hosts::{Login, Mirror};
use ohoci_http::{
    AddressScope, ClientPool, Pace, RetryPolicy, TlsSettings, TransportSettings, chain, redacted,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Indexes of packages are many times as large as a registry's documents.
const INDEX_PATIENCE: u32 = 10;
const MAX_REDIRECTS: usize = 5;

/// Sends requests. Clones share connections.
#[derive(Clone, Debug)]
pub(super) struct Http {
    pool: Arc<ClientPool>,
    policy: RetryPolicy,
}

/// A request that came to nothing.
#[derive(Debug)]
pub(super) struct RequestError {
    pub(super) kind: FetchErrorKind,
    pub(super) why: String,
    /// Whether the next try may go better.
    pub(super) passing: bool,
    /// How long the mirror wants to be left alone.
    pub(super) wait: Option<Duration>,
}

impl RequestError {
    pub(super) fn new(kind: FetchErrorKind, why: impl Into<String>) -> Self {
        Self {
            kind,
            why: why.into(),
            passing: false,
            wait: None,
        }
    }

    pub(super) fn passing(why: impl Into<String>) -> Self {
        Self {
            passing: true,
            ..Self::new(FetchErrorKind::Unreachable, why)
        }
    }
}

impl Http {
    /// With the timeouts and the least speed of a policy.
    pub(super) fn new(policy: RetryPolicy) -> Self {
        let agent = concat!("ohoci/", env!("CARGO_PKG_VERSION")).to_owned();
        Self {
            pool: Arc::new(ClientPool::new(agent, CONNECT_TIMEOUT)),
            policy,
        }
    }

    /// The pace that a body has to keep.
    pub(super) fn pace(&self) -> Pace {
        Pace::of(&self.policy)
    }

    /// How long the body of an index may take.
    pub(super) fn whole(&self) -> Duration {
        self.policy.document_timeout.saturating_mul(INDEX_PATIENCE)
    }

    /// Asks for a path, from a byte on. What is returned is the beginning of 200 or 206.
    pub(super) async fn get(
        &self,
        mirror: &Mirror,
        path: &str,
        from: u64,
    ) -> Result<Response, RequestError> {
        self.get_as(mirror, path, from, None).await
    }

    /// The same, of a kind of content.
    pub(super) async fn get_as(
        &self,
        mirror: &Mirror,
        path: &str,
        from: u64,
        accept: Option<&str>,
    ) -> Result<Response, RequestError> {
        let mut url = mirror.url(path);
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(mirror, &url, from, accept).await?;
            let status = response.status();
            if status == StatusCode::OK || (status == StatusCode::PARTIAL_CONTENT && from > 0) {
                return Ok(response);
            }
            let Some(next) = redirect(&url, &response) else {
                return Err(refusal(status, response.headers()));
            };
            url = next?;
        }
        Err(RequestError::new(
            FetchErrorKind::Refused,
            "it redirects in a circle",
        ))
    }

    async fn send(
        &self,
        mirror: &Mirror,
        url: &Url,
        from: u64,
        accept: Option<&str>,
    ) -> Result<Response, RequestError> {
        let settings = TlsSettings::default();
        let at_home = same_host(url, &mirror.base);
        let transport_settings = if at_home {
            TransportSettings::own(url, &settings)
        } else {
            let home = AddressScope::of_literal(&mirror.base).unwrap_or(AddressScope::Public);
            if AddressScope::of_literal(url).is_some_and(|there| !home.may_send_to(there)) {
                let why = "it redirects to a private address";
                return Err(RequestError::new(FetchErrorKind::Refused, why));
            }
            TransportSettings::foreign(url, &settings, &settings, home)
        };
        let client = self
            .pool
            .get(&transport_settings)
            .map_err(|error| RequestError::new(FetchErrorKind::Local, error.to_string()))?;
        let mut request = client.get(url.clone());
        match &mirror.login {
            Some(Login::Password { user, password }) if at_home => {
                request = request.basic_auth(user, Some(password));
            }
            Some(Login::Header(value)) if at_home => {
                request = request.header(AUTHORIZATION, value);
            }
            _ => {}
        }
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        tracing::debug!(url = redacted(url), from, "GET");
        let patience = self.policy.idle_timeout;
        match tokio::time::timeout(patience, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(RequestError::passing(chain(&error.without_url()))),
            Err(_) => Err(RequestError::passing(format!(
                "no answer within {} seconds",
                patience.as_secs()
            ))),
        }
    }
}

fn same_host(a: &Url, b: &Url) -> bool {
    (a.scheme(), a.host(), a.port_or_known_default())
        == (b.scheme(), b.host(), b.port_or_known_default())
}

/// Where an answer points on to, if it does.
fn redirect(from: &Url, response: &Response) -> Option<Result<Url, RequestError>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let fail = |why: &str| Err(RequestError::new(FetchErrorKind::Refused, why));
    Some(match from.join(location) {
        Ok(url) if url.scheme() == from.scheme() || url.scheme() == "https" => Ok(url),
        Ok(_) => fail("it redirects from https to something that anyone can read along"),
        Err(_) => fail("it redirects to what is no URL"),
    })
}

fn refusal(status: StatusCode, headers: &HeaderMap) -> RequestError {
    let why = status.to_string();
    match status.as_u16() {
        404 | 410 => RequestError::new(FetchErrorKind::Gone, why),
        408 | 425 | 429 | 500 | 502..=504 => RequestError {
            wait: headers
                .get(reqwest::header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok())
                .map(Duration::from_secs),
            ..RequestError::passing(why)
        },
        500.. => RequestError::new(FetchErrorKind::Unreachable, why),
        _ => RequestError::new(FetchErrorKind::Refused, why),
    }
}
