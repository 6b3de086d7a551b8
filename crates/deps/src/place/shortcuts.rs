//! Short names at the top of the prefix for directories that programs know by compiled-in paths.
//!
//! They are what makes room: `/usr/lib/git-core` in a program becomes `/openhands/g-core`, which
//! has the same length, and `/usr/share/nodejs` becomes `/openhands/nodejs`.

use super::link::relative;
use ohoci_layer::{Entry, Kind, LayerPath, Rules, Tree};

/// A short name and what it stands for, both below the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortcut {
    /// The short name.
    pub name: &'static str,
    /// What it leads to.
    pub to: &'static str,
}

/// Every shortcut that compiled-in paths are rewritten to.
pub(crate) const SHORTCUTS: [Shortcut; 11] = [
    shortcut("fontconfig", "share/fontconfig"),
    shortcut("g-core", "lib/git-core"),
    shortcut("g-templates", "share/git-core/templates"),
    shortcut("git-core", "share/git-core"),
    shortcut("h", "tools/bin/ssh"),
    shortcut("lc", "lib/locale"),
    shortcut("nodejs", "share/nodejs"),
    shortcut("o-ssh", "lib/openssh"),
    shortcut("s", "etc/ssl"),
    shortcut("terminfo", "share/terminfo"),
    shortcut("zoneinfo", "share/zoneinfo"),
];

const fn shortcut(name: &'static str, to: &'static str) -> Shortcut {
    Shortcut { name, to }
}

/// Adds the shortcuts whose targets are in the tree and whose names are free.
///
/// Several layers can share a target (`share/fontconfig`); `elsewhere` tells of names that
/// another layer has already. What is at a shortcut's name already is left as it is.
pub(crate) fn add_shortcuts(tree: &mut Tree, elsewhere: impl Fn(&LayerPath) -> bool) {
    for shortcut in SHORTCUTS {
        let (Ok(name), Ok(to)) = (
            LayerPath::parse(shortcut.name.as_bytes()),
            LayerPath::parse(shortcut.to.as_bytes()),
        ) else {
            continue;
        };
        if tree.get(&to).is_none() || tree.get(&name).is_some() || elsewhere(&name) {
            continue;
        }
        let link = Entry::new(Kind::Symlink(relative(&name, &to)), 0o777);
        // The name is free and at the top, so nothing can be in its way.
        let _ = tree.insert(name, link, Rules::Strict);
    }
}
