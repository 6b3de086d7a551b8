//! What is to be built: rows with their names, environments and scripts.

use std::collections::HashMap;
use std::path::Path;

use crate::builder::Order;
use crate::disk::Needs;
use crate::git::Git;
use crate::repository::RepoSource;
use crate::{BuildError, Builder, Level};
use ohoci_swebench::environment::{Environment, EnvironmentError, specs};
use ohoci_swebench::names::{self, Architecture};
use ohoci_swebench::predictions::Predictions;
use ohoci_swebench::row::Row;
use ohoci_swebench::setup_script::pre_install;
use ohoci_swebench::specs::Catalogue;

/// What upstream's published images are called after.
const NAMESPACE: &str = "swebench";

/// One instance's plan.
#[derive(Clone, Debug)]
pub struct PlannedImage {
    /// The instance.
    pub instance_id: String,
    /// The image's name.
    pub image: String,
    /// The name of its environment's image.
    pub environment_image: Option<String>,
    /// The name of its base's image.
    pub base_image: String,
    /// What is built, or why nothing is.
    pub order: Result<Order, BuildError>,
}

impl PlannedImage {
    /// What it needs that other instances may need, too; nothing where nothing is built.
    #[must_use]
    pub(crate) fn needs(&self) -> Option<Needs> {
        let order = self.order.as_ref().ok()?;
        Some(Needs {
            environment: order.environment.lock.key(),
            repository: order.row.repo.clone(),
            commit: order.row.base_commit.clone().unwrap_or_default(),
        })
    }
}

/// This machine's architecture, in upstream's words.
#[must_use]
pub(crate) fn architecture() -> Architecture {
    match std::env::consts::ARCH {
        "aarch64" => Architecture::Arm64,
        _ => Architecture::X86_64,
    }
}

/// Which images are planned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The namespace in images' names; `None` as the row's own image says, else upstream's.
    pub namespace: Option<&'a str>,
    /// The tag in images' names.
    pub tag: &'a str,
    /// How versions of repositories are installed.
    pub catalogue: &'a Catalogue,
    /// Predictions whose patches are baked in.
    pub patches: Option<&'a Predictions>,
    /// git.
    pub git: &'a Git,
    /// Where repositories come from.
    pub sources: &'a [RepoSource],
    /// Where clones are kept.
    pub clones: &'a Path,
}

/// Whether any of them needs packages that the base has to bring.
#[must_use]
pub(crate) fn needs_system_packages(images: &[PlannedImage]) -> bool {
    let mut orders = images.iter().filter_map(|image| image.order.as_ref().ok());
    orders.any(|order| !pre_install(&order.specs).system_packages.is_empty())
}

/// Plans the images of instances, in their order. An environment's files may have to be looked up in
/// its repository. Blocks.
#[must_use]
pub(crate) fn plan(rows: Vec<Row>, wanted: &Wanted<'_>) -> Vec<PlannedImage> {
    let catalogue = wanted.catalogue;
    let mut known: HashMap<(String, String), Result<Environment, EnvironmentError>> =
        HashMap::new();
    let mut planned = Vec::new();
    for row in rows {
        // Frozen environments are instances' own; all others are the same for the same commit.
        let commit = row
            .environment_setup_commit
            .clone()
            .or(row.base_commit.clone());
        let frozen = ohoci_swebench::frozen::environment_of(&row.instance_id);
        let version = row.version.clone().unwrap_or_default();
        let key = (
            format!("{} {version}", row.repo),
            match (&row.specs, frozen) {
                (Some(_), _) => row.instance_id.clone(),
                (None, Some(frozen)) => frozen.to_owned(),
                (None, None) => commit.unwrap_or_default(),
            },
        );
        let environment = known.entry(key).or_insert_with(|| {
            Builder::environment_of(&row, catalogue, wanted.git, wanted.sources, wanted.clones)
        });
        let order = match (environment.clone(), specs(&row, catalogue)) {
            (Ok(environment), Ok(specs)) => Ok(Order {
                specs: specs.clone(),
                environment,
                conda: None,
                model_patch: wanted
                    .patches
                    .and_then(|all| all.get(&row.instance_id)?.patch.clone()),
                with_patches: wanted.patches.is_some(),
                row: row.clone(),
            }),
            (Err(error), _) | (_, Err(error)) => Err(refused(&error)),
        };
        let tag = wanted.tag;
        let environment_image = order.as_ref().ok().map(|order| {
            let script = &order.environment.script;
            names::environment_image("py", architecture(), script, None, tag)
        });
        planned.push(PlannedImage {
            image: image(wanted, &row),
            environment_image,
            base_image: names::base_image("py", architecture(), None, tag),
            instance_id: row.instance_id,
            order,
        });
    }
    planned
}

/// The image's name: the row's own unless another namespace or tag is asked for.
fn image(wanted: &Wanted<'_>, row: &Row) -> String {
    match (wanted.namespace, &row.image) {
        (None, Some(image)) if wanted.tag == "latest" => image.clone(),
        (namespace, _) => {
            let namespace = namespace.unwrap_or(NAMESPACE);
            let namespace = names::namespace(namespace);
            names::instance_image(namespace, architecture(), &row.instance_id, wanted.tag)
        }
    }
}

fn refused(error: &EnvironmentError) -> BuildError {
    let refused = BuildError::new(Level::Environment, "plan the environment", error);
    match error {
        EnvironmentError::Unknown { .. } => {
            refused.hinted("--specs FILE says it, in the form of SWE-bench's own table")
        }
        EnvironmentError::NoFile { .. } => {
            refused.hinted("--repo-source names the place of a clone with that commit")
        }
        EnvironmentError::Field(_) | EnvironmentError::Published { .. } => refused,
    }
}
