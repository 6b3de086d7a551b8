//! `ohoci deps lock` writes down what a recipe comes to, and nothing about this machine.

use testbed::debian::{Archive, Deb};
use testbed::file_server::Fault;

use super::{Project, archive, tool};

#[test]
fn a_lock_holds_both_platforms_and_no_host() {
    let project = Project::new();
    let (stdout, stderr) = project.deps(0, &["lock", "layers/core.toml"]);
    assert_eq!(stdout, "layers/core.lock\n");
    assert!(stderr.contains("+ libtool 2:1.5-1, 2:1.5-1+b1"), "{stderr}");
    assert!(stderr.contains("linux/arm64: 3 packages, "), "{stderr}");
    let lock = project.lock();
    assert!(
        !lock.contains("127.0.0.1") && !lock.contains("http"),
        "{lock}"
    );
    let blocks: Vec<&str> = lock.split("\n\n").skip(3).collect();
    let digests = regex_free(&blocks[1..].join("\n\n"));
    insta::assert_snapshot!(digests, @r#"
    [[debian]]
    name = "libtool"
    version = "2:1.5-1"
    feature = "core"
    [debian.file]
    "linux/amd64" = { path = "pool/main/libtool/libtool_1.5-1_amd64.deb", size = N, digest = "sha256:…" }

    [[debian]]
    name = "libtool"
    version = "2:1.5-1+b1"
    feature = "core"
    [debian.file]
    "linux/arm64" = { path = "pool/main/libtool/libtool_1.5-1+b1_arm64.deb", size = N, digest = "sha256:…" }

    [[debian]]
    name = "tool"
    version = "1.0-1"
    feature = "core"
    needs = ["data", "libtool"]
    [debian.file]
    "linux/amd64" = { path = "pool/main/tool/tool_1.0-1_amd64.deb", size = N, digest = "sha256:…" }
    "linux/arm64" = { path = "pool/main/tool/tool_1.0-1_arm64.deb", size = N, digest = "sha256:…" }
    "#);
    assert!(
        blocks[0].contains("\nany = { path = \"pool/main/data/data_3_all.deb\""),
        "{}",
        blocks[0]
    );
}

/// The text without sizes and digests, which depend on the compressor.
fn regex_free(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(", size = ") {
        Some((path, _)) => format!("{path}, size = N, digest = \"sha256:…\" }}"),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn locking_again_changes_nothing_and_asks_for_no_index_again() {
    let project = Project::new();
    let lock = project.locked();
    project.mirror.take_requests();
    // A new release with the same packages is no reason to touch the lock.
    project.publish(&archive().date("Fri, 02 Jan 2026 00:00:00 UTC"));
    let (_, stderr) = project.deps(0, &["lock", "layers/core.toml"]);
    assert!(!stderr.contains('+'), "{stderr}");
    assert_eq!(project.lock(), lock);
    let paths: Vec<String> = project
        .mirror
        .take_requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(paths, ["dists/trixie/InRelease"]);
}

#[test]
fn indexes_come_by_their_digest_and_by_their_name_where_that_fails() {
    let project = Project::new();
    project.locked();
    let paths: Vec<String> = project
        .mirror
        .take_requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(paths.len(), 3, "{paths:?}");
    let by_hash: Vec<&String> = paths
        .iter()
        .filter(|path| path.contains("/by-hash/"))
        .collect();
    assert_eq!(by_hash.len(), 2, "{paths:?}");

    let other = Project::new();
    for path in by_hash {
        other.mirror.fault(path, Fault::Status(404));
    }
    other.locked();
    let requests = other.mirror.take_requests();
    let plain = requests
        .iter()
        .filter(|request| request.path.ends_with("Packages.xz"));
    assert_eq!(plain.count(), 2);
}

#[test]
fn check_asks_nobody_and_ends_with_4_when_the_recipe_has_moved_on() {
    let project = Project::new();
    let (_, stderr) = project.deps(4, &["lock", "--check", "layers/core.toml"]);
    assert!(
        stderr.contains("layers/core.lock: there is none"),
        "{stderr}"
    );
    project.locked();
    project.mirror.take_requests();
    project.deps(0, &["lock", "--check", "layers/core.toml"]);
    project.recipe("packages = [\"tool\", \"mawk\"]");
    let lock = project.lock();
    let (_, stderr) = project.deps(4, &["lock", "--check", "layers/core.toml"]);
    assert_eq!(
        stderr,
        "layers/core.lock: core asks for mawk, not locked yet\n"
    );
    let (stdout, _) = project.deps(
        4,
        &["lock", "--check", "--format", "json", "layers/core.toml"],
    );
    assert!(stdout.contains("\"fresh\": false"), "{stdout}");
    assert_eq!(project.lock(), lock);
    assert_eq!(project.mirror.take_requests(), []);
    // What decides nothing does not make it stale.
    project.recipe("# why\npackages = [\"tool\"]\ndrop = [\"usr/share/doc/**\"]");
    project.deps(0, &["lock", "--check", "layers/core.toml"]);
}

#[test]
fn one_package_is_updated_alone() {
    let project = Project::new();
    let lock = project.locked();
    let newer = Archive::new("trixie")
        .package(tool("amd64", "1.1-1"))
        .package(tool("arm64", "1.1-1"))
        .package(Deb::new("libtool", "2:1.6-1", "amd64"))
        .package(Deb::new("libtool", "2:1.6-1", "arm64"))
        .package(Deb::new("data", "4", "all"));
    project.publish(&newer);
    let (_, stderr) = project.deps(0, &["lock", "--update", "tool", "layers/core.toml"]);
    assert!(stderr.contains("~ tool 1.0-1 → 1.1-1\n"), "{stderr}");
    let updated = project.lock();
    let kept = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| !line.contains("tool_1.") || line.contains("libtool_"));
        let lines = lines.filter(|line| !line.starts_with("version = \"1."));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(kept(&updated), kept(&lock));
    assert_ne!(updated, lock);

    let (_, stderr) = project.deps(2, &["lock", "--update", "tol", "layers/core.toml"]);
    assert!(stderr.contains("hint: did you mean \"tool\"?"), "{stderr}");
    let (_, stderr) = project.deps(0, &["lock", "layers/core.toml"]);
    assert!(stderr.contains("~ data 3 → 4\n"), "{stderr}");
}

#[test]
fn what_stands_in_the_way_is_shown_where_it_stands() {
    let project = Project::new();
    project.recipe("packages = [\"tol\", \"shell\"]\nchoose = { awk = \"nawk\" }");
    project.publish(
        &archive().package(Deb::new("shell", "1", "all").field("Depends", "awk, nothing")),
    );
    let (stdout, stderr) = project.deps(1, &["lock", "layers/core.toml"]);
    assert_eq!(stdout, "");
    insta::assert_snapshot!(stderr, @r#"
    error: cannot lock layers/core.toml
      layers/core.toml:7:13: the archive has no package tol
        did you mean "tool"?
      layers/core.toml:4:1: shell depends on nothing, but the archive has nothing of that name
        if it can be done without, exclude "nothing" and say why
      layers/core.toml:8:18: shell depends on awk, which gawk or mawk could satisfy; the recipe chooses nawk for "awk", which cannot
        decide it below [debian.choose], such as "awk" = "gawk"
    "#);
    project.recipe("packages = [\"tool\"]\nexclud = {}");
    let (_, stderr) = project.deps(1, &["lock", "layers/core.toml"]);
    assert!(
        stderr.contains("layers/core.toml:8:1: unknown field `exclud`"),
        "{stderr}"
    );
    assert!(
        stderr.contains("hint: did you mean \"exclude\"?"),
        "{stderr}"
    );
}

#[test]
fn a_choice_and_an_exclusion_decide() {
    let project = Project::new();
    project.recipe(
        "packages = [\"shell\"]\nchoose = { awk = \"mawk\" }\nexclude = { tool = \"not here\", gawk2 = \"x\" }",
    );
    project
        .publish(&archive().package(Deb::new("shell", "1", "all").field("Depends", "awk, tool")));
    let (stdout, stderr) = project.deps(0, &["lock", "--format", "json", "layers/core.toml"]);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["packages"], 2);
    assert_eq!(report["changes"]["added"][0]["name"], "mawk");
    assert_eq!(report["platforms"][0]["packages"], 2);
    assert!(
        stderr.contains(
            "warning: layers/core.toml:9:32: the exclusion of \"gawk2\" makes no difference"
        ),
        "{stderr}"
    );
}
