//! A recipe of a system of its own, for the commands that build on one.

use std::path::Path;

use super::{failures, lock, recipe, session};
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Progress;
use ohoci_deps::lock::Lock;
use ohoci_deps::recipe::Recipe;
use ohoci_deps::rootfs::{RootFiles, files as system_files};
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
    ohoci_deps::current(recipe).map_err(|error| failures::current_lock(recipe, &error))
}

/// The lock of a recipe, which is made where there is none that is the recipe's, unless no network
/// may be used.
pub(crate) async fn lock(
    recipe: &Recipe,
    offline: bool,
    context: &Context,
) -> Result<Lock, Failure> {
    match locked(recipe) {
        Err(_) if !offline => {
            let progress = Progress::start();
            let made = ohoci_deps::lock(recipe, &[], &session(context, &progress)).await;
            progress.end();
            let made = made.map_err(|error| failures::lock(recipe, &error))?;
            lock::tell_new(&made);
            Ok(made.lock)
        }
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
) -> Result<RootFiles, Failure> {
    let progress = Progress::start();
    let session = session(context, &progress);
    let files = system_files(recipe, lock, platform, offline, &session).await;
    progress.end();
    files.map_err(|error| failures::files(recipe, &error))
}
