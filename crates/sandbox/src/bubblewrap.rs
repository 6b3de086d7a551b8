//! What a description comes to in the words of bubblewrap (bwrap(1), version 0.8 and later).

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::covers::{CoverKind, covers};
use super::description::{Network, Sandbox};

/// What the user 0 of a sandbox may do to what is in it: what Docker leaves to root (moby
/// `oci/caps/defaults.go`) and is of use with a single user, but for file capabilities: they could
/// count outside. Others have no capabilities there.
const CAPABILITIES: [&str; 12] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SYS_CHROOT",
    "CAP_AUDIT_WRITE",
];

/// Who mounts what is put over the root file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mounts {
    /// It is mounted already, and so is the root, as it is to be.
    Made,
    /// Bubblewrap does, which follows symlinks on the way to mount points.
    Left,
}

/// Which session the program is in (setsid(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    /// A new one, without a terminal.
    New,
    /// The one that bubblewrap is in, whose terminal was made for the program.
    OfTerminal,
}

/// The options that make bubblewrap set a sandbox up. Depends on the description, on the most bytes
/// that each file system in memory may hold, if that is limited, and on what there is in this
/// machine's `/proc`.
///
/// The program has namespaces of its own for users, processes, mounts, host name, IPC and, unless
/// it may use this machine's, network; `/proc` and `/dev` of its own; no terminal that it could
/// type into but its own; and it dies with whoever runs it.
#[must_use]
pub(crate) fn options(
    sandbox: &Sandbox,
    mounts: Mounts,
    session: Session,
    temporary_size: Option<u64>,
) -> Vec<OsString> {
    let mut options = Options(Vec::new());
    for flag in [
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--die-with-parent",
        "--clearenv",
    ] {
        options.put(&[flag]);
    }
    if session == Session::New {
        options.put(&["--new-session"]);
    }
    if sandbox.network == Network::None {
        options.put(&["--unshare-net"]);
    }
    options.put(&["--hostname", &sandbox.host_name]);
    options.put(&["--uid", &sandbox.user.to_string()]);
    options.put(&["--gid", &sandbox.group.to_string()]);
    options.put(&["--cap-drop", "ALL"]);
    if sandbox.user == 0 {
        for capability in CAPABILITIES {
            options.put(&["--cap-add", capability]);
        }
        if sandbox.calls.nested_namespaces {
            // Linux 5.12 wants it of whoever maps the user 0.
            options.put(&["--cap-add", "CAP_SETFCAP"]);
        }
    }
    let writable = sandbox.writable || mounts == Mounts::Made;
    options.mount(writable, &sandbox.root, "/");
    options.put(&["--proc", "/proc"]);
    for cover in covers() {
        let path = cover.path.as_os_str();
        match cover.kind {
            CoverKind::ReadOnly => options.mount(false, path, path),
            // Not to be opened, because no devices may be there.
            CoverKind::HiddenFile => options.mount(false, "/dev/null", path),
            CoverKind::HiddenDirectory => {
                options.put(&[OsStr::new("--tmpfs"), path]);
                options.put(&[OsStr::new("--remount-ro"), path]);
            }
        }
    }
    options.put(&["--dev", "/dev"]);
    if temporary_size.is_some() {
        options.temporary(temporary_size, Path::new("/dev/shm"));
    }
    let over = match mounts {
        Mounts::Made => sandbox.over_own(),
        Mounts::Left => sandbox.over_all(),
    };
    for (path, bind) in over {
        match bind {
            None => options.temporary(temporary_size, path),
            Some(bind) => options.mount(bind.writable, &bind.source, path),
        }
    }
    let devices = Path::new("/dev");
    let is_own = sandbox.binds.iter().all(|bind| bind.destination != devices)
        && sandbox.temporary.iter().all(|path| path != devices);
    if temporary_size.is_some() && is_own {
        // In memory as well, and bubblewrap limits it by no size.
        options.put(&["--remount-ro", "/dev"]);
    }
    for (name, value) in &sandbox.environment {
        options.put(&["--setenv", name, value]);
    }
    options.put(&[OsStr::new("--chdir"), sandbox.directory.as_os_str()]);
    options.0
}

struct Options(Vec<OsString>);

impl Options {
    fn put(&mut self, words: &[impl AsRef<OsStr>]) {
        self.0
            .extend(words.iter().map(|word| word.as_ref().to_owned()));
    }

    fn temporary(&mut self, size: Option<u64>, path: &Path) {
        if let Some(size) = size {
            self.put(&["--size", &size.to_string()]);
        }
        self.put(&[OsStr::new("--tmpfs"), path.as_os_str()]);
    }

    fn mount(&mut self, writable: bool, source: impl AsRef<Path>, destination: impl AsRef<Path>) {
        let option = if writable { "--bind" } else { "--ro-bind" };
        self.put(&[
            OsStr::new(option),
            source.as_ref().as_os_str(),
            destination.as_ref().as_os_str(),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::description::Bind;
    use super::super::seccomp::Calls;
    use super::*;

    fn sandbox() -> Sandbox {
        Sandbox {
            root: "/images/one".into(),
            writable: true,
            binds: Vec::new(),
            temporary: Vec::new(),
            environment: Vec::new(),
            directory: "/".into(),
            user: 0,
            group: 0,
            network: Network::None,
            host_name: "box".into(),
            calls: Calls::default(),
        }
    }

    fn words(sandbox: &Sandbox) -> Vec<String> {
        options(sandbox, Mounts::Left, Session::New, None)
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect()
    }

    /// Where these words stand in a row.
    fn position(words: &[String], wanted: &[&str]) -> Option<usize> {
        words
            .windows(wanted.len())
            .position(|window| window == wanted)
    }

    #[track_caller]
    fn in_order(words: &[String], wanted: &[&[&str]]) {
        let found: Vec<_> = wanted.iter().map(|row| position(words, row)).collect();
        assert!(
            found.iter().all(Option::is_some) && found.is_sorted(),
            "{found:?} of {wanted:?} in {words:?}"
        );
    }

    #[test]
    fn the_program_has_namespaces_of_its_own_and_dies_with_its_runner() {
        let words = words(&sandbox());
        for flag in [
            "--unshare-user",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--unshare-net",
            "--die-with-parent",
            "--new-session",
            "--clearenv",
        ] {
            assert!(words.iter().any(|word| word == flag), "{flag}");
        }
        in_order(
            &words,
            &[
                &["--hostname", "box"],
                &["--bind", "/images/one", "/"],
                &["--proc", "/proc"],
                &["--dev", "/dev"],
                &["--chdir", "/"],
            ],
        );
    }

    #[test]
    fn a_program_with_a_terminal_of_its_own_is_in_the_session_of_that() {
        let words = options(&sandbox(), Mounts::Left, Session::OfTerminal, None);
        assert!(words.iter().all(|word| word != "--new-session"));
    }

    #[test]
    fn the_host_network_is_shared_on_request_only() {
        let words = words(&Sandbox {
            network: Network::Host,
            ..sandbox()
        });
        assert_eq!(position(&words, &["--unshare-net"]), None);
    }

    #[test]
    fn only_user_0_has_capabilities() {
        let root = words(&sandbox());
        in_order(
            &root,
            &[&["--cap-drop", "ALL"], &["--cap-add", "CAP_CHOWN"]],
        );
        let user = words(&Sandbox {
            user: 1000,
            group: 100,
            ..sandbox()
        });
        in_order(
            &user,
            &[
                &["--uid", "1000"],
                &["--gid", "100"],
                &["--cap-drop", "ALL"],
            ],
        );
        assert_eq!(position(&user, &["--cap-add"]), None);
    }

    #[test]
    fn file_systems_in_memory_hold_no_more_than_they_may() {
        let sandbox = Sandbox {
            temporary: vec!["/tmp".into()],
            ..sandbox()
        };
        let words: Vec<String> = options(&sandbox, Mounts::Left, Session::New, Some(4096))
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect();
        in_order(
            &words,
            &[
                &["--dev", "/dev"],
                &["--size", "4096", "--tmpfs", "/dev/shm"],
                &["--size", "4096", "--tmpfs", "/tmp"],
                &["--remount-ro", "/dev"],
            ],
        );
    }

    #[test]
    fn deeper_mounts_come_later() {
        let bind = |source: &str, destination: &str, writable| Bind {
            source: source.into(),
            destination: destination.into(),
            writable,
        };
        let words = words(&Sandbox {
            writable: false,
            binds: vec![bind("/s/deep", "/a/b/c", true), bind("/s/top", "/a", false)],
            temporary: vec!["/a/b".into()],
            environment: vec![("A".into(), "--b c".into())],
            directory: "/a".into(),
            ..sandbox()
        });
        in_order(
            &words,
            &[
                &["--ro-bind", "/images/one", "/"],
                &["--ro-bind", "/s/top", "/a"],
                &["--tmpfs", "/a/b"],
                &["--bind", "/s/deep", "/a/b/c"],
                &["--setenv", "A", "--b c"],
                &["--chdir", "/a"],
            ],
        );
    }
}
