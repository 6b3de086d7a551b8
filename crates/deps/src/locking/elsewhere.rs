//! Locks what comes from elsewhere: archives, paths in images, npm packages.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Keep, LockingError, Means};
use crate::hosts::Mirror;
use crate::lock::{LockedFile, LockedSource, PlatformFiles, SourceKind};
use crate::npm::choose::{Target, choose};
use crate::npm::registry::Registries;
use crate::npm::{Lockfile, NpmError, manifest, resolve};
use crate::recipe::{Archive, Feature, Image, Npm, Recipe};
use ohoci_compose::Event;
use ohoci_compose::layer_reader::LayerReader;

/// How many files are asked for at once, to learn their size.
const CONCURRENCY: usize = 8;

/// Why a source cannot be locked, with a hint.
type Why = (String, Option<String>);

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn plain(error: impl ToString) -> Why {
    (error.to_string(), None)
}

fn npm_error(error: &NpmError) -> Why {
    (error.to_string(), error.hint().map(str::to_owned))
}

/// Locks the sources of a feature for every platform. Paths in images that are to stay are not
/// looked at.
pub(super) async fn lock(
    recipe: &Recipe,
    feature: &Feature,
    keep: Option<&Keep<'_>>,
    means: Means<'_>,
) -> Result<Vec<LockedSource>, LockingError> {
    let name = feature.name.get_ref().to_string();
    let fail = |(why, hint): Why| LockingError::Source {
        feature: name.clone(),
        why,
        hint,
    };
    let mut locked = Vec::new();
    for source in &feature.archive {
        if source.url.is_some() {
            locked.push(archive(&name, source, means).await.map_err(fail)?);
        }
    }
    for source in &feature.image {
        match keep.and_then(|keep| keep.image(&name, &source.to)) {
            Some(kept) => locked.push(kept.clone()),
            None => locked.push(image(&name, source, recipe, means).await.map_err(fail)?),
        }
    }
    if let Some(npm) = &feature.npm {
        locked.extend(packages(&name, npm, recipe, means).await.map_err(fail)?);
    }
    Ok(locked)
}

/// Where an archive lies: the directory, and its name there.
pub(crate) fn place(archive: &Archive) -> Option<(Mirror, String)> {
    let url = archive.url.as_ref()?;
    let name = url.path_segments()?.next_back()?.to_owned();
    let mut directory = url.join(".").ok()?;
    // Credentials stay behind otherwise.
    let _ = directory.set_username(url.username());
    let _ = directory.set_password(url.password());
    Some((Mirror::new(directory), name))
}

async fn archive(feature: &str, archive: &Archive, means: Means<'_>) -> Result<LockedSource, Why> {
    let (mirror, name) = place(archive).ok_or_else(|| plain("the URL names no file"))?;
    let size = means.fetcher.length(&mirror, &name).await.map_err(plain)?;
    let file = LockedFile {
        path: name.clone(),
        size,
        digest: archive.digest.clone(),
    };
    // A wrong digest is better noticed now than in every build.
    means.fetcher.file(&file, &[mirror]).await.map_err(plain)?;
    let source = LockedSource {
        kind: SourceKind::Archive,
        name,
        version: None,
        licence: None,
        feature: feature.to_owned(),
        file: PlatformFiles::any(file),
    };
    Ok(source)
}

async fn image(
    feature: &str,
    image: &Image,
    recipe: &Recipe,
    means: Means<'_>,
) -> Result<LockedSource, Why> {
    let step = Event::Step(format!("reading {}", image.reference));
    means.fetcher.observer().event(&step);
    let reference = image.reference.parse().map_err(plain)?;
    let deps = means
        .images
        .resolver
        .deps(&reference)
        .await
        .map_err(plain)?;
    let mut files = PlatformFiles::default();
    for platform in &recipe.platforms {
        let one = deps.image_for(platform).await.map_err(plain)?;
        let reader = LayerReader {
            cache: means.fetcher.cache(),
            ..means.images.resolver.reader()
        };
        let layer = deps
            .flattened(&one, &image.path, reader, means.images.work_dir)
            .await
            .map_err(plain)?;
        let file = LockedFile {
            path: image.path.trim_matches('/').to_owned(),
            size: layer.descriptor.size,
            digest: layer.descriptor.digest,
        };
        files.insert(platform.to_string(), file);
    }
    Ok(LockedSource {
        kind: SourceKind::Image,
        name: image.to.clone(),
        version: Some(deps.root.digest().to_string()),
        licence: None,
        feature: feature.to_owned(),
        file: files.settled(recipe.platforms.len()),
    })
}

async fn packages(
    feature: &str,
    npm: &Npm,
    recipe: &Recipe,
    means: Means<'_>,
) -> Result<Vec<LockedSource>, Why> {
    let step = Event::Step(format!("looking at the npm packages of {feature}"));
    means.fetcher.observer().event(&step);
    let file = npm.lockfile.display().to_string();
    let lockfile =
        Lockfile::parse(&file, npm.content.as_bytes()).map_err(|error| npm_error(&error))?;
    let mut found: BTreeMap<(String, String), LockedSource> = BTreeMap::new();
    let mut wanted = Vec::new();
    for platform in &recipe.platforms {
        let chosen =
            choose(&lockfile, &Target::new(platform, true)).map_err(|error| npm_error(&error))?;
        for package in chosen.into_values() {
            // One that is bundled into another has no file.
            if let Some(file) = &package.file {
                wanted.push((platform.to_string(), package, file));
            }
        }
    }
    let mut paths: Vec<&str> = wanted.iter().map(|(_, _, file)| &*file.path).collect();
    paths.sort_unstable();
    paths.dedup();
    let registries = means.npm;
    let sizes = stream::iter(paths.into_iter().map(async |path| {
        let (mirror, path) = npm_place(registries, path)?;
        let size = means.fetcher.length(&mirror, &path).await.map_err(plain)?;
        Ok::<_, Why>((path, size))
    }));
    let sizes: BTreeMap<String, u64> = sizes.buffer_unordered(CONCURRENCY).try_collect().await?;
    for (platform, package, file) in wanted {
        let size = sizes.get(&file.path).copied().unwrap_or_default();
        let locked = LockedFile {
            path: file.path.clone(),
            size,
            digest: file.digest.clone(),
        };
        let key = (package.name.clone(), package.version.clone());
        let block = found.entry(key).or_insert_with(|| LockedSource {
            kind: SourceKind::Npm,
            name: package.name.clone(),
            version: Some(package.version.clone()),
            licence: None,
            feature: feature.to_owned(),
            file: PlatformFiles::default(),
        });
        block.file.insert(platform, locked);
    }
    let all = recipe.platforms.len();
    Ok(found
        .into_values()
        .map(|source| LockedSource {
            file: source.file.settled(all),
            ..source
        })
        .collect())
}

/// The registry of an npm package's tarball, and the tarball's place below it.
pub(crate) fn npm_place(registries: &Registries, path: &str) -> Result<(Mirror, String), Why> {
    let mirror = registries.mirror(path).ok_or_else(|| {
        let hint = "set registry in npm's configuration, or NPM_CONFIG_REGISTRY";
        let why = format!("{path}: this machine is told of no registry of npm packages");
        (why, Some(hint.to_owned()))
    })?;
    Ok((mirror, path.to_owned()))
}

/// Has npm resolve the `package.json` beside a feature's lockfile; `None` where the lockfile stays as
/// it is. With `keep`, what the lockfile says stays as far as it fits.
pub(super) async fn resolved(
    feature: &Feature,
    keep: Option<&Keep<'_>>,
    means: Means<'_>,
) -> Result<Option<String>, LockingError> {
    let Some(npm) = &feature.npm else {
        return Ok(None);
    };
    let fail = |(why, hint): Why| LockingError::Source {
        feature: feature.name.get_ref().to_string(),
        why,
        hint,
    };
    let npm_fail = |error: NpmError| fail(npm_error(&error));
    let without = match keep {
        Some(keep) if !npm.content.is_empty() => {
            manifest::without(&npm.content, keep.update).map_err(npm_fail)?
        }
        _ => None,
    };
    let Some(manifest) = &npm.manifest else {
        return match without {
            None => Ok(None),
            Some(_) => Err(fail((
                format!("{} has no package.json beside it", npm.lockfile.display()),
                Some("update the lockfile with npm where it comes from".to_owned()),
            ))),
        };
    };
    let known = match (keep, &without) {
        (None, _) => None,
        (Some(_), Some(rest)) => Some(rest.as_bytes()),
        (Some(_), None) if npm.content.is_empty() => None,
        (Some(_), None) => {
            let differences = manifest::differences(manifest, &npm.content).map_err(npm_fail)?;
            if differences.is_empty() {
                return Ok(None);
            }
            Some(npm.content.as_bytes())
        }
    };
    let program = std::path::Path::new("npm");
    let lockfile = resolve::resolve(program, manifest.as_bytes(), known, means.images.work_dir)
        .await
        .map_err(npm_fail)?;
    String::from_utf8(lockfile)
        .map(Some)
        .map_err(|error| fail(plain(error)))
}
