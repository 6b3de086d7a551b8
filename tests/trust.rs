//! Images are let in only where the policy is kept, and what is signed is what cosign's tools verify.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ohoci_image::media_type::Family;
use serde_json::{Value, json};

use crate::support::command::Outcome;
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::sha256;
use crate::support::workbench::Workbench;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry with `base:1`, and keys in the working directory.
struct Scene {
    registry: OhociRegistry,
    bench: Workbench,
}

impl Scene {
    fn new() -> Self {
        let registry = OhociRegistry::start();
        let bench = Workbench::new(&registry.host(), registry.peer());
        bench.push_base("base", Family::Oci);
        Self { registry, bench }
    }

    /// Runs `ohoci` with the passphrase of all keys here.
    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.bench.ohoci.command();
        command.env("COSIGN_PASSWORD", "passphrase");
        Outcome::of(command.args(self.bench.expand(arguments)))
    }

    fn key(&self, name: &str) -> (String, String) {
        self.run(&["key", "generate", "--out", name]).exits(0);
        (format!("{name}.key"), format!("{name}.pub"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.bench.ohoci.work().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs_err::read_to_string(self.file(name)).unwrap()
    }

    /// The `[trust]` of the configuration.
    fn trust(&self, rule: &str) {
        let text = format!("[[trust.rule]]\nimages = [\"*/base\"]\n{rule}\n");
        self.bench.ohoci.write("config/ohoci/config.toml", text);
    }

    /// containers' policy for everything in this registry.
    fn policy(&self, requirement: &Value) -> PathBuf {
        let text = json!({
            "default": [{"type": "insecureAcceptAnything"}],
            "transports": {"docker": {self.bench.host.clone(): [requirement]}},
        });
        self.bench
            .ohoci
            .write("home/.config/containers/policy.json", text.to_string())
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

    /// The bundle of an image's signature: its manifest and itself.
    fn bundle(&self, repository: &str, signed: &str) -> (Value, Value) {
        let (_, manifest) = self.bench.peer.manifest(repository, signed);
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let digest = manifest["layers"][0]["digest"].as_str().unwrap();
        let bytes = self.bench.peer.blob(repository, digest).unwrap();
        (manifest, serde_json::from_slice(&bytes).unwrap())
    }

    /// Puts another bundle beside the image, and takes the one that is there away.
    fn replace_bundle(
        &self,
        repository: &str,
        signed: &str,
        manifest: &Value,
        bundle: &[u8],
    ) -> String {
        let mut manifest = manifest.clone();
        manifest["layers"][0]["digest"] = self.bench.peer.put_blob(repository, bundle).into();
        manifest["layers"][0]["size"] = bundle.len().into();
        let bytes = manifest.to_string().into_bytes();
        let reference = format!("@/{repository}@{signed}");
        self.run(&["delete", &reference]).exits(0);
        let digest = sha256(&bytes);
        self.bench
            .peer
            .put_manifest(repository, &digest, MANIFEST, &bytes);
        digest
    }
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let done = Command::new("openssl")
        .current_dir(directory)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// The bytes that DSSE has signed (its `protocol.md`).
fn signed_bytes(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn a_new_key_is_its_owners_alone_and_replaces_none() {
    let scene = Scene::new();
    scene.key("mine");
    let mode = |name: &str| {
        fs_err::metadata(scene.file(name))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("mine.key") & 0o777, 0o600);
    let text = scene.read("mine.key");
    assert!(
        text.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----"),
        "{text}"
    );
    let again = scene.run(&["key", "generate", "--out", "mine"]).exits(1);
    assert!(
        again.stderr.contains("is there already"),
        "{}",
        again.stderr
    );
    assert_eq!(scene.read("mine.key"), text);
}

/// What cosign does to keys, by the standard library's scrypt and NaCl.
const SECRETBOX: &str = r#"
import base64, hashlib, json, sys
from nacl.secret import SecretBox
def box(password, salt, n):
    return SecretBox(hashlib.scrypt(password, salt=salt, n=n, r=8, p=1, dklen=32, maxmem=1 << 28))
def armour(label, data):
    text = base64.b64encode(data).decode()
    return f"-----BEGIN {label}-----\n{text}\n-----END {label}-----\n"
def body(text):
    return base64.b64decode("".join(l for l in text.splitlines() if not l.startswith("-")))
what, source, target = sys.argv[1:]
text = open(source).read()
if what == "open":
    sealed = json.loads(body(text))
    salt = base64.b64decode(sealed["kdf"]["salt"])
    opened = box(b"passphrase", salt, sealed["kdf"]["params"]["N"]).decrypt(
        base64.b64decode(sealed["ciphertext"]), base64.b64decode(sealed["cipher"]["nonce"]))
    open(target, "w").write(armour("PRIVATE KEY", opened))
else:
    salt, nonce = bytes(range(32)), bytes(range(24))
    sealed = box(b"passphrase", salt, 32768).encrypt(body(text), nonce).ciphertext
    b64 = lambda data: base64.b64encode(data).decode()
    document = {"kdf": {"name": "scrypt", "params": {"N": 32768, "r": 8, "p": 1}, "salt": b64(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": b64(nonce)}, "ciphertext": b64(sealed)}
    open(target, "w").write(armour("ENCRYPTED COSIGN PRIVATE KEY", json.dumps(document).encode()))
"#;

fn secretbox(directory: &Path, what: &str, source: &str, target: &str) {
    // Debian's own Python has Debian's python3-nacl, whichever other Pythons there are.
    let done = Command::new("/usr/bin/python3")
        .current_dir(directory)
        .args(["-c", SECRETBOX, what, source, target])
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn keys_are_encrypted_as_cosign_encrypts_them() {
    let scene = Scene::new();
    let work = scene.bench.ohoci.work();
    scene.key("mine");
    secretbox(&work, "open", "mine.key", "opened.pem");
    openssl(
        &work,
        &["pkey", "-in", "opened.pem", "-pubout", "-out", "opened.pub"],
    );
    assert_eq!(scene.read("opened.pub"), scene.read("mine.pub"));
}

#[test]
fn keys_of_every_kind_that_cosign_has_sign_and_verify() {
    let scene = Scene::new();
    let work = scene.bench.ohoci.work();
    for (name, options) in [
        (
            "ecdsa",
            vec!["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        ),
        ("ed25519", vec!["-algorithm", "ED25519"]),
        (
            "rsa",
            vec!["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        ),
    ] {
        let (plain, sealed) = (format!("{name}.pem"), format!("{name}.key"));
        let public = format!("{name}.pub");
        openssl(
            &work,
            &[&["genpkey", "-out", &plain][..], &options].concat(),
        );
        openssl(&work, &["pkey", "-in", &plain, "-pubout", "-out", &public]);
        secretbox(&work, "seal", &plain, &sealed);
        let signed = scene.run(&["sign", "--key", &sealed, "@/base:1"]).exits(0);
        // The same key on the same image is the same signature, encrypted or not.
        let again = scene.run(&["sign", "--key", &plain, "@/base:1"]).exits(0);
        assert_eq!(signed.stdout, again.stdout, "{name}");
        scene
            .run(&["verify", "--key", &public, "@/base:1"])
            .exits(0);
        let (_, bundle) = scene.bundle("base", signed.stdout.trim());
        let envelope = &bundle["dsseEnvelope"];
        let decoded = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
        let payload = decoded(&envelope["payload"]);
        let bytes = signed_bytes(envelope["payloadType"].as_str().unwrap(), &payload);
        fs_err::write(work.join("signed"), bytes).unwrap();
        fs_err::write(
            work.join("signature"),
            decoded(&envelope["signatures"][0]["sig"]),
        )
        .unwrap();
        if name == "ed25519" {
            openssl(
                &work,
                &[
                    "pkeyutl",
                    "-verify",
                    "-rawin",
                    "-pubin",
                    "-inkey",
                    &public,
                    "-in",
                    "signed",
                    "-sigfile",
                    "signature",
                ],
            );
        } else {
            openssl(
                &work,
                &[
                    "dgst",
                    "-sha256",
                    "-verify",
                    &public,
                    "-signature",
                    "signature",
                    "signed",
                ],
            );
        }
    }
    let wrong = {
        let mut command = scene.bench.ohoci.command();
        command.env("COSIGN_PASSWORD", "other");
        let arguments = scene
            .bench
            .expand(&["sign", "--key", "rsa.key", "@/base:1"]);
        Outcome::of(command.args(arguments)).exits(1)
    };
    assert!(
        wrong.stderr.contains("the passphrase is wrong"),
        "{}",
        wrong.stderr
    );
    assert!(!wrong.stderr.contains("other"), "{}", wrong.stderr);
}

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

#[test]
fn what_is_composed_copied_and_composed_in_batches_is_signed_before_its_tag() {
    let scene = Scene::new();
    let (key, public) = scene.key("mine");
    scene
        .run(&[
            "compose",
            "--base",
            "@/base:1",
            "--env",
            "A=b",
            "--push",
            "@/app:1",
            "--sign-key",
            &key,
            "--sign-tag",
        ])
        .exits(0);
    let puts: Vec<String> = scene
        .registry
        .take_requests()
        .into_iter()
        .filter(|(method, path)| method == "PUT" && path.contains("/app/manifests/"))
        .map(|(_, path)| path)
        .collect();
    assert_eq!(puts.len(), 3, "{puts:?}");
    assert!(puts[1].ends_with(".sig"), "{puts:?}");
    assert!(puts[2].ends_with("/1"), "{puts:?}");
    let found = scene
        .run(&["verify", "--key", &public, "--format", "json", "@/app:1"])
        .exits(0)
        .json();
    let forms: Vec<&Value> = found["signatures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["form"])
        .collect();
    assert_eq!(forms, ["bundle", "tag"]);

    scene
        .run(&["copy", "@/base:1", "@/copied:1", "--sign-key", &key])
        .exits(0);
    scene
        .run(&["verify", "--key", &public, "@/copied:1"])
        .exits(0);

    let bases = format!("{}/base:1\n", scene.bench.host);
    scene.bench.ohoci.write("work/bases.txt", bases);
    scene
        .run(&[
            "batch",
            "--bases",
            "bases.txt",
            "--env",
            "A=c",
            "--push",
            "@/many:1",
            "--sign-key",
            &key,
        ])
        .exits(0);
    scene
        .run(&["verify", "--key", &public, "@/many:1"])
        .exits(0);
    let (_, others) = scene.key("others");
    let foreign = scene
        .run(&["verify", "--key", &others, "@/many:1"])
        .exits(4);
    assert!(
        foreign.stdout.contains("not signed by a key given"),
        "{}",
        foreign.stdout
    );
    let archive = scene.run(&[
        "compose",
        "--base",
        "@/base:1",
        "--env",
        "A=b",
        "--push",
        "oci-archive:a.tar",
        "--sign-key",
        &key,
    ]);
    assert_eq!(archive.code, Some(1), "{}", archive.stderr);
    assert!(!scene.file("a.tar").exists());
}

#[test]
fn a_program_may_have_the_key() {
    let scene = Scene::new();
    let work = scene.bench.ohoci.work();
    openssl(
        &work,
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            "hsm.pem",
        ],
    );
    let script = format!(
        "#!/bin/sh\nset -e\ncd '{}'\ncase $1 in\n\
         public-key) openssl pkey -in hsm.pem -pubout ;;\n\
         sign) sed 's/.*\"digest\":\"\\([^\"]*\\)\".*/\\1/' | base64 -d >asked\n\
         openssl pkeyutl -sign -inkey hsm.pem -pkeyopt digest:sha256 -in asked | base64 -w0 ;;\nesac\n",
        work.display()
    );
    let program = scene.bench.ohoci.write("work/signer", script);
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(&program, mode).unwrap();
    openssl(
        &work,
        &["pkey", "-in", "hsm.pem", "-pubout", "-out", "hsm.pub"],
    );
    let program = program.to_str().unwrap();
    scene
        .run(&["sign", "--program", program, "@/base:1"])
        .exits(0);
    scene
        .run(&["verify", "--key", "hsm.pub", "@/base:1"])
        .exits(0);
    scene.bench.ohoci.write(
        "work/signer",
        "#!/bin/sh\necho the token is locked >&2\nexit 1\n",
    );
    let locked = scene
        .run(&["sign", "--program", program, "@/base:1"])
        .exits(1);
    assert!(
        locked.stderr.contains("the token is locked"),
        "{}",
        locked.stderr
    );
}

#[test]
fn provenance_is_replayed_and_another_record_is_told() {
    let scene = Scene::new();
    let (key, public) = scene.key("mine");
    let compose = [
        "compose",
        "--base",
        "@/base:1",
        "--env",
        "A=b",
        "--push",
        "@/app:1",
        "--provenance",
        "--sign-key",
        &key,
    ];
    scene.run(&compose).exits(0);
    let replayed = scene
        .run(&[
            "verify", "--replay", "--key", &public, "--format", "json", "@/app:1",
        ])
        .exits(0)
        .json();
    assert_eq!(replayed["holds"], json!(true));
    assert_eq!(replayed["provenance"], json!([{"by": "mine.pub"}]));
    assert_eq!(replayed["replay"]["verdict"], json!("equal"));
    let listed = scene.run(&["verify", "--key", &public, "@/app:1"]).exits(0);
    assert!(
        listed.stdout.contains("https://slsa.dev/provenance/v1"),
        "{}",
        listed.stdout
    );

    let shown = scene
        .run(&["inspect", "--referrers", "--key", &public, "@/app:1"])
        .exits(0);
    let signed: Vec<&str> = shown
        .stdout
        .lines()
        .filter(|line| line.ends_with("  signed by mine.pub"))
        .collect();
    assert_eq!(signed.len(), 2, "{}", shown.stdout);
    let unverified = scene.run(&["inspect", "--referrers", "@/app:1"]).exits(0);
    assert!(
        unverified.stdout.contains("not verified: no key was given"),
        "{}",
        unverified.stdout
    );

    // The policy may ask for it.
    let rule = format!(
        "[[trust.rule]]\nimages = [\"*/app\"]\nkeys = [\"{}\"]\nattestations = \
         [\"https://slsa.dev/provenance/v1\"]\n",
        scene.file(&public).display()
    );
    scene.bench.ohoci.write("config/ohoci/config.toml", rule);
    let onto = |target: &str| {
        scene.run(&[
            "compose", "--base", "@/app:1", "--env", "C=d", "--push", target,
        ])
    };
    onto("@/onto:1").exits(0);
    scene
        .run(&[
            "compose",
            "--base",
            "@/base:1",
            "--env",
            "A=e",
            "--push",
            "@/app:1",
            "--sign-key",
            &key,
        ])
        .exits(0);
    let refused = onto("@/onto:2").exits(1);
    assert!(
        refused
            .stderr
            .contains("no statement https://slsa.dev/provenance/v1 was found")
    );

    // Provenance without a key is there, and worth nothing to a verifier.
    scene
        .run(&[
            "compose",
            "--base",
            "@/base:1",
            "--env",
            "A=f",
            "--push",
            "@/plain:1",
            "--provenance",
        ])
        .exits(0);
    scene
        .run(&["verify", "--key", &public, "@/plain:1"])
        .exits(4);
}
