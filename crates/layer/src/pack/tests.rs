//! Layers of what is on disk, and what is refused.

use super::*;
use crate::entry::Content;
use crate::limits::UnpackLimits;
use crate::owner::Owner;
use crate::tar_write::TarWriter;
use ohoci_image::Digest;
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;

const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

fn options(compression: Compression) -> PackOptions {
    PackOptions {
        compression,
        threads: NonZeroUsize::MIN,
        ..PackOptions::default()
    }
}

fn at(path: &Path, destination: &str) -> LayerSource {
    LayerSource {
        path: path.to_owned(),
        destination: LayerPath::parse(destination.as_bytes()).unwrap(),
        into_destination: destination.len() > 1 && destination.ends_with('/'),
    }
}

fn compressed(content: &[u8], compression: Compression) -> Vec<u8> {
    let settings = options(compression).settings();
    let mut compressor = super::super::compress::Compressor::new(Vec::new(), settings).unwrap();
    compressor.write_all(content).unwrap();
    compressor.finish().unwrap()
}

/// A tar of empty files and directories (behind whose name a slash stands).
fn tar(members: &[(&str, Kind<u64>)]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (path, kind) in members {
        let mut entry = Entry::new(kind.clone(), 0o751);
        (entry.uid, entry.mtime) = (1000, 77);
        let path = LayerPath::parse(path.as_bytes()).unwrap();
        writer.append(&path, &entry, &mut io::repeat(b'x')).unwrap();
    }
    writer.finish().unwrap()
}

fn link(target: &str) -> Kind<u64> {
    Kind::Hardlink(LayerPath::parse(target.as_bytes()).unwrap())
}

/// The tar in a blob; checks on the way that everything said about it is so.
fn unpacked(layer: &PackedLayer) -> Vec<u8> {
    let blob = fs_err::read(layer.file.path()).unwrap();
    assert_eq!(layer.descriptor.size, blob.len() as u64);
    assert_eq!(layer.descriptor.digest, Digest::of(&blob));
    let mut decompressor = Decompressor::new(blob.as_slice(), u64::MAX).unwrap();
    let media_type = ohoci_image::media_type::Family::Oci.layer(decompressor.compression());
    assert_eq!(Some(layer.descriptor.media_type.as_str()), media_type);
    let mut tar = Vec::new();
    decompressor.read_to_end(&mut tar).unwrap();
    assert_eq!(layer.uncompressed_size, tar.len() as u64);
    assert_eq!(layer.diff_id, Digest::of(&tar));
    tar
}

fn members(layer: &PackedLayer) -> Vec<Member> {
    let tar = unpacked(layer);
    let members = super::super::headers::read_headers(
        tar.as_slice(),
        &std::sync::Arc::new(Budget::unlimited()),
    )
    .unwrap();
    assert_eq!(layer.entries, members.len() as u64);
    members
}

fn paths(layer: &PackedLayer) -> Vec<String> {
    members(layer)
        .iter()
        .map(|member| member.path.to_string())
        .collect()
}

/// A directory that was made in this order, with modes that do not depend on the umask.
fn directory(order: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let mode = PermissionsExt::from_mode;
    for name in order {
        let path = root.path().join(name);
        let parent = path.parent().unwrap();
        fs_err::create_dir_all(parent).unwrap();
        fs_err::set_permissions(parent, mode(0o755)).unwrap();
        fs_err::write(&path, name.repeat(99)).unwrap();
        fs_err::set_permissions(&path, mode(0o640)).unwrap();
    }
    fs_err::set_permissions(root.path(), mode(0o750)).unwrap();
    root
}

#[test]
fn a_directory_gives_the_same_layer_wherever_and_whenever_it_was_made() {
    let out = tempfile::tempdir().unwrap();
    let one = directory(&["b", "a-b", "a/x", "a/y"]);
    let other = directory(&["a/y", "b", "a/x", "a-b"]);
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(12_345);
    fs_err::File::open(other.path().join("a/x"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    for compression in ALL {
        let first = pack(&at(one.path(), "/opt"), &options(compression), out.path()).unwrap();
        let threads = NonZeroUsize::new(3).unwrap();
        let more = PackOptions {
            threads,
            ..options(compression)
        };
        let second = pack(&at(other.path(), "/opt"), &more, out.path()).unwrap();
        assert_eq!(first.descriptor, second.descriptor);
        assert_eq!(first.diff_id, second.diff_id);
        assert_eq!(
            paths(&first),
            [
                "/opt", "/opt/a", "/opt/a-b", "/opt/a/x", "/opt/a/y", "/opt/b"
            ]
        );
        assert_eq!(members(&first)[0].entry.mode, 0o750);
    }
}

#[test]
fn the_bytes_of_a_layer_do_not_change_from_release_to_release() {
    let out = tempfile::tempdir().unwrap();
    let root = directory(&["bin/tool"]);
    let layer = pack(
        &at(root.path(), "/openhands"),
        &options(Compression::None),
        out.path(),
    );
    assert_eq!(layer.unwrap().diff_id.short(), "9544bd221e72");
}

#[test]
fn nothing_is_said_about_directories_that_belong_to_the_base() {
    let out = tempfile::tempdir().unwrap();
    let root = directory(&["usr/x"]);
    let plain = options(Compression::Gzip);
    let layer = pack(&at(root.path(), "/"), &plain, out.path()).unwrap();
    assert_eq!(paths(&layer), ["/usr", "/usr/x"]);
    let layer = pack(&at(root.path(), "/opt/a/b"), &plain, out.path()).unwrap();
    assert_eq!(paths(&layer)[..2], ["/opt/a/b", "/opt/a/b/usr"]);
    assert_eq!(layer.created_by, "ohoci: add layer at /opt/a/b");
}

#[test]
fn a_compressed_tar_is_the_blob() {
    let out = tempfile::tempdir().unwrap();
    let tar = tar(&[("a", Kind::Directory), ("a/b", Kind::File(5))]);
    for compression in [Compression::Gzip, Compression::Zstd] {
        let path = out.path().join("any name");
        fs_err::write(&path, compressed(&tar, compression)).unwrap();
        let layer = pack(&at(&path, "/"), &options(Compression::None), out.path()).unwrap();
        assert_eq!(unpacked(&layer), tar);
        assert!(matches!(&layer.file, LayerFile::Given(given) if *given == path));
        assert_eq!(layer.entries, 2);
    }
}

#[test]
fn the_bytes_of_a_tar_are_kept() {
    let out = tempfile::tempdir().unwrap();
    let mut tar = tar(&[("b", Kind::File(5)), ("a", link("b"))]);
    tar.resize(10_240, 0);
    let path = out.path().join("tar");
    fs_err::write(&path, &tar).unwrap();
    for compression in ALL {
        let layer = pack(&at(&path, "/"), &options(compression), out.path()).unwrap();
        assert_eq!(unpacked(&layer), tar);
        let file = layer.file.path().to_owned();
        drop(layer);
        assert!(!file.exists(), "left behind");
    }
}

#[test]
fn a_kept_tar_that_overrides_the_base_says_so() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("tar");
    let tar = tar(&[(".", Kind::Directory), ("a", Kind::File(1))]);
    for compression in ALL {
        fs_err::write(&path, compressed(&tar, compression)).unwrap();
        let layer = pack(&at(&path, "/"), &PackOptions::default(), out.path()).unwrap();
        assert_eq!(layer.notes.len(), 1);
    }
}

#[test]
fn a_tar_is_moved_below_its_destination() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("tar");
    let plain = options(Compression::None);
    for compression in ALL {
        let tar = tar(&[("b", Kind::File(5)), ("a", link("b"))]);
        fs_err::write(&path, compressed(&tar, compression)).unwrap();
        let moved = pack(&at(&path, "/opt/tool"), &plain, out.path()).unwrap();
        let found = members(&moved);
        assert_eq!(paths(&moved), ["/opt/tool", "/opt/tool/b", "/opt/tool/a"]);
        assert_eq!((found[0].entry.uid, found[0].entry.mode), (0, 0o755));
        assert_eq!((found[1].entry.uid, found[1].entry.mtime), (1000, 77));
        assert_eq!(found[2].entry.kind, link("opt/tool/b"));
    }
    fs_err::write(&path, tar(&[(".", Kind::Directory), ("b", Kind::File(5))])).unwrap();
    let moved = pack(&at(&path, "/opt"), &plain, out.path()).unwrap();
    assert_eq!(paths(&moved), ["/opt", "/opt/b"]);
    assert_eq!(members(&moved)[0].entry.mode, 0o751);
    fs_err::write(&path, tar(&[("b", Kind::File(5)), (".", Kind::Directory)])).unwrap();
    assert!(pack(&at(&path, "/opt"), &plain, out.path()).is_err());
}

#[test]
fn what_a_runtime_could_trip_over_is_refused() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("hostile");
    let file = || Kind::File(1);
    let symlink = || Kind::Symlink(b"/etc".to_vec());
    let cases = [
        (tar(&[("a", file()), ("a", file())]), "twice"),
        (tar(&[("a", symlink()), ("a/passwd", file())]), "symlink"),
        (tar(&[("a", file()), ("a/b", file())]), "not a directory"),
        (tar(&[("a/b", file()), ("a", symlink())]), "below it"),
        (
            tar(&[("a", link("b")), ("b", file())]),
            "does not come before",
        ),
        (
            tar(&[("b", Kind::Directory), ("a", link("b"))]),
            "directory",
        ),
        (tar(&[("a", link("a"))]), "does not come before"),
        (Vec::new(), "empty"),
        (b"PK\x03\x04".to_vec(), "zip"),
        (b"some text that is no tar".repeat(99), "this is no tar"),
    ];
    for (bytes, reason) in cases {
        for (compression, destination) in ALL
            .into_iter()
            .flat_map(|compression| [(compression, "/"), (compression, "/opt")])
        {
            fs_err::write(&path, compressed(&bytes, compression)).unwrap();
            let result = pack(
                &at(&path, destination),
                &options(Compression::Gzip),
                out.path(),
            );
            let is_no_tar = ["empty", "zip", "this is no tar"].contains(&reason);
            if is_no_tar && destination != "/" {
                // Any file can be put somewhere.
                assert_eq!(paths(&result.unwrap()), ["/opt"]);
                continue;
            }
            if reason == "zip" && compression != Compression::None {
                assert!(result.is_err());
                continue;
            }
            let error = result.unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert!(error.contains("hostile"), "{error}");
        }
    }
    let left: Vec<_> = fs_err::read_dir(out.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "temporary files are left behind");
}

#[test]
fn damaged_and_oversized_archives_are_refused() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("archive");
    let tar = tar(&[("a", Kind::File(1 << 20))]);
    let small = PackOptions {
        limits: UnpackLimits {
            bytes: 1 << 20,
            ..UnpackLimits::default()
        },
        ..options(Compression::Gzip)
    };
    for compression in ALL {
        let whole = compressed(&tar, compression);
        let mut flipped = whole.clone();
        // Within the compressed content: the tar inside is a run of one letter.
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x55;
        let cut = &whole[..whole.len() - 9];
        let longer = [&whole, b"garbage".as_slice()].concat();
        for destination in ["/", "/opt"] {
            for bad in [cut, &longer] {
                fs_err::write(&path, bad).unwrap();
                let result = pack(&at(&path, destination), &options(compression), out.path());
                assert!(result.is_err(), "{compression:?} {destination}");
            }
            if compression != Compression::None {
                fs_err::write(&path, &flipped).unwrap();
                assert!(pack(&at(&path, destination), &options(compression), out.path()).is_err());
            }
            fs_err::write(&path, &whole).unwrap();
            let error = pack(&at(&path, destination), &small, out.path()).unwrap_err();
            assert!(error.to_string().contains("1048576 bytes"), "{error}");
        }
    }
}

#[test]
fn missing_files_and_directories_are_named() {
    let out = tempfile::tempdir().unwrap();
    let root = directory(&["x"]);
    let missing = root.path().join("missing");
    let error = pack(&at(&missing, "/"), &PackOptions::default(), out.path()).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    assert_eq!(error.io().unwrap().kind(), io::ErrorKind::NotFound);
    let error = pack(&at(root.path(), "/"), &PackOptions::default(), &missing).unwrap_err();
    assert!(error.to_string().contains("cannot write into"), "{error}");
    let error = pack(
        &at(Path::new("/dev/null"), "/"),
        &PackOptions::default(),
        out.path(),
    );
    assert!(error.unwrap_err().to_string().contains("is a device"));
}

#[test]
fn a_tree_from_memory_is_packed() {
    let out = tempfile::tempdir().unwrap();
    let mut tree = Tree::new();
    let content = Content::Memory(b"hello".as_slice().into());
    let path = LayerPath::parse(b"greeting").unwrap();
    tree.insert(path, Entry::new(Kind::File(content), 0o644), Rules::Strict)
        .unwrap();
    let made = "test".to_owned();
    let layer = pack_tree(tree, made, &PackOptions::default(), out.path()).unwrap();
    assert_eq!(paths(&layer), ["/greeting"]);
}

/// The members of a packed layer: path, owner and mode.
fn owned_members(packed: &PackedLayer) -> Vec<(String, u32, u32, u32)> {
    let file = fs_err::File::open(packed.file.path()).unwrap();
    let input = Decompressor::new(file, 1 << 30).unwrap();
    let mut reader = TarReader::new(input, Rules::Strict, Limits::of_budget());
    let mut members = Vec::new();
    while let Some(member) = reader.next_member().unwrap() {
        let entry = &member.entry;
        members.push((member.path.to_string(), entry.uid, entry.gid, entry.mode));
    }
    members
}

#[test]
fn a_file_that_is_no_tar_goes_where_the_destination_says() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tool");
    for content in ["", "#!/bin/sh\n", &"x".repeat(5000)] {
        fs_err::write(&file, content).unwrap();
        fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o750)).unwrap();
        let link = directory.path().join("link");
        let _ = fs_err::os::unix::fs::symlink("tool", &link);
        for (given, destination, place) in [
            (&file, "/usr/bin/it", "/usr/bin/it"),
            (&file, "/usr/bin/", "/usr/bin/tool"),
            (&link, "/usr/bin/", "/usr/bin/link"),
        ] {
            let source = at(given, destination);
            let packed = pack(&source, &options(Compression::Gzip), directory.path()).unwrap();
            // Nothing is said of the directories above, which are the base's.
            assert_eq!(owned_members(&packed), [(place.to_owned(), 0, 0, 0o750)]);
            assert_eq!(packed.created_by, format!("ohoci: add file at {place}"));
            assert!(
                packed
                    .directories
                    .iter()
                    .any(|path| path.to_string() == "/usr/bin")
            );
        }
        let nowhere = at(&file, "/");
        let refused = pack(&nowhere, &options(Compression::Gzip), directory.path()).unwrap_err();
        assert!(
            refused
                .hint()
                .is_some_and(|hint| hint.contains("FILE:/PATH")),
            "{refused}"
        );
    }
    // What is compressed otherwise is still refused where it is meant as a tar.
    let foreign = directory.path().join("layer.tar.xz");
    fs_err::write(&foreign, b"\xfd7zXZ\0rest").unwrap();
    let source = at(&foreign, "/opt");
    let refused = pack(&source, &options(Compression::Gzip), directory.path()).unwrap_err();
    assert!(refused.why().contains("xz"), "{refused}");
}

#[test]
fn an_owner_owns_everything_that_is_packed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    fs_err::create_dir_all(root.join("bin")).unwrap();
    fs_err::write(root.join("bin/tool"), "x").unwrap();
    let owned = PackOptions {
        owner: Some(Owner { uid: 7, gid: 8 }),
        ..options(Compression::None)
    };
    let tar = directory.path().join("root.tar");
    let packed = pack(
        &at(&root, "/opt"),
        &options(Compression::None),
        directory.path(),
    )
    .unwrap();
    fs_err::copy(packed.file.path(), &tar).unwrap();
    for (given, destination, places) in [
        (&root, "/opt", &["/opt", "/opt/bin", "/opt/bin/tool"][..]),
        (&tar, "/", &["/opt", "/opt/bin", "/opt/bin/tool"]),
        (
            &tar,
            "/x",
            &["/x", "/x/opt", "/x/opt/bin", "/x/opt/bin/tool"],
        ),
    ] {
        let packed = pack(&at(given, destination), &owned, directory.path()).unwrap();
        let found = owned_members(&packed);
        let paths: Vec<&str> = found.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!(paths, places);
        assert!(
            found.iter().all(|(_, uid, gid, _)| (*uid, *gid) == (7, 8)),
            "{found:?}"
        );
    }
}

#[test]
fn a_directory_that_is_there_for_its_content_goes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    for path in ["a/b/kept", "a/c/left", "d/left"] {
        fs_err::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs_err::write(root.join(path), "x").unwrap();
    }
    let wanted = |path: &LayerPath, is_directory: bool| match is_directory {
        true => Wanted::ForContent,
        false => Wanted::from(path.name() == b"kept"),
    };
    let source = at(&root, "/");
    let packed = pack_directory(
        &source,
        &options(Compression::Gzip),
        directory.path(),
        &wanted,
    )
    .unwrap();
    let found = owned_members(&packed);
    let paths: Vec<&str> = found.iter().map(|(path, ..)| path.as_str()).collect();
    assert_eq!(paths, ["/a", "/a/b", "/a/b/kept"]);
}
