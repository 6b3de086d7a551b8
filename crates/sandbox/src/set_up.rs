//! Whether bubblewrap has mounted what it was to mount where it was to: it goes by paths, and whoever
//! moves a directory of the root file system meanwhile moves what is mounted on it, or has it mounted
//! somewhere else.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;
use tokio::time::{Instant, sleep};

use super::covers::{Cover, covers};
use super::mount_table::Mount;
use super::remove::is_private;
use super::staging::PrepareError;

/// How long it may take until all is mounted, and the time between two looks.
const TIMEOUT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_micros(500);

/// A root file system that others could write to while a sandbox starts in it.
#[derive(Clone, Debug)]
pub(super) struct SharedRoot {
    path: PathBuf,
    /// Its device and inode.
    identity: (u64, u64),
}

impl SharedRoot {
    /// The one at a path; `None` where it is ohoci's own, which no other user can enter, or this
    /// machine's.
    pub(super) fn find(path: &Path) -> Option<Self> {
        let identity = identity(path).ok()?;
        if is_private(path) || identity == self::identity(Path::new("/")).ok()? {
            return None;
        }
        Some(Self {
            path: path.to_owned(),
            identity,
        })
    }

    /// Waits until bubblewrap, given the first process that it runs in, has mounted everything, and
    /// looks at that from outside. It must not have begun to run the program by then.
    ///
    /// # Errors
    /// When something is not where it was to be.
    pub(super) async fn is_set_up(&self, first: Pid) -> Result<(), PrepareError> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            // Where the kernel does not tell, nothing can be looked at.
            let Some(processes) = with_children(first) else {
                return Ok(());
            };
            for process in processes {
                // Only when all is mounted bubblewrap makes it its root. What cannot be looked at has
                // ended, or is not for us to look at.
                if identity(&process.join("root")).is_ok_and(|found| found == self.identity)
                    && let Ok(mounts) = Mount::all_of(&process)
                {
                    return match is_as_described(&mounts, covers()) {
                        true => Ok(()),
                        false => Err(self.refused(
                            "something has moved its /proc or /dev while the sandbox was made",
                        )),
                    };
                }
            }
            let first = PathBuf::from(format!("/proc/{}/root", first.as_raw_nonzero()));
            match fs_err::metadata(first) {
                Err(_) => return Ok(()),
                Ok(_) if Instant::now() > deadline => {
                    return Err(self.refused("bwrap does not come to an end with its mounts"));
                }
                Ok(_) => sleep(PAUSE).await,
            }
        }
    }

    fn refused(&self, why: &str) -> PrepareError {
        PrepareError {
            hint: Some("let nothing else write to it meanwhile, or use a copy of it"),
            ..PrepareError::new(
                format!("use {} as a root file system", self.path.display()),
                io::Error::other(why.to_owned()),
            )
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs_err::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// The directories below `/proc` of a process and of those that it started. None where it is gone, or
/// the kernel was built without telling that (`CONFIG_PROC_CHILDREN`).
fn with_children(first: Pid) -> Option<Vec<PathBuf>> {
    let first = first.as_raw_nonzero();
    let children = fs_err::read_to_string(format!("/proc/{first}/task/{first}/children"));
    let children = children.ok()?;
    let all = std::iter::once(first.to_string())
        .chain(children.split_whitespace().map(str::to_owned))
        .map(|number| Path::new("/proc").join(number));
    Some(all.collect())
}

/// Whether `/proc` and `/dev` are the sandbox's own, at their places, and what is to be covered in
/// `/proc` is covered: whoever moves a directory while bubblewrap mounts on it moves what is mounted.
fn is_as_described(mounts: &[Mount], covers: &[Cover]) -> bool {
    let at = |point: &str, kind: &str| {
        mounts
            .iter()
            .find(|mount| mount.point == point && mount.kind == kind)
    };
    let Some(processes) = at("/proc", "proc") else {
        return false;
    };
    let is_covered = |cover: &Cover| {
        let path = cover.path.to_string_lossy();
        mounts
            .iter()
            .any(|mount| mount.on == processes.number && mount.point == *path)
    };
    at("/dev", "tmpfs").is_some() && covers.iter().all(is_covered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::covers::CoverKind;

    const LINES: &str = "\
10 9 254:0 /root / rw,nosuid - ext4 /dev/vda rw
11 10 0:50 / /proc rw,nosuid - proc proc rw
12 11 0:50 /sys /proc/sys ro,nosuid - proc proc rw
13 10 0:51 / /dev rw,nosuid master:1 - tmpfs tmpfs rw,size=1k
14 10 254:0 /x /a\\040b rw - ext4 /dev/vda rw
";

    fn mounts(text: &str) -> Vec<Mount> {
        text.lines().filter_map(Mount::parse).collect()
    }

    #[test]
    fn what_was_moved_is_noticed() {
        let covers = [Cover {
            path: "/proc/sys".into(),
            kind: CoverKind::ReadOnly,
        }];
        let is_right = |text: &str| is_as_described(&mounts(text), &covers);
        assert!(is_right(LINES));
        assert!(!is_right(&LINES.replace(" /proc", " /was")));
        assert!(!is_right(&LINES.replace(" /dev ", " /was ")));
        // Covered somewhere else, by what was put in the place of `/proc` meanwhile.
        assert!(!is_right(&LINES.replace("12 11", "12 10")));
        assert!(!is_right(&LINES.replace("/proc/sys", "/proc/other")));
    }
}
