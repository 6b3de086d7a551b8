//! Reading blobs (distribution-spec, "Pulling blobs").

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use reqwest::Method;
use reqwest::header::CONTENT_LENGTH;

use super::body::Body;
use super::download::RemoteBlob;
use super::error::{Error, ErrorKind};
use super::failure::Failure;
use super::repository::{Endpoint, Repository};
use ohoci_image::{Descriptor, Digest};

impl Repository {
    /// Reads a small blob whole, from a mirror if one has it.
    ///
    /// # Errors
    /// When it is larger than `limit` bytes, is not there, or is not what the descriptor says.
    pub async fn blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Bytes, Error> {
        let what = || format!("cannot read blob {self}@{}", descriptor.digest);
        let endpoints = self.endpoints().map_err(|error| error.during(what))?;
        let mut result = Err(Error::new(
            ErrorKind::NotFound,
            "there is nowhere to read from",
        ));
        for endpoint in endpoints {
            result = self.blob_at(endpoint.clone(), descriptor, limit).await;
            match &result {
                Err(error) if endpoint.is_mirror => endpoint.passed_over(error),
                _ => break,
            }
        }
        result.map_err(|error| error.during(what))
    }

    async fn blob_at(
        &self,
        endpoint: Endpoint,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Bytes, Error> {
        if descriptor.size > limit {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "it has {} bytes; at most {limit} are taken",
                    descriptor.size
                ),
            ));
        }
        let host = endpoint.host.name().to_owned();
        let blob = RemoteBlob::new(self.clone(), vec![endpoint], descriptor.clone()).small();
        let mut stream = blob.open(0).await?;
        let read = async {
            let mut whole = BytesMut::new();
            while let Some(piece) = stream.next().await {
                whole.extend_from_slice(&piece?);
            }
            Ok(whole.freeze())
        };
        let allowed = self.transport().policy.document_timeout;
        tokio::time::timeout(allowed, read)
            .await
            .unwrap_or_else(|_| Err(Failure::overdue(&host, allowed).error))
    }

    /// A handle from which a blob of any size can be read, again and again. Nothing is sent yet.
    ///
    /// What it yields from offset 0 is verified when it ends; a broken connection is resumed where
    /// it broke.
    #[must_use]
    pub fn blob_body(&self, descriptor: &Descriptor) -> Arc<dyn Body> {
        // A host that cannot be used shows when the body is opened.
        let endpoints = self.endpoints().unwrap_or_default();
        Arc::new(RemoteBlob::new(self.clone(), endpoints, descriptor.clone()))
    }

    /// Whether the repository has a blob. One of another size is not it; a registry that says no
    /// size, or 0, is believed.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub async fn has_blob(&self, descriptor: &Descriptor) -> Result<bool, Error> {
        let size = self.blob_head(&descriptor.digest).await?;
        Ok(size.is_some_and(|size| size == 0 || size == descriptor.size))
    }

    /// The size of a blob that the repository has, 0 when the registry does not say; `None` when
    /// it has it not.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub async fn blob_head(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let what = || format!("cannot look up blob {self}@{digest}");
        self.head_blob(digest)
            .await
            .map_err(|error| error.during(what))
    }

    pub(crate) async fn head_blob(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let endpoint = self.endpoint()?;
        let call = endpoint.read(Method::HEAD, &format!("blobs/{digest}"))?;
        let reply = self.transport().send(&endpoint.host, call).await?;
        match reply.status().as_u16() {
            404 => Ok(None),
            200..=299 => Ok(Some(
                reply
                    .header(CONTENT_LENGTH)
                    .and_then(|n| n.parse().ok())
                    .unwrap_or(0),
            )),
            _ => Err(reply.into_error().await),
        }
    }
}
