//! Symlinks that stay inside the prefix wherever it stands.

use super::directories::{Destination, destination};
use super::machine::Machine;
use ohoci_layer::LayerPath;

/// A symlink that a package's maintainer script would have made (`update-alternatives`), or that
/// a recipe wants; both paths are below the prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Where the link stands.
    pub at: LayerPath,
    /// What it leads to.
    pub to: LayerPath,
}

/// The target that leads from a symlink at `link` to `to`, both in the same root.
#[must_use]
pub fn relative(link: &LayerPath, to: &LayerPath) -> Vec<u8> {
    let from = link.parent().unwrap_or_default();
    let from: Vec<&[u8]> = from.names().collect();
    let to: Vec<&[u8]> = to.names().collect();
    let shared = from
        .iter()
        .zip(&to)
        .take_while(|(above, target)| above == target)
        .count();
    let up = std::iter::repeat_n(b"..".as_slice(), from.len() - shared);
    let names: Vec<&[u8]> = up.chain(to.into_iter().skip(shared)).collect();
    match names.is_empty() {
        true => b".".to_vec(),
        false => names.join(&b'/'),
    }
}

/// The path that a symlink's target names on the system whose paths these are.
///
/// Names are taken one by one without following links in between, which is what packages mean;
/// `..` at the root stays there. `None` when the target is no path.
#[must_use]
pub(crate) fn resolve(link: &LayerPath, target: &[u8]) -> Option<LayerPath> {
    let parent = link.parent().unwrap_or_default();
    let mut names: Vec<&[u8]> = match target.starts_with(b"/") {
        true => Vec::new(),
        false => parent.names().collect(),
    };
    for name in target.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    match names.is_empty() {
        true => Some(LayerPath::root()),
        false => LayerPath::parse(&names.join(&b'/')).ok(),
    }
}

/// What becomes of a symlink of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Retargeted {
    /// It leads here now.
    To(Vec<u8>),
    /// It would lead to itself, because both ends go to the same place.
    Same,
}

/// The target of a symlink that stood at `old` and stands at `new` now.
///
/// What leads to nothing that has a place below the prefix (`/proc/mounts`) is kept as it is; the
/// audit judges it.
pub(super) fn retarget(
    old: &LayerPath,
    new: &LayerPath,
    target: &[u8],
    machine: Machine,
) -> Retargeted {
    let placed = resolve(old, target).map(|path| destination(&path, machine));
    match placed {
        Some(Destination::At(to)) if to == *new => Retargeted::Same,
        Some(Destination::At(to)) => Retargeted::To(relative(new, &to)),
        _ => Retargeted::To(target.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    #[test]
    fn targets_are_as_short_as_can_be() {
        for (link, to, expected) in [
            ("a", "b", "b"),
            ("a/b", "a/c", "c"),
            ("a/b", "c", "../c"),
            ("x/y/z", "x/w/v", "../w/v"),
            ("lc", "lib/locale", "lib/locale"),
            ("a/b", "a", "."),
        ] {
            assert_eq!(
                relative(&path(link), &path(to)),
                expected.as_bytes(),
                "{link} {to}"
            );
        }
    }

    #[test]
    fn links_of_packages_lead_to_the_same_file_as_before() {
        let to = |text: &str| Retargeted::To(text.as_bytes().to_vec());
        for (old, target, expected) in [
            ("usr/bin/awk", "/usr/bin/mawk", to("mawk")),
            (
                "usr/bin/ld.so",
                "../lib64/ld-linux-x86-64.so.2",
                to("../../lib/ld-linux-x86-64.so.2"),
            ),
            (
                "usr/lib64/ld-linux-x86-64.so.2",
                "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
                to("ld-linux-oh"),
            ),
            (
                "usr/lib/ssl/certs",
                "/etc/ssl/certs",
                to("../../etc/ssl/certs"),
            ),
            (
                "usr/lib/x86_64-linux-gnu/libz.so.1",
                "libz.so.1.3",
                to("libz.so.1.3"),
            ),
            (
                "usr/lib/git-core/git",
                "../../bin/git",
                to("../../tools/bin/git"),
            ),
            ("etc/mtab", "../proc/mounts", to("../proc/mounts")),
            ("sbin/zic", "../usr/bin/zic", Retargeted::Same),
        ] {
            let old = path(old);
            let Destination::At(new) = destination(&old, Machine::Amd64) else {
                panic!("{old}");
            };
            let found = retarget(&old, &new, target.as_bytes(), Machine::Amd64);
            assert_eq!(found, expected, "{old} -> {target}");
        }
    }
}
