//! What a program finds itself in, as data.

use std::path::{Path, PathBuf};
use std::str::FromStr;

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
    /// The user that the program believes to be; outside it is whoever runs it.
    pub user: u32,
    /// The group that it believes to be in.
    pub group: u32,
    /// What it can reach.
    pub network: Network,
    /// What it finds its machine to be called.
    pub host_name: String,
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
