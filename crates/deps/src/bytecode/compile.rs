//! Lists and compiles modules by the packed interpreter.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::sync::Arc;

use super::run::{Files, Run, known_option};
use super::shown::Shown;
use super::sources::Chunk;
use super::{BytecodeError, COMPILE, Job, LIST};
use ohoci_layer::Tree;
use ohoci_sandbox::{Bubblewrap, Limiter};

/// The names of the files of a run.
const SCRIPT: &str = "script.py";
const SOURCES: &str = "sources";

/// Most bytes of a list.
const MOST_LISTED: u64 = 64 << 20;

/// What runs the interpreter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interpreter<'a> {
    /// The `PATH` with bubblewrap.
    pub path: Option<&'a OsStr>,
    pub limiter: &'a Arc<Limiter>,
    /// How many of its processes compile at a time. They have no influence on the result.
    pub threads: usize,
}

impl Interpreter<'_> {
    /// Imports the modules of a job, and lists the sources of what that has loaded, as [`listed`] reads
    /// it. It takes modules that are known instead of compiling them.
    ///
    /// [`listed`]: super::sources::listed
    ///
    /// # Errors
    /// When the sandbox cannot be set up, or the interpreter fails.
    pub(super) async fn list(
        self,
        job: &Job<'_>,
        shown: &Shown,
        known: Tree,
    ) -> Result<Vec<u8>, BytecodeError> {
        let bubblewrap = Bubblewrap::find(self.path)?;
        let failed = BytecodeError::io("read the list of modules");
        let files = Files::create().map_err(&failed)?;
        files.add(SCRIPT, LIST.as_bytes()).map_err(&failed)?;
        let options = ["-s", "-P", "-B", "-W", "ignore", "-X"];
        let mut arguments: Vec<OsString> = options.map(OsString::from).into();
        arguments.extend([known_option(), Files::at(SCRIPT)]);
        arguments.push(job.prefix.to_string().into());
        arguments.push(Files::at(SOURCES));
        arguments.extend(job.table.imports.iter().map(OsString::from));
        let run = Run {
            shown: shown.importing.clone(),
            known,
            environment: job.environment,
            python: &shown.python,
            arguments,
        };
        run.run(&files, &bubblewrap, self.limiter).await?;
        let mut list = Vec::new();
        let file = files.open(SOURCES).map_err(&failed)?;
        file.take(MOST_LISTED)
            .read_to_end(&mut list)
            .map_err(&failed)?;
        Ok(list)
    }

    /// Compiles chunks of sources: an archive of what each has come to, to be read with
    /// [`modules`](super::tree::modules()).
    ///
    /// # Errors
    /// As [`Self::list`].
    pub(super) async fn compile(
        self,
        shown: &Shown,
        chunks: &[&Chunk],
    ) -> Result<Vec<fs_err::File>, BytecodeError> {
        let bubblewrap = Bubblewrap::find(self.path)?;
        let failed = BytecodeError::io("read the compiled modules");
        let files = Files::create().map_err(&failed)?;
        files.add(SCRIPT, COMPILE.as_bytes()).map_err(&failed)?;
        for (number, chunk) in chunks.iter().enumerate() {
            let content = chunk.content().map_err(&failed)?;
            files
                .add(&format!("{number}.{SOURCES}"), &content)
                .map_err(&failed)?;
        }
        let options = ["-s", "-P", "-S", "-B", "-W", "ignore"];
        let mut arguments: Vec<OsString> = options.map(OsString::from).into();
        arguments.push(Files::at(SCRIPT));
        arguments.extend(["all".into(), Files::at("")]);
        arguments.extend([self.threads, chunks.len()].map(|count| count.to_string().into()));
        let run = Run {
            shown: shown.compiling.clone(),
            known: Tree::new(),
            environment: &std::collections::BTreeMap::new(),
            python: &shown.program,
            arguments,
        };
        run.run(&files, &bubblewrap, self.limiter).await?;
        let archives = (0..chunks.len()).map(|number| files.open(&format!("{number}.tar")));
        archives.collect::<Result<_, _>>().map_err(failed)
    }
}
