//! What a feature takes from this machine: directories, archives, wrappers.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::AssembleError;
use crate::archive::source::{from_archive, from_directory};
use crate::archive::{Selection, Spool};
use crate::place::Glob;
use crate::recipe::{Feature, Pattern};
use ohoci_image::Digest;
use ohoci_layer::{Content, Entry, Kind, LayerPath, Rules, Tree};

/// Most bytes that an archive may have when decompressed.
pub(super) const MAX_ARCHIVE: u64 = 16 << 30;

/// The trees of a feature's directories and local archives, below the prefix.
pub(super) fn local(feature: &Feature, spool: &Spool) -> Result<Vec<Tree>, AssembleError> {
    let name = || feature.name.get_ref().to_string();
    let to = |text: &str| -> Result<LayerPath, AssembleError> {
        LayerPath::parse(text.as_bytes()).map_err(|source| AssembleError::Path {
            feature: name(),
            path: text.to_owned(),
            source,
        })
    };
    let mut trees = Vec::new();
    for directory in &feature.directory {
        let selection = Selection {
            to: to(&directory.to)?,
            ..Selection::default()
        };
        let (tree, _) = from_directory(&directory.path, &selection).map_err(|source| {
            AssembleError::Source {
                feature: name(),
                path: directory.path.display().to_string(),
                source,
            }
        })?;
        trees.push(tree);
    }
    for archive in &feature.archive {
        let Some(path) = &archive.path else { continue };
        let fail = |source: std::io::Error| AssembleError::Io {
            what: format!("feature {}: {}", name(), path.display()),
            source,
        };
        let mut file = ohoci_files::regular::open(path).map_err(fail)?;
        let found = digest_of(&mut file, &archive.digest).map_err(fail)?;
        if found != archive.digest {
            return Err(fail(std::io::Error::other(format!(
                "it hashes to {found}, not to {} as the recipe says",
                archive.digest
            ))));
        }
        let selection = Selection {
            strip: usize::try_from(archive.strip).unwrap_or(usize::MAX),
            to: to(&archive.to)?,
            ..Selection::default()
        };
        let tree = from_archive(file, &selection, MAX_ARCHIVE, spool).map_err(|source| {
            AssembleError::Source {
                feature: name(),
                path: path.display().to_string(),
                source,
            }
        })?;
        trees.push(tree);
    }
    Ok(trees)
}

/// All that lies on this machine of a feature: its directories, local archives and wrappers.
pub(crate) fn local_inputs(feature: &Feature, spool: &Spool) -> Result<Vec<Tree>, AssembleError> {
    let mut trees = local(feature, spool)?;
    let mut wrappers = Tree::new();
    add_wrappers(feature, &mut wrappers)?;
    trees.push(wrappers);
    Ok(trees)
}

/// A recipe's patterns as they are looked for in trees.
pub(super) fn globs(feature: &Feature, patterns: &[Pattern]) -> Result<Vec<Glob>, AssembleError> {
    let globs = patterns.iter().map(|pattern| pattern.as_str().parse());
    globs
        .collect::<Result<_, _>>()
        .map_err(|source| AssembleError::Pattern {
            feature: feature.name.get_ref().to_string(),
            source,
        })
}

/// The digest of a file's content, which is at its start again then.
pub(crate) fn digest_of(file: &mut fs_err::File, like: &Digest) -> std::io::Result<Digest> {
    use std::io::{Read as _, Seek as _};
    let mut hasher = ohoci_image::digest::Hasher::new(like.algorithm());
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
    file.rewind()?;
    Ok(hasher.finish())
}

/// Adds a feature's wrappers to the prefix's `bin`.
pub(super) fn add_wrappers(feature: &Feature, tree: &mut Tree) -> Result<(), AssembleError> {
    let name = || feature.name.get_ref().to_string();
    for wrapper in &feature.wrapper {
        let at = format!("bin/{}", wrapper.name);
        let at = LayerPath::parse(at.as_bytes()).map_err(|source| AssembleError::Path {
            feature: name(),
            path: wrapper.name.clone(),
            source,
        })?;
        let content =
            ohoci_files::regular::read(&wrapper.from).map_err(|source| AssembleError::Io {
                what: format!("feature {}: wrapper {}", name(), wrapper.name),
                source,
            })?;
        let mode = Permissions::from_mode(0o755).mode();
        let entry = Entry::new(Kind::File(Content::Memory(content.into())), mode);
        insert(&name(), tree, at, entry)?;
    }
    Ok(())
}

/// Puts something where nothing may stand yet, with the directories above it.
pub(super) fn insert(
    feature: &str,
    tree: &mut Tree,
    at: LayerPath,
    entry: Entry,
) -> Result<(), AssembleError> {
    let above: Vec<LayerPath> = at
        .ancestors()
        .filter_map(|above| LayerPath::parse(above).ok())
        .filter(|above| tree.get(above).is_none())
        .collect();
    let fail = |source| AssembleError::Tree {
        feature: feature.to_owned(),
        source,
    };
    for directory in above {
        tree.insert(directory, Entry::new(Kind::Directory, 0o755), Rules::Strict)
            .map_err(fail)?;
    }
    tree.insert(at, entry, Rules::Strict).map_err(fail)
}
