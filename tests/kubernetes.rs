//! `ohoci k8s` rewrites manifests so that unchanged images have the deps, and says what cannot work; and
//! the files of `deploy/` start what they say.

use std::path::{Path, PathBuf};
use std::process::Command;

use ohoci_image::media_type::{Compression, Family};
use ohoci_kubernetes::manifest;
use serde_json::{Value, json};

use crate::support::images::busybox;
use crate::support::kubernetes_schema;
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
        "# lost\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: agent\nspec:\n  selector:\n    \
         matchLabels:\n      app: agent\n  template:\n    metadata:\n      labels:\n        app: agent\n    spec:\n      \
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
    kubernetes_schema::takes(&documents);
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
    kubernetes_schema::takes(&one);
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

#[test]
fn the_manifests_are_what_kubernetes_api_takes() {
    let documents = manifest::parse(&deploy("kubernetes.yaml")).unwrap();
    kubernetes_schema::takes(&documents);
    // Whatever is wrong in them would be found.
    let text = deploy("kubernetes.yaml");
    for (right, wrong, place) in [
        ("replicas: 2", "replica: 2", "/spec"),
        ("minAvailable: 1", "minAvailable: [1]", "/spec/minAvailable"),
        ("apiVersion: apps/v1", "apiVersion: apps/v2", "apps/v2"),
        (
            "containerPort: 5000",
            "containerPort: registry",
            "/containerPort",
        ),
        ("sessionAffinity: ClientIP", "affinity: ClientIP", "/spec"),
    ] {
        assert!(text.contains(right), "{right}");
        let documents = manifest::parse(&text.replace(right, wrong)).unwrap();
        let faults: Vec<String> = documents
            .iter()
            .flat_map(kubernetes_schema::faults)
            .collect();
        assert!(
            faults.len() == 1 && faults[0].contains(place),
            "{wrong}: {faults:#?}"
        );
    }
}

/// What systemd says of a unit whose program is there.
fn verified(unit: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ohoci-gateway.service");
    let program = env!("CARGO_BIN_EXE_ohoci");
    fs_err::write(&file, unit.replace("/usr/bin/ohoci", program)).unwrap();
    let done = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&file)
        .output()
        .expect("systemd-analyze does not start; run cargo xtask test");
    let said = String::from_utf8_lossy(&done.stderr);
    let said = said.replace(&directory.path().display().to_string(), "");
    match done.status.success() {
        true => said,
        false => format!("{}: {said}", done.status),
    }
}

#[test]
fn the_unit_is_what_systemd_takes() {
    let unit = deploy("ohoci-gateway.service");
    assert_eq!(verified(&unit), "");
    let wrong = unit.replace("DynamicUser=", "DynamicUsr=");
    assert!(verified(&wrong).contains("DynamicUsr"));
    assert_ne!(
        verified(&unit.replace("ohoci registry", "none registry")),
        ""
    );
}
