//! `ohoci batch`: many images in one run, each blob moved once, and a run that nothing spoils.

mod budget;
mod failures;
mod plan;
mod rebase;

use std::time::Duration;

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};
use testbed::Relay;

use crate::support::command::{Ohoci, Outcome};
use crate::support::debian_registry::DebianRegistry;
use crate::support::images::{Image, Layer, Node, bare};
use crate::support::peer::{Access, Peer};
use crate::support::requests::take;
use crate::support::workbench::deps_layer;

/// Images that share an environment's layer, as in SWE-bench.
const PER_ENVIRONMENT: usize = 20;

/// A registry with bases and a deps image, reached through something that is watched.
struct Scene {
    _registry: DebianRegistry,
    peer: Peer,
    /// What references name.
    host: String,
    ohoci: Ohoci,
    bases: Vec<Base>,
}

struct Base {
    name: String,
    digest: String,
}

fn file(path: &str, content: &str) -> Layer {
    Layer::pack(&[(path, Node::File(content.into()))], Compression::Gzip)
}

/// The deps image.
fn deps() -> Image {
    bare(Family::Docker, vec![])
        .layer(deps_layer(Compression::Gzip))
        .set("Labels", json!({"ohoci.patch": "{\"env\":{\"A\":\"1\"}}"}))
        .build()
}

/// Bases shaped like SWE-bench's: the root file system is everybody's, an environment that of
/// twenty, an instance's layer its own; each in its own repository.
fn push_bases(peer: &Peer, count: usize) -> Vec<Base> {
    let root = file("etc/os-release", "ID=debian\n");
    (0..count)
        .map(|number| {
            let environment = format!("opt/env/{}", number / PER_ENVIRONMENT);
            let instance = format!("testbed/{number}");
            let image = bare(Family::Docker, vec![root.clone()])
                .layer(file(&environment, &environment))
                .layer(file(&instance, &instance))
                .set("Env", json!(["PATH=/usr/bin"]))
                .build();
            let name = format!("sweb.eval.x86_64.{number:04}");
            image.push(peer, &format!("swebench/{name}"), "latest");
            Base {
                name,
                digest: image.digest,
            }
        })
        .collect()
}

impl Scene {
    /// `through` makes the host that references name, of the registry.
    fn new(count: usize, through: impl FnOnce(&DebianRegistry) -> String) -> Self {
        let registry = DebianRegistry::open();
        let peer = registry.peer(Access::Anonymous);
        let bases = push_bases(&peer, count);
        deps().push(&peer, "deps", "1");
        Self {
            host: through(&registry),
            _registry: registry,
            peer,
            ohoci: Ohoci::new(),
            bases,
        }
    }

    fn direct(count: usize) -> Self {
        Self::new(count, DebianRegistry::host)
    }

    fn reference(&self, base: &Base) -> String {
        format!("{}/swebench/{}:latest", self.host, base.name)
    }

    /// Writes the list of bases; returns the arguments that name it, the deps and the target.
    fn arguments(&self, repository: &str) -> Vec<String> {
        let list: Vec<String> = self.bases.iter().map(|b| self.reference(b)).collect();
        self.ohoci.write("work/bases", list.join("\n"));
        self.to(repository)
    }

    fn to(&self, repository: &str) -> Vec<String> {
        let deps = format!("{}/deps:1", self.host);
        let push = format!("{}/{repository}:{{name}}", self.host);
        [
            "batch", "--bases", "bases", "--deps", &deps, "--push", &push,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Runs it with more arguments.
    fn run(&self, arguments: &[String], more: &[&str]) -> Outcome {
        let more = more.iter().map(|text| (*text).to_owned());
        self.ohoci.run(arguments.iter().cloned().chain(more))
    }

    #[track_caller]
    fn summary(&self, arguments: &[String], more: &[&str]) -> Value {
        self.run(arguments, &[&["--format", "json"], more].concat())
            .exits(0)
            .json()
    }

    /// The digest behind each base's tag in a repository, none where there is no tag.
    fn tags(&self, repository: &str) -> Vec<Option<String>> {
        let one = |base: &Base| {
            let path = format!("/v2/{repository}/manifests/{}", base.name);
            let answer = self
                .peer
                .send(reqwest::Method::GET, &path, "", vec![])
                .unwrap();
            answer
                .status
                .is_success()
                .then(|| crate::support::peer::sha256(&answer.body))
        };
        self.bases.iter().map(one).collect()
    }

    /// Fails unless every layer and the config of a manifest can be read.
    #[track_caller]
    fn is_whole(&self, repository: &str, digest: &str) {
        let pulled = crate::support::workbench::pull(&self.peer, repository, digest);
        assert_eq!(pulled.layers().len(), 4);
        for layer in pulled.layers() {
            assert!(self.peer.blob(repository, layer).is_some(), "{layer}");
        }
    }

    fn records(&self) -> Vec<Value> {
        let text = fs_err::read_to_string(self.ohoci.work().join("ohoci-batch.jsonl")).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn requests(summary: &Value) -> u64 {
    let counts = summary["requests"].as_object().unwrap();
    counts.values().map(|count| count.as_u64().unwrap()).sum()
}

#[test]
fn requests_are_those_of_one_image_times_the_images_and_what_is_shared_moves_once() {
    let mut relay = None;
    let scene = Scene::new(40, |registry| {
        let started = Relay::start(registry.address(), Duration::ZERO).unwrap();
        let host = started.address().to_string();
        relay = Some(started);
        host
    });
    let relay = relay.unwrap();
    let arguments = scene.arguments("out/runtime");
    let summary = scene.summary(&arguments, &[]);
    let sent = take(&relay);
    assert_eq!(requests(&summary), sent.len() as u64);
    assert!(sent.len() as f64 / 40.0 <= 6.2, "{} requests", sent.len());
    assert_eq!(summary["built"], json!(40));

    let mut mounted: Vec<&str> = sent
        .iter()
        .filter_map(|(_, path)| path.split_once("mount=")?.1.split('&').next())
        .collect();
    let all = mounted.len();
    mounted.sort_unstable();
    mounted.dedup();
    // The root, two environments, forty instances and the deps.
    assert_eq!((all, mounted.len()), (44, 44));
    for digest in scene.tags("out/runtime") {
        scene.is_whole("out/runtime", &digest.unwrap());
    }

    let again = scene.summary(&arguments, &[]);
    let sent = take(&relay);
    assert_eq!(
        (&again["built"], &again["skipped"]),
        (&json!(0), &json!(40))
    );
    assert!(sent.len() as f64 / 40.0 <= 1.1, "{} requests", sent.len());

    let resumed = scene.summary(&arguments, &["--resume"]);
    assert_eq!(requests(&resumed), 0);
    assert_eq!(take(&relay).len(), 0);
    assert_eq!(resumed["total"], json!(40));

    // New deps on bases that are known by digest: a config and a manifest each.
    let newer = bare(Family::Docker, vec![file("openhands/new", "new")]).build();
    newer.push(&scene.peer, "deps", "2");
    let list: Vec<String> = scene
        .bases
        .iter()
        .map(|base| format!("{}/swebench/{}@{}", scene.host, base.name, base.digest))
        .collect();
    scene.ohoci.write("work/bases", list.join("\n"));
    let mut arguments = scene.to("out/runtime");
    arguments[4] = format!("{}/deps:2", scene.host);
    take(&relay);
    let summary = scene.summary(&arguments, &[]);
    assert_eq!(summary["built"], json!(40));
    // One mount of the new layer, the deps' two documents, and one blob that proves for all of them
    // that what is remembered is still so.
    assert_eq!(take(&relay).len(), 40 * 3 + 3 + 1);
}
