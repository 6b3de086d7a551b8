//! Starts bubblewrap so that everything ends with whoever starts it, in namespaces around its own,
//! and as an ordinary user also where root starts it.

mod checks;

use std::ffi::{CString, OsString};
use std::io::{self, PipeReader, PipeWriter, Read as _, Seek as _, Write as _};
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::abstract_sockets;
use super::bubblewrap::{Mounts, Session, options};
use super::denial;
use super::description::{Network, Sandbox};
use super::host_user::{HostUser, NoHostUser};
use super::joining::Joining;
use super::kernel::{self, Steps, TerminalOf};
use super::launched::{Launched, take};
use super::limiter::LimitGroup;
use super::mounting::{Namespaces, Over};
use super::overlay::{Overlay, Tools};
use super::remove::others_can_reach;
use super::report::{REPORT, Report, Step};
use super::seccomp;
use super::session_leader;
use super::staging::{PrepareError, Staging, Use};
use super::words;
use checks::mount_point;

/// The numbers under which bubblewrap finds what it is handed.
const OPTIONS: i32 = 3;
const STATUS: i32 = 4;
const GATE: i32 = 5;
const FILTER: i32 = 6;

/// What fails where a control group takes nothing in.
const JOIN: &str = "join a control group";

/// What is started.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) bubblewrap: PathBuf,
    pub(crate) sandbox: Sandbox,
    pub(crate) command: Vec<OsString>,
    /// What the root file system is mounted from, where it is not there already.
    pub(crate) overlay: Option<Overlay>,
    /// What mounts it in user space, where the kernel does not.
    pub(crate) fuse: Option<Tools>,
    /// What all of it is limited by.
    pub(crate) limits: Option<Arc<LimitGroup>>,
    /// Whether its files are limited one by one, too.
    pub(crate) limits_files: bool,
    /// Standard input, output and error; this process's own where there is none.
    pub(crate) streams: [Option<OwnedFd>; 3],
    /// Whether these are a terminal of the program's own.
    pub(crate) has_terminal: bool,
    /// Ports of its network that are listened on for others.
    pub(crate) ports: Vec<u16>,
    /// A script that a shell of this machine runs in place of bubblewrap, with the path of the root
    /// file system as `$1`: to see what the namespaces have.
    pub(crate) script: Option<String>,
}

struct Started {
    group: Option<fs_err::File>,
    child: Child,
    first: Option<OwnedFd>,
    first_number: Option<Pid>,
    status: PipeReader,
    gate: PipeWriter,
    listeners: Vec<TcpListener>,
}

/// Why it was not started.
struct Refused {
    error: PrepareError,
    /// Whether there can be no namespaces around bubblewrap's.
    no_namespaces: bool,
}

impl From<PrepareError> for Refused {
    fn from(error: PrepareError) -> Self {
        Self {
            error,
            no_namespaces: false,
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        PrepareError::new("start bwrap", error).into()
    }
}

/// A mount of the kernel's: the directory that it is named from, and its options.
type Mount = (CString, CString);

impl Launch {
    /// Starts it.
    ///
    /// # Errors
    /// When something of it cannot be prepared or started.
    pub(crate) fn start(self) -> Result<Launched, PrepareError> {
        let (tell, told) = mpsc::channel();
        let (last, lasting) = mpsc::channel::<()>();
        let thread = move || {
            let _ = tell.send(self.start_here());
            // Ends when no sender is left.
            let _ = lasting.recv();
        };
        std::thread::Builder::new()
            .name("sandbox".to_owned())
            .spawn(thread)
            .map_err(|error| PrepareError::new("start a thread", error))?;
        let started = told
            .recv()
            .map_err(|error| PrepareError::new("start a sandbox", io::Error::other(error)))??;
        Ok(Launched {
            group: started.group,
            child: started.child,
            first: started.first,
            first_number: started.first_number,
            status: Some(started.status),
            gate: Some(started.gate),
            listeners: started.listeners,
            _thread: last,
        })
    }

    /// The same in the calling thread, which has to last.
    fn start_here(mut self) -> Result<Started, PrepareError> {
        self.check_streams()?;
        self.check_ports()?;
        // Where bubblewrap mounts less there are fewer.
        let most = self.words(Mounts::Left).len();
        words::check(&self.command, &self.sandbox.environment, most)?;
        let user = HostUser::find().map_err(|error| PrepareError {
            hint: Some(NoHostUser::HINT),
            ..PrepareError::new("start a sandbox", io::Error::other(error))
        })?;
        if self.sandbox.network == Network::Host {
            abstract_sockets::keep_away();
        }
        self.check_set_ids()?;
        let written = self.written();
        let is_exposed = written.iter().any(|path| others_can_reach(path, &written));
        if is_exposed && self.sandbox.calls.nested_namespaces {
            let why = "others on this machine could reach what it writes, and run it with rights that it gave to it";
            return Err(PrepareError {
                hint: Some("have them not enter a directory above it (chmod 700)"),
                ..PrepareError::new("allow namespaces of its own", io::Error::other(why))
            });
        }
        let filter = seccomp::filter(self.sandbox.calls, !written.is_empty());
        if self.fuse.is_some() {
            self.check_mount_points()?;
        }
        if let Some(overlay) = &self.overlay {
            let failed = |error| PrepareError::new("prepare an overlay", error);
            overlay.prepare().map_err(failed)?;
        }
        let lower = match user {
            Some(user) => {
                let mut staging = Staging::new(user, &self.bubblewrap)?;
                let lower = self.stage(&mut staging)?;
                staging.mount()?;
                self.give_streams(user);
                lower
            }
            None => self.overlay.as_ref().map(Overlay::numbers),
        };
        match self.spawn(user, lower.as_deref(), &filter, true) {
            // A machine may give namespaces to bubblewrap only.
            Err(refused)
                if refused.no_namespaces
                    && user.is_none()
                    && self.overlay.is_none()
                    && !self.has_terminal
                    && self.sandbox.network != Network::DeadEnd =>
            {
                self.check_mount_points()?;
                self.spawn(user, None, &filter, false)
            }
            started => started,
        }
        .map_err(|refused| refused.error)
    }

    /// Has everything be where it can be reached, and the description say that it is there. Gives
    /// where what an overlay stands on is.
    fn stage(&mut self, staging: &mut Staging) -> Result<Option<String>, PrepareError> {
        let lower = match &mut self.overlay {
            Some(overlay) => {
                let directory = staging.take(overlay.directory(), Use::Layer)?;
                let lower = overlay
                    .lower()
                    .iter()
                    .map(|lower| {
                        let taken = staging.take(lower, Use::Layer)?;
                        Ok(taken.display().to_string())
                    })
                    .collect::<Result<Vec<_>, PrepareError>>()?;
                overlay.is_now_in(directory);
                self.sandbox.root = overlay.root();
                Some(lower.join(":"))
            }
            None => {
                let used = use_of(self.sandbox.writable);
                self.sandbox.root = staging.take(&self.sandbox.root, used)?;
                None
            }
        };
        for bind in &mut self.sandbox.binds {
            bind.source = staging.take(&bind.source, use_of(bind.writable))?;
        }
        Ok(lower)
    }

    fn spawn(
        &self,
        user: Option<HostUser>,
        lower: Option<&str>,
        filter: &[u8],
        with_namespaces: bool,
    ) -> Result<Started, Refused> {
        // What is only mounted later on has nothing put over it here.
        let mounts = match with_namespaces && self.fuse.is_none() {
            true => Mounts::Made,
            false => Mounts::Left,
        };
        let (status, status_writer) = io::pipe()?;
        let (gate_reader, gate) = io::pipe()?;
        let (mut report, report_writer) = io::pipe()?;
        let leader = self.leader();
        let mut bwrap = self.command(lower.unwrap_or_default(), leader.is_some());
        let streams = self.streams.each_ref().map(|stream| {
            let stream = stream.as_ref();
            stream.map_or(Ok(Stdio::inherit()), |stream| {
                stream.try_clone().map(Into::into)
            })
        });
        let [input, output, error] = streams;
        bwrap.stdin(input?).stdout(output?).stderr(error?);
        let limits = self.limits.as_deref();
        let groups = limits.map(LimitGroup::directories).unwrap_or_default();
        let joining = Arc::new(Joining::open(groups)?);
        let namespaces = match with_namespaces {
            true => Some(self.namespaces(user, lower, mounts)?),
            false => None,
        };
        let has_namespaces = namespaces.is_some();
        let doors = match self.ports.is_empty() {
            true => None,
            false => Some(UnixStream::pair()?),
        };
        let (ours, theirs) = doors.unzip();
        let steps = Steps {
            parent: rustix::process::getpid(),
            groups: Arc::clone(&joining),
            resources: limits.map_or_else(Vec::new, |limits| limits.resources(self.limits_files)),
            user: user.map(|user| (user.uid(), user.gid())),
            namespaces,
            terminal: self.has_terminal.then_some(match leader {
                Some(_) => TerminalOf::Program,
                None => TerminalOf::Bubblewrap,
            }),
            handed: vec![
                (self.options(mounts)?, OPTIONS),
                (status_writer.into(), STATUS),
                (gate_reader.into(), GATE),
                (in_memory("seccomp-filter", filter)?, FILTER),
            ]
            .into_iter()
            .chain(leader.map(|leader| (leader, session_leader::NUMBER)))
            .collect(),
            doors: theirs.map(|theirs| (self.ports.clone(), theirs.into())),
            report: report_writer.into(),
        };
        kernel::before_exec(&mut bwrap, steps);
        let spawned = bwrap.spawn();
        // Our ends of what it was handed go with the command; or else no pipe would ever end.
        drop(bwrap);
        let mut bytes = Vec::new();
        let read = report.read_to_end(&mut bytes);
        let reports: Vec<Report> = bytes.chunks(REPORT).filter_map(Report::parse).collect();
        let child = spawned.map_err(|error| self.refusal(&reports, error))?;
        let mut started = Guard(Some(child));
        read?;
        let first = reports.iter().find_map(|report| match report {
            Report::First(pid, is_in_group) => Some((Pid::from_raw(*pid)?, *is_in_group)),
            Report::Failed(..) => None,
        });
        let first_number = first.map(|(pid, _)| pid);
        let is_in_group = first.is_some_and(|(_, is_in_group)| is_in_group);
        let first = match first_number {
            Some(first) => match pidfd_open(first, PidfdFlags::empty()) {
                Ok(first) => Some(first),
                // It is gone already.
                Err(Errno::SRCH) => None,
                Err(errno) => return Err(io::Error::from(errno).into()),
            },
            None if has_namespaces => {
                return Err(io::Error::other("nothing was started").into());
            }
            None => None,
        };
        let bwrap = first_number.or_else(|| started.0.as_ref().map(Pid::from_child));
        let group = match is_in_group {
            true => None,
            false => joining.left()?,
        };
        if let (Some(group), Some(bwrap)) = (&group, bwrap) {
            take(group, bwrap).map_err(|error| PrepareError::new(JOIN, error))?;
        }
        let listeners = match ours {
            Some(ours) => kernel::take_files(ours.as_fd(), self.ports.len())?,
            None => Vec::new(),
        };
        let child = started.0.take();
        Ok(Started {
            group,
            child: child.ok_or_else(|| io::Error::other("nothing was started"))?,
            first,
            first_number,
            status,
            gate,
            listeners: listeners.into_iter().map(TcpListener::from).collect(),
        })
    }

    /// Bubblewrap's command line, and what stands before it.
    fn command(&self, lower: &str, has_leader: bool) -> Command {
        let mut line = match (&self.overlay, &self.fuse) {
            (Some(overlay), Some(tools)) => overlay.mounted_by(tools, lower),
            _ => Vec::new(),
        };
        match &self.script {
            Some(script) => {
                line.extend(["/bin/sh", "-c", script, "sh"].map(OsString::from));
                line.push(self.sandbox.root.clone().into());
            }
            None => line.push(self.bubblewrap.clone().into()),
        }
        let mut line = line.into_iter();
        let mut bwrap = Command::new(line.next().unwrap_or_default());
        // Nothing of ours is to be seen inside, and what the image sets is not to reach bubblewrap:
        // the loader of this machine would obey it.
        bwrap.args(line).env_clear().process_group(0);
        if self.script.is_some() {
            return bwrap;
        }
        for (option, number) in [
            ("--args", OPTIONS),
            ("--json-status-fd", STATUS),
            ("--block-fd", GATE),
            ("--seccomp", FILTER),
        ] {
            bwrap.arg(option).arg(number.to_string());
        }
        match has_leader {
            true => bwrap
                .arg("--")
                .args(session_leader::command(&self.sandbox, &self.command)),
            false => bwrap.arg("--").args(&self.command),
        };
        bwrap
    }

    /// What gives the program its terminal, where it has one: it is started by `/proc`, which has to be the
    /// sandbox's own for that.
    fn leader(&self) -> Option<OwnedFd> {
        let mut over = self.sandbox.over_own().into_iter();
        let is_covered = over.any(|(path, _)| path.starts_with("/proc"));
        (self.has_terminal && !is_covered)
            .then(session_leader::open)
            .flatten()
    }

    /// Bubblewrap's options in a file without a name: on the command line every user of this machine
    /// could read the environment.
    fn options(&self, mounts: Mounts) -> io::Result<OwnedFd> {
        let mut words = Vec::new();
        for option in self.words(mounts) {
            words.extend_from_slice(option.as_bytes());
            words.push(0);
        }
        in_memory("bwrap-options", &words)
    }

    fn words(&self, mounts: Mounts) -> Vec<OsString> {
        let session = match self.has_terminal {
            true => Session::OfTerminal,
            false => Session::New,
        };
        options(&self.sandbox, mounts, session, self.temporary_size())
    }

    /// Most bytes of each file system in memory.
    fn temporary_size(&self) -> Option<u64> {
        self.limits.as_ref()?.temporary_size()
    }

    fn namespaces(
        &self,
        user: Option<HostUser>,
        lower: Option<&str>,
        mounts: Mounts,
    ) -> io::Result<Namespaces> {
        let outside = user.map_or_else(
            || {
                [
                    rustix::process::geteuid().as_raw(),
                    rustix::process::getegid().as_raw(),
                ]
            },
            |user| [user.user, user.group],
        );
        let overlay: Option<Mount> = match (&self.overlay, lower, &self.fuse) {
            (Some(overlay), Some(lower), None) => Some((
                CString::new(overlay.directory().as_os_str().as_bytes())?,
                CString::new(overlay.options(lower))?,
            )),
            _ => None,
        };
        let mut over = Vec::new();
        if mounts == Mounts::Made {
            for (path, what) in self.sandbox.over() {
                over.push(Over {
                    destination: CString::new(
                        path.strip_prefix("/")
                            .unwrap_or(path)
                            .as_os_str()
                            .as_bytes(),
                    )?,
                    is_directory: what.is_none_or(|bind| bind.source.is_dir()),
                    writable: what.is_none_or(|bind| bind.writable),
                    source: match what {
                        Some(bind) => Some(CString::new(bind.source.as_os_str().as_bytes())?),
                        None => None,
                    },
                });
            }
        }
        let read_only = mounts == Mounts::Made && !self.sandbox.writable;
        let root = CString::new(self.sandbox.root.as_os_str().as_bytes())?;
        Ok(Namespaces {
            maps: outside.map(|id| format!("0 {id} 1").into_bytes()),
            dead_end: self.sandbox.network == Network::DeadEnd,
            overlay,
            root,
            read_only,
            over,
            temporary_size: match self.temporary_size() {
                Some(size) => Some(CString::new(size.to_string())?),
                None => None,
            },
        })
    }

    /// What the reports of a process that could not be started say.
    fn refusal(&self, reports: &[Report], error: io::Error) -> Refused {
        let failed = reports.iter().find_map(|report| match report {
            Report::Failed(step, at, errno) => Some((*step, *at, *errno)),
            Report::First(..) => None,
        });
        let Some((step, at, errno)) = failed else {
            return error.into();
        };
        let over = self.sandbox.over();
        let destination = over.get(usize::from(at)).map(|(path, _)| *path);
        let path = match at {
            254 => Path::new("/proc"),
            255 => Path::new("/dev"),
            _ => destination.unwrap_or(&self.sandbox.root),
        };
        let what = match step {
            Step::MountPoint => return mount_point(path, errno).into(),
            Step::Resource => "limit what runs".to_owned(),
            Step::User => "become another user".to_owned(),
            Step::Namespaces => {
                let reason = denial::reason();
                let error = reason.map_or_else(|| errno.into(), io::Error::other);
                return Refused {
                    error: PrepareError {
                        hint: Some(denial::HINT),
                        ..PrepareError::new("make namespaces", error)
                    },
                    no_namespaces: true,
                };
            }
            Step::Network => "make a network that leads nowhere".to_owned(),
            Step::Overlay => "mount an overlay".to_owned(),
            Step::Root => format!("mount the root file system {}", path.display()),
            Step::Source | Step::Mount => format!("mount over {}", path.display()),
            Step::Terminal => "take a terminal".to_owned(),
            Step::Groups => JOIN.to_owned(),
            Step::Fork | Step::Files => "start bwrap".to_owned(),
        };
        Refused {
            error: PrepareError::new(what, errno),
            // Linux before 5.12 cannot prepare mounts as we do.
            no_namespaces: errno == Errno::NOSYS,
        }
    }
}

fn use_of(writable: bool) -> Use {
    match writable {
        true => Use::Writable,
        false => Use::ReadOnly,
    }
}

/// A file without a name on any disk, to be read from its beginning.
fn in_memory(name: &str, content: &[u8]) -> io::Result<OwnedFd> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file.into())
}

impl Launch {
    /// One for a script, to be completed.
    pub(super) fn of_script(root: PathBuf) -> Self {
        Self {
            bubblewrap: PathBuf::new(),
            sandbox: Sandbox {
                root,
                writable: true,
                binds: Vec::new(),
                temporary: Vec::new(),
                environment: Vec::new(),
                directory: PathBuf::from("/"),
                user: 0,
                group: 0,
                network: Network::None,
                host_name: String::new(),
                calls: seccomp::Calls::default(),
            },
            command: Vec::new(),
            overlay: None,
            fuse: None,
            limits: None,
            limits_files: false,
            streams: [None, None, None],
            has_terminal: false,
            ports: Vec::new(),
            script: None,
        }
    }
}

/// Has a shell of this machine run a script in the namespaces around a sandbox, see
/// [`Launch::script`]. Gives whether it succeeded, and what it wrote.
pub(super) fn script(mut launch: Launch, text: &str) -> io::Result<(bool, String)> {
    let (mut output, writer) = io::pipe()?;
    launch.script = Some(text.to_owned());
    let null = fs_err::File::open("/dev/null")?;
    let error = writer.try_clone()?;
    launch.streams = [
        Some(null.into_file().into()),
        Some(writer.into()),
        Some(error.into()),
    ];
    let mut launched = launch.start().map_err(io::Error::other)?;
    let mut said = String::new();
    output.read_to_string(&mut said)?;
    Ok((launched.wait()?.success(), said))
}

/// Kills a process that is not wanted any more.
struct Guard(Option<Child>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests;
