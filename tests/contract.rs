//! `compose --contract`: what OpenHands' launchers take for granted.

use std::io::Read as _;

use ohoci_image::media_type::{Compression, Family};
use serde_json::json;

use crate::support::images::{Layer, Node, bare};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

fn workbench() -> (OhociRegistry, Workbench) {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    for file in [
        "bin/oh-agent-server",
        "poetry/oh/bin/python",
        "micromamba/bin/micromamba",
        "poetry/openhands-ai/bin/python",
    ] {
        bench.ohoci.write(format!("work/deps-files/{file}"), "x");
    }
    bench.push_deps("@/deps:1");
    (registry, bench)
}

/// The entries of a layer: where links lead, who owns the rest and its mode.
fn entries(layer: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer));
    let mut entries: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let owner = entry.header().uid().unwrap();
            match entry.link_name().unwrap() {
                Some(target) => format!("{path} -> {}", target.display()),
                None => format!("{path} {owner} {:o}", entry.header().mode().unwrap()),
            }
        })
        .collect();
    entries.sort();
    entries
}

#[test]
fn version_0_has_the_action_execution_servers_paths_and_settings() {
    let (_registry, bench) = workbench();
    let start = ["--base", "scratch", "--deps", "@/deps:1"];
    let end = ["--contract", "v0", "--push", "@/out:1"];
    bench.composed(&[start, end].concat());
    let pulled = bench.pull("out", "1");
    let runtime = pulled.runtime();
    assert_eq!(runtime["User"], "0:0");
    assert_eq!(runtime["WorkingDir"], "/openhands/code");
    assert!(
        pulled
            .env()
            .contains(&"MAMBA_ROOT_PREFIX=/openhands/micromamba")
    );
    assert_eq!(
        entries(&bench.peer.blob("out", pulled.layers()[1]).unwrap()),
        ["openhands/code/ 0 755", "workspace/ 0 777"]
    );
}

#[test]
fn what_the_deps_do_not_bring_is_not_linked() {
    let (_registry, bench) = workbench();
    let deps = |tag: &str, labels: &str| {
        let label = format!(r#"ohoci.patch={{"labels":{{{labels}}}}}"#);
        bench.composed(&["--base", "@/deps:1", "--label", &label, "--push", tag]);
    };
    deps("@/deps:server", r#""ohoci.contract":"v1""#);
    deps("@/deps:acp", r#""ohoci.acp":"acp-node""#);
    let links = |deps: &[&str], tag: &str| {
        let mut arguments = vec!["--base", "scratch", "--contract", "v1"];
        for name in deps {
            arguments.extend(["--deps", *name]);
        }
        let target = format!("@/out:{tag}");
        bench.composed(&[&arguments[..], &["--push", &target]].concat());
        let pulled = bench.pull("out", tag);
        let last = pulled.layers().last().copied().map(str::to_owned).unwrap();
        let layer = bench.peer.blob("out", &last).unwrap();
        let linked = entries(&layer)
            .iter()
            .any(|entry| entry.starts_with("acp-node"));
        assert_eq!(pulled.env().contains(&"ACP_NODE_DIR=/acp-node"), linked);
        linked
    };
    assert!(!links(&["@/deps:server"], "server"));
    assert!(links(&["@/deps:server", "@/deps:acp"], "both"));
    // Nothing says what it brings: all of the contract is made.
    assert!(links(&["@/deps:1"], "unsaid"));
}

#[test]
fn a_deps_image_says_which_contract_its_server_belongs_to() {
    let (_registry, bench) = workbench();
    let compose = |deps: &[&str], tag: &str| {
        let mut arguments = vec!["--base", "scratch"];
        for name in deps {
            arguments.extend(["--deps", *name]);
        }
        arguments.extend(["--contract", "--push", tag]);
        bench.compose(&arguments)
    };
    let mute = compose(&["@/deps:1"], "@/mute:1");
    let said = mute.exits(2).stderr;
    assert!(said.contains("does not say which contract"), "{said}");
    for version in ["v0", "v1"] {
        let patch = format!(r#"{{"labels":{{"ohoci.contract":"{version}"}}}}"#);
        let label = format!("ohoci.patch={patch}");
        let deps = format!("@/deps:{version}");
        bench.composed(&["--base", "@/deps:1", "--label", &label, "--push", &deps]);
        let out = format!("@/out:{version}");
        compose(&[&deps], &out).exits(0);
        let user = if version == "v0" {
            "0:0"
        } else {
            "10001:10001"
        };
        assert_eq!(bench.pull("out", version).runtime()["User"], user);
    }
    let both = compose(&["@/deps:v0", "@/deps:v1"], "@/both:1");
    let said = both.exits(2).stderr;
    assert!(said.contains("servers of V0 and of V1"), "{said}");
}

#[test]
fn version_1_has_the_agent_servers_paths_and_settings() {
    let (_registry, bench) = workbench();
    let start = [
        "--base",
        "scratch",
        "--deps",
        "@/deps:1",
        "--contract",
        "v1",
    ];
    bench.composed(&[&start[..], &["--push", "@/out:1"]].concat());
    let pulled = bench.pull("out", "1");
    let runtime = pulled.runtime();
    assert_eq!(
        runtime["Entrypoint"],
        json!([
            "/agent-server/.venv/bin/python",
            "-m",
            "openhands.agent_server"
        ])
    );
    assert_eq!(runtime["User"], "10001:10001");
    assert!(runtime["ExposedPorts"]["8000/tcp"].is_object());
    assert!(pulled.env().contains(&"OPENHANDS_BUILD_GIT_SHA=unknown"));
    assert!(pulled.env().contains(&"HOME=/home/openhands"));
    assert!(pulled.env().contains(&"ACP_NODE_DIR=/acp-node"));
    assert!(pulled.env().contains(&"OH_ENABLE_VSCODE=true"));
    // The terminal of the server fails where the base says C.
    assert!(pulled.env().contains(&"LC_ALL=C.UTF-8"));
    let layer = bench.peer.blob("out", pulled.layers()[1]).unwrap();
    // Whoever the number is, root without a password; Claude Code, without being asked.
    let rule = "#10001 ALL=(ALL:ALL) NOPASSWD: ALL\n".to_owned();
    assert_eq!(text(&layer, "etc/sudoers.d/openhands"), (rule, 0o440));
    let (settings, _) = text(&layer, "etc/claude-code/managed-settings.json");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&settings).unwrap(),
        json!({"permissions": {"allow": ["Edit", "Read", "Bash"]}})
    );
    let entries = entries(&layer);
    // No entry for `usr` and the like: it would override the base's.
    assert_eq!(
        entries,
        [
            "acp-node/ 0 755",
            "acp-node/bin -> /openhands/acp-node/bin",
            "acp-node/lib -> /openhands/acp-node/lib",
            "agent-server/ 0 755",
            "agent-server/.venv/ 0 755",
            "agent-server/.venv/bin/ 0 755",
            "agent-server/.venv/bin/python -> /openhands/bin/oh-python",
            "agent-server/.venv/bin/python3 -> /openhands/bin/oh-python",
            "agent-server/.venv/lib -> /openhands/poetry/oh/lib",
            "agent-server/.venv/pyvenv.cfg -> /openhands/poetry/oh/pyvenv.cfg",
            "etc/claude-code/managed-settings.json 0 644",
            "etc/sudoers.d/openhands 0 440",
            "home/openhands/ 10001 777",
            "usr/local/bin/openhands-agent-server -> /openhands/bin/oh-agent-server",
            "workspace/ 10001 777",
            "workspace/project/ 10001 777",
        ]
    );
}

#[test]
fn flags_override_a_contract() {
    let (_registry, bench) = workbench();
    bench.composed(&[
        "--base",
        "scratch",
        "--deps",
        "@/deps:1",
        "--contract",
        "v1",
        "--user",
        "root",
        "--env",
        "OPENHANDS_BUILD_GIT_SHA=abc",
        "--push",
        "@/out:1",
    ]);
    let pulled = bench.pull("out", "1");
    assert_eq!(pulled.runtime()["User"], "root");
    assert!(pulled.env().contains(&"OPENHANDS_BUILD_GIT_SHA=abc"));
    // A deps image has to bring what the links lead to.
    let outcome = bench.compose(&["--base", "scratch", "--contract", "v1", "--push", "@/out:2"]);
    outcome.exits(2);
}

/// Pushes `base:TAG` of one layer.
fn push_base(bench: &Workbench, tag: &str, nodes: &[(&str, Node)], env: &[&str]) {
    let layer = Layer::pack(nodes, Compression::Gzip);
    let image = bare(Family::Oci, vec![layer]).set("Env", json!(env));
    image.build().push(&bench.peer, "base", tag);
}

fn file(text: &str) -> Node {
    Node::File(text.as_bytes().to_vec())
}

/// What a file of a layer says, and its mode.
fn text(layer: &[u8], path: &str) -> (String, u32) {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer));
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let is_it = |entry: &tar::Entry<'_, _>| entry.path().unwrap().as_os_str() == path;
    let mut entry = entries.find(is_it).unwrap_or_else(|| panic!("no {path}"));
    let mut text = String::new();
    entry.read_to_string(&mut text).unwrap();
    (text, entry.header().mode().unwrap())
}

const FIT: &str = "users,account,tmp";

/// Composes `base:TAG` with the contract to `out:TAG`.
fn contract(bench: &Workbench, tag: &str, more: &[&str]) -> crate::support::command::Outcome {
    let (base, push) = (format!("@/base:{tag}"), format!("@/out:{tag}"));
    let start = ["--base", &base, "--deps", "@/deps:1", "--push", &push];
    let version = ["--contract", "v1"];
    bench.compose(&[&start[..], &version, more].concat())
}

#[test]
fn the_user_of_the_server_gets_lines_in_the_bases_own_files() {
    let (_registry, bench) = workbench();
    let nodes = [
        ("bin/bash", file("x")),
        (
            "etc/passwd",
            file("root:x:0:0:root:/root:/bin/sh\nopenhands:x:5:5::/:/bin/sh"),
        ),
        ("etc/group", file("root:x:0:\nstaff:x:10001:me\n")),
        ("tmp", Node::Directory),
    ];
    push_base(&bench, "1", &nodes, &[]);
    let unread = contract(&bench, "1", &[]).exits(0).stderr;
    assert!(
        unread.contains("user 10001 gets no line in its /etc/passwd")
            && unread.contains("--fit auto"),
        "{unread}"
    );
    let missing = bench.run(&["check", "@/out:1"]).stdout;
    assert!(
        missing.contains("10001:10001 has no line in /etc/passwd"),
        "{missing}"
    );

    let said = contract(&bench, "1", &["--fit", FIT]).exits(0).stderr;
    assert!(said.contains("what the base lacks: account"), "{said}");
    let pulled = bench.pull("out", "1");
    let top = bench
        .peer
        .blob("out", pulled.layers().last().unwrap())
        .unwrap();
    // Of the group there was one already, and the name was another user's.
    assert_eq!(entries(&top), ["etc/passwd 0 644"]);
    assert_eq!(
        text(&top, "etc/passwd"),
        (
            "root:x:0:0:root:/root:/bin/sh\nopenhands:x:5:5::/:/bin/sh\n\
             openhands-10001:*:10001:10001:openhands-10001:/home/openhands:/bin/bash\n"
                .to_owned(),
            0o644
        )
    );
    let found = bench.run(&["check", "@/out:1"]).stdout;
    assert!(!found.contains("has no line"), "{found}");
    bench.run(&["verify", "@/out:1"]).exits(0);
    // Who has a line keeps it, and gets no layer.
    push_base(
        &bench,
        "2",
        &[
            ("etc/passwd", file("agent:x:10001:7::/home/agent:/bin/sh\n")),
            ("etc/group", file("agent:x:10001:\n")),
            ("tmp", Node::Directory),
        ],
        &[],
    );
    let said = contract(&bench, "2", &["--fit", FIT]).exits(0).stderr;
    assert!(said.contains("the base lacks nothing"), "{said}");
}

#[test]
fn what_a_contract_adds_follows_the_bases_links() {
    let (_registry, bench) = workbench();
    let nodes = [
        ("home", Node::Link("var/home")),
        ("usr/local", Node::Link("../var/usrlocal")),
        ("var/home", Node::Directory),
        ("var/usrlocal/bin/tool", file("x")),
        ("srv/work", Node::Directory),
        ("workspace", Node::Link("/srv/work")),
        ("tmp", Node::Link("var/gone")),
        ("etc/passwd", file("root:x:0:0:root:/root:/bin/sh\n")),
    ];
    push_base(&bench, "1", &nodes, &[]);
    contract(&bench, "1", &["--fit", FIT]).exits(0);
    let layers = || {
        let pulled = bench.pull("out", "1");
        let layers = pulled.layers();
        let blobs = layers[2..]
            .iter()
            .map(|digest| entries(&bench.peer.blob("out", digest).unwrap()));
        blobs.collect::<Vec<_>>()
    };
    let [own, lacked] = &layers()[..] else {
        panic!("{:?}", layers());
    };
    assert_eq!(
        own,
        &[
            "acp-node/ 0 755",
            "acp-node/bin -> /openhands/acp-node/bin",
            "acp-node/lib -> /openhands/acp-node/lib",
            "agent-server/ 0 755",
            "agent-server/.venv/ 0 755",
            "agent-server/.venv/bin/ 0 755",
            "agent-server/.venv/bin/python -> /openhands/bin/oh-python",
            "agent-server/.venv/bin/python3 -> /openhands/bin/oh-python",
            "agent-server/.venv/lib -> /openhands/poetry/oh/lib",
            "agent-server/.venv/pyvenv.cfg -> /openhands/poetry/oh/pyvenv.cfg",
            "etc/claude-code/managed-settings.json 0 644",
            "etc/sudoers.d/openhands 0 440",
            "srv/work/ 10001 777",
            "srv/work/project/ 10001 777",
            "var/home/openhands/ 10001 777",
            "var/usrlocal/bin/openhands-agent-server -> /openhands/bin/oh-agent-server",
        ]
    );
    assert_eq!(
        lacked,
        &["etc/group 0 644", "etc/passwd 0 644", "var/gone/ 0 1777"]
    );
    // A base that is known is not broken although it is not to be read.
    let refused = contract(&bench, "1", &[]).exits(1).stderr;
    assert!(
        refused.contains("a symlink to var/home") && refused.contains("hint: --fit auto"),
        "{refused}"
    );
    // On another base everything stands where that has it.
    push_base(&bench, "1", &[("tmp", Node::Directory)], &[]);
    bench.run(&["rebase", "@/out:1"]).exits(0);
    assert!(layers()[0].contains(&"home/openhands/ 10001 777".to_owned()));
}

#[test]
fn a_base_that_has_the_prefix_gets_no_deps() {
    let (_registry, bench) = workbench();
    let refused = |base: &str| {
        let outcome = bench.compose(&["--base", base, "--deps", "@/deps:1", "--push", "@/out:1"]);
        let said = outcome.exits(1).stderr;
        assert!(
            said.contains("would mix") && said.contains("hint: "),
            "{said}"
        );
        said
    };
    for (tag, nodes) in [
        ("file", [("openhands", file("x"))]),
        ("link", [("openhands", Node::Link("opt"))]),
        ("directory", [("openhands/code/x", file("x"))]),
    ] {
        // Settings of upstream's images name it: only then layers of a registry are read.
        push_base(
            &bench,
            tag,
            &nodes,
            &["MAMBA_ROOT_PREFIX=/openhands/micromamba"],
        );
        refused(&format!("@/base:{tag}"));
        push_base(&bench, tag, &nodes, &[]);
        let local = format!("oci:base-{tag}:1");
        bench
            .run(&["copy", &format!("@/base:{tag}"), &local])
            .exits(0);
        refused(&local);
    }
    // Of an image of ohoci its record says it.
    push_base(
        &bench,
        "1",
        &[("bin/sh", file("x"))],
        &["X=/openhands/not-there"],
    );
    bench.composed(&[
        "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/made:1",
    ]);
    assert!(refused("@/made:1").contains("ohoci rebase"));
    assert!(refused("@/deps:1").contains("deps image itself"));
}

#[test]
fn certificates_that_only_the_base_trusts_are_trusted_below_the_prefix() {
    let (_registry, bench) = workbench();
    let pem =
        |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    let bundle = "etc/ssl/certs/ca-certificates.crt";
    // As ours have it: a link to where OpenSSL looks.
    bench
        .ohoci
        .write("work/deps-files/etc/ssl/cert.pem", pem("AAAA"));
    let link = bench.ohoci.work().join("deps-files").join(bundle);
    fs_err::create_dir_all(link.parent().unwrap()).unwrap();
    fs_err::os::unix::fs::symlink("../cert.pem", link).unwrap();
    bench.push_deps("@/deps:1");
    let base = format!("{}{}", pem("AAAA"), pem("COMPANY"));
    // As Fedora has it: a link to where it is made.
    let made = "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem";
    let nodes = [
        (made, file(&base)),
        (
            "etc/pki/tls/certs/ca-bundle.crt",
            Node::Link("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"),
        ),
    ];
    push_base(&bench, "1", &nodes, &[]);
    contract(&bench, "1", &["--fit", "trust"]).exits(0);
    let pulled = bench.pull("out", "1");
    let top = bench
        .peer
        .blob("out", pulled.layers().last().unwrap())
        .unwrap();
    let (text, mode) = text(&top, "openhands/etc/ssl/cert.pem");
    assert_eq!(
        (text, mode),
        (format!("{}{}", pem("AAAA"), pem("COMPANY")), 0o644)
    );
    // Nothing is to be added where the prefix has them all.
    push_base(&bench, "2", &[(bundle, file(&pem("AAAA")))], &[]);
    let said = contract(&bench, "2", &["--fit", "trust"]).exits(0).stderr;
    assert!(said.contains("the base lacks nothing"), "{said}");
}
