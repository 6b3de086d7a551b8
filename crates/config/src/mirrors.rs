//! Where packages are taken from: the `[mirrors]` table.

use serde::Deserialize;
use serde::de::Error as _;
use url::Url;

/// Mirrors of package archives, in the place of those that the machine's package managers are set
/// up with. Empty lists leave it to those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageMirrors {
    /// Roots of Debian archives: what `dists/` and `pool/` are below.
    pub debian: Vec<Url>,
    /// Roots of Debian archives as they were at some time, for what has left the mirrors:
    /// `https://snapshot.example/debian/{time}`.
    pub debian_snapshots: Vec<Snapshot>,
    /// What conda's channels are below that are called by name, in the place of `channel_alias`.
    pub conda: Vec<Url>,
}

/// A root with `{time}` in it, which stands for a time such as `20260912T075541Z`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(String);

/// What `{time}` is written as in a [`Snapshot`].
const TIME: &str = "{time}";

impl Snapshot {
    /// The root at a time, which is written without spaces and colons.
    #[must_use]
    pub fn at(&self, time: &str) -> Option<Url> {
        root(&self.0.replace(TIME, time)).ok()
    }
}

/// One table as it stands in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct MirrorTable {
    debian: Option<Vec<Root>>,
    debian_snapshots: Option<Vec<Snapshot>>,
    conda: Option<Vec<Root>>,
}

impl MirrorTable {
    /// Sets in `mirrors` what this table sets.
    pub(super) fn apply_to(&self, mirrors: &mut PackageMirrors) {
        if let Some(roots) = &self.debian {
            mirrors.debian = roots.iter().map(|root| root.0.clone()).collect();
        }
        if let Some(snapshots) = &self.debian_snapshots {
            mirrors.debian_snapshots.clone_from(snapshots);
        }
        if let Some(roots) = &self.conda {
            mirrors.conda = roots.iter().map(|root| root.0.clone()).collect();
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Root(Url);

impl<'de> Deserialize<'de> for Root {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        root(&text).map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Snapshot {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !text.contains(TIME) {
            return Err(D::Error::custom(format!(
                "{text:?} has no {TIME} in it, where the time of the snapshot goes"
            )));
        }
        root(&text.replace(TIME, "20260101T000000Z")).map_err(D::Error::custom)?;
        Ok(Self(text))
    }
}

/// Reads the root of a mirror, and puts a slash behind it, so that paths can be joined to it.
pub fn root(text: &str) -> Result<Url, String> {
    let fail =
        || format!("{text:?} is no mirror; expected a URL such as https://mirror.example/debian");
    let mut url = Url::parse(text).map_err(|_| fail())?;
    let plain = url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !plain {
        return Err(fail());
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_get_a_slash_behind_them() {
        for text in [
            "https://mirror.example/debian",
            "https://mirror.example/debian/",
        ] {
            assert_eq!(
                root(text).unwrap().as_str(),
                "https://mirror.example/debian/"
            );
        }
        for bad in [
            "",
            "mirror.example",
            "ftp://mirror.example/",
            "file:///x",
            "http://h/?q",
            "http://h/#f",
        ] {
            assert!(root(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_snapshot_is_that_of_a_time() {
        let table: MirrorTable =
            toml::from_str("debian-snapshots = [\"https://s.example/{time}/debian\"]").unwrap();
        let mut mirrors = PackageMirrors::default();
        table.apply_to(&mut mirrors);
        let url = mirrors.debian_snapshots[0].at("20260912T075541Z").unwrap();
        assert_eq!(url.as_str(), "https://s.example/20260912T075541Z/debian/");
        for bad in ["https://s.example/debian", "{time}"] {
            let text = format!("debian-snapshots = [\"{bad}\"]");
            assert!(toml::from_str::<MirrorTable>(&text).is_err(), "{bad}");
        }
    }
}
