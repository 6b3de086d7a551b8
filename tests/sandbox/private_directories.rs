//! Nobody else on this machine gets at what is unpacked or made, and what others can reach holds
//! nothing that lends rights.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
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

    // Where nobody else can enter, programs may do as they are used to.
    fs_err::set_permissions(&root, PermissionsExt::from_mode(0o700)).unwrap();
    scene.says(&[], "chmod 4755 /opt/true");
    assert_eq!(mode("opt/true") & 0o6000, 0o4000);
    let outcome = scene.run(&["--allow-nested-namespaces"], "true");
    outcome.exits(0);
    fs_err::set_permissions(&root, PermissionsExt::from_mode(0o755)).unwrap();
    let outcome = scene.run(&["--allow-nested-namespaces"], "true").exits(125);
    assert!(outcome.stderr.contains("chmod 700"), "{}", outcome.stderr);
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
