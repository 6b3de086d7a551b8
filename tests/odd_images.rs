//! Images as they are found in registries: without a platform, index in index, with an artifact
//! type, with layers that must not be redistributed, with layers that are not what they say.

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::command::{Ohoci, Outcome};
use crate::support::images::{Image, Index, Layer, Node, bare, busybox};
use crate::support::peer::sha256;
use crate::support::trusting_registry::TrustingRegistry;
use crate::support::workbench::Workbench;

fn layout(ohoci: &Ohoci, name: &str, image: &Image) -> String {
    let directory = ohoci.work().join(name);
    image.write_layout(&directory, "1");
    format!("oci:{}:1", directory.display())
}

fn compose(ohoci: &Ohoci, base: &str, more: &[&str]) -> Outcome {
    let given = [
        "compose",
        "--base",
        base,
        "--env",
        "A=1",
        "--push",
        "oci:out:1",
    ];
    ohoci.run([&given[..], more].concat())
}

#[test]
fn a_platform_that_no_config_names_is_the_indexs_or_the_one_asked_for_or_this_machines() {
    let ohoci = Ohoci::new();
    let mute = busybox(Family::Oci, Compression::Gzip)
        .set_top("os", json!(""))
        .set_top("architecture", json!(""))
        .build();
    let base = layout(&ohoci, "mute", &mute);
    ohoci.run(["inspect", &base]).exits(0);
    let config = |outcome: &Outcome| -> Value {
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        ohoci
            .run(["inspect", "--config", "oci:out:1"])
            .exits(0)
            .json()
    };
    let asked = compose(&ohoci, &base, &["--platform", "linux/arm64"]);
    assert_eq!(config(&asked)["architecture"], json!("arm64"));
    assert!(
        !asked.stderr.contains("names no platform"),
        "{}",
        asked.stderr
    );
    let guessed = compose(&ohoci, &base, &[]);
    assert_eq!(config(&guessed)["os"], json!("linux"));
    assert!(
        guessed.stderr.contains("names no platform"),
        "{}",
        guessed.stderr
    );

    let mut index = Index::new(Family::Oci, vec![mute]);
    let mut document: Value = serde_json::from_slice(&index.manifest).unwrap();
    document["manifests"][0]["platform"] = json!({"os": "linux", "architecture": "riscv64"});
    index.manifest = document.to_string().into_bytes();
    let directory = ohoci.work().join("index");
    index.write_layout(&directory, "1");
    let told = compose(&ohoci, &format!("oci:{}:1", directory.display()), &[]);
    assert_eq!(config(&told)["architecture"], json!("riscv64"));
}

#[test]
fn an_index_that_lists_indexes_is_an_index_of_their_images() {
    let ohoci = Ohoci::new();
    let outer = |inner: &Index| {
        let entry = json!({
            "mediaType": inner.media_type, "digest": inner.digest, "size": inner.manifest.len(),
            "platform": {"os": "linux", "architecture": "amd64"},
        });
        json!({"schemaVersion": 2, "mediaType": inner.media_type, "manifests": [entry]})
            .to_string()
            .into_bytes()
    };
    let mut index = Index::new(
        Family::Oci,
        vec![
            busybox(Family::Oci, Compression::Gzip)
                .platform("amd64", None)
                .build(),
        ],
    );
    let directory = ohoci.work().join("nested");
    for _ in 0..2 {
        index.write_layout(&directory, "inner");
        let manifest = outer(&index);
        index = Index {
            digest: sha256(&manifest),
            manifest,
            ..index
        };
    }
    index.write_layout(&directory, "1");
    let base = format!("oci:{}:1", directory.display());
    for more in [
        &[][..],
        &["--platform", "linux/amd64"],
        &["--all-platforms"],
    ] {
        compose(&ohoci, &base, more).exits(0);
    }
    ohoci
        .run(["copy", "--platform", "linux/amd64", &base, "oci:copied:1"])
        .exits(0);
    ohoci
        .run(["copy", &base, "docker-archive:copied.tar:x:1"])
        .exits(0);
    let seen = ohoci
        .run(["inspect", "--format", "json", &base])
        .exits(0)
        .json();
    assert_eq!(seen["images"].as_array().unwrap().len(), 1);
}

#[test]
fn another_image_that_runs_on_the_platform_is_taken_and_said() {
    let ohoci = Ohoci::new();
    let image = |architecture: &str, variant| {
        bare(Family::Oci, vec![])
            .many_layers(1, Compression::Gzip)
            .platform(architecture, variant)
            .build()
    };
    let index = Index::new(
        Family::Oci,
        vec![
            image("arm", Some("v6")),
            image("arm", Some("v5")),
            image("386", None),
        ],
    );
    let directory = ohoci.work().join("index");
    index.write_layout(&directory, "1");
    let base = format!("oci:{}:1", directory.display());
    for (platform, taken) in [
        ("linux/arm/v7", Some("linux/arm/v6")),
        ("linux/arm64", Some("linux/arm/v6")),
        ("linux/amd64", Some("linux/386")),
        ("linux/386", None),
    ] {
        let outcome = compose(&ohoci, &base, &["--platform", platform]).exits(0);
        match taken {
            Some(taken) => assert!(outcome.stderr.contains(taken), "{}", outcome.stderr),
            None => assert!(!outcome.stderr.contains("is taken"), "{}", outcome.stderr),
        }
    }
    compose(&ohoci, &base, &["--platform", "linux/s390x"]).exits(1);
}

#[test]
fn an_image_with_an_artifact_type_is_an_image() {
    let ohoci = Ohoci::new();
    let image = busybox(Family::Oci, Compression::Gzip)
        .set_manifest("artifactType", json!("application/vnd.example.image"))
        .build();
    let base = layout(&ohoci, "typed", &image);
    let outcome = compose(&ohoci, &base, &[]).exits(0);
    assert!(
        outcome.stderr.contains("application/vnd.example.image"),
        "{}",
        outcome.stderr
    );
    let mut index = Index::new(Family::Oci, vec![image]);
    let mut document: Value = serde_json::from_slice(&index.manifest).unwrap();
    document["manifests"][0]["artifactType"] = json!("application/vnd.example.image");
    index.manifest = document.to_string().into_bytes();
    let directory = ohoci.work().join("index");
    index.write_layout(&directory, "1");
    compose(&ohoci, &format!("oci:{}:1", directory.display()), &[]).exits(0);
}

#[test]
fn a_layer_that_must_not_be_redistributed_stays_where_it_is() {
    let registry = TrustingRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    let image = bare(Family::Docker, vec![])
        .many_layers(2, Compression::Gzip)
        .build();
    let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["layers"][0]["mediaType"] =
        json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    manifest["layers"][0]["urls"] = json!(["https://elsewhere.example/layer"]);
    let bytes = manifest.to_string().into_bytes();
    bench.peer.put_blob("base", &image.config);
    bench.peer.put_blob("base", &image.layers[1].bytes);
    bench
        .peer
        .put_manifest("base", "1", image.media_type, &bytes);
    let outcome = bench
        .compose(&["--base", "@/base:1", "--env", "A=1", "--push", "@/out:1"])
        .exits(0);
    assert!(
        outcome.stderr.contains("elsewhere.example"),
        "{}",
        outcome.stderr
    );
    let made = bench.pull("out", "1");
    assert_eq!(made.manifest["layers"][0], manifest["layers"][0]);
    assert!(bench.peer.blob("out", &image.layers[1].digest).is_some());
    assert!(bench.peer.blob("out", &image.layers[0].digest).is_none());
}

#[test]
fn a_layer_that_is_not_what_its_diff_id_says_is_refused_wherever_it_is_unpacked() {
    for compression in [Compression::Gzip, Compression::Zstd, Compression::None] {
        let ohoci = Ohoci::new();
        let mut wrong = Layer::pack(&[("opt/a", Node::File(b"a".to_vec()))], compression);
        wrong.diff_id = sha256(b"another");
        let image = busybox(Family::Oci, Compression::Gzip).layer(wrong).build();
        let base = layout(&ohoci, "wrong", &image);
        for arguments in [
            vec!["run", &base, "/bin/busybox", "true"],
            vec!["check", &base],
            vec!["copy", &base, "docker-archive:out.tar:x:1"],
            vec!["copy", &base, "oci-archive:out.tar:1"],
            vec![
                "compose",
                "--base",
                "scratch",
                "--deps",
                &base,
                "--deps-path",
                "/opt",
                "--push",
                "oci:out:1",
            ],
        ] {
            let outcome = ohoci.run(&arguments);
            assert_ne!(outcome.code, Some(0), "{arguments:?}");
            assert!(outcome.stderr.contains("diff ID"), "{}", outcome.stderr);
        }
        assert!(!ohoci.work().join("out.tar").exists());
        // Nothing is unpacked: the bytes stay what they are.
        ohoci.run(["copy", &base, "oci:copied:1"]).exits(0);
    }
}

#[test]
fn a_cache_of_buildkit_is_copied_with_the_layers_that_it_lists() {
    let registry = TrustingRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    let layers = bare(Family::Oci, vec![])
        .many_layers(2, Compression::Gzip)
        .build()
        .layers;
    let config = br#"{"layers":[],"records":[]}"#;
    let kind = "application/vnd.oci.image.index.v1+json";
    let mut entries: Vec<Value> = layers
        .iter()
        .map(|layer| {
            bench.peer.put_blob("cache", &layer.bytes);
            json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": layer.digest, "size": layer.bytes.len(),
            })
        })
        .collect();
    bench.peer.put_blob("cache", config);
    entries.push(json!({
        "mediaType": "application/vnd.buildkit.cacheconfig.v0",
        "digest": sha256(config), "size": config.len(),
    }));
    let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).to_string();
    bench
        .peer
        .put_manifest("cache", "1", kind, index.as_bytes());
    for to in ["@/copied:1", "oci:copied:1", "oci-archive:copied.tar:1"] {
        bench.run(&["copy", "@/cache:1", to]).exits(0);
    }
    for blob in layers
        .iter()
        .map(|layer| layer.digest.clone())
        .chain([sha256(config)])
    {
        assert!(bench.peer.blob("copied", &blob).is_some(), "{blob}");
    }
    bench
        .run(&["copy", "oci-archive:copied.tar:1", "@/back:1"])
        .exits(0);
}

#[test]
fn what_cosign_finds_by_a_tag_is_copied_with_the_referrers() {
    let from = TrustingRegistry::start();
    let bench = Workbench::new(&from.host(), from.peer());
    let to = TrustingRegistry::start();
    let image = bare(Family::Oci, vec![])
        .many_layers(1, Compression::Gzip)
        .build();
    image.push(&bench.peer, "app", "1");
    let about = |digest: &str, suffix: &str| digest.replace(':', "-") + suffix;
    let signature = |text: &str| {
        bare(Family::Oci, vec![])
            .layer(Layer::pack(
                &[("s", Node::File(text.into()))],
                Compression::None,
            ))
            .build()
    };
    let (one, two, other) = (signature("1"), signature("2"), signature("3"));
    one.push(&bench.peer, "app", &about(&image.digest, ".sig"));
    // A signature of the signature, and one of something else.
    two.push(&bench.peer, "app", &about(&one.digest, ".att"));
    other.push(&bench.peer, "app", &about(&other.digest, ".sig"));
    let target = format!("{}/app:1", to.host());
    bench
        .run(&["copy", "--referrers", "@/app:1", &target])
        .exits(0);
    let peer = to.peer();
    let there = |tag: &str| {
        let path = format!("/v2/app/manifests/{tag}");
        let answer = peer
            .send(axum::http::Method::HEAD, &path, "", Vec::new())
            .unwrap();
        answer.status == 200
    };
    assert!(there(&about(&image.digest, ".sig")) && there(&about(&one.digest, ".att")));
    assert!(!there(&about(&other.digest, ".sig")));
    assert!(peer.blob("app", &one.layers[0].digest).is_some());
}

#[test]
fn more_layers_than_dockers_store_takes_are_said_and_more_than_it_mounts_refused() {
    let ohoci = Ohoci::new();
    let image = |count| {
        bare(Family::Oci, vec![])
            .many_layers(count, Compression::Gzip)
            .build()
    };
    ohoci.write("work/files/a", "a");
    for (count, code, says) in [
        (124, 0, ""),
        (125, 0, "at most 125"),
        (127, 1, "--max-layers"),
    ] {
        let base = layout(&ohoci, &format!("base{count}"), &image(count));
        let outcome = compose(&ohoci, &base, &["--layer", "files"]).exits(code);
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
        assert_eq!(
            outcome.stderr.contains("layers"),
            !says.is_empty(),
            "{}",
            outcome.stderr
        );
        if code == 1 {
            compose(&ohoci, &base, &["--layer", "files", "--max-layers", "200"]).exits(0);
        }
    }
}

#[test]
fn a_layer_does_not_take_the_place_of_the_bases_links_unseen() {
    let ohoci = Ohoci::new();
    let busybox = fs_err::read("/bin/busybox").unwrap();
    let merged = bare(
        Family::Oci,
        vec![Layer::pack(
            &[
                ("usr", Node::Directory),
                ("usr/bin", Node::Directory),
                ("usr/bin/busybox", Node::Program(busybox)),
                ("bin", Node::Link("usr/bin")),
                ("usr/bin/sh", Node::Link("busybox")),
            ],
            Compression::Gzip,
        )],
    )
    .build();
    let base = layout(&ohoci, "merged", &merged);
    ohoci.write("work/files/bin/tool", "x");
    let bare_tar = Layer::pack(
        &[("bin/tool", Node::Program(b"x".to_vec()))],
        Compression::None,
    );
    ohoci.write("work/files.tar", &bare_tar.bytes);
    for layer in ["files", "files.tar"] {
        let outcome = compose(&ohoci, &base, &["--layer", layer]).exits(0);
        assert!(
            outcome
                .stderr
                .contains("what it has in /bin is put into /usr/bin"),
            "{}",
            outcome.stderr
        );
        let script = "test -h /bin && test -f /usr/bin/tool";
        ohoci
            .run(["run", "oci:out:1", "/bin/sh", "-c", script])
            .exits(0);
    }
    compose(&ohoci, &base, &["--layer", "files:/usr"]).exits(0);
    // What such an image is with an overlay runtime, it is with `run` and `check`, too.
    let broken = bare(Family::Oci, vec![])
        .layer(merged.layers[0].clone())
        .layer(Layer::pack(
            &[("bin/tool", Node::Program(b"x".to_vec()))],
            Compression::Gzip,
        ))
        .build();
    let broken = layout(&ohoci, "broken", &broken);
    let outcome = ohoci.run(["run", &broken, "/bin/sh", "-c", "true"]);
    assert_ne!(outcome.code, Some(0), "{}", outcome.stderr);
    let outcome = ohoci.run(["check", &broken]);
    assert!(outcome.stdout.contains("no /bin/sh"), "{}", outcome.stdout);
}

#[test]
fn where_nothing_was_read_of_the_base_it_is_said_which_links_may_be_lost() {
    let registry = TrustingRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_layers("base", 1);
    bench.ohoci.write("work/files/bin/tool", "x");
    let arguments = [
        "--base", "@/base:1", "--layer", "files", "--push", "@/out:1",
    ];
    let outcome = bench.compose(&arguments).exits(0);
    assert!(outcome.stderr.contains("/bin"), "{}", outcome.stderr);
    bench.ohoci.write("work/files/opt/tool", "x");
    let arguments = [
        "--base",
        "@/base:1",
        "--layer",
        "files/opt:/opt",
        "--push",
        "@/out:1",
    ];
    assert_eq!(bench.compose(&arguments).exits(0).stderr, "");
}
