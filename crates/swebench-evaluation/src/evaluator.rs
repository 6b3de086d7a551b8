//! What evaluations have in common, whichever the instance.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::assets::Assets;
use super::evaluate_error::EvaluateError;
use super::grader::Grader;
use super::httpbin::Httpbin;
use super::image::ImageNames;
use super::instance_log::Clock;
use super::observer::{Note, Observer};
use super::output::Follow;
use super::request::{Means, Runs};
use super::roots::{ImageRoot, Roots};
use super::workers::{Machine, default_workers};
use ohoci_config::environment::PATH;
use ohoci_node::LayerStore;
use ohoci_sandbox::{Bubblewrap, CopyOnWrite, Limiter, Limits, Network, abstract_sockets};
use ohoci_swebench::row::Row;

/// How long the tests of an instance may take by default, upstream's value.
const TESTS_TIME: Duration = Duration::from_secs(1800);

/// What is needed to evaluate, whichever the instance.
#[derive(Clone)]
pub(super) struct Evaluator {
    /// Runs sandboxes.
    pub(super) bubblewrap: Bubblewrap,
    /// How a root file system is made that can be written.
    pub(super) way: CopyOnWrite,
    /// What a run may use.
    pub(super) limiter: Arc<Limiter>,
    /// The images.
    pub(super) roots: Arc<Roots>,
    /// How they are called.
    pub(super) names: ImageNames,
    /// Where runs keep what they write, as long as they last.
    pub(super) scratch: PathBuf,
    /// Which of the limits were asked for; the others follow from the machine, and change no verdict.
    pub(super) asked_limits: Limits,
    /// How long the tests may take, if that is limited.
    pub(super) timeout: Option<Duration>,
    /// What they can reach.
    pub(super) network: Network,
    /// What answers in httpbin.org's place.
    httpbin: Option<Arc<Httpbin>>,
    /// Variables of their environment, over the image's.
    pub(super) environment: Vec<(String, String)>,
    /// Files that patches cannot bring.
    pub(super) assets: Assets,
    /// Who grades.
    pub(super) grader: Grader,
    /// Tells the time for logs.
    pub(super) clock: Clock,
    /// Who watches.
    pub(super) follow: Option<Follow>,
}

impl std::fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evaluator")
            .field("names", &self.names)
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

impl Evaluator {
    /// What evaluates as is asked for and as this machine can, and how many at once.
    ///
    /// # Errors
    /// When nothing can be run here, the store of layers cannot be opened, or there is no such image of
    /// httpbin.
    pub(super) async fn find(
        runs: &Runs,
        (grader, assets): (Grader, Assets),
        means: &Means<'_>,
        observer: &dyn Observer,
    ) -> Result<(Self, usize), EvaluateError> {
        let resolver = Arc::clone(&means.images.resolver);
        let scratch = &means.images.work_dir;
        let (directory, most_bytes) = &means.images.store;
        let store = LayerStore::open(directory)?
            .limited_to(*most_bytes)
            .unpacking_within(resolver.limits);
        let path = means.images.environment.get(PATH);
        let path = path.as_deref();
        let bubblewrap = Bubblewrap::find(path).map_err(EvaluateError::Bubblewrap)?;
        let (way, refusal) = CopyOnWrite::find(path, scratch).map_err(EvaluateError::Sandboxes)?;
        if let Some(why) = &refusal {
            let way = way.name();
            observer.noted(&Note::NoOverlay { why, way });
        }
        if runs.network == Network::Host && !abstract_sockets::can_be_kept_away() {
            observer.warned(abstract_sockets::UNPROTECTED);
        }
        let asked = runs.limits.only();
        let httpbin = match &runs.httpbin {
            None => None,
            Some(reference) => {
                let path = path.map(ToOwned::to_owned);
                let found = Httpbin::find(reference, &resolver, &store, path).await;
                Some(Arc::new(found.map_err(EvaluateError::Httpbin)?))
            }
        };
        let workers = runs.workers.unwrap_or_else(|| {
            let (count, by) = default_workers(&Machine::here(scratch), asked.memory);
            observer.noted(&Note::Workers { count, by });
            count
        });
        let limits = runs.limits.limits(scratch, workers, Some(TESTS_TIME));
        let limiter = Limiter::find(limits);
        observer.limited(&limiter);
        let evaluator = Self {
            bubblewrap,
            way,
            limiter: Arc::new(limiter),
            roots: Arc::new(Roots::new(
                resolver,
                store,
                scratch.clone(),
                runs.afterwards,
            )),
            names: runs.names.clone(),
            scratch: scratch.clone(),
            asked_limits: asked,
            timeout: limits.time,
            environment: runs.environment.clone(),
            network: runs.network,
            httpbin,
            assets,
            grader,
            clock: means.clock,
            follow: runs.follow.clone(),
        };
        Ok((evaluator, workers))
    }

    /// What answers in httpbin.org's place for the tests of an instance, where they ask it.
    pub(super) fn httpbin_for(&self, row: &Row) -> Option<&Httpbin> {
        let httpbin = self.httpbin.as_deref();
        httpbin.filter(|_| Httpbin::is_for(row))
    }

    /// What the tests of an instance can reach. Some that ask httpbin.org also wait for answers from
    /// elsewhere in vain.
    pub(super) fn network_of(&self, row: &Row) -> Network {
        match self.httpbin_for(row) {
            Some(_) => Network::DeadEnd,
            None => self.network,
        }
    }

    /// What is set over an image's environment.
    pub(super) fn variables(&self, root: &ImageRoot) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        let is_set = |name: &str| {
            let of_image = root.process.environment.iter();
            of_image
                .filter_map(|entry| entry.split_once('='))
                .any(|(known, _)| known == name)
        };
        // Scripts install the repository once more. Without a network pip would wait between vain
        // attempts, ten seconds for each instance.
        if self.network != Network::Host && !is_set("PIP_RETRIES") {
            variables.push(("PIP_RETRIES".to_owned(), "0".to_owned()));
        }
        variables.extend_from_slice(&self.environment);
        variables
    }
}
