//! Makes layer blobs of what is on disk, in one pass and bounded memory.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use super::blob::{Blob, Metered, Tee, descriptor};
use super::decompress::Decompressor;
use super::directory::{DirectoryError, Wanted, read_directory_of, read_file};
use super::entry::{Entry, Kind};
use super::layer_writer::LayerWriter;
use super::limits::Budget;
pub use super::pack_options::PackOptions;
use super::packed::{LayerFile, PackedLayer};
use super::path::LayerPath;
use super::source::LayerSource;
use super::tar_field::has_right_checksum;
use super::tar_read::{Limits, Member, TarError, TarReader};
use super::tar_write::{Append as _, append_tree};
use super::tree::{Rules, Tree};
use super::whiteout;
use ohoci_files::regular;
use ohoci_image::media_type::Compression;

/// How many names the paths of [`PackedLayer::directories`] have at most.
const SHALLOW: usize = 3;

fn is_shallow(path: &LayerPath) -> bool {
    !path.is_root() && path.names().count() <= SHALLOW
}

/// The directories of a tree, and those above what is in it.
pub(super) fn directories<T>(tree: &Tree<T>) -> Vec<LayerPath> {
    let mut found: BTreeSet<LayerPath> = BTreeSet::new();
    for (path, entry) in tree {
        let mut above = if entry.is_directory() {
            Some(path.clone())
        } else {
            path.parent()
        };
        while let Some(directory) = above.filter(|directory| !directory.is_root()) {
            above = directory.parent();
            if is_shallow(&directory) && !found.insert(directory) {
                break;
            }
        }
    }
    found.into_iter().collect()
}

/// Why something cannot become a layer.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a layer of {subject}: {why}")]
pub struct PackError {
    subject: String,
    why: String,
    hint: Option<&'static str>,
    #[source]
    io: Option<io::Error>,
}

impl PackError {
    pub(super) fn new(subject: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            why: why.into(),
            hint: None,
            io: None,
        }
    }

    fn of(subject: &Path, why: &dyn std::error::Error) -> Self {
        Self::new(subject.display().to_string(), why.to_string())
    }

    /// What was being packed: a path, or a name of the tree.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Why it cannot become a layer, with the file or member at fault.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        self.hint
    }

    /// The system's error, when reading or writing failed; it tells a full disk.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        self.io.as_ref()
    }
}

/// Makes a layer of a directory, a tar or another file. What it is shows in its content, not in its
/// name.
///
/// A directory is packed reproducibly (see `read_directory_of` and `append_tree`); its own entry
/// becomes that of the destination, and nothing is written for directories above the destination,
/// nor for `/`: it would override what the base says about them.
///
/// A tar for `/` is validated and kept: compressed, it is the blob, byte for byte, and no file is
/// written; not compressed, its bytes are compressed as they are. For another destination it is
/// written anew, in its own order and with its own owners and dates, below that directory. Its
/// entry for its root, if it has one, must then come first.
///
/// A file that is no tar, given with a destination, is put there as it is.
///
/// New files are written into `out_dir`.
///
/// # Errors
/// When `source` is none of these, is damaged, contradicts itself (a path twice, files below something
/// that is no directory, hard links to what is not there before them), or when reading or writing
/// fails.
pub fn pack(
    source: &LayerSource,
    options: &PackOptions,
    out_dir: &Path,
) -> Result<PackedLayer, PackError> {
    let path = &source.path;
    let fail = |error: io::Error| io_error(path.display().to_string(), error);
    let created_by = format!("ohoci: add layer at {}", source.destination);
    if fs_err::metadata(path).map_err(fail)?.is_dir() {
        return pack_directory(source, options, out_dir, &|_, _| Wanted::Yes);
    }
    let is_tar = is_tar(path).map_err(fail)?;
    let has_place = source.into_destination || !source.destination.is_root();
    if !is_tar && has_place {
        return pack_file(source, options, out_dir);
    }
    let file = regular::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    let input = Metered::new(file);
    let budget = Arc::new(Budget::new(options.limits));
    let input = Decompressor::within(input, &budget).map_err(fail)?;
    let is_new = !source.destination.is_root() || options.owner.is_some();
    let layer = if is_new || (options.seekable && input.compression() == Compression::None) {
        repack(input, &source.destination, &budget, options, out_dir)
    } else if input.compression() == Compression::None {
        compress_as_is(input, &budget, options, out_dir)
    } else {
        keep(input, &budget, path, metadata.len())
    };
    match layer {
        Ok(layer) => Ok(PackedLayer {
            created_by,
            ..layer
        }),
        Err(TarError::Io(error)) => Err(fail(error)),
        Err(error) => Err(PackError {
            hint: (!is_tar).then_some(
                "a file that is no tar needs a place in the image: FILE:/PATH, or FILE:/DIRECTORY/",
            ),
            ..PackError::of(path, &error)
        }),
    }
}

/// Whether a file begins as a tar does, compressed or not: with a header that has the right
/// checksum, or with the zeros that end an empty one. What cannot be read so far, or is compressed
/// as no layer can be but has a tar's name, counts as one: reading it says what is wrong.
fn is_tar(path: &Path) -> io::Result<bool> {
    let file = regular::open(path)?;
    let mut start = Vec::new();
    let input = match Decompressor::new(file, FIRST_BYTES) {
        Ok(input) => input,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(is_named_tar(path)),
        Err(error) => return Err(error),
    };
    if input.take(FIRST_HEADER).read_to_end(&mut start).is_err() {
        return Ok(true);
    }
    let mut header = tar::Header::new_old();
    if start.len() != header.as_bytes().len() {
        return Ok(false);
    }
    header.as_mut_bytes().copy_from_slice(&start);
    Ok(start.iter().all(|byte| *byte == 0) || has_right_checksum(&header))
}

/// How much of a file is read to tell a tar, in bytes: a header.
const FIRST_HEADER: u64 = 512;

/// As much as decompressing that may bring at once.
const FIRST_BYTES: u64 = 16 << 20;

fn is_named_tar(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_ascii_lowercase();
    let endings = [".tar", ".txz", ".tbz", ".tbz2", ".tlz4"];
    name.contains(".tar.") || endings.iter().any(|ending| name.ends_with(ending))
}

/// Makes a layer of one file.
fn pack_file(
    source: &LayerSource,
    options: &PackOptions,
    out_dir: &Path,
) -> Result<PackedLayer, PackError> {
    let path = &source.path;
    let unfit = |why: String| PackError::new(path.display().to_string(), why);
    let destination = if source.into_destination {
        let name = path.file_name().unwrap_or_default();
        let name = LayerPath::parse(name.as_bytes()).map_err(|error| unfit(error.to_string()))?;
        source.destination.join(&name)
    } else {
        Ok(source.destination.clone())
    };
    let destination = destination.map_err(|error| unfit(error.to_string()))?;
    if whiteout::is_reserved(&destination) {
        return Err(unfit(
            "a name that begins with `.wh.` would remove files instead of adding one".to_owned(),
        ));
    }
    let entry = read_file(path, options.mtime).map_err(|error| match error {
        DirectoryError::Io(error) => io_error(path.display().to_string(), error),
        unfit => PackError::of(path, &unfit),
    })?;
    let mut tree = Tree::new();
    let created_by = format!("ohoci: add file at {destination}");
    tree.insert(destination, entry, Rules::Strict)
        .map_err(|error| unfit(error.to_string()))?;
    pack_given_tree(tree, path, created_by, options, out_dir)
}

/// Packs what was read of `path`.
fn pack_given_tree(
    mut tree: Tree,
    path: &Path,
    created_by: String,
    options: &PackOptions,
    out_dir: &Path,
) -> Result<PackedLayer, PackError> {
    if let Some(owner) = options.owner {
        tree.give_to(owner);
    }
    pack_tree(tree, created_by, options, out_dir).map_err(|error| PackError {
        subject: path.display().to_string(),
        ..error
    })
}

/// Makes a layer of what `wanted` says of a directory, as [`pack`] does; it is asked of each path
/// below it, and whether that is a directory.
///
/// # Errors
/// As [`pack`].
pub fn pack_directory(
    source: &LayerSource,
    options: &PackOptions,
    out_dir: &Path,
    wanted: &dyn Fn(&LayerPath, bool) -> Wanted,
) -> Result<PackedLayer, PackError> {
    let path = &source.path;
    let found = read_directory_of(path, options.mtime, wanted).map_err(|error| match error {
        DirectoryError::Io(error) => io_error(path.display().to_string(), error),
        unfit => PackError::of(path, &unfit),
    })?;
    let tree = found
        .tree
        .moved_below(&source.destination, options.mtime)
        .map_err(|error| PackError::of(path, &error))?;
    let created_by = format!("ohoci: add layer at {}", source.destination);
    let mut layer = pack_given_tree(tree, path, created_by, options, out_dir)?;
    layer.notes = found.notes;
    Ok(layer)
}

/// Makes a layer of a tree.
///
/// # Errors
/// When the tree contradicts itself, or when reading a file in it or writing fails.
pub fn pack_tree(
    tree: Tree,
    created_by: String,
    options: &PackOptions,
    out_dir: &Path,
) -> Result<PackedLayer, PackError> {
    let subject = || "the tree".to_owned();
    let fail = |error| io_error(subject(), error);
    let mut writer = LayerWriter::create(options, out_dir).map_err(fail)?;
    let directories = directories(&tree);
    append_tree(tree, &mut writer).map_err(|error| match error {
        super::tar_write::WriteError::Io(error) => fail(error),
        super::tar_write::WriteError::Tree(error) => PackError::new(subject(), error.to_string()),
    })?;
    let layer = writer.finish().map_err(fail)?;
    Ok(PackedLayer {
        created_by,
        directories,
        ..layer
    })
}

pub(super) fn io_error(subject: String, error: io::Error) -> PackError {
    PackError {
        subject,
        why: error.to_string(),
        hint: None,
        io: Some(error),
    }
}

/// A layer is as good as its tar: everything that a runtime could trip over is refused here.
#[derive(Default)]
struct Validator {
    seen: Tree<()>,
    entries: u64,
    notes: Vec<String>,
}

impl Validator {
    /// All members of a tar that is kept as it is.
    fn check_all(
        &mut self,
        reader: &mut TarReader<impl Read>,
        budget: &Budget,
    ) -> Result<(), TarError> {
        while let Some(member) = reader.next_member()? {
            budget.take_entry(member.names())?;
            if member.path.is_root() {
                self.notes.push(
                    "the tar has an entry for its root, whose mode and owner replace those of the \
                     image's root directory"
                        .to_owned(),
                );
            }
            self.check(&member)?;
        }
        Ok(())
    }

    fn check(&mut self, member: &Member) -> Result<(), TarError> {
        if let Kind::Hardlink(target) = &member.entry.kind {
            match self.seen.get(target) {
                None => {
                    return Err(member.refused(format!(
                        "it is a hard link to {target}, which does not come before it"
                    )));
                }
                Some(entry) if entry.is_directory() => {
                    return Err(member.refused(format!(
                        "it is a hard link to {target}, which is a directory"
                    )));
                }
                Some(_) => {}
            }
        }
        // Attributes are of no interest here, and would be kept until the end.
        let kind = match &member.entry.kind {
            Kind::Directory => Kind::Directory,
            Kind::Symlink(_) => Kind::Symlink(Vec::new()),
            _ => Kind::File(()),
        };
        self.entries += 1;
        self.seen
            .insert(member.path.clone(), Entry::new(kind, 0), Rules::Strict)
            .map_err(|error| member.refused(error.to_string()))
    }
}

type Input = Decompressor<Metered<fs_err::File>>;

/// Takes a compressed tar as the blob that it is.
fn keep(input: Input, budget: &Budget, path: &Path, size: u64) -> Result<PackedLayer, TarError> {
    let compression = input.compression();
    let mut reader = TarReader::new(Metered::new(input), Rules::Strict, Limits::of_budget());
    let mut validator = Validator::default();
    validator.check_all(&mut reader, budget)?;
    let (input, tar) = reader.into_inner().into_parts();
    let (_, blob) = input.into_inner().into_parts();
    let (digest, read) = blob.finish();
    if read != size {
        return Err(TarError::Io(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{read} bytes were read, but the file had {size}: it changed meanwhile"),
        )));
    }
    let (diff_id, uncompressed_size) = tar.finish();
    Ok(PackedLayer {
        descriptor: descriptor(compression, digest, size)?,
        diff_id,
        file: LayerFile::Given(path.to_owned()),
        entries: validator.entries,
        uncompressed_size,
        created_by: String::new(),
        directories: directories(&validator.seen),
        notes: validator.notes,
    })
}

/// Compresses an uncompressed tar without changing a byte of it.
fn compress_as_is(
    input: Input,
    budget: &Budget,
    options: &PackOptions,
    out_dir: &Path,
) -> Result<PackedLayer, TarError> {
    let blob = Blob::create(options.settings(), out_dir)?;
    let mut reader = TarReader::new(Tee::new(input, blob), Rules::Strict, Limits::of_budget());
    let mut validator = Validator::default();
    validator.check_all(&mut reader, budget)?;
    let blob = reader.into_inner().into_blob();
    Ok(PackedLayer {
        directories: directories(&validator.seen),
        notes: validator.notes,
        ..blob.finish(validator.entries)?
    })
}

/// Writes a tar anew below a directory.
fn repack(
    input: Input,
    destination: &LayerPath,
    budget: &Budget,
    options: &PackOptions,
    out_dir: &Path,
) -> Result<PackedLayer, TarError> {
    let mut reader = TarReader::new(input, Rules::Strict, Limits::of_budget());
    let mut validator = Validator::default();
    let mut writer = LayerWriter::create(options, out_dir)?;
    while let Some(mut member) = reader.next_member()? {
        let has_own_entry = !destination.is_root();
        if has_own_entry && writer.entries() == 0 && !member.path.is_root() {
            let owner = options.owner.unwrap_or_default();
            let root = Entry {
                mtime: options.mtime,
                uid: owner.uid,
                gid: owner.gid,
                ..Entry::new(Kind::Directory, 0o755)
            };
            writer.append(destination, &root, &mut io::empty())?;
        } else if writer.entries() > 0 && member.path.is_root() {
            return Err(member.refused("the entry for the root must come first"));
        }
        budget.take_entry(member.names())?;
        validator.check(&member)?;
        if let Some(owner) = options.owner {
            (member.entry.uid, member.entry.gid) = (owner.uid, owner.gid);
        }
        // The root of the image keeps its mode and owner.
        if member.path.is_root() && destination.is_root() {
            continue;
        }
        let moved = |path: &LayerPath| {
            destination
                .join(path)
                .map_err(|error| member.refused(error.to_string()))
        };
        let path = moved(&member.path)?;
        if let Kind::Hardlink(target) = &member.entry.kind {
            member.entry.kind = Kind::Hardlink(moved(target)?);
        }
        writer.append(&path, &member.entry, &mut reader)?;
    }
    let mut above: BTreeSet<LayerPath> = destination
        .ancestors()
        .filter_map(|above| LayerPath::parse(above).ok())
        .chain([destination.clone()])
        .collect();
    let below = directories(&validator.seen);
    above.extend(below.iter().filter_map(|path| destination.join(path).ok()));
    Ok(PackedLayer {
        directories: above.into_iter().filter(is_shallow).collect(),
        ..writer.finish()?
    })
}

#[cfg(test)]
mod tests;
