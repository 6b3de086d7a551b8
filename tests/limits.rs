//! What `ohoci run` may use, as whoever runs the tests and, where that is root, as an ordinary user.

use std::path::PathBuf;
use std::process::Command;

use ohoci_image::media_type::{Compression, Family};

use crate::support::command::{Ohoci, Outcome};
use crate::support::images::{Layer, Node, busybox};

/// The ordinary user.
const USER: &str = "1001";

/// A place to run from, with a layout `image` and a root file system `root` in it.
struct Scene {
    ohoci: Ohoci,
    /// The program that an ordinary user runs, who cannot see this one's.
    as_user: Option<PathBuf>,
}

impl Scene {
    fn new(is_ordinary: bool) -> Self {
        let ohoci = Ohoci::new();
        let layer = Layer::pack(
            &[
                ("bin/sh", Node::Link("busybox")),
                ("opt", Node::Directory),
                ("tmp", Node::Directory),
            ],
            Compression::Gzip,
        );
        busybox(Family::Oci, Compression::Gzip)
            .layer(layer)
            .build()
            .write_layout(&ohoci.work().join("image"), "latest");
        let root = ohoci.work().join("root");
        for directory in ["bin", "opt", "proc", "dev"] {
            fs_err::create_dir_all(root.join(directory)).unwrap();
        }
        fs_err::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        fs_err::os::unix::fs::symlink("busybox", root.join("bin/sh")).unwrap();
        fs_err::create_dir(ohoci.work().join("tmp")).unwrap();
        let home = ohoci.work().parent().unwrap().to_owned();
        let as_user = is_ordinary.then(|| {
            let program = home.join("ohoci");
            fs_err::copy(env!("CARGO_BIN_EXE_ohoci"), &program).unwrap();
            let owner = format!("{USER}:{USER}");
            let mut chown = Command::new("chown");
            assert!(
                chown
                    .args(["-R", &owner])
                    .arg(&home)
                    .status()
                    .unwrap()
                    .success()
            );
            program
        });
        Self { ohoci, as_user }
    }

    fn command(&self) -> Command {
        let own = self.ohoci.command();
        let Some(program) = &self.as_user else {
            return own;
        };
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", USER, "--regid", USER, "--clear-groups", "--"])
            .arg(program)
            .env_clear()
            .envs(
                own.get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .current_dir(self.ohoci.work());
        command
    }

    /// Runs a script of a shell; nothing may be left behind.
    #[track_caller]
    fn run(&self, flags: &[&str], place: &[&str], script: &str) -> Outcome {
        let temporary = self.ohoci.work().join("tmp");
        let mut command = self.command();
        command
            .arg("run")
            .args(flags)
            .args(place)
            .args(["sh", "-c", script])
            .env("TMPDIR", &temporary);
        let outcome = Outcome::of(&mut command);
        let left: Vec<_> = fs_err::read_dir(temporary).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        outcome
    }
}

const IMAGE: &[&str] = &["oci:image"];
const ROOT: &[&str] = &["--rootfs", "root"];

/// Runs a test as each user that there is.
#[track_caller]
fn as_each_user(test: impl Fn(&Scene)) {
    test(&Scene::new(false));
    if rustix::process::geteuid().is_root() {
        test(&Scene::new(true));
    }
}

#[test]
fn who_fills_the_disk_is_killed_and_the_limit_is_named() {
    as_each_user(|scene| {
        for place in [IMAGE, ROOT] {
            for script in [
                // Where nothing names it any more.
                "exec 3>/opt/a 4>/opt/b 5>/opt/c; busybox rm /opt/a /opt/b /opt/c; \
                 for n in 3 4 5; do eval \"busybox head -c 500000 /dev/zero >&$n\"; done; busybox sleep 300",
                // In one file, and over in no time.
                "busybox head -c 3000000 /dev/zero > /opt/x",
                // In many.
                "i=0; while :; do busybox head -c 100000 /dev/zero > /opt/$i; i=$((i+1)); done",
                // Where nobody can look into.
                "cd /opt; while busybox mkdir d; do cd d; busybox head -c 50000 /dev/zero > x; done",
                "cd /opt; busybox mkdir d; busybox chmod 0 d; i=0; \
                 while :; do busybox head -c 100000 /dev/zero > d/$i; i=$((i+1)); done",
            ] {
                // The time is for what is not stopped.
                let flags = ["--disk", "1M", "--timeout", "5m"];
                let outcome = scene.run(&flags, place, script).exits(137);
                let said = "killed: the disk limit of 1 MiB was exceeded (--disk raises it)\n";
                assert!(
                    outcome.stderr.ends_with(said),
                    "{script}: {}",
                    outcome.stderr
                );
            }
        }
    });
}

#[test]
fn who_makes_files_without_end_is_killed_and_the_limit_is_named() {
    as_each_user(|scene| {
        for place in [IMAGE, ROOT] {
            let script = "i=0; while :; do : > /opt/$i; i=$((i+1)); done";
            let outcome = scene.run(&["--inodes", "100"], place, script).exits(137);
            assert_eq!(
                outcome.stderr,
                "killed: the limit of 100 files and directories was exceeded (--inodes raises it)\n"
            );
            let script = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); \
                (exec 3>/opt/$i; busybox rm /opt/$i; exec busybox sleep 300) & done; wait";
            let flags = ["--inodes", "30", "--timeout", "5m"];
            let outcome = scene.run(&flags, place, script).exits(137);
            assert!(
                outcome.stderr.contains("limit of 30 files"),
                "{}",
                outcome.stderr
            );
        }
    });
}

#[test]
fn what_keeps_within_its_limits_does_not_notice_them() {
    as_each_user(|scene| {
        let flags = ["--disk", "2M", "--inodes", "20", "--timeout", "10m"];
        let script = "busybox head -c 1000000 /dev/zero > /opt/x; busybox rm /opt/x; \
            busybox head -c 1000000 /dev/zero > /opt/y; echo done";
        for place in [IMAGE, ROOT] {
            let outcome = scene.run(&flags, place, script).exits(0);
            assert_eq!((&*outcome.stdout, &*outcome.stderr), ("done\n", ""));
        }
        let flags = [
            "--disk",
            "none",
            "--inodes",
            "none",
            "--memory",
            "none",
            "--pids-limit",
            "-1",
            "--cpus",
            "none",
            "--timeout",
            "none",
        ];
        let script = "busybox head -c 3000000 /dev/zero > /opt/x; echo done";
        assert_eq!(scene.run(&flags, IMAGE, script).exits(0).stderr, "");
    });
}

#[test]
fn memory_is_limited_and_the_limit_is_named() {
    as_each_user(|scene| {
        let hog = "x=$(busybox yes | busybox head -c 400000000); echo survived";
        let outcome = scene.run(&["--memory", "100M"], IMAGE, hog);
        assert_ne!(outcome.code, Some(0), "{}", outcome.stderr);
        assert_eq!(outcome.stdout, "");
        let whole =
            "killed: out of memory: the memory limit of 100 MiB was reached (--memory raises it)\n";
        assert!(
            outcome.stderr.ends_with(whole)
                || outcome
                    .stderr
                    .contains("only by looking ten times a second"),
            "{}",
            outcome.stderr
        );
    });
}

/// A program of this machine that holds memory which belongs to no process.
const SHARED: &str = r#"
$what = shift;
if ($what eq "memfd") {
    $name = "x";
    $number = syscall(319, $name, 0);
    open($file, "+>&=", $number) or die "open: $!";
    for (1 .. 300) { syswrite($file, "x" x 1048576) == 1048576 or die "write: $!" }
} else {
    # Many processes, none of which has much.
    for (1 .. 10) { if (fork() == 0) { $mine = "x" x 30000000; sleep 60; exit } }
}
sleep 60;
print "survived
";
"#;

#[test]
#[cfg(target_arch = "x86_64")]
fn memory_that_is_shared_or_many_processes_have_counts() {
    as_each_user(|scene| {
        let root = scene.ohoci.work().join("root");
        for directory in ["usr", "lib", "lib64"] {
            fs_err::create_dir_all(root.join(directory)).unwrap();
        }
        fs_err::write(root.join("opt/program"), SHARED).unwrap();
        // In a control group only one of many processes is killed, and the run goes on.
        let kinds: &[&str] = match scene.as_user {
            Some(_) => &["memfd", "processes"],
            None => &["memfd"],
        };
        for what in kinds {
            let flags = [
                "--memory",
                "150M",
                "--timeout",
                "50",
                "--mount",
                "/usr:/usr:ro",
                "--mount",
                "/lib:/lib:ro",
                "--mount",
                "/lib64:/lib64:ro",
            ];
            let script = format!("/usr/bin/perl /opt/program {what}");
            let outcome = scene.run(&flags, ROOT, &script).exits(137);
            assert_eq!(outcome.stdout, "");
            let said = "memory limit of 150 MiB was reached (--memory raises it)";
            assert!(outcome.stderr.contains(said), "{what}: {}", outcome.stderr);
        }
    });
}

#[test]
fn file_systems_in_memory_are_limited_with_the_memory() {
    as_each_user(|scene| {
        for path in ["/dev/shm/x", "/tmp/x", "/dev/x"] {
            let script = format!("busybox head -c 60000000 /dev/zero > {path} && echo survived");
            let flags = ["--memory", "100M", "--tmpfs", "/tmp"];
            let outcome = scene.run(&flags, IMAGE, &script);
            assert_ne!(outcome.code, Some(0), "{path}: {}", outcome.stderr);
        }
    });
}

#[test]
fn processes_are_limited() {
    as_each_user(|scene| {
        let script = "i=0; while [ $i -lt 60 ]; do busybox sleep 600 & i=$((i+1)); done; echo all";
        let outcome = scene.run(&["--pids-limit", "20"], IMAGE, script);
        if outcome
            .stderr
            .contains("the limit on processes is not enforced")
        {
            return;
        }
        assert_eq!(outcome.stdout, "", "{}", outcome.stderr);
        assert_ne!(outcome.code, Some(0));
        let enough = scene.run(&["--pids-limit", "100"], IMAGE, script).exits(0);
        assert_eq!(enough.stdout, "all\n");
    });
}

#[test]
fn what_is_no_limit_is_refused_by_name() {
    let scene = Scene::new(false);
    for (flag, value) in [
        ("--memory", "0"),
        ("--memory", "4X"),
        ("--disk", "-1"),
        ("--inodes", "0"),
        ("--pids-limit", "many"),
        ("--cpus", "0"),
        ("--timeout", "0"),
    ] {
        let flag_and_value = format!("{flag}={value}");
        let outcome = scene.run(&[&flag_and_value], IMAGE, "true").exits(2);
        assert!(outcome.stderr.contains(flag), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("none"), "{}", outcome.stderr);
    }
}
