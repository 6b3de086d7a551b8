//! `ohoci check`: never "works" of what does not start, and what mends it.

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::images::{Layer, Node, bare};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

/// A program that needs nothing: an ELF header for this architecture.
fn program(machine: u8) -> Node {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[18] = machine;
    Node::Program(bytes)
}

fn script(line: &str) -> Node {
    Node::Program(format!("{line}\n").into_bytes())
}

fn base() -> Vec<(&'static str, Node)> {
    vec![
        ("bin/sh", program(62)),
        (
            "etc/passwd",
            Node::File(b"root:x:0:0::/root:/bin/sh\n".to_vec()),
        ),
        ("etc/group", Node::File(b"root:x:0:\n".to_vec())),
    ]
}

fn workbench() -> (OhociRegistry, Workbench) {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    (registry, bench)
}

/// Pushes `image:1` with these files above the base's and these fields of its config.
fn push(bench: &Workbench, more: &[(&'static str, Node)], config: &[(&str, Value)]) {
    let layers = [base(), more.to_vec()];
    let layers = layers.iter().filter(|nodes| !nodes.is_empty());
    let layers = layers.map(|nodes| Layer::pack(nodes, Compression::Gzip));
    let mut recipe = bare(Family::Oci, layers.collect());
    for (field, value) in config {
        recipe = recipe.set(field, value.clone());
    }
    recipe.build().push(&bench.peer, "image", "1");
}

/// The points of `image:1` that are not fine, by name.
#[track_caller]
fn bad(bench: &Workbench, more: &[&str], code: i32) -> Vec<(String, String, String)> {
    let start = ["check", "@/image:1", "--format", "json"];
    let report = bench.run(&[&start[..], more].concat()).exits(code).json();
    assert_eq!(report["works"], code == 0);
    let points = report["images"][0]["points"].as_array().unwrap().clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    points
        .iter()
        .filter(|point| point["state"] != "fine")
        .map(|point| {
            (
                text(&point["name"]),
                text(&point["state"]),
                text(&point["what"]),
            )
        })
        .collect()
}

/// Programs of this machine, with what its loader loads: where it is called, and the file.
fn of_machine(path: &'static str) -> (&'static str, Node) {
    let bytes = fs_err::read(format!("/{path}")).unwrap();
    (path, Node::Program(bytes))
}

#[test]
fn a_program_without_its_libraries_does_not_work() {
    let (loader, library) = match std::env::consts::ARCH {
        "aarch64" => (
            "lib/ld-linux-aarch64.so.1",
            "lib/aarch64-linux-gnu/libc.so.6",
        ),
        _ => (
            "lib64/ld-linux-x86-64.so.2",
            "lib/x86_64-linux-gnu/libc.so.6",
        ),
    };
    let (_registry, bench) = workbench();
    let start = [("Cmd", json!(["/bin/true"]))];
    let without = [of_machine("bin/true"), of_machine(loader)];
    push(&bench, &without, &start);
    let found = bad(&bench, &[], 4);
    let what = found.iter().find(|(point, ..)| point == "command").unwrap();
    assert!(
        what.2.contains("/bin/true needs libc.so.6, which"),
        "{what:?}"
    );
    let with = [
        of_machine("bin/true"),
        of_machine(loader),
        of_machine(library),
    ];
    push(&bench, &with, &start);
    let found = bad(&bench, &[], 0);
    assert!(
        found.iter().all(|(point, ..)| point != "command"),
        "{found:?}"
    );
}

#[test]
fn what_would_not_start_does_not_work() {
    let (_registry, bench) = workbench();
    for (more, config, name, why) in [
        (
            vec![],
            ("Entrypoint", json!(["/start.sh"])),
            "command",
            "/start.sh is not there",
        ),
        (
            vec![("start.sh", script("#!/bin/bash"))],
            ("Entrypoint", json!(["/start.sh"])),
            "command",
            "started by /bin/bash, but /bin/bash is not there",
        ),
        (
            vec![("start.sh", Node::File(b"#!/bin/sh\n".to_vec()))],
            ("Entrypoint", json!(["/start.sh"])),
            "command",
            "/start.sh is not executable",
        ),
        (
            vec![("start", program(183))],
            ("Cmd", json!(["/start"])),
            "command",
            "machine code for arm64",
        ),
        (
            vec![("usr/bin/python3", Node::Link("python3.12"))],
            ("Cmd", json!(["python3"])),
            "command",
            "is a link to python3.12",
        ),
        (vec![], ("User", json!("app")), "user", "no user \"app\""),
        (
            vec![],
            ("Env", json!(["PATH=/opt/none"])),
            "PATH",
            "none of its directories is there",
        ),
        (
            vec![("srv", Node::Link("/nowhere"))],
            ("WorkingDir", json!("/srv")),
            "directory",
            "leads nowhere",
        ),
        (
            vec![("bin/sh", Node::Link("busybox"))],
            ("Labels", json!({})),
            "shell",
            "/bin/busybox is not there",
        ),
    ] {
        push(&bench, &more, &[config]);
        let found = bad(&bench, &[], 4);
        let point = found
            .iter()
            .find(|(point, state, _)| point == name && state == "wrong");
        let (_, _, what) = point.unwrap_or_else(|| panic!("{name}: {found:?}"));
        assert!(what.contains(why), "{what}");
    }
    // The same things as they should be.
    push(
        &bench,
        &[("start.sh", script("#!/bin/sh"))],
        &[
            ("Entrypoint", json!(["/start.sh"])),
            ("User", json!("root")),
        ],
    );
    let outcome = bench.run(&["check", "@/image:1"]).exits(0);
    assert!(
        outcome.stdout.contains("/start.sh, by /bin/sh"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn any_image_is_told_what_openhands_needs_of_it() {
    let (_registry, bench) = workbench();
    push(&bench, &[], &[("Env", json!(["LC_ALL=C"]))]);
    bad(&bench, &[], 0);
    let found = bad(&bench, &["--contract", "v1"], 4);
    for name in ["server", "workspace", "entrypoint", "terminal"] {
        assert!(
            found
                .iter()
                .any(|(point, state, _)| point == name && state == "wrong"),
            "{name}: {found:?}"
        );
    }
    let text = bench
        .run(&["check", "@/image:1", "--contract", "v1"])
        .exits(4);
    for expected in [
        "LC_ALL=C is not UTF-8",
        "compose --contract v1",
        "will not work",
    ] {
        assert!(text.stdout.contains(expected), "{}", text.stdout);
    }
    let mute = bench.run(&["check", "@/image:1", "--contract"]).exits(2);
    assert!(
        mute.stderr.contains("--contract v0 or --contract v1"),
        "{}",
        mute.stderr
    );
}

#[test]
fn deps_without_the_server_are_no_server() {
    let (_registry, bench) = workbench();
    push(&bench, &[], &[("Env", json!(["LANG=POSIX"]))]);
    bench.push_deps("@/deps:1");
    let with = ["--deps", "@/deps:1", "--contract", "v1"];
    let found = bad(&bench, &with, 4);
    let server = found.iter().find(|(name, _, _)| name == "server").unwrap();
    assert!(server.2.contains("does not bring it"), "{}", server.2);
    let compose = |more: &[&str]| {
        let start = [
            "--base",
            "@/image:1",
            "--deps",
            "@/deps:1",
            "--push",
            "@/out:1",
        ];
        bench.compose(&[&start[..], more].concat())
    };
    let refused = compose(&["--contract", "v1"]).exits(2).stderr;
    assert!(
        refused.contains("has no /openhands/bin/oh-agent-server"),
        "{refused}"
    );
    assert!(refused.contains("deps build agent-server"), "{refused}");
    // Nor are they tools that a link could lead to.
    let refused = compose(&["--fit", "auto"]).exits(1).stderr;
    assert!(
        refused.contains("a link to /openhands/tools/bin/"),
        "{refused}"
    );
    compose(&["--fit", "users"]).exits(0);

    for file in ["bin/oh-agent-server", "poetry/oh/bin/python"] {
        bench
            .ohoci
            .write(format!("work/server/{file}"), "#!/bin/sh\n");
    }
    bench.composed(&[
        "--base",
        "@/deps:1",
        "--layer",
        "server:/openhands",
        "--push",
        "@/deps:1",
    ]);
    compose(&["--contract", "v1"]).exits(0);
    let env = bench.pull("out", "1");
    for expected in ["LC_ALL=C.UTF-8", "LANG=C.UTF-8"] {
        assert!(env.env().contains(&expected), "{:?}", env.env());
    }
}
