//! `package-lock.json` of version 3 (npm 7 and later), without the hosts in it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::NpmError;
use super::integrity;
use super::name::{is_package_name, is_version, names_of, tarball_path};
use ohoci_image::Digest;

/// What a project needs, with the place of every package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lockfile {
    /// What the project itself asks for.
    pub(super) root: Needs,
    /// By place, such as `node_modules/a/node_modules/b`.
    pub(super) packages: BTreeMap<String, Package>,
}

/// A package at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name at the registry, which an alias is not.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it is downloaded from; `None` when it is bundled into the package above it.
    pub file: Option<PackageFile>,
    /// Whether the project works without it.
    pub optional: bool,
    /// The programs, and their paths in the package.
    pub programs: BTreeMap<String, String>,
    /// Its licence, as it says it.
    pub licence: Option<String>,
    /// Operating systems that it is for; see [`choose`](super::choose).
    pub(super) os: Vec<String>,
    /// Processors that it is for.
    pub(super) cpu: Vec<String>,
    /// C libraries that it is for.
    pub(super) libc: Vec<String>,
    pub(super) needs: Needs,
}

/// A package's tarball.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageFile {
    /// Where it is, relative to the root of a registry.
    pub path: String,
    /// Its digest.
    pub digest: Digest,
}

/// The packages that one needs, by name, and whether it works without them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs(pub(super) BTreeMap<String, bool>);

#[derive(Deserialize)]
struct RawLockfile {
    #[serde(rename = "lockfileVersion")]
    version: u64,
    #[serde(default)]
    packages: BTreeMap<String, RawPackage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPackage {
    name: Option<String>,
    version: Option<String>,
    resolved: Option<String>,
    integrity: Option<String>,
    #[serde(default)]
    in_bundle: bool,
    #[serde(default)]
    link: bool,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    dev_optional: bool,
    bin: Option<RawPrograms>,
    license: Option<serde_json::Value>,
    #[serde(default)]
    os: OneOrMany,
    #[serde(default)]
    cpu: OneOrMany,
    #[serde(default)]
    libc: OneOrMany,
    #[serde(default)]
    dependencies: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    peer_dependencies: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    peer_dependencies_meta: BTreeMap<String, RawPeer>,
}

#[derive(Deserialize)]
struct RawPeer {
    #[serde(default)]
    optional: bool,
}

// The document is npm's, so a bad message for it is no loss.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawPrograms {
    One(String),
    Many(BTreeMap<String, String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl From<OneOrMany> for Vec<String> {
    fn from(value: OneOrMany) -> Self {
        match value {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        }
    }
}

impl Lockfile {
    /// Reads a `package-lock.json`; `file` is what messages call it.
    ///
    /// # Errors
    /// When it is none or of another version, or when a package in it comes from elsewhere than a
    /// registry or has no hash that proves anything.
    pub fn parse(file: &str, text: &[u8]) -> Result<Self, NpmError> {
        let raw: RawLockfile = serde_json::from_slice(text)
            .map_err(|error| NpmError::new(file, format!("it is no package-lock.json: {error}")))?;
        if !matches!(raw.version, 2 | 3) {
            let why = format!(
                "it has version {} of the format; 3 is expected",
                raw.version
            );
            return Err(NpmError::new(file, why).hinted("write it anew with npm 7 or later"));
        }
        let mut root = None;
        let mut packages = BTreeMap::new();
        for (location, raw) in raw.packages {
            let needs = needs(&raw);
            if location.is_empty() {
                root = Some(needs);
                continue;
            }
            let fail = |why: String| NpmError::new(file, format!("{location}: {why}"));
            let package = package(&location, raw, needs).map_err(fail)?;
            packages.insert(location, package);
        }
        let root = root.ok_or_else(|| NpmError::new(file, "it has no root package"))?;
        Ok(Self { root, packages })
    }

    /// The packages by their place.
    #[must_use]
    pub fn packages(&self) -> &BTreeMap<String, Package> {
        &self.packages
    }
}

fn needs(raw: &RawPackage) -> Needs {
    let peers = raw.peer_dependencies.keys().map(|name| {
        let meta = raw.peer_dependencies_meta.get(name);
        (name.clone(), meta.is_some_and(|meta| meta.optional))
    });
    let required = raw.dependencies.keys().map(|name| (name.clone(), false));
    // Published packages often list optional dependencies twice; optional counts.
    let optional = raw.optional_dependencies.keys();
    let optional = optional.map(|name| (name.clone(), true));
    Needs(peers.chain(required).chain(optional).collect())
}

fn package(location: &str, raw: RawPackage, needs: Needs) -> Result<Package, String> {
    let names = names_of(location).ok_or("it lies outside of node_modules")?;
    if raw.link {
        return Err("it is a link to a directory, not a package of a registry".to_owned());
    }
    let name = raw
        .name
        .or_else(|| names.last().map(|name| (*name).to_owned()))
        .filter(|name| is_package_name(name))
        .ok_or("its name is not legal")?;
    let version = raw
        .version
        .filter(|version| is_version(version))
        .ok_or("it has no legal version")?;
    let file = match raw.in_bundle {
        true => None,
        false => {
            let path = tarball_path(&name, &version);
            if let Some(resolved) = &raw.resolved {
                check_source(resolved, &path)?;
            }
            let digest = raw
                .integrity
                .as_deref()
                .and_then(integrity::digest)
                .ok_or("it has no integrity of kind sha512 or sha256")?;
            Some(PackageFile { path, digest })
        }
    };
    let programs = match raw.bin {
        None => BTreeMap::new(),
        Some(RawPrograms::Many(programs)) => programs,
        Some(RawPrograms::One(path)) => {
            let base = name.rsplit('/').next().unwrap_or(&name);
            BTreeMap::from([(base.to_owned(), path)])
        }
    };
    Ok(Package {
        file,
        optional: raw.optional || raw.dev_optional,
        programs,
        licence: raw
            .license
            .as_ref()
            .and_then(|licence| licence.as_str().or_else(|| licence.get("type")?.as_str()))
            .map(str::to_owned),
        os: raw.os.into(),
        cpu: raw.cpu.into(),
        libc: raw.libc.into(),
        needs,
        name,
        version,
    })
}

/// A URL must be that of a registry's tarball: then the registry of the machine has it, too.
fn check_source(resolved: &str, path: &str) -> Result<(), String> {
    let elsewhere = || "it does not come from a registry".to_owned();
    let url = url::Url::parse(resolved).map_err(|_| elsewhere())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(elsewhere());
    }
    let decoded = url
        .path()
        .replace("%40", "@")
        .replace("%2f", "/")
        .replace("%2F", "/");
    match decoded.ends_with(&format!("/{path}")) {
        true => Ok(()),
        false => Err("its tarball is not where registries have tarballs".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7\
                        kxvUdBeoGlODJ6+SfaPg==";

    fn parse(packages: &str) -> Result<Lockfile, NpmError> {
        let text = format!(
            "{{\"lockfileVersion\": 3, \"packages\": {{\"\": {{\"dependencies\": {{\"a\": \"1\"}}}}, \
             {packages}}}}}"
        );
        Lockfile::parse("package-lock.json", text.replace("HASH", HASH).as_bytes())
    }

    #[test]
    fn packages_are_read_without_hosts() {
        let lockfile = parse(
            r#""node_modules/a": {"version": "1.0.0", "integrity": "HASH", "license": "MIT",
                "resolved": "https://registry.example/npm/a/-/a-1.0.0.tgz", "bin": "cli.js"},
               "node_modules/@s/b": {"version": "2.0.0", "integrity": "HASH", "os": "linux",
                "bin": {"x": "bin/x.js"}, "license": {"type": "ISC"}},
               "node_modules/alias": {"name": "real", "version": "3.0.0", "integrity": "HASH",
                "resolved": "https://registry.example/real/-/real-3.0.0.tgz"},
               "node_modules/a/node_modules/c": {"version": "4.0.0", "inBundle": true}"#,
        )
        .unwrap();
        let package = |location: &str| &lockfile.packages()[location];
        let path = |location: &str| {
            package(location)
                .file
                .as_ref()
                .map(|file| file.path.clone())
        };
        assert_eq!(path("node_modules/a").unwrap(), "a/-/a-1.0.0.tgz");
        assert_eq!(path("node_modules/@s/b").unwrap(), "@s/b/-/b-2.0.0.tgz");
        assert_eq!(path("node_modules/alias").unwrap(), "real/-/real-3.0.0.tgz");
        assert_eq!(path("node_modules/a/node_modules/c"), None);
        assert_eq!(package("node_modules/a").programs["a"], "cli.js");
        assert_eq!(package("node_modules/@s/b").licence.as_deref(), Some("ISC"));
    }

    #[test]
    fn what_comes_from_elsewhere_or_proves_nothing_is_refused() {
        for (package, why) in [
            (
                r#""../x": {"version": "1.0.0", "integrity": "HASH"}"#,
                "outside of node_modules",
            ),
            (
                r#""packages/a": {"version": "1.0.0"}"#,
                "outside of node_modules",
            ),
            (
                r#""node_modules/a": {"resolved": "packages/a", "link": true}"#,
                "a link",
            ),
            (
                r#""node_modules/a": {"version": "1.0.0", "integrity": "HASH",
                    "resolved": "git+ssh://git@git.example/a.git#0123"}"#,
                "does not come from a registry",
            ),
            (
                r#""node_modules/a": {"version": "1.0.0", "integrity": "HASH",
                    "resolved": "https://files.example/a.tgz"}"#,
                "not where registries",
            ),
            (r#""node_modules/a": {"version": "1.0.0"}"#, "no integrity"),
            (
                r#""node_modules/a": {"version": "1.0.0", "integrity": "sha1-x"}"#,
                "no integrity",
            ),
            (
                r#""node_modules/a": {"version": "../1", "integrity": "HASH"}"#,
                "no legal version",
            ),
            (
                r#""node_modules/a": {"name": "../b", "version": "1.0.0", "integrity": "HASH"}"#,
                "name is not legal",
            ),
        ] {
            let error = parse(package).unwrap_err().to_string();
            assert!(error.contains(why), "{package}: {error}");
        }
        let old = br#"{"lockfileVersion": 1, "dependencies": {}}"#;
        let error = Lockfile::parse("package-lock.json", old).unwrap_err();
        assert!(error.to_string().contains("version 1"), "{error}");
    }
}
