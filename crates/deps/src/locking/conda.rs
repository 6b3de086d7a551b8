//! Locks an environment of conda's packages: what is asked for, solved for each platform.

use std::collections::BTreeMap;

use super::{Keep, LockingError, Means};
use crate::conda::choice::{Choice, subdirs};
use crate::conda::error::CondaError;
use crate::conda::source::CondaSource;
use crate::conda::target::target;
use crate::lock::file::is_relative;
use crate::lock::{LockedFile, LockedSource, PlatformFiles, SourceKind};
use crate::recipe::{Conda, Feature, Recipe};
use ohoci_compose::Event;
use ohoci_conda::record::Located;
use ohoci_image::{Digest, Platform};

/// Why nothing is locked, with a hint.
type Why = (String, Option<String>);

/// What may help where packages do not go together.
const CONFLICT: &str = "ask for less, name other channels, or set CONDA_OVERRIDE_GLIBC where the prefix has a newer glibc than is known";

/// Locks the environment of a feature for every platform. `glibc` is the version of the prefix's glibc, where it has
/// one of Debian's.
pub(super) async fn lock(
    recipe: &Recipe,
    feature: &Feature,
    table: &Conda,
    keep: Option<&Keep<'_>>,
    glibc: Option<&str>,
    means: Means<'_>,
) -> Result<Vec<LockedSource>, LockingError> {
    let name = feature.name.get_ref().to_string();
    if let Some(kept) = keep.and_then(|keep| keep.conda(&name)) {
        return Ok(kept.into_iter().cloned().collect());
    }
    let fail = |(why, hint): Why| LockingError::Source {
        feature: name.clone(),
        why,
        hint,
    };
    let step = Event::Step(format!("choosing conda's packages of {name}"));
    means.fetcher.observer().event(&step);
    let source = means
        .conda
        .source(&table.channels, means.fetcher)
        .map_err(|error| fail(of_conda(&error)))?;
    let mut locked: BTreeMap<(String, String), LockedSource> = BTreeMap::new();
    for platform in &recipe.platforms {
        let packages = chosen(table, platform, glibc, &source, means)
            .await
            .map_err(fail)?;
        let files = files(&packages, &source).await.map_err(fail)?;
        for (package, file) in packages.into_iter().zip(files) {
            let record = package.record;
            let version = format!("{}={}", record.version, record.build);
            let key = (record.name.clone(), version.clone());
            let block = locked.entry(key).or_insert_with(|| LockedSource {
                kind: SourceKind::Conda,
                name: record.name,
                version: Some(version),
                licence: record.license,
                feature: name.clone(),
                file: PlatformFiles::default(),
            });
            block.file.insert(platform.to_string(), file);
        }
    }
    let all = recipe.platforms.len();
    let settled = locked.into_values().map(|source| LockedSource {
        file: source.file.settled(all),
        ..source
    });
    Ok(settled.collect())
}

async fn chosen(
    table: &Conda,
    platform: &Platform,
    glibc: Option<&str>,
    source: &CondaSource,
    means: Means<'_>,
) -> Result<Vec<Located>, Why> {
    let subdirs = subdirs(match platform.architecture.as_str() {
        "arm64" => "aarch64",
        other => other,
    });
    let [subdir, _] = subdirs;
    let target = target(subdir, glibc, means.conda.environment);
    let lists = source
        .lists(&subdirs)
        .await
        .map_err(|error| of_conda(&error))?;
    let specs: Vec<String> = table
        .specs
        .iter()
        .map(|spec| spec.get_ref().clone())
        .collect();
    let choices = source.choose(&[&specs], &lists, &target).await;
    let choices = choices.map_err(|error| of_conda(&error))?;
    match choices.into_iter().next() {
        Some(Choice::Packages(packages)) => Ok(packages),
        Some(Choice::Missing(missing)) => {
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            Err((format!("no channel has {}", names.join(", ")), None))
        }
        Some(Choice::Conflict(why)) => {
            let machine = target.virtual_packages().join(", ");
            let why =
                format!("no packages for {platform} ({machine}) do what [conda] asks for:\n{why}");
            Err((why, Some(CONFLICT.to_owned())))
        }
        None => Ok(Vec::new()),
    }
}

/// The packages' files, by the names of their channels. What a channel does not say of one is learnt from the file.
async fn files(packages: &[Located], source: &CondaSource) -> Result<Vec<LockedFile>, Why> {
    let mut files = Vec::with_capacity(packages.len());
    for package in packages {
        let path = format!("{}/{}", package.channel, package.path());
        if !is_relative(&path) {
            let why = format!("{path:?} cannot be locked: a channel's name has to be a path");
            return Err((why, None));
        }
        let record = &package.record;
        let said = record.sha256.as_ref().zip(record.size);
        let said = said.and_then(|(hex, size)| Some((format!("sha256:{hex}").parse().ok()?, size)));
        let (digest, size): (Digest, u64) = match said {
            Some(said) => said,
            None => learnt(package, source).await?,
        };
        files.push(LockedFile { path, size, digest });
    }
    Ok(files)
}

async fn learnt(package: &Located, source: &CondaSource) -> Result<(Digest, u64), Why> {
    let fetched = source.fetch(std::slice::from_ref(package)).await;
    let fetched = fetched.map_err(|error| of_conda(&error))?;
    let gone = || (format!("{} is not in the cache", package.path()), None);
    let digest = fetched.into_iter().next().ok_or_else(gone)?.digest;
    let path = source.fetcher.cache().path_of(&digest).ok_or_else(gone)?;
    let size = fs_err::metadata(path).map_err(|error| (error.to_string(), None))?;
    Ok((digest, size.len()))
}

fn of_conda(error: &CondaError) -> Why {
    (error.to_string(), error.hint().map(str::to_owned))
}
