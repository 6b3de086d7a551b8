//! Launches of a shell, without the runner around them.

use super::*;
use crate::description::Bind;

/// A launch of a shell in a root file system of its own.
fn launch(directory: &std::path::Path, script: &str) -> Launch {
    for name in ["bin", "dev", "proc", "tmp"] {
        fs_err::create_dir_all(directory.join(name)).unwrap();
    }
    fs_err::copy("/bin/busybox", directory.join("bin/sh")).unwrap();
    let null = || Some(fs_err::File::open("/dev/null").unwrap().into_file().into());
    let mut launch = Launch::of_script(directory.to_owned());
    launch.bubblewrap = "/usr/bin/bwrap".into();
    launch.command = ["/bin/sh", "-c", script].map(OsString::from).into();
    launch.streams = [null(), null(), null()];
    launch
}

#[test]
fn where_there_can_be_no_namespaces_around_it_a_sandbox_starts_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let mut launch = launch(directory.path(), "[ -f /tmp/x ] && exit 7");
    let source = directory.path().join("source");
    fs_err::write(&source, "").unwrap();
    launch.sandbox.binds = vec![Bind {
        source,
        destination: "/tmp/x".into(),
        writable: false,
    }];
    let filter = seccomp::filter(launch.sandbox.calls, false);
    launch.check_mount_points().unwrap();
    let started = launch.spawn(None, None, &filter, false);
    let mut started = started.map_err(|refused| refused.error).unwrap();
    assert!(started.first.is_none());
    started.gate.write_all(b"\n").unwrap();
    assert_eq!(started.child.wait().unwrap().code(), Some(7));

    fs_err::remove_file(directory.path().join("tmp/x")).unwrap();
    fs_err::os::unix::fs::symlink("/tmp", directory.path().join("tmp/x")).unwrap();
    let error = launch.check_mount_points().unwrap_err().to_string();
    assert!(error.contains("symlink"), "{error}");
}

#[test]
fn what_is_started_is_in_namespaces_and_ends_with_what_holds_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut launched = launch(directory.path(), "exit 5").start().unwrap();
    launched.open_gate();
    assert_eq!(launched.wait().unwrap().code(), Some(5));
    let mut launched = launch(directory.path(), "while :; do :; done")
        .start()
        .unwrap();
    launched.open_gate();
    assert!(launched.first.is_some());
    assert!(!launched.end().unwrap().success());
}
