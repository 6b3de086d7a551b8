//! Names in registries: which there are, what they name, and taking them away.

use ohoci_image::{Digest, Platform, Reference, RegistryReference};
use ohoci_store::Error;

use super::inspect::manifest;
use super::resolver::Resolver;

/// The tags of a repository, sorted.
///
/// # Errors
/// When they cannot be listed.
pub async fn tags(
    resolver: &Resolver,
    repository: &RegistryReference,
) -> Result<Vec<String>, Error> {
    let (host, name) = (repository.host(), repository.repository());
    let mut tags = resolver.client.repository(host, name).tags().await?;
    tags.sort_unstable();
    Ok(tags)
}

/// The digest of what a reference names, or of its image for one platform. A registry is asked without
/// reading, where it says digests.
///
/// # Errors
/// When it is missing or unreadable.
pub async fn digest(
    resolver: &Resolver,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<Digest, Error> {
    if let (Reference::Registry(named), None) = (reference, platform) {
        resolver.announce(&[reference], &[]);
        let repository = resolver.client.repository(named.host(), named.repository());
        let head = repository.manifest_head_to_read(&named.pointer()).await?;
        if let Some(digest) = head.and_then(|head| head.digest) {
            return Ok(digest);
        }
    }
    let document = manifest(resolver, reference, platform).await?;
    Ok(Digest::of(&document.0))
}

/// Deletes a tag, or a manifest with all tags that name it; says whether it was there.
///
/// # Errors
/// When the registry refuses.
pub async fn delete(resolver: &Resolver, named: &RegistryReference) -> Result<bool, Error> {
    let repository = resolver.client.repository(named.host(), named.repository());
    Ok(repository.delete_manifest(&named.pointer()).await?)
}
