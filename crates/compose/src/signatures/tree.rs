//! What is about an image, as a tree: signatures, statements, bills of materials, and what is about those.

use std::collections::HashMap;

use ohoci_image::{Content, Digest, Manifest, Reference};
use ohoci_store::{Error, ErrorKind, Source};
use ohoci_trust::{Signature, Trusted, bundle};
use serde::Serialize;

use super::verifying::{SignatureState, state};
use crate::read;
use crate::referrers;
use crate::resolver::Resolver;

/// A manifest about an image, or about another one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// What it is about.
    pub subject: Digest,
    /// Its digest.
    pub digest: Digest,
    /// Its type: of the artifact, else of its config.
    pub kind: String,
    /// The tag that it is found by, where it does not name its subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What the signature in it is worth, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureState>,
    /// Why the signature cannot be read, where it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// What is about it.
    pub about: Vec<Self>,
}

/// Reads what is about an image, or about an index and its images; signatures are verified for
/// those whose count.
///
/// # Errors
/// When it cannot be read.
pub async fn tree(
    resolver: &Resolver,
    reference: &Reference,
    trusted: &[Trusted],
) -> Result<Vec<About>, Error> {
    resolver.announce(&[reference], &[]);
    let source = resolver.source_to_look_at(reference).await?;
    let source = source.as_ref();
    let root = source.root().await?;
    let mut subjects = vec![root.clone()];
    if matches!(root.content(), Content::Index { .. }) {
        let all = read::children(source, &root).await?;
        for child in &all.children {
            subjects.push(source.manifest(&child.descriptor).await?);
        }
    }
    let mut of: HashMap<Digest, Vec<About>> = HashMap::new();
    let mut known: Vec<Digest> = subjects.iter().map(|one| one.digest().clone()).collect();
    let found = match referrers::about(source, &subjects).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => Vec::new(),
        found => found?,
    };
    for manifest in &found {
        if let Some(subject) = manifest.subject() {
            known.push(manifest.digest().clone());
            let one = one(source, manifest, &subject.digest, None, trusted).await?;
            of.entry(subject.digest).or_default().push(one);
        }
    }
    for (tag, manifest) in referrers::by_tag(source, &known).await? {
        let named = |digest: &&Digest| {
            tag.strip_prefix(&format!("{}-{}.", digest.algorithm().name(), digest.hex()))
                .is_some()
        };
        if let Some(subject) = known.iter().find(named).cloned() {
            let one = one(source, &manifest, &subject, Some(tag), trusted).await?;
            of.entry(subject).or_default().push(one);
        }
    }
    let mut list = Vec::new();
    for subject in &subjects {
        list.extend(below(subject.digest(), &mut of));
    }
    Ok(list)
}

/// What is about a manifest, with what is about that.
fn below(subject: &Digest, of: &mut HashMap<Digest, Vec<About>>) -> Vec<About> {
    let mut list = of.remove(subject).unwrap_or_default();
    for one in &mut list {
        one.about = below(&one.digest, of);
    }
    list
}

async fn one(
    source: &dyn Source,
    manifest: &Manifest,
    subject: &Digest,
    tag: Option<String>,
    trusted: &[Trusted],
) -> Result<About, Error> {
    let (config, layers) = match manifest.content() {
        Content::Image { config, layers } => (Some(config.media_type.clone()), layers.as_slice()),
        Content::Index { .. } => (None, &[][..]),
    };
    let kind = manifest.artifact_type().map(str::to_owned).or(config);
    let mut about = About {
        subject: subject.clone(),
        digest: manifest.digest().clone(),
        kind: kind.unwrap_or_else(|| manifest.media_type().to_owned()),
        tag,
        signature: None,
        unreadable: None,
        about: Vec::new(),
    };
    for layer in layers {
        let is_simple = layer.media_type == ohoci_trust::simple_signing::MEDIA_TYPE
            && layer
                .annotations
                .contains_key(ohoci_trust::simple_signing::SIGNATURE);
        let is_bundle = layer.media_type.starts_with(bundle::MEDIA_TYPE_PREFIX);
        let place = layer.digest.to_string();
        let read = if is_simple {
            Signature::simple(place, source.document(layer).await?, &layer.annotations)
        } else if is_bundle {
            Signature::bundle(place, &source.document(layer).await?)
        } else {
            continue;
        };
        match read {
            Ok(signature) => {
                let state = state(&signature, trusted, subject);
                // Of several under one tag, one that verifies.
                if about.signature.is_none() || state.by.is_some() {
                    about.signature = Some(state);
                }
            }
            Err(error) => about.unreadable = Some(error.to_string()),
        }
    }
    Ok(about)
}
