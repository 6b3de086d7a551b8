//! What a package says of itself, in the directory `info` of its archive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::str::FromStr as _;

use serde::Deserialize;

use crate::entry_point::EntryPoint;
use crate::placeholder::FileMode;
use crate::record::{Noarch, Record};
use ohoci_layer::{Entry, Kind, LayerPath, Tree};

/// Largest document of a package that is read.
const MAX_DOCUMENT: u64 = 256 << 20;

/// The placeholder of packages that do not say theirs.
const OLD_PLACEHOLDER: &str = "/opt/anaconda1anaconda2anaconda3";

/// A package's files, and what it says of them.
#[derive(Debug)]
pub struct Package {
    /// What it says of itself.
    pub index: Record,
    /// The files that are to be linked, in the order in which it names them.
    pub paths: Vec<PathEntry>,
    /// The programs of a Python package that is the same everywhere.
    pub entry_points: Vec<EntryPoint>,
    /// Everything that is in its archive.
    pub tree: Tree,
}

/// A file that is to be linked.
#[derive(Clone, Debug)]
pub struct PathEntry {
    /// Where it is in the package.
    pub path: LayerPath,
    /// What it is.
    pub kind: PathKind,
    /// The placeholder in it, and how it stands there.
    pub placeholder: Option<(String, FileMode)>,
    /// The SHA-256 digest of its content, in hexadecimal.
    pub sha256: Option<String>,
}

/// The kinds of things that are linked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathKind {
    /// A file.
    #[default]
    Hardlink,
    /// A symbolic link.
    Softlink,
    /// An empty directory.
    Directory,
}

/// Why the content of an archive is no conda package.
#[derive(Debug, thiserror::Error)]
#[error("{document}: {reason}")]
pub struct PackageError {
    document: String,
    reason: String,
}

#[derive(Deserialize)]
struct PathsJson {
    paths: Vec<PathJson>,
}

#[derive(Deserialize)]
struct PathJson {
    #[serde(rename = "_path")]
    path: String,
    #[serde(default)]
    path_type: PathKind,
    #[serde(default)]
    prefix_placeholder: Option<String>,
    #[serde(default)]
    file_mode: Option<FileMode>,
    #[serde(default)]
    sha256: Option<String>,
}

#[derive(Deserialize)]
struct LinkJson {
    noarch: NoarchJson,
}

#[derive(Deserialize)]
struct NoarchJson {
    #[serde(default)]
    entry_points: Vec<String>,
}

impl Package {
    /// Reads what an archive holds.
    ///
    /// # Errors
    /// When a document is missing, cannot be read, or names a file that is not there.
    pub fn read(mut tree: Tree) -> Result<Self, PackageError> {
        tree.resolve_links().map_err(|error| PackageError {
            document: "its files".to_owned(),
            reason: error.to_string(),
        })?;
        let index: Record = json(&tree, "info/index.json")?
            .ok_or_else(|| fail("info/index.json", "it is not there"))?;
        let paths = match json::<PathsJson>(&tree, "info/paths.json")? {
            Some(document) => of_document(document)?,
            None => of_lists(&tree)?,
        };
        for entry in &paths {
            if tree.get(&entry.path).is_none() && entry.kind != PathKind::Directory {
                let why = format!("{} is named, but is not in the package", entry.path);
                return Err(fail("info/paths.json", why));
            }
        }
        let mut entry_points = Vec::new();
        if index.noarch == Some(Noarch::Python)
            && let Some(link) = json::<LinkJson>(&tree, "info/link.json")?
        {
            for text in link.noarch.entry_points {
                let entry = EntryPoint::from_str(&text)
                    .map_err(|error| fail("info/link.json", error.to_string()))?;
                entry_points.push(entry);
            }
        }
        Ok(Self {
            index,
            paths,
            entry_points,
            tree,
        })
    }

    /// What is at a path; of a hard link, the file that it is a name of.
    pub(crate) fn holder(&self, path: &LayerPath) -> Option<&Entry> {
        let entry = self.tree.get(path)?;
        match &entry.kind {
            Kind::Hardlink(target) => self.tree.get(target),
            _ => Some(entry),
        }
    }
}

fn of_document(document: PathsJson) -> Result<Vec<PathEntry>, PackageError> {
    let mut seen = BTreeSet::new();
    let entries = document.paths.into_iter().map(|entry| {
        let path = path(&entry.path, "info/paths.json")?;
        if !seen.insert(path.clone()) {
            return Err(fail("info/paths.json", format!("{path} is named twice")));
        }
        let mode = entry.file_mode.unwrap_or(FileMode::Text);
        Ok(PathEntry {
            path,
            kind: entry.path_type,
            placeholder: entry.prefix_placeholder.map(|text| (text, mode)),
            sha256: entry.sha256,
        })
    });
    entries.collect()
}

/// What packages of old have: lists of lines.
fn of_lists(tree: &Tree) -> Result<Vec<PathEntry>, PackageError> {
    let lines = |name: &str| -> Result<Vec<String>, PackageError> {
        let text = read(tree, name)?.unwrap_or_default();
        let text = String::from_utf8(text).map_err(|error| fail(name, error.to_string()))?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(lines.map(str::to_owned).collect())
    };
    let mut prefixes = BTreeMap::new();
    for line in lines("info/has_prefix")? {
        let words: Vec<&str> = line.split_whitespace().collect();
        let unquoted = |word: &str| word.trim_matches(['"', '\'']).to_owned();
        let (placeholder, mode, name) = match words.as_slice() {
            [name] => (OLD_PLACEHOLDER.to_owned(), FileMode::Text, *name),
            [placeholder, mode, name] => {
                let mode = match *mode {
                    "text" => FileMode::Text,
                    "binary" => FileMode::Binary,
                    _ => {
                        return Err(fail(
                            "info/has_prefix",
                            format!("{line:?} is no line of it"),
                        ));
                    }
                };
                (unquoted(placeholder), mode, *name)
            }
            _ => {
                return Err(fail(
                    "info/has_prefix",
                    format!("{line:?} is no line of it"),
                ));
            }
        };
        prefixes.insert(unquoted(name), (placeholder, mode));
    }
    let files = lines("info/files")?.into_iter().collect::<BTreeSet<_>>();
    let entries = files.into_iter().map(|name| {
        let path = path(&name, "info/files")?;
        let is_link = tree
            .get(&path)
            .is_some_and(|entry| matches!(entry.kind, Kind::Symlink(_)));
        Ok(PathEntry {
            path,
            kind: if is_link {
                PathKind::Softlink
            } else {
                PathKind::Hardlink
            },
            placeholder: prefixes.get(&name).cloned(),
            sha256: None,
        })
    });
    entries.collect()
}

fn path(text: &str, document: &str) -> Result<LayerPath, PackageError> {
    let path =
        LayerPath::parse(text.as_bytes()).map_err(|error| fail(document, error.to_string()))?;
    if text.starts_with('/') || path.is_root() {
        return Err(fail(document, format!("{text:?} is not below the prefix")));
    }
    Ok(path)
}

fn fail(document: &str, reason: impl Into<String>) -> PackageError {
    PackageError {
        document: document.to_owned(),
        reason: reason.into(),
    }
}

fn json<T: serde::de::DeserializeOwned>(
    tree: &Tree,
    name: &str,
) -> Result<Option<T>, PackageError> {
    read(tree, name)?
        .map(|content| serde_json::from_slice(&content))
        .transpose()
        .map_err(|error| fail(name, error.to_string()))
}

fn read(tree: &Tree, name: &str) -> Result<Option<Vec<u8>>, PackageError> {
    let at = path(name, name)?;
    let Some(entry) = tree.get(&at) else {
        return Ok(None);
    };
    let content = match &entry.kind {
        Kind::File(content) => content,
        Kind::Hardlink(target) => match tree.get(target).map(|entry| &entry.kind) {
            Some(Kind::File(content)) => content,
            _ => return Err(fail(name, "it is no file")),
        },
        _ => return Err(fail(name, "it is no file")),
    };
    if content.size() > MAX_DOCUMENT {
        return Err(fail(name, format!("it has more than {MAX_DOCUMENT} bytes")));
    }
    let mut bytes = Vec::new();
    content
        .open()
        .and_then(|mut content| content.read_to_end(&mut bytes))
        .map_err(|error| fail(name, error.to_string()))?;
    Ok(Some(bytes))
}
