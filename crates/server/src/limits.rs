//! How many connections and uploads fit into the files that the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are left for everything else: standard streams, the listener, the runtime, the
/// lock, the files of a moment, and connections that are turned away.
const RESERVED: u64 = 64;

/// Most connections at once, however many descriptors there are: each may hold a mebibyte.
const MOST_CONNECTIONS: usize = 4096;

/// Most unfinished uploads at once, however many descriptors there are.
const MOST_UPLOADS: usize = 10_000;

/// As many descriptors as both limits can make use of.
const ENOUGH: u64 = 65_536;

/// What a server may have open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Connections; each needs a descriptor, and while it answers one for a file.
    pub(super) connections: usize,
    /// Uploads that are not finished; each holds a file open.
    pub(super) uploads: usize,
}

impl Limits {
    /// What fits into a number of descriptors: three quarters are for connections, one is for
    /// uploads. `None` when that would be next to nothing.
    pub(super) fn within(descriptors: u64) -> Option<Self> {
        let free = descriptors
            .checked_sub(RESERVED)
            .filter(|free| *free >= 16)?;
        let bounded =
            |share: u64, most: usize| usize::try_from(share).map_or(most, |share| share.min(most));
        Some(Self {
            connections: bounded(free / 8 * 3, MOST_CONNECTIONS),
            uploads: bounded(free / 4, MOST_UPLOADS),
        })
    }

    /// The same, but not above what was asked for.
    pub(super) fn at_most(self, connections: Option<usize>, uploads: Option<usize>) -> Self {
        let lower = |limit: usize, asked: Option<usize>| {
            asked.map_or(limit, |asked| limit.min(asked.max(1)))
        };
        Self {
            connections: lower(self.connections, connections),
            uploads: lower(self.uploads, uploads),
        }
    }
}

/// How many files this process may have open.
pub(super) fn descriptors() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Lets this process have as many files open as a server can use and the hard limit permits.
///
/// For a process that does nothing else: programs that it starts inherit the limit.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(ENOUGH, |hard| hard.min(ENOUGH));
    if limit.current.is_some_and(|soft| soft < wanted) {
        // Where it is refused, the server makes do with what it has.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(wanted),
                maximum: limit.maximum,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_uploads_stay_below_the_descriptors() {
        for descriptors in [80, 128, 256, 1024, 4096, 65_536, 1 << 20, u64::MAX] {
            let limits = Limits::within(descriptors).unwrap();
            let used = 2 * limits.connections as u64 + limits.uploads as u64;
            assert!(
                used + RESERVED <= descriptors,
                "{limits:?} of {descriptors}"
            );
            assert!(limits.connections >= 6 && limits.uploads >= 4, "{limits:?}");
        }
        assert_eq!(Limits::within(79), None);
        assert_eq!(Limits::within(0), None);
    }

    #[test]
    fn a_wish_lowers_a_limit_and_never_raises_it() {
        let limits = Limits::within(128).unwrap();
        let asked = limits.at_most(Some(3), Some(0));
        assert_eq!((asked.connections, asked.uploads), (3, 1));
        assert_eq!(limits.at_most(Some(1_000_000), None), limits);
    }
}
