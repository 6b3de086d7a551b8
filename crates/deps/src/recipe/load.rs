//! Reads a recipe: a profile or a single feature, with everything that it requires.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

use super::debian::Debian;
use super::feature::Feature;
use super::name::FeatureName;
use super::profile::{DEFAULT_PREFIX, Profile};
use super::rootfs::RootFs;
use super::settable::{self, Values};
use super::source_file::SourceFile;
use super::sources::Python;
use crate::python;
use ohoci_conda::match_spec::MatchSpec;
use ohoci_config::ConfigError;
use ohoci_config::error::did_you_mean;
use ohoci_image::Platform;
use ohoci_image::config_patch::ConfigPatch;
use ohoci_layer::LayerPath;

/// What one deps image is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The profile's name, or the feature's if that is all there is.
    pub name: FeatureName,
    /// What it is for, in a sentence.
    pub description: String,
    /// Where everything goes in the image.
    pub prefix: LayerPath,
    /// The platforms to build for, sorted.
    pub platforms: Vec<Platform>,
    /// The features, lowest layer first: each behind those that it requires.
    pub features: Vec<Feature>,
    /// Changes to the image's config, over those of the features.
    pub patch: ConfigPatch,
    /// The file.
    pub source: SourceFile,
    /// What was set to other values than the recipe's own.
    pub set: Values,
}

/// Which of the two kinds of files one is.
#[derive(Deserialize)]
struct Peek {
    profile: Option<IgnoredAny>,
    name: Option<IgnoredAny>,
}

impl Recipe {
    /// Reads a profile or a feature, and the features that it names, which are files beside it.
    ///
    /// # Errors
    /// A file that cannot be read, something in it that is not known or not possible, with line
    /// and column.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_with(path, Values::new())
    }

    /// The same with values that count before the recipe's own.
    ///
    /// # Errors
    /// As [`Recipe::load`], and for a value that nothing in it names.
    pub fn load_with(path: &Path, set: Values) -> Result<Self, ConfigError> {
        let source = SourceFile::read(path)?;
        let peek: Peek = source.parse()?;
        let mut recipe = match (peek.profile, peek.name) {
            (Some(_), _) => Self::of_profile(source)?,
            (None, Some(_)) => Self::of_feature(source)?,
            (None, None) => {
                return Err(ConfigError::new(
                    path,
                    "it has neither `name`, as a feature, nor `profile`, as a profile",
                ));
            }
        };
        recipe.check_archives()?;
        recipe.fill(set)?;
        Ok(recipe)
    }

    /// Puts values where requirements name them.
    fn fill(&mut self, set: Values) -> Result<(), ConfigError> {
        let mut known: BTreeSet<String> = BTreeSet::new();
        for feature in &mut self.features {
            let source = &feature.source;
            if let Some(python) = &mut feature.python {
                known.extend(python.set.keys().cloned());
                settable::fill(python, &set).map_err(|why| ConfigError::new(source.path(), why))?;
            }
        }
        if let Some(name) = set.keys().find(|name| !known.contains(*name)) {
            let error = ConfigError::new(
                self.source.path(),
                format!("nothing in it is called {name}, so it cannot be set"),
            );
            return Err(if known.is_empty() {
                error
            } else {
                let known: Vec<String> = known.into_iter().collect();
                error.hinted(format!("there is {}", known.join(", ")))
            });
        }
        self.set = set;
        Ok(())
    }

    /// The file that its lock is kept in: beside the recipe, and one of its own where values were set.
    #[must_use]
    pub fn lock_path(&self) -> PathBuf {
        let path = self.source.path();
        if self.set.is_empty() {
            return path.with_extension("lock");
        }
        path.with_extension(format!("{}.lock", settable::in_name(&self.set)))
    }

    /// What makes it a system of its own, if it is one.
    #[must_use]
    pub fn rootfs(&self) -> Option<&RootFs> {
        let rootfs = self.features.iter().find_map(|one| one.rootfs.as_ref());
        rootfs.map(Spanned::get_ref)
    }

    /// The feature of that name.
    #[must_use]
    pub fn feature(&self, name: &FeatureName) -> Option<&Feature> {
        self.features
            .iter()
            .find(|feature| feature.name.get_ref() == name)
    }

    fn of_profile(source: SourceFile) -> Result<Self, ConfigError> {
        let profile: Profile = source.parse()?;
        check_name(&profile.profile, &source)?;
        let prefix = prefix(profile.prefix.get_ref())
            .map_err(|why| source.error_at(profile.prefix.span(), why))?;
        let mut gathering = Gathering::new(source.path());
        for name in &profile.features {
            gathering.require(name, &source)?;
        }
        let features = gathering.features;
        check_layers(&features)?;
        Ok(Self {
            platforms: platforms(&profile.platforms, &features, &source)?,
            name: profile.profile.into_inner(),
            description: profile.description,
            prefix,
            features,
            patch: profile.patch,
            source,
            set: Values::new(),
        })
    }

    fn of_feature(source: SourceFile) -> Result<Self, ConfigError> {
        let mut gathering = Gathering::new(source.path());
        let feature = gathering.add(source.clone())?;
        let features = gathering.features;
        if feature.rootfs.is_none() {
            check_layers(&features)?;
        }
        Ok(Self {
            platforms: platforms(&feature.platforms, &features, &source)?,
            name: feature.name.into_inner(),
            description: feature.description,
            prefix: prefix(DEFAULT_PREFIX).map_err(|why| ConfigError::new(source.path(), why))?,
            features,
            patch: ConfigPatch::default(),
            source,
            set: Values::new(),
        })
    }

    /// All features must take from the same archive: a library is in the image once, for all.
    fn check_archives(&self) -> Result<(), ConfigError> {
        let mut first: Option<(&Feature, &Debian)> = None;
        for feature in &self.features {
            let Some(spanned) = &feature.debian else {
                continue;
            };
            let debian = spanned.get_ref();
            match first {
                None => first = Some((feature, debian)),
                Some((other, archive))
                    if !archive.suites().eq(debian.suites())
                        || archive.components != debian.components
                        || archive.keyring != debian.keyring =>
                {
                    let why = format!(
                        "suites, components and keyring are not those of feature {}, which is in \
                         the same image",
                        other.name.get_ref()
                    );
                    return Err(feature.source.error_at(spanned.span(), why));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// Features as they are found, each behind those that it requires.
struct Gathering {
    directory: PathBuf,
    features: Vec<Feature>,
    known: BTreeSet<FeatureName>,
    /// Those whose requirements are being looked at.
    open: Vec<FeatureName>,
}

impl Gathering {
    fn new(recipe: &Path) -> Self {
        Self {
            directory: recipe.parent().unwrap_or(Path::new("")).to_owned(),
            features: Vec::new(),
            known: BTreeSet::new(),
            open: Vec::new(),
        }
    }

    fn require(
        &mut self,
        name: &Spanned<FeatureName>,
        from: &SourceFile,
    ) -> Result<(), ConfigError> {
        let wanted = name.get_ref();
        if self.known.contains(wanted) {
            return Ok(());
        }
        if self.open.contains(wanted) {
            let why = format!("{wanted} requires itself, through {}", join(&self.open));
            return Err(from.error_at(name.span(), why));
        }
        let path = self.directory.join(format!("{wanted}.toml"));
        if !path.is_file() {
            let why = format!(
                "there is no feature {wanted}: {} is not there",
                path.display()
            );
            let error = from.error_at(name.span(), why);
            let names = self.names();
            let hint = did_you_mean(wanted.as_str(), names.iter().map(String::as_str));
            return Err(match hint {
                Some(hint) => error.hinted(hint),
                None => error,
            });
        }
        self.add(SourceFile::read(&path)?).map(drop)
    }

    fn add(&mut self, source: SourceFile) -> Result<Feature, ConfigError> {
        let mut feature: Feature = source.parse()?;
        check_name(&feature.name, &source)?;
        check_content(&feature, &source)?;
        let name = feature.name.get_ref().clone();
        self.open.push(name.clone());
        for required in &feature.requires {
            self.require(required, &source)?;
        }
        self.open.pop();
        feature.resolve(&self.directory);
        feature
            .read_lockfile()
            .map_err(|why| source.error_at(feature.name.span(), why))?;
        feature.source = source;
        self.known.insert(name);
        self.features.push(feature.clone());
        Ok(feature)
    }

    /// The names of the recipes beside this one.
    fn names(&self) -> Vec<String> {
        let directory = match self.directory.as_os_str().is_empty() {
            true => Path::new("."),
            false => &self.directory,
        };
        let Ok(entries) = fs_err::read_dir(directory) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let toml = path.extension()? == "toml";
                toml.then(|| path.file_stem()?.to_str().map(str::to_owned))?
            })
            .collect();
        names.sort();
        names
    }
}

fn join(names: &[FeatureName]) -> String {
    let names: Vec<&str> = names.iter().map(FeatureName::as_str).collect();
    names.join(" and ")
}

/// A recipe that is called otherwise than its file could not be found by those who name it.
fn check_name(name: &Spanned<FeatureName>, source: &SourceFile) -> Result<(), ConfigError> {
    let stem = source.path().file_stem().unwrap_or_default();
    if stem == name.get_ref().as_str() {
        return Ok(());
    }
    let why = format!(
        "the name is {:?}, but the file is called {:?}",
        name.get_ref().as_str(),
        stem.to_string_lossy()
    );
    Err(source.error_at(name.span(), why))
}

fn check_content(feature: &Feature, source: &SourceFile) -> Result<(), ConfigError> {
    feature
        .patch
        .check()
        .map_err(|error| ConfigError::new(source.path(), format!("[patch]: {error}")))?;
    for archive in &feature.archive {
        if archive.url.is_some() == archive.path.is_some() {
            let why = format!(
                "the [[archive]] for {:?} needs either url or path",
                archive.to
            );
            return Err(source.error_at(feature.name.span(), why));
        }
    }
    if let Some(python) = &feature.python {
        check_python(python).map_err(|(span, why)| source.error_at(span, why))?;
    }
    for spec in feature.conda.iter().flat_map(|conda| &conda.specs) {
        MatchSpec::parse(spec.get_ref())
            .map_err(|error| source.error_at(spec.span(), error.to_string()))?;
    }
    check_rootfs(feature, source)?;
    let Some(debian) = feature.debian() else {
        return Ok(());
    };
    match debian
        .packages
        .iter()
        .find(|package| debian.exclude.contains_key(package))
    {
        None => Ok(()),
        Some(package) => {
            let why = format!("{} is asked for and excluded", package.get_ref());
            Err(source.error_at(package.span(), why))
        }
    }
}

/// What is wrong, and where.
fn check_python(python: &Python) -> Result<(), (Range<usize>, String)> {
    let parsed = |name: &Spanned<String>| {
        let text = name.get_ref();
        let fail = || {
            (
                name.span(),
                format!("{text:?} is no name of a Python package"),
            )
        };
        python::PackageName::parse(text).ok_or_else(fail)
    };
    let allowed: Vec<_> = python
        .allow_sdist
        .iter()
        .filter_map(|name| python::PackageName::parse(name))
        .collect();
    for name in &python.skip_build_script {
        if !allowed.contains(&parsed(name)?) {
            let why = format!("{} is not in allow-sdist", name.get_ref());
            return Err((name.span(), why));
        }
    }
    for name in python.exclude.keys() {
        let excluded = Some(parsed(name)?);
        if python
            .requirements
            .iter()
            .any(|requirement| python::requirement_name(requirement) == excluded)
        {
            let why = format!("{} is asked for and excluded", name.get_ref());
            return Err((name.span(), why));
        }
    }
    Ok(())
}

/// A system of its own is made of Debian's packages and nothing else.
fn check_rootfs(feature: &Feature, source: &SourceFile) -> Result<(), ConfigError> {
    let Some(rootfs) = &feature.rootfs else {
        return Ok(());
    };
    let why = match (feature.debian(), feature.layer_only()) {
        (None, _) => "[rootfs] is made of the packages below [debian], which is missing".to_owned(),
        (_, Some(other)) => format!("[rootfs] and {other} cannot stand in one recipe"),
        _ => return Ok(()),
    };
    Err(source.error_at(rootfs.span(), why))
}

/// None of several features, or of those below a prefix, can be a system of its own.
fn check_layers(features: &[Feature]) -> Result<(), ConfigError> {
    for feature in features {
        if let Some(rootfs) = &feature.rootfs {
            let why = "a system of its own is no layer of another image";
            return Err(feature.source.error_at(rootfs.span(), why));
        }
    }
    Ok(())
}

fn prefix(text: &str) -> Result<LayerPath, String> {
    let fail = || format!("{text:?} is no prefix: expected an absolute path below the root");
    if !text.starts_with('/') {
        return Err(fail());
    }
    match LayerPath::parse(text.as_bytes()) {
        Ok(path) if !path.is_root() => Ok(path),
        _ => Err(fail()),
    }
}

/// The platforms that are asked for, which every feature must have; otherwise those that all
/// features have.
fn platforms(
    asked: &[Platform],
    features: &[Feature],
    source: &SourceFile,
) -> Result<Vec<Platform>, ConfigError> {
    let mut lacking: BTreeMap<&Platform, &Feature> = BTreeMap::new();
    let mut candidates: BTreeSet<&Platform> = asked.iter().collect();
    if candidates.is_empty() {
        candidates = features
            .iter()
            .flat_map(|feature| &feature.platforms)
            .collect();
    }
    for feature in features
        .iter()
        .filter(|feature| !feature.platforms.is_empty())
    {
        for platform in &candidates {
            if !feature.platforms.contains(platform) {
                lacking.entry(platform).or_insert(feature);
            }
        }
    }
    if let Some((platform, feature)) = lacking.iter().find(|_| !asked.is_empty()) {
        let why = format!(
            "{platform} is asked for, but feature {} cannot be built for it",
            feature.name.get_ref()
        );
        return Err(ConfigError::new(source.path(), why));
    }
    let found: Vec<Platform> = candidates
        .into_iter()
        .filter(|platform| !lacking.contains_key(platform))
        .cloned()
        .collect();
    if found.is_empty() {
        let why = if features.iter().all(|feature| feature.platforms.is_empty()) {
            "it names no platforms, and neither do its features"
        } else {
            "there is no platform that all its features can be built for"
        };
        return Err(ConfigError::new(source.path(), why));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
