//! `ohoci copy`: from every kind of place to every other, and nothing moves that need not.

mod compression;
mod foreign_layers;
mod full_disk;
mod referrers;
mod tags;

use std::time::Duration;

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};
use testbed::Relay;

use crate::support::clients::{run, run_in_container, skopeo};
use crate::support::command::Ohoci;
use crate::support::debian_registry::DebianRegistry;
use crate::support::images::{Image, Index, Layer, Node, bare, busybox};
use crate::support::peer::{Access, Peer, sha256};

/// An image of some layers, each family and compression as asked for.
fn sample(family: Family, compression: Compression) -> Image {
    busybox(family, compression)
        .layer(Layer::pack(
            &[("etc/greeting", Node::File(b"hello".to_vec()))],
            compression,
        ))
        .build()
}

/// The document that `ohoci inspect` prints with this flag.
fn document(ohoci: &Ohoci, flag: &str, reference: &str) -> Vec<u8> {
    let outcome = ohoci.run(["inspect", flag, reference]).exits(0);
    outcome.stdout.into_bytes()
}

fn layers(manifest: &[u8]) -> Vec<String> {
    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers
        .map(|layer| layer["digest"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn every_kind_of_place_is_copied_to_every_other() {
    let registry = DebianRegistry::open();
    let ohoci = Ohoci::new();
    let work = ohoci.work().display().to_string();
    let host = registry.host();
    let image = sample(Family::Oci, Compression::Gzip);
    image.push(&registry.peer(Access::Anonymous), "source", "1");
    let registry_source = format!("{host}/source:1");
    let sources = [
        registry_source.clone(),
        format!("oci:{work}/source:1"),
        format!("oci-archive:{work}/source.tar:1"),
        format!("docker-archive:{work}/source-docker.tar:source:1"),
    ];
    for source in &sources[1..] {
        ohoci.run(["copy", &registry_source, source]).exits(0);
    }
    for (from, source) in sources.iter().enumerate() {
        let targets = [
            (
                format!("{host}/to{from}:1"),
                format!("docker://{host}/to{from}:1"),
            ),
            (
                format!("oci:{work}/to{from}:1"),
                format!("oci:{work}/to{from}:1"),
            ),
            (
                format!("oci-archive:{work}/to{from}.tar:1"),
                format!("oci-archive:{work}/to{from}.tar:1"),
            ),
            (
                format!("docker-archive:{work}/to{from}-docker.tar:to:1"),
                format!("docker-archive:{work}/to{from}-docker.tar:to:1"),
            ),
        ];
        for (target, as_skopeo_says) in &targets {
            let outcome = ohoci.run(["copy", source, target]).exits(0);
            let case = format!("{source} to {target}");
            let made = match target.strip_prefix("oci:") {
                Some(layout) => {
                    let layout = layout.trim_end_matches(":1");
                    format!("oci:{layout} is new: the directory was made\n")
                }
                None => String::new(),
            };
            assert_eq!(outcome.stderr, made, "{case}");
            assert_eq!(document(&ohoci, "--config", target), image.config, "{case}");
            let manifest = document(&ohoci, "--manifest", target);
            assert_eq!(layers(&manifest), layers(&image.manifest), "{case}");
            if !source.starts_with("docker-archive") && !target.starts_with("docker-archive") {
                assert_eq!(manifest, image.manifest, "{case}");
            }
            if target.starts_with(&host) {
                let printed = format!("{host}/to{from}@{}\n", sha256(&manifest));
                assert_eq!(outcome.stdout, printed);
            }
            let config = skopeo(&[
                "inspect",
                "--config",
                "--raw",
                "--tls-verify=false",
                as_skopeo_says,
            ]);
            assert_eq!(config.as_bytes(), image.config, "{case}: what skopeo reads");
        }
        for (_, target) in targets {
            let done = run_in_container(&target, &["cat", "/etc/greeting"]);
            assert_eq!(done.stdout, "hello", "{target}: {}", done.stderr);
        }
    }
}

#[test]
fn docker_images_stay_byte_for_byte_except_in_layouts_whose_readers_take_only_oci() {
    let registry = DebianRegistry::open();
    let ohoci = Ohoci::new();
    let host = registry.host();
    let peer = registry.peer(Access::Anonymous);
    let image = sample(Family::Docker, Compression::Gzip);
    image.push(&peer, "docker", "1");
    let index = Index::busybox(Family::Docker, Compression::Gzip);
    index.push(&peer, "list", "1");

    for (name, manifest) in [("docker", &image.manifest), ("list", &index.manifest)] {
        let to = format!("{host}/copied-{name}:1");
        ohoci
            .run(["copy", &format!("{host}/{name}:1"), &to])
            .exits(0);
        assert_eq!(peer.manifest(&format!("copied-{name}"), "1").1, *manifest);

        for layout in [format!("oci:{name}:1"), format!("oci-archive:{name}.tar:1")] {
            let outcome = ohoci
                .run([
                    "copy",
                    "--format",
                    "json",
                    &format!("{host}/{name}:1"),
                    &layout,
                ])
                .exits(0);
            let media_type = outcome.json()["mediaType"].as_str().unwrap().to_owned();
            assert!(
                media_type.starts_with("application/vnd.oci."),
                "{media_type}"
            );
            let (transport, path) = layout.split_once(':').unwrap();
            let path = ohoci.work().join(path);
            let raw = skopeo(&[
                "inspect",
                "--raw",
                &format!("{transport}:{}", path.display()),
            ]);
            assert_eq!(outcome.json()["digest"], json!(sha256(raw.as_bytes())));
            let copied: Value = serde_json::from_str(&raw).unwrap();
            let source: Value = serde_json::from_slice(manifest).unwrap();
            assert_eq!(copied["layers"].is_array(), source["layers"].is_array());
            if name == "docker" {
                assert_eq!(layers(raw.as_bytes()), layers(manifest));
                assert_eq!(copied["config"]["digest"], source["config"]["digest"]);
            }
        }
    }
}

/// An index of two images, a build attestation and an artifact.
fn rich_index() -> Index {
    let images = Index::busybox(Family::Oci, Compression::Gzip).images;
    let statement = Layer::from_tar(
        br#"{"_type":"https://in-toto.io/Statement/v0.1"}"#,
        Compression::None,
    );
    let attestation = bare(Family::Oci, vec![statement])
        .platform("unknown", None)
        .build();
    let sbom = Layer::from_tar(b"a bill of materials", Compression::None);
    let artifact = bare(Family::Oci, vec![sbom])
        .set_manifest("artifactType", json!("application/spdx+json"))
        .build();
    let entry = |image: &Image, extra: Value| {
        let mut entry = json!({
            "mediaType": image.media_type, "digest": image.digest, "size": image.manifest.len(),
        });
        for (key, value) in extra.as_object().unwrap() {
            entry[key] = value.clone();
        }
        entry
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": Family::Oci.index(),
        "manifests": [
            entry(&images[0], json!({"platform": {"os": "linux", "architecture": "amd64"}})),
            entry(&images[1], json!({"platform": {"os": "linux", "architecture": "arm", "variant": "v7"}})),
            entry(&attestation, json!({
                "platform": {"os": "unknown", "architecture": "unknown"},
                "annotations": {
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": images[0].digest,
                },
            })),
            entry(&artifact, json!({"artifactType": "application/spdx+json"})),
        ],
    });
    let manifest = manifest.to_string().into_bytes();
    Index {
        digest: sha256(&manifest),
        manifest,
        media_type: Family::Oci.index(),
        images: [images, vec![attestation, artifact]].concat(),
    }
}

#[test]
fn an_index_is_copied_with_its_attestations_and_artifacts() {
    let [from, to] = [DebianRegistry::open(), DebianRegistry::open()];
    let ohoci = Ohoci::new();
    let index = rich_index();
    index.push(&from.peer(Access::Anonymous), "index", "1");
    let places = [
        format!("{}/index:1", from.host()),
        format!("{}/index:1", to.host()),
        "oci:layout:1".to_owned(),
        "oci-archive:archive.tar:1".to_owned(),
        format!("{}/back:1", to.host()),
    ];
    for pair in places.windows(2) {
        let outcome = ohoci
            .run(["copy", "--format", "json", &pair[0], &pair[1]])
            .exits(0)
            .json();
        assert_eq!(outcome["digest"], json!(index.digest), "{pair:?}");
        assert_eq!(outcome["manifests"], json!(5), "{pair:?}");
    }
    let peer = to.peer(Access::Anonymous);
    for image in &index.images {
        assert_eq!(peer.manifest("back", &image.digest).1, image.manifest);
        for layer in &image.layers {
            assert_eq!(peer.blob("back", &layer.digest).unwrap(), layer.bytes);
        }
    }
    // skopeo must find everything that the index lists, too.
    let layout = ohoci.work().join("layout");
    let all = ohoci.work().join("all");
    skopeo(&[
        "copy",
        "--quiet",
        "--all",
        "--src-tls-verify=false",
        &format!("docker://{}/index:1", to.host()),
        &format!("dir:{}", all.display()),
    ]);
    skopeo(&["inspect", "--raw", &format!("oci:{}:1", layout.display())]);
}

#[test]
fn what_skopeo_and_umoci_wrote_is_copied() {
    let registry = DebianRegistry::open();
    let ohoci = Ohoci::new();
    let host = registry.host();
    let work = ohoci.work();
    let image = sample(Family::Oci, Compression::Gzip);
    image.push(&registry.peer(Access::Anonymous), "source", "1");
    let from = format!("docker://{host}/source:1");
    for (transport, path, name) in [
        ("oci", "skopeo", "1"),
        ("oci-archive", "skopeo.tar", "1"),
        ("docker-archive", "skopeo-docker.tar", "demo:1"),
    ] {
        let place = format!("{transport}:{}:{name}", work.join(path).display());
        skopeo(&["copy", "--quiet", "--src-tls-verify=false", &from, &place]);
        let to = format!("{host}/from-{transport}:1");
        ohoci.run(["copy", &place, &to]).exits(0);
        assert_eq!(document(&ohoci, "--config", &to), image.config, "{place}");
        let done = run_in_container(&format!("docker://{to}"), &["cat", "/etc/greeting"]);
        assert_eq!(done.stdout, "hello", "{place}: {}", done.stderr);
    }

    let layout = work.join("umoci").display().to_string();
    let tar = ohoci.write("work/layer.tar", tar_with("etc/made-by", b"umoci"));
    let umoci = |arguments: &[&str]| {
        let done = run("umoci", arguments);
        assert_eq!(done.code, Some(0), "umoci {arguments:?}: {}", done.stderr);
    };
    let tagged = format!("{layout}:1");
    umoci(&["init", "--layout", &layout]);
    umoci(&["new", "--image", &tagged]);
    umoci(&[
        "raw",
        "add-layer",
        "--image",
        &tagged,
        tar.to_str().unwrap(),
    ]);
    umoci(&["config", "--image", &tagged, "--config.env", "A=b"]);
    let outcome = ohoci
        .run([
            "copy",
            "oci:umoci:1",
            &format!("{host}/from-umoci:1"),
            "oci:back:1",
        ])
        .exits(0);
    assert!(
        outcome
            .stdout
            .starts_with(&format!("{host}/from-umoci@sha256:"))
    );
    let config = skopeo(&[
        "inspect",
        "--config",
        "--tls-verify=false",
        &format!("docker://{host}/from-umoci:1"),
    ]);
    let config: Value = serde_json::from_str(&config).unwrap();
    assert!(
        config["config"]["Env"]
            .as_array()
            .unwrap()
            .contains(&json!("A=b"))
    );
    umoci(&[
        "stat",
        "--image",
        &format!("{}:1", work.join("back").display()),
    ]);
}

fn tar_with(path: &str, content: &[u8]) -> Vec<u8> {
    Layer::pack(&[(path, Node::File(content.to_vec()))], Compression::None).bytes
}

#[test]
fn within_a_registry_blobs_are_mounted_and_no_byte_of_them_moves() {
    let registry = DebianRegistry::open();
    let ohoci = Ohoci::new();
    let image = sample(Family::Oci, Compression::Gzip);
    image.push(&registry.peer(Access::Anonymous), "here/base", "1");
    let relay = Relay::start(registry.address(), Duration::ZERO).unwrap();
    let host = relay.address();
    let report = ohoci
        .run([
            "copy",
            "--no-upload",
            "--format",
            "json",
            &format!("{host}/here/base:1"),
            &format!("{host}/there/copy:1"),
        ])
        .exits(0)
        .json();
    let traffic = relay.take_traffic();
    let mounts = traffic
        .exchanges
        .iter()
        .filter(|exchange| exchange.method == "POST" && exchange.status == 201)
        .count();
    assert_eq!(mounts, image.layers.len() + 1, "{:?}", traffic.lines());
    assert_eq!(traffic.sent(), image.manifest.len() as u64);
    assert_eq!(traffic.count("HEAD"), 0, "{:?}", traffic.lines());
    let blobs = report["blobs"].as_array().unwrap();
    assert!(
        blobs.iter().all(|blob| blob["arrival"] == "mounted"),
        "{report}"
    );
    // Base and deps are compose's words.
    assert!(
        blobs.iter().all(|blob| blob["origin"].is_null()),
        "{report}"
    );
    assert_eq!(report["bytesUp"], json!(image.manifest.len()));
    assert_eq!(
        report["requests"],
        json!({"GET": 1, "POST": mounts, "PUT": 1})
    );

    // Of what the first copy proved, one blob is asked for.
    ohoci
        .run([
            "copy",
            &format!("{host}/here/base:1"),
            &format!("{host}/there/copy:2"),
        ])
        .exits(0);
    let lines = relay.take_traffic().lines();
    assert_eq!(
        lines,
        [
            "HEAD /v2/here/base/manifests/1",
            &format!(
                "HEAD /v2/there/copy/blobs/{}",
                image.layers.last().unwrap().digest
            ),
            "PUT /v2/there/copy/manifests/2"
        ]
    );
}

#[test]
fn no_upload_fails_where_bytes_would_have_to_move_and_leaves_no_tag() {
    let [from, to] = [DebianRegistry::open(), DebianRegistry::open()];
    let ohoci = Ohoci::new();
    sample(Family::Oci, Compression::Gzip).push(&from.peer(Access::Anonymous), "a", "1");
    let source = format!("{}/a:1", from.host());
    for target in [
        format!("{}/a:1", to.host()),
        "oci:layout:1".to_owned(),
        "oci-archive:archive.tar:1".to_owned(),
        "docker-archive:docker.tar:a:1".to_owned(),
    ] {
        let outcome = ohoci
            .run(["copy", "--no-upload", &source, &target])
            .exits(1);
        assert_eq!(outcome.stdout, "");
        assert!(
            outcome.stderr.starts_with("error: cannot put "),
            "{}",
            outcome.stderr
        );
    }
    assert_eq!(
        status(&to.peer(Access::Anonymous), "/v2/a/manifests/1"),
        404
    );
    let left: Vec<_> = fs_err::read_dir(ohoci.work()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

fn status(peer: &Peer, path: &str) -> u16 {
    let answer = peer.send(reqwest::Method::GET, path, "", vec![]).unwrap();
    answer.status.as_u16()
}

#[test]
fn a_platform_chooses_one_image_and_a_missing_one_is_told_apart() {
    let registry = DebianRegistry::open();
    let ohoci = Ohoci::new();
    let host = registry.host();
    let index = rich_index();
    index.push(&registry.peer(Access::Anonymous), "index", "1");
    let source = format!("{host}/index:1");
    let copy = |platform: &str, source: &str| {
        ohoci.run([
            "copy",
            "--platform",
            platform,
            source,
            &format!("{host}/one:1"),
        ])
    };
    let outcome = copy("linux/arm/v7", &source).exits(0);
    let arm = &index.images[1];
    assert_eq!(outcome.stdout, format!("{host}/one@{}\n", arm.digest));

    let outcome = copy("linux/s390x", &source).exits(1);
    assert!(outcome.stderr.contains("linux/s390x"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("linux/amd64"), "{}", outcome.stderr);
    assert!(
        !outcome.stderr.contains("unknown/unknown"),
        "{}",
        outcome.stderr
    );

    // A reference to one image is for one platform, too.
    let alone = format!("{host}/one:1");
    copy("linux/arm/v7", &alone).exits(0);
    for command in ["copy", "inspect"] {
        let mut arguments = vec![command, "--platform", "linux/amd64", &alone];
        if command == "copy" {
            arguments.push("oci:wrong:1");
        }
        let outcome = ohoci.run(arguments).exits(1);
        assert_eq!(outcome.stdout, "");
        assert!(
            outcome
                .stderr
                .contains("there is no image for linux/amd64; it is one image, for linux/arm/v7"),
            "{}",
            outcome.stderr
        );
    }
    assert!(!ohoci.work().join("wrong").exists());
}

#[test]
fn a_docker_archive_takes_the_image_for_this_machine_out_of_an_index() {
    let registry = DebianRegistry::open();
    let ohoci = Ohoci::new();
    let index = Index::busybox(Family::Oci, Compression::Zstd);
    index.push(&registry.peer(Access::Anonymous), "index", "1");
    let source = format!("{}/index:1", registry.host());
    ohoci
        .run(["copy", &source, "docker-archive:image.tar:demo:1"])
        .exits(0);
    let archive = format!(
        "docker-archive:{}",
        ohoci.work().join("image.tar").display()
    );
    let done = run_in_container(&archive, &["ls", "/"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(
        document(&ohoci, "--config", "docker-archive:image.tar"),
        index.images[0].config
    );
}

#[test]
fn several_targets_all_get_the_image() {
    let [from, to] = [DebianRegistry::open(), DebianRegistry::open()];
    let ohoci = Ohoci::new();
    let image = sample(Family::Oci, Compression::Zstd);
    image.push(&from.peer(Access::Anonymous), "a", "1");
    let host = to.host();
    let outcome = ohoci
        .run([
            "copy",
            "--stats",
            &format!("{}/a:1", from.host()),
            &format!("{host}/b:1"),
            &format!("{host}/b:latest"),
            &format!("{host}/c"),
            "oci:layout:x",
            "oci:layout:y",
        ])
        .exits(0);
    let digest = &image.digest;
    assert_eq!(
        outcome.stdout,
        format!("{host}/b@{digest}\n{host}/c@{digest}\noci:layout:x\n")
    );
    for line in ["requests  ", "bytes     ", "time      "] {
        assert!(outcome.stderr.contains(line), "{}", outcome.stderr);
    }
    let peer = to.peer(Access::Anonymous);
    for (repository, tag) in [("b", "1"), ("b", "latest"), ("c", "latest")] {
        assert_eq!(peer.manifest(repository, tag).1, image.manifest);
    }
    for tag in ["x", "y"] {
        let place = format!("oci:{}:{tag}", ohoci.work().join("layout").display());
        let raw = skopeo(&["inspect", "--raw", &place]);
        assert_eq!(raw.as_bytes(), image.manifest);
    }
}

#[test]
fn giving_an_image_another_tag_is_reported_as_what_it_is() {
    let registry = DebianRegistry::open();
    let ohoci = Ohoci::new();
    let host = registry.host();
    let image = sample(Family::Oci, Compression::Gzip);
    image.push(&registry.peer(Access::Anonymous), "a", "1");
    let report = ohoci
        .run([
            "copy",
            "--format",
            "json",
            &format!("{host}/a:1"),
            &format!("{host}/a:2"),
        ])
        .exits(0)
        .json();
    assert_eq!(report["status"], "pushed");
    assert_eq!(
        report["reference"],
        json!(format!("{host}/a@{}", image.digest))
    );
    assert_eq!(report["requests"], json!({"GET": 1, "PUT": 1}));
    assert!(report["elapsedMs"].is_u64() && report["bytesDown"].is_u64());
    let peer = registry.peer(Access::Anonymous);
    assert_eq!(peer.manifest("a", "2").1, image.manifest);
}
