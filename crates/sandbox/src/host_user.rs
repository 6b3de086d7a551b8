//! Who a sandbox is outside, where root starts it: never root.

use std::path::Path;

use rustix::process::{Gid, Uid};

/// Where subordinate ids are listed (subuid(5), subgid(5)), users first.
const SUBORDINATE: [&str; 2] = ["etc/subuid", "etc/subgid"];

/// Where this process's user namespace says which ids there are (user_namespaces(7)).
const MAPS: [&str; 2] = ["proc/self/uid_map", "proc/self/gid_map"];

/// Where users and groups are listed.
const LISTS: [&str; 2] = ["etc/passwd", "etc/group"];

/// Taken where root has no subordinate ids: the first is in a range that nothing hands out (systemd,
/// "Users, Groups, UIDs and GIDs on systemd Systems"); the second exists in containers that have
/// the usual 65,536 ids.
const FIXED: [u32; 2] = [1_900_000_000, 64_999];

/// A user and its group, without any rights on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostUser {
    pub(super) user: u32,
    pub(super) group: u32,
}

/// There is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("root has no other user to run it as: neither subordinate ids nor free ones")]
pub(super) struct NoHostUser;

impl NoHostUser {
    pub(super) const HINT: &'static str = "give root subordinate ids (usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST root), or run it as an ordinary user";
}

impl HostUser {
    pub(super) fn uid(self) -> Uid {
        Uid::from_raw(self.user)
    }

    pub(super) fn gid(self) -> Gid {
        Gid::from_raw(self.group)
    }

    /// Whom a sandbox runs as; `None` where that is whoever calls.
    ///
    /// # Errors
    /// Where the caller is root and no other user is mapped.
    pub(super) fn find() -> Result<Option<Self>, NoHostUser> {
        let user = rustix::process::geteuid();
        if !user.is_root() {
            // In a user namespace root may have another number.
            let text = fs_err::read_to_string("/proc/self/uid_map").unwrap_or_default();
            return match Map::parse(&text).outside(user.as_raw()) {
                Some(0) => Err(NoHostUser),
                _ => Ok(None),
            };
        }
        Self::below(Path::new("/"))
    }

    /// The same for root, with the files below a directory, which is `/` but in tests.
    fn below(root: &Path) -> Result<Option<Self>, NoHostUser> {
        let read = |path: &str| fs_err::read_to_string(root.join(path)).unwrap_or_default();
        let maps = MAPS.map(|path| Map::parse(&read(path)));
        // A user alone in a namespace, with another id outside, is not root.
        if maps.iter().all(Map::is_one_ordinary) {
            return Ok(None);
        }
        let mut ids = [None; 2];
        for (id, ((subordinate, list), map)) in
            ids.iter_mut().zip(SUBORDINATE.iter().zip(LISTS).zip(&maps))
        {
            let taken = read(list);
            *id = subordinate_of_root(&read(subordinate))
                .filter(|id| map.has(*id))
                .or_else(|| {
                    FIXED
                        .into_iter()
                        .find(|id| map.has(*id) && !is_listed(&taken, *id))
                });
        }
        match ids {
            [Some(user), Some(group)] => Ok(Some(Self { user, group })),
            _ => Err(NoHostUser),
        }
    }
}

/// The first of root's.
fn subordinate_of_root(text: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_root = matches!(fields.next(), Some("root" | "0"));
        let first = fields.next()?.parse().ok()?;
        let count: u32 = fields.next()?.trim().parse().ok()?;
        (is_root && count > 0 && first > 0).then_some(first)
    })
}

/// Whether a list of users or groups, in which ids are third, has an id.
fn is_listed(text: &str, id: u32) -> bool {
    text.lines()
        .filter_map(|line| line.split(':').nth(2))
        .any(|field| field.parse() == Ok(id))
}

/// What ids there are: their first, whose they are outside, and how many.
struct Map(Vec<(u32, u32, u32)>);

impl Map {
    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let mut fields = line.split_whitespace().map(str::parse);
            let mut next = || fields.next()?.ok();
            Some((next()?, next()?, next()?))
        };
        Self(text.lines().filter_map(line).collect())
    }

    fn has(&self, id: u32) -> bool {
        let holds = |(first, _, count): &(u32, u32, u32)| {
            id.checked_sub(*first).is_some_and(|offset| offset < *count)
        };
        self.0.iter().any(holds)
    }

    /// Who an id is in the user namespace around this one.
    fn outside(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|(first, outside, count)| {
            let offset = id.checked_sub(*first).filter(|offset| offset < count)?;
            outside.checked_add(offset)
        })
    }

    fn is_one_ordinary(&self) -> bool {
        matches!(self.0.as_slice(), [(0, outside, 1)] if *outside != 0)
    }
}

/// The ranges of a map that shows an owner as another id and all others as they are: what is owned
/// by `shown` itself has the kernel's overflow id. Of ids only those up to `last` are there.
pub(super) fn shown_as(owner: u32, shown: u32, last: u32) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{owner} {shown} 1\n");
    let mut cuts = [owner, shown];
    cuts.sort_unstable();
    let mut first = 0;
    let mut range = |first: u32, end: u32| {
        if let Some(count) = end.checked_sub(first).filter(|count| *count > 0) {
            let _ = writeln!(text, "{first} {first} {count}");
        }
    };
    for cut in cuts {
        range(first, cut.min(last.saturating_add(1)));
        first = cut.saturating_add(1);
    }
    range(first, last.saturating_add(1));
    text
}

/// The last of the ids that begin with 0 in this process's user namespace.
pub(super) fn last_ids() -> [u32; 2] {
    MAPS.map(|path| {
        let text = fs_err::read_to_string(Path::new("/").join(path)).unwrap_or_default();
        let map = Map::parse(&text);
        let of_root = map.0.iter().find(|(first, _, _)| *first == 0);
        of_root.map_or(0, |(_, _, count)| count.saturating_sub(1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "         0          0 4294967295\n";

    fn below(files: &[(&str, &str)]) -> Result<Option<HostUser>, NoHostUser> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        HostUser::below(root.path())
    }

    fn maps(text: &str) -> [(&'static str, &str); 2] {
        [(MAPS[0], text), (MAPS[1], text)]
    }

    #[test]
    fn subordinate_ids_of_root_come_first() {
        let [users, groups] = maps(ALL);
        let found = below(&[
            users,
            groups,
            ("etc/subuid", "a:1:9\nroot:100000:65536\nroot:7:1\n"),
            ("etc/subgid", "0:200000:65536\n"),
        ]);
        let expected = HostUser {
            user: 100_000,
            group: 200_000,
        };
        assert_eq!(found, Ok(Some(expected)));
    }

    #[test]
    fn without_them_an_id_is_taken_that_nobody_has() {
        for (map, passwd, expected) in [
            (ALL, "", Ok(FIXED[0])),
            (ALL, "odd:x:1900000000:0::/:\n", Ok(FIXED[1])),
            ("0 1000 1\n1 100000 65536\n", "", Ok(FIXED[1])),
            ("0 0 1\n", "", Err(NoHostUser)),
            ("", "", Err(NoHostUser)),
        ] {
            let [users, groups] = maps(map);
            let found = below(&[users, groups, ("etc/passwd", passwd)]);
            let found = found.map(|found| found.map(|found| found.user));
            assert_eq!(found, expected.map(Some), "{map} {passwd}");
        }
    }

    #[test]
    fn who_is_root_in_a_namespace_of_one_is_an_ordinary_user() {
        assert_eq!(below(&maps("0 1000 1\n")), Ok(None));
    }

    #[test]
    fn root_is_known_under_another_number() {
        assert_eq!(Map::parse("1000 0 1\n").outside(1000), Some(0));
        assert_eq!(Map::parse(ALL).outside(1000), Some(1000));
        assert_eq!(
            Map::parse("0 1000 1\n1 100000 65536\n").outside(5),
            Some(100_004)
        );
        assert_eq!(Map::parse("").outside(1), None);
    }

    #[test]
    fn one_owner_is_shown_as_another_and_the_rest_as_it_is() {
        assert_eq!(shown_as(0, 5, 9), "0 5 1\n1 1 4\n6 6 4\n");
        assert_eq!(shown_as(7, 5, 9), "7 5 1\n0 0 5\n6 6 1\n8 8 2\n");
        assert_eq!(shown_as(0, 9, 9), "0 9 1\n1 1 8\n");
    }
}
