//! The calls of the kernel that no kept crate makes safe: what a new process does between fork and
//! exec, and a thread's own mounts.
//!
//! Between fork and exec the child of a process with threads may neither allocate memory nor take a
//! lock. So everything it needs is made ready in [`Steps`] beforehand, and it makes nothing but
//! calls of the kernel, by `rustix` with names that end in a zero byte already.
#![expect(unsafe_code, reason = "fork and exec have no safe interface")]

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{DumpableBehavior, Gid, Pid, Resource, Rlimit, Signal, Uid, setrlimit};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::answers::MOST_PORTS;
use super::joining::Joining;
use super::mounting::Namespaces;
use super::report::{Failure, Report, Step, at};

/// Above every number under which files are handed on.
const ABOVE_HANDED: RawFd = 64;

/// What a new process does before it turns into another program.
#[derive(Debug)]
pub(super) struct Steps {
    /// Who starts it: it must not outlive them.
    pub(super) parent: Pid,
    /// The control groups that it is to be in, with all that it starts.
    pub(super) groups: Arc<Joining>,
    /// What each of its processes may use.
    pub(super) resources: Vec<(Resource, Rlimit)>,
    /// Whom it becomes, where it is root: a user and its group.
    pub(super) user: Option<(Uid, Gid)>,
    /// The namespaces around bubblewrap's, where there can be some.
    pub(super) namespaces: Option<Namespaces>,
    /// How standard input, where it is a terminal of the program's own, becomes that.
    pub(super) terminal: Option<TerminalOf>,
    /// What is handed on, and under which numbers, which are below 64.
    pub(super) handed: Vec<(OwnedFd, RawFd)>,
    /// Ports of a network that leads nowhere, and where the sockets go that listen on them.
    pub(super) doors: Option<(Vec<u16>, OwnedFd)>,
    /// Takes [`Report`]s.
    pub(super) report: OwnedFd,
}

/// Whose session has a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TerminalOf {
    /// Bubblewrap's.
    Bubblewrap,
    /// The program's, which takes it itself, see [`session_leader`](super::session_leader).
    Program,
}

/// Has a command's process take these steps before it turns into the program.
///
/// Where there are namespaces, the program is the first process in its process namespace, and the
/// command's process one that waits for it and ends as it does: with that everything ends.
pub(super) fn before_exec(command: &mut Command, mut steps: Steps) {
    let take = move || {
        steps.take().map_err(|(step, at, errno)| {
            let _ = rustix::io::write(&steps.report, &Report::Failed(step, at, errno).bytes());
            io::Error::from(errno)
        })
    };
    // SAFETY: between fork and exec only calls of the kernel are made, see above: nothing is
    // allocated or freed, no lock is taken, and no Rust code of other threads is waited for.
    unsafe {
        command.pre_exec(take);
    }
}

impl Steps {
    fn take(&mut self) -> Result<(), Failure> {
        end_with(self.parent);
        if let Some((user, group)) = self.user {
            become_user(user, group).map_err(at(Step::User))?;
            // Changing the user has let go of the parent.
            end_with(self.parent);
        }
        // What a program writes has the modes that it would have in a container, whoever runs it.
        rustix::process::umask(Mode::from_raw_mode(0o022));
        new_session_keyring();
        if let Some(namespaces) = &self.namespaces {
            enter(&namespaces.maps, namespaces.dead_end).map_err(at(Step::Namespaces))?;
            if namespaces.dead_end {
                lead_nowhere().map_err(at(Step::Network))?;
                if let Some((ports, to)) = &self.doors {
                    listen_on(ports, to.as_fd()).map_err(at(Step::Network))?;
                }
            }
            namespaces.mount()?;
            self.start_first()?;
        }
        self.groups.join().map_err(at(Step::Groups))?;
        if let Some(of) = self.terminal {
            begin_session(of).map_err(at(Step::Terminal))?;
        }
        for (resource, limit) in &self.resources {
            let limit = Rlimit {
                current: limit.current,
                maximum: limit.maximum,
            };
            setrlimit(*resource, limit).map_err(at(Step::Resource))?;
        }
        self.hand_on().map_err(at(Step::Files))
    }

    /// Goes on in a new process, the first in its namespace; this one waits for its end and then
    /// ends itself.
    fn start_first(&self) -> Result<(), Failure> {
        let (watched, held) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(at(Step::Fork))?;
        let made = self.groups.unified().and_then(fork_into);
        let is_in_group = made.is_some();
        // SAFETY: the call has the arguments of fork(2): neither a stack nor any pointer. It makes a
        // copy of a process that has one thread, being a copy itself.
        let fork = || unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        let pid = i32::try_from(made.unwrap_or_else(fork)).unwrap_or(-1);
        if pid < 0 {
            return Err((Step::Fork, 0, Errno::AGAIN));
        }
        if pid > 0 {
            let _ = rustix::io::write(&self.report, &Report::First(pid, is_in_group).bytes());
            watch(pid, &held);
        }
        drop(held);
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        // Whether it has died before that was said.
        let mut ends = [PollFd::new(&watched, PollFlags::IN)];
        let now = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        if poll(&mut ends, Some(&now)) != Ok(0) {
            exit(1);
        }
        Ok(())
    }

    /// Puts what is handed on under its numbers; everything else but the standard streams is closed
    /// by exec.
    fn hand_on(&self) -> rustix::io::Result<()> {
        let mut last = 2;
        // Away from the numbers first, which may be each other's.
        let mut moved = [-1; 16];
        for ((file, _), moved) in self.handed.iter().zip(&mut moved) {
            let copy = rustix::io::fcntl_dupfd_cloexec(file, ABOVE_HANDED)?;
            *moved = copy.as_raw_fd();
            std::mem::forget(copy);
        }
        for ((_, number), moved) in self.handed.iter().zip(moved) {
            // SAFETY: dup2(2) with plain numbers.
            if unsafe { libc::dup2(moved, *number) } < 0 {
                return Err(Errno::BADF);
            }
            last = last.max(*number);
        }
        close_on_exec_above(last);
        Ok(())
    }
}

/// Forks with the copy in a control group of version 2 from its beginning (clone3(2), Linux 5.7). `None`
/// where that cannot be done: then there is no copy.
fn fork_into(group: BorrowedFd<'_>) -> Option<libc::c_long> {
    /// `struct clone_args` (`linux/sched.h`).
    #[repr(C)]
    #[derive(Default)]
    struct Arguments {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        group: u64,
    }
    /// `CLONE_INTO_CGROUP`.
    const INTO_GROUP: u64 = 0x2_0000_0000;
    let arguments = Arguments {
        flags: INTO_GROUP,
        exit_signal: u64::try_from(libc::SIGCHLD).ok()?,
        group: u64::try_from(group.as_raw_fd()).ok()?,
        ..Arguments::default()
    };
    // SAFETY: the structure is one, of the size that is said, and lasts as long as the call, which makes
    // a copy as fork(2) does: there is neither a stack nor any other pointer in it.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of::<Arguments>(),
        )
    };
    (pid >= 0).then_some(pid)
}

/// Has this process die with its parent, or now where that has died.
fn end_with(parent: Pid) {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    if rustix::process::getppid() != Some(parent) {
        exit(1);
    }
}

fn exit(code: i32) -> ! {
    // SAFETY: ends the process without running anything of it.
    unsafe { libc::_exit(code) }
}

/// Leaves the session that this process's own terminal belongs to. Where bubblewrap has standard input as
/// its terminal, it is not ended by the signals of keys, being the first process of a namespace: only the
/// program gets them.
fn begin_session(terminal: TerminalOf) -> rustix::io::Result<()> {
    rustix::process::setsid()?;
    match terminal {
        TerminalOf::Bubblewrap => rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()),
        TerminalOf::Program => Ok(()),
    }
}

fn become_user(user: Uid, group: Gid) -> rustix::io::Result<()> {
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(group, group, group)?;
    rustix::thread::set_thread_res_uid(user, user, user)?;
    // Its own files in /proc would belong to root otherwise.
    rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)
}

/// A session keyring of its own (keyctl(2)): what is in this process's one is not found in it. Where
/// that cannot be made, the filter of calls still keeps programs from keyrings.
fn new_session_keyring() {
    const JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null pointer stands for a keyring without a name.
    unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        );
    }
}

fn close_on_exec_above(last: RawFd) {
    let first = libc::c_uint::try_from(last + 1).unwrap_or(3);
    // SAFETY: changes a flag of descriptors, which are closed by exec.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if done != 0 {
        // Linux before 5.11.
        for number in last + 1..65_536 {
            // SAFETY: as above; numbers that are not open are refused.
            unsafe {
                libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
    }
}

/// Waits for the first process of the namespaces and ends as it did. Keeps nothing open but standard
/// streams and what says that it lives.
fn watch(first: i32, held: &OwnedFd) -> ! {
    const HELD: RawFd = 3;
    // It still has a copy of ohoci's memory, in which there may be credentials.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // SAFETY: plain numbers; nothing here uses what is closed.
    unsafe {
        libc::dup2(held.as_raw_fd(), HELD);
        if libc::syscall(libc::SYS_close_range, HELD + 1, libc::c_uint::MAX, 0) != 0 {
            for number in HELD + 1..65_536 {
                libc::close(number);
            }
        }
        let mut status = 0;
        while libc::waitpid(first, &raw mut status, 0) < 0 {
            if *libc::__errno_location() != libc::EINTR {
                exit(1);
            }
        }
        exit(if libc::WIFEXITED(status) {
            libc::WEXITSTATUS(status)
        } else {
            128 + libc::WTERMSIG(status)
        })
    }
}

/// Enters new namespaces, in which this process is root.
fn enter(maps: &[Vec<u8>; 2], with_network: bool) -> rustix::io::Result<()> {
    let mut flags = UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWPID;
    if with_network {
        flags |= UnshareFlags::NEWNET;
    }
    // SAFETY: the table of descriptors stays as it is.
    unsafe { unshare_unsafe(flags) }?;
    let files = [
        c"/proc/self/setgroups",
        c"/proc/self/uid_map",
        c"/proc/self/gid_map",
    ];
    let [users, groups] = maps;
    for (path, text) in files.into_iter().zip([b"deny", users.as_slice(), groups]) {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty())?;
        rustix::io::write(file, text)?;
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change(c"/", private)
}

/// Sets up the loopback device of a new network, and has every way lead to it (netdevice(7), route(4)):
/// what is sent there and is not for this network is dropped, without an answer.
fn lead_nowhere() -> rustix::io::Result<()> {
    let family = libc::sa_family_t::try_from(libc::AF_INET).unwrap_or_default();
    let up = libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
    // SAFETY: the calls take plain structures, of which zeros are valid, and a name that lasts.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(last_error());
        }
        let mut device: libc::ifreq = std::mem::zeroed();
        for (to, from) in device.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
            *to = libc::c_char::from_ne_bytes([*from]);
        }
        device.ifr_ifru.ifru_flags = up;
        let mut route: libc::rtentry = std::mem::zeroed();
        route.rt_dst.sa_family = family;
        route.rt_genmask.sa_family = family;
        route.rt_flags = libc::RTF_UP;
        route.rt_dev = c"lo".as_ptr().cast_mut();
        let done = libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw mut device) == 0
            && libc::ioctl(socket, libc::SIOCADDRT, &raw mut route) == 0;
        let result = match done {
            true => Ok(()),
            false => Err(last_error()),
        };
        libc::close(socket);
        result
    }
}

/// Listens on ports of 127.0.0.1 in this network, and sends the sockets to who has the other end.
fn listen_on(ports: &[u16], to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let mut sockets = [-1; MOST_PORTS];
    let mut count = 0;
    for (port, socket) in ports.iter().zip(&mut sockets) {
        *socket = listener(*port)?;
        count += 1;
    }
    send_files(sockets.get(..count).unwrap_or_default(), to)
}

/// A socket that listens on 127.0.0.1.
fn listener(port: u16) -> rustix::io::Result<RawFd> {
    /// How many connections wait until they are taken.
    const WAITING: libc::c_int = 128;
    let family = libc::sa_family_t::try_from(libc::AF_INET).unwrap_or_default();
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_in>()).unwrap_or_default();
    // SAFETY: the calls take plain structures of the sizes that are said, of which zeros are valid.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(last_error());
        }
        let mut address: libc::sockaddr_in = std::mem::zeroed();
        address.sin_family = family;
        address.sin_port = port.to_be();
        address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        let is_bound = libc::bind(socket, (&raw const address).cast(), length) == 0;
        match is_bound && libc::listen(socket, WAITING) == 0 {
            true => Ok(socket),
            false => Err(last_error()),
        }
    }
}

/// Room for what is sent beside a message, aligned as its head is.
#[repr(C, align(8))]
struct Beside([u8; 64]);

/// Sends files by a Unix socket (unix(7), `SCM_RIGHTS`), no more than [`MOST_PORTS`].
fn send_files(files: &[RawFd], to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let size = libc::c_uint::try_from(size_of_val(files)).map_err(|_| Errno::INVAL)?;
    let mut beside = Beside([0; 64]);
    let mut byte = [0_u8];
    // SAFETY: the message names a byte and room that last as long as the call. The room is larger than
    // what is put there, which is the head and no more than four numbers.
    unsafe {
        let mut part = libc::iovec {
            iov_base: byte.as_mut_ptr().cast(),
            iov_len: byte.len(),
        };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = beside.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size).try_into().unwrap_or_default();
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        if head.is_null() {
            return Err(Errno::INVAL);
        }
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(size).try_into().unwrap_or_default();
        for (position, file) in files.iter().enumerate() {
            let at = libc::CMSG_DATA(head).cast::<RawFd>().add(position);
            at.write_unaligned(*file);
        }
        match libc::sendmsg(to.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) {
            1 => Ok(()),
            _ => Err(last_error()),
        }
    }
}

/// Takes so many files that a process of ours has sent before it turned into another program.
pub(super) fn take_files(from: BorrowedFd<'_>, count: usize) -> io::Result<Vec<OwnedFd>> {
    let size = libc::c_uint::try_from(count.min(MOST_PORTS) * size_of::<RawFd>());
    let size = size.map_err(io::Error::other)?;
    let mut beside = Beside([0; 64]);
    let mut byte = [0_u8];
    // SAFETY: the message names a byte and room of the sizes that are said, which last as long as the
    // call. What is read of the room is what the kernel says that it has put there, and the numbers are
    // those of new files that nothing else knows.
    unsafe {
        let mut part = libc::iovec {
            iov_base: byte.as_mut_ptr().cast(),
            iov_len: byte.len(),
        };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = beside.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size).try_into().unwrap_or_default();
        if libc::recvmsg(from.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        let is_whole = !head.is_null()
            && (*head).cmsg_type == libc::SCM_RIGHTS
            && is_same((*head).cmsg_len, libc::CMSG_LEN(size));
        if !is_whole {
            return Err(io::Error::other("the sandbox's network has no such ports"));
        }
        let file = |position| {
            let at = libc::CMSG_DATA(head).cast::<RawFd>().add(position);
            OwnedFd::from_raw_fd(at.read_unaligned())
        };
        Ok((0..count.min(MOST_PORTS)).map(file).collect())
    }
}

/// Whether two lengths are the same; of what type they are depends on the C library.
fn is_same<T: Copy + PartialEq + TryFrom<libc::c_uint>>(length: T, other: libc::c_uint) -> bool {
    T::try_from(other).is_ok_and(|other| length == other)
}

fn last_error() -> Errno {
    // SAFETY: reads a number of this thread's.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// Gives the calling thread, and what it starts from now on, mounts of its own.
pub(super) fn own_mounts() -> rustix::io::Result<()> {
    // SAFETY: the table of descriptors stays as it is; the thread gets a working directory of its
    // own, which is nothing that memory safety depends on.
    unsafe { unshare_unsafe(UnshareFlags::FS | UnshareFlags::NEWNS) }?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change(c"/", private)
}

/// A user namespace with these maps, of a process that is gone. Takes root.
pub(super) fn user_namespace(users: &[u8], groups: &[u8]) -> io::Result<OwnedFd> {
    let (ready, is_ready) = io::pipe()?;
    let (waiting, go_on) = io::pipe()?;
    // SAFETY: as in `start_first`; the copy makes only calls of the kernel, and ends.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    let pid = i32::try_from(pid).unwrap_or(-1);
    if pid == 0 {
        let mut byte = [0];
        // SAFETY: only descriptors of this copy are closed, so that the pipe ends with the original;
        // and the table of descriptors is not unshared.
        unsafe {
            libc::close(go_on.as_raw_fd());
            if unshare_unsafe(UnshareFlags::NEWUSER).is_err() {
                exit(1);
            }
        }
        let _ = rustix::io::write(&is_ready, b"r");
        let _ = rustix::io::read(&waiting, &mut byte);
        exit(0);
    }
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    drop(is_ready);
    let mut byte = [0];
    let made = rustix::io::read(&ready, &mut byte).map_err(io::Error::from);
    let opened = made.and_then(|count| {
        if count == 0 {
            return Err(io::Error::other("no user namespace can be made"));
        }
        let write = |name: &str, text: &[u8]| {
            let file = rustix::fs::open(
                format!("/proc/{pid}/{name}"),
                OFlags::WRONLY | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            rustix::io::write(file, text).map(drop)
        };
        write("uid_map", users)?;
        write("gid_map", groups)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let path = format!("/proc/{pid}/ns/user");
        Ok(rustix::fs::open(path, flags, Mode::empty())?)
    });
    drop(go_on);
    if let Some(pid) = Pid::from_raw(pid) {
        while let Err(Errno::INTR) =
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
        {}
    }
    opened
}
