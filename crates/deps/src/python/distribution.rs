//! A distribution: the files of one version of a package, checked, and not yet put anywhere.

use std::collections::BTreeMap;
use std::io::{self, Read};

use bytes::Bytes;
use pep440_rs::Version;
use sha2::Digest as _;
use sha2::digest::DynDigest;

use super::PythonError;
use super::entry_points::{self, Program};
use super::metadata::Headers;
use super::name::PackageName;
use crate::archive::tar;
use ohoci_layer::{Content, LayerPath};

/// The largest file of metadata that is read, in bytes.
pub(super) const MAX_METADATA: u64 = 32 << 20;

/// The files of one version of a package. Every content is known to be what its wheel recorded.
#[derive(Clone, Debug)]
pub struct Distribution {
    /// The name of the file that it came in.
    pub(super) file: String,
    pub(super) name: PackageName,
    pub(super) version: Version,
    /// By their path in the wheel, without what is written anew when it is installed.
    pub(super) files: BTreeMap<LayerPath, DistributionFile>,
    /// The directory with the metadata.
    pub(super) dist_info: String,
    pub(super) programs: BTreeMap<String, Program>,
    pub(super) licences: Licences,
    pub(super) requires: Vec<String>,
}

/// A file of a distribution.
#[derive(Clone, Debug)]
pub(super) struct DistributionFile {
    pub(super) content: Content,
    pub(super) executable: bool,
    pub(super) sha256: [u8; 32],
}

/// What a distribution says about its licence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Licences {
    /// The SPDX expression (PEP 639).
    pub expression: Option<String>,
    /// The older free text, of which there may be a whole licence.
    pub text: Option<String>,
    /// The classifiers that name licences.
    pub classifiers: Vec<String>,
    /// Licence files, by their path in the wheel.
    pub files: Vec<LayerPath>,
}

/// Files that an installer writes; those of the wheel are not taken over.
const INSTALLERS_OWN: [&str; 6] = [
    "RECORD",
    "RECORD.jws",
    "RECORD.p7s",
    "INSTALLER",
    "REQUESTED",
    "direct_url.json",
];

impl Distribution {
    /// Puts a distribution together from the files of a wheel.
    pub(super) fn new(
        file: &str,
        expected: (&PackageName, &Version),
        dist_info: String,
        files: BTreeMap<LayerPath, DistributionFile>,
    ) -> Result<Self, PythonError> {
        let read = |name: &str| read_text(file, &files, &format!("{dist_info}/{name}"));
        let at = |name: &str, why: String| {
            PythonError::member(file, format!("{dist_info}/{name}").as_bytes(), why)
        };
        let metadata =
            read("METADATA")?.ok_or_else(|| at("METADATA", "it is not there".to_owned()))?;
        let metadata = Headers::parse(&metadata).map_err(|why| at("METADATA", why))?;
        check_identity(&metadata, expected).map_err(|why| at("METADATA", why))?;
        let programs = match read("entry_points.txt")? {
            Some(text) => {
                entry_points::programs(&text).map_err(|why| at("entry_points.txt", why))?
            }
            None => BTreeMap::new(),
        };
        let licences = licences(&metadata, &dist_info, &files);
        let requires = metadata.all("Requires-Dist").map(str::to_owned).collect();
        let own = |path: &LayerPath| {
            let text = String::from_utf8_lossy(path.as_bytes());
            let name = text
                .strip_prefix(&format!("{dist_info}/"))
                .map(str::to_owned);
            name.is_some_and(|name| INSTALLERS_OWN.contains(&name.as_str()))
        };
        let files = files.into_iter().filter(|(path, _)| !own(path)).collect();
        Ok(Self {
            file: file.to_owned(),
            name: expected.0.clone(),
            version: expected.1.clone(),
            files,
            dist_info,
            programs,
            licences,
            requires,
        })
    }

    /// The name of the file that it came in.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The package.
    #[must_use]
    pub fn name(&self) -> &PackageName {
        &self.name
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// What it says about its licence.
    #[must_use]
    pub fn licences(&self) -> &Licences {
        &self.licences
    }

    /// What it requires (PEP 508), as it says it.
    #[must_use]
    pub fn requires(&self) -> &[String] {
        &self.requires
    }

    /// Its files in the order of their paths in the wheel.
    pub fn files(&self) -> impl Iterator<Item = (&LayerPath, &Content)> {
        self.files.iter().map(|(path, file)| (path, &file.content))
    }
}

/// The metadata must be of the package that the file's name promises.
fn check_identity(
    metadata: &Headers,
    (name, version): (&PackageName, &Version),
) -> Result<(), String> {
    let said = metadata.one("Name")?;
    if PackageName::parse(said).as_ref() != Some(name) {
        return Err(format!("it is the metadata of {said:?}, not of {name}"));
    }
    let said = metadata.one("Version")?;
    if said.parse::<Version>().ok().as_ref() != Some(version) {
        return Err(format!(
            "it is the metadata of version {said}, not {version}"
        ));
    }
    Ok(())
}

pub(super) fn licences(
    metadata: &Headers,
    dist_info: &str,
    files: &BTreeMap<LayerPath, DistributionFile>,
) -> Licences {
    let named = |name: &[u8]| {
        // What setuptools and wheel take for licence files by default.
        let name = name.to_ascii_uppercase();
        let known: [&[u8]; 5] = [b"LICEN", b"COPYING", b"NOTICE", b"AUTHORS", b"UNLICENSE"];
        known.iter().any(|known| name.starts_with(known))
    };
    let is_licence = |path: &&LayerPath| {
        let mut names = path.names();
        names.next() == Some(dist_info.as_bytes())
            && (names.next() == Some(b"licenses") || named(path.name()))
    };
    Licences {
        expression: metadata.optional("License-Expression").map(str::to_owned),
        text: metadata.optional("License").map(str::to_owned),
        classifiers: metadata
            .all("Classifier")
            .filter(|classifier| classifier.starts_with("License ::"))
            .map(str::to_owned)
            .collect(),
        files: files.keys().filter(is_licence).cloned().collect(),
    }
}

/// The text of a file of a distribution, if it is there.
pub(super) fn read_text(
    file: &str,
    files: &BTreeMap<LayerPath, DistributionFile>,
    path: &str,
) -> Result<Option<String>, PythonError> {
    let fail = |why: String| PythonError::member(file, path.as_bytes(), why);
    let Some(found) = files.get(path.as_bytes()) else {
        return Ok(None);
    };
    let bytes = read_small(&found.content).map_err(|error| fail(error.to_string()))?;
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| fail("it is not UTF-8 text".to_owned()))
}

/// Hashes what is read through it.
pub(super) struct Hashing<R> {
    inner: R,
    sha256: sha2::Sha256,
    other: Option<Box<dyn DynDigest + Send>>,
}

impl<R: Read> Hashing<R> {
    /// Hashes with SHA-256, and with `other` as well.
    pub(super) fn new(inner: R, other: Option<Box<dyn DynDigest + Send>>) -> Self {
        Self {
            inner,
            sha256: sha2::Sha256::new(),
            other,
        }
    }

    /// The SHA-256 hash, and the other one.
    pub(super) fn finish(self) -> ([u8; 32], Option<Box<[u8]>>) {
        (
            self.sha256.finalize().into(),
            self.other.map(DynDigest::finalize),
        )
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let read = buffer.get(..count).unwrap_or_default();
        sha2::Digest::update(&mut self.sha256, read);
        if let Some(other) = &mut self.other {
            other.update(read);
        }
        Ok(count)
    }
}

/// Reads all of a file of metadata.
pub(super) fn read_small(content: &Content) -> io::Result<Vec<u8>> {
    tar::read_content(content, MAX_METADATA)
}

/// A file of a distribution that was made here.
pub(super) fn made(content: Vec<u8>, executable: bool) -> DistributionFile {
    DistributionFile {
        sha256: sha2::Sha256::digest(&content).into(),
        content: Content::Memory(Bytes::from(content)),
        executable,
    }
}
