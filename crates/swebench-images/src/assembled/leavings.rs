//! What configuring a system leaves behind and an image is better without: logs, caches, backups,
//! what is one machine's own, and dates.

use std::collections::BTreeMap;
use std::io::Read as _;

use bytes::Bytes;

use crate::changes::DATE;
use ohoci_layer::tree::TreeError;
use ohoci_layer::{Content, Entry, Kind, LayerPath, Rules, Tree};

/// Largest list of users that is read, in bytes.
const MAX_LIST: u64 = 1 << 20;
/// The days since 1970 on which passwords were changed, as the image says.
const DAY: i64 = DATE / 86_400;
/// Permission bits that stay; see [`ohoci_deps::rootfs`].
const MODE: u32 = 0o1777;

/// Directories of which only what packages have in them stays.
const EMPTIED: [&str; 6] = [
    "var/log/",
    "var/backups/",
    "var/cache/apt/",
    "var/cache/ldconfig/",
    "var/lib/apt/lists/",
    "var/lib/systemd/",
];
/// Files that belong to one machine, or are of no use.
const LEFT: [&str; 14] = [
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow-",
    "etc/hostname",
    "etc/mailname",
    "etc/machine-id",
    "etc/passwd-",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/triggers/Lock",
];

/// Whether a file is left out of the image.
fn is_left(path: &str) -> bool {
    let in_directory = |directory: &str| {
        path.strip_prefix(directory)
            .is_some_and(|name| !name.is_empty() && !name.contains('/'))
    };
    LEFT.contains(&path)
        || EMPTIED.iter().any(|directory| path.starts_with(directory))
        // Copies that dpkg and debconf make before they write.
        || (in_directory("var/lib/dpkg/") || in_directory("var/cache/debconf/"))
            && path.ends_with("-old")
        // Keys that every instance of the image would share.
        || (in_directory("etc/ssh/ssh_host_") && path.contains("_key"))
}

/// What packages changed, tidied. Homes of `users` are theirs, everything else is root's.
///
/// # Errors
/// A list of users that cannot be read.
pub(super) fn tidied(found: &Tree, users: &[&str]) -> Result<Tree, String> {
    let owners = owners(found, users)?;
    let mut tidy = Tree::new();
    for (path, entry) in found {
        let text = String::from_utf8_lossy(path.as_bytes()).into_owned();
        if is_left(&text) && !entry.is_directory() {
            continue;
        }
        let mut entry = Entry {
            mode: entry.mode & MODE,
            ..entry.clone()
        };
        if matches!(text.as_str(), "etc/shadow") {
            entry.kind = dated(&read(&entry)?);
        }
        let owner = owners
            .iter()
            .find(|(home, _)| text == **home || text.starts_with(&format!("{home}/")));
        if let Some((_, (uid, gid))) = owner {
            (entry.uid, entry.gid) = (*uid, *gid);
        }
        tidy.insert(path.clone(), entry, Rules::Strict)
            .map_err(|error: TreeError| error.to_string())?;
    }
    Ok(tidy)
}

/// The homes of users, below the root, and their numbers.
fn owners(found: &Tree, users: &[&str]) -> Result<BTreeMap<String, (u32, u32)>, String> {
    if users.is_empty() {
        return Ok(BTreeMap::new());
    }
    let path = LayerPath::parse(b"etc/passwd").map_err(|error| error.to_string())?;
    let list = match found.get(&path) {
        Some(entry) => read(entry)?,
        None => return Err("there is no etc/passwd".to_owned()),
    };
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let name = fields.first().filter(|name| users.contains(*name));
        let number = |at: usize| fields.get(at)?.parse().ok();
        let home = fields.get(5)?.trim_start_matches('/');
        name.map(|_| Some((home.to_owned(), (number(2)?, number(3)?))))?
    };
    Ok(list.lines().filter_map(of_line).collect())
}

fn read(entry: &Entry) -> Result<String, String> {
    let Kind::File(content) = &entry.kind else {
        return Err("a list of users is no file".to_owned());
    };
    let mut text = String::new();
    content
        .open()
        .and_then(|reader| reader.take(MAX_LIST).read_to_string(&mut text))
        .map_err(|error| error.to_string())?;
    Ok(text)
}

/// The list with one date in all lines that have one (shadow(5)).
fn dated(list: &str) -> Kind {
    let mut text = String::new();
    for line in list.lines() {
        let mut fields: Vec<String> = line.split(':').map(str::to_owned).collect();
        if let Some(day) = fields.get_mut(2).filter(|day| !day.is_empty()) {
            *day = DAY.to_string();
        }
        text.push_str(&fields.join(":"));
        text.push('\n');
    }
    Kind::File(Content::Memory(Bytes::from(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> LayerPath {
        LayerPath::parse(text.as_bytes()).unwrap()
    }

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::new();
        for (at, text) in files {
            let content = Content::Memory(Bytes::copy_from_slice(text.as_bytes()));
            let entry = Entry::new(Kind::File(content), 0o6755);
            tree.insert(path(at), entry, Rules::Strict).unwrap();
        }
        tree
    }

    #[test]
    fn what_one_machine_did_on_one_day_is_in_no_image() {
        let left = [
            "etc/machine-id",
            "etc/passwd-",
            "etc/ssh/ssh_host_rsa_key.pub",
            "var/cache/debconf/config.dat-old",
            "var/cache/ldconfig/aux-cache",
            "var/lib/dpkg/status-old",
            "var/log/apt/term.log",
            "var/log/dpkg.log",
        ];
        let stays = [
            "etc/ld.so.cache",
            "etc/ssh/ssh_config",
            "var/lib/dpkg/status",
        ];
        let all: Vec<(&str, &str)> = left.iter().chain(&stays).map(|at| (*at, "x")).collect();
        let tidy = tidied(&tree(&all), &[]).unwrap();
        for at in left {
            assert!(tidy.get(&path(at)).is_none(), "{at}");
        }
        for at in stays {
            assert_eq!(tidy.get(&path(at)).unwrap().mode, 0o755, "{at}");
        }
    }

    #[test]
    fn passwords_have_one_date_and_homes_are_their_users() {
        let found = tree(&[
            (
                "etc/passwd",
                "root:x:0:0:r:/root:/bin/sh\none:x:1000:1001::/home/one:/bin/sh\n",
            ),
            ("etc/shadow", "root:*:20000:0:99999:7:::\none:!::0\n"),
            ("home/one/.profile", ""),
            ("home/one2", ""),
        ]);
        let tidy = tidied(&found, &["one"]).unwrap();
        let shadow = read(tidy.get(&path("etc/shadow")).unwrap()).unwrap();
        assert_eq!(shadow, "root:*:3653:0:99999:7:::\none:!::0\n");
        let owner = |at: &str| {
            let entry = tidy.get(&path(at)).unwrap();
            (entry.uid, entry.gid)
        };
        assert_eq!(owner("home/one/.profile"), (1000, 1001));
        assert_eq!(owner("home/one2"), (0, 0));
    }
}
