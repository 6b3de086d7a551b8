//! What was composed is read, unpacked and run by other people's programs.

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::clients::{run, run_in_container, skopeo};
use crate::support::debian_registry::DebianRegistry;
use crate::support::docker::Docker;
use crate::support::images::{Layer, Node, busybox};
use crate::support::peer::{Access, sha256};
use crate::support::workbench::Workbench;

/// Bases of both families with a file that a higher layer of theirs deletes, composed with the deps
/// image: `app:docker`, `app:oci`, `app:zstd` (a third layer, zstd) and `app:bottom`.
struct Scene {
    _registry: DebianRegistry,
    bench: Workbench,
}

const TAGS: [&str; 4] = ["docker", "oci", "zstd", "bottom"];

impl Scene {
    fn new() -> Self {
        let registry = DebianRegistry::open();
        let bench = Workbench::new(&registry.host(), registry.peer(Access::Anonymous));
        bench.push_deps("@/deps:1");
        bench.ohoci.write("work/own/file", "own file\n");
        let file = |text: &str| Node::File(text.as_bytes().to_vec());
        for (tag, family, flags) in [
            (TAGS[0], Family::Docker, &[][..]),
            (TAGS[1], Family::Oci, &[]),
            (
                TAGS[2],
                Family::Docker,
                &["--layer", "own:/own", "--compression", "zstd"],
            ),
            (TAGS[3], Family::Oci, &["--position", "bottom"]),
        ] {
            busybox(family, Compression::Gzip)
                .layer(Layer::pack(
                    &[
                        ("opt", Node::Directory),
                        ("opt/deleted", file("deleted")),
                        ("opt/kept", file("kept\n")),
                    ],
                    Compression::Gzip,
                ))
                .layer(Layer::pack(
                    &[("opt", Node::Directory), ("opt/.wh.deleted", file(""))],
                    Compression::Gzip,
                ))
                .build()
                .push(&bench.peer, "base", "1");
            let target = format!("@/app:{tag}");
            let arguments = [
                "--base", "@/base:1", "--deps", "@/deps:1", "--push", &target,
            ];
            bench.composed(&[&arguments, flags].concat());
        }
        Self {
            bench,
            _registry: registry,
        }
    }

    fn source(&self, tag: &str) -> String {
        format!("docker://{}/app:{tag}", self.bench.host)
    }
}

/// What has to come out of [`LOOK`] in every image.
const SEEN: &str = "hello from the deps\nkept\ntool found on the path\n1\n";
const LOOK: &str = "cat /openhands/share/greeting /opt/*; tool found on the path; echo $OPENHANDS";

#[test]
fn skopeo_inspects_and_copies_it() {
    let scene = Scene::new();
    for tag in TAGS {
        let source = scene.source(tag);
        let made = scene.bench.pull("app", tag);
        let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &source]);
        assert_eq!(sha256(raw.as_bytes()), made.digest);
        let inspected = skopeo(&["inspect", "--tls-verify=false", &source]);
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        assert_eq!(inspected["Digest"], json!(made.digest));
        assert_eq!(inspected["Layers"], json!(made.layers()));
        let config = skopeo(&["inspect", "--config", "--tls-verify=false", &source]);
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["config"]["Entrypoint"], json!(["tool"]));
        assert_eq!(config["rootfs"], made.config["rootfs"]);

        // Reading every layer, skopeo checks each digest and diff ID.
        let target = TempDir::new().unwrap();
        let target = format!("oci:{}:{tag}", target.path().display());
        skopeo(&[
            "copy",
            "--quiet",
            "--src-tls-verify=false",
            &source,
            &target,
        ]);
        let copy = format!("docker://{}/copy:{tag}", scene.bench.host);
        skopeo(&[
            "copy",
            "--quiet",
            "--preserve-digests",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            &source,
            &copy,
        ]);
        assert_eq!(scene.bench.pull("copy", tag).digest, made.digest);
    }
}

#[test]
fn it_runs_with_the_environment_and_the_entrypoint_of_the_deps() {
    let scene = Scene::new();
    for tag in TAGS {
        let done = run_in_container(&scene.source(tag), &["sh", "-c", LOOK]);
        assert_eq!(done.stdout, SEEN, "{tag}: {}", done.stderr);
        let done = run_in_container(&scene.source(tag), &[]);
        assert_eq!(done.stdout, "tool by default\n", "{tag}: {}", done.stderr);
    }
    let own = run_in_container(&scene.source("zstd"), &["cat", "/own/file"]);
    assert_eq!(own.stdout, "own file\n");
}

#[test]
fn buildah_pulls_it_and_runs_in_it() {
    let scene = Scene::new();
    let storage = TempDir::new().unwrap();
    let path = |name: &str| storage.path().join(name).to_str().unwrap().to_owned();
    let (root, runroot) = (path("root"), path("runroot"));
    let buildah = |arguments: &[&str]| -> String {
        let store = [
            "--root",
            &root,
            "--runroot",
            &runroot,
            "--storage-driver",
            "vfs",
        ];
        let done = run("buildah", &[&store, arguments].concat());
        assert_eq!(done.code, Some(0), "{arguments:?}: {}", done.stderr);
        done.stdout
    };
    for tag in TAGS {
        let image = format!("{}/app:{tag}", scene.bench.host);
        let source = scene.source(tag);
        buildah(&["pull", "--quiet", "--tls-verify=false", &source]);
        let container = buildah(&["from", "--pull-never", &image]);
        let container = container.trim();
        let seen = buildah(&[
            "run",
            "--isolation",
            "chroot",
            container,
            "--",
            "sh",
            "-c",
            LOOK,
        ]);
        assert_eq!(seen, SEEN, "{tag}");
        let entrypoint = buildah(&[
            "inspect",
            "--format",
            "{{.OCIv1.Config.Entrypoint}}",
            container,
        ]);
        assert_eq!(entrypoint.trim(), "[tool]");
        buildah(&["rm", container]);
    }
    buildah(&["rmi", "--all", "--force"]);
}

/// Where there can be no daemon, as in a container without privileges, this has to say so: nobody
/// must believe that Docker ran the image when it did not.
const WITHOUT_DOCKER: &str = "OHOCI_TESTS_WITHOUT_DOCKER";

#[test]
fn docker_pulls_and_runs_it() {
    let scene = Scene::new();
    let docker = match Docker::start() {
        Ok(docker) => docker,
        Err(reason) if std::env::var_os(WITHOUT_DOCKER).is_some() => {
            Docker::missing("docker_pulls_and_runs_it", &reason);
            let done = run_in_container(&scene.source("docker"), &["sh", "-c", LOOK]);
            assert_eq!(done.stdout, SEEN, "{}", done.stderr);
            return;
        }
        Err(reason) => panic!(
            "Docker does not start: {reason}\n{WITHOUT_DOCKER}=1 says that the image is to be run in \
             another way where there can be no daemon"
        ),
    };
    for tag in TAGS {
        // Docker 20.10 knows no zstd.
        if tag == "zstd" && !docker.knows_zstd() {
            continue;
        }
        let image = format!("{}/app:{tag}", scene.bench.host);
        docker.succeeds(&["pull", "--quiet", &image]);
        let once = ["run", "--rm", "--network", "none"];
        let run = |options: &[&str], command: &[&str]| {
            docker.succeeds(&[&once, options, &[&image], command].concat())
        };
        assert_eq!(run(&[], &[]), "tool by default\n", "{tag}");
        assert_eq!(run(&[], &["by", "hand"]), "tool by hand\n", "{tag}");
        let seen = run(&["--entrypoint", "sh"], &["-c", LOOK]);
        assert_eq!(seen, SEEN, "{tag}");
    }
}
