//! A root file system that can be written without being changed: what is written goes elsewhere.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::launch::{Launch, script};
use super::merged::Merged;
use super::overlay::{Overlay, Tools};
use super::remove::RemovedDirectory;
use super::root::Root;

/// How this machine makes such a root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyOnWrite {
    /// An overlay, mounted in namespaces of its own.
    Overlay,
    /// An overlay in user space (fuse-overlayfs).
    Fuse(Tools),
    /// A copy, by reference where the file system can.
    Copy {
        /// `cp`
        cp: PathBuf,
    },
}

/// A root file system that a run may write.
#[derive(Debug)]
pub struct Workspace {
    directory: Holder,
    /// What it stands on, topmost first; the copy, where it is one.
    lower: Vec<PathBuf>,
    /// Unless it is a copy.
    overlay: Option<Overlay>,
    fuse: Option<Tools>,
}

/// Where its files are.
#[derive(Debug)]
enum Holder {
    Removed(RemovedDirectory),
    Kept(PathBuf),
}

impl Holder {
    fn path(&self) -> &Path {
        match self {
            Self::Removed(directory) => directory.path(),
            Self::Kept(path) => path,
        }
    }
}

impl CopyOnWrite {
    /// Tries what this machine can do, best first, with files in `scratch`, and says what did not
    /// work. `path` is a `PATH` in which programs are looked for.
    ///
    /// # Errors
    /// When not even `cp` is there.
    pub fn find(path: Option<&OsStr>, scratch: &Path) -> io::Result<(Self, Option<String>)> {
        Self::find_over(scratch, path, scratch)
    }

    /// The same, for root file systems that lie in the file system of the directory `lower`: not every
    /// one can be under an overlay.
    ///
    /// # Errors
    /// When not even `cp` is there, or nothing can be made in these directories.
    pub fn find_over(
        lower: &Path,
        path: Option<&OsStr>,
        scratch: &Path,
    ) -> io::Result<(Self, Option<String>)> {
        let why = match Self::Overlay.works(lower, scratch)? {
            Ok(way) => return Ok((way, None)),
            Err(said) => said,
        };
        let program = |name: &str| find_program(path, name);
        if let (Some(shell), Some(mount)) = (program("sh"), program("fuse-overlayfs"))
            && let Ok(way) = Self::Fuse(Tools { shell, mount }).works(lower, scratch)?
        {
            return Ok((way, Some(why)));
        }
        let cp = program("cp").ok_or_else(|| io::Error::other("cp is not installed"))?;
        Ok((Self::Copy { cp }, Some(why)))
    }

    /// Whether it can be done here, or why not.
    fn works(self, lower: &Path, scratch: &Path) -> io::Result<Result<Self, String>> {
        let lower = RemovedDirectory::create_in(lower)?;
        fs_err::write(lower.path().join("old"), "")?;
        let workspace = Workspace::create(&self, lower.path(), scratch)?;
        let done = workspace.run_script(r#"rm "$1/old" && : > "$1/new""#);
        Ok(match done {
            Ok((true, _)) => Ok(self),
            Ok((false, said)) => {
                let said = said.lines().next().unwrap_or("it cannot be mounted");
                Err(said.trim().to_owned())
            }
            Err(error) => Err(error.to_string()),
        })
    }

    /// What it is called, for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Fuse(_) => "fuse-overlayfs",
            Self::Copy { .. } => "copy",
        }
    }
}

/// A program in the directories of a `PATH`, or where ordinary users do not look and `mount` may be.
fn find_program(path: Option<&OsStr>, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path.unwrap_or_default())
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from))
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

impl Workspace {
    /// Makes one over the root file system in `lower`, with its files in `scratch`. Nothing may
    /// change `lower` as long as it is there.
    ///
    /// # Errors
    /// When its files cannot be made.
    pub fn create(way: &CopyOnWrite, lower: &Path, scratch: &Path) -> io::Result<Self> {
        Self::over(way, vec![lower.to_owned()], scratch)
    }

    /// Makes one over directories one over the other, topmost first, with its files in `scratch`.
    /// Nothing may change them as long as it is there.
    ///
    /// # Errors
    /// When its files cannot be made, or there is no directory.
    pub fn over(way: &CopyOnWrite, lower: Vec<PathBuf>, scratch: &Path) -> io::Result<Self> {
        let directory = RemovedDirectory::create_in(scratch)?;
        Self::in_directory(way, lower, Holder::Removed(directory))
    }

    /// Makes one over such directories whose files stay, in a directory of ohoci's own; or takes the one
    /// that is there, with what was written to it.
    ///
    /// # Errors
    /// As [`over`](Self::over).
    pub fn kept(way: &CopyOnWrite, lower: Vec<PathBuf>, directory: &Path) -> io::Result<Self> {
        Self::in_directory(way, lower, Holder::Kept(directory.to_owned()))
    }

    fn in_directory(way: &CopyOnWrite, lower: Vec<PathBuf>, directory: Holder) -> io::Result<Self> {
        let fuse = match way {
            CopyOnWrite::Overlay => None,
            CopyOnWrite::Fuse(tools) => Some(tools.clone()),
            CopyOnWrite::Copy { cp } => {
                let root = directory.path().join("root");
                match lower.as_slice() {
                    _ if fs_err::symlink_metadata(&root).is_ok() => {}
                    // With `cp` because it keeps what a whole root file system may have.
                    [lower] => copy(cp, &fs_err::canonicalize(lower)?, &root)?,
                    _ => Merged::open(lower)?.copy_to(&root)?,
                }
                return Ok(Self {
                    lower: vec![root],
                    directory,
                    overlay: None,
                    fuse: None,
                });
            }
        };
        let overlay = match fs_err::symlink_metadata(directory.path().join("root")) {
            Ok(_) => Overlay::open(directory.path(), lower)?,
            Err(_) => Overlay::create(directory.path(), lower)?,
        };
        let overlay = match (&directory, &fuse) {
            (Holder::Removed(_), None) => overlay.thrown_away(),
            _ => overlay,
        };
        Ok(Self {
            lower: overlay.lower().to_vec(),
            overlay: Some(overlay),
            fuse,
            directory,
        })
    }

    /// The root file system, which is there only for what is started in it.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// What can be read of it from here: as it was before anything was written, or as it is, where
    /// it is a copy.
    ///
    /// # Errors
    /// When a directory that it stands on is not there.
    pub fn before(&self) -> io::Result<Root> {
        let merged = Merged::open(self.lower.iter().cloned())?;
        Ok(Root::merged(merged, self.root()))
    }

    /// Gives its root directory permissions.
    ///
    /// # Errors
    /// When they cannot be set.
    pub fn set_root_mode(&self, mode: u32) -> io::Result<()> {
        fs_err::set_permissions(self.written(), std::fs::Permissions::from_mode(mode))
    }

    /// It as it is now, as long as nothing runs in it: what is made in it is there for what is
    /// started then.
    ///
    /// # Errors
    /// When a directory that it is made of is not there.
    pub fn view(&self) -> io::Result<Root> {
        let Some(overlay) = &self.overlay else {
            return Root::open(&self.root());
        };
        let layers = std::iter::once(overlay.upper()).chain(self.lower.iter().cloned());
        Ok(Root::merged(Merged::open(layers)?, self.root()))
    }

    /// What it is mounted from, unless it is a copy, and by what in user space.
    pub(super) fn mounted_from(&self) -> (Option<&Overlay>, Option<&Tools>) {
        (self.overlay.as_ref(), self.fuse.as_ref())
    }

    /// Has a shell of this machine run a script where it is mounted, at `$1`. Gives whether it
    /// succeeded, and what it wrote.
    fn run_script(&self, text: &str) -> io::Result<(bool, String)> {
        script(
            Launch {
                overlay: self.overlay.clone(),
                fuse: self.fuse.clone(),
                ..Launch::of_script(self.root())
            },
            text,
        )
    }

    /// Where what is written to it lands.
    #[must_use]
    pub fn written(&self) -> PathBuf {
        match &self.overlay {
            None => self.root(),
            Some(overlay) => overlay.upper(),
        }
    }
}

fn copy(cp: &Path, from: &Path, to: &Path) -> io::Result<()> {
    let output = Command::new(cp)
        .args(["-a", "--reflink=auto", "--"])
        .args([from, to])
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default();
    Err(io::Error::other(format!(
        "cannot copy {}: {said}",
        from.display()
    )))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn lower() -> (tempfile::TempDir, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let lower = scratch.path().join("a,b:c");
        fs_err::create_dir(&lower).unwrap();
        fs_err::write(lower.join("old"), "old").unwrap();
        (scratch, lower)
    }

    /// Runs a script at the root of a workspace.
    fn run(workspace: &Workspace, text: &str) -> String {
        let text = format!("cd \"$1\"; {text}");
        workspace.run_script(&text).unwrap().1
    }

    #[test]
    fn what_is_written_stays_until_the_end_and_changes_nothing_below() {
        let path = std::env::var_os("PATH");
        let (scratch, lower) = lower();
        let (found, _) = CopyOnWrite::find(path.as_deref(), scratch.path()).unwrap();
        let copy = CopyOnWrite::Copy {
            cp: "/bin/cp".into(),
        };
        let mut ways = vec![found, copy];
        let fuse = "/usr/bin/fuse-overlayfs";
        // It serves users only where the device is everyone's; on some machines it is root's alone.
        let device = fs_err::metadata("/dev/fuse").map_or(0, |file| file.permissions().mode());
        if Path::new(fuse).exists() && device & 0o6 == 0o6 {
            ways.push(CopyOnWrite::Fuse(Tools {
                shell: "/bin/sh".into(),
                mount: fuse.into(),
            }));
        }
        for way in ways {
            let workspace = Workspace::create(&way, &lower, scratch.path()).unwrap();
            assert_eq!(run(&workspace, "echo new > new; rm old; ls"), "new\n");
            assert_eq!(run(&workspace, "cat new"), "new\n", "{}", way.name());
            drop(workspace);
            let left: Vec<_> = fs_err::read_dir(scratch.path()).unwrap().collect();
            assert_eq!(left.len(), 1, "{left:?}");
            assert_eq!(fs_err::read_to_string(lower.join("old")).unwrap(), "old");
            assert!(!lower.join("new").exists());
        }
    }

    #[test]
    fn of_directories_that_have_the_same_file_the_topmost_is_seen() {
        let path = std::env::var_os("PATH");
        let scratch = tempfile::tempdir().unwrap();
        let (found, _) = CopyOnWrite::find(path.as_deref(), scratch.path()).unwrap();
        let CopyOnWrite::Overlay = found else {
            return;
        };
        // More, and with longer names, than options may have characters.
        let mut lower = Vec::new();
        for number in 0..40 {
            let directory = scratch.path().join(format!("{number}-{}", "x".repeat(200)));
            fs_err::create_dir(&directory).unwrap();
            fs_err::write(directory.join("all"), number.to_string()).unwrap();
            fs_err::write(directory.join(format!("one-{number}")), "").unwrap();
            lower.push(directory);
        }
        let directory = scratch.path().join("overlay");
        fs_err::create_dir(&directory).unwrap();
        let overlay = Overlay::create(&directory, lower.clone()).unwrap();
        let overlay = overlay.thrown_away();
        fs_err::write(overlay.upper().join("put"), "").unwrap();
        let launch = || Launch {
            overlay: Some(overlay.clone()),
            ..Launch::of_script(overlay.root())
        };
        let text = "cd \"$1\"; cat all; ls | wc -l; rm all";
        assert_eq!(script(launch(), text).unwrap(), (true, "042\n".to_owned()));
        // Once more, with what was written, and where the kernel left its mark.
        let text = "cd \"$1\"; grep -o ' .*volatile' /proc/self/mounts | grep -c upperdir; ls all";
        let (succeeded, said) = script(launch(), text).unwrap();
        assert!(!succeeded && said.starts_with("1\n"), "{said}");
        assert!(
            lower
                .iter()
                .all(|directory| directory.join("all").is_file())
        );
    }

    #[test]
    fn without_tools_it_is_a_copy_and_why_is_said() {
        let (scratch, _) = lower();
        let way = CopyOnWrite::Fuse(Tools {
            shell: "/bin/sh".into(),
            mount: "/bin/false".into(),
        });
        let works = way.works(scratch.path(), scratch.path());
        assert!(works.unwrap().is_err());
    }
}
