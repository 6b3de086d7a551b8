//! Bills of materials of what `ohoci deps build` made: written to files, and attached to the image.

use std::path::Path;
use std::sync::Arc;

use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Progress;
use ohoci_compose::Observer;
use ohoci_compose::attach::{self, Attached, Job};
use ohoci_deps::lock::Lock;
use ohoci_deps::recipe::Recipe;
use ohoci_deps::sbom::{cyclonedx, spdx};
use ohoci_image::referrer::Artifact;
use ohoci_image::{Digest, Platform, Reference, media_type};

/// The documents: two for each platform.
pub(super) fn documents(
    recipe: &Recipe,
    lock: &Lock,
    platforms: &[Platform],
) -> Vec<(Platform, Artifact)> {
    let features: Vec<&str> = recipe
        .features
        .iter()
        .map(|feature| feature.name.get_ref().as_str())
        .collect();
    let of_platform = |platform: &Platform| {
        let name = format!("{}-{}", recipe.name, platform.to_string().replace('/', "-"));
        [
            ("spdx", media_type::SPDX, spdx(lock, &features, platform)),
            (
                "cdx",
                media_type::CYCLONEDX,
                cyclonedx(lock, &features, platform),
            ),
        ]
        .map(|(kind, media_type, document)| {
            let artifact = Artifact {
                media_type,
                title: format!("{name}.{kind}.json"),
                content: format!("{document:#}\n").into(),
            };
            (platform.clone(), artifact)
        })
    };
    platforms.iter().flat_map(of_platform).collect()
}

/// Writes them into a directory.
pub(super) fn write(directory: &Path, documents: &[(Platform, Artifact)]) -> Result<(), Failure> {
    let fail = |error: std::io::Error| {
        Failure::new("cannot write the bills of materials", error.to_string())
    };
    fs_err::create_dir_all(directory).map_err(fail)?;
    for (_, artifact) in documents {
        fs_err::write(directory.join(&artifact.title), &artifact.content).map_err(fail)?;
    }
    Ok(())
}

/// Refuses places that hold no documents about images, before anything is built.
pub(super) fn check(resolver: &[Reference]) -> Result<(), Failure> {
    for place in resolver {
        attach::check(place).map_err(|error| {
            Failure::usage(error.to_string())
                .hinted("leave out --attach-sbom, or write files with --sbom DIR")
        })?;
    }
    Ok(())
}

/// Attaches them to the image, wherever it was pushed.
pub(super) async fn attach(
    documents: Vec<(Platform, Artifact)>,
    image: &Digest,
    places: Vec<Reference>,
    context: &Context,
    progress: &Arc<Progress>,
) -> Result<Vec<Attached>, Failure> {
    let observer: Arc<dyn Observer> = Arc::clone(progress) as _;
    let job = Job {
        image: image.clone(),
        places,
        artifacts: documents,
    };
    Ok(attach::attach(&job, &context.resolver, &observer).await?)
}
