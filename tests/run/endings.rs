//! How a run ends: by its time, by a signal, with its program; and nothing of it goes on.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Scene, image};

/// Far more than anything here takes, far less than the programs sleep.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn when_the_time_is_over_everything_is_killed() {
    let scene = Scene::new(image());
    let started = Instant::now();
    // A child that ignores what can be ignored. `run` waits until nobody is left who could write to
    // its standard output, so survivors would hold it up.
    let script = "trap '' TERM INT HUP; (while true; do sleep 60; done) & echo on; sleep 60";
    let outcome = scene.run(&["--timeout", "1.5", "oci:image", "sh", "-c", script]);
    let outcome = outcome.exits(124);
    assert!(started.elapsed() < SOON);
    assert_eq!(outcome.stdout, "on\n");
    assert_eq!(outcome.stderr, "killed after 1.5s, because of --timeout\n");
}

#[test]
fn what_runs_on_in_the_background_ends_with_the_program() {
    let scene = Scene::new(image());
    let started = Instant::now();
    scene
        .run(&["oci:image", "sh", "-c", "sleep 60 & exit 3"])
        .exits(3);
    assert!(started.elapsed() < SOON);
}

#[test]
fn an_interrupted_run_leaves_neither_programs_nor_files() {
    let scene = Scene::new(image());
    for signal in [Signal::INT, Signal::TERM] {
        let mut child = scene
            .command(&["oci:image", "sh", "-c", "echo started; sleep 60"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "started\n");
        kill_process(Pid::from_child(&child), signal).unwrap();
        // The pipe ends when nobody in the sandbox is left that could write to it.
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        assert_eq!(child.wait().unwrap().code(), Some(130));
        scene.nothing_is_left();
    }
}
