//! Images that are not there yet are built while others are evaluated.

use super::{Arguments, told};
use crate::arguments::RegistryArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::limits::LimitArguments;
use crate::output;
use crate::swebench::images::{self, Instances, Request};
use ohoci_layer::pack::PackOptions;
use ohoci_swebench::specs::Catalogue;
use ohoci_swebench_evaluation::Outcome;
use ohoci_swebench_evaluation::coming::Coming;
use ohoci_swebench_evaluation::run::{self, Run, evaluate};
use ohoci_swebench_images::destination::{Destination, DestinationError};
use ohoci_swebench_images::images::Observer;
use ohoci_swebench_images::report::ImageOutcome;
use ohoci_swebench_images::repository::RepoSource;

/// That there is a place for what is to be built.
///
/// # Errors
/// When there is none.
pub(super) fn check(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.build.repo_source.is_empty() {
        return Ok(());
    }
    if arguments.images.images.is_none() && arguments.images.registry.is_none() {
        return Err(
            Failure::usage("--repo-source needs a place for what is built")
                .hinted("--images oci:DIR, or --registry HOST"),
        );
    }
    Ok(())
}

/// What is asked for of whoever builds images.
fn request(arguments: &Arguments, workers: usize) -> Result<Request, Failure> {
    let (build, images) = (&arguments.build, &arguments.images);
    let place = images.images.as_ref().or(images.registry.as_ref());
    let sources = build.repo_source.iter();
    Ok(Request {
        sources: sources.map(|text| RepoSource::parse(text)).collect(),
        base_image: build.base_image.clone(),
        base_recipe: build.base_recipe.clone(),
        python_dir: build.python_dir.clone(),
        destinations: place
            .map(|text| text.parse())
            .into_iter()
            .collect::<Result<_, DestinationError>>()
            .map_err(|error| Failure::usage(format!("--images {error}")))?,
        namespace: images.namespace.clone(),
        tag: images.instance_image_tag.clone(),
        all_levels: false,
        deps: Vec::new(),
        channels: Vec::new(),
        leave_out: build.leave_out.clone(),
        offline: false,
        keep_unpacked: false,
        workers,
        logs: build.build_logs.clone(),
        packing: PackOptions::default(),
        limits: LimitArguments {
            // That is how long tests may take.
            timeout: None,
            ..arguments.limits.clone()
        },
    })
}

/// Builds the images that are not there, and evaluates: an instance whose image is being built waits
/// for it, the others do not.
pub(super) async fn build_and_evaluate(
    arguments: &Arguments,
    registry: &RegistryArguments,
    catalogue: &Catalogue,
    run: &Run<'_>,
    console: &told::Console,
) -> Result<Vec<Outcome>, Failure> {
    let missing = match arguments.build.repo_source.is_empty() {
        true => Vec::new(),
        false => run::without_image(run).await,
    };
    if missing.is_empty() {
        return Ok(evaluate(run, &Coming::default(), console).await);
    }
    let count = run.tasks.iter().filter(|task| !task.prediction.is_empty());
    output::note(&format!(
        "building {} of {} images",
        missing.len(),
        count.count()
    ));
    let request = request(arguments, run.workers)?;
    let coming = Coming::new(missing.iter().map(|row| row.instance_id.as_str()));
    let watching = Watching(&coming);
    let instances = Instances {
        rows: missing,
        catalogue,
        patches: None,
    };
    let context = Context::open(registry)?;
    let building = request.build(instances, context, &watching);
    if request.destinations.iter().any(Destination::is_archive) {
        // An archive is written once, when all of its images are built.
        Box::pin(building).await?;
        return Ok(evaluate(run, &coming, console).await);
    }
    let evaluating = async { Ok(evaluate(run, &coming, console).await) };
    let (_, outcomes) = futures_util::future::try_join(Box::pin(building), evaluating).await?;
    Ok(outcomes)
}

/// Tells of images on stderr, and those that wait for them.
struct Watching<'a>(&'a Coming);

impl Observer for Watching<'_> {
    fn ended(&self, outcome: &ImageOutcome) {
        images::tell_outcome(outcome);
        self.0.ended(outcome);
    }
}
