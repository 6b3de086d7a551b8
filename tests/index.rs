//! `ohoci index`: an index lists exactly the images that it was made of, which stay what they are.

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::clients::skopeo;
use crate::support::command::Ohoci;
use crate::support::images::{Image, Index, bare, busybox_layer};
use crate::support::ohoci_registry::OhociRegistry;

fn image(family: Family, architecture: &str, variant: Option<&str>) -> Image {
    bare(family, vec![busybox_layer(Compression::Gzip)])
        .platform(architecture, variant)
        .build()
}

/// Digest and platform of what an index lists.
fn listed(index: &Value) -> Vec<(String, String)> {
    let entries = index["manifests"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            let platform = &entry["platform"];
            let variant = platform["variant"].as_str();
            let name = platform["architecture"].as_str().unwrap().to_owned()
                + &variant.map(|name| format!("/{name}")).unwrap_or_default();
            (entry["digest"].as_str().unwrap().to_owned(), name)
        })
        .collect()
}

fn manifest(ohoci: &Ohoci, reference: &str) -> Value {
    let outcome = ohoci.run(["inspect", "--manifest", reference]).exits(0);
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[test]
fn images_for_one_platform_each_become_an_index_and_no_layer_moves() {
    let (ohoci, registry) = (Ohoci::new(), OhociRegistry::start());
    let host = registry.host();
    let images = [
        image(Family::Oci, "amd64", None),
        image(Family::Oci, "arm", Some("v7")),
    ];
    images[0].push(&registry.peer(), "amd", "1");
    images[1].push(&registry.peer(), "arm", "1");
    let (amd, arm) = (format!("{host}/amd:1"), format!("{host}/arm:1"));
    let push = format!("{host}/app:1");
    let words = ["index", &amd, &arm, "--push", &push, "--no-upload"];
    let first = ohoci.run(words).exits(0).stdout;
    assert_eq!(
        listed(&manifest(&ohoci, &push)),
        [
            (images[0].digest.clone(), "amd64".to_owned()),
            (images[1].digest.clone(), "arm/v7".to_owned()),
        ]
    );
    // Again, it is the same document.
    let again = ohoci.run(words).exits(0).stdout;
    assert_eq!(first, again);
    // Another tool finds the image of a platform in it.
    let of_arm = skopeo(&[
        "inspect",
        "--tls-verify=false",
        "--override-arch=arm",
        "--override-variant=v7",
        "--config",
        &format!("docker://{push}"),
    ]);
    let of_arm: Value = serde_json::from_str(&of_arm).unwrap();
    assert_eq!(of_arm["variant"], json!("v7"));
}

#[test]
fn of_an_index_only_the_platforms_that_are_wanted_are_listed() {
    let ohoci = Ohoci::new();
    let all = ["amd64", "arm64", "s390x"].map(|name| image(Family::Oci, name, None));
    Index::new(Family::Oci, all.to_vec()).write_layout(&ohoci.work().join("from"), "1");
    let report = ohoci
        .run([
            "index",
            "oci:from:1",
            "--platform=linux/s390x",
            "--platform=linux/amd64",
            "--push=oci:to:1",
            "--annotation=a=b",
            "--format=json",
        ])
        .exits(0)
        .json();
    assert_eq!(report["manifests"], json!(3));
    let index = manifest(&ohoci, "oci:to:1");
    assert_eq!(index["annotations"], json!({"a": "b"}));
    assert_eq!(
        listed(&index),
        [
            (all[0].digest.clone(), "amd64".to_owned()),
            (all[2].digest.clone(), "s390x".to_owned()),
        ]
    );
    let refused = ohoci
        .run([
            "index",
            "oci:from:1",
            "--platform=linux/riscv64",
            "--push=oci:none:1",
        ])
        .exits(1);
    assert!(
        refused.stderr.contains("has an image for linux/riscv64"),
        "{}",
        refused.stderr
    );
    assert!(!ohoci.work().join("none/index.json").exists());
}

#[test]
fn dockers_manifests_become_ocis_beside_those_and_both_digests_are_told() {
    let (ohoci, registry) = (Ohoci::new(), OhociRegistry::start());
    let host = registry.host();
    let docker = image(Family::Docker, "amd64", None);
    docker.push(&registry.peer(), "docker", "1");
    image(Family::Oci, "arm64", None).push(&registry.peer(), "oci", "1");
    let (docker_reference, oci) = (format!("{host}/docker:1"), format!("{host}/oci:1"));
    let push = format!("{host}/app:1");
    let told = ohoci
        .run(["index", &docker_reference, &oci, "--push", &push])
        .exits(0)
        .stderr;
    let index = manifest(&ohoci, &push);
    let (new, _) = &listed(&index)[0];
    assert_ne!(*new, docker.digest);
    assert!(
        told.contains(&docker.digest) && told.contains(new.as_str()),
        "{told}"
    );
    // Alone, it stays what it is.
    let only = format!("{host}/only:1");
    let told = ohoci
        .run(["index", &docker_reference, "--push", &only])
        .exits(0)
        .stderr;
    assert!(!told.contains("warning"), "{told}");
    let index = manifest(&ohoci, &only);
    assert_eq!(index["mediaType"], json!(Family::Docker.index()));
    assert_eq!(listed(&index)[0].0, docker.digest);
}

#[test]
fn what_nodes_could_not_choose_by_is_refused_and_nothing_is_tagged() {
    let ohoci = Ohoci::new();
    image(Family::Oci, "amd64", None).write_layout(&ohoci.work().join("a"), "1");
    bare(Family::Oci, vec![])
        .set("Labels", json!({"other": "1"}))
        .build()
        .write_layout(&ohoci.work().join("b"), "1");
    bare(Family::Oci, vec![])
        .set_top("architecture", json!(""))
        .set_top("os", json!(""))
        .build()
        .write_layout(&ohoci.work().join("nameless"), "1");
    for (other, why) in [
        ("oci:b:1", "two images are for linux/amd64"),
        ("oci:nameless:1", "names no platform"),
    ] {
        let refused = ohoci
            .run(["index", "oci:a:1", other, "--push=oci:to:1"])
            .exits(1);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
        assert!(!ohoci.work().join("to/index.json").exists());
    }
    // The same image twice is listed once.
    ohoci
        .run(["index", "oci:a:1", "oci:a:1", "--push=oci:to:1"])
        .exits(0);
    assert_eq!(listed(&manifest(&ohoci, "oci:to:1")).len(), 1);
    let refused = ohoci
        .run(["index", "oci:a:1", "--push=docker-archive:a.tar:a:1"])
        .exits(1);
    assert!(
        refused.stderr.contains("can hold no index"),
        "{}",
        refused.stderr
    );
}
