//! `compose --contract`: what OpenHands' launchers take for granted.

use serde_json::json;

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
    // The terminal of the server fails where the base says C.
    assert!(pulled.env().contains(&"LC_ALL=C.UTF-8"));
    let entries = entries(&bench.peer.blob("out", pulled.layers()[1]).unwrap());
    // No entry for `usr` and the like: it would override the base's.
    assert_eq!(
        entries,
        [
            "agent-server/ 0 755",
            "agent-server/.venv -> /openhands/poetry/oh",
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
