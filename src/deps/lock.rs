//! `ohoci deps lock`: what a recipe comes to, written down.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{all_npm_registries, fetcher, hosts, images, indexes, now, recipe, unusable};
use crate::arguments::{Format, RegistryArguments};
use crate::context::Context;
use crate::exit_code;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use crate::size::bytes;
use ohoci_config::ConfigError;
use ohoci_config::error::did_you_mean;
use ohoci_deps::lock::{self, Changes, Lock};
use ohoci_deps::locking::{self, Locked, LockingError, Means, PythonMeans};
use ohoci_deps::npm::registry::Registries;
use ohoci_deps::python::PackageName;
use ohoci_deps::recipe::Recipe;

/// Resolve a recipe to names, versions, sizes and digests, and write them down beside it
///
/// Package hosts come from this machine's own apt configuration or from `[mirrors]` in ohoci's;
/// the lock names none. Prints the path of the lock.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The profile or feature, such as layers/minimal.toml
    #[arg(value_name = "RECIPE")]
    pub recipe: PathBuf,

    /// Ask no mirror and write nothing; end with 4 when the lock is not that of the recipe
    #[arg(long, conflicts_with = "update")]
    pub check: bool,

    /// Look only for newer versions of this package, and of what is built from the same source;
    /// repeatable
    #[arg(long, value_name = "NAME")]
    pub update: Vec<String>,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// The result as JSON.
#[derive(Serialize)]
struct Report<'a> {
    lock: String,
    written: bool,
    packages: usize,
    platforms: Vec<PlatformReport>,
    changes: &'a Changes,
    notes: &'a [String],
}

#[derive(Serialize)]
struct PlatformReport {
    platform: String,
    packages: usize,
    bytes: u64,
}

pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let recipe = recipe(&arguments.recipe)?;
    let path = recipe.lock_path();
    let old = match lock::read(&path) {
        // A lock that is made anew may have been damaged before.
        Err(_) if !arguments.check && arguments.update.is_empty() => None,
        read => read.map_err(|error| unusable("cannot use the lock", &[error]))?,
    };
    if arguments.check {
        return check(&recipe, old.as_ref(), arguments.format);
    }
    let update = update(arguments, old.as_ref())?;
    let frozen = old.as_ref().filter(|_| !update.is_empty());
    let Locked {
        lock,
        notes,
        lockfiles,
    } = resolved(&recipe, frozen, &update, registry).await?;
    let changes = Changes::between(old.as_ref(), &lock);
    let lock = locking::settle(old, lock);
    write_lockfiles(&lockfiles)?;
    let written = lock::write(&path, &lock)
        .map_err(|error| Failure::new("cannot write the lock", error.to_string()))?;
    for note in &notes {
        output::warning(note);
    }
    let platforms = platforms(&recipe, &lock);
    match arguments.format {
        Format::Json => output::json(&Report {
            lock: path.display().to_string(),
            written,
            packages: lock.debian.len() + lock.python.len() + lock.source.len(),
            platforms,
            changes: &changes,
            notes: &notes,
        })?,
        Format::Text => {
            tell(&changes, &platforms);
            output::result(&path.display().to_string())?;
        }
    }
    Ok(exit_code::DONE)
}

async fn resolved(
    recipe: &Recipe,
    old: Option<&Lock>,
    update: &BTreeSet<String>,
    registry: &RegistryArguments,
) -> Result<Locked, Failure> {
    let context = Context::open(registry)?;
    let progress = Progress::start();
    let npm = match recipe.features.iter().any(|feature| feature.npm.is_some()) {
        true => all_npm_registries(&context).await,
        false => Registries::default(),
    };
    let locked = locking::lock(
        recipe,
        old,
        update,
        Means {
            fetcher: &fetcher(&context, registry, &progress),
            debian: &hosts(&context),
            python: PythonMeans {
                uv: Path::new("uv"),
                indexes: &indexes(&context),
                work_dir: &context.work_dir,
            },
            images: images(&context),
            npm: &npm,
            now: now(),
        },
    )
    .await;
    progress.end();
    locked.map_err(|error| failure(recipe, error))
}

/// Writes npm's own lockfiles, which say where in `node_modules` everything goes.
fn write_lockfiles(lockfiles: &[(PathBuf, String)]) -> Result<(), Failure> {
    for (path, content) in lockfiles {
        ohoci_store::staged::replace(path, content.as_bytes()).map_err(|error| {
            Failure::new(
                format!("cannot write {}", path.display()),
                error.to_string(),
            )
        })?;
    }
    Ok(())
}

/// Makes the lock of a recipe that has none, or one that is not its own any longer.
pub(super) async fn anew(recipe: &Recipe, registry: &RegistryArguments) -> Result<Lock, Failure> {
    let Locked {
        lock,
        notes,
        lockfiles,
    } = resolved(recipe, None, &BTreeSet::new(), registry).await?;
    let path = recipe.lock_path();
    write_lockfiles(&lockfiles)?;
    lock::write(&path, &lock)
        .map_err(|error| Failure::new("cannot write the lock", error.to_string()))?;
    for note in &notes {
        output::warning(note);
    }
    output::note(&format!("wrote {}", path.display()));
    Ok(lock)
}

fn platforms(recipe: &Recipe, lock: &Lock) -> Vec<PlatformReport> {
    let platforms = recipe.platforms.iter().map(|platform| {
        let platform_of = platform;
        let platform = platform.to_string();
        let files = lock
            .debian
            .iter()
            .filter_map(|package| package.file_for(&platform));
        let python = recipe.features.iter().flat_map(|feature| {
            let name = feature.name.get_ref().as_str();
            lock.python_files(name, platform_of)
        });
        let sources = lock
            .source
            .iter()
            .filter_map(|source| source.file_for(&platform));
        let files = files.chain(python.map(|(_, file)| file)).chain(sources);
        let sizes: Vec<u64> = files.map(|file| file.size).collect();
        PlatformReport {
            platform,
            packages: sizes.len(),
            bytes: sizes.iter().sum(),
        }
    });
    platforms.collect()
}

fn tell(changes: &Changes, platforms: &[PlatformReport]) {
    for (sign, list) in [
        ('+', &changes.added),
        ('-', &changes.removed),
        ('~', &changes.changed),
    ] {
        for change in list {
            let versions = match (change.from.join(", "), change.to.join(", ")) {
                (from, to) if from.is_empty() || from == to => to,
                (from, to) if to.is_empty() => from,
                (from, to) => format!("{from} → {to}"),
            };
            output::note(&format!("{sign} {} {versions}", change.name));
        }
    }
    for platform in platforms {
        output::note(&format!(
            "{}: {} packages, {}",
            platform.platform,
            platform.packages,
            bytes(platform.bytes)
        ));
    }
}

/// Packages to update, each of which must be in the lock.
fn update(arguments: &Arguments, old: Option<&Lock>) -> Result<BTreeSet<String>, Failure> {
    let Some(old) = old else {
        return match arguments.update.first() {
            None => Ok(BTreeSet::new()),
            Some(_) => Err(Failure::usage("there is no lock yet that could be updated")
                .hinted("leave out --update to make one")),
        };
    };
    let names: BTreeSet<&str> = old
        .debian
        .iter()
        .map(|package| package.name.as_str())
        .chain(old.python.iter().map(|package| package.name.as_str()))
        .chain(old.source.iter().map(|source| source.name.as_str()))
        .collect();
    let mut update = BTreeSet::new();
    for name in &arguments.update {
        // Names of Python packages have many spellings.
        let normal = PackageName::parse(name).map(|name| name.to_string());
        let known = [Some(name.clone()), normal]
            .into_iter()
            .flatten()
            .find(|name| names.contains(name.as_str()));
        if let Some(known) = known {
            update.insert(known);
        } else {
            let failure = Failure::usage(format!("--update {name}: it is not in the lock"));
            return Err(match did_you_mean(name, names) {
                Some(hint) => failure.hinted(hint),
                None => failure,
            });
        }
    }
    Ok(update)
}

fn check(recipe: &Recipe, lock: Option<&Lock>, format: Format) -> Result<u8, Failure> {
    let reasons = match lock {
        None => vec!["there is none".to_owned()],
        Some(lock) => lock::stale(recipe, lock),
    };
    if format == Format::Json {
        output::json(&serde_json::json!({ "fresh": reasons.is_empty(), "stale": reasons }))?;
    }
    if reasons.is_empty() {
        return Ok(exit_code::DONE);
    }
    let path = recipe.lock_path();
    for reason in reasons {
        output::note(&format!("{}: {reason}", path.display()));
    }
    Ok(exit_code::WANTING)
}

fn failure(recipe: &Recipe, error: LockingError) -> Failure {
    let what = format!("cannot lock {}", recipe.source.path().display());
    let error_text = error.to_string();
    match error {
        LockingError::Recipe(errors) => unusable(&what, &errors),
        LockingError::Repository(error) => repository(&what, &error),
        LockingError::Python {
            hint: Some(hint), ..
        }
        | LockingError::Source {
            hint: Some(hint), ..
        } => Failure::new(what, error_text).hinted(hint),
        error => Failure::new(what, error.to_string()),
    }
}

fn repository(what: &str, error: &ohoci_deps::debian::repository::RepositoryError) -> Failure {
    use ohoci_deps::debian::repository::RepositoryError;
    let failure = Failure::new(what, error.to_string());
    match error {
        RepositoryError::NoMirror { .. } => failure.hinted(
            "mirrors come from apt's configuration of this machine, or from `debian` below \
             [mirrors] in ohoci.toml; keys from apt's, or from `keyring` in the recipe",
        ),
        _ => failure,
    }
}

/// Reads the lock of a recipe, which must be there and be the recipe's.
pub(super) fn current(recipe: &Recipe) -> Result<Lock, Failure> {
    let path = recipe.lock_path();
    let hint = format!("ohoci deps lock {}", recipe.source.path().display());
    let lock = lock::read(&path)
        .map_err(|error: ConfigError| unusable("cannot use the lock", &[error]).hinted(&hint))?
        .ok_or_else(|| {
            Failure::new(
                format!("there is no lock {}", path.display()),
                "nothing was locked yet",
            )
            .hinted(&hint)
        })?;
    let reasons = lock::stale(recipe, &lock);
    if reasons.is_empty() {
        return Ok(lock);
    }
    let what = format!(
        "{} is not the lock of its recipe any longer",
        path.display()
    );
    Err(Failure::new(what, reasons.join("\n")).hinted(hint))
}
