//! Nobody else on this machine gets at what is unpacked or made, and what others can reach holds
//! nothing that lends rights.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use ohoci_image::media_type::{Compression, Family};

use super::scene::Scene;
use crate::support::images::busybox;

#[test]
fn others_cannot_enter_what_is_unpacked() {
    let scene = Scene::new();
    let image = busybox(Family::Oci, Compression::Gzip).build();
    image.write_layout(&scene.ohoci.work().join("image"), "latest");
    let mut child = scene
        .ohoci
        .command()
        .args(["run", "oci:image", "sh", "-c", "echo started; read line"])
        .env("TMPDIR", &scene.temporary)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "started\n");
    let made: Vec<_> = fs_err::read_dir(&scene.temporary)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(!made.is_empty());
    for directory in made {
        let mode = fs_err::metadata(&directory).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o700, "{}", directory.display());
    }
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn files_that_others_can_reach_never_lend_rights() {
    let scene = Scene::new();
    let root = scene.root.clone();
    for path in root.ancestors().take(3) {
        fs_err::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let make = "cp /usr/bin/true /opt/true; chmod 4755 /opt/true; chmod 2755 /opt/true
        install -m 6755 /usr/bin/true /opt/installed; mknod /opt/null c 1 3
        setcap cap_chown+ep /opt/true; true";
    scene.run(&[], make).exits(0);
    let mode = |name: &str| fs_err::metadata(root.join(name)).map_or(0, |found| found.mode());
    for name in ["opt/true", "opt/installed"] {
        assert_eq!(mode(name) & 0o6000, 0, "{name}");
    }
    assert!(!root.join("opt/null").exists());
    let attribute = rustix::fs::getxattr(
        root.join("opt/true"),
        "security.capability",
        &mut [0_u8; 64],
    );
    assert!(attribute.is_err());

    // The directory's own permissions are no wall: a program can change them.
    fs_err::set_permissions(&root, PermissionsExt::from_mode(0o700)).unwrap();
    scene
        .run(&[], "chmod 4755 /opt/true; chmod 755 /; true")
        .exits(0);
    assert_eq!(mode("opt/true") & 0o6000, 0);
}

#[test]
fn namespaces_of_its_own_are_for_what_nobody_else_can_enter() {
    let scene = Scene::new();
    let root = scene.root.clone();
    let above = root.parent().unwrap();
    let set = |path: &Path, mode| {
        fs_err::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    set(above, 0o700);
    scene.run(&["--allow-nested-namespaces"], "true").exits(0);
    for path in root.ancestors().take(3) {
        set(path, 0o755);
    }
    set(&root, 0o700);
    let outcome = scene.run(&["--allow-nested-namespaces"], "true").exits(125);
    assert!(outcome.stderr.contains("chmod 700"), "{}", outcome.stderr);
}

#[test]
fn set_id_files_that_others_can_run_cannot_be_changed() {
    let scene = Scene::new();
    let root = scene.root.clone();
    for path in root.ancestors().take(3) {
        fs_err::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let file = root.join("opt/deep/su");
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(&file, "").unwrap();
    fs_err::set_permissions(&file, PermissionsExt::from_mode(0o4755)).unwrap();
    let refused = scene.run(&[], "true").exits(125);
    assert!(refused.stderr.contains("opt/deep/su"), "{}", refused.stderr);
    scene.run(&["--read-only"], "true").exits(0);
    let above = root.parent().unwrap();
    fs_err::set_permissions(above, PermissionsExt::from_mode(0o700)).unwrap();
    scene.run(&[], "true").exits(0);
}

#[test]
fn a_named_pipe_stays_its_owners() {
    let scene = Scene::new();
    let pipe = scene.ohoci.work().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
    let open = || {
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true).open(&pipe).unwrap()
    };
    let output = open();
    let status = scene
        .ohoci
        .command()
        .args(["run", "--rootfs"])
        .arg(&scene.root)
        .args(["--mount", "/usr:/usr:ro", "--", "/bin/sh", "-c", "echo hi"])
        .stdout(Stdio::from(output.into_file()))
        .status()
        .unwrap();
    assert!(status.code().is_some());
    let own = rustix::process::geteuid().as_raw();
    assert_eq!(fs_err::metadata(&pipe).unwrap().uid(), own);
}

#[test]
fn set_id_programs_have_no_effect_inside() {
    let scene = Scene::new();
    let said = scene.says(
        &[],
        "grep ' / ' /proc/self/mounts; grep NoNewPrivs /proc/self/status",
    );
    assert!(said.contains("nosuid,nodev"), "{said}");
    assert!(said.contains("NoNewPrivs:\t1"), "{said}");
}
