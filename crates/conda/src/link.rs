//! Packages linked into a prefix: their files where they belong, with that prefix in them.

mod order;
mod python;
mod replaced;

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::package::{Package, PathEntry, PathKind};
use crate::prefix_record::{LinkedKind, LinkedPath, document};
use crate::record::{Located, Noarch};
use ohoci_layer::{Content, Entry, Kind, LayerPath, Rules, Tree};
use python::Python;
use replaced::{AllReplaced, Replaced};

pub use order::dependencies_first;

/// A package to link.
#[derive(Debug)]
pub struct Linkable {
    /// What its channel says of it.
    pub located: Located,
    /// What it consists of.
    pub package: Package,
}

/// A prefix with packages in it.
#[derive(Debug)]
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

/// Links packages into the prefix that is called `prefix`, an absolute path. What depends on others comes
/// after them, and of two packages with the same file the later one's is there.
///
/// Modules of Python are not compiled, and no script runs.
///
/// # Errors
/// A package that cannot be linked there.
pub fn link(packages: &[Linkable], prefix: &str) -> Result<Linked, LinkError> {
    let python = packages
        .iter()
        .find(|linkable| linkable.located.record.name == "python")
        .map(|linkable| Python::of(&linkable.located.record))
        .transpose()
        .map_err(|reason| LinkError {
            package: "python".to_owned(),
            reason,
        })?;
    let mut linker = Linker {
        prefix,
        python,
        linked: Linked {
            tree: Tree::new(),
            scripts: Vec::new(),
            menus: Vec::new(),
            overwritten: Vec::new(),
        },
        owners: BTreeMap::new(),
        replaced: replaced::all(packages, prefix),
    };
    let records: Vec<_> = packages
        .iter()
        .map(|linkable| &linkable.located.record)
        .collect();
    for at in dependencies_first(&records) {
        if let Some(linkable) = packages.get(at) {
            linker.link(at, linkable).map_err(|reason| LinkError {
                package: linkable.located.record.to_string(),
                reason,
            })?;
        }
    }
    // What tells conda that this is an environment.
    linker
        .write("conda-meta/history", Vec::new(), 0o644)
        .map_err(|reason| LinkError {
            package: "conda-meta".to_owned(),
            reason,
        })?;
    Ok(linker.linked)
}

struct Linker<'a> {
    prefix: &'a str,
    python: Option<Python>,
    linked: Linked,
    /// The package that each file is of.
    owners: BTreeMap<LayerPath, String>,
    /// What became of files that hold a placeholder.
    replaced: AllReplaced,
}

impl Linker<'_> {
    fn link(&mut self, at: usize, linkable: &Linkable) -> Result<(), String> {
        let Linkable { located, package } = linkable;
        let record = &located.record;
        let said = &package.index;
        if (&said.name, &said.version, &said.build)
            != (&record.name, &record.version, &record.build)
        {
            return Err(format!("its archive holds {said}"));
        }
        let is_python = package.index.noarch == Some(Noarch::Python);
        let python = match (is_python, &self.python) {
            (false, _) => None,
            (true, Some(python)) => Some(python.clone()),
            (true, None) => {
                return Err("it needs Python, which is not among the packages".to_owned());
            }
        };
        let mut paths = Vec::new();
        for (number, entry) in package.paths.iter().enumerate() {
            let to = match &python {
                Some(python) => python.place(&entry.path)?,
                None => entry.path.clone(),
            };
            let replaced = self.replaced.remove(&(at, number)).transpose()?;
            paths.push(self.entry(&record.name, package, (entry, replaced), to)?);
        }
        if let Some(python) = &python {
            for entry_point in &package.entry_points {
                let program = format!("{}/{}", self.prefix, python.program());
                let script = entry_point.script(&program).into_bytes();
                let path = format!("bin/{}", entry_point.command);
                paths.push(LinkedPath {
                    path: path.clone(),
                    path_type: LinkedKind::UnixPythonEntryPoint,
                    sha256: Some(hex::encode(Sha256::digest(&script))),
                    sha256_in_prefix: None,
                    size_in_bytes: Some(script.len() as u64),
                    file_mode: None,
                    prefix_placeholder: None,
                });
                let at = LayerPath::parse(path.as_bytes()).map_err(|error| error.to_string())?;
                self.own(&record.name, &at);
                self.write(&path, script, 0o755)?;
            }
        }
        paths.sort_by(|a, b| a.path.cmp(&b.path));
        self.note_scripts(linkable, &paths)?;
        let path = format!("conda-meta/{}.json", record.stem());
        self.write(&path, document(located, &paths), 0o644)
    }

    fn entry(
        &mut self,
        name: &str,
        package: &Package,
        (entry, replaced): (&PathEntry, Option<Replaced>),
        to: LayerPath,
    ) -> Result<LinkedPath, String> {
        let mut linked = LinkedPath {
            path: text(&to)?,
            path_type: LinkedKind::Hardlink,
            sha256: entry.sha256.clone(),
            sha256_in_prefix: None,
            size_in_bytes: None,
            file_mode: None,
            prefix_placeholder: None,
        };
        if entry.kind == PathKind::Directory {
            linked.path_type = LinkedKind::Directory;
            let mode = package
                .tree
                .get(&entry.path)
                .map_or(0o755, |entry| entry.mode);
            self.directories_to(&to)?;
            self.put(to, Entry::new(Kind::Directory, mode))?;
            return Ok(linked);
        }
        let source = holder(package, &entry.path)
            .ok_or_else(|| format!("{} is not in its archive", entry.path))?;
        let made = match &source.kind {
            Kind::Symlink(target) => {
                linked.path_type = LinkedKind::Softlink;
                // Other installers record what the link says, too.
                linked.sha256_in_prefix = Some(hex::encode(Sha256::digest(target)));
                Entry::new(Kind::Symlink(target.clone()), 0o777)
            }
            Kind::File(content) => {
                let content = match (&entry.placeholder, replaced) {
                    (Some((placeholder, mode)), Some(replaced)) => {
                        linked.file_mode = Some(*mode);
                        linked.prefix_placeholder = Some(placeholder.clone());
                        linked.sha256_in_prefix = Some(replaced.sha256);
                        replaced.content
                    }
                    (Some(_), None) => {
                        return Err(format!("{}: its placeholder is still there", entry.path));
                    }
                    (None, _) => content.clone(),
                };
                linked.size_in_bytes = Some(content.size());
                // Nothing of a package is another user's or runs with other rights.
                Entry::new(Kind::File(content), source.mode & 0o755)
            }
            other => return Err(format!("{} is a {}", entry.path, other.noun())),
        };
        let made = Entry {
            mtime: source.mtime,
            ..made
        };
        self.directories_to(&to)?;
        self.own(name, &to);
        self.put(to, made)?;
        Ok(linked)
    }

    /// The scripts that conda would run, and the menus that it would make.
    fn note_scripts(&mut self, linkable: &Linkable, paths: &[LinkedPath]) -> Result<(), String> {
        let record = &linkable.located.record;
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

    fn own(&mut self, name: &str, path: &LayerPath) {
        if let Some(other) = self.owners.insert(path.clone(), name.to_owned()) {
            let file = path.clone();
            self.linked.overwritten.push((name.to_owned(), other, file));
        }
    }

    fn write(&mut self, path: &str, content: Vec<u8>, mode: u32) -> Result<(), String> {
        let path = LayerPath::parse(path.as_bytes()).map_err(|error| error.to_string())?;
        self.directories_to(&path)?;
        let content = Kind::File(Content::Memory(content.into()));
        self.put(path, Entry::new(content, mode))
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
                self.put(above, Entry::new(Kind::Directory, 0o755))?;
            }
        }
        Ok(())
    }

    fn put(&mut self, path: LayerPath, entry: Entry) -> Result<(), String> {
        // What another package has there is replaced, but never a directory by a file.
        let is_directory = |entry: &Entry| entry.is_directory();
        let known = self.linked.tree.get(&path);
        if known.is_some_and(|known| is_directory(known) != is_directory(&entry)) {
            return Err(format!(
                "{path} is a directory in one package and none in another"
            ));
        }
        let rules = if known.is_some() {
            Rules::Foreign
        } else {
            Rules::Strict
        };
        self.linked
            .tree
            .insert(path, entry, rules)
            .map_err(|error| error.to_string())
    }
}

/// What is at a path of a package; of a hard link, the file that it is a name of.
fn holder<'a>(package: &'a Package, path: &LayerPath) -> Option<&'a Entry> {
    let entry = package.tree.get(path)?;
    match &entry.kind {
        Kind::Hardlink(target) => package.tree.get(target),
        _ => Some(entry),
    }
}

fn text(path: &LayerPath) -> Result<String, String> {
    let text = std::str::from_utf8(path.as_bytes()).map_err(|_| format!("{path} is no UTF-8"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
