//! `ohoci rebase`: make a composed image anew on what its base and deps are now, or on others.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are help texts, where brackets mark what may be left out"
)]

use std::time::Instant;

use clap::Args;

use super::arguments::{OutputArguments, RegistryArguments};
use super::compose::{View, run_job};
use super::context::Context;
use super::failure::Failure;
use super::output;
use super::signing::SigningArguments;
use ohoci_compose::job::Job;
use ohoci_compose::recompose::{BaseChoice, DepsChoice, Rebase, dropped_warning, rebase_job};
use ohoci_image::Reference;

/// Compose an image again, on its current base and deps or on others.
///
/// The image records what it was made from: deps layers are replaced, never stacked; the new base's
/// config is patched again; local layers are taken over. Prints the digest
/// reference of the result.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The image, made by ohoci: a registry reference, oci:DIR[:TAG], oci-archive:FILE[:TAG] or
    /// docker-archive:FILE[:NAME]
    #[arg(value_name = "REF")]
    pub reference: String,

    /// Put it on this image [default: what the recorded reference names now]
    #[arg(long, value_name = "REF")]
    pub base: Option<String>,

    /// Put it on what the recorded base was then, although its reference may name another by now
    #[arg(long, conflicts_with = "base")]
    pub keep_base: bool,

    /// Put these deps images in place of the recorded ones; repeatable [default: what the recorded
    /// references name now]
    #[arg(long, value_name = "REF")]
    pub deps: Vec<String>,

    /// Keep the deps images as they were then, although their references may name others by now
    #[arg(long, conflicts_with = "deps")]
    pub keep_deps: bool,

    /// Where the result goes; repeatable [default: REF itself]
    #[arg(long, value_name = "REF")]
    pub push: Vec<String>,

    /// Fail, and say why, instead of moving layer bytes
    #[arg(long)]
    pub no_upload: bool,

    /// Print the plan and the config's changes; send only GET and HEAD
    #[arg(long)]
    pub dry_run: bool,

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
    let started = Instant::now();
    let context = Context::open(registry)?.signing(&arguments.signing).await?;
    let view = View::of(&arguments.output, false);
    let job = Box::pin(job(arguments, &context));
    Box::pin(run_job(&context, job, view, started)).await
}

async fn job(arguments: &Arguments, context: &Context) -> Result<Job, Failure> {
    let reference: Reference = arguments.reference.parse()?;
    let push = references(&arguments.push)?;
    let asked = Rebase {
        base: match &arguments.base {
            Some(base) => BaseChoice::Other(base.parse()?),
            None if arguments.keep_base => BaseChoice::Recorded,
            None => BaseChoice::Current,
        },
        deps: if !arguments.deps.is_empty() {
            DepsChoice::Other(references(&arguments.deps)?)
        } else if arguments.keep_deps {
            DepsChoice::Recorded
        } else {
            DepsChoice::Current
        },
        remembered: false,
        work_dir: context.work_dir.clone(),
        reference: reference.clone(),
    };
    let targets = if push.is_empty() {
        std::slice::from_ref(&reference)
    } else {
        push.as_slice()
    };
    // One token then serves reading the image and pushing to where it lies.
    if !arguments.dry_run {
        context
            .resolver
            .announce(&[], &targets.iter().collect::<Vec<_>>());
    }
    let (mut job, dropped) = rebase_job(&asked, &context.resolver).await?;
    if let Some(warning) = dropped_warning(&reference, &dropped) {
        output::warning(&warning);
    }
    if !push.is_empty() {
        job.push = push;
    }
    if job.push.is_empty() && !arguments.dry_run {
        return Err(
            Failure::usage(format!("{reference} is nothing that can be pushed to"))
                .hinted("say where the result goes: --push REF"),
        );
    }
    job.no_upload = arguments.no_upload;
    job.dry_run = arguments.dry_run;
    Ok(job)
}

fn references(list: &[String]) -> Result<Vec<Reference>, Failure> {
    list.iter()
        .map(|text| text.parse().map_err(Failure::from))
        .collect()
}
