//! Image names in a docker archive: long to compare, short to write.

use crate::oci::RegistryReference;
use crate::oci::reference::DOCKER_HUB;

/// The name with its registry and tag; `None` when it is no name with a tag.
pub(super) fn normalized(name: &str) -> Option<String> {
    let reference: RegistryReference = name.parse().ok()?;
    if reference.digest().is_some() {
        return None;
    }
    let tag = reference.tag().unwrap_or("latest");
    Some(format!("{}:{tag}", reference.name()))
}

/// The name as `docker save` writes it: without Docker Hub in front, with a tag.
pub(super) fn familiar(name: &str) -> Option<String> {
    let full = normalized(name)?;
    let hub = format!("{DOCKER_HUB}/");
    let official = format!("{DOCKER_HUB}/library/");
    let short = full
        .strip_prefix(&official)
        .or_else(|| full.strip_prefix(&hub))
        // Some names mean something else when they are short: docker.io/a.b/c.
        .filter(|short| normalized(short).as_ref() == Some(&full))
        .map(str::to_owned);
    Some(short.unwrap_or(full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_mean_what_long_ones_do() {
        for (name, short) in [
            ("debian:12", Some("debian:12")),
            ("debian", Some("debian:latest")),
            ("docker.io/library/debian:12", Some("debian:12")),
            ("docker.io/openhands/x:1", Some("openhands/x:1")),
            ("docker.io/a.b/c:1", Some("docker.io/a.b/c:1")),
            ("registry.example/a/b:1", Some("registry.example/a/b:1")),
            ("localhost/demo", Some("localhost/demo:latest")),
            ("Debian:12", None),
            ("", None),
            ("a:b:c", None),
        ] {
            assert_eq!(familiar(name).as_deref(), short, "{name}");
        }
        let digest = crate::oci::Digest::of(b"");
        assert_eq!(familiar(&format!("debian@{digest}")), None);
    }
}
