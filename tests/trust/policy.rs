//! The policy lets in what is signed as it asks, and refuses all else in words that say which rule was not
//! kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{MANIFEST, Scene, openssl};
use crate::support::peer::sha256;

#[test]
fn signatures_under_a_tag_are_cosigns_and_the_policy_of_containers_asks_for_them() {
    let scene = Scene::new();
    let work = scene.bench.ohoci.work();
    let (key, public) = scene.key("mine");
    let (others, _) = scene.key("others");
    scene.policy(&json!({
        "type": "sigstoreSigned",
        "keyPath": scene.file(&public),
        "signedIdentity": {"type": "matchRepository"},
    }));
    scene.refuses("no signature was found");
    scene
        .run(&["sign", "--tag", "--key", &others, "@/base:1"])
        .exits(0);
    scene.refuses("its signature does not fit");
    scene
        .run(&["sign", "--tag", "--key", &key, "@/base:1"])
        .exits(0);
    scene.compose("@/app:1").exits(0);

    // OpenSSL says so, too, of each signature there; Debian's skopeo is built without Sigstore's.
    let (_, image) = scene.bench.peer.manifest("base", "1");
    let tag = sha256(&image).replace(':', "-") + ".sig";
    let (_, manifest) = scene.bench.peer.manifest("base", &tag);
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    for (layer, public) in layers.iter().zip(["others.pub", "mine.pub"]) {
        let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
        assert_eq!(layer["mediaType"], json!(kind));
        let payload = scene
            .bench
            .peer
            .blob("base", layer["digest"].as_str().unwrap())
            .unwrap();
        let said: Value = serde_json::from_slice(&payload).unwrap();
        let critical = &said["critical"];
        assert_eq!(
            critical["image"]["docker-manifest-digest"],
            json!(sha256(&image))
        );
        let name = format!("{}/base", scene.bench.host);
        assert_eq!(critical["identity"]["docker-reference"], json!(name));
        let signature = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str();
        fs_err::write(work.join("payload"), payload).unwrap();
        fs_err::write(
            work.join("signature"),
            STANDARD.decode(signature.unwrap()).unwrap(),
        )
        .unwrap();
        openssl(
            &work,
            &[
                "dgst",
                "-sha256",
                "-verify",
                public,
                "-signature",
                "signature",
                "payload",
            ],
        );
    }
    assert_eq!(layers.len(), 2);

    // A payload that is not what was signed.
    let mut changed = manifest.clone();
    let payload = br#"{"critical":{}}"#;
    for layer in changed["layers"].as_array_mut().unwrap() {
        layer["digest"] = scene.bench.peer.put_blob("base", payload).into();
        layer["size"] = payload.len().into();
    }
    scene
        .bench
        .peer
        .put_manifest("base", &tag, MANIFEST, changed.to_string().as_bytes());
    let found = scene.run(&["verify", "--key", &public, "@/base:1", "--format", "json"]);
    let found = found.exits(0).json();
    assert_eq!(found["signatures"][2]["by"], Value::Null);
    assert_eq!(found["signatures"][2]["form"], json!("tag"));
}

#[test]
fn each_thing_that_was_tampered_with_is_refused_in_its_own_words() {
    let scene = Scene::new();
    let (key, public) = scene.key("mine");
    let (others, _) = scene.key("others");
    scene.trust(&format!("keys = [\"{}\"]", scene.file(&public).display()));
    scene.refuses("no signature was found");

    let by_other = scene.run(&["sign", "--key", &others, "@/base:1"]).exits(0);
    scene.refuses("it is by another key");
    let reference = format!("@/base@{}", by_other.stdout.trim());
    scene.run(&["delete", &reference]).exits(0);

    let mut signed = scene
        .run(&["sign", "--key", &key, "@/base:1"])
        .exits(0)
        .stdout
        .trim()
        .to_owned();
    let (manifest, good) = scene.bundle("base", &signed);
    let mut changed = good.clone();
    let payload = STANDARD
        .decode(good["dsseEnvelope"]["payload"].as_str().unwrap())
        .unwrap();
    let payload = String::from_utf8(payload)
        .unwrap()
        .replace("/base", "/case");
    changed["dsseEnvelope"]["payload"] = STANDARD.encode(payload).into();
    let mut of_other = good.clone();
    of_other["dsseEnvelope"]["signatures"][0]["sig"] = STANDARD.encode([0; 70]).into();
    let mut keyless = good.clone();
    keyless["verificationMaterial"] = json!({"certificate": {"rawBytes": ""}});
    let mut old = good.clone();
    old["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1".into();
    for (bundle, words) in [
        (changed.to_string(), "it or what it signs was changed"),
        (of_other.to_string(), "it or what it signs was changed"),
        (keyless.to_string(), "by a certificate (keyless)"),
        (old.to_string(), "it is no bundle of version 0.3"),
        ("{".to_owned(), "it is no bundle"),
    ] {
        signed = scene.replace_bundle("base", &signed, &manifest, bundle.as_bytes());
        scene.refuses(words);
    }

    // A good signature of another image, put beside this one.
    let (_, base) = scene.bench.peer.manifest("base", "1");
    scene
        .run(&["compose", "--base", "@/other:1", "--push", "@/x:1"])
        .exits(1);
    scene.bench.push_layers("other", 1);
    let other = scene.run(&["sign", "--key", &key, "@/other:1"]).exits(0);
    let (_, moved) = scene.bundle("other", other.stdout.trim());
    signed = scene.replace_bundle("base", &signed, &manifest, moved.to_string().as_bytes());
    scene.refuses("it is about another image");

    // And the right one again lets it in, without a request when it is known.
    scene.replace_bundle("base", &signed, &manifest, good.to_string().as_bytes());
    scene.compose("@/app:1").exits(0);
    scene.registry.take_requests();
    scene.compose("@/app:2").exits(0);
    let asked = scene.registry.take_requests();
    let about: Vec<_> = asked
        .iter()
        .filter(|(_, path)| path.contains("/referrers/") || path.contains(".sig"))
        .collect();
    assert!(about.is_empty(), "{about:?}");

    // Another image under the name is not the one that was signed.
    scene.bench.push_layers("base", 2);
    assert_ne!(scene.bench.peer.manifest("base", "1").1, base);
    scene.refuses("no signature was found");
}

#[test]
fn rules_about_digests_platforms_and_names_are_kept() {
    let scene = Scene::new();
    scene.trust("reject = true");
    scene.refuses("it lets no image of that name in");
    let (_, bytes) = scene.bench.peer.manifest("base", "1");
    let digest = sha256(&bytes);
    scene.trust(&format!("digests = [\"{}\"]", sha256(b"another")));
    scene.refuses("and pinned to");
    scene.trust(&format!("digests = [\"{digest}\"]"));
    scene.compose("@/app:1").exits(0);
    scene.trust("platforms = [\"linux/s390x\"]");
    scene.refuses("which is not among the platforms there");
    // Looking at it is allowed.
    scene.run(&["inspect", "@/base:1"]).exits(0);
    let copied = scene.run(&["copy", "@/base:1", "oci:copied:1"]);
    assert_eq!(
        copied.code,
        Some(0),
        "a copy reads no config: {}",
        copied.stderr
    );
    scene.trust("reject = true");
    for command in [
        &["copy", "@/base:1", "oci:copied:2"][..],
        &["run", "@/base:1", "true"],
        &["check", "@/base:1"],
    ] {
        let refused = scene.run(command);
        assert_ne!(refused.code, Some(0), "{command:?}");
        assert!(
            refused.stderr.contains("it lets no image"),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn a_policy_that_cannot_be_kept_lets_nothing_in() {
    let scene = Scene::new();
    scene.policy(&json!({"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/none"}));
    scene.refuses("signedBy");
    scene.policy(&json!({"type": "reject"}));
    scene.refuses("it lets no image of that name in");
    for (text, words) in [
        ("{", "not valid JSON"),
        (
            "{\"default\": [{\"type\": \"none\"}]}",
            "\"none\" is not known",
        ),
    ] {
        scene
            .bench
            .ohoci
            .write("home/.config/containers/policy.json", text);
        let refused = scene.compose("@/refused:1").exits(1);
        assert!(
            refused.stderr.contains("cannot use the policy"),
            "{}",
            refused.stderr
        );
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
}
