use super::*;
use bytes::Bytes;
use ohoci_layer::{Device, Rules};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt};

fn path(raw: &str) -> LayerPath {
    LayerPath::parse(raw.as_bytes()).unwrap()
}

fn file(content: &'static str, mode: u32) -> Entry {
    let content = Content::Memory(Bytes::from_static(content.as_bytes()));
    Entry {
        mtime: 1_000,
        ..Entry::new(Kind::File(content), mode)
    }
}

fn directory(mode: u32) -> Entry {
    Entry {
        mtime: 2_000,
        ..Entry::new(Kind::Directory, mode)
    }
}

fn symlink(target: &str) -> Entry {
    Entry::new(Kind::Symlink(target.into()), 0o777)
}

fn tree(entries: &[(&str, Entry)], rules: Rules) -> Tree {
    let mut tree = Tree::new();
    for (at, entry) in entries {
        tree.insert(path(at), entry.clone(), rules).unwrap();
    }
    tree
}

fn written(tree: Tree) -> (tempfile::TempDir, Result<Unpacked, UnpackError>) {
    let directory = tempfile::tempdir().unwrap();
    let result = unpack(tree, directory.path(), Owners::Own, &|| true);
    (directory, result)
}

#[test]
fn a_tree_comes_out_as_it_is() {
    let (out, result) = written(tree(
        &[
            ("bin", directory(0o555)),
            ("bin/tool", file("#!", 0o4755)),
            ("bin-more", file("between", 0o600)),
            ("bin/alias", Entry::new(Kind::Hardlink(path("z/real")), 0)),
            ("deep/er/file", file("implied", 0o444)),
            ("link", symlink("/etc/passwd")),
            ("pipe", Entry::new(Kind::Fifo, 0o622)),
            ("z", directory(0o2700)),
            ("z/real", file("linked", 0o644)),
            (
                "null",
                Entry::new(Kind::CharDevice(Device { major: 1, minor: 3 }), 0o666),
            ),
        ],
        Rules::Strict,
    ));
    assert_eq!(result.unwrap().devices, [path("null")]);
    let at = |name: &str| out.path().join(name);
    let mode = |name: &str| fs_err::metadata(at(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode("bin"), 0o555);
    assert_eq!(mode("bin/tool"), 0o755, "setuid is kept out");
    assert_eq!(mode("z"), 0o700, "setgid is kept out");
    assert_eq!(mode("deep/er"), 0o755);
    assert_eq!(fs_err::read(at("bin-more")).unwrap(), b"between");
    let (one, two) = (
        fs_err::metadata(at("z/real")).unwrap(),
        fs_err::metadata(at("bin/alias")).unwrap(),
    );
    assert_eq!(one.ino(), two.ino());
    assert_eq!(one.mtime(), 1_000);
    assert_eq!(fs_err::metadata(at("bin")).unwrap().mtime(), 2_000);
    assert_eq!(
        fs_err::read_link(at("link")).unwrap(),
        Path::new("/etc/passwd")
    );
    let pipe = fs_err::symlink_metadata(at("pipe")).unwrap();
    assert!(pipe.file_type().is_fifo());
    assert!(!at("null").exists());
    fs_err::set_permissions(at("bin"), PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn nothing_is_written_through_a_symlink() {
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().display().to_string();
    for link in [target.as_str(), "..", "real"] {
        let (out, result) = written(tree(
            &[
                ("out", symlink(link)),
                ("out/file", file("escaped", 0o644)),
                ("real", directory(0o755)),
            ],
            Rules::Foreign,
        ));
        assert!(matches!(result, Err(UnpackError::Write { .. })), "{link}");
        assert!(!out.path().join("real/file").exists());
    }
    assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let outside = tempfile::tempdir().unwrap();
    let kept = outside.path().join("kept");
    fs_err::write(&kept, "kept").unwrap();
    let out = tempfile::tempdir().unwrap();
    fs_err::os::unix::fs::symlink(&kept, out.path().join("file")).unwrap();
    let tree = tree(&[("file", file("new", 0o644))], Rules::Strict);
    let result = unpack(tree, out.path(), Owners::Own, &|| true);
    assert!(result.is_err());
    assert_eq!(fs_err::read(kept).unwrap(), b"kept");
}

#[test]
fn owners_are_kept_on_request() {
    // Anybody may give things to themselves, only root to others.
    let own = rustix::process::geteuid().as_raw();
    let uid = if own == 0 { 7 } else { own };
    let gid = if own == 0 {
        8
    } else {
        rustix::process::getegid().as_raw()
    };
    let owned = |entry| Entry { uid, gid, ..entry };
    let out = tempfile::tempdir().unwrap();
    let tree = tree(
        &[
            ("a", owned(directory(0o755))),
            ("a/file", owned(file("x", 0o640))),
            ("a/link", owned(symlink("file"))),
        ],
        Rules::Strict,
    );
    unpack(tree, out.path(), Owners::Recorded, &|| true).unwrap();
    for name in ["a", "a/file", "a/link"] {
        let found = fs_err::symlink_metadata(out.path().join(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (uid, gid), "{name}");
    }
}

#[test]
fn many_files_are_written_by_several_threads_and_links_find_them() {
    let mut tree = Tree::new();
    for number in 0..1_000 {
        let content = Content::Memory(Bytes::from(format!("file {number}")));
        let name = format!("d{}/e/{number}", number % 7);
        let entry = Entry::new(Kind::File(content), 0o644);
        tree.insert(path(&name), entry, Rules::Strict).unwrap();
    }
    let link = Entry::new(Kind::Hardlink(path("d5/e/999")), 0o644);
    tree.insert(path("a-link"), link, Rules::Strict).unwrap();
    let (out, result) = written(tree);
    result.unwrap();
    for number in 0..1_000 {
        let name = format!("d{}/e/{number}", number % 7);
        let content = fs_err::read_to_string(out.path().join(name)).unwrap();
        assert_eq!(content, format!("file {number}"));
    }
    let inode = |name: &str| fs_err::metadata(out.path().join(name)).unwrap().ino();
    let mode = |name: &str| fs_err::metadata(out.path().join(name)).unwrap().mode() & 0o777;
    assert_eq!(inode("a-link"), inode("d5/e/999"));
    assert_eq!(mode("d5/e"), 0o755);
}

#[test]
fn an_error_of_one_thread_ends_all() {
    let mut tree = Tree::new();
    for number in 0..1_000 {
        let size = if number == 500 { 9 } else { 0 };
        let file = Arc::new(fs_err::File::open("/dev/null").unwrap());
        let content = Content::Region {
            file,
            offset: 0,
            size,
        };
        let entry = Entry::new(Kind::File(content), 0o644);
        tree.insert(path(&format!("{number:04}")), entry, Rules::Strict)
            .unwrap();
    }
    let (_out, result) = written(tree);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("cannot write /0500"), "{error}");
}

#[test]
fn it_stops_when_told_to() {
    let out = tempfile::tempdir().unwrap();
    let tree = tree(&[("file", file("x", 0o644))], Rules::Strict);
    let result = unpack(tree, out.path(), Owners::Own, &|| false);
    assert!(matches!(result, Err(UnpackError::Stopped)));
    assert_eq!(fs_err::read_dir(out.path()).unwrap().count(), 0);
}

/// A tree of what is in a directory, whose contents are there as a whole.
fn on_disk(root: &Path) -> Tree {
    ohoci_layer::directory::read_directory(root, 1_000)
        .unwrap()
        .tree
}

#[test]
fn files_on_the_disk_get_another_name_and_others_are_written() {
    let kept = tempfile::tempdir().unwrap();
    fs_err::create_dir_all(kept.path().join("bin/deep")).unwrap();
    for name in ["top", "bin/a", "bin/b", "bin/deep/c"] {
        fs_err::write(kept.path().join(name), name).unwrap();
    }
    let mut tree = on_disk(kept.path());
    tree.insert(path("bin/own"), file("own", 0o755), Rules::Strict)
        .unwrap();
    tree.insert(path("bin/link"), symlink("a"), Rules::Strict)
        .unwrap();
    let out = tempfile::tempdir().unwrap();
    link(tree, out.path(), &|| true).unwrap();
    let inode = |root: &tempfile::TempDir, name: &str| {
        fs_err::metadata(root.path().join(name)).unwrap().ino()
    };
    for name in ["top", "bin/a", "bin/b", "bin/deep/c"] {
        assert_eq!(inode(&out, name), inode(&kept, name), "{name}");
    }
    assert_eq!(fs_err::read(out.path().join("bin/own")).unwrap(), b"own");
    assert_eq!(fs_err::read(out.path().join("bin/link")).unwrap(), b"bin/a");
}

#[test]
fn in_another_file_system_files_are_copied() {
    let kept = tempfile::tempdir_in("/dev/shm").unwrap();
    fs_err::write(kept.path().join("file"), "content").unwrap();
    let out = tempfile::tempdir().unwrap();
    let device = |root: &tempfile::TempDir| fs_err::metadata(root.path()).unwrap().dev();
    assert_ne!(device(&kept), device(&out), "the test has no effect");
    link(on_disk(kept.path()), out.path(), &|| true).unwrap();
    assert_eq!(fs_err::read(out.path().join("file")).unwrap(), b"content");
}

#[test]
fn no_file_is_linked_through_a_symlink_that_took_the_place_of_its_directory() {
    let [kept, outside, out] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    fs_err::create_dir(kept.path().join("d")).unwrap();
    for at in [kept.path().join("d"), outside.path().to_owned()] {
        fs_err::write(at.join("file"), "same length").unwrap();
    }
    let tree = on_disk(kept.path());
    fs_err::rename(kept.path().join("d"), kept.path().join("moved")).unwrap();
    fs_err::os::unix::fs::symlink(outside.path(), kept.path().join("d")).unwrap();
    let error = link(tree, out.path(), &|| true).unwrap_err().to_string();
    assert!(error.starts_with("cannot link /d/file: "), "{error}");
}
