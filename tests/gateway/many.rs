//! Every base has its name, and none was pushed: each costs its registry two reads, and nothing once it is
//! known; blobs come from where the registry sends those who ask.

use std::collections::HashSet;

use rustix::process::Signal;
use serde_json::Value;
use testbed::GeneratedBases;

use super::{metric, peer, start};
use crate::support::command::Ohoci;
use crate::support::peer::sha256;

/// How many names are pulled; `cargo xtask bench gateway` does it with 100,000.
const NAMES: u64 = 300;

#[test]
fn names_cost_two_reads_each_and_nothing_once_they_are_known() {
    let layer: Vec<u8> = (0..1_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let size = layer.len() as u64;
    let bases = GeneratedBases::start(layer);
    let ohoci = Ohoci::new();
    let host = bases.address();
    let rules = format!(
        "[[rule]]\nname = \"oh/{{repository}}\"\nbase = \"{host}/{{repository}}\"\n\
         bases = [\"{host}/**\"]\ndeps = [\"{host}/deps\"]\nenv = {{ A = \"b\" }}\nfresh-seconds = 86400\n"
    );
    let gateway = start(&ohoci, &rules, &[]);
    let composed = peer(&gateway);
    // What is on all of them is read once.
    composed.manifest("oh/base/0", "latest");
    let before = bases.asked();
    let pull = |number: u64| composed.manifest(&format!("oh/base/{number}"), "latest").1;
    let digests: HashSet<String> = (1..=NAMES).map(|number| sha256(&pull(number))).collect();
    let first = bases.asked();
    assert_eq!(digests.len() as u64, NAMES);
    assert_eq!(
        (first.requests - before.requests, first.writes),
        (2 * NAMES, 0)
    );
    let again: HashSet<String> = (1..=NAMES).map(|number| sha256(&pull(number))).collect();
    assert_eq!(again, digests);
    assert_eq!(bases.asked().requests, first.requests);
    assert_eq!(metric(&composed, "ohoci_known_names"), NAMES + 1);

    // The client goes to the storage itself.
    let received = metric(&composed, "ohoci_upstream_received_bytes_total");
    let manifest: Value = serde_json::from_slice(&pull(1)).unwrap();
    assert_eq!(manifest["layers"][0]["digest"], bases.layer());
    let blob = composed.blob("oh/base/1", bases.layer()).unwrap();
    assert_eq!(blob.len() as u64, size);
    let asked = bases.asked();
    assert_eq!((asked.layer_bytes, asked.storage_bytes), (0, size));
    assert_eq!(
        metric(&composed, "ohoci_upstream_received_bytes_total"),
        received
    );
    // Where there is no storage, it comes through.
    let blob = composed.blob("oh/streamed/1", bases.layer()).unwrap();
    assert_eq!(blob.len() as u64, size);
    assert_eq!(bases.asked().layer_bytes, size);
    gateway.terminate(Signal::TERM);
}
