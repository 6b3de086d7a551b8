//! Bases assembled from Debian packages: small ones, with this machine's own dpkg among them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use testbed::debian::deb::PLAIN;
use testbed::debian::key::SignatureSettings;
use testbed::debian::{Archive, Deb, Key};
use testbed::file_server::FileServer;

use super::base;
use super::scene::Scene;
use crate::support::command::Outcome;

/// When the archive is signed: the first day of 2026.
const SIGNED: u32 = 1_767_225_600;

/// What dpkg starts, or looks for before it does anything.
const APPLETS: [&str; 11] = [
    "chown",
    "date",
    "diff",
    "dpkg-deb",
    "find",
    "grep",
    "ldconfig",
    "start-stop-daemon",
    "tar",
    "touch",
    "true",
];

const RECIPE: &str = "name = \"small\"\nplatforms = [\"linux/ARCHITECTURE\"]\n\n[rootfs]\n\n\
    [debian]\nsuite = \"trixie\"\nkeyring = \"key.gpg\"\npackages = [\"tool\"]\n\
    drop = [\"usr/share/man/**\"]\n[debian.exclude]\nservices = \"nothing is started\"\n\n[patch.env]\nPATH = \"/usr/bin:/bin\"\n";

/// What sets the tool up: it gives files away, has a log, and asks the package below.
const POSTINST: &str = "#!/bin/sh\nset -e\ncat /usr/share/data > /var/lib/tool.state\n\
    chown 42:43 /var/lib/tool.state\nchmod 4755 /var/lib/tool.state\n\
    date > /var/log/tool.log\ndate > /etc/machine-id\n";

/// What Debian calls this machine.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

/// This machine's dpkg, with all that a base has to have.
fn essential(root: &Path) -> Deb {
    let dpkg = Path::new("/usr/bin/dpkg");
    base::add(root, &[dpkg, Path::new("/usr/bin/dpkg-query")]);
    let mut deb = Deb::new("dpkg", "1", architecture())
        .field("Essential", "yes")
        .control_file("md5sums", "")
        .directory("./var/")
        .directory("./var/lib/")
        .directory("./var/log/");
    for applet in APPLETS {
        if !root.join("bin").join(applet).exists() {
            deb = deb.symlink(&format!("./usr/bin/{applet}"), "busybox");
        }
    }
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for child in fs_err::read_dir(directory).unwrap() {
            let child = child.unwrap().path();
            let name = format!("./{}", child.strip_prefix(root).unwrap().display());
            let metadata = fs_err::symlink_metadata(&child).unwrap();
            if metadata.is_symlink() {
                let target = fs_err::read_link(&child).unwrap();
                deb = deb.symlink(&name, target.to_str().unwrap());
            } else if metadata.is_dir() {
                deb = deb.directory(&format!("{name}/"));
                open.push(child);
            } else {
                let mode = metadata.permissions().mode() & 0o7777;
                deb = deb.program(&name, &fs_err::read(&child).unwrap(), mode);
            }
        }
    }
    deb
}

fn tool() -> Deb {
    tool_that_needs("data")
}

fn tool_that_needs(package: &str) -> Deb {
    Deb::new("tool", "1.0-1", architecture())
        .field("Depends", &format!("{package}, services"))
        .field("Description", "a tool\n that is set up")
        .control_file("preinst", "#!/bin/sh\nset -e\ntest \"$1\" = install\necho \"$DPKG_MAINTSCRIPT_PACKAGE\" > /var/lib/before\n")
        .control_file("postinst", POSTINST)
        .control_file("conffiles", "/etc/tool.conf\n")
        .control_file("md5sums", "")
        .file("./etc/tool.conf", b"x=1\n")
        .file("./usr/share/man/tool.1", b"words")
        .program("./sbin/tool", b"#!/bin/sh\necho tool\n", 0o4755)
}

fn data() -> Deb {
    Deb::new("data", "2", "all")
        .control_file("md5sums", "")
        .file("./usr/share/data", b"configured\n")
}

/// A scene whose base comes from a mirror.
struct Bench {
    scene: Scene,
    key: Key,
    mirror: FileServer,
    essential: Deb,
}

impl Bench {
    fn new() -> Self {
        let scene = Scene::new();
        let essential = essential(&scene.ohoci.work().join("root"));
        let key = Key::new(1, SIGNED - 1000);
        let mirror = FileServer::start(std::collections::BTreeMap::new());
        let configuration = format!("[mirrors]\ndebian = [\"{}\"]\n", mirror.url());
        scene.ohoci.write("work/ohoci.toml", configuration);
        scene.ohoci.write("work/layers/key.gpg", key.public());
        let recipe = RECIPE.replace("ARCHITECTURE", architecture());
        scene.ohoci.write("work/layers/small.toml", recipe);
        Self {
            scene,
            key,
            mirror,
            // It is large.
            essential: essential.clone().whole(&essential.build_with(PLAIN)),
        }
    }

    /// Puts packages on the mirror, of which nothing is locked yet.
    fn publish(&self, packages: &[Deb]) {
        let mut archive = Archive::new("trixie").package(self.essential.clone());
        for package in packages {
            archive = archive.package(package.clone());
        }
        self.mirror
            .put(archive.files(&self.key, SignatureSettings::at(SIGNED)));
        let lock = self.scene.ohoci.work().join("layers/small.lock");
        if lock.exists() {
            fs_err::remove_file(lock).unwrap();
        }
    }

    fn images(&self, more: &[&str]) -> Outcome {
        let base = ["--base-recipe", "layers/small.toml"];
        self.scene.images_on(
            &base,
            &["example__tool-1"],
            &[&["--push", "oci:images"], more].concat(),
        )
    }
}

#[test]
fn a_base_is_assembled_from_packages_and_is_the_same_every_time() {
    let bench = Bench::new();
    bench.publish(&[tool(), data()]);
    let more = ["--format", "json", "--all-levels"];
    let plan = bench
        .images(&["--format", "json", "--dry-run"])
        .exits(0)
        .json();
    assert_eq!(plan["baseRecipe"]["locked"], false);
    let first = bench.images(&more).exits(0).json();
    let said = |script: &str| {
        let words = [
            "run",
            "oci:images:sweb.base.py.x86_64:latest",
            "--",
            "/bin/bash",
            "-c",
            script,
        ];
        bench.scene.ohoci.run(words).exits(0).stdout
    };
    if architecture() == "amd64" {
        let script = "cat /var/lib/tool.state /var/lib/before; /sbin/tool; \
            grep -c '^Status: install ok installed' /var/lib/dpkg/status; dpkg --audit; \
            ls -A /var/log; cd /etc; ls -d machine-id /usr/share/man/tool.1 2>/dev/null || true; \
            test -L /bin && test -L /sbin && echo merged; \
            find / -xdev -perm /6000 -type f; find / -xdev -name '*.dpkg-new'; grep -A1 Conffiles: /var/lib/dpkg/status";
        assert_eq!(
            said(script),
            "configured\ntool\ntool\n3\nmerged\nConffiles:\n /etc/tool.conf f968f33f844c98de1d3b4fe70f2e1a0f\n"
        );
    }
    let logs = bench.scene.ohoci.work().join("logs/build_images/base");
    let log = fs_err::read_dir(logs)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let packages = fs_err::read_to_string(log.join("packages.txt")).unwrap();
    assert_eq!(packages, "data 2\ndpkg 1\ntool 1.0-1\n");
    assert!(log.join("build_image.log").is_file());

    // From the cache, where the mirror is not asked; and anew, in other directories.
    let again = bench
        .images(&[&more[..], &["--offline"]].concat())
        .exits(0)
        .json();
    assert_eq!(again["base"], first["base"]);
    let anew = bench
        .images(&[&more[..], &["--cache-dir", "other"]].concat())
        .exits(0);
    assert!(
        anew.stderr.contains("assembling 3 packages"),
        "{}",
        anew.stderr
    );
    assert_eq!(anew.json()["base"]["digest"], first["base"]["digest"]);
    let pushed = |report: &serde_json::Value| report["instances"][0]["pushed"].clone();
    assert_eq!(pushed(&anew.json()), pushed(&first));
    let plan = bench
        .images(&["--format", "json", "--dry-run"])
        .exits(0)
        .json();
    assert_eq!(plan["base"]["digest"], first["base"]["digest"]);
}

#[test]
fn a_configuration_file_is_in_place_once_its_package_is_configured_and_not_before() {
    // It runs the hooks that are there, as libpaper1 does those of TeX.
    let paper = Deb::new("paper", "1", "all")
        .control_file("md5sums", "")
        .control_file(
            "postinst",
            "#!/bin/sh\nset -e\ntest ! -e /etc/paper.d/tex || /etc/paper.d/tex\n",
        )
        .file("./usr/share/paper", b"");
    let tex = Deb::new("tex", "1", "all")
        .field("Depends", "paper")
        .control_file("md5sums", "")
        .control_file("conffiles", "/etc/paper.d/tex\n")
        .control_file(
            "postinst",
            "#!/bin/sh\nset -e\necho ready > /var/lib/tex.ready\n/etc/paper.d/tex\n",
        )
        .program(
            "./etc/paper.d/tex",
            b"#!/bin/sh\ngrep ready /var/lib/tex.ready\n",
            0o755,
        );
    let tool = Deb::new("tool", "1", architecture())
        .field("Pre-Depends", "tex (>= 1) | other-tex")
        .field("Depends", "services")
        .control_file("md5sums", "")
        .control_file(
            "preinst",
            "#!/bin/sh\nset -e\n/etc/paper.d/tex > /var/lib/before\n",
        )
        .file("./usr/share/tool", b"");
    let bench = Bench::new();
    bench.publish(&[tool, tex, paper]);
    bench.images(&["--all-levels"]).exits(0);
    if architecture() == "amd64" {
        let script = "cat /var/lib/before; ls -A /etc/paper.d; test -x /etc/paper.d/tex; \
            grep newconffile /var/lib/dpkg/status; dpkg --audit";
        let image = "oci:images:sweb.base.py.x86_64:latest";
        let words = ["run", image, "--", "/bin/bash", "-c", script];
        let said = bench.scene.ohoci.run(words).exits(0).stdout;
        assert_eq!(said, "ready\ntex\n");
    }
}

#[test]
fn a_script_that_fails_is_named_with_its_package_and_its_words() {
    let broken = Deb::new("other", "1", "all")
        .control_file("postinst", "#!/bin/sh\necho it is broken >&2\nexit 7\n")
        .field("Depends", "data")
        .file("./usr/share/other", b"");
    let bench = Bench::new();
    bench.publish(&[tool_that_needs("other"), broken, data()]);
    let outcome = bench.images(&[]).exits(1);
    for words in [
        "base: level base: configure other",
        "it ended with exit code 1",
        "| it is broken",
        "logs/build_images/base/",
        "[debian.exclude]",
    ] {
        assert!(
            outcome.stderr.contains(words),
            "{words}: {}",
            outcome.stderr
        );
    }
    let preinst =
        Deb::new("tool", "2", architecture()).control_file("preinst", "#!/bin/sh\nexit 3\n");
    bench.publish(&[preinst]);
    let outcome = bench.images(&[]).exits(1);
    let words = "level base: run the preinst of tool\n  it ended with exit code 3";
    assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
}

#[test]
fn packages_that_reach_out_of_the_system_or_into_others_are_refused() {
    let bench = Bench::new();
    for (bad, words) in [
        (
            tool().file("./../escaped", b""),
            "leads out of the layer with `..`",
        ),
        (tool().file("/etc/absolute", b""), "its path is absolute"),
        (
            tool().file("./usr/share/data", b"mine"),
            "is in the packages data and tool",
        ),
        (
            tool()
                .symlink("./usr/share/link", "/etc")
                .file("./usr/share/link/passwd", b""),
            "is below /usr/share/link, which is a symlink",
        ),
        (
            tool().file("./var/lib/dpkg/status", b""),
            "/var/lib/dpkg/status is there twice",
        ),
    ] {
        bench.publish(&[bad, data()]);
        let outcome = bench.images(&[]).exits(1);
        assert!(
            outcome.stderr.contains(words),
            "{words}: {}",
            outcome.stderr
        );
        assert!(!bench.scene.ohoci.work().join("../escaped").exists());
    }
}

#[test]
fn an_environment_takes_the_bases_own_python_where_it_is_given_none() {
    let scene = Scene::new();
    let python = base::python();
    // All of it but what nothing here needs.
    let copy = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], symlinks=True, \
        ignore=shutil.ignore_patterns('site-packages', 'dist-packages', '__pycache__', 'test', 'tests', \
        'config-*', 'idlelib', 'tkinter', 'lib2to3', '*.a'))";
    let root = scene.ohoci.work().join("root");
    let library = format!("lib/python{}", python.version);
    let program = format!("bin/python{}", python.version);
    let local = root.join("usr/local");
    fs_err::create_dir_all(local.join("bin")).unwrap();
    base::said(
        Command::new("python3")
            .args(["-c", copy])
            .arg(python.prefix.join(&library))
            .arg(local.join(&library)),
    );
    fs_err::copy(python.prefix.join(&program), local.join(&program)).unwrap();
    for entry in fs_err::read_dir(python.prefix.join("lib")).unwrap() {
        let entry = entry.unwrap().path();
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("libpython") && entry.is_file() {
            fs_err::copy(&entry, root.join("lib").join(name)).unwrap();
        }
    }
    let words = [
        "compose",
        "--base",
        "scratch",
        "--layer",
        "root",
        "--push",
        "oci:own:1",
    ];
    scene.ohoci.run(words).exits(0);
    let base = ["--base-image", "oci:own:1"];
    let more = ["--push", "oci:images", "--format", "json"];
    let report = scene.images_without_pythons(&base, &["example__tool-1"], &more);
    report.exits(0);
    let said = scene.says(
        &format!("oci:images:{}", super::scene::IMAGE),
        "python -c 'import sys, tool, example_package; print(sys.prefix, sys.base_prefix, tool.VALUE); import pip; print(pip.__file__)'; command -v pip",
    );
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "/opt/miniconda3/envs/testbed /usr/local 1");
    assert!(
        lines[1].starts_with("/opt/miniconda3/envs/testbed/lib/"),
        "{said}"
    );
}
