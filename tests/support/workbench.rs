//! What tests of composing start from: a registry, a place to run ohoci, a deps image.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use ohoci_image::media_type::{Compression, Family};
use serde_json::Value;

use super::command::{Ohoci, Outcome};
use super::images::{Image, Layer, Node, bare, busybox};
use super::peer::{Peer, sha256};

/// The patch that [`Workbench::push_deps`] puts into the deps image.
pub(crate) const PATCH: &str = r#"{"env":{"PATH":"/openhands/bin:${PATH}","OPENHANDS":"1"},"entrypoint":["tool"],"cmd":["by","default"]}"#;

/// A registry as `ohoci` is told of it, a peer that reads and writes it, and `ohoci` itself.
pub(crate) struct Workbench {
    pub(crate) host: String,
    pub(crate) peer: Peer,
    pub(crate) ohoci: Ohoci,
}

/// An image as it lies in a registry.
#[derive(Debug, Clone)]
pub(crate) struct Pulled {
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) manifest: Value,
    /// Empty for an index.
    pub(crate) config_text: String,
    /// Null for an index.
    pub(crate) config: Value,
}

impl Workbench {
    pub(crate) fn new(host: &str, peer: Peer) -> Self {
        Self {
            host: host.to_owned(),
            peer,
            ohoci: Ohoci::new(),
        }
    }

    /// Runs `ohoci compose`; an argument's leading `@` stands for the registry.
    #[track_caller]
    pub(crate) fn compose(&self, arguments: &[&str]) -> Outcome {
        self.run(&[&["compose"], arguments].concat())
    }

    /// The same, which has to succeed; returns what it says as JSON.
    #[track_caller]
    pub(crate) fn composed(&self, arguments: &[&str]) -> Value {
        self.compose(&[&["--format", "json"], arguments].concat())
            .exits(0)
            .json()
    }

    /// Runs `ohoci`; an argument's leading `@` stands for the registry.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.ohoci.run(self.expand(arguments))
    }

    pub(crate) fn expand(&self, arguments: &[&str]) -> Vec<String> {
        arguments
            .iter()
            .map(|argument| match argument.strip_prefix('@') {
                Some(rest) => format!("{}{rest}", self.host),
                None => (*argument).to_owned(),
            })
            .collect()
    }

    /// Pushes a runnable image of this machine's platform.
    pub(crate) fn push_base(&self, repository: &str, family: Family) -> Image {
        let image = busybox(family, Compression::Gzip).build();
        image.push(&self.peer, repository, "1");
        image
    }

    /// Pushes an image of this many layers that nothing can run.
    pub(crate) fn push_layers(&self, repository: &str, count: usize) -> Image {
        let image = bare(Family::Oci, vec![])
            .many_layers(count, Compression::Gzip)
            .build();
        image.push(&self.peer, repository, "1");
        image
    }

    /// Makes a deps image as its users do, with `ohoci compose` on scratch, and pushes it.
    #[track_caller]
    pub(crate) fn push_deps(&self, reference: &str) -> Value {
        let directory = deps_directory(&self.ohoci, "deps-files");
        let layer = format!("{}:/openhands", directory.display());
        let label = format!("ohoci.patch={PATCH}");
        self.composed(&[
            "--base", "scratch", "--layer", &layer, "--label", &label, "--push", reference,
        ])
    }

    /// Reads an image or an index back.
    #[track_caller]
    pub(crate) fn pull(&self, repository: &str, reference: &str) -> Pulled {
        pull(&self.peer, repository, reference)
    }
}

/// Writes the files of the deps image: a program and something to read.
pub(crate) fn deps_directory(ohoci: &Ohoci, name: &str) -> PathBuf {
    let program = ohoci.write(
        format!("work/{name}/bin/tool"),
        "#!/bin/sh\necho tool \"$@\"\n",
    );
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(program, mode).unwrap();
    ohoci.write(
        format!("work/{name}/share/greeting"),
        "hello from the deps\n",
    );
    ohoci.work().join(name)
}

/// A layer like the deps image's, made without ohoci.
pub(crate) fn deps_layer(compression: Compression) -> Layer {
    let program = b"#!/bin/sh\necho tool \"$@\"\n".to_vec();
    let nodes = [
        ("openhands", Node::Directory),
        ("openhands/bin", Node::Directory),
        ("openhands/bin/tool", Node::Program(program)),
    ];
    Layer::pack(&nodes, compression)
}

/// Reads an image or an index from a registry.
#[track_caller]
pub(crate) fn pull(peer: &Peer, repository: &str, reference: &str) -> Pulled {
    let (media_type, bytes) = peer.manifest(repository, reference);
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    let config_text = match manifest["config"]["digest"].as_str() {
        Some(digest) => String::from_utf8(peer.blob(repository, digest).unwrap()).unwrap(),
        None => String::new(),
    };
    Pulled {
        media_type,
        digest: sha256(&bytes),
        config: serde_json::from_str(&config_text).unwrap_or_default(),
        config_text,
        manifest,
    }
}

impl Pulled {
    /// Digests of the layers, lowest first.
    pub(crate) fn layers(&self) -> Vec<&str> {
        let layers = self.manifest["layers"].as_array().unwrap();
        layers
            .iter()
            .map(|layer| layer["digest"].as_str().unwrap())
            .collect()
    }

    /// `config.config` of the config document.
    pub(crate) fn runtime(&self) -> &Value {
        &self.config["config"]
    }

    /// The environment.
    pub(crate) fn env(&self) -> Vec<&str> {
        let env = self.runtime()["Env"].as_array().unwrap();
        env.iter().map(|pair| pair.as_str().unwrap()).collect()
    }
}
