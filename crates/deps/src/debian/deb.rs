//! A Debian package (deb(5)): what it says about itself, and its files as a tree.
//!
//! Nothing is unpacked onto disk and nothing in it is run.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek as _};
use std::path::Path;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

use super::ar::{ArMember, ArReader};
use crate::archive::growth;
use crate::deb822::{Comments, Stanzas};
use crate::lock::LockedFile;
use ohoci_image::digest::Hasher;
use ohoci_layer::spool::Spool;
use ohoci_layer::tar_read::{Limits, Member, TarError, TarReader};
use ohoci_layer::tar_tree::read_tree;
use ohoci_layer::{Content, Kind, LayerPath, Rules, Tree};

/// Most bytes in the control archive, when decompressed.
const MAX_CONTROL: u64 = 64 << 20;
/// Most bytes in the data archive, when decompressed.
const MAX_DATA: u64 = 16 << 30;
/// Largest licence that is kept aside.
const MAX_LICENCE: u64 = 4 << 20;
/// Memory that the decompressor may use; what `xz -9` needs, and half as much again.
const XZ_MEMORY: u64 = 96 << 20;

/// A package that was read.
#[derive(Clone, Debug)]
pub struct Deb {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture, or `all`.
    pub architecture: String,
    /// Who maintains it.
    pub maintainer: String,
    /// Its home page; empty when it names none.
    pub homepage: String,
    /// Its files, as they are found below `/`. The root itself is not among them.
    pub tree: Tree,
    /// The files that are configuration, whether they are in the tree or not.
    pub conffiles: Vec<LayerPath>,
    /// What it says about itself: the `control` file, one stanza.
    pub control: String,
    /// The other files of its control archive by name: maintainer scripts, `triggers`, ….
    pub control_files: BTreeMap<String, Bytes>,
    /// The statements of its licences: `copyright` files by their path.
    pub licences: BTreeMap<LayerPath, Bytes>,
}

/// What a package should be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Its architecture; packages for all architectures will do as well.
    pub architecture: &'a str,
    /// Its size and digest.
    pub file: &'a LockedFile,
}

/// Why a package cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("package {package} cannot be used: {why}")]
pub struct DebError {
    package: String,
    why: String,
}

/// Reads the package at `path`, which must be what is expected. File contents go into an unnamed
/// file in `spool_dir`, which lasts as long as the tree.
///
/// # Errors
/// When it is not what is expected, is damaged, or holds what no package may hold.
pub fn read(path: &Path, expected: Expected<'_>, spool_dir: &Path) -> Result<Deb, DebError> {
    let read = || -> Result<Deb, String> {
        let mut file = fs_err::File::open(path).map_err(words)?;
        check_digest(&mut file, expected.file)?;
        file.rewind().map_err(words)?;
        let input = BufReader::with_capacity(128 << 10, file);
        let deb = parse(input, spool_dir)?;
        let architectures = [expected.architecture, "all"];
        if deb.name != expected.name
            || deb.version != expected.version
            || !architectures.contains(&deb.architecture.as_str())
        {
            return Err(format!(
                "it is {} {} for {}",
                deb.name, deb.version, deb.architecture
            ));
        }
        Ok(deb)
    };
    read().map_err(|why| DebError {
        package: format!("{} {}", expected.name, expected.version),
        why,
    })
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn check_digest(file: &mut fs_err::File, expected: &LockedFile) -> Result<(), String> {
    let mut hasher = Hasher::new(expected.digest.algorithm());
    let mut size = 0;
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = file.read(&mut buffer).map_err(words)?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
        if size > expected.size {
            break;
        }
    }
    if size != expected.size {
        return Err(format!(
            "its file has another size than the {} bytes that are locked",
            expected.size
        ));
    }
    let found = hasher.finish();
    if found != expected.digest {
        return Err(format!(
            "its file hashes to {found}, not to {} as locked",
            expected.digest
        ));
    }
    Ok(())
}

/// Reads a package from its bytes, whatever package it is.
///
/// # Errors
/// What is wrong, in words.
pub fn parse(input: impl Read, spool_dir: &Path) -> Result<Deb, String> {
    let mut archive = ArReader::new(input);
    let first = member(&mut archive)?;
    if first.name != "debian-binary" {
        return Err(format!(
            "it begins with {:?}, as no package does",
            first.name
        ));
    }
    let mut version = String::new();
    (&mut archive)
        .take(64)
        .read_to_string(&mut version)
        .map_err(words)?;
    if !version.starts_with("2.") {
        return Err(format!(
            "it has version {:?} of the format, which is not known",
            version.trim()
        ));
    }
    let control_member = member(&mut archive)?;
    let control = Control::read(&mut archive, &control_member)?;
    let data_member = member(&mut archive)?;
    let mut spool = Spool::create(spool_dir).map_err(words)?;
    let tree = data(&mut archive, &data_member, &mut spool)?;
    while let Some(more) = archive.next_member().map_err(words)? {
        // deb(5): what begins with an underscore may follow and means nothing.
        if !more.name.starts_with('_') {
            return Err(format!("{:?} stands behind its files", more.name));
        }
    }
    let licences = licences(&tree)?;
    Ok(Deb {
        name: control.field("Package"),
        version: control.field("Version"),
        architecture: control.field("Architecture"),
        maintainer: control.field("Maintainer"),
        homepage: control.field("Homepage"),
        conffiles: control.conffiles()?,
        control: control.control,
        control_files: control.files,
        tree,
        licences,
    })
}

/// The next member that means something.
fn member<R: Read>(archive: &mut ArReader<R>) -> Result<ArMember, String> {
    loop {
        match archive.next_member().map_err(words)? {
            None => return Err("it ends before its files: cut off?".to_owned()),
            Some(member) if member.name.starts_with('_') => {}
            Some(member) => return Ok(member),
        }
    }
}

/// Reads a member that is a tar, by the compression that its name says.
fn decompress<'a, R: Read>(
    archive: &'a mut ArReader<R>,
    member: &ArMember,
    base: &str,
) -> Result<Box<dyn Read + 'a>, String> {
    let input = BufReader::with_capacity(128 << 10, archive);
    let suffix = member
        .name
        .strip_prefix(base)
        .ok_or_else(|| format!("{:?} stands where {base} should", member.name))?;
    Ok(match suffix {
        "" => Box::new(input),
        ".gz" => Box::new(MultiGzDecoder::new(input)),
        ".xz" => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED).map_err(words)?;
            Box::new(XzDecoder::new_stream(input, stream))
        }
        ".zst" => Box::new(zstd::Decoder::with_buffer(input).map_err(words)?),
        other => {
            return Err(format!(
                "{base} is compressed in a way that is not known: {other:?}"
            ));
        }
    })
}

/// A reader that refuses to yield more than a limit.
struct Limited<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            let why = "it becomes much larger when it is decompressed than any package does";
            io::Error::new(io::ErrorKind::InvalidData, why)
        })?;
        Ok(count)
    }
}

fn tar_reader<R: Read>(input: R, limit: u64) -> TarReader<Limited<R>> {
    let limits = Limits {
        members: 500_000,
        ..Limits::default()
    };
    TarReader::new(Limited { input, left: limit }, Rules::Strict, limits)
}

fn data<R: Read>(
    archive: &mut ArReader<R>,
    member: &ArMember,
    spool: &mut Spool,
) -> Result<Tree, String> {
    let limit = growth::largest(member.size, MAX_DATA);
    let input = decompress(archive, member, "data.tar")?;
    let mut reader = tar_reader(input, limit);
    let name = &member.name;
    let found = read_tree(&mut reader, spool, |_: &Member| None);
    found.map_err(|error: TarError| format!("{name}: {error}"))
}

/// The control archive.
struct Control {
    control: String,
    files: BTreeMap<String, Bytes>,
}

impl Control {
    fn read<R: Read>(archive: &mut ArReader<R>, member: &ArMember) -> Result<Self, String> {
        let at = |why: String| format!("{}: {why}", member.name);
        let input = decompress(archive, member, "control.tar")?;
        let mut reader = tar_reader(input, MAX_CONTROL);
        let mut files: BTreeMap<String, Bytes> = BTreeMap::new();
        while let Some(found) = reader.next_member().map_err(|error| at(words(error)))? {
            if found.path.is_root() {
                continue;
            }
            let name = String::from_utf8_lossy(found.path.as_bytes()).into_owned();
            if found.path.parent().is_none_or(|parent| !parent.is_root())
                || !matches!(found.entry.kind, Kind::File(_))
            {
                let why = "it is not a file, or in a directory";
                return Err(at(words(found.refused(why))));
            }
            let mut content = Vec::new();
            reader
                .read_to_end(&mut content)
                .map_err(|error| at(format!("{name}: {error}")))?;
            if files.insert(name.clone(), content.into()).is_some() {
                return Err(at(format!("{name} is there twice")));
            }
        }
        let control = files
            .remove("control")
            .ok_or_else(|| at("there is no control file in it".to_owned()))?;
        let control = String::from_utf8(control.into())
            .map_err(|_| at("control: it is not UTF-8 text".to_owned()))?;
        let control = Self { control, files };
        control.check().map_err(at)?;
        Ok(control)
    }

    fn check(&self) -> Result<(), String> {
        let mut stanzas = Stanzas::new(&self.control, Comments::Refused);
        let first = stanzas.next();
        match (first, stanzas.next()) {
            (Some(Ok(_)), None) => Ok(()),
            (Some(Err(error)), _) | (_, Some(Err(error))) => Err(format!("control: {error}")),
            _ => Err("control: it is not one stanza".to_owned()),
        }
    }

    fn field(&self, name: &str) -> String {
        let stanza = Stanzas::new(&self.control, Comments::Refused).next();
        let stanza = stanza.and_then(Result::ok);
        let value = stanza.and_then(|stanza| stanza.get(name));
        value.unwrap_or_default().to_owned()
    }

    fn conffiles(&self) -> Result<Vec<LayerPath>, String> {
        let text = self.files.get("conffiles").map(|text| text.as_ref());
        let text = std::str::from_utf8(text.unwrap_or_default())
            .map_err(|_| "conffiles: it is not UTF-8 text".to_owned())?;
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty())
            // deb-conffiles(5): a flag may stand in front.
            .map(|line| line.strip_prefix("remove-on-upgrade ").unwrap_or(line))
            .map(|line| {
                LayerPath::parse(line.as_bytes()).map_err(|error| format!("conffiles: {error}"))
            })
            .collect()
    }
}

/// The statements of licences that Policy 12.5 wants of every package.
fn licences(tree: &Tree) -> Result<BTreeMap<LayerPath, Bytes>, String> {
    let mut licences = BTreeMap::new();
    for (path, entry) in tree {
        let names: Vec<&[u8]> = path.names().collect();
        let ([b"usr", b"share", b"doc", _, b"copyright"], Kind::File(content)) =
            (names.as_slice(), &entry.kind)
        else {
            continue;
        };
        licences.insert(path.clone(), small(path, content)?);
    }
    Ok(licences)
}

fn small(path: &LayerPath, content: &Content) -> Result<Bytes, String> {
    if content.size() > MAX_LICENCE {
        return Err(format!("{path} is too large for a statement of licences"));
    }
    let mut bytes = Vec::new();
    content
        .open()
        .and_then(|mut reader| reader.read_to_end(&mut bytes))
        .map_err(|error| format!("{path}: {error}"))?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests;
