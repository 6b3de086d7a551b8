//! Contents that are copied with their holes: of what nothing was written to, nothing is written.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use rustix::fs::{SeekFrom, ftruncate, seek};
use rustix::io::Errno;

/// Copies the first `size` bytes of a file into one that is empty, and gives that as many. Where the
/// first has holes, so has the other (lseek(2), `SEEK_DATA`): a file that only says that it is large
/// fills no disk.
///
/// # Errors
/// When one cannot be read, or the other not written.
pub fn copy(from: &File, to: &File, size: u64) -> io::Result<()> {
    let mut at = 0;
    while at < size {
        at = match seek(from, SeekFrom::Data(at)) {
            // There is nothing more but a hole.
            Err(Errno::NXIO) => break,
            found => found?,
        };
        let end = seek(from, SeekFrom::Hole(at))?.min(size);
        let Some(count) = end.checked_sub(at).filter(|count| *count > 0) else {
            break;
        };
        let (mut input, mut output) = (from, to);
        input.seek(io::SeekFrom::Start(at))?;
        output.seek(io::SeekFrom::Start(at))?;
        io::copy(&mut input.take(count), &mut output)?;
        at = end;
    }
    Ok(ftruncate(to, size)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn holes_stay_holes_and_nothing_behind_the_end_is_copied() {
        let mut from = tempfile::tempfile().unwrap();
        from.write_all(b"begun").unwrap();
        from.seek(io::SeekFrom::Start(64 << 20)).unwrap();
        from.write_all(b"middle").unwrap();
        from.set_len(1 << 30).unwrap();
        let copied = |size| {
            let to = tempfile::tempfile().unwrap();
            copy(&from, &to, size).unwrap();
            to
        };
        let mut to = copied(1 << 30);
        let found = to.metadata().unwrap();
        assert_eq!(found.len(), 1 << 30);
        // Some file systems have no holes to be found in so small a piece, but in this one they have.
        assert!(found.blocks() * 512 < 32 << 20, "{}", found.blocks());
        let mut said = [0; 8];
        to.seek(io::SeekFrom::Start(64 << 20)).unwrap();
        to.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"middle\0\0");
        let mut to = copied(3);
        let mut said = String::new();
        to.rewind().unwrap();
        to.read_to_string(&mut said).unwrap();
        assert_eq!(said, "beg");
        assert_eq!(copied(0).metadata().unwrap().len(), 0);
    }
}
