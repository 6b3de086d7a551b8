//! The same places seen by another tool.

use std::process::Command;

use ohoci_image::Content;

use crate::local_places::support::*;

/// Runs skopeo, which must be installed.
fn skopeo(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("skopeo")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| {
            panic!("these tests need skopeo (Debian package `skopeo`): {error}")
        });
    assert!(
        output.status.success(),
        "skopeo {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

#[tokio::test]
async fn skopeo_reads_what_ohoci_writes_and_the_other_way_round() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let image = ordinary("a");
    let kinds = [
        ("oci", "tag"),
        ("oci-archive", "tag"),
        ("docker-archive", "demo:1"),
    ];
    for (kind, tag) in kinds {
        write(kind, &at(kind), &image, &[tag]).await;
        let ours = reference(kind, &at(kind), tag).to_string();
        let config = skopeo(&["inspect", "--config", "--raw", &ours]);
        assert!(config == image.config, "{kind}");
        for (other, other_tag) in kinds {
            let path = at(&format!("{kind}-{other}"));
            let theirs = reference(other, &path, other_tag);
            skopeo(&["copy", "--quiet", &ours, &theirs.to_string()]);
            let source = source(other, &path, other_tag).await;
            let root = source.root().await.unwrap();
            assert_eq!(config_of(&root), config_of(&image.manifest), "{theirs}");
            let Content::Image { layers, .. } = root.content() else {
                panic!("an image");
            };
            assert_eq!(layers.len(), 2);
            for layer in layers {
                content(&*source, layer).await.unwrap();
            }
        }
    }
}
