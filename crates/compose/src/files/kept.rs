//! Of which files an image's view keeps what is in them, and as what.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Most bytes that are kept of one as text.
const LONGEST_TEXT: u64 = 1 << 20;
/// Most bytes of a list that are looked at.
const LONGEST_LIST: u64 = 64 << 20;

/// What is kept of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Its text.
    Text,
    /// The directories that a loader's cache names.
    LoaderCache,
    /// The packages that dpkg's list says to be installed.
    Packages,
}

impl Kept {
    /// What is kept of a file of so many bytes.
    pub(super) fn of(path: &str, size: u64) -> Option<Self> {
        let (kept, most) = match path {
            "etc/ld.so.cache" => (Self::LoaderCache, LONGEST_LIST),
            "var/lib/dpkg/status" => (Self::Packages, LONGEST_LIST),
            _ if is_text(path) || is_loader_path(path) => (Self::Text, LONGEST_TEXT),
            _ => return None,
        };
        (size <= most).then_some(kept)
    }
}

/// Whether the text of a file is kept: users and groups, wherever symlinks may find them, and bundles of
/// certificates.
pub(crate) fn is_text(path: &str) -> bool {
    const NAMES: [&str; 8] = [
        "etc/passwd",
        "etc/group",
        "etc/ssl/certs/ca-certificates.crt",
        "etc/ssl/cert.pem",
        "etc/ssl/ca-bundle.pem",
        "etc/pki/tls/certs/ca-bundle.crt",
        "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "var/lib/ca-certificates/ca-bundle.pem",
    ];
    NAMES.iter().any(|name| {
        path.strip_suffix(name)
            .is_some_and(|above| above.is_empty() || above.ends_with('/'))
    })
}

/// Whether a file says where musl's loader looks for libraries.
fn is_loader_path(path: &str) -> bool {
    path.strip_prefix("etc/ld-musl-")
        .is_some_and(|rest| rest.ends_with(".path"))
}

/// The directories of the libraries that a `ld.so.cache` names: its strings end in zeros, whichever of
/// its formats it has.
pub(super) fn directories(cache: &[u8]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for text in cache.split(|byte| *byte == 0) {
        let text = String::from_utf8_lossy(text);
        if let Some((above, _)) = text.rsplit_once('/').filter(|_| text.starts_with('/')) {
            found.insert(above.to_owned());
        }
    }
    found.into_iter().collect()
}

/// The packages that dpkg says to be installed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledPackages {
    /// Their names.
    pub names: Vec<String>,
    /// The version of glibc, without what Debian adds: `2.36`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glibc: Option<String>,
}

impl InstalledPackages {
    /// Reads dpkg's `status`.
    #[must_use]
    pub fn of(status: &[u8]) -> Self {
        let mut found = Self::default();
        let text = String::from_utf8_lossy(status);
        for stanza in text.split("\n\n") {
            let field = |name: &str| stanza.lines().find_map(|line| line.strip_prefix(name));
            let is_installed = field("Status: ") == Some("install ok installed");
            let Some(name) = field("Package: ").filter(|_| is_installed) else {
                continue;
            };
            if name == "libc6" {
                found.glibc = field("Version: ").map(upstream_version).map(str::to_owned);
            }
            found.names.push(name.to_owned());
        }
        found
    }
}

/// A version of Debian's without its epoch and what Debian adds behind: `2.36` of `2.36-9+deb12u8`.
#[must_use]
pub fn upstream_version(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.split(['-', '+', '~']).next().unwrap_or(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_s_cache_is_known_by_the_directories_that_it_names() {
        let cache = b"glibc-ld.so.cache1.1\x02\0\0\0libz.so.1\0/opt/z/libz.so.1\0/lib/libc.so.6\0/opt/z/x\0";
        assert_eq!(directories(cache), ["/lib", "/opt/z"]);
    }

    #[test]
    fn packages_that_are_only_configured_are_not_installed() {
        let status = b"Package: locales\nStatus: install ok installed\nVersion: 1\n\n\
            Package: gone\nStatus: deinstall ok config-files\n\n\
            Package: libc6\nStatus: install ok installed\nVersion: 2.36-9+deb12u8\n\n\
            Package: git\nStatus: install ok installed\n";
        let found = InstalledPackages::of(status);
        assert_eq!(found.names, ["locales", "libc6", "git"]);
        assert_eq!(found.glibc.as_deref(), Some("2.36"));
    }
}
