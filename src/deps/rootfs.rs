//! A recipe of a system of its own, for the commands that build on one: read, locked, downloaded
//! and put together.

use std::path::Path;
use std::sync::Arc;

use super::fetch::missing_files;
use super::{fetcher, hosts, images, indexes, lock, npm_registries, recipe};
use crate::arguments::RegistryArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Progress;
use ohoci_deps::assemble::AssembleError;
use ohoci_deps::fetching::{self, PackageSources};
use ohoci_deps::lock::{Lock, LockedFile};
use ohoci_deps::recipe::Recipe;
use ohoci_deps::rootfs::{RootFiles, RootFsError, assemble};
use ohoci_image::Platform;

/// Reads a recipe of a system.
pub(crate) fn read(path: &Path) -> Result<Recipe, Failure> {
    let recipe = recipe(path)?;
    if recipe.rootfs().is_none() {
        let what = format!("{} is no recipe of a system of its own", path.display());
        return Err(Failure::new(what, "it has no [rootfs] table").hinted(
            "layers/swebench-base.toml is one; `ohoci deps build` makes layers of others",
        ));
    }
    Ok(recipe)
}

/// The lock of a recipe, if it is there and is the recipe's.
pub(crate) fn locked(recipe: &Recipe) -> Result<Lock, Failure> {
    lock::current(recipe)
}

/// The lock of a recipe, which is made where there is none that is the recipe's, unless no network
/// may be used.
pub(crate) async fn lock(
    recipe: &Recipe,
    offline: bool,
    registry: &RegistryArguments,
) -> Result<Lock, Failure> {
    match lock::current(recipe) {
        Err(_) if !offline => lock::anew(recipe, registry).await,
        found => found,
    }
}

/// The files of a system, of packages that are downloaded as far as they are not in the cache.
pub(crate) async fn files(
    recipe: &Recipe,
    lock: &Lock,
    platform: &Platform,
    offline: bool,
    context: &Context,
    registry: &RegistryArguments,
) -> Result<RootFiles, Failure> {
    let progress = Progress::start();
    let outcome = files_with(
        recipe, lock, platform, offline, context, registry, &progress,
    )
    .await;
    progress.end();
    outcome
}

async fn files_with(
    recipe: &Recipe,
    lock: &Lock,
    platform: &Platform,
    offline: bool,
    context: &Context,
    registry: &RegistryArguments,
    progress: &Arc<Progress>,
) -> Result<RootFiles, Failure> {
    let fetcher = fetcher(context, registry, progress);
    if !offline {
        let npm = npm_registries(context, lock).await;
        let package_sources = PackageSources {
            hosts: &hosts(context),
            configured: context.config.mirrors(),
            python: &indexes(context),
            images: images(context),
            npm: &npm,
        };
        let platforms = [platform.clone()];
        fetching::fetch(
            recipe,
            lock,
            &recipe.lock_path(),
            &platforms,
            &fetcher,
            package_sources,
        )
        .await
        .map_err(|missing| missing_files(recipe, &missing))?;
    }
    let cached = |file: &LockedFile| fetcher.cached(file);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work_dir = &context.work_dir;
    tokio::task::block_in_place(|| assemble(recipe, lock, platform, &cached, work_dir, threads))
        .map_err(|error| failure(recipe, &error))
}

fn failure(recipe: &Recipe, error: &RootFsError) -> Failure {
    let path = recipe.source.path().display();
    let failure = Failure::new(
        format!("cannot put together the packages of {path}"),
        error.to_string(),
    );
    match error {
        RootFsError::Assemble(AssembleError::NotCached { .. }) => {
            failure.hinted(format!("ohoci deps fetch {path}, or leave out --offline"))
        }
        RootFsError::Clash { .. } => failure.hinted(
            "leave one of the packages out below [debian.exclude], or its file with `drop`",
        ),
        _ => failure,
    }
}
