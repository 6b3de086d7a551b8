//! Who a program is to be, by the lists of users and groups in its root file system.

/// A user as a program needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub id: u32,
    /// Its group's number.
    pub group: u32,
    /// Its home directory; `/` when no list names one.
    pub home: String,
}

/// Why a user's name means no user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// `/etc/passwd` has no such name.
    #[error("there is no user {0:?} in its /etc/passwd")]
    User(String),
    /// `/etc/group` has no such name.
    #[error("there is no group {0:?} in its /etc/group")]
    Group(String),
    /// It is a number that no user or group of a sandbox can have.
    #[error("{0} is no number of a user or group: the highest is {HIGHEST}")]
    Number(u32),
}

/// The highest number that bubblewrap takes.
const HIGHEST: u32 = 0x7fff_ffff;

impl User {
    /// Finds who is meant by `USER[:GROUP]`, by name or number, as Docker does (moby `user`
    /// package): nothing means root, a number need not be in any list, and the group is the user's
    /// own unless it is named, or 0 where no list knows the user.
    ///
    /// `users` and `groups` are the texts of `/etc/passwd` and `/etc/group` (passwd(5), group(5)).
    ///
    /// # Errors
    /// When a name is not in its list.
    pub fn find(wanted: &str, users: &[u8], groups: &[u8]) -> Result<Self, UserError> {
        let (name, group) = match wanted.split_once(':') {
            Some((name, group)) => (name, Some(group).filter(|group| !group.is_empty())),
            None => (wanted, None),
        };
        let name = if name.is_empty() { "0" } else { name };
        let number: Option<u32> = name.parse().ok();
        let users = String::from_utf8_lossy(users);
        // A name that is a number is a name first, as in Docker.
        let entries = || {
            users
                .lines()
                .map(|line| line.split(':').collect::<Vec<_>>())
        };
        let listed = entries()
            .find(|fields| fields.first() == Some(&name))
            .or_else(|| entries().find(|fields| number.is_some() && numbered(fields) == number));
        let mut user = match listed {
            Some(fields) => Self {
                id: numbered(&fields)
                    .or(number)
                    .ok_or_else(|| UserError::User(name.to_owned()))?,
                group: at(&fields, 3).and_then(|id| id.parse().ok()).unwrap_or(0),
                home: at(&fields, 5)
                    .filter(|home| !home.is_empty())
                    .unwrap_or("/")
                    .to_owned(),
            },
            None => Self {
                id: number.ok_or_else(|| UserError::User(name.to_owned()))?,
                group: 0,
                home: "/".to_owned(),
            },
        };
        if let Some(group) = group {
            let groups = String::from_utf8_lossy(groups);
            user.group = groups
                .lines()
                .map(|line| line.split(':').collect::<Vec<_>>())
                .find(|fields| fields.first() == Some(&group))
                .and_then(|fields| numbered(&fields))
                .or_else(|| group.parse().ok())
                .ok_or_else(|| UserError::Group(group.to_owned()))?;
        }
        match [user.id, user.group].into_iter().find(|id| *id > HIGHEST) {
            Some(id) => Err(UserError::Number(id)),
            None => Ok(user),
        }
    }
}

fn at<'a>(fields: &[&'a str], position: usize) -> Option<&'a str> {
    fields.get(position).copied()
}

/// The number, which is the third field in both lists.
fn numbered(fields: &[&str]) -> Option<u32> {
    at(fields, 2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
        broken\n\
        user:x:1000:100::/home/user:/bin/sh\n\
        42:x:43:44::/home/number:/bin/sh\n\
        bad:x:many:0::/:\n\xff\n";
    const GROUPS: &[u8] = b"root:x:0:\nusers:x:100:\nstaff:x:50:user\n";

    #[test]
    fn users_are_found_as_docker_finds_them() {
        for (wanted, id, group, home) in [
            ("", 0, 0, "/root"),
            ("root", 0, 0, "/root"),
            ("user", 1000, 100, "/home/user"),
            ("1000", 1000, 100, "/home/user"),
            ("1000:staff", 1000, 50, "/home/user"),
            ("user:7", 1000, 7, "/home/user"),
            ("user:", 1000, 100, "/home/user"),
            (":staff", 0, 50, "/root"),
            ("5", 5, 0, "/"),
            ("42", 43, 44, "/home/number"),
        ] {
            let user = User::find(wanted, USERS, GROUPS).unwrap();
            let expected = User {
                id,
                group,
                home: home.to_owned(),
            };
            assert_eq!(user, expected, "{wanted}");
        }
        for wanted in ["nobody", "user:nogroup", "bad", "-1", "4294967296"] {
            assert!(User::find(wanted, USERS, GROUPS).is_err(), "{wanted}");
        }
        for wanted in ["4294967295", "2147483648", "0:4294967295"] {
            let error = User::find(wanted, USERS, GROUPS).unwrap_err();
            assert!(matches!(error, UserError::Number(_)), "{wanted}");
        }
        assert_eq!(User::find("2147483647", USERS, GROUPS).unwrap().id, HIGHEST);
        let error = User::find("a\nb", USERS, GROUPS).unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn without_lists_there_are_numbers() {
        assert_eq!(User::find("", b"", b"").unwrap().id, 0);
        assert_eq!(User::find("3:4", b"", b"").unwrap().group, 4);
        assert!(User::find("root", b"", b"").is_err());
    }
}
