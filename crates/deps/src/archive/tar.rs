//! Tars, compressed or not, as trees.

use std::io::{self, BufRead as _, BufReader, Read};

use super::{ArchiveError, Spool};
use ohoci_layer::decompress::Decompressor;
use ohoci_layer::tar_read::{Limits, Member, TarReader};
use ohoci_layer::{Content, Entry, Kind, Rules, Tree};

/// What a member is taken as.
#[derive(Clone, Debug)]
pub(crate) enum Taken {
    /// As what it is, where it is.
    AsItIs,
    /// Nothing: it is left out.
    Nothing,
    /// The archive is refused because of it.
    Refused(String),
}

/// Reads a tar into a tree, whatever its compression; it may have `limit` bytes when decompressed.
///
/// A path that is there twice is refused, and so is anything below something that is no
/// directory. Only what changes nothing may be there again, as is met often: directories, and files
/// with the same content and mode.
///
/// # Errors
/// See [`ArchiveError`].
pub(crate) fn read_tar(input: impl Read, limit: u64, spool: &Spool) -> Result<Tree, ArchiveError> {
    read_tar_with(input, limit, spool, |_| Taken::AsItIs)
}

/// [`read_tar`] with a say in what is taken.
pub(crate) fn read_tar_with(
    input: impl Read,
    limit: u64,
    spool: &Spool,
    take: impl Fn(&Member) -> Taken,
) -> Result<Tree, ArchiveError> {
    let input = Decompressor::new(input, limit)?;
    // Archives end in many ways; whatever the end, no two readers see other members in it.
    let mut reader = TarReader::new(input, Rules::Foreign, Limits::default());
    let mut tree = Tree::new();
    while let Some(member) = reader.next_member()? {
        if member.whiteout.is_some() {
            let why = "a name that begins with `.wh.` would remove files instead of adding one";
            return Err(member.refused(why).into());
        }
        if member.is_absolute {
            return Err(member.refused("its path is absolute").into());
        }
        match take(&member) {
            Taken::AsItIs => {}
            Taken::Nothing => continue,
            Taken::Refused(why) => return Err(member.refused(why).into()),
        }
        let entry = content(&member, &mut reader, spool)?;
        let again = match tree.get(&member.path) {
            Some(known) => is_same(known, &entry)?,
            None => false,
        };
        let rules = if again { Rules::Foreign } else { Rules::Strict };
        tree.insert(member.path.clone(), entry, rules)
            .map_err(|error| member.refused(error.to_string()))?;
    }
    Ok(tree)
}

fn content(
    member: &Member,
    reader: &mut TarReader<impl Read>,
    spool: &Spool,
) -> Result<Entry, ArchiveError> {
    let content = match member.entry.kind {
        Kind::File(size) => spool
            .take(reader, size)
            .map_err(|error| ArchiveError::spool(member.path.as_bytes(), error))?,
        _ => Content::Memory(bytes::Bytes::new()),
    };
    Ok(member.entry.clone().map_content(|_| content))
}

/// Whether two entries for one path come to the same, whichever of them is taken.
fn is_same(a: &Entry, b: &Entry) -> io::Result<bool> {
    match (&a.kind, &b.kind) {
        (Kind::Directory, Kind::Directory) => Ok(true),
        (Kind::File(one), Kind::File(other)) => Ok(a.mode == b.mode && same_content(one, other)?),
        _ => Ok(false),
    }
}

fn same_content(a: &Content, b: &Content) -> io::Result<bool> {
    if a.size() != b.size() {
        return Ok(false);
    }
    let (mut a, mut b) = (BufReader::new(a.open()?), BufReader::new(b.open()?));
    loop {
        let (one, other) = (a.fill_buf()?, b.fill_buf()?);
        let count = one.len().min(other.len());
        if count == 0 {
            return Ok(one.len() == other.len());
        }
        if one.get(..count) != other.get(..count) {
            return Ok(false);
        }
        a.consume(count);
        b.consume(count);
    }
}

/// Reads all of a file's content, of which there may be `max` bytes.
///
/// # Errors
/// When there is more, or it cannot be read.
pub(crate) fn read_content(content: &Content, max: u64) -> io::Result<Vec<u8>> {
    if content.size() > max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it has {} bytes, more than {max}", content.size()),
        ));
    }
    let mut bytes = Vec::new();
    content.open()?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_layer::LayerPath;
    use ohoci_layer::tar_write::TarWriter;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    fn tar(entries: &[(&str, Kind<u64>)]) -> Vec<u8> {
        let mut writer = TarWriter::new(Vec::new());
        for (at, kind) in entries {
            let entry = Entry::new(kind.clone(), 0o644);
            let content = vec![b'x'; 4096];
            let size = match kind {
                Kind::File(size) => usize::try_from(*size).unwrap(),
                _ => 0,
            };
            writer
                .append(&path(at), &entry, &mut &content[..size])
                .unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(tar: &[u8]) -> Result<Tree, ArchiveError> {
        let directory = tempfile::tempdir().unwrap();
        read_tar(tar, 1 << 20, &Spool::create(directory.path()).unwrap())
    }

    #[test]
    fn contents_can_be_read_after_the_archive_is_gone() {
        let tree = read(&tar(&[
            ("a", Kind::Directory),
            ("a", Kind::Directory),
            ("a/large", Kind::File(4096)),
            ("a/small", Kind::File(3)),
            ("a/large", Kind::File(4096)),
        ]))
        .unwrap();
        for (at, size) in [("a/large", 4096), ("a/small", 3)] {
            let Kind::File(content) = &tree.get(&path(at)).unwrap().kind else {
                panic!("{at}");
            };
            assert_eq!(read_content(content, 4096).unwrap(), vec![b'x'; size]);
            assert!(read_content(content, 2).is_err());
        }
    }

    #[test]
    fn archives_that_mean_harm_are_refused_by_name() {
        for (entries, at) in [
            (vec![("a", Kind::File(1)), ("a", Kind::File(2))], "/a"),
            (vec![("a", Kind::File(0)), ("a", Kind::Directory)], "/a"),
            (
                vec![
                    ("a", Kind::Symlink(b"/etc".to_vec())),
                    ("a/b", Kind::File(1)),
                ],
                "/a/b",
            ),
            (vec![("a/.wh.b", Kind::File(0))], "/a/.wh.b"),
        ] {
            let error = read(&tar(&entries)).unwrap_err().to_string();
            assert!(error.contains(at), "{error}");
        }
        // The writer cannot write this.
        let mut absolute = tar(&[("Xetc/a", Kind::File(0))]);
        absolute[0] = b'/';
        absolute[148..156].copy_from_slice(b"        ");
        let sum: u32 = absolute[..512].iter().map(|byte| u32::from(*byte)).sum();
        absolute[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let error = read(&absolute).unwrap_err().to_string();
        assert!(error.contains("its path is absolute"), "{error}");
        let bomb = tar(&[("a", Kind::File(4096)), ("b", Kind::File(4096))]);
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::create(directory.path()).unwrap();
        let error = read_tar(bomb.as_slice(), 5000, &spool).unwrap_err();
        assert!(error.to_string().contains("5000 bytes"), "{error}");
    }
}
