//! Images that somebody signed with a certificate of one signature are let in where the trusted root and the
//! policy say so, without a network; whatever else is refused in its own words, and nothing is tagged.

use ohoci_image::media_type::Family;
use serde_json::{Value, json};

use crate::support::command::Outcome;
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::sha256;
use crate::support::sigstore::{IN_FUTURE, IN_TIME, Login, Sigstore, TOO_LATE};
use crate::support::workbench::Workbench;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const WORKFLOW: &str = "https://forge.example/team/app/build.yml@refs/tags/v1";
const TOKENS: &str = "https://tokens.example";

struct Scene {
    _registry: OhociRegistry,
    bench: Workbench,
    sigstore: Sigstore,
    /// The digest of `base:1`, and its size.
    image: (String, usize),
    /// The last signature's manifest.
    last: Option<String>,
}

fn workflow() -> Login {
    Login {
        identity: WORKFLOW.to_owned(),
        issuer: TOKENS.to_owned(),
        is_logged: true,
        at: IN_TIME,
    }
}

impl Scene {
    fn new() -> Self {
        let registry = OhociRegistry::start();
        let bench = Workbench::new(&registry.host(), registry.peer());
        bench.push_base("base", Family::Oci);
        let (_, manifest) = bench.peer.manifest("base", "1");
        let sigstore = Sigstore::new();
        let root = sigstore.trusted_root().to_string();
        bench.ohoci.write("config/ohoci/trusted_root.json", root);
        Self {
            _registry: registry,
            bench,
            sigstore,
            image: (sha256(&manifest), manifest.len()),
            last: None,
        }
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.bench.ohoci.command();
        Outcome::of(command.args(self.bench.expand(arguments)))
    }

    fn trust(&self, rule: &str) {
        let text = format!(
            "[[trust.rule]]\nimages = [\"*/base\"]\ntrusted-root = \"trusted_root.json\"\n{rule}\n"
        );
        self.bench.ohoci.write("config/ohoci/config.toml", text);
    }

    fn statement(&self, kind: &str) -> Value {
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": self.image.0.trim_start_matches("sha256:")}}],
            "predicateType": kind,
            "predicate": {},
        })
    }

    /// Puts a bundle beside the image, in place of the one before.
    fn put(&mut self, bundle: &Value) {
        if let Some(last) = self.last.take() {
            self.run(&["delete", &format!("@/base@{last}")]).exits(0);
        }
        let peer = &self.bench.peer;
        let bytes = bundle.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": BUNDLE,
            "config": {"mediaType": EMPTY, "digest": peer.put_blob("base", b"{}"), "size": 2},
            "layers": [{
                "mediaType": BUNDLE,
                "digest": peer.put_blob("base", &bytes),
                "size": bytes.len(),
            }],
            "subject": {"mediaType": MANIFEST, "digest": self.image.0, "size": self.image.1},
        });
        let manifest = manifest.to_string().into_bytes();
        let digest = sha256(&manifest);
        peer.put_manifest("base", &digest, MANIFEST, &manifest);
        self.last = Some(digest);
    }

    fn compose(&self, target: &str) -> Outcome {
        self.run(&[
            "compose", "--base", "@/base:1", "--env", "A=b", "--push", target,
        ])
    }

    /// Composing is refused with these words, and nothing is tagged.
    #[track_caller]
    fn refuses(&self, words: &str) {
        let refused = self.compose("@/refused:1").exits(1);
        assert!(
            refused.stderr.contains(words),
            "{words}: {}",
            refused.stderr
        );
        assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
        self.run(&["digest", "@/refused:1"]).exits(1);
    }
}

#[test]
fn a_workflows_signature_lets_an_image_in_and_any_other_does_not() {
    let mut scene = Scene::new();
    scene.trust(&format!(
        "identities = [{{ issuer = \"{TOKENS}\", identity = \"https://forge.example/team/app/*\" }}]"
    ));
    scene.refuses(
        "no signature was found, and one by https://forge.example/team/app/* (by https://tokens",
    );
    let statement = scene.statement(SIGNED);
    let good = scene.sigstore.bundle(&workflow(), &statement);

    let other_login = Login {
        identity: "https://forge.example/stranger/app/build.yml@refs/tags/v1".to_owned(),
        ..workflow()
    };
    let other_issuer = Login {
        issuer: "https://tokens.elsewhere.example".to_owned(),
        ..workflow()
    };
    let late = Login {
        at: TOO_LATE,
        ..workflow()
    };
    let future = Login {
        at: IN_FUTURE,
        ..workflow()
    };
    let unlogged = Login {
        is_logged: false,
        ..workflow()
    };
    let stranger = Sigstore::new().bundle(&workflow(), &statement);
    let of = |login: &Login| scene.sigstore.bundle(login, &statement);
    let changed = |pointer: &str, value: Value| {
        let mut bundle = good.clone();
        *bundle.pointer_mut(pointer).unwrap() = value;
        bundle
    };
    let entry = "/verificationMaterial/tlogEntries/0";
    let without = |key: &str| {
        let mut bundle = good.clone();
        let object = bundle.pointer_mut(entry).unwrap().as_object_mut().unwrap();
        object.remove(key).unwrap();
        bundle
    };
    let another = {
        let mut statement = statement.clone();
        statement["subject"][0]["digest"]["sha256"] = "0".repeat(64).into();
        scene.sigstore.bundle(&workflow(), &statement)
    };
    let other_entry = of(&workflow())["verificationMaterial"]["tlogEntries"].clone();
    let payload = {
        use base64::Engine as _;
        let mut statement = statement.clone();
        statement["predicate"] = json!({"more": true});
        base64::engine::general_purpose::STANDARD.encode(statement.to_string())
    };
    for (bundle, words) in [
        (
            of(&other_login),
            "it is by https://forge.example/stranger/app/",
        ),
        (
            of(&other_issuer),
            "for whom https://tokens.elsewhere.example vouches",
        ),
        (
            of(&late),
            "its certificate does not count: certificate chain is invalid",
        ),
        (of(&future), "is in the future"),
        (
            of(&unlogged),
            "its certificate is in no log of certificates",
        ),
        (stranger, "does not hold: invalid inclusion promise"),
        (
            changed("/dsseEnvelope/payload", payload.into()),
            "its signature does not fit its certificate",
        ),
        (
            changed("/verificationMaterial/tlogEntries", other_entry),
            "log entry does not match",
        ),
        (
            changed(&format!("{entry}/integratedTime"), "1740830401".into()),
            "does not hold: invalid inclusion promise",
        ),
        (
            without("inclusionPromise"),
            "nothing that counts says when it was made",
        ),
        (
            without("inclusionProof"),
            "it lacks what a signature by a certificate has to have",
        ),
        (
            changed(&format!("{entry}/inclusionProof/hashes"), json!([])),
            "does not hold: invalid inclusion proof",
        ),
        (another, "it is about another image"),
        (
            scene
                .sigstore
                .bundle(&workflow(), &scene.statement(PROVENANCE)),
            "it is no signature, but says https://slsa.dev",
        ),
    ] {
        scene.put(&bundle);
        scene.refuses(words);
    }
    scene.put(&good);
    scene.compose("@/app:1").exits(0);

    // A key's signature is nobody's.
    let last = scene.last.take().unwrap();
    scene.run(&["delete", &format!("@/base@{last}")]).exits(0);
    let mut command = scene.bench.ohoci.command();
    command.env("COSIGN_PASSWORD", "passphrase");
    Outcome::of(command.args(["key", "generate", "--out", "mine"])).exits(0);
    let mut command = scene.bench.ohoci.command();
    command.env("COSIGN_PASSWORD", "passphrase");
    let sign = scene
        .bench
        .expand(&["sign", "--key", "mine.key", "@/base:1"]);
    Outcome::of(command.args(sign)).exits(0);
    scene.trust(&format!(
        "identities = [{{ issuer = \"{TOKENS}\", identity = \"https://forge.example/team/*\" }}]"
    ));
    scene.refuses("it is by a key, not by a certificate");
}

#[test]
fn a_workflows_statements_are_enough_where_they_are_asked_for() {
    let mut scene = Scene::new();
    scene.trust(&format!(
        "identities = [{{ issuer = \"{TOKENS}\", identity = \"{WORKFLOW}\" }}]\nattestations = \
         [\"{PROVENANCE}\"]"
    ));
    scene.refuses(&format!("no statement {PROVENANCE} was found"));
    scene.put(
        &scene
            .sigstore
            .bundle(&workflow(), &scene.statement(PROVENANCE)),
    );
    scene.compose("@/app:1").exits(0);

    let named = [
        "--certificate-identity",
        WORKFLOW,
        "--certificate-oidc-issuer",
        TOKENS,
        "--trusted-root",
        "root.json",
    ];
    let root = scene.sigstore.trusted_root().to_string();
    scene.bench.ohoci.write("work/root.json", root);
    let tree = scene.run(&[&["inspect", "--referrers", "@/base:1"][..], &named].concat());
    let tree = tree.exits(0);
    assert!(
        tree.stdout
            .contains(&format!("signed by {WORKFLOW} (by {TOKENS})")),
        "{}",
        tree.stdout
    );
    scene
        .run(&[&["verify", "@/base:1"][..], &named].concat())
        .exits(4);
    scene.put(&scene.sigstore.bundle(&workflow(), &scene.statement(SIGNED)));
    let found = scene.run(&[&["verify", "--format", "json", "@/base:1"][..], &named].concat());
    let found = found.exits(0).json();
    assert_eq!(found["signed"], json!(true));
    assert_eq!(
        found["signatures"][0]["by"],
        json!(format!("{WORKFLOW} (by {TOKENS})"))
    );
    let half = scene.run(&["verify", "--certificate-identity", WORKFLOW, "@/base:1"]);
    assert_eq!(half.code, Some(2), "{}", half.stderr);
}

/// Puts a payload with annotations under the image's tag for signatures.
fn put_tag(scene: &Scene, payload: &[u8], annotations: &Value) {
    let peer = &scene.bench.peer;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": peer.put_blob("base", b"{}"),
            "size": 2,
        },
        "layers": [{
            "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
            "digest": peer.put_blob("base", payload),
            "size": payload.len(),
            "annotations": annotations,
        }],
    });
    let tag = format!("{}.sig", scene.image.0.replace(':', "-"));
    peer.put_manifest("base", &tag, MANIFEST, manifest.to_string().as_bytes());
}

#[test]
fn containers_policy_asks_for_a_login_and_the_older_form_has_it() {
    let scene = Scene::new();
    let person = Login {
        identity: "builder@team.example".to_owned(),
        ..workflow()
    };
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": format!("{}/base", scene.bench.host)},
            "image": {"docker-manifest-digest": scene.image.0},
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    let payload = payload.to_string().into_bytes();
    scene
        .bench
        .ohoci
        .write("work/ca.pem", scene.sigstore.authority_pem());
    let policy = |change: &dyn Fn(&mut Value)| {
        use base64::Engine as _;
        let log = base64::engine::general_purpose::STANDARD.encode(scene.sigstore.log_pem());
        let mut requirement = json!({
            "type": "sigstoreSigned",
            "fulcio": {
                "caPath": scene.bench.ohoci.work().join("ca.pem"),
                "oidcIssuer": TOKENS,
                "subjectEmail": "builder@team.example",
            },
            "rekorPublicKeyData": log,
            "signedIdentity": {"type": "matchRepository"},
        });
        change(&mut requirement);
        let text = json!({
            "default": [{"type": "insecureAcceptAnything"}],
            "transports": {"docker": {scene.bench.host.clone(): [requirement]}},
        });
        scene
            .bench
            .ohoci
            .write("home/.config/containers/policy.json", text.to_string());
    };
    policy(&|_| {});
    scene.refuses("no signature was found");
    let of = |login: &Login| scene.sigstore.annotations(login, &payload);
    let changed = |key: &str, value: &str| {
        let mut annotations = of(&person);
        annotations[key] = value.into();
        annotations
    };
    let late = Login {
        at: TOO_LATE,
        ..person.clone()
    };
    let without_log = {
        let mut annotations = of(&person);
        let object = annotations.as_object_mut().unwrap();
        object.remove("dev.sigstore.cosign/bundle").unwrap();
        annotations
    };
    let signature = of(&person)["dev.cosignproject.cosign/signature"].clone();
    for (annotations, words) in [
        (of(&workflow()), format!("it is by {WORKFLOW}")),
        (of(&late), "its certificate does not count".to_owned()),
        (
            without_log,
            "it lacks what a signature by a certificate".to_owned(),
        ),
        (
            changed(
                "dev.cosignproject.cosign/signature",
                signature.as_str().unwrap(),
            ),
            "its signature does not fit its certificate".to_owned(),
        ),
        (
            changed("dev.sigstore.cosign/certificate", "none"),
            "its certificate is no PEM".to_owned(),
        ),
        (
            changed("dev.sigstore.cosign/bundle", "{}"),
            "its entry of the log is damaged".to_owned(),
        ),
        (
            Sigstore::new().annotations(&person, &payload),
            "its entry in the transparency log does not hold".to_owned(),
        ),
    ] {
        put_tag(&scene, &payload, &annotations);
        scene.refuses(&words);
    }
    put_tag(&scene, &payload, &of(&person));
    scene.compose("@/app:1").exits(0);

    // The same is good enough for a rule of ohoci's own, and a key's rule says what it is.
    policy(&|requirement| {
        requirement["signedIdentity"] =
            json!({"type": "exactRepository", "dockerRepository": "a.example/b"});
    });
    scene.refuses("it is for");
    for (key, value, words) in [
        (
            "rekorPublicKeyData",
            Value::Null,
            "there is no key of Rekor",
        ),
        ("fulcio", json!({"caPath": "/none"}), "/none"),
        ("pki", json!({}), "\"pki\""),
    ] {
        policy(&|requirement| {
            let object = requirement.as_object_mut().unwrap();
            object.remove(key);
            if !value.is_null() {
                object.insert(key.to_owned(), value.clone());
            }
        });
        let refused = scene.compose("@/refused:1").exits(1);
        assert!(
            refused.stderr.contains(words),
            "{words}: {}",
            refused.stderr
        );
    }
}

#[test]
fn a_rule_that_names_nobody_or_no_root_is_told() {
    let scene = Scene::new();
    for (rule, words) in [
        ("trusted-root = \"r.json\"", "without the other"),
        (
            "identities = [{ issuer = \"https://a.example\", identity = \"b\" }]",
            "without the other",
        ),
        (
            "trusted-root = \"r.json\"\nidentities = [{ issuer = \"*\", identity = \"b\" }]",
            "leaves out who it is or who vouches for it",
        ),
        (
            "trusted-root = \"r.json\"\nidentities = [{ identity = \"b\" }]",
            "missing field `issuer`",
        ),
        (
            "trusted-root = \"r.json\"\nidentities = [{ issuer = \"https://a.example\", identity = \"b\" }]",
            "cannot use the trusted root",
        ),
    ] {
        let text = format!("[[trust.rule]]\nimages = [\"*/base\"]\n{rule}\n");
        scene.bench.ohoci.write("config/ohoci/config.toml", text);
        let refused = scene.compose("@/refused:1");
        assert_ne!(refused.code, Some(0), "{rule}");
        assert!(
            refused.stderr.contains(words),
            "{words}: {}",
            refused.stderr
        );
    }
}
