//! What evaluates, as the command line asks for it and this machine has it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Arguments;
use crate::failure::Failure;
use crate::swebench::time::now;
use crate::{output, printable};
use ohoci_compose::resolver::Resolver;
use ohoci_config::Environment;
use ohoci_config::environment::PATH;
use ohoci_node::LayerStore;
use ohoci_sandbox::{Bubblewrap, CopyOnWrite, Limiter, Network, abstract_sockets};
use ohoci_swebench_evaluation::assets::Assets;
use ohoci_swebench_evaluation::workers::{Machine, default_workers};
use ohoci_swebench_evaluation::{Evaluator, Follow, Grader, Roots};

/// How long the tests of an instance may take by default, upstream's value.
const TESTS_TIME: Duration = Duration::from_secs(1800);

/// What evaluates, and how many at once.
pub(super) fn evaluator(
    arguments: &Arguments,
    (grader, assets): (Grader, Assets),
    resolver: Resolver,
    environment: &Environment,
    store: LayerStore,
    scratch: &Path,
) -> Result<(Evaluator, usize), Failure> {
    let path = environment.get(PATH);
    let path = path.as_deref();
    let bubblewrap = Bubblewrap::find(path).map_err(|error| {
        let failure = Failure::new("cannot run anything", error.to_string());
        match error.hint() {
            Some(hint) => failure.hinted(hint),
            None => failure,
        }
    })?;
    let (way, trouble) = CopyOnWrite::find(path, scratch)
        .map_err(|error| Failure::new("cannot make sandboxes", error.to_string()))?;
    if let Some(trouble) = trouble {
        output::note(&format!(
            "no overlay can be mounted here ({trouble}); sandboxes are made by {}",
            way.name()
        ));
    }
    let network = Network::from(arguments.sandbox.network);
    if network == Network::Host && !abstract_sockets::can_be_kept_away() {
        output::warning(abstract_sockets::UNPROTECTED);
    }
    let workers = match arguments.max_workers {
        Some(workers) => workers.get(),
        None => {
            let (workers, by) =
                default_workers(&Machine::here(scratch), arguments.limits.asked().memory);
            output::note(&format!(
                "{workers} at once, limited by {by} (--max-workers)"
            ));
            workers
        }
    };
    let limits = arguments.limits.limits(scratch, workers, Some(TESTS_TIME));
    let limiter = Limiter::find(limits);
    arguments.limits.tell(&limiter);
    let follow: Option<Follow> = arguments.follow.then(|| {
        let follow: Follow = Arc::new(|instance: &str, line: &str| {
            output::note(&format!("{instance} | {}", printable::line(line)));
        });
        follow
    });
    let evaluator = Evaluator {
        bubblewrap,
        way,
        limiter: Arc::new(limiter),
        roots: Arc::new(Roots::new(
            resolver,
            store,
            scratch.to_owned(),
            arguments.images.afterwards()?,
        )),
        names: arguments.images.names()?,
        scratch: scratch.to_owned(),
        asked_limits: arguments.limits.asked(),
        timeout: limits.time,
        environment: arguments.sandbox.variables()?,
        network,
        assets,
        grader,
        clock: now,
        follow,
    };
    Ok((evaluator, workers))
}
