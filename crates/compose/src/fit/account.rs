//! The user that an image starts as, for programs that ask who that is: `ssh`, `whoami`, `sudo` and
//! Python's `getpass` fail for a number that `/etc/passwd` does not have.

use super::listing::Listing;
use ohoci_image::config_patch::ConfigPatch;

/// A user that is to be known by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What it is called, where the base has not given the name away.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// Its home.
    pub home: String,
}

impl Account {
    /// The user that a patch makes images start as, by its numbers; it is called as its home is.
    /// `None` for root, and for users by name.
    #[must_use]
    pub fn of(patch: &ConfigPatch) -> Option<Self> {
        let user = patch.user.as_deref()?;
        let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
        let uid: u32 = uid.parse().ok().filter(|uid| *uid != 0)?;
        let gid: u32 = gid.parse().ok()?;
        let mut variables = patch.env.iter();
        let home = variables.find(|(name, _)| name == "HOME");
        let home = home.map(|(_, value)| value.as_str());
        // One that would end the field, or the line, is no home.
        let home = home.filter(|home| home.starts_with('/') && !home.contains([':', '\n', '$']));
        let home = home.unwrap_or("/");
        let name = home.rsplit('/').next().unwrap_or_default();
        let is_name = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && name.len() <= 32
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c));
        Some(Self {
            name: if is_name { name } else { "user" }.to_owned(),
            uid,
            gid,
            home: home.to_owned(),
        })
    }

    /// Whether a base, or what it is given, has no line for the user or for its group.
    #[must_use]
    pub fn is_missing(&self, base: &Listing) -> bool {
        let has = |path: &str, number: u32| {
            base.text(path)
                .is_some_and(|known| has_number(&known.text, number))
        };
        !has("/etc/passwd", self.uid) || !has("/etc/group", self.gid)
    }

    /// `/etc/passwd` with a line for the user, where it has none.
    pub(super) fn in_users(&self, text: &str, shell: &str) -> String {
        let Self { uid, gid, home, .. } = self;
        // The star is a password that no input matches. An `x` would send PAM to /etc/shadow, and sudo
        // would refuse the account.
        let line = |name: &str| format!("{name}:*:{uid}:{gid}:{name}:{home}:{shell}\n");
        self.merged(text, *uid, line)
    }

    /// `/etc/group` with a line for the group, where it has none.
    pub(super) fn in_groups(&self, text: &str) -> String {
        let gid = self.gid;
        self.merged(text, gid, |name| format!("{name}:x:{gid}:\n"))
    }

    fn merged(&self, text: &str, number: u32, line: impl Fn(&str) -> String) -> String {
        let mut merged = text.to_owned();
        if has_number(text, number) {
            return merged;
        }
        if !merged.is_empty() && !merged.ends_with('\n') {
            merged.push('\n');
        }
        let taken = |name: &str| {
            text.lines()
                .any(|line| line.split(':').next() == Some(name))
        };
        let other = format!("{}-{number}", self.name);
        let name = if taken(&self.name) {
            &other
        } else {
            &self.name
        };
        merged.push_str(&line(name));
        merged
    }
}

/// Whether a line has this number in the third field, which both files have it in.
fn has_number(text: &str, number: u32) -> bool {
    text.lines()
        .any(|line| line.split(':').nth(2).and_then(|field| field.parse().ok()) == Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(user: &str, home: Option<&str>) -> ConfigPatch {
        ConfigPatch {
            user: Some(user.to_owned()),
            env: home
                .map(|home| ("HOME".to_owned(), home.to_owned()))
                .into_iter()
                .collect(),
            ..ConfigPatch::default()
        }
    }

    #[test]
    fn only_numbers_of_users_other_than_root_become_accounts() {
        let account = Account::of(&patch("10001:10002", Some("/home/openhands"))).unwrap();
        assert_eq!((account.uid, account.gid), (10001, 10002));
        assert_eq!(account.name, "openhands");
        assert_eq!(account.home, "/home/openhands");
        // As runtimes have it where only a user is named.
        assert_eq!(Account::of(&patch("1000", None)).unwrap().gid, 0);
        for home in ["/home/A:b", "/home/a\nroot", "$HOME", "relative"] {
            let account = Account::of(&patch("1000", Some(home))).unwrap();
            assert_eq!(
                (account.name.as_str(), account.home.as_str()),
                ("user", "/")
            );
        }
        for user in ["0:0", "root", "0", "10001:users", "-1", "99999999999"] {
            assert_eq!(Account::of(&patch(user, None)), None, "{user}");
        }
    }

    #[test]
    fn lines_are_added_once_and_take_no_name_of_the_base() {
        let account = Account::of(&patch("10001:10001", Some("/home/openhands"))).unwrap();
        let root = "root:x:0:0:root:/root:/bin/sh";
        let merged = account.in_users(root, "/bin/sh");
        assert_eq!(
            merged,
            format!("{root}\nopenhands:*:10001:10001:openhands:/home/openhands:/bin/sh\n")
        );
        assert_eq!(account.in_users(&merged, "/bin/sh"), merged);
        let taken = account.in_groups("root:x:0:\nopenhands:x:50:\n");
        assert!(taken.ends_with("openhands-10001:x:10001:\n"), "{taken}");
        assert_eq!(account.in_groups(""), "openhands:x:10001:\n");
    }
}
