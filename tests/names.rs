//! `ohoci ls`, `ohoci digest`, `ohoci delete`: names in registries are listed, resolved and taken away,
//! and nothing is said to be gone that is not.

use ohoci_image::media_type::{Compression, Family};
use serde_json::json;

use crate::support::command::Ohoci;
use crate::support::debian_registry::DebianRegistry;
use crate::support::images::{Image, Index, Layer, Node, bare};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::Access;

fn image(content: &str) -> Image {
    let content = Node::File(content.as_bytes().to_vec());
    bare(
        Family::Oci,
        vec![Layer::pack(&[("a", content)], Compression::None)],
    )
    .build()
}

#[test]
fn tags_are_listed_in_their_order() {
    let (ohoci, registry) = (Ohoci::new(), OhociRegistry::start());
    let repository = format!("{}/some/app", registry.host());
    for tag in ["b", "10", "a"] {
        image("x").push(&registry.peer(), "some/app", tag);
    }
    let outcome = ohoci.run(["ls", &repository]).exits(0);
    assert_eq!(outcome.stdout, "10\na\nb\n");
    let outcome = ohoci.run(["ls", &repository, "--format", "json"]).exits(0);
    assert_eq!(
        outcome.json(),
        json!({"repository": repository, "tags": ["10", "a", "b"]})
    );
    let tagged = format!("{repository}:a");
    let outcome = ohoci.run(["ls", &tagged]).exits(2);
    assert!(
        outcome.stderr.contains("names one image"),
        "{}",
        outcome.stderr
    );
    let missing = format!("{}/no/app", registry.host());
    ohoci.run(["ls", &missing]).exits(1);
}

#[test]
fn a_digest_takes_one_head_and_for_a_platform_it_is_the_images() {
    let (ohoci, registry) = (Ohoci::new(), OhociRegistry::start());
    let arm = bare(Family::Oci, vec![]).platform("arm64", None).build();
    let index = Index::new(Family::Oci, vec![image("x"), arm]);
    index.push(&registry.peer(), "app", "1");
    registry.take_requests();
    let reference = format!("{}/app:1", registry.host());
    let outcome = ohoci.run(["digest", &reference]).exits(0);
    assert_eq!(outcome.stdout.trim_end(), index.digest);
    let requests = registry.take_requests();
    assert_eq!(requests.len(), 1, "{requests:?}");
    let arguments = ["digest", &reference, "--platform", "linux/arm64"];
    let outcome = ohoci.run(arguments).exits(0);
    assert_eq!(outcome.stdout.trim_end(), index.images[1].digest);
    index.write_layout(&ohoci.work().join("layout"), "1");
    let outcome = ohoci.run(["digest", "oci:layout:1"]).exits(0);
    assert_eq!(outcome.stdout.trim_end(), index.digest);
    let missing = format!("{}/app:2", registry.host());
    ohoci.run(["digest", &missing]).exits(1);
}

#[test]
fn what_is_deleted_is_gone_and_what_is_not_is_told() {
    let (ohoci, registry) = (Ohoci::new(), OhociRegistry::start());
    let made = image("x");
    for tag in ["one", "two"] {
        made.push(&registry.peer(), "app", tag);
    }
    let app = format!("{}/app", registry.host());
    let (one, three) = (format!("{app}:one"), format!("{app}:three"));
    let outcome = ohoci.run(["delete", &one, &three]).exits(1);
    assert_eq!(outcome.stdout, format!("deleted {one}\n"));
    assert_eq!(outcome.stderr, format!("error: {three} is not there\n"));
    assert_eq!(ohoci.run(["ls", &app]).exits(0).stdout, "two\n");
    let by_digest = format!("{app}@{}", made.digest);
    let outcome = ohoci
        .run(["delete", &by_digest, "--format", "json"])
        .exits(0);
    assert_eq!(
        outcome.json(),
        json!([{"reference": by_digest, "deleted": true}])
    );
    assert_eq!(ohoci.run(["ls", &app]).exits(0).stdout, "");
    // Nothing is deleted that was not named in full, nor what is understood before what is not.
    for bad in [app.as_str(), "oci:layout:1"] {
        made.push(&registry.peer(), "app", "four");
        let four = format!("{app}:four");
        ohoci.run(["delete", &four, bad]).exits(2);
        assert_eq!(ohoci.run(["ls", &app]).exits(0).stdout, "four\n");
    }
}

/// Debian's registry deletes nothing as it is installed.
#[test]
fn a_registry_that_refuses_is_quoted_with_what_may_help() {
    let (ohoci, registry) = (Ohoci::new(), DebianRegistry::open());
    image("x").push(&registry.peer(Access::Anonymous), "app", "1");
    let reference = format!("{}/app:1", registry.host());
    let outcome = ohoci.run(["delete", &reference]).exits(1);
    assert_eq!(outcome.stdout, "");
    let said = format!("error: cannot delete {reference}: ");
    assert!(outcome.stderr.starts_with(&said), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("hint: "), "{}", outcome.stderr);
    ohoci.run(["digest", &reference]).exits(0);
}
