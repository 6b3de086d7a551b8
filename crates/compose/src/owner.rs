//! Who owns what is packed, where that is asked for by name: what a name stands for the base's
//! `/etc/passwd` and `/etc/group` say, as for `COPY --chown`.

use std::str::FromStr;

use super::check::start::User;
use super::fit::files_of;
use super::read::{self, Choice};
use super::resolver::Resolver;
use ohoci_image::Reference;
use ohoci_layer::owner::Owner;
use ohoci_store::{Error, ErrorKind};

/// A user and perhaps a group, by number or by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedOwner {
    user: Name,
    group: Option<Name>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Number(u32),
    Text(String),
}

/// Text that names no owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no USER[:GROUP]: each a number, or a name as the base's /etc/passwd has it")]
pub struct NamedOwnerError(String);

/// Finds a user and its group; with a name before the colon and one after it, that group.
type Find<'a> = dyn Fn(&str) -> Result<(u32, u32), String> + 'a;

impl FromStr for NamedOwner {
    type Err = NamedOwnerError;

    fn from_str(text: &str) -> Result<Self, NamedOwnerError> {
        let refuse = || NamedOwnerError(text.chars().take(200).collect());
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let group = group.map(|group| Name::of(group).ok_or_else(refuse));
        Ok(Self {
            user: Name::of(user).ok_or_else(refuse)?,
            group: group.transpose()?,
        })
    }
}

impl Name {
    fn of(text: &str) -> Option<Self> {
        if text == "root" {
            return Some(Self::Number(0));
        }
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number {
            return text.parse().ok().map(Self::Number);
        }
        // useradd(8) allows no other characters in names; a name may end in `$`.
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-$".contains(&byte);
        let starts = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        (starts && text.bytes().all(is_name)).then(|| Self::Text(text.to_owned()))
    }
}

impl NamedOwner {
    /// The numbers, where nothing has to be looked up: a user's number is its group's, too, unless a
    /// group is given.
    #[must_use]
    pub fn numbers(&self) -> Option<Owner> {
        match (&self.user, &self.group) {
            (Name::Number(uid), None) => Some(Owner {
                uid: *uid,
                gid: *uid,
            }),
            (Name::Number(uid), Some(Name::Number(gid))) => Some(Owner {
                uid: *uid,
                gid: *gid,
            }),
            _ => None,
        }
    }

    /// The numbers that a base's files have for it. Its layers are read, each once on one machine.
    ///
    /// # Errors
    /// When the base cannot be read, does not know the name, or has other numbers for other platforms.
    pub async fn in_base(
        &self,
        base: &Reference,
        choice: &Choice,
        resolver: &Resolver,
    ) -> Result<Owner, Error> {
        if let Some(numbers) = self.numbers() {
            return Ok(numbers);
        }
        let fail = |why: String| {
            let what = format!("cannot look up the owner of layers in {base}");
            Error::new(ErrorKind::Unsupported, what, why)
                .hinted("--chown takes numbers as well: UID[:GID]")
        };
        if *base == Reference::Scratch {
            return Err(fail("scratch has no users and groups".to_owned()));
        }
        let source = resolver.source(base).await?;
        let found = read::images(source, choice, &|_, _| {}).await?;
        let mut owner: Option<Owner> = None;
        for image in &found.images {
            let files = files_of(found.source.as_ref(), image, resolver.reader()).await?;
            let of_image = self.numbers_by(&|text| {
                let user = User::find(&files, text);
                match (user.fault, user.who.gids.first()) {
                    (Some(fault), _) => Err(fault),
                    (None, gid) => Ok((user.who.uid, gid.copied().unwrap_or_default())),
                }
            });
            let of_image =
                of_image.map_err(|why| fail(format!("{why} ({})", image.config.platform())))?;
            if owner.is_some_and(|owner| owner != of_image) {
                return Err(fail("its platforms have different numbers".to_owned()));
            }
            owner = Some(of_image);
        }
        owner.ok_or_else(|| fail("it holds no image".to_owned()))
    }

    /// The numbers, by what finds them.
    fn numbers_by(&self, find: &Find<'_>) -> Result<Owner, String> {
        let (uid, own) = match &self.user {
            Name::Number(uid) => (*uid, *uid),
            Name::Text(name) => find(name)?,
        };
        let gid = match &self.group {
            None => own,
            Some(Name::Number(gid)) => *gid,
            Some(Name::Text(name)) => find(&format!("0:{name}"))?.1,
        };
        Ok(Owner { uid, gid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::files;

    fn found(text: &str) -> Result<(u32, u32), String> {
        let files = files(&[
            (
                "etc/passwd",
                "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/:\n",
            ),
            ("etc/group", "root:x:0:\nstaff:x:50:\n"),
        ]);
        let owner: NamedOwner = text.parse().unwrap();
        let found = owner.numbers_by(&|text| {
            let user = User::find(&files, text);
            match user.fault {
                Some(fault) => Err(fault),
                None => Ok((user.who.uid, user.who.gids[0])),
            }
        });
        found.map(|owner| (owner.uid, owner.gid))
    }

    #[test]
    fn names_stand_for_what_the_base_says() {
        for (text, expected) in [
            ("7", (7, 7)),
            ("7:8", (7, 8)),
            ("root", (0, 0)),
            ("app", (1000, 1001)),
            ("app:staff", (1000, 50)),
            ("7:staff", (7, 50)),
            ("app:9", (1000, 9)),
        ] {
            assert_eq!(found(text), Ok(expected), "{text}");
        }
        assert!(found("nobody").unwrap_err().contains("no user \"nobody\""));
        assert!(
            found("app:wheel")
                .unwrap_err()
                .contains("no group \"wheel\"")
        );
    }

    #[test]
    fn what_is_neither_number_nor_name_is_refused() {
        for bad in [
            "",
            ":",
            "app:",
            ":staff",
            "-1",
            "4294967296",
            "a b",
            "1:2:3",
            "1x",
        ] {
            assert!(bad.parse::<NamedOwner>().is_err(), "{bad}");
        }
    }
}
