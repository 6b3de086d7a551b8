//! `ohoci copy --referrers`: what is about an image goes along, wherever it goes.

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use super::{document, sample};
use crate::support::command::Ohoci;
use crate::support::debian_registry::DebianRegistry;
use crate::support::images::{Image, Index, Layer, bare};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::{Access, Peer};

/// A document about a manifest.
fn about(kind: &str, digest: &str, subject: &[u8]) -> Image {
    let layer = Layer::from_tar(format!("{kind} of {digest}").as_bytes(), Compression::None);
    let subject = json!({
        "mediaType": Family::Oci.manifest(), "digest": digest, "size": subject.len(),
    });
    bare(Family::Oci, vec![layer])
        .set_manifest("artifactType", json!(kind))
        .set_manifest("subject", subject)
        .build()
}

/// An index, a bill of materials of its second image, and a signature of that.
fn signed() -> (Index, Image, Image) {
    let index = Index::busybox(Family::Oci, Compression::Gzip);
    let image = &index.images[1];
    let bill = about("application/spdx+json", &image.digest, &image.manifest);
    let signature = about("application/vnd.signature", &bill.digest, &bill.manifest);
    (index, bill, signature)
}

fn push(peer: &Peer, repository: &str) -> (Index, Image, Image) {
    let (index, bill, signature) = signed();
    index.push(peer, repository, "1");
    bill.push(peer, repository, &bill.digest);
    signature.push(peer, repository, &signature.digest);
    (index, bill, signature)
}

fn digests(list: &Value) -> Vec<&str> {
    let entries = list["manifests"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["digest"].as_str().unwrap())
        .collect()
}

#[test]
fn what_is_about_an_image_and_about_that_goes_along() {
    let [from, to] = [OhociRegistry::start(), OhociRegistry::start()];
    let without_list = DebianRegistry::open();
    let ohoci = Ohoci::new();
    let (index, bill, signature) = push(&from.peer(), "a");
    // A registry, one without a list of its own, a layout, and a registry again.
    let places = [
        format!("{}/a:1", from.host()),
        format!("{}/a:1", without_list.host()),
        "oci:layout:1".to_owned(),
        format!("{}/a:1", to.host()),
    ];
    for pair in places.windows(2) {
        let arguments = ["copy", "--referrers", "--format", "json"];
        let outcome = ohoci.run([&arguments[..], &[&pair[0], &pair[1]]].concat());
        let report: Value = serde_json::from_str(&outcome.exits(0).stdout).unwrap();
        assert_eq!(report["referrers"], 2, "{pair:?}");
        assert_eq!(
            document(&ohoci, "--manifest", &pair[1]),
            index.manifest,
            "{pair:?}"
        );
    }
    for (subject, referrer) in [(&index.images[1].digest, &bill), (&bill.digest, &signature)] {
        let path = format!("/v2/a/referrers/{subject}");
        let answer = to
            .peer()
            .send(reqwest::Method::GET, &path, "", Vec::new())
            .unwrap();
        let list: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(digests(&list), [referrer.digest.as_str()]);
        let (_, manifest) = to.peer().manifest("a", &referrer.digest);
        assert_eq!(manifest, referrer.manifest);
        for layer in &referrer.layers {
            assert_eq!(
                to.peer().blob("a", &layer.digest).as_deref(),
                Some(&layer.bytes[..])
            );
        }
    }
}

#[test]
fn without_being_asked_for_it_nothing_goes_along() {
    let registry = OhociRegistry::start();
    let ohoci = Ohoci::new();
    let (_, bill, _) = push(&registry.peer(), "a");
    ohoci
        .run(["copy", &format!("{}/a:1", registry.host()), "oci:layout:1"])
        .exits(0);
    let hash = bill.digest.strip_prefix("sha256:").unwrap();
    let blob = ohoci.work().join("layout/blobs/sha256").join(hash);
    assert!(!blob.exists());
}

#[test]
fn what_a_list_claims_and_the_manifest_does_not_say_is_refused() {
    let registry = DebianRegistry::open();
    let peer = registry.peer(Access::Anonymous);
    let ohoci = Ohoci::new();
    let image = sample(Family::Oci, Compression::Gzip);
    image.push(&peer, "a", "1");
    let stranger = about("application/vnd.signature", &signed().1.digest, b"");
    stranger.push(&peer, "a", &stranger.digest);
    let list = json!({
        "schemaVersion": 2, "mediaType": Family::Oci.index(), "manifests": [{
            "mediaType": stranger.media_type, "digest": stranger.digest,
            "size": stranger.manifest.len(),
        }],
    });
    let tag = image.digest.replace(':', "-");
    peer.put_manifest("a", &tag, Family::Oci.index(), list.to_string().as_bytes());
    let outcome = ohoci
        .run([
            "copy",
            "--referrers",
            &format!("{}/a:1", registry.host()),
            "oci:layout:1",
        ])
        .exits(1);
    assert!(outcome.stderr.contains("but is about"), "{outcome:?}");
    assert!(!ohoci.work().join("layout").exists());
}

#[test]
fn places_that_hold_images_only_are_refused_before_anything_moves() {
    let registry = OhociRegistry::start();
    let ohoci = Ohoci::new();
    push(&registry.peer(), "a");
    let image = sample(Family::Docker, Compression::Gzip);
    image.push(&registry.peer(), "docker", "1");
    let bill = about("application/spdx+json", &image.digest, &image.manifest);
    bill.push(&registry.peer(), "docker", &bill.digest);
    for (from, to, why) in [
        ("a", "docker-archive:image.tar:a:1", "only registries"),
        ("docker", "oci:layout:1", "get other digests"),
    ] {
        let from = format!("{}/{from}:1", registry.host());
        let outcome = ohoci.run(["copy", "--referrers", &from, to]).exits(1);
        assert!(outcome.stderr.contains(why), "{outcome:?}");
    }
    assert!(!ohoci.work().join("image.tar").exists());
    assert!(!ohoci.work().join("layout").exists());
}
