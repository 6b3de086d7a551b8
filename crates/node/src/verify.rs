//! Whether what is kept still is what was unpacked.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use flate2::Crc;
use rustix::fs::FileType;

use ohoci_image::Digest;
use ohoci_layer::{Directory, LayerPath};

use super::index::{self, ListedKind};
use super::lock::Hold;
use super::record::{Record, as_path};
use super::store::{Kind, LayerStore, files_in};
use super::write::checksum_of;

/// What came of looking at one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The layer's diff ID, or what names something else.
    pub digest: Digest,
    /// What it is.
    pub kind: Kind,
    /// Files, directories and links that should be there.
    pub entries: u64,
    /// Those of them that whoever runs this may not look at, because the layer gives no permission to.
    pub unread: u64,
    /// What differs, no more than a few.
    pub damage: Vec<String>,
    /// Whether it was removed because of that.
    pub removed: bool,
}

/// Most differences that are told of one layer.
const MOST_TOLD: usize = 10;

impl LayerStore {
    /// Compares everything that is kept with what it was when it was unpacked, by content. What is
    /// damaged is removed, if `repairs` says so and nothing uses it: whoever needs it next unpacks it
    /// again. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn verify(
        &self,
        repairs: bool,
        told: &mut dyn FnMut(&Verified),
    ) -> io::Result<Vec<Verified>> {
        let mut all = Vec::new();
        for (kind, digest, place) in self.all()? {
            // What is being made or removed is not looked at.
            let Some(lock) = self.lock(kind, &digest, Hold::Shared)? else {
                continue;
            };
            let compared = match compare(&place) {
                Ok(compared) => compared,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !place.exists() => {
                    continue;
                }
                Err(error) => Compared {
                    damage: vec![error.to_string()],
                    ..Compared::default()
                },
            };
            drop(lock);
            let mut removed = false;
            if !compared.damage.is_empty()
                && repairs
                && let Some(_lock) = self.lock(kind, &digest, Hold::Alone)?
            {
                self.discard(&place)?;
                self.remove_lock(kind, &digest);
                removed = true;
            }
            let verified = Verified {
                digest,
                kind,
                entries: compared.entries,
                unread: compared.unread,
                damage: compared.damage,
                removed,
            };
            told(&verified);
            all.push(verified);
        }
        Ok(all)
    }
}

/// What came of comparing.
#[derive(Default)]
struct Compared {
    entries: u64,
    unread: u64,
    damage: Vec<String>,
}

/// Compares what lies in a place with its list.
fn compare(place: &Path) -> io::Result<Compared> {
    let Some(record) = Record::read(place)? else {
        return Ok(Compared {
            damage: vec!["it has no record that this version of ohoci reads".to_owned()],
            ..Compared::default()
        });
    };
    let listed = index::read(place)?;
    let root = Directory::open(&files_in(place))?;
    let mut damage = Vec::new();
    let mut unread = 0;
    if record.entries != listed.len() as u64 {
        damage.push(format!(
            "its list has {} entries, its record {}",
            listed.len(),
            record.entries
        ));
    }
    for listed in &listed {
        match differs(&root, &listed.path, &listed.kind) {
            Ok(why) => damage.extend(why.map(|why| format!("{} {why}", listed.path))),
            // That says nothing of damage: an ordinary user may not look at all that a layer has.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => unread += 1,
            Err(error) => return Err(error),
        }
        if damage.len() >= MOST_TOLD {
            break;
        }
    }
    // Where not all can be looked at, not all can be counted.
    if damage.is_empty() && unread == 0 {
        let count = count(&root)?;
        if count != listed.len() as u64 {
            damage.push(format!(
                "{count} files and directories are there instead of {}",
                listed.len()
            ));
        }
    }
    Ok(Compared {
        entries: listed.len() as u64,
        unread,
        damage,
    })
}

fn differs(
    root: &Directory,
    path: &LayerPath,
    kind: &ListedKind,
) -> io::Result<Option<&'static str>> {
    let at = as_path(path);
    let Some(found) = root.find(at)? else {
        return Ok(Some("is missing"));
    };
    let expected = match kind {
        ListedKind::File { .. } => FileType::RegularFile,
        ListedKind::Directory { .. } => FileType::Directory,
        ListedKind::Symlink { .. } => FileType::Symlink,
        ListedKind::Fifo => FileType::Fifo,
        ListedKind::Whiteout => FileType::CharacterDevice,
    };
    if found.kind != expected {
        return Ok(Some("is something else"));
    }
    match *kind {
        ListedKind::File { mode, .. } | ListedKind::Directory { mode } if found.mode != mode => {
            Ok(Some("has other permissions"))
        }
        ListedKind::File { size, .. } if found.size != size => Ok(Some("has another size")),
        ListedKind::File { checksum, .. } => {
            let has_changed = root.open_file(at).and_then(sum)? != checksum;
            Ok(has_changed.then_some("has other content"))
        }
        ListedKind::Symlink { checksum } => {
            let has_changed = checksum_of(&root.read_link(at)?) != checksum;
            Ok(has_changed.then_some("leads elsewhere"))
        }
        ListedKind::Directory { .. } => {
            // One that may not be read hides what is in it.
            root.list(at)?;
            Ok(None)
        }
        ListedKind::Fifo | ListedKind::Whiteout => Ok(None),
    }
}

/// How many files and directories are below a directory.
fn count(root: &Directory) -> io::Result<u64> {
    let mut count = 0;
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        for name in root.list(&path)? {
            count += 1;
            let below = path.join(name);
            if root.find(&below)?.is_some_and(|found| found.is_directory()) {
                waiting.push(below);
            }
        }
    }
    Ok(count)
}

/// The CRC-32 of a file.
pub(crate) fn checksum(path: &Path) -> io::Result<u32> {
    sum(fs_err::File::open(path)?)
}

fn sum(mut file: fs_err::File) -> io::Result<u32> {
    let mut crc = Crc::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let count = file.read(&mut buffer)?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            return Ok(crc.sum());
        }
        crc.update(piece);
    }
}
