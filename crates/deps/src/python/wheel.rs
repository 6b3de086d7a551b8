//! Wheels (binary distribution format, PEP 427), checked file by file against their own record.

use std::collections::BTreeMap;
use std::io::Read as _;

use pep440_rs::Version;
use rawzip::ReaderAt;

use super::distribution::{Distribution, DistributionFile, Hashing, MAX_METADATA};
use super::metadata::Headers;
use super::name::PackageName;
use super::record::{self, Recorded};
use super::tags::Chooser;
use super::{PythonError, WheelName};
use crate::archive::zip::{Limits, Zip, ZipKind, ZipMember};
use crate::archive::{ArchiveError, Spool, growth};
use ohoci_layer::LayerPath;

/// Reads the wheel in a file. `name` is what the file is called at its index: it says what should
/// be in it.
///
/// # Errors
/// See [`read`].
pub fn read_file(
    name: &str,
    file: fs_err::File,
    chooser: &Chooser,
    spool: &Spool,
) -> Result<Distribution, PythonError> {
    let length = file
        .metadata()
        .map_err(|error| PythonError::archive(name, error.into()))?
        .len();
    let (file, _) = file.into_parts();
    read(
        name,
        rawzip::FileReader::from(file),
        length,
        chooser,
        Limits {
            total: growth::largest(length, Limits::default().total),
            ..Limits::default()
        },
        spool,
    )
}

/// Reads the wheel that is in `input`, which has `length` bytes.
///
/// # Errors
/// When its name or its tags do not fit; when the zip is not to be trusted; when it holds
/// symlinks, or names that differ only in case; when a file is not in its `RECORD`, or is not
/// what that says, or is in it and not there; when its metadata is of something else.
pub fn read<R: ReaderAt>(
    name: &str,
    input: R,
    length: u64,
    chooser: &Chooser,
    limits: Limits,
    spool: &Spool,
) -> Result<Distribution, PythonError> {
    let said: WheelName = name
        .parse()
        .map_err(|error: super::wheel_name::WheelNameError| {
            PythonError::new(name, error.to_string())
        })?;
    if chooser.rank(&said.tags).is_none() {
        return Err(PythonError::new(name, "it is not made for this platform"));
    }
    let zip =
        Zip::open(input, length, limits).map_err(|error| PythonError::archive(name, error))?;
    check_names(name, zip.members())?;
    let dist_info = dist_info(name, &said, zip.members())?;
    let recorded = read_record(name, &zip, &dist_info)?;
    let mut files = BTreeMap::new();
    for member in zip.members() {
        if member.kind == ZipKind::Directory || is_record(&member.path, &dist_info) {
            continue;
        }
        let recorded = std::str::from_utf8(member.path.as_bytes())
            .ok()
            .and_then(|path| recorded.get(path))
            .ok_or_else(|| {
                PythonError::member(name, member.path.as_bytes(), "it is not in the RECORD")
            })?;
        let file = take(name, &zip, member, recorded, spool)?;
        files.insert(member.path.clone(), file);
    }
    check_complete(name, &recorded, &files, &dist_info)?;
    let wheel = super::distribution::read_text(name, &files, &format!("{dist_info}/WHEEL"))?
        .ok_or_else(|| PythonError::member(name, dist_info.as_bytes(), "it has no WHEEL"))?;
    check_wheel(&wheel)
        .map_err(|why| PythonError::member(name, format!("{dist_info}/WHEEL").as_bytes(), why))?;
    Distribution::new(name, (&said.name, &said.version), dist_info, files)
}

/// Nothing but files and directories, and none that are one where case does not count: such a
/// wheel is installed differently here and there.
fn check_names(name: &str, members: &[ZipMember]) -> Result<(), PythonError> {
    let mut folded: BTreeMap<Vec<u8>, &LayerPath> = BTreeMap::new();
    for member in members {
        let path = member.path.as_bytes();
        if member.kind == ZipKind::Symlink {
            return Err(PythonError::member(name, path, "a wheel can hold no links"));
        }
        if let Some(other) = folded.insert(path.to_ascii_lowercase(), &member.path) {
            let why = format!("it differs from {other} in case only");
            return Err(PythonError::member(name, path, why));
        }
    }
    Ok(())
}

/// The name of the one directory with metadata. It, and a directory of data, must be those of
/// the package and version that the file's name says.
fn dist_info(name: &str, said: &WheelName, members: &[ZipMember]) -> Result<String, PythonError> {
    let mut found: Option<String> = None;
    for member in members {
        let top = member.path.names().next().unwrap_or_default();
        let top = String::from_utf8_lossy(top).into_owned();
        let folded = top.to_ascii_lowercase();
        if !folded.ends_with(".dist-info") && !folded.ends_with(".data") {
            continue;
        }
        let stem = top
            .strip_suffix(".dist-info")
            .or_else(|| top.strip_suffix(".data"));
        if !stem.is_some_and(|stem| is_of(stem, said)) {
            let why = format!("its name is not that of {} {}", said.name, said.version);
            return Err(PythonError::member(name, top.as_bytes(), why));
        }
        if top.ends_with(".dist-info") {
            match &found {
                Some(known) if *known != top => {
                    let why = format!("there is a {known} as well");
                    return Err(PythonError::member(name, top.as_bytes(), why));
                }
                _ => found = Some(top),
            }
        }
    }
    found.ok_or_else(|| PythonError::new(name, "it has no .dist-info directory"))
}

fn is_of(stem: &str, said: &WheelName) -> bool {
    stem.split_once('-').is_some_and(|(name, version)| {
        PackageName::parse(name).as_ref() == Some(&said.name)
            && version.replace('_', "-").parse::<Version>().ok().as_ref() == Some(&said.version)
    })
}

/// Whether a path is the RECORD or one of its signatures, which no RECORD can record.
fn is_record(path: &LayerPath, dist_info: &str) -> bool {
    ["RECORD", "RECORD.jws", "RECORD.p7s"]
        .iter()
        .any(|name| path.as_bytes() == format!("{dist_info}/{name}").as_bytes())
}

fn read_record<R: ReaderAt>(
    name: &str,
    zip: &Zip<R>,
    dist_info: &str,
) -> Result<BTreeMap<String, Recorded>, PythonError> {
    let path = format!("{dist_info}/RECORD");
    let fail = |why: String| PythonError::member(name, path.as_bytes(), why);
    let member = zip
        .members()
        .iter()
        .find(|member| member.path.as_bytes() == path.as_bytes())
        .ok_or_else(|| fail("it is not there".to_owned()))?;
    if member.size > MAX_METADATA {
        return Err(fail("it is too large".to_owned()));
    }
    let mut text = String::new();
    zip.reader(member)
        .and_then(|mut reader| reader.read_to_string(&mut text))
        .map_err(|error| fail(error.to_string()))?;
    record::parse(&text).map_err(fail)
}

/// Takes a file whose size and hash are what the RECORD says.
fn take<R: ReaderAt>(
    name: &str,
    zip: &Zip<R>,
    member: &ZipMember,
    recorded: &Recorded,
    spool: &Spool,
) -> Result<DistributionFile, PythonError> {
    let path = member.path.as_bytes();
    let fail = |why: String| PythonError::member(name, path, why);
    let Some(hash) = &recorded.hash else {
        return Err(fail("the RECORD has no hash of it".to_owned()));
    };
    if let Some(size) = recorded.size
        && size != member.size
    {
        let why = format!("it has {} bytes; the RECORD says {size}", member.size);
        return Err(fail(why));
    }
    let reader = zip
        .reader(member)
        .map_err(|error| fail(error.to_string()))?;
    let mut reader = Hashing::new(reader, Some(hash.hasher()));
    let content = spool
        .take(&mut reader, member.size)
        .map_err(|error| PythonError::archive(name, ArchiveError::spool(path, error)))?;
    let (sha256, found) = reader.finish();
    if !found.is_some_and(|found| hash.is(&found)) {
        return Err(fail("it has another hash than the RECORD says".to_owned()));
    }
    Ok(DistributionFile {
        content,
        executable: member.mode.is_some_and(|mode| mode & 0o111 != 0),
        sha256,
    })
}

/// All that is recorded must be there.
fn check_complete(
    name: &str,
    recorded: &BTreeMap<String, Recorded>,
    files: &BTreeMap<LayerPath, DistributionFile>,
    dist_info: &str,
) -> Result<(), PythonError> {
    for path in recorded.keys() {
        let fail = |why: &str| PythonError::member(name, path.as_bytes(), why);
        let parsed = LayerPath::parse(path.as_bytes()).map_err(|error| fail(&error.to_string()))?;
        if !files.contains_key(&parsed) && !is_record(&parsed, dist_info) {
            return Err(fail("it is in the RECORD, but not in the wheel"));
        }
    }
    Ok(())
}

fn check_wheel(text: &str) -> Result<(), String> {
    let headers = Headers::parse(text)?;
    let version = headers.one("Wheel-Version")?;
    match version.split('.').next() {
        Some("1") => Ok(()),
        _ => Err(format!("version {version} of the format is not known")),
    }
}

#[cfg(test)]
pub(crate) mod tests;
