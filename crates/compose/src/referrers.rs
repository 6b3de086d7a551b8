//! What is about an image: signatures, bills of materials and whatever else names it as its subject
//! (distribution-spec, "Listing Referrers").

use std::collections::HashSet;

use ohoci_image::{Descriptor, Digest, Manifest};
use ohoci_store::{Error, ErrorKind, Source};

/// How far something may be about something about an image.
const MAX_DEPTH: usize = 8;
/// Most manifests that are taken along.
const MAX_REFERRERS: usize = 10_000;

/// Reads all manifests about `subjects`, and those about them in turn: each behind its subject, in
/// the order in which the place lists them.
///
/// # Errors
/// When the place cannot be asked, lists too many, or lists one that is about something else.
pub(super) async fn about(
    source: &dyn Source,
    subjects: &[Manifest],
) -> Result<Vec<Manifest>, Error> {
    let refuse = |why: String| {
        let what = format!("cannot read what is about {}", source.place());
        Error::new(ErrorKind::Unsupported, what, why)
    };
    let mut seen: HashSet<Digest> = subjects.iter().map(|one| one.digest().clone()).collect();
    let mut level: Vec<Digest> = subjects.iter().map(|one| one.digest().clone()).collect();
    let mut found = Vec::new();
    for _ in 0..MAX_DEPTH {
        let mut next = Vec::new();
        for subject in &level {
            for descriptor in source.referrers(subject).await? {
                if !seen.insert(descriptor.digest.clone()) {
                    continue;
                }
                if seen.len() > MAX_REFERRERS {
                    return Err(refuse(format!("there are more than {MAX_REFERRERS}")));
                }
                let manifest = source.manifest(&descriptor).await?;
                check(&manifest, &descriptor, subject).map_err(refuse)?;
                next.push(manifest.digest().clone());
                found.push(manifest);
            }
        }
        if next.is_empty() {
            return Ok(found);
        }
        level = next;
    }
    Err(refuse(format!(
        "manifests are about manifests more than {MAX_DEPTH} deep"
    )))
}

/// Reads the manifests about `subjects` that are found by a tag made from the subject's digest, as
/// cosign's signatures and attestations are unless it is told otherwise: `sha256-HEX.sig`. Each
/// comes with its tag.
///
/// # Errors
/// When the place cannot be asked, or has too many.
pub(super) async fn by_tag(
    source: &dyn Source,
    subjects: &[Digest],
) -> Result<Vec<(String, Manifest)>, Error> {
    let mut found = Vec::new();
    let mut level: Vec<Digest> = subjects.to_vec();
    for _ in 0..MAX_DEPTH {
        let mut next = Vec::new();
        for (tag, manifest) in source.tagged_about(&level).await? {
            if found.len() >= MAX_REFERRERS {
                let what = format!("cannot read what is about {}", source.place());
                let why = format!("there are more than {MAX_REFERRERS}");
                return Err(Error::new(ErrorKind::Unsupported, what, why));
            }
            next.push(manifest.digest().clone());
            found.push((tag, manifest));
        }
        // Signatures of attestations: an attestation is a manifest as any other.
        if next.is_empty() {
            return Ok(found);
        }
        level = next;
    }
    Ok(found)
}

/// A list may be anything; what counts is what the manifest itself says.
fn check(manifest: &Manifest, listed: &Descriptor, subject: &Digest) -> Result<(), String> {
    match manifest.subject() {
        Some(named) if named.digest == *subject => Ok(()),
        Some(named) => Err(format!(
            "{} is listed for {subject}, but is about {}",
            listed.digest, named.digest
        )),
        None => Err(format!(
            "{} is listed for {subject}, but is about nothing",
            listed.digest
        )),
    }
}
