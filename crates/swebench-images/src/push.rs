//! Pushes what was built: layers that are there already on the base, under every name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::audit_image::BASE_COMMIT;
use super::builder::Made;
use super::destination::Destination;
use super::planned::PlannedImage;
use crate::{BuildError, Builder, BuiltInstance, Level};
use ohoci_compose::Observer;
use ohoci_compose::compose::compose;
use ohoci_compose::job::{Job, Pins};
use ohoci_compose::watch::Unwatched;
use ohoci_image::Reference;
use ohoci_image::config_patch::ConfigPatch;
use ohoci_image::reference::ReferenceError;
use ohoci_layer::limits::UnpackLimits;
use ohoci_store::add_images;
use ohoci_store::open::open_source;

/// Where images go, and what they are pushed with.
#[derive(Debug)]
pub(crate) struct Pusher {
    pub(crate) destinations: Vec<Destination>,
    pub(crate) deps: Vec<Reference>,
    pub(crate) work_dir: PathBuf,
    pub(crate) created: Option<String>,
    pub(crate) all_levels: bool,
    /// What is to go into archives, by their number among the destinations: an archive is written once,
    /// when all of its images are there. Held while anything is put: files and layouts are written
    /// by one at a time.
    pub(crate) collected: Mutex<BTreeMap<usize, Vec<String>>>,
}

/// An image that was pushed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pushed {
    /// Its name there, by digest where it has one.
    pub reference: String,
    /// The digest of its manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Pusher {
    pub(crate) async fn push(
        &self,
        builder: &Builder,
        planned: &PlannedImage,
        built: &BuiltInstance,
    ) -> Result<Vec<Pushed>, BuildError> {
        let patch = patch(planned, built);
        let layers: Vec<&Arc<Made>> = built.levels.iter().map(|(_, made)| made).collect();
        let mut pushed = self
            .image(builder, &planned.image, &layers, patch, &self.deps)
            .await?;
        if self.all_levels {
            let settings = environment_patch();
            if let Some(name) = &planned.environment_image {
                let below = built.levels.iter().take(2);
                let layers: Vec<&Arc<Made>> = below.map(|(_, made)| made).collect();
                pushed.extend(self.image(builder, name, &layers, settings, &[]).await?);
            }
            let name = &planned.base_image;
            pushed.extend(
                self.image(builder, name, &[], ConfigPatch::default(), &[])
                    .await?,
            );
        }
        Ok(pushed)
    }

    async fn image(
        &self,
        builder: &Builder,
        name: &str,
        layers: &[&Arc<Made>],
        patch: ConfigPatch,
        deps: &[Reference],
    ) -> Result<Vec<Pushed>, BuildError> {
        let mut collected = self.collected.lock().await;
        let base = builder.base();
        let mut pushed = Vec::new();
        for (number, destination) in self.destinations.iter().enumerate() {
            if let Some(directory) = destination.directory(name) {
                // What stands there from an earlier run is not this image's.
                if directory.exists() {
                    ohoci_sandbox::remove::remove(&directory).map_err(|error| {
                        refused(format!("cannot replace {}", directory.display()), error)
                    })?;
                }
                let levels: Vec<Arc<Made>> = layers.iter().copied().cloned().collect();
                tokio::task::block_in_place(|| builder.write_root(&levels, &directory))?;
                pushed.push(Pushed {
                    reference: format!("dir:{}", directory.display()),
                    digest: None,
                });
                continue;
            }
            let reference = destination
                .reference(name)
                .map_err(|error| failed(name, &error))?;
            let job = Job {
                deps: deps.to_vec(),
                pins: Pins {
                    base: Some(base.digest.clone()),
                    deps: Vec::new(),
                },
                layers: layers.iter().map(|made| made.layer.layer.clone()).collect(),
                push: match destination.is_archive() {
                    true => vec![self.collection(number, name)],
                    false => reference.clone().into_iter().collect(),
                },
                patch: patch.clone(),
                may_add_nothing: true,
                created: self.created.clone(),
                ..Job::on(base.reference.clone(), self.work_dir.clone())
            };
            let observer: Arc<dyn Observer> = Arc::new(Unwatched);
            let report = Box::pin(compose(&job, builder.resolver(), &observer))
                .await
                .map_err(|error| {
                    let pushed = refused(error.what().to_owned(), error.why());
                    match error.hint() {
                        Some(hint) => pushed.hinted(hint),
                        None => pushed,
                    }
                })?;
            if let Some(Reference::Registry(registry)) = &reference {
                // Every image has a repository of its own; what they share is uploaded to one.
                let blobs = base.layers.iter().map(|layer| &layer.digest);
                let blobs = blobs.chain(
                    layers
                        .iter()
                        .map(|made| &made.layer.layer.descriptor.digest),
                );
                builder.resolver().note_pushed(&registry.into(), blobs);
            }
            let pushed_as = match (destination.is_archive(), reference) {
                (true, Some(reference)) => {
                    collected.entry(number).or_default().push(name.to_owned());
                    reference.to_string()
                }
                _ => report.reference.unwrap_or_default(),
            };
            pushed.push(Pushed {
                reference: pushed_as,
                digest: Some(report.digest.to_string()),
            });
        }
        Ok(pushed)
    }

    /// Where an image is until its archive is written.
    fn collection(&self, number: usize, name: &str) -> Reference {
        Reference::Layout {
            path: self.work_dir.join(format!("archive-{number}")),
            tag: Some(name.to_owned()),
        }
    }

    /// Writes the archives, with what they held before under other names.
    pub(crate) async fn finish(&self, limits: UnpackLimits) -> Result<(), ohoci_store::Error> {
        let mut collected = self.collected.lock().await;
        for (number, names) in std::mem::take(&mut *collected) {
            let Some(archive) = self.destinations.get(number).and_then(Destination::archive) else {
                continue;
            };
            let mut images = Vec::new();
            // The same base is pushed with every instance.
            for name in names.into_iter().collect::<BTreeSet<_>>() {
                let source = open_source(&self.collection(number, &name), limits).await?;
                images.extend(source.map(|source| (name, source)));
            }
            add_images(&archive, &images, limits).await?;
        }
        Ok(())
    }
}

fn refused(what: String, why: impl std::fmt::Display) -> BuildError {
    BuildError::new(Level::Instance, what, why)
}

fn failed(name: &str, error: &ReferenceError) -> BuildError {
    refused(format!("push {name}"), error)
}

/// What upstream's Dockerfiles set.
fn environment_patch() -> ConfigPatch {
    ConfigPatch {
        env: vec![
            ("PATH".to_owned(), "/opt/miniconda3/bin:${PATH}".to_owned()),
            ("TZ".to_owned(), "Etc/UTC".to_owned()),
        ],
        working_dir: Some("/testbed".to_owned()),
        ..ConfigPatch::default()
    }
}

fn patch(planned: &PlannedImage, built: &BuiltInstance) -> ConfigPatch {
    let mut patch = environment_patch();
    let mut label = |name: &str, value: &str| {
        patch.labels.insert(name.to_owned(), Some(value.to_owned()));
    };
    label("ohoci.swebench.instance", &planned.instance_id);
    if let Ok(order) = &planned.order {
        label("ohoci.swebench.repo", &order.row.repo);
        label(
            BASE_COMMIT,
            order.row.base_commit.as_deref().unwrap_or_default(),
        );
    }
    // Of several parts of a history it is the last that is named.
    for (level, made) in &built.levels {
        label(&format!("ohoci.swebench.{level}-key"), &made.key);
    }
    patch
}
