//! What a program finds itself in, as data.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::seccomp::Calls;

/// The name of a sandbox's machine, unless it is given another.
pub const HOST_NAME: &str = "ohoci";

/// A root file system, what is put over it, and who the program is in it.
///
/// Paths inside are absolute and free of symlinks: whoever makes the description resolves them (see
/// [`Root`](super::Root)), because bubblewrap would follow an absolute symlink of the root file
/// system out of it. Mount points are there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The directory that becomes `/`.
    pub root: PathBuf,
    /// Whether the root file system can be written.
    pub writable: bool,
    /// Files and directories of this machine that are put over it.
    pub binds: Vec<Bind>,
    /// Directories over which an empty file system in memory is put.
    pub temporary: Vec<PathBuf>,
    /// All of the program's environment.
    pub environment: Vec<(String, String)>,
    /// The working directory.
    pub directory: PathBuf,
    /// The user that the program believes to be; outside it is whoever runs it, and where that is
    /// root, a user without any rights.
    pub user: u32,
    /// The group that it believes to be in.
    pub group: u32,
    /// What it can reach.
    pub network: Network,
    /// What it finds its machine to be called.
    pub host_name: String,
    /// What it may ask of the kernel.
    pub calls: Calls,
}

/// Where something is put over a root file system, and what; an empty file system in memory where
/// it is nothing.
pub(super) type Over<'a> = (&'a Path, Option<&'a Bind>);

impl Sandbox {
    /// All that is put over the root file system. What lies deeper comes later, or else what is put
    /// above would hide it.
    pub(super) fn over_all(&self) -> Vec<Over<'_>> {
        let temporary = self.temporary.iter().map(|path| (path.as_path(), None));
        let binds = self.binds.iter();
        let binds = binds.map(|bind| (bind.destination.as_path(), Some(bind)));
        let mut over: Vec<_> = temporary.chain(binds).collect();
        over.sort_by_key(|(path, _)| path.components().count());
        over
    }

    /// What of it is put over what is the image's own.
    pub(super) fn over(&self) -> Vec<Over<'_>> {
        let mut over = self.over_all();
        over.retain(|(path, _)| !is_of_sandbox(path));
        over
    }

    /// What of it is put over what every sandbox has of its own.
    pub(super) fn over_own(&self) -> Vec<Over<'_>> {
        let mut over = self.over_all();
        over.retain(|(path, _)| is_of_sandbox(path));
        over
    }

    /// Everything in the root file system that something is mounted over.
    pub(super) fn mount_points(&self) -> Vec<&Path> {
        let own = [Path::new("/proc"), Path::new("/dev")];
        let over = self.over().into_iter().map(|(path, _)| path);
        own.into_iter().chain(over).collect()
    }
}

/// Whether a path is in a file system that every sandbox has of its own.
fn is_of_sandbox(path: &Path) -> bool {
    ["/proc", "/dev"].iter().any(|own| path.starts_with(own))
}

/// A file or directory of this machine that is seen inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where it is on this machine.
    pub source: PathBuf,
    /// Where it is inside.
    pub destination: PathBuf,
    /// Whether it can be written there.
    pub writable: bool,
}

/// What a sandbox can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Nothing but itself, on loopback.
    #[default]
    None,
    /// Nothing but itself, though there is a way out: what takes it is lost, and whoever waits for an
    /// answer waits in vain.
    DeadEnd,
    /// What this machine can, and this machine.
    Host,
}

/// Why text is no [`Bind`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}: {reason}; write SRC:DST or SRC:DST:ro")]
pub struct BindError {
    text: String,
    reason: &'static str,
}

impl FromStr for Bind {
    type Err = BindError;

    /// Reads `SRC:DST`, which can be written inside, or `SRC:DST:ro`, which cannot.
    fn from_str(text: &str) -> Result<Self, BindError> {
        let fail = |reason| BindError {
            text: text.to_owned(),
            reason,
        };
        let (paths, writable) = match text.strip_suffix(":ro") {
            Some(paths) => (paths, false),
            None => (text.strip_suffix(":rw").unwrap_or(text), true),
        };
        // The last colon: the path inside is the one that its writer chooses freely.
        let (source, destination) = paths
            .rsplit_once(':')
            .ok_or_else(|| fail("it does not say where it is to be seen"))?;
        if source.is_empty() {
            return Err(fail("it does not say what is to be seen"));
        }
        if !destination.starts_with('/') {
            return Err(fail("the path inside does not begin with `/`"));
        }
        let destination = super::root::cleaned(Path::new(destination));
        if destination == Path::new("/") {
            return Err(fail("it would cover the whole root file system"));
        }
        Ok(Self {
            source: source.into(),
            destination,
            writable,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_read() {
        for (text, source, destination, writable) in [
            ("a:/b", "a", "/b", true),
            ("a:/b/../c/:ro", "a", "/c", false),
            ("/x:y:/b:rw", "/x:y", "/b", true),
        ] {
            let bind: Bind = text.parse().unwrap();
            assert_eq!(bind.source, Path::new(source), "{text}");
            assert_eq!(bind.destination, Path::new(destination), "{text}");
            assert_eq!(bind.writable, writable, "{text}");
        }
        for text in ["", "a", "a:", ":/b", "a:b", "a:/", "a:/..:ro", "ro:ro"] {
            assert!(text.parse::<Bind>().is_err(), "{text}");
        }
    }
}
