//! `ohoci deps audit` and `ohoci deps diff`: looking into deps images; and their bills of materials.

use serde_json::Value;
use testbed::debian::{Archive, Deb};

use super::{Project, archive};

fn built(project: &Project, out: &str) -> String {
    let target = format!("oci:{out}:deps");
    project.deps(0, &["build", "layers/core.toml", "-o", &target]);
    target
}

#[test]
fn an_image_that_was_built_passes_and_says_what_weighs() {
    let project = Project::new();
    project.locked();
    let image = built(&project, "out");
    let (stdout, _) = project.deps(0, &["audit", &image, "--sizes", "--report", "page.html"]);
    for expected in [
        "linux/amd64",
        "linux/arm64",
        "works on any base",
        "200.0 kB  data",
    ] {
        assert!(stdout.contains(expected), "{expected}: {stdout}");
    }
    let page = fs_err::read_to_string(project.ohoci.work().join("page.html")).unwrap();
    assert!(page.contains("linux/arm64 by package"), "{page}");
    let (stdout, _) = project.deps(
        0,
        &[
            "audit",
            &image,
            "--platform",
            "linux/arm64",
            "--format",
            "json",
        ],
    );
    let reports: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(reports.as_array().unwrap().len(), 1);
    assert_eq!(reports[0]["layers"][0]["name"], "core");
}

#[test]
fn a_directory_that_would_harm_a_base_is_found_wanting() {
    let project = Project::new();
    project.ohoci.write("work/root/openhands/bin/tool", "fine");
    project.deps(0, &["audit", "root"]);
    project.ohoci.write("work/root/usr/bin/tool", "not fine");
    let (stdout, _) = project.deps(4, &["audit", "root"]);
    assert!(stdout.contains("error: /usr"), "{stdout}");
    assert!(stdout.contains("would not work on every base"), "{stdout}");
}

#[test]
fn a_difference_names_packages_and_files() {
    let project = Project::new();
    project.locked();
    let old = built(&project, "old");
    let (stdout, _) = project.deps(0, &["diff", &old, &old]);
    assert!(
        stdout.contains("files: 0 added, 0 removed, 0 changed"),
        "{stdout}"
    );
    let newer = Archive::new("trixie")
        .package(Deb::new("tool", "2.0-1", "all").file("./usr/bin/tool", b"2.0-1"))
        .package(Deb::new("extra", "1", "all").file("./usr/share/extra", b"new"));
    project.publish(&newer);
    project.recipe("packages = [\"tool\", \"extra\"]");
    project.locked();
    let new = built(&project, "new");
    let (stdout, _) = project.deps(0, &["diff", &old, &new, "--format", "json"]);
    let comparisons: Value = serde_json::from_str(&stdout).unwrap();
    let packages = comparisons[0]["packages"].as_array().unwrap();
    let changes: Vec<String> = packages
        .iter()
        .map(|package| format!("{} {} {}", package["name"], package["old"], package["new"]))
        .collect();
    assert_eq!(
        changes,
        [
            r#""data" "3" null"#,
            r#""extra" null "1""#,
            r#""libtool" "2:1.5-1" null"#,
            r#""tool" "1.0-1" "2.0-1""#,
        ]
    );
    let (stdout, _) = project.deps(0, &["diff", &old, &new]);
    assert!(stdout.contains("~ /openhands/tools/bin/tool"), "{stdout}");
    assert!(stdout.contains("- /openhands/share/data"), "{stdout}");
}

#[test]
fn bills_of_materials_name_every_package_and_no_host() {
    let project = Project::of(&archive());
    project.locked();
    let build = |out: &str| {
        let target = format!("oci:{out}:deps");
        project.deps(
            0,
            &["build", "layers/core.toml", "-o", &target, "--sbom", out],
        );
        let read =
            |name: &str| fs_err::read_to_string(project.ohoci.work().join(out).join(name)).unwrap();
        (
            read("core-linux-amd64.spdx.json"),
            read("core-linux-arm64.cdx.json"),
        )
    };
    let (spdx, cyclonedx) = build("one");
    assert_eq!((spdx.clone(), cyclonedx.clone()), build("two"));
    assert!(!spdx.contains("127.0.0.1") && !cyclonedx.contains("127.0.0.1"));
    let spdx: Value = serde_json::from_str(&spdx).unwrap();
    assert_eq!(spdx["spdxVersion"], "SPDX-2.3");
    let names: Vec<&str> = spdx["packages"].as_array().unwrap()[1..]
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["data", "libtool", "tool"]);
    let cyclonedx: Value = serde_json::from_str(&cyclonedx).unwrap();
    let libtool = &cyclonedx["components"][1];
    assert_eq!(
        libtool["purl"],
        "pkg:deb/debian/libtool@2%3A1.5-1%2Bb1?arch=arm64"
    );
    let tool = cyclonedx["dependencies"][2]["dependsOn"]
        .as_array()
        .unwrap();
    assert_eq!(tool.len(), 2);
}
