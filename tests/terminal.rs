//! `ohoci run -t`: a program has a terminal of its own, with job control, its size and its keys, and never
//! the one that ohoci is started from.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ohoci_image::media_type::{Compression, Family};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::support::command::Ohoci;
use crate::support::images::{Layer, Node, busybox};

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

fn machine() -> Ohoci {
    let ohoci = Ohoci::new();
    let applets = ["kill", "od", "sleep", "stty", "tty"];
    let links = applets.map(|name| format!("bin/{name}"));
    let nodes: Vec<_> = links
        .iter()
        .map(|path| (path.as_str(), Node::Link("busybox")))
        .collect();
    busybox(Family::Oci, Compression::Gzip)
        .layer(Layer::pack(&nodes, Compression::Gzip))
        .build()
        .write_layout(&ohoci.work().join("image"), "latest");
    ohoci
}

/// What a shell does that ohoci is started from: says how that ended and how the terminal is left.
const AROUND: &str = "\"$@\"; echo \"ended with $?\"; stty -a";

/// ohoci in a session with a terminal, which a test watches and types into.
struct Session {
    screen: File,
    terminal: OwnedFd,
    child: Child,
    shown: String,
}

impl Session {
    fn start(ohoci: &Ohoci, words: &[&str]) -> Self {
        let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let terminal = ioctl_tiocgptpeer(&screen, flags).unwrap();
        resize(&screen, 30, 100);
        let program = ohoci.command();
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "sh", "-c", AROUND, "sh"])
            .arg(program.get_program());
        if let Some(directory) = program.get_current_dir() {
            command.current_dir(directory);
        }
        command.env_clear();
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let stream = || Stdio::from(terminal.try_clone().unwrap());
        let child = command
            .args(words)
            .stdin(stream())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        Self {
            screen: screen.into(),
            terminal,
            child,
            shown: String::new(),
        }
    }

    fn shell(ohoci: &Ohoci) -> Self {
        let mut session = Self::start(ohoci, &["run", "-it", "oci:image", "sh"]);
        session.type_in("PS1='ready'\"> \"\n");
        session.wait_for("ready> ");
        session
    }

    fn type_in(&mut self, keys: &str) {
        self.screen.write_all(keys.as_bytes()).unwrap();
    }

    /// Reads the screen until this is shown, and gives all up to it.
    #[track_caller]
    fn wait_for(&mut self, text: &str) -> String {
        let started = Instant::now();
        loop {
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown.split_off(at + text.len());
                return std::mem::replace(&mut self.shown, rest);
            }
            assert!(started.elapsed() < LIMIT, "no {text:?} in {:?}", self.shown);
            let mut ready = [PollFd::new(&self.screen, PollFlags::IN)];
            let pause = Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            if poll(&mut ready, Some(&pause)).unwrap() == 0 {
                continue;
            }
            let mut bytes = [0; 4096];
            let count = self.screen.read(&mut bytes).unwrap();
            self.shown
                .push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    /// What a command shows; `$last` is the status of the one before.
    ///
    /// The shell edits its line itself and draws it again when the size changes, so what it shows of what is
    /// typed is no sign of anything. The marks are written so that only their output looks like them.
    #[track_caller]
    fn says(&mut self, command: &str) -> String {
        self.type_in(&format!("last=$?; echo be''gins; {command}; echo en''ds\n"));
        self.wait_for("begins\r\n");
        let said = self.wait_for("ends\r\n");
        self.wait_for("ready> ");
        said.trim_end_matches("ends\r\n").replace("\r\n", "\n")
    }

    /// Checks how it ends, and that it leaves the terminal as it was.
    #[track_caller]
    fn ends(mut self, code: i32) {
        self.wait_for(&format!("ended with {code}\r\n"));
        let modes = self.wait_for("echoctl");
        let has = |mode: &str| modes.split_ascii_whitespace().any(|word| word == mode);
        assert!(has("icanon") && has("echo") && has("isig"), "{modes}");
        assert!(self.child.wait().unwrap().success());
    }

    /// The number of ohoci, the only child of the shell.
    fn ohoci(&self) -> Pid {
        let id = self.child.id();
        let children = fs_err::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        Pid::from_raw(children.trim().parse().unwrap()).unwrap()
    }
}

fn resize(terminal: &OwnedFd, rows: u16, columns: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).unwrap();
}

#[test]
fn keys_sizes_and_jobs_are_the_programs() {
    let ohoci = machine();
    let mut session = Session::shell(&ohoci);
    assert_eq!(session.says("stty size"), "30 100\n");
    assert_eq!(session.says("echo $TERM"), "xterm\n");
    let is_raw = |session: &Session| {
        let modes = tcgetattr(&session.terminal).unwrap().local_modes;
        !modes.contains(LocalModes::ICANON)
    };
    assert!(is_raw(&session));

    // Ctrl-C ends what runs, and nothing else.
    let sleeps = "sh -c 'echo be\"\"gun; exec sleep 1000'\n";
    session.type_in(sleeps);
    session.wait_for("begun\r\n");
    session.type_in("\x03");
    session.wait_for("ready> ");
    assert_eq!(session.says("echo $last"), "130\n");

    // Ctrl-Z stops it.
    session.type_in(sleeps);
    session.wait_for("begun\r\n");
    session.type_in("\x1a");
    session.wait_for("ready> ");
    assert!(session.says("jobs").contains("Stopped"));
    session.says("kill -9 %1; wait");

    let terminal = session.terminal.try_clone().unwrap();
    resize(&terminal, 41, 97);
    let started = Instant::now();
    while session.says("stty size") != "41 97\n" {
        assert!(started.elapsed() < LIMIT);
    }

    session.type_in("exit 5\n");
    session.ends(5);
}

#[test]
fn the_terminal_is_not_the_one_that_ohoci_is_started_from() {
    let ohoci = machine();
    let mut session = Session::shell(&ohoci);
    // The same device would have the same number.
    let said = session.says("stty -g >/dev/null && echo ok; busybox stat -c %t:%T /dev/console");
    let own = rustix::fs::fstat(&session.terminal).unwrap();
    let number = format!(
        "ok\n{:x}:{:x}\n",
        rustix::fs::major(own.st_rdev),
        rustix::fs::minor(own.st_rdev)
    );
    assert!(
        said.starts_with("ok\n") && said != number,
        "{said} {number}"
    );
    session.type_in("exit\n");
    session.ends(0);
}

#[test]
fn an_interrupted_run_gives_the_terminal_back() {
    let ohoci = machine();
    let mut session = Session::start(
        &ohoci,
        &[
            "run",
            "-t",
            "oci:image",
            "sh",
            "-c",
            "echo begun; sleep 1000",
        ],
    );
    session.wait_for("begun");
    kill_process(session.ohoci(), Signal::TERM).unwrap();
    session.ends(130);
}

#[test]
fn what_is_read_from_elsewhere_is_typed_in_with_its_end() {
    let ohoci = machine();
    for input in [
        "tty; read a; echo \"<$a>\"\nx",
        "tty; read a; echo \"<$a>\"\nx\n",
    ] {
        let mut child = ohoci
            .command()
            .args(["run", "-t", "oci:image", "sh", "-c", "tty; cat; exit 3"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("/dev/console"), "{said}");
        // Once as it is typed, and once by `cat`.
        assert_eq!(said.matches("echo").count(), 2, "{said}");
    }
}

/// Waits for the end of a process.
#[track_caller]
fn code_of(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if started.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("it goes on for ever");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_program_leads_the_session_of_its_terminal() {
    let ohoci = machine();
    // Its number, process group and session, and the group that is in the foreground (proc(5)).
    let script = "read -r line < /proc/$$/stat; set -- $line; echo $1 $5 $6 $8; exit 4";
    let words = ["run", "-t", "oci:image", "sh", "-c", script];
    let mut session = Session::start(&ohoci, &words);
    session.wait_for("2 2 2 2\r\n");
    session.ends(4);
}

#[test]
fn a_terminal_that_is_gone_ends_the_run() {
    let ohoci = machine();
    // Nothing else may hold it, ohoci least of all.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let screen = openpt(flags).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let terminal = ioctl_tiocgptpeer(&screen, flags).unwrap();
    // It controls no session, so that no signal tells.
    let stream = || Stdio::from(terminal.try_clone().unwrap());
    let mut child = ohoci
        .command()
        .args(["run", "-it", "oci:image", "sh", "-c"])
        .arg("trap '' HUP; echo begun; sleep 1000")
        .stdin(stream())
        .stdout(stream())
        .stderr(stream())
        .spawn()
        .unwrap();
    let mut screen = File::from(screen);
    let mut shown = String::new();
    while !shown.contains("begun") {
        let mut bytes = [0; 4096];
        let count = screen.read(&mut bytes).unwrap();
        shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    drop((terminal, screen));
    assert_eq!(code_of(&mut child), Some(129));
}

#[test]
fn what_is_shown_to_nobody_ends_the_run() {
    let ohoci = machine();
    let mut child = ohoci
        .command()
        .args(["run", "-t", "oci:image", "sh", "-c"])
        .arg("while true; do echo begun; done")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 6]).unwrap();
    drop(output);
    assert_eq!(code_of(&mut child), Some(129));
}

#[test]
fn without_it_a_program_controls_no_terminal() {
    let ohoci = machine();
    let script = "(: < /dev/tty) && echo has || echo none";
    let words = ["run", "oci:image", "sh", "-c", script];
    let mut session = Session::start(&ohoci, &words);
    session.wait_for("none\r\n");
    session.ends(0);
}

#[test]
fn a_program_can_end_by_itself() {
    let ohoci = machine();
    for (timeout, script, code, text) in [
        ("60", "trap 'echo bye; exit 9' TERM", 9, "bye\n"),
        ("0.2", "trap '' TERM", 130, ""),
    ] {
        let script = format!("{script}; echo begun; while true; do sleep 0.05; done");
        let mut child = ohoci
            .command()
            .args(["run", "--stop-timeout", timeout, "oci:image", "sh", "-c"])
            .arg(script)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        let mut begun = [0; 6];
        output.read_exact(&mut begun).unwrap();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let mut said = String::new();
        output.read_to_string(&mut said).unwrap();
        assert_eq!((child.wait().unwrap().code(), &*said), (Some(code), text));
    }
}

#[test]
fn what_docker_run_has_and_ohoci_has_not_is_answered() {
    let ohoci = machine();
    for (flag, answer) in [
        ("-p", "--network host"),
        ("--publish", "--network host"),
        ("--name", "--keep NAME"),
        ("-d", "no daemon"),
    ] {
        let refused = ohoci.run(["run", flag, "oci:image", "true"]);
        assert_eq!(refused.code, Some(2), "{flag}: {}", refused.stderr);
        assert!(
            refused.stderr.contains(answer),
            "{flag}: {}",
            refused.stderr
        );
    }
    let taken = [
        "run",
        "--rm",
        "--init",
        "-i",
        "oci:image",
        "sh",
        "-c",
        "echo fine",
    ];
    assert_eq!(ohoci.run(taken).exits(0).stdout, "fine\n");
}
