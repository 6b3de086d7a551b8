//! Registries of bases that are slow, full, gone, or lie, and many clients at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ohoci_image::media_type::{Compression, Family};
use rustix::process::Signal;

use super::{Scene, error, metric, peer, rule, start};
use crate::support::answering::{Answering, answer, image};
use crate::support::command::Ohoci;
use crate::support::faulty_proxy::FaultyProxy;
use crate::support::images::busybox;
use crate::support::peer::{block_on, sha256};

#[test]
fn a_thousand_clients_at_once_cause_one_reading() {
    ohoci_server::raise_descriptor_limit();
    let scene = Scene::new();
    scene.bench.push_base("base", Family::Oci);
    let gateway = start(
        &scene.bench.ohoci,
        &scene.rule("deps = [\"@/deps:1\"]"),
        &[],
    );
    scene.registry.take_requests();
    let url = format!("http://{}/v2/openhands/base/manifests/1", gateway.address);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let digests = block_on(async {
        let all = (0..1000).map(|_| {
            let request = client.get(&url);
            async move {
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 200);
                sha256(&answer.bytes().await.unwrap())
            }
        });
        futures_util::future::join_all(all).await
    });
    assert_eq!(digests.len(), 1000);
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    let asked = scene.registry.take_requests();
    let base = asked
        .iter()
        .filter(|(_, path)| path.contains("/base/manifests/"));
    assert_eq!(base.count(), 1, "{asked:?}");
    assert_eq!(metric(&peer(&gateway), "ohoci_composed_total"), 1);
    gateway.terminate(Signal::TERM);
}

#[test]
fn clients_are_sent_where_the_bytes_are() {
    let base = busybox(Family::Oci, Compression::Gzip).build();
    let storage = Answering::start(|_| Some(answer(200, &[], "from the storage")));
    let (elsewhere, served) = (storage.host(), base.clone());
    let registry = Answering::start(move |request| {
        let name = request.target.rsplit('/').next().unwrap();
        if request.target.contains("/blobs/") && name == served.layers[0].digest {
            let location = format!("http://{elsewhere}/{name}?signature=secret");
            return Some(answer(307, &[("location", &location)], ""));
        }
        Some(image(&served, request))
    });
    let ohoci = Ohoci::new();
    let rules = rule(&registry.host(), "user = \"1\"")
        + &rule(&registry.host(), "user = \"1\"\nredirect = false")
            .replace("openhands/", "through/");
    let gateway = start(&ohoci, &rules, &["--verbose", "--access-log"]);
    let composed = peer(&gateway);
    composed.manifest("openhands/base", "1");
    let path = format!("/v2/openhands/base/blobs/{}", base.layers[0].digest);
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let answer = block_on(async {
        client
            .get(format!("http://{}{path}", gateway.address))
            .send()
            .await
            .unwrap()
    });
    assert_eq!(answer.status(), 307);
    let location = answer.headers()["location"].to_str().unwrap();
    let expected = format!(
        "http://{}/{}?signature=secret",
        storage.host(),
        base.layers[0].digest
    );
    assert_eq!(location, expected);
    assert_eq!(storage.requests(), [""; 0]);
    assert_eq!(metric(&composed, "ohoci_blobs_handed_on_total"), 1);

    composed.manifest("through/base", "1");
    let url = format!("http://{}{path}", gateway.address).replace("openhands", "through");
    let through = block_on(async { client.get(url).send().await?.bytes().await });
    // What comes is not what the digest says: the answer breaks off.
    assert!(through.is_err());
    assert_eq!(storage.requests().len(), 1);
    gateway.signal(Signal::TERM);
    let said = gateway.end().exits(0).stderr;
    assert!(!said.contains("signature=secret"), "{said}");
}

#[test]
fn a_registry_that_misbehaves_now_and_then_changes_nothing() {
    let scene = Scene::new();
    let base = scene.bench.push_base("base", Family::Oci);
    let proxy = FaultyProxy::start(scene.registry.host().parse().unwrap(), 7);
    let rules = rule(&proxy.host(), "deps = [\"@/deps:1\"]\nfresh-seconds = 0");
    let gateway = start(&Ohoci::new(), &rules, &["--no-cache"]);
    let composed = peer(&gateway);
    let digest = sha256(&composed.manifest("openhands/base", "1").1);
    proxy.misbehave(true);
    for _ in 0..10 {
        assert_eq!(sha256(&composed.manifest("openhands/base", "1").1), digest);
        let blob = composed
            .blob("openhands/base", &base.layers[0].digest)
            .unwrap();
        assert_eq!(blob, base.layers[0].bytes);
    }
    assert!(!proxy.faults().is_empty());
    gateway.signal(Signal::TERM);
    gateway.end().exits(0);
}

#[test]
fn a_tag_that_moves_is_followed_and_what_was_given_out_stays() {
    let first = busybox(Family::Oci, Compression::Gzip).build();
    let second = busybox(Family::Oci, Compression::Gzip)
        .set("author", "another".into())
        .build();
    let moved = Arc::new(AtomicBool::new(false));
    let (now, images) = (Arc::clone(&moved), [first, second]);
    let registry = Answering::start(move |request| {
        let [first, second] = &images;
        let name = request.target.rsplit('/').next().unwrap();
        let of =
            |one: &crate::support::images::Image| one.digest == name || sha256(&one.config) == name;
        Some(match now.load(Ordering::Relaxed) || of(second) {
            true if !of(first) => image(second, request),
            _ => image(first, request),
        })
    });
    let rules = rule(&registry.host(), "user = \"1\"\nfresh-seconds = 0");
    let gateway = start(&Ohoci::new(), &rules, &[]);
    let composed = peer(&gateway);
    let before = sha256(&composed.manifest("openhands/base", "1").1);
    moved.store(true, Ordering::Relaxed);
    let after = sha256(&composed.manifest("openhands/base", "1").1);
    assert_ne!(before, after);
    assert_eq!(
        sha256(&composed.manifest("openhands/base", &before).1),
        before
    );
    gateway.terminate(Signal::TERM);
}

#[test]
fn a_registry_that_has_enough_is_left_alone() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let registry = Answering::start(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Some(answer(
            429,
            &[("retry-after", "3600")],
            "{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"enough\"}]}",
        ))
    });
    let gateway = start(&Ohoci::new(), &rule(&registry.host(), "user = \"1\""), &[]);
    let composed = peer(&gateway);
    for _ in 0..5 {
        let answer = composed.get("/v2/openhands/base/manifests/1");
        assert_eq!(answer.status, 429);
        let (code, message) = error(&answer.body);
        assert_eq!(code, "TOOMANYREQUESTS");
        assert!(message.contains("enough"), "{message}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    gateway.signal(Signal::TERM);
    gateway.end().exits(0);
}

#[test]
fn a_registry_that_lies_about_digests_or_loses_blobs_is_not_believed() {
    let base = busybox(Family::Oci, Compression::Gzip).build();
    let served = base.clone();
    let registry = Answering::start(move |request| {
        let name = request.target.rsplit('/').next().unwrap();
        if request.target.contains("/lying/") && name == sha256(&served.config) {
            let mut lie = served.config.clone();
            let last = lie.len() - 2;
            lie[last] ^= 1;
            return Some(answer(200, &[], lie));
        }
        if request.target.contains("/losing/blobs/") && name == served.layers[0].digest {
            return Some(answer(404, &[], ""));
        }
        Some(image(&served, request))
    });
    let gateway = start(&Ohoci::new(), &rule(&registry.host(), "user = \"1\""), &[]);
    let composed = peer(&gateway);
    let answer = composed.get("/v2/openhands/lying/manifests/1");
    assert_eq!(answer.status, 503);
    assert_eq!(error(&answer.body).0, "UNAVAILABLE");
    composed.manifest("openhands/losing", "1");
    let path = format!("/v2/openhands/losing/blobs/{}", base.layers[0].digest);
    let answer = composed.get(&path);
    assert_eq!(
        (answer.status.as_u16(), error(&answer.body).0.as_str()),
        (404, "BLOB_UNKNOWN")
    );
    gateway.signal(Signal::TERM);
    gateway.end().exits(0);
}
