//! What a layer's entries are, as the layer says: owners, setuid bits and devices, which its directory does
//! not have. For whoever looks at a layer instead of mounting it.

use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use ohoci_layer::tar_read::Member;
use ohoci_layer::whiteout::Whiteout;
use ohoci_layer::{Changes, Device, Entry, Kind, LayerPath};

use super::write::Staged;

/// The file with the list.
const MEMBERS: &str = "members";

/// Writes the list of a layer's entries.
pub(crate) fn write(changes: &Changes<Staged>, directory: &Path) -> io::Result<()> {
    let file = fs_err::File::create(directory.join(MEMBERS))?;
    let mut output = BufWriter::new(file);
    // The kind's letter and numbers, the path and a zero byte, and what it leads to and another.
    let mut line = |kind: char, entry: Option<&Entry<Staged>>, path: &LayerPath| {
        let (mode, uid, gid) = entry.map_or((0, 0, 0), |entry| (entry.mode, entry.uid, entry.gid));
        let size = entry.map_or(0, |entry| match &entry.kind {
            Kind::File(staged) => staged.size(),
            _ => 0,
        });
        let target: &[u8] = match entry.map(|entry| &entry.kind) {
            Some(Kind::Symlink(target)) => target,
            Some(Kind::Hardlink(target)) => target.as_bytes(),
            _ => b"",
        };
        write!(output, "{kind} {mode:o} {uid} {gid} {size} ")?;
        output.write_all(path.as_bytes())?;
        output.write_all(&[0])?;
        output.write_all(target)?;
        output.write_all(&[0])
    };
    for path in changes.removed() {
        line('w', None, path)?;
    }
    for path in changes.opaque() {
        line('o', None, path)?;
    }
    for (path, entry) in changes.added() {
        let kind = match &entry.kind {
            Kind::Directory => 'd',
            Kind::File(_) => 'f',
            Kind::Symlink(_) => 'l',
            Kind::Hardlink(_) => 'h',
            Kind::Fifo => 'p',
            Kind::CharDevice(_) | Kind::BlockDevice(_) => 'c',
        };
        line(kind, Some(entry), path)?;
    }
    output.flush()
}

/// Reads the list of what lies in a directory, a file's content as its size; `None` where there is none.
///
/// # Errors
/// When it cannot be read or is damaged.
pub(crate) fn read(directory: &Path) -> io::Result<Option<Vec<Member>>> {
    let content = match fs_err::read(directory.join(MEMBERS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        content => content?,
    };
    let mut parts = content.split(|byte| *byte == 0);
    let mut members = Vec::new();
    loop {
        let (Some(line), Some(target)) = (parts.next(), parts.next()) else {
            return Ok(Some(members));
        };
        let member = parse(line, target).ok_or_else(|| {
            let path = directory.join(MEMBERS);
            let message = format!("{} is damaged", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        members.push(member);
    }
}

fn parse(line: &[u8], target: &[u8]) -> Option<Member> {
    let mut words = line.splitn(6, |byte| *byte == b' ');
    let mut word = || std::str::from_utf8(words.next()?).ok();
    let kind = word()?;
    let mode = u32::from_str_radix(word()?, 8).ok()?;
    let (uid, gid) = (word()?.parse().ok()?, word()?.parse().ok()?);
    let size = word()?.parse().ok()?;
    let path = match words.next()? {
        b"" => LayerPath::root(),
        path => LayerPath::parse(path).ok()?,
    };
    let device = Device { major: 0, minor: 0 };
    let (kind, whiteout) = match kind {
        "w" => (Kind::Fifo, Some(Whiteout::Path(path.clone()))),
        "o" => (Kind::Fifo, Some(Whiteout::Below(path.clone()))),
        "d" => (Kind::Directory, None),
        "f" => (Kind::File(size), None),
        "l" => (Kind::Symlink(target.into()), None),
        "h" => (Kind::Hardlink(LayerPath::parse(target).ok()?), None),
        "p" => (Kind::Fifo, None),
        "c" => (Kind::CharDevice(device), None),
        _ => return None,
    };
    let entry = Entry {
        uid,
        gid,
        ..Entry::new(kind, mode)
    };
    Some(Member {
        path,
        entry,
        whiteout,
        offset: 0,
        is_absolute: false,
    })
}
