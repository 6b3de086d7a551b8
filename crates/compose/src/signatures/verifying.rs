//! Which signatures an image has, and which of them are by whom.

use ohoci_image::{Digest, Reference};
use ohoci_store::Error;
use ohoci_trust::signature::Form;
use ohoci_trust::{Trusted, provenance, statement, trusted};
use serde::Serialize;
use serde_json::Value;

use crate::recorded::{self, Recorded};
use crate::resolver::Resolver;
use crate::trust::found::{self, Found};

/// What signatures say of an image.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signatures {
    /// The reference that was asked for.
    pub reference: String,
    /// What it names.
    pub digest: Digest,
    /// Whether one of those whose signatures count signed it.
    pub signed: bool,
    /// Every signature that was found.
    pub signatures: Vec<SignatureState>,
    /// What was found and cannot be read.
    pub unreadable: Vec<String>,
}

/// A signature, and what it is worth.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignatureState {
    /// Where it is.
    pub place: String,
    /// In which form.
    pub form: Form,
    /// What kind of thing it says.
    pub predicate_type: String,
    /// Who signed it: the key's file, or whom the certificate names; `None` where it counts for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What it calls the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why it counts for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What it says, once it is verified.
    #[serde(skip)]
    pub predicate: Option<Value>,
}

/// Reads and verifies the signatures of an image, whatever the policy says of it.
///
/// # Errors
/// When the image or what is beside it cannot be read.
pub async fn signatures(
    resolver: &Resolver,
    reference: &Reference,
    trusted: &[Trusted],
) -> Result<Signatures, Error> {
    resolver.announce(&[reference], &[]);
    let source = resolver.source_to_look_at(reference).await?;
    let root = source.root().await?;
    let digest = root.digest().clone();
    let mut found = Found::default();
    found::bundles(source.as_ref(), &digest, &mut found).await?;
    found::tagged(&resolver.sources(), reference, &digest, &mut found).await?;
    let signatures: Vec<SignatureState> = found
        .signatures
        .iter()
        .map(|signature| state(signature, trusted, &digest))
        .collect();
    let is_signed =
        |state: &SignatureState| state.by.is_some() && state.predicate_type == statement::SIGNED;
    Ok(Signatures {
        reference: reference.to_string(),
        digest,
        signed: signatures.iter().any(is_signed),
        signatures,
        unreadable: found.unreadable,
    })
}

/// What a signed provenance says, beside what the image's own record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProvenanceState {
    /// Who signed it: the key's file, or whom the certificate names.
    pub by: String,
    /// How it differs from the image's record, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
}

/// Compares the provenance that was signed with the records that the image carries.
///
/// # Errors
/// When the image cannot be read.
pub async fn provenance(
    resolver: &Resolver,
    reference: &Reference,
    found: &Signatures,
) -> Result<Vec<ProvenanceState>, Error> {
    let signed = found.signatures.iter().filter_map(|one| {
        let by = one.by.clone()?;
        (one.predicate_type == statement::PROVENANCE).then_some((by, one.predicate.as_ref()?))
    });
    let mut states = Vec::new();
    for (by, predicate) in signed {
        let recorded = recorded::read(resolver, reference, false).await?;
        let difference = match provenance::images(predicate) {
            Err(why) => Some(why),
            Ok(said) => difference(&recorded, &said),
        };
        states.push(ProvenanceState { by, difference });
    }
    Ok(states)
}

fn difference(recorded: &Recorded, said: &[provenance::Image]) -> Option<String> {
    if said.len() != recorded.images.len() {
        return Some(format!(
            "it is about {} images, and there are {}",
            said.len(),
            recorded.images.len()
        ));
    }
    recorded.images.iter().find_map(|image| {
        let digest = image.manifest.digest();
        let Some(said) = said.iter().find(|said| said.manifest == *digest) else {
            return Some(format!("it says nothing of {digest}"));
        };
        match image.intent() {
            Ok(Some(intent)) if intent == said.intent => None,
            Ok(_) => Some(format!(
                "it says of {digest} that it was made from something else"
            )),
            Err(error) => Some(error.to_string()),
        }
    })
}

pub(super) fn state(
    signature: &ohoci_trust::Signature,
    trusted: &[Trusted],
    digest: &Digest,
) -> SignatureState {
    let found = SignatureState {
        place: signature.place().to_owned(),
        form: signature.form(),
        predicate_type: signature.kind(),
        by: None,
        name: None,
        why: None,
        predicate: None,
    };
    match trusted::claim(trusted, signature, digest) {
        Ok(claim) => SignatureState {
            by: Some(claim.by),
            name: claim.name,
            predicate_type: claim.predicate_type,
            predicate: Some(claim.predicate),
            ..found
        },
        Err(why) => SignatureState {
            why: why.map(|why| why.to_string()),
            ..found
        },
    }
}
