//! A repository in a registry. What can be done with it stands in the files beside this one.

use std::fmt;
use std::sync::Arc;

use reqwest::{Method, Url};

use super::call::{Call, RetryLimit};
use super::client::Client;
use super::error::{Error, ErrorKind};
use super::host::Host;
use super::pacing::Lane;
use super::scope::{Scope, ScopeSet};
use super::transport::Transport;
use ohoci_image::Digest;

/// A repository in a registry.
#[derive(Clone, Debug)]
pub struct Repository {
    client: Client,
    host: String,
    name: String,
    /// What its small requests count as.
    lane: Lane,
}

impl Client {
    /// A repository; nothing is sent.
    #[must_use]
    pub fn repository(&self, host: &str, name: &str) -> Repository {
        Repository {
            client: self.clone(),
            host: host.to_owned(),
            name: name.to_owned(),
            lane: Lane::Small,
        }
    }
}

impl Repository {
    /// The registry as it stands in references.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The name inside the registry.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client that it belongs to.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What identifies the registry: scheme, host and port. The same name may stand for another
    /// registry when it is spoken to in plain HTTP.
    ///
    /// # Errors
    /// When its name cannot be one.
    pub fn registry(&self) -> Result<String, Error> {
        let base = self.client.0.host(&self.host)?.base().clone();
        Ok(base.origin().ascii_serialization())
    }

    /// Notes blobs and manifests that an answer of this run proves to be in the repository.
    pub fn set_held<'a>(&self, digests: impl IntoIterator<Item = &'a Digest>) {
        if let Ok(host) = self.client.0.host(&self.host) {
            host.set_held(&self.name, digests);
        }
    }

    /// Whether an answer of this run proves that the blob or manifest is in the repository. What
    /// a mirror has answered proves nothing of it.
    #[must_use]
    pub fn holds(&self, digest: &Digest) -> bool {
        let host = self.client.0.host(&self.host);
        host.is_ok_and(|host| host.holds(&self.name, digest))
    }

    /// Whether the registry has named the blob in its answer to a mount, as all but odd ones do.
    #[must_use]
    pub fn named_in_mount(&self, digest: &Digest) -> bool {
        let host = self.client.0.host(&self.host);
        host.is_ok_and(|host| host.mount_named(&self.name, digest))
    }

    /// Forgets what the answers of this run have proven: one of them was not true.
    pub fn forget_held(&self) {
        if let Ok(host) = self.client.0.host(&self.host) {
            host.forget_held(&self.name);
        }
    }

    /// The same repository for documents about its images: their requests have a limit of their own, so that
    /// requests for the images themselves do not wait for them.
    #[must_use]
    pub fn for_attachments(&self) -> Self {
        Self {
            lane: Lane::Attachment,
            ..self.clone()
        }
    }

    /// What requests go through.
    pub(crate) fn transport(&self) -> &Transport {
        &self.client.0
    }

    /// The repository itself, on its own host.
    pub(crate) fn endpoint(&self) -> Result<Endpoint, Error> {
        Ok(Endpoint {
            host: self.client.0.host(&self.host)?,
            name: self.name.clone(),
            is_mirror: false,
            lane: self.lane,
        })
    }

    /// Where to read from: the mirrors, then the host itself.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, Error> {
        let own = self.endpoint()?;
        let mut endpoints = Vec::new();
        for mirror in &own.host.settings().mirrors {
            match self.client.0.host(&mirror.host) {
                Ok(host) if host.is_out_of_use() => {}
                Ok(host) => endpoints.push(Endpoint {
                    host,
                    name: mirror.repository(&self.name),
                    is_mirror: true,
                    lane: self.lane,
                }),
                Err(error) => tracing::debug!(%error, "the mirror cannot be used"),
            }
        }
        endpoints.push(own);
        Ok(endpoints)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.name)
    }
}

/// A repository on one particular host: the one meant, or a mirror of it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) host: Arc<Host>,
    pub(crate) name: String,
    pub(crate) is_mirror: bool,
    /// What small requests count as.
    pub(crate) lane: Lane,
}

impl Endpoint {
    /// Notes what an answer proves to be in the repository itself.
    pub(crate) fn shown(&self, digest: &Digest) {
        if !self.is_mirror {
            self.host.set_held(&self.name, [digest]);
        }
    }

    /// Notes that reading from a mirror failed, so that the next may pass over it.
    pub(crate) fn passed_over(&self, error: &Error) {
        tracing::debug!(mirror = self.host.name(), %error, "passing over the mirror");
        if matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Corrupt) {
            self.host.set_out_of_use();
        }
    }

    /// The URL of something in it.
    pub(crate) fn url(&self, rest: &str) -> Result<Url, Error> {
        self.host.url(&self.name, rest)
    }

    /// A request that reads.
    pub(crate) fn read(&self, method: Method, rest: &str) -> Result<Call<'static>, Error> {
        let call = self.call(method, self.url(rest)?);
        let call = call.scoped(ScopeSet::of(Scope::pull(&self.name)));
        Ok(if self.is_mirror {
            // Another endpoint has the same content; it is not worth waiting for this one.
            call.retry_limit(RetryLimit::UpTo(1))
        } else {
            call
        })
    }

    /// A request that writes, to a URL of this repository or one that the registry gave.
    pub(crate) fn write(&self, method: Method, url: Url) -> Call<'static> {
        self.call(method, url)
            .scoped(ScopeSet::of(Scope::push(&self.name)))
    }

    fn call(&self, method: Method, url: Url) -> Call<'static> {
        Call {
            lane: self.lane,
            ..Call::new(method, url)
        }
    }
}
