//! `ohoci copy --all-tags` and `--tag`: tags of a repository go to the same tags, and only those.

use ohoci_image::media_type::{Compression, Family};

use super::sample;
use crate::support::command::Ohoci;
use crate::support::ohoci_registry::OhociRegistry;

#[test]
fn all_tags_or_those_of_a_pattern_are_copied() {
    let (ohoci, registry) = (Ohoci::new(), OhociRegistry::start());
    let host = registry.host();
    for (tag, compression) in [
        ("v1.0", Compression::Gzip),
        ("v1.1", Compression::None),
        ("latest", Compression::None),
    ] {
        sample(Family::Oci, compression).push(&registry.peer(), "from", tag);
    }
    let from = format!("{host}/from");
    let to = format!("{host}/to");
    let outcome = ohoci
        .run([
            "copy",
            "--tag",
            "v1.*",
            &from,
            &to,
            "oci:layout",
            "--format=json",
        ])
        .exits(0);
    assert_eq!(outcome.json().as_array().unwrap().len(), 2);
    let tags = |repository: &str| ohoci.run(["ls", repository]).exits(0).stdout;
    assert_eq!(tags(&to), "v1.0\nv1.1\n");
    ohoci.run(["inspect", "oci:layout:v1.1"]).exits(0);
    ohoci.run(["inspect", "oci:layout:latest"]).exits(1);
    let everything = format!("{host}/everything");
    ohoci
        .run(["copy", "--all-tags", &from, &everything])
        .exits(0);
    assert_eq!(tags(&everything), "latest\nv1.0\nv1.1\n");
    for tag in ["latest", "v1.0", "v1.1"] {
        let digest = |name: &str| {
            let reference = format!("{name}:{tag}");
            ohoci.run(["digest", &reference]).exits(0).stdout
        };
        assert_eq!(digest(&from), digest(&everything));
    }
}

#[test]
fn what_names_no_repository_or_no_tag_is_refused() {
    let (ohoci, registry) = (Ohoci::new(), OhociRegistry::start());
    let host = registry.host();
    sample(Family::Oci, Compression::None).push(&registry.peer(), "from", "1");
    let from = format!("{host}/from");
    let tagged = format!("{from}:1");
    let to = format!("{host}/to");
    for (arguments, code, said) in [
        (vec!["--all-tags", &tagged, &to], 2, "names one image"),
        (vec!["--all-tags", "oci:dir", &to], 2, "no repository"),
        (vec!["--tag", "v*", &from, &to], 1, "none of its 1 tags"),
        (
            vec!["--all-tags", &from, "docker-archive:a.tar"],
            1,
            "holds one image",
        ),
        (vec!["--tag", "[", &from, &to], 2, "--tag"),
    ] {
        let outcome = ohoci
            .run([&["copy"][..], arguments.as_slice()].concat())
            .exits(code);
        assert!(outcome.stderr.contains(said), "{said}: {}", outcome.stderr);
    }
}
