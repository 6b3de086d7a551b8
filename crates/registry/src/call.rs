//! A request to a registry as its callers describe it.

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};

use super::body::Body;
use super::pacing::Lane;
use super::scope::ScopeSet;

/// The body of a request.
#[derive(Clone, Debug)]
pub(crate) enum Payload<'a> {
    /// None.
    Empty,
    /// A small one.
    Bytes(Bytes),
    /// A small one that proves who asks: it goes where it is addressed to and nowhere else.
    Secret(Bytes),
    /// Part of something that can be opened again.
    Stream {
        /// What to send.
        body: &'a dyn Body,
        /// Where in it to begin.
        offset: u64,
        /// How many bytes from there.
        length: u64,
    },
}

/// How often a request is sent again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryLimit {
    /// As often as the policy permits.
    Full,
    /// Up to this many attempts.
    UpTo(u32),
    /// Only where the registry says that there were too many requests; a refusal of another kind
    /// is an answer, too.
    Throttled,
    /// Never: the caller has better means.
    None,
}

/// One request to a registry.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload<'a>,
    /// What a token must permit, the repository asked first.
    pub(crate) scopes: ScopeSet,
    pub(crate) lane: Lane,
    pub(crate) retry_limit: RetryLimit,
    /// Whether a redirect that leaves the registry is the answer, instead of being followed.
    pub(crate) hand_on: bool,
}

impl Call<'_> {
    /// A small request without body.
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            payload: Payload::Empty,
            scopes: ScopeSet::default(),
            lane: Lane::Small,
            retry_limit: RetryLimit::Full,
            hand_on: false,
        }
    }

    /// The same with scopes.
    pub(crate) fn scoped(mut self, scopes: ScopeSet) -> Self {
        self.scopes = scopes;
        self
    }

    /// The same with other patience.
    pub(crate) fn retry_limit(mut self, retry_limit: RetryLimit) -> Self {
        self.retry_limit = retry_limit;
        self
    }
}
