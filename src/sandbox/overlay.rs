//! A root file system that can be written without being changed: what is written goes elsewhere.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::remove::RemovedDirectory;

/// Mounts the overlay in namespaces of its own and turns into what stands behind.
///
/// Everything is named from the directory that holds it: paths may have characters that end an
/// option. `userxattr` (Linux 5.11) is what lets an ordinary user mount it.
const MOUNT: &str = r#"cd "$1" || exit 125
"$2" -t overlay -o lowerdir=lower,upperdir=upper,workdir=work,userxattr overlay root || exit 125
cd / && shift 2 && exec "$@""#;

/// The same by a file system in user space. Its process would outlast what is started, being in
/// the namespace that keeps the mount: the shell stays and unmounts it. It must not keep open what
/// belongs to what is started.
const MOUNT_FUSE: &str = r#"cd "$1" || exit 125
"$2" -o lowerdir=lower,upperdir=upper,workdir=work root </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- || exit 125
root=$1/root; cd /; shift 2; "$@"; code=$?
umount "$root" 3>&- 4>&- 5>&-; exit "$code""#;

/// How this machine makes such a root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyOnWrite {
    /// An overlay, mounted in namespaces of its own.
    Overlay(Tools),
    /// An overlay in user space (fuse-overlayfs).
    Fuse(Tools),
    /// A copy, by reference where the file system can.
    Copy {
        /// `cp`
        cp: PathBuf,
    },
}

/// The programs that mount an overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    shell: PathBuf,
    unshare: PathBuf,
    mount: PathBuf,
}

/// A root file system that a run may write.
#[derive(Debug)]
pub struct Workspace {
    directory: RemovedDirectory,
    lower: PathBuf,
    before: Vec<OsString>,
}

impl CopyOnWrite {
    /// Tries what this machine can do, best first, with files in `scratch`, and says what did not
    /// work. `path` is a `PATH` in which programs are looked for.
    ///
    /// # Errors
    /// When not even `cp` is there.
    pub fn find(path: Option<&OsStr>, scratch: &Path) -> io::Result<(Self, Option<String>)> {
        let program = |name: &str| {
            std::env::split_paths(path.unwrap_or_default())
                // Where ordinary users do not look, and `mount` may be.
                .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from))
                .filter(|directory| directory.is_absolute())
                .map(|directory| directory.join(name))
                .find(|program| program.is_file())
        };
        let tools = |mount: &str| {
            Some(Tools {
                shell: program("sh")?,
                unshare: program("unshare")?,
                mount: program(mount)?,
            })
        };
        let mut why = "unshare, mount or sh is not installed".to_owned();
        if let Some(tools) = tools("mount") {
            match Self::Overlay(tools).works(scratch)? {
                Ok(way) => return Ok((way, None)),
                Err(said) => why = said,
            }
        }
        if let Some(tools) = tools("fuse-overlayfs")
            && let Ok(way) = Self::Fuse(tools).works(scratch)?
        {
            return Ok((way, Some(why)));
        }
        let cp = program("cp").ok_or_else(|| io::Error::other("cp is not installed"))?;
        Ok((Self::Copy { cp }, Some(why)))
    }

    /// Whether it can be done here, or why not.
    fn works(self, scratch: &Path) -> io::Result<Result<Self, String>> {
        let lower = RemovedDirectory::create_in(scratch)?;
        fs_err::write(lower.path().join("old"), "")?;
        let workspace = Workspace::create(&self, lower.path(), scratch)?;
        let Some((first, words)) = workspace.before.split_first() else {
            return Ok(Ok(self));
        };
        let root = workspace.root();
        let script = r#"rm "$1/old" && : > "$1/new""#;
        let output = Command::new(first)
            .args(words)
            .args(["/bin/sh", "-c", script, "sh"])
            .arg(&root)
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(Ok(self));
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or("it cannot be mounted");
        Ok(Err(said.trim().to_owned()))
    }

    /// What it is called, for messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Overlay(_) => "overlay",
            Self::Fuse(_) => "fuse-overlayfs",
            Self::Copy { .. } => "copy",
        }
    }
}

impl Workspace {
    /// Makes one over the root file system in `lower`, with its files in `scratch`. Nothing may
    /// change `lower` as long as it is there.
    ///
    /// # Errors
    /// When its files cannot be made.
    pub fn create(way: &CopyOnWrite, lower: &Path, scratch: &Path) -> io::Result<Self> {
        let directory = RemovedDirectory::create_in(scratch)?;
        let at = |name: &str| directory.path().join(name);
        let lower = fs_err::canonicalize(lower)?;
        let (script, tools) = match way {
            CopyOnWrite::Overlay(tools) => (MOUNT, tools),
            CopyOnWrite::Fuse(tools) => (MOUNT_FUSE, tools),
            CopyOnWrite::Copy { cp } => {
                copy(cp, &lower, &at("root"))?;
                return Ok(Self {
                    lower: at("root"),
                    directory,
                    before: Vec::new(),
                });
            }
        };
        for name in ["upper", "work", "root"] {
            fs_err::create_dir(at(name))?;
        }
        // The upper directory's permissions are those of `/`.
        let permissions = fs_err::metadata(&lower)?.permissions();
        fs_err::set_permissions(at("upper"), permissions)?;
        fs_err::os::unix::fs::symlink(&lower, at("lower"))?;
        let mut before: Vec<OsString> = vec![tools.unshare.clone().into()];
        before.extend(["--user", "--map-root-user", "--mount", "--"].map(OsString::from));
        before.extend([tools.shell.clone().into(), "-c".into(), script.into()]);
        before.extend([
            "sh".into(),
            directory.path().into(),
            tools.mount.clone().into(),
        ]);
        Ok(Self {
            directory,
            lower,
            before,
        })
    }

    /// The root file system, which is there only for what is started by [`before`](Self::before).
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// What can be read of it from here: as it was before anything was written, or as it is, where
    /// it is a copy.
    #[must_use]
    pub fn readable(&self) -> &Path {
        &self.lower
    }

    /// The command line that a program has to be started by to see it.
    #[must_use]
    pub fn before(&self) -> &[OsString] {
        &self.before
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
    use super::*;

    fn lower() -> (tempfile::TempDir, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let lower = scratch.path().join("a,b:c");
        fs_err::create_dir(&lower).unwrap();
        fs_err::write(lower.join("old"), "old").unwrap();
        (scratch, lower)
    }

    /// Runs a script at the root of a workspace.
    fn run(workspace: &Workspace, script: &str) -> String {
        let mut words = workspace.before().to_vec();
        words.extend(["/bin/sh", "-c", "cd \"$1\"; eval \"$2\"", "sh"].map(OsString::from));
        words.extend([workspace.root().into(), script.into()]);
        let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        String::from_utf8(output.stdout).unwrap()
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
        if Path::new(fuse).exists() {
            ways.push(CopyOnWrite::Fuse(Tools {
                shell: "/bin/sh".into(),
                unshare: "/usr/bin/unshare".into(),
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
    fn without_tools_it_is_a_copy_and_why_is_said() {
        let (scratch, _) = lower();
        let nothing = Tools {
            shell: "/bin/sh".into(),
            unshare: "/bin/false".into(),
            mount: "/bin/false".into(),
        };
        let way = CopyOnWrite::Overlay(nothing);
        assert!(way.works(scratch.path()).unwrap().is_err());
    }
}
