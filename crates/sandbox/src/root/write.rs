//! Files that are put into a root file system in which nothing runs.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::Errno;

use super::{Backing, Root, RootError, cleaned, inside, resolve};
use crate::replacement::put;

impl Root {
    /// Writes a file, in the place of one that is there, with all its content or not at all.
    /// Directories above it are made, symlinks are followed inside. Returns its path without symlinks.
    ///
    /// # Errors
    /// When it cannot be written, or something that is no regular file is there.
    pub fn write(
        &self,
        path: &Path,
        content: &mut dyn Read,
        mode: u32,
    ) -> Result<PathBuf, RootError> {
        let path = cleaned(path);
        let failed = |error| self.error("write", &path, error);
        // Made where it is missing, so that it is found out where a link leads, and what is there.
        let real = self.file(&path)?;
        let (above, name) = self.place_of(&real).map_err(failed)?;
        put(&above, &name, content, (mode, None)).map_err(failed)?;
        Ok(real)
    }

    /// The directory that a path without symlinks lies in, where it can be written, and its name there.
    fn place_of(&self, path: &Path) -> io::Result<(OwnedFd, OsString)> {
        let name = path.file_name().ok_or(Errno::ISDIR)?.to_owned();
        let parent = path.parent().unwrap_or(Path::new("/"));
        let (above, kind) = match &self.place {
            Backing::Directory(root) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let above = resolve(root, parent, flags)?;
                if inside(root, &above)? != parent {
                    return Err(Errno::LOOP.into());
                }
                let there = resolve(root, path, OFlags::PATH | OFlags::NOFOLLOW)?;
                (above, fstat(&there)?.st_mode)
            }
            Backing::Merged(merged) => {
                let kind = merged.find(path)?.stat()?.st_mode;
                (merged.copied_up(parent)?, kind)
            }
        };
        match FileType::from_raw_mode(kind) {
            FileType::RegularFile => Ok((above, name)),
            _ => Err(io::Error::other("it is no regular file")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rustix::fs::Mode;

    use super::*;
    use crate::merged::Merged;

    #[test]
    fn files_land_behind_links_and_only_whole() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| scratch.path().join(path);
        fs_err::create_dir_all(at("low/real")).unwrap();
        fs_err::create_dir(at("top")).unwrap();
        fs_err::write(at("low/file"), "low").unwrap();
        fs_err::os::unix::fs::symlink("real", at("low/link")).unwrap();
        fs_err::os::unix::fs::symlink("../../../file", at("low/out")).unwrap();
        let merged = Merged::open([at("top"), at("low")]).unwrap();
        let root = Root::merged(merged, at("root"));
        let write =
            |path: &str, text: &str| root.write(Path::new(path), &mut text.as_bytes(), 0o100_640);
        assert_eq!(write("/link/a/b", "new").unwrap(), Path::new("/real/a/b"));
        assert_eq!(write("/out", "over").unwrap(), Path::new("/file"));
        let read = |path: &str| fs_err::read_to_string(at(path)).unwrap();
        assert_eq!(
            (read("top/real/a/b"), read("top/file")),
            ("new".into(), "over".into())
        );
        assert_eq!(read("low/file"), "low");
        let mode = fs_err::metadata(at("top/file"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o640);
        assert!(write("/real", "x").is_err());
        assert!(write("/", "x").is_err());

        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        assert!(root.write(Path::new("/file"), &mut Broken, 0o644).is_err());
        assert_eq!(read("top/file"), "over");
        assert_eq!(fs_err::read_dir(at("top")).unwrap().count(), 2);

        // The same in a directory.
        let root = Root::open(&at("low")).unwrap();
        root.write(Path::new("/out"), &mut &b"own"[..], 0o644)
            .unwrap();
        assert_eq!(read("low/file"), "own");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("low/pipe"),
            FileType::Fifo,
            Mode::from_raw_mode(0o644),
            0,
        )
        .unwrap();
        assert!(
            root.write(Path::new("/pipe"), &mut &b"own"[..], 0o644)
                .is_err()
        );
    }
}
