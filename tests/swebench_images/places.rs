//! Where images go and repositories come from: registries, archives, URLs; and who builds.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::base::said;
use super::scene::{IMAGE, Scene};
use super::{BOTH, digests};
use crate::support::answering::{Answering, answer};
use crate::support::certificates::key_pair;
use crate::support::clients;
use crate::support::command::Outcome;
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::deps_directory;

const SECOND: &str = "swebench/sweb.eval.x86_64.example_1776_tool-2:latest";

/// What both instances' repositories say in their images.
const VALUE: &str = "python -c 'import tool; print(tool.VALUE)'";

#[test]
fn a_registry_gets_each_shared_layer_once() {
    let scene = Scene::new();
    let registry = OhociRegistry::start();
    let place = format!("{}/mirror", registry.host());
    let report = scene
        .images(&BOTH, &["--push", &place, "--format", "json"])
        .exits(0)
        .json();
    assert_eq!(scene.says(&format!("{place}/{IMAGE}"), VALUE), "1\n");
    assert_eq!(scene.says(&format!("{place}/{SECOND}"), VALUE), "2\n");
    // The base, Python, packages and history, two instances, two configs.
    let uploads = registry
        .take_requests()
        .into_iter()
        .filter(|(method, target)| method == "PUT" && target.contains("/blobs/uploads/"));
    assert_eq!(uploads.count(), 8);

    // Under the same names and the same bytes as in a layout.
    let layout = scene.built(&BOTH, &[]);
    assert_eq!(digests(&layout), digests(&report));

    // Nothing is uploaded again.
    registry.take_requests();
    scene.images(&BOTH, &["--push", &place]).exits(0);
    let requests = registry.take_requests();
    let writes = requests
        .iter()
        .filter(|(method, _)| method != "GET" && method != "HEAD");
    assert_eq!(writes.count(), 0, "{requests:?}");

    let words = ["swebench", "audit-leak", &format!("{place}/{SECOND}")];
    scene.ohoci.run(words).exits(0);
}

#[test]
fn archives_hold_all_images_under_names_that_others_find() {
    let scene = Scene::new();
    let places = [
        "--push",
        "docker-archive:images.tar",
        "--push",
        "oci-archive:images.oci.tar",
    ];
    scene.images(&BOTH, &places).exits(0);
    let archive = scene.ohoci.work().join("images.tar");
    let archive = archive.display();
    for (image, value) in [(IMAGE, "1\n"), (SECOND, "2\n")] {
        for scheme in ["docker-archive:images.tar", "oci-archive:images.oci.tar"] {
            assert_eq!(scene.says(&format!("{scheme}:{image}"), VALUE), value);
        }
        let script = format!(". /opt/miniconda3/bin/activate; conda activate testbed; {VALUE}");
        let command = ["/bin/bash", "-c", &script];
        let done =
            clients::run_in_container(&format!("docker-archive:{archive}:{image}"), &command);
        assert_eq!(done.stdout, value, "{}", done.stderr);
    }
    // Podman looks for images of Docker Hub under their whole names.
    let list = said(
        Command::new("tar")
            .args(["xOf", "images.tar", "manifest.json"])
            .current_dir(scene.ohoci.work()),
    );
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["RepoTags"][0], format!("docker.io/{IMAGE}"));
}

#[test]
fn with_a_deps_image_an_agent_can_work_in_it() {
    let scene = Scene::new();
    let directory = deps_directory(&scene.ohoci, "deps-files");
    let layer = format!("{}:/openhands", directory.display());
    let label = r#"ohoci.patch={"env":{"PATH":"/openhands/bin:${PATH}","OPENHANDS":"1"}}"#;
    let words = [
        "compose",
        "--base",
        "scratch",
        "--layer",
        &layer,
        "--label",
        label,
        "--push",
        "oci:deps:1",
    ];
    scene.ohoci.run(words).exits(0);
    let plain = scene.built(&BOTH[..1], &[]);
    let agent = scene.built(&BOTH[..1], &["--deps", "oci:deps:1", "--tag", "agent"]);
    let levels = agent["instances"][0]["levels"].as_array().unwrap();
    assert!(levels.iter().all(|level| level["fromCache"] == true));
    assert_ne!(digests(&agent), digests(&plain));
    let image = "oci:images:swebench/sweb.eval.x86_64.example_1776_tool-1:agent";
    // The agent's programs, and the instance as it was.
    let script = format!("tool here; echo $OPENHANDS; {VALUE}; git status --porcelain");
    assert_eq!(scene.says(image, &script), "tool here\n1\n1\n");
    // Without anything activated, too, where the image says.
    let outcome = scene
        .ohoci
        .run(["run", image, "--", "/bin/sh", "-c", "tool $PWD"]);
    assert_eq!(outcome.exits(0).stdout, "tool /testbed\n");
    let inspected = scene.ohoci.run(["inspect", image]).exits(0);
    assert!(inspected.stdout.contains("├─ deps"), "{}", inspected.stdout);

    let refused = scene.images(&BOTH[..1], &["--deps", "oci:deps:1", "--push", "dir:roots"]);
    assert!(refused.exits(2).stderr.contains("--deps"));
}

/// A server of files, as git's "dumb" protocol needs it.
fn files(directory: &Path) -> Answering {
    let directory = directory.to_owned();
    Answering::start(move |request| {
        let path = request
            .target
            .split('?')
            .next()
            .unwrap()
            .trim_start_matches('/');
        Some(match fs_err::read(directory.join(path)) {
            Ok(content) => answer(200, &[], content),
            Err(_) => answer(404, &[], ""),
        })
    })
}

#[test]
fn repositories_are_cloned_from_urls_once() {
    let scene = Scene::new();
    let work = scene.ohoci.work();
    let bare = work.join("served/example/tool.git");
    let source = scene.repository().0.display().to_string();
    said(
        Command::new("git")
            .args(["clone", "--quiet", "--bare", &source])
            .arg(&bare),
    );
    said(
        Command::new("git")
            .arg("-C")
            .arg(&bare)
            .arg("update-server-info"),
    );
    let server = files(&work.join("served"));
    let all = format!("file://{}", work.join("served").display());
    let template = format!("http://{}/{{repo}}.git", server.host());
    let one = format!("example/tool=http://{}/example/tool.git", server.host());
    let more = [
        "--push",
        "oci:images",
        "--format",
        "json",
        "--max-workers",
        "2",
    ];
    let mut found = Vec::new();
    for url in [&all, &template, &one] {
        found.push(digests(
            &scene.images_from(url, &BOTH, &more).exits(0).json(),
        ));
    }
    assert!(
        found.iter().all(|digests| *digests == found[0]),
        "{found:?}"
    );
    // Two instances, one clone of each URL; and two of the URLs are the same.
    let clones = fs_err::read_dir(work.join("../cache/ohoci/repositories")).unwrap();
    let clones = clones.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".git")
    });
    assert_eq!(clones.count(), 2);

    // What came since is fetched; what is nowhere is told with the place that was asked.
    let words = [
        "commit-tree",
        "-p",
        &scene.second,
        "-m",
        "later",
        "HEAD^{tree}",
    ];
    let fresh = scene.repository().git(&words, 9);
    let branch = format!("{fresh}:refs/heads/later");
    let to = bare.display().to_string();
    scene
        .repository()
        .git(&["push", "--quiet", &to, &branch], 9);
    said(
        Command::new("git")
            .arg("-C")
            .arg(&bare)
            .arg("update-server-info"),
    );
    let rows = fs_err::read_to_string(work.join("rows.jsonl")).unwrap();
    let rows = rows.replace(&scene.second, &fresh);
    let path = scene.ohoci.write("work/rows.jsonl", rows);
    let more = ["--push", "oci:images"];
    scene.images_from(&template, &BOTH[1..], &more).exits(0);
    let nowhere = "1".repeat(40);
    let rows = fs_err::read_to_string(&path)
        .unwrap()
        .replace(&fresh, &nowhere);
    fs_err::write(&path, rows).unwrap();
    let secret = template.replace("http://", "http://user:secret@");
    let outcome = scene.images_from(&secret, &BOTH[1..], &more).exits(1);
    let told = format!("with commit {nowhere}");
    assert!(outcome.stderr.contains(&told), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("secret"), "{}", outcome.stderr);
    let outcome = scene
        .images_from("http://127.0.0.1:1", &BOTH[1..], &more)
        .exits(1);
    let told = "http://127.0.0.1:1/example/tool: git clone: ";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
}

/// Runs a command as an ordinary user who sees one directory ($1) that is hidden from others by one
/// above it ($2), if that is so.
const AS_USER: &str = r#"set -e
if [ -n "$2" ]; then
    mount --bind "$1" /mnt
    mount -t tmpfs -o mode=755 tmpfs "$2"
    mkdir -p "$1"
    mount --move /mnt "$1"
fi
shift 2
exec setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs -- "$@""#;

#[test]
fn an_ordinary_user_builds_the_same() {
    if !rustix::process::geteuid().is_root() {
        // Then all other tests have shown it.
        return;
    }
    let scene = Scene::new();
    let expected = digests(&scene.built(&BOTH, &[]));
    let work = scene.ohoci.work();
    let root = work.parent().unwrap().to_owned();
    let python = fs_err::canonicalize(work.join("pythons/this")).unwrap();
    let others_may = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode() & 1 == 1;
    let hiding = python.ancestors().find(|above| !others_may(above));
    let hiding = hiding.map_or_else(PathBuf::new, Path::to_owned);
    fs_err::remove_dir_all(root.join("cache")).unwrap();
    fs_err::create_dir(root.join("cache")).unwrap();
    fs_err::create_dir(root.join("tmp")).unwrap();
    let program = root.join("ohoci");
    fs_err::copy(env!("CARGO_BIN_EXE_ohoci"), &program).unwrap();
    fs_err::set_permissions(&root, std::fs::Permissions::from_mode(0o755)).unwrap();
    said(Command::new("chown").args(["-R", "65534:65534"]).arg(&root));
    let as_user = |words: &[&str]| {
        let command = scene.ohoci.command();
        let mut given = Command::new("unshare");
        given
            .args(["--mount", "--", "/bin/sh", "-c", AS_USER, "sh"])
            .args([&python, &hiding])
            .arg(&program)
            .args(words)
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("TMPDIR", root.join("tmp"))
            .env("PIP_NO_INDEX", "1")
            .env("PIP_FIND_LINKS", work.join("wheels"))
            .current_dir(&work);
        Outcome::of(&mut given)
    };
    let words = [
        "swebench",
        "images",
        "--dataset_name",
        "rows.jsonl",
        "--specs",
        "specs.json",
        "--repo-source",
        "repositories",
        "--python-dir",
        "pythons",
        "--base-image",
        "oci:base:1",
        "--push",
        "oci:theirs",
        "--format",
        "json",
        "--instance_ids",
        BOTH[0],
        BOTH[1],
    ];
    let report = as_user(&words).exits(0).json();
    assert_eq!(digests(&report), expected);
    let image = format!("oci:theirs:{IMAGE}");
    let script = format!(". /opt/miniconda3/bin/activate; conda activate testbed; {VALUE}");
    let ran = as_user(&["run", &image, "--", "/bin/bash", "-c", &script]);
    assert_eq!(ran.exits(0).stdout, "1\n");
    let roots = words.map(|word| {
        if word == "oci:theirs" {
            "dir:roots"
        } else {
            word
        }
    });
    as_user(&roots).exits(0);
    let head = work
        .join("roots")
        .join(IMAGE.replace(['/', ':'], "__"))
        .join("testbed/.git/HEAD");
    assert!(head.is_file());
    let left: Vec<_> = fs_err::read_dir(root.join("tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn images_are_signed_where_something_about_them_can_be() {
    let scene = Scene::new();
    key_pair(&scene.ohoci.work());
    let signing = ["--all-levels", "--sign-key", "mine.pem", "--provenance"];
    let report = scene.built(&["example__tool-1"], &signing);
    for pushed in report["instances"][0]["pushed"].as_array().unwrap() {
        let reference = pushed["reference"].as_str().unwrap();
        let verify = ["verify", "--key", "mine.pub", "--format", "json", reference];
        let found = scene.ohoci.run(verify).exits(0).json();
        let mut said: Vec<&str> = found["signatures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["predicateType"].as_str().unwrap())
            .collect();
        said.sort_unstable();
        let wanted = [
            "https://sigstore.dev/cosign/sign/v1",
            "https://slsa.dev/provenance/v1",
        ];
        assert_eq!(said, wanted, "{reference}");
    }
    for place in ["dir:roots", "oci-archive:images.tar"] {
        let unsigned = [&["--push", place][..], &signing].concat();
        let refused = scene.images(&["example__tool-1"], &unsigned).exits(2);
        let words = format!("images in {place} cannot be signed");
        assert!(refused.stderr.contains(&words), "{}", refused.stderr);
    }
}
