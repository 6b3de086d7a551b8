//! `ohoci deps build`: a recipe's layers, assembled from its lock, as an image.

use std::io::Read as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::fetch::platforms;
use super::{failures, lock, recipe, session};
use crate::arguments::{Format, RegistryArguments};
use crate::choices::{self, Packing};
use crate::compose::epoch;
use crate::context::Context;
use crate::exit_code;
use crate::failure::Failure;
use crate::limits::LimitArguments;
use crate::output;
use crate::progress::Progress;
use crate::signing::SigningArguments;
use crate::version;
use ohoci_compose::attach::{self, Attached};
use ohoci_compose::report::ComposeReport;
use ohoci_deps::audit::{Audit, Severity};
use ohoci_deps::build::PackedFeature;
use ohoci_deps::fetching::Missing;
use ohoci_deps::recipe::Selection;
use ohoci_deps::{Build, BuildObserver, Built, NewLock};
use ohoci_image::referrer::Artifact;
use ohoci_image::{Algorithm, Hasher, Platform, Reference};
use ohoci_report::size::bytes;
use ohoci_sandbox::Limiter;

/// How long compiling may take by default.
const TIME: Duration = Duration::from_secs(2 * 60 * 60);

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

    /// Set a value that the recipe names in `[python.set]`, such as server=1.34.0, and use a lock of
    /// its own for it; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,

    /// Where the image goes: REGISTRY/NAME:TAG, oci:DIR:TAG or oci-archive:FILE:TAG; or dir:DIR, a bare
    /// directory of what is below the prefix, to be mounted there; repeatable
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
    pub platform: Vec<Platform>,

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
    #[arg(long, value_parser = choices::packing(), default_value = "gzip")]
    pub(crate) compression: Packing,

    /// The level of that: 0 to 9 for gzip [default: 6], 1 to 19 for zstd [default: 3]
    #[arg(long, value_name = "LEVEL")]
    pub compression_level: Option<u32>,

    /// Threads that read packages and compress; has no influence on the result
    #[arg(long, value_name = "COUNT")]
    pub threads: Option<NonZeroUsize>,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,

    /// Of what runs, which is the interpreter that compiles modules.
    #[command(flatten)]
    pub(super) limits: LimitArguments,

    /// Signatures of the image.
    #[command(flatten)]
    pub(super) signing: SigningArguments,
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
    layers: &'a [PackedFeature],
}

/// Says what a build does besides moving bytes.
#[derive(Debug)]
struct Teller<'a> {
    limits: &'a LimitArguments,
    progress: &'a Progress,
}

impl BuildObserver for Teller<'_> {
    fn locked(&self, made: &NewLock) {
        self.progress.suspend(|| lock::tell_new(made));
    }

    fn gone(&self, missing: &Missing) {
        self.progress.suspend(|| {
            output::warning(&format!(
                "mirrors no longer have what was locked, so what they have now is locked instead \
                 (--locked fails): {}",
                missing.to_string().replace('\n', "; ")
            ));
        });
    }

    fn limited(&self, limiter: &Limiter) {
        self.progress.suspend(|| self.limits.tell(limiter));
    }
}

/// What tells this program from one that was compiled from something else: its version and commit, or its
/// content where no commit is known. Nothing is kept where that cannot be read.
fn maker() -> Option<String> {
    if let Some(commit) = version::COMMIT.strip_prefix("commit ") {
        return Some(format!("{} {commit}", env!("CARGO_PKG_VERSION")));
    }
    let mut program = fs_err::File::open(std::env::current_exe().ok()?).ok()?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match program.read(&mut buffer).ok()? {
            0 => return Some(hasher.finish().to_string()),
            count => hasher.update(buffer.get(..count)?),
        }
    }
}

pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let started = Instant::now();
    let recipe = recipe(&arguments.recipe, &arguments.set)?;
    let (push, directories) = targets(&arguments.push)?;
    let Packing {
        compression,
        seekable,
    } = arguments.compression;
    let level = choices::level(compression, arguments.compression_level)?;
    if arguments.attach_sbom {
        attachable(&push)?;
    }
    let platforms = platforms(&arguments.platform, &recipe)?;
    let context = Context::open(registry)?.signing(&arguments.signing).await?;
    let threads = arguments
        .threads
        .or(std::thread::available_parallelism().ok())
        .unwrap_or(NonZeroUsize::MIN);
    let build = Build {
        recipe: &recipe,
        selection: Selection {
            only: arguments.feature.clone(),
            without: arguments.without.clone(),
        },
        platforms,
        push,
        directories: directories.clone(),
        locked: arguments.locked,
        offline: arguments.offline,
        attach_sbom: arguments.attach_sbom,
        compression,
        seekable,
        level,
        created: epoch(&context.environment)?,
        threads,
        limits: arguments.limits.limits(&context.work_dir, 1, Some(TIME)),
        maker: maker(),
    };
    let progress = Progress::start();
    let teller = Teller {
        limits: &arguments.limits,
        progress: &progress,
    };
    let session = session(&context, &progress);
    let built = Box::pin(ohoci_deps::build(&build, &session, &teller)).await;
    context.resolver.close().await;
    progress.end();
    context.show_server_warnings();
    let mut built = built.map_err(|error| failures::build(&recipe, error))?;
    if let Some(directory) = &arguments.sbom {
        write(directory, &built.bills_of_materials())?;
    }
    built.report.cost.set_elapsed(started.elapsed());
    show(arguments, &built, &directories)?;
    Ok(exit_code::DONE)
}

/// Images' references, and directories.
fn targets(given: &[String]) -> Result<(Vec<Reference>, Vec<PathBuf>), Failure> {
    if given.is_empty() {
        return Err(Failure::usage("no target is given")
            .hinted("--push REF, such as registry.example/openhands/deps:1.2, or -o oci:DIR:TAG"));
    }
    let (mut push, mut directories) = (Vec::new(), Vec::new());
    for text in given {
        match text.strip_prefix("dir:") {
            Some("") => return Err(Failure::usage(format!("{text}: expected dir:DIR"))),
            Some(directory) => directories.push(PathBuf::from(directory)),
            None => push.push(text.parse()?),
        }
    }
    Ok((push, directories))
}

/// Refuses targets that hold no documents about images, before anything is built.
fn attachable(push: &[Reference]) -> Result<(), Failure> {
    push.iter().try_for_each(attach::check).map_err(|error| {
        Failure::usage(error.to_string())
            .hinted("leave out --attach-sbom, or write files with --sbom DIR")
    })
}

/// Writes bills of materials into a directory.
fn write(directory: &Path, documents: &[(Platform, Artifact)]) -> Result<(), Failure> {
    let fail = |error: std::io::Error| {
        Failure::new("cannot write the bills of materials", error.to_string())
    };
    fs_err::create_dir_all(directory).map_err(fail)?;
    for (_, artifact) in documents {
        fs_err::write(directory.join(&artifact.title), &artifact.content).map_err(fail)?;
    }
    Ok(())
}

fn show(arguments: &Arguments, built: &Built, directories: &[PathBuf]) -> Result<(), Failure> {
    let platforms = built.platforms.iter();
    if arguments.format == Format::Json {
        let platforms_built = platforms.map(|one| PlatformReport {
            platform: one.platform.to_string(),
            audit: &one.audit,
            edits: one.edits,
            layers: &one.layers,
        });
        return output::json(&Report {
            pushed: &built.report,
            platforms_built: platforms_built.collect(),
            attached: &built.attached,
        });
    }
    for one in platforms {
        for layer in &one.layers {
            output::note(&format!(
                "{}  {}: {} entries, {}, {} compressed{}",
                one.platform,
                layer.feature,
                layer.entries,
                bytes(layer.uncompressed_size),
                bytes(layer.size),
                if one.kept.contains(&layer.feature) {
                    ", unchanged"
                } else {
                    ""
                }
            ));
        }
        let warnings = one.audit.count(Severity::Warning);
        if warnings > 0 {
            output::note(&format!(
                "{}  {warnings} warnings; --format json has them",
                one.platform
            ));
        }
    }
    for one in &built.attached {
        output::note(&format!(
            "{}  {} attached in {}: {}",
            one.platform, one.artifact_type, one.place, one.digest
        ));
    }
    if let Some(reference) = &built.report.reference {
        output::result(reference)?;
    }
    for directory in directories {
        output::result(&format!("dir:{}", directory.display()))?;
    }
    Ok(())
}
