//! `--tag-scheme` and `--code`: images named by what they are made of, and earlier ones used again.

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::images::{Layer, Node, bare};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

struct Scene {
    _registry: OhociRegistry,
    bench: Workbench,
}

impl Scene {
    /// `base:1`, `deps:1`, and a checkout that looks like OpenHands in `code`.
    fn new() -> Self {
        let registry = OhociRegistry::start();
        let bench = Workbench::new(&registry.host(), registry.peer());
        bench.push_base("base", Family::Oci);
        bench.push_deps("@/deps:1");
        let scene = Self {
            _registry: registry,
            bench,
        };
        scene.write("pyproject.toml", "[tool.poetry]\nversion = \"0.62.0\"\n");
        scene.write("poetry.lock", "locked = 1\n");
        scene.write("openhands/server.py", "print('one')\n");
        scene.write("openhands/__pycache__/server.pyc", "compiled");
        scene.write("frontend/app.js", "not part of the runtime");
        scene.write(".git/HEAD", "ref: refs/heads/main\n");
        scene
    }

    fn write(&self, path: &str, content: &str) {
        self.bench.ohoci.write(format!("work/code/{path}"), content);
    }

    /// Composes `base:1` and `deps:1` into a repository.
    #[track_caller]
    fn compose(&self, more: &[&str]) -> Value {
        let start = ["--base", "@/base:1", "--deps", "@/deps:1"];
        self.bench.composed(&[&start[..], more].concat())
    }

    #[track_caller]
    fn v0(&self) -> Value {
        self.compose(&[
            "--tag-scheme",
            "v0",
            "--code",
            "code",
            "--push",
            "@/runtime",
        ])
    }

    /// Lets `base:1` name another image.
    fn move_base(&self) {
        let newer = Layer::pack(
            &[("etc/newer", Node::File(b"newer".to_vec()))],
            Compression::Gzip,
        );
        let image = bare(Family::Oci, vec![newer]).build();
        image.push(&self.bench.peer, "base", "1");
    }

    /// What `ohoci tags` prints of the checkout.
    #[track_caller]
    fn tags(&self) -> Vec<String> {
        let base = format!("{}/base:1", self.bench.host);
        let arguments = [
            "tags", "--scheme", "v0", "--source", "code", "--base", &base,
        ];
        let outcome = self.bench.run(&arguments);
        outcome.exits(0).stdout.lines().map(str::to_owned).collect()
    }
}

fn names(report: &Value) -> Vec<&str> {
    let references = report["targets"][0]["references"].as_array().unwrap();
    references
        .iter()
        .map(|reference| {
            let reference = reference.as_str().unwrap();
            reference.rsplit_once(':').unwrap().1
        })
        .collect()
}

fn digest<'a>(report: &'a Value, origin: &str) -> Vec<&'a str> {
    let layers = report["layers"].as_array().unwrap();
    layers
        .iter()
        .filter(|layer| layer["origin"] == origin)
        .map(|layer| layer["digest"].as_str().unwrap())
        .collect()
}

#[test]
fn a_scheme_names_the_result_as_ohoci_tags_does() {
    let scene = Scene::new();
    let report = scene.compose(&[
        "--tag-scheme",
        "v1",
        "--tag-input",
        "sha=abc1234567",
        "--tag-input",
        "custom-tag=python",
        "--push",
        "@/server",
    ]);
    let base = format!("{}/base:1", scene.bench.host);
    let slug = base.replace('/', "_s_").replace(':', "_tag_");
    assert_eq!(
        names(&report),
        [
            "abc1234-python",
            "abc1234567-python",
            &format!("abc1234-{slug}")
        ]
    );
    let pulled = scene.bench.pull("server", "abc1234567-python");
    assert_eq!(report["digest"], json!(pulled.digest));
}

#[test]
fn a_content_tag_changes_with_whatever_goes_in_and_with_nothing_else() {
    let scene = Scene::new();
    let tag = |more: &[&str]| {
        let start = ["--tag-scheme", "content", "--push", "@/out"];
        let report = scene.compose(&[&start[..], more].concat());
        let names = names(&report);
        assert_eq!(names.len(), 1);
        names[0].to_owned()
    };
    let first = tag(&[]);
    assert!(first.starts_with("oh-"), "{first}");
    assert_eq!(tag(&[]), first);
    scene.bench.ohoci.write("work/extra/file", "one");
    let variants: [&[&str]; 6] = [
        &["--env", "A=1"],
        &["--position", "bottom"],
        &["--annotation", "a=b"],
        &["--platform", "linux/amd64"],
        &["--layer", "extra:/extra"],
        &["--deps-path", "/openhands/bin"],
    ];
    let mut seen = vec![first];
    for variant in variants {
        let other = tag(variant);
        assert!(!seen.contains(&other), "{variant:?}");
        seen.push(other);
    }
    scene.move_base();
    assert!(!seen.contains(&tag(&[])));
}

#[test]
fn what_a_scheme_cannot_use_is_refused() {
    let scene = Scene::new();
    let compose = |more: &[&str]| {
        let start = ["--base", "@/base:1", "--tag-scheme"];
        scene
            .bench
            .compose(&[&start[..], more].concat())
            .exits(2)
            .stderr
    };
    let said = compose(&["content", "--push", "@/out:1"]);
    assert!(said.contains("--tag-scheme makes the tag"), "{said}");
    let said = compose(&["v1", "--push", "@/out", "--tag-input", "shaa=1"]);
    assert!(said.contains("shaa"), "{said}");
    let said = compose(&["v1", "--push", "@/out", "--tag-input", "base=x"]);
    assert!(said.contains("known from what is composed"), "{said}");
    let said = compose(&["content", "--push", "@/out", "--tag-input", "sha=1"]);
    assert!(said.contains("nothing but the image"), "{said}");
    let said = compose(&["v0", "--push", "@/out"]);
    assert!(said.contains("source of OpenHands"), "{said}");
}

#[test]
fn the_code_becomes_a_layer_of_what_the_source_tag_covers() {
    let scene = Scene::new();
    let report = scene.v0();
    assert_eq!(names(&report), scene.tags());
    assert_eq!(report["reused"], "scratch");
    let layer = digest(&report, "local")[0];
    let blob = scene.bench.peer.blob("runtime", layer).unwrap();
    scene.bench.ohoci.write("work/layer.tar.gz", &blob);
    let listing = std::process::Command::new("tar")
        .args(["--list", "--gzip", "--file"])
        .arg(scene.bench.ohoci.work().join("layer.tar.gz"))
        .output()
        .unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    let files: Vec<&str> = listing
        .lines()
        .filter(|line| !line.ends_with('/'))
        .collect();
    assert_eq!(
        files,
        [
            "openhands/code/openhands/server.py",
            "openhands/code/poetry.lock",
            "openhands/code/pyproject.toml",
        ]
    );
}

#[test]
fn an_image_with_the_source_tag_is_the_result() {
    let scene = Scene::new();
    let first = scene.v0();
    // Neither is part of what the source tag says.
    scene.move_base();
    scene.write("frontend/app.js", "changed");
    let again = scene.v0();
    assert_eq!(again["reused"], "source");
    assert_eq!(again["status"], "skipped");
    assert_eq!(again["digest"], first["digest"]);
    assert_eq!(again["requests"], json!({"HEAD": 1}));
}

#[test]
fn with_the_lock_tag_only_the_code_layer_changes() {
    let scene = Scene::new();
    let first = scene.v0();
    // Upstream builds on the image with the lock tag, whatever the base's name says by then.
    scene.move_base();
    scene.write("openhands/server.py", "print('two')\n");
    let second = scene.v0();
    assert_eq!(second["reused"], "lock");
    assert_eq!(digest(&second, "base"), digest(&first, "base"));
    assert_eq!(digest(&second, "deps"), digest(&first, "deps"));
    assert_ne!(digest(&second, "local"), digest(&first, "local"));
    let uploaded: Vec<&str> = second["layers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|layer| layer["arrival"] == "uploaded")
        .map(|layer| layer["origin"].as_str().unwrap())
        .collect();
    assert_eq!(uploaded, ["local"]);
    assert!(
        second["bytesUp"].as_u64().unwrap() < 8000,
        "{}",
        second["bytesUp"]
    );
    // The tags that were there stay; the new source tag names the new image.
    let tags = scene.tags();
    assert_eq!(names(&second), [&tags[0]]);
    let lock = scene.bench.pull("runtime", &tags[1]);
    assert_eq!(json!(lock.digest), first["digest"]);
    let source = scene.bench.pull("runtime", &tags[0]);
    assert_eq!(json!(source.digest), second["digest"]);
}

#[test]
fn with_the_versioned_tag_the_base_is_what_it_was() {
    let scene = Scene::new();
    let first = scene.v0();
    scene.move_base();
    scene.write("poetry.lock", "locked = 2\n");
    let second = scene.v0();
    assert_eq!(second["reused"], "versioned");
    assert_eq!(digest(&second, "base"), digest(&first, "base"));
    let tags = scene.tags();
    assert_eq!(names(&second), [&tags[0], &tags[1]]);
}

#[test]
fn an_image_of_another_make_is_not_built_on() {
    let scene = Scene::new();
    let tags = scene.tags();
    let foreign = bare(Family::Oci, vec![]).build();
    foreign.push(&scene.bench.peer, "runtime", &tags[1]);
    let report = scene.v0();
    assert_eq!(report["reused"], "scratch");
    assert_eq!(digest(&report, "deps").len(), 1);
}
