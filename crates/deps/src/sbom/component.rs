//! The packages of a lock, as bills of materials name them.

use std::collections::BTreeMap;

use crate::lock::{Lock, LockedFile, LockedSource, SourceKind};
use ohoci_image::{Algorithm, Digest, Platform};

/// A package as the documents name it.
pub(super) struct Component<'a> {
    pub(super) name: &'a str,
    pub(super) version: Option<&'a str>,
    /// What it is built from, or a part of.
    pub(super) origin: String,
    /// The features whose layers have it.
    pub(super) features: Vec<&'a str>,
    pub(super) file: &'a LockedFile,
    /// Package URL (the `deb`, `pypi`, `npm`, `conda` and `generic` types of the purl specification).
    pub(super) url: String,
    /// The URL, with more behind it where two files have the same.
    pub(super) id: String,
    pub(super) needs: Vec<&'a str>,
    /// Its licence, where the lock has it.
    pub(super) licence: Option<&'a str>,
}

impl Component<'_> {
    /// Whether it is a package of Debian.
    pub(super) fn is_debian(&self) -> bool {
        self.url.starts_with("pkg:deb/")
    }

    /// Whether this one needs that one.
    pub(super) fn needs(&self, other: &Self) -> bool {
        other.is_debian() && self.needs.contains(&other.name)
    }
}

/// The packages of some features, each once, by their URLs.
pub(super) fn components<'a>(
    lock: &'a Lock,
    features: &[&'a str],
    platform: &Platform,
) -> Vec<Component<'a>> {
    let mut components: Vec<Component<'a>> = Vec::new();
    for component in all(lock, features, platform) {
        // Environments of several features may have the same package.
        let same = |known: &&mut Component<'_>| {
            known.url == component.url && known.file.digest == component.file.digest
        };
        match components.iter_mut().find(same) {
            Some(known) => known.features.extend(component.features),
            None => components.push(component),
        }
    }
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for component in &components {
        *uses.entry(component.url.clone()).or_default() += 1;
    }
    for component in &mut components {
        if uses.get(&component.url).is_some_and(|uses| *uses > 1) {
            component.id = format!("{}#{}", component.url, component.file.digest.short());
        }
    }
    components
}

/// All packages, those of Debian first, each as often as a feature has it.
fn all<'a>(
    lock: &'a Lock,
    features: &[&'a str],
    platform: &Platform,
) -> impl Iterator<Item = Component<'a>> {
    let name = platform.to_string();
    let architecture = platform.architecture.clone();
    let debian = lock
        .debian
        .iter()
        .filter(|package| features.contains(&package.feature.as_str()))
        .filter_map(move |package| {
            let file = package.file.of(&name)?;
            let (source, of) = package.source_package();
            let url = format!(
                "pkg:deb/debian/{}@{}?arch={architecture}",
                encoded(&package.name),
                encoded(&package.version),
            );
            Some(Component {
                name: &package.name,
                version: Some(&package.version),
                origin: format!("{source} {of}"),
                features: vec![&package.feature],
                file,
                id: url.clone(),
                url,
                needs: package.needs.iter().map(String::as_str).collect(),
                licence: None,
            })
        });
    let python = features.iter().flat_map(|feature| {
        let packages = lock.python_files(feature, platform);
        packages.map(|(package, file)| {
            let url = format!(
                "pkg:pypi/{}@{}",
                encoded(&package.name),
                encoded(&package.version)
            );
            Component {
                name: &package.name,
                version: Some(&package.version),
                origin: format!("{} {}", package.name, package.version),
                features: vec![&package.feature],
                file,
                id: url.clone(),
                url,
                needs: Vec::new(),
                licence: None,
            }
        })
    });
    let sources = lock
        .source
        .iter()
        .filter(|source| features.contains(&source.feature.as_str()))
        .filter_map(|source| Some(elsewhere(source, source.file.of(&platform.to_string())?)));
    let all: Vec<_> = debian.chain(python).chain(sources).collect();
    all.into_iter()
}

/// A package of npm's or conda's, an archive, or a path in an image.
fn elsewhere<'a>(source: &'a LockedSource, file: &'a LockedFile) -> Component<'a> {
    let version = source.version.as_deref();
    let names: Vec<String> = source.name.split('/').map(encoded).collect();
    let names = names.join("/");
    let (url, origin) = match source.kind {
        SourceKind::Npm => {
            let version = version.unwrap_or_default();
            (
                format!("pkg:npm/{names}@{}", encoded(version)),
                format!("{} {version}", source.name),
            )
        }
        SourceKind::Conda => {
            let all = version.unwrap_or_default();
            let (version, build) = all.split_once('=').unwrap_or((all, ""));
            (
                conda_url(&names, version, build, &file.path),
                format!("{} {all}", source.name),
            )
        }
        SourceKind::Archive => (
            format!("pkg:generic/{names}?checksum={}", file.digest),
            source.name.clone(),
        ),
        SourceKind::Image => (
            format!("pkg:generic/{names}?checksum={}", file.digest),
            format!("{} of image {}", file.path, version.unwrap_or_default()),
        ),
    };
    Component {
        name: &source.name,
        // The digest of an image is no version of what is taken from it.
        version: match source.kind {
            SourceKind::Npm => version,
            SourceKind::Conda => version.and_then(|version| version.split('=').next()),
            SourceKind::Archive | SourceKind::Image => None,
        },
        origin,
        features: vec![&source.feature],
        file,
        id: url.clone(),
        url,
        needs: Vec::new(),
        licence: source.licence.as_deref(),
    }
}

/// The `conda` type of the purl specification, of a file below the place of channels.
fn conda_url(name: &str, version: &str, build: &str, path: &str) -> String {
    let mut parts = path.rsplitn(3, '/');
    let file = parts.next().unwrap_or_default();
    let (subdir, channel) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let kind = if file.ends_with(".conda") {
        "conda"
    } else {
        "tar.bz2"
    };
    format!(
        "pkg:conda/{name}@{}?build={}&channel={}&subdir={}&type={kind}",
        encoded(version),
        encoded(build),
        encoded(channel),
        encoded(subdir),
    )
}

/// What the formats call the hash function: SPDX as it is, CycloneDX with a hyphen.
pub(super) fn algorithm(digest: &Digest, hyphen: &str) -> String {
    let bits = match digest.algorithm() {
        Algorithm::Sha256 => "256",
        Algorithm::Sha512 => "512",
    };
    format!("SHA{hyphen}{bits}")
}

/// Percent-encoded as package URLs want it.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A name for the document that only these components have.
pub(super) fn identity(components: &[Component<'_>]) -> Digest {
    let text: Vec<String> = components
        .iter()
        .map(|component| format!("{} {}", component.url, component.file.digest))
        .collect();
    Digest::of(text.join("\n").as_bytes())
}

/// When the newest of the archives was made: the documents' date.
pub(super) fn date(lock: &Lock) -> String {
    let newest = lock
        .release
        .values()
        .map(|release| release.date.as_str())
        .max();
    newest.unwrap_or("1970-01-01T00:00:00Z").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::lock::{PlatformFiles, PythonPackage};
    use crate::sbom::{cyclonedx, spdx};

    fn file(path: &str, digest: &str) -> PlatformFiles {
        let file = LockedFile {
            path: path.to_owned(),
            size: 1,
            digest: digest.parse().unwrap(),
        };
        PlatformFiles::any(file)
    }

    fn lock() -> Lock {
        let mut lock = Lock::new("all", &[]);
        let hash = format!("sha256:{}", "a".repeat(64));
        for feature in ["one", "two"] {
            lock.python.push(PythonPackage {
                name: "pkg".to_owned(),
                version: "1.0".to_owned(),
                feature: feature.to_owned(),
                requested: true,
                without_build_script: false,
                file: file("pkg/pkg.whl", &hash),
            });
        }
        let mut source = |kind, name: &str, version: Option<&str>, path: &str, digest: &str| {
            lock.source.push(LockedSource {
                kind,
                name: name.to_owned(),
                version: version.map(str::to_owned),
                licence: (kind == SourceKind::Conda).then(|| "BSD-3-Clause".to_owned()),
                feature: "two".to_owned(),
                file: file(path, digest),
            });
        };
        let long = format!("sha512:{}", "b".repeat(128));
        source(SourceKind::Archive, "tool-1.tgz", None, "tool-1.tgz", &hash);
        source(SourceKind::Image, "thing", Some(&hash), "opt/thing", &hash);
        source(
            SourceKind::Npm,
            "@s/pkg",
            Some("1.0.0"),
            "@s/pkg/-/pkg-1.0.0.tgz",
            &long,
        );
        source(
            SourceKind::Conda,
            "zlib",
            Some("1.3=h_0"),
            "forge/linux-64/zlib-1.3-h_0.conda",
            &hash,
        );
        lock
    }

    #[test]
    fn everything_that_is_locked_is_named_and_each_once() {
        let (lock, platform) = (lock(), Platform::new("linux", "amd64"));
        let cdx = cyclonedx(&lock, &["one", "two"], &platform);
        let urls: Vec<&str> = cdx["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|component| component["purl"].as_str().unwrap())
            .collect();
        let hash = format!("sha256:{}", "a".repeat(64));
        assert_eq!(
            urls,
            [
                "pkg:pypi/pkg@1.0",
                &format!("pkg:generic/tool-1.tgz?checksum={hash}"),
                &format!("pkg:generic/thing?checksum={hash}"),
                "pkg:npm/%40s/pkg@1.0.0",
                "pkg:conda/zlib@1.3?build=h_0&channel=forge&subdir=linux-64&type=conda",
            ]
        );
        assert_eq!(cdx["components"][3]["hashes"][0]["alg"], "SHA-512");
        assert_eq!(
            cdx["components"][0]["properties"][1],
            json!({"name": "ohoci:feature", "value": "two"})
        );
        let licence = &cdx["components"][4]["licenses"];
        assert_eq!(*licence, json!([{"license": {"name": "BSD-3-Clause"}}]));
        let spdx = spdx(&lock, &["one", "two"], &platform);
        let packages = spdx["packages"].as_array().unwrap();
        assert_eq!(packages.len(), 6);
        let ids = packages.iter().map(|package| package["SPDXID"].as_str());
        let ids: BTreeSet<Option<&str>> = ids.collect();
        assert_eq!(ids.len(), 6);
        assert_eq!(packages[4]["checksums"][0]["algorithm"], "SHA512");
        assert_eq!(
            packages[1]["sourceInfo"],
            "built from pkg 1.0; features one, two"
        );
        assert_eq!(packages[2].get("versionInfo"), None);
    }

    #[test]
    fn files_of_one_name_and_version_are_told_apart() {
        let mut lock = lock();
        lock.python[1].file = file("pkg/pkg.tar.gz", &format!("sha256:{}", "c".repeat(64)));
        let cdx = cyclonedx(&lock, &["one", "two"], &Platform::new("linux", "amd64"));
        let references: BTreeSet<&str> = cdx["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|component| component["bom-ref"].as_str().unwrap())
            .collect();
        assert_eq!(references.len(), 6, "{references:?}");
    }
}
