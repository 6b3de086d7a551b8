//! Indexes: image by image, index in and index out, and platforms that are not there.

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::clients::skopeo;
use crate::support::debian_registry::DebianRegistry;
use crate::support::images::{Image, Index, bare, busybox};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::{Access, sha256};
use crate::support::workbench::{Pulled, Workbench, deps_layer};

const PLATFORMS: [(&str, Option<&str>); 3] =
    [("amd64", None), ("arm", Some("v7")), ("arm64", Some("v8"))];

/// An index with an image of its own for each platform.
fn index(family: Family, platforms: &[(&str, Option<&str>)]) -> Index {
    let images = platforms.iter().map(|(architecture, variant)| {
        bare(family, vec![])
            .many_layers(1, Compression::Gzip)
            .platform(architecture, *variant)
            .set("Labels", json!({"for": architecture}))
            .build()
    });
    Index::new(family, images.collect())
}

/// A deps index whose images share one layer and differ in their patch.
fn push_deps(bench: &Workbench, platforms: &[(&str, Option<&str>)]) -> Vec<Image> {
    let images: Vec<Image> = platforms
        .iter()
        .map(|(architecture, variant)| {
            let patch = format!(r#"{{"env":{{"DEPS_FOR":"{architecture}"}}}}"#);
            bare(Family::Oci, vec![deps_layer(Compression::Gzip)])
                .platform(architecture, *variant)
                .set("Labels", json!({"ohoci.patch": patch}))
                .build()
        })
        .collect();
    Index::new(Family::Oci, images.clone()).push(&bench.peer, "deps", "1");
    images
}

fn children(bench: &Workbench, made: &Pulled) -> Vec<(Value, Pulled)> {
    made.manifest["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let child = bench.pull("app", entry["digest"].as_str().unwrap());
            assert_eq!(entry["mediaType"], json!(child.media_type));
            (entry.clone(), child)
        })
        .collect()
}

#[test]
fn an_index_of_either_family_becomes_an_index_of_that_family() {
    let registry = DebianRegistry::open();
    let bench = Workbench::new(&registry.host(), registry.peer(Access::Anonymous));
    push_deps(&bench, &PLATFORMS);
    for family in [Family::Docker, Family::Oci] {
        let base = index(family, &PLATFORMS);
        base.push(&bench.peer, "base", "1");
        let report = bench.composed(&[
            "--base",
            "@/base:1",
            "--deps",
            "@/deps:1",
            "--all-platforms",
            "--push",
            "@/app:1",
        ]);
        let made = bench.pull("app", "1");
        assert_eq!(made.media_type, family.index());
        assert_eq!(report["digest"], json!(made.digest));
        assert_eq!(
            report["platforms"],
            json!(["linux/amd64", "linux/arm/v7", "linux/arm64/v8"])
        );
        assert_eq!(report["base"]["digest"], json!(base.digest));
        let base_entries: Value = serde_json::from_slice(&base.manifest).unwrap();
        for (at, (entry, child)) in children(&bench, &made).into_iter().enumerate() {
            assert_eq!(entry["platform"], base_entries["manifests"][at]["platform"]);
            assert_eq!(child.media_type, family.manifest());
            let (architecture, variant) = PLATFORMS[at];
            assert_eq!(child.config["architecture"], json!(architecture));
            assert_eq!(child.config["variant"], json!(variant));
            let last = child.env().last().copied().unwrap().to_owned();
            assert_eq!(last, format!("DEPS_FOR={architecture}"));
            assert_eq!(child.runtime()["Labels"]["for"], json!(architecture));
            // The base is what the reference names: the index.
            let named = match family {
                Family::Docker => &child.runtime()["Labels"],
                Family::Oci => &child.manifest["annotations"],
            };
            assert_eq!(
                named["org.opencontainers.image.base.digest"],
                json!(base.digest)
            );
        }
        let raw = skopeo(&[
            "inspect",
            "--raw",
            "--tls-verify=false",
            &format!("docker://{}/app:1", bench.host),
        ]);
        assert_eq!(sha256(raw.as_bytes()), made.digest);
    }
}

#[test]
fn what_an_index_says_beside_its_images_is_kept_and_attestations_are_not() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    let mut base = index(Family::Oci, &PLATFORMS);
    let attestation = bare(Family::Oci, vec![])
        .many_layers(1, Compression::None)
        .build();
    attestation.push(&bench.peer, "base", &attestation.digest);
    let mut document: Value = serde_json::from_slice(&base.manifest).unwrap();
    document["annotations"] = json!({"k": "v"});
    document["x-vendor"] = json!({"b": 1, "a": 2});
    document["manifests"][1]["annotations"] = json!({"of": "arm"});
    document["manifests"][1]["platform"]["os.features"] = json!(["f"]);
    document["manifests"].as_array_mut().unwrap().push(json!({
        "mediaType": attestation.media_type,
        "digest": attestation.digest,
        "size": attestation.manifest.len(),
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": base.images[0].digest,
        },
        "platform": {"architecture": "unknown", "os": "unknown"},
    }));
    base.manifest = document.to_string().into_bytes();
    base.push(&bench.peer, "base", "1");
    let outcome = bench
        .compose(&[
            "--base",
            "@/base:1",
            "--env",
            "A=1",
            "--all-platforms",
            "--annotation",
            "own=yes",
            "--push",
            "@/app:1",
        ])
        .exits(0);
    assert!(
        outcome.stderr.contains("attestations"),
        "{}",
        outcome.stderr
    );
    let made = bench.pull("app", "1");
    let entries = children(&bench, &made);
    assert_eq!(entries.len(), 3);
    assert_eq!(entries[1].0["annotations"], json!({"of": "arm"}));
    assert_eq!(entries[1].0["platform"]["os.features"], json!(["f"]));
    assert_eq!(made.manifest["x-vendor"].to_string(), r#"{"b":1,"a":2}"#);
    let annotations = &made.manifest["annotations"];
    assert_eq!(
        [&annotations["k"], &annotations["own"]],
        [&json!("v"), &json!("yes")]
    );
    assert_eq!(
        annotations["org.opencontainers.image.base.digest"],
        json!(sha256(&base.manifest))
    );
}

#[test]
fn one_platform_gives_an_image_and_several_give_an_index() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    let base = index(Family::Oci, &PLATFORMS);
    base.push(&bench.peer, "base", "1");
    push_deps(&bench, &PLATFORMS);
    let compose = |platforms: &[&str]| {
        let mut arguments = vec![
            "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
        ];
        for platform in platforms {
            arguments.extend(["--platform", platform]);
        }
        bench.composed(&arguments);
        bench.pull("app", "1")
    };
    let one = compose(&["linux/arm/v7"]);
    assert_eq!(one.media_type, Family::Oci.manifest());
    assert_eq!(one.config["architecture"], json!("arm"));
    assert_eq!(
        one.manifest["annotations"]["org.opencontainers.image.base.digest"],
        json!(base.digest)
    );
    let two = compose(&["linux/arm64", "linux/amd64"]);
    assert_eq!(two.media_type, Family::Oci.index());
    let architectures: Vec<Value> = children(&bench, &two)
        .into_iter()
        .map(|(_, child)| child.config["architecture"].clone())
        .collect();
    assert_eq!(architectures, ["arm64", "amd64"]);
    assert_eq!(
        compose(&["linux/arm", "linux/arm/v7"]).media_type,
        Family::Oci.manifest()
    );
}

#[test]
fn without_a_word_this_machines_image_is_chosen() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    let here = busybox(Family::Oci, Compression::Gzip);
    let other = here.clone().platform("s390x", None);
    let base = Index::new(Family::Oci, vec![other.build(), here.build()]);
    base.push(&bench.peer, "base", "1");
    bench.composed(&["--base", "@/base:1", "--env", "A=1", "--push", "@/app:1"]);
    let made = bench.pull("app", "1");
    assert_eq!(made.media_type, Family::Oci.manifest());
    assert_ne!(made.config["architecture"], json!("s390x"));
    let only = Index::new(
        Family::Oci,
        vec![
            busybox(Family::Oci, Compression::Gzip)
                .platform("s390x", None)
                .build(),
        ],
    );
    only.push(&bench.peer, "only", "1");
    bench.composed(&["--base", "@/only:1", "--env", "A=1", "--push", "@/app:2"]);
    assert_eq!(
        bench.pull("app", "2").config["architecture"],
        json!("s390x")
    );
}

#[test]
fn a_platform_that_is_not_there_is_refused_with_a_list_of_those_that_are() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    index(Family::Oci, &PLATFORMS).push(&bench.peer, "base", "1");
    push_deps(&bench, &PLATFORMS[..2]);
    registry.take_requests();
    let there = "linux/amd64, linux/arm/v7";
    for (arguments, whose, lists) in [
        (
            &["--base", "@/base:1", "--platform", "linux/riscv64"][..],
            "/base:1",
            "linux/amd64, linux/arm/v7, linux/arm64/v8",
        ),
        (
            &[
                "--base",
                "@/base:1",
                "--deps",
                "@/deps:1",
                "--platform",
                "linux/arm64",
            ],
            "/deps:1",
            there,
        ),
        (
            &[
                "--base",
                "@/base:1",
                "--deps",
                "@/deps:1",
                "--all-platforms",
            ],
            "/deps:1",
            there,
        ),
    ] {
        let outcome = bench
            .compose(&[arguments, &["--push", "@/app:1"]].concat())
            .exits(1);
        let text = &outcome.stderr;
        assert!(text.contains(whose) && text.contains(lists), "{text}");
    }
    let puts = registry
        .take_requests()
        .into_iter()
        .filter(|(method, _)| method == "PUT");
    assert_eq!(puts.count(), 0);

    bare(Family::Oci, vec![])
        .many_layers(1, Compression::Gzip)
        .build()
        .push(&bench.peer, "single", "1");
    let outcome = bench
        .compose(&[
            "--base",
            "@/single:1",
            "--platform",
            "linux/arm64",
            "--push",
            "@/app:1",
        ])
        .exits(1);
    assert!(
        outcome.stderr.contains("linux/arm64") && outcome.stderr.contains("linux/amd64"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn deps_for_an_older_variant_serve_a_newer_base() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    index(Family::Oci, &[("arm", Some("v7"))]).push(&bench.peer, "base", "1");
    push_deps(
        &bench,
        &[("arm", Some("v5")), ("arm", Some("v6")), ("arm64", None)],
    );
    let arguments = [
        "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
    ];
    bench.composed(&arguments);
    index(Family::Oci, &[("arm", Some("v4"))]).push(&bench.peer, "base", "1");
    let outcome = bench.compose(&arguments).exits(1);
    assert!(
        outcome.stderr.contains("linux/arm/v5"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn scratch_makes_an_index_of_the_platforms_asked_for() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.ohoci.write("work/files/a", "a");
    bench.composed(&[
        "--base",
        "scratch",
        "--layer",
        "files:/files",
        "--platform",
        "linux/amd64",
        "--platform",
        "linux/arm/v7",
        "--push",
        "@/app:1",
        "--push",
        "oci:layout:1",
    ]);
    let made = bench.pull("app", "1");
    let platforms: Vec<Value> = children(&bench, &made)
        .into_iter()
        .map(|(entry, child)| {
            assert_eq!(child.layers().len(), 1);
            entry["platform"].clone()
        })
        .collect();
    assert_eq!(
        platforms,
        [
            json!({"architecture": "amd64", "os": "linux"}),
            json!({"architecture": "arm", "os": "linux", "variant": "v7"})
        ]
    );
    let layout = bench.ohoci.work().join("layout");
    let raw = skopeo(&["inspect", "--raw", &format!("oci:{}:1", layout.display())]);
    assert_eq!(sha256(raw.as_bytes()), made.digest);
    // And an index of deps on scratch is one of all that the deps have.
    push_deps(&bench, &PLATFORMS);
    bench.composed(&[
        "--base",
        "scratch",
        "--deps",
        "@/deps:1",
        "--all-platforms",
        "--push",
        "@/app:2",
    ]);
    assert_eq!(children(&bench, &bench.pull("app", "2")).len(), 3);
}

/// Each image has the layers for its platform and those for all, in the order given, also on another base.
#[test]
fn a_layer_can_be_for_one_platform() {
    let registry = DebianRegistry::open();
    let bench = Workbench::new(&registry.host(), registry.peer(Access::Anonymous));
    for name in ["amd64", "arm64", "all"] {
        bench.ohoci.write(format!("work/{name}/{name}"), name);
    }
    let layers = [
        "--layer",
        "linux/amd64=amd64:/opt",
        "--layer",
        "all:/opt",
        "--layer",
        "linux/arm64/v8=arm64:/opt",
    ];
    let both = ["--platform", "linux/amd64", "--platform", "linux/arm64"];
    let scratch = ["--base", "scratch", "--push", "@/app:1"];
    bench.composed(&[&scratch[..], &both, &layers].concat());
    let names = |tag: &str| {
        let made = bench.pull("app", tag);
        let images = children(&bench, &made).into_iter().map(|(entry, image)| {
            let history = image.config["history"].as_array().unwrap();
            let real = history.iter().filter(|one| one["empty_layer"] != true);
            let intent = image.config["config"]["Labels"]["ohoci.intent"].as_str();
            let intent: Value = serde_json::from_str(intent.unwrap()).unwrap();
            let local = intent["local"].as_array().unwrap().iter();
            let local: Vec<_> = local
                .map(|one| one["name"].as_str().unwrap().to_owned())
                .collect();
            assert_eq!(image.layers().len(), real.count());
            let architecture = entry["platform"]["architecture"].as_str().unwrap();
            (architecture.to_owned(), local)
        });
        images.collect::<Vec<_>>()
    };
    let wanted = [
        (
            "amd64".to_owned(),
            vec!["amd64".to_owned(), "all".to_owned()],
        ),
        (
            "arm64".to_owned(),
            vec!["all".to_owned(), "arm64".to_owned()],
        ),
    ];
    assert_eq!(names("1"), wanted);
    let platforms = [("amd64", None), ("arm64", None)];
    index(Family::Oci, &platforms).push(&bench.peer, "base", "1");
    let rebase = [
        "rebase", "@/app:1", "--base", "@/base:1", "--push", "@/app:2",
    ];
    bench.run(&rebase).exits(0);
    assert_eq!(names("2"), wanted);

    let one = [
        "--base",
        "scratch",
        "--push",
        "@/app:3",
        "--platform",
        "linux/amd64",
    ];
    let said = bench.compose(&[&one[..], &layers].concat()).exits(0).stderr;
    assert!(
        said.contains("layer arm64 is left out: it is for linux/arm64/v8"),
        "{said}"
    );
    assert_eq!(bench.pull("app", "3").layers().len(), 2);
}
