//! Names and versions of packages, and the places that packages have in `node_modules`.

/// Whether `name` can be the name of a package, with its scope: what the registry lets in today,
/// and the capital letters of older ones.
pub(super) fn is_package_name(name: &str) -> bool {
    let part = |part: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!'()*".contains(&byte);
        !part.is_empty() && !part.starts_with(['.', '_']) && part.bytes().all(legal)
    };
    let parts = match name.strip_prefix('@') {
        Some(scoped) => scoped
            .split_once('/')
            .is_some_and(|(scope, rest)| part(scope) && part(rest)),
        None => part(name),
    };
    parts && name.len() <= 214 && name != "node_modules"
}

/// Whether `version` consists of what versions consist of (semver 2, without its order).
pub(super) fn is_version(version: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    version.len() <= 256
        && version.starts_with(|first: char| first.is_ascii_digit())
        && version.bytes().all(legal)
}

/// The names on the way to a place such as `node_modules/a/node_modules/@b/c`; `None` when it is
/// written otherwise.
pub(super) fn names_of(location: &str) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    let mut rest = location.strip_prefix("node_modules/")?;
    loop {
        let (name, below) = match rest.split_once("/node_modules/") {
            Some((name, below)) => (name, Some(below)),
            None => (rest, None),
        };
        if !is_package_name(name) {
            return None;
        }
        names.push(name);
        match below {
            Some(below) => rest = below,
            None => return Some(names),
        }
    }
}

/// The place of the package whose `node_modules` a place is in; empty for the project.
pub(super) fn parent_of(location: &str) -> &str {
    location
        .rfind("node_modules/")
        .and_then(|end| location.get(..end))
        .unwrap_or_default()
        .trim_end_matches('/')
}

/// Where a registry has the tarball of a package, relative to its root: what npm itself assumes
/// where a lockfile does not say it.
pub(super) fn tarball_path(name: &str, version: &str) -> String {
    let base = name.rsplit('/').next().unwrap_or(name);
    format!("{name}/-/{base}-{version}.tgz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_names_below_node_modules() {
        assert_eq!(names_of("node_modules/a"), Some(vec!["a"]));
        assert_eq!(
            names_of("node_modules/@s/a/node_modules/JSONStream"),
            Some(vec!["@s/a", "JSONStream"])
        );
        for bad in [
            "",
            "a",
            "node_modules/",
            "node_modules/..",
            "node_modules/.bin",
            "node_modules/a/b",
            "node_modules/a/../b",
            "node_modules/@s",
            "node_modules/@s/a/b",
            "node_modules/a/node_modules",
            "/node_modules/a",
            "packages/a/node_modules/b",
        ] {
            assert_eq!(names_of(bad), None, "{bad}");
        }
        assert_eq!(parent_of("node_modules/a"), "");
        assert_eq!(
            parent_of("node_modules/a/node_modules/@s/b"),
            "node_modules/a"
        );
    }

    #[test]
    fn tarballs_lie_where_npm_expects_them() {
        assert_eq!(tarball_path("a", "1.0.0"), "a/-/a-1.0.0.tgz");
        assert_eq!(tarball_path("@s/a", "1.0.0"), "@s/a/-/a-1.0.0.tgz");
    }

    #[test]
    fn versions_can_stand_in_paths() {
        assert!(is_version("1.0.0-beta.1+build"));
        for bad in ["", "../1", "1/2", "v1", "latest", "1 0"] {
            assert!(!is_version(bad), "{bad}");
        }
    }
}
