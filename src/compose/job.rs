//! Turns the command line and the project's defaults into a job.

use std::collections::BTreeMap;

use super::arguments::{Arguments, CommonArguments, LayerArguments};
use super::contract::contract;
use super::layers;
use super::patch::{key_value, patch};
use super::tagging::{named, naming};
use crate::choices;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::tags::SchemeName;
use ohoci_compose::job::Job;
use ohoci_compose::local;
use ohoci_compose::read::Choice;
use ohoci_compose::request::{Request, RequestError};
use ohoci_config::Environment;
use ohoci_config::environment::SOURCE_DATE_EPOCH;
use ohoci_image::config_patch::merged;
use ohoci_image::timestamp::Timestamp;
use ohoci_image::{Platform, Reference};
use ohoci_layer::owner::Owner;
use ohoci_layer::pack::PackOptions;
use ohoci_openhands::code::code;

/// The job that is asked for. Packs local layers, since their digests are part of it.
pub(crate) async fn job(arguments: &Arguments, context: &Context) -> Result<Job, Failure> {
    let base = match &arguments.base {
        Some(text) => Some(text.parse()?),
        None => None,
    };
    let request = Request {
        base,
        push: references(&arguments.common.push)?,
        dry_run: arguments.dry_run,
        ..request(&arguments.common, context)?
    };
    let request = request.over(context.config.compose())?;
    let Some(base) = &request.base else {
        return Err(Failure::usage("no base image is given").hinted(
            "--base REF, or `base` below [compose] in ohoci.toml; --base scratch starts empty",
        ));
    };
    if request.push.is_empty() && !request.dry_run {
        return Err(Failure::usage("no target is given")
            .hinted("--push REF, such as registry.example/name:tag or oci:DIR:tag; or --dry-run"));
    }
    let naming = naming(&arguments.common, context)?;
    let typed = arguments.base.clone().unwrap_or_else(|| base.to_string());
    let job = packed(
        request,
        &arguments.common.layers,
        has_code_tag(&arguments.common),
        context,
    )
    .await?;
    match naming {
        None => Ok(job),
        Some(naming) => named(&naming, &typed, job, context).await,
    }
}

/// What jobs of one command line have in common: all but base and target.
pub(crate) async fn common(arguments: &CommonArguments, context: &Context) -> Result<Job, Failure> {
    let request = request(arguments, context)?.over(context.config.compose())?;
    let request = Request {
        base: None,
        push: Vec::new(),
        ..request
    };
    packed(request, &arguments.layers, has_code_tag(arguments), context).await
}

/// A job that puts layers on a base and has no target.
pub(crate) async fn on_base(
    base: Reference,
    deps: &[String],
    layers: &LayerArguments,
    choice: Option<Choice>,
    context: &Context,
) -> Result<Job, Failure> {
    let request = Request {
        base: Some(base),
        deps: references(deps)?,
        deps_path: layers.deps_path.clone(),
        layers: layers.layer.clone(),
        choice,
        position: layers.position,
        fit: layers.fit.clone(),
        created: created(context)?,
        ..Request::default()
    };
    packed(request, layers, false, context).await
}

/// Whether the source is only there for the tags that are made of it.
fn has_code_tag(arguments: &CommonArguments) -> bool {
    arguments.targets.tag_scheme == Some(SchemeName::V0)
}

/// The date that the config of a result has, where one is asked for.
pub(crate) fn created(context: &Context) -> Result<Option<String>, Failure> {
    Ok(epoch(&context.environment)?.map(|seconds| Timestamp::from_epoch(seconds).to_string()))
}

/// What the flags ask for, but for base and target.
fn request(arguments: &CommonArguments, context: &Context) -> Result<Request, Failure> {
    Ok(Request {
        deps: references(&arguments.deps)?,
        deps_path: arguments.layers.deps_path.clone(),
        layers: arguments.layers.layer.clone(),
        choice: choice(arguments),
        patch: patch(&arguments.patch)?,
        annotations: annotations(arguments)?,
        position: arguments.layers.position,
        if_exists: arguments.targets.if_exists,
        fit: arguments.layers.fit.clone(),
        max_layers: arguments.targets.max_layers,
        no_upload: arguments.no_upload,
        created: created(context)?,
        ..Request::default()
    })
}

/// The job of a request, its layers packed, and made for a contract where one is asked for.
async fn packed(
    mut request: Request,
    arguments: &LayerArguments,
    has_code_tag: bool,
    context: &Context,
) -> Result<Job, Failure> {
    // What is wrong with the deps is said before minutes go into packing.
    let has_layers = !arguments.layer.is_empty();
    let terms = contract(&request, arguments.contract, has_layers, context).await?;
    if let Some(terms) = terms {
        request.patch = merged([&terms.patch(), &request.patch]);
    }
    let work_dir = &context.work_dir;
    let options = PackOptions {
        compression: arguments.compression.compression,
        seekable: arguments.compression.seekable,
        level: choices::level(
            arguments.compression.compression,
            arguments.compression_level,
        )?,
        mtime: epoch(&context.environment)?.unwrap_or_default(),
        limits: context.resolver.limits,
        ..PackOptions::default()
    };
    let given = PackOptions {
        owner: owner(&request, arguments, context).await?,
        ..options
    };
    let mut layers = layers::packed(&request.layers, arguments, given, work_dir).await?;
    if let Some(terms) = terms {
        let packed = terms
            .layer(&options, work_dir)
            .map_err(|error| Failure::new("cannot pack the contract's layer", error.to_string()))?;
        layers.push(packed);
    }
    if let Some(directory) = &arguments.code {
        let given = code(directory, has_code_tag)
            .map_err(|error| Failure::usage(format!("--code: {error}")))?;
        let (layer, notes) = local::pack_given(given, options, work_dir.clone()).await?;
        for note in &notes {
            output::warning(&format!("--code {}: {note}", directory.display()));
        }
        layers.push(layer);
    }
    Ok(request.job(layers, work_dir.clone()))
}

/// Who is to own what the flags add.
async fn owner(
    request: &Request,
    arguments: &LayerArguments,
    context: &Context,
) -> Result<Option<Owner>, Failure> {
    let Some(named) = &arguments.chown else {
        return Ok(None);
    };
    if let Some(numbers) = named.numbers() {
        return Ok(Some(numbers));
    }
    let Some(base) = &request.base else {
        return Err(
            Failure::usage("--chown: what a name stands for differs from base to base")
                .hinted("for several bases, give numbers: --chown UID[:GID]"),
        );
    };
    let choice = request.choice.clone().unwrap_or(Choice::Default);
    Ok(Some(named.in_base(base, &choice, &context.resolver).await?))
}

/// References as they were typed.
fn references(given: &[String]) -> Result<Vec<Reference>, Failure> {
    let given = given.iter();
    given
        .map(|text| text.parse().map_err(Failure::from))
        .collect()
}

fn choice(arguments: &CommonArguments) -> Option<Choice> {
    if arguments.platforms.all_platforms {
        return Some(Choice::All);
    }
    let mut platforms: Vec<Platform> = Vec::new();
    for platform in &arguments.platforms.platform {
        if !platforms.contains(platform) {
            platforms.push(platform.clone());
        }
    }
    (!platforms.is_empty()).then_some(Choice::Platforms(platforms))
}

fn annotations(arguments: &CommonArguments) -> Result<BTreeMap<String, String>, Failure> {
    let given = arguments.patch.annotation.iter();
    given.map(|text| key_value("--annotation", text)).collect()
}

/// The moment that `SOURCE_DATE_EPOCH` asks for, in seconds since 1970.
pub(crate) fn epoch(environment: &Environment) -> Result<Option<i64>, Failure> {
    let Some(text) = environment.get(SOURCE_DATE_EPOCH) else {
        return Ok(None);
    };
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    match seconds.filter(|seconds| *seconds >= 0) {
        Some(seconds) => Ok(Some(seconds)),
        None => Err(Failure::usage(format!(
            "SOURCE_DATE_EPOCH is {text:?}, not a number of seconds since 1970"
        ))),
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let failure = Self::usage(error.to_string());
        match error {
            RequestError::NothingToFit => failure.hinted("--deps REF"),
            RequestError::MaxLayers(_) | RequestError::Patch(_) => failure,
        }
    }
}
