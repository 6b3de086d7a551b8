//! `ohoci run`: a program in an image, or in a root file system, without privileges.

mod arguments;
mod prepare;

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use super::arguments::RegistryArguments;
use super::context::Context;
use super::failure::Failure;
use super::{exit_code, output};
use ohoci_config::environment::PATH;
use ohoci_sandbox::{
    Bubblewrap, Ended, Exceeded, Limiter, Network, ProgramError, RunError, Streams,
    abstract_sockets, program,
};

use arguments::Request;
pub use arguments::{Arguments, NetworkChoice};
use prepare::Prepared;
pub(super) use prepare::not_kept;

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
    let request = arguments.request()?;
    let context = Context::open(registry)?;
    // Before anything is downloaded.
    let bubblewrap = Bubblewrap::find(context.environment.get(PATH).as_deref())
        .map_err(|error| refused("cannot run anything", &error))?;
    let prepared = prepare::prepare(&request, arguments, &context).await?;
    context.show_server_warnings();
    if request.network == Network::Host && !abstract_sockets::can_be_kept_away() {
        output::warning(abstract_sockets::UNPROTECTED);
    }
    let Prepared {
        sandbox,
        command,
        root,
        workspace,
        ..
    } = &prepared;
    let bubblewrap = match workspace {
        Some(workspace) => bubblewrap.over(workspace),
        None => bubblewrap,
    };
    let written = match workspace {
        Some(workspace) => workspace.written(),
        None => root.path().to_owned(),
    };
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
    let ended = bubblewrap
        .limited_by(Arc::clone(&group))
        .run(sandbox, command, Streams::Inherited, limits.time)
        .await;
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
        Err(error) => Err(refused(what, &error)),
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
