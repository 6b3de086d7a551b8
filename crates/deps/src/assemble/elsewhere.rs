//! What a feature takes from elsewhere, as trees below the prefix: archives, paths in images, npm
//! packages.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::AssembleError;
use super::sources::{MAX_ARCHIVE, digest_of};
use crate::archive::source::{from_archive, from_image};
use crate::archive::{Selection, Spool};
use crate::lock::{Lock, LockedFile, SourceKind};
use crate::npm::choose::{Target, choose};
use crate::npm::install::NodeModules;
use crate::npm::{Lockfile, tarball};
use crate::recipe::{Feature, Npm};
use ohoci_image::Platform;
use ohoci_layer::{Kind, LayerPath, Tree};

/// Where a locked file lies.
pub(super) type Cached<'a> = &'a (dyn Fn(&LockedFile) -> Option<PathBuf> + Sync);

/// What was made.
#[derive(Default)]
pub(super) struct Built {
    pub(super) trees: Vec<Tree>,
    /// Name and version of each npm package.
    pub(super) packages: Vec<(String, String)>,
}

/// Makes the trees.
pub(super) fn trees(
    feature: &Feature,
    lock: &Lock,
    platform: &Platform,
    cached: Cached<'_>,
    spool: &Spool,
) -> Result<Built, AssembleError> {
    let name = feature.name.get_ref().as_str();
    let mut built = Built::default();
    let open = |what: &str, file: &LockedFile| -> Result<fs_err::File, AssembleError> {
        let path = cached(file).ok_or_else(|| AssembleError::NotCached {
            package: what.to_owned(),
        })?;
        let fail = |source: std::io::Error| AssembleError::Io {
            what: format!("feature {name}: {what}"),
            source,
        };
        let mut input = fs_err::File::open(path).map_err(fail)?;
        let found = digest_of(&mut input, &file.digest).map_err(fail)?;
        match found == file.digest {
            true => Ok(input),
            false => Err(fail(std::io::Error::other(format!("it hashes to {found}")))),
        }
    };
    for (source, file) in lock.source_files(SourceKind::Archive, name, platform) {
        let wanted = feature
            .archive
            .iter()
            .filter(|archive| archive.url.is_some() && archive.digest == file.digest);
        // The same archive may be unpacked to several places.
        for archive in wanted {
            let input = open(&source.name, file)?;
            let selection = Selection {
                strip: usize::try_from(archive.strip).unwrap_or(usize::MAX),
                to: path(name, &archive.to)?,
                ..Selection::default()
            };
            let tree = from_archive(input, &selection, MAX_ARCHIVE, spool);
            built
                .trees
                .push(tree.map_err(|error| AssembleError::Source {
                    feature: name.to_owned(),
                    path: source.name.clone(),
                    source: error,
                })?);
        }
    }
    for (source, file) in lock.source_files(SourceKind::Image, name, platform) {
        let Some(image) = feature.image.iter().find(|image| image.to == source.name) else {
            continue;
        };
        let input = open(&image.reference, file)?;
        let fail = |error| AssembleError::Source {
            feature: name.to_owned(),
            path: format!("{} of {}", image.path, image.reference),
            source: error,
        };
        let whole = from_archive(input, &Selection::default(), MAX_ARCHIVE, spool).map_err(fail)?;
        let selection = Selection {
            to: path(name, &image.to)?,
            ..Selection::default()
        };
        let at = path(name, &image.path)?;
        built
            .trees
            .push(from_image(&at, &selection, |_| Ok(whole)).map_err(fail)?);
    }
    if let Some(npm) = &feature.npm {
        node_modules(name, npm, lock, platform, &open, spool, &mut built)?;
    }
    Ok(built)
}

/// What a recipe has in these trees of npm packages' programs that are not to be edited.
pub(super) fn as_is(
    feature: &str,
    npm: &Npm,
    trees: &[Tree],
) -> Result<BTreeSet<LayerPath>, AssembleError> {
    let target = path(feature, &npm.target)?;
    let files = trees.iter().flat_map(Tree::iter);
    let files = files.filter(|(_, entry)| matches!(entry.kind, Kind::File(_)));
    let below = |file: &LayerPath| {
        let rest = file.as_bytes().strip_prefix(target.as_bytes())?;
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        LayerPath::parse(rest).ok()
    };
    let is_meant = |file: &&LayerPath| {
        let below = below(file).filter(|_| file.is_within(&target));
        below.is_some_and(|below| npm.as_is.iter().any(|pattern| pattern.matches(&below)))
    };
    Ok(files
        .map(|(file, _)| file)
        .filter(is_meant)
        .cloned()
        .collect())
}

fn path(feature: &str, text: &str) -> Result<LayerPath, AssembleError> {
    LayerPath::parse(text.as_bytes()).map_err(|source| AssembleError::Path {
        feature: feature.to_owned(),
        path: text.to_owned(),
        source,
    })
}

fn node_modules(
    feature: &str,
    npm: &Npm,
    lock: &Lock,
    platform: &Platform,
    open: &dyn Fn(&str, &LockedFile) -> Result<fs_err::File, AssembleError>,
    spool: &Spool,
    built: &mut Built,
) -> Result<(), AssembleError> {
    let fail = |why: String| AssembleError::Npm {
        feature: feature.to_owned(),
        why,
    };
    let file = npm.lockfile.display().to_string();
    let lockfile =
        Lockfile::parse(&file, npm.content.as_bytes()).map_err(|error| fail(error.to_string()))?;
    let chosen =
        choose(&lockfile, &Target::new(platform, true)).map_err(|error| fail(error.to_string()))?;
    let mut modules = NodeModules::new(path(feature, &npm.target)?).without(&npm.drop);
    for (location, package) in chosen {
        let Some(wanted) = &package.file else {
            modules
                .add(location, package, tarball::Files::new())
                .map_err(|error| fail(error.to_string()))?;
            continue;
        };
        let what = format!("{} {}", package.name, package.version);
        let locked = lock
            .source_files(SourceKind::Npm, feature, platform)
            .find(|(_, file)| file.digest == wanted.digest);
        let (_, locked) = locked.ok_or_else(|| fail(format!("{what} is not in the lock")))?;
        let input = open(&what, locked)?;
        let size = input
            .metadata()
            .map_err(|error| fail(error.to_string()))?
            .len();
        let files =
            tarball::read(package, input, size, spool).map_err(|error| fail(error.to_string()))?;
        modules
            .add(location, package, files)
            .map_err(|error| fail(error.to_string()))?;
        built
            .packages
            .push((package.name.clone(), package.version.clone()));
    }
    let (tree, notes) = modules.finish().map_err(|error| fail(error.to_string()))?;
    for note in notes {
        tracing::debug!(note, "npm");
    }
    built.trees.push(tree);
    Ok(())
}
