//! Images that are not there yet are built before anything is evaluated.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;

use super::Arguments;
use crate::arguments::{Format, RegistryArguments};
use crate::compose::CompressionArgument;
use crate::failure::Failure;
use crate::limits::LimitArguments;
use crate::output;
use crate::swebench::images;
use ohoci_swebench::row::Row;
use ohoci_swebench_evaluation::Evaluator;
use ohoci_swebench_images::BuildError;

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
}

/// Builds the images of the rows that have none.
pub(super) async fn build(
    arguments: &Arguments,
    registry: &RegistryArguments,
    dataset: &Path,
    evaluator: &Evaluator,
    workers: usize,
    rows: &[&Row],
) -> Result<Unbuilt, Failure> {
    let mut missing = Vec::new();
    for row in rows {
        let found = evaluator.roots.has(&evaluator.names, row).await;
        // What cannot be found out is told when the instance is evaluated.
        if matches!(found, Ok(false)) {
            missing.push(row.instance_id.clone());
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
    let images = &arguments.images;
    let place = images.images.clone().or_else(|| images.registry.clone());
    let wanted = images::Arguments {
        dataset_name: dataset.to_owned(),
        instance_ids: missing,
        repo_source: arguments.build.repo_source.clone(),
        base_image: arguments.build.base_image.clone(),
        base_recipe: arguments.build.base_recipe.clone(),
        python_dir: arguments.build.python_dir.clone(),
        push: place.into_iter().collect(),
        namespace: images.namespace.clone(),
        tag: images.instance_image_tag.clone(),
        all_levels: false,
        deps: Vec::new(),
        with_patches: None,
        specs: arguments.specs.clone(),
        leave_out: arguments.build.leave_out.clone(),
        keep_unpacked: false,
        offline: false,
        max_workers: NonZeroUsize::new(workers),
        logs: arguments.build.build_logs.clone(),
        compression: CompressionArgument::default(),
        dry_run: false,
        format: Format::Text,
        limits: LimitArguments {
            // That is how long tests may take.
            timeout: None,
            ..arguments.limits.clone()
        },
    };
    Box::pin(images::build(&wanted, registry)).await
}
