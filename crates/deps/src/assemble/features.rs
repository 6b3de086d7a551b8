//! Assembles the layers of one platform.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::earlier::{Earlier, Seen};
use super::inputs::{Inputs, Reader};
use super::side_by_side::side_by_side;
use super::sources::{add_wrappers, insert, local};
use super::{AssembleError, conda, elsewhere, python};
use crate::archive::Spool;
use crate::audit::{Audit, Layer, Options, audit};
use crate::contents::{Contents, PackageContents};
use crate::debian::deb::Deb;
use crate::lock::{Lock, LockedFile};
use crate::place::{Layout, Link, Machine, Placer, Prefix};
use crate::recipe::{Feature, Recipe};
use crate::relocate::{Origin, Programs, Relocation, relocate};
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
    /// How many files were edited in it.
    pub edits: usize,
    /// What of other layers it was made from.
    pub seen: Seen,
    /// Whether it is the one that was made before.
    pub is_earlier: bool,
}

/// A feature's tree before it is relocated, below the prefix.
struct Placed {
    tree: Tree,
    contents: Contents,
    /// From directories and archives, which are made to run anywhere.
    others: Vec<Tree>,
    /// Of these what is not to be edited.
    as_is: BTreeSet<LayerPath>,
    /// What of the layers below it was asked for.
    asked: BTreeMap<String, bool>,
}

impl Placed {
    fn entries(&self) -> usize {
        let others = self.others.iter().map(Tree::len);
        others.sum::<usize>() + self.tree.len()
    }
}

enum Part {
    Earlier(Earlier),
    Placed(Placed),
}

/// What all features of a platform are placed with.
struct Work<'a> {
    recipe: &'a Recipe,
    lock: &'a Lock,
    platform: &'a Platform,
    machine: Machine,
    prefix: Prefix,
    cached: &'a (dyn Fn(&LockedFile) -> Option<PathBuf> + Sync),
    spool: Spool,
    spool_dir: &'a Path,
    threads: usize,
}

/// Assembles the layers of one platform. `cached` says where a locked file lies; spools are made
/// in `spool_dir`. `earlier` gives the layer of a feature that was made before from the same. Has the same
/// result with any number of threads, and with or without those.
///
/// # Errors
/// See [`AssembleError`].
pub fn assemble(
    recipe: &Recipe,
    lock: &Lock,
    platform: &Platform,
    cached: &(dyn Fn(&LockedFile) -> Option<PathBuf> + Sync),
    earlier: &dyn Fn(&Feature) -> Option<Earlier>,
    spool_dir: &Path,
    threads: usize,
) -> Result<Assembled, AssembleError> {
    let unknown = || AssembleError::Platform(platform.to_string());
    let machine = Machine::of(platform).ok_or_else(unknown)?;
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
    let work = Work {
        recipe,
        lock,
        platform,
        machine,
        prefix,
        cached,
        spool,
        spool_dir,
        threads,
    };
    let layers = work.layers(earlier)?;
    let looked_at: Vec<Layer<'_>> = layers
        .iter()
        .map(|layer| Layer {
            name: &layer.feature,
            tree: &layer.tree,
        })
        .collect();
    let options = Options {
        machine,
        prefix: work.prefix,
    };
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

impl Work<'_> {
    fn layers(
        &self,
        earlier: &dyn Fn(&Feature) -> Option<Earlier>,
    ) -> Result<Vec<AssembledLayer>, AssembleError> {
        let features = self.recipe.features.iter();
        let before: Vec<Option<Earlier>> = features.map(earlier).collect();
        let features = self.recipe.features.iter().zip(&before);
        let anew = features.filter(|(_, found)| found.is_none());
        let anew: Vec<&Feature> = anew.map(|(feature, _)| feature).collect();
        let reader = self.reader();
        let mut read = reader.all(&anew).into_iter();
        let mut parts: Vec<Part> = Vec::new();
        for (feature, found) in self.recipe.features.iter().zip(before) {
            let seen = |found: &Earlier| found.seen.still(|path| self.is_there(&parts, path));
            let inputs = match &found {
                Some(_) => None,
                None => read.next(),
            };
            let part = match found.filter(seen) {
                Some(found) => Part::Earlier(found),
                None => {
                    let inputs = inputs.unwrap_or_else(|| reader.one(feature))?;
                    Part::Placed(self.placed(feature, &inputs, &parts)?)
                }
            };
            parts.push(part);
        }
        let mut files: Vec<LayerPath> = Vec::new();
        for part in &parts {
            match part {
                Part::Earlier(found) => files.extend(found.files(&self.prefix)),
                Part::Placed(placed) => {
                    let entries = placed.others.iter().chain([&placed.tree]);
                    let entries = entries.flat_map(Tree::iter);
                    let entries = entries.filter(|(_, entry)| !entry.is_directory());
                    files.extend(entries.map(|(path, _)| path.clone()));
                }
            }
        }
        let programs = Programs::among(&files);
        let mut below: Vec<Part> = Vec::new();
        for (feature, part) in self.recipe.features.iter().zip(parts) {
            // Making one anew does not change which programs there are.
            let part = match part {
                Part::Earlier(found) if !found.is_current(&programs) => {
                    Part::Placed(self.placed(feature, &reader.one(feature)?, &below)?)
                }
                part => part,
            };
            below.push(part);
        }
        let parts: Vec<(&Feature, &Part)> = self.recipe.features.iter().zip(&below).collect();
        let entries = |(_, part): &(&Feature, &Part)| match part {
            Part::Earlier(_) => 0,
            Part::Placed(placed) => placed.entries() as u64,
        };
        let layers = side_by_side(
            &parts,
            self.threads,
            entries,
            |(feature, part)| match part {
                Part::Placed(placed) => self.finished(feature, placed, &programs),
                Part::Earlier(found) => Ok(AssembledLayer {
                    feature: feature.name.get_ref().to_string(),
                    tree: found.tree.clone(),
                    edits: found.edits,
                    seen: found.seen.clone(),
                    is_earlier: true,
                }),
            },
        );
        layers.into_iter().collect()
    }

    fn reader(&self) -> Reader<'_> {
        Reader {
            lock: self.lock,
            platform: self.platform,
            cached: self.cached,
            spool: &self.spool,
            spool_dir: self.spool_dir,
            threads: self.threads,
        }
    }

    /// Whether a path below the prefix is in one of the layers below, or a wrapper of any.
    fn is_there(&self, below: &[Part], path: &LayerPath) -> bool {
        let mut wrappers = self.recipe.features.iter().flat_map(|of| &of.wrapper);
        below.iter().any(|part| match part {
            Part::Earlier(found) => found.has(path, &self.prefix),
            Part::Placed(placed) => {
                let mut trees = placed.others.iter().chain([&placed.tree]);
                trees.any(|tree| tree.get(path).is_some())
            }
        }) || wrappers.any(|of| path.to_string() == format!("/bin/{}", of.name))
    }

    /// A feature's packages, as they were read, and its files, below the prefix.
    fn placed(
        &self,
        feature: &Feature,
        inputs: &Inputs,
        below: &[Part],
    ) -> Result<Placed, AssembleError> {
        let name = feature.name.get_ref().to_string();
        let (lock, platform) = (self.lock, self.platform);
        let mut others = local(feature, &self.spool)?;
        let mut packages = Vec::new();
        let known = |kind: &str, (name, version): (String, String)| {
            let package = PackageContents {
                version,
                ..PackageContents::default()
            };
            (format!("{kind}:{name}"), package)
        };
        if let Some(table) = &feature.python {
            let built = python::environment(
                feature,
                table,
                lock,
                platform,
                &self.prefix,
                &inputs.distributions,
            )?;
            packages.extend(built.packages.into_iter().map(|one| known("python", one)));
            others.push(built.tree);
        }
        if let Some(table) = &feature.conda {
            let of = (lock, platform, &self.prefix);
            let built = conda::environment(feature, table, of, self.cached, &self.spool)?;
            packages.extend(built.packages.into_iter().map(|one| known("conda", one)));
            others.push(built.tree);
        }
        let from_elsewhere = elsewhere::trees(feature, lock, platform, self.cached, &self.spool)?;
        others.extend(from_elsewhere.trees);
        let found = from_elsewhere.packages.into_iter();
        packages.extend(found.map(|one| known("npm", one)));
        for link in feature.link.iter().filter(|link| link.replace) {
            others = without(others, &name, &link.at)?;
        }
        let asked = RefCell::new(BTreeMap::new());
        let is_there = |path: &LayerPath| {
            let is_there = self.is_there(below, path);
            let text = String::from_utf8_lossy(path.as_bytes()).into_owned();
            asked.borrow_mut().insert(text, is_there);
            is_there || others.iter().any(|tree| tree.get(path).is_some())
        };
        let mut placed = place(feature, self.machine, &inputs.debs, is_there)?;
        if let Some(npm) = &feature.npm {
            placed.as_is = elsewhere::as_is(&name, npm, &others)?;
        }
        placed.others = others;
        placed.contents.packages.extend(packages);
        placed.asked = asked.into_inner();
        Ok(placed)
    }

    /// A feature's tree as it will stand in an image.
    fn finished(
        &self,
        feature: &Feature,
        placed: &Placed,
        programs: &Programs,
    ) -> Result<AssembledLayer, AssembleError> {
        let prefix = &self.prefix;
        let programs = programs.unasked();
        let name = feature.name.get_ref().to_string();
        let mut keep = |bytes: Vec<u8>| {
            let size = bytes.len() as u64;
            self.spool
                .take(bytes.as_slice(), size)
                .map_err(std::io::Error::other)
        };
        let mut moved = |tree: &Tree, origin| {
            let relocation = Relocation {
                machine: self.machine,
                prefix,
                programs: &programs,
                origin,
            };
            relocate(tree, &relocation, &placed.as_is, &mut keep).map_err(|source| {
                AssembleError::Relocate {
                    feature: name.clone(),
                    source: Box::new(source),
                }
            })
        };
        let debian = moved(&placed.tree, Origin::Debian)?;
        let (mut tree, mut edits) = (debian.tree, debian.edits.len());
        for other in &placed.others {
            let other = moved(other, Origin::Other)?;
            for (path, entry) in &other.tree {
                if entry.is_directory() && tree.get(path).is_some_and(Entry::is_directory) {
                    continue;
                }
                insert(&name, &mut tree, path.clone(), entry.clone())?;
            }
            edits += other.edits.len();
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
        Ok(AssembledLayer {
            tree: tree.moved_below(prefix.path(), 0).map_err(fail)?,
            feature: name,
            edits,
            seen: Seen {
                paths: placed.asked.clone(),
                programs: programs.asked(),
            },
            is_earlier: false,
        })
    }
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
    let drop = super::sources::globs(feature, drop.unwrap_or_default())?;
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
    let fail = |source| AssembleError::Placement {
        feature: name.clone(),
        source: Box::new(source),
    };
    let mut placer = Placer::new(&layout);
    for deb in debs {
        placer.add(&deb.name, &deb.tree).map_err(fail)?;
    }
    let done = placer.finish(elsewhere).map_err(fail)?;
    let mut owners = done.owners;
    let mut placed = Placed {
        tree: done.tree,
        contents: Contents::new(&name),
        others: Vec::new(),
        as_is: BTreeSet::new(),
        asked: BTreeMap::new(),
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
            owners.insert(at, deb.name.clone());
        }
        let package = PackageContents {
            version: deb.version.clone(),
            ..PackageContents::default()
        };
        placed.contents.packages.insert(deb.name.clone(), package);
    }
    for (path, owner) in &owners {
        if let Some(package) = placed.contents.packages.get_mut(owner) {
            let path = path.to_string();
            let below = path.trim_start_matches('/').to_owned();
            package.files.insert(below);
        }
    }
    Ok(placed)
}
