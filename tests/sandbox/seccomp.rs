//! What programs inside may ask of the kernel.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use super::scene::Scene;

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;

/// Numbers of calls, on x86-64 and elsewhere.
fn number(x86_64: u32, generic: u32) -> u32 {
    if cfg!(target_arch = "x86_64") {
        x86_64
    } else {
        generic
    }
}

/// The error that a call ends with; 0 for none.
fn error_of(scene: &Scene, flags: &[&str], call: &str) -> i32 {
    let program = format!("my $done = syscall({call}); print $done == -1 ? $! + 0 : 0;");
    scene.perl(flags, &program).parse().unwrap()
}

#[test]
fn what_reaches_beyond_a_sandbox_is_refused() {
    let scene = Scene::new();
    for (name, call, error) in [
        ("keyctl", format!("{}, 0, -3, 0", number(250, 219)), EPERM),
        ("bpf", format!("{}, 99, 0, 0", number(321, 280)), EPERM),
        ("io_uring_setup", "425, 0, 0".to_owned(), EPERM),
        ("userfaultfd", format!("{}, 0", number(323, 282)), EPERM),
        (
            "perf_event_open",
            format!("{}, 0, 0, 0, 0, 0", number(298, 241)),
            EPERM,
        ),
        (
            "open_by_handle_at",
            format!("{}, -1, 0, 0", number(304, 265)),
            EPERM,
        ),
        (
            "mount",
            format!("{}, 0, 0, 0, 0, 0", number(165, 40)),
            EPERM,
        ),
        ("unshare", format!("{}, 0x10000000", number(272, 97)), EPERM),
        ("setns", format!("{}, -1, 0", number(308, 268)), EPERM),
        (
            "clone",
            format!("{}, 0x10000011, 0, 0, 0, 0", number(56, 220)),
            EPERM,
        ),
        ("clone3", "435, 0, 0".to_owned(), ENOSYS),
        (
            "personality",
            format!("{}, 0x0400000", number(135, 92)),
            EPERM,
        ),
        (
            "TIOCSTI",
            format!("{}, 0, 0x5412, 0", number(16, 29)),
            EPERM,
        ),
    ] {
        for flags in [&[][..], &["-u", "1000"]] {
            assert_eq!(error_of(&scene, flags, &call), error, "{name} {flags:?}");
        }
    }
    let status = scene.says(&[], "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status");
    assert_eq!(status, "NoNewPrivs:\t1\nSeccomp:\t2\n");
}

#[test]
fn namespaces_are_made_only_where_that_is_allowed() {
    let scene = Scene::new();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs_err::set_permissions(scene.root.parent().unwrap(), mode).unwrap();
    let script = "unshare --user --map-root-user true 2>/dev/null && echo made || echo refused";
    assert_eq!(scene.says(&[], script), "refused\n");
    let allowed = ["--allow-nested-namespaces"];
    assert_eq!(scene.says(&allowed, script), "made\n");
    // What is covered stays so there.
    let uncover = "unshare --user --map-root-user --mount sh -c '
        umount /proc/sys; umount -l /proc; mount -o remount,bind,rw /proc/sys
        mount -t proc proc /opt; : >> /proc/sys/net/ipv4/ip_forward' 2>/dev/null && echo uncovered
        true";
    assert_eq!(scene.says(&allowed, uncover), "");
}

#[test]
fn programs_find_no_keys_of_whoever_starts_them() {
    let scene = Scene::new();
    let said = scene.says(&[], "cat /proc/keys 2>/dev/null; true");
    assert_eq!(said, "");
}

#[test]
fn abstract_sockets_of_this_machine_are_kept_away_or_it_is_said() {
    let scene = Scene::new();
    let name = format!("ohoci-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let program = format!(
        r#"use Socket; socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die;
        my $address = pack('S a*', AF_UNIX, "\0{name}");
        print connect($s, $address) ? "reached\n" : "kept away\n";"#
    );
    fs_err::write(scene.root.join("opt/program"), program).unwrap();
    let run = |flags: &[&str]| scene.run(flags, "exec perl /opt/program").exits(0);
    assert_eq!(run(&[]).stdout, "kept away\n");
    let outcome = run(&["--network", "host"]);
    match ohoci_sandbox::abstract_sockets::can_be_kept_away() {
        true => assert_eq!(outcome.stdout, "kept away\n"),
        false => assert!(
            outcome.stderr.contains("abstract sockets"),
            "{}",
            outcome.stderr
        ),
    }
}
