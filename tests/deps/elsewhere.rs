//! What recipes take from elsewhere: archives, paths in images, npm packages.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha512};
use testbed::file_server::FileServer;

use super::build::{document, json_of, listing};
use crate::support::command::Ohoci;
use crate::support::peer::sha256;

const TOKEN: &str = "a-secret-token";

/// A compressed tar of files.
fn tarball(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive.into_inner().unwrap()).unwrap();
    gzip.finish().unwrap()
}

/// A server with an archive and an npm package, and a recipe that takes both, and a path in an
/// image.
pub(super) struct Project {
    pub(super) ohoci: Ohoci,
    server: FileServer,
}

impl Project {
    fn new() -> Self {
        let archive = tarball(&[("tool-1/share/data", "from the archive")]);
        let package = tarball(&[
            (
                "package/package.json",
                r#"{"name": "@s/pkg", "version": "1.0.0"}"#,
            ),
            ("package/cli.js", "#!/usr/bin/env node\n"),
        ]);
        Self::of(archive, package)
    }

    /// With this archive, and this tarball of `@s/pkg` 1.0.0.
    pub(super) fn of(archive: Vec<u8>, package: Vec<u8>) -> Self {
        let integrity = format!("sha512-{}", STANDARD.encode(Sha512::digest(&package)));
        let digest = sha256(&archive);
        let server = FileServer::start(BTreeMap::from([
            ("files/tool-1.tgz".to_owned(), archive),
            ("npm/@s/pkg/-/pkg-1.0.0.tgz".to_owned(), package),
        ]));
        let ohoci = Ohoci::new();
        ohoci.write("work/image/opt/thing/file", "from the image");
        ohoci
            .run([
                "compose",
                "--base",
                "scratch",
                "--layer",
                "image",
                "--push",
                "oci:image-1:x",
            ])
            .exits(0);
        ohoci.write(
            "work/layers/package-lock.json",
            format!(
                r#"{{"lockfileVersion": 3, "packages": {{
                    "": {{"dependencies": {{"@s/pkg": "1.0.0"}}}},
                    "node_modules/@s/pkg": {{"version": "1.0.0", "integrity": "{integrity}",
                        "bin": {{"pkg": "cli.js"}}}}}}}}"#
            ),
        );
        let host = server.url();
        let host = host.trim_start_matches("http:");
        ohoci.write(
            "home/.npmrc",
            format!("registry=http:{host}npm/\n{host}npm/:_authToken={TOKEN}\n"),
        );
        let project = Self { ohoci, server };
        project.recipe(&digest, "oci:image-1:x");
        project
    }

    fn recipe(&self, digest: &str, image: &str) {
        let url = self.server.url();
        self.ohoci.write(
            "work/layers/more.toml",
            format!(
                "name = \"more\"\nplatforms = [\"{}\"]\n\n\
                 [[archive]]\nurl = \"{url}files/tool-1.tgz\"\ndigest = \"{digest}\"\n\
                 strip = 1\nto = \"tool\"\n\n\
                 [[image]]\nref = \"{image}\"\npath = \"/opt/thing\"\nto = \"thing\"\n\n\
                 [npm]\nlockfile = \"package-lock.json\"\ntarget = \"node\"\n",
                platform()
            ),
        );
    }

    #[track_caller]
    pub(super) fn deps(&self, code: i32, arguments: &[&str]) -> String {
        let outcome = self.ohoci.run([&["deps"], arguments].concat()).exits(code);
        match code {
            0 => outcome.stdout,
            _ => outcome.stderr,
        }
    }

    fn lock(&self) -> PathBuf {
        self.ohoci.work().join("layers/more.lock")
    }
}

/// What an image that is made here is for.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "linux/arm64",
        _ => "linux/amd64",
    }
}

#[test]
fn archives_images_and_npm_packages_are_locked_fetched_and_built() {
    let project = Project::new();
    project.deps(0, &["lock", "layers/more.toml"]);
    let lock = fs_err::read_to_string(project.lock()).unwrap();
    assert!(
        !lock.contains("127.0.0.1"),
        "a lock names no hosts:\n{lock}"
    );
    for line in ["kind = \"archive\"", "kind = \"image\"", "kind = \"npm\""] {
        assert!(lock.contains(line), "{lock}");
    }
    project.deps(0, &["fetch", "layers/more.toml"]);
    let requests = project.server.take_requests();
    let sent: Vec<_> = requests
        .iter()
        .filter_map(|request| Some((&*request.path, request.authorization.as_deref()?)))
        .collect();
    assert!(!sent.is_empty());
    for (path, header) in sent {
        assert_eq!(header, format!("Bearer {TOKEN}"));
        assert!(path.starts_with("npm/"), "the token went to {path}");
    }

    let build = [
        "build",
        "layers/more.toml",
        "--offline",
        "--locked",
        "--format",
        "json",
        "-o",
    ];
    let digest = |out: &str| {
        let report = project.deps(0, &[&build[..], &[out]].concat());
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        report["digest"].as_str().unwrap().to_owned()
    };
    assert_eq!(digest("oci:out:x"), digest("oci:again:x"));
    assert_eq!(project.server.take_requests(), []);
    let layout = project.ohoci.work().join("out");
    let mut manifest = document(&layout, &json_of(layout.join("index.json"))["manifests"][0]);
    if manifest["manifests"].is_array() {
        manifest = document(&layout, &manifest["manifests"][0]);
    }
    let files = listing(&layout, &manifest["layers"][0]);
    assert_eq!(files["openhands/tool/share/data"], "from the archive");
    assert_eq!(files["openhands/thing/file"], "from the image");
    assert_eq!(
        files["openhands/node/node_modules/.bin/pkg"],
        "-> ../@s/pkg/cli.js"
    );
}

#[test]
fn an_archive_with_another_digest_is_refused_when_it_is_locked() {
    let project = Project::new();
    project.recipe(&sha256(b"something else"), "oci:image-1:x");
    let stderr = project.deps(1, &["lock", "layers/more.toml"]);
    assert!(stderr.contains("feature more"), "{stderr}");
    assert!(stderr.contains("hashes to sha256:"), "{stderr}");
    assert!(!project.lock().exists());
}

#[test]
fn an_image_that_changed_is_told_from_the_locked_one() {
    let project = Project::new();
    project.deps(0, &["lock", "layers/more.toml"]);
    project.ohoci.write("work/image/opt/thing/file", "changed");
    project
        .ohoci
        .run([
            "compose",
            "--base",
            "scratch",
            "--layer",
            "image",
            "--push",
            "oci:image-1:x",
        ])
        .exits(0);
    fs_err::remove_dir_all(project.ohoci.work().join("../cache")).unwrap();
    let stderr = project.deps(1, &["fetch", "layers/more.toml"]);
    assert!(stderr.contains("thing for linux/"), "{stderr}");
}

#[test]
fn a_changed_lockfile_of_npm_makes_the_lock_stale() {
    let project = Project::new();
    project.deps(0, &["lock", "layers/more.toml"]);
    project.deps(0, &["lock", "layers/more.toml", "--check"]);
    let path = project.ohoci.work().join("layers/package-lock.json");
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::write(&path, text.replace("cli.js", "other.js")).unwrap();
    let stderr = project.deps(4, &["lock", "layers/more.toml", "--check"]);
    assert!(stderr.contains("more"), "{stderr}");
}

#[test]
fn a_source_must_say_where_it_is() {
    let project = Project::new();
    project.ohoci.write(
        "work/layers/more.toml",
        format!(
            "name = \"more\"\nplatforms = [\"linux/amd64\"]\n[[archive]]\ndigest = \"{}\"\nto = \"x\"\n",
            sha256(b"")
        ),
    );
    let stderr = project.deps(1, &["lock", "layers/more.toml"]);
    assert!(stderr.contains("needs either url or path"), "{stderr}");
    project.ohoci.write(
        "work/layers/more.toml",
        "name = \"more\"\nplatforms = [\"linux/amd64\"]\n[npm]\nlockfile = \"gone.json\"\ntarget = \"x\"\n",
    );
    let stderr = project.deps(1, &["lock", "layers/more.toml"]);
    assert!(stderr.contains("gone.json"), "{stderr}");
    assert!(stderr.contains("package.json"), "{stderr}");
}
