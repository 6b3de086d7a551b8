//! Files of user names and bcrypt hashes, as `htpasswd -B` writes them and Docker's registry reads
//! them.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use bcrypt::HashParts;

use super::reloaded::FileError;

/// Largest file that is read, in bytes: some ten thousand users.
const MOST: u64 = 1 << 20;

/// Costliest hash that is taken; each step doubles the time, and this one is several seconds.
const MOST_COST: u32 = 16;

/// Users and the hashes of their passwords.
pub(super) struct Htpasswd {
    users: HashMap<String, String>,
    /// A hash to compare with where there is no such user, so that the time tells no names.
    decoy: String,
}

impl Htpasswd {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        let unreadable = |error: std::io::Error| FileError::new(error.to_string());
        let size = fs_err::metadata(path).map_err(unreadable)?.len();
        if size > MOST {
            return Err(FileError::new(format!(
                "{} has {size} bytes; at most {MOST} are read",
                path.display()
            )));
        }
        let text = fs_err::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|(line, why)| {
            let place = match line {
                Some(line) => format!("{}, line {line}: {why}", path.display()),
                None => format!("{}: {why}", path.display()),
            };
            FileError::new(place).hinted(format!(
                "`htpasswd -B {} USER` adds a user, hashed by bcrypt",
                path.display()
            ))
        })
    }

    /// Reads the text of a file; the line and the reason when it cannot be used.
    fn parse(text: &str) -> Result<Self, (Option<usize>, String)> {
        let mut users = HashMap::new();
        let mut decoy: Option<(u32, &str)> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_end_matches('\r');
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let refused = |why: String| (Some(number), why);
            // The line is not quoted: it may hold a hash, or a password that was written as it is.
            let (user, hash) = line
                .split_once(':')
                .ok_or_else(|| refused("it is no line of the form USER:HASH".to_owned()))?;
            if user.is_empty() {
                return Err(refused("the user has no name".to_owned()));
            }
            let hash = hash.trim_end();
            let parts: HashParts = hash.parse().map_err(|_| {
                refused(format!(
                    "the password of {user:?} is {}; only bcrypt is taken",
                    kind(hash)
                ))
            })?;
            let cost = parts.get_cost();
            if !(4..=MOST_COST).contains(&cost) {
                return Err(refused(format!(
                    "the hash of {user:?} has a cost of {cost}; it may be from 4 to {MOST_COST}"
                )));
            }
            if users.insert(user.to_owned(), hash.to_owned()).is_some() {
                return Err(refused(format!("{user:?} is there twice")));
            }
            if decoy.is_none_or(|(most, _)| cost > most) {
                decoy = Some((cost, hash));
            }
        }
        let Some((_, decoy)) = decoy else {
            return Err((None, "it names no user".to_owned()));
        };
        Ok(Self {
            decoy: decoy.to_owned(),
            users,
        })
    }

    /// The hash of a user's password; `None` for a user that is not there.
    pub(super) fn hash(&self, user: &str) -> Option<&str> {
        self.users.get(user).map(String::as_str)
    }

    /// A hash that costs as much as any, for a user that is not there.
    pub(super) fn decoy(&self) -> &str {
        &self.decoy
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd")
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

/// What a hash that is not bcrypt looks like.
fn kind(hash: &str) -> &'static str {
    let known = [
        ("$apr1$", "hashed by MD5"),
        ("$1$", "hashed by MD5"),
        ("{SHA}", "hashed by SHA-1"),
        ("$5$", "hashed by SHA-256"),
        ("$6$", "hashed by SHA-512"),
        ("$y$", "hashed by yescrypt"),
        ("$argon2", "hashed by Argon2"),
        ("$2", "no complete bcrypt hash"),
    ];
    known
        .iter()
        .find_map(|(prefix, kind)| hash.starts_with(prefix).then_some(*kind))
        .unwrap_or("hashed by crypt, or not at all")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e";

    fn refused(text: &str) -> String {
        let (line, why) = Htpasswd::parse(text).unwrap_err();
        assert!(!why.contains("hunter2"), "{why}");
        format!("{line:?} {why}")
    }

    #[test]
    fn users_comments_and_blank_lines() {
        let text = format!(
            "# people\n\nuser:{ONE}\r\nother:{}\n",
            ONE.replace("2y", "2b")
        );
        let file = Htpasswd::parse(&text).unwrap();
        assert_eq!(file.hash("user"), Some(ONE));
        assert!(file.hash("other").is_some());
        assert_eq!(file.hash("nobody"), None);
        assert_eq!(file.decoy(), ONE);
        assert!(!format!("{file:?}").contains("$2y$"));
    }

    #[test]
    fn other_hashes_are_refused_by_name_and_never_quoted() {
        for (hash, word) in [
            ("$apr1$hunter2$x", "MD5"),
            ("{SHA}hunter2=", "SHA-1"),
            ("$5$hunter2$x", "SHA-256"),
            ("$6$hunter2$x", "SHA-512"),
            ("$argon2id$hunter2", "Argon2"),
            ("$2y$05$hunter2", "no complete bcrypt hash"),
            ("hunter2", "crypt, or not at all"),
            ("", "crypt, or not at all"),
        ] {
            let why = refused(&format!("a:{ONE}\nb:{hash}\n"));
            assert!(why.starts_with("Some(2) "), "{why}");
            assert!(why.contains(word) && why.contains("\"b\""), "{why}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(refused("hunter2\n").contains("USER:HASH"));
        assert!(refused(&format!(":{ONE}\n")).contains("no name"));
        assert!(refused(&format!("a:{ONE}\na:{ONE}\n")).contains("twice"));
        assert!(refused("# no line of a user\n\n").contains("names no user"));
        let costly = ONE.replace("$05$", "$17$");
        assert!(refused(&format!("a:{costly}\n")).contains("from 4 to 16"));
    }
}
