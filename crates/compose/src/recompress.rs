//! Layers of what is copied, compressed in another way: other blobs, the same diff IDs and configs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tokio_util::io::{StreamReader, SyncIoBridge};

use super::local::kept;
use super::plan::Need;
use super::read;
use super::watch::{Event, Observer};
use ohoci_image::convert;
use ohoci_image::image_config::ImageConfig;
use ohoci_image::media_type::{self, LayerKind};
use ohoci_image::{Content, Descriptor, Digest, Document, Manifest, Role, shape};
use ohoci_layer::compress::Settings;
use ohoci_layer::limits::{Budget, UnpackLimits};
use ohoci_layer::recompress::recompress;
use ohoci_store::{Body, Error, ErrorKind, Source};

/// Annotation of what BuildKit attests, in the index that lists it; its value says which kind it is.
const ATTESTATION: &str = "vnd.docker.reference.type";

/// What came of it.
#[derive(Debug)]
pub(super) struct Recompressed {
    /// The manifests, in the order in which they were given.
    pub(super) manifests: Vec<Manifest>,
    /// What is to be said of them.
    pub(super) warnings: Vec<String>,
    bodies: HashMap<Digest, Arc<dyn Body>>,
}

impl Recompressed {
    /// Lets the blobs that were made come from this machine.
    pub(super) fn supply(&self, needs: &mut [Need]) {
        for need in needs {
            if let Some(body) = self.bodies.get(&need.descriptor.digest) {
                "this machine".clone_into(&mut need.place);
                need.role = Role::Local;
                need.origin = None;
                need.local = true;
                need.body = Arc::clone(body);
            }
        }
    }
}

/// Compresses the layers of all images as `settings` say. A layer whose type already says so is left as it
/// is, unless a level is asked for; foreign and encrypted ones always are.
///
/// # Errors
/// When a config or layer cannot be read or is not what its image says, a file cannot be written, or a
/// manifest has no place for the result.
pub(super) async fn recompressed(
    source: &dyn Source,
    manifests: &[Manifest],
    (settings, limits): (Settings, UnpackLimits),
    work_dir: &Path,
    observer: &Arc<dyn Observer>,
) -> Result<Recompressed, Error> {
    let mut replaced: HashMap<Digest, Descriptor> = HashMap::new();
    let mut bodies: HashMap<Digest, Arc<dyn Body>> = HashMap::new();
    let mut warnings = Vec::new();
    for manifest in manifests {
        let Content::Image { config, layers } = manifest.content() else {
            if lists_attestations(manifest) {
                warnings.push(format!(
                    "index {} lists attestations: what they say is about the images before their layers \
                     were compressed anew",
                    manifest.digest().short()
                ));
            }
            continue;
        };
        if !media_type::is_image_config(&config.media_type) {
            continue;
        }
        let diff_ids = diff_ids(source, config).await?;
        let refuse = |why: String| {
            let what = format!(
                "cannot compress the layers of {} ({})",
                source.place(),
                manifest.digest().short()
            );
            Error::new(ErrorKind::Corrupt, what, why)
        };
        if diff_ids.len() != layers.len() {
            return Err(refuse(format!(
                "it has {} layers, but its config {} diff IDs",
                layers.len(),
                diff_ids.len()
            )));
        }
        let budget = Arc::new(Budget::new(limits));
        for (at, (layer, diff_id)) in layers.iter().zip(&diff_ids).enumerate() {
            match media_type::layer_kind(&layer.media_type) {
                LayerKind::Ordinary(now)
                    if now == settings.compression && settings.level.is_none() =>
                {
                    continue;
                }
                LayerKind::Ordinary(_) if replaced.contains_key(&layer.digest) => continue,
                LayerKind::Ordinary(_) => {}
                LayerKind::Foreign | LayerKind::Encrypted | LayerKind::Unknown => {
                    warnings.push(format!(
                        "layer {} stays as it is: its type is {}",
                        layer.digest.short(),
                        layer.media_type
                    ));
                    continue;
                }
            }
            observer.event(&Event::Step(format!(
                "compressing layer {} of {}",
                at + 1,
                layers.len()
            )));
            let numbered = |error: String| refuse(format!("layer {}: {error}", at + 1));
            let layer_of = (layer, diff_id);
            let new = one(source, layer_of, settings, &budget, work_dir).await?;
            let (descriptor, body) = new.map_err(numbered)?;
            bodies.insert(descriptor.digest.clone(), body);
            replaced.insert(layer.digest.clone(), descriptor);
        }
    }
    let manifests = convert::replace_layers(manifests, &replaced).map_err(|error| {
        let what = format!("cannot compress the layers of {}", source.place());
        Error::new(ErrorKind::Unsupported, what, error.to_string())
    })?;
    Ok(Recompressed {
        manifests,
        warnings,
        bodies,
    })
}

/// One layer; inside, why it is not what its image says.
async fn one(
    source: &dyn Source,
    (layer, diff_id): (&Descriptor, &Digest),
    settings: Settings,
    budget: &Arc<Budget>,
    work_dir: &Path,
) -> Result<Result<(Descriptor, Arc<dyn Body>), String>, Error> {
    let what = || {
        format!(
            "cannot compress layer {} of {}",
            layer.digest.short(),
            source.place()
        )
    };
    let stream = source.blob(layer).open(0).await;
    let stream = stream.map_err(|error| Error::reading(what(), error))?;
    let input = SyncIoBridge::new(StreamReader::new(stream));
    let (diff_id, budget, out_dir) = (diff_id.clone(), Arc::clone(budget), work_dir.to_owned());
    let made = tokio::task::spawn_blocking(move || {
        recompress(input, &diff_id, &budget, settings, &out_dir)
    });
    let made = made.await;
    let made = made.map_err(|error| Error::new(ErrorKind::Io, what(), error.to_string()))?;
    match made.map_err(|error| Error::reading(what(), error.into()))? {
        Err(wrong) => Ok(Err(wrong.to_string())),
        Ok(packed) => {
            let body = kept(packed.file, &packed.descriptor)?;
            Ok(Ok((packed.descriptor, body)))
        }
    }
}

async fn diff_ids(source: &dyn Source, config: &Descriptor) -> Result<Vec<Digest>, Error> {
    let bytes = source.document(config).await?;
    let read = Document::parse(bytes, &shape::CONFIG)
        .map_err(|error| error.to_string())
        .and_then(|document| {
            ImageConfig::parse_assuming(document, &read::this_machine())
                .map_err(|error| error.to_string())
        });
    let (config, _) = read.map_err(|why| {
        let what = format!(
            "cannot read config {} of {}",
            config.digest.short(),
            source.place()
        );
        Error::new(ErrorKind::Corrupt, what, why)
    })?;
    Ok(config.diff_ids().to_vec())
}

fn lists_attestations(index: &Manifest) -> bool {
    let Content::Index { manifests } = index.content() else {
        return false;
    };
    manifests
        .iter()
        .any(|entry| entry.annotations.contains_key(ATTESTATION))
}
