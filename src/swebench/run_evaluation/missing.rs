//! Images that are not there yet are built before anything is evaluated.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::Arguments;
use crate::arguments::RegistryArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::limits::LimitArguments;
use crate::output;
use crate::swebench::images::{self, Instances, Request};
use ohoci_layer::pack::PackOptions;
use ohoci_swebench::row::Row;
use ohoci_swebench::specs::Catalogue;
use ohoci_swebench_evaluation::Evaluator;
use ohoci_swebench_images::BuildError;
use ohoci_swebench_images::destination::DestinationError;
use ohoci_swebench_images::images::Observer;
use ohoci_swebench_images::report::ImageOutcome;
use ohoci_swebench_images::repository::RepoSource;

/// How images are built.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Images that are not there")]
pub(super) struct BuildArguments {
    /// Build images that are not there, as `swebench images` does, into --images or --registry: where
    /// repositories come from (a repository, a folder of them, or a URL; see there); repeatable
    #[arg(
        long,
        value_name = "[OWNER/NAME=]DIR|URL",
        alias = "repo_source",
        requires = "base"
    )]
    pub(super) repo_source: Vec<String>,

    /// The base level of such images
    #[arg(
        long,
        value_name = "REF",
        alias = "base_image",
        requires = "repo_source",
        group = "base"
    )]
    pub(super) base_image: Option<String>,

    /// The base level of such images, assembled from Debian packages: a recipe with a rootfs table
    #[arg(
        long,
        value_name = "FILE",
        alias = "base_recipe",
        requires = "repo_source",
        group = "base"
    )]
    pub(super) base_recipe: Option<PathBuf>,

    /// Pythons, a folder with one prefix for each version [default: the base's own, else uv's]
    #[arg(
        long,
        value_name = "DIR",
        alias = "python_dir",
        requires = "repo_source"
    )]
    pub(super) python_dir: Option<PathBuf>,

    /// A conda package to do without, where no Python package index has it; repeatable
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        requires = "repo_source"
    )]
    pub(super) leave_out: Vec<String>,

    /// Where build logs are written
    #[arg(long, value_name = "DIR", default_value = "logs/build_images")]
    pub(super) build_logs: PathBuf,
}

/// What could not be built, by instance.
pub(super) type Unbuilt = BTreeMap<String, BuildError>;

impl BuildArguments {
    /// Whether anything is to be built, and that there is a place for it.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn check(&self, arguments: &Arguments) -> Result<bool, Failure> {
        if self.repo_source.is_empty() {
            return Ok(false);
        }
        if arguments.images.images.is_none() && arguments.images.registry.is_none() {
            return Err(
                Failure::usage("--repo-source needs a place for what is built")
                    .hinted("--images oci:DIR, or --registry HOST"),
            );
        }
        Ok(true)
    }

    /// What is asked for of whoever builds images.
    fn request(&self, arguments: &Arguments, workers: usize) -> Result<Request, Failure> {
        let images = &arguments.images;
        let place = images.images.as_ref().or(images.registry.as_ref());
        let sources = self.repo_source.iter();
        Ok(Request {
            sources: sources.map(|text| RepoSource::parse(text)).collect(),
            base_image: self.base_image.clone(),
            base_recipe: self.base_recipe.clone(),
            python_dir: self.python_dir.clone(),
            destinations: place
                .map(|text| text.parse())
                .into_iter()
                .collect::<Result<_, DestinationError>>()
                .map_err(|error| Failure::usage(format!("--images {error}")))?,
            namespace: images.namespace.clone(),
            tag: images.instance_image_tag.clone(),
            all_levels: false,
            deps: Vec::new(),
            leave_out: self.leave_out.clone(),
            offline: false,
            keep_unpacked: false,
            workers,
            logs: self.build_logs.clone(),
            packing: PackOptions::default(),
            limits: LimitArguments {
                // That is how long tests may take.
                timeout: None,
                ..arguments.limits.clone()
            },
        })
    }
}

/// Builds the images of the rows that have none.
pub(super) async fn build(
    arguments: &Arguments,
    registry: &RegistryArguments,
    catalogue: &Catalogue,
    evaluator: &Evaluator,
    workers: usize,
    rows: &[&Row],
) -> Result<Unbuilt, Failure> {
    let mut missing = Vec::new();
    for row in rows {
        let found = evaluator.roots.has(&evaluator.names, row).await;
        // What cannot be found out is told when the instance is evaluated.
        if matches!(found, Ok(false)) {
            missing.push((*row).clone());
        }
    }
    if missing.is_empty() {
        return Ok(Unbuilt::new());
    }
    output::note(&format!(
        "building {} of {} images",
        missing.len(),
        rows.len()
    ));
    let instances = Instances {
        rows: missing,
        catalogue,
        patches: None,
    };
    let request = arguments.build.request(arguments, workers)?;
    let context = Context::open(registry)?;
    let building = request.build(instances, context, registry, &Console);
    let report = Box::pin(building).await?;
    let outcomes = report.outcomes.into_iter();
    Ok(outcomes
        .filter_map(|outcome| Some((outcome.instance_id, outcome.error?)))
        .collect())
}

/// Tells of images on stderr.
struct Console;

impl Observer for Console {
    fn ended(&self, outcome: &ImageOutcome) {
        images::tell_outcome(outcome);
    }
}
