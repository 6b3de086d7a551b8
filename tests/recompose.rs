//! `ohoci outdated`, `ohoci rebase`, `ohoci verify`: composed images over time.

use std::sync::Arc;
use std::time::Duration;

use ohoci_compose::recompose::{BaseChoice, DepsChoice, Rebase, rebase_job};
use ohoci_compose::resolver::Resolver;
use ohoci_compose::{Observer, Unwatched, compose};
use ohoci_image::media_type::{Compression, Family};
use ohoci_registry::{Client, Settings};
use ohoci_store::cache::Cache;
use reqwest::Method;
use serde_json::{Value, json};
use testbed::Relay;

use crate::support::debian_registry::DebianRegistry;
use crate::support::images::{Index, Layer, Node, busybox};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::{Access, sha256};
use crate::support::requests::{Words, count, take};
use crate::support::workbench::{PATCH, Pulled, Workbench};

/// What the image is made with, beside its base, its deps and its target.
const OWN: [&str; 8] = [
    "--layer",
    "own:/own",
    "--env",
    "PATH=/own:${PATH}",
    "--label",
    "who=me",
    "--annotation",
    "a=b",
];

/// `app:1` of `base:1`, `deps:1` and a directory.
struct Scene {
    registry: OhociRegistry,
    bench: Workbench,
}

impl Scene {
    fn new() -> Self {
        let registry = OhociRegistry::start();
        let bench = Workbench::new(&registry.host(), registry.peer());
        bench.push_base("base", Family::Oci);
        bench.push_deps("@/deps:1");
        bench.ohoci.write("work/own/file", "mine");
        let scene = Self { registry, bench };
        scene.compose("@/app:1");
        scene
    }

    /// Composes from what the names say now.
    #[track_caller]
    fn compose(&self, target: &str) -> Value {
        let start = ["--base", "@/base:1", "--deps", "@/deps:1", "--push", target];
        self.bench.composed(&[&start[..], &OWN].concat())
    }

    /// Lets `base:1` name another image: one more layer, another PATH.
    fn move_base(&self) {
        busybox(Family::Oci, Compression::Gzip)
            .many_layers(1, Compression::Gzip)
            .set("Env", json!(["PATH=/newer/bin:/bin"]))
            .build()
            .push(&self.bench.peer, "base", "1");
    }

    /// Lets `deps:1` name another image: another layer, another patch.
    fn move_deps(&self) {
        self.bench.ohoci.write("work/newer/bin/tool", "#!/bin/sh\n");
        let label = format!("ohoci.patch={}", PATCH.replace(r#""1""#, r#""2""#));
        self.bench.composed(&[
            "--base",
            "scratch",
            "--layer",
            "newer:/openhands",
            "--label",
            &label,
            "--push",
            "@/deps:1",
        ]);
    }

    fn pull(&self, tag: &str) -> Pulled {
        self.bench.pull("app", tag)
    }
}

fn path(image: &Pulled) -> String {
    let env = image.env();
    let paths: Vec<&&str> = env
        .iter()
        .filter(|pair| pair.starts_with("PATH="))
        .collect();
    assert_eq!(paths.len(), 1, "{env:?}");
    (*paths[0]).to_owned()
}

#[test]
fn what_moved_is_told_from_digest_to_digest() {
    let scene = Scene::new();
    let before = scene.bench.pull("base", "1").digest;
    let fresh = scene.bench.run(&["outdated", "@/app:1"]).exits(0);
    assert!(fresh.stdout.contains("current"), "{}", fresh.stdout);

    scene.move_base();
    let after = scene.bench.pull("base", "1").digest;
    let report = scene
        .bench
        .run(&["outdated", "@/app:1", "--format", "json"])
        .exits(4)
        .json();
    let image = &report["images"][0];
    assert_eq!(image["state"], json!("outdated"));
    assert_eq!(image["digest"], json!(scene.pull("1").digest));
    assert_eq!(
        image["inputs"][0],
        json!({
            "origin": "base", "name": format!("{}/base:1", scene.bench.host),
            "recorded": before, "now": after, "state": "moved",
        })
    );
    assert_eq!(image["inputs"][1]["state"], json!("same"));
    let text = scene.bench.run(&["outdated", "@/app:1"]).exits(4).stdout;
    let short = |digest: &str| digest["sha256:".len()..][..12].to_owned();
    assert!(
        text.contains(&format!("{} → {}", short(&before), short(&after))),
        "{text}"
    );
}

#[test]
fn a_repository_is_looked_at_with_one_question_per_name() {
    let scene = Scene::new();
    scene.compose("@/app:2");
    scene.bench.push_base("app", Family::Oci);
    scene.compose("@/app:3");
    scene.registry.take_requests();
    let report = scene
        .bench
        .run(&["outdated", "--repo", "@/app", "--format", "json"])
        .exits(0)
        .json();
    let states: Vec<&Value> = report["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| &image["state"])
        .collect();
    assert_eq!(states, ["foreign", "current", "current"]);
    let mut asked = Words::default().of(&scene.registry.take_requests());
    asked.retain(|line| !line.contains(" app/"));
    asked.sort();
    assert_eq!(asked, ["HEAD base/manifests/1", "HEAD deps/manifests/1"]);
}

#[test]
fn what_cannot_be_looked_at_hides_nothing_else() {
    let scene = Scene::new();
    let only_failed = scene
        .bench
        .run(&["outdated", "@/none:1", "@/app:1"])
        .exits(1);
    assert!(
        only_failed.stdout.contains("none:1") && only_failed.stdout.contains("current"),
        "{}",
        only_failed.stdout
    );
    scene.move_deps();
    scene
        .bench
        .run(&["outdated", "@/none:1", "@/app:1"])
        .exits(4);
    scene.bench.run(&["outdated", "--repo", "@/app:1"]).exits(2);
}

#[test]
fn a_rebased_image_is_what_composing_anew_gives() {
    let scene = Scene::new();
    let first = scene.pull("1");
    assert!(path(&first).starts_with("PATH=/own:/openhands/bin:/usr/"));
    scene.move_base();
    scene.move_deps();
    let report = scene
        .bench
        .run(&["rebase", "@/app:1", "--no-upload", "--format", "json"])
        .exits(0)
        .json();
    let origins: Vec<&Value> = report["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| &layer["origin"])
        .collect();
    assert_eq!(origins, ["base", "base", "deps", "local"]);
    assert_eq!(report["layers"][3]["arrival"], json!("present"));
    let rebased = scene.pull("1");
    assert_eq!(rebased.layers().last(), first.layers().last());
    assert_eq!(
        path(&rebased),
        "PATH=/own:/openhands/bin:/newer/bin:/bin",
        "the patch is applied to the new base's environment, once"
    );
    assert!(rebased.env().contains(&"OPENHANDS=2"));
    scene.compose("@/app:anew");
    assert_eq!(scene.pull("anew").digest, rebased.digest);
    scene.bench.run(&["outdated", "@/app:1"]).exits(0);

    let again = scene
        .bench
        .run(&["rebase", "@/app:1", "--format", "json"])
        .exits(0)
        .json();
    assert_eq!(again["status"], json!("unchanged"));
}

#[test]
fn a_machine_that_knows_nothing_mounts_only_what_the_old_image_lacks() {
    let scene = Scene::new();
    scene.move_base();
    let newer = scene.bench.pull("base", "1").layers()[1].to_owned();
    let elsewhere = Workbench::new(&scene.bench.host, scene.registry.peer());
    scene.registry.take_requests();
    elsewhere
        .run(&["rebase", "@/app:1", "--no-upload"])
        .exits(0);
    let mut asked = Words::default()
        .name(&newer, "newer")
        .of(&scene.registry.take_requests());
    asked.retain(|line| line.contains("mount="));
    assert_eq!(asked, ["POST app/blobs/uploads/?mount=<newer>&from=base"]);
}

#[test]
fn either_side_can_be_kept() {
    let scene = Scene::new();
    let first = scene.pull("1");
    scene.move_base();
    scene.move_deps();
    let rebase = |flags: &[&str], tag: &str| {
        let target = format!("@/app:{tag}");
        let start = ["rebase", "@/app:1", "--push", &target];
        scene.bench.run(&[&start[..], flags].concat()).exits(0);
        scene.pull(tag)
    };
    let both = rebase(&["--keep-base", "--keep-deps"], "both");
    assert_eq!(both.digest, first.digest);
    let base = rebase(&["--keep-base"], "base");
    assert!(path(&base).starts_with("PATH=/own:/openhands/bin:/usr/"));
    assert!(base.env().contains(&"OPENHANDS=2"));
    assert_eq!(base.layers().len(), 3);
    let deps = rebase(&["--keep-deps"], "deps");
    assert_eq!(path(&deps), "PATH=/own:/openhands/bin:/newer/bin:/bin");
    assert!(deps.env().contains(&"OPENHANDS=1"));
    assert_eq!(deps.layers()[2], first.layers()[1]);
}

#[test]
fn another_base_and_another_repository_take_the_local_layer_along() {
    let scene = Scene::new();
    busybox(Family::Docker, Compression::Gzip)
        .set("Cmd", json!(["other"]))
        .build()
        .push(&scene.bench.peer, "other", "1");
    let planned = scene
        .bench
        .run(&[
            "rebase",
            "@/app:1",
            "--base",
            "@/other:1",
            "--push",
            "@/moved:1",
            "--dry-run",
        ])
        .exits(0);
    assert!(
        planned.stdout.contains("mount from") && planned.stdout.contains("other:1"),
        "{}",
        planned.stdout
    );
    let report = scene
        .bench
        .run(&[
            "rebase",
            "@/app:1",
            "--base",
            "@/other:1",
            "--push",
            "@/moved:1",
            "--no-upload",
            "--format",
            "json",
        ])
        .exits(0)
        .json();
    assert_eq!(report["layers"][2]["origin"], json!("local"));
    assert_eq!(report["layers"][2]["arrival"], json!("mounted"));
    let moved = scene.bench.pull("moved", "1");
    assert_eq!(moved.layers().last(), scene.pull("1").layers().last());
    scene.bench.run(&["verify", "@/moved:1"]).exits(0);
}

#[test]
fn images_without_a_record_are_refused_by_name() {
    let scene = Scene::new();
    for command in ["rebase", "verify"] {
        let refused = scene.bench.run(&[command, "@/base:1"]).exits(1);
        for words in ["/base:1", "no record", "hint:"] {
            assert!(refused.stderr.contains(words), "{}", refused.stderr);
        }
    }
    let digest = format!("@/app@{}", scene.pull("1").digest);
    let refused = scene.bench.run(&["rebase", &digest]).exits(2);
    assert!(refused.stderr.contains("--push"), "{}", refused.stderr);
}

#[test]
fn an_image_is_verified_against_what_its_inputs_were_then() {
    let scene = Scene::new();
    scene.move_base();
    scene.move_deps();
    for image in ["@/app:1", "@/deps:1"] {
        for flags in [&[][..], &["--no-cache"]] {
            let arguments = [&["verify", image][..], flags].concat();
            let outcome = scene.bench.run(&arguments).exits(0);
            assert!(outcome.stdout.starts_with("equal"), "{}", outcome.stdout);
        }
    }
}

/// Changes an image's config as somebody without ohoci would.
fn tamper(scene: &Scene, edit: impl FnOnce(&mut Value, &mut Value)) {
    let mut image = scene.pull("1");
    edit(&mut image.config, &mut image.manifest);
    let config = image.config.to_string().into_bytes();
    image.manifest["config"]["digest"] = json!(sha256(&config));
    image.manifest["config"]["size"] = json!(config.len());
    scene.bench.peer.put_blob("app", &config);
    let manifest = image.manifest.to_string().into_bytes();
    let peer = &scene.bench.peer;
    peer.put_manifest("app", "1", &image.media_type, &manifest);
}

#[test]
fn a_tampered_config_is_shown() {
    let scene = Scene::new();
    tamper(&scene, |config, _| {
        config["config"]["User"] = json!("intruder");
    });
    let text = scene.bench.run(&["verify", "@/app:1"]).exits(4).stdout;
    assert!(
        text.starts_with("different") && text.contains("config.User\n    + \"intruder\""),
        "{text}"
    );
    let report = scene
        .bench
        .run(&["verify", "@/app:1", "--format", "json"])
        .exits(4)
        .json();
    assert_eq!(
        report["differences"][0]["config"],
        json!([{"path": "config.User", "after": "intruder"}])
    );
    assert_ne!(report["digest"], report["recomputed"]);
}

#[test]
fn layers_from_elsewhere_are_neither_verified_nor_lost() {
    let scene = Scene::new();
    tamper(&scene, |config, manifest| {
        let again = manifest["layers"][0].clone();
        manifest["layers"].as_array_mut().unwrap().push(again);
        let ids = config["rootfs"]["diff_ids"].as_array_mut().unwrap();
        ids.push(ids[0].clone());
    });
    let text = scene.bench.run(&["verify", "@/app:1"]).exits(4).stdout;
    assert!(text.contains("about 3 layers"), "{text}");
    let refused = scene.bench.run(&["rebase", "@/app:1"]).exits(1);
    assert!(refused.stderr.contains("has 4"), "{}", refused.stderr);
}

#[test]
fn an_input_that_is_gone_is_named() {
    let scene = Scene::new();
    let base = scene.bench.pull("base", "1").digest;
    let deleted = scene
        .bench
        .peer
        .send(
            Method::DELETE,
            &format!("/v2/base/manifests/{base}"),
            "",
            Vec::new(),
        )
        .unwrap();
    assert!(deleted.status.is_success(), "{deleted:?}");
    let text = scene
        .bench
        .run(&["verify", "@/app:1", "--no-cache"])
        .exits(4)
        .stdout;
    assert!(
        text.starts_with("unknown") && text.contains("/base:1 at ") && text.contains(&base),
        "{text}"
    );
    let text = scene.bench.run(&["outdated", "@/app:1"]).exits(4).stdout;
    assert!(text.contains("→ gone"), "{text}");
}

#[test]
fn inputs_from_this_machine_have_to_be_named_again() {
    let scene = Scene::new();
    let layout = scene.bench.ohoci.work().join("layout");
    busybox(Family::Oci, Compression::Gzip)
        .build()
        .write_layout(&layout, "1");
    let start = [
        "--base",
        "oci:layout:1",
        "--deps",
        "@/deps:1",
        "--push",
        "@/app:local",
    ];
    scene.bench.composed(&[&start[..], &OWN].concat());
    scene.bench.run(&["outdated", "@/app:local"]).exits(0);
    scene.bench.run(&["verify", "@/app:local"]).exits(4);
    let refused = scene.bench.run(&["rebase", "@/app:local"]).exits(1);
    assert!(
        refused.stderr.contains("hint: say where it is now: --base"),
        "{}",
        refused.stderr
    );
    let report = scene
        .bench
        .run(&[
            "rebase",
            "@/app:local",
            "--base",
            "oci:layout:1",
            "--format",
            "json",
        ])
        .exits(0)
        .json();
    assert_eq!(report["status"], json!("unchanged"));
}

#[test]
fn an_index_is_rebased_and_verified_as_a_whole() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.ohoci.write("work/own/file", "mine");
    Index::busybox(Family::Oci, Compression::Gzip).push(&bench.peer, "base", "1");
    let compose = |target: &str| {
        let start = ["--base", "@/base:1", "--all-platforms", "--push", target];
        bench.composed(&[&start[..], &OWN].concat())
    };
    compose("@/app:1");
    bench.run(&["outdated", "@/app:1"]).exits(0);
    bench.run(&["verify", "@/app:1"]).exits(0);
    let newer = busybox(Family::Oci, Compression::Gzip).many_layers(1, Compression::Gzip);
    let other = newer.clone().platform("arm", Some("v7"));
    Index::new(Family::Oci, vec![newer.build(), other.build()]).push(&bench.peer, "base", "1");
    bench.run(&["outdated", "@/app:1"]).exits(4);
    bench.run(&["rebase", "@/app:1"]).exits(0);
    compose("@/app:anew");
    let rebased = bench.pull("app", "1");
    assert_eq!(rebased.manifest["manifests"].as_array().unwrap().len(), 2);
    assert_eq!(rebased.digest, bench.pull("app", "anew").digest);
    bench.run(&["verify", "@/app:1", "--no-cache"]).exits(0);
}

#[test]
fn a_path_of_a_deps_image_stays_a_path() {
    let scene = Scene::new();
    let file = |text: &str| Node::File(text.as_bytes().to_vec());
    let nodes = [
        ("openhands", Node::Directory),
        ("openhands/tool", file("tool")),
        ("beside", file("not wanted")),
    ];
    busybox(Family::Oci, Compression::Gzip)
        .layer(Layer::pack(&nodes, Compression::Gzip))
        .build()
        .push(&scene.bench.peer, "foreign", "1");
    scene.bench.composed(&[
        "--base",
        "@/base:1",
        "--deps",
        "@/foreign:1",
        "--deps-path",
        "/openhands",
        "--push",
        "@/app:path",
    ]);
    scene.bench.run(&["verify", "@/app:path"]).exits(0);
    scene.move_base();
    scene.bench.run(&["rebase", "@/app:path"]).exits(0);
    assert_eq!(scene.pull("path").layers().len(), 3);
}

#[test]
fn of_what_is_known_only_heads_are_asked() {
    let scene = Scene::new();
    scene.bench.run(&["outdated", "@/app:1"]).exits(0);
    scene.registry.take_requests();
    scene.bench.run(&["outdated", "@/app:1"]).exits(0);
    let asked = Words::default().sorted(&scene.registry.take_requests());
    assert_eq!(
        asked,
        [
            "HEAD app/manifests/1",
            "HEAD base/manifests/1",
            "HEAD deps/manifests/1"
        ]
    );
}

#[test]
fn new_deps_for_a_remembered_image_cost_three_requests() {
    let registry = DebianRegistry::open();
    let relay = Relay::start(registry.address(), Duration::ZERO).unwrap();
    let peer = registry.peer(Access::Anonymous);
    let bench = Workbench::new(&relay.address().to_string(), peer);
    bench.push_base("base", Family::Oci);
    bench.push_deps("@/deps:1");
    for tag in ["a", "b"] {
        let target = format!("@/app:{tag}");
        bench.composed(&[
            "--base",
            "@/base:1",
            "--deps",
            "@/deps:1",
            "--label",
            &format!("for={tag}"),
            "--push",
            &target,
        ]);
    }
    bench.ohoci.write("work/newer/bin/tool", "#!/bin/sh\n");
    bench.composed(&[
        "--base",
        "scratch",
        "--layer",
        "newer:/openhands",
        "--push",
        "@/deps:2",
    ]);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = Client::new(Settings::default()).unwrap();
    let cache = bench.ohoci.work().join("../cache/ohoci");
    let resolver = Resolver::new(client, Arc::new(Cache::new(cache)));
    let observer: Arc<dyn Observer> = Arc::new(Unwatched);
    let rebase = |tag: &str| {
        take(&relay);
        runtime.block_on(async {
            let asked = Rebase {
                reference: format!("{}/app:{tag}", bench.host).parse().unwrap(),
                base: BaseChoice::Recorded,
                deps: DepsChoice::Other(vec![format!("{}/deps:2", bench.host).parse().unwrap()]),
                remembered: true,
                work_dir: bench.ohoci.work(),
            };
            let (job, _) = rebase_job(&asked, &resolver).await.unwrap();
            compose::compose(&job, &resolver, &observer).await.unwrap();
        });
        take(&relay)
    };
    // The first learns of the new deps image and mounts its layer.
    let first = rebase("a");
    assert_eq!(count(&first, "POST"), 2, "{first:?}");
    let second = Words::default().of(&rebase("b"));
    assert_eq!(
        second,
        [
            "POST app/blobs/uploads/",
            "PUT app/blobs/uploads/*",
            "PUT app/manifests/b"
        ]
    );
    assert_eq!(
        bench.pull("app", "b").layers().last(),
        bench.pull("deps", "2").layers().last()
    );
}
