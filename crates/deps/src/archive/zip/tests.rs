use std::io::Write as _;

use flate2::write::DeflateEncoder;
use rawzip::{ZipArchiveWriter, time::UtcDateTime};

use super::*;

/// A zip of these files, deflated; names are taken as they are.
pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let files: Vec<_> = files
        .iter()
        .map(|(name, content)| (*name, *content, 0o100_644))
        .collect();
    zip_with_modes(&files)
}

/// A zip of these files with these modes.
pub(crate) fn zip_with_modes(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut output = Vec::new();
    let mut writer = ZipArchiveWriter::new(&mut output);
    for (name, content, mode) in files {
        if let Some(name) = name.strip_suffix('/') {
            let name = rawzip::path::EntryPath::verbatim(format!("{name}/").into_bytes());
            writer.new_dir(name).create().unwrap();
            continue;
        }
        let (mut entry, config) = writer
            .new_file(rawzip::path::EntryPath::verbatim(name.as_bytes()))
            .compression_method(CompressionMethod::DEFLATE)
            .last_modified(UtcDateTime::from_unix(315_532_800))
            .unix_permissions(*mode)
            .start()
            .unwrap();
        let encoder = DeflateEncoder::new(&mut entry, flate2::Compression::fast());
        let mut data = config.wrap(encoder);
        data.write_all(content).unwrap();
        let (encoder, descriptor) = data.finish().unwrap();
        encoder.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    writer.finish().unwrap();
    output
}

fn open(bytes: &[u8]) -> Result<Zip<&[u8]>, ArchiveError> {
    Zip::open(bytes, bytes.len() as u64, Limits::default())
}

fn tree(bytes: &[u8]) -> Result<Tree, ArchiveError> {
    let directory = tempfile::tempdir().unwrap();
    open(bytes)?.tree(&Spool::create(directory.path()).unwrap())
}

fn refusal(bytes: &[u8]) -> String {
    tree(bytes).unwrap_err().to_string()
}

/// Where `needle` starts, the `nth` time.
fn find(bytes: &[u8], needle: &[u8], nth: usize) -> usize {
    bytes
        .windows(needle.len())
        .enumerate()
        .filter(|(_, window)| *window == needle)
        .nth(nth)
        .unwrap()
        .0
}

#[test]
fn files_directories_and_links_are_read() {
    let large = vec![b'x'; 100_000];
    let zip = zip_with_modes(&[
        ("a/", b"", 0),
        ("a/tool", b"#!", 0o100_755),
        ("a/large", &large, 0o100_644),
        ("a/empty", b"", 0o100_644),
        ("link", b"a/tool", 0o120_777),
    ]);
    let tree = tree(&zip).unwrap();
    let path = |raw: &str| LayerPath::parse(raw.as_bytes()).unwrap();
    assert_eq!(tree.get(&path("a/tool")).unwrap().mode, 0o755);
    let link = &tree.get(&path("link")).unwrap().kind;
    assert!(matches!(link, Kind::Symlink(target) if target == b"a/tool"));
    let Kind::File(content) = &tree.get(&path("a/large")).unwrap().kind else {
        panic!("a file");
    };
    let mut read = Vec::new();
    content.open().unwrap().read_to_end(&mut read).unwrap();
    assert!(read == large);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in [
        "../a", "a/../b", "/a", "a//b", "./a", "a\\b", "a/.wh.b", "..",
    ] {
        let error = refusal(&zip(&[(name, b"x")]));
        assert!(error.starts_with(name), "{name}: {error}");
    }
    assert!(refusal(&zip(&[("a", b"x"), ("a", b"y")])).contains("twice"));
    assert!(refusal(&zip(&[("a", b"x"), ("a/b", b"y")])).contains("/a/b is below"));
    assert!(refusal(&zip_with_modes(&[("a", b"b", 0o120_777), ("a/b", b"", 0)])).contains("/a/b"));
    let device = zip_with_modes(&[("a", b"", 0o060_644)]);
    assert!(refusal(&device).contains("not supported"));
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let good = zip(&[("first", b"one"), ("second", b"two")]);
    tree(&good).unwrap();

    let mut renamed = good.clone();
    let at = find(&renamed, b"first", 0);
    renamed[at] = b'F';
    assert!(
        refusal(&renamed).contains("own header"),
        "another name in front"
    );

    let mut stored = good.clone();
    let at = find(&stored, b"PK\x03\x04", 0);
    stored[at + 8] = 0;
    assert!(
        refusal(&stored).contains("contradict"),
        "another method in front"
    );

    assert!(refusal(&[b"#!".as_slice(), &good].concat()).contains("in front"));
    assert!(refusal(&[good.as_slice(), b"junk"].concat()).contains("behind the end"));
    let hidden = [good.as_slice(), good.as_slice()].concat();
    refusal(&hidden);
    assert!(refusal(&good[..good.len() - 1]).contains("zip"));
    assert!(refusal(b"PK\x03\x04").contains("zip"));
}

#[test]
fn sizes_and_checksums_are_believed_only_when_the_content_agrees() {
    let good = zip(&[("file", b"some content")]);
    let directory = find(&good, b"PK\x01\x02", 0);
    for (field, what) in [(16, "checksum"), (20, "compressed size"), (24, "size")] {
        let mut bad = good.clone();
        bad[directory + field] ^= 1;
        tree(&bad).expect_err(what);
    }
    // The descriptor agrees with the directory, the content with neither.
    let mut lying = good.clone();
    let descriptor = find(&good, b"PK\x07\x08", 0);
    lying[directory + 24] += 1;
    lying[descriptor + 12] += 1;
    assert!(refusal(&lying).starts_with("file: "), "{}", refusal(&lying));
}

#[test]
fn bombs_are_refused_before_they_are_read() {
    let bomb = zip(&[("zeros", &vec![0; 1 << 20]), ("more", &vec![0; 1 << 20])]);
    let limits = Limits {
        total: (1 << 20) + 1,
        ..Limits::default()
    };
    let error = Zip::open(bomb.as_slice(), bomb.len() as u64, limits).unwrap_err();
    assert!(error.to_string().starts_with("more: "), "{error}");
    let limits = Limits {
        members: 1,
        ..Limits::default()
    };
    assert!(Zip::open(bomb.as_slice(), bomb.len() as u64, limits).is_err());

    // Two members of the directory share one content.
    let two = zip(&[("aaa", b"xxxx"), ("bbb", b"yyyy")]);
    let (first, second) = (find(&two, b"PK\x01\x02", 0), find(&two, b"PK\x01\x02", 1));
    let mut shared = two.clone();
    let start: Vec<u8> = two[first + 42..first + 46].to_vec();
    shared[second + 42..second + 46].copy_from_slice(&start);
    tree(&shared).unwrap_err();
}
