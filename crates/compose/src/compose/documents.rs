//! Composes the documents of every platform, and the index over them.

use crate::job::Job;
use crate::read::{self, Choice, Found};
use ohoci_image::compose::{self, Composed, Composition};
use ohoci_image::index::{self, Entry, NewIndex};
use ohoci_image::media_type::Family;
use ohoci_image::{Manifest, Reference};
use ohoci_store::{Error, ErrorKind};

/// The documents of a result.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) images: Vec<Composed>,
    pub(crate) root: Manifest,
    pub(super) is_index: bool,
}

/// Composes every platform, and the index over them when the base was one; `into_layout` as OCI
/// images, since readers of OCI layouts (skopeo and umoci, for two) take no others.
pub(super) fn make(
    job: &Job,
    base: Option<&Found>,
    mut list: Vec<(Option<usize>, Composition)>,
    into_layout: bool,
) -> Result<Made, Error> {
    let refuse = |why: String| {
        Error::new(
            ErrorKind::Unsupported,
            format!("cannot compose on {}", job.base),
            why,
        )
    };
    let base_index = base.and_then(Found::index);
    let is_index = list.len() > 1 || (job.choice == Choice::All && base_index.is_some());
    let one_image_only = job
        .push
        .iter()
        .find(|reference| matches!(reference, Reference::DockerArchive { .. }));
    if let (true, Some(archive)) = (is_index, one_image_only) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("cannot push an index to {archive}"),
            "a docker archive holds the image of one platform",
        )
        .hinted("choose one with --platform, or push to an oci-archive"));
    }
    let family = if job.family.is_some() {
        job.family
    } else if into_layout {
        Some(Family::Oci)
    } else if is_index {
        let all: Vec<Composition> = list.iter().map(|(_, c)| c.clone()).collect();
        Some(index::family(base_index, &all, &job.annotations))
    } else {
        None
    };
    for (_, composition) in &mut list {
        composition.family = family;
    }
    let mut images = Vec::new();
    let mut entries = Vec::new();
    for (at, composition) in &list {
        let composed = compose::compose(composition).map_err(|error| refuse(error.to_string()))?;
        if composed.layers.len() > job.max_layers {
            let why = format!(
                "the image would have {} layers; more than {} are refused, as Docker mounts at \
                 most {}",
                composed.layers.len(),
                job.max_layers,
                compose::USUAL_LAYERS
            );
            return Err(refuse(why).hinted(format!(
                "--max-layers takes up to {}, which podman and containerd mount where the \
                 kernel does",
                compose::MAX_LAYERS
            )));
        }
        entries.push(Entry {
            base_at: *at,
            manifest: composed.manifest.descriptor(),
            platform: composed.platform.clone(),
        });
        images.push(composed);
    }
    let Some(first) = images.first() else {
        return Err(refuse("there is no platform to compose for".to_owned()));
    };
    let root = if is_index {
        index::build(&NewIndex {
            base: base_index,
            base_name: read::public_name(&job.base).as_deref(),
            base_digest: base.map(|base| base.root.digest()),
            entries: &entries,
            annotations: &job.annotations,
            family: first.manifest.family(),
        })
        .map_err(|error| refuse(error.to_string()))?
    } else {
        first.manifest.clone()
    };
    Ok(Made {
        images,
        root,
        is_index,
    })
}
