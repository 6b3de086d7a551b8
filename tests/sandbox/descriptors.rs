//! What is open in the process that starts a sandbox does not reach the program in it.

use std::process::{Command, Stdio};

use super::scene::Scene;
use crate::support::command::Outcome;

#[test]
fn only_the_standard_streams_reach_the_program() {
    let scene = Scene::new();
    // The directory of `ls` itself is the fourth.
    for flags in [&[][..], &["--read-only", "--network", "host"]] {
        let ohoci = scene.command(flags, "ls /proc/self/fd | tr '\\n' ' '");
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", "exec 9</ 7<>/dev/null; exec \"$0\" \"$@\""])
            .arg(ohoci.get_program())
            .args(ohoci.get_args())
            .current_dir(scene.ohoci.work())
            .envs(
                ohoci
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null());
        let outcome = Outcome::of(&mut shell).exits(0);
        assert_eq!(outcome.stdout, "0 1 2 3 ", "{flags:?}");
    }
}

#[test]
fn a_directory_as_standard_input_is_refused() {
    let scene = Scene::new();
    let mut command = scene.command(&[], "ls /proc/self/fd/0/");
    command.stdin(std::fs::File::open("/").unwrap());
    let outcome = Outcome::of(&mut command).exits(125);
    assert_eq!(outcome.stdout, "");
    assert!(
        outcome.stderr.contains("standard input: it is a directory"),
        "{}",
        outcome.stderr
    );
}
