//! What is noted of a package whose files are placed and kept: all but their contents.

use serde::{Deserialize, Serialize};

use super::Placed;
use crate::prefix_record::LinkedPath;
use ohoci_layer::{Content, Entry, Kind, LayerPath};

/// A note that does not tell what was placed.
#[derive(Debug, thiserror::Error)]
#[error("what is noted of its files is damaged: {0}")]
pub struct NoteError(String);

#[derive(Serialize, Deserialize)]
struct Note {
    identity: [String; 3],
    paths: Vec<LinkedPath>,
    entries: Vec<Noted>,
    twice: Vec<String>,
}

/// The number of its path, permissions, and seconds since 1970.
#[derive(Serialize, Deserialize)]
struct Noted(usize, u32, i64, NotedKind);

#[derive(Serialize, Deserialize)]
enum NotedKind {
    /// A file, with its size in bytes.
    #[serde(rename = "f")]
    File(u64),
    /// A link, with what it leads to, in hexadecimal.
    #[serde(rename = "l")]
    Symlink(String),
    /// A directory.
    #[serde(rename = "d")]
    Directory,
}

impl Placed {
    /// All but the contents, to be kept beside them.
    ///
    /// # Errors
    /// When something cannot be noted, which no package has.
    pub fn note(&self) -> Result<Vec<u8>, NoteError> {
        let text = |path: &LayerPath| String::from_utf8(path.as_bytes().to_vec());
        let entries = self.entries.iter().map(|(path, entry)| {
            let number = self
                .paths
                .binary_search_by(|linked| linked.path.as_bytes().cmp(path.as_bytes()))
                .map_err(|_| NoteError(format!("{path} has no record")))?;
            let kind = match &entry.kind {
                Kind::File(content) => NotedKind::File(content.size()),
                Kind::Symlink(target) => NotedKind::Symlink(hex::encode(target)),
                Kind::Directory => NotedKind::Directory,
                other => return Err(NoteError(format!("{path} is a {}", other.noun()))),
            };
            Ok(Noted(number, entry.mode, entry.mtime, kind))
        });
        let note = Note {
            identity: self.identity.clone(),
            paths: self.paths.clone(),
            entries: entries.collect::<Result<_, _>>()?,
            twice: self
                .twice
                .iter()
                .map(text)
                .collect::<Result<_, _>>()
                .map_err(NoteError::of)?,
        };
        serde_json::to_vec(&note).map_err(NoteError::of)
    }

    /// What was noted, with the contents that `content` gives for paths and sizes.
    ///
    /// # Errors
    /// A note that is damaged.
    pub fn of_note(
        note: &[u8],
        content: &dyn Fn(&LayerPath, u64) -> Content,
    ) -> Result<Self, NoteError> {
        let note: Note = serde_json::from_slice(note).map_err(NoteError::of)?;
        let parse = |path: &str| LayerPath::parse(path.as_bytes()).map_err(NoteError::of);
        let entries = note
            .entries
            .into_iter()
            .map(|Noted(number, mode, mtime, kind)| {
                let linked = note.paths.get(number);
                let path = parse(
                    &linked
                        .ok_or_else(|| NoteError(format!("no path {number}")))?
                        .path,
                )?;
                let kind = match kind {
                    NotedKind::File(size) => Kind::File(content(&path, size)),
                    NotedKind::Symlink(target) => {
                        Kind::Symlink(hex::decode(target).map_err(NoteError::of)?)
                    }
                    NotedKind::Directory => Kind::Directory,
                };
                let entry = Entry {
                    mtime,
                    ..Entry::new(kind, mode)
                };
                Ok((path, entry))
            });
        Ok(Self {
            identity: note.identity,
            entries: entries.collect::<Result<_, NoteError>>()?,
            twice: note
                .twice
                .iter()
                .map(|path| parse(path))
                .collect::<Result<_, _>>()?,
            paths: note.paths,
        })
    }
}

impl NoteError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}
