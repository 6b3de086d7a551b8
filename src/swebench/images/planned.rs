//! What is to be built: rows with their names, environments and scripts.

use std::collections::HashMap;

use super::PlannedOrder;
use super::arguments::Arguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::swebench::inputs;
use ohoci_swebench::environment::{Environment, EnvironmentError, specs};
use ohoci_swebench::names::{self, Architecture};
use ohoci_swebench::row::{self, Row};
use ohoci_swebench::specs::Catalogue;
use ohoci_swebench_images::builder::Order;
use ohoci_swebench_images::git::Git;
use ohoci_swebench_images::repository::RepoSource;
use ohoci_swebench_images::{BuildError, Builder, Level};

/// What upstream's published images are called after.
const NAMESPACE: &str = "swebench";

/// One instance's plan.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) instance_id: String,
    /// The image's name.
    pub(super) image: String,
    /// The name of its environment's image.
    pub(super) environment_image: Option<String>,
    /// The name of its base's image.
    pub(super) base_image: String,
    /// What is built, or why nothing is.
    pub(super) order: PlannedOrder,
}

/// This machine's architecture, in upstream's words.
pub(super) fn architecture() -> Architecture {
    match std::env::consts::ARCH {
        "aarch64" => Architecture::Arm64,
        _ => Architecture::X86_64,
    }
}

/// Reads the dataset and plans what is asked for.
pub(super) fn plan(
    arguments: &Arguments,
    context: &Context,
    git: &Git,
    sources: &[RepoSource],
) -> Result<Vec<Planned>, Failure> {
    let all = inputs::rows(&arguments.dataset_name)?;
    let predictions = match &arguments.with_patches {
        Some(name) => Some(inputs::predictions(name, &all)?),
        None => None,
    };
    let rows = row::select(all, &arguments.instance_ids)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let catalogue = catalogue(arguments)?;
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
            frozen.map_or_else(|| commit.unwrap_or_default(), str::to_owned),
        );
        let environment = known.entry(key).or_insert_with(|| {
            Builder::environment_of(
                &row,
                &catalogue,
                git,
                sources,
                context.cache_dir.as_deref(),
                &context.work_dir,
            )
        });
        let order = match (environment.clone(), specs(&row, &catalogue)) {
            (Ok(environment), Ok(specs)) => Ok(Order {
                specs: specs.clone(),
                environment,
                model_patch: predictions
                    .as_ref()
                    .and_then(|all| all.get(&row.instance_id)?.patch.clone()),
                with_patches: predictions.is_some(),
                row: row.clone(),
            }),
            (Err(error), _) | (_, Err(error)) => Err(refused(&error)),
        };
        let tag = &arguments.tag;
        let environment_image = order.as_ref().ok().map(|order| {
            let script = &order.environment.script;
            names::environment_image("py", architecture(), script, None, tag)
        });
        planned.push(Planned {
            image: image(arguments, &row),
            environment_image,
            base_image: names::base_image("py", architecture(), None, tag),
            instance_id: row.instance_id,
            order,
        });
    }
    Ok(planned)
}

/// The image's name: the row's own unless another namespace or tag is asked for.
fn image(arguments: &Arguments, row: &Row) -> String {
    match (&arguments.namespace, &row.image) {
        (None, Some(image)) if arguments.tag == "latest" => image.clone(),
        (namespace, _) => {
            let namespace = namespace.as_deref().unwrap_or(NAMESPACE);
            let namespace = names::namespace(namespace);
            names::instance_image(namespace, architecture(), &row.instance_id, &arguments.tag)
        }
    }
}

fn catalogue(arguments: &Arguments) -> Result<Catalogue, Failure> {
    let mut catalogue = Catalogue::upstream()
        .map_err(|error| Failure::new("cannot read upstream's table", error.to_string()))?;
    if let Some(path) = &arguments.specs {
        let own = Catalogue::parse(&inputs::read(path)?).map_err(|error| {
            Failure::new(
                format!("cannot use {}", path.display()),
                format!("it is no table of repositories: {error}"),
            )
        })?;
        catalogue.extend(own);
    }
    Ok(catalogue)
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
        EnvironmentError::Field(_) => refused,
    }
}
