//! Images of many instances, side by side: built, and pushed under every name.

use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::sync::Mutex;

use super::base::Base;
use super::destination::Destination;
use super::planned::PlannedImage;
use super::push::Pusher;
use super::report::{ImageOutcome, Report};
use crate::{BuildError, Builder, Level, Settings};
use ohoci_compose::resolver::Resolver;
use ohoci_image::Reference;

/// The share of processors that upstream recommends, and its cap.
const WORKERS: (usize, usize, usize) = (3, 4, 24);

/// Images to be built on one base.
#[derive(Debug)]
pub struct Job {
    /// What is built, as [`super::planned::plan`] has it.
    pub images: Vec<PlannedImage>,
    /// The base.
    pub base: Base,
    /// What all builds have in common.
    pub settings: Settings,
    /// What images are read and pushed with.
    pub resolver: Arc<Resolver>,
    /// Where images go.
    pub destinations: Vec<Destination>,
    /// Images whose layers are added to each.
    pub deps: Vec<Reference>,
    /// Whether the images of base and environments are pushed, too.
    pub all_levels: bool,
    /// The time that images say they were made, as RFC 3339 writes it.
    pub created: Option<String>,
    /// How many are built side by side.
    pub workers: usize,
}

/// Hears of images as they come.
pub trait Observer: Sync {
    /// One is there, or cannot be.
    fn ended(&self, outcome: &ImageOutcome);
}

/// How many images are built side by side by default.
#[must_use]
pub fn default_workers() -> usize {
    let (share, of, cap) = WORKERS;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors * share / of).clamp(1, cap)
}

/// Builds and pushes images; what cannot be built is part of the report.
///
/// # Errors
/// When archives cannot be written once all is built.
///
/// ```no_run
/// # use ohoci_swebench_images::images::{Job, Observer, build};
/// # use ohoci_swebench_images::report::ImageOutcome;
/// struct Quiet;
///
/// impl Observer for Quiet {
///     fn ended(&self, _: &ImageOutcome) {}
/// }
///
/// # async fn example(job: Job) -> Result<(), ohoci_store::Error> {
/// let report = build(job, &Quiet).await?;
/// assert_eq!(report.failed(), 0);
/// # Ok(())
/// # }
/// ```
pub async fn build(job: Job, observer: &dyn Observer) -> Result<Report, ohoci_store::Error> {
    let pusher = Pusher {
        destinations: job.destinations,
        deps: job.deps,
        work_dir: job.settings.work_dir.clone(),
        created: job.created,
        all_levels: job.all_levels,
        collected: Mutex::default(),
    };
    // Threads that build may outlast what waits for them.
    let builder = Builder::new(job.settings, job.base, Arc::clone(&job.resolver));
    let builder = Arc::new(builder);
    let one = async |planned: PlannedImage| {
        let outcome = build_one(&builder, &pusher, &planned).await;
        observer.ended(&outcome);
        outcome
    };
    let outcomes: Vec<ImageOutcome> = futures_util::stream::iter(job.images)
        .map(one)
        .buffered(job.workers.max(1))
        .collect()
        .await;
    let finished = pusher.finish(job.resolver.limits).await;
    job.resolver.close().await;
    finished?;
    Ok(Report::of(Some(builder.base()), outcomes))
}

async fn build_one(
    builder: &Arc<Builder>,
    pusher: &Pusher,
    planned: &PlannedImage,
) -> ImageOutcome {
    let mut outcome = ImageOutcome::of(planned);
    let order = match &planned.order {
        Ok(order) => order.clone(),
        Err(error) => {
            outcome.error = Some(error.clone());
            return outcome;
        }
    };
    let built = {
        let builder = Arc::clone(builder);
        tokio::task::spawn_blocking(move || builder.build(&order)).await
    };
    let built = built.unwrap_or_else(|error| Err(BuildError::new(Level::Instance, "build", error)));
    match built {
        Err(error) => outcome.error = Some(error),
        Ok(built) => {
            outcome.add_built(&built);
            match pusher.push(builder, planned, &built).await {
                Ok(pushed) => outcome.pushed = pushed,
                Err(error) => outcome.error = Some(error),
            }
        }
    }
    outcome
}
