//! What is on disk: image layouts that other programs read and write.

use std::path::Path;
use std::time::Duration;

use ohoci_image::{Digest, media_type};
use ohoci_server::{ServeError, Server};
use serde_json::{Value, json};

use crate::server_conformance::support::{
    Registry, client, descriptor, digest_of, image, index, options,
};

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_repository_is_a_layout_as_soon_as_a_push_is_acknowledged() {
    let registry = Registry::start();
    let manifest = registry.push_image("a/b", "v1", b"layer").await;
    let layout = registry.directory.path().join("a/b");
    let marker = read(&layout.join("oci-layout"));
    assert_eq!(marker, json!({"imageLayoutVersion": "1.0.0"}));
    let index = read(&layout.join("index.json"));
    let mut entry = descriptor(media_type::OCI_MANIFEST, manifest.to_string().as_bytes());
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    assert_eq!(index["schemaVersion"], 2);
    assert_eq!(index["manifests"], json!([entry]));
    let blobs = layout.join("blobs/sha256");
    for digest in [
        digest_of(&manifest),
        Digest::of(b"{}"),
        Digest::of(b"layer"),
    ] {
        assert!(digest.matches(&fs_err::read(blobs.join(digest.hex())).unwrap()));
    }
}

#[tokio::test]
async fn a_layout_that_was_put_there_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let layout = directory.path().join("by/hand");
    let blobs = layout.join("blobs/sha256");
    fs_err::create_dir_all(&blobs).unwrap();
    let write = |content: &[u8]| {
        fs_err::write(blobs.join(Digest::of(content).hex()), content).unwrap();
    };
    let child = image(b"{}", &[b"layer"]);
    let list = index(&[&child]);
    write(b"{}");
    write(b"layer");
    write(child.to_string().as_bytes());
    write(list.to_string().as_bytes());
    let mut entry = descriptor(media_type::OCI_INDEX, list.to_string().as_bytes());
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "v1", "own": "note"});
    let text = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    fs_err::write(layout.join("index.json"), text).unwrap();
    fs_err::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();

    let registry = Registry::start_in(directory, |_| ());
    let catalog = registry.get("/v2/_catalog").await.is(200);
    assert_eq!(catalog.json()["repositories"], json!(["by/hand"]));
    let got = registry.get("/v2/by/hand/manifests/v1").await.is(200);
    assert_eq!(got.body, list.to_string().as_bytes());
    assert_eq!(got.header("content-type"), media_type::OCI_INDEX);
    // The index does not list the child; the manifest that does is enough.
    let target = format!("/v2/by/hand/manifests/{}", digest_of(&child));
    registry.get(&target).await.is(200);
    registry.put_manifest("by/hand", "v2", &child).await.is(201);
    let written = read(&layout.join("index.json"));
    assert_eq!(written["manifests"][0], entry);
    assert_eq!(written["manifests"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_storage_has_one_server() {
    let registry = Registry::start();
    let second = Server::bind(options(registry.directory.path()));
    assert!(matches!(second, Err(ServeError::InUse { .. })));
    let file = registry.directory.path().join("file");
    fs_err::write(&file, "").unwrap();
    let error = Server::bind(options(&file)).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
    let mut taken = options(&registry.directory.path().join("other"));
    taken.listen = registry.address;
    let error = Server::bind(taken).unwrap_err();
    let address = registry.address.to_string();
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn a_broken_index_breaks_its_repository_only() {
    let directory = tempfile::tempdir().unwrap();
    fs_err::create_dir_all(directory.path().join("broken")).unwrap();
    fs_err::write(directory.path().join("broken/index.json"), "{").unwrap();
    let registry = Registry::start_in(directory, |_| ());
    let answer = registry.get("/v2/broken/tags/list").await;
    let answer = answer.refused(500, "UNKNOWN");
    let shown = String::from_utf8(answer.body).unwrap();
    assert!(!shown.contains("index.json"), "{shown}");
    registry.push_image("whole", "v1", b"layer").await;
    let text = registry.directory.path().join("broken/index.json");
    assert_eq!(fs_err::read_to_string(text).unwrap(), "{");
}

#[tokio::test]
async fn requests_in_flight_are_finished_before_the_server_stops() {
    let directory = tempfile::tempdir().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (registry, running) = Registry::start_until(directory, async {
        stopped.await.unwrap();
    });
    let location = registry.session("a").await;
    let (send, receive) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let body = futures_util::stream::unfold(receive, |mut receive| async {
        receive.recv().await.map(|piece| (piece, receive))
    });
    let content = vec![7; 1_000_000];
    let (first, second) = content.split_at(999_000);
    let digest = Digest::of(&content);
    let url = format!("http://{}{location}?digest={digest}", registry.address);
    let upload = client().put(url).body(reqwest::Body::wrap_stream(body));
    let upload = tokio::spawn(upload.send());
    send.send(Ok(first.to_vec())).await.unwrap();
    while registry.get(&location).await.is(204).header("range") == "0-0" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.send(()).unwrap();
    while std::net::TcpStream::connect(registry.address).is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    send.send(Ok(second.to_vec())).await.unwrap();
    drop(send);
    assert_eq!(upload.await.unwrap().unwrap().status().as_u16(), 201);
    running.await.unwrap().unwrap();
    let blob = registry
        .directory
        .path()
        .join("a/blobs/sha256")
        .join(digest.hex());
    assert!(blob.is_file());
    Server::bind(options(registry.directory.path())).unwrap();
}
