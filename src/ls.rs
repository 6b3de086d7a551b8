//! `ohoci ls`: the tags of a repository.

use clap::Args;
use serde::Serialize;

use super::arguments::{Format, RegistryArguments};
use super::context::Context;
use super::failure::Failure;
use super::{exit_code, output};
use ohoci_compose::names;
use ohoci_image::RegistryReference;

/// List the tags of a repository, sorted, one per line.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The repository in a registry
    #[arg(value_name = "HOST/NAME")]
    pub repository: String,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What `--format json` prints.
#[derive(Serialize)]
struct Report<'a> {
    repository: &'a str,
    tags: &'a [String],
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let text = &arguments.repository;
    let repository: RegistryReference = text.parse()?;
    if repository.tag().is_some() || repository.digest().is_some() {
        return Err(
            Failure::usage(format!("{text} names one image, not a repository"))
                .hinted("leave out the tag, or look at the image with `ohoci inspect`"),
        );
    }
    let context = Context::open(registry)?;
    let tags = names::tags(&context.resolver, &repository).await?;
    match arguments.format {
        Format::Json => output::json(&Report {
            repository: text,
            tags: &tags,
        })?,
        Format::Text if tags.is_empty() => output::note("the repository has no tags"),
        Format::Text => output::result(&tags.join("\n"))?,
    }
    context.show_server_warnings();
    Ok(exit_code::DONE)
}
