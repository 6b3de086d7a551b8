//! What stands at the paths that matter to whoever puts tools on a base.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::files::{Files, What, is_text};
use crate::real_path::real_path;
use ohoci_layer::entry::Kind;
use ohoci_layer::path::printable;
use ohoci_layer::tar_read::Member;
use ohoci_layer::whiteout::Whiteout;

/// Directories whose entries matter, from the image's root; of all others only the names at the
/// root do, and directories and symlinks one below: the way to `/var/home` or `/usr/local`.
const DIRECTORIES: [&str; 22] = [
    "agent-server",
    "bin",
    "etc",
    "etc/pki/tls/certs",
    "etc/ssl",
    "etc/ssl/certs",
    "home",
    "lib",
    "lib64",
    "openhands/.openvscode-server/bin",
    "openhands/bin",
    "openhands/code",
    "openhands/micromamba/bin",
    "openhands/poetry/oh/bin",
    "openhands/poetry/openhands-ai/bin",
    "sbin",
    "usr",
    "usr/bin",
    "usr/lib",
    "usr/lib64",
    "usr/local/bin",
    "workspace",
];
/// Directories of shared libraries in which only these beginnings of names matter.
const LIBRARIES: [&str; 6] = ["ld-", "libc.", "libc-", "libnss", "ld64", "os-release"];

/// What stands at the paths that matter, after all layers so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Paths from the image's root, with what stands there.
    entries: BTreeMap<String, Node>,
    /// Paths that this removes from the layers below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<String>,
    /// Directories that this empties of what is in the layers below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    emptied: Vec<String>,
    /// The files among them whose text is kept: `etc/passwd` and `etc/group`, wherever they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    texts: BTreeMap<String, Text>,
}

/// A file that is kept with what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// What it says.
    pub text: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Node {
    /// A directory.
    Directory,
    /// A file, or something like it.
    File,
    /// A symlink to there.
    Link(String),
}

impl Listing {
    /// Of one layer.
    #[must_use]
    pub fn of(members: &[Member]) -> Self {
        let mut listing = Self::default();
        for member in members {
            let text = |bytes: &[u8]| printable(bytes);
            match &member.whiteout {
                Some(Whiteout::Path(path)) => {
                    let path = text(path.as_bytes());
                    if matters(&path, true) {
                        listing.removed.push(path);
                    }
                    continue;
                }
                Some(Whiteout::Below(path)) => {
                    let path = text(path.as_bytes());
                    if matters(&path, true) {
                        listing.emptied.push(path);
                    }
                    continue;
                }
                None => {}
            }
            let path = text(member.path.as_bytes());
            let node = match &member.entry.kind {
                Kind::Directory => Node::Directory,
                Kind::Symlink(target) => Node::Link(text(target)),
                _ => Node::File,
            };
            // Symlinks of the same layer are followed, as unpacking does.
            let path = listing.real(&path).unwrap_or(path);
            // Tars need not hold the directories above a file. Where a layer below has a symlink in
            // the place of one, overlayfs shows the directory.
            for (at, _) in path.match_indices('/') {
                if let Some(above) = path.get(..at).filter(|above| matters(above, true)) {
                    let entry = listing.entries.entry(above.to_owned());
                    entry.or_insert(Node::Directory);
                }
            }
            if matters(&path, node != Node::File) || is_text(&path) {
                listing.entries.insert(path, node);
            }
        }
        listing
    }

    /// With the texts that are kept of the same layer's files.
    #[must_use]
    pub(super) fn with_texts(mut self, files: &Files) -> Self {
        for (path, file) in files.texts() {
            if let (Some(Node::File), What::Text(text)) = (self.entries.get(path), &file.what) {
                let text = Text {
                    text: text.clone(),
                    mode: file.mode,
                    uid: file.uid,
                    gid: file.gid,
                };
                self.texts.insert(path.to_owned(), text);
            }
        }
        self
    }

    /// Puts a layer on top.
    pub fn add(&mut self, above: &Self) {
        for path in &above.removed {
            self.entries
                .retain(|known, _| known != path && !is_below(known, path));
        }
        for path in &above.emptied {
            self.entries.retain(|known, _| !is_below(known, path));
        }
        for (path, node) in &above.entries {
            if *node != Node::Directory {
                self.entries.retain(|known, _| !is_below(known, path));
            }
            self.entries.insert(path.clone(), node.clone());
            self.texts.remove(path);
        }
        self.texts
            .retain(|path, _| self.entries.get(path) == Some(&Node::File));
        self.texts.extend(above.texts.clone());
    }

    /// Whether something stands at an absolute path, where symlinks on the way to it are followed.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.real(path)
            .is_some_and(|path| self.entries.contains_key(&path) || self.has_below(&path))
    }

    /// Where the symlink at a path leads to, from the root and without a slash in front; `None`
    /// when there is no symlink.
    #[must_use]
    pub(crate) fn link_at(&self, path: &str) -> Option<&str> {
        match self.entries.get(path)? {
            Node::Link(target) => Some(target),
            Node::Directory | Node::File => None,
        }
    }

    /// Whether a path is that of a file, or of something like it.
    #[must_use]
    pub(crate) fn is_file(&self, path: &str) -> bool {
        self.entries.get(path) == Some(&Node::File)
    }

    /// Where an absolute path really is, from the root and without a slash in front: symlinks
    /// among its directories are followed, one at its end is not. `None` when they never end.
    #[must_use]
    pub fn real(&self, path: &str) -> Option<String> {
        real_path(path, |path| match self.entries.get(path)? {
            Node::Link(target) => Some(target.as_str()),
            Node::Directory | Node::File => None,
        })
    }

    /// Where an absolute path leads, a symlink at its end followed, too: from the root, without a
    /// slash in front. `None` when the symlinks never end.
    #[must_use]
    pub fn end(&self, path: &str) -> Option<String> {
        // As if something were in it.
        let inside = self.real(&format!("{path}/x"))?;
        Some(inside.strip_suffix("/x").unwrap_or_default().to_owned())
    }

    /// Whether an absolute path leads to nothing by a symlink, as far as that is known: not where it
    /// leads deep into what is not listed.
    #[must_use]
    pub(crate) fn dangles(&self, path: &str) -> bool {
        let Some(end) = self.end(path) else {
            return true;
        };
        let is_known = end.matches('/').count() <= 1;
        self.has(path) && is_known && !self.entries.contains_key(&end) && !self.has_below(&end)
    }

    /// What a file says that an absolute path leads to, where it is kept.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&Text> {
        self.texts.get(&self.end(path)?)
    }

    /// The names in a directory that matter, where it is followed through symlinks.
    #[must_use]
    pub fn names_in(&self, directory: &str) -> Vec<&str> {
        // As if something were in it, so that a symlink at its end is followed too.
        let Some(inside) = self.real(&format!("{directory}/x")) else {
            return Vec::new();
        };
        let prefix = inside.strip_suffix('x').unwrap_or(&inside);
        self.entries
            .keys()
            .filter_map(|path| path.strip_prefix(prefix))
            .filter(|name| !name.is_empty() && !name.contains('/'))
            .collect()
    }

    fn has_below(&self, path: &str) -> bool {
        path.is_empty() || self.entries.keys().any(|known| is_below(known, path))
    }
}

fn is_below(path: &str, directory: &str) -> bool {
    directory.is_empty()
        || path
            .strip_prefix(directory)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// Whether what stands at a path has to be known.
fn matters(path: &str, is_way: bool) -> bool {
    let Some((directory, name)) = path.rsplit_once('/') else {
        return true;
    };
    if is_way && (!directory.contains('/') || DIRECTORIES.contains(&path)) {
        return true;
    }
    // Debian keeps libraries one directory deeper: lib/x86_64-linux-gnu.
    let above = directory.rsplit_once('/').map(|(above, _)| above);
    let libraries = ["lib", "lib64", "usr/lib", "usr/lib64"];
    if libraries.contains(&directory) || above.is_some_and(|above| libraries.contains(&above)) {
        return LIBRARIES.iter().any(|start| name.starts_with(start));
    }
    DIRECTORIES.contains(&directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(entries: &[(&str, &str)]) -> Listing {
        let mut listing = Listing::default();
        for (path, what) in entries {
            match what.split_at(2) {
                ("->", target) => {
                    let link = Node::Link(target.to_owned());
                    listing.entries.insert((*path).to_owned(), link);
                }
                ("wh", _) => listing.removed.push((*path).to_owned()),
                ("op", _) => listing.emptied.push((*path).to_owned()),
                ("d:", _) => {
                    listing.entries.insert((*path).to_owned(), Node::Directory);
                }
                _ => {
                    listing.entries.insert((*path).to_owned(), Node::File);
                }
            }
        }
        listing
    }

    #[test]
    fn links_on_the_way_are_followed_and_one_at_the_end_is_not() {
        let merged = listing(&[("bin", "->usr/bin"), ("usr/bin/sh", "->dash")]);
        assert!(merged.has("/bin/sh"));
        assert_eq!(merged.real("/bin/bash").unwrap(), "usr/bin/bash");
        assert_eq!(merged.names_in("/bin"), ["sh"]);
        assert!(!merged.has("/bin/bash"));
        let circle = listing(&[("bin", "->/sbin"), ("sbin", "->/bin")]);
        assert!(!circle.has("/bin/sh"));
        let up = listing(&[("bin", "->../../usr/bin"), ("usr/bin/env", "f:")]);
        assert!(up.has("/bin/env"));
    }

    #[test]
    fn layers_remove_and_replace() {
        let mut all = listing(&[("bin/sh", "f:"), ("bin/bash", "f:"), ("etc/passwd", "f:")]);
        let text = Text {
            text: String::new(),
            mode: 0o644,
            uid: 0,
            gid: 0,
        };
        all.texts.insert("etc/passwd".to_owned(), text);
        assert!(all.text("/etc/passwd").is_some());
        all.add(&listing(&[("bin/sh", "wh"), ("etc", "op")]));
        assert!(all.text("/etc/passwd").is_none());
        assert!(!all.has("/bin/sh") && all.has("/bin/bash") && !all.has("/etc/passwd"));
        all.add(&listing(&[("bin", "->usr/bin")]));
        assert!(!all.has("/bin/bash"));
        all.add(&listing(&[("usr/bin/bash", "f:")]));
        assert!(all.has("/bin/bash"));
    }

    #[test]
    fn only_what_matters_is_kept() {
        assert!(matters("usr/bin/env", false) && matters("tmp", true));
        assert!(matters("lib/x86_64-linux-gnu/libc.so.6", false));
        assert!(!matters("usr/lib/python3/x.py", false));
        assert!(!matters("usr/share/doc/x", false));
        assert!(matters("usr/bin", true) && matters("var/home", true));
        assert!(!matters("var/file", false) && !matters("var/lib/x", true));
    }

    #[test]
    fn a_link_to_nothing_dangles_and_one_that_leads_far_is_not_judged() {
        let found = listing(&[
            ("tmp", "->var/tmp"),
            ("run", "->/gone"),
            ("srv", "->/a/b/c"),
            ("home", "->var/home"),
            ("var/home", "d:"),
        ]);
        assert!(found.dangles("/tmp") && found.dangles("/run"));
        assert!(!found.dangles("/srv") && !found.dangles("/home") && !found.dangles("/opt"));
        assert_eq!(found.end("/home/openhands").unwrap(), "var/home/openhands");
        assert_eq!(found.end("/tmp").unwrap(), "var/tmp");
        assert_eq!(found.end("/").unwrap(), "");
    }
}
