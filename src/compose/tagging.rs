//! `--tag-scheme`: results named by what they are made of.

use std::path::Path;

use clap::{Args as _, FromArgMatches as _};

use super::arguments::CommonArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::tags::{SchemeArguments, SchemeName};
use ohoci_compose::job::{IfExists, Job, ReuseOrder};
use ohoci_compose::read::{Choice, this_machine};
use ohoci_image::{Content, Reference, RegistryReference};
use ohoci_openhands::tags::{Scheme, TagError, content};

/// What `ohoci tags` knows from flags and compose knows by itself.
const KNOWN: [&str; 6] = [
    "scheme",
    "base",
    "base-digest",
    "deps-digest",
    "patch",
    "position",
];

/// How results are named.
#[derive(Clone, Debug)]
pub(crate) struct Tagging {
    scheme: Scheme,
    reuse: bool,
}

impl Tagging {
    /// What the flags ask for, if anything.
    pub(crate) fn new(
        arguments: &CommonArguments,
        context: &Context,
    ) -> Result<Option<Self>, Failure> {
        let Some(name) = arguments.tag_scheme else {
            return Ok(None);
        };
        let scheme = match name {
            SchemeName::Content if arguments.tag_input.is_empty() => {
                Scheme::Content(Box::default())
            }
            SchemeName::Content => {
                return Err(Failure::usage(
                    "--tag-input: the tags of scheme content depend on nothing but the image",
                ));
            }
            name => inputs(name, &arguments.tag_input, arguments.code.as_deref())?
                .scheme(&context.environment, None)?,
        };
        let reuse = arguments.code.is_some() && matches!(scheme, Scheme::V0(_));
        Ok(Some(Self { scheme, reuse }))
    }

    /// Gives the job's targets, which name repositories, the tags for this base. `typed` is the
    /// base as a person wrote it.
    pub(crate) async fn apply(
        &self,
        typed: &str,
        mut job: Job,
        context: &Context,
    ) -> Result<Job, Failure> {
        let tags = match &self.scheme {
            Scheme::Content(_) => vec![content_tag(&mut job, context).await?],
            scheme => scheme.tags(typed).map_err(|error| match error {
                TagError::NoInstance { .. } => Failure::usage(error.to_string())
                    .hinted("give the name with --tag-input custom-tag=NAME"),
                other => other.into(),
            })?,
        };
        let mut push = Vec::new();
        for place in &job.push {
            for tag in &tags {
                push.push(tagged(place, tag)?);
            }
        }
        if let (true, [source, lock, versioned, ..]) = (self.reuse, push.as_slice()) {
            job.reuse = Some(ReuseOrder {
                source: source.clone(),
                lock: lock.clone(),
                versioned: versioned.clone(),
            });
            job.if_exists = IfExists::Skip;
        }
        job.push = push;
        Ok(job)
    }
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

/// The tag of everything that goes into the image. Base and deps are then read at the digests
/// that are in it, so that the tag is right whatever moves meanwhile.
async fn content_tag(job: &mut Job, context: &Context) -> Result<String, Failure> {
    let reads: Vec<&Reference> = std::iter::once(&job.base).chain(&job.deps).collect();
    context.resolver.announce(&reads, &[]);
    let mut several = true;
    let base = match &job.base {
        Reference::Scratch => None,
        base => {
            let source = context.resolver.source(base).await?;
            let root = source.root().await?;
            several = matches!(root.content(), Content::Index { .. });
            Some(root.digest().clone())
        }
    };
    let mut deps = Vec::new();
    for reference in &job.deps {
        let image = context.resolver.deps(reference).await?;
        deps.push(image.root.digest().clone());
    }
    job.pins.base.clone_from(&base);
    job.pins.deps = deps.iter().cloned().map(Some).collect();
    deps.extend(
        job.layers
            .iter()
            .map(|layer| layer.descriptor.digest.clone()),
    );
    let inputs = content::Inputs {
        deps,
        position: job.position,
        patch: job.patch.clone(),
        path: job.deps_path.clone(),
        annotations: job.annotations.clone(),
        platforms: match &job.choice {
            Choice::All => vec!["all".to_owned()],
            Choice::Platforms(list) => list.iter().map(ToString::to_string).collect(),
            // Of several images it is this machine's that is taken.
            Choice::Default if several => vec![this_machine().to_string()],
            Choice::Default => Vec::new(),
        },
        created: job.created.clone(),
    };
    Ok(inputs.tag(base.as_ref()))
}

/// A target that names no tag, with one.
fn tagged(place: &Reference, tag: &str) -> Result<Reference, Failure> {
    let refuse = || {
        Failure::usage(format!("--push {place}: --tag-scheme makes the tag"))
            .hinted("name the repository or the directory alone")
    };
    match place {
        Reference::Registry(registry)
            if registry.tag().is_none() && registry.digest().is_none() =>
        {
            RegistryReference::new(registry.host(), registry.repository(), Some(tag), None)
                .map(Reference::Registry)
                .map_err(Failure::from)
        }
        Reference::Layout { path, tag: None } => Ok(Reference::Layout {
            path: path.clone(),
            tag: Some(tag.to_owned()),
        }),
        Reference::OciArchive { path, tag: None } => Ok(Reference::OciArchive {
            path: path.clone(),
            tag: Some(tag.to_owned()),
        }),
        _ => Err(refuse()),
    }
}
