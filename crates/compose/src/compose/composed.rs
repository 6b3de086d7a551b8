//! Third phase: the documents of the result are made.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::additions;
use super::documents::{self, Made};
use super::existing::Existing;
use super::following;
use super::links;
use super::prefix;
use super::reading::Read;
use super::tools;
use crate::fit::{self, Account, Fit, Fitted, Listing, OwnLayer};
use crate::local::LocalLayer;
use ohoci_image::{Digest, Platform, Reference};
use ohoci_store::{Body, Error, ErrorKind};

/// A run whose result is made, but nowhere yet.
pub(crate) struct Composed<'a> {
    pub(super) read: Read<'a>,
    /// The result.
    pub(crate) made: Made,
    /// The job's layers, and those that the bases lacked.
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

/// The layers of this machine.
#[derive(Default)]
struct Local {
    /// The job's, as the bases' links have them, and those that the bases lack.
    layers: Vec<LocalLayer>,
    /// What the bases lacked and got.
    fitted: Vec<Fitted>,
    /// What followed links of the bases.
    notes: Vec<String>,
}

impl Local {
    /// Adds a layer, for each base where its symlinks lead.
    async fn follow(
        &mut self,
        layer: &LocalLayer,
        listings: &[(Platform, Listing)],
        work_dir: &Path,
    ) -> Result<(), Error> {
        let (layers, notes) = following::followed(layer, listings, work_dir).await?;
        self.layers.extend(layers);
        self.notes.extend(notes);
        Ok(())
    }
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
        prefix::expect_free(run.job, self.base.as_ref(), run.resolver).await?;
        // What was just read of the base for these is known now.
        let base = self.base.as_ref();
        let replaced = links::replaced(run.job, &local.layers, base, run.resolver).await?;
        let unread = self.unread();
        let mut composed = self.make_with(local).await?;
        composed.warnings.extend(replaced);
        composed.warnings.extend(unread);
        for fitted in &composed.fitted {
            composed.warnings.extend(fitted.notes.iter().cloned());
        }
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

    /// The job's layers, and those that the bases lack.
    async fn local_layers(&self) -> Result<Local, Error> {
        let run = self.opened.run;
        let job = run.job;
        let base = self.base.as_ref();
        let mut local = Local::default();
        if job.fit == Fit::None {
            let listings = following::listings(job, base, run.resolver).await?;
            for layer in &job.layers {
                local.follow(layer, &listings, &job.work_dir).await?;
            }
            return Ok(local);
        }
        let reader = run.resolver.reader();
        let scratch = additions::scratch_platforms(job, &self.deps);
        let listings = fit::listings(reader, base, &scratch, run.observer).await?;
        for layer in &job.layers {
            match run.resolver.own_layer(&layer.name) {
                Some(tree) => {
                    let own = OwnLayer { layer, tree };
                    let laid_out = fit::laid_out(&own, &job.work_dir, &listings)?;
                    local.layers.extend(laid_out);
                }
                None => local.follow(layer, &listings, &job.work_dir).await?,
            }
        }
        let account = Account::of(&job.patch);
        let bundles = tools::bundles(job, &self.deps, &listings, reader).await?;
        let (layers, fitted) = fit::fitted(
            &job.fit,
            &job.work_dir,
            &listings,
            account.as_ref(),
            bundles,
        )?;
        tools::expect(job, &self.deps, &fitted, reader).await?;
        local.layers.extend(layers);
        local.fitted = fitted;
        Ok(local)
    }

    /// Said of layers that are made for any base, where the base was not read.
    fn unread(&self) -> Option<String> {
        let run = self.opened.run;
        self.base.as_ref()?;
        let mut layers = run.job.layers.iter();
        let own = layers.find(|layer| run.resolver.own_layer(&layer.name).is_some())?;
        let account = Account::of(&run.job.patch).map(|account| {
            format!(
                ", and user {} gets no line in its /etc/passwd, so that ssh, sudo and whoami fail \
                 unless it has one",
                account.uid
            )
        });
        (run.job.fit == Fit::None).then(|| {
            format!(
                "the base was not read: {} follows none of its symlinks{}; --fit auto reads it, once",
                own.created_by.trim_start_matches("ohoci: "),
                account.unwrap_or_default()
            )
        })
    }

    async fn make_with(self, local: Local) -> Result<Composed<'a>, Error> {
        let Local {
            layers: local,
            fitted,
            notes,
        } = local;
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
            warnings: [notes, additions.warnings].concat(),
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
