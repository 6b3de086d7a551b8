//! Any bytes as a manifest; what is read as an image is composed on, and the result is read again.

use ohoci_image::compose::{self, Base, BaseImage, Composition};
use ohoci_image::config_patch::ConfigPatch;
use ohoci_image::index::{self, Wanted};
use ohoci_image::label::Position;
use ohoci_image::{Document, Manifest, shape};
use serde_json::Value;

pub(crate) fn run(data: &[u8]) -> bool {
    // The first line is a manifest, the rest a config.
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (Some(first), rest) = (parts.next(), parts.next().unwrap_or_default()) else {
        return false;
    };
    let Ok(manifest) = Manifest::parse(first.to_vec(), None) else {
        return false;
    };
    let _ = index::select(&manifest, &Wanted::All);
    let Ok(config) = Document::parse(rest.to_vec(), &shape::CONFIG) else {
        return false;
    };
    // No fuzzer finds a digest, so the manifest is made to name the config.
    let mut object = manifest.document().object().clone();
    if let Some(Value::Object(descriptor)) = object.get_mut("config") {
        descriptor.insert("digest".to_owned(), config.digest().to_string().into());
    }
    let Ok(manifest) = Manifest::parse(Value::Object(object).to_string(), None) else {
        return false;
    };
    let input = Composition {
        base: Base::Image(Box::new(BaseImage {
            manifest,
            config,
            name: None,
            digest_of_name: None,
        })),
        additions: Vec::new(),
        patch: ConfigPatch {
            env: vec![("PATH".to_owned(), "/x:${PATH}".to_owned())],
            ..ConfigPatch::default()
        },
        annotations: Default::default(),
        position: Position::Top,
        family: None,
        created: None,
        record_intent: true,
    };
    if let Ok(composed) = compose::compose(&input) {
        let again = Manifest::parse(composed.manifest.bytes().clone(), None);
        assert!(again.is_ok());
    }
    true
}
