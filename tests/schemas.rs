//! What commands print as JSON is what the schemas in `docs/schema` say: published, and held against every
//! document that any test has printed (`support::schema`). Here: that they can fail, and a journal.

use ohoci_image::media_type::Family;
use serde_json::{Value, json};

use crate::support::command::Ohoci;
use crate::support::images::bare;
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::schema;

#[test]
fn a_document_of_another_shape_is_found() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let right = json!({"reference": "registry.example/a:1", "digest": digest});
    schema::satisfies(&right, "digest");
    for wrong in [
        json!({"reference": "registry.example/a:1"}),
        json!({"reference": "registry.example/a:1", "digest": "1"}),
        json!({"reference": "registry.example/a:1", "digest": digest, "more": 1}),
    ] {
        assert!(!schema::all()["digest"].is_valid(&wrong), "{wrong}");
    }
}

#[test]
fn the_lines_of_a_batch_and_its_events_are_what_their_schema_says() {
    let (ohoci, registry) = (Ohoci::new(), OhociRegistry::start());
    let host = registry.host();
    bare(Family::Oci, vec![])
        .build()
        .push(&registry.peer(), "base", "1");
    let bases = format!("{host}/base:1\n{host}/missing:1\n");
    ohoci.write("work/bases", bases);
    ohoci.write("work/tools/a", "a");
    let push = format!("{host}/out:{{name}}");
    let arguments = ["--layer", "tools", "--push", &push, "--attempts=1"];
    let outcome = ohoci
        .run(
            [
                "batch",
                "--bases",
                "bases",
                "--format=json",
                "--progress=json",
                "--quiet",
            ]
            .iter()
            .chain(&arguments),
        )
        .exits(3);
    let journal = fs_err::read_to_string(ohoci.work().join("ohoci-batch.jsonl")).unwrap();
    let mut records: Vec<Value> = journal
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 2, "{journal}");
    records
        .iter()
        .for_each(|record| schema::satisfies(record, "batch-record"));
    let mut told: Vec<Value> = outcome
        .stderr
        .lines()
        .filter(|line| line.starts_with("{\"event\":\"image\""))
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["record"].take())
        .collect();
    let key = |record: &Value| record["base_image"].to_string();
    records.sort_by_key(key);
    told.sort_by_key(key);
    assert_eq!(told, records, "{}", outcome.stderr);
    // What failed is told although it is quiet.
    assert!(outcome.stderr.contains("failed: "), "{}", outcome.stderr);
}
