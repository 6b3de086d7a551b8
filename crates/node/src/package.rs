//! Files of packages as they stand in a prefix, kept once for all who link them into one.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;

use ohoci_image::Digest;
use ohoci_layer::{Content, Entry, Kind as EntryKind, LayerPath, Rules, Tree};
use ohoci_unpack::{Owners, unpack};

use super::index::{Index, ListedKind};
use super::prune::Retention;
use super::record::{Record, VERSION};
use super::store::{Asked, Held, Kind, LayerStore, Making};
use super::write::{BLOCK, MODE, checksum_of};

/// The file with what was noted of a package.
const NOTE: &str = "note";

/// How much of a content is read at once to be summed up.
const READ_AT_ONCE: usize = 64 << 10;

/// A package's files, which cannot be removed as long as this lasts.
#[derive(Debug)]
pub struct KeptPackage {
    held: Held,
}

/// What was found when a package was asked for.
#[derive(Debug)]
pub enum AskedPackage {
    /// It is there.
    There(KeptPackage),
    /// It is to be unpacked, by whoever has this; other processes wait for it.
    Missing(UnpackingPackage),
}

/// The right to unpack a package.
#[derive(Debug)]
pub struct UnpackingPackage {
    making: Making,
}

impl KeptPackage {
    /// Where its files are. They are to be linked or read, and never to be changed.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.held.files()
    }

    /// What was noted of it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn note(&self) -> io::Result<Vec<u8>> {
        fs_err::read(self.held.directory().join(NOTE))
    }
}

impl UnpackingPackage {
    /// Keeps files, with what is noted of them. All directories can be entered, whatever is said of them: they
    /// only hold files. Blocks.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep(
        self,
        store: &LayerStore,
        files: &[(LayerPath, Entry)],
        note: &[u8],
    ) -> io::Result<KeptPackage> {
        let made = store.unfinished()?;
        let target = made.path().join("files");
        fs_err::create_dir(&target)?;
        let tree = tree_of(files)?;
        let mut index = Index::create(made.path())?;
        let (mut bytes, mut entries) = (0, 0);
        let mut buffer = vec![0; READ_AT_ONCE];
        for (path, entry) in &tree {
            let kind = listed(path, entry, &mut buffer)?;
            bytes += match kind {
                ListedKind::File { size, .. } => size.next_multiple_of(BLOCK),
                ListedKind::Directory { .. } => BLOCK,
                _ => 0,
            };
            entries += 1;
            index.add(path, &kind)?;
        }
        index.finish()?;
        unpack(tree, &target, Owners::Own, &|| true).map_err(io::Error::other)?;
        fs_err::write(made.path().join(NOTE), note)?;
        let record = Record {
            version: VERSION,
            bytes: bytes + (note.len() as u64).next_multiple_of(BLOCK),
            entries,
            root_mode: None,
        };
        let held = store.finish(self.making, made, &record)?;
        Ok(KeptPackage { held })
    }
}

/// A tree of files, with the directories that they only imply.
fn tree_of(files: &[(LayerPath, Entry)]) -> io::Result<Tree> {
    let mut all: BTreeMap<LayerPath, Entry> = BTreeMap::new();
    for (path, entry) in files {
        for above in path.ancestors() {
            let above = LayerPath::parse(above).map_err(io::Error::other)?;
            let implied = || Entry::new(EntryKind::Directory, 0o755);
            all.entry(above).or_insert_with(implied);
        }
        let mut entry = entry.clone();
        if entry.is_directory() {
            entry.mode = 0o755;
        }
        all.insert(path.clone(), entry);
    }
    let mut whole = Tree::new();
    for (path, entry) in all {
        whole
            .insert(path, entry, Rules::Strict)
            .map_err(io::Error::other)?;
    }
    Ok(whole)
}

fn listed(path: &LayerPath, entry: &Entry, buffer: &mut [u8]) -> io::Result<ListedKind> {
    Ok(match &entry.kind {
        EntryKind::File(content) => ListedKind::File {
            size: content.size(),
            mode: entry.mode & MODE,
            checksum: match content {
                Content::Memory(bytes) => checksum_of(bytes),
                other => checksum(other.open()?.as_mut(), buffer)?,
            },
        },
        EntryKind::Directory => ListedKind::Directory { mode: entry.mode },
        EntryKind::Symlink(target) => ListedKind::Symlink {
            checksum: checksum_of(target),
        },
        other => {
            let why = format!("{path} is a {}, which no package has", other.noun());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
    })
}

/// The CRC-32 of what is read.
fn checksum(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<u32> {
    let mut crc = flate2::Crc::new();
    loop {
        let count = input.read(buffer)?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            return Ok(crc.sum());
        }
        crc.update(piece);
    }
}

impl LayerStore {
    /// The files of the package of this key, waiting for another process that unpacks it. The key names what
    /// decides about them: the package's digest, the prefix. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn package(&self, key: &Digest) -> io::Result<AskedPackage> {
        Ok(match self.wait_for(Kind::Package, key)? {
            Asked::There(held) => AskedPackage::There(KeptPackage { held }),
            Asked::Missing(making) => AskedPackage::Missing(UnpackingPackage { making }),
        })
    }

    /// Holds the store to the most bytes that stay, as unpacking layers does: for whoever has unpacked packages
    /// and linked them. What cannot be removed now can be the next time. Blocks.
    pub fn make_room(&self) {
        if let Some(most) = self.most_bytes() {
            let _ = self.prune(Retention::Bytes(most));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::os::unix::fs::MetadataExt as _;

    fn entry(at: &str, kind: EntryKind, mode: u32) -> (LayerPath, Entry) {
        let path = LayerPath::parse(at.as_bytes()).unwrap();
        let entry = Entry {
            mtime: 1_000,
            ..Entry::new(kind, mode)
        };
        (path, entry)
    }

    fn file(at: &str, content: &'static str) -> (LayerPath, Entry) {
        let content = Content::Memory(Bytes::from_static(content.as_bytes()));
        entry(at, EntryKind::File(content), 0o755)
    }

    fn files() -> Vec<(LayerPath, Entry)> {
        vec![
            file("bin/tool", "tool"),
            entry("empty", EntryKind::Directory, 0o500),
            entry("lib/link", EntryKind::Symlink(b"../bin".to_vec()), 0o777),
            file("lib/x/y", "y"),
        ]
    }

    fn store() -> (tempfile::TempDir, LayerStore) {
        let scratch = tempfile::tempdir().unwrap();
        let store = LayerStore::open(scratch.path()).unwrap();
        (scratch, store)
    }

    fn kept(store: &LayerStore, key: &str) -> (KeptPackage, bool) {
        match store.package(&Digest::of(key.as_bytes())).unwrap() {
            AskedPackage::There(kept) => (kept, false),
            AskedPackage::Missing(making) => {
                (making.keep(store, &files(), b"noted").unwrap(), true)
            }
        }
    }

    #[test]
    fn a_package_is_unpacked_once_and_kept_as_it_was() {
        let (_scratch, store) = store();
        let (package, is_new) = kept(&store, "one");
        assert!(is_new);
        let at = |name: &str| package.files().join(name);
        let tool = fs_err::metadata(at("bin/tool")).unwrap();
        assert_eq!((tool.mode() & 0o7777, tool.mtime()), (0o755, 1_000));
        let empty = fs_err::metadata(at("empty")).unwrap();
        assert_eq!(empty.mode() & 0o7777, 0o755, "it can be entered");
        assert_eq!(package.note().unwrap(), b"noted");
        let (again, is_new) = kept(&store, "one");
        assert!(!is_new);
        assert_eq!(again.files(), package.files());
        assert!(kept(&store, "two").1);
        let listed = store.list().unwrap();
        assert!(listed.iter().all(|kept| kept.kind == Kind::Package));
        let sizes: Vec<_> = listed.iter().map(|kept| kept.entries).collect();
        assert_eq!(sizes, [7, 7]);
        assert_eq!(store.usage().unwrap().layers, 0);
    }

    #[test]
    fn a_file_that_was_changed_is_found_and_the_package_is_unpacked_anew() {
        let (_scratch, store) = store();
        let (package, _) = kept(&store, "one");
        let damage = |store: &LayerStore, repairs| {
            let all = store.verify(repairs, &mut |_| {}).unwrap();
            all.into_iter()
                .flat_map(|kept| kept.damage)
                .collect::<Vec<_>>()
        };
        assert_eq!(damage(&store, false), [""; 0]);
        let place = package.files().join("lib/x/y");
        drop(package);
        fs_err::write(&place, "z").unwrap();
        assert_eq!(damage(&store, true), ["/lib/x/y has other content"]);
        let (_package, is_new) = kept(&store, "one");
        assert!(is_new);
        assert_eq!(fs_err::read(place).unwrap(), b"y");
    }

    #[test]
    fn packages_in_use_stay_and_others_make_room() {
        let (_scratch, store) = store();
        let (used, _) = kept(&store, "used");
        drop(kept(&store, "unused"));
        store.clone().limited_to(Some(1)).make_room();
        let left = store.list().unwrap();
        assert_eq!(left.len(), 1);
        assert!(left[0].in_use && used.files().join("bin/tool").is_file());
        drop(used);
        store
            .remove(Kind::Package, &[left[0].digest.clone()])
            .unwrap();
        assert_eq!(store.list().unwrap(), []);
    }

    #[test]
    fn many_at_once_unpack_a_package_once() {
        let (scratch, _) = store();
        let run = || {
            // Each opens it, as a process of its own would.
            let store = LayerStore::open(scratch.path()).unwrap();
            kept(&store, "one").1
        };
        let unpacked = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(run)).collect();
            let all = all.into_iter().map(|one| one.join().unwrap());
            all.filter(|is_new| *is_new).count()
        });
        assert_eq!(unpacked, 1);
    }

    #[test]
    fn what_contradicts_itself_is_not_kept() {
        let (_scratch, store) = store();
        let key = Digest::of(b"one");
        let AskedPackage::Missing(making) = store.package(&key).unwrap() else {
            panic!("nothing is there");
        };
        let files = [file("a", "file"), file("a/b", "below a file")];
        assert!(making.keep(&store, &files, b"").is_err());
        assert!(matches!(
            store.package(&key).unwrap(),
            AskedPackage::Missing(_)
        ));
    }
}
