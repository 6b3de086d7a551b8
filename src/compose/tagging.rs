//! `--tag-scheme`: results named by what they are made of.

use std::path::Path;

use clap::{Args as _, FromArgMatches as _};

use super::arguments::CommonArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::tags::{SchemeArguments, SchemeName};
use ohoci_compose::job::Job;
use ohoci_openhands::tags::{Naming, NamingError, Scheme, TagError};

/// What `ohoci tags` knows from flags and compose knows by itself.
const KNOWN: [&str; 6] = [
    "scheme",
    "base",
    "base-digest",
    "deps-digest",
    "patch",
    "position",
];

/// How the flags name results, if they do.
pub(crate) fn naming(
    arguments: &CommonArguments,
    context: &Context,
) -> Result<Option<Naming>, Failure> {
    let Some(name) = arguments.targets.tag_scheme else {
        return Ok(None);
    };
    let scheme = match name {
        SchemeName::Content if arguments.targets.tag_input.is_empty() => {
            Scheme::Content(Box::default())
        }
        SchemeName::Content => {
            return Err(Failure::usage(
                "--tag-input: the tags of scheme content depend on nothing but the image",
            ));
        }
        name => inputs(
            name,
            &arguments.targets.tag_input,
            arguments.layers.code.as_deref(),
        )?
        .scheme(&context.environment, None)?,
    };
    let reuse = arguments.layers.code.is_some() && matches!(scheme, Scheme::V0(_));
    Ok(Some(Naming { scheme, reuse }))
}

/// The job, its targets named; `typed` is the base as a person wrote it.
pub(crate) async fn named(
    naming: &Naming,
    typed: &str,
    job: Job,
    context: &Context,
) -> Result<Job, Failure> {
    let named = naming.apply(typed, job, &context.resolver).await;
    named.map_err(|error| match error {
        NamingError::Read(error) => error.into(),
        NamingError::Reference(error) => error.into(),
        NamingError::Tag(error @ TagError::NoInstance { .. }) => Failure::usage(error.to_string())
            .hinted("give the name with --tag-input custom-tag=NAME"),
        NamingError::Tag(error) => error.into(),
        NamingError::Tagged(_) => {
            Failure::usage(error.to_string()).hinted("name the repository or the directory alone")
        }
    })
}

/// The flags of `ohoci tags`, as `KEY=VALUE` or `KEY`.
fn inputs(
    name: SchemeName,
    given: &[String],
    code: Option<&Path>,
) -> Result<SchemeArguments, Failure> {
    let mut words = vec![format!(
        "--scheme={}",
        match name {
            SchemeName::V0 => "v0",
            SchemeName::V1 => "v1",
            SchemeName::Bench => "bench",
            SchemeName::Content => "content",
        }
    )];
    let mut has_source = false;
    for text in given {
        let key = text.split_once('=').map_or(text.as_str(), |(key, _)| key);
        if KNOWN.contains(&key) {
            return Err(Failure::usage(format!(
                "--tag-input {text}: that is known from what is composed"
            )));
        }
        has_source |= key == "source";
        words.push(format!("--{text}"));
    }
    if let (SchemeName::V0, Some(code), false) = (name, code, has_source) {
        words.push(format!("--source={}", code.display()));
    }
    let fail = |error: &clap::Error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        Failure::usage(format!(
            "--tag-input: {}",
            line.trim_start_matches("error: ")
        ))
        .hinted("it takes the flags of `ohoci tags` without their dashes: sha=abc1234, no-browser")
    };
    let command = SchemeArguments::augment_args(
        clap::Command::new("tags")
            .no_binary_name(true)
            .disable_version_flag(true)
            .disable_help_flag(true),
    );
    let matches = command
        .try_get_matches_from(words)
        .map_err(|error| fail(&error))?;
    SchemeArguments::from_arg_matches(&matches).map_err(|error| fail(&error))
}
