//! Runs the packed interpreter in a sandbox.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{BytecodeError, Job};
use ohoci_layer::{Directory, LayerPath, Rules, Tree};
use ohoci_sandbox::{
    Bind, Bubblewrap, Calls, Ended, Exceeded, HOST_NAME, Limiter, Network, RemovedDirectory,
    Sandbox, Streams,
};
use ohoci_unpack::{Owners, unpack};

/// What the interpreter runs.
pub(super) const SCRIPT: &str = include_str!("compile.py");

/// Where the script and what it makes are in the sandbox.
const WORK: &str = ".ohoci";
const ARCHIVE: &str = "bytecode.tar";

/// How much of what the interpreter writes is kept, in bytes.
const SAID: usize = 4 << 10;

/// Compiles: an archive of what the interpreter made, to be read with [`tree`](super::tree()). It
/// has neither network nor anything else of this machine, and the same result with any number of
/// threads.
///
/// The calling thread has to last as long as this, see [`Bubblewrap::run`].
///
/// # Errors
/// When the sandbox cannot be set up, or the interpreter fails.
pub(crate) async fn compile(
    job: &Job<'_>,
    bubblewrap: &Bubblewrap,
    limiter: &Arc<Limiter>,
    threads: usize,
) -> Result<fs_err::File, BytecodeError> {
    let failed = BytecodeError::io("prepare a sandbox");
    let root = RemovedDirectory::create().map_err(&failed)?;
    unpack(merged(job.layers)?, root.path(), Owners::Own, &|| true)?;
    let output = RemovedDirectory::create().map_err(&failed)?;
    let opened = Directory::open(root.path()).map_err(&failed)?;
    for directory in ["dev", "proc", "tmp", WORK] {
        opened.make_directory(directory).map_err(&failed)?;
    }
    // Opened now: what runs inside may write into it.
    let made = Directory::open(output.path()).map_err(&failed)?;
    made.write("compile.py", SCRIPT.as_bytes(), 0o644)
        .map_err(&failed)?;

    let prefix = job.prefix.to_string();
    let python = job.table.python.as_str();
    let python = LayerPath::parse(python.as_bytes())
        .and_then(|path| job.prefix.join(&path))
        .map_err(|source| BytecodeError::Path {
            path: python.to_owned(),
            source,
        })?
        .to_string();
    let mut command: Vec<OsString> = [python.as_str(), "-s", "-P", "-B"]
        .map(OsString::from)
        .into();
    command.push(format!("/{WORK}/compile.py").into());
    command.extend(["all".to_owned(), prefix, threads.to_string()].map(OsString::from));
    command.push(format!("/{WORK}/{ARCHIVE}").into());
    command.extend(job.table.imports.iter().map(OsString::from));

    let said = Said::default();
    let streams = Streams::Into(Box::new(said.clone()));
    let sandbox = sandbox(job, root.path(), output.path());
    let group = limiter.group(Some(output.path())).map_err(&failed)?;
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
        // It may be something else than a file, which is refused: foreign code has run.
        Ended::Exited(0) => made
            .open_file(ARCHIVE)
            .map_err(BytecodeError::io("read the compiled modules")),
        Ended::Exited(code) => Err(BytecodeError::Failed {
            python: python.clone(),
            code,
            said: said.text(),
        }),
        Ended::TimedOut => Err(limited(Exceeded::Time(time.unwrap_or_default()))),
        Ended::Exceeded(exceeded) => Err(limited(exceeded)),
    }
}

fn sandbox(job: &Job<'_>, root: &Path, output: &Path) -> Sandbox {
    let work = Path::new("/").join(WORK);
    let environment = [
        ("HOME", "/tmp"),
        ("LC_ALL", "C.UTF-8"),
        ("PATH", "/nonexistent"),
        // The order of what is in a set, which is written as it stands in memory.
        ("PYTHONHASHSEED", "0"),
        ("TMPDIR", "/tmp"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut environment = BTreeMap::from(environment);
    environment.extend(job.environment.clone());
    Sandbox {
        root: root.to_owned(),
        writable: false,
        binds: vec![Bind {
            source: output.to_owned(),
            destination: work.clone(),
            writable: true,
        }],
        temporary: vec!["/tmp".into()],
        environment: environment.into_iter().collect(),
        directory: work,
        user: 0,
        group: 0,
        network: Network::None,
        host_name: HOST_NAME.to_owned(),
        calls: Calls::default(),
    }
}

/// The layers as one tree, the upper over the lower.
fn merged(layers: &[&Tree]) -> Result<Tree, BytecodeError> {
    let mut merged = Tree::new();
    for tree in layers {
        for (path, entry) in *tree {
            merged.insert(path.clone(), entry.clone(), Rules::Foreign)?;
        }
    }
    Ok(merged)
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
