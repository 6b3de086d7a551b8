//! `ohoci deps build`: a recipe's layers, assembled from its lock, as an image.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::fetch::{missing_files, platforms};
use super::selection::selected;
use super::{bytecode, fetcher, hosts, images, indexes, lock, npm_registries, recipe, sbom};
use crate::arguments::{Format, RegistryArguments};
use crate::choices;
use crate::compose::epoch;
use crate::context::Context;
use crate::exit_code;
use crate::failure::Failure;
use crate::limits::LimitArguments;
use crate::output;
use crate::progress::Progress;
use crate::size::bytes;
use ohoci_compose::attach::Attached;
use ohoci_compose::compose::compose;
use ohoci_compose::job::Job;
use ohoci_compose::local::{self, LocalLayer};
use ohoci_compose::read::Choice;
use ohoci_compose::report::{ComposeReport, Cost};
use ohoci_compose::{Event, Observer};
use ohoci_deps::assemble::{AssembleError, Assembled, assemble, merged};
use ohoci_deps::audit::{Audit, Severity};
use ohoci_deps::fetching::{self, PackageSources};
use ohoci_deps::lock::Lock;
use ohoci_deps::recipe::Recipe;
use ohoci_image::config_patch::ConfigPatch;
use ohoci_image::media_type::Compression;
use ohoci_image::timestamp::Timestamp;
use ohoci_image::{Platform, Reference, annotation};
use ohoci_layer::pack::{PackOptions, pack_tree};

/// How many findings of an audit are shown when a build stops.
const SHOWN: usize = 20;

/// Build a recipe's layers from its lock and push them as a deps image
///
/// Downloads what is not in the cache, assembles one layer per feature below the prefix without
/// running anything of what it packs, looks over the result and pushes it: an image for one
/// platform, an index for several. Prints the digest reference. The same lock gives the same digest.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The profile or feature, such as layers/minimal.toml
    #[arg(value_name = "RECIPE")]
    pub recipe: PathBuf,

    /// Where the image goes: REGISTRY/NAME:TAG, oci:DIR:TAG or oci-archive:FILE:TAG; repeatable
    #[arg(long, short = 'o', visible_alias = "output", value_name = "REF")]
    pub push: Vec<String>,

    /// Fail when the lock is missing or not that of the recipe, rather than make it first
    #[arg(long)]
    pub locked: bool,

    /// Use no network for packages: all of them must be in the cache
    #[arg(long)]
    pub offline: bool,

    /// Only for this platform; repeatable
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Vec<String>,

    /// Only these features, and what they require; repeatable
    #[arg(long, value_name = "NAME")]
    pub feature: Vec<String>,

    /// All features but this; repeatable
    #[arg(long, value_name = "NAME", conflicts_with = "feature")]
    pub without: Vec<String>,

    /// Write bills of materials into this directory: SPDX and CycloneDX, for each platform
    #[arg(long, value_name = "DIR")]
    pub sbom: Option<PathBuf>,

    /// Attach bills of materials to the image of each platform, as referrers
    #[arg(long)]
    pub attach_sbom: bool,

    /// How layers are compressed
    #[arg(long, value_parser = choices::compression(), default_value = "gzip")]
    pub compression: Compression,

    /// Threads that read packages and compress; has no influence on the result
    #[arg(long, value_name = "COUNT")]
    pub threads: Option<std::num::NonZeroUsize>,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,

    /// Of what runs, which is the interpreter that compiles modules.
    #[command(flatten)]
    pub(super) limits: LimitArguments,
}

/// The result as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    #[serde(flatten)]
    pushed: &'a ComposeReport,
    platforms_built: Vec<PlatformReport<'a>>,
    #[serde(skip_serializing_if = "<[Attached]>::is_empty")]
    attached: &'a [Attached],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlatformReport<'a> {
    platform: String,
    audit: &'a Audit,
    edits: usize,
    layers: &'a [BuiltLayer],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuiltLayer {
    feature: String,
    digest: String,
    size: u64,
    uncompressed_size: u64,
    entries: u64,
}

struct Built {
    assembled: Assembled,
    layers: Vec<BuiltLayer>,
}

pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let started = Instant::now();
    let whole = recipe(&arguments.recipe)?;
    if whole.rootfs().is_some() {
        let what = format!("{} is a system of its own", arguments.recipe.display());
        return Err(
            Failure::new(what, "it cannot be a layer of other images").hinted(
                "`ohoci swebench images --base-recipe` builds it, as the base of what it builds",
            ),
        );
    }
    let recipe = selected(whole.clone(), &arguments.feature, &arguments.without)?;
    let push = targets(&arguments.push)?;
    if arguments.attach_sbom {
        sbom::check(&push)?;
    }
    let platforms = platforms(&arguments.platform, &recipe)?;
    let lock = match lock::current(&whole) {
        Err(error) if arguments.locked || arguments.offline => return Err(error),
        Err(_) => lock::anew(&whole, registry).await?,
        Ok(lock) => lock,
    };
    let context = Context::open(registry)?;
    let progress = Progress::start();
    let outcome = async {
        let package_sources = push.clone();
        let (built, mut report) = build(
            arguments, registry, &context, &recipe, &lock, &platforms, push, &progress,
        )
        .await?;
        let mut attached = Vec::new();
        if arguments.attach_sbom {
            let documents = sbom::documents(&recipe, &lock, &platforms);
            let digest = &report.digest;
            attached =
                sbom::attach(documents, digest, package_sources, &context, &progress).await?;
            report.cost = Cost::new(&context.resolver.client.statistics(), Duration::ZERO);
        }
        Ok::<_, Failure>((built, report, attached))
    };
    let outcome = Box::pin(outcome).await;
    context.resolver.close().await;
    progress.end();
    context.show_server_warnings();
    let (built, mut report, attached) = outcome?;
    if let Some(directory) = &arguments.sbom {
        sbom::write(directory, &sbom::documents(&recipe, &lock, &platforms))?;
    }
    report.cost.set_elapsed(started.elapsed());
    show(arguments, &built, &report, &attached)?;
    Ok(exit_code::DONE)
}

fn targets(given: &[String]) -> Result<Vec<Reference>, Failure> {
    if given.is_empty() {
        return Err(Failure::usage("no place to push to is given")
            .hinted("--push REF, such as registry.example/openhands/deps:1.2, or -o oci:DIR:TAG"));
    }
    given
        .iter()
        .map(|text| text.parse().map_err(Failure::from))
        .collect()
}

#[expect(clippy::too_many_arguments, reason = "what a build is made of")]
async fn build(
    arguments: &Arguments,
    registry: &RegistryArguments,
    context: &Context,
    recipe: &Recipe,
    lock: &Lock,
    platforms: &[Platform],
    push: Vec<Reference>,
    progress: &Arc<Progress>,
) -> Result<(Vec<Built>, ComposeReport), Failure> {
    let observer: Arc<dyn Observer> = Arc::clone(progress) as _;
    let fetcher = fetcher(context, registry, progress);
    let compiling = bytecode::compiling_platform(recipe, platforms)?;
    if !arguments.offline {
        let needed: Vec<Platform> = platforms.iter().chain(&compiling).cloned().collect();
        let npm = npm_registries(context, lock).await;
        let package_sources = PackageSources {
            hosts: &hosts(context),
            configured: context.config.mirrors(),
            python: &indexes(context),
            images: images(context),
            npm: &npm,
        };
        fetching::fetch(
            recipe,
            lock,
            &recipe.lock_path(),
            &needed,
            &fetcher,
            package_sources,
        )
        .await
        .map_err(|missing| missing_files(recipe, &missing))?;
    }
    let created = epoch(context)?;
    let threads = arguments
        .threads
        .or(std::thread::available_parallelism().ok())
        .unwrap_or(std::num::NonZeroUsize::MIN);
    let options = PackOptions {
        compression: arguments.compression,
        mtime: created.unwrap_or_default(),
        threads,
        ..PackOptions::default()
    };
    let assembled = |platform: &Platform| {
        observer.event(&Event::Step(format!("assembling {platform}")));
        let cached = |file: &ohoci_deps::lock::LockedFile| fetcher.cached(file);
        let (work_dir, threads) = (&context.work_dir, threads.get());
        tokio::task::block_in_place(|| assemble(recipe, lock, platform, &cached, work_dir, threads))
            .map_err(|error| failure(recipe, &error))
    };
    let here = compiling.as_ref().map(assembled).transpose()?;
    let mut built = Vec::new();
    let mut layers = Vec::new();
    for platform in platforms {
        let mut one = assembled(platform)?;
        if !one.audit.passed() {
            return Err(stopped(platform, &one.audit));
        }
        let here = here.as_ref().filter(|_| !bytecode::runs_here(platform));
        let limits = &arguments.limits;
        bytecode::add(
            recipe,
            &mut one,
            here,
            context,
            limits,
            threads.get(),
            &observer,
        )
        .await?;
        observer.event(&Event::Step(format!("packing {platform}")));
        let (one, local) = tokio::task::block_in_place(|| pack(one, platform, context, &options))?;
        built.push(one);
        layers.extend(local);
    }
    let job = job(context, recipe, platforms, layers, push, created);
    let report = Box::pin(compose(&job, &context.resolver, &observer)).await?;
    Ok((built, report))
}

/// Packs the layers of one platform.
fn pack(
    mut assembled: Assembled,
    platform: &Platform,
    context: &Context,
    options: &PackOptions,
) -> Result<(Built, Vec<LocalLayer>), Failure> {
    let mut layers = Vec::new();
    let mut local = Vec::new();
    for layer in &mut assembled.layers {
        let tree = std::mem::take(&mut layer.tree);
        let created_by = format!("ohoci deps build: {}", layer.feature);
        let packed = pack_tree(tree, created_by, options, &context.work_dir)
            .map_err(|error| local::pack_error(&error))?;
        layers.push(BuiltLayer {
            feature: layer.feature.clone(),
            digest: packed.descriptor.digest.to_string(),
            size: packed.descriptor.size,
            uncompressed_size: packed.uncompressed_size,
            entries: packed.entries,
        });
        local.push(LocalLayer {
            directories: Vec::new(),
            platform: Some(platform.clone()),
            ..LocalLayer::packed(layer.feature.clone(), packed)?
        });
    }
    Ok((Built { assembled, layers }, local))
}

fn job(
    context: &Context,
    recipe: &Recipe,
    platforms: &[Platform],
    layers: Vec<LocalLayer>,
    push: Vec<Reference>,
    created: Option<i64>,
) -> Job {
    let patches = recipe.features.iter().map(|feature| &feature.patch);
    let patch = merged(patches.chain([&recipe.patch]));
    // A patch is lists and strings: nothing that JSON could not hold.
    let text = serde_json::to_string(&patch).unwrap_or_default();
    Job {
        layers,
        push,
        choice: Choice::Platforms(platforms.to_vec()),
        patch: ConfigPatch {
            labels: [(annotation::PATCH.to_owned(), Some(text))].into(),
            ..ConfigPatch::default()
        },
        created: created.map(|seconds| Timestamp::from_epoch(seconds).to_string()),
        ..Job::on(Reference::Scratch, context.work_dir.clone())
    }
}

fn failure(recipe: &Recipe, error: &AssembleError) -> Failure {
    let path = recipe.source.path().display().to_string();
    let failure = Failure::new(format!("cannot build {path}"), error.to_string());
    match error {
        AssembleError::NotCached { .. } => {
            failure.hinted(format!("ohoci deps fetch {path}, or leave out --offline"))
        }
        _ => failure,
    }
}

/// Says why a build stops at its audit.
fn stopped(platform: &Platform, audit: &Audit) -> Failure {
    let mut text = String::new();
    let errors: Vec<_> = audit
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    for finding in errors.iter().take(SHOWN) {
        let _ = writeln!(text, "{}: {}: {}", finding.file, finding.what, finding.why);
    }
    if errors.len() > SHOWN {
        let _ = writeln!(text, "and {} more", errors.len() - SHOWN);
    }
    Failure::new(
        format!("the layers for {platform} would not work on every base"),
        text.trim_end().to_owned(),
    )
    .hinted("drop the files in the recipe, or add the packages that bring what they need")
}

fn show(
    arguments: &Arguments,
    built: &[Built],
    report: &ComposeReport,
    attached: &[Attached],
) -> Result<(), Failure> {
    if arguments.format == Format::Json {
        let platforms_built = built
            .iter()
            .map(|built| PlatformReport {
                platform: built.assembled.platform.to_string(),
                audit: &built.assembled.audit,
                edits: built.assembled.layers.iter().map(|l| l.edits.len()).sum(),
                layers: &built.layers,
            })
            .collect();
        return output::json(&Report {
            pushed: report,
            platforms_built,
            attached,
        });
    }
    for built in built {
        for layer in &built.layers {
            output::note(&format!(
                "{}  {}: {} entries, {}, {} compressed",
                built.assembled.platform,
                layer.feature,
                layer.entries,
                bytes(layer.uncompressed_size),
                bytes(layer.size)
            ));
        }
        let warnings = built.assembled.audit.count(Severity::Warning);
        if warnings > 0 {
            output::note(&format!(
                "{}  {warnings} warnings; --format json has them",
                built.assembled.platform
            ));
        }
    }
    for one in attached {
        output::note(&format!(
            "{}  {} attached in {}: {}",
            one.platform, one.artifact_type, one.place, one.digest
        ));
    }
    if let Some(reference) = &report.reference {
        output::result(reference)?;
    }
    Ok(())
}
