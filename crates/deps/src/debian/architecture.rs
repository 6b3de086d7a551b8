//! Debian's names of architectures (dpkg-architecture(1)).

use ohoci_image::Platform;

/// What Debian calls a platform; `None` when it has no port to it.
#[must_use]
pub(crate) fn of_platform(platform: &Platform) -> Option<&'static str> {
    if platform.os != "linux" {
        return None;
    }
    match (
        platform.architecture.as_str(),
        platform.effective_variant().unwrap_or_default(),
    ) {
        ("amd64", "v1") => Some("amd64"),
        ("arm64", "v8") => Some("arm64"),
        ("arm", "v7") => Some("armhf"),
        ("arm", "v5") => Some("armel"),
        ("386", _) => Some("i386"),
        ("ppc64le", _) => Some("ppc64el"),
        ("riscv64", _) => Some("riscv64"),
        ("s390x", _) => Some("s390x"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_packages_are_built_for() {
        for (platform, name) in [
            ("linux/amd64", Some("amd64")),
            ("linux/arm64/v8", Some("arm64")),
            ("linux/arm", Some("armhf")),
            // Debian's armhf needs v7, and amd64 serves every variant but is v1.
            ("linux/arm/v6", None),
            ("linux/amd64/v3", None),
            ("windows/amd64", None),
        ] {
            assert_eq!(of_platform(&platform.parse().unwrap()), name, "{platform}");
        }
    }
}
