//! `ohoci k8s` rewrites manifests so that unchanged images have the deps, and says what cannot work; and
//! the files of `deploy/` start what they say.

use std::path::{Path, PathBuf};

use ohoci_image::media_type::{Compression, Family};
use ohoci_kubernetes::manifest;
use serde_json::{Value, json};

use crate::support::images::busybox;
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

fn scene() -> (OhociRegistry, Workbench) {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_deps("@/deps:1");
    bench.push_base("base", Family::Oci);
    (registry, bench)
}

fn deployment(image: &str) -> String {
    format!(
        "# lost\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: agent\nspec:\n  template:\n    spec:\n      \
         containers:\n        - name: main\n          image: {image}\n        - name: other\n          \
         image: {image}\n          command: [sh]\n---\napiVersion: v1\nkind: Service\nmetadata:\n  name: s\n"
    )
}

#[test]
fn a_deployment_gets_the_deps_and_what_they_say() {
    let (_registry, bench) = scene();
    let file = bench.ohoci.write(
        "work/in.yaml",
        deployment(&format!("{}/base:1", bench.host)),
    );
    let file = file.to_str().unwrap();
    let outcome = bench.run(&["k8s", file, "--deps", "@/deps:1"]).exits(0);
    let documents = manifest::parse(&outcome.stdout).unwrap();
    assert_eq!(documents[1]["kind"], "Service");
    let spec = &documents[0]["spec"]["template"]["spec"];
    let deps = format!("{}/deps:1", bench.host);
    assert_eq!(
        spec["volumes"][0]["image"]["reference"],
        Value::String(deps)
    );
    let main = &spec["containers"][0];
    assert_eq!(main["volumeMounts"][0]["subPath"], "openhands");
    assert_eq!(
        (&main["command"], &main["args"]),
        (&json!(["tool"]), &json!(["by", "default"]))
    );
    let path = &main["env"][0];
    assert_eq!(path["name"], "PATH");
    assert!(
        path["value"]
            .as_str()
            .unwrap()
            .starts_with("/openhands/bin:"),
        "{path}"
    );
    // A command of the manifest stays.
    assert_eq!(spec["containers"][1]["command"], json!(["sh"]));
    assert!(
        outcome
            .stderr
            .contains("Deployment/agent, container main: PATH="),
        "{}",
        outcome.stderr
    );

    let checked = bench
        .run(&["k8s", file, "--deps", "@/deps:1", "--check"])
        .exits(0);
    assert_eq!(checked.stdout, "");
    assert_eq!(checked.stderr, outcome.stderr);
    let one = bench.run(&[
        "k8s",
        file,
        "--deps",
        "@/deps:1",
        "--container",
        "main",
        "--volume",
        "copy",
    ]);
    let one = manifest::parse(&one.exits(0).stdout).unwrap();
    let spec = &one[0]["spec"]["template"]["spec"];
    assert!(spec["containers"][1].get("volumeMounts").is_none());
    assert_eq!(spec["initContainers"][0]["name"], "openhands-copy");
}

#[test]
fn what_cannot_work_is_said() {
    let (_registry, bench) = scene();
    let with =
        busybox(Family::Oci, Compression::Gzip).set("Env", json!(["PATH=/bin", "OPENHANDS=0"]));
    with.build().push(&bench.peer, "other", "1");
    let missing = deployment(&format!("{}/none:1", bench.host));
    let file = bench.ohoci.write("work/in.yaml", missing);
    let outcome = bench
        .run(&[
            "k8s",
            file.to_str().unwrap(),
            "--deps",
            "@/deps:1",
            "--check",
        ])
        .exits(4);
    assert!(outcome.stderr.contains("none"), "{}", outcome.stderr);
    for (text, why) in [
        ("kind: Service\n", "there is no pod"),
        ("a: [\n", "cannot rewrite"),
        ("kind: Pod\nkind: Pod\n", "twice"),
    ] {
        let file = bench.ohoci.write("work/in.yaml", text);
        let outcome = bench
            .run(&["k8s", file.to_str().unwrap(), "--deps", "@/deps:1"])
            .exits(1);
        assert!(outcome.stderr.contains(why), "{}", outcome.stderr);
    }
}

fn deploy(name: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    fs_err::read_to_string(root.join("deploy/gateway").join(name)).unwrap()
}

/// Whether the command line of a deployment is one that ohoci takes.
fn takes(words: &[String]) {
    let words = std::iter::once("ohoci".to_owned()).chain(words.iter().cloned());
    ohoci::command().try_get_matches_from(words).unwrap();
}

#[test]
fn deployments_start_what_there_is() {
    let documents = manifest::parse(&deploy("kubernetes.yaml")).unwrap();
    let of = |kind: &str| {
        documents
            .iter()
            .find(|document| document["kind"] == kind)
            .unwrap()
    };
    let pod = &of("Deployment")["spec"]["template"];
    let container = &pod["spec"]["containers"][0];
    let args = container["args"].as_array().unwrap();
    let args: Vec<String> = args
        .iter()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect();
    takes(&args);
    for probe in ["readinessProbe", "livenessProbe"] {
        assert_eq!(container[probe]["httpGet"]["path"], "/healthz");
        assert_eq!(
            container[probe]["httpGet"]["port"],
            container["ports"][0]["name"]
        );
    }
    let labels = &pod["metadata"]["labels"];
    assert_eq!(&of("Service")["spec"]["selector"], labels);
    assert_eq!(
        &of("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        labels
    );
    // Every mount has its volume.
    let named = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        let mut names: Vec<_> = list
            .map(|entry| entry["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        named(&container["volumeMounts"]),
        named(&pod["spec"]["volumes"])
    );
    let rules = of("ConfigMap")["data"]["gateway.toml"].as_str().unwrap();
    assert_eq!(
        ohoci_gateway::Rule::parse(rules, Path::new("/"))
            .unwrap()
            .len(),
        1
    );

    let unit = deploy("ohoci-gateway.service");
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/ohoci "));
    let words: Vec<String> = line.unwrap().split(' ').map(str::to_owned).collect();
    takes(&words);
}
