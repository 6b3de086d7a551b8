//! A level in the making: a sandbox whose root file system is the levels below, and whose changes
//! land in a directory of their own.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;

use super::error::{BuildError, Level};
use ohoci_layer::Directory;
use ohoci_sandbox::merged::{Merged, Node};
use ohoci_sandbox::overlay::Overlay;
use ohoci_sandbox::{
    Bind, Bubblewrap, Calls, Ended, Exceeded, HOST_NAME, Limiter, Network, RunError, Sandbox,
    Streams, local_hosts,
};

/// Where what only a build needs is seen inside. It is in memory, and in no layer.
pub(crate) const SCRATCH: &str = "/run/ohoci";

/// The programs that it takes.
#[derive(Clone, Debug)]
pub struct Tools {
    bubblewrap: Bubblewrap,
    limiter: Arc<Limiter>,
}

impl Tools {
    /// Looks for them in the directories of a `PATH`; each program that they run is limited so.
    ///
    /// # Errors
    /// The name of the first that is missing.
    pub fn find(path: Option<&OsStr>, limiter: Arc<Limiter>) -> Result<Self, &'static str> {
        Ok(Self {
            bubblewrap: Bubblewrap::find(path).map_err(|_| "bwrap")?,
            limiter,
        })
    }

    /// What limits programs.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }
}

/// Why a program in a stage did not do what it was to.
#[derive(Debug)]
pub(crate) enum StageError {
    /// It could not be run.
    Run(RunError),
    /// What it needs could not be put in place.
    Io(io::Error),
    /// It ended with an exit code that is not 0.
    Failed(u8),
    /// It came up against a limit.
    Limit(Exceeded),
}

impl From<io::Error> for StageError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl StageError {
    /// The same as an error of a level, with the end of the log.
    #[must_use]
    pub(crate) fn of(self, level: Level, step: &str, log: &Path) -> BuildError {
        let (why, hint) = match self {
            Self::Run(error) => (error.to_string(), error.hint()),
            Self::Io(error) => (error.to_string(), None),
            Self::Failed(code) => (format!("it ended with exit code {code}"), None),
            Self::Limit(exceeded) => (exceeded.to_string(), Some(exceeded.hint())),
        };
        let error = BuildError::new(level, step, why).logged(log);
        match hint {
            Some(hint) => error.hinted(hint),
            None => error,
        }
    }
}

/// What runs in a stage.
#[derive(Clone, Debug)]
pub(crate) struct Program<'a> {
    /// The command line.
    pub command: &'a [&'a str],
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    /// Files and directories of this machine that it sees.
    pub binds: Vec<Bind>,
    /// What it can reach.
    pub network: Network,
    /// Where it starts.
    pub directory: &'a str,
    /// Whether giving files to other users seems to succeed, as what sets a system up expects.
    pub gives_files_away: bool,
}

/// A directory for changes, over others.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    directory: PathBuf,
    overlay: Overlay,
    /// How many of the directories that it stands on are the level's own.
    own: usize,
}

impl Stage {
    /// Makes the directories of a stage in one that is there and has no other use.
    ///
    /// # Errors
    /// When they cannot be made, or what is below is not there.
    pub(crate) fn create(directory: &Path, below: Vec<PathBuf>) -> io::Result<Self> {
        Ok(Self {
            directory: directory.to_owned(),
            // What comes of it is read from here, and packed.
            overlay: Overlay::create(directory, below)?.thrown_away(),
            own: 0,
        })
    }

    /// The same, where the directory `linked` is part of the level: what runs changes a copy of what is in it, and
    /// never that, which may have other names elsewhere.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub(crate) fn create_with(
        linked: &Path,
        directory: &Path,
        below: &[PathBuf],
    ) -> io::Result<Self> {
        let permissions = below.first().map(fs_err::metadata).transpose()?;
        if let Some(found) = permissions {
            fs_err::set_permissions(linked, found.permissions())?;
        }
        let all = std::iter::once(linked.to_owned()).chain(below.iter().cloned());
        Ok(Self {
            own: 1,
            ..Self::create(directory, all.collect())?
        })
    }

    /// Where what is changed lands. What is put there beforehand is seen inside.
    ///
    /// What has run in the stage may have left links in it: it is opened by [`Self::open`].
    #[must_use]
    pub(crate) fn changes(&self) -> PathBuf {
        self.overlay.upper()
    }

    /// The same, opened: nothing below it is reached through a symlink.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn open(&self) -> io::Result<Directory> {
        Directory::open(&self.changes())
    }

    /// What the level consists of so far, topmost first: what was changed, and what it was given.
    #[must_use]
    pub(crate) fn own(&self) -> Vec<PathBuf> {
        let given = self.overlay.lower().iter().take(self.own).cloned();
        std::iter::once(self.changes()).chain(given).collect()
    }

    /// What the level stands on, topmost first.
    #[must_use]
    pub(crate) fn below(&self) -> &[PathBuf] {
        self.overlay.lower().get(self.own..).unwrap_or_default()
    }

    /// Makes a directory in which something is to be put, with the permissions that it has below.
    ///
    /// # Errors
    /// When it cannot be made, or a symlink is in its place.
    pub(crate) fn prepare(&self, path: &str) -> io::Result<Directory> {
        let changes = self.open()?;
        if changes.find(path)?.is_some() {
            return changes.directory(path);
        }
        let made = changes.make_directory(path)?;
        let below = Merged::open(self.overlay.lower().iter().cloned())?;
        if let Ok(known @ Node::Directory(_)) = below.find(Path::new(path)) {
            changes.set_mode(path, known.stat()?.st_mode & 0o7777)?;
        }
        Ok(made)
    }

    /// Lets a program see a file without putting it into the stage: below [`SCRATCH`], to be read
    /// only.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn hand_in(&self, name: &str, content: &str) -> io::Result<Bind> {
        let source = self.directory.join(format!("handed-{name}"));
        write_for_all(&source, content)?;
        Ok(Bind {
            source,
            destination: Path::new(SCRATCH).join(name),
            writable: false,
        })
    }

    /// Runs a program to its end; all that it writes goes into the log. To be called where blocking
    /// is allowed, within a runtime.
    ///
    /// # Errors
    /// When it cannot be run, fails, or comes up against a limit.
    pub(crate) fn run(
        &self,
        tools: &Tools,
        program: &Program<'_>,
        log: &Path,
    ) -> Result<(), StageError> {
        let log = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)?;
        let sandbox = self.sandbox(program)?;
        let group = Arc::new(tools.limiter.group(Some(&self.changes()))?);
        let bubblewrap = tools
            .bubblewrap
            .mounting(&self.overlay)
            .limited_by(Arc::clone(&group));
        let command: Vec<OsString> = program.command.iter().map(OsString::from).collect();
        let streams = Streams::Into(Box::new(log));
        let time = tools.limiter.limits().time;
        let ended = Handle::current()
            .block_on(bubblewrap.run(&sandbox, &command, streams, time))
            .map_err(StageError::Run)?;
        match (ended, group.memory_kill()) {
            (Ended::Exited(0), _) => Ok(()),
            (Ended::Exceeded(exceeded), _) | (Ended::Exited(_), Some(exceeded)) => {
                Err(StageError::Limit(exceeded))
            }
            (Ended::TimedOut, _) => {
                Err(StageError::Limit(Exceeded::Time(time.unwrap_or_default())))
            }
            (Ended::Exited(code), None) => Err(StageError::Failed(code)),
        }
    }

    fn sandbox(&self, program: &Program<'_>) -> io::Result<Sandbox> {
        let mut binds = program.binds.clone();
        let names = self.directory.join("hosts");
        match program.network {
            Network::None | Network::DeadEnd => {
                write_for_all(&names, &local_hosts(HOST_NAME))?;
                binds.push(self.cover(&names, "etc/hosts")?);
            }
            Network::Host => {
                for path in ["etc/hosts", "etc/resolv.conf"] {
                    if let Ok(source) = fs_err::canonicalize(Path::new("/").join(path)) {
                        binds.push(self.cover(&source, path)?);
                    }
                }
            }
        }
        Ok(Sandbox {
            root: self.overlay.root(),
            writable: true,
            binds,
            temporary: vec!["/run".into(), "/tmp".into()],
            environment: program.environment.clone(),
            directory: program.directory.into(),
            user: 0,
            group: 0,
            network: program.network,
            host_name: HOST_NAME.to_owned(),
            calls: Calls {
                gives_files_away: program.gives_files_away,
                ..Calls::default()
            },
        })
    }

    /// Puts a file over one of the root, which becomes an ordinary file first: bubblewrap would
    /// follow a symlink.
    fn cover(&self, source: &Path, path: &str) -> io::Result<Bind> {
        self.prepare("etc")?;
        let changes = self.open()?;
        if !changes
            .find(path)?
            .is_some_and(|found| found.is_regular_file())
        {
            changes.write(path, b"", 0o644)?;
        }
        Ok(Bind {
            source: source.to_owned(),
            destination: Path::new("/").join(path),
            writable: false,
        })
    }
}

/// Whether a path is a build's own business and in no layer.
#[must_use]
pub(crate) fn is_passing(path: &str) -> bool {
    let at = |directory: &str| {
        path.strip_prefix(directory)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    [
        "dev",
        "proc",
        "sys",
        "run",
        "tmp",
        "var/tmp",
        "root/.cache",
        "etc/hosts",
        "etc/resolv.conf",
    ]
    .into_iter()
    .any(at)
}

/// Writes a file that programs read as whoever they are outside, whatever the umask.
fn write_for_all(path: &Path, content: &str) -> io::Result<()> {
    fs_err::write(path, content)?;
    fs_err::set_permissions(path, PermissionsExt::from_mode(0o644))
}

#[cfg(test)]
mod tests;
