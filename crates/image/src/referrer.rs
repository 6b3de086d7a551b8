//! Referrers: artifacts about an image, such as bills of materials (image-spec `manifest.md`,
//! "Guidelines for Artifact Usage").

use bytes::Bytes;
use serde_json::{Value, json};

use super::annotation;
use super::artifact;
use super::descriptor::Descriptor;
use super::document::Document;
use super::manifest::{Manifest, ManifestError};
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
        let mut layer = self.descriptor().to_json();
        layer.insert(
            "annotations".to_owned(),
            json!({annotation::TITLE: self.title}),
        );
        let mut object = artifact::beginning(self.media_type, vec![Value::Object(layer)]);
        object.insert("subject".to_owned(), Value::Object(subject.to_json()));
        Manifest::parse(Document::from_object(object).bytes().clone(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type;

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
