//! Runs the packed interpreter in a sandbox.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::BytecodeError;
use ohoci_layer::{Directory, LayerPath, Tree};
use ohoci_sandbox::{
    Bind, Bubblewrap, Calls, Ended, Exceeded, HOST_NAME, Limiter, Network, RemovedDirectory,
    Sandbox, Streams,
};
use ohoci_unpack::{Owners, unpack};

/// Where a run's files are in the sandbox.
const WORK: &str = ".ohoci";
/// Where compiled modules are that it may use.
const KNOWN: &str = ".ohoci-known";

/// How much of what the interpreter writes is kept, in bytes.
const SAID: usize = 4 << 10;

/// A run of the interpreter, which sees this, its [`Files`] and nothing else of this machine, and has no
/// network.
#[derive(Debug)]
pub(super) struct Run<'a> {
    /// What it is shown, from the root. It cannot write there.
    pub shown: Tree,
    /// Compiled modules that it may use, from the directory that stands for the root among those
    /// (`sys.pycache_prefix`).
    pub known: Tree,
    /// Variables, over those of the sandbox.
    pub environment: &'a BTreeMap<String, String>,
    /// The interpreter.
    pub python: &'a LayerPath,
    /// Its options, the script and what that is given. Files of the run are below [`Files::at`].
    pub arguments: Vec<OsString>,
}

/// The files of a run, which is all that it can write to.
#[derive(Debug)]
pub(super) struct Files {
    inside: Directory,
    directory: RemovedDirectory,
}

impl Files {
    /// None yet.
    ///
    /// # Errors
    /// When no directory can be made.
    pub(super) fn create() -> io::Result<Self> {
        let directory = RemovedDirectory::create()?;
        Ok(Self {
            // Opened now: what runs may write into it.
            inside: Directory::open(directory.path())?,
            directory,
        })
    }

    /// Adds one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn add(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.inside.write(name, content, 0o644)
    }

    /// Opens one that the run has left. It may be something else than a file, which is refused: foreign
    /// code has run.
    ///
    /// # Errors
    /// When it is none, or cannot be read.
    pub(super) fn open(&self, name: &str) -> io::Result<fs_err::File> {
        self.inside.open_file(name)
    }

    /// Where one is for the run.
    pub(super) fn at(name: &str) -> OsString {
        format!("/{WORK}/{name}").into()
    }
}

/// What comes behind `-X`, for a run that takes what is known.
pub(super) fn known_option() -> OsString {
    format!("pycache_prefix=/{KNOWN}").into()
}

impl Run<'_> {
    /// Runs it. The calling thread has to last as long as this, see [`Bubblewrap::run`].
    ///
    /// # Errors
    /// When the sandbox cannot be set up, or the interpreter fails.
    pub(super) async fn run(
        self,
        files: &Files,
        bubblewrap: &Bubblewrap,
        limiter: &Arc<Limiter>,
    ) -> Result<(), BytecodeError> {
        let failed = BytecodeError::io("prepare a sandbox");
        let root = RemovedDirectory::create().map_err(&failed)?;
        unpack(self.shown, root.path(), Owners::Own, &|| true)?;
        let known = RemovedDirectory::create().map_err(&failed)?;
        unpack(self.known, known.path(), Owners::Own, &|| true)?;
        let opened = Directory::open(root.path()).map_err(&failed)?;
        for directory in ["dev", "proc", "tmp", WORK, KNOWN] {
            opened.make_directory(directory).map_err(&failed)?;
        }
        let python = self.python.to_string();
        let mut command: Vec<OsString> = vec![python.clone().into()];
        command.extend(self.arguments);
        let said = Said::default();
        let streams = Streams::Into(Box::new(said.clone()));
        let output = files.directory.path();
        let sandbox = sandbox(root.path(), output, known.path(), self.environment);
        let group = limiter.group(Some(output)).map_err(&failed)?;
        let group = Arc::new(group);
        let time = limiter.limits().time;
        let ended = bubblewrap
            .limited_by(Arc::clone(&group))
            .run(&sandbox, &command, streams, time)
            .await?;
        let limited = |exceeded| BytecodeError::Limit {
            python: python.clone(),
            exceeded,
            said: said.text(),
        };
        if let Some(exceeded) = group.memory_kill().filter(|_| ended != Ended::Exited(0)) {
            return Err(limited(exceeded));
        }
        match ended {
            Ended::Exited(0) => Ok(()),
            Ended::Exited(code) => Err(BytecodeError::Failed {
                python: python.clone(),
                code,
                said: said.text(),
            }),
            Ended::TimedOut => Err(limited(Exceeded::Time(time.unwrap_or_default()))),
            Ended::Exceeded(exceeded) => Err(limited(exceeded)),
        }
    }
}

fn sandbox(
    root: &Path,
    output: &Path,
    known: &Path,
    environment: &BTreeMap<String, String>,
) -> Sandbox {
    let work = Path::new("/").join(WORK);
    let fixed = [
        ("HOME", "/tmp"),
        ("LC_ALL", "C.UTF-8"),
        ("PATH", "/nonexistent"),
        // The order of what is in a set, which is written as it stands in memory.
        ("PYTHONHASHSEED", "0"),
        ("TMPDIR", "/tmp"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut variables = BTreeMap::from(fixed);
    variables.extend(environment.clone());
    let bind = |source: &Path, destination: &Path, writable| Bind {
        source: source.to_owned(),
        destination: destination.to_owned(),
        writable,
    };
    Sandbox {
        root: root.to_owned(),
        writable: false,
        binds: vec![
            bind(output, &work, true),
            bind(known, &Path::new("/").join(KNOWN), false),
        ],
        temporary: vec!["/tmp".into()],
        environment: variables.into_iter().collect(),
        directory: work,
        user: 0,
        group: 0,
        network: Network::None,
        host_name: HOST_NAME.to_owned(),
        calls: Calls::default(),
    }
}

/// The end of what was written.
#[derive(Clone, Default)]
struct Said {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Said {
    fn text(&self) -> String {
        let bytes = self.bytes.lock();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }
}

impl Write for Said {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let mut bytes = self.bytes.lock();
        bytes.extend_from_slice(piece);
        let surplus = bytes.len().saturating_sub(SAID);
        bytes.drain(..surplus);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
