//! Where blobs are: among the documents, in the base's repository, in those of the deps.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use ohoci_compose::resolver::Resolver;
use ohoci_image::{Content, Descriptor, Digest, Reference, RegistryReference};
use ohoci_registry::{ByteStream, ErrorKind as RegistryErrorKind, RelayedBlob, Repository};
use ohoci_server::{BlobStream, ServedBlob};
use ohoci_store::{Error, ErrorKind, Source};
use parking_lot::Mutex;

use crate::composing::{Composing, Shared, apart};

/// A layer of a deps image.
#[derive(Clone, Debug)]
struct DepsLayer {
    descriptor: Descriptor,
    source: Arc<dyn Source>,
    /// Where it is a repository of a registry.
    repository: Option<RegistryReference>,
}

/// Layers by their digests.
type Layers = Arc<HashMap<Digest, DepsLayer>>;

/// The layers of a rule's deps images, read when they are first asked for.
#[derive(Debug, Default)]
pub(crate) struct DepsLayers(Mutex<Option<(Instant, Layers)>>);

impl DepsLayers {
    async fn all(&self, composing: &Composing, shared: &Shared) -> Result<Layers, Error> {
        let known = self.0.lock().clone();
        let fresh = composing.ready.rule.fresh;
        if let Some((at, layers)) = &known
            && at.elapsed() <= fresh
        {
            return Ok(Arc::clone(layers));
        }
        let resolver = composing.resolver(shared);
        let deps = composing.ready.rule.deps().to_vec();
        let found = match apart(move || async move { read(&deps, &resolver).await }).await {
            Ok(found) => found,
            Err(error) => {
                // Layers do not change; the image may have moved on.
                return match known {
                    Some((_, layers)) => Ok(layers),
                    None => Err(error),
                };
            }
        };
        let mut layers = known.map_or_else(HashMap::new, |(_, layers)| layers.as_ref().clone());
        // Those of earlier versions of the deps are still asked for, but not for ever.
        if layers.len() > 4096 {
            layers.clear();
        }
        layers.extend(found);
        let layers = Arc::new(layers);
        *self.0.lock() = Some((Instant::now(), Arc::clone(&layers)));
        Ok(layers)
    }
}

/// The layers of deps images, of all platforms.
async fn read(
    deps: &[Reference],
    resolver: &Resolver,
) -> Result<HashMap<Digest, DepsLayer>, Error> {
    let mut layers = HashMap::new();
    for reference in deps {
        let image = resolver.deps(reference).await?;
        let mut manifests = vec![image.root.clone()];
        for entry in &image.entries {
            manifests.push(image.source.manifest(&entry.descriptor).await?);
        }
        for manifest in manifests {
            let Content::Image { layers: listed, .. } = manifest.content() else {
                continue;
            };
            for descriptor in listed {
                let layer = DepsLayer {
                    descriptor: descriptor.clone(),
                    source: Arc::clone(&image.source),
                    repository: reference.registry().cloned(),
                };
                layers.insert(descriptor.digest.clone(), layer);
            }
        }
    }
    Ok(layers)
}

/// Opens a blob that is in the base's repository or in the deps. `None` where it is in neither.
pub(crate) async fn open(
    composing: &Composing,
    deps: &DepsLayers,
    shared: &Shared,
    base: &RegistryReference,
    digest: &Digest,
    offset: u64,
) -> Result<Option<ServedBlob>, Error> {
    let hand_on = composing.ready.rule.redirect;
    let layers = deps.all(composing, shared).await?;
    let repository = match layers.get(digest) {
        None => base,
        Some(layer) => match &layer.repository {
            Some(repository) => repository,
            None => {
                let size = layer.descriptor.size;
                if offset >= size && size > 0 {
                    return Ok(Some(nothing(size)));
                }
                let body = layer.source.blob(&layer.descriptor);
                let opened = body.open(offset).await;
                let stream = opened
                    .map_err(|error| Error::reading(format!("cannot read {digest}"), error))?;
                shared.numbers.blobs_relayed.add(1);
                return Ok(Some(ServedBlob::Bytes {
                    size,
                    stream: held_back(stream),
                }));
            }
        },
    };
    let repository = repository_of(shared, repository);
    if offset > 0 {
        // A range behind the end is refused with the size, which a registry's refusal need not say.
        match repository.blob_head(digest).await.map_err(Error::from)? {
            None => return Ok(None),
            Some(size) if size > 0 && offset >= size => return Ok(Some(nothing(size))),
            Some(_) => {}
        }
    }
    match repository.relay_blob(digest, offset, hand_on).await {
        Ok(RelayedBlob::Elsewhere(location)) => {
            shared.numbers.blobs_handed_on.add(1);
            Ok(Some(ServedBlob::Elsewhere(location.as_str().to_owned())))
        }
        Ok(RelayedBlob::Here { size, stream }) => {
            shared.numbers.blobs_relayed.add(1);
            Ok(Some(ServedBlob::Bytes {
                size,
                stream: held_back(stream),
            }))
        }
        Err(error) if error.kind() == RegistryErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The size of a blob that is in the base's repository or in the deps. `None` where it is in neither.
pub(crate) async fn size(
    composing: &Composing,
    deps: &DepsLayers,
    shared: &Shared,
    base: &RegistryReference,
    digest: &Digest,
) -> Result<Option<u64>, Error> {
    let layers = deps.all(composing, shared).await?;
    if let Some(layer) = layers.get(digest) {
        return Ok(Some(layer.descriptor.size));
    }
    let repository = repository_of(shared, base);
    match repository.blob_head(digest).await.map_err(Error::from)? {
        Some(0) => Err(Error::new(
            ErrorKind::Server,
            format!("cannot look up {digest}"),
            "the registry does not say how large it is",
        )),
        other => Ok(other),
    }
}

pub(crate) fn repository_of(shared: &Shared, reference: &RegistryReference) -> Repository {
    shared
        .client
        .repository(reference.host(), reference.repository())
}

/// A document's bytes from an offset on.
pub(crate) fn document(bytes: &Bytes, offset: u64) -> ServedBlob {
    let size = bytes.len() as u64;
    let from = usize::try_from(offset.min(size)).unwrap_or(usize::MAX);
    let rest = bytes.slice(from.min(bytes.len())..);
    ServedBlob::Bytes {
        size,
        stream: stream::iter([Ok(rest)]).boxed(),
    }
}

/// The same pieces, each of them one later: the end of a blob is sent only when the whole of it is known
/// to be what its digest says, so that a client never has all bytes of a false one.
fn held_back(stream: ByteStream) -> BlobStream {
    let held = stream::try_unfold((stream, None), |(mut stream, mut held)| async move {
        loop {
            match stream.next().await {
                Some(Ok(piece)) => {
                    if let Some(ready) = held.replace(piece) {
                        return Ok(Some((ready, (stream, held))));
                    }
                }
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(held.map(|last| (last, (stream, None)))),
            }
        }
    });
    held.boxed()
}

fn nothing(size: u64) -> ServedBlob {
    let none: BlobStream = stream::empty().boxed();
    ServedBlob::Bytes { size, stream: none }
}
