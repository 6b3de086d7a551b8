//! `ohoci copy`: an image from any kind of place to any other.

use std::sync::Arc;

use clap::Args;

use super::arguments::{Format, OutputArguments, RegistryArguments};
use super::choices;
use super::compose;
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use super::output;
use super::progress::Progress;
use super::signing::SigningArguments;
use ohoci_compose::Observer;
use ohoci_compose::copy::{Job, copy};
use ohoci_compose::copy_tags::{TagsJob, copy_tags};
use ohoci_compose::shipment::CopyReport;
use ohoci_image::media_type::Compression;
use ohoci_image::{Platform, Reference};
use ohoci_layer::PackOptions;
use ohoci_layer::compress::Settings;

/// Copy an image or index between registries, layouts and archives.
///
/// An index is copied with everything that it lists. Digests change with --compression, and where
/// Docker manifests become OCI manifests: in OCI layouts and archives, whose readers take no others.
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

    /// Copy every tag of the repository SRC to the same tag of DST, a repository or oci:DIR
    #[arg(long, conflicts_with = "tag")]
    pub all_tags: bool,

    /// Copy the tags of the repository SRC that match this pattern, such as `v1.*`, to the same tags of DST;
    /// repeatable
    #[arg(long, value_name = "GLOB")]
    pub tag: Vec<glob::Pattern>,

    /// Copy what is about the image as well: signatures, bills of materials and other manifests that
    /// name it, or an image that it lists, as their subject
    #[arg(long)]
    pub referrers: bool,

    /// Compress the layers in this way where they are compressed in another; digests of manifests and layers
    /// change, those of configs do not
    #[arg(long, value_parser = choices::compression(), conflicts_with = "no_upload")]
    pub compression: Option<Compression>,

    /// The level of that: 0 to 9 for gzip [default: 6], 1 to 19 for zstd [default: 3]; with one, layers that
    /// are compressed so already are compressed anew, too
    #[arg(long, value_name = "LEVEL", requires = "compression")]
    pub compression_level: Option<u32>,

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
    if arguments.all_tags || !arguments.tag.is_empty() {
        return Box::pin(tags(arguments, registry)).await;
    }
    let context = Context::open(registry)?.signing(&arguments.signing).await?;
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
        compression: compression(arguments)?,
        work_dir: context.work_dir.clone(),
    };
    let progress = Progress::start();
    let observer: Arc<dyn Observer> = Arc::clone(&progress) as _;
    let outcome = Box::pin(copy(&job, &context.resolver, &observer)).await;
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

/// How layers are to be compressed, if that is asked for.
fn compression(arguments: &Arguments) -> Result<Option<Settings>, Failure> {
    let Some(compression) = arguments.compression else {
        return Ok(None);
    };
    Ok(Some(Settings {
        compression,
        level: choices::level(compression, arguments.compression_level)?,
        threads: PackOptions::default().threads,
    }))
}

/// Copies tags of a repository.
async fn tags(arguments: &Arguments, registry: &RegistryArguments) -> Result<u8, Failure> {
    let untagged = |text: &String| -> Result<Reference, Failure> {
        let reference: Reference = text.parse()?;
        let has_tag = match &reference {
            Reference::Registry(named) => named.tag().is_some() || named.digest().is_some(),
            Reference::Layout { tag, .. } => tag.is_some(),
            _ => false,
        };
        match has_tag {
            true => Err(Failure::usage(format!(
                "{text} names one image, and --all-tags and --tag are for repositories"
            ))),
            false => Ok(reference),
        }
    };
    let Reference::Registry(from) = untagged(&arguments.from)? else {
        return Err(Failure::usage(format!(
            "{} is no repository in a registry, and --all-tags and --tag are for those",
            arguments.from
        )));
    };
    if arguments.output.digest_file.is_some() {
        return Err(Failure::usage(
            "--digest-file is for one image, not for several tags",
        ));
    }
    let context = Context::open(registry)?.signing(&arguments.signing).await?;
    let job = TagsJob {
        from,
        to: arguments
            .to
            .iter()
            .map(untagged)
            .collect::<Result<_, _>>()?,
        patterns: arguments.tag.clone(),
        platform: arguments.platform.clone(),
        no_upload: arguments.no_upload,
        referrers: arguments.referrers,
        compression: compression(arguments)?,
        work_dir: context.work_dir.clone(),
    };
    let progress = Progress::start();
    let observer: Arc<dyn Observer> = Arc::clone(&progress) as _;
    let outcome = Box::pin(copy_tags(&job, &context.resolver, &observer)).await;
    context.resolver.close().await;
    progress.end();
    context.show_server_warnings();
    let reports = outcome?;
    for report in &reports {
        tell(report, arguments.output.format);
    }
    match arguments.output.format {
        Format::Json => output::json(&reports)?,
        Format::Text => output::references(reports.iter().flat_map(|report| &report.references))?,
    }
    if arguments.output.stats
        && let Some(last) = reports.last()
    {
        // The numbers are those of the client, and so of all copies.
        output::note(&compose::cost(&last.cost));
    }
    Ok(exit_code::DONE)
}

/// Says what deserves a second look, and what was made on the way.
pub(super) fn tell(report: &CopyReport, format: Format) {
    for warning in &report.warnings {
        output::warning(warning);
    }
    if format == Format::Text {
        report.made.iter().for_each(|made| output::note(made));
    }
}
