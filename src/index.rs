//! `ohoci index`: an index of images that exist.

use std::sync::Arc;

use clap::Args;

use super::arguments::{Format, OutputArguments, RegistryArguments};
use super::compose;
use super::compose::key_value;
use super::context::Context;
use super::copy::tell;
use super::exit_code;
use super::failure::Failure;
use super::output;
use super::progress::Progress;
use super::signing::SigningArguments;
use ohoci_compose::Observer;
use ohoci_compose::index_of::{IndexJob, index_of};
use ohoci_image::{Platform, Reference};

/// Make an index of images that exist: of images for one platform each, or of some that an index lists.
///
/// Images and layers stay what they are; within a registry no layer moves. Nodes choose by platform, so each
/// image has to name its own, and no two may name the same one. What attests how the images were built is
/// left out. Prints the digest reference of the index.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The images, in the order in which they are listed; of an index, those that it lists
    #[arg(value_name = "REF", required = true)]
    pub from: Vec<String>,

    /// Where to; repeatable for more tags and more places
    #[arg(long, value_name = "REF", required = true)]
    pub push: Vec<String>,

    /// List only images for this platform; repeatable
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Vec<Platform>,

    /// Set an annotation of the index; makes it an OCI index; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub annotation: Vec<String>,

    /// Fail, and say why, instead of moving blobs: only mount them
    #[arg(long)]
    pub no_upload: bool,

    /// How the result is shown.
    #[command(flatten)]
    pub output: OutputArguments,

    /// Signatures of the result.
    #[command(flatten)]
    pub signing: SigningArguments,
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let context = Context::open(registry)?.signing(&arguments.signing).await?;
    let references = |texts: &[String]| -> Result<Vec<Reference>, Failure> {
        texts.iter().map(|text| Ok(text.parse()?)).collect()
    };
    let annotations = arguments.annotation.iter();
    let job = IndexJob {
        from: references(&arguments.from)?,
        to: references(&arguments.push)?,
        platforms: arguments.platform.clone(),
        annotations: annotations
            .map(|text| key_value("--annotation", text))
            .collect::<Result<_, _>>()?,
        no_upload: arguments.no_upload,
        work_dir: context.work_dir.clone(),
    };
    let progress = Progress::start();
    let observer: Arc<dyn Observer> = Arc::clone(&progress) as _;
    let outcome = Box::pin(index_of(&job, &context.resolver, &observer)).await;
    context.resolver.close().await;
    progress.end();
    context.show_server_warnings();
    let report = outcome?;
    if let Some(path) = &arguments.output.digest_file {
        output::digest_file(path, &report.digest)?;
    }
    tell(&report, arguments.output.format);
    match arguments.output.format {
        Format::Json => output::json(&report)?,
        Format::Text => output::references(&report.references)?,
    }
    if arguments.output.stats {
        output::note(&compose::cost(&report.cost));
    }
    Ok(exit_code::DONE)
}
