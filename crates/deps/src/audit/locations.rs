//! Where entries stand, what they are, and where symlinks lead.

use super::audited::{Layer, Options};
use super::finding::{Finding, Rule, Severity};
use crate::files::Files;
use crate::place::resolve;
use ohoci_layer::path::printable;
use ohoci_layer::{Content, Entry, Kind, LayerPath, whiteout};

/// Directories of the base that may be symlinks into `/usr`.
const MERGED: [&[u8]; 6] = [b"bin", b"sbin", b"lib", b"lib32", b"lib64", b"libx32"];
/// Directories that every container has from its runtime, whatever its base.
const RUNTIME: [&[u8]; 3] = [b"proc", b"dev", b"sys"];

pub(super) fn check(
    layers: &[Layer<'_>],
    options: &Options,
    files: &Files<'_>,
    findings: &mut Vec<Finding>,
) {
    for layer in layers {
        for (path, entry) in layer.tree {
            let mut tell = |severity, rule, what: String, why| {
                findings.push(Finding {
                    severity,
                    rule,
                    file: path.to_string(),
                    layer: layer.name.to_owned(),
                    what,
                    why: str::to_owned(why),
                });
            };
            location(path, entry, options, &mut tell);
            attributes(path, entry, &mut tell);
            if let Kind::Symlink(target) = &entry.kind {
                symlink(path, target, options, files, &mut tell);
            }
        }
    }
}

pub(super) fn is_inside(path: &LayerPath, options: &Options) -> bool {
    path.is_within(options.prefix.path())
}

fn location(
    path: &LayerPath,
    entry: &Entry<Content>,
    options: &Options,
    tell: &mut impl FnMut(Severity, Rule, String, &'static str),
) {
    let first = path.names().next().unwrap_or_default();
    if MERGED.contains(&first) {
        tell(
            Severity::Error,
            Rule::MergedUsr,
            format!("is a {} in /{}", entry.kind.noun(), printable(first)),
            "where that is a symlink into /usr, it would be replaced, and the base with it",
        );
        return;
    }
    if is_inside(path, options) {
        return;
    }
    match options.prefix.path().is_within(path) {
        true => tell(
            Severity::Error,
            Rule::Location,
            "is above what the layer is for".to_owned(),
            "mode and owner of the base's directory would be overridden",
        ),
        false => tell(
            Severity::Error,
            Rule::Location,
            format!("is outside of {}", options.prefix),
            "it could hide or change a file of the base",
        ),
    }
}

fn attributes(
    path: &LayerPath,
    entry: &Entry<Content>,
    tell: &mut impl FnMut(Severity, Rule, String, &'static str),
) {
    match entry.kind {
        Kind::CharDevice(_) | Kind::BlockDevice(_) => tell(
            Severity::Error,
            Rule::Kind,
            format!("is a {}", entry.kind.noun()),
            "a layer has no use for devices",
        ),
        _ if whiteout::is_reserved(path) => tell(
            Severity::Error,
            Rule::Kind,
            "is a whiteout".to_owned(),
            "it would remove files of the base",
        ),
        _ => {}
    }
    let rights = entry.mode & 0o6000;
    if rights != 0 && !entry.is_directory() && !matches!(entry.kind, Kind::Symlink(_)) {
        tell(
            Severity::Error,
            Rule::Privilege,
            format!("has mode {:04o}", entry.mode),
            "it would give rights on any base",
        );
    }
    if entry
        .xattrs
        .keys()
        .any(|name| name == b"security.capability")
    {
        tell(
            Severity::Error,
            Rule::Privilege,
            "has capabilities".to_owned(),
            "it would give rights on any base",
        );
    }
    let open = match entry.kind {
        Kind::Symlink(_) | Kind::Hardlink(_) => false,
        Kind::Directory => entry.mode & 0o1002 == 0o002,
        _ => entry.mode & 0o002 != 0,
    };
    if open {
        tell(
            Severity::Warning,
            Rule::Kind,
            format!("has mode {:04o}", entry.mode),
            "everyone may change it",
        );
    }
}

fn symlink(
    path: &LayerPath,
    target: &[u8],
    options: &Options,
    files: &Files<'_>,
    tell: &mut impl FnMut(Severity, Rule, String, &'static str),
) {
    let what = format!("leads to {}", printable(target));
    let Some(to) = resolve(path, target) else {
        tell(Severity::Error, Rule::Symlink, what, "that is no path");
        return;
    };
    if is_inside(&to, options) {
        if files.resolve(path).is_none() {
            tell(
                Severity::Note,
                Rule::Symlink,
                what,
                "that is not in these layers",
            );
        }
        return;
    }
    let first = to.names().next().unwrap_or_default();
    if !RUNTIME.contains(&first) {
        tell(
            Severity::Error,
            Rule::Symlink,
            what,
            "it depends on what the base has there",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::audit;
    use super::*;
    use crate::place::Machine;
    use ohoci_layer::{Device, Rules, Tree};

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    fn found(at: &str, entry: Entry<Content>) -> Vec<(Severity, Rule)> {
        let mut tree = Tree::new();
        tree.insert(path(at), entry, Rules::Strict).unwrap();
        let layer = Layer {
            name: "core",
            tree: &tree,
        };
        let options = Options {
            machine: Machine::Amd64,
            prefix: "/opt/oh".parse().unwrap(),
        };
        let audit = audit(&[layer], &options).unwrap();
        let pairs = audit.findings.iter();
        pairs
            .map(|finding| (finding.severity, finding.rule))
            .collect()
    }

    fn file(mode: u32) -> Entry<Content> {
        Entry::new(Kind::File(Content::Memory(Default::default())), mode)
    }

    fn link(target: &str) -> Entry<Content> {
        Entry::new(Kind::Symlink(target.as_bytes().to_vec()), 0o777)
    }

    #[test]
    fn entries_stand_where_they_may() {
        let directory = Entry::new(Kind::Directory, 0o755);
        assert_eq!(found("opt/oh", directory.clone()), []);
        for at in ["opt", "usr/local", "opt/other", "etc", "."] {
            assert_eq!(
                found(at, directory.clone()),
                [(Severity::Error, Rule::Location)],
                "{at}"
            );
        }
        for at in ["bin", "lib64/x"] {
            assert_eq!(
                found(at, directory.clone()),
                [(Severity::Error, Rule::MergedUsr)],
                "{at}"
            );
        }
    }

    #[test]
    fn nothing_gives_rights() {
        let mut capable = file(0o755);
        capable
            .xattrs
            .insert(b"security.capability".to_vec(), vec![1]);
        let device = Kind::CharDevice(Device { major: 1, minor: 3 });
        for (entry, expected) in [
            (file(0o4755), (Severity::Error, Rule::Privilege)),
            (file(0o2755), (Severity::Error, Rule::Privilege)),
            (capable, (Severity::Error, Rule::Privilege)),
            (file(0o666), (Severity::Warning, Rule::Kind)),
            (Entry::new(device, 0o644), (Severity::Error, Rule::Kind)),
            (
                Entry::new(Kind::Directory, 0o777),
                (Severity::Warning, Rule::Kind),
            ),
        ] {
            assert_eq!(found("opt/oh/x", entry), [expected]);
        }
        assert_eq!(found("opt/oh/x", Entry::new(Kind::Directory, 0o1777)), []);
        assert_eq!(
            found("opt/oh/.wh.x", file(0o644)),
            [(Severity::Error, Rule::Kind)]
        );
    }

    #[test]
    fn symlinks_stay_inside() {
        for (target, expected) in [
            ("/etc/ssl", vec![(Severity::Error, Rule::Symlink)]),
            ("../../../etc/ssl", vec![(Severity::Error, Rule::Symlink)]),
            ("../../opt/oh/none", vec![(Severity::Note, Rule::Symlink)]),
            ("/proc/self/mounts", vec![]),
            (
                "../../agent-server/x",
                vec![(Severity::Error, Rule::Symlink)],
            ),
        ] {
            assert_eq!(found("opt/oh/x", link(target)), expected, "{target}");
        }
    }
}
