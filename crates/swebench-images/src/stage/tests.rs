use super::*;
use crate::changes::changes;
use ohoci_layer::directory::read_directory;
use ohoci_layer::{PackOptions, pack_tree};
use ohoci_sandbox::Limits;
use ohoci_unpack::{Owners, link, unpack};

/// A stage, and a directory of this machine.
fn scene() -> (tempfile::TempDir, tempfile::TempDir, Stage) {
    let (directory, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let below = directory.path().join("below");
    fs_err::create_dir_all(below.join("etc")).unwrap();
    let at = directory.path().join("stage");
    fs_err::create_dir(&at).unwrap();
    let stage = Stage::create(&at, vec![below]).unwrap();
    (directory, outside, stage)
}

#[test]
fn nothing_is_put_through_a_symlink_that_a_build_has_left() {
    let (_directory, outside, stage) = scene();
    let link = |name: &str| {
        let at = stage.changes().join(name);
        fs_err::os::unix::fs::symlink(outside.path(), at).unwrap();
    };
    link("root");
    link("etc");
    link("usr");
    let error = stage.prepare("root").unwrap_err().to_string();
    assert!(error.contains("root: a symlink is in its place"), "{error}");
    assert!(stage.prepare("usr/sbin").is_err());
    assert!(stage.cover(Path::new("/dev/null"), "etc/hosts").is_err());
    let changes = stage.open().unwrap();
    assert!(changes.write("root/x", b"x", 0o644).is_err());
    assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 0);
    let bind = stage.hand_in("x.txt", "x").unwrap();
    assert!(!bind.source.starts_with(stage.changes()));
}

#[test]
fn what_a_file_is_put_over_is_an_ordinary_file() {
    let (_directory, outside, stage) = scene();
    let kept = outside.path().join("hosts");
    fs_err::write(&kept, "kept").unwrap();
    stage.prepare("etc").unwrap();
    let hosts = stage.changes().join("etc/hosts");
    fs_err::os::unix::fs::symlink(&kept, &hosts).unwrap();
    stage.cover(Path::new("/dev/null"), "etc/hosts").unwrap();
    assert!(fs_err::symlink_metadata(&hosts).unwrap().is_file());
    assert_eq!(fs_err::read_to_string(kept).unwrap(), "kept");
}

#[test]
fn what_only_a_build_needs_is_in_no_layer() {
    for path in ["tmp", "tmp/x", "etc/hosts", "root/.cache/pip"] {
        assert!(is_passing(path), "{path}");
    }
    for path in ["tmpx", "testbed/tmp", "etc/hosts.allow", "root/.bashrc", ""] {
        assert!(!is_passing(path), "{path}");
    }
}

/// What a program in a stage may do to files that are there: those of `env` are linked, those of `base` below.
const CHANGES: &str = "
set -e
cd /opt/env
echo more >> lib/changed
chmod 700 lib/mode
touch -d 2001-01-01 lib/dated
rm lib/gone ../base/gone
rm -r lib/whole
rm -r lib/anew && mkdir lib/anew && echo new > lib/anew/file
rm -r ../base/anew && mkdir ../base/anew && echo new > ../base/anew/file
mv lib/moved lib/elsewhere
ln lib/one lib/two
rm lib/link && mkdir lib/link && echo x > lib/link/x
rm -r lib/directory && echo x > lib/directory
rm both/here && echo base > both/same && sed -i s/linked/other/ both/here-too
rm -r ../base/with && mkdir ../base/with
(echo overwritten > lib/read-only) || true
dd if=/dev/zero of=lib/large bs=1 count=1 conv=notrunc
";

/// What a directory holds, with permissions and dates.
fn held(root: &Path) -> Vec<(PathBuf, u32, std::time::SystemTime, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for child in fs_err::read_dir(directory).unwrap() {
            let path = child.unwrap().path();
            let kind = fs_err::symlink_metadata(&path).unwrap();
            let content = match kind.is_file() {
                true => fs_err::read(&path).unwrap(),
                false => Vec::new(),
            };
            if kind.is_dir() {
                open.push(path.clone());
            }
            let dated = kind.modified().unwrap();
            found.push((path, kind.permissions().mode(), dated, content));
        }
    }
    found.sort();
    found
}

#[test]
fn a_level_over_linked_files_is_the_same_as_one_with_copies_and_leaves_them_as_they_were() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let write = |path: &str, content: &str| {
        let path = at(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    };
    for name in [
        "gone",
        "anew/old",
        "with/x",
        "../env/both/here",
        "../env/both/same",
    ] {
        write(&format!("base/opt/base/{name}"), "base\n");
    }
    for name in [
        "changed",
        "mode",
        "dated",
        "gone",
        "whole/a",
        "whole/b",
        "anew/old",
        "moved",
        "one",
        "kept",
        "directory/x",
        "read-only",
        "large",
        "pass.pyc",
    ] {
        write(&format!("store/opt/env/lib/{name}"), "linked\n");
    }
    for name in ["here", "here-too", "same"] {
        write(&format!("store/opt/env/both/{name}"), "linked\n");
    }
    fs_err::os::unix::fs::symlink("kept", at("store/opt/env/lib/link")).unwrap();
    fs_err::set_permissions(
        at("store/opt/env/lib/read-only"),
        PermissionsExt::from_mode(0o444),
    )
    .unwrap();
    fs_err::create_dir_all(at("base/bin")).unwrap();
    fs_err::create_dir_all(at("base/etc")).unwrap();
    fs_err::copy("/bin/busybox", at("base/bin/busybox")).unwrap();
    for name in [
        "sh", "rm", "mkdir", "mv", "ln", "chmod", "touch", "sed", "dd", "echo",
    ] {
        fs_err::os::unix::fs::symlink("busybox", at("base/bin").join(name)).unwrap();
    }
    let before = held(&at("store"));
    let tree = || read_directory(&at("store"), 1_000_000_000).unwrap().tree;
    for name in ["linked", "over-linked", "with-copies", "work"] {
        fs_err::create_dir(at(name)).unwrap();
    }
    link(tree(), &at("linked"), &|| true).unwrap();
    let below = [at("base")];
    let over = Stage::create_with(&at("linked"), &at("over-linked"), &below).unwrap();
    let copies = Stage::create(&at("with-copies"), below.to_vec()).unwrap();
    unpack(tree(), &copies.changes(), Owners::Own, &|| true).unwrap();

    let limiter = Arc::new(Limiter::find(Limits::default()));
    let path = std::env::var_os("PATH");
    let tools = Tools::find(path.as_deref(), limiter).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let layer = |stage: &Stage| {
        let program = Program {
            command: &["/bin/sh", "-c", CHANGES],
            environment: vec![("PATH".to_owned(), "/bin".to_owned())],
            binds: Vec::new(),
            network: Network::None,
            directory: "/",
            gives_files_away: false,
        };
        let log = at("log");
        let ran = {
            let _entered = runtime.enter();
            stage.run(&tools, &program, &log)
        };
        ran.unwrap_or_else(|error| panic!("{error:?}: {}", fs_err::read_to_string(&log).unwrap()));
        let tree = changes(&stage.own(), stage.below()).unwrap().tree;
        let names: Vec<String> = tree.iter().map(|(path, _)| path.to_string()).collect();
        let packed = pack_tree(tree, String::new(), &PackOptions::default(), &at("work"));
        (names, packed.unwrap().diff_id)
    };
    let (with_copies, over_linked) = (layer(&copies), layer(&over));
    assert_eq!(over_linked, with_copies);
    for name in [
        "/opt/env/lib/kept",
        "/opt/env/lib/elsewhere",
        "/opt/base/.wh.gone",
    ] {
        assert!(over_linked.0.iter().any(|found| found == name), "{name}");
    }
    assert_eq!(held(&at("store")), before);
}
