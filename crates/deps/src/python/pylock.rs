//! `pylock.toml` (PEP 751), as uv writes it for one platform.

use std::collections::BTreeMap;

use pep440_rs::Version;
use serde::Deserialize;
use url::Url;

use super::name::PackageName;
use super::resolved::{Package, Source};
use super::tags::Chooser;
use super::wheel_name::WheelName;
use ohoci_image::Digest;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawLock {
    lock_version: String,
    #[serde(default)]
    packages: Vec<RawPackage>,
}

#[derive(Deserialize)]
struct RawPackage {
    name: String,
    version: Option<String>,
    #[serde(default)]
    wheels: Vec<RawFile>,
}

#[derive(Deserialize)]
struct RawFile {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    size: Option<u64>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

/// Takes the best wheel of every package. What was resolved by a stub is the source distribution
/// that the stub stands for, unless an index has a wheel of the same version.
pub(super) fn parse(
    text: &str,
    chooser: &Chooser,
    sources: &[Source],
    requested: &dyn Fn(&PackageName) -> bool,
) -> Result<Vec<Package>, String> {
    let lock: RawLock = toml::from_str(text)
        .map_err(|error| format!("its lock cannot be understood: {}", error.message()))?;
    if !lock.lock_version.starts_with("1.") {
        return Err(format!(
            "its lock has the unknown version {}",
            lock.lock_version
        ));
    }
    let packages = lock.packages.into_iter().map(|raw| {
        let name = raw.name.clone();
        package(raw, chooser, sources, requested).map_err(|why| format!("{name}: {why}"))
    });
    let mut packages: Vec<Package> = packages.collect::<Result<_, _>>()?;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    let mut pairs = packages.iter().zip(packages.iter().skip(1));
    if let Some((twice, _)) = pairs.find(|(a, b)| a.name == b.name) {
        return Err(format!("{}: it is there in two versions", twice.name));
    }
    Ok(packages)
}

fn package(
    raw: RawPackage,
    chooser: &Chooser,
    sources: &[Source],
    requested: &dyn Fn(&PackageName) -> bool,
) -> Result<Package, String> {
    let name = PackageName::parse(&raw.name).ok_or("its name is not legal")?;
    let version: Version = raw
        .version
        .as_deref()
        .ok_or("it comes from elsewhere than an index")?
        .parse()
        .map_err(|_| "its version is not legal")?;
    if raw.wheels.is_empty() {
        return Err("it comes from elsewhere than an index, or has no wheel".to_owned());
    }
    let mut fitting = Vec::new();
    let mut stub = false;
    for raw in raw.wheels {
        let Some(found) = Found::new(raw)? else {
            stub = true;
            continue;
        };
        let wheel = found.name.parse::<WheelName>().ok();
        let wheel = wheel.filter(|wheel| wheel.name == name);
        if let Some(wheel) = wheel
            && let Some(rank) = chooser.rank(&wheel.tags)
        {
            fitting.push((rank, wheel.build, found));
        }
    }
    // Of equally special wheels the one with the higher build tag.
    let best = fitting
        .into_iter()
        .min_by(|a, b| (a.0, &b.1, &a.2.name).cmp(&(b.0, &a.1, &b.2.name)));
    let found = match best {
        Some((_, _, found)) => found,
        None if stub => sources
            .iter()
            .find(|source| source.package == name && source.version == version)
            .map(|source| Found {
                name: source.file.clone(),
                size: source.size,
                digest: source.digest.clone(),
            })
            .ok_or("it has no wheel at an index")?,
        None => return Err("none of its wheels is for this platform".to_owned()),
    };
    Ok(Package {
        requested: requested(&name),
        name,
        version,
        file: found.name,
        size: found.size,
        digest: found.digest,
    })
}

struct Found {
    name: String,
    size: Option<u64>,
    digest: Digest,
}

impl Found {
    /// A file at an index; `None` for one of this machine.
    fn new(raw: RawFile) -> Result<Option<Self>, String> {
        let Some(url) = &raw.url else {
            return match raw.path {
                Some(_) => Ok(None),
                None => Err("one of its wheels is nowhere".to_owned()),
            };
        };
        let url: Url = url
            .parse()
            .map_err(|_| "one of its wheels has no legal URL")?;
        if url.scheme() == "file" {
            return Ok(None);
        }
        let name = match raw.name {
            Some(name) => name,
            None => {
                let last = url.path_segments().and_then(Iterator::last);
                last.unwrap_or_default()
                    .replace("%2B", "+")
                    .replace("%2b", "+")
            }
        };
        let digest = raw
            .hashes
            .get("sha256")
            .and_then(|hex| format!("sha256:{hex}").parse().ok())
            .ok_or_else(|| format!("{name} has no SHA-256 digest"))?;
        let size = raw.size;
        Ok(Some(Self { name, size, digest }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::wheel::tests::chooser;

    fn parse_packages(packages: &str) -> Result<Vec<Package>, String> {
        let hash = "ab".repeat(32);
        let text = format!(
            "lock-version = \"1.0\"\n{}",
            packages.replace("HASH", &hash)
        );
        let source = Source {
            package: PackageName::parse("old").unwrap(),
            version: "1.0".parse().unwrap(),
            file: "old-1.0.tar.gz".to_owned(),
            digest: Digest::of(b"old"),
            size: Some(3),
            metadata: String::new(),
        };
        parse(&text, &chooser(), &[source], &|name| name.as_str() == "a")
    }

    #[test]
    fn the_best_wheel_is_taken_without_its_host() {
        let packages = parse_packages(
            r#"
            [[packages]]
            name = "b"
            version = "2.0"
            wheels = [
              { url = "https://f.example/1/b-2.0-py3-none-any.whl", hashes = { sha256 = "HASH" } },
              { url = "https://f.example/2/b-2.0-cp313-cp313-manylinux_2_17_x86_64.whl", size = 9, hashes = { sha256 = "HASH" } },
              { url = "https://f.example/3/b-2.0-cp313-cp313-manylinux_2_99_x86_64.whl", hashes = { sha256 = "HASH" } },
              { url = "https://f.example/4/b-2.0-cp313-cp313-win_amd64.whl", hashes = { sha256 = "HASH" } },
            ]
            [[packages]]
            name = "A"
            version = "1.0+x"
            marker = "sys_platform == 'linux'"
            wheels = [
              { url = "https://f.example/a-1.0%2Bx-1-py3-none-any.whl", hashes = { sha256 = "HASH" } },
              { url = "https://f.example/a-1.0%2Bx-2-py3-none-any.whl", hashes = { sha256 = "HASH" } },
            ]
            [[packages]]
            name = "old"
            version = "1.0"
            wheels = [{ url = "file:///tmp/x/old-1.0-py3-none-any.whl", hashes = { sha256 = "HASH" } }]
            "#,
        )
        .unwrap();
        let shown: Vec<String> = packages
            .iter()
            .map(|package| {
                format!(
                    "{} {:?} {}",
                    package.path(),
                    package.size,
                    package.requested
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "a/a-1.0+x-2-py3-none-any.whl None true",
                "b/b-2.0-cp313-cp313-manylinux_2_17_x86_64.whl Some(9) false",
                "old/old-1.0.tar.gz Some(3) false",
            ]
        );
    }

    #[test]
    fn what_no_index_has_is_refused() {
        for (packages, why) in [
            ("[[packages]]\nname = 'a'\nversion = '1'\n", "elsewhere"),
            (
                "[[packages]]\nname = 'a'\n[packages.vcs]\ntype = 'git'\n",
                "elsewhere",
            ),
            (
                "[[packages]]\nname = 'a'\nversion = '1'\nwheels = [{ url = 'https://f.example/\
                 a-1-py3-none-any.whl' }]\n",
                "no SHA-256",
            ),
            (
                "[[packages]]\nname = 'a'\nversion = '1'\nwheels = [{ url = 'https://f.example/\
                 a-1-py2-none-any.whl', hashes = { sha256 = 'HASH' } }]\n",
                "none of its wheels",
            ),
            (
                "[[packages]]\nname = 'a'\nversion = '1'\nwheels = [{ url = 'file:///\
                 a-1-py3-none-any.whl', hashes = { sha256 = 'HASH' } }]\n",
                "no wheel at an index",
            ),
            ("packages = 1\n", "cannot be understood"),
        ] {
            let error = parse_packages(packages).unwrap_err();
            assert!(error.contains(why), "{packages}: {error}");
        }
    }
}
