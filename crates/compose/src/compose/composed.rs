//! Third phase: the documents of the result are made.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::additions;
use super::documents::{self, Made};
use super::existing::Existing;
use super::links;
use super::reading::Read;
use super::tools;
use crate::fit::{self, Fit, Fitted};
use crate::local::LocalLayer;
use ohoci_image::{Digest, Reference};
use ohoci_store::{Body, Error, ErrorKind};

/// A run whose result is made, but nowhere yet.
pub(crate) struct Composed<'a> {
    pub(super) read: Read<'a>,
    /// The result.
    pub(crate) made: Made,
    /// The job's own layers, and those that the bases lacked.
    pub(super) local: Vec<LocalLayer>,
    /// Layers that were taken out of deps images.
    pub(super) flattened: BTreeMap<Digest, Arc<dyn Body>>,
    /// What the bases lacked and got.
    pub(super) fitted: Vec<Fitted>,
    /// Said where one target makes the result another for the others.
    changed_family: Option<String>,
    /// What deserves a second look.
    pub(super) warnings: Vec<String>,
}

impl<'a> Read<'a> {
    /// Makes the result, where it is worth making: not of a base alone, and not of layers that hide
    /// what the base has.
    pub(super) async fn compose(self) -> Result<Composed<'a>, Error> {
        let run = self.opened.run;
        if run.job.adds_nothing() && !run.job.may_add_nothing {
            return Err(nothing_to_add(&run.job.base));
        }
        let local = self.local_layers().await?;
        // What was just read of the base for these is known now.
        let replaced = links::replaced(run.job, self.base.as_ref(), &run.resolver.cache).await?;
        let mut composed = self.make_with(local).await?;
        composed.warnings.extend(replaced);
        composed.warnings.extend(composed.changed_family.take());
        let opened = &composed.read.opened;
        if opened.reused.is_none() {
            let left = opened.left.iter().map(Existing::warning);
            composed.warnings.extend(left);
        }
        for image in &composed.made.images {
            for warning in &image.warnings {
                if !composed.warnings.contains(warning) {
                    composed.warnings.push(warning.clone());
                }
            }
        }
        Ok(composed)
    }

    /// Makes the documents of the result, whatever they are good for.
    pub(crate) async fn make(self) -> Result<Composed<'a>, Error> {
        let local = self.local_layers().await?;
        self.make_with(local).await
    }

    /// The job's own layers, and those that the bases lack.
    async fn local_layers(&self) -> Result<(Vec<LocalLayer>, Vec<Fitted>), Error> {
        let run = self.opened.run;
        let mut local = run.job.layers.clone();
        if run.job.fit == Fit::None {
            return Ok((local, Vec::new()));
        }
        let scratch = additions::scratch_platforms(run.job, &self.deps);
        let (layers, fitted) = fit::fitted(
            &run.job.fit,
            &run.job.work_dir,
            &run.resolver.cache,
            self.base.as_ref(),
            &scratch,
            run.observer,
        )
        .await?;
        tools::expect(run.job, &self.deps, &fitted, &run.resolver.cache).await?;
        local.extend(layers);
        Ok((local, fitted))
    }

    async fn make_with(
        self,
        (local, fitted): (Vec<LocalLayer>, Vec<Fitted>),
    ) -> Result<Composed<'a>, Error> {
        let (job, resolver) = (self.opened.run.job, self.opened.run.resolver);
        let base = self.base.as_ref();
        let additions = additions::compositions(job, &local, resolver, base, &self.deps).await?;
        let for_layouts = job.push.iter().any(Reference::holds_only_oci);
        let for_others = !job.push.iter().all(Reference::holds_only_oci);
        let mut changed_family = None;
        let made = documents::make(job, base, additions.list.clone(), for_layouts)?;
        if for_layouts && for_others {
            // Not a Docker image any more, as it would be without the layout: another digest
            // everywhere.
            let without = documents::make(job, base, additions.list, false)?;
            changed_family = (without.root.family() != made.root.family()).then(|| {
                "the result is an OCI image in all targets, since one of them holds no others; \
                 without it the others would get a Docker image, which has another digest"
                    .to_owned()
            });
        }
        Ok(Composed {
            read: self,
            made,
            local,
            flattened: additions.flattened,
            fitted,
            changed_family,
            warnings: additions.warnings,
        })
    }
}

fn nothing_to_add(base: &Reference) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("cannot compose on {base}"),
        "there is nothing to put on it: the result would be the same image with another digest",
    )
    .hinted(
        "name what to add: --deps, --layer, --env and so on; `ohoci copy` copies an image as it is",
    )
}
