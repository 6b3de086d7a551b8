//! A tag from the digests of everything that goes into an image: never stale, because nothing
//! can change without the tag changing.
//!
//! The tag is `oh-` and the first sixteen hexadecimal digits of the SHA-256 of a JSON document
//! without white space, whose members stand in this order and are left out when they are empty or
//! `top`:
//!
//! ```json
//! {"version":1,"base":"sha256:…","deps":["sha256:…"],"position":"bottom","patch":{…},
//!  "path":"/openhands","annotations":{…},"platforms":["linux/arm64"],"created":"…"}
//! ```
//!
//! `patch` is the canonical form of [`ConfigPatch`]; `base` is left out for `scratch`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::error::TagError;
use ohoci_image::Digest;
use ohoci_image::config_patch::ConfigPatch;
use ohoci_image::label::Position;

/// Of 64 bits; among a million images two share a tag by chance with a probability of 3 × 10⁻⁸.
const LENGTH: usize = 16;

/// The version of the document that is hashed.
const VERSION: u64 = 1;

/// Everything that goes into an image, but the base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// What the references of the deps images resolved to and the digests of local layers, in
    /// the order in which they are added.
    pub deps: Vec<Digest>,
    /// Where they are added.
    pub position: Position,
    /// What changes in the config.
    pub patch: ConfigPatch,
    /// The only path that is taken out of the deps images.
    pub path: Option<String>,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
    /// What the image is for, where that is chosen: `linux/arm64`, or `all`.
    pub platforms: Vec<String>,
    /// `created` of the config, where one was asked for.
    pub created: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<&'a Digest>,
    #[serde(skip_serializing_if = "<[Digest]>::is_empty")]
    deps: &'a [Digest],
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<&'a ConfigPatch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    platforms: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<&'a str>,
}

impl Inputs {
    /// The tag for a base that is given as a digest, or as a reference with one. Only the digest
    /// counts: an image is the same wherever its base was read.
    ///
    /// # Errors
    /// When there is no digest: what a tag points to may change.
    pub fn tags(&self, base: &str) -> Result<Vec<String>, TagError> {
        if base.is_empty() {
            return Err(TagError::NoBase);
        }
        let digest = base.rsplit_once('@').map_or(base, |(_, digest)| digest);
        let digest = digest.parse().map_err(|_| TagError::NoBaseDigest {
            base: base.chars().take(300).collect(),
        })?;
        Ok(vec![self.tag(Some(&digest))])
    }

    /// The tag for a base; `None` is `scratch`.
    #[must_use]
    pub fn tag(&self, base: Option<&Digest>) -> String {
        let document = Document {
            version: VERSION,
            base,
            deps: &self.deps,
            position: Some(self.position).filter(|&position| position != Position::Top),
            patch: Some(&self.patch).filter(|patch| **patch != ConfigPatch::default()),
            path: self.path.as_deref(),
            annotations: &self.annotations,
            platforms: &self.platforms,
            created: self.created.as_deref(),
        };
        // Only a map with keys that are no strings can fail, and there is none.
        let text = serde_json::to_string(&document).unwrap_or_default();
        format!("oh-{}", super::hash::sha256_prefix(&text, LENGTH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs() -> Inputs {
        Inputs {
            deps: vec![Digest::of(b"deps")],
            position: Position::Top,
            patch: ConfigPatch {
                env: vec![("A".to_owned(), "b".to_owned())],
                ..ConfigPatch::default()
            },
            ..Inputs::default()
        }
    }

    /// Computed by `sha256sum` over the document that the module describes.
    #[test]
    fn the_format_stays() {
        assert_eq!(
            Inputs::default().tag(Some(&Digest::of(b"base"))),
            "oh-19c6ea5af97ff8f1"
        );
        assert_eq!(
            inputs().tag(Some(&Digest::of(b"base"))),
            "oh-14e5e9d3d98df892"
        );
        let bottom = Inputs {
            position: Position::Bottom,
            ..inputs()
        };
        assert_eq!(
            bottom.tag(Some(&Digest::of(b"base"))),
            "oh-7c751ca1a92d869d"
        );
    }

    #[test]
    fn each_input_changes_the_tag() {
        let base = Digest::of(b"base");
        let tag = inputs().tag(Some(&base));
        assert_ne!(inputs().tag(Some(&Digest::of(b"moved"))), tag);
        let reordered = |deps: &[&[u8]]| Inputs {
            deps: deps.iter().map(|content| Digest::of(content)).collect(),
            ..inputs()
        };
        assert_ne!(
            reordered(&[b"a", b"b"]).tag(Some(&base)),
            reordered(&[b"b", b"a"]).tag(Some(&base))
        );
        let patched = Inputs {
            patch: ConfigPatch::default(),
            ..inputs()
        };
        assert_ne!(patched.tag(Some(&base)), tag);
        assert_ne!(inputs().tag(None), tag);
        let more: [fn(&mut Inputs); 4] = [
            |inputs| inputs.path = Some("/openhands".to_owned()),
            |inputs| drop(inputs.annotations.insert("a".to_owned(), "b".to_owned())),
            |inputs| inputs.platforms.push("linux/arm64".to_owned()),
            |inputs| inputs.created = Some("2026-01-01T00:00:00Z".to_owned()),
        ];
        for change in more {
            let mut changed = inputs();
            change(&mut changed);
            assert_ne!(changed.tag(Some(&base)), tag);
        }
    }

    #[test]
    fn a_base_is_known_by_its_digest_alone() {
        let digest = Digest::of(b"base");
        let tag = vec![inputs().tag(Some(&digest))];
        for base in [
            digest.to_string(),
            format!("registry.example/a@{digest}"),
            format!("registry.example:5000/b:1@{digest}"),
        ] {
            assert_eq!(inputs().tags(&base), Ok(tag.clone()));
        }
        for base in ["registry.example/a:1", "a@sha256:0"] {
            assert!(
                matches!(inputs().tags(base), Err(TagError::NoBaseDigest { .. })),
                "{base}"
            );
        }
        assert_eq!(inputs().tags(""), Err(TagError::NoBase));
    }
}
