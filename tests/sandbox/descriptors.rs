//! What is open in the process that starts a sandbox does not reach the program in it.

use std::os::unix::fs::PermissionsExt as _;
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
    command.stdin(fs_err::File::open("/").unwrap().into_parts().0);
    let outcome = Outcome::of(&mut command).exits(125);
    assert_eq!(outcome.stdout, "");
    assert!(
        outcome.stderr.contains("standard input: it is a directory"),
        "{}",
        outcome.stderr
    );
}

/// What a run with these files as its streams leaves in them.
fn with_files(scene: &Scene, script: &str, input: &[u8], output: &[u8]) -> (Outcome, [Vec<u8>; 2]) {
    let paths = ["input", "output"].map(|name| scene.ohoci.work().join(name));
    for (path, content) in paths.iter().zip([input, output]) {
        fs_err::write(path, content).unwrap();
    }
    let [input, output] = &paths;
    let append = fs_err::OpenOptions::new()
        .append(true)
        .open(output)
        .unwrap();
    let append = append.into_parts().0;
    let mut command = scene.command(&[], script);
    command
        .stdin(fs_err::File::open(input).unwrap().into_parts().0)
        .stdout(append.try_clone().unwrap())
        .stderr(append);
    let outcome = Outcome::of(&mut command);
    (outcome, paths.map(|path| fs_err::read(path).unwrap()))
}

#[test]
fn files_that_are_streams_are_read_and_written_and_not_opened() {
    let scene = Scene::new();
    let long: Vec<u8> = (0..300_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    let (outcome, [input, output]) = with_files(
        &scene,
        "cat; echo one; echo two >&2; echo three; exit 7",
        &long,
        b"before\n",
    );
    outcome.exits(7);
    assert_eq!(input, long);
    let expected = [b"before\n", long.as_slice(), b"one\ntwo\nthree\n"].concat();
    assert!(output == expected, "{} of {}", output.len(), expected.len());
    // Neither to be emptied or written to by another name, nor to be given another mode.
    let script =
        "for fd in 0 1 2; do : > /proc/self/fd/$fd; chmod 777 /proc/self/fd/$fd; done 2>/dev/null
        perl -e 'truncate(STDIN, 0); truncate(STDOUT, 0); chmod(0777, *STDIN); chmod(0777, *STDOUT)'
        exit 0";
    let (outcome, [input, output]) = with_files(&scene, script, b"kept", b"kept, too");
    outcome.exits(0);
    assert_eq!(input, b"kept");
    assert!(output.starts_with(b"kept, too"), "{output:?}");
    for name in ["input", "output"] {
        let found = fs_err::metadata(scene.ohoci.work().join(name)).unwrap();
        assert_ne!(found.permissions().mode() & 0o777, 0o777, "{name}");
    }
}

#[test]
fn input_that_nobody_reads_and_output_that_nobody_takes_hold_nothing_up() {
    let scene = Scene::new();
    let long = vec![b'a'; 10 << 20];
    let (outcome, _) = with_files(&scene, "exit 3", &long, b"");
    outcome.exits(3);
    let mut command = scene.command(&[], "echo said");
    command.stdout(
        fs_err::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
            .into_parts()
            .0,
    );
    let outcome = Outcome::of(&mut command);
    assert_ne!(outcome.code, Some(0));
}

#[test]
fn what_a_program_leaves_of_a_file_the_next_one_reads() {
    let scene = Scene::new();
    let path = scene.ohoci.write("work/list", "one\ntwo\nthree\n");
    let file = fs_err::File::open(path).unwrap().into_parts().0;
    let run = |script: &str| {
        let mut command = scene.command(&[], script);
        command.stdin(Stdio::from(file.try_clone().unwrap()));
        Outcome::of(&mut command).exits(0).stdout
    };
    assert_eq!(run("true"), "");
    assert_eq!(run("dd bs=1 count=4 2>/dev/null"), "one\n");
    assert_eq!(run("cat"), "two\nthree\n");
    assert_eq!(run("cat"), "");
}
