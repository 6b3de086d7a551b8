//! Bills of materials that `ohoci deps build --attach-sbom` puts beside the image.

use std::collections::BTreeSet;

use ohoci_image::media_type::{CYCLONEDX, SPDX};
use serde_json::Value;

use super::Project;
use super::build::{document, json_of};
use crate::support::certificates::key_pair;
use crate::support::command::Ohoci;
use crate::support::debian_registry::DebianRegistry;
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::{Access, Peer};

const BUILD: [&str; 5] = [
    "build",
    "layers/core.toml",
    "--attach-sbom",
    "--format",
    "json",
];

fn project() -> Project {
    let project = Project::new();
    project.locked();
    project
}

/// Builds with these places and flags, and returns the report.
#[track_caller]
fn build(project: &Project, more: &[&str]) -> Value {
    let (stdout, _) = project.deps(0, &[&BUILD[..], more].concat());
    serde_json::from_str(&stdout).unwrap()
}

/// Architecture, kind, subject and digest of what a report says was attached, in its order.
fn attached(report: &Value) -> Vec<(String, String, String, String)> {
    let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    report["attached"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                text(one, "platform"),
                text(one, "artifactType"),
                text(one, "subject"),
                text(one, "digest"),
            )
        })
        .collect()
}

/// A repository as any other client reads it.
struct Repository {
    peer: Peer,
    name: &'static str,
}

impl Repository {
    fn manifest(&self, reference: &str) -> Value {
        serde_json::from_slice(&self.peer.manifest(self.name, reference).1).unwrap()
    }

    /// The digests of an index's images, amd64 first.
    fn images(&self, digest: &str) -> Vec<String> {
        let index = self.manifest(digest);
        let entries = index["manifests"].as_array().unwrap();
        entries
            .iter()
            .map(|entry| entry["digest"].as_str().unwrap().to_owned())
            .collect()
    }

    /// What the registry lists by itself as about a manifest.
    fn referrers(&self, subject: &str) -> Option<Value> {
        let path = format!("/v2/{}/referrers/{subject}", self.name);
        let answer = self
            .peer
            .send(reqwest::Method::GET, &path, "", Vec::new())
            .unwrap();
        (answer.status == 200).then(|| serde_json::from_slice(&answer.body).unwrap())
    }

    /// The names of the packages in the one document of a kind in a list of referrers.
    fn packages(&self, list: &Value, kind: &str) -> (String, BTreeSet<String>) {
        let entries: Vec<&Value> = list["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["artifactType"] == kind)
            .collect();
        assert_eq!(entries.len(), 1, "{list}");
        let manifest = self.manifest(entries[0]["digest"].as_str().unwrap());
        assert_eq!(
            manifest["config"]["mediaType"],
            "application/vnd.oci.empty.v1+json"
        );
        let layer = &manifest["layers"][0];
        assert_eq!(layer["mediaType"], kind);
        let title = layer["annotations"]["org.opencontainers.image.title"]
            .as_str()
            .unwrap();
        let blob = self
            .peer
            .blob(self.name, layer["digest"].as_str().unwrap())
            .unwrap();
        let found = hashes(&serde_json::from_slice(&blob).unwrap());
        (title.to_owned(), found)
    }
}

/// The hashes of the packages' files, which are others on each platform.
fn hashes(document: &Value) -> BTreeSet<String> {
    let (list, of): (_, fn(&Value) -> &Value) = match document.get("packages") {
        Some(packages) => (packages, |one| &one["checksums"][0]["checksumValue"]),
        None => (&document["components"], |one| &one["hashes"][0]["content"]),
    };
    list.as_array()
        .unwrap()
        .iter()
        .filter_map(|one| of(one).as_str())
        .map(str::to_owned)
        .collect()
}

/// The hashes that a lock has for a platform.
fn locked(project: &Project, platform: &str) -> BTreeSet<String> {
    let lock: toml::Table = project.lock().parse().unwrap();
    let packages = lock["debian"].as_array().unwrap().iter();
    packages
        .filter_map(|package| {
            let files = package["file"].as_table().unwrap();
            let file = files.get(platform).or_else(|| files.get("any"))?;
            let digest = file["digest"].as_str().unwrap();
            Some(digest.trim_start_matches("sha256:").to_owned())
        })
        .collect()
}

/// Each image has the two documents of its own platform, and no other; `list` finds them.
fn each_image_has_its_own(
    project: &Project,
    repository: &Repository,
    report: &Value,
    list: impl Fn(&str) -> Value,
) {
    let images = repository.images(report["digest"].as_str().unwrap());
    let told: Vec<_> = attached(report)
        .into_iter()
        .map(|(platform, kind, subject, _)| (platform, kind, subject))
        .collect();
    let mut expected = Vec::new();
    for (image, architecture) in images.iter().zip(["amd64", "arm64"]) {
        let platform = format!("linux/{architecture}");
        let list = list(image);
        assert_eq!(list["manifests"].as_array().unwrap().len(), 2, "{list}");
        for (kind, extension) in [(SPDX, "spdx"), (CYCLONEDX, "cdx")] {
            let (title, hashes) = repository.packages(&list, kind);
            assert_eq!(title, format!("core-linux-{architecture}.{extension}.json"));
            assert_eq!(hashes, locked(project, &platform), "{platform} {kind}");
            expected.push((platform.clone(), kind.to_owned(), image.clone()));
        }
    }
    assert_eq!(told, expected);
    assert_ne!(
        locked(project, "linux/amd64"),
        locked(project, "linux/arm64")
    );
}

#[test]
fn each_platforms_image_gets_its_documents_in_a_registry_that_lists_referrers() {
    let project = project();
    let registry = OhociRegistry::start();
    let place = format!("{}/deps:1", registry.host());
    let report = build(&project, &["--push", &place]);
    let repository = Repository {
        peer: registry.peer(),
        name: "deps",
    };
    each_image_has_its_own(&project, &repository, &report, |image| {
        repository.referrers(image).unwrap()
    });
    // No tag but the one that was asked for.
    let tags = registry
        .peer()
        .send(reqwest::Method::GET, "/v2/deps/tags/list", "", Vec::new())
        .unwrap();
    let tags: Value = serde_json::from_slice(&tags.body).unwrap();
    assert_eq!(tags["tags"], serde_json::json!(["1"]));

    assert_eq!(
        attached(&build(&project, &["--push", &place])),
        attached(&report)
    );
    each_image_has_its_own(&project, &repository, &report, |image| {
        repository.referrers(image).unwrap()
    });
}

#[test]
fn a_registry_that_lists_no_referrers_gets_a_tag_for_each_image() {
    let project = project();
    let registry = DebianRegistry::open();
    let place = format!("{}/deps:1", registry.host());
    let report = build(&project, &["--push", &place]);
    let repository = Repository {
        peer: registry.peer(Access::Anonymous),
        name: "deps",
    };
    let subject = report["attached"][0]["subject"].as_str().unwrap();
    assert_eq!(repository.referrers(subject), None);
    let list = |image: &str| repository.manifest(&image.replace(':', "-"));
    each_image_has_its_own(&project, &repository, &report, list);

    // Neither again nor by somebody who knows nothing is anything listed twice.
    let before = list(subject);
    assert_eq!(
        attached(&build(&project, &["--push", &place])),
        attached(&report)
    );
    fs_err::remove_dir_all(project.ohoci.work().join("../cache")).unwrap();
    assert_eq!(
        attached(&build(&project, &["--push", &place])),
        attached(&report)
    );
    assert_eq!(list(subject), before);
}

/// What the entries of a layout's `index.json` are, sorted, and their digests.
fn entries(layout: &std::path::Path) -> Vec<(String, String)> {
    let index = json_of(layout.join("index.json"));
    let mut entries: Vec<(String, String)> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let kind = entry["artifactType"].as_str().unwrap_or("image").to_owned();
            (kind, entry["digest"].as_str().unwrap().to_owned())
        })
        .collect();
    entries.sort();
    entries
}

#[test]
fn a_layout_holds_the_documents_beside_the_image_and_is_still_read_without_a_tag() {
    let project = project();
    let report = build(&project, &["-o", "oci:out:1"]);
    let layout = project.ohoci.work().join("out");
    let index = json_of(layout.join("index.json"));
    let mut found: Vec<(String, String)> = Vec::new();
    for entry in index["manifests"].as_array().unwrap() {
        let Some(kind) = entry["artifactType"].as_str() else {
            assert_eq!(entry["digest"], report["digest"]);
            continue;
        };
        let manifest = document(&layout, entry);
        assert_eq!(manifest["artifactType"], kind);
        // The subject is there, with its own size and type.
        let subject = document(&layout, &manifest["subject"]);
        let config = document(&layout, &subject["config"]);
        let platform = format!("linux/{}", config["architecture"].as_str().unwrap());
        let bill = document(&layout, &manifest["layers"][0]);
        assert_eq!(hashes(&bill), locked(&project, &platform));
        found.push((platform, kind.to_owned()));
    }
    found.sort();
    let expected: Vec<(String, String)> = ["linux/amd64", "linux/arm64"]
        .into_iter()
        .flat_map(|platform| [SPDX, CYCLONEDX].map(|kind| (platform.to_owned(), kind.to_owned())))
        .collect();
    assert_eq!(found, expected);

    let before = entries(&layout);
    assert_eq!(
        attached(&build(&project, &["-o", "oci:out:1"])),
        attached(&report)
    );
    assert_eq!(entries(&layout), before);

    let shown = project
        .ohoci
        .run(["inspect", "oci:out", "--format", "json"])
        .exits(0)
        .json();
    assert_eq!(shown["digest"], report["digest"]);
    project.deps(0, &["audit", "oci:out", "--platform", "linux/amd64"]);
}

#[test]
fn an_image_for_one_platform_is_the_subject_itself() {
    let project = project();
    let report = build(&project, &["-o", "oci:out:1", "--platform", "linux/arm64"]);
    let told = attached(&report);
    assert_eq!(told.len(), 2);
    let layout = project.ohoci.work().join("out");
    for (platform, _, subject, digest) in told {
        assert_eq!(platform, "linux/arm64");
        let manifest = json_of(layout.join("blobs").join(digest.replace(':', "/")));
        assert_eq!(manifest["subject"]["digest"].as_str(), Some(&*subject));
        let image = json_of(layout.join("blobs").join(subject.replace(':', "/")));
        let config = document(&layout, &image["config"]);
        assert_eq!(config["architecture"], "arm64");
    }
}

#[test]
fn archives_are_refused_before_anything_is_built() {
    let project = project();
    project.mirror.take_requests();
    for place in ["oci-archive:out.tar:1", "docker-archive:out.tar:out:1"] {
        let (_, stderr) = project.deps(2, &[&BUILD[..], &["-o", place]].concat());
        assert!(stderr.contains("out.tar"), "{stderr}");
        assert!(
            stderr.contains("only registries and OCI layouts"),
            "{stderr}"
        );
        assert!(stderr.contains("hint: leave out --attach-sbom"), "{stderr}");
    }
    assert!(!project.ohoci.work().join("out.tar").exists());
    assert_eq!(project.mirror.take_requests(), []);
}

#[test]
fn skopeo_copies_an_image_out_of_a_layout_that_has_documents() {
    let project = project();
    let report = build(&project, &["-o", "oci:out:1"]);
    let out = Ohoci::new();
    let (from, to) = (
        format!("oci:{}:1", project.ohoci.work().join("out").display()),
        format!("oci:{}:1", out.work().join("copy").display()),
    );
    crate::support::clients::skopeo(&["copy", "--all", &from, &to]);
    let index = json_of(out.work().join("copy/index.json"));
    assert_eq!(index["manifests"][0]["digest"], report["digest"]);
}

#[test]
fn with_a_key_each_document_is_signed_beside_its_image_and_so_is_the_image() {
    let project = project();
    let registry = OhociRegistry::start();
    let place = format!("{}/deps:1", registry.host());
    key_pair(&project.ohoci.work());
    let report = build(&project, &["--push", &place, "--sign-key", "mine.pem"]);
    let kinds: Vec<String> = attached(&report)
        .into_iter()
        .map(|(_, kind, ..)| kind)
        .collect();
    let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
    assert_eq!(
        kinds,
        [
            SPDX, CYCLONEDX, SPDX, CYCLONEDX, bundle, bundle, bundle, bundle
        ]
    );
    project
        .ohoci
        .run(["verify", "--key", "mine.pub", &place])
        .exits(0);
    for (platform, _, subject, _) in attached(&report).into_iter().skip(4) {
        let image = format!("{}/deps@{subject}", registry.host());
        let found = project
            .ohoci
            .run(["verify", "--key", "mine.pub", "--format", "json", &image])
            .json();
        let mut said: Vec<(&str, &str)> = found["signatures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                (
                    one["predicateType"].as_str().unwrap(),
                    one["by"].as_str().unwrap(),
                )
            })
            .collect();
        said.sort_unstable();
        let wanted = [
            ("https://cyclonedx.org/bom", "mine.pub"),
            ("https://spdx.dev/Document", "mine.pub"),
        ];
        assert_eq!(said, wanted, "{platform}");
    }
}
