//! The sandbox of one prediction, and what goes wrong there.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::diagnosis::{Content, Problem, diagnose};
use super::evaluator::Evaluator;
use super::outcome::Status;
use super::output::Text;
use super::patching::Said;
use super::roots::{ImageRoot, RootsError, SHELL};
use ohoci_sandbox::{
    Bind, Bubblewrap, Calls, Ended, Exceeded, HOST_NAME, LimitGroup, Network, RunError, Sandbox,
    Streams, Workspace, local_hosts,
};
use ohoci_swebench::row::Row;
use ohoci_swebench::way::ASSETS;
use ohoci_swebench_images::git;

/// How long a command may take that applies a patch or looks at the tree.
const COMMAND_LIMIT: Duration = Duration::from_secs(300);

/// Most that is kept of what such a command writes, in bytes.
const MOST_SAID: u64 = 4 << 20;

/// Why there is no verdict.
pub(super) enum SandboxError {
    Roots(RootsError),
    Run(RunError),
    Io(io::Error),
    /// It came up against a limit.
    Limit(Exceeded),
}

impl From<RootsError> for SandboxError {
    fn from(error: RootsError) -> Self {
        Self::Roots(error)
    }
}

impl From<RunError> for SandboxError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<io::Error> for SandboxError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl SandboxError {
    /// What an instance comes to by it.
    pub(super) fn status(&self) -> Status {
        match self {
            Self::Roots(error) if !error.may_pass() => Status::BuildFailed,
            Self::Roots(_) | Self::Run(_) | Self::Io(_) => Status::Infra,
            Self::Limit(exceeded) => Status::of_exceeded(*exceeded),
        }
    }
}

impl std::fmt::Display for SandboxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Roots(error) => error.fmt(f),
            Self::Run(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Limit(exceeded) => write!(f, "{exceeded} ({})", exceeded.hint()),
        }
    }
}

/// The place that one prediction is run in.
pub(super) struct Sandboxed {
    bubblewrap: Bubblewrap,
    sandbox: Sandbox,
    pub(super) root: Arc<ImageRoot>,
    /// What finds the repository from there.
    enter: Option<String>,
    workspace: Workspace,
    pub(super) group: Arc<LimitGroup>,
    /// Files that this machine puts into it.
    _files: tempfile::TempDir,
}

impl Sandboxed {
    pub(super) fn new(
        evaluator: &Evaluator,
        root: &Arc<ImageRoot>,
        workspace: Workspace,
        row: &Row,
    ) -> Result<Self, SandboxError> {
        let group = Arc::new(evaluator.limiter.group(Some(&workspace.written()))?);
        let files = tempfile::tempdir_in(&evaluator.scratch)?;
        let way = &row.way;
        let mut binds = Vec::new();
        if !way.assets.is_empty() {
            let source = files.path().join("assets");
            evaluator.assets.stage(row, &source)?;
            for path in [files.path(), &source] {
                fs_err::set_permissions(path, Permissions::from_mode(0o755))?;
            }
            binds.push(Bind {
                source,
                destination: ASSETS.into(),
                writable: false,
            });
        }
        let mut bind = |source: PathBuf, destination: &Option<PathBuf>| {
            if let Some(destination) = destination {
                binds.push(Bind {
                    source,
                    destination: destination.clone(),
                    writable: false,
                });
            }
        };
        match evaluator.network {
            Network::None | Network::DeadEnd => {
                let hosts = files.path().join("hosts");
                fs_err::write(&hosts, local_hosts(HOST_NAME))?;
                bind(hosts, &root.hosts);
            }
            Network::Host => {
                for (path, at) in [
                    ("/etc/hosts", &root.hosts),
                    ("/etc/resolv.conf", &root.resolv),
                ] {
                    if let Ok(file) = fs_err::canonicalize(path) {
                        bind(file, at);
                    }
                }
            }
        }
        Ok(Self {
            bubblewrap: evaluator
                .bubblewrap
                .over(&workspace)
                .limited_by(Arc::clone(&group)),
            sandbox: Sandbox {
                root: workspace.root(),
                writable: true,
                binds,
                temporary: Vec::new(),
                environment: root.process.environment(
                    &evaluator.variables(root),
                    HOST_NAME,
                    &root.user.home,
                ),
                directory: PathBuf::from(&way.directory),
                user: root.user.id,
                group: root.user.group,
                network: evaluator.network,
                host_name: HOST_NAME.to_owned(),
                calls: Calls::default(),
            },
            root: Arc::clone(root),
            enter: way.enter.clone(),
            workspace,
            group,
            _files: files,
        })
    }

    /// Runs a command line, with a file of this machine put over one inside.
    pub(super) async fn run(
        &self,
        words: &[OsString],
        file: Option<(&PathBuf, &PathBuf)>,
        sink: Box<dyn Write + Send>,
        limit: Option<Duration>,
    ) -> Result<Ended, RunError> {
        let mut sandbox = self.sandbox.clone();
        sandbox.binds.extend(file.map(|(source, destination)| Bind {
            source: source.clone(),
            destination: destination.clone(),
            writable: false,
        }));
        self.bubblewrap
            .run(&sandbox, words, Streams::Into(sink), limit)
            .await
    }

    /// What a shell makes of a line, in the repository, whose settings name no program to git.
    pub(super) async fn shell(
        &self,
        line: &str,
        file: Option<(&PathBuf, &PathBuf)>,
    ) -> Result<Said, SandboxError> {
        let said = Captured::default();
        let sink = Text::new(said.clone(), MOST_SAID);
        let mut line = git::in_shell(line);
        if let Some(enter) = &self.enter {
            line.insert_str(0, &format!("{enter}\n"));
        }
        let words = [SHELL, "-c", &line].map(OsString::from);
        let limit = Some(COMMAND_LIMIT);
        let ended = self.run(&words, file, Box::new(sink), limit).await;
        let output = said.text();
        match ended {
            Ok(Ended::Exceeded(exceeded)) => Err(SandboxError::Limit(exceeded)),
            // A command that was killed says nothing of the patch.
            Ok(ended) if ended != Ended::Exited(0) && self.group.memory_kill().is_some() => {
                let exceeded = self.group.memory_kill();
                Err(SandboxError::Limit(
                    exceeded.unwrap_or(Exceeded::MachineMemory),
                ))
            }
            Ok(ended) => Ok(Said {
                succeeded: ended == Ended::Exited(0),
                output,
            }),
            Err(error @ RunError::NotStarted(_)) => {
                let output = output.trim();
                let other = match output.contains("Exec format error") {
                    true => format!(
                        " (the image's programs are not for this machine's architecture, {})",
                        std::env::consts::ARCH
                    ),
                    false => String::new(),
                };
                Err(SandboxError::Io(io::Error::other(format!(
                    "{error}: {output}{other}"
                ))))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn diff(&self) -> Result<String, SandboxError> {
        let diff = "git -c core.fileMode=false --no-pager diff --no-ext-diff --no-textconv";
        let said = self.shell(diff, None).await?;
        Ok(said.output.trim().to_owned())
    }

    pub(super) fn diagnose(&self, patch: &str) -> Vec<Problem> {
        let Ok(root) = self.workspace.before() else {
            return Vec::new();
        };
        diagnose(
            patch,
            &|name| match root.read(&self.sandbox.directory.join(name)) {
                Ok(Some(content)) => Content::Bytes(content),
                Ok(None) | Err(_) => Content::Missing,
            },
        )
    }
}

/// What a command writes, kept in memory.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        let bytes = self.0.lock();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Captured {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let mut bytes = self.0.lock();
        bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
