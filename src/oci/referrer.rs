//! Referrers: artifacts about an image, such as bills of materials (image-spec `manifest.md`,
//! "Guidelines for Artifact Usage").

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::annotation;
use super::descriptor::Descriptor;
use super::document::Document;
use super::manifest::{Manifest, ManifestError};
use super::media_type;

/// Content of the config of artifacts that need none.
const EMPTY: &[u8] = b"{}";

/// A document about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its media type, which is also the artifact's type.
    pub media_type: &'static str,
    /// The name of a file with it.
    pub title: String,
    /// The document.
    pub content: Bytes,
}

/// The config that artifacts have instead of one (image-spec `manifest.md`, "Guidance for an Empty
/// Descriptor").
#[must_use]
pub fn empty_config() -> (Descriptor, Bytes) {
    (
        Descriptor::of(media_type::OCI_EMPTY, EMPTY),
        Bytes::from_static(EMPTY),
    )
}

impl Artifact {
    /// The descriptor of the document.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::of(self.media_type, &self.content)
    }

    /// The manifest that says that it is about `subject`. It depends on nothing else: no clock.
    ///
    /// # Errors
    /// When the title makes it too large.
    pub fn about(&self, subject: &Descriptor) -> Result<Manifest, ManifestError> {
        let mut config = empty_config().0.to_json();
        // So that readers need not ask for two bytes.
        config.insert("data".to_owned(), "e30=".into());
        let mut layer = self.descriptor().to_json();
        layer.insert(
            "annotations".to_owned(),
            json!({annotation::TITLE: self.title}),
        );
        let mut object = Map::new();
        object.insert("schemaVersion".to_owned(), 2.into());
        object.insert("mediaType".to_owned(), media_type::OCI_MANIFEST.into());
        object.insert("artifactType".to_owned(), self.media_type.into());
        object.insert("config".to_owned(), Value::Object(config));
        object.insert(
            "layers".to_owned(),
            Value::Array(vec![Value::Object(layer)]),
        );
        object.insert("subject".to_owned(), Value::Object(subject.to_json()));
        Manifest::parse(Document::from_object(object).bytes().clone(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_names_its_subject_and_itself() {
        let subject = Descriptor::of(media_type::OCI_MANIFEST, b"image");
        let artifact = Artifact {
            media_type: media_type::SPDX,
            title: "image.spdx.json".to_owned(),
            content: Bytes::from_static(b"[]"),
        };
        let manifest = artifact.about(&subject).unwrap();
        assert_eq!(manifest.artifact_type(), Some("application/spdx+json"));
        assert_eq!(manifest.subject(), Some(subject));
        // Source: image-spec, `descriptor.md`, the empty descriptor's digest.
        let text = String::from_utf8(manifest.bytes().to_vec()).unwrap();
        assert!(
            text.contains(
                "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
            )
        );
        assert_eq!(
            oci_spec::image::MediaType::EmptyJSON.to_string(),
            media_type::OCI_EMPTY
        );
    }
}
