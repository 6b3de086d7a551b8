//! What the keys of credential files stand for. Pure.
//!
//! Four generations of keys are about: URLs of the first registry API (`https://host/v1/`, from
//! `.dockercfg` on), hosts with or without a scheme (docker's `ConvertToHostname`), and hosts with
//! a path in containers-auth.json(5), which count for the repositories below that path.

use std::cmp::Reverse;

use ohoci_image::reference::DOCKER_HUB;

/// The key under which Docker keeps and asks for the credential of Docker Hub.
pub(super) const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// What a credential counts for: a registry, or the repositories below a path in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Scope {
    /// As it stands in references, in lower case; `docker.io` for Docker Hub.
    pub(super) host: String,
    /// Without slashes around it; empty for the whole registry.
    pub(super) path: String,
}

impl Scope {
    /// What a key counts for. Keys with a scheme, and all keys of a `.dockercfg` (`legacy`), count
    /// for the whole registry, whatever path they have.
    pub(super) fn of_key(key: &str, legacy: bool) -> Self {
        let key = key.trim();
        let bare = ["https://", "http://"].iter().find_map(|scheme| {
            let head = key.get(..scheme.len())?;
            head.eq_ignore_ascii_case(scheme)
                .then(|| key.get(scheme.len()..))?
        });
        let whole = bare.unwrap_or(key);
        let (host, path) = whole.split_once('/').unwrap_or((whole, ""));
        let is_api = bare.is_some() || legacy || matches!(path, "v1/" | "v2/");
        let path = if is_api { "" } else { path.trim_matches('/') };
        Self {
            host: canonical_host(host),
            path: path.to_owned(),
        }
    }

    /// Whether this counts for a repository.
    fn covers(&self, host: &str, repository: &str) -> bool {
        self.host == host
            && (self.path.is_empty()
                || repository
                    .strip_prefix(self.path.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    /// How the scope is written as a key, and to a person.
    pub(super) fn key(&self) -> String {
        if self.path.is_empty() {
            self.host.clone()
        } else {
            format!("{}/{}", self.host, self.path)
        }
    }

    /// Whether this is the whole of a registry.
    pub(super) fn is_host(&self) -> bool {
        self.path.is_empty()
    }
}

/// A host as it stands in references.
pub(super) fn canonical_host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_owned(),
        _ => host,
    }
}

/// The name by which the credential store of the whole machine is asked for a host's credential:
/// what `docker login` stores it under.
pub(super) fn store_key(host: &str) -> &str {
    if host == DOCKER_HUB {
        DOCKER_HUB_KEY
    } else {
        host
    }
}

/// The keys, with what hangs on them, that count for a repository, best first: the longest path;
/// among equals the key that is spelled as podman spells it, then as docker does, then by name.
pub(super) fn matching<'a, T>(
    entries: impl IntoIterator<Item = (&'a str, T)>,
    legacy: bool,
    host: &str,
    repository: &str,
) -> Vec<(&'a str, Scope, T)> {
    let host = canonical_host(host);
    let mut found: Vec<_> = entries
        .into_iter()
        .map(|(key, entry)| (key, Scope::of_key(key, legacy), entry))
        .filter(|(_, scope, _)| scope.covers(&host, repository))
        .collect();
    found.sort_by_key(|(key, scope, _)| {
        (
            Reverse(scope.path.len()),
            *key != scope.key(),
            *key != DOCKER_HUB_KEY,
            !key.starts_with("https://"),
            *key,
        )
    });
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scope(host: &str, path: &str) -> Scope {
        Scope {
            host: host.to_owned(),
            path: path.to_owned(),
        }
    }

    #[test]
    fn every_generation_of_keys_is_understood() {
        for (key, host, path) in [
            ("registry.example", "registry.example", ""),
            ("Registry.Example:5000", "registry.example:5000", ""),
            ("https://registry.example", "registry.example", ""),
            ("http://registry.example:80/v1", "registry.example:80", ""),
            ("HTTPS://registry.example/v2/", "registry.example", ""),
            ("registry.example/v1/", "registry.example", ""),
            ("registry.example/v1", "registry.example", "v1"),
            ("registry.example/org/repo/", "registry.example", "org/repo"),
            ("https://index.docker.io/v1/", "docker.io", ""),
            ("index.docker.io", "docker.io", ""),
            ("registry-1.docker.io", "docker.io", ""),
            ("docker.io/library/debian", "docker.io", "library/debian"),
            ("[::1]:5000/a", "[::1]:5000", "a"),
            ("", "", ""),
        ] {
            assert_eq!(Scope::of_key(key, false), scope(host, path), "{key}");
        }
        assert_eq!(
            Scope::of_key("registry.example/api", true),
            scope("registry.example", "")
        );
    }

    fn order(keys: &[&str], host: &str, repository: &str) -> Vec<String> {
        matching(keys.iter().map(|key| (*key, ())), false, host, repository)
            .into_iter()
            .map(|(key, ..)| key.to_owned())
            .collect()
    }

    #[test]
    fn the_longest_path_goes_first_and_ends_at_a_slash() {
        let keys = [
            "registry.example",
            "registry.example/org",
            "registry.example/org/repo",
            "registry.example/or",
            "registry.example:5000/org",
            "other.example/org/repo",
        ];
        assert_eq!(
            order(&keys, "registry.example", "org/repo"),
            [
                "registry.example/org/repo",
                "registry.example/org",
                "registry.example"
            ]
        );
        assert_eq!(
            order(&keys, "registry.example", "org/repository"),
            ["registry.example/org", "registry.example"]
        );
        assert_eq!(order(&keys, "registry.example", ""), ["registry.example"]);
    }

    #[test]
    fn among_spellings_of_one_host_the_plain_one_goes_first() {
        let keys = [
            "http://docker.io",
            "https://docker.io",
            "index.docker.io",
            "https://index.docker.io/v1/",
            "docker.io",
        ];
        assert_eq!(
            order(&keys, "docker.io", "library/debian"),
            [
                "docker.io",
                "https://index.docker.io/v1/",
                "https://docker.io",
                "http://docker.io",
                "index.docker.io"
            ]
        );
    }

    proptest! {
        #[test]
        fn any_key_has_a_scope_that_is_its_own_key(key in "(https?://)?\\PC{0,20}(/\\PC{0,10}){0,3}") {
            for legacy in [false, true] {
                let scope = Scope::of_key(&key, legacy);
                matching([(key.as_str(), ())], legacy, &scope.host, &scope.path);
                prop_assert!(scope.covers(&scope.host, &scope.path));
            }
        }

        #[test]
        fn a_scope_written_as_a_key_reads_back(host in "[a-z0-9.]{1,9}(:[0-9]{1,5})?", path in "([a-z0-9]{3,6}(/[a-z0-9]{1,6}){0,3})?") {
            let scope = scope(&host, &path);
            prop_assert_eq!(Scope::of_key(&scope.key(), false), scope);
        }
    }
}
