//! Who a container runs as, by the image's own `/etc/passwd` and `/etc/group`.

use crate::check::{Point, State};
use crate::files::{Files, Who};

/// A user as runtimes find it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Its numbers.
    pub who: Who,
    /// Its home, as `/etc/passwd` says.
    pub home: Option<String>,
    /// Its login shell, as `/etc/passwd` says.
    pub shell: Option<String>,
    /// Whether `/etc/passwd` knows it.
    pub is_known: bool,
    /// Why runtimes refuse it.
    pub fault: Option<String>,
}

/// A line of `/etc/passwd`.
struct Line<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
    shell: &'a str,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut fields = line.trim_end_matches('\r').split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self {
            name,
            uid,
            gid,
            home: fields.nth(1).unwrap_or_default(),
            shell: fields.next().unwrap_or_default(),
        })
    }
}

impl User {
    /// Looks up `USER[:GROUP]`; nothing is root.
    #[must_use]
    pub fn find(files: &Files, wanted: &str) -> Self {
        let (name, group) = match wanted.split_once(':') {
            Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
            None => (wanted, None),
        };
        let name = if name.is_empty() { "0" } else { name };
        let users = files.text("/etc/passwd").unwrap_or_default();
        let groups = files.text("/etc/group").unwrap_or_default();
        let mut lines = users.lines().filter_map(Line::of);
        // A name that looks like a number is looked for first, as runc does.
        let number = name.parse::<u32>().ok();
        let line = lines
            .clone()
            .find(|line| line.name == name)
            .or_else(|| lines.find(|line| Some(line.uid) == number));
        let mut user = Self::default();
        match (&line, number) {
            (Some(line), _) => {
                user.is_known = true;
                user.who.uid = line.uid;
                user.who.gids.push(line.gid);
                user.home = Some(line.home.to_owned()).filter(|home| !home.is_empty());
                user.shell = Some(line.shell.to_owned()).filter(|shell| !shell.is_empty());
            }
            (None, Some(uid)) => {
                user.who.uid = uid;
                user.who.gids.push(0);
            }
            (None, None) => {
                user.fault = Some(match files.has("/etc/passwd") {
                    true => format!("/etc/passwd has no user {name:?}"),
                    false => format!("the user {name:?} is a name, and there is no /etc/passwd"),
                });
            }
        }
        let named = |wanted: &str| {
            groups.lines().find_map(|line| {
                let mut fields = line.trim_end_matches('\r').split(':');
                let is_it = fields.next()? == wanted;
                let gid = fields.nth(1)?.parse::<u32>().ok()?;
                is_it.then_some(gid)
            })
        };
        match group {
            Some(group) => match named(group).or_else(|| group.parse().ok()) {
                Some(gid) => user.who.gids = vec![gid],
                None => {
                    let fault = match files.has("/etc/group") {
                        true => format!("/etc/group has no group {group:?}"),
                        false => {
                            format!("the group {group:?} is a name, and there is no /etc/group")
                        }
                    };
                    user.fault.get_or_insert(fault);
                }
            },
            None => {
                let name = line.map_or(name, |line| line.name);
                let others = groups.lines().filter_map(|line| {
                    let mut fields = line.trim_end_matches('\r').split(':');
                    let gid = fields.nth(2)?.parse::<u32>().ok()?;
                    let members = fields.next().unwrap_or_default();
                    members
                        .split(',')
                        .any(|member| member == name)
                        .then_some(gid)
                });
                user.who.gids.extend(others);
            }
        }
        user
    }

    pub(super) fn point(&self, wanted: &str) -> Point {
        let name = "user";
        if let Some(fault) = &self.fault {
            return Point::new(name, State::Wrong, format!("{fault}: nothing starts"))
                .mended("--user of compose, with numbers, works on any base");
        }
        let shown = if wanted.is_empty() { "root" } else { wanted };
        if self.is_known || self.who.uid == 0 {
            return Point::new(name, State::Fine, shown);
        }
        let what = format!(
            "{shown} has no line in /etc/passwd: whoami, ssh, sudo and programs that ask for the \
             user's name fail"
        );
        Point::new(name, State::Lacking, what)
            .mended("compose --fit auto, with --contract v1 or --user by numbers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::files;

    #[test]
    fn users_and_groups_are_found_as_runtimes_find_them() {
        let found = files(&[
            (
                "etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/bash\nbroken\n",
            ),
            ("etc/group", "root:x:0:\nwheel:x:10:me,you\n"),
        ]);
        let me = User::find(&found, "me");
        assert_eq!((me.who.uid, &me.who.gids), (1000, &vec![1000, 10]));
        assert_eq!(me.home.as_deref(), Some("/home/me"));
        assert_eq!(User::find(&found, "1000"), me);
        assert_eq!(User::find(&found, "me:wheel").who.gids, [10]);
        assert_eq!(User::find(&found, "").who.uid, 0);
        let other = User::find(&found, "10001:10001");
        assert!(!other.is_known && other.fault.is_none());
        for (wanted, fault) in [
            ("you", "no user \"you\""),
            ("me:staff", "no group \"staff\""),
        ] {
            let why = User::find(&found, wanted).fault.unwrap();
            assert!(why.contains(fault), "{why}");
        }
        let none = User::find(&Files::default(), "root").fault.unwrap();
        assert!(none.contains("there is no /etc/passwd"), "{none}");
    }
}
