//! What would be built: images with their levels, keys and bytes. Nothing is built or downloaded.

mod shards;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::beyond::{Layer, RepositoryTotal, beyond};
use super::forecast::{Basis, Forecast, LayerPlan, Size};
use super::planned::PlannedImage;
use crate::Builder;
use crate::builder::Order;
use crate::conda_use::CondaUse;
use crate::git::Git;
use crate::python::PythonPrefix;
use crate::repository::RepoSource;
use ohoci_compose::files::InstalledPackages;
use ohoci_store::cache::Cache;
use ohoci_swebench::setup_script::pre_install;
pub use shards::ShardPlan;

/// The oldest Python that uv installs (`uv python list --all-versions`).
const OLDEST_OF_UV: (u32, u32) = (3, 8);

/// What a plan is made from.
#[derive(Debug)]
pub struct Known<'a> {
    /// The images that are asked for.
    pub images: &'a [PlannedImage],
    /// A builder on the base; `None` where the base is not there yet.
    pub builder: Option<&'a Builder>,
    /// What a base is made of that is not there yet.
    pub base_recipe: Option<Value>,
    /// The packages of the system that the base has or will have, where that is known.
    pub base_packages: Option<InstalledPackages>,
    /// Where layers are kept between runs.
    pub cache: Arc<Cache>,
    /// git.
    pub git: &'a Git,
    /// Where repositories come from.
    pub sources: &'a [RepoSource],
    /// Where clones are kept.
    pub clones: &'a Path,
    /// conda packages to do without.
    pub left_out: &'a [String],
    /// Where Pythons are.
    pub python_dir: Option<&'a Path>,
    /// Into how many shards each stage is divided; `None` for a run on one machine.
    pub shards: Option<usize>,
}

/// A plan, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The base, where it is there.
    pub base: Option<Value>,
    /// What a base is made of that is not built yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_recipe: Option<Value>,
    /// How many images of bases there are by name.
    pub bases: usize,
    /// The layers of each level, and their bytes.
    pub levels: Vec<LevelPlan>,
    /// All of them together.
    pub total: LevelPlan,
    /// What instances need beyond their environments, by repository.
    pub repositories: Vec<RepositoryTotal>,
    /// The environments.
    pub environments: Vec<EnvironmentPlan>,
    /// The instances.
    pub instances: Vec<InstancePlan>,
    /// conda packages that nothing brings, and the instances that need them.
    pub unavailable: BTreeMap<String, BTreeSet<String>>,
    /// Packages of the system that the base has to have, and the instances that need them.
    pub system_packages: BTreeMap<String, BTreeSet<String>>,
    /// Those of them that the base lacks, where it is known what it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lacking_packages: Option<BTreeSet<String>>,
    /// Repositories that none of the places has.
    pub missing_repositories: BTreeSet<String>,
    /// What each shard would build, where the run is divided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<ShardPlan>,
}

/// All layers of a level, each once.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LevelPlan {
    /// The level.
    pub level: &'static str,
    /// How many layers there are.
    pub layers: usize,
    /// The bytes that are known.
    pub size: u64,
    /// The bytes of their tars, of those layers of which that is known.
    pub uncompressed: u64,
    /// How many layers those are.
    pub uncompressed_layers: usize,
    /// The bytes that are estimated, of layers beside those.
    pub estimated: u64,
    /// How many layers those are.
    pub estimated_layers: usize,
    /// How many layers there are of whose bytes nothing is known.
    pub unknown_layers: usize,
}

impl LevelPlan {
    fn add(&mut self, size: &Size) {
        self.layers += 1;
        self.uncompressed += size.uncompressed.unwrap_or_default();
        self.uncompressed_layers += usize::from(size.uncompressed.is_some());
        match (size.size, size.estimated) {
            (None, _) => self.unknown_layers += 1,
            (Some(size), false) => self.size += size,
            (Some(size), true) => {
                self.estimated += size;
                self.estimated_layers += 1;
            }
        }
    }
}

/// An environment of the plan.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentPlan {
    /// The name of its image.
    pub image: String,
    /// The version of Python.
    pub python: String,
    /// A name for its lock.
    pub lock: String,
    /// How many requirements pip installs.
    pub packages: usize,
    /// What those are. They come from the index that this machine's pip is set up with.
    pub requirements: Vec<String>,
    /// The packages of conda that it is made of, Python among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conda_packages: Vec<CondaPackagePlan>,
    /// Frozen packages of conda that no channel has, where there are channels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conda_missing: Vec<String>,
    /// Whether upstream did not freeze these packages, and they were chosen here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub conda_solved: bool,
    /// Why no packages of the channels do what is asked for, where there are channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conda_conflict: Option<String>,
    /// Where its Python would have to come from, where this machine does not have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python_missing: Option<String>,
    /// How many instances stand on it.
    pub instances: usize,
    /// conda packages that nothing brings.
    pub unavailable: Vec<String>,
    /// Its levels with their keys and bytes.
    pub levels: Vec<LayerPlan>,
}

impl EnvironmentPlan {
    /// Whether this machine knows where all of it comes from.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.unavailable.is_empty() && self.python_missing.is_none()
    }
}

/// A package of conda in an environment.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CondaPackagePlan {
    /// Its name, version and build.
    pub package: String,
    /// The channel that it comes from.
    pub channel: String,
    /// Its file, below the channel's root.
    pub path: String,
}

/// An instance of the plan.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstancePlan {
    /// The instance.
    pub instance_id: String,
    /// The name of its image.
    pub image: String,
    /// The name of its base's image.
    pub base_image: String,
    /// The name of its environment's image.
    pub environment_image: Option<String>,
    /// Its levels above the environment.
    pub levels: Vec<LayerPlan>,
    /// Why it would not be built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl Plan {
    /// Looks at what this machine has of the images' levels. Blocks.
    #[must_use]
    pub fn of(known: Known<'_>) -> Self {
        let Known {
            images,
            builder,
            base_recipe,
            base_packages,
            left_out,
            python_dir,
            shards,
            ..
        } = known;
        let forecast = Forecast::look(known.cache, known.git, known.sources, known.clones, images);
        let mut environments: Vec<EnvironmentPlan> = Vec::new();
        let mut instances = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut unavailable: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut system_packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for planned in images {
            let needed = match &planned.order {
                Ok(order) => pre_install(&order.specs).system_packages,
                Err(_) => Vec::new(),
            };
            let lacking = lacking(&needed, base_packages.as_ref());
            instances.push(InstancePlan {
                instance_id: planned.instance_id.clone(),
                image: planned.image.clone(),
                base_image: planned.base_image.clone(),
                environment_image: planned.environment_image.clone(),
                levels: match &planned.order {
                    Ok(order) => forecast.instance(order),
                    Err(_) => Vec::new(),
                },
                refused: match &planned.order {
                    Err(why) => Some(why.to_string()),
                    Ok(_) if lacking.is_empty() => None,
                    Ok(_) => Some(format!(
                        "its pre_install needs {} from the system, and the base lacks that",
                        lacking.join(", ")
                    )),
                },
            });
            let (Ok(order), Some(image)) = (&planned.order, &planned.environment_image) else {
                continue;
            };
            for package in needed {
                let needing = system_packages.entry(package).or_default();
                needing.insert(planned.instance_id.clone());
            }
            let lock = &order.environment.lock;
            let at = *places.entry(image.clone()).or_insert_with(|| {
                let known = builder.and_then(|builder| builder.known(&order.environment));
                environments.push(EnvironmentPlan {
                    image: image.clone(),
                    unavailable: lock.missing(left_out),
                    levels: forecast.environment(order, known),
                    ..environment(order, python_dir)
                });
                environments.len() - 1
            });
            if let Some(environment) = environments.get_mut(at) {
                environment.instances += 1;
                for package in &environment.unavailable {
                    let name = package.split('=').next().unwrap_or(package);
                    let needing = unavailable.entry(name.to_owned()).or_default();
                    needing.insert(planned.instance_id.clone());
                }
            }
        }
        let levels = levels(builder, &environments, &instances);
        let bases: BTreeSet<&String> = images.iter().map(|planned| &planned.base_image).collect();
        Self {
            base: builder.map(|builder| {
                let base = builder.base();
                json!({
                    "reference": base.reference.to_string(),
                    "digest": base.digest.to_string(),
                    "size": base.layers.iter().map(|layer| layer.size).sum::<u64>(),
                })
            }),
            base_recipe,
            bases: bases.len(),
            shards: shards.map_or_else(Vec::new, |count| {
                shards::shards(count, images, &environments, &instances)
            }),
            total: total(&levels),
            levels,
            repositories: repositories(images, &instances),
            environments,
            instances,
            unavailable,
            lacking_packages: base_packages.is_some().then(|| {
                let needed: Vec<String> = system_packages.keys().cloned().collect();
                let lacking = lacking(&needed, base_packages.as_ref()).into_iter();
                lacking.map(str::to_owned).collect()
            }),
            system_packages,
            missing_repositories: forecast.missing,
        }
    }
}

/// An environment without what the machine knows of its bytes.
fn environment(order: &Order, python_dir: Option<&Path>) -> EnvironmentPlan {
    let lock = &order.environment.lock;
    let lines = lock.steps.iter().flat_map(|step| step.requirements.lines());
    let requirements: Vec<String> = lines
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    let (mut conda_packages, mut conda_missing) = (Vec::new(), Vec::new());
    let mut conda_conflict = None;
    match &order.conda {
        Some(CondaUse::Frozen(packages) | CondaUse::Solved(packages)) => {
            conda_packages.extend(packages.iter().map(|package| CondaPackagePlan {
                package: package.record.to_string(),
                channel: package.channel.clone(),
                path: package.path(),
            }));
        }
        Some(CondaUse::Missing(missing)) => conda_missing.clone_from(missing),
        Some(CondaUse::Conflict(why)) => conda_conflict = Some(why.clone()),
        None => {}
    }
    let python_missing = match lock.linked.is_empty() {
        true => python_missing(&lock.python, python_dir),
        false => None,
    };
    EnvironmentPlan {
        image: String::new(),
        python: lock.python.clone(),
        lock: lock.key(),
        packages: requirements.len(),
        requirements,
        conda_packages,
        conda_missing,
        conda_solved: matches!(order.conda, Some(CondaUse::Solved(_))),
        conda_conflict,
        python_missing,
        instances: 0,
        unavailable: Vec::new(),
        levels: Vec::new(),
    }
}

/// Where a Python has to come from that is in no directory of Pythons and older than what uv manages.
fn python_missing(version: &str, directory: Option<&Path>) -> Option<String> {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return None;
    };
    let is_there =
        directory.is_some_and(|directory| PythonPrefix::find(directory, version).is_some());
    let is_of_uv = (major, minor) >= OLDEST_OF_UV;
    (!is_there && !is_of_uv).then(|| {
        format!("Python {version} is older than those of uv: --python-dir, the base or a channel of conda has to have it")
    })
}

/// Packages that a base does not have, where it is known what it has.
fn lacking<'a>(needed: &'a [String], base: Option<&InstalledPackages>) -> Vec<&'a str> {
    let Some(base) = base else {
        return Vec::new();
    };
    let lacks = |package: &&String| !base.names.contains(*package);
    needed.iter().filter(lacks).map(String::as_str).collect()
}

/// All levels together.
fn total(levels: &[LevelPlan]) -> LevelPlan {
    let mut total = LevelPlan {
        level: "total",
        ..LevelPlan::default()
    };
    for level in levels {
        total.layers += level.layers;
        total.size += level.size;
        total.uncompressed += level.uncompressed;
        total.uncompressed_layers += level.uncompressed_layers;
        total.estimated += level.estimated;
        total.estimated_layers += level.estimated_layers;
        total.unknown_layers += level.unknown_layers;
    }
    total
}

/// What instances need beyond their environments.
fn repositories(images: &[PlannedImage], instances: &[InstancePlan]) -> Vec<RepositoryTotal> {
    let planned = images.iter().zip(instances);
    let known: Vec<_> = planned
        .filter_map(|(image, instance)| {
            let repository = image.order.as_ref().ok()?.row.repo.as_str();
            let layers = instance.levels.iter().map(|layer| Layer {
                level: layer.level,
                name: &layer.name,
                size: layer.size.size,
                estimated: layer.size.estimated,
            });
            Some((repository, layers.collect()))
        })
        .collect();
    beyond(&known).0
}

/// The layers of each level, each counted once.
fn levels(
    builder: Option<&Builder>,
    environments: &[EnvironmentPlan],
    instances: &[InstancePlan],
) -> Vec<LevelPlan> {
    let mut levels =
        ["base", "python", "environment", "history", "instance"].map(|level| LevelPlan {
            level,
            ..LevelPlan::default()
        });
    let [base, above @ ..] = &mut levels;
    match builder {
        Some(builder) => builder
            .base()
            .layers
            .iter()
            .for_each(|layer| base.add(&Size::of(layer.size, Basis::Manifest))),
        None => base.add(&Size::unknown()),
    }
    let mut seen = HashSet::new();
    let layers = environments
        .iter()
        .flat_map(|environment| &environment.levels);
    for layer in layers.chain(instances.iter().flat_map(|instance| &instance.levels)) {
        if seen.insert((layer.level, &layer.name))
            && let Some(level) = above.iter_mut().find(|level| level.level == layer.level)
        {
            level.add(&layer.size);
        }
    }
    levels
        .into_iter()
        .filter(|level| level.layers > 0)
        .collect()
}
