//! A run that is killed leaves nothing that lives, and the next one removes its files.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use ohoci_image::media_type::{Compression, Family};

use super::scene::{Scene, processes};
use crate::support::images::busybox;

/// Far more than anything here takes.
const SOON: Duration = Duration::from_secs(60);

/// Waits until something holds.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < SOON, "{what}");
        std::thread::yield_now();
    }
}

/// Kills it when a moment has come, and waits until nothing of it lives.
fn kill_at(mark: &str, mut child: Child, moment: impl FnOnce(&mut Child)) {
    moment(&mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    until("something lives on", || processes(mark).is_empty());
}

#[test]
fn nothing_lives_on_whenever_a_run_is_killed() {
    let scene = Scene::new();
    let mark = format!("mark-{}-killed", std::process::id());
    let script = format!(": {mark}; echo started; sleep 1000 & sleep 1000");
    let start = || {
        scene
            .command(&[], &script)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    // How many processes there are by then: ohoci's own, the one that watches, bubblewrap's own two,
    // and the program.
    for count in [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4] {
        kill_at(&mark, start(), |_| {
            until("it does not start", || processes(&mark).len() >= count);
        });
    }
    kill_at(&mark, start(), |child| {
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert_eq!(line, "started\n");
    });
}

#[test]
fn the_next_run_removes_what_a_killed_one_left() {
    let scene = Scene::new();
    let image = busybox(Family::Oci, Compression::Gzip).build();
    image.write_layout(&scene.ohoci.work().join("image"), "latest");
    let mark = format!("mark-{}-left", std::process::id());
    let script = format!(": {mark}; echo started; while true; do read line; done");
    let start = || {
        let mut command = scene.ohoci.command();
        command
            .args(["run", "oci:image", "sh", "-c", &script])
            .env("TMPDIR", &scene.temporary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let left = || fs_err::read_dir(&scene.temporary).unwrap().count();
    let started = |child: &mut Child| {
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert_eq!(line, "started\n");
    };
    kill_at(&mark, start(), started);
    assert!(left() > 0);
    // One that lives keeps its own.
    let mut living = start();
    started(&mut living);
    let own = left();
    assert!(own > 0);
    fs_err::create_dir(scene.temporary.join("ohoci-run-of-somebody-else")).unwrap();
    fs_err::write(scene.temporary.join("ohoci-run-of-somebody-else/file"), "").unwrap();
    scene.says(&[], "true");
    assert_eq!(left(), own + 1);
    living.kill().unwrap();
    living.wait().unwrap();
    until("something lives on", || processes(&mark).is_empty());
    scene.says(&[], "true");
    assert_eq!(left(), 1);
}
