//! What is composed, and what really was pushed, against image-spec's own JSON schemas.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jsonschema::{Retrieve, Uri, Validator};
use ohoci_image::compose::{Addition, Base, BaseImage, Composition, Layer, compose};
use ohoci_image::index::{self, Entry, NewIndex};
use ohoci_image::label::Position;
use ohoci_image::media_type::{Compression, Family};
use ohoci_image::{Descriptor, Digest, Document, Manifest, Role, shape};
use serde_json::{Value, json};

use crate::support::images::{Index, bare, busybox};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::{Pulled, Workbench};

/// Where Debian's package of image-spec puts them.
const DIRECTORY: &str = "/usr/share/gocode/src/github.com/opencontainers/image-spec/schema";

/// The schemas refer to each other by file name, below differing identifiers.
struct Files;

impl Retrieve for Files {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.path().as_str().rsplit('/').next().unwrap_or_default();
        Ok(serde_json::from_slice(&fs_err::read(
            PathBuf::from(DIRECTORY).join(name),
        )?)?)
    }
}

struct Schemas {
    manifest: Validator,
    config: Validator,
    index: Validator,
}

impl Schemas {
    fn read() -> Self {
        let validator = |name: &str| {
            let text = fs_err::read(PathBuf::from(DIRECTORY).join(name)).unwrap_or_else(|error| {
                panic!(
                    "{error}: the Debian package golang-github-opencontainers-image-spec-dev is \
                     not installed; run cargo xtask test"
                )
            });
            jsonschema::options()
                .with_retriever(Files)
                .build(&serde_json::from_slice(&text).unwrap())
                .unwrap()
        };
        Self {
            manifest: validator("image-manifest-schema.json"),
            config: validator("config-schema.json"),
            index: validator("image-index-schema.json"),
        }
    }

    #[track_caller]
    fn check_image(&self, manifest: &Value, config: &Value) {
        check(&self.manifest, manifest);
        check(&self.config, config);
    }
}

#[track_caller]
fn check(validator: &Validator, document: &Value) {
    let errors: Vec<String> = validator
        .iter_errors(document)
        .map(|error| format!("{error} at {}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:?}\n{document:#}");
}

fn value(document: &Document) -> Value {
    Value::Object(document.object().clone())
}

#[test]
fn the_schemas_are_looked_at() {
    let schemas = Schemas::read();
    let broken = json!({"schemaVersion": 2});
    for validator in [&schemas.manifest, &schemas.config, &schemas.index] {
        assert!(!validator.is_valid(&broken));
    }
}

/// Every kind of base and layer, with every field that a patch can set.
fn compositions() -> Vec<Composition> {
    let mut list = Vec::new();
    let patch = json!({
        "env": {"A": "1"}, "entrypoint": ["/e"], "user": "u", "working_dir": "/w",
        "labels": {"l": "v"}, "exposed_ports": ["80"], "volumes": ["/v"], "stop_signal": "SIGINT",
    });
    let kinds = [Compression::None, Compression::Gzip, Compression::Zstd];
    let addition = |role: Role, kind: Compression, content: &str| {
        let media_type = Family::Oci.layer(kind).unwrap();
        Addition {
            layers: vec![Layer {
                descriptor: Descriptor::of(media_type, content.as_bytes()),
                diff_id: Digest::of(content.as_bytes()),
                created_by: None,
            }],
            role,
            patch: None,
            name: Some("registry.example/deps:1".to_owned()),
            digest: Some(Digest::of(b"deps")),
            path: None,
            platform: None,
            created: Some("2024-01-01T00:00:00Z".to_owned()),
        }
    };
    for family in [Family::Docker, Family::Oci] {
        let image = busybox(family, Compression::Gzip).build();
        let base = BaseImage {
            manifest: Manifest::parse(image.manifest, Some(image.media_type)).unwrap(),
            config: Document::parse(image.config, &shape::CONFIG).unwrap(),
            name: Some("registry.example/base:1".to_owned()),
            digest_of_name: None,
        };
        for position in [Position::Top, Position::Bottom] {
            for kind in kinds {
                // Docker has one kind of layer only; anything else makes an OCI image.
                list.push(Composition {
                    base: Base::Image(Box::new(base.clone())),
                    additions: vec![
                        addition(Role::Deps, kind, "one"),
                        addition(Role::Local, kind, "two"),
                    ],
                    patch: serde_json::from_value(patch.clone()).unwrap(),
                    annotations: BTreeMap::new(),
                    position,
                    family: None,
                    created: None,
                    record_intent: true,
                });
            }
        }
    }
    list.push(Composition {
        base: Base::Scratch("linux/arm/v6".parse().unwrap()),
        additions: vec![addition(Role::Local, Compression::Gzip, "one")],
        patch: Default::default(),
        annotations: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        position: Position::Top,
        family: None,
        created: Some("2024-01-01T00:00:00Z".to_owned()),
        record_intent: true,
    });
    list
}

#[test]
fn what_is_composed_is_valid() {
    let schemas = Schemas::read();
    for input in compositions() {
        let made = compose(&input).unwrap();
        schemas.check_image(&value(made.manifest.document()), &value(&made.config));
        let index = index::build(&NewIndex {
            base: None,
            base_name: Some("registry.example/base:1"),
            base_digest: Some(&Digest::of(b"index")),
            entries: &[Entry {
                base_at: None,
                manifest: made.manifest.descriptor(),
                platform: made.platform.clone(),
            }],
            annotations: &BTreeMap::new(),
            family: made.manifest.family(),
        })
        .unwrap();
        check(&schemas.index, &value(index.document()));
    }
}

#[test]
fn what_was_pushed_is_valid() {
    let schemas = Schemas::read();
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    let valid = |made: &Pulled| schemas.check_image(&made.manifest, &made.config);
    bench.push_deps("@/deps:1");
    valid(&bench.pull("deps", "1"));
    bench.ohoci.write("work/own/file", "own");
    for family in [Family::Docker, Family::Oci] {
        bench.push_base("base", family);
        for compression in ["gzip", "zstd"] {
            for position in ["top", "bottom"] {
                bench.composed(&[
                    "--base",
                    "@/base:1",
                    "--deps",
                    "@/deps:1",
                    "--layer",
                    "own:/own",
                    "--compression",
                    compression,
                    "--position",
                    position,
                    "--env",
                    "A=1",
                    "--label",
                    "l=v",
                    "--expose",
                    "80",
                    "--volume",
                    "/v",
                    "--stop-signal",
                    "SIGINT",
                    "--user",
                    "u",
                    "--workdir",
                    "/w",
                    "--cmd",
                    "c",
                    "--push",
                    "@/app:1",
                ]);
                valid(&bench.pull("app", "1"));
            }
        }
        let index = Index::busybox(family, Compression::Gzip);
        index.push(&bench.peer, "index", "1");
        bench.composed(&[
            "--base",
            "@/index:1",
            "--env",
            "A=1",
            "--all-platforms",
            "--push",
            "@/app:2",
        ]);
        let made = bench.pull("app", "2");
        check(&schemas.index, &made.manifest);
        for child in made.manifest["manifests"].as_array().unwrap() {
            valid(&bench.pull("app", child["digest"].as_str().unwrap()));
        }
    }
    bare(Family::Oci, vec![])
        .many_layers(2, Compression::None)
        .without_history()
        .build()
        .push(&bench.peer, "plain", "1");
    bench.composed(&[
        "--base",
        "@/plain:1",
        "--annotation",
        "k=v",
        "--push",
        "@/app:3",
    ]);
    valid(&bench.pull("app", "3"));
}
