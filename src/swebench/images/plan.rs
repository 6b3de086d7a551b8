//! What would be built, for people and as JSON.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use super::forecast::{Basis, Forecast, LayerPlan, Size};
use super::planned::Planned;
use crate::size::bytes;
use ohoci_swebench_images::Builder;

/// How many instances are named where many are concerned.
const NAMED: usize = 4;

/// A plan, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Plan {
    base: Option<Value>,
    /// What a base is made of that is not built yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    base_recipe: Option<Value>,
    bases: usize,
    /// The layers of each level, and their bytes.
    levels: Vec<LevelPlan>,
    environments: Vec<EnvironmentPlan>,
    instances: Vec<InstancePlan>,
    /// conda packages that nothing brings, and the instances that need them.
    unavailable: BTreeMap<String, BTreeSet<String>>,
}

/// All layers of a level, each once.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct LevelPlan {
    level: &'static str,
    layers: usize,
    /// The bytes that are known.
    size: u64,
    /// The bytes that are estimated, of layers beside those.
    estimated: u64,
    /// How many layers those are.
    estimated_layers: usize,
    /// How many layers there are of whose bytes nothing is known.
    unknown_layers: usize,
}

impl LevelPlan {
    fn add(&mut self, size: &Size) {
        self.layers += 1;
        match (size.size, size.estimated) {
            (None, _) => self.unknown_layers += 1,
            (Some(size), false) => self.size += size,
            (Some(size), true) => {
                self.estimated += size;
                self.estimated_layers += 1;
            }
        }
    }

    fn text(&self) -> String {
        let layers = if self.layers == 1 { "layer" } else { "layers" };
        let mut text = format!("{:<12} {} {layers}", self.level, self.layers);
        if self.size > 0 {
            let _ = write!(text, ", {}", bytes(self.size));
        }
        if self.estimated_layers > 0 {
            let _ = write!(
                text,
                ", about {} in {} estimated",
                bytes(self.estimated),
                self.estimated_layers
            );
        }
        if self.unknown_layers > 0 {
            let _ = write!(text, ", {} unknown", self.unknown_layers);
        }
        text
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EnvironmentPlan {
    image: String,
    python: String,
    /// A name for its lock.
    lock: String,
    packages: usize,
    instances: usize,
    /// conda packages that nothing brings.
    unavailable: Vec<String>,
    /// Its levels with their keys and bytes.
    levels: Vec<LayerPlan>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InstancePlan {
    instance_id: String,
    image: String,
    base_image: String,
    environment_image: Option<String>,
    /// Its levels above the environment.
    levels: Vec<LayerPlan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

impl Plan {
    pub(super) fn of(
        planned: &[Planned],
        builder: Option<&Builder>,
        base_recipe: Option<Value>,
        forecast: &Forecast,
        left_out: &[String],
    ) -> Self {
        let mut environments: Vec<EnvironmentPlan> = Vec::new();
        let mut instances = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut unavailable: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for planned in planned {
            instances.push(InstancePlan {
                instance_id: planned.instance_id.clone(),
                image: planned.image.clone(),
                base_image: planned.base_image.clone(),
                environment_image: planned.environment_image.clone(),
                levels: match &planned.order {
                    Ok(order) => forecast.instance(order),
                    Err(_) => Vec::new(),
                },
                refused: planned.order.as_ref().err().map(ToString::to_string),
            });
            let (Ok(order), Some(image)) = (&planned.order, &planned.environment_image) else {
                continue;
            };
            let lock = &order.environment.lock;
            let at = *places.entry(image.clone()).or_insert_with(|| {
                let lines = lock.steps.iter().flat_map(|step| step.requirements.lines());
                let known = builder.and_then(|builder| builder.known(&order.environment));
                environments.push(EnvironmentPlan {
                    image: image.clone(),
                    python: lock.python.clone(),
                    lock: lock.key(),
                    packages: lines.filter(|line| !line.trim().is_empty()).count(),
                    instances: 0,
                    unavailable: lock.missing(left_out),
                    levels: forecast.environment(order, known),
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
        let bases: BTreeSet<&String> = planned.iter().map(|planned| &planned.base_image).collect();
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
            levels: levels(builder, &environments, &instances),
            environments,
            instances,
            unavailable,
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{} base, {} environments, {} instances",
            self.bases,
            self.environments.len(),
            self.instances.len()
        );
        if let Some(recipe) = &self.base_recipe {
            let name = recipe.get("recipe").and_then(Value::as_str);
            let number = |name: &str| recipe.get(name).and_then(Value::as_u64);
            let what = match (number("packages"), number("downloadSize")) {
                (Some(packages), Some(size)) => format!("{packages} packages, {}", bytes(size)),
                _ => "not locked yet".to_owned(),
            };
            let _ = writeln!(text, "base  {}: {what}", name.unwrap_or_default());
        }
        for environment in &self.environments {
            let _ = write!(
                text,
                "{}  Python {}, {} requirements, {} instances",
                environment.image, environment.python, environment.packages, environment.instances
            );
            let cached = |level: &&LayerPlan| level.size.basis == Some(Basis::Cache);
            let sizes: Vec<u64> = environment
                .levels
                .iter()
                .filter(cached)
                .filter_map(|level| level.size.size)
                .collect();
            if sizes.len() == 2 {
                let _ = write!(text, ", {} in the cache", bytes(sizes.iter().sum()));
            }
            if !environment.unavailable.is_empty() {
                let names = environment.unavailable.join(", ");
                let _ = write!(text, "; nothing brings {names}");
            }
            text.push('\n');
        }
        let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
        for instance in &self.instances {
            match &instance.refused {
                None => {
                    let _ = writeln!(text, "{}  {}", instance.instance_id, instance.image);
                }
                Some(why) => *refused.entry(why).or_default() += 1,
            }
        }
        for (why, count) in refused {
            let _ = writeln!(text, "refused, {count} instances: {why}");
        }
        self.tell_unavailable(&mut text);
        for level in &self.levels {
            let _ = writeln!(text, "{}", level.text());
        }
        if self.levels.iter().any(|level| level.estimated_layers > 0) {
            text.push_str(
                "estimated: as built before, perhaps on another base; else histories by their share of the \
                 repository's commits, and instances by that and a work tree, without what installing adds\n",
            );
        }
        text
    }

    /// Names each conda package that nothing brings, who needs it, and the way out.
    fn tell_unavailable(&self, text: &mut String) {
        if self.unavailable.is_empty() {
            return;
        }
        let concerned: BTreeSet<&String> = self.unavailable.values().flatten().collect();
        let _ = writeln!(
            text,
            "{} instances need conda packages that no Python package index has, and would not be built:",
            concerned.len()
        );
        for (package, instances) in &self.unavailable {
            let named: Vec<&str> = instances.iter().take(NAMED).map(String::as_str).collect();
            let more = match instances.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let _ = writeln!(text, "  {package}: {}{more}", named.join(", "));
        }
        let names: Vec<&str> = self.unavailable.keys().map(String::as_str).collect();
        let _ = writeln!(
            text,
            "  to do without them, or where the base brings them: --leave-out {}",
            names.join(",")
        );
    }
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
