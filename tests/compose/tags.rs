//! `--if-exists`: what happens to references that exist.

use ohoci_image::media_type::Family;
use serde_json::{Value, json};

use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

fn bench(registry: &OhociRegistry) -> (Workbench, String) {
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Oci);
    let before = bench.composed(&[
        "--base",
        "@/base:1",
        "--env",
        "A=before",
        "--push",
        "@/app:there",
    ]);
    let digest = before["digest"].as_str().unwrap().to_owned();
    registry.take_requests();
    (bench, digest)
}

fn again<'a>(choice: &'a str, push: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![
        "--base",
        "@/base:1",
        "--env",
        "A=after",
        "--if-exists",
        choice,
    ];
    for target in push {
        arguments.extend(["--push", target]);
    }
    arguments
}

#[test]
fn replace_moves_the_tag() {
    let registry = OhociRegistry::start();
    let (bench, before) = bench(&registry);
    let report = bench.composed(&again("replace", &["@/app:there"]));
    assert_ne!(report["digest"], json!(before));
    assert_eq!(report["digest"], json!(bench.pull("app", "there").digest));
}

#[test]
fn skip_leaves_the_tag_and_names_what_it_holds() {
    let registry = OhociRegistry::start();
    let (bench, before) = bench(&registry);
    let report = bench.composed(&again("skip", &["@/app:there"]));
    assert_eq!(report["status"], json!("skipped"));
    assert_eq!(report["digest"], json!(before));
    assert_eq!(report["mediaType"], Value::Null);
    assert_eq!(bench.pull("app", "there").digest, before);
    let outcome = bench.compose(&again("skip", &["@/app:there"])).exits(0);
    assert_eq!(outcome.stdout, format!("{}/app@{before}\n", bench.host));
    assert!(
        outcome
            .stderr
            .contains("app:there exists and was left as it is"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn skip_leaves_only_the_references_that_exist() {
    let registry = OhociRegistry::start();
    let (bench, before) = bench(&registry);
    let report = bench.composed(&again(
        "skip",
        &["@/app:there", "@/app:new", "@/second:new", "oci:layout:new"],
    ));
    assert_eq!(report["status"], json!("pushed"));
    let after = report["digest"].as_str().unwrap();
    assert_ne!(after, before);
    assert_eq!(bench.pull("app", "there").digest, before);
    assert_eq!(bench.pull("app", "new").digest, after);
    assert_eq!(bench.pull("second", "new").digest, after);
    let statuses: Vec<(&Value, &Value)> = report["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| (&target["references"][0], &target["status"]))
        .collect();
    let (pushed, skipped) = (json!("pushed"), json!("skipped"));
    let reference = |rest: &str| json!(format!("{}/{rest}", bench.host));
    assert_eq!(
        statuses,
        [
            (&reference("app:new"), &pushed),
            (&reference("second:new"), &pushed),
            (&json!("oci:layout:new"), &pushed),
            (&reference("app:there"), &skipped),
        ]
    );
    let layout = bench.composed(&again("skip", &["oci:layout:new"]));
    assert_eq!(layout["status"], json!("skipped"));
}

#[test]
fn fail_leaves_the_tag_and_says_where_it_is() {
    let registry = OhociRegistry::start();
    let (bench, before) = bench(&registry);
    let outcome = bench
        .compose(&again("fail", &["@/app:new", "@/app:there"]))
        .exits(1);
    assert!(
        outcome.stderr.contains("app:there") && outcome.stderr.contains(&before),
        "{}",
        outcome.stderr
    );
    let written: Vec<_> = registry
        .take_requests()
        .into_iter()
        .filter(|(method, _)| !matches!(method.as_str(), "GET" | "HEAD"))
        .collect();
    assert_eq!(written, [], "nothing is written");
    bench.compose(&again("fail", &["@/app:new"])).exits(0);
}
