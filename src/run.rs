//! `ohoci run`: a program in an image, or in a root file system, without privileges.

mod arguments;

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::arguments::RegistryArguments;
use super::compose::on_base;
use super::context::Context;
use super::failure::Failure;
use super::progress::Progress;
use super::signals::Signals;
use super::{exit_code, output, until_interrupted};
use ohoci_compose::Observer;
use ohoci_compose::read::Choice;
use ohoci_config::environment::PATH;
use ohoci_run::{Machine, Prepared, Request, RootChoice, RunFailure, RunRoot, open_root, prepare};
use ohoci_sandbox::{
    Bubblewrap, Ended, Exceeded, Limiter, Network, ProgramError, ProgramHandle, RunError, Streams,
    abstract_sockets, program,
};

use arguments::Root;
pub(super) use arguments::mounting;
pub use arguments::{Arguments, NetworkChoice};

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    // Whatever the program ends with is passed on, so our own failures need a code of their own.
    Box::pin(run_program(arguments, registry))
        .await
        .map_err(|failure| match failure.exit_code() {
            exit_code::FAILED => failure.exiting(exit_code::SANDBOX_FAILED),
            _ => failure,
        })
}

async fn run_program(arguments: &Arguments, registry: &RegistryArguments) -> Result<u8, Failure> {
    let (root, request) = arguments.request()?;
    let context = Context::open(registry)?;
    // Before anything is downloaded.
    let bubblewrap = Bubblewrap::find(context.environment.get(PATH).as_deref())
        .map_err(|error| refused("cannot run anything", &error))?;
    let opening = open(root, arguments, &context);
    let of = match arguments.is_stopped_gently() {
        false => opening.await?,
        // Nothing runs yet that could end by itself.
        true => match until_interrupted(opening).await {
            Some(of) => of?,
            None => {
                output::note("interrupted");
                return Ok(exit_code::INTERRUPTED);
            }
        },
    };
    let Prepared {
        sandbox,
        command,
        warnings,
    } = &prepare(&of, &request, &context.work_dir)?;
    warnings.iter().for_each(|warning| output::warning(warning));
    context.show_server_warnings();
    if request.network == Network::Host && !abstract_sockets::can_be_kept_away() {
        output::warning(abstract_sockets::UNPROTECTED);
    }
    let bubblewrap = match of.workspace() {
        Some(workspace) => bubblewrap.over(workspace),
        None => bubblewrap,
    };
    let (root, written) = (of.root(), of.written());
    let name = command.first().map(AsRef::as_ref).unwrap_or_default();
    let what = format!("cannot run {}", Path::new(name).display());
    // What bubblewrap would say of it is about itself.
    if is_in_root(&request, name) {
        program::check(sandbox, root, name).map_err(|reason| no_program(&what, name, &reason))?;
    }
    let limits = arguments.limits.limits(&written, 1, None);
    let limiter = Arc::new(Limiter::find(limits));
    arguments.limits.tell(&limiter);
    let group = limiter
        .group(sandbox.writable.then_some(written.as_path()))
        .map_err(|error| Failure::new(what.as_str(), format!("it cannot be limited: {error}")))?;
    let group = Arc::new(group);
    let streams = match request.terminal {
        true => Streams::Terminal,
        false => Streams::Inherited,
    };
    let handle = ProgramHandle::default();
    let bubblewrap = bubblewrap
        .limited_by(Arc::clone(&group))
        .reached_by(&handle);
    let running = bubblewrap.run(sandbox, command, streams, limits.time);
    let ended = match arguments.is_stopped_gently() {
        false => running.await,
        true => match until_stopped(running, &handle, arguments.stop_timeout).await {
            Some(ended) => ended,
            None => {
                let limit = arguments.stop_timeout;
                output::note(&format!("interrupted; the program had {limit:?} to end"));
                return Ok(exit_code::INTERRUPTED);
            }
        },
    };
    match ended {
        Ok(Ended::Exited(code)) => {
            if let Some(exceeded) = group.memory_kill().filter(|_| code != exit_code::DONE) {
                killed(exceeded);
            }
            Ok(code)
        }
        Ok(Ended::TimedOut) => {
            let limit = limits.time.unwrap_or_default();
            output::note(&format!("killed after {limit:?}, because of --timeout"));
            Ok(exit_code::TIMED_OUT)
        }
        Ok(Ended::Exceeded(exceeded)) => {
            killed(exceeded);
            Ok(exit_code::KILLED)
        }
        Err(RunError::NotStarted(status)) => {
            program::check(sandbox, root, name)
                .map_err(|reason| no_program(&what, name, &reason))?;
            Err(refused(what, &RunError::NotStarted(status)))
        }
        Err(error @ RunError::Killed(_)) => match group.memory_kill() {
            Some(exceeded) => {
                killed(exceeded);
                Ok(exit_code::KILLED)
            }
            None => Err(refused(what, &error)),
        },
        Err(RunError::HungUp) => {
            output::note("killed: the terminal is gone");
            Ok(exit_code::HUNG_UP)
        }
        Err(error) => Err(refused(what, &error)),
    }
}

/// The root file system that is to be run in.
async fn open(root: Root, arguments: &Arguments, context: &Context) -> Result<RunRoot, Failure> {
    let choice = match root {
        Root::Directory(path) => RootChoice::Directory(path),
        Root::Image(reference, platform) => RootChoice::Image(reference, platform),
        Root::Composed(base, platform) => {
            let choice = platform.map(|platform| Choice::Platforms(vec![platform]));
            let (deps, layers) = (&arguments.deps, &arguments.layers);
            let job = on_base(base, deps, layers, choice, context).await?;
            RootChoice::Composed(Box::new(job))
        }
    };
    let progress = Progress::start();
    let observer: Arc<dyn Observer> = Arc::clone(&progress) as _;
    let store = match choice {
        RootChoice::Directory(_) => None,
        _ => Some(context.layer_store()?.observed_by(observer)),
    };
    let path = context.environment.get(PATH);
    let machine = Machine {
        resolver: &context.resolver,
        store: store.as_ref(),
        scratch: &context.work_dir,
        path: path.as_deref(),
    };
    let opened = open_root(&choice, arguments.keep.as_deref(), machine).await;
    // Before the program writes to the same terminal.
    progress.end();
    let of = opened?;
    of.warnings().iter().for_each(|text| output::warning(text));
    of.notes().iter().for_each(|text| output::note(text));
    Ok(of)
}

/// Runs a program to its end. A signal that would end this process is passed on to it; `None` when it
/// has not ended by itself so long afterwards, or another signal came.
async fn until_stopped<T>(
    running: impl Future<Output = T>,
    handle: &ProgramHandle,
    grace: Duration,
) -> Option<T> {
    let mut signals = Signals::take();
    tokio::pin!(running);
    let signal = tokio::select! {
        ended = &mut running => return Some(ended),
        signal = Signals::next(&mut signals) => signal,
    };
    // One that has ended meanwhile needs no signal.
    if let Err(errno) = handle.send(signal) {
        output::warning(&format!("the program could not be sent a signal: {errno}"));
    }
    tokio::select! {
        ended = running => Some(ended),
        () = tokio::time::sleep(grace) => None,
        _ = Signals::next(&mut signals) => None,
    }
}

/// Whether a program is found by looking at the root file system alone: what is mounted over it may
/// hold it, too, also behind a symlink.
fn is_in_root(request: &Request, name: &OsStr) -> bool {
    let own = ["/proc", "/dev"];
    let is_own = |path: &Path| own.iter().any(|own| path.starts_with(own));
    request.mounts.is_empty() && request.temporary.is_empty() && !is_own(Path::new(name))
}

/// That a program cannot be started, and why.
fn no_program(what: &str, name: &OsStr, reason: &ProgramError) -> Failure {
    let code = match reason {
        ProgramError::NotFound(_) | ProgramError::NoInterpreter(_) => exit_code::NOT_FOUND,
        ProgramError::Directory | ProgramError::NotExecutable => exit_code::NOT_EXECUTABLE,
    };
    let failure = Failure::new(what, reason.to_string()).exiting(code);
    match name.as_encoded_bytes().starts_with(b"-") {
        true => failure.hinted("options of ohoci stand before the image"),
        false => failure,
    }
}

/// Says in a line why a program did not end by itself.
fn killed(exceeded: Exceeded) {
    output::note(&format!("killed: {exceeded} ({})", exceeded.hint()));
}

fn refused(what: impl Into<String>, error: &RunError) -> Failure {
    let failure = Failure::new(what, error.to_string());
    match error.hint() {
        Some(hint) => failure.hinted(hint),
        None => failure,
    }
}

impl From<RunFailure> for Failure {
    fn from(failure: RunFailure) -> Self {
        let shown = match (failure.is_mistake(), failure.why()) {
            (true, _) => Self::usage(failure.what()),
            (false, why) => Self::new(failure.what(), why.unwrap_or_default()),
        };
        match failure.hint() {
            Some(hint) => shown.hinted(hint),
            None => shown,
        }
    }
}
