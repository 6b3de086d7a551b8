//! One package's files as they stand in a prefix: with that prefix in them, and where they belong.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::replaced::{Replaced, all_of};
use super::{LinkError, Python};
use crate::package::{Package, PathEntry, PathKind};
use crate::prefix_record::{LinkedKind, LinkedPath};
use crate::record::{Noarch, Record};
use ohoci_layer::{Content, Entry, Kind, LayerPath};

/// A package's files as they stand in a prefix, whatever else is there. The same for every environment whose
/// prefix has this name and, for modules of Python, the same [`Python`].
#[derive(Clone, Debug)]
pub struct Placed {
    /// Name, version and build, as its archive says them.
    pub(super) identity: [String; 3],
    /// What its record says of each file, in the order of paths.
    pub(super) paths: Vec<LinkedPath>,
    /// What it names, in the order of paths, without the directories that are only implied.
    pub(super) entries: Vec<(LayerPath, Entry)>,
    /// Files of which it has two that belong in the same place.
    pub(super) twice: Vec<LayerPath>,
}

/// Places a package's files for the prefix that is called `prefix`, an absolute path. `python` is that of the
/// environment, if it has one. `record` is what messages call the package.
///
/// # Errors
/// A package that cannot be linked there.
pub fn place(
    record: &Record,
    package: &Package,
    prefix: &str,
    python: Option<&Python>,
) -> Result<Placed, LinkError> {
    placed(package, prefix, python).map_err(|reason| LinkError::of(record, reason))
}

impl Placed {
    /// What it names, in the order of paths, without the directories that are only implied.
    #[must_use]
    pub fn entries(&self) -> &[(LayerPath, Entry)] {
        &self.entries
    }
}

fn placed(package: &Package, prefix: &str, python: Option<&Python>) -> Result<Placed, String> {
    let is_python = package.index.noarch == Some(Noarch::Python);
    let python = match (is_python, python) {
        (false, _) => None,
        (true, Some(python)) => Some(python),
        (true, None) => {
            return Err("it needs Python, which is not among the packages".to_owned());
        }
    };
    let mut files = Files::default();
    let mut replaced = all_of(package, prefix);
    for (number, entry) in package.paths.iter().enumerate() {
        let to = match python {
            Some(python) => python.place(&entry.path)?,
            None => entry.path.clone(),
        };
        let replaced = replaced.remove(&number).transpose()?;
        let (linked, made) = placed_entry(package, (entry, replaced), &to)?;
        files.add(linked, to, made)?;
    }
    if let Some(python) = python {
        for entry_point in &package.entry_points {
            let program = format!("{prefix}/{}", python.program());
            let script = entry_point.script(&program).into_bytes();
            let path = format!("bin/{}", entry_point.command);
            let to = LayerPath::parse(path.as_bytes()).map_err(|error| error.to_string())?;
            let linked = LinkedPath {
                path,
                path_type: LinkedKind::UnixPythonEntryPoint,
                sha256: Some(hex::encode(Sha256::digest(&script))),
                sha256_in_prefix: None,
                size_in_bytes: Some(script.len() as u64),
                file_mode: None,
                prefix_placeholder: None,
            };
            let content = Kind::File(Content::Memory(script.into()));
            files.add(linked, to, Entry::new(content, 0o755))?;
        }
    }
    files.paths.sort_by(|a, b| a.path.cmp(&b.path));
    let Record {
        name,
        version,
        build,
        ..
    } = &package.index;
    Ok(Placed {
        identity: [name, version, build].map(String::clone),
        paths: files.paths,
        entries: files.entries.into_iter().collect(),
        twice: files.twice,
    })
}

/// A package's files so far.
#[derive(Default)]
struct Files {
    paths: Vec<LinkedPath>,
    entries: BTreeMap<LayerPath, Entry>,
    twice: Vec<LayerPath>,
}

impl Files {
    fn add(&mut self, linked: LinkedPath, to: LayerPath, entry: Entry) -> Result<(), String> {
        self.paths.push(linked);
        if let Some(known) = self.entries.get(&to) {
            if known.is_directory() != entry.is_directory() {
                return Err(both_kinds(&to));
            }
            if !entry.is_directory() {
                self.twice.push(to.clone());
            }
        }
        self.entries.insert(to, entry);
        Ok(())
    }
}

/// Why nothing is both.
pub(super) fn both_kinds(path: &LayerPath) -> String {
    format!("{path} is a directory in one package and none in another")
}

fn placed_entry(
    package: &Package,
    (entry, replaced): (&PathEntry, Option<Replaced>),
    to: &LayerPath,
) -> Result<(LinkedPath, Entry), String> {
    let mut linked = LinkedPath {
        path: text(to)?,
        path_type: LinkedKind::Hardlink,
        sha256: entry.sha256.clone(),
        sha256_in_prefix: None,
        size_in_bytes: None,
        file_mode: None,
        prefix_placeholder: None,
    };
    if entry.kind == PathKind::Directory {
        linked.path_type = LinkedKind::Directory;
        let known = package.tree.get(&entry.path);
        let mode = known.map_or(0o755, |entry| entry.mode);
        return Ok((linked, Entry::new(Kind::Directory, mode)));
    }
    let source = package
        .holder(&entry.path)
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
    Ok((linked, made))
}

fn text(path: &LayerPath) -> Result<String, String> {
    let text = std::str::from_utf8(path.as_bytes()).map_err(|_| format!("{path} is no UTF-8"))?;
    Ok(text.to_owned())
}
