//! Images that are not there yet are built while others are evaluated.

use std::path::Path;

use super::coming::Coming;
use super::evaluate_error::EvaluateError;
use super::observer::{Note, Observer};
use super::outcome::Outcome;
use super::request::Means;
use super::run::{Run, evaluate, without_image};
use ohoci_deps::NewLock;
use ohoci_sandbox::Limiter;
use ohoci_swebench::specs::Catalogue;
use ohoci_swebench_images::BuildError;
use ohoci_swebench_images::destination::Destination;
use ohoci_swebench_images::images::build;
use ohoci_swebench_images::observer::Observer as ImageObserver;
use ohoci_swebench_images::report::ImageOutcome;
use ohoci_swebench_images::request::{Instances, Request};

/// Builds the images that are not there, and evaluates: an instance whose image is being built waits
/// for it, the others do not.
pub(super) async fn build_and_evaluate(
    request: Option<&Request>,
    run: &Run<'_>,
    catalogue: &Catalogue,
    means: &Means<'_>,
    observer: &dyn Observer,
) -> Result<Vec<Outcome>, EvaluateError> {
    let Some(request) = request else {
        return Ok(evaluate(run, &Coming::default(), observer).await);
    };
    let missing = without_image(run).await;
    if missing.is_empty() {
        return Ok(evaluate(run, &Coming::default(), observer).await);
    }
    let of = run.tasks.iter().filter(|task| !task.prediction.is_empty());
    observer.noted(&Note::Building {
        missing: missing.len(),
        of: of.count(),
    });
    let request = Request {
        workers: run.workers,
        ..request.clone()
    };
    let coming = Coming::new(missing.iter().map(|row| row.instance_id.as_str()));
    let watching = Watching {
        coming: &coming,
        observer: means.images_observer,
    };
    let instances = Instances {
        rows: missing,
        catalogue,
        patches: None,
    };
    let building = build(&request, instances, means.images, &watching);
    if request.destinations.iter().any(Destination::is_archive) {
        // An archive is written once, when all of its images are built.
        Box::pin(building).await?;
        return Ok(evaluate(run, &coming, observer).await);
    }
    let building = async { Box::pin(building).await.map_err(EvaluateError::from) };
    let evaluating = async { Ok(evaluate(run, &coming, observer).await) };
    let (_, outcomes) = futures_util::future::try_join(building, evaluating).await?;
    Ok(outcomes)
}

/// Passes on what is heard of images, to those that wait for them too.
struct Watching<'a> {
    coming: &'a Coming,
    observer: &'a dyn ImageObserver,
}

impl ImageObserver for Watching<'_> {
    fn ended(&self, outcome: &ImageOutcome) {
        self.observer.ended(outcome);
        self.coming.ended(outcome);
    }

    fn locked(&self, made: &NewLock) {
        self.observer.locked(made);
    }

    fn assembling(&self, packages: usize) {
        self.observer.assembling(packages);
    }

    fn without_base(&self, error: &BuildError) {
        self.observer.without_base(error);
    }

    fn limited(&self, limiter: &Limiter) {
        self.observer.limited(limiter);
    }

    fn prepared(&self) {
        self.observer.prepared();
    }

    fn submitted(&self, scripts: &[&Path]) {
        self.observer.submitted(scripts);
    }

    fn warned(&self, warning: &str) {
        self.observer.warned(warning);
    }
}
