//! One sandbox that is steered: made of an image, run in, written to, read from, reset.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ohoci_compose::job::Job;
use ohoci_compose::read::Choice;
use ohoci_layer::limits::UnpackLimits;
use ohoci_sandbox::{
    Bubblewrap, Ended, Limiter, Network, ProgramHandle, RunError, Streams, abstract_sockets,
    program,
};
use serde_json::{Map, Value, json};

use super::answer::put_bytes;
use super::capture::Capture;
use super::message::{Create, Exec};
use crate::failure::RunFailure;
use crate::machine::Machine;
use crate::prepare::prepare;
use crate::request::{Request, RootChoice};
use crate::root::{RunRoot, open_root};

/// A sandbox, with what was written to it. Dropping it removes that.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) root: RunRoot,
    /// What a directory that is copied may come to.
    pub(super) limits: UnpackLimits,
    request: Request,
    scratch: Scratch,
}

/// The directory with all files of a sandbox.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now goes with the directory above.
        let _ = ohoci_sandbox::remove::remove(&self.0);
    }
}

impl Sandbox {
    /// Makes one. All of its files lie in `scratch`, which is made for it.
    pub(super) async fn create(
        create: Create,
        machine: Machine<'_>,
        scratch: PathBuf,
    ) -> Result<Self, RunFailure> {
        fs_err::create_dir(&scratch)
            .map_err(|error| RunFailure::new("cannot make a sandbox", error.to_string()))?;
        let scratch = Scratch(scratch);
        let machine = Machine {
            scratch: &scratch.0,
            ..machine
        };
        let choice = match create.deps.is_empty() {
            true => RootChoice::Image(create.from, create.platform),
            false => {
                let choice = create.platform.map_or(Choice::Default, |platform| {
                    Choice::Platforms(vec![platform])
                });
                RootChoice::Composed(Box::new(Job {
                    deps: create.deps,
                    choice,
                    ..Job::on(create.from, scratch.0.clone())
                }))
            }
        };
        let root = open_root(&choice, None, machine).await?;
        let standard = Request::default();
        let request = Request {
            environment: create.environment,
            directory: create.directory,
            user: create.user,
            mounts: create.mounts,
            network: create.network,
            host_name: create.host_name.unwrap_or(standard.host_name.clone()),
            ..standard
        };
        Ok(Self {
            root,
            limits: machine.resolver.limits,
            request,
            scratch,
        })
    }

    /// What is said of a new one.
    pub(super) fn told(&self) -> Value {
        let mut warnings: Vec<String> = self.root.warnings().to_vec();
        warnings.extend(self.root.notes().iter().cloned());
        if self.request.network == Network::Host && !abstract_sockets::can_be_kept_away() {
            warnings.push(abstract_sockets::UNPROTECTED.to_owned());
        }
        let mut fields = Map::new();
        if let Some(digest) = self.root.digest() {
            fields.insert("image".to_owned(), digest.to_string().into());
        }
        fields.insert("unpacked".to_owned(), self.root.unpacked().len().into());
        put_warnings(&mut fields, warnings);
        Value::Object(fields)
    }

    /// Runs a program to its end.
    pub(super) async fn exec(
        &mut self,
        exec: Exec,
        bubblewrap: &Bubblewrap,
        limiter: &Arc<Limiter>,
        handle: &ProgramHandle,
    ) -> Result<Value, RunFailure> {
        let request = Request {
            words: exec.command.into_iter().map(Into::into).collect(),
            // What is named is what is started, as with `docker exec`.
            entrypoint: None,
            environment: [self.request.environment.clone(), exec.environment].concat(),
            directory: exec.directory.or(self.request.directory.clone()),
            user: exec.user.or(self.request.user.clone()),
            ..self.request.clone()
        };
        let request = match request.words.is_empty() {
            true => request,
            false => Request {
                entrypoint: Some(String::new()),
                ..request
            },
        };
        let prepared = tokio::task::block_in_place(|| {
            self.refresh()?;
            prepare(&self.root, &request, &self.scratch.0)
        })?;
        let name = prepared.command.first().cloned().unwrap_or_default();
        let what = format!("cannot run {}", Path::new(&name).display());
        let is_below = |own: &str| Path::new(&name).starts_with(own);
        if request.mounts.is_empty() && !is_below("/proc") && !is_below("/dev") {
            program::check(&prepared.sandbox, self.root.root(), &name)
                .map_err(|reason| RunFailure::new(what.as_str(), reason.to_string()))?;
        }
        let written = self.root.written();
        let group = limiter.group(Some(&written)).map_err(|error| {
            RunFailure::new(what.as_str(), format!("it cannot be limited: {error}"))
        })?;
        let group = Arc::new(group);
        let (output, error) = (Capture::of(exec.output), Capture::of(exec.output));
        let streams = Streams::Apart {
            input: exec.input,
            output: Box::new(output.clone()),
            error: Box::new(error.clone()),
        };
        let bubblewrap = match self.root.workspace() {
            Some(workspace) => bubblewrap.over(workspace),
            None => bubblewrap.clone(),
        };
        let ended = bubblewrap
            .limited_by(Arc::clone(&group))
            .reached_by(handle)
            .run(&prepared.sandbox, &prepared.command, streams, exec.timeout)
            .await;
        let memory = group.memory_kill();
        let mut fields = Map::new();
        let exceeded = match ended {
            Ok(Ended::Exited(code)) => {
                fields.insert("exit".to_owned(), code.into());
                memory.filter(|_| code != 0)
            }
            Ok(Ended::TimedOut) => {
                fields.insert("timed_out".to_owned(), true.into());
                None
            }
            Ok(Ended::Exceeded(exceeded)) => Some(exceeded),
            Err(RunError::Killed(status)) => match memory {
                Some(exceeded) => Some(exceeded),
                None => return Err(RunFailure::of_sandbox(what, &RunError::Killed(status))),
            },
            Err(error) => return Err(RunFailure::of_sandbox(what, &error)),
        };
        if let Some(exceeded) = exceeded {
            fields.insert("exceeded".to_owned(), exceeded.to_string().into());
        }
        for (name, capture) in [("stdout", output), ("stderr", error)] {
            let (bytes, is_cut) = capture.take();
            put_bytes(&mut fields, name, bytes);
            if is_cut {
                fields.insert(format!("{name}_cut"), true.into());
            }
        }
        put_warnings(&mut fields, prepared.warnings);
        Ok(Value::Object(fields))
    }

    /// Takes away what was written. Blocks.
    pub(super) fn reset(&mut self) -> Result<Value, RunFailure> {
        let reset = self.root.reset(&self.scratch.0);
        reset.map_err(|error| RunFailure::new("cannot reset the sandbox", error.to_string()))?;
        Ok(json!({}))
    }

    /// Looks at it anew, after something has run in it.
    pub(super) fn refresh(&mut self) -> Result<(), RunFailure> {
        let refreshed = self.root.refresh();
        refreshed.map_err(|error| RunFailure::new("cannot look at the sandbox", error.to_string()))
    }
}

fn put_warnings(fields: &mut Map<String, Value>, warnings: Vec<String>) {
    if !warnings.is_empty() {
        fields.insert("warnings".to_owned(), warnings.into());
    }
}
