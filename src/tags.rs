//! `ohoci tags`: the tags that OpenHands looks images up by.

mod inputs;
mod source;

use clap::Args;

use super::arguments::Format;
use super::exit_code;
use super::failure::Failure;
use super::output;
use ohoci_config::Environment;
use ohoci_image::RegistryReference;
use ohoci_openhands::tags::TagError;

pub use inputs::{BenchmarkName, FlavorName, PhaseName, SchemeArguments, SchemeName};

/// Print the tags under which OpenHands looks up an image.
///
/// One tag per line, without touching the network. Every tag is legal: where upstream fails or
/// makes a tag that no registry takes, ohoci's differs, as docs/tags.md says.
#[derive(Args, Clone, Debug)]
#[command(disable_version_flag = true)]
pub struct Arguments {
    /// The base image, as a person types it: `ubuntu` and `ubuntu:22.04` make different tags
    #[arg(long, value_name = "REF")]
    pub base: Option<String>,

    /// Print REPO:TAG instead of TAG
    #[arg(long, value_name = "REPO")]
    pub image: Option<String>,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,

    /// What the tags depend on.
    #[command(flatten)]
    pub scheme: SchemeArguments,
}

#[derive(serde::Serialize)]
struct Report<'a> {
    scheme: SchemeName,
    base: &'a str,
    tags: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    references: Option<&'a [String]>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    if let Some(image) = &arguments.image {
        check_repository(image)?;
    }
    let environment = Environment::of_process();
    let scheme = arguments
        .scheme
        .scheme(&environment, arguments.image.as_deref())?;
    let base = match (&arguments.base, arguments.scheme.base_digest.as_deref()) {
        (Some(_), Some(_)) => {
            return Err(Failure::usage(
                "--base and --base-digest exclude each other",
            ));
        }
        (Some(base), None) => base,
        (None, digest) => digest.unwrap_or_default(),
    };
    let tags = scheme.tags(base)?;
    let references: Option<Vec<String>> = arguments
        .image
        .as_ref()
        .map(|image| tags.iter().map(|tag| format!("{image}:{tag}")).collect());
    match arguments.format {
        Format::Json => output::json(&Report {
            scheme: arguments.scheme.scheme,
            base,
            tags: &tags,
            references: references.as_deref(),
        })?,
        Format::Text => output::result(&references.as_ref().unwrap_or(&tags).join("\n"))?,
    }
    Ok(exit_code::DONE)
}

fn check_repository(image: &str) -> Result<(), Failure> {
    let reference: RegistryReference = image.parse()?;
    if reference.tag().is_some() || reference.digest().is_some() {
        return Err(Failure::usage(format!(
            "--image {image:?}: expected a repository, without tag or digest"
        )));
    }
    Ok(())
}

impl From<TagError> for Failure {
    fn from(error: TagError) -> Self {
        let hint = match &error {
            TagError::NoBase => "name it with --base REF",
            TagError::NothingWanted => {
                "name a variant with --custom-tag, or leave out --no-base-tag"
            }
            TagError::NoContentHash => "give it with --dockerfile FILE",
            TagError::NoInstance { .. } => {
                "give the name with --custom-tag, or choose another --benchmark"
            }
            TagError::NoBaseDigest { .. } => {
                "pin the base (NAME@sha256:…), or give the digest with --base-digest"
            }
        };
        Self::usage(error.to_string()).hinted(hint)
    }
}
