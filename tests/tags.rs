//! `ohoci tags`: the names that OpenHands looks for, from files, flags and variables.

use std::os::unix::fs::symlink;

use serde_json::json;

use crate::support::command::Ohoci;

/// A checkout of OpenHands whose package is the tree of the dirhash vector: its hash,
/// `ccde78b976c41bbf6752e1708cdd095f`, was computed by `dirhash` 0.5.0, its short form
/// `3zbnxfx4dy8r048g` by upstream's code.
fn checkout(ohoci: &Ohoci) {
    for (path, content) in [
        ("openhands/.dotfile", "dot"),
        ("openhands/a/x.py", "hello\n"),
        ("openhands/a/b/y.txt", "w"),
        ("openhands/empty", ""),
        ("openhands/a/z.pyc", "ignored"),
        ("openhands/.hid/f", "ignored"),
        ("openhands/__pycache__/k.py", "ignored"),
        ("pyproject.toml", "pyproject\n"),
        ("poetry.lock", "lock\n"),
    ] {
        ohoci.write(format!("work/src/{path}"), content);
    }
}

#[test]
fn v0_reads_a_checkout() {
    let ohoci = Ohoci::new();
    checkout(&ohoci);
    let base = "nikolaik/python-nodejs:python3.12-nodejs22";
    let outcome = ohoci
        .run([
            "tags",
            "--scheme",
            "v0",
            "--base",
            base,
            "--version",
            "0.62.0",
            "--source",
            "src",
        ])
        .exits(0);
    let name = "nikolaik_s_python-nodejs_t_python3.12-nodejs22";
    assert_eq!(
        outcome.stdout,
        format!(
            "oh_v0.62.0_khxm1cbm196o99y7_3zbnxfx4dy8r048g\noh_v0.62.0_khxm1cbm196o99y7\noh_v0.62.0_{name}\n"
        )
    );
}

#[test]
fn v0_follows_links_and_passes_over_those_that_lead_nowhere() {
    let ohoci = Ohoci::new();
    checkout(&ohoci);
    let package = ohoci.work().join("src/openhands");
    symlink("a", package.join("la")).unwrap();
    symlink("a/x.py", package.join("lf")).unwrap();
    symlink("nowhere", package.join("broken")).unwrap();
    for (path, content) in [("é", "x"), ("__pycache__x", "x"), ("pkg/__pycache__", "x")] {
        ohoci.write(format!("work/src/openhands/{path}"), content);
    }
    let arguments = [
        "tags",
        "--scheme",
        "v0",
        "--base",
        "b",
        "--version",
        "1",
        "--source",
        "src",
    ];
    let outcome = ohoci.run(arguments).exits(0);
    // The short form of what `dirhash` 0.5.0 computes of it, e7c110422c2244d9dbb3431b80f9823f.
    let first = outcome.stdout.lines().next().unwrap();
    assert!(first.ends_with("_z7yg5bgpfxzqzwms"), "{first}");

    symlink("..", package.join("a/up")).unwrap();
    let refused = ohoci.run(arguments).exits(1);
    assert!(
        refused
            .stderr
            .contains("a link to a directory that it is in")
    );
}

#[test]
fn v0_knows_its_version_from_the_checkout() {
    let ohoci = Ohoci::new();
    checkout(&ohoci);
    let arguments = ["tags", "--scheme", "v0", "--base", "b", "--source", "src"];
    let refused = ohoci.run(arguments).exits(2);
    assert!(refused.stderr.contains("--version"), "{}", refused.stderr);
    ohoci.write(
        "work/src/pyproject.toml",
        "[tool.poetry]\nversion = \"0.62.0\"\n",
    );
    let outcome = ohoci.run(arguments).exits(0);
    assert!(outcome.stdout.ends_with("\noh_v0.62.0_b\n"));
}

#[test]
fn v1_takes_commit_and_ref_from_the_environment_as_upstream_does() {
    let ohoci = Ohoci::new();
    let mut command = ohoci.command();
    command
        .args([
            "tags",
            "--scheme",
            "v1",
            "--custom-tag",
            "python",
            "--no-base-tag",
        ])
        .args(["--image", "registry.example/agent-server"])
        .env("SDK_SHA", "")
        .env("GITHUB_SHA", "abc1234567890fedcba")
        .env("SDK_REF", "refs/heads/Feature/Release_1")
        .env("GITHUB_REF", "refs/heads/main");
    let output = command.output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "registry.example/agent-server:abc1234-python\n\
         registry.example/agent-server:abc1234567890fedcba-python\n\
         registry.example/agent-server:feature-release-1-python\n"
    );
}

#[test]
fn v1_prints_all_tags_as_json() {
    let ohoci = Ohoci::new();
    let outcome = ohoci
        .run([
            "tags",
            "--scheme",
            "v1",
            "--base",
            "python:3.13",
            "--custom-tag",
            "python,java",
            "--sha",
            "abc1234567890",
            "--ref",
            "refs/tags/v1.2.0",
            "--sdk-version",
            "1.2.0",
            "--versioned-tag",
            "--arch",
            "amd64",
            "--target",
            "source",
            "--format",
            "json",
        ])
        .exits(0);
    let tags: Vec<String> = [
        "abc1234-python",
        "abc1234567890-python",
        "abc1234-java",
        "abc1234567890-java",
        "abc1234-python_tag_3.13",
        "1-python",
        "1.2-python",
        "1.2.0-python",
        "1-java",
        "1.2-java",
        "1.2.0-java",
    ]
    .iter()
    .map(|tag| format!("{tag}-amd64-source"))
    .collect();
    assert_eq!(
        outcome.json(),
        json!({"scheme": "v1", "base": "python:3.13", "tags": tags})
    );
}

#[test]
fn bench_names_an_instance_after_its_base() {
    let ohoci = Ohoci::new();
    ohoci.write("work/Dockerfile", "FROM scratch\nCOPY a b\n");
    let base = "docker.io/swebench/sweb.eval.x86_64.django_1776_django-11333:latest";
    let name = "sweb.eval.x86_64.django_1776_django-11333";
    let arguments = ["tags", "--scheme", "bench", "--base", base];
    for (more, expected) in [
        (
            &["--sdk-sha", "abcdef1234", "--dockerfile", "Dockerfile"][..],
            format!("abcdef1-e63d3b6-{name}-source-minimal\n"),
        ),
        (
            &["--phase", "base", "--dockerfile", "Dockerfile"],
            format!("e63d3b6-{name}\n"),
        ),
        (
            &["--phase", "builder", "--sha", "abcdef1234"],
            "abcdef1\n".to_owned(),
        ),
        (
            &["--tag-prefix", "nightly", "--target", "source"],
            format!("nightly-{name}-source\n"),
        ),
        (
            &["--benchmark", "multi-swe-bench", "--sha", "abcdef1234"],
            format!("abcdef1-{name}-source-minimal\n"),
        ),
    ] {
        let outcome = ohoci.run(arguments.iter().chain(more)).exits(0);
        assert_eq!(outcome.stdout, expected);
    }
    let refused = ohoci
        .run(arguments.iter().chain(&["--sha", "abcdef1"]))
        .exits(2);
    assert!(
        refused
            .stderr
            .contains("hint: give it with --dockerfile FILE")
    );
}

#[test]
fn content_depends_on_digests_only() {
    let ohoci = Ohoci::new();
    let base = format!("sha256:{}", "a".repeat(64));
    let deps = format!("sha256:{}", "b".repeat(64));
    let common = [
        "tags",
        "--scheme",
        "content",
        "--deps-digest",
        &deps,
        "--patch",
    ];
    let run = |patch: &str, flag: &str, base: &str| {
        let arguments = [&common[..], &[patch, flag, base]].concat();
        ohoci.run(arguments).exits(0).stdout
    };
    let tag = run(r#"{"user":"root"}"#, "--base-digest", &base);
    let pinned = format!("registry.example/base:1@{base}");
    assert_eq!(run(r#"{ "user": "root" }"#, "--base", &pinned), tag);
    assert_ne!(run("{}", "--base-digest", &base), tag);
    let refused = ohoci
        .run(["tags", "--scheme", "content", "--base", "ubuntu:22.04"])
        .exits(2);
    assert!(
        refused.stderr.contains("--base-digest"),
        "{}",
        refused.stderr
    );
}

#[test]
fn what_a_scheme_does_not_depend_on_is_refused() {
    let ohoci = Ohoci::new();
    for arguments in [
        &[
            "--scheme",
            "v1",
            "--sha",
            "abc1234",
            "--base",
            "b",
            "--no-browser",
        ][..],
        &[
            "--scheme",
            "content",
            "--base-digest",
            "sha256:0",
            "--arch",
            "amd64",
        ],
        &["--scheme", "v1", "--base", "b"],
        &["--scheme", "v1", "--sha", "abc1234"],
        &[
            "--scheme", "v1", "--sha", "abc1234", "--base", "b", "--target", "none",
        ],
        &[
            "--scheme", "v1", "--sha", "abc1234", "--base", "b", "--image", "a:tag",
        ],
        &[
            "--scheme",
            "bench",
            "--sha",
            "a",
            "--base",
            "b",
            "--custom-tag",
            "a,b",
        ],
        &["--scheme", "content", "--base", "b", "--patch", "[]"],
    ] {
        ohoci.run(["tags"].iter().chain(arguments)).exits(2);
    }
}
