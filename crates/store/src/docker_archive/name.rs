//! Image names in a docker archive: in full, to compare and to write.

use ohoci_image::RegistryReference;

/// The name with its registry and tag, as `podman save` writes it; `None` when it is no name with a
/// tag. `docker save` leaves Docker Hub out; Docker takes both for the same, and Podman takes a name
/// without a registry for one of its own machine's, under which nothing that asks for the image finds it.
pub(super) fn normalized(name: &str) -> Option<String> {
    let reference: RegistryReference = name.parse().ok()?;
    if reference.digest().is_some() {
        return None;
    }
    let tag = reference.tag().unwrap_or("latest");
    Some(format!("{}:{tag}", reference.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_mean_what_long_ones_do() {
        for (name, full) in [
            ("debian:12", Some("docker.io/library/debian:12")),
            ("debian", Some("docker.io/library/debian:latest")),
            ("openhands/x:1", Some("docker.io/openhands/x:1")),
            ("registry.example/a/b:1", Some("registry.example/a/b:1")),
            ("localhost/demo", Some("localhost/demo:latest")),
            ("Debian:12", None),
            ("", None),
            ("a:b:c", None),
        ] {
            assert_eq!(normalized(name).as_deref(), full, "{name}");
        }
        let digest = ohoci_image::Digest::of(b"");
        assert_eq!(normalized(&format!("debian@{digest}")), None);
    }
}
