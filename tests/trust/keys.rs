//! Keys are encrypted as cosign encrypts them, and those of every kind sign and verify.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Scene, openssl};
use crate::support::command::Outcome;

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
