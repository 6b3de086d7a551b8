//! What the targets begin with: small, sound, and with as much in it as there can be.

use std::io::Write as _;

use testbed::debian::Deb;
use testbed::debian::deb::{PLAIN, XZ, ar};

use crate::deps::python::{wheel, zip};

/// A tar with every kind of entry that packages have.
pub(super) fn tar_of(prefix: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |kind, path: &str, target: Option<&str>, content: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        let path = format!("{prefix}{path}");
        match target {
            Some(target) => archive.append_link(&mut header, path, target).unwrap(),
            None => archive
                .append_data(&mut header, path, content.as_bytes())
                .unwrap(),
        }
    };
    for (path, content) in files {
        add(tar::EntryType::Regular, path, None, content);
    }
    add(tar::EntryType::Directory, "share/", None, "");
    let long = format!("share/{}", "a-long-name/".repeat(12));
    add(tar::EntryType::Regular, &format!("{long}x"), None, "long");
    archive.into_inner().unwrap()
}

/// The same with links, which not everything may have.
pub(super) fn tar_with_links() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(4);
    header.set_mode(0o644);
    archive
        .append_data(&mut header, "tool/bin/a", &b"text"[..])
        .unwrap();
    for (kind, path, target) in [
        (tar::EntryType::Symlink, "tool/bin/b", "../bin/a"),
        (tar::EntryType::Link, "tool/bin/c", "tool/bin/a"),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o777);
        archive.append_link(&mut header, path, target).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Two layers, the upper of which removes from the lower, with a block of dashes between them.
pub(super) fn layers_with_whiteouts() -> Vec<u8> {
    let mut upper = tar::Builder::new(Vec::new());
    for path in [
        "tool/bin/.wh.b",
        "tool/.wh..wh..opq",
        "tool/new",
        ".wh.other",
        ".wh..wh.plnk/x",
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        header.set_mode(0o644);
        upper.append_data(&mut header, path, &b""[..]).unwrap();
    }
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    upper
        .append_link(&mut header, "tool/hard", "tool/new")
        .unwrap();
    [
        tar_with_links(),
        vec![b'-'; 512],
        upper.into_inner().unwrap(),
    ]
    .concat()
}

/// Makes the checksums of what looks like headers right again.
pub(super) fn with_checksums(mut tar: Vec<u8>) -> Vec<u8> {
    for header in tar.chunks_exact_mut(512) {
        if &header[257..262] != b"ustar" {
            continue;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

pub(super) fn gzip_tar(tar: Vec<u8>) -> Vec<u8> {
    gzip(&with_checksums(tar))
}

fn package() -> Deb {
    Deb::new("tool", "1:1.0-1", "amd64")
        .field("Depends", "libtool (>= 2:1.5), data | other-data")
        .field("Maintainer", "nobody")
        .control_file("conffiles", "/etc/tool.conf\n")
        .control_file("postinst", "#!/bin/sh\n")
        .file("./etc/tool.conf", b"x")
        .file("./usr/bin/tool", b"text")
        .file("./usr/share/doc/tool/copyright", b"Format: x\nLicense: y\n")
        .symlink("./usr/bin/link", "tool")
        .member("./usr/bin/hard", b'1', "./usr/bin/tool")
}

pub(super) fn debs() -> Vec<Vec<u8>> {
    vec![package().build_with(PLAIN), package().build_with(XZ)]
}

/// The tars in a package, which [`deb_of_data`] and [`deb_of_control`] put into one again.
pub(super) fn data_tar() -> Vec<u8> {
    package().data_tar()
}

pub(super) fn control_tar() -> Vec<u8> {
    package().control_tar()
}

pub(super) fn deb_of_data(tar: Vec<u8>) -> Vec<u8> {
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", &control_tar()),
        ("data.tar", &with_checksums(tar)),
    ])
}

pub(super) fn deb_of_control(tar: Vec<u8>) -> Vec<u8> {
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", &with_checksums(tar)),
        ("data.tar", &data_tar()),
    ])
}

pub(super) fn zips() -> Vec<Vec<u8>> {
    vec![
        wheel(),
        zip(&[("tool/a", b"a".to_vec()), ("tool/b/c", vec![0; 100])]),
    ]
}

/// What a source distribution has, which setuptools wrote.
pub(super) fn source() -> Vec<u8> {
    tar_of(
        "pkg-1.0/",
        &[
            (
                "PKG-INFO",
                "Metadata-Version: 2.2\nName: pkg\nVersion: 1.0\n",
            ),
            ("pkg.egg-info/top_level.txt", "pkg\n"),
            ("pkg.egg-info/requires.txt", "dep>=1\n[x]\nother\n"),
            (
                "pkg.egg-info/entry_points.txt",
                "[console_scripts]\nx = pkg:main\n",
            ),
            (
                "pyproject.toml",
                "[build-system]\nrequires = [\"setuptools\"]\n[project]\nname = \"pkg\"\nversion = \"1.0\"\n",
            ),
            (
                "setup.cfg",
                "[metadata]\nname = pkg\n[options]\npackages = find:\n",
            ),
            ("setup.py", "from setuptools import setup\nsetup()\n"),
            ("pkg/__init__.py", "x = 1\n"),
            ("LICENSE", "text"),
        ],
    )
}

/// A source distribution as Poetry makes it.
pub(super) fn poetry_source() -> Vec<u8> {
    tar_of(
        "pkg-1.0/",
        &[
            (
                "PKG-INFO",
                "Metadata-Version: 2.4\nName: pkg\nVersion: 1.0\n",
            ),
            (
                "pyproject.toml",
                "[build-system]\nrequires = [\"poetry-core>=1\"]\nbuild-backend = \"poetry.core.masonry.api\"\n\
                 [tool.poetry]\nbuild = \"make.py\"\npackages = [{ include = \"pkg/**/*.py\", from = \"lib\", \
                 to = \"x\" }]\ninclude = [{ path = \"*.md\", format = \"wheel\" }]\nexclude = [\"**/t\"]\n\
                 [tool.poetry.dependencies]\npython = \"^3.12\"\ndep = { version = \"~1.2\", optional = true }\n\
                 [tool.poetry.extras]\nmore = [\"dep\"]\n\
                 [tool.poetry.scripts]\nx = \"pkg:main\"\ny = { reference = \"y.sh\", type = \"file\" }\n",
            ),
            ("lib/pkg/__init__.py", "x = 1\n"),
            ("lib/pkg/t/a.py", ""),
            ("README.md", ""),
            ("y.sh", "#!/bin/sh\n"),
            ("make.py", ""),
        ],
    )
}

/// What an npm package has.
pub(super) fn npm_package() -> Vec<u8> {
    tar_of(
        "package/",
        &[
            (
                "package.json",
                r#"{"name": "a", "version": "1.0.0", "bin": {"a": "cli.js"}}"#,
            ),
            ("cli.js", "#!/usr/bin/env node\r\n"),
            ("lib/x.js", "x"),
        ],
    )
}

pub(super) const NPM_LOCKFILE: &str = r#"{"name": "x", "lockfileVersion": 3, "requires": true, "packages": {
    "": {"dependencies": {"a": "^1"}, "optionalDependencies": {"o": "1"}},
    "node_modules/a": {"version": "1.0.0", "resolved": "https://registry.example/a/-/a-1.0.0.tgz",
        "integrity": "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "bin": {"a": "cli.js"},
        "dependencies": {"@s/b": "*"}, "peerDependencies": {"p": "*"},
        "peerDependenciesMeta": {"p": {"optional": true}}},
    "node_modules/a/node_modules/@s/b": {"version": "2.0.0-rc.1", "inBundle": true, "license": {"type": "ISC"}},
    "node_modules/o": {"name": "real", "version": "1.0.0", "optional": true, "os": ["!linux"], "cpu": "x64",
        "integrity": "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}}}"#;

pub(super) const INDEX: &str = "Package: tool\nArchitecture: amd64\nVersion: 1:2.0~rc1-1+b2\nSource: src (1.0-1)\n\
    Pre-Depends: libc6 (>= 2.38)\nDepends: libtool (>= 2:1.5) [amd64 !i386] <!nocheck>, data:any | other-data (= 1)\n\
    Provides: thing (= 2), other\nConflicts: old (<< 1)\nDescription: words\n more words\n .\n end\n\
    Filename: ./pool/main/t/tool/tool_2.0.deb\nSize: 1234\n\
    SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n\n\
    Package: data\nArchitecture: all\nVersion: 3\n";

/// As git writes them: a change, an addition, a symlink, a move, a name in quotes, a binary file, a
/// message in front; and as diff does.
pub(super) const PATCHES: [&str; 3] = [
    "diff --git a/x.py b/x.py\nindex 1..2 100644\n--- a/x.py\n+++ b/x.py\n@@ -1,3 +1,3 @@ def f():\n a\n-b\n+c\n d\n\
     diff --git a/new b/new\nnew file mode 100644\nindex 0..1\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n\
     \\ No newline at end of file\n\
     diff --git a/way b/way\nnew file mode 120000\nindex 0..1\n--- /dev/null\n+++ b/way\n@@ -0,0 +1 @@\n+/etc\n\
     diff --git a/old b/moved\nsimilarity index 100%\nrename from old\nrename to moved\n",
    "From 1 Mon Sep 17 00:00:00 2001\nSubject: [PATCH] words\n\n---\n x | 2 +-\n\n\
     diff --git \"a/\\303\\266 x\" \"b/\\303\\266 x\"\n--- \"a/\\303\\266 x\"\t\n+++ \"b/\\303\\266 x\"\t\n@@ -1 +1 @@\n\
     --- ../.git/a\n+++ /etc/b\n\
     diff --git a/b.bin b/b.bin\nindex 1..2 100644\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n\n-- \n2.47.3\n",
    "Index: x.c\n===================\n--- x.c.orig\t2026-01-01 00:00:00.000000000 +0000\n+++ x.c\t2026-01-02\n\
     @@ -1,2 +1,2 @@\n-a\r\n+b\r\n\n",
];

/// As people write it, with comments.
pub(super) const SOURCES: &str = "# a comment\nTypes: deb deb-src\n# another\nURIs: https://mirror.example/debian\n\
    Suites: trixie\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n x\n";

pub(super) const LOCK: &str = "version = 1\nrecipe = \"core\"\nplatforms = [\"linux/amd64\"]\n\n[[feature]]\nname = \"core\"\n\
    inputs = \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\n\n\
    [release.trixie]\ndate = \"2026-01-01T00:00:00Z\"\n\n\
    [[debian]]\nname = \"tool\"\nversion = \"1\"\nfeature = \"core\"\nneeds = [\"data\"]\n[debian.file]\n\
    any = { path = \"pool/tool.deb\", size = 1, digest = \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\" }\n\n\
    [[python]]\nname = \"pkg\"\nversion = \"1\"\nfeature = \"core\"\nrequested = true\n[python.file]\n\
    \"linux/amd64\" = { path = \"pkg/pkg.whl\", size = 1, digest = \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\" }\n";

/// A map in MessagePack, of texts and what is written already.
fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0x80 | u8::try_from(entries.len()).unwrap()];
    for (key, value) in entries {
        bytes.extend(text(key));
        bytes.extend(value);
    }
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&[0xd9, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn octets(length: u8) -> Vec<u8> {
    [vec![0xc4, length], vec![0xab; usize::from(length)]].concat()
}

/// Which shards a channel of conda has.
pub(super) fn shard_index() -> Vec<u8> {
    let info = map(&[
        ("base_url", text("")),
        ("shards_base_url", text("./shards/")),
        ("subdir", text("linux-64")),
    ]);
    let shards = map(&[("zlib", octets(32)), ("python", octets(32))]);
    map(&[("version", vec![1]), ("info", info), ("shards", shards)])
}

/// A shard with a package in both formats.
pub(super) fn shard() -> Vec<u8> {
    let record = map(&[
        ("name", text("zlib")),
        ("version", text("1.2.13")),
        ("build", text("h5eee18b_1")),
        ("build_number", vec![1]),
        ("depends", [vec![0x91], text("libgcc-ng >=11.2.0")].concat()),
        ("sha256", octets(32)),
        ("md5", octets(16)),
        ("size", vec![0xce, 0, 1, 0, 0]),
        ("noarch", vec![0xc0]),
    ]);
    map(&[
        (
            "packages",
            map(&[("zlib-1.2.13-h5eee18b_1.tar.bz2", record.clone())]),
        ),
        (
            "packages.conda",
            map(&[("zlib-1.2.13-h5eee18b_1.conda", record)]),
        ),
        ("removed", vec![0x90]),
    ])
}
