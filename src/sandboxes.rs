//! `ohoci sandboxes`: many sandboxes, steered by another program.

use std::num::NonZero;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use clap::Args;
use tokio::fs::File;
use tokio::io::BufReader;

use super::arguments::RegistryArguments;
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use super::limits::LimitArguments;
use ohoci_config::environment::PATH;
use ohoci_run::sandboxes::{Service, ServiceSettings};
use ohoci_sandbox::{Bubblewrap, Limiter};

/// Let another program steer sandboxes, by lines of JSON on stdin and stdout.
///
/// Each line on stdin is one operation (create, exec, kill, copy-in, copy-out, reset, remove, list), and
/// each on stdout the answer to one, known by the `id` that it was given. Those of one sandbox are done
/// one after the other, those of several side by side. At the end of stdin all sandboxes are removed.
/// docs/sandboxes.md has every field.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// How many programs run at the same time [default: as many as there are processors]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<NonZero<usize>>,

    #[command(flatten)]
    pub(super) limits: LimitArguments,
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let context = Context::open(registry)?;
    let path = context.environment.get(PATH);
    let bubblewrap = Bubblewrap::find(path.as_deref())
        .map_err(|error| Failure::new("cannot run anything", error.to_string()))?;
    let processors = std::thread::available_parallelism().map_or(2, NonZero::get);
    let side_by_side = arguments.jobs.map_or(processors, NonZero::get);
    let scratch = context.work_dir.clone();
    let limits = arguments.limits.limits(&scratch, side_by_side, None);
    let limiter = Arc::new(Limiter::find(limits));
    arguments.limits.tell(&limiter);
    let service = Service::new(ServiceSettings {
        store: context.layer_store()?,
        resolver: context.resolver,
        scratch,
        path,
        bubblewrap,
        limiter,
        timeout: limits.time,
        side_by_side,
    });
    let stream = |stream: BorrowedFd<'_>| {
        let own = stream.try_clone_to_owned();
        own.map(|own| File::from_std(own.into()))
            .map_err(|error| Failure::new("cannot use the standard streams", error.to_string()))
    };
    let input = BufReader::new(stream(rustix::stdio::stdin())?);
    let output = stream(rustix::stdio::stdout())?;
    let served = service.serve(input, output, env!("CARGO_PKG_VERSION"));
    served
        .await
        .map_err(|error| Failure::new("cannot go on", error.to_string()))?;
    Ok(exit_code::DONE)
}
