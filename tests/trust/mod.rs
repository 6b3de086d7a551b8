//! Images are let in only where the policy is kept, and what is signed is what cosign's tools verify.

mod keys;
mod making;
mod policy;

use std::path::{Path, PathBuf};
use std::process::Command;

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
