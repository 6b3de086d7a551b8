//! Category "Content Discovery".

use ohoci_image::{Digest, media_type};
use serde_json::{Value, json};

use crate::server_conformance::support::{Registry, descriptor, digest_of, image, index};

#[tokio::test]
async fn tags_are_listed_in_order_and_in_pages() {
    let registry = Registry::start();
    let manifest = registry.push_image("a", "b", b"layer").await;
    for tag in ["c", "A", "a", "1.10", "1.9"] {
        registry.put_manifest("a", tag, &manifest).await.is(201);
    }
    let all = ["1.10", "1.9", "A", "a", "b", "c"];
    let answer = registry.get("/v2/a/tags/list").await.is(200);
    assert_eq!(answer.json(), json!({"name": "a", "tags": all}));
    assert_eq!(answer.header("link"), "");

    let mut target = "/v2/a/tags/list?n=4".to_owned();
    let mut seen: Vec<Value> = Vec::new();
    let mut pages = 0;
    loop {
        let answer = registry.get(&target).await.is(200);
        seen.extend(answer.json()["tags"].as_array().unwrap().clone());
        pages += 1;
        let link = answer.header("link");
        if link.is_empty() {
            break;
        }
        let (next, relation) = link.split_once(">; ").unwrap();
        assert_eq!(relation, "rel=\"next\"");
        target = next.strip_prefix('<').unwrap().to_owned();
    }
    assert_eq!((pages, seen), (2, all.map(Value::from).to_vec()));

    for (query, tags) in [
        ("n=0", vec![]),
        ("n=0&last=a", vec![]),
        ("last=A", vec!["a", "b", "c"]),
        ("last=B", vec!["a", "b", "c"]),
        ("n=2&last=a", vec!["b", "c"]),
        ("n=100", all.to_vec()),
        ("last=z", vec![]),
    ] {
        let target = format!("/v2/a/tags/list?{query}");
        let answer = registry.get(&target).await.is(200);
        assert_eq!(answer.json()["tags"], json!(tags), "{query}");
        assert_eq!(answer.header("link"), "", "{query}");
    }
    let answer = registry.get("/v2/a/tags/list?n=x").await;
    answer.refused(400, "UNSUPPORTED");
}

#[tokio::test]
async fn a_repository_without_tags_has_an_empty_list() {
    let registry = Registry::start();
    registry.push_blob("a", b"content").await;
    let answer = registry.get("/v2/a/tags/list").await.is(200);
    assert_eq!(answer.json(), json!({"name": "a", "tags": []}));
}

#[tokio::test]
async fn referrers_are_listed_with_type_and_annotations() {
    let registry = Registry::start();
    let subject = registry.push_image("a", "v1", b"layer").await;
    let subject = descriptor(media_type::OCI_MANIFEST, subject.to_string().as_bytes());
    let target = format!("/v2/a/referrers/{}", subject["digest"].as_str().unwrap());

    let empty = registry.get(&target).await.is(200);
    assert_eq!(empty.header("content-type"), media_type::OCI_INDEX);
    let expected = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []});
    assert_eq!(empty.json(), expected);
    let unknown = format!("/v2/unknown/referrers/{}", Digest::of(b"x"));
    assert_eq!(registry.get(&unknown).await.is(200).json(), expected);

    let mut typed = image(b"{}", &[]);
    typed["artifactType"] = json!("application/vnd.example.sbom");
    typed["annotations"] = json!({"k": "v"});
    let by_config = image(b"{}", &[]);
    let mut list = index(&[]);
    list["annotations"] = json!({"of": "list"});
    let mut entries = Vec::new();
    for (mut manifest, kind) in [
        (typed, Some("application/vnd.example.sbom")),
        (by_config, Some(media_type::OCI_CONFIG)),
        (list, None),
    ] {
        manifest["subject"] = subject.clone();
        let digest = digest_of(&manifest).to_string();
        let answer = registry.put_manifest("a", &digest, &manifest).await.is(201);
        assert_eq!(answer.header("oci-subject"), subject["digest"]);
        let media_type = manifest["mediaType"].as_str().unwrap();
        let mut entry = descriptor(media_type, manifest.to_string().as_bytes());
        if let Some(kind) = kind {
            entry["artifactType"] = kind.into();
        }
        if let Some(annotations) = manifest.get("annotations") {
            entry["annotations"] = annotations.clone();
        }
        entries.push(entry);
    }
    let listed = |answer: crate::server_conformance::support::Answer| {
        let list = answer.json()["manifests"].as_array().unwrap().clone();
        let find = |entry: &Value| list.iter().any(|listed| listed == entry);
        entries.iter().map(find).collect::<Vec<_>>()
    };
    let answer = registry.get(&target).await.is(200);
    assert_eq!(answer.header("oci-filters-applied"), "");
    assert_eq!(listed(answer), [true, true, true]);
    let filtered = format!("{target}?artifactType=application/vnd.example.sbom");
    let answer = registry.get(&filtered).await.is(200);
    assert_eq!(answer.header("oci-filters-applied"), "artifactType");
    assert_eq!(listed(answer), [true, false, false]);

    let gone = entries[0]["digest"].as_str().unwrap();
    registry
        .delete(&format!("/v2/a/manifests/{gone}"))
        .await
        .is(202);
    let answer = registry.get(&target).await.is(200);
    assert_eq!(listed(answer), [false, true, true]);
    let answer = registry.get("/v2/a/referrers/sha256:xyz").await;
    answer.refused(400, "DIGEST_INVALID");
}

#[tokio::test]
async fn more_referrers_than_a_manifest_can_list_come_in_pages() {
    let registry = Registry::start();
    registry.push_blob("a", b"{}").await;
    let subject = descriptor(media_type::OCI_MANIFEST, b"subject");
    for n in 0..3 {
        let mut manifest = image(b"{}", &[]);
        manifest["subject"] = subject.clone();
        manifest["annotations"] = json!({"fill": "x".repeat(2 << 20), "n": n.to_string()});
        let digest = digest_of(&manifest).to_string();
        registry.put_manifest("a", &digest, &manifest).await.is(201);
    }
    let digest = subject["digest"].as_str().unwrap();
    let kind = media_type::OCI_CONFIG;
    let mut target = format!("/v2/a/referrers/{digest}?artifactType={kind}");
    let mut seen = Vec::new();
    loop {
        let answer = registry.get(&target).await.is(200);
        assert!(answer.body.len() <= 4 << 20);
        for entry in answer.json()["manifests"].as_array().unwrap() {
            seen.push(entry["annotations"]["n"].as_str().unwrap().to_owned());
        }
        let link = answer.header("link");
        let Some((next, _)) = link.split_once('>') else {
            break;
        };
        target = next.strip_prefix('<').unwrap().to_owned();
    }
    seen.sort();
    assert_eq!(seen, ["0", "1", "2"]);
}

#[tokio::test]
async fn repositories_are_listed() {
    let registry = Registry::start();
    for name in ["b", "a/nested", "a", "c/blobs"] {
        registry.push_blob(name, b"content").await;
    }
    let answer = registry.get("/v2/_catalog").await.is(200);
    assert_eq!(
        answer.json(),
        json!({"repositories": ["a", "a/nested", "b", "c/blobs"]})
    );
    let answer = registry.get("/v2/_catalog?n=2&last=a").await.is(200);
    assert_eq!(answer.json()["repositories"], json!(["a/nested", "b"]));
    let link = "</v2/_catalog?n=2&last=b>; rel=\"next\"";
    assert_eq!(answer.header("link"), link);
}
