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

    /// What it stands on, topmost first.
    #[must_use]
    pub(crate) fn below(&self) -> &[PathBuf] {
        self.overlay.lower()
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
        let below = Merged::open(self.below().iter().cloned())?;
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
mod tests {
    use super::*;

    /// A stage, and a directory of this machine.
    fn scene() -> (tempfile::TempDir, tempfile::TempDir, Stage) {
        let (directory, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let below = directory.path().join("below");
        fs_err::create_dir_all(below.join("etc")).unwrap();
        let at = directory.path().join("stage");
        fs_err::create_dir(&at).unwrap();
        let stage = Stage::create(&at, vec![below]).unwrap();
        (directory, outside, stage)
    }

    #[test]
    fn nothing_is_put_through_a_symlink_that_a_build_has_left() {
        let (_directory, outside, stage) = scene();
        let link = |name: &str| {
            let at = stage.changes().join(name);
            fs_err::os::unix::fs::symlink(outside.path(), at).unwrap();
        };
        link("root");
        link("etc");
        link("usr");
        let error = stage.prepare("root").unwrap_err().to_string();
        assert!(error.contains("root: a symlink is in its place"), "{error}");
        assert!(stage.prepare("usr/sbin").is_err());
        assert!(stage.cover(Path::new("/dev/null"), "etc/hosts").is_err());
        let changes = stage.open().unwrap();
        assert!(changes.write("root/x", b"x", 0o644).is_err());
        assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 0);
        let bind = stage.hand_in("x.txt", "x").unwrap();
        assert!(!bind.source.starts_with(stage.changes()));
    }

    #[test]
    fn what_a_file_is_put_over_is_an_ordinary_file() {
        let (_directory, outside, stage) = scene();
        let kept = outside.path().join("hosts");
        fs_err::write(&kept, "kept").unwrap();
        stage.prepare("etc").unwrap();
        let hosts = stage.changes().join("etc/hosts");
        fs_err::os::unix::fs::symlink(&kept, &hosts).unwrap();
        stage.cover(Path::new("/dev/null"), "etc/hosts").unwrap();
        assert!(fs_err::symlink_metadata(&hosts).unwrap().is_file());
        assert_eq!(fs_err::read_to_string(kept).unwrap(), "kept");
    }

    #[test]
    fn what_only_a_build_needs_is_in_no_layer() {
        for path in ["tmp", "tmp/x", "etc/hosts", "root/.cache/pip"] {
            assert!(is_passing(path), "{path}");
        }
        for path in ["tmpx", "testbed/tmp", "etc/hosts.allow", "root/.bashrc", ""] {
            assert!(!is_passing(path), "{path}");
        }
    }
}
