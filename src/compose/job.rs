//! Turns the command line and the project's defaults into a job.

use std::collections::BTreeMap;

use super::arguments::{Arguments, CommonArguments};
use super::contract::{Contract, ContractArgument, expect_server};
use super::layers;
use super::patch::{key_value, patch};
use super::tagging::Tagging;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::tags::SchemeName;
use ohoci_compose::fit::{Fit, FitError};
use ohoci_compose::job::Job;
use ohoci_compose::local::{self, Given, LocalLayer};
use ohoci_compose::read::Choice;
use ohoci_config::ComposeDefaults;
use ohoci_config::environment::SOURCE_DATE_EPOCH;
use ohoci_deps::assemble::merged;
use ohoci_image::compose::{MAX_LAYERS, USUAL_LAYERS};
use ohoci_image::config_patch::ConfigPatch;
use ohoci_image::timestamp::Timestamp;
use ohoci_image::{Platform, Reference};
use ohoci_layer::pack::PackOptions;
use ohoci_layer::path::LayerPath;
use ohoci_layer::source::LayerSource;
use ohoci_openhands::tags::dirhash::{ignores_directory, ignores_file};

/// The job that is asked for. Packs local layers, since their digests are part of it.
pub(crate) async fn job(arguments: &Arguments, context: &Context) -> Result<Job, Failure> {
    let defaults = context.config.compose();
    let base = match (&arguments.base, &defaults.base) {
        (Some(text), _) => text.parse()?,
        (None, Some(base)) => base.clone(),
        (None, None) => {
            return Err(Failure::usage("no base image is given").hinted(
                "--base REF, or `base` below [compose] in ohoci.toml; --base scratch starts empty",
            ));
        }
    };
    let push = references(&arguments.common.push, &defaults.push)?;
    if push.is_empty() && !arguments.dry_run {
        return Err(Failure::usage("no place to push to is given")
            .hinted("--push REF, such as registry.example/name:tag or oci:DIR:tag; or --dry-run"));
    }
    let tagging = Tagging::new(&arguments.common, context)?;
    let typed = arguments.base.clone().unwrap_or_else(|| base.to_string());
    let job = Job {
        base,
        push,
        dry_run: arguments.dry_run,
        ..common(&arguments.common, context).await?
    };
    match tagging {
        None => Ok(job),
        Some(tagging) => tagging.apply(&typed, job, context).await,
    }
}

/// What jobs of one command line have in common: all but base and target.
pub(crate) async fn common(arguments: &CommonArguments, context: &Context) -> Result<Job, Failure> {
    let defaults = context.config.compose();
    let created = epoch(context)?;
    // What is wrong with the command line is said before minutes go into packing.
    let deps = references(&arguments.deps, &defaults.deps)?;
    let fit = fit(
        &arguments.fit,
        !deps.is_empty() || !arguments.layer.is_empty(),
    )?;
    let choice = choice(arguments, defaults)?;
    let mut patch = patch_over(defaults, patch(&arguments.patch)?)?;
    let contract = contract(arguments.contract, &deps, context).await?;
    if let Some(contract) = contract {
        if arguments.layer.is_empty() {
            expect_server(contract, &deps, context).await?;
        }
        patch = merged([&contract.patch(), &patch]);
    }
    let annotations = annotations(arguments, defaults)?;
    Ok(Job {
        deps,
        deps_path: arguments.deps_path.clone(),
        layers: pack_all(arguments, defaults, contract, context, created).await?,
        choice,
        patch,
        annotations,
        position: arguments.position.or(defaults.position).unwrap_or_default(),
        if_exists: arguments
            .if_exists
            .or(defaults.if_exists)
            .unwrap_or_default(),
        fit,
        max_layers: max_layers(arguments)?,
        no_upload: arguments.no_upload || defaults.no_upload.unwrap_or_default(),
        created: created.map(|seconds| Timestamp::from_epoch(seconds).to_string()),
        ..Job::on(Reference::Scratch, context.work_dir.clone())
    })
}

fn max_layers(arguments: &CommonArguments) -> Result<usize, Failure> {
    match arguments.max_layers {
        None => Ok(USUAL_LAYERS),
        Some(count) if (1..=MAX_LAYERS).contains(&count) => Ok(count),
        Some(count) => Err(Failure::usage(format!(
            "--max-layers {count}: it is from 1 to {MAX_LAYERS}"
        ))),
    }
}

/// The contract that is asked for; the deps image says which it is where that is left to it.
async fn contract(
    argument: Option<ContractArgument>,
    deps: &[Reference],
    context: &Context,
) -> Result<Option<Contract>, Failure> {
    match argument {
        None => return Ok(None),
        Some(ContractArgument::V0) => return Ok(Some(Contract::V0)),
        Some(ContractArgument::V1) => return Ok(Some(Contract::V1)),
        Some(ContractArgument::Auto) => {}
    }
    let mut found: Option<Contract> = None;
    for reference in deps {
        let image = context.resolver.deps(reference).await?;
        let image = image.first_image().await?;
        let asked = Contract::of_deps(image.config.document().object());
        if let (Some(one), Some(other)) = (found, asked)
            && one != other
        {
            return Err(
                Failure::usage("the deps images have servers of V0 and of V1")
                    .hinted("--contract v0 or --contract v1"),
            );
        }
        found = found.or(asked);
    }
    found.map(Some).ok_or_else(|| {
        Failure::usage("the deps image does not say which contract its server belongs to")
            .hinted("--contract v0 or --contract v1")
    })
}

/// What the base is to be given, with links to tools that something has to bring.
fn fit(text: &str, has_tools: bool) -> Result<Fit, Failure> {
    let fit: Fit = text
        .parse()
        .map_err(|error: FitError| Failure::usage(format!("--fit: {error}")))?;
    if fit != Fit::None && !has_tools {
        return Err(
            Failure::usage("--fit links to the tools of a deps image, and there is none")
                .hinted("--deps REF"),
        );
    }
    Ok(fit)
}

/// References as they were typed, else the project's.
fn references(given: &[String], defaults: &[Reference]) -> Result<Vec<Reference>, Failure> {
    if given.is_empty() {
        return Ok(defaults.to_vec());
    }
    given
        .iter()
        .map(|text| text.parse().map_err(Failure::from))
        .collect()
}

fn choice(arguments: &CommonArguments, defaults: &ComposeDefaults) -> Result<Choice, Failure> {
    if arguments.all_platforms {
        return Ok(Choice::All);
    }
    let mut platforms: Vec<Platform> = Vec::new();
    for text in &arguments.platform {
        let platform = text
            .parse()
            .map_err(|error| Failure::usage(format!("--platform: {error}")))?;
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(if !platforms.is_empty() {
        Choice::Platforms(platforms)
    } else if !defaults.platform.is_empty() {
        Choice::Platforms(defaults.platform.clone())
    } else if defaults.all_platforms.unwrap_or_default() {
        Choice::All
    } else {
        Choice::Default
    })
}

fn annotations(
    arguments: &CommonArguments,
    defaults: &ComposeDefaults,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut annotations = defaults.annotation.clone();
    for text in &arguments.patch.annotation {
        let (key, value) = key_value("--annotation", text)?;
        annotations.insert(key, value);
    }
    Ok(annotations)
}

/// The flags' patch over the project's: lists add up, single values are replaced.
fn patch_over(defaults: &ComposeDefaults, flags: ConfigPatch) -> Result<ConfigPatch, Failure> {
    let mut env: Vec<(String, String)> = defaults
        .env
        .iter()
        .filter(|(key, _)| !flags.unset_env.contains(key))
        .filter(|(key, _)| !flags.env.iter().any(|(given, _)| given == *key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    env.extend(flags.env);
    let mut unset_env: Vec<String> = defaults
        .unset_env
        .iter()
        .filter(|key| !env.iter().any(|(set, _)| set == *key))
        .cloned()
        .collect();
    for key in flags.unset_env {
        if !unset_env.contains(&key) {
            unset_env.push(key);
        }
    }
    let mut labels: BTreeMap<String, Option<String>> = defaults
        .label
        .iter()
        .map(|(key, value)| (key.clone(), Some(value.clone())))
        .collect();
    labels.extend(flags.labels);
    let patch = ConfigPatch {
        env,
        unset_env,
        entrypoint: flags.entrypoint.or_else(|| defaults.entrypoint.clone()),
        keep_cmd: flags.keep_cmd || defaults.keep_cmd.unwrap_or_default(),
        cmd: flags.cmd.or_else(|| defaults.cmd.clone()),
        user: flags.user.or_else(|| defaults.user.clone()),
        working_dir: flags.working_dir.or_else(|| defaults.workdir.clone()),
        labels,
        exposed_ports: defaults
            .expose
            .iter()
            .cloned()
            .chain(flags.exposed_ports)
            .collect(),
        volumes: defaults
            .volume
            .iter()
            .cloned()
            .chain(flags.volumes)
            .collect(),
        stop_signal: flags.stop_signal.or_else(|| defaults.stop_signal.clone()),
    };
    patch
        .check()
        .map_err(|error| Failure::usage(error.to_string()))?;
    Ok(patch)
}

/// The moment that `SOURCE_DATE_EPOCH` asks for, in seconds since 1970.
pub(crate) fn epoch(context: &Context) -> Result<Option<i64>, Failure> {
    let Some(text) = context.environment.get(SOURCE_DATE_EPOCH) else {
        return Ok(None);
    };
    let refuse = || {
        Failure::usage(format!(
            "SOURCE_DATE_EPOCH is {text:?}, not a number of seconds since 1970"
        ))
    };
    let seconds: i64 = text
        .to_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(refuse)?;
    if seconds < 0 {
        return Err(refuse());
    }
    Ok(Some(seconds))
}

async fn pack_all(
    arguments: &CommonArguments,
    defaults: &ComposeDefaults,
    contract: Option<Contract>,
    context: &Context,
    created: Option<i64>,
) -> Result<Vec<LocalLayer>, Failure> {
    let sources = if arguments.layer.is_empty() {
        &defaults.layer
    } else {
        &arguments.layer
    };
    let options = PackOptions {
        compression: arguments.compression,
        mtime: created.unwrap_or_default(),
        ..PackOptions::default()
    };
    let work_dir = &context.work_dir;
    let mut layers = layers::packed(sources, arguments, options, work_dir).await?;
    if let Some(contract) = contract {
        let fail = |why: String| Failure::new("cannot pack the contract's layer", why);
        let tree = contract.tree().map_err(|error| fail(error.to_string()))?;
        let created_by = format!("ohoci: {}", contract.name());
        let name = contract.name().to_owned();
        layers.push(LocalLayer {
            // What it replaces, it replaces knowingly.
            directories: Vec::new(),
            ..LocalLayer::of_tree(name, tree, created_by, &options, work_dir)?
        });
    }
    if let Some(directory) = &arguments.code {
        let source = LayerSource::parse(format!("{}:{CODE}", directory.display()))
            .map_err(|error| Failure::usage(format!("--code: {error}")))?;
        let only_hashed = arguments.tag_scheme == Some(SchemeName::V0);
        let given = Given {
            name: "code".to_owned(),
            source,
            wanted: Some(Box::new(move |path, is_directory| {
                is_code(path, is_directory, only_hashed).into()
            })),
        };
        let (layer, notes) = local::pack_given(given, options, work_dir.clone()).await?;
        for note in &notes {
            output::warning(&format!("--code {}: {note}", directory.display()));
        }
        layers.push(layer);
    }
    Ok(layers)
}

/// Where the project's source lies in an image.
const CODE: &str = "/openhands/code";

/// Whether a path below the project's folder goes into the image: with `only_hashed`, what V0's
/// source and lock tags are hashes of, so that no other change hides behind a tag that exists.
fn is_code(path: &LayerPath, is_directory: bool, only_hashed: bool) -> bool {
    let name = String::from_utf8_lossy(path.name());
    let is_wanted = if is_directory {
        !ignores_directory(&name)
    } else {
        !ignores_file(&name)
    };
    let mut names = path.names();
    let first = names.next().unwrap_or_default();
    let is_hashed = match names.next() {
        None if !is_directory => [&b"pyproject.toml"[..], b"poetry.lock"].contains(&first),
        _ => first == b"openhands",
    };
    is_wanted && (is_hashed || !only_hashed)
}
