//! The base level: an image that is there, or one that is assembled from Debian packages first.

use std::path::Path;

use serde_json::{Value, json};

use super::request::Request;
use crate::context::Context;
use crate::deps::rootfs;
use crate::failure::Failure;
use crate::output;
use ohoci_compose::read::this_machine;
use ohoci_deps::lock::Lock;
use ohoci_deps::recipe::Recipe;
use ohoci_image::{Platform, Reference};
use ohoci_swebench::names;
use ohoci_swebench_images::assembled::{AssembledBase, Workshop};
use ohoci_swebench_images::base::Base;
use ohoci_swebench_images::error::at;
use ohoci_swebench_images::planned::architecture;
use ohoci_swebench_images::stage::Tools;
use ohoci_swebench_images::{BuildError, Level};

/// The base, as far as a plan can say.
pub(super) enum PlannedBase {
    /// There is none.
    None,
    /// An image that is there.
    There(Box<Base>),
    /// One that is still to be assembled, and what it is made of.
    Recipe(Value),
}

/// What the base of a build came to.
pub(super) enum BuiltBase {
    /// The image.
    There(Box<Base>),
    /// It could not be assembled.
    Failed(BuildError),
}

/// Finds the base for a plan; nothing is downloaded and nothing is built.
pub(super) async fn planned(request: &Request, context: &Context) -> Result<PlannedBase, Failure> {
    if let Some(text) = &request.base_image {
        return Ok(PlannedBase::There(Box::new(open(text, context).await?)));
    }
    let Some(path) = &request.base_recipe else {
        return Ok(PlannedBase::None);
    };
    let recipe = rootfs::read(path)?;
    let platform = platform(&recipe)?;
    let Ok(lock) = rootfs::locked(&recipe) else {
        return Ok(PlannedBase::Recipe(json!({
            "recipe": recipe.name.as_str(),
            "locked": false,
        })));
    };
    let base = AssembledBase::new(&recipe, &lock, platform, &request.packing, &bases(context));
    if let Some(reference) = base.found() {
        let base = Base::open(&context.resolver, &reference, None).await?;
        return Ok(PlannedBase::There(Box::new(base)));
    }
    let (packages, size) = size(&recipe, &lock, &base.platform);
    Ok(PlannedBase::Recipe(json!({
        "recipe": recipe.name.as_str(),
        "locked": true,
        "key": base.key(),
        "packages": packages,
        "downloadSize": size,
    })))
}

/// Finds the base, or assembles it.
pub(super) async fn built(
    request: &Request,
    context: &Context,
    tools: &Tools,
) -> Result<BuiltBase, Failure> {
    if let Some(text) = &request.base_image {
        return Ok(BuiltBase::There(Box::new(open(text, context).await?)));
    }
    let Some(path) = &request.base_recipe else {
        return Err(Failure::usage("no base is given")
            .hinted("--base-image REF, or --base-recipe FILE such as layers/swebench-base.toml"));
    };
    match assembled(path, request, context, tools).await? {
        Ok(reference) => {
            let base = Base::open(&context.resolver, &reference, None).await?;
            Ok(BuiltBase::There(Box::new(base)))
        }
        Err(error) => Ok(BuiltBase::Failed(error)),
    }
}

async fn open(text: &str, context: &Context) -> Result<Base, Failure> {
    let reference: Reference = text.parse()?;
    if reference == Reference::Scratch {
        return Err(Failure::usage(
            "--base-image scratch has nothing to build with",
        ));
    }
    Ok(Base::open(&context.resolver, &reference, None).await?)
}

async fn assembled(
    path: &Path,
    request: &Request,
    context: &Context,
    tools: &Tools,
) -> Result<Result<Reference, BuildError>, Failure> {
    let recipe = rootfs::read(path)?;
    let platform = platform(&recipe)?;
    let lock = rootfs::lock(&recipe, request.offline, context).await?;
    let base = AssembledBase::new(&recipe, &lock, platform, &request.packing, &bases(context));
    if let Some(reference) = base.found() {
        return Ok(Ok(reference));
    }
    let (packages, _) = size(&recipe, &lock, &base.platform);
    output::note(&format!("base: assembling {packages} packages"));
    let files = rootfs::files(&recipe, &lock, &base.platform, request.offline, context).await?;
    let log = match log(request, &lock, &base) {
        Ok(log) => log,
        Err(error) => return Ok(Err(error)),
    };
    let workshop = Workshop {
        tools,
        work_dir: &context.work_dir,
        log: &log,
        packing: request.packing,
    };
    Ok(Box::pin(base.build(files, &workshop, &context.resolver)).await)
}

/// The platform of this machine, which the recipe must have.
fn platform(recipe: &Recipe) -> Result<Platform, Failure> {
    let wanted = this_machine();
    let found = recipe
        .platforms
        .iter()
        .find(|one| one.os == wanted.os && one.architecture == wanted.architecture);
    found.cloned().ok_or_else(|| {
        Failure::new(
            format!("{} is not for this machine", recipe.source.path().display()),
            format!("its platforms do not have {wanted}"),
        )
    })
}

/// Where bases are kept.
fn bases(context: &Context) -> std::path::PathBuf {
    let parent = context.cache_dir.as_ref().unwrap_or(&context.work_dir);
    parent.join("swebench/bases")
}

/// How many packages there are to download, and their bytes.
fn size(recipe: &Recipe, lock: &Lock, platform: &Platform) -> (usize, u64) {
    let features = recipe.features.iter();
    let sizes: Vec<u64> = features
        .flat_map(|feature| lock.debian_files(feature.name.get_ref().as_str(), platform))
        .map(|(_, file)| file.size)
        .collect();
    (sizes.len(), sizes.iter().sum())
}

/// A new log in upstream's place, with the packages beside it.
fn log(
    request: &Request,
    lock: &Lock,
    base: &AssembledBase<'_>,
) -> Result<std::path::PathBuf, BuildError> {
    let image = names::base_image("py", architecture(), None, &request.tag);
    let directory = request.logs.join("base").join(names::log_directory(&image));
    let log = directory.join("build_image.log");
    let platform = base.platform.to_string();
    let packages = lock.debian.iter();
    let list: String = packages
        .filter(|package| package.file_for(&platform).is_some())
        .map(|package| format!("{} {}\n", package.name, package.version))
        .collect();
    fs_err::create_dir_all(&directory)
        .and_then(|()| fs_err::write(&log, ""))
        .and_then(|()| fs_err::write(directory.join("packages.txt"), list))
        .map_err(at(Level::Base, "write logs"))?;
    Ok(log)
}
