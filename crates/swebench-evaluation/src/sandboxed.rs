//! The sandbox of one prediction, and what goes wrong there.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::diagnosis::{Content, Problem, diagnose};
use super::evaluator::Evaluator;
use super::httpbin::{self, Server};
use super::outcome::Status;
use super::output::{Captured, Text};
use super::patching::Said;
use super::roots::{ImageRoot, RootsError, SHELL};
use ohoci_layer::Directory;
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

/// Largest file of certificates, in bytes.
const MOST_TRUSTED: u64 = 4 << 20;

/// Why there is no verdict.
pub(super) enum SandboxError {
    Roots(RootsError),
    Run(RunError),
    Io(io::Error),
    /// It came up against a limit.
    Limit(Exceeded),
    /// The server that its tests ask does not run.
    Httpbin(String),
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
            Self::Roots(_) | Self::Run(_) | Self::Io(_) | Self::Httpbin(_) => Status::Infra,
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
            Self::Httpbin(why) => f.write_str(why),
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
    /// What answers in httpbin.org's place.
    httpbin: Option<Server>,
    /// Files that this machine puts into it.
    files: tempfile::TempDir,
}

impl Sandboxed {
    pub(super) fn new(
        evaluator: &Evaluator,
        root: &Arc<ImageRoot>,
        workspace: Workspace,
        row: &Row,
        httpbin: Option<Server>,
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
            binds.push(read_only(source, ASSETS.into()));
        }
        let mut bind = |source: PathBuf, destination: &Option<PathBuf>| {
            let destination = destination.clone();
            binds.extend(destination.map(|destination| read_only(source, destination)));
        };
        let network = evaluator.network_of(row);
        match network {
            Network::None | Network::DeadEnd => {
                let hosts = files.path().join("hosts");
                let mut known = local_hosts(HOST_NAME);
                if httpbin.is_some() {
                    known.push_str(&httpbin::hosts());
                }
                fs_err::write(&hosts, known)?;
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
                network,
                host_name: HOST_NAME.to_owned(),
                calls: Calls::default(),
            },
            root: Arc::clone(root),
            enter: way.enter.clone(),
            workspace,
            group,
            httpbin,
            files,
        })
    }

    /// Runs tests, with a file of this machine put over one inside.
    ///
    /// # Errors
    /// When they cannot be run, or the server that they ask has ended meanwhile.
    pub(super) async fn run_tests(
        &mut self,
        words: &[OsString],
        file: (&PathBuf, &PathBuf),
        sink: Box<dyn Write + Send>,
        limit: Option<Duration>,
    ) -> Result<Ended, SandboxError> {
        let (bubblewrap, trusted) = match &self.httpbin {
            Some(server) => {
                let trusted = self.trusting(&server.authority)?;
                (server.answering(&self.bubblewrap), trusted)
            }
            None => (self.bubblewrap.clone(), None),
        };
        let file = read_only(file.0.clone(), file.1.clone());
        let files = trusted.into_iter().chain([file]).collect();
        let ended = self.run(&bubblewrap, words, files, sink, limit).await?;
        match &mut self.httpbin {
            None => Ok(ended),
            Some(server) => match server.has_ended().await {
                None => Ok(ended),
                Some(why) => Err(SandboxError::Httpbin(why)),
            },
        }
    }

    /// Certificates that the repository has its tests trust, with the authority's among them. They are put
    /// over those of the repository while its tests run.
    fn trusting(&self, authority: &str) -> io::Result<Option<Bind>> {
        let root = self.workspace.view()?;
        let path = self.sandbox.directory.join(httpbin::TRUSTED);
        // A patch may have put anything there: then there is nothing that can be trusted.
        let Ok(Some(mut trusted)) = root.read_up_to(&path, MOST_TRUSTED) else {
            return Ok(None);
        };
        let Ok(destination) = root.file(&path) else {
            return Ok(None);
        };
        trusted.push(b'\n');
        trusted.extend_from_slice(authority.as_bytes());
        let source = self.files.path().join("trusted.pem");
        fs_err::write(&source, trusted)?;
        Ok(Some(read_only(source, destination)))
    }

    /// Ends what has answered its tests.
    pub(super) async fn stop_httpbin(&mut self) {
        if let Some(server) = self.httpbin.take() {
            server.stop().await;
        }
    }

    /// Runs a command line, with files of this machine put over some inside.
    async fn run(
        &self,
        bubblewrap: &Bubblewrap,
        words: &[OsString],
        files: Vec<Bind>,
        sink: Box<dyn Write + Send>,
        limit: Option<Duration>,
    ) -> Result<Ended, RunError> {
        let mut sandbox = self.sandbox.clone();
        sandbox.binds.extend(files);
        bubblewrap
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
        let bubblewrap = &self.bubblewrap;
        let file = file.map(|(source, destination)| read_only(source.clone(), destination.clone()));
        let files = file.into_iter().collect();
        let ended = self
            .run(bubblewrap, &words, files, Box::new(sink), limit)
            .await;
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

    /// Has git look at all files of the repository, and note those that are as they were committed.
    pub(super) async fn refresh_index(&self) -> Result<(), SandboxError> {
        // It fails where a file is not, and notes all others even so.
        self.shell("git update-index -q --refresh", None).await?;
        Ok(())
    }

    /// What a file has become by what was run, if it was written and has no more bytes than that.
    pub(super) fn written(&self, path: &Path, most: u64) -> Option<Vec<u8>> {
        let written = Directory::open(&self.workspace.written()).ok()?;
        written.read(path, most).ok()?
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

fn read_only(source: PathBuf, destination: PathBuf) -> Bind {
    Bind {
        source,
        destination,
        writable: false,
    }
}
