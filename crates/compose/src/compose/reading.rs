//! Second phase: base and deps are read, side by side. Meanwhile begins what needs only manifests:
//! upload sessions are opened, and layers mounted.

use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};

use super::existing;
use super::opened::Opened;
use crate::deps::Deps;
use crate::job::{IfExists, Job};
use crate::read::{self, Choice, Found};
use crate::resolver::Destination;
use ohoci_image::media_type::{self, LayerKind};
use ohoci_image::{Content, Manifest, Reference};
use ohoci_store::{Error, Source};

/// A run whose base and deps have been read.
pub(crate) struct Read<'a> {
    pub(super) opened: Opened<'a>,
    /// The base's images; `None` for scratch.
    pub(super) base: Option<Found>,
    /// The deps images.
    pub(super) deps: Vec<Arc<Deps>>,
}

impl<'a> Opened<'a> {
    /// Reads base and deps.
    pub(crate) async fn read(self) -> Result<Read<'a>, Error> {
        self.run.step("reading base and deps");
        let ((base, deps), ()) = futures_util::try_join!(self.inputs(), self.prepare())?;
        Ok(Read {
            opened: self,
            base,
            deps,
        })
    }

    /// The deps' documents for the most likely platform are read before the base has told which it
    /// is, so that neither waits for the other; and mounts begin with the manifests, beside the
    /// reading of the configs.
    async fn inputs(&self) -> Result<(Option<Found>, Vec<Arc<Deps>>), Error> {
        let (job, resolver) = (self.run.job, self.run.resolver);
        let ahead = |source: &dyn Source, manifest: &Manifest| {
            mount_ahead(job, &self.destinations, source, manifest);
        };
        let base = async {
            match &job.base {
                Reference::Scratch => Ok(None),
                reference => {
                    let pin = self.pins.base.as_ref();
                    let source = resolver.source_at(reference, pin).await?;
                    let found = read::images(source, &job.choice, &ahead).await?;
                    read::expect_pin(reference, pin, &found.root)?;
                    Ok(Some(found))
                }
            }
        };
        let likely = match &job.choice {
            Choice::Platforms(platforms) => platforms.first().cloned(),
            Choice::Default | Choice::All => None,
        }
        .unwrap_or_else(read::this_machine);
        let deps = try_join_all(job.deps.iter().enumerate().map(|(at, reference)| {
            let pin = self.pins.deps.get(at).and_then(Option::as_ref);
            let likely = &likely;
            let ahead = &ahead;
            async move {
                let deps = resolver.deps_at(reference, pin).await?;
                // Only a guess: when it is wrong, the right one is read later and says what is
                // wrong.
                let guess = deps.image_for(likely);
                let mounts = async {
                    // Of an index it is not known yet which image is needed, and of a foreign image
                    // no layer is taken as it stands.
                    if job.deps_path.is_none() {
                        ahead(deps.source.as_ref(), &deps.root);
                    }
                };
                let _ = futures_util::join!(guess, mounts);
                Ok::<_, Error>(deps)
            }
        }));
        futures_util::try_join!(base, deps)
    }

    /// Opens upload sessions ahead of time, or makes sure that nothing is replaced.
    async fn prepare(&self) -> Result<(), Error> {
        let job = self.run.job;
        match job.if_exists {
            IfExists::Fail => existing::forbid(&self.destinations).await,
            IfExists::Replace | IfExists::Skip => {
                if !job.dry_run {
                    join_all(
                        self.destinations
                            .iter()
                            .filter(|destination| !pushed_before(destination))
                            .map(|destination| destination.target.prepare()),
                    )
                    .await;
                }
                Ok(())
            }
        }
    }
}

/// Begins to mount an image's layers in every target where the plan can only be to mount them.
fn mount_ahead(job: &Job, destinations: &[Destination], source: &dyn Source, manifest: &Manifest) {
    let (Content::Image { layers, .. }, Some(origin)) = (manifest.content(), source.origin())
    else {
        return;
    };
    if job.dry_run || job.if_exists == IfExists::Fail {
        return;
    }
    let is_ordinary =
        |media_type: &str| matches!(media_type::layer_kind(media_type), LayerKind::Ordinary(_));
    for destination in destinations {
        if pushed_before(destination) {
            continue;
        }
        for layer in layers {
            if is_ordinary(&layer.media_type) {
                destination.target.prepare_mount(&layer.digest, &origin);
            }
        }
    }
}

/// Whether this machine remembers having pushed to the tags: then the result is likely there
/// already, and asking comes first.
fn pushed_before(destination: &Destination) -> bool {
    destination.every_tag_is_remembered(|_| true)
}
