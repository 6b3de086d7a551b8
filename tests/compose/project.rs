//! `ohoci.toml`: what a project wants by default.

use ohoci_image::media_type::Family;
use serde_json::json;

use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

fn bench(registry: &OhociRegistry) -> Workbench {
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Oci);
    bench.push_deps("@/deps:1");
    bench.ohoci.write("work/own/file", "own");
    let host = &bench.host;
    bench.ohoci.write(
        "work/ohoci.toml",
        format!(
            r#"
[compose]
base = "{host}/base:1"
deps = ["{host}/deps:1"]
push = ["{host}/app:default"]
layer = ["own:/own"]
position = "bottom"
entrypoint = ["/default"]
cmd = ["default"]
user = "1000"
workdir = "/default"
expose = ["80"]
volume = ["/default"]
stop-signal = "SIGINT"
unset-env = ["OPENHANDS"]

[compose.env]
A = "default"
B = "default"

[compose.label]
l = "default"
m = "default"

[compose.annotation]
a = "default"
"#
        ),
    );
    bench
}

#[test]
fn a_project_composes_without_a_flag() {
    let registry = OhociRegistry::start();
    let bench = bench(&registry);
    bench.composed(&[]);
    let made = bench.pull("app", "default");
    assert_eq!(made.layers().len(), 3);
    assert_eq!(made.layers()[0], bench.pull("deps", "1").layers()[0]);
    let runtime = made.runtime();
    let fields = [
        "Entrypoint",
        "Cmd",
        "User",
        "WorkingDir",
        "ExposedPorts",
        "Volumes",
        "StopSignal",
    ];
    let found = fields.map(|field| runtime[field].clone());
    assert_eq!(
        json!(found),
        json!([
            ["/default"], ["default"], "1000", "/default", {"80/tcp": {}}, {"/default": {}}, "SIGINT"
        ])
    );
    assert_eq!(made.env()[1..], ["A=default", "B=default"]);
    assert_eq!(made.manifest["annotations"]["a"], json!("default"));
    let labels = &runtime["Labels"];
    assert_eq!(
        [&labels["l"], &labels["m"]],
        [&json!("default"), &json!("default")]
    );
}

#[test]
fn flags_come_before_what_the_project_says() {
    let registry = OhociRegistry::start();
    let bench = bench(&registry);
    bench.ohoci.write("work/other/file", "other");
    bench.composed(&[
        "--base",
        "scratch",
        "--deps",
        "@/deps:1",
        "--push",
        "@/app:flag",
        "--layer",
        "other:/other",
        "--position",
        "top",
        "--env",
        "B=flag",
        "--env",
        "OPENHANDS=flag",
        "--unset-env",
        "A",
        "--entrypoint",
        "/flag",
        "--cmd",
        "flag",
        "--user",
        "2000",
        "--workdir",
        "/flag",
        "--label",
        "l=flag",
        "--annotation",
        "a=flag",
        "--expose",
        "90",
        "--stop-signal",
        "SIGHUP",
    ]);
    let made = bench.pull("app", "flag");
    assert_eq!(made.layers().len(), 2, "scratch, deps, the other layer");
    let runtime = made.runtime();
    let found = [
        "Entrypoint",
        "Cmd",
        "User",
        "WorkingDir",
        "ExposedPorts",
        "StopSignal",
    ]
    .map(|field| runtime[field].clone());
    assert_eq!(
        json!(found),
        json!([["/flag"], ["flag"], "2000", "/flag", {"80/tcp": {}, "90/tcp": {}}, "SIGHUP"])
    );
    let mut env = made.env();
    env.sort_unstable();
    assert_eq!(env[..2], ["B=flag", "OPENHANDS=flag"]);
    assert!(env.iter().all(|pair| !pair.starts_with("A=")), "{env:?}");
    let labels = &runtime["Labels"];
    assert_eq!(
        [&labels["l"], &labels["m"]],
        [&json!("flag"), &json!("default")]
    );
    assert_eq!(made.manifest["annotations"]["a"], json!("flag"));
    assert!(
        bench
            .peer
            .send(
                reqwest::Method::GET,
                "/v2/app/manifests/default",
                "",
                vec![]
            )
            .is_ok_and(|answer| answer.status == reqwest::StatusCode::NOT_FOUND)
    );
}

#[test]
fn a_typo_in_the_projects_file_is_shown_with_its_place() {
    let registry = OhociRegistry::start();
    let bench = bench(&registry);
    bench
        .ohoci
        .write("work/ohoci.toml", "[compose]\nbsae = \"scratch\"\n");
    let outcome = bench.compose(&["--base", "@/base:1", "--push", "@/app:1"]);
    assert_ne!(outcome.code, Some(0));
    assert!(
        outcome.stderr.contains("ohoci.toml") && outcome.stderr.contains("bsae"),
        "{}",
        outcome.stderr
    );
}
