//! Downloading what a lock names.

mod conda;
mod elsewhere;
mod python;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::conda::source::CondaMeans;
use super::fetch::{FetchError, FetchErrorKind, Fetched, Fetcher, Wanted};
use super::hosts::{DebianHosts, Mirror};
use super::lock::Lock;
use super::lock::file::line_of;
use super::locking::ImageMeans;
use super::npm::registry::Registries;
use super::python::configuration::Indexes;
use super::recipe::{Feature, Recipe};
use ohoci_config::PackageMirrors;
use ohoci_image::Platform;

/// Files that could not be had.
#[derive(Debug)]
pub struct Missing {
    /// Each with where the lock names it, and why it could not be had.
    pub files: Vec<MissingFile>,
}

/// A file that could not be had.
#[derive(Debug)]
pub struct MissingFile {
    /// What it is.
    pub name: String,
    /// The line of the lock that names it.
    pub line: Option<usize>,
    /// Why it could not be had.
    pub error: FetchError,
}

impl Missing {
    /// Whether all that is wrong is that mirrors have moved on.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let mut files = self.files.iter();
        files.all(|file| file.error.kind() == FetchErrorKind::Gone)
    }
}

/// How many files a message names.
const SHOWN: usize = 20;

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, file) in self.files.iter().take(SHOWN).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match file.line {
                Some(line) => write!(f, "{} (line {line}): {}", file.name, file.error.why())?,
                None => write!(f, "{}: {}", file.name, file.error.why())?,
            }
        }
        if let Some(more) = self.files.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            write!(f, "\nand {more} more")?;
        }
        Ok(())
    }
}

impl std::error::Error for Missing {}

/// Downloads what a lock names for these platforms, as far as they are not in
/// the cache yet. `path` is the lock's file.
///
/// # Errors
/// The files that could not be had.
pub async fn fetch(
    recipe: &Recipe,
    lock: &Lock,
    path: &Path,
    platforms: &[Platform],
    fetcher: &Fetcher,
    package_sources: PackageSources<'_>,
) -> Result<Fetched, Missing> {
    let first = recipe.features.iter().find_map(Feature::debian);
    let first = first
        .map(|debian| debian.suite.as_str())
        .unwrap_or_default();
    let mut mirrors: BTreeMap<&str, Arc<[Mirror]>> = BTreeMap::new();
    let mut wanted = Vec::new();
    for platform in platforms {
        let name = platform.to_string();
        for package in &lock.debian {
            let Some(file) = package.file.of(&name) else {
                continue;
            };
            let suite = package.suite.as_deref().unwrap_or(first);
            let mirrors = mirrors
                .entry(suite)
                .or_insert_with(|| package_sources.mirrors(lock, suite).into());
            wanted.push(Wanted {
                name: format!("{} {} for {platform}", package.name, package.version),
                file: file.clone(),
                mirrors: Arc::clone(mirrors),
            });
        }
    }
    let features: Vec<&str> = recipe
        .features
        .iter()
        .map(|feature| feature.name.get_ref().as_str())
        .collect();
    let (python, missing) =
        python::wanted(lock, &features, platforms, fetcher, package_sources.python).await;
    if !missing.is_empty() {
        let files = missing.into_iter().map(|(name, file, error)| MissingFile {
            line: line_of(path, &file.digest),
            name,
            error,
        });
        return Err(Missing {
            files: files.collect(),
        });
    }
    wanted.extend(python);
    let sources = elsewhere::wanted(
        recipe,
        lock,
        platforms,
        fetcher,
        package_sources.images,
        package_sources.npm,
        package_sources.conda,
    )
    .await;
    match sources {
        Ok(sources) => wanted.extend(sources),
        Err(missing) => {
            let files = missing.into_iter().map(|(name, file, error)| MissingFile {
                line: line_of(path, &file.digest),
                name,
                error,
            });
            return Err(Missing {
                files: files.collect(),
            });
        }
    }
    fetcher.all(&wanted).await.map_err(|failed| Missing {
        files: failed
            .into_iter()
            .map(|(wanted, error)| MissingFile {
                line: line_of(path, &wanted.file.digest),
                name: wanted.name,
                error,
            })
            .collect(),
    })
}

/// Where files may be.
#[derive(Clone, Copy, Debug)]
pub struct PackageSources<'a> {
    /// What the machine knows.
    pub hosts: &'a DebianHosts,
    /// What the configuration says.
    pub configured: &'a PackageMirrors,
    /// Where Python packages are.
    pub python: &'a Indexes,
    /// What paths in images are read with.
    pub images: ImageMeans<'a>,
    /// Where npm packages are.
    pub npm: &'a Registries,
    /// Where conda's packages are.
    pub conda: CondaMeans<'a>,
}

impl PackageSources<'_> {
    /// The mirrors, and behind them the archive as it was when it was locked.
    fn mirrors(&self, lock: &Lock, suite: &str) -> Vec<Mirror> {
        let mut mirrors = self.hosts.mirrors(suite);
        if let Some(release) = lock.release.get(suite) {
            let time = release.date.replace(['-', ':'], "");
            let snapshots = self.configured.debian_snapshots.iter();
            mirrors.extend(
                snapshots
                    .filter_map(|snapshot| snapshot.at(&time))
                    .map(Mirror::new),
            );
        }
        mirrors
    }
}
