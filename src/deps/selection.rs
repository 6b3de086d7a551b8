//! `--feature` and `--without`: parts of a recipe.

use std::collections::BTreeSet;

use crate::failure::Failure;
use ohoci_config::error::did_you_mean;
use ohoci_deps::recipe::Recipe;

/// The recipe with only those features, and what they require; or with all but those.
pub(super) fn selected(
    mut recipe: Recipe,
    only: &[String],
    without: &[String],
) -> Result<Recipe, Failure> {
    let names: BTreeSet<String> = recipe
        .features
        .iter()
        .map(|feature| feature.name.get_ref().to_string())
        .collect();
    for name in only.iter().chain(without) {
        if !names.contains(name) {
            let failure = Failure::usage(format!("{} has no feature {name}", recipe.name));
            return Err(match did_you_mean(name, names.iter().map(String::as_str)) {
                Some(hint) => failure.hinted(hint),
                None => failure,
            });
        }
    }
    let mut wanted: BTreeSet<String> = match only {
        [] => names,
        only => only.iter().cloned().collect(),
    };
    // Features stand behind those that they require.
    for feature in recipe.features.iter().rev() {
        if !only.is_empty() && wanted.contains(feature.name.get_ref().as_str()) {
            wanted.extend(
                feature
                    .requires
                    .iter()
                    .map(|name| name.get_ref().to_string()),
            );
        }
    }
    for name in without {
        wanted.remove(name);
    }
    for feature in &recipe.features {
        let name = feature.name.get_ref().as_str();
        let missing = feature
            .requires
            .iter()
            .find(|required| !wanted.contains(required.get_ref().as_str()));
        if let (true, Some(missing)) = (wanted.contains(name), missing) {
            return Err(Failure::usage(format!(
                "feature {name} needs {}, which is left out",
                missing.get_ref()
            ))
            .hinted(format!("--without {name} as well")));
        }
    }
    recipe
        .features
        .retain(|feature| wanted.contains(feature.name.get_ref().as_str()));
    if recipe.features.is_empty() {
        return Err(Failure::usage("no feature is left to build"));
    }
    Ok(recipe)
}
