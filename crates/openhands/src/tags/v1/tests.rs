//! Vectors: asserted by unit tests of upstream (`tests/agent_server/test_docker_build.py`), or
//! computed by running upstream's code.

use super::*;

#[derive(Debug)]
enum Upstream {
    Test,
    Code,
}

#[test]
fn slugs_are_upstreams() {
    let long = "ghcr.io/org/very-long-repository-name:v1.2.3";
    let pinned = format!("ubuntu@sha256:{}", "a".repeat(64));
    for (upstream, base, max_length, expected) in [
        (Upstream::Test, "python:3.13", 64, "python_tag_3.13"),
        (Upstream::Test, "python:3.13", 15, "python_tag_3.13"),
        (
            Upstream::Test,
            "ghcr.io/org/repo:v1.0",
            64,
            "ghcr.io_s_org_s_repo_tag_v1.0",
        ),
        (Upstream::Test, "python", 64, "python"),
        (
            Upstream::Test,
            "ghcr.io/org/repo",
            64,
            "ghcr.io_s_org_s_repo",
        ),
        (
            Upstream::Test,
            "ghcr.io/very-long-organization-name/very-long-repository-name:very-long-tag-v1.2.3-alpha.1+build.123",
            64,
            "very-lon_tag_very-long-tag-v1.2.3-alpha.1+build.123-cdb8db90d8c5",
        ),
        (
            Upstream::Test,
            "ghcr.io/very-long-organization-name-here/very-long-repository-name-that-exceeds-max-length",
            64,
            "very-long-repository-name-that-exceeds-max-length-2a772685291d",
        ),
        (
            Upstream::Test,
            "docker.io/swebench/sweb.eval.x86_64.astropy_1776_astropy-8872:tag_latest-0a797356ebce",
            64,
            "sweb.eval.x86_64.astropy_17_tag_latest-0a797356ebce-e023ce15bc3b",
        ),
        (
            Upstream::Test,
            "localhost:5001/swebench/sweb.eval.x86_64.astropy_1776_astropy-8872:tag_latest-0a797356ebce",
            64,
            "sweb.eval.x86_64.astropy_17_tag_latest-0a797356ebce-0138a908f35e",
        ),
        (
            Upstream::Code,
            long,
            40,
            "very-long-reposi_tag_v1.2.3-54820527fa60",
        ),
        (
            Upstream::Test,
            long,
            100,
            "ghcr.io_s_org_s_very-long-repository-name_tag_v1.2.3",
        ),
        (
            Upstream::Code,
            "docker.io/swebench/sweb.eval.x86_64.django_1776_django-11333:latest",
            64,
            "sweb.eval.x86_64.django_1776_django-1133_tag_latest-02695814cad3",
        ),
        (
            Upstream::Code,
            "nikolaik/python-nodejs:python3.13-nodejs22-slim",
            64,
            "nikolaik_s_python-nodejs_tag_python3.13-nodejs22-slim",
        ),
        (
            Upstream::Code,
            &pinned,
            64,
            "_tag_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-05288cfe80b0",
        ),
    ] {
        assert_eq!(base_slug(base, max_length), expected, "{upstream:?}");
    }
}

#[test]
fn repository_and_tag_are_cut_as_upstream_does() {
    for (repository, tag, budget, expected) in [
        ("repo", "v1", 20, "repo_tag_v1"),
        ("averylongrepo", "tag", 10, "av_tag_tag"),
        ("repo", "averylongtag", 8, "_tag_ave"),
        ("averylongrepo", "", 5, "avery"),
    ] {
        let cut = truncate_ident(repository, tag, budget);
        assert_eq!(cut, expected);
    }
}

#[test]
fn releases_have_shorter_names() {
    for (upstream, version, expected) in [
        (Upstream::Test, "v1.2.3", &["v1", "v1.2", "v1.2.3"][..]),
        (Upstream::Test, "1.2.3", &["1", "1.2", "1.2.3"]),
        (
            Upstream::Test,
            "release/v1.2.3+build",
            &["release-v1.2.3-build"],
        ),
        (Upstream::Code, "1.02.3", &["1.02.3"]),
        (Upstream::Code, "1.2.3.4", &["1.2.3.4"]),
        (Upstream::Code, "-+-", &["unknown"]),
        (Upstream::Code, " ", &[]),
    ] {
        assert_eq!(release_tag_aliases(version), expected, "{upstream:?}");
    }
}

#[test]
fn branches_have_tags_and_other_refs_have_none() {
    for (git_ref, expected) in [
        ("refs/heads/Feature/Release_1", Some("feature-release-1")),
        ("main", Some("main")),
        ("refs/tags/v1.2.3", None),
        ("refs/pull/12/merge", None),
        ("refs/heads/", Some("unknown")),
        ("unknown", None),
        ("", None),
    ] {
        let tag = branch_tag(git_ref);
        assert_eq!(tag.as_deref(), expected, "{git_ref}");
    }
}

fn inputs(custom: &[&str]) -> Inputs {
    Inputs {
        custom_tags: custom.iter().map(|&tag| tag.to_owned()).collect(),
        sha: "abc1234567890".to_owned(),
        git_ref: UNKNOWN.to_owned(),
        sdk_version: UNKNOWN.to_owned(),
        arch: None,
        target: DEFAULT_TARGET.to_owned(),
        flavor: Flavor::Default,
        base_tag: false,
        versioned_tags: false,
    }
}

#[test]
fn versioned_tags_are_upstreams() {
    for (custom, git_ref, sdk_version, expected) in [
        (
            &["python"][..],
            "refs/tags/v1.2.3",
            "1.2.3",
            &["1-python", "1.2-python", "1.2.3-python"][..],
        ),
        (
            &["python"],
            "refs/tags/v1.2.3",
            "unknown",
            &["1-python", "1.2-python", "1.2.3-python"],
        ),
        (
            &["python", "java", "golang"],
            "unknown",
            "1.2.0",
            &[
                "1-python",
                "1.2-python",
                "1.2.0-python",
                "1-java",
                "1.2-java",
                "1.2.0-java",
                "1-golang",
                "1.2-golang",
                "1.2.0-golang",
            ],
        ),
        (
            &["python"],
            "refs/tags/build-docker",
            "1.2.0",
            &["build-docker-python"],
        ),
        (&[], "unknown", "1.2.0", &[]),
    ] {
        let inputs = Inputs {
            git_ref: git_ref.to_owned(),
            sdk_version: sdk_version.to_owned(),
            ..inputs(custom)
        };
        assert_eq!(inputs.versioned_tags(), expected);
    }
}

#[test]
fn all_tags_come_in_upstreams_order() {
    // The first is a vector of upstream's tests; those behind it are put together from others.
    let branch = Inputs {
        sha: "abc1234567890fedcba".to_owned(),
        git_ref: "refs/heads/Feature/Release_1".to_owned(),
        ..inputs(&["python"])
    };
    assert_eq!(
        branch.tags("").unwrap(),
        [
            "abc1234-python",
            "abc1234567890fedcba-python",
            "feature-release-1-python",
        ]
    );
    let everything = Inputs {
        sdk_version: "1.2.0".to_owned(),
        base_tag: true,
        versioned_tags: true,
        arch: Some("amd64".to_owned()),
        target: "source-minimal".to_owned(),
        ..branch
    };
    assert_eq!(
        everything.tags("python:3.13").unwrap(),
        [
            "abc1234-python-amd64-source-minimal",
            "abc1234567890fedcba-python-amd64-source-minimal",
            "feature-release-1-python-amd64-source-minimal",
            "abc1234-python_tag_3.13-amd64-source-minimal",
            "1-python-amd64-source-minimal",
            "1.2-python-amd64-source-minimal",
            "1.2.0-python-amd64-source-minimal",
        ]
    );
}

/// Computed by running upstream's code (1.58.2).
#[test]
fn flavors_are_upstreams() {
    let everything = Inputs {
        git_ref: "refs/heads/main".to_owned(),
        sdk_version: "1.2.0".to_owned(),
        base_tag: true,
        versioned_tags: true,
        arch: Some("amd64".to_owned()),
        ..inputs(&["python"])
    };
    for (flavor, target, end) in [
        (Flavor::Slim, "binary", "-slim-amd64"),
        (Flavor::Slim, "source-minimal", "-slim-amd64-source-minimal"),
        (Flavor::Minimal, "binary-minimal", "-minimal-amd64"),
        (Flavor::Minimal, "source", "-minimal-amd64-source"),
        (Flavor::Default, "binary-minimal", "-amd64-binary-minimal"),
    ] {
        let inputs = Inputs {
            flavor,
            target: target.to_owned(),
            ..everything.clone()
        };
        let starts = [
            "abc1234-python",
            "abc1234567890-python",
            "main-python",
            "abc1234-python_tag_3.13",
            "1-python",
            "1.2-python",
            "1.2.0-python",
        ];
        assert_eq!(
            inputs.tags("python:3.13").unwrap(),
            starts.map(|start| format!("{start}{end}"))
        );
    }
}

#[test]
fn suffixes_are_upstreams() {
    let release = Inputs {
        git_ref: "refs/tags/v1.2.0".to_owned(),
        sdk_version: "1.2.0".to_owned(),
        versioned_tags: true,
        arch: Some("amd64".to_owned()),
        ..inputs(&["python"])
    };
    let tags = release.tags("").unwrap();
    for expected in [
        "1-python-amd64",
        "1.2-python-amd64",
        "1.2.0-python-amd64",
        "abc1234567890-python-amd64",
    ] {
        assert!(tags.iter().any(|tag| tag == expected), "{tags:?}");
    }
    let source = Inputs {
        git_ref: "refs/heads/main".to_owned(),
        arch: None,
        target: "source".to_owned(),
        ..release
    };
    let tags = source.tags("").unwrap();
    for expected in [
        "1-python-source",
        "1.2-python-source",
        "1.2.0-python-source",
        "abc1234567890-python-source",
    ] {
        assert!(tags.iter().any(|tag| tag == expected), "{tags:?}");
    }
}

#[test]
fn a_wanted_base_must_be_there_and_something_must_be_wanted() {
    let base = Inputs {
        base_tag: true,
        ..inputs(&["python"])
    };
    assert_eq!(base.tags(""), Err(TagError::NoBase));
    assert_eq!(inputs(&[" "]).tags(""), Err(TagError::NothingWanted));
}

/// Upstream makes a tag with `+` here, which no registry takes.
#[test]
fn an_illegal_slug_becomes_a_legal_tag() {
    let base = Inputs {
        base_tag: true,
        ..inputs(&[])
    };
    assert_eq!(
        base.tags("registry.example/a:1.0+x").unwrap(),
        ["abc1234-registry.example_s_a_tag_1.0-x-02876ce07844"]
    );
}
