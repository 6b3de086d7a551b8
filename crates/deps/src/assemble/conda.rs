//! A feature's environment of conda's packages, below the prefix.

use super::AssembleError;
use super::elsewhere::Cached;
use crate::archive::Spool;
use crate::conda::archive;
use crate::conda::locked::located;
use crate::lock::{Lock, SourceKind};
use crate::place::Prefix;
use crate::recipe::{Conda, Feature};
use ohoci_conda::link::{Linkable, link};
use ohoci_conda::package::Package;
use ohoci_image::Platform;
use ohoci_layer::{LayerPath, Rules, Tree};

/// An environment and the packages in it.
pub(super) struct Built {
    pub(super) tree: Tree,
    /// Name and version of each.
    pub(super) packages: Vec<(String, String)>,
}

/// Links a feature's locked packages. Nothing of them is run: a package that wants to have a script run is refused,
/// unless the recipe does without it.
pub(super) fn environment(
    feature: &Feature,
    conda: &Conda,
    (lock, platform, prefix): (&Lock, &Platform, &Prefix),
    cached: Cached<'_>,
    spool: &Spool,
) -> Result<Built, AssembleError> {
    let name = feature.name.get_ref().to_string();
    let fail = |why: String| AssembleError::Conda {
        feature: name.clone(),
        why,
    };
    let target =
        LayerPath::parse(conda.target.as_bytes()).map_err(|source| AssembleError::Path {
            feature: name.clone(),
            path: conda.target.clone(),
            source,
        })?;
    let mut linkables = Vec::new();
    let mut packages = Vec::new();
    for (source, file) in lock.source_files(SourceKind::Conda, &name, platform) {
        let version = source.version.as_deref().unwrap_or_default();
        let path = cached(file).ok_or_else(|| AssembleError::NotCached {
            package: format!("{} {version}", source.name),
        })?;
        let mut located = located(source, file)
            .ok_or_else(|| fail(format!("{:?} is no place of a conda package", file.path)))?;
        let of_package = |why: String| fail(format!("{}: {why}", file.path));
        let input = fs_err::File::open(path).map_err(|error| of_package(error.to_string()))?;
        let tree = archive::read(input, file.digest.hex(), spool);
        let tree = tree.map_err(|error| of_package(error.to_string()))?;
        let package = Package::read(tree).map_err(|error| of_package(error.to_string()))?;
        // What the package says of itself is what its channel lists, as far as linking needs it.
        located.record.depends.clone_from(&package.index.depends);
        located.record.noarch = package.index.noarch;
        located.record.license.clone_from(&package.index.license);
        let site_packages = &package.index.python_site_packages_path;
        located
            .record
            .python_site_packages_path
            .clone_from(site_packages);
        packages.push((source.name.clone(), version.to_owned()));
        linkables.push(Linkable { located, package });
    }
    let linked = link(&linkables, &format!("{prefix}/{}", conda.target))
        .map_err(|error| fail(error.to_string()))?;
    let mut scripts = linked.scripts.iter();
    let is_skipped = |package: &String| conda.skip_scripts.contains(package);
    if let Some(script) = scripts.find(|script| !is_skipped(&script.package)) {
        return Err(fail(format!(
            "{} {} wants to have {} run when it is linked, and nothing of packages is run; \
             skip-scripts = [{:?}] does without it",
            script.package, script.version, script.path, script.package
        )));
    }
    let in_tree = |source| AssembleError::Tree {
        feature: name.clone(),
        source,
    };
    let mut kept = Tree::new();
    for (path, entry) in &linked.tree {
        if !conda.drop.iter().any(|pattern| pattern.matches(path)) {
            kept.insert(path.clone(), entry.clone(), Rules::Foreign)
                .map_err(in_tree)?;
        }
    }
    Ok(Built {
        tree: kept.moved_below(&target, 0).map_err(in_tree)?,
        packages,
    })
}
