//! Writes reproducible tars: the same entries give the same bytes, everywhere.
//!
//! POSIX ustar headers, with a PAX header in front only where ustar cannot say it: long names,
//! sizes from 8 GiB, times before 1970, large owners, extended attributes. No owner names, no GNU
//! extensions, no sparse files, no padding to a record size.

use std::io::{self, Read, Write};

use tar::{EntryType, Header, UstarHeader};

use super::entry::{Content, Device, Entry, Kind};
use super::path::LayerPath;
use super::pax::{self, Records};
use super::tree::{Tree, TreeError};

const BLOCK: usize = 512;
/// What ends a tar: two blocks of zeros.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// How many bytes of content are copied at once.
const COPIED: usize = 128 << 10;
/// What eleven octal digits can say at most.
const LARGEST_SIZE: u64 = 0o777_7777_7777;
/// What seven octal digits can say at most.
const LARGEST_ID: u32 = 0o777_7777;

/// Writes members in the order in which they are given.
#[derive(Debug)]
pub struct TarWriter<W> {
    output: W,
    entries: u64,
    buffer: Vec<u8>,
}

/// Why a tree cannot be written as a tar.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The tree contradicts itself.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Reading a file's content or writing the tar failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Takes the members of a layer, in the order that they are to have.
pub(super) trait Append {
    /// Writes a member, as [`TarWriter::append`] does.
    fn append(
        &mut self,
        path: &LayerPath,
        entry: &Entry<u64>,
        content: &mut dyn Read,
    ) -> io::Result<()>;
}

impl<W: Write> Append for TarWriter<W> {
    fn append(
        &mut self,
        path: &LayerPath,
        entry: &Entry<u64>,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        Self::append(self, path, entry, content)
    }
}

impl<W: Write> TarWriter<W> {
    /// A tar that starts where `output` stands.
    pub fn new(output: W) -> Self {
        Self {
            output,
            entries: 0,
            buffer: vec![0; COPIED],
        }
    }

    /// How many members have been written.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Writes a member; a file's content is the `u64` in its kind many bytes of `content`.
    ///
    /// # Errors
    /// When reading or writing fails, `content` ends early, or the entry cannot be said in a tar:
    /// the root under a name other than itself, device numbers beyond 21 bits, extended
    /// attributes whose name contains `=` or a NUL.
    pub fn append(
        &mut self,
        path: &LayerPath,
        entry: &Entry<u64>,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        self.output.write_all(&head(path, entry)?)?;
        if let Kind::File(size) = entry.kind {
            self.copy(path, size, content)?;
            self.output.write_all(padding(size))?;
        }
        self.entries += 1;
        Ok(())
    }

    /// Writes the end marker, two blocks of zeros, and returns the output.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&END)?;
        Ok(self.output)
    }

    fn copy(&mut self, path: &LayerPath, size: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut left = size;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(COPIED).min(COPIED);
            let buffer = self.buffer.get_mut(..wanted).unwrap_or_default();
            let piece = read_some(path, content, buffer, left)?;
            self.output.write_all(piece)?;
            left = left.saturating_sub(piece.len() as u64);
        }
        Ok(())
    }
}

/// Reads what comes next of a file's content, of which `left` bytes are to come.
///
/// # Errors
/// When reading fails, or nothing comes.
pub(super) fn read_some<'a>(
    path: &LayerPath,
    content: &mut dyn Read,
    buffer: &'a mut [u8],
    left: u64,
) -> io::Result<&'a [u8]> {
    loop {
        let count = match content.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{path} ends {left} bytes before its end"),
            ));
        }
        return Ok(buffer.get(..count).unwrap_or_default());
    }
}

/// The zeros behind a file's content.
pub(super) fn padding(size: u64) -> &'static [u8] {
    let missing = usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or_default();
    END.get(..missing).unwrap_or_default()
}

/// A member but for a file's content: its header, with a PAX header in front where it needs one.
///
/// # Errors
/// What [`TarWriter::append`] refuses of an entry.
pub(super) fn head(path: &LayerPath, entry: &Entry<u64>) -> io::Result<Vec<u8>> {
    let (header, records) = header(path, entry)?;
    let mut head = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        let data = pax::format(&records);
        let size = data.len() as u64;
        let mut extension = blank(EntryType::XHeader, 0o644);
        set_name(&mut extension, b"PaxHeader");
        extension.set_size(size);
        seal(&mut extension);
        head.extend_from_slice(extension.as_bytes());
        head.extend_from_slice(&data);
        head.extend_from_slice(padding(size));
    }
    head.extend_from_slice(header.as_bytes());
    Ok(head)
}

/// Writes a whole tree: bytewise order, parents first, the first path of every set of hard links
/// as the file.
///
/// # Errors
/// Links that lead nowhere, and whatever `writer` refuses.
pub(super) fn append_tree(
    mut tree: Tree<Content>,
    writer: &mut dyn Append,
) -> Result<(), WriteError> {
    tree.resolve_links()?;
    for (path, entry) in &tree {
        let content = match &entry.kind {
            Kind::File(content) => Some(content),
            _ => None,
        };
        let sized = entry.clone().map_content(|content| content.size());
        match content {
            Some(content) => {
                let mut reader = content.open()?;
                writer.append(path, &sized, &mut reader)?;
                // Reading on is how a file tells that it has grown meanwhile.
                reader.read_exact(&mut [0]).map_or_else(
                    |error| match error.kind() {
                        io::ErrorKind::UnexpectedEof => Ok(()),
                        _ => Err(error),
                    },
                    |()| Ok(()),
                )?;
            }
            None => writer.append(path, &sized, &mut io::empty())?,
        }
    }
    Ok(())
}

fn invalid(path: &LayerPath, reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{path} {reason}"))
}

fn header(path: &LayerPath, entry: &Entry<u64>) -> io::Result<(Header, Records)> {
    let mut records = Records::new();
    let mut size = 0;
    let mut device = Device { major: 0, minor: 0 };
    let mut link: &[u8] = b"";
    let kind = match &entry.kind {
        Kind::File(bytes) => {
            size = *bytes;
            EntryType::Regular
        }
        Kind::Directory => EntryType::Directory,
        Kind::Symlink(target) => {
            link = target;
            EntryType::Symlink
        }
        Kind::Hardlink(target) => {
            link = target.as_bytes();
            EntryType::Link
        }
        Kind::CharDevice(numbers) => {
            device = *numbers;
            EntryType::Char
        }
        Kind::BlockDevice(numbers) => {
            device = *numbers;
            EntryType::Block
        }
        Kind::Fifo => EntryType::Fifo,
    };
    if device.major > LARGEST_ID || device.minor > LARGEST_ID {
        return Err(invalid(path, "has a device number that no tar can say"));
    }
    let mut say = |key: &str, value: String| records.insert(key.into(), value.into());
    let mut header = blank(kind, entry.mode & 0o7777);
    if size > LARGEST_SIZE {
        say("size", size.to_string());
    } else {
        header.set_size(size);
    }
    match u64::try_from(entry.mtime) {
        Ok(mtime) if mtime <= LARGEST_SIZE => header.set_mtime(mtime),
        _ => drop(say("mtime", entry.mtime.to_string())),
    }
    if entry.uid > LARGEST_ID {
        say("uid", entry.uid.to_string());
    } else {
        header.set_uid(u64::from(entry.uid));
    }
    if entry.gid > LARGEST_ID {
        say("gid", entry.gid.to_string());
    } else {
        header.set_gid(u64::from(entry.gid));
    }
    header.set_device_major(device.major)?;
    header.set_device_minor(device.minor)?;
    for (name, value) in &entry.xattrs {
        if name.is_empty() || name.contains(&b'=') || name.contains(&0) {
            return Err(invalid(
                path,
                "has an extended attribute that no tar can name",
            ));
        }
        records.insert([pax::XATTR, name].concat(), value.clone());
    }

    let mut name = if path.is_root() {
        b".".to_vec()
    } else {
        path.as_bytes().to_vec()
    };
    if entry.is_directory() {
        name.push(b'/');
    }
    if !set_name(&mut header, &name) {
        records.insert(b"path".to_vec(), name);
    }
    if let Some(ustar) = header.as_ustar_mut()
        && !copy(link, &mut ustar.linkname)
    {
        records.insert(b"linkpath".to_vec(), link.to_vec());
    }
    seal(&mut header);
    Ok((header, records))
}

/// A header in which every number is zero, except the mode.
fn blank(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header.set_mtime(0);
    if let Some(ustar) = header.as_ustar_mut() {
        ustar.set_device_major(0);
        ustar.set_device_minor(0);
    }
    header
}

/// Puts the checksum into a header, in the form that GNU tar, Go and Python all write.
fn seal(header: &mut Header) {
    header.set_cksum();
    let field = &mut header.as_old_mut().cksum;
    if let [b'0', digits @ .., 0] = *field {
        let [one, two, three, four, five, six] = digits;
        *field = [one, two, three, four, five, six, 0, b' '];
    }
}

/// Puts a name into a header; false when only its beginning fits.
fn set_name(header: &mut Header, name: &[u8]) -> bool {
    let Some(UstarHeader {
        name: short,
        prefix,
        ..
    }) = header.as_ustar_mut()
    else {
        return false;
    };
    if name.len() <= short.len() {
        return copy(name, short);
    }
    // The slash between prefix and name is not stored. The one behind a directory is no such slash.
    let split = name
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .map(|(at, _)| at)
        .find(|at| name.len() - at - 1 <= short.len());
    if let Some((front, rest)) = split.and_then(|at| name.split_at_checked(at))
        && front.len() <= prefix.len()
        && let Some(rest) = rest.get(1..).filter(|rest| !rest.is_empty())
    {
        return copy(front, prefix) && copy(rest, short);
    }
    copy(name, short)
}

/// Copies what fits; false when that is not all.
fn copy(from: &[u8], into: &mut [u8]) -> bool {
    for (to, byte) in into.iter_mut().zip(from) {
        *to = *byte;
    }
    from.len() <= into.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar_read::{Limits, Member, TarReader};
    use crate::tree::Rules;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn write_tree(tree: Tree, output: Vec<u8>) -> Result<(Vec<u8>, u64), WriteError> {
        let mut writer = TarWriter::new(output);
        append_tree(tree, &mut writer)?;
        let entries = writer.entries();
        Ok((writer.finish()?, entries))
    }

    fn path(raw: &[u8]) -> LayerPath {
        LayerPath::parse(raw).unwrap()
    }

    fn read(tar: &[u8]) -> Vec<(Member, Vec<u8>)> {
        let mut reader = TarReader::new(tar, Rules::Strict, Limits::default());
        let mut members = Vec::new();
        while let Some(member) = reader.next_member().unwrap() {
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            members.push((member, content));
        }
        members
    }

    fn file(content: &[u8]) -> Entry {
        Entry::new(Kind::File(Content::Memory(content.to_vec().into())), 0o644)
    }

    fn tree(entries: Vec<(LayerPath, Entry)>) -> Tree {
        let mut tree = Tree::new();
        for (path, entry) in entries {
            tree.insert(path, entry, Rules::Strict).unwrap();
        }
        tree
    }

    #[test]
    fn bytes_are_what_posix_says() {
        let (tar, entries) = write_tree(tree(vec![(path(b"a"), file(b"hi"))]), Vec::new()).unwrap();
        assert_eq!((tar.len(), entries), (4 * 512, 1));
        let mut expected = b"a".to_vec();
        expected.resize(100, 0);
        expected
            .extend_from_slice(b"0000644\x000000000\x000000000\x0000000000002\x0000000000000\0");
        assert_eq!(tar[..148], expected);
        assert_eq!(&tar[156..157], b"0");
        assert_eq!(&tar[257..265], b"ustar\x0000");
        assert!(tar[265..329].iter().all(|byte| *byte == 0), "owner names");
        assert_eq!(&tar[329..345], b"0000000\x000000000\0");
        assert_eq!(&tar[512..514], b"hi");
        assert!(tar[514..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_ustar_cannot_say_goes_into_a_pax_header() {
        for (length, extended) in [(100, false), (101, true), (255, true)] {
            let name = path("n".repeat(length).as_bytes());
            let (tar, _) = write_tree(tree(vec![(name.clone(), file(b""))]), Vec::new()).unwrap();
            assert_eq!(tar[156] == b'x', extended, "{length}");
            assert_eq!(read(&tar)[0].0.path, name);
        }
        let split = path([vec![b'p'; 120], vec![b'n'; 90]].join(&b'/').as_slice());
        let (tar, _) = write_tree(tree(vec![(split.clone(), file(b""))]), Vec::new()).unwrap();
        assert_eq!(tar[156], b'0');
        assert_eq!(read(&tar)[0].0.path, split);
    }

    #[test]
    fn sizes_from_8_gib_are_said_in_a_pax_header() {
        let entry = Entry::new(Kind::File(1_u64 << 33), 0o644);
        let (plain, records) = header(&path(b"a"), &entry).unwrap();
        assert_eq!(plain.entry_size().unwrap(), 0);
        assert_eq!(records[b"size".as_slice()], b"8589934592");
        let entry = Entry::new(Kind::File((1_u64 << 33) - 1), 0o644);
        let (plain, records) = header(&path(b"a"), &entry).unwrap();
        assert_eq!(plain.entry_size().unwrap(), (1 << 33) - 1);
        assert!(records.is_empty());
    }

    #[test]
    fn content_that_ends_early_is_an_error() {
        let entry = Entry::new(Kind::File(3), 0o644);
        let mut writer = TarWriter::new(Vec::new());
        let error = writer.append(&path(b"a"), &entry, &mut b"ab".as_slice());
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    fn names() -> impl Strategy<Value = Vec<u8>> {
        let byte = any::<u8>().prop_filter("no separator", |byte| !matches!(byte, 0 | b'/'));
        prop_oneof![
            4 => prop::collection::vec(byte.clone(), 1..6),
            1 => prop::collection::vec(byte, 90..256),
        ]
        .prop_filter("ordinary", |name| {
            name != b"." && name != b".." && !name.starts_with(b".wh.")
        })
    }

    fn entries() -> impl Strategy<Value = Entry> {
        let device =
            (0..=LARGEST_ID, 0..=LARGEST_ID).prop_map(|(major, minor)| Device { major, minor });
        let kind = prop_oneof![
            3 => prop::collection::vec(any::<u8>(), 0..1500)
                .prop_map(|bytes| Kind::File(Content::Memory(bytes.into()))),
            3 => Just(Kind::Directory),
            1 => prop::collection::vec(1..=u8::MAX, 1..300).prop_map(Kind::Symlink),
            1 => device.clone().prop_map(Kind::CharDevice),
            1 => device.prop_map(Kind::BlockDevice),
            1 => Just(Kind::Fifo),
        ];
        let xattrs = prop::collection::btree_map(
            "[a-z]{1,9}[.][a-z]{1,9}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..40),
            0..3,
        );
        (
            kind,
            0..=0o7777_u32,
            any::<[u32; 2]>(),
            any::<i64>(),
            xattrs,
        )
            .prop_map(|(kind, mode, [uid, gid], mtime, xattrs)| Entry {
                kind,
                mode,
                uid,
                gid,
                mtime,
                xattrs,
            })
    }

    proptest! {
        #[test]
        fn every_tree_survives_a_tar(
            parts in prop::collection::vec((prop::collection::vec(names(), 1..5), entries()), 0..12),
            links in prop::collection::vec((names(), any::<prop::sample::Index>()), 0..4),
        ) {
            let mut tree: Tree = Tree::new();
            for (names, entry) in parts {
                // What contradicts the tree is left out.
                let _ = tree.insert(path(&names.join(&b'/')), entry, Rules::Strict);
            }
            for (name, target) in links {
                let targets: Vec<_> = tree.iter()
                    .filter(|(_, entry)| !entry.is_directory())
                    .map(|(path, entry)| (path.clone(), entry.clone()))
                    .collect();
                if !targets.is_empty() {
                    let (target, entry) = target.get(&targets).clone();
                    let link = Entry { kind: Kind::Hardlink(target), xattrs: BTreeMap::new(), ..entry };
                    let _ = tree.insert(path(&name), link, Rules::Strict);
                }
            }
            tree.resolve_links().unwrap();
            let (tar, count) = write_tree(tree.clone(), Vec::new()).unwrap();
            prop_assert_eq!(count, tree.len() as u64);
            let members = read(&tar);
            prop_assert_eq!(members.len(), tree.len());
            for ((member, content), (path, entry)) in members.iter().zip(&tree) {
                prop_assert_eq!(&member.path, path);
                let sized = entry.clone().map_content(|content| content.size());
                prop_assert_eq!(&member.entry, &sized);
                if let Kind::File(Content::Memory(bytes)) = &entry.kind {
                    prop_assert_eq!(&content[..], &bytes[..]);
                }
            }
        }
    }
}
