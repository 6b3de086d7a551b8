//! `ohoci run`: programs in images and root file systems, as `docker run` would start them.

mod endings;
mod mounts;
mod streams;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ohoci_image::media_type::{Compression, Family};
use serde_json::json;

use crate::support::clients::skopeo;
use crate::support::command::{Ohoci, Outcome};
use crate::support::debian_registry::DebianRegistry;
use crate::support::images::{Index, Layer, Node, Recipe, busybox};
use crate::support::peer::Access;

/// A place to run from, with a layout `image` in it, and a place for temporary files.
struct Scene {
    ohoci: Ohoci,
    temporary: PathBuf,
}

fn file(text: &str) -> Node {
    Node::File(text.as_bytes().to_vec())
}

fn image() -> Recipe {
    busybox(Family::Oci, Compression::Gzip).layer(Layer::pack(
        &[
            ("bin/chmod", Node::Link("busybox")),
            ("bin/ifconfig", Node::Link("busybox")),
            ("bin/sleep", Node::Link("busybox")),
            ("bin/touch", Node::Link("busybox")),
            ("opt", Node::Directory),
            ("opt/greeting", file("hello\n")),
        ],
        Compression::Gzip,
    ))
}

impl Scene {
    fn new(image: Recipe) -> Self {
        let ohoci = Ohoci::new();
        image
            .build()
            .write_layout(&ohoci.work().join("image"), "latest");
        let temporary = ohoci.work().join("tmp");
        fs_err::create_dir(&temporary).unwrap();
        Self { ohoci, temporary }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.ohoci.command();
        command
            .arg("run")
            .args(arguments)
            .env("TMPDIR", &self.temporary);
        command
    }

    /// Runs it, and fails the test if anything is left behind.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().unwrap();
        self.nothing_is_left();
        Outcome {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What a shell in the image says.
    #[track_caller]
    fn says(&self, flags: &[&str], script: &str) -> String {
        let shell = ["oci:image", "sh", "-c", script];
        let outcome = self.run(&[flags, &shell].concat()).exits(0);
        assert_eq!(outcome.stderr, "");
        outcome.stdout
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        let left: Vec<_> = fs_err::read_dir(&self.temporary).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn the_exit_code_is_the_programs() {
    let scene = Scene::new(image());
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -9 $$", 137),
    ] {
        let outcome = scene.run(&["oci:image", "--", "sh", "-c", script]);
        assert_eq!(outcome.exits(code).stderr, "");
    }
    let outcome = scene.run(&["oci:image", "sh", "-c", "echo out; echo err >&2"]);
    let outcome = outcome.exits(0);
    assert_eq!((&*outcome.stdout, &*outcome.stderr), ("out\n", "err\n"));
}

#[test]
fn what_cannot_be_run_has_codes_of_its_own() {
    let odd = Layer::pack(
        &[
            ("bin/data", file("data")),
            ("bin/lost", Node::Program(b"#!/bin/nothing\n".to_vec())),
            ("opt/link", Node::Link("/gone/away")),
        ],
        Compression::Gzip,
    );
    let scene = Scene::new(image().layer(odd));
    for (arguments, code, why) in [
        (&["oci:image", "nothing"][..], 127, "no such program"),
        (&["oci:image", "/bin/nothing"], 127, "no such program"),
        (&["oci:image", "--user", "0"], 127, "stand before the image"),
        (&["oci:image", "lost"], 127, "/bin/nothing"),
        (&["oci:image", "/bin/data"], 126, "not executable"),
        (&["oci:image", "/bin"], 126, "a directory"),
        (&["oci:nothing", "true"], 125, "oci:nothing"),
        (&["--rootfs", "nothing", "true"], 125, "nothing"),
        (
            &["--user", "nobody", "oci:image", "env"],
            125,
            "no user \"nobody\"",
        ),
        (
            &["--user", "a\nb", "oci:image", "env"],
            125,
            "cannot run as user \"a\\nb\"",
        ),
        (
            &["--user", "4294967295", "oci:image", "env"],
            125,
            "the highest is 2147483647",
        ),
        (
            &["--mount", "nothing:/mnt", "oci:image", "env"],
            125,
            "cannot mount nothing\n  there is no such file or directory",
        ),
        (
            &["--mount", "image:/opt/link", "oci:image", "env"],
            125,
            "/opt/link is a symlink to /gone/away, which is not there",
        ),
        (
            &["--mount", "image:/proc", "oci:nothing", "env"],
            2,
            "--mount: image:/proc would cover some of /proc",
        ),
        (
            &["--mount", "image:/x/../proc/foo:ro", "oci:nothing", "env"],
            2,
            "would cover some of /proc",
        ),
        (
            &["--tmpfs", "/proc/x", "oci:nothing", "env"],
            2,
            "--tmpfs: /proc/x would cover",
        ),
        (&["--mount", "nothing", "oci:image", "env"], 2, "--mount"),
        (&["--timeout", "0", "oci:image", "env"], 2, "--timeout"),
        (&["--workdir", "opt", "oci:image", "env"], 2, "--workdir"),
        (&["--wrong", "oci:image", "env"], 2, "--wrong"),
        (&["--rootfs", "."], 2, "no program"),
        (&[], 2, "no image"),
    ] {
        let outcome = scene.run(arguments).exits(code);
        assert!(
            outcome.stderr.contains(why),
            "{arguments:?}: {}",
            outcome.stderr
        );
        assert_eq!(outcome.stdout, "", "{arguments:?}");
        // Nor does bubblewrap say anything, whose words are about itself.
        assert!(!outcome.stderr.contains("bwrap"), "{}", outcome.stderr);
    }
}

#[test]
fn more_than_a_program_can_be_given_is_refused_in_words() {
    let scene = Scene::new(image());
    let big = format!("BIG={}", "x".repeat(100_000));
    let fits = scene.run(&["--env", &big, "oci:image", "env"]);
    fits.exits(0);
    let many: Vec<String> = (0..3100)
        .map(|number| format!("--env=V{number}="))
        .collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    many.extend(["oci:image", "env"]);
    let outcome = scene.run(&many).exits(125);
    let (said, why) = ("pass on 310", "variables beside the rest");
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(why), "{}", outcome.stderr);

    let long = image().set("Env", json!([format!("BIG={}", "x".repeat(200_000))]));
    let outcome = Scene::new(long).run(&["oci:image", "env"]).exits(125);
    let said = "pass on the variable BIG: it has 200004 bytes";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);

    let nul = image().set("Entrypoint", json!(["s\0h"]));
    let outcome = Scene::new(nul).run(&["oci:image"]).exits(125);
    let said = "`Entrypoint` of the image config has a NUL in it";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}

#[test]
fn without_bubblewrap_the_package_is_named() {
    let scene = Scene::new(image());
    let output = scene
        .command(&["oci:image", "env"])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("package bubblewrap"), "{said}");
}

#[test]
fn the_image_says_what_starts() {
    let scene = Scene::new(
        image()
            .set(
                "Entrypoint",
                json!([
                    "sh",
                    "-c",
                    "echo \"$0 $*\"; pwd; id -u; id -g; echo $A $B $HOME"
                ]),
            )
            .set("Cmd", json!(["by", "default"]))
            .set("Env", json!(["PATH=/bin", "A=one", "B=two"]))
            .set("WorkingDir", json!("/opt/new"))
            .set("User", json!("user")),
    );
    let run = |arguments: &[&str]| scene.run(arguments).exits(0).stdout;
    assert_eq!(
        run(&["oci:image"]),
        "by default\n/opt/new\n1000\n1000\none two /home/user\n"
    );
    assert_eq!(
        run(&[
            "--env",
            "A=1=2",
            "--env",
            "C",
            "--workdir",
            "/made/here",
            "--user",
            "0:5",
            "oci:image",
            "--",
            "--flag",
            "x",
        ]),
        "--flag x\n/made/here\n0\n5\n1=2 two /root\n"
    );
    let output = scene
        .command(&["--entrypoint", "env", "-e", "GIVEN", "oci:image"])
        .env("GIVEN", "along")
        .env("HIDDEN", "away")
        .output()
        .unwrap();
    let mut variables: Vec<_> = std::str::from_utf8(&output.stdout)
        .unwrap()
        .lines()
        .collect();
    variables.sort_unstable();
    assert_eq!(
        variables,
        [
            "A=one",
            "B=two",
            "GIVEN=along",
            "HOME=/home/user",
            "HOSTNAME=ohoci",
            "PATH=/bin",
            "PWD=/opt/new"
        ]
    );
}

#[test]
fn whiteouts_count_and_nothing_of_this_machine_is_seen() {
    let removed = Layer::pack(
        &[
            ("opt", Node::Directory),
            ("opt/.wh.greeting", file("")),
            ("opt/new", file("new\n")),
        ],
        Compression::Gzip,
    );
    let scene = Scene::new(image().layer(removed));
    let said = scene.says(&[], "ls /opt /");
    assert_eq!(said, "/:\nbin\ndev\netc\nopt\nproc\ntmp\n\n/opt:\nnew\n");
}

#[test]
fn any_kind_of_place_will_do() {
    let registry = DebianRegistry::open();
    let scene = Scene::new(image());
    let work = scene.ohoci.work();
    image()
        .build()
        .push(&registry.peer(Access::Anonymous), "a", "1");
    let from = format!("oci:{}:latest", work.join("image").display());
    for kind in ["oci-archive", "docker-archive"] {
        let to = format!("{kind}:{}:name:1", work.join(kind).display());
        skopeo(&["copy", "--quiet", &from, &to]);
    }
    for reference in [
        "oci:image".to_owned(),
        "oci:image:latest".to_owned(),
        "oci-archive:oci-archive".to_owned(),
        "docker-archive:docker-archive".to_owned(),
        format!("{}/a:1", registry.host()),
    ] {
        let outcome = scene.run(&[&reference, "cat", "/opt/greeting"]).exits(0);
        assert_eq!(outcome.stdout, "hello\n", "{reference}");
    }
}

#[test]
fn of_an_index_this_machines_image_runs() {
    let scene = Scene::new(image());
    let index = Index::busybox(Family::Oci, Compression::Gzip);
    index.write_layout(&scene.ohoci.work().join("index"), "1");
    let outcome = scene.run(&["oci:index", "id", "-u"]).exits(0);
    assert_eq!((&*outcome.stdout, &*outcome.stderr), ("0\n", ""));
    let outcome = scene.run(&["--platform", "linux/arm/v7", "oci:index", "id", "-u"]);
    assert!(
        outcome
            .stderr
            .contains("warning: the image is for linux/arm/v7"),
        "{}",
        outcome.stderr
    );
    let outcome = scene
        .run(&["--platform", "linux/s390x", "oci:index", "id"])
        .exits(125);
    assert!(outcome.stderr.contains("linux/s390x"), "{}", outcome.stderr);
}

#[test]
fn there_is_no_network_unless_it_is_asked_for() {
    let scene = Scene::new(image());
    let interfaces = "ls /proc/sys/net/ipv4/conf; cat /etc/hosts";
    let said = scene.says(&[], interfaces);
    assert_eq!(
        said,
        "all\ndefault\nlo\n127.0.0.1\tlocalhost ohoci\n::1\tlocalhost ohoci\n"
    );
    let here = |name: &str| fs_err::read_link(format!("/proc/self/ns/{name}")).unwrap();
    let inside = scene.says(&["--network", "host"], "ls -l /proc/self/ns/net");
    assert!(inside.contains(here("net").to_str().unwrap()), "{inside}");
    let inside = scene.says(&["--network", "none"], "ls -l /proc/self/ns/net");
    assert!(!inside.contains(here("net").to_str().unwrap()), "{inside}");
}

#[test]
fn what_nobody_may_enter_is_removed_too() {
    let scene = Scene::new(image());
    let script = "touch /opt/closed; chmod 0 /opt /bin; exit 4";
    scene.run(&["oci:image", "sh", "-c", script]).exits(4);
}

#[test]
fn a_root_file_system_keeps_what_is_written() {
    let scene = Scene::new(image());
    let root = scene.ohoci.work().join("root");
    for directory in ["bin", "etc"] {
        fs_err::create_dir_all(root.join(directory)).unwrap();
    }
    fs_err::copy("/bin/busybox", root.join("bin/sh")).unwrap();
    let run = |flags: &[&str], script: &str| {
        let shell = ["--rootfs", "root", "--", "sh", "-c", script];
        scene.run(&[flags, &shell].concat())
    };
    run(&[], "echo kept > /file").exits(0);
    assert_eq!(fs_err::read_to_string(root.join("file")).unwrap(), "kept\n");
    assert_ne!(run(&["--read-only"], "echo lost > /file").code, Some(0));
    assert_eq!(fs_err::read_to_string(root.join("file")).unwrap(), "kept\n");
    let said = run(&["--workdir", "/a/b", "--env", "A=1"], "pwd; echo $A").exits(0);
    assert_eq!(said.stdout, "/a/b\n1\n");
}

#[test]
fn symlinks_of_an_image_lead_nowhere_outside() {
    let outside = tempfile::tempdir().unwrap();
    let target: &'static str = outside.path().display().to_string().leak();
    let hostile = Layer::pack(&[("mnt", Node::Link(target))], Compression::Gzip);
    let scene = Scene::new(image().layer(hostile));
    scene.ohoci.write("work/shared/file", "x\n");
    let shell = ["oci:image", "sh", "-c", "pwd"];
    for flags in [
        &["--mount", "shared:/mnt/deep"][..],
        &["--workdir", "/mnt/deep"],
        &["--tmpfs", "/mnt/deep"],
    ] {
        scene.run(&[flags, &shell].concat()).exits(125);
        assert_eq!(
            fs_err::read_dir(outside.path()).unwrap().count(),
            0,
            "{flags:?}"
        );
    }
    let proc = Layer::pack(&[(".wh.proc", file(""))], Compression::Gzip);
    let linked = Layer::pack(&[("proc", Node::Link("/tmp"))], Compression::Gzip);
    let scene = Scene::new(image().layer(proc).layer(linked));
    let outcome = scene.run(&["oci:image", "env"]).exits(125);
    assert!(
        outcome.stderr.contains("its /proc is a symlink"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn programs_have_the_files_of_whoever_runs_them() {
    let scene = Scene::new(image());
    let closed = scene.ohoci.write("work/shared/closed", "x\n");
    fs_err::set_permissions(&closed, std::fs::Permissions::from_mode(0o600)).unwrap();
    for user in ["0", "user", "4321"] {
        let flags = ["--user", user, "--mount", "shared:/mnt"];
        assert_eq!(
            scene.says(&flags, "cat /mnt/closed; touch /opt/mine && echo ok"),
            "x\nok\n"
        );
    }
    assert!(Path::new(&closed).exists());
}

#[test]
fn what_lies_below_a_symlink_of_its_own_layer_lands_where_that_leads() {
    let merged = Layer::pack(
        &[
            ("usr", Node::Directory),
            ("lib", Node::Link("usr/lib")),
            ("lib/file", file("found\n")),
        ],
        Compression::Gzip,
    );
    let scene = Scene::new(image().layer(merged));
    assert_eq!(
        scene.says(&[], "cat /usr/lib/file /lib/file"),
        "found\nfound\n"
    );
}

#[test]
fn what_lies_below_a_symlink_of_a_layer_below_takes_its_place_as_runtimes_show_it() {
    let merged = Layer::pack(
        &[
            ("usr", Node::Directory),
            ("usr/lib", Node::Directory),
            ("usr/lib/old", file("old\n")),
            ("lib", Node::Link("usr/lib")),
        ],
        Compression::Gzip,
    );
    let below = Layer::pack(&[("lib/file", file("found\n"))], Compression::Gzip);
    let scene = Scene::new(image().layer(merged).layer(below));
    // Each layer is unpacked by itself, and mounted over the one below (measured with podman).
    assert_eq!(
        scene.says(&[], "cat /lib/file /usr/lib/old; ls /lib /usr/lib"),
        "found\nold\n/lib:\nfile\n\n/usr/lib:\nold\n"
    );
}

#[test]
fn names_are_found_where_resolv_conf_is_a_link_to_nothing_and_volumes_are_there() {
    let odd = Layer::pack(
        &[
            ("etc", Node::Directory),
            (
                "etc/resolv.conf",
                Node::Link("../run/systemd/resolve/stub-resolv.conf"),
            ),
            ("etc/hosts", Node::Link("/somewhere/else/hosts")),
        ],
        Compression::Gzip,
    );
    let volumes = json!({"/data/of/it": {}, "relative": {}});
    let scene = Scene::new(image().layer(odd).set("Volumes", volumes));
    let said = scene.says(&[], "cat /etc/hosts; ls -d /data/of/it");
    assert!(
        said.contains("localhost") && said.ends_with("/data/of/it\n"),
        "{said}"
    );
    let expected = fs_err::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let said = scene.says(&["--network", "host"], "cat /etc/resolv.conf || true");
    assert_eq!(said, expected);
}
