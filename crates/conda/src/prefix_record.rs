//! What a prefix knows of its packages: `conda-meta/NAME-VERSION-BUILD.json`, as conda, micromamba and
//! rattler read it.

use serde::{Deserialize, Serialize};

use crate::placeholder::FileMode;
use crate::record::{Located, Record};

/// The record of a linked package.
#[derive(Debug, Serialize)]
pub(crate) struct PrefixRecord<'a> {
    name: &'a str,
    version: &'a str,
    build: &'a str,
    build_number: u64,
    subdir: &'a str,
    #[serde(rename = "fn")]
    file_name: &'a str,
    /// The channel's name and the package's place in it: where that is, is a machine's own business.
    url: String,
    channel: &'a str,
    depends: &'a [String],
    constrains: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    noarch: Option<crate::record::Noarch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    md5: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    track_features: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    python_site_packages_path: Option<&'a str>,
    files: Vec<&'a str>,
    paths_data: PathsData<'a>,
    link: Link,
}

#[derive(Debug, Serialize)]
struct PathsData<'a> {
    paths_version: u32,
    paths: &'a [LinkedPath],
}

/// How conda calls what was linked: copies.
#[derive(Debug, Serialize)]
struct Link {
    source: &'static str,
    #[serde(rename = "type")]
    kind: u32,
}

/// What became of a file of a package.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LinkedPath {
    /// Where it is, below the prefix.
    #[serde(rename = "_path")]
    pub(crate) path: String,
    pub(crate) path_type: LinkedKind,
    /// The digest in the package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// The digest in the prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256_in_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size_in_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file_mode: Option<FileMode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prefix_placeholder: Option<String>,
}

/// The kinds of what is linked, in conda's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LinkedKind {
    Hardlink,
    Softlink,
    Directory,
    UnixPythonEntryPoint,
}

/// The document, with a line end.
pub(crate) fn document(located: &Located, paths: &[LinkedPath]) -> Vec<u8> {
    let Record {
        name,
        version,
        build,
        build_number,
        depends,
        constrains,
        license,
        md5,
        sha256,
        size,
        subdir,
        noarch,
        timestamp,
        track_features,
        python_site_packages_path,
    } = &located.record;
    let record = PrefixRecord {
        name,
        version,
        build,
        build_number: *build_number,
        subdir,
        file_name: &located.file_name,
        url: format!("conda:{}/{}", located.channel, located.path()),
        channel: &located.channel,
        depends,
        constrains,
        noarch: *noarch,
        license: license.as_deref(),
        md5: md5.as_deref(),
        sha256: sha256.as_deref(),
        size: *size,
        timestamp: *timestamp,
        track_features: track_features.join(" "),
        python_site_packages_path: python_site_packages_path.as_deref(),
        files: paths
            .iter()
            .filter(|path| path.path_type != LinkedKind::Directory)
            .map(|path| path.path.as_str())
            .collect(),
        paths_data: PathsData {
            paths_version: 1,
            paths,
        },
        link: Link {
            source: "",
            kind: 3,
        },
    };
    // Texts, numbers and lists of them: nothing that JSON could not hold.
    let mut document = serde_json::to_vec_pretty(&record).unwrap_or_default();
    document.push(b'\n');
    document
}
