//! Source distributions of pure Python as wheels, without running anything of theirs.
//!
//! What a build would put into a wheel is decided by code that only a build runs. But the tool
//! that made the archive has written down what that code said (`*.egg-info`), or the project says
//! it in `pyproject.toml`. Where neither is so, or where something would have to be compiled or
//! run, the archive is refused.

mod built;
mod layout;
mod poetry;
mod refusal;
mod requires;

use std::collections::BTreeMap;

use super::PythonError;
use super::distribution::{self, Distribution, DistributionFile};
use super::metadata::Headers;
use super::name::PackageName;
use super::wheel_name::sdist_name;
use crate::archive::{ArchiveError, Spool, growth, tar};
use ohoci_layer::path::printable;
use ohoci_layer::{Content, Kind, LayerPath};

/// How many bytes a source distribution may have when decompressed.
const LIMIT: u64 = 1 << 30;

/// The files of a source distribution by their path below its one directory.
pub(super) type Sources = BTreeMap<String, Source>;

/// A file of a source distribution.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) content: Content,
    executable: bool,
}

/// What becomes of the script of a project that a build would run first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BuildScript {
    /// A project that has one is refused.
    #[default]
    Refused,
    /// It is not run, and what it would make is not there.
    LeftOut,
}

impl BuildScript {
    /// Left out, or else refused.
    #[must_use]
    pub fn left_out(left_out: bool) -> Self {
        if left_out {
            Self::LeftOut
        } else {
            Self::Refused
        }
    }
}

/// Reads the source distribution in a file as if it were a wheel. `name` is what the file is
/// called at its index.
///
/// What becomes a package is everything in the directories of the packages that the project
/// names. A build may leave some of that out, such as tests.
///
/// # Errors
/// When the archive is damaged or means harm, when something in it is not Python, or when it is
/// not written in it what a build would make of it.
pub fn read_file(
    name: &str,
    file: fs_err::File,
    build_script: BuildScript,
    spool: &Spool,
) -> Result<Distribution, PythonError> {
    let (package, version) = sdist_name(name).ok_or_else(|| {
        PythonError::new(name, "its name is not NAME-VERSION.tar.gz")
            .hinted("only source distributions in this form can be used without being run")
    })?;
    let fail = |error: ArchiveError| PythonError::archive(name, error);
    let length = file.metadata().map_err(|error| fail(error.into()))?.len();
    let tree = tar::read_tar(file, growth::largest(length, LIMIT), spool).map_err(fail)?;
    let mut sources = Sources::new();
    let mut top: Option<Vec<u8>> = None;
    for (path, entry) in &tree {
        let fail = |why: &str| PythonError::member(name, path.as_bytes(), why);
        let first = path.names().next().unwrap_or_default();
        let top = top.get_or_insert_with(|| first.to_vec());
        if top != first {
            let other = printable(top);
            return Err(fail(&format!(
                "there should be one directory, and {other} is there too"
            )));
        }
        let content = match &entry.kind {
            Kind::Directory => continue,
            Kind::File(content) => content.clone(),
            other => return Err(fail(&format!("a {} is not expected here", other.noun()))),
        };
        let below: Vec<&[u8]> = path.names().skip(1).collect();
        let below =
            String::from_utf8(below.join(&b'/')).map_err(|_| fail("its name is not UTF-8"))?;
        let executable = entry.mode & 0o111 != 0;
        sources.insert(
            below,
            Source {
                content,
                executable,
            },
        );
    }
    let refuse = |why: String| {
        let hint = match why == poetry::SCRIPT {
            true => format!(
                "where {package} does without what the script makes, add it to skip-build-script \
                 in the recipe"
            ),
            false => HINT.to_owned(),
        };
        PythonError::new(name, why).hinted(hint)
    };
    let data = format!("{}-{version}.data", package.escaped());
    let left_out = build_script == BuildScript::LeftOut;
    let built = layout::find(&sources, &package, &data, left_out).map_err(refuse)?;
    let dist_info = format!("{}-{version}.dist-info", package.escaped());
    let mut files = BTreeMap::new();
    for (at, from) in &built.files {
        let source = sources
            .get(from)
            .ok_or_else(|| PythonError::member(name, from.as_bytes(), "it is not there"))?;
        let file =
            hashed(source).map_err(|error| PythonError::archive(name, ArchiveError::Io(error)))?;
        insert(name, &mut files, at, file)?;
    }
    let mut info = |at: &str, file: DistributionFile| {
        insert(name, &mut files, &format!("{dist_info}/{at}"), file)
    };
    let metadata = metadata(name, &sources, &built)?;
    info("METADATA", distribution::made(metadata.into_bytes(), false))?;
    let text = "Wheel-Version: 1.0\nGenerator: ohoci\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    info("WHEEL", distribution::made(text.into(), false))?;
    let tops = built.top_level.join("\n") + "\n";
    info(
        "top_level.txt",
        distribution::made(tops.into_bytes(), false),
    )?;
    if let Some(text) = built.entry_points {
        info(
            "entry_points.txt",
            distribution::made(text.into_bytes(), false),
        )?;
    }
    for licence in sources.keys().filter(|path| is_licence(path)) {
        if let Some(source) = sources.get(licence) {
            let file = hashed(source)
                .map_err(|error| PythonError::archive(name, ArchiveError::Io(error)))?;
            info(&format!("licenses/{licence}"), file)?;
        }
    }
    Distribution::new(name, (&package, &version), dist_info, files)
}

const HINT: &str = "look for a version with a wheel, or build one yourself and lock that";

/// What a project's own metadata requires, read from its source distribution: what a resolver
/// needs to know that would otherwise build it.
///
/// # Errors
/// As [`read_file`].
pub fn metadata_of(
    name: &str,
    file: fs_err::File,
    build_script: BuildScript,
    spool: &Spool,
) -> Result<String, PythonError> {
    let distribution = read_file(name, file, build_script, spool)?;
    let path = format!("{}/METADATA", distribution.dist_info);
    let text = super::distribution::read_text(name, &distribution.files, &path)?;
    Ok(text.unwrap_or_default())
}

fn insert(
    name: &str,
    files: &mut BTreeMap<LayerPath, DistributionFile>,
    at: &str,
    file: DistributionFile,
) -> Result<(), PythonError> {
    let path = LayerPath::parse(at.as_bytes())
        .map_err(|error| PythonError::member(name, at.as_bytes(), error.to_string()))?;
    match files.insert(path, file) {
        None => Ok(()),
        Some(_) => Err(PythonError::member(
            name,
            at.as_bytes(),
            "it is there twice",
        )),
    }
}

fn hashed(source: &Source) -> std::io::Result<DistributionFile> {
    let mut reader = super::distribution::Hashing::new(source.content.open()?, None);
    std::io::copy(&mut reader, &mut std::io::sink())?;
    Ok(DistributionFile {
        content: source.content.clone(),
        executable: source.executable,
        sha256: reader.finish().0,
    })
}

/// What setuptools takes for licence files by default.
fn is_licence(path: &str) -> bool {
    let known = ["LICEN", "COPYING", "NOTICE", "AUTHORS"];
    let upper = path.to_ascii_uppercase();
    !path.contains('/') && known.iter().any(|known| upper.starts_with(known))
}

/// The metadata of the wheel: that of the source distribution, with the requirements and licence
/// files that older formats keep elsewhere.
fn metadata(name: &str, sources: &Sources, built: &built::Built) -> Result<String, PythonError> {
    let fail = |why: String| PythonError::member(name, b"PKG-INFO", why);
    let text = text(sources, "PKG-INFO")
        .map_err(&fail)?
        .ok_or_else(|| fail("it is not there".to_owned()))?;
    let headers = Headers::parse(&text).map_err(&fail)?;
    let mut more = String::new();
    if headers.all("Requires-Dist").next().is_none()
        && let Some(listed) = &built.requires
    {
        more.push_str(&layout::requirement_headers(listed).map_err(fail)?);
    }
    let licences: Vec<&str> = headers.all("License-File").collect();
    for path in sources.keys().filter(|path| is_licence(path)) {
        if !licences.contains(&path.as_str()) {
            more.push_str(&format!("License-File: {path}\n"));
        }
    }
    let text = text.replace("\r\n", "\n");
    // The headers end at the first empty line.
    Ok(match text.split_once("\n\n") {
        Some((headers, body)) => format!("{headers}\n{more}\n{body}"),
        None => format!("{}\n{more}", text.trim_end()),
    })
}

/// The text of a file, if it is there.
fn text(sources: &Sources, path: &str) -> Result<Option<String>, String> {
    let Some(source) = sources.get(path) else {
        return Ok(None);
    };
    let bytes =
        distribution::read_small(&source.content).map_err(|error| format!("{path}: {error}"))?;
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|_| format!("{path}: it is not UTF-8 text"))
}

/// Whether a project's name is what a package is called that is imported.
fn is_named(import: &str, package: &PackageName) -> bool {
    PackageName::parse(import).as_ref() == Some(package)
}

#[cfg(test)]
mod tests;
