//! What a base's repository has itself, and gives out under the gateway's names as it is: where the policy
//! lets it in.

use ohoci_image::{Content, Digest, Manifest, Reference, RegistryReference, media_type};
use ohoci_store::{Error, ErrorKind};

use crate::composing::{Composing, Shared};

/// A manifest that the base's repository itself has, `None` where it has none with that digest.
///
/// # Errors
/// [`ErrorKind::Untrusted`] where the policy does not let it in; when it cannot be read.
pub(crate) async fn of_base(
    composing: &Composing,
    shared: &Shared,
    base: &RegistryReference,
    digest: &Digest,
) -> Result<Option<Manifest>, Error> {
    match read(composing, shared, base, digest).await {
        Ok(manifest) => {
            composing.listed.remember(&shared.cache, base, &manifest);
            composing.documents.put(manifest.digest(), manifest.bytes());
            Ok(Some(manifest))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn read(
    composing: &Composing,
    shared: &Shared,
    base: &RegistryReference,
    digest: &Digest,
) -> Result<Manifest, Error> {
    let resolver = composing.resolver(shared);
    let image = |digest: &Digest| Reference::Registry(base.at(digest));
    let refused = match resolver.source(&image(digest)).await?.root().await {
        Err(error) if error.kind() == ErrorKind::Untrusted => error,
        outcome => return outcome,
    };
    // What an index lists is let in with it.
    if let Some(index) = composing.listed.index_of(&shared.cache, &base.at(digest)) {
        let index = resolver.source(&image(&index)).await?;
        let root = index.root().await?;
        if let Content::Index { manifests } = root.content()
            && let Some(entry) = manifests.iter().find(|entry| entry.digest == *digest)
        {
            return index.manifest(entry).await;
        }
    }
    // Signatures, statements and bills of materials are no images, and show whether one is to be let in.
    let looked_at = resolver.source_to_look_at(&image(digest)).await?;
    let artifact = looked_at.root().await?;
    if let Some(subject) = artifact.subject()
        && !is_image(&artifact)
    {
        resolver
            .source(&image(&subject.digest))
            .await?
            .root()
            .await?;
        return Ok(artifact);
    }
    Err(refused)
}

fn is_image(manifest: &Manifest) -> bool {
    match manifest.content() {
        Content::Image { config, .. } => media_type::is_image_config(&config.media_type),
        Content::Index { .. } => true,
    }
}
