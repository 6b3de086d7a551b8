//! Directories that are mounted one over the other.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::remove::remove;

/// What the kernel mounts an overlay from. Everything is named from the directory that holds it:
/// paths may have characters that end an option, and many of them may be longer than options may
/// be. `userxattr` (Linux 5.11) is what lets an ordinary user mount it.
const OPTIONS: &str = "upperdir=upper,workdir=work,userxattr";

/// What more it is mounted with where nothing of it is to stay (Linux 5.10).
const VOLATILE: &str = ",volatile";

/// Mounts it by a file system in user space and starts what stands behind. Its process would outlast
/// that, being in the namespace that keeps the mount: the shell stays and unmounts it. It must not
/// keep open what belongs to what is started.
const MOUNT_FUSE: &str = r#"(cd "$1" && exec "$2" -o "lowerdir=$3,upperdir=upper,workdir=work" root </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&-) || exit 125
root=$1/root; shift 3; "$@"; code=$?
umount "$root" 3>&- 4>&- 5>&- 6>&-; exit "$code""#;

/// The programs that mount an overlay in user space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// A shell.
    pub(super) shell: PathBuf,
    /// fuse-overlayfs.
    pub(super) mount: PathBuf,
}

/// Directories one over the other, and over them one that takes what is written: what the root file
/// system is mounted from.
#[derive(Clone, Debug)]
pub struct Overlay {
    directory: PathBuf,
    lower: Vec<PathBuf>,
    is_thrown_away: bool,
}

impl Overlay {
    /// Makes what it needs in a directory that is there and has no other use, over the directories of
    /// `lower`, topmost first. Nothing may change those as long as it is mounted.
    ///
    /// # Errors
    /// When its directories cannot be made, or one of `lower` is not there.
    pub fn create(directory: &Path, lower: Vec<PathBuf>) -> io::Result<Self> {
        let directory = fs_err::canonicalize(directory)?;
        for name in ["upper", "work", "root"] {
            fs_err::create_dir(directory.join(name))?;
        }
        // The upper directory's permissions are those of `/`.
        if let Some(topmost) = lower.first() {
            let permissions = fs_err::metadata(topmost)?.permissions();
            fs_err::set_permissions(directory.join("upper"), permissions)?;
        }
        Self::open(&directory, lower)
    }

    /// The same of a directory in which one was made before, with what was written to it. It may stand
    /// on other directories now, with the same files.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn open(directory: &Path, lower: Vec<PathBuf>) -> io::Result<Self> {
        let directory = fs_err::canonicalize(directory)?;
        let lower: Vec<PathBuf> = lower
            .into_iter()
            .map(fs_err::canonicalize)
            .collect::<io::Result<_>>()?;
        for (number, path) in lower.iter().enumerate() {
            let link = directory.join(number.to_string());
            match fs_err::remove_file(&link) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => fs_err::os::unix::fs::symlink(path, link)?,
            }
        }
        Ok(Self {
            directory,
            lower,
            is_thrown_away: false,
        })
    }

    /// The same, of which nothing is to outlast a machine that breaks down: then the kernel need not
    /// write to the disk what programs have written when they ask for it, nor, when it is unmounted,
    /// everything that waits to be written in that file system, whoever wrote it.
    #[must_use]
    pub fn thrown_away(self) -> Self {
        Self {
            is_thrown_away: true,
            ..self
        }
    }

    /// Makes it ready to be mounted, once more perhaps; nothing has it mounted.
    pub(super) fn prepare(&self) -> io::Result<()> {
        // The kernel has left a mark that what is in it may be lost, by which it refuses to mount it again
        // (Documentation/filesystems/overlayfs.rst, "Volatile mount"). The machine has not broken down since.
        let work = self.directory.join("work");
        if self.is_thrown_away && fs_err::symlink_metadata(work.join("work")).is_ok() {
            remove(&work)?;
            fs_err::create_dir(&work)?;
        }
        Ok(())
    }

    /// The root file system, which is there only for what is started in it.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// Where what is written lands. What is put there before it is mounted is seen in it.
    #[must_use]
    pub fn upper(&self) -> PathBuf {
        self.directory.join("upper")
    }

    /// What it stands on, topmost first.
    #[must_use]
    pub fn lower(&self) -> &[PathBuf] {
        &self.lower
    }

    /// The directory that holds all of it.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Says that its directory is seen elsewhere.
    pub(super) fn is_now_in(&mut self, directory: PathBuf) {
        self.directory = directory;
    }

    /// What it stands on, as named from its directory.
    pub(super) fn numbers(&self) -> String {
        let numbers = (0..self.lower.len()).map(|number| number.to_string());
        numbers.collect::<Vec<_>>().join(":")
    }

    /// The options that the kernel mounts it by, where it stands on that.
    pub(super) fn options(&self, lower: &str) -> String {
        let more = match self.is_thrown_away {
            true => VOLATILE,
            false => "",
        };
        format!("lowerdir={lower},{OPTIONS}{more}")
    }

    /// The command line that mounts it in user space, and starts the words that are added.
    pub(super) fn mounted_by(&self, tools: &Tools, lower: &str) -> Vec<OsString> {
        let mut before: Vec<OsString> = vec![tools.shell.clone().into()];
        before.extend(["-c", MOUNT_FUSE, "sh"].map(OsString::from));
        before.extend([
            self.directory.clone().into(),
            tools.mount.clone().into(),
            lower.into(),
        ]);
        before
    }
}
