//! `ohoci copy`: an image from any kind of place to any other.

use std::sync::Arc;

use clap::Args;

use super::arguments::{Format, OutputArguments, RegistryArguments};
use super::compose;
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use super::output;
use super::progress::Progress;
use ohoci_compose::Observer;
use ohoci_compose::copy::{Job, copy};
use ohoci_image::Platform;

/// Copy an image or index between registries, layouts and archives.
///
/// An index is copied with everything that it lists. Digests do not change, except that
/// Docker manifests become OCI manifests in OCI layouts and archives, whose readers take no others.
/// Prints the digest reference of the copy, one line for each place.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// What to copy
    #[arg(value_name = "SRC")]
    pub from: String,

    /// Where to; repeatable for more tags and more places
    #[arg(value_name = "DST", required = true)]
    pub to: Vec<String>,

    /// Of an index, copy only the image for this platform
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,

    /// Copy what is about the image as well: signatures, bills of materials and other manifests that
    /// name it, or an image that it lists, as their subject
    #[arg(long)]
    pub referrers: bool,

    /// Fail, and say why, instead of moving blobs: only mount them
    #[arg(long)]
    pub no_upload: bool,

    /// How the result is shown.
    #[command(flatten)]
    pub output: OutputArguments,
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let context = Context::open(registry)?;
    let job = Job {
        from: arguments.from.parse()?,
        to: arguments
            .to
            .iter()
            .map(|text| text.parse())
            .collect::<Result<_, _>>()?,
        platform: arguments.platform.clone(),
        no_upload: arguments.no_upload,
        referrers: arguments.referrers,
        work_dir: context.work_dir.clone(),
    };
    let progress = Progress::start();
    let observer: Arc<dyn Observer> = Arc::clone(&progress) as _;
    let outcome = Box::pin(copy(&job, &context.resolver, &observer)).await;
    context.resolver.close().await;
    progress.end();
    context.show_server_warnings();
    let report = outcome?;
    for warning in &report.warnings {
        output::warning(warning);
    }
    if let Some(path) = &arguments.output.digest_file {
        output::digest_file(path, &report.digest)?;
    }
    if arguments.output.format == Format::Text {
        report.made.iter().for_each(|made| output::note(made));
    }
    match arguments.output.format {
        Format::Json => output::json(&report)?,
        Format::Text => output::references(&report.references)?,
    }
    if arguments.output.stats {
        output::note(&compose::cost(&report.cost));
    }
    Ok(exit_code::DONE)
}
