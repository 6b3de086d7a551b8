//! Packages linked into a prefix: their files where they belong, with that prefix in them.

mod note;
mod order;
mod placed;
mod python;
mod replaced;

use crate::package::Package;
use crate::prefix_record::{LinkedPath, document};
use crate::record::{Located, Record};
use ohoci_layer::{Content, Entry, Kind, LayerPath, Rules, Tree};
use placed::both_kinds;

pub use note::NoteError;
pub use order::dependencies_first;
pub use placed::{Placed, place};
pub use python::Python;

/// A package to link.
#[derive(Debug)]
pub struct Linkable {
    /// What its channel says of it.
    pub located: Located,
    /// What it consists of.
    pub package: Package,
}

/// A prefix with packages in it.
#[derive(Debug, Default)]
pub struct Linked {
    /// Everything that is below the prefix.
    pub tree: Tree,
    /// Programs that packages want to have run when they are linked. Nothing has run.
    pub scripts: Vec<Script>,
    /// Entries for menus of a desktop, which nothing was made of: the package, and the file.
    pub menus: Vec<(String, LayerPath)>,
    /// Files that more than one package has: the one whose file is there, the other, and the file.
    pub overwritten: Vec<(String, String, LayerPath)>,
}

/// A program that a package wants to have run once its files are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The number of its build.
    pub build_number: u64,
    /// The program, below the prefix.
    pub path: LayerPath,
}

/// Why packages cannot be linked.
#[derive(Debug, thiserror::Error)]
#[error("{package}: {reason}")]
pub struct LinkError {
    package: String,
    reason: String,
}

impl LinkError {
    fn of(record: &Record, reason: String) -> Self {
        Self {
            package: record.to_string(),
            reason,
        }
    }
}

/// Links packages into the prefix that is called `prefix`, an absolute path. What depends on others comes
/// after them, and of two packages with the same file the later one's is there.
///
/// Modules of Python are not compiled, and no script runs.
///
/// # Errors
/// A package that cannot be linked there.
pub fn link(packages: &[Linkable], prefix: &str) -> Result<Linked, LinkError> {
    let records = packages.iter().map(|linkable| &linkable.located.record);
    let python = Python::among(records)?;
    let placed = packages.iter().map(|Linkable { located, package }| {
        let placed = place(&located.record, package, prefix, python.as_ref())?;
        Ok((located.clone(), placed))
    });
    join(placed.collect::<Result<_, LinkError>>()?)
}

/// Puts packages whose files are placed already into one prefix, as [`link()`] does.
///
/// # Errors
/// Packages that do not fit together, and one whose archive holds another.
pub fn join(packages: Vec<(Located, Placed)>) -> Result<Linked, LinkError> {
    let (located, placed): (Vec<Located>, Vec<Placed>) = packages.into_iter().unzip();
    let records: Vec<&Record> = located.iter().map(|located| &located.record).collect();
    let order = dependencies_first(&records);
    let mut placed: Vec<Option<Placed>> = placed.into_iter().map(Some).collect();
    let mut prefix = Prefix::default();
    for at in order {
        let one = placed.get_mut(at).and_then(Option::take);
        if let (Some(located), Some(placed)) = (located.get(at), one) {
            let added = prefix.add(located, placed);
            added.map_err(|reason| LinkError::of(&located.record, reason))?;
        }
    }
    // What tells conda that this is an environment.
    prefix
        .write("conda-meta/history", Vec::new())
        .map_err(|reason| LinkError {
            package: "conda-meta".to_owned(),
            reason,
        })?;
    Ok(prefix.linked)
}

/// A prefix with the packages so far.
#[derive(Default)]
struct Prefix {
    linked: Linked,
    /// The names of those packages, and their files in the order of paths.
    packages: Vec<(String, Vec<LinkedPath>)>,
}

impl Prefix {
    fn add(&mut self, located: &Located, placed: Placed) -> Result<(), String> {
        let record = &located.record;
        let [name, version, build] = &placed.identity;
        if (name, version, build) != (&record.name, &record.version, &record.build) {
            return Err(format!("its archive holds {name}={version}={build}"));
        }
        for (path, entry) in placed.entries {
            self.directories_to(&path)?;
            self.put(&record.name, path, entry)?;
        }
        for path in placed.twice {
            let both = [(); 2].map(|()| record.name.clone());
            let [name, other] = both;
            self.linked.overwritten.push((name, other, path));
        }
        self.note_scripts(record, &placed.paths)?;
        let path = format!("conda-meta/{}.json", record.stem());
        self.write(&path, document(located, &placed.paths))?;
        self.packages.push((record.name.clone(), placed.paths));
        Ok(())
    }

    /// The scripts that conda would run, and the menus that it would make.
    fn note_scripts(&mut self, record: &Record, paths: &[LinkedPath]) -> Result<(), String> {
        let names = ["pre-link", "post-link"].map(|kind| format!("bin/.{}-{kind}.sh", record.name));
        for linked in paths {
            let path =
                || LayerPath::parse(linked.path.as_bytes()).map_err(|error| error.to_string());
            if names.contains(&linked.path) {
                self.linked.scripts.push(Script {
                    package: record.name.clone(),
                    version: record.version.clone(),
                    build_number: record.build_number,
                    path: path()?,
                });
            } else if linked.path.starts_with("Menu/") && linked.path.ends_with(".json") {
                self.linked.menus.push((record.name.clone(), path()?));
            }
        }
        Ok(())
    }

    /// The package that was put there last with a file of this path.
    fn owner(&self, path: &LayerPath) -> Option<&str> {
        let has = |paths: &[LinkedPath]| {
            let found =
                paths.binary_search_by(|linked| linked.path.as_bytes().cmp(path.as_bytes()));
            found.is_ok()
        };
        let mut packages = self.packages.iter().rev();
        let owner = packages.find(|(_, paths)| has(paths));
        owner.map(|(name, _)| name.as_str())
    }

    fn write(&mut self, path: &str, content: Vec<u8>) -> Result<(), String> {
        let path = LayerPath::parse(path.as_bytes()).map_err(|error| error.to_string())?;
        self.directories_to(&path)?;
        let content = Kind::File(Content::Memory(content.into()));
        self.put("conda-meta", path, Entry::new(content, 0o644))
    }

    fn directories_to(&mut self, path: &LayerPath) -> Result<(), String> {
        // What is there has all that is above it.
        let is_there = |above: LayerPath| self.linked.tree.get(&above).is_some();
        if path.parent().is_some_and(is_there) {
            return Ok(());
        }
        let ancestors = path.ancestors().map(LayerPath::parse);
        let ancestors: Vec<LayerPath> = ancestors
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        for above in ancestors {
            if self.linked.tree.get(&above).is_none() {
                self.put("", above, Entry::new(Kind::Directory, 0o755))?;
            }
        }
        Ok(())
    }

    fn put(&mut self, name: &str, path: LayerPath, entry: Entry) -> Result<(), String> {
        // What another package has there is replaced, but never a directory by a file.
        let mut rules = Rules::Strict;
        if let Some(known) = self.linked.tree.get(&path) {
            if known.is_directory() != entry.is_directory() {
                return Err(both_kinds(&path));
            }
            if !entry.is_directory()
                && let Some(other) = self.owner(&path)
            {
                let told = (name.to_owned(), other.to_owned(), path.clone());
                self.linked.overwritten.push(told);
            }
            rules = Rules::Foreign;
        }
        self.linked
            .tree
            .insert(path, entry, rules)
            .map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
