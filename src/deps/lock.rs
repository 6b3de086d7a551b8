//! `ohoci deps lock`: what a recipe comes to, written down.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{failures, recipe, session};
use crate::arguments::{Format, RegistryArguments};
use crate::context::Context;
use crate::exit_code;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use ohoci_deps::lock::{Changes, Lock};
use ohoci_deps::recipe::Recipe;
use ohoci_deps::{LockError, NewLock};
use ohoci_report::size::bytes;

/// Resolve a recipe to names, versions, sizes and digests, and write them down beside it
///
/// Package hosts come from this machine's own apt configuration or from `[mirrors]` in ohoci's;
/// the lock names none. Prints the path of the lock.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The profile or feature, such as layers/minimal.toml
    #[arg(value_name = "RECIPE")]
    pub recipe: PathBuf,

    /// Set a value that the recipe names in `[python.set]`, such as server=1.34.0, and use a lock of
    /// its own for it; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,

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
    let recipe = recipe(&arguments.recipe, &arguments.set)?;
    if arguments.check {
        return check(&recipe, arguments.format);
    }
    let context = Context::open(registry)?;
    let progress = Progress::start();
    let session = session(&context, &progress);
    let made = ohoci_deps::lock(&recipe, &arguments.update, &session).await;
    progress.end();
    let made = made.map_err(|error| failures::lock(&recipe, &error))?;
    for note in &made.notes {
        output::warning(note);
    }
    let lock = &made.lock;
    let platforms = platforms(&recipe, lock);
    let path = made.path.display().to_string();
    match arguments.format {
        Format::Json => output::json(&Report {
            lock: path,
            written: made.written,
            packages: lock.debian.len() + lock.python.len() + lock.source.len(),
            platforms,
            changes: &made.changes,
            notes: &made.notes,
        })?,
        Format::Text => {
            tell(&made.changes, &platforms);
            output::result(&path)?;
        }
    }
    Ok(exit_code::DONE)
}

/// Says that a command made a lock on its way.
pub(crate) fn tell_new(made: &NewLock) {
    for note in &made.notes {
        output::warning(note);
    }
    // Of a first lock everything would be new.
    if !made.changes.changed.is_empty() || !made.changes.removed.is_empty() {
        moved(&made.changes);
    }
    output::note(&format!("wrote {}", made.path.display()));
}

fn platforms(recipe: &Recipe, lock: &Lock) -> Vec<PlatformReport> {
    let platforms = recipe.platforms.iter().map(|platform| {
        let platform_of = platform;
        let platform = platform.to_string();
        let files = lock
            .debian
            .iter()
            .filter_map(|package| package.file.of(&platform));
        let python = recipe.features.iter().flat_map(|feature| {
            let name = feature.name.get_ref().as_str();
            lock.python_files(name, platform_of)
        });
        let sources = lock
            .source
            .iter()
            .filter_map(|source| source.file.of(&platform));
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

/// What came, went and changed.
fn moved(changes: &Changes) {
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
}

fn tell(changes: &Changes, platforms: &[PlatformReport]) {
    moved(changes);
    for platform in platforms {
        output::note(&format!(
            "{}: {} packages, {}",
            platform.platform,
            platform.packages,
            bytes(platform.bytes)
        ));
    }
}

fn check(recipe: &Recipe, format: Format) -> Result<u8, Failure> {
    let reasons = match ohoci_deps::current(recipe) {
        Ok(_) => Vec::new(),
        Err(LockError::Absent(_)) => vec!["there is none".to_owned()],
        Err(LockError::Stale { reasons, .. }) => reasons,
        Err(error) => return Err(failures::lock(recipe, &error)),
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
