//! From a recipe and what archives have to the packages of a lock.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;

use super::closure::{self, Closure, Request};
use super::index::{Index, Package};
use super::problem::Problem;
use crate::lock::DebianPackage;
use crate::lock::document::PlatformFiles;
use crate::recipe::{Debian, Feature, Recipe};
use ohoci_config::ConfigError;
use ohoci_image::Platform;

/// What a platform's packages come from.
#[derive(Clone, Debug)]
pub struct Available<'a> {
    /// The platform.
    pub platform: &'a Platform,
    /// What the archives have for it.
    pub index: Index<'a>,
}

/// The packages of a lock.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// In the order of a lock.
    pub packages: Vec<DebianPackage>,
    /// What a person should know: entries of the recipe without effect.
    pub notes: Vec<String>,
}

/// Resolves every feature for every platform. A package is in the lowest layer that needs it.
///
/// # Errors
/// Everything that stands in the way, where it stands in the recipe.
pub fn resolve(
    recipe: &Recipe,
    available: &[Available<'_>],
) -> Result<Resolution, Vec<ConfigError>> {
    let mut merging = Merging::default();
    let mut problems = Problems::default();
    let mut unused = Unused::default();
    for Available { platform, index } in available {
        let mut below: BTreeMap<&str, Package<'_>> = BTreeMap::new();
        for feature in &recipe.features {
            let Some(debian) = feature.debian() else {
                continue;
            };
            let mut request = request(debian);
            let mut left_out = BTreeSet::new();
            if feature.rootfs.is_some() {
                let essential = index.packages().filter(|package| package.is_essential);
                for package in essential {
                    match request.exclude.get(package.name) {
                        Some(name) => drop(left_out.insert(*name)),
                        None => drop(request.packages.insert(package.name)),
                    }
                }
            }
            match closure::resolve(index, &request, &below) {
                Ok(mut closure) => {
                    closure.used_exclusions.extend(left_out);
                    unused.note(feature, &closure);
                    let name = feature.name.get_ref().as_str();
                    for error in merging.add(name, platform, &closure, debian) {
                        let problem = Problem::Broken {
                            package: error.package().to_owned(),
                            why: error.to_string(),
                        };
                        problems.add(feature, problem, platform);
                    }
                    let packages = closure.packages.into_values();
                    below
                        .extend(packages.map(|selected| (selected.package.name, selected.package)));
                }
                Err(found) => {
                    for problem in found {
                        problems.add(feature, problem, platform);
                    }
                }
            }
        }
    }
    if !problems.found.is_empty() {
        return Err(problems.into_errors(available.len()));
    }
    Ok(Resolution {
        packages: merging.into_packages(available.len()),
        notes: unused.into_notes(recipe),
    })
}

fn request(debian: &Debian) -> Request<'_> {
    Request {
        packages: debian
            .packages
            .iter()
            .map(|name| name.get_ref().as_str())
            .collect(),
        exclude: debian
            .exclude
            .keys()
            .map(|name| name.get_ref().as_str())
            .collect(),
        choose: debian
            .choose
            .iter()
            .map(|(choice, name)| (choice.get_ref().as_str(), name.get_ref().as_str()))
            .collect(),
    }
}

/// What tells blocks of a lock apart, in their order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    name: String,
    version: String,
    feature: String,
    suite: Option<String>,
    source: Option<String>,
    is_for_all: bool,
}

/// One block for what several platforms have in common.
#[derive(Default)]
struct Merging {
    blocks: BTreeMap<Key, (BTreeSet<String>, PlatformFiles)>,
}

impl Merging {
    fn add(
        &mut self,
        feature: &str,
        platform: &Platform,
        closure: &Closure<'_>,
        debian: &Debian,
    ) -> Vec<super::index::FileEntryError> {
        let mut errors = Vec::new();
        for selected in closure.packages.values() {
            let package = &selected.package;
            let file = match package.locked_file() {
                Ok(file) => file,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            let key = Key {
                name: package.name.to_owned(),
                version: package.version.as_str().to_owned(),
                feature: feature.to_owned(),
                suite: (package.suite != debian.suite.as_str()).then(|| package.suite.to_owned()),
                source: package.foreign_source(),
                is_for_all: package.is_for_all,
            };
            let (needs, files) = self.blocks.entry(key).or_default();
            needs.extend(selected.needs.iter().map(|name| (*name).to_owned()));
            files.insert(platform.to_string(), file);
        }
        errors
    }

    fn into_packages(self, platforms: usize) -> Vec<DebianPackage> {
        let blocks = self.blocks.into_iter().map(|(key, (needs, mut file))| {
            if key.is_for_all && file.len() == platforms {
                let different: BTreeSet<_> = file.values().map(|file| &file.digest).collect();
                if let (1, Some((_, one))) = (different.len(), file.first_key_value()) {
                    file = PlatformFiles::any(one.clone());
                }
            }
            DebianPackage {
                name: key.name,
                version: key.version,
                source: key.source,
                feature: key.feature,
                suite: key.suite,
                needs,
                file,
            }
        });
        blocks.collect()
    }
}

/// Problems, each with the platforms that have it.
#[derive(Default)]
struct Problems<'a> {
    found: Vec<(&'a Feature, Problem, Vec<String>)>,
}

impl<'a> Problems<'a> {
    fn add(&mut self, feature: &'a Feature, problem: Problem, platform: &Platform) {
        let same = self.found.iter_mut().find(|(other, known, _)| {
            // Hints are guesses and may differ.
            other.name.get_ref() == feature.name.get_ref()
                && known.to_string() == problem.to_string()
        });
        match same {
            Some((_, _, platforms)) => platforms.push(platform.to_string()),
            None => self
                .found
                .push((feature, problem, vec![platform.to_string()])),
        }
    }

    fn into_errors(self, platforms: usize) -> Vec<ConfigError> {
        let errors = self.found.into_iter().map(|(feature, problem, on)| {
            let mut why = problem.to_string();
            if on.len() < platforms {
                why.push_str(&format!(" (on {})", on.join(" and ")));
            }
            let error = feature.source.error_at(place(feature, &problem), why);
            match problem.hint() {
                Some(hint) => error.hinted(hint),
                None => error,
            }
        });
        errors.collect()
    }
}

/// Where in the recipe a problem comes from.
fn place(feature: &Feature, problem: &Problem) -> Range<usize> {
    let whole = || feature.debian.as_ref().map(Spanned::span);
    let exact = feature.debian().and_then(|debian| match problem {
        Problem::NotFound { package, .. } => debian
            .packages
            .iter()
            .find(|name| name.get_ref().as_str() == package)
            .map(Spanned::span),
        Problem::Undecided { key, .. } => debian
            .choose
            .iter()
            .find(|(choice, _)| choice.get_ref().as_str() == key)
            .map(|(_, chosen)| chosen.span()),
        _ => None,
    });
    exact.or_else(whole).unwrap_or_default()
}

/// Entries of the recipe that made a difference for some platform.
#[derive(Default)]
struct Unused {
    used: BTreeSet<(String, String)>,
}

impl Unused {
    fn note(&mut self, feature: &Feature, closure: &Closure<'_>) {
        let name = feature.name.get_ref().as_str();
        let used = closure.used_choices.iter().chain(&closure.used_exclusions);
        self.used
            .extend(used.map(|entry| (name.to_owned(), (*entry).to_owned())));
    }

    fn into_notes(self, recipe: &Recipe) -> Vec<String> {
        let mut notes = Vec::new();
        for feature in &recipe.features {
            let Some(debian) = feature.debian() else {
                continue;
            };
            let excluded = debian
                .exclude
                .keys()
                .map(|name| (name.span(), "exclusion", name.get_ref().as_str()));
            let chosen = debian
                .choose
                .keys()
                .map(|choice| (choice.span(), "choice", choice.get_ref().as_str()));
            for (span, what, entry) in excluded.chain(chosen) {
                let name = feature.name.get_ref().as_str().to_owned();
                if !self.used.contains(&(name, entry.to_owned())) {
                    let why = format!("the {what} of {entry:?} makes no difference");
                    notes.push(feature.source.error_at(span, why).to_string());
                }
            }
        }
        notes
    }
}

#[cfg(test)]
mod tests;
