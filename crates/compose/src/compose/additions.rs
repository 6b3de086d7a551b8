//! What is added to the base, per platform: deps images' layers and patches, local layers.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::deps::Deps;
use crate::job::Job;
use crate::local::LocalLayer;
use crate::read::{self, Choice, Found};
use crate::resolver::Resolver;
use ohoci_image::compose::{Addition, Base, BaseImage, Composition, Layer};
use ohoci_image::{Content, Digest, Platform, Role, label};
use ohoci_store::{Body, Error, ErrorKind};

/// One composition per platform, and what was found on the way.
pub(super) struct Compositions {
    pub(super) list: Vec<(Option<usize>, Composition)>,
    pub(super) flattened: BTreeMap<Digest, Arc<dyn Body>>,
    pub(super) warnings: Vec<String>,
}

pub(super) async fn compositions(
    job: &Job,
    local: &[LocalLayer],
    resolver: &Resolver,
    base: Option<&Found>,
    deps: &[Arc<Deps>],
) -> Result<Compositions, Error> {
    let mut bases: Vec<(Option<usize>, Base, Platform)> = Vec::new();
    let mut warnings = Vec::new();
    match base {
        Some(found) => {
            warnings.extend(found.notes.iter().cloned());
            for image in &found.images {
                let platform = image.config.platform().clone();
                let base = Base::Image(Box::new(BaseImage {
                    manifest: image.manifest.clone(),
                    config: image.config.document().clone(),
                    name: read::public_name(&job.base),
                    digest_of_name: Some(found.root.digest().clone()),
                }));
                bases.push((image.at, base, platform));
            }
            if job.choice == Choice::All && !found.skipped.is_empty() {
                warnings.push(format!(
                    "{} entries of the base's index are no images (build attestations and the \
                     like, which say nothing of the result) and were left out",
                    found.skipped.len()
                ));
            }
        }
        None => {
            for platform in scratch_platforms(job, deps) {
                bases.push((None, Base::Scratch(platform.clone()), platform));
            }
        }
    }
    for layer in local {
        if let Some(only) = &layer.platform
            && !bases.iter().any(|(.., platform)| layer.is_for(platform))
        {
            let name = &layer.name;
            warnings.push(format!(
                "layer {name} is left out: it is for {only}, and no image for that is made"
            ));
        }
    }
    let mut list = Vec::new();
    let mut flattened = BTreeMap::new();
    for (at, base, platform) in bases {
        let mut additions = Vec::new();
        for deps in deps {
            additions.push(
                deps_addition(
                    job,
                    resolver,
                    deps,
                    &platform,
                    &mut flattened,
                    &mut warnings,
                )
                .await?,
            );
        }
        let fits = |layer: &&LocalLayer| layer.is_for(&platform);
        additions.extend(local.iter().filter(fits).map(local_addition));
        list.push((
            at,
            Composition {
                base,
                additions,
                patch: job.patch.clone(),
                annotations: job.annotations.clone(),
                position: job.position,
                family: job.family,
                created: job.created.clone(),
                record_intent: true,
            },
        ));
    }
    Ok(Compositions {
        list,
        flattened,
        warnings,
    })
}

/// What scratch is composed for: the platforms asked for, else those of the first deps image, else
/// this machine's.
pub(super) fn scratch_platforms(job: &Job, deps: &[Arc<Deps>]) -> Vec<Platform> {
    let all_of_deps = || {
        let entries = deps.first()?.entries.iter();
        let platforms: Vec<Platform> = entries
            .filter_map(|child| child.descriptor.platform.clone())
            .collect();
        (!platforms.is_empty()).then_some(platforms)
    };
    match &job.choice {
        Choice::Platforms(platforms) => platforms.clone(),
        Choice::All => all_of_deps().unwrap_or_else(|| vec![read::this_machine()]),
        Choice::Default => match all_of_deps().as_deref() {
            Some([only]) => vec![only.clone()],
            _ => vec![read::this_machine()],
        },
    }
}

async fn deps_addition(
    job: &Job,
    resolver: &Resolver,
    deps: &Deps,
    platform: &Platform,
    flattened: &mut BTreeMap<Digest, Arc<dyn Body>>,
    warnings: &mut Vec<String>,
) -> Result<Addition, Error> {
    let image = deps.image_for(platform).await?;
    warnings.extend(image.notes.iter().cloned());
    let refuse = |why: String| {
        Error::new(
            ErrorKind::Unsupported,
            format!("cannot use deps {}", deps.source.place()),
            why,
        )
    };
    let Content::Image { layers, .. } = image.manifest.content() else {
        return Err(refuse("it is an index inside an index".to_owned()));
    };
    let diff_ids = image.config.diff_ids();
    if layers.len() != diff_ids.len() {
        return Err(refuse(format!(
            "its manifest lists {} layers, but its config {} diff IDs",
            layers.len(),
            diff_ids.len()
        )));
    }
    let patch = label::patch(image.config.document().object())
        .map_err(|error| refuse(error.to_string()))?;
    let layers: Vec<Layer> = match &job.deps_path {
        None => {
            if patch.is_none() {
                warnings.push(format!(
                    "deps {} carries no config patch (label {}); only its layers are added",
                    deps.source.place(),
                    ohoci_image::annotation::PATCH
                ));
            }
            layers
                .iter()
                .zip(diff_ids)
                .map(|(descriptor, diff_id)| Layer {
                    descriptor: descriptor.clone(),
                    diff_id: diff_id.clone(),
                    created_by: None,
                })
                .collect()
        }
        Some(path) => {
            let layer = deps
                .flattened(&image, path, resolver.reader(), &job.work_dir)
                .await?;
            flattened.insert(layer.descriptor.digest.clone(), layer.body);
            vec![Layer {
                descriptor: layer.descriptor,
                diff_id: layer.diff_id,
                created_by: None,
            }]
        }
    };
    Ok(Addition {
        layers,
        role: Role::Deps,
        patch,
        name: deps.name.clone(),
        digest: Some(deps.root.digest().clone()),
        path: job.deps_path.clone(),
        platform: Some(image.config.platform().clone()),
        created: image.config.created().map(str::to_owned),
    })
}

fn local_addition(layer: &LocalLayer) -> Addition {
    Addition {
        layers: vec![Layer {
            descriptor: layer.descriptor.clone(),
            diff_id: layer.diff_id.clone(),
            created_by: Some(layer.created_by.clone()),
        }],
        role: Role::Local,
        patch: None,
        name: Some(layer.name.clone()),
        digest: None,
        path: None,
        platform: None,
        created: None,
    }
}
