//! `ohoci batch --rebase`: images that were composed before, made anew.

use std::time::Duration;

use ohoci_image::media_type::Family;
use serde_json::json;
use testbed::Relay;

use super::{Scene, deps, file, push_bases};
use crate::support::command::Ohoci;
use crate::support::debian_registry::DebianRegistry;
use crate::support::images::bare;
use crate::support::peer::Access;
use crate::support::requests::take;

/// A batch over a relay that counts, twice: images of `app`, then the same with newer deps.
#[test]
fn rebasing_a_set_pushes_two_documents_each() {
    let registry = DebianRegistry::open();
    let relay = Relay::start(registry.address(), Duration::ZERO).unwrap();
    let peer = registry.peer(Access::Anonymous);
    let bases = push_bases(&peer, 30);
    deps().push(&peer, "deps", "1");
    let newer = file("openhands/newer", "newer");
    bare(Family::Docker, vec![newer])
        .build()
        .push(&peer, "deps", "2");
    let scene = Scene {
        host: relay.address().to_string(),
        _registry: registry,
        peer,
        ohoci: Ohoci::new(),
        bases,
    };
    scene.summary(&scene.arguments("app"), &[]);
    let before = scene.tags("app");

    let images: Vec<String> = scene
        .bases
        .iter()
        .map(|base| format!("{}/app:{}", scene.host, base.name))
        .collect();
    scene.ohoci.write("work/images", images.join("\n"));
    let rebase = [
        "batch".to_owned(),
        "--rebase".to_owned(),
        "images".to_owned(),
        "--keep-base".to_owned(),
        "--deps".to_owned(),
        format!("{}/deps:2", scene.host),
    ];
    take(&relay);
    let summary = scene.summary(&rebase, &["--journal", "rebase.jsonl", "--no-upload"]);
    let requests = take(&relay).len();
    assert_eq!(summary["built"], json!(30));
    assert!(requests <= 30 * 3 + 8, "{requests} requests");

    // The same as composing anew with the newer deps.
    let anew = scene.arguments("anew");
    let anew: Vec<String> = anew
        .iter()
        .map(|argument| argument.replace("/deps:1", "/deps:2"))
        .collect();
    scene.summary(&anew, &["--journal", "anew.jsonl"]);
    let after = scene.tags("app");
    assert_eq!(after, scene.tags("anew"));
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|(before, after)| before != after)
    );

    take(&relay);
    let resumed = scene.summary(&rebase, &["--journal", "rebase.jsonl", "--resume"]);
    assert_eq!(resumed["total"], json!(30));
    assert_eq!(take(&relay).len(), 0);
}

#[test]
fn what_carries_no_record_fails_alone_when_a_set_is_rebased() {
    let scene = Scene::direct(2);
    scene.summary(&scene.arguments("app"), &[]);
    let images = [
        format!("{}/app:{}", scene.host, scene.bases[0].name),
        scene.reference(&scene.bases[1]),
    ];
    scene.ohoci.write("work/images", images.join("\n"));
    let rebase = ["batch", "--rebase", "images"].map(str::to_owned);
    let outcome = scene.run(&rebase, &["--format", "json"]);
    let outcome = outcome.exits(3);
    let summary = outcome.json();
    assert_eq!(summary["failed"], json!(1), "{summary}");
    let refused = scene.run(&rebase, &["--env", "A=1"]).exits(2).stderr;
    assert!(refused.contains("--env"), "{refused}");
}
