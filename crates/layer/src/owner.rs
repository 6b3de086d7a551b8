//! Who owns what is packed.

use std::str::FromStr;

/// A user and a group, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Text that names no owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number of a user or group; what names stand for only the base's files say")]
pub struct OwnerError(String);

impl FromStr for Owner {
    type Err = OwnerError;

    /// Reads `UID[:GID]`; the group is the user's number unless given, as in a Dockerfile.
    fn from_str(text: &str) -> Result<Self, OwnerError> {
        let (user, group) = text.split_once(':').unwrap_or((text, text));
        let number = |text: &str| match text {
            "root" => Ok(0),
            text => {
                let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let refuse = || OwnerError(text.chars().take(200).collect());
                text.parse().ok().filter(|_| is_number).ok_or_else(refuse)
            }
        };
        Ok(Self {
            uid: number(user)?,
            gid: number(group)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_numbers() {
        let owner = |uid, gid| Ok(Owner { uid, gid });
        for (text, expected) in [
            ("1000", owner(1000, 1000)),
            ("1000:50", owner(1000, 50)),
            ("root:7", owner(0, 7)),
            ("0:0", owner(0, 0)),
        ] {
            assert_eq!(text.parse::<Owner>(), expected, "{text}");
        }
        for bad in [
            "",
            ":",
            "1:",
            ":1",
            "app",
            "1:app",
            "+1",
            "-1",
            "4294967296",
            "1:2:3",
        ] {
            assert!(bad.parse::<Owner>().is_err(), "{bad}");
        }
    }
}
