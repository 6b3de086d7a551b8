//! Writing archives: the same content gives the same bytes, and the file appears at once.

use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::error::failure;
use super::{Error, ErrorKind};
use ohoci_layer::{Entry, Kind, LayerPath, tar_write};
use ohoci_layout::region::Region;
use ohoci_layout::staged;

/// A tar whose members have no owner and no time.
pub(crate) struct TarWriter<W>(tar_write::TarWriter<W>);

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(output: W) -> Self {
        Self(tar_write::TarWriter::new(output))
    }

    /// Adds a directory.
    pub(crate) fn directory(&mut self, name: &str) -> io::Result<()> {
        self.member(name, &Entry::new(Kind::Directory, 0o755), &mut io::empty())
    }

    /// Adds a file with what a region holds.
    pub(crate) fn region(&mut self, name: &str, region: &Region) -> io::Result<()> {
        let entry = Entry::new(Kind::File(region.length()), 0o644);
        self.member(name, &entry, &mut region.reader())
    }

    /// Adds a small file.
    pub(crate) fn bytes(&mut self, name: &str, mut content: &[u8]) -> io::Result<()> {
        let entry = Entry::new(Kind::File(content.len() as u64), 0o644);
        self.member(name, &entry, &mut content)
    }

    fn member(&mut self, name: &str, entry: &Entry<u64>, content: &mut dyn Read) -> io::Result<()> {
        let path = LayerPath::parse(name.as_bytes()).map_err(io::Error::other)?;
        self.0.append(&path, entry, content)
    }

    /// Ends the tar.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.0.finish()?.flush()
    }
}

/// Where an archive is written.
#[derive(Debug)]
pub(crate) enum Output {
    /// An ordinary file, new or to be replaced; links have been followed.
    File(PathBuf),
    /// A pipe or a device, which is written to as it is.
    Stream(PathBuf),
}

impl Output {
    /// Finds out what is at `path`.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                format!("{} is a directory", path.display()),
            )),
            Ok(metadata) if metadata.is_file() => fs::canonicalize(path).map(Self::File),
            Ok(_) => Ok(Self::Stream(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::File(path.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// A directory for unfinished things, in the same file system if there is one; it is made if
    /// it is not there.
    pub(crate) fn directory(&self) -> io::Result<PathBuf> {
        match self {
            Self::Stream(_) => Ok(std::env::temp_dir()),
            Self::File(path) => {
                let parent = match path.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent,
                    _ => Path::new("."),
                };
                fs::create_dir_all(parent)?;
                Ok(parent.to_owned())
            }
        }
    }
}

/// Writes an archive whole, or leaves what was there before.
pub(crate) fn write_archive(
    path: &Path,
    label: &str,
    fill: impl FnOnce(&mut TarWriter<&mut dyn Write>) -> io::Result<()>,
) -> Result<(), Error> {
    write(path, fill).map_err(|error| {
        let what = format!("cannot write {label}");
        if error.kind() == io::ErrorKind::IsADirectory {
            Error::new(ErrorKind::Unsupported, what, error.to_string())
                .hinted("name a file; a directory is written as oci:DIR")
        } else {
            failure(what, error)
        }
    })
}

fn write(
    path: &Path,
    fill: impl FnOnce(&mut TarWriter<&mut dyn Write>) -> io::Result<()>,
) -> io::Result<()> {
    match Output::at(path)? {
        Output::Stream(path) => {
            let file = fs::OpenOptions::new().write(true).open(path)?;
            write_tar(file, fill)
        }
        output @ Output::File(_) => {
            let directory = output.directory()?;
            let file = staged::temporary_in(&directory)?;
            write_tar(file.as_file(), fill)?;
            let Output::File(path) = output else {
                return Ok(());
            };
            staged::publish(file, &path)?;
            staged::sync_directory(&directory)
        }
    }
}

fn write_tar(
    output: impl Write,
    fill: impl FnOnce(&mut TarWriter<&mut dyn Write>) -> io::Result<()>,
) -> io::Result<()> {
    let mut output = BufWriter::with_capacity(1 << 18, output);
    let output: &mut dyn Write = &mut output;
    let mut tar = TarWriter::new(output);
    fill(&mut tar)?;
    tar.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
            if self.0 < piece.len() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0 -= piece.len();
            Ok(piece.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_ends_the_writing() {
        let fill = |tar: &mut TarWriter<&mut dyn Write>| tar.bytes("a", &[7; 1 << 20]);
        assert!(write_tar(Full(2 << 20), fill).is_ok());
        for room in [0, 1 << 18, 1 << 20] {
            let error = write_tar(Full(room), fill).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull, "room {room}");
        }
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.tar");
        fs::write(&path, "old").unwrap();
        let error = write_archive(&path, "oci-archive:x.tar", |tar| {
            tar.bytes("a", b"1")?;
            Err(io::ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert!(error.hint().is_some());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let error = write_archive(directory.path(), "oci-archive:x", |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn a_link_to_a_file_stays_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("x"), directory.path().join("l"));
        fs::write(&path, "old").unwrap();
        fs_err::os::unix::fs::symlink("x", &link).unwrap();
        write_archive(&link, "oci-archive:l", |tar| tar.bytes("a", b"1")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::metadata(&path).unwrap().len() > 1024);
    }
}
