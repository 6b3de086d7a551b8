//! Systems from small packages.

use std::io::Read as _;

use testbed::debian::Deb as Package;

use super::*;
use crate::debian::deb;
use ohoci_layer::{Entry, Kind, LayerPath};

fn path(text: &str) -> LayerPath {
    LayerPath::parse(text.as_bytes()).unwrap()
}

fn assembled(packages: &[Package], drop: &[&str]) -> Result<RootFiles, RootFsError> {
    let directory = tempfile::tempdir().unwrap();
    let debs: Vec<Deb> = packages
        .iter()
        .map(|package| deb::parse(package.build().as_slice(), directory.path()).unwrap())
        .collect();
    // A package needs all others whose names come before its own.
    let names: BTreeSet<&str> = debs.iter().map(|deb| deb.name.as_str()).collect();
    let needs = names
        .iter()
        .map(|name| (*name, names.range::<&str, _>(..*name).copied().collect()))
        .collect();
    let drop: Vec<Pattern> = drop.iter().map(|text| text.parse().unwrap()).collect();
    of_packages(&debs, &needs, &drop)
}

fn entry<'a>(files: &'a RootFiles, at: &str) -> &'a Entry {
    files.tree.get(&path(at)).unwrap_or_else(|| panic!("{at}"))
}

fn text(files: &RootFiles, at: &str) -> String {
    let Kind::File(content) = &entry(files, at).kind else {
        panic!("{at}");
    };
    let mut text = String::new();
    content.open().unwrap().read_to_string(&mut text).unwrap();
    text
}

fn shell() -> Package {
    Package::new("shell", "1", "amd64")
        .field("Description", "a shell\n of its own")
        .control_file("preinst", "#!/bin/sh\n")
        .control_file("conffiles", "/etc/shell.conf\n")
        .directory("./bin/")
        .file("./bin/shell", b"old place")
        .member("./bin/same", b'1', "./bin/shell")
        .file("./etc/shell.conf", b"x=1\n")
        .member("./etc/same.conf", b'1', "./etc/shell.conf")
        .file("./usr/share/man/shell.1", b"words")
        .file("./usr/share/doc/shell/copyright", b"free")
        .file("./usr/share/doc/shell/changelog", b"long")
}

fn library() -> Package {
    Package::new("libx", "1", "amd64")
        .field("Multi-Arch", "same")
        .control_file("triggers", "interest-noawait ldconfig\n")
        .directory("./usr/lib/")
        .file("./usr/lib/libx.so", b"")
}

#[test]
fn files_stand_at_the_root_with_usr_merged_and_all_packages_unpacked() {
    let drop = ["usr/share/doc/**", "usr/share/man/**"];
    let files = assembled(&[shell(), library()], &drop).unwrap();
    for (link, target) in [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib")] {
        let kind = &entry(&files, link).kind;
        assert!(matches!(kind, Kind::Symlink(to) if to == target.as_bytes()));
        assert!(entry(&files, target).is_directory());
    }
    assert_eq!(text(&files, "usr/bin/shell"), "old place");
    let same = &entry(&files, "usr/bin/same").kind;
    assert!(matches!(same, Kind::Hardlink(to) if *to == path("usr/bin/shell")));
    assert_eq!(text(&files, "usr/share/doc/shell/copyright"), "free");
    for dropped in ["usr/share/man/shell.1", "usr/share/doc/shell/changelog"] {
        assert!(files.tree.get(&path(dropped)).is_none(), "{dropped}");
    }
    insta::assert_snapshot!(text(&files, "var/lib/dpkg/status"), @r"
    Package: libx
    Status: install ok unpacked
    Version: 1
    Architecture: amd64
    Multi-Arch: same

    Package: shell
    Status: install ok unpacked
    Version: 1
    Architecture: amd64
    Description: a shell
     of its own
    Conffiles:
     /etc/shell.conf newconffile
    ");
    assert_eq!(text(&files, "etc/shell.conf.dpkg-new"), "x=1\n");
    assert!(files.tree.get(&path("etc/shell.conf")).is_none());
    let same = &entry(&files, "etc/same.conf").kind;
    let target = path("etc/shell.conf.dpkg-new");
    assert!(matches!(same, Kind::Hardlink(to) if *to == target));
    // dpkg goes by where packages have their files, not by where links lead.
    let list = text(&files, "var/lib/dpkg/info/shell.list");
    assert!(
        list.starts_with("/.\n/bin\n/bin/same\n/bin/shell\n/etc/"),
        "{list}"
    );
    assert!(list.contains("/usr/share/man/shell.1\n"), "{list}");
    assert_eq!(entry(&files, "var/lib/dpkg/info/shell.preinst").mode, 0o755);
    assert!(text(&files, "var/lib/dpkg/info/libx:amd64.list").contains("/usr/lib/libx.so\n"));
    let trigger = text(&files, "var/lib/dpkg/triggers/ldconfig");
    assert_eq!(trigger, "libx:amd64/noawait\n");
    assert_eq!(files.before[0].script, "/var/lib/dpkg/info/shell.preinst");
    assert_eq!(files.before.len(), 1);
    assert_eq!(files.packages, 2);
}

#[test]
fn what_belongs_to_others_or_lends_rights_belongs_to_root_and_lends_none() {
    let mut su = deb::parse(shell().build().as_slice(), &std::env::temp_dir()).unwrap();
    let mut tree = Tree::new();
    for (at, found) in &su.tree {
        let lending = Entry {
            mode: found.mode | 0o6000,
            gid: 42,
            mtime: -1,
            ..found.clone()
        };
        tree.insert(at.clone(), lending, ohoci_layer::Rules::Strict)
            .unwrap();
    }
    su.tree = tree;
    let mut root = RootTree::new(&[]);
    root.add(&su).unwrap();
    for (at, found) in &root.finish().unwrap() {
        let lends = found.mode & 0o6000;
        assert_eq!(
            (lends, found.uid, found.gid, found.mtime),
            (0, 0, 0, 0),
            "{at}"
        );
    }
}

#[test]
fn packages_with_the_same_file_are_named() {
    let other = Package::new("other", "1", "amd64").file("./usr/bin/shell", b"new place");
    let error = assembled(&[shell(), other], &[]).unwrap_err().to_string();
    assert_eq!(error, "/usr/bin/shell is in the packages shell and other");
    // A configuration file has another name meanwhile.
    let other = Package::new("other", "1", "amd64").file("./etc/shell.conf", b"mine");
    let error = assembled(&[shell(), other], &[]).unwrap_err().to_string();
    assert_eq!(error, "/etc/shell.conf is in the packages shell and other");
}

#[test]
fn what_is_essential_comes_first_with_what_it_needs() {
    let plain = |name: &str| Package::new(name, "1", "all").control_file("preinst", "#!/bin/sh\n");
    let essential = plain("cc").field("Essential", "yes");
    let packages = [plain("aa"), essential, plain("bb"), plain("dd")];
    let mut files = assembled(&packages, &[]).unwrap();
    assert_eq!(files.essential, ["aa", "bb", "cc"]);
    assert_eq!(files.before.pop().unwrap().package, "dd");
}

#[test]
fn what_a_package_pre_depends_on_is_configured_before_its_preinst() {
    let plain = |name: &str| Package::new(name, "1", "all");
    let last = plain("zz")
        .field("Pre-Depends", "cc (>= 1) | other, virtual")
        .control_file("preinst", "#!/bin/sh\n");
    let none = plain("yy").control_file("preinst", "#!/bin/sh\n");
    let packages = [
        plain("aa"),
        plain("cc"),
        plain("ee").field("Provides", "virtual (= 2)"),
        plain("ff"),
        none,
        last,
    ];
    let files = assembled(&packages, &[]).unwrap();
    let before: Vec<(&str, &[String])> = (files.before.iter())
        .map(|one| (one.package.as_str(), one.configured.as_slice()))
        .collect();
    let wanted = ["aa", "cc", "ee"].map(str::to_owned);
    assert_eq!(before, [("yy", &[][..]), ("zz", &wanted[..])]);
    let wrong = plain("zz")
        .field("Pre-Depends", "A")
        .control_file("preinst", "#!/bin/sh\n");
    let error = assembled(&[wrong], &[]).unwrap_err().to_string();
    assert!(error.starts_with("package zz: Pre-Depends: "), "{error}");
}

#[test]
fn nothing_is_put_where_a_link_leads() {
    for target in ["/etc", "../../etc", "elsewhere"] {
        let link = Package::new("link", "1", "amd64").symlink("./opt", target);
        let file = Package::new("file", "1", "amd64").file("./opt/passwd", b"mine");
        let error = assembled(&[link, file], &[]).unwrap_err().to_string();
        assert!(error.contains("file: /opt/passwd is below /opt"), "{error}");
    }
}

#[test]
fn packages_cannot_write_into_the_database() {
    let status = Package::new("bad", "1", "amd64").file("./var/lib/dpkg/status", b"");
    let error = assembled(&[status], &[]).unwrap_err().to_string();
    assert!(
        error.contains("/var/lib/dpkg/status is there twice"),
        "{error}"
    );
    let lines = Package::new("bad", "1", "amd64").file("./a\nb", b"");
    let error = assembled(&[lines], &[]).unwrap_err().to_string();
    assert!(error.contains("line break"), "{error}");
    let trigger =
        Package::new("bad", "1", "amd64").control_file("triggers", "interest ../status\n");
    assert!(assembled(&[trigger], &[]).is_err());
}
