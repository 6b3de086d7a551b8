//! Assembles the layers of one platform.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::packages::{self, Wanted};
use super::sources::{add_wrappers, insert, local};
use super::{AssembleError, elsewhere, python};
use crate::archive::Spool;
use crate::audit::{Audit, Layer, Options, audit};
use crate::contents::{Contents, PackageContents};
use crate::debian::architecture;
use crate::debian::deb::Deb;
use crate::lock::{Lock, LockedFile};
use crate::place::{Layout, Link, Machine, Placer, Prefix};
use crate::recipe::{Feature, Recipe, Wrapper};
use crate::relocate::{Edit, Kept, Origin, Programs, Relocation, relocate};
use ohoci_image::Platform;
use ohoci_layer::{Content, Entry, Kind, LayerPath, Rules, Tree};

/// The layers of one platform.
#[derive(Debug)]
pub struct Assembled {
    /// The platform.
    pub platform: Platform,
    /// One for each feature, lowest first.
    pub layers: Vec<AssembledLayer>,
    /// What an audit of them found.
    pub audit: Audit,
}

/// A feature's layer.
#[derive(Debug)]
pub struct AssembledLayer {
    /// The feature.
    pub feature: String,
    /// The tree, from the image's root; nothing is above the prefix.
    pub tree: Tree,
    /// The package that each entry is from, from the image's root.
    pub owners: BTreeMap<LayerPath, String>,
    /// What was edited in it.
    pub edits: Vec<Edit>,
    /// What leads out of the prefix and was left.
    pub kept: Vec<Kept>,
}

/// A feature's tree before it is relocated, below the prefix.
struct Placed {
    tree: Tree,
    owners: BTreeMap<LayerPath, String>,
    contents: Contents,
    /// From directories and archives, which are made to run anywhere.
    others: Vec<Tree>,
}

/// Assembles the layers of one platform. `cached` says where a locked file lies; spools are made
/// in `spool_dir`. Has the same result with any number of threads.
///
/// # Errors
/// See [`AssembleError`].
pub fn assemble(
    recipe: &Recipe,
    lock: &Lock,
    platform: &Platform,
    cached: &(dyn Fn(&LockedFile) -> Option<PathBuf> + Sync),
    spool_dir: &Path,
    threads: usize,
) -> Result<Assembled, AssembleError> {
    let unknown = || AssembleError::Platform(platform.to_string());
    let machine = Machine::of(platform).ok_or_else(unknown)?;
    let architecture = architecture::of_platform(platform).ok_or_else(unknown)?;
    let prefix: Prefix = recipe
        .prefix
        .to_string()
        .parse()
        .map_err(|error| AssembleError::Io {
            what: "the prefix".to_owned(),
            source: std::io::Error::other(format!("{error}")),
        })?;
    let spool = Spool::create(spool_dir).map_err(|source| AssembleError::Io {
        what: "cannot make a temporary file".to_owned(),
        source,
    })?;

    let mut placed: Vec<Placed> = Vec::new();
    for feature in &recipe.features {
        let name = feature.name.get_ref().to_string();
        let wanted: Vec<Wanted<'_>> = lock.debian_files(&name, platform).collect();
        let debs = packages::read(&wanted, architecture, cached, spool_dir, threads)?;
        let mut others = local(feature, &spool)?;
        let mut packages = Vec::new();
        if let Some(table) = &feature.python {
            let built =
                python::environment(feature, table, lock, platform, &prefix, cached, &spool)?;
            packages.extend(built.packages.into_iter().map(|(name, version)| {
                let package = PackageContents {
                    version,
                    ..PackageContents::default()
                };
                (format!("python:{name}"), package)
            }));
            others.push(built.tree);
        }
        let from_elsewhere = elsewhere::trees(feature, lock, platform, cached, &spool)?;
        others.extend(from_elsewhere.trees);
        packages.extend(from_elsewhere.packages.into_iter().map(|(name, version)| {
            let package = PackageContents {
                version,
                ..PackageContents::default()
            };
            (format!("npm:{name}"), package)
        }));
        for link in feature.link.iter().filter(|link| link.replace) {
            others = without(others, &name, &link.at)?;
        }
        let is_there = |path: &LayerPath| {
            let below = placed.iter().map(|below| &below.tree);
            let wrapper = |of: &Wrapper| path.to_string() == format!("/bin/{}", of.name);
            below.chain(&others).any(|tree| tree.get(path).is_some())
                || recipe
                    .features
                    .iter()
                    .flat_map(|of| &of.wrapper)
                    .any(wrapper)
        };
        let mut this = place(feature, machine, &debs, is_there)?;
        this.others = others;
        this.contents.packages.extend(packages);
        placed.push(this);
    }

    let programs = Programs::of(placed.iter().map(|placed| &placed.tree));
    let mut layers = Vec::new();
    for (feature, placed) in recipe.features.iter().zip(placed) {
        layers.push(finished(
            feature, placed, machine, &prefix, &programs, &spool,
        )?);
    }
    let looked_at: Vec<Layer<'_>> = layers
        .iter()
        .map(|layer| Layer {
            name: &layer.feature,
            tree: &layer.tree,
        })
        .collect();
    let options = Options { machine, prefix };
    let audit = audit(&looked_at, &options).map_err(|source| AssembleError::Io {
        what: "cannot look over the layers".to_owned(),
        source,
    })?;
    Ok(Assembled {
        platform: platform.clone(),
        layers,
        audit,
    })
}

/// Trees without the file that a link stands in the place of, which one of them has to have.
fn without(trees: Vec<Tree>, feature: &str, at: &str) -> Result<Vec<Tree>, AssembleError> {
    let path = LayerPath::parse(at.as_bytes()).map_err(|source| AssembleError::Path {
        feature: feature.to_owned(),
        path: at.to_owned(),
        source,
    })?;
    if !trees.iter().any(|tree| tree.get(&path).is_some()) {
        return Err(AssembleError::Io {
            what: format!("feature {feature}: link {at}"),
            source: std::io::Error::other("it is to replace a file, and no package brings one"),
        });
    }
    let others = trees.into_iter().map(|tree| {
        if tree.get(&path).is_none() {
            return Ok(tree);
        }
        let mut left = Tree::new();
        for (other, entry) in tree.iter().filter(|(other, _)| **other != path) {
            left.insert(other.clone(), entry.clone(), Rules::Foreign)
                .map_err(|source| AssembleError::Tree {
                    feature: feature.to_owned(),
                    source,
                })?;
        }
        Ok(left)
    });
    others.collect()
}

/// A feature's packages below the prefix, with the statements of their licences.
fn place(
    feature: &Feature,
    machine: Machine,
    debs: &[Deb],
    elsewhere: impl Fn(&LayerPath) -> bool,
) -> Result<Placed, AssembleError> {
    let name = feature.name.get_ref().to_string();
    let drop = feature.debian().map(|debian| debian.drop.as_slice());
    let drop = drop
        .unwrap_or_default()
        .iter()
        .map(|pattern| pattern.as_str().parse())
        .collect::<Result<_, _>>()
        .map_err(|source| AssembleError::Pattern {
            feature: name.clone(),
            source,
        })?;
    let path = |text: &str| {
        LayerPath::parse(text.as_bytes()).map_err(|source| AssembleError::Path {
            feature: name.clone(),
            path: text.to_owned(),
            source,
        })
    };
    let links = feature
        .link
        .iter()
        .map(|link| {
            Ok(Link {
                at: path(&link.at)?,
                to: path(&link.to)?,
            })
        })
        .collect::<Result<_, AssembleError>>()?;
    let layout = Layout {
        machine,
        drop,
        links,
    };
    let fail = |source| AssembleError::Place {
        feature: name.clone(),
        source: Box::new(source),
    };
    let mut placer = Placer::new(&layout);
    for deb in debs {
        placer.add(&deb.name, &deb.tree).map_err(fail)?;
    }
    let done = placer.finish(elsewhere).map_err(fail)?;
    let mut placed = Placed {
        tree: done.tree,
        owners: done.owners,
        contents: Contents::new(&name),
        others: Vec::new(),
    };
    for deb in debs {
        for (number, text) in deb.licences.values().enumerate() {
            let at = match number {
                0 => format!("share/licences/{}", deb.name),
                more => format!("share/licences/{}.{more}", deb.name),
            };
            let at = path(&at)?;
            let entry = Entry::new(Kind::File(Content::Memory(text.clone())), 0o644);
            insert(&name, &mut placed.tree, at.clone(), entry)?;
            placed.owners.insert(at, deb.name.clone());
        }
        let package = PackageContents {
            version: deb.version.clone(),
            ..PackageContents::default()
        };
        placed.contents.packages.insert(deb.name.clone(), package);
    }
    for (path, owner) in &placed.owners {
        if let Some(package) = placed.contents.packages.get_mut(owner) {
            let path = path.to_string();
            let below = path.trim_start_matches('/').to_owned();
            package.files.insert(below);
        }
    }
    Ok(placed)
}

/// A feature's tree as it will stand in an image.
fn finished(
    feature: &Feature,
    placed: Placed,
    machine: Machine,
    prefix: &Prefix,
    programs: &Programs,
    spool: &Spool,
) -> Result<AssembledLayer, AssembleError> {
    let name = feature.name.get_ref().to_string();
    let mut keep = |bytes: Vec<u8>| {
        let size = bytes.len() as u64;
        spool
            .take(bytes.as_slice(), size)
            .map_err(std::io::Error::other)
    };
    let mut moved = |tree: &Tree, origin| {
        let relocation = Relocation {
            machine,
            prefix,
            programs,
            origin,
        };
        relocate(tree, &relocation, &mut keep).map_err(|source| AssembleError::Relocate {
            feature: name.clone(),
            source: Box::new(source),
        })
    };
    let debian = moved(&placed.tree, Origin::Debian)?;
    let (mut tree, mut edits, mut kept) = (debian.tree, debian.edits, debian.kept);
    for other in &placed.others {
        let other = moved(other, Origin::Other)?;
        for (path, entry) in &other.tree {
            if entry.is_directory() && tree.get(path).is_some_and(Entry::is_directory) {
                continue;
            }
            insert(&name, &mut tree, path.clone(), entry.clone())?;
        }
        edits.extend(other.edits);
        kept.extend(other.kept);
    }
    add_wrappers(feature, &mut tree)?;
    let at = Contents::path(&name);
    let at = LayerPath::parse(at.as_bytes()).map_err(|source| AssembleError::Path {
        feature: name.clone(),
        path: at.clone(),
        source,
    })?;
    let contents = Content::Memory(placed.contents.to_bytes().into());
    insert(
        &name,
        &mut tree,
        at,
        Entry::new(Kind::File(contents), 0o644),
    )?;
    let fail = |source| AssembleError::Tree {
        feature: name.clone(),
        source,
    };
    let owners = placed
        .owners
        .into_iter()
        .filter_map(|(path, owner)| Some((prefix.path().join(&path).ok()?, owner)))
        .collect();
    Ok(AssembledLayer {
        tree: tree.moved_below(prefix.path(), 0).map_err(fail)?,
        feature: name,
        owners,
        edits,
        kept,
    })
}
