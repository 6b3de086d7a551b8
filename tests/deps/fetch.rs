//! `ohoci deps fetch` brings what is locked into the cache, once, whole and verified.

use testbed::debian::Archive;
use testbed::file_server::{Fault, FileServer};

use super::{Project, archive};

const DATA: &str = "pool/main/data/data_3_all.deb";
const TOOL: &str = "pool/main/tool/tool_1.0-1_amd64.deb";

#[test]
fn what_is_locked_is_downloaded_once() {
    let project = Project::new();
    project.locked();
    project.mirror.take_requests();
    let before = project.cached();
    let (stdout, stderr) = project.deps(0, &["fetch", "layers/core.toml"]);
    assert_eq!(stdout, "");
    assert!(stderr.starts_with("5 files, "), "{stderr}");
    assert_eq!(project.cached(), before + 5);
    assert_eq!(project.asked_for().len(), 5);
    let (stdout, _) = project.deps(0, &["fetch", "layers/core.toml", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["files"], 5);
    assert_eq!(report["downloaded_files"], 0);
    assert_eq!(project.asked_for(), []);
}

#[test]
fn no_lock_is_made_with_locked_and_without() {
    let project = Project::new();
    for arguments in [
        &["fetch", "layers/core.toml"][..],
        &["fetch", "layers/core.toml", "--locked"],
    ] {
        let (_, stderr) = project.deps(1, arguments);
        assert!(stderr.contains("ohoci deps lock"), "{stderr}");
        assert_eq!(project.asked_for(), []);
    }
    project.locked();
    project.deps(0, &["fetch", "layers/core.toml", "--locked"]);
}

#[test]
fn one_platform_can_be_fetched_alone() {
    let project = Project::new();
    project.locked();
    project.mirror.take_requests();
    project.deps(
        0,
        &["fetch", "layers/core.toml", "--platform", "linux/arm64"],
    );
    let paths = project.asked_for();
    assert_eq!(paths.len(), 3);
    assert!(
        paths.iter().all(|(path, _)| !path.contains("amd64")),
        "{paths:?}"
    );
    let (_, stderr) = project.deps(
        2,
        &["fetch", "layers/core.toml", "--platform", "linux/s390x"],
    );
    assert!(
        stderr.contains("core is for linux/amd64 and linux/arm64"),
        "{stderr}"
    );
}

#[test]
fn a_download_goes_on_where_it_broke_off() {
    let project = Project::new();
    let size = archive_size(&project.locked(), DATA);
    project.mirror.take_requests();
    let half = size / 2;
    project.mirror.fault(DATA, Fault::Cut(half));
    project.mirror.fault(DATA, Fault::Cut(10));
    project.mirror.fault(DATA, Fault::NoRange);
    project.mirror.fault(TOOL, Fault::Status(503));
    project.deps(0, &["fetch", "layers/core.toml"]);
    let asked = project.asked_for();
    let ranges = |wanted: &str| -> Vec<Option<String>> {
        let matching = asked.iter().filter(|(path, _)| path == wanted);
        matching.map(|(_, range)| range.clone()).collect()
    };
    assert_eq!(
        ranges(DATA),
        [
            None,
            Some(format!("bytes={half}-")),
            Some(format!("bytes={}-", half + 10)),
        ]
    );
    assert_eq!(ranges(TOOL).len(), 2);
}

#[test]
fn the_next_run_goes_on_where_one_gave_up() {
    let project = Project::new();
    let size = archive_size(&project.locked(), DATA);
    let half = size / 2;
    project.mirror.fault(DATA, Fault::Cut(half));
    for _ in 0..4 {
        project.mirror.fault(DATA, Fault::Status(503));
    }
    let fetch = ["fetch", "layers/core.toml"];
    let (_, stderr) = project.deps(1, &fetch);
    assert!(stderr.contains("503 Service Unavailable"), "{stderr}");
    project.mirror.take_requests();
    project.deps(0, &fetch);
    assert!(
        project
            .asked_for()
            .contains(&(DATA.to_owned(), Some(format!("bytes={half}-"))))
    );
    assert_eq!(unfinished(&project), 0);

    // What was left may be wrong; then it is downloaded whole.
    let project = Project::new();
    let lock = project.locked();
    let line = lock.lines().find(|line| line.contains(DATA)).unwrap();
    let digest = line.split("sha256:").nth(1).unwrap();
    let digest = digest.split('"').next().unwrap();
    let part = project.ohoci.work().join("../cache/ohoci/unfinished");
    fs_err::write(part.join(format!("sha256-{digest}")), b"wrong").unwrap();
    project.mirror.take_requests();
    project.deps(0, &fetch);
    let ranges: Vec<_> = project
        .asked_for()
        .into_iter()
        .filter(|(path, _)| path == DATA)
        .map(|(_, range)| range)
        .collect();
    assert_eq!(ranges, [Some("bytes=5-".to_owned()), None]);
    assert_eq!(unfinished(&project), 0);
}

fn unfinished(project: &Project) -> usize {
    let directory = project.ohoci.work().join("../cache/ohoci/unfinished");
    fs_err::read_dir(directory).unwrap().count()
}

fn archive_size(lock: &str, path: &str) -> usize {
    let line = lock.lines().find(|line| line.contains(path)).unwrap();
    let size = line.split("size = ").nth(1).unwrap();
    size.split(',').next().unwrap().parse().unwrap()
}

#[test]
fn what_has_left_the_mirrors_is_named_with_the_ways_out() {
    let project = Project::new();
    let lock = project.locked();
    project.mirror.remove(TOOL);
    project.mirror.remove(DATA);
    let (_, stderr) = project.deps(1, &["fetch", "layers/core.toml"]);
    let line = lock.lines().position(|line| line.contains(TOOL)).unwrap() + 1;
    assert!(
        stderr.contains("error: cannot download what layers/core.lock names\n"),
        "{stderr}"
    );
    assert!(
        stderr.contains(&format!("  tool 1.0-1 for linux/amd64 (line {line}): ")),
        "{stderr}"
    );
    assert!(stderr.contains("  data 3 for linux/"), "{stderr}");
    assert!(stderr.contains("404 Not Found"), "{stderr}");
    for way in [
        "ohoci deps lock layers/core.toml",
        "debian-snapshots",
        "--cache-dir",
        "deps image",
    ] {
        assert!(stderr.contains(way), "{way}: {stderr}");
    }
}

#[test]
fn a_build_takes_what_mirrors_have_now_unless_it_is_to_be_as_locked() {
    let project = Project::new();
    let old = project.locked();
    // A version that has superseded the locked one, as every few days.
    let newer = archive()
        .package(super::tool("amd64", "1.1-1"))
        .package(super::tool("arm64", "1.1-1"));
    project.publish(&newer);
    project.mirror.remove(TOOL);
    let build = ["build", "layers/core.toml", "-o", "oci:out:1"];
    let (_, stderr) = project.deps(1, &[&build[..], &["--locked"]].concat());
    assert!(stderr.contains("404 Not Found"), "{stderr}");
    assert_eq!(project.lock(), old);
    let (_, stderr) = project.deps(0, &build);
    assert!(
        stderr.contains("mirrors no longer have what was locked")
            && stderr.contains("~ tool 1.0-1 → 1.1-1"),
        "{stderr}"
    );
    assert_ne!(project.lock(), old);
    // Which is the lock from then on.
    project.deps(0, &[&build[..], &["--locked"]].concat());
}

#[test]
fn an_archive_of_snapshots_has_what_has_left_the_mirrors() {
    let project = Project::new();
    project.locked();
    let old = archive().files(
        &project.key,
        testbed::debian::key::SignatureSettings::at(super::SIGNED),
    );
    let snapshots = FileServer::start(
        old.into_iter()
            .map(|(path, content)| (format!("20260101T000000Z/debian/{path}"), content))
            .collect(),
    );
    project.mirror.remove(TOOL);
    project.configure(&format!(
        "[mirrors]\ndebian = [\"{}\"]\ndebian-snapshots = [\"{}{{time}}/debian\"]\n",
        project.mirror.url(),
        snapshots.url()
    ));
    project.deps(0, &["fetch", "layers/core.toml"]);
    let paths = snapshots.take_requests();
    assert_eq!(paths.len(), 1);
    assert_eq!(paths[0].path, format!("20260101T000000Z/debian/{TOOL}"));
}

#[test]
fn what_is_not_what_was_locked_is_not_kept() {
    let project = Project::new();
    let lock = project.locked();
    let size = archive_size(&lock, TOOL);
    let before = project.cached();
    for (content, words) in [
        (vec![0; size], "what it has hashes to sha256:"),
        (vec![0; size + 1], "bytes or more, not"),
        (vec![0; size - 1], "bytes or more, not"),
    ] {
        project.mirror.put([(TOOL.to_owned(), content)].into());
        let (_, stderr) = project.deps(
            1,
            &["fetch", "layers/core.toml", "--platform", "linux/amd64"],
        );
        assert!(stderr.contains(words), "{stderr}");
        assert!(
            stderr.contains("tool 1.0-1 for linux/amd64 (line "),
            "{stderr}"
        );
        assert!(!stderr.contains("hint: "), "{stderr}");
    }
    assert!(project.cached() <= before + 2);
    // Another mirror that has it right makes up for it.
    let good = FileServer::start(archive().files(
        &project.key,
        testbed::debian::key::SignatureSettings::at(super::SIGNED),
    ));
    project.configure(&format!(
        "[mirrors]\ndebian = [\"{}\", \"{}\"]\n",
        project.mirror.url(),
        good.url()
    ));
    project.deps(0, &["fetch", "layers/core.toml"]);
}

#[test]
fn a_lock_that_is_not_there_or_stale_is_not_fetched() {
    let project = Project::new();
    let (_, stderr) = project.deps(1, &["fetch", "layers/core.toml"]);
    assert!(
        stderr.contains("hint: ohoci deps lock layers/core.toml"),
        "{stderr}"
    );
    project.locked();
    project.recipe("packages = [\"mawk\"]");
    let (_, stderr) = project.deps(1, &["fetch", "layers/core.toml"]);
    assert!(
        stderr.contains("core asks for mawk, not locked yet"),
        "{stderr}"
    );
    assert!(
        stderr.contains("hint: ohoci deps lock layers/core.toml"),
        "{stderr}"
    );
}

#[test]
fn a_mirror_gets_the_credentials_that_are_meant_for_it() {
    let project = Project::of(&Archive::new("trixie").package(super::tool("amd64", "1.0-1")));
    let with_login = project.mirror.url().replace("://", "://me:secret@");
    project.configure(&format!("[mirrors]\ndebian = [\"{with_login}\"]\n"));
    let (_, stderr) = project.deps(1, &["lock", "-v", "layers/core.toml"]);
    assert!(!stderr.contains("secret"), "{stderr}");
    let requests = project.mirror.take_requests();
    // RFC 7617: `me:secret` in base64.
    assert!(
        requests
            .iter()
            .all(|request| request.authorization.as_deref() == Some("Basic bWU6c2VjcmV0")),
        "{requests:?}"
    );
}
