use std::io::Read as _;
use std::num::NonZeroUsize;

use serde_json::Value;

use super::*;
use crate::decompress::Decompressor;
use crate::entry::Content;
use crate::limits::UnpackLimits;
use crate::pack::{PackOptions, pack_tree};
use crate::tree::{Rules, Tree};

fn path(text: &str) -> LayerPath {
    LayerPath::parse(text.as_bytes()).unwrap()
}

fn file(content: &[u8]) -> Entry {
    Entry::new(Kind::File(Content::Memory(content.to_vec().into())), 0o644)
}

/// Every kind of entry, and files of no, one and several chunks.
fn tree() -> Tree {
    let large: Vec<u8> = (0..9_000_000_u32).map(|n| (n / 1000) as u8).collect();
    let capable = Entry {
        xattrs: BTreeMap::from([(b"security.capability".to_vec(), vec![1, 0, 255])]),
        uid: 7,
        gid: 8,
        mtime: 1_700_000_000,
        ..file(b"capable")
    };
    let device = Device { major: 5, minor: 1 };
    let mut tree = Tree::new();
    for (at, entry) in [
        ("a", Entry::new(Kind::Directory, 0o755)),
        ("a/capable", capable),
        ("a/empty", file(b"")),
        ("a/large", file(&large)),
        ("a/link", Entry::new(Kind::Symlink(b"../b".to_vec()), 0o777)),
        ("a/other", Entry::new(Kind::Hardlink(path("a/large")), 0)),
        ("console", Entry::new(Kind::CharDevice(device), 0o600)),
        ("pipe", Entry::new(Kind::Fifo, 0o600)),
    ] {
        tree.insert(path(at), entry, Rules::Strict).unwrap();
    }
    tree
}

fn packed(tree: Tree, threads: usize, seekable: bool) -> (PackedLayer, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let options = PackOptions {
        threads: NonZeroUsize::new(threads).unwrap(),
        seekable,
        limits: UnpackLimits::default(),
        ..PackOptions::default()
    };
    let layer = pack_tree(tree, String::new(), &options, directory.path()).unwrap();
    let bytes = fs_err::read(layer.file.path()).unwrap();
    (layer, bytes)
}

fn member_at(blob: &[u8], offset: u64) -> Vec<u8> {
    let start = usize::try_from(offset).unwrap();
    let mut content = Vec::new();
    flate2::bufread::GzDecoder::new(&blob[start..])
        .read_to_end(&mut content)
        .unwrap();
    content
}

/// As the format's readers do: footer, table, and then a file's chunks alone.
#[test]
fn the_footer_leads_to_the_table_and_the_table_to_each_chunk() {
    let (layer, blob) = packed(tree(), 2, true);
    let footer = &blob[blob.len() - 51..];
    assert_eq!(&footer[12..14], b"SG");
    let field = std::str::from_utf8(&footer[16..38]).unwrap();
    let offset = field.strip_suffix("STARGZ").unwrap();
    let table = member_at(&blob, u64::from_str_radix(offset, 16).unwrap());
    let mut table = tar::Archive::new(table.as_slice());
    let mut member = table.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(member.path_bytes().as_ref(), TABLE.as_bytes());
    let mut text = Vec::new();
    member.read_to_end(&mut text).unwrap();
    let annotations = &layer.descriptor.annotations;
    assert_eq!(annotations[TABLE_DIGEST], Digest::of(&text).to_string());
    assert_eq!(annotations[TAR_SIZE], layer.uncompressed_size.to_string());
    let table: Value = serde_json::from_slice(&text).unwrap();
    let rows = table["entries"].as_array().unwrap();
    let named = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    assert_eq!(named("a/")["type"], "dir");
    assert_eq!(named("a/empty")["digest"], Digest::of(b"").to_string());
    assert_eq!(named("a/empty").get("offset"), None);
    assert_eq!(named("a/capable")["modtime"], "2023-11-14T22:13:20Z");
    assert_eq!(named("a/capable")["xattrs"]["security.capability"], "AQD/");
    assert_eq!(named("a/link")["linkName"], "../b");
    assert_eq!(named("a/other")["linkName"], "a/large");
    assert_eq!(named("console")["devMajor"], 5);
    let chunks: Vec<&Value> = rows.iter().filter(|row| row["name"] == "a/large").collect();
    assert_eq!(chunks.len(), 3);
    assert_eq!(chunks[0]["type"], "reg");
    assert_eq!(chunks[1]["type"], "chunk");
    assert_eq!(chunks[1]["chunkOffset"], 4 << 20);
    assert_eq!(chunks[2].get("chunkSize"), None);
    let mut read = Vec::new();
    for chunk in chunks.iter().copied() {
        let content = member_at(&blob, chunk["offset"].as_u64().unwrap());
        let size = chunk["chunkSize"].as_u64().unwrap_or(9_000_000 - 2 * CHUNK);
        let content = &content[..usize::try_from(size).unwrap()];
        assert_eq!(chunk["chunkDigest"], Digest::of(content).to_string());
        read.extend_from_slice(content);
    }
    assert_eq!(named("a/large")["digest"], Digest::of(&read).to_string());
}

#[test]
fn other_readers_see_the_same_tar_with_the_table_in_it() {
    let read = |blob: &[u8]| {
        let mut tar = Vec::new();
        Decompressor::new(blob, u64::MAX)
            .unwrap()
            .read_to_end(&mut tar)
            .unwrap();
        tar
    };
    let (layer, blob) = packed(tree(), 2, true);
    let (_, plain) = packed(tree(), 2, false);
    let (tar, plain) = (read(&blob), read(&plain));
    assert_eq!(layer.diff_id, Digest::of(&tar));
    assert_eq!(layer.uncompressed_size, tar.len() as u64);
    let shared = plain.len() - END.len();
    assert!(tar[..shared] == plain[..shared]);
    let names: Vec<_> = tar::Archive::new(tar.as_slice())
        .entries()
        .unwrap()
        .map(|member| member.unwrap().path_bytes().into_owned())
        .collect();
    assert_eq!(names.len() as u64, layer.entries);
    assert_eq!(names.last().unwrap(), TABLE.as_bytes());
}

#[test]
fn threads_do_not_show() {
    assert!(packed(tree(), 1, true).1 == packed(tree(), 5, true).1);
}

#[test]
fn names_that_the_table_cannot_have_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let options = PackOptions {
        seekable: true,
        ..PackOptions::default()
    };
    for (name, why) in [
        (&b"\xff"[..], "UTF-8"),
        (TABLE.as_bytes(), "means something else"),
        (b".no.prefetch.landmark", "means something else"),
    ] {
        let mut tree = Tree::new();
        let name = LayerPath::parse(name).unwrap();
        tree.insert(name, file(b""), Rules::Strict).unwrap();
        let error = pack_tree(tree, String::new(), &options, directory.path()).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let zstd = PackOptions {
        compression: Compression::Zstd,
        ..options
    };
    let error = pack_tree(Tree::new(), String::new(), &zstd, directory.path()).unwrap_err();
    assert!(error.to_string().contains("eStargz is gzip"), "{error}");
}
