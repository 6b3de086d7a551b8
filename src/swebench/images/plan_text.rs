//! A plan in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::report_text::beyond;
use ohoci_report::size::bytes;
use ohoci_swebench_images::division::Stage;
use ohoci_swebench_images::forecast::{Basis, LayerPlan};
use ohoci_swebench_images::plan::{EnvironmentPlan, InstancePlan, LevelPlan, Plan, ShardPlan};

/// How many instances are named where many are concerned.
const NAMED: usize = 4;

/// The plan in words.
pub(super) fn text(plan: &Plan) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} base, {} environments, {} instances",
        plan.bases,
        plan.environments.len(),
        plan.instances.len()
    );
    if let Some(recipe) = &plan.base_recipe {
        let name = recipe.get("recipe").and_then(Value::as_str);
        let number = |name: &str| recipe.get(name).and_then(Value::as_u64);
        let what = match (number("packages"), number("downloadSize")) {
            (Some(packages), Some(size)) => format!("{packages} packages, {}", bytes(size)),
            _ => "not locked yet".to_owned(),
        };
        let _ = writeln!(text, "base  {}: {what}", name.unwrap_or_default());
    }
    for environment in &plan.environments {
        let _ = write!(text, "{}  Python {}", environment.image, environment.python);
        tell_conda(environment, &mut text);
        let _ = write!(
            text,
            ", {} requirements, {} instances",
            environment.packages, environment.instances
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
        if !environment.conda_missing.is_empty() {
            let _ = write!(
                text,
                "; no channel has {}",
                some(&environment.conda_missing)
            );
        }
        if let Some(why) = &environment.python_missing {
            let _ = write!(text, "; {why}");
        }
        text.push('\n');
    }
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    for instance in &plan.instances {
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
    let whole: BTreeSet<&str> = plan
        .environments
        .iter()
        .filter(|environment| environment.is_whole())
        .map(|environment| environment.image.as_str())
        .collect();
    let is_whole = |instance: &&InstancePlan| {
        let image = instance.environment_image.as_deref();
        instance.refused.is_none() && image.is_some_and(|image| whole.contains(image))
    };
    let _ = writeln!(
        text,
        "{} of {} instances have all their packages; what others lack stands with their environment",
        plan.instances.iter().filter(is_whole).count(),
        plan.instances.len()
    );
    tell_unavailable(plan, &mut text);
    tell_system_packages(plan, &mut text);
    for repository in &plan.missing_repositories {
        let _ = writeln!(text, "no --repo-source has {repository}");
    }
    for level in plan.levels.iter().chain([&plan.total]) {
        let _ = writeln!(text, "{}", level_text(level));
    }
    text.push_str(&beyond(&plan.repositories));
    for shard in &plan.shards {
        let _ = writeln!(text, "{}", shard_text(shard));
    }
    if plan.levels.iter().any(|level| level.estimated_layers > 0) {
        text.push_str(
            "estimated: as built before, perhaps on another base; else histories by their share of the \
             repository's commits, and instances by that and a work tree, without what installing adds\n",
        );
    }
    text
}

/// How many packages of conda there are, by channel.
fn tell_conda(environment: &EnvironmentPlan, text: &mut String) {
    let mut channels: BTreeMap<&str, usize> = BTreeMap::new();
    for package in &environment.conda_packages {
        *channels.entry(&package.channel).or_default() += 1;
    }
    let channels: Vec<String> = channels
        .into_iter()
        .map(|(channel, count)| format!("{count} of {channel}"))
        .collect();
    if !channels.is_empty() {
        let _ = write!(text, ", conda packages: {}", channels.join(", "));
        if environment.conda_solved {
            text.push_str(" (chosen here: upstream did not freeze them)");
        }
    } else if environment.conda_conflict.is_some() {
        text.push_str(", made by pip: no packages of conda do what it asks for");
    }
}

/// The first of some names.
fn some(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Names what the base has to bring, which nothing installs later.
fn tell_system_packages(plan: &Plan, text: &mut String) {
    if plan.system_packages.is_empty() {
        return;
    }
    let concerned: BTreeSet<&String> = plan.system_packages.values().flatten().collect();
    let packages: Vec<&str> = plan.system_packages.keys().map(String::as_str).collect();
    let (count, packages) = (concerned.len(), packages.join(", "));
    let what = match &plan.lacking_packages {
        None => format!("which the base has to bring: {packages}"),
        Some(lacking) if lacking.is_empty() => format!("and the base has them: {packages}"),
        Some(lacking) => {
            let lacking: Vec<&str> = lacking.iter().map(String::as_str).collect();
            format!("and the base lacks {}", lacking.join(", "))
        }
    };
    let _ = writeln!(
        text,
        "{count} instances need packages of the system, {what}"
    );
}

/// Names each conda package that nothing brings, who needs it, and the way out.
fn tell_unavailable(plan: &Plan, text: &mut String) {
    if plan.unavailable.is_empty() {
        return;
    }
    let concerned: BTreeSet<&String> = plan.unavailable.values().flatten().collect();
    let _ = writeln!(
        text,
        "{} instances need conda packages that no Python package index has, and would not be built:",
        concerned.len()
    );
    for (package, instances) in &plan.unavailable {
        let named: Vec<&str> = instances.iter().take(NAMED).map(String::as_str).collect();
        let more = match instances.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let _ = writeln!(text, "  {package}: {}{more}", named.join(", "));
    }
    let names: Vec<&str> = plan.unavailable.keys().map(String::as_str).collect();
    let _ = writeln!(
        text,
        "  to do without them, or where the base brings them: --leave-out {}",
        names.join(",")
    );
}

/// A shard: what it makes, and what it reads.
fn shard_text(shard: &ShardPlan) -> String {
    let (stage, index) = (shard.stage.name(), shard.index);
    let whose = match shard.stage {
        Stage::Shared => "needed by",
        Stage::Instances => "for",
    };
    format!(
        "shard {stage} {index}: {} environments, {whose} {} instances; makes {}; reads {}",
        shard.environments,
        shard.instances,
        layers_text(&shard.makes),
        layers_text(&shard.reads)
    )
}

fn level_text(level: &LevelPlan) -> String {
    format!("{:<12} {}", level.level, layers_text(level))
}

fn layers_text(level: &LevelPlan) -> String {
    let layers = if level.layers == 1 { "layer" } else { "layers" };
    let mut text = format!("{} {layers}", level.layers);
    if level.size > 0 {
        let _ = write!(text, ", {}", bytes(level.size));
    }
    if level.layers > 0 && level.uncompressed_layers == level.layers {
        let _ = write!(text, " (unpacked {})", bytes(level.uncompressed));
    }
    if level.estimated_layers > 0 {
        let _ = write!(
            text,
            ", about {} in {} estimated",
            bytes(level.estimated),
            level.estimated_layers
        );
    }
    if level.unknown_layers > 0 {
        let _ = write!(text, ", {} unknown", level.unknown_layers);
    }
    text
}
