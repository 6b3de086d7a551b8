//! From a lock and cached packages to a system's files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::database::{Database, INFO};
use super::error::RootFsError;
use super::order::order;
use super::pre_dependencies::PreDependencies;
use super::tree::RootTree;
use crate::assemble::{AssembleError, packages};
use crate::debian::architecture;
use crate::debian::deb::Deb;
use crate::lock::{DebianPackage, Lock, LockedFile};
use crate::recipe::{Pattern, Recipe};
use ohoci_image::Platform;
use ohoci_layer::Tree;

/// A system's files before anything of them has run. Configuration files have the names that dpkg
/// gives them until it configures their packages.
#[derive(Debug)]
pub struct RootFiles {
    /// The files. Everything is root's, and nothing is setuid or setgid.
    pub tree: Tree,
    /// What runs before packages are unpacked, in the order in which it does: first that of what is
    /// essential.
    pub before: Vec<Preinst>,
    /// What is configured before anything that is not essential is unpacked.
    pub essential: Vec<String>,
    /// How many packages there are.
    pub packages: usize,
}

/// What a package runs before it is unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preinst {
    /// The package.
    pub package: String,
    /// What it is built for.
    pub architecture: String,
    /// Where its script is, from the root.
    pub script: String,
    /// The packages that are configured before: those that it pre-depends on, and what they need.
    pub configured: Vec<String>,
}

/// Puts together the packages of a lock for one platform. `cached` says where a locked file lies;
/// contents wait in unnamed files in `spool_dir`, as long as the tree lasts. Has the same result with
/// any number of threads.
///
/// # Errors
/// See [`RootFsError`].
pub(super) fn assemble(
    recipe: &Recipe,
    lock: &Lock,
    platform: &Platform,
    cached: &(dyn Fn(&LockedFile) -> Option<PathBuf> + Sync),
    spool_dir: &Path,
    threads: usize,
) -> Result<RootFiles, RootFsError> {
    let unknown = || AssembleError::Platform(platform.to_string());
    let architecture = architecture::of_platform(platform).ok_or_else(unknown)?;
    let mut wanted: Vec<(&DebianPackage, &LockedFile)> = Vec::new();
    let mut drop: &[Pattern] = &[];
    for feature in &recipe.features {
        wanted.extend(lock.debian_files(feature.name.get_ref().as_str(), platform));
        drop = feature.debian().map_or(drop, |debian| &debian.drop);
    }
    let mut debs = packages::read(&wanted, architecture, cached, spool_dir, threads)?;
    // Its directories are those of a system; others have them as they happen to be.
    debs.sort_by_key(|deb| deb.name != "base-files");
    let needs: BTreeMap<&str, BTreeSet<&str>> = wanted
        .iter()
        .map(|(package, _)| {
            let below = package.needs.iter().map(String::as_str);
            (package.name.as_str(), below.collect())
        })
        .collect();
    of_packages(&debs, &needs, drop)
}

/// Puts packages together.
fn of_packages(
    debs: &[Deb],
    needs: &BTreeMap<&str, BTreeSet<&str>>,
    drop: &[Pattern],
) -> Result<RootFiles, RootFsError> {
    let mut tree = RootTree::new(drop);
    let mut database = Database::default();
    let mut scripts = BTreeMap::new();
    let pre_dependencies = PreDependencies::new(debs, needs);
    for deb in debs {
        tree.add(deb)?;
    }
    let mut by_name: Vec<&Deb> = debs.iter().collect();
    by_name.sort_by_key(|deb| &deb.name);
    for deb in by_name {
        let name = database.add(deb)?;
        if deb.control_files.contains_key("preinst") {
            let preinst = Preinst {
                package: deb.name.clone(),
                architecture: deb.architecture.clone(),
                script: format!("/{INFO}/{name}.preinst"),
                configured: pre_dependencies.of(deb)?,
            };
            scripts.insert(deb.name.clone(), preinst);
        }
    }
    database.write(&mut tree)?;
    let essential = pre_dependencies.essential();
    let before = order(needs).into_iter();
    let mut before: Vec<Preinst> = before.filter_map(|name| scripts.remove(&name)).collect();
    before.sort_by_key(|one| essential.binary_search(&one.package).is_err());
    Ok(RootFiles {
        tree: tree.finish()?,
        before,
        essential,
        packages: debs.len(),
    })
}

#[cfg(test)]
mod tests;
