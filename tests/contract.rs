//! `compose --contract`: what OpenHands' launchers take for granted.

use serde_json::json;

use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

fn workbench() -> (OhociRegistry, Workbench) {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_deps("@/deps:1");
    (registry, bench)
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
    let blob = bench.peer.blob("out", pulled.layers()[1]).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(blob.as_slice()));
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
