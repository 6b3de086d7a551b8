//! `ohoci delete`: tags and manifests in registries.

use clap::Args;
use serde::Serialize;

use super::arguments::{Format, RegistryArguments};
use super::context::Context;
use super::failure::Failure;
use super::{exit_code, output};
use ohoci_compose::names;
use ohoci_image::{Pointer, Reference, RegistryReference};

/// Delete tags or manifests from registries.
///
/// A tag is deleted alone (where the registry can: many only delete by digest); a digest with every tag
/// that names it. What they consist of stays until the registry collects garbage. All are tried; if one
/// cannot be deleted or is not there, the exit code is 1.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// What to delete: HOST/NAME:TAG or HOST/NAME@DIGEST
    #[arg(value_name = "REF", required = true)]
    pub references: Vec<String>,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What became of one of them.
#[derive(Serialize)]
struct Entry {
    reference: String,
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    // Nothing is deleted before all of them are understood.
    let references = arguments
        .references
        .iter()
        .map(|text| named(text))
        .collect::<Result<Vec<_>, Failure>>()?;
    let context = Context::open(registry)?;
    let mut entries = Vec::new();
    for reference in &references {
        let (why, hint) = match names::delete(&context.resolver, reference).await {
            Ok(true) => (None, None),
            Ok(false) => (Some(format!("{reference} is not there")), None),
            Err(error) => (Some(error.to_string()), hint(&reference.pointer())),
        };
        if arguments.format == Format::Text {
            match &why {
                None => output::result(&format!("deleted {reference}"))?,
                Some(why) => output::partial_failure(&format!("error: {why}")),
            }
            if let Some(hint) = hint {
                output::partial_failure(&format!("hint: {hint}"));
            }
        }
        entries.push(Entry {
            reference: reference.to_string(),
            deleted: why.is_none(),
            why,
            hint,
        });
    }
    if arguments.format == Format::Json {
        output::json(&entries)?;
    }
    context.show_server_warnings();
    Ok(match entries.iter().all(|entry| entry.deleted) {
        true => exit_code::DONE,
        false => exit_code::FAILED,
    })
}

/// What may help where a registry refuses.
fn hint(pointer: &Pointer) -> Option<&'static str> {
    match pointer {
        Pointer::Tag(_) => Some(
            "a registry may delete by digest only (`ohoci digest` tells it), which takes all tags of it along",
        ),
        Pointer::Digest(_) => None,
    }
}

/// What is to be deleted, which has to be named in full: a tag that is only usual is none.
fn named(text: &str) -> Result<RegistryReference, Failure> {
    let Reference::Registry(reference) = text.parse::<Reference>()? else {
        return Err(Failure::usage(format!("{text} is not in a registry"))
            .hinted("files and directories are deleted with rm"));
    };
    if reference.tag().is_none() && reference.digest().is_none() {
        return Err(
            Failure::usage(format!("{text} names neither a tag nor a digest"))
                .hinted("say which: HOST/NAME:TAG or HOST/NAME@DIGEST"),
        );
    }
    Ok(reference)
}
