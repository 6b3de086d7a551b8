//! What a gateway composes on, and passes on, is let in by this machine's policy and by what its rules ask of
//! bases; whoever is refused reads why, and no path of the machine.

use ohoci_image::media_type::{Compression, Family};
use rustix::process::Signal;
use serde_json::Value;

use super::{Scene, error, peer, start};
use crate::support::clients::run;
use crate::support::command::Outcome;
use crate::support::images::Index;
use crate::support::peer::{Peer, sha256};

impl Scene {
    /// Runs `ohoci` with the passphrase of all keys here.
    fn signing(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.bench.ohoci.command();
        command.env("COSIGN_PASSWORD", "passphrase");
        Outcome::of(command.args(self.bench.expand(arguments))).exits(0)
    }

    /// Makes the keys `mine.key` and `mine.pub` in the working directory.
    fn keys(&self) {
        self.signing(&["key", "generate", "--out", "mine"]);
    }

    fn sign(&self, image: &str) -> String {
        let signed = self.signing(&["sign", "--key", "mine.key", image]);
        signed.stdout.trim().to_owned()
    }

    /// What this machine asks of the images of these names: a signature by `mine`.
    fn trust(&self, images: &str) {
        let key = self.bench.ohoci.work().join("mine.pub");
        let text = format!(
            "[[trust.rule]]\nimages = [\"{images}\"]\nkeys = [\"{}\"]\n",
            key.display()
        );
        self.bench.ohoci.write("config/ohoci/config.toml", text);
    }
}

/// The status of a manifest, and why it is refused.
fn asked(peer: &Peer, name: &str, reference: &str) -> (u16, String) {
    let answer = peer.get(&format!("/v2/{name}/manifests/{reference}"));
    let why = match answer.status.as_u16() {
        200 => String::new(),
        _ => error(&answer.body).1,
    };
    (answer.status.as_u16(), why)
}

#[test]
fn what_the_policy_refuses_is_denied_with_its_reason_until_it_is_signed() {
    let scene = Scene::new();
    scene.keys();
    scene.trust("*/base*");
    let base = Index::busybox(Family::Oci, Compression::Gzip);
    base.push(&scene.bench.peer, "base", "1");
    let rules = scene.rule("deps = [\"@/deps:1\"]");
    let pinned = sha256(&scene.bench.peer.manifest("base", "1").1);

    let gateway = start(&scene.bench.ohoci, &rules, &[]);
    let composed = peer(&gateway);
    // The second time it is in the cache, and no more let in.
    for reference in ["1", &pinned, &pinned] {
        let (status, why) = asked(&composed, "openhands/base", reference);
        assert_eq!(status, 403, "{reference}: {why}");
        assert!(
            why.contains("no signature was found, and one by mine.pub is asked for"),
            "{why}"
        );
        let directory = scene.bench.ohoci.work();
        assert!(!why.contains(&directory.display().to_string()), "{why}");
    }
    let source = format!("docker://{}/openhands/base:1", gateway.address);
    let shown = run(
        "skopeo",
        &["inspect", "--raw", "--tls-verify=false", &source],
    );
    assert_ne!(shown.code, Some(0));
    assert!(
        shown.stderr.contains("no signature was found"),
        "{}",
        shown.stderr
    );
    gateway.signal(Signal::TERM);
    gateway.end().exits(0);

    let signature = scene.sign("@/base:1");
    let gateway = start(&scene.bench.ohoci, &rules, &[]);
    let composed = peer(&gateway);
    let report = scene.bench.composed(&[
        "--base",
        "@/base:1",
        "--all-platforms",
        "--deps",
        "@/deps:1",
        "--push",
        "@/out:1",
    ]);
    let digest = sha256(&composed.manifest("openhands/base", "1").1);
    assert_eq!(report["digest"].as_str(), Some(digest.as_str()));
    gateway.terminate(Signal::TERM);
    // What is pinned passes with all that it lists, and with what shows that it may.
    let (_, index) = scene.bench.peer.manifest("base", &pinned);
    let index: Value = serde_json::from_slice(&index).unwrap();
    let children = index["manifests"].as_array().unwrap().iter();
    let children: Vec<&str> = children
        .map(|child| child["digest"].as_str().unwrap())
        .collect();
    for more in [&[][..], &["--no-cache"]] {
        let gateway = start(&scene.bench.ohoci, &rules, more);
        let composed = peer(&gateway);
        for reference in [[pinned.as_str(), &signature].as_slice(), &children].concat() {
            assert_eq!(
                asked(&composed, "openhands/base", reference),
                (200, String::new()),
                "{reference}"
            );
        }
        gateway.terminate(Signal::TERM);
    }
}

#[test]
fn an_image_is_no_signature_because_it_says_so() {
    let scene = Scene::new();
    scene.keys();
    scene.trust("*/base*");
    let base = scene.bench.push_base("base", Family::Oci);
    scene.sign("@/base:1");
    let mut forged: Value = serde_json::from_slice(&base.manifest).unwrap();
    forged["annotations"] = serde_json::json!({"a": "b"});
    forged["subject"] = serde_json::json!({
        "mediaType": base.media_type, "digest": base.digest, "size": base.manifest.len(),
    });
    let forged = forged.to_string().into_bytes();
    let peer_of_bases = &scene.bench.peer;
    peer_of_bases.put_manifest("base", "forged", base.media_type, &forged);
    let gateway = start(
        &scene.bench.ohoci,
        &scene.rule("deps = [\"@/deps:1\"]"),
        &[],
    );
    let composed = peer(&gateway);
    assert_eq!(asked(&composed, "openhands/base", &base.digest).0, 200);
    assert_eq!(asked(&composed, "openhands/base", &sha256(&forged)).0, 403);
    gateway.signal(Signal::TERM);
    gateway.end().exits(0);
}

#[test]
fn a_rule_asks_for_signatures_and_statements_about_its_base() {
    let scene = Scene::new();
    scene.keys();
    for name in ["unsigned", "signed", "attested"] {
        scene.bench.push_base(name, Family::Oci);
    }
    scene.sign("@/signed:1");
    scene.signing(&[
        "compose",
        "--base",
        "@/unsigned:1",
        "--env",
        "A=b",
        "--push",
        "@/attested:1",
        "--sign-key",
        "mine.key",
        "--provenance",
    ]);
    let deps = "deps = [\"@/deps:1\"]\n";
    let open = scene.rule(deps).replace("openhands/", "open/");
    let signed = scene.rule(&format!("{deps}trust = {{ keys = [\"mine.pub\"] }}"));
    let statement = "attestations = [\"https://slsa.dev/provenance/v1\"]";
    let attested = scene
        .rule(&format!(
            "{deps}trust = {{ keys = [\"mine.pub\"], {statement} }}"
        ))
        .replace("openhands/", "attested/");
    let gateway = start(&scene.bench.ohoci, &(open + &signed + &attested), &[]);
    let composed = peer(&gateway);
    for (name, status, reason) in [
        ("open/unsigned", 200, ""),
        (
            "openhands/unsigned",
            403,
            "rule 2 (openhands/{repository}) (trust) refuses it: no signature was found",
        ),
        ("openhands/signed", 200, ""),
        ("attested/signed", 403, "https://slsa.dev/provenance/v1"),
        ("attested/attested", 200, ""),
    ] {
        let (got, why) = asked(&composed, name, "1");
        assert_eq!(got, status, "{name}: {why}");
        assert!(why.contains(reason), "{name}: {why}");
    }
    // What one rule gave out, another does not have to.
    let given_out = sha256(&composed.manifest("open/unsigned", "1").1);
    assert_ne!(asked(&composed, "openhands/unsigned", &given_out).0, 200);
    gateway.signal(Signal::TERM);
    gateway.end().exits(0);
}

#[test]
fn deps_that_the_policy_refuses_go_on_no_base() {
    let scene = Scene::new();
    scene.keys();
    scene.trust("*/deps*");
    scene.bench.push_base("base", Family::Oci);
    let rules = scene.rule("deps = [\"@/deps:1\"]");
    let gateway = start(&scene.bench.ohoci, &rules, &[]);
    let (status, why) = asked(&peer(&gateway), "openhands/base", "1");
    assert_eq!(status, 403, "{why}");
    assert!(why.contains("/deps@sha256:"), "{why}");
    gateway.signal(Signal::TERM);
    gateway.end().exits(0);
    scene.sign("@/deps:1");
    let gateway = start(&scene.bench.ohoci, &rules, &[]);
    peer(&gateway).manifest("openhands/base", "1");
    gateway.terminate(Signal::TERM);
}

#[test]
fn a_gateway_without_its_keys_does_not_start() {
    let scene = Scene::new();
    let rules = scene.rule("deps = [\"@/deps:1\"]\ntrust = { keys = [\"none.pub\"] }");
    let file = scene.bench.ohoci.write("work/gateway.toml", rules);
    let file = file.to_str().unwrap();
    let arguments = [
        "registry",
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--compose",
        file,
    ];
    let said = scene.bench.run(&arguments).exits(1).stderr;
    assert!(said.contains("none.pub"), "{said}");
}
