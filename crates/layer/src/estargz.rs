//! Writes eStargz: gzip that every client takes, and of which a snapshotter reads single files from
//! where they are (stargz-snapshotter, `docs/estargz.md`).
//!
//! Each file's content begins a gzip member of its own. Behind the tar's last member comes another one,
//! [`TABLE`], which says where each file begins and what digests it has, and behind it a footer that
//! says where that one is. The digest of the table stands in the layer's descriptor, so that it is as
//! good as the manifest.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Read, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::NamedTempFile;

use super::blob::{self, Metered};
use super::compress::{DEFAULT_GZIP_LEVEL, Settings};
use super::entry::{Device, Entry, Kind};
use super::gzip::GzipWriter;
use super::packed::{LayerFile, PackedLayer};
use super::path::LayerPath;
use super::tar_write::{self, Append, END};
use ohoci_image::media_type::Compression;
use ohoci_image::timestamp::Timestamp;
use ohoci_image::{Algorithm, Digest, Hasher};

/// The table's name in the tar.
pub(super) const TABLE: &str = "stargz.index.json";
/// Annotation of the layer's descriptor: the digest of the table.
const TABLE_DIGEST: &str = "containerd.io/snapshot/stargz/toc.digest";
/// Annotation of the layer's descriptor: the size of the tar in bytes.
const TAR_SIZE: &str = "io.containers.estargz.uncompressed-size";
/// Files that say how much a snapshotter fetches ahead; a layer that has one means something by it.
const LANDMARKS: [&str; 2] = [".prefetch.landmark", ".no.prefetch.landmark"];
/// What is fetched and checked at once, in bytes: the format's own default.
const CHUNK: u64 = 4 << 20;
/// How many bytes of content are copied at once.
const COPIED: usize = 128 << 10;
/// The first second that four digits of a year cannot say.
const YEAR_10000: i64 = 253_402_300_800;

/// A row of the table. The names are those of the format; what is zero is left out.
#[derive(Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    modtime: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    link_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    mode: u64,
    #[serde(skip_serializing_if = "is_zero")]
    uid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    gid: u64,
    /// Where the gzip member with the content begins in the blob.
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_minor: u64,
    /// Base64 of each value.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_offset: u64,
    /// Left out of a file's last chunk, which goes on to its end.
    #[serde(skip_serializing_if = "is_zero")]
    chunk_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_digest: Option<Digest>,
    /// The number of that gzip member, until it is known where it begins.
    #[serde(skip)]
    member: Option<usize>,
}

#[derive(serde::Serialize)]
struct Table<'a> {
    version: u32,
    entries: &'a [Row],
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Writes a layer, member by member. [`EstargzWriter::finish`] must be called.
#[derive(Debug)]
pub(super) struct EstargzWriter {
    tar: Metered<GzipWriter<Metered<BufWriter<NamedTempFile>>>>,
    rows: Vec<Row>,
    entries: u64,
    buffer: Vec<u8>,
}

impl EstargzWriter {
    /// A layer in a new file in `out_dir`.
    ///
    /// # Errors
    /// A compression other than gzip, a level that it does not have, or when the file cannot be made.
    pub(super) fn create(settings: Settings, out_dir: &Path) -> io::Result<Self> {
        if settings.compression != Compression::Gzip {
            let why = "eStargz is gzip, and no other compression";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let level = settings.level.unwrap_or(DEFAULT_GZIP_LEVEL);
        let output = Metered::new(blob::create_file(out_dir)?);
        Ok(Self {
            tar: Metered::new(GzipWriter::new(output, level, settings.threads)?),
            rows: Vec::new(),
            entries: 0,
            buffer: vec![0; COPIED],
        })
    }

    /// How many members have been written.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// Writes the table and the footer.
    ///
    /// # Errors
    /// When writing fails.
    pub(super) fn finish(mut self) -> io::Result<PackedLayer> {
        let (members, table_offset) = self.tar.get_mut().offsets()?;
        for row in &mut self.rows {
            let offset = row.member.and_then(|number| members.get(number));
            row.offset = offset.copied().unwrap_or_default();
        }
        let table = serde_json::to_vec(&Table {
            version: 1,
            entries: &self.rows,
        })?;
        let entry = Entry::new(Kind::File(table.len() as u64), 0o444);
        let path = LayerPath::parse(TABLE.as_bytes()).map_err(io::Error::other)?;
        self.tar.write_all(&tar_write::head(&path, &entry)?)?;
        self.tar.write_all(&table)?;
        self.tar.write_all(tar_write::padding(table.len() as u64))?;
        self.tar.write_all(&END)?;
        let (gzip, tar) = self.tar.into_parts();
        let (diff_id, uncompressed_size) = tar.finish();
        let mut output = gzip.finish()?;
        output.write_all(&footer(table_offset))?;
        let (output, blob) = output.into_parts();
        let file = output
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        let (digest, size) = blob.finish();
        let mut descriptor = blob::descriptor(Compression::Gzip, digest, size)?;
        descriptor.annotations = BTreeMap::from([
            (TABLE_DIGEST.to_owned(), Digest::of(&table).to_string()),
            (TAR_SIZE.to_owned(), uncompressed_size.to_string()),
        ]);
        Ok(PackedLayer {
            descriptor,
            diff_id,
            file: LayerFile::Temporary(file.into_temp_path()),
            entries: self.entries + 1,
            uncompressed_size,
            created_by: String::new(),
            notes: Vec::new(),
            directories: Vec::new(),
        })
    }

    /// Writes a file's content in chunks, each in a gzip member of its own, and says of each where it is.
    fn content(
        &mut self,
        path: &LayerPath,
        mut row: Row,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let (size, first) = (row.size, self.rows.len());
        let mut whole = Hasher::new(Algorithm::Sha256);
        let mut done = 0;
        while done < size {
            let length = (size - done).min(CHUNK);
            row.member = Some(self.tar.get_mut().cut()?);
            row.chunk_offset = done;
            let mut chunk = Hasher::new(Algorithm::Sha256);
            let mut left = length;
            while left > 0 {
                let wanted = usize::try_from(left).unwrap_or(COPIED).min(COPIED);
                let buffer = self.buffer.get_mut(..wanted).unwrap_or_default();
                let piece = tar_write::read_some(path, content, buffer, size - done)?;
                whole.update(piece);
                chunk.update(piece);
                self.tar.write_all(piece)?;
                left -= piece.len() as u64;
                done += piece.len() as u64;
            }
            if done < size {
                row.chunk_size = length;
            }
            row.chunk_digest = Some(chunk.finish());
            let next = Row {
                name: row.name.clone(),
                kind: "chunk",
                ..Row::default()
            };
            self.rows.push(std::mem::replace(&mut row, next));
        }
        let digest = whole.finish();
        match self.rows.get_mut(first) {
            Some(row) => row.digest = Some(digest),
            None => self.rows.push(Row {
                digest: Some(digest),
                ..row
            }),
        }
        Ok(())
    }
}

impl Append for EstargzWriter {
    fn append(
        &mut self,
        path: &LayerPath,
        entry: &Entry<u64>,
        content: &mut dyn Read,
    ) -> io::Result<()> {
        let row = row(path, entry)?;
        self.tar.write_all(&tar_write::head(path, entry)?)?;
        match entry.kind {
            Kind::File(size) => {
                self.content(path, row, content)?;
                self.tar.write_all(tar_write::padding(size))?;
            }
            _ => self.rows.push(row),
        }
        self.entries += 1;
        Ok(())
    }
}

/// What the table says of an entry, but for its content.
fn row(path: &LayerPath, entry: &Entry<u64>) -> io::Result<Row> {
    let refused = |why: &str| {
        let message = format!("{path} {why}");
        io::Error::new(io::ErrorKind::InvalidInput, message)
    };
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec())
            .map_err(|_| refused("cannot be in eStargz, whose table has names in UTF-8 only"))
    };
    let name = text(path.as_bytes())?;
    if name == TABLE || LANDMARKS.contains(&name.as_str()) {
        return Err(refused("has a name that means something else in eStargz"));
    }
    let device = |numbers: Device| (u64::from(numbers.major), u64::from(numbers.minor));
    let (kind, size, link_name, (dev_major, dev_minor)) = match &entry.kind {
        Kind::File(size) => ("reg", *size, String::new(), (0, 0)),
        Kind::Directory => ("dir", 0, String::new(), (0, 0)),
        Kind::Symlink(target) => ("symlink", 0, text(target)?, (0, 0)),
        Kind::Hardlink(target) => ("hardlink", 0, text(target.as_bytes())?, (0, 0)),
        Kind::CharDevice(numbers) => ("char", 0, String::new(), device(*numbers)),
        Kind::BlockDevice(numbers) => ("block", 0, String::new(), device(*numbers)),
        Kind::Fifo => ("fifo", 0, String::new(), (0, 0)),
    };
    let mut xattrs = BTreeMap::new();
    for (key, value) in &entry.xattrs {
        xattrs.insert(text(key)?, STANDARD.encode(value));
    }
    // Zero is no time there; what no RFC 3339 can say is left out, too.
    let has_time = entry.mtime != 0 && (0..YEAR_10000).contains(&entry.mtime);
    Ok(Row {
        name: match entry.is_directory() {
            true => name + "/",
            false => name,
        },
        kind,
        size,
        modtime: has_time.then(|| Timestamp::from_epoch(entry.mtime).to_string()),
        link_name,
        mode: u64::from(entry.mode & 0o7777),
        uid: u64::from(entry.uid),
        gid: u64::from(entry.gid),
        dev_major,
        dev_minor,
        xattrs,
        ..Row::default()
    })
}

/// The end of the blob: an empty gzip member with an extra field (RFC 1952, 2.3.1.1), of 51 bytes, so that
/// readers need no more to find the table.
fn footer(table_offset: u64) -> Vec<u8> {
    let field = format!("{table_offset:016x}STARGZ");
    [
        // Magic, deflate, an extra field, no time, no extra flags, unknown operating system.
        &[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff][..],
        // The length of all extra fields, this one's name, its length.
        &[26, 0, b'S', b'G', 22, 0],
        field.as_bytes(),
        // An empty stored block that is the last; checksum and length of nothing.
        &[1, 0, 0, 0xff, 0xff],
        &[0; 8],
    ]
    .concat()
}

#[cfg(test)]
mod tests;
