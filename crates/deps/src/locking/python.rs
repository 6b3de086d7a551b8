//! Locks the Python packages of a feature.

use std::collections::BTreeMap;
use std::path::Path;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use pep440_rs::Version;

use super::{Keep, LockingError, Means};
use crate::archive::Spool;
use crate::hosts::Mirror;
use crate::lock::{LockedFile, PlatformFiles, PythonPackage};
use crate::python::PackageName;
use crate::python::index::{self, IndexFile};
use crate::python::resolve::{Request, resolve};
use crate::python::resolved::{Package, Source};
use crate::python::sdist::{BuildScript, metadata_of};
use crate::python::tags::{Libc, Target};
use crate::recipe::{Feature, Python, Recipe};
use ohoci_compose::Event;
use ohoci_image::Platform;

/// The newest minor version of glibc 2 that wheels may ask for: that of the prefix, as far as uv
/// knows of it.
const GLIBC: u32 = 40;

/// How many files are asked for at once, where their size is not known.
const CONCURRENCY: usize = 8;

/// Resolves a feature's Python packages for every platform. Those that are to stay keep version and
/// file where they still fit.
pub(super) async fn lock(
    recipe: &Recipe,
    feature: &Feature,
    python: &Python,
    keep: Option<&Keep<'_>>,
    means: Means<'_>,
) -> Result<Vec<PythonPackage>, LockingError> {
    let name = feature.name.get_ref().to_string();
    let fail = |why: String| LockingError::Python {
        feature: name.clone(),
        why,
        hint: None,
    };
    let minor = minor(python).ok_or_else(|| {
        fail(format!(
            "{:?} is no version of Python such as 3.13",
            python.version
        ))
    })?;
    let kept = keep.map(|keep| keep.python(&name)).unwrap_or_default();
    let known: Vec<(PackageName, Version)> = kept
        .iter()
        .filter_map(|package| {
            let version = package.version.parse().ok()?;
            Some((PackageName::parse(&package.name)?, version))
        })
        .collect();
    let sources = sources(python, &known, means).await.map_err(fail)?;
    let exclude: Vec<PackageName> = python
        .exclude
        .keys()
        .filter_map(|name| PackageName::parse(name.get_ref()))
        .collect();
    let mut locked: BTreeMap<(String, String), PythonPackage> = BTreeMap::new();
    for platform in &recipe.platforms {
        let step = Event::Step(format!("resolving {name} for {platform}"));
        means.fetcher.observer().event(&step);
        let target = target(minor, platform)
            .ok_or_else(|| fail(format!("there are no wheels for {platform}")))?;
        let request = Request {
            requirements: &python.requirements,
            exclude: &exclude,
            target: &target,
            sources: &sources,
            known: &known,
            indexes: means.python.indexes,
        };
        let packages = resolve(means.python.uv, &request, means.python.work_dir).await;
        let packages = packages.map_err(|error| LockingError::Python {
            feature: name.clone(),
            why: error.to_string(),
            hint: error.hint().map(str::to_owned),
        })?;
        let files = stream::iter(packages.into_iter().map(async |package| {
            let file = match kept_file(&package, &kept, platform) {
                Some(kept) => kept.clone(),
                None => locked_file(&package, means).await?,
            };
            Ok::<_, String>((package, file))
        }));
        let files: Vec<(Package, LockedFile)> = files
            .buffered(CONCURRENCY)
            .try_collect()
            .await
            .map_err(fail)?;
        for (package, file) in files {
            let key = (package.name.to_string(), package.version.to_string());
            let block = locked.entry(key).or_insert_with(|| PythonPackage {
                name: package.name.to_string(),
                version: package.version.to_string(),
                feature: name.clone(),
                requested: package.requested,
                without_build_script: !package.file.ends_with(".whl")
                    && skips_build_script(python, &package.name),
                file: PlatformFiles::default(),
            });
            block.file.insert(platform.to_string(), file);
        }
    }
    let all = recipe.platforms.len();
    Ok(locked
        .into_values()
        .map(|package| PythonPackage {
            file: package.file.settled(all),
            ..package
        })
        .collect())
}

/// The minor version of Python 3 that a recipe asks for.
pub(crate) fn minor(python: &Python) -> Option<u32> {
    python.version.strip_prefix("3.")?.parse().ok()
}

/// What wheels are chosen for.
pub(crate) fn target(minor: u32, platform: &Platform) -> Option<Target> {
    Target::new(minor, platform, Libc::Glibc(GLIBC))
}

/// The file that a package has in the old lock, where it is to stay. What was a wheel stays one: the
/// recipe may not allow source distributions any longer.
fn kept_file<'a>(
    package: &Package,
    kept: &[&'a PythonPackage],
    platform: &Platform,
) -> Option<&'a LockedFile> {
    let same = kept.iter().find(|known| {
        known.name == package.name.as_str() && known.version == package.version.to_string()
    })?;
    let is_wheel = |path: &str| path.ends_with(".whl");
    let file = same.file.of(&platform.to_string())?;
    (is_wheel(&file.path) == is_wheel(&package.file)).then_some(file)
}

async fn locked_file(package: &Package, means: Means<'_>) -> Result<LockedFile, String> {
    let size = match package.size {
        Some(size) => size,
        None => {
            let found = index::find(
                means.fetcher,
                means.python.indexes,
                &package.name,
                &package.file,
                &package.digest,
            )
            .await
            .map_err(|error| error.to_string())?;
            match found.size {
                Some(size) => size,
                None => length(&found, means).await?,
            }
        }
    };
    Ok(LockedFile {
        path: package.path(),
        size,
        digest: package.digest.clone(),
    })
}

/// The source distributions that may be used for want of wheels, with their metadata: the newest,
/// unless the recipe or what is to stay says otherwise.
async fn sources(
    python: &Python,
    known: &[(PackageName, Version)],
    means: Means<'_>,
) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    for name in &python.allow_sdist {
        let package =
            PackageName::parse(name).ok_or_else(|| format!("{name:?} is no name of a package"))?;
        let files = index::files(means.fetcher, means.python.indexes, &package)
            .await
            .map_err(|error| match error.hint() {
                Some(hint) => format!("{error} ({hint})"),
                None => error.to_string(),
            })?;
        let pinned = python.requirements.iter().find_map(|requirement| {
            let (left, version) = requirement.split_once("==")?;
            (PackageName::parse(left.trim())? == package)
                .then(|| version.trim().parse().ok())
                .flatten()
        });
        let kept = known.iter().find(|(known, _)| *known == package);
        let kept = kept
            .filter(|_| pinned.is_none())
            .and_then(|(_, version)| index::newest_source(&files, &package, Some(version)));
        let (version, file) = kept
            .or_else(|| index::newest_source(&files, &package, pinned.as_ref()))
            .ok_or_else(|| format!("the index has no source distribution of {name}"))?;
        let Some(digest) = file.digest.clone() else {
            return Err(format!("the index does not say SHA-256 of {}", file.name));
        };
        let size = match file.size {
            Some(size) => size,
            None => length(file, means).await?,
        };
        let (directory, path) = file.place();
        let wanted = LockedFile {
            path,
            size,
            digest: digest.clone(),
        };
        let at = means
            .fetcher
            .file(&wanted, &[Mirror::new(directory)])
            .await
            .map_err(|error| error.to_string())?;
        let build_script = BuildScript::left_out(skips_build_script(python, &package));
        let metadata = metadata(&file.name, &at, build_script, means.python.work_dir)?;
        sources.push(Source {
            package,
            version,
            file: file.name.clone(),
            digest,
            size: Some(size),
            metadata,
        });
    }
    Ok(sources)
}

async fn length(file: &IndexFile, means: Means<'_>) -> Result<u64, String> {
    let (directory, path) = file.place();
    let length = means.fetcher.length(&Mirror::new(directory), &path).await;
    length.map_err(|error| error.to_string())
}

/// Whether the recipe wants a package without what its build script makes.
fn skips_build_script(python: &Python, package: &PackageName) -> bool {
    let skipped = python.skip_build_script.iter();
    skipped
        .filter_map(|name| PackageName::parse(name.get_ref()))
        .any(|name| name == *package)
}

fn metadata(
    name: &str,
    path: &Path,
    build_script: BuildScript,
    work_dir: &Path,
) -> Result<String, String> {
    let spool = Spool::create(work_dir).map_err(|error| error.to_string())?;
    let file = fs_err::File::open(path).map_err(|error| error.to_string())?;
    metadata_of(name, file, build_script, &spool).map_err(|error| match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    })
}
