//! Reading and writing manifests (distribution-spec, "Pulling manifests", "Pushing manifests").

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::call::{Call, Payload};
use super::error::{Error, ErrorKind};
use super::reply::Reply;
use super::repository::{Endpoint, Repository};
use ohoci_image::manifest::MAX_SIZE;
use ohoci_image::{Digest, Manifest, Pointer, media_type};

/// Attempts at putting a manifest whose blobs the registry does not see yet.
const MAX_BLIND_PUTS: u32 = 3;

/// The header in which a registry says what a document's digest is.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The header in which a registry says that it lists referrers by itself.
const HEADER_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// What a registry says about a manifest without sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestHead {
    /// Its digest, when the registry says one that can be verified.
    pub digest: Option<Digest>,
    /// Its media type, without parameters.
    pub media_type: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
}

/// What a registry says about a manifest that it has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PutReceipt {
    /// `OCI-Subject`: the registry lists the manifest as a referrer of this digest by itself.
    pub subject: Option<String>,
}

impl Repository {
    fn named(&self, pointer: &Pointer) -> String {
        match pointer {
            Pointer::Tag(tag) => format!("{self}:{tag}"),
            Pointer::Digest(digest) => format!("{self}@{digest}"),
        }
    }

    /// Reads a manifest or index, from a mirror if one has it.
    ///
    /// # Errors
    /// When there is none, it cannot be read or parsed, or it is not what `pointer` or the
    /// registry's own `Docker-Content-Digest` says.
    pub async fn manifest(&self, pointer: &Pointer) -> Result<Manifest, Error> {
        let what = || format!("cannot read manifest {}", self.named(pointer));
        let mut result = Err(Error::new(
            ErrorKind::NotFound,
            "there is nowhere to read from",
        ));
        for endpoint in self.endpoints().map_err(|e| e.during(what))? {
            result = self.manifest_at(&endpoint, pointer).await;
            match &result {
                Ok(_) => break,
                Err(error) if endpoint.is_mirror => endpoint.passed_over(error),
                Err(_) => {}
            }
        }
        result.map_err(|error| error.during(what))
    }

    async fn manifest_at(&self, endpoint: &Endpoint, pointer: &Pointer) -> Result<Manifest, Error> {
        let call = manifest_call(endpoint, pointer, Method::GET)?;
        let answer = match self
            .transport()
            .fetch(&endpoint.host, &call, MAX_SIZE)
            .await?
        {
            Ok(answer) => answer,
            Err(refused) => return Err(refused.into_error().await),
        };
        let announced = content_digest(&answer.headers);
        let served_as = answer.header(CONTENT_TYPE);
        let bytes = answer.body.clone();
        let wanted = match pointer {
            Pointer::Digest(digest) => Some(digest),
            Pointer::Tag(_) => announced.as_ref(),
        };
        if let Some(wanted) = wanted.filter(|wanted| !wanted.matches(&bytes)) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "the registry sent content with digest {} for {wanted}",
                    Digest::of(&bytes)
                ),
            ));
        }
        let manifest = Manifest::parse(bytes, served_as).map_err(|error| {
            Error::new(ErrorKind::Unsupported, error.to_string()).caused_by(error)
        })?;
        endpoint.shown(manifest.digest());
        Ok(manifest)
    }

    /// Asks what `pointer` names now, from the registry itself; `None` when it names nothing.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub async fn manifest_head(&self, pointer: &Pointer) -> Result<Option<ManifestHead>, Error> {
        let what = || format!("cannot look up {}", self.named(pointer));
        self.head_manifest(pointer)
            .await
            .map_err(|error| error.during(what))
    }

    /// Asks what `pointer` names, in order to read it: a mirror if one has it;
    /// `None` when it names nothing.
    ///
    /// # Errors
    /// When neither a mirror nor the registry can be asked.
    pub async fn manifest_head_to_read(
        &self,
        pointer: &Pointer,
    ) -> Result<Option<ManifestHead>, Error> {
        let what = || format!("cannot look up {}", self.named(pointer));
        let mut result = Ok(None);
        for endpoint in self.endpoints().map_err(|error| error.during(what))? {
            result = self.head_manifest_at(&endpoint, pointer).await;
            match &result {
                Ok(Some(_)) => break,
                Err(error) if endpoint.is_mirror => endpoint.passed_over(error),
                _ => {}
            }
        }
        result.map_err(|error| error.during(what))
    }

    async fn head_manifest(&self, pointer: &Pointer) -> Result<Option<ManifestHead>, Error> {
        self.head_manifest_at(&self.endpoint()?, pointer).await
    }

    async fn head_manifest_at(
        &self,
        endpoint: &Endpoint,
        pointer: &Pointer,
    ) -> Result<Option<ManifestHead>, Error> {
        let call = manifest_call(endpoint, pointer, Method::HEAD)?;
        let reply = self.transport().send(&endpoint.host, call).await?;
        match reply.status().as_u16() {
            404 => Ok(None),
            200..=299 => {
                let digest = content_digest(reply.headers());
                digest.iter().for_each(|digest| endpoint.shown(digest));
                Ok(Some(ManifestHead {
                    digest,
                    media_type: reply.header(CONTENT_TYPE).map(media_type::essence),
                    size: reply
                        .header(reqwest::header::CONTENT_LENGTH)
                        .and_then(|n| n.parse().ok()),
                }))
            }
            _ => Err(reply.into_error().await),
        }
    }

    /// Writes a manifest or index under a tag or its digest.
    ///
    /// `Ok` means that `pointer` names this manifest now, also when an immutable tag
    /// named it before.
    ///
    /// # Errors
    /// [`ErrorKind::Incomplete`] when the registry misses something that the manifest lists.
    pub async fn put_manifest(
        &self,
        pointer: &Pointer,
        manifest: &Manifest,
    ) -> Result<PutReceipt, Error> {
        let what = || format!("cannot write manifest {}", self.named(pointer));
        self.put(pointer, manifest)
            .await
            .map_err(|error| error.during(what))
    }

    /// Deletes a tag, or a manifest with all tags that name it; says whether it was there. Blobs stay
    /// until the registry collects garbage.
    ///
    /// # Errors
    /// When the registry refuses: many delete nothing, and some manifests only, no tags.
    pub async fn delete_manifest(&self, pointer: &Pointer) -> Result<bool, Error> {
        let what = || format!("cannot delete {}", self.named(pointer));
        self.delete(pointer)
            .await
            .map_err(|error| error.during(what))
    }

    async fn delete(&self, pointer: &Pointer) -> Result<bool, Error> {
        let endpoint = self.endpoint()?;
        let url = endpoint.url(&format!("manifests/{pointer}"))?;
        let call = endpoint.write(Method::DELETE, url);
        let reply = self.transport().send(&endpoint.host, call).await?;
        match reply.status().as_u16() {
            200..=299 => {
                reply.drain().await;
                Ok(true)
            }
            404 => {
                let (error, body) = reply.into_error_and_body().await;
                // A repository that is not there has no manifests; anything else is no answer to this.
                match body.has(&["MANIFEST_UNKNOWN", "NAME_UNKNOWN"]) {
                    true => Ok(false),
                    false => Err(error),
                }
            }
            _ => Err(reply.into_error().await),
        }
    }

    async fn put(&self, pointer: &Pointer, manifest: &Manifest) -> Result<PutReceipt, Error> {
        let endpoint = self.endpoint()?;
        let kind = HeaderValue::from_str(manifest.media_type()).map_err(|_| {
            Error::new(
                ErrorKind::Unsupported,
                "its media type cannot be sent in a header",
            )
        })?;
        let mut attempt = 1;
        loop {
            let url = endpoint.url(&format!("manifests/{pointer}"))?;
            let mut call = endpoint.write(Method::PUT, url);
            call.headers.insert(CONTENT_TYPE, kind.clone());
            call.payload = Payload::Bytes(manifest.bytes().clone());
            let reply = self.transport().send(&endpoint.host, call).await?;
            if reply.status().is_success() {
                return receipt(reply, manifest).await;
            }
            let status = reply.status().as_u16();
            let (error, body) = reply.into_error_and_body().await;
            if body.has(&["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"]) {
                // Registries on eventually consistent storage see a blob only a little later.
                if attempt >= MAX_BLIND_PUTS.min(self.transport().policy.attempts) {
                    return Err(error.with_kind(ErrorKind::Incomplete));
                }
                let wait = self.transport().policy.jittered(attempt);
                self.transport().counters.retry();
                tokio::time::sleep(wait).await;
                attempt += 1;
                continue;
            }
            // A tag that must not move is no obstacle when it is where it should be; and some
            // registries store a manifest and fail all the same.
            let immutable = matches!(status, 400 | 409 | 412) && matches!(pointer, Pointer::Tag(_));
            if (immutable || status >= 500)
                && let Ok(Some(head)) = self.head_manifest(pointer).await
                && head.digest.as_ref() == Some(manifest.digest())
            {
                return Ok(PutReceipt::default());
            }
            return Err(error);
        }
    }
}

fn manifest_call(
    endpoint: &Endpoint,
    pointer: &Pointer,
    method: Method,
) -> Result<Call<'static>, Error> {
    let mut call = endpoint.read(method, &format!("manifests/{pointer}"))?;
    if let Ok(accept) = HeaderValue::from_str(&media_type::ACCEPT.join(", ")) {
        call.headers.insert(ACCEPT, accept);
    }
    Ok(call)
}

async fn receipt(reply: Reply, manifest: &Manifest) -> Result<PutReceipt, Error> {
    let stored = content_digest(reply.headers());
    let subject = reply
        .header(HEADER_SUBJECT)
        .map(super::error_body::printable);
    reply.drain().await;
    match stored {
        Some(stored) if !stored.matches(manifest.bytes()) => Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "the registry stored it as {stored}, but its digest is {}",
                manifest.digest()
            ),
        )),
        _ => Ok(PutReceipt { subject }),
    }
}

/// The digest that an answer announces, when it is one that can be verified.
pub(crate) fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}
