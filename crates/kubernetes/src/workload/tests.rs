//! Which workloads are found, and what their containers become.

use super::*;
use ohoci_openhands::contract::Contract;
use ohoci_openhands::contract::terms::Acp;

fn process(env: &[&str]) -> Process {
    Process {
        env: env.iter().map(|entry| (*entry).to_owned()).collect(),
        ..Process::default()
    }
}

fn change() -> Change {
    Change {
        before: process(&["PATH=/usr/bin", "OLD=1"]),
        after: Process {
            entrypoint: vec!["tool".to_owned()],
            cmd: vec!["a$(b)".to_owned()],
            user: "10001:10002".to_owned(),
            working_dir: "/workspace".to_owned(),
            ..process(&["PATH=/openhands/bin:/usr/bin", "NEW=x"])
        },
    }
}

fn wish(way: Way) -> Wish {
    Wish {
        deps: "registry.example/deps:1".to_owned(),
        way,
        containers: BTreeSet::new(),
        links: Links::default(),
    }
}

#[test]
fn a_contracts_links_come_in_beside_the_deps() {
    let mut document = json!({ "kind": "Pod", "spec": pod() });
    let known = BTreeMap::from([("base:1".to_owned(), Ok(change()))]);
    let wish = Wish {
        links: Links::of(Terms::new(Contract::V1, Acp::There)),
        ..wish(Way::ImageVolume)
    };
    let notes = rewrite(std::slice::from_mut(&mut document), &wish, &known);
    let spec = &document["spec"];
    let mounts = &spec["containers"][0]["volumeMounts"];
    assert_eq!(mounts[1]["mountPath"], "/acp-node");
    assert_eq!(mounts[2]["mountPath"], "/agent-server");
    let command = spec["initContainers"][0]["command"].to_string();
    assert!(
        command.contains("/links/agent-server/.venv/bin/python\",\"/openhands/bin/oh-python"),
        "{command}"
    );
    assert_eq!(spec["volumes"].as_array().unwrap().len(), 2);
    let left = notes
        .iter()
        .find(|note| note.text.contains("do not come in"))
        .unwrap();
    assert!(
        left.text.contains("/usr/local/bin/openhands-agent-server"),
        "{left:?}"
    );
}

fn rewritten(mut document: Value, way: Way) -> (Value, Vec<String>) {
    let known = BTreeMap::from([("base:1".to_owned(), Ok(change()))]);
    let notes = rewrite(std::slice::from_mut(&mut document), &wish(way), &known);
    let problems = notes.into_iter().filter(|note| note.is_problem);
    (document, problems.map(|note| note.text).collect())
}

fn pod() -> Value {
    json!({ "containers": [{ "name": "a", "image": "base:1" }] })
}

#[test]
fn every_kind_of_workload_is_found() {
    for (kind, path) in [
        ("Pod", "/spec"),
        ("Deployment", "/spec/template/spec"),
        ("StatefulSet", "/spec/template/spec"),
        ("DaemonSet", "/spec/template/spec"),
        ("Job", "/spec/template/spec"),
        ("CronJob", "/spec/jobTemplate/spec/template/spec"),
    ] {
        let mut inner = pod();
        for part in path.trim_start_matches('/').split('/').rev() {
            inner = json!({ part: inner });
        }
        inner["kind"] = kind.into();
        inner["metadata"] = json!({ "name": "x" });
        let list = json!({ "kind": "List", "items": [inner] });
        for (document, at) in [
            (inner.clone(), path.to_owned()),
            (list, format!("/items/0{path}")),
        ] {
            let (document, _) = rewritten(document, Way::ImageVolume);
            let volumes = document.pointer(&format!("{at}/volumes")).unwrap();
            assert_eq!(
                volumes[0]["image"]["reference"], "registry.example/deps:1",
                "{kind}"
            );
        }
    }
    let service = json!({ "kind": "Service", "spec": { "ports": [] } });
    assert_eq!(rewritten(service.clone(), Way::ImageVolume).0, service);
}

#[test]
fn a_container_gets_what_composing_would_change() {
    let (document, problems) = rewritten(json!({ "kind": "Pod", "spec": pod() }), Way::ImageVolume);
    let container = &document["spec"]["containers"][0];
    assert_eq!(
        container,
        &json!({
            "name": "a",
            "image": "base:1",
            "volumeMounts": [{
                "name": "openhands", "mountPath": "/openhands", "readOnly": true,
                "subPath": "openhands",
            }],
            "env": [
                { "name": "PATH", "value": "/openhands/bin:/usr/bin" },
                { "name": "NEW", "value": "x" },
            ],
            "command": ["tool"],
            "args": ["a$$(b)"],
            "securityContext": { "runAsUser": 10001, "runAsGroup": 10002 },
            "workingDir": "/workspace",
        })
    );
    assert_eq!(
        problems,
        ["OLD would be unset, which a manifest cannot say"]
    );
}

#[test]
fn what_a_manifest_says_itself_stays() {
    let spec = json!({
        "securityContext": { "runAsUser": 7 },
        "containers": [{
            "name": "a", "image": "base:1", "command": ["sh"], "workingDir": "/",
            "env": [{ "name": "PATH", "value": "/bin" }, { "name": "NEW", "value": "x" }, { "name": "OLD", "value": "2" }],
        }],
    });
    let (document, problems) = rewritten(json!({ "kind": "Pod", "spec": spec }), Way::ImageVolume);
    let mut container = document["spec"]["containers"][0].clone();
    container.as_object_mut().unwrap().remove("volumeMounts");
    assert_eq!(container, spec["containers"][0]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(
        problems[0].contains("PATH is set in the manifest"),
        "{problems:?}"
    );
}

#[test]
fn what_cannot_work_is_said_and_left() {
    let over = json!({
        "kind": "Pod",
        "spec": { "containers": [{
            "name": "a", "image": "base:1",
            "volumeMounts": [{ "name": "x", "mountPath": "/openhands/" }],
        }] },
    });
    let (document, problems) = rewritten(over.clone(), Way::ImageVolume);
    assert_eq!(document, over);
    assert_eq!(problems, ["something is mounted at /openhands already"]);
    let unread =
        json!({ "kind": "Pod", "spec": { "containers": [{ "name": "a", "image": "other" }] } });
    let (document, problems) = rewritten(unread.clone(), Way::ImageVolume);
    assert_eq!(document, unread);
    assert_eq!(problems.len(), 1);
}

#[test]
fn without_image_volumes_the_deps_are_copied_first() {
    let mut spec = pod();
    spec["initContainers"] = json!([{ "name": "own" }]);
    let (document, _) = rewritten(json!({ "kind": "Pod", "spec": spec }), Way::Copy);
    let spec = &document["spec"];
    assert_eq!(
        spec["volumes"],
        json!([{ "name": "openhands", "emptyDir": {} }])
    );
    assert_eq!(
        spec["initContainers"][0]["image"],
        "registry.example/deps:1"
    );
    assert_eq!(spec["initContainers"][1]["name"], "own");
    assert!(
        spec["containers"][0]["volumeMounts"][0]
            .get("subPath")
            .is_none()
    );
}
