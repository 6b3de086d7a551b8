//! Making a lock: everything that a recipe asks for, resolved against what mirrors have now.

mod conda;
pub(crate) mod elsewhere;
pub(crate) mod python;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::conda::source::CondaMeans;
use super::debian::architecture;
use super::debian::freeze::{freeze, frozen};
use super::debian::index::Index;
use super::debian::repository::{Repository, RepositoryError, read_keyring};
use super::debian::resolve::{Available, resolve};
use super::fetch::Fetcher;
use super::hosts::DebianHosts;
use super::lock::{
    Lock, LockedFeature, LockedSource, PythonPackage, Release, SourceKind, inputs_of,
};
use super::npm::registry::Registries;
use super::python::configuration::Indexes;
use super::recipe::{Debian, Feature, Recipe};
use ohoci_compose::Event;
use ohoci_compose::files::upstream_version;
use ohoci_compose::resolver::Resolver;
use ohoci_config::ConfigError;
use ohoci_image::Platform;

/// What a lock is made with.
#[derive(Clone, Copy, Debug)]
pub struct Means<'a> {
    /// Downloads what has to be looked at.
    pub fetcher: &'a Fetcher,
    /// Where Debian archives are.
    pub debian: &'a DebianHosts,
    /// What Python packages are resolved with.
    pub python: PythonMeans<'a>,
    /// What paths in images are read with.
    pub images: ImageMeans<'a>,
    /// Where npm packages are.
    pub npm: &'a Registries,
    /// Where conda's packages are.
    pub conda: CondaMeans<'a>,
    /// The time, in seconds since 1970.
    pub now: i64,
}

/// What images are read with.
#[derive(Clone, Copy, Debug)]
pub struct ImageMeans<'a> {
    /// Registries, layouts and archives.
    pub resolver: &'a Resolver,
    /// Where it may write.
    pub work_dir: &'a Path,
}

/// What Python packages are resolved with.
#[derive(Clone, Copy, Debug)]
pub struct PythonMeans<'a> {
    /// The program uv.
    pub uv: &'a Path,
    /// The machine's indexes.
    pub indexes: &'a Indexes,
    /// Where it may write.
    pub work_dir: &'a Path,
}

/// A new lock.
#[derive(Clone, Debug)]
pub struct Locked {
    /// The lock.
    pub lock: Lock,
    /// What a person should know.
    pub notes: Vec<String>,
    /// npm's own lockfiles, where they changed.
    pub lockfiles: Vec<(PathBuf, String)>,
}

/// Why there is no new lock.
#[derive(Debug, thiserror::Error)]
pub enum LockingError {
    /// The recipe asks for what cannot be.
    #[error("{}", all(.0))]
    Recipe(Vec<ConfigError>),
    /// An archive cannot be used.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// An archive's index cannot be used.
    #[error("the index of {suite} cannot be used: {why}")]
    Index {
        /// The distribution.
        suite: String,
        /// What is wrong.
        why: String,
    },
    /// The Python packages of a feature cannot be resolved.
    #[error("feature {feature}: {why}")]
    Python {
        /// The feature.
        feature: String,
        /// Why not.
        why: String,
        /// What may help.
        hint: Option<String>,
    },
    /// Something that a feature takes from elsewhere cannot be had.
    #[error("feature {feature}: {why}")]
    Source {
        /// The feature.
        feature: String,
        /// Why not.
        why: String,
        /// What may help.
        hint: Option<String>,
    },
    /// The old lock is damaged, or lacks what is to be updated.
    #[error("{0}")]
    OldLock(String),
}

fn all(errors: &[ConfigError]) -> String {
    let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
    words.join("\n")
}

/// Resolves a recipe. With `old`, the packages that it has stay as they are, but for those in
/// `update` and what is built from the same sources.
///
/// # Errors
/// See [`LockingError`].
pub async fn lock(
    recipe: &Recipe,
    old: Option<&Lock>,
    update: &BTreeSet<String>,
    means: Means<'_>,
) -> Result<Locked, LockingError> {
    let mut lock = Lock::new(recipe.name.as_str(), &recipe.platforms);
    let mut notes = Vec::new();
    let mut lockfiles = Vec::new();
    let keep = Keep::new(old, recipe, update);
    let mut recipe = recipe.clone();
    for feature in &mut recipe.features {
        let content = elsewhere::resolved(feature, keep.as_ref(), means).await?;
        if let (Some(npm), Some(content)) = (&mut feature.npm, content)
            && npm.content != content
        {
            npm.content.clone_from(&content);
            lockfiles.push((npm.lockfile.clone(), content));
        }
    }
    let recipe = &recipe;
    for feature in &recipe.features {
        lock.feature.push(LockedFeature {
            name: feature.name.get_ref().as_str().to_owned(),
            inputs: inputs_of(feature),
        });
    }
    // All features take from the same archive, as loading the recipe has checked.
    if let Some(debian) = recipe.features.iter().find_map(Feature::debian) {
        let archive = Archive::read(recipe, debian, means).await?;
        let found = archive.resolve(recipe, debian, old, update)?;
        lock.release = archive.releases;
        lock.debian = found.packages;
        notes = found.notes;
    }
    for feature in &recipe.features {
        if let Some(table) = &feature.python {
            let packages = python::lock(recipe, feature, table, keep.as_ref(), means).await?;
            lock.python.extend(packages);
        }
        let sources = elsewhere::lock(recipe, feature, keep.as_ref(), means).await?;
        lock.source.extend(sources);
        if let Some(table) = &feature.conda {
            let glibc = lock.debian.iter().find(|package| package.name == "libc6");
            let glibc = glibc.map(|package| upstream_version(&package.version).to_owned());
            let packages = conda::lock(
                recipe,
                feature,
                table,
                keep.as_ref(),
                glibc.as_deref(),
                means,
            )
            .await?;
            lock.source.extend(packages);
        }
    }
    lock.sort();
    Ok(Locked {
        lock,
        notes,
        lockfiles,
    })
}

/// What of an old lock is to stay.
struct Keep<'a> {
    old: &'a Lock,
    /// Packages that are not to stay.
    update: &'a BTreeSet<String>,
    /// The features that ask for what they asked for when it was made.
    unchanged: BTreeSet<String>,
}

impl<'a> Keep<'a> {
    fn new(old: Option<&'a Lock>, recipe: &Recipe, update: &'a BTreeSet<String>) -> Option<Self> {
        let old = old?;
        let platforms = recipe.platforms.iter().map(ToString::to_string);
        let same_platforms = platforms.eq(old.platforms.iter().cloned());
        let unchanged = recipe.features.iter().filter_map(|feature| {
            let name = feature.name.get_ref().as_str();
            let known = old.feature.iter().find(|known| known.name == name)?;
            (same_platforms && known.inputs == inputs_of(feature)).then(|| name.to_owned())
        });
        Some(Self {
            old,
            update,
            unchanged: unchanged.collect(),
        })
    }

    /// The path in an image that a feature has at this place.
    fn image(&self, feature: &str, at: &str) -> Option<&'a LockedSource> {
        if self.update.contains(at) || !self.unchanged.contains(feature) {
            return None;
        }
        self.old.source.iter().find(|source| {
            source.kind == SourceKind::Image && source.feature == feature && source.name == at
        })
    }

    /// conda's packages of a feature: all of them, since they go together, or none.
    fn conda(&self, feature: &str) -> Option<Vec<&'a LockedSource>> {
        let sources = self.old.source.iter();
        let kept: Vec<_> = sources
            .filter(|source| source.kind == SourceKind::Conda && source.feature == feature)
            .collect();
        let is_updated = kept.iter().any(|source| self.update.contains(&source.name));
        (self.unchanged.contains(feature) && !is_updated).then_some(kept)
    }

    /// The Python packages of a feature.
    fn python(&self, feature: &str) -> Vec<&'a PythonPackage> {
        let of = |package: &&PythonPackage| {
            package.feature == feature && !self.update.contains(&package.name)
        };
        self.old.python.iter().filter(of).collect()
    }
}

/// The indexes of an archive's distributions.
struct Archive {
    releases: BTreeMap<String, Release>,
    /// Distribution, architecture, and the content of an index.
    texts: Vec<(String, &'static str, String)>,
}

impl Archive {
    async fn read(
        recipe: &Recipe,
        debian: &Debian,
        means: Means<'_>,
    ) -> Result<Self, LockingError> {
        let keyring = debian.keyring.as_deref().map(read_keyring).transpose()?;
        let mut architectures = BTreeSet::new();
        for platform in &recipe.platforms {
            architectures.insert(architecture_of(recipe, platform)?);
        }
        let mut archive = Self {
            releases: BTreeMap::new(),
            texts: Vec::new(),
        };
        for suite in debian.suites() {
            let step = Event::Step(format!("reading {suite}"));
            means.fetcher.observer().event(&step);
            let candidates = means.debian.candidates(suite.as_str());
            let repository = Repository::open(
                means.fetcher,
                suite.as_str(),
                &candidates,
                keyring.as_ref(),
                means.now,
            )
            .await?;
            let date = repository.date().to_string();
            archive
                .releases
                .insert(suite.as_str().to_owned(), Release { date });
            for component in &debian.components {
                let indexes = architectures.iter().map(async |architecture| {
                    let texts = repository
                        .packages(means.fetcher, component.as_str(), architecture)
                        .await?;
                    Ok::<_, RepositoryError>((*architecture, texts))
                });
                for (architecture, texts) in futures_util::future::try_join_all(indexes).await? {
                    let of = |text| (suite.as_str().to_owned(), architecture, text);
                    archive.texts.extend(texts.into_iter().map(of));
                }
            }
        }
        Ok(archive)
    }

    fn resolve(
        &self,
        recipe: &Recipe,
        debian: &Debian,
        old: Option<&Lock>,
        update: &BTreeSet<String>,
    ) -> Result<super::debian::resolve::Resolution, LockingError> {
        let kept: Vec<_> = recipe
            .platforms
            .iter()
            .map(|platform| {
                let kept = old.map(|old| frozen(old, &platform.to_string(), update));
                kept.unwrap_or_default()
            })
            .collect();
        let mut available = Vec::new();
        for (platform, kept) in recipe.platforms.iter().zip(&kept) {
            let architecture = architecture_of(recipe, platform)?;
            let mut index = Index::new();
            for (suite, of, text) in &self.texts {
                if *of == architecture {
                    index
                        .add(text, suite, architecture)
                        .map_err(|error| LockingError::Index {
                            suite: suite.clone(),
                            why: error.to_string(),
                        })?;
                }
            }
            freeze(&mut index, kept, debian.suite.as_str())
                .map_err(|error| LockingError::OldLock(error.to_string()))?;
            available.push(Available { platform, index });
        }
        resolve(recipe, &available).map_err(LockingError::Recipe)
    }
}

fn architecture_of(recipe: &Recipe, platform: &Platform) -> Result<&'static str, LockingError> {
    architecture::of_platform(platform).ok_or_else(|| {
        let why = format!("Debian has no port to {platform}");
        LockingError::Recipe(vec![ConfigError::new(recipe.source.path(), why)])
    })
}

/// What an old lock keeps of a new one that differs in nothing but when archives were made: no
/// change at all is easier to review than one that changes nothing.
#[must_use]
pub(crate) fn settle(old: Option<Lock>, new: Lock) -> Lock {
    match old {
        Some(old)
            if old.debian == new.debian
                && old.python == new.python
                && old.source == new.source
                && old.feature == new.feature
                && old.platforms == new.platforms
                && old.recipe == new.recipe
                && old.release.keys().eq(new.release.keys()) =>
        {
            old
        }
        _ => new,
    }
}
