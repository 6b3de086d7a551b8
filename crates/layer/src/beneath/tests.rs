//! What lies outside is neither read nor changed, whatever stands where a path leads.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt};

use super::*;

/// A directory with links of every kind out of it, and what they lead to.
struct Scene {
    inside: tempfile::TempDir,
    outside: tempfile::TempDir,
    directory: Directory,
}

impl Scene {
    fn new() -> Self {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs_err::create_dir(outside.path().join("directory")).unwrap();
        fs_err::write(outside.path().join("file"), "kept").unwrap();
        let link = |target: &Path, name: &str| {
            fs_err::os::unix::fs::symlink(target, inside.path().join(name)).unwrap();
        };
        link(outside.path(), "out");
        link(Path::new("out"), "by-way");
        link(&outside.path().join("file"), "to-file");
        link(&outside.path().join("new"), "dangling");
        let up = "../".repeat(40) + outside.path().to_str().unwrap();
        link(Path::new(&up), "up");
        link(Path::new("/proc/self/root"), "magic");
        fs_err::create_dir(inside.path().join("real")).unwrap();
        fs_err::write(inside.path().join("real/file"), "text").unwrap();
        let directory = Directory::open(inside.path()).unwrap();
        Self {
            inside,
            outside,
            directory,
        }
    }

    /// Fails unless what lies outside is as it was.
    #[track_caller]
    fn is_untouched(&self) {
        let at = |name: &str| self.outside.path().join(name);
        let mut names: Vec<_> = fs_err::read_dir(self.outside.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["directory", "file"]);
        assert_eq!(fs_err::read_to_string(at("file")).unwrap(), "kept");
        assert!(fs_err::metadata(at("directory")).unwrap().mode() & 0o777 != 0o123);
        assert!(fs_err::metadata(at("file")).unwrap().mode() & 0o777 != 0o123);
    }
}

#[test]
fn nothing_is_reached_through_a_symlink() {
    let scene = Scene::new();
    let outside = scene.outside.path().to_str().unwrap();
    let magic = format!("magic{outside}");
    let climbing = format!("real/{}{outside}", "../".repeat(40));
    for way in ["out", "by-way", "up", &magic, outside, &climbing] {
        let at = |name: &str| format!("{way}/{name}");
        let directory = &scene.directory;
        assert!(directory.directory(way).is_err(), "{way}");
        assert!(directory.list(way).is_err(), "{way}");
        assert!(directory.make_directory(at("new")).is_err(), "{way}");
        assert!(directory.make_directory(at("a/b")).is_err(), "{way}");
        assert!(directory.open_file(at("file")).is_err(), "{way}");
        assert!(directory.read(at("file"), 10).is_err(), "{way}");
        assert!(directory.write(at("file"), b"x", 0o123).is_err(), "{way}");
        assert!(directory.symlink("x", at("new")).is_err(), "{way}");
        assert!(directory.set_mode(at("file"), 0o123).is_err(), "{way}");
        assert!(directory.set_mode(at("directory"), 0o123).is_err(), "{way}");
        assert!(directory.remove_file(at("file")).is_err(), "{way}");
        assert!(directory.remove_tree(at("directory")).is_err(), "{way}");
        assert!(directory.attribute(at("file"), "user.x").is_err(), "{way}");
        assert!(!matches!(directory.find(at("file")), Ok(Some(_))), "{way}");
        scene.is_untouched();
    }
    let error = scene.directory.write("out/file", b"x", 0o644).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("out/file: a symlink is in its place"),
        "{said}"
    );
}

#[test]
fn a_symlink_itself_is_replaced_or_removed_and_never_written_through() {
    let scene = Scene::new();
    let directory = &scene.directory;
    assert!(directory.open_file("to-file").is_err());
    assert!(directory.read("to-file", 10).is_err());
    assert!(directory.set_mode("to-file", 0o123).is_err());
    assert!(directory.make_directory("dangling").is_err());
    assert!(directory.make_directory("out").is_err());
    assert_eq!(
        directory.find("out").unwrap().unwrap().kind,
        FileType::Symlink
    );
    assert_eq!(directory.read_link("by-way").unwrap(), b"out");
    for name in ["to-file", "dangling"] {
        directory.write(name, b"own", 0o600).unwrap();
        assert_eq!(directory.read(name, 3).unwrap().unwrap(), b"own");
    }
    directory.remove_file("up").unwrap();
    directory.remove_tree("out").unwrap();
    assert_eq!(directory.find("out").unwrap(), None);
    scene.is_untouched();
}

#[test]
fn a_second_name_of_a_file_does_not_take_what_is_written() {
    let scene = Scene::new();
    let inside = scene.inside.path();
    fs_err::hard_link(inside.join("real/file"), inside.join("same")).unwrap();
    scene.directory.write("same", b"other", 0o755).unwrap();
    assert_eq!(fs_err::read(inside.join("real/file")).unwrap(), b"text");
    let found = scene.directory.find("same").unwrap().unwrap();
    assert_eq!((found.mode, found.size, found.links), (0o755, 5, 1));
}

#[test]
fn directories_are_made_and_read() {
    let scene = Scene::new();
    let directory = &scene.directory;
    directory.make_directory("a/b/c").unwrap();
    let made = directory.make_directory("a/b").unwrap();
    made.write("file", b"12345", 0o640).unwrap();
    assert_eq!(directory.list("a/b").unwrap(), ["c", "file"]);
    assert_eq!(directory.read("a/b/file", 5).unwrap().unwrap(), b"12345");
    assert!(directory.read("a/b/file", 4).is_err(), "it is longer");
    assert_eq!(directory.read("a/b/none", 4).unwrap(), None);
    assert!(directory.read("a", 4).is_err(), "it is a directory");
    assert!(directory.make_directory("a/b/file/d").is_err());
    assert!(directory.write("a", b"", 0o644).is_err());
    assert!(
        directory
            .directory("")
            .unwrap()
            .find(".")
            .unwrap()
            .is_some()
    );
    for path in ["", ".", "..", "a/..", "/", "a/b/."] {
        assert!(directory.write(path, b"", 0o644).is_err(), "{path:?}");
        assert!(directory.remove_tree(path).is_err(), "{path:?}");
    }
    directory.set_mode("a/b", 0o500).unwrap();
    assert_eq!(directory.find("a/b").unwrap().unwrap().mode, 0o500);
    directory.remove_tree("a").unwrap();
    assert_eq!(directory.find("a").unwrap(), None);
    directory.remove_tree("a").unwrap();
}

#[test]
fn a_directory_that_is_replaced_by_a_symlink_stays_the_one_that_was_opened() {
    let scene = Scene::new();
    let inside = scene.inside.path();
    let opened = scene.directory.directory("real").unwrap();
    fs_err::rename(inside.join("real"), inside.join("moved")).unwrap();
    fs_err::os::unix::fs::symlink(scene.outside.path(), inside.join("real")).unwrap();
    opened.write("new", b"x", 0o644).unwrap();
    assert_eq!(fs_err::read(inside.join("moved/new")).unwrap(), b"x");
    assert!(scene.directory.write("real/new", b"x", 0o644).is_err());
    scene.is_untouched();
}

#[test]
fn what_nobody_may_enter_is_removed() {
    let scene = Scene::new();
    let inside = scene.inside.path();
    fs_err::create_dir_all(inside.join("shut/in/side")).unwrap();
    fs_err::write(inside.join("shut/in/file"), "x").unwrap();
    fs_err::os::unix::fs::symlink(scene.outside.path(), inside.join("shut/in/link")).unwrap();
    for (name, mode) in [("shut/in/side", 0), ("shut/in", 0o500), ("shut", 0)] {
        fs_err::set_permissions(inside.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    scene.directory.remove_tree("shut").unwrap();
    assert!(!inside.join("shut").exists());
    scene.is_untouched();
}

#[test]
fn directories_deeper_than_open_files_may_be_many_are_removed() {
    let scene = Scene::new();
    let mut at = scene.directory.make_directory("deep").unwrap();
    for _ in 0..5000 {
        at = at.make_directory("d").unwrap();
    }
    at.write("file", b"", 0o644).unwrap();
    // A file with a name that removal could choose for itself does not stop it.
    let deep = scene.directory.directory("deep").unwrap();
    deep.write(".ohoci-removed-1", b"", 0o644).unwrap();
    scene.directory.remove_tree("deep").unwrap();
    assert_eq!(scene.directory.find("deep").unwrap(), None);
}

#[test]
fn a_named_pipe_hangs_nobody() {
    let scene = Scene::new();
    let pipe = scene.inside.path().join("pipe");
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
    assert!(scene.directory.open_file("pipe").is_err());
    scene.directory.write("pipe", b"x", 0o600).unwrap();
    assert_eq!(scene.directory.read("pipe", 1).unwrap().unwrap(), b"x");
}
