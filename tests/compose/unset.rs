//! What a base brings is taken away where it is asked for, and nothing else is.

use ohoci_image::media_type::Family;
use serde_json::json;

use crate::support::images::bare;
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

/// A base that sets everything.
fn scene() -> (OhociRegistry, Workbench) {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bare(Family::Docker, vec![])
        .set("Env", json!(["A=1", "B=2"]))
        .set("Labels", json!({"a": "1", "b": "2"}))
        .set("ExposedPorts", json!({"80/tcp": {}, "53/udp": {}}))
        .set("Volumes", json!({"/data": {}, "/logs": {}}))
        .set("Healthcheck", json!({"Test": ["CMD", "true"]}))
        .set("Entrypoint", json!(["/entry"]))
        .set("Cmd", json!(["serve"]))
        .set("User", json!("1000"))
        .set("WorkingDir", json!("/srv"))
        .set("StopSignal", json!("SIGINT"))
        .build()
        .push(&bench.peer, "full", "1");
    (registry, bench)
}

#[test]
fn single_things_are_taken_away() {
    let (_registry, bench) = scene();
    bench.composed(&[
        "--base",
        "@/full:1",
        "--unset-env",
        "A",
        "--unset-label",
        "a",
        "--unset-label",
        "missing",
        "--unset-expose",
        "80",
        "--unset-volume",
        "/data",
        "--unset-healthcheck",
        "--push",
        "@/out:1",
    ]);
    let image = bench.pull("out", "1");
    let runtime = image.runtime();
    assert_eq!(runtime["Env"], json!(["B=2"]));
    assert_eq!(runtime["Labels"]["b"], "2");
    assert_eq!(runtime["Labels"].get("a"), None);
    assert_eq!(runtime["ExposedPorts"], json!({"53/udp": {}}));
    assert_eq!(runtime["Volumes"], json!({"/logs": {}}));
    assert_eq!(runtime.get("Healthcheck"), None);
    assert_eq!(runtime["Cmd"], json!(["serve"]));
    assert_eq!(runtime["WorkingDir"], "/srv");
}

#[test]
fn whole_settings_are_taken_away_and_the_record_says_so() {
    let (_registry, bench) = scene();
    bench.composed(&[
        "--base",
        "@/full:1",
        "--unset-expose",
        "all",
        "--unset-volume",
        "all",
        "--unset-entrypoint",
        "--unset-user",
        "--unset-workdir",
        "--unset-stop-signal",
        "--expose",
        "8000",
        "--push",
        "@/out:1",
    ]);
    let image = bench.pull("out", "1");
    let runtime = image.runtime();
    assert_eq!(runtime["ExposedPorts"], json!({"8000/tcp": {}}));
    for gone in [
        "Volumes",
        "Entrypoint",
        "Cmd",
        "User",
        "WorkingDir",
        "StopSignal",
    ] {
        assert_eq!(runtime.get(gone), None, "{gone}");
    }
    // What is made again from the record is the same.
    bench.run(&["verify", "@/out:1"]).exits(0);
}

#[test]
fn what_is_set_and_taken_away_at_once_is_refused() {
    let (_registry, bench) = scene();
    let push = ["--base", "@/full:1", "--push", "@/out:1"];
    for both in [
        ["--label", "a=b", "--unset-label", "a"].as_slice(),
        &["--user", "1", "--unset-user"],
        &["--entrypoint", "/a", "--unset-entrypoint"],
        &["--unset-expose", "http"],
    ] {
        bench.compose(&[&push[..], both].concat()).exits(2);
    }
}
