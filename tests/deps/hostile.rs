//! Packages that mean harm: each is refused with its file and the reason, and nothing is written but
//! into the cache. What index and lock say of them is right; it is what is in them that is not.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use testbed::debian::deb::{ar, ar_header, tar, xz};
use testbed::debian::{Archive, Deb};

use super::python::{Member, wheel, wheel_files, zip, zip_of};
use super::{Project, elsewhere, python};
use crate::support::command::Ohoci;
use crate::support::peer::sha256;

/// More than anything so small may become; see `src/deps/archive/growth.rs`.
const BOMB: usize = 100 << 20;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// Everything below a directory but the cache, and what it is.
pub(super) fn written(root: &Path) -> BTreeMap<PathBuf, String> {
    fn walk(directory: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in fs_err::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs_err::symlink_metadata(&path).unwrap();
            let what = if kind.is_dir() {
                walk(&path, found);
                "a directory".to_owned()
            } else if kind.is_symlink() {
                format!("-> {}", fs_err::read_link(&path).unwrap().display())
            } else {
                sha256(&fs_err::read(&path).unwrap())
            };
            found.insert(path, what);
        }
    }
    let mut found = BTreeMap::new();
    for entry in fs_err::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name != "cache") {
            walk(&path, &mut found);
        }
    }
    found
}

/// Builds, which must fail with all these words and leave everything as it was.
#[track_caller]
fn refused(ohoci: &Ohoci, recipe: &str, words: &[&str]) {
    let root = ohoci.work().join("..").canonicalize().unwrap();
    let before = written(&root);
    let outcome = ohoci
        .run(["deps", "build", recipe, "--locked", "-o", "oci:out:x"])
        .exits(1);
    assert_eq!(outcome.stdout, "");
    for word in words {
        assert!(
            outcome.stderr.contains(word),
            "{word:?}: {}",
            outcome.stderr
        );
    }
    assert_eq!(written(&root), before, "{}", outcome.stderr);
}

/// A place outside, as an absolute path, and the same from many directories below the root.
fn outside(ohoci: &Ohoci) -> (String, String) {
    let root = ohoci.work().join("..").canonicalize().unwrap();
    let absolute = format!("{}/escaped", root.display());
    let upwards = format!("{}{absolute}", "../".repeat(6).trim_end_matches('/'));
    (absolute, upwards)
}

/// A package with one more member, behind a file and a link out.
fn deb(member: (&str, u8, &str, &[u8])) -> Vec<u8> {
    deb_of(&tar(&[
        ("./", b'5', "", b""),
        ("./usr/bin/tool", b'0', "", b"tool"),
        ("./usr/lib/out", b'2', "/", b""),
        member,
    ]))
}

fn deb_of(data: &[u8]) -> Vec<u8> {
    let control = Deb::new("tool", "1.0-1", "amd64").control_tar();
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", &xz(&control)),
        ("data.tar.xz", &xz(data)),
    ])
}

#[test]
fn debian_packages_are_refused() {
    let project = Project::new();
    let (absolute, upwards) = outside(&project.ohoci);
    let recipe = project.ohoci.work().join("layers/core.toml");
    let text = fs_err::read_to_string(&recipe).unwrap();
    let text = text.replace("\"linux/amd64\", \"linux/arm64\"", "\"linux/amd64\"");
    fs_err::write(&recipe, text).unwrap();

    let data = |path: &str, kind, target: &str| deb((path, kind, target, b""));
    let mut lying = tar(&[("./usr/bin/tool", b'0', "", b"tool")]);
    // Its size, and the checksum over that.
    lying[124..135].copy_from_slice(b"00000100000");
    lying[148..156].fill(b' ');
    let sum: u32 = lying[..512].iter().map(|byte| u32::from(*byte)).sum();
    lying[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut cut = ar(&[("debian-binary", b"2.0\n")]);
    cut.extend(ar_header("control.tar.xz", 1 << 20));
    let bomb = tar(&[("./zeros", b'0', "", &vec![0; BOMB])]);
    let under_link = "./usr/lib/out/escaped";
    for (content, file, why) in [
        (
            data(&upwards, b'0', ""),
            "escaped",
            "leads out of the layer",
        ),
        (data(&absolute, b'0', ""), "escaped", "its path is absolute"),
        (
            data(under_link, b'0', ""),
            "/usr/lib/out/escaped",
            "which is a symlink",
        ),
        (
            data("./usr/bin/hard", b'1', &upwards),
            "/usr/bin/hard",
            "leads out",
        ),
        (
            data("./usr/bin/hard", b'1', "./etc/shadow"),
            "/usr/bin/hard",
            "no file before it",
        ),
        (
            data("./usr/bin/tool", b'0', ""),
            "/usr/bin/tool",
            "is there twice",
        ),
        (data("./dev/sda", b'4', ""), "/dev/sda", "it is a device"),
        (
            data("./usr/bin/.wh.sh", b'0', ""),
            "/usr/bin/.wh.sh",
            "would remove",
        ),
        (deb_of(&lying), "/usr/bin/tool", "ends inside"),
        (cut, "control.tar.xz", "cut off"),
        (
            deb_of(&bomb),
            "data.tar.xz",
            "much larger when it is decompressed",
        ),
    ] {
        let tool = Deb::new("tool", "1.0-1", "amd64").whole(&content);
        project.publish(&Archive::new("trixie").package(tool));
        project.locked();
        refused(
            &project.ohoci,
            "layers/core.toml",
            &["package tool 1.0-1", file, why],
        );
    }
}

#[test]
fn what_a_mirror_hands_out_instead_of_what_is_locked_is_refused() {
    let project = Project::new();
    project.locked();
    let path = "pool/main/tool/tool_1.0-1_amd64.deb";
    let good = super::tool("amd64", "1.0-1").build();
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    for (content, why) in [
        (changed, "hashes to sha256:"),
        ([&good[..], b"more"].concat(), "bytes"),
        (good[..good.len() - 1].to_vec(), "bytes"),
    ] {
        project.mirror.put([(path.to_owned(), content)].into());
        refused(
            &project.ohoci,
            "layers/core.toml",
            &["tool 1.0-1 for linux/amd64 (line ", why],
        );
    }
}

#[test]
fn wheels_are_refused() {
    let project = python::project(&wheel());
    let (absolute, upwards) = outside(&project.ohoci);
    let with = |name: &str| zip(&wheel_files(&[(name, b"x")]));
    let files = wheel_files(&[("pkg/more.py", b"x")]);
    let changed = |change: &dyn Fn(&mut Member<'_>)| {
        let mut members: Vec<Member<'_>> = files
            .iter()
            .map(|(name, content)| Member::file(name, content))
            .collect();
        let more = members
            .iter_mut()
            .find(|member| member.name == "pkg/more.py");
        change(more.unwrap());
        zip_of(&members)
    };
    let mut twice = wheel_files(&[]);
    twice.push(("pkg/__init__.py", b"other".to_vec()));
    let link = changed(&|member| member.mode = 0o120_777);
    let lying = changed(&|member| member.size += 1);
    let other = changed(&|member| {
        *member = Member::file(member.name, b"y");
    });
    let inflated = {
        let mut deflate =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        deflate.write_all(&vec![0; BOMB]).unwrap();
        deflate.finish().unwrap()
    };
    let bomb = |size: usize| {
        changed(&|member| {
            member.method = 8;
            member.content.clone_from(&inflated);
            member.size = u32::try_from(size).unwrap();
        })
    };
    for (content, file, why) in [
        (with(&upwards), &*upwards, ".."),
        (with(&absolute), &*absolute, "absolute"),
        (with("pkg/../../escaped"), "pkg/../../escaped", ".."),
        (zip(&twice), "pkg/__init__.py", "twice"),
        (link, "pkg/more.py", "no links"),
        (lying, "pkg/more.py", "size"),
        (other, "pkg/more.py", "it has another hash"),
        (bomb(BOMB), "pkg/more.py", "bytes"),
        (bomb(1), "pkg/more.py", "checksum"),
        (with("pkg-1.0.data/data/../../../escaped"), "escaped", ".."),
    ] {
        let project = python::project(&content);
        refused(
            &project.ohoci,
            "layers/core.toml",
            &["pkg-1.0-py3-none-any.whl", file, why],
        );
    }
}

/// A tarball of what an npm package needs, and more.
fn npm(more: &[(&str, u8, &str, &[u8])]) -> Vec<u8> {
    let manifest = br#"{"name": "@s/pkg", "version": "1.0.0"}"#;
    let mut members: Vec<(&str, u8, &str, &[u8])> = vec![
        ("package/package.json", b'0', "", manifest),
        ("package/cli.js", b'0', "", b""),
    ];
    members.extend_from_slice(more);
    gzip(&tar(&members))
}

/// A tarball of a tool, and more.
fn tool(more: &[(&str, u8, &str, &[u8])]) -> Vec<u8> {
    let mut members: Vec<(&str, u8, &str, &[u8])> = vec![
        ("tool-1/share/data", b'0', "", b"data"),
        ("tool-1/out", b'2', "/", b""),
    ];
    members.extend_from_slice(more);
    gzip(&tar(&members))
}

#[test]
fn npm_packages_are_refused() {
    let zeros = vec![0; BOMB];
    let sound = elsewhere::Project::of(tool(&[]), npm(&[]));
    let (absolute, upwards) = outside(&sound.ohoci);
    let upwards = format!("package/{upwards}");
    let link = ("package/out", b'2', "/", b"".as_slice());
    let whole = npm(&[]);
    for (content, file, why) in [
        (npm(&[(&upwards, b'0', "", b"")]), "escaped", "leads out"),
        (
            npm(&[(&absolute, b'0', "", b"")]),
            "escaped",
            "its path is absolute",
        ),
        (npm(&[link]), "package/out", "can hold no symlink"),
        (
            npm(&[link, ("package/out/escaped", b'0', "", b"")]),
            "package/out",
            "can hold no symlink",
        ),
        (
            npm(&[("package/hard", b'1', &absolute, b"")]),
            "package/hard",
            "hard link",
        ),
        (
            npm(&[("package/cli.js", b'0', "", b"x")]),
            "package/cli.js",
            "twice",
        ),
        (
            npm(&[("elsewhere/x", b'0', "", b"")]),
            "elsewhere",
            "there should be one directory",
        ),
        (
            npm(&[("package/zeros", b'0', "", &zeros)]),
            "package/zeros",
            "bytes",
        ),
        (gzip(&cut_short(&whole)), "package/cli.js", "ends inside"),
        (whole[..whole.len() - 9].to_vec(), "@s/pkg 1.0.0", "cut off"),
    ] {
        let archive = gzip(&tar(&[("tool-1/data", b'0', "", b"data")]));
        let project = elsewhere::Project::of(archive, content);
        project.deps(0, &["lock", "layers/more.toml"]);
        refused(
            &project.ohoci,
            "layers/more.toml",
            &["@s/pkg 1.0.0", file, why],
        );
    }
}

/// The tar of a tarball of ours, whose last file is said to be larger than all that follows.
fn cut_short(tarball: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    let mut input = flate2::read::GzDecoder::new(tarball);
    std::io::Read::read_to_end(&mut input, &mut tar).unwrap();
    let headers = tar
        .chunks_exact(512)
        .rposition(|block| &block[257..262] == b"ustar");
    let header = &mut tar[headers.unwrap() * 512..][..512];
    header[124..135].copy_from_slice(b"00000100000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar
}

#[test]
fn archives_are_refused() {
    let zeros = vec![0; BOMB];
    let sound = elsewhere::Project::of(tool(&[]), npm(&[]));
    let (absolute, upwards) = outside(&sound.ohoci);
    let above = format!("tool-1/{upwards}");
    let file = |name: &str| zip(&[("tool-1/a", b"a".to_vec()), (name, b"x".to_vec())]);
    let link = Member {
        mode: 0o120_777,
        ..Member::file("tool-1/out", b"/")
    };
    let mut lying = Member::file("tool-1/lie", b"x");
    lying.size = 2;
    let plain = |more: &[(&str, u8, &str, &[u8])]| tool(more);
    for (content, file, why) in [
        (plain(&[(&above, b'0', "", b"")]), "escaped", "leads out"),
        (
            plain(&[(&absolute, b'0', "", b"")]),
            "escaped",
            "its path is absolute",
        ),
        (
            plain(&[("tool-1/out/escaped", b'0', "", b"")]),
            "/tool-1/out/escaped",
            "which is a symlink",
        ),
        (
            plain(&[("tool-1/hard", b'1', &above, b"")]),
            "tool-1/hard",
            "leads out",
        ),
        (
            plain(&[("tool-1/share/data", b'0', "", b"other")]),
            "/tool-1/share/data",
            "twice",
        ),
        (
            plain(&[("tool-1/zeros", b'0', "", &zeros)]),
            "tool-1.tgz",
            "bytes",
        ),
        (gzip(&cut_short(&npm(&[]))), "package/cli.js", "ends inside"),
        (file(&above), &*above, ".."),
        (file(&absolute), &*absolute, "absolute"),
        (file("tool-1/a"), "tool-1/a", "twice"),
        (
            zip_of(&[link, Member::file("tool-1/out/escaped", b"x")]),
            "/tool-1/out/escaped",
            "which is a symlink",
        ),
        (zip_of(&[lying]), "tool-1/lie", "size"),
    ] {
        let project = elsewhere::Project::of(content, npm(&[]));
        project.deps(0, &["lock", "layers/more.toml"]);
        refused(
            &project.ohoci,
            "layers/more.toml",
            &["tool-1.tgz", file, why],
        );
    }
}
